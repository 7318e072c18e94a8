/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "event/schema.h"
#include "trace/columns.h"
#include "trace/numbers.h"
#include "../lib/random_rec.h"

#define MANY 300

/* A block's records in memory, coded and decoded without a file. */
struct fixture {
	struct ws_columns columns;
	struct ws_encoder *encoder;
	struct ws_decoder *decoder;
	char *area, *back;
	uint32_t offset[MANY], back_offset[MANY];
	size_t count, bytes, used;
	struct ws_buf content;
	struct ws_cuts cuts;
};

static void fixture_init(struct fixture *f)
{
	f->encoder = ws_encoder_new(&f->columns);
	f->decoder = ws_decoder_new(&f->columns);
	f->area = calloc(1, WS_AREA_START + MANY * WS_REC_SIZE_MAX);
	f->back = calloc(1, WS_AREA_START + MANY * WS_REC_SIZE_MAX);
	f->used = WS_AREA_START;
}

static void fixture_deinit(struct fixture *f)
{
	ws_encoder_free(f->encoder);
	ws_decoder_free(f->decoder);
	ws_columns_deinit(&f->columns);
	free(f->area);
	free(f->back);
	ws_buf_deinit(&f->content);
	free(f->cuts.at);
}

static void add(struct fixture *f, const struct ws_rec *rec)
{
	memcpy(f->area + f->used, rec, rec->size);
	f->offset[f->count++] = (uint32_t)f->used;
	f->used += WS_AREA_ALIGN(rec->size);
	f->bytes += rec->size;
}

static void encode(struct fixture *f)
{
	assert_int_equal(
		ws_encoder_run(f->encoder, f->area, f->offset, f->count, &f->content, &f->cuts), 0);
}

static int decode(struct fixture *f, const void *content, size_t size)
{
	return ws_decoder_run(f->decoder, content, size, f->count, f->bytes, NULL, f->back,
			      f->back_offset);
}

static void expect_alone(struct fixture *f, uint16_t kind)
{
	struct ws_kinds only = { 0 };

	ws_kinds_add(&only, kind);
	assert_int_equal(ws_decoder_run(f->decoder, f->content.data, f->content.len, f->count,
					f->bytes, &only, f->back, f->back_offset),
			 1);
	for (size_t i = 0; i < f->count; i++) {
		const struct ws_rec *want = (const void *)(f->area + f->offset[i]);
		const struct ws_rec *got = (const void *)(f->back + f->back_offset[i]);

		assert_memory_equal(got, want, want->kind == kind ? want->size : 4);
	}
}

static void expect_back(struct fixture *f)
{
	size_t i;

	assert_int_equal(decode(f, f->content.data, f->content.len), 1);
	for (i = 0; i < f->count; i++) {
		const struct ws_rec *want = (const void *)(f->area + f->offset[i]);
		const struct ws_rec *got = (const void *)(f->back + f->back_offset[i]);

		assert_int_equal(got->size, want->size);
		assert_memory_equal(got, want, want->size);
	}
	for (uint16_t kind = 1; kind < WS_KIND_MAX; kind++)
		expect_alone(f, kind);
}

static void test_numbers_of_any_size_come_back(void **state)
{
	struct random_recs random = { .state = 1 };
	uint64_t in[700], used[700], out[700];
	size_t sparse = 0;
	struct ws_buf buf = { 0 };
	struct ws_cuts cuts = { 0 };
	struct ws_cursor cursor;
	unsigned int round;
	size_t count, i;

	(void)state;
	for (round = 0; round < 2000; round++) {
		count = random_next(&random) % WS_ARRAY_SIZE(in);
		for (i = 0; i < count; i++)
			in[i] = round % 7 == 0
					? round
					: random_next(&random) >> round % 65 % 64 >> round / 65 % 2;
		for (i = 0; i < count && round % 3 == 0; i++)
			in[i] = random_next(&random) % (2 + round % 20) ? in[i] : 0;
		ws_buf_clear(&buf);
		memcpy(used, in, sizeof(in));
		assert_int_equal(ws_numbers_put(&buf, &cuts, used, count), 0);
		sparse += buf.len && buf.data[0] == WS_NUMBERS_SPARSE;
		cursor = (struct ws_cursor){ (uint8_t *)buf.data, (uint8_t *)buf.data + buf.len };
		assert_int_equal(ws_numbers_get(&cursor, out, count), 0);
		assert_true(cursor.at == cursor.end);
		assert_memory_equal(in, out, count * sizeof(*in));
		cursor = (struct ws_cursor){ (uint8_t *)buf.data, (uint8_t *)buf.data + buf.len };
		assert_int_equal(ws_numbers_skip(&cursor, count), 0);
		assert_true(cursor.at == cursor.end);
		/* A byte short is not enough. */
		if (buf.len) {
			cursor = (struct ws_cursor){ (uint8_t *)buf.data,
						     (uint8_t *)buf.data + buf.len - 1 };
			assert_int_equal(ws_numbers_get(&cursor, out, count), -1);
			cursor.at = (uint8_t *)buf.data;
			assert_int_equal(ws_numbers_skip(&cursor, count), -1);
		}
	}
	assert_true(sparse > 200);
	ws_buf_deinit(&buf);
	free(cuts.at);
}

