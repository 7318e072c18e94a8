/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../lib/model_fixture.h"
#include "export/export.h"

static void gap(struct fixture *f, uint64_t from_ns, uint64_t lost)
{
	ws_tape_gap(&f->tape, from_ns, f->tape.now_ns, lost, WS_GAP_RING_FULL);
}

static void no_state_is_claimed_across_a_gap(void **state)
{
	struct fixture *f = *state;
	uint64_t before;

	start_streaming(f, 0, 1000);
	turn(f, 0, WS_WAIT_WAL);
	before = f->tape.now_ns;
	after(f, 500);
	gap(f, before, 4);
	assert_int_equal(session_of(f)->state, WS_STATE_LOST);
	/* The turn behind it began 400 ns after the last record: its own time is known. */
	f->tape.mark_ns = before + 400;
	turn(f, 0, WS_WAIT_SOCKET);
	turn(f, 99, WS_WAIT_WAL);
	ws_tape_exit(&f->tape, 0, 0);
	assert_timeline(f, "starting 10, command 1, reply 1, lost 400, reply 1, send_blocked 99, "
			   "reply 1");
	assert_int_equal(session_of(f)->lost, 4);
	assert_int_equal(ws_model_lost(f->o->model), 4);
	assert_string_equal(f->o->segments[3].s.detail, "4 records missing");
}

static void a_wait_announced_in_a_gap_is_lost(void **state)
{
	struct fixture *f = *state;

	start_streaming(f, 0, 1000);
	turn(f, 0, WS_WAIT_WAL);
	gap(f, f->tape.now_ns, 1);
	turn(f, 300, WS_WAIT_WAL);
	assert_int_equal(session_of(f)->state_ns[WS_STATE_LOST], 300);
	assert_int_equal(session_of(f)->state_ns[WS_STATE_WAIT_WAL], 0);
	assert_int_equal(session_of(f)->hist[WS_METRIC_WAIT_WAL_NS].count, 0);
	turn(f, 40, WS_WAIT_WAL);
	assert_int_equal(session_of(f)->state_ns[WS_STATE_WAIT_WAL], 40);
}

static void lost_lasts_until_something_is_known(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	gap(f, f->tape.now_ns, 1);
	after(f, 100);
	ws_tape_keepalive(&f->tape, 5);
	after(f, 10);
	ws_tape_command(&f->tape, "SHOW x");
	after(f, 1);
	ws_tape_exit(&f->tape, 0, 0);
	assert_timeline(f, "starting 10, lost 110, command 1");
}

static void a_command_stays_open_across_a_gap(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	ws_tape_command(&f->tape, "BASE_BACKUP");
	after(f, 10);
	gap(f, f->tape.now_ns - 5, 1);
	after(f, 10);
	ws_tape_end(&f->tape, WS_COMMAND_DONE);
	assert_int_equal(f->o->command_count, 1);
	assert_int_equal(f->o->commands[0].c.outcome, WS_OUTCOME_OK);
	assert_int_equal(f->o->commands[0].c.end_ns - f->o->commands[0].c.start_ns, 20);
}

static void a_new_command_behind_a_gap_closes_the_former_as_lost(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	ws_tape_command(&f->tape, "BASE_BACKUP");
	after(f, 10);
	gap(f, f->tape.now_ns - 4, 3);
	ws_tape_command(&f->tape, "SHOW x");
	ws_tape_end(&f->tape, WS_COMMAND_DONE);
	assert_int_equal(f->o->command_count, 2);
	assert_string_equal(f->o->commands[0].c.kind, "BASE_BACKUP");
	assert_int_equal(f->o->commands[0].c.outcome, WS_OUTCOME_LOST);
	/* Known to have run until the gap. */
	assert_int_equal(f->o->commands[0].c.end_ns, BEGIN + 16);
	assert_int_equal(f->o->commands[1].c.outcome, WS_OUTCOME_OK);
	/* Of a lost command the duration is not known. */
	assert_int_equal(session_of(f)->hist[WS_METRIC_COMMAND_NS].count, 1);
}

