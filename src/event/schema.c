/* SPDX-License-Identifier: BSD-2-Clause */
#include "event/schema.h"

#include <stdio.h>
#include <string.h>

#include "base/util.h"

/*
 * The tables below describe each byte behind the head, and of the head the `flags` where the kind
 * defines any. What a person has no use for is hidden, not left out: the recording is coded from
 * here.
 */
#define MEMBER_SIZE(type, member) sizeof(((struct type *)0)->member)
#define PLACE(type, member) \
	.offset = offsetof(struct type, member), .size = MEMBER_SIZE(type, member), .count = 1
#define NUMBER(kind, rec, member, json)                                   \
	{                                                                 \
		.name = json, .type = WS_FIELD_##kind, PLACE(rec, member) \
	}
#define NAMED(kind, rec, member, json, list)                                              \
	{                                                                                 \
		.name = json, .type = WS_FIELD_##kind, PLACE(rec, member), .names = list, \
		.name_count = WS_ARRAY_SIZE(list)                                         \
	}
/* 0 is "not known". */
#define NAMED_OR_ZERO(kind, rec, member, json, list)                                      \
	{                                                                                 \
		.name = json, .type = WS_FIELD_##kind, PLACE(rec, member), .names = list, \
		.name_count = WS_ARRAY_SIZE(list), .unknown = WS_UNKNOWN_ZERO             \
	}
#define RESERVED(rec, member)                                                              \
	{                                                                                  \
		.name = #member, .type = WS_FIELD_UINT, PLACE(rec, member), .hidden = true \
	}
/* A field that counts only if `bit` is set in `word`. */
#define NUMBER_IF(kind, rec, member, json, word, bit)                                             \
	{                                                                                         \
		.name = json, .type = WS_FIELD_##kind, PLACE(rec, member),                        \
		.valid_offset = offsetof(struct rec, word), .valid_size = MEMBER_SIZE(rec, word), \
		.valid_mask = bit                                                                 \
	}
#define HIDDEN_FLAGS(rec, member, json, list)                                             \
	{                                                                                 \
		.name = json, .type = WS_FIELD_FLAGS, PLACE(rec, member), .hidden = true, \
		.names = list, .name_count = WS_ARRAY_SIZE(list)                          \
	}
/* Words that only the collector reads. */
#define HIDDEN_WORDS(rec, member)                                                               \
	{                                                                                       \
		.name = #member, .type = WS_FIELD_UINT, .offset = offsetof(struct rec, member), \
		.size = 8, .count = MEMBER_SIZE(rec, member) / 8, .hidden = true                \
	}
#define NUMBER_OR(kind, rec, member, json, nothing)                        \
	{                                                                  \
		.name = json, .type = WS_FIELD_##kind, PLACE(rec, member), \
		.unknown = WS_UNKNOWN_##nothing                            \
	}

static const char *const session_flags[] = { "database", "running",   "tls",   "refused",
					     "unparsed", "cascading", "logged" };
static const char *const session_valid[] = { "user", "database", "application_name", "client",
					     "port", "ns_pid",	 "postmaster_pid",   "tls" };
static const char *const found_names[] = {
	"unknown",	 "idle",	"command",	     "stream_wal",
	"stream_socket", "stream_busy", "stream_standby",    "stream_recv",
	"backup_send",	 "starting",	"backup_checkpoint", "backup_wait_archive"
};
/* walsnd_state of a session holds the state plus one: 0 is "could not be read". */
static const char *const found_state_names[] = { NULL,	    "startup",	 "backup",
						 "catchup", "streaming", "stopping" };

static const struct ws_field session_fields[] = {
	NAMED(FLAGS, ws_rec_session, h.flags, "flags", session_flags),
	NUMBER_OR(TIME, ws_rec_session, fork_ns, "fork", ZERO),
	{ .name = "base", .type = WS_FIELD_UINT, PLACE(ws_rec_session, base), .hidden = true },
	NUMBER_IF(UINT, ws_rec_session, ns_pid, "ns_pid", valid, WS_VALID_NS_PID),
	NUMBER_IF(UINT, ws_rec_session, postmaster_pid, "postmaster_pid", valid, WS_VALID_PARENT),
	NAMED(FLAGS, ws_rec_session, valid, "valid", session_valid),
	{ .name = "found",
	  .type = WS_FIELD_ENUM,
	  PLACE(ws_rec_session, found),
	  .names = found_names,
	  .name_count = WS_ARRAY_SIZE(found_names),
	  .valid_offset = offsetof(struct ws_rec_session, h.flags),
	  .valid_size = sizeof(__u16),
	  .valid_mask = WS_SESSION_RUNNING },
	{ .name = "state",
	  .type = WS_FIELD_ENUM,
	  PLACE(ws_rec_session, walsnd_state),
	  .names = found_state_names,
	  .name_count = WS_ARRAY_SIZE(found_state_names),
	  .unknown = WS_UNKNOWN_ZERO },
	NUMBER_IF(UINT, ws_rec_session, port, "port", valid, WS_VALID_PORT),
	{ .name = "lsn",
	  .type = WS_FIELD_LSN,
	  PLACE(ws_rec_session, sent_lsn),
	  .valid_offset = offsetof(struct ws_rec_session, h.flags),
	  .valid_size = sizeof(__u16),
	  .valid_mask = WS_SESSION_RUNNING },
	NUMBER_IF(STRING, ws_rec_session, user, "user", valid, WS_VALID_USER),
	NUMBER_IF(STRING, ws_rec_session, database, "database", valid, WS_VALID_DATABASE),
	NUMBER_IF(STRING, ws_rec_session, application, "application_name", valid,
		  WS_VALID_APPLICATION),
	NUMBER_IF(STRING, ws_rec_session, host, "client", valid, WS_VALID_HOST),
	NUMBER_OR(STRING, ws_rec_session, slot, "slot", ZERO),
};

static const char *const command_flags[] = { "running", "started" };

static const struct ws_field command_fields[] = {
	NAMED(FLAGS, ws_rec_command, h.flags, "flags", command_flags),
};

static const char *const text_flags[] = { "last", "truncated", "unreadable" };
static const char *const text_of_names[] = { NULL, "command", "message" };

