/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * config.h: what the loader tells the programs, and the session entry both sides see.
 */
#ifndef WS_CONFIG_H
#define WS_CONFIG_H

#include "wire.h"

/*
 * Each place a probe is planted at. The number is the attach cookie, which the programs and the
 * catalogue share; it leaves neither.
 */
enum ws_site {
	WS_SITE_NONE = 0,
	WS_SITE_SESSION_START = 1,
	WS_SITE_SESSION_READY = 2,
	WS_SITE_COMMAND_START = 3,
	WS_SITE_COMMAND_END = 4,
	WS_SITE_SQL_END = 5,
	WS_SITE_ERROR = 6,
	WS_SITE_FATAL = 7,
	WS_SITE_STATE = 8,
	WS_SITE_STREAM_START = 9,
	WS_SITE_SEND_PHYSICAL = 10,
	WS_SITE_SEND_LOGICAL = 11,
	WS_SITE_FLUSH_END = 12,
	WS_SITE_WAIT_START = 13,
	WS_SITE_WAIT_END = 14,
	WS_SITE_REPLIES_END = 15, /* in logical_read_xlog_page: decoding goes on */
	WS_SITE_KEEPALIVE = 16,
	WS_SITE_READ_START = 17,
	WS_SITE_READ_END = 18,
	WS_SITE_DECODE_START = 19,
	WS_SITE_DECODE_END = 20,
	WS_SITE_MESSAGE_PREPARE = 21,
	WS_SITE_MESSAGE_WRITE = 22,
	WS_SITE_MESSAGE_FLUSHED = 23,
	WS_SITE_BACKUP_BEGIN = 24,
	WS_SITE_BACKUP_CHECKPOINT = 25,
	WS_SITE_BACKUP_ESTIMATE = 26,
	WS_SITE_BACKUP_CHUNK = 27,
	WS_SITE_BACKUP_CHUNK_END = 28,
	WS_SITE_BACKUP_WAIT_ARCHIVE = 29,
	WS_SITE_BACKUP_WAL = 30,
	WS_SITE_BACKUP_DONE = 31,
	WS_SITE_AUTH_BEGIN = 32,
	WS_SITE_AUTH_END = 33,
	WS_SITE_INITIALIZED = 34,
	WS_SITE_MESSAGE_REFUSED = 35,
	WS_SITE_ENDING = 36, /* WalSndKill */
	/* up to 13 the three waits of a walsender are calls of their own */
	WS_SITE_LOOP_WAIT_START = 37, /* WalSndLoop */
	WS_SITE_LOOP_WAIT_END = 38,
	WS_SITE_WRITE_WAIT_START = 39, /* ProcessPendingWrites */
	WS_SITE_WRITE_WAIT_END = 40,
	WS_SITE_WAL_WAIT_START = 41, /* WalSndWaitForWal */
	WS_SITE_WAL_WAIT_END = 42,
	/* up to 14 */
	WS_SITE_BACKUP_PUT = 43, /* in sendFile: a piece of a file to the client */
	WS_SITE_BACKUP_PUT_END = 44,
	WS_SITE_BACKUP_PROGRESS = 45,  /* update_basebackup_progress: it was handed over */
	WS_SITE_REPLIES_COPY_END = 46, /* the compiler's second copy of REPLIES_END */
	WS_SITE_BACKUP_MANIFEST = 47,  /* SendBackupManifest */
	/* logical decoding: what the server counts when it has spilled or streamed, and what it
	 * writes to disk and reads back */
	WS_SITE_SLOT_CONTEXT = 48,
	WS_SITE_SPILL_STATS = 49,
	WS_SITE_SPILL_START = 50,
	WS_SITE_SPILL_END = 51,
	WS_SITE_RESTORE_START = 52,
	WS_SITE_RESTORE_END = 53, /* three calls */
	WS_SITE_RESTORE_SECOND_END = 54,
	WS_SITE_RESTORE_THIRD_END = 55,
	WS_SITE_TXN_START = 56,
	WS_SITE_BACKUP_UPLOAD = 57, /* AppendIncrementalManifestData, 17 and later */
	WS_SITE_STREAM_STATS = 58,
	WS_SITE_TXN_PROCESS = 59,
	WS_SITE_TXN_PREPARE = 60,
	WS_SITE_TXN_FINISH = 61,
	WS_SITE_TXN_ABORT = 62,
	WS_SITE_READ_PAGE = 63, /* logical_read_xlog_page */
	WS_SITE_TXN_REPLAY = 64,
	WS_SITE_COUNT = 65,
};

