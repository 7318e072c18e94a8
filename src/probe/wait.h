/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * wait.h: what a running server process waits for, by its own wait_event_info, and of a heavyweight
 * lock who holds it. Read from its memory, as often as one likes.
 */
#ifndef WS_PROBE_WAIT_H
#define WS_PROBE_WAIT_H

#include <stdbool.h>
#include <stdint.h>

#include "config.h"

/* Where a process's wait_event_info is. */
struct ws_wait_place {
	uint32_t pid;
	uint64_t variable; /* address of the pointer to it, or to what holds it; 0: not known */
	uint64_t proc;	   /* address of MyProc, 0: not known */
	uint32_t offset;   /* of wait_event_info behind that pointer */
	uint64_t pointer;  /* its value as last seen */
	/* struct PGPROC and numbers, as in struct ws_offsets */
	uint32_t proc_pid, proc_wait_lock;
	uint32_t sync_rep, summary, lock_transaction;
};

/* The addresses are those of the file, 0 for one that is not known: my_wait_event_info (14 and
 * later) and MyProc. */
void ws_wait_place_init(struct ws_wait_place *place, uint32_t pid, uint64_t base,
			const struct ws_offsets *off, uint64_t my_wait_event_info,
			uint64_t my_proc);

/* The wait_event_info of now, 0: it does not wait. False if it cannot be read. */
bool ws_wait_read(struct ws_wait_place *place, uint32_t *wait);

/* What that is of what no probe shows. Between commands ClientRead is no more than idle: it counts
 * where the session `streams`. */
enum ws_blocked_on ws_wait_judge(const struct ws_wait_place *place, uint32_t wait, bool streams);

/* The heavyweight lock a process waits for. */
struct ws_wait_lock {
	uint64_t address; /* of the server's LOCK, 0: none that could be read */
	int32_t mode;
	uint32_t field1; /* of its tag */
	uint32_t xid;	 /* of a transaction's lock, else 0 */
};
void ws_wait_lock_read(const struct ws_wait_place *place, struct ws_wait_lock *lock);
/* Is it the same wait? */
bool ws_wait_lock_same(const struct ws_wait_lock *a, const struct ws_wait_lock *b);
/* A process that has the lock in a mode that keeps this one waiting, by the pid that the server
 * knows it by; 0 if none is found within bounds. */
uint32_t ws_wait_lock_holder(const struct ws_wait_place *place, const struct ws_wait_lock *lock);

#endif
