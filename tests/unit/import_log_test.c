/* SPDX-License-Identifier: BSD-2-Clause */
/* Servers' logs: rows, times, and what they say of walsenders. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../lib/observed.h"
#include "base/util.h"
#include "import/import.h"
#include "import/log.h"

/* -- rows */

static size_t split(const char *row, char *text, char **columns, char *why)
{
	strcpy(text, row);
	return ws_csv_split(text, strlen(text), columns, 8, why);
}

static void test_a_row_is_taken_apart_as_postgresql_writes_it(void **state)
{
	char text[256], *c[8], why[WS_IMPORT_WHY];

	(void)state;
	assert_int_equal(split("a,,\"b,\"\"c\"\"\nd\",\"\",12", text, c, why), 5);
	assert_string_equal(c[0], "a");
	assert_string_equal(c[1], "");
	assert_string_equal(c[2], "b,\"c\"\nd");
	assert_string_equal(c[3], "");
	assert_string_equal(c[4], "12");
	assert_int_equal(split("", text, c, why), 1);
	assert_int_equal(split("a,", text, c, why), 2);
	assert_string_equal(c[1], "");
}

static void test_a_row_that_is_none_is_refused(void **state)
{
	static const char *const rows[] = { "\"a", "a,\"b\"\"", "\"a\"b,c", "1,2,3,4,5,6,7,8,9" };
	char text[256], *c[8], why[WS_IMPORT_WHY];

	(void)state;
	for (size_t i = 0; i < WS_ARRAY_SIZE(rows); i++)
		assert_int_equal(split(rows[i], text, c, why), 0);
}

/* -- times */

static int64_t time_of(const char *text)
{
	const char *zone;
	int64_t ns;

	return ws_log_time(text, &ns, &zone) ? ns : -1;
}

static void test_times_have_the_zone_they_name(void **state)
{
	const int64_t noon = 1772366400000000000LL; /* 2026-03-01T12:00:00Z */

	(void)state;
	assert_int_equal(time_of("2026-03-01 12:00:00.000 UTC"), noon);
	assert_int_equal(time_of("2026-03-01 12:00:00.25 GMT"), noon + 250000000);
	assert_int_equal(time_of("2026-03-01 15:00:00.000 +03"), noon);
	assert_int_equal(time_of("2026-03-01 07:30:00.001 -0430"), noon + 1000000);
	assert_int_equal(time_of("2026-03-01 17:45:00.000 +05:45"), noon);
	setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
	tzset();
	assert_int_equal(time_of("2026-03-01 13:00:00.000 CET"), noon);
	/* The hour that comes twice. */
	assert_int_equal(time_of("2026-10-25 02:30:00.000 CET") -
				 time_of("2026-10-25 02:30:00.000 CEST"),
			 3600000000000LL);
	unsetenv("TZ");
	tzset();
}

static void test_what_is_no_time_is_refused(void **state)
{
	static const char *const texts[] = { "",
					     "2026-03-01",
					     "2026-03-01 12:00:00.000",
					     "2026-03-01 12:00:00.000 ",
					     "2026-13-01 12:00:00.000 UTC",
					     "2026-03-01 12:00:00.000 +3",
					     "2026-03-01 12:00:00.000 +99",
					     "1026-03-01 12:00:00.000 UTC" };

	(void)state;
	for (size_t i = 0; i < WS_ARRAY_SIZE(texts); i++)
		if (time_of(texts[i]) != -1)
			fail_msg("%s", texts[i]);
}

/* -- what they say. A row of 15: time, user, database, pid, from, session, line, ... */

#define ROW(ms, line, user, app, type, severity, state, message, query, location)                \
	"2026-03-01 12:00:00." ms " UTC," user ",4001,\"192.0.2.7:54321\",69a42bc0.fa1," line    \
	",\"idle\",2026-03-01 12:00:00 UTC,2/0,0," severity "," state "," message ",,,,,," query \
	",,\"" location "\",\"" app "\",\"" type "\",,0\n"
#define BEGIN                                                                                     \
	ROW("001", "1", ",", "", "not initialized", "LOG", "00000",                               \
	    "\"connection received: host=192.0.2.7 port=54321\"", "", "BackendInitialize, p.c:1") \
	ROW("002", "2", "\"repl\",\"\"", "", "walsender", "LOG", "00000",                         \
	    "\"replication connection authorized: user=repl application_name=s1 SSL enabled "     \
	    "(p)\"",                                                                              \
	    "", "PerformAuthentication, p.c:2")
