/* SPDX-License-Identifier: BSD-2-Clause */
/* The walsender's own work, and what its host gives it. */
#include <inttypes.h>
#include <string.h>

#include "base/util.h"
#include "diagnose/evidence.h"

WS_RULE(upstream_stalled)
{
	uint64_t still = ws_case_still(c, WS_SENT), behind = 0;
	char text[WS_DURATION_TEXT];
	bool stopped;

	if (!c->s->cascading || c->t->ended_ns || c->t->standing->state != WS_STATE_WAIT_WAL)
		return false;
	if (ws_case_behind(c, WS_TARGET, WS_SENT, &behind) && behind)
		return false;
	/* An idle upstream looks the same from here, but for who receives from it. */
	if (!c->server || !c->server->has_cluster ||
	    (c->server->cluster.walreceiver != WS_WALRECEIVER_NONE &&
	     c->server->cluster.walreceiver != WS_WALRECEIVER_STOPPED))
		return false;
	stopped = c->server->cluster.walreceiver == WS_WALRECEIVER_STOPPED;
	if (still < ws_limit_ns(WS_LIMIT_UPSTREAM))
		return false;
	f->confidence = 0.85;
	ws_fact_text(f, "walreceiver", stopped ? "stopped" : "none");
	ws_fact(f, "no_wal_for", still, "ns");
	ws_fact_lsn(f, "sent", c->t->standing->sent_lsn);
	ws_say(f,
	       "This server is a standby itself. All that it has replayed is sent, and nothing "
	       "new has come for %s: %s.",
	       ws_duration_format(still, text),
	       stopped ? "its walreceiver is stopped" : "it has no walreceiver, so no upstream");
	return true;
}

static double rate(const struct ws_case *c, enum ws_watched which)
{
	uint64_t span = ws_case_span(c, which);

	return span >= ws_limit_ns(WS_LIMIT_OBSERVED) / 2
		       ? (double)ws_case_grown(c, which) / (double)span
		       : 0;
}

static void say_group(const struct ws_rec_cgroup *group, double throttled, struct ws_finding *f)
{
	double cpus = group->period_us ? (double)group->quota_us / (double)group->period_us : 0;

	size_t len = strlen(group->path), cut = len < WS_FACT_TEXT ? 0 : len - WS_FACT_TEXT + 1;

	ws_fact_text(f, "control_group", group->path + cut);
	ws_fact(f, "cpu_quota", ws_whole(100 * cpus + 0.5), "%");
	ws_say(f,
	       "The walsender's control group %s may use %.0f %% of one CPU, and was out of that "
	       "quota for %.0f %% of the time.",
	       group->path, 100 * cpus, 100 * throttled);
}

WS_RULE(cpu_starved)
{
	double delay = rate(c, WS_RUN_DELAY), throttled = rate(c, WS_THROTTLED);
	double off = ws_case_share(c, WS_STATE_OFF_CPU), most = delay;
	bool quota = throttled >= ws_limit(WS_LIMIT_RUN_DELAY);
	bool starved;

	most = off > most ? off : most;
	throttled = throttled > 1 ? 1 : throttled; /* it is a sum over CPUs */
	/* What others in its group use up starves nobody who has no work; who has a little of it
	 * may wait for most of that. */
	starved = most >= ws_limit(WS_LIMIT_RUN_DELAY) ||
		  (quota &&
		   (!ws_case_known(c, WS_RUN_DELAY) || most >= ws_limit(WS_LIMIT_QUOTA_DELAY)));
	if (!starved)
		return false;
	f->confidence = 0.85;
	ws_fact(f, "runnable_not_running", ws_whole(100 * most + 0.5), "%");
	if (ws_case_known(c, WS_RUN_DELAY))
		ws_fact(f, "run_delay", ws_case_grown(c, WS_RUN_DELAY), "ns");
	if (ws_case_known(c, WS_THROTTLED))
		ws_fact(f, "throttled", ws_case_grown(c, WS_THROTTLED), "ns");
	if (quota && c->t->has_cgroup)
		say_group(&c->t->cgroup, throttled, f);
	else if (quota)
		ws_say(f,
		       "The control group of the walsender was out of CPU quota for %.0f %% of "
		       "the time.",
		       100 * throttled);
	else
		ws_say(f,
		       "The walsender was ready to run and got no CPU for %.0f %% of the time: "
		       "%s.",
		       100 * most,
		       ws_case_known(c, WS_THROTTLED)
			       ? "this host has more to do than CPUs for it"
			       : "this host has more to do than CPUs for it, or a control group "
				 "limits it");
	return true;
}

