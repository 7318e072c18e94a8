/* SPDX-License-Identifier: BSD-2-Clause */
/* The send loop: what its turns say about where the time went, and what was sent. */
#include <stdio.h>

#include "base/util.h"
#include "session/machine.h"

/* How long the loop has to spin, all sent, to be known as waiting for the client's CopyDone. The
 * programs fold turns for as long. */
#define SPIN_NS 10000000ULL

static enum ws_state wait_state(const struct ws_machine *m)
{
	switch (m->wait) {
	case WS_WAIT_WAL:
		/* All was sent: not for WAL any more but for the checkpoint, and for the
		 * standby to confirm (WalSndDone). */
		return m->wait_stopping ? WS_STATE_STOPPING : WS_STATE_WAIT_WAL;
	case WS_WAIT_SOCKET:
		return WS_STATE_SEND_BLOCKED;
	case WS_WAIT_STANDBY:
		return WS_STATE_WAIT_STANDBY;
	default:
		return m->wait_lost ? WS_STATE_LOST : WS_STATE_UNKNOWN;
	}
}

/*
 * A turn that sent all there was, and yet did not wait: with CopyDone sent and not answered,
 * WalSndLoop spins (walsender.c: the sleep asks for !streamingDoneSending). Replies do not end
 * that.
 */
static bool is_quiet(const struct ws_rec_turn *r)
{
	return !(r->h.flags & (WS_TURN_LOGICAL | WS_TURN_PENDING)) && r->wait == WS_WAIT_NONE &&
	       r->sends && r->lsn_from == r->lsn_to;
}

static bool spins(struct ws_machine *m, const struct ws_rec_turn *r)
{
	uint64_t span = r->h.time_ns - r->begin_ns, wait = r->stage_ns[WS_STAGE_WAIT];

	if (wait)
		m->quiet_ns = 0;
	if (!is_quiet(r)) {
		m->quiet_ns = 0;
		return false;
	}
	m->quiet_ns += span > wait ? span - wait : 0;
	return m->quiet_ns >= SPIN_NS && r->turns > 1;
}

static const char *woke_detail(const struct ws_rec_turn *r)
{
	if (!(r->h.flags & WS_TURN_WOKE))
		return NULL;
	if (r->woke & WS_WL_POSTMASTER_DEATH)
		return "ended by the postmaster's death";
	if (r->woke & WS_WL_SOCKET_WRITEABLE)
		return "ended by the socket taking more";
	if (r->woke & WS_WL_SOCKET_READABLE)
		return "ended by a message of the client";
	return r->woke & WS_WL_LATCH_SET ? "ended by the latch" : "ended by its timeout";
}

static const char *reply_detail(struct ws_machine *m, const struct ws_rec_turn *r)
{
	char *text = m->detail[m->detail_turn++ % WS_ARRAY_SIZE(m->detail)];
	char write[WS_LSN_TEXT], flush[WS_LSN_TEXT], apply[WS_LSN_TEXT];

	snprintf(text, sizeof(m->detail[0]), "reply: write=%s flush=%s apply=%s",
		 ws_lsn_format(r->write_lsn, write), ws_lsn_format(r->flush_lsn, flush),
		 ws_lsn_format(r->apply_lsn, apply));
	return text;
}

/* The order in which a turn's stages are laid out; within a record it is not known. */
static const struct {
	enum ws_stage stage;
	enum ws_state state;
} stages[] = {
	{ WS_STAGE_WAIT, WS_STATE_UNKNOWN }, /* as announced */
	{ WS_STAGE_REPLY, WS_STATE_REPLY },   { WS_STAGE_READ, WS_STATE_READ_WAL },
	{ WS_STAGE_DECODE, WS_STATE_DECODE }, { WS_STAGE_PLUGIN, WS_STATE_OUTPUT_PLUGIN },
	{ WS_STAGE_SEND, WS_STATE_SEND },     { WS_STAGE_TAIL, WS_STATE_SEND },
	{ WS_STAGE_OTHER, WS_STATE_SEND }, /* outside the loop: the command */
};

