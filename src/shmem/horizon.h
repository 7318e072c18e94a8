/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * horizon.h: who keeps old row versions from being removed: the oldest xmin of a server.
 */
#ifndef WS_SHMEM_HORIZON_H
#define WS_SHMEM_HORIZON_H

#include "shmem/slots.h"
#include "target/proc.h"

enum ws_holds {
	WS_HOLDS_NOTHING = 0,
	WS_HOLDS_SLOT,
	WS_HOLDS_SLOT_CATALOG, /* holds back system catalogs alone */
	WS_HOLDS_FEEDBACK,     /* the xmin of a walsender without a database: its standby's
				  hot_standby_feedback, without a slot */
	WS_HOLDS_TRANSACTION,  /* of a process: its own xid or the oldest its snapshot sees */
	WS_HOLDS_PREPARED,     /* a prepared transaction */
	WS_HOLDS_EXPORTED,     /* of a process that has exported its snapshot: others may use it */
};

struct ws_hold {
	enum ws_holds kind;
	uint32_t xid;
	bool snapshot;	      /* the xid is another's, whose end the process does not see yet */
	uint32_t pid, ns_pid; /* of a process */
	int64_t since_ns;     /* wall clock of its transaction's start (14+), or of PREPARE; of a
				 slot a time by which it had that xid already; 0: not known */
	const struct ws_slot *slot;
	char gid[200]; /* of a prepared transaction, with its NUL */
};

/* The oldest of each kind; those that nothing holds are WS_HOLDS_NOTHING. Sorted, oldest first. */
#define WS_HOLDS_MAX 6
struct ws_horizon {
	struct ws_hold holds[WS_HOLDS_MAX];
	size_t count;
};

/*
 * Reads the processes of a server. They go on meanwhile: it is a look, not a snapshot. `list` is
 * what ws_slots_read read, and outlives the horizon.
 */
void ws_horizon_read(const struct ws_shmem *shmem, const struct ws_proc *proc,
		     const struct ws_postmaster *postmaster, const struct ws_slot_list *list,
		     struct ws_horizon *horizon);

/* Does this process, or a prepared transaction, have that xid? */
bool ws_horizon_process(const struct ws_shmem *shmem, const struct ws_process *child, uint32_t xid,
			struct ws_hold *hold);
bool ws_horizon_prepared(const struct ws_shmem *shmem, uint32_t xid, struct ws_hold *hold);

const char *ws_holds_name(enum ws_holds kind); /* NULL for nothing */

#endif
