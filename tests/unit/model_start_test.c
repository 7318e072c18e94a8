/* SPDX-License-Identifier: BSD-2-Clause */
/* How sessions begin or are refused, and errors that come up between commands. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../lib/model_fixture.h"
#include "base/util.h"

static const struct ws_command *command(const struct fixture *f, size_t i)
{
	assert_true(i < f->o->command_count);
	return &f->o->commands[i].c;
}

static void run(struct fixture *f, const char *text)
{
	ws_tape_command(&f->tape, text);
	after(f, 5);
	ws_tape_end(&f->tape, WS_COMMAND_DONE);
	after(f, 5);
}

/* An entry of an error outside any command: no command, no duration. */
static void check_entry(const struct ws_command *c, enum ws_elevel elevel, const char *sqlstate)
{
	assert_true(c->outside);
	assert_null(c->text);
	assert_null(c->kind);
	assert_int_equal(c->outcome, WS_OUTCOME_ERROR);
	assert_int_equal(c->elevel, elevel);
	assert_string_equal(c->sqlstate, sqlstate);
	assert_int_equal(c->start_ns, c->end_ns);
}

static void check_error(const struct ws_session *s, enum ws_elevel elevel, const char *sqlstate,
			const char *message)
{
	struct ws_report report;

	assert_true(ws_session_error(s, &report));
	assert_int_equal(report.elevel, elevel);
	assert_string_equal(report.sqlstate, sqlstate);
	assert_string_equal(report.message, message);
}

static uint64_t phase_ns(const struct fixture *f, enum ws_start_phase phase)
{
	uint64_t ns;

	assert_true(ws_session_start_phase(session_of(f), phase, &ns));
	return ns;
}

static void no_phase(const struct fixture *f, enum ws_start_phase phase)
{
	uint64_t ns;

	assert_false(ws_session_start_phase(session_of(f), phase, &ns));
}

/* The records of the last ns. */
static void lose(struct fixture *f, uint32_t n)
{
	ws_tape_lose(&f->tape, n);
	ws_tape_gap(&f->tape, f->tape.now_ns - 1, f->tape.now_ns, n, WS_GAP_RING_FULL);
}

/* Steps of a start, each twice as long as the one before, in ns. */
static void start_in_steps(struct fixture *f, bool lose_first_command)
{
	after(f, 1);
	ws_tape_session(&f->tape, 0);
	after(f, 2);
	ws_tape_phase(&f->tape, WS_PHASE_AUTH_BEGIN, 0);
	after(f, 4);
	ws_tape_phase(&f->tape, WS_PHASE_AUTH_END, 0);
	after(f, 8);
	ws_tape_ready(&f->tape);
	after(f, 16);
	ws_tape_phase(&f->tape, WS_PHASE_INITIALIZED, WS_PHASE_CASCADING);
	after(f, 32);
	if (lose_first_command)
		lose(f, 3);
	run(f, "IDENTIFY_SYSTEM");
}

static void the_phases_of_a_start_add_up_to_the_first_command(void **state)
{
	struct fixture *f = *state;
	uint64_t sum = 0;

	start_in_steps(f, false);
	assert_int_equal(phase_ns(f, WS_START_PACKET), 1);
	assert_int_equal(phase_ns(f, WS_START_AUTH), 4);
	assert_int_equal(phase_ns(f, WS_START_POSTGRES), 2 + 8);
	assert_int_equal(phase_ns(f, WS_START_WALSENDER), 16);
	assert_int_equal(phase_ns(f, WS_START_FIRST_COMMAND), 32);
	for (int i = 0; i < WS_START_COUNT; i++)
		sum += phase_ns(f, (enum ws_start_phase)i);
	assert_int_equal(sum, command(f, 0)->start_ns - session_of(f)->fork_ns);
	assert_true(session_of(f)->cascading);
}

