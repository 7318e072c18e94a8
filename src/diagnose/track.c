/* SPDX-License-Identifier: BSD-2-Clause */
/* What records say, kept as far as rules ask for it. Everything may come from a hostile file. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "diagnose/evidence.h"
#include "event/order.h"

struct ws_diagnosis *ws_diagnosis_new(uint64_t from_ns, uint64_t to_ns)
{
	struct ws_diagnosis *d = calloc(1, sizeof(*d));

	if (d) {
		d->from_ns = from_ns;
		d->to_ns = to_ns;
	}
	return d;
}

void ws_diagnosis_free(struct ws_diagnosis *d)
{
	if (!d)
		return;
	ws_idmap_deinit(&d->by_id, NULL);
	for (size_t i = 0; i < d->track_count; i++) {
		free(d->tracks[i]->points);
		free(d->tracks[i]);
	}
	free(d->tracks);
	free(d->servers);
	free(d);
}

struct ws_track *ws_track_find(struct ws_diagnosis *d, uint32_t pid, uint64_t start_ns)
{
	struct ws_id *id = ws_idmap_find(&d->by_id, pid, start_ns);

	return id ? (struct ws_track *)((char *)id - offsetof(struct ws_track, id)) : NULL;
}

static struct ws_track *add(struct ws_diagnosis *d, const struct ws_session *s)
{
	struct ws_track *t = calloc(1, sizeof(*t));
	struct ws_track **place;

	if (!t)
		return NULL;
	place = ws_array_grow(&d->tracks, &d->track_count, &d->track_cap, sizeof(*place));
	if (!place)
		goto fail;
	t->id.pid = s->pid;
	t->id.start_ns = s->start_ns;
	t->s = s;
	t->standing = &s->standing;
	t->point_ns = WS_POINT_NS;
	if (ws_idmap_add(&d->by_id, &t->id)) {
		d->track_count--;
		goto fail;
	}
	*place = t;
	return t;
fail:
	free(t);
	return NULL;
}

/* A session the model has just made is its last one. */
static const struct ws_session *session_of(const struct ws_model *model, const struct ws_rec *rec)
{
	size_t i;
	struct ws_session *const *sessions = ws_model_sessions(model, &i);

	while (i--)
		if (sessions[i]->pid == rec->pid && sessions[i]->start_ns == rec->start_ns)
			return sessions[i];
	return NULL;
}

/* True if it changed. */
static bool watch(const struct ws_diagnosis *d, struct ws_watch *w, uint64_t value,
		  uint64_t time_ns)
{
	bool changed = w->known && value != w->last;

	if (!w->known || time_ns < d->from_ns) {
		w->first = value;
		w->first_ns = time_ns;
	}
	if (!w->known)
		w->moved_ns = time_ns;
	if (changed) {
		w->changed = true;
		w->moved_ns = time_ns;
	}
	w->known = true;
	w->last = value;
	w->last_ns = time_ns;
	return changed;
}

static uint64_t last(const struct ws_track *t, enum ws_watched which)
{
	return t->watch[which].known ? t->watch[which].last : 0;
}

/* A point of the series, if the one before is old enough. */
static int add_point(struct ws_diagnosis *d, struct ws_track *t, uint64_t time_ns)
{
	struct ws_point *before;

	if (time_ns < d->from_ns)
		return 0;
	if (!t->points) {
		t->points = calloc(WS_POINTS, sizeof(*t->points));
		if (!t->points)
			return -1;
	}
	before = t->point_count ? &t->points[t->point_count - 1] : NULL;
	if (before && (time_ns < before->time_ns || time_ns - before->time_ns < t->point_ns))
		return 0;
	if (t->point_count == WS_POINTS) {
		for (size_t i = 0; i < WS_POINTS / 2; i++)
			t->points[i] = t->points[2 * i];
		t->point_count = WS_POINTS / 2;
		t->point_ns *= 2;
	}
	t->points[t->point_count++] = (struct ws_point){
		.time_ns = time_ns,
		.sent = last(t, WS_SENT),
		.target = last(t, WS_TARGET),
		.write = last(t, WS_WRITE),
		.flush = last(t, WS_FLUSH),
		.apply = last(t, WS_APPLY),
		.wire = last(t, WS_WIRE),
		.acked = last(t, WS_ACKED),
		.unsent = t->has_socket ? t->socket.unsent_bytes : 0,
		.decoded = last(t, WS_DECODED),
		.spilled = last(t, WS_SPILLED),
	};
	return 0;
}

