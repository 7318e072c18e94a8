/* SPDX-License-Identifier: BSD-2-Clause */
/* How long what was sent takes to be confirmed, whatever the server itself says of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../lib/model_fixture.h"

/* Takes 10 ns, of which the last 4 are for sending. */
static void send_to(struct fixture *f, uint64_t lsn)
{
	ws_tape_turn(&f->tape, &(struct ws_tape_turn){
				       .stage_ns = { [WS_STAGE_REPLY] = 6, [WS_STAGE_SEND] = 4 },
				       .lsn_from = session_of(f)->sent_lsn,
				       .lsn_to = lsn });
}

static void wait(struct fixture *f, uint64_t ns)
{
	ws_tape_turn(&f->tape, &(struct ws_tape_turn){ .stage_ns = { [WS_STAGE_WAIT] = ns } });
}

static void confirm(struct fixture *f, uint64_t write, uint64_t flush, uint64_t apply)
{
	ws_tape_turn(&f->tape, &(struct ws_tape_turn){ .stage_ns = { [WS_STAGE_REPLY] = 1 },
						       .flags = WS_TURN_REPLY,
						       .write_lsn = write,
						       .flush_lsn = flush,
						       .apply_lsn = apply,
						       .write_lag_us = -1,
						       .flush_lag_us = -1,
						       .apply_lag_us = -1 });
}

static uint64_t lag(struct fixture *f, enum ws_lag which)
{
	uint64_t ns;

	assert_true(ws_session_lag(session_of(f), which, f->tape.now_ns, &ns));
	return ns;
}

static bool is_known(struct fixture *f, enum ws_lag which)
{
	uint64_t ns;

	return ws_session_lag(session_of(f), which, f->tape.now_ns, &ns);
}

static const struct ws_hist *hist(struct fixture *f, enum ws_metric metric)
{
	return &session_of(f)->hist[metric];
}

static void a_position_is_behind_for_as_long_as_it_is_not_confirmed(void **state)
{
	struct fixture *f = *state;

	start_streaming(f, 0, 1000);
	send_to(f, 2000); /* sent 4 ago */
	wait(f, 96);
	confirm(f, 2000, 1500, 1000);
	assert_int_equal(session_of(f)->lag_ns[WS_LAG_WRITE], 101);
	assert_int_equal(session_of(f)->lag_ns[WS_LAG_FLUSH], 101);
	assert_int_equal(hist(f, WS_METRIC_WRITE_LAG_NS)->count, 1);
	assert_int_equal(lag(f, WS_LAG_WRITE), 0);
	after(f, 1000);
	/* Nothing moves, the lag grows all the same. */
	assert_int_equal(lag(f, WS_LAG_WRITE), 0);
	assert_int_equal(lag(f, WS_LAG_FLUSH), 1101);
	assert_int_equal(lag(f, WS_LAG_APPLY), 1101);
}

static void a_position_within_a_send_was_sent_with_it(void **state)
{
	struct fixture *f = *state;

	start_streaming(f, 0, 1000);
	send_to(f, 2000);
	wait(f, 490);
	send_to(f, 3000);
	wait(f, 95);
	confirm(f, 2001, 2000, 0);
	assert_int_equal(session_of(f)->lag_ns[WS_LAG_WRITE], 100);
	assert_int_equal(session_of(f)->lag_ns[WS_LAG_FLUSH], 600);
	/* 0/0 is no confirmation. */
	assert_false(is_known(f, WS_LAG_APPLY));
}

static void a_reply_that_moves_nothing_measures_nothing(void **state)
{
	struct fixture *f = *state;

	start_streaming(f, 0, 1000);
	send_to(f, 2000);
	confirm(f, 2000, 1500, 0);
	after(f, 5000);
	confirm(f, 2000, 1500, 0);
	assert_int_equal(hist(f, WS_METRIC_WRITE_LAG_NS)->count, 1);
	assert_int_equal(hist(f, WS_METRIC_FLUSH_LAG_NS)->count, 1);
	assert_int_equal(session_of(f)->lag_ns[WS_LAG_WRITE], 5);
}

static void of_what_was_sent_before_it_was_seen_only_the_server_knows(void **state)
{
	struct fixture *f = *state;

	ws_tape_found(&f->tape, WS_FOUND_STREAM_WAL, 1000);
	confirm(f, 800, 800, 800);
	assert_false(is_known(f, WS_LAG_FLUSH));
	ws_tape_turn(&f->tape, &(struct ws_tape_turn){ .stage_ns = { [WS_STAGE_REPLY] = 1 },
						       .flags = WS_TURN_REPLY,
						       .write_lsn = 900,
						       .flush_lsn = 900,
						       .write_lag_us = 7,
						       .flush_lag_us = -1 });
	assert_int_equal(session_of(f)->lag_ns[WS_LAG_WRITE], 7000);
	assert_false(session_of(f)->has_lag & 1U << WS_LAG_FLUSH);
}

static void behind_a_gap_measuring_begins_anew(void **state)
{
	struct fixture *f = *state;

	start_streaming(f, 0, 1000);
	send_to(f, 2000);
	ws_tape_gap(&f->tape, f->tape.now_ns, f->tape.now_ns + 50, 3, WS_GAP_RING_FULL);
	wait(f, 50);
	send_to(f, 3000);
	wait(f, 95);
	confirm(f, 1900, 2500, 0);
	assert_false(session_of(f)->has_lag & 1U << WS_LAG_WRITE);
	assert_int_equal(session_of(f)->lag_ns[WS_LAG_FLUSH], 100);
}

static void positions_without_number_are_thinned_out_not_forgotten(void **state)
{
	struct fixture *f = *state;
	const int sends = 100000;
	uint64_t begun;

	start_streaming(f, 0, 1000);
	send_to(f, 1001);
	begun = f->tape.now_ns - 4;
	for (int i = 2; i <= sends; i++)
		send_to(f, 1000 + (uint64_t)i);
	confirm(f, 1000 + (uint64_t)sends / 2, 1000 + (uint64_t)sends, 1000);
	/* One send in some hundred is kept, each takes 10 ns. */
	assert_in_range(session_of(f)->lag_ns[WS_LAG_WRITE], sends / 2 * 10 - 2000,
			sends / 2 * 10 + 10);
	assert_int_equal(session_of(f)->lag_ns[WS_LAG_FLUSH], 5);
	assert_in_range(lag(f, WS_LAG_APPLY), f->tape.now_ns - begun - 2000,
			f->tape.now_ns - begun);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_position_is_behind_for_as_long_as_it_is_not_confirmed),
		TEST(a_position_within_a_send_was_sent_with_it),
		TEST(a_reply_that_moves_nothing_measures_nothing),
		TEST(of_what_was_sent_before_it_was_seen_only_the_server_knows),
		TEST(behind_a_gap_measuring_begins_anew),
		TEST(positions_without_number_are_thinned_out_not_forgotten),
	};

	return cmocka_run_group_tests_name("model_lag", tests, NULL, NULL);
}
