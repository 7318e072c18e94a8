/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * machine.h: what the files of session/ share; nobody else includes it.
 *
 *   model.c     sessions, servers, clocks; takes records in
 *   machine.c   from records to states
 *   turn.c      the same for the turns of the send loop
 *   timeline.c  accounts for time, makes segments
 *   blocked.c   what was sampled from outside, and is cut out of the time around it
 *   command.c   commands, their texts and outcomes, errors
 *   exit.c      why a session ended
 *   start.c     how long the phases of its start took
 *   client.c    which program the client is
 *   pattern.c   how its commands are written
 *   slot.c      what the server says about taking its slot away
 *   metrics.c   histograms
 *   lag.c       how long what was sent takes to be confirmed
 */
#ifndef WS_SESSION_MACHINE_H
#define WS_SESSION_MACHINE_H

#include <sys/queue.h>

#include "event/idmap.h"
#include "session/model.h"

/*
 * A text that arrives in chunks, of which some may be missing. Bytes [0, hole_from) are sound; a
 * hole is one stretch [hole_from, hole_to) that grows to cover whatever else is missing.
 */
struct ws_assembly {
	struct ws_buf buf;
	size_t hole_from, hole_to; /* equal: no hole */
	bool any;		   /* at least one chunk with bytes, or an empty text, was there */
	bool done;		   /* its last chunk was there */
	bool cut;		   /* the program says so, or the bound was met */
	struct ws_text_sum sum;	   /* as the programs measured it */
};

#define WS_KIND_TEXT_LEN 32
#define WS_LOCATION_LEN	 168 /* name, ", ", file:line */

struct ws_running {
	bool open;
	bool sql;	/* the server took it for SQL */
	bool found;	/* it already ran when walscope attached */
	bool streaming; /* it reached the send loop */
	bool gap;	/* records are missing since it began */
	bool parsed;
	bool outside; /* no command but the entry of an error */
	uint8_t message_type;
	uint32_t seq;
	uint64_t start_ns;
	uint64_t known_ns; /* it was known to run until here: where the gap begins */
	char kind[WS_KIND_TEXT_LEN];
	char slot[WS_NAME_LEN]; /* that is the session's if it succeeds, or streams */
	struct ws_assembly text;
};

/* An ERROR, FATAL or COMMERROR. */
struct ws_problem {
	bool set;
	bool closing; /* an ERROR: it ends the command at time_ns once its text is whole */
	bool outside; /* it came up outside any command */
	enum ws_elevel elevel;
	uint64_t time_ns;
	char sqlstate[6]; /* "" if not known */
	char function[WS_NAME_LEN];
	char location[WS_LOCATION_LEN]; /* "" if not known */
	struct ws_assembly message;
};

/* Calls of XLogSendLogical of one record, not yet in the histogram: a long one goes on in the
 * records behind, which then count no call of their own. */
struct ws_decoding {
	uint64_t ns;
	uint32_t calls;
};

#define WS_CLIENT_STEPS 12

/* What is known of the client's program. */
struct ws_client {
	uint32_t facts;	    /* client.c */
	uint32_t programs;  /* that send all the commands seen: bits of enum ws_program */
	uint64_t backup_ns; /* begin of its BASE_BACKUP, 0 if not known */
	const char *why;    /* the rule that decided, NULL for none */
	uint8_t steps[WS_CLIENT_STEPS]; /* the first commands, by form */
	uint8_t step_count;
	bool more_steps;
};

/* [from_ns, to_ns) in which the session was blocked; to_ns is UINT64_MAX while it is. */
struct ws_stretch {
	enum ws_blocked_on on;
	uint64_t from_ns, to_ns;
	bool signalled; /* it was told to stop at from_ns */
	char detail[64];
};

/* `lsn` was reached at this time: what lies before it was sent by then. */
struct ws_mark {
	uint64_t lsn, time_ns;
};
struct ws_lags {
	struct ws_mark *marks; /* a ring; NULL before the first */
	size_t first, count;
	uint32_t stride, in_last; /* positions that one mark stands for; those in the last */
	uint64_t known_from;	  /* when what lies before this was sent is not known any more */
	bool known;		  /* is known_from? */
};