/* The stage in which the position moved. */
static enum ws_stage moving_stage(const struct ws_rec_turn *r)
{
	static const enum ws_stage physical[] = { WS_STAGE_SEND, WS_STAGE_READ, WS_STAGE_TAIL };
	static const enum ws_stage logical[] = { WS_STAGE_DECODE, WS_STAGE_SEND, WS_STAGE_READ };
	const enum ws_stage *order = r->h.flags & WS_TURN_LOGICAL ? logical : physical;

	for (size_t i = 0; i < WS_ARRAY_SIZE(physical); i++)
		if (r->stage_ns[order[i]])
			return order[i];
	return WS_STAGE_OTHER;
}

static enum ws_state stage_state(const struct ws_machine *m, size_t i, bool spin)
{
	if (stages[i].stage == WS_STAGE_WAIT)
		return wait_state(m);
	if (spin)
		return WS_STATE_WAIT_COPYDONE;
	if (stages[i].stage == WS_STAGE_OTHER && !m->in_loop)
		return WS_STATE_COMMAND;
	return stages[i].state;
}

static const char *stage_detail(struct ws_machine *m, const struct ws_rec_turn *r,
				enum ws_stage stage, bool reply)
{
	if (!ws_timeline_wanted(m))
		return NULL;
	if (stage == WS_STAGE_WAIT)
		return woke_detail(r);
	return stage == WS_STAGE_REPLY && reply ? reply_detail(m, r) : NULL;
}

/* Where nobody is told of it, and no other time lies within: each stage goes to its state. */
static void sum_up(struct ws_machine *m, const struct ws_rec_turn *r, bool spin)
{
	uint64_t until = r->begin_ns, end = r->h.time_ns;

	for (size_t i = 0; i < WS_ARRAY_SIZE(stages); i++) {
		uint64_t ns = r->stage_ns[stages[i].stage];

		if (!ns)
			continue;
		until = ns < end - until ? until + ns : end;
		ws_timeline_spend(m, stage_state(m, i, spin), until);
	}
	ws_timeline_spend(m, WS_STATE_UNKNOWN, end);
}

/* Less of waiting for a CPU is told only with a later turn (bpf/emit.h, off_cpu_emit), which may be
 * shorter than that: the rest is for the one behind it. */
#define OFF_CPU_REST_NS 100000ULL

static void keep_off_cpu(struct ws_machine *m)
{
	m->off_cpu = false;
	for (size_t i = 0; i < WS_STAGE_COUNT; i++) {
		if (m->off_cpu_ns[i] > OFF_CPU_REST_NS)
			m->off_cpu_ns[i] = OFF_CPU_REST_NS;
		m->off_cpu |= m->off_cpu_ns[i] != 0;
	}
}

/* Of what it waited for a CPU in a stage, as much as that has room for. */
static uint64_t take_off_cpu(struct ws_machine *m, enum ws_stage stage, uint64_t ns)
{
	uint64_t off = m->off_cpu_ns[stage] < ns ? m->off_cpu_ns[stage] : ns;

	m->off_cpu_ns[stage] -= off;
	return off;
}

