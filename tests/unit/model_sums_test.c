/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whatever comes in: the states add up to the wall clock exactly, and so do the segments; in any
 * split into windows the parts add up to the whole.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../lib/model_fixture.h"

enum { STEPS = 400, ROUNDS = 150 };

struct dice {
	uint64_t state;
};

static uint64_t roll(struct dice *d, uint64_t sides)
{
	d->state ^= d->state >> 12;
	d->state ^= d->state << 25;
	d->state ^= d->state >> 27;
	return (d->state * 0x2545F4914F6CDD1DULL) % sides;
}

static void random_turn(struct ws_tape *tape, struct dice *d, uint64_t *lsn)
{
	struct ws_tape_turn t = { .lsn_from = *lsn };

	/* The turn begins where the last record of its kind ended, or at a later record. */
	if (tape->mark_ns > tape->now_ns || roll(d, 8) == 0)
		tape->mark_ns = tape->now_ns;
	for (int i = 0; i < WS_STAGE_COUNT; i++)
		if (roll(d, 2))
			t.stage_ns[i] = roll(d, 1000);
	/* It ends behind the records made meanwhile. */
	t.stage_ns[WS_STAGE_SEND] += tape->now_ns - tape->mark_ns;
	if (roll(d, 2))
		*lsn += roll(d, 5000);
	t.lsn_to = *lsn;
	t.wait = roll(d, 4);
	t.flags = (uint16_t)(roll(d, 2) * WS_TURN_LOGICAL | roll(d, 2) * WS_TURN_REPLY |
			     roll(d, 2) * WS_TURN_WOKE);
	t.turns = (uint32_t)roll(d, 4);
	ws_tape_turn(tape, &t);
}

static void random_gap(struct ws_tape *tape, struct dice *d)
{
	uint64_t from = tape->now_ns;

	tape->now_ns += roll(d, 500);
	ws_tape_gap(tape, from, tape->now_ns, roll(d, 9), WS_GAP_RING_FULL);
}

static void random_text(struct ws_tape *tape, struct dice *d)
{
	ws_tape_text(tape, 1 + roll(d, 2), (uint32_t)roll(d, 40), "some text or other", roll(d, 18),
		     (uint16_t)roll(d, 8));
}

/* Any record in any order: most sequences make no sense, as those behind gaps do not. */
static void random_record(struct ws_tape *tape, struct dice *d, uint64_t *lsn)
{
	tape->now_ns += roll(d, 3) ? roll(d, 300) : 0;
	switch (roll(d, 16)) {
	case 0:
		ws_tape_ready(tape);
		break;
	case 1:
		ws_tape_command(tape, roll(d, 2) ? "START_REPLICATION 0/0" : "SELECT 1");
		break;
	case 2:
		ws_tape_end(tape, 1 + roll(d, 3));
		break;
	case 3:
		ws_tape_error(tape, 1 + roll(d, 3), "57P01", "f", roll(d, 2) ? "m" : NULL);
		break;
	case 4:
		ws_tape_state(tape, roll(d, 5), roll(d, 5));
		break;
	case 5:
		ws_tape_stream(tape, (uint16_t)roll(d, 2), *lsn, "slot");
		break;
	case 6:
		ws_tape_backup(tape, 1 + roll(d, 7), roll(d, 1000), roll(d, 400));
		break;
	case 7:
		random_gap(tape, d);
		break;
	case 8:
		ws_tape_keepalive(tape, *lsn);
		break;
	case 9:
		random_text(tape, d);
		break;
	default:
		random_turn(tape, d, lsn);
	}
}

/* The same story for the same seed. */
static uint64_t play(struct ws_tape *tape, uint64_t seed)
{
	struct dice d = { seed * 7919 + 1 };
	uint64_t lsn = 1000;

	tape->now_ns += 40;
	tape->mark_ns = tape->now_ns;
	switch (roll(&d, 4)) {
	case 0:
		ws_tape_found(tape, roll(&d, 6), lsn);
		break;
	case 1:
		random_gap(tape, &d);
		break;
	default:
		ws_tape_session(tape, 0);
	}
	for (int i = 0; i < STEPS; i++)
		random_record(tape, &d, &lsn);
	tape->now_ns += roll(&d, 1000);
	if (roll(&d, 2))
		ws_tape_exit(tape, (uint32_t)roll(&d, 3), 0);
	return tape->now_ns;
}

