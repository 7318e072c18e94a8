/* SPDX-License-Identifier: BSD-2-Clause */
/* Logical sessions on a standby, which decode what that has replayed (16 and later). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "../lib/diagnosed.h"

#define SESSION WS_SCOPE_SESSION

static const struct ws_rec_sample at_end = { .valid = WS_SAMPLE_TARGET };

static void begin(struct lab *lab)
{
	ws_tape_session(&lab->tape, WS_SESSION_DATABASE);
	ws_tape_ready(&lab->tape);
	ws_tape_phase(&lab->tape, WS_PHASE_INITIALIZED, WS_PHASE_CASCADING);
}

static void stream(struct lab *lab)
{
	begin(lab);
	ws_tape_command(&lab->tape, "START_REPLICATION SLOT \"s\" LOGICAL 0/10000000");
	ws_tape_stream(&lab->tape, WS_STREAM_LOGICAL, lab->sent, "s");
	lab->tape.mark_ns = lab->tape.now_ns;
}

static void receive(struct lab *lab, uint64_t lsn)
{
	feed_cluster(lab, &(struct ws_rec_cluster){ .flush_lsn = lsn,
						    .db_state = WS_DB_IN_ARCHIVE_RECOVERY,
						    .walreceiver = WS_WALRECEIVER_RUNS,
						    .valid = WS_CLUSTER_STATE | WS_CLUSTER_FLUSH |
							     WS_CLUSTER_RECEIVED });
}

/* For ten seconds, in each of which so much more is received than replayed, and so much replayed.
 */
static void play(struct lab *lab, uint64_t received, uint64_t replayed)
{
	uint64_t end = lab->sent;

	stream(lab);
	receive(lab, end);
	for (int i = 0; i < 10; i++) {
		receive(lab, end += received);
		lab_waits(lab, WAL, .seconds = 1, .flags = WS_TURN_LOGICAL, .bytes = replayed,
			  .reply = true, .sample = &at_end);
	}
}

static void replay_that_stands_still_holds_a_logical_session_up(void **state)
{
	play(*state, 20000, 0);
	assert_verdict(*state, SESSION, "standby_apply_paused");
	assert_said_of(*state, SESSION,
		       "This server is a standby itself: it has received WAL up to 0/10030D40, and "
		       "replayed none of it for 9.00 s (195 kB wait).");
}

static void replay_that_goes_on_holds_nobody_up(void **state)
{
	play(*state, 20000, 20000);
	assert_verdict(*state, SESSION, "healthy_idle");
}

/* It may be behind what is received: a session that decodes waits for what is replayed. */
static void replay_that_lags_and_goes_on_does_not_stand(void **state)
{
	play(*state, 200000, 20000);
	assert_verdict(*state, SESSION, "healthy_idle");
	assert_said_of(*state, SESSION, "That is what it has replayed: it has received 1.7");
}

static void replay_of_what_an_idle_upstream_gives_does_not_stand(void **state)
{
	play(*state, 0, 0);
	assert_verdict(*state, SESSION, "healthy_idle");
}

/* The rest of a record has not come: so much of one waits for it. */
static void a_piece_of_a_record_is_not_held_back(void **state)
{
	struct lab *lab = *state;

	stream(lab);
	receive(lab, lab->sent);
	lab_waits(lab, WAL, .seconds = 1, .flags = WS_TURN_LOGICAL, .reply = true,
		  .sample = &at_end);
	receive(lab, lab->sent + 8000);
	lab_waits(lab, WAL, .seconds = 9, .flags = WS_TURN_LOGICAL, .reply = true,
		  .sample = &at_end);
	assert_verdict(lab, SESSION, "healthy_idle");
}

static void what_a_client_of_a_standby_does_not_confirm_is_told(void **state)
{
	struct lab *lab = *state;

	stream(lab);
	lab_waits(lab, WAL, .seconds = 10, .flags = WS_TURN_LOGICAL, .bytes = 1000, .reply = true);
	lab_waits(lab, WAL, .seconds = 12, .flags = WS_TURN_LOGICAL);
	assert_verdict(lab, SESSION, "healthy_idle");
	assert_said_of(lab, SESSION, "the client has not confirmed 1000 B, and it has not replied");
}

/* Its snapshot stands where it is while so much is received in each second. */
static void make_slot(struct lab *lab, uint64_t received)
{
	struct ws_rec_decoding r = { .valid = WS_DECODING_READ | WS_DECODING_SLOT,
				     .read_lsn = LSN,
				     .catalog_xmin = 782,
				     .snapshot = WS_SNAPSHOT_START };
	uint64_t end = LSN;

	begin(lab);
	ws_tape_command(&lab->tape, "CREATE_REPLICATION_SLOT \"s\" LOGICAL \"pgoutput\"");
	lab_sampled(lab, &r.h, WS_KIND_DECODING, sizeof(r));
	for (int i = 0; i < 10; i++) {
		receive(lab, end += received);
		lab->tape.now_ns += SECOND;
	}
	ws_tape_clock(&lab->tape, 1, 1);
	assert_verdict(lab, SESSION, "slot_waits_for_transaction");
}

static void a_slot_whose_standby_receives_more_waits_for_transactions_of_the_primary(void **state)
{
	make_slot(*state, 20000);
	assert_said_of(*state, SESSION,
		       "It waits for transactions of the primary that are older than 782 to end, "
		       "or replay stands still here.");
}

static void a_slot_made_on_the_standby_of_an_idle_primary_says_what_helps(void **state)
{
	make_slot(*state, 0);
	assert_said_of(*state, SESSION, "it waits for a WAL record of the transactions that run");
	assert_non_null(strstr(lab_find(*state, SESSION)->finding.advice,
			       "On the primary: select pg_log_standby_snapshot()"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB(replay_that_stands_still_holds_a_logical_session_up),
		LAB(replay_that_goes_on_holds_nobody_up),
		LAB(replay_that_lags_and_goes_on_does_not_stand),
		LAB(replay_of_what_an_idle_upstream_gives_does_not_stand),
		LAB(a_piece_of_a_record_is_not_held_back),
		LAB(what_a_client_of_a_standby_does_not_confirm_is_told),
		LAB(a_slot_whose_standby_receives_more_waits_for_transactions_of_the_primary),
		LAB(a_slot_made_on_the_standby_of_an_idle_primary_says_what_helps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