#define WS_UNKNOWN \
	((__u32)~0) /* an offset or variable that is not known: the field is not captured */

/* Offsets of fields and numbers of enums that differ by server version; WS_UNKNOWN where not known.
 */
struct ws_offsets {
	/* struct WalSnd, walsender_private.h */
	__u32 walsnd_state;
	__u32 walsnd_sent;
	__u32 walsnd_write;
	__u32 walsnd_flush;
	__u32 walsnd_apply;
	__u32 walsnd_write_lag;
	__u32 walsnd_flush_lag;
	__u32 walsnd_apply_lag;
	__u32 walsnd_reply_time;
	/* struct Port, libpq-be.h */
	__u32 port_sock;
	__u32 port_tls; /* ssl_in_use */
	__u32 port_remote_host;
	__u32 port_remote_port;
	__u32 port_database;
	__u32 port_user;
	__u32 port_application;
	/* struct ErrorData, elog.h */
	__u32 error_size;
	__u32 error_elevel;
	__u32 error_filename;
	__u32 error_lineno;
	__u32 error_funcname;
	__u32 error_sqlerrcode;
	__u32 error_message;
	/* ReplicationSlot.data.name, slot.h */
	__u32 slot_name;
	/* LogicalDecodingContext.out, logical.h; StringInfoData.len */
	__u32 logical_out;
	__u32 stringinfo_len;
	/* WaitEvent.events, latch.h */
	__u32 wait_event_events;
	/* PGPROC.wait_event_info, proc.h: up to 13 no variable points to it */
	__u32 proc_wait_event;
	/* numbers, elog.h */
	__u32 elevel_commerror;
	__u32 elevel_error;
	__u32 elevel_fatal;
	__u32 elevel_panic;
	/* wait_event_info of WaitForStandbyConfirmation (17 and later), BackupWaitWalArchive,
	 * CheckpointDone and CheckpointStart (13 and later), else WS_UNKNOWN */
	__u32 wait_event_standby;
	__u32 wait_event_archive;
	__u32 wait_event_checkpoint_done;
	__u32 wait_event_checkpoint_start;
	/* struct PGPROC, proc.h */
	__u32 pgproc_pid;
	__u32 pgproc_wait_lock;
	__u32 wait_event_sync_rep;
	__u32 wait_event_summary; /* WalSummaryReady (17 and later), else WS_UNKNOWN */
	__u32 lock_transaction;	  /* LOCKTAG_TRANSACTION, lock.h */
	/* walsender_private.h */
	__u32 walsnd_size;
	__u32 walsnd_sync_priority;
	__u32 walsndctl_walsnds;
	/*
	 * Only read from outside (src/shmem): ReplicationSlotCtlData and ReplicationSlot, slot.h;
	 * PGShmemHeader, pg_shmem.h; HASHHDR, dynahash.c; XLogCtlData, xlog.c;
	 * VariableCacheData or TransamVariablesData, transam.h
	 */
	__u32 slots_first;
	__u32 slot_size;
	__u32 slot_in_use;
	__u32 slot_active_pid;
	__u32 slot_data_database;
	__u32 slot_persistency;
	__u32 slot_xmin;
	__u32 slot_catalog_xmin;
	__u32 slot_effective_xmin;
	__u32 slot_effective_catalog_xmin;
	__u32 slot_restart_lsn;
	__u32 slot_confirmed_flush;
	__u32 slot_invalidated_at;
	__u32 slot_invalidated;
	__u32 slot_two_phase;
	__u32 slot_plugin;
	__u32 slot_synced;
	__u32 slot_failover;
	__u32 slot_inactive_since;
	__u32 shmem_totalsize;
	__u32 shmem_index;
	__u32 hash_size;
	__u32 hash_nsegs;
	__u32 hash_max_bucket;
	__u32 hash_keysize;
	__u32 hash_entrysize;
	__u32 hash_ssize;
	__u32 xlog_insert_byte_pos;
	__u32 xlog_slot_min_lsn;
	__u32 xlog_last_removed;
	__u32 xlog_write_result;
	__u32 xlog_write_atomic;
	__u32 xlog_in_recovery;
	__u32 xlog_recovery_state;
	__u32 varcache_next_xid;
	__u32 varcache_next_full_xid;
	__u32 transam_next_xid;
	/* PGPROC, up to 13 PGXACT, proc.h; PgBackendStatus; twophase.c */
	__u32 proc_xid;
	__u32 proc_xmin;
	__u32 pgxact_xid;
	__u32 pgxact_xmin;
	__u32 proc_status_flags;
	__u32 pgxact_vacuum_flags;
	__u32 twophase_count;
	__u32 twophase_first;
	__u32 gxact_size;
	__u32 gxact_xid;
	__u32 gxact_prepared_at;
	__u32 gxact_valid;
	__u32 gxact_gid;
	__u32 backend_xact_start;
	/*
	 * What decoding holds: LogicalDecodingContext, logical.h; XLogReaderState, xlogreader.h;
	 * ReorderBuffer and ReorderBufferTXN, reorderbuffer.h (13 and later)
	 */
	__u32 logical_slot;
	__u32 logical_reader;
	__u32 logical_reorder;
	__u32 logical_snapshot_builder;
	__u32 logical_write_location;
	__u32 logical_write_xid;
	__u32 reader_private;
	__u32 reader_end;
	__u32 slot_candidate_restart_lsn;
	__u32 reorder_toplevel;
	__u32 reorder_last_txn;
	__u32 reorder_private;
	__u32 reorder_size;
	__u32 reorder_stats; /* six counters from spillTxns to streamBytes, 14 and later */
	__u32 txn_flags;
	__u32 txn_xid;
	__u32 txn_toplevel_xid;
	__u32 txn_first_lsn;
	__u32 txn_final_lsn;
	__u32 txn_end_lsn;
	__u32 txn_toptxn;
	__u32 txn_entries;
	__u32 txn_subtxns; /* a list */
	__u32 txn_nsubtxns;
	__u32 txn_node;
	__u32 txn_size;
	__u32 txn_total_size;
	/* PgBackendStatus, 13 and later */
	__u32 backend_progress_command;
	__u32 backend_progress_param;
	/* PgBackendStatus, backend_status.h, up to 13 pgstat.h */
	__u32 backend_pid;
	__u32 backend_start;
	__u32 backend_database;
	__u32 backend_user;
	__u32 backend_client;
	/* lastReplayedEndRecPtr of XLogCtlData (13 and 14) and of XLogRecoveryCtlData,
	 * xlogrecovery.c (15 and later) */
	__u32 xlog_replayed;
	__u32 recovery_replayed;
	/* MemoryContextData, memnodes.h: how much it has taken (13 and later), and its place in the
	 * tree; what tells it from others of its name (11 and later) */
	__u32 context_allocated;
	__u32 context_parent;
	__u32 context_first_child;
	__u32 context_prev;
	__u32 context_next;
	__u32 context_name;
	__u32 context_ident;
	/* struct WalRcvData, walreceiver.h: up to 12, and from 13 on */
	__u32 walrcv_received;
	__u32 walrcv_flushed;
};

