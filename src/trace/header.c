/* SPDX-License-Identifier: BSD-2-Clause */
#include "trace/header.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>
#include <zstd.h>

#include "base/util.h"

#define WHAT "cannot read recording"

static uint64_t hash_without(const void *data, size_t size, size_t hash_offset, uint64_t seed)
{
	static const char zeros[sizeof(uint64_t)];
	const char *bytes = data;
	XXH64_state_t *state = XXH64_createState();
	uint64_t hash = 0;

	if (!state)
		return 0; /* out of memory: matches nothing */
	XXH64_reset(state, seed);
	XXH64_update(state, bytes, hash_offset);
	XXH64_update(state, zeros, sizeof(zeros));
	XXH64_update(state, bytes + hash_offset + sizeof(zeros),
		     size - hash_offset - sizeof(zeros));
	hash = XXH64_digest(state);
	XXH64_freeState(state);
	return hash;
}

uint64_t ws_header_hash(const void *data, size_t size)
{
	return hash_without(data, size, offsetof(struct ws_disk_file, hash), 0);
}

int ws_header_write(struct ws_buf *out, const struct ws_trace_info *info, uint64_t file_id,
		    const struct ws_columns *columns)
{
	struct ws_disk_file head = {
		.format = WS_TRACE_FORMAT,
		.file_id = file_id,
		.start_mono_ns = info->start_mono_ns,
		.start_wall_ns = info->start_wall_ns,
		.level = info->level,
		.ticks_per_s = info->ticks_per_s,
		.filter = info->filter,
		.kinds = (uint32_t)columns->count,
	};
	struct ws_disk_file *written;

	memcpy(head.magic, WS_DISK_MAGIC, sizeof(head.magic));
	memcpy(head.version, info->version, strnlen(info->version, sizeof(head.version) - 1));
	memcpy(head.boot_id, info->boot_id, strnlen(info->boot_id, sizeof(head.boot_id) - 1));
	memcpy(head.host, info->host, strnlen(info->host, sizeof(head.host) - 1));
	ws_buf_clear(out);
	if (ws_buf_add(out, &head, sizeof(head)) || ws_columns_write(columns, out))
		return -1;
	if (info->run) {
		struct ws_disk_segment segment = {
			.magic = WS_DISK_SEGMENT_MAGIC,
			.run = info->run,
			.number = info->segment,
			.records = info->records_before,
		};

		if (ws_buf_add(out, &segment, sizeof(segment)))
			return -1;
	}
	written = (void *)out->data;
	written->header_size = (uint32_t)out->len;
	written->hash = ws_header_hash(out->data, out->len);
	return 0;
}

/* Is it a recording at all, of a version we know, and is its first part there? */
static int check_start(const struct ws_disk_file *head, size_t got, const char *path,
		       struct ws_error *err)
{
	size_t common = got < WS_DISK_MAGIC_LEN ? got : WS_DISK_MAGIC_LEN;

	if (!got)
		return ws_error_set(err, WHAT, path, "the file is empty");
	if (memcmp(head->magic, WS_DISK_MAGIC, common))
		return ws_error_set(err, WHAT, path, "this is not a walscope recording");
	if (got >= offsetof(struct ws_disk_file, header_size) &&
	    (head->format < WS_TRACE_FORMAT_FIRST || head->format > WS_TRACE_FORMAT)) {
		ws_error_set(err, WHAT, path,
			     "it has format version %u, and walscope " WS_VERSION
			     " reads format versions %u to %u",
			     head->format, WS_TRACE_FORMAT_FIRST, WS_TRACE_FORMAT);
		return ws_error_fix(err, "use the walscope it was recorded with, or a newer one");
	}
	if (got < sizeof(*head))
		return ws_error_set(err, WHAT, path, "its header is cut short after %zu bytes",
				    got);
	if (head->header_size < sizeof(*head) || head->header_size > WS_DISK_HEADER_MAX)
		return ws_error_set(err, WHAT, path, "its header is damaged");
	return 0;
}

static void copy_info(struct ws_trace_info *info, const struct ws_disk_file *head)
{
	memset(info, 0, sizeof(*info));
	info->format = head->format;
	info->level = head->level;
	info->ticks_per_s = head->ticks_per_s;
	info->filter = head->filter;
	info->start_mono_ns = head->start_mono_ns;
	info->start_wall_ns = head->start_wall_ns;
	memcpy(info->version, head->version, strnlen(head->version, sizeof(info->version) - 1));
	memcpy(info->boot_id, head->boot_id, strnlen(head->boot_id, sizeof(info->boot_id) - 1));
	memcpy(info->host, head->host, strnlen(head->host, sizeof(info->host) - 1));
}

/* No column begins with its magic: their offsets are smaller. */
static void copy_segment(struct ws_trace_info *info, const char *header, size_t size)
{
	struct ws_disk_segment segment;

	if (size < sizeof(struct ws_disk_file) + sizeof(segment))
		return;
	memcpy(&segment, header + size - sizeof(segment), sizeof(segment));
	if (segment.magic != WS_DISK_SEGMENT_MAGIC)
		return;
	info->run = segment.run;
	info->segment = segment.number;
	info->records_before = segment.records;
}