static const struct ws_field text_fields[] = {
	NAMED(FLAGS, ws_rec_text, h.flags, "flags", text_flags),
	NAMED(ENUM, ws_rec_text, of, "of", text_of_names),
	NUMBER(UINT, ws_rec_text, offset, "offset_bytes"),
	NUMBER(UINT, ws_rec_text, len, "text_bytes"),
	RESERVED(ws_rec_text, reserved),
	{ .name = "text",
	  .type = WS_FIELD_TEXT,
	  .offset = sizeof(struct ws_rec_text),
	  .count = 1,
	  .len_offset = offsetof(struct ws_rec_text, len) },
};

static const char *const command_how_names[] = { NULL, "done", "is_sql", "sql_done" };

static const struct ws_field command_end_fields[] = {
	NAMED(ENUM, ws_rec_command_end, how, "how", command_how_names),
	RESERVED(ws_rec_command_end, reserved),
};

static const char *const elevel_names[] = { NULL, "commerror", "error", "fatal", "panic" };
static const char *const error_valid[] = { "sqlstate", "file", "function", "line" };

static const struct ws_field error_fields[] = {
	NAMED(ENUM, ws_rec_error, elevel, "elevel", elevel_names),
	NUMBER_IF(SQLSTATE, ws_rec_error, sqlstate, "sqlstate", valid, WS_VALID_SQLSTATE),
	NUMBER_IF(UINT, ws_rec_error, line, "line", valid, WS_VALID_LINE),
	HIDDEN_FLAGS(ws_rec_error, valid, "valid", error_valid),
	{ .name = "file_addr",
	  .type = WS_FIELD_UINT,
	  PLACE(ws_rec_error, file_addr),
	  .hidden = true },
	{ .name = "function_addr",
	  .type = WS_FIELD_UINT,
	  PLACE(ws_rec_error, function_addr),
	  .hidden = true },
	/* Filled by the collector from the binary: empty is "not found there". */
	NUMBER_OR(STRING, ws_rec_error, file, "file", ZERO),
	NUMBER_OR(STRING, ws_rec_error, function, "function", ZERO),
};

static const char *const walsnd_state_names[] = { "startup", "backup", "catchup", "streaming",
						  "stopping" };

static const struct ws_field state_fields[] = {
	{ .name = "from",
	  .type = WS_FIELD_ENUM,
	  PLACE(ws_rec_state, from),
	  .names = walsnd_state_names,
	  .name_count = WS_ARRAY_SIZE(walsnd_state_names),
	  .unknown = WS_UNKNOWN_MINUS_ONE },
	NAMED(ENUM, ws_rec_state, to, "to", walsnd_state_names),
	NUMBER_OR(LSN, ws_rec_state, sent_lsn, "lsn", ZERO),
};

static const char *const stream_flags[] = { "logical", "slot" };

static const struct ws_field stream_fields[] = {
	NAMED(FLAGS, ws_rec_stream, h.flags, "flags", stream_flags),
	NUMBER_OR(LSN, ws_rec_stream, sent_lsn, "lsn", ZERO),
	NUMBER_IF(STRING, ws_rec_stream, slot, "slot", h.flags, WS_STREAM_SLOT),
};

static const char *const turn_flags[] = { "logical", "reply", "pending", "woke", "attached" };
static const char *const stage_names[] = {
	[WS_STAGE_OTHER] = "other_ns",	 [WS_STAGE_WAIT] = "wait_ns",
	[WS_STAGE_REPLY] = "reply_ns",	 [WS_STAGE_SEND] = "send_ns",
	[WS_STAGE_READ] = "read_ns",	 [WS_STAGE_DECODE] = "decode_ns",
	[WS_STAGE_PLUGIN] = "plugin_ns", [WS_STAGE_TAIL] = "tail_ns",
};
static const char *const wait_names[] = { "none", "wal", "socket", "standby" };
static const char *const wl_names[] = { "latch", "socket_readable", "socket_writeable", "timeout",
					"postmaster_death" };

static const struct ws_field turn_fields[] = {
	NAMED(FLAGS, ws_rec_turn, h.flags, "flags", turn_flags),
	NUMBER(TIME, ws_rec_turn, begin_ns, "begin"),
	NUMBER_OR(LSN, ws_rec_turn, lsn_from, "lsn_from", ZERO),
	NUMBER_OR(LSN, ws_rec_turn, lsn_to, "lsn", ZERO),
	{ .name = "stage_ns",
	  .type = WS_FIELD_DURATION,
	  .offset = offsetof(struct ws_rec_turn, stage_ns),
	  .size = sizeof(__u64),
	  .count = WS_STAGE_COUNT,
	  .names = stage_names,
	  .name_count = WS_ARRAY_SIZE(stage_names) },
	NUMBER(UINT, ws_rec_turn, turns, "turns"),
	NUMBER(UINT, ws_rec_turn, sends, "sends"),
	NUMBER(UINT, ws_rec_turn, reads, "reads"),
	NUMBER(UINT, ws_rec_turn, messages, "messages"),
	NUMBER(UINT, ws_rec_turn, message_bytes, "message_bytes"),
	{ .name = "woke",
	  .type = WS_FIELD_FLAGS,
	  PLACE(ws_rec_turn, woke),
	  .names = wl_names,
	  .name_count = WS_ARRAY_SIZE(wl_names),
	  .valid_offset = offsetof(struct ws_rec_turn, h.flags),
	  .valid_size = sizeof(__u16),
	  .valid_mask = WS_TURN_WOKE },
	NAMED(ENUM, ws_rec_turn, wait, "wait", wait_names),
	NAMED(FLAGS, ws_rec_turn, wait_mask, "wait_mask", wl_names),
	NUMBER(UINT, ws_rec_turn, wait_event, "wait_event"),
	NUMBER_OR(INT, ws_rec_turn, timeout_ms, "timeout_ms", MINUS_ONE),
#define REPLY(kind, member, nothing)                                                  \
	{                                                                             \
		.name = #member, .type = WS_FIELD_##kind, PLACE(ws_rec_turn, member), \
		.unknown = WS_UNKNOWN_##nothing,                                      \
		.valid_offset = offsetof(struct ws_rec_turn, h.flags),                \
		.valid_size = sizeof(__u16), .valid_mask = WS_TURN_REPLY              \
	}
	REPLY(LSN, write_lsn, NEVER),
	REPLY(LSN, flush_lsn, NEVER),
	REPLY(LSN, apply_lsn, NEVER),
	REPLY(INT, write_lag_us, MINUS_ONE),
	REPLY(INT, flush_lag_us, MINUS_ONE),
	REPLY(INT, apply_lag_us, MINUS_ONE),
	REPLY(INT, reply_time_us, ZERO),
#undef REPLY
};

