/* SPDX-License-Identifier: BSD-2-Clause */
/* Figures out of a track, and how a finding is put together. */
#include "diagnose/evidence.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

double ws_case_share(const struct ws_case *c, enum ws_state state)
{
	uint64_t known = c->accounted_ns - c->lost_ns;

	return known ? (double)c->state_ns[state] / (double)known : 0;
}

double ws_case_spill_share(const struct ws_case *c)
{
	uint64_t known = c->accounted_ns - c->lost_ns;
	uint64_t ns = ws_case_grown(c, WS_SPILL_TIME) + ws_case_grown(c, WS_RESTORE_TIME);

	if (!(c->t->decoding.valid & WS_DECODING_TIMES) || !known)
		return -1;
	return (double)ns / (double)known;
}

uint64_t ws_case_since(const struct ws_case *c)
{
	uint64_t since = c->t->standing->state_since_ns;

	since = since > c->from_ns ? since : c->from_ns;
	return !c->t->ended_ns && c->to_ns > since ? c->to_ns - since : 0;
}

bool ws_case_dominates(const struct ws_case *c, enum ws_state state)
{
	return ws_case_share(c, state) >= ws_limit(WS_LIMIT_DOMINANT) ||
	       (c->t->standing->state == state &&
		ws_case_since(c) >= ws_limit_ns(WS_LIMIT_LASTING) &&
		c->state_ns[state] >= ws_limit_ns(WS_LIMIT_LASTING));
}

const struct ws_watch *ws_case_watch(const struct ws_case *c, enum ws_watched which)
{
	return &c->t->watch[which];
}

bool ws_case_known(const struct ws_case *c, enum ws_watched which)
{
	return c->t->watch[which].known;
}

uint64_t ws_case_grown(const struct ws_case *c, enum ws_watched which)
{
	const struct ws_watch *w = ws_case_watch(c, which);

	return w->known && w->last > w->first ? w->last - w->first : 0;
}

uint64_t ws_case_span(const struct ws_case *c, enum ws_watched which)
{
	const struct ws_watch *w = ws_case_watch(c, which);

	return w->known && w->last_ns > w->first_ns ? w->last_ns - w->first_ns : 0;
}

uint64_t ws_case_still(const struct ws_case *c, enum ws_watched which)
{
	const struct ws_watch *w = ws_case_watch(c, which);
	uint64_t moved = w->moved_ns > c->from_ns ? w->moved_ns : c->from_ns;

	return w->known && c->to_ns > moved ? c->to_ns - moved : 0;
}

bool ws_case_moves(const struct ws_case *c, enum ws_watched which, uint64_t within_ns)
{
	const struct ws_watch *w = ws_case_watch(c, which);

	return w->known && w->changed && w->moved_ns >= c->from_ns &&
	       ws_case_still(c, which) < within_ns;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

bool ws_track_streams(const struct ws_track *t)
{
	return !t->ended_ns && (t->streams || t->standing->sent_lsn);
}

bool ws_track_spins(const struct ws_track *t, uint64_t now)
{
	const struct ws_watch *target = &t->watch[WS_TARGET], *sent = &t->watch[WS_SENT];
	uint64_t least = ws_limit_ns(WS_LIMIT_SHUTDOWN);

	/* Where no turn was told, as at level 1, it may well wait. */
	return ws_track_streams(t) && t->s->kind == WS_SESSION_KIND_LOGICAL &&
	       t->standing->state != WS_STATE_COMMAND && t->s->work_ns >= least &&
	       !t->s->work_blocked_ns && target->known && target->last <= t->standing->sent_lsn &&
	       now >= sent->moved_ns + least;
}

uint64_t ws_track_confirmed(const struct ws_track *t)
{
	uint64_t lsn = t->standing->flush_lsn ? t->standing->flush_lsn : t->standing->write_lsn;

	return lsn ? lsn : t->watch[WS_CONFIRMED].last;
}

uint64_t ws_track_usual_interval(const struct ws_track *t)
{
	size_t n = t->interval_count < WS_INTERVALS ? t->interval_count : WS_INTERVALS;
	uint64_t sorted[WS_INTERVALS];

	if (!n)
		return 0;
	memcpy(sorted, t->intervals, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), by_value);
	return sorted[n / 2];
}

