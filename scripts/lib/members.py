# SPDX-License-Identifier: BSD-2-Clause
"""Members of PostgreSQL's structures, in their order, by major: what scripts/layout-table computes the
offsets from.

A member is (name, type) or (name, type, first major that has it, last one); None: no limit. A structure ends
where the members anybody wants do, but for those whose size is asked for.

From the sources of the majors 10 to 18: replication/walsender_private.h, libpq/libpq-be.h, utils/elog.h,
replication/slot.h, replication/logical.h, replication/output_plugin.h, replication/reorderbuffer.h, replication/walreceiver.h,
access/xlogreader.h, lib/stringinfo.h, storage/latch.h
(storage/waiteventset.h from 18 on), storage/proc.h, storage/pg_shmem.h, access/transam.h,
utils/backend_status.h (pgstat.h up to 13), nodes/memnodes.h, and of files that keep theirs to themselves access/transam/xlog.c,
access/transam/twophase.c, utils/hash/dynahash.c. 13, 15, 17 and 18 were held against debug information, with
`scripts/layout-table --against`; of the slots (ReplicationSlot) the declarations of 11 and 14 were read, 10, 12 and 16
are what their neighbours have in common. Of ReorderBuffer and ReorderBufferTXN the declarations of 16 and 18 were read, and
the code of builds of 13, 15, 17 and 18 (UpdateDecodingStats, ReorderBufferSetRestartPoint,
ReorderBufferGetOldestTXN); 14 is as 15. Of MemoryContextData the declarations of 10, 14, 15 and 18 were read; what a
context's neighbours have to say of it (probe/contexts.h) tells at run time if another one is not so. What is wrong here
walscope slots does not believe: the server's own index has the size of its slots and of its prepared transactions,
and another one refuses the layout.
"""

MAJORS = range(10, 19)

# (size, alignment); the processors differ in what a spinlock is (storage/s_lock.h).
TYPES = {
    "bool": (1, 1), "char": (1, 1), "int": (4, 4), "uint32": (4, 4), "uint64": (8, 8), "pointer": (8, 8),
    "NameData": (64, 1),
    "SockAddr": (136, 8),  # struct sockaddr_storage (128, aligned to 8) and a socklen_t
    "slock_t": {"WS_ARCH_X86_64": (1, 1), "WS_ARCH_AARCH64": (4, 4)},
    "LWLock": (16, 4),  # storage/lwlock.h: a number, an atomic, two process numbers
}

