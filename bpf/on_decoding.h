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

/* txn_flags of reorderbuffer.h, 13 to 18. */
#define RBTXN_IS_SERIALIZED	  0x04
#define RBTXN_IS_SERIALIZED_CLEAR 0x08
#define RBTXN_IS_STREAMED	  0x10

/* Where what is spilled of a transaction is added up; WS_SPILLED_MAX: nowhere. */
static __always_inline __u32 spilled_place(const struct ws_entry *e, __u32 xid)
{
	__u32 i;

	for (i = 0; i < WS_SPILLED_MAX; i++)
		if (e->decoding.spilled[i].xid == xid)
			break;
	return i;
}

/* A place for one: the one whose transaction was spilled longest ago, or ended unseen. One that is
 * no newer than any that lost its place so may be that. */
static __always_inline __u32 spilled_new(struct ws_entry *e, __u32 xid, bool partly)
{
	__u32 i, place = 0, old, forgotten;

	for (i = 1; i < WS_SPILLED_MAX; i++)
		if (e->decoding.spilled[i].last_ns < e->decoding.spilled[place].last_ns)
			place = i;
	old = e->decoding.spilled[place].xid;
	forgotten = e->decoding.forgotten;
	if (forgotten && (__s32)(xid - forgotten) <= 0)
		partly = true;
	if (old && (!forgotten || (__s32)(old - forgotten) > 0))
		e->decoding.forgotten = old;
	__builtin_memset(&e->decoding.spilled[place], 0, sizeof(e->decoding.spilled[place]));
	e->decoding.spilled[place].xid = xid;
	e->decoding.spilled[place].partly = partly;
	return place;
}

/* The transaction, or a subtransaction, is written to disk. */
static __always_inline void spill_count(struct ws_entry *e, __u64 txn, __u64 now)
{
	__u32 xid = 0, top = 0, flags = 0, place;
	__u64 size = 0;

	e->decoding.spilling = WS_SPILLED_MAX;
	if (cfg.off.txn_toplevel_xid == WS_UNKNOWN || cfg.off.txn_size == WS_UNKNOWN)
		return;
	if (!read_user(e, &flags, sizeof(flags), txn + cfg.off.txn_flags) ||
	    !read_user(e, &xid, sizeof(xid), txn + cfg.off.txn_xid) ||
	    !read_user(e, &top, sizeof(top), txn + cfg.off.txn_toplevel_xid) ||
	    !read_user(e, &size, sizeof(size), txn + cfg.off.txn_size))
		return;
	if (!top)
		top = xid;
	place = spilled_place(e, top);
	if (place == WS_SPILLED_MAX)
		place = spilled_new(e, top, flags & RBTXN_IS_SERIALIZED);
	place &= WS_SPILLED_MAX - 1;
	e->decoding.spilled[place].bytes += size;
	e->decoding.spilled[place].last_ns = now;
	e->decoding.spilling = place;
}

static __always_inline void spill_close(struct ws_entry *e, __u64 now)
{
	__u32 place = e->decoding.spilling;

	if (!e->decoding.spill_mark_ns)
		return;
	e->decoding.spill_ns += now - e->decoding.spill_mark_ns;
	if (place < WS_SPILLED_MAX)
		e->decoding.spilled[place & (WS_SPILLED_MAX - 1)].ns +=
			now - e->decoding.spill_mark_ns;
	e->decoding.spill_mark_ns = 0;
}