static void a_phase_whose_end_was_not_seen_is_not_known(void **state)
{
	struct fixture *f = *state;

	after(f, 1);
	ws_tape_session(&f->tape, 0);
	after(f, 2);
	ws_tape_phase(&f->tape, WS_PHASE_AUTH_BEGIN, 0);
	after(f, 4);
	ws_tape_error(&f->tape, WS_ELEVEL_FATAL, "28P01", "auth_failed", "no");
	ws_tape_exit(&f->tape, 1, 0);
	assert_int_equal(phase_ns(f, WS_START_PACKET), 1);
	no_phase(f, WS_START_AUTH);
	no_phase(f, WS_START_POSTGRES);
	no_phase(f, WS_START_WALSENDER);
	no_phase(f, WS_START_FIRST_COMMAND);
	assert_false(session_of(f)->cascading);
}

static void behind_a_gap_the_first_command_is_not_known(void **state)
{
	struct fixture *f = *state;

	start_in_steps(f, true);
	assert_int_equal(phase_ns(f, WS_START_WALSENDER), 16);
	no_phase(f, WS_START_FIRST_COMMAND);
}

static void a_session_found_running_has_no_phases(void **state)
{
	struct fixture *f = *state;

	ws_tape_found(&f->tape, WS_FOUND_IDLE, 0);
	run(f, "SHOW x");
	for (int i = 0; i < WS_START_COUNT; i++)
		no_phase(f, (enum ws_start_phase)i);
}

static void a_connection_refused_before_it_began_is_a_session_with_its_error(void **state)
{
	struct fixture *f = *state;

	ws_tape_session(&f->tape, WS_SESSION_REFUSED | WS_SESSION_UNPARSED);
	ws_tape_error(&f->tape, WS_ELEVEL_FATAL, "22023", "ProcessStartupPacket", "not 2");
	after(f, 7);
	ws_tape_exit(&f->tape, 1, 0);
	assert_int_equal(session_of(f)->exit_reason, WS_END_REFUSED);
	assert_false(session_of(f)->has_database);
	assert_int_equal(session_of(f)->commands, 0);
	assert_int_equal(f->o->command_count, 1);
	check_entry(command(f, 0), WS_ELEVEL_FATAL, "22023");
	assert_string_equal(command(f, 0)->message, "not 2");
	check_error(session_of(f), WS_ELEVEL_FATAL, "22023", "not 2");
	assert_timeline(f, "exiting 7");
}

static void replication_is_told_where_the_start_was_seen(void **state)
{
	struct fixture *f = *state;

	ws_tape_session(&f->tape, WS_SESSION_DATABASE);
	assert_true(session_of(f)->has_database && session_of(f)->database);
	f->tape = ws_tape_new(ws_observed_sink(f->o), PID + 1, BEGIN);
	ws_tape_session(&f->tape, 0);
	assert_true(ws_observed_session(f->o, PID + 1)->has_database);
	assert_false(ws_observed_session(f->o, PID + 1)->database);
	f->tape = ws_tape_new(ws_observed_sink(f->o), PID + 2, BEGIN);
	ws_tape_lose(&f->tape, 1);
	ws_tape_ready(&f->tape);
	assert_false(ws_observed_session(f->o, PID + 2)->has_database);
}

static void a_fatal_between_commands_is_an_entry_of_its_own(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	run(f, "SHOW x");
	ws_tape_error(&f->tape, WS_ELEVEL_FATAL, "57P01", "ProcessInterrupts", "go");
	after(f, 3);
	ws_tape_exit(&f->tape, 1, 0);
	assert_int_equal(f->o->command_count, 2);
	check_entry(command(f, 1), WS_ELEVEL_FATAL, "57P01");
	assert_int_equal(session_of(f)->commands, 1);
	assert_int_equal(session_of(f)->exit_reason, WS_END_ADMIN_TERMINATED);
	check_error(session_of(f), WS_ELEVEL_FATAL, "57P01", "go");
}

static void a_fatal_inside_a_command_ends_that_and_makes_no_other_entry(void **state)
{
	struct fixture *f = *state;

	start_streaming(f, 0, 1000);
	ws_tape_error(&f->tape, WS_ELEVEL_FATAL, "57P01", "ProcessInterrupts", "go");
	after(f, 3);
	ws_tape_exit(&f->tape, 1, 0);
	assert_int_equal(f->o->command_count, 1);
	assert_false(command(f, 0)->outside);
	assert_int_equal(command(f, 0)->elevel, WS_ELEVEL_FATAL);
	assert_string_equal(command(f, 0)->sqlstate, "57P01");
}

