/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What logical sessions have decoded, and what they hold, looked at about once a second: out of
 * their memory, and out of what the programs have added up.
 */
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "live/private.h"
#include "probe/decoding.h"

/* A binary in which the context is not found so often has it elsewhere. */
#define TRIES_MAX 20

/* As last told of a session. */
struct ws_decoded {
	struct ws_rec_decoding rec;
	struct ws_holding holding;
	uint64_t since_lsn; /* how far it was when it was looked at first */
	bool seen;	    /* in the round going on */
};

struct rows {
	struct ws_live *live;
	struct ws_rec_decoding *items;
	size_t count, cap;
	bool failed;
};

static uint64_t stream_context(struct ws_binary *binary, const struct ws_decoding_place *place)
{
	uint64_t start, end;

	if (!binary->decoding_variable && binary->decoding_tries < TRIES_MAX) {
		binary->decoding_tries++;
		ws_decoding_range(binary->image, &start, &end);
		binary->decoding_variable = ws_decoding_find(place, start, end);
	}
	return binary->decoding_variable ? ws_decoding_context(place, binary->decoding_variable)
					 : 0;
}

/* What the programs have added up. Up to 13 there is nothing to add. */
static void take_sums(const struct ws_binary *binary, const struct ws_entry *entry,
		      struct ws_rec_decoding *rec)
{
	const struct ws_server_config *config = &binary->plan.config;
	const struct ws_decoding *d = &entry->decoding;

	if (config->site_addr[WS_SITE_SPILL_STATS] && config->site_addr[WS_SITE_STREAM_STATS]) {
		rec->spill_txns = d->stats[WS_STAT_SPILL_TXNS];
		rec->spill_count = d->stats[WS_STAT_SPILL_COUNT];
		rec->spill_bytes = d->stats[WS_STAT_SPILL_BYTES];
		rec->stream_txns = d->stats[WS_STAT_STREAM_TXNS];
		rec->stream_count = d->stats[WS_STAT_STREAM_COUNT];
		rec->stream_bytes = d->stats[WS_STAT_STREAM_BYTES];
		rec->valid |= WS_DECODING_STATS;
	}
	if (config->site_addr[WS_SITE_SPILL_START] && config->site_addr[WS_SITE_SPILL_END] &&
	    config->site_addr[WS_SITE_RESTORE_START] && config->site_addr[WS_SITE_RESTORE_END] &&
	    !d->missed) {
		rec->spill_ns = d->spill_ns;
		rec->restore_ns = d->restore_ns;
		rec->valid |= WS_DECODING_TIMES;
	}
}

static struct ws_decoded *last_of(struct ws_live *live, const struct ws_rec *h)
{
	for (size_t i = 0; i < live->decoded_count; i++) {
		const struct ws_rec *last = &live->decoded[i].rec.h;

		if (last->pid == h->pid && last->start_ns == h->start_ns)
			return &live->decoded[i];
	}
	return NULL;
}

static void take_spilled(struct ws_live *live, const struct ws_binary *binary,
			 const struct ws_entry *entry, struct ws_rec_decoding *rec)
{
	const struct ws_server_config *config = &binary->plan.config;
	const struct ws_decoded *last = last_of(live, &rec->h);

	if (config->site_addr[WS_SITE_SPILL_START] && config->off.txn_toplevel_xid != WS_UNKNOWN &&
	    config->off.txn_size != WS_UNKNOWN)
		ws_decoding_spilled(&entry->decoding, last ? last->since_lsn : rec->read_lsn, rec);
}

static void take(void *arg, uint32_t pid, const struct ws_entry *entry)
{
	struct rows *rows = arg;
	struct ws_live *live = rows->live;
	struct ws_binary *binary = ws_live_binary(live, entry->server);
	bool makes_slot = entry->decoding.slot_context && entry->flags & WS_ENTRY_IN_COMMAND;
	bool streams = (entry->flags & (WS_ENTRY_IN_LOOP | WS_ENTRY_LOGICAL)) ==
		       (WS_ENTRY_IN_LOOP | WS_ENTRY_LOGICAL);
	struct ws_rec_decoding rec = { 0 }, *row;
	struct ws_decoding_place place;
	uint64_t context;

	if (entry->flags & WS_ENTRY_DEAD || !(entry->flags & WS_ENTRY_BASE) ||
	    (!streams && !makes_slot) || !binary || !binary->image ||
	    !ws_order_knows(live->order, pid, entry->start_ns))
		return;
	place = (struct ws_decoding_place){
		.pid = pid,
		.base = entry->base,
		.off = &binary->plan.config.off,
		.my_replication_slot = binary->plan.config.var.my_replication_slot,
	};
	if (streams)
		context = stream_context(binary, &place);
	else
		context = ws_decoding_is_context(&place, entry->decoding.slot_context)
				  ? entry->decoding.slot_context
				  : 0;
	if (!ws_decoding_read(&place, context, !streams, &rec))
		return;
	take_sums(binary, entry, &rec);
	rec.h = (struct ws_rec){ .size = sizeof(rec),
				 .kind = WS_KIND_DECODING,
				 .pid = pid,
				 .time_ns = ws_clock_mono_ns(),
				 .start_ns = entry->start_ns,
				 .server = entry->server };
	take_spilled(live, binary, entry, &rec);
	row = ws_array_grow(&rows->items, &rows->count, &rows->cap, sizeof(*row));
	if (row)
		*row = rec;
	else
		rows->failed = true;
}

static int tell(struct ws_live *live, const struct ws_rec_decoding *now)
{
	const size_t values = offsetof(struct ws_rec_decoding, read_lsn);
	struct ws_decoded *last = last_of(live, &now->h);
	bool same = last && !memcmp((const char *)&last->rec + values, (const char *)now + values,
				    sizeof(*now) - values);

	if (!last) {
		last = ws_array_grow(&live->decoded, &live->decoded_count, &live->decoded_cap,
				     sizeof(*last));
		if (!last)
			return -1;
		last->since_lsn = now->read_lsn;
	}
	last->seen = true;
	if (!same) {
		last->rec = *now;
		if (ws_order_feed(live->order, now, now->h.size))
			return -1;
	}
	return ws_live_tell_holder(live, &last->holding, now);
}

static void forget(struct ws_live *live)
{
	for (size_t i = 0; i < live->decoded_count;) {
		if (live->decoded[i].seen)
			live->decoded[i++].seen = false;
		else
			live->decoded[i] = live->decoded[--live->decoded_count];
	}
}

int ws_live_emit_decoding(struct ws_live *live)
{
	struct rows rows = { .live = live };
	int rc;

	ws_tracer_each_entry(live->tracer, take, &rows);
	rc = rows.failed ? -1 : 0;
	for (size_t i = 0; i < rows.count && rc == 0; i++)
		rc = tell(live, &rows.items[i]);
	forget(live);
	free(rows.items);
	return rc;
}

void ws_live_decoding_deinit(struct ws_live *live)
{
	free(live->decoded);
}
