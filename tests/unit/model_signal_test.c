/* SPDX-License-Identifier: BSD-2-Clause */
/* Ends by signal: who sent it decides. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../lib/model_fixture.h"

#define POSTMASTER   1000
#define CHECKPOINTER 1003

#define RELEASE(pid) "terminating process " #pid " to release replication slot \"s\""
#define INVALID                                                              \
	"invalidating slot \"s\" because its restart_lsn 0/3000000 exceeds " \
	"max_slot_wal_keep_size"

#define assert_reason(f, expected)                                           \
	assert_string_equal(ws_exit_reason_name(session_of(f)->exit_reason), \
			    ws_exit_reason_name(expected))

/* Streams from slot "s". */
static void stream(struct fixture *f)
{
	ws_tape_server(&f->tape, POSTMASTER, "15.18");
	start_idle(f);
	ws_tape_command(&f->tape, "START_REPLICATION SLOT \"s\" 0/0 TIMELINE 1");
	ws_tape_stream(&f->tape, 0, 1000, "s");
	turn(f, 0, WS_WAIT_WAL);
	after(f, 10);
}

static void obey(struct fixture *f)
{
	ws_tape_error(&f->tape, WS_ELEVEL_FATAL, "57P01", "ProcessInterrupts",
		      "terminating connection due to administrator command");
	ws_tape_ending(&f->tape, 1, WS_END_CAUSE_KILLED);
	ws_tape_exit(&f->tape, 1, 0);
}

static void term(struct fixture *f, enum ws_signal_role role, uint32_t sender)
{
	ws_tape_signal(&f->tape, 0, SIGTERM, role, sender);
}

static void sigterm_of_the_postmaster_is_a_shutdown(void **state)
{
	struct fixture *f = *state;

	stream(f);
	term(f, WS_ROLE_POSTMASTER, POSTMASTER);
	obey(f);
	assert_reason(f, WS_END_SHUTDOWN);
	assert_int_equal(session_of(f)->signal_by.pid, POSTMASTER);
	assert_int_equal(session_of(f)->signal_by.signal, SIGTERM);
	assert_string_equal(session_of(f)->signal_by.name, "sender");
}

static void sigterm_of_anyone_else_is_an_administrator(void **state)
{
	static const enum ws_signal_role roles[] = { WS_ROLE_BACKEND, WS_ROLE_OTHER,
						     WS_ROLE_UNKNOWN };
	struct fixture *f = *state;

	ws_tape_server(&f->tape, POSTMASTER, "15.18");
	for (uint32_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
		struct ws_tape tape = ws_tape_new(f->tape.sink, 5000 + i, BEGIN);

		ws_tape_session(&tape, 0);
		ws_tape_ready(&tape);
		ws_tape_signal(&tape, 0, SIGTERM, roles[i], 77);
		ws_tape_error(&tape, WS_ELEVEL_FATAL, "57P01", "ProcessInterrupts", "m");
		ws_tape_exit(&tape, 1, 0);
		assert_int_equal(ws_observed_session(f->o, tape.pid)->exit_reason,
				 WS_END_ADMIN_TERMINATED);
	}
}

/* Another walsender is told to stop, but this one was terminated before. */
static void an_administrator_was_faster_than_a_shutdown(void **state)
{
	struct fixture *f = *state;

	stream(f);
	term(f, WS_ROLE_BACKEND, 1010);
	term(f, WS_ROLE_POSTMASTER, POSTMASTER);
	ws_tape_state(&f->tape, WS_WALSND_STREAMING, WS_WALSND_STOPPING);
	obey(f);
	assert_reason(f, WS_END_ADMIN_TERMINATED);
	assert_int_equal(session_of(f)->signal_by.pid, 1010);
}

static void sigterm_to_itself_is_a_shutdown(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	term(f, WS_ROLE_SELF, PID);
	obey(f);
	assert_reason(f, WS_END_SHUTDOWN);
}

static void in_sql(struct fixture *f)
{
	ws_tape_server(&f->tape, POSTMASTER, "15.18");
	start_idle(f);
	ws_tape_command(&f->tape, "select pg_terminate_backend(pg_backend_pid())");
	ws_tape_end(&f->tape, WS_COMMAND_IS_SQL);
}

