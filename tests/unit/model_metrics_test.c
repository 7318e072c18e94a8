/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../lib/model_fixture.h"
#include "probe/plan.h"

static const struct ws_hist *hist(const struct fixture *f, enum ws_metric metric)
{
	return &session_of(f)->hist[metric];
}

static void assert_one(const struct fixture *f, enum ws_metric metric, uint64_t value)
{
	assert_int_equal(hist(f, metric)->count, 1);
	assert_int_equal(hist(f, metric)->min, value);
}

/* A site that is planted at this level in some major, or the tracepoint that has its place. */
static bool is_seen(const char *name, int level)
{
	size_t count;
	const struct ws_probe *probes = ws_catalogue(&count);

	for (size_t i = 0; i < count; i++)
		if (!strcmp(probes[i].name, name) && probes[i].level <= level)
			return true;
	return level >= 2 && !strcmp(name, "sched_switch");
}

static void every_metric_is_described(void **state)
{
	(void)state;
	for (int i = 0; i < WS_METRIC_COUNT; i++) {
		const struct ws_metric_info *info = ws_metric_info(i);

		assert_non_null(info->name);
		assert_true(is_seen(info->begin, info->level));
		assert_true(is_seen(info->end, info->level));
		assert_non_null(info->help);
		assert_true(info->level >= 1 && info->level <= 3);
		assert_true(!strcmp(info->unit, "ns") || !strcmp(info->unit, "bytes"));
		assert_non_null(strstr(info->name, info->unit));
	}
	assert_null(ws_metric_info(WS_METRIC_COUNT));
}

static void every_state_and_reason_has_a_name(void **state)
{
	(void)state;
	for (int i = 0; i < WS_STATE_COUNT; i++)
		assert_non_null(ws_state_name(i));
	assert_null(ws_state_name(WS_STATE_COUNT));
	assert_null(ws_exit_reason_name(WS_END_NONE));
	for (int i = WS_END_NONE + 1; i <= WS_END_UNKNOWN; i++)
		assert_non_null(ws_exit_reason_name(i));
	assert_null(ws_session_kind_name(WS_SESSION_KIND_UNKNOWN));
	assert_string_equal(ws_session_kind_name(WS_SESSION_KIND_SQL), "sql");
	assert_string_equal(ws_outcome_name(WS_OUTCOME_LOST), "lost");
}

static void a_physical_turn_that_moved_counts_as_a_send(void **state)
{
	struct fixture *f = *state;
	struct ws_tape_turn t = { .stage_ns = { [WS_STAGE_REPLY] = 1,
						[WS_STAGE_READ] = 20,
						[WS_STAGE_SEND] = 300,
						[WS_STAGE_TAIL] = 4000 },
				  .lsn_from = 1000,
				  .lsn_to = 1064 };

	start_streaming(f, 0, 1000);
	ws_tape_turn(&f->tape, &t);
	assert_one(f, WS_METRIC_SEND_NS, 320);
	assert_one(f, WS_METRIC_SEND_BYTES, 64);
	t.lsn_from = t.lsn_to;
	ws_tape_turn(&f->tape, &t);
	assert_int_equal(hist(f, WS_METRIC_SEND_NS)->count, 1);
	/* It did not wait before. */
	assert_int_equal(hist(f, WS_METRIC_WAKEUP_TO_SEND_NS)->count, 0);
}

static void each_wait_counts_for_what_it_was(void **state)
{
	struct fixture *f = *state;

	start_streaming(f, 0, 1000);
	turn(f, 0, WS_WAIT_WAL);
	turn(f, 100, WS_WAIT_SOCKET);
	turn(f, 7, WS_WAIT_STANDBY);
	turn(f, 55, WS_WAIT_WAL);
	turn(f, 0, WS_WAIT_NONE);
	assert_int_equal(hist(f, WS_METRIC_WAIT_WAL_NS)->count, 2);
	assert_int_equal(hist(f, WS_METRIC_WAIT_WAL_NS)->max, 100);
	assert_one(f, WS_METRIC_SEND_BLOCKED_NS, 7);
}

