/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the running kernel offers this process, found by trying. Releases say little: distributions
 * backport features, and privileges, lockdown and seccomp take them away.
 */
#include "probe/kernel.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "probe/attach.h"

/* The part of union bpf_attr for BPF_LINK_CREATE with BPF_TRACE_UPROBE_MULTI. */
struct link_create {
	uint32_t prog_fd;
	uint32_t target_fd;
	uint32_t attach_type;
	uint32_t flags;
	uint64_t path;
	uint64_t offsets;
	uint64_t ref_ctr_offsets;
	uint64_t cookies;
	uint32_t count;
	uint32_t multi_flags;
	uint32_t pid;
	uint32_t reserved;
};
_Static_assert(offsetof(struct link_create, path) == 16, "union bpf_attr");
_Static_assert(offsetof(struct link_create, pid) == 56, "union bpf_attr");

int ws_kernel_link_uprobes(int prog_fd, const char *path, const uint64_t *offsets,
			   const uint64_t *cookies, uint32_t count)
{
	struct link_create attr = {
		.prog_fd = prog_fd,
		.attach_type = WS_BPF_TRACE_UPROBE_MULTI,
		.path = (uintptr_t)path,
		.offsets = (uintptr_t)offsets,
		.cookies = (uintptr_t)cookies,
		.count = count,
	};
	long fd = syscall(__NR_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));

	return fd < 0 ? -errno : (int)fd;
}

/* A place to plant trial probes at: never called. */
static void __attribute__((noinline, used)) trial_target(void)
{
	__asm__ volatile("nop");
}

/* Where a function of this program lies in its file; 0 if that cannot be told. */
static uint64_t own_file_offset(const void *function)
{
	ws_autofclose FILE *f = fopen("/proc/self/maps", "re");
	uint64_t from, to, offset, at = (uintptr_t)function;
	char line[512];

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %" SCNx64, &from, &to, &offset) ==
			    3 &&
		    at >= from && at < to)
			return at - from + offset;
	}
	return 0;
}

/* Loads a program of a few instructions as a uprobe's. Returns its descriptor, or -errno. */
static int load_trial(const struct bpf_insn *insns, size_t count, uint32_t attach_type)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = attach_type);
	int fd = bpf_prog_load(BPF_PROG_TYPE_KPROBE, "walscope_trial", "Dual BSD/GPL", insns, count,
			       &opts);

	return fd < 0 ? -errno : fd;
}

static int load_empty(uint32_t attach_type)
{
	const struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};

	return load_trial(insns, WS_ARRAY_SIZE(insns), attach_type);
}

/*
 * Nothing is planted, because taking it out again would cost a start 40 ms and more of waiting for
 * every processor: a kernel that knows the links looks the file up first and refuses a directory
 * with EBADF (bpf_uprobe_multi_link_attach, 6.6), an older one refuses the attach type with EINVAL.
 */
bool ws_kernel_has_uprobe_multi(void)
{
	ws_autoclose int prog = load_empty(WS_BPF_TRACE_UPROBE_MULTI);
	const uint64_t offset = 0, cookie = 1;

	return prog >= 0 && ws_kernel_link_uprobes(prog, "/", &offset, &cookie, 1) == -EBADF;
}

static bool has_cookie(void)
{
	const struct bpf_insn insns[] = {
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_get_attach_cookie },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	ws_autoclose int prog = load_trial(insns, WS_ARRAY_SIZE(insns), 0);

	return prog >= 0;
}

int ws_kernel_try_uprobe_perf(void)
{
	struct perf_event_attr attr = { .size = sizeof(attr) };
	ws_autofclose FILE *f = fopen("/sys/bus/event_source/devices/uprobe/type", "re");
	ws_autoclose int fd = -1;
	uint32_t type;

	if (!f || fscanf(f, "%u", &type) != 1)
		return ENOENT;
	attr.type = type;
	attr.config1 = (uintptr_t) "/proc/self/exe"; /* uprobe_path */
	attr.config2 = own_file_offset((const void *)trial_target);
	fd = syscall(__NR_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
	return fd < 0 ? errno : 0;
}

/* As bpf/sample.bpf.c. Loading says it all: what can be loaded can be attached (5.8 and later). */
static bool has_task_iterator(void)
{
	const struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	int target = libbpf_find_vmlinux_btf_id("task", BPF_TRACE_ITER);
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = BPF_TRACE_ITER,
		    .attach_btf_id = target > 0 ? (uint32_t)target : 0);
	ws_autoclose int prog = -1;

	if (target <= 0)
		return false;
	prog = bpf_prog_load(BPF_PROG_TYPE_TRACING, "walscope_trial", "Dual BSD/GPL", insns,
			     WS_ARRAY_SIZE(insns), &opts);
	return prog >= 0;
}

/* Asks for what reading a server's memory takes: a child that is not dumpable can be read with
 * CAP_SYS_PTRACE only (kernel/ptrace.c __ptrace_may_access), whoever runs it. */
