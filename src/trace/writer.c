/* SPDX-License-Identifier: BSD-2-Clause */
/* Records into blocks, and blocks into the file (out.h). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>

#include "base/util.h"
#include "trace/header.h"
#include "trace/index.h"
#include "trace/out.h"
#include "trace/writer.h"

/* A block is closed when its records have this many bytes, or the oldest one is this old. */
#define BLOCK_BYTES (512 * 1024)
#define BLOCK_NS    1000000000ULL
#define ZSTD_LEVEL  1 /* more finds matches in noise, and is larger */
/* Classes of the coding: a kind with odd sizes makes two. */
#define BLOCK_KINDS (WS_DISK_KINDS_MAX / 2)

_Static_assert(BLOCK_BYTES + WS_REC_SIZE_MAX <= WS_DISK_RECORD_BYTES_MAX, "readers take it");

/* What could not be written since the last block that was. */
struct unwritten {
	uint64_t records; /* and those that gaps among them stand for */
	uint64_t from_ns, to_ns;
	struct ws_rec_server *servers; /* what follows refers to them: written again */
	size_t server_count, server_cap;
};

struct ws_writer {
	struct ws_out file;
	const struct ws_log *log;
	const char *shown; /* what it calls the file */
	uint64_t file_id;

	struct ws_columns columns;
	struct ws_encoder *encoder;
	ZSTD_CCtx *zstd;
	struct ws_buf content, out;
	struct ws_cuts cuts;

	struct unwritten unwritten;
	uint64_t missing; /* all that was not written */

	/* Of a flight recorder. */
	struct ws_room room;
	uint64_t idle_ns;
	bool repeats, repeats_lost; /* what is added repeats what is known; it was not written */
	bool last;		    /* the block that is closed now is the last one of its file */
	uint64_t repeated_records;  /* of the file */
	uint64_t records_before;    /* in the files of the run before, without repeated ones */

	/* The block being filled. */
	uint32_t repeated; /* records at its start that stand for what was not written before */
	uint64_t sequence, first_record;
	uint64_t opened_ns, first_ns, last_ns;
	char *area;
	size_t used; /* of the area */
	size_t record_bytes;
	uint32_t *offset;
	uint32_t records;
	struct ws_disk_count count[BLOCK_KINDS];
	uint16_t counts;
	bool eventful; /* it has something of a session */
	struct ws_index index;
};

static int make_room(struct ws_writer *writer)
{
	size_t size = WS_AREA_START + WS_AREA_ALIGN(BLOCK_BYTES + WS_REC_SIZE_MAX);

	if (ws_columns_from_schema(&writer->columns))
		return -1;
	writer->encoder = ws_encoder_new(&writer->columns);
	writer->zstd = ZSTD_createCCtx();
	writer->area = calloc(1, size);
	writer->offset = calloc(BLOCK_BYTES / sizeof(struct ws_rec) + 1, sizeof(*writer->offset));
	writer->used = WS_AREA_START;
	writer->idle_ns = BLOCK_NS;
	return writer->encoder && writer->zstd && writer->area && writer->offset ? 0 : -1;
}

static void free_writer(struct ws_writer *writer)
{
	ws_out_deinit(&writer->file);
	ws_encoder_free(writer->encoder);
	ws_columns_deinit(&writer->columns);
	ZSTD_freeCCtx(writer->zstd);
	ws_buf_deinit(&writer->content);
	ws_buf_deinit(&writer->out);
	free(writer->cuts.at);
	free(writer->unwritten.servers);
	free(writer->area);
	free(writer->offset);
	free(writer);
}

/* Without entropy so early in the boot, time does: it guards against mistakes first of all. */
static uint64_t random_id(void)
{
	uint64_t id;

	if (getrandom(&id, sizeof(id), GRND_NONBLOCK) != sizeof(id))
		id = (uint64_t)ws_clock_wall_ns() ^ ws_clock_mono_ns() << 20;
	return id;
}

int ws_writer_new(struct ws_writer **writer_out, const char *path, const struct ws_trace_info *info,
		  struct ws_error *err)
{
	struct ws_writer *writer = calloc(1, sizeof(*writer));

