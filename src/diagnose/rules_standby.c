/* SPDX-License-Identifier: BSD-2-Clause */
/* What the client does with what it has received, as far as its replies say. */
#include "base/util.h"
#include "diagnose/evidence.h"

#define MEDIAN(c, metric) ws_hist_quantile(&(c)->s->hist[metric], 0.5)

static bool replies(const struct ws_case *c)
{
	return c->t->replies >= ws_limit(WS_LIMIT_REPLIES);
}

static bool is_standby(const struct ws_case *c)
{
	return c->s->kind == WS_SESSION_KIND_PHYSICAL && replies(c) &&
	       ws_case_watch(c, WS_APPLY)->last;
}

bool ws_flush_is_late(enum ws_session_kind kind, uint64_t flush, uint64_t write)
{
	enum ws_limit least =
		kind == WS_SESSION_KIND_LOGICAL ? WS_LIMIT_ASYNC_LAG : WS_LIMIT_FLUSH_LAG;

	return flush >= write && flush >= ws_limit_ns(least) &&
	       (double)(flush - write) >= ws_limit(WS_LIMIT_FLUSH_SHARE) * (double)flush;
}

/* They are few for the time they take: as many as there were of others before weigh nothing. */
static bool late_flushes(const struct ws_case *c)
{
	const struct ws_late *late = &c->t->late_flushes;
	double few = ws_limit(WS_LIMIT_REPLIES);
	uint64_t lasting = ws_limit_ns(WS_LIMIT_LASTING);

	if ((double)late->count < few)
		return false;
	return (double)late->ns >= ws_limit(WS_LIMIT_DOMINANT) * (double)c->wall_ns ||
	       ((double)late->in_row >= few && late->last_ns - late->since_ns >= lasting &&
		c->to_ns < late->last_ns + lasting);
}

static bool mostly_late(const struct ws_case *c)
{
	return ws_flush_is_late(c->s->kind, MEDIAN(c, WS_METRIC_FLUSH_LAG_NS),
				MEDIAN(c, WS_METRIC_WRITE_LAG_NS));
}

bool ws_case_flushes_late(const struct ws_case *c)
{
	/* One that flushes whole segments is late with all that is in one, however fast it is. */
	return replies(c) && ws_case_watch(c, WS_FLUSH)->last && ws_case_grown(c, WS_WRITE) &&
	       (double)c->s->hist[WS_METRIC_FLUSH_LAG_NS].count >= ws_limit(WS_LIMIT_REPLIES) &&
	       !ws_track_flushed_segment(c->t) && (mostly_late(c) || late_flushes(c));
}

WS_RULE(standby_flush_slow)
{
	const struct ws_late *late = &c->t->late_flushes;
	uint64_t write = MEDIAN(c, WS_METRIC_WRITE_LAG_NS),
		 flush = MEDIAN(c, WS_METRIC_FLUSH_LAG_NS),
		 count = c->s->hist[WS_METRIC_FLUSH_LAG_NS].count;
	bool most = mostly_late(c);
	char lag[WS_DURATION_TEXT], part[WS_DURATION_TEXT], before[WS_DURATION_TEXT];

	if (!ws_case_flushes_late(c))
		return false;
	if (!most) {
		flush = late->flush_ns / late->count;
		write = late->write_ns / late->count;
		count = late->count;
	}
	f->confidence = 0.85;
	ws_fact(f, most ? "flush_lag_median" : "late_flush_lag_mean", flush, "ns");
	ws_fact(f, most ? "write_lag_median" : "late_write_lag_mean", write, "ns");
	ws_fact(f, most ? "positions_confirmed" : "positions_confirmed_late", count, "");
	ws_fact_lsn(f, "write", ws_case_watch(c, WS_WRITE)->last);
	ws_fact_lsn(f, "flush", ws_case_watch(c, WS_FLUSH)->last);
	ws_duration_format(flush, lag);
	ws_duration_format(flush - write, part);
	if (write < (flush - write) / 2)
		ws_say(f,
		       "The client receives at once and takes long to flush: of %s from sending to "
		       "flush, %s lie behind its write.",
		       lag, part);
	else
		ws_say(f,
		       "The client takes long to flush, and does not write what comes meanwhile: "
		       "of %s from sending to flush, %s lie behind its write, and %s before it.",
		       lag, part, ws_duration_format(write, before));
	return true;
}

