/* SPDX-License-Identifier: BSD-2-Clause */
/* The client: whether it answers, and how it reads. */
#include "base/util.h"
#include "diagnose/evidence.h"

/* For a reply, and none has come since. */
static bool is_asked(const struct ws_case *c)
{
	return ws_case_streams(c) && c->t->ping_ns && c->t->ping_ns < c->to_ns;
}

/* All that was handed to the connection has arrived at the other side's host; but what was sent a
 * moment ago, and behind what it was asked for, may be under way: a host waits a little before it
 * acknowledges. */
static bool all_taken(const struct ws_case *c)
{
	const struct ws_rec_socket *socket = &c->t->socket;
	uint64_t moment = ws_limit_ns(WS_LIMIT_FROZEN);
	uint64_t asked = is_asked(c) ? c->to_ns - c->t->ping_ns : moment;

	if (c->t->has_tcp)
		return !socket->unsent_bytes && socket->window_bytes &&
		       ws_track_unacknowledged(c->t, c->to_ns) <
			       (asked < moment ? asked / 2 : moment);
	if (c->t->has_socket)
		return socket->acked_bytes >= socket->wire_bytes;
	return ws_case_unix_full(c) == 0;
}

/* Of a client that says at once what it has flushed, WAL asks for a reply as a ping does: one that
 * says so at ends of segments only, or now and then, is none. Its word was there in a third of the
 * time at most, as often as it was seen. */
static bool would_have_confirmed(const struct ws_case *c, uint64_t asked)
{
	const struct ws_hist *lag = &c->s->hist[WS_METRIC_FLUSH_LAG_NS];
	uint64_t flush = ws_case_watch(c, WS_FLUSH)->last;

	return c->s->kind == WS_SESSION_KIND_PHYSICAL && !c->t->ended_ns && flush &&
	       !ws_ends_segment(flush) && flush < c->t->standing->sent_lsn &&
	       (double)lag->count >= ws_limit(WS_LIMIT_REPLIES) &&
	       (double)asked > ws_limit(WS_LIMIT_SILENT_INTERVALS) * (double)lag->max;
}

/* Or its buffer is full, and has not been for as long as would say more. */
static bool reached(const struct ws_case *c)
{
	const struct ws_rec_socket *tcp = ws_case_tcp(c);
	bool waits = c->t->standing->state == WS_STATE_SEND_BLOCKED;

	return all_taken(c) || (tcp && !tcp->in_flight_bytes && ws_socket_shut(tcp) &&
				ws_case_still(c, WS_ACKED) <
					ws_limit_ns(waits ? WS_LIMIT_FROZEN : WS_LIMIT_LASTING));
}

WS_RULE(receiver_silent)
{
	uint64_t usual = ws_track_usual_interval(c->t), silent, asked;
	uint64_t ping_ns = c->t->ping_ns < c->to_ns ? c->t->ping_ns : 0;
	uint64_t since = ping_ns ? ping_ns : c->t->owed_ns;
	/* Then the server itself has waited long enough, as it was told. */
	bool timed_out = c->t->ended_by == WS_END_REPLICATION_TIMEOUT && ping_ns;
	char text[WS_DURATION_TEXT], ago[WS_DURATION_TEXT], lag[WS_DURATION_TEXT];

	if (!ws_case_streams(c) || !since || since >= c->to_ns ||
	    !(ping_ns ? all_taken(c) : reached(c)))
		return false;
	asked = c->to_ns - since;
	silent = c->t->last_reply_ns && c->to_ns > c->t->last_reply_ns
			 ? c->to_ns - c->t->last_reply_ns
			 : c->to_ns - c->from_ns; /* not as long as one looks */
	if (!timed_out && (asked < ws_limit_ns(WS_LIMIT_SILENT_PING) ||
			   (double)silent <= ws_limit(WS_LIMIT_SILENT_INTERVALS) * (double)usual ||
			   (!ping_ns && !would_have_confirmed(c, asked))))
		return false;
	f->confidence = ping_ns ? 0.9 : 0.8;
	ws_fact(f, "since_last_reply", silent, "ns");
	ws_fact(f, "usual_reply_interval", usual, "ns");
	ws_fact(f, ping_ns ? "since_reply_asked_for" : "since_sent_and_not_confirmed", asked, "ns");
	ws_fact(f, "unacknowledged", c->t->socket.in_flight_bytes, "bytes");
	ws_duration_format(silent, text);
	ws_duration_format(asked, ago);
	if (ping_ns) {
		ws_say(f,
		       "The client has not replied for %s, nor to being asked %s ago, though its "
		       "host (or a proxy between) has taken all that was sent.",
		       text, ago);
	} else {
		ws_fact(f, "flush_lag_at_most", c->s->hist[WS_METRIC_FLUSH_LAG_NS].max, "ns");
		ws_say(f,
		       "The client has not replied for %s, though its host (or a proxy between) "
		       "takes what is sent: before, it confirmed WAL within %s, and what it was "
		       "sent %s ago it has not confirmed.",
		       text, ws_duration_format(c->s->hist[WS_METRIC_FLUSH_LAG_NS].max, lag), ago);
	}
	if (timed_out)
		ws_say(f, " wal_sender_timeout has ended the session.");
	return true;
}

