/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every nanosecond of a session goes into exactly one state: all time passes through
 * ws_timeline_fill, which moves accounted_ns forward and never back.
 */
#include "session/machine.h"

void ws_timeline_flush(struct ws_machine *m)
{
	const struct ws_observer *observer = &m->model->observer;

	if (observer->segment && m->segment.end_ns > m->segment.start_ns)
		observer->segment(observer->arg, &m->s, &m->segment);
	m->segment = (struct ws_segment){ 0 };
}

static bool continues(const struct ws_segment *segment, const struct ws_slice *slice,
		      uint64_t from_ns)
{
	return segment->end_ns > segment->start_ns && segment->state == slice->state &&
	       segment->end_ns == from_ns &&
	       (segment->lsn_to == slice->lsn_from || !segment->lsn_to || !slice->lsn_from);
}

/* [from_ns, to_ns) is the part of the slice that is new and within the window. */
static void show(struct ws_machine *m, const struct ws_slice *slice, uint64_t from_ns,
		 uint64_t to_ns)
{
	struct ws_segment *segment = &m->segment;

	if (!continues(segment, slice, from_ns)) {
		ws_timeline_flush(m);
		segment->state = slice->state;
		segment->start_ns = from_ns;
	}
	segment->end_ns = to_ns;
	if (!segment->lsn_from)
		segment->lsn_from = slice->lsn_from;
	if (slice->lsn_to)
		segment->lsn_to = slice->lsn_to;
	segment->bytes += m->carried_bytes;
	m->carried_bytes = 0;
	if (m->model->inside || slice->clipped)
		segment->bytes += slice->bytes;
	/* In the loop each turn says what it sent; without turns (level 1) nothing does. */
	segment->bytes_unknown |= m->untold && slice->state == WS_STATE_COMMAND;
	if (slice->detail)
		segment->detail = slice->detail;
}

static void fill(struct ws_machine *m, const struct ws_slice *slice)
{
	const struct ws_model *model = m->model;
	uint64_t before = m->s.accounted_ns, to = slice->until_ns, spent;

	if (to <= before)
		return;
	spent = ws_timeline_spend(m, slice->state, to);
	if (!spent) {
		/* Bytes count where their record lies, as those of the session do. */
		if (model->inside)
			m->carried_bytes += slice->bytes;
		else if (slice->clipped) /* it lies behind the window */
			m->segment.bytes += slice->bytes;
		return;
	}
	if (to > model->to_ns)
		to = model->to_ns;
	if (model->observer.segment)
		show(m, slice, to - spent, to);
}

/* What is known to have been something else is cut out. */
static void fill_around(struct ws_machine *m, const struct ws_slice *slice)
{
	/* What was sent, and from where to where, goes with the last part. */
	struct ws_slice part = {
		.state = slice->state,
		.until_ns = slice->until_ns,
		.lsn_from = slice->lsn_from,
		.lsn_to = slice->lsn_from,
		.detail = slice->detail,
	};

	while (m->stretch_count && m->s.accounted_ns < slice->until_ns &&
	       ws_blocked_cut(m, slice->state, m->s.accounted_ns, &part)) {
		if (part.until_ns >= slice->until_ns)
			break;
		fill(m, &part);
		part.state = slice->state;
		part.until_ns = slice->until_ns;
		part.detail = slice->detail;
	}
	part.lsn_to = slice->lsn_to;
	part.bytes = slice->bytes;
	part.clipped = slice->clipped;
	fill(m, &part);
}

void ws_timeline_fill(struct ws_machine *m, const struct ws_slice *slice)
{
	if (m->stretch_count)
		fill_around(m, slice);
	else
		fill(m, slice);
}

void ws_timeline_fill_off_cpu(struct ws_machine *m, struct ws_slice *slice, uint64_t ns)
{
	uint64_t until_ns = slice->until_ns;
	struct ws_slice off = { .state = WS_STATE_OFF_CPU, .until_ns = until_ns };

	if (!ns) {
		ws_timeline_fill(m, slice);
		return;
	}
	slice->until_ns -= ns < until_ns ? ns : until_ns;
	off.lsn_from = off.lsn_to = slice->lsn_to;
	if (slice->until_ns <= m->s.accounted_ns) { /* all of it: what it did goes with that */
		off.lsn_from = slice->lsn_from;
		off.bytes = slice->bytes;
		off.clipped = slice->clipped;
	}
	ws_timeline_fill(m, slice);
	slice->until_ns = until_ns;
	off.detail = ws_state_name(slice->state);
	ws_timeline_fill(m, &off);
}

uint64_t ws_timeline_take_off_cpu(struct ws_machine *m)
{
	uint64_t sum = 0;

	if (!m->off_cpu)
		return 0;
	for (int i = 0; i < WS_STAGE_COUNT; i++) {
		sum += m->off_cpu_ns[i];
		m->off_cpu_ns[i] = 0;
	}
	m->off_cpu = false;
	return sum;
}

void ws_timeline_enter(struct ws_machine *m, enum ws_state state, uint64_t time_ns)
{
	/* A wait in the send loop that no turn has told of yet: nothing is sent meanwhile. */
	uint64_t lsn = m->in_loop && m->wait != WS_WAIT_NONE ? m->s.sent_lsn : 0;
	struct ws_slice slice = {
		.state = m->s.state,
		.until_ns = time_ns,
		.lsn_from = lsn,
		.lsn_to = lsn,
		.detail = m->state_detail,
	};

	/* A log tells when it began, failed and ended, and nothing of what it does in between. */
	if (m->s.logged && state != WS_STATE_STARTING && state != WS_STATE_EXITING &&
	    state != WS_STATE_LOST)
		state = WS_STATE_UNKNOWN;
	ws_timeline_fill_off_cpu(m, &slice, ws_timeline_take_off_cpu(m));
	if (m->s.state == state)
		return;
	m->s.state = state;
	m->untold = false;
	m->state_detail = NULL;
	m->s.state_since_ns = m->s.accounted_ns;
}
