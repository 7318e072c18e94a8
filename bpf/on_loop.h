/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * on_loop.h: the send loop, the hottest code here. Each site ends one stage and begins the next;
 * the sums leave the kernel as one record per wait, or per turn that moved something without
 * waiting.
 *
 *   physical: REPLIES, SEND_PHYSICAL, (FLUSH_END), [WAIT_START, WAIT_END]
 *   logical:  REPLIES, (SEND_LOGICAL) { REPLIES, [WAIT_START, WAIT_END], REPLIES_END }, (FLUSH_END)
 *
 * What is in brackets is planted from level 3 on. Below, a send lasts until the turn ends or waits:
 * what lies behind the flush (timeout check, keepalive) takes less time than a site there would. A
 * logical turn sends one record of the WAL; it decodes from its beginning on, and a look at the
 * socket that finds no reply, or one in between two records, counts as decoding.
 *
 * In logical replication XLogSendLogical waits for WAL and for the socket itself, and handles
 * replies meanwhile: that is "nested", and does not begin a turn.
 */
#ifndef WS_ON_LOOP_H
#define WS_ON_LOOP_H

#include "server.h"

#define REGISTER(lvalue) (*(volatile __typeof__(lvalue) *)&(lvalue))

/* Turns are folded into one record for no longer than this, waiting not counted. */
#define FOLD_NS 10000000ULL

static __always_inline bool fold_is_long(struct ws_entry *e, __u64 now)
{
	return now - e->turn.begin_ns - e->turn.stage_ns[WS_STAGE_WAIT] > FOLD_NS;
}

/* Physical replication waits and handles replies in the loop itself, and nowhere else. */
static __always_inline bool is_physical(struct ws_entry *e)
{
	return (e->flags & (WS_ENTRY_IN_LOOP | WS_ENTRY_LOGICAL)) == WS_ENTRY_IN_LOOP;
}

/*
 * Does what called this go on afterwards? WalSndLoop calls ProcessRepliesIfAny at one depth of the
 * stack (it grows downwards), XLogSendLogical below it. Of a stream that was found running the
 * depth is not known: what is seen first counts as the loop's, unless it was found in a wait
 * inside. Then what lies above it does; or it itself, when the next comes and it had no end.
 */
static __always_inline bool is_nested(struct ws_entry *e, __u64 sp)
{
	if (!(e->flags & WS_ENTRY_IN_LOOP))
		return true;
	if (!(e->flags & WS_ENTRY_LOGICAL))
		return false;
	if (sp > e->loop_sp) {
		if (e->loop_sp)
			e->flags &= ~WS_ENTRY_NESTED;
		e->loop_sp = sp;
	}
	if (sp == e->loop_sp && e->stage == WS_STAGE_REPLY)
		e->flags &= ~WS_ENTRY_NESTED;
	return sp < e->loop_sp || e->flags & WS_ENTRY_NESTED;
}

/* A long decode or a long message handled inside a send: the record must not wait for its end. */
static __always_inline void turn_emit_if_long(struct ws_entry *e, __u32 pid, __u64 now)
{
	if (e->flags & WS_ENTRY_TURNS && fold_is_long(e, now)) {
		advance(e, now, e->stage);
		turn_emit(e, pid, now);
	}
}

/*
 * Nested ProcessRepliesIfAny has two callers: the wait for WAL and ProcessPendingWrites. If the end
 * of the second is not planted, nothing says when decoding goes on; so behind a wait for the socket
 * the time stays with the send.
 */
static __always_inline void replies_nested(struct ws_entry *e, __u32 pid, __u64 now)
{
	turn_emit_if_long(e, pid, now);
	if (e->stage == WS_STAGE_REPLY)
		return;
	if (!cfg.site_addr[WS_SITE_WRITE_REPLIES_END] && e->wait_mask & WS_WL_SOCKET_WRITEABLE)
		return;
	e->resume = e->stage;
	advance(e, now, WS_STAGE_REPLY);
}

/* FLUSH_END looks how far a turn came. What it has not seen: all, where it is not planted, and what
 * WalSndDone has sent behind it while the server shuts down. */
