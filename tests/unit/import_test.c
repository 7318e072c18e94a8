/* SPDX-License-Identifier: BSD-2-Clause */
/* Events as JSON lines that become records again, and what is done with lines that are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/random_rec.h"
#include "../lib/records.h"
#include "../lib/sample.h"
#include "base/util.h"
#include "event/schema.h"
#include "export/json.h"
#include "import/import.h"

#define WALL_NS 1772366400000000000LL /* 2026-03-01T12:00:00Z */

/* What an import gives: its records one behind the other, and its notes. */
struct imported {
	struct ws_import_result result;
	struct ws_error err;
	int rc;
	struct ws_rec *recs[4096];
	size_t count;
	struct ws_buf notes;
};

static int keep(void *arg, const struct ws_rec *rec)
{
	struct imported *imported = arg;
	char why[128];

	if (!ws_rec_valid(rec, rec->size, why, sizeof(why)))
		fail_msg("%s", why);
	assert_true(imported->count < WS_ARRAY_SIZE(imported->recs));
	imported->recs[imported->count] = malloc(rec->size);
	memcpy(imported->recs[imported->count++], rec, rec->size);
	return 0;
}

static void note(void *arg, enum ws_log_level level, const char *text)
{
	(void)level;
	ws_buf_addf(arg, "%s\n", text);
}

static struct imported *import(const char *text, size_t len)
{
	struct imported *imported = calloc(1, sizeof(*imported));
	struct ws_log log = { .fn = note, .arg = &imported->notes, .level = WS_LOG_NOTE };
	const struct ws_import_options options = { .log = &log };
	struct ws_sink sink = { keep, imported };
	struct ws_import_input in = { .name = "in",
				      .in = fmemopen((void *)(uintptr_t)text, len, "r") };
	const struct ws_import_inputs inputs = { &in, 1 };

	assert_non_null(in.in);
	imported->rc = ws_import_run(&inputs, &options, sink, &imported->result, &imported->err);
	fclose(in.in);
	return imported;
}

static void release(struct imported *imported)
{
	for (size_t i = 0; i < imported->count; i++)
		free(imported->recs[i]);
	ws_buf_deinit(&imported->notes);
	free(imported);
}

/* The n-th record of a kind. */
static const void *nth(const struct imported *imported, uint16_t kind, size_t n)
{
	for (size_t i = 0; i < imported->count; i++)
		if (imported->recs[i]->kind == kind && n-- == 0)
			return imported->recs[i];
	fail_msg("no such record of kind %u", kind);
	return NULL;
}

static size_t how_many(const struct imported *imported, uint16_t kind)
{
	size_t n = 0;

	for (size_t i = 0; i < imported->count; i++)
		n += imported->recs[i]->kind == kind;
	return n;
}

/* -- there and back */

static int64_t wall(const void *arg, uint64_t mono_ns)
{
	(void)arg;
	return WALL_NS + (int64_t)(mono_ns % 1000000000000000ULL);
}

/* The line of a record, to be freed. */
static char *line_of(const struct ws_rec *rec)
{
	struct ws_session session = { .pid = rec->pid, .start_ns = rec->start_ns };
	struct ws_export ex = { .opt = { .wall_ns = wall } };
	char *text = NULL;
	size_t size;

	if (rec->kind == WS_KIND_SESSION)
		session.ns_pid = ((const struct ws_rec_session *)rec)->ns_pid;
	ex.opt.out = open_memstream(&text, &size);
	assert_int_equal(ws_json_event(&ex, rec->start_ns ? &session : NULL, rec), 0);
	fclose(ex.opt.out);
	return text;
}

/* Numbers beyond 2^63 are null in JSON, and no field has them; times are those of one day. */
static void tame(struct ws_rec *rec)
{
	const struct ws_kind_info *info = ws_kind_info(rec->kind);

	rec->time_ns = 1 + rec->time_ns % 86400000000000ULL;
	rec->pid = 1 + rec->pid % 1000;
	for (size_t i = 0; i < info->field_count; i++) {
		const struct ws_field *field = &info->fields[i];
		char *at = (char *)rec + field->offset;

		if (field->size != 8 || field->offset + 8U * field->count > rec->size)
			continue;
		for (unsigned int k = 0; k < field->count; k++, at += 8) {
			uint64_t value;

			memcpy(&value, at, 8);
			value &= INT64_MAX;
			if (field->type == WS_FIELD_TIME)
				value %= rec->time_ns;
			memcpy(at, &value, 8);
		}
	}
}

