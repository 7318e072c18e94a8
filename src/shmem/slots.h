/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * slots.h: the replication slots of a server, as pg_replication_slots has them, out of its memory.
 */
#ifndef WS_SHMEM_SLOTS_H
#define WS_SHMEM_SLOTS_H

#include "shmem/wal.h"

/* enum ReplicationSlotPersistency, slot.h */
enum ws_slot_persistency {
	WS_SLOT_PERSISTENT = 0,
	WS_SLOT_EPHEMERAL = 1, /* being created: dropped if that fails */
	WS_SLOT_TEMPORARY = 2,
};

enum ws_slot_invalid {
	WS_SLOT_VALID = 0,
	WS_SLOT_WAL_REMOVED,
	WS_SLOT_ROWS_REMOVED,
	WS_SLOT_WAL_LEVEL,
	WS_SLOT_IDLE_TIMEOUT,
	WS_SLOT_INVALID_OTHER, /* a cause of which only the number is known */
};

enum ws_slot_wal {
	WS_SLOT_WAL_UNKNOWN = 0,
	WS_SLOT_RESERVED,
	WS_SLOT_EXTENDED,
	WS_SLOT_UNRESERVED,
	WS_SLOT_LOST
};

enum ws_tri { WS_NOT_KNOWN = 0, WS_NO, WS_YES };

struct ws_slot {
	unsigned int number; /* in the server's array */
	char problem[96];    /* why it cannot be read; then nothing below is known. Else "" */
	char name[64], plugin[64];
	bool logical;
	uint32_t database; /* oid, 0 for a physical one */
	enum ws_slot_persistency persistency;
	int32_t active_pid; /* in the server's pid namespace, 0: nobody holds it */
	uint64_t restart_lsn, confirmed_flush;
	uint32_t xmin, catalog_xmin;
	/* What the horizon is computed from: what has reached the disk. */
	uint32_t effective_xmin, effective_catalog_xmin;
	enum ws_slot_invalid invalid;
	uint64_t invalidated_at; /* up to 15: where its WAL was */
	enum ws_tri two_phase, failover, synced;
	int64_t inactive_since_ns; /* wall clock, 0: active, or not known (up to 16) */
	enum ws_slot_wal wal;
};

struct ws_slot_list {
	struct ws_slot *slots;
	size_t count, cap;
	int32_t max;	    /* max_replication_slots */
	unsigned int waits; /* for slots that change */
};

/*
 * All slots in use, in the server's order. What the server changes meanwhile is read again; a slot
 * that cannot be read, or holds what none has, says so in `problem`. `wal` is for their `wal`
 * status. Fails if the array itself cannot be read or is another than the layout's.
 */
int ws_slots_read(const struct ws_shmem *shmem, const struct ws_wal *wal, struct ws_slot_list *list,
		  struct ws_error *err);
void ws_slot_list_deinit(struct ws_slot_list *list);

/* pg_replication_slots.wal_status (slotfuncs.c, pg_get_replication_slots; xlog.c,
 * GetWALAvailability); 13 and later. */
enum ws_slot_wal ws_slot_wal_status(const struct ws_slot *slot, const struct ws_wal *wal);

/* As PostgreSQL's view names them; NULL for none. */
const char *ws_slot_wal_name(enum ws_slot_wal wal);
const char *ws_slot_invalid_name(enum ws_slot_invalid invalid);
const char *ws_slot_persistency_name(enum ws_slot_persistency persistency);

#endif
