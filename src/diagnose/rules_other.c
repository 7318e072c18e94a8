/* SPDX-License-Identifier: BSD-2-Clause */
/* Too little data, a process that is stopped, and health. */
#include <string.h>

#include "base/util.h"
#include "diagnose/evidence.h"

/* It will not be looked at for longer: what is known of it is how it ended. */
static void say_brief_end(const struct ws_case *c, struct ws_finding *f)
{
	const struct ws_last_error *error = &c->t->error;

	if (!c->t->ended_ns)
		return;
	f->advice = "It was over so soon: how it ended is what there is to know. Whether its "
		    "client comes again and again is said of its group, if so.";
	ws_fact_text(f, "end", ws_exit_reason_name(c->t->ended_by));
	ws_say(f, " Then it ended: %s", ws_exit_reason_name(c->t->ended_by));
	if (error->sqlstate[0] && strcmp(error->sqlstate, "00000") != 0)
		ws_say_error(f, "; its last error was", error);
	ws_say(f, ".");
}

WS_RULE(insufficient_data)
{
	char text[WS_DURATION_TEXT];
	bool brief = c->wall_ns < ws_limit_ns(WS_LIMIT_OBSERVED);
	double lost = c->accounted_ns ? (double)c->lost_ns / (double)c->accounted_ns : 0;

	if (!brief && lost <= ws_limit(WS_LIMIT_LOST))
		return false;
	f->confidence = 1;
	ws_fact(f, "observed", c->wall_ns, "ns");
	ws_fact(f, "lost", c->lost_ns, "ns");
	if (brief)
		ws_say(f,
		       "Only %s of this session were seen: too little to say why it is as it is.",
		       ws_duration_format(c->wall_ns, text));
	else
		ws_say(f, "Events are missing for %.0f %% of the time: too much to say anything.",
		       100 * lost);
	if (brief)
		say_brief_end(c, f);
	return true;
}

WS_RULE(sender_stopped)
{
	uint8_t state = c->t->sample.task_state;
	bool now = c->t->standing->state == WS_STATE_STOPPED && !c->t->ended_ns;
	bool seen = c->t->has_sample && !c->t->ended_ns && (state == 'T' || state == 't');
	double share = ws_case_share(c, WS_STATE_STOPPED);
	char text[WS_DURATION_TEXT];

	if (share < ws_limit(WS_LIMIT_STOPPED) && !now && !seen)
		return false;
	f->confidence = 0.95;
	ws_fact_share(c, f, WS_STATE_STOPPED);
	ws_fact(f, "stopped", c->state_ns[WS_STATE_STOPPED], "ns");
	if (seen)
		ws_fact_text(f, "task_state", state == 't' ? "t (traced)" : "T (stopped)");
	ws_say(f, "The walsender process itself was stopped (SIGSTOP, or a debugger) for %s.",
	       ws_duration_format(c->state_ns[WS_STATE_STOPPED], text));
	return true;
}

/* All that the server has is sent, by its own account. */
static bool nothing_came(const struct ws_case *c)
{
	const struct ws_server_track *server = c->server;
	uint64_t end = ws_case_watch(c, WS_TARGET)->last;

	/* A standby may have to replay first what it has. */
	if (!end && server &&
	    (server->cluster.valid & (WS_CLUSTER_FLUSH | WS_CLUSTER_RECEIVED)) == WS_CLUSTER_FLUSH)
		end = server->cluster.flush_lsn;
	return c->t->standing->state == WS_STATE_WAIT_WAL && end && end <= c->t->standing->sent_lsn;
}

/* It was told to stop, and nothing more is asked of it: all is confirmed, or the shutdown is not
 * yet behind its checkpoint, which it waits for as it is (WalSndWaitStopping). */
static bool has_stopped(const struct ws_case *c)
{
	const struct ws_server_track *server = c->server;
	uint64_t confirmed = ws_track_confirmed(c->t);

	if (!ws_case_streams(c) || c->t->standing->state != WS_STATE_STOPPING)
		return false;
	return (confirmed && confirmed >= c->t->standing->sent_lsn) ||
	       (server && (server->cluster.valid & WS_CLUSTER_STATE) &&
		server->cluster.db_state != WS_DB_SHUTDOWNED &&
		server->cluster.db_state != WS_DB_SHUTDOWNED_IN_RECOVERY);
}

/*
 * Something held it up for most of the time, and no rule knows why: the recording is older or of a
 * lower level. That is no health.
 */
