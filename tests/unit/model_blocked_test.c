/* SPDX-License-Identifier: BSD-2-Clause */
/* Stretches sampled from outside are cut out of the time that the session's own records tell of. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../lib/model_fixture.h"

static void a_lock_waited_for_is_cut_out_of_the_sql_around_it(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	ws_tape_command(&f->tape, "COPY t TO STDOUT");
	after(f, 1);
	ws_tape_end(&f->tape, WS_COMMAND_IS_SQL);
	after(f, 10);
	ws_tape_blocked(&f->tape, WS_BLOCKED_LOCK, f->tape.now_ns - 4);
	after(f, 20);
	ws_tape_blocked(&f->tape, WS_BLOCKED_NOTHING, 0);
	after(f, 5);
	ws_tape_blocked(&f->tape, WS_BLOCKED_CLIENT_WRITE, 0);
	after(f, 7);
	ws_tape_end(&f->tape, WS_COMMAND_SQL_DONE);
	ws_tape_exit(&f->tape, 0, 0);
	assert_timeline(f, "starting 10, command 1, sql 6, wait_lock 24, sql 5, send_blocked 7");
}

static void a_record_of_the_session_itself_ends_a_stretch(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	ws_tape_command(&f->tape, "CREATE_REPLICATION_SLOT s LOGICAL p");
	ws_tape_blocked(&f->tape, WS_BLOCKED_LOCK, 0);
	after(f, 30);
	ws_tape_end(&f->tape, WS_COMMAND_DONE);
	after(f, 9);
	ws_tape_exit(&f->tape, 0, 0);
	assert_timeline(f, "starting 10, wait_lock 30, idle 9");
}

static void half_a_message_is_cut_out_of_the_turn_that_tells_of_it(void **state)
{
	struct fixture *f = *state;

	start_streaming(f, 0, 1000);
	after(f, 4);
	ws_tape_blocked(&f->tape, WS_BLOCKED_CLIENT_READ, 0);
	after(f, 50);
	ws_tape_blocked(&f->tape, WS_BLOCKED_NOTHING, 0);
	f->tape.now_ns -= 54;
	ws_tape_turn(&f->tape,
		     &(struct ws_tape_turn){
			     .stage_ns = { [WS_STAGE_WAIT] = 3, [WS_STAGE_REPLY] = 60 } });
	ws_tape_exit(&f->tape, 0, 0);
	assert_non_null(strstr(ws_observed_timeline(f->o, f->tape.pid),
			       "reply 1, recv_blocked 50, reply 9"));
}

/* All was sent, the client has not said CopyDone: the loop passes no site until it does. */
static void spinning_for_copydone_is_cut_out_of_the_turn_that_tells_of_it(void **state)
{
	struct fixture *f = *state;
	uint64_t since_ns;

	start_streaming(f, 0, 1000);
	turn(f, 0, WS_WAIT_WAL);
	after(f, 6);
	ws_tape_blocked(&f->tape, WS_BLOCKED_COPYDONE, f->tape.now_ns - 4);
	after(f, 50);
	assert_int_equal(ws_session_doing(session_of(f), &since_ns), WS_STATE_WAIT_COPYDONE);
	f->tape.now_ns -= 56;
	ws_tape_turn(&f->tape,
		     &(struct ws_tape_turn){
			     .stage_ns = { [WS_STAGE_WAIT] = 2, [WS_STAGE_REPLY] = 60 } });
	ws_tape_exit(&f->tape, 0, 0);
	assert_non_null(
		strstr(ws_observed_timeline(f->o, f->tape.pid), "wait_wal 2, wait_copydone 60"));
}

