/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "event/order.h"
#include "../lib/records.h"

/* What came out of the order, records cut at the size of a gap. */
struct out {
	struct {
		struct ws_rec rec;
		struct ws_rec_gap gap;
	} items[64];
	size_t count;
	int answer;
};

struct fixture {
	struct out out;
	struct ws_order *order;
	struct ws_tape tape;
};

static int collect(void *arg, const struct ws_rec *rec)
{
	struct out *out = arg;

	assert_true(out->count < WS_ARRAY_SIZE(out->items));
	out->items[out->count].rec = *rec;
	if (rec->kind == WS_KIND_GAP)
		memcpy(&out->items[out->count].gap, rec, sizeof(struct ws_rec_gap));
	out->count++;
	return out->answer;
}

/* Like the ring: a copy at an address of its own. */
static int feed(void *arg, const struct ws_rec *rec)
{
	void *copy = malloc(rec->size);
	int rc;

	assert_non_null(copy);
	memcpy(copy, rec, rec->size);
	rc = ws_order_feed(arg, copy, rec->size);
	free(copy);
	return rc;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->order = ws_order_new((struct ws_sink){ collect, &f->out });
	assert_non_null(f->order);
	f->tape = ws_tape_new((struct ws_sink){ feed, f->order }, 4711, 1000);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	ws_order_free(f->order);
	free(f);
	return 0;
}

static struct ws_order_stats stats_of(const struct fixture *f)
{
	struct ws_order_stats stats;

	ws_order_stats(f->order, &stats);
	return stats;
}

static void records_without_a_hole_pass_unchanged(void **state)
{
	struct fixture *f = *state;

	ws_tape_session(&f->tape, 0);
	ws_tape_ready(&f->tape);
	ws_tape_command(&f->tape, "IDENTIFY_SYSTEM");
	assert_int_equal(f->out.count, 4);
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(f->out.items[i].rec.seq, i);
	assert_int_equal(stats_of(f).gaps, 0);
	assert_int_equal(stats_of(f).records, 4);
}

static void a_hole_is_marked_in_front_of_the_first_record_behind_it(void **state)
{
	struct fixture *f = *state;

	ws_tape_session(&f->tape, 0);
	ws_tape_lose(&f->tape, 3);
	f->tape.now_ns = 1500;
	ws_tape_keepalive(&f->tape, 1);
	assert_int_equal(f->out.count, 3);
	assert_int_equal(f->out.items[1].rec.kind, WS_KIND_GAP);
	assert_int_equal(f->out.items[1].rec.pid, 4711);
	assert_int_equal(f->out.items[1].rec.start_ns, 1000);
	assert_int_equal(f->out.items[1].rec.seq, 1);
	assert_int_equal(f->out.items[1].gap.lost, 3);
	assert_int_equal(f->out.items[1].gap.from_ns, 1000);
	assert_int_equal(f->out.items[1].gap.to_ns, 1500);
	assert_int_equal(f->out.items[1].gap.cause, WS_GAP_RING_FULL);
	assert_int_equal(f->out.items[2].rec.kind, WS_KIND_KEEPALIVE);
	assert_int_equal(stats_of(f).lost, 3);
	assert_int_equal(stats_of(f).records, 3);
}

static void a_session_first_seen_in_its_middle_begins_with_a_gap(void **state)
{
	struct fixture *f = *state;

	ws_tape_lose(&f->tape, 7);
	ws_tape_ready(&f->tape);
	assert_int_equal(f->out.count, 2);
	assert_int_equal(f->out.items[0].gap.lost, 7);
	assert_int_equal(f->out.items[0].gap.from_ns, 0);
	assert_int_equal(f->out.items[0].gap.to_ns, 1000);
}

static void a_seeded_session_begins_without_a_gap(void **state)
{
	struct fixture *f = *state;

	ws_tape_lose(&f->tape, 7);
	ws_tape_found(&f->tape, WS_FOUND_IDLE, 0);
	ws_tape_command(&f->tape, "IDENTIFY_SYSTEM");
	assert_int_equal(f->out.count, 3);
	assert_int_equal(stats_of(f).gaps, 0);
}