static const struct ws_field keepalive_fields[] = {
	NUMBER_OR(LSN, ws_rec_keepalive, lsn, "lsn", ZERO),
	NUMBER(UINT, ws_rec_keepalive, request_reply, "request_reply"),
	RESERVED(ws_rec_keepalive, reserved),
};

static const struct ws_field off_cpu_fields[] = {
	{ .name = "stage_ns",
	  .type = WS_FIELD_DURATION,
	  .offset = offsetof(struct ws_rec_off_cpu, stage_ns),
	  .size = 8,
	  .count = WS_STAGE_COUNT,
	  .names = stage_names,
	  .name_count = WS_ARRAY_SIZE(stage_names) },
};

static const char *const backup_phase_names[] = {
	NULL,		"begin", "checkpoint", "estimate", "stream",
	"wait_archive", "wal",	 "done",       "manifest", "upload",
};

static const struct ws_field backup_fields[] = {
	NAMED(ENUM, ws_rec_backup, phase, "phase", backup_phase_names),
	NUMBER(UINT, ws_rec_backup, chunks, "chunks"),
	NUMBER(UINT, ws_rec_backup, bytes, "sent_bytes"),
	NUMBER(DURATION, ws_rec_backup, send_ns, "send_ns"),
};

static const char *const progress_phase_names[] = {
	[WS_PROGRESS_INITIALIZING] = "initializing", [WS_PROGRESS_CHECKPOINT] = "checkpoint",
	[WS_PROGRESS_ESTIMATE] = "estimate",	     [WS_PROGRESS_STREAM] = "stream",
	[WS_PROGRESS_WAIT_ARCHIVE] = "wait_archive", [WS_PROGRESS_WAL] = "wal",
};
static const char *const progress_valid[] = { "total" };

static const struct ws_field progress_fields[] = {
	NUMBER_IF(UINT, ws_rec_progress, total_bytes, "total_bytes", valid, WS_PROGRESS_TOTAL),
	NUMBER(UINT, ws_rec_progress, streamed_bytes, "streamed_bytes"),
	NAMED(ENUM, ws_rec_progress, phase, "phase", progress_phase_names),
	NUMBER_OR(UINT, ws_rec_progress, tablespaces, "tablespaces", ZERO),
	NUMBER(UINT, ws_rec_progress, tablespaces_done, "tablespaces_streamed"),
	HIDDEN_FLAGS(ws_rec_progress, valid, "valid", progress_valid),
};

static const struct ws_field copy_fields[] = {
	NUMBER(UINT, ws_rec_copy, rows, "rows"),
	NUMBER(UINT, ws_rec_copy, bytes, "bytes"),
};

static const char *const memory_flags[] = { "cut" };
static const char *const memory_valid[] = { "bytes", "reorder", "work_mem", "idents" };

/* Of each name that is told. */
#define EACH(kind, member, json)                                                    \
	{                                                                           \
		.name = json, .type = WS_FIELD_##kind,                              \
		.offset = offsetof(struct ws_rec_memory, member),                   \
		.size = MEMBER_SIZE(ws_rec_memory, member[0]), .count = WS_CONTEXTS \
	}
#define EACH_IF(kind, member, json, bit)                                             \
	{                                                                            \
		.name = json, .type = WS_FIELD_##kind,                               \
		.offset = offsetof(struct ws_rec_memory, member),                    \
		.size = MEMBER_SIZE(ws_rec_memory, member[0]), .count = WS_CONTEXTS, \
		.valid_offset = offsetof(struct ws_rec_memory, valid),               \
		.valid_size = MEMBER_SIZE(ws_rec_memory, valid), .valid_mask = bit   \
	}

static const struct ws_field memory_fields[] = {
#define IF(member, json, bit) NUMBER_IF(UINT, ws_rec_memory, member, json, valid, bit)
	NAMED(FLAGS, ws_rec_memory, h.flags, "flags", memory_flags),
	IF(total_bytes, "total_bytes", WS_MEMORY_BYTES),
	IF(reorder_bytes, "reorder_bytes", WS_MEMORY_REORDER),
	IF(cache_bytes, "cache_bytes", WS_MEMORY_BYTES),
	IF(work_mem_bytes, "work_mem_bytes", WS_MEMORY_WORK_MEM),
	NUMBER(UINT, ws_rec_memory, contexts, "contexts"),
	HIDDEN_FLAGS(ws_rec_memory, valid, "valid", memory_valid),
	EACH_IF(UINT, own, "largest_bytes", WS_MEMORY_BYTES),
	EACH_IF(UINT, whole, "largest_whole_bytes", WS_MEMORY_BYTES),
	EACH(UINT, counts, "largest_counts"),
	EACH(STRING, names, "largest_names"),
	EACH(STRING, parents, "largest_in"),
	EACH_IF(STRING, idents, "largest_idents", WS_MEMORY_IDENTS),
#undef IF
};

static const struct ws_field cgroup_fields[] = {
	NUMBER(UINT, ws_rec_cgroup, quota_us, "quota_us"),
	NUMBER(UINT, ws_rec_cgroup, period_us, "period_us"),
	NUMBER_OR(STRING, ws_rec_cgroup, path, "path", ZERO),
};

static const char *const exit_flags[] = { "socket", "unwatched" };

static const struct ws_field exit_fields[] = {
	NAMED(FLAGS, ws_rec_exit, h.flags, "flags", exit_flags),
	NUMBER(UINT, ws_rec_exit, code, "code"),
	NUMBER_OR(UINT, ws_rec_exit, signal, "signal", ZERO),
	NUMBER(UINT, ws_rec_exit, lost, "lost"),
	NUMBER(UINT, ws_rec_exit, unreadable, "unreadable"),
	NUMBER_IF(UINT, ws_rec_exit, wire_bytes, "wire_bytes", h.flags, WS_EXIT_SOCKET),
	NUMBER_IF(UINT, ws_rec_exit, acked_bytes, "acked_bytes", h.flags, WS_EXIT_SOCKET),
};

static const char *const phase_flags[] = { "cascading" };
static const char *const phase_names[] = { NULL, "auth_begin", "auth_end", "initialized" };

static const struct ws_field phase_fields[] = {
	NAMED(FLAGS, ws_rec_phase, h.flags, "flags", phase_flags),
	NAMED(ENUM, ws_rec_phase, phase, "phase", phase_names),
	RESERVED(ws_rec_phase, reserved),
};

