/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whom synchronous commits wait for, of standbys that are connected. One with which something is
 * wrong is it; or one that was sent what it has to confirm and has not confirmed it: nobody need
 * have asked it for a reply, as commits that wait do ask. What is wrong with it is what is wrong
 * with the server.
 */
#include "base/util.h"
#include "diagnose/evidence.h"

enum fit {
	WELL,
	SUSPECT, /* nothing was heard of it since it is watched */
	SICK,
};

/* The position that the commits wait for, by synchronous_commit: of several the one that comes
 * last, which is what all of them get. */
static enum ws_watched awaited(const struct ws_case *c)
{
	const struct ws_rec_cluster *r = &c->server->cluster;

	if ((r->valid & WS_CLUSTER_SYNC_APPLY) && r->sync_apply)
		return WS_APPLY;
	if ((r->valid & WS_CLUSTER_SYNC_WRITE) && r->sync_write == r->sync_waiters)
		return WS_WRITE;
	return WS_FLUSH;
}

static const char *const awaited_name[] = {
	[WS_WRITE] = "write",
	[WS_FLUSH] = "flush",
	[WS_APPLY] = "apply",
};
static const char *const awaited_done[] = {
	[WS_WRITE] = "written",
	[WS_FLUSH] = "flushed",
	[WS_APPLY] = "replayed",
};
static const enum ws_metric awaited_lag[] = {
	[WS_WRITE] = WS_METRIC_WRITE_LAG_NS,
	[WS_FLUSH] = WS_METRIC_FLUSH_LAG_NS,
	[WS_APPLY] = WS_METRIC_APPLY_LAG_NS,
};

/* One that writes and does not flush is slow to write, too, if it is the flush that is slow: one
 * process does both. */
static bool is_well(const struct ws_case *c, const struct ws_explained *e)
{
	switch (e->verdict) {
	case WS_VERDICT_HEALTHY_IDLE:
	case WS_VERDICT_HEALTHY_STREAMING:
	case WS_VERDICT_INSUFFICIENT_DATA:
		return true;
	case WS_VERDICT_STANDBY_APPLY_PAUSED:
	case WS_VERDICT_STANDBY_APPLY_DELAYED:
	case WS_VERDICT_STANDBY_APPLY_SLOW:
		return awaited(c) != WS_APPLY;
	case WS_VERDICT_CONSUMER_NOT_CONFIRMING:
		return awaited(c) == WS_WRITE;
	default:
		return false;
	}
}

static uint64_t since(uint64_t to_ns, uint64_t from_ns)
{
	return to_ns > from_ns ? to_ns - from_ns : 0;
}

/* Then it is no single commit that waits for so long: there is always one. */
static bool goes_on_confirming(const struct ws_case *c, const struct ws_track *t)
{
	const struct ws_watch *confirmed = &t->watch[awaited(c)];

	return confirmed->changed && confirmed->moved_ns >= c->from_ns &&
	       since(c->to_ns, confirmed->moved_ns) < ws_limit_ns(WS_LIMIT_SYNC);
}

/* It repeats what it loses, and not because its client did not read. A loss now and then does not
 * move the median. */
static bool way_loses(const struct ws_track *t)
{
	return ws_track_repeated(t) >= ws_limit(WS_LIMIT_RETRANS_MANY) && !t->longest_pause_ns;
}

/* The way takes its time because it is full, or repeats what it loses: not because it is long. And
 * it takes half of the lag at least: a round trip, or what goes by until what is lost is sent
 * again. */
static bool way_is_slow(const struct ws_track *t, uint64_t lag)
{
	uint64_t trip = (uint64_t)t->socket.srtt_us * 1000;
	uint64_t again = ws_socket_rto_ns(&t->socket);

	return t->has_tcp && ((ws_socket_queues(&t->socket) && 2 * trip >= lag) ||
			      (way_loses(t) && 2 * (trip > again ? trip : again) >= lag));
}

static void say_slow_way(const struct ws_track *t, struct ws_finding *f)
{
	char rtt[WS_DURATION_TEXT], least[WS_DURATION_TEXT];

	ws_fact(f, "least_rtt", t->socket.min_rtt_us, "us");
	ws_say(f, ": it is the way that is slow. A round trip takes %s (%s at least)",
	       ws_duration_format((uint64_t)t->socket.srtt_us * 1000, rtt),
	       ws_duration_format((uint64_t)t->socket.min_rtt_us * 1000, least));
	if (ws_track_repeated(t) >= ws_limit(WS_LIMIT_RETRANS)) {
		ws_fact(f, "repeated", ws_whole(100 * ws_track_repeated(t) + 0.5), "%");
		ws_say(f, ", and %.1f %% of what was sent was repeated",
		       100 * ws_track_repeated(t));
	}
	ws_say(f, ".");
}