WS_RULE(client_protocol_stall)
{
	char text[WS_DURATION_TEXT];

	if (!ws_case_dominates(c, WS_STATE_RECV_BLOCKED))
		return false;
	f->confidence = 0.9;
	ws_fact_share(c, f, WS_STATE_RECV_BLOCKED);
	ws_fact(f, "recv_blocked", c->state_ns[WS_STATE_RECV_BLOCKED], "ns");
	ws_say(f,
	       "The client sent the beginning of a message and not its end: the walsender waited "
	       "for the rest for %s, and sends nothing meanwhile.",
	       ws_duration_format(c->state_ns[WS_STATE_RECV_BLOCKED], text));
	return true;
}

WS_RULE(waits_for_copydone)
{
	char text[WS_DURATION_TEXT];

	if (!ws_case_dominates(c, WS_STATE_WAIT_COPYDONE))
		return false;
	f->confidence = 0.9;
	ws_fact_share(c, f, WS_STATE_WAIT_COPYDONE);
	ws_fact_lsn(f, "sent", c->t->standing->sent_lsn);
	ws_say(f,
	       "All of the timeline is sent, and for %s the client has not answered CopyDone; "
	       "the walsender spins meanwhile.",
	       ws_duration_format(c->state_ns[WS_STATE_WAIT_COPYDONE], text));
	return true;
}

/* For most of the time, or for most of a good while that it has had something to send. */
bool ws_case_blocked(const struct ws_case *c)
{
	uint64_t ns = c->s->work_blocked_ns;

	return ws_case_dominates(c, WS_STATE_SEND_BLOCKED) ||
	       (ns >= ws_limit_ns(WS_LIMIT_LASTING) &&
		(double)ns >= ws_limit(WS_LIMIT_DOMINANT) * (double)c->s->work_ns);
}

/* A window opens by a good piece at a time: one that reads slowly takes nothing for a while, and
 * then again. 0: it has not paused of late, nor twice. */
static uint64_t habit(const struct ws_case *c)
{
	uint64_t usual = c->t->usual_pause_ns, twice = c->t->second_pause_ns;

	return usual > twice ? usual : twice;
}

static bool is_longer_pause(const struct ws_case *c, uint64_t pause_ns)
{
	return pause_ns >= 2 * habit(c);
}

/* The client's side takes nothing at all. */
static bool takes_nothing(const struct ws_case *c)
{
	const struct ws_rec_socket *tcp = ws_case_tcp(c);
	uint64_t frozen = ws_limit_ns(WS_LIMIT_FROZEN), still = ws_case_still(c, WS_ACKED);

	if (tcp)
		return ws_socket_shut(tcp) && still >= frozen && is_longer_pause(c, still);
	/* Of one that reads now and then the queue changes; where it streams, the position too. */
	return ws_case_unix_full(c) == 1 && ws_case_still(c, WS_UNIX_QUEUE) >= frozen &&
	       (ws_case_known(c, WS_SENT) ? ws_case_still(c, WS_SENT) : ws_case_since(c)) >= frozen;
}

/* It ended, however, with the socket full to the end: what was sent last was sent long before. Who
 * looks into a session that hangs often ends it next. */
static bool ended_full(const struct ws_case *c)
{
	uint64_t frozen = ws_limit_ns(WS_LIMIT_FROZEN);

	return c->t->ended_ns && c->state_ns[WS_STATE_SEND_BLOCKED] >= frozen &&
	       ws_case_still(c, WS_SENT) >= frozen &&
	       (ws_case_tcp(c) ? takes_nothing(c) : ws_case_unix_full(c) == 1);
}

/* The server has given it up with data waiting for it, of which it took none for most of the time
 * that it did not reply: how long that has to last, wal_sender_timeout says. */
