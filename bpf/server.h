/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * server.h: what the handlers of one server binary share: its configuration, reading its memory,
 * the walsender's place in shared memory.
 */
#ifndef WS_SERVER_H
#define WS_SERVER_H

#include "emit.h"

/* Set before loading, then frozen: the verifier knows each value and drops the branches not taken,
 * so a field that is not known costs nothing. */
const volatile struct ws_server_config cfg;

/* Has the site fired since it was planted? Read-mostly: a store only the first time. */
__u8 site_hit[WS_SITE_COUNT];

/* True (and counted, if not) when the process's memory could be read. */
static __always_inline bool read_user(struct ws_entry *e, void *to, __u32 size, __u64 from)
{
	if (bpf_probe_read_user(to, size, (const void *)from) == 0)
		return true;
	e->unreadable++;
	return false;
}

static __always_inline __u64 read_pointer(struct ws_entry *e, __u64 variable)
{
	__u64 value = 0;

	if (!variable || !read_user(e, &value, sizeof(value), e->base + variable))
		return 0;
	return value;
}

/* The entry of the current process, if this object claimed it. Two objects can be attached to what
 * is one inode to the kernel (overlayfs), and every one of their probes fires for both. */
static __always_inline struct ws_entry *session_of(__u32 pid)
{
	struct ws_entry *e = bpf_map_lookup_elem(&sessions, &pid);

	if (!e || e->server != cfg.server || e->flags & WS_ENTRY_DEAD)
		return NULL;
	return e;
}

/* MyWalSnd is set once, in InitWalSenderSlot, and lies in shared memory. */
static __always_inline __u64 walsnd_of(struct ws_entry *e)
{
	if (!e->walsnd)
		e->walsnd = read_pointer(e, cfg.var.my_walsnd);
	return e->walsnd;
}

static __always_inline __u64 sent_lsn(struct ws_entry *e)
{
	__u64 walsnd = walsnd_of(e), lsn = 0;

	if (walsnd && cfg.off.walsnd_sent != WS_UNKNOWN)
		read_user(e, &lsn, sizeof(lsn), walsnd + cfg.off.walsnd_sent);
	return lsn;
}

/* A copy of the front of struct WalSnd: one read is cheaper than one per field. It may run past the
 * end of the last slot's struct, where shared memory goes on. */
#define WALSND_COPY 112
#define WALSND_FIELD(copy, offset, otherwise) \
	((offset) <= WALSND_COPY - sizeof(__u64) ? *(__u64 *)((copy) + (offset)) : (otherwise))

static __always_inline bool read_walsnd(struct ws_entry *e, char copy[WALSND_COPY])
{
	__u64 walsnd = walsnd_of(e);

	return walsnd && read_user(e, copy, WALSND_COPY, walsnd);
}

static __always_inline void fold_sent(struct ws_rec_turn *t, const char *copy)
{
	__u64 sent = WALSND_FIELD(copy, cfg.off.walsnd_sent, 0);

	if (sent)
		t->lsn_to = sent;
	if (!t->lsn_from) /* a session found running: what was sent before is not this turn's */
		t->lsn_from = sent;
}

/* Since the last look: ProcessStandbyReplyMessage stores its positions and, from 12 on, the
 * standby's time. */
static __always_inline bool is_new_reply(const struct ws_entry *e, const char *copy)
{
	return WALSND_FIELD(copy, cfg.off.walsnd_reply_time, 0) != e->reply_time_us ||
	       WALSND_FIELD(copy, cfg.off.walsnd_write, 0) != e->write_lsn ||
	       WALSND_FIELD(copy, cfg.off.walsnd_flush, 0) != e->flush_lsn ||
	       WALSND_FIELD(copy, cfg.off.walsnd_apply, 0) != e->apply_lsn;
}

static __always_inline void fold_reply(struct ws_entry *e, const char *copy)
{
	struct ws_rec_turn *t = &e->turn;

	t->write_lsn = e->write_lsn = WALSND_FIELD(copy, cfg.off.walsnd_write, 0);
	t->flush_lsn = e->flush_lsn = WALSND_FIELD(copy, cfg.off.walsnd_flush, 0);
	t->apply_lsn = e->apply_lsn = WALSND_FIELD(copy, cfg.off.walsnd_apply, 0);
	t->reply_time_us = e->reply_time_us = WALSND_FIELD(copy, cfg.off.walsnd_reply_time, 0);
	t->write_lag_us = WALSND_FIELD(copy, cfg.off.walsnd_write_lag, (__u64)-1);
	t->flush_lag_us = WALSND_FIELD(copy, cfg.off.walsnd_flush_lag, (__u64)-1);
	t->apply_lag_us = WALSND_FIELD(copy, cfg.off.walsnd_apply_lag, (__u64)-1);
	t->h.flags |= WS_TURN_REPLY;
}

/*
 * Brings the turn up to date with WalSnd: how far has been sent, and whether a reply came in. A
 * record has room for one reply, and in physical replication for one send that moved, behind that
 * reply: what does not fit ends the record.
 */
static __always_inline void turn_fold(struct ws_entry *e, __u32 pid, __u64 now)
{
	char copy[WALSND_COPY] __attribute__((aligned(8)));
	struct ws_rec_turn *t = &e->turn;
	bool moved;

	if (!read_walsnd(e, copy))
		return;
	fold_sent(t, copy);
	if (!is_new_reply(e, copy))
		return;
	moved = !(e->flags & WS_ENTRY_LOGICAL) && t->lsn_to != t->lsn_from;
	if (moved || t->h.flags & WS_TURN_REPLY) {
		advance(e, now, e->stage);
		turn_emit(e, pid, now);
	}
	fold_reply(e, copy);
}

/* A stream begins, or a slot is being made. */
static __always_inline void decoding_reset(struct ws_entry *e)
{
	__builtin_memset(&e->decoding, 0, sizeof(e->decoding));
}

/* The command ends, maybe with an ERROR in the midst of something. */
static __always_inline void decoding_leave(struct ws_entry *e)
{
	e->decoding.slot_context = 0;
	e->decoding.spill_mark_ns = 0;
	e->decoding.restore_mark_ns = 0;
	e->decoding.txn.xid = 0;
}

/* Ends what a command has accumulated, before the record that ends the command. */
static __always_inline void finish_turns(struct ws_entry *e, __u32 pid, __u64 now)
{
	if (e->flags & WS_ENTRY_TURNS) {
		turn_fold(e, pid, now);
		advance(e, now, WS_STAGE_OTHER);
		turn_emit(e, pid, now);
	}
	e->stage = WS_STAGE_OTHER;
	e->mark_ns = 0;
	e->turn.h.flags = 0;
	e->turn.lsn_to = 0;
	decoding_leave(e);
}

#endif
