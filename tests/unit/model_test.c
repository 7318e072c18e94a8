/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../lib/model_fixture.h"
#include "base/util.h"

static void a_session_is_who_its_record_says(void **state)
{
	struct fixture *f = *state;
	const struct ws_session *s;

	ws_tape_session(&f->tape, WS_SESSION_DATABASE);
	s = session_of(f);
	assert_string_equal(s->user, "replicator");
	assert_string_equal(s->database_name, "postgres");
	assert_string_equal(s->application, "standby1");
	assert_string_equal(s->host, "192.0.2.7");
	assert_int_equal(s->port, 54321);
	assert_int_equal(s->ns_pid, PID);
	assert_int_equal(s->postmaster_pid, 1000);
	assert_true(s->database);
	assert_true(s->valid & WS_VALID_DATABASE);
	assert_int_equal(s->exit_code, -1);
	assert_int_equal(s->exit_signal, -1);
}

static void a_session_id_is_its_pid_and_start_in_ticks(void **state)
{
	struct fixture *f = *state;
	char id[WS_SESSION_ID_TEXT];

	f->tape.start_ns = 123456789999ULL;
	ws_tape_session(&f->tape, 0);
	assert_string_equal(ws_session_id(session_of(f), id), "4711.12345");
}

static void a_pid_used_again_is_another_session(void **state)
{
	struct fixture *f = *state;
	struct ws_tape again;
	size_t count;

	start_idle(f);
	ws_tape_exit(&f->tape, 0, 0);
	again = ws_tape_new(f->tape.sink, PID, BEGIN + 50);
	ws_tape_session(&again, 0);
	ws_tape_keepalive(&again, 1);
	ws_model_sessions(f->o->model, &count);
	assert_int_equal(count, 2);
	assert_int_equal(session_of(f)->start_ns, BEGIN + 50);
	assert_int_equal(session_of(f)->events, 2);
}

static void sessions_stand_in_the_order_of_their_appearance(void **state)
{
	struct fixture *f = *state;
	struct ws_session *const *sessions;
	size_t count;

	for (uint32_t i = 0; i < 300; i++) {
		struct ws_tape tape = ws_tape_new(f->tape.sink, i % 2 ? 90000 - i : 100 + i, BEGIN);

		ws_tape_session(&tape, 0);
		ws_tape_ready(&tape);
	}
	sessions = ws_model_sessions(f->o->model, &count);
	assert_int_equal(count, 300);
	for (uint32_t i = 0; i < 300; i++) {
		assert_int_equal(sessions[i]->pid, i % 2 ? 90000 - i : 100 + i);
		assert_int_equal(sessions[i]->events, 2);
	}
}

static void a_session_refers_to_its_postmasters_server(void **state)
{
	struct fixture *f = *state;

	ws_tape_session(&f->tape, 0);
	assert_null(ws_model_server(f->o->model, session_of(f)));
	ws_tape_server(&f->tape, 999, "15.17");
	assert_string_equal(ws_model_server(f->o->model, session_of(f))->version, "15.17");
	ws_tape_server(&f->tape, 1000, "15.18");
	ws_tape_server(&f->tape, 1001, "15.19");
	assert_string_equal(ws_model_server(f->o->model, session_of(f))->version, "15.18");
	f->tape.server = 2;
	ws_tape_server(&f->tape, 1000, "17.1");
	assert_string_equal(ws_model_server(f->o->model, session_of(f))->version, "15.18");
}

static void a_session_claimed_by_another_binarys_object_is_its_postmasters(void **state)
{
	struct fixture *f = *state;

	ws_tape_session(&f->tape, 0);
	ws_tape_server(&f->tape, 999, "15.17");
	f->tape.server = 2;
	ws_tape_server(&f->tape, 1000, "15.18");
	assert_string_equal(ws_model_server(f->o->model, session_of(f))->version, "15.18");
}

static void clock(struct fixture *f, uint64_t mono_ns, int64_t wall_ns)
{
	f->tape.now_ns = mono_ns;
	ws_tape_clock(&f->tape, wall_ns, mono_ns);
}