static bool given_up_full(const struct ws_case *c)
{
	const struct ws_rec_socket *tcp = ws_case_tcp(c);
	uint64_t silent = c->to_ns > c->t->last_reply_ns ? c->to_ns - c->t->last_reply_ns : 0;

	if (c->t->ended_by != WS_END_REPLICATION_TIMEOUT)
		return false;
	if (!tcp)
		return ws_case_unix_full(c) == 1;
	return c->t->last_reply_ns && tcp->unsent_bytes && ws_socket_shut(tcp) &&
	       2 * ws_case_still(c, WS_ACKED) >= silent;
}

/* The client's buffer is full and was so for as long as one looks; little is sent to it, and the
 * server's own buffer has room for that as yet. */
static bool fills_up(const struct ws_case *c)
{
	const struct ws_rec_socket *tcp = ws_case_tcp(c);
	uint64_t since = c->t->pause_since_ns > c->from_ns ? c->t->pause_since_ns : c->from_ns;
	uint64_t last = ws_case_watch(c, WS_ACKED)->last_ns,
		 still = last > since ? last - since : 0;

	return tcp && !c->t->socket_awaited && tcp->unsent_bytes && ws_socket_shut(tcp) &&
	       still >= ws_limit_ns(WS_LIMIT_LASTING) && is_longer_pause(c, still);
}

static const char *const full_advice[WS_ENDING_COUNT] = {
	[WS_ENDING_TWICE] =
		"Look at the client (or a proxy between): it is stopped, stuck, or its disk is "
		"full. pg_terminate_backend ends the session if it is called twice: the first "
		"one waits for room in the full socket to tell the client.",
	[WS_ENDING_AGAIN] =
		"Look at the client (or a proxy between): it is stopped, stuck, or its disk is "
		"full. End it, or the walsender by pg_terminate_backend once more: to the second "
		"one nothing is told to the client.",
};

WS_RULE(receiver_not_reading)
{
	const struct ws_rec_socket *tcp = ws_case_tcp(c);
	bool ended = ended_full(c) || given_up_full(c), leaves = ws_case_cannot_leave(c);
	enum ws_state state = c->t->standing->state;
	bool waits, fills;
	uint64_t still;
	char text[WS_DURATION_TEXT];

	if (c->s->kind == WS_SESSION_KIND_BACKUP)
		return false;
	still = ws_case_still(c, tcp ? WS_ACKED : WS_UNIX_QUEUE);
	/* It may be full for a small part of the time: there was room in the server's own buffer.
	 */
	waits = !c->t->ended_ns && (state == WS_STATE_SEND_BLOCKED || leaves) &&
		(ws_case_blocked(c) || ws_case_still(c, WS_SENT) >= ws_limit_ns(WS_LIMIT_FROZEN)) &&
		takes_nothing(c);
	leaves &= waits;
	fills = !waits && (fills_up(c) || (ended && tcp && !c->t->socket_awaited));
	if (!ended && !waits && !fills)
		return false;
	f->confidence = 0.9;
	if (waits && full_advice[ws_track_ending(c->t)])
		f->advice = full_advice[ws_track_ending(c->t)];
	ws_fact_share(c, f, WS_STATE_SEND_BLOCKED);
	ws_fact(f, "nothing_taken", still, "ns");
	if (leaves)
		ws_fact(f, "told_to_end", ws_case_since(c), "ns");
	if (tcp) {
		ws_fact(f, "receive_window", tcp->window_bytes, "bytes");
		ws_fact(f, "unsent", tcp->unsent_bytes, "bytes");
		ws_fact(f, "window_probes", tcp->probes, "");
	} else {
		ws_fact(f, "unix_queue", c->t->sample.unix_queued_bytes, "bytes");
		ws_fact(f, "unix_send_buffer", c->t->sample.unix_sndbuf_bytes, "bytes");
	}
	ws_say(f,
	       "The client (or a proxy between) has taken nothing for %s: its receive buffer is "
	       "full, and the walsender %s",
	       ws_duration_format(still, text),
	       fills   ? c->t->ended_ns ? "had room to the end in the server's own for what it sent"
					: "has as yet room in the server's own for what it sends"
	       : ended ? "waited for room"
		       : "waits for room");
	if (leaves)
		ws_say(f, ": it was told to end %s ago, and cannot tell the client so",
		       ws_duration_format(ws_case_since(c), text));
	if (fills)
		ws_say(f, ": %s %s there", ws_bytes_format(tcp->unsent_bytes, text),
		       c->t->ended_ns ? "waited" : "wait");
	ws_say(f, ".");
	if (c->t->ended_by == WS_END_REPLICATION_TIMEOUT)
		ws_say(f, " wal_sender_timeout has ended the session.");
	return true;
}

