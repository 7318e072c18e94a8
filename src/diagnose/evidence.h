/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * evidence.h: what the files of diagnose/ share; nobody else includes it.
 *
 *   track.c       takes records in: a track per session, one per server
 *   lines.c       servers that follow each other
 *   sync.c        reads synchronous_standby_names
 *   waiting.c     whom synchronous commits wait for
 *   evidence.c    figures out of a track
 *   ending.c      what it takes to end a walsender
 *   thresholds.c  the table of thresholds
 *   rules.c       the table of rules
 *   rules_*.c     their functions
 *   remarks.c     what is said besides
 *   diagnose.c    judges: sessions, groups, clusters
 */
#ifndef WS_DIAGNOSE_EVIDENCE_H
#define WS_DIAGNOSE_EVIDENCE_H

#include "diagnose/diagnose.h"
#include "event/idmap.h"

/* A value that was seen again and again: where it was when the window began (or when first seen in
 * it), where it is, and when it was last seen to change. */
struct ws_watch {
	bool known, changed; /* changed: since it is watched */
	uint64_t first, last;
	uint64_t first_ns, last_ns, moved_ns;
};

struct ws_point {
	uint64_t time_ns;
	uint64_t sent, target, write, flush, apply; /* 0: not known */
	uint64_t wire, acked, unsent;
	uint64_t decoded, spilled;
};
#define WS_POINTS	64 /* if full, every second one goes, and they come half as often */
#define WS_POINT_NS	100000000ULL
#define WS_INTERVALS	33
#define WS_MESSAGE_KEPT 160

enum ws_watched {
	WS_SENT = 0, /* positions */
	WS_TARGET,
	WS_RECEIVED, /* by its server, a standby itself */
	WS_WRITE,
	WS_FLUSH,
	WS_APPLY,
	WS_WIRE, /* of the socket */
	WS_ACKED,
	WS_RETRANS,
	WS_SENT_BYTES,
	WS_BUSY_US,
	WS_RWND_US,
	WS_SNDBUF_US,
	WS_RUN_DELAY, /* of the scheduler and storage */
	WS_THROTTLED,
	WS_STORAGE,
	WS_UNIX_QUEUE, /* of the peer's Unix socket */
	WS_DECODED,    /* of decoding: read_lsn, then counters */
	WS_CONFIRMED,
	WS_SPILLED,
	WS_SPILLS, /* how often */
	WS_STREAMED,
	WS_SPILL_TIME, /* of writing changes to disk and of reading them back */
	WS_RESTORE_TIME,
	WS_TXN_AT, /* in the transaction that counts: where it is */
	WS_WATCHED_COUNT,
};

/* The last command, and the last error of any. */
struct ws_last_command {
	char kind[32];
	uint64_t start_ns, end_ns; /* 0: not known, or it still runs */
	enum ws_outcome outcome;
	uint64_t start_lsn;	     /* of START_REPLICATION */
	char table[2 * WS_NAME_LEN]; /* of COPY, as it is written there; cut if longer */
};
struct ws_last_error {
	char kind[32]; /* of its command */
	char sqlstate[6];
	char message[WS_MESSAGE_KEPT];
	bool about_slot; /* it names the slot that the command names */
};

/* A wait for the end of a transaction. */
struct ws_txn_wait {
	uint32_t xid, holder_pid; /* xid 0: none */
	uint64_t since_ns, ns;	  /* ns: how long, once it is over */
	struct ws_rec_holder holder;
};

/* A wait of a failover slot's walsender for the standbys of synchronized_standby_slots. */
struct ws_standby_wait {
	char slot[WS_NAME_LEN]; /* of one that it waits for; "": not known */
	uint64_t lsn;		/* what that has confirmed */
	enum ws_standby_why why;
};

/* Confirmations that came late: of flushes, though what they are of was written in time. */
struct ws_late {
	uint64_t count, flush_ns, write_ns; /* sums of lags */
	uint64_t ns;			    /* while something waited for one: in the window */
	uint64_t since_ns, last_ns;	    /* the first of those in a row; the last one */
	uint64_t in_row;
};

/* Times in the window in which nobody answered, and which are over; but for the one at hand. */
struct ws_outages {
	uint64_t count, sum_ns, longest_ns;
	bool one_way;	  /* packets did come in the longest one */
	uint64_t over_ns; /* when the last one was seen to be over */
	uint64_t now_ns;  /* of one of which no end was seen: so long, 0: there is none */
	bool now_one_way;
};

