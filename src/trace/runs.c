/* SPDX-License-Identifier: BSD-2-Clause */
#include "trace/runs.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "event/schema.h"

/* Walsenders that run are found and told when tracing begins, which this is long enough for. */
#define SETTLE_NS  2000000000ULL
#define SERVER_MAX 60000

struct ws_runs_session {
	struct ws_id id;
	LIST_ENTRY(ws_runs_session) entry;
	uint16_t server;
	uint32_t filter; /* of the run that saw it last */
	bool stale;	 /* not seen in this one */
};

static struct ws_runs_session *session_of(struct ws_id *id)
{
	return (struct ws_runs_session *)((char *)id - offsetof(struct ws_runs_session, id));
}

void ws_runs_deinit(struct ws_runs *r)
{
	struct ws_runs_session *s;

	ws_idmap_deinit(&r->by_id, NULL);
	while ((s = LIST_FIRST(&r->open))) {
		LIST_REMOVE(s, entry);
		free(s);
	}
	free(r->gaps);
	*r = (struct ws_runs){ 0 };
}

static struct ws_rec_gap *queue_gap(struct ws_runs *r, uint32_t cause, uint64_t from_ns,
				    uint64_t to_ns)
{
	struct ws_rec_gap *gap = ws_array_grow(&r->gaps, &r->gap_count, &r->gap_cap, sizeof(*gap));

	if (!gap)
		return NULL;
	*gap = (struct ws_rec_gap){
		.h = { .size = sizeof(*gap), .kind = WS_KIND_GAP, .time_ns = to_ns },
		.from_ns = from_ns,
		.to_ns = to_ns,
		.cause = cause,
	};
	return gap;
}

const struct ws_rec *ws_runs_gap(struct ws_runs *r)
{
	if (r->gap_next < r->gap_count)
		return &r->gaps[r->gap_next++].h;
	r->gap_count = r->gap_next = 0;
	return NULL;
}

static void forget(struct ws_runs *r, struct ws_runs_session *s)
{
	ws_idmap_remove(&r->by_id, &s->id);
	LIST_REMOVE(s, entry);
	free(s);
}

/* A run tells all sessions again that run, but for those that its filter keeps from it. */
static bool would_be_told(const struct ws_runs *r, const struct ws_runs_session *s)
{
	return !r->before.filter || s->filter == r->before.filter;
}

/* What was not told again, though it would have been, was gone when this run began. */
static int settle(struct ws_runs *r, uint64_t from_ns, uint64_t to_ns, bool other_boot)
{
	struct ws_runs_session *s, *next;

	r->settled_ns = 0;
	for (s = LIST_FIRST(&r->open); s; s = next) {
		struct ws_rec_gap *gap;

		next = LIST_NEXT(s, entry);
		if (!s->stale || (!other_boot && !would_be_told(r, s)))
			continue;
		gap = queue_gap(r, WS_GAP_UNRECORDED, from_ns, to_ns);
		if (!gap)
			return -1;
		gap->h.pid = s->id.pid;
		gap->h.start_ns = s->id.start_ns;
		gap->h.server = s->server;
		forget(r, s);
	}
	return 0;
}

/* Wall clocks tell how far apart two boots are, unless that would put the later one first. */
static uint64_t shift_of(const struct ws_runs *r, const struct ws_trace_info *info)
{
	uint64_t shift = r->shift;

	if (strcmp(info->boot_id, r->before.boot_id) == 0)
		return shift;
	shift += ((uint64_t)info->start_wall_ns - info->start_mono_ns) -
		 ((uint64_t)r->before.start_wall_ns - r->before.start_mono_ns);
	if (info->start_mono_ns + shift <= r->last_ns)
		shift = r->last_ns + 1 - info->start_mono_ns;
	return shift;
}

static int begin_run(struct ws_runs *r, const struct ws_trace_info *info)
{
	bool same_boot = strcmp(info->boot_id, r->before.boot_id) == 0;
	uint64_t begin = info->start_mono_ns + r->shift, from = r->last_ns;
	struct ws_runs_session *s;

	if (begin < from)
		begin = from;
	r->server = r->server_max < SERVER_MAX ? r->server_max : 0;
	if (!queue_gap(r, WS_GAP_UNRECORDED, from, begin))
		return -1;
	LIST_FOREACH(s, &r->open, entry)
	s->stale = true;
	r->settled_ns = begin + SETTLE_NS;
	return same_boot ? 0 : settle(r, from, begin, true);
}