/* What it applies it applies the same time after it was sent, and long after it was flushed. */
struct delay {
	uint64_t low, median, high, flush;
};
static bool is_delayed(const struct ws_case *c, struct delay *lag)
{
	const struct ws_hist *hist = &c->s->hist[WS_METRIC_APPLY_LAG_NS];

	*lag = (struct delay){ .low = ws_hist_quantile(hist, 0.1),
			       .median = ws_hist_quantile(hist, 0.5),
			       .high = ws_hist_quantile(hist, 0.9),
			       .flush = MEDIAN(c, WS_METRIC_FLUSH_LAG_NS) };
	return is_standby(c) && (double)hist->count >= ws_limit(WS_LIMIT_REPLIES) &&
	       lag->median >= ws_limit_ns(WS_LIMIT_APPLY_LAG) + lag->flush &&
	       (double)(lag->high - lag->low) <=
		       ws_limit(WS_LIMIT_APPLY_SPREAD) * (double)lag->median;
}

/* What a logical session on a standby is given is what that replays (XLogSendLogical, walsender.c:
 * 16 and later). */
static bool own_replay_stands(const struct ws_case *c, struct ws_finding *f)
{
	char text[WS_DURATION_TEXT], bytes[WS_BYTES_TEXT], lsn[WS_LSN_TEXT];
	struct ws_held_replay held;

	if (c->s->kind != WS_SESSION_KIND_LOGICAL || !ws_case_streams(c) ||
	    !ws_case_replay_held(c, WS_TARGET, &held) ||
	    held.still_ns < ws_limit_ns(WS_LIMIT_APPLY_FROZEN))
		return false;
	f->confidence = 0.85;
	f->advice = "On this server: pg_get_wal_replay_pause_state(), pg_stat_activity of the "
		    "startup process, and long queries (max_standby_streaming_delay).";
	ws_fact(f, "replay_unchanged", held.still_ns, "ns");
	ws_fact(f, "not_replayed", held.received - held.at, "bytes");
	ws_fact_lsn(f, "received", held.received);
	ws_fact_lsn(f, "replayed", held.at);
	ws_say(f,
	       "This server is a standby itself: it has received WAL up to %s, and replayed none "
	       "of it for %s (%s wait). A logical session is given what is replayed, so this one "
	       "waits with it: replay is paused or delayed on purpose, waits for a query in "
	       "conflict, or its process is stopped.",
	       ws_lsn_format(held.received, lsn), ws_duration_format(held.still_ns, text),
	       ws_bytes_format(held.received - held.at, bytes));
	return true;
}

WS_RULE(standby_apply_paused)
{
	const struct ws_watch *apply = ws_case_watch(c, WS_APPLY);
	uint64_t still, behind;
	struct delay lag;
	bool delayed;
	char text[WS_DURATION_TEXT], bytes[WS_BYTES_TEXT];

	if (own_replay_stands(c, f))
		return true;
	if (!is_standby(c) || !ws_case_behind(c, WS_FLUSH, WS_APPLY, &behind) || !behind ||
	    !ws_track_replay_stands(c->t, ws_limit_ns(WS_LIMIT_APPLY_FROZEN), &still))
		return false;
	/* What was sent since is not due yet. */
	delayed = is_delayed(c, &lag);
	if (delayed && still < lag.high)
		return false;
	f->confidence = 0.85;
	ws_fact(f, "apply_unchanged", still, "ns");
	ws_fact(f, "not_applied", behind, "bytes");
	ws_fact(f, "replies_meanwhile", c->t->apply_held_replies, "");
	ws_fact_lsn(f, "flush", ws_case_watch(c, WS_FLUSH)->last);
	ws_fact_lsn(f, "apply", apply->last);
	ws_say(f,
	       "The standby receives and flushes WAL and has replayed none of it for %s (%s wait): "
	       "replay is paused%s, waits for a query in conflict, or its process is stopped, "
	       "which "
	       "cannot be told apart from here.",
	       ws_duration_format(still, text), ws_bytes_format(behind, bytes),
	       delayed ? "" : " or delayed on purpose (recovery_min_apply_delay)");
	return true;
}

