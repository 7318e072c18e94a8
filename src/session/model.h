/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * model.h: what happened in every walsender session, out of a stream of records. Live and replayed
 * records take the same way. Memory is bound by the number of sessions, not of events: finished
 * segments and commands are handed to an observer and forgotten.
 */
#ifndef WS_SESSION_MODEL_H
#define WS_SESSION_MODEL_H

#include <stdbool.h>

#include "base/text.h"
#include "stats/hist.h"
#include "wire.h"

/* What a session is doing, one at a time; names and meanings: the design's list of states. */
enum ws_state {
	WS_STATE_UNKNOWN = 0,
	WS_STATE_STARTING,
	WS_STATE_IDLE,
	WS_STATE_COMMAND,
	WS_STATE_SQL,
	WS_STATE_WAIT_WAL,
	WS_STATE_READ_WAL,
	WS_STATE_DECODE,
	WS_STATE_OUTPUT_PLUGIN,
	WS_STATE_SEND,
	WS_STATE_SEND_BLOCKED,
	WS_STATE_RECV_BLOCKED,
	WS_STATE_WAIT_STANDBY,
	WS_STATE_WAIT_COPYDONE,
	WS_STATE_WAIT_LOCK,
	WS_STATE_REPLY,
	WS_STATE_BACKUP_CHECKPOINT,
	WS_STATE_BACKUP_ESTIMATE,
	WS_STATE_BACKUP_READ,
	WS_STATE_BACKUP_SEND,
	WS_STATE_BACKUP_THROTTLED,
	WS_STATE_BACKUP_WAIT_ARCHIVE,
	WS_STATE_BACKUP_WAL,
	WS_STATE_BACKUP_MANIFEST,
	WS_STATE_STOPPING,
	WS_STATE_EXITING,
	WS_STATE_OFF_CPU,
	WS_STATE_STOPPED,
	WS_STATE_LOST,
	WS_STATE_COUNT,
};
const char *ws_state_name(enum ws_state state); /* "wait_wal" */

/*
 * Histograms of a session. decode_ns is per call of XLogSendLogical, below level 3 per page of WAL
 * it reads, and output_plugin_ns per message, averaged over those of one record. One table
 * (metrics.c) says for each its name, unit, and the sites that begin and end what it measures.
 */
enum ws_metric {
	WS_METRIC_SEND_NS = 0,
	WS_METRIC_WAIT_WAL_NS,
	WS_METRIC_SEND_BLOCKED_NS,
	WS_METRIC_READ_WAL_NS,
	WS_METRIC_REPLY_INTERVAL_NS,
	WS_METRIC_WRITE_LAG_NS,
	WS_METRIC_FLUSH_LAG_NS,
	WS_METRIC_APPLY_LAG_NS,
	WS_METRIC_SEND_BYTES,
	WS_METRIC_COMMAND_NS,
	WS_METRIC_DECODE_NS,
	WS_METRIC_OUTPUT_PLUGIN_NS,
	WS_METRIC_WAKEUP_TO_SEND_NS,
	WS_METRIC_COUNT,
};
struct ws_metric_info {
	const char *name;	 /* "send_ns" */
	const char *unit;	 /* "ns", "bytes" */
	int level;		 /* needs at least this recording level */
	const char *begin, *end; /* sites, by name, or the tracepoint of the scheduler */
	const char *help;
};
const struct ws_metric_info *ws_metric_info(enum ws_metric metric);

enum ws_session_kind {
	WS_SESSION_KIND_UNKNOWN = 0, /* no command yet told */
	WS_SESSION_KIND_PHYSICAL,
	WS_SESSION_KIND_LOGICAL,
	WS_SESSION_KIND_BACKUP,
	WS_SESSION_KIND_SQL, /* plain SQL on a database walsender */
};
const char *ws_session_kind_name(enum ws_session_kind kind); /* "physical", NULL for unknown */

/* Which program the client is (client.c says by what). */
enum ws_program {
	WS_PROGRAM_UNKNOWN = 0, /* nothing known yet */
	WS_PROGRAM_WALRECEIVER,
	WS_PROGRAM_CASCADING_STANDBY, /* a walreceiver served by a server that is a standby itself
				       */
	WS_PROGRAM_PG_RECEIVEWAL,
	WS_PROGRAM_PG_RECVLOGICAL,
	WS_PROGRAM_PG_BASEBACKUP,
	WS_PROGRAM_APPLY_WORKER,
	WS_PROGRAM_TABLESYNC_WORKER,
	WS_PROGRAM_PSQL,
	WS_PROGRAM_OTHER,
};
const char *ws_program_name(enum ws_program program); /* "walreceiver", NULL for unknown */

