/* SPDX-License-Identifier: BSD-2-Clause */
/* What the rules say of a session whose client reads slowly, or does not answer. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include "../lib/diagnosed.h"

#define SESSION WS_SCOPE_SESSION

/* It writes, and flushes, what it was sent so many seconds before. */
static void play_reader(struct lab *lab, unsigned int behind, uint32_t unsent)
{
	struct ws_rec_socket socket = calm;

	socket.unsent_bytes = unsent;
	lab_stream(lab, 0);
	for (unsigned int i = 0; i < 15; i++) {
		uint64_t late = (i < behind ? i : behind) * 30000;

		lab_waits(lab, WAL, .seconds = 1, .bytes = 30000, .reply = true,
			  .write = lab->sent - late, .flush = lab->sent - late, .no_apply = true,
			  .socket = &socket);
	}
}

static void one_that_reads_late_what_has_arrived_is_slow_before_its_buffer_is_full(void **state)
{
	play_reader(*state, 4, 0);
	assert_verdict(*state, SESSION, "receiver_slow");
	assert_said_of(*state, SESSION, "Its receive buffer has as yet room");
}

static void one_that_reads_at_once_is_not_slow(void **state)
{
	play_reader(*state, 0, 0);
	assert_verdict(*state, SESSION, "healthy_idle");
}

/* Then it has not arrived. */
static void one_that_gets_it_late_does_not_read_late(void **state)
{
	play_reader(*state, 4, 1000);
	assert_verdict(*state, SESSION, "healthy_idle");
}

/* One that takes changes, and says each `every` seconds what it has: all but what was sent in the
 * last few seconds, or in half of the time. */
static void play_consumer(struct lab *lab, unsigned int every, unsigned int behind, bool grows)
{
	lab_stream(lab, WS_STREAM_LOGICAL);
	for (unsigned int i = 1; i <= 60; i++) {
		uint64_t late = 30000 * (grows ? i / 2 : behind);

		lab_play(lab, &(struct step){ .seconds = 1,
					      .wait = WS_WAIT_WAL,
					      .bytes = 30000,
					      .reply = i % every == 0,
					      .write = lab->sent - late,
					      .flush = lab->sent - late,
					      .no_apply = true,
					      .socket = &calm });
	}
}

static void one_that_takes_changes_in_late_is_slow_before_its_buffer_is_full(void **state)
{
	play_consumer(*state, 1, 0, true);
	assert_verdict(*state, SESSION, "receiver_slow");
	assert_said_of(*state, SESSION, "takes changes in more slowly than they are sent");
	assert_non_null(strstr(lab_find(*state, SESSION)->finding.advice, "apply worker"));
}

/* WAL that has nothing for it moves positions, and is no more to arrive. */
static void one_that_takes_changes_in_late_is_slow_behind_a_burst_of_wal_too(void **state)
{
	struct lab *lab = *state;

	play_consumer(lab, 1, 0, true);
	for (unsigned int i = 0; i < 2; i++)
		lab_play(lab, &(struct step){ .seconds = 1,
					      .wait = WS_WAIT_WAL,
					      .bytes = i ? 0 : 20 * MB,
					      .reply = true,
					      .write = lab->sent - (i ? 20 * MB : 0) - 30 * 30000,
					      .flush = lab->sent - (i ? 20 * MB : 0) - 30 * 30000,
					      .no_apply = true });
	assert_verdict(lab, SESSION, "receiver_slow");
}

static void one_that_takes_changes_in_at_once_is_not_slow(void **state)
{
	play_consumer(*state, 1, 0, false);
	assert_verdict(*state, SESSION, "healthy_idle");
}

/* Nothing behind it was published. */
static void one_that_tells_now_and_then_what_it_has_is_not_slow(void **state)
{
	play_consumer(*state, 10, 5, false);
	assert_verdict(*state, SESSION, "healthy_idle");
}

/* A burst each second, which it says to have written 1.1 s later. The socket is looked at right
 * after that, so that one burst more is sent before the next reply. */