#define COMMAND(ms, line, text)                                           \
	ROW(ms, line, "\"repl\",\"\"", "s1", "walsender", "LOG", "00000", \
	    "\"received replication command: " text "\"", "\"" text "\"", \
	    "exec_replication_command, w.c:3")
#define END(ms, line)                                                     \
	ROW(ms, line, "\"repl\",\"\"", "s1", "walsender", "LOG", "00000", \
	    "\"disconnection: session time: 0:00:00.007 user=repl\"", "", \
	    "log_disconnections, p.c:9")

struct told {
	struct ws_observed *o;
	struct ws_import_result result;
	struct ws_buf notes;
	uint64_t last_ns;
};

static void note(void *arg, enum ws_log_level level, const char *text)
{
	(void)level;
	ws_buf_addf(arg, "%s\n", text);
}

static int feed(void *arg, const struct ws_rec *rec)
{
	struct told *told = arg;
	struct ws_sink sink = ws_observed_sink(told->o);

	if (rec->time_ns > told->last_ns)
		told->last_ns = rec->time_ns;
	return sink.fn(sink.arg, rec);
}

static struct told tell(const char *text)
{
	struct told told = { .o = ws_observed_new() };
	struct ws_log log = { .fn = note, .arg = &told.notes, .level = WS_LOG_NOTE };
	const struct ws_import_options options = { .log = &log };
	struct ws_import_input in = { .name = "log",
				      .in = fmemopen((void *)(uintptr_t)text, strlen(text), "r") };
	const struct ws_import_inputs inputs = { &in, 1 };
	struct ws_error err;

	if (ws_import_run(&inputs, &options, (struct ws_sink){ feed, &told }, &told.result, &err))
		fail_msg("%s: %s", err.what, err.why);
	assert_int_equal(ws_model_finish(told.o->model, told.last_ns), 0);
	fclose(in.in);
	return told;
}

static void release(struct told *told)
{
	ws_observed_free(told->o);
	ws_buf_deinit(&told->notes);
}

static void test_a_session_is_told_from_its_lines(void **state)
{
	struct told told = tell(BEGIN COMMAND("003", "3", "IDENTIFY_SYSTEM")
					COMMAND("004", "4", "SHOW \"\"x\"\"\n") END("008", "5"));
	const struct ws_session *s = ws_observed_session(told.o, 4001);
	const struct ws_command *c = &told.o->commands[1].c;

	(void)state;
	assert_int_equal(told.result.format, WS_IMPORT_CSVLOG);
	assert_int_equal(told.result.bad, 0);
	assert_int_equal(told.result.lines, 5);
	assert_string_equal(s->application, "s1");
	assert_string_equal(s->user, "repl");
	assert_string_equal(s->host, "192.0.2.7");
	assert_int_equal(s->port, 54321);
	assert_true(s->logged && s->tls && !s->was_running && !s->database);
	assert_int_equal(s->exit_reason, WS_END_CLIENT_TERMINATED);
	assert_int_equal(s->end_ns - s->begin_ns, 7000000);
	assert_int_equal(told.o->command_count, 2);
	assert_string_equal(c->text, "SHOW \"x\"\n");
	assert_int_equal(c->outcome, WS_OUTCOME_OK);
	/* When it ended no line says. */
	assert_int_equal(c->end_ns, 0);
	release(&told);
}

static void test_an_error_has_its_command_state_and_place(void **state)
{
	struct told told = tell(BEGIN COMMAND("003", "3", "TIMELINE_HISTORY 9") ROW(
		"005", "4", "\"repl\",\"\"", "s1", "walsender", "ERROR", "58P01",
		"\"no \"\"such\"\" file\"", "\"TIMELINE_HISTORY 9\"", "Send, w.c:6")
					ROW("006", "5", "\"repl\",\"\"", "s1", "walsender", "ERROR",
					    "42601", "syntax error", "\"FROB\"", "scan.l:7"));
	const struct ws_command *c = &told.o->commands[0].c;

	(void)state;
	assert_int_equal(told.o->command_count, 2);
	assert_string_equal(c->text, "TIMELINE_HISTORY 9");
	assert_int_equal(c->end_ns - c->start_ns, 2000000);
	assert_string_equal(c->sqlstate, "58P01");
	assert_string_equal(c->message, "no \"such\" file");
	assert_string_equal(c->location, "Send, w.c:6");
	/* That came in at a time of which there is no line. */
	c = &told.o->commands[1].c;
	assert_string_equal(c->text, "FROB");
	assert_int_equal(c->start_ns, 0);
	assert_string_equal(c->sqlstate, "42601");
	assert_string_equal(c->location, "scan.l:7");
	release(&told);
}

