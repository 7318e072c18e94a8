/* SPDX-License-Identifier: BSD-2-Clause */
/* Sessions that end, and begin again: which make a loop, and what their errors say. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "../lib/diagnosed.h"
#include "base/util.h"

#define SESSION WS_SCOPE_SESSION
#define GROUP	WS_SCOPE_GROUP

static void play_end(struct lab *lab, uint32_t pid, const char *sqlstate, const char *function,
		     const char *message, unsigned int seconds)
{
	lab->tape = ws_tape_new(lab->tape.sink, pid, lab->tape.now_ns + SECOND);
	lab->sent = LSN;
	ws_tape_session(&lab->tape, 0);
	ws_tape_ready(&lab->tape);
	ws_tape_command(&lab->tape, "START_REPLICATION 0/10000000 TIMELINE 1");
	if (seconds) {
		ws_tape_stream(&lab->tape, 0, lab->sent, NULL);
		lab->tape.mark_ns = lab->tape.now_ns;
		lab_waits(lab, WAL, .seconds = seconds);
	}
	if (message)
		ws_tape_error(&lab->tape, seconds ? WS_ELEVEL_COMMERROR : WS_ELEVEL_ERROR, sqlstate,
			      function, message);
	ws_tape_exit(&lab->tape, 0, 0);
}

static void play_timeout(struct lab *lab, uint32_t pid)
{
	play_end(lab, pid, "XX000", "WalSndCheckTimeOut",
		 "terminating walsender process due to replication timeout", 5);
}

static void two_timeouts_from_one_position_are_a_loop(void **state)
{
	struct lab *lab = *state;

	play_timeout(lab, 1);
	play_timeout(lab, 2);
	assert_verdict(lab, GROUP, "timeout_loop");
	assert_non_null(strstr(lab_find(lab, GROUP)->finding.text, "0/10000000"));
}

static void the_restarts_of_a_loop_are_counted(void **state)
{
	struct lab *lab = *state;

	for (uint32_t pid = 1; pid <= 4; pid++)
		play_timeout(lab, pid);
	assert_verdict(lab, GROUP, "timeout_loop");
	assert_non_null(
		strstr(lab_find(lab, GROUP)->finding.text, "the 3rd restart at 0/10000000"));
}

static void how_one_stood_when_it_was_given_up_is_said(void **state)
{
	static const struct ws_rec_socket full = { .in_flight_bytes = 1000,
						   .unsent_bytes = 4000,
						   .mss_bytes = 1448 };
	struct lab *lab = *state;

	play_timeout(lab, 1);
	lab->tape = ws_tape_new(lab->tape.sink, 2, lab->tape.now_ns + SECOND);
	lab_stream(lab, 0);
	lab_waits(lab, WAL, .seconds = 2, .reply = true);
	lab_waits(lab, SOCKET, .seconds = 4, .ping = true, .socket = &full);
	ws_tape_error(&lab->tape, WS_ELEVEL_COMMERROR, "XX000", "WalSndCheckTimeOut",
		      "terminating walsender process due to replication timeout");
	ws_tape_exit(&lab->tape, 0, 0);
	assert_verdict(lab, GROUP, "timeout_loop");
	assert_said_of(lab, GROUP,
		       "when the last one was given up it had not replied for 4.00 s, had been "
		       "asked to 3.00 s before, and 4.88 kB were on their way to it.");
}

/* Of a long recording: the client has come further since. */
static void a_loop_that_is_over_says_so(void **state)
{
	struct lab *lab = *state;
	const struct ws_explained *row;

	play_timeout(lab, 1);
	play_timeout(lab, 2);
	lab->tape = ws_tape_new(lab->tape.sink, 3, lab->tape.now_ns + SECOND);
	ws_tape_session(&lab->tape, 0);
	ws_tape_ready(&lab->tape);
	ws_tape_command(&lab->tape, "START_REPLICATION 0/11000000 TIMELINE 1");
	ws_tape_stream(&lab->tape, 0, lab->sent, NULL);
	lab->tape.mark_ns = lab->tape.now_ns;
	lab_waits(lab, WAL, .seconds = 99, .reply = true);
	assert_verdict(lab, GROUP, "timeout_loop");
	row = lab_find(lab, GROUP);
	assert_non_null(row);
	assert_non_null(strstr(lab_find(lab, GROUP)->finding.text,
			       "; the last of them ended 1m 40s ago, and walsender 3 goes on "
			       "since, for 99.0 s: it seems to be over."));
	assert_true(row->finding.confidence < 0.5);
}

static void a_group_is_looked_at_from_the_first_record_to_the_last(void **state)
{
	struct lab *lab = *state;

	play_timeout(lab, 1);
	play_timeout(lab, 2);
	assert_verdict(lab, GROUP, "timeout_loop");
	assert_int_equal(lab_find(lab, GROUP)->from_ns, lab->told[0]->first_seen_ns);
	assert_int_equal(lab_find(lab, GROUP)->to_ns, lab->end_ns);
}

static void one_timeout_is_no_loop(void **state)
{
	play_timeout(*state, 1);
	assert_verdict(*state, GROUP, "none");
}

/* The next session begins where this one does. */
static void beside(struct lab *lab, uint64_t begin_ns)
{
	lab->tape.now_ns = begin_ns;
}

/* Two clients of one name, whose host has gone. */
static void two_that_time_out_at_a_time_are_no_loop(void **state)
{
	play_timeout(*state, 1);
	beside(*state, SECOND);
	play_timeout(*state, 2);
	assert_verdict(*state, GROUP, "none");
}

