/* SPDX-License-Identifier: BSD-2-Clause */
/* Numbers that only a recording has which somebody made up: printed without overflow (SAN=1 sees
 * one). What whole outputs look like, golden_test has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "export/export.h"
#include "export/json.h"

static double real(double value, double step)
{
	json_t *number = ws_json_real(value, step);
	double seen;

	assert_non_null(number);
	seen = json_real_value(number);
	json_decref(number);
	return seen;
}

static void numbers_are_rounded_to_the_step(void **state)
{
	(void)state;
	assert_true(real(0, 1e-3) == 0);
	assert_true(real(1.23449, 1e-3) == 1234 * 1e-3);
	assert_true(real(1.2345, 1e-3) == 1235 * 1e-3);
}

/* The mean of a recording that somebody made up. */
static void numbers_beyond_counting_stay_as_they_are(void **state)
{
	(void)state;
	assert_true(real(4.4e17, 1e-3) == 4.4e17);
	assert_true(real((double)UINT64_MAX, 1e-3) == (double)UINT64_MAX);
}

/* What a view prints of one session that was in one state for all of time, to be freed. */
static char *print(const struct ws_format *format, enum ws_view view)
{
	struct ws_session session = { .pid = 1, .end_ns = UINT64_MAX };
	const struct ws_segment segment = { .state = WS_STATE_WAIT_WAL,
					    .end_ns = UINT64_MAX,
					    .bytes = UINT64_MAX };
	struct ws_export_options options = { .screen = { .width = 80 }, .to_ns = UINT64_MAX };
	struct ws_hist hist = { 0 };
	struct ws_export ex;
	char *text = NULL;
	size_t size;

	options.out = open_memstream(&text, &size);
	assert_non_null(options.out);
	assert_int_equal(ws_hist_add_n(&hist, UINT64_MAX, 3), 0);
	session.state_ns[WS_STATE_WAIT_WAL] = UINT64_MAX;
	assert_int_equal(ws_export_begin(&ex, format, view, &options), 0);
	if (view == WS_VIEW_TIMELINE)
		assert_int_equal(ws_export_segment(&ex, &session, &segment), 0);
	else
		assert_int_equal(ws_export_hist(&ex, &session, WS_METRIC_SEND_NS, &hist), 0);
	assert_int_equal(ws_export_end(&ex), 0);
	ws_export_release(&ex);
	ws_hist_deinit(&hist);
	fclose(options.out);
	return text;
}

static void a_timeline_of_all_time_is_full_from_end_to_end(void **state)
{
	ws_autofree char *text = print(&ws_format_text, WS_VIEW_TIMELINE);
	ws_autofree char *json = print(&ws_format_json, WS_VIEW_TIMELINE);
	const char *strip = strstr(text, "state  ");

	(void)state;
	assert_non_null(strip);
	strip += strlen("state  ");
	assert_true(strspn(strip, "-") > 20);
	assert_int_equal(strip[strspn(strip, "-")], '\n');
	assert_non_null(strstr(json, "\"duration_ns\":null")); /* JSON's integers have 63 bits */
}

static void a_histogram_of_the_largest_number_has_it_for_its_mean(void **state)
{
	ws_autofree char *text = print(&ws_format_text, WS_VIEW_HIST);
	ws_autofree char *json = print(&ws_format_json, WS_VIEW_HIST);
	const char *max = strstr(text, "  max "), *mean = strstr(text, "  mean ");

	(void)state;
	assert_non_null(max);
	assert_non_null(mean);
	assert_memory_equal(max + strlen("  max "), mean + strlen("  mean "),
			    strcspn(mean + strlen("  mean "), "\n"));
	assert_non_null(strstr(json, "\"count\":3,"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_rounded_to_the_step),
		cmocka_unit_test(numbers_beyond_counting_stay_as_they_are),
		cmocka_unit_test(a_timeline_of_all_time_is_full_from_end_to_end),
		cmocka_unit_test(a_histogram_of_the_largest_number_has_it_for_its_mean),
	};

	return cmocka_run_group_tests_name("export/extremes", tests, NULL, NULL);
}