/* Addresses of variables in the file, 0 where not known. */
struct ws_variables {
	__u64 am_walsender;
	__u64 am_db_walsender;
	__u64 my_proc_pid;
	__u64 my_proc_port;
	__u64 my_walsnd;
	__u64 my_replication_slot;
	__u64 errordata;
	__u64 errordata_stack_depth;
	__u64 pq_send_pointer; /* int up to 15, size_t from 16 on: the low 32 bits tell enough */
	__u64 pq_send_start;
	__u64 xlog_send_logical; /* to tell WalSndLoop's argument */
	__u64 am_cascading_walsender;
	__u64 session_end_cause; /* pgStatSessionEndCause */
	__u64 log_min_messages;
	__u64 my_proc;
	__u64 my_wait_event_info; /* 14 and later */
	/* Strings: the __func__ that errors of these functions carry. */
	__u64 startup_packet_name;  /* ProcessStartupPacket */
	__u64 slot_invalidate_name; /* InvalidatePossiblyObsoleteSlot, ReportSlotInvalidation */
};

/* What the function at WS_SITE_WAIT_START takes and what its wait returns. */
enum ws_wait_style {
	/* WalSndWait(socket_events, timeout, wait_event), 14 and later: WaitEventSetWait's result
	 * is a count of events, the event is on the stack */
	WS_WAIT_STYLE_WALSND = 0,
	/* WaitLatchOrSocket(latch, events, sock, timeout, wait_event), up to 13: its result is the
	   events */
	WS_WAIT_STYLE_LATCH = 1,
};