static void a_seeded_session_is_kept_when_the_programs_were_faster(void **state)
{
	struct fixture *f = *state;
	struct ws_tape late = f->tape;

	ws_tape_lose(&f->tape, 1);
	ws_tape_keepalive(&f->tape, 1);
	ws_tape_found(&late, WS_FOUND_IDLE, 0);
	ws_tape_keepalive(&f->tape, 1);
	assert_int_equal(f->out.count, 4);
	assert_int_equal(f->out.items[2].rec.kind, WS_KIND_SESSION);
	assert_int_equal(stats_of(f).gaps, 1);
	assert_int_equal(stats_of(f).invalid, 0);
}

static void sessions_are_followed_apart(void **state)
{
	struct fixture *f = *state;
	struct ws_tape other = ws_tape_new(f->tape.sink, 4712, 1000);
	struct ws_tape same_slot = ws_tape_new(f->tape.sink, 4711 + 64, 1000);

	for (int i = 0; i < 5; i++) {
		ws_tape_keepalive(&f->tape, 1);
		ws_tape_keepalive(&other, 1);
		ws_tape_keepalive(&same_slot, 1);
	}
	assert_int_equal(stats_of(f).gaps, 0);
	ws_tape_lose(&other, 2);
	ws_tape_keepalive(&f->tape, 1);
	ws_tape_keepalive(&other, 1);
	assert_int_equal(f->out.items[16].gap.h.pid, 4712);
	assert_int_equal(f->out.items[16].gap.lost, 2);
}

static void a_pid_used_again_is_another_session(void **state)
{
	struct fixture *f = *state;
	struct ws_tape again;

	ws_tape_session(&f->tape, 0);
	ws_tape_exit(&f->tape, 0, 0);
	again = ws_tape_new(f->tape.sink, 4711, 2000);
	ws_tape_session(&again, 0);
	assert_int_equal(f->out.count, 3);
	assert_int_equal(stats_of(f).gaps, 0);
}

static void sequence_numbers_wrap_around(void **state)
{
	struct fixture *f = *state;

	f->tape.seq = UINT32_MAX - 1;
	ws_tape_found(&f->tape, WS_FOUND_IDLE, 0);
	ws_tape_keepalive(&f->tape, 1);
	ws_tape_keepalive(&f->tape, 1);
	assert_int_equal(f->tape.seq, 1);
	assert_int_equal(stats_of(f).gaps, 0);
	ws_tape_lose(&f->tape, 1);
	ws_tape_keepalive(&f->tape, 1);
	assert_int_equal(stats_of(f).lost, 1);
}

static void an_invalid_record_of_a_known_session_is_a_gap(void **state)
{
	struct fixture *f = *state;
	struct ws_rec_state bad = { .h = { .size = 33,
					   .kind = WS_KIND_STATE,
					   .pid = 4711,
					   .start_ns = 1000,
					   .time_ns = 1100,
					   .seq = 1 } };

	ws_tape_session(&f->tape, 0);
	assert_int_equal(ws_order_feed(f->order, &bad, sizeof(bad)), 0);
	assert_int_equal(f->out.count, 2);
	assert_int_equal(f->out.items[1].gap.cause, WS_GAP_INVALID);
	assert_int_equal(f->out.items[1].gap.lost, 1);
	assert_int_equal(f->out.items[1].gap.to_ns, 1100);
	assert_int_equal(stats_of(f).invalid, 1);
	ws_tape_lose(&f->tape, 1);
	ws_tape_keepalive(&f->tape, 1);
	assert_int_equal(stats_of(f).gaps, 1);
}

static void an_invalid_record_nobody_can_be_blamed_for_is_only_counted(void **state)
{
	struct fixture *f = *state;
	struct ws_rec_state bad = { .h = { .size = 33, .kind = WS_KIND_STATE, .pid = 1 } };

	assert_int_equal(ws_order_feed(f->order, &bad, sizeof(bad)), 0);
	assert_int_equal(ws_order_feed(f->order, &bad, 5), 0);
	assert_int_equal(f->out.count, 0);
	assert_int_equal(stats_of(f).invalid, 2);
}