static void test_a_timeout_ends_a_session_without_a_line_that_says_so(void **state)
{
	struct told told = tell(BEGIN COMMAND("003", "3", "START_REPLICATION 0/1000000") ROW(
		"009", "4", "\"repl\",\"\"", "s1", "walsender", "LOG", "00000",
		"terminating walsender process due to replication "
		"timeout",
		"", ""));
	const struct ws_session *s = ws_observed_session(told.o, 4001);

	(void)state;
	assert_int_equal(s->exit_reason, WS_END_REPLICATION_TIMEOUT);
	assert_int_equal(s->kind, WS_SESSION_KIND_PHYSICAL);
	release(&told);
}

static void test_a_process_that_was_killed_is_told_by_the_postmaster(void **state)
{
	struct told told = tell(BEGIN COMMAND(
		"003", "3",
		"IDENTIFY_SYSTEM") "2026-03-01 12:00:00.009 UTC,,,4000,,69a42bc0.fa0,7,,2026-03-01 "
				   "12:00:00 UTC,,0,LOG,"
				   "00000,\"server process (PID 4001) was terminated by signal 9: "
				   "Killed\",,,,,,,,,\"\","
				   "\"postmaster\",,0\n");
	const struct ws_session *s = ws_observed_session(told.o, 4001);

	(void)state;
	assert_int_equal(s->exit_reason, WS_END_KILLED);
	assert_int_equal(s->exit_signal, 9);
	release(&told);
}

#define POSTMASTER(ms, message)                                                        \
	"2026-03-01 12:00:00." ms                                                      \
	" UTC,,,4000,,69a42bc0.fa0,7,,2026-03-01 12:00:00 UTC,,0,LOG,00000,\"" message \
	"\",,,,,,,,,\"\",\"postmaster\",,0\n"
#define CRASH                                                                      \
	POSTMASTER("009", "server process (PID 4099) was terminated by signal 11") \
	POSTMASTER("009", "terminating any other active server processes")
#define IMMEDIATE                                                \
	POSTMASTER("009", "received immediate shutdown request") \
	POSTMASTER("020", "database system is shut down")
#define STARTING(ms) POSTMASTER(ms, "starting PostgreSQL 15.18 on x")

static void test_no_session_outlives_its_server(void **state)
{
	static const struct {
		const char *before, *behind;
		enum ws_exit_reason reason;
		int code;
	} ends[] = {
		{ "", CRASH POSTMASTER("020", "all server processes terminated; reinitializing"),
		  WS_END_CRASH_RESTART, 2 },
		{ "", POSTMASTER("020", "all server processes terminated; reinitializing"),
		  WS_END_CRASH_RESTART, 2 },
		/* restart_after_crash is off */
		{ "", CRASH POSTMASTER("020", "database system is shut down"), WS_END_CRASH_RESTART,
		  2 },
		{ STARTING("000"), IMMEDIATE, WS_END_SHUTDOWN, 2 },
		/* Whose shutdown it is, without the server's start. */
		{ "", IMMEDIATE, WS_END_UNKNOWN, -1 },
		/* How it ended log_disconnections would say. */
		{ "", POSTMASTER("020", "database system is shut down"), WS_END_UNKNOWN, -1 },
		{ "", STARTING("020"), WS_END_UNKNOWN, -1 },
	};

	(void)state;
	for (size_t i = 0; i < WS_ARRAY_SIZE(ends); i++) {
		const struct ws_session *s;
		char log[4096];
		struct told told;

		snprintf(log, sizeof(log), "%s%s%s%s", ends[i].before,
			 BEGIN COMMAND("003", "3", "START_REPLICATION 0/1000000"), ends[i].behind,
			 POSTMASTER("500", "database system is ready to accept connections"));
		told = tell(log);
		s = ws_observed_session(told.o, 4001);
		assert_int_equal(s->exit_reason, ends[i].reason);
		assert_int_equal(s->exit_code, ends[i].code);
		/* Not with the log, nor when it was told to. */
		assert_int_equal(s->end_ns - told.o->commands[0].c.start_ns, 17000000);
		release(&told);
	}
}

static void test_other_backends_are_no_sessions(void **state)
{
	struct told told = tell(ROW("001", "1", ",", "", "not initialized", "LOG", "00000",
				    "\"connection received: host=192.0.2.7 port=54321\"", "", "")
					ROW("002", "2", "\"u\",\"d\"", "psql", "client backend",
					    "ERROR", "42601", "syntax error", "\"x\"", ""));

	(void)state;
	assert_int_equal(told.o->sessions, 0);
	release(&told);
}

