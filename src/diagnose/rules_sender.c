/* SPDX-License-Identifier: BSD-2-Clause */
/* The walsender's own work, and what its host gives it. */
#include <string.h>

#include "base/util.h"
#include "diagnose/evidence.h"

WS_RULE(slot_waits_for_transaction)
{
	const struct ws_last_command *cmd = &c->t->command;
	uint64_t from = cmd->start_ns > c->from_ns ? cmd->start_ns : c->from_ns;
	uint64_t to = cmd->end_ns && cmd->end_ns < c->to_ns ? cmd->end_ns : c->to_ns;
	uint64_t lasted = to > from ? to - from : 0, wait;
	char text[WS_DURATION_TEXT];

	if (strcmp(cmd->kind, "CREATE_REPLICATION_SLOT") != 0 ||
	    lasted < ws_limit_ns(WS_LIMIT_SLOT_WAIT) || c->s->end_ns)
		return false;
	wait = c->state_ns[WS_STATE_WAIT_LOCK];
	f->confidence = wait ? 0.95 : 0.75;
	ws_fact(f, "command_time", lasted, "ns");
	ws_fact(f, "wait_lock", wait, "ns");
	if (c->t->lock_xid)
		ws_fact(f, "xid", c->t->lock_xid, "");
	if (c->t->lock_holder)
		ws_fact(f, "holder_pid", c->t->lock_holder, "");
	ws_say(f, "CREATE_REPLICATION_SLOT has taken %s: ", ws_duration_format(lasted, text));
	if (c->t->lock_xid && c->t->lock_holder)
		ws_say(f, "it waits for transaction %u of process %u to end.", c->t->lock_xid,
		       c->t->lock_holder);
	else if (c->t->lock_xid)
		ws_say(f, "it waits for transaction %u to end.", c->t->lock_xid);
	else
		ws_say(f, "it waits for transactions that ran before it; which one is not known.");
	return true;
}

WS_RULE(failover_slot_wait)
{
	char text[WS_DURATION_TEXT];

	if (!ws_case_dominates(c, WS_STATE_WAIT_STANDBY))
		return false;
	f->confidence = 0.9;
	ws_fact_share(c, f, WS_STATE_WAIT_STANDBY);
	ws_fact_lsn(f, "sent", c->s->sent_lsn);
	ws_say(f,
	       "For %s this session held its output back until the standbys of "
	       "synchronized_standby_slots confirm; which of them it waits for cannot be told "
	       "from here.",
	       ws_duration_format(c->state_ns[WS_STATE_WAIT_STANDBY], text));
	return true;
}

