/* SPDX-License-Identifier: BSD-2-Clause */
/* What is worth a word of a session whatever the verdict on it is about. */
#include <string.h>

#include "base/util.h"
#include "diagnose/evidence.h"

/* Memory that grows. */
static void add_memory(const struct ws_case *c, struct ws_finding *f)
{
	const struct ws_rec_memory *r = &c->t->memory;
	const struct ws_session *s = c->s;

	if (!s->has_memory || s->memory_peak < s->memory_first ||
	    (double)(s->memory_peak - s->memory_first) < ws_limit(WS_LIMIT_MEMORY))
		return;
	ws_fact(f, "memory", s->memory_bytes, "bytes");
	ws_fact(f, "memory_at_first", s->memory_first, "bytes");
	ws_fact(f, "memory_at_most", s->memory_peak, "bytes");
	if (!c->t->has_memory || !(r->valid & WS_MEMORY_BYTES))
		return;
	ws_fact(f, "memory_contexts", r->total_bytes, "bytes");
	ws_fact(f, "memory_caches", r->cache_bytes, "bytes");
	if (r->valid & WS_MEMORY_REORDER)
		ws_fact(f, "memory_reorder_buffer", r->reorder_bytes, "bytes");
	ws_fact_text(f, "memory_largest_context", r->names[0]);
	ws_fact(f, "memory_largest", r->own[0], "bytes");
}

/* Whose transaction keeps a slot from letting WAL go. */
static void add_holder(const struct ws_case *c, struct ws_finding *f)
{
	const struct ws_rec_decoding *d = &c->t->decoding;
	const struct ws_rec_holder *h = &c->t->holder;
	uint64_t from = h->first_lsn > d->restart_lsn ? h->first_lsn : d->restart_lsn;
	uint64_t kept = d->read_lsn > from ? d->read_lsn - from : 0;
	char bytes[WS_BYTES_TEXT], age[WS_DURATION_TEXT];

	if (!h->what || c->t->ended_ns || !(d->valid & WS_DECODING_SLOT) ||
	    (double)kept < ws_limit(WS_LIMIT_KEPT))
		return;
	ws_fact(f, "kept_for_transaction", kept, "bytes");
	ws_fact(f, "oldest_xid", h->xid, "");
	ws_say(f, " Its slot keeps %s of WAL for transaction %u", ws_bytes_format(kept, bytes),
	       h->xid);
	if (h->what == WS_HELD_PREPARED) {
		ws_fact_text(f, "oldest_prepared", h->gid);
		ws_say(f, ", prepared as %s", h->gid);
	} else {
		ws_fact(f, "oldest_pid", h->holder_pid, "");
		ws_fact_text(f, "oldest_user", h->user);
		ws_fact_text(f, "oldest_application", h->application);
		ws_say(f, " of process %u", h->holder_pid);
		if (h->user[0])
			ws_say(f, " (%s%s%s)", h->user, h->application[0] ? ", " : "",
			       h->application);
	}
	if (h->since_ns && c->to_ns > h->since_ns) {
		ws_fact(f, "oldest_for", c->to_ns - h->since_ns, "ns");
		ws_say(f, ", which is open for %s",
		       ws_duration_format(c->to_ns - h->since_ns, age));
	}
	ws_say(f, ".");
}

static bool is_said(const struct ws_explained *e, enum ws_verdict verdict)
{
	if (e->verdict == verdict)
		return true;
	for (size_t i = 0; i < e->also_count; i++)
		if (e->also[i] == verdict)
			return true;
	return false;
}

/* Replay that stood still for a good while and has gone on since, unless it is one that waits with
 * all that it replays. */
static void add_replay(const struct ws_case *c, const struct ws_explained *e, struct ws_finding *f)
{
	uint64_t ns = c->t->replay_stood_ns;
	char text[WS_DURATION_TEXT];

	if (!ns || c->s->kind != WS_SESSION_KIND_PHYSICAL ||
	    e->verdict == WS_VERDICT_INSUFFICIENT_DATA ||
	    e->verdict == WS_VERDICT_STANDBY_APPLY_PAUSED ||
	    is_said(e, WS_VERDICT_STANDBY_APPLY_DELAYED))
		return;
	ws_fact(f, "replay_stood_still", ns, "ns");
	ws_say(f,
	       " For %s the standby flushed WAL and replayed none of it: replay was paused or "
	       "delayed on purpose, waited for a query in conflict, or its process was stopped. It "
	       "has gone on since.",
	       ws_duration_format(ns, text));
}

