/* SPDX-License-Identifier: BSD-2-Clause */
/* What is kept of a session for telling it: bound, and true to what it stands for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "../lib/records.h"
#include "base/util.h"
#include "session/story.h"

#define BEGIN_NS 1000000000ULL
#define MS	 1000000ULL

static struct ws_story story;

static int setup(void **state)
{
	(void)state;
	ws_story_init(&story, 7, BEGIN_NS, 0, UINT64_MAX, 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	ws_story_deinit(&story);
	return 0;
}

/* Segments one behind the other; returns the end of the last. */
static uint64_t segment(enum ws_state state, uint64_t from_ns, uint64_t ns, uint64_t bytes)
{
	const struct ws_segment s = {
		.state = state, .start_ns = from_ns, .end_ns = from_ns + ns, .bytes = bytes
	};

	ws_story_segment(&story, &s);
	return from_ns + ns;
}

static void test_neighbours_of_one_kind_of_work_are_one(void **state)
{
	uint64_t at = segment(WS_STATE_STARTING, BEGIN_NS, MS, 0);

	(void)state;
	for (int i = 0; i < 1000; i++) {
		at = segment(WS_STATE_WAIT_WAL, at, 3 * MS, 0);
		at = segment(WS_STATE_SEND, at, MS, 8);
	}
	at = segment(WS_STATE_SEND_BLOCKED, at, 500 * MS, 0);
	assert_int_equal(story.span_count, 3);
	assert_int_equal(story.spans[1].state, WS_STATE_WAIT_WAL);
	assert_int_equal(story.spans[1].state_ns[WS_STATE_SEND], 1000 * MS);
	assert_int_equal(story.spans[1].bytes, 8000);
	assert_int_equal(story.spans[1].segments, 2000);
	assert_int_equal(story.spans[2].end_ns, at);
}

/* Whatever comes: no time and no byte goes missing, and the longest stretches are still told. */
static void test_many_stretches_are_condensed_and_add_up(void **state)
{
	static const enum ws_state states[] = { WS_STATE_WAIT_WAL, WS_STATE_SEND_BLOCKED,
						WS_STATE_SQL, WS_STATE_STOPPED, WS_STATE_LOST };
	uint64_t at = BEGIN_NS, sum[WS_STATE_COUNT] = { 0 }, bytes = 0, last = BEGIN_NS;
	bool blocked = false;

	(void)state;
	for (uint64_t i = 0; i < 5000; i++) {
		enum ws_state s = states[i * i % WS_ARRAY_SIZE(states)];
		uint64_t ns = i == 2500 ? 3600000 * MS : 1 + i * 7919 % MS;

		s = i == 2500 ? WS_STATE_SEND_BLOCKED : s;
		sum[s] += ns;
		at = segment(s, at, ns, i);
	}
	assert_true(story.span_count <= WS_STORY_SPANS);
	for (size_t i = 0; i < story.span_count; i++) {
		const struct ws_story_span *span = &story.spans[i];

		assert_int_equal(span->start_ns, last);
		last = span->end_ns;
		bytes += span->bytes;
		blocked |= span->state == WS_STATE_SEND_BLOCKED &&
			   span->end_ns - span->start_ns >= 3600000 * MS;
		for (int k = 0; k < WS_STATE_COUNT; k++)
			sum[k] -= span->state_ns[k];
	}
	assert_int_equal(last, at);
	assert_int_equal(bytes, 5000 * 4999 / 2);
	assert_true(blocked);
	for (int k = 0; k < WS_STATE_COUNT; k++)
		assert_int_equal(sum[k], 0);
}

/* Short ones say something where there are few. */
static void test_short_stretches_among_many_go_into_their_neighbours(void **state)
{
	const struct ws_session ended = { .end_ns = 1 };
	uint64_t at = BEGIN_NS;

	(void)state;
	for (int i = 0; i < 4; i++) {
		at = segment(WS_STATE_WAIT_WAL, at, 1000 * MS, 0);
		at = segment(WS_STATE_SEND_BLOCKED, at, MS, 0);
	}
	ws_story_end(&story, &ended, at);
	assert_int_equal(story.span_count, 8);
	for (int i = 0; i < 4; i++) {
		at = segment(WS_STATE_WAIT_WAL, at, 1000 * MS, 0);
		at = segment(WS_STATE_SEND_BLOCKED, at, MS, 0);
	}
	ws_story_end(&story, &ended, at);
	assert_true(story.span_count <= WS_STORY_FEW);
	assert_int_equal(story.spans[0].start_ns, BEGIN_NS);
	assert_int_equal(story.spans[story.span_count - 1].end_ns, at);
}