static void test_a_session_that_began_before_the_log_is_told_so(void **state)
{
	struct told told = tell(COMMAND("003", "17", "IDENTIFY_SYSTEM"));
	const struct ws_session *s = ws_observed_session(told.o, 4001);

	(void)state;
	assert_true(s->was_running);
	assert_false(s->valid & WS_VALID_TLS);
	assert_int_equal(s->end_ns, 0);
	release(&told);
}

/* 12 and before: no backend_type; a jsonlog: what says nothing is left out. */
static void test_the_formats_of_other_versions_are_read(void **state)
{
	static const char old[] =
		"2026-03-01 12:00:00.003 "
		"UTC,\"repl\",\"\",4001,\"[local]\",69a42bc0.fa1,3,\"idle\","
		"2026-03-01 12:00:00 UTC,2/0,0,LOG,00000,"
		"\"received replication command: IDENTIFY_SYSTEM\",,,,,,,,,\"s1\"\n";
	static const char json[] =
		"{\"timestamp\":\"2026-03-01 12:00:00.003 UTC\",\"user\":\"repl\",\"pid\":4001,"
		"\"remote_host\":\"[local]\",\"session_id\":\"69a42bc0.fa1\",\"line_num\":3,"
		"\"error_severity\":\"LOG\",\"message\":\"received replication command: "
		"IDENTIFY_SYSTEM\",\"application_name\":\"s1\",\"backend_type\":\"walsender\","
		"\"query_id\":0}\n";
	const char *const texts[] = { old, json };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct told told = tell(texts[i]);
		const struct ws_session *s = ws_observed_session(told.o, 4001);

		assert_string_equal(s->host, "[local]");
		assert_string_equal(s->application, "s1");
		assert_string_equal(told.o->commands[0].c.text, "IDENTIFY_SYSTEM");
		release(&told);
	}
}

/* The server's log_destination was changed. */
static void test_a_log_may_go_on_in_the_other_format(void **state)
{
	struct told told = tell(BEGIN COMMAND(
		"003", "3",
		"IDENTIFY_SYSTEM") "{\"timestamp\":\"2026-03-01 12:00:00.004 "
				   "UTC\",\"user\":\"repl\",\"pid\":4001,"
				   "\"session_id\":\"69a42bc0.fa1\",\"line_num\":4,\"error_"
				   "severity\":\"LOG\","
				   "\"message\":\"received replication command: SHOW x\","
				   "\"application_name\":\"s1\",\"backend_type\":\"walsender\"}"
				   "\n" END("008", "5"));

	(void)state;
	assert_int_equal(told.result.format, WS_IMPORT_CSVLOG);
	assert_int_equal(told.result.bad, 0);
	assert_int_equal(told.o->command_count, 2);
	assert_string_equal(told.o->commands[1].c.text, "SHOW x");
	release(&told);
}

static void test_a_row_whose_quote_stays_open_costs_no_other(void **state)
{
	struct told told = tell("2026-03-01 12:00:00.001 UTC,\"torn\n" BEGIN COMMAND(
		"003", "3", "IDENTIFY_SYSTEM") "2026-03-01 12:00:00.001 UTC,\"torn, too\n");

	(void)state;
	assert_int_equal(told.o->command_count, 1);
	assert_true(told.result.bad >= 2);
	assert_non_null(strstr(told.notes.data, "log:1: "));
	release(&told);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_row_is_taken_apart_as_postgresql_writes_it),
		cmocka_unit_test(test_a_row_that_is_none_is_refused),
		cmocka_unit_test(test_times_have_the_zone_they_name),
		cmocka_unit_test(test_what_is_no_time_is_refused),
		cmocka_unit_test(test_a_session_is_told_from_its_lines),
		cmocka_unit_test(test_an_error_has_its_command_state_and_place),
		cmocka_unit_test(test_a_timeout_ends_a_session_without_a_line_that_says_so),
		cmocka_unit_test(test_a_process_that_was_killed_is_told_by_the_postmaster),
		cmocka_unit_test(test_no_session_outlives_its_server),
		cmocka_unit_test(test_other_backends_are_no_sessions),
		cmocka_unit_test(test_a_session_that_began_before_the_log_is_told_so),
		cmocka_unit_test(test_the_formats_of_other_versions_are_read),
		cmocka_unit_test(test_a_log_may_go_on_in_the_other_format),
		cmocka_unit_test(test_a_row_whose_quote_stays_open_costs_no_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