bool ws_track_replay_stands(const struct ws_track *t, uint64_t from_ns, uint64_t *ns)
{
	uint64_t since = t->apply_held_ns > from_ns ? t->apply_held_ns : from_ns;

	/* As far as replies say: behind the last one nothing is known. */
	*ns = t->last_reply_ns > since ? t->last_reply_ns - since : 0;
	return t->apply_held_ns && *ns >= ws_limit_ns(WS_LIMIT_APPLY_FROZEN) &&
	       (double)t->apply_held_replies >= ws_limit(WS_LIMIT_REPLIES) &&
	       last(t, WS_FLUSH) > t->apply_held_flush;
}

/* A reply may carry an apply position of some time ago, but not reply after reply. Of what was all
 * applied none stands still: it has nothing to do. */
static void feed_applied(struct ws_diagnosis *d, struct ws_track *t, const struct ws_rec_turn *r,
			 bool was_behind)
{
	uint64_t now = r->h.time_ns;
	bool moved = watch(d, &t->watch[WS_APPLY], r->apply_lsn, now), first = t->replies <= 1;

	if (moved || first || !was_behind) {
		t->apply_held_flush = moved || first ? r->flush_lsn : r->apply_lsn;
		t->apply_held_ns = now;
		t->apply_held_replies = 0;
	}
	t->apply_held_replies++;
	if ((double)r->flush_lsn - (double)r->apply_lsn < ws_limit(WS_LIMIT_BACKLOG))
		t->applied_ns = now;
}

/* Of a flush that has just been confirmed; the one before was at `before_ns`. */
static void feed_flushed(struct ws_track *t, uint64_t now, uint64_t before_ns)
{
	uint64_t flush = t->s->lag_ns[WS_LAG_FLUSH], write = t->s->lag_ns[WS_LAG_WRITE];
	struct ws_late *late = &t->late_flushes;
	uint64_t waited = now > before_ns ? now - before_ns : 0;

	if (!(t->s->has_lag & (1U << WS_LAG_FLUSH)))
		return;
	if (!ws_flush_is_late(t->s->kind, flush, write)) {
		late->in_row = 0;
		return;
	}
	if (!late->in_row++)
		late->since_ns = now > flush ? now - flush : 0;
	late->last_ns = now;
	late->count++;
	late->flush_ns += flush;
	late->write_ns += write;
	late->ns += waited < flush ? waited : flush;
}

/* Is most of what it has not written on its side of the way? */
static bool has_arrived(const struct ws_track *t, uint64_t write_lsn)
{
	uint64_t sent = last(t, WS_SENT);

	return t->has_tcp && !t->socket.unsent_bytes && sent > write_lsn &&
	       2 * (uint64_t)t->socket.in_flight_bytes < sent - write_lsn;
}

static void feed_written(struct ws_track *t, const struct ws_rec_turn *r)
{
	uint64_t write = t->s->lag_ns[WS_LAG_WRITE], now = r->h.time_ns;
	struct ws_late *late = &t->late_writes;

	if (!(t->s->has_lag & (1U << WS_LAG_WRITE)))
		return;
	if (write < ws_limit_ns(WS_LIMIT_WRITE_LAG) || !has_arrived(t, r->write_lsn)) {
		late->in_row = 0;
		return;
	}
	if (!late->in_row++)
		late->since_ns = now;
	late->last_ns = now;
	late->write_ns = write; /* the last one */
	late->count++;
}

static void feed_reply(struct ws_diagnosis *d, struct ws_track *t, const struct ws_rec_turn *r)
{
	uint64_t flushed_ns = t->watch[WS_FLUSH].moved_ns;
	uint64_t now = r->h.time_ns, stood;
	bool was_behind = last(t, WS_FLUSH) > last(t, WS_APPLY), moved;

	if (was_behind && r->apply_lsn > last(t, WS_APPLY) && last(t, WS_APPLY) &&
	    now >= d->from_ns && ws_track_replay_stands(t, d->from_ns, &stood) &&
	    stood > t->replay_stood_ns)
		t->replay_stood_ns = stood;

	if (t->last_reply_ns && now > t->last_reply_ns)
		t->intervals[t->interval_count++ % WS_INTERVALS] = now - t->last_reply_ns;
	t->last_reply_ns = now;
	if (now >= d->from_ns) {
		t->replies++;
		t->answered += t->ping_ns != 0;
	}
	t->ping_ns = 0;
	if (watch(d, &t->watch[WS_WRITE], r->write_lsn, now) && now >= d->from_ns)
		feed_written(t, r);
	moved = watch(d, &t->watch[WS_FLUSH], r->flush_lsn, now);
	if (moved && now >= d->from_ns)
		feed_flushed(t, now, flushed_ns > d->from_ns ? flushed_ns : d->from_ns);
	if (moved || t->replies <= 1) {
		t->flush_held_write = r->write_lsn;
		t->flush_held_replies = 0;
	}
	t->flush_held_replies++;
	feed_applied(d, t, r, was_behind);
	t->owed_ns = r->flush_lsn && r->flush_lsn < last(t, WS_SENT) ? now : 0;
}