static void segments_follow_each_other(const struct ws_observed *o,
				       const struct ws_session *session, uint64_t end_ns)
{
	uint64_t at = session->begin_ns;
	uint64_t state_ns[WS_STATE_COUNT] = { 0 };

	for (size_t i = 0; i < o->segment_count; i++) {
		const struct ws_segment *s = &o->segments[i].s;

		assert_int_equal(s->start_ns, at);
		assert_true(s->end_ns > s->start_ns);
		assert_true(s->lsn_from <= s->lsn_to || !s->lsn_to);
		if (i && o->segments[i - 1].s.state == s->state)
			assert_int_not_equal(o->segments[i - 1].s.lsn_to, s->lsn_from);
		state_ns[s->state] += s->end_ns - s->start_ns;
		at = s->end_ns;
	}
	assert_int_equal(at, end_ns);
	assert_memory_equal(state_ns, session->state_ns, sizeof(state_ns));
}

static void the_states_add_up_to_the_wall_clock(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
		struct ws_observed *o = ws_observed_new();
		struct ws_tape tape = ws_tape_new(ws_observed_sink(o), PID, BEGIN);
		uint64_t end = play(&tape, seed);
		const struct ws_session *s;

		ws_model_finish(o->model, end);
		s = ws_observed_session(o, PID);
		assert_int_equal(ws_observed_sum(s), end - s->begin_ns);
		assert_int_equal(s->accounted_ns, end);
		assert_int_equal(o->sessions, 1);
		segments_follow_each_other(o, s, end);
		ws_observed_free(o);
	}
}

static uint64_t segment_bytes(const struct ws_observed *o)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < o->segment_count; i++)
		bytes += o->segments[i].s.bytes;
	return bytes;
}

static void windows_add_up_to_the_whole(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
		struct ws_observed *parts[4];
		static const uint64_t edges[] = { 0, BEGIN + 20000, BEGIN + 60000, UINT64_MAX };
		uint64_t bytes = 0, backup = 0, events = 0, wrong = 0;
		const struct ws_session *all, *s[3];

		for (int i = 0; i < 4; i++) {
			struct ws_tape tape;
			uint64_t end;

			parts[i] = ws_observed_new();
			tape = ws_tape_new(ws_observed_sink(parts[i]), PID, BEGIN);
			if (i)
				ws_model_set_window(parts[i]->model, edges[i - 1], edges[i]);
			end = play(&tape, seed);
			ws_model_finish(parts[i]->model, end);
		}
		/* The first model has no window, the others one each. */
		all = ws_observed_session(parts[0], PID);
		for (int i = 0; i < 3; i++) {
			s[i] = ws_observed_session(parts[i + 1], PID);
			bytes += s[i]->wal_bytes;
			backup += s[i]->backup_bytes;
			events += s[i]->events;
		}
		for (int i = 0; i < WS_STATE_COUNT; i++)
			wrong += s[0]->state_ns[i] + s[1]->state_ns[i] + s[2]->state_ns[i] !=
				 all->state_ns[i];
		assert_int_equal(wrong, 0);
		assert_int_equal(bytes, all->wal_bytes);
		assert_int_equal(backup, all->backup_bytes);
		assert_int_equal(segment_bytes(parts[1]) + segment_bytes(parts[2]) +
					 segment_bytes(parts[3]),
				 segment_bytes(parts[0]));
		assert_int_equal(events, all->events);
		for (int m = 0; m < WS_METRIC_COUNT; m++)
			assert_int_equal(s[0]->hist[m].count + s[1]->hist[m].count +
						 s[2]->hist[m].count,
					 all->hist[m].count);
		for (int i = 0; i < 4; i++)
			ws_observed_free(parts[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_states_add_up_to_the_wall_clock),
		cmocka_unit_test(windows_add_up_to_the_whole),
	};

	return cmocka_run_group_tests_name("model_sums", tests, NULL, NULL);
}
