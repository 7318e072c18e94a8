/* SPDX-License-Identifier: BSD-2-Clause */
/* What a server as a whole does, and the workers of a subscription. */
#include <string.h>

#include "base/util.h"
#include "diagnose/evidence.h"

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

/* Where the rule's own advice is not all there is to it. */
static const char *const shutdown_advice[WS_ENDING_COUNT] = {
	[WS_ENDING_TWICE] =
		"Let the client read, or end it. A server that shuts down takes no connection to "
		"call pg_terminate_backend in: kill PID on its host, twice, ends the walsender: "
		"the first one waits for room in the socket to tell the client. An immediate "
		"shutdown would skip the wait, and need recovery.",
	[WS_ENDING_AGAIN] =
		"The walsender was told to end, and waits for room in its socket to tell its "
		"client so. End the client, or the walsender by kill PID on the server's host "
		"once more.",
	[WS_ENDING_LEAVES] =
		"The walsender is ending already, and its socket does not show that it waits for "
		"its client: see what its process does on the server's host (ps -o stat,wchan -p "
		"PID). A disk that hangs can hold it up, or an extension.",
	[WS_ENDING_NEVER] =
		"The walsender itself is stopped (a debugger, kill -STOP): kill -CONT PID on the "
		"server's host lets it go on.",
};

/* A failover slot's does not go on to the end before the standbys have confirmed that, and its
 * client can do nothing about it. */
static void say_awaited_standby(const struct ws_case *c, const struct ws_track *t,
				struct ws_finding *f)
{
	const char *slot = t->standby_wait.slot;

	if (t->standing->state != WS_STATE_WAIT_STANDBY)
		return;
	f->advice = "Let that standby confirm, or end this walsender by kill PID on the server's "
		    "host: settings are not read any more in a fast shutdown. An immediate one "
		    "would skip the wait, and need recovery.";
	if (!slot[0]) {
		ws_say(f, " It waits itself for a standby of synchronized_standby_slots.");
		return;
	}
	ws_fact_text(f, "waits_for_slot", slot);
	ws_say(f,
	       " It waits itself until slot %s, which is in synchronized_standby_slots, confirms",
	       slot);
	for (size_t i = 0; i < c->member_count; i++) {
		const struct ws_session *s = c->members[i]->s;

		if (s->kind != WS_SESSION_KIND_PHYSICAL || strcmp(s->slot, slot) != 0 ||
		    !ws_track_streams(c->members[i]))
			continue;
		ws_say(f, ": walsender %u", s->pid);
		if (s->application[0])
			ws_say(f, " (%s)", s->application);
		ws_say(f, " streams from it");
		break;
	}
	ws_say(f, ".");
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
	if (shutdown_advice[ws_track_ending(t)])
		f->advice = shutdown_advice[ws_track_ending(t)];
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
	say_awaited_standby(c, t, f);
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
