/* SPDX-License-Identifier: BSD-2-Clause */
/* What logical decoding does: big transactions, spilling, the output plugin, making a slot. */
#include <inttypes.h>
#include <string.h>

#include "base/util.h"
#include "diagnose/evidence.h"

/* What building a snapshot waits for, if no lock says it (snapbuild.c: SnapBuildFindSnapshot). */
static const char *snapshot_wait(enum ws_snapshot snapshot)
{
	switch (snapshot) {
	case WS_SNAPSHOT_START:
		return "it waits for a WAL record of the transactions that run; on a standby the "
		       "primary writes one at its next checkpoint, or by pg_log_standby_snapshot() "
		       "(16 and later).";
	case WS_SNAPSHOT_BUILDING:
	case WS_SNAPSHOT_FULL:
		return "it waits for transactions that ran before it to end; which one is not "
		       "known.";
	case WS_SNAPSHOT_CONSISTENT:
		return "its snapshot is ready.";
	default:
		return "it waits for transactions that ran before it; which one is not known.";
	}
}

/*
 * On a standby there is no lock to wait for: XactLockTableWait (lmgr.c) looks again and again
 * whether the transaction still runs on the primary. That looks like a wait for WAL, but for what
 * there is to be decoded meanwhile; and replay that stands still does so, too.
 */
static bool say_held_snapshot(const struct ws_case *c, struct ws_finding *f)
{
	uint32_t before = c->t->decoding.catalog_xmin;
	char at[WS_LSN_TEXT], to[WS_LSN_TEXT], text[WS_DURATION_TEXT];
	struct ws_held_replay held;

	if (!ws_case_replay_held(c, WS_DECODED, &held) ||
	    held.still_ns < ws_limit_ns(WS_LIMIT_SLOT_WAIT))
		return false;
	f->advice = "On the primary end the oldest transactions (pg_stat_activity, "
		    "pg_prepared_xacts); here see pg_get_wal_replay_pause_state().";
	ws_fact(f, "decoding_unchanged", held.still_ns, "ns");
	ws_fact_lsn(f, "received", held.received);
	if (before)
		ws_fact(f, "catalog_xmin", before, "");
	ws_say(f,
	       "it stands at %s for %s, and this standby has received WAL up to %s. It waits for "
	       "transactions of the primary",
	       ws_lsn_format(held.at, at), ws_duration_format(held.still_ns, text),
	       ws_lsn_format(held.received, to));
	if (before)
		ws_say(f, " that are older than %u", before);
	ws_say(f, " to end, or replay stands still here.");
	return true;
}

static const char *snapshot_name(enum ws_snapshot snapshot)
{
	static const char *const names[] = { "", "start", "building", "full", "consistent" };

	return (size_t)snapshot < WS_ARRAY_SIZE(names) ? names[snapshot] : "";
}

void ws_say_txn_wait(const struct ws_txn_wait *w, struct ws_finding *f)
{
	const struct ws_rec_holder *h = &w->holder;

	ws_fact(f, "xid", w->xid, "");
	if (w->holder_pid)
		ws_fact(f, "holder_pid", w->holder_pid, "");
	ws_say(f, "for transaction %u", w->xid);
	if (h->what == WS_HELD_PREPARED) {
		ws_fact_text(f, "holder_prepared", h->gid);
		ws_say(f, ", prepared as %s,", h->gid);
	} else if (w->holder_pid) {
		ws_say(f, " of process %u", w->holder_pid);
	}
	if (h->what == WS_HELD_PROCESS) {
		ws_fact_text(f, "holder_user", h->user);
		ws_fact_text(f, "holder_application", h->application);
		ws_say(f, " (%s%s%s)", h->user, h->application[0] ? ", " : "", h->application);
	}
	ws_say(f, " to end");
}

/* What making the slot waits for; once that is over, what it waited for longest. Xid 0: that is not
 * known. */
static struct ws_txn_wait awaited(const struct ws_case *c, bool over, uint64_t to_ns)
{
	const struct ws_last_command *cmd = &c->t->making;
	struct ws_txn_wait now = c->t->txn_wait, longest = c->t->longest_wait;

