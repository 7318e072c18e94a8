/* SPDX-License-Identifier: BSD-2-Clause */
/* Sessions that end with their server, again and again. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../lib/diagnosed.h"
#include "diagnose/evidence.h"

#define GROUP WS_SCOPE_GROUP

static void tell_server(struct lab *lab, uint32_t postmaster, const char *datadir)
{
	struct ws_rec_server r = { .h = { .size = sizeof(r),
					  .kind = WS_KIND_SERVER,
					  .pid = postmaster,
					  .time_ns = lab->tape.now_ns,
					  .server = 1 },
				   .major = 15 };

	strcpy(r.datadir, datadir);
	lab_feed(lab, &r.h);
}

static void stream(struct lab *lab, uint32_t pid, uint32_t postmaster, unsigned int seconds)
{
	struct ws_rec_session r = { .postmaster_pid = postmaster ? postmaster : POSTMASTER_PID,
				    .valid = WS_VALID_PARENT | WS_VALID_APPLICATION | WS_VALID_HOST,
				    .application = "standby1",
				    .host = "192.0.2.7" };

	lab->tape = ws_tape_new(lab->tape.sink, pid, lab->tape.now_ns + SECOND);
	lab->sent = LSN;
	r.fork_ns = lab->tape.start_ns;
	ws_tape_send(&lab->tape, &r.h, WS_KIND_SESSION, sizeof(r), 0);
	ws_tape_ready(&lab->tape);
	ws_tape_command(&lab->tape, "START_REPLICATION 0/10000000 TIMELINE 1");
	ws_tape_stream(&lab->tape, 0, lab->sent, NULL);
	lab->tape.mark_ns = lab->tape.now_ns;
	lab_waits(lab, WAL, .seconds = seconds, .reply = true);
}

/* SIGQUIT makes it leave with status 2, without a word. */
static void crash(struct lab *lab)
{
	ws_tape_exit(&lab->tape, 2, 0);
}

/* It starts up again. */
static void be_refused(struct lab *lab, uint32_t pid)
{
	lab->tape = ws_tape_new(lab->tape.sink, pid, lab->tape.now_ns + SECOND);
	ws_tape_session(&lab->tape, 0);
	ws_tape_error(&lab->tape, WS_ELEVEL_FATAL, "57P03", "ProcessStartupPacket",
		      "the database system is in recovery mode");
	ws_tape_exit(&lab->tape, 1, 0);
}

static void a_server_that_crashes_again_and_again_is_the_cause(void **state)
{
	struct lab *lab = *state;

	for (uint32_t pid = 1; pid <= 3; pid++) {
		stream(lab, pid, 0, 99);
		crash(lab);
	}
	assert_verdict(lab, GROUP, "reconnect_loop");
	assert_said_of(lab, GROUP,
		       "The server itself crashes again and again: 3 sessions of this client in a "
		       "row ended with it, the first 3m 20s ago, one in 1m 40s.");
	assert_non_null(strstr(lab_find(lab, GROUP)->finding.advice, "It is the server, not the"));
}

static void though_it_refuses_its_client_while_it_starts_up(void **state)
{
	struct lab *lab = *state;

	for (uint32_t pid = 1; pid <= 9; pid += 3) {
		stream(lab, pid, 0, 9);
		crash(lab);
		be_refused(lab, pid + 1);
		be_refused(lab, pid + 2);
	}
	assert_verdict(lab, GROUP, "reconnect_loop");
	assert_said_of(lab, GROUP, "The server itself crashes again and again: 3 sessions");
}

static void two_crashes_are_not_again_and_again(void **state)
{
	struct lab *lab = *state;

	for (uint32_t pid = 1; pid <= 2; pid++) {
		stream(lab, pid, 0, 9);
		crash(lab);
	}
	stream(lab, 3, 0, 9);
	assert_verdict(lab, GROUP, "none");
}

static void a_client_that_fails_since_is_told_instead(void **state)
{
	struct lab *lab = *state;

	for (uint32_t pid = 1; pid <= 3; pid++) {
		stream(lab, pid, 0, 9);
		crash(lab);
	}
	for (uint32_t pid = 4; pid <= 6; pid++) {
		stream(lab, pid, 0, 9);
		ws_tape_error(&lab->tape, WS_ELEVEL_COMMERROR, "08006", "pq_recvbuf",
			      "could not receive data from client");
		ws_tape_exit(&lab->tape, 0, 0);
	}
	assert_verdict(lab, GROUP, "reconnect_loop");
	assert_said_of(lab, GROUP, "The client connects again and again: 3 sessions");
}