/* Its walsender goes on until it is given up, and the client has long come again. */
static void one_that_comes_again_before_it_is_given_up_is_in_a_loop(void **state)
{
	struct lab *lab = *state;

	for (uint32_t pid = 1; pid <= 2; pid++) {
		lab->tape = ws_tape_new(lab->tape.sink, pid, (6 * pid - 5) * SECOND);
		lab_stream(lab, 0);
		lab_waits(lab, WAL, .seconds = 2, .reply = true);
		lab_waits(lab, WAL, .seconds = 9);
		ws_tape_error(&lab->tape, WS_ELEVEL_COMMERROR, "XX000", "WalSndCheckTimeOut",
			      "terminating walsender process due to replication timeout");
		ws_tape_exit(&lab->tape, 0, 0);
	}
	assert_verdict(lab, GROUP, "timeout_loop");
}

static void a_client_that_gets_on_between_timeouts_is_not_said_to_stay_where_it_is(void **state)
{
	struct lab *lab = *state;

	for (uint32_t pid = 1; pid <= 2; pid++) {
		char text[64];

		lab->tape = ws_tape_new(lab->tape.sink, pid, lab->tape.now_ns + SECOND);
		snprintf(text, sizeof(text), "START_REPLICATION 0/1%u000000 TIMELINE 1", pid);
		lab->sent = LSN + pid * 16 * MB;
		ws_tape_session(&lab->tape, 0);
		ws_tape_ready(&lab->tape);
		ws_tape_command(&lab->tape, text);
		ws_tape_stream(&lab->tape, 0, lab->sent, NULL);
		lab->tape.mark_ns = lab->tape.now_ns;
		lab_waits(lab, WAL, .seconds = 5);
		ws_tape_error(&lab->tape, WS_ELEVEL_COMMERROR, "XX000", "WalSndCheckTimeOut",
			      "terminating walsender process due to replication timeout");
		ws_tape_exit(&lab->tape, 0, 0);
	}
	assert_verdict(lab, GROUP, "timeout_loop");
	assert_null(strstr(lab_find(lab, GROUP)->finding.text, "same position"));
	assert_null(strstr(lab_find(lab, GROUP)->finding.advice, "same position"));
}

static void play_backup(struct lab *lab, uint32_t pid, uint64_t seconds, bool broken_off)
{
	lab->tape = ws_tape_new(lab->tape.sink, pid, lab->tape.now_ns + SECOND);
	ws_tape_session(&lab->tape, 0);
	ws_tape_ready(&lab->tape);
	ws_tape_command(&lab->tape, "BASE_BACKUP ( LABEL 'x' )");
	ws_tape_backup(&lab->tape, WS_BACKUP_STREAM, 0, 0);
	lab->tape.now_ns += seconds * SECOND;
	ws_tape_backup(&lab->tape, WS_BACKUP_STREAM, MB, 0);
	if (broken_off) {
		ws_tape_error(&lab->tape, WS_ELEVEL_FATAL, "08006", "ProcessInterrupts",
			      "connection to client lost");
	} else {
		ws_tape_end(&lab->tape, WS_COMMAND_DONE);
		ws_tape_ending(&lab->tape, 0, WS_END_CAUSE_CLIENT_EOF);
	}
	ws_tape_exit(&lab->tape, broken_off, 0);
}

/* It streams and replies for so long, and then it is silent. */
static void play_work_and_timeout_of(struct lab *lab, uint32_t pid, uint64_t lsn,
				     unsigned int seconds)
{
	char text[64];

	lab->tape = ws_tape_new(lab->tape.sink, pid, lab->tape.now_ns + SECOND);
	snprintf(text, sizeof(text), "START_REPLICATION 0/%X TIMELINE 1", (unsigned int)lsn);
	lab->sent = lsn;
	ws_tape_session(&lab->tape, 0);
	ws_tape_ready(&lab->tape);
	ws_tape_command(&lab->tape, text);
	ws_tape_stream(&lab->tape, 0, lab->sent, NULL);
	lab->tape.mark_ns = lab->tape.now_ns;
	lab_waits(lab, WAL, .seconds = seconds, .bytes = 1000, .reply = true);
	lab_waits(lab, WAL, .seconds = 5);
	time_out(lab);
}

static void play_work_and_timeout(struct lab *lab, uint32_t pid, uint64_t lsn)
{
	play_work_and_timeout_of(lab, pid, lsn, 100);
}

static void timeouts_behind_good_streaming_are_no_loop(void **state)
{
	play_work_and_timeout(*state, 1, LSN);
	play_work_and_timeout(*state, 2, LSN + MB);
	assert_verdict(*state, GROUP, "none");
}

/* It works on one large transaction, as long as it may. */
static void timeouts_from_one_position_are_a_loop_however_long_they_stream(void **state)
{
	play_work_and_timeout(*state, 1, LSN);
	play_work_and_timeout(*state, 2, LSN);
	assert_verdict(*state, GROUP, "timeout_loop");
}

/* The last one begins elsewhere. */
static void play_timeouts_with_a_backup_between(struct lab *lab, bool broken_off)
{
	play_timeout(lab, 1);
	play_backup(lab, 2, 120, broken_off);
	play_work_and_timeout_of(lab, 3, LSN + MB, 5);
}