/* Replay that stands still at the end, not yet for as long as makes it paused. */
static void add_still(const struct ws_case *c, const struct ws_explained *e, struct ws_finding *f)
{
	uint64_t still, behind;
	char text[WS_DURATION_TEXT], bytes[WS_BYTES_TEXT];

	if (c->s->kind != WS_SESSION_KIND_PHYSICAL || c->t->ended_ns || !c->t->replies ||
	    e->verdict == WS_VERDICT_INSUFFICIENT_DATA ||
	    is_said(e, WS_VERDICT_STANDBY_APPLY_PAUSED) ||
	    is_said(e, WS_VERDICT_STANDBY_APPLY_DELAYED) ||
	    is_said(e, WS_VERDICT_STANDBY_APPLY_SLOW) ||
	    c->to_ns > c->t->last_reply_ns + ws_limit_ns(WS_LIMIT_OBSERVED) ||
	    !ws_case_behind(c, WS_FLUSH, WS_APPLY, &behind) || !ws_case_watch(c, WS_APPLY)->last ||
	    !ws_track_replay_stands(c->t, ws_limit_ns(WS_LIMIT_OBSERVED), &still))
		return;
	ws_fact(f, "apply_unchanged", still, "ns");
	ws_fact(f, "not_applied", behind, "bytes");
	ws_say(f,
	       " By its last reply the standby had flushed WAL for %s and replayed none of it (%s "
	       "wait): look again, for longer.",
	       ws_duration_format(still, text), ws_bytes_format(behind, bytes));
}

/* A change of the time line, and a promotion: both begin something new. */
static void add_timeline(const struct ws_case *c, struct ws_finding *f)
{
	const struct ws_track *t = c->t;
	uint64_t promoted = c->server ? c->server->promoted_ns : 0;
	bool switched = t->switched_ns >= c->from_ns && t->switched_ns < c->to_ns && t->switched_ns;
	char lsn[WS_LSN_TEXT], ago[WS_DURATION_TEXT];

	if (switched) {
		if (t->switched_from)
			ws_fact(f, "timeline_before", t->switched_from, "");
		ws_fact(f, "timeline", t->timeline, "");
		ws_fact_lsn(f, "timeline_began", t->switched_lsn);
		ws_say(f, " In mid-stream, %s ago, it went over ",
		       ws_duration_format(c->to_ns - t->switched_ns, ago));
		if (t->switched_from)
			ws_say(f, "from time line %u ", t->switched_from);
		ws_say(f, "to time line %u", t->timeline);
		if (t->switched_lsn)
			ws_say(f, " at %s", ws_lsn_format(t->switched_lsn, lsn));
		ws_say(f, ".");
	}
	if (promoted < c->from_ns || promoted >= c->to_ns || !promoted)
		return;
	ws_fact(f, "promoted_before", c->to_ns - promoted, "ns");
	ws_say(f, " This server, a standby before, was promoted %s ago.",
	       ws_duration_format(c->to_ns - promoted, ago));
}

/* How it ended, where nothing was wrong with it as long as it lasted, or its client
 * took nothing, or said nothing, to the end (of a time-out these rules speak); and of a backup,
 * which is worth nothing then. */
static bool end_counts(const struct ws_explained *e, const struct ws_track *t)
{
	if (e->verdict == WS_VERDICT_RECEIVER_NOT_READING ||
	    e->verdict == WS_VERDICT_CONNECTION_DEAD || e->verdict == WS_VERDICT_RECEIVER_SILENT)
		return t->ended_by != WS_END_REPLICATION_TIMEOUT;
	return e->verdict == WS_VERDICT_HEALTHY_IDLE ||
	       e->verdict == WS_VERDICT_HEALTHY_STREAMING ||
	       (e->session->kind == WS_SESSION_KIND_BACKUP &&
		e->verdict != WS_VERDICT_INSUFFICIENT_DATA);
}

/* What it did was not to end, and the server ended it. That a connection broke off, or was to end,
 * says add_end. */
static void add_error(const struct ws_case *c, struct ws_finding *f)
{
	const struct ws_last_command *cmd = &c->t->command;
	const struct ws_last_error *error = &c->t->error;

	if (cmd->outcome != WS_OUTCOME_ERROR || strcmp(cmd->kind, error->kind) != 0 ||
	    strncmp(error->sqlstate, "08", 2) == 0 || strncmp(error->sqlstate, "57P", 3) == 0 ||
	    (strcmp(cmd->kind, "START_REPLICATION") != 0 && strcmp(cmd->kind, "BASE_BACKUP") != 0))
		return;
	f->advice = "See the error that it ended with, here and in the server's log.";
	ws_say(f, " Its %s ended", cmd->kind);
	ws_say_error(f, " with an error,", error);
	ws_say(f, ".");
}

