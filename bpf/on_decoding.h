/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * on_decoding.h: what logical decoding writes to disk and reads back, and what the server counts of
 * it. A few hits per piece that does not fit into logical_decoding_work_mem, none per change or
 * small transaction. Functions of other backends, too (SQL decodes as well): those have no entry.
 */
#ifndef WS_ON_DECODING_H
#define WS_ON_DECODING_H

#include "on_loop.h"

/* DecodingContextFindStartpoint(ctx): CREATE_REPLICATION_SLOT builds its snapshot. */
static __always_inline void on_SLOT_CONTEXT(struct pt_regs *ctx)
{
	__u64 context = REGISTER(WS_ARG1(ctx));
	struct ws_entry *e = session_of(current_tgid());

	if (!e)
		return;
	decoding_reset(e);
	e->decoding.slot_context = context;
}

/*
 * UpdateDecodingStats(ctx) reports what ctx->reorder has counted, and sets that to 0. Each
 * transaction calls it at its end; what counts here was reported when it was spilled or streamed,
 * and the calls there are rare.
 */
static __always_inline void stats(struct pt_regs *ctx)
{
	__u64 context = REGISTER(WS_ARG1(ctx)), reorder = 0;
	struct ws_entry *e = session_of(current_tgid());
	__u64 counted[WS_STAT_COUNT];
	int i;

	if (!e || cfg.off.logical_reorder == WS_UNKNOWN || cfg.off.reorder_stats == WS_UNKNOWN)
		return;
	if (!read_user(e, &reorder, sizeof(reorder), context + cfg.off.logical_reorder) ||
	    !read_user(e, counted, sizeof(counted), reorder + cfg.off.reorder_stats))
		return;
	for (i = 0; i < WS_STAT_COUNT; i++)
		e->decoding.stats[i] += counted[i];
}

/* The call of it in ReorderBufferSerializeTXN, and in ReorderBufferStreamTXN. */
static __always_inline void on_SPILL_STATS(struct pt_regs *ctx)
{
	stats(ctx);
}

static __always_inline void on_STREAM_STATS(struct pt_regs *ctx)
{
	stats(ctx);
}

static __always_inline void spill_close(struct ws_entry *e, __u64 now)
{
	if (e->decoding.spill_mark_ns)
		e->decoding.spill_ns += now - e->decoding.spill_mark_ns;
	e->decoding.spill_mark_ns = 0;
}

/* ReorderBufferSerializeTXN's entry; it calls itself for subtransactions. */
static __always_inline void on_SPILL_START(struct pt_regs *ctx)
{
	struct ws_entry *e = session_of(current_tgid());

	if (e && !e->decoding.spill_mark_ns)
		e->decoding.spill_mark_ns = bpf_ktime_get_ns();
}

/* Behind its call where the memory limit is looked at. */
static __always_inline void on_SPILL_END(struct pt_regs *ctx)
{
	struct ws_entry *e = session_of(current_tgid());

	if (e)
		spill_close(e, bpf_ktime_get_ns());
}

/* ReorderBufferRestoreChanges' entry. Its other caller has had the rest of the transaction written
 * to disk in front of it. */
static __always_inline void on_RESTORE_START(struct pt_regs *ctx)
{
	struct ws_entry *e = session_of(current_tgid());
	__u64 now;

	if (!e)
		return;
	now = bpf_ktime_get_ns();
	spill_close(e, now);
	if (e->decoding.restore_mark_ns)
		e->decoding.missed++;
	e->decoding.restore_mark_ns = now;
}

static __always_inline void restore_end(void)
{
	struct ws_entry *e = session_of(current_tgid());

	if (!e || !e->decoding.restore_mark_ns)
		return;
	e->decoding.restore_ns += bpf_ktime_get_ns() - e->decoding.restore_mark_ns;
	e->decoding.restore_mark_ns = 0;
}

/* Behind the calls of it. */
static __always_inline void on_RESTORE_END(struct pt_regs *ctx)
{
	restore_end();
}

static __always_inline void on_RESTORE_SECOND_END(struct pt_regs *ctx)
{
	restore_end();
}

static __always_inline void on_RESTORE_THIRD_END(struct pt_regs *ctx)
{
	restore_end();
}

/* txn_flags of reorderbuffer.h, 13 to 18. */
#define RBTXN_IS_SERIALIZED	  0x04
#define RBTXN_IS_SERIALIZED_CLEAR 0x08
#define RBTXN_IS_STREAMED	  0x10

/* The transaction, if it is the one that was looked up last: of one with subtransactions it may be
 * one of these. */
static __always_inline void txn_read(struct ws_entry *e, __u64 reorder)
{
	struct ws_rec_txn *r = &e->decoding.txn;
	__u64 txn = 0;
	__u32 xid = 0, flags = 0, size = cfg.off.txn_total_size;

	if (cfg.off.reorder_last_xid == WS_UNKNOWN)
		return;
	if (size == WS_UNKNOWN)
		size = cfg.off.txn_size;
	if (!read_user(e, &xid, sizeof(xid), reorder + cfg.off.reorder_last_xid) || xid != r->xid ||
	    !read_user(e, &txn, sizeof(txn), reorder + cfg.off.reorder_last_txn) || !txn)
		return;
	if (!read_user(e, &flags, sizeof(flags), txn + cfg.off.txn_flags) ||
	    !read_user(e, &r->first_lsn, sizeof(r->first_lsn), txn + cfg.off.txn_first_lsn) ||
	    !read_user(e, &r->changes, sizeof(r->changes), txn + cfg.off.txn_entries) ||
	    !read_user(e, &r->bytes, sizeof(r->bytes), txn + size))
		return;
	r->h.flags = WS_TXN_KNOWN;
	if (flags & (RBTXN_IS_SERIALIZED | RBTXN_IS_SERIALIZED_CLEAR))
		r->h.flags |= WS_TXN_SPILLED;
	if (flags & RBTXN_IS_STREAMED)
		r->h.flags |= WS_TXN_STREAMED;
}

/* ReorderBufferCommit(rb, xid, commit_lsn, ...), level 3. */
static __always_inline void on_TXN_START(struct pt_regs *ctx)
{
	__u64 reorder = REGISTER(WS_ARG1(ctx)), lsn = REGISTER(WS_ARG3(ctx));
	__u32 xid = REGISTER(WS_ARG2(ctx));
	struct ws_entry *e = session_of(current_tgid());
	struct ws_rec_txn *r;

	if (!e)
		return;
	r = &e->decoding.txn;
	__builtin_memset(r, 0, sizeof(*r));
	r->begin_ns = bpf_ktime_get_ns();
	r->commit_lsn = lsn;
	r->xid = xid;
	e->decoding.restore_from_ns = e->decoding.restore_ns;
	txn_read(e, reorder);
}

/* A message of it was written. */
static __always_inline void txn_message(struct ws_entry *e, __u32 len)
{
	struct ws_rec_txn *r = &e->decoding.txn;

	if (!r->xid)
		return;
	r->messages++;
	r->message_bytes += len;
}

/* The commit record was decoded. */
static __always_inline void txn_end(struct ws_entry *e, __u32 pid, __u64 now)
{
	struct ws_rec_txn *r = &e->decoding.txn;

	if (!r->xid)
		return;
	r->restore_ns = e->decoding.restore_ns - e->decoding.restore_from_ns;
	if (r->messages || r->changes)
		emit(&r->h, e, pid, WS_KIND_TXN, sizeof(*r), now);
	r->xid = 0;
}

#endif
