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

/* Where what tells of the ends of the WAL lies, to look for it once; 0: not known. */
struct ws_wal_places {
	uint64_t ctl;	   /* XLogCtl */
	uint64_t recovery; /* what has the position replayed: XLogRecoveryCtl, up to 14 XLogCtl */
	uint64_t receiver; /* WalRcv */
};
void ws_wal_find(const struct ws_shmem *shmem, struct ws_wal_places *places);

/* Up to where a server has WAL; 0: not known, or not so. */
struct ws_wal_ends {
	uint64_t flushed; /* by a primary: GetFlushRecPtr() */
	/* Of a server in recovery, 13 and later; and what a walreceiver has flushed, also one that
	 * is gone: GetWalRcvFlushRecPtr(), up to 12 GetWalRcvWriteRecPtr(). */
	uint64_t replayed, received;
};
void ws_wal_ends(const struct ws_shmem *shmem, const struct ws_wal_places *places,
		 struct ws_wal_ends *ends);

/* Up to where such a server's walsenders have WAL to send; 0: not known. XLogSendLogical sends what
 * was replayed, XLogSendPhysical also what was received (GetStandbyFlushRecPtr; not of another
 * timeline, which is not looked at). */
uint64_t ws_wal_target(const struct ws_wal_ends *ends, bool logical);

const char *ws_wal_source_name(enum ws_wal_source source); /* NULL for none */

/* Transactions between `xid` and the next one; false for none, or special ones. */
bool ws_wal_age(const struct ws_wal *wal, uint32_t xid, uint32_t *age);

#endif