WS_RULE(unexplained)
{
	static const enum ws_state states[] = {
		WS_STATE_SEND_BLOCKED, WS_STATE_WAIT_LOCK, WS_STATE_STOPPED,
		WS_STATE_STOPPING,     WS_STATE_UNKNOWN,
	};
	/* One that only made a slot is logical, too; and of one that was found waiting there is
	 * nothing to tell while nothing comes. */
	bool untold = ws_case_streams(c) && (c->t->streams || c->s->was_running) &&
		      c->t->standing->state != WS_STATE_IDLE && !c->s->has_wal_bytes &&
		      !nothing_came(c);

	for (size_t i = 0; i < WS_ARRAY_SIZE(states); i++) {
		if (!ws_case_dominates(c, states[i]) ||
		    (states[i] == WS_STATE_STOPPING && has_stopped(c)))
			continue;
		f->confidence = 0.5;
		ws_fact_share(c, f, states[i]);
		if (states[i] == WS_STATE_WAIT_LOCK && (c->t->lock_holder || c->t->lock_xid)) {
			ws_say(f, "What its client asked for is held up.");
			ws_say_lock(c, f);
			return true;
		}
		if (states[i] == WS_STATE_STOPPING && ws_case_streams(c)) {
			f->advice = "Let the client read and confirm, or end it: the server's "
				    "shutdown waits for it.";
			ws_say(f, "It was told to stop, and waits for its client to confirm all "
				  "that it was sent.");
			return true;
		}
		ws_say(f,
		       "Most of the time the session was in state %s, and nothing that was "
		       "recorded says why.",
		       ws_state_name(states[i]));
		return true;
	}
	if (!untold)
		return false;
	f->confidence = 0.5;
	ws_say(f, "The session streams, and at this recording's level nothing says how it fares.");
	return true;
}

static double work(const struct ws_case *c)
{
	static const enum ws_state states[] = { WS_STATE_READ_WAL, WS_STATE_DECODE,
						WS_STATE_OUTPUT_PLUGIN, WS_STATE_SEND,
						WS_STATE_SEND_BLOCKED };
	double sum = 0;

	for (size_t i = 0; i < WS_ARRAY_SIZE(states); i++)
		sum += ws_case_share(c, states[i]);
	return sum;
}

/* Of what a standby has received a logical session is given what is replayed, whenever that is. */
static void say_not_replayed(const struct ws_case *c, struct ws_finding *f)
{
	uint64_t behind;
	char bytes[WS_BYTES_TEXT];

	if (c->s->kind != WS_SESSION_KIND_LOGICAL ||
	    !ws_case_behind(c, WS_RECEIVED, WS_TARGET, &behind) ||
	    (double)behind < ws_limit(WS_LIMIT_BACKLOG))
		return;
	ws_fact(f, "not_replayed", behind, "bytes");
	ws_say(f,
	       " That is what it has replayed: it has received %s more, and replays more slowly or "
	       "delayed on purpose.",
	       ws_bytes_format(behind, bytes));
}

/* A standby has no more to give than it was given. */
static bool say_cascade(const struct ws_case *c, struct ws_finding *f)
{
	uint64_t still = ws_case_still(c, WS_SENT);
	char text[WS_DURATION_TEXT];

	if (!ws_case_streams(c) || !c->s->cascading || (c->server && c->server->promoted_ns))
		return false;
	ws_fact(f, "no_wal_for", still, "ns");
	ws_say(f,
	       "This server is a standby itself, and the session has caught up to what its "
	       "upstream gave: that is all sent, and the last of it came %s ago.",
	       ws_duration_format(still, text));
	say_not_replayed(c, f);
	return true;
}

/* Its replies stay away, and not all that was sent is confirmed: the server has done its part, of
 * the client's nothing is known. */
static void say_unconfirmed(const struct ws_case *c, struct ws_finding *f)
{
	uint64_t sent = c->t->standing->sent_lsn, confirmed = c->t->standing->flush_lsn;
	uint64_t usual = ws_track_usual_interval(c->t);
	uint64_t since = c->t->last_reply_ns > c->from_ns ? c->t->last_reply_ns : c->from_ns;
	uint64_t silent = c->to_ns > since ? c->to_ns - since : 0;
	char bytes[WS_BYTES_TEXT], text[WS_DURATION_TEXT];

	if (!confirmed)
		confirmed = ws_case_watch(c, WS_CONFIRMED)->last; /* of its slot */
	if (!ws_case_streams(c) || c->t->ended_ns || !confirmed || confirmed >= sent ||
	    silent < ws_limit_ns(WS_LIMIT_STATUS_INTERVAL) ||
	    (double)silent < ws_limit(WS_LIMIT_SILENT_INTERVALS) * (double)usual)
		return;
	f->confidence = 0.6;
	f->advice = "If this client is to be further, look at it: of a subscription, what its "
		    "apply worker does (pg_stat_activity there): a lock, a trigger, an index that "
		    "is missing.";
	ws_fact(f, "not_confirmed", sent - confirmed, "bytes");
	ws_fact(f, "since_last_reply", silent, "ns");
	ws_say(f,
	       " Of what was sent the client has not confirmed %s, and it has not replied for %s: "
	       "what it does meanwhile cannot be seen from here.",
	       ws_bytes_format(sent - confirmed, bytes), ws_duration_format(silent, text));
}