static void timeouts_with_work_between_are_no_loop(void **state)
{
	play_timeouts_with_a_backup_between(*state, false);
	assert_verdict(*state, GROUP, "none");
}

/* That is no work. */
static void timeouts_with_a_backup_that_is_broken_off_between_are_a_loop(void **state)
{
	play_timeouts_with_a_backup_between(*state, true);
	assert_verdict(*state, GROUP, "timeout_loop");
}

static void play_reset(struct lab *lab, uint32_t pid, unsigned int seconds)
{
	play_end(lab, pid, "08006", "pq_recvbuf",
		 "could not receive data from client: Connection reset by peer", seconds);
}

/* Four pg_receivewal of one host, under the name all of them have. */
static void clients_that_are_gone_at_a_time_are_no_loop(void **state)
{
	for (uint32_t pid = 1; pid <= 4; pid++) {
		beside(*state, SECOND);
		play_reset(*state, pid, 5);
	}
	assert_verdict(*state, GROUP, "none");
}

static void a_loop_beside_another_client_of_its_name_is_one(void **state)
{
	play_end(*state, 9, NULL, NULL, NULL, 600);
	beside(*state, SECOND);
	for (uint32_t pid = 1; pid <= 4; pid++)
		play_reset(*state, pid, 5);
	assert_verdict(*state, GROUP, "reconnect_loop");
	assert_said_of(*state, GROUP, "4 sessions ended soon");
}

/* libpq tries once more as soon as it is told, and the process that told it still ends. */
static void those_that_begin_while_the_one_before_ends_are_of_a_loop(void **state)
{
	struct lab *lab = *state;

	for (uint32_t pid = 1; pid <= 3; pid++) {
		lab->tape = ws_tape_new(lab->tape.sink, pid, SECOND + pid * SECOND / 40);
		ws_tape_session(&lab->tape, 0);
		ws_tape_ready(&lab->tape);
		ws_tape_command(&lab->tape, "START_REPLICATION 0/10000000 TIMELINE 1");
		ws_tape_error(&lab->tape, WS_ELEVEL_ERROR, "55006", "ReplicationSlotAcquire",
			      "replication slot \"s\" is active for PID 5");
		lab->tape.now_ns += SECOND / 30;
		ws_tape_exit(&lab->tape, 0, 0);
	}
	assert_verdict(lab, GROUP, "reconnect_loop");
}

/* Refused once while its server starts, and then it streams all day: three times. */
static void failures_with_work_between_are_no_loop(void **state)
{
	for (uint32_t pid = 1; pid <= 6; pid += 2) {
		play_reset(*state, pid, 5);
		play_end(*state, pid + 1, NULL, NULL, NULL, 100);
	}
	assert_verdict(*state, GROUP, "none");
}

static void three_short_sessions_that_fail_are_a_reconnect_loop(void **state)
{
	for (uint32_t pid = 1; pid <= 3; pid++)
		play_end(*state, pid, "55006", "ReplicationSlotAcquire",
			 "replication slot \"s\" is active for PID 5", 0);
	assert_verdict(*state, GROUP, "reconnect_loop");
	assert_non_null(strstr(lab_find(*state, GROUP)->finding.text, "55006"));
}

static void clients_that_are_just_gone_are_a_reconnect_loop_and_their_log_knows_why(void **state)
{
	for (uint32_t pid = 1; pid <= 3; pid++)
		play_end(*state, pid, "08006", "pq_recvbuf",
			 "could not receive data from client: Connection reset by peer", 5);
	assert_verdict(*state, GROUP, "reconnect_loop");
	assert_said_of(*state, GROUP,
		       "SQLSTATE 08006 (could not receive data from client: Connection reset by "
		       "peer), its connection broken off");
}

/* Its client is gone without a word, whether the server refused it before or not. */
static void play_gone(struct lab *lab, uint32_t pid, bool refused)
{
	lab->tape = ws_tape_new(lab->tape.sink, pid, lab->tape.now_ns + SECOND);
	ws_tape_session(&lab->tape, 0);
	ws_tape_ready(&lab->tape);
	if (refused) {
		ws_tape_command(&lab->tape, "START_REPLICATION 0/10000000 TIMELINE 1");
		ws_tape_error(&lab->tape, WS_ELEVEL_ERROR, "55006", "ReplicationSlotAcquire",
			      "replication slot \"s\" is active for PID 5");
	}
	ws_tape_ending(&lab->tape, 0, WS_END_CAUSE_CLIENT_EOF);
	ws_tape_exit(&lab->tape, 0, 0);
	assert_int_equal(lab->told[lab->told_count - 1]->exit_reason, WS_END_CLIENT_EOF);
}

static void clients_that_are_refused_and_hang_up_did_not_crash(void **state)
{
	for (uint32_t pid = 1; pid <= 3; pid++)
		play_gone(*state, pid, true);
	assert_verdict(*state, GROUP, "reconnect_loop");
	assert_said_of(*state, GROUP,
		       "the last with SQLSTATE 55006 (replication slot \"s\" is active for PID 5); "
		       "the last is");
}

static void an_error_that_is_not_the_last_one_s_is_not_said_to_be(void **state)
{
	for (uint32_t pid = 1; pid <= 3; pid++)
		play_gone(*state, pid, pid < 3);
	assert_verdict(*state, GROUP, "reconnect_loop");
	assert_said_of(
		*state, GROUP,
		"some with an error, of late SQLSTATE 55006 (replication slot \"s\" is active for "
		"PID 5), and the last one's connection "
		"broken off as by a client that crashed");
}