static void feed_sent(struct ws_diagnosis *d, struct ws_track *t, uint64_t lsn, uint64_t now)
{
	if (lsn)
		watch(d, &t->watch[WS_SENT], lsn, now);
}

static void feed_turn(struct ws_diagnosis *d, struct ws_track *t, const struct ws_rec *rec)
{
	const struct ws_rec_turn *r = (const struct ws_rec_turn *)rec;

	if (rec->size < WS_TURN_SHORT_SIZE)
		return;
	/* Replies are read before anything is sent (WalSndLoop, walsender.c). */
	if ((rec->flags & WS_TURN_REPLY) && rec->size >= sizeof(*r))
		feed_reply(d, t, r);
	if (r->lsn_to > last(t, WS_SENT) && last(t, WS_FLUSH) && !t->owed_ns)
		t->owed_ns = rec->time_ns;
	feed_sent(d, t, r->lsn_to, rec->time_ns);
}

/* Counters begin anew. */
static void reset(struct ws_track *t, enum ws_watched which, uint64_t now)
{
	t->watch[which] = (struct ws_watch){
		.known = true, .first_ns = now, .last_ns = now, .moved_ns = now
	};
}

static void feed_stream(struct ws_diagnosis *d, struct ws_track *t, const struct ws_rec *rec)
{
	if (rec->size < sizeof(struct ws_rec_stream))
		return;
	t->streams++;
	t->start_lsn = ((const struct ws_rec_stream *)rec)->sent_lsn;
	feed_sent(d, t, t->start_lsn, rec->time_ns);
	for (enum ws_watched which = WS_SPILLED; which <= WS_RESTORE_TIME; which++)
		reset(t, which, rec->time_ns);
	for (size_t i = 0; i < t->point_count; i++)
		t->points[i].decoded = 0;
	t->unspilled_xid = 0;
}

static void feed_keepalive(struct ws_diagnosis *d, struct ws_track *t, const struct ws_rec *rec)
{
	const struct ws_rec_keepalive *r = (const struct ws_rec_keepalive *)rec;

	if (rec->size < sizeof(*r))
		return;
	if (rec->time_ns >= d->from_ns) {
		t->keepalives++;
		t->pings += r->request_reply != 0;
	}
	if (r->request_reply && !t->ping_ns)
		t->ping_ns = rec->time_ns;
}

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
static void feed_taken(struct ws_track *t, uint64_t pause_ns, uint64_t look_ns)
{
	if (2 * pause_ns >= t->longest_pause_ns) {
		t->flow_ns = 0;
		if (pause_ns > t->longest_pause_ns)
			t->longest_pause_ns = pause_ns;
		return;
	}
	t->flow_ns += look_ns;
	if (t->flow_ns < ws_limit_ns(WS_LIMIT_LASTING))
		return;
	t->flow_ns = 0;
	t->longest_pause_ns = pause_ns;
}

/* Since when the peer takes nothing though there is something for it, and for how long it did. What
 * the way to it held up says nothing of how it reads. */