bool ws_runs_begin(struct ws_runs *r, const struct ws_trace_info *info, uint64_t *lost,
		   bool *failed)
{
	struct ws_rec_gap *gap;
	uint64_t from = r->last_ns, to;
	bool follows = false;

	*lost = 0;
	*failed = false;
	if (!r->first) {
		r->shift = shift_of(r, info);
		if (!ws_runs_same(&r->before, info)) {
			*failed = begin_run(r, info) != 0;
		} else {
			if (info->records_before > r->expected)
				*lost = info->records_before - r->expected;
			follows = !*lost && info->segment == r->before.segment + 1;
		}
	}
	if (*lost) {
		to = info->start_mono_ns + r->shift;
		gap = queue_gap(r, WS_GAP_TORN, from, to > from ? to : from);
		*failed = !gap;
		if (gap)
			gap->lost = *lost;
	}
	r->first = false;
	r->before = *info;
	r->expected = info->records_before;
	return follows;
}

void ws_runs_end(struct ws_runs *r, const struct ws_source *source)
{
	r->expected += source->accounted - source->repeated;
	if (source->next_sequence && source->last_ns + r->shift > r->last_ns)
		r->last_ns = source->last_ns + r->shift;
	else if (!r->last_ns)
		r->last_ns = source->info.start_mono_ns + r->shift;
}

/* All of a record's fields that are points of CLOCK_MONOTONIC; 0 mostly is none. */
static void move_times(struct ws_rec *rec, uint64_t shift)
{
	const struct ws_kind_info *info = ws_kind_info(rec->kind);

	rec->time_ns += shift;
	for (size_t i = 0; info && i < info->field_count; i++) {
		const struct ws_field *f = &info->fields[i];
		uint64_t value;

		if (f->type != WS_FIELD_TIME || f->offset < sizeof(*rec) ||
		    (size_t)f->offset + sizeof(value) > rec->size)
			continue;
		memcpy(&value, (char *)rec + f->offset, sizeof(value));
		value += value ? shift : 0;
		memcpy((char *)rec + f->offset, &value, sizeof(value));
	}
}

/*
 * A session that a run saw from its start on is known to the nanosecond, and to the next run, which
 * finds it, to the clock tick alone: it keeps the name it has.
 */
static struct ws_runs_session *find(struct ws_runs *r, uint32_t pid, __u64 *start_ns)
{
	struct ws_id *id = ws_idmap_find(&r->by_id, pid, *start_ns);

	if (!id)
		id = ws_idmap_find_tick(&r->by_id, pid, *start_ns);
	if (!id)
		return NULL;
	*start_ns = id->start_ns;
	return session_of(id);
}

static int follow(struct ws_runs *r, struct ws_rec *rec)
{
	struct ws_runs_session *s = find(r, rec->pid, &rec->start_ns);

	if (rec->kind == WS_KIND_EXIT ||
	    (rec->kind == WS_KIND_GAP && rec->size >= sizeof(struct ws_rec_gap) &&
	     ((const struct ws_rec_gap *)rec)->cause == WS_GAP_EXIT_MISSED)) {
		if (s)
			forget(r, s);
		return 0;
	}
	if (!s && rec->kind < WS_KIND_SERVER) {
		s = calloc(1, sizeof(*s));
		if (!s)
			return -1;
		s->id.pid = rec->pid;
		s->id.start_ns = rec->start_ns;
		if (ws_idmap_add(&r->by_id, &s->id)) {
			free(s);
			return -1;
		}
		LIST_INSERT_HEAD(&r->open, s, entry);
	}
	if (s) {
		s->server = rec->server;
		s->filter = r->before.filter;
		s->stale = false;
	}
	return 0;
}

int ws_runs_record(struct ws_runs *r, struct ws_rec *rec)
{
	struct ws_rec_signal *signal = (void *)rec;

	if (!r->several)
		return 0;
	if (r->shift)
		move_times(rec, r->shift);
	if (rec->server)
		rec->server = (uint16_t)(rec->server + r->server);
	if (rec->server > r->server_max)
		r->server_max = rec->server;
	if (rec->kind == WS_KIND_SIGNAL && rec->size >= sizeof(*signal))
		find(r, signal->target_pid, &signal->target_start_ns);
	if (rec->pid && rec->start_ns && follow(r, rec))
		return -1;
	if (r->settled_ns && rec->kind == WS_KIND_CLOCK && rec->time_ns >= r->settled_ns)
		return settle(r, r->settled_ns - SETTLE_NS, r->settled_ns - SETTLE_NS, false);
	return 0;
}
