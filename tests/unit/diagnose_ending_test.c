/* SPDX-License-Identifier: BSD-2-Clause */
/* What the advice says that it takes to end a walsender. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include "../lib/diagnosed.h"

#define SESSION WS_SCOPE_SESSION
#define CLUSTER WS_SCOPE_CLUSTER

static const struct ws_rec_socket shut = { .timer = WS_TCP_TIMER_PERSIST,
					   .mss_bytes = 1448,
					   .unsent_bytes = 100000 };

static void assert_advice(struct lab *lab, enum ws_scope scope, const char *part, bool is_there)
{
	const char *advice = lab_find(lab, scope)->finding.advice;

	if (!strstr(advice, part) == is_there)
		print_error("%s\n", advice);
	assert_int_equal(strstr(advice, part) != NULL, is_there);
}

static void play_full(struct lab *lab, unsigned int seconds)
{
	lab_waits(lab, SOCKET, .seconds = seconds, .socket = &shut);
}

static void who_holds_up_a_shutdown_is_ended_by_a_signal(void **state)
{
	struct lab *lab = *state;

	shut_down_streaming(lab, WS_DB_SHUTDOWNED);
	ws_tape_state(&lab->tape, WS_WALSND_STREAMING, WS_WALSND_STOPPING);
	lab_waits(lab, WAL, .seconds = 10);
	assert_verdict(lab, CLUSTER, "shutdown_waits_for_standby");
	assert_advice(lab, CLUSTER, "takes no connection", true);
	assert_advice(lab, CLUSTER, "kill PID on its host ends", true);
	assert_advice(lab, CLUSTER, "twice", false);
}

static void with_its_socket_full_by_a_second_one(void **state)
{
	struct lab *lab = *state;

	shut_down_streaming(lab, WS_DB_IN_PRODUCTION);
	play_full(lab, 10);
	assert_verdict(lab, CLUSTER, "shutdown_waits_for_standby");
	assert_advice(lab, CLUSTER, "kill PID on its host, twice, ends", true);
}

static void one_that_is_stopped_has_to_go_on(void **state)
{
	struct lab *lab = *state;

	shut_down_streaming(lab, WS_DB_IN_PRODUCTION);
	ws_tape_signal(&lab->tape, 0, SIGSTOP, WS_ROLE_OTHER, 5);
	lab->tape.now_ns += 10 * SECOND;
	ws_tape_clock(&lab->tape, 1, 1);
	assert_verdict(lab, CLUSTER, "shutdown_waits_for_standby");
	assert_advice(lab, CLUSTER, "kill -CONT", true);
}

static void one_whose_client_reads_nothing_is_terminated_twice(void **state)
{
	struct lab *lab = *state;

	lab_stream(lab, 0);
	play_full(lab, 10);
	assert_verdict(lab, SESSION, "receiver_not_reading");
	assert_advice(lab, SESSION, "pg_terminate_backend ends the session if it is called twice",
		      true);
}

/* It waits in the midst of a message, where a signal is heard at once. */
static void results_of_sql_are_ended_at_once(void **state)
{
	struct lab *lab = *state;

	ws_tape_session(&lab->tape, WS_SESSION_DATABASE);
	ws_tape_ready(&lab->tape);
	ws_tape_command(&lab->tape, "COPY t TO STDOUT");
	ws_tape_end(&lab->tape, WS_COMMAND_IS_SQL);
	for (unsigned int i = 0; i < 10; i++) {
		lab->tape.now_ns += SECOND;
		ws_tape_blocked(&lab->tape, WS_BLOCKED_CLIENT_WRITE, 0);
		lab_outside(lab, &(struct step){ .socket = &shut });
	}
	assert_verdict(lab, SESSION, "receiver_not_reading");
	assert_advice(lab, SESSION, "twice", false);
}

static void be_told_with(struct lab *lab, const struct ws_rec_socket *socket)
{
	ws_tape_signal(&lab->tape, 0, SIGTERM, WS_ROLE_OTHER, 5);
	ws_tape_error(&lab->tape, WS_ELEVEL_FATAL, "57P01", "ProcessInterrupts",
		      "terminating connection due to administrator command");
	for (unsigned int i = 0; i < 6; i++) {
		lab->tape.now_ns += SECOND;
		lab_outside(lab, &(struct step){ .socket = socket });
	}
}

static void be_told(struct lab *lab)
{
	be_told_with(lab, &shut);
}