	*writer_out = NULL;
	if (!writer)
		return ws_error_errno(err, ENOMEM, WS_OUT_CREATE, path);
	if (ws_out_open(&writer->file, path, err))
		goto fail;
	if (make_room(writer)) {
		ws_error_errno(err, ENOMEM, WS_OUT_CREATE, path);
		goto fail;
	}
	writer->file_id = random_id();
	if (ws_header_write(&writer->out, info, writer->file_id, &writer->columns)) {
		ws_error_errno(err, ENOMEM, WS_OUT_CREATE, path);
		goto fail;
	}
	if (ws_out_begin(&writer->file, &writer->out, err))
		goto fail;
	*writer_out = writer;
	return 0;
fail:
	free_writer(writer);
	return -1;
}

/* Each stretch of one sort becomes zstd blocks of its own, with a Huffman table of its own. */
static int compress_piece(struct ws_writer *writer, size_t from, size_t to, bool last)
{
	ZSTD_inBuffer in = { writer->content.data + from, to - from, 0 };
	ZSTD_outBuffer out = { writer->out.data, writer->out.cap, writer->out.len };
	size_t left;

	do {
		left = ZSTD_compressStream2(writer->zstd, &out, &in,
					    last ? ZSTD_e_end : ZSTD_e_flush);
		if (ZSTD_isError(left) || (left && out.pos == out.size))
			return -1;
	} while (left);
	writer->out.len = out.pos;
	return 0;
}

/* Appends the content as one zstd frame. */
static int compress(struct ws_writer *writer)
{
	const struct ws_buf *content = &writer->content;
	/* Each flush may add a block's header and a stored block. */
	size_t bound = ZSTD_compressBound(content->len) + 64 * (writer->cuts.count + 1);
	size_t from = 0, i;

	if (ws_buf_reserve(&writer->out, bound) ||
	    ZSTD_isError(ZSTD_CCtx_reset(writer->zstd, ZSTD_reset_session_only)) ||
	    ZSTD_isError(
		    ZSTD_CCtx_setParameter(writer->zstd, ZSTD_c_compressionLevel, ZSTD_LEVEL)) ||
	    ZSTD_isError(ZSTD_CCtx_setPledgedSrcSize(writer->zstd, content->len)))
		return -1;
	for (i = 0; i < writer->cuts.count; i++) {
		if (compress_piece(writer, from, writer->cuts.at[i], false))
			return -1;
		from = writer->cuts.at[i];
	}
	return compress_piece(writer, from, content->len, true);
}

static int build_block(struct ws_writer *writer)
{
	struct ws_disk_block block = {
		.magic = WS_DISK_BLOCK_MAGIC,
		.header_size = (uint16_t)(sizeof(block) + writer->counts * sizeof(*writer->count) +
					  ws_index_size(&writer->index)),
		.counts = writer->counts,
		.sequence = writer->sequence,
		.first_record = writer->first_record,
		.first_ns = writer->first_ns,
		.last_ns = writer->last_ns,
		.records = writer->records,
		.record_bytes = (uint32_t)writer->record_bytes,
	};
	uint16_t flags = (writer->repeats ? WS_DISK_INDEX_CHECKPOINT : 0) |
			 (writer->last ? WS_DISK_INDEX_LAST : 0);

	ws_buf_clear(&writer->out);
	if (ws_encoder_run(writer->encoder, writer->area, writer->offset, writer->records,
			   &writer->content, &writer->cuts) ||
	    ws_buf_add(&writer->out, &block, sizeof(block)) ||
	    ws_buf_add(&writer->out, writer->count, writer->counts * sizeof(*writer->count)) ||
	    ws_index_write(&writer->index, flags, &writer->out) || compress(writer))
		return -1;
	block.plain_bytes = (uint32_t)writer->content.len;
	block.stored_bytes = (uint32_t)(writer->out.len - block.header_size);
	block.content_hash =
		XXH64(writer->out.data + block.header_size, block.stored_bytes, writer->file_id);
	memcpy(writer->out.data, &block, sizeof(block));
	ws_block_seal(writer->out.data, writer->file_id);
	return 0;
}

static void clear_block(struct ws_writer *writer)
{
	writer->records = 0;
	writer->record_bytes = 0;
	writer->used = WS_AREA_START;
	writer->counts = 0;
	writer->repeated = 0;
	writer->eventful = false;
	ws_index_clear(&writer->index);
}

static const struct ws_rec *record_at(const struct ws_writer *writer, uint32_t index)
{
	return (const struct ws_rec *)(writer->area + writer->offset[index]);
}

