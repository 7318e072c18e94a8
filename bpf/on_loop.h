/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * on_loop.h: the send loop, the hottest code here. Each site ends one stage and begins the next;
 * the sums leave the kernel as one record per wait, or per turn that moved something without
 * waiting.
 *
 *   physical: REPLIES, SEND_PHYSICAL, FLUSH_END, [WAIT_START, WAIT_END]
 *   logical:  REPLIES, SEND_LOGICAL { REPLIES, [WAIT_START, WAIT_END], REPLIES_END }, FLUSH_END
 *
 * A logical turn sends one record of the WAL, so that each site counts. SEND_LOGICAL is not planted
 * below level 3: the turn then decodes from its beginning on, and a look at the socket that finds
 * no reply, or one in between two records, counts as decoding.
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

/* Does the walsender wait inside something that goes on afterwards? Without FLUSH_END nothing would
 * tell that XLogSendLogical is over. */
static __always_inline bool is_nested(struct ws_entry *e)
{
	return !(e->flags & WS_ENTRY_IN_LOOP) || e->flags & WS_ENTRY_NESTED;
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
	if (cfg.site_addr[WS_SITE_FLUSH_END])
		e->flags |= WS_ENTRY_NESTED;
	advance(e, now, cfg.site_addr[WS_SITE_DECODE_START] ? WS_STAGE_READ : WS_STAGE_DECODE);
}

/* ProcessRepliesIfAny's entry: in the loop, a turn begins. */
static __always_inline void on_REPLIES(struct pt_regs *ctx)
{
	__u32 pid = current_tgid();
	struct ws_entry *e = session_of(pid);
	struct ws_rec_turn *t;
	__u64 now;

	if (!e)
		return;
	now = bpf_ktime_get_ns();
	t = &e->turn;
	if (is_nested(e)) {
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
	if (e->stage == WS_STAGE_TAIL && e->turn.lsn_to != e->turn.lsn_from) {
		advance(e, now, WS_STAGE_TAIL);
		turn_emit(e, pid, now);
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

/*
 * Is there output the socket did not take? PqSendPointer and PqSendStart are int up to 15, size_t
 * from 16 on: their low halves tell whether they differ. They are neighbours, so one read gets
 * both.
 */
#define SEND_COPY 16
static __always_inline bool send_is_pending(struct ws_entry *e)
{
	__u64 pointer = cfg.var.pq_send_pointer, start = cfg.var.pq_send_start;
	__u64 low = pointer < start ? pointer : start;
	char copy[SEND_COPY] __attribute__((aligned(8)));
	__u32 a = 0, b = 0;

	if (!pointer || !start)
		return false;
	if (pointer - low <= SEND_COPY - 4 && start - low <= SEND_COPY - 4) {
		if (!read_user(e, copy, sizeof(copy), e->base + low))
			return false;
		return *(__u32 *)(copy + (pointer - low)) != *(__u32 *)(copy + (start - low));
	}
	return read_user(e, &a, sizeof(a), e->base + pointer) &&
	       read_user(e, &b, sizeof(b), e->base + start) && a != b;
}

/* Behind the flush in WalSndLoop. */
static __always_inline void on_FLUSH_END(struct pt_regs *ctx)
{
	__u32 pid = current_tgid();
	struct ws_entry *e = session_of(pid);

	if (!e)
		return;
	e->flags &= ~WS_ENTRY_NESTED;
	turn_fold(e);
	if (send_is_pending(e))
		e->turn.h.flags |= WS_TURN_PENDING;
	else
		e->turn.h.flags &= ~WS_TURN_PENDING;
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
	if (t->wait_mask & WS_WL_SOCKET_WRITEABLE)
		t->wait = WS_WAIT_SOCKET;
	else if (cfg.off.wait_event_standby != WS_UNKNOWN &&
		 t->wait_event == cfg.off.wait_event_standby)
		t->wait = WS_WAIT_STANDBY;
	else
		t->wait = WS_WAIT_WAL;
	e->wait_mask = t->wait_mask;
	if (is_nested(e))
		turn_fold(e);
	else
		fold_late(e);
	if (e->stage != WS_STAGE_REPLY)
		e->resume = e->stage;
	else if (!is_nested(e))
		e->resume = WS_STAGE_OTHER;
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

/* Nothing is that far ahead (16 TB): what else a register may hold is no position. */
#define TARGET_FAR (1ULL << 44)

/* Behind the calls that ask up to where there is WAL to send. Samples tell of it, no record here.
 */
static __always_inline void target(struct pt_regs *ctx)
{
	__u64 lsn = REGISTER(WS_RESULT(ctx));
	struct ws_entry *e = session_of(current_tgid());

	if (e && lsn - e->turn.lsn_to < TARGET_FAR)
		e->target_lsn = lsn;
}

static __always_inline void on_TARGET_PHYSICAL(struct pt_regs *ctx)
{
	target(ctx);
}

static __always_inline void on_TARGET_STANDBY(struct pt_regs *ctx)
{
	target(ctx);
}

static __always_inline void on_TARGET_LOGICAL(struct pt_regs *ctx)
{
	target(ctx);
}

static __always_inline void on_TARGET_LOGICAL_STANDBY(struct pt_regs *ctx)
{
	target(ctx);
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
