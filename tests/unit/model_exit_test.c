/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../lib/model_fixture.h"
#include "base/util.h"

#define assert_reason(f, expected)                                           \
	assert_string_equal(ws_exit_reason_name(session_of(f)->exit_reason), \
			    ws_exit_reason_name(expected))

static void stream(struct fixture *f)
{
	start_streaming(f, 0, 1000);
	turn(f, 0, WS_WAIT_WAL);
	after(f, 10);
}

static void fatal(struct fixture *f, const char *sqlstate, const char *function,
		  const char *message)
{
	ws_tape_error(&f->tape, WS_ELEVEL_FATAL, sqlstate, function, message);
	ws_tape_exit(&f->tape, 1, 0);
}

static void comm(struct fixture *f, const char *sqlstate, const char *function, const char *message)
{
	ws_tape_error(&f->tape, WS_ELEVEL_COMMERROR, sqlstate, function, message);
}

static void a_signal_is_killed(void **state)
{
	struct fixture *f = *state;

	stream(f);
	ws_tape_exit(&f->tape, 0, 11);
	assert_reason(f, WS_END_KILLED);
	assert_int_equal(session_of(f)->exit_signal, 11);
	assert_int_equal(session_of(f)->exit_code, -1);
}

static void a_signal_outranks_every_error(void **state)
{
	struct fixture *f = *state;

	stream(f);
	ws_tape_error(&f->tape, WS_ELEVEL_PANIC, "57P01", "f", "m");
	ws_tape_exit(&f->tape, 0, 6);
	assert_reason(f, WS_END_KILLED);
}

static void status_0_without_an_error_is_the_client(void **state)
{
	struct fixture *f = *state;

	stream(f);
	ws_tape_exit(&f->tape, 0, 0);
	assert_reason(f, WS_END_CLIENT_TERMINATED);
	assert_int_equal(session_of(f)->exit_code, 0);
	assert_int_equal(session_of(f)->exit_signal, 0);
}

static void a_timeout_is_known_by_its_function(void **state)
{
	struct fixture *f = *state;

	stream(f);
	comm(f, "00000", "WalSndCheckTimeOut", "Walsender-Prozess wird abgebrochen");
	assert_int_equal(session_of(f)->state, WS_STATE_EXITING);
	ws_tape_exit(&f->tape, 0, 0);
	assert_reason(f, WS_END_REPLICATION_TIMEOUT);
}

static void a_timeout_is_known_by_its_message(void **state)
{
	struct fixture *f = *state;

	stream(f);
	comm(f, "00000", NULL, "terminating walsender process due to replication timeout");
	ws_tape_exit(&f->tape, 0, 0);
	assert_reason(f, WS_END_REPLICATION_TIMEOUT);
}

static void a_timeout_while_stopping_is_a_timeout(void **state)
{
	struct fixture *f = *state;

	stream(f);
	ws_tape_state(&f->tape, WS_WALSND_STREAMING, WS_WALSND_STOPPING);
	comm(f, "00000", "WalSndCheckTimeOut", NULL);
	ws_tape_exit(&f->tape, 0, 0);
	assert_reason(f, WS_END_REPLICATION_TIMEOUT);
}

static void an_unexpected_eof_is_client_eof(void **state)
{
	struct fixture *f = *state;

	stream(f);
	comm(f, "08P01", "ProcessRepliesIfAny", "unexpected EOF on standby connection");
	ws_tape_exit(&f->tape, 0, 0);
	assert_reason(f, WS_END_CLIENT_EOF);
}

static void an_eof_in_a_transaction_is_client_eof(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	comm(f, "08006", "SocketBackend",
	     "unexpected EOF on client connection with an open transaction");
	ws_tape_exit(&f->tape, 0, 0);
	assert_reason(f, WS_END_CLIENT_EOF);
}

static void an_eof_behind_a_failed_read_is_a_lost_connection(void **state)
{
	struct fixture *f = *state;

	stream(f);
	comm(f, "08006", "pq_recvbuf", "could not receive data from client: reset");
	comm(f, "08P01", "ProcessRepliesIfAny", "unexpected EOF on standby connection");
	ws_tape_exit(&f->tape, 0, 0);
	assert_reason(f, WS_END_CONNECTION_LOST);
}