static void sql_may_terminate_itself(void **state)
{
	struct fixture *f = *state;

	in_sql(f);
	term(f, WS_ROLE_SELF, PID);
	obey(f);
	assert_reason(f, WS_END_ADMIN_TERMINATED);
}

static void sql_ends_with_a_server_that_was_asked_to(void **state)
{
	struct fixture *f = *state;

	in_sql(f);
	ws_tape_signal(&f->tape, POSTMASTER, SIGINT, WS_ROLE_OTHER, 77);
	term(f, WS_ROLE_SELF, PID);
	obey(f);
	assert_reason(f, WS_END_SHUTDOWN);
	assert_string_equal(f->o->commands[0].c.sqlstate, "57P01");
	assert_int_equal(f->o->commands[0].c.outcome, WS_OUTCOME_ERROR);
}

static void sigquit_of_the_postmaster_is_a_crash_of_another_process(void **state)
{
	struct fixture *f = *state;

	stream(f);
	ws_tape_signal(&f->tape, 0, SIGQUIT, WS_ROLE_POSTMASTER, POSTMASTER);
	ws_tape_exit(&f->tape, 2, 0);
	assert_reason(f, WS_END_CRASH_RESTART);
	assert_int_equal(session_of(f)->signal_by.signal, SIGQUIT);
	assert_int_equal(f->o->commands[0].c.outcome, WS_OUTCOME_ERROR);
}

static void sigquit_of_a_postmaster_that_got_it_is_a_shutdown(void **state)
{
	struct fixture *f = *state;

	stream(f);
	ws_tape_signal(&f->tape, POSTMASTER, SIGQUIT, WS_ROLE_OTHER, 77);
	ws_tape_signal(&f->tape, 0, SIGQUIT, WS_ROLE_POSTMASTER, POSTMASTER);
	ws_tape_exit(&f->tape, 2, 0);
	assert_reason(f, WS_END_SHUTDOWN);
}

static void a_fast_shutdown_does_not_explain_sigquit(void **state)
{
	struct fixture *f = *state;

	stream(f);
	ws_tape_signal(&f->tape, POSTMASTER, SIGINT, WS_ROLE_OTHER, 77);
	ws_tape_signal(&f->tape, 0, SIGQUIT, WS_ROLE_POSTMASTER, POSTMASTER);
	ws_tape_exit(&f->tape, 2, 0);
	assert_reason(f, WS_END_CRASH_RESTART);
}

static void another_servers_shutdown_is_not_this_ones(void **state)
{
	struct fixture *f = *state;

	stream(f);
	ws_tape_server(&f->tape, POSTMASTER + 500, "15.18");
	ws_tape_signal(&f->tape, POSTMASTER + 500, SIGQUIT, WS_ROLE_OTHER, 77);
	ws_tape_signal(&f->tape, 0, SIGQUIT, WS_ROLE_POSTMASTER, POSTMASTER);
	ws_tape_exit(&f->tape, 2, 0);
	assert_reason(f, WS_END_CRASH_RESTART);
}

static void sigquit_of_anyone_else_is_an_administrator(void **state)
{
	struct fixture *f = *state;

	stream(f);
	ws_tape_signal(&f->tape, 0, SIGQUIT, WS_ROLE_OTHER, 77);
	ws_tape_exit(&f->tape, 2, 0);
	assert_reason(f, WS_END_ADMIN_TERMINATED);
}

static void who_does_not_obey_sigquit_is_killed_by_the_postmaster(void **state)
{
	struct fixture *f = *state;

	stream(f);
	ws_tape_signal(&f->tape, 0, SIGQUIT, WS_ROLE_POSTMASTER, POSTMASTER);
	ws_tape_signal(&f->tape, 0, SIGKILL, WS_ROLE_POSTMASTER, POSTMASTER);
	ws_tape_exit(&f->tape, 0, SIGKILL);
	assert_reason(f, WS_END_CRASH_RESTART);
	assert_int_equal(session_of(f)->signal_by.signal, SIGKILL);
}

static void a_signal_of_a_stranger_kills(void **state)
{
	struct fixture *f = *state;

	stream(f);
	ws_tape_signal(&f->tape, 0, SIGSEGV, WS_ROLE_KERNEL, 0);
	ws_tape_exit(&f->tape, 0, SIGSEGV);
	assert_reason(f, WS_END_KILLED);
	assert_int_equal(session_of(f)->signal_by.role, WS_ROLE_KERNEL);
}

