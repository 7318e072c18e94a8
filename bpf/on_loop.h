/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * on_loop.h: the send loop, the hottest code here. Each site ends one stage and begins the next;
 * the sums leave the kernel as one record per wait, or per turn that moved something without
 * waiting.
 *
 *   physical: [SEND_PHYSICAL], (FLUSH_END), (WAIT_START), (WAIT_END)
 *   logical:  (SEND_LOGICAL) { [READ_PAGE] { (WAIT_START), (WAIT_END), REPLIES_END } },
 *             (FLUSH_END), [(WAIT_START), (WAIT_END)]
 *
 * What is in square brackets is passed only by a turn that has something to do there, what is in
 * parentheses is planted from level 3 on. Below, a wait lasts while the process sleeps in it, as
 * the scheduler sees: on_sleep says when and for what it begins, host.bpf.c when it is over. A wait
 * that it does not sleep in is none. A send lasts until the turn ends or waits: what lies behind
 * the flush (timeout check, keepalive) takes less time than a site there would.
 *
 * No site is at ProcessRepliesIfAny either. It is what comes behind a wait, so that this time is
 * the replies', up to the next site; in turns that do not wait they count as what was done before.
 *
 * In logical replication XLogSendLogical waits for WAL and for the socket itself, and handles
 * replies meanwhile: that does not begin a turn. A turn of it decodes one record of the WAL, and
 * with a backlog nothing but that goes on, hundreds of thousands of times a second: below level 3
 * READ_PAGE is planted instead, which a turn passes only where the page it has read is at its end.
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

/* A long decode or a long message handled inside a send: the record must not wait for its end. */
static __always_inline void turn_emit_if_long(struct ws_entry *e, __u32 pid, __u64 now)
{
	if (e->flags & WS_ENTRY_TURNS && fold_is_long(e, now)) {
		advance(e, now, e->stage);
		turn_emit(e, pid, now);
	}
}

/* There is WAL to send. If the record has a send already, the turn of that one did not wait, or
 * WalSndDone sends once more in the same one. */
static __always_inline void on_SEND_PHYSICAL(struct pt_regs *ctx)
{
	__u32 pid = current_tgid();
	struct ws_entry *e = session_of(pid);
	struct ws_rec_turn *t;
	__u64 now;

	if (!e)
		return;
	now = bpf_ktime_get_ns();
	t = &e->turn;
	turn_fold(e, pid, now);
	advance(e, now, WS_STAGE_SEND);
	if (t->sends && (t->lsn_to != t->lsn_from || fold_is_long(e, now)))
		turn_emit(e, pid, now);
	t->turns++;
	t->sends++;
}

static __always_inline void logical_turn(struct ws_entry *e, __u32 pid)
{
	struct ws_rec_turn *t = &e->turn;
	__u64 now = bpf_ktime_get_ns();

	turn_fold(e, pid, now);
	advance(e, now, cfg.site_addr[WS_SITE_DECODE_START] ? WS_STAGE_READ : WS_STAGE_DECODE);
	/* A record has room for one reply, and the next one may come in this turn. */
	if (t->turns && (t->h.flags & WS_TURN_REPLY || fold_is_long(e, now)))
		turn_emit(e, pid, now);
	t->turns++;
	t->sends++;
}

/* XLogSendLogical's entry: a turn begins. */
static __always_inline void on_SEND_LOGICAL(struct pt_regs *ctx)
{
	__u32 pid = current_tgid();
	struct ws_entry *e = session_of(pid);

	if (e)
		logical_turn(e, pid);
}

/* logical_read_xlog_page's entry, in place of that: turns are told by the page. Making a slot reads
 * pages, too. */
static __always_inline void on_READ_PAGE(struct pt_regs *ctx)
{
	__u32 pid = current_tgid();
	struct ws_entry *e = session_of(pid);

	if (e && e->flags & WS_ENTRY_IN_LOOP)
		logical_turn(e, pid);
}

/* Behind the flush in WalSndLoop. */
static __always_inline void on_FLUSH_END(struct pt_regs *ctx)
{
	struct ws_entry *e = session_of(current_tgid());

	/* A turn that did nothing goes on with what was before. */
	if (e && e->stage != WS_STAGE_REPLY && e->stage != WS_STAGE_TAIL)
		advance(e, bpf_ktime_get_ns(), WS_STAGE_TAIL);
}

/* Where it tells what it waits for (wait_event.h; up to 13 pgstat.h, in its PGPROC). */
static __always_inline __u64 wait_info(struct ws_entry *e)
{
	__u64 proc;

	if (cfg.var.my_wait_event_info)
		return read_pointer(e, cfg.var.my_wait_event_info);
	proc = cfg.off.proc_wait_event == WS_UNKNOWN ? 0 : read_pointer(e, cfg.var.my_proc);
	return proc ? proc + cfg.off.proc_wait_event : 0;
}

