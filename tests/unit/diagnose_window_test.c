/* SPDX-License-Identifier: BSD-2-Clause */
/* What a window says is what was known at its end: not what came behind it, nor what is lost. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "../lib/diagnosed.h"

#define SESSION WS_SCOPE_SESSION
#define CLUSTER WS_SCOPE_CLUSTER

static const struct ws_rec_socket shut = { .timer = WS_TCP_TIMER_PERSIST,
					   .mss_bytes = 1448,
					   .unsent_bytes = 100000 };
static void one_that_is_not_read_at_the_end_is_not_read_though_it_is_later(void **state)
{
	struct lab *lab = *state;

	lab_window(lab, 0, 12 * SECOND);
	lab_stream(lab, 0);
	lab_waits(lab, SOCKET, .seconds = 15, .socket = &shut);
	lab_waits(lab, WAL, .seconds = 15, .reply = true, .socket = &calm);
	assert_verdict(lab, SESSION, "receiver_not_reading");
}

static void one_that_is_stopped_at_the_end_is_stopped_though_it_goes_on_later(void **state)
{
	struct lab *lab = *state;

	lab_window(lab, 0, 41 * SECOND);
	lab_stream(lab, 0);
	lab_waits(lab, WAL, .seconds = 35, .reply = true);
	ws_tape_signal(&lab->tape, 0, SIGSTOP, WS_ROLE_OTHER, 5);
	lab->tape.now_ns += 10 * SECOND;
	ws_tape_signal(&lab->tape, 0, SIGCONT, WS_ROLE_OTHER, 5);
	lab->tape.mark_ns = lab->tape.now_ns;
	lab_waits(lab, WAL, .seconds = 5, .reply = true);
	assert_verdict(lab, SESSION, "sender_stopped");
}

static void one_that_a_timeout_ends_later_has_not_ended(void **state)
{
	struct lab *lab = *state;

	lab_window(lab, 0, 7 * SECOND);
	lab_stream(lab, 0);
	lab_waits(lab, WAL, .seconds = 4, .reply = true);
	lab_waits(lab, WAL, .seconds = 1, .ping = true, .socket = &calm);
	lab->tape.now_ns += 5 * SECOND;
	ws_tape_error(&lab->tape, WS_ELEVEL_COMMERROR, "00000", "WalSndCheckTimeOut",
		      "terminating walsender process due to replication timeout");
	ws_tape_exit(&lab->tape, 0, 0);
	assert_verdict(lab, SESSION, "healthy_idle");
}

static void a_slot_that_is_made_later_waits(void **state)
{
	struct lab *lab = *state;

	lab_window(lab, 0, 8 * SECOND);
	ws_tape_session(&lab->tape, WS_SESSION_DATABASE);
	ws_tape_ready(&lab->tape);
	ws_tape_command(&lab->tape, "CREATE_REPLICATION_SLOT \"s\" LOGICAL \"pgoutput\"");
	lab->tape.now_ns += 10 * SECOND;
	ws_tape_end(&lab->tape, WS_COMMAND_DONE);
	ws_tape_command(&lab->tape, "START_REPLICATION SLOT \"s\" LOGICAL 0/10000000");
	ws_tape_stream(&lab->tape, WS_STREAM_LOGICAL, lab->sent, NULL);
	lab->tape.mark_ns = lab->tape.now_ns;
	lab_waits(lab, WAL, .seconds = 5, .reply = true);
	assert_verdict(lab, SESSION, "slot_waits_for_transaction");
}

static void a_slot_that_is_made_since_before_has_taken_all_of_that_time(void **state)
{
	struct lab *lab = *state;

	lab_window(lab, 7 * SECOND, UINT64_MAX);
	ws_tape_session(&lab->tape, WS_SESSION_DATABASE);
	ws_tape_ready(&lab->tape);
	ws_tape_command(&lab->tape, "CREATE_REPLICATION_SLOT \"s\" LOGICAL \"pgoutput\"");
	lab->tape.now_ns += 10 * SECOND;
	ws_tape_clock(&lab->tape, 1, 1);
	assert_verdict(lab, SESSION, "slot_waits_for_transaction");
	assert_non_null(strstr(lab_find(lab, SESSION)->finding.text, "has taken 10.0 s"));
}

static void a_shutdown_that_is_over_later_waits(void **state)
{
	struct lab *lab = *state;

	lab_window(lab, 0, 12 * SECOND);
	ws_tape_server(&lab->tape, POSTMASTER_PID, "15.18");
	lab_stream(lab, 0);
	lab_waits(lab, WAL, .seconds = 5, .bytes = MB, .reply = true);
	ws_tape_signal(&lab->tape, POSTMASTER_PID, SIGINT, WS_ROLE_OTHER, 5);
	ws_tape_state(&lab->tape, WS_WALSND_STREAMING, WS_WALSND_STOPPING);
	lab_waits(lab, WAL, .seconds = 10);
	ws_tape_exit(&lab->tape, 0, 0);
	assert_verdict(lab, CLUSTER, "shutdown_waits_for_standby");
}

/* Of a recording that was cut off it is known that more was there. */
static void what_is_lost_at_the_end_takes_no_verdict_back(void **state)
{
	struct lab *lab = *state;
	struct ws_rec_gap gap = { .h = { .size = sizeof(gap), .kind = WS_KIND_GAP },
				  .cause = WS_GAP_TORN };

	lab_stream(lab, 0);
	lab_waits(lab, SOCKET, .seconds = 8, .socket = &shut);
	gap.from_ns = lab->tape.now_ns;
	gap.to_ns = gap.h.time_ns = gap.from_ns + 2 * SECOND;
	lab_feed(lab, &gap.h);
	assert_verdict(lab, SESSION, "receiver_not_reading");
	assert_non_null(strstr(lab_find(lab, SESSION)->finding.text, "nothing for 7.00 s"));
}