/* Read-only data of one loaded server object. */
struct ws_server_config {
	__u16 server; /* its number: what WS_KIND_SERVER and the session entries say */
	__u16 level;
	/* Where the WaitEvent lies on WalSndWait's stack at WS_SITE_WAIT_END; -1: not known. */
	__s16 wait_event_reg; /* DWARF register number: 6 rbp, 7 rsp */
	__s16 wait_style;     /* enum ws_wait_style */
	__s32 wait_event_disp;
	/* on_sleep tells of waits, and no site does: what it reads for that is known. */
	__u32 sleep_tells;
	struct ws_offsets off;
	struct ws_variables var;
	__u64 site_addr[WS_SITE_COUNT]; /* address in the file, 0 if not planted */
	__u64 image_end; /* address behind all of the file's segments: libraries lie elsewhere */
};

enum ws_entry_flags {
	WS_ENTRY_LOGICAL = 1 << 0,
	WS_ENTRY_IN_LOOP = 1 << 1,
	WS_ENTRY_IN_COMMAND = 1 << 2,
	WS_ENTRY_IN_BACKUP = 1 << 3,
	WS_ENTRY_DEAD = 1 << 4,	 /* exited: user space reads the counters and deletes the entry */
	WS_ENTRY_TURNS = 1 << 5, /* the time of this command goes into turn records */
	WS_ENTRY_BASE = 1 << 6,	 /* `base` is known */
	WS_ENTRY_NO_WAITS = 1 << 7, /* runs SQL, or ends: no sleep is a wait of the send loop */
};

/*
 * What the scheduler saw of the last wait. No site is behind it below level 3: a wait lasts while
 * the process sleeps. What woke it may not have ended the wait; when it sleeps again its
 * wait_event_info tells.
 */
enum ws_nap {
	WS_NAP_NONE = 0, /* it has not slept */
	WS_NAP_ASLEEP = 1,
	WS_NAP_AWAKE = 2, /* and has passed no site since */
};

/* Counters of struct ReorderBuffer, in their order: those that change once for a piece, none that
 * does for each transaction. */
enum ws_decoding_stat {
	WS_STAT_SPILL_TXNS,
	WS_STAT_SPILL_COUNT,
	WS_STAT_SPILL_BYTES,
	WS_STAT_STREAM_TXNS,
	WS_STAT_STREAM_COUNT,
	WS_STAT_STREAM_BYTES,
	WS_STAT_COUNT,
};

/* Of a transaction in progress: what was written to disk of it and its subtransactions. */
struct ws_spilled {
	__u32 xid;    /* 0: none */
	__u32 partly; /* it was spilled before, too, unseen */
	__u64 bytes, ns;
	__u64 last_ns;
};
#define WS_SPILLED_MAX 4

/* Of a stream, or of CREATE_REPLICATION_SLOT. Samples tell of it. */
struct ws_decoding {
	__u64 slot_context; /* LogicalDecodingContext of CREATE_REPLICATION_SLOT, 0: none */
	__u64 stats[WS_STAT_COUNT];
	__u64 spill_mark_ns, restore_mark_ns; /* since when, 0: it does not */
	__u64 spill_ns, restore_ns;
	__u64 missed;	       /* ends that were not seen: the times are too small */
	__u64 restore_from_ns; /* restore_ns when `txn` began */
	struct ws_rec_txn txn; /* level 3: being handed out; xid 0: none */
	struct ws_spilled spilled[WS_SPILLED_MAX];
	__u32 spilling;	 /* the one of them that is written now */
	__u32 forgotten; /* the newest of those that there was no place for any more; 0: none */
};