static bool has_process_vm_readv(void)
{
	char byte = 'x', copy = 0;
	struct iovec here = { &copy, 1 }, there = { &byte, 1 };
	bool readable = false;
	int fds[2];
	pid_t child;

	if (pipe(fds) < 0)
		return false;
	child = fork();
	if (child == 0) {
		prctl(PR_SET_DUMPABLE, 0);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (write(fds[1], &byte, 1) == 1)
			pause();
		_exit(0);
	}
	close(fds[1]); /* a child that dies ends the read */
	if (child > 0) {
		if (read(fds[0], &copy, 1) == 1)
			readable = process_vm_readv(child, &here, 1, &there, 1, 0) == 1;
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	close(fds[0]);
	return readable;
}

static bool lockdown_is_confidential(void)
{
	ws_autofclose FILE *f = fopen("/sys/kernel/security/lockdown", "re");
	char line[128] = "";

	return f && fgets(line, sizeof(line), f) && strstr(line, "[confidentiality]");
}

/* The initial namespace's number is the same on all kernels (PROC_PID_INIT_INO of
 * include/linux/proc_ns.h), and of every other one another. */
bool ws_kernel_has_other_pids(void)
{
	static const char initial[] = "pid:[4026531836]";
	char link[64];
	ssize_t len = readlink("/proc/self/ns/pid", link, sizeof(link));

	return len > 0 &&
	       ((size_t)len != strlen(initial) || memcmp(link, initial, (size_t)len) != 0);
}

/* Puts the first thing that is missing into words. */
static void __attribute__((format(printf, 3, 4)))
complain(struct ws_kernel_features *f, const char *fix, const char *problem, ...)
{
	va_list ap;

	if (f->problem[0])
		return;
	va_start(ap, problem);
	vsnprintf(f->problem, sizeof(f->problem), problem, ap);
	va_end(ap);
	snprintf(f->fix, sizeof(f->fix), "%s", fix);
}

static void diagnose(struct ws_kernel_features *f, int bpf_errno, int perf_errno)
{
	if (!f->bpf_allowed && (bpf_errno == EPERM || bpf_errno == EACCES))
		complain(f,
			 "run it in no user namespace of its own, and with a seccomp profile that "
			 "allows bpf(): docker run --privileged",
			 "bpf() is not permitted (%s)", strerror(bpf_errno));
	else if (!f->bpf_allowed)
		complain(f, "boot a kernel built with CONFIG_BPF_SYSCALL and CONFIG_BPF_EVENTS",
			 "bpf() does not work (%s)", strerror(bpf_errno));
	if (lockdown_is_confidential())
		complain(
			f, "boot with lockdown=integrity, or with Secure Boot off",
			"kernel lockdown is in confidentiality mode: programs may not read memory");
	if (!f->ring_buffer)
		complain(f, "boot kernel 5.10 or later", "the kernel has no BPF ring buffer");
	if (!f->btf)
		complain(f, "boot a kernel built with CONFIG_DEBUG_INFO_BTF",
			 "/sys/kernel/btf/vmlinux cannot be read: the kernel has no type "
			 "information");
	if (!f->uprobe_multi && !f->uprobe_perf && (perf_errno == EACCES || perf_errno == EPERM))
		complain(f, "run as root, or: sysctl kernel.perf_event_paranoid=1",
			 "uprobes are not permitted (%s)", strerror(perf_errno));
	else if (!f->uprobe_multi && !f->uprobe_perf)
		complain(f, "boot a kernel built with CONFIG_UPROBE_EVENTS",
			 "the kernel has no uprobes (%s)", strerror(perf_errno));
}

void ws_kernel_probe(struct ws_kernel_features *features)
{
	ws_autoclose int array = -1, ring = -1, prog = -1;
	int bpf_errno = 0, perf_errno;
	struct utsname name;

	memset(features, 0, sizeof(*features));
	libbpf_set_print(NULL); /* what fails here is a finding, not a message */
	if (uname(&name) == 0)
		snprintf(features->release, sizeof(features->release), "%s", name.release);
	array = bpf_map_create(BPF_MAP_TYPE_ARRAY, "walscope_trial", 4, 8, 1, NULL);
	if (array < 0)
		bpf_errno = errno;
	prog = load_empty(0);
	if (prog < 0 && !bpf_errno)
		bpf_errno = -prog;
	features->bpf_allowed = array >= 0 && prog >= 0;
	ring = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "walscope_trial", 0, 0, getpagesize(), NULL);
	features->ring_buffer = ring >= 0;
	features->btf = access("/sys/kernel/btf/vmlinux", R_OK) == 0;
	features->uprobe_multi = ws_kernel_has_uprobe_multi();
	perf_errno = ws_kernel_try_uprobe_perf();
	features->uprobe_perf = perf_errno == 0;
	features->attach_cookie = has_cookie();
	features->task_iterator = has_task_iterator();
	features->process_vm_readv = has_process_vm_readv();
	diagnose(features, bpf_errno, perf_errno);
}