/* Each takes two minutes. */
static void play_backups(struct lab *lab, bool broken_off)
{
	for (uint32_t pid = 1; pid <= 3; pid++)
		play_backup(lab, pid, 120, broken_off);
}

/* The disk that it writes to is too small. */
static void a_backup_that_is_broken_off_again_and_again_is_a_reconnect_loop(void **state)
{
	play_backups(*state, true);
	assert_verdict(*state, GROUP, "reconnect_loop");
	assert_said_of(*state, GROUP, "begins a base backup again and again: 3 were broken off");
}

/* Each has a second session for the WAL meanwhile (-X stream), that begins later and ends
 * a moment sooner. */
static void a_backup_that_streams_wal_beside_it_is_one_that_is_broken_off(void **state)
{
	struct lab *lab = *state;

	for (uint32_t pid = 1; pid <= 6; pid += 2) {
		uint64_t begin_ns = lab->tape.now_ns + SECOND;

		play_backup(lab, pid, 30, true);
		beside(lab, begin_ns);
		play_reset(lab, pid + 1, 28);
	}
	assert_verdict(lab, GROUP, "reconnect_loop");
	assert_said_of(lab, GROUP, "begins a base backup again and again: 3 were broken off");
}

static void backups_whose_client_hangs_up_behind_their_end_are_no_loop(void **state)
{
	play_backups(*state, false);
	assert_verdict(*state, GROUP, "none");
}

static void one_that_was_over_at_once_says_how_it_ended(void **state)
{
	play_end(*state, 1, "55006", "ReplicationSlotAcquire",
		 "replication slot \"s\" is active for PID 5", 0);
	assert_verdict(*state, SESSION, "insufficient_data");
	assert_said_of(*state, SESSION,
		       "Then it ended: client_terminated; its last error was SQLSTATE 55006 "
		       "(replication slot \"s\" is active for PID 5).");
	assert_null(strstr(lab_find(*state, SESSION)->finding.advice, "Look for longer"));
}

static void three_short_sessions_that_end_well_are_no_loop(void **state)
{
	struct lab *lab = *state;

	for (uint32_t pid = 1; pid <= 5; pid++) {
		lab->tape = ws_tape_new(lab->tape.sink, pid, lab->tape.now_ns + SECOND);
		ws_tape_session(&lab->tape, 0);
		ws_tape_ready(&lab->tape);
		ws_tape_command(&lab->tape, "IDENTIFY_SYSTEM");
		ws_tape_end(&lab->tape, WS_COMMAND_DONE);
		ws_tape_exit(&lab->tape, 0, 0);
	}
	assert_verdict(lab, GROUP, "none");
}

/* Each of these streams for two seconds, and its client takes leave. */
static void stream_and_leave_each(struct lab *lab, uint32_t first, const char *command,
				  uint64_t sent)
{
	for (uint32_t pid = first; pid <= 3; pid++) {
		lab->tape = ws_tape_new(lab->tape.sink, pid, lab->tape.now_ns + SECOND);
		lab->sent = sent;
		ws_tape_session(&lab->tape, WS_SESSION_DATABASE);
		ws_tape_ready(&lab->tape);
		ws_tape_command(&lab->tape,
				"SELECT pg_catalog.set_config('search_path', '', false);");
		ws_tape_end(&lab->tape, WS_COMMAND_IS_SQL);
		ws_tape_command(&lab->tape, "IDENTIFY_SYSTEM");
		ws_tape_end(&lab->tape, WS_COMMAND_DONE);
		ws_tape_command(&lab->tape, command);
		ws_tape_stream(&lab->tape, WS_STREAM_LOGICAL | WS_STREAM_SLOT, sent, "sub");
		lab->tape.mark_ns = lab->tape.now_ns;
		lab_waits(lab, WAL, .seconds = 2, .reply = true);
		ws_tape_exit(&lab->tape, 0, 0);
	}
}

static void stream_and_leave(struct lab *lab, const char *command, uint64_t sent)
{
	stream_and_leave_each(lab, 1, command, sent);
}

#define APPLY                                                                    \
	"START_REPLICATION SLOT \"sub\" LOGICAL 0/10000000 (proto_version '3', " \
	"publication_names '\"p\"')"

/* It is found at its stream, so old; goes on for two seconds, and leaves. Two more follow. */
static void find_first(struct lab *lab, uint64_t age_ns)
{
	struct ws_rec_session r = { .postmaster_pid = POSTMASTER_PID,
				    .valid = WS_VALID_PARENT | WS_VALID_USER |
					     WS_VALID_APPLICATION | WS_VALID_HOST,
				    .found = WS_FOUND_STREAM_WAL,
				    .sent_lsn = LSN,
				    .user = "replicator",
				    .application = "standby1",
				    .host = "192.0.2.7",
				    .slot = "sub" };

	lab->tape.mark_ns = lab->tape.now_ns += age_ns;
	r.fork_ns = lab->tape.now_ns - age_ns;
	ws_tape_send(&lab->tape, &r.h, WS_KIND_SESSION, sizeof(r),
		     WS_SESSION_RUNNING | WS_SESSION_DATABASE);
	ws_tape_command_head(&lab->tape, WS_COMMAND_RUNNING);
	ws_tape_text(&lab->tape, WS_TEXT_COMMAND, 0, APPLY, sizeof(APPLY) - 1, WS_TEXT_LAST);
	lab->sent = LSN;
	lab_waits(lab, WAL, .seconds = 2, .reply = true);
	ws_tape_exit(&lab->tape, 0, 0);
	stream_and_leave_each(lab, 2, APPLY, LSN);
}

