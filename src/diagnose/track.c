/* SPDX-License-Identifier: BSD-2-Clause */
/* What records say, kept as far as rules ask for it. Everything may come from a hostile file. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "diagnose/track.h"
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

bool ws_track_watch(const struct ws_diagnosis *d, struct ws_watch *w, uint64_t value,
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

uint64_t ws_track_last(const struct ws_track *t, enum ws_watched which)
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
		.sent = ws_track_last(t, WS_SENT),
		.target = ws_track_last(t, WS_TARGET),
		.write = ws_track_last(t, WS_WRITE),
		.flush = ws_track_last(t, WS_FLUSH),
		.apply = ws_track_last(t, WS_APPLY),
		.wire = ws_track_last(t, WS_WIRE),
		.acked = ws_track_last(t, WS_ACKED),
		.unsent = t->has_socket ? t->socket.unsent_bytes : 0,
		.decoded = ws_track_last(t, WS_DECODED),
		.spilled = ws_track_last(t, WS_SPILLED),
	};
	return 0;
}

static void feed_sent(struct ws_diagnosis *d, struct ws_track *t, uint64_t lsn, uint64_t now)
{
	if (lsn)
		ws_track_watch(d, &t->watch[WS_SENT], lsn, now);
}

static void feed_turn(struct ws_diagnosis *d, struct ws_track *t, const struct ws_rec *rec)
{
	const struct ws_rec_turn *r = (const struct ws_rec_turn *)rec;

	if (rec->size < WS_TURN_SHORT_SIZE)
		return;
	/* Replies are read before anything is sent (WalSndLoop, walsender.c). */
	if ((rec->flags & WS_TURN_REPLY) && rec->size >= sizeof(*r))
		ws_feed_reply(d, t, r);
	if (r->lsn_to > ws_track_last(t, WS_SENT) && ws_track_last(t, WS_FLUSH) && !t->owed_ns)
		t->owed_ns = rec->time_ns;
	feed_sent(d, t, r->lsn_to, rec->time_ns);
	if (t->standby_waits && r->stage_ns[WS_STAGE_WAIT] >= ws_limit_ns(WS_LIMIT_FLUSH_LAG))
		t->standby_until_ns = r->begin_ns + r->stage_ns[WS_STAGE_WAIT];
	t->standby_waits = r->wait == WS_WAIT_STANDBY;
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
	t->flush_bits = 0;
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
	t->awaits_summary |= r->on == WS_BLOCKED_SUMMARY;
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
		ws_track_watch(d, &t->watch[WS_TXN_AT], at, now);
}

/* Told at level 3: it was decoded to its end, and handed out if that was a commit. */
static void feed_txn_end(struct ws_diagnosis *d, struct ws_track *t, const struct ws_rec *rec)
{
	const struct ws_rec_txn *r = (const struct ws_rec_txn *)rec;

	(void)d;
	if (rec->size >= sizeof(*r) && r->end != WS_TXN_PIECE && r->end != WS_TXN_PREPARE)
		t->over_xid = r->xid;
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
	if ((r->valid & WS_DECODING_READ) &&
	    ws_track_watch(d, &t->watch[WS_DECODED], r->read_lsn, now))
		t->received_steps = 0;
	if (r->valid & WS_DECODING_SLOT)
		ws_track_watch(d, &t->watch[WS_CONFIRMED], r->confirmed_lsn, now);
	if (r->valid & WS_DECODING_TIMES) {
		ws_track_watch(d, &t->watch[WS_SPILL_TIME], r->spill_ns, now);
		ws_track_watch(d, &t->watch[WS_RESTORE_TIME], r->restore_ns, now);
	}
	if (!(r->valid & WS_DECODING_STATS))
		return;
	ws_track_watch(d, &t->watch[WS_SPILLED], r->spill_bytes, now);
	ws_track_watch(d, &t->watch[WS_SPILLS], r->spill_count, now);
	ws_track_watch(d, &t->watch[WS_STREAMED], r->stream_bytes, now);
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

void ws_standby_wait_take(struct ws_standby_wait *wait, const struct ws_rec_cluster *r)
{
	if (!(r->valid & WS_CLUSTER_STANDBY_SLOT))
		return;
	memcpy(wait->slot, r->standby_slot, sizeof(wait->slot));
	wait->lsn = r->standby_lsn;
	wait->why = (enum ws_standby_why)r->standby_why;
}

static void feed_received(struct ws_diagnosis *d, const struct ws_server_track *server,
			  uint64_t time_ns)
{
	for (size_t i = 0; i < d->track_count; i++) {
		struct ws_track *t = d->tracks[i];

		if (t->s->postmaster_pid == server->pid && t->s->cascading &&
		    ws_track_watch(d, &t->watch[WS_RECEIVED], server->cluster.flush_lsn, time_ns))
			t->received_steps++;
	}
}

/* The server says what is waited for now: when the wait is over it will say something else. */
static void feed_standby_wait(struct ws_diagnosis *d, const struct ws_server_track *server)
{
	for (size_t i = 0; i < d->track_count; i++) {
		struct ws_track *t = d->tracks[i];
		uint64_t since_ns;

		if (t->s->postmaster_pid == server->pid &&
		    ws_session_doing(t->s, &since_ns) == WS_STATE_WAIT_STANDBY)
			ws_standby_wait_take(&t->standby_wait, &server->cluster);
	}
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
	if (r->valid)
		server->read_ns = rec->time_ns;
	memset(&server->cluster, 0, sizeof(server->cluster));
	memcpy(&server->cluster, r, rec->size < sizeof(*r) ? rec->size : sizeof(*r));
	make_printable(server->cluster.standby_slot, sizeof(server->cluster.standby_slot));
	if (server->cluster.valid & WS_CLUSTER_STANDBY_SLOT)
		feed_standby_wait(d, server);
	if (server->cluster.valid & WS_CLUSTER_RECEIVED)
		feed_received(d, server, rec->time_ns);
	return 0;
}

static int feed_server(struct ws_diagnosis *d, const struct ws_rec *rec)
{
	const struct ws_rec_server *r = (const struct ws_rec_server *)rec;
	struct ws_server_track *server = server_of(d, rec->pid, true);

	if (!server)
		return -1;
	if (!server->first_ns)
		server->first_ns = rec->time_ns;
	if (rec->size >= sizeof(*r))
		snprintf(server->datadir, sizeof(server->datadir), "%.*s",
			 (int)sizeof(r->datadir) - 1, r->datadir);
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
	[WS_KIND_KEEPALIVE] = feed_keepalive, [WS_KIND_SOCKET] = ws_feed_socket,
	[WS_KIND_SAMPLE] = ws_feed_sample,    [WS_KIND_BLOCKED] = feed_blocked,
	[WS_KIND_DECODING] = feed_decoding,   [WS_KIND_CGROUP] = feed_cgroup,
	[WS_KIND_HOLDER] = feed_holder,	      [WS_KIND_COPY] = feed_copy,
	[WS_KIND_MEMORY] = feed_memory,	      [WS_KIND_TXN] = feed_txn_end,
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
		return rec->pid ? feed_server(d, rec) : 0;
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
		ws_take_command(t, c, ended);
	if (!c->sqlstate[0] || !ended)
		return 0;
	ws_take_error(t, c);
	return 0;
}
