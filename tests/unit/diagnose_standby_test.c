/* SPDX-License-Identifier: BSD-2-Clause */
/* What the rules say of a session whose standby flushes, applies or confirms late. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "../lib/diagnosed.h"

#define SESSION WS_SCOPE_SESSION

static void slow_flushes_are_told_from_slow_writes(void **state)
{
	struct lab *lab = *state;

	lab_stream(lab, 0);
	for (unsigned int i = 0; i < 20; i++)
		lab_waits(lab, WAL, .seconds = 1, .busy_ms = 10, .bytes = 1000000, .reply = true,
			  .flush = lab->sent - (i ? 1000000 : 0), .no_apply = true);
	assert_verdict(lab, SESSION, "standby_flush_slow");
}

static uint64_t ago(uint64_t sent, uint64_t i, uint64_t tenths, uint64_t each)
{
	return sent - (i < tenths ? i : tenths - 1) * each;
}

/* Ten changes a second, each written and flushed so many tenths of a second after it was sent. */
static void play_changes(struct lab *lab, uint16_t stream, uint16_t turn, uint64_t write,
			 uint64_t flush)
{
	const uint64_t each = 1000;

	lab_stream(lab, stream);
	for (uint64_t i = 0; i < 100; i++) {
		struct ws_tape_turn t = {
			.stage_ns = { [WS_STAGE_WAIT] = SECOND / 10 },
			.wait = WS_WAIT_WAL,
			.flags = turn | WS_TURN_REPLY,
			.lsn_from = lab->sent,
			.lsn_to = lab->sent + each,
			.write_lsn = ago(lab->sent, i, write, each),
			.flush_lsn = ago(lab->sent, i, flush, each),
			.write_lag_us = -1,
			.flush_lag_us = -1,
			.apply_lag_us = -1,
		};

		lab->sent += each;
		ws_tape_turn(&lab->tape, &t);
	}
}

static void a_standby_that_flushes_after_300_ms_is_slow(void **state)
{
	play_changes(*state, 0, 0, 1, 3);
	assert_verdict(*state, SESSION, "standby_flush_slow");
}

/* One flush at a time: of those in time there are many more. */
static void play_syncs(struct lab *lab, unsigned int count, unsigned int ms)
{
	for (unsigned int i = 0; i < count; i++) {
		lab_waits(lab, WAL, .seconds = 1, .ms = 2, .bytes = 1000);
		lab_waits(lab, WAL, .seconds = 1, .ms = 2, .reply = true, .flush = lab->sent - 1000,
			  .apply = lab->sent - 1000);
		lab_waits(lab, WAL, .seconds = 1, .ms = ms);
		lab_waits(lab, WAL, .seconds = 1, .ms = 2, .reply = true);
	}
}

static void syncs_that_have_become_slow_are_told_though_many_were_not(void **state)
{
	lab_stream(*state, 0);
	play_syncs(*state, 100, 50);
	play_syncs(*state, 14, 500);
	assert_verdict(*state, SESSION, "standby_flush_slow");
}

static void syncs_that_were_slow_for_a_while_and_are_no_more_are_not(void **state)
{
	lab_stream(*state, 0);
	play_syncs(*state, 100, 50);
	play_syncs(*state, 14, 500);
	play_syncs(*state, 60, 50);
	assert_verdict(*state, SESSION, "healthy_idle");
}

/* What comes while it syncs waits for that to end. */
static void a_standby_under_load_writes_late_what_it_flushes_slowly(void **state)
{
	play_changes(*state, 0, 0, 5, 9);
	assert_verdict(*state, SESSION, "standby_flush_slow");
	assert_said_of(*state, SESSION, "does not write what comes meanwhile");
}

static void a_standby_that_gets_it_late_flushes_at_once(void **state)
{
	play_changes(*state, 0, 0, 7, 9);
	assert_verdict(*state, SESSION, "healthy_idle");
}

/* Its commits are asynchronous: the WAL writer flushes them. */
static void an_apply_worker_that_flushes_after_300_ms_is_healthy(void **state)
{
	play_changes(*state, WS_STREAM_LOGICAL, WS_TURN_LOGICAL, 1, 3);
	assert_verdict(*state, SESSION, "healthy_idle");
}