/* All of it, from its first `got` bytes. */
static int check(const char *data, size_t got, const char *path, struct ws_error *err)
{
	struct ws_disk_file head = { 0 };

	memcpy(&head, data, got < sizeof(head) ? got : sizeof(head));
	if (check_start(&head, got, path, err))
		return -1;
	if (got < head.header_size)
		return ws_error_set(err, WHAT, path,
				    "its header is cut short after %zu of %u bytes", got,
				    head.header_size);
	if (ws_header_hash(data, head.header_size) != head.hash)
		return ws_error_set(err, WHAT, path, "its header is damaged (wrong checksum)");
	return 0;
}

/* The same, and what can be put right is. */
static int check_and_repair(char *data, size_t got, const char *path,
			    struct ws_header_repair *repair, struct ws_error *err)
{
	struct ws_error why;

	if (repair->made && repair->at < got)
		data[repair->at] = (char)repair->byte;
	if (check(data, got, path, &why) == 0)
		return 0;
	if (!repair->made && ws_header_find_repair(data, got, repair)) {
		data[repair->at] = (char)repair->byte;
		if (check(data, got, path, &why) == 0)
			return 0;
	}
	if (err)
		*err = why;
	return -1;
}

int ws_header_read(int fd, const char *path, struct ws_trace_info *info, uint64_t *file_id,
		   struct ws_columns *columns, struct ws_header_repair *repair,
		   struct ws_error *err)
{
	ws_autofree char *data = malloc(WS_DISK_HEADER_MAX);
	struct ws_disk_file head;
	const char *why;
	size_t got;
	long rc;

	if (!data)
		return ws_error_errno(err, ENOMEM, WHAT, path);
	rc = ws_read_at(fd, data, WS_DISK_HEADER_MAX, 0);
	if (rc < 0)
		return ws_error_errno(err, errno, WHAT, path);
	got = (size_t)rc;
	if (check_and_repair(data, got, path, repair, err))
		return -1;
	memcpy(&head, data, sizeof(head));
	if (ws_columns_parse(columns, data + sizeof(head), head.header_size - sizeof(head),
			     head.kinds, &why))
		return ws_error_set(err, WHAT, path, "its header is not sound: %s", why);
	copy_info(info, &head);
	copy_segment(info, data, head.header_size);
	*file_id = head.file_id;
	return (int)head.header_size;
}

void ws_block_seal(void *header, uint64_t file_id)
{
	struct ws_disk_block block;

	memcpy(&block, header, sizeof(block));
	block.hash = hash_without(header, block.header_size, offsetof(struct ws_disk_block, hash),
				  file_id);
	memcpy(header, &block, sizeof(block));
}

bool ws_block_sound(const void *data, size_t size, uint64_t file_id, struct ws_disk_block *block)
{
	if (size < sizeof(*block))
		return false;
	memcpy(block, data, sizeof(*block));
	if (block->magic != WS_DISK_BLOCK_MAGIC || block->header_size < sizeof(*block) ||
	    block->header_size > WS_DISK_BLOCK_HEADER_MAX || block->header_size > size ||
	    block->counts * sizeof(struct ws_disk_count) > block->header_size - sizeof(*block))
		return false;
	if (hash_without(data, block->header_size, offsetof(struct ws_disk_block, hash), file_id) !=
	    block->hash)
		return false;
	/* A sound hash says who wrote it, not that it is sane. */
	return block->records > 0 && block->records <= WS_DISK_RECORDS_MAX &&
	       block->record_bytes <= WS_DISK_RECORD_BYTES_MAX &&
	       block->record_bytes >= block->records * sizeof(struct ws_rec) &&
	       block->plain_bytes <= WS_DISK_PLAIN_MAX && block->stored_bytes > 0 &&
	       block->stored_bytes <= ZSTD_COMPRESSBOUND(WS_DISK_PLAIN_MAX);
}

void ws_block_index(const void *header, const struct ws_disk_block *block,
		    struct ws_block_index *view)
{
	size_t at = sizeof(*block) + block->counts * sizeof(struct ws_disk_count);
	const char *bytes = header;
	struct ws_disk_index index;
	size_t size;

	*view = (struct ws_block_index){ 0 };
	if (block->header_size < at + sizeof(index))
		return;
	memcpy(&index, bytes + at, sizeof(index));
	size = sizeof(index) + index.clocks * sizeof(struct ws_disk_clock) +
	       index.pids * sizeof(uint32_t);
	if (index.size < size || index.size > block->header_size - at)
		return;
	view->flags = index.flags;
	view->clocks = index.clocks;
	view->pids = index.pids;
	view->clock = bytes + at + sizeof(index);
	view->pid = view->clock + index.clocks * sizeof(struct ws_disk_clock);
}
