/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * on_session.h: the life of a session: start, commands, state changes.
 */
#ifndef WS_ON_SESSION_H
#define WS_ON_SESSION_H

#include "text.h"

/* What an entry starts from; too big for a program's stack. */
const struct ws_entry empty_entry = {};

/* A string behind a pointer in struct Port. A null pointer is a known, empty value (`null`), unless
 * the start-up packet was refused before all of it was read. */
static __always_inline __u32 port_string(struct ws_entry *e, char *to, __u32 size, __u64 port,
					 __u32 offset, __u32 valid, __u32 null)
{
	__u64 from = 0;

	if (offset == WS_UNKNOWN || !read_user(e, &from, sizeof(from), port + offset))
		return 0;
	if (!from)
		return null & valid;
	if (bpf_probe_read_user_str(to, size, (const void *)from) < 0) {
		e->unreadable++;
		return 0;
	}
	return valid;
}

/* Port.remote_port is the service as text. */
static __always_inline __u32 port_number(struct ws_entry *e, __u16 *number, __u64 port)
{
	char text[8] = {};
	__u32 value = 0, i;

	if (!port_string(e, text, sizeof(text), port, cfg.off.port_remote_port, WS_VALID_PORT,
			 WS_VALID_PORT))
		return 0;
	for (i = 0; i < 5; i++) {
		if (text[i] < '0' || text[i] > '9')
			break;
		value = value * 10 + (text[i] - '0');
	}
	*number = value;
	return WS_VALID_PORT;
}

/* Read whether or not the ring has room for the session's record: it is asked for at the end. */
static __always_inline void session_socket(struct ws_entry *e)
{
	__u64 port = read_pointer(e, cfg.var.my_proc_port);

	if (!port || cfg.off.port_sock == WS_UNKNOWN ||
	    !read_user(e, &e->sock, sizeof(e->sock), port + cfg.off.port_sock))
		e->sock = -1;
}

/* Port.ssl_in_use: a bool that is set before PostgresMain (ProcessStartupPacket). */
static __always_inline void session_tls(struct ws_entry *e, struct ws_rec_session *r, __u64 port)
{
	__u8 tls = 0;

	if (cfg.off.port_tls == WS_UNKNOWN ||
	    !read_user(e, &tls, sizeof(tls), port + cfg.off.port_tls))
		return;
	r->valid |= WS_VALID_TLS;
	if (tls)
		r->h.flags |= WS_SESSION_TLS;
}

static __always_inline void session_who(struct ws_entry *e, struct ws_rec_session *r, __u16 flags)
{
	__u64 port = read_pointer(e, cfg.var.my_proc_port);
	/* Who named no user is refused for that; the server's log has no user then, not an empty
	 * one. */
	__u32 null = flags & WS_SESSION_UNPARSED ? 0 : ~(__u32)WS_VALID_USER;

	if (port) {
		r->valid |= port_string(e, r->user, WS_NAME_LEN, port, cfg.off.port_user,
					WS_VALID_USER, null);
		r->valid |= port_string(e, r->database, WS_NAME_LEN, port, cfg.off.port_database,
					WS_VALID_DATABASE, null);
		r->valid |= port_string(e, r->application, WS_NAME_LEN, port,
					cfg.off.port_application, WS_VALID_APPLICATION, null);
		r->valid |= port_string(e, r->host, WS_HOST_LEN, port, cfg.off.port_remote_host,
					WS_VALID_HOST, WS_VALID_HOST);
		r->valid |= port_number(e, &r->port, port);
		session_tls(e, r, port);
	}
	if (cfg.var.my_proc_pid &&
	    read_user(e, &r->ns_pid, sizeof(r->ns_pid), e->base + cfg.var.my_proc_pid))
		r->valid |= WS_VALID_NS_PID;
}