/* The end of what was received need not be the end of a record. */
bool ws_case_replay_held(const struct ws_case *c, enum ws_watched at, struct ws_held_replay *held)
{
	*held = (struct ws_held_replay){ .still_ns = ws_case_still(c, at),
					 .at = ws_case_watch(c, at)->last,
					 .received = ws_case_watch(c, WS_RECEIVED)->last };
	return c->s->cascading && !c->t->ended_ns && held->at && held->received > held->at &&
	       (c->t->received_steps > 1 ||
		(double)(held->received - held->at) > ws_limit(WS_LIMIT_RECORD));
}

bool ws_case_behind(const struct ws_case *c, enum ws_watched ahead, enum ws_watched behind,
		    uint64_t *bytes)
{
	uint64_t a = ws_case_watch(c, ahead)->last, b = ws_case_watch(c, behind)->last;

	if (!ws_case_known(c, ahead) || !ws_case_known(c, behind) || !a || !b)
		return false;
	*bytes = a > b ? a - b : 0;
	return true;
}

static uint64_t point_value(const struct ws_point *p, enum ws_watched which)
{
	switch (which) {
	case WS_SENT:
		return p->sent;
	case WS_TARGET:
		return p->target;
	case WS_WRITE:
		return p->write;
	case WS_FLUSH:
		return p->flush;
	case WS_APPLY:
		return p->apply;
	default:
		return 0;
	}
}

bool ws_case_trend(const struct ws_case *c, enum ws_watched ahead, enum ws_watched behind,
		   struct ws_trend *trend)
{
	double value[WS_POINTS];
	uint64_t time[WS_POINTS];
	size_t n = 0, third;

	for (size_t i = 0; i < c->t->point_count; i++) {
		uint64_t a = point_value(&c->t->points[i], ahead);
		uint64_t b = point_value(&c->t->points[i], behind);

		if (!a || !b)
			continue;
		value[n] = a > b ? (double)(a - b) : 0;
		/* A hostile file may say anything: figures stay such that they can be whole
		 * numbers. */
		value[n] = value[n] < 0x1p53 ? value[n] : 0x1p53;
		time[n++] = c->t->points[i].time_ns;
	}
	third = n / 3;
	if (!third)
		return false;
	*trend = (struct ws_trend){ .least = value[n - 1] };
	for (size_t i = 0; i < third; i++) {
		double late = value[n - 1 - i];

		trend->before += value[i] / (double)third;
		trend->after += late / (double)third;
		trend->least = late < trend->least ? late : trend->least;
	}
	trend->span_ns = time[n - 1 - third / 2] - time[third / 2];
	return trend->span_ns != 0;
}

/* The series says what was, over a third of the window. */
static bool is_behind(const struct ws_case *c)
{
	uint64_t bytes;

	return ws_case_behind(c, WS_TARGET, WS_SENT, &bytes) &&
	       (double)bytes >= ws_limit(WS_LIMIT_BACKLOG);
}

bool ws_case_comes_nearer(const struct ws_case *c, struct ws_trend *trend)
{
	return is_behind(c) && ws_case_trend(c, WS_TARGET, WS_SENT, trend) &&
	       trend->least >= ws_limit(WS_LIMIT_BACKLOG) && trend->after < trend->before;
}

bool ws_case_falls_behind(const struct ws_case *c, struct ws_trend *trend)
{
	return is_behind(c) && ws_case_trend(c, WS_TARGET, WS_SENT, trend) &&
	       trend->least >= ws_limit(WS_LIMIT_BACKLOG) && trend->after >= trend->before;
}

enum ws_state ws_case_bottleneck(const struct ws_case *c)
{
	static const enum ws_state causes[] = {
		WS_STATE_SEND_BLOCKED,	WS_STATE_SEND,	  WS_STATE_READ_WAL,	 WS_STATE_DECODE,
		WS_STATE_OUTPUT_PLUGIN, WS_STATE_REPLY,	  WS_STATE_WAIT_STANDBY, WS_STATE_OFF_CPU,
		WS_STATE_RECV_BLOCKED,	WS_STATE_STOPPED, WS_STATE_WAIT_LOCK,
	};
	enum ws_state most = causes[0];

	for (size_t i = 1; i < WS_ARRAY_SIZE(causes); i++)
		if (c->state_ns[causes[i]] > c->state_ns[most])
			most = causes[i];
	return most;
}

bool ws_case_streams(const struct ws_case *c)
{
	return c->s->kind == WS_SESSION_KIND_PHYSICAL || c->s->kind == WS_SESSION_KIND_LOGICAL;
}

const struct ws_rec_socket *ws_case_tcp(const struct ws_case *c)
{
	return c->t->has_tcp ? &c->t->socket : NULL;
}

