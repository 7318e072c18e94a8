/* SPDX-License-Identifier: BSD-2-Clause */
#include "event/order.h"

#include <stdlib.h>

#include "config.h"
#include "event/idmap.h"
#include "event/schema.h"

/* What is known of one session's sequence. */
struct sequence {
	struct ws_id id;
	uint32_t next;	  /* sequence number the next record should have */
	uint64_t last_ns; /* when the last record was made, 0 for none */
	uint16_t server;
	bool exited; /* its exit record arrived */
};

struct ws_order {
	struct ws_sink sink;
	struct ws_idmap sequences;
	struct ws_order_stats stats;
	struct ws_checks checks;
};

struct ws_order *ws_order_new(struct ws_sink sink)
{
	struct ws_order *order = calloc(1, sizeof(*order));

	if (!order)
		return NULL;
	order->sink = sink;
	ws_checks_init(&order->checks);
	return order;
}

static void release(struct ws_id *id)
{
	free(id);
}

void ws_order_free(struct ws_order *order)
{
	if (!order)
		return;
	ws_idmap_deinit(&order->sequences, release);
	free(order);
}

static int emit(struct ws_order *order, const struct ws_rec *rec)
{
	order->stats.records++;
	return order->sink.fn(order->sink.arg, rec);
}

/* `lost` records from seq->next on are missing between the last one and to_ns. */
static int emit_gap(struct ws_order *order, const struct sequence *seq, enum ws_gap_cause cause,
		    uint32_t lost, uint64_t to_ns)
{
	const struct ws_rec_gap gap = {
		.h = {
			.size = sizeof(gap),
			.kind = WS_KIND_GAP,
			.pid = seq->id.pid,
			.start_ns = seq->id.start_ns,
			.time_ns = to_ns,
			.seq = seq->next,
			.server = seq->server,
		},
		.from_ns = seq->last_ns < to_ns ? seq->last_ns : to_ns,
		.to_ns = to_ns,
		.lost = lost,
		.cause = cause,
	};

	order->stats.gaps++;
	order->stats.lost += lost;
	return emit(order, &gap.h);
}

static struct sequence *find(struct ws_order *order, uint32_t pid, uint64_t start_ns)
{
	return (struct sequence *)ws_idmap_find(&order->sequences, pid, start_ns);
}

static struct sequence *add(struct ws_order *order, const struct ws_rec *rec)
{
	struct sequence *seq = calloc(1, sizeof(*seq));

	if (!seq)
		return NULL;
	seq->id.pid = rec->pid;
	seq->id.start_ns = rec->start_ns;
	seq->server = rec->server;
	if (ws_idmap_add(&order->sequences, &seq->id)) {
		free(seq);
		return NULL;
	}
	return seq;
}

static bool is_seeded(const struct ws_rec *rec)
{
	return rec->kind == WS_KIND_SESSION && (rec->flags & WS_SESSION_RUNNING);
}

/* Records of the kernel that belong to a session count in its sequence; the collector's do not. */
static bool is_counted(const struct ws_rec *rec)
{
	return rec->kind < WS_KIND_SERVER && rec->pid != 0;
}

static void count_invalid(struct ws_order *order, const struct ws_rec *rec, size_t size)
{
	order->stats.invalid++;
	if (size >= sizeof(*rec) && rec->kind < WS_STOP_KINDS)
		order->stats.invalid_of[rec->kind]++;
}

/*
 * A record that fails validation is dropped. Only where its head fits exactly into a known
 * session's sequence is it believed to be that session's; a hole left by any other shows at the
 * next record.
 */
static int drop(struct ws_order *order, const void *data, size_t size)
{
	const struct ws_rec *rec = data;
	struct sequence *seq;
	int rc;

	count_invalid(order, rec, size);
	if (size < sizeof(*rec) || !is_counted(rec))
		return 0;
	seq = find(order, rec->pid, rec->start_ns);
	if (!seq || rec->seq != seq->next || rec->time_ns < seq->last_ns)
		return 0;
	rc = emit_gap(order, seq, WS_GAP_INVALID, 1, rec->time_ns);
	seq->next++;
	seq->last_ns = rec->time_ns;
	return rc;
}