static void test_zigzag_turns_small_differences_into_small_numbers(void **state)
{
	(void)state;
	assert_int_equal(ws_zigzag(0, 8), 0);
	assert_int_equal(ws_zigzag((uint64_t)-1, 8), 1);
	assert_int_equal(ws_zigzag(1, 8), 2);
	/* 3 - 250 in a byte is 9. */
	assert_int_equal(ws_zigzag(3 - 250, 1), 18);
	assert_int_equal(ws_unzigzag(18), 9);
	assert_int_equal(ws_unzigzag(1), UINT64_MAX);
	assert_true(ws_unzigzag(ws_zigzag(INT64_MIN, 8)) == (uint64_t)INT64_MIN);
}

static void test_the_schema_describes_all_kinds_for_the_columns(void **state)
{
	struct ws_columns columns;
	size_t count, i;

	(void)state;
	ws_kinds(&count);
	assert_int_equal(ws_columns_from_schema(&columns), 0);
	assert_int_equal(columns.count, count);
	for (i = 0; i < count; i++) {
		const struct ws_kind_info *info = &ws_kinds(&count)[i];

		assert_non_null(ws_columns_find(&columns, info->kind, info->min_size));
		assert_non_null(ws_columns_find(&columns, info->kind, info->max_size));
		if (info->sizes[0])
			assert_null(ws_columns_find(&columns, info->kind, info->min_size + 1));
	}
	assert_null(ws_columns_find(&columns, 50, 64));
	assert_null(ws_columns_find(&columns, 5000, 64));
	ws_columns_deinit(&columns);
}

static void test_the_description_comes_back(void **state)
{
	struct ws_columns columns, parsed;
	struct ws_buf first = { 0 }, second = { 0 };
	const char *why;

	(void)state;
	assert_int_equal(ws_columns_from_schema(&columns), 0);
	assert_int_equal(ws_columns_write(&columns, &first), 0);
	assert_int_equal(
		ws_columns_parse(&parsed, first.data, first.len, (uint32_t)columns.count, &why), 0);
	assert_int_equal(ws_columns_write(&parsed, &second), 0);
	assert_int_equal(first.len, second.len);
	assert_memory_equal(first.data, second.data, first.len);
	ws_columns_deinit(&columns);
	ws_columns_deinit(&parsed);
	ws_buf_deinit(&first);
	ws_buf_deinit(&second);
}

static void fill_random(struct fixture *f, uint64_t seed, size_t count)
{
	struct random_recs random = { .state = seed };
	union random_rec rec = { 0 };

	assert_int_equal(ws_columns_from_schema(&f->columns), 0);
	fixture_init(f);
	while (f->count < count) {
		random_rec(&random, &rec);
		add(f, &rec.h);
	}
	encode(f);
}

static void test_known_kinds_of_odd_sizes_are_carried(void **state)
{
	struct random_recs random = { .state = 5 };
	struct fixture f = { 0 };
	union random_rec rec = { 0 };

	(void)state;
	assert_int_equal(ws_columns_from_schema(&f.columns), 0);
	fixture_init(&f);
	while (f.count < MANY) {
		random_rec_of(&random, &rec, f.count % 2 ? WS_KIND_TURN : WS_KIND_NOTE);
		if (f.count % 3 == 0) /* as of a version that appended to it, or that was torn */
			rec.h.size = (uint16_t)(32 + random_next(&random) % 300);
		add(&f, &rec.h);
	}
	encode(&f);
	expect_back(&f);
	fixture_deinit(&f);
}