static void an_apply_worker_that_is_found_and_fails_is_of_its_loop(void **state)
{
	struct lab *lab = *state;

	find_first(lab, SECOND);
	assert_true(lab->told[0]->was_running);
	assert_verdict(lab, GROUP, "reconnect_loop");
	assert_said_of(lab, GROUP, "The client connects again and again: 3 sessions ended soon");
}

/* It did its work for an hour. */
static void but_not_one_that_is_found_long_behind_its_start(void **state)
{
	struct lab *lab = *state;

	find_first(lab, 3600 * SECOND);
	assert_verdict(lab, GROUP, "none");
}

/* Whatever it meets, it takes leave in good order (logicalrep_worker_onexit). */
static void an_apply_worker_that_fails_again_and_again_is_a_reconnect_loop(void **state)
{
	struct lab *lab = *state;

	stream_and_leave(lab, APPLY, LSN);
	assert_int_equal(lab->told[0]->exit_reason, WS_END_CLIENT_TERMINATED);
	assert_verdict(lab, GROUP, "reconnect_loop");
	assert_said_of(lab, GROUP,
		       "it is the client that ends them: its own log says why; the last is the 2nd "
		       "restart at 0/10000000");
}

/* A pg_receivewal (or pg_recvlogical): told to end, it says CopyDone first. */
static void receive_and_leave(struct lab *lab, bool logical, bool copy_done)
{
	static const char *const before[] = { "SHOW data_directory_mode", "IDENTIFY_SYSTEM",
					      "IDENTIFY_SYSTEM" };

	for (uint32_t pid = 1; pid <= 3; pid++) {
		lab->tape = ws_tape_new(lab->tape.sink, pid, lab->tape.now_ns + SECOND);
		lab->sent = LSN;
		ws_tape_session(&lab->tape, logical ? WS_SESSION_DATABASE : 0);
		ws_tape_ready(&lab->tape);
		if (logical) {
			ws_tape_command(&lab->tape, "SELECT pg_catalog.set_config('search_path', "
						    "'', false);");
			ws_tape_end(&lab->tape, WS_COMMAND_IS_SQL);
		}
		for (size_t i = 0; i < WS_ARRAY_SIZE(before) - logical; i++) {
			ws_tape_command(&lab->tape, before[i]);
			ws_tape_end(&lab->tape, WS_COMMAND_DONE);
		}
		ws_tape_command(&lab->tape, logical ? "START_REPLICATION SLOT \"s\" LOGICAL 0/0"
						    : "START_REPLICATION 0/10000000 TIMELINE 1");
		ws_tape_stream(&lab->tape, logical ? WS_STREAM_LOGICAL : 0, LSN, NULL);
		lab->tape.mark_ns = lab->tape.now_ns;
		lab_waits(lab, WAL, .seconds = 1, .reply = true);
		if (copy_done) {
			ws_tape_end(&lab->tape, WS_COMMAND_DONE);
			lab->tape.now_ns += SECOND / 1000;
		}
		ws_tape_exit(&lab->tape, 0, 0);
	}
	assert_int_equal(lab->told[0]->exit_reason, WS_END_CLIENT_TERMINATED);
	assert_int_equal(lab->told[0]->program,
			 logical ? WS_PROGRAM_PG_RECVLOGICAL : WS_PROGRAM_PG_RECEIVEWAL);
}

/* Its disk is full: it tries again every 5 s. */
static void a_receiver_that_leaves_in_midstream_again_and_again_is_a_reconnect_loop(void **state)
{
	receive_and_leave(*state, false, false);
	assert_verdict(*state, GROUP, "reconnect_loop");
	assert_said_of(*state, GROUP,
		       "it is the client that ends them: its own log says why; the last is the 2nd "
		       "restart at 0/10000000");
}

static void a_receiver_that_is_told_to_end_again_and_again_is_no_loop(void **state)
{
	receive_and_leave(*state, false, true);
	assert_verdict(*state, GROUP, "none");
}

/* From cron, say: timeout 30 pg_recvlogical. */
static void a_pg_recvlogical_that_is_told_to_end_again_and_again_is_no_loop(void **state)
{
	receive_and_leave(*state, true, false);
	assert_verdict(*state, GROUP, "none");
}

static void a_consumer_that_comes_now_and_then_is_no_loop(void **state)
{
	struct lab *lab = *state;

	stream_and_leave(lab, "START_REPLICATION SLOT \"sub\" LOGICAL 0/0", LSN);
	assert_int_equal(lab->told[0]->exit_reason, WS_END_CLIENT_TERMINATED);
	assert_verdict(lab, GROUP, "none");
}

static void a_segment_that_is_gone_is_named(void **state)
{
	play_end(*state, 1, "58P01", "XLogSendPhysical",
		 "requested WAL segment 000000010000000000000010 has already been removed", 0);
	assert_verdict(*state, GROUP, "wal_removed");
	assert_non_null(strstr(lab_find(*state, GROUP)->finding.text, "000000010000000000000010"));
}