/* Whatever it is now. */
static void say_outage(const struct ws_case *c, struct ws_finding *f)
{
	if (!ws_case_outage(c))
		return;
	ws_say(f, " In the time looked at the client's host, or the way to it, was cut ");
	ws_say_outages(c, f);
	ws_say(f, ": what was sent was repeated without an answer%s.",
	       c->t->outages.one_way ? ", though packets came from there" : "");
}

/* The same of a client whose buffer was full. */
static void say_pause(const struct ws_case *c, struct ws_finding *f)
{
	uint64_t pause = ws_case_longest_pause(c);
	char text[WS_DURATION_TEXT];

	if (pause < ws_limit_ns(WS_LIMIT_LASTING))
		return;
	ws_fact(f, "nothing_taken_at_most", pause, "ns");
	ws_say(f,
	       " For %s of the time looked at the client took nothing, and its receive buffer was "
	       "full. It has gone on since.",
	       ws_duration_format(pause, text));
}

/* What the way is like, where that is worth a word though it holds nothing up: it may well make
 * replies late. Behind an outage, or a client that did not read, it is no news. */
static void say_way(const struct ws_case *c, struct ws_finding *f)
{
	const struct ws_rec_socket *tcp = ws_case_tcp(c);
	double repeated = ws_track_repeated(c->t);
	char rtt[WS_DURATION_TEXT], least[WS_DURATION_TEXT];

	if (!tcp || ws_case_outage(c) || ws_socket_shut(tcp))
		return;
	if (!ws_case_longest_pause(c) && repeated >= ws_limit(WS_LIMIT_RETRANS) &&
	    (double)ws_case_grown(c, WS_RETRANS) >=
		    ws_limit(WS_LIMIT_REPLIES) * (double)tcp->mss_bytes) {
		ws_fact(f, "repeated", ws_case_grown(c, WS_RETRANS), "bytes");
		ws_say(f,
		       " Of what was sent to it %.1f %% was repeated: it was lost on the way, or "
		       "late.",
		       100 * repeated);
	}
	if (c->t->usual_pause_ns || !ws_socket_queues(tcp) ||
	    (uint64_t)tcp->srtt_us * 1000 < ws_limit_ns(WS_LIMIT_FLUSH_LAG))
		return;
	ws_fact(f, "rtt", tcp->srtt_us, "us");
	ws_fact(f, "least_rtt", tcp->min_rtt_us, "us");
	ws_say(f, " A round trip to its host takes %s (%s at least).",
	       ws_duration_format((uint64_t)tcp->srtt_us * 1000, rtt),
	       ws_duration_format((uint64_t)tcp->min_rtt_us * 1000, least));
}

/* Percent of the time that something held it up for which are worth a word, if it is no more. */
#define HELD_SAID 20

static const struct holdup {
	enum ws_state state;
	const char *what;
} holdups[] = {
	{ WS_STATE_SEND_BLOCKED, "Its socket was full" },
	{ WS_STATE_WAIT_LOCK, "It waited for a lock" },
	{ WS_STATE_WAIT_STANDBY, "It held its output back for synchronized_standby_slots" },
	{ WS_STATE_RECV_BLOCKED, "It waited for the rest of a message" },
	{ WS_STATE_STOPPED, "It was stopped" },
};

/* The longest of them, NULL if none is worth a word. */
static const struct holdup *longest_holdup(const struct ws_case *c, double *percent)
{
	const struct holdup *longest = NULL;

	*percent = 0;
	for (size_t i = 0; i < WS_ARRAY_SIZE(holdups); i++) {
		double share = 100 * ws_case_share(c, holdups[i].state);

		if (share < HELD_SAID || share <= *percent)
			continue;
		longest = &holdups[i];
		*percent = share;
	}
	return longest;
}

