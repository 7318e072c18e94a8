/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * flight.h: the flight recorder: a directory of segments, of which the oldest go when there are too
 * many bytes, or when they are too old.
 *
 *   flight.lock             locked by the recorder that writes, with its process id
 *   flight-0000000001.wst   a recording each (trace.h); numbers go on from run to run
 *   flight-0000000002.tmp   one that is just being begun
 *
 * A segment begins with what has to be known to read it alone (checkpoint.h). The bytes of all
 * segments together never exceed the bound, also while one is being begun. A segment ends when it
 * has a sixteenth of the bound (64 KiB at least, 64 MiB at most, and four times what it repeats),
 * or an eighth of the age.
 *
 * What a kill or crash of the recorder loses is what was not written yet: records of sessions are
 * written when they are a second old or make 512 KiB; of an idle host the clocks alone, every 10 s.
 * What a crash of the host loses besides is what is not on the disk yet: fdatasync runs every 5 s
 * while anything is written; a segment is synced whole when it ends, and its beginning, and the
 * directory, when it begins.
 */
#ifndef WS_TRACE_FLIGHT_H
#define WS_TRACE_FLIGHT_H

#include "base/log.h"
#include "trace/trace.h"

#define WS_FLIGHT_SIZE_MIN (1024 * 1024)
#define WS_FLIGHT_AGE_MIN  1000000000ULL

struct ws_flight_options {
	const char *dir;
	uint64_t size;		  /* WS_FLIGHT_SIZE_MIN or more */
	uint64_t age_ns;	  /* 0: any; else WS_FLIGHT_AGE_MIN or more */
	const struct ws_log *log; /* may be NULL; told as by ws_writer_set_log */
};

struct ws_flight; /* opaque */

/*
 * Creates the directory (mode 0700) if it is not there, and locks it. What another recorder works
 * in is refused, with its process id. Nothing is written but the lock; what a recorder that was
 * killed left unfinished is removed.
 */
int ws_flight_new(struct ws_flight **flight, const struct ws_flight_options *options,
		  struct ws_error *err);
/* Begins to write: the run's first segment. */
int ws_flight_begin(struct ws_flight *flight, const struct ws_trace_info *info,
		    struct ws_error *err);
/* As those of ws_writer. */
int ws_flight_add(struct ws_flight *flight, const struct ws_rec *rec, struct ws_error *err);
int ws_flight_tick(struct ws_flight *flight, uint64_t now_ns, struct ws_error *err);
int ws_flight_end(struct ws_flight *flight, struct ws_error *err);
uint64_t ws_flight_missing(const struct ws_flight *flight);
/* In the directory, and how many segments those are. */
uint64_t ws_flight_bytes(const struct ws_flight *flight, size_t *segments);
/* Ends, syncs, frees and unlocks. NULL is allowed. */
int ws_flight_close(struct ws_flight *flight, struct ws_error *err);

#endif