struct ws_track {
	struct ws_id id;
	/* Who it is, and what it did in the window. How it stood where the window ends is below: a
	 * session knows what came behind. */
	const struct ws_session *s;
	const struct ws_standing *standing;
	uint64_t last_ns;  /* of its records in the window */
	uint64_t ended_ns; /* 0: it went on */
	enum ws_exit_reason ended_by;
	struct ws_watch watch[WS_WATCHED_COUNT];
	struct ws_point *points; /* NULL before the first */
	size_t point_count;
	uint64_t point_ns; /* apart at least */

	uint64_t replies, last_reply_ns;  /* in the window; of all */
	uint64_t intervals[WS_INTERVALS]; /* between the last replies, a ring */
	size_t interval_count;
	uint64_t ping_ns; /* a reply was asked for, and none has come since; 0: none asked for */
	/* Something was sent that is not confirmed to be flushed: since the last reply, or since it
	 * was sent if that was later; 0: nothing is, or there was no reply. */
	uint64_t owed_ns;
	uint64_t keepalives, pings, answered; /* in the window */
	/* While a position stands still: */
	uint64_t apply_held_flush; /* flush when apply moved last, or was level with it */
	uint64_t apply_held_ns;	   /* since when it stands behind flush, as replies say */
	uint64_t apply_held_replies;
	uint64_t apply_held_steps; /* in which flush went ahead of it */
	uint64_t replay_stood_ns;  /* the longest time that it stood, and went on in the window */
	uint64_t flush_held_write, flush_held_replies;
	uint64_t flush_held_ns; /* since when something written is not confirmed */
	/* While its server, a standby, replays nothing, or no slot's snapshot gets on, so often it
	 * was seen to have received more. */
	uint64_t received_steps;
	uint64_t flush_bits; /* all that are set in any flush position of the stream */
	struct ws_late late_flushes;
	struct ws_late late_writes; /* of what had arrived long before; but for ns */
	uint64_t applied_ns;	    /* when all that was flushed was applied, or nearly all, last */

	bool has_socket, has_tcp;    /* tcp: with what came later into the record */
	struct ws_rec_socket socket; /* the last */
	uint64_t socket_sent;	     /* what was sent then, a position */
	bool socket_awaited;	     /* the session waited for it then */
	uint64_t pause_since_ns;     /* data waits, and none is acknowledged; 0: it is not so */
	/* Of those that ended, of a client whose window was closed: how long they are of late;
	 * since then it has taken something at each look for so long; and the longest two in the
	 * window. */
	uint64_t usual_pause_ns, flow_ns;
	uint64_t longest_pause_ns, second_pause_ns;
	/* Since when each look at it has found data that waits to be sent, and what was
	 * acknowledged then; 0: there is none. */
	uint64_t waiting_ns, waiting_acked;
	bool under_way;	       /* something is, since then: sent, and not acknowledged */
	uint64_t under_way_ns; /* 0: it was so when the socket was seen first */
	struct ws_outages outages;
	/* In the window, with data that waits to be sent: records of it, and of these how many with
	 * the receiver's window full, and with the congestion window full. */
	uint64_t full_sockets, window_full, cwnd_full;
	bool has_sample;
	struct ws_rec_sample sample; /* the last */
	uint64_t samples, samples_on_disk;
	uint64_t unix_awaited, unix_full; /* in the window: of its wait for a Unix socket */
	bool has_cgroup;
	struct ws_rec_cgroup cgroup; /* the last */
	bool has_copy;
	struct ws_rec_copy copy; /* the last */
	bool has_memory;
	struct ws_rec_memory memory;  /* the last */
	struct ws_rec_memory reorder; /* that with the most in the reorder buffer; h.size 0: none */
	bool has_decoding;
	struct ws_rec_decoding decoding; /* the last */
	/* Whose transaction holds the slot back, and whose the last one waited for is; what is 0 if
	 * there is none, or it is not known. */
	struct ws_rec_holder holder, awaited;
	uint64_t txn_since_ns; /* since when it speaks of one transaction, gathered or handed out */
	uint64_t xid_since_ns; /* the same, both halves of it */
	uint64_t output_since_ns; /* since when the output plugin was given no other one */
	/* The last transaction seen of which nothing was spilled, and what was spilled by then. */
	uint32_t unspilled_xid;
	uint64_t unspilled_bytes;
	uint32_t over_xid;		/* the last one that was decoded to its end (level 3) */
	uint32_t lock_xid, lock_holder; /* of the last lock waited for */
	bool awaits_summary;		/* in the window, a backup waited for the WAL summarizer */
	/* For a transaction: now or last, and the longest one since `making` began. */
	struct ws_txn_wait txn_wait, longest_wait;
	struct ws_standby_wait standby_wait; /* the last, as it stood then */
	bool standby_waits;		     /* by the last turn, it goes on */
	uint64_t standby_until_ns;	     /* the end of the last that was no short one */