static void an_error_behind_which_all_is_missing_stays_with_its_command(void **state)
{
	struct fixture *f = *state;

	/* The text of the error and the record of the next command are among the missing. */
	start_idle(f);
	ws_tape_command(&f->tape, "SHOW x");
	ws_tape_error(&f->tape, WS_ELEVEL_ERROR, "42704", "GetConfigOptionByName", NULL);
	gap(f, f->tape.now_ns, 2);
	after(f, 10);
	ws_tape_text(&f->tape, WS_TEXT_COMMAND, 0, "SHOW y", 6, WS_TEXT_LAST);
	after(f, 10);
	ws_tape_end(&f->tape, WS_COMMAND_DONE);
	assert_int_equal(f->o->command_count, 2);
	assert_int_equal(f->o->commands[0].c.outcome, WS_OUTCOME_ERROR);
	assert_string_equal(f->o->commands[0].c.sqlstate, "42704");
	assert_int_equal(f->o->commands[1].c.outcome, WS_OUTCOME_OK);
}

static void a_session_whose_start_is_missing_is_lost_from_its_fork_on(void **state)
{
	struct fixture *f = *state;

	/* The boot clock is 1000 ns ahead. */
	f->tape.now_ns = BEGIN - 5000;
	ws_tape_clock(&f->tape, 1, BEGIN - 4000);
	f->tape.start_ns = BEGIN + 1000;
	f->tape.now_ns = BEGIN + 70;
	ws_tape_gap(&f->tape, 0, f->tape.now_ns, 2, WS_GAP_RING_FULL);
	ws_tape_ready(&f->tape);
	after(f, 5);
	ws_tape_exit(&f->tape, 0, 0);
	assert_timeline(f, "lost 70, idle 5");
	assert_int_equal(session_of(f)->begin_ns, BEGIN);
	assert_int_equal(session_of(f)->fork_ns, 0);
	assert_int_equal(ws_session_duration_ns(session_of(f), f->tape.now_ns),
			 f->tape.now_ns - session_of(f)->begin_ns);
	assert_int_equal(ws_session_duration_ns(session_of(f), f->tape.now_ns),
			 ws_observed_sum(session_of(f)));
}

static void a_session_older_than_the_recording_is_lost_from_its_begin_on(void **state)
{
	struct fixture *f = *state;

	f->tape.now_ns = BEGIN + 1000;
	ws_tape_clock(&f->tape, 1, BEGIN + 1000);
	after(f, 30);
	ws_tape_keepalive(&f->tape, 1);
	assert_int_equal(session_of(f)->begin_ns, BEGIN + 1000);
	ws_model_finish(f->o->model, f->tape.now_ns);
	assert_timeline(f, "lost 30");
}

static void a_torn_recording_is_lost_time_for_every_session(void **state)
{
	struct fixture *f = *state;
	struct ws_tape nobody = f->tape, other = ws_tape_new(f->tape.sink, 4712, BEGIN);

	start_idle(f);
	ws_tape_session(&other, 0);
	nobody.pid = 0;
	nobody.start_ns = 0;
	nobody.now_ns = BEGIN + 500;
	ws_tape_gap(&nobody, BEGIN + 100, BEGIN + 500, 0, WS_GAP_TORN);
	f->tape.now_ns = BEGIN + 600;
	ws_tape_exit(&f->tape, 0, 0);
	ws_model_finish(f->o->model, BEGIN + 700);
	assert_timeline(f, "starting 10, idle 90, lost 500");
	assert_string_equal(ws_observed_timeline(f->o, 4712), "starting 100, lost 600");
}