/* The wait begins that the turn says. */
static __always_inline void wait_begin(struct ws_entry *e, __u32 pid, __u64 now)
{
	struct ws_rec_turn *t = &e->turn;

	if (t->wait == WS_WAIT_SOCKET)
		t->h.flags |= WS_TURN_PENDING;
	if (is_physical(e)) {
		if (!t->sends)
			t->turns++;
		e->after_wait = WS_STAGE_REPLY;
	} else {
		if (e->stage != WS_STAGE_REPLY && e->stage != WS_STAGE_WAIT)
			e->resume = e->stage;
		e->after_wait = t->wait == WS_WAIT_SOCKET || !cfg.site_addr[WS_SITE_REPLIES_END]
					? e->resume
					: WS_STAGE_REPLY;
	}
	e->flags |= WS_ENTRY_TURNS;
	advance(e, now, WS_STAGE_WAIT);
	turn_emit(e, pid, now);
}

/* What it waits for: output that is pending goes out first, also while it waits for the rest. */
static __always_inline __u32 wait_for(__u32 wait_event, bool is_pending)
{
	if (is_pending)
		return WS_WAIT_SOCKET;
	if (cfg.off.wait_event_standby != WS_UNKNOWN && wait_event == cfg.off.wait_event_standby)
		return WS_WAIT_STANDBY;
	return WS_WAIT_WAL;
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
	turn_fold(e, pid, now);
	if (cfg.wait_style == WS_WAIT_STYLE_LATCH) {
		t->wait_mask = arg2;
		t->timeout_ms = arg4;
		t->wait_event = arg5;
	} else {
		t->wait_mask = arg1;
		t->timeout_ms = arg2;
		t->wait_event = arg3;
	}
	t->wait = wait_for(t->wait_event, t->wait_mask & WS_WL_SOCKET_WRITEABLE);
	e->wait_event = t->wait_event;
	if (!e->wait_info)
		e->wait_info = wait_info(e);
	wait_begin(e, pid, now);
}

/* wait_event.h, up to 13 pgstat.h: the class is the highest byte. Of the first class a walsender
 * has WalSenderMain alone; of the second ClientRead and ClientWrite are the first two, and the rest
 * that a replication command comes to are the waits of its loops (SQL may wait for a libpq). */
#define WAIT_CLASS(event)   ((event) >> 24)
#define WAIT_CLASS_ACTIVITY 0x05
#define WAIT_CLASS_CLIENT   0x06
#define WAIT_CLIENT_WRITE   0x06000001

/* Is the process, which is going to sleep, in one of the waits of the send loop? */
static __always_inline bool sleeps_in_loop(struct ws_entry *e, __u32 *wait_event)
{
	/* Before its first command the variable leads elsewhere. */
	if (!(e->flags & (WS_ENTRY_IN_COMMAND | WS_ENTRY_IN_LOOP)) || e->flags & WS_ENTRY_NO_WAITS)
		return false;
	if (!e->wait_info)
		e->wait_info = wait_info(e);
	if (!e->wait_info || !read_user(e, wait_event, sizeof(*wait_event), e->wait_info))
		return false;
	return WAIT_CLASS(*wait_event) == WAIT_CLASS_ACTIVITY ||
	       (WAIT_CLASS(*wait_event) == WAIT_CLASS_CLIENT && *wait_event > WAIT_CLIENT_WRITE);
}

/* pqcomm.c socket_is_send_pending. The loop asks for a socket that takes more if it is true. */
static __always_inline bool is_output_pending(struct ws_entry *e)
{
	__u32 pointer = 0, start = 0;

	return read_user(e, &pointer, sizeof(pointer), e->base + cfg.var.pq_send_pointer) &&
	       read_user(e, &start, sizeof(start), e->base + cfg.var.pq_send_start) &&
	       start < pointer;
}

/* The walsender goes to sleep, which host.bpf.c has made sure of, or is stopped: does a wait begin?
 * One that is stopped in the midst of it goes on with it. */
static __always_inline void sleep(struct ws_entry *e, __u32 pid, bool is_stopped, __u64 now)
{
	struct ws_rec_turn *t = &e->turn;
	bool goes_on = e->nap == WS_NAP_AWAKE && (is_stopped || e->was_stopped);
	__u32 wait_event;

	if (!sleeps_in_loop(e, &wait_event))
		return;
	e->was_stopped = is_stopped;
	if (goes_on) {
		advance(e, now, WS_STAGE_WAIT);
		e->nap = WS_NAP_ASLEEP;
		return;
	}
	turn_fold(e, pid, now);
	t->wait_event = wait_event;
	t->wait = wait_for(wait_event, is_output_pending(e));
	t->wait_mask =
		WS_WL_SOCKET_READABLE | (t->wait == WS_WAIT_SOCKET ? WS_WL_SOCKET_WRITEABLE : 0);
	t->timeout_ms = -1;
	wait_begin(e, pid, now);
	e->nap = WS_NAP_ASLEEP;
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

	if (!e || (e->stage != WS_STAGE_WAIT && e->nap != WS_NAP_AWAKE))
		return;
	advance(e, bpf_ktime_get_ns(), e->after_wait);
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

	if (!e)
		return;
	/* Also behind a wait that it did not sleep in. */
	if (e->stage == WS_STAGE_REPLY ||
	    (e->stage == WS_STAGE_WAIT && e->nap == WS_NAP_NONE && e->after_wait == WS_STAGE_REPLY))
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

#endif
