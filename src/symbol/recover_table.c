/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What PostgreSQL's sources (10 to 18) say about the wanted static functions and variables. Facts,
 * not measurements: nothing here was taken from one binary's layout.
 */
#include "symbol/recover_parts.h"

#include "base/util.h"

/* Waiting inside walsender.c looks the same wherever it is done. */
#define WAIT_CALLS                                                                              \
	"ResetLatch GetCurrentTimestamp ProcessConfigFile SyncRepInitConfig ProcessInterrupts " \
	"ProcessRepliesIfAny WalSndKeepaliveIfNecessary WalSndWait WalSndComputeSleeptime"
#define WAIT_MAY "WaitLatchOrSocket SetLatch WalSndShutdown"
#define WAIT_INLINES                                                           \
	"WalSndCheckTimeOut WalSndShutdown WalSndComputeSleeptime WalSndWait " \
	"WalSndKeepaliveIfNecessary WalSndKeepalive"

static const struct ws_signature signatures[] = {
	{
		.name = "WalSndWait",
		.file = "walsender.c",
		.must = "ModifyWaitEvent WaitEventSetWait proc_exit",
		.must_not = "ResetLatch GetCurrentTimestamp",
		.may = "ConditionVariablePrepareToSleep ConditionVariableCancelSleep",
	},
	{
		.name = "WalSndShutdown",
		.file = "walsender.c",
		.must = "proc_exit whereToSendOutput",
		.must_not = "EndCommand GetCurrentTimestamp ResetLatch WalSndKeepalive",
	},
	{
		.name = "WalSndKeepalive",
		.file = "walsender.c",
		.reports = true,
		.must = "resetStringInfo GetCurrentTimestamp PqCommMethods",
		.must_not = "wal_sender_timeout proc_exit EndCommand ResetLatch pq_getmsgbyte "
			    "TimestampDifferenceExceeds GetFlushRecPtr",
		.calls = "enlargeStringInfo",
		.may = "pq_sendbyte pq_sendint64",
	},
	{
		.name = "WalSndKeepaliveIfNecessary",
		.file = "walsender.c",
		.must = "wal_sender_timeout WalSndKeepalive PqCommMethods",
		.must_not = "GetCurrentTimestamp ResetLatch EndCommand TimestampDifferenceExceeds "
			    "pq_getmsgbyte GetFlushRecPtr",
		.calls = "WalSndShutdown",
		.may = "proc_exit",
		.inlines = "WalSndShutdown",
	},
	{
		.name = "WalSndCheckTimeOut",
		.file = "walsender.c",
		.reports = true,
		.must = "wal_sender_timeout",
		.must_not = "ResetLatch ProcessRepliesIfAny WalSndWait PqCommMethods",
		.calls = "WalSndShutdown",
		.may = "proc_exit",
		.inlines = "WalSndShutdown",
	},
	{
		.name = "WalSndDone",
		.file = "walsender.c",
		.must = "EndCommand proc_exit",
		.must_not = "ResetLatch ProcessRepliesIfAny WalSndSetState",
		.calls = "WalSndKeepalive",
		.inlines = "WalSndKeepalive",
		.keys = "EndCommand",
		.hosts = "WalSndLoop",
	},
	{
		.name = "ProcessStandbyReplyMessage",
		.file = "walsender.c",
		.reports = true,
		.must = "pq_getmsgint64 SyncRepReleaseWaiters",
		.must_not = "pq_getmessage pq_startmsgread",
		.calls = "pq_getmsgbyte timestamptz_to_str GetCurrentTimestamp WalSndKeepalive "
			 "LogicalConfirmReceivedLocation",
		.may = "pstrdup pfree message_level_is_interesting ReplicationSlotMarkDirty "
		       "ReplicationSlotsComputeRequiredLSN",
		.inlines = "WalSndKeepalive PhysicalConfirmReceivedLocation LagTrackerRead",
	},
	{
		.name = "ProcessStandbyHSFeedbackMessage",
		.file = "walsender.c",
		.reports = true,
		.must = "pq_getmsgint64 pq_getmsgint",
		.must_not = "pq_getmessage pq_startmsgread SyncRepReleaseWaiters",
		.calls = "timestamptz_to_str",
		.may = "pstrdup pfree message_level_is_interesting ReadNextFullTransactionId "
		       "GetNextXidAndEpoch "
		       "TransactionIdPrecedesOrEquals TransactionIdPrecedes "
		       "ReplicationSlotMarkDirty "
		       "ReplicationSlotsComputeRequiredXmin",
		.inlines = "PhysicalReplicationSlotNewXmin TransactionIdInRecentPast",
	},
	{
		.name = "ProcessStandbyMessage",
		.file = "walsender.c",
		.reports = true,
		.must = "pq_getmsgbyte",
		.must_not = "pq_getmessage pq_startmsgread",
		.calls = "ProcessStandbyReplyMessage ProcessStandbyHSFeedbackMessage",
		.may = "proc_exit",
		.inlines = "ProcessStandbyReplyMessage ProcessStandbyHSFeedbackMessage",
	},
	{
		.name = "ProcessRepliesIfAny",
		.file = "walsender.c",
		.reports = true,
		.must = "GetCurrentTimestamp resetStringInfo proc_exit",
		.must_not = "ResetLatch SetLatch WalSndSetState EndCommand",
		.calls = "pq_getbyte_if_available pq_startmsgread pq_getmessage pq_endmsgread "
			 "ProcessStandbyMessage",
		.inlines = "ProcessStandbyMessage",
	},
	{
		.name = "ProcessPendingWrites",
		.file = "walsender.c",
		.must = "ProcessRepliesIfAny ResetLatch SetLatch PqCommMethods MyLatch",
		.must_not = "resetStringInfo TimestampDifferenceExceeds GetFlushRecPtr "
			    "GetXLogReplayRecPtr "
			    "WalSndSetState XLogReadDetermineTimeline RecoveryInProgress",
		.calls = WAIT_CALLS,
		.may = WAIT_MAY,
		.inlines = WAIT_INLINES,
	},
	{
		.name = "WalSndLoop",
		.file = "walsender.c",
		.reports = true,
		.must = "ProcessRepliesIfAny ProcessConfigFile PqCommMethods",
		.must_not =
			"WALRead CreateDecodingContext XLogReaderAllocate ReplicationSlotAcquire",
		.calls = WAIT_CALLS " WalSndSetState",
		.may = WAIT_MAY " proc_exit",
		.inlines = WAIT_INLINES " WalSndDone",
	},
	{
		.name = "WalSndWaitForWal",
		.file = "walsender.c",
		.must = "ProcessRepliesIfAny ResetLatch GetXLogReplayRecPtr GetFlushRecPtr",
		.must_not = "XLogReadDetermineTimeline WALRead CheckXLogRemoved WalSndSetState",
		.calls = WAIT_CALLS " RecoveryInProgress XLogBackgroundFlush",
		.may = WAIT_MAY
		" WalSndKeepalive XLogFlush GetXLogInsertEndRecPtr GetXLogInsertRecPtr "
		"StandbySlotsHaveCaughtup errstart",
		.inlines = WAIT_INLINES " NeedToWaitForWal NeedToWaitForStandbys",
		.keys = "ResetLatch GetXLogReplayRecPtr",
		.hosts = "logical_read_xlog_page",
	},
	{
		.name = "XLogSendPhysical",
		.file = "walsender.c",
		.reports = true,
		.must = "GetFlushRecPtr am_cascading_walsender MyWalSnd tliSwitchPoint",
		.must_not = "ResetLatch XLogReadDetermineTimeline LogicalDecodingProcessRecord "
			    "ProcessRepliesIfAny",
		.calls =
			"WALRead WALReadRaiseError CheckXLogRemoved resetStringInfo "
			"enlargeStringInfo "
			"GetCurrentTimestamp RecoveryInProgress readTimeLineHistory list_free_deep "
			"WalSndSetState GetXLogReplayRecPtr GetWalRcvFlushRecPtr wal_segment_close",
		.may = "set_ps_display set_ps_display_with_len strlen WALReadFromBuffers "
		       "GetWALInsertionTimeLine pg_snprintf "
		       "GetWalRcvWriteRecPtr "
		       "GetWALInsertionTimeLineIfSet",
		.inlines = "LagTrackerWrite GetStandbyFlushRecPtr WalSndSegmentOpen XLogRead",
	},
	{
		.name = "XLogSendLogical",
		.file = "walsender.c",
		.reports = true,
		.must = "LogicalDecodingProcessRecord XLogReadRecord MyWalSnd",
		.must_not = "ResetLatch WalSndSetState",
		.calls = "GetFlushRecPtr",
		.may = "RecoveryInProgress GetXLogReplayRecPtr",
		.inlines = "GetStandbyFlushRecPtr",
	},
	{
		.name = "logical_read_xlog_page",
		.file = "walsender.c",
		.must = "XLogReadDetermineTimeline CheckXLogRemoved",
		.must_not = "WalSndSetState CreateDecodingContext LogicalDecodingProcessRecord",
		.calls = "WALRead WALReadRaiseError WalSndWaitForWal",
		.may = "GetFlushRecPtr RecoveryInProgress GetXLogReplayRecPtr "
		       "GetWALInsertionTimeLine",
		.inlines = "WalSndWaitForWal XLogRead WalSndSegmentOpen",
	},
	{
		.name = "WalSndPrepareWrite",
		.file = "walsender.c",
		.must = "resetStringInfo",
		.must_not = "GetCurrentTimestamp",
		.calls = "enlargeStringInfo",
		.may = "pq_sendbyte pq_sendint64",
		.handed = { { "CreateDecodingContext", 4 }, { "CreateInitDecodingContext", 5 } },
	},
	{
		.name = "WalSndWriteData",
		.file = "walsender.c",
		.must = "resetStringInfo GetCurrentTimestamp PqCommMethods",
		.calls = "enlargeStringInfo ProcessInterrupts ProcessPendingWrites",
		.may = "pq_sendint64 WalSndShutdown",
		.inlines = "ProcessPendingWrites WalSndShutdown PhysicalWakeupLogicalWalSnd",
		.handed = { { "CreateDecodingContext", 5 }, { "CreateInitDecodingContext", 6 } },
	},
	{
		.name = "WalSndUpdateProgress",
		.file = "walsender.c",
		.must = "GetCurrentTimestamp TimestampDifferenceExceeds",
		.calls = "ProcessPendingWrites WalSndKeepalive",
		.may = "LagTrackerWrite WalSndShutdown",
		.inlines = "ProcessPendingWrites LagTrackerWrite WalSndKeepalive WalSndShutdown",
		.handed = { { "CreateDecodingContext", 6 } },
	},
	{
		.name = "WalSndKill",
		.file = "walsender.c",
		.must = "MyWalSnd",
		.may = "s_lock DisownLatch",
		.handed = { { "on_shmem_exit", 0 } },
	},
	{
		.name = "SendTimeLineHistory",
		.file = "walsender.c",
		.reports = true,
		.must = "OpenTransientFile CloseTransientFile read lseek",
		.calls = "pg_snprintf enlargeStringInfo pq_beginmessage pq_endmessage pq_sendbytes "
			 "errcode_for_file_access",
		.may = "pq_sendstring strlen pq_sendint pq_sendint16 pq_sendint32 "
		       "CreateDestReceiver "
		       "CreateTemplateTupleDesc TupleDescInitBuiltinEntry",
	},
	{
		.name = "IdentifySystem",
		.file = "walsender.c",
		.must = "GetSystemIdentifier do_tup_output",
		.calls = "pg_snprintf RecoveryInProgress GetFlushRecPtr CreateDestReceiver "
			 "CreateTemplateTupleDesc TupleDescInitBuiltinEntry "
			 "begin_tup_output_tupdesc "
			 "cstring_to_text end_tup_output",
		.may = "get_database_name StartTransactionCommand CommitTransactionCommand "
		       "GetXLogReplayRecPtr GetWalRcvFlushRecPtr MemoryContextStrdup",
		.inlines = "GetStandbyFlushRecPtr",
		.keys = "GetSystemIdentifier",
		.hosts = "exec_replication_command",
	},
	{
		.name = "ReadReplicationSlot",
		.file = "walsender.c",
		.reports = true,
		.must = "SearchNamedReplicationSlot do_tup_output",
		.must_not = "WalSndSetState",
		.calls = "CreateTemplateTupleDesc TupleDescInitBuiltinEntry LWLockAcquire "
			 "LWLockRelease "
			 "CreateDestReceiver begin_tup_output_tupdesc end_tup_output "
			 "cstring_to_text "
			 "pg_snprintf RecoveryInProgress GetXLogReplayRecPtr readTimeLineHistory "
			 "tliOfPointInHistory",
		.may = "GetWALInsertionTimeLine s_lock",
	},
	{
		.name = "CreateReplicationSlot",
		.file = "walsender.c",
		.reports = true,
		.must = "ReplicationSlotCreate CreateInitDecodingContext do_tup_output",
		.must_not = "WalSndSetState replication_yyparse",
		.calls = "DecodingContextFindStartpoint ReplicationSlotPersist "
			 "ReplicationSlotRelease "
			 "CheckLogicalDecodingRequirements FreeDecodingContext "
			 "ReplicationSlotReserveWal "
			 "ReplicationSlotMarkDirty ReplicationSlotSave SnapBuildExportSnapshot "
			 "SnapBuildInitialSnapshot RestoreTransactionSnapshot",
		.may = "strcmp defGetBoolean defGetString pg_snprintf IsTransactionBlock "
		       "IsSubTransaction "
		       "CreateDestReceiver CreateTemplateTupleDesc TupleDescInitBuiltinEntry "
		       "begin_tup_output_tupdesc cstring_to_text end_tup_output errdetail",
		.inlines = "parseCreateReplSlotOptions",
	},
	{
		.name = "DropReplicationSlot",
		.file = "walsender.c",
		.must = "ReplicationSlotDrop",
		.must_not = "ReplicationSlotCreate WalSndSetState",
		.may = "EndCommand EndReplicationCommand",
		.keys = "ReplicationSlotDrop",
		.hosts = "exec_replication_command",
	},
	{
		.name = "AlterReplicationSlot",
		.file = "walsender.c",
		.must = "ReplicationSlotAlter",
		.must_not = "ReplicationSlotCreate WalSndSetState",
		.may = "strcmp defGetBoolean errcode errmsg errstart errfinish",
		.inlines = "ParseAlterReplSlotOptions",
		.keys = "ReplicationSlotAlter",
		.hosts = "exec_replication_command",
	},
	{
		.name = "UploadManifest",
		.file = "walsender.c",
		.must = "CreateIncrementalBackupInfo FinalizeIncrementalManifest",
		.must_not = "WalSndSetState",
		.calls = "pq_beginmessage pq_endmessage AppendIncrementalManifestData "
			 "pq_startmsgread "
			 "pq_getbyte pq_getmessage",
		.may = "enlargeStringInfo initStringInfo resetStringInfo ResourceOwnerCreate "
		       "ReleaseAuxProcessResources AllocSetContextCreateInternal "
		       "CreateAuxProcessResourceOwner "
		       "MemoryContextDelete DeleteAuxProcessResources",
		.inlines = "HandleUploadManifestPacket",
		.keys = "CreateIncrementalBackupInfo",
		.hosts = "exec_replication_command",
	},
	{
		.name = "StartReplication",
		.file = "walsender.c",
		.reports = true,
		.must = "XLogReaderAllocate SyncRepInitConfig",
		.must_not = "CreateDecodingContext replication_yyparse",
		.calls = "WalSndSetState ReplicationSlotAcquire ReplicationSlotRelease "
			 "pq_beginmessage "
			 "pq_endmessage "
			 "WalSndLoop readTimeLineHistory tliSwitchPoint list_free_deep",
		.may = "RecoveryInProgress GetWalRcvFlushRecPtr GetXLogReplayRecPtr GetFlushRecPtr "
		       "enlargeStringInfo pg_snprintf CreateDestReceiver CreateTemplateTupleDesc "
		       "TupleDescInitBuiltinEntry begin_tup_output_tupdesc do_tup_output "
		       "end_tup_output "
		       "cstring_to_text EndReplicationCommand s_lock proc_exit errdetail",
		.inlines = "GetStandbyFlushRecPtr",
	},
	{
		.name = "StartLogicalReplication",
		.file = "walsender.c",
		.reports = true,
		.must = "CreateDecodingContext SyncRepInitConfig",
		.must_not = "XLogReaderAllocate replication_yyparse",
		.calls = "WalSndSetState ReplicationSlotAcquire ReplicationSlotRelease "
			 "pq_beginmessage "
			 "pq_endmessage "
			 "WalSndLoop CheckLogicalDecodingRequirements FreeDecodingContext "
			 "XLogBeginRead",
		.may = "RecoveryInProgress enlargeStringInfo EndCommand s_lock proc_exit errdetail",
	},
	{
		.name = "exec_simple_query",
		.file = "postgres.c",
		.reports = true,
		.must = "CreatePortal PortalDefineQuery PortalRun debug_query_string",
		.must_not = "pq_getmsgstring InitPostgres",
		.calls = "pgstat_report_activity pg_parse_query CreateCommandTag set_ps_display "
			 "BeginCommand "
			 "IsAbortedTransactionBlockState BeginImplicitTransactionBlock "
			 "EndImplicitTransactionBlock analyze_requires_snapshot pg_rewrite_query "
			 "pg_plan_queries PortalStart PortalSetResultFormat CreateDestReceiver "
			 "PortalDrop "
			 "CommandCounterIncrement EndCommand check_log_duration NullCommand "
			 "CommitTransactionCommand PushActiveSnapshot PopActiveSnapshot "
			 "GetTransactionSnapshot SetRemoteDestReceiverParams",
		.may = "getrusage gettimeofday ShowUsage AllocSetContextCreateInternal "
		       "MemoryContextDelete "
		       "parse_analyze_fixedparams parse_analyze pgstat_report_query_id "
		       "GetCommandTagName "
		       "GetPortalByName DropCachedPlan get_timeout_active disable_timeout "
		       "errhidestmt "
		       "StartTransactionCommand enable_timeout_after ProcessInterrupts "
		       "pg_analyze_and_rewrite pg_analyze_and_rewrite_fixedparams ResetUsage",
		.inlines = "start_xact_command finish_xact_command check_log_statement "
			   "errdetail_execute "
			   "errdetail_abort drop_unnamed_stmt",
	},
	{
		.name = "forbidden_in_wal_sender",
		.file = "postgres.c",
		.reports = true,
		.must = "am_walsender",
		.must_not = "pq_getmsgstring InitPostgres CreatePortal",
	},
	{
		/* The test of am_walsender stands in the caller: what is left does nothing but
		 * report. */
		.name = "forbidden_in_wal_sender.part",
		.part_of = "forbidden_in_wal_sender",
		.file = "postgres.c",
		.reports = true,
		.must_not = "am_walsender pq_getmsgstring InitPostgres CreatePortal",
	},
	{
		.name = "perform_base_backup",
		.file = "basebackup.c",
		.reports = true,
		.must = "CheckXLogRemoved AllocateDir ReadDir RecoveryInProgress",
		.calls = "makeStringInfo do_pg_backup_start do_pg_backup_stop "
			 "do_pg_start_backup do_pg_stop_backup before_shmem_exit "
			 "cancel_before_shmem_exit "
			 "basebackup_progress_wait_checkpoint "
			 "basebackup_progress_estimate_backup_size "
			 "basebackup_progress_wait_wal_archive basebackup_progress_transfer_wal "
			 "basebackup_progress_done InitializeBackupManifest "
			 "AddWALInfoToBackupManifest "
			 "SendBackupManifest FreeBackupManifest WalSndResourceCleanup FreeDir "
			 "lstat fstat "
			 "CloseTransientFile list_sort pg_snprintf psprintf lappend",
		.may = "pq_beginmessage pq_endmessage pq_sendstring pq_sendbytes pq_puttextmessage "
		       "pq_putemptymessage enlargeStringInfo pg_sprintf AllocateFile FreeFile "
		       "fileno "
		       "__lxstat __fxstat fread __fread_chk ferror sendTablespace "
		       "OpenTransientFile "
		       "ResourceOwnerCreate palloc0 pstrdup strlen strspn strcmp sscanf "
		       "__isoc99_sscanf do_pg_abort_backup __errno_location errmsg_plural "
		       "pgstat_progress_update_param "
		       "GetSystemIdentifier pgstat_progress_update_multi_param "
		       "pgstat_progress_start_command "
		       "pgstat_progress_end_command pgstat_report_checksum_failures_in_db "
		       "qsort",
		.inlines = "sendFileWithContent sendTablespace sendFile sendDir _tarWriteHeader "
			   "basebackup_read_file compareWalFileNames SendBackupHeader "
			   "update_basebackup_progress "
			   "progress_increment setup_throttle throttle push_to_sink",
	},
};

