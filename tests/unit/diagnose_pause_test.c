/* SPDX-License-Identifier: BSD-2-Clause */
/* Clients that take nothing for a while, now and again: which of them read slowly, and which not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../lib/diagnosed.h"

#define SESSION WS_SCOPE_SESSION

/* Stopped for long, it read all for a while, and is stopped again, not yet for as long. */
static void one_that_is_stopped_once_more_reads_nothing(void **state)
{
	struct lab *lab = *state;

	lab_stream(lab, 0);
	lab_waits(lab, WAL, .seconds = 2, .bytes = MB, .reply = true, .socket = &flows);
	lab_waits(lab, SOCKET, .seconds = 20, .socket = &full_window);
	lab_waits(lab, WAL, .seconds = 10, .bytes = MB, .reply = true, .socket = &flows);
	lab_waits(lab, SOCKET, .seconds = 10, .socket = &full_window);
	assert_verdict(lab, SESSION, "receiver_not_reading");
}

static void one_that_was_stopped_and_reads_all_now_is_said_to(void **state)
{
	static const struct ws_rec_socket again = { .acked_bytes = 5 * MB,
						    .rwnd_limited_us = 80,
						    .mss_bytes = 1448,
						    .window_bytes = 65536 };
	struct lab *lab = *state;

	lab_stream(lab, 0);
	lab_waits(lab, WAL, .seconds = 2, .bytes = MB, .reply = true, .socket = &flows);
	lab_waits(lab, SOCKET, .seconds = 20, .socket = &full_window);
	lab_waits(lab, WAL, .seconds = 5, .bytes = MB, .reply = true, .socket = &again);
	assert_verdict(lab, SESSION, "receiver_slow");
	assert_said_of(lab, SESSION, "once for 20.0 s. Its socket has room now.");
}

static void take_piece(struct lab *lab, unsigned int times, unsigned int pause)
{
	static const struct ws_rec_socket shut = { .rwnd_limited_us = 95,
						   .mss_bytes = 1448,
						   .timer = WS_TCP_TIMER_PERSIST,
						   .unsent_bytes = 100000 };
	static const struct ws_rec_socket piece = { .acked_bytes = 65536,
						    .rwnd_limited_us = 95,
						    .mss_bytes = 1448,
						    .timer = WS_TCP_TIMER_PERSIST,
						    .unsent_bytes = 100000 };

	lab_waits(lab, SOCKET, .seconds = times, .bytes = 65536, .socket = &piece);
	lab_waits(lab, SOCKET, .seconds = pause, .socket = &shut);
}

/* Its window opens by a piece at a time, after four seconds and now again. */
static void take_pieces(struct lab *lab)
{
	lab_stream(lab, 0);
	for (int i = 0; i < 3; i++)
		take_piece(lab, 1, 4);
}

/* A pause that is a little shorter than the longest one is of the same kind. */
static void one_whose_pauses_differ_is_as_slow_as_its_longest_one(void **state)
{
	lab_stream(*state, 0);
	take_piece(*state, 1, 7);
	for (int i = 0; i < 4; i++)
		take_piece(*state, 3, 4);
	take_piece(*state, 3, 12);
	assert_verdict(*state, SESSION, "receiver_slow");
}

static void one_that_takes_a_piece_now_and_then_is_slow(void **state)
{
	take_pieces(*state);
	assert_verdict(*state, SESSION, "receiver_slow");
}

static void one_that_pauses_for_a_whole_window_is_slow_as_it_was_before(void **state)
{
	/* From behind the last piece on. */
	lab_window(*state, 12 * SECOND + SECOND / 4, UINT64_MAX);
	take_pieces(*state);
	assert_verdict(*state, SESSION, "receiver_slow");
}

static void flow(struct lab *lab, unsigned int seconds)
{
	static const struct ws_rec_socket limited = {
		.mss_bytes = 1448, .acked_bytes = MB, .rwnd_limited_us = 95, .window_bytes = 65536
	};

	lab_waits(lab, WAL, .seconds = seconds, .bytes = MB, .reply = true, .socket = &limited);
}

/* It reads all for a while between. */
static void what_has_come_twice_is_how_it_reads(void **state)
{
	lab_stream(*state, 0);
	for (int i = 0; i < 2; i++) {
		take_piece(*state, 1, 8);
		flow(*state, 8);
	}
	take_piece(*state, 1, 10);
	assert_verdict(*state, SESSION, "receiver_slow");
	assert_said_of(*state, SESSION, "At times it takes nothing, once for 9.00 s.");
}

static void play_pause(struct lab *lab)
{
	lab_stream(lab, 0);
	flow(lab, 2);
	take_piece(lab, 1, 12);
	flow(lab, 60);
	lab_judge(lab);
}

static void a_pause_that_is_over_for_long_is_said(void **state)
{
	play_pause(*state);
	assert_verdict(*state, SESSION, "healthy_streaming");
	assert_said_of(*state, SESSION, "For 13.0 s of the time looked at the client took nothing");
}

static void as_much_of_it_as_lies_in_the_window(void **state)
{
	lab_window(*state, 10 * SECOND, UINT64_MAX);
	play_pause(*state);
	assert_said_of(*state, SESSION, "For 7.00 s of the time looked at the client took nothing");
}

static void and_none_that_was_before_it(void **state)
{
	lab_window(*state, 20 * SECOND, UINT64_MAX);
	play_pause(*state);
	assert_null(strstr(lab_find(*state, SESSION)->finding.text, "took nothing"));
}

/* The window begins behind all that was acknowledged, and no look at the socket tells of more. */
static void a_pause_that_ended_behind_the_last_look_is_known_to_be_over(void **state)
{
	static const struct ws_rec_socket shut = { .rwnd_limited_us = 95,
						   .mss_bytes = 1448,
						   .timer = WS_TCP_TIMER_PERSIST,
						   .unsent_bytes = 100000 };
	struct lab *lab = *state;

	lab_window(lab, 3 * SECOND + SECOND / 4, UINT64_MAX);
	lab_stream(lab, 0);
	flow(lab, 2);
	lab_waits(lab, SOCKET, .seconds = 8, .socket = &shut);
	lab_waits(lab, WAL, .seconds = 1, .ms = 500, .bytes = MB);
	assert_verdict(lab, SESSION, "receiver_slow");
	assert_said_of(lab, SESSION, "At times it takes nothing, once for 7.00 s.");
	assert_null(strstr(lab_find(lab, SESSION)->finding.text, "it took"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB(one_that_is_stopped_once_more_reads_nothing),
		LAB(one_that_was_stopped_and_reads_all_now_is_said_to),
		LAB(one_whose_pauses_differ_is_as_slow_as_its_longest_one),
		LAB(one_that_takes_a_piece_now_and_then_is_slow),
		LAB(one_that_pauses_for_a_whole_window_is_slow_as_it_was_before),
		LAB(what_has_come_twice_is_how_it_reads),
		LAB(a_pause_that_is_over_for_long_is_said),
		LAB(as_much_of_it_as_lies_in_the_window),
		LAB(and_none_that_was_before_it),
		LAB(a_pause_that_ended_behind_the_last_look_is_known_to_be_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
