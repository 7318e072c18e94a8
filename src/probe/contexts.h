/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * contexts.h: the memory contexts of a PostgreSQL process (MemoryContextData of nodes/memnodes.h,
 * mcxt.c; 10 to 18), read from outside, or out of a core dump: what pg_backend_memory_contexts and
 * pg_log_backend_memory_contexts tell. Needs the right to read the process's memory.
 *
 * What is told (struct ws_rec_memory): all contexts below TopMemoryContext in one sum; what the
 * reorder buffer takes, with what is in it, beside what it may (logical_decoding_work_mem counts
 * changes, not the blocks that they lie in); what the system caches take; and the names that take
 * most. The names are ordered by what their contexts have taken themselves: a sum with all that is
 * in them would put a chain in front (TopMemoryContext, MessageContext, "Replication command
 * context", "Logical decoding context", "ReorderBuffer") of which each has the same bytes. That sum
 * stands beside. Up to 12 a context does not know its size: sizes are not known then, and the names
 * with most contexts are told. Slab contexts, and up to 14 generation contexts, do not count their
 * own head, which the server's views have besides: up to 2 kB each.
 *
 * The process runs meanwhile. Each context has to name the one it was come to from as its parent,
 * and its neighbour as such, which a cycle or a context that is gone does not; when all were seen
 * they are read once more, at once, and must be linked as before. Else nothing was read: it is
 * tried a few times, and then no sample is better than one that never was so.
 */
#ifndef WS_PROBE_CONTEXTS_H
#define WS_PROBE_CONTEXTS_H

#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "target/memory.h"

/* As many are looked at, so deep, and so many names are told apart; what lies beyond is not
 * counted, and the record says so (WS_MEMORY_CUT). */
#define WS_CONTEXTS_MAX	      8192
#define WS_CONTEXTS_DEPTH_MAX 64
#define WS_CONTEXTS_NAMES_MAX 512

struct ws_contexts_place {
	const struct ws_memory *memory; /* NULL: of the running process */
	uint32_t pid;
	uint64_t base;	   /* load base of the server in it */
	uint64_t top;	   /* TopMemoryContext: address in the file */
	uint64_t work_mem; /* logical_decoding_work_mem: likewise, 0: not known */
	const struct ws_offsets *off;
	bool no_idents; /* they are not to be told */
};

/* Fills all but the head (but for its flags). False: there is none, it cannot be read, or it did
 * not keep still. */
bool ws_contexts_read(const struct ws_contexts_place *place, struct ws_rec_memory *rec);

#endif
