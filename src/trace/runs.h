/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * runs.h: from segment to segment: do they follow each other, what is missing in between, and what
 * becomes of the sessions when another run, perhaps after another boot, begins. For src/trace/
 * alone.
 */
#ifndef WS_TRACE_RUNS_H
#define WS_TRACE_RUNS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "event/idmap.h"
#include "trace/source.h"

struct ws_runs {
	bool several; /* there is more than one run: sessions are kept track of */
	/* Of the segment at hand. */
	uint64_t shift;	 /* added to its times */
	uint16_t server; /* added to the numbers of its servers */
	bool first;	 /* of all: the next one is */
	/* Of the one before, until the next one begins: of the one at hand. */
	struct ws_trace_info before;
	uint64_t expected; /* records of the run up to its end */
	uint64_t last_ns;  /* shifted */
	uint16_t server_max;

	struct ws_idmap by_id;
	LIST_HEAD(ws_runs_open, ws_runs_session) open;
	uint64_t settled_ns; /* when those that run on have been told again; 0: nothing to settle */

	struct ws_rec_gap *gaps; /* to be given out first */
	size_t gap_count, gap_cap, gap_next;
};

/* Zero-initialise, and set `several`, and `first`. */
void ws_runs_deinit(struct ws_runs *runs);
/*
 * A segment begins. Returns whether it goes on where the one before ended, so that what it repeats
 * is known; *lost: records that are missing in between, for which a gap is queued.
 */
bool ws_runs_begin(struct ws_runs *runs, const struct ws_trace_info *info, uint64_t *lost,
		   bool *failed);
/* It ended. */
void ws_runs_end(struct ws_runs *runs, const struct ws_source *source);
/* A record of it, before it is given out: moves its times and numbers, and gives it the identity
 * that its session had in the run before. -1: out of memory. Gaps may
 * be queued that belong in front of it. */
int ws_runs_record(struct ws_runs *runs, struct ws_rec *rec);
/* The next gap that is queued; NULL: none. */
const struct ws_rec *ws_runs_gap(struct ws_runs *runs);

/* Same run: the second goes on where the first ended, or some segments behind. */
static inline bool ws_runs_same(const struct ws_trace_info *a, const struct ws_trace_info *b)
{
	return a->run && a->run == b->run;
}

#endif
