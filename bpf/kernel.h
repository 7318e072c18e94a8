/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * kernel.h: the kernel's types as far as the programs use them.
 *
 * No vmlinux.h: building needs no BTF, and one object runs on 5.10 to current kernels. libbpf
 * relocates the accesses to task_struct when it loads (preserve_access_index). The registers a
 * uprobe's program is handed are uapi (asm/ptrace.h) and need no relocation.
 */
#ifndef WS_KERNEL_H
#define WS_KERNEL_H

#include <stdbool.h>
#include <linux/types.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#ifndef offsetof
#define offsetof(type, member) __builtin_offsetof(type, member)
#endif

/* Open files, as far as the way to a socket leads through them. */
struct file {
	void *private_data;
} __attribute__((preserve_access_index));

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
} __attribute__((preserve_access_index));

struct files_struct {
	struct fdtable *fdt;
} __attribute__((preserve_access_index));

struct sock_common {
	unsigned short skc_family;
	unsigned char skc_state;
} __attribute__((preserve_access_index));

typedef struct {
	int counter;
} atomic_t;

typedef struct {
	atomic_t refs;
} __attribute__((preserve_access_index)) refcount_t;

struct sk_buff_head {
	__u32 qlen;
} __attribute__((preserve_access_index));

struct socket;
struct sock {
	struct sock_common __sk_common;
	struct sk_buff_head sk_receive_queue;
	int sk_wmem_queued;
	int sk_sndbuf;
	refcount_t sk_wmem_alloc;
	__u16 sk_protocol;
	struct socket *sk_socket;
} __attribute__((preserve_access_index));

struct socket {
	struct file *file;
	struct sock *sk;
} __attribute__((preserve_access_index));

struct unix_sock { /* begins with its struct sock */
	struct sock *peer;
} __attribute__((preserve_access_index));

struct inet_connection_sock { /* likewise */
	__u32 icsk_rto;
	__u8 icsk_ca_state : 5;
	__u8 icsk_retransmits;
	__u8 icsk_pending;
	__u8 icsk_backoff;
	__u8 icsk_probes_out;
} __attribute__((preserve_access_index));

struct minmax_sample {
	__u32 t;
	__u32 v;
} __attribute__((preserve_access_index));

struct minmax {
	struct minmax_sample s[3];
} __attribute__((preserve_access_index));

struct tcp_sock { /* begins with its struct inet_connection_sock */
	__u64 bytes_sent;
	__u64 bytes_acked;
	__u64 bytes_retrans;
	__u32 write_seq;
	__u32 snd_nxt;
	__u32 snd_una;
	__u32 srtt_us;
	__u32 snd_wnd;
	__u32 mss_cache;
	__u32 snd_cwnd;
	__u32 packets_out;
	__u32 total_retrans;
	__u32 rcv_tstamp;
	__u32 chrono_start;
	__u32 chrono_stat[3];
	__u8 chrono_type : 2;
	struct minmax rtt_min;
} __attribute__((preserve_access_index));

struct sched_entity {
	__u64 sum_exec_runtime;
} __attribute__((preserve_access_index));

struct sched_info { /* empty without CONFIG_SCHED_INFO */
	unsigned long long run_delay;
} __attribute__((preserve_access_index));

struct task_io_accounting { /* empty without CONFIG_TASK_IO_ACCOUNTING */
	__u64 read_bytes;
} __attribute__((preserve_access_index));

#define PF_EXITING 0x4 /* linux/sched.h: it is in do_exit() */

struct task_struct {
	unsigned int flags;
	int exit_code;
	__s32 pid;
	__s32 tgid;
	struct files_struct *files;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	__u64 start_boottime;
	unsigned int __state;
	int exit_state;
	struct sched_entity se;
	struct sched_info sched_info;
	struct task_io_accounting ioac;
} __attribute__((preserve_access_index));

struct task_struct___before_5_14 {
	long state;
} __attribute__((preserve_access_index));

/* linux/sched.h: by a signal, and by a debugger. 0 is TASK_RUNNING. */
#define TASK_STOPPED_OR_TRACED 0x0c

/* Of a task that the verifier lets be read directly: in what state it was switched off
 * (task_struct.state up to 5.13). */
static __always_inline __u32 task_state(const struct task_struct *task)
{
	const struct task_struct___before_5_14 *old = (const void *)task;

	if (bpf_core_field_exists(task->__state))
		return task->__state;
	return old->state;
}

struct seq_file;
struct bpf_iter_meta {
	struct seq_file *seq;
} __attribute__((preserve_access_index));

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
} __attribute__((preserve_access_index));

struct kernel_siginfo {
	int si_code;
} __attribute__((preserve_access_index));

/* Arguments count from 1, as the sources of PostgreSQL are read. */
#if defined(__TARGET_ARCH_x86)

struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax;
	unsigned long ip, cs, flags, sp, ss;
};
#define WS_IP(ctx)     ((ctx)->ip)
#define WS_RESULT(ctx) ((ctx)->ax)
#define WS_ARG1(ctx)   ((ctx)->di)
#define WS_ARG2(ctx)   ((ctx)->si)
#define WS_ARG3(ctx)   ((ctx)->dx)
#define WS_ARG4(ctx)   ((ctx)->cx)
#define WS_ARG5(ctx)   ((ctx)->r8)
/* By DWARF number (System V ABI, AMD64 supplement, figure 3.36); a stack frame needs no other. */
#define WS_DWARF_FP 6
#define WS_DWARF_SP 7
#define WS_FP(ctx)  ((ctx)->bp)
#define WS_SP(ctx)  ((ctx)->sp)

#elif defined(__TARGET_ARCH_arm64)

struct pt_regs { /* struct user_pt_regs */
	__u64 regs[31];
	__u64 sp;
	__u64 pc;
	__u64 pstate;
};
#define WS_IP(ctx)     ((ctx)->pc)
#define WS_RESULT(ctx) ((ctx)->regs[0])
#define WS_ARG1(ctx)   ((ctx)->regs[0])
#define WS_ARG2(ctx)   ((ctx)->regs[1])
#define WS_ARG3(ctx)   ((ctx)->regs[2])
#define WS_ARG4(ctx)   ((ctx)->regs[3])
#define WS_ARG5(ctx)   ((ctx)->regs[4])
#define WS_DWARF_FP    29
#define WS_DWARF_SP    31
#define WS_FP(ctx)     ((ctx)->regs[29])
#define WS_SP(ctx)     ((ctx)->sp)

#else
#error "no register layout for this architecture"
#endif

#endif
