/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cluster.h: what a server says of itself in the memory that its postmaster shares with its
 * processes, and in its control file.
 */
#ifndef WS_PROBE_CLUSTER_H
#define WS_PROBE_CLUSTER_H

#include <stdint.h>

#include "config.h"

/* Where that is: addresses in the postmaster, 0 where not known. */
struct ws_cluster_place {
	uint32_t pid;
	const char *proc_root;	  /* "/proc" */
	int control_fd;		  /* of ws_cluster_open, -1: none is held */
	int pid_file_fd;	  /* of ws_cluster_open_pid_file, likewise */
	uint64_t wal_snd_ctl;	  /* WalSndCtl */
	uint64_t max_wal_senders; /* int max_wal_senders */
	uint64_t sync_names;	  /* SyncRepStandbyNames */
	const struct ws_offsets *off;
};

/* As in struct ws_rec_cluster. */
struct ws_cluster {
	uint32_t db_state; /* enum ws_db_state */
	uint32_t sync_waiters, sync_write, sync_apply;
	uint32_t sync_walsenders;
	uint32_t valid;	      /* enum ws_cluster_valid */
	uint64_t flush_lsn;   /* who knows its shared memory fills it */
	uint32_t walreceiver; /* enum ws_walreceiver: who knows /proc fills it */
	uint32_t flags;	      /* enum ws_cluster_flags */
	char sync_names[WS_SYNC_NAMES_LEN];
	/* Who knows the server's shared memory fills these. */
	uint64_t standby_lsn;
	uint32_t standby_why;
	char standby_slot[WS_NAME_LEN];
};

/*
 * The server's control file, for who will not be allowed to open it any more: the server writes it
 * in place (update_controlfile of controldata_utils.c, 10 to 18), so that the descriptor shows what
 * is in it. Whoever holds it keeps the data directory's file system from being unmounted, and so
 * has to close it when the postmaster is gone. -1: it cannot be opened.
 */
int ws_cluster_open(const char *proc_root, uint32_t pid);
/* The same of its postmaster.pid, which is written in place, too (AddToDataDirLockFile of
 * miscinit.c, 10 to 18). */
int ws_cluster_open_pid_file(const char *proc_root, uint32_t pid);
/* What cannot be read is left out of `valid`. */
void ws_cluster_read(const struct ws_cluster_place *place, struct ws_cluster *cluster);

#endif