enum ws_exit_reason {
	WS_END_NONE = 0, /* still running, or not known to have ended */
	WS_END_CLIENT_TERMINATED,
	WS_END_CLIENT_EOF,
	WS_END_CONNECTION_LOST,
	WS_END_REPLICATION_TIMEOUT,
	WS_END_ADMIN_TERMINATED,
	WS_END_SLOT_RELEASED,
	WS_END_SLOT_INVALIDATED,
	WS_END_SHUTDOWN,
	WS_END_CRASH_RESTART,
	WS_END_POSTMASTER_DEATH,
	WS_END_FATAL,
	WS_END_REFUSED,
	WS_END_KILLED,
	WS_END_UNKNOWN,
};
const char *
ws_exit_reason_name(enum ws_exit_reason reason); /* "client_terminated", NULL for none */

enum ws_outcome { WS_OUTCOME_RUNNING = 0, WS_OUTCOME_OK, WS_OUTCOME_ERROR, WS_OUTCOME_LOST };
const char *ws_outcome_name(enum ws_outcome outcome); /* "ok", ... */

/* What the server's log says in front of a message: "FATAL"; a COMMERROR is a LOG there. NULL:
 * none. */
const char *ws_severity_name(enum ws_elevel elevel);

/* What is known of a text that was not kept whole. */
struct ws_text_sum {
	bool has_bytes, has_hash;
	uint64_t bytes; /* of the whole text */
	uint64_t xxh64; /* of the whole text, seed 0 */
};

/* One command of a session, or an error outside any. Pointers live during the observer's call. */
struct ws_command {
	uint32_t seq;	  /* from 1 on within the session */
	const char *text; /* NULL if it could not be read at all */
	size_t text_len;
	bool truncated;
	struct ws_text_sum sum; /* its true length, also of a whole text; a hash if truncated */
	/* "START_REPLICATION", ...: the first keyword, upper case; "SQL" once the server took it
	 * for SQL; NULL if not known */
	const char *kind;
	uint64_t start_ns; /* 0 if it already ran when walscope attached, or its start was lost */
	uint64_t end_ns;   /* 0 while running; of a lost one: when it was last known to run */
	enum ws_outcome outcome;
	char sqlstate[6]; /* "" without error */
	/* NULL without error. The server's, or in words of our own how the process took the command
	 * with it ("the process was ended by SIGKILL"): then sqlstate is "". */
	const char *message;
	bool message_truncated;
	struct ws_text_sum message_sum;
	const char *location;  /* "function, file:line" as psql prints it, NULL if not known */
	enum ws_elevel elevel; /* of the error; 0: none, or none of the server's */
	bool outside;	       /* no command: an error that came up between commands */
	uint8_t message_type;  /* of such an error, the protocol message it refuses; 0: not known */
};
/* "Parse" for 'P'; NULL for a byte that names none of those a walsender refuses. */
const char *ws_message_type_name(uint8_t type);

/* An error as psql's VERBOSITY verbose shows it. Its strings live as long as the model. */
struct ws_report {
	enum ws_elevel elevel;
	const char *sqlstate, *message, *location; /* NULL: not known */
	bool truncated;				   /* the message */
	struct ws_text_sum sum;
};

/* The phases of a session's start, in their order; together they are the time from the fork to the
 * first command. */
enum ws_start_phase {
	WS_START_PACKET = 0,	/* fork to start-up packet, with the TLS handshake */
	WS_START_AUTH,		/* ClientAuthentication */
	WS_START_POSTGRES,	/* InitPostgres without it */
	WS_START_WALSENDER,	/* InitWalSender */
	WS_START_FIRST_COMMAND, /* waiting for the first command */
	WS_START_COUNT,
};

/* What a standby confirms. */
enum ws_lag { WS_LAG_WRITE = 0, WS_LAG_FLUSH, WS_LAG_APPLY, WS_LAG_COUNT };

/* A stretch of one state. */
struct ws_segment {
	enum ws_state state;
	uint64_t start_ns, end_ns;
	uint64_t lsn_from, lsn_to; /* 0: not known; sentPtr at its start and end */
	uint64_t bytes;		   /* WAL bytes sent, or backup bytes, in it */
	bool bytes_unknown;	   /* it streamed, and nothing says how much (level 1) */
	const char *detail;	   /* for people, NULL for none; lives during the observer's call */
};

