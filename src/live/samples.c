/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is sampled of the sessions about once a second: their sockets' counters, and what the kernel
 * says of their processes. The exit record has the former as of the end.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "live/changed.h"
#include "live/private.h"
#include "target/memory.h"
#include "target/usage.h"

/* One session: what was taken of it now, or told of it last. */
struct ws_sampled {
	struct ws_taken taken;
	struct ws_rec_cgroup cgroup; /* path "": none with a quota */
	uint64_t running_ns;	     /* when it was last seen not to be stopped, 0 for never */
	uint32_t stop_seq;	     /* its next record when a stop was told */
	bool stop_told;		     /* by a record from here */
	bool stop_signalled;	     /* by the signal's */
};

struct rows {
	struct ws_live *live;
	struct ws_sampled *items;
	size_t count, cap;
	struct ws_cgroups cgroups;
	struct ws_wal_ends ends; /* of the server of this postmaster, 0: of none */
	uint32_t ends_of;
	bool failed;
};

static const struct ws_rec *head_of(const struct ws_sampled *row)
{
	return &row->taken.sample.h;
}

static int by_session(const void *a, const void *b)
{
	const struct ws_rec *x = head_of(a), *y = head_of(b);

	if (x->pid != y->pid)
		return x->pid < y->pid ? -1 : 1;
	return x->start_ns < y->start_ns ? -1 : x->start_ns > y->start_ns;
}

/* pqcomm.c socket_is_send_pending. The variables are int up to 15, size_t from 16 on; of what is
 * not sent the low halves tell. Start beyond the end was written between the two reads. */
static bool read_pending(const struct ws_live *live, const struct ws_taken *taken, uint32_t *bytes)
{
	const struct ws_rec *h = &taken->sample.h;
	const struct ws_binary *binary = ws_live_binary((struct ws_live *)live, h->server);
	const struct ws_variables *var = binary ? &binary->plan.config.var : NULL;
	uint32_t start, pointer;

	if (!var || !var->pq_send_pointer || !var->pq_send_start ||
	    !(taken->flags & WS_ENTRY_BASE) ||
	    !ws_memory_read(h->pid, taken->base + var->pq_send_start, &start, sizeof(start)) ||
	    !ws_memory_read(h->pid, taken->base + var->pq_send_pointer, &pointer,
			    sizeof(pointer)) ||
	    start > pointer)
		return false;
	*bytes = pointer - start;
	return true;
}

_Static_assert(WS_CGROUP_LEN == WS_CGROUP_PATH, "the path fits");

static void note_cgroup(const struct ws_cgroups *groups, struct ws_sampled *row)
{
	struct ws_rec_cgroup *rec = &row->cgroup;

	rec->h = *head_of(row);
	rec->h.size = sizeof(*rec);
	rec->h.kind = WS_KIND_CGROUP;
	rec->quota_us = groups->quota_us;
	rec->period_us = groups->period_us;
	memcpy(rec->path, groups->limiting, sizeof(rec->path));
}

static bool cgroup_changed(const struct ws_rec_cgroup *last, const struct ws_rec_cgroup *now)
{
	return now->quota_us != last->quota_us || now->period_us != last->period_us ||
	       memcmp(now->path, last->path, sizeof(now->path)) != 0;
}

/*
 * Up to where there is WAL to send. The server is asked behind the session, so that it is not the
 * one that is behind. Less than was sent is no such position: what was received from upstream,
 * where the WAL comes from an archive.
 */
static bool read_target(struct rows *rows, const struct ws_taken *taken, uint64_t *lsn)
{
	struct ws_live *live = rows->live;
	const struct ws_binary *binary = ws_live_binary(live, taken->sample.h.server);
	struct ws_known_postmaster *item;

	if (!binary || !binary->image || !(taken->flags & WS_ENTRY_IN_LOOP))
		return false;
	if (rows->ends_of != taken->postmaster_pid) {
		item = ws_live_announced(live, taken->postmaster_pid);
		if (!item)
			return false;
		ws_live_wal_ends(item, binary, &rows->ends);
		rows->ends_of = taken->postmaster_pid;
	}
	*lsn = ws_wal_target(&rows->ends, taken->flags & WS_ENTRY_LOGICAL);
	return *lsn && *lsn >= taken->sent_lsn;
}

/* What the kernel's programs do not say. */
static void complete(struct rows *rows, struct ws_sampled *row)
{
	struct ws_taken *taken = &row->taken;
	struct ws_rec_sample *sample = &taken->sample;
	const struct ws_proc *proc = &rows->live->proc;
	uint64_t value, own;

	if (ws_usage_rss(proc, sample->h.pid, &value, &own)) {
		sample->rss_bytes = value;
		sample->private_bytes = own;
		sample->valid |= WS_SAMPLE_RSS | WS_SAMPLE_PRIVATE;
	}
	if (ws_usage_throttled(proc, &rows->cgroups, sample->h.pid, &value)) {
		sample->throttled_ns = value;
		sample->valid |= WS_SAMPLE_THROTTLED;
		note_cgroup(&rows->cgroups, row);
	}
	if (read_pending(rows->live, taken, &sample->pending_bytes))
		sample->valid |= WS_SAMPLE_PENDING;
	if (read_target(rows, taken, &value)) {
		sample->target_lsn = value;
		sample->valid |= WS_SAMPLE_TARGET;
	}
}

