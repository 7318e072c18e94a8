/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * index.h: what a block's header says of its content: processes and clocks. For the writer; what a
 * reader makes of it is ws_block_index().
 */
#ifndef WS_TRACE_INDEX_H
#define WS_TRACE_INDEX_H

#include <stdbool.h>

#include "base/text.h"
#include "trace/format.h"

#define WS_INDEX_PLACES 2048 /* a power of two, more than twice the pids */

struct ws_index {
	uint32_t last; /* process of the record before */
	uint32_t pid[WS_DISK_PIDS_MAX];
	uint16_t pids;
	struct ws_disk_clock clock[WS_DISK_CLOCKS_MAX];
	uint16_t clocks;
	bool incomplete;
	uint16_t place[WS_INDEX_PLACES]; /* number in pid[] + 1 */
};

/* Zero-initialise. */
void ws_index_clear(struct ws_index *index);
void ws_index_add(struct ws_index *index, const struct ws_rec *rec);
/* Appends it; `flags` as in struct ws_disk_index. -1: out of memory. */
int ws_index_write(const struct ws_index *index, uint16_t flags, struct ws_buf *out);
size_t ws_index_size(const struct ws_index *index);

/* Is a kind's every record one of a session? Others belong to none or to several. */
bool ws_index_is_session_kind(uint16_t kind);

#endif
