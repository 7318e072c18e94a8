/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * on_error.h: what the server reports: errors that end commands and sessions, refusals, and that a
 * slot is taken away.
 */
#ifndef WS_ON_ERROR_H
#define WS_ON_ERROR_H

#include "on_session.h"

static __always_inline __u32 elevel_of(__u32 number)
{
	if (number == cfg.off.elevel_error)
		return WS_ELEVEL_ERROR;
	if (number == cfg.off.elevel_fatal)
		return WS_ELEVEL_FATAL;
	if (number == cfg.off.elevel_panic)
		return WS_ELEVEL_PANIC;
	if (number == cfg.off.elevel_commerror)
		return WS_ELEVEL_COMMERROR;
	return 0;
}

#define ERRORDATA_STACK_SIZE 5 /* elog.c */

/* Can the programs find what is being reported? */
static __always_inline bool errors_known(void)
{
	return cfg.var.errordata && cfg.var.errordata_stack_depth &&
	       cfg.off.error_size != WS_UNKNOWN && cfg.off.error_elevel != WS_UNKNOWN;
}

/* The ErrorData being reported: errordata[errordata_stack_depth], 0 if there is none. */
static __always_inline __u64 error_data(struct ws_entry *e)
{
	__s32 depth = -1;

	if (!errors_known() ||
	    !read_user(e, &depth, sizeof(depth), e->base + cfg.var.errordata_stack_depth) ||
	    depth < 0 || depth >= ERRORDATA_STACK_SIZE)
		return 0;
	return e->base + cfg.var.errordata + (__u64)depth * cfg.off.error_size;
}