/* The session's backup: the last one. */
/* What the server said of itself while files were streamed, and what had been counted by then. */
struct ws_backup_reading {
	uint64_t time_ns; /* 0: none yet */
	uint64_t streamed, counted;
};

/* As of the end of the window. */
struct ws_backup_run {
	uint32_t phase;	    /* enum ws_backup_phase, 0 once the command is over */
	bool seen, whole;   /* whole: from its begin on */
	uint64_t told_ns;   /* of the record before; of the first one, where the session begins */
	uint64_t counted;   /* bytes the client was handed, as far as seen */
	uint64_t wal_bytes; /* of which WAL */
	uint64_t uploaded_bytes;
	uint64_t rated_bytes, rated_from_ns, rated_to_ns; /* of files, between these times */
	bool has_progress;
	struct ws_rec_progress progress; /* the last */
	struct ws_backup_reading first, last;
	char detail[2][128];
	unsigned int detail_turn;
	const char *text; /* how far it is, NULL for nothing known */
};

struct ws_machine {
	struct ws_id id;
	TAILQ_ENTRY(ws_machine) open; /* while `is_open` */
	bool is_open;
	struct ws_session s;
	struct ws_model *model;

	uint64_t carried_bytes;	      /* of this window, of a slice that lies before it */
	struct ws_segment segment;    /* not yet told; start_ns == end_ns: none */
	char detail[2][128];	      /* texts of its and the next slice's */
	struct ws_stretch *stretches; /* in order of time, those that are not accounted for */
	size_t stretch_count, stretch_cap;
	/* Waiting for a CPU, in the time that the next record tells of. */
	uint64_t off_cpu_ns[WS_STAGE_COUNT];
	bool off_cpu;
	unsigned int detail_turn;
	const char *state_detail; /* of the current state, NULL for none */
	bool ended;
	bool in_loop;		/* in WalSndLoop */
	bool streamed;		/* it was */
	bool untold;		/* it streams, and no turn has said what it sends */
	bool hole;		/* the last record was a gap */
	bool wait_lost;		/* the record that would say what the wait was for is missing */
	enum ws_wait wait;	/* that goes on since the last turn record */
	bool wait_stopping;	/* it began while the walsender was stopping */
	uint64_t quiet_ns;	/* how long the loop has spun without moving or waiting */
	uint64_t full_since_ns; /* since when the socket is full, and nothing was copied behind it;
				   0: it is not */
	uint64_t reply_ns;	/* the last reply, 0 for none to measure from */
	bool replied;		/* what a reply says can be compared with the one before */
	bool woke_by_death;	/* the last wait ended with WL_POSTMASTER_DEATH */
	struct ws_decoding decoding;
	struct ws_lags lags;
	bool sampled; /* the socket's counters were: what they were last */
	uint64_t wire_last, acked_last;
	uint32_t backup_phase; /* enum ws_backup_phase, 0 for none */
	struct ws_backup_run backup;

	bool commanded;	      /* a command came in */
	bool refused;	      /* seen first by the FATAL that refused it: its error follows */
	bool found_starting;  /* it already ran, but did not know its client yet */
	bool start_lost;      /* records are missing in front of the first command seen */
	uint8_t message_type; /* of the record before, if that was a message; else 0 */
	uint32_t command_seq;
	struct ws_running command;
	struct ws_running former;  /* open: the one before, which may be `command` found again */
	struct ws_problem problem; /* of which the text may still come */
	struct ws_problem fatal; /* that the exit is explained by: the last FATAL, else COMMERROR */
	uint32_t clues;		 /* exit.c */
	struct ws_client client;

	int ending_code;		/* proc_exit's, -1 if it was not seen */
	struct ws_signal_by term, quit; /* the first SIGTERM and SIGQUIT it was sent */
	struct ws_signal_by deadly;	/* the last one of another kind */
	uint32_t slot_by; /* who said that it ends this process for its slot's sake, 0: nobody */
	bool slot_lost;	  /* and that the slot is invalid now */
	bool deferred;	  /* ended, and not yet told to the observer */
};