static void round_trip(struct random_recs *random, uint16_t kind)
{
	union random_rec rec;
	struct imported *back;
	char *line, *again;

	random_rec_of(random, &rec, kind);
	tame(&rec.h);
	rec.h.seq = 0;
	line = line_of(&rec.h);
	back = import(line, strlen(line));
	if (back->rc || back->result.bad)
		fail_msg("%s%s", line, back->notes.data ? back->notes.data : back->err.why);
	again = line_of(nth(back, kind, 0));
	assert_string_equal(again, line);
	free(again);
	free(line);
	release(back);
}

static void test_a_record_of_each_kind_comes_back(void **state)
{
	struct random_recs random = { .state = 7, .time_ns = 1000 };
	const struct ws_kind_info *kinds;
	size_t count;

	(void)state;
	kinds = ws_kinds(&count);
	for (size_t i = 0; i < count; i++)
		for (int n = 0; n < 40; n++)
			round_trip(&random, kinds[i].kind);
}

/* What `view` prints of a recording, to be freed. */
static char *view_of(const char *view, const char *path)
{
	const char *args[] = { view, "--json", path, NULL };
	struct ws_cli_run run = { 0 };
	char *out;

	ws_cli_run(&run, args);
	out = run.out;
	run.out = NULL;
	ws_cli_run_deinit(&run);
	return out;
}

static void test_a_recording_comes_back_in_each_view(void **state)
{
	static const char *const views[] = { "trace", "sessions", "history", "timeline", "hist" };
	char path[64], lines[64] = "/tmp/walscope-test.XXXXXX", back[80];
	int flags = WS_SAMPLE_LOSS | WS_SAMPLE_RUNNING | WS_SAMPLE_REFUSED;
	const char *args[] = { "import", lines, "-o", back, NULL };
	struct ws_cli_run run = { 0 };
	FILE *file;
	char *text;

	(void)state;
	ws_sample_write(path, flags);
	file = fdopen(mkstemp(lines), "w");
	text = view_of("trace", path);
	fputs(text, file);
	fclose(file);
	free(text);
	snprintf(back, sizeof(back), "%s.wst", lines);
	ws_cli_run(&run, args);
	assert_int_equal(run.status, 0);
	ws_cli_run_deinit(&run);
	for (size_t i = 0; i < WS_ARRAY_SIZE(views); i++) {
		char *before = view_of(views[i], path), *behind = view_of(views[i], back);

		assert_string_equal(behind, before);
		free(before);
		free(behind);
	}
	remove(path);
	remove(lines);
	remove(back);
}

/* -- lines by hand */

#define HEAD "{\"time\":\"2026-03-01T12:00:00Z\",\"session\":\"7.100\",\"pid\":7,"

static const char by_hand[] =
	HEAD "\"event\":\"session\",\"user\":\"me\",\"valid\":[\"user\"],\"later\":[1,{}]}\n" HEAD
	     "\"event\":\"command\"}\n"
	     "\n" HEAD
	     "\"event\":\"text\",\"of\":\"command\",\"flags\":[\"last\"],\"text\":\"SHOW x\"}\n"
	     "{\"time\":\"2026-03-01T12:00:01Z\",\"session\":\"7.100\",\"event\":\"command_end\","
	     "\"how\":\"done\"}\n"
	     "{\"time\":\"2026-03-01T12:00:01Z\",\"event\":\"stop\"}\n";