static void a_full_disk_is_lost_time_for_every_session(void **state)
{
	struct fixture *f = *state;
	struct ws_tape nobody = f->tape, other = ws_tape_new(f->tape.sink, 4712, BEGIN);

	start_idle(f);
	ws_tape_session(&other, 0);
	nobody.pid = 0;
	nobody.start_ns = 0;
	nobody.now_ns = BEGIN + 500;
	ws_tape_gap(&nobody, BEGIN + 100, BEGIN + 500, 9, WS_GAP_UNWRITTEN);
	f->tape.now_ns = BEGIN + 600;
	ws_tape_exit(&f->tape, 0, 0);
	ws_model_finish(f->o->model, BEGIN + 700);
	assert_timeline(f, "starting 10, idle 90, lost 500");
	assert_string_equal(ws_observed_timeline(f->o, 4712), "starting 100, lost 600");
	assert_int_equal(ws_model_lost(f->o->model), 9);
}

static void a_missed_exit_ends_the_session_for_an_unknown_reason(void **state)
{
	struct fixture *f = *state;

	start_streaming(f, 0, 1000);
	turn(f, 0, WS_WAIT_WAL);
	after(f, 1000);
	ws_tape_gap(&f->tape, f->tape.now_ns - 1000, f->tape.now_ns, 1, WS_GAP_EXIT_MISSED);
	assert_timeline(f, "starting 10, command 1, reply 1, lost 1000");
	assert_int_equal(session_of(f)->exit_reason, WS_END_UNKNOWN);
	assert_int_equal(session_of(f)->exit_code, -1);
	assert_int_equal(session_of(f)->end_ns, f->tape.now_ns);
	assert_int_equal(f->o->sessions, 1);
	assert_int_equal(f->o->commands[0].c.outcome, WS_OUTCOME_LOST);
	assert_int_equal(f->o->commands[0].c.end_ns, f->tape.now_ns - 1000);
}

static void a_missed_exit_is_a_loss_even_if_no_record_was_made(void **state)
{
	struct fixture *f = *state;

	start_streaming(f, 0, 1000);
	ws_tape_gap(&f->tape, f->tape.now_ns, f->tape.now_ns + 5, 0, WS_GAP_EXIT_MISSED);
	assert_int_equal(session_of(f)->lost, 1);
	assert_int_equal(ws_model_lost(f->o->model), 1);
}

static void an_exit_right_behind_a_gap_proves_nothing(void **state)
{
	struct fixture *f = *state;

	/* The COMMERROR of a timeout may have been among the missing. */
	start_streaming(f, 0, 1000);
	gap(f, f->tape.now_ns, 1);
	ws_tape_exit(&f->tape, 0, 0);
	assert_int_equal(session_of(f)->exit_reason, WS_END_UNKNOWN);
	assert_int_equal(f->o->commands[0].c.outcome, WS_OUTCOME_LOST);
}

static void a_command_not_seen_again_behind_a_gap_is_lost(void **state)
{
	struct fixture *f = *state;
	uint64_t known;

	start_streaming(f, 0, 1000);
	known = f->tape.now_ns;
	after(f, 10);
	gap(f, known, 1);
	after(f, 10);
	ws_model_finish(f->o->model, f->tape.now_ns);
	assert_int_equal(f->o->command_count, 1);
	assert_int_equal(f->o->commands[0].c.outcome, WS_OUTCOME_LOST);
	assert_int_equal(f->o->commands[0].c.end_ns, known);
}

static void a_stream_seen_again_behind_a_gap_is_still_running(void **state)
{
	struct fixture *f = *state;

	start_streaming(f, 0, 1000);
	gap(f, f->tape.now_ns, 1);
	turn(f, 0, WS_WAIT_WAL);
	ws_model_finish(f->o->model, f->tape.now_ns);
	assert_int_equal(f->o->command_count, 1);
	assert_int_equal(f->o->commands[0].c.outcome, WS_OUTCOME_RUNNING);
}