static void feed_pause(struct ws_track *t, const struct ws_rec_socket *r)
{
	const struct ws_watch *acked = &t->watch[WS_ACKED];
	bool moved = acked->known && acked->last != r->acked_bytes;
	uint64_t now = r->h.time_ns, since = t->pause_since_ns;
	bool paused = since && now > since && ws_socket_shut(&t->socket); /* as it was before */

	if (moved)
		feed_taken(t, paused ? now - since : 0,
			   now > acked->last_ns ? now - acked->last_ns : 0);
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

/* Nothing has been acknowledged for so long; but before something was sent nothing had to be. */
static void note_outage(struct ws_track *t, uint64_t from_ns, uint64_t now)
{
	uint64_t ns = ws_track_unacknowledged(t, now);
	uint64_t most_ns = now > from_ns ? now - from_ns : 0;

	ns = ns < most_ns ? ns : most_ns;
	if (ns <= t->outage_ns || !ws_track_unanswered(t, now))
		return;
	t->outage_ns = ns;
	t->outage_one_way = ws_track_one_way(t, t->socket.h.time_ns);
}

static void feed_socket(struct ws_diagnosis *d, struct ws_track *t, const struct ws_rec *rec)
{
	const struct ws_rec_socket *r = (const struct ws_rec_socket *)rec;
	uint64_t now = rec->time_ns;
	bool first = !t->has_socket, moved;

	if (rec->size < WS_SOCKET_SHORT_SIZE)
		return;
	feed_pause(t, r);
	if (now >= d->from_ns && last(t, WS_ACKED) != r->acked_bytes)
		note_outage(t, d->from_ns, now); /* it is over now */
	t->has_socket = true;
	t->has_tcp = rec->size >= sizeof(*r);
	t->socket_awaited = t->s->state == WS_STATE_SEND_BLOCKED;
	t->socket = (struct ws_rec_socket){ 0 };
	memcpy(&t->socket, r, t->has_tcp ? sizeof(*r) : WS_SOCKET_SHORT_SIZE);
	watch(d, &t->watch[WS_WIRE], r->wire_bytes, now);
	moved = watch(d, &t->watch[WS_ACKED], r->acked_bytes, now);
	watch(d, &t->watch[WS_RETRANS], r->retrans_bytes, now);
	watch(d, &t->watch[WS_SENT_BYTES], r->sent_bytes, now);
	if (!t->has_tcp)
		return;
	feed_waiting(t);
	feed_under_way(t, moved, first);
	if (now >= d->from_ns) {
		count_full(t);
		note_outage(t, d->from_ns, now);
	}
	watch(d, &t->watch[WS_BUSY_US], r->busy_us, now);
	watch(d, &t->watch[WS_RWND_US], r->rwnd_limited_us, now);
	watch(d, &t->watch[WS_SNDBUF_US], r->sndbuf_limited_us, now);
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

static void feed_sample(struct ws_diagnosis *d, struct ws_track *t, const struct ws_rec *rec)
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
	if ((r->valid & WS_SAMPLE_TARGET) && r->target_lsn)
		watch(d, &t->watch[WS_TARGET], r->target_lsn, now);
	if (r->valid & WS_SAMPLE_DELAY)
		watch(d, &t->watch[WS_RUN_DELAY], r->run_delay_ns, now);
	if (r->valid & WS_SAMPLE_THROTTLED)
		watch(d, &t->watch[WS_THROTTLED], r->throttled_ns, now);
	if (r->valid & WS_SAMPLE_READ)
		watch(d, &t->watch[WS_STORAGE], r->read_bytes, now);
	if (r->valid & WS_SAMPLE_UNIX)
		watch(d, &t->watch[WS_UNIX_QUEUE], r->unix_queued_bytes, now);
}

/* It waits for another one, or goes on. */
static void end_txn_wait(struct ws_track *t, uint64_t now)
{
	struct ws_txn_wait *w = &t->txn_wait, *longest = &t->longest_wait;

	if (!w->xid)
		return;
	w->ns = now > w->since_ns ? now - w->since_ns : 0;
	if (longest->since_ns < t->making.start_ns || w->ns >= longest->ns)
		*longest = *w;
	*w = (struct ws_txn_wait){ 0 };
}

static void feed_txn_wait(struct ws_track *t, const struct ws_rec_blocked *r)
{
	uint64_t now = r->h.time_ns;
	uint64_t since = r->since_ns && r->since_ns < now ? r->since_ns : now;
	bool waits = r->on == WS_BLOCKED_LOCK && r->xid;

	if (waits && r->xid == t->txn_wait.xid)
		return;
	end_txn_wait(t, since);
	if (waits)
		t->txn_wait = (struct ws_txn_wait){ .xid = r->xid,
						    .holder_pid = r->holder_pid,
						    .since_ns = since };
}

static void feed_blocked(struct ws_diagnosis *d, struct ws_track *t, const struct ws_rec *rec)
{
	const struct ws_rec_blocked *r = (const struct ws_rec_blocked *)rec;

	(void)d;
	if (rec->size < sizeof(*r))
		return;
	feed_txn_wait(t, r);
	if (r->on != WS_BLOCKED_LOCK)
		return;
	t->lock_xid = r->xid;
	t->lock_holder = r->holder_pid;
	if (t->awaited.xid != r->xid)
		t->awaited = (struct ws_rec_holder){ 0 };
}

/* Another transaction, or the same one in its other half: gathered, then handed out. */
static bool is_other_txn(const struct ws_rec_decoding *a, const struct ws_rec_decoding *b)
{
	return a->txn_xid != b->txn_xid ||
	       (a->txn_flags & WS_TXN_OUTPUT) != (b->txn_flags & WS_TXN_OUTPUT);
}

static bool is_unspilled(const struct ws_rec_decoding *r)
{
	const uint32_t needed = WS_DECODING_STATS | WS_DECODING_TXNS;

	/* Of subtransactions only so many are looked at. */
	return r->h.size >= sizeof(*r) && (r->valid & needed) == needed && !r->txn_subtxns &&
	       !(r->txn_flags & WS_TXN_SPILLED);
}

static void feed_txn(struct ws_diagnosis *d, struct ws_track *t, const struct ws_rec_decoding *r)
{
	uint64_t now = r->h.time_ns, at = r->read_lsn;

	if (!t->has_decoding || is_other_txn(&t->decoding, r)) {
		t->txn_since_ns = now;
		t->watch[WS_TXN_AT].known = false;
	}
	if (!t->has_decoding || t->decoding.txn_xid != r->txn_xid)
		t->xid_since_ns = now;
	if (!t->has_decoding || t->decoding.output_xid != r->output_xid)
		t->output_since_ns = now;
	if (is_unspilled(r)) {
		t->unspilled_xid = r->txn_xid;
		t->unspilled_bytes = r->spill_bytes;
	}
	if (r->txn_flags & WS_TXN_OUTPUT)
		at = r->txn_at_lsn;
	if (r->txn_xid && at)
		watch(d, &t->watch[WS_TXN_AT], at, now);
}

/* It goes into a sentence. */
static void make_printable(char *text, size_t size)
{
	text[size - 1] = '\0';
	for (char *at = text; *at; at++)
		if (*at < ' ' || *at > '~')
			*at = '?';
}

static void feed_copy(struct ws_diagnosis *d, struct ws_track *t, const struct ws_rec *rec)
{
	(void)d;
	if (rec->size < sizeof(t->copy))
		return;
	t->has_copy = true;
	memcpy(&t->copy, rec, sizeof(t->copy));
}

static void feed_memory(struct ws_diagnosis *d, struct ws_track *t, const struct ws_rec *rec)
{
	if (rec->size < sizeof(t->memory))
		return;
	t->has_memory = true;
	memcpy(&t->memory, rec, sizeof(t->memory));
	/* Nothing is told of what does not change: what was so last before the window is so in it.
	 */
	if (t->memory.valid & WS_MEMORY_REORDER &&
	    (!t->reorder.h.size || rec->time_ns < d->from_ns ||
	     t->memory.reorder_bytes > t->reorder.reorder_bytes))
		t->reorder = t->memory;
}

static void feed_cgroup(struct ws_diagnosis *d, struct ws_track *t, const struct ws_rec *rec)
{
	(void)d;
	if (rec->size < sizeof(t->cgroup))
		return;
	t->has_cgroup = true;
	memcpy(&t->cgroup, rec, sizeof(t->cgroup));
	make_printable(t->cgroup.path, sizeof(t->cgroup.path));
}

static void feed_holder(struct ws_diagnosis *d, struct ws_track *t, const struct ws_rec *rec)
{
	struct ws_rec_holder *h;

	(void)d;
	if (rec->size < sizeof(*h))
		return;
	h = ((const struct ws_rec_holder *)rec)->why == WS_HELD_AWAITED ? &t->awaited : &t->holder;
	memcpy(h, rec, sizeof(*h));
	make_printable(h->user, sizeof(h->user));
	make_printable(h->database, sizeof(h->database));
	make_printable(h->application, sizeof(h->application));
	make_printable(h->gid, sizeof(h->gid));
	if (h == &t->awaited && h->xid == t->txn_wait.xid)
		t->txn_wait.holder = *h;
}

static void feed_decoding(struct ws_diagnosis *d, struct ws_track *t, const struct ws_rec *rec)
{
	struct ws_rec_decoding told = { 0 }, *r = &told;
	uint64_t now = rec->time_ns;

	if (rec->size < WS_DECODING_SHORT_SIZE)
		return;
	memcpy(r, rec, rec->size < sizeof(*r) ? rec->size : sizeof(*r));
	feed_txn(d, t, r);
	t->has_decoding = true;
	t->decoding = *r;
	if (r->valid & WS_DECODING_READ)
		watch(d, &t->watch[WS_DECODED], r->read_lsn, now);
	if (r->valid & WS_DECODING_SLOT)
		watch(d, &t->watch[WS_CONFIRMED], r->confirmed_lsn, now);
	if (r->valid & WS_DECODING_TIMES) {
		watch(d, &t->watch[WS_SPILL_TIME], r->spill_ns, now);
		watch(d, &t->watch[WS_RESTORE_TIME], r->restore_ns, now);
	}
	if (!(r->valid & WS_DECODING_STATS))
		return;
	watch(d, &t->watch[WS_SPILLED], r->spill_bytes, now);
	watch(d, &t->watch[WS_SPILLS], r->spill_count, now);
	watch(d, &t->watch[WS_STREAMED], r->stream_bytes, now);
}

static struct ws_server_track *server_of(struct ws_diagnosis *d, uint32_t pid, bool make)
{
	struct ws_server_track *server;

	for (size_t i = 0; i < d->server_count; i++)
		if (d->servers[i].pid == pid)
			return &d->servers[i];
	if (!make)
		return NULL;
	server = ws_array_grow(&d->servers, &d->server_count, &d->server_cap, sizeof(*server));
	if (server)
		server->pid = pid;
	return server;
}

/* Since when it is so, as long as it is. */
static void keep_since(uint64_t *since_ns, bool is, uint64_t now)
{
	if (!is)
		*since_ns = 0;
	else if (!*since_ns)
		*since_ns = now;
}

static void feed_sync(struct ws_server_track *server, const struct ws_rec_cluster *r)
{
	bool waits = (r->valid & WS_CLUSTER_SYNC) && r->sync_waiters;
	struct ws_sync sync;

	if (r->valid & WS_CLUSTER_NAMES)
		snprintf(server->names, sizeof(server->names), "%.*s", WS_SYNC_NAMES_LEN,
			 r->sync_names);
	ws_sync_read(server->names, &sync);
	keep_since(&server->waiting_since_ns, waits, r->h.time_ns);
	keep_since(&server->missing_since_ns, waits && r->sync_walsenders < sync.needed,
		   r->h.time_ns);
}

static int feed_cluster(struct ws_diagnosis *d, const struct ws_rec *rec)
{
	const struct ws_rec_cluster *r = (const struct ws_rec_cluster *)rec;
	struct ws_server_track *server;

	if (rec->size < WS_CLUSTER_SHORT_SIZE || !rec->pid)
		return 0;
	server = server_of(d, rec->pid, true);
	if (!server)
		return -1;
	feed_sync(server, r);
	if (server->has_cluster && server->cluster.db_state == WS_DB_IN_ARCHIVE_RECOVERY &&
	    r->db_state == WS_DB_IN_PRODUCTION)
		server->promoted_ns = rec->time_ns;
	keep_since(&server->stopping_ns, rec->flags & WS_CLUSTER_STOPPING, rec->time_ns);
	server->has_cluster = true;
	memset(&server->cluster, 0, sizeof(server->cluster));
	memcpy(&server->cluster, r, rec->size < sizeof(*r) ? rec->size : sizeof(*r));
	make_printable(server->cluster.standby_slot, sizeof(server->cluster.standby_slot));
	return 0;
}

static int feed_signal(struct ws_diagnosis *d, const struct ws_rec *rec)
{
	const struct ws_rec_signal *r = (const struct ws_rec_signal *)rec;
	struct ws_server_track *server;
	struct ws_track *t;

	if (rec->size < sizeof(*r))
		return 0;
	t = ws_track_find(d, r->target_pid, r->target_start_ns);
	if (t && r->signal == SIGTERM && r->role == WS_ROLE_CHECKPOINTER && !t->taken_ns)
		t->taken_ns = rec->time_ns;
	server = t ? NULL : server_of(d, r->target_pid, false);
	if (server && !server->asked_ns && (r->signal == SIGTERM || r->signal == SIGINT))
		server->asked_ns = rec->time_ns;
	if (server && !server->asked_fast_ns && r->signal == SIGINT)
		server->asked_fast_ns = rec->time_ns;
	return 0;
}

typedef void (*feed_fn)(struct ws_diagnosis *d, struct ws_track *t, const struct ws_rec *rec);
static const feed_fn feeds[WS_KIND_MAX] = {
	[WS_KIND_TURN] = feed_turn,	      [WS_KIND_STREAM] = feed_stream,
	[WS_KIND_KEEPALIVE] = feed_keepalive, [WS_KIND_SOCKET] = feed_socket,
	[WS_KIND_SAMPLE] = feed_sample,	      [WS_KIND_BLOCKED] = feed_blocked,
	[WS_KIND_DECODING] = feed_decoding,   [WS_KIND_CGROUP] = feed_cgroup,
	[WS_KIND_HOLDER] = feed_holder,	      [WS_KIND_COPY] = feed_copy,
	[WS_KIND_MEMORY] = feed_memory,
};

static int feed_session(struct ws_diagnosis *d, const struct ws_model *model,
			const struct ws_rec *rec)
{
	struct ws_track *t = ws_track_find(d, rec->pid, rec->start_ns);
	const struct ws_session *s;

	/* The collector's records never say that there is a session. */
	if (!t && rec->kind > WS_KIND_KERNEL_LAST)
		return 0;
	if (!t) {
		s = session_of(model, rec);
		t = s ? add(d, s) : NULL;
		if (!t)
			return s ? -1 : 0;
	}
	t->last_ns = rec->time_ns;
	if (rec->kind >= WS_KIND_MAX || !feeds[rec->kind])
		return 0;
	feeds[rec->kind](d, t, rec);
	return add_point(d, t, rec->time_ns);
}

int ws_diagnosis_feed(struct ws_diagnosis *d, const struct ws_model *model,
		      const struct ws_rec *rec)
{
	if (rec->time_ns >= d->to_ns)
		return 0;
	/* A command that is only repeated began before the recording. */
	if (rec->time_ns >= d->from_ns && (!d->first_ns || rec->time_ns < d->first_ns) &&
	    !(rec->kind == WS_KIND_COMMAND && rec->flags & WS_COMMAND_STARTED))
		d->first_ns = rec->time_ns;
	if (rec->time_ns > d->last_ns)
		d->last_ns = rec->time_ns;
	switch (rec->kind) {
	case WS_KIND_SERVER:
		return rec->pid && !server_of(d, rec->pid, true) ? -1 : 0;
	case WS_KIND_CLUSTER:
		return feed_cluster(d, rec);
	case WS_KIND_SIGNAL:
		return feed_signal(d, rec);
	case WS_KIND_SLOT: /* of no session */
		return 0;
	default:
		return rec->pid ? feed_session(d, model, rec) : 0;
	}
}

/* The position that START_REPLICATION asks for: the first word of the form X/X. */
static uint64_t lsn_in(const char *text, size_t len)
{
	char word[WS_LSN_TEXT];
	size_t at = 0, n;
	uint64_t lsn;

	while (at < len) {
		for (n = 0; at + n < len && text[at + n] != ' '; n++)
			;
		if (n && n < sizeof(word)) {
			memcpy(word, text + at, n);
			word[n] = '\0';
			if (ws_lsn_parse(word, &lsn))
				return lsn;
		}
		at += n + 1;
	}
	return 0;
}

/* The number behind the word TIMELINE; 0: there is none. */
static uint32_t timeline_in(const char *text, size_t len)
{
	static const char word[] = " TIMELINE ";
	const char *at = memmem(text, len, word, sizeof(word) - 1);
	uint32_t number = 0;

	if (!at)
		return 0;
	for (at += sizeof(word) - 1; at < text + len && *at >= '0' && *at <= '9'; at++) {
		if (number > UINT32_MAX / 10 - 1)
			return 0;
		number = number * 10 + (uint32_t)(*at - '0');
	}
	return number;
}

/* Where one time line ends the client asks for the next one, in the same session. */
static void take_timeline(struct ws_track *t, const struct ws_command *c)
{
	uint32_t timeline = timeline_in(c->text, c->text_len);

	if (!timeline)
		return;
	if (t->timeline ? timeline > t->timeline : t->starts > 1) {
		t->switched_from = t->timeline;
		t->switched_lsn = t->command.start_lsn;
		t->switched_ns = c->start_ns;
	}
	t->timeline = timeline;
}

/* Up to the end of a name, with its schema: COPY name (columns) ... */
static size_t name_length(const char *text, size_t len)
{
	bool quoted = false;
	size_t n;

	for (n = 0; n < len && (quoted || (text[n] != ' ' && text[n] != '(' && text[n] != ')'));
	     n++)
		quoted ^= text[n] == '"';
	return n;
}

/* The table that a tablesync worker copies: COPY name ..., or COPY (SELECT ... FROM [ONLY] name ...
 * (tablesync.c, copy_table). */
static void copied_table(const char *text, size_t len, char *table, size_t size)
{
	static const char from[] = " FROM ", only[] = "ONLY ";
	size_t at = 4, n;

	while (at < len && text[at] == ' ')
		at++;
	if (at < len && text[at] == '(') {
		const char *found = memmem(text, len, from, sizeof(from) - 1);

		if (!found)
			return;
		at = (size_t)(found - text) + sizeof(from) - 1;
	}
	if (len - at >= sizeof(only) - 1 && strncasecmp(text + at, only, sizeof(only) - 1) == 0)
		at += sizeof(only) - 1;
	n = name_length(text + at, len - at);
	snprintf(table, size, "%.*s", (int)(n < size ? n : size - 1), text + at);
}

static void take_command(struct ws_track *t, const struct ws_command *c, bool ended)
{
	uint64_t named = c->text && !c->truncated ? ws_publications_named(c->text, c->text_len) : 0;

	if (named)
		t->publications = named;
	t->command = (struct ws_last_command){ .start_ns = c->start_ns,
					       .end_ns = ended ? c->end_ns : 0,
					       .outcome = ended ? c->outcome : WS_OUTCOME_RUNNING };
	snprintf(t->command.kind, sizeof(t->command.kind), "%s", c->kind ? c->kind : "");
	if (strcmp(t->command.kind, "START_REPLICATION") == 0)
		t->starts++;
	if (c->text && strcmp(t->command.kind, "START_REPLICATION") == 0) {
		t->command.start_lsn = lsn_in(c->text, c->text_len);
		take_timeline(t, c);
	}
	if (strcmp(t->command.kind, "CREATE_REPLICATION_SLOT") == 0)
		t->making = t->command;
	if (c->text && c->text_len >= 4 && strcmp(t->command.kind, "SQL") == 0 &&
	    strncasecmp(c->text, "COPY", 4) == 0) {
		snprintf(t->command.kind, sizeof(t->command.kind), "COPY");
		copied_table(c->text, c->text_len, t->command.table, sizeof(t->command.table));
	}
}

/* Is this a name of the message, in the quotation marks of whatever language it is in? French ones
 * have a space between. */
static bool is_quoted(const char *message, const char *at, size_t len)
{
	static const char marks[] = "\"'`";
	const unsigned char *before = (const unsigned char *)at, after = (unsigned char)at[len];

	if (at == message || (after < 0x80 && after != ' ' && !strchr(marks, after)))
		return false;
	before--;
	if (*before == ' ' && (const char *)before > message)
		return before[-1] >= 0x80;
	return *before >= 0x80 || strchr(marks, *before);
}

/* Does the message name the slot behind the word SLOT? */
static bool names_slot(const struct ws_command *c)
{
	static const char word[] = " SLOT ", letters[] = "abcdefghijklmnopqrstuvwxyz0123456789_";
	const char *at = c->text ? memmem(c->text, c->text_len, word, sizeof(word) - 1) : NULL,
		   *end;
	char name[WS_NAME_LEN];
	size_t n = 0;

	if (!at || !c->message)
		return false;
	end = c->text + c->text_len;
	at += sizeof(word) - 1;
	at += at < end && *at == '"';
	while (at < end && *at && strchr(letters, *at) && n < sizeof(name) - 1)
		name[n++] = *at++;
	name[n] = '\0';
	for (at = n ? strstr(c->message, name) : NULL; at; at = strstr(at + 1, name))
		if (is_quoted(c->message, at, n))
			return true;
	return false;
}

int ws_diagnosis_command(struct ws_diagnosis *d, const struct ws_session *session,
			 const struct ws_command *c)
{
	struct ws_track *t;
	/* One that ends behind the window runs, however it will end. */
	bool ended = c->end_ns < d->to_ns;

	if (c->start_ns >= d->to_ns)
		return 0;
	t = ws_track_find(d, session->pid, session->start_ns);
	if (!t)
		t = add(d, session);
	if (!t)
		return -1;
	if (!c->outside)
		take_command(t, c, ended);
	if (!c->sqlstate[0] || !ended)
		return 0;
	snprintf(t->error.kind, sizeof(t->error.kind), "%s", c->kind ? c->kind : "");
	snprintf(t->error.sqlstate, sizeof(t->error.sqlstate), "%s", c->sqlstate);
	snprintf(t->error.message, sizeof(t->error.message), "%s", c->message ? c->message : "");
	t->error.about_slot = names_slot(c);
	return 0;
}