static void an_apply_worker_that_flushes_after_a_second_is_slow(void **state)
{
	play_changes(*state, WS_STREAM_LOGICAL, WS_TURN_LOGICAL, 1, 10);
	assert_verdict(*state, SESSION, "standby_flush_slow");
}

static void a_client_that_never_flushes_is_not_slow(void **state)
{
	lab_stream(*state, 0);
	lab_waits(*state, WAL, .seconds = 60, .busy_ms = 100, .bytes = MB, .reply = true,
		  .no_flush = true, .no_apply = true);
	assert_verdict(*state, SESSION, "healthy_streaming");
}

/* pg_receivewal with a slot: a file is flushed when it is full, and a reply comes each 10 s. */
static void play_receivewal(struct lab *lab, unsigned int seconds, uint64_t bytes, uint64_t segment)
{
	lab_stream(lab, 0);
	for (unsigned int i = 0; i < seconds; i++)
		lab_waits(lab, WAL, .seconds = 1, .busy_ms = 20, .bytes = bytes,
			  .reply = i % 10 == 0, .flush = lab->sent - lab->sent % segment,
			  .no_apply = true);
}

static void one_that_flushes_whole_segments_is_not_slow_to_flush(void **state)
{
	play_receivewal(*state, 95, 3000000, 16 * MB);
	assert_verdict(*state, SESSION, "healthy_streaming");
}

static void one_whose_segment_fills_slowly_confirms(void **state)
{
	play_receivewal(*state, 75, 200000, 16 * MB);
	assert_verdict(*state, SESSION, "healthy_streaming");
}

static void one_that_has_received_segments_and_flushed_none_does_not_confirm(void **state)
{
	struct lab *lab = *state;
	struct step step = {
		.seconds = 1, .wait = WS_WAIT_WAL, .busy_ms = 20, .bytes = 3000000, .no_apply = true
	};

	play_receivewal(lab, 40, 3000000, 16 * MB);
	step.flush = lab->sent - lab->sent % (16 * MB);
	for (unsigned int i = 0; i < 50; i++) {
		step.reply = i % 10 == 0;
		lab_play(lab, &step);
	}
	assert_verdict(lab, SESSION, "consumer_not_confirming");
}

static void replay_that_stands_while_flush_goes_on_is_paused(void **state)
{
	lab_stream(*state, 0);
	lab_waits(*state, WAL, .seconds = 15, .busy_ms = 100, .bytes = MB, .reply = true,
		  .apply = LSN);
	assert_verdict(*state, SESSION, "standby_apply_paused");
}

static void replay_that_stands_behind_much_is_not_slow_beside(void **state)
{
	struct lab *lab = *state;
	struct step step = {
		.seconds = 5, .wait = WS_WAIT_WAL, .busy_ms = 10, .bytes = MB, .reply = true
	};

	lab_stream(lab, 0);
	lab_play(lab, &step);
	step.apply = lab->sent;
	step.seconds = 15;
	lab_play(lab, &step);
	assert_verdict(lab, SESSION, "standby_apply_paused");
	assert_false(lab_also(lab, "standby_apply_slow"));
}

static void a_burst_and_silence_with_an_old_apply_position_is_no_pause(void **state)
{
	struct lab *lab = *state;

	lab_stream(lab, 0);
	lab_waits(lab, WAL, .seconds = 2, .busy_ms = 100, .bytes = MB, .reply = true, .apply = LSN);
	lab_waits(lab, WAL, .seconds = 9);
	assert_verdict(lab, SESSION, "healthy_streaming");
}

/* It has replayed all there is, and is sent something: that is flushed before it is replayed. */
static void what_comes_behind_a_rest_is_no_pause_of_replay(void **state)
{
	struct lab *lab = *state;
	uint64_t before;

	lab_stream(lab, 0);
	lab_waits(lab, WAL, .seconds = 30, .reply = true);
	before = lab->sent;
	lab_waits(lab, WAL, .seconds = 1, .bytes = 1000);
	lab_waits(lab, WAL, .seconds = 1, .reply = true, .apply = before);
	lab_waits(lab, WAL, .seconds = 5);
	assert_verdict(lab, SESSION, "healthy_idle");
}

