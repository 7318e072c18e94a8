/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The names the project wants. A first major is only given where PostgreSQL's sources show that
 * older ones lack the name: what is merely not found must say unknown, not absent.
 *
 * NAME.part is what gcc splits off NAME (-fpartial-inlining) and puts behind a test that it inlines
 * into the callers; symbol tables have it as NAME.part.0. Wanted only where all that matters is
 * behind that test, and never taken for NAME.
 */
#include <stdlib.h>
#include <string.h>

#include "symbol/recover_parts.h"

#include "base/util.h"

#define FUNCTION(name, file, first)         \
	{                                   \
		name, false, first, 0, file \
	}
#define FUNCTION_UNTIL(name, file, f, l) \
	{                                \
		name, false, f, l, file  \
	}
#define VARIABLE(name, file, first)        \
	{                                  \
		name, true, first, 0, file \
	}

/* Sorted by name, as strcmp sorts. */
static const struct ws_symbol_wanted wanted[] = {
	FUNCTION("AlterReplicationSlot", "walsender.c", 17),
	FUNCTION("AppendIncrementalManifestData", "basebackup_incremental.c", 17),
	FUNCTION("ClientAuthentication", "auth.c", 10),
	FUNCTION("CreateDecodingContext", "logical.c", 10),
	FUNCTION("CreateReplicationSlot", "walsender.c", 10),
	VARIABLE("DataDir", "globals.c", 10),
	FUNCTION("DecodingContextFindStartpoint", "logical.c", 10),
	FUNCTION("DropReplicationSlot", "walsender.c", 10),
	FUNCTION("EmitErrorReport", "elog.c", 10),
	FUNCTION("EndReplicationCommand", "dest.c", 13),
	FUNCTION("IdentifySystem", "walsender.c", 10),
	FUNCTION("InitPostgres", "postinit.c", 10),
	FUNCTION("InitWalSender", "walsender.c", 10),
	FUNCTION("LogicalDecodingProcessRecord", "decode.c", 10),
	FUNCTION("ModifyWaitEvent", NULL, 10),
	VARIABLE("MyBEEntry", "pgstat.c", 10), /* from 14 on backend_status.c exports it */
	VARIABLE("MyDatabaseId", "globals.c", 10),
	VARIABLE("MyProc", NULL, 10),
	VARIABLE("MyProcPid", "globals.c", 10),
	VARIABLE("MyProcPort", "globals.c", 10),
	VARIABLE("MyReplicationSlot", "slot.c", 10),
	VARIABLE("MyWalSnd", "walsender.c", 10),
	FUNCTION("PerformAuthentication", "postinit.c", 10),
	FUNCTION("PostgresMain", "postgres.c", 10),
	VARIABLE("PostmasterPid", "globals.c", 10),
	VARIABLE("PqCommMethods", "pqcomm.c", 10),
	VARIABLE("PqSendPointer", "pqcomm.c", 10),
	VARIABLE("PqSendStart", "pqcomm.c", 10),
	FUNCTION("ProcessPendingWrites", "walsender.c", 10),
	FUNCTION("ProcessRepliesIfAny", "walsender.c", 10),
	FUNCTION("ProcessStandbyHSFeedbackMessage", "walsender.c", 10),
	FUNCTION("ProcessStandbyMessage", "walsender.c", 10),
	FUNCTION("ProcessStandbyReplyMessage", "walsender.c", 10),
	FUNCTION("ReadReplicationSlot", "walsender.c", 15),
	FUNCTION("ReorderBufferAbort", "reorderbuffer.c", 10),
	FUNCTION("ReorderBufferCheckMemoryLimit", "reorderbuffer.c", 13),
	FUNCTION("ReorderBufferCommit", "reorderbuffer.c", 10),
	FUNCTION("ReorderBufferFinishPrepared", "reorderbuffer.c", 14),
	FUNCTION("ReorderBufferPrepare", "reorderbuffer.c", 14),
	FUNCTION("ReorderBufferProcessTXN", "reorderbuffer.c", 14),
	FUNCTION("ReorderBufferQueueChange", "reorderbuffer.c", 10),
	FUNCTION("ReorderBufferReplay", "reorderbuffer.c", 14),
	FUNCTION("ReorderBufferRestoreChanges", "reorderbuffer.c", 10),
	FUNCTION("ReorderBufferSerializeTXN", "reorderbuffer.c", 10),
	FUNCTION("ReorderBufferStreamTXN", "reorderbuffer.c", 14),
	VARIABLE("ReplicationSlotCtl", "slot.c", 10),
	FUNCTION("SendBackupManifest", "backup_manifest.c", 13),
	FUNCTION("SendBaseBackup", "basebackup.c", 10),
	FUNCTION("SendTimeLineHistory", "walsender.c", 10),
	FUNCTION("StartLogicalReplication", "walsender.c", 10),
	FUNCTION("StartReplication", "walsender.c", 10),
	FUNCTION("UpdateDecodingStats", "logical.c", 14),
	FUNCTION("UploadManifest", "walsender.c", 17),
	FUNCTION("WALRead", "xlogreader.c", 13),
	FUNCTION("WALReadFromBuffers", "xlog.c", 17),
	FUNCTION("WaitEventSetWait", NULL, 10),
	FUNCTION("WaitForStandbyConfirmation", "slot.c", 17),
	FUNCTION("WaitLatchOrSocket", "latch.c", 10),
	VARIABLE("WalSndCaughtUp", "walsender.c", 10),
	FUNCTION("WalSndCheckTimeOut", "walsender.c", 10),
	VARIABLE("WalSndCtl", "walsender.c", 10),
	FUNCTION("WalSndDone", "walsender.c", 10),
	FUNCTION("WalSndErrorCleanup", "walsender.c", 10),
	FUNCTION("WalSndKeepalive", "walsender.c", 10),
	FUNCTION("WalSndKeepaliveIfNecessary", "walsender.c", 10),
	FUNCTION("WalSndKill", "walsender.c", 10),
	FUNCTION("WalSndLoop", "walsender.c", 10),
	FUNCTION("WalSndPrepareWrite", "walsender.c", 10),
	FUNCTION("WalSndSetState", "walsender.c", 10),
	FUNCTION("WalSndShmemInit", "walsender.c", 10),
	FUNCTION("WalSndShutdown", "walsender.c", 10),
	FUNCTION("WalSndUpdateProgress", "walsender.c", 10),
	FUNCTION("WalSndWait", "walsender.c", 14),
	FUNCTION("WalSndWaitForWal", "walsender.c", 10),
	FUNCTION("WalSndWriteData", "walsender.c", 10),
	FUNCTION("XLogReadRecord", "xlogreader.c", 10),
	FUNCTION("XLogSendLogical", "walsender.c", 10),
	FUNCTION("XLogSendPhysical", "walsender.c", 10),
	VARIABLE("am_cascading_walsender", "walsender.c", 10),
	VARIABLE("am_db_walsender", "walsender.c", 10),
	VARIABLE("am_walsender", "walsender.c", 10),
	VARIABLE("application_name", NULL, 10),
	FUNCTION("basebackup_progress_done", "basebackup_progress.c", 15),
	FUNCTION("basebackup_progress_estimate_backup_size", "basebackup_progress.c", 15),
	FUNCTION("basebackup_progress_transfer_wal", "basebackup_progress.c", 15),
	FUNCTION("basebackup_progress_wait_checkpoint", "basebackup_progress.c", 15),
	FUNCTION("basebackup_progress_wait_wal_archive", "basebackup_progress.c", 15),
	FUNCTION("bbsink_copystream_archive_contents", "basebackup_copy.c", 15),
	FUNCTION("bbsink_copystream_manifest_contents", "basebackup_copy.c", 15),
	FUNCTION("bbsink_throttle_archive_contents", "basebackup_throttle.c", 15),
	VARIABLE("debug_query_string", "postgres.c", 10),
	FUNCTION_UNTIL("elog_finish", "elog.c", 10, 12),
	FUNCTION_UNTIL("elog_start", "elog.c", 10, 12),
	FUNCTION("errfinish", "elog.c", 10),
	VARIABLE("errordata", "elog.c", 10),
	VARIABLE("errordata_stack_depth", "elog.c", 10),
	FUNCTION("errsave_finish", "elog.c", 16),
	FUNCTION("errstart", "elog.c", 10),
	FUNCTION("exec_replication_command", "walsender.c", 10),
	FUNCTION("exec_simple_query", "postgres.c", 10),
	FUNCTION("forbidden_in_wal_sender", "postgres.c", 10),
	FUNCTION("forbidden_in_wal_sender.part", "postgres.c", 10),
	VARIABLE("log_min_messages", NULL, 10),
	FUNCTION("logical_read_xlog_page", "walsender.c", 10),
	VARIABLE("max_replication_slots", "slot.c", 10),
	VARIABLE("max_wal_senders", "walsender.c", 10),
	VARIABLE("my_wait_event_info", NULL, 14),
	FUNCTION("perform_base_backup", "basebackup.c", 10),
	VARIABLE("pgStatSessionEndCause", NULL, 14),
	FUNCTION("pgstat_progress_start_command", NULL, 10),
	FUNCTION("pgstat_progress_update_param", NULL, 10),
	FUNCTION("pq_getmessage", "pqcomm.c", 10),
	FUNCTION("proc_exit", "ipc.c", 10),
	FUNCTION("secure_read", "be-secure.c", 10),
	FUNCTION("secure_write", "be-secure.c", 10),
	FUNCTION("sendFile", "basebackup.c", 10),
	VARIABLE("sentPtr", "walsender.c", 10),
	FUNCTION("socket_flush", "pqcomm.c", 10),
	FUNCTION("socket_flush_if_writable", "pqcomm.c", 10),
	FUNCTION("socket_is_send_pending", "pqcomm.c", 10),
	FUNCTION_UNTIL("update_basebackup_progress", "basebackup.c", 13, 14),
	VARIABLE("wal_sender_timeout", "walsender.c", 10),
};