/* A signal that the process was sent. */
struct ws_signal_by {
	uint32_t signal; /* 0: none is known */
	uint32_t pid;	 /* of the sender, 0: the kernel */
	enum ws_signal_role role;
	char name[16]; /* the sender's */
};
const char *ws_signal_role_name(enum ws_signal_role role); /* "checkpointer", NULL for unknown */

/* How far the session's backup is, the last one if there were several. */
struct ws_backup {
	uint32_t phase;	   /* enum ws_backup_phase, 0 once the command is over */
	bool has_progress; /* the server was asked: tablespaces are known */
	bool has_total;	   /* no: not asked, or --no-estimate-size */
	bool has_streamed, has_left;
	uint64_t total_bytes, streamed_bytes; /* before compression by the server, where it says */
	uint32_t tablespaces, tablespaces_done;
	uint64_t rate;		 /* bytes per second while files are streamed, 0: not known */
	uint64_t left_ns;	 /* until all files are streamed, at that rate */
	uint64_t wal_bytes;	 /* sent behind the files (pg_basebackup -X fetch) */
	uint64_t uploaded_bytes; /* of the manifest that an incremental backup follows */
};

/* How a session stood at a moment, by the records up to there. */
struct ws_standing {
	enum ws_state state;
	uint64_t state_since_ns;
	enum ws_walsnd_state walsnd_state;
	uint64_t sent_lsn, write_lsn, flush_lsn;
	bool has_backup;
	struct ws_backup backup;
};

struct ws_session {
	uint32_t pid, ns_pid, postmaster_pid;
	uint64_t start_ns; /* start_boottime of the task: identity */
	uint16_t server;
	bool was_running;  /* already ran when walscope attached */
	bool logged;	   /* told by a server's log: its states are not known */
	bool database;	   /* replication=database */
	bool has_database; /* `database` is known */
	bool cascading;	   /* the server is a standby itself */
	uint32_t valid;	   /* enum ws_session_valid */
	char user[WS_NAME_LEN], database_name[WS_NAME_LEN], application[WS_NAME_LEN];
	char host[WS_HOST_LEN], slot[WS_NAME_LEN];
	uint16_t port;
	bool tls; /* for WS_VALID_TLS */
	enum ws_session_kind kind;
	enum ws_program program;
	uint32_t partner_pid;	   /* the other session of the same pg_basebackup, 0 for none */
	uint64_t partner_start_ns; /* likewise */

	/* 0: not seen */
	uint64_t fork_ns, first_seen_ns, ready_ns, first_command_ns;
	uint64_t packet_ns, auth_begin_ns, auth_end_ns, initialized_ns;
	uint64_t end_ns; /* 0 while running */
	enum ws_exit_reason exit_reason;
	int exit_code, exit_signal;    /* -1: not known; signal 0: none */
	struct ws_signal_by signal_by; /* that ended it, as far as `exit_reason` is of a signal */

	uint64_t events, lost;
	uint32_t commands;
	uint64_t wal_bytes;
	bool has_wal_bytes; /* it streamed, and turns told how much (level 2) */
	uint64_t backup_bytes;
	/* Handed to the TCP socket, and confirmed by the peer's TCP. Of a session that already ran:
	 * since it was found. */
	uint64_t wire_bytes, acked_bytes;
	bool has_wire_bytes;
	/* Memory of its own, neither files' nor shared: when first seen, most, and last. */
	bool has_memory;
	uint64_t memory_first, memory_peak, memory_bytes;
	/* XLogData messages: physical ones from level 2 on, logical ones at level 3. */
	uint64_t sends;
	bool has_sends;

	enum ws_state state; /* now */
	uint64_t state_since_ns;
	uint64_t state_ns[WS_STATE_COUNT];
	/* Since it last had nothing to do, or was kept from it by other things than a full socket,
	 * as far as that lies in the window: how long, and for how much of that the socket was
	 * full. */
	uint64_t work_ns, work_blocked_ns;
	enum ws_walsnd_state walsnd_state;
	uint64_t sent_lsn, write_lsn, flush_lsn, apply_lsn;
	/* From sending the position confirmed last to its confirmation; for bits of has_lag. */
	uint64_t lag_ns[WS_LAG_COUNT];
	uint32_t has_lag; /* 1 << enum ws_lag */
	struct ws_hist hist[WS_METRIC_COUNT];
	/* Where the window ends; without an end of it, where the stream does (from
	 * ws_model_finish on). */
	struct ws_standing standing;
	void *impl; /* the machine's own */
	/* Where the states begin: fork_ns, or where the session was first seen if it already ran or
	 * its start was lost. The states add up to end_ns - begin_ns. */
	uint64_t begin_ns;
	uint64_t accounted_ns; /* up to where state_ns counts; `state` goes on from here */
};