	struct ws_last_command command;
	struct ws_last_command making; /* the last one that makes a slot, SQL too */
	struct ws_last_error error;
	uint64_t starts;   /* START_REPLICATION commands, by their texts */
	uint32_t timeline; /* of the last of them that names one; 0: none did */
	/* One of them that named a later one than the one before; from 0: from one not known. */
	uint32_t switched_from;
	uint64_t switched_lsn, switched_ns;
	uint64_t streams;      /* START_REPLICATION commands */
	uint64_t taken_ns;     /* a server process told it to give its slot up */
	uint64_t start_lsn;    /* of the last START_REPLICATION */
	uint64_t publications; /* that its commands named last (ws_publications_named) */
};

/* One postmaster. */
struct ws_server_track {
	uint32_t pid;
	uint64_t first_ns; /* when it was told of first */
	uint64_t read_ns;  /* when something was read of it last: it was there */
	uint64_t over_ns;  /* since when it is gone, with its sessions; UINT64_MAX: one is there.
			      lines.c */
	uint32_t line;	   /* pid of the first postmaster of the same data directory: lines.c */
	char datadir[256];
	bool has_cluster;
	struct ws_rec_cluster cluster; /* the last */
	uint64_t asked_ns;	       /* to shut down, smart or fast; 0: it was not */
	uint64_t asked_fast_ns;
	uint64_t stopping_ns; /* seen to be shutting down; 0: it is not, or that is not known */
	uint64_t promoted_ns; /* seen to be out of recovery; 0: not seen */
	uint64_t waiting_since_ns; /* commits wait for standbys; 0: none does */
	uint64_t missing_since_ns; /* and fewer are connected than they need */
	char names[WS_SYNC_NAMES_LEN];
};

/*
 * publications.c: a number for the publications that a command of a subscription names, in their
 * order: START_REPLICATION by its option (libpqwalreceiver.c, libpqrcv_startstreaming), what a
 * tablesync worker asks of its table by a list behind pubname IN (tablesync.c,
 * fetch_remote_table_info, 15 and later). 0: none.
 */
uint64_t ws_publications_named(const char *text, size_t len);

/* lines.c: which postmasters follow each other on one data directory, by these sessions. */
void ws_lines_draw(struct ws_diagnosis *d, const struct ws_session *const *sessions, size_t count);
/* Of a session: its server's line, or the server where that was not told of. */
uint32_t ws_line_of(const struct ws_diagnosis *d, const struct ws_session *s);

/* sync.c */
struct ws_sync {
	bool any;	 /* any of them will do: a quorum. Else those in front count */
	uint32_t needed; /* how many have to confirm */
};
void ws_sync_read(const char *names, struct ws_sync *sync);
/* The place of this application among the names, from 1 on; 0: it is none of them. */
uint32_t ws_sync_place(const char *names, const char *application);

/* track.c */
struct ws_diagnosis {
	uint64_t from_ns, to_ns;
	uint64_t first_ns, last_ns; /* of the records in the window; 0: none was there */
	struct ws_idmap by_id;
	struct ws_track **tracks;
	size_t track_count, track_cap;
	struct ws_server_track *servers;
	size_t server_count, server_cap;
};