static void a_record_from_the_past_is_dropped(void **state)
{
	struct fixture *f = *state;

	ws_tape_session(&f->tape, 0);
	ws_tape_ready(&f->tape);
	f->tape.seq = 0;
	ws_tape_ready(&f->tape);
	assert_int_equal(f->out.count, 2);
	assert_int_equal(stats_of(f).invalid, 1);
}

static void records_of_the_collector_have_no_sequence(void **state)
{
	struct fixture *f = *state;

	ws_tape_session(&f->tape, 0);
	ws_tape_clock(&f->tape, 5, 5);
	ws_tape_server(&f->tape, 1000, "15.18");
	ws_tape_gap(&f->tape, 1, 2, 0, WS_GAP_SESSIONS_FULL);
	ws_tape_ready(&f->tape);
	assert_int_equal(f->out.count, 5);
	assert_int_equal(stats_of(f).gaps, 0);
}

static void a_session_gone_with_all_its_records_leaves_no_gap(void **state)
{
	struct fixture *f = *state;

	ws_tape_session(&f->tape, 0);
	ws_tape_exit(&f->tape, 0, 0);
	assert_int_equal(ws_order_session_gone(f->order, 4711, 1000, 2, 3000), 0);
	assert_int_equal(f->out.count, 2);
}

static void a_session_is_known_from_its_first_record_to_its_end(void **state)
{
	struct fixture *f = *state;

	assert_false(ws_order_knows(f->order, 4711, 1000));
	ws_tape_session(&f->tape, 0);
	assert_true(ws_order_knows(f->order, 4711, 1000));
	assert_false(ws_order_knows(f->order, 4711, 1001));
	ws_order_session_gone(f->order, 4711, 1000, 1, 3000);
	assert_false(ws_order_knows(f->order, 4711, 1000));
}

static void a_session_gone_without_its_exit_record_is_a_gap(void **state)
{
	struct fixture *f = *state;

	ws_tape_session(&f->tape, 0);
	assert_int_equal(ws_order_session_gone(f->order, 4711, 1000, 3, 3000), 0);
	assert_int_equal(f->out.count, 2);
	assert_int_equal(f->out.items[1].gap.cause, WS_GAP_EXIT_MISSED);
	assert_int_equal(f->out.items[1].gap.lost, 2);
	assert_int_equal(f->out.items[1].gap.from_ns, 1000);
	assert_int_equal(f->out.items[1].gap.to_ns, 3000);
	/* Forgotten: as if never seen. */
	assert_int_equal(ws_order_session_gone(f->order, 4711, 1000, 0, 3000), 0);
	assert_int_equal(f->out.count, 2);
}

static void a_session_of_which_nothing_arrived_is_a_gap(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ws_order_session_gone(f->order, 99, 500, 4, 3000), 0);
	assert_int_equal(f->out.count, 1);
	assert_int_equal(f->out.items[0].gap.lost, 4);
	assert_int_equal(f->out.items[0].gap.h.pid, 99);
	assert_int_equal(f->out.items[0].gap.cause, WS_GAP_EXIT_MISSED);
}

static void what_a_living_session_lost_last_is_a_gap_at_the_end(void **state)
{
	struct fixture *f = *state;

	ws_tape_session(&f->tape, 0);
	assert_int_equal(ws_order_session_tail(f->order, 4711, 1000, 1, 3000), 0);
	assert_int_equal(f->out.count, 1);
	assert_int_equal(ws_order_session_tail(f->order, 4711, 1000, 5, 3000), 0);
	assert_int_equal(f->out.count, 2);
	assert_int_equal(f->out.items[1].gap.cause, WS_GAP_RING_FULL);
	assert_int_equal(f->out.items[1].gap.lost, 4);
	assert_int_equal(f->out.items[1].gap.from_ns, 1000);
	assert_int_equal(f->out.items[1].gap.to_ns, 3000);
	/* Told once. */
	ws_tape_lose(&f->tape, 4);
	ws_tape_keepalive(&f->tape, 1);
	assert_int_equal(f->out.count, 3);
	/* Of one that never got a record through, all. */
	assert_int_equal(ws_order_session_tail(f->order, 99, 500, 2, 3000), 0);
	assert_int_equal(f->out.items[3].gap.lost, 2);
	assert_int_equal(f->out.items[3].gap.h.pid, 99);
}

