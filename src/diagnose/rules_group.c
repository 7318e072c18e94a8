/* SPDX-License-Identifier: BSD-2-Clause */
/* What several sessions show together, and what a server as a whole does. */
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

WS_RULE(timeout_loop)
{
	const struct row all = { .fits = timed_out };
	const struct ws_track *t = NULL, *m;
	struct row row = all;
	char lsn[WS_LSN_TEXT];
	size_t n = 0, same;

	while ((m = next_in_row(c, &row))) {
		n++;
		t = m;
	}
	if ((double)n < ws_limit(WS_LIMIT_TIMEOUTS))
		return false;
	same = same_start(c, all, t);
	f->confidence = same >= 2 ? 0.95 : 0.8;
	ws_fact(f, "timeouts", n, "sessions");
	ws_fact(f, "sessions", c->member_count, "sessions");
	ws_fact(f, "same_start", same, "sessions");
	ws_fact_lsn(f, "start", start_lsn(t));
	ws_say(f, "%zu sessions in a row were ended by wal_sender_timeout", n);
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

/* It left the stream without CopyDone. */
static bool left_in_midstream(const struct ws_track *t)
{
	return strcmp(t->command.kind, "START_REPLICATION") == 0 && t->command.end_ns &&
	       t->command.end_ns == t->ended_ns;
}

/*
 * These stream for as long as they can. When one of them fails it takes leave of the server in good
 * order: an apply worker in conflict, a walreceiver on another time line (walrcv_disconnect). A
 * pg_receivewal that cannot write does so too, in the midst of the stream, and where it was told to
 * end, behind CopyDone (receivelog.c); likewise pg_recvlogical.
 */
static bool should_stay(const struct ws_track *t)
{
	switch (t->s->program) {
	case WS_PROGRAM_APPLY_WORKER:
	case WS_PROGRAM_WALRECEIVER:
	case WS_PROGRAM_CASCADING_STANDBY:
		return t->streams;
	case WS_PROGRAM_PG_RECEIVEWAL:
	case WS_PROGRAM_PG_RECVLOGICAL:
		return t->streams && left_in_midstream(t);
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

static bool ended_soon(const struct ws_track *t)
{
	return t->ended_ns && t->ended_ns - t->s->begin_ns <= ws_limit_ns(WS_LIMIT_SHORT_SESSION);
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

/* One that did its work for long, between these two: no loop goes on across it. */
static bool worked_between(const struct ws_case *c, const struct ws_track *a,
			   const struct ws_track *b)
{
	for (size_t i = 0; i < c->member_count; i++) {
		const struct ws_track *m = c->members[i];

		if (m->s->begin_ns >= b->s->begin_ns)
			break;
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
	const struct ws_track *last, *error; /* of those with one that tells why, the last */
};

static void find_loop(const struct ws_case *c, struct loop *loop)
{
	struct row row = { .fits = fails }, before = row;
	struct loop now = { .from = row };
	const struct ws_track *m;

	*loop = now;
	while ((m = next_in_row(c, &row))) {
		if (now.last && worked_between(c, now.last, m))
			now = (struct loop){ .from = before };
		now.count++;
		now.last = m;
		now.error = m->error.sqlstate[0] && !just_gone(m) ? m : now.error;
		if ((double)now.count >= ws_limit(WS_LIMIT_RECONNECTS))
			*loop = now;
		before = row;
	}
}

WS_RULE(reconnect_loop)
{
	const struct ws_track *t, *error;
	struct loop loop;

	find_loop(c, &loop);
	t = loop.last;
	if (!t)
		return false;
	error = loop.error || !t->error.sqlstate[0] ? loop.error : t;
	f->confidence = error ? 0.9 : 0.7;
	ws_fact(f, is_backup(t) ? "broken_off" : "short_sessions", loop.count, "sessions");
	ws_fact_lsn(f, "start", start_lsn(t));
	if (error) {
		ws_fact_text(f, "sqlstate", error->error.sqlstate);
		ws_fact_text(f, "message", error->error.message);
	} else {
		ws_fact_text(f, "end", ws_exit_reason_name(t->ended_by));
	}
	if (is_backup(t))
		ws_say(f, "The client begins a base backup again and again: %zu were broken off",
		       loop.count);
	else
		ws_say(f, "The client connects again and again: %zu sessions ended soon",
		       loop.count);
	if (error == t)
		ws_say(f, ", the last with SQLSTATE %s", error->error.sqlstate);
	else if (error)
		ws_say(f, ", some with an error, of late SQLSTATE %s", error->error.sqlstate);
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

static bool invalidated(const struct ws_track *t, const struct ws_case *c, struct ws_finding *f)
{
	bool lost = t->ended_by == WS_END_SLOT_INVALIDATED;
	bool stuck = t->taken_ns && !t->ended_ns &&
		     c->to_ns > t->taken_ns + ws_limit_ns(WS_LIMIT_SHUTDOWN);
	char text[WS_DURATION_TEXT];

	if (!lost && !stuck)
		return false;
	f->confidence = lost ? 0.95 : 0.8;
	ws_fact_text(f, "slot", t->s->slot);
	ws_fact_lsn(f, "sent", t->standing->sent_lsn);
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

/* The server has refused to stream from the slot, which it would if it were good
 * (CreateDecodingContext, logical.c; StartLogicalReplication, walsender.c, up to 15). On a standby
 * it may be one that is being synchronised; and a good one is refused in another database than its
 * own, which nothing but the message tells. */
static bool refused_for_good(const struct ws_track *t)
{
	return strcmp(t->error.sqlstate, "55000") == 0 && t->error.about_slot &&
	       !strstr(t->error.message, "was not created in this database") &&
	       strcmp(t->error.kind, "START_REPLICATION") == 0 && !t->s->cascading;
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
	ws_fact_text(f, "sqlstate", t->error.sqlstate);
	ws_fact_text(f, "message", t->error.message);
	ws_fact_lsn(f, "start", start_lsn(t));
	ws_say(f,
	       "The slot that the client asks for is invalidated: %zu session%s of it %s refused "
	       "(SQLSTATE %s)",
	       n, n == 1 ? "" : "s", n == 1 ? "was" : "were", t->error.sqlstate);
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

/* It matches synchronous_standby_names, and never confirms a flush: it counts for nobody
 * (SyncRepGetCandidateStandbys, syncrep.c). */
static const struct ws_track *never_flushes(const struct ws_case *c)
{
	for (size_t i = 0; i < c->member_count; i++) {
		const struct ws_track *m = c->members[i];

		if (ws_track_streams(m) && m->watch[WS_FLUSH].known && !m->watch[WS_FLUSH].last &&
		    ws_sync_place(c->server->names, m->s->application))
			return m;
	}
	return NULL;
}

static uint64_t lasts(const struct ws_case *c, uint64_t since_ns)
{
	since_ns = since_ns > c->from_ns ? since_ns : c->from_ns;
	return c->to_ns > since_ns ? c->to_ns - since_ns : 0;
}

WS_RULE(sync_standby_missing)
{
	const struct ws_server_track *server = c->server;
	const struct ws_rec_cluster *r = &server->cluster;
	const struct ws_track *idle = never_flushes(c);
	uint32_t matching = r->sync_walsenders - (idle && r->sync_walsenders);
	uint64_t since = server->missing_since_ns, still;
	struct ws_sync sync;
	char text[WS_DURATION_TEXT];

	ws_sync_read(server->names, &sync);
	if (!since && matching < sync.needed)
		since = server->waiting_since_ns;
	still = lasts(c, since);
	if (!since || still < ws_limit_ns(WS_LIMIT_SYNC))
		return false;
	f->confidence = 0.95;
	ws_fact(f, "commits_waiting", r->sync_waiters, "backends");
	ws_fact(f, "for", still, "ns");
	ws_fact(f, "matching_walsenders", r->sync_walsenders, "walsenders");
	ws_fact_text(f, "synchronous_standby_names", server->names);
	ws_fact(f, "needed", sync.needed, "standbys");
	ws_say(f, "%u commits wait for a synchronous standby, and for %s ", r->sync_waiters,
	       ws_duration_format(still, text));
	if (!r->sync_walsenders)
		ws_say(f, "no connected one matches synchronous_standby_names.");
	else
		ws_say(f,
		       "%u of the %u that have to confirm by synchronous_standby_names could: "
		       "no other one that matches is connected.",
		       matching, sync.needed);
	if (idle) {
		ws_fact(f, "never_confirms_a_flush", idle->s->pid, "");
		ws_say(f,
		       " Walsender %u (%s) matches and confirms no flush, which never counts "
		       "(pg_receivewal needs --synchronous for that).",
		       idle->s->pid, idle->s->application);
	}
	return true;
}

/* -- shutdowns */

static bool is_stopping(const struct ws_track *t)
{
	return t->standing->walsnd_state == WS_WALSND_STOPPING;
}

enum hearing { HEARING_UNKNOWN = 0, HEARS, DEAF };

/* Does it hear in this state that it is to stop? A physical one stops with its next turn
 * (XLogSendPhysical); a logical one stays as it is until all is confirmed (XLogSendLogical,
 * WalSndDone), so that nothing tells whether it has heard. */
static enum hearing hearing(const struct ws_track *t)
{
	switch (t->standing->state) {
	case WS_STATE_SEND_BLOCKED:
	case WS_STATE_RECV_BLOCKED:
	case WS_STATE_WAIT_STANDBY:
	case WS_STATE_STOPPED:
		return DEAF;
	case WS_STATE_WAIT_WAL:
	case WS_STATE_READ_WAL:
	case WS_STATE_SEND:
	case WS_STATE_REPLY:
	case WS_STATE_IDLE:
	case WS_STATE_WAIT_COPYDONE:
	case WS_STATE_STOPPING:
		return t->s->kind == WS_SESSION_KIND_PHYSICAL ? HEARS : HEARING_UNKNOWN;
	default:
		return HEARING_UNKNOWN;
	}
}

/*
 * A shutdown first lets all clients but walsenders go, a smart one as long as they like; tells
 * walsenders to stop, and waits until they have; makes its checkpoint; and waits until they have
 * sent and been confirmed all of it, and end (PostmasterStateMachine, postmaster.c; ShutdownXLOG,
 * xlog.c).
 */
struct shutdown {
	uint64_t since_ns;
	bool known;	 /* which phase it is in, by pg_control */
	bool after;	 /* the checkpoint */
	bool told;	 /* walsenders were told to stop, as far as can be seen */
	size_t stopping; /* of those that stream */
};

static void look_at_shutdown(const struct ws_case *c, struct shutdown *down)
{
	const struct ws_rec_cluster *r = &c->server->cluster;
	size_t streaming = 0;
	uint64_t spins_ns;
	bool known;

	*down = (struct shutdown){ .since_ns = c->server->asked_fast_ns };
	if (!down->since_ns)
		down->since_ns = c->server->asked_ns;
	if (!down->since_ns)
		down->since_ns = c->server->stopping_ns;
	known = down->since_ns;
	for (size_t i = 0; i < c->member_count; i++) {
		const struct ws_track *m = c->members[i];

		streaming += ws_track_streams(m);
		if (ws_track_spins(m, c->to_ns)) {
			down->told = true;
			spins_ns = c->to_ns - m->s->work_ns;
			if (!known && (!down->since_ns || spins_ns < down->since_ns))
				down->since_ns = spins_ns;
		}
		if (!ws_track_streams(m) || !is_stopping(m))
			continue;
		down->stopping++;
		if (!down->since_ns || m->standing->state_since_ns < down->since_ns)
			down->since_ns = m->standing->state_since_ns;
	}
	down->known = c->server->has_cluster && (r->valid & WS_CLUSTER_STATE);
	down->after = down->known ? r->db_state == WS_DB_SHUTDOWNED ||
					    r->db_state == WS_DB_SHUTDOWNED_IN_RECOVERY
				  : streaming && down->stopping == streaming;
	down->told |= c->server->asked_fast_ns || down->stopping || down->after;
}

static bool holds_up(const struct shutdown *down, const struct ws_track *t)
{
	if (!ws_track_streams(t))
		return false;
	/* Which phase it is in is a guess: one that has nothing to wait for is not blamed. */
	if (down->after)
		return down->known || ws_track_confirmed(t) < t->standing->sent_lsn;
	return !is_stopping(t) && (down->told ? hearing(t) != HEARS : hearing(t) == DEAF);
}

/* All that there is has to be sent and confirmed, not only what is sent by now. */
static void say_confirmed(const struct ws_track *t, struct ws_finding *f)
{
	uint64_t sent = t->standing->sent_lsn, end = t->watch[WS_TARGET].last;
	char lsn[WS_LSN_TEXT], left[WS_BYTES_TEXT];

	end = end > sent ? end : sent;
	ws_fact_lsn(f, "to_be_confirmed", end);
	ws_fact_lsn(f, "sent", sent);
	ws_fact_lsn(f, "confirmed", ws_track_confirmed(t));
	ws_say(f, ": it has sent up to %s", ws_lsn_format(sent, lsn));
	if (end > sent)
		ws_say(f, ", %s short of the end at %s", ws_bytes_format(end - sent, left),
		       ws_lsn_format(end, lsn));
	if (ws_track_confirmed(t))
		ws_say(f, ", and the client has confirmed %s.",
		       ws_lsn_format(ws_track_confirmed(t), lsn));
	else
		ws_say(f, ", and the client has confirmed nothing since it is watched.");
}

WS_RULE(shutdown_waits_for_standby)
{
	const struct ws_track *t = NULL;
	char id[WS_SESSION_ID_TEXT];
	struct shutdown down;
	const char *phase;
	size_t others = 0;

	look_at_shutdown(c, &down);
	if (!down.since_ns || c->to_ns < down.since_ns + ws_limit_ns(WS_LIMIT_SHUTDOWN))
		return false;
	for (size_t i = 0; i < c->member_count; i++) {
		if (!holds_up(&down, c->members[i]))
			continue;
		others += t != NULL;
		t = t ? t : c->members[i];
	}
	if (!t)
		return false;
	phase = down.after ? "after the shutdown checkpoint" : "before the shutdown checkpoint";
	f->confidence = !down.told ? 0.5 : down.known ? 0.95 : 0.75;
	ws_fact_text(f, "phase", phase);
	ws_fact_text(f, "session", ws_session_id(t->s, id));
	ws_fact(f, "pid", t->s->pid, "");
	ws_fact_text(f, "application_name", t->s->application);
	ws_say(f, "The shutdown waits, %s, for walsender %u", phase, t->s->pid);
	if (t->s->application[0])
		ws_say(f, " (%s)", t->s->application);
	if (others)
		ws_say(f, " and %zu other%s", others, others == 1 ? "" : "s");
	say_confirmed(t, f);
	ws_fact(f, "since", c->to_ns - down.since_ns, "ns");
	ws_fact_text(f, "state", ws_state_name(t->standing->state));
	ws_fact(f, "waited_for", others + 1, "sessions");
	if (!down.told)
		ws_say(f, c->server->asked_ns
				  ? " It is a smart one: other clients, if there are any, are "
				    "waited for first."
				  : " It was asked for before it was watched: if it is a smart one "
				    "other clients, if there are any, are waited for first.");
	return true;
}

static bool copies(const struct ws_track *t)
{
	return strcmp(t->command.kind, "COPY") == 0 && t->command.outcome == WS_OUTCOME_RUNNING &&
	       !t->ended_ns;
}

/* So many names of tables fit into a sentence. */
#define TABLES_NAMED 5

WS_RULE(table_copies)
{
	size_t running = 0;
	char text[WS_DURATION_TEXT];

	for (size_t i = 0; i < c->member_count; i++)
		running += copies(c->members[i]);
	if (!running)
		return false;
	f->confidence = 0.9;
	ws_fact(f, "copies_running", running, "sessions");
	ws_fact(f, "sessions", c->member_count, "sessions");
	ws_say(f, "Workers of one subscription copy %zu table%s now:", running,
	       running == 1 ? "" : "s");
	for (size_t i = 0, named = 0; i < c->member_count && named < TABLES_NAMED; i++) {
		const struct ws_track *t = c->members[i];

		if (!copies(t))
			continue;
		ws_fact_text(f, "table", t->command.table);
		ws_say(f, "%s %s for %s", named++ ? "," : "",
		       t->command.table[0] ? t->command.table : "one",
		       ws_duration_format(c->to_ns - t->command.start_ns, text));
	}
	ws_say(f, ".");
	return true;
}
