/* SPDX-License-Identifier: BSD-2-Clause */
/* What several sessions show together, and what a server as a whole does. */
#include <string.h>

#include "base/util.h"
#include "diagnose/evidence.h"

static uint64_t start_lsn(const struct ws_track *t)
{
	return t->command.start_lsn ? t->command.start_lsn : t->start_lsn;
}

/* How many of the members began where `which` did. */
static size_t same_start(const struct ws_case *c, const struct ws_track *which)
{
	size_t n = 0;

	for (size_t i = 0; i < c->member_count; i++)
		n += start_lsn(which) && start_lsn(c->members[i]) == start_lsn(which);
	return n;
}

/* "; it is the 7th restart at 4/66D1A2D0" of those that began where the last one did. */
static void say_restarts(const struct ws_case *c, const struct ws_track *t, struct ws_finding *f)
{
	size_t n = same_start(c, t), restarts = n ? n - 1 : 0;
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

WS_RULE(timeout_loop)
{
	const struct ws_track *t = NULL;
	char lsn[WS_LSN_TEXT];
	size_t n = 0;

	for (size_t i = 0; i < c->member_count; i++) {
		if (c->members[i]->ended_by != WS_END_REPLICATION_TIMEOUT)
			continue;
		n++;
		t = c->members[i];
	}
	if ((double)n < ws_limit(WS_LIMIT_TIMEOUTS))
		return false;
	f->confidence = same_start(c, t) >= 2 ? 0.95 : 0.8;
	ws_fact(f, "timeouts", n, "sessions");
	ws_fact(f, "sessions", c->member_count, "sessions");
	ws_fact(f, "same_start", same_start(c, t), "sessions");
	ws_fact_lsn(f, "start", start_lsn(t));
	ws_say(f, "%zu sessions in a row were ended by wal_sender_timeout", n);
	if (same_start(c, t) >= 2)
		ws_say(f, ", and %zu began at the same position, %s: the client gets no further",
		       same_start(c, t), ws_lsn_format(start_lsn(t), lsn));
	say_restarts(c, t, f);
	say_given_up(t, f);
	say_when(c, t, f);
	ws_say(f, ".");
	return true;
}

/* These stream for as long as they can. When one of them fails it takes leave of the server in good
 * order (walrcv_disconnect): an apply worker in conflict, a walreceiver on another time line. */
static bool should_stay(const struct ws_track *t)
{
	return t->streams && (t->s->program == WS_PROGRAM_APPLY_WORKER ||
			      t->s->program == WS_PROGRAM_WALRECEIVER ||
			      t->s->program == WS_PROGRAM_CASCADING_STANDBY);
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

WS_RULE(reconnect_loop)
{
	const struct ws_track *t = NULL, *error = NULL;
	size_t n = 0;

	for (size_t i = 0; i < c->member_count; i++) {
		const struct ws_track *m = c->members[i];

		if (!m->ended_ns || m->ended_by == WS_END_REPLICATION_TIMEOUT ||
		    m->ended_ns - m->s->begin_ns > ws_limit_ns(WS_LIMIT_SHORT_SESSION) ||
		    m->s->kind == WS_SESSION_KIND_BACKUP || !broke_off(m))
			continue;
		n++;
		t = m;
		if (t->error.sqlstate[0])
			error = t;
	}
	if ((double)n < ws_limit(WS_LIMIT_RECONNECTS))
		return false;
	f->confidence = error ? 0.9 : 0.7;
	ws_fact(f, "short_sessions", n, "sessions");
	ws_fact_lsn(f, "start", start_lsn(t));
	if (error) {
		ws_fact_text(f, "sqlstate", error->error.sqlstate);
		ws_fact_text(f, "message", error->error.message);
	} else {
		ws_fact_text(f, "end", ws_exit_reason_name(t->ended_by));
	}
	ws_say(f, "The client connects again and again: %zu sessions ended soon", n);
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
	say_restarts(c, t, f);
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

	*down = (struct shutdown){ .since_ns = c->server->asked_fast_ns };
	if (!down->since_ns)
		down->since_ns = c->server->asked_ns;
	for (size_t i = 0; i < c->member_count; i++) {
		const struct ws_track *m = c->members[i];

		streaming += ws_track_streams(m);
		if (ws_track_spins(m, c->to_ns)) {
			down->told = true;
			if (!down->since_ns)
				down->since_ns = c->to_ns - m->s->work_ns;
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

/* Up to where it is confirmed: by flush, or by write where the client never flushes (WalSndDone).
 * Of one whose replies were before it was watched its slot may know. */
static uint64_t confirmed(const struct ws_track *t)
{
	uint64_t lsn = t->standing->flush_lsn ? t->standing->flush_lsn : t->standing->write_lsn;

	return lsn ? lsn : t->watch[WS_CONFIRMED].last;
}

static bool holds_up(const struct shutdown *down, const struct ws_track *t)
{
	if (!ws_track_streams(t))
		return false;
	/* Which phase it is in is a guess: one that has nothing to wait for is not blamed. */
	if (down->after)
		return down->known || confirmed(t) < t->standing->sent_lsn;
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
	ws_fact_lsn(f, "confirmed", confirmed(t));
	ws_say(f, ": it has sent up to %s", ws_lsn_format(sent, lsn));
	if (end > sent)
		ws_say(f, ", %s short of the end at %s", ws_bytes_format(end - sent, left),
		       ws_lsn_format(end, lsn));
	if (confirmed(t))
		ws_say(f, ", and the client has confirmed %s.", ws_lsn_format(confirmed(t), lsn));
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
		ws_say(f, " It is a smart one: other clients, if there are any, are waited for "
			  "first.");
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
