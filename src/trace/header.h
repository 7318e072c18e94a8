/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * header.h: the header of a recording and the headers of its blocks, to bytes and back.
 */
#ifndef WS_TRACE_HEADER_H
#define WS_TRACE_HEADER_H

#include "base/error.h"
#include "trace/columns.h"
#include "trace/repair.h"
#include "trace/trace.h"

/* The file's header as bytes. -1: out of memory. */
int ws_header_write(struct ws_buf *out, const struct ws_trace_info *info, uint64_t file_id,
		    const struct ws_columns *columns);
/* What its hash has to be. */
uint64_t ws_header_hash(const void *data, size_t size);
/*
 * Reads it from the start of a regular file. `info` and `columns` are filled only on success.
 * *repair: what was found out before of what is wrong in it (else zeros), and what is now.
 * Returns the header's size, or -1 with the one thing that is wrong.
 */
int ws_header_read(int fd, const char *path, struct ws_trace_info *info, uint64_t *file_id,
		   struct ws_columns *columns, struct ws_header_repair *repair,
		   struct ws_error *err);

/* What the header of a sound block says about its content. The lists lie in the header's bytes,
 * perhaps not aligned. */
struct ws_block_index {
	uint16_t flags; /* enum ws_disk_index_flags; 0 if there is no index */
	uint16_t clocks, pids;
	const char *clock; /* struct ws_disk_clock each */
	const char *pid;   /* 4 bytes each */
};
void ws_block_index(const void *header, const struct ws_disk_block *block,
		    struct ws_block_index *index);

/* Sets the hash of a block's header, with its counts behind it. */
void ws_block_seal(void *header, uint64_t file_id);
/* Is this, at `size` bytes, the sound header of a block of the file? */
bool ws_block_sound(const void *data, size_t size, uint64_t file_id, struct ws_disk_block *block);

#endif
