/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * diagnose.h: from evidence to verdict. What the records of each session say is kept in a track of
 * bounded size, fed behind the model; at the end one table of rules (rules.c) looks at each track,
 * at the sessions of one slot or of one application and client (groups), and at the servers
 * (clusters).
 *
 * What a recording does not say is not known, and a rule that needs it does not fit.
 */
#ifndef WS_DIAGNOSE_DIAGNOSE_H
#define WS_DIAGNOSE_DIAGNOSE_H

#include "session/model.h"

/* In order of precedence is the table of rules, not this list. */
enum ws_verdict {
	WS_VERDICT_INSUFFICIENT_DATA = 0,
	WS_VERDICT_SENDER_STOPPED,
	WS_VERDICT_SHUTDOWN_WAITS_FOR_STANDBY,
	WS_VERDICT_TIMEOUT_LOOP,
	WS_VERDICT_RECONNECT_LOOP,
	WS_VERDICT_WAL_REMOVED,
	WS_VERDICT_SLOT_INVALIDATED,
	WS_VERDICT_SYNC_STANDBY_MISSING,
	WS_VERDICT_CONNECTION_DEAD,
	WS_VERDICT_RECEIVER_SILENT,
	WS_VERDICT_CLIENT_PROTOCOL_STALL,
	WS_VERDICT_WAITS_FOR_COPYDONE,
	WS_VERDICT_RECEIVER_NOT_READING,
	WS_VERDICT_RECEIVER_SLOW,
	WS_VERDICT_NETWORK_SLOW,
	WS_VERDICT_STANDBY_FLUSH_SLOW,
	WS_VERDICT_STANDBY_APPLY_PAUSED,
	WS_VERDICT_STANDBY_APPLY_DELAYED,
	WS_VERDICT_STANDBY_APPLY_SLOW,
	WS_VERDICT_CONSUMER_NOT_CONFIRMING,
	WS_VERDICT_SLOT_WAITS_FOR_TRANSACTION,
	WS_VERDICT_FAILOVER_SLOT_WAIT,
	WS_VERDICT_UPSTREAM_STALLED,
	WS_VERDICT_CPU_STARVED,
	WS_VERDICT_WAL_READ_SLOW,
	WS_VERDICT_LARGE_TRANSACTION,
	WS_VERDICT_SPILLING,
	WS_VERDICT_DECODE_BOUND,
	WS_VERDICT_OUTPUT_PLUGIN_SLOW,
	WS_VERDICT_TABLE_COPY,
	WS_VERDICT_BACKUP_WAITS_FOR_CHECKPOINT,
	WS_VERDICT_BACKUP_THROTTLED,
	WS_VERDICT_BACKUP_CLIENT_SLOW,
	WS_VERDICT_BACKUP_WAITS_FOR_ARCHIVE,
	WS_VERDICT_BACKUP_WAITS_FOR_SUMMARY,
	WS_VERDICT_CATCHING_UP,
	WS_VERDICT_FALLING_BEHIND,
	WS_VERDICT_HEALTHY_IDLE,
	WS_VERDICT_HEALTHY_STREAMING,
	WS_VERDICT_COUNT,
};
const char *ws_verdict_name(enum ws_verdict verdict); /* "receiver_slow" */
/* Does the first one say more, by the table's order? Health and too little data say least. */
bool ws_verdict_outranks(enum ws_verdict verdict, enum ws_verdict than);

enum ws_scope {
	WS_SCOPE_SESSION = 1,
	WS_SCOPE_GROUP = 2,
	WS_SCOPE_CLUSTER = 4,
	WS_SCOPE_SUBSCRIPTION = 8, /* a group, of the workers of one subscription */
};
const char *ws_scope_name(enum ws_scope scope);

/* A figure that speaks for a verdict. */
#define WS_FACT_TEXT 96
struct ws_fact {
	const char *fact;
	const char *unit; /* "ns", "bytes", "%", "" ... */
	bool is_text;	  /* `text` is the value (of a server: to be escaped) */
	uint64_t value;
	char text[WS_FACT_TEXT];
};

#define WS_FACTS_MAX 20
#define WS_SENTENCE  1280
struct ws_finding {
	double confidence; /* 0..1 */
	struct ws_fact facts[WS_FACTS_MAX];
	size_t fact_count;
	char text[WS_SENTENCE]; /* whole sentences */
	bool is_full;		/* of these there were more than it has room for */
	const char *advice;
};

/* Pointers live during the call that tells it. */
struct ws_explained {
	enum ws_scope scope;
	const struct ws_session *session;	  /* of scope session, else NULL */
	const struct ws_session *const *sessions; /* whom it is about */
	size_t session_count;
	uint32_t postmaster_pid; /* of a cluster */
	const char *name;	 /* of a group: the slot, or the application */
	uint64_t from_ns, to_ns; /* what was looked at */
	/* Of groups and clusters the sums over their sessions. */
	uint64_t wall_ns, accounted_ns;
	uint64_t state_ns[WS_STATE_COUNT];
	enum ws_verdict verdict;
	enum ws_verdict also[WS_VERDICT_COUNT]; /* what else fits, in order */
	size_t also_count;
	struct ws_finding finding;
};

struct ws_diagnosis; /* opaque */

/* Looks at [from_ns, to_ns), as the model does. NULL: out of memory. */
struct ws_diagnosis *ws_diagnosis_new(uint64_t from_ns, uint64_t to_ns);
void ws_diagnosis_free(struct ws_diagnosis *diagnosis);
/* Each record, behind the model, which has to live until the diagnosis is freed. All return -1 only
 * when memory ran out. */
int ws_diagnosis_feed(struct ws_diagnosis *diagnosis, const struct ws_model *model,
		      const struct ws_rec *rec);
/* As the model's observer is told. */
int ws_diagnosis_command(struct ws_diagnosis *diagnosis, const struct ws_session *session,
			 const struct ws_command *command);

/* Called for each row; returns not 0 to end. */
typedef int (*ws_explain_fn)(void *arg, const struct ws_explained *explained);
/*
 * Judges these sessions, each one, then their groups, then the clusters that they are of (with
 * all_clusters, every server seen). Groups and clusters are told only where a rule of theirs fits.
 * Behind ws_model_finish.
 */
int ws_diagnosis_explain(struct ws_diagnosis *diagnosis, const struct ws_session *const *sessions,
			 size_t count, bool all_clusters, ws_explain_fn fn, void *arg);

#endif
