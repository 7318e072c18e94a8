/* SPDX-License-Identifier: BSD-2-Clause */
/* What the session's socket says: what waits in it, and what the peer takes. */
#include <string.h>

#include "diagnose/track.h"

static void count_full(struct ws_track *t)
{
	const struct ws_rec_socket *r = &t->socket;

	if (!r->unsent_bytes)
		return;
	t->full_sockets++;
	if ((uint64_t)r->in_flight_bytes + r->mss_bytes > r->window_bytes)
		t->window_full++;
	else if (r->cwnd && (double)r->in_flight_packets >= ws_limit(WS_LIMIT_CWND) * r->cwnd)
		t->cwnd_full++;
}

/* One that reads slowly takes a piece, and pauses again: where it has taken something at each look
 * for a while, the pause before was another matter, and is over. */
static void feed_habit(struct ws_track *t, uint64_t pause_ns, uint64_t look_ns)
{
	if (2 * pause_ns >= t->usual_pause_ns) {
		t->flow_ns = 0;
		if (pause_ns > t->usual_pause_ns)
			t->usual_pause_ns = pause_ns;
		return;
	}
	t->flow_ns += look_ns;
	if (t->flow_ns < ws_limit_ns(WS_LIMIT_LASTING))
		return;
	t->flow_ns = 0;
	t->usual_pause_ns = pause_ns;
}

/* The longest two of the window: what has come twice is no other matter, however well it read
 * between. */
static void feed_paused(struct ws_track *t, uint64_t pause_ns)
{
	if (pause_ns > t->longest_pause_ns) {
		t->second_pause_ns = t->longest_pause_ns;
		t->longest_pause_ns = pause_ns;
	} else if (pause_ns > t->second_pause_ns) {
		t->second_pause_ns = pause_ns;
	}
}

/* Since when the peer takes nothing though there is something for it, and for how long it did. What
 * the way to it held up says nothing of how it reads. */
static void feed_pause(struct ws_diagnosis *d, struct ws_track *t, const struct ws_rec_socket *r)
{
	const struct ws_watch *acked = &t->watch[WS_ACKED];
	bool moved = acked->known && acked->last != r->acked_bytes;
	uint64_t now = r->h.time_ns, since = t->pause_since_ns;
	bool paused = since && now > since && ws_socket_shut(&t->socket); /* as it was before */

	if (moved)
		feed_habit(t, paused ? now - since : 0,
			   now > acked->last_ns ? now - acked->last_ns : 0);
	if (moved && paused && now > d->from_ns)
		feed_paused(t, now - (since > d->from_ns ? since : d->from_ns));
	if (!r->unsent_bytes)
		t->pause_since_ns = 0;
	else if (moved || !since)
		t->pause_since_ns = now;
}

static void feed_waiting(struct ws_track *t)
{
	if (!t->socket.unsent_bytes) {
		t->waiting_ns = 0;
	} else if (!t->waiting_ns) {
		t->waiting_ns = t->socket.h.time_ns;
		t->waiting_acked = t->socket.acked_bytes;
	}
}

static void feed_under_way(struct ws_track *t, bool moved, bool first)
{
	bool is = t->socket.in_flight_bytes;

	if (is && (moved || !t->under_way))
		t->under_way_ns = first ? 0 : t->socket.h.time_ns;
	t->under_way = is;
}

/* Nothing has been acknowledged for so long, when one looked; but before something was sent nothing
 * had to be. When it is over is not known any better than that: the first acknowledgement may have
 * come right behind the last look that has seen it. */
static void note_outage(struct ws_track *t, uint64_t from_ns, uint64_t now)
{
	uint64_t ns = ws_track_unacknowledged(t, now);
	uint64_t most_ns = now > from_ns ? now - from_ns : 0;
	struct ws_outages *o = &t->outages;

	ns = ns < most_ns ? ns : most_ns;
	if (ns <= o->now_ns || !ws_track_unanswered(t, now))
		return;
	o->now_ns = ns;
	o->now_one_way = ws_track_one_way(t, t->socket.h.time_ns);
}

/* Something was acknowledged. A moment is none. */
static void end_outage(struct ws_track *t, uint64_t now)
{
	struct ws_outages *o = &t->outages;

	if (o->now_ns >= ws_limit_ns(WS_LIMIT_FROZEN)) {
		o->count++;
		o->sum_ns += o->now_ns;
		o->over_ns = now;
		if (o->now_ns > o->longest_ns) {
			o->longest_ns = o->now_ns;
			o->one_way = o->now_one_way;
		}
	}
	o->now_ns = 0;
}