static void a_failed_send_is_a_lost_connection(void **state)
{
	struct fixture *f = *state;

	stream(f);
	/* errcode_for_socket_access: an errno it does not know is XX000 */
	comm(f, "XX000", NULL, "could not send data to client: Broken pipe");
	ws_tape_exit(&f->tape, 0, 0);
	assert_reason(f, WS_END_CONNECTION_LOST);
}

/* Both of 08P01, as is an unexpected EOF: the server told its log of the failed record first. */
static void a_failure_of_tls_is_a_lost_connection(void **state)
{
	struct fixture *f = *state;

	stream(f);
	comm(f, "08P01", "be_tls_read", "SSL-Fehler: decryption failed or bad record mac");
	comm(f, "08006", "pq_getbyte_if_available", "could not receive data from client: reset");
	comm(f, "08P01", "ProcessRepliesIfAny", "unexpected EOF on standby connection");
	ws_tape_exit(&f->tape, 0, 0);
	assert_reason(f, WS_END_CONNECTION_LOST);
}

static void a_failure_of_tls_is_known_by_its_message(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	comm(f, "08P01", NULL, "SSL error: unexpected eof while reading");
	ws_tape_exit(&f->tape, 0, 0);
	assert_reason(f, WS_END_CONNECTION_LOST);
}

static void connection_to_client_lost_is_a_lost_connection(void **state)
{
	struct fixture *f = *state;

	stream(f);
	comm(f, "08006", "internal_flush", "could not send data to client: reset");
	fatal(f, "08006", "ProcessInterrupts", "connection to client lost");
	assert_reason(f, WS_END_CONNECTION_LOST);
}

static void admin_shutdown_is_admin_terminated(void **state)
{
	struct fixture *f = *state;

	stream(f);
	fatal(f, "57P01", "ProcessInterrupts",
	      "terminating connection due to administrator command");
	assert_reason(f, WS_END_ADMIN_TERMINATED);
}

static void admin_shutdown_while_stopping_is_shutdown(void **state)
{
	struct fixture *f = *state;

	stream(f);
	ws_tape_state(&f->tape, WS_WALSND_STREAMING, WS_WALSND_STOPPING);
	fatal(f, "57P01", "ProcessInterrupts",
	      "terminating connection due to administrator command");
	assert_reason(f, WS_END_SHUTDOWN);
}

static void admin_shutdown_of_a_stopping_server_is_shutdown(void **state)
{
	struct fixture *f = *state;
	struct ws_tape other = ws_tape_new(f->tape.sink, 4712, BEGIN);

	ws_tape_server(&f->tape, 1000, "15.18");
	stream(f);
	ws_tape_session(&other, 0);
	ws_tape_state(&other, WS_WALSND_STREAMING, WS_WALSND_STOPPING);
	fatal(f, "57P01", "ProcessInterrupts", "terminating connection");
	assert_reason(f, WS_END_SHUTDOWN);
}

static void stopping_and_status_0_is_shutdown(void **state)
{
	struct fixture *f = *state;

	stream(f);
	ws_tape_state(&f->tape, WS_WALSND_STREAMING, WS_WALSND_STOPPING);
	turn(f, 10, WS_WAIT_WAL);
	ws_tape_exit(&f->tape, 0, 0);
	assert_reason(f, WS_END_SHUTDOWN);
}

static void crash_shutdown_is_crash_restart(void **state)
{
	struct fixture *f = *state;

	stream(f);
	fatal(f, "57P02", "quickdie", "terminating connection because of crash");
	assert_reason(f, WS_END_CRASH_RESTART);
}

static void status_2_is_crash_restart(void **state)
{
	struct fixture *f = *state;

	stream(f);
	ws_tape_exit(&f->tape, 2, 0);
	assert_reason(f, WS_END_CRASH_RESTART);
}

static void an_unexpected_postmaster_exit_is_postmaster_death(void **state)
{
	struct fixture *f = *state;

	stream(f);
	fatal(f, "57P01", "secure_read",
	      "terminating connection due to unexpected postmaster exit");
	assert_reason(f, WS_END_POSTMASTER_DEATH);
}

static void status_1_without_an_error_is_postmaster_death(void **state)
{
	struct fixture *f = *state;

	stream(f);
	ws_tape_exit(&f->tape, 1, 0);
	assert_reason(f, WS_END_POSTMASTER_DEATH);
}