static __always_inline void emit_session(struct ws_entry *e, __u32 pid, __u16 flags, __u64 now)
{
	struct ws_rec_session *r;
	__u64 suspended;
	__u8 database = 0;

	session_socket(e);
	r = bpf_ringbuf_reserve(&rb, sizeof(*r), 0);
	if (!r) {
		e->seq++;
		account(e, WS_KIND_SESSION, true);
		return;
	}
	__builtin_memset(r, 0, sizeof(*r));
	fill_head(&r->h, e, pid, WS_KIND_SESSION, sizeof(*r), now);
	/* start_boottime goes on during suspend, CLOCK_MONOTONIC does not. Not by `now`: a host may
	 * hold the process up since. */
	suspended = bpf_ktime_get_boot_ns();
	suspended -= bpf_ktime_get_ns();
	r->fork_ns = e->start_ns - suspended;
	r->base = e->base;
	r->postmaster_pid = e->postmaster_pid;
	r->valid = WS_VALID_PARENT;
	r->h.flags = flags;
	session_who(e, r, flags);
	if (cfg.var.am_db_walsender &&
	    read_user(e, &database, 1, e->base + cfg.var.am_db_walsender) && database)
		r->h.flags |= WS_SESSION_DATABASE;
	account(e, WS_KIND_SESSION, false);
	bpf_ringbuf_submit(r, wake_flags_reserved(sizeof(*r)));
}

/* Before there is an entry: whoever sees none of it yet does not miss it. */
static __always_inline void watch(__u32 pid)
{
	__u32 zero = 0;
	struct ws_watched *w = bpf_map_lookup_elem(&watched, &zero);

	if (w)
		w->may_be[pid % WS_WATCHED_PIDS] = 1;
}

/*
 * Claims the current process and tells of it; NULL if that has been done already, by this object or
 * another, or there is no room. `flags` are the record's.
 */
static __noinline struct ws_entry *open_session(__u32 pid, __u64 base, __u16 flags)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	__u64 start = BPF_CORE_READ(task, group_leader, start_boottime);
	struct ws_entry *e = bpf_map_lookup_elem(&sessions, &pid);

	/* Another object was first, or user space, which knows the start in clock ticks only. An
	 * older process's entry is replaced. */
	if (e && began_at(e, start))
		return NULL;
	watch(pid);
	if (bpf_map_update_elem(&sessions, &pid, &empty_entry, BPF_ANY)) {
		count(WS_COUNTER_UNTRACKED);
		return NULL;
	}
	e = bpf_map_lookup_elem(&sessions, &pid);
	if (!e)
		return NULL;
	e->start_ns = start;
	e->sock = -1;
	e->base = base;
	e->server = cfg.server;
	e->flags = WS_ENTRY_BASE;
	e->postmaster_pid = BPF_CORE_READ(task, real_parent, tgid);
	emit_session(e, pid, flags, bpf_ktime_get_ns());
	return e;
}

/*
 * PostgresMain's entry, in every backend. am_walsender is set by ProcessStartupPacket, so it says
 * here already what the process is.
 */
static __always_inline void on_SESSION_START(struct pt_regs *ctx)
{
	__u64 base = WS_IP(ctx) - cfg.site_addr[WS_SITE_SESSION_START];
	__u8 walsender = 0;

	if (bpf_probe_read_user(&walsender, 1, (const void *)(base + cfg.var.am_walsender)) ||
	    walsender != 1)
		return;
	open_session(current_tgid(), base, 0);
}

static __always_inline void on_SESSION_READY(struct pt_regs *ctx)
{
	struct ws_rec_ready rec = {};
	__u32 pid = current_tgid();
	struct ws_entry *e = session_of(pid);

	if (e)
		emit(&rec.h, e, pid, WS_KIND_READY, sizeof(rec), bpf_ktime_get_ns());
}

#define WS_ENTRY_OF_COMMAND                                                               \
	(WS_ENTRY_LOGICAL | WS_ENTRY_IN_LOOP | WS_ENTRY_IN_COMMAND | WS_ENTRY_IN_BACKUP | \
	 WS_ENTRY_TURNS | WS_ENTRY_NO_WAITS)

