/* SPDX-License-Identifier: BSD-2-Clause */
#include "trace/source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <zstd.h>

#include "base/util.h"
#include "trace/header.h"
#include "trace/index.h"

#define WINDOW	   (64 * 1024)
#define STORED_MAX ZSTD_COMPRESSBOUND(WS_DISK_PLAIN_MAX)
#define AREA_MAX   (WS_AREA_START + WS_DISK_RECORD_BYTES_MAX + 8 * WS_DISK_RECORDS_MAX)
#define WHAT	   "cannot read recording"

static void note_damage(struct ws_source *source, uint64_t at)
{
	if (!source->damaged++)
		source->damaged_at = at;
}

int ws_source_open(struct ws_source *source, const struct ws_segment_file *file,
		   const struct ws_source_want *want, struct ws_error *err)
{
	struct ws_header_repair repair = file->repair;
	int size;

	memset(source, 0, sizeof(*source));
	source->fd = file->fd;
	source->path = file->path;
	source->limit = file->limit;
	source->want = *want;
	source->first_ns = UINT64_MAX;
	source->window = malloc(WINDOW);
	source->stored = malloc(STORED_MAX);
	source->plain = malloc(WS_DISK_PLAIN_MAX);
	source->area = calloc(1, AREA_MAX);
	source->offset = calloc(WS_DISK_RECORDS_MAX, sizeof(*source->offset));
	source->decoder = ws_decoder_new(&source->columns);
	if (!source->window || !source->stored || !source->plain || !source->area ||
	    !source->offset || !source->decoder)
		return ws_error_errno(err, ENOMEM, WHAT, file->path);
	size = ws_header_read(source->fd, file->path, &source->info, &source->file_id,
			      &source->columns, &repair, err);
	if (size < 0)
		return -1;
	if (repair.made)
		note_damage(source, repair.at);
	source->at = (uint64_t)size;
	source->last_ns = source->announced_ns = source->info.start_mono_ns;
	return 0;
}

void ws_source_deinit(struct ws_source *source)
{
	ws_columns_deinit(&source->columns);
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
	long got;

	if (at >= source->limit)
		return 0;
	if (size > source->limit - at)
		size = (size_t)(source->limit - at);
	got = ws_read_at(source->fd, data, size, at);
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
		       struct ws_block_index *index, struct ws_error *err)
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
				ws_block_index(hit, block, index);
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
			 struct ws_block_index *index, struct ws_error *err)
{
	long got = read_at(source, source->window, WS_DISK_BLOCK_HEADER_MAX, at, err);

	if (got < 0)
		return -1;
	if (!ws_block_sound(source->window, (size_t)got, source->file_id, block) ||
	    !is_next(source, block))
		return 0;
	ws_block_index(source->window, block, index);
	return 1;
}

