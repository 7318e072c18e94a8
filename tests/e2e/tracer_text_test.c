/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the programs measure of texts beyond the limit, in a stand-in server (fake_server.h), with
 * both ways to hang on sites. Needs root; not part of `make unit`.
 */
#include <sys/mman.h>
#include <xxhash.h>

#include "base/util.h"
#include "live/text_sum.h"
#include "tracer_fixture.h"

#define PIECE 16384

/* Around the limit, the bounds of pieces, blocks of 2 kB and stripes of 32 bytes, and of a run of
 * 256 pieces. */
static const size_t sizes[] = {
	WS_TEXT_MAX - 1,
	WS_TEXT_MAX,
	WS_TEXT_MAX + 1,
	WS_TEXT_MAX + 31,
	WS_TEXT_MAX + 32,
	WS_TEXT_MAX + 33,
	WS_TEXT_MAX + 2048,
	WS_TEXT_MAX + 2049,
	WS_TEXT_MAX + PIECE - 1,
	WS_TEXT_MAX + PIECE,
	WS_TEXT_MAX + PIECE + 1,
	256 * PIECE - 1,
	256 * PIECE,
	256 * PIECE + 1,
	512 * PIECE + 12345,
};
#define SIZE_MOST (512 * PIECE + 12345)

static char *make_text(void)
{
	char *text = malloc(SIZE_MOST + 1);
	uint32_t seed = 1;

	for (size_t i = 0; i <= SIZE_MOST; i++) {
		seed = seed * 1664525 + 1013904223;
		text[i] = (char)(seed >> 24 ? seed >> 24 : 1);
	}
	return text;
}

static void send_texts(void)
{
	char *text = make_text();

	for (size_t i = 0; i < WS_ARRAY_SIZE(sizes); i++) {
		char kept = text[sizes[i]];

		text[sizes[i]] = '\0';
		fake_COMMAND_START((long)text, 0, 0, 0, 0);
		fake_COMMAND_END(1, 0, 0, 0, 0);
		text[sizes[i]] = kept;
	}
}

/* Behind the first MiB no NUL, and then nothing at all. */
static void send_torn_text(void)
{
	size_t size = 2 * WS_TEXT_MAX;
	char *text = mmap(NULL, size + 4096, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	memset(text, 'x', size);
	munmap(text + size, 4096);
	fake_COMMAND_START((long)text, 0, 0, 0, 0);
	fake_COMMAND_END(1, 0, 0, 0, 0);
	fake_COMMAND_START((long)"next", 0, 0, 0, 0);
	fake_COMMAND_END(1, 0, 0, 0, 0);
}

/* The next record of this kind at or behind i, before the command's end; NULL if there is none. */
static const void *find(const struct fixture *f, size_t *i, uint16_t kind)
{
	for (; *i < f->count; (*i)++) {
		const struct ws_rec *h = (const void *)f->records[*i];

		if (h->kind == kind)
			return f->records[(*i)++];
		if (h->kind == WS_KIND_COMMAND_END)
			break;
	}
	return NULL;
}

static void lengths_and_hashes(enum ws_attach_method method)
{
	struct fixture *f = setup(method, 64 << 20);
	char *text = make_text();
	size_t at = 1;

	run(f, send_texts, true);
	check_numbers(f);
	for (size_t i = 0; i < WS_ARRAY_SIZE(sizes); i++) {
		const struct ws_rec_text_sum *sum = find(f, &at, WS_KIND_TEXT_SUM);

		if (sizes[i] <= WS_TEXT_MAX) {
			assert_null(sum);
		} else {
			assert_non_null(sum);
			assert_int_equal(sum->len, sizes[i]);
			assert_int_equal(ws_text_sum_end(sum).hash, XXH64(text, sizes[i], 0));
		}
		assert_non_null(find(f, &at, WS_KIND_COMMAND_END));
	}
	free(text);
	teardown(f);
}

static void multi_links_measure_lengths_and_hashes(void **state)
{
	(void)state;
	lengths_and_hashes(WS_ATTACH_AUTO);
}

static void perf_events_measure_lengths_and_hashes(void **state)
{
	(void)state;
	lengths_and_hashes(WS_ATTACH_PERF);
}

static void a_text_that_cannot_be_read_to_its_end_is_not_measured(void **state)
{
	struct fixture *f = setup(WS_ATTACH_AUTO, 0);
	uint16_t flags;
	size_t at = 1, len;

	(void)state;
	run(f, send_torn_text, true);
	check_numbers(f);
	record(f, at++, WS_KIND_COMMAND);
	for (size_t i = at; i < f->count; i++)
		assert_int_not_equal(((const struct ws_rec *)f->records[i])->kind,
				     WS_KIND_TEXT_SUM);
	at = read_text(f, at, &len, &flags);
	assert_int_equal(len, WS_TEXT_MAX);
	assert_int_equal(flags, WS_TEXT_LAST | WS_TEXT_TRUNCATED);
	teardown(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(multi_links_measure_lengths_and_hashes),
		cmocka_unit_test(perf_events_measure_lengths_and_hashes),
		cmocka_unit_test(a_text_that_cannot_be_read_to_its_end_is_not_measured),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