static void play_far_reader(struct lab *lab, uint32_t in_flight, uint32_t srtt_us)
{
	struct ws_rec_socket socket = calm;

	socket.in_flight_bytes = in_flight;
	socket.srtt_us = srtt_us;
	lab_stream(lab, 0);
	for (unsigned int i = 0; i < 20; i++) {
		lab_waits(lab, WAL, .seconds = 1, .ms = 900, .bytes = 30000);
		lab_waits(lab, WAL, .seconds = 1, .ms = 100, .reply = true,
			  .write = lab->sent - 30000, .flush = lab->sent - 30000, .no_apply = true,
			  .socket = &socket);
	}
}

static void one_that_is_far_away_does_not_read_late(void **state)
{
	play_far_reader(*state, 14000, 1100000);
	assert_verdict(*state, SESSION, "healthy_idle");
}

static void what_was_sent_since_the_socket_was_looked_at_may_not_have_arrived(void **state)
{
	play_far_reader(*state, 0, 50000);
	assert_verdict(*state, SESSION, "healthy_idle");
}

/* Three seconds after it was sent, of which the round trip takes two and a half. */
static void of_what_is_written_late_the_round_trip_counts_as_the_way(void **state)
{
	struct lab *lab = *state;
	struct ws_rec_socket socket = calm;

	socket.srtt_us = 2500000;
	lab_stream(lab, 0);
	for (unsigned int i = 0; i < 20; i++)
		lab_waits(lab, WAL, .seconds = 1, .bytes = 30000, .reply = true,
			  .write = lab->sent - (i > 2 ? 60000 : 0),
			  .flush = lab->sent - (i > 2 ? 60000 : 0), .no_apply = true,
			  .socket = &socket);
	assert_verdict(lab, SESSION, "healthy_idle");
}

static void one_that_flushes_late_does_not_read_late_beside(void **state)
{
	struct lab *lab = *state;

	lab_stream(lab, 0);
	for (unsigned int i = 0; i < 25; i++)
		lab_waits(lab, WAL, .seconds = 1, .bytes = 30000, .reply = true,
			  .write = lab->sent - (i < 3 ? i : 3) * 30000,
			  .flush = lab->sent - (i < 8 ? i : 8) * 30000, .no_apply = true,
			  .socket = &calm);
	assert_verdict(lab, SESSION, "standby_flush_slow");
	assert_false(lab_also(lab, "receiver_slow"));
}

static void one_that_is_asked_and_does_not_reply_is_silent(void **state)
{
	lab_stream(*state, 0);
	lab_waits(*state, WAL, .seconds = 5, .reply = true, .socket = &calm);
	lab_waits(*state, WAL, .seconds = 8, .ping = true, .socket = &calm);
	assert_verdict(*state, SESSION, "receiver_silent");
}

/* Its host acknowledges a little later than it is sent: at a look something may be under way. */
static void one_to_which_something_is_under_way_is_silent_too(void **state)
{
	struct ws_rec_socket socket = calm;

	lab_stream(*state, 0);
	lab_waits(*state, WAL, .seconds = 5, .reply = true, .socket = &socket);
	socket.in_flight_bytes = 300;
	for (int i = 0; i < 8; i++)
		lab_waits(*state, WAL, .seconds = 1, .ping = i == 0, .socket = &socket);
	assert_verdict(*state, SESSION, "receiver_silent");
}

static void one_that_acknowledges_nothing_behind_the_question_is_not_just_silent(void **state)
{
	struct ws_rec_socket socket = calm;

	lab_stream(*state, 0);
	lab_waits(*state, WAL, .seconds = 5, .reply = true, .socket = &socket);
	socket.acked_bytes = 0;
	socket.in_flight_bytes = 300;
	socket.acked_bytes = 0;
	for (int i = 0; i < 8; i++)
		lab_waits(*state, WAL, .seconds = 1, .ping = i == 0, .socket = &socket);
	lab_judge(*state);
	assert_int_not_equal(lab_find(*state, SESSION)->verdict, WS_VERDICT_RECEIVER_SILENT);
}