/* A flush so long after sending is late, and it is the flush that took the time, not the write. */
bool ws_flush_is_late(enum ws_session_kind kind, uint64_t flush_ns, uint64_t write_ns);
/* So may a segment of WAL end: its size is a power of two (xlog_internal.h, IsValidWalSegSize). */
bool ws_ends_segment(uint64_t lsn);
/*
 * Of a client that flushes, as far as it says, whole segments only, and replays nothing, how much
 * one of them is at most: between two flushes it may have received that much. pg_receivewal is so
 * with a slot and without --synchronous (receivelog.c: lastFlushPosition is set where a stream
 * starts and where a file is closed). 0: of another one.
 */
uint64_t ws_track_flushed_segment(const struct ws_track *t);
/* Replay stands still while there is something to replay, for so long when the last reply came:
 * since before the window, too, as far as that is recorded. */
bool ws_track_replay_stands(const struct ws_track *t, uint64_t least_ns, uint64_t *ns);

struct ws_track *ws_track_find(struct ws_diagnosis *d, uint32_t pid, uint64_t start_ns);

/* What a rule looks at. */
struct ws_case {
	const struct ws_diagnosis *diagnosis;
	enum ws_scope scope;
	uint64_t from_ns, to_ns; /* of the session in the window; of the window */
	uint64_t wall_ns, accounted_ns, lost_ns;
	const uint64_t *state_ns;
	/* scope session */
	const struct ws_track *t;
	const struct ws_session *s;
	/* group and cluster */
	const struct ws_track *const *members;
	size_t member_count;
	const struct ws_server_track *server; /* its, or the cluster's; NULL: not known */
};

/* diagnose.c: judges one session, *session, which stays where it is. */
void ws_diagnosis_look_at(struct ws_diagnosis *d, const struct ws_session *const *session,
			  struct ws_explained *e);
/* remarks.c: adds what is worth a word of a session whatever its verdict is about. */
void ws_say_remarks(const struct ws_case *c, struct ws_explained *e);
/* waiting.c: commits of a server wait for a connected standby that does not confirm them: says for
 * whom and why, unless something else was said of the server, to which it is added. Returns whether
 * anything was said. */
bool ws_sync_kept_waiting(struct ws_diagnosis *d, const struct ws_case *c, bool judged,
			  struct ws_explained *e);

/* waiting.c: of a session by which nothing else is wrong, that commits wait for it. */
void ws_say_commits_wait(const struct ws_diagnosis *d, const struct ws_track *t,
			 const struct ws_server_track *server, struct ws_explained *e);

/* rules_sender.c: for whose lock it waits or waited, and what to do. */
void ws_say_lock(const struct ws_case *c, struct ws_finding *f);
/* rules_failover.c: who streams from the slot that a failover slot waits for, and how that fares.
 */
void ws_say_failover_standby(struct ws_diagnosis *d, const struct ws_case *c,
			     struct ws_explained *e);
/* rules_decoding.c: "for transaction 700 of process 4711 (postgres, psql) to end". */
void ws_say_txn_wait(const struct ws_txn_wait *w, struct ws_finding *f);
/* rules_receiver.c: the socket was full for most of the time, or for most of a good while that
 * there has been something to send. */
bool ws_case_blocked(const struct ws_case *c);
/* rules_network.c: what was sent is repeated and nothing answers, and the client has not left. */
bool ws_case_unanswered(const struct ws_case *c);
/* The same: is it the way to the client that keeps the socket full? Fills which share of what was
 * sent was repeated. */
bool ws_network_limits(const struct ws_case *c, double *retrans);
/* rules_standby.c: is it the flush of what it has written in time, mostly or of late, that takes
 * long? */
bool ws_case_flushes_late(const struct ws_case *c);
/* rules_backup.c: of a backup how fast it went, how far it is, and how long it will take. */
void ws_say_backup(const struct ws_case *c, struct ws_finding *f);
/* The same: what a backup that nothing holds up does most of the time; false: another thing than to
 * read. */
bool ws_backup_reads(const struct ws_case *c, struct ws_finding *f);

/* ending.c */
enum ws_ending {
	WS_ENDING_ONCE = 0, /* a SIGTERM does it */
	WS_ENDING_TWICE,  /* the first one waits to be told to the client, for room in its socket */
	WS_ENDING_AGAIN,  /* it had the first one, and waits so */
	WS_ENDING_LEAVES, /* it had it, and there is room: another one changes nothing */
	WS_ENDING_NEVER,  /* it is stopped: only behind a SIGCONT */
	WS_ENDING_COUNT,
};
enum ws_ending ws_track_ending(const struct ws_track *t);
/* It was told to end some time ago, and has not: it cannot tell its client. */
bool ws_case_cannot_leave(const struct ws_case *c);

