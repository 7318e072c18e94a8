/* SPDX-License-Identifier: BSD-2-Clause */
/* What the rules say of the way to the client: one that is cut, full, long, or lossy. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include "../lib/diagnosed.h"

#define SESSION WS_SCOPE_SESSION

static struct ws_rec_socket dead(void)
{
	return (struct ws_rec_socket){ .timer = WS_TCP_TIMER_RETRANSMIT,
				       .backoff = 4,
				       .retransmits = 4,
				       .in_flight_bytes = 5000,
				       .rto_us = 16 * 200000,
				       .ack_age_us = 6000000,
				       .window_bytes = 65536,
				       .mss_bytes = 1448 };
}

static void unanswered_retransmissions_are_a_dead_connection(void **state)
{
	const struct ws_rec_socket socket = dead();

	lab_stream(*state, 0);
	lab_waits(*state, SOCKET, .seconds = 10, .socket = &socket);
	assert_verdict(*state, SESSION, "connection_dead");
}

static void a_client_that_takes_leave_was_there(void **state)
{
	const struct ws_rec_socket socket = dead();

	lab_stream(*state, 0);
	lab_waits(*state, SOCKET, .seconds = 10, .socket = &socket);
	ws_tape_exit(&((struct lab *)*state)->tape, 0, 0);
	lab_judge(*state);
	assert_int_not_equal(lab_find(*state, SESSION)->verdict, WS_VERDICT_CONNECTION_DEAD);
}

/* Nothing comes any more, not a packet. */
static void go_dead(struct lab *lab, unsigned int seconds)
{
	struct ws_rec_socket socket = dead();

	for (unsigned int i = 0; i < seconds; i++) {
		socket.ack_age_us = i * 1000000;
		lab_waits(lab, SOCKET, .seconds = 1, .socket = &socket);
	}
}

/* Nobody waits for wal_sender_timeout. */
static void a_dead_connection_that_was_ended_here_was_dead(void **state)
{
	struct lab *lab = *state;

	lab_stream(lab, 0);
	go_dead(lab, 10);
	ws_tape_signal(&lab->tape, 0, SIGTERM, WS_ROLE_BACKEND, 77);
	ws_tape_error(&lab->tape, WS_ELEVEL_FATAL, "57P01", "ProcessInterrupts",
		      "terminating connection due to administrator command");
	ws_tape_exit(&lab->tape, 1, 0);
	assert_verdict(lab, SESSION, "connection_dead");
	assert_said_of(lab, SESSION, "the way to it is gone. Then it was told to end");
}

static void an_outage_that_is_over_is_said_of_a_session_that_is_well(void **state)
{
	lab_stream(*state, 0);
	go_dead(*state, 8);
	lab_waits(*state, WAL, .seconds = 20, .busy_ms = 10, .bytes = MB, .reply = true,
		  .socket = &calm);
	assert_verdict(*state, SESSION, "healthy_streaming");
	assert_said_of(
		*state, SESSION,
		"In the time looked at the client's host, or the way to it, was cut for 7.00 s:");
}

static void play_outages(struct lab *lab)
{
	static const unsigned int outages[] = { 8, 12, 2, 6 };

	lab_stream(lab, 0);
	for (size_t i = 0; i < sizeof(outages) / sizeof(*outages); i++) {
		go_dead(lab, outages[i]);
		lab_waits(lab, WAL, .seconds = 30, .busy_ms = 10, .bytes = MB, .reply = true,
			  .socket = &calm);
	}
}

/* A moment counts for none of them. */
static void of_several_outages_all_are_said(void **state)
{
	play_outages(*state);
	assert_verdict(*state, SESSION, "healthy_streaming");
	assert_said_of(*state, SESSION,
		       "was cut 3 times, for 23.0 s in all and 11.0 s at most, the last time until "
		       "29.0 s ago: what was sent was repeated");
}

static void and_in_a_window_those_of_the_window(void **state)
{
	lab_window(*state, 60 * SECOND, UINT64_MAX);
	play_outages(*state);
	assert_verdict(*state, SESSION, "healthy_streaming");
	assert_said_of(*state, SESSION, "was cut for 5.00 s: ");
}

