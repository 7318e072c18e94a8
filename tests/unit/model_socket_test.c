/* SPDX-License-Identifier: BSD-2-Clause */
/* Bytes on the wire, TLS and the number of sends, as the records tell them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../lib/model_fixture.h"

static void assert_wire(const struct fixture *f, uint64_t wire, uint64_t acked)
{
	const struct ws_session *s = session_of(f);

	assert_true(s->has_wire_bytes);
	assert_int_equal(s->wire_bytes, wire);
	assert_int_equal(s->acked_bytes, acked);
}

static void found_idle(struct fixture *f)
{
	ws_tape_found(&f->tape, WS_FOUND_IDLE, 0);
	after(f, 10);
}

static void all_counts_of_a_session_seen_from_the_start(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	assert_false(session_of(f)->has_wire_bytes);
	ws_tape_socket(&f->tape, 5000, 4000);
	assert_wire(f, 5000, 4000);
	after(f, 10);
	ws_tape_socket(&f->tape, 9000, 9000);
	assert_wire(f, 9000, 9000);
	after(f, 10);
	ws_tape_exit_socket(&f->tape, 9100, 9050);
	assert_wire(f, 9100, 9050);
}

static void the_exit_alone_is_enough(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	ws_tape_exit_socket(&f->tape, 700, 600);
	assert_wire(f, 700, 600);
}

static void a_unix_socket_has_none(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	ws_tape_exit(&f->tape, 0, 0);
	assert_false(session_of(f)->has_wire_bytes);
}

static void a_session_found_running_counts_from_its_first_sample(void **state)
{
	struct fixture *f = *state;

	found_idle(f);
	ws_tape_socket(&f->tape, 100000, 90000);
	assert_wire(f, 0, 0);
	after(f, 10);
	ws_tape_socket(&f->tape, 100500, 100500);
	assert_wire(f, 500, 10500);
	after(f, 10);
	ws_tape_exit_socket(&f->tape, 100600, 100600);
	assert_wire(f, 600, 10600);
}

static void without_a_sample_a_session_found_running_has_none(void **state)
{
	struct fixture *f = *state;

	found_idle(f);
	ws_tape_exit_socket(&f->tape, 100600, 100600);
	assert_false(session_of(f)->has_wire_bytes);
}

static void a_sample_that_goes_back_counts_nothing(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	ws_tape_socket(&f->tape, 5000, 4000);
	ws_tape_socket(&f->tape, 10, 10);
	assert_wire(f, 5000, 4000);
	ws_tape_socket(&f->tape, 6000, 7000); /* more confirmed than there was */
	assert_wire(f, 5000, 4000);
	ws_tape_socket(&f->tape, 6000, 6000);
	assert_wire(f, 6000, 6000);
}

static void bytes_count_in_the_window_of_their_sample(void **state)
{
	static const struct {
		uint64_t from, to, wire;
	} cases[] = {
		{ 0, BEGIN + 1500, 100 },
		{ BEGIN + 1500, BEGIN + 2500, 200 },
		{ BEGIN + 2500, UINT64_MAX, 400 },
		{ 0, UINT64_MAX, 700 },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fixture_teardown(state);
		fixture_setup(state);
		f = *state;
		ws_model_set_window(f->o->model, cases[i].from, cases[i].to);
		start_idle(f);
		f->tape.now_ns = BEGIN + 1000;
		ws_tape_socket(&f->tape, 100, 100);
		f->tape.now_ns = BEGIN + 2000;
		ws_tape_socket(&f->tape, 300, 300);
		f->tape.now_ns = BEGIN + 3000;
		ws_tape_exit_socket(&f->tape, 700, 700);
		assert_wire(f, cases[i].wire, cases[i].wire);
	}
}

