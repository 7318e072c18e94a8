/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * sample.bpf.c: what the kernel knows of all walsenders and their sockets, whenever the collector
 * asks: reading the iterator is what runs it. An object of its own, because a kernel without such
 * iterators can do the rest. Its maps are the host object's.
 */
#include "emit.h"
#include "socket.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define WS_AF_UNIX 1

/* Length of a jiffy; set before loading. A program does not know the kernel's HZ. */
const volatile __u32 jiffy_ns = 4000000;

static __always_inline __u64 jiffies_us(__u32 jiffies)
{
	return (__u64)jiffies * jiffy_ns / 1000;
}

/* enum tcp_chrono, linux/tcp.h */
enum { TCP_CHRONO_BUSY = 1, TCP_CHRONO_RWND_LIMITED = 2, TCP_CHRONO_SNDBUF_LIMITED = 3 };

/* net/ipv4/tcp.c tcp_get_info_chrono_stats(): the one that runs is not in its sum yet. */
static __always_inline void chronos(struct ws_rec_socket *r, struct tcp_sock *tp, __u32 now)
{
	__u32 start = BPF_CORE_READ(tp, chrono_start), sums[3];
	__u32 running = BPF_CORE_READ_BITFIELD_PROBED(tp, chrono_type);
	int i;

	BPF_CORE_READ_INTO(&sums, tp, chrono_stat);
	for (i = 0; i < 3; i++)
		if (running == (__u32)i + TCP_CHRONO_BUSY)
			sums[i] += now - start;
	r->rwnd_limited_us = jiffies_us(sums[TCP_CHRONO_RWND_LIMITED - TCP_CHRONO_BUSY]);
	r->sndbuf_limited_us = jiffies_us(sums[TCP_CHRONO_SNDBUF_LIMITED - TCP_CHRONO_BUSY]);
	r->busy_us = jiffies_us(sums[0]) + r->rwnd_limited_us + r->sndbuf_limited_us;
}

/* ICSK_TIME_*, net/inet_connection_sock.h: 1 RETRANS, 2 DACK (up to 5.x, in another field since), 3
 * PROBE0, 4 EARLY_RETRANS (4.x), 5 LOSS_PROBE, 6 REO_TIMEOUT. */
static __always_inline __u8 timer_of(__u8 pending)
{
	switch (pending) {
	case 0:
		return WS_TCP_TIMER_NONE;
	case 1:
	case 4:
	case 5:
	case 6:
		return WS_TCP_TIMER_RETRANSMIT;
	case 3:
		return WS_TCP_TIMER_PERSIST;
	default:
		return WS_TCP_TIMER_OTHER;
	}
}

/* net/ipv4/tcp.c tcp_get_info() */
static __always_inline void socket_state(struct ws_rec_socket *r, struct tcp_sock *tp)
{
	struct inet_connection_sock *icsk = (struct inet_connection_sock *)tp;
	struct sock *sk = (struct sock *)tp;
	__u32 now = bpf_jiffies64(), received, una;

	chronos(r, tp, now);
	received = BPF_CORE_READ(tp, rcv_tstamp);
	/* A packet may have come in since. */
	r->ack_age_us = received && (__s32)(now - received) > 0 ? jiffies_us(now - received) : 0;
	una = BPF_CORE_READ(tp, snd_una);
	r->in_flight_bytes = BPF_CORE_READ(tp, snd_nxt) - una;
	r->min_rtt_us = BPF_CORE_READ(tp, rtt_min.s[0].v);
	if (r->min_rtt_us == ~0U) /* none was measured */
		r->min_rtt_us = 0;
	r->rto_us = jiffies_us(BPF_CORE_READ(icsk, icsk_rto));
	r->window_bytes = BPF_CORE_READ(tp, snd_wnd);
	r->mss_bytes = BPF_CORE_READ(tp, mss_cache);
	r->cwnd = BPF_CORE_READ(tp, snd_cwnd);
	r->in_flight_packets = BPF_CORE_READ(tp, packets_out);
	r->total_retrans = BPF_CORE_READ(tp, total_retrans);
	r->sndbuf_bytes = BPF_CORE_READ(sk, sk_sndbuf);
	r->queued_bytes = BPF_CORE_READ(sk, sk_wmem_queued);
	r->tcp_state = BPF_CORE_READ(sk, __sk_common.skc_state);
	r->timer = timer_of(BPF_CORE_READ(icsk, icsk_pending));
	r->backoff = BPF_CORE_READ(icsk, icsk_backoff);
	r->retransmits = BPF_CORE_READ(icsk, icsk_retransmits);
	r->probes = BPF_CORE_READ(icsk, icsk_probes_out);
	r->ca_state = BPF_CORE_READ_BITFIELD_PROBED(icsk, icsk_ca_state);
}

