/* SPDX-License-Identifier: BSD-2-Clause */
#include "trace/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>

#include "base/util.h"
#include "trace/header.h"

#define WINDOW	   (64 * 1024)
#define STORED_MAX ZSTD_COMPRESSBOUND(WS_DISK_PLAIN_MAX)
#define AREA_MAX   (WS_AREA_START + WS_DISK_RECORD_BYTES_MAX + 8 * WS_DISK_RECORDS_MAX)
#define WHAT	   "cannot read recording"

int ws_source_open(struct ws_source *source, const char *path, struct ws_error *err)
{
	struct stat st;
	int size;

	memset(source, 0, sizeof(*source));
	/* O_NONBLOCK: a FIFO is refused below, not waited for. */
	source->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (source->fd < 0 || fstat(source->fd, &st) < 0)
		return ws_error_errno(err, errno, WHAT, path);
	if (S_ISDIR(st.st_mode))
		return ws_error_set(err, WHAT, path, "it is a directory, not a recording");
	if (!S_ISREG(st.st_mode))
		return ws_error_set(err, WHAT, path, "it is not a regular file");
	source->path = strdup(path);
	source->window = malloc(WINDOW);
	source->stored = malloc(STORED_MAX);
	source->plain = malloc(WS_DISK_PLAIN_MAX);
	source->area = calloc(1, AREA_MAX);
	source->offset = calloc(WS_DISK_RECORDS_MAX, sizeof(*source->offset));
	source->decoder = ws_decoder_new(&source->columns);
	if (!source->path || !source->window || !source->stored || !source->plain ||
	    !source->area || !source->offset || !source->decoder)
		return ws_error_errno(err, ENOMEM, WHAT, path);
	size = ws_header_read(source->fd, path, &source->info, &source->file_id, &source->columns,
			      err);
	if (size < 0)
		return -1;
	source->at = (uint64_t)size;
	source->last_ns = source->announced_ns = source->info.start_mono_ns;
	return 0;
}

void ws_source_deinit(struct ws_source *source)
{
	if (source->fd >= 0)
		close(source->fd);
	ws_columns_deinit(&source->columns);
	free(source->path);
	free(source->window);
	free(source->stored);
	free(source->plain);
	free(source->area);
	free(source->offset);
	ws_decoder_free(source->decoder);
}

/* Up to `size` bytes at `at`, fewer only at the end of the file; -1 for an I/O error. */
static long read_at(struct ws_source *source, void *data, size_t size, uint64_t at,
		    struct ws_error *err)
{
	long got = ws_read_at(source->fd, data, size, at);

	return got < 0 ? ws_error_errno(err, errno, WHAT, source->path) : got;
}

/* A block is this file's next one only with a later number: copies of earlier ones are damage too.
 */
static bool is_next(const struct ws_source *source, const struct ws_disk_block *block)
{
	return block->sequence >= source->next_sequence && block->first_record >= source->accounted;
}

/*
 * Finds the next sound header at or behind *at. Returns 1 and its place, 0 if there is none, -1 for
 * an I/O error. The file may be as large as it likes: a window goes over it.
 */
static int find_header(struct ws_source *source, uint64_t *at, struct ws_disk_block *block,
		       struct ws_error *err)
{
	for (;;) {
		long got = read_at(source, source->window, WINDOW, *at, err);
		const char *from = source->window, *end, *hit;
		const uint32_t magic = WS_DISK_BLOCK_MAGIC;

		if (got < 0)
			return -1;
		end = from + got;
		while ((hit = memmem(from, (size_t)(end - from), &magic, sizeof(magic)))) {
			/* Too near the window's end to be judged: look again from there on. */
			if (end - hit < WS_DISK_BLOCK_HEADER_MAX && got == WINDOW &&
			    hit != source->window)
				break;
			if (ws_block_sound(hit, (size_t)(end - hit), source->file_id, block) &&
			    is_next(source, block)) {
				*at += (uint64_t)(hit - source->window);
				return 1;
			}
			from = hit + 1;
		}
		if (got < WINDOW)
			return 0;
		*at += hit ? (uint64_t)(hit - source->window) : WINDOW - (sizeof(magic) - 1);
	}
}