static void a_commerror_between_commands_is_the_end_alone(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	run(f, "SHOW x");
	ws_tape_error(&f->tape, WS_ELEVEL_COMMERROR, "08P01", "SocketBackend", "unexpected EOF");
	ws_tape_exit(&f->tape, 0, 0);
	assert_int_equal(f->o->command_count, 1);
	check_error(session_of(f), WS_ELEVEL_COMMERROR, "08P01", "unexpected EOF");
	assert_string_equal(ws_severity_name(WS_ELEVEL_COMMERROR), "LOG");
}

static void an_end_in_good_order_has_no_error(void **state)
{
	struct fixture *f = *state;
	struct ws_report report;

	start_idle(f);
	run(f, "SHOW x");
	assert_false(ws_session_error(session_of(f), &report));
	ws_tape_exit(&f->tape, 0, 0);
	assert_int_equal(session_of(f)->exit_reason, WS_END_CLIENT_TERMINATED);
	assert_false(ws_session_error(session_of(f), &report));
}

static void refused_messages_are_named_and_are_no_commands(void **state)
{
	static const struct {
		char type;
		const char *name;
	} types[] = { { 'P', "Parse" },	   { 'B', "Bind" },  { 'E', "Execute" },
		      { 'D', "Describe" }, { 'C', "Close" }, { 'F', "FunctionCall" } };
	struct fixture *f = *state;

	start_idle(f);
	for (size_t i = 0; i < WS_ARRAY_SIZE(types); i++) {
		ws_tape_message(&f->tape, types[i].type);
		ws_tape_error(&f->tape, WS_ELEVEL_ERROR, "08P01", "forbidden_in_wal_sender", "no");
		after(f, 2);
	}
	run(f, "SHOW x");
	/* without its message: the probe has no place in every server */
	ws_tape_error(&f->tape, WS_ELEVEL_ERROR, "08P01", "forbidden_in_wal_sender", "no");
	run(f, "SHOW y");
	assert_int_equal(f->o->command_count, WS_ARRAY_SIZE(types) + 3);
	for (size_t i = 0; i < WS_ARRAY_SIZE(types); i++) {
		check_entry(command(f, i), WS_ELEVEL_ERROR, "08P01");
		assert_string_equal(ws_message_type_name(command(f, i)->message_type),
				    types[i].name);
	}
	for (size_t i = WS_ARRAY_SIZE(types); i < f->o->command_count; i++)
		assert_int_equal(command(f, i)->message_type, 0);
	assert_null(ws_message_type_name('Q'));
	assert_int_equal(session_of(f)->commands, 2);
	assert_int_equal(session_of(f)->hist[WS_METRIC_COMMAND_NS].count, 2);
}

static void a_message_closes_a_command_whose_end_was_lost(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	ws_tape_command(&f->tape, "SHOW x");
	after(f, 5);
	lose(f, 1);
	ws_tape_message(&f->tape, 'P');
	ws_tape_error(&f->tape, WS_ELEVEL_ERROR, "08P01", "forbidden_in_wal_sender", "no");
	run(f, "SHOW y");
	assert_int_equal(f->o->command_count, 3);
	assert_int_equal(command(f, 0)->outcome, WS_OUTCOME_LOST);
	check_entry(command(f, 1), WS_ELEVEL_ERROR, "08P01");
	assert_int_equal(command(f, 1)->message_type, 'P');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_phases_of_a_start_add_up_to_the_first_command),
		TEST(a_phase_whose_end_was_not_seen_is_not_known),
		TEST(behind_a_gap_the_first_command_is_not_known),
		TEST(a_session_found_running_has_no_phases),
		TEST(a_connection_refused_before_it_began_is_a_session_with_its_error),
		TEST(replication_is_told_where_the_start_was_seen),
		TEST(a_fatal_between_commands_is_an_entry_of_its_own),
		TEST(a_fatal_inside_a_command_ends_that_and_makes_no_other_entry),
		TEST(a_commerror_between_commands_is_the_end_alone),
		TEST(an_end_in_good_order_has_no_error),
		TEST(refused_messages_are_named_and_are_no_commands),
		TEST(a_message_closes_a_command_whose_end_was_lost),
	};

	return cmocka_run_group_tests_name("model_start", tests, NULL, NULL);
}