/* The client goes on replying, and each packet of its says how little has got there. */
static void play_one_way(struct lab *lab, unsigned int seconds)
{
	struct ws_rec_socket socket = dead();

	socket.ack_age_us = 300000;
	lab_waits(lab, WAL, .seconds = seconds, .reply = true, .socket = &socket);
}

static void a_way_that_is_cut_in_one_direction_is_a_dead_connection(void **state)
{
	lab_stream(*state, 0);
	lab_waits(*state, WAL, .seconds = 3, .socket = &calm);
	play_one_way(*state, 8);
	assert_verdict(*state, SESSION, "connection_dead");
	assert_said_of(*state, SESSION, "Packets come from the client's host");
	assert_said_of(*state, SESSION, "cut in one direction, or for large packets");
}

static void a_way_that_was_cut_in_one_direction_is_said_too(void **state)
{
	lab_stream(*state, 0);
	lab_waits(*state, WAL, .seconds = 3, .socket = &calm);
	play_one_way(*state, 8);
	lab_waits(*state, WAL, .seconds = 9, .socket = &calm);
	assert_verdict(*state, SESSION, "healthy_idle");
	assert_said_of(*state, SESSION, "though packets came from there");
}

/* As it looks where this host has no route: probes that never leave it, and a window with room. */
static void a_client_that_this_host_cannot_send_to_is_a_dead_connection(void **state)
{
	static const struct ws_rec_socket stuck = { .timer = WS_TCP_TIMER_PERSIST,
						    .unsent_bytes = 100000,
						    .window_bytes = 6849536,
						    .mss_bytes = 1448 };

	lab_stream(*state, 0);
	lab_waits(*state, WAL, .seconds = 3, .socket = &calm);
	lab_waits(*state, WAL, .seconds = 8, .socket = &stuck);
	assert_verdict(*state, SESSION, "connection_dead");
	assert_said_of(*state, SESSION, "nothing has left this host for the client");
	assert_false(lab_also(*state, "receiver_not_reading"));
}

/* More waits each second, the server's own buffer takes it. */
static void play_narrow(struct lab *lab, uint64_t acked, uint32_t more)
{
	struct ws_rec_socket narrow = { .timer = WS_TCP_TIMER_RETRANSMIT,
					.acked_bytes = acked,
					.in_flight_bytes = 100000,
					.in_flight_packets = 70,
					.cwnd = 80,
					.srtt_us = 2000000,
					.min_rtt_us = 100,
					.window_bytes = 2000000,
					.mss_bytes = 1448 };

	lab_stream(lab, 0);
	for (unsigned int i = 0; i < 12; i++) {
		narrow.unsent_bytes += more;
		lab_waits(lab, WAL, .seconds = 1, .bytes = 30000, .socket = &narrow);
	}
}

static void a_narrow_way_is_slow_before_the_socket_is_full(void **state)
{
	play_narrow(*state, 20000, 100000);
	assert_verdict(*state, SESSION, "network_slow");
	assert_said_of(*state, SESSION, "as yet room in the server's own buffer");
}

static void a_way_on_which_a_little_always_waits_is_not_slow(void **state)
{
	play_narrow(*state, 5000000, 10000);
	assert_verdict(*state, SESSION, "healthy_idle");
}

static void an_outage_is_said_of_a_client_of_a_standby_too(void **state)
{
	const struct ws_rec_socket socket = dead();
	struct lab *lab = *state;

	ws_tape_session(&lab->tape, WS_SESSION_CASCADING);
	ws_tape_ready(&lab->tape);
	ws_tape_command(&lab->tape, "START_REPLICATION 0/10000000 TIMELINE 1");
	ws_tape_stream(&lab->tape, 0, lab->sent, NULL);
	lab->tape.mark_ns = lab->tape.now_ns;
	lab_waits(lab, WAL, .seconds = 8, .socket = &socket);
	lab_waits(lab, WAL, .seconds = 9, .socket = &calm);
	assert_verdict(lab, SESSION, "healthy_idle");
	assert_said_of(lab, SESSION, "was cut");
}

