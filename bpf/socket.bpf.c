/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * socket.bpf.c: the counters of the sockets of all walsenders, whenever the collector asks: reading
 * the iterator is what runs it. An object of its own, because a kernel without such iterators can
 * do the rest. Its maps are the host object's.
 */
#include "emit.h"
#include "socket.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* For each thread of the host; what comes out is a row of struct ws_rec_socket. */
SEC("iter/task")
int each_task(struct bpf_iter__task *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct task_struct *task = ctx->task;
	struct ws_rec_socket rec = {};
	struct ws_entry *e;
	__u32 pid;

	if (!task || task->pid != task->tgid)
		return 0;
	pid = task->tgid;
	e = bpf_map_lookup_elem(&sessions, &pid);
	/* User space knows the start of a session it found running in clock ticks only. */
	if (!e || e->flags & WS_ENTRY_DEAD || !began_at(e, task->start_boottime))
		return 0;
	rec.h.time_ns = bpf_ktime_get_ns();
	if (!socket_counters(&rec, task, e->sock))
		return 0;
	rec.h.size = WS_SOCKET_SHORT_SIZE;
	rec.h.kind = WS_KIND_SOCKET;
	rec.h.pid = pid;
	rec.h.start_ns = e->start_ns;
	rec.h.server = e->server;
	bpf_seq_write(seq, &rec, sizeof(rec));
	return 0;
}