static const char *const text_sum_flags[] = { "hash" };

static const struct ws_field text_sum_fields[] = {
	NAMED(FLAGS, ws_rec_text_sum, h.flags, "flags", text_sum_flags),
	NAMED(ENUM, ws_rec_text_sum, of, "of", text_of_names),
	RESERVED(ws_rec_text_sum, reserved),
	NUMBER(UINT, ws_rec_text_sum, len, "text_bytes"),
	NUMBER_IF(HEX, ws_rec_text_sum, hash, "xxh64", h.flags, WS_TEXT_SUM_HASH),
	HIDDEN_WORDS(ws_rec_text_sum, lanes),
	HIDDEN_WORDS(ws_rec_text_sum, tail),
};

static const struct ws_field message_fields[] = {
	NUMBER(UINT, ws_rec_message, type, "type"),
	RESERVED(ws_rec_message, reserved),
};

static const char *const role_names[] = { "unknown", "kernel", "postmaster", "checkpointer",
					  "backend", "other",  "self" };

static const struct ws_field signal_fields[] = {
	NUMBER(UINT, ws_rec_signal, signal, "signal"),
	NUMBER(UINT, ws_rec_signal, target_pid, "target_pid"),
	{ .name = "target_start_ns",
	  .type = WS_FIELD_UINT,
	  PLACE(ws_rec_signal, target_start_ns),
	  .hidden = true },
	NUMBER_OR(UINT, ws_rec_signal, sender_pid, "sender_pid", ZERO),
	NAMED(ENUM, ws_rec_signal, role, "role", role_names),
	NUMBER_OR(STRING, ws_rec_signal, sender, "sender", ZERO),
};

static const struct ws_field slot_fields[] = {
	NUMBER(UINT, ws_rec_slot, by_pid, "by_pid"),
	RESERVED(ws_rec_slot, reserved),
	NUMBER_OR(STRING, ws_rec_slot, message, "message", ZERO),
};

static const char *const end_cause_names[] = { NULL,	     "not_yet", "normal",
					       "client_eof", "fatal",	"killed" };

static const char *const ending_flags[] = { "muted" };

static const struct ws_field ending_fields[] = {
	NAMED(FLAGS, ws_rec_ending, h.flags, "flags", ending_flags),
	NUMBER(UINT, ws_rec_ending, code, "code"),
	{ .name = "cause",
	  .type = WS_FIELD_ENUM,
	  PLACE(ws_rec_ending, cause),
	  .names = end_cause_names,
	  .name_count = WS_ARRAY_SIZE(end_cause_names),
	  .unknown = WS_UNKNOWN_ZERO },
};

/* enum ws_layout_source of layout.h, which stands below this folder. */
static const char *const layout_names[] = { "none", "dwarf", "table" };

static const struct ws_field server_fields[] = {
	NUMBER_OR(UINT, ws_rec_server, major, "major", ZERO),
	NAMED(ENUM, ws_rec_server, layout, "layout", layout_names),
	NUMBER_OR(STRING, ws_rec_server, version, "version", ZERO),
	NUMBER_OR(STRING, ws_rec_server, build_id, "build_id", ZERO),
	NUMBER_OR(STRING, ws_rec_server, file, "file", ZERO),
	NUMBER_OR(STRING, ws_rec_server, datadir, "datadir", ZERO),
};

static const char *const gap_cause_names[] = {
	NULL,	"ring_full", "sessions_full", "exit_missed",
	"torn", "invalid",   "unwritten",     "unrecorded",
};

static const struct ws_field gap_fields[] = {
	NUMBER(TIME, ws_rec_gap, from_ns, "from"),
	NUMBER(TIME, ws_rec_gap, to_ns, "to"),
	NUMBER_OR(UINT, ws_rec_gap, lost, "lost", ZERO),
	NAMED(ENUM, ws_rec_gap, cause, "cause", gap_cause_names),
	RESERVED(ws_rec_gap, reserved),
};

static const struct ws_field clock_fields[] = {
	NUMBER(INT, ws_rec_clock, wall_ns, "wall_ns"),
	NUMBER(UINT, ws_rec_clock, boot_ns, "boot_ns"),
};

/* By kind; kinds without a name here are none, and are not shown. */
static const char *const stop_kinds[WS_STOP_KINDS] = {
	[WS_KIND_SESSION] = "session",
	[WS_KIND_READY] = "ready",
	[WS_KIND_COMMAND] = "command",
	[WS_KIND_TEXT] = "text",
	[WS_KIND_COMMAND_END] = "command_end",
	[WS_KIND_ERROR] = "error",
	[WS_KIND_STATE] = "state",
	[WS_KIND_STREAM] = "stream",
	[WS_KIND_TURN] = "turn",
	[WS_KIND_KEEPALIVE] = "keepalive",
	[WS_KIND_BACKUP] = "backup",
	[WS_KIND_EXIT] = "exit",
	[WS_KIND_PHASE] = "phase",
	[WS_KIND_TEXT_SUM] = "text_sum",
	[WS_KIND_MESSAGE] = "message",
	[WS_KIND_SIGNAL] = "signal",
	[WS_KIND_SLOT] = "slot",
	[WS_KIND_ENDING] = "ending",
	[WS_KIND_OFF_CPU] = "off_cpu",
	[WS_KIND_TXN] = "txn",
};

static const struct ws_field stop_fields[] = {
	NUMBER(UINT, ws_rec_stop, produced, "produced"),
	NUMBER(UINT, ws_rec_stop, lost, "lost"),
#define BY_KIND(member)                                                                  \
	{                                                                                \
		.name = #member, .type = WS_FIELD_UINT,                                  \
		.offset = offsetof(struct ws_rec_stop, member), .size = sizeof(__u64),   \
		.count = WS_STOP_KINDS, .names = stop_kinds, .name_count = WS_STOP_KINDS \
	}
	BY_KIND(made_of),
	BY_KIND(lost_of),
	BY_KIND(filtered_of),
#undef BY_KIND
};