static void one_that_a_short_timeout_ended_was_silent(void **state)
{
	struct lab *lab = *state;

	lab_stream(lab, 0);
	lab_waits(lab, WAL, .seconds = 3, .reply = true, .socket = &calm);
	lab_waits(lab, WAL, .seconds = 2, .ping = true, .socket = &calm);
	time_out(lab);
	assert_verdict(lab, SESSION, "receiver_silent");
}

/* What it is sent each second it says to have flushed a moment later; then it says nothing. */
static void stop_confirming(struct lab *lab, uint64_t bytes, uint64_t flush, unsigned int seconds)
{
	lab_stream(lab, 0);
	for (unsigned int i = 0; i < 10; i++) {
		lab_waits(lab, WAL, .seconds = 1, .bytes = bytes);
		lab_waits(lab, WAL, .seconds = 1, .ms = 5, .reply = true,
			  .flush = flush ? flush : lab->sent, .socket = &calm);
	}
	lab_waits(lab, WAL, .seconds = seconds, .bytes = bytes, .socket = &calm);
}

static void one_that_confirmed_at_once_and_does_no_more_is_silent_though_not_asked(void **state)
{
	stop_confirming(*state, 1000, 0, 8);
	assert_verdict(*state, SESSION, "receiver_silent");
	assert_said_of(*state, SESSION, "before, it confirmed WAL within 5.0");
}

static void one_that_confirmed_at_once_and_has_not_for_a_moment_is_not(void **state)
{
	stop_confirming(*state, 1000, 0, 4);
	assert_verdict(*state, SESSION, "healthy_idle");
}

/* pg_receivewal with a slot: it syncs each segment when it has it all, and reports now and then. */
static void one_that_confirms_whole_segments_is_not_silent_in_the_midst_of_one(void **state)
{
	stop_confirming(*state, 16 * MB, 0, 1);
	lab_waits(*state, WAL, .seconds = 8, .bytes = 1000, .socket = &calm);
	assert_verdict(*state, SESSION, "healthy_idle");
}

static void one_that_reports_rarely_and_is_not_asked_is_not_silent(void **state)
{
	lab_stream(*state, 0);
	lab_waits(*state, WAL, .seconds = 2, .reply = true, .socket = &calm);
	lab_waits(*state, WAL, .seconds = 60, .socket = &calm);
	assert_verdict(*state, SESSION, "healthy_idle");
}

/* It replies every 20 s: the one that it is asked for may take as long. */
static void one_that_replies_rarely_is_not_silent_sooner_though_it_is_asked(void **state)
{
	lab_stream(*state, 0);
	for (int i = 0; i < 4; i++) {
		lab_waits(*state, WAL, .seconds = 19, .socket = &calm);
		lab_waits(*state, WAL, .seconds = 1, .reply = true, .socket = &calm);
	}
	lab_waits(*state, WAL, .seconds = 8, .ping = true, .socket = &calm);
	assert_verdict(*state, SESSION, "healthy_idle");
}

static void without_a_word_of_the_socket_nobody_is_silent(void **state)
{
	lab_stream(*state, 0);
	lab_waits(*state, WAL, .seconds = 5, .reply = true);
	lab_waits(*state, WAL, .seconds = 8, .ping = true);
	assert_verdict(*state, SESSION, "healthy_idle");
}

static void one_that_was_full_until_the_timeout_was_not_read(void **state)
{
	static const struct ws_rec_socket shut = { .timer = WS_TCP_TIMER_PERSIST,
						   .mss_bytes = 1448,
						   .unsent_bytes = 100000 };
	struct lab *lab = *state;

	lab_stream(lab, 0);
	lab_waits(lab, WAL, .seconds = 60, .busy_ms = 100, .bytes = MB, .reply = true,
		  .socket = &calm);
	lab_waits(lab, SOCKET, .seconds = 6, .socket = &shut);
	time_out(lab);
	assert_verdict(lab, SESSION, "receiver_not_reading");
	assert_non_null(strstr(lab_find(lab, SESSION)->finding.text, "has ended the session"));
}