static void from_wakeup_to_send_the_wait_and_the_tail_do_not_count(void **state)
{
	struct fixture *f = *state;
	struct ws_tape_turn t = { .stage_ns = { [WS_STAGE_WAIT] = 5000,
						[WS_STAGE_REPLY] = 1,
						[WS_STAGE_READ] = 20,
						[WS_STAGE_SEND] = 300,
						[WS_STAGE_TAIL] = 4000 },
				  .lsn_from = 1000,
				  .lsn_to = 1064 };

	start_streaming(f, 0, 1000);
	turn(f, 0, WS_WAIT_WAL);
	ws_tape_turn(&f->tape, &t);
	assert_one(f, WS_METRIC_WAKEUP_TO_SEND_NS, 321);
	/* A wait for the socket is no wake-up for WAL. */
	turn(f, 0, WS_WAIT_SOCKET);
	ws_tape_turn(&f->tape, &t);
	assert_int_equal(hist(f, WS_METRIC_WAKEUP_TO_SEND_NS)->count, 1);
	/* Of several turns in one record, the first one's end is not known. */
	turn(f, 0, WS_WAIT_WAL);
	t.turns = 2;
	ws_tape_turn(&f->tape, &t);
	assert_int_equal(hist(f, WS_METRIC_WAKEUP_TO_SEND_NS)->count, 1);
}

static void reads_of_a_turn_count_with_their_average(void **state)
{
	struct fixture *f = *state;

	start_streaming(f, 0, 1000);
	ws_tape_turn(&f->tape,
		     &(struct ws_tape_turn){ .stage_ns = { [WS_STAGE_READ] = 90 }, .reads = 3 });
	assert_int_equal(hist(f, WS_METRIC_READ_WAL_NS)->count, 3);
	assert_int_equal(hist(f, WS_METRIC_READ_WAL_NS)->max, 30);
}

static void replies_are_measured_from_one_to_the_next(void **state)
{
	struct fixture *f = *state;
	struct ws_tape_turn t = { .stage_ns = { [WS_STAGE_REPLY] = 1000 }, .flags = WS_TURN_REPLY };

	start_streaming(f, 0, 1000);
	ws_tape_turn(&f->tape, &t);
	turn(f, 0, WS_WAIT_NONE);
	ws_tape_turn(&f->tape, &t);
	assert_one(f, WS_METRIC_REPLY_INTERVAL_NS, 1001);
}

static void reply(struct fixture *f, uint64_t write, int64_t write_lag_us, uint64_t flush,
		  int64_t flush_lag_us)
{
	ws_tape_turn(&f->tape, &(struct ws_tape_turn){ .stage_ns = { [WS_STAGE_REPLY] = 1 },
						       .flags = WS_TURN_REPLY,
						       .write_lsn = write,
						       .flush_lsn = flush,
						       .write_lag_us = write_lag_us,
						       .flush_lag_us = flush_lag_us,
						       .apply_lag_us = -1 });
}

static void a_lag_counts_when_its_position_advanced(void **state)
{
	struct fixture *f = *state;

	start_streaming(f, 0, 1000);
	reply(f, 100, 5, 0, 900);
	reply(f, 200, 7, 0, 900);
	reply(f, 200, 7, 50, 3);
	reply(f, 300, -1, 60, -1);
	assert_int_equal(hist(f, WS_METRIC_WRITE_LAG_NS)->count, 2);
	assert_int_equal(hist(f, WS_METRIC_WRITE_LAG_NS)->min, 5000);
	assert_int_equal(hist(f, WS_METRIC_WRITE_LAG_NS)->max, 7000);
	/* A flush position of 0/0 is none (pg_receivewal). */
	assert_one(f, WS_METRIC_FLUSH_LAG_NS, 3000);
	assert_int_equal(hist(f, WS_METRIC_APPLY_LAG_NS)->count, 0);
	assert_int_equal(session_of(f)->write_lsn, 300);
	assert_int_equal(session_of(f)->flush_lsn, 60);
}

