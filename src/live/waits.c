/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What sessions wait for and no probe shows, read off the servers' memory ten times a second.
 *
 * A look comes in three steps. First all sessions are read. Then the ring is drained, so that what
 * a session did before its sample has arrived. Only then it is told what changed: of the time
 * behind the session's last own record, and nothing if one came behind the sample.
 */
#include <stdlib.h>
#include <time.h>

#include "base/util.h"
#include "live/private.h"
#include "probe/wait.h"

#define LOOK_NS 100000000ULL
/* A sample behind the signal in which the process runs says that the stop is over; within this time
 * it may not have had a CPU to take the signal on. */
#define STOP_WITHIN_NS 500000000ULL

/* What a session was seen to wait for. */
struct seen {
	uint64_t time_ns;  /* 0: not looked at yet */
	uint64_t since_ns; /* not before this: for most the sample before */
	uint32_t on;	   /* enum ws_blocked_on */
	uint32_t wait;
	struct ws_wait_lock lock;
};

struct waiter {
	struct ws_id id; /* first */
	struct ws_wait_place place;
	uint16_t server;
	uint32_t postmaster;
	uint64_t round;	  /* of the look in which the session was there last */
	uint64_t run_ns;  /* by the last sample: CPU time ... */
	uint64_t site_ns; /* ... and when it had passed its last site */
	uint64_t own_ns;  /* the session's last own record when it was told last */
	struct seen now, told;
	bool stopped; /* by a signal, or a debugger: it waits for what it waited for before */
	uint64_t stop_ns, resumed_ns;
};

struct ws_waits {
	struct ws_idmap by_id;
	struct waiter **items;
	size_t count, cap;
	uint64_t round, look_ns;
	bool failed; /* memory ran out */
};

static struct waiter *add(struct ws_live *live, uint32_t pid, const struct ws_entry *entry)
{
	struct ws_waits *waits = live->waits;
	const struct ws_binary *binary = ws_live_binary(live, entry->server);
	const struct ws_image_symbol *my_proc;
	struct waiter **slot, *w;

	if (!binary || !binary->image || !(entry->flags & WS_ENTRY_BASE))
		return NULL; /* not yet */
	w = calloc(1, sizeof(*w));
	slot = w ? ws_array_grow(&waits->items, &waits->count, &waits->cap, sizeof(*slot)) : NULL;
	if (!slot) {
		free(w);
		waits->failed = true;
		return NULL;
	}
	*slot = w;
	w->id = (struct ws_id){ .pid = pid, .start_ns = entry->start_ns };
	w->server = entry->server;
	w->postmaster = entry->postmaster_pid;
	my_proc = ws_image_symbol(binary->image, "MyProc");
	ws_wait_place_init(&w->place, pid, entry->base, &binary->plan.config.off,
			   ws_symbol_address(&binary->symbols, "my_wait_event_info"),
			   my_proc && !my_proc->is_function ? my_proc->address : 0);
	if (ws_idmap_add(&waits->by_id, &w->id)) {
		waits->count--;
		waits->failed = true;
		free(w);
		return NULL;
	}
	return w;
}