static void one_that_was_full_and_read_on_before_the_timeout_is_not_blamed(void **state)
{
	static const struct ws_rec_socket shut = { .timer = WS_TCP_TIMER_PERSIST,
						   .mss_bytes = 1448,
						   .unsent_bytes = 100000 };
	struct lab *lab = *state;

	lab_stream(lab, 0);
	lab_waits(lab, SOCKET, .seconds = 6, .socket = &shut);
	lab_waits(lab, WAL, .seconds = 60, .busy_ms = 100, .bytes = MB, .reply = true,
		  .socket = &calm);
	time_out(lab);
	assert_verdict(lab, SESSION, "healthy_streaming");
	assert_said_of(lab, SESSION, " Then wal_sender_timeout ended it.");
}

static void one_that_was_stopped_for_a_moment_is_healthy(void **state)
{
	static const struct ws_rec_sample running = { .task_state = 'S' };
	struct lab *lab = *state;

	lab_stream(lab, 0);
	lab_waits(lab, WAL, .seconds = 5, .sample = &running);
	ws_tape_blocked(&lab->tape, WS_BLOCKED_STOPPED, 0);
	lab->tape.now_ns += SECOND / 2;
	lab->tape.mark_ns = lab->tape.now_ns;
	ws_tape_blocked(&lab->tape, WS_BLOCKED_NOTHING, 0);
	lab_waits(lab, WAL, .seconds = 5, .sample = &running);
	assert_verdict(lab, SESSION, "healthy_idle");
}

static void a_message_that_comes_whole_in_time_is_no_stall(void **state)
{
	struct lab *lab = *state;

	lab_stream(lab, 0);
	lab_waits(lab, WAL, .seconds = 5);
	ws_tape_blocked(&lab->tape, WS_BLOCKED_CLIENT_READ, 0);
	lab_waits(lab, WAL, .seconds = 10, .reply = true);
	assert_verdict(lab, SESSION, "healthy_idle");
}

static void a_moment_of_spinning_is_no_wait_for_copydone(void **state)
{
	struct lab *lab = *state;

	lab_stream(lab, 0);
	for (unsigned int i = 0; i < 10; i++)
		ws_tape_turn(&lab->tape,
			     &(struct ws_tape_turn){ .stage_ns = { [WS_STAGE_SEND] = SECOND / 50 },
						     .turns = 1000,
						     .sends = 1000,
						     .lsn_from = LSN,
						     .lsn_to = LSN,
						     .wait = WS_WAIT_NONE });
	lab_waits(lab, WAL, .seconds = 60, .reply = true);
	assert_verdict(lab, SESSION, "healthy_idle");
}

static void a_unix_socket_that_is_read_is_healthy(void **state)
{
	static const struct ws_rec_sample some = { .valid = WS_SAMPLE_UNIX,
						   .unix_queued_bytes = 20000,
						   .unix_sndbuf_bytes = 212992 };

	lab_stream(*state, 0);
	lab_waits(*state, WAL, .seconds = 10, .busy_ms = 300, .bytes = MB, .reply = true,
		  .sample = &some);
	assert_verdict(*state, SESSION, "healthy_streaming");
}

static void half_a_message_is_a_stall(void **state)
{
	struct lab *lab = *state;

	lab_stream(lab, 0);
	lab_waits(lab, WAL, .seconds = 2);
	ws_tape_blocked(&lab->tape, WS_BLOCKED_CLIENT_READ, 0);
	lab->tape.now_ns += 10 * SECOND;
	ws_tape_clock(&lab->tape, 1, 1);
	assert_verdict(lab, SESSION, "client_protocol_stall");
}

static void one_that_spins_waits_for_copydone(void **state)
{
	struct lab *lab = *state;

	lab_stream(lab, 0);
	for (unsigned int i = 0; i < 500; i++)
		ws_tape_turn(&lab->tape,
			     &(struct ws_tape_turn){ .stage_ns = { [WS_STAGE_SEND] = SECOND / 50 },
						     .turns = 1000,
						     .sends = 1000,
						     .lsn_from = LSN,
						     .lsn_to = LSN,
						     .wait = WS_WAIT_NONE });
	assert_verdict(lab, SESSION, "waits_for_copydone");
}

