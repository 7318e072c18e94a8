/* SPDX-License-Identifier: BSD-2-Clause */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "stats/hist.h"

/* xorshift64*: the same values on every machine. */
static uint64_t next_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545F4914F6CDD1DULL;
}

/* Random values of all magnitudes, not only of the largest. */
static uint64_t next_value(uint64_t *state)
{
	uint64_t shift = next_random(state) % 64;

	return next_random(state) >> shift;
}

static void assert_bucket_holds(uint64_t value)
{
	struct ws_hist hist = { 0 };
	struct ws_hist_bucket bucket;
	uint32_t cursor = 0;

	assert_int_equal(ws_hist_add(&hist, value), 0);
	assert_int_equal(ws_hist_next(&hist, &cursor, &bucket), 1);
	assert_int_equal(bucket.count, 1);
	assert_true(bucket.lo <= value && value <= bucket.hi);
	if (value < 256)
		assert_true(bucket.lo == bucket.hi);
	else
		assert_true(bucket.hi - bucket.lo < bucket.lo / 128 + 1);
	assert_int_equal(ws_hist_next(&hist, &cursor, &bucket), 0);
	assert_true(ws_hist_quantile(&hist, 0.5) == value);
	ws_hist_deinit(&hist);
}

static void a_bucket_holds_its_value_within_the_error_bound(void **state)
{
	uint64_t seed = 42;

	(void)state;
	for (int i = 0; i < 64; i++)
		for (int d = -1; d <= 1; d++)
			assert_bucket_holds((1ULL << i) + (uint64_t)d);
	for (int i = 0; i < 20000; i++)
		assert_bucket_holds(next_value(&seed));
	assert_bucket_holds(0);
	assert_bucket_holds(UINT64_MAX);
}