/* enum of include/net/tcp_states.h, and enum tcp_ca_state of linux/tcp.h */
static const char *const tcp_state_names[] = {
	NULL,	     "established", "syn_sent",	  "syn_recv", "fin_wait1", "fin_wait2",
	"time_wait", "close",	    "close_wait", "last_ack", "listen",	   "closing"
};
static const char *const tcp_timer_names[] = { "none", "retransmit", "persist", "other" };
static const char *const ca_state_names[] = { "open", "disorder", "cwr", "recovery", "loss" };
static const char *const sample_valid[] = {
	"target", "pending", "unix", "throttled", "rss", "delay", "read", "private",
};
static const char *const blocked_names[] = {
	"nothing", "lock",     "client_write", "client_read", "throttle",
	"stopped", "sync_rep", "copydone",     "summary",
};
static const char *const decoding_valid[] = { "read",  "slot", "buffer",   "stats",
					      "times", "txns", "txn_spill" };
static const char *const cluster_flags[] = { "stopping" };
static const char *const cluster_valid[] = { "state",	"sync",	      "names",	    "flush",
					     "standby", "sync_apply", "sync_write", "received" };
static const char *const standby_why_names[] = { NULL, "missing", "logical", "invalid",
						 "inactive" };
static const char *const db_state_names[] = {
	NULL,
	"starting_up",
	"shut_down",
	"shut_down_in_recovery",
	"shutting_down",
	"in_crash_recovery",
	"in_archive_recovery",
	"in_production",
};

static const struct ws_field socket_fields[] = {
	NUMBER(UINT, ws_rec_socket, wire_bytes, "wire_bytes"),
	NUMBER(UINT, ws_rec_socket, acked_bytes, "acked_bytes"),
	NUMBER(UINT, ws_rec_socket, sent_bytes, "sent_bytes"),
	NUMBER(UINT, ws_rec_socket, retrans_bytes, "retrans_bytes"),
	NUMBER(UINT, ws_rec_socket, unsent_bytes, "unsent_bytes"),
	NUMBER(UINT, ws_rec_socket, srtt_us, "srtt_us"),
	NUMBER(UINT, ws_rec_socket, busy_us, "busy_us"),
	NUMBER(UINT, ws_rec_socket, rwnd_limited_us, "rwnd_limited_us"),
	NUMBER(UINT, ws_rec_socket, sndbuf_limited_us, "sndbuf_limited_us"),
	NUMBER(UINT, ws_rec_socket, ack_age_us, "ack_age_us"),
	NUMBER(UINT, ws_rec_socket, in_flight_bytes, "in_flight_bytes"),
	NUMBER_OR(UINT, ws_rec_socket, min_rtt_us, "min_rtt_us", ZERO),
	NUMBER(UINT, ws_rec_socket, rto_us, "rto_us"),
	NUMBER(UINT, ws_rec_socket, window_bytes, "window_bytes"),
	NUMBER(UINT, ws_rec_socket, mss_bytes, "mss_bytes"),
	NUMBER(UINT, ws_rec_socket, cwnd, "cwnd"),
	NUMBER(UINT, ws_rec_socket, in_flight_packets, "in_flight_packets"),
	NUMBER(UINT, ws_rec_socket, total_retrans, "total_retrans"),
	NUMBER(UINT, ws_rec_socket, sndbuf_bytes, "sndbuf_bytes"),
	NUMBER(UINT, ws_rec_socket, queued_bytes, "queued_bytes"),
	NAMED_OR_ZERO(ENUM, ws_rec_socket, tcp_state, "tcp_state", tcp_state_names),
	NAMED(ENUM, ws_rec_socket, timer, "timer", tcp_timer_names),
	NUMBER(UINT, ws_rec_socket, backoff, "backoff"),
	NUMBER(UINT, ws_rec_socket, retransmits, "retransmits"),
	NUMBER(UINT, ws_rec_socket, probes, "probes"),
	NAMED(ENUM, ws_rec_socket, ca_state, "ca_state", ca_state_names),
	RESERVED(ws_rec_socket, reserved),
};

static const struct ws_field sample_fields[] = {
	NUMBER(DURATION, ws_rec_sample, run_ns, "run_ns"),
	NUMBER_IF(DURATION, ws_rec_sample, run_delay_ns, "run_delay_ns", valid, WS_SAMPLE_DELAY),
	NUMBER_IF(UINT, ws_rec_sample, read_bytes, "read_bytes", valid, WS_SAMPLE_READ),
	NUMBER_IF(DURATION, ws_rec_sample, throttled_ns, "throttled_ns", valid,
		  WS_SAMPLE_THROTTLED),
	NUMBER_IF(LSN, ws_rec_sample, target_lsn, "target_lsn", valid, WS_SAMPLE_TARGET),
	NUMBER_IF(UINT, ws_rec_sample, rss_bytes, "rss_bytes", valid, WS_SAMPLE_RSS),
	NUMBER_IF(UINT, ws_rec_sample, pending_bytes, "pending_bytes", valid, WS_SAMPLE_PENDING),
	NUMBER_IF(UINT, ws_rec_sample, unix_queued_bytes, "unix_queued_bytes", valid,
		  WS_SAMPLE_UNIX),
	NUMBER_IF(UINT, ws_rec_sample, unix_sndbuf_bytes, "unix_sndbuf_bytes", valid,
		  WS_SAMPLE_UNIX),
	NUMBER_IF(UINT, ws_rec_sample, unix_packets, "unix_packets", valid, WS_SAMPLE_UNIX),
	HIDDEN_FLAGS(ws_rec_sample, valid, "valid", sample_valid),
	NUMBER(UINT, ws_rec_sample, task_state, "task_state"),
	RESERVED(ws_rec_sample, reserved),
	RESERVED(ws_rec_sample, reserved2),
	NUMBER_IF(UINT, ws_rec_sample, private_bytes, "private_bytes", valid, WS_SAMPLE_PRIVATE),
};

static const struct ws_field blocked_fields[] = {
	NAMED(ENUM, ws_rec_blocked, on, "on", blocked_names),
	NUMBER(UINT, ws_rec_blocked, wait_event, "wait_event"),
	NUMBER_OR(TIME, ws_rec_blocked, since_ns, "since", ZERO),
	NUMBER_OR(UINT, ws_rec_blocked, xid, "xid", ZERO),
	NUMBER_OR(UINT, ws_rec_blocked, holder_pid, "holder_pid", ZERO),
};

static const char *const open_flags[] = { "spilled", "streamed", "output", "prepared" };
static const char *const txn_flags[] = { "spilled", "streamed", "known", NULL, "spill_told" };
static const char *const txn_end_names[] = {
	NULL, "commit", "prepare", "commit_prepared", "rollback_prepared", "abort", "piece",
};
static const char *const snapshot_names[] = { NULL, "start", "building", "full", "consistent" };