/* What a later version may write: an unknown kind with columns of its own, a longer turn. */
static void test_records_of_a_later_schema_come_back(void **state)
{
	struct fixture f = { 0 };
	struct random_recs random = { .state = 6 };
	struct ws_columns later;
	struct ws_columns_kind *turn;
	struct ws_buf disk = { 0 };
	union random_rec rec = { 0 };
	const char *why;
	unsigned int i;

	(void)state;
	assert_int_equal(ws_columns_from_schema(&later), 0);
	turn = &later.kind[later.index[WS_KIND_TURN] - 1];
	turn->disk.kind = 90; /* as good as unknown: the decoder asks the description alone */
	turn->disk.long_size += 8;
	for (i = turn->short_columns; i < turn->disk.columns; i++) {
		if (turn->column[i].offset == offsetof(struct ws_rec_turn, reply_time_us))
			turn->column[i] = (struct ws_disk_column){
				.offset = turn->column[i].offset,
				.arg = 16,
				.predict = WS_PREDICT_BYTES,
			};
	}
	assert_int_equal(ws_columns_write(&later, &disk), 0);
	assert_int_equal(
		ws_columns_parse(&f.columns, disk.data, disk.len, (uint32_t)later.count, &why), 0);
	fixture_init(&f);
	while (f.count < MANY) {
		random_rec_of(&random, &rec, 90);
		rec.h.size = f.count % 3 ? WS_TURN_SHORT_SIZE : sizeof(struct ws_rec_turn) + 8;
		memset(rec.bytes + 300, 0, sizeof(rec) - 300);
		add(&f, &rec.h);
	}
	encode(&f);
	expect_back(&f);
	ws_columns_deinit(&later);
	ws_buf_deinit(&disk);
	fixture_deinit(&f);
}

static void test_content_cut_at_any_byte_is_refused(void **state)
{
	struct fixture f = { 0 };
	size_t size;

	(void)state;
	fill_random(&f, 7, 40);
	expect_back(&f);
	for (size = 0; size < f.content.len; size++) {
		char *copy = malloc(size ? size : 1); /* of this size, for ASan */

		memcpy(copy, f.content.data, size);
		assert_int_equal(decode(&f, copy, size), 0);
		free(copy);
	}
	assert_int_equal(ws_buf_add(&f.content, "x", 1), 0);
	assert_int_equal(decode(&f, f.content.data, f.content.len), 0);
	fixture_deinit(&f);
}

/* Hashes do not stop whoever means harm: content that was made up must not do any. */
static void test_content_with_changed_bytes_does_no_harm(void **state)
{
	struct random_recs random = { .state = 96 };
	struct fixture f = { 0 };
	int round, changes, refused = 0;
	size_t i;

	(void)state;
	fill_random(&f, 8, 60);
	for (round = 0; round < 20000; round++) {
		ws_autofree char *copy = malloc(f.content.len);
		size_t range = round % 2 ? f.content.len : 200; /* the layout is in front */

		memcpy(copy, f.content.data, f.content.len);
		for (changes = 0; changes < 1 + round % 4; changes++)
			copy[random_next(&random) % range] = (char)random_next(&random);
		if (decode(&f, copy, f.content.len) != 1) {
			refused++;
			continue;
		}
		for (i = 0; i < f.count; i++) {
			const struct ws_rec *rec = (const void *)(f.back + f.back_offset[i]);

			assert_true(f.back_offset[i] >= WS_AREA_START);
			assert_true(f.back_offset[i] + rec->size <=
				    WS_AREA_START + f.bytes + 8 * f.count);
			ws_rec_valid(rec, rec->size, NULL, 0);
		}
	}
	assert_true(refused > 1000 && refused < 20000);
	fixture_deinit(&f);
}