static void lose_connection(struct lab *lab, uint32_t pid)
{
	stream(lab, pid, 0, 9);
	ws_tape_error(&lab->tape, WS_ELEVEL_ERROR, "55006", "ReplicationSlotAcquire",
		      "replication slot \"s\" is active for PID 7");
	ws_tape_exit(&lab->tape, 0, 0);
}

static void one_that_failed_before_the_last_crash_is_told_beside_it(void **state)
{
	struct lab *lab = *state;

	for (uint32_t pid = 1; pid <= 2; pid++) {
		stream(lab, pid, 0, 9);
		crash(lab);
	}
	for (uint32_t pid = 3; pid <= 6; pid++)
		lose_connection(lab, pid);
	stream(lab, 7, 0, 9);
	crash(lab);
	assert_verdict(lab, GROUP, "reconnect_loop");
	assert_said_of(lab, GROUP, "The server itself crashes again and again: 3 sessions");
	assert_said_of(
		lab, GROUP,
		"The client itself connected again and again, too, while the server was there: "
		"4 sessions ended soon, with SQLSTATE 55006");
}

/* Each crash has one behind it. */
static void failures_that_come_of_crashes_are_not_the_client_s(void **state)
{
	struct lab *lab = *state;

	for (uint32_t pid = 1; pid <= 6; pid += 2) {
		stream(lab, pid, 0, 9);
		crash(lab);
		lose_connection(lab, pid + 1);
	}
	stream(lab, 7, 0, 9);
	crash(lab);
	assert_verdict(lab, GROUP, "reconnect_loop");
	assert_said_of(lab, GROUP, "The server itself crashes again and again: 4 sessions");
	assert_null(strstr(lab_find(lab, GROUP)->finding.text, "The client itself"));
}

/* As a service is, with restart_after_crash = off. */
static void so_is_one_that_is_started_anew_each_time(void **state)
{
	struct lab *lab = *state;

	for (uint32_t n = 1; n <= 3; n++) {
		tell_server(lab, 1000 * n, "/var/lib/postgresql/15/main");
		stream(lab, n, 1000 * n, 9);
		crash(lab);
		lab->tape.now_ns += SECOND;
	}
	assert_verdict(lab, GROUP, "reconnect_loop");
	assert_said_of(lab, GROUP, "The server itself crashes again and again: 3 sessions");
	assert_int_equal(lab_find(lab, GROUP)->postmaster_pid, 3000);
}

/* Containers of one image. */
static void servers_of_one_path_at_a_time_are_not_one(void **state)
{
	struct lab *lab = *state;
	uint64_t begin = lab->tape.now_ns;

	for (uint32_t n = 1; n <= 3; n++)
		tell_server(lab, 1000 * n, "/var/lib/postgresql/data");
	for (uint32_t n = 1; n <= 3; n++) {
		lab->tape.now_ns = begin + n * SECOND;
		stream(lab, n, 1000 * n, 9);
		crash(lab);
	}
	assert_verdict(lab, GROUP, "none");
}

static void read_server(struct lab *lab, uint32_t postmaster)
{
	struct ws_rec_cluster r = { .h = { .size = sizeof(r),
					   .kind = WS_KIND_CLUSTER,
					   .pid = postmaster,
					   .time_ns = lab->tape.now_ns,
					   .server = 1 },
				    .db_state = WS_DB_IN_PRODUCTION,
				    .valid = WS_CLUSTER_STATE };

	lab_feed(lab, &r.h);
}

/* They have sessions by turns. */
static void nor_are_those_that_are_read_at_a_time(void **state)
{
	struct lab *lab = *state;

	for (uint32_t n = 1; n <= 3; n++) {
		tell_server(lab, 1000 * n, "/var/lib/postgresql/data");
		stream(lab, n, 1000 * n, 9);
		crash(lab);
		lab->tape.now_ns += SECOND;
	}
	for (uint32_t n = 1; n <= 3; n++)
		read_server(lab, 1000 * n);
	assert_verdict(lab, GROUP, "none");
}

