/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "event/schema.h"
#include "trace/header.h"
#include "../lib/recording.h"

/* What a reading gave, gaps made by the reader apart from what was written. */
struct reading {
	struct rec_list list; /* records; a torn gap is kept in its place */
	size_t gaps;
	uint64_t lost;
	bool torn;
	char why[256];
};

static bool is_torn_gap(const struct ws_rec *rec)
{
	/* Random gap records have sessions, the reader's have none. */
	return rec->kind == WS_KIND_GAP && !rec->pid && !rec->start_ns;
}

static void read_all(struct reading *reading, const struct recording *recording)
{
	struct ws_reader *reader;
	const struct ws_rec *rec;
	struct ws_error err;
	int rc;

	memset(reading, 0, sizeof(*reading));
	assert_int_equal(ws_reader_open(&reader, recording->path, &err), 0);
	while ((rc = ws_reader_next(reader, &rec, &err)) == 1) {
		assert_true(ws_rec_valid(rec, rec->size, NULL, 0));
		rec_list_add(&reading->list, rec);
		if (is_torn_gap(rec)) {
			const struct ws_rec_gap *gap = (const void *)rec;

			reading->gaps++;
			reading->lost += gap->lost;
			assert_int_equal(gap->cause, WS_GAP_TORN);
			assert_true(gap->from_ns <= gap->to_ns);
		}
	}
	assert_int_equal(rc, 0);
	assert_int_equal(ws_reader_next(reader, &rec, &err), 0);
	reading->torn = ws_reader_torn(reader, reading->why, sizeof(reading->why));
	assert_true(reading->torn == (reading->why[0] != '\0'));
	ws_reader_free(reader);
}

/* Records [from, to) of what was written come next in the reading, byte for byte. */
static size_t expect(const struct reading *reading, size_t at, const struct recording *recording,
		     size_t from, size_t to)
{
	for (; from < to; from++, at++) {
		const struct ws_rec *want = recording->written.rec[from];

		assert_true(at < reading->list.count);
		assert_int_equal(reading->list.rec[at]->size, want->size);
		assert_memory_equal(reading->list.rec[at], want, want->size);
	}
	return at;
}

static size_t expect_gap(const struct reading *reading, size_t at)
{
	assert_true(at < reading->list.count);
	assert_true(is_torn_gap(reading->list.rec[at]));
	return at + 1;
}

static size_t block_start(const struct recording *recording, size_t block)
{
	return block ? recording->block_end[block - 1] : 0;
}

static void test_a_whole_recording_is_not_torn(void **state)
{
	struct recording recording;
	struct reading reading;

	(void)state;
	recording_make(&recording, 10, 4, 50);
	read_all(&reading, &recording);
	assert_int_equal(expect(&reading, 0, &recording, 0, recording.written.count),
			 reading.list.count);
	assert_false(reading.torn);
	rec_list_deinit(&reading.list);
	recording_deinit(&recording);
}

static void test_a_cut_at_any_byte_leaves_the_whole_blocks(void **state)
{
	struct recording recording;
	struct reading reading;
	size_t size, blocks, at;

	(void)state;
	recording_make(&recording, 11, 3, 12);
	for (size = recording.block_at[recording.blocks - 2]; size < recording.size; size++) {
		recording_put(&recording, recording.bytes, size);
		read_all(&reading, &recording);
		for (blocks = 0; recording.block_at[blocks + 1] <= size;)
			blocks++;
		at = expect(&reading, 0, &recording, 0, block_start(&recording, blocks));
		if (recording.block_at[blocks] != size)
			at = expect_gap(&reading, at);
		assert_int_equal(at, reading.list.count);
		assert_true(reading.torn);
		assert_non_null(strstr(reading.why, "cut off"));
		rec_list_deinit(&reading.list);
	}
	recording_deinit(&recording);
}

static void test_a_cut_inside_a_block_tells_how_many_records_it_had(void **state)
{
	struct recording recording;
	struct reading reading;

	(void)state;
	recording_make(&recording, 12, 3, 30);
	recording_put(&recording, recording.bytes, recording.block_at[3] - 1);
	read_all(&reading, &recording);
	assert_int_equal(reading.gaps, 1);
	assert_int_equal(reading.lost, 30);
	rec_list_deinit(&reading.list);
	recording_deinit(&recording);
}

/* The block is left out, its loss is known exactly, and all others are there. */
static void expect_block_lost(const struct recording *recording, size_t block)
{
	struct reading reading;
	size_t at;

	read_all(&reading, recording);
	at = expect(&reading, 0, recording, 0, block_start(recording, block));
	at = expect_gap(&reading, at);
	at = expect(&reading, at, recording, recording->block_end[block], recording->written.count);
	assert_int_equal(at, reading.list.count);
	assert_int_equal(reading.lost, recording->block_end[block] - block_start(recording, block));
	assert_true(reading.torn);
	rec_list_deinit(&reading.list);
}