static void test_descriptions_with_changed_bytes_do_no_harm(void **state)
{
	struct random_recs random = { .state = 95 };
	struct fixture f = { 0 };
	struct ws_buf disk = { 0 };
	struct ws_columns sound;
	const char *why;
	int round, refused = 0;

	(void)state;
	fill_random(&f, 9, 60);
	sound = f.columns;
	assert_int_equal(ws_columns_write(&sound, &disk), 0);
	for (round = 0; round < 20000; round++) {
		ws_autofree char *copy = malloc(disk.len);

		memcpy(copy, disk.data, disk.len);
		copy[random_next(&random) % disk.len] = (char)random_next(&random);
		if (round % 2)
			copy[random_next(&random) % disk.len] ^= 1;
		if (ws_columns_parse(&f.columns, copy, disk.len - (round % 5 ? 0 : round % 100),
				     (uint32_t)sound.count, &why)) {
			assert_non_null(why);
			refused++;
			continue;
		}
		decode(&f, f.content.data, f.content.len);
		ws_columns_deinit(&f.columns);
	}
	assert_true(refused > 1000 && refused < 20000);
	f.columns = sound;
	ws_buf_deinit(&disk);
	fixture_deinit(&f);
}

static void expect_refused(const struct ws_disk_kind *kind, const struct ws_disk_column *column,
			   const char *reason)
{
	struct ws_columns columns;
	struct ws_buf disk = { 0 };
	const char *why = NULL;

	ws_buf_add(&disk, kind, sizeof(*kind));
	ws_buf_add(&disk, column, sizeof(*column));
	assert_int_equal(ws_columns_parse(&columns, disk.data, disk.len, 1, &why), -1);
	if (!strstr(why, reason))
		fail_msg("'%s' does not say '%s'", why, reason);
	ws_buf_deinit(&disk);
}

static void test_impossible_descriptions_are_refused(void **state)
{
	const struct ws_disk_kind kind = { .kind = 90, .short_size = 48, .columns = 1 };
	const struct ws_disk_column column = { .offset = 40, .width = 8, .arg = 32 };
	struct ws_disk_kind k;
	struct ws_disk_column c;

	(void)state;
	k = kind, k.kind = WS_KIND_MAX, expect_refused(&k, &column, "number");
	k = kind, k.short_size = 31, expect_refused(&k, &column, "sizes");
	k = kind, k.short_size = WS_REC_SIZE_MAX + 1, expect_refused(&k, &column, "sizes");
	k = kind, k.long_size = 48, expect_refused(&k, &column, "sizes");
	k = kind, k.columns = 2, expect_refused(&k, &column, "cut short");
	c = column, c.offset = 41, expect_refused(&kind, &c, "outside");
	c = column, c.offset = 0, expect_refused(&kind, &c, "outside"); /* the record's size */
	c = column, c.predict = WS_PREDICT_COUNT, expect_refused(&kind, &c, "outside");
	c = column, c.width = 3, expect_refused(&kind, &c, "width");
	c = column, c.width = 0, expect_refused(&kind, &c, "width");
	c = column, c.predict = WS_PREDICT_FIELD, c.arg = 41, expect_refused(&kind, &c, "refers");
	c = column, c.predict = WS_PREDICT_PREV_FIELD, c.arg = UINT16_MAX,
	expect_refused(&kind, &c, "refers");
	c = column, c.predict = WS_PREDICT_BYTES, c.width = 0, c.arg = 9,
	expect_refused(&kind, &c, "outside");
	c = column, c.predict = WS_PREDICT_PART, c.width = 4, expect_refused(&kind, &c, "parts");
	/* Neither wholly in front of nor wholly behind the short size. */
	k = kind, k.long_size = 64, c = column, c.offset = 44, expect_refused(&k, &c, "outside");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers_of_any_size_come_back),
		cmocka_unit_test(test_zigzag_turns_small_differences_into_small_numbers),
		cmocka_unit_test(test_the_schema_describes_all_kinds_for_the_columns),
		cmocka_unit_test(test_the_description_comes_back),
		cmocka_unit_test(test_known_kinds_of_odd_sizes_are_carried),
		cmocka_unit_test(test_records_of_a_later_schema_come_back),
		cmocka_unit_test(test_content_cut_at_any_byte_is_refused),
		cmocka_unit_test(test_content_with_changed_bytes_does_no_harm),
		cmocka_unit_test(test_descriptions_with_changed_bytes_do_no_harm),
		cmocka_unit_test(test_impossible_descriptions_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