static void lay_out(struct ws_machine *m, const struct ws_rec_turn *r, bool reply, bool spin)
{
	bool moved = r->lsn_from && r->lsn_to > r->lsn_from;
	enum ws_stage mover = moved ? moving_stage(r) : WS_STAGE_COUNT;
	struct ws_slice slice = { .until_ns = r->begin_ns, .lsn_from = r->lsn_from };
	uint64_t end = r->h.time_ns;

	if (!ws_timeline_wanted(m) && !m->off_cpu && !m->stretch_count) {
		sum_up(m, r, spin);
		return;
	}
	for (size_t i = 0; i < WS_ARRAY_SIZE(stages); i++) {
		enum ws_stage stage = stages[i].stage;
		uint64_t ns = r->stage_ns[stage];

		if (!ns)
			continue;
		slice.state = stage_state(m, i, spin);
		slice.until_ns = ns < end - slice.until_ns ? slice.until_ns + ns : end;
		slice.lsn_to = stage == mover ? r->lsn_to : slice.lsn_from;
		slice.bytes = stage == mover ? r->lsn_to - r->lsn_from : 0;
		slice.detail = stage_detail(m, r, stage, reply);
		ws_timeline_fill_off_cpu(m, &slice, take_off_cpu(m, stage, ns));
		slice.lsn_from = slice.lsn_to;
	}
	keep_off_cpu(m);
	/* The stages are to add up; what they leave is not hidden. */
	slice = (struct ws_slice){ .state = WS_STATE_UNKNOWN, .until_ns = end };
	ws_timeline_fill(m, &slice);
}

static void after_turn(struct ws_machine *m, const struct ws_rec_turn *r, bool spin)
{
	struct ws_session *s = &m->s;

	bool was_full = m->wait == WS_WAIT_SOCKET;

	ws_machine_set_wait(m, r->wait);
	/* New WAL wakes it, and it finds the socket as full as it was. */
	if (m->wait != WS_WAIT_SOCKET)
		m->full_since_ns = 0;
	else if (!was_full || !m->full_since_ns || r->lsn_to != r->lsn_from)
		m->full_since_ns = s->accounted_ns;
	if (m->wait != WS_WAIT_NONE)
		s->state = wait_state(m);
	else if (spin)
		s->state = WS_STATE_WAIT_COPYDONE;
	else if (!m->in_loop)
		s->state = WS_STATE_COMMAND;
	else
		s->state = r->h.flags & WS_TURN_LOGICAL ? WS_STATE_DECODE : WS_STATE_SEND;
	s->state_since_ns = s->accounted_ns;
	m->state_detail = NULL;
	if (r->lsn_to)
		s->sent_lsn = r->lsn_to;
	if (m->model->inside && r->lsn_from && r->lsn_to > r->lsn_from)
		s->wal_bytes += r->lsn_to - r->lsn_from;
	if (r->h.flags & WS_TURN_WOKE)
		m->woke_by_death = r->woke & WS_WL_POSTMASTER_DEATH;
}

void ws_turn_feed(struct ws_machine *m, const struct ws_rec_turn *r)
{
	const struct ws_rec *rec = &r->h;
	bool reply = (rec->flags & WS_TURN_REPLY) && rec->size >= sizeof(*r);
	struct ws_slice before = {
		.state = m->s.state,
		.until_ns = r->begin_ns,
		.detail = m->state_detail,
	};
	bool spin;

	if (r->begin_ns > rec->time_ns) /* nothing of it can be believed */
		return;
	ws_metrics_turn(m, r, reply);
	/* The reply was read first: it cannot confirm what this turn sends. */
	if (reply) {
		ws_lag_reply(m, r);
		ws_client_listens(m, r->apply_lsn);
	}
	ws_lag_sent(m, r);
	/* XLogSend* runs in the loop only, and no client replies elsewhere; other turns come from
	 * decoding in CREATE_REPLICATION_SLOT. */
	if (!m->in_loop && (r->sends || reply)) {
		m->in_loop = true;
		ws_command_streams(m);
	}
	m->streamed |= m->in_loop;
	m->s.has_wal_bytes |= m->in_loop;
	ws_wire_turn(m, r);
	m->untold = false;
	if (m->in_loop && m->s.kind == WS_SESSION_KIND_UNKNOWN)
		m->s.kind = rec->flags & WS_TURN_LOGICAL ? WS_SESSION_KIND_LOGICAL
							 : WS_SESSION_KIND_PHYSICAL;
	if (m->command.gap && m->command.streaming)
		ws_command_goes_on(m);
	ws_timeline_fill(m, &before);
	spin = spins(m, r);
	lay_out(m, r, reply, spin);
	after_turn(m, r, spin);
}