/* Any function may be NULL. */
struct ws_observer {
	void *arg;
	void (*segment)(void *arg, const struct ws_session *session,
			const struct ws_segment *segment);
	/* When a command ends, and for those still running when the model is finished. An ERROR or
	 * FATAL outside any command (a message refused with 08P01, a refused connection) is a
	 * command without text and kind. */
	void (*command)(void *arg, const struct ws_session *session,
			const struct ws_command *command);
	/* When a session ends, and for those still running at the finish. One that gave way to the
	 * checkpointer is told when the server has said that its slot is lost, or else when another
	 * session streams from the slot, or at the finish. */
	void (*session)(void *arg, const struct ws_session *session);
};

struct ws_model; /* opaque */

struct ws_model *ws_model_new(const struct ws_observer *observer); /* NULL: out of memory */
void ws_model_free(struct ws_model *model);
/*
 * Looks only at [from_ns, to_ns): segments are cut at its edges, time, bytes and histogram values
 * are counted only inside, commands and sessions that do not touch it are not told to the observer.
 * The whole stream is to be fed all the same, so that states at from_ns are known.
 */
void ws_model_set_window(struct ws_model *model, uint64_t from_ns, uint64_t to_ns);
/* Records in stream order. Returns -1 only when memory ran out. */
int ws_model_feed(struct ws_model *model, const struct ws_rec *rec);
/* The stream ended at this time: closes what is open (the last state goes on until end_ns), tells
 * the observer about commands and sessions that still run. */
int ws_model_finish(struct ws_model *model, uint64_t end_ns);
/* Were literals taken out of the texts? (session/redact.h) */
bool ws_model_redacted(const struct ws_model *model);
/* All sessions, ended ones too, in order of first appearance. */
struct ws_session *const *ws_model_sessions(const struct ws_model *model, size_t *count);
/* Nobody asks for this session any more: frees it. Its records, should more come, would begin a new
 * one. For models that run for ever. */
void ws_model_forget(struct ws_model *model, const struct ws_session *session);
/* The server record a session refers to (its postmaster's if seen), or NULL. */
const struct ws_rec_server *ws_model_server(const struct ws_model *model,
					    const struct ws_session *session);
/* Wall clock of a monotonic time, by the clock pairs seen (the last one at or before, else the
 * first); 0 if none was seen. Pairs that differ from the one before by less than 1 ms are noise and
 * do not count, so that times stay as far apart as they were unless the wall clock was stepped. */
int64_t ws_model_wall_ns(const struct ws_model *model, uint64_t mono_ns);
/* "PID.STARTTICKS" into out. */
#define WS_SESSION_ID_TEXT 40
const char *ws_session_id(const struct ws_session *session, char out[WS_SESSION_ID_TEXT]);
const char *ws_session_id_format(uint32_t pid, uint64_t start_ns, char out[WS_SESSION_ID_TEXT]);
/* By what the program was told, in words, into out: NULL while nothing is known. */
#define WS_EVIDENCE_TEXT 512
const char *ws_session_evidence(const struct ws_session *session, char out[WS_EVIDENCE_TEXT]);
/* The other session of the same pg_basebackup as session id: NULL if there is none, or none that
 * is known. */
const char *ws_session_partner(const struct ws_session *session, char out[WS_SESSION_ID_TEXT]);
uint64_t ws_model_lost(const struct ws_model *model); /* records known to be missing */
/* The command a session is in now. Its text lives until the next record. */
bool ws_session_command(const struct ws_session *session, struct ws_command *command);
/* The error (FATAL or COMMERROR) a session ended with; false if there is none. */
bool ws_session_error(const struct ws_session *session, struct ws_report *report);
/* How long ago the first byte was sent that is not confirmed yet; 0 if all is. False if that is not
 * known, or the client never confirms (its position is 0/0). */
bool ws_session_lag(const struct ws_session *session, enum ws_lag lag, uint64_t now_ns,
		    uint64_t *ns);
/* False: there was none. */
bool ws_session_backup(const struct ws_session *session, struct ws_backup *out);
/* What it does by all that was fed, and since when: its state, or what it was seen to be blocked on
 * in that. */
enum ws_state ws_session_doing(const struct ws_session *session, uint64_t *since_ns);
/* "startup_packet", ... */
const char *ws_start_phase_name(enum ws_start_phase phase);
/* How long a phase of the start took; false if its begin or its end was not seen. */
bool ws_session_start_phase(const struct ws_session *session, enum ws_start_phase phase,
			    uint64_t *ns);

#endif