/* The probes were taken out: the FATAL that it ended with was not seen. */
static void end_unwatched(struct fixture *f, uint32_t code)
{
	struct ws_rec_exit rec = { .code = code };

	ws_tape_send(&f->tape, &rec.h, WS_KIND_EXIT, sizeof(rec), WS_EXIT_UNWATCHED);
}

static void an_end_that_nobody_watched_has_no_reason(void **state)
{
	struct fixture *f = *state;

	stream(f);
	end_unwatched(f, 1);
	assert_reason(f, WS_END_UNKNOWN);
}

static void an_end_that_nobody_watched_has_the_reason_it_told_before(void **state)
{
	struct fixture *f = *state;

	stream(f);
	ws_tape_error(&f->tape, WS_ELEVEL_FATAL, "57P01", "ProcessInterrupts",
		      "terminating connection due to administrator command");
	end_unwatched(f, 1);
	assert_reason(f, WS_END_ADMIN_TERMINATED);
}

static void a_wait_ended_by_postmaster_death_tells_it_even_behind_a_gap(void **state)
{
	struct fixture *f = *state;

	stream(f);
	ws_tape_turn(&f->tape, &(struct ws_tape_turn){ .stage_ns = { [WS_STAGE_WAIT] = 5 },
						       .flags = WS_TURN_WOKE,
						       .woke = WS_WL_POSTMASTER_DEATH });
	ws_tape_gap(&f->tape, f->tape.now_ns, f->tape.now_ns, 1, WS_GAP_RING_FULL);
	ws_tape_exit(&f->tape, 1, 0);
	assert_reason(f, WS_END_POSTMASTER_DEATH);
}

static void status_1_behind_a_gap_is_unknown(void **state)
{
	struct fixture *f = *state;

	stream(f);
	ws_tape_gap(&f->tape, f->tape.now_ns, f->tape.now_ns, 1, WS_GAP_RING_FULL);
	ws_tape_exit(&f->tape, 1, 0);
	assert_reason(f, WS_END_UNKNOWN);
}

static void a_fatal_before_ready_is_refused(void **state)
{
	static const char *const sqlstates[] = { "28000", "28P01", "57P03",
						 "53300", "3D000", "42501" };
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(sqlstates) / sizeof(sqlstates[0]); i++) {
		struct ws_tape tape = ws_tape_new(f->tape.sink, (uint32_t)(5000 + i), BEGIN);

		ws_tape_session(&tape, 0);
		ws_tape_error(&tape, WS_ELEVEL_FATAL, sqlstates[i], "x", "no");
		ws_tape_exit(&tape, 1, 0);
		assert_int_equal(ws_observed_session(f->o, tape.pid)->exit_reason, WS_END_REFUSED);
	}
}

static void a_fatal_behind_a_lost_start_is_refused_only_if_that_is_certain(void **state)
{
	static const struct {
		const char *sqlstate; /* NULL: the error is lost, too */
		uint16_t flags;
		enum ws_exit_reason reason;
	} cases[] = {
		{ "57P05", 0, WS_END_FATAL }, /* idle_session_timeout: READY may be lost */
		{ "28P01", 0, WS_END_REFUSED },
		{ "57P03", 0, WS_END_REFUSED },
		{ NULL, WS_SESSION_REFUSED, WS_END_REFUSED },
		{ NULL, 0, WS_END_UNKNOWN },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < WS_ARRAY_SIZE(cases); i++) {
		struct ws_tape tape = ws_tape_new(f->tape.sink, 5000 + (uint32_t)i, BEGIN);
		uint32_t pid = tape.pid;

		ws_tape_session(&tape, cases[i].flags);
		ws_tape_gap(&tape, BEGIN, BEGIN + 5, 1, WS_GAP_RING_FULL);
		if (cases[i].sqlstate)
			ws_tape_error(&tape, WS_ELEVEL_FATAL, cases[i].sqlstate, NULL, "m");
		ws_tape_exit(&tape, cases[i].reason == WS_END_UNKNOWN ? 0 : 1, 0);
		assert_int_equal(ws_observed_session(f->o, pid)->exit_reason, cases[i].reason);
	}
}