static int keep_server(struct unwritten *u, const struct ws_rec *rec)
{
	struct ws_rec_server *server = NULL;

	for (size_t i = 0; i < u->server_count && !server; i++)
		if (u->servers[i].h.server == rec->server && u->servers[i].h.pid == rec->pid)
			server = &u->servers[i];
	if (!server)
		server = ws_array_grow(&u->servers, &u->server_count, &u->server_cap,
				       sizeof(*server));
	if (!server)
		return -1;
	memcpy(server, rec, sizeof(*server));
	return 0;
}

/* Gives up the records of the block, and says so once. */
static int give_up_block(struct ws_writer *writer, int errnum)
{
	struct unwritten *u = &writer->unwritten;
	uint64_t before = u->records;

	if (writer->repeats) {
		writer->repeats_lost = true;
		clear_block(writer);
		return 0;
	}
	if (!before) {
		ws_log(writer->log, WS_LOG_WARN, "recording paused: %s: %s", writer->shown,
		       strerror(errnum));
		u->from_ns = u->to_ns = record_at(writer, 0)->time_ns;
	}
	for (uint32_t i = writer->repeated; i < writer->records; i++) {
		const struct ws_rec *rec = record_at(writer, i);

		u->records++;
		if (rec->kind == WS_KIND_GAP && rec->size >= sizeof(struct ws_rec_gap))
			u->records += ((const struct ws_rec_gap *)rec)->lost;
		if (rec->time_ns < u->from_ns)
			u->from_ns = rec->time_ns;
		if (rec->time_ns > u->to_ns)
			u->to_ns = rec->time_ns;
		if (rec->kind == WS_KIND_SERVER && rec->size == sizeof(struct ws_rec_server) &&
		    keep_server(u, rec))
			return -1;
	}
	writer->missing += u->records - before;
	clear_block(writer);
	return 0;
}

static void resumed(struct ws_writer *writer)
{
	struct unwritten *u = &writer->unwritten;

	if (!u->records || writer->repeats)
		return;
	ws_log(writer->log, WS_LOG_WARN, "recording resumed: %s: %llu records are missing",
	       writer->shown, (unsigned long long)u->records);
	free(u->servers);
	*u = (struct unwritten){ 0 };
}

static int close_block(struct ws_writer *writer, struct ws_error *err)
{
	int errnum = 0;

	if (!writer->records)
		return 0;
	if (build_block(writer))
		return ws_out_fail(&writer->file, ENOMEM, WS_OUT_WRITE, err);
	if (ws_out_check(&writer->file, err))
		return -1;
	if (writer->room.fn)
		errnum = writer->room.fn(writer->room.arg, writer->out.len);
	if (errnum || ws_out_write(&writer->file, &writer->out, &errnum)) {
		if (!writer->file.failed && !ws_out_is_full(errnum))
			ws_out_fail(&writer->file, errnum, WS_OUT_WRITE, NULL);
		if (!writer->file.failed && give_up_block(writer, errnum) == 0)
			return 0;
		if (!writer->file.failed)
			ws_out_fail(&writer->file, ENOMEM, WS_OUT_WRITE, NULL);
		return ws_out_refuse(&writer->file, err);
	}
	resumed(writer);
	writer->sequence++;
	writer->first_record += writer->records;
	if (writer->repeats)
		writer->repeated_records += writer->records;
	clear_block(writer);
	return 0;
}

/* Counts a record of this kind. Returns false if the block has no room for another kind. */
static bool count_kind(struct ws_writer *writer, uint16_t kind)
{
	uint16_t i;

	for (i = 0; i < writer->counts; i++) {
		if (writer->count[i].kind == kind) {
			writer->count[i].count++;
			return true;
		}
	}
	if (i == BLOCK_KINDS)
		return false;
	writer->count[i] = (struct ws_disk_count){ .kind = kind, .count = 1 };
	writer->counts++;
	return true;
}

static bool block_is_old(const struct ws_writer *writer, uint64_t now_ns)
{
	uint64_t limit = writer->eventful ? BLOCK_NS : writer->idle_ns;

	return writer->records && now_ns > writer->opened_ns && now_ns - writer->opened_ns >= limit;
}

