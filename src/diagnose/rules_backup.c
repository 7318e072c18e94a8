/* SPDX-License-Identifier: BSD-2-Clause */
/* Base backups: what holds one up, and how far it is. */
#include "base/util.h"
#include "diagnose/evidence.h"

/* Of the backup's time, not the session's: it may have idled long before. */
static double backup_share(const struct ws_case *c, uint64_t ns)
{
	static const enum ws_state parts[] = {
		WS_STATE_BACKUP_CHECKPOINT, WS_STATE_BACKUP_ESTIMATE,  WS_STATE_BACKUP_READ,
		WS_STATE_BACKUP_SEND,	    WS_STATE_BACKUP_THROTTLED, WS_STATE_BACKUP_WAIT_ARCHIVE,
		WS_STATE_BACKUP_WAL,	    WS_STATE_BACKUP_MANIFEST,  WS_STATE_SEND_BLOCKED,
	};
	uint64_t all = 0;

	for (size_t i = 0; i < WS_ARRAY_SIZE(parts); i++)
		all += c->state_ns[parts[i]];
	return c->s->kind == WS_SESSION_KIND_BACKUP && all ? (double)ns / (double)all : 0;
}

/* So long data has waited for the client, and it has taken none. */
static uint64_t nothing_taken(const struct ws_case *c)
{
	return c->t->has_tcp && c->t->socket.unsent_bytes ? ws_case_still(c, WS_ACKED) : 0;
}

/* How fast, how far, how long: what the figures say, as sentences behind the verdict's. */
void ws_say_backup(const struct ws_case *c, struct ws_finding *f)
{
	uint64_t still = nothing_taken(c);
	char rate[WS_BYTES_TEXT], done[WS_BYTES_TEXT], total[WS_BYTES_TEXT], left[WS_DURATION_TEXT];
	const struct ws_backup b = c->t->standing->backup;

	if (c->s->kind != WS_SESSION_KIND_BACKUP || !c->t->standing->has_backup)
		return;
	if (b.rate) {
		ws_fact(f, "rate", b.rate, "bytes/s");
		ws_say(f, " Files went at %s/s.", ws_bytes_format(b.rate, rate));
	}
	if (b.has_total) {
		ws_fact(f, "backup_total", b.total_bytes, "bytes");
		ws_fact(f, "streamed", b.streamed_bytes, "bytes");
		ws_say(f, " Streamed are %s of what the server takes for %s.",
		       ws_bytes_format(b.streamed_bytes, done),
		       ws_bytes_format(b.total_bytes, total));
	} else if (b.phase >= WS_BACKUP_STREAM && b.has_progress) {
		ws_say(f, " How much there is in all nobody has estimated (--no-estimate-size)%s.",
		       c->t->ended_ns ? "" : ", so how long it will take is not known");
	}
	if (b.tablespaces) {
		ws_fact(f, "tablespaces", b.tablespaces, "");
		ws_fact(f, "tablespaces_streamed", b.tablespaces_done, "");
	}
	if (b.wal_bytes)
		ws_fact(f, "backup_wal", b.wal_bytes, "bytes");
	if (b.uploaded_bytes)
		ws_fact(f, "manifest_uploaded", b.uploaded_bytes, "bytes");
	if (c->t->ended_ns)
		return;
	if (still >= ws_limit_ns(WS_LIMIT_LASTING)) {
		ws_fact(f, "nothing_taken", still, "ns");
		ws_say(f, " Its client has taken nothing for %s%s.",
		       ws_duration_format(still, left),
		       b.has_left ? ": how long the rest will take is not known" : "");
		return;
	}
	if (!b.has_left || !b.left_ns) /* 0: what goes on is more than was estimated, or WAL */
		return;
	ws_fact(f, "left", b.left_ns, "ns");
	ws_say(f, " At this rate its files take another %s.", ws_duration_format(b.left_ns, left));
}

static bool backup(const struct ws_case *c, struct ws_finding *f, enum ws_state state, uint64_t ns,
		   const char *what)
{
	double share = backup_share(c, ns);
	char text[WS_DURATION_TEXT], bytes[WS_BYTES_TEXT];

	if (share < ws_limit(WS_LIMIT_DOMINANT))
		return false;
	f->confidence = 0.9;
	ws_fact(f, ws_state_name(state), ns, "ns");
	ws_fact(f, "share_of_backup", ws_whole(100 * share + 0.5), "%");
	ws_fact(f, "backup_bytes", c->s->backup_bytes, "bytes");
	ws_say(f, "The backup %s for %s, %.0f %% of its time, and sent %s meanwhile.", what,
	       ws_duration_format(ns, text), 100 * share,
	       ws_bytes_format(c->s->backup_bytes, bytes));
	return true;
}

bool ws_backup_reads(const struct ws_case *c, struct ws_finding *f)
{
	uint64_t ns = c->state_ns[WS_STATE_BACKUP_READ];
	double share = backup_share(c, ns);
	char text[WS_DURATION_TEXT], bytes[WS_BYTES_TEXT];

	if (share < ws_limit(WS_LIMIT_DOMINANT))
		return false;
	ws_fact(f, "share_of_backup", ws_whole(100 * share + 0.5), "%");
	ws_fact(f, "backup_bytes", c->s->backup_bytes, "bytes");
	ws_say(f,
	       "The backup goes as fast as the server reads its files, and compresses them if it "
	       "was asked to: that took %s, %.0f %% of its time, and it sent %s meanwhile.",
	       ws_duration_format(ns, text), 100 * share,
	       ws_bytes_format(c->s->backup_bytes, bytes));
	return true;
}

/* It was seldom seen to wait, and handing over takes no longer than copying does. */
static bool copies(const struct ws_case *c)
{
	uint64_t ns = c->state_ns[WS_STATE_BACKUP_SEND];

	return c->state_ns[WS_STATE_SEND_BLOCKED] < ns &&
	       (double)c->s->backup_bytes >= ws_limit(WS_LIMIT_COPY) * (double)ns / 1e9;
}

WS_RULE(backup_client_slow)
{
	double retrans;

	return !copies(c) && !ws_network_limits(c, &retrans) &&
	       backup(c, f, WS_STATE_BACKUP_SEND,
		      c->state_ns[WS_STATE_BACKUP_SEND] + c->state_ns[WS_STATE_SEND_BLOCKED],
		      "waited for its client to take bytes");
}

/* An incremental one has to know what has changed since the backup that it is based on, up to its
 * own checkpoint (WaitForWalSummarization, walsummarizer.c; 17 and later). */
WS_RULE(backup_waits_for_summary)
{
	return c->t->awaits_summary &&
	       backup(c, f, WS_STATE_BACKUP_MANIFEST, c->state_ns[WS_STATE_BACKUP_MANIFEST],
		      "is incremental and waited for WAL to be summarized");
}

WS_RULE(backup_waits_for_checkpoint)
{
	return backup(c, f, WS_STATE_BACKUP_CHECKPOINT, c->state_ns[WS_STATE_BACKUP_CHECKPOINT],
		      "waited for its checkpoint");
}

WS_RULE(backup_throttled)
{
	return backup(c, f, WS_STATE_BACKUP_THROTTLED, c->state_ns[WS_STATE_BACKUP_THROTTLED],
		      "slept to keep to MAX_RATE");
}

WS_RULE(backup_waits_for_archive)
{
	return backup(c, f, WS_STATE_BACKUP_WAIT_ARCHIVE, c->state_ns[WS_STATE_BACKUP_WAIT_ARCHIVE],
		      "waited for its WAL to be archived");
}