/* Most blocks stand where the one before ends. Returns as find_header(). */
static int expect_header(struct ws_source *source, uint64_t at, struct ws_disk_block *block,
			 struct ws_error *err)
{
	long got = read_at(source, source->window, WS_DISK_BLOCK_HEADER_MAX, at, err);

	if (got < 0)
		return -1;
	return ws_block_sound(source->window, (size_t)got, source->file_id, block) &&
	       is_next(source, block);
}

/* The records behind a sound header. Returns 1, 0 if they are not what it says, -1 on errors. */
static int read_records(struct ws_source *source, uint64_t at, const struct ws_disk_block *block,
			struct ws_error *err)
{
	long got =
		read_at(source, source->stored, block->stored_bytes, at + block->header_size, err);
	size_t plain;

	if (got < 0)
		return -1;
	if ((size_t)got < block->stored_bytes ||
	    XXH64(source->stored, block->stored_bytes, source->file_id) != block->content_hash)
		return 0;
	plain = ZSTD_decompress(source->plain, block->plain_bytes, source->stored,
				block->stored_bytes);
	if (ZSTD_isError(plain) || plain != block->plain_bytes)
		return 0;
	got = ws_decoder_run(source->decoder, source->plain, plain, block->records,
			     block->record_bytes, source->area, source->offset);
	if (got < 0)
		return ws_error_errno(err, ENOMEM, WHAT, source->path);
	source->count = got ? block->records : 0;
	return (int)got;
}

static void note_damage(struct ws_source *source, uint64_t at)
{
	if (!source->damaged++)
		source->damaged_at = at;
}

static void announce(struct ws_source *source, const struct ws_disk_block *block)
{
	uint64_t records = block->first_record + block->records;

	if (records > source->announced)
		source->announced = records;
	if (block->last_ns > source->announced_ns)
		source->announced_ns = block->last_ns;
}

/* Everything between what was accounted for and `upto` is missing. */
static void fill_gap(struct ws_source *source, struct ws_source_gap *gap, uint64_t upto,
		     uint64_t to_ns)
{
	gap->damaged = true;
	gap->lost = upto > source->accounted ? upto - source->accounted : 0;
	gap->from_ns = source->last_ns;
	gap->to_ns = to_ns > gap->from_ns ? to_ns : gap->from_ns;
	source->lost += gap->lost;
}

static void accept_block(struct ws_source *source, uint64_t at, const struct ws_disk_block *block)
{
	announce(source, block);
	source->at = at + block->header_size + block->stored_bytes;
	source->next_sequence = block->sequence + 1;
	source->accounted = block->first_record + block->records;
	source->last_ns = block->last_ns;
}

/* The next block that can be read, from *at on. Returns as ws_source_next(), *at is its place. */
static int find_block(struct ws_source *source, uint64_t *at, struct ws_disk_block *block,
		      struct ws_error *err)
{
	int rc = expect_header(source, *at, block, err);

	for (;;) {
		if (rc == 0)
			rc = find_header(source, at, block, err);
		if (rc <= 0)
			return rc;
		rc = read_records(source, *at, block, err);
		if (rc)
			return rc;
		announce(source, block);
		(*at)++; /* its length may be as wrong as its content: search, do not skip */
	}
}

int ws_source_next(struct ws_source *source, struct ws_source_gap *gap, struct ws_error *err)
{
	const uint64_t expected = source->at;
	struct ws_disk_block block;
	uint64_t at = expected;
	long got;
	char byte;
	int rc;

	memset(gap, 0, sizeof(*gap));
	source->count = 0;
	rc = find_block(source, &at, &block, err);
	if (rc < 0)
		return -1;
	if (rc == 0) {
		got = read_at(source, &byte, 1, expected, err);
		if (got <= 0)
			return (int)got;
		note_damage(source, expected);
		source->loss_unknown = source->announced == source->accounted;
		fill_gap(source, gap, source->announced, source->announced_ns);
		return 0;
	}
	/* Blocks may also be missing without a trace, cut out of the file. */
	if (at != expected || block.first_record != source->accounted)
		note_damage(source, expected);
	if (block.first_record != source->accounted)
		fill_gap(source, gap, block.first_record, block.first_ns);
	accept_block(source, at, &block);
	return 1;
}