static void test_a_flipped_byte_costs_its_block_and_no_other(void **state)
{
	struct random_recs random = { .state = 99 };
	struct recording recording;
	uint64_t at;

	(void)state;
	recording_make(&recording, 13, 4, 10);
	for (at = recording.block_at[1]; at < recording.block_at[2]; at++) {
		char was = recording.bytes[at];

		recording.bytes[at] ^= (char)(1 << random_next(&random) % 8);
		recording_put(&recording, recording.bytes, recording.size);
		expect_block_lost(&recording, 1);
		recording.bytes[at] = was;
	}
	recording_deinit(&recording);
}

static void test_the_first_block_may_be_the_damaged_one(void **state)
{
	struct recording recording;

	(void)state;
	recording_make(&recording, 14, 3, 20);
	memset(recording.bytes + recording.block_at[0], 0xee, 40);
	recording_put(&recording, recording.bytes, recording.size);
	expect_block_lost(&recording, 0);
	recording_deinit(&recording);
}

/* Replaces bytes [from, to) of the file by others. */
static void splice(struct recording *recording, uint64_t from, uint64_t to, const void *with,
		   size_t size)
{
	struct ws_buf file = { 0 };

	ws_buf_add(&file, recording->bytes, from);
	ws_buf_add(&file, with, size);
	ws_buf_add(&file, recording->bytes + to, recording->size - to);
	recording_put(recording, file.data, file.len);
	ws_buf_deinit(&file);
}

static void test_a_block_cut_out_of_the_file_is_missed(void **state)
{
	struct recording recording;

	(void)state;
	recording_make(&recording, 15, 4, 20);
	splice(&recording, recording.block_at[1], recording.block_at[2], "", 0);
	expect_block_lost(&recording, 1);
	recording_deinit(&recording);
}

static void test_part_of_a_block_cut_out_costs_that_block(void **state)
{
	struct recording recording;

	(void)state;
	recording_make(&recording, 16, 4, 20);
	splice(&recording, recording.block_at[1] + 100, recording.block_at[2] - 100, "", 0);
	expect_block_lost(&recording, 1);
	recording_deinit(&recording);
}

static void expect_all_records_but_torn(const struct recording *recording)
{
	struct reading reading;

	read_all(&reading, recording);
	assert_int_equal(expect(&reading, 0, recording, 0, recording->written.count),
			 reading.list.count);
	assert_true(reading.torn);
	assert_non_null(strstr(reading.why, " 0 records are missing"));
	rec_list_deinit(&reading.list);
}

static void test_rubbish_between_blocks_is_passed_over(void **state)
{
	static const size_t sizes[] = { 1, 3, 4095, 65436, 65533, 65535, 65536, 65539, 300000 };
	struct random_recs random = { .state = 98 };
	struct recording recording;
	size_t i, k;

	(void)state;
	recording_make(&recording, 17, 3, 20);
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		char *rubbish = malloc(sizes[i]);

		/* Every other one full of what the search looks for. */
		for (k = 0; k < sizes[i]; k++)
			rubbish[k] = i % 2 && random_next(&random) % 4 ? "WSBK"[k % 4] : 'x';
		splice(&recording, recording.block_at[2], recording.block_at[2], rubbish, sizes[i]);
		expect_all_records_but_torn(&recording);
		free(rubbish);
	}
	recording_deinit(&recording);
}

static void test_a_block_that_comes_again_is_not_read_twice(void **state)
{
	struct recording recording;

	(void)state;
	recording_make(&recording, 18, 3, 20);
	splice(&recording, recording.block_at[2], recording.block_at[2],
	       recording.bytes + recording.block_at[0],
	       recording.block_at[1] - recording.block_at[0]);
	expect_all_records_but_torn(&recording);
	recording_deinit(&recording);
}

static void test_a_block_of_another_recording_is_not_taken(void **state)
{
	struct recording recording, other;

	(void)state;
	recording_make(&recording, 19, 3, 20);
	recording_make(&other, 20, 4, 20);
	/* In the place of block 1 the other one's block 1, of the same number and position. */
	splice(&recording, recording.block_at[1], recording.block_at[2],
	       other.bytes + other.block_at[1], other.block_at[2] - other.block_at[1]);
	expect_block_lost(&recording, 1);
	recording_deinit(&other);
	recording_deinit(&recording);
}

static void test_a_block_of_another_recording_does_not_count_as_lost(void **state)
{
	struct recording recording, other;
	struct reading reading;

	(void)state;
	recording_make(&recording, 24, 2, 20);
	recording_make(&other, 25, 5, 20);
	splice(&recording, recording.size, recording.size, other.bytes + other.block_at[4],
	       other.block_at[5] - other.block_at[4]);
	read_all(&reading, &recording);
	assert_int_equal(reading.gaps, 1);
	assert_int_equal(reading.lost, 0);
	assert_non_null(strstr(reading.why, "unknown number"));
	rec_list_deinit(&reading.list);
	recording_deinit(&other);
	recording_deinit(&recording);
}