static void a_signal_that_ended_nothing_is_not_named(void **state)
{
	struct fixture *f = *state;

	stream(f);
	term(f, WS_ROLE_BACKEND, 1010);
	ws_tape_exit(&f->tape, 0, SIGKILL);
	assert_reason(f, WS_END_KILLED);
	assert_int_equal(session_of(f)->signal_by.signal, 0);
}

static void a_signal_to_an_older_process_with_the_pid_says_nothing(void **state)
{
	struct fixture *f = *state;
	struct ws_tape older = f->tape;

	stream(f);
	older.start_ns -= 1;
	ws_tape_signal(&older, 0, SIGTERM, WS_ROLE_POSTMASTER, POSTMASTER);
	obey(f);
	assert_reason(f, WS_END_ADMIN_TERMINATED);
	assert_int_equal(session_of(f)->signal_by.signal, 0);
}

static void a_slot_that_stays_good_is_released(void **state)
{
	struct fixture *f = *state;

	stream(f);
	ws_tape_slot(&f->tape, CHECKPOINTER, RELEASE(4711));
	term(f, WS_ROLE_CHECKPOINTER, CHECKPOINTER);
	obey(f);
	assert_reason(f, WS_END_SLOT_RELEASED);
	assert_int_equal(f->o->sessions, 0);
	ws_model_finish(f->o->model, f->tape.now_ns);
	assert_reason(f, WS_END_SLOT_RELEASED);
	assert_int_equal(f->o->sessions, 1);
}

static void a_report_behind_the_exit_makes_it_invalidated(void **state)
{
	struct fixture *f = *state;

	stream(f);
	ws_tape_slot(&f->tape, CHECKPOINTER, RELEASE(4711));
	term(f, WS_ROLE_CHECKPOINTER, CHECKPOINTER);
	obey(f);
	ws_tape_slot(&f->tape, CHECKPOINTER, INVALID);
	assert_reason(f, WS_END_SLOT_INVALIDATED);
	assert_int_equal(f->o->sessions, 1);
	ws_model_finish(f->o->model, f->tape.now_ns);
	assert_int_equal(f->o->sessions, 1);
}

/* The slot is free, and taken, before the process has exited. */
static void a_report_in_front_of_the_exit_makes_it_invalidated(void **state)
{
	struct fixture *f = *state;

	stream(f);
	ws_tape_slot(&f->tape, CHECKPOINTER, RELEASE(4711));
	term(f, WS_ROLE_CHECKPOINTER, CHECKPOINTER);
	ws_tape_slot(&f->tape, CHECKPOINTER, INVALID);
	obey(f);
	assert_reason(f, WS_END_SLOT_INVALIDATED);
	assert_int_equal(f->o->sessions, 1);
}

static void the_reports_alone_tell_it_too(void **state)
{
	struct fixture *f = *state;

	stream(f);
	ws_tape_slot(&f->tape, CHECKPOINTER, RELEASE(4711));
	obey(f);
	ws_tape_slot(&f->tape, CHECKPOINTER, INVALID);
	assert_reason(f, WS_END_SLOT_INVALIDATED);
}

static void the_signal_alone_tells_a_release(void **state)
{
	struct fixture *f = *state;

	stream(f);
	term(f, WS_ROLE_CHECKPOINTER, CHECKPOINTER);
	obey(f);
	assert_reason(f, WS_END_SLOT_RELEASED);
}

static void reports_of_other_slots_servers_and_processes_do_not_count(void **state)
{
	struct fixture *f = *state;

	stream(f);
	ws_tape_slot(&f->tape, CHECKPOINTER, RELEASE(4711));
	term(f, WS_ROLE_CHECKPOINTER, CHECKPOINTER);
	obey(f);
	/* of "s2"; of the word s; of another server; that the next one shall release it */
	ws_tape_slot(&f->tape, CHECKPOINTER, "invalidating slot \"s2\" because its restart_lsn");
	ws_tape_slot(&f->tape, CHECKPOINTER, "invalidating s slot \"x\" because its restart_lsn");
	ws_tape_slot(&f->tape, CHECKPOINTER + 500, INVALID);
	ws_tape_slot(&f->tape, CHECKPOINTER, RELEASE(4712));
	ws_model_finish(f->o->model, f->tape.now_ns);
	assert_reason(f, WS_END_SLOT_RELEASED);
}