static void a_stream_seen_again_behind_a_gap_is_still_the_same(void **state)
{
	struct fixture *f = *state;

	start_streaming(f, 0, 1000);
	gap(f, f->tape.now_ns, 1);
	turn(f, 0, WS_WAIT_WAL);
	ws_tape_exit(&f->tape, 0, 0);
	assert_int_equal(session_of(f)->exit_reason, WS_END_CLIENT_TERMINATED);
	assert_int_equal(f->o->commands[0].c.outcome, WS_OUTCOME_OK);
}

static void no_interval_is_measured_across_a_gap(void **state)
{
	struct fixture *f = *state;
	struct ws_tape_turn reply = { .stage_ns = { [WS_STAGE_REPLY] = 100 },
				      .flags = WS_TURN_REPLY,
				      .write_lag_us = -1,
				      .flush_lag_us = -1,
				      .apply_lag_us = -1 };

	start_streaming(f, 0, 1000);
	ws_tape_turn(&f->tape, &reply);
	gap(f, f->tape.now_ns, 1);
	ws_tape_turn(&f->tape, &reply);
	assert_int_equal(session_of(f)->hist[WS_METRIC_REPLY_INTERVAL_NS].count, 0);
	ws_tape_turn(&f->tape, &reply);
	assert_int_equal(session_of(f)->hist[WS_METRIC_REPLY_INTERVAL_NS].count, 1);
}

static void a_backup_behind_a_gap_splits_only_known_time(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	ws_tape_command(&f->tape, "BASE_BACKUP");
	ws_tape_backup(&f->tape, WS_BACKUP_STREAM, 0, 0);
	gap(f, f->tape.now_ns, 1);
	after(f, 100);
	ws_tape_backup(&f->tape, WS_BACKUP_STREAM, 10, 50);
	after(f, 100);
	ws_tape_backup(&f->tape, WS_BACKUP_STREAM, 10, 50);
	assert_int_equal(session_of(f)->state_ns[WS_STATE_LOST], 100);
	assert_int_equal(session_of(f)->state_ns[WS_STATE_BACKUP_SEND], 50);
	assert_int_equal(session_of(f)->backup_bytes, 20);
}

static void untracked_sessions_touch_no_other(void **state)
{
	struct fixture *f = *state;
	struct ws_tape nobody = f->tape;

	start_idle(f);
	nobody.pid = 0;
	ws_tape_gap(&nobody, BEGIN, BEGIN + 5, 3, WS_GAP_SESSIONS_FULL);
	assert_int_equal(session_of(f)->state, WS_STATE_IDLE);
	assert_int_equal(ws_model_lost(f->o->model), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(no_state_is_claimed_across_a_gap),
		TEST(a_wait_announced_in_a_gap_is_lost),
		TEST(lost_lasts_until_something_is_known),
		TEST(a_command_stays_open_across_a_gap),
		TEST(a_new_command_behind_a_gap_closes_the_former_as_lost),
		TEST(an_error_behind_which_all_is_missing_stays_with_its_command),
		TEST(a_session_whose_start_is_missing_is_lost_from_its_fork_on),
		TEST(a_session_older_than_the_recording_is_lost_from_its_begin_on),
		TEST(a_torn_recording_is_lost_time_for_every_session),
		TEST(a_full_disk_is_lost_time_for_every_session),
		TEST(a_missed_exit_ends_the_session_for_an_unknown_reason),
		TEST(a_missed_exit_is_a_loss_even_if_no_record_was_made),
		TEST(an_exit_right_behind_a_gap_proves_nothing),
		TEST(a_command_not_seen_again_behind_a_gap_is_lost),
		TEST(a_stream_seen_again_behind_a_gap_is_still_running),
		TEST(a_stream_seen_again_behind_a_gap_is_still_the_same),
		TEST(no_interval_is_measured_across_a_gap),
		TEST(a_backup_behind_a_gap_splits_only_known_time),
		TEST(untracked_sessions_touch_no_other),
	};

	return cmocka_run_group_tests_name("model_gap", tests, NULL, NULL);
}
