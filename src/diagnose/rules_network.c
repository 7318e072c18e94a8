/* SPDX-License-Identifier: BSD-2-Clause */
/* The way to the client: whether it is cut, and whether it lets through what is sent. */
#include <inttypes.h>

#include "base/util.h"
#include "diagnose/evidence.h"

/* A client that has left by itself was there. */
bool ws_case_unanswered(const struct ws_case *c)
{
	return c->t->ended_by != WS_END_CLIENT_TERMINATED && c->t->ended_by != WS_END_CLIENT_EOF &&
	       ws_track_unanswered(c->t, c->to_ns);
}

/* Not a packet leaves this host for it: as where it has no route to it. */
static bool says_unreachable(const struct ws_case *c, struct ws_finding *f)
{
	const struct ws_rec_socket *tcp = ws_case_tcp(c);
	uint64_t since = c->t->pause_since_ns > c->from_ns ? c->t->pause_since_ns : c->from_ns;
	uint64_t still = c->to_ns > since ? c->to_ns - since : 0;
	char age[WS_DURATION_TEXT], queued[WS_BYTES_TEXT];

	if (!tcp || c->t->ended_ns || !ws_socket_stuck(tcp) || !c->t->pause_since_ns ||
	    still < ws_limit_ns(WS_LIMIT_FROZEN))
		return false;
	f->confidence = 0.85;
	f->advice = "Look at this host's way to the client: its routes (ip route get), the "
		    "interface, and its own firewall.";
	ws_fact(f, "unsent", tcp->unsent_bytes, "bytes");
	ws_fact(f, "nothing_sent", still, "ns");
	ws_fact(f, "receive_window", tcp->window_bytes, "bytes");
	ws_fact(f, "probes", tcp->probes, "");
	ws_say(f,
	       "For %s nothing has left this host for the client: %s wait to be sent, the client's "
	       "window has room, and nothing is under way. This host has no way to it: no route, "
	       "an interface that is down, or a firewall of its own.",
	       ws_duration_format(still, age), ws_bytes_format(tcp->unsent_bytes, queued));
	return true;
}

static const char *const dead_advice[WS_ENDING_COUNT] = {
	[WS_ENDING_TWICE] =
		"The peer's host or the way to it is gone. wal_sender_timeout or "
		"tcp_user_timeout ends such a session; pg_terminate_backend does so now, called "
		"twice: the first one waits for room in the full socket to tell the client.",
	[WS_ENDING_AGAIN] =
		"The peer's host or the way to it is gone, and the walsender, which was told to "
		"end, waits for room in its socket to tell the client so: pg_terminate_backend "
		"once more ends it now.",
	[WS_ENDING_LEAVES] =
		"The peer's host or the way to it is gone, and the walsender is ending already.",
	[WS_ENDING_NEVER] = "The peer's host or the way to it is gone, and the walsender itself is "
			    "stopped.",
};