/* A busy host takes the CPU away in the midst of anything. */
static void test_waiting_for_a_cpu_cuts_nothing_in_two(void **state)
{
	uint64_t at = segment(WS_STATE_OFF_CPU, BEGIN_NS, MS, 0);

	(void)state;
	for (int i = 0; i < 10; i++) {
		at = segment(WS_STATE_WAIT_WAL, at, MS, 0);
		at = segment(WS_STATE_OFF_CPU, at, 9 * MS, 0);
	}
	assert_int_equal(story.span_count, 1);
	assert_int_equal(story.spans[0].state, WS_STATE_OFF_CPU);
	at = segment(WS_STATE_SQL, at, MS, 0);
	assert_int_equal(story.span_count, 2);
}

static int feed(void *arg, const struct ws_rec *rec)
{
	(void)arg;
	return ws_story_record(&story, NULL, rec);
}

static void test_turns_within_a_second_are_one_event(void **state)
{
	struct ws_tape tape = ws_tape_new((struct ws_sink){ feed, NULL }, 7, BEGIN_NS);
	const struct ws_rec_turn *turn;

	(void)state;
	ws_tape_session(&tape, 0);
	for (uint64_t i = 0; i < 100; i++)
		ws_tape_turn(&tape, &(struct ws_tape_turn){ .stage_ns = { [WS_STAGE_SEND] = MS },
							    .lsn_from = 100 + i,
							    .lsn_to = 101 + i,
							    .flags = i == 50 ? WS_TURN_REPLY : 0,
							    .write_lsn = 77 });
	ws_tape_keepalive(&tape, 200);
	assert_int_equal(story.event_count, 3);
	turn = (const void *)story.events[1];
	assert_int_equal(turn->turns, 100);
	assert_int_equal(turn->stage_ns[WS_STAGE_SEND], 100 * MS);
	assert_int_equal(turn->lsn_from, 100);
	assert_int_equal(turn->lsn_to, 200);
	assert_int_equal(turn->write_lsn, 77);
	assert_true(turn->h.flags & WS_TURN_REPLY);
	assert_int_equal(story.last.send_lsn, 200);
	assert_int_equal(story.last.write_lsn, 77);
	assert_int_equal(story.last.ping_ns, tape.now_ns);
}

/* A logical walsender sends keepalives between its turns. */
static void test_what_a_loop_does_within_a_second_is_one_event_of_each(void **state)
{
	struct ws_tape tape = ws_tape_new((struct ws_sink){ feed, NULL }, 7, BEGIN_NS);
	const struct ws_rec_off_cpu *off_cpu;

	(void)state;
	tape.mark_ns = BEGIN_NS;
	for (uint64_t i = 0; i < 100; i++) {
		ws_tape_keepalive(&tape, 1 + i);
		ws_tape_off_cpu(&tape, WS_STAGE_WAIT, 1000);
		ws_tape_turn(&tape, &(struct ws_tape_turn){ .stage_ns = { [WS_STAGE_WAIT] = MS } });
	}
	assert_int_equal(story.event_count, 3);
	assert_int_equal(story.events[0]->kind, WS_KIND_KEEPALIVE);
	off_cpu = (const void *)story.events[1];
	assert_int_equal(off_cpu->stage_ns[WS_STAGE_WAIT], 100000);
	/* A state is no part of that; what comes behind it is another thing. */
	ws_tape_state(&tape, WS_WALSND_CATCHUP, WS_WALSND_STREAMING);
	ws_tape_keepalive(&tape, 1000);
	assert_int_equal(story.event_count, 5);
	tape.now_ns += 2000 * MS;
	ws_tape_keepalive(&tape, 1001);
	assert_int_equal(story.event_count, 6);
	for (size_t i = 1; i < story.event_count; i++)
		assert_true(story.events[i]->time_ns >= story.events[i - 1]->time_ns);
}