/* It did not take leave in good order. */
static void add_end(const struct ws_case *c, struct ws_finding *f)
{
	static const char *const ends[] = {
		[WS_END_CLIENT_EOF] = "its connection broke off: the client is gone",
		[WS_END_CONNECTION_LOST] = "its connection broke off: the client is gone",
		[WS_END_REPLICATION_TIMEOUT] = "wal_sender_timeout ended it",
		[WS_END_ADMIN_TERMINATED] = "it was told to end, as by pg_terminate_backend",
		[WS_END_CRASH_RESTART] = "the server ended it, as another of its processes crashed",
		[WS_END_KILLED] = "a signal killed it",
		[WS_END_SHUTDOWN] = "its server shut down",
		[WS_END_POSTMASTER_DEATH] = "its server's postmaster was gone",
		[WS_END_FATAL] = "the server ended it with an error",
	};
	enum ws_exit_reason end = c->t->ended_by;

	if (end >= WS_ARRAY_SIZE(ends) || !ends[end])
		return;
	ws_fact_text(f, "end", ws_exit_reason_name(end));
	ws_say(f, " Then %s.", ends[end]);
}

/* What was decoded in the window for the first time: not what its client had before, by what it has
 * confirmed or by where it asks to begin (CreateDecodingContext, logical.c: the later one counts).
 */
static uint64_t decoded_anew(const struct ws_case *c)
{
	const struct ws_watch *decoded = ws_case_watch(c, WS_DECODED);
	const struct ws_watch *confirmed = ws_case_watch(c, WS_CONFIRMED);
	uint64_t from = confirmed->first > decoded->first ? confirmed->first : decoded->first;

	from = c->t->command.start_lsn > from ? c->t->command.start_lsn : from;
	return decoded->known && decoded->last > from ? decoded->last - from : 0;
}

/* A logical one reads all WAL there is, and may do it all for nothing: neither is it handed out,
 * nor gathered to be. */
static void add_unpublished(const struct ws_case *c, struct ws_finding *f)
{
	const struct ws_rec_decoding *d = &c->t->decoding;
	uint64_t span = ws_case_span(c, WS_DECODED), read = decoded_anew(c);
	uint64_t out = ws_case_grown(c, WS_WIRE);
	uint64_t wanted = out + d->buffer_bytes + ws_case_grown(c, WS_SPILLED);
	double share = ws_case_share(c, WS_STATE_DECODE) + ws_case_share(c, WS_STATE_READ_WAL) +
		       ws_case_share(c, WS_STATE_OUTPUT_PLUGIN);
	char rate[WS_BYTES_TEXT], bytes[WS_BYTES_TEXT];

	if (c->s->kind != WS_SESSION_KIND_LOGICAL || !ws_case_known(c, WS_WIRE) || !span ||
	    !c->t->has_decoding || !(d->valid & WS_DECODING_BUFFER) ||
	    share < ws_limit(WS_LIMIT_READ) || (double)read < ws_limit(WS_LIMIT_BACKLOG) ||
	    (double)wanted >= ws_limit(WS_LIMIT_UNPUBLISHED) * (double)read)
		return;
	/* How much was spilled of what is wanted, servers up to 13 do not count. */
	if (!(d->valid & WS_DECODING_STATS) && ws_case_grown(c, WS_SPILL_TIME))
		return;
	read = ws_whole((double)read * 1e9 / (double)span);
	ws_fact(f, "read_per_second", read, "bytes");
	ws_fact(f, "published", out, "bytes");
	ws_say(f,
	       " It reads %s of WAL a second, of which next to nothing is for its client (%s in "
	       "all): the rest is of other databases, of tables that are not published, or rolled "
	       "back; or it changes no row, as what builds an index, vacuum, and whole pages "
	       "behind a checkpoint do not.",
	       ws_bytes_format(read, rate), ws_bytes_format(out, bytes));
}

void ws_say_remarks(const struct ws_case *c, struct ws_explained *e)
{
	struct ws_finding *f = &e->finding;

	if (e->verdict != WS_VERDICT_INSUFFICIENT_DATA) {
		ws_say_backup(c, f);
		add_unpublished(c, f);
	}
	if (end_counts(e, c->t)) {
		add_error(c, f);
		add_end(c, f);
	}
	add_replay(c, e, f);
	add_still(c, e, f);
	add_memory(c, f);
	add_holder(c, f);
	add_timeline(c, f);
}
