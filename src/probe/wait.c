/* SPDX-License-Identifier: BSD-2-Clause */
#include "probe/wait.h"

#include <string.h>
#include <sys/uio.h>

#include "base/util.h"
#include "target/memory.h"

/* Classes of wait_event_info, and events that are the first of their class in 10 to 18
 * (wait_event.h; wait_event_names.txt from 17 on). */
#define WAIT_CLASS(wait)     ((wait) >> 24)
#define CLASS_LOCK	     0x03
#define CLIENT_READ	     0x06000000U
#define CLIENT_WRITE	     0x06000001U
#define BASE_BACKUP_THROTTLE 0x09000000U

/* So many processes that hold or want a lock are looked at. */
#define PROCLOCKS_MAX 256

/* lock.h, 9.6 to 18: the key of a LOCK, which is its first member, and what follows it. */
struct lock_head {
	uint32_t field1, field2, field3;
	uint16_t field4;
	uint8_t type, method;
	uint32_t grant_mask, wait_mask;
	uint64_t prev, next; /* of procLocks: the lock_link of a PROCLOCK each */
};
#define LOCK_PROCLOCKS offsetof(struct lock_head, prev)

/* Likewise, of a PROCLOCK. */
struct proclock {
	uint64_t lock, proc, leader;
	uint32_t hold_mask, release_mask;
	uint64_t prev, next; /* lockLink */
};
#define PROCLOCK_LINK offsetof(struct proclock, prev)

/* lock.c, LockConflicts: by mode, the modes that keep it waiting. */
static const uint32_t conflicts[] = {
	0, 0x100, 0x180, 0x1e0, 0x1f0, 0x1d8, 0x1f8, 0x1fc, 0x1fe,
};

void ws_wait_place_init(struct ws_wait_place *place, uint32_t pid, uint64_t base,
			const struct ws_offsets *off, uint64_t my_wait_event_info, uint64_t my_proc)
{
	*place = (struct ws_wait_place){
		.pid = pid,
		.proc = my_proc ? base + my_proc : 0,
		.proc_pid = off->pgproc_pid,
		.proc_wait_lock = off->pgproc_wait_lock,
		.sync_rep = off->wait_event_sync_rep,
		.summary = off->wait_event_summary,
		.lock_transaction = off->lock_transaction,
	};
	if (my_wait_event_info) {
		place->variable = base + my_wait_event_info;
	} else if (my_proc && off->proc_wait_event != WS_UNKNOWN) {
		place->variable = place->proc;
		place->offset = off->proc_wait_event;
	}
}

/* Both at once: where it is, and, if that has not changed since, what it is. */
static bool read_both(const struct ws_wait_place *place, uint64_t *pointer, uint32_t *wait)
{
	struct iovec local[] = {
		{ .iov_base = pointer, .iov_len = sizeof(*pointer) },
		{ .iov_base = wait, .iov_len = sizeof(*wait) },
	};
	const struct iovec remote[] = {
		{ .iov_base = (void *)(uintptr_t)place->variable, .iov_len = sizeof(*pointer) },
		{ .iov_base = (void *)(uintptr_t)(place->pointer + place->offset),
		  .iov_len = sizeof(*wait) },
	};

	return process_vm_readv((pid_t)place->pid, local, 2, remote, 2, 0) ==
	       (ssize_t)(sizeof(*pointer) + sizeof(*wait));
}

bool ws_wait_read(struct ws_wait_place *place, uint32_t *wait)
{
	uint64_t pointer;

	*wait = 0;
	if (!place->variable)
		return false;
	if (place->pointer && read_both(place, &pointer, wait) && pointer == place->pointer)
		return true;
	/* It moves when the process joins the others, and when it leaves them. */
	*wait = 0;
	if (!ws_memory_read(place->pid, place->variable, &pointer, sizeof(pointer)))
		return false;
	place->pointer = pointer;
	return !pointer || ws_memory_read(place->pid, pointer + place->offset, wait, sizeof(*wait));
}