/* A pid names one process at a time: where a newer one has it, the end of the older was missed. */
static int close_older(struct ws_order *order, const struct ws_rec *rec)
{
	struct ws_id *id = ws_idmap_find_pid(&order->sequences, rec->pid);

	if (!id || id->start_ns / WS_TICK_NS >= rec->start_ns / WS_TICK_NS)
		return 0;
	return ws_order_session_gone(order, id->pid, id->start_ns, ((struct sequence *)id)->next,
				     rec->time_ns);
}

int ws_order_feed(struct ws_order *order, const void *data, size_t size)
{
	const struct ws_rec *rec = data;
	struct sequence *seq;
	uint32_t hole;

	if (!ws_checks_pass(&order->checks, data, size))
		return drop(order, data, size);
	if (!is_counted(rec))
		return emit(order, rec);
	seq = find(order, rec->pid, rec->start_ns);
	if (!seq) {
		if (close_older(order, rec))
			return -1;
		seq = add(order, rec);
		if (!seq)
			return -1;
		if (is_seeded(rec))
			seq->next = rec->seq;
	}
	/* The numbers wrap around: at 10,000 records a second after five days. */
	hole = rec->seq - seq->next;
	if (hole > INT32_MAX) {
		/* From the past. A walsender's record that was found running is made by the
		 * collector, which the programs may overtake; nothing else can be late. */
		if (is_seeded(rec))
			return emit(order, rec);
		count_invalid(order, rec, size);
		return 0;
	}
	if (hole && emit_gap(order, seq, WS_GAP_RING_FULL, hole, rec->time_ns))
		return -1;
	seq->next = rec->seq + 1;
	seq->last_ns = rec->time_ns;
	seq->server = rec->server;
	seq->exited = rec->kind == WS_KIND_EXIT;
	return emit(order, rec);
}

bool ws_order_knows(struct ws_order *order, uint32_t pid, uint64_t start_ns)
{
	return find(order, pid, start_ns) != NULL;
}

uint64_t ws_order_last_ns(struct ws_order *order, uint32_t pid, uint64_t start_ns)
{
	const struct sequence *seq = find(order, pid, start_ns);

	return seq ? seq->last_ns : 0;
}

/* How many of the records the kernel made up to next_seq have not arrived. */
static uint32_t missing(const struct sequence *seq, uint32_t next_seq)
{
	uint32_t lost = next_seq - seq->next;

	return lost > INT32_MAX ? 0 : lost; /* more arrived than the caller knew of */
}

int ws_order_session_gone(struct ws_order *order, uint32_t pid, uint64_t start_ns,
			  uint32_t next_seq, uint64_t now_ns)
{
	const struct sequence unknown = { .id = { .pid = pid, .start_ns = start_ns } };
	struct sequence *known = find(order, pid, start_ns);
	const struct sequence *seq = known ? known : &unknown;
	uint32_t lost = missing(seq, next_seq);
	int rc = 0;

	if (lost || (known && !known->exited))
		rc = emit_gap(order, seq, seq->exited ? WS_GAP_RING_FULL : WS_GAP_EXIT_MISSED, lost,
			      now_ns);
	if (known) {
		ws_idmap_remove(&order->sequences, &known->id);
		free(known);
	}
	return rc;
}

int ws_order_session_tail(struct ws_order *order, uint32_t pid, uint64_t start_ns,
			  uint32_t next_seq, uint64_t now_ns)
{
	const struct sequence unknown = { .id = { .pid = pid, .start_ns = start_ns } };
	struct sequence *known = find(order, pid, start_ns);
	const struct sequence *seq = known ? known : &unknown;
	uint32_t lost = missing(seq, next_seq);
	int rc;

	if (!lost)
		return 0;
	rc = emit_gap(order, seq, WS_GAP_RING_FULL, lost, now_ns);
	if (known)
		known->next = next_seq;
	return rc;
}

void ws_order_stats(const struct ws_order *order, struct ws_order_stats *stats)
{
	*stats = order->stats;
}