static void buckets_neither_overlap_nor_leave_a_gap(void **state)
{
	struct ws_hist hist = { 0 };
	struct ws_hist_bucket bucket;
	uint32_t cursor = 0;
	uint64_t next = 0;
	uint64_t buckets = 0;

	(void)state;
	/* The bounds of each bucket as seen from the last: all of them have to be reached. */
	while (1) {
		assert_int_equal(ws_hist_add(&hist, next), 0);
		cursor = 0;
		while (ws_hist_next(&hist, &cursor, &bucket))
			;
		assert_true(bucket.lo == next);
		buckets++;
		if (bucket.hi == UINT64_MAX)
			break;
		next = bucket.hi + 1;
		ws_hist_deinit(&hist);
	}
	ws_hist_deinit(&hist);
	assert_int_equal(buckets, 128 * 58);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void quantiles_agree_with_the_sorted_values(void **state)
{
	static const double qs[] = { 0, 0.001, 0.25, 0.5, 0.9, 0.99, 0.999, 1 };
	enum { N = 10000 };
	uint64_t *values = calloc(N, sizeof(*values));
	struct ws_hist hist = { 0 };
	uint64_t seed = 7;

	(void)state;
	assert_non_null(values);
	for (int i = 0; i < N; i++) {
		values[i] = next_value(&seed);
		assert_int_equal(ws_hist_add(&hist, values[i]), 0);
	}
	qsort(values, N, sizeof(*values), compare);
	for (size_t i = 0; i < sizeof(qs) / sizeof(qs[0]); i++) {
		size_t rank = (size_t)(qs[i] * N + 0.999999);
		uint64_t want = values[rank ? rank - 1 : 0];
		uint64_t got = ws_hist_quantile(&hist, qs[i]);
		uint64_t off = got > want ? got - want : want - got;

		assert_true(off <= want / 128);
	}
	assert_true(ws_hist_quantile(&hist, 0) == values[0]);
	assert_true(ws_hist_quantile(&hist, 1) == values[N - 1]);
	assert_true(hist.min == values[0] && hist.max == values[N - 1] && hist.count == N);
	ws_hist_deinit(&hist);
	free(values);
}

static void the_mean_is_that_of_the_values_not_of_the_buckets(void **state)
{
	struct ws_hist hist = { 0 };

	(void)state;
	assert_true(ws_hist_mean(&hist) == 0);
	ws_hist_add(&hist, 1000003);
	ws_hist_add(&hist, 2000005);
	assert_true(fabs(ws_hist_mean(&hist) - 1500004) < 1e-6);
	ws_hist_deinit(&hist);
}

static void assert_same(const struct ws_hist *a, const struct ws_hist *b)
{
	struct ws_hist_bucket x, y;
	uint32_t ca = 0, cb = 0;

	assert_true(a->count == b->count && a->min == b->min && a->max == b->max);
	assert_true(fabs(a->sum - b->sum) <= 1e-9 * b->sum);
	while (ws_hist_next(a, &ca, &x)) {
		assert_int_equal(ws_hist_next(b, &cb, &y), 1);
		assert_true(x.lo == y.lo && x.hi == y.hi && x.count == y.count);
	}
	assert_int_equal(ws_hist_next(b, &cb, &y), 0);
}

static void merging_equals_adding_all(void **state)
{
	uint64_t seed = 99;

	(void)state;
	for (int round = 0; round < 200; round++) {
		struct ws_hist a = { 0 }, b = { 0 }, all = { 0 };
		uint64_t n = next_random(&seed) % 40;

		for (uint64_t i = 0; i < n; i++) {
			uint64_t value = next_value(&seed);

			ws_hist_add(next_random(&seed) % 3 ? &a : &b, value);
			ws_hist_add(&all, value);
		}
		assert_int_equal(ws_hist_merge(&a, &b), 0);
		assert_same(&a, &all);
		ws_hist_deinit(&a);
		ws_hist_deinit(&b);
		ws_hist_deinit(&all);
	}
}

static void adding_n_equals_adding_n_times(void **state)
{
	struct ws_hist a = { 0 }, b = { 0 };

	(void)state;
	ws_hist_add_n(&a, 12345, 3);
	ws_hist_add_n(&a, 5, 0);
	for (int i = 0; i < 3; i++)
		ws_hist_add(&b, 12345);
	assert_same(&a, &b);
	ws_hist_deinit(&a);
	ws_hist_deinit(&b);
}

static uint64_t count_of(const struct ws_hist *hist, uint64_t value)
{
	struct ws_hist_bucket bucket;

	for (uint32_t cursor = 0; ws_hist_next(hist, &cursor, &bucket);)
		if (bucket.lo <= value && value <= bucket.hi)
			return bucket.count;
	return 0;
}

static void counts_have_no_limit(void **state)
{
	static const uint64_t steps[] = { UINT16_MAX - 1, 1, 1, UINT32_MAX - UINT16_MAX - 1, 1, 5,
					  UINT64_MAX / 4 };
	struct ws_hist hist = { 0 }, other = { 0 };
	uint64_t sum = 0;

	(void)state;
	ws_hist_add_n(&hist, 9, 3);
	for (size_t i = 0; i < WS_ARRAY_SIZE(steps); i++) {
		assert_int_equal(ws_hist_add_n(&hist, 77, steps[i]), 0);
		sum += steps[i];
		assert_int_equal(count_of(&hist, 77), sum);
		assert_int_equal(count_of(&hist, 9), 3);
		assert_int_equal(ws_hist_add_n(&other, 77, 1), 0);
	}
	assert_int_equal(ws_hist_merge(&other, &hist), 0);
	assert_int_equal(count_of(&other, 77), sum + WS_ARRAY_SIZE(steps));
	ws_hist_deinit(&hist);
	ws_hist_deinit(&other);
}

static void an_empty_histogram_answers_zero(void **state)
{
	struct ws_hist hist = { 0 };
	struct ws_hist_bucket bucket;
	uint32_t cursor = 0;

	(void)state;
	assert_int_equal(ws_hist_quantile(&hist, 0.5), 0);
	assert_int_equal(ws_hist_quantile(&hist, NAN), 0);
	assert_int_equal(ws_hist_next(&hist, &cursor, &bucket), 0);
	assert_int_equal(ws_hist_merge(&hist, &hist), 0);
	ws_hist_deinit(&hist);
}

static void memory_grows_with_the_range_only(void **state)
{
	struct ws_hist hist = { 0 };
	uint64_t seed = 3;

	(void)state;
	for (int i = 0; i < 100000; i++)
		ws_hist_add(&hist, 1024 + next_random(&seed) % 1024);
	assert_int_equal(hist.allocated, 128);
	ws_hist_add(&hist, UINT64_MAX);
	ws_hist_add(&hist, 0);
	assert_int_equal(hist.allocated, 128 * 58);
	assert_int_equal(hist.count, 100002);
	ws_hist_deinit(&hist);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bucket_holds_its_value_within_the_error_bound),
		cmocka_unit_test(buckets_neither_overlap_nor_leave_a_gap),
		cmocka_unit_test(quantiles_agree_with_the_sorted_values),
		cmocka_unit_test(the_mean_is_that_of_the_values_not_of_the_buckets),
		cmocka_unit_test(merging_equals_adding_all),
		cmocka_unit_test(adding_n_equals_adding_n_times),
		cmocka_unit_test(counts_have_no_limit),
		cmocka_unit_test(an_empty_histogram_answers_zero),
		cmocka_unit_test(memory_grows_with_the_range_only),
	};

	return cmocka_run_group_tests_name("hist", tests, NULL, NULL);
}
