/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * host.bpf.c: loaded once. Owns the maps, and sees sessions end: whatever kills a walsender, its
 * exit passes here.
 */
#include "emit.h"
#include "socket.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* The process still has its files: do_exit() comes to exit_files() behind the tracepoint (5.10 to
 * 6.18). Out of the way of on_exit's stack. */
static __noinline int exit_socket(struct ws_rec_exit *rec, struct task_struct *task, __s32 fd)
{
	struct ws_rec_socket socket = {};

	if (!rec || !socket_counters(&socket, task, fd))
		return WS_EXIT_SHORT_SIZE;
	rec->h.flags |= WS_EXIT_SOCKET;
	rec->wire_bytes = socket.wire_bytes;
	rec->acked_bytes = socket.acked_bytes;
	return sizeof(*rec);
}

/*
 * kernel/exit.c do_exit(): exit_code is set before this tracepoint. The leader's exit is the
 * process's here: only compression workers make a walsender multi-threaded, and it joins them.
 */
SEC("raw_tp/sched_process_exit")
int on_exit(void *ctx)
{
	struct ws_rec_exit rec = {};
	struct task_struct *task;
	__u64 id = bpf_get_current_pid_tgid(), now;
	__u32 pid = id >> 32, code;
	__u16 size;
	struct ws_entry *e;

	if (pid != (__u32)id)
		return 0;
	e = bpf_map_lookup_elem(&sessions, &pid);
	if (!e || e->flags & WS_ENTRY_DEAD)
		return 0;
	now = bpf_ktime_get_ns();
	backup_finish(e, pid, now);
	if (e->flags & WS_ENTRY_TURNS) {
		advance(e, now, WS_STAGE_OTHER);
		turn_emit(e, pid, now);
	}
	task = (struct task_struct *)bpf_get_current_task();
	code = BPF_CORE_READ(task, exit_code);
	rec.code = (code >> 8) & 0xff;
	rec.signal = code & 0x7f;
	rec.lost = e->lost;
	rec.unreadable = e->unreadable;
	size = exit_socket(&rec, task, e->sock);
	emit(&rec.h, e, pid, WS_KIND_EXIT, size, now);
	/* User space deletes it: only then are its counters known to have been read. */
	e->flags |= WS_ENTRY_DEAD;
	return 0;
}