/* All was replayed; then so much is flushed at once, and nothing more. */
static void play_flushed_once(struct lab *lab, uint64_t bytes, unsigned int seconds)
{
	uint64_t before;

	lab_stream(lab, 0);
	lab_waits(lab, WAL, .seconds = 5, .reply = true);
	before = lab->sent;
	lab_waits(lab, WAL, .seconds = 1, .bytes = bytes, .reply = true);
	lab_waits(lab, WAL, .seconds = seconds, .reply = true, .apply = before);
}

/* The WAL writer flushes whole pages: the rest of the record comes when something else does. */
static void a_record_that_is_not_complete_is_no_pause_of_replay(void **state)
{
	play_flushed_once(*state, 8192, 20);
	assert_verdict(*state, SESSION, "healthy_idle");
}

static void replay_that_stands_before_more_than_a_record_is_paused(void **state)
{
	play_flushed_once(*state, MB, 7);
	assert_verdict(*state, SESSION, "standby_apply_paused");
}

static void replay_that_stands_for_longer_than_a_record_stays_open_is_paused(void **state)
{
	play_flushed_once(*state, 8192, 30);
	assert_verdict(*state, SESSION, "standby_apply_paused");
}

static void replay_that_stands_while_little_is_flushed_twice_is_paused(void **state)
{
	struct lab *lab = *state;
	uint64_t before = lab->sent;

	play_flushed_once(lab, 300, 2);
	lab_waits(lab, WAL, .seconds = 7, .bytes = 300, .reply = true, .apply = before);
	assert_verdict(lab, SESSION, "standby_apply_paused");
}

static void a_pause_of_replay_that_is_over_is_said(void **state)
{
	struct lab *lab = *state;
	struct step step = {
		.seconds = 5, .wait = WS_WAIT_WAL, .busy_ms = 50, .bytes = MB, .reply = true
	};

	lab_stream(lab, 0);
	lab_play(lab, &step);
	step.apply = lab->sent;
	step.seconds = 8;
	lab_play(lab, &step);
	step.apply = 0;
	step.seconds = 6;
	lab_play(lab, &step);
	assert_verdict(lab, SESSION, "healthy_streaming");
	assert_said_of(lab, SESSION, "For 6.00 s the standby flushed WAL and replayed none of it");
	assert_said_of(lab, SESSION, "It has gone on since.");
}

/* `n` seconds behind in apply. */
static void play_lagging(struct lab *lab, unsigned int seconds,
			 unsigned int (*behind)(unsigned int))
{
	lab_stream(lab, 0);
	for (unsigned int i = 0; i < seconds; i++) {
		uint64_t n = behind(i) < i ? behind(i) : i;

		lab_waits(lab, WAL, .seconds = 1, .busy_ms = 10, .bytes = MB, .reply = true,
			  .apply = lab->sent - n * MB);
	}
}

static unsigned int always_three(unsigned int i)
{
	(void)i;
	return 3;
}

static unsigned int half(unsigned int i)
{
	return i / 2;
}

static void a_constant_apply_lag_is_a_delay(void **state)
{
	play_lagging(*state, 40, always_three);
	assert_verdict(*state, SESSION, "standby_apply_delayed");
}

/* A commit each so many seconds, and each is applied 30 s later. */
static void play_commits(struct lab *lab, unsigned int seconds, unsigned int every)
{
	uint64_t was[200];

	assert_true(seconds <= sizeof(was) / sizeof(*was));
	lab_stream(lab, 0);
	for (unsigned int i = 0; i < seconds; i++) {
		was[i] = lab->sent;
		lab_waits(lab, WAL, .seconds = 1, .bytes = i % every ? 0 : 1000, .reply = true,
			  .apply = i < 30 ? LSN : was[i - 30]);
	}
}

static void a_delay_is_not_said_to_be_a_pause_that_is_over(void **state)
{
	struct lab *lab = *state;

	play_commits(lab, 120, 7);
	assert_verdict(lab, SESSION, "standby_apply_delayed");
	assert_null(strstr(lab_find(lab, SESSION)->finding.text, "replayed none of it"));
}

static void a_delay_with_commits_now_and_then_is_no_pause(void **state)
{
	struct lab *lab = *state;

	play_commits(lab, 126, 12);
	assert_verdict(lab, SESSION, "standby_apply_delayed");
	assert_false(lab_also(lab, "standby_apply_paused"));
	assert_null(strstr(lab_find(lab, SESSION)->finding.text, "replayed none of it"));
}

