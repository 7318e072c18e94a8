/* SPDX-License-Identifier: BSD-2-Clause */
/* Texts, times and buffers of base/, with what a hostile or careless hand gives them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/text.h"
#include "base/util.h"

static void an_lsn_is_two_hexadecimal_numbers(void **state)
{
	static const char *const wrong[] = { "",     "1",    "/1",	    "1/",	  "1/2/3",
					     "-1/0", "0/-1", "0/ 1",	    "0x1/0",	  "0/0x1",
					     "1/2 ", "G/0",  "123456789/0", "0/123456789" };
	char text[WS_LSN_TEXT];
	uint64_t lsn;

	(void)state;
	assert_true(ws_lsn_parse("16/B374D848", &lsn));
	assert_int_equal(lsn, 0x16B374D848);
	assert_string_equal(ws_lsn_format(lsn, text), "16/B374D848");
	assert_true(ws_lsn_parse("FFFFFFFF/ffffffff", &lsn));
	assert_int_equal(lsn, UINT64_MAX);
	for (size_t i = 0; i < WS_ARRAY_SIZE(wrong); i++)
		assert_false(ws_lsn_parse(wrong[i], &lsn));
}

static void a_time_is_read_with_any_offset(void **state)
{
	int64_t ns;

	(void)state;
	assert_true(ws_time_parse("1970-01-01T00:00:01Z", &ns));
	assert_int_equal(ns, 1000000000);
	assert_true(ws_time_parse("1970-01-01T02:00:00.000000001+02:00", &ns));
	assert_int_equal(ns, 1);
	assert_true(ws_time_parse("1969-12-31 22:30:00.5-01:30", &ns));
	assert_int_equal(ns, 500000000);
	assert_true(ws_time_parse("1970-01-01T00:00:00", &ns)); /* local: UTC in main */
	assert_int_equal(ns, 0);
	assert_true(ws_time_parse("1970-01-01T00:01", &ns));
	assert_int_equal(ns, 60000000000);
	assert_true(ws_time_parse("1970-01-01T00:01-00:01", &ns));
	assert_int_equal(ns, 120000000000);
}

static void what_is_no_time_is_refused(void **state)
{
	static const char *const wrong[] = {
		"",
		"1970-01-01",
		"1970-01-01T00",
		"1970-01-01T00:",
		"1970-01-01T00:00:",
		"1970-01-01T00:00.5",
		"1970-13-01T00:00:00Z",
		"1970-01-01T00:00:00Zulu",
		"1970-01-01T00:00:00+1",
		"1970-01-01T00:00:00+24:00",
		"1970-01-01T00:00:00+00:60",
		"1970-01-01T00:00:00+-1:00",
		"1970-01-01T00:00:00+00:00 ",
	};
	int64_t ns;

	(void)state;
	for (size_t i = 0; i < WS_ARRAY_SIZE(wrong); i++)
		assert_false(ws_time_parse(wrong[i], &ns));
}

static void a_time_beyond_the_clock_is_refused(void **state)
{
	int64_t ns;

	(void)state;
	assert_true(ws_time_parse("2262-04-11T23:47:16Z", &ns));
	assert_false(ws_time_parse("2262-04-11T23:47:17Z", &ns));
	assert_false(ws_time_parse("9999-12-31T23:59:59", &ns));
	assert_true(ws_time_parse("1677-09-21T00:12:44Z", &ns));
	assert_false(ws_time_parse("0001-01-01T00:00:00+00:00", &ns));
}

static void durations_have_units(void **state)
{
	static const char *const wrong[] = { "", "s", "-1s", "1 s", "1w", "nan", "inf", "1e30" };
	uint64_t ns;

	(void)state;
	assert_true(ws_duration_parse("10", &ns));
	assert_int_equal(ns, 10000000000);
	assert_true(ws_duration_parse("1.5m", &ns));
	assert_int_equal(ns, 90000000000);
	assert_true(ws_duration_parse("7ns", &ns));
	assert_int_equal(ns, 7);
	for (size_t i = 0; i < WS_ARRAY_SIZE(wrong); i++)
		assert_false(ws_duration_parse(wrong[i], &ns));
}

