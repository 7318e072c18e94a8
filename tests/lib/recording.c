/* SPDX-License-Identifier: BSD-2-Clause */
#include "recording.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/util.h"

const struct ws_trace_info recording_info = {
	.level = 2,
	.ticks_per_s = 100,
	.start_mono_ns = 1000000,
	.start_wall_ns = 1795000000000000000,
	.version = "0.0-test",
	.boot_id = "11111111-2222-3333-4444-555555555555",
	.host = "a.host",
};

void rec_list_add(struct rec_list *list, const struct ws_rec *rec)
{
	struct ws_rec **slot = ws_array_grow(&list->rec, &list->count, &list->cap, sizeof(*slot));

	assert_non_null(slot);
	*slot = malloc(rec->size);
	assert_non_null(*slot);
	memcpy(*slot, rec, rec->size);
}

void rec_list_deinit(struct rec_list *list)
{
	size_t i;

	for (i = 0; i < list->count; i++)
		free(list->rec[i]);
	free(list->rec);
	memset(list, 0, sizeof(*list));
}

char *file_bytes(const char *path, size_t *size)
{
	ws_autofclose FILE *f = fopen(path, "r");
	char *bytes;
	long end;

	assert_non_null(f);
	fseek(f, 0, SEEK_END);
	end = ftell(f);
	assert_true(end >= 0);
	rewind(f);
	bytes = malloc((size_t)end + 1);
	*size = fread(bytes, 1, (size_t)end, f);
	assert_int_equal(*size, end);
	return bytes;
}

static void end_block(struct recording *recording, struct ws_writer *writer, uint64_t now_ns)
{
	assert_int_equal(ws_writer_tick(writer, now_ns + 2000000000, NULL), 0);
	recording->block_end[recording->blocks++] = recording->written.count;
	recording->block_at[recording->blocks] = ws_writer_bytes(writer);
}

void recording_make(struct recording *recording, uint64_t seed, size_t blocks, size_t each)
{
	struct random_recs random = { .state = seed, .time_ns = 5000000000 };
	struct ws_rec_stop stop = { .h = { .size = sizeof(stop), .kind = WS_KIND_STOP } };
	struct ws_writer *writer;
	union random_rec rec;
	size_t i, k;

	memset(recording, 0, sizeof(*recording));
	strcpy(recording->dir, "/tmp/walscope-test.XXXXXX");
	assert_non_null(mkdtemp(recording->dir));
	snprintf(recording->path, sizeof(recording->path), "%s/a.wst", recording->dir);
	assert_int_equal(ws_writer_new(&writer, recording->path, &recording_info, NULL), 0);
	recording->block_at[0] = ws_writer_bytes(writer);
	for (i = 0; i < blocks; i++) {
		for (k = 0; k < each; k++) {
			random_rec(&random, &rec);
			if (rec.h.kind == WS_KIND_STOP)
				rec.h.kind = 3333;
			assert_int_equal(ws_writer_add(writer, &rec.h, NULL), 0);
			rec_list_add(&recording->written, &rec.h);
		}
		end_block(recording, writer, random.time_ns);
	}
	stop.h.time_ns = random.time_ns;
	assert_int_equal(ws_writer_add(writer, &stop.h, NULL), 0);
	rec_list_add(&recording->written, &stop.h);
	end_block(recording, writer, random.time_ns);
	assert_int_equal(ws_writer_close(writer, NULL), 0);
	recording->bytes = file_bytes(recording->path, &recording->size);
	assert_int_equal(recording->size, recording->block_at[recording->blocks]);
}

void recording_put(const struct recording *recording, const void *bytes, size_t size)
{
	ws_autofclose FILE *f = fopen(recording->path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, size, f), size);
}

void recording_deinit(struct recording *recording)
{
	unlink(recording->path);
	rmdir(recording->dir);
	rec_list_deinit(&recording->written);
	free(recording->bytes);
}