static void max_wal_senders_behind_ready_is_refused(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	fatal(f, "53300", "InitWalSenderSlot",
	      "number of requested standby connections exceeds max_wal_senders");
	assert_reason(f, WS_END_REFUSED);
}

static void admin_shutdown_before_ready_is_not_a_refusal(void **state)
{
	struct fixture *f = *state;

	ws_tape_session(&f->tape, 0);
	fatal(f, "57P01", "ProcessInterrupts", "terminating");
	assert_reason(f, WS_END_ADMIN_TERMINATED);
}

static void a_session_found_running_was_not_refused(void **state)
{
	struct fixture *f = *state;

	ws_tape_found(&f->tape, WS_FOUND_IDLE, 0);
	fatal(f, "53100", "f", "disk full");
	assert_reason(f, WS_END_FATAL);
}

static void a_conflict_with_recovery_of_a_slots_stream_is_its_invalidation(void **state)
{
	struct fixture *f = *state;

	start_streaming(f, WS_STREAM_LOGICAL, 1000);
	fatal(f, "40001", "ProcessRecoveryConflictInterrupt",
	      "terminating connection due to conflict with recovery");
	assert_reason(f, WS_END_SLOT_INVALIDATED);
}

static void any_other_fatal_is_fatal(void **state)
{
	struct fixture *f = *state;

	stream(f);
	fatal(f, "08P01", "ProcessRepliesIfAny", "invalid standby message type \"q\"");
	assert_reason(f, WS_END_FATAL);
	assert_int_equal(session_of(f)->exit_code, 1);
}

static void any_other_status_is_unknown(void **state)
{
	struct fixture *f = *state;

	stream(f);
	ws_tape_exit(&f->tape, 77, 0);
	assert_reason(f, WS_END_UNKNOWN);
}

static void a_missed_exit_is_explained_by_what_came_before(void **state)
{
	struct fixture *f = *state;

	stream(f);
	comm(f, "00000", "WalSndCheckTimeOut", "x");
	ws_tape_gap(&f->tape, f->tape.now_ns, f->tape.now_ns + 5, 0, WS_GAP_EXIT_MISSED);
	assert_reason(f, WS_END_REPLICATION_TIMEOUT);
	assert_int_equal(session_of(f)->exit_code, -1);
}

/* Each with just what tells it, the message translated or the function unknown. */
static void each_error_leads_to_its_reason(void **state)
{
	static const struct {
		enum ws_elevel elevel;
		const char *sqlstate, *function, *message;
		enum ws_exit_reason reason;
	} cases[] = {
		{ WS_ELEVEL_COMMERROR, "XX000", "internal_flush", "m", WS_END_CONNECTION_LOST },
		{ WS_ELEVEL_COMMERROR, "XX000", "internal_flush_buffer", "m",
		  WS_END_CONNECTION_LOST },
		{ WS_ELEVEL_COMMERROR, "XX000", "pq_recvbuf", "m", WS_END_CONNECTION_LOST },
		{ WS_ELEVEL_COMMERROR, "XX000", "pq_getbyte_if_available", "m",
		  WS_END_CONNECTION_LOST },
		{ WS_ELEVEL_COMMERROR, "XX000", NULL, "could not send data to client: x",
		  WS_END_CONNECTION_LOST },
		{ WS_ELEVEL_COMMERROR, "XX000", NULL, "could not receive data from client: x",
		  WS_END_CONNECTION_LOST },
		{ WS_ELEVEL_COMMERROR, "08006", NULL, "m", WS_END_CONNECTION_LOST },
		{ WS_ELEVEL_COMMERROR, "08006", "SocketBackend", "m", WS_END_CLIENT_EOF },
		{ WS_ELEVEL_COMMERROR, "08006", NULL, "unexpected EOF on client connection",
		  WS_END_CLIENT_EOF },
		{ WS_ELEVEL_COMMERROR, "08P01", NULL, "m", WS_END_CLIENT_EOF },
		{ WS_ELEVEL_COMMERROR, NULL, NULL, NULL, WS_END_CLIENT_TERMINATED },
		{ WS_ELEVEL_FATAL, "08006", NULL, "m", WS_END_CONNECTION_LOST },
		{ WS_ELEVEL_FATAL, "57P01", "secure_read", "m", WS_END_POSTMASTER_DEATH },
		{ WS_ELEVEL_FATAL, "57P01", "secure_write", "m", WS_END_POSTMASTER_DEATH },
		{ WS_ELEVEL_FATAL, "57P01", NULL,
		  "terminating connection due to unexpected postmaster exit",
		  WS_END_POSTMASTER_DEATH },
		{ WS_ELEVEL_FATAL, "53300", NULL, "m", WS_END_REFUSED },
		{ WS_ELEVEL_FATAL, NULL, NULL, NULL, WS_END_FATAL },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ws_tape tape = ws_tape_new(f->tape.sink, (uint32_t)(5000 + i), BEGIN);

		ws_tape_session(&tape, 0);
		ws_tape_ready(&tape);
		ws_tape_error(&tape, cases[i].elevel, cases[i].sqlstate, cases[i].function,
			      cases[i].message);
		ws_tape_exit(&tape, cases[i].elevel == WS_ELEVEL_FATAL, 0);
		assert_int_equal(ws_observed_session(f->o, tape.pid)->exit_reason, cases[i].reason);
	}
}