/* Nothing was sent, and nothing came, for long; then a packet is lost twice. */
static void silence_before_something_is_lost_is_no_outage(void **state)
{
	static const struct ws_rec_socket idle = { .window_bytes = 65536, .mss_bytes = 1448 };
	struct ws_rec_socket lost = dead();

	lost.backoff = lost.retransmits = 2;
	lost.rto_us = 4 * 200000;
	lost.ack_age_us = 21000000;
	lab_stream(*state, 0);
	lab_waits(*state, WAL, .seconds = 20, .socket = &idle);
	lab_waits(*state, WAL, .seconds = 1, .socket = &lost);
	lab_waits(*state, WAL, .seconds = 5, .socket = &calm);
	assert_verdict(*state, SESSION, "healthy_idle");
	assert_null(strstr(lab_find(*state, SESSION)->finding.text, "was cut"));
}

/* A look finds what is repeated for the second time; it may have arrived the next moment. */
static void what_was_acknowledged_right_behind_a_look_is_no_outage(void **state)
{
	struct ws_rec_socket lost = dead();
	struct lab *lab = *state;

	lost.backoff = lost.retransmits = 2;
	lost.rto_us = 4 * 200000;
	lost.ack_age_us = 500000;
	lab_stream(lab, 0);
	lab_waits(lab, WAL, .seconds = 5, .socket = &calm);
	lab_waits(lab, WAL, .seconds = 1, .socket = &lost);
	lab_waits(lab, WAL, .seconds = 9);
	lab_waits(lab, WAL, .seconds = 5, .socket = &calm);
	assert_verdict(lab, SESSION, "healthy_idle");
	assert_null(strstr(lab_find(lab, SESSION)->finding.text, "was cut"));
}

/* Nor is it known to be dead by then. */
static void what_is_repeated_at_the_last_look_is_no_dead_connection_by_the_time_since(void **state)
{
	struct ws_rec_socket lost = dead();
	struct lab *lab = *state;

	lost.backoff = lost.retransmits = 2;
	lost.rto_us = 4 * 200000;
	lab_stream(lab, 0);
	lab_waits(lab, WAL, .seconds = 5, .socket = &calm);
	lab_waits(lab, WAL, .seconds = 1, .socket = &lost);
	lab_waits(lab, WAL, .seconds = 9);
	assert_verdict(lab, SESSION, "healthy_idle");
}

/* A way that was cut says nothing of how a client reads. */
static void a_client_that_stops_behind_an_outage_reads_nothing(void **state)
{
	static const struct ws_rec_socket shut = { .timer = WS_TCP_TIMER_PERSIST,
						   .mss_bytes = 1448,
						   .rwnd_limited_us = 95,
						   .unsent_bytes = 100000 };
	struct ws_rec_socket socket = dead();

	socket.unsent_bytes = 100000;
	lab_stream(*state, 0);
	lab_waits(*state, SOCKET, .seconds = 10, .socket = &socket);
	lab_waits(*state, WAL, .seconds = 5, .bytes = 500, .socket = &calm);
	lab_waits(*state, SOCKET, .seconds = 8, .socket = &shut);
	assert_verdict(*state, SESSION, "receiver_not_reading");
}

static void an_outage_that_took_most_of_the_time_is_no_slow_network(void **state)
{
	static const struct ws_rec_socket well = {
		.window_bytes = 65536, .mss_bytes = 1448, .acked_bytes = 5000, .retrans_bytes = 5000
	};

	lab_stream(*state, 0);
	go_dead(*state, 8);
	lab_waits(*state, WAL, .seconds = 3, .reply = true, .socket = &well);
	assert_verdict(*state, SESSION, "network_slow");
	assert_said_of(*state, SESSION, "was cut for 7.00 s");
}

static void probes_of_a_closed_window_are_no_dead_connection(void **state)
{
	struct ws_rec_socket socket = dead();

	socket.timer = WS_TCP_TIMER_PERSIST;
	socket.window_bytes = 0;
	lab_stream(*state, 0);
	lab_waits(*state, SOCKET, .seconds = 10, .socket = &socket);
	assert_verdict(*state, SESSION, "receiver_not_reading");
}