/* One that says what it has flushed and no sooner what it has written looks well by itself, and so
 * does one whose replay is not late enough for anybody but commits that wait for it, and one to
 * which little enough is sent for a slow way. */
static bool confirms_late(const struct ws_case *c, const struct ws_track *t, struct ws_explained *e)
{
	enum ws_watched which = awaited(c);
	bool replay = which == WS_APPLY, replays_late, slow_way;
	const struct ws_hist *hist = &t->s->hist[awaited_lag[which]];
	uint64_t lag = ws_hist_quantile(hist, 0.5);
	uint64_t flush = ws_hist_quantile(&t->s->hist[WS_METRIC_FLUSH_LAG_NS], 0.5);
	uint64_t least = t->has_tcp ? (uint64_t)t->socket.min_rtt_us * 1000 : 0;
	uint64_t way = t->has_tcp ? (uint64_t)t->socket.srtt_us * 1000 : 0;
	uint64_t late = ws_limit_ns(WS_LIMIT_FLUSH_LAG);
	char text[WS_DURATION_TEXT], part[WS_DURATION_TEXT];
	struct ws_finding *f = &e->finding;

	/* What is queued in front of it takes its time, too. */
	if ((double)hist->count < ws_limit(WS_LIMIT_REPLIES) ||
	    (double)e->state_ns[WS_STATE_SEND_BLOCKED] >=
		    ws_limit(WS_LIMIT_IDLE) * (double)e->accounted_ns)
		return false;
	slow_way = lag >= late + least && way_is_slow(t, lag);
	if (!slow_way && lag < late + way)
		return false;
	replays_late = replay && flush < late + way;
	e->verdict = slow_way && !replays_late ? WS_VERDICT_NETWORK_SLOW
		     : replays_late	       ? WS_VERDICT_STANDBY_APPLY_SLOW
					       : WS_VERDICT_STANDBY_FLUSH_SLOW;
	*f = (struct ws_finding){ .confidence = 0.7, .advice = ws_verdict_advice(e->verdict) };
	if (replay)
		ws_fact(f, "apply_lag_median", lag, "ns");
	ws_fact(f, "flush_lag_median", flush, "ns");
	ws_fact(f, "positions_confirmed", hist->count, "");
	ws_say(f, "It %s WAL %s after it was sent", replay ? "replays" : "confirms",
	       ws_duration_format(lag, text));
	if (t->has_tcp)
		ws_fact(f, "rtt", t->socket.srtt_us, "us");
	if (e->verdict == WS_VERDICT_NETWORK_SLOW) {
		say_slow_way(t, f);
		return true;
	}
	if (t->has_tcp)
		ws_say(f, ", and the way takes %s of that", ws_duration_format(way, part));
	if (replays_late)
		ws_say(f, ": its replay is slow, or delayed on purpose.");
	else
		ws_say(f, ": it is slow to %s, or to reply.",
		       which == WS_WRITE ? "write" : "flush");
	return true;
}

/* Of one that looks well by itself. */
static enum fit look_at_replies(const struct ws_case *c, const struct ws_track *t,
				struct ws_explained *e)
{
	enum ws_watched which = awaited(c);
	const struct ws_watch *confirmed = &t->watch[which];
	uint64_t silent =
		since(e->to_ns, t->last_reply_ns > e->from_ns ? t->last_reply_ns : e->from_ns);
	uint64_t moved = confirmed->moved_ns > e->from_ns ? confirmed->moved_ns : e->from_ns;
	uint64_t limit = ws_limit_ns(WS_LIMIT_SILENT_PING);
	bool owes = confirmed->known && confirmed->last < t->standing->sent_lsn;
	char lsn[WS_LSN_TEXT], text[WS_DURATION_TEXT];
	struct ws_finding *f = &e->finding;