/* evidence.c */
double ws_case_share(const struct ws_case *c, enum ws_state state); /* of what is not lost */
/* Of that, what went into the files of spilled changes; -1: not known. */
double ws_case_spill_share(const struct ws_case *c);
/* It takes half of the time, or has lasted for some seconds when the window ends. */
bool ws_case_dominates(const struct ws_case *c, enum ws_state state);
/* How long the session has been in its state when the window ends; 0 if it has ended. */
uint64_t ws_case_since(const struct ws_case *c);
const struct ws_watch *ws_case_watch(const struct ws_case *c, enum ws_watched which);
bool ws_case_known(const struct ws_case *c, enum ws_watched which);
uint64_t ws_case_grown(const struct ws_case *c, enum ws_watched which);
uint64_t ws_case_span(const struct ws_case *c, enum ws_watched which); /* observed for so long */
bool ws_case_moves(const struct ws_case *c, enum ws_watched which, uint64_t within_ns);
/* How long it has stood still when the window ends. */
uint64_t ws_case_still(const struct ws_case *c, enum ws_watched which);
bool ws_track_streams(const struct ws_track *t); /* still, where the window ends */
/* Up to where it is confirmed: by flush, or by write where the client never flushes (WalSndDone).
 * Of one whose replies were before it was watched its slot may know. */
uint64_t ws_track_confirmed(const struct ws_track *t);
uint64_t ws_track_usual_interval(const struct ws_track *t); /* median; 0: not known */
/* A logical walsender that has sent all and does not wait for more: it was told to stop, and turns
 * without rest until all is confirmed (WalSndWaitForWal and WalSndLoop, walsender.c). */
bool ws_track_spins(const struct ws_track *t, uint64_t now);
/* How far the first position is ahead of the second now: false if that is not known. */
bool ws_case_behind(const struct ws_case *c, enum ws_watched ahead, enum ws_watched behind,
		    uint64_t *bytes);
/* The session is on a standby, and waits for what that has received and not replayed, or decoded
 * for it. Sets how long it stands there, where, and what has been received. */
struct ws_held_replay {
	uint64_t still_ns, at, received;
};
bool ws_case_replay_held(const struct ws_case *c, enum ws_watched at, struct ws_held_replay *held);
/* The same at the beginning and at the end of the series, averaged over a third of it. */
struct ws_trend {
	double before, after; /* bytes */
	double least;	      /* in the last third */
	uint64_t span_ns;     /* between the middles */
};
bool ws_case_trend(const struct ws_case *c, enum ws_watched ahead, enum ws_watched behind,
		   struct ws_trend *trend);
/* Is the session behind what there is to send, and getting nearer; or not? */
bool ws_case_comes_nearer(const struct ws_case *c, struct ws_trend *trend);
bool ws_case_falls_behind(const struct ws_case *c, struct ws_trend *trend);
/* The state the most time went into, of those that are the walsender's or its client's doing. */
enum ws_state ws_case_bottleneck(const struct ws_case *c);
bool ws_case_streams(const struct ws_case *c); /* physical or logical replication */
const struct ws_rec_socket *ws_case_tcp(const struct ws_case *c); /* NULL: not known */
/* The receiver's window is closed. Probes of it do get an answer: the host is alive. */
bool ws_socket_shut(const struct ws_rec_socket *tcp);
/* A round trip takes several times what it takes at least. */
bool ws_socket_queues(const struct ws_rec_socket *tcp);
/* The time-out behind which it sends again, as it was before it was doubled. */
uint64_t ws_socket_rto_ns(const struct ws_rec_socket *tcp);
/* The share of the bytes sent (in the window) that were sent again. */
double ws_track_repeated(const struct ws_track *t);
/* Data waits, the window has room, and nothing is under way: this host cannot send to the peer. */
bool ws_socket_stuck(const struct ws_rec_socket *tcp);
/* How long something has been under way, and nothing of what is was acknowledged; 0: nothing is. */
uint64_t ws_track_unacknowledged(const struct ws_track *t, uint64_t now);
/* How long no packet has come, of whatever kind. */
uint64_t ws_track_no_packet(const struct ws_track *t, uint64_t now);
/* What was sent is repeated, and nothing of it was acknowledged for several time-outs: when its
 * socket was looked at last. */