static void a_unix_socket_that_stays_full_is_not_read(void **state)
{
	static const struct ws_rec_sample full = { .valid = WS_SAMPLE_UNIX,
						   .unix_queued_bytes = 200000,
						   .unix_sndbuf_bytes = 212992 };
	struct lab *lab = *state;

	lab_stream(lab, 0);
	lab_waits(lab, SOCKET, .seconds = 1, .sample = &full);
	lab->tape.now_ns += 10 * SECOND;
	lab_outside(lab, &(struct step){ .sample = &full });
	assert_verdict(lab, SESSION, "receiver_not_reading");
}

/* Full for nine of sixteen seconds, of which the last are quiet; `queued` as one looked meanwhile.
 */
static void wait_and_go_on(struct lab *lab, uint32_t queued)
{
	struct ws_rec_sample seen = { .valid = WS_SAMPLE_UNIX,
				      .unix_queued_bytes = queued,
				      .unix_sndbuf_bytes = 212992 };
	static const struct ws_rec_sample none = { .valid = WS_SAMPLE_UNIX,
						   .unix_sndbuf_bytes = 212992 };

	lab_stream(lab, 0);
	lab_waits(lab, WAL, .seconds = 3, .bytes = MB);
	lab_waits(lab, SOCKET, .seconds = 9, .sample = &seen);
	lab_waits(lab, WAL, .seconds = 4, .bytes = MB, .sample = &none);
}

static void a_unix_socket_that_was_full_and_has_room_again_was_read_slowly(void **state)
{
	wait_and_go_on(*state, 215040);
	assert_verdict(*state, SESSION, "receiver_slow");
	assert_said_of(*state, SESSION, "It has room now.");
	assert_said_of(*state, SESSION, "At times it takes nothing, once for 8.00 s.");
}

static void a_unix_socket_that_had_room_was_not_read_slowly(void **state)
{
	wait_and_go_on(*state, 20000);
	assert_verdict(*state, SESSION, "insufficient_data");
}

/* WAL goes on being written, and wakes it ten times a second: it finds no room each time. */
static void a_unix_socket_that_stays_full_while_wal_comes_is_not_read(void **state)
{
	static const struct ws_rec_sample full = { .valid = WS_SAMPLE_UNIX,
						   .unix_queued_bytes = 239000,
						   .unix_sndbuf_bytes = 212992 };
	struct lab *lab = *state;

	lab_stream(lab, 0);
	lab_waits(lab, WAL, .seconds = 20, .bytes = MB, .reply = true);
	for (unsigned int i = 0; i < 70; i++) {
		struct ws_tape_turn woken = {
			.stage_ns = { [WS_STAGE_WAIT] = SECOND / 10 - 20000,
				      [WS_STAGE_SEND] = 20000 },
			.wait = WS_WAIT_SOCKET,
			.flags = WS_TURN_PENDING,
			.lsn_from = lab->sent,
			.lsn_to = lab->sent,
		};

		ws_tape_turn(&lab->tape, &woken);
		if (i == 5)
			lab_outside(lab, &(struct step){ .sample = &full });
	}
	assert_verdict(lab, SESSION, "receiver_not_reading");
}

static void a_window_that_limits_is_a_slow_receiver(void **state)
{
	static const struct ws_rec_socket socket = { .acked_bytes = MB,
						     .rwnd_limited_us = 90,
						     .timer = WS_TCP_TIMER_PERSIST,
						     .mss_bytes = 1448 };

	lab_stream(*state, 0);
	lab_waits(*state, SOCKET, .seconds = 10, .busy_ms = 100, .bytes = MB, .socket = &socket);
	assert_verdict(*state, SESSION, "receiver_slow");
}

/* It stopped for some seconds, and the last look at its socket was in these. */
/* The server's own buffer took what was sent for most of the time. */
static void a_socket_that_has_just_got_full_for_a_client_that_stopped_is_not_read(void **state)
{
	static const struct ws_rec_socket shut = { .timer = WS_TCP_TIMER_PERSIST,
						   .mss_bytes = 1448,
						   .rwnd_limited_us = 95,
						   .unsent_bytes = 4000000 };

	lab_stream(*state, 0);
	lab_waits(*state, WAL, .seconds = 8, .busy_ms = 50, .bytes = MB, .reply = true,
		  .no_flush = true, .socket = &calm);
	lab_waits(*state, SOCKET, .seconds = 4, .no_flush = true, .socket = &shut);
	assert_verdict(*state, SESSION, "receiver_not_reading");
}

