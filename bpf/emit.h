/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * emit.h: putting records into the ring buffer, and never losing one silently.
 *
 * A uprobe program can be preempted by another one on the same CPU (uprobe_multi runs them without
 * bpf_prog_active), so there is no per-CPU scratch memory here: records are built on the stack, in
 * the session's entry, which has one writer, or in the ring.
 */
#ifndef WS_EMIT_H
#define WS_EMIT_H

#include "maps.h"

static __always_inline __u32 current_tgid(void)
{
	return bpf_get_current_pid_tgid() >> 32;
}

static __always_inline void count(enum ws_counter which)
{
	__u32 zero = 0;
	struct ws_counters *c = bpf_map_lookup_elem(&counters, &zero);

	if (c)
		__sync_fetch_and_add(&c->value[which], 1);
}

/* Accounts for a record that was made; `failed` if the ring had no room for it. `e` is NULL for one
 * that belongs to no session. */
static __always_inline void account(struct ws_entry *e, __u16 kind, bool failed)
{
	__u32 zero = 0;
	struct ws_counters *c = bpf_map_lookup_elem(&counters, &zero);

	if (failed && e)
		e->lost++;
	if (!c)
		return;
	__sync_fetch_and_add(&c->value[WS_COUNTER_MADE_KIND + (kind & 63)], 1);
	if (failed)
		__sync_fetch_and_add(&c->value[WS_COUNTER_LOST_KIND + (kind & 63)], 1);
}

/*
 * A wake-up costs several times the record, so there is one only when the unread data crosses the
 * watermark. The band above it makes sure that of several producers one does it, and that a record
 * larger than the band does not step over it: `unread` is what was there before the record.
 */
#define WAKE_BAND 8192
static __always_inline __u64 wake_flags(__u64 unread, __u32 size)
{
	if (unread + size >= ring_watermark && unread < ring_watermark + WAKE_BAND)
		return BPF_RB_FORCE_WAKEUP;
	return BPF_RB_NO_WAKEUP;
}

static __always_inline __u64 ring_unread(void)
{
	return bpf_ringbuf_query(&rb, BPF_RB_AVAIL_DATA);
}

/* For a record whose room of `size` bytes is reserved already, and so counts as unread. */
static __always_inline __u64 wake_flags_reserved(__u32 size)
{
	__u64 unread = ring_unread();

	return wake_flags(unread > size ? unread - size : 0, size);
}

/* Fills the head of a record about a session that is not of its sequence. */
static __always_inline void fill_head_about(struct ws_rec *h, const struct ws_entry *e, __u32 pid,
					    __u16 kind, __u16 size, __u64 now)
{
	h->size = size;
	h->kind = kind;
	h->pid = pid;
	h->time_ns = now;
	h->start_ns = e->start_ns;
	h->server = e->server;
}

/* Fills a record's head. The record takes the session's next number whether it gets through or not.
 */
static __always_inline void fill_head(struct ws_rec *h, struct ws_entry *e, __u32 pid, __u16 kind,
				      __u16 size, __u64 now)
{
	fill_head_about(h, e, pid, kind, size, now);
	h->seq = e->seq++;
}

/* Sends a record whose head is the first member; h->flags are the caller's. */
static __always_inline void emit(struct ws_rec *h, struct ws_entry *e, __u32 pid, __u16 kind,
				 __u16 size, __u64 now)
{
	fill_head(h, e, pid, kind, size, now);
	account(e, kind, bpf_ringbuf_output(&rb, h, size, wake_flags(ring_unread(), size)) != 0);
}

/* Fills the head of a record that belongs to no session. */
static __always_inline void fill_head_alone(struct ws_rec *h, __u16 kind, __u16 size, __u64 now)
{
	__builtin_memset(h, 0, sizeof(*h));
	h->size = size;
	h->kind = kind;
	h->time_ns = now;
}

/* Is this entry the process's that began at `start`? Entries that user space made, and /proc, know
 * clock ticks only. */
static __always_inline bool began_at(const struct ws_entry *e, __u64 start)
{
	return e->start_ns / WS_TICK_NS == start / WS_TICK_NS;
}