static __always_inline void on_COMMAND_START(struct pt_regs *ctx)
{
	struct ws_rec_command rec = {};
	__u32 pid = current_tgid();
	struct ws_entry *e = session_of(pid);
	__u64 now;

	if (!e)
		return;
	now = bpf_ktime_get_ns();
	e->flags &= ~WS_ENTRY_OF_COMMAND;
	e->flags |= WS_ENTRY_IN_COMMAND;
	e->turn.lsn_to = 0;
	e->turn.h.flags = 0;
	turn_reset(e, now);
	e->stage = WS_STAGE_OTHER;
	e->mark_ns = now;
	emit(&rec.h, e, pid, WS_KIND_COMMAND, sizeof(rec), now);
	emit_text(pid, WS_TEXT_COMMAND, WS_ARG1(ctx));
}

static __always_inline void command_end(__u32 how)
{
	struct ws_rec_command_end rec = {};
	__u32 pid = current_tgid();
	struct ws_entry *e = session_of(pid);
	__u64 now;

	if (!e)
		return;
	now = bpf_ktime_get_ns();
	backup_finish(e, pid, now);
	finish_turns(e, pid, now);
	e->flags &= ~WS_ENTRY_OF_COMMAND;
	if (how == WS_COMMAND_IS_SQL)
		e->flags |= WS_ENTRY_IN_COMMAND | WS_ENTRY_NO_WAITS;
	rec.how = how;
	off_cpu_emit(e, pid, now);
	emit(&rec.h, e, pid, WS_KIND_COMMAND_END, sizeof(rec), now);
}

/* Behind the call of exec_replication_command: it returns bool, so only al counts. */
static __always_inline void on_COMMAND_END(struct pt_regs *ctx)
{
	command_end((__u8)WS_RESULT(ctx) ? WS_COMMAND_DONE : WS_COMMAND_IS_SQL);
}

static __always_inline void on_SQL_END(struct pt_regs *ctx)
{
	command_end(WS_COMMAND_SQL_DONE);
}

/* WalSndSetState's entry; while stopping it is called every turn, so a call is not a change. */
static __always_inline void on_STATE(struct pt_regs *ctx)
{
	struct ws_rec_state rec = {};
	__u32 pid = current_tgid();
	struct ws_entry *e = session_of(pid);
	__u64 walsnd;

	if (!e)
		return;
	walsnd = walsnd_of(e);
	rec.to = WS_ARG1(ctx);
	if (!walsnd || cfg.off.walsnd_state == WS_UNKNOWN ||
	    !read_user(e, &rec.from, sizeof(rec.from), walsnd + cfg.off.walsnd_state) ||
	    rec.from == rec.to)
		return;
	rec.sent_lsn = sent_lsn(e);
	emit(&rec.h, e, pid, WS_KIND_STATE, sizeof(rec), bpf_ktime_get_ns());
}

/* WalSndLoop's entry. Its time is accounted from here on; user space gives what was before to the
 * command. */
static __always_inline void on_STREAM_START(struct pt_regs *ctx)
{
	struct ws_rec_stream rec = {};
	__u32 pid = current_tgid();
	struct ws_entry *e = session_of(pid);
	__u64 slot, now;

	if (!e)
		return;
	now = bpf_ktime_get_ns();
	e->flags &= ~WS_ENTRY_LOGICAL;
	e->flags |= WS_ENTRY_IN_LOOP;
	if (cfg.level >= 2)
		e->flags |= WS_ENTRY_TURNS;
	e->turn.h.flags = 0;
	rec.sent_lsn = sent_lsn(e);
	if (cfg.var.xlog_send_logical && WS_ARG1(ctx) == e->base + cfg.var.xlog_send_logical) {
		e->flags |= WS_ENTRY_LOGICAL;
		rec.h.flags |= WS_STREAM_LOGICAL;
		e->turn.h.flags = WS_TURN_LOGICAL;
	}
	slot = read_pointer(e, cfg.var.my_replication_slot);
	if (slot && cfg.off.slot_name != WS_UNKNOWN) {
		if (bpf_probe_read_user_str(rec.slot, sizeof(rec.slot),
					    (const void *)(slot + cfg.off.slot_name)) < 0)
			e->unreadable++;
		else
			rec.h.flags |= WS_STREAM_SLOT;
	}
	e->turn.lsn_to = rec.sent_lsn;
	decoding_reset(e);
	turn_reset(e, now);
	e->stage = WS_STAGE_OTHER;
	e->mark_ns = now;
	emit(&rec.h, e, pid, WS_KIND_STREAM, sizeof(rec), now);
}