static void wall_clock_goes_by_the_last_pair_before(void **state)
{
	struct fixture *f = *state;
	const struct ws_model *m = f->o->model;

	assert_int_equal(ws_model_wall_ns(m, 5), 0);
	clock(f, 1000 * MS, 5000 * MS);
	clock(f, 3000 * MS, 7500 * MS); /* it was stepped */
	clock(f, 2000 * MS, 6100 * MS); /* out of order, as merged recordings may be */
	assert_int_equal(ws_model_wall_ns(m, 900 * MS), 4900 * MS);
	assert_int_equal(ws_model_wall_ns(m, 1999 * MS), 5999 * MS);
	assert_int_equal(ws_model_wall_ns(m, 2000 * MS), 6100 * MS);
	assert_int_equal(ws_model_wall_ns(m, 2999 * MS), 7099 * MS);
	assert_int_equal(ws_model_wall_ns(m, 10000 * MS), 14500 * MS);
}

static void noise_of_the_clocks_moves_no_time(void **state)
{
	struct fixture *f = *state;
	const struct ws_model *m = f->o->model;

	clock(f, 1000 * MS, 5000 * MS);
	for (uint64_t i = 0; i < 1000; i++)
		clock(f, (2000 + i) * MS, (int64_t)((6000 + i) * MS + i % 7 * 100));
	assert_int_equal(ws_model_wall_ns(m, 2003 * MS), 6003 * MS);
	/* But what adds up is followed. */
	for (uint64_t i = 0; i < 30; i++)
		clock(f, (4000 + i) * MS, (int64_t)((8000 + i) * MS + i * 100000));
	assert_true(ws_model_wall_ns(m, 4029 * MS) > (int64_t)(8029 * MS + 1900000));
}

static void unknown_kinds_and_short_records_are_passed_over(void **state)
{
	struct fixture *f = *state;
	struct ws_rec rec = { .size = sizeof(rec), .pid = PID, .start_ns = BEGIN };

	start_idle(f);
	for (uint16_t kind = 0; kind < 200; kind++) {
		rec.kind = kind;
		rec.time_ns = BEGIN + 10;
		if (kind != WS_KIND_READY && kind != WS_KIND_COMMAND)
			assert_int_equal(ws_model_feed(f->o->model, &rec), 0);
	}
	assert_int_equal(session_of(f)->state, WS_STATE_IDLE);
	assert_int_equal(session_of(f)->events, 2);
}

/* The window [BEGIN + 100, BEGIN + 200). */
static void set_window(struct fixture *f)
{
	ws_model_set_window(f->o->model, BEGIN + 100, BEGIN + 200);
}

/* The record ends in front of the figure, whatever its marks say (SAN=1 sees a look). */
static void a_sample_of_an_older_recording_has_no_private_memory(void **state)
{
	struct fixture *f = *state;
	ws_autofree struct ws_rec_sample *rec = calloc(1, WS_SAMPLE_SHORT_SIZE);

	assert_non_null(rec);
	rec->valid = WS_SAMPLE_RSS | WS_SAMPLE_PRIVATE;
	start_idle(f);
	ws_tape_send(&f->tape, &rec->h, WS_KIND_SAMPLE, WS_SAMPLE_SHORT_SIZE, 0);
	assert_false(session_of(f)->has_memory);
}

static void segments_are_cut_at_the_windows_edges(void **state)
{
	struct fixture *f = *state;

	set_window(f);
	start_idle(f);
	f->tape.now_ns = BEGIN + 150;
	ws_tape_command(&f->tape, "SHOW x");
	f->tape.now_ns = BEGIN + 250;
	ws_tape_end(&f->tape, WS_COMMAND_DONE);
	f->tape.now_ns = BEGIN + 300;
	ws_tape_exit(&f->tape, 0, 0);
	assert_timeline(f, "idle 50, command 50");
	assert_int_equal(f->o->segments[0].s.start_ns, BEGIN + 100);
	assert_int_equal(f->o->segments[1].s.end_ns, BEGIN + 200);
	assert_int_equal(ws_observed_sum(session_of(f)), 100);
	assert_int_equal(f->o->sessions, 1);
}

static void bytes_and_values_count_inside_the_window_only(void **state)
{
	static const uint64_t ends[] = { 60, 99, 100, 199, 200, 250 };
	struct fixture *f = *state;

	set_window(f);
	start_streaming(f, 0, 1000);
	for (size_t i = 0; i < 6; i++) {
		uint64_t ns = BEGIN + ends[i] - f->tape.mark_ns;

		ws_tape_turn(&f->tape, &(struct ws_tape_turn){ .stage_ns = { [WS_STAGE_SEND] = ns },
							       .lsn_from = 1000 + i,
							       .lsn_to = 1001 + i });
	}
	assert_int_equal(session_of(f)->wal_bytes, 2);
	assert_int_equal(session_of(f)->hist[WS_METRIC_SEND_NS].count, 2);
	assert_int_equal(session_of(f)->events, 2);
	/* What is known of positions does not depend on the window. */
	assert_int_equal(session_of(f)->sent_lsn, 1006);
	ws_model_finish(f->o->model, BEGIN + 250);
	assert_timeline(f, "send 100");
	/* Also the bytes of the turn that took place before its record. */
	assert_int_equal(f->o->segments[0].s.bytes, 2);
}

