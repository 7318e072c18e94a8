/* SPDX-License-Identifier: BSD-2-Clause */
/* Sessions that end, and begin again: what those of one client show together. */
#include <string.h>

#include "base/util.h"
#include "diagnose/evidence.h"

static uint64_t start_lsn(const struct ws_track *t)
{
	return t->command.start_lsn ? t->command.start_lsn : t->start_lsn;
}

typedef bool (*member_fn)(const struct ws_track *t);

/* So long after its client has been told, or has gone, a process may take to end. */
#define ENDING_NS 100000000ULL

/* Where the client of one that has ended has left it: it may come again from then on. */
static uint64_t left_ns(const struct ws_track *t)
{
	uint64_t half = (t->ended_ns - t->s->begin_ns) / 2;

	if (t->ended_by == WS_END_REPLICATION_TIMEOUT && t->last_reply_ns)
		return t->last_reply_ns;
	return t->ended_ns - (half < ENDING_NS ? half : ENDING_NS);
}

/* Of those that fit the longest row in which each begins behind the end of the one before: what
 * several clients of one name do at a time, none of them does again and again. */
struct row {
	member_fn fits;
	size_t at; /* of the members, which are in the order of their starts */
	uint64_t after_ns;
};

static const struct ws_track *next_in_row(const struct ws_case *c, struct row *row)
{
	const struct ws_track *next = NULL;

	for (; row->at < c->member_count; row->at++) {
		const struct ws_track *m = c->members[row->at];

		if (next && m->s->begin_ns >= left_ns(next))
			break;
		if (m->s->begin_ns >= row->after_ns && row->fits(m) &&
		    (!next || left_ns(m) < left_ns(next)))
			next = m;
	}
	if (next)
		row->after_ns = left_ns(next);
	return next;
}

/* How many of a row, up to `which`, began where that did. */
static size_t same_start(const struct ws_case *c, struct row row, const struct ws_track *which)
{
	const struct ws_track *m = NULL;
	size_t n = 0;

	while (m != which && (m = next_in_row(c, &row)))
		n += start_lsn(which) && start_lsn(m) == start_lsn(which);
	return n;
}

/* "; it is the 7th restart at 4/66D1A2D0": of so many that began where the last one did. */
static void say_restarts(size_t same, const struct ws_track *t, struct ws_finding *f)
{
	size_t restarts = same ? same - 1 : 0;
	char lsn[WS_LSN_TEXT];
	const char *th = "th";

	if (!restarts)
		return;
	ws_fact(f, "restarts_there", restarts, "sessions");
	if (restarts / 10 % 10 != 1)
		th = restarts % 10 == 1	  ? "st"
		     : restarts % 10 == 2 ? "nd"
		     : restarts % 10 == 3 ? "rd"
					  : "th";
	ws_say(f, "; the last is the %zu%s restart at %s", restarts, th,
	       ws_lsn_format(start_lsn(t), lsn));
}

/* One of them that began behind `t` and goes on, for longer than one that is part of a loop. */
static const struct ws_track *goes_on(const struct ws_case *c, const struct ws_track *t)
{
	for (size_t i = 0; i < c->member_count; i++) {
		const struct ws_track *m = c->members[i];

		if (!m->ended_ns && m->s->begin_ns >= t->ended_ns &&
		    c->to_ns > m->s->begin_ns + ws_limit_ns(WS_LIMIT_SHORT_SESSION))
			return m;
	}
	return NULL;
}

/* Of a long recording: what was a loop, or an error, may be over. */
static void say_when(const struct ws_case *c, const struct ws_track *t, struct ws_finding *f)
{
	uint64_t ago = t->ended_ns && c->to_ns > t->ended_ns ? c->to_ns - t->ended_ns : 0;
	const struct ws_track *now = goes_on(c, t);
	char text[WS_DURATION_TEXT];

	if (ago < ws_limit_ns(WS_LIMIT_SHORT_SESSION))
		return;
	ws_fact(f, "last_ended_before", ago, "ns");
	ws_say(f, "; the last of them ended %s ago", ws_duration_format(ago, text));
	if (!now)
		return;
	f->confidence /= 2;
	ws_fact(f, "goes_on_as", now->s->pid, "");
	ws_say(f, ", and walsender %u goes on since, for %s: it seems to be over", now->s->pid,
	       ws_duration_format(c->to_ns - now->s->begin_ns, text));
}

