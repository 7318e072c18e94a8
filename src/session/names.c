/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/util.h"
#include "session/model.h"

static const char *name_in(const char *const *names, size_t count, unsigned int value)
{
	return value < count ? names[value] : NULL;
}

const char *ws_state_name(enum ws_state state)
{
	static const char *const names[WS_STATE_COUNT] = {
		[WS_STATE_UNKNOWN] = "unknown",
		[WS_STATE_STARTING] = "starting",
		[WS_STATE_IDLE] = "idle",
		[WS_STATE_COMMAND] = "command",
		[WS_STATE_SQL] = "sql",
		[WS_STATE_WAIT_WAL] = "wait_wal",
		[WS_STATE_READ_WAL] = "read_wal",
		[WS_STATE_DECODE] = "decode",
		[WS_STATE_OUTPUT_PLUGIN] = "output_plugin",
		[WS_STATE_SEND] = "send",
		[WS_STATE_SEND_BLOCKED] = "send_blocked",
		[WS_STATE_RECV_BLOCKED] = "recv_blocked",
		[WS_STATE_WAIT_STANDBY] = "wait_standby",
		[WS_STATE_WAIT_COPYDONE] = "wait_copydone",
		[WS_STATE_WAIT_LOCK] = "wait_lock",
		[WS_STATE_REPLY] = "reply",
		[WS_STATE_BACKUP_CHECKPOINT] = "backup_checkpoint",
		[WS_STATE_BACKUP_ESTIMATE] = "backup_estimate",
		[WS_STATE_BACKUP_READ] = "backup_read",
		[WS_STATE_BACKUP_SEND] = "backup_send",
		[WS_STATE_BACKUP_THROTTLED] = "backup_throttled",
		[WS_STATE_BACKUP_WAIT_ARCHIVE] = "backup_wait_archive",
		[WS_STATE_BACKUP_WAL] = "backup_wal",
		[WS_STATE_BACKUP_MANIFEST] = "backup_manifest",
		[WS_STATE_STOPPING] = "stopping",
		[WS_STATE_EXITING] = "exiting",
		[WS_STATE_OFF_CPU] = "off_cpu",
		[WS_STATE_STOPPED] = "stopped",
		[WS_STATE_LOST] = "lost",
	};

	return name_in(names, WS_ARRAY_SIZE(names), state);
}

const char *ws_session_kind_name(enum ws_session_kind kind)
{
	static const char *const names[] = {
		[WS_SESSION_KIND_PHYSICAL] = "physical",
		[WS_SESSION_KIND_LOGICAL] = "logical",
		[WS_SESSION_KIND_BACKUP] = "backup",
		[WS_SESSION_KIND_SQL] = "sql",
	};

	return name_in(names, WS_ARRAY_SIZE(names), kind);
}

const char *ws_program_name(enum ws_program program)
{
	static const char *const names[] = {
		[WS_PROGRAM_WALRECEIVER] = "walreceiver",
		[WS_PROGRAM_CASCADING_STANDBY] = "cascading_standby",
		[WS_PROGRAM_PG_RECEIVEWAL] = "pg_receivewal",
		[WS_PROGRAM_PG_RECVLOGICAL] = "pg_recvlogical",
		[WS_PROGRAM_PG_BASEBACKUP] = "pg_basebackup",
		[WS_PROGRAM_APPLY_WORKER] = "apply_worker",
		[WS_PROGRAM_TABLESYNC_WORKER] = "tablesync_worker",
		[WS_PROGRAM_PSQL] = "psql",
		[WS_PROGRAM_OTHER] = "other",
	};

	return name_in(names, WS_ARRAY_SIZE(names), program);
}

const char *ws_signal_role_name(enum ws_signal_role role)
{
	static const char *const names[] = {
		[WS_ROLE_KERNEL] = "kernel",
		[WS_ROLE_POSTMASTER] = "postmaster",
		[WS_ROLE_CHECKPOINTER] = "checkpointer",
		[WS_ROLE_BACKEND] = "backend",
		[WS_ROLE_OTHER] = "other",
		[WS_ROLE_SELF] = "self",
	};

	return name_in(names, WS_ARRAY_SIZE(names), role);
}

const char *ws_exit_reason_name(enum ws_exit_reason reason)
{
	static const char *const names[] = {
		[WS_END_CLIENT_TERMINATED] = "client_terminated",
		[WS_END_CLIENT_EOF] = "client_eof",
		[WS_END_CONNECTION_LOST] = "connection_lost",
		[WS_END_REPLICATION_TIMEOUT] = "replication_timeout",
		[WS_END_ADMIN_TERMINATED] = "admin_terminated",
		[WS_END_SLOT_RELEASED] = "slot_released",
		[WS_END_SLOT_INVALIDATED] = "slot_invalidated",
		[WS_END_SHUTDOWN] = "shutdown",
		[WS_END_CRASH_RESTART] = "crash_restart",
		[WS_END_POSTMASTER_DEATH] = "postmaster_death",
		[WS_END_FATAL] = "fatal",
		[WS_END_REFUSED] = "refused",
		[WS_END_KILLED] = "killed",
		[WS_END_UNKNOWN] = "unknown",
	};

	return name_in(names, WS_ARRAY_SIZE(names), reason);
}

const char *ws_outcome_name(enum ws_outcome outcome)
{
	static const char *const names[] = {
		[WS_OUTCOME_RUNNING] = "running",
		[WS_OUTCOME_OK] = "ok",
		[WS_OUTCOME_ERROR] = "error",
		[WS_OUTCOME_LOST] = "lost",
	};

	return name_in(names, WS_ARRAY_SIZE(names), outcome);
}

const char *ws_severity_name(enum ws_elevel elevel)
{
	/* error_severity, elog.c */
	static const char *const names[] = {
		[WS_ELEVEL_COMMERROR] = "LOG",
		[WS_ELEVEL_ERROR] = "ERROR",
		[WS_ELEVEL_FATAL] = "FATAL",
		[WS_ELEVEL_PANIC] = "PANIC",
	};

	return name_in(names, WS_ARRAY_SIZE(names), elevel);
}

const char *ws_message_type_name(uint8_t type)
{
	/* SocketBackend and PostgresMain, postgres.c */
	static const char *const names[] = {
		['B'] = "Bind",	   ['C'] = "Close",	   ['D'] = "Describe",
		['E'] = "Execute", ['F'] = "FunctionCall", ['P'] = "Parse",
	};

	return name_in(names, WS_ARRAY_SIZE(names), type);
}