/* Of a session whose first record still is in the ring nothing can be said yet. */
static void take(void *arg, const struct ws_taken *taken)
{
	struct rows *rows = arg;
	const struct ws_rec *h = &taken->sample.h;
	struct ws_sampled *row;

	if (!ws_order_knows(rows->live->order, h->pid, h->start_ns))
		return;
	row = ws_array_grow(&rows->items, &rows->count, &rows->cap, sizeof(*row));
	if (row)
		row->taken = *taken;
	else
		rows->failed = true;
}

static struct ws_sampled *last_of(const struct ws_live *live, const struct ws_sampled *now)
{
	return live->sample_count
		       ? bsearch(now, live->samples, live->sample_count, sizeof(*now), by_session)
		       : NULL;
}

static bool is_stopped(const struct ws_sampled *row)
{
	uint8_t state = row->taken.sample.task_state;

	return state == 'T' || state == 't';
}

static int tell_blocked(struct ws_live *live, const struct ws_sampled *row, enum ws_blocked_on on,
			uint64_t since_ns)
{
	struct ws_rec_blocked rec = { .h = *head_of(row), .on = on, .since_ns = since_ns };

	rec.h.size = sizeof(rec);
	rec.h.kind = WS_KIND_BLOCKED;
	return ws_order_feed(live->order, &rec, sizeof(rec));
}

/* A stop that no signal's record tells: by a debugger, or found. That it is over shows by what the
 * session does, if it does anything. */
static int tell_stop(struct ws_live *live, struct ws_sampled *now)
{
	ws_live_waits_sampled(live, head_of(now), is_stopped(now));
	if (is_stopped(now)) {
		if (now->stop_told || now->stop_signalled)
			return 0;
		now->stop_told = true;
		now->stop_seq = now->taken.seq;
		return tell_blocked(live, now, WS_BLOCKED_STOPPED, now->running_ns);
	}
	now->running_ns = head_of(now)->time_ns;
	if (!now->stop_told)
		return 0;
	now->stop_told = false;
	return now->stop_seq == now->taken.seq ? tell_blocked(live, now, WS_BLOCKED_NOTHING, 0) : 0;
}

/* Every row counts as told from here on, or as what was told before. */
static int tell(struct ws_live *live, struct ws_sampled *now, bool fresh)
{
	const struct ws_sampled *last = last_of(live, now);
	struct ws_rec_socket *socket = &now->taken.socket;
	struct ws_rec_sample *sample = &now->taken.sample;
	int rc = 0;

	if (last && fresh) {
		*now = *last;
		return 0;
	}
	if (last) {
		now->running_ns = last->running_ns;
		now->stop_seq = last->stop_seq;
		now->stop_told = last->stop_told;
		now->stop_signalled = last->stop_signalled;
	}
	rc = tell_stop(live, now);
	if (rc == 0 && socket->h.size) {
		if (last && last->taken.socket.h.size &&
		    !ws_socket_changed(&last->taken.socket, socket))
			*socket = last->taken.socket;
		else
			rc = ws_order_feed(live->order, socket, socket->h.size);
	}
	if (rc == 0 && now->cgroup.path[0] &&
	    (!last || cgroup_changed(&last->cgroup, &now->cgroup)))
		rc = ws_order_feed(live->order, &now->cgroup, sizeof(now->cgroup));
	if (rc)
		return rc;
	if (last && !ws_sample_changed(&last->taken.sample, sample)) {
		*sample = last->taken.sample;
		return 0;
	}
	return ws_order_feed(live->order, sample, sample->h.size);
}

int ws_live_emit_samples(struct ws_live *live, bool fresh)
{
	struct rows rows = { .live = live, .cgroups = { .root = "/sys/fs/cgroup" } };
	int rc = ws_tracer_each_sample(live->tracer, take, &rows);

	if (rc < 0) {
		if (!live->samples_failed)
			ws_log(live->options->log, WS_LOG_WARN,
			       "cannot sample the sessions and their sockets: %s", strerror(-rc));
		live->samples_failed = true;
		free(rows.items);
		return 0;
	}
	if (rows.count)
		qsort(rows.items, rows.count, sizeof(*rows.items), by_session);
	rc = rows.failed ? -1 : 0;
	for (size_t i = 0; i < rows.count && rc == 0; i++) {
		complete(&rows, &rows.items[i]);
		rc = tell(live, &rows.items[i], fresh);
	}
	free(live->samples);
	live->samples = rows.items;
	live->sample_count = rows.count;
	return rc;
}

void ws_live_note_stop(struct ws_live *live, const struct ws_rec_signal *signal)
{
	struct ws_sampled key = { 0 }, *row;

	if (signal->signal != SIGSTOP && signal->signal != SIGCONT)
		return;
	key.taken.sample.h.pid = signal->target_pid;
	key.taken.sample.h.start_ns = signal->target_start_ns;
	ws_live_waits_signal(live, head_of(&key), signal->signal == SIGSTOP, signal->h.time_ns);
	row = last_of(live, &key);
	if (row)
		row->stop_signalled = signal->signal == SIGSTOP;
}

const struct ws_rec_sample *ws_live_sample(const struct ws_live *live, uint32_t pid,
					   uint64_t start_ns)
{
	struct ws_sampled key = { 0 }, *row;

	key.taken.sample.h.pid = pid;
	key.taken.sample.h.start_ns = start_ns;
	row = last_of(live, &key);
	return row ? &row->taken.sample : NULL;
}

void ws_live_samples_deinit(struct ws_live *live)
{
	free(live->samples);
}