/* Makes `next` the current stage; the time since the last change is the stage's that ends. A wait
 * in which it did not sleep was none. */
static __always_inline void advance(struct ws_entry *e, __u64 now, __u8 next)
{
	if (!e->mark_ns) {
		e->turn.begin_ns = now;
		e->mark_ns = now;
	}
	if (e->stage == WS_STAGE_WAIT && e->nap == WS_NAP_NONE)
		e->stage = e->after_wait;
	/* The scheduler may have come between `now` and here. */
	if (now < e->mark_ns)
		now = e->mark_ns;
	e->turn.stage_ns[e->stage & (WS_STAGE_COUNT - 1)] += now - e->mark_ns;
	e->mark_ns = now;
	e->stage = next;
	e->nap = WS_NAP_NONE;
}

/* Begins an empty turn record where the one before ended. */
static __always_inline void turn_reset(struct ws_entry *e, __u64 now)
{
	struct ws_rec_turn *t = &e->turn;

	t->h.flags &= WS_TURN_LOGICAL;
	t->begin_ns = now;
	t->lsn_from = t->lsn_to;
	__builtin_memset(t->stage_ns, 0, sizeof(t->stage_ns));
	t->turns = 0;
	t->sends = 0;
	t->reads = 0;
	t->messages = 0;
	t->message_bytes = 0;
	t->woke = 0;
	t->wait = WS_WAIT_NONE;
	t->wait_mask = 0;
	t->wait_event = 0;
	t->timeout_ms = 0;
}

/* How long it waited for a CPU: in front of the record that tells of that time. */
static __always_inline void off_cpu_emit(struct ws_entry *e, __u32 pid, __u64 now)
{
	__u64 sum = e->off_cpu_sum_ns, ns;
	int i;

	if (sum - e->off_cpu_told_ns < WS_OFF_CPU_MIN_NS)
		return;
	e->off_cpu_told_ns = sum;
	for (i = 0; i < WS_STAGE_COUNT; i++) {
		ns = e->off_cpu_ns[i];
		e->off_cpu.stage_ns[i] = ns - e->off_cpu_before_ns[i];
		e->off_cpu_before_ns[i] = ns;
	}
	emit(&e->off_cpu.h, e, pid, WS_KIND_OFF_CPU, sizeof(e->off_cpu), now);
}

/* Sends what the turn holds. `advance` must have been called with the same `now`, so that the
 * stages add up to time_ns - begin_ns. */
static __always_inline void turn_emit(struct ws_entry *e, __u32 pid, __u64 now)
{
	off_cpu_emit(e, pid, now);
	if (e->turn.h.flags & WS_TURN_REPLY)
		emit(&e->turn.h, e, pid, WS_KIND_TURN, sizeof(e->turn), now);
	else
		emit(&e->turn.h, e, pid, WS_KIND_TURN, WS_TURN_SHORT_SIZE, now);
	turn_reset(e, now);
}

/* Sends what was accumulated since the record before, under the phase that begins or goes on now.
 */
static __always_inline void backup_emit(struct ws_entry *e, __u32 pid, __u32 phase, __u64 now)
{
	struct ws_rec_backup *b = &e->backup;

	off_cpu_emit(e, pid, now);
	b->phase = phase;
	emit(&b->h, e, pid, WS_KIND_BACKUP, sizeof(*b), now);
	b->chunks = 0;
	b->bytes = 0;
	b->send_ns = 0;
}

/* The command ends, in whatever way: what was not yet sent is, also the time in a chunk the client
 * did not take. A backup that failed leaves its last phase as it was. */
static __always_inline void backup_finish(struct ws_entry *e, __u32 pid, __u64 now)
{
	if (e->flags & WS_ENTRY_IN_BACKUP && (e->backup.chunks || e->backup_mark_ns)) {
		if (e->backup_mark_ns)
			e->backup.send_ns += now - e->backup_mark_ns;
		backup_emit(e, pid, e->backup.phase, now);
	}
	e->flags &= ~WS_ENTRY_IN_BACKUP;
	e->backup_mark_ns = 0;
	e->backup.phase = 0;
}

#endif