static void test_of_many_events_the_last_are_kept(void **state)
{
	struct ws_tape tape = ws_tape_new((struct ws_sink){ feed, NULL }, 7, BEGIN_NS);

	(void)state;
	for (uint64_t i = 0; i < 1000; i++, tape.now_ns += MS)
		ws_tape_stream(&tape, 0, 1 + i, "s");
	assert_int_equal(story.event_count, WS_STORY_EVENTS);
	assert_int_equal(story.event_omitted, 1000 - WS_STORY_EVENTS);
	assert_int_equal(
		((const struct ws_rec_stream *)story.events[WS_STORY_EVENTS - 1])->sent_lsn, 1000);
}

static void test_around_a_moment_both_sides_are_kept(void **state)
{
	struct ws_tape tape = ws_tape_new((struct ws_sink){ feed, NULL }, 7, BEGIN_NS);

	(void)state;
	story.around_ns = BEGIN_NS + 500 * MS;
	for (uint64_t i = 0; i < 1000; i++, tape.now_ns += MS)
		ws_tape_stream(&tape, 0, 1 + i, "s");
	assert_int_equal(story.event_count, 2 * WS_STORY_EVENTS);
	assert_int_equal(story.event_before, WS_STORY_EVENTS);
	assert_int_equal(story.events[WS_STORY_EVENTS - 1]->time_ns, story.around_ns);
}

/* As at the start of a recorder's oldest segment of one that has streamed for days. */
static void test_one_that_streamed_already_is_told_from_where_it_was_found(void **state)
{
	struct ws_tape tape = ws_tape_new((struct ws_sink){ feed, NULL }, 7, BEGIN_NS);

	(void)state;
	tape.now_ns += 10 * MS;
	ws_tape_found(&tape, WS_FOUND_COMMAND, 0);
	assert_int_equal(story.stream_count, 0);
	ws_tape_found(&tape, WS_FOUND_STREAM_SOCKET, 77);
	assert_int_equal(story.stream_count, 1);
	assert_true(story.streams[0].found);
	assert_int_equal(story.streams[0].lsn, 77);
	assert_int_equal(story.streams[0].time_ns, tape.now_ns);
	tape.mark_ns = tape.now_ns;
	ws_tape_turn(&tape, &(struct ws_tape_turn){ .stage_ns = { [WS_STAGE_SEND] = MS },
						    .flags = WS_TURN_LOGICAL,
						    .wait = WS_WAIT_WAL });
	assert_true(story.streams[0].logical);
}

static void test_other_sessions_are_none_of_its_business(void **state)
{
	struct ws_tape tape = ws_tape_new((struct ws_sink){ feed, NULL }, 8, BEGIN_NS);

	(void)state;
	ws_tape_session(&tape, 0);
	ws_tape_signal(&tape, 0, 15, WS_ROLE_BACKEND, 1);
	assert_int_equal(story.event_count, 0);
}

/* -- memory */

static int sampled(uint64_t time_ns, struct ws_rec *rec, enum ws_kind kind, size_t size)
{
	rec->kind = (uint16_t)kind;
	rec->size = (uint16_t)size;
	rec->pid = 7;
	rec->start_ns = BEGIN_NS;
	rec->time_ns = time_ns;
	return ws_story_record(&story, NULL, rec);
}

static void put_sample(uint64_t time_ns, uint64_t rss)
{
	struct ws_rec_sample r = { .rss_bytes = rss,
				   .private_bytes = rss / 2,
				   .valid = WS_SAMPLE_RSS | WS_SAMPLE_PRIVATE };

	assert_int_equal(sampled(time_ns, &r.h, WS_KIND_SAMPLE, sizeof(r)), 0);
}

static void put_memory(uint64_t time_ns, uint32_t valid, uint64_t bytes, uint32_t contexts)
{
	struct ws_rec_memory r = { .total_bytes = bytes, .contexts = contexts, .valid = valid };

	assert_int_equal(sampled(time_ns, &r.h, WS_KIND_MEMORY, sizeof(r)), 0);
}