/* How it stood when it was given up. */
static void say_given_up(const struct ws_track *t, struct ws_finding *f)
{
	uint64_t silent = t->last_reply_ns && t->ended_ns > t->last_reply_ns
				  ? t->ended_ns - t->last_reply_ns
				  : 0;
	uint64_t pinged = t->ping_ns && t->ended_ns > t->ping_ns ? t->ended_ns - t->ping_ns : 0;
	bool local = t->has_sample && (t->sample.valid & WS_SAMPLE_UNIX);
	uint64_t queued = local ? t->sample.unix_queued_bytes
				: (uint64_t)t->socket.in_flight_bytes + t->socket.unsent_bytes;
	char text[WS_DURATION_TEXT], bytes[WS_BYTES_TEXT];

	ws_say(f, "; when the last one was given up it had ");
	if (silent) {
		ws_fact(f, "since_last_reply", silent, "ns");
		ws_say(f, "not replied for %s", ws_duration_format(silent, text));
	} else {
		ws_say(f, "not replied at all");
	}
	if (pinged) {
		ws_fact(f, "since_reply_asked_for", pinged, "ns");
		ws_say(f, ", had been asked to %s before", ws_duration_format(pinged, text));
	}
	if (!local && !t->has_tcp)
		return;
	ws_fact(f, "queued", queued, "bytes");
	ws_say(f, ", and %s were on their way to it", ws_bytes_format(queued, bytes));
}

static bool timed_out(const struct ws_track *t)
{
	return t->ended_by == WS_END_REPLICATION_TIMEOUT;
}

/* It left the stream without CopyDone. */
static bool left_in_midstream(const struct ws_track *t)
{
	return strcmp(t->command.kind, "START_REPLICATION") == 0 && t->command.end_ns &&
	       t->command.end_ns == t->ended_ns;
}

/* One that was found at it began its stream before. */
static bool streamed(const struct ws_track *t)
{
	return t->streams || t->starts;
}

/*
 * These stream for as long as they can. When one of them fails it takes leave of the server in good
 * order: an apply worker in conflict, a walreceiver on another time line (walrcv_disconnect). A
 * pg_receivewal that cannot write does so too, in the midst of the stream, and where it was told to
 * end, behind CopyDone (receivelog.c). A pg_recvlogical leaves in midstream either way, up to 16
 * (StreamLogicalLog, pg_recvlogical.c): of its leave nothing follows.
 */
static bool should_stay(const struct ws_track *t)
{
	switch (t->s->program) {
	case WS_PROGRAM_APPLY_WORKER:
	case WS_PROGRAM_WALRECEIVER:
	case WS_PROGRAM_CASCADING_STANDBY:
		return streamed(t);
	case WS_PROGRAM_PG_RECEIVEWAL:
		return streamed(t) && left_in_midstream(t);
	default:
		return false;
	}
}

static bool broke_off(const struct ws_track *t)
{
	switch (t->ended_by) {
	case WS_END_CLIENT_TERMINATED:
		return t->error.sqlstate[0] ? t->s->kind != WS_SESSION_KIND_SQL : should_stay(t);
	case WS_END_CLIENT_EOF:
	case WS_END_CONNECTION_LOST:
	case WS_END_FATAL:
	case WS_END_REFUSED:
		return true;
	default:
		return t->error.sqlstate[0] && t->s->kind != WS_SESSION_KIND_SQL;
	}
}

/* That is no cause: it says that the client is gone, and not why. One that the server has refused
 * before has its reason. */
static bool just_gone(const struct ws_track *t)
{
	return (t->ended_by == WS_END_CLIENT_EOF || t->ended_by == WS_END_CONNECTION_LOST) &&
	       (!t->error.sqlstate[0] || strncmp(t->error.sqlstate, "08", 2) == 0);
}

/* One that was found running may be older than what is known of it. */
static bool ended_soon(const struct ws_track *t)
{
	uint64_t begin = t->s->begin_ns;

	if (t->s->fork_ns && t->s->fork_ns < begin)
		begin = t->s->fork_ns;
	return t->ended_ns && t->ended_ns - begin <= ws_limit_ns(WS_LIMIT_SHORT_SESSION);
}

static bool is_backup(const struct ws_track *t)
{
	return t->s->kind == WS_SESSION_KIND_BACKUP;
}