WS_RULE(connection_dead)
{
	const struct ws_rec_socket *tcp = ws_case_tcp(c);
	uint64_t still = ws_track_unacknowledged(c->t, c->to_ns);
	uint64_t silent = ws_track_no_packet(c->t, c->to_ns);
	char age[WS_DURATION_TEXT], last[WS_DURATION_TEXT], queued[WS_BYTES_TEXT];

	if (!ws_case_unanswered(c))
		return says_unreachable(c, f);
	f->confidence = still >= ws_limit_ns(WS_LIMIT_LASTING) ? 0.95 : 0.8;
	if (!c->t->ended_ns && dead_advice[ws_track_ending(c->t)])
		f->advice = dead_advice[ws_track_ending(c->t)];
	ws_fact(f, "unacknowledged", tcp->in_flight_bytes, "bytes");
	ws_fact(f, "unsent", tcp->unsent_bytes, "bytes");
	ws_fact(f, "nothing_acknowledged", still, "ns");
	ws_fact(f, "since_last_packet", silent / 1000, "us");
	ws_fact(f, "retransmit_backoff", tcp->backoff, "doublings");
	ws_fact(f, "retransmit_timeouts", tcp->retransmits, "");
	ws_fact(f, "retransmit_timeout", tcp->rto_us, "us");
	ws_bytes_format(tcp->in_flight_bytes, queued);
	if (ws_track_one_way(c->t, c->to_ns)) {
		f->advice = "Look at the way to the client: a firewall, a route that differs from "
			    "the way back, or a path MTU that is smaller than either side knows "
			    "(ping -M do -s 1472). wal_sender_timeout, or pg_terminate_backend "
			    "(twice, if the socket is full), ends the session, and does not mend "
			    "the way.";
		ws_say(f,
		       "Packets come from the client's host, the last %s ago, but of what is sent "
		       "to it nothing has been acknowledged for %s, and %s are repeated: the way "
		       "is cut in one direction, or for large packets.",
		       ws_duration_format(silent, last), ws_duration_format(still, age), queued);
	} else {
		ws_say(f,
		       "Nothing has come from the client's host for %s, and %s sent to it are "
		       "repeated without an answer: the host or the way to it is gone.",
		       ws_duration_format(silent, age), queued);
	}
	if (c->t->ended_by == WS_END_REPLICATION_TIMEOUT)
		ws_say(f, " wal_sender_timeout has ended the session.");
	return true;
}

/* All that fits into it is under way, and the way is longer than that. */
static bool buffer_limits(const struct ws_case *c)
{
	return ws_case_sndbuf_share(c) >= ws_limit(WS_LIMIT_SNDBUF);
}

/* Data waits, the receiver's window has room: what is left is the network, whether its queues are
 * long or it repeats what it has lost. */
bool ws_network_limits(const struct ws_case *c, double *retrans)
{
	double rwnd = ws_case_rwnd_share(c);

	*retrans = ws_track_repeated(c->t);
	if (!ws_case_tcp(c) || rwnd < 0 || rwnd >= ws_limit(WS_LIMIT_RWND_NETWORK))
		return false;
	return *retrans >= ws_limit(WS_LIMIT_RETRANS) ||
	       ws_case_cwnd_full(c) >= ws_limit(WS_LIMIT_DOMINANT) || buffer_limits(c);
}

/* The server's own buffer has room as yet, and what waits in it would take long at this rate. */
static bool way_fills_up(const struct ws_case *c)
{
	const struct ws_rec_socket *tcp = ws_case_tcp(c);
	uint64_t since = c->t->waiting_ns;
	uint64_t span = since && c->to_ns > since ? c->to_ns - since : 0;
	double took;

	if (!tcp || c->t->ended_ns || span < ws_limit_ns(WS_LIMIT_LASTING) || ws_socket_shut(tcp) ||
	    ws_socket_stuck(tcp) || tcp->acked_bytes < c->t->waiting_acked)
		return false;
	took = (double)(tcp->acked_bytes - c->t->waiting_acked);
	return (double)tcp->unsent_bytes * (double)span >=
	       took * (double)ws_limit_ns(WS_LIMIT_LASTING);
}

void ws_say_outages(const struct ws_case *c, struct ws_finding *f)
{
	const struct ws_outages *o = &c->t->outages;
	uint64_t ago = c->to_ns > o->over_ns ? c->to_ns - o->over_ns : 0;
	char longest[WS_DURATION_TEXT], sum[WS_DURATION_TEXT], last[WS_DURATION_TEXT];

	ws_fact(f, "unanswered", o->longest_ns, "ns");
	if (o->count < 2) {
		ws_say(f, "for %s", ws_duration_format(o->longest_ns, longest));
		return;
	}
	ws_fact(f, "outages", o->count, "");
	ws_fact(f, "unanswered_in_all", o->sum_ns, "ns");
	ws_fact(f, "last_outage_before", ago, "ns");
	ws_say(f, "%" PRIu64 " times, for %s in all and %s at most, the last time until %s ago",
	       o->count, ws_duration_format(o->sum_ns, sum),
	       ws_duration_format(o->longest_ns, longest), ws_duration_format(ago, last));
}

