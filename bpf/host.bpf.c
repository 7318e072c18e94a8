/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * host.bpf.c: loaded once. Owns the maps, and sees sessions end: whatever kills a walsender, its
 * exit passes here, and who sends it the signal that does. From level 2 on it sees them sleep and
 * wake, at level 3 wait for a CPU.
 */
#include "emit.h"
#include "socket.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Level 3: how long sessions wait for a CPU is told. */
const volatile bool tells_off_cpu;

/* Postmasters whose servers are traced: pid to start_boottime in whole clock ticks (ns). The
 * collector fills it; signals to them are reported. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WS_POSTMASTERS_MAX);
	__type(key, __u32);
	__type(value, __u64);
} postmasters SEC(".maps");

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
	task = (struct task_struct *)bpf_get_current_task();
	/* The entry may be an older process's whose end was not seen. */
	if (!began_at(e, BPF_CORE_READ(task, group_leader, start_boottime)))
		return 0;
	now = bpf_ktime_get_ns();
	backup_finish(e, pid, now);
	if (e->flags & WS_ENTRY_TURNS) {
		advance(e, now, WS_STAGE_OTHER);
		turn_emit(e, pid, now);
	}
	code = BPF_CORE_READ(task, exit_code);
	rec.code = (code >> 8) & 0xff;
	rec.signal = code & 0x7f;
	rec.lost = e->lost;
	rec.unreadable = e->unreadable;
	off_cpu_emit(e, pid, now);
	size = exit_socket(&rec, task, e->sock);
	emit(&rec.h, e, pid, WS_KIND_EXIT, size, now);
	/* User space deletes it: only then are its counters known to have been read. */
	e->flags |= WS_ENTRY_DEAD;
	return 0;
}

#define SIGNAL(number) (1U << (number))

/* Signals that end a walsender, or that make the postmaster end them (asm-generic/signal.h; the
 * same on both architectures). */
enum {
	SIG_INT = 2,
	SIG_CONT = 18,
	SIG_STOP = 19,
	DEADLY = SIGNAL(3) /* QUIT */ | SIGNAL(4) /* ILL */ | SIGNAL(6) /* ABRT */ |
		 SIGNAL(7) /* BUS */ | SIGNAL(8) /* FPE */ | SIGNAL(9) /* KILL */ |
		 SIGNAL(11) /* SEGV */ | SIGNAL(15) /* TERM */ | SIGNAL(24) /* XCPU */ |
		 SIGNAL(25) /* XFSZ */,
};

/* include/trace/events/signal.h: what came of the sending. */
enum {
	TRACE_SIGNAL_DELIVERED = 0,
	TRACE_SIGNAL_IGNORED = 1,
	TRACE_SIGNAL_ALREADY_PENDING = 2,
	TRACE_SIGNAL_LOSE_INFO = 4,
};

/* Did it have its effect? SIGCONT lets a stopped process go on in front of anything else
 * (prepare_signal), also where it is ignored then, which is the default, or blocked. */
static __always_inline bool has_effect(__u32 signal, __u32 result)
{
	if (result == TRACE_SIGNAL_DELIVERED || result == TRACE_SIGNAL_LOSE_INFO)
		return true;
	return signal == SIG_CONT &&
	       (result == TRACE_SIGNAL_IGNORED || result == TRACE_SIGNAL_ALREADY_PENDING);
}

/* The start of the walsender or postmaster with this pid, 0 if it is neither. */
static __always_inline __u64 target_start(__u32 pid, __u64 start, __u32 signal)
{
	struct ws_entry *e = bpf_map_lookup_elem(&sessions, &pid);
	__u64 *postmaster;

	/* SIGINT ends a walsender's command, not the walsender. */
	if (e && began_at(e, start))
		return signal == SIG_INT || e->flags & WS_ENTRY_DEAD ? 0 : e->start_ns;
	/* To a postmaster they say nothing of its sessions. */
	if (signal == SIG_STOP || signal == SIG_CONT)
		return 0;
	postmaster = bpf_map_lookup_elem(&postmasters, &pid);
	return postmaster && *postmaster / WS_TICK_NS == start / WS_TICK_NS ? start : 0;
}

/* Sent by the kernel itself: SEND_SIG_PRIV, or a code above 0 (si_fromuser, kernel/signal.c). */
static __always_inline bool by_kernel(const struct kernel_siginfo *info)
{
	if ((unsigned long)info <= 1) /* is_si_special: SEND_SIG_NOINFO, SEND_SIG_PRIV */
		return info;
	return BPF_CORE_READ(info, si_code) > 0;
}

/* What the current process is to the target, as far as pids tell. */
static __always_inline __u32 role_to(__u32 target, __u32 parent)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	__u32 pid = current_tgid(), own_parent = BPF_CORE_READ(task, real_parent, tgid);

	if (pid == target)
		return WS_ROLE_SELF;
	if (pid == parent)
		return WS_ROLE_POSTMASTER;
	/* An orphan's parent is init, whose children are no family. */
	if (own_parent > 1 && (own_parent == target || own_parent == parent))
		return WS_ROLE_BACKEND;
	return WS_ROLE_OTHER;
}

/*
 * kernel/signal.c __send_signal_locked(), in the sender's context: (sig, info, task, group,
 * result). It sees every signal of the host: what is none of ours leaves at once.
 */