static __always_inline void on_KEEPALIVE(struct pt_regs *ctx)
{
	struct ws_rec_keepalive rec = {};
	__u32 pid = current_tgid();
	struct ws_entry *e = session_of(pid);

	if (!e)
		return;
	rec.lsn = sent_lsn(e);
	rec.request_reply =
		(__u8)WS_ARG1(ctx) != 0; /* a bool: the rest of the register is anything */
	emit(&rec.h, e, pid, WS_KIND_KEEPALIVE, sizeof(rec), bpf_ktime_get_ns());
}

static __always_inline void emit_phase(__u32 phase)
{
	struct ws_rec_phase rec = { .phase = phase };
	__u32 pid = current_tgid();
	struct ws_entry *e = session_of(pid);
	__u8 cascading = 0;

	if (!e)
		return;
	if (phase == WS_PHASE_INITIALIZED && cfg.var.am_cascading_walsender &&
	    read_user(e, &cascading, 1, e->base + cfg.var.am_cascading_walsender) && cascading)
		rec.h.flags = WS_PHASE_CASCADING;
	emit(&rec.h, e, pid, WS_KIND_PHASE, sizeof(rec), bpf_ktime_get_ns());
}

/* Around the call of ClientAuthentication, in every backend, once. */
static __always_inline void on_AUTH_BEGIN(struct pt_regs *ctx)
{
	emit_phase(WS_PHASE_AUTH_BEGIN);
}

static __always_inline void on_AUTH_END(struct pt_regs *ctx)
{
	emit_phase(WS_PHASE_AUTH_END);
}

/* Behind the call of InitWalSender. */
static __always_inline void on_INITIALIZED(struct pt_regs *ctx)
{
	emit_phase(WS_PHASE_INITIALIZED);
}

/* The part of forbidden_in_wal_sender behind its look at am_walsender: it only reports. */
static __always_inline void on_MESSAGE_REFUSED(struct pt_regs *ctx)
{
	struct ws_rec_message rec = {};
	__u32 pid = current_tgid();
	struct ws_entry *e = session_of(pid);

	if (!e)
		return;
	rec.type = (__u8)WS_ARG1(ctx); /* a char: the rest of the register is anything */
	emit(&rec.h, e, pid, WS_KIND_MESSAGE, sizeof(rec), bpf_ktime_get_ns());
}

/* WalSndKill's entry: proc_exit runs its callbacks. What it was called with, why the server says
 * the session ends, and whether it would have said more. */
static __always_inline void on_ENDING(struct pt_regs *ctx)
{
	struct ws_rec_ending rec = {};
	__u32 pid = current_tgid(), cause = 0;
	struct ws_entry *e = session_of(pid);
	__s32 least = 0;

	if (!e)
		return;
	rec.code = WS_ARG1(ctx);
	e->flags |= WS_ENTRY_NO_WAITS; /* ProcKill, which is to come, gives its PGPROC away */
	/* Nobody wants a COMMERROR then: errstart drops it, and EmitErrorReport does not run. */
	if (cfg.var.log_min_messages && cfg.off.elevel_fatal &&
	    read_user(e, &least, sizeof(least), e->base + cfg.var.log_min_messages) &&
	    least >= (__s32)cfg.off.elevel_fatal)
		rec.h.flags = WS_ENDING_MUTED;
	if (cfg.var.session_end_cause &&
	    read_user(e, &cause, sizeof(cause), e->base + cfg.var.session_end_cause) &&
	    cause + 1 <= WS_END_CAUSE_KILLED)
		rec.cause = cause + 1;
	emit(&rec.h, e, pid, WS_KIND_ENDING, sizeof(rec), bpf_ktime_get_ns());
}

#endif