static void half_a_message_at_the_end_of_a_long_time_is_a_stall(void **state)
{
	struct lab *lab = *state;

	lab_stream(lab, 0);
	lab_waits(lab, WAL, .seconds = 100);
	ws_tape_blocked(&lab->tape, WS_BLOCKED_CLIENT_READ, 0);
	lab->tape.now_ns += 10 * SECOND;
	ws_tape_clock(&lab->tape, 1, 1);
	assert_verdict(lab, SESSION, "client_protocol_stall");
}

/* Replay goes on for five seconds, and stands still for 25. */
static void play_paused(struct lab *lab, uint64_t from_s, uint64_t to_s)
{
	lab_window(lab, from_s * SECOND, to_s * SECOND);
	lab_stream(lab, 0);
	lab_waits(lab, WAL, .seconds = 5, .busy_ms = 100, .bytes = MB, .reply = true);
	lab_waits(lab, WAL, .seconds = 25, .busy_ms = 100, .bytes = MB, .reply = true,
		  .apply = lab->sent);
	lab_waits(lab, WAL, .seconds = 10, .busy_ms = 100, .bytes = MB, .reply = true);
}

static void replay_that_stands_since_long_before_the_window_is_paused(void **state)
{
	play_paused(*state, 20, 24);
	assert_verdict(*state, SESSION, "standby_apply_paused");
	assert_said_of(*state, SESSION, "replayed none of it for 15.0 s");
}

static void replay_that_has_stood_for_a_moment_is_told(void **state)
{
	play_paused(*state, 0, 13);
	assert_verdict(*state, SESSION, "healthy_streaming");
	assert_said_of(*state, SESSION,
		       "the standby had flushed WAL for 4.00 s and replayed none of it (");
}

static void replay_that_goes_on_where_the_window_begins_is_not_paused(void **state)
{
	struct lab *lab = *state;

	play_paused(lab, 32, 38);
	assert_verdict(lab, SESSION, "healthy_streaming");
	assert_null(strstr(lab_find(lab, SESSION)->finding.text, "replayed none"));
}

static void what_is_not_confirmed_since_before_the_window_counts(void **state)
{
	lab_window(*state, 40 * SECOND, 50 * SECOND);
	lab_stream(*state, WS_STREAM_LOGICAL);
	lab_waits(*state, WAL, .seconds = 60, .flags = WS_TURN_LOGICAL, .busy_ms = 100, .bytes = MB,
		  .reply = true, .flush = LSN, .no_apply = true);
	assert_verdict(*state, SESSION, "consumer_not_confirming");
}

/* It was idle, with all confirmed, for a minute. */
static void what_came_a_moment_ago_is_not_unconfirmed_since_the_last_time(void **state)
{
	lab_window(*state, 57 * SECOND, 65 * SECOND);
	lab_stream(*state, WS_STREAM_LOGICAL);
	lab_waits(*state, WAL, .seconds = 60, .flags = WS_TURN_LOGICAL, .reply = true,
		  .no_apply = true);
	lab_waits(*state, WAL, .seconds = 3, .flags = WS_TURN_LOGICAL, .busy_ms = 100, .bytes = MB,
		  .reply = true, .flush = LSN, .no_apply = true);
	assert_verdict(*state, SESSION, "healthy_streaming");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB(one_that_is_not_read_at_the_end_is_not_read_though_it_is_later),
		LAB(one_that_is_stopped_at_the_end_is_stopped_though_it_goes_on_later),
		LAB(one_that_a_timeout_ends_later_has_not_ended),
		LAB(a_slot_that_is_made_later_waits),
		LAB(a_slot_that_is_made_since_before_has_taken_all_of_that_time),
		LAB(a_shutdown_that_is_over_later_waits),
		LAB(what_is_lost_at_the_end_takes_no_verdict_back),
		LAB(half_a_message_at_the_end_of_a_long_time_is_a_stall),
		LAB(replay_that_stands_since_long_before_the_window_is_paused),
		LAB(replay_that_has_stood_for_a_moment_is_told),
		LAB(replay_that_goes_on_where_the_window_begins_is_not_paused),
		LAB(what_is_not_confirmed_since_before_the_window_counts),
		LAB(what_came_a_moment_ago_is_not_unconfirmed_since_the_last_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