STRUCTURES = {
    "WalSnd": [
        ("pid", "int"), ("state", "int"), ("sentPtr", "uint64"), ("needreload", "bool"), ("write", "uint64"),
        ("flush", "uint64"), ("apply", "uint64"), ("writeLag", "uint64"), ("flushLag", "uint64"),
        ("applyLag", "uint64"), ("sync_standby_priority", "int", 13, None), ("mutex", "slock_t"),
        ("latch", "pointer", None, 17), ("sync_standby_priority", "int", None, 12),
        ("replyTime", "uint64", 12, None), ("kind", "int", 16, None),
    ],
    "Port": [
        ("sock", "int"), ("noblock", "bool"), ("proto", "uint32"), ("laddr", "SockAddr"), ("raddr", "SockAddr"),
        ("remote_host", "pointer"), ("remote_hostname", "pointer"), ("remote_hostname_resolv", "int"),
        ("remote_hostname_errcode", "int"), ("remote_port", "pointer"),
        ("canAcceptConnections", "int", None, 16), ("local_host", "char[64]", 18, None),
        ("database_name", "pointer"), ("user_name", "pointer"), ("cmdline_options", "pointer"),
        ("guc_options", "pointer"), ("application_name", "pointer", 12, None), ("hba", "pointer"),
        ("authn_id", "pointer", 14, 15), ("SessionStartTime", "uint64", None, 11),
        ("default_keepalives_idle", "int"), ("default_keepalives_interval", "int"),
        ("default_keepalives_count", "int"), ("default_tcp_user_timeout", "int", 12, None),
        ("keepalives_idle", "int"), ("keepalives_interval", "int"), ("keepalives_count", "int"),
        ("tcp_user_timeout", "int", 12, None),
        ("scram_ClientKey", "char[32]", 18, None), ("scram_ServerKey", "char[32]", 18, None),
        ("has_scram_keys", "bool", 18, None),
        ("gss", "pointer"), ("ssl_in_use", "bool"),
    ],
    "ErrorData": [
        ("elevel", "int"), ("output_to_server", "bool"), ("output_to_client", "bool"),
        ("show_funcname", "bool", None, 13), ("hide_stmt", "bool"), ("hide_ctx", "bool"),
        ("filename", "pointer"), ("lineno", "int"), ("funcname", "pointer"), ("domain", "pointer"),
        ("context_domain", "pointer"), ("sqlerrcode", "int"), ("message", "pointer"), ("detail", "pointer"),
        ("detail_log", "pointer"), ("hint", "pointer"), ("context", "pointer"),
        ("backtrace", "pointer", 13, None), ("message_id", "pointer"), ("schema_name", "pointer"),
        ("table_name", "pointer"), ("column_name", "pointer"), ("datatype_name", "pointer"),
        ("constraint_name", "pointer"), ("cursorpos", "int"), ("internalpos", "int"),
        ("internalquery", "pointer"), ("saved_errno", "int"), ("assoc_context", "pointer"),
    ],
    "ReplicationSlot": [
        ("mutex", "slock_t"), ("in_use", "bool"), ("active_pid", "int"), ("just_dirtied", "bool"),
        ("dirty", "bool"), ("effective_xmin", "uint32"), ("effective_catalog_xmin", "uint32"),
        ("data", "ReplicationSlotPersistentData"), ("io_in_progress_lock", "LWLock"),
        ("active_cv", "ConditionVariable"), ("candidate_catalog_xmin", "uint32"), ("candidate_xmin_lsn", "uint64"),
        ("candidate_restart_valid", "uint64"), ("candidate_restart_lsn", "uint64"),
        ("last_saved_confirmed_flush", "uint64", 17, None), ("inactive_since", "uint64", 17, None),
        ("last_saved_restart_lsn", "uint64", 18, None),
    ],
    "ReplicationSlotCtlData": [("replication_slots", "ReplicationSlot")],
    "ReplicationSlotPersistentData": [
        ("name", "NameData"), ("database", "uint32"), ("persistency", "int"), ("xmin", "uint32"),
        ("catalog_xmin", "uint32"), ("restart_lsn", "uint64"), ("invalidated_at", "uint64", 13, 15),
        ("invalidated", "int", 16, None), ("confirmed_flush", "uint64"), ("two_phase_at", "uint64", 14, None),
        ("two_phase", "bool", 14, None), ("plugin", "NameData"), ("synced", "char", 17, None),
        ("failover", "bool", 17, None),
    ],
    "PGShmemHeader": [
        ("magic", "int"), ("creatorPID", "int"), ("totalsize", "uint64"), ("freeoffset", "uint64"),
        ("dsm_control", "uint32"), ("index", "pointer"),
    ],
    "HASHHDR": [
        ("freeList", "FreeListData[32]"), ("dsize", "uint64"), ("nsegs", "uint64"), ("max_bucket", "uint32"),
        ("high_mask", "uint32"), ("low_mask", "uint32"), ("keysize", "uint64"), ("entrysize", "uint64"),
        ("num_partitions", "uint64"), ("ffactor", "uint64", None, 13), ("max_dsize", "uint64"), ("ssize", "uint64"),
        ("sshift", "int"), ("nelem_alloc", "int"),
    ],
    "FreeListData": [("mutex", "slock_t"), ("nentries", "uint64"), ("freeList", "pointer")],
    "XLogCtlInsert": [
        ("insertpos_lck", "slock_t"), ("CurrBytePos", "uint64"), ("PrevBytePos", "uint64"), ("pad", "char[128]"),
        ("RedoRecPtr", "uint64"), ("forcePageWrites", "bool", None, 15), ("fullPageWrites", "bool"),
        ("exclusiveBackupState", "int", None, 14), ("runningBackups", "int"), ("lastBackupStart", "uint64"),
        ("WALInsertLocks", "pointer"),
    ],
    "VariableCacheData": [
        ("nextOid", "uint32"), ("oidCount", "uint32"), ("nextXid", "uint32", None, 11), ("nextFullXid", "uint64", 12, 13),
        ("nextXid", "uint64", 14, 16),
    ],
    "TransamVariablesData": [("nextOid", "uint32"), ("oidCount", "uint32"), ("nextXid", "uint64", 17, None)],
    "PGXACT": [("xid", "uint32", None, 13), ("xmin", "uint32", None, 13), ("vacuumFlags", "bool", None, 13)],
    # Up to 16 a dummyBackendId stands in what is padding here.
    "TwoPhaseStateData": [("freeGXacts", "pointer"), ("numPrepXacts", "int"), ("prepXacts", "pointer")],
    "GlobalTransactionData": [
        ("next", "pointer"), ("pgprocno", "int"), ("prepared_at", "uint64"), ("prepare_start_lsn", "uint64"),
        ("prepare_end_lsn", "uint64"), ("xid", "uint32"), ("owner", "uint32"), ("locking_backend", "int"),
        ("valid", "bool"), ("ondisk", "bool"), ("inredo", "bool"), ("gid", "char[200]"),
    ],
    "PgBackendStatus": [
        ("st_changecount", "int"), ("st_procpid", "int"), ("st_backendType", "int"),
        ("st_proc_start_timestamp", "uint64"), ("st_xact_start_timestamp", "uint64"),
        ("st_activity_start_timestamp", "uint64"), ("st_state_start_timestamp", "uint64"), ("st_databaseid", "uint32"),
        ("st_userid", "uint32"), ("st_clientaddr", "SockAddr"), ("st_clienthostname", "pointer"), ("st_ssl", "bool"),
        ("st_sslstatus", "pointer"), ("st_gss", "bool", 12, None), ("st_gssstatus", "pointer", 12, None),
        ("st_state", "int"), ("st_appname", "pointer"), ("st_activity_raw", "pointer"),
        ("st_progress_command", "int", 13, None), ("st_progress_command_target", "uint32", 13, None),
        ("st_progress_param", "uint64[20]", 13, None),
    ],
    "MemoryContextData": [
        ("type", "int"), ("isReset", "bool"), ("allowInCritSection", "bool"), ("mem_allocated", "uint64", 13, None),
        ("methods", "pointer"), ("parent", "pointer"), ("firstchild", "pointer"), ("prevchild", "pointer"),
        ("nextchild", "pointer"), ("name", "pointer"), ("ident", "pointer", 11, None),
    ],
    "XLogwrtResult": [("Write", "uint64"), ("Flush", "uint64")],
    "XLogCtlData": [
        ("Insert", "XLogCtlInsert"), ("LogwrtRqst", "XLogwrtResult"), ("RedoRecPtr", "uint64"),
        ("ckptXidEpoch", "uint32", None, 11), ("ckptXid", "uint32", None, 11), ("ckptFullXid", "uint64", 12, None),
        ("asyncXactLSN", "uint64"), ("replicationSlotMinLSN", "uint64"), ("lastRemovedSegNo", "uint64"),
        ("unloggedLSN", "uint64"), ("ulsn_lck", "slock_t", None, 16), ("lastSegSwitchTime", "uint64"),
        ("lastSegSwitchLSN", "uint64"), ("LogwrtResult", "XLogwrtResult", None, 16),
        ("logInsertResult", "uint64", 17, None), ("logWriteResult", "uint64", 17, None),
        ("logFlushResult", "uint64", 17, None), ("InitializedUpTo", "uint64"), ("pages", "pointer"),
        ("xlblocks", "pointer"), ("XLogCacheBlck", "int"), ("InsertTimeLineID", "uint32"),
        ("PrevTimeLineID", "uint32"), ("archiveCleanupCommand", "char[1024]", None, 11),
        ("SharedRecoveryInProgress", "bool", None, 12), ("SharedRecoveryState", "int", 13, None),
        ("SharedHotStandbyActive", "bool", 13, 14), ("SharedPromoteIsTriggered", "bool", 13, 14),
        ("WalWriterSleeping", "bool", 13, 14), ("recoveryWakeupLatch", "Latch", 13, 14),
        ("lastCheckPointRecPtr", "uint64", 13, 14), ("lastCheckPointEndPtr", "uint64", 13, 14),
        ("lastCheckPoint", "CheckPoint", 13, 14), ("lastReplayedEndRecPtr", "uint64", 13, 14),
    ],
    "XLogRecoveryCtlData": [
        ("SharedHotStandbyActive", "bool", 15, None), ("SharedPromoteIsTriggered", "bool", 15, None),
        ("recoveryWakeupLatch", "Latch", 15, None), ("lastReplayedReadRecPtr", "uint64", 15, None),
        ("lastReplayedEndRecPtr", "uint64", 15, None),
    ],
    # The same in 10 to 12, where it is called receivedUpto.
    "WalRcvData": [
        ("procno", "int", 18, None), ("pid", "int"), ("walRcvState", "int"),
        ("walRcvStoppedCV", "ConditionVariable", 14, None), ("startTime", "uint64"), ("receiveStart", "uint64"),
        ("receiveStartTLI", "uint32"), ("receivedUpto", "uint64", None, 12), ("flushedUpto", "uint64", 13, None),
    ],
    "Latch": [("is_set", "int"), ("maybe_sleeping", "int", 14, None), ("is_shared", "bool"), ("owner_pid", "int")],
    # Up to 11 the xid is two halves; only 13 and 14 are asked for.
    "CheckPoint": [
        ("redo", "uint64"), ("ThisTimeLineID", "uint32"), ("PrevTimeLineID", "uint32"), ("fullPageWrites", "bool"),
        ("nextXid", "uint64"), ("nextOid", "uint32"), ("nextMulti", "uint32"), ("nextMultiOffset", "uint32"),
        ("oldestXid", "uint32"), ("oldestXidDB", "uint32"), ("oldestMulti", "uint32"), ("oldestMultiDB", "uint32"),
        ("time", "uint64"), ("oldestCommitTsXid", "uint32"), ("newestCommitTsXid", "uint32"),
        ("oldestActiveXid", "uint32"),
    ],
    "OutputPluginCallbacks": [
        ("startup_cb", "pointer"), ("begin_cb", "pointer"), ("change_cb", "pointer"),
        ("truncate_cb", "pointer", 11, None), ("commit_cb", "pointer"), ("message_cb", "pointer"),
        ("filter_by_origin_cb", "pointer"), ("shutdown_cb", "pointer"),
        ("two_phase_and_stream_cbs", "pointer[13]", 14, None),
    ],
    "OutputPluginOptions": [("output_type", "int"), ("receive_rewrites", "bool", 11, None)],
    "LogicalDecodingContext": [
        ("context", "pointer"), ("slot", "pointer"), ("reader", "pointer"), ("reorder", "pointer"),
        ("snapshot_builder", "pointer"), ("fast_forward", "bool", 11, None),
        ("callbacks", "OutputPluginCallbacks"), ("options", "OutputPluginOptions"),
        ("output_plugin_options", "pointer"), ("prepare_write", "pointer"), ("write", "pointer"),
        ("update_progress", "pointer"), ("out", "pointer"), ("output_plugin_private", "pointer"),
        ("output_writer_private", "pointer"), ("streaming", "bool", 14, None), ("twophase", "bool", 14, None),
        ("twophase_opt_given", "bool", 14, None), ("accept_writes", "bool"), ("prepared_write", "bool"),
        ("write_location", "uint64"), ("write_xid", "uint32"),
    ],
    # Up to 12 what is behind by_txn and its neighbours is not described.
    "ReorderBuffer": [
        ("by_txn", "pointer"), ("toplevel_by_lsn", "pointer[2]"), ("txns_by_base_snapshot_lsn", "pointer[2]", 13, None),
        ("catchange_txns", "pointer[3]", 16, None), ("by_txn_last_xid", "uint32", 13, None),
        ("by_txn_last_txn", "pointer", 13, None), ("callbacks", "pointer[5]", 13, None),
        ("two_phase_and_stream", "pointer[12]", 14, None), ("update_progress_txn", "pointer", 16, None),
        ("private_data", "pointer", 13, None), ("output_rewrites", "bool", 13, None),
        ("contexts", "pointer[4]", 13, None), ("current_restart_decoding_lsn", "uint64", 13, None),
        ("outbuf", "pointer", 13, None), ("outbufsize", "uint64", 13, None), ("size", "uint64", 13, None),
        ("txn_heap", "pointer", 17, None), ("spillTxns", "uint64", 14, None), ("spillCount", "uint64", 14, None),
        ("spillBytes", "uint64", 14, None), ("streamTxns", "uint64", 14, None), ("streamCount", "uint64", 14, None),
        ("streamBytes", "uint64", 14, None), ("totalTxns", "uint64", 14, None), ("totalBytes", "uint64", 14, None),
    ],
    "ReorderBufferTXN": [
        ("txn_flags", "uint32", 13, None), ("xid", "uint32", 13, None), ("toplevel_xid", "uint32", 13, None),
        ("gid", "pointer", 14, None), ("first_lsn", "uint64", 13, None), ("final_lsn", "uint64", 13, None),
        ("end_lsn", "uint64", 13, None), ("toptxn", "pointer", 14, None), ("restart_decoding_lsn", "uint64", 13, None),
        ("origin_id", "uint32", 13, None), ("origin_lsn", "uint64", 13, None), ("commit_time", "uint64", 13, None),
        ("base_snapshot", "pointer", 13, None), ("base_snapshot_lsn", "uint64", 13, None),
        ("base_snapshot_node", "pointer[2]", 13, None), ("snapshot_now", "pointer", 14, None),
        ("command_id", "uint32", 14, None), ("nentries", "uint64", 13, None), ("nentries_mem", "uint64", 13, None),
        ("changes", "pointer[2]", 13, None), ("tuplecids", "pointer[2]", 13, None), ("ntuplecids", "uint64", 13, None),
        ("tuplecid_hash", "pointer", 13, None), ("toast_hash", "pointer", 13, None), ("subtxns", "pointer[2]", 13, None),
        ("nsubtxns", "uint32", 13, None), ("ninvalidations", "uint32", 13, None), ("invalidations", "pointer", 13, None),
        ("ninvalidations_distributed", "uint32", 18, None), ("invalidations_distributed", "pointer", 18, None),
        ("node", "pointer[2]", 13, None), ("catchange_node", "pointer[2]", 16, None), ("txn_node", "pointer[3]", 17, None),
        ("size", "uint64", 13, None), ("total_size", "uint64", 14, None),
    ],
    "XLogReaderState": [
        ("wal_segment_size", "int", 11, 12), ("read_page", "pointer", None, 12), ("routine", "pointer[3]", 13, None),
        ("system_identifier", "uint64"), ("private_data", "pointer"), ("ReadRecPtr", "uint64"), ("EndRecPtr", "uint64"),
    ],
    "StringInfoData": [("data", "pointer"), ("len", "int")],
    "WaitEvent": [("pos", "int"), ("events", "uint32")],
    "ConditionVariable": [("mutex", "slock_t"), ("wakeup", "int[2]")],
    "WalSndCtlData": [
        ("SyncRepQueue", "pointer[6]"), ("lsn", "uint64[3]"), ("sync_standbys_defined", "bool"),
        ("wal_flush_cv", "ConditionVariable", 16, None), ("wal_replay_cv", "ConditionVariable", 16, None),
        ("wal_confirm_rcv_cv", "ConditionVariable", 17, None), ("walsnds", "WalSnd"),
    ],
    "Latch": [("is_set", "int"), ("maybe_sleeping", "int", 14, None), ("is_shared", "bool"), ("owner_pid", "int")],
    "PGPROC": [
        ("links", "pointer[2]"), ("procgloballist", "pointer"), ("sem", "pointer"), ("waitStatus", "int"),
        ("procLatch", "Latch"), ("xid", "uint32", 14, None), ("xmin", "uint32", 14, None),
        ("lxid", "uint32", None, 16), ("pid", "int"), ("pgxactoff", "int", 14, None),
        ("pgprocno", "int", None, 16), ("backendId", "int", None, 16), ("vxid", "uint32[2]", 17, None),
        ("databaseId", "uint32"), ("roleId", "uint32"), ("tempNamespaceId", "uint32", 11, None),
        ("isBackgroundWorker", "bool"), ("recoveryConflictPending", "bool"), ("lwWaiting", "bool"),
        ("lwWaitMode", "bool"), ("lwWaitLink", "int[2]"), ("cvWaitLink", "int[2]"), ("waitLock", "pointer"),
        ("waitProcLock", "pointer"), ("waitLockMode", "int"), ("heldLocks", "int"),
        ("waitStart", "uint64", 14, None), ("delayChkpt", "bool", 13, 14), ("delayChkptFlags", "int", 15, None),
        ("statusFlags", "bool", 14, None), ("waitLSN", "uint64"), ("syncRepState", "int"),
        ("syncRepLinks", "pointer[2]"), ("myProcLocks", "pointer[32]"), ("subxidStatus", "bool[2]", 14, None),
        ("subxids", "uint32[64]"), ("procArrayGroupMember", "bool"), ("procArrayGroupNext", "uint32"),
        ("procArrayGroupMemberXid", "uint32"), ("wait_event_info", "uint32"),
    ],
}