static void test_memory_is_told_as_first_most_and_last(void **state)
{
	const struct ws_story_memory *memory = &story.memory;

	(void)state;
	put_sample(BEGIN_NS + 1000 * MS, 10);
	put_memory(BEGIN_NS + 1001 * MS, WS_MEMORY_BYTES, 4, 100);
	put_sample(BEGIN_NS + 2000 * MS, 50);
	put_memory(BEGIN_NS + 2001 * MS, WS_MEMORY_BYTES, 44, 90);
	put_sample(BEGIN_NS + 3000 * MS, 20);
	put_memory(BEGIN_NS + 3001 * MS, WS_MEMORY_BYTES, 14, 120);
	assert_int_equal(memory->sizes[WS_STORY_RSS].first, 10);
	assert_int_equal(memory->sizes[WS_STORY_RSS].peak, 50);
	assert_int_equal(memory->sizes[WS_STORY_RSS].peak_ns, BEGIN_NS + 2000 * MS);
	assert_int_equal(memory->sizes[WS_STORY_RSS].last, 20);
	assert_int_equal(memory->peak.total_bytes, 44);
	assert_int_equal(memory->last.total_bytes, 14);
	assert_int_equal(memory->point_count, 3);
	assert_int_equal(memory->points[1].size[WS_STORY_CONTEXTS], 44);
	assert_int_equal(memory->points[1].size[WS_STORY_PRIVATE], 25);
	assert_int_equal(memory->points[2].size[WS_STORY_CONTEXTS], 14);
}

/* Up to 12. */
static void test_of_contexts_without_sizes_the_peak_is_their_number(void **state)
{
	(void)state;
	put_memory(BEGIN_NS + MS, 0, 0, 100);
	put_memory(BEGIN_NS + 1001 * MS, 0, 0, 300);
	put_memory(BEGIN_NS + 2001 * MS, 0, 0, 200);
	assert_int_equal(story.memory.peak.contexts, 300);
	assert_int_equal(story.memory.last.contexts, 200);
	assert_false(story.memory.sizes[WS_STORY_CONTEXTS].known);
}

static void test_of_a_long_time_the_peaks_stay(void **state)
{
	const struct ws_story_memory *memory = &story.memory;
	bool peak = false;

	(void)state;
	for (uint64_t s = 0; s < 5000; s++)
		put_sample(BEGIN_NS + s * 1000 * MS, s == 1234 ? 1000000 : s);
	assert_true(memory->point_count > WS_STORY_POINTS / 2 - 1);
	assert_true(memory->point_count <= WS_STORY_POINTS);
	assert_int_equal(memory->points[0].time_ns, BEGIN_NS);
	for (size_t i = 0; i < memory->point_count; i++) {
		peak |= memory->points[i].size[WS_STORY_RSS] == 1000000;
		assert_true(!i || memory->points[i].time_ns > memory->points[i - 1].time_ns);
	}
	assert_true(peak);
}

static void test_a_sample_that_says_nothing_of_memory_is_no_point(void **state)
{
	struct ws_rec_sample r = { .valid = WS_SAMPLE_PENDING };

	(void)state;
	assert_int_equal(sampled(BEGIN_NS + MS, &r.h, WS_KIND_SAMPLE, sizeof(r)), 0);
	assert_int_equal(story.memory.point_count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_neighbours_of_one_kind_of_work_are_one, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_many_stretches_are_condensed_and_add_up, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
			test_short_stretches_among_many_go_into_their_neighbours, setup, teardown),
		cmocka_unit_test_setup_teardown(test_waiting_for_a_cpu_cuts_nothing_in_two, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_turns_within_a_second_are_one_event, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
			test_what_a_loop_does_within_a_second_is_one_event_of_each, setup,
			teardown),
		cmocka_unit_test_setup_teardown(test_of_many_events_the_last_are_kept, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_around_a_moment_both_sides_are_kept, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
			test_one_that_streamed_already_is_told_from_where_it_was_found, setup,
			teardown),
		cmocka_unit_test_setup_teardown(test_other_sessions_are_none_of_its_business, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_memory_is_told_as_first_most_and_last, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
			test_of_contexts_without_sizes_the_peak_is_their_number, setup, teardown),
		cmocka_unit_test_setup_teardown(test_of_a_long_time_the_peaks_stay, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
			test_a_sample_that_says_nothing_of_memory_is_no_point, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