static void eof_in_a_copy(struct fixture *f)
{
	ws_tape_error(&f->tape, WS_ELEVEL_ERROR, "08006", "CopyGetData",
		      "unexpected EOF on client connection with an open transaction");
	ws_tape_error(&f->tape, WS_ELEVEL_FATAL, "08P01", "PostgresMain",
		      "terminating connection because protocol synchronization was lost");
}

static void what_cannot_be_sent_behind_an_eof_is_no_news(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	ws_tape_command(&f->tape, "COPY t FROM STDIN");
	ws_tape_end(&f->tape, WS_COMMAND_IS_SQL);
	eof_in_a_copy(f);
	comm(f, "08006", "internal_flush", "could not send data to client: Broken pipe");
	ws_tape_exit(&f->tape, 1, 0);
	assert_reason(f, WS_END_CLIENT_EOF);
}

static void an_eof_of_a_copy_behind_a_failed_read_is_a_lost_connection(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	ws_tape_command(&f->tape, "COPY t FROM STDIN");
	ws_tape_end(&f->tape, WS_COMMAND_IS_SQL);
	comm(f, "08006", "pq_recvbuf", "could not receive data from client: reset");
	eof_in_a_copy(f);
	ws_tape_exit(&f->tape, 1, 0);
	assert_reason(f, WS_END_CONNECTION_LOST);
}

/* A foreign table's server is not the client. */
static void a_lost_connection_of_sql_is_no_end(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	ws_tape_command(&f->tape, "select * from foreign_table");
	ws_tape_end(&f->tape, WS_COMMAND_IS_SQL);
	ws_tape_error(&f->tape, WS_ELEVEL_ERROR, "08006", "pgfdw_report_error", "no connection");
	ws_tape_exit(&f->tape, 0, 0);
	assert_reason(f, WS_END_CLIENT_TERMINATED);
}

static void a_client_that_broke_the_protocol_is_not_gone(void **state)
{
	struct fixture *f = *state;

	stream(f);
	comm(f, "08P01", "ProcessStandbyMessage", "unexpected message type \"Z\"");
	ws_tape_exit(&f->tape, 0, 0);
	assert_reason(f, WS_END_FATAL);
}

static void a_client_that_proved_nothing_is_client_eof(void **state)
{
	struct fixture *f = *state;

	ws_tape_session(&f->tape, 0);
	ws_tape_phase(&f->tape, WS_PHASE_AUTH_BEGIN, 0);
	ws_tape_exit(&f->tape, 0, 0);
	assert_reason(f, WS_END_CLIENT_EOF);
}

/* Recordings made where the site behind the authentication is missing. */
static void without_the_end_of_authentication_readiness_tells(void **state)
{
	struct fixture *f = *state;

	ws_tape_session(&f->tape, 0);
	ws_tape_phase(&f->tape, WS_PHASE_AUTH_BEGIN, 0);
	ws_tape_ready(&f->tape);
	ws_tape_exit(&f->tape, 0, 0);
	assert_reason(f, WS_END_CLIENT_TERMINATED);
}

static void ending_of_a_muted_server(struct fixture *f, uint32_t cause)
{
	struct ws_rec_ending rec = { .cause = cause };

	ws_tape_send(&f->tape, &rec.h, WS_KIND_ENDING, sizeof(rec), WS_ENDING_MUTED);
	ws_tape_exit(&f->tape, 0, 0);
}