static void run(struct fixture *f, uint64_t from, uint64_t to)
{
	f->tape.now_ns = BEGIN + from;
	ws_tape_command(&f->tape, "SHOW x");
	f->tape.now_ns = BEGIN + to;
	ws_tape_end(&f->tape, WS_COMMAND_DONE);
}

static void commands_that_do_not_touch_the_window_are_not_told(void **state)
{
	struct fixture *f = *state;

	set_window(f);
	start_idle(f);
	run(f, 20, 30);
	run(f, 40, 110);
	run(f, 120, 130);
	run(f, 190, 260);
	run(f, 300, 310);
	assert_int_equal(f->o->command_count, 3);
	assert_int_equal(f->o->commands[0].c.seq, 2);
	assert_int_equal(f->o->commands[2].c.seq, 4);
	assert_int_equal(session_of(f)->commands, 3);
}

static void sessions_that_do_not_touch_the_window_are_not_told(void **state)
{
	struct fixture *f = *state;
	struct ws_tape later = ws_tape_new(f->tape.sink, 4712, BEGIN + 200);

	set_window(f);
	start_idle(f);
	f->tape.now_ns = BEGIN + 50;
	ws_tape_exit(&f->tape, 0, 0);
	ws_tape_session(&later, 0);
	ws_model_finish(f->o->model, BEGIN + 300);
	assert_int_equal(f->o->sessions, 0);
	assert_int_equal(f->o->segment_count, 0);
}

static void a_gap_counts_where_it_touches_the_window(void **state)
{
	struct fixture *f = *state;

	set_window(f);
	start_idle(f);
	f->tape.now_ns = BEGIN + 90;
	ws_tape_gap(&f->tape, BEGIN + 80, BEGIN + 90, 1, WS_GAP_RING_FULL);
	f->tape.now_ns = BEGIN + 110;
	ws_tape_gap(&f->tape, BEGIN + 90, BEGIN + 110, 20, WS_GAP_RING_FULL);
	f->tape.now_ns = BEGIN + 210;
	ws_tape_gap(&f->tape, BEGIN + 205, BEGIN + 210, 300, WS_GAP_RING_FULL);
	assert_int_equal(session_of(f)->lost, 20);
	assert_int_equal(ws_model_lost(f->o->model), 20);
}

/* A model without an observer, as hist uses it. */
static void nobody_has_to_observe(void **state)
{
	struct fixture *f = *state;
	struct ws_model *model = ws_model_new(NULL);
	struct ws_rec_ready rec = {
		.h = { .size = sizeof(rec), .kind = WS_KIND_READY, .pid = 1, .time_ns = 5 }
	};
	size_t count;

	(void)f;
	assert_non_null(model);
	assert_int_equal(ws_model_feed(model, &rec.h), 0);
	assert_int_equal(ws_model_finish(model, 9), 0);
	assert_int_equal(ws_model_sessions(model, &count)[0]->state_ns[WS_STATE_IDLE], 4);
	assert_int_equal(count, 1);
	ws_model_free(model);
	ws_model_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_session_is_who_its_record_says),
		TEST(a_session_id_is_its_pid_and_start_in_ticks),
		TEST(a_pid_used_again_is_another_session),
		TEST(sessions_stand_in_the_order_of_their_appearance),
		TEST(a_session_refers_to_its_postmasters_server),
		TEST(a_session_claimed_by_another_binarys_object_is_its_postmasters),
		TEST(wall_clock_goes_by_the_last_pair_before),
		TEST(noise_of_the_clocks_moves_no_time),
		TEST(unknown_kinds_and_short_records_are_passed_over),
		TEST(a_sample_of_an_older_recording_has_no_private_memory),
		TEST(segments_are_cut_at_the_windows_edges),
		TEST(bytes_and_values_count_inside_the_window_only),
		TEST(commands_that_do_not_touch_the_window_are_not_told),
		TEST(sessions_that_do_not_touch_the_window_are_not_told),
		TEST(a_gap_counts_where_it_touches_the_window),
		TEST(nobody_has_to_observe),
	};

	return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