WS_RULE(healthy_idle)
{
	bool stopped = has_stopped(c);
	double held;
	const struct holdup *holdup = longest_holdup(c, &held);
	bool rests = ws_case_share(c, WS_STATE_WAIT_WAL) + ws_case_share(c, WS_STATE_IDLE) +
			     (stopped ? ws_case_share(c, WS_STATE_STOPPING) : 0) >=
		     ws_limit(WS_LIMIT_DOMINANT);

	if (work(c) >= ws_limit(WS_LIMIT_IDLE) || !rests)
		return false;
	f->confidence = 0.9;
	ws_fact_share(c, f, WS_STATE_WAIT_WAL);
	ws_fact_share(c, f, WS_STATE_IDLE);
	ws_fact(f, "sent", c->s->wal_bytes, "bytes");
	if (say_cascade(c, f)) {
		say_unconfirmed(c, f);
		say_outage(c, f);
		say_pause(c, f);
		return true;
	}
	if (stopped)
		ws_fact_share(c, f, WS_STATE_STOPPING);
	if (holdup)
		ws_fact_share(c, f, holdup->state);
	if (stopped)
		ws_say(f, "It was told to stop, and has: it waits for the server's shutdown to go "
			  "on, and holds up nothing.");
	else if (!ws_case_streams(c) || c->t->standing->state == WS_STATE_IDLE)
		ws_say(f, "The session waits for its client's next command.");
	else if (holdup)
		ws_say(f, "What there is to send takes little of its time.");
	else
		ws_say(f, "All there is to send is sent, and that takes little of its time: "
			  "nothing holds this session up.");
	if (holdup)
		ws_say(f, " %s for %.0f %% of the time.", holdup->what, held);
	say_unconfirmed(c, f);
	say_outage(c, f);
	say_pause(c, f);
	say_way(c, f);
	return true;
}

/* A logical one gets through WAL of which its client may want nothing. */
static void say_sent(const struct ws_case *c, struct ws_finding *f)
{
	char bytes[WS_BYTES_TEXT];
	uint64_t behind = 0;

	if (ws_case_behind(c, WS_TARGET, WS_SENT, &behind) &&
	    (double)behind >= ws_limit(WS_LIMIT_BACKLOG))
		ws_say(f, "The session goes on, with %s not sent as yet: it ",
		       ws_bytes_format(behind, bytes));
	else
		ws_say(f, "The session keeps up%s: it ",
		       c->s->cascading ? " with what this server, a standby itself, is given" : "");
	if (c->s->kind == WS_SESSION_KIND_PHYSICAL) {
		ws_say(f, "sent %s", ws_bytes_format(c->s->wal_bytes, bytes));
		return;
	}
	ws_say(f, "decoded %s of WAL", ws_bytes_format(c->s->wal_bytes, bytes));
	if (!ws_case_span(c, WS_WIRE))
		return;
	ws_fact(f, "handed_out", ws_case_grown(c, WS_WIRE), "bytes");
	ws_say(f, " and handed out %s", ws_bytes_format(ws_case_grown(c, WS_WIRE), bytes));
}

WS_RULE(healthy_streaming)
{
	double held;
	const struct holdup *holdup = longest_holdup(c, &held);
	uint64_t behind;

	f->confidence = 0.8;
	ws_fact_share(c, f, WS_STATE_WAIT_WAL);
	if (holdup)
		ws_fact_share(c, f, holdup->state);
	ws_fact(f, "working", ws_whole(100 * work(c) + 0.5), "%");
	ws_fact(f, "sent", c->s->wal_bytes, "bytes");
	if (ws_case_behind(c, WS_TARGET, WS_SENT, &behind))
		ws_fact(f, "not_sent", behind, "bytes");
	if (ws_backup_reads(c, f))
		return true;
	if (ws_case_streams(c))
		say_sent(c, f);
	else
		ws_say(f, "The session works on what its client asked for");
	if (ws_track_spins(c->t, c->to_ns))
		ws_say(f, ". It was told to stop, as at a shutdown, and turns without rest until "
			  "its client has confirmed all.");
	else if (holdup)
		ws_say(f, ". %s for %.0f %% of the time.", holdup->what, held);
	else
		ws_say(f, ws_case_longest_pause(c) >= ws_limit_ns(WS_LIMIT_LASTING) ||
					  ws_case_outage(c)
				  ? "."
				  : ", and nothing held it up for long.");
	say_unconfirmed(c, f);
	say_outage(c, f);
	say_pause(c, f);
	say_way(c, f);
	return true;
}