/* What the postmaster was asked for, by signals. */
enum ws_asked {
	WS_ASKED_SHUTDOWN = 1 << 0,
	WS_ASKED_IMMEDIATE = 1 << 1,
};

struct ws_server_seen {
	struct ws_rec_server rec;
	bool stopping;	    /* one of its walsenders was told to stop */
	unsigned int asked; /* enum ws_asked */
};

struct ws_clock_pair {
	uint64_t mono_ns;
	int64_t wall_ns;
	uint64_t boot_ns;
};

struct ws_model {
	struct ws_observer observer;
	uint64_t from_ns, to_ns; /* the window */
	bool inside;		 /* the record being handled lies in it */
	bool passed;		 /* one behind it was there */
	uint64_t first_ns;	 /* time of the first record of all */
	uint64_t lost;
	bool failed; /* memory ran out */
	bool redacted;

	struct ws_idmap by_id;
	/* Those that run, or have not been told to the observer: a recording may have any number of
	 * others, and what is not of one session alone may have to do with these only. */
	TAILQ_HEAD(ws_open_list, ws_machine) open;
	struct ws_session **sessions;
	size_t session_count, session_cap;
	struct ws_server_seen *servers;
	size_t server_count, server_cap;
	struct ws_clock_pair *clocks;
	size_t clock_count, clock_cap;
};

static inline struct ws_machine *ws_machine_of(const struct ws_session *session)
{
	return session->impl;
}

/* model.c */
struct ws_server_seen *ws_model_server_seen(struct ws_model *model,
					    const struct ws_session *session);

uint64_t ws_model_begin_ns(const struct ws_model *model, const struct ws_rec *first);
/* Nothing more can happen to it. */
void ws_model_close(struct ws_machine *m);

/* machine.c: where memory runs out, model->failed is set. */
void ws_machine_init(struct ws_machine *m, const struct ws_rec *first);
void ws_machine_feed(struct ws_machine *m, const struct ws_rec *rec);
/* A gap that is no session's own, but touches all. */
void ws_machine_gap(struct ws_machine *m, const struct ws_rec_gap *gap);
/* What is waited for now. The signal that stops a walsender ends its wait, and its state changes
 * behind that: the wait itself was still one for WAL. */
void ws_machine_set_wait(struct ws_machine *m, enum ws_wait wait);
/* It ended with WS_END_SLOT_RELEASED, and what became of the slot is known: tells the observer. */
void ws_machine_settle_slot(struct ws_machine *m);
/* Keeps how it stands now. */
void ws_machine_stand(struct ws_machine *m);
/* The stream ended: what runs goes on until end_ns, and is told as it is. */
void ws_machine_finish(struct ws_machine *m, uint64_t end_ns);

/* turn.c */
void ws_turn_feed(struct ws_machine *m, const struct ws_rec_turn *rec);

/* timeline.c */
struct ws_slice {
	enum ws_state state;
	uint64_t until_ns;
	uint64_t lsn_from, lsn_to, bytes;
	bool clipped; /* bytes are those of the window, wherever the record lies */
	const char *detail;
};
/* Time up to slice->until_ns was spent in slice->state. What is accounted for already stays. */
void ws_timeline_fill(struct ws_machine *m, const struct ws_slice *slice);
/* Up to time_ns the state was the current one; from there on it is this. */
void ws_timeline_enter(struct ws_machine *m, enum ws_state state, uint64_t time_ns);
void ws_timeline_flush(struct ws_machine *m);
/* The last `ns` of a slice, 0 mostly, it could have run, and waited for a CPU instead. */
void ws_timeline_fill_off_cpu(struct ws_machine *m, struct ws_slice *slice, uint64_t ns);
/* All that was announced of it, for a slice that is all of the time since the record before. */
uint64_t ws_timeline_take_off_cpu(struct ws_machine *m);
/* In these a session has something to do, and nothing else than a full socket keeps it from that.
 */