static void a_message_still_not_whole_at_the_end_is_no_wait_for_wal(void **state)
{
	struct fixture *f = *state;
	const char *timeline;

	start_streaming(f, 0, 1000);
	turn(f, 0, WS_WAIT_WAL);
	after(f, 5);
	ws_tape_blocked(&f->tape, WS_BLOCKED_CLIENT_READ, 0);
	after(f, 40);
	ws_model_finish(f->o->model, f->tape.now_ns);
	timeline = ws_observed_timeline(f->o, f->tape.pid);
	assert_non_null(strstr(timeline, "wait_wal 5, recv_blocked 40"));
}

static void sigstop_and_sigcont_bound_the_time_stopped(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	after(f, 100);
	ws_tape_signal(&f->tape, 0, SIGSTOP, WS_ROLE_OTHER, 99);
	after(f, 30);
	/* The sample confirms what is known. */
	ws_tape_blocked(&f->tape, WS_BLOCKED_STOPPED, 0);
	after(f, 30);
	ws_tape_signal(&f->tape, 0, SIGCONT, WS_ROLE_OTHER, 99);
	after(f, 7);
	ws_tape_exit(&f->tape, 0, 0);
	assert_timeline(f, "starting 10, idle 100, stopped 60, idle 7");
	assert_int_equal(session_of(f)->exit_reason, WS_END_CLIENT_TERMINATED);
}

static void a_process_on_its_way_to_the_stop_is_not_stopped_yet(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	after(f, 100);
	ws_tape_signal(&f->tape, 0, SIGSTOP, WS_ROLE_OTHER, 99);
	after(f, 30);
	ws_tape_command(&f->tape, "SHOW x");
	after(f, 30);
	ws_tape_signal(&f->tape, 0, SIGCONT, WS_ROLE_OTHER, 99);
	ws_tape_end(&f->tape, WS_COMMAND_DONE);
	ws_tape_exit(&f->tape, 0, 0);
	assert_timeline(f, "starting 10, idle 130, stopped 30");
}

static void a_stop_seen_by_the_sample_alone_ends_with_the_next_record(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	after(f, 100);
	ws_tape_blocked(&f->tape, WS_BLOCKED_STOPPED, f->tape.now_ns - 10);
	after(f, 30);
	ws_tape_command(&f->tape, "SHOW x");
	after(f, 2);
	ws_tape_end(&f->tape, WS_COMMAND_DONE);
	ws_tape_exit(&f->tape, 0, 0);
	assert_timeline(f, "starting 10, idle 90, stopped 40, command 2");
}

static void the_states_still_add_up(void **state)
{
	struct fixture *f = *state;
	const struct ws_session *s;
	uint64_t sum = 0;

	start_streaming(f, 0, 1000);
	for (int i = 0; i < 100; i++) {
		ws_tape_blocked(&f->tape, i % 7, i % 3 ? f->tape.now_ns - 1 : 0);
		after(f, i % 11);
		if (i % 5 == 0)
			turn(f, i, i % 2 ? WS_WAIT_WAL : WS_WAIT_NONE);
	}
	ws_model_finish(f->o->model, f->tape.now_ns);
	s = session_of(f);
	for (int i = 0; i < WS_STATE_COUNT; i++)
		sum += s->state_ns[i];
	assert_int_equal(sum, f->tape.now_ns - s->begin_ns);
	assert_true(s->state_ns[WS_STATE_RECV_BLOCKED] > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_lock_waited_for_is_cut_out_of_the_sql_around_it),
		TEST(a_record_of_the_session_itself_ends_a_stretch),
		TEST(spinning_for_copydone_is_cut_out_of_the_turn_that_tells_of_it),
		TEST(half_a_message_is_cut_out_of_the_turn_that_tells_of_it),
		TEST(a_message_still_not_whole_at_the_end_is_no_wait_for_wal),
		TEST(sigstop_and_sigcont_bound_the_time_stopped),
		TEST(a_process_on_its_way_to_the_stop_is_not_stopped_yet),
		TEST(a_stop_seen_by_the_sample_alone_ends_with_the_next_record),
		TEST(the_states_still_add_up),
	};

	return cmocka_run_group_tests_name("model_blocked", tests, NULL, NULL);
}