WS_RULE(network_slow)
{
	const struct ws_rec_socket *tcp = ws_case_tcp(c);
	double retrans;
	bool fills = false;
	char text[WS_BYTES_TEXT], span[WS_DURATION_TEXT], rtt[WS_DURATION_TEXT],
		least[WS_DURATION_TEXT];

	/* What is repeated to a host that is gone says nothing about the way to it. */
	if (!(ws_case_blocked(c) || (fills = way_fills_up(c))) || !ws_network_limits(c, &retrans) ||
	    !ws_case_grown(c, WS_ACKED) || ws_case_unanswered(c))
		return false;
	f->confidence =
		retrans >= ws_limit(WS_LIMIT_RETRANS) || ws_socket_queues(tcp) ? 0.85 : 0.75;
	ws_fact_share(c, f, WS_STATE_SEND_BLOCKED);
	ws_fact(f, "receive_window_limited", ws_whole(100 * ws_case_rwnd_share(c)), "%");
	ws_fact(f, "congestion_window_full", ws_whole(100 * ws_case_cwnd_full(c) + 0.5), "%");
	ws_fact(f, "in_flight", tcp->in_flight_packets, "packets");
	ws_fact(f, "congestion_window", tcp->cwnd, "packets");
	ws_fact(f, "rtt", tcp->srtt_us, "us");
	ws_fact(f, "least_rtt", tcp->min_rtt_us, "us");
	ws_fact(f, "retransmitted", ws_case_grown(c, WS_RETRANS), "bytes");
	ws_fact(f, "acknowledged", ws_case_grown(c, WS_ACKED), "bytes");
	if (!fills && 2 * ws_case_outage(c) >= c->state_ns[WS_STATE_SEND_BLOCKED]) {
		ws_say(f, "The way to the client, or its host, was cut ");
		ws_say_outages(c, f);
		ws_say(f,
		       ": what was sent was repeated without an answer meanwhile%s. It is "
		       "acknowledged since.",
		       c->t->outages.one_way ? ", though packets came from there" : "");
		return true;
	}
	if (buffer_limits(c)) {
		ws_fact(f, "send_buffer_limited", ws_whole(100 * ws_case_sndbuf_share(c)), "%");
		ws_fact(f, "send_buffer", tcp->sndbuf_bytes, "bytes");
		ws_say(f,
		       "The send buffer of the server's socket (%s with its overhead) is too small "
		       "for the way to the client, on which a round trip takes %s: the buffer was "
		       "the limit for %.0f %% of the time that data was under way "
		       "(net.ipv4.tcp_wmem).",
		       ws_bytes_format(tcp->sndbuf_bytes, text),
		       ws_duration_format((uint64_t)tcp->srtt_us * 1000, rtt),
		       100 * ws_case_sndbuf_share(c));
		return true;
	}
	ws_say(f,
	       "The network takes no more: data waits, the client's window has room, and all is "
	       "under way that the connection's congestion control lets out; %s were acknowledged "
	       "in %s, a round trip takes %s (%s at least)",
	       ws_bytes_format(ws_case_grown(c, WS_ACKED), text),
	       ws_duration_format(ws_case_span(c, WS_ACKED), span),
	       ws_duration_format((uint64_t)tcp->srtt_us * 1000, rtt),
	       ws_duration_format((uint64_t)tcp->min_rtt_us * 1000, least));
	if (retrans >= ws_limit(WS_LIMIT_RETRANS))
		ws_say(f,
		       ", and %.1f %% of what was sent was repeated: it was lost on the way, or "
		       "late",
		       100 * retrans);
	ws_say(f, ".");
	if (fills) {
		ws_fact(f, "unsent", tcp->unsent_bytes, "bytes");
		ws_say(f,
		       " The walsender has as yet room in the server's own buffer: %s wait there.",
		       ws_bytes_format(tcp->unsent_bytes, text));
	}
	return true;
}