static void the_sinks_refusal_stops_the_source(void **state)
{
	struct fixture *f = *state;

	f->out.answer = -1;
	assert_int_equal(ws_tape_session(&f->tape, 0), -1);
}

static void a_newer_process_with_the_pid_closes_the_older_session(void **state)
{
	struct fixture *f = *state;
	struct ws_tape newer = f->tape;

	ws_tape_session(&f->tape, 0);
	ws_tape_ready(&f->tape);
	newer.start_ns += 50000000;
	newer.now_ns = newer.start_ns;
	ws_tape_session(&newer, 0);
	assert_int_equal(f->out.count, 4);
	assert_int_equal(f->out.items[2].gap.cause, WS_GAP_EXIT_MISSED);
	assert_int_equal(f->out.items[2].rec.start_ns, f->tape.start_ns);
	assert_int_equal(f->out.items[2].gap.from_ns, f->tape.now_ns);
	assert_int_equal(f->out.items[2].gap.to_ns, newer.now_ns);
	assert_int_equal(f->out.items[3].rec.start_ns, newer.start_ns);
	assert_false(ws_order_knows(f->order, f->tape.pid, f->tape.start_ns));
	assert_true(ws_order_knows(f->order, newer.pid, newer.start_ns));
}

static void a_newer_process_behind_an_exit_closes_nothing(void **state)
{
	struct fixture *f = *state;
	struct ws_tape newer = f->tape;

	ws_tape_session(&f->tape, 0);
	ws_tape_exit(&f->tape, 0, 0);
	newer.start_ns += 50000000;
	newer.now_ns = newer.start_ns;
	ws_tape_session(&newer, 0);
	assert_int_equal(f->out.count, 3);
	assert_int_equal(stats_of(f).gaps, 0);
}

static void the_session_of_another_pid_stays_open(void **state)
{
	struct fixture *f = *state;
	struct ws_tape other = f->tape;

	ws_tape_session(&f->tape, 0);
	other.pid++;
	other.start_ns += 50000000;
	other.now_ns = other.start_ns;
	ws_tape_session(&other, 0);
	assert_int_equal(stats_of(f).gaps, 0);
	assert_true(ws_order_knows(f->order, f->tape.pid, f->tape.start_ns));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(records_without_a_hole_pass_unchanged),
		TEST(a_hole_is_marked_in_front_of_the_first_record_behind_it),
		TEST(a_session_first_seen_in_its_middle_begins_with_a_gap),
		TEST(a_seeded_session_begins_without_a_gap),
		TEST(a_seeded_session_is_kept_when_the_programs_were_faster),
		TEST(sessions_are_followed_apart),
		TEST(a_pid_used_again_is_another_session),
		TEST(sequence_numbers_wrap_around),
		TEST(an_invalid_record_of_a_known_session_is_a_gap),
		TEST(an_invalid_record_nobody_can_be_blamed_for_is_only_counted),
		TEST(a_record_from_the_past_is_dropped),
		TEST(records_of_the_collector_have_no_sequence),
		TEST(a_session_gone_with_all_its_records_leaves_no_gap),
		TEST(a_session_is_known_from_its_first_record_to_its_end),
		TEST(a_session_gone_without_its_exit_record_is_a_gap),
		TEST(a_session_of_which_nothing_arrived_is_a_gap),
		TEST(what_a_living_session_lost_last_is_a_gap_at_the_end),
		TEST(the_sinks_refusal_stops_the_source),
		TEST(a_newer_process_with_the_pid_closes_the_older_session),
		TEST(a_newer_process_behind_an_exit_closes_nothing),
		TEST(the_session_of_another_pid_stays_open),
	};

	return cmocka_run_group_tests_name("order", tests, NULL, NULL);
}