#define WS_STATES_AT_WORK                                                             \
	(1U << WS_STATE_COMMAND | 1U << WS_STATE_SQL | 1U << WS_STATE_READ_WAL |      \
	 1U << WS_STATE_DECODE | 1U << WS_STATE_OUTPUT_PLUGIN | 1U << WS_STATE_SEND | \
	 1U << WS_STATE_SEND_BLOCKED | 1U << WS_STATE_REPLY | 1U << WS_STATE_OFF_CPU)
/* The time up to then, as far as it is not accounted for yet, goes to this state. Returns how much
 * of it lies in the window. */
static inline uint64_t ws_timeline_spend(struct ws_machine *m, enum ws_state state,
					 uint64_t until_ns)
{
	uint64_t from = m->s.accounted_ns, to = until_ns;

	if (to <= from)
		return 0;
	m->s.accounted_ns = to;
	if (from < m->model->from_ns)
		from = m->model->from_ns;
	if (to > m->model->to_ns)
		to = m->model->to_ns;
	if (from >= to)
		return 0;
	m->s.state_ns[state] += to - from;
	if (!(WS_STATES_AT_WORK >> state & 1)) {
		m->s.work_ns = 0;
		m->s.work_blocked_ns = 0;
		return to - from;
	}
	m->s.work_ns += to - from;
	if (state == WS_STATE_SEND_BLOCKED)
		m->s.work_blocked_ns += to - from;
	return to - from;
}
/* Does anybody want to read details? */
static inline bool ws_timeline_wanted(const struct ws_machine *m)
{
	return m->model->observer.segment != NULL;
}

/* backup.c */
void ws_backup_feed(struct ws_machine *m, const struct ws_rec_backup *rec);
void ws_backup_progress(struct ws_machine *m, const struct ws_rec_progress *rec);

/* blocked.c */
void ws_blocked_feed(struct ws_machine *m, const struct ws_rec_blocked *rec);
/* Signals that stop a process, or let it go on. */
bool ws_blocked_is_signal(uint32_t signal);
void ws_blocked_signal(struct ws_machine *m, const struct ws_rec_signal *rec);
/* It made a record itself. */
void ws_blocked_over(struct ws_machine *m, uint64_t time_ns);
/* Cuts a slice of `state` that begins at from_ns short: to what is in front of the first stretch
 * that can have been in it, or to that stretch, with its state and detail. False: it is whole. */
bool ws_blocked_cut(struct ws_machine *m, enum ws_state state, uint64_t from_ns,
		    struct ws_slice *slice);
void ws_blocked_deinit(struct ws_machine *m);

/* command.c */
void ws_command_begin(struct ws_machine *m, const struct ws_rec *rec);
void ws_command_text(struct ws_machine *m, const struct ws_rec_text *rec);
void ws_command_text_sum(struct ws_machine *m, const struct ws_rec_text_sum *rec);
void ws_command_is_sql(struct ws_machine *m);
void ws_command_done(struct ws_machine *m, uint64_t time_ns);
/* The process ended while it may have been in a command. */
void ws_command_exit(struct ws_machine *m, uint64_t time_ns);
void ws_command_finish(struct ws_machine *m); /* tells a running one */
void ws_command_gap(struct ws_machine *m, uint64_t from_ns);
/* It reached the send loop. */
void ws_command_streams(struct ws_machine *m);
/* It was seen at work behind the gap. */
void ws_command_goes_on(struct ws_machine *m);
void ws_command_error(struct ws_machine *m, const struct ws_rec_error *rec);
/* A message that is refused came in, which no command is running for. */
void ws_command_message(struct ws_machine *m, const struct ws_rec_message *rec);
/* No more text comes: looks at what there is, and closes what an error has ended. */
void ws_command_settle(struct ws_machine *m);
/* The session ended: what it ended with is kept until ws_command_deinit. */
void ws_command_release(struct ws_machine *m);
void ws_command_deinit(struct ws_machine *m);

/* text.c: assembly, and reading replication commands */
int ws_assembly_add(struct ws_assembly *text, const struct ws_rec_text *chunk);
void ws_assembly_sum(struct ws_assembly *text, const struct ws_rec_text_sum *rec);
/* Cuts at the first missing byte, or behind the last whole character. Returns true if something is
 * missing. */