enum ws_blocked_on ws_wait_judge(const struct ws_wait_place *place, uint32_t wait, bool streams)
{
	if (WAIT_CLASS(wait) == CLASS_LOCK)
		return WS_BLOCKED_LOCK;
	if (wait == CLIENT_WRITE)
		return WS_BLOCKED_CLIENT_WRITE;
	if (wait == CLIENT_READ)
		return streams ? WS_BLOCKED_CLIENT_READ : WS_BLOCKED_NOTHING;
	if (wait == BASE_BACKUP_THROTTLE)
		return WS_BLOCKED_THROTTLE;
	if (place->sync_rep != WS_UNKNOWN && wait == place->sync_rep)
		return WS_BLOCKED_SYNC_REP;
	if (wait && place->summary != WS_UNKNOWN && wait == place->summary)
		return WS_BLOCKED_SUMMARY;
	return WS_BLOCKED_NOTHING;
}

/* PGPROC: waitLock, waitProcLock, waitLockMode (10 to 18). */
struct waited {
	uint64_t lock, proclock;
	int32_t mode;
};

static bool read_waited(const struct ws_wait_place *place, struct waited *waited)
{
	uint64_t proc;

	return place->proc && place->proc_wait_lock != WS_UNKNOWN &&
	       ws_memory_read(place->pid, place->proc, &proc, sizeof(proc)) && proc &&
	       ws_memory_read(place->pid, proc + place->proc_wait_lock, waited,
			      offsetof(struct waited, mode) + sizeof(waited->mode));
}

void ws_wait_lock_read(const struct ws_wait_place *place, struct ws_wait_lock *lock)
{
	struct waited waited, again;
	struct lock_head head;

	*lock = (struct ws_wait_lock){ 0 };
	if (!read_waited(place, &waited) || !waited.lock ||
	    !ws_memory_read(place->pid, waited.lock, &head, sizeof(head)))
		return;
	/* What is not waited for any more may be another lock by now. */
	if (!read_waited(place, &again) || again.lock != waited.lock)
		return;
	lock->address = waited.lock;
	lock->mode = waited.mode;
	lock->field1 = head.field1;
	if (head.type == place->lock_transaction)
		lock->xid = head.field1;
}

bool ws_wait_lock_same(const struct ws_wait_lock *a, const struct ws_wait_lock *b)
{
	return a->address == b->address && a->mode == b->mode && a->field1 == b->field1 &&
	       a->xid == b->xid;
}

static uint32_t pid_of(const struct ws_wait_place *place, uint64_t proc)
{
	int32_t pid;

	/* Of a prepared transaction it is 0. */
	if (place->proc_pid == WS_UNKNOWN ||
	    !ws_memory_read(place->pid, proc + place->proc_pid, &pid, sizeof(pid)) || pid < 0)
		return 0;
	return (uint32_t)pid;
}

uint32_t ws_wait_lock_holder(const struct ws_wait_place *place, const struct ws_wait_lock *lock)
{
	uint64_t end = lock->address + LOCK_PROCLOCKS, own;
	struct lock_head head;
	struct proclock item;
	uint64_t link;

	if (!lock->address || lock->mode <= 0 || (size_t)lock->mode >= WS_ARRAY_SIZE(conflicts) ||
	    !ws_memory_read(place->pid, place->proc, &own, sizeof(own)) ||
	    !ws_memory_read(place->pid, lock->address, &head, sizeof(head)))
		return 0;
	link = head.next;
	for (unsigned int i = 0; i < PROCLOCKS_MAX && link && link != end; i++) {
		/* The list changes meanwhile: one that leads elsewhere ends the search. */
		if (!ws_memory_read(place->pid, link - PROCLOCK_LINK, &item, sizeof(item)) ||
		    item.lock != lock->address)
			return 0;
		if (item.proc != own && item.hold_mask & conflicts[lock->mode])
			return pid_of(place, item.proc);
		link = item.next;
	}
	return 0;
}