SEC("raw_tp/signal_generate")
int on_signal(struct bpf_raw_tracepoint_args *ctx)
{
	const struct kernel_siginfo *info = (const struct kernel_siginfo *)ctx->args[1];
	struct task_struct *task = (struct task_struct *)ctx->args[2];
	__u32 signal = ctx->args[0], result = ctx->args[4];
	struct ws_rec_signal rec = {};
	bool is_postmaster;

	if (signal > 31 ||
	    !(SIGNAL(signal) & (DEADLY | SIGNAL(SIG_INT) | SIGNAL(SIG_STOP) | SIGNAL(SIG_CONT))) ||
	    !has_effect(signal, result))
		return 0;
	rec.signal = signal;
	rec.target_pid = BPF_CORE_READ(task, tgid);
	rec.target_start_ns = target_start(
		rec.target_pid, BPF_CORE_READ(task, group_leader, start_boottime), signal);
	if (!rec.target_start_ns)
		return 0;
	is_postmaster = bpf_map_lookup_elem(&postmasters, &rec.target_pid);
	if (by_kernel(info)) {
		rec.role = WS_ROLE_KERNEL;
	} else {
		rec.sender_pid = current_tgid();
		rec.role = role_to(rec.target_pid,
				   is_postmaster ? 0 : BPF_CORE_READ(task, real_parent, tgid));
		bpf_get_current_comm(rec.sender, sizeof(rec.sender));
	}
	fill_head_alone(&rec.h, WS_KIND_SIGNAL, sizeof(rec), bpf_ktime_get_ns());
	account(NULL, WS_KIND_SIGNAL,
		bpf_ringbuf_output(&rb, &rec, sizeof(rec),
				   wake_flags(ring_unread(), sizeof(rec))) != 0);
	return 0;
}

/*
 * The scheduler's programs see every switch of the host, and nearly none is a session's: they read
 * the tasks directly, as tp_btf lets them, where a raw tracepoint's would call a helper for each
 * field. Only the main thread is the walsender.
 */
static __always_inline struct ws_entry *session_of_task(const struct task_struct *task)
{
	__u32 pid = task->pid, zero = 0;
	const struct ws_watched *w = bpf_map_lookup_elem(&watched, &zero);
	struct ws_entry *e;

	if (!w || !w->may_be[pid % WS_WATCHED_PIDS] || task->pid != task->tgid)
		return NULL;
	e = bpf_map_lookup_elem(&sessions, &pid);
	if (!e || e->flags & WS_ENTRY_DEAD || !began_at(e, task->start_boottime))
		return NULL;
	return e;
}

SEC("tp_btf/sched_wakeup")
int on_wakeup(__u64 *ctx)
{
	struct ws_entry *e = session_of_task((const struct task_struct *)ctx[0]);

	if (e)
		e->runnable_ns = bpf_ktime_get_ns();
	return 0;
}

/* By server: its on_sleep (server.bpf.c), where that is to tell of waits. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, WS_SERVERS_MAX + 1);
	__type(key, __u32);
	__type(value, __u32);
} sleeps SEC(".maps");

/* Is the current process in the wait that was announced last? */
static __always_inline bool is_in_wait(const struct ws_entry *e, bool otherwise)
{
	__u32 wait_event;

	if (!e->wait_info ||
	    bpf_probe_read_user(&wait_event, sizeof(wait_event), (const void *)e->wait_info))
		return otherwise;
	return wait_event == e->wait_event;
}

/* A wait goes on if it sleeps in it again: a signal woke it. But it may as well sleep elsewhere
 * before it comes to a site: on a lock, or on the disk. */
static __always_inline void switched_off(__u64 *ctx, struct ws_entry *e, bool is_runnable)
{
	bool waits = e->stage == WS_STAGE_WAIT;
	__u64 now;

	e->runnable_ns = tells_off_cpu && is_runnable ? bpf_ktime_get_ns() : 0;
	if (is_runnable)
		return;
	bpf_tail_call(ctx, &sleeps, e->server); /* comes back if there is none */
	if (!waits && e->nap != WS_NAP_AWAKE)
		return;
	now = bpf_ktime_get_ns();
	if (is_in_wait(e, waits)) {
		if (!waits)
			advance(e, now, WS_STAGE_WAIT);
		e->nap = WS_NAP_ASLEEP;
	} else {
		advance(e, now, waits ? e->after_wait : e->stage);
	}
}

static __always_inline void switched_on(struct ws_entry *e, __u64 now)
{
	if (e->runnable_ns) {
		e->off_cpu_ns[e->stage & (WS_STAGE_COUNT - 1)] += now - e->runnable_ns;
		e->off_cpu_sum_ns += now - e->runnable_ns;
		e->runnable_ns = 0;
	}
	if (e->nap == WS_NAP_ASLEEP) {
		advance(e, now, e->after_wait);
		e->nap = WS_NAP_AWAKE;
	}
}

/* (preempt, prev, next): the first one is true if prev was to go on, whatever its state says. */
SEC("tp_btf/sched_switch")
int on_switch(__u64 *ctx)
{
	const struct task_struct *prev = (const struct task_struct *)ctx[1];
	const struct task_struct *next = (const struct task_struct *)ctx[2];
	struct ws_entry *e = session_of_task(next);

	if (e)
		switched_on(e, bpf_ktime_get_ns());
	e = session_of_task(prev);
	if (e)
		switched_off(ctx, e, ctx[0] || !task_state(prev));
	return 0;
}
