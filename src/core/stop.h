/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stop.h: registers and stack of a running process, for which it has to be stopped for a moment.
 *
 * PTRACE_SEIZE without options, PTRACE_INTERRUPT, a copy, PTRACE_DETACH: no signal is sent, and
 * whoever ends in between, by SIGKILL too, lets the process go on (ptrace(2): the kernel detaches
 * when the tracer exits, and kills only with PTRACE_O_EXITKILL). A system call it sleeps in may end
 * early (EINTR of epoll_wait), as after any stop, which PostgreSQL's waits expect.
 */
#ifndef WS_CORE_STOP_H
#define WS_CORE_STOP_H

#include "core/dump.h"

#define WS_CORE_STACK_MAX   (2ULL << 20) /* of the stack that is copied */
#define WS_CORE_STOP_MAX_NS 200000000ULL /* then it is given up: it hangs in the kernel */

struct ws_core_stop {
	struct ws_memory memory; /* first: the stack as it was, the rest as it is */
	uint32_t pid;
	struct ws_core_regs regs;
	uint64_t start; /* of the copied stack */
	uint8_t *stack;
	size_t size;
	uint64_t stopped_ns; /* at most: from asking for the stop to letting go */
};

/* Frees with ws_core_stop_deinit. `arch` is that of this machine. */
int ws_core_stop_take(struct ws_core_stop *stop, uint32_t pid, enum ws_arch arch,
		      struct ws_error *err);
void ws_core_stop_deinit(struct ws_core_stop *stop);

#endif