/* A backup that is broken off has done no work, however long it took. */
static bool fails(const struct ws_track *t)
{
	if (!t->ended_ns || t->ended_by == WS_END_REPLICATION_TIMEOUT || !broke_off(t))
		return false;
	return is_backup(t) ? t->command.outcome != WS_OUTCOME_OK : ended_soon(t);
}

/* One that did its work for long, between these two: no loop goes on across it. It is among the
 * members from `at` on. */
static bool worked_between(const struct ws_case *c, size_t at, const struct ws_track *a,
			   const struct ws_track *b)
{
	for (; at < c->member_count && c->members[at]->s->begin_ns < b->s->begin_ns; at++) {
		const struct ws_track *m = c->members[at];

		if (m->s->begin_ns >= a->ended_ns && m->ended_ns && m->ended_ns <= b->s->begin_ns &&
		    !ended_soon(m) && !fails(m))
			return true;
	}
	return false;
}

/* The last loop, if there is one. */
struct loop {
	struct row from;
	size_t count;
	const struct ws_track *first, *last;
	const struct ws_track *error; /* of those with one that tells why, the last */
};

/* No loop goes on across what is between these two of a row: see worked_between. */
typedef bool (*apart_fn)(const struct ws_case *c, size_t at, const struct ws_track *a,
			 const struct ws_track *b);

static void find_loop(const struct ws_case *c, member_fn fits, apart_fn apart, enum ws_limit least,
		      struct loop *loop)
{
	struct row row = { .fits = fits }, before = row;
	struct loop now = { .from = row };
	const struct ws_track *m;

	*loop = now;
	while ((m = next_in_row(c, &row))) {
		if (now.last && apart(c, before.at, now.last, m))
			now = (struct loop){ .from = before };
		now.count++;
		now.first = now.first ? now.first : m;
		now.last = m;
		now.error = m->error.sqlstate[0] && !just_gone(m) ? m : now.error;
		if ((double)now.count >= ws_limit(least))
			*loop = now;
		before = row;
	}
}

/* A client of a backup has a second session for the WAL meanwhile (pg_basebackup -X stream), and
 * both end when it does: it is enough that one of those that end so is the backup's. */
static bool of_backups(const struct ws_case *c, const struct loop *loop)
{
	for (size_t i = 0; i < c->member_count; i++) {
		const struct ws_track *m = c->members[i];

		if (is_backup(m) && fails(m) && m->ended_ns > loop->first->s->begin_ns &&
		    m->s->begin_ns < loop->last->ended_ns)
			return true;
	}
	return false;
}

/* The client has come further, and did its work for long before it fell silent again, or another
 * session of it did between: these two have nothing to do with each other. */
static bool gets_on_between(const struct ws_case *c, size_t at, const struct ws_track *a,
			    const struct ws_track *b)
{
	uint64_t begin = b->s->begin_ns, replied = b->last_reply_ns;

	if (start_lsn(b) && start_lsn(a) == start_lsn(b))
		return false;
	return (replied > begin && replied - begin > ws_limit_ns(WS_LIMIT_SHORT_SESSION)) ||
	       worked_between(c, at, a, b);
}

WS_RULE(timeout_loop)
{
	const struct ws_track *t;
	struct loop loop;
	char lsn[WS_LSN_TEXT];
	size_t same;

	find_loop(c, timed_out, gets_on_between, WS_LIMIT_TIMEOUTS, &loop);
	t = loop.last;
	if (!t)
		return false;
	same = same_start(c, loop.from, t);
	f->confidence = same >= 2 ? 0.95 : 0.8;
	ws_fact(f, "timeouts", loop.count, "sessions");
	ws_fact(f, "sessions", c->member_count, "sessions");
	ws_fact(f, "same_start", same, "sessions");
	ws_fact_lsn(f, "start", start_lsn(t));
	ws_say(f, "%zu sessions in a row were ended by wal_sender_timeout", loop.count);
	if (same >= 2)
		ws_say(f, ", and %zu began at the same position, %s: the client gets no further",
		       same, ws_lsn_format(start_lsn(t), lsn));
	else
		f->advice = "The client gets on, and falls silent for longer than "
			    "wal_sender_timeout again and again: see what it does then (its own "
			    "log, its disk, the way to it).";
	say_restarts(same, t, f);
	say_given_up(t, f);
	say_when(c, t, f);
	ws_say(f, ".");
	return true;
}

