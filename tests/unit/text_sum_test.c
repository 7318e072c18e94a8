/* SPDX-License-Identifier: BSD-2-Clause */
/* The hash of long texts, in its two halves, against libxxhash. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include <cmocka.h>

#include "live/text_sum.h"
#include "xxh64.h"

#define BYTES_MAX 70000

/* What the programs do: whole stripes, from the first byte on. */
static void stripes(const uint8_t *data, size_t len, __u64 lanes[4])
{
	ws_xxh64_begin(lanes);
	for (size_t at = 0; at + WS_XXH64_STRIPE <= len; at += WS_XXH64_STRIPE) {
		for (size_t i = 0; i < 4; i++) {
			__u64 in;

			memcpy(&in, data + at + 8 * i, sizeof(in));
			lanes[i] = ws_xxh64_round(lanes[i], in);
		}
	}
}

static uint8_t *some_bytes(size_t len)
{
	uint8_t *data = malloc(len);
	uint32_t seed = 12345;

	assert_non_null(data);
	for (size_t i = 0; i < len; i++) {
		seed = seed * 1664525 + 1013904223;
		data[i] = (uint8_t)(seed >> 24);
	}
	return data;
}

static void hash_is_that_of_libxxhash_for_every_length(void **state)
{
	uint8_t *data = some_bytes(BYTES_MAX);
	__u64 lanes[4];

	(void)state;
	for (size_t len = WS_XXH64_STRIPE; len < BYTES_MAX; len += len < 4096 ? 1 : 61) {
		stripes(data, len, lanes);
		assert_int_equal(ws_xxh64_end(lanes, len, data + len / 32 * 32),
				 XXH64(data, len, 0));
	}
	free(data);
}

static void record_is_kept_in_its_short_form(void **state)
{
	struct ws_rec_text_sum wire = { .h = { .size = sizeof(wire),
					       .kind = WS_KIND_TEXT_SUM,
					       .pid = 7,
					       .seq = 9,
					       .flags = WS_TEXT_SUM_HASH },
					.of = WS_TEXT_COMMAND,
					.len = 1000 };
	uint8_t *data = some_bytes(1000);
	struct ws_rec_text_sum kept;

	(void)state;
	stripes(data, 1000, wire.lanes);
	memcpy(wire.tail, data + 1000 / 32 * 32, 1000 % 32);
	kept = ws_text_sum_end(&wire);
	assert_int_equal(kept.h.size, WS_TEXT_SUM_SIZE);
	assert_int_equal(kept.h.pid, 7);
	assert_int_equal(kept.h.seq, 9);
	assert_int_equal(kept.len, 1000);
	assert_int_equal(kept.hash, XXH64(data, 1000, 0));
	assert_int_equal(kept.lanes[0], 0);
	assert_int_equal(kept.tail[0], 0);
	wire.h.flags = 0;
	assert_int_equal(ws_text_sum_end(&wire).hash, 0);
	free(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hash_is_that_of_libxxhash_for_every_length),
		cmocka_unit_test(record_is_kept_in_its_short_form),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