static void a_dead_connection_stays_one_when_the_timeout_has_ended_it(void **state)
{
	const struct ws_rec_socket socket = dead();

	lab_stream(*state, 0);
	lab_waits(*state, SOCKET, .seconds = 10, .socket = &socket);
	time_out(*state);
	assert_verdict(*state, SESSION, "connection_dead");
	assert_said_of(*state, SESSION, "wal_sender_timeout has ended the session.");
}

static void full_queues_under_way_are_a_slow_network(void **state)
{
	static const struct ws_rec_socket socket = { .acked_bytes = MB,
						     .rwnd_limited_us = 5,
						     .window_bytes = 1000000,
						     .mss_bytes = 1448,
						     .unsent_bytes = 800000,
						     .cwnd = 20,
						     .in_flight_packets = 10,
						     .in_flight_bytes = 14480,
						     .srtt_us = 80000,
						     .min_rtt_us = 1000 };

	lab_stream(*state, 0);
	lab_waits(*state, SOCKET, .seconds = 10, .busy_ms = 100, .bytes = MB, .socket = &socket);
	assert_verdict(*state, SESSION, "network_slow");
}

static void play_way(struct lab *lab, uint64_t repeated, uint32_t srtt_us)
{
	struct ws_rec_socket socket = calm;

	socket.acked_bytes = 100000;
	socket.min_rtt_us = 200;
	socket.srtt_us = srtt_us;
	lab_stream(lab, 0);
	for (unsigned int i = 0; i < 10; i++) {
		socket.retrans_bytes += repeated;
		lab_waits(lab, WAL, .seconds = 1, .socket = &socket);
	}
	assert_verdict(lab, SESSION, "healthy_idle");
}

static void a_way_that_repeats_much_is_said_of_a_session_that_is_well(void **state)
{
	play_way(*state, 5000, 300);
	assert_said_of(*state, SESSION, "Of what was sent to it 5.0 % was repeated");
}

/* What was sent into a window that was closed is sent again, and nothing is wrong with the way. */
static void what_was_repeated_for_a_client_that_did_not_read_is_not_said_of_the_way(void **state)
{
	static const struct ws_rec_socket shut = { .timer = WS_TCP_TIMER_PERSIST,
						   .mss_bytes = 1448,
						   .unsent_bytes = 1000 };
	struct ws_rec_socket again = calm;

	again.retrans_bytes = 10000;
	lab_stream(*state, 0);
	lab_waits(*state, WAL, .seconds = 2, .socket = &calm);
	lab_waits(*state, WAL, .seconds = 3, .socket = &shut);
	lab_waits(*state, WAL, .seconds = 2, .socket = &again);
	assert_verdict(*state, SESSION, "healthy_idle");
	assert_null(strstr(lab_find(*state, SESSION)->finding.text, "repeated"));
}

static void a_way_that_takes_longer_than_it_did_is_said_of_a_session_that_is_well(void **state)
{
	play_way(*state, 0, 1200000);
	assert_said_of(*state, SESSION, "A round trip to its host takes 1.20 s (200 us at least)");
}

static void play_far(struct lab *lab, const struct ws_rec_socket *socket)
{
	lab_stream(lab, 0);
	lab_waits(lab, SOCKET, .seconds = 10, .busy_ms = 100, .bytes = MB, .socket = socket);
}

/* 8 Mbit/s, 20 ms away, with queues too short to be seen in the round trip. */
static void a_link_that_is_full_is_a_slow_network_without_queues(void **state)
{
	static const struct ws_rec_socket socket = { .acked_bytes = MB,
						     .window_bytes = 450000,
						     .mss_bytes = 1448,
						     .unsent_bytes = 600000,
						     .cwnd = 68,
						     .in_flight_packets = 35,
						     .in_flight_bytes = 50680,
						     .srtt_us = 44800,
						     .min_rtt_us = 40200 };

	play_far(*state, &socket);
	assert_verdict(*state, SESSION, "network_slow");
}

