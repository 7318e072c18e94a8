/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * wal.h: where a server stands in its WAL and its transactions, and what it keeps of the WAL.
 */
#ifndef WS_SHMEM_WAL_H
#define WS_SHMEM_WAL_H

#include "shmem/shmem.h"

enum ws_wal_source {
	WS_WAL_NONE = 0,
	WS_WAL_WRITTEN,	 /* pg_current_wal_lsn() */
	WS_WAL_REPLAYED, /* pg_last_wal_replay_lsn(), 13 and later */
};

struct ws_wal {
	int major;
	bool has_recovery, in_recovery;
	/* The end that retained bytes are counted from, and what it is. */
	enum ws_wal_source source;
	uint64_t position;
	/* XLogCtl; what GetWALAvailability looks at. */
	bool has_ctl;
	uint64_t written; /* 0 during recovery, as the server has it */
	uint64_t slot_min_lsn, last_removed_segment;
	bool has_limits;
	int32_t segment_size;					     /* bytes */
	int32_t max_wal_size, max_slot_wal_keep_size, wal_keep_size; /* MB; -1: no limit */
	bool has_next_xid;
	uint32_t next_xid;
};

/* What cannot be read is not known. */
void ws_wal_read(const struct ws_shmem *shmem, struct ws_wal *wal);

/* Where XLogCtl is, 0: not known; and up to where WAL was flushed by it. False on a standby, and
 * where it cannot be read. */
uint64_t ws_wal_ctl(const struct ws_shmem *shmem);
bool ws_wal_flushed(const struct ws_shmem *shmem, uint64_t ctl, uint64_t *lsn);

const char *ws_wal_source_name(enum ws_wal_source source); /* NULL for none */

/* Transactions between `xid` and the next one; false for none, or special ones. */
bool ws_wal_age(const struct ws_wal *wal, uint32_t xid, uint32_t *age);

#endif