/* ReorderBufferSerializeTXN(rb, txn); it calls itself for subtransactions. */
static __always_inline void on_SPILL_START(struct pt_regs *ctx)
{
	__u64 txn = REGISTER(WS_ARG2(ctx));
	struct ws_entry *e = session_of(current_tgid());
	__u64 now;

	if (!e)
		return;
	now = bpf_ktime_get_ns();
	spill_count(e, txn, now);
	if (!e->decoding.spill_mark_ns)
		e->decoding.spill_mark_ns = now;
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

/* The transaction of this number, where it, or a subtransaction of it, was looked up last: as it is
 * when its end is come to. 0 if that is another one. */
static __always_inline __u64 txn_looked_up(struct ws_entry *e, __u64 reorder, __u32 xid)
{
	__u64 txn = 0, top = 0;
	__u32 found = 0;

	if (cfg.off.reorder_last_txn == WS_UNKNOWN || cfg.off.txn_xid == WS_UNKNOWN ||
	    !read_user(e, &txn, sizeof(txn), reorder + cfg.off.reorder_last_txn) || !txn ||
	    !read_user(e, &found, sizeof(found), txn + cfg.off.txn_xid))
		return 0;
	if (found == xid)
		return txn;
	if (cfg.off.txn_toptxn == WS_UNKNOWN ||
	    !read_user(e, &top, sizeof(top), txn + cfg.off.txn_toptxn) || !top ||
	    !read_user(e, &found, sizeof(found), top + cfg.off.txn_xid) || found != xid)
		return 0;
	return top;
}

static __always_inline void txn_read(struct ws_entry *e, __u64 txn)
{
	struct ws_rec_txn *r = &e->decoding.txn;
	__u32 flags = 0, size = cfg.off.txn_total_size;

	if (size == WS_UNKNOWN)
		size = cfg.off.txn_size;
	if (!read_user(e, &flags, sizeof(flags), txn + cfg.off.txn_flags) ||
	    !read_user(e, &r->first_lsn, sizeof(r->first_lsn), txn + cfg.off.txn_first_lsn) ||
	    !read_user(e, &r->changes, sizeof(r->changes), txn + cfg.off.txn_entries) ||
	    !read_user(e, &r->subtxns, sizeof(r->subtxns), txn + cfg.off.txn_nsubtxns) ||
	    !read_user(e, &r->bytes, sizeof(r->bytes), txn + size))
		return;
	/* ReorderBufferPrepare is not told where that record is. */
	if (r->end == WS_TXN_PREPARE && !r->commit_lsn)
		read_user(e, &r->commit_lsn, sizeof(r->commit_lsn), txn + cfg.off.txn_final_lsn);
	r->h.flags = WS_TXN_KNOWN;
	if (flags & (RBTXN_IS_SERIALIZED | RBTXN_IS_SERIALIZED_CLEAR))
		r->h.flags |= WS_TXN_SPILLED;
	if (flags & RBTXN_IS_STREAMED)
		r->h.flags |= WS_TXN_STREAMED;
}

static __always_inline void txn_begin(struct ws_entry *e, __u32 xid, __u64 lsn, __u32 end)
{
	struct ws_rec_txn *r = &e->decoding.txn;

	__builtin_memset(r, 0, sizeof(*r));
	r->begin_ns = bpf_ktime_get_ns();
	r->commit_lsn = lsn;
	r->xid = xid;
	r->end = end;
	e->decoding.restore_from_ns = e->decoding.restore_ns;
}

/* The end of a transaction was come to. Functions of rb (arg 1) and xid (arg 2). */
static __always_inline void txn_start(__u64 reorder, __u32 xid, __u64 lsn, __u32 end)
{
	struct ws_entry *e = session_of(current_tgid());
	__u64 txn;

	if (!e)
		return;
	/* One record aborts subtransactions first, and then what they are of. */
	if (end == WS_TXN_ABORT && e->decoding.txn.xid && e->decoding.txn.end == WS_TXN_ABORT) {
		e->decoding.txn.xid = xid;
		e->decoding.txn.h.flags = 0;
	} else {
		txn_begin(e, xid, lsn, end);
	}
	txn = txn_looked_up(e, reorder, xid);
	if (txn)
		txn_read(e, txn);
}

/* ReorderBufferCommit(rb, xid, commit_lsn, ...), level 3. */
static __always_inline void on_TXN_START(struct pt_regs *ctx)
{
	__u64 reorder = REGISTER(WS_ARG1(ctx)), lsn = REGISTER(WS_ARG3(ctx));
	__u32 xid = REGISTER(WS_ARG2(ctx));

	txn_start(reorder, xid, lsn, WS_TXN_COMMIT);
}

/* ReorderBufferReplay(txn, ...), 14 and later: what ReorderBufferCommit, Prepare and FinishPrepared
 * end in. With link-time optimization the first is part of its caller (Ubuntu's 14 and 16), and
 * nobody passes the body that is left of it. There xid, which is not used, is no argument, either.
 */
static __always_inline void on_TXN_REPLAY(struct pt_regs *ctx)
{
	__u64 txn = REGISTER(WS_ARG1(ctx));
	struct ws_entry *e = session_of(current_tgid());
	__u32 xid = 0;

	if (!e || cfg.off.txn_xid == WS_UNKNOWN ||
	    !read_user(e, &xid, sizeof(xid), txn + cfg.off.txn_xid))
		return;
	if (e->decoding.txn.xid == xid && e->decoding.txn.end != WS_TXN_PIECE)
		return;
	txn_begin(e, xid, 0, WS_TXN_COMMIT);
	txn_read(e, txn);
}

/* ReorderBufferPrepare(rb, xid, gid): 14 and later, of a slot with two_phase. */
static __always_inline void on_TXN_PREPARE(struct pt_regs *ctx)
{
	__u64 reorder = REGISTER(WS_ARG1(ctx));
	__u32 xid = REGISTER(WS_ARG2(ctx));

	txn_start(reorder, xid, 0, WS_TXN_PREPARE);
}

/* ReorderBufferFinishPrepared(rb, xid, commit_lsn, end_lsn, two_phase_at, ...): where two_phase
 * began, which nobody asks for when it is rolled back (DecodeAbort, decode.c, 14 to 18). */
static __always_inline void on_TXN_FINISH(struct pt_regs *ctx)
{
	__u64 reorder = REGISTER(WS_ARG1(ctx)), lsn = REGISTER(WS_ARG3(ctx));
	__u64 two_phase_at = REGISTER(WS_ARG5(ctx));
	__u32 xid = REGISTER(WS_ARG2(ctx));

	txn_start(reorder, xid, lsn,
		  two_phase_at ? WS_TXN_COMMIT_PREPARED : WS_TXN_ROLLBACK_PREPARED);
}

/* ReorderBufferAbort(rb, xid, lsn, ...). */
static __always_inline void on_TXN_ABORT(struct pt_regs *ctx)
{
	__u64 reorder = REGISTER(WS_ARG1(ctx)), lsn = REGISTER(WS_ARG3(ctx));
	__u32 xid = REGISTER(WS_ARG2(ctx));

	txn_start(reorder, xid, lsn, WS_TXN_ABORT);
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

/* What was spilled of it; it is not any more. */
static __always_inline void txn_spilled(struct ws_entry *e)
{
	struct ws_rec_txn *r = &e->decoding.txn;
	__u32 place = spilled_place(e, r->xid);

	if (r->end == WS_TXN_PIECE || place == WS_SPILLED_MAX)
		return;
	place &= WS_SPILLED_MAX - 1;
	if (!e->decoding.spilled[place].partly) {
		r->spill_bytes = e->decoding.spilled[place].bytes;
		r->spill_ns = e->decoding.spilled[place].ns;
		r->h.flags |= WS_TXN_SPILLED | WS_TXN_SPILL_TOLD;
	}
	__builtin_memset(&e->decoding.spilled[place], 0, sizeof(e->decoding.spilled[place]));
}

/* The record that ends it was decoded, or the one behind which a piece was handed out. */
static __always_inline void txn_end(struct ws_entry *e, __u32 pid, __u64 now)
{
	struct ws_rec_txn *r = &e->decoding.txn;

	if (!r->xid)
		return;
	r->restore_ns = e->decoding.restore_ns - e->decoding.restore_from_ns;
	txn_spilled(e);
	if (r->messages || r->changes)
		emit(&r->h, e, pid, WS_KIND_TXN, sizeof(*r), now);
	r->xid = 0;
}

/* ReorderBufferProcessTXN(rb, txn, ...): its changes are handed to the output plugin. Where the end
 * of no transaction was come to, a piece of one in progress is. */
static __always_inline void on_TXN_PROCESS(struct pt_regs *ctx)
{
	__u64 txn = REGISTER(WS_ARG2(ctx));
	__u32 pid = current_tgid(), xid = 0;
	struct ws_entry *e = session_of(pid);
	struct ws_rec_txn *r;

	if (!e || cfg.off.txn_xid == WS_UNKNOWN ||
	    !read_user(e, &xid, sizeof(xid), txn + cfg.off.txn_xid))
		return;
	r = &e->decoding.txn;
	if (r->xid && r->end == WS_TXN_PIECE && r->xid != xid)
		txn_end(e, pid, bpf_ktime_get_ns());
	if (!r->xid)
		txn_begin(e, xid, 0, WS_TXN_PIECE);
	if (r->xid == xid)
		txn_read(e, txn);
	/* ReorderBufferReplay writes it down. */
	if (r->xid == xid && r->end == WS_TXN_COMMIT && !r->commit_lsn &&
	    cfg.off.txn_final_lsn != WS_UNKNOWN)
		read_user(e, &r->commit_lsn, sizeof(r->commit_lsn), txn + cfg.off.txn_final_lsn);
}

#endif
