/* SPDX-License-Identifier: BSD-2-Clause */
/* Whose the transactions are that hold the slots of logical sessions back, and those that sessions
 * wait for: looked for in the server's processes, once for each such transaction, as that takes a
 * look at all of them. */
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "live/private.h"
#include "shmem/horizon.h"

/* The wall clock's time by the host's own; what was before the host began is then. */
static uint64_t mono(int64_t wall_ns)
{
	struct ws_clocks now;
	int64_t ago;

	if (!wall_ns)
		return 0;
	ws_clocks_read(&now);
	ago = now.wall_ns - wall_ns;
	if (ago < 0)
		return now.mono_ns;
	return (uint64_t)ago < now.mono_ns ? now.mono_ns - (uint64_t)ago : 1;
}

static void fill(const struct ws_shmem *shmem, const struct ws_hold *hold,
		 struct ws_rec_holder *rec)
{
	struct ws_shmem process = *shmem;

	rec->since_ns = mono(hold->since_ns);
	if (hold->kind == WS_HOLDS_PREPARED) {
		rec->what = WS_HELD_PREPARED;
		snprintf(rec->gid, sizeof(rec->gid), "%.*s", WS_NAME_LEN - 1, hold->gid);
		return;
	}
	rec->what = WS_HELD_PROCESS;
	rec->holder_pid = hold->pid;
	process.pid = hold->pid;
	ws_shmem_port_text(&process, shmem->off->port_user, rec->user, sizeof(rec->user));
	ws_shmem_port_text(&process, shmem->off->port_database, rec->database,
			   sizeof(rec->database));
	ws_shmem_port_text(&process, shmem->off->port_application, rec->application,
			   sizeof(rec->application));
}

struct search {
	const struct ws_shmem *shmem;
	uint32_t xid;
	struct ws_hold hold;
};

static bool has_it(void *arg, const struct ws_process *child)
{
	struct search *search = arg;

	return ws_horizon_process(search->shmem, child, search->xid, &search->hold);
}

/* False if nobody has it: it ended, and its end was not decoded so far. */
static bool find(struct ws_live *live, struct ws_rec_holder *rec)
{
	const struct ws_binary *binary = ws_live_binary(live, rec->h.server);
	struct search search = { .xid = rec->xid };
	struct ws_known_postmaster *item;
	struct ws_entry entry;

	if (!binary || !binary->image || !ws_tracer_entry(live->tracer, rec->h.pid, &entry))
		return false;
	item = ws_live_announced(live, entry.postmaster_pid);
	search.shmem = item ? ws_live_shmem(item, binary) : NULL;
	if (!search.shmem || (ws_proc_each_child(&live->proc, item->pid, has_it, &search) <= 0 &&
			      !ws_horizon_prepared(search.shmem, rec->xid, &search.hold)))
		return false;
	fill(search.shmem, &search.hold, rec);
	return true;
}

int ws_live_tell_holder(struct ws_live *live, struct ws_holding *holding,
			const struct ws_rec_decoding *now)
{
	struct ws_rec_holder rec = { .h = now->h };
	bool other = now->oldest_xid != holding->xid, was_told = holding->told;

	/* The list of transactions changed while it was read: nothing is known now. */
	if (!(now->valid & WS_DECODING_TXNS))
		return 0;
	rec.h.kind = WS_KIND_HOLDER;
	rec.h.size = sizeof(rec);
	rec.h.time_ns = ws_clock_mono_ns();
	if (other) {
		*holding = (struct ws_holding){ .xid = now->oldest_xid };
		return was_told ? ws_order_feed(live->order, &rec, sizeof(rec)) : 0;
	}
	holding->rounds++;
	/* Looked for ever more seldom: after one round, two, four, ... */
	if (!holding->xid || holding->told || holding->rounds & (holding->rounds - 1))
		return 0;
	rec.xid = now->oldest_xid;
	rec.first_lsn = now->oldest_lsn;
	holding->told = find(live, &rec);
	return holding->told ? ws_order_feed(live->order, &rec, sizeof(rec)) : 0;
}

int ws_live_tell_awaited(struct ws_live *live, const struct ws_rec *session, uint32_t xid)
{
	struct ws_rec_holder rec = { .h = *session, .xid = xid, .why = WS_HELD_AWAITED };

	rec.h.kind = WS_KIND_HOLDER;
	rec.h.size = sizeof(rec);
	return find(live, &rec) ? ws_order_feed(live->order, &rec, sizeof(rec)) : 0;
}
