/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * on_detail.h: level 3, inside a send: each WAL read, each record decoded, each logical message.
 */
#ifndef WS_ON_DETAIL_H
#define WS_ON_DETAIL_H

#include "on_decoding.h"

static __always_inline void stage(__u8 next)
{
	__u32 pid = current_tgid();
	struct ws_entry *e = session_of(pid);

	if (e)
		advance(e, bpf_ktime_get_ns(), next);
}

/* The call of WALRead. */
static __always_inline void on_READ_START(struct pt_regs *ctx)
{
	__u32 pid = current_tgid();
	struct ws_entry *e = session_of(pid);

	if (!e)
		return;
	e->turn.reads++;
	e->resume = e->stage;
	advance(e, bpf_ktime_get_ns(), WS_STAGE_READ);
}

static __always_inline void on_READ_END(struct pt_regs *ctx)
{
	__u32 pid = current_tgid();
	struct ws_entry *e = session_of(pid);

	if (e && e->stage == WS_STAGE_READ)
		advance(e, bpf_ktime_get_ns(), e->resume);
}

/* The call of LogicalDecodingProcessRecord. */
static __always_inline void on_DECODE_START(struct pt_regs *ctx)
{
	stage(WS_STAGE_DECODE);
}

/* What follows is the end of XLogSendLogical and the flush. */
static __always_inline void on_DECODE_END(struct pt_regs *ctx)
{
	__u32 pid = current_tgid();
	struct ws_entry *e = session_of(pid);
	__u64 now;

	if (!e)
		return;
	now = bpf_ktime_get_ns();
	advance(e, now, WS_STAGE_SEND);
	txn_end(e, pid, now);
}

/* WalSndPrepareWrite: the output plugin begins a message. */
static __always_inline void on_MESSAGE_PREPARE(struct pt_regs *ctx)
{
	stage(WS_STAGE_PLUGIN);
}

/* WalSndWriteData(ctx, lsn, xid, last_write): the message is in ctx->out. */
static __always_inline void on_MESSAGE_WRITE(struct pt_regs *ctx)
{
	__u32 pid = current_tgid(), len = 0;
	struct ws_entry *e = session_of(pid);
	__u64 now, out = 0;

	if (!e)
		return;
	now = bpf_ktime_get_ns();
	e->turn.messages++;
	if (cfg.off.logical_out != WS_UNKNOWN && cfg.off.stringinfo_len != WS_UNKNOWN &&
	    read_user(e, &out, sizeof(out), WS_ARG1(ctx) + cfg.off.logical_out) &&
	    read_user(e, &len, sizeof(len), out + cfg.off.stringinfo_len))
		e->turn.message_bytes += len;
	txn_message(e, len);
	advance(e, now, WS_STAGE_SEND);
	/* A big transaction sends many messages in one turn. */
	turn_emit_if_long(e, pid, now);
}

/* Behind the flush in WalSndWriteData. */
static __always_inline void on_MESSAGE_FLUSHED(struct pt_regs *ctx)
{
	stage(WS_STAGE_DECODE);
}

#endif