bool ws_track_unanswered(const struct ws_track *t, uint64_t now);
/* The same, and packets have come for long since: one direction is cut, or for large ones. */
bool ws_track_one_way(const struct ws_track *t, uint64_t now);
/* For how long that was so in all, if it is over; 0: it was not, or only for moments. */
uint64_t ws_case_outage(const struct ws_case *c);
/* rules_network.c: how long, how often, and when last; as "for 7.00 s". */
void ws_say_outages(const struct ws_case *c, struct ws_finding *f);
/* Shares of the busy time (in the window) that the receiver's window, and the own send buffer, was
 * the limit; -1: not known. */
double ws_case_rwnd_share(const struct ws_case *c);
double ws_case_sndbuf_share(const struct ws_case *c);
/* Shares of the looks at a socket with data waiting in which the receiver's window was full, and in
 * which that had room and the congestion window was full; 0: there was no such look. */
double ws_case_window_full(const struct ws_case *c);
double ws_case_cwnd_full(const struct ws_case *c);
/* 1: a Unix socket whose queue is full; 0: not full; -1: no such socket, or not known. */
int ws_case_unix_full(const struct ws_case *c);
/* The longest time in the window that the peer took nothing though data waited for it, and its
 * receive buffer was full; 0: none that is over. */
uint64_t ws_case_longest_pause(const struct ws_case *c);
/* The same of a sample. */
bool ws_sample_unix_full(const struct ws_rec_sample *r);

/* Adds to the text. What there is no room for is left out from the last end of a sentence on, and
 * nothing is added any more. */