	if (confirmed->known ? !owes || since(e->to_ns, moved) < limit : silent < limit)
		return goes_on_confirming(c, t) && confirms_late(c, t, e) ? SICK : WELL;
	e->verdict = silent >= limit	 ? WS_VERDICT_RECEIVER_SILENT
		     : which == WS_APPLY ? WS_VERDICT_STANDBY_APPLY_PAUSED
					 : WS_VERDICT_CONSUMER_NOT_CONFIRMING;
	*f = (struct ws_finding){ .confidence = owes ? 0.85 : 0.6,
				  .advice = ws_verdict_advice(e->verdict) };
	ws_fact_lsn(f, "sent", t->standing->sent_lsn);
	ws_fact_lsn(f, awaited_name[which], confirmed->last);
	ws_fact(f, "since_last_reply", silent, "ns");
	ws_say(f, "It was sent WAL up to %s", ws_lsn_format(t->standing->sent_lsn, lsn));
	if (owes)
		ws_say(f, ", has %s it up to %s", awaited_done[which],
		       ws_lsn_format(confirmed->last, lsn));
	ws_say(f, silent >= limit ? ", and has not replied for %s." : ", and replied last %s ago.",
	       ws_duration_format(silent, text));
	return owes ? SICK : SUSPECT;
}

/* How many connected synchronous standbys are named in front of this place. */
static size_t in_front(const struct ws_case *c, uint32_t place)
{
	size_t n = 0;

	for (size_t i = 0; i < c->member_count; i++) {
		const struct ws_track *t = c->members[i];
		uint32_t other = ws_track_streams(t)
					 ? ws_sync_place(c->server->names, t->s->application)
					 : 0;

		n += other && other < place;
	}
	return n;
}

static bool has_to_confirm(const struct ws_case *c, const struct ws_sync *sync,
			   const struct ws_track *t)
{
	uint32_t place;

	if (!ws_track_streams(t))
		return false;
	place = ws_sync_place(c->server->names, t->s->application);
	return place && (sync->any || in_front(c, place) < sync->needed);
}

/* One with which something is wrong, and what. */
struct suspect {
	const struct ws_track *t;
	enum fit fit;
	struct ws_explained why;
};

static void suspect(struct suspect *worst, const struct ws_track *t, enum fit fit,
		    const struct ws_explained *why)
{
	if (worst->t &&
	    (fit < worst->fit ||
	     (fit == worst->fit && !ws_verdict_outranks(why->verdict, worst->why.verdict))))
		return;
	*worst = (struct suspect){ .t = t, .fit = fit, .why = *why };
}

/* There is something that it has not confirmed, and it has confirmed nothing for a while. */
static bool stands_still(const struct ws_case *c, const struct ws_track *t)
{
	const struct ws_watch *confirmed = &t->watch[awaited(c)], *target = &t->watch[WS_TARGET];
	uint64_t moved = confirmed->moved_ns > c->from_ns ? confirmed->moved_ns : c->from_ns;
	uint64_t sent = t->standing->sent_lsn;
	uint64_t end = target->known && target->last > sent ? target->last : sent;

	return confirmed->known && confirmed->last < end &&
	       since(c->to_ns, moved) >= ws_limit_ns(WS_LIMIT_SYNC);
}

/* The worst of those that have to confirm, but for one; NULL: all are well, or enough of them. */
static void worst_of(struct ws_diagnosis *d, const struct ws_case *c, const struct ws_track *but,
		     struct suspect *worst)
{
	struct suspect still = { 0 }, moves = { 0 };
	size_t well = 0, suspects = 0, go_on = 0;
	enum fit fit;
	struct ws_explained e;
	struct ws_sync sync;
	bool stands;

	ws_sync_read(c->server->names, &sync);
	for (size_t i = 0; i < c->member_count; i++) {
		const struct ws_track *t = c->members[i];

		if (t == but || !has_to_confirm(c, &sync, t))
			continue;
		ws_diagnosis_look_at(d, &t->s, &e);
		fit = is_well(c, &e) ? look_at_replies(c, t, &e) : SICK;
		well += fit == WELL;
		suspects += fit == SUSPECT;
		stands = stands_still(c, t);
		go_on += !stands;
		if (fit != WELL)
			suspect(stands ? &still : &moves, t, fit, &e);
	}
	/* Where enough of them go on, the slow ones say how fast; else nothing gets on at all. */
	*worst = still.t && (!moves.t || go_on < sync.needed) ? still : moves;
	if (well >= sync.needed || (worst->fit == SUSPECT && suspects > 1))
		worst->t = NULL;
}

/* One that is not well either. */
static void say_other(struct ws_diagnosis *d, const struct ws_case *c, const struct suspect *worst,
		      struct ws_explained *e)
{
	struct suspect other;