#define ERROR_FIELD(e, to, data, field, bit)                               \
	((cfg.off.error_##field != WS_UNKNOWN &&                           \
	  read_user(e, to, sizeof(*(to)), (data) + cfg.off.error_##field)) \
		 ? (bit)                                                   \
		 : 0)

/* A constant of an extension's library, which the file of the server does not have. errfinish
 * (elog.c) has just read the file's name, so that the page is there. */
static __always_inline __u32 library_string(struct ws_entry *e, char *to, __u64 from, __u32 bit)
{
	if (from && bpf_probe_read_user_str(to, WS_NAME_LEN, (const void *)from) > 0)
		return bit;
	e->unreadable++;
	return 0;
}

/* Returns where the message is, 0 if that is not known. */
static __noinline __u64 emit_error_record(struct ws_entry *e, __u32 pid, __u64 data, __u32 elevel)
{
	struct ws_rec_error rec; /* its last two fields only for an extension's error */
	__u16 size = WS_ERROR_WIRE_SIZE;
	__u64 message = 0;

	__builtin_memset(&rec, 0, WS_ERROR_WIRE_SIZE);
	rec.elevel = elevel;
	if (data) {
		rec.valid |= ERROR_FIELD(e, &rec.sqlstate, data, sqlerrcode, WS_VALID_SQLSTATE);
		rec.valid |= ERROR_FIELD(e, &rec.line, data, lineno, WS_VALID_LINE);
		rec.valid |= ERROR_FIELD(e, &rec.file_addr, data, filename, WS_VALID_FILE);
		rec.valid |= ERROR_FIELD(e, &rec.function_addr, data, funcname, WS_VALID_FUNCTION);
		ERROR_FIELD(e, &message, data, message, 0);
	}
	if (rec.file_addr - e->base >= cfg.image_end && rec.valid & WS_VALID_FILE &&
	    cfg.image_end) {
		size = sizeof(rec);
		__builtin_memset(rec.file, 0, 2 * WS_NAME_LEN);
		rec.valid &= ~(WS_VALID_FILE | WS_VALID_FUNCTION);
		rec.valid |= library_string(e, rec.file, rec.file_addr, WS_VALID_FILE);
		rec.valid |= library_string(e, rec.function, rec.function_addr, WS_VALID_FUNCTION);
	}
	/* Constants of the binary: reading an untouched page of them would fault here, and the
	 * collector can read them from the file. */
	if (rec.file_addr)
		rec.file_addr -= e->base;
	else
		rec.valid &= ~WS_VALID_FILE;
	if (rec.function_addr)
		rec.function_addr -= e->base;
	else
		rec.valid &= ~WS_VALID_FUNCTION;
	emit(&rec.h, e, pid, WS_KIND_ERROR, size, bpf_ktime_get_ns());
	return message;
}

/* One call behind the other, not within it: the kernel allows 512 bytes of stack for all functions
 * that are in a call at a time, up to 6.12 also in programs of uprobes. */
static __always_inline void emit_error(struct ws_entry *e, __u32 pid, __u64 data, __u32 elevel)
{
	__u64 message = emit_error_record(e, pid, data, elevel);

	if (message)
		emit_text(pid, WS_TEXT_MESSAGE, message);
}

/* What the command was doing comes in front of the error that ends it. */
static __always_inline void fail_command(struct ws_entry *e, __u32 pid)
{
	__u64 now = bpf_ktime_get_ns();

	backup_finish(e, pid, now);
	finish_turns(e, pid, now);
	e->flags &= ~WS_ENTRY_OF_COMMAND;
}

/* WalSndErrorCleanup: an ERROR ended the command (PostgresMain's handler; walsenders only). */
static __always_inline void on_ERROR(struct pt_regs *ctx)
{
	__u32 pid = current_tgid();
	struct ws_entry *e = session_of(pid);

	if (!e)
		return;
	fail_command(e, pid);
	emit_error(e, pid, error_data(e), WS_ELEVEL_ERROR);
}

/* PostgreSQL's MAKE_SQLSTATE: six bits a character. */
#define SQLSTATE(a, b, c, d, e) \
	(((a) - '0') | ((b) - '0') << 6 | ((c) - '0') << 12 | ((d) - '0') << 18 | ((e) - '0') << 24)
#define INVALID_PARAMETER_VALUE SQLSTATE('2', '2', '0', '2', '3')

/* The value of `replication` is no boolean: the only 22023 of ProcessStartupPacket (postmaster.c,
 * 13 to 16, backend_startup.c, 17 and 18). am_walsender is not set, as nothing was parsed. */
static __always_inline bool is_replication_refused(__u64 base, __u64 data)
{
	__u64 name = 0;
	__u32 state = 0;

	if (!cfg.var.startup_packet_name || cfg.off.error_funcname == WS_UNKNOWN ||
	    cfg.off.error_sqlerrcode == WS_UNKNOWN)
		return false;
	bpf_probe_read_user(&name, sizeof(name), (const void *)(data + cfg.off.error_funcname));
	bpf_probe_read_user(&state, sizeof(state), (const void *)(data + cfg.off.error_sqlerrcode));
	return name == base + cfg.var.startup_packet_name && state == INVALID_PARAMETER_VALUE;
}

/*
 * A FATAL of a process without an entry: if it is that of a replication connection which never came
 * to PostgresMain, a session begins here. One that came further is one there was no room for.
 */
static __noinline struct ws_entry *refused_session(__u32 pid, __u64 base, __u64 data)
{
	__u64 walsnd = 0;
	__u8 walsender = 0;

	bpf_probe_read_user(&walsender, 1, (const void *)(base + cfg.var.am_walsender));
	if (walsender != 1)
		return is_replication_refused(base, data)
			       ? open_session(pid, base, WS_SESSION_REFUSED | WS_SESSION_UNPARSED)
			       : NULL;
	if (cfg.var.my_walsnd)
		bpf_probe_read_user(&walsnd, sizeof(walsnd),
				    (const void *)(base + cfg.var.my_walsnd));
	return walsnd ? NULL : open_session(pid, base, WS_SESSION_REFUSED);
}

/* A process that is no walsender says in the log that it takes a slot from one. Its report carries
 * the name of a function that does nothing else. */
static __noinline int emit_slot(__u64 data)
{
	struct ws_rec_slot *r;
	__u64 message = 0;

	if (cfg.off.error_message == WS_UNKNOWN ||
	    bpf_probe_read_user(&message, sizeof(message),
				(const void *)(data + cfg.off.error_message)))
		return 0;
	r = bpf_ringbuf_reserve(&rb, sizeof(*r), 0);
	account(NULL, WS_KIND_SLOT, !r);
	if (!r)
		return 0;
	__builtin_memset(r, 0, sizeof(*r));
	fill_head_alone(&r->h, WS_KIND_SLOT, sizeof(*r), bpf_ktime_get_ns());
	r->h.server = cfg.server;
	r->by_pid = current_tgid();
	if (message)
		bpf_probe_read_user_str(r->message, sizeof(r->message), (const void *)message);
	bpf_ringbuf_submit(r, wake_flags_reserved(sizeof(*r)));
	return 0;
}

/* The front of struct ErrorData, with its elevel and funcname (10 to 18): one read for both. */
#define REPORT_COPY 40
#define REPORT_FIELD(copy, type, offset) \
	((offset) <= REPORT_COPY - sizeof(type) ? *(type *)((copy) + (offset)) : 0)

/*
 * A report of a process without an entry, which nearly always is an ordinary backend with a LOG or
 * ERROR: one read tells. So it looks at the bottom of the stack of errors, where all are but those
 * that come up while another one is reported. Returns the entry of a session that begins here.
 */
static __always_inline struct ws_entry *foreign_report(struct pt_regs *ctx, __u32 pid)
{
	__u64 base = WS_IP(ctx) - cfg.site_addr[WS_SITE_FATAL], name;
	__u64 data = base + cfg.var.errordata;
	char copy[REPORT_COPY] __attribute__((aligned(8)));
	__u32 number;

	if (!errors_known() || bpf_probe_read_user(copy, sizeof(copy), (const void *)data))
		return NULL;
	number = REPORT_FIELD(copy, __u32, cfg.off.error_elevel);
	name = REPORT_FIELD(copy, __u64, cfg.off.error_funcname);
	if (number == cfg.off.elevel_fatal || number == cfg.off.elevel_panic)
		return refused_session(pid, base, data);
	if (cfg.var.slot_invalidate_name && name == base + cfg.var.slot_invalidate_name)
		emit_slot(data);
	return NULL;
}

/* EmitErrorReport runs for every message of every process of the server: the lookup comes first.
 * ERROR is left to WalSndErrorCleanup, which follows. */
static __always_inline void on_FATAL(struct pt_regs *ctx)
{
	__u32 pid = current_tgid(), number = 0, elevel;
	struct ws_entry *e = session_of(pid);
	__u64 data;

	if (!e)
		e = foreign_report(ctx, pid);
	if (!e)
		return;
	data = error_data(e);
	if (!data || !read_user(e, &number, sizeof(number), data + cfg.off.error_elevel))
		return;
	elevel = elevel_of(number);
	if (!elevel || elevel == WS_ELEVEL_ERROR)
		return;
	/* Behind a COMMERROR the command may go on. */
	if (elevel != WS_ELEVEL_COMMERROR)
		fail_command(e, pid);
	emit_error(e, pid, data, elevel);
}

#endif