static void append(struct ws_writer *writer, const struct ws_rec *rec)
{
	if (!writer->records)
		writer->opened_ns = writer->first_ns = writer->last_ns = rec->time_ns;
	if (rec->kind < WS_KIND_SERVER || rec->kind == WS_KIND_GAP || rec->kind == WS_KIND_SERVER)
		writer->eventful = true;
	ws_index_add(&writer->index, rec);
	/* The time of a command that began long ago, and is only repeated, is not the block's. */
	if (rec->kind != WS_KIND_COMMAND || !(rec->flags & WS_COMMAND_STARTED)) {
		if (rec->time_ns < writer->first_ns)
			writer->first_ns = rec->time_ns;
		if (rec->time_ns > writer->last_ns)
			writer->last_ns = rec->time_ns;
	}
	memcpy(writer->area + writer->used, rec, rec->size);
	writer->offset[writer->records++] = (uint32_t)writer->used;
	writer->used += WS_AREA_ALIGN(rec->size);
	writer->record_bytes += rec->size;
}

/* The first block behind a full disk begins with what says so. */
static void append_unwritten(struct ws_writer *writer)
{
	const struct unwritten *u = &writer->unwritten;
	struct ws_rec_gap gap = {
		.h = { .size = sizeof(gap), .kind = WS_KIND_GAP, .time_ns = u->to_ns },
		.from_ns = u->from_ns,
		.to_ns = u->to_ns,
		.lost = u->records,
		.cause = WS_GAP_UNWRITTEN,
	};

	if (writer->records || !u->records || writer->repeats)
		return;
	count_kind(writer, WS_KIND_GAP);
	append(writer, &gap.h);
	for (size_t i = 0; i < u->server_count; i++) {
		count_kind(writer, WS_KIND_SERVER);
		append(writer, &u->servers[i].h);
	}
	writer->repeated = writer->records;
}

int ws_writer_add(struct ws_writer *writer, const struct ws_rec *rec, struct ws_error *err)
{
	if (writer->file.failed)
		return ws_out_refuse(&writer->file, err);
	if (rec->size < sizeof(*rec) || rec->size > WS_REC_SIZE_MAX || !rec->kind)
		return ws_error_set(err, WS_OUT_WRITE, writer->file.path,
				    "a record of kind %u has %u bytes", rec->kind, rec->size);
	if (block_is_old(writer, rec->time_ns) && close_block(writer, err))
		return -1;
	append_unwritten(writer);
	if (!count_kind(writer, rec->kind)) {
		if (close_block(writer, err))
			return -1;
		append_unwritten(writer);
		count_kind(writer, rec->kind);
	}
	append(writer, rec);
	return writer->used - WS_AREA_START >= BLOCK_BYTES ? close_block(writer, err) : 0;
}

int ws_writer_tick(struct ws_writer *writer, uint64_t now_ns, struct ws_error *err)
{
	if (writer->file.failed)
		return ws_out_refuse(&writer->file, err);
	return block_is_old(writer, now_ns) ? close_block(writer, err) : 0;
}

/* The last block. Where there is no room for it there may be some for its last record, which says
 * how the recording ended, with a gap in front. */
static int close_last_block(struct ws_writer *writer, struct ws_error *err)
{
	struct ws_rec_stop stop = { 0 };
	const struct ws_rec *last = writer->records ? record_at(writer, writer->records - 1) : NULL;

	if (last && last->kind == WS_KIND_STOP && last->size <= sizeof(stop))
		memcpy(&stop, last, last->size);
	if (close_block(writer, err))
		return -1;
	if (writer->unwritten.records < 2 || !stop.h.kind)
		return 0;
	/* It is not missing any more, if this works. */
	writer->unwritten.records--;
	writer->missing--;
	return ws_writer_add(writer, &stop.h, err) || close_block(writer, err) ? -1 : 0;
}

int ws_writer_end(struct ws_writer *writer, struct ws_error *err)
{
	return writer->file.failed ? ws_out_refuse(&writer->file, err)
				   : close_last_block(writer, err);
}

int ws_writer_close(struct ws_writer *writer, struct ws_error *err)
{
	int rc;

	if (!writer)
		return 0;
	rc = ws_writer_end(writer, err);
	if (rc == 0)
		rc = ws_out_close(&writer->file, err);
	free_writer(writer);
	return rc;
}

void ws_writer_set_log(struct ws_writer *writer, const struct ws_log *log, const char *shown)
{
	writer->log = log;
	writer->shown = shown;
}