static void a_pause_for_longer_than_the_delay_is_one(void **state)
{
	struct lab *lab = *state;
	struct step step = {
		.seconds = 8, .wait = WS_WAIT_WAL, .busy_ms = 10, .bytes = MB, .reply = true
	};

	play_lagging(lab, 40, always_three);
	step.apply = lab->sent - 3 * MB;
	lab_play(lab, &step);
	assert_verdict(lab, SESSION, "standby_apply_paused");
}

static void a_growing_backlog_is_slow_replay(void **state)
{
	play_lagging(*state, 40, half);
	assert_verdict(*state, SESSION, "standby_apply_slow");
}

static unsigned int now_and_then_four(unsigned int i)
{
	return i > 20 && i % 4 ? 4 : 0;
}

static void a_backlog_that_comes_and_goes_is_replay_at_work(void **state)
{
	play_lagging(*state, 40, now_and_then_four);
	assert_verdict(*state, SESSION, "healthy_streaming");
}

static void one_that_receives_and_does_not_confirm_is_told(void **state)
{
	lab_stream(*state, WS_STREAM_LOGICAL);
	lab_waits(*state, WAL, .seconds = 45, .flags = WS_TURN_LOGICAL, .busy_ms = 100, .bytes = MB,
		  .reply = true, .flush = LSN, .no_apply = true);
	assert_verdict(*state, SESSION, "consumer_not_confirming");
}

static void confirming_ten_seconds_late_is_healthy(void **state)
{
	struct lab *lab = *state;
	uint64_t confirmed = LSN;

	lab_stream(lab, WS_STREAM_LOGICAL);
	for (unsigned int i = 0; i < 45; i++) {
		if (i % 10 == 0)
			confirmed = lab->sent;
		lab_waits(lab, WAL, .seconds = 1, .flags = WS_TURN_LOGICAL, .busy_ms = 100,
			  .bytes = MB, .reply = true, .flush = confirmed, .no_apply = true);
	}
	assert_false(lab->row_count);
	lab_judge(lab);
	assert_false(lab_also(lab, "consumer_not_confirming"));
	assert_int_not_equal(lab_find(lab, SESSION)->verdict, WS_VERDICT_CONSUMER_NOT_CONFIRMING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB(slow_flushes_are_told_from_slow_writes),
		LAB(a_standby_that_flushes_after_300_ms_is_slow),
		LAB(syncs_that_have_become_slow_are_told_though_many_were_not),
		LAB(syncs_that_were_slow_for_a_while_and_are_no_more_are_not),
		LAB(a_standby_under_load_writes_late_what_it_flushes_slowly),
		LAB(a_standby_that_gets_it_late_flushes_at_once),
		LAB(an_apply_worker_that_flushes_after_300_ms_is_healthy),
		LAB(an_apply_worker_that_flushes_after_a_second_is_slow),
		LAB(a_client_that_never_flushes_is_not_slow),
		LAB(one_that_flushes_whole_segments_is_not_slow_to_flush),
		LAB(one_whose_segment_fills_slowly_confirms),
		LAB(one_that_has_received_segments_and_flushed_none_does_not_confirm),
		LAB(replay_that_stands_while_flush_goes_on_is_paused),
		LAB(replay_that_stands_behind_much_is_not_slow_beside),
		LAB(a_burst_and_silence_with_an_old_apply_position_is_no_pause),
		LAB(what_comes_behind_a_rest_is_no_pause_of_replay),
		LAB(a_record_that_is_not_complete_is_no_pause_of_replay),
		LAB(replay_that_stands_before_more_than_a_record_is_paused),
		LAB(replay_that_stands_for_longer_than_a_record_stays_open_is_paused),
		LAB(replay_that_stands_while_little_is_flushed_twice_is_paused),
		LAB(a_pause_of_replay_that_is_over_is_said),
		LAB(a_constant_apply_lag_is_a_delay),
		LAB(a_delay_is_not_said_to_be_a_pause_that_is_over),
		LAB(a_delay_with_commits_now_and_then_is_no_pause),
		LAB(a_pause_for_longer_than_the_delay_is_one),
		LAB(a_growing_backlog_is_slow_replay),
		LAB(a_backlog_that_comes_and_goes_is_replay_at_work),
		LAB(one_that_receives_and_does_not_confirm_is_told),
		LAB(confirming_ten_seconds_late_is_healthy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
