/* SPDX-License-Identifier: BSD-2-Clause */
/* What the replies of the client say: how late, how often, and what stands still. */
#include "diagnose/track.h"

/* WalSegMinSize and WalSegMaxSize (xlog_internal.h). */
#define SEGMENT_LEAST (1ULL << 20)
#define SEGMENT_MOST  (1ULL << 30)

bool ws_ends_segment(uint64_t lsn)
{
	return lsn % SEGMENT_LEAST == 0;
}

uint64_t ws_track_flushed_segment(const struct ws_track *t)
{
	uint64_t step = t->flush_bits & -t->flush_bits; /* a multiple of the size */

	if (t->s->kind != WS_SESSION_KIND_PHYSICAL || !step || !ws_ends_segment(step) ||
	    ws_track_last(t, WS_APPLY))
		return 0;
	return step < SEGMENT_MOST ? step : SEGMENT_MOST;
}

/* The WAL writer flushes whole pages: flush may end in a record of which the rest comes with what
 * is flushed next, and until then nothing can be replayed of it. */
static bool may_lack_rest(const struct ws_track *t, uint64_t still_ns)
{
	double behind = (double)ws_track_last(t, WS_FLUSH) - (double)ws_track_last(t, WS_APPLY);

	return t->apply_held_steps < 2 && behind <= ws_limit(WS_LIMIT_RECORD) &&
	       still_ns <= ws_limit_ns(WS_LIMIT_SNAPSHOT);
}

bool ws_track_replay_stands(const struct ws_track *t, uint64_t least_ns, uint64_t *ns)
{
	/* As far as replies say: behind the last one nothing is known. */
	*ns = t->last_reply_ns > t->apply_held_ns ? t->last_reply_ns - t->apply_held_ns : 0;
	return t->apply_held_ns && *ns >= least_ns &&
	       (double)t->apply_held_replies >= ws_limit(WS_LIMIT_REPLIES) &&
	       ws_track_last(t, WS_FLUSH) > t->apply_held_flush && !may_lack_rest(t, *ns);
}

/* A reply may carry an apply position of some time ago, but not reply after reply. Of what was all
 * applied none stands still: it has nothing to do. */
static void feed_applied(struct ws_diagnosis *d, struct ws_track *t, const struct ws_rec_turn *r,
			 bool flushed, bool was_behind)
{
	uint64_t now = r->h.time_ns;
	bool first = !t->watch[WS_APPLY].known;
	bool moved = ws_track_watch(d, &t->watch[WS_APPLY], r->apply_lsn, now);

	if (moved || first || !was_behind) {
		t->apply_held_flush = moved || first ? r->flush_lsn : r->apply_lsn;
		t->apply_held_ns = now;
		t->apply_held_replies = 0;
		t->apply_held_steps = r->flush_lsn > r->apply_lsn;
	} else {
		t->apply_held_steps += flushed;
	}
	t->apply_held_replies++;
	if ((double)r->flush_lsn - (double)r->apply_lsn < ws_limit(WS_LIMIT_BACKLOG))
		t->applied_ns = now;
}

/* Of a flush that has just been confirmed; the one before was at `before_ns`. */
static void feed_flushed(struct ws_track *t, uint64_t now, uint64_t before_ns)
{
	uint64_t flush = t->s->lag_ns[WS_LAG_FLUSH], write = t->s->lag_ns[WS_LAG_WRITE];
	struct ws_late *late = &t->late_flushes;
	uint64_t waited = now > before_ns ? now - before_ns : 0;

	if (!(t->s->has_lag & (1U << WS_LAG_FLUSH)))
		return;
	if (!ws_flush_is_late(t->s->kind, flush, write)) {
		late->in_row = 0;
		return;
	}
	if (!late->in_row++)
		late->since_ns = now > flush ? now - flush : 0;
	late->last_ns = now;
	late->count++;
	late->flush_ns += flush;
	late->write_ns += write;
	late->ns += waited < flush ? waited : flush;
}