static void a_muted_server_does_not_tell_why_a_stream_ended(void **state)
{
	struct fixture *f = *state;

	stream(f);
	ending_of_a_muted_server(f, WS_END_CAUSE_NOT_YET);
	assert_reason(f, WS_END_UNKNOWN);
	assert_int_equal(f->o->command_count, 1);
	assert_int_equal(f->o->commands[0].c.outcome, WS_OUTCOME_LOST);
}

static void a_muted_server_tells_what_ends_between_commands(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	ending_of_a_muted_server(f, WS_END_CAUSE_CLIENT_EOF);
	assert_reason(f, WS_END_CLIENT_EOF);
}

static void an_ended_session_takes_no_more_records(void **state)
{
	struct fixture *f = *state;
	uint64_t end;

	stream(f);
	ws_tape_exit(&f->tape, 0, 0);
	end = session_of(f)->end_ns;
	after(f, 10);
	ws_tape_command(&f->tape, "SHOW x");
	ws_tape_exit(&f->tape, 1, 0);
	ws_model_finish(f->o->model, f->tape.now_ns);
	assert_int_equal(session_of(f)->end_ns, end);
	assert_int_equal(f->o->sessions, 1);
	assert_int_equal(f->o->command_count, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_signal_is_killed),
		TEST(a_signal_outranks_every_error),
		TEST(status_0_without_an_error_is_the_client),
		TEST(a_timeout_is_known_by_its_function),
		TEST(a_timeout_is_known_by_its_message),
		TEST(a_timeout_while_stopping_is_a_timeout),
		TEST(an_unexpected_eof_is_client_eof),
		TEST(an_eof_in_a_transaction_is_client_eof),
		TEST(an_eof_behind_a_failed_read_is_a_lost_connection),
		TEST(a_failed_send_is_a_lost_connection),
		TEST(a_failure_of_tls_is_a_lost_connection),
		TEST(a_failure_of_tls_is_known_by_its_message),
		TEST(connection_to_client_lost_is_a_lost_connection),
		TEST(admin_shutdown_is_admin_terminated),
		TEST(admin_shutdown_while_stopping_is_shutdown),
		TEST(admin_shutdown_of_a_stopping_server_is_shutdown),
		TEST(stopping_and_status_0_is_shutdown),
		TEST(crash_shutdown_is_crash_restart),
		TEST(status_2_is_crash_restart),
		TEST(an_unexpected_postmaster_exit_is_postmaster_death),
		TEST(status_1_without_an_error_is_postmaster_death),
		TEST(an_end_that_nobody_watched_has_no_reason),
		TEST(an_end_that_nobody_watched_has_the_reason_it_told_before),
		TEST(a_wait_ended_by_postmaster_death_tells_it_even_behind_a_gap),
		TEST(status_1_behind_a_gap_is_unknown),
		TEST(a_fatal_before_ready_is_refused),
		TEST(a_fatal_behind_a_lost_start_is_refused_only_if_that_is_certain),
		TEST(max_wal_senders_behind_ready_is_refused),
		TEST(admin_shutdown_before_ready_is_not_a_refusal),
		TEST(a_session_found_running_was_not_refused),
		TEST(a_conflict_with_recovery_of_a_slots_stream_is_its_invalidation),
		TEST(any_other_fatal_is_fatal),
		TEST(any_other_status_is_unknown),
		TEST(a_missed_exit_is_explained_by_what_came_before),
		TEST(each_error_leads_to_its_reason),
		TEST(what_cannot_be_sent_behind_an_eof_is_no_news),
		TEST(an_eof_of_a_copy_behind_a_failed_read_is_a_lost_connection),
		TEST(a_lost_connection_of_sql_is_no_end),
		TEST(a_client_that_broke_the_protocol_is_not_gone),
		TEST(a_client_that_proved_nothing_is_client_eof),
		TEST(without_the_end_of_authentication_readiness_tells),
		TEST(a_muted_server_does_not_tell_why_a_stream_ended),
		TEST(a_muted_server_tells_what_ends_between_commands),
		TEST(an_ended_session_takes_no_more_records),
	};

	return cmocka_run_group_tests_name("model_exit", tests, NULL, NULL);
}