static void one_that_cannot_say_that_it_ends_is_terminated_once_more(void **state)
{
	struct lab *lab = *state;

	lab_stream(lab, 0);
	play_full(lab, 4);
	be_told(lab);
	assert_verdict(lab, SESSION, "receiver_not_reading");
	assert_said_of(lab, SESSION, "the walsender waits for room: it was told to end 6.00 s ago");
	assert_advice(lab, SESSION, "pg_terminate_backend once more", true);
}

static void nor_does_a_shutdown_go_on_before_it_is(void **state)
{
	struct lab *lab = *state;

	shut_down_streaming(lab, WS_DB_IN_PRODUCTION);
	play_full(lab, 4);
	be_told(lab);
	assert_verdict(lab, CLUSTER, "shutdown_waits_for_standby");
	assert_advice(lab, CLUSTER, "kill PID on the server's host once more", true);
}

/* It hangs at its end for another reason: there is nothing in its socket, or little. */
static void one_whose_socket_has_room_is_not_said_to_wait_for_it(void **state)
{
	static const struct ws_rec_socket roomy = {
		.mss_bytes = 1448, .unsent_bytes = 2000, .sndbuf_bytes = 90000, .queued_bytes = 4000
	};
	struct lab *lab = *state;

	shut_down_streaming(lab, WS_DB_IN_PRODUCTION);
	lab_waits(lab, WAL, .seconds = 4, .reply = true);
	be_told_with(lab, &roomy);
	assert_verdict(lab, CLUSTER, "shutdown_waits_for_standby");
	assert_advice(lab, CLUSTER, "waits for room", false);
	assert_advice(lab, CLUSTER, "once more", false);
	assert_advice(lab, CLUSTER, "see what its process does", true);
}

static void nor_is_one_whose_host_is_gone(void **state)
{
	static const struct ws_rec_socket gone = { .timer = WS_TCP_TIMER_RETRANSMIT,
						   .in_flight_bytes = 1000,
						   .mss_bytes = 1448,
						   .window_bytes = 65536,
						   .sndbuf_bytes = 90000,
						   .queued_bytes = 4000,
						   .backoff = 4,
						   .retransmits = 4,
						   .ack_age_us = 60000000,
						   .rto_us = 3200000 };
	struct lab *lab = *state;

	lab_stream(lab, 0);
	lab_waits(lab, WAL, .seconds = 20, .socket = &gone);
	be_told_with(lab, &gone);
	assert_verdict(lab, SESSION, "connection_dead");
	assert_advice(lab, SESSION, "waits for room", false);
	assert_advice(lab, SESSION, "is ending already", true);
}

/* The checkpointer waits until it has. */
static void nor_does_one_give_up_its_slot_before_it_is(void **state)
{
	struct lab *lab = *state;

	lab_stream(lab, 0);
	play_full(lab, 4);
	ws_tape_signal(&lab->tape, 0, SIGTERM, WS_ROLE_CHECKPOINTER, 77);
	be_told(lab);
	assert_verdict(lab, SESSION, "slot_invalidated");
	assert_advice(lab, SESSION, "pg_terminate_backend once more", true);
}

static void a_host_that_is_gone_takes_two_where_the_socket_is_full(void **state)
{
	static const struct ws_rec_socket gone = { .timer = WS_TCP_TIMER_RETRANSMIT,
						   .in_flight_bytes = 10000,
						   .unsent_bytes = 100000,
						   .mss_bytes = 1448,
						   .window_bytes = 65536,
						   .backoff = 4,
						   .retransmits = 4,
						   .ack_age_us = 60000000,
						   .rto_us = 3200000 };
	struct lab *lab = *state;

	lab_stream(lab, 0);
	lab_waits(lab, SOCKET, .seconds = 20, .socket = &gone);
	assert_verdict(lab, SESSION, "connection_dead");
	assert_advice(lab, SESSION, "does so now, called twice", true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB(who_holds_up_a_shutdown_is_ended_by_a_signal),
		LAB(with_its_socket_full_by_a_second_one),
		LAB(one_that_is_stopped_has_to_go_on),
		LAB(one_whose_client_reads_nothing_is_terminated_twice),
		LAB(results_of_sql_are_ended_at_once),
		LAB(one_that_cannot_say_that_it_ends_is_terminated_once_more),
		LAB(nor_does_a_shutdown_go_on_before_it_is),
		LAB(one_whose_socket_has_room_is_not_said_to_wait_for_it),
		LAB(nor_is_one_whose_host_is_gone),
		LAB(nor_does_one_give_up_its_slot_before_it_is),
		LAB(a_host_that_is_gone_takes_two_where_the_socket_is_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