bool ws_assembly_finish(struct ws_assembly *text);
void ws_assembly_clear(struct ws_assembly *text);
void ws_assembly_deinit(struct ws_assembly *text);
struct ws_parsed {
	char keyword[WS_KIND_TEXT_LEN]; /* upper case, "" if there is none */
	char slot[WS_NAME_LEN];	   /* of START_REPLICATION and CREATE_REPLICATION_SLOT, or "" */
	enum ws_session_kind kind; /* what the command makes the session; UNKNOWN: nothing */
	bool replication;	   /* the keyword is one of a replication command */
};
void ws_parse_command(const char *text, size_t len, struct ws_parsed *parsed);

/* exit.c */
/* What an error says about an end that may follow: bits for m->clues. */
uint32_t ws_exit_clues(const struct ws_problem *problem);
/* Those of an error, behind those of the errors before it. */
uint32_t ws_exit_add_clues(uint32_t clues, uint32_t more);
/* Is the process about to exit after an error with these clues? */
bool ws_exit_follows(uint32_t clues);
enum ws_exit_reason ws_exit_explain(const struct ws_machine *m);
/* A signal was sent to it. */
void ws_exit_add_signal(struct ws_machine *m, const struct ws_rec_signal *signal);
void ws_exit_ending(struct ws_machine *m, const struct ws_rec_ending *rec);
/* The signal that made it end so, NULL if none did or none is known. */
const struct ws_signal_by *ws_exit_signal(const struct ws_machine *m);

/* slot.c */
/* A server process reported that it takes a slot away, perhaps this session's. */
void ws_slot_report(struct ws_machine *m, const struct ws_rec_slot *rec);
/* This session streams from its slot: whoever had to release it, it is still good. */
void ws_slot_streams(struct ws_machine *m);

/* client.c */
/* The first command that will be seen is the client's first one, or that is not known. */
void ws_client_init(struct ws_machine *m, bool seen_from_start);
void ws_client_command(struct ws_machine *m, const char *text, size_t len);
/* It sent what no program of PostgreSQL sends. */
void ws_client_foreign(struct ws_machine *m);
/* It takes what is streamed to it, and has said up to where it has applied it (0: it has not). */
void ws_client_listens(struct ws_machine *m, uint64_t apply_lsn);
void ws_client_gap(struct ws_machine *m);
/* Decides anew. */
void ws_client_judge(struct ws_machine *m);

/* pattern.c */
/*
 * Is the text as the pattern says? %d is a decimal number, %l a WAL position, %q what stands
 * between double quotes, %n a name with or without quotes, %p this process id (any if it is 0), %y
 * the name of a table synchronisation's slot; * at the end is anything.
 */
bool ws_pattern_matches(const char *pattern, const char *text, size_t len, uint32_t pid);

/* wire.c */
void ws_wire_turn(struct ws_machine *m, const struct ws_rec_turn *rec);
/* The socket's counters; what they have grown by counts in the window of the record at hand. */
void ws_wire_sample(struct ws_machine *m, uint64_t wire, uint64_t acked);
void ws_wire_end(struct ws_machine *m, uint64_t wire, uint64_t acked);

/* lag.c */
/* It begins to send here; 0: that is not known. */
void ws_lag_begin(struct ws_machine *m, uint64_t lsn);
void ws_lag_sent(struct ws_machine *m, const struct ws_rec_turn *rec);
void ws_lag_reply(struct ws_machine *m, const struct ws_rec_turn *rec);
void ws_lag_deinit(struct ws_machine *m); /* nothing more is sent */

/* metrics.c */
void ws_metrics_turn(struct ws_machine *m, const struct ws_rec_turn *rec, bool reply);
void ws_metrics_command(struct ws_machine *m, uint64_t duration_ns);
void ws_metrics_lag(struct ws_machine *m, enum ws_metric metric, uint64_t ns);
void ws_metrics_stream_end(struct ws_machine *m);

#endif
