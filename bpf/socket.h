/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * socket.h: a walsender's socket, found through the process's table of open files, and the counters
 * of a TCP one. No site in the server is needed for that.
 */
#ifndef WS_SOCKET_H
#define WS_SOCKET_H

#include "kernel.h"
#include "wire.h"

#define WS_AF_INET     2
#define WS_AF_INET6    10
#define WS_IPPROTO_TCP 6

/*
 * The network side of the socket behind a descriptor of a process, NULL if it is no socket. Another
 * process's table may change while it is read: a socket and its file, and a socket and its network
 * side, point at each other (net/socket.c sock_alloc_file, sock_graft), so what does not was
 * overtaken, or is no socket at all.
 */
static __always_inline struct sock *sock_of(struct task_struct *task, __s32 fd)
{
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **files, *file = NULL;
	struct socket *socket;
	struct sock *sk;

	if (!table || fd < 0 || (__u32)fd >= BPF_CORE_READ(table, max_fds))
		return NULL;
	files = BPF_CORE_READ(table, fd);
	if (bpf_probe_read_kernel(&file, sizeof(file), files + fd) || !file)
		return NULL;
	socket = BPF_CORE_READ(file, private_data);
	if (!socket || BPF_CORE_READ(socket, file) != file)
		return NULL;
	sk = BPF_CORE_READ(socket, sk);
	return sk && BPF_CORE_READ(sk, sk_socket) == socket ? sk : NULL;
}

static __always_inline struct tcp_sock *tcp_of(struct task_struct *task, __s32 fd)
{
	struct sock *sk = sock_of(task, fd);
	__u16 family;

	if (!sk)
		return NULL;
	family = BPF_CORE_READ(sk, __sk_common.skc_family);
	if ((family != WS_AF_INET && family != WS_AF_INET6) ||
	    BPF_CORE_READ(sk, sk_protocol) != WS_IPPROTO_TCP)
		return NULL;
	return (struct tcp_sock *)sk;
}

/*
 * Fills what every recording has, up to srtt_us, but not the head. An acknowledgement moves
 * bytes_acked and snd_una one after the other (tcp_input.c tcp_snd_una_update): counters between
 * which one came in are read again.
 */
static __always_inline bool socket_counters(struct ws_rec_socket *r, struct task_struct *task,
					    __s32 fd)
{
	struct tcp_sock *tp = tcp_of(task, fd);
	__u32 una, written, sent;
	int i;

	if (!tp)
		return false;
	for (i = 0; i < 4; i++) {
		una = BPF_CORE_READ(tp, snd_una);
		r->acked_bytes = BPF_CORE_READ(tp, bytes_acked);
		sent = BPF_CORE_READ(tp, snd_nxt);
		written = BPF_CORE_READ(tp, write_seq);
		if (una != BPF_CORE_READ(tp, snd_una) ||
		    r->acked_bytes != BPF_CORE_READ(tp, bytes_acked))
			continue;
		r->wire_bytes = r->acked_bytes + (__u32)(written - una);
		r->unsent_bytes = written - sent;
		r->sent_bytes = BPF_CORE_READ(tp, bytes_sent);
		r->retrans_bytes = BPF_CORE_READ(tp, bytes_retrans);
		r->srtt_us = BPF_CORE_READ(tp, srtt_us) >> 3; /* kept times eight */
		/* What the files pointed at may be another socket's by now. */
		return tcp_of(task, fd) == tp;
	}
	return false;
}

#endif