/* The server has waited for it for as long as it was told, and nothing else says why. */
WS_RULE(given_up)
{
	uint64_t last = c->t->last_reply_ns, silent = c->to_ns > last ? c->to_ns - last : 0;
	char text[WS_DURATION_TEXT];

	if (c->t->ended_by != WS_END_REPLICATION_TIMEOUT || !ws_case_streams(c) ||
	    ws_case_unanswered(c) || ended_full(c) || given_up_full(c) ||
	    (is_asked(c) && all_taken(c)) || (last && silent <= ws_track_usual_interval(c->t)))
		return false;
	f->confidence = 0.7;
	ws_say(f, "wal_sender_timeout has ended the session: the client ");
	if (last) {
		ws_fact(f, "since_last_reply", silent, "ns");
		ws_say(f, "had not replied for %s.", ws_duration_format(silent, text));
	} else {
		ws_say(f, "had not replied since it is watched.");
	}
	if (c->t->has_tcp)
		ws_fact(f, "queued",
			(uint64_t)c->t->socket.in_flight_bytes + c->t->socket.unsent_bytes,
			"bytes");
	return true;
}

/* It is the limit for most of the time, or for a good part of it and whenever the socket is looked
 * at: congestion control slows down to what a small window lets pass, and counts that as its own.
 */
static bool window_limits(const struct ws_case *c)
{
	double rwnd = ws_case_rwnd_share(c);

	return rwnd >= ws_limit(WS_LIMIT_RWND) ||
	       (rwnd >= ws_limit(WS_LIMIT_RWND_NETWORK) &&
		ws_case_window_full(c) >= ws_limit(WS_LIMIT_DOMINANT));
}

/* A way this long needs a window to match. */
#define LONG_WAY_US 10000

/* Is what the client took about what its window lets pass in the least round trip, and the way
 * long? The window of a client that is slow by itself varies, and may be nothing just now. */
static void say_window(const struct ws_case *c, struct ws_finding *f)
{
	const struct ws_rec_socket *tcp = ws_case_tcp(c);
	uint64_t span_us = ws_case_span(c, WS_ACKED) / 1000;
	char window[WS_BYTES_TEXT], rtt[WS_DURATION_TEXT];
	double took, most;

	if (!tcp || !span_us || tcp->min_rtt_us < LONG_WAY_US)
		return;
	took = (double)ws_case_grown(c, WS_ACKED) / (double)span_us;
	most = (double)tcp->window_bytes / (double)tcp->min_rtt_us;
	if (took < 0.5 * most || took > 1.2 * most)
		return;
	ws_fact(f, "receive_window", tcp->window_bytes, "bytes");
	ws_fact(f, "least_rtt", tcp->min_rtt_us, "us");
	ws_say(f,
	       " That is what its window of %s lets pass where a round trip takes %s at least: its "
	       "receive buffer may be too small for the way.",
	       ws_bytes_format(tcp->window_bytes, window),
	       ws_duration_format((uint64_t)tcp->min_rtt_us * 1000, rtt));
}

/* A Unix socket that has room again: whenever it was waited for, it was full, or mostly. */
static bool was_full(const struct ws_case *c)
{
	return ws_case_unix_full(c) == 0 && c->t->unix_awaited &&
	       (double)c->t->unix_full >= ws_limit(WS_LIMIT_DOMINANT) * (double)c->t->unix_awaited;
}

/* What it is sent arrives, and waits in its receive buffer to be read. One that is late to flush
 * has no time to read meanwhile: it is its disk. */
static bool reads_late(const struct ws_case *c)
{
	const struct ws_late *late = &c->t->late_writes;
	uint64_t lasting = ws_limit_ns(WS_LIMIT_LASTING);

	return ws_case_streams(c) && !c->t->ended_ns && !ws_case_flushes_late(c) &&
	       (double)late->in_row >= ws_limit(WS_LIMIT_REPLIES) &&
	       late->last_ns - late->since_ns >= lasting && c->to_ns < late->last_ns + lasting;
}

