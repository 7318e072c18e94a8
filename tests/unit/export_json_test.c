/* SPDX-License-Identifier: BSD-2-Clause */
/* Numbers on their way into JSON. (What whole objects look like, golden_test has.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_rounded_to_the_step),
		cmocka_unit_test(numbers_beyond_counting_stay_as_they_are),
	};

	return cmocka_run_group_tests_name("export/json", tests, NULL, NULL);
}