/* The last that is told of one is that nothing is known of it any more. */
static void one_whose_end_is_told_late_is_the_same(void **state)
{
	struct lab *lab = *state;

	for (uint32_t n = 1; n <= 3; n++) {
		struct ws_rec_cluster gone = { .h = { .size = sizeof(gone),
						      .kind = WS_KIND_CLUSTER,
						      .pid = 1000 * (n - 1),
						      .server = 1 } };

		tell_server(lab, 1000 * n, "/var/lib/postgresql/15/main");
		gone.h.time_ns = lab->tape.now_ns += SECOND;
		if (gone.h.pid)
			lab_feed(lab, &gone.h);
		read_server(lab, 1000 * n);
		stream(lab, n, 1000 * n, 9);
		crash(lab);
		lab->tape.now_ns += SECOND;
	}
	assert_verdict(lab, GROUP, "reconnect_loop");
}

static void one_that_is_stopped_in_immediate_mode_says_so(void **state)
{
	struct lab *lab = *state;

	for (uint32_t n = 1; n <= 3; n++) {
		tell_server(lab, 1000 * n, "/var/lib/postgresql/15/main");
		stream(lab, n, 1000 * n, 9);
		ws_tape_signal(&lab->tape, 1000 * n, SIGQUIT, WS_ROLE_OTHER, 5);
		crash(lab);
		lab->tape.now_ns += SECOND;
	}
	assert_verdict(lab, GROUP, "reconnect_loop");
	assert_said_of(lab, GROUP,
		       "The server itself is stopped in immediate mode again and again");
}

static void one_that_is_restarted_in_good_order_makes_no_loop(void **state)
{
	struct lab *lab = *state;

	for (uint32_t n = 1; n <= 4; n++) {
		tell_server(lab, 1000 * n, "/var/lib/postgresql/15/main");
		stream(lab, n, 1000 * n, 9);
		ws_tape_signal(&lab->tape, 1000 * n, SIGINT, WS_ROLE_OTHER, 5);
		ws_tape_state(&lab->tape, WS_WALSND_STREAMING, WS_WALSND_STOPPING);
		ws_tape_exit(&lab->tape, 0, 0);
		lab->tape.now_ns += SECOND;
	}
	assert_verdict(lab, GROUP, "none");
}

/* A recording may say what it likes: each of very many servers has a session to the end. */
static void very_many_servers_of_one_path_take_no_time(void **state)
{
	const size_t count = 4000;
	struct ws_diagnosis d = { .server_count = count };
	struct ws_session *sessions = calloc(count, sizeof(*sessions));
	const struct ws_session **each = calloc(count, sizeof(const struct ws_session *));

	(void)state;
	d.servers = calloc(count, sizeof(*d.servers));
	assert_true(sessions && each && d.servers);
	for (size_t i = 0; i < count; i++) {
		d.servers[i].pid = sessions[count - 1 - i].postmaster_pid = (uint32_t)i + 1;
		d.servers[i].first_ns = i + 1;
		memset(d.servers[i].datadir, '/', sizeof(d.servers[i].datadir) - 1);
		each[i] = &sessions[i];
	}
	alarm(10);
	ws_lines_draw(&d, each, count);
	alarm(0);
	assert_int_equal(d.servers[count - 1].line, count);
	free(each);
	free(sessions);
	free(d.servers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB(a_server_that_crashes_again_and_again_is_the_cause),
		LAB(though_it_refuses_its_client_while_it_starts_up),
		LAB(two_crashes_are_not_again_and_again),
		LAB(a_client_that_fails_since_is_told_instead),
		LAB(one_that_failed_before_the_last_crash_is_told_beside_it),
		LAB(failures_that_come_of_crashes_are_not_the_client_s),
		LAB(so_is_one_that_is_started_anew_each_time),
		LAB(servers_of_one_path_at_a_time_are_not_one),
		LAB(nor_are_those_that_are_read_at_a_time),
		LAB(one_whose_end_is_told_late_is_the_same),
		LAB(one_that_is_stopped_in_immediate_mode_says_so),
		LAB(one_that_is_restarted_in_good_order_makes_no_loop),
		cmocka_unit_test(very_many_servers_of_one_path_take_no_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