static void test_lines_need_no_more_than_what_is_known(void **state)
{
	struct imported *i = import(by_hand, strlen(by_hand));
	const struct ws_rec_session *session = nth(i, WS_KIND_SESSION, 0);
	const struct ws_rec_text *text = nth(i, WS_KIND_TEXT, 0);
	const struct ws_rec_command_end *end = nth(i, WS_KIND_COMMAND_END, 0);
	const struct ws_rec_clock *clock = nth(i, WS_KIND_CLOCK, 0);

	(void)state;
	assert_int_equal(i->rc, 0);
	assert_int_equal(i->result.bad, 0);
	assert_true(i->result.stopped);
	assert_string_equal(session->user, "me");
	assert_int_equal(session->valid, WS_VALID_USER);
	assert_int_equal(session->h.start_ns, 100 * 10000000ULL);
	assert_int_equal(text->len, 6);
	assert_int_equal(text->h.seq, 2);
	assert_int_equal(end->h.seq, 3);
	assert_int_equal(end->h.time_ns - session->h.time_ns, 1000000000);
	/* Somebody has to say when that was. */
	assert_int_equal(clock->wall_ns, WALL_NS);
	assert_int_equal(clock->h.time_ns, session->h.time_ns);
	assert_int_equal(i->recs[i->count - 1]->kind, WS_KIND_STOP);
	release(i);
}

static void test_a_text_keeps_its_bytes(void **state)
{
	static const char line[] = HEAD "\"event\":\"text\",\"of\":\"command\",\"text_bytes\":3,"
					"\"text\":\"a\\ufffd\\ufffd\",\"text_hex\":\"61c3FF\"}\n";
	struct imported *i = import(line, strlen(line));
	const struct ws_rec_text *text = nth(i, WS_KIND_TEXT, 0);

	(void)state;
	assert_int_equal(text->len, 3);
	assert_memory_equal(text->data, "a\xc3\xff", 3);
	release(i);
}

static const struct bad {
	const char *line, *why;
} bad_lines[] = {
	{ "{", "" },
	{ "[]", "" },
	{ "x\"", "" },
	{ "  {\"a\":\"\\\"\"}", "event: missing" },
	{ "{\"a\":1,\"a\":2}", "duplicate" },
	{ "{}", "event: missing" },
	{ HEAD "\"event\":\"frob\"}", "unknown kind" },
	{ "{\"event\":\"ready\"}", "time: missing" },
	{ "{\"time\":\"yesterday\",\"event\":\"ready\"}", "time: not RFC 3339" },
	{ "{\"time\":\"2026-03-01T12:00:00Z\",\"session\":\"7\",\"event\":\"ready\"}", "session" },
	{ "{\"time\":\"2026-03-01T12:00:00Z\",\"session\":\"7.99999999999999999999\","
	  "\"event\":\"ready\"}",
	  "session" },
	{ HEAD "\"event\":\"ready\",\"mono_ns\":-1}", "mono_ns" },
	{ HEAD "\"event\":\"ready\",\"seq\":\"x\"}", "seq" },
	{ HEAD "\"event\":\"ready\",\"seq\":4294967296}", "seq" },
	{ HEAD "\"event\":\"turn\",\"lsn\":\"0\"}", "lsn: \"0\" is no LSN" },
	{ HEAD "\"event\":\"turn\",\"turns\":4294967296}", "turns: too large" },
	{ HEAD "\"event\":\"turn\",\"turns\":-1}", "turns" },
	{ HEAD "\"event\":\"turn\",\"stage_ns\":[1]}", "stage_ns: not an object" },
	{ HEAD "\"event\":\"turn\",\"wait\":\"long\"}", "wait: unknown name" },
	{ HEAD "\"event\":\"turn\",\"wait\":99}", "wait cannot be 99" },
	{ HEAD "\"event\":\"turn\",\"flags\":[99]}", "flags: no such flag" },
	{ HEAD "\"event\":\"turn\",\"flags\":\"reply\"}", "flags: not an array" },
	{ HEAD "\"event\":\"error\",\"elevel\":\"error\",\"sqlstate\":\"4250\"}", "sqlstate" },
	{ HEAD "\"event\":\"session\",\"user\":\"0123456789012345678901234567890123456789"
	       "012345678901234567890123\"}",
	  "user: 64 bytes" },
	{ HEAD "\"event\":\"session\",\"user\":\"a\\u0000b\"}", "user: holds a NUL" },
	{ HEAD "\"event\":\"text\",\"of\":\"command\",\"text_bytes\":9,\"text\":\"x\"}", "text" },
	{ HEAD "\"event\":\"text\",\"of\":\"command\",\"text_hex\":\"6\"}", "hexadecimal" },
	{ HEAD "\"event\":\"text\",\"text\":\"x\"}", "of cannot be 0" },
	{ HEAD "\"event\":\"signal\",\"target_session\":7}", "target_session" },
};