static __always_inline void fold_late(struct ws_entry *e)
{
	if (!cfg.site_addr[WS_SITE_FLUSH_END] || e->stage == WS_STAGE_SEND)
		turn_fold(e);
}

/* XLogSendLogical is called. */
static __always_inline void send_logical(struct ws_entry *e, __u64 now)
{
	if (!e->turn.lsn_from)
		e->turn.lsn_from = sent_lsn(e);
	e->turn.sends++;
	advance(e, now, cfg.site_addr[WS_SITE_DECODE_START] ? WS_STAGE_READ : WS_STAGE_DECODE);
}

/* ProcessRepliesIfAny's entry: in the loop, a turn begins. */
static __always_inline void on_REPLIES(struct pt_regs *ctx)
{
	__u64 sp = REGISTER(WS_SP(ctx));
	__u32 pid = current_tgid();
	struct ws_entry *e = session_of(pid);
	struct ws_rec_turn *t;
	__u64 now;

	if (!e)
		return;
	now = bpf_ktime_get_ns();
	t = &e->turn;
	if (is_nested(e, sp)) {
		replies_nested(e, pid, now);
		return;
	}
	fold_late(e);
	advance(e, now, WS_STAGE_REPLY);
	/* A record has room for one reply, and the next one may come in this turn. */
	if (t->turns &&
	    (t->h.flags & WS_TURN_REPLY ||
	     (!(e->flags & WS_ENTRY_LOGICAL) && t->lsn_to != t->lsn_from) || fold_is_long(e, now)))
		turn_emit(e, pid, now);
	t->turns++;
	if (e->flags & WS_ENTRY_LOGICAL && !cfg.site_addr[WS_SITE_SEND_LOGICAL])
		send_logical(e, now);
}

static __always_inline void on_SEND_PHYSICAL(struct pt_regs *ctx)
{
	__u32 pid = current_tgid();
	struct ws_entry *e = session_of(pid);
	__u64 now;

	if (!e)
		return;
	now = bpf_ktime_get_ns();
	/* Only in a session found running: else the stream's start has set it. */
	if (!e->turn.lsn_from)
		e->turn.lsn_from = sent_lsn(e);
	/* WalSndDone sends once more in the same turn. A record holds no more than one call that
	 * moved, so that these can be counted. */
	if (e->stage == WS_STAGE_SEND || e->stage == WS_STAGE_TAIL) {
		fold_late(e);
		if (e->turn.lsn_to != e->turn.lsn_from) {
			advance(e, now, e->stage);
			turn_emit(e, pid, now);
		}
	}
	e->turn.sends++;
	advance(e, now, WS_STAGE_SEND);
}

static __always_inline void on_SEND_LOGICAL(struct pt_regs *ctx)
{
	struct ws_entry *e = session_of(current_tgid());

	if (e)
		send_logical(e, bpf_ktime_get_ns());
}

/* Behind the flush in WalSndLoop. */
static __always_inline void on_FLUSH_END(struct pt_regs *ctx)
{
	struct ws_entry *e = session_of(current_tgid());

	if (!e)
		return;
	e->flags &= ~WS_ENTRY_NESTED;
	turn_fold(e);
	advance(e, bpf_ktime_get_ns(), WS_STAGE_TAIL);
}