static bool says_late(const struct ws_case *c, struct ws_finding *f)
{
	uint64_t write = ws_case_watch(c, WS_WRITE)->last, sent = c->t->standing->sent_lsn;
	char lag[WS_DURATION_TEXT], bytes[WS_BYTES_TEXT];

	f->confidence = 0.75;
	ws_fact(f, "write_lag", c->t->late_writes.write_ns, "ns");
	ws_fact(f, "not_written", sent > write ? sent - write : 0, "bytes");
	ws_fact(f, "unacknowledged", c->t->socket.in_flight_bytes, "bytes");
	ws_fact(f, "positions_confirmed_late", c->t->late_writes.in_row, "");
	if (c->s->kind == WS_SESSION_KIND_LOGICAL) {
		f->advice = "Look at what the client does with the changes: of a subscription, at "
			    "its apply worker (pg_stat_activity there): a trigger, an index that "
			    "is missing, commits that wait for its disk or its standbys.";
		ws_say(f,
		       "The client takes changes in more slowly than they are sent: it says that "
		       "it has them %s after that, though they arrived at once, and is %s of WAL "
		       "behind. Its receive buffer has as yet room, so the walsender does not "
		       "wait.",
		       ws_duration_format(c->t->late_writes.write_ns, lag),
		       ws_bytes_format(sent > write ? sent - write : 0, bytes));
		return true;
	}
	ws_say(f,
	       "The client reads more slowly than WAL is sent: it says that it has written it %s "
	       "after that, and %s wait on its side (or in a proxy between), where they arrived at "
	       "once. Its receive buffer has as yet room, so the walsender does not wait.",
	       ws_duration_format(c->t->late_writes.write_ns, lag),
	       ws_bytes_format(sent > write ? sent - write : 0, bytes));
	return true;
}

static void say_longest_pause(const struct ws_case *c, struct ws_finding *f)
{
	uint64_t longest = ws_case_longest_pause(c);
	char text[WS_DURATION_TEXT];

	if (longest < ws_limit_ns(WS_LIMIT_FROZEN))
		return;
	ws_fact(f, "nothing_taken_at_most", longest, "ns");
	ws_say(f, " At times it takes nothing, once for %s.", ws_duration_format(longest, text));
}

WS_RULE(receiver_slow)
{
	const char *what = ws_case_streams(c) ? "WAL" : "data";
	double rwnd = ws_case_rwnd_share(c);
	uint64_t longest = ws_case_longest_pause(c);
	bool full = ws_case_unix_full(c) == 1, local = full || was_full(c);
	char text[WS_BYTES_TEXT];

	if (!ws_case_blocked(c) && reads_late(c))
		return says_late(c, f);
	/* The socket was looked at before: it may have gone on since. */
	if (c->s->kind == WS_SESSION_KIND_BACKUP || !ws_case_blocked(c) ||
	    (takes_nothing(c) &&
	     (c->t->standing->state == WS_STATE_SEND_BLOCKED || c->t->ended_ns)))
		return false;
	/* Of a Unix socket nothing else tells a slow reader from one that stopped just now. */
	if (full && ws_case_still(c, WS_SENT) >= ws_limit_ns(WS_LIMIT_FROZEN) / 2)
		return false;
	/* In a short window it may pause all the time, as it has before. */
	if (!local && (!window_limits(c) || (!ws_case_grown(c, WS_ACKED) && !habit(c) && !longest)))
		return false;
	f->confidence = local ? 0.85 : 0.7 + 0.25 * rwnd;
	ws_fact_share(c, f, WS_STATE_SEND_BLOCKED);
	if (local) {
		ws_fact(f, "unix_queue", c->t->sample.unix_queued_bytes, "bytes");
		ws_say(f,
		       "The client on this host %s more slowly than %s is sent: its socket was "
		       "full for %.0f %% of the time.%s",
		       full ? "reads" : "read", what, 100 * ws_case_share(c, WS_STATE_SEND_BLOCKED),
		       full ? "" : " It has room now.");
		say_longest_pause(c, f);
		return true;
	}
	ws_fact(f, "receive_window_limited", ws_whole(100 * rwnd), "%");
	ws_fact(f, "acknowledged", ws_case_grown(c, WS_ACKED), "bytes");
	ws_fact(f, "acknowledged_for", ws_case_span(c, WS_ACKED), "ns");
	ws_say(f, "The client, or a proxy between, reads more slowly than %s is sent: ", what);
	/* How much it took behind the last look at the socket is not known. */
	if (ws_case_grown(c, WS_ACKED))
		ws_say(f, "it took %s in the time looked at, and ",
		       ws_bytes_format(ws_case_grown(c, WS_ACKED), text));
	ws_say(f,
	       "its receive window was the limit for %.0f %% of the time that data was under way.",
	       100 * rwnd);
	say_longest_pause(c, f);
	say_window(c, f);
	if (c->t->standing->state != WS_STATE_SEND_BLOCKED && !ws_case_tcp(c)->unsent_bytes &&
	    !c->t->ended_ns)
		ws_say(f, " Its socket has room now.");
	return true;
}