/* A block whose header was changed by somebody who can make hashes. */
static void forge(struct recording *recording, size_t block, void (*change)(struct ws_disk_block *))
{
	char *at = recording->bytes + recording->block_at[block];
	struct ws_disk_file file;
	struct ws_disk_block head;

	memcpy(&file, recording->bytes, sizeof(file));
	memcpy(&head, at, sizeof(head));
	change(&head);
	memcpy(at, &head, sizeof(head));
	ws_block_seal(at, file.file_id);
	recording_put(recording, recording->bytes, recording->size);
}

static void more_records(struct ws_disk_block *block)
{
	block->records++;
	block->record_bytes += 32;
}

static void endless_records(struct ws_disk_block *block)
{
	block->records = UINT32_MAX;
	block->record_bytes = UINT32_MAX;
}

static void fewer_plain_bytes(struct ws_disk_block *block)
{
	block->plain_bytes--;
}

static void bomb(struct ws_disk_block *block)
{
	block->plain_bytes = WS_DISK_PLAIN_MAX + 1;
}

static void endless_content(struct ws_disk_block *block)
{
	block->stored_bytes = UINT32_MAX;
}

static void shorter_content(struct ws_disk_block *block)
{
	block->stored_bytes--;
}

static void endless_counts(struct ws_disk_block *block)
{
	block->counts = UINT16_MAX;
}

static void test_headers_with_sound_hashes_are_not_believed_either(void **state)
{
	static void (*const changes[])(struct ws_disk_block *) = {
		more_records,	 endless_records, fewer_plain_bytes, bomb,
		endless_content, shorter_content, endless_counts,
	};
	struct recording recording;
	struct reading reading;
	size_t i, at;

	(void)state;
	for (i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		recording_make(&recording, 21, 3, 20);
		forge(&recording, 1, changes[i]);
		read_all(&reading, &recording);
		at = expect(&reading, 0, &recording, 0, recording.block_end[0]);
		at = expect_gap(&reading, at);
		at = expect(&reading, at, &recording, recording.block_end[1],
			    recording.written.count);
		assert_int_equal(at, reading.list.count);
		rec_list_deinit(&reading.list);
		recording_deinit(&recording);
	}
}

static void test_a_recording_without_stop_was_cut_off(void **state)
{
	struct recording recording;
	struct reading reading;

	(void)state;
	recording_make(&recording, 22, 2, 20);
	recording_put(&recording, recording.bytes, recording.block_at[2]);
	read_all(&reading, &recording);
	assert_int_equal(reading.gaps, 0);
	assert_true(reading.torn);
	rec_list_deinit(&reading.list);
	recording_put(&recording, recording.bytes, recording.block_at[0]);
	read_all(&reading, &recording);
	assert_int_equal(reading.list.count, 0);
	assert_true(reading.torn);
	rec_list_deinit(&reading.list);
	recording_deinit(&recording);
}

static void test_random_damage_never_makes_a_record_up(void **state)
{
	struct random_recs random = { .state = 97 };
	struct recording recording;
	struct reading reading;
	int round, flips;
	size_t i, k;

	(void)state;
	recording_make(&recording, 23, 6, 25);
	for (round = 0; round < 300; round++) {
		char *copy = malloc(recording.size);

		memcpy(copy, recording.bytes, recording.size);
		for (flips = 0; flips < 1 + round % 20; flips++) {
			uint64_t from = recording.block_at[0];

			copy[from + random_next(&random) % (recording.size - from)] =
				(char)random_next(&random);
		}
		recording_put(&recording, copy, recording.size - random_next(&random) % 200);
		free(copy);
		read_all(&reading, &recording);
		/* What came out is what was written, in order, with parts left out. */
		for (i = 0, k = 0; i < reading.list.count; i++) {
			const struct ws_rec *rec = reading.list.rec[i];

			if (is_torn_gap(rec))
				continue;
			while (k < recording.written.count &&
			       (recording.written.rec[k]->size != rec->size ||
				memcmp(recording.written.rec[k], rec, rec->size)))
				k++;
			assert_true(k++ < recording.written.count);
		}
		rec_list_deinit(&reading.list);
	}
	recording_deinit(&recording);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_whole_recording_is_not_torn),
		cmocka_unit_test(test_a_cut_at_any_byte_leaves_the_whole_blocks),
		cmocka_unit_test(test_a_cut_inside_a_block_tells_how_many_records_it_had),
		cmocka_unit_test(test_a_flipped_byte_costs_its_block_and_no_other),
		cmocka_unit_test(test_the_first_block_may_be_the_damaged_one),
		cmocka_unit_test(test_a_block_cut_out_of_the_file_is_missed),
		cmocka_unit_test(test_part_of_a_block_cut_out_costs_that_block),
		cmocka_unit_test(test_rubbish_between_blocks_is_passed_over),
		cmocka_unit_test(test_a_block_that_comes_again_is_not_read_twice),
		cmocka_unit_test(test_a_block_of_another_recording_is_not_taken),
		cmocka_unit_test(test_a_block_of_another_recording_does_not_count_as_lost),
		cmocka_unit_test(test_headers_with_sound_hashes_are_not_believed_either),
		cmocka_unit_test(test_a_recording_without_stop_was_cut_off),
		cmocka_unit_test(test_random_damage_never_makes_a_record_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