/* The kernel probes what it cannot send to, too, be the window closed or not
 * (tcp_check_probe_timer, net/tcp.h). */
bool ws_socket_shut(const struct ws_rec_socket *tcp)
{
	return (tcp->timer == WS_TCP_TIMER_PERSIST &&
		tcp->window_bytes < 2 * (uint64_t)tcp->mss_bytes) ||
	       tcp->window_bytes < tcp->mss_bytes;
}

bool ws_socket_stuck(const struct ws_rec_socket *tcp)
{
	return tcp->timer == WS_TCP_TIMER_PERSIST && !tcp->in_flight_bytes && tcp->unsent_bytes &&
	       !ws_socket_shut(tcp);
}

bool ws_socket_queues(const struct ws_rec_socket *tcp)
{
	return tcp->min_rtt_us &&
	       (double)tcp->srtt_us >= ws_limit(WS_LIMIT_RTT) * (double)tcp->min_rtt_us;
}

double ws_track_repeated(const struct ws_track *t)
{
	const struct ws_watch *sent = &t->watch[WS_SENT_BYTES], *again = &t->watch[WS_RETRANS];

	if (!sent->known || !again->known || sent->last <= sent->first ||
	    again->last <= again->first)
		return 0;
	return (double)(again->last - again->first) / (double)(sent->last - sent->first);
}

uint64_t ws_track_unacknowledged(const struct ws_track *t, uint64_t now)
{
	uint64_t since = t->under_way_ns, age_ns;

	if (!t->has_tcp || !t->under_way)
		return 0;
	if (since)
		return now > since ? now - since : 0;
	/* It was so when it was seen first. */
	since = t->watch[WS_ACKED].moved_ns;
	age_ns = ws_track_no_packet(t, now);
	return now > since && now - since > age_ns ? now - since : age_ns;
}

uint64_t ws_track_no_packet(const struct ws_track *t, uint64_t now)
{
	uint64_t since = t->socket.h.time_ns;

	return t->socket.ack_age_us * 1000 + (now > since ? now - since : 0);
}

uint64_t ws_socket_rto_ns(const struct ws_rec_socket *tcp)
{
	return 1000 * (uint64_t)(tcp->rto_us >> (tcp->backoff < 16 ? tcp->backoff : 16));
}

bool ws_track_unanswered(const struct ws_track *t, uint64_t now)
{
	const struct ws_rec_socket *tcp = &t->socket;
	uint64_t seen = tcp->h.time_ns < now ? tcp->h.time_ns : now; /* what came behind is not */

	if (!t->has_tcp || tcp->timer != WS_TCP_TIMER_RETRANSMIT || !tcp->in_flight_bytes)
		return false;
	if (tcp->backoff < ws_limit(WS_LIMIT_BACKOFF) &&
	    tcp->retransmits < ws_limit(WS_LIMIT_BACKOFF))
		return false;
	return (double)ws_track_unacknowledged(t, seen) >=
	       ws_limit(WS_LIMIT_RTOS) * (double)ws_socket_rto_ns(tcp);
}

bool ws_track_one_way(const struct ws_track *t, uint64_t now)
{
	return (double)ws_track_unacknowledged(t, now) >
	       (double)ws_track_no_packet(t, now) +
		       ws_limit(WS_LIMIT_RTOS) * (double)ws_socket_rto_ns(&t->socket);
}

uint64_t ws_case_outage(const struct ws_case *c)
{
	return ws_track_unanswered(c->t, c->to_ns) ? 0 : c->t->outages.sum_ns;
}

static double busy_share(const struct ws_case *c, enum ws_watched which)
{
	uint64_t busy = ws_case_grown(c, WS_BUSY_US);
	double share = busy ? (double)ws_case_grown(c, which) / (double)busy : -1;

	return share > 1 ? 1 : share;
}

double ws_case_rwnd_share(const struct ws_case *c)
{
	return busy_share(c, WS_RWND_US);
}

double ws_case_sndbuf_share(const struct ws_case *c)
{
	return busy_share(c, WS_SNDBUF_US);
}

static double full_share(const struct ws_case *c, uint64_t full)
{
	return c->t->full_sockets ? (double)full / (double)c->t->full_sockets : 0;
}

double ws_case_window_full(const struct ws_case *c)
{
	return full_share(c, c->t->window_full);
}

double ws_case_cwnd_full(const struct ws_case *c)
{
	return full_share(c, c->t->cwnd_full);
}