/* A walsender leaves with status 2, or is killed, where its server takes no time for more. */
static bool was_stopped_at_once(const struct ws_track *t)
{
	return t->ended_by == WS_END_SHUTDOWN && (t->s->exit_code == 2 || t->s->exit_signal > 0);
}

static bool went_with_server(const struct ws_track *t)
{
	return t->ended_by == WS_END_CRASH_RESTART || t->ended_by == WS_END_POSTMASTER_DEATH ||
	       was_stopped_at_once(t);
}

/* However long they did their work between. */
static bool never_apart(const struct ws_case *c, size_t at, const struct ws_track *a,
			const struct ws_track *b)
{
	(void)c;
	(void)at;
	(void)a;
	(void)b;
	return false;
}

/* The server refuses it while it starts up: that follows from its crashes. */
static bool fails_by_itself(const struct ws_track *t)
{
	return fails(t) && strcmp(t->error.sqlstate, "57P03") != 0;
}

/* The server went, with a session of this client: what fails behind it is no part of what failed in
 * front of it. */
static bool server_went_between(const struct ws_case *c, size_t at, const struct ws_track *a,
				const struct ws_track *b)
{
	for (size_t i = at; i < c->member_count && c->members[i]->s->begin_ns < b->s->begin_ns;
	     i++) {
		const struct ws_track *m = c->members[i];

		if (m->s->begin_ns >= a->ended_ns && m->ended_ns && m->ended_ns <= b->s->begin_ns &&
		    went_with_server(m))
			return true;
	}
	return worked_between(c, at, a, b);
}

/* Then it is no client that connects again and again; unless it has done so since. While a server
 * starts up again it refuses. */
static bool server_goes(const struct ws_case *c, const struct loop *clients, struct loop *server)
{
	find_loop(c, went_with_server, never_apart, WS_LIMIT_RECONNECTS, server);
	return server->last &&
	       (!clients->last || clients->last->ended_ns <= server->last->ended_ns ||
		(clients->error && strcmp(clients->error->error.sqlstate, "57P03") == 0));
}

/* What the client did over and over while its server was there is not the server's doing. */
static void say_own_loop(const struct ws_case *c, struct ws_finding *f)
{
	const struct ws_track *error;
	char ago[WS_DURATION_TEXT];
	struct loop own;

	find_loop(c, fails_by_itself, server_went_between, WS_LIMIT_RECONNECTS, &own);
	if (!own.last)
		return;
	error = own.error;
	ws_fact(f, "short_sessions", own.count, "sessions");
	ws_say(f,
	       " The client itself connected again and again, too, while the server was there: "
	       "%zu sessions ended soon",
	       own.count);
	if (error)
		ws_say_error(f, ", with", &error->error);
	if (c->to_ns > own.last->ended_ns)
		ws_say(f, ", the last %s ago",
		       ws_duration_format(c->to_ns - own.last->ended_ns, ago));
	ws_say(f, ".");
}

static bool say_server_goes(const struct ws_case *c, const struct loop *loop, struct ws_finding *f)
{
	uint64_t first = loop->first->ended_ns, last = loop->last->ended_ns;
	uint64_t every = last > first ? (last - first) / (loop->count - 1) : 0;
	struct row row = loop->from;
	const struct ws_track *m = NULL;
	size_t stops = 0;
	char ago[WS_DURATION_TEXT], interval[WS_DURATION_TEXT];

	while (m != loop->last && (m = next_in_row(c, &row)))
		stops += was_stopped_at_once(m);
	f->confidence = 0.9;
	f->advice = stops == loop->count
			    ? "See who stops the server in immediate mode (a cluster manager, a "
			      "service with too short a time-out): its own log has each request."
			    : "It is the server, not the client: its log says which process was "
			      "terminated by which signal, or what it could not do (PANIC); the "
			      "kernel's log, whether memory had run out.";
	ws_fact(f, "server_crashes", loop->count - stops, "");
	if (stops)
		ws_fact(f, "immediate_shutdowns", stops, "");
	ws_fact(f, "first_ended_before", c->to_ns > first ? c->to_ns - first : 0, "ns");
	ws_fact(f, "interval", every, "ns");
	ws_say(f,
	       "The server itself %s again and again: %zu sessions of this client in a row ended "
	       "with it, the first %s ago, one in %s",
	       stops == loop->count ? "is stopped in immediate mode"
	       : stops		    ? "crashes, or is stopped in immediate mode,"
				    : "crashes",
	       loop->count, ws_duration_format(c->to_ns > first ? c->to_ns - first : 0, ago),
	       ws_duration_format(every, interval));
	say_when(c, loop->last, f);
	ws_say(f, ".");
	say_own_loop(c, f);
	return true;
}

