/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The books: by kind, what was made is what was lost, what nobody wanted, and what was handed on.
 */
#include <string.h>
#include <time.h>

#include "base/util.h"
#include "live/private.h"

/* How long a program that was already running when its probe was taken out may take to end. */
#define SETTLE_TRIES	20
#define SETTLE_PAUSE_NS 1000000L

static uint64_t *place(uint64_t of[WS_STOP_KINDS], const struct ws_rec *rec)
{
	return rec->kind < WS_STOP_KINDS ? &of[rec->kind] : NULL;
}

static void count(uint64_t of[WS_STOP_KINDS], const struct ws_rec *rec)
{
	uint64_t *n = place(of, rec);

	if (n)
		++*n;
}

void ws_live_count_made(struct ws_live *live, const struct ws_rec *rec)
{
	count(live->account.made_of, rec);
}

void ws_live_count_arrived(struct ws_live *live, const struct ws_rec *rec)
{
	count(live->account.arrived_of, rec);
}

void ws_live_count_filtered(struct ws_live *live, const struct ws_rec *rec)
{
	count(live->account.filtered_of, rec);
}

/* Has everything that was made arrived, or been counted as lost? */
static bool is_settled(const struct ws_live *live, const uint64_t counters[WS_COUNTER_COUNT])
{
	for (int kind = 0; kind < WS_STOP_KINDS; kind++)
		if (counters[WS_COUNTER_MADE_KIND + kind] !=
		    counters[WS_COUNTER_LOST_KIND + kind] + live->account.arrived_of[kind])
			return false;
	return true;
}

/* A program counts what it makes before or after the record is there to be read, and detaching
 * does not wait for one that runs: the counts agree once it is through. */
int ws_live_settle(struct ws_live *live)
{
	const struct timespec pause = { .tv_nsec = SETTLE_PAUSE_NS };

	for (int i = 0; i < SETTLE_TRIES; i++) {
		ws_tracer_counters(live->tracer, live->account.counters);
		if (is_settled(live, live->account.counters))
			return 0;
		nanosleep(&pause, NULL);
		if (ws_ring_consume(live->ring) < 0)
			return -1;
	}
	ws_tracer_counters(live->tracer, live->account.counters);
	return 0;
}

void ws_live_account(const struct ws_live *live, struct ws_rec_stop *stop)
{
	const struct ws_account *a = &live->account;
	struct ws_order_stats order;

	ws_order_stats(live->order, &order);
	for (int kind = 0; kind < WS_STOP_KINDS; kind++) {
		uint64_t made = a->counters[WS_COUNTER_MADE_KIND + kind];
		uint64_t came = a->arrived_of[kind];

		stop->made_of[kind] = made + a->made_of[kind];
		/* The kernel's own count, or what never came, whatever became of it. */
		stop->lost_of[kind] = made > came ? made - came : 0;
		stop->lost_of[kind] += order.invalid_of[kind];
		stop->filtered_of[kind] = a->filtered_of[kind];
		stop->produced += stop->made_of[kind];
		stop->lost += stop->lost_of[kind];
	}
}

/* Loss that no session's sequence shows, and that was not announced yet: of sessions that ended
 * without a number to tell it by. */
int ws_live_emit_rest(struct ws_live *live, const struct ws_rec_stop *stop, uint64_t since_ns)
{
	struct ws_order_stats order;
	uint64_t told;

	ws_order_stats(live->order, &order);
	told = order.lost + live->lost_alone;
	if (stop->lost <= told)
		return 0;
	return ws_live_emit_gap(live, WS_GAP_RING_FULL, since_ns, stop->lost - told);
}
