/* SPDX-License-Identifier: BSD-2-Clause */
#include "probe/plan.h"

#include "base/util.h"

#define ARG(n) (1U << ((n)-1))

/*
 * Functions as of PostgreSQL's sources: tcop/postgres.c, replication/walsender.c,
 * utils/error/elog.c, backup/basebackup.c, backup/basebackup_progress.c, backup/basebackup_copy.c
 * (replication/ up to 14). PqCommMethods is struct PQcommMethods of libpq/libpq.h: 0x10
 * flush_if_writable, 0x20 putmessage, the same in 10 to 18.
 *
 * may_join: LogicalDecodingProcessRecord is skipped when XLogReadRecord has no record, putmessage
 * when the backup goes to the server's own disk. Both join straight behind the call; there the
 * programs see that no such stage was begun.
 *
 * backup_done is not basebackup_progress_done: that is still exported, but no longer called, in
 * minors that end the progress report in bbsink_progress's cleanup (15.20 does, 15.18 does not).
 * The clean-up of the resource owner is the last thing perform_base_backup does in all of them.
 *
 * message_refused: every backend runs forbidden_in_wal_sender for each message of the extended
 * protocol. The part of it that gcc splits off is reached only if am_walsender is set; where there
 * is none, there is no place for this row.
 */