const struct ws_symbol_wanted *ws_symbol_wanted(size_t *count)
{
	*count = WS_ARRAY_SIZE(wanted);
	return wanted;
}

struct listed {
	struct ws_symbol_wanted wanted;
	bool is_static;
};

static int compare_listed(const void *pa, const void *pb)
{
	const struct listed *a = pa, *b = pb;

	return strcmp(a->wanted.name, b->wanted.name);
}

/* postgres.c is recovered for the sake of those on the list. */
static bool is_replication(const char *file)
{
	return strcmp(file, "postgres.c") != 0;
}

/* A name with a namesake in another file would need more than a name, unless one took over from the
 * other: a function that has moved. */
static bool merge_namesakes(struct listed *one, const struct listed *other)
{
	const struct ws_symbol_wanted *first = &one->wanted, *second = &other->wanted;

	if (first->first_major > second->first_major) {
		first = &other->wanted;
		second = &one->wanted;
	}
	if (!first->last_major || first->last_major > second->first_major)
		return false;
	one->wanted = (struct ws_symbol_wanted){ first->name, false, first->first_major,
						 second->last_major, NULL };
	one->is_static |= other->is_static;
	return true;
}

static const struct ws_symbol_wanted *find_wanted(const char *name)
{
	for (size_t i = 0; i < WS_ARRAY_SIZE(wanted); i++) {
		if (strcmp(wanted[i].name, name) == 0)
			return &wanted[i];
	}
	return NULL;
}