void ws_say(struct ws_finding *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A figure without its fraction: 0 if it is negative or none at all, and the largest number if it
 * is larger. A hostile recording may bring about any. */
uint64_t ws_whole(double value);
void ws_fact(struct ws_finding *f, const char *fact, uint64_t value, const char *unit);
void ws_fact_text(struct ws_finding *f, const char *fact, const char *text);
void ws_fact_lsn(struct ws_finding *f, const char *fact, uint64_t lsn);
/* Behind these words its SQLSTATE and message, which are facts, too. */
void ws_say_error(struct ws_finding *f, const char *words, const struct ws_last_error *error);
void ws_fact_share(const struct ws_case *c, struct ws_finding *f, enum ws_state state);

/* thresholds.c */
enum ws_limit {
	WS_LIMIT_OBSERVED = 0,
	WS_LIMIT_LOST,
	WS_LIMIT_DOMINANT,
	WS_LIMIT_LASTING,
	WS_LIMIT_STOPPED,
	WS_LIMIT_SHUTDOWN,
	WS_LIMIT_TIMEOUTS,
	WS_LIMIT_RECONNECTS,
	WS_LIMIT_SHORT_SESSION,
	WS_LIMIT_SYNC,
	WS_LIMIT_BACKOFF,
	WS_LIMIT_RTOS,
	WS_LIMIT_SILENT_INTERVALS,
	WS_LIMIT_SILENT_PING,
	WS_LIMIT_FROZEN,
	WS_LIMIT_RWND,
	WS_LIMIT_RWND_NETWORK,
	WS_LIMIT_SNDBUF,
	WS_LIMIT_CWND,
	WS_LIMIT_RTT,
	WS_LIMIT_RETRANS,
	WS_LIMIT_RETRANS_MANY,
	WS_LIMIT_FLUSH_LAG,
	WS_LIMIT_ASYNC_LAG,
	WS_LIMIT_WRITE_LAG,
	WS_LIMIT_FLUSH_SHARE,
	WS_LIMIT_APPLY_FROZEN,
	WS_LIMIT_RECORD,
	WS_LIMIT_SNAPSHOT,
	WS_LIMIT_APPLY_LAG,
	WS_LIMIT_APPLY_SPREAD,
	WS_LIMIT_STATUS_INTERVAL,
	WS_LIMIT_UNCONFIRMED,
	WS_LIMIT_REPLIES,
	WS_LIMIT_BACKLOG,
	WS_LIMIT_SLOT_WAIT,
	WS_LIMIT_UPSTREAM,
	WS_LIMIT_RUN_DELAY,
	WS_LIMIT_QUOTA_DELAY,
	WS_LIMIT_READ,
	WS_LIMIT_READ_TIME,
	WS_LIMIT_ON_DISK,
	WS_LIMIT_TXN_BYTES,
	WS_LIMIT_TXN_TIME,
	WS_LIMIT_SPILL_TIME,
	WS_LIMIT_SPILL_BYTES,
	WS_LIMIT_SPILL_PIECE,
	WS_LIMIT_SPILL_PIECES,
	WS_LIMIT_IDLE,
	WS_LIMIT_MEMORY,
	WS_LIMIT_OVERRUN,
	WS_LIMIT_KEPT,
	WS_LIMIT_COPY,
	WS_LIMIT_UNPUBLISHED,
	WS_LIMIT_COUNT,
};
struct ws_limit_info {
	const char *name, *unit, *why;
	double value;
};
const struct ws_limit_info *ws_limit_info(enum ws_limit limit);
double ws_limit(enum ws_limit limit);
uint64_t ws_limit_ns(enum ws_limit limit); /* of one in seconds */

/* rules.c */
enum ws_rank {
	WS_RANK_DATA = 0,
	WS_RANK_STOPPED,
	WS_RANK_SHUTDOWN,
	WS_RANK_ENDS,
	WS_RANK_DEAD,
	WS_RANK_SILENT,
	WS_RANK_RECEIVER,
	WS_RANK_NETWORK,
	WS_RANK_STANDBY,
	WS_RANK_SENDER,
	WS_RANK_HEALTHY,
};
struct ws_rule {
	enum ws_verdict verdict;
	const char *name;
	unsigned int scopes;
	enum ws_rank rank;
	/* Does it fit? Sets confidence, facts and text if so. */
	bool (*fits)(const struct ws_case *c, struct ws_finding *f);
	const char *advice;
	/* Verdicts, as WS_VERDICT_BIT, that it comes with where one of them fits: then it is the
	 * same cause, seen from another side, and no second one. */
	uint64_t follows;
};
#define WS_VERDICT_BIT(verdict) (1ULL << (verdict))
_Static_assert(WS_VERDICT_COUNT <= 64, "verdicts are bits of a number");
const struct ws_rule *ws_rules(size_t *count);
const char *ws_verdict_advice(enum ws_verdict verdict);

/* track.c: of what a server says, if it says it. */
void ws_standby_wait_take(struct ws_standby_wait *wait, const struct ws_rec_cluster *r);

/* rules_*.c */
#define WS_RULE(name) bool ws_rule_##name(const struct ws_case *c, struct ws_finding *f)
WS_RULE(insufficient_data);
WS_RULE(sender_stopped);
WS_RULE(shutdown_waits_for_standby);
WS_RULE(timeout_loop);
WS_RULE(reconnect_loop);
WS_RULE(wal_removed);
WS_RULE(slot_invalidated);
WS_RULE(sync_standby_missing);
WS_RULE(connection_dead);
WS_RULE(receiver_silent);
WS_RULE(given_up);
WS_RULE(client_protocol_stall);
WS_RULE(waits_for_copydone);
WS_RULE(receiver_not_reading);
WS_RULE(receiver_slow);
WS_RULE(network_slow);
WS_RULE(standby_flush_slow);
WS_RULE(standby_apply_paused);
WS_RULE(standby_apply_delayed);
WS_RULE(standby_apply_slow);
WS_RULE(consumer_not_confirming);
WS_RULE(slot_waits_for_transaction);
WS_RULE(failover_slot_wait);
WS_RULE(upstream_stalled);
WS_RULE(cpu_starved);
WS_RULE(wal_read_slow);
WS_RULE(large_transaction);
WS_RULE(spilling);
WS_RULE(decode_bound);
WS_RULE(output_plugin_slow);
WS_RULE(table_copy);
WS_RULE(table_copies);
WS_RULE(backup_waits_for_summary);
WS_RULE(backup_waits_for_checkpoint);
WS_RULE(backup_throttled);
WS_RULE(backup_client_slow);
WS_RULE(backup_waits_for_archive);
WS_RULE(catching_up);
WS_RULE(falling_behind);
WS_RULE(unexplained);
WS_RULE(healthy_idle);
WS_RULE(healthy_streaming);

#endif
