/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * segments.h: the files that make up a recording: one, or those of a directory, in their order. For
 * src/trace/ alone.
 */
#ifndef WS_TRACE_SEGMENTS_H
#define WS_TRACE_SEGMENTS_H

#include <stdbool.h>

#include "trace/repair.h"
#include "trace/trace.h"

/* Names of a flight recorder's files; the number has at least ten digits. */
#define WS_SEGMENT_PREFIX  "flight-"
#define WS_SEGMENT_SUFFIX  ".wst"
#define WS_SEGMENT_UNNAMED ".tmp" /* one that is not complete */
#define WS_SEGMENT_LOCK	   "flight.lock"

struct ws_segment_file {
	int fd;
	char *path;
	uint64_t limit; /* bytes that count: it may be written to */
	uint64_t file_id;
	struct ws_trace_info info;
	struct ws_header_repair repair; /* of its header */
};

struct ws_segments {
	struct ws_segment_file *items;
	size_t count, cap;
	bool directory;
	bool written_to;     /* a flight recorder is at work in it */
	uint64_t unreadable; /* files whose header is not sound ... */
	struct ws_error why; /* ... and why the first one is not */
};

/*
 * Opens a file, or what a directory holds: the segments of a flight recorder, in their order, or,
 * if there is none, all *.wst, by the time at which they begin. Copies of one file count once. To
 * be released also after a failure.
 */
int ws_segments_open(struct ws_segments *segments, const char *path, struct ws_error *err);
void ws_segments_deinit(struct ws_segments *segments);
/* The number in a segment's name; false if it is none. `suffix` as above. */
bool ws_segment_number(const char *name, const char *suffix, uint64_t *number);

#endif