static void test_a_bad_line_is_named_and_the_others_are_taken(void **state)
{
	(void)state;
	for (size_t n = 0; n < WS_ARRAY_SIZE(bad_lines); n++) {
		struct ws_buf text = { 0 };
		struct imported *i;

		ws_buf_addf(&text,
			    HEAD "\"event\":\"session\"}\n%s\n" HEAD "\"event\":\"ready\"}\n",
			    bad_lines[n].line);
		i = import(text.data, text.len);
		assert_int_equal(i->rc, 0);
		assert_int_equal(i->result.bad, 1);
		assert_int_equal(i->result.lines, 2);
		assert_int_equal(how_many(i, WS_KIND_READY), 1);
		if (strncmp(i->notes.data, "in:2: ", 6) != 0 ||
		    !strstr(i->notes.data, bad_lines[n].why))
			fail_msg("%s: %s", bad_lines[n].line, i->notes.data);
		release(i);
		ws_buf_deinit(&text);
	}
}

/* The first one tells the format, if it can. */
static void test_lines_in_front_that_are_none_do_not_decide(void **state)
{
	struct ws_buf text = { 0 };
	struct imported *i;

	(void)state;
	ws_buf_addf(&text, "t\":\"2026\n{\"torn\n%s", by_hand);
	i = import(text.data, text.len);
	assert_int_equal(i->rc, 0);
	assert_int_equal(i->result.format, WS_IMPORT_EVENTS);
	assert_int_equal(i->result.bad, 2);
	assert_int_equal(i->result.lines, 5);
	release(i);
	ws_buf_deinit(&text);
}

static void test_a_hole_in_the_numbers_is_a_gap(void **state)
{
	static const char lines[] =
		HEAD "\"seq\":0,\"event\":\"session\"}\n" HEAD "\"seq\":5,\"event\":\"ready\"}\n";
	struct imported *i = import(lines, strlen(lines));
	const struct ws_rec_gap *gap = nth(i, WS_KIND_GAP, 0);

	(void)state;
	assert_int_equal(gap->lost, 4);
	assert_int_equal(gap->h.seq, 1);
	assert_int_equal(gap->h.pid, 7);
	assert_int_equal(gap->cause, WS_GAP_TORN);
	release(i);
}

static void test_a_hole_that_a_gap_tells_of_is_one_gap(void **state)
{
	static const char lines[] =
		HEAD "\"seq\":0,\"event\":\"session\"}\n" HEAD
		     "\"seq\":1,\"event\":\"gap\",\"lost\":4,\"cause\":\"ring_full\"}\n" HEAD
		     "\"seq\":5,\"event\":\"ready\"}\n";
	struct imported *i = import(lines, strlen(lines));

	(void)state;
	assert_int_equal(i->result.bad, 0);
	assert_int_equal(how_many(i, WS_KIND_GAP), 1);
	release(i);
}

/* As where a block of a recording could not be read. */
static void test_a_gap_of_no_session_tells_of_holes_in_all(void **state)
{
	static const char lines[] =
		HEAD "\"seq\":0,\"event\":\"session\"}\n"
		     "{\"time\":\"2026-03-01T12:00:01Z\",\"event\":\"gap\",\"lost\":9,"
		     "\"cause\":\"torn\"}\n" HEAD "\"seq\":5,\"event\":\"ready\"}\n" HEAD
		     "\"seq\":9,\"event\":\"keepalive\"}\n";
	struct imported *i = import(lines, strlen(lines));
	const struct ws_rec_gap *gap = nth(i, WS_KIND_GAP, 1);

	(void)state;
	assert_int_equal(i->result.bad, 0);
	assert_int_equal(how_many(i, WS_KIND_GAP), 2);
	assert_int_equal(gap->h.seq, 6);
	assert_int_equal(gap->lost, 3);
	release(i);
}