static const struct ws_slot_rule slot_rules[] = {
	/* PQcommMethods: comm_reset, flush, flush_if_writable, is_send_pending, putmessage,
	 * putmessage_noblock (src/include/libpq/libpq.h) */
	{ "socket_flush", "PqCommMethods", 1, 6, NULL },
	{ "socket_flush_if_writable", "PqCommMethods", 2, 6, NULL },
	{ "socket_is_send_pending", "PqCommMethods", 3, 6, NULL },
	/* bbsink_ops: begin_backup, begin_archive, archive_contents, end_archive, begin_manifest,
	 * manifest_contents, end_manifest, end_backup, cleanup (basebackup_sink.h, 15 and later) */
	{ "bbsink_copystream_archive_contents", "bbsink_copystream_new", 2, 9,
	  "PqCommMethods GetCurrentTimestamp" },
	{ "bbsink_copystream_manifest_contents", "bbsink_copystream_new", 5, 9, "PqCommMethods" },
	{ "bbsink_throttle_archive_contents", "bbsink_throttle_new", 2, 9,
	  "bbsink_forward_archive_contents" },
};

static const struct ws_variable_rule variable_rules[] = {
	/* Every errXXX() accessor of elog.c begins with &errordata[errordata_stack_depth]; they use
	 * different fields, so that an address with a field's offset folded in is not common to
	 * them. */
	{ "errordata",
	  0,
	  { { WS_USE_ADDRESS, "geterrcode" },
	    { WS_USE_ADDRESS, "geterrposition" },
	    { WS_USE_ADDRESS, "internalerrposition" },
	    { WS_USE_ADDRESS, "EmitErrorReport" } } },
	{ "errordata_stack_depth",
	  4,
	  { { WS_USE_READ, "geterrcode" },
	    { WS_USE_READ, "geterrposition" },
	    { WS_USE_READ, "internalerrposition" },
	    { WS_USE_READ, "EmitErrorReport" } } },
	{ "sentPtr",
	  8,
	  { { WS_USE_WRITE, "XLogSendPhysical" },
	    { WS_USE_WRITE, "XLogSendLogical" },
	    { WS_USE_READ, "WalSndKeepalive" } } },
	{ "WalSndCaughtUp",
	  1,
	  { { WS_USE_WRITE, "XLogSendPhysical" },
	    { WS_USE_WRITE, "XLogSendLogical" },
	    { WS_USE_READ, "WalSndLoop" } } },
};

const struct ws_signature *ws_signatures(size_t *count)
{
	*count = WS_ARRAY_SIZE(signatures);
	return signatures;
}

const struct ws_slot_rule *ws_slot_rules(size_t *count)
{
	*count = WS_ARRAY_SIZE(slot_rules);
	return slot_rules;
}

const struct ws_variable_rule *ws_variable_rules(size_t *count)
{
	*count = WS_ARRAY_SIZE(variable_rules);
	return variable_rules;
}