static void a_sample_between_the_pieces_of_a_text_does_not_end_it(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	ws_tape_command_head(&f->tape, 0);
	ws_tape_text(&f->tape, WS_TEXT_COMMAND, 0, "IDENTIFY", 8, 0);
	ws_tape_socket(&f->tape, 5000, 4000);
	ws_tape_text(&f->tape, WS_TEXT_COMMAND, 8, "_SYSTEM", 7, WS_TEXT_LAST);
	after(f, 5);
	ws_tape_end(&f->tape, WS_COMMAND_DONE);
	assert_int_equal(f->o->command_count, 1);
	assert_string_equal(f->o->commands[0].c.text, "IDENTIFY_SYSTEM");
	assert_int_equal(f->o->commands[0].c.outcome, WS_OUTCOME_OK);
}

static void a_sample_makes_no_session_and_is_no_event(void **state)
{
	struct fixture *f = *state;
	uint64_t events;
	size_t count;

	ws_tape_socket(&f->tape, 5000, 4000);
	ws_model_sessions(f->o->model, &count);
	assert_int_equal(count, 0);
	start_idle(f);
	events = session_of(f)->events;
	ws_tape_socket(&f->tape, 5000, 4000);
	assert_int_equal(session_of(f)->events, events);
}

static void tls_is_what_the_record_says(void **state)
{
	struct fixture *f = *state;
	struct ws_rec_session rec = { .valid = WS_VALID_TLS };

	ws_tape_send(&f->tape, &rec.h, WS_KIND_SESSION, sizeof(rec), WS_SESSION_TLS);
	assert_true(session_of(f)->tls);
	assert_true(session_of(f)->valid & WS_VALID_TLS);
}

static void physical_sends_are_the_turns_that_moved(void **state)
{
	struct fixture *f = *state;
	const struct ws_tape_turn moved = { .lsn_from = 0x1000, .lsn_to = 0x2000 };
	const struct ws_tape_turn quiet = { .lsn_from = 0x2000, .lsn_to = 0x2000, .sends = 3 };

	start_streaming(f, 0, 0x1000);
	assert_false(session_of(f)->has_sends);
	ws_tape_turn(&f->tape, &quiet);
	assert_true(session_of(f)->has_sends);
	assert_int_equal(session_of(f)->sends, 0);
	ws_tape_turn(&f->tape, &moved);
	ws_tape_turn(&f->tape, &moved);
	ws_tape_turn(&f->tape, &quiet);
	assert_int_equal(session_of(f)->sends, 2);
}

static void logical_sends_are_messages_and_known_at_level_3(void **state)
{
	struct fixture *f = *state;
	const struct ws_tape_turn two = { .flags = WS_TURN_LOGICAL,
					  .lsn_from = 0x1000,
					  .lsn_to = 0x2000 };
	struct ws_tape_turn three = two;

	start_streaming(f, WS_STREAM_LOGICAL, 0x1000);
	ws_tape_turn(&f->tape, &two);
	assert_false(session_of(f)->has_sends);
	three.stage_ns[WS_STAGE_READ] = 5;
	ws_tape_turn(&f->tape, &three);
	assert_true(session_of(f)->has_sends);
	assert_int_equal(session_of(f)->sends, 0);
	three.messages = 7;
	ws_tape_turn(&f->tape, &three);
	assert_int_equal(session_of(f)->sends, 7);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(all_counts_of_a_session_seen_from_the_start),
		TEST(the_exit_alone_is_enough),
		TEST(a_unix_socket_has_none),
		TEST(a_session_found_running_counts_from_its_first_sample),
		TEST(without_a_sample_a_session_found_running_has_none),
		TEST(a_sample_that_goes_back_counts_nothing),
		TEST(bytes_count_in_the_window_of_their_sample),
		TEST(a_sample_between_the_pieces_of_a_text_does_not_end_it),
		TEST(a_sample_makes_no_session_and_is_no_event),
		TEST(tls_is_what_the_record_says),
		TEST(physical_sends_are_the_turns_that_moved),
		TEST(logical_sends_are_messages_and_known_at_level_3),
	};

	return cmocka_run_group_tests_name("model_socket", tests, NULL, NULL);
}