static __always_inline bool take_socket(struct ws_rec_socket *r, struct task_struct *task, __s32 fd)
{
	struct tcp_sock *tp = tcp_of(task, fd);

	if (!tp)
		return false;
	socket_state(r, tp);
	/* It looks last whether the socket still is the one that it read. */
	return socket_counters(r, task, fd) && tcp_of(task, fd) == tp;
}

/*
 * net/unix/af_unix.c: what is written is charged to the writer (sk_wmem_alloc, which begins at 1)
 * and lies in the reader's sk_receive_queue. Each is the other's peer.
 */
static __always_inline void take_unix(struct ws_rec_sample *r, struct task_struct *task, __s32 fd)
{
	struct sock *sk = sock_of(task, fd), *peer;
	__u32 queued, sndbuf, packets;

	if (!sk || BPF_CORE_READ(sk, __sk_common.skc_family) != WS_AF_UNIX)
		return;
	queued = BPF_CORE_READ(sk, sk_wmem_alloc.refs.counter) - 1;
	sndbuf = BPF_CORE_READ(sk, sk_sndbuf);
	peer = BPF_CORE_READ((struct unix_sock *)sk, peer);
	packets = peer ? BPF_CORE_READ(peer, sk_receive_queue.qlen) : 0;
	if (peer && BPF_CORE_READ((struct unix_sock *)peer, peer) != sk)
		return;
	if (sock_of(task, fd) != sk || BPF_CORE_READ((struct unix_sock *)sk, peer) != peer)
		return;
	r->unix_queued_bytes = queued;
	r->unix_sndbuf_bytes = sndbuf;
	r->unix_packets = packets;
	r->valid |= WS_SAMPLE_UNIX;
}

/* fs/proc/array.c get_task_state(): the letter of the highest bit. */
static __always_inline __u8 state_letter(struct task_struct *task)
{
	struct task_struct___before_5_14 *old = (void *)task;
	__u32 state = BPF_CORE_READ(task, exit_state);

	if (bpf_core_field_exists(old->state))
		state |= BPF_CORE_READ(old, state);
	else
		state |= BPF_CORE_READ(task, __state);
	if (state & 0x20)
		return 'Z';
	if (state & 0x10)
		return 'X';
	if (state & 0x08)
		return 't';
	if (state & 0x04)
		return 'T';
	if (state & 0x02)
		return 'D';
	return state & 0x01 ? 'S' : 'R';
}

static __always_inline void take_task(struct ws_rec_sample *r, struct task_struct *task)
{
	r->run_ns = BPF_CORE_READ(task, se.sum_exec_runtime);
	if (bpf_core_field_exists(task->sched_info.run_delay)) {
		r->run_delay_ns = BPF_CORE_READ(task, sched_info.run_delay);
		r->valid |= WS_SAMPLE_DELAY;
	}
	if (bpf_core_field_exists(task->ioac.read_bytes)) {
		r->read_bytes = BPF_CORE_READ(task, ioac.read_bytes);
		r->valid |= WS_SAMPLE_READ;
	}
	r->task_state = state_letter(task);
}

/* For each thread of the host. */
SEC("iter/task")
int each_task(struct bpf_iter__task *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct task_struct *task = ctx->task;
	struct ws_taken row = {};
	struct ws_entry *e;
	__u64 now;
	__u32 pid;

	if (!task || task->pid != task->tgid)
		return 0;
	pid = task->tgid;
	e = bpf_map_lookup_elem(&sessions, &pid);
	/* User space knows the start of a session it found running in clock ticks only. */
	if (!e || e->flags & WS_ENTRY_DEAD || !began_at(e, task->start_boottime))
		return 0;
	now = bpf_ktime_get_ns();
	fill_head_about(&row.sample.h, e, pid, WS_KIND_SAMPLE, sizeof(row.sample), now);
	take_task(&row.sample, task);
	take_unix(&row.sample, task, e->sock);
	if (take_socket(&row.socket, task, e->sock))
		fill_head_about(&row.socket.h, e, pid, WS_KIND_SOCKET, sizeof(row.socket), now);
	row.base = e->base;
	row.sent_lsn = e->turn.lsn_to;
	row.postmaster_pid = e->postmaster_pid;
	row.seq = e->seq;
	row.flags = e->flags;
	bpf_seq_write(seq, &row, sizeof(row));
	return 0;
}