# Values of macros (utils/elog.h) and enumerators: (value, first major, last one). From 14 on
# WARNING_CLIENT_ONLY takes 20.
NUMBERS = {
    "COMMERROR": [(16, None, None)],
    "ERROR": [(20, None, 13), (21, 14, None)],
    "FATAL": [(21, None, 13), (22, 14, None)],
    "PANIC": [(22, None, 13), (23, 14, None)],
    # utils/activity/wait_event_names.txt: of class Client the seventh
    "WAIT_EVENT_WAIT_FOR_STANDBY_CONFIRMATION": [(0x06000006, 17, None)],
    # Of class IPC (pgstat.h, from 14 on utils/wait_event.h); up to 12 a base backup sleeps without an event.
    "WAIT_EVENT_BACKUP_WAIT_WAL_ARCHIVE": [(0x08000000, 13, 13), (0x08000002, 14, 14), (0x08000004, 15, None)],
    "WAIT_EVENT_CHECKPOINT_DONE": [(0x08000004, 13, 13), (0x08000007, 14, 14), (0x08000009, 15, 16),
                                   (0x0800000b, 17, None)],
    "WAIT_EVENT_CHECKPOINT_START": [(0x08000005, 13, 13), (0x08000008, 14, 14), (0x0800000a, 15, 16),
                                    (0x0800000c, 17, None)],
    # pgstat.h, utils/wait_event.h, wait_event_names.txt: the place in class IPC
    "WAIT_EVENT_SYNC_REP": [(0x08000010, 10, 10), (0x08000021, 11, 11), (0x08000024, 12, 12), (0x08000028, 13, 13),
                            (0x0800002b, 14, 14), (0x0800002f, 15, 15), (0x08000031, 16, 16), (0x08000034, 17, 18)],
    "WAIT_EVENT_WAL_SUMMARY_READY": [(0x08000037, 17, 18)],
    "LOCKTAG_TRANSACTION": [(5, 13, None)],
}