bool ws_source_wants_pid(const struct ws_source_want *want, uint32_t pid)
{
	size_t low = 0, high = want->of.pid_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (want->of.pids[middle] == pid)
			return true;
		if (want->of.pids[middle] < pid)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

struct ws_source_want ws_source_want(const struct ws_reader_want *of)
{
	struct ws_source_want want = { .of = *of, .kinds = of->kinds };

	for (uint16_t kind = 0; kind < WS_KIND_MAX; kind++)
		if (!ws_index_is_session_kind(kind) && (kind != WS_KIND_CLUSTER || of->clusters))
			ws_kinds_add(&want.kinds, kind);
	return want;
}

/* Has the block records of kinds that are wanted, whose ever they are? (The header has the clocks.)
 */
static bool has_kind(const struct ws_source *source, const struct ws_block_index *index,
		     const struct ws_disk_block *block)
{
	/* The counts stand in front of the index. */
	const char *at = index->clock - sizeof(struct ws_disk_index) -
			 block->counts * sizeof(struct ws_disk_count);

	for (unsigned int i = 0; i < block->counts; i++, at += sizeof(struct ws_disk_count)) {
		struct ws_disk_count count;

		memcpy(&count, at, sizeof(count));
		if (count.kind >= WS_KIND_MAX ||
		    (count.kind != WS_KIND_CLOCK && ws_kinds_have(&source->want.kinds, count.kind)))
			return true;
	}
	return false;
}

static bool has_pid(const struct ws_source *source, const struct ws_block_index *index)
{
	for (unsigned int i = 0; i < index->pids; i++) {
		uint32_t pid;

		memcpy(&pid, index->pid + i * sizeof(pid), sizeof(pid));
		if (ws_source_wants_pid(&source->want, pid))
			return true;
	}
	return false;
}

/* What of a block has to be looked at, by what its header says. */
enum need { NEED_NOTHING, NEED_KINDS, NEED_ALL };

static enum need need_of(const struct ws_source *source, const struct ws_disk_block *block,
			 const struct ws_block_index *index)
{
	const struct ws_source_want *want = &source->want;

	if (index->flags & WS_DISK_INDEX_CHECKPOINT)
		return want->checkpoints ? NEED_ALL : NEED_NOTHING;
	if (!(index->flags & WS_DISK_INDEX_COMPLETE) || !want->of.narrow || has_pid(source, index))
		return NEED_ALL;
	return has_kind(source, index, block) ? NEED_KINDS : NEED_NOTHING;
}

/* The clocks of a block that is passed over, as records. */
static void take_clocks(struct ws_source *source, const struct ws_block_index *index)
{
	size_t at = WS_AREA_START;

	source->count = 0;
	if (index->flags & WS_DISK_INDEX_CHECKPOINT)
		return;
	for (unsigned int i = 0; i < index->clocks; i++) {
		struct ws_rec_clock rec = { .h = { .size = sizeof(rec), .kind = WS_KIND_CLOCK } };
		struct ws_disk_clock clock;

		if (source->count == WS_DISK_RECORDS_MAX)
			return;
		memcpy(&clock, index->clock + i * sizeof(clock), sizeof(clock));
		rec.h.time_ns = clock.mono_ns;
		rec.wall_ns = clock.wall_ns;
		rec.boot_ns = clock.boot_ns;
		memcpy(source->area + at, &rec, sizeof(rec));
		source->offset[source->count++] = (uint32_t)at;
		at += WS_AREA_ALIGN(sizeof(rec));
	}
}

/* A block that is not looked at must be there all the same. 1, 0, -1 as read_records(). */
static int pass_over(struct ws_source *source, uint64_t at, const struct ws_disk_block *block,
		     const struct ws_block_index *index, struct ws_error *err)
{
	char byte;
	long got;

	take_clocks(source, index);
	got = read_at(source, &byte, 1, at + block->header_size + block->stored_bytes - 1, err);
	if (got > 0)
		source->passed++;
	return got < 0 ? -1 : got > 0;
}

/* Of other kinds the area has no more than the head. */
static void leave_out(struct ws_source *source, const struct ws_kinds *only)
{
	size_t kept = 0;

	for (size_t i = 0; i < source->count; i++) {
		const struct ws_rec *rec = (const void *)(source->area + source->offset[i]);

		if (ws_kinds_have(only, rec->kind))
			source->offset[kept++] = source->offset[i];
	}
	source->count = kept;
}

/* The records behind a sound header, of these kinds alone (NULL: of all). Returns 1, 0 if they are
 * not what it says, -1 on errors. */
static int read_records(struct ws_source *source, uint64_t at, const struct ws_disk_block *block,
			const struct ws_kinds *only, struct ws_error *err)
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
			     block->record_bytes, only, source->area, source->offset);
	if (got < 0)
		return ws_error_errno(err, ENOMEM, WHAT, source->path);
	source->count = got ? block->records : 0;
	if (only)
		leave_out(source, only);
	source->decoded += got > 0;
	return (int)got;
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

static void accept_block(struct ws_source *source, uint64_t at, const struct ws_disk_block *block,
			 const struct ws_block_index *index)
{
	bool repeats = index->flags & WS_DISK_INDEX_CHECKPOINT;

	if (repeats)
		source->repeated += block->records;
	if ((!repeats || source->want.checkpoints) && block->first_ns < source->first_ns)
		source->first_ns = block->first_ns;
	source->last = index->flags & WS_DISK_INDEX_LAST;

	announce(source, block);
	source->at = at + block->header_size + block->stored_bytes;
	source->next_sequence = block->sequence + 1;
	source->accounted = block->first_record + block->records;
	source->last_ns = block->last_ns;
}

/* The next block that can be read, from *at on. Returns as ws_source_next(), *at is its place. */
static int find_block(struct ws_source *source, uint64_t *at, struct ws_disk_block *block,
		      struct ws_block_index *index, struct ws_error *err)
{
	int rc = expect_header(source, *at, block, index, err);
	enum need need;

	for (;;) {
		if (rc == 0)
			rc = find_header(source, at, block, index, err);
		if (rc <= 0)
			return rc;
		need = need_of(source, block, index);
		rc = need == NEED_NOTHING
			     ? pass_over(source, *at, block, index, err)
			     : read_records(source, *at, block,
					    need == NEED_ALL ? NULL : &source->want.kinds, err);
		if (rc)
			return rc;
		announce(source, block);
		(*at)++; /* its length may be as wrong as its content: search, do not skip */
	}
}

int ws_source_next(struct ws_source *source, struct ws_source_gap *gap, struct ws_error *err)
{
	const uint64_t expected = source->at;
	struct ws_block_index index = { 0 };
	struct ws_disk_block block;
	uint64_t at = expected;
	long got;
	char byte;
	int rc;

	memset(gap, 0, sizeof(*gap));
	source->count = 0;
	rc = find_block(source, &at, &block, &index, err);
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
	accept_block(source, at, &block, &index);
	return 1;
}
