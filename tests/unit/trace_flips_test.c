/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is kept in tests/fixtures of the newest version of the format, cut at each byte of its last
 * blocks and with each byte changed, a file alone and a segment of a directory: whatever is told is
 * what was recorded, in its order, and that something is missing is said.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../lib/recording.h"
#include "base/util.h"
#include "trace/format.h"

#define FILE_NAME "tests/fixtures/recording-v2.wst"
#define DIRECTORY "tests/fixtures/flight-v2"

static const char *const segments[] = { "flight-0000000001.wst", "flight-0000000002.wst",
					"flight-0000000003.wst" };

struct fixture {
	char dir[32];
	char damaged[80]; /* what is changed ... */
	char path[80];	  /* ... and what is read: that, or its directory */
	char *bytes;
	size_t size;
	struct rec_list told;	  /* of what is whole */
	struct rec_list repeated; /* told by the segment behind if what is changed is not */
	bool torn;		  /* what was read last */
};

static void put(const char *path, const void *bytes, size_t size)
{
	ws_autofclose FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, size, f), size);
}

static void read_whole(const char *path, struct rec_list *told)
{
	struct ws_reader *reader;
	const struct ws_rec *rec;

	assert_int_equal(ws_reader_open(&reader, path, NULL), 0);
	while (ws_reader_next(reader, &rec, NULL) > 0)
		rec_list_add(told, rec);
	assert_false(ws_reader_torn(reader, NULL, 0));
	ws_reader_free(reader);
}

static bool same(const struct ws_rec *a, const struct ws_rec *b)
{
	return a->size == b->size && !memcmp(a, b, a->size);
}

/* From this one on; the list's length if it is not there. */
static size_t find(const struct rec_list *list, size_t from, const struct ws_rec *rec)
{
	while (from < list->count && !same(list->rec[from], rec))
		from++;
	return from;
}