static uint64_t cpu_ns(uint32_t pid)
{
	struct timespec ts;
	clockid_t clock;

	if (clock_getcpuclockid((pid_t)pid, &clock) || clock_gettime(clock, &ts))
		return 0;
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* Whatever a physical walsender computes between two sites takes less, if it does not spin. */
#define SPIN_RUN_NS 1000000ULL

/*
 * With CopyDone sent and not answered WalSndLoop neither sends nor waits (walsender.c: the sleep
 * asks for !streamingDoneSending). It looks for replies again and again, for which it passes no
 * site. On a busy host it gets little of a CPU for that.
 */
static bool spins(struct waiter *w, const struct ws_entry *entry, const struct seen *now)
{
	const uint32_t mask = WS_ENTRY_IN_LOOP | WS_ENTRY_LOGICAL | WS_ENTRY_TURNS;
	uint64_t run_ns, ran;
	bool may = !now->wait && (entry->flags & mask) == (WS_ENTRY_IN_LOOP | WS_ENTRY_TURNS);
	bool still = w->now.time_ns && may && entry->mark_ns == w->site_ns && w->run_ns;

	run_ns = may ? cpu_ns(w->id.pid) : 0;
	ran = run_ns - w->run_ns;
	w->run_ns = run_ns;
	w->site_ns = entry->mark_ns;
	return still && run_ns && (ran > SPIN_RUN_NS || w->now.on == WS_BLOCKED_COPYDONE);
}

static void look_at(void *arg, uint32_t pid, const struct ws_entry *entry)
{
	struct ws_live *live = arg;
	struct waiter *w;
	struct seen now = { 0 };

	if (entry->flags & WS_ENTRY_DEAD)
		return;
	w = (struct waiter *)ws_idmap_find(&live->waits->by_id, pid, entry->start_ns);
	if (!w)
		w = add(live, pid, entry);
	if (!w)
		return;
	w->round = live->waits->round;
	now.time_ns = ws_clock_mono_ns();
	if (ws_wait_read(&w->place, &now.wait))
		now.on = spins(w, entry, &now) ? WS_BLOCKED_COPYDONE
					       : ws_wait_judge(&w->place, now.wait,
							       entry->flags & WS_ENTRY_IN_LOOP);
	now.since_ns = now.on == WS_BLOCKED_COPYDONE ? entry->mark_ns : w->now.time_ns;
	if (now.on == WS_BLOCKED_LOCK)
		ws_wait_lock_read(&w->place, &now.lock);
	w->now = now;
}

/* The pid that walscope knows a process of the same server by; 0 if it cannot be told. */
static uint32_t own_pid(const struct ws_live *live, const struct waiter *w, uint32_t ns_pid)
{
	struct ws_server_list list = { 0 };
	struct ws_process process;
	uint32_t found = 0;

	if (!ns_pid || !ws_proc_read(&live->proc, w->id.pid, &process))
		return 0;
	if (process.ns_pid == process.pid)
		return ns_pid;
	if (ws_proc_servers(&live->proc, &list, NULL, NULL))
		return 0;
	for (size_t i = 0; i < list.count; i++) {
		const struct ws_postmaster *server = &list.servers[i];

		if (server->process.pid != w->postmaster)
			continue;
		for (size_t j = 0; j < server->child_count; j++)
			if (server->children[j].ns_pid == ns_pid)
				found = server->children[j].pid;
	}
	ws_server_list_deinit(&list);
	return found;
}

static bool is_told(const struct waiter *w)
{
	return w->now.on == w->told.on &&
	       (w->now.on != WS_BLOCKED_LOCK || ws_wait_lock_same(&w->now.lock, &w->told.lock));
}

static int emit(struct ws_live *live, const struct waiter *w, uint64_t own_ns)
{
	struct ws_rec_blocked rec = {
		.h = {
			.size = sizeof(rec),
			.kind = WS_KIND_BLOCKED,
			.pid = w->id.pid,
			.time_ns = w->now.time_ns,
			.start_ns = w->id.start_ns,
			.server = w->server,
		},
		.on = w->now.on,
		.wait_event = w->now.wait,
		.since_ns = w->now.since_ns > own_ns ? w->now.since_ns : own_ns,
	};

	if (rec.since_ns < w->resumed_ns)
		rec.since_ns = w->resumed_ns;
	if (rec.on == WS_BLOCKED_LOCK) {
		rec.xid = w->now.lock.xid;
		rec.holder_pid = own_pid(live, w, ws_wait_lock_holder(&w->place, &w->now.lock));
	}
	if (ws_order_feed(live->order, &rec, sizeof(rec)))
		return -1;
	return rec.xid ? ws_live_tell_awaited(live, &rec.h, rec.xid) : 0;
}

static int tell(struct ws_live *live, struct waiter *w)
{
	uint64_t own_ns = ws_order_last_ns(live->order, w->id.pid, w->id.start_ns);

	if (w->stopped) /* that is told elsewhere; what it waits for is told anew behind it */
		return 0;
	if (!own_ns) /* its first record is still to come, or it is one that nobody wants */
		return 0;
	/* Its own record ended what was told. */
	if (own_ns != w->own_ns)
		w->told = (struct seen){ 0 };
	w->own_ns = own_ns;
	if (own_ns > w->now.time_ns || is_told(w))
		return 0;
	w->told = w->now;
	return emit(live, w, own_ns);
}

static void note_stop(struct ws_live *live, const struct ws_rec *session, bool stopped,
		      uint64_t time_ns, uint64_t within_ns)
{
	struct waiter *w = live->waits
				   ? (struct waiter *)ws_idmap_find(&live->waits->by_id,
								    session->pid, session->start_ns)
				   : NULL;

	if (!w)
		return;
	if (stopped && !w->stopped) {
		w->stopped = true;
		w->stop_ns = time_ns;
	} else if (!stopped && w->stopped && time_ns >= w->stop_ns + within_ns) {
		w->stopped = false;
		w->resumed_ns = time_ns;
		w->told = (struct seen){ 0 };
	}
}

void ws_live_waits_signal(struct ws_live *live, const struct ws_rec *session, bool stopped,
			  uint64_t time_ns)
{
	note_stop(live, session, stopped, time_ns, 0);
}

void ws_live_waits_sampled(struct ws_live *live, const struct ws_rec *session, bool stopped)
{
	note_stop(live, session, stopped, session->time_ns, STOP_WITHIN_NS);
}

static void forget(struct ws_waits *waits, size_t i)
{
	struct waiter *w = waits->items[i];

	ws_idmap_remove(&waits->by_id, &w->id);
	free(w);
	waits->items[i] = waits->items[--waits->count];
}

static int look(struct ws_live *live)
{
	struct ws_waits *waits = live->waits;

	waits->round++;
	ws_tracer_each_entry(live->tracer, look_at, live);
	if (waits->failed || ws_ring_consume(live->ring) < 0)
		return -1;
	for (size_t i = 0; i < waits->count;) {
		if (waits->items[i]->round != waits->round) {
			forget(waits, i);
			continue;
		}
		if (tell(live, waits->items[i]))
			return -1;
		i++;
	}
	return 0;
}

int ws_live_emit_waits(struct ws_live *live)
{
	uint64_t now = ws_clock_mono_ns();

	if (!live->waits) {
		live->waits = calloc(1, sizeof(*live->waits));
		if (!live->waits)
			return -1;
	}
	if (now - live->waits->look_ns < LOOK_NS)
		return 0;
	live->waits->look_ns = now;
	return look(live);
}

void ws_live_waits_deinit(struct ws_live *live)
{
	if (!live->waits)
		return;
	ws_idmap_deinit(&live->waits->by_id, NULL);
	for (size_t i = 0; i < live->waits->count; i++)
		free(live->waits->items[i]);
	free(live->waits->items);
	free(live->waits);
}
