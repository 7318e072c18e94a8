/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "session/machine.h"

static bool match(const char *pattern, const char *text)
{
	return ws_pattern_matches(pattern, text, strlen(text), 7);
}

static void plain_text_is_matched_whole(void **state)
{
	(void)state;
	assert_true(match("IDENTIFY_SYSTEM", "IDENTIFY_SYSTEM"));
	assert_false(match("IDENTIFY_SYSTEM", "IDENTIFY_SYSTEM "));
	assert_false(match("IDENTIFY_SYSTEM", "IDENTIFY_SYSTE"));
	assert_false(match("IDENTIFY_SYSTEM", "identify_system"));
	assert_false(match("IDENTIFY_SYSTEM", ""));
	assert_true(match("", ""));
	assert_true(match("COPY *", "COPY "));
	assert_true(match("COPY *", "COPY a\nb"));
}

static void each_sign_stands_for_its_kind_of_word(void **state)
{
	static const struct {
		const char *pattern, *yes[4], *no[6];
	} cases[] = {
		{ "%d", { "0", "4294967295" }, { "", "x", "1x", "-1" } },
		{ "%p", { "7", "07" }, { "", "8", "77" } },
		{ "%l",
		  { "0/0", "1A/3000000", "0/03000000", "FFFFFFFF/FFFFFFFF" },
		  { "0", "0/", "/0", "00/0", "a/b", "0/123456789" } },
		{ "\"%q\"", { "\"a\"", "\"a b\"" }, { "\"\"", "\"a", "a\"", "\"a\"b\"" } },
		{ "%n", { "a_1", "\"a b\"", "\xc3\xa4" }, { "", "\"\"", "a b", "a-b", "\"a" } },
		{ "%y",
		  { "pg_1_sync_2_3", "sub_1_sync_2", "a_sync_1_sync_2",
		    "pg_1_sync_2_7244000000000000000" },
		  { "pg_1_sync_", "pg_sync_2", "1_sync_2", "pg_1_sync_2_", "pg_1_sync_2_3_4",
		    "pg_1_sync" } },
		{ "x %y WAIT", { "x pg_1_sync_2_3 WAIT" }, { "x pg_1_sync_2_3WAIT" } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t j = 0; j < 4 && cases[i].yes[j]; j++)
			if (!match(cases[i].pattern, cases[i].yes[j]))
				fail_msg("%s is no %s", cases[i].yes[j], cases[i].pattern);
		for (size_t j = 0; j < 6 && cases[i].no[j]; j++)
			if (match(cases[i].pattern, cases[i].no[j]))
				fail_msg("%s is %s", cases[i].no[j], cases[i].pattern);
	}
}

static void any_process_id_will_do_where_it_is_not_known(void **state)
{
	(void)state;
	assert_true(ws_pattern_matches("a_%p", "a_99", 4, 0));
	assert_false(ws_pattern_matches("a_%p", "a_", 2, 0));
}

/* A word that goes on to the end of the memory, without a NUL behind it. */
static void nothing_is_read_behind_the_text(void **state)
{
	static const char *const patterns[] = { "%d", "%p", "%l",	  "%q",
						"%n", "%y", "1/1_sync_1", "\"%q\"" };
	static const char *const texts[] = { "1",   "1/1",	 "a",  "a_1_sync_1",
					     "\"a", "a_1_sync_", "1/", "\"" };

	(void)state;
	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
		for (size_t j = 0; j < sizeof(texts) / sizeof(texts[0]); j++) {
			size_t len = strlen(texts[j]);
			char *exact = malloc(len);

			memcpy(exact, texts[j], len);
			ws_pattern_matches(patterns[i], exact, len, 0);
			free(exact);
		}
	}
	assert_false(ws_pattern_matches("%n", NULL, 0, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_text_is_matched_whole),
		cmocka_unit_test(each_sign_stands_for_its_kind_of_word),
		cmocka_unit_test(any_process_id_will_do_where_it_is_not_known),
		cmocka_unit_test(nothing_is_read_behind_the_text),
	};

	return cmocka_run_group_tests_name("pattern", tests, NULL, NULL);
}
