/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sequence.c: each session's records are numbered without a hole, and gaps tell of those that are
 * missing. Lines that are missing or bad leave holes of which no gap tells: one is put there.
 */
#include <stdlib.h>
#include <string.h>

#include "event/idmap.h"
#include "import/parts.h"

#define TICK_NS 10000000ULL

/* By pid and clock ticks. */
struct numbered {
	struct ws_id id; /* its start_ns: the ticks */
	uint64_t start_ns;
	uint32_t next;	     /* number of the next record */
	unsigned int damage; /* that its numbers have been seen behind */
	uint64_t last_ns;
	bool any;
};

struct ws_sequence {
	struct ws_sink sink;
	struct ws_idmap sessions;
	uint64_t last_ns;    /* of any record */
	unsigned int damage; /* gaps that are no session's own, and stand for records of all */
};

static void release(struct ws_id *id)
{
	free(id);
}

struct ws_sequence *ws_sequence_new(struct ws_sink sink)
{
	struct ws_sequence *sequence = calloc(1, sizeof(*sequence));

	if (sequence)
		sequence->sink = sink;
	return sequence;
}

void ws_sequence_free(struct ws_sequence *sequence)
{
	if (!sequence)
		return;
	ws_idmap_deinit(&sequence->sessions, release);
	free(sequence);
}

static struct numbered *find(struct ws_sequence *sequence, uint32_t pid, uint64_t ticks)
{
	return (struct numbered *)ws_idmap_find(&sequence->sessions, pid, ticks);
}

uint64_t ws_sequence_start(struct ws_sequence *sequence, uint32_t pid, uint64_t ticks,
			   uint64_t start_ns)
{
	struct numbered *n = find(sequence, pid, ticks);

	if (n)
		return n->start_ns;
	n = calloc(1, sizeof(*n));
	if (!n)
		return 0;
	n->id.pid = pid;
	n->id.start_ns = ticks;
	/* 0 would name no session. */
	n->start_ns = start_ns && start_ns / TICK_NS == ticks ? start_ns : ticks * TICK_NS + !ticks;
	if (ws_idmap_add(&sequence->sessions, &n->id)) {
		free(n);
		return 0;
	}
	return n->start_ns;
}

static int put_gap(struct ws_sequence *sequence, const struct ws_rec *head, uint64_t from_ns,
		   uint64_t to_ns, uint64_t lost, enum ws_gap_cause cause)
{
	struct ws_rec_gap gap = { .h = *head };

	gap.h.size = sizeof(gap);
	gap.h.kind = WS_KIND_GAP;
	gap.h.flags = 0;
	gap.from_ns = from_ns;
	gap.to_ns = to_ns;
	gap.lost = lost;
	gap.cause = cause;
	return sequence->sink.fn(sequence->sink.arg, &gap.h);
}

/* Records in front of this one are missing. */
static int fill_hole(struct ws_sequence *sequence, struct numbered *n, const struct ws_rec *rec)
{
	struct ws_rec head = *rec;

	head.seq = n->next;
	return put_gap(sequence, &head, n->last_ns < rec->time_ns ? n->last_ns : rec->time_ns,
		       rec->time_ns, rec->seq - n->next, WS_GAP_TORN);
}

static void step_over_gap(struct numbered *n, const struct ws_rec *rec)
{
	const struct ws_rec_gap *gap = (const void *)rec;
	uint64_t behind = (uint64_t)rec->seq + gap->lost;

	if (behind > n->next && behind <= UINT32_MAX)
		n->next = (uint32_t)behind;
}

int ws_sequence_feed(struct ws_sequence *sequence, struct ws_rec *rec, bool numbered)
{
	struct numbered *n =
		rec->start_ns ? find(sequence, rec->pid, rec->start_ns / TICK_NS) : NULL;
	int rc = 0;

	if (rec->time_ns > sequence->last_ns)
		sequence->last_ns = rec->time_ns;
	if (n && rec->kind < WS_KIND_SERVER) {
		if (!numbered)
			rec->seq = n->next;
		/* The first one may be in the middle: where a recording begins, or a filter does.
		 */
		if (n->any && rec->seq > n->next && n->damage == sequence->damage)
			rc = fill_hole(sequence, n, rec);
		n->damage = sequence->damage;
		if (rec->seq >= n->next && rec->seq < UINT32_MAX)
			n->next = rec->seq + 1;
		n->last_ns = rec->time_ns;
		n->any = true;
	} else if (n && rec->kind == WS_KIND_GAP && numbered) {
		step_over_gap(n, rec);
	} else if (!rec->pid && rec->kind == WS_KIND_GAP) {
		sequence->damage++;
	}
	return rc ? rc : sequence->sink.fn(sequence->sink.arg, rec);
}

int ws_sequence_bad(struct ws_sequence *sequence, uint32_t pid, uint64_t start_ns)
{
	struct numbered *n = start_ns ? find(sequence, pid, start_ns / TICK_NS) : NULL;
	struct ws_rec head = { .time_ns = sequence->last_ns };

	/* The hole that it leaves in its session's numbers will tell; of one that has none yet
	 * there is nothing to tell of. */
	if (n && n->any)
		return 0;
	if (!sequence->last_ns)
		return 0;
	return put_gap(sequence, &head, sequence->last_ns, sequence->last_ns, 1, WS_GAP_INVALID);
}