WS_RULE(wal_read_slow)
{
	const struct ws_hist *hist = &c->s->hist[WS_METRIC_READ_WAL_NS];
	double read = ws_case_share(c, WS_STATE_READ_WAL), busy, disk;
	uint64_t median = ws_hist_quantile(hist, 0.5);
	bool slow = read >= ws_limit(WS_LIMIT_READ) && hist->count &&
		    median >= ws_limit_ns(WS_LIMIT_READ_TIME);
	char text[WS_DURATION_TEXT], bytes[WS_BYTES_TEXT];

	if (!ws_case_streams(c))
		return false;
	disk = c->t->samples ? (double)c->t->samples_on_disk / (double)c->t->samples : 0;
	busy = read + ws_case_share(c, WS_STATE_SEND) + ws_case_share(c, WS_STATE_DECODE);
	/* Spilled changes lie on that disk, too. */
	if (!slow && (disk < ws_limit(WS_LIMIT_ON_DISK) || !ws_case_grown(c, WS_STORAGE) ||
		      busy < ws_limit(WS_LIMIT_READ) || ws_case_spill_share(c) >= disk / 2))
		return false;
	f->confidence = slow && disk > 0 ? 0.9 : 0.75;
	/* Below level 3 reading is a part of sending, or of decoding. */
	ws_fact_share(c, f,
		      hist->count			      ? WS_STATE_READ_WAL
		      : c->s->kind == WS_SESSION_KIND_LOGICAL ? WS_STATE_DECODE
							      : WS_STATE_SEND);
	if (hist->count)
		ws_fact(f, "read_median", median, "ns");
	ws_fact(f, "samples_in_disk_wait", ws_whole(100 * disk + 0.5), "%");
	ws_fact(f, "read_from_storage", ws_case_grown(c, WS_STORAGE), "bytes");
	if (slow)
		ws_say(f,
		       "Reading WAL takes %.0f %% of the time, %s a read: it comes from disk, "
		       "not from memory.",
		       100 * read, ws_duration_format(median, text));
	else
		ws_say(f, "The walsender waits for the disk: it read %s from storage.",
		       ws_bytes_format(ws_case_grown(c, WS_STORAGE), bytes));
	return true;
}

/* By the server's own count, which is this COPY's alone. */
static void say_rows(const struct ws_case *c, struct ws_finding *f)
{
	const struct ws_rec_copy *r = &c->t->copy;
	uint64_t from = c->t->command.start_ns;

	if (!c->t->has_copy || !from || r->h.time_ns <= from)
		return;
	ws_fact(f, "rows", r->rows, "rows");
	ws_fact(f, "rows_bytes", r->bytes, "bytes");
	ws_fact(f, "rows_per_second",
		ws_whole((double)r->rows * 1e9 / (double)(r->h.time_ns - from)), "rows");
	ws_say(f, "; %" PRIu64 " rows since it began", (uint64_t)r->rows);
}

void ws_say_lock(const struct ws_case *c, struct ws_finding *f)
{
	bool still = c->t->standing->state == WS_STATE_WAIT_LOCK && !c->t->ended_ns;

	f->advice = "See what the session does that holds the lock: pg_blocking_pids() says which "
		    "one it is, pg_stat_activity what it is at.";
	ws_say(f, " It %s ", still ? "waits" : "waited");
	if (still && c->t->txn_wait.xid) {
		f->advice = "See what that transaction is at, and end it if it is forgotten: "
			    "pg_stat_activity, pg_prepared_xacts.";
		ws_say_txn_wait(&c->t->txn_wait, f);
		ws_say(f, ".");
		return;
	}
	ws_say(f, "for a lock");
	if (c->t->lock_holder) {
		ws_fact(f, "lock_holder", c->t->lock_holder, "");
		ws_say(f, " of process %u", c->t->lock_holder);
	}
	ws_say(f, ".");
}

/* What a command that has begun before `to` has of the window up to then. */
static uint64_t within(const struct ws_case *c, const struct ws_last_command *cmd, uint64_t to)
{
	uint64_t from = cmd->start_ns > c->from_ns ? cmd->start_ns : c->from_ns;

	to = cmd->end_ns && cmd->end_ns < to ? cmd->end_ns : to;
	return to > from ? to - from : 0;
}

/* How long the COPY has waited for locks. Its session has made a slot before, which waits for
 * transactions: that is no wait of the copy. */
static uint64_t copy_locked(const struct ws_case *c)
{
	uint64_t locked = c->state_ns[WS_STATE_WAIT_LOCK];
	uint64_t making = c->t->making.start_ns < c->t->command.start_ns
				  ? within(c, &c->t->making, c->t->command.start_ns)
				  : 0;

	return locked > making ? locked - making : 0;
}