void ws_feed_socket(struct ws_diagnosis *d, struct ws_track *t, const struct ws_rec *rec)
{
	const struct ws_rec_socket *r = (const struct ws_rec_socket *)rec;
	uint64_t now = rec->time_ns;
	bool first = !t->has_socket, moved;

	if (rec->size < WS_SOCKET_SHORT_SIZE)
		return;
	feed_pause(d, t, r);
	t->has_socket = true;
	t->has_tcp = rec->size >= sizeof(*r);
	t->socket_awaited = t->s->state == WS_STATE_SEND_BLOCKED;
	t->socket = (struct ws_rec_socket){ 0 };
	memcpy(&t->socket, r, t->has_tcp ? sizeof(*r) : WS_SOCKET_SHORT_SIZE);
	t->socket_sent = ws_track_last(t, WS_SENT);
	ws_track_watch(d, &t->watch[WS_WIRE], r->wire_bytes, now);
	moved = ws_track_watch(d, &t->watch[WS_ACKED], r->acked_bytes, now);
	ws_track_watch(d, &t->watch[WS_RETRANS], r->retrans_bytes, now);
	ws_track_watch(d, &t->watch[WS_SENT_BYTES], r->sent_bytes, now);
	if (!t->has_tcp)
		return;
	feed_waiting(t);
	feed_under_way(t, moved, first);
	if (now >= d->from_ns) {
		count_full(t);
		if (moved)
			end_outage(t, now);
		note_outage(t, d->from_ns, now);
	}
	ws_track_watch(d, &t->watch[WS_BUSY_US], r->busy_us, now);
	ws_track_watch(d, &t->watch[WS_RWND_US], r->rwnd_limited_us, now);
	ws_track_watch(d, &t->watch[WS_SNDBUF_US], r->sndbuf_limited_us, now);
}

/* How full the socket was while the session waited for it. */
static void count_unix(struct ws_track *t)
{
	const struct ws_rec_sample *r = &t->sample;

	if (!(r->valid & WS_SAMPLE_UNIX) || !r->unix_sndbuf_bytes ||
	    t->s->state != WS_STATE_SEND_BLOCKED)
		return;
	t->unix_awaited++;
	t->unix_full += ws_sample_unix_full(r);
}

/* The same as feed_pause of a Unix socket: nothing was sent, and the queue was the same. */
static void note_unix_pause(const struct ws_diagnosis *d, struct ws_track *t, uint64_t now)
{
	uint64_t since = t->watch[WS_UNIX_QUEUE].moved_ns, sent_ns = t->watch[WS_SENT].moved_ns;

	if (t->s->state != WS_STATE_SEND_BLOCKED || !t->sample.unix_sndbuf_bytes ||
	    !ws_sample_unix_full(&t->sample))
		return;
	since = since > sent_ns ? since : sent_ns;
	since = since > d->from_ns ? since : d->from_ns;
	if (now > since && now - since > t->longest_pause_ns)
		t->longest_pause_ns = now - since;
}

void ws_feed_sample(struct ws_diagnosis *d, struct ws_track *t, const struct ws_rec *rec)
{
	const struct ws_rec_sample *r = (const struct ws_rec_sample *)rec;
	uint64_t now = rec->time_ns;

	if (rec->size < WS_SAMPLE_SHORT_SIZE)
		return;
	t->has_sample = true;
	t->sample = (struct ws_rec_sample){ 0 };
	memcpy(&t->sample, r, rec->size < sizeof(*r) ? rec->size : sizeof(*r));
	if (now >= d->from_ns) {
		t->samples++;
		t->samples_on_disk += r->task_state == 'D';
		count_unix(t);
	}
	if ((r->valid & WS_SAMPLE_TARGET) && r->target_lsn &&
	    ws_track_watch(d, &t->watch[WS_TARGET], r->target_lsn, now))
		t->received_steps = 0;
	if (r->valid & WS_SAMPLE_DELAY)
		ws_track_watch(d, &t->watch[WS_RUN_DELAY], r->run_delay_ns, now);
	if (r->valid & WS_SAMPLE_THROTTLED)
		ws_track_watch(d, &t->watch[WS_THROTTLED], r->throttled_ns, now);
	if (r->valid & WS_SAMPLE_READ)
		ws_track_watch(d, &t->watch[WS_STORAGE], r->read_bytes, now);
	if (r->valid & WS_SAMPLE_UNIX) {
		ws_track_watch(d, &t->watch[WS_UNIX_QUEUE], r->unix_queued_bytes, now);
		note_unix_pause(d, t, now);
	}
}