static struct listed *list_functions(size_t *count)
{
	struct listed *all = NULL, next = { 0 };
	size_t cap = 0, at = 0;

	while (ws_sig_next(&at, &next.wanted, &next.is_static)) {
		struct listed *added;

		if (!is_replication(next.wanted.file) || find_wanted(next.wanted.name))
			continue;
		added = ws_array_grow(&all, count, &cap, sizeof(*all));
		if (!added) {
			free(all);
			return NULL;
		}
		*added = next;
	}
	qsort(all, *count, sizeof(*all), compare_listed);
	return all;
}

/* Static ones whose name means one function. */
static size_t keep_statics(struct listed *all, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0, next; i < count; i = next) {
		bool is_one = true;

		for (next = i + 1; next < count && compare_listed(&all[i], &all[next]) == 0; next++)
			is_one &= merge_namesakes(&all[i], &all[next]);
		if (is_one && all[i].is_static)
			all[kept++] = all[i];
	}
	return kept;
}

static int compare_wanted(const void *pa, const void *pb)
{
	const struct ws_symbol_wanted *a = pa, *b = pb;

	return strcmp(a->name, b->name);
}

struct ws_symbol_wanted *ws_symbol_wanted_all(size_t *count)
{
	size_t listed_count = 0;
	ws_autofree struct listed *listed = list_functions(&listed_count);
	struct ws_symbol_wanted *all;

	*count = 0;
	if (!listed)
		return NULL;
	listed_count = keep_statics(listed, listed_count);
	all = calloc(listed_count + WS_ARRAY_SIZE(wanted), sizeof(*all));
	if (!all)
		return NULL;
	for (size_t i = 0; i < listed_count; i++)
		all[(*count)++] = listed[i].wanted;
	for (size_t i = 0; i < WS_ARRAY_SIZE(wanted); i++)
		all[(*count)++] = wanted[i];
	qsort(all, *count, sizeof(*all), compare_wanted);
	return all;
}