static void play_refused_of(struct lab *lab, uint32_t pid, const char *slot, const char *sqlstate,
			    const char *message)
{
	char text[128];

	snprintf(text, sizeof(text), "START_REPLICATION SLOT \"%s\" LOGICAL 0/10000000", slot);
	lab->tape = ws_tape_new(lab->tape.sink, pid, lab->tape.now_ns + SECOND);
	ws_tape_session(&lab->tape, WS_SESSION_DATABASE);
	ws_tape_ready(&lab->tape);
	ws_tape_command(&lab->tape, text);
	ws_tape_error(&lab->tape, WS_ELEVEL_ERROR, sqlstate, "StartLogicalReplication", message);
	ws_tape_exit(&lab->tape, 0, 0);
}

static void play_refused(struct lab *lab, uint32_t pid, const char *sqlstate, const char *message)
{
	play_refused_of(lab, pid, "lost_one", sqlstate, message);
}

static void a_history_file_that_is_missing_is_no_wal_removed(void **state)
{
	struct lab *lab = *state;

	ws_tape_session(&lab->tape, 0);
	ws_tape_ready(&lab->tape);
	ws_tape_command(&lab->tape, "TIMELINE_HISTORY 9");
	ws_tape_error(&lab->tape, WS_ELEVEL_ERROR, "58P01", "SendTimeLineHistory",
		      "could not open file \"pg_wal/00000009.history\"");
	ws_tape_exit(&lab->tape, 0, 0);
	assert_verdict(lab, GROUP, "none");
}

static void a_slot_that_nobody_can_stream_from_is_invalidated(void **state)
{
	for (uint32_t pid = 1; pid <= 3; pid++)
		play_refused(*state, pid, "55000",
			     "cannot read from logical replication slot \"lost_one\"");
	assert_verdict(*state, GROUP, "slot_invalidated");
	assert_non_null(
		strstr(lab_find(*state, GROUP)->finding.text, "3 sessions of it were refused"));
}

static void one_that_is_refused_for_the_server_s_sake_says_nothing_of_its_slot(void **state)
{
	for (uint32_t pid = 1; pid <= 3; pid++)
		play_refused(*state, pid, "55000",
			     "logical decoding requires wal_level >= logical");
	assert_verdict(*state, GROUP, "reconnect_loop");
}

/* CreateDecodingContext, logical.c: the same SQLSTATE, and it names the slot. */
static void one_that_is_refused_in_another_database_says_nothing_of_its_slot(void **state)
{
	for (uint32_t pid = 1; pid <= 3; pid++)
		play_refused(*state, pid, "55000",
			     "replication slot \"lost_one\" was not created in this database");
	assert_verdict(*state, GROUP, "reconnect_loop");
}

/* Where the slot was streamed from on a standby, until `how` ended that. */
static void play_on_standby(struct lab *lab, uint32_t pid, const char *sqlstate, const char *how)
{
	lab->tape = ws_tape_new(lab->tape.sink, pid, lab->tape.now_ns + SECOND);
	ws_tape_session(&lab->tape, WS_SESSION_DATABASE);
	ws_tape_ready(&lab->tape);
	ws_tape_phase(&lab->tape, WS_PHASE_INITIALIZED, WS_PHASE_CASCADING);
	ws_tape_command(&lab->tape, "START_REPLICATION SLOT \"s\" LOGICAL 0/10000000");
	ws_tape_stream(&lab->tape, WS_STREAM_LOGICAL, lab->sent, "s");
	lab->tape.mark_ns = lab->tape.now_ns;
	lab_waits(lab, WAL, .seconds = 10, .flags = WS_TURN_LOGICAL, .reply = true);
	ws_tape_error(&lab->tape, WS_ELEVEL_ERROR, sqlstate, "ProcessInterrupts", how);
	ws_tape_exit(&lab->tape, 0, 0);
}

static void a_stream_that_is_in_the_way_of_replay_has_lost_its_slot(void **state)
{
	play_on_standby(*state, 1, "40001", "canceling statement due to conflict with recovery");
	assert_verdict(*state, SESSION, "slot_invalidated");
	assert_said_of(*state, SESSION, "its replay had to invalidate the slot");
}

static void a_stream_that_ends_with_an_error_says_so(void **state)
{
	play_on_standby(*state, 1, "22P05", "character has no equivalent");
	assert_verdict(*state, SESSION, "healthy_idle");
	assert_said_of(*state, SESSION,
		       "Its START_REPLICATION ended with an error, SQLSTATE 22P05 (character has "
		       "no equivalent).");
	assert_string_not_equal(lab_find(*state, SESSION)->finding.advice, "Nothing to do.");
}

/* On a standby. */
static void play_refused_there(struct lab *lab, uint32_t pid, const char *message)
{
	lab->tape = ws_tape_new(lab->tape.sink, pid, lab->tape.now_ns + SECOND);
	ws_tape_session(&lab->tape, WS_SESSION_DATABASE);
	ws_tape_ready(&lab->tape);
	ws_tape_phase(&lab->tape, WS_PHASE_INITIALIZED, WS_PHASE_CASCADING);
	ws_tape_command(&lab->tape, "START_REPLICATION SLOT \"s\" LOGICAL 0/10000000");
	ws_tape_error(&lab->tape, WS_ELEVEL_ERROR, "55000", "CreateDecodingContext", message);
	ws_tape_exit(&lab->tape, 0, 0);
}

static void a_slot_that_a_standby_has_lost_is_invalidated(void **state)
{
	for (uint32_t pid = 1; pid <= 3; pid++)
		play_refused_there(*state, pid,
				   "can no longer get changes from replication slot \"s\"");
	assert_verdict(*state, GROUP, "slot_invalidated");
}