/* Of a standby's slot that is synchronised from its primary (17 and later). */
static bool is_synchronised(const struct ws_track *t)
{
	return t->s->cascading && t->error.about_slot && strcmp(t->error.sqlstate, "55000") == 0 &&
	       strstr(t->error.message, "cannot use replication slot");
}

WS_RULE(reconnect_loop)
{
	const struct ws_track *t, *error;
	struct loop loop, server;
	bool backups;

	find_loop(c, fails, worked_between, WS_LIMIT_RECONNECTS, &loop);
	if (server_goes(c, &loop, &server))
		return say_server_goes(c, &server, f);
	t = loop.last;
	if (!t)
		return false;
	backups = of_backups(c, &loop);
	error = loop.error || !t->error.sqlstate[0] ? loop.error : t;
	f->confidence = error ? 0.9 : 0.7;
	ws_fact(f, backups ? "broken_off" : "short_sessions", loop.count, "sessions");
	ws_fact_lsn(f, "start", start_lsn(t));
	if (!error)
		ws_fact_text(f, "end", ws_exit_reason_name(t->ended_by));
	if (backups)
		ws_say(f, "The client begins a base backup again and again: %zu were broken off",
		       loop.count);
	else
		ws_say(f, "The client connects again and again: %zu sessions ended soon",
		       loop.count);
	if (error)
		ws_say_error(f, error == t ? ", the last with" : ", some with an error, of late",
			     &error->error);
	if (error && is_synchronised(error)) {
		f->advice = "The slot is synchronized from the primary: nobody can stream from it "
			    "here before this standby is promoted. Let the client connect to the "
			    "primary, or use a slot made on this standby.";
		ws_say(f, ", as the slot is one that this standby synchronizes from its primary");
	}
	if (just_gone(t))
		ws_say(f,
		       ", %s connection broken off as by a client that crashed or was killed: "
		       "the client's own log says why",
		       error && error != t ? "and the last one's" : "its");
	else if (!error && t->ended_by == WS_END_CLIENT_TERMINATED)
		ws_say(f, ", and it is the client that ends them: its own log says why");
	say_restarts(same_start(c, loop.from, t), t, f);
	say_when(c, t, f);
	ws_say(f, ".");
	return true;
}

/* The segment's name is 24 hexadecimal digits, in whatever language the message is. */
static bool segment_in(const char *message, char out[25])
{
	static const char digits[] = "0123456789ABCDEF";

	for (const char *at = message; *at; at++) {
		size_t n = strspn(at, digits);

		if (n == 24) {
			memcpy(out, at, 24);
			out[24] = '\0';
			return true;
		}
		at += n ? n - 1 : 0;
	}
	return false;
}

WS_RULE(wal_removed)
{
	const struct ws_track *t = NULL;
	char segment[25] = "", lsn[WS_LSN_TEXT];
	size_t n = 0;

	for (size_t i = 0; i < c->member_count; i++) {
		const struct ws_last_error *error = &c->members[i]->error;

		if (strcmp(error->sqlstate, "58P01") != 0 ||
		    strcmp(error->kind, "START_REPLICATION") != 0)
			continue;
		n++;
		t = c->members[i];
	}
	if (!n)
		return false;
	f->confidence = segment_in(t->error.message, segment) ? 0.95 : 0.8;
	ws_fact(f, "refused", n, "sessions");
	ws_fact_text(f, "segment", segment);
	ws_fact_lsn(f, "start", start_lsn(t));
	ws_fact_text(f, "sqlstate", t->error.sqlstate);
	ws_say(f, "The client asks for WAL that this server has removed");
	if (segment[0])
		ws_say(f, ": segment %s", segment);
	if (start_lsn(t))
		ws_say(f, " (START_REPLICATION at %s)", ws_lsn_format(start_lsn(t), lsn));
	say_when(c, t, f);
	ws_say(f, ".");
	return true;
}

/* Replay had to go on, and the stream was in its way (ProcessRecoveryConflictInterrupt, postgres.c;
 * 16 and later). One that decodes is in a transaction only while it hands one out: but then it is
 * its slot that replay takes away. */
