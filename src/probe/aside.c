/* SPDX-License-Identifier: BSD-2-Clause */
#include "probe/aside.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define STACK_BYTES (512 * 1024)

struct call {
	int (*fn)(void *arg);
	void *arg;
	int result;
};

static int run(void *arg)
{
	struct call *call = arg;

	call->result = call->fn(call->arg);
	return 0;
}

/* CLONE_VFORK: as this process does not run meanwhile, the two never run in one memory at once.
 * Returns -1 if there is no process to be had. */
static int call_aside(struct call *call, char *stack)
{
	const int flags = CLONE_VM | CLONE_FILES | CLONE_VFORK | SIGCHLD;
	int pid = clone(run, stack + STACK_BYTES, flags, call);

	if (pid < 0)
		return -1;
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return 0;
}

int ws_aside(int (*fn)(void *arg), void *arg)
{
	struct call call = { .fn = fn, .arg = arg, .result = -1 };
	char *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
	sigset_t all, before;
	int rc;

	if (stack == MAP_FAILED)
		return fn(arg);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	rc = call_aside(&call, stack);
	sigprocmask(SIG_SETMASK, &before, NULL);
	munmap(stack, STACK_BYTES);
	return rc ? fn(arg) : call.result;
}