static void what_a_terminal_would_obey_is_escaped(void **state)
{
	static const char in[] = "a\x1b[2J\n\\\xc2\x9b\xe2\x80\xae\xc3\xa4\xff";
	char out[64];

	(void)state;
	ws_text_escape(in, sizeof(in) - 1, out, sizeof(out));
	assert_string_equal(out, "a\\x1b[2J\\n\\\\\\xc2\\x9b\\xe2\\x80\\xae\xc3\xa4\\xff");
	/* a cut keeps characters and escapes whole */
	assert_int_equal(ws_text_escape("ab\xc3\xa4", 4, out, 4), 2);
	assert_int_equal(ws_text_escape("ab\n", 3, out, 4), 2);
	assert_int_equal(ws_text_escape("ab", 2, out, 0), 0);
}

static void what_is_not_seen_is_escaped(void **state)
{
	/* U+00AD, U+061C, U+180E, U+200B, U+2069, U+FEFF, U+E0041; U+00E9, U+200A and U+1F418 stay.
	 */
	static const char *const unseen[] = { "\xc2\xad",	 "\xd8\x9c",	 "\xe1\xa0\x8e",
					      "\xe2\x80\x8b",	 "\xe2\x81\xa9", "\xef\xbb\xbf",
					      "\xf3\xa0\x81\x81" };
	static const char *const seen[] = { "\xc3\xa9", "\xe2\x80\x8a", "\xf0\x9f\x90\x98" };
	char out[64];

	(void)state;
	for (size_t i = 0; i < WS_ARRAY_SIZE(unseen); i++) {
		assert_int_equal(ws_text_escape(unseen[i], strlen(unseen[i]), out, sizeof(out)),
				 4 * strlen(unseen[i]));
		assert_int_equal(out[0], '\\');
	}
	for (size_t i = 0; i < WS_ARRAY_SIZE(seen); i++) {
		ws_text_escape(seen[i], strlen(seen[i]), out, sizeof(out));
		assert_string_equal(out, seen[i]);
	}
}

static void a_buffer_refuses_what_no_memory_holds(void **state)
{
	struct ws_buf buf = { 0 };

	(void)state;
	assert_int_equal(ws_buf_addstr(&buf, "kept"), 0);
	assert_int_equal(ws_buf_reserve(&buf, SIZE_MAX), -1);
	assert_int_equal(ws_buf_reserve(&buf, SIZE_MAX - 4), -1);
	assert_int_equal(ws_buf_reserve(&buf, SIZE_MAX / 2 + 1), -1);
	assert_string_equal(buf.data, "kept");
	ws_buf_deinit(&buf);
}

static void a_cut_text_ends_behind_its_last_whole_character(void **state)
{
	static const struct {
		const char *text;
		size_t whole;
	} cases[] = {
		{ "", 0 },
		{ "abc", 3 },
		{ "a\xc3\xa9", 3 },
		{ "a\xc3", 1 },
		{ "a\xe2\x82\xac", 4 },
		{ "a\xe2\x82", 1 },
		{ "a\xe2", 1 },
		{ "a\xe0", 1 },
		{ "a\xf0\x9f\x90\x98", 5 },
		{ "a\xf0\x9f\x90", 1 },
		{ "a\xf0\x9f", 1 },
		{ "a\xf0", 1 },
		{ "\xed\x95", 0 },
		/* What no character begins with stays. */
		{ "a\xa9", 2 },
		{ "a\xff", 2 },
		{ "\x80\x80\x80\x80", 4 },
	};

	(void)state;
	for (size_t i = 0; i < WS_ARRAY_SIZE(cases); i++)
		assert_int_equal(ws_text_utf8_whole(cases[i].text, strlen(cases[i].text)),
				 cases[i].whole);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_lsn_is_two_hexadecimal_numbers),
		cmocka_unit_test(a_time_is_read_with_any_offset),
		cmocka_unit_test(what_is_no_time_is_refused),
		cmocka_unit_test(a_time_beyond_the_clock_is_refused),
		cmocka_unit_test(durations_have_units),
		cmocka_unit_test(what_a_terminal_would_obey_is_escaped),
		cmocka_unit_test(what_is_not_seen_is_escaped),
		cmocka_unit_test(a_buffer_refuses_what_no_memory_holds),
		cmocka_unit_test(a_cut_text_ends_behind_its_last_whole_character),
	};

	setenv("TZ", "UTC", 1);
	tzset();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