static void a_slot_that_a_standby_synchronizes_is_not_lost(void **state)
{
	for (uint32_t pid = 1; pid <= 3; pid++)
		play_refused_there(*state, pid,
				   "cannot use replication slot \"s\" for logical decoding");
	assert_verdict(*state, GROUP, "reconnect_loop");
	assert_said_of(*state, GROUP,
		       "as the slot is one that this standby synchronizes from its primary");
	assert_non_null(strstr(lab_find(*state, GROUP)->finding.advice, "connect to the primary"));
}

static void a_slot_whose_name_is_part_of_a_word_is_not_named(void **state)
{
	for (uint32_t pid = 1; pid <= 3; pid++)
		play_refused_of(*state, pid, "logical", "55000",
				"logical decoding requires wal_level >= logical");
	assert_verdict(*state, GROUP, "reconnect_loop");
}

static void a_slot_that_is_named_in_another_language_is_named(void **state)
{
	play_refused_of(*state, 1, "s", "55000",
			"ne peut plus acc\303\251der au slot \302\253\302\240s\302\240\302\273");
	assert_verdict(*state, GROUP, "slot_invalidated");
}

static void a_session_told_to_give_its_slot_up_is_told(void **state)
{
	struct lab *lab = *state;

	lab_stream(lab, 0);
	lab_waits(lab, SOCKET, .seconds = 5);
	ws_tape_signal(&lab->tape, 0, SIGTERM, WS_ROLE_CHECKPOINTER, 77);
	lab->tape.now_ns += 5 * SECOND;
	ws_tape_clock(&lab->tape, 1, 1);
	assert_verdict(lab, SESSION, "slot_invalidated");
	assert_verdict(lab, GROUP, "slot_invalidated");
}

/* One of a loop that lasts 6 s and more, of which the window has the first ones. */
static void play_timeouts(struct lab *lab, uint32_t from_pid, uint32_t to_pid)
{
	for (uint32_t pid = from_pid; pid <= to_pid; pid++)
		play_timeout(lab, pid);
}

static void a_timeout_behind_the_window_makes_no_loop(void **state)
{
	struct lab *lab = *state;

	lab_window(lab, 0, 10 * SECOND);
	play_timeouts(lab, 1, 2);
	assert_true(lab->told[0]->end_ns < 10 * SECOND && lab->told[1]->end_ns > 10 * SECOND);
	assert_verdict(lab, GROUP, "none");
}

static void restarts_behind_the_window_are_not_counted(void **state)
{
	struct lab *lab = *state;

	lab_window(lab, 0, 15 * SECOND);
	play_timeouts(lab, 1, 5);
	assert_verdict(lab, GROUP, "timeout_loop");
	assert_non_null(strstr(lab_find(lab, GROUP)->finding.text, "2 sessions in a row"));
}

static void one_that_goes_on_at_the_end_of_the_window_tells_that_a_loop_is_over(void **state)
{
	struct lab *lab = *state;

	lab_window(lab, 0, 100 * SECOND);
	play_timeouts(lab, 1, 2);
	play_end(lab, 3, NULL, NULL, NULL, 120);
	assert_verdict(lab, GROUP, "timeout_loop");
	assert_non_null(strstr(lab_find(lab, GROUP)->finding.text, "it seems to be over"));
}

static void a_refusal_behind_the_window_is_no_wal_removed(void **state)
{
	struct lab *lab = *state;

	lab_window(lab, 0, 8 * SECOND);
	lab_stream(lab, 0);
	lab_waits(lab, WAL, .seconds = 10, .reply = true);
	ws_tape_error(&lab->tape, WS_ELEVEL_ERROR, "58P01", "XLogSendPhysical",
		      "requested WAL segment 000000010000000000000010 has already been removed");
	ws_tape_exit(&lab->tape, 0, 0);
	assert_verdict(lab, SESSION, "healthy_idle");
	assert_verdict(lab, GROUP, "none");
}

static void a_slot_lost_behind_the_window_is_not_lost_yet(void **state)
{
	struct lab *lab = *state;

	lab_window(lab, 0, 8 * SECOND);
	lab_stream(lab, 0);
	lab_waits(lab, WAL, .seconds = 10, .reply = true);
	ws_tape_signal(&lab->tape, 0, SIGTERM, WS_ROLE_CHECKPOINTER, 77);
	ws_tape_error(&lab->tape, WS_ELEVEL_FATAL, "57P01", "ProcessInterrupts",
		      "terminating connection due to administrator command");
	ws_tape_exit(&lab->tape, 1, 0);
	assert_verdict(lab, SESSION, "healthy_idle");
	assert_verdict(lab, GROUP, "none");
}

/* What it did last in the window is what it does: here for less than half of it. */
static void a_state_that_lasts_where_the_window_ends_counts_though_it_ends_behind(void **state)
{
	struct lab *lab = *state;

	static const struct ws_rec_sample full = { .valid = WS_SAMPLE_UNIX,
						   .unix_queued_bytes = 200000,
						   .unix_sndbuf_bytes = 212992 };

	lab_window(lab, 0, 30 * SECOND);
	lab_stream(lab, 0);
	lab_waits(lab, WAL, .seconds = 20, .reply = true);
	lab_waits(lab, SOCKET, .seconds = 1, .sample = &full);
	lab->tape.now_ns += 7 * SECOND;
	lab_outside(lab, &(struct step){ .sample = &full });
	ws_tape_turn(&lab->tape,
		     &(struct ws_tape_turn){ .stage_ns = { [WS_STAGE_WAIT] = 10 * SECOND },
					     .wait = WS_WAIT_WAL });
	lab_waits(lab, WAL, .seconds = 5, .reply = true);
	assert_verdict(lab, SESSION, "receiver_not_reading");
}