static const struct ws_field decoding_fields[] = {
#define IF(kind, member, json, bit) NUMBER_IF(kind, ws_rec_decoding, member, json, valid, bit)
	IF(LSN, read_lsn, "lsn", WS_DECODING_READ),
	IF(LSN, restart_lsn, "restart_lsn", WS_DECODING_SLOT),
	IF(LSN, confirmed_lsn, "confirmed_lsn", WS_DECODING_SLOT),
	IF(UINT, buffer_bytes, "buffer_bytes", WS_DECODING_BUFFER),
	IF(UINT, spill_txns, "spill_txns", WS_DECODING_STATS),
	IF(UINT, spill_count, "spill_count", WS_DECODING_STATS),
	IF(UINT, spill_bytes, "spill_bytes", WS_DECODING_STATS),
	IF(UINT, stream_txns, "stream_txns", WS_DECODING_STATS),
	IF(UINT, stream_count, "stream_count", WS_DECODING_STATS),
	IF(UINT, stream_bytes, "stream_bytes", WS_DECODING_STATS),
	IF(UINT, txn_spill_bytes, "txn_spill_bytes", WS_DECODING_TXN_SPILL),
	RESERVED(ws_rec_decoding, reserved),
	IF(UINT, catalog_xmin, "catalog_xmin", WS_DECODING_SLOT),
	HIDDEN_FLAGS(ws_rec_decoding, valid, "valid", decoding_valid),
	NUMBER_OR(LSN, ws_rec_decoding, candidate_lsn, "candidate_lsn", ZERO),
	IF(DURATION, spill_ns, "spill_ns", WS_DECODING_TIMES),
	IF(DURATION, restore_ns, "restore_ns", WS_DECODING_TIMES),
	NUMBER_OR(LSN, ws_rec_decoding, oldest_lsn, "oldest_lsn", ZERO),
	NUMBER_OR(LSN, ws_rec_decoding, txn_first_lsn, "txn_first_lsn", ZERO),
	NUMBER_OR(LSN, ws_rec_decoding, txn_end_lsn, "txn_end_lsn", ZERO),
	NUMBER_OR(LSN, ws_rec_decoding, txn_at_lsn, "txn_at_lsn", ZERO),
	IF(UINT, txn_changes, "txn_changes", WS_DECODING_TXNS),
	IF(UINT, txn_bytes, "txn_bytes", WS_DECODING_TXNS),
	NUMBER_OR(UINT, ws_rec_decoding, txn_xid, "txn_xid", ZERO),
	NAMED(FLAGS, ws_rec_decoding, txn_flags, "txn_flags", open_flags),
	NUMBER_OR(UINT, ws_rec_decoding, oldest_xid, "oldest_xid", ZERO),
	IF(UINT, open_txns, "open_txns", WS_DECODING_TXNS),
	NAMED_OR_ZERO(ENUM, ws_rec_decoding, snapshot, "snapshot", snapshot_names),
	NUMBER_OR(UINT, ws_rec_decoding, output_xid, "output_xid", ZERO),
	NUMBER_OR(UINT, ws_rec_decoding, txn_subtxns, "txn_subtxns", ZERO),
	RESERVED(ws_rec_decoding, reserved3),
#undef IF
};

static const struct ws_field txn_fields[] = {
#define IF(kind, member, json) NUMBER_IF(kind, ws_rec_txn, member, json, h.flags, WS_TXN_KNOWN)
	NAMED(FLAGS, ws_rec_txn, h.flags, "flags", txn_flags),
	NUMBER(TIME, ws_rec_txn, begin_ns, "begin"),
	IF(LSN, first_lsn, "first_lsn"),
	NUMBER_OR(LSN, ws_rec_txn, commit_lsn, "lsn", ZERO),
	IF(UINT, changes, "changes"),
	IF(UINT, bytes, "bytes"),
	NUMBER(UINT, ws_rec_txn, message_bytes, "message_bytes"),
	NUMBER(DURATION, ws_rec_txn, restore_ns, "restore_ns"),
	NUMBER(UINT, ws_rec_txn, messages, "messages"),
	NUMBER(UINT, ws_rec_txn, xid, "xid"),
	NAMED_OR_ZERO(ENUM, ws_rec_txn, end, "end", txn_end_names),
	IF(UINT, subtxns, "subtransactions"),
	NUMBER_IF(UINT, ws_rec_txn, spill_bytes, "spill_bytes", h.flags, WS_TXN_SPILL_TOLD),
	NUMBER_IF(DURATION, ws_rec_txn, spill_ns, "spill_ns", h.flags, WS_TXN_SPILL_TOLD),
#undef IF
};

static const char *const holder_names[] = { "nobody", "process", "prepared" };

static const char *const holder_whys[] = { "slot", "awaited" };

static const struct ws_field holder_fields[] = {
	NUMBER_OR(LSN, ws_rec_holder, first_lsn, "lsn", ZERO),
	NUMBER_OR(TIME, ws_rec_holder, since_ns, "since", ZERO),
	NUMBER_OR(UINT, ws_rec_holder, xid, "xid", ZERO),
	NAMED(ENUM, ws_rec_holder, what, "what", holder_names),
	NUMBER_OR(UINT, ws_rec_holder, holder_pid, "holder_pid", ZERO),
	NAMED(ENUM, ws_rec_holder, why, "why", holder_whys),
	NUMBER_OR(STRING, ws_rec_holder, user, "user", ZERO),
	NUMBER_OR(STRING, ws_rec_holder, database, "database", ZERO),
	NUMBER_OR(STRING, ws_rec_holder, application, "application", ZERO),
	NUMBER_OR(STRING, ws_rec_holder, gid, "gid", ZERO),
};

static const char *const walreceiver_names[] = { NULL, "none", "runs", "stopped" };