static void copy_file(struct fixture *f)
{
	snprintf(f->dir, sizeof(f->dir), "/tmp/walscope-flips.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->damaged, sizeof(f->damaged), "%s/recording.wst", f->dir);
	snprintf(f->path, sizeof(f->path), "%s", f->damaged);
	f->bytes = file_bytes(FILE_NAME, &f->size);
	put(f->path, f->bytes, f->size);
	read_whole(f->path, &f->told);
	assert_true(f->told.count > 100);
}

/* The one in the middle is the one that is changed. */
static void copy_directory(struct fixture *f)
{
	static const char last[] = DIRECTORY "/flight-0000000003.wst";
	struct rec_list alone = { 0 };

	snprintf(f->dir, sizeof(f->dir), "/tmp/walscope-flips.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s", f->dir);
	for (size_t i = 0; i < WS_ARRAY_SIZE(segments); i++) {
		char from[80];

		snprintf(from, sizeof(from), DIRECTORY "/%s", segments[i]);
		snprintf(f->damaged, sizeof(f->damaged), "%s/%s", f->dir, segments[i]);
		free(f->bytes);
		f->bytes = file_bytes(from, &f->size);
		put(f->damaged, f->bytes, f->size);
	}
	free(f->bytes);
	snprintf(f->damaged, sizeof(f->damaged), "%s/%s", f->dir, segments[1]);
	f->bytes = file_bytes(f->damaged, &f->size);
	read_whole(f->path, &f->told);
	read_whole(last, &alone);
	for (size_t i = 0; i < alone.count; i++)
		if (find(&f->told, 0, alone.rec[i]) == f->told.count)
			rec_list_add(&f->repeated, alone.rec[i]);
	assert_true(f->told.count > 100 && f->repeated.count > 2);
	rec_list_deinit(&alone);
}

static void release(struct fixture *f)
{
	char path[80];

	for (size_t i = 0; i < WS_ARRAY_SIZE(segments); i++) {
		snprintf(path, sizeof(path), "%s/%s", f->dir, segments[i]);
		unlink(path);
	}
	unlink(f->damaged);
	rmdir(f->dir);
	rec_list_deinit(&f->told);
	rec_list_deinit(&f->repeated);
	free(f->bytes);
}

static bool is_gap(const struct ws_rec *rec)
{
	return rec->kind == WS_KIND_GAP && ((const struct ws_rec_gap *)rec)->cause == WS_GAP_TORN;
}

/* Whatever is told was there, in this order; returns how much of it was not told. */
static size_t expect_part(struct fixture *f)
{
	struct ws_reader *reader;
	const struct ws_rec *rec;
	size_t at = 0, told = 0;
	int rc;

	f->torn = true;
	if (ws_reader_open(&reader, f->path, NULL))
		return f->told.count;
	while ((rc = ws_reader_next(reader, &rec, NULL)) > 0) {
		if (is_gap(rec) || find(&f->repeated, 0, rec) < f->repeated.count)
			continue;
		at = find(&f->told, at, rec);
		assert_true(at++ < f->told.count);
		told++;
	}
	assert_int_equal(rc, 0);
	f->torn = ws_reader_torn(reader, NULL, 0);
	assert_true(f->torn || told == f->told.count);
	ws_reader_free(reader);
	return f->told.count - told;
}

static size_t header_size(const struct fixture *f)
{
	uint32_t size;

	memcpy(&size, f->bytes + offsetof(struct ws_disk_file, header_size), sizeof(size));
	assert_in_range(size, sizeof(struct ws_disk_file), f->size);
	return size;
}

/* Returns how much was not told. */
static size_t flip(struct fixture *f, size_t at, char bits)
{
	size_t missing;

	f->bytes[at] ^= bits;
	put(f->damaged, f->bytes, f->size);
	missing = expect_part(f);
	f->bytes[at] ^= bits;
	return missing;
}

/* Of those behind the header. Returns for how many something was missing. */
static size_t flip_each_byte(struct fixture *f)
{
	size_t missed = 0;

	for (size_t at = header_size(f); at < f->size; at++)
		missed += flip(f, at, (char)(1 << at % 8)) > 0;
	return missed;
}

static void each_changed_byte_of_a_recording_is_noticed(void **state)
{
	struct fixture f = { 0 };

	(void)state;
	copy_file(&f);
	assert_int_equal(flip_each_byte(&f), f.size - header_size(&f));
	release(&f);
}

static void expect_header_repaired(struct fixture *f, size_t at, char bits)
{
	assert_int_equal(flip(f, at, bits), 0);
	assert_true(f->torn);
}

/* Of the columns, which most of it are, some: what is looked for last takes longest. */
static void a_changed_byte_of_a_header_costs_nothing_and_is_told(void **state)
{
	struct fixture f = { 0 };

	(void)state;
	copy_file(&f);
	for (size_t at = 0; at < header_size(&f); at += at < sizeof(struct ws_disk_file) ? 1 : 5)
		expect_header_repaired(&f, at, (char)(1 << at % 8));
	/* Not a bit of it is right. */
	for (size_t at = 0; at < sizeof(struct ws_disk_file); at += 5)
		expect_header_repaired(&f, at, (char)0xff);
	release(&f);
}

static void two_changed_bytes_of_a_header_are_an_error(void **state)
{
	struct fixture f = { 0 };
	struct ws_reader *reader;
	struct ws_error err;

	(void)state;
	copy_file(&f);
	f.bytes[40] ^= 1;
	f.bytes[300] ^= 1;
	put(f.damaged, f.bytes, f.size);
	assert_int_equal(ws_reader_open(&reader, f.path, &err), -1);
	assert_string_equal(err.why, "its header is damaged (wrong checksum)");
	release(&f);
}

static void each_changed_byte_of_a_segment_is_noticed(void **state)
{
	struct fixture f = { 0 };

	(void)state;
	copy_directory(&f);
	/* What it repeats at its start is not needed, and not looked at. */
	assert_in_range(flip_each_byte(&f), (f.size - header_size(&f)) / 4,
			f.size - header_size(&f));
	for (size_t at = 0; at < header_size(&f); at += 50)
		expect_header_repaired(&f, at, 1);
	release(&f);
}

/* Where the last two blocks begin. */
static size_t last_blocks(const struct fixture *f)
{
	const uint32_t magic = WS_DISK_BLOCK_MAGIC;
	const char *at = f->bytes, *last = NULL, *before = NULL;

	while ((at = memmem(at, (size_t)(f->bytes + f->size - at), &magic, sizeof(magic)))) {
		before = last;
		last = at++;
	}
	assert_non_null(before);
	return (size_t)(before - f->bytes);
}

static void a_cut_at_each_byte_of_the_last_two_blocks_is_noticed(void **state)
{
	struct fixture f = { 0 };
	size_t before = 0;

	(void)state;
	copy_file(&f);
	for (size_t size = last_blocks(&f); size < f.size; size++) {
		put(f.damaged, f.bytes, size);
		if (!before)
			before = expect_part(&f);
		assert_in_range(expect_part(&f), 1, before);
	}
	release(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_changed_byte_of_a_recording_is_noticed),
		cmocka_unit_test(a_changed_byte_of_a_header_costs_nothing_and_is_told),
		cmocka_unit_test(two_changed_bytes_of_a_header_are_an_error),
		cmocka_unit_test(each_changed_byte_of_a_segment_is_noticed),
		cmocka_unit_test(a_cut_at_each_byte_of_the_last_two_blocks_is_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