/* Is most of what it has not written on its side of the way? What was sent since the socket was
 * looked at may not be. Of changes positions do not say how much that is, so that it is asked of
 * what was sent by then. */
static bool has_arrived(const struct ws_track *t, uint64_t write_lsn)
{
	uint64_t sent = ws_track_last(t, WS_SENT);
	uint64_t since = sent > t->socket_sent ? sent - t->socket_sent : 0;

	if (t->s->kind == WS_SESSION_KIND_LOGICAL) {
		sent -= since;
		since = 0;
	}
	return t->has_tcp && !t->socket.unsent_bytes && sent > write_lsn &&
	       t->socket.in_flight_bytes + since < (sent - write_lsn + 1) / 2;
}

/* What was written since the reply before, `interval` ago. A walreceiver says so at once; who takes
 * changes may do so now and then only, and then is as late with what it read in time. */
static void feed_written(struct ws_track *t, const struct ws_rec_turn *r, uint64_t interval)
{
	uint64_t write = t->s->lag_ns[WS_LAG_WRITE], now = r->h.time_ns;
	uint64_t due = ws_limit_ns(WS_LIMIT_WRITE_LAG) + (uint64_t)t->socket.srtt_us * 1000;
	bool logical = t->s->kind == WS_SESSION_KIND_LOGICAL;
	struct ws_late *late = &t->late_writes;

	if (!(t->s->has_lag & (1U << WS_LAG_WRITE)))
		return;
	due += logical ? interval : 0;
	if ((logical && !interval) || write < due || !has_arrived(t, r->write_lsn)) {
		late->in_row = 0;
		return;
	}
	if (!late->in_row++)
		late->since_ns = now;
	late->last_ns = now;
	late->write_ns = write; /* the last one */
	late->count++;
}

void ws_feed_reply(struct ws_diagnosis *d, struct ws_track *t, const struct ws_rec_turn *r)
{
	uint64_t flushed_ns = t->watch[WS_FLUSH].moved_ns;
	uint64_t now = r->h.time_ns, least = ws_limit_ns(WS_LIMIT_APPLY_FROZEN), stood;
	uint64_t interval = t->last_reply_ns && now > t->last_reply_ns ? now - t->last_reply_ns : 0;
	bool was_behind = ws_track_last(t, WS_FLUSH) > ws_track_last(t, WS_APPLY), moved;
	bool first = !t->watch[WS_FLUSH].known;
	bool owed = ws_track_last(t, WS_WRITE) > ws_track_last(t, WS_FLUSH);

	if (was_behind && r->apply_lsn > ws_track_last(t, WS_APPLY) && ws_track_last(t, WS_APPLY) &&
	    t->last_reply_ns >= d->from_ns + least && ws_track_replay_stands(t, least, &stood) &&
	    stood > t->replay_stood_ns)
		t->replay_stood_ns = stood;

	if (interval)
		t->intervals[t->interval_count++ % WS_INTERVALS] = interval;
	t->last_reply_ns = now;
	if (now >= d->from_ns) {
		t->replies++;
		t->answered += t->ping_ns != 0;
	}
	t->ping_ns = 0;
	if (ws_track_watch(d, &t->watch[WS_WRITE], r->write_lsn, now) && now >= d->from_ns)
		feed_written(t, r, interval);
	moved = ws_track_watch(d, &t->watch[WS_FLUSH], r->flush_lsn, now);
	if (moved && now >= d->from_ns)
		feed_flushed(t, now, flushed_ns > d->from_ns ? flushed_ns : d->from_ns);
	/* Of what was all confirmed nothing waits to be. */
	if (moved || first || !owed) {
		t->flush_held_ns = now;
		t->flush_held_write = moved || first ? r->write_lsn : r->flush_lsn;
		t->flush_held_replies = 0;
	}
	t->flush_held_replies++;
	t->flush_bits |= r->flush_lsn;
	feed_applied(d, t, r, moved, was_behind);
	t->owed_ns = r->flush_lsn && r->flush_lsn < ws_track_last(t, WS_SENT) ? now : 0;
}