/* 20 kB on a way of 100 ms: the congestion control (bbr) has slowed down to it. */
static void a_window_too_small_for_the_way_is_a_slow_receiver(void **state)
{
	static const struct ws_rec_socket socket = { .acked_bytes = 195000,
						     .rwnd_limited_us = 43,
						     .window_bytes = 20480,
						     .mss_bytes = 1448,
						     .unsent_bytes = 540000,
						     .cwnd = 42,
						     .in_flight_packets = 14,
						     .in_flight_bytes = 20272,
						     .srtt_us = 100300,
						     .min_rtt_us = 100100 };

	play_far(*state, &socket);
	assert_verdict(*state, SESSION, "receiver_slow");
	assert_non_null(strstr(lab_find(*state, SESSION)->finding.text,
			       "what its window of 20.0 kB lets pass"));
}

/* Neither window is full: data is still on its way from the send queue. */
static void a_window_with_room_is_no_slow_receiver(void **state)
{
	static const struct ws_rec_socket socket = { .acked_bytes = MB,
						     .rwnd_limited_us = 30,
						     .window_bytes = 900000,
						     .mss_bytes = 1448,
						     .unsent_bytes = 540000,
						     .cwnd = 400,
						     .in_flight_packets = 14,
						     .in_flight_bytes = 20272,
						     .srtt_us = 300,
						     .min_rtt_us = 200 };

	play_far(*state, &socket);
	assert_verdict(*state, SESSION, "insufficient_data");
}

/* 64 kB on a way of 60 ms: 1 MB/s, whatever the client and the network would take. */
static void a_send_buffer_that_limits_is_a_slow_network_and_named(void **state)
{
	static const struct ws_rec_socket socket = { .acked_bytes = MB,
						     .rwnd_limited_us = 2,
						     .sndbuf_limited_us = 90,
						     .window_bytes = 1000000,
						     .mss_bytes = 1448,
						     .cwnd = 400,
						     .in_flight_packets = 40,
						     .in_flight_bytes = 57920,
						     .sndbuf_bytes = 65536,
						     .srtt_us = 60000,
						     .min_rtt_us = 59000 };

	play_far(*state, &socket);
	assert_verdict(*state, SESSION, "network_slow");
	assert_non_null(strstr(lab_find(*state, SESSION)->finding.text, "send buffer"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB(unanswered_retransmissions_are_a_dead_connection),
		LAB(a_client_that_takes_leave_was_there),
		LAB(a_dead_connection_that_was_ended_here_was_dead),
		LAB(an_outage_that_is_over_is_said_of_a_session_that_is_well),
		LAB(of_several_outages_all_are_said),
		LAB(and_in_a_window_those_of_the_window),
		LAB(a_way_that_is_cut_in_one_direction_is_a_dead_connection),
		LAB(a_way_that_was_cut_in_one_direction_is_said_too),
		LAB(a_client_that_this_host_cannot_send_to_is_a_dead_connection),
		LAB(a_narrow_way_is_slow_before_the_socket_is_full),
		LAB(a_way_on_which_a_little_always_waits_is_not_slow),
		LAB(an_outage_is_said_of_a_client_of_a_standby_too),
		LAB(silence_before_something_is_lost_is_no_outage),
		LAB(what_was_acknowledged_right_behind_a_look_is_no_outage),
		LAB(what_is_repeated_at_the_last_look_is_no_dead_connection_by_the_time_since),
		LAB(a_client_that_stops_behind_an_outage_reads_nothing),
		LAB(an_outage_that_took_most_of_the_time_is_no_slow_network),
		LAB(probes_of_a_closed_window_are_no_dead_connection),
		LAB(a_dead_connection_stays_one_when_the_timeout_has_ended_it),
		LAB(full_queues_under_way_are_a_slow_network),
		LAB(a_way_that_repeats_much_is_said_of_a_session_that_is_well),
		LAB(what_was_repeated_for_a_client_that_did_not_read_is_not_said_of_the_way),
		LAB(a_way_that_takes_longer_than_it_did_is_said_of_a_session_that_is_well),
		LAB(a_link_that_is_full_is_a_slow_network_without_queues),
		LAB(a_window_too_small_for_the_way_is_a_slow_receiver),
		LAB(a_window_with_room_is_no_slow_receiver),
		LAB(a_send_buffer_that_limits_is_a_slow_network_and_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