uint64_t ws_writer_missing(const struct ws_writer *writer)
{
	return writer->missing;
}

uint64_t ws_writer_bytes(const struct ws_writer *writer)
{
	return writer->file.bytes;
}

void ws_writer_set_room(struct ws_writer *writer, struct ws_room room)
{
	writer->room = room;
}

void ws_writer_set_idle(struct ws_writer *writer, uint64_t idle_ns)
{
	writer->idle_ns = idle_ns;
}

bool ws_writer_is_filling(const struct ws_writer *writer)
{
	return writer->records != 0;
}

int ws_writer_flush(struct ws_writer *writer, struct ws_error *err)
{
	return writer->file.failed ? ws_out_refuse(&writer->file, err) : close_block(writer, err);
}

int ws_writer_repeats(struct ws_writer *writer, bool repeats, struct ws_error *err)
{
	bool lost;

	if (ws_writer_flush(writer, err))
		return -1;
	lost = writer->repeats_lost;
	writer->repeats = repeats;
	writer->repeats_lost = false;
	return lost;
}

/* A new file with a header. 1: there is no room for it. */
static int open_next(struct ws_writer *writer, struct ws_out *next, const char *path, uint64_t id,
		     const struct ws_trace_info *info, struct ws_error *err)
{
	struct ws_error why = { 0 };
	int errnum = 0;

	*next = (struct ws_out){ .fd = -1 };
	if (ws_header_write(&writer->out, info, id, &writer->columns))
		return ws_error_errno(err, ENOMEM, WS_OUT_CREATE, path);
	if (writer->room.fn)
		errnum = writer->room.fn(writer->room.arg, writer->out.len);
	if (errnum)
		return 1;
	if (ws_out_open(next, path, &why) == 0 && ws_out_begin(next, &writer->out, &why) == 0)
		return 0;
	if (next->fd >= 0)
		unlink(path);
	if (err)
		*err = why;
	return ws_out_is_full(why.errnum) ? 1 : -1;
}

/* The last block of a file. Where it is not written, the next header has counted on it. */
static int end_file(struct ws_writer *writer, uint64_t before, struct ws_out *next, uint64_t id,
		    struct ws_trace_info *info, struct ws_error *err)
{
	uint64_t written = writer->first_record;
	int rc;

	writer->last = true;
	rc = close_block(writer, err);
	writer->last = false;
	if (rc || ws_out_close(&writer->file, err))
		return -1;
	before += writer->first_record - written;
	if (before == info->records_before)
		return 0;
	info->records_before = before;
	if (ws_header_write(&writer->out, info, id, &writer->columns))
		return ws_error_errno(err, ENOMEM, WS_OUT_CREATE, next->path);
	return ws_out_begin(next, &writer->out, err);
}

int ws_writer_switch(struct ws_writer *writer, const char *path, struct ws_trace_info *info,
		     struct ws_error *err)
{
	uint64_t id = random_id(), before;
	struct ws_out next;
	int rc;

	if (writer->file.failed)
		return ws_out_refuse(&writer->file, err);
	/* As if the last block were written: if it is not, its records are missing. */
	before = writer->records_before + writer->first_record - writer->repeated_records;
	info->records_before = before + writer->records;
	rc = open_next(writer, &next, path, id, info, err);
	if (rc == 0)
		rc = end_file(writer, before, &next, id, info, err);
	if (rc) {
		ws_out_deinit(&next);
		return rc;
	}
	ws_out_deinit(&writer->file);
	writer->file = next;
	writer->file_id = id;
	writer->records_before = info->records_before;
	writer->sequence = writer->first_record = writer->repeated_records = 0;
	return 0;
}

void ws_writer_set_whole(struct ws_writer *writer)
{
	writer->last = true;
}

int ws_writer_renamed(struct ws_writer *writer, const char *path, struct ws_error *err)
{
	char *copy = strdup(path);

	if (!copy)
		return ws_error_errno(err, ENOMEM, WS_OUT_WRITE, path);
	free(writer->file.path);
	writer->file.path = copy;
	return 0;
}

int ws_writer_sync(struct ws_writer *writer, struct ws_error *err)
{
	if (writer->file.failed)
		return ws_out_refuse(&writer->file, err);
	return ws_out_sync(&writer->file, err);
}
