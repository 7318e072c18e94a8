/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * source.h: the sound blocks of a recording, one after the other, across damage.
 */
#ifndef WS_TRACE_SOURCE_H
#define WS_TRACE_SOURCE_H

#include "base/error.h"
#include "trace/columns.h"
#include "trace/segments.h"
#include "trace/trace.h"

/* Which blocks are wanted. */
struct ws_source_want {
	struct ws_reader_want of; /* those that have something of it */
	struct ws_kinds kinds;	  /* that are wanted whose ever they are */
	bool checkpoints;	  /* those that repeat what is known */
};
struct ws_source_want ws_source_want(const struct ws_reader_want *of);
bool ws_source_wants_pid(const struct ws_source_want *want, uint32_t pid);

struct ws_source {
	int fd; /* the caller's */
	const char *path;
	uint64_t limit; /* bytes of the file that count */
	struct ws_source_want want;
	struct ws_trace_info info;
	struct ws_columns columns;
	uint64_t file_id;

	uint64_t at; /* where the next block should begin */
	uint64_t next_sequence;
	uint64_t accounted;    /* records of blocks given out or given up */
	uint64_t announced;    /* records up to the last block whose header was sound */
	uint64_t last_ns;      /* end of the last block given out */
	uint64_t announced_ns; /* end of the last block whose header was sound */

	uint64_t repeated; /* of the accounted ones those of checkpoints */
	bool last;	   /* the last block is the last one of a segment */
	uint64_t first_ns; /* of the blocks given out or passed over; UINT64_MAX: none */
	uint64_t decoded, passed;

	uint64_t damaged;    /* stretches that could not be read */
	uint64_t damaged_at; /* where the first one begins */
	uint64_t lost;	     /* records known to be in them */
	bool loss_unknown;   /* one of them ends the file: nothing tells what was in it */

	char *window; /* for the search */
	void *stored, *plain;
	struct ws_decoder *decoder;
	char *area;	  /* records of the last block ... */
	uint32_t *offset; /* ... their places in it ... */
	size_t count;	  /* ... and how many */
};

/* What stands where a block was expected. */
struct ws_source_gap {
	bool damaged;
	uint64_t from_ns, to_ns;
	uint64_t lost; /* records, 0 if not known */
};

/* A file of a recording. */
int ws_source_open(struct ws_source *source, const struct ws_segment_file *file,
		   const struct ws_source_want *want, struct ws_error *err);
void ws_source_deinit(struct ws_source *source);
/*
 * Finds the next block that can be read and decodes it into area, offset and count, which stay
 * until the next call. Its records have sound sizes; the rest of them is not checked. What had to
 * be passed over on the way is told in *gap. Of a block that is not wanted the area holds the
 * clocks, or nothing. Returns 1; 0 at the end of the file (a gap may end
 * it); -1 for an I/O error or exhausted memory.
 */
int ws_source_next(struct ws_source *source, struct ws_source_gap *gap, struct ws_error *err);

#endif