static __always_inline void wait_start(struct pt_regs *ctx)
{
	/* Read before anything is decided: the compiler would choose between addresses in the
	 * context, which the verifier refuses. */
	__u64 arg1 = REGISTER(WS_ARG1(ctx)), arg2 = REGISTER(WS_ARG2(ctx));
	__u64 arg3 = REGISTER(WS_ARG3(ctx)), arg4 = REGISTER(WS_ARG4(ctx));
	__u64 arg5 = REGISTER(WS_ARG5(ctx));
	__u32 pid = current_tgid();
	struct ws_entry *e = session_of(pid);
	struct ws_rec_turn *t;
	__u64 now;

	if (!e)
		return;
	now = bpf_ktime_get_ns();
	t = &e->turn;
	if (cfg.wait_style == WS_WAIT_STYLE_LATCH) {
		t->wait_mask = arg2;
		t->timeout_ms = arg4;
		t->wait_event = arg5;
	} else {
		t->wait_mask = arg1;
		t->timeout_ms = arg2;
		t->wait_event = arg3;
	}
	if (t->wait_mask & WS_WL_SOCKET_WRITEABLE) {
		t->wait = WS_WAIT_SOCKET;
		t->h.flags |= WS_TURN_PENDING;
	} else if (cfg.off.wait_event_standby != WS_UNKNOWN &&
		   t->wait_event == cfg.off.wait_event_standby) {
		t->wait = WS_WAIT_STANDBY;
	} else {
		t->wait = WS_WAIT_WAL;
	}
	e->wait_mask = t->wait_mask;
	if (is_physical(e)) {
		fold_late(e);
		e->resume = WS_STAGE_TAIL;
	} else {
		turn_fold(e);
		if (e->stage != WS_STAGE_REPLY)
			e->resume = e->stage;
	}
	e->flags |= WS_ENTRY_TURNS;
	advance(e, now, WS_STAGE_WAIT);
	turn_emit(e, pid, now);
}

/* The events the wait ended with; false if they cannot be told. */
static __always_inline bool wait_result(struct pt_regs *ctx, struct ws_entry *e, __u32 *events)
{
	__u32 result = REGISTER(WS_RESULT(ctx));
	__u64 fp = REGISTER(WS_FP(ctx)), sp = REGISTER(WS_SP(ctx)), frame;

	if (cfg.wait_style == WS_WAIT_STYLE_LATCH || result == 0) {
		*events = result;
		return true;
	}
	if (cfg.off.wait_event_events == WS_UNKNOWN)
		return false;
	if (cfg.wait_event_reg == WS_DWARF_FP)
		frame = fp;
	else if (cfg.wait_event_reg == WS_DWARF_SP)
		frame = sp;
	else
		return false;
	return read_user(e, events, sizeof(*events),
			 frame + cfg.wait_event_disp + cfg.off.wait_event_events);
}

static __always_inline void wait_end(struct pt_regs *ctx)
{
	__u32 pid = current_tgid(), events = 0;
	struct ws_entry *e = session_of(pid);

	if (!e || e->stage != WS_STAGE_WAIT)
		return;
	advance(e, bpf_ktime_get_ns(), e->resume);
	if (wait_result(ctx, e, &events)) {
		e->turn.woke = events;
		e->turn.h.flags |= WS_TURN_WOKE;
	}
}

/* WalSndWait's entry, and behind the wait in it. */
static __always_inline void on_WAIT_START(struct pt_regs *ctx)
{
	wait_start(ctx);
}

static __always_inline void on_WAIT_END(struct pt_regs *ctx)
{
	wait_end(ctx);
}

/* Around each call of WaitLatchOrSocket, up to 13. */
static __always_inline void on_LOOP_WAIT_START(struct pt_regs *ctx)
{
	wait_start(ctx);
}

static __always_inline void on_LOOP_WAIT_END(struct pt_regs *ctx)
{
	wait_end(ctx);
}

static __always_inline void on_WRITE_WAIT_START(struct pt_regs *ctx)
{
	wait_start(ctx);
}

static __always_inline void on_WRITE_WAIT_END(struct pt_regs *ctx)
{
	wait_end(ctx);
}

static __always_inline void on_WAL_WAIT_START(struct pt_regs *ctx)
{
	wait_start(ctx);
}

static __always_inline void on_WAL_WAIT_END(struct pt_regs *ctx)
{
	wait_end(ctx);
}

static __always_inline void replies_end(void)
{
	__u32 pid = current_tgid();
	struct ws_entry *e = session_of(pid);

	if (e && e->stage == WS_STAGE_REPLY)
		advance(e, bpf_ktime_get_ns(), e->resume);
}

/* In logical_read_xlog_page. */
static __always_inline void on_REPLIES_END(struct pt_regs *ctx)
{
	replies_end();
}

/* The same, in the turn that has read the configuration anew. */
static __always_inline void on_REPLIES_COPY_END(struct pt_regs *ctx)
{
	replies_end();
}

/* In ProcessPendingWrites. */
static __always_inline void on_WRITE_REPLIES_END(struct pt_regs *ctx)
{
	replies_end();
}

#endif