static const struct ws_field cluster_fields[] = {
	NAMED(FLAGS, ws_rec_cluster, h.flags, "flags", cluster_flags),
	NUMBER_IF(LSN, ws_rec_cluster, flush_lsn, "lsn", valid, WS_CLUSTER_FLUSH),
	NAMED_OR_ZERO(ENUM, ws_rec_cluster, db_state, "db_state", db_state_names),
	NUMBER_IF(UINT, ws_rec_cluster, sync_waiters, "sync_waiters", valid, WS_CLUSTER_SYNC),
	NUMBER_IF(UINT, ws_rec_cluster, sync_walsenders, "sync_walsenders", valid, WS_CLUSTER_SYNC),
	HIDDEN_FLAGS(ws_rec_cluster, valid, "valid", cluster_valid),
	NAMED_OR_ZERO(ENUM, ws_rec_cluster, walreceiver, "walreceiver", walreceiver_names),
	NUMBER_IF(UINT, ws_rec_cluster, sync_apply, "sync_apply_waiters", valid,
		  WS_CLUSTER_SYNC_APPLY),
	NUMBER_IF(STRING, ws_rec_cluster, sync_names, "sync_names", valid, WS_CLUSTER_NAMES),
	NUMBER_OR(LSN, ws_rec_cluster, standby_lsn, "standby_slot_lsn", ZERO),
	{ .name = "standby_slot_problem",
	  .type = WS_FIELD_ENUM,
	  PLACE(ws_rec_cluster, standby_why),
	  .names = standby_why_names,
	  .name_count = WS_ARRAY_SIZE(standby_why_names),
	  .unknown = WS_UNKNOWN_ZERO },
	NUMBER_IF(UINT, ws_rec_cluster, sync_write, "sync_write_waiters", valid,
		  WS_CLUSTER_SYNC_WRITE),
	NUMBER_IF(STRING, ws_rec_cluster, standby_slot, "standby_slot", valid,
		  WS_CLUSTER_STANDBY_SLOT),
};

static const struct ws_field note_fields[] = {
	{ .name = "text", .type = WS_FIELD_TEXT, .offset = sizeof(struct ws_rec_note), .count = 1 },
};

#define FIELDS(list) .fields = list, .field_count = WS_ARRAY_SIZE(list)
/* One size, or two where the end of the record may be missing. */
#define SIZE(n)	    .min_size = n, .max_size = n, .sizes = { n, 0 }
#define SIZES(a, b) .min_size = a, .max_size = b, .sizes = { a, b }

static const struct ws_kind_info kinds[] = {
	{ .kind = WS_KIND_SESSION,
	  .name = "session",
	  .help = "a walsender was seen: it began, or was found running",
	  SIZE(sizeof(struct ws_rec_session)),
	  FIELDS(session_fields) },
	{ .kind = WS_KIND_READY,
	  .name = "ready",
	  .help = "the client is authenticated, the walsender takes commands",
	  SIZE(sizeof(struct ws_rec_ready)) },
	{ .kind = WS_KIND_COMMAND,
	  .name = "command",
	  .help = "a replication command came in; its text follows",
	  SIZE(sizeof(struct ws_rec_command)),
	  FIELDS(command_fields) },
	{ .kind = WS_KIND_TEXT,
	  .name = "text",
	  .help = "a piece of a command's or an error's text",
	  .min_size = sizeof(struct ws_rec_text),
	  .max_size = sizeof(struct ws_rec_text) + WS_TEXT_CHUNK,
	  FIELDS(text_fields) },
	{ .kind = WS_KIND_COMMAND_END,
	  .name = "command_end",
	  .help = "a command returned, turned out to be SQL, or that SQL ended",
	  SIZE(sizeof(struct ws_rec_command_end)),
	  FIELDS(command_end_fields) },
	{ .kind = WS_KIND_ERROR,
	  .name = "error",
	  .help = "an ERROR, FATAL or COMMERROR; its message follows",
	  SIZES(WS_ERROR_WIRE_SIZE, sizeof(struct ws_rec_error)),
	  FIELDS(error_fields) },
	{ .kind = WS_KIND_STATE,
	  .name = "state",
	  .help = "the walsender's own state changed",
	  SIZE(sizeof(struct ws_rec_state)),
	  FIELDS(state_fields) },
	{ .kind = WS_KIND_STREAM,
	  .name = "stream",
	  .help = "the send loop was entered",
	  SIZE(sizeof(struct ws_rec_stream)),
	  FIELDS(stream_fields) },
	{ .kind = WS_KIND_TURN,
	  .name = "turn",
	  .help = "one turn of the send loop, or several quiet ones",
	  SIZES(WS_TURN_SHORT_SIZE, sizeof(struct ws_rec_turn)),
	  FIELDS(turn_fields) },
	{ .kind = WS_KIND_KEEPALIVE,
	  .name = "keepalive",
	  .help = "the walsender sent a keepalive",
	  SIZE(sizeof(struct ws_rec_keepalive)),
	  FIELDS(keepalive_fields) },
	{ .kind = WS_KIND_BACKUP,
	  .name = "backup",
	  .help = "BASE_BACKUP entered another phase, or went on streaming",
	  SIZE(sizeof(struct ws_rec_backup)),
	  FIELDS(backup_fields) },
	{ .kind = WS_KIND_EXIT,
	  .name = "exit",
	  .help = "the process ended",
	  SIZES(WS_EXIT_SHORT_SIZE, sizeof(struct ws_rec_exit)),
	  FIELDS(exit_fields) },
	{ .kind = WS_KIND_PHASE,
	  .name = "phase",
	  .help = "the start of a session came further",
	  SIZE(sizeof(struct ws_rec_phase)),
	  FIELDS(phase_fields) },
	{ .kind = WS_KIND_TEXT_SUM,
	  .name = "text_sum",
	  .help = "true length and hash of a text that is cut",
	  SIZES(WS_TEXT_SUM_SIZE, sizeof(struct ws_rec_text_sum)),
	  FIELDS(text_sum_fields) },
	{ .kind = WS_KIND_MESSAGE,
	  .name = "message",
	  .help = "a protocol message came in that walsenders refuse",
	  SIZE(sizeof(struct ws_rec_message)),
	  FIELDS(message_fields) },
	{ .kind = WS_KIND_SIGNAL,
	  .name = "signal",
	  .help = "a signal that ends, stops or continues was sent to a walsender or a postmaster",
	  SIZE(sizeof(struct ws_rec_signal)),
	  FIELDS(signal_fields) },
	{ .kind = WS_KIND_SLOT,
	  .name = "slot",
	  .help = "the server reports that it takes a replication slot away",
	  SIZE(sizeof(struct ws_rec_slot)),
	  FIELDS(slot_fields) },
	{ .kind = WS_KIND_ENDING,
	  .name = "ending",
	  .help = "the walsender is about to exit",
	  SIZE(sizeof(struct ws_rec_ending)),
	  FIELDS(ending_fields) },
	{ .kind = WS_KIND_OFF_CPU,
	  .name = "off_cpu",
	  .help = "how long the session could run, and waited for a CPU",
	  SIZE(sizeof(struct ws_rec_off_cpu)),
	  FIELDS(off_cpu_fields) },
	{ .kind = WS_KIND_TXN,
	  .name = "txn",
	  .help = "a transaction was decoded to its end, or a piece of one was handed out",
	  SIZES(WS_TXN_SHORT_SIZE, sizeof(struct ws_rec_txn)),
	  FIELDS(txn_fields) },
	{ .kind = WS_KIND_SERVER,
	  .name = "server",
	  .help = "a server binary and its postmaster",
	  SIZE(sizeof(struct ws_rec_server)),
	  FIELDS(server_fields) },
	{ .kind = WS_KIND_GAP,
	  .name = "gap",
	  .help = "events known to be missing",
	  SIZE(sizeof(struct ws_rec_gap)),
	  FIELDS(gap_fields) },
	{ .kind = WS_KIND_CLOCK,
	  .name = "clock",
	  .help = "the clocks at one moment",
	  SIZE(sizeof(struct ws_rec_clock)),
	  FIELDS(clock_fields) },
	{ .kind = WS_KIND_STOP,
	  .name = "stop",
	  .help = "the recording ended in good order",
	  SIZES(WS_STOP_SHORT_SIZE, sizeof(struct ws_rec_stop)),
	  FIELDS(stop_fields) },
	{ .kind = WS_KIND_NOTE,
	  .name = "note",
	  .help = "something the collector wants kept",
	  .min_size = sizeof(struct ws_rec_note) + 1,
	  .max_size = WS_REC_SIZE_MAX,
	  FIELDS(note_fields) },
	{ .kind = WS_KIND_SOCKET,
	  .name = "socket",
	  .help = "the counters of a session's TCP socket",
	  SIZES(WS_SOCKET_SHORT_SIZE, sizeof(struct ws_rec_socket)),
	  FIELDS(socket_fields) },
	{ .kind = WS_KIND_SAMPLE,
	  .name = "sample",
	  .help = "what scheduler, memory and storage say of a session's process",
	  SIZES(WS_SAMPLE_SHORT_SIZE, sizeof(struct ws_rec_sample)),
	  FIELDS(sample_fields) },
	{ .kind = WS_KIND_BLOCKED,
	  .name = "blocked",
	  .help = "a session waits for what no probe shows, or does so no more",
	  SIZE(sizeof(struct ws_rec_blocked)),
	  FIELDS(blocked_fields) },
	{ .kind = WS_KIND_DECODING,
	  .name = "decoding",
	  .help = "how far a logical session has decoded, and what it holds",
	  SIZES(WS_DECODING_SHORT_SIZE, sizeof(struct ws_rec_decoding)),
	  FIELDS(decoding_fields) },
	{ .kind = WS_KIND_CLUSTER,
	  .name = "cluster",
	  .help = "a server's state, and who waits for synchronous replication",
	  SIZES(WS_CLUSTER_SHORT_SIZE, sizeof(struct ws_rec_cluster)),
	  FIELDS(cluster_fields) },
	{ .kind = WS_KIND_PROGRESS,
	  .name = "progress",
	  .help = "how far a backup is, as the server says",
	  SIZE(sizeof(struct ws_rec_progress)),
	  FIELDS(progress_fields) },
	{ .kind = WS_KIND_CGROUP,
	  .name = "cgroup",
	  .help = "the CPU quota of a session's process",
	  SIZE(sizeof(struct ws_rec_cgroup)),
	  FIELDS(cgroup_fields) },
	{ .kind = WS_KIND_HOLDER,
	  .name = "holder",
	  .help = "whose transaction holds a logical session's slot back, or is waited for",
	  SIZE(sizeof(struct ws_rec_holder)),
	  FIELDS(holder_fields) },
	{ .kind = WS_KIND_COPY,
	  .name = "copy",
	  .help = "how far a COPY is, as the server says",
	  SIZE(sizeof(struct ws_rec_copy)),
	  FIELDS(copy_fields) },
	{ .kind = WS_KIND_MEMORY,
	  .name = "memory",
	  .help = "the memory contexts of a session's process",
	  SIZE(sizeof(struct ws_rec_memory)),
	  FIELDS(memory_fields) },
};