static void a_report_for_another_process_is_none_of_this_ones(void **state)
{
	struct fixture *f = *state;

	stream(f);
	ws_tape_slot(&f->tape, CHECKPOINTER, RELEASE(4712));
	ws_tape_slot(&f->tape, CHECKPOINTER, INVALID);
	obey(f);
	assert_reason(f, WS_END_ADMIN_TERMINATED);
}

static void an_administrator_may_be_faster_than_the_checkpointer(void **state)
{
	struct fixture *f = *state;

	stream(f);
	term(f, WS_ROLE_BACKEND, 1010);
	ws_tape_slot(&f->tape, CHECKPOINTER, RELEASE(4711));
	obey(f);
	assert_reason(f, WS_END_ADMIN_TERMINATED);
}

static void translated_reports_are_understood(void **state)
{
	static const char *const reports[] = {
		"Slot »s« wird ungültig gemacht, weil restart_lsn 0/3000000 zu alt ist",
		"invalidation du slot « s » car son restart_lsn 0/3000000 dépasse",
		"restart_lsn の値 0/3000000 が範囲を超えたため、スロット\"s\"を無効化します",
	};
	struct fixture *f = *state;

	for (uint32_t i = 0; i < sizeof(reports) / sizeof(reports[0]); i++) {
		struct ws_tape tape = ws_tape_new(f->tape.sink, 5000 + i, BEGIN);

		ws_tape_session(&tape, 0);
		ws_tape_ready(&tape);
		ws_tape_command(&tape, "START_REPLICATION SLOT \"s\" 0/0");
		ws_tape_stream(&tape, 0, 1000, "s");
		ws_tape_signal(&tape, 0, SIGTERM, WS_ROLE_CHECKPOINTER, CHECKPOINTER + i);
		ws_tape_error(&tape, WS_ELEVEL_FATAL, "57P01", "ProcessInterrupts", "m");
		ws_tape_exit(&tape, 1, 0);
		ws_tape_slot(&tape, CHECKPOINTER + i, reports[i]);
		assert_int_equal(ws_observed_session(f->o, tape.pid)->exit_reason,
				 WS_END_SLOT_INVALIDATED);
	}
}

static void a_slot_that_is_streamed_from_again_is_good(void **state)
{
	struct fixture *f = *state;
	struct ws_tape next = ws_tape_new(f->tape.sink, 4712, BEGIN);

	stream(f);
	term(f, WS_ROLE_CHECKPOINTER, CHECKPOINTER);
	obey(f);
	assert_int_equal(f->o->sessions, 0);
	ws_tape_session(&next, 0);
	ws_tape_command(&next, "START_REPLICATION SLOT \"s\" 0/0");
	ws_tape_stream(&next, 0, 1000, "s");
	assert_int_equal(f->o->sessions, 1);
	ws_tape_slot(&f->tape, CHECKPOINTER, INVALID);
	assert_reason(f, WS_END_SLOT_RELEASED);
}

/* PostgresMain, case EOF: no error of any kind. */
static void the_servers_own_cause_tells_a_client_that_vanished(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	ws_tape_ending(&f->tape, 0, WS_END_CAUSE_CLIENT_EOF);
	ws_tape_exit(&f->tape, 0, 0);
	assert_reason(f, WS_END_CLIENT_EOF);
}

static void a_normal_cause_is_a_goodbye(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	ws_tape_ending(&f->tape, 0, WS_END_CAUSE_NORMAL);
	ws_tape_exit(&f->tape, 0, 0);
	assert_reason(f, WS_END_CLIENT_TERMINATED);
}

static void an_eof_behind_a_failed_read_is_a_lost_connection(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	ws_tape_error(&f->tape, WS_ELEVEL_COMMERROR, "08006", "pq_recvbuf", "reset");
	ws_tape_ending(&f->tape, 0, WS_END_CAUSE_CLIENT_EOF);
	ws_tape_exit(&f->tape, 0, 0);
	assert_reason(f, WS_END_CONNECTION_LOST);
}