	worst_of(d, c, worst->t, &other);
	if (!other.t || other.fit != SICK)
		return;
	if (other.why.verdict != e->verdict)
		e->also[e->also_count++] = other.why.verdict;
	ws_fact_text(&e->finding, "not_well_either", other.t->s->application);
	ws_say(&e->finding, " Synchronous standby %s (walsender %u) is not well either: %s.",
	       other.t->s->application, other.t->s->pid, ws_verdict_name(other.why.verdict));
}

bool ws_sync_kept_waiting(struct ws_diagnosis *d, const struct ws_case *c, bool judged,
			  struct ws_explained *e)
{
	const struct ws_server_track *server = c->server;
	uint64_t from = server->waiting_since_ns, lasts;
	char id[WS_SESSION_ID_TEXT], text[WS_DURATION_TEXT];
	struct ws_finding finding = { 0 };
	struct suspect worst = { 0 };
	const struct ws_explained *why = &worst.why;
	const struct ws_track *t;
	bool confirms;

	if (!from || server->missing_since_ns)
		return judged;
	lasts = since(c->to_ns, from > c->from_ns ? from : c->from_ns);
	if (lasts >= ws_limit_ns(WS_LIMIT_SYNC))
		worst_of(d, c, NULL, &worst);
	t = worst.t;
	if (!t)
		return judged;
	if (judged) {
		e->also[e->also_count++] = why->verdict;
		return true;
	}
	confirms = goes_on_confirming(c, t);
	finding.confidence = why->finding.confidence;
	finding.advice = why->finding.advice;
	ws_fact(&finding, "commits_waiting", server->cluster.sync_waiters, "backends");
	ws_fact(&finding, "for", lasts, "ns");
	ws_fact_text(&finding, "synchronous_standby_names", server->names);
	ws_fact_text(&finding, "synchronous_standby", t->s->application);
	ws_fact_text(&finding, "session", ws_session_id(t->s, id));
	for (size_t i = 0; i < why->finding.fact_count && finding.fact_count < WS_FACTS_MAX; i++)
		finding.facts[finding.fact_count++] = why->finding.facts[i];
	ws_say(&finding, "For %s %s, %u now, for synchronous standby %s (walsender %u)%s. %s",
	       ws_duration_format(lasts, text),
	       confirms ? "some commit has always waited" : "commits have waited",
	       server->cluster.sync_waiters, t->s->application, t->s->pid,
	       confirms ? ", which confirms one after the other" : "", why->finding.text);
	e->verdict = why->verdict;
	e->finding = finding;
	say_other(d, c, &worst, e);
	return true;
}

/* It has to confirm, and so many others as are needed do not do so in its place. */
static bool is_awaited(const struct ws_diagnosis *d, const struct ws_case *c)
{
	const char *names = c->server->names;
	uint32_t place = ws_sync_place(names, c->s->application), other;
	size_t front = 0, go_on = 0;
	struct ws_sync sync;

	ws_sync_read(names, &sync);
	for (size_t i = 0; i < d->track_count; i++) {
		const struct ws_track *t = d->tracks[i];

		other = t->s->postmaster_pid == c->server->pid && ws_track_streams(t)
				? ws_sync_place(names, t->s->application)
				: 0;
		front += other && other < place;
		go_on += other && !stands_still(c, t);
	}
	return place && (sync.any ? go_on < sync.needed : front < sync.needed);
}

void ws_say_commits_wait(const struct ws_diagnosis *d, const struct ws_track *t,
			 const struct ws_server_track *server, struct ws_explained *e)
{
	struct ws_case c = {
		.from_ns = e->from_ns, .to_ns = e->to_ns, .t = t, .s = t->s, .server = server
	};
	uint64_t lasts, from = server ? server->waiting_since_ns : 0;
	char text[WS_DURATION_TEXT];

	if (!from || server->missing_since_ns || !ws_track_streams(t) ||
	    (e->verdict != WS_VERDICT_HEALTHY_IDLE && e->verdict != WS_VERDICT_HEALTHY_STREAMING))
		return;
	lasts = since(c.to_ns, from > c.from_ns ? from : c.from_ns);
	if (lasts < ws_limit_ns(WS_LIMIT_SYNC) || !stands_still(&c, t) || !is_awaited(d, &c))
		return;
	ws_fact(&e->finding, "commits_waiting", server->cluster.sync_waiters, "backends");
	ws_fact(&e->finding, "commits_wait_for", lasts, "ns");
	e->finding.advice = "See what this standby does: its log, its walreceiver, its disk.";
	ws_say(&e->finding,
	       " Commits have waited for %s, %u now, and by synchronous_standby_names for this one "
	       "to confirm them.",
	       ws_duration_format(lasts, text), server->cluster.sync_waiters);
}