/* Of which kinds: bits would not reach. */
static bool has_server(uint16_t kind)
{
	return kind == WS_KIND_SESSION || kind == WS_KIND_SERVER || kind == WS_KIND_CLUSTER;
}

const struct ws_field *ws_head_field(uint16_t kind, enum ws_head_field which)
{
	static const struct ws_field fields[] = {
		[WS_HEAD_MONO] = NUMBER_OR(UINT, ws_rec, time_ns, "mono_ns", ZERO),
		[WS_HEAD_START] = NUMBER_OR(UINT, ws_rec, start_ns, "start_ns", ZERO),
		[WS_HEAD_SERVER] = NUMBER_OR(UINT, ws_rec, server, "server", ZERO),
	};

	if ((which == WS_HEAD_START && kind != WS_KIND_SESSION) ||
	    (which == WS_HEAD_SERVER && !has_server(kind)))
		return NULL;
	return which < WS_HEAD_COUNT ? &fields[which] : NULL;
}

const struct ws_kind_info *ws_kinds(size_t *count)
{
	*count = WS_ARRAY_SIZE(kinds);
	return kinds;
}

const struct ws_kind_info *ws_kind_info(uint16_t kind)
{
	/* The collector's kinds follow the kernel's in the table, without holes on either side. */
	if (kind >= WS_KIND_SESSION && kind <= WS_KIND_KERNEL_LAST)
		return &kinds[kind - WS_KIND_SESSION];
	if (kind >= WS_KIND_SERVER && kind <= WS_KIND_COLLECTOR_LAST)
		return &kinds[WS_KIND_KERNEL_LAST - WS_KIND_SESSION + 1 + kind - WS_KIND_SERVER];
	return NULL;
}

bool ws_rec_complete(const struct ws_rec *rec)
{
	const struct ws_kind_info *info = ws_kind_info(rec->kind);

	return info && rec->size >= info->min_size;
}

const struct ws_kind_info *ws_kind_by_name(const char *name)
{
	size_t i;

	for (i = 0; i < WS_ARRAY_SIZE(kinds); i++) {
		if (!strcmp(kinds[i].name, name))
			return &kinds[i];
	}
	return NULL;
}