static void an_eof_behind_a_gap_may_be_a_lost_connection(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	ws_tape_gap(&f->tape, f->tape.now_ns, f->tape.now_ns, 2, WS_GAP_RING_FULL);
	ws_tape_ending(&f->tape, 0, WS_END_CAUSE_CLIENT_EOF);
	ws_tape_exit(&f->tape, 0, 0);
	assert_reason(f, WS_END_UNKNOWN);
}

static void a_killed_cause_stands_for_a_fatal_that_was_lost(void **state)
{
	struct fixture *f = *state;

	stream(f);
	term(f, WS_ROLE_BACKEND, 1010);
	ws_tape_gap(&f->tape, f->tape.now_ns, f->tape.now_ns, 2, WS_GAP_RING_FULL);
	ws_tape_ending(&f->tape, 1, WS_END_CAUSE_KILLED);
	ws_tape_exit(&f->tape, 1, 0);
	assert_reason(f, WS_END_ADMIN_TERMINATED);
}

static void the_ending_explains_an_exit_that_was_missed(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	ws_tape_ending(&f->tape, 0, WS_END_CAUSE_NORMAL);
	ws_tape_gap(&f->tape, f->tape.now_ns, f->tape.now_ns + 5, 0, WS_GAP_EXIT_MISSED);
	assert_reason(f, WS_END_CLIENT_TERMINATED);
	assert_int_equal(session_of(f)->exit_code, -1);
}

static void a_command_the_client_left_has_failed(void **state)
{
	struct fixture *f = *state;

	in_sql(f);
	ws_tape_ending(&f->tape, 0, WS_END_CAUSE_CLIENT_EOF);
	ws_tape_exit(&f->tape, 0, 0);
	assert_reason(f, WS_END_CLIENT_EOF);
	assert_int_equal(f->o->commands[0].c.outcome, WS_OUTCOME_ERROR);
	assert_string_equal(f->o->commands[0].c.message, "the client's connection ended");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(sigterm_of_the_postmaster_is_a_shutdown),
		TEST(sigterm_of_anyone_else_is_an_administrator),
		TEST(an_administrator_was_faster_than_a_shutdown),
		TEST(sigterm_to_itself_is_a_shutdown),
		TEST(sql_may_terminate_itself),
		TEST(sql_ends_with_a_server_that_was_asked_to),
		TEST(sigquit_of_the_postmaster_is_a_crash_of_another_process),
		TEST(sigquit_of_a_postmaster_that_got_it_is_a_shutdown),
		TEST(a_fast_shutdown_does_not_explain_sigquit),
		TEST(another_servers_shutdown_is_not_this_ones),
		TEST(sigquit_of_anyone_else_is_an_administrator),
		TEST(who_does_not_obey_sigquit_is_killed_by_the_postmaster),
		TEST(a_signal_of_a_stranger_kills),
		TEST(a_signal_that_ended_nothing_is_not_named),
		TEST(a_signal_to_an_older_process_with_the_pid_says_nothing),
		TEST(a_slot_that_stays_good_is_released),
		TEST(a_report_behind_the_exit_makes_it_invalidated),
		TEST(a_report_in_front_of_the_exit_makes_it_invalidated),
		TEST(the_reports_alone_tell_it_too),
		TEST(the_signal_alone_tells_a_release),
		TEST(reports_of_other_slots_servers_and_processes_do_not_count),
		TEST(a_report_for_another_process_is_none_of_this_ones),
		TEST(an_administrator_may_be_faster_than_the_checkpointer),
		TEST(translated_reports_are_understood),
		TEST(a_slot_that_is_streamed_from_again_is_good),
		TEST(the_servers_own_cause_tells_a_client_that_vanished),
		TEST(a_normal_cause_is_a_goodbye),
		TEST(an_eof_behind_a_failed_read_is_a_lost_connection),
		TEST(an_eof_behind_a_gap_may_be_a_lost_connection),
		TEST(a_killed_cause_stands_for_a_fatal_that_was_lost),
		TEST(the_ending_explains_an_exit_that_was_missed),
		TEST(a_command_the_client_left_has_failed),
	};

	return cmocka_run_group_tests_name("model_signal", tests, NULL, NULL);
}