static const struct ws_probe catalogue[] = {
	{
		.site = WS_SITE_SESSION_START,
		.name = "session_start",
		.function = "PostgresMain",
		.kind = WS_SITE_ENTRY,
		.captures = "am_walsender, MyProcPid, Port",
		.level = 1,
		.required = true,
	},
	{
		.site = WS_SITE_SESSION_READY,
		.name = "session_ready",
		.function = "InitWalSender",
		.kind = WS_SITE_ENTRY,
		.captures = "",
		.level = 1,
		.walsender_only = true,
	},
	{
		.site = WS_SITE_COMMAND_START,
		.name = "command_start",
		.function = "exec_replication_command",
		.kind = WS_SITE_ENTRY,
		.captures = "cmd_string (arg 1)",
		.args = ARG(1),
		.level = 1,
		.first_major = 10,
		.required = true,
		.walsender_only = true,
	},
	{
		.site = WS_SITE_COMMAND_END,
		.name = "command_end",
		.function = "PostgresMain",
		.kind = WS_SITE_AFTER_CALL,
		.callee = "exec_replication_command",
		.captures = "result: false if it is SQL",
		.wants_result = true,
		.level = 1,
		.first_major = 10,
		.required = true,
		.walsender_only = true,
	},
	{
		.site = WS_SITE_SQL_END,
		.name = "sql_end",
		.function = "PostgresMain",
		.kind = WS_SITE_AFTER_CALL,
		.callee = "exec_simple_query",
		.pick = WS_PICK_BEHIND_FALSE,
		.condition = "exec_replication_command",
		.captures = "",
		.level = 1,
		.first_major = 10,
		.walsender_only = true,
	},
	{
		.site = WS_SITE_ERROR,
		.name = "error",
		.function = "WalSndErrorCleanup",
		.kind = WS_SITE_ENTRY,
		.captures = "errordata",
		.level = 1,
		.walsender_only = true,
	},
	{
		.site = WS_SITE_FATAL,
		.name = "fatal",
		.function = "EmitErrorReport",
		.kind = WS_SITE_ENTRY,
		.captures = "errordata",
		.level = 1,
	},
	{
		.site = WS_SITE_STATE,
		.name = "state",
		.function = "WalSndSetState",
		.kind = WS_SITE_ENTRY,
		.captures = "state (arg 1), MyWalSnd",
		.args = ARG(1),
		.level = 1,
		.walsender_only = true,
	},
	{
		.site = WS_SITE_STREAM_START,
		.name = "stream_start",
		.function = "WalSndLoop",
		.kind = WS_SITE_ENTRY,
		.captures = "send_data (arg 1), MyWalSnd, slot name",
		.args = ARG(1),
		.level = 1,
		.walsender_only = true,
	},
	{
		.site = WS_SITE_SEND_PHYSICAL,
		.name = "send_physical",
		.function = "XLogSendPhysical",
		.kind = WS_SITE_ENTRY,
		.captures = "MyWalSnd",
		.level = 2,
		.walsender_only = true,
	},
	{
		.site = WS_SITE_SEND_LOGICAL,
		.name = "send_logical",
		.function = "XLogSendLogical",
		.kind = WS_SITE_ENTRY,
		.captures = "MyWalSnd",
		.level = 2,
		.walsender_only = true,
	},
	{
		.site = WS_SITE_FLUSH_END,
		.name = "flush_end",
		.function = "WalSndLoop",
		.kind = WS_SITE_AFTER_CALL,
		.callee = "PqCommMethods+0x10",
		.pick = WS_PICK_BEHIND_POINTER,
		.captures = "result, MyWalSnd, output pending",
		.wants_result = true,
		.level = 2,
		.walsender_only = true,
	},
	{
		.site = WS_SITE_WAIT_START,
		.name = "wait_start",
		.function = "WalSndWait",
		.kind = WS_SITE_ENTRY,
		.captures = "socket events, timeout, wait event (args 1 to 3)",
		.args = ARG(1) | ARG(2) | ARG(3),
		.level = 2,
		.first_major = 14,
		.walsender_only = true,
	},
	{
		.site = WS_SITE_WAIT_END,
		.name = "wait_end",
		.function = "WalSndWait",
		.kind = WS_SITE_AFTER_CALL,
		.callee = "WaitEventSetWait",
		.captures = "result, WaitEvent.events",
		.wants_result = true,
		.level = 2,
		.first_major = 14,
		.walsender_only = true,
	},
	{
		.site = WS_SITE_REPLIES,
		.name = "replies",
		.function = "ProcessRepliesIfAny",
		.kind = WS_SITE_ENTRY,
		.captures = "MyWalSnd",
		.level = 2,
		.walsender_only = true,
	},
	{
		.site = WS_SITE_REPLIES_END,
		.name = "replies_end",
		.function = "logical_read_xlog_page",
		.kind = WS_SITE_AFTER_CALL,
		.callee = "ProcessRepliesIfAny",
		.captures = "",
		.level = 2,
		.walsender_only = true,
	},
	{
		.site = WS_SITE_WRITE_REPLIES_END,
		.name = "write_replies_end",
		.function = "ProcessPendingWrites",
		.kind = WS_SITE_AFTER_CALL,
		.callee = "ProcessRepliesIfAny",
		.captures = "",
		.level = 2,
		.walsender_only = true,
	},
	{
		.site = WS_SITE_KEEPALIVE,
		.name = "keepalive",
		.function = "WalSndKeepalive",
		.kind = WS_SITE_ENTRY,
		.captures = "requestReply, writePtr (args 1 and 2)",
		.args = ARG(1) | ARG(2),
		.level = 2,
		.walsender_only = true,
	},
	{
		.site = WS_SITE_READ_START,
		.name = "read_start",
		.function = "XLogSendPhysical",
		.kind = WS_SITE_CALL,
		.callee = "WALRead",
		.captures = "",
		.level = 3,
		.first_major = 13,
		.walsender_only = true,
	},
	{
		.site = WS_SITE_READ_END,
		.name = "read_end",
		.function = "XLogSendPhysical",
		.kind = WS_SITE_AFTER_CALL,
		.callee = "WALRead",
		.captures = "",
		.level = 3,
		.first_major = 13,
		.walsender_only = true,
	},
	{
		.site = WS_SITE_DECODE_START,
		.name = "decode_start",
		.function = "XLogSendLogical",
		.kind = WS_SITE_CALL,
		.callee = "LogicalDecodingProcessRecord",
		.captures = "",
		.level = 3,
		.walsender_only = true,
	},
	{
		.site = WS_SITE_DECODE_END,
		.name = "decode_end",
		.function = "XLogSendLogical",
		.kind = WS_SITE_AFTER_CALL,
		.callee = "LogicalDecodingProcessRecord",
		.may_join = true,
		.captures = "",
		.level = 3,
		.walsender_only = true,
	},
	{
		.site = WS_SITE_MESSAGE_PREPARE,
		.name = "message_prepare",
		.function = "WalSndPrepareWrite",
		.kind = WS_SITE_ENTRY,
		.captures = "",
		.level = 3,
		.walsender_only = true,
	},
	{
		.site = WS_SITE_MESSAGE_WRITE,
		.name = "message_write",
		.function = "WalSndWriteData",
		.kind = WS_SITE_ENTRY,
		.captures = "ctx->out->len (arg 1)",
		.args = ARG(1),
		.level = 3,
		.walsender_only = true,
	},
	{
		.site = WS_SITE_MESSAGE_FLUSHED,
		.name = "message_flushed",
		.function = "WalSndWriteData",
		.kind = WS_SITE_AFTER_CALL,
		.callee = "PqCommMethods+0x10",
		.captures = "",
		.level = 3,
		.walsender_only = true,
	},
	{
		.site = WS_SITE_BACKUP_BEGIN,
		.name = "backup_begin",
		.function = "perform_base_backup",
		.stand_in = "SendBaseBackup",
		.kind = WS_SITE_ENTRY,
		.captures = "",
		.level = 1,
		.walsender_only = true,
	},
	{
		.site = WS_SITE_BACKUP_CHECKPOINT,
		.name = "backup_checkpoint",
		.function = "basebackup_progress_wait_checkpoint",
		.kind = WS_SITE_ENTRY,
		.captures = "",
		.level = 1,
		.first_major = 15,
		.walsender_only = true,
	},
	{
		.site = WS_SITE_BACKUP_ESTIMATE,
		.name = "backup_estimate",
		.function = "basebackup_progress_estimate_backup_size",
		.kind = WS_SITE_ENTRY,
		.captures = "",
		.level = 1,
		.first_major = 15,
		.walsender_only = true,
	},
	{
		.site = WS_SITE_BACKUP_CHUNK,
		.name = "backup_chunk",
		.function = "bbsink_copystream_archive_contents",
		.kind = WS_SITE_ENTRY,
		.captures = "len (arg 2)",
		.args = ARG(2),
		.level = 2,
		.first_major = 15,
		.walsender_only = true,
	},
	{
		.site = WS_SITE_BACKUP_CHUNK_END,
		.name = "backup_chunk_end",
		.function = "bbsink_copystream_archive_contents",
		.kind = WS_SITE_AFTER_CALL,
		.callee = "PqCommMethods+0x20",
		.may_join = true,
		.captures = "",
		.level = 2,
		.first_major = 15,
		.walsender_only = true,
	},
	{
		.site = WS_SITE_BACKUP_WAIT_ARCHIVE,
		.name = "backup_wait_archive",
		.function = "basebackup_progress_wait_wal_archive",
		.kind = WS_SITE_ENTRY,
		.captures = "",
		.level = 1,
		.first_major = 15,
		.walsender_only = true,
	},
	{
		.site = WS_SITE_BACKUP_WAL,
		.name = "backup_wal",
		.function = "basebackup_progress_transfer_wal",
		.kind = WS_SITE_ENTRY,
		.captures = "",
		.level = 1,
		.first_major = 15,
		.walsender_only = true,
	},
	{
		.site = WS_SITE_BACKUP_DONE,
		.name = "backup_done",
		.function = "perform_base_backup",
		.stand_in = "SendBaseBackup",
		.kind = WS_SITE_AFTER_CALL,
		.callee = "WalSndResourceCleanup",
		.captures = "",
		.level = 1,
		.first_major = 13,
		.walsender_only = true,
	},
	{
		.site = WS_SITE_AUTH_BEGIN,
		.name = "auth_begin",
		.function = "PerformAuthentication",
		.stand_in = "InitPostgres",
		.kind = WS_SITE_CALL,
		.callee = "ClientAuthentication",
		.captures = "",
		.level = 1,
	},
	{
		.site = WS_SITE_AUTH_END,
		.name = "auth_end",
		.function = "PerformAuthentication",
		.stand_in = "InitPostgres",
		.kind = WS_SITE_AFTER_CALL,
		.callee = "ClientAuthentication",
		.captures = "",
		.level = 1,
	},
	{
		.site = WS_SITE_INITIALIZED,
		.name = "initialized",
		.function = "PostgresMain",
		.kind = WS_SITE_AFTER_CALL,
		.callee = "InitWalSender",
		.captures = "am_cascading_walsender",
		.level = 1,
		.walsender_only = true,
	},
	{
		.site = WS_SITE_MESSAGE_REFUSED,
		.name = "message_refused",
		.function = "forbidden_in_wal_sender.part",
		.kind = WS_SITE_ENTRY,
		.captures = "firstchar (arg 1)",
		.args = ARG(1),
		.level = 1,
		.walsender_only = true,
	},
	{
		.site = WS_SITE_ENDING,
		.name = "ending",
		.function = "WalSndKill",
		.kind = WS_SITE_ENTRY,
		.captures = "code (arg 1), pgStatSessionEndCause, log_min_messages",
		.args = ARG(1),
		.level = 1,
		.walsender_only = true,
	},
};

const struct ws_probe *ws_catalogue(size_t *count)
{
	*count = WS_ARRAY_SIZE(catalogue);
	return catalogue;
}

const char *ws_site_name(enum ws_site site)
{
	for (size_t i = 0; i < WS_ARRAY_SIZE(catalogue); i++) {
		if (catalogue[i].site == site)
			return catalogue[i].name;
	}
	return NULL;
}

const char *ws_site_kind_name(enum ws_site_kind kind)
{
	switch (kind) {
	case WS_SITE_ENTRY:
		return "entry";
	case WS_SITE_CALL:
		return "call";
	case WS_SITE_AFTER_CALL:
		return "after_call";
	default:
		return "";
	}
}
