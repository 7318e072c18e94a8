/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Walsenders that a server already has when it is found: an entry for each, so that the programs go
 * on from there, and what there is to tell of it.
 */
#include <stdlib.h>

#include "base/util.h"
#include "live/private.h"
#include "probe/seed.h"

static int feed_seed(void *arg, const struct ws_rec *rec)
{
	struct ws_live *live = arg;
	union ws_live_room room;

	ws_live_count_made(live, rec);
	rec = ws_live_doubt(live, rec, &room);
	return rec ? ws_order_feed(live->order, rec, rec->size) : -1;
}

/* Gives the programs its entry. 1, or 0 if it is not to be told of, as they follow it already or
 * have no room (which is told); -1 if the sink said so. */
static int enter(struct ws_live *live, const struct ws_seed *seed)
{
	struct ws_error why;
	int rc = ws_tracer_seed(live->tracer, seed->session.h.pid, &seed->entry, &why);

	if (rc >= 0) /* 0: the programs were faster, and their record of the session stands */
		return rc;
	ws_live_report(live, &why);
	live->unseeded++;
	return ws_live_emit_gap(live, WS_GAP_SESSIONS_FULL, seed->session.h.time_ns, 1) ? -1 : 0;
}

void ws_live_seeds_deinit(struct ws_live_seeds *seeds)
{
	for (size_t i = 0; i < seeds->count; i++)
		ws_seed_deinit(&seeds->items[i]);
	free(seeds->items);
}

/* One process. -1: out of memory, or the sink said so. */
static int seed_child(struct ws_live *live, const struct ws_process *child, uint64_t base,
		      const struct ws_binary *binary, struct ws_live_seeds *seeds)
{
	uint64_t query = ws_symbol_address(&binary->symbols, "debug_query_string");
	uint64_t wait_event = ws_symbol_address(&binary->symbols, "my_wait_event_info");
	struct ws_server_config config = binary->plan.config;
	struct ws_seed seed = { 0 }, *slot = NULL;
	struct ws_error why;
	int rc;

	config.server = binary->server;
	rc = ws_seed_read(child, base, &config, query, wait_event, &seed, &why);
	if (rc < 0) {
		ws_live_report(live, &why);
		rc = 0;
	}
	if (rc > 0)
		rc = enter(live, &seed);
	if (rc > 0) {
		slot = ws_array_grow(&seeds->items, &seeds->count, &seeds->cap, sizeof(*slot));
		if (slot)
			*slot = seed;
		else
			rc = -1;
	}
	if (!slot)
		ws_seed_deinit(&seed);
	return rc < 0 ? -1 : 0;
}

int ws_live_seed_children(struct ws_live *live, const struct ws_postmaster *postmaster,
			  const struct ws_binary *binary, struct ws_live_seeds *seeds)
{
	for (size_t i = 0; i < postmaster->child_count && !ws_live_stopped(live); i++) {
		const struct ws_process *child = &postmaster->children[i];
		struct ws_entry entry;

		if (live->options->pid && live->options->pid != child->pid)
			continue;
		if (ws_tracer_entry(live->tracer, child->pid, &entry))
			continue;
		if (seed_child(live, child, postmaster->base, binary, seeds))
			return -1;
	}
	return 0;
}

int ws_live_tell_seeds(struct ws_live *live, const struct ws_live_seeds *seeds)
{
	for (size_t i = 0; i < seeds->count; i++)
		if (ws_seed_records(&seeds->items[i], feed_seed, live))
			return -1;
	return 0;
}

void ws_live_forget_seeds(struct ws_live *live, const struct ws_live_seeds *seeds)
{
	for (size_t i = 0; i < seeds->count; i++) {
		const struct ws_rec *session = &seeds->items[i].session.h;

		ws_tracer_forget_session(live->tracer, session->pid, session->start_ns);
	}
}
