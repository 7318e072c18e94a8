/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * order.h: from raw ring-buffer bytes to a sound stream: validates, follows each session's sequence
 * numbers, and puts a gap record in front of the first record behind a hole. A session whose pid is
 * another process's by now is closed by a gap of WS_GAP_EXIT_MISSED.
 *
 * A gap's from_ns and to_ns are the times of the session's record before and behind it; from_ns is
 * 0 if there was none before. Its h.seq is the first missing number. Records made by the collector
 * (kinds from 64 on) have no sequence and pass as they are.
 */
#ifndef WS_EVENT_ORDER_H
#define WS_EVENT_ORDER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "wire.h"

/* Where records go. Returns 0, or -1 to stop the source. Records are valid during the call only. */
struct ws_sink {
	int (*fn)(void *arg, const struct ws_rec *rec);
	void *arg;
};

/* How many records a gap stands for. An exit that was not seen is one, though the programs may have
 * made none for it; 0 only where nobody knows (damage in a recording, which is reported as such).
 */
static inline uint64_t ws_gap_missing(const struct ws_rec_gap *gap)
{
	return !gap->lost && gap->cause == WS_GAP_EXIT_MISSED ? 1 : gap->lost;
}

struct ws_order_stats {
	uint64_t records; /* passed on, gaps included */
	uint64_t gaps;
	uint64_t lost;			    /* records missing in sequence numbers */
	uint64_t invalid;		    /* dropped for failing validation */
	uint64_t invalid_of[WS_STOP_KINDS]; /* by kind, where that is known and below WS_STOP_KINDS
					     */
};

struct ws_order; /* opaque */

struct ws_order *ws_order_new(struct ws_sink sink); /* NULL: out of memory */
void ws_order_free(struct ws_order *order);
/* One record as the ring holds it. Returns what the sink returned (a dropped record: 0). */
int ws_order_feed(struct ws_order *order, const void *data, size_t size);
/*
 * The session is known to be gone and the kernel made `next_seq` records for it: emits the gap for
 * what has not arrived (its tail), and forgets the session. Without an exit record before, the
 * gap's cause is WS_GAP_EXIT_MISSED.
 */
int ws_order_session_gone(struct ws_order *order, uint32_t pid, uint64_t start_ns,
			  uint32_t next_seq, uint64_t now_ns);
/* Has a record of this session arrived, and not yet its end? */
bool ws_order_knows(struct ws_order *order, uint32_t pid, uint64_t start_ns);
/* When the last of its records was made that the programs have, 0 as for ws_order_knows. */
uint64_t ws_order_last_ns(struct ws_order *order, uint32_t pid, uint64_t start_ns);
/* The recording ends while the session lives: emits the gap for what has not arrived. */
int ws_order_session_tail(struct ws_order *order, uint32_t pid, uint64_t start_ns,
			  uint32_t next_seq, uint64_t now_ns);
void ws_order_stats(const struct ws_order *order, struct ws_order_stats *stats);

#endif