static bool conflicted(const struct ws_track *t)
{
	return t->s->cascading && t->s->kind == WS_SESSION_KIND_LOGICAL &&
	       strcmp(t->error.kind, "START_REPLICATION") == 0 &&
	       strcmp(t->error.sqlstate, "40001") == 0;
}

static bool in_conflict(const struct ws_track *t, struct ws_finding *f)
{
	if (!conflicted(t))
		return false;
	f->confidence = 0.8;
	f->advice = "walscope slots says by its cause whether the slot is lost: make it anew, and "
		    "copy again what used it. rows_removed: hot_standby_feedback on this standby, "
		    "and a slot of its own on its primary, keep such rows. "
		    "wal_level_insufficient: its primary needs wal_level = logical.";
	ws_fact_text(f, "slot", t->s->slot);
	ws_fact_lsn(f, "sent", t->standing->sent_lsn);
	ws_fact_text(f, "sqlstate", t->error.sqlstate);
	ws_fact_text(f, "message", t->error.message);
	ws_say(f, "This server is a standby, and its replay had to invalidate the slot: what "
		  "decoding needs is gone from the primary (rows of its catalogs, or wal_level = "
		  "logical). It ended the stream for that (SQLSTATE 40001).");
	return true;
}

static bool invalidated(const struct ws_track *t, const struct ws_case *c, struct ws_finding *f)
{
	bool lost = t->ended_by == WS_END_SLOT_INVALIDATED;
	bool stuck = t->taken_ns && !t->ended_ns &&
		     c->to_ns > t->taken_ns + ws_limit_ns(WS_LIMIT_SHUTDOWN);
	char text[WS_DURATION_TEXT];

	if (!lost && !stuck)
		return in_conflict(t, f);
	f->confidence = lost ? 0.95 : 0.8;
	ws_fact_text(f, "slot", t->s->slot);
	ws_fact_lsn(f, "sent", t->standing->sent_lsn);
	if (stuck && ws_track_ending(t) == WS_ENDING_AGAIN)
		f->advice =
			"The session waits for room in its full socket to tell its client that it "
			"ends: end the client, or the session by pg_terminate_backend once "
			"more. Then the slot is lost: rebuild what used it.";
	if (stuck) {
		ws_fact(f, "told_to_end", c->to_ns - t->taken_ns, "ns");
		ws_say(f,
		       "The checkpointer told this session %s ago to end, to take its slot away; "
		       "it is still there (%s), and the slot is not released until it ends.",
		       ws_duration_format(c->to_ns - t->taken_ns, text),
		       ws_state_name(t->standing->state));
		return true;
	}
	ws_say(f, "The server has invalidated the slot and ended the session that used it.");
	return true;
}

/* Refused to stream from the slot (CreateDecodingContext, logical.c). */
static bool refused_slot(const struct ws_track *t)
{
	return strcmp(t->error.sqlstate, "55000") == 0 && t->error.about_slot &&
	       strcmp(t->error.kind, "START_REPLICATION") == 0;
}

/* Which it would not be if it were good (StartLogicalReplication, walsender.c, up to 15). On a
 * standby it may be one that is being synchronised; and a good one is refused in another database
 * than its own. Nothing but the message tells. */
static bool refused_for_good(const struct ws_track *t)
{
	return refused_slot(t) && !strstr(t->error.message, "was not created in this database") &&
	       (!t->s->cascading || strstr(t->error.message, "can no longer "));
}

static bool refused(const struct ws_case *c, struct ws_finding *f)
{
	const struct ws_track *t = NULL;
	size_t n = 0;

	for (size_t i = 0; i < c->member_count; i++) {
		if (!refused_for_good(c->members[i]))
			continue;
		n++;
		t = c->members[i];
	}
	if (!n)
		return false;
	f->confidence = 0.85;
	ws_fact(f, "refused", n, "sessions");
	ws_fact_lsn(f, "start", start_lsn(t));
	ws_say(f,
	       "The slot that the client asks for is invalidated: %zu session%s of it %s refused",
	       n, n == 1 ? "" : "s", n == 1 ? "was" : "were");
	ws_say_error(f, " with", &t->error);
	say_when(c, t, f);
	ws_say(f, ".");
	return true;
}

WS_RULE(slot_invalidated)
{
	if (c->scope == WS_SCOPE_SESSION)
		return invalidated(c->t, c, f);
	for (size_t i = c->member_count; i--;)
		if (invalidated(c->members[i], c, f))
			return true;
	return refused(c, f);
}