static void sessions_that_ended_in_front_of_the_window_are_of_no_loop_in_it(void **state)
{
	struct lab *lab = *state;

	lab_window(lab, 14 * SECOND, UINT64_MAX);
	play_timeouts(lab, 1, 3);
	assert_int_equal(lab->told_count, 1);
	assert_verdict(lab, GROUP, "none");
}

static void one_that_began_in_front_of_the_window_and_ended_in_it_is_of_its_loop(void **state)
{
	struct lab *lab = *state;

	lab_window(lab, 10 * SECOND, UINT64_MAX);
	play_timeouts(lab, 1, 3);
	assert_int_equal(lab->told_count, 2);
	assert_true(lab->told[0]->begin_ns < 10 * SECOND);
	assert_verdict(lab, GROUP, "timeout_loop");
	assert_non_null(strstr(lab_find(lab, GROUP)->finding.text, "2 sessions in a row"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB(two_timeouts_from_one_position_are_a_loop),
		LAB(the_restarts_of_a_loop_are_counted),
		LAB(how_one_stood_when_it_was_given_up_is_said),
		LAB(a_loop_that_is_over_says_so),
		LAB(a_group_is_looked_at_from_the_first_record_to_the_last),
		LAB(one_timeout_is_no_loop),
		LAB(timeouts_behind_good_streaming_are_no_loop),
		LAB(timeouts_from_one_position_are_a_loop_however_long_they_stream),
		LAB(timeouts_with_work_between_are_no_loop),
		LAB(timeouts_with_a_backup_that_is_broken_off_between_are_a_loop),
		LAB(two_that_time_out_at_a_time_are_no_loop),
		LAB(one_that_comes_again_before_it_is_given_up_is_in_a_loop),
		LAB(a_client_that_gets_on_between_timeouts_is_not_said_to_stay_where_it_is),
		LAB(clients_that_are_gone_at_a_time_are_no_loop),
		LAB(a_loop_beside_another_client_of_its_name_is_one),
		LAB(those_that_begin_while_the_one_before_ends_are_of_a_loop),
		LAB(failures_with_work_between_are_no_loop),
		LAB(three_short_sessions_that_fail_are_a_reconnect_loop),
		LAB(clients_that_are_just_gone_are_a_reconnect_loop_and_their_log_knows_why),
		LAB(clients_that_are_refused_and_hang_up_did_not_crash),
		LAB(an_error_that_is_not_the_last_one_s_is_not_said_to_be),
		LAB(a_backup_that_is_broken_off_again_and_again_is_a_reconnect_loop),
		LAB(a_backup_that_streams_wal_beside_it_is_one_that_is_broken_off),
		LAB(backups_whose_client_hangs_up_behind_their_end_are_no_loop),
		LAB(one_that_was_over_at_once_says_how_it_ended),
		LAB(three_short_sessions_that_end_well_are_no_loop),
		LAB(an_apply_worker_that_is_found_and_fails_is_of_its_loop),
		LAB(but_not_one_that_is_found_long_behind_its_start),
		LAB(an_apply_worker_that_fails_again_and_again_is_a_reconnect_loop),
		LAB(a_receiver_that_leaves_in_midstream_again_and_again_is_a_reconnect_loop),
		LAB(a_receiver_that_is_told_to_end_again_and_again_is_no_loop),
		LAB(a_pg_recvlogical_that_is_told_to_end_again_and_again_is_no_loop),
		LAB(a_consumer_that_comes_now_and_then_is_no_loop),
		LAB(a_segment_that_is_gone_is_named),
		LAB(a_history_file_that_is_missing_is_no_wal_removed),
		LAB(a_slot_that_nobody_can_stream_from_is_invalidated),
		LAB(one_that_is_refused_for_the_server_s_sake_says_nothing_of_its_slot),
		LAB(one_that_is_refused_in_another_database_says_nothing_of_its_slot),
		LAB(a_stream_that_is_in_the_way_of_replay_has_lost_its_slot),
		LAB(a_stream_that_ends_with_an_error_says_so),
		LAB(a_slot_that_a_standby_has_lost_is_invalidated),
		LAB(a_slot_that_a_standby_synchronizes_is_not_lost),
		LAB(a_slot_whose_name_is_part_of_a_word_is_not_named),
		LAB(a_slot_that_is_named_in_another_language_is_named),
		LAB(a_session_told_to_give_its_slot_up_is_told),
		LAB(a_timeout_behind_the_window_makes_no_loop),
		LAB(restarts_behind_the_window_are_not_counted),
		LAB(one_that_goes_on_at_the_end_of_the_window_tells_that_a_loop_is_over),
		LAB(a_refusal_behind_the_window_is_no_wal_removed),
		LAB(a_slot_lost_behind_the_window_is_not_lost_yet),
		LAB(a_state_that_lasts_where_the_window_ends_counts_though_it_ends_behind),
		LAB(sessions_that_ended_in_front_of_the_window_are_of_no_loop_in_it),
		LAB(one_that_began_in_front_of_the_window_and_ended_in_it_is_of_its_loop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