static void test_what_is_not_understood_at_all_is_an_error(void **state)
{
	static const char *const texts[] = { "{\n", "{\"event\":\"frob\"}\n{\"x\":1}\n", "\n\n" };

	(void)state;
	for (size_t n = 0; n < WS_ARRAY_SIZE(texts); n++) {
		struct imported *i = import(texts[n], strlen(texts[n]));

		assert_int_equal(i->rc, -1);
		assert_string_equal(i->err.what, "cannot import");
		assert_int_equal(i->count, 0);
		release(i);
	}
}

/* One that goes on for as long as memory does. */
static void test_a_line_without_end_is_passed_over(void **state)
{
	const size_t size = (17U << 20) + 4096;
	char *text = malloc(size);
	size_t len = strlen(by_hand);
	struct imported *i;

	(void)state;
	memset(text, 'x', size);
	text[0] = '{';
	text[size - len - 1] = '\n';
	memcpy(text + size - len, by_hand, len);
	i = import(text, size);
	assert_int_equal(i->rc, 0);
	assert_int_equal(i->result.bad, 1);
	assert_int_equal(i->result.lines, 5);
	assert_non_null(strstr(i->notes.data, "in:1: "));
	release(i);
	free(text);
}

/* The wall clock was set back by an hour in between. */
static void test_times_are_those_of_the_hosts_clock(void **state)
{
	static const char lines[] =
		"{\"time\":\"2026-03-01T12:00:00Z\",\"mono_ns\":5000000000,\"session\":\"7.100\","
		"\"event\":\"session\",\"fork\":\"2026-03-01T11:59:59Z\"}\n"
		"{\"time\":\"2026-03-01T11:00:02Z\",\"mono_ns\":7000000000,\"session\":\"7.100\","
		"\"event\":\"turn\",\"duration_ns\":1500000000,"
		"\"begin\":\"2026-03-01T11:00:00.5Z\"}\n"
		"{\"time\":\"2026-03-01T11:00:03Z\",\"mono_ns\":8000000000,"
		"\"event\":\"gap\",\"cause\":\"torn\",\"from\":\"2026-03-01T11:00:02.5Z\","
		"\"to\":\"2026-03-01T11:00:03Z\"}\n";
	struct imported *i = import(lines, strlen(lines));
	const struct ws_rec_session *session = nth(i, WS_KIND_SESSION, 0);
	const struct ws_rec_turn *turn = nth(i, WS_KIND_TURN, 0);
	const struct ws_rec_gap *gap = nth(i, WS_KIND_GAP, 0);

	(void)state;
	assert_int_equal(i->result.bad, 0);
	assert_int_equal(session->h.time_ns, 5000000000);
	assert_int_equal(session->fork_ns, 4000000000);
	assert_int_equal(turn->h.time_ns, 7000000000);
	assert_int_equal(turn->begin_ns, 5500000000);
	assert_int_equal(gap->from_ns, 7500000000);
	assert_int_equal(gap->to_ns, 8000000000);
	release(i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_record_of_each_kind_comes_back),
		cmocka_unit_test(test_a_recording_comes_back_in_each_view),
		cmocka_unit_test(test_lines_need_no_more_than_what_is_known),
		cmocka_unit_test(test_a_text_keeps_its_bytes),
		cmocka_unit_test(test_a_bad_line_is_named_and_the_others_are_taken),
		cmocka_unit_test(test_lines_in_front_that_are_none_do_not_decide),
		cmocka_unit_test(test_a_hole_in_the_numbers_is_a_gap),
		cmocka_unit_test(test_a_hole_that_a_gap_tells_of_is_one_gap),
		cmocka_unit_test(test_a_gap_of_no_session_tells_of_holes_in_all),
		cmocka_unit_test(test_what_is_not_understood_at_all_is_an_error),
		cmocka_unit_test(test_a_line_without_end_is_passed_over),
		cmocka_unit_test(test_times_are_those_of_the_hosts_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