WS_RULE(table_copy)
{
	char text[WS_DURATION_TEXT], bytes[WS_BYTES_TEXT];
	const struct ws_watch *wire = ws_case_watch(c, WS_WIRE);
	uint64_t span = ws_case_span(c, WS_WIRE), ran = within(c, &c->t->command, c->to_ns);
	uint64_t locked = copy_locked(c);
	uint64_t ns = c->state_ns[WS_STATE_SQL] + c->state_ns[WS_STATE_SEND_BLOCKED] + locked;
	uint64_t known = c->accounted_ns - c->lost_ns;

	ns = ns < ran ? ns : ran;
	if (wire->last_ns > c->t->command.start_ns && wire->first_ns < c->t->command.start_ns)
		span = wire->last_ns - c->t->command.start_ns;
	if (strcmp(c->t->command.kind, "COPY") != 0 || !known ||
	    (double)ns < ws_limit(WS_LIMIT_DOMINANT) * (double)known)
		return false;
	f->confidence = 0.9;
	ws_fact_text(f, "table", c->t->command.table);
	ws_fact_share(c, f, WS_STATE_SQL);
	ws_fact_share(c, f, WS_STATE_SEND_BLOCKED);
	ws_fact_share(c, f, WS_STATE_WAIT_LOCK);
	ws_fact(f, "copying", ns, "ns");
	ws_say(f, "The session copies %s%s (COPY) to its client, for %s of the time looked at",
	       c->t->command.table[0] ? "table " : "a table", c->t->command.table,
	       ws_duration_format(ns, text));
	if (span) {
		ws_fact(f, "copied", ws_case_grown(c, WS_WIRE), "bytes");
		ws_fact(f, "copied_in", span, "ns");
		ws_fact(f, "copied_per_second",
			ws_whole((double)ws_case_grown(c, WS_WIRE) * 1e9 / (double)span), "bytes");
		ws_say(f, ", %s in %s", ws_bytes_format(ws_case_grown(c, WS_WIRE), bytes),
		       ws_duration_format(span, text));
	}
	say_rows(c, f);
	ws_say(f, ".");
	if (ws_case_dominates(c, WS_STATE_SEND_BLOCKED))
		ws_say(f, " The client, or the way to it, is what it waits for.");
	if (ws_case_dominates(c, WS_STATE_WAIT_LOCK) &&
	    2 * locked >= c->state_ns[WS_STATE_WAIT_LOCK])
		ws_say_lock(c, f);
	return true;
}

static void name_bottleneck(const struct ws_case *c, struct ws_finding *f)
{
	enum ws_state most = ws_case_bottleneck(c);

	ws_fact_share(c, f, most);
	ws_say(f, " Most of its time goes into %s (%.0f %%).", ws_state_name(most),
	       100 * ws_case_share(c, most));
}

WS_RULE(falling_behind)
{
	struct ws_trend trend;
	char bytes[WS_BYTES_TEXT], grown[WS_BYTES_TEXT];

	if (!ws_case_streams(c) || !ws_case_falls_behind(c, &trend))
		return false;
	f->confidence = 0.8;
	ws_fact(f, "not_sent_before", ws_whole(trend.before), "bytes");
	ws_fact(f, "not_sent", ws_whole(trend.after), "bytes");
	ws_fact(f, "span", trend.span_ns, "ns");
	ws_say(f, "The session falls behind: %s of WAL are not sent, %s more than %s before.",
	       ws_bytes_format(ws_whole(trend.after), bytes),
	       ws_bytes_format(ws_whole(trend.after - trend.before), grown),
	       ws_duration_format(trend.span_ns, (char[WS_DURATION_TEXT]){ 0 }));
	name_bottleneck(c, f);
	return true;
}

/* A slot's decoding begins where the oldest transaction did that ran when its client confirmed
 * last: that is all decoded once more, and of what ended before nothing is handed out. */
static void say_repeated(const struct ws_case *c, struct ws_finding *f)
{
	uint64_t sent = ws_case_watch(c, WS_SENT)->last;
	uint64_t confirmed = ws_case_watch(c, WS_CONFIRMED)->last;
	char bytes[WS_BYTES_TEXT], lsn[WS_LSN_TEXT];

	if (c->s->kind != WS_SESSION_KIND_LOGICAL || !ws_case_known(c, WS_CONFIRMED) ||
	    confirmed <= sent)
		return;
	ws_fact(f, "to_repeat", confirmed - sent, "bytes");
	ws_fact_lsn(f, "confirmed", confirmed);
	ws_say(f,
	       " Of that, %s are decoded again, from the slot's restart_lsn on: its client has "
	       "all that ended before %s, and gets nothing until then.",
	       ws_bytes_format(confirmed - sent, bytes), ws_lsn_format(confirmed, lsn));
}

WS_RULE(catching_up)
{
	struct ws_trend trend;
	double bytes_per_ns;
	char bytes[WS_BYTES_TEXT], eta[WS_DURATION_TEXT];

	if (!ws_case_streams(c) || !ws_case_comes_nearer(c, &trend))
		return false;
	bytes_per_ns = (trend.before - trend.after) / (double)trend.span_ns;
	f->confidence = 0.8;
	ws_fact(f, "not_sent_before", ws_whole(trend.before), "bytes");
	ws_fact(f, "not_sent", ws_whole(trend.after), "bytes");
	if (bytes_per_ns < 1e9)
		ws_fact(f, "nearer_per_second", ws_whole(bytes_per_ns * 1e9), "bytes");
	ws_say(f, "The session is %s behind and comes nearer",
	       ws_bytes_format(ws_whole(trend.after), bytes));
	if (trend.after / bytes_per_ns < 1e18) {
		ws_fact(f, "estimate", ws_whole(trend.after / bytes_per_ns), "ns");
		ws_say(f, ": at this rate it is there in %s",
		       ws_duration_format(ws_whole(trend.after / bytes_per_ns), eta));
	}
	ws_say(f, ".");
	say_repeated(c, f);
	name_bottleneck(c, f);
	return true;
}
