/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/stop.h"

#include <elf.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#include "base/util.h"
#include "probe/aside.h"
#include "target/proc.h"

#define LOOK_NS 20000 /* between looks whether it has stopped */

static const char what[] = "cannot take the backtrace of a running process";

struct taking {
	struct ws_core_stop *stop;
	enum ws_arch arch;
	uint64_t stack_end; /* of the main thread's mapping; 0: not known */
	uint64_t room;
	int errnum;
	bool hangs;
};

static uint64_t find_stack_end(uint32_t pid)
{
	ws_autofclose FILE *maps = NULL;
	ws_autofree char *line = NULL;
	unsigned long start, end, found = 0;
	size_t size = 0;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%u/maps", pid);
	maps = fopen(path, "re");
	while (maps && getline(&line, &size, maps) > 0)
		if (strstr(line, "[stack]") && sscanf(line, "%lx-%lx", &start, &end) == 2)
			found = end;
	return found;
}

/* It is stopped now: nothing but two system calls. */
static int copy(struct taking *t)
{
	struct ws_core_stop *stop = t->stop;
	uint64_t raw[64];
	struct iovec regs = { raw, sizeof(raw) }, to, from;
	ssize_t n;

	if (ptrace(PTRACE_GETREGSET, (pid_t)stop->pid, (void *)NT_PRSTATUS, &regs))
		return -1;
	if (!ws_core_regs_read(t->arch, raw, regs.iov_len, &stop->regs)) {
		errno = ENOSYS;
		return -1;
	}
	stop->start = stop->regs.sp & ~7ULL;
	to = (struct iovec){ stop->stack, t->room };
	if (t->stack_end > stop->start && t->stack_end - stop->start < t->room)
		to.iov_len = t->stack_end - stop->start;
	from = (struct iovec){ (void *)(uintptr_t)stop->start, to.iov_len };
	n = process_vm_readv((pid_t)stop->pid, &to, 1, &from, 1, 0);
	if (n < 0)
		return -1;
	stop->size = (size_t)n;
	return 0;
}

/* Returns the signal it was about to be given, which is not to be lost; 0: none; -1: it did not
 * stop, or is gone. */
static int wait_for_stop(const struct taking *t, uint64_t begin_ns)
{
	static const struct timespec pause = { .tv_nsec = LOOK_NS };
	int status;

	while (ws_clock_mono_ns() - begin_ns < WS_CORE_STOP_MAX_NS) {
		pid_t pid = waitpid((pid_t)t->stop->pid, &status, WNOHANG | __WALL);

		if (pid < 0 && errno != EINTR)
			return -1;
		if (pid > 0 && !WIFSTOPPED(status)) {
			errno = ESRCH;
			return -1;
		}
		if (pid > 0)
			return status >> 16 ? 0 : WSTOPSIG(status);
		nanosleep(&pause, NULL);
	}
	errno = ETIMEDOUT;
	return -1;
}

/* Runs in a process of its own, whose end lets go of the other in any case. */
static int take(void *arg)
{
	struct taking *t = arg;
	struct ws_core_stop *stop = t->stop;
	pid_t pid = (pid_t)stop->pid;
	uint64_t begin;
	int rc = -1, signal;

	if (ptrace(PTRACE_SEIZE, pid, 0, 0)) {
		t->errnum = errno;
		return -1;
	}
	begin = ws_clock_mono_ns();
	if (ptrace(PTRACE_INTERRUPT, pid, 0, 0) == 0) {
		signal = wait_for_stop(t, begin);
		if (signal >= 0) {
			rc = copy(t);
			t->errnum = errno;
			ptrace(PTRACE_DETACH, pid, 0, (void *)(uintptr_t)signal);
			stop->stopped_ns = ws_clock_mono_ns() - begin;
			return rc;
		}
	}
	t->errnum = errno;
	t->hangs = errno == ETIMEDOUT;
	return -1;
}

/* A busy host must not leave it stopped for a time slice of somebody else. */
static int take_at_once(void *arg)
{
	struct sched_param first = { .sched_priority = 1 };

	sched_setscheduler(0, SCHED_FIFO, &first);
	return take(arg);
}

static int fail(const struct taking *t, struct ws_error *err)
{
	char where[32];

	snprintf(where, sizeof(where), "pid %u", t->stop->pid);
	if (t->hangs)
		return ws_error_set(err, what, where,
				    "it hangs in the kernel and could not be stopped; it was left "
				    "alone");
	ws_error_errno(err, t->errnum, what, where);
	if (t->errnum == EPERM || t->errnum == EACCES)
		ws_error_fix(err, "run as root, or with CAP_SYS_PTRACE; a process that a debugger "
				  "holds cannot be taken");
	return -1;
}

static bool read_stop(const struct ws_memory *memory, uint64_t address, void *out, size_t size)
{
	const struct ws_core_stop *stop = (const struct ws_core_stop *)memory;

	if (address >= stop->start && address - stop->start < stop->size &&
	    size <= stop->size - (address - stop->start)) {
		memcpy(out, stop->stack + (address - stop->start), size);
		return true;
	}
	return ws_memory_read(stop->pid, address, out, size);
}

static bool mapping_stop(const struct ws_memory *memory, uint64_t address, uint64_t *start,
			 uint64_t *end)
{
	static const struct ws_proc proc = { .root = "/proc" };
	const struct ws_core_stop *stop = (const struct ws_core_stop *)memory;

	return ws_proc_mapping_at(&proc, stop->pid, address, start, end);
}

int ws_core_stop_take(struct ws_core_stop *stop, uint32_t pid, enum ws_arch arch,
		      struct ws_error *err)
{
	struct taking taking = { .stop = stop, .arch = arch, .room = WS_CORE_STACK_MAX };

	*stop = (struct ws_core_stop){ .memory = { read_stop, mapping_stop }, .pid = pid };
	stop->stack = malloc(WS_CORE_STACK_MAX);
	if (!stop->stack)
		return ws_error_errno(err, ENOMEM, what, NULL);
	/* No page fault of our own while it is stopped. */
	memset(stop->stack, 0, WS_CORE_STACK_MAX);
	taking.stack_end = find_stack_end(pid);
	if (ws_aside(take_at_once, &taking)) {
		ws_core_stop_deinit(stop);
		return fail(&taking, err);
	}
	return 0;
}

void ws_core_stop_deinit(struct ws_core_stop *stop)
{
	free(stop->stack);
	stop->stack = NULL;
	stop->size = 0;
}
