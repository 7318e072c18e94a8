/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * trace.h: the recording, a .wst file.
 *
 *   header | block | block | ...
 *
 * The header names format version, program version, boot id, host and level. A block is
 * self-contained: length, sequence number, time range, number of records, xxhash64 of its content,
 * zstd-compressed columnar payload; it is closed at a size or after 1 s, whichever comes first. A
 * reader yields every whole block in front of a tear and says what is missing. docs/FORMAT.md has
 * the bytes.
 */
#ifndef WS_TRACE_TRACE_H
#define WS_TRACE_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/log.h"
#include "wire.h"

#define WS_TRACE_FORMAT	      2
#define WS_TRACE_FORMAT_FIRST 1 /* the oldest that is read */

struct ws_trace_info {
	uint32_t format;      /* WS_TRACE_FORMAT; filled by the writer */
	uint32_t level;	      /* recording level */
	uint32_t ticks_per_s; /* unit of STARTTICKS */
	uint32_t filter;      /* of what restricts it to some sessions, a hash; 0: it has all */
	uint64_t start_mono_ns;
	int64_t start_wall_ns;
	char version[32]; /* of the program that wrote it */
	char boot_id[40];
	char host[64];
	/* Of a segment of a flight recorder (flight.h), else 0: the recorder's run, the segment's
	 * number, and how many records the segments of the run before it have. */
	uint64_t run, segment, records_before;
};

struct ws_writer; /* opaque */

/* Creates (or replaces) the file, mode 0600, and writes the header. "-" is not special. A file
 * that another writer has open, also one of another process, is refused and left alone, and so is
 * an older recording if there is no room for the header. */
int ws_writer_new(struct ws_writer **writer, const char *path, const struct ws_trace_info *info,
		  struct ws_error *err);
/* Is another writer at the file behind this descriptor? Returns -1 if so; if not, it is locked for
 * as long as the descriptor is open. */
int ws_writer_lock(int fd, const char *path, struct ws_error *err);
/* Who is told, once each, that the recording pauses and that it goes on, and by which name. Both
 * stay the caller's. */
void ws_writer_set_log(struct ws_writer *writer, const struct ws_log *log, const char *shown);
/*
 * Adds a record (copied). Closes the block when it is full.
 *
 * Where there is no room for a block (ENOSPC, EDQUOT, EFBIG) its records are given up and counted,
 * the file is cut back to the last whole block, and later blocks are tried all the same; the first
 * that is written begins with a gap of cause WS_GAP_UNWRITTEN. That is no error. After any other
 * write error, and when somebody removed or cut the file, the recording ends with the last whole
 * block, and -1 is returned, also by all later calls. (Beyond RLIMIT_FSIZE the kernel also sends
 * SIGXFSZ, which whoever runs a writer should ignore.)
 */
int ws_writer_add(struct ws_writer *writer, const struct ws_rec *rec, struct ws_error *err);
/* To be called a few times a second: closes a block older than 1 s (by monotonic time). */
int ws_writer_tick(struct ws_writer *writer, uint64_t now_ns, struct ws_error *err);
/* Closes the last block; nothing is added behind it. Where there is no room for it there may still
 * be some for a STOP at its end. */
int ws_writer_end(struct ws_writer *writer, struct ws_error *err);
/* Records that there was no room for, and those that gaps among them stand for. */
uint64_t ws_writer_missing(const struct ws_writer *writer);
/* Ends it, syncs and frees, also after errors. NULL is allowed. */
int ws_writer_close(struct ws_writer *writer, struct ws_error *err);
uint64_t ws_writer_bytes(const struct ws_writer *writer); /* written so far */

struct ws_reader; /* opaque */

/*
 * Opens a recording, or a directory of segments (flight.h) as one recording: what is there now,
 * also if more is written, or the oldest are removed, meanwhile. Segments that follow each other
 * are one stream; where one is missing, a gap tells how many records that are. Between two runs of
 * a recorder stands a gap of cause WS_GAP_UNRECORDED, and one for each session that was gone when
 * the next one began, which one with another filter cannot tell. Times of an earlier boot are moved
 * in front of those of the next.
 */
int ws_reader_open(struct ws_reader **reader, const char *path, struct ws_error *err);
void ws_reader_free(struct ws_reader *reader);
const struct ws_trace_info *ws_reader_info(const struct ws_reader *reader);
/* Back to the start. What was there when it was opened is what there is. */
void ws_reader_rewind(struct ws_reader *reader);
struct ws_kinds {
	uint64_t bits[WS_KIND_MAX / 64];
};
static inline bool ws_kinds_have(const struct ws_kinds *kinds, uint16_t kind)
{
	return kind < WS_KIND_MAX && kinds->bits[kind / 64] >> kind % 64 & 1;
}
static inline void ws_kinds_add(struct ws_kinds *kinds, uint16_t kind)
{
	kinds->bits[kind / 64] |= 1ULL << kind % 64;
}

/* What of a recording is wanted besides what belongs to no session: all gaps, clocks and so on. */
struct ws_reader_want {
	bool narrow;	      /* if not: everything, whatever stands below */
	const uint32_t *pids; /* ascending: all of the sessions of these processes */
	size_t pid_count;
	struct ws_kinds kinds; /* of all other sessions the records of these kinds */
	bool clusters;	       /* WS_KIND_CLUSTER */
};
/* Blocks that hold nothing that is wanted are passed over. `pids` stay the caller's, and there. */
void ws_reader_narrow(struct ws_reader *reader, const struct ws_reader_want *want);
/* Begins with the last segment that begins before this time, and what that repeats at its start. To
 * be called before the first record is read; rewinding takes it back. */
void ws_reader_skip_to(struct ws_reader *reader, uint64_t mono_ns);
/* CLOCK_REALTIME as the directory's files have it for a time of the records. */
int64_t ws_reader_wall_ns(const struct ws_reader *reader, uint64_t mono_ns);
/* Does a flight recorder write to the directory now? */
bool ws_reader_goes_on(const struct ws_reader *reader);
/* From when to when are the blocks that were given out or passed over? 0 and 0: there were none. */
void ws_reader_span(const struct ws_reader *reader, uint64_t *first_ns, uint64_t *last_ns);
/* Blocks that were decoded, and those that were passed over. */
void ws_reader_blocks(const struct ws_reader *reader, uint64_t *decoded, uint64_t *passed);
/*
 * The next record, in the order written, valid until the next call. Returns 1, 0 at the end, -1 for
 * an I/O error or exhausted memory. A damaged block is left out: a WS_KIND_GAP record with cause
 * WS_GAP_TORN, the time span and, if it can be told, the number of its records stands in its place.
 * A record that is not sound is replaced by a gap with cause WS_GAP_INVALID; of one that is longer
 * than this version knows its kind to be, the known part is given. So whatever is given out passes
 * ws_rec_valid().
 */
int ws_reader_next(struct ws_reader *reader, const struct ws_rec **rec, struct ws_error *err);
/* After the end: is something missing, and what (one line)? A recording whose last record is not
 * WS_KIND_STOP was cut off, unless it is a segment that goes on in the next one, or a directory
 * that a recorder writes to. */
bool ws_reader_torn(const struct ws_reader *reader, char *why, size_t size);

#endif