static void one_that_has_just_read_on_is_slow(void **state)
{
	static const struct ws_rec_socket reads = { .acked_bytes = MB,
						    .rwnd_limited_us = 95,
						    .mss_bytes = 1448,
						    .timer = WS_TCP_TIMER_PERSIST };
	static const struct ws_rec_socket shut = { .rwnd_limited_us = 95,
						   .mss_bytes = 1448,
						   .timer = WS_TCP_TIMER_PERSIST,
						   .unsent_bytes = 100000 };
	struct lab *lab = *state;

	lab_stream(lab, 0);
	lab_waits(lab, SOCKET, .seconds = 5, .bytes = MB, .socket = &reads);
	lab_waits(lab, SOCKET, .seconds = 5, .socket = &shut);
	lab_waits(lab, WAL, .seconds = 1, .bytes = MB);
	assert_verdict(lab, SESSION, "receiver_slow");
}

/* Little is sent: the client's buffer is full, the server's own has room for a good while. */
static void a_client_that_reads_nothing_is_seen_before_the_socket_is_full(void **state)
{
	static const struct ws_rec_socket shut = { .mss_bytes = 1448,
						   .timer = WS_TCP_TIMER_PERSIST,
						   .unsent_bytes = 100000 };

	lab_stream(*state, 0);
	lab_waits(*state, WAL, .seconds = 5, .bytes = 500, .socket = &calm);
	lab_waits(*state, WAL, .seconds = 8, .bytes = 500, .socket = &shut);
	assert_verdict(*state, SESSION, "receiver_not_reading");
	assert_non_null(
		strstr(lab_find(*state, SESSION)->finding.text,
		       "as yet room in the server's own for what it sends: 97.7 kB wait there"));
}

/* Its time-out is shorter than anything else that is asked for. */
static void one_that_is_given_up_after_two_seconds_with_its_buffer_full_read_nothing(void **state)
{
	struct lab *lab = *state;

	lab_stream(lab, 0);
	lab_waits(lab, WAL, .seconds = 4, .bytes = MB, .reply = true, .socket = &flows);
	lab_waits(lab, WAL, .seconds = 2, .bytes = MB, .ping = true, .socket = &full_window);
	time_out(lab);
	assert_verdict(lab, SESSION, "receiver_not_reading");
	assert_said_of(lab, SESSION,
		       "the walsender had room to the end in the server's own for what it sent: "
		       "4.00 MB waited there. wal_sender_timeout has ended the session.");
}

/* Its socket was looked at too long ago to tell more. */
static void one_that_was_given_up_is_not_healthy(void **state)
{
	static const struct ws_rec_socket waits = {
		.mss_bytes = 1448, .acked_bytes = MB, .unsent_bytes = 1000, .window_bytes = 65536
	};
	struct lab *lab = *state;

	lab_stream(lab, 0);
	lab_waits(lab, WAL, .seconds = 4, .bytes = MB, .reply = true, .socket = &waits);
	lab_waits(lab, WAL, .seconds = 2, .ping = true);
	time_out(lab);
	assert_verdict(lab, SESSION, "receiver_silent");
	assert_said_of(lab, SESSION,
		       "wal_sender_timeout has ended the session: the client had not replied for");
}

/* Whoever looked into it has ended it. */
static void one_that_was_ended_while_it_read_nothing_read_nothing(void **state)
{
	struct lab *lab = *state;

	lab_stream(lab, 0);
	lab_waits(lab, WAL, .seconds = 2, .bytes = MB, .reply = true, .socket = &full_window);
	lab_waits(lab, SOCKET, .seconds = 10, .socket = &full_window);
	ws_tape_signal(&lab->tape, 0, SIGTERM, WS_ROLE_BACKEND, 77);
	ws_tape_error(&lab->tape, WS_ELEVEL_FATAL, "57P01", "ProcessInterrupts",
		      "terminating connection due to administrator command");
	ws_tape_exit(&lab->tape, 1, 0);
	assert_verdict(lab, SESSION, "receiver_not_reading");
	assert_said_of(lab, SESSION, "the walsender waited for room. Then it was told to end, as");
}