	now.ns = now.xid && to_ns > now.since_ns ? to_ns - now.since_ns : 0;
	if (now.since_ns < cmd->start_ns)
		now.xid = 0;
	if (longest.since_ns < cmd->start_ns)
		longest.xid = 0;
	if (!over || !longest.xid || (now.xid && now.ns >= longest.ns))
		return now;
	return longest;
}

/* SQL may do anything else besides. */
static bool may_do_else(const struct ws_last_command *making)
{
	return strcmp(making->kind, "CREATE_REPLICATION_SLOT") != 0;
}

WS_RULE(slot_waits_for_transaction)
{
	const struct ws_last_command *cmd = &c->t->making;
	uint64_t from = cmd->start_ns > c->from_ns ? cmd->start_ns : c->from_ns;
	uint64_t to = cmd->end_ns && cmd->end_ns < c->to_ns ? cmd->end_ns : c->to_ns;
	uint64_t lasted = to > from ? to - from : 0, whole = lasted, wait;
	bool over = cmd->end_ns || c->t->ended_ns;
	enum ws_snapshot snapshot = WS_SNAPSHOT_UNKNOWN;
	struct ws_txn_wait txn;
	char text[WS_DURATION_TEXT];

	/* What is over is told if it was most of what the session did. */
	if (!cmd->kind[0] || lasted < ws_limit_ns(WS_LIMIT_SLOT_WAIT) ||
	    (over && (double)lasted < ws_limit(WS_LIMIT_DOMINANT) * (double)c->wall_ns))
		return false;
	txn = awaited(c, over, to);
	if (may_do_else(cmd) && !txn.xid)
		return false;
	if (cmd->start_ns) /* before the window, too */
		whole = to - cmd->start_ns;
	wait = c->state_ns[WS_STATE_WAIT_LOCK];
	f->confidence = wait ? 0.95 : 0.75;
	ws_fact(f, "command_time", whole, "ns");
	ws_fact(f, "wait_lock", wait, "ns");
	if (c->t->has_decoding && !over) {
		snapshot = (enum ws_snapshot)c->t->decoding.snapshot;
		ws_fact_text(f, "snapshot", snapshot_name(snapshot));
		ws_fact_lsn(f, "decoded", c->t->decoding.read_lsn);
	}
	ws_say(f, "%s %s%s %s: ",
	       may_do_else(cmd) ? "pg_create_logical_replication_slot()" : cmd->kind,
	       over ? "took" : "has taken", cmd->start_ns ? "" : " more than",
	       ws_duration_format(whole, text));
	if (txn.xid) {
		ws_say(f, "it %s ", over ? "waited" : "waits");
		ws_say_txn_wait(&txn, f);
		if (over && lasted > txn.ns && txn.ns) {
			ws_fact(f, "longest_wait", txn.ns, "ns");
			ws_say(f, ", for %s", ws_duration_format(txn.ns, text));
		}
		ws_say(f, ".");
	} else if (over) {
		ws_say(f, "it waited for transactions that ran before it.");
	} else if (!say_held_snapshot(c, f)) {
		ws_say(f, "%s", snapshot_wait(snapshot));
		if (snapshot == WS_SNAPSHOT_START && c->s->cascading)
			f->advice = "On the primary: select pg_log_standby_snapshot() (16 and "
				    "later), or a checkpoint.";
	}
	if (over)
		f->advice = "That wait is over. A slot, also of a subscription and of each table "
			    "that it copies, is made sooner where no transaction is open for long.";
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

/* A transaction, as last seen. */
struct big {
	const struct ws_rec_decoding *d;
	uint64_t bytes;		  /* its size, by the best that is known */
	uint64_t memory, spilled; /* of which so much lies in memory, and was written to disk */
	uint32_t
		others; /* so many are gathered, too, and may have some of that: 0 if it is known */
	uint64_t lasts; /* gathered so long without output, or handed out so long */
	uint64_t whole; /* both */
	uint64_t to;	/* where that will be over, 0: not known */
	bool moves;
	bool beside; /* others are handed out while it is gathered */
};

static uint64_t between(uint64_t from, uint64_t to)
{
	return to > from ? to - from : 0;
}

/* What was spilled since decoding came to its first record, and since nothing of it was: before
 * that it was of others. */
static uint64_t spilled_since(const struct ws_case *c, const struct ws_rec_decoding *d)
{
	uint64_t before = ws_case_watch(c, WS_SPILLED)->first;

	for (size_t i = 0; i < c->t->point_count; i++) {
		const struct ws_point *p = &c->t->points[i];

		if (p->decoded && p->decoded <= d->txn_first_lsn)
			before = p->spilled;
	}
	if (d->txn_xid && d->txn_xid == c->t->unspilled_xid && before < c->t->unspilled_bytes)
		before = c->t->unspilled_bytes;
	return between(before, ws_case_watch(c, WS_SPILLED)->last);
}

/* Small ones that end meanwhile are handed out, each as late as what is decoded before it takes:
 * most of that is of this one, and the session does not keep up. */
static bool holds_others_up(const struct ws_case *c, const struct big *big)
{
	uint64_t since_it_began = between(big->d->txn_first_lsn, big->d->read_lsn);
	struct ws_trend trend;

	return since_it_began && decoding(c) >= ws_limit(WS_LIMIT_DOMINANT) &&
	       (double)big->bytes >= ws_limit(WS_LIMIT_DOMINANT) * (double)since_it_began &&
	       (ws_case_falls_behind(c, &trend) || ws_case_comes_nearer(c, &trend));
}

/* The server's sums are over all transactions that are gathered: where its own is not known, what
 * others hold, and spill meanwhile, may be a part of it. */
static void look_at_size(const struct ws_case *c, struct big *big)
{
	const struct ws_rec_decoding *d = big->d;
	bool several = (d->valid & WS_DECODING_TXNS) && d->open_txns > 1;

	big->memory = several ? d->txn_bytes : d->buffer_bytes;
	if (d->valid & WS_DECODING_TXN_SPILL) {
		big->spilled = d->txn_spill_bytes;
	} else {
		big->spilled = spilled_since(c, d);
		big->others = several && big->spilled ? d->open_txns - 1 : 0;
	}
	big->bytes = big->memory + big->spilled;
}

/* Its end was decoded, the output plugin gets one change after the other. */
static void look_at_output(const struct ws_case *c, struct big *big)
{
	look_at_size(c, big);
	big->bytes = between(big->d->txn_first_lsn, big->d->txn_end_lsn);
	big->lasts = between(c->t->txn_since_ns, c->to_ns);
	big->whole = between(c->t->xid_since_ns, c->to_ns);
	big->to = big->d->txn_end_lsn;
	big->moves = ws_case_moves(c, WS_TXN_AT, ws_limit_ns(WS_LIMIT_TXN_TIME));
}

/* Changes are gathered until its commit comes. */
static void look_at_gathering(const struct ws_case *c, struct big *big)
{
	uint64_t since = c->t->output_since_ns;

	look_at_size(c, big);
	big->beside = since > c->t->xid_since_ns && holds_others_up(c, big);
	if (big->beside)
		since = c->t->xid_since_ns;
	big->lasts = between(since > c->from_ns ? since : c->from_ns, c->to_ns);
	/* A piece of one that runs may have been handed out, after another piece of it. */
	if (ws_case_known(c, WS_STREAMED) && ws_case_still(c, WS_STREAMED) < big->lasts)
		big->lasts = ws_case_still(c, WS_STREAMED);
	if (!(big->d->valid & WS_DECODING_STATS) && big->d->open_txns == 1) {
		big->bytes = between(big->d->txn_first_lsn, big->d->read_lsn);
		big->lasts = between(c->t->txn_since_ns, c->to_ns);
	}
	big->whole = big->lasts;
	if (ws_case_known(c, WS_TARGET))
		big->to = ws_case_watch(c, WS_TARGET)->last;
	big->moves = ws_case_moves(c, WS_DECODED, ws_limit_ns(WS_LIMIT_TXN_TIME)) ||
		     decoding(c) >= ws_limit(WS_LIMIT_DOMINANT);
}

/* How far it is, and how long it takes at this rate. */
static void say_progress(const struct ws_case *c, struct ws_finding *f, const struct big *big,
			 bool output)
{
	uint64_t at = ws_case_watch(c, WS_TXN_AT)->last, left = between(at, big->to);
	uint64_t grown = ws_case_grown(c, WS_TXN_AT), span = ws_case_span(c, WS_TXN_AT);
	char text[WS_DURATION_TEXT], bytes[WS_BYTES_TEXT];
	double estimate = grown ? (double)left / (double)grown * (double)span : 0;

	if (!ws_case_known(c, WS_TXN_AT) || !big->to)
		return;
	ws_fact_lsn(f, output ? "output" : "decoded", at);
	ws_fact(f, output ? "still_to_hand_out" : "still_to_decode", left, "bytes");
	if (output && big->d->txn_flags & WS_TXN_STREAMED)
		ws_say(f, "; %s of it are left", ws_bytes_format(left, bytes));
	else if (output && big->bytes)
		ws_say(f, "; %.0f %% of its WAL are done",
		       100.0 * (double)between(big->d->txn_first_lsn, at) / (double)big->bytes);
	else if ((double)left >= ws_limit(WS_LIMIT_BACKLOG))
		ws_say(f, "; %s of WAL are still to be decoded", ws_bytes_format(left, bytes));
	else if (left)
		ws_say(f, "; all WAL there is but %s has been decoded, and its commit has not come",
		       ws_bytes_format(left, bytes));
	else
		ws_say(f, "; all WAL there is has been decoded, and its commit has not come");
	/* What came just now is no end to wait for. */
	if (!output && (double)left < ws_limit(WS_LIMIT_BACKLOG))
		return;
	if (!big->moves || estimate <= 0 || estimate >= 1e18)
		return;
	ws_fact(f, "estimate", ws_whole(estimate), "ns");
	ws_say(f, ", at this rate in %s", ws_duration_format(ws_whole(estimate), text));
}

/* What gathered changes took at most, beside what they may. The server counts changes against the
 * limit, not the blocks that they lie in: those can be several times as much. */
static void tell_buffer(const struct ws_case *c, struct ws_finding *f)
{
	const struct ws_rec_memory *r = &c->t->reorder;

	if (!r->h.size)
		return;
	ws_fact(f, "reorder_buffer_at_most", r->reorder_bytes, "bytes");
	if (r->valid & WS_MEMORY_WORK_MEM)
		ws_fact(f, "logical_decoding_work_mem", r->work_mem_bytes, "bytes");
}

static void say_overrun(const struct ws_case *c, struct ws_finding *f)
{
	const struct ws_rec_memory *r = &c->t->reorder;
	char bytes[WS_BYTES_TEXT], limit[WS_BYTES_TEXT];

	/* A block alone can have 8 MB: of a small limit that says nothing. */
	if (!r->h.size || !(r->valid & WS_MEMORY_WORK_MEM) ||
	    (double)r->reorder_bytes < ws_limit(WS_LIMIT_OVERRUN) * (double)r->work_mem_bytes ||
	    (double)(r->reorder_bytes - r->work_mem_bytes) < ws_limit(WS_LIMIT_MEMORY))
		return;
	ws_say(f,
	       " The buffer of changes took up to %s of memory, beyond logical_decoding_work_mem "
	       "(%s), which does not count the blocks that the changes lie in.",
	       ws_bytes_format(r->reorder_bytes, bytes), ws_bytes_format(r->work_mem_bytes, limit));
}

static void tell_big(struct ws_finding *f, const struct big *big, const struct ws_case *c)
{
	const struct ws_rec_decoding *d = big->d;

	if (d->txn_xid)
		ws_fact(f, "xid", d->txn_xid, "");
	if (d->valid & WS_DECODING_TXNS)
		ws_fact(f, "changes", d->txn_changes, "");
	if (d->txn_subtxns)
		ws_fact(f, "subtransactions", d->txn_subtxns, "");
	ws_fact_lsn(f, "first_lsn", d->txn_first_lsn);
	ws_fact_lsn(f, "commit_end_lsn", d->txn_end_lsn);
	ws_fact(f, "in_memory", big->memory, "bytes");
	if (d->valid & (WS_DECODING_TXN_SPILL | WS_DECODING_STATS))
		ws_fact(f, "spilled", big->spilled, "bytes");
	if ((d->valid & WS_DECODING_TXNS) && d->open_txns > 1)
		ws_fact(f, "open_transactions", d->open_txns, "");
	if (ws_case_grown(c, WS_STREAMED))
		ws_fact(f, "streamed", ws_case_grown(c, WS_STREAMED), "bytes");
	ws_fact_lsn(f, "restart_lsn", d->restart_lsn);
	tell_buffer(c, f);
}

static void say_xid(struct ws_finding *f, const struct ws_rec_decoding *d)
{
	if (d->txn_xid)
		ws_say(f, "Transaction %u, a large one, ", d->txn_xid);
	else
		ws_say(f, "A large transaction ");
}

/* It has ended since one looked, or nothing is gathered at all: what was spilled was of others. */
static bool is_over(const struct ws_case *c)
{
	const struct ws_rec_decoding *d = &c->t->decoding;

	return ((d->valid & WS_DECODING_TXNS) && !d->open_txns &&
		!(d->txn_flags & WS_TXN_OUTPUT)) ||
	       (d->txn_xid && d->txn_xid == c->t->over_xid);
}

WS_RULE(large_transaction)
{
	const struct ws_rec_decoding *d = &c->t->decoding;
	bool output = d->txn_flags & WS_TXN_OUTPUT;
	char text[WS_DURATION_TEXT], bytes[WS_BYTES_TEXT];
	struct big big = { .d = d };

	/* One that is prepared was handed out, and waits for somebody to end it. */
	if (!is_logical(c) || !c->t->has_decoding || !(d->valid & WS_DECODING_BUFFER) ||
	    c->t->ended_ns || d->txn_flags & WS_TXN_PREPARED || is_over(c))
		return false;
	if (output)
		look_at_output(c, &big);
	else
		look_at_gathering(c, &big);
	if ((double)big.bytes < ws_limit(WS_LIMIT_TXN_BYTES) ||
	    big.whole < ws_limit_ns(WS_LIMIT_TXN_TIME) || (!output && !big.moves))
		return false;
	f->confidence = d->txn_xid ? 0.85 : 0.75;
	tell_big(f, &big, c);
	say_xid(f, d);
	ws_fact(f,
		output	     ? "handed_out_for"
		: big.beside ? "gathered_for"
			     : "no_transaction_ended_for",
		big.lasts, "ns");
	if (output)
		ws_say(f, "is handed to the client for %s: %llu changes, %s of WAL%s",
		       ws_duration_format(big.lasts, text), (unsigned long long)d->txn_changes,
		       ws_bytes_format(big.bytes, bytes),
		       d->txn_flags & WS_TXN_STREAMED ? ", of which the client has had a part"
						      : "");
	else
		ws_say(f, "is being gathered: %s%s of changes so far%s, and %s for %s",
		       big.others ? "up to " : "", ws_bytes_format(big.bytes, bytes),
		       big.others ? " (others are gathered, too, and some of that may be theirs)"
				  : "",
		       big.beside ? "nothing of it has been sent" : "nothing has been sent",
		       ws_duration_format(big.lasts, text));
	say_progress(c, f, &big, output);
	ws_say(f, ".");
	if (output && !big.moves)
		ws_say(f, " It has not come further of late.");
	say_overrun(c, f);
	return true;
}

/*
 * What is written is the largest of the transactions gathered, and if these are subtransactions, a
 * little of it: so it is written again and again, and each time all of them are looked at
 * (ReorderBufferLargestTXN, reorderbuffer.c; they are kept in order from 17 on).
 */
static bool spills_crumbs(const struct ws_case *c, struct ws_finding *f)
{
	uint64_t spilled = ws_case_grown(c, WS_SPILLED), spills = ws_case_grown(c, WS_SPILLS);
	char bytes[WS_BYTES_TEXT], behind[WS_BYTES_TEXT];
	struct ws_trend trend;

	if ((double)spills < ws_limit(WS_LIMIT_SPILL_PIECES) ||
	    decoding(c) < ws_limit(WS_LIMIT_DOMINANT) ||
	    !(ws_case_falls_behind(c, &trend) || ws_case_comes_nearer(c, &trend)) ||
	    (double)spilled >= ws_limit(WS_LIMIT_SPILL_PIECE) * (double)spills)
		return false;
	f->confidence = 0.8;
	f->advice = "Raise logical_decoding_work_mem; do with fewer subtransactions (savepoints, "
		    "blocks with an EXCEPTION clause, in a loop) at a time.";
	ws_fact(f, "spilled", spilled, "bytes");
	ws_fact(f, "spills", spills, "");
	if (c->t->decoding.txn_subtxns)
		ws_fact(f, "subtransactions", c->t->decoding.txn_subtxns, "");
	ws_fact_share(c, f, WS_STATE_DECODE);
	ws_fact(f, "not_sent", ws_whole(trend.after), "bytes");
	ws_say(f,
	       "Changes do not fit into logical_decoding_work_mem, and go to disk in crumbs: %s in "
	       "%" PRIu64 " pieces, each of one of many small transactions",
	       ws_bytes_format(spilled, bytes), spills);
	if (c->t->decoding.txn_subtxns)
		ws_say(f, " (%u subtransactions of transaction %u)", c->t->decoding.txn_subtxns,
		       c->t->decoding.txn_xid);
	ws_say(f,
	       ". Choosing it takes longer than writing it: decoding takes %.0f %% of the time, "
	       "and the session is %s behind.",
	       100 * decoding(c), ws_bytes_format(ws_whole(trend.after), behind));
	tell_buffer(c, f);
	return true;
}

WS_RULE(spilling)
{
	uint64_t spilled = ws_case_grown(c, WS_SPILLED), decoded = ws_case_grown(c, WS_DECODED);
	char bytes[WS_BYTES_TEXT], write[WS_DURATION_TEXT], read[WS_DURATION_TEXT];
	uint64_t spill_ns = ws_case_grown(c, WS_SPILL_TIME);
	uint64_t restore_ns = ws_case_grown(c, WS_RESTORE_TIME);
	double share = ws_case_spill_share(c);
	bool counted = c->t->decoding.valid & WS_DECODING_STATS; /* from 14 on */

	if (!is_logical(c) || !c->t->has_decoding)
		return false;
	if (spills_crumbs(c, f))
		return true;
	if (share >= 0 ? share < ws_limit(WS_LIMIT_SPILL_TIME)
		       : !spilled || decoding(c) < ws_limit(WS_LIMIT_SPILL_TIME) ||
				 (double)spilled < ws_limit(WS_LIMIT_SPILL_BYTES) * (double)decoded)
		return false;
	f->confidence = share >= 0 ? 0.9 : 0.7;
	if (counted) {
		ws_fact(f, "spilled", spilled, "bytes");
		ws_fact(f, "spilled_transactions", c->t->decoding.spill_txns, "");
	}
	ws_fact(f, "decoded", decoded, "bytes");
	ws_fact_share(c, f, WS_STATE_DECODE);
	if (share >= 0) {
		ws_fact(f, "spill_share", ws_whole(100 * share + 0.5), "%");
		ws_fact(f, "spill_time", spill_ns, "ns");
		ws_fact(f, "read_back_time", restore_ns, "ns");
	}
	ws_say(f,
	       "Decoding writes changes to disk and reads them back, because they do not fit into "
	       "logical_decoding_work_mem");
	if (counted)
		ws_say(f, ": %s were spilled", ws_bytes_format(spilled, bytes));
	if (share >= 0)
		ws_say(f, ", and %.0f %% of the time went into that (%s writing, %s reading back)",
		       100 * share, ws_duration_format(spill_ns, write),
		       ws_duration_format(restore_ns, read));
	ws_say(f, ".");
	tell_buffer(c, f);
	say_overrun(c, f);
	return true;
}

static bool own_work(const struct ws_case *c, struct ws_finding *f, enum ws_state state,
		     const char *what)
{
	struct ws_trend trend;
	char bytes[WS_BYTES_TEXT];

	if (!is_logical(c) || ws_case_share(c, state) < ws_limit(WS_LIMIT_DOMINANT) ||
	    !ws_case_falls_behind(c, &trend))
		return false;
	f->confidence = 0.8;
	ws_fact_share(c, f, state);
	ws_fact(f, "not_sent_before", ws_whole(trend.before), "bytes");
	ws_fact(f, "not_sent", ws_whole(trend.after), "bytes");
	ws_say(f,
	       "%s takes %.0f %% of the time, and the session is %s behind and does not get "
	       "nearer.",
	       what, 100 * ws_case_share(c, state), ws_bytes_format(ws_whole(trend.after), bytes));
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