/*
 * One walsender's entry in the map `sessions`, keyed by tgid. The process is single-threaded, and
 * the scheduler's programs advance it only where it goes to sleep or wakes, in no program, so
 * the programs are its only writer while it lives; user space writes it once before attaching (a
 * walsender that already runs) and deletes it once it is dead.
 */
struct ws_entry {
	__u64 start_ns;
	__u64 base;
	__u32 seq; /* of the next record */
	__u32 lost;
	__u32 unreadable;
	__u16 server;
	__u8 flags;  /* enum ws_entry_flags */
	__u8 stage;  /* enum ws_stage */
	__u8 resume; /* the stage that goes on after a write, or a wait and the replies behind it */
	__u8 after_wait;     /* the stage that follows the wait */
	__u8 nap;	     /* enum ws_nap: of the last wait */
	__u8 was_stopped;    /* in the last sleep of the send loop, by a signal or a debugger */
	__u32 wait_event;    /* PostgreSQL's, of the last wait ... */
	__u64 wait_info;     /* ... and where the process tells it, 0: not known */
	__u64 mark_ns;	     /* when `stage` began, 0 if nothing is being accounted */
	__u64 reply_time_us; /* as last seen, to tell a new reply */
	__u64 write_lsn, flush_lsn, apply_lsn;
	__u64 walsnd; /* MyWalSnd's value once it was seen, 0 before */
	__u64 backup_mark_ns;
	struct ws_rec_turn turn;     /* being filled */
	struct ws_rec_backup backup; /* being filled */
	__s32 sock;		     /* Port.sock; -1: not known */
	__u32 postmaster_pid;	     /* its parent */
	/* Level 3: written by the scheduler's programs also where they interrupt the session's own
	 * ... */
	__u64 runnable_ns; /* since when it waits for a CPU, 0: it does not */
	__u64 off_cpu_ns[WS_STAGE_COUNT];
	__u64 off_cpu_sum_ns;
	/* ... which write these: what of it was told. */
	__u64 off_cpu_told_ns;
	struct ws_rec_off_cpu off_cpu;
	__u64 off_cpu_before_ns[WS_STAGE_COUNT];
	struct ws_decoding decoding;
};

/* What the iterator over tasks (sample.bpf.c) says of a session; heads and `valid` are whole. */
struct ws_taken {
	struct ws_rec_sample sample;
	struct ws_rec_socket socket; /* h.size is 0 if it has no TCP socket */
	__u64 base;		     /* of the entry, if `flags` (enum ws_entry_flags) say so */
	__u64 sent_lsn;		     /* as its last turn saw it */
	__u32 seq;		     /* of its next record */
	__u32 flags;
	__u32 postmaster_pid;
	__u32 reserved;
};

/* Less time without a CPU is not worth a record. */
#define WS_OFF_CPU_MIN_NS 100000

#define WS_SERVERS_MAX	   0xfffe
#define WS_SESSIONS_MAX	   4096
#define WS_POSTMASTERS_MAX 1024

/*
 * Which processes may be sessions, by the lowest bits of their pid: set when one is first followed,
 * by whoever follows it, and never cleared, so that nothing can be missed. For programs that see
 * all processes of the host: they look at a byte before they look for a session.
 */
#define WS_WATCHED_PIDS 65536
struct ws_watched {
	__u8 may_be[WS_WATCHED_PIDS];
};

#define WS_TICK_NS 10000000ULL /* USER_HZ, the unit of field 22 of /proc/PID/stat */

#define WS_SUM_PIECE 16384 /* bytes of a text that are measured at once */

/* A text being measured, by process. */
struct ws_scratch {
	__u64 lanes[4];
	__u64 len;  /* so far */
	__u32 have; /* bytes in `data` */
	__u32 reserved;
	char data[WS_SUM_PIECE + 8]; /* a whole piece and its NUL */
};

#define WS_SCRATCH_MAX 16

/* Counters in the array map `counters`, by CPU. */
enum ws_counter {
	WS_COUNTER_UNTRACKED = 2,  /* sessions that found the session map full */
	WS_COUNTER_LOST_KIND = 8,  /* + kind, for kinds below 64 */
	WS_COUNTER_MADE_KIND = 72, /* + kind; lost ones included */
	WS_COUNTER_COUNT = 136,
};

#endif