static void one_whose_buffer_is_full_for_a_moment_is_not_blamed(void **state)
{
	static const struct ws_rec_socket shut = { .mss_bytes = 1448,
						   .timer = WS_TCP_TIMER_PERSIST,
						   .unsent_bytes = 100000 };

	lab_stream(*state, 0);
	lab_waits(*state, WAL, .seconds = 8, .bytes = 500, .socket = &calm);
	lab_waits(*state, WAL, .seconds = 4, .bytes = 500, .socket = &shut);
	assert_verdict(*state, SESSION, "healthy_idle");
}

/* It had little to do for long; since there is much, the client is what it waits for. */
static void play_little_then_slow(struct lab *lab)
{
	static const struct ws_rec_socket slow = { .acked_bytes = MB,
						   .rwnd_limited_us = 95,
						   .mss_bytes = 1448,
						   .unsent_bytes = 100000,
						   .timer = WS_TCP_TIMER_PERSIST };

	lab_stream(lab, 0);
	lab_waits(lab, WAL, .seconds = 30, .socket = &calm);
	lab_waits(lab, SOCKET, .seconds = 10, .busy_ms = 300, .bytes = MB, .socket = &slow);
}

static void a_client_that_is_slow_when_there_is_much_is_slow(void **state)
{
	play_little_then_slow(*state);
	assert_verdict(*state, SESSION, "receiver_slow");
}

static void one_that_has_got_it_all_meanwhile_is_not(void **state)
{
	play_little_then_slow(*state);
	lab_waits(*state, WAL, .seconds = 2, .socket = &calm);
	assert_verdict(*state, SESSION, "healthy_streaming");
}

static void a_full_socket_that_nothing_explains_is_not_guessed_at(void **state)
{
	lab_stream(*state, 0);
	lab_waits(*state, SOCKET, .seconds = 10, .busy_ms = 100, .bytes = MB);
	assert_verdict(*state, SESSION, "insufficient_data");
}

/* A backup that hands over what it reads for `send_ms` of each second, and cannot for `blocked_ms`.
 */
static void play_backup(struct lab *lab, uint64_t send_ms, uint64_t blocked_ms)
{
	ws_tape_session(&lab->tape, 0);
	ws_tape_ready(&lab->tape);
	ws_tape_command(&lab->tape, "BASE_BACKUP");
	ws_tape_backup(&lab->tape, WS_BACKUP_BEGIN, 0, 0);
	ws_tape_backup(&lab->tape, WS_BACKUP_STREAM, 0, 0);
	for (unsigned int i = 0; i < 8; i++) {
		if (blocked_ms)
			ws_tape_blocked(&lab->tape, WS_BLOCKED_CLIENT_WRITE, 0);
		lab->tape.now_ns += blocked_ms * 1000000;
		if (blocked_ms)
			ws_tape_blocked(&lab->tape, WS_BLOCKED_NOTHING, 0);
		lab->tape.now_ns += SECOND - blocked_ms * 1000000;
		ws_tape_backup(&lab->tape, WS_BACKUP_STREAM, 400 * MB, send_ms * 1000000);
	}
}

static void a_backup_that_copies_as_fast_as_it_can_has_no_slow_client(void **state)
{
	play_backup(*state, 700, 0);
	assert_verdict(*state, SESSION, "healthy_streaming");
}

static void a_backup_whose_socket_was_full_for_a_part_of_the_time_says_so(void **state)
{
	play_backup(*state, 600, 300);
	assert_verdict(*state, SESSION, "healthy_streaming");
	assert_said_of(*state, SESSION, "Its socket was full for 30 % of the time.");
}

static void a_backup_that_reads_most_of_the_time_says_so(void **state)
{
	play_backup(*state, 100, 0);
	assert_verdict(*state, SESSION, "healthy_streaming");
	assert_non_null(strstr(lab_find(*state, SESSION)->finding.text,
			       "goes as fast as the server reads its files"));
	assert_non_null(strstr(lab_find(*state, SESSION)->finding.text, "90 % of its time"));
}