static void the_first_reply_of_a_session_found_running_may_repeat_an_old_lag(void **state)
{
	struct fixture *f = *state;

	ws_tape_found(&f->tape, WS_FOUND_STREAM_WAL, 1000);
	reply(f, 100, 5, 0, -1);
	assert_int_equal(hist(f, WS_METRIC_WRITE_LAG_NS)->count, 0);
	reply(f, 101, 6, 0, -1);
	assert_one(f, WS_METRIC_WRITE_LAG_NS, 6000);
}

static void decoding_counts_per_call_also_when_it_spans_records(void **state)
{
	struct fixture *f = *state;
	struct ws_rec_turn rec = { .turns = 1, .sends = 4 };

	start_streaming(f, WS_STREAM_LOGICAL, 1000);
	rec.begin_ns = f->tape.now_ns;
	rec.stage_ns[WS_STAGE_DECODE] = 400;
	after(f, 400);
	ws_tape_send(&f->tape, &rec.h, WS_KIND_TURN, WS_TURN_SHORT_SIZE, WS_TURN_LOGICAL);
	/* The fourth call goes on: no call of its own. */
	rec.begin_ns = f->tape.now_ns;
	rec.sends = 0;
	rec.stage_ns[WS_STAGE_DECODE] = 3600;
	after(f, 3600);
	ws_tape_send(&f->tape, &rec.h, WS_KIND_TURN, WS_TURN_SHORT_SIZE, WS_TURN_LOGICAL);
	ws_tape_end(&f->tape, WS_COMMAND_DONE);
	assert_int_equal(hist(f, WS_METRIC_DECODE_NS)->count, 4);
	assert_int_equal(hist(f, WS_METRIC_DECODE_NS)->min, 1000);
}

static void messages_count_with_their_average(void **state)
{
	struct fixture *f = *state;

	start_streaming(f, WS_STREAM_LOGICAL, 1000);
	ws_tape_turn(&f->tape, &(struct ws_tape_turn){ .stage_ns = { [WS_STAGE_PLUGIN] = 500 },
						       .messages = 5,
						       .flags = WS_TURN_LOGICAL });
	assert_int_equal(hist(f, WS_METRIC_OUTPUT_PLUGIN_NS)->count, 5);
	assert_int_equal(hist(f, WS_METRIC_OUTPUT_PLUGIN_NS)->max, 100);
}

static void every_ended_command_counts(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	ws_tape_command(&f->tape, "SHOW x");
	after(f, 30);
	ws_tape_end(&f->tape, WS_COMMAND_DONE);
	ws_tape_command(&f->tape, "SHOW y");
	after(f, 50);
	ws_tape_error(&f->tape, WS_ELEVEL_ERROR, "42601", "f", "m");
	assert_int_equal(hist(f, WS_METRIC_COMMAND_NS)->count, 2);
	assert_int_equal(hist(f, WS_METRIC_COMMAND_NS)->max, 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_metric_is_described),
		cmocka_unit_test(every_state_and_reason_has_a_name),
		TEST(a_physical_turn_that_moved_counts_as_a_send),
		TEST(each_wait_counts_for_what_it_was),
		TEST(from_wakeup_to_send_the_wait_and_the_tail_do_not_count),
		TEST(reads_of_a_turn_count_with_their_average),
		TEST(replies_are_measured_from_one_to_the_next),
		TEST(a_lag_counts_when_its_position_advanced),
		TEST(the_first_reply_of_a_session_found_running_may_repeat_an_old_lag),
		TEST(decoding_counts_per_call_also_when_it_spans_records),
		TEST(messages_count_with_their_average),
		TEST(every_ended_command_counts),
	};

	return cmocka_run_group_tests_name("model_metrics", tests, NULL, NULL);
}
