/* SPDX-License-Identifier: BSD-2-Clause */
/* Logical walsenders that read WAL of which their clients get nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "../lib/decoded.h"

#define SESSION WS_SCOPE_SESSION

/* As lab_stream, from where the client asks for it. */
static void start_at(struct lab *lab, const char *command)
{
	ws_tape_session(&lab->tape, WS_SESSION_DATABASE);
	ws_tape_ready(&lab->tape);
	ws_tape_command(&lab->tape, command);
	ws_tape_stream(&lab->tape, WS_STREAM_LOGICAL, lab->sent, NULL);
	lab->tape.mark_ns = lab->tape.now_ns;
}

/* In each of ten seconds 4 MB are decoded, and these are handed out, or spilled. */
static void read_wal_behind(struct lab *lab, const char *command, uint64_t handed_out,
			    uint64_t spilled, uint64_t confirmed, unsigned int busy_ms)
{
	struct ws_rec_socket socket = calm;
	struct ws_rec_decoding r = { .valid = ALL_VALID, .confirmed_lsn = confirmed };

	socket.acked_bytes = handed_out;
	start_at(lab, command);
	for (unsigned int i = 0; i < 10; i++) {
		lab_waits(lab, WAL, .seconds = 1, .flags = WS_TURN_LOGICAL, .busy_ms = busy_ms,
			  .stage = WS_STAGE_DECODE, .bytes = 4 * MB,
			  .socket = handed_out || !i ? &socket : NULL);
		r.read_lsn = lab->sent;
		r.spill_bytes += spilled;
		lab_sampled(lab, &r.h, WS_KIND_DECODING, sizeof(r));
		tell_flushed(lab, LSN + 80 * MB);
	}
	lab_judge(lab);
}

static void read_wal(struct lab *lab, uint64_t handed_out, uint64_t spilled, uint64_t confirmed,
		     unsigned int busy_ms)
{
	read_wal_behind(lab, "START_REPLICATION SLOT \"s\" LOGICAL 0/10000000", handed_out, spilled,
			confirmed, busy_ms);
}

static bool is_said(const struct lab *lab)
{
	return strstr(lab_find(lab, SESSION)->finding.text, "next to nothing is for its client");
}

static void wal_that_is_read_for_nothing_is_said(void **state)
{
	read_wal(*state, 100, 0, LSN, 900);
	assert_verdict(*state, SESSION, "catching_up");
	assert_said(*state, "It reads 4.00 MB of WAL a second, of which next to nothing is for its "
			    "client (900 B in all)");
	/* What is published may come with much that is not for clients at all. */
	assert_said(*state, "or it changes no row, as what builds an index, vacuum, and");
}

/* A socket in which nothing changes is told of once. */
static void that_nothing_at_all_is_handed_out_is_said_too(void **state)
{
	read_wal(*state, 0, 0, LSN, 900);
	assert_said(*state, "next to nothing is for its client (0 B in all)");
}

static void what_is_handed_out_is_for_the_client(void **state)
{
	read_wal(*state, MB, 0, LSN, 900);
	assert_false(is_said(*state));
}

/* It will be. */
static void so_is_what_is_gathered(void **state)
{
	read_wal(*state, 100, 2 * MB, LSN, 900);
	assert_false(is_said(*state));
}

static void what_is_decoded_again_is_not_for_nothing(void **state)
{
	read_wal(*state, 100, 0, LSN + 60 * MB, 900);
	assert_false(is_said(*state));
}

/* It has confirmed no more than LSN, and asks for what comes behind LSN + 60 MB. */
static void nor_is_what_the_client_skips(void **state)
{
	read_wal_behind(*state, "START_REPLICATION SLOT \"s\" LOGICAL 0/13C00000", 100, 0, LSN,
			900);
	assert_false(is_said(*state));
}

static void nor_does_it_matter_to_one_at_rest(void **state)
{
	read_wal(*state, 100, 0, LSN, 100);
	assert_false(is_said(*state));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB(wal_that_is_read_for_nothing_is_said),
		LAB(that_nothing_at_all_is_handed_out_is_said_too),
		LAB(what_is_handed_out_is_for_the_client),
		LAB(so_is_what_is_gathered),
		LAB(what_is_decoded_again_is_not_for_nothing),
		LAB(nor_is_what_the_client_skips),
		LAB(nor_does_it_matter_to_one_at_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