static void a_backup_whose_client_takes_nothing_has_a_slow_one(void **state)
{
	play_backup(*state, 100, 800);
	assert_verdict(*state, SESSION, "backup_client_slow");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB(one_that_reads_late_what_has_arrived_is_slow_before_its_buffer_is_full),
		LAB(one_that_takes_changes_in_late_is_slow_before_its_buffer_is_full),
		LAB(one_that_tells_now_and_then_what_it_has_is_not_slow),
		LAB(one_that_takes_changes_in_late_is_slow_behind_a_burst_of_wal_too),
		LAB(one_that_takes_changes_in_at_once_is_not_slow),
		LAB(one_that_reads_at_once_is_not_slow),
		LAB(one_that_gets_it_late_does_not_read_late),
		LAB(one_that_is_far_away_does_not_read_late),
		LAB(what_was_sent_since_the_socket_was_looked_at_may_not_have_arrived),
		LAB(of_what_is_written_late_the_round_trip_counts_as_the_way),
		LAB(one_that_flushes_late_does_not_read_late_beside),
		LAB(one_that_is_asked_and_does_not_reply_is_silent),
		LAB(one_to_which_something_is_under_way_is_silent_too),
		LAB(one_that_acknowledges_nothing_behind_the_question_is_not_just_silent),
		LAB(one_that_a_short_timeout_ended_was_silent),
		LAB(one_that_confirmed_at_once_and_does_no_more_is_silent_though_not_asked),
		LAB(one_that_confirmed_at_once_and_has_not_for_a_moment_is_not),
		LAB(one_that_confirms_whole_segments_is_not_silent_in_the_midst_of_one),
		LAB(one_that_reports_rarely_and_is_not_asked_is_not_silent),
		LAB(one_that_replies_rarely_is_not_silent_sooner_though_it_is_asked),
		LAB(without_a_word_of_the_socket_nobody_is_silent),
		LAB(one_that_was_full_until_the_timeout_was_not_read),
		LAB(one_that_was_full_and_read_on_before_the_timeout_is_not_blamed),
		LAB(one_that_was_stopped_for_a_moment_is_healthy),
		LAB(a_message_that_comes_whole_in_time_is_no_stall),
		LAB(a_moment_of_spinning_is_no_wait_for_copydone),
		LAB(a_unix_socket_that_is_read_is_healthy),
		LAB(half_a_message_is_a_stall),
		LAB(one_that_spins_waits_for_copydone),
		LAB(a_unix_socket_that_stays_full_is_not_read),
		LAB(a_unix_socket_that_was_full_and_has_room_again_was_read_slowly),
		LAB(a_unix_socket_that_had_room_was_not_read_slowly),
		LAB(a_unix_socket_that_stays_full_while_wal_comes_is_not_read),
		LAB(a_window_that_limits_is_a_slow_receiver),
		LAB(a_socket_that_has_just_got_full_for_a_client_that_stopped_is_not_read),
		LAB(one_that_has_just_read_on_is_slow),
		LAB(a_client_that_reads_nothing_is_seen_before_the_socket_is_full),
		LAB(one_that_is_given_up_after_two_seconds_with_its_buffer_full_read_nothing),
		LAB(one_that_was_given_up_is_not_healthy),
		LAB(one_that_was_ended_while_it_read_nothing_read_nothing),
		LAB(one_whose_buffer_is_full_for_a_moment_is_not_blamed),
		LAB(a_client_that_is_slow_when_there_is_much_is_slow),
		LAB(one_that_has_got_it_all_meanwhile_is_not),
		LAB(a_full_socket_that_nothing_explains_is_not_guessed_at),
		LAB(a_backup_that_copies_as_fast_as_it_can_has_no_slow_client),
		LAB(a_backup_whose_socket_was_full_for_a_part_of_the_time_says_so),
		LAB(a_backup_that_reads_most_of_the_time_says_so),
		LAB(a_backup_whose_client_takes_nothing_has_a_slow_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