bool ws_sample_unix_full(const struct ws_rec_sample *r)
{
	/* A writer is woken when a quarter is left (unix_writable): full is from there on. */
	return (uint64_t)r->unix_queued_bytes * 4 >= r->unix_sndbuf_bytes;
}

/* The session waited for the socket when one looked last, and has sent since: the peer has made
 * room, whatever it took. Returns how long it had taken none by then. */
static uint64_t paused_at_last_look(const struct ws_case *c)
{
	const struct ws_rec_socket *tcp = &c->t->socket;
	uint64_t look = tcp->h.time_ns, since = c->t->pause_since_ns;

	since = since > c->from_ns ? since : c->from_ns;
	if (!c->t->has_tcp || !c->t->socket_awaited || !tcp->unsent_bytes || !ws_socket_shut(tcp) ||
	    c->t->watch[WS_SENT].moved_ns <= look)
		return 0;
	return look > since ? look - since : 0;
}

uint64_t ws_case_longest_pause(const struct ws_case *c)
{
	uint64_t last = paused_at_last_look(c);

	return last > c->t->longest_pause_ns ? last : c->t->longest_pause_ns;
}

int ws_case_unix_full(const struct ws_case *c)
{
	const struct ws_rec_sample *r = &c->t->sample;

	if (!c->t->has_sample || !(r->valid & WS_SAMPLE_UNIX) || !r->unix_sndbuf_bytes)
		return -1;
	return ws_sample_unix_full(r);
}

/* -- findings */

/* Of a text that was cut: up to where its last whole sentence ends; if there is none, a part of one
 * that says so. */
static void keep_sentences(char *text, size_t size)
{
	static const char more[] = " ...";
	size_t at = strlen(text);

	for (size_t i = at; i > 1; i--) {
		if (text[i - 2] != '.' || text[i - 1] != ' ')
			continue;
		text[i - 1] = '\0';
		return;
	}
	at = at < size - sizeof(more) ? at : size - sizeof(more);
	while (at && ((unsigned char)text[at] & 0xC0) == 0x80)
		at--; /* not in the midst of a character */
	memcpy(text + at, more, sizeof(more));
}

void ws_say(struct ws_finding *f, const char *fmt, ...)
{
	size_t at = strlen(f->text);
	va_list ap;
	int len;

	if (f->is_full)
		return;
	va_start(ap, fmt);
	len = vsnprintf(f->text + at, sizeof(f->text) - at, fmt, ap);
	va_end(ap);
	if (len >= 0 && (size_t)len < sizeof(f->text) - at)
		return;
	f->is_full = true;
	keep_sentences(f->text, sizeof(f->text));
}

static struct ws_fact *next_fact(struct ws_finding *f, const char *fact, const char *unit)
{
	struct ws_fact *next;

	if (f->fact_count == WS_FACTS_MAX)
		return NULL;
	next = &f->facts[f->fact_count++];
	*next = (struct ws_fact){ .fact = fact, .unit = unit };
	return next;
}

uint64_t ws_whole(double value)
{
	if (!(value > 0))
		return 0;
	return value < 0x1p64 ? (uint64_t)value : UINT64_MAX;
}

void ws_fact(struct ws_finding *f, const char *fact, uint64_t value, const char *unit)
{
	struct ws_fact *next = next_fact(f, fact, unit);

	if (next)
		next->value = value;
}

void ws_fact_text(struct ws_finding *f, const char *fact, const char *text)
{
	struct ws_fact *next = text[0] ? next_fact(f, fact, "") : NULL;

	if (!next)
		return;
	next->is_text = true;
	snprintf(next->text, sizeof(next->text), "%s", text);
}

void ws_say_error(struct ws_finding *f, const char *words, const struct ws_last_error *error)
{
	ws_fact_text(f, "sqlstate", error->sqlstate);
	ws_fact_text(f, "message", error->message);
	ws_say(f, "%s SQLSTATE %s", words, error->sqlstate);
	if (error->message[0])
		ws_say(f, " (%s)", error->message);
}

void ws_fact_lsn(struct ws_finding *f, const char *fact, uint64_t lsn)
{
	char text[WS_LSN_TEXT];

	if (lsn)
		ws_fact_text(f, fact, ws_lsn_format(lsn, text));
}

void ws_fact_share(const struct ws_case *c, struct ws_finding *f, enum ws_state state)
{
	ws_fact(f, ws_state_name(state), ws_whole(100 * ws_case_share(c, state) + 0.5), "%");
}