WS_RULE(standby_apply_delayed)
{
	struct delay lag;
	char text[WS_DURATION_TEXT];

	if (!is_delayed(c, &lag))
		return false;
	f->confidence = 0.8;
	ws_fact(f, "apply_lag_p10", lag.low, "ns");
	ws_fact(f, "apply_lag_median", lag.median, "ns");
	ws_fact(f, "apply_lag_p90", lag.high, "ns");
	ws_fact(f, "flush_lag_median", lag.flush, "ns");
	ws_say(f,
	       "The standby applies everything the same %s after it was sent: a delay that looks "
	       "set on purpose.",
	       ws_duration_format(lag.median, text));
	return true;
}

WS_RULE(standby_apply_slow)
{
	struct ws_trend trend;
	uint64_t behind, interval = ws_track_usual_interval(c->t);
	uint64_t applied = c->t->applied_ns > c->from_ns ? c->t->applied_ns : c->from_ns;
	char text[WS_BYTES_TEXT], grown[WS_BYTES_TEXT];

	if (!is_standby(c) || !ws_case_watch(c, WS_APPLY)->changed || !ws_case_grown(c, WS_APPLY) ||
	    !ws_case_trend(c, WS_FLUSH, WS_APPLY, &trend) ||
	    !ws_case_behind(c, WS_FLUSH, WS_APPLY, &behind))
		return false;
	/* Over more than one interval: a reply may carry an apply position that is one old. */
	if (trend.span_ns <= interval || trend.after - trend.before < ws_limit(WS_LIMIT_BACKLOG) ||
	    (double)behind < ws_limit(WS_LIMIT_BACKLOG))
		return false;
	/* Under load something always waits to be replayed, and is replayed soon. */
	if (c->to_ns < applied + ws_limit_ns(WS_LIMIT_LASTING))
		return false;
	/* One that stands still is not slow. */
	if (c->t->last_reply_ns >=
	    ws_case_watch(c, WS_APPLY)->moved_ns + ws_limit_ns(WS_LIMIT_APPLY_FROZEN))
		return false;
	f->confidence = 0.75;
	ws_fact(f, "not_applied_before", ws_whole(trend.before), "bytes");
	ws_fact(f, "not_applied", ws_whole(trend.after), "bytes");
	ws_fact(f, "applied", ws_case_grown(c, WS_APPLY), "bytes");
	ws_fact(f, "span", trend.span_ns, "ns");
	ws_fact_lsn(f, "apply", ws_case_watch(c, WS_APPLY)->last);
	ws_say(f,
	       "The standby replays more slowly than WAL comes: what it has flushed and not "
	       "applied grew by %s to %s.",
	       ws_bytes_format(ws_whole(trend.after - trend.before), grown),
	       ws_bytes_format(ws_whole(trend.after), text));
	return true;
}

WS_RULE(consumer_not_confirming)
{
	const struct ws_watch *flush = ws_case_watch(c, WS_FLUSH);
	uint64_t interval = ws_track_usual_interval(c->t), still, behind;
	char text[WS_DURATION_TEXT], bytes[WS_BYTES_TEXT];

	/* A client that never confirms (0/0) has said so. */
	if (!ws_case_streams(c) || !replies(c) || !flush->last ||
	    !ws_case_behind(c, WS_WRITE, WS_FLUSH, &behind) ||
	    behind <= ws_track_flushed_segment(c->t))
		return false;
	still = c->t->last_reply_ns > c->t->flush_held_ns
			? c->t->last_reply_ns - c->t->flush_held_ns
			: 0;
	if (still < ws_limit_ns(WS_LIMIT_UNCONFIRMED) ||
	    (double)still < ws_limit(WS_LIMIT_SILENT_INTERVALS) * (double)interval ||
	    (double)c->t->flush_held_replies < ws_limit(WS_LIMIT_REPLIES) ||
	    ws_case_watch(c, WS_WRITE)->last <= c->t->flush_held_write)
		return false;
	f->confidence = 0.85;
	ws_fact(f, "flush_unchanged", still, "ns");
	ws_fact(f, "received_not_confirmed", behind, "bytes");
	ws_fact(f, "usual_reply_interval", interval, "ns");
	ws_fact_lsn(f, "write", ws_case_watch(c, WS_WRITE)->last);
	ws_fact_lsn(f, "flush", flush->last);
	ws_say(f,
	       "The client goes on receiving and has confirmed nothing for %s: %s are received "
	       "and not confirmed.",
	       ws_duration_format(still, text), ws_bytes_format(behind, bytes));
	return true;
}