WS_RULE(upstream_stalled)
{
	uint64_t still = ws_case_still(c, WS_SENT), behind = 0;
	char text[WS_DURATION_TEXT];
	bool stopped;

	if (!c->s->cascading || c->s->end_ns || c->s->state != WS_STATE_WAIT_WAL)
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
	ws_fact_lsn(f, "sent", c->s->sent_lsn);
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

WS_RULE(cpu_starved)
{
	double delay = rate(c, WS_RUN_DELAY), throttled = rate(c, WS_THROTTLED);
	double off = ws_case_share(c, WS_STATE_OFF_CPU), most = delay;
	bool quota = throttled >= ws_limit(WS_LIMIT_RUN_DELAY);

	most = off > most ? off : most;
	if (most < ws_limit(WS_LIMIT_RUN_DELAY) && !quota)
		return false;
	f->confidence = 0.85;
	ws_fact(f, "runnable_not_running", (uint64_t)(100 * most + 0.5), "%");
	if (ws_case_known(c, WS_RUN_DELAY))
		ws_fact(f, "run_delay", ws_case_grown(c, WS_RUN_DELAY), "ns");
	if (ws_case_known(c, WS_THROTTLED))
		ws_fact(f, "throttled", ws_case_grown(c, WS_THROTTLED), "ns");
	if (quota)
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
	if (!slow && (disk < ws_limit(WS_LIMIT_ON_DISK) || !ws_case_grown(c, WS_STORAGE) ||
		      busy < ws_limit(WS_LIMIT_READ)))
		return false;
	f->confidence = slow && disk > 0 ? 0.9 : 0.75;
	ws_fact_share(c, f, WS_STATE_READ_WAL);
	if (hist->count)
		ws_fact(f, "read_median", median, "ns");
	ws_fact(f, "samples_in_disk_wait", (uint64_t)(100 * disk + 0.5), "%");
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

static bool is_logical(const struct ws_case *c)
{
	return c->s->kind == WS_SESSION_KIND_LOGICAL;
}

static double decoding(const struct ws_case *c)
{
	return ws_case_share(c, WS_STATE_DECODE) + ws_case_share(c, WS_STATE_READ_WAL) +
	       ws_case_share(c, WS_STATE_OUTPUT_PLUGIN);
}

WS_RULE(large_transaction)
{
	const struct ws_rec_decoding *d = &c->t->decoding;
	uint64_t kept, silent, behind = 0;
	bool known, working;
	char text[WS_DURATION_TEXT], bytes[WS_BYTES_TEXT], rest[WS_BYTES_TEXT];

	if (!is_logical(c) || !c->t->has_decoding || !(d->valid & WS_DECODING_BUFFER) ||
	    c->s->end_ns)
		return false;
	kept = d->buffer_bytes + ws_case_grown(c, WS_SPILLED);
	/* The counters come with the end of a transaction: since then no output. */
	silent = ws_case_known(c, WS_TXNS) ? ws_case_still(c, WS_TXNS) : 0;
	working = ws_case_moves(c, WS_DECODED, ws_limit_ns(WS_LIMIT_TXN_TIME)) ||
		  decoding(c) >= ws_limit(WS_LIMIT_DOMINANT);
	if ((double)kept < ws_limit(WS_LIMIT_TXN_BYTES) ||
	    silent < ws_limit_ns(WS_LIMIT_TXN_TIME) || !working)
		return false;
	known = ws_case_behind(c, WS_TARGET, WS_DECODED, &behind);
	f->confidence = 0.75;
	ws_fact(f, "in_memory", d->buffer_bytes, "bytes");
	ws_fact(f, "spilled", ws_case_grown(c, WS_SPILLED), "bytes");
	ws_fact(f, "no_transaction_ended_for", silent, "ns");
	ws_fact_lsn(f, "decoded", d->read_lsn);
	if (known)
		ws_fact(f, "still_to_decode", behind, "bytes");
	ws_say(f,
	       "A large transaction is being gathered: %s of changes so far, and no transaction "
	       "has been sent for %s",
	       ws_bytes_format(kept, bytes), ws_duration_format(silent, text));
	if (known)
		ws_say(f, "; %s of WAL are still to be decoded", ws_bytes_format(behind, rest));
	ws_say(f, ".");
	return true;
}

WS_RULE(spilling)
{
	uint64_t spilled = ws_case_grown(c, WS_SPILLED), decoded = ws_case_grown(c, WS_DECODED);
	char bytes[WS_BYTES_TEXT], all[WS_BYTES_TEXT];

	if (!is_logical(c) || !spilled || decoding(c) < ws_limit(WS_LIMIT_SPILL_TIME) ||
	    (double)spilled < ws_limit(WS_LIMIT_SPILL_BYTES) * (double)decoded)
		return false;
	f->confidence = 0.75;
	ws_fact(f, "spilled", spilled, "bytes");
	ws_fact(f, "spilled_transactions", c->t->decoding.spill_txns, "");
	ws_fact(f, "decoded", decoded, "bytes");
	ws_fact_share(c, f, WS_STATE_DECODE);
	ws_say(f,
	       "Decoding writes changes to disk and reads them back: %s were spilled while %s of "
	       "WAL were decoded, because they did not fit into logical_decoding_work_mem.",
	       ws_bytes_format(spilled, bytes), ws_bytes_format(decoded, all));
	return true;
}

/* Is the session behind what there is to send, and not getting nearer? */
static bool falls_behind(const struct ws_case *c, struct ws_trend *trend)
{
	return ws_case_trend(c, WS_TARGET, WS_SENT, trend) &&
	       trend->after >= ws_limit(WS_LIMIT_BACKLOG) && trend->after >= trend->before;
}

static bool own_work(const struct ws_case *c, struct ws_finding *f, enum ws_state state,
		     const char *what)
{
	struct ws_trend trend;
	char bytes[WS_BYTES_TEXT];

	if (!is_logical(c) || ws_case_share(c, state) < ws_limit(WS_LIMIT_DOMINANT) ||
	    !falls_behind(c, &trend))
		return false;
	f->confidence = 0.8;
	ws_fact_share(c, f, state);
	ws_fact(f, "not_sent_before", (uint64_t)trend.before, "bytes");
	ws_fact(f, "not_sent", (uint64_t)trend.after, "bytes");
	ws_say(f,
	       "%s takes %.0f %% of the time, and the session is %s behind and does not get "
	       "nearer.",
	       what, 100 * ws_case_share(c, state), ws_bytes_format((uint64_t)trend.after, bytes));
	return true;
}

WS_RULE(output_plugin_slow)
{
	return own_work(c, f, WS_STATE_OUTPUT_PLUGIN, "The output plugin");
}

WS_RULE(decode_bound)
{
	bool told = c->s->hist[WS_METRIC_OUTPUT_PLUGIN_NS].count;

	return own_work(c, f, WS_STATE_DECODE,
			told ? "Decoding"
			     : "Decoding (with the output plugin: level 3 tells them "
			       "apart)");
}

WS_RULE(table_copy)
{
	char text[WS_DURATION_TEXT];
	uint64_t ns = c->state_ns[WS_STATE_SQL] + c->state_ns[WS_STATE_SEND_BLOCKED] +
		      c->state_ns[WS_STATE_WAIT_LOCK];
	uint64_t known = c->accounted_ns - c->lost_ns;

	if (strcmp(c->t->command.kind, "COPY") != 0 || !known ||
	    (double)ns < ws_limit(WS_LIMIT_DOMINANT) * (double)known)
		return false;
	f->confidence = 0.9;
	ws_fact_share(c, f, WS_STATE_SQL);
	ws_fact_share(c, f, WS_STATE_SEND_BLOCKED);
	ws_fact_share(c, f, WS_STATE_WAIT_LOCK);
	ws_say(f, "The session copies a table (COPY) to its client, for %s of the time looked at.",
	       ws_duration_format(ns, text));
	if (ws_case_dominates(c, WS_STATE_SEND_BLOCKED))
		ws_say(f, " The client, or the way to it, is what it waits for.");
	if (ws_case_dominates(c, WS_STATE_WAIT_LOCK))
		ws_say(f, " It waits for a lock.");
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

	if (!ws_case_streams(c) || !falls_behind(c, &trend))
		return false;
	f->confidence = 0.8;
	ws_fact(f, "not_sent_before", (uint64_t)trend.before, "bytes");
	ws_fact(f, "not_sent", (uint64_t)trend.after, "bytes");
	ws_fact(f, "span", trend.span_ns, "ns");
	ws_say(f, "The session falls behind: %s of WAL are not sent, %s more than %s before.",
	       ws_bytes_format((uint64_t)trend.after, bytes),
	       ws_bytes_format((uint64_t)(trend.after - trend.before), grown),
	       ws_duration_format(trend.span_ns, (char[WS_DURATION_TEXT]){ 0 }));
	name_bottleneck(c, f);
	return true;
}

WS_RULE(catching_up)
{
	struct ws_trend trend;
	double bytes_per_ns;
	char bytes[WS_BYTES_TEXT], eta[WS_DURATION_TEXT];

	if (!ws_case_streams(c) || !ws_case_trend(c, WS_TARGET, WS_SENT, &trend) ||
	    trend.after < ws_limit(WS_LIMIT_BACKLOG) || trend.after >= trend.before)
		return false;
	bytes_per_ns = (trend.before - trend.after) / (double)trend.span_ns;
	f->confidence = 0.8;
	ws_fact(f, "not_sent_before", (uint64_t)trend.before, "bytes");
	ws_fact(f, "not_sent", (uint64_t)trend.after, "bytes");
	if (bytes_per_ns < 1e9)
		ws_fact(f, "nearer_per_second", (uint64_t)(bytes_per_ns * 1e9), "bytes");
	ws_say(f, "The session is %s behind and comes nearer",
	       ws_bytes_format((uint64_t)trend.after, bytes));
	if (trend.after / bytes_per_ns < 1e18) {
		ws_fact(f, "estimate", (uint64_t)(trend.after / bytes_per_ns), "ns");
		ws_say(f, ": at this rate it is there in %s",
		       ws_duration_format((uint64_t)(trend.after / bytes_per_ns), eta));
	}
	ws_say(f, ".");
	name_bottleneck(c, f);
	return true;
}
