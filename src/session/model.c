/* SPDX-License-Identifier: BSD-2-Clause */
#include "session/model.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "event/order.h"
#include "session/machine.h"
#include "session/redact.h"

/* USER_HZ, the unit of field 22 of /proc/PID/stat: 100 on every architecture walscope is built for.
 */
#define USER_HZ 100
#define TICK_NS ((uint64_t)(1000000000 / USER_HZ))

static struct ws_machine *machine_of_id(struct ws_id *id)
{
	return (struct ws_machine *)((char *)id - offsetof(struct ws_machine, id));
}

struct ws_model *ws_model_new(const struct ws_observer *observer)
{
	struct ws_model *model = calloc(1, sizeof(*model));

	if (!model)
		return NULL;
	if (observer)
		model->observer = *observer;
	model->to_ns = UINT64_MAX;
	TAILQ_INIT(&model->open);
	return model;
}

static void free_machine(struct ws_machine *m)
{
	for (int i = 0; i < WS_METRIC_COUNT; i++)
		ws_hist_deinit(&m->s.hist[i]);
	ws_command_deinit(m);
	ws_blocked_deinit(m);
	ws_lag_deinit(m);
	free(m);
}

void ws_model_free(struct ws_model *model)
{
	if (!model)
		return;
	ws_idmap_deinit(&model->by_id, NULL);
	for (size_t i = 0; i < model->session_count; i++)
		free_machine(ws_machine_of(model->sessions[i]));
	free(model->sessions);
	free(model->servers);
	free(model->clocks);
	free(model);
}

void ws_model_set_window(struct ws_model *model, uint64_t from_ns, uint64_t to_ns)
{
	model->from_ns = from_ns;
	model->to_ns = to_ns;
}

/* Where a session of which the first record is missing began: at its fork, or with the stream. */
uint64_t ws_model_begin_ns(const struct ws_model *model, const struct ws_rec *first)
{
	const struct ws_clock_pair *pair = model->clocks;
	uint64_t begin = first->time_ns, since_boot;

	/* start_ns is CLOCK_BOOTTIME, which went on during suspend. */
	if (!model->clock_count || pair->boot_ns < pair->mono_ns)
		return begin;
	since_boot = pair->boot_ns - pair->mono_ns;
	if (first->start_ns >= since_boot && first->start_ns - since_boot < begin)
		begin = first->start_ns - since_boot;
	return begin > model->first_ns ? begin : model->first_ns;
}

static struct ws_machine *add_machine(struct ws_model *model, const struct ws_rec *rec)
{
	struct ws_machine *m = calloc(1, sizeof(*m));
	struct ws_session **place;

	if (!m)
		return NULL;
	place = ws_array_grow(&model->sessions, &model->session_count, &model->session_cap,
			      sizeof(*model->sessions));
	if (!place)
		goto fail;
	m->id.pid = rec->pid;
	m->id.start_ns = rec->start_ns;
	if (ws_idmap_add(&model->by_id, &m->id)) {
		model->session_count--;
		goto fail;
	}
	m->model = model;
	m->is_open = true;
	TAILQ_INSERT_TAIL(&model->open, m, open);
	ws_machine_init(m, rec);
	if (model->passed)
		ws_machine_stand(m);
	*place = &m->s;
	return m;
fail:
	free(m);
	return NULL;
}

void ws_model_close(struct ws_machine *m)
{
	if (m->is_open)
		TAILQ_REMOVE(&m->model->open, m, open);
	m->is_open = false;
}

static void feed_session(struct ws_model *model, const struct ws_rec *rec)
{
	struct ws_id *id = ws_idmap_find(&model->by_id, rec->pid, rec->start_ns);
	struct ws_machine *m = id ? machine_of_id(id) : add_machine(model, rec);

	if (m)
		ws_machine_feed(m, rec);
	else
		model->failed = true;
}

/* Says something of a session that is known, and never that there is one. */
static void feed_sampled(struct ws_model *model, const struct ws_rec *rec)
{
	struct ws_id *id = ws_idmap_find(&model->by_id, rec->pid, rec->start_ns);

	if (id)
		ws_machine_feed(machine_of_id(id), rec);
}

static void feed_gap(struct ws_model *model, const struct ws_rec *rec)
{
	const struct ws_rec_gap *gap = (const struct ws_rec_gap *)rec;
	struct ws_machine *m;

	if (rec->size < sizeof(*gap))
		return;
	if (gap->from_ns < model->to_ns && gap->to_ns >= model->from_ns)
		model->lost += ws_gap_missing(gap);
	if (rec->pid) {
		feed_session(model, rec);
		return;
	}
	/* Part of a recording is missing: whatever any session did in it. */
	if (gap->cause != WS_GAP_TORN && gap->cause != WS_GAP_UNWRITTEN &&
	    gap->cause != WS_GAP_UNRECORDED)
		return;
	TAILQ_FOREACH(m, &model->open, open)
	if (!m->s.end_ns)
		ws_machine_gap(m, gap);
}

static void feed_server(struct ws_model *model, const struct ws_rec *rec)
{
	const struct ws_rec_server *r = (const struct ws_rec_server *)rec;
	struct ws_server_seen *seen = NULL;

	if (rec->size < sizeof(*r))
		return;
	for (size_t i = 0; i < model->server_count; i++)
		if (model->servers[i].rec.h.server == rec->server &&
		    model->servers[i].rec.h.pid == rec->pid)
			seen = &model->servers[i];
	if (!seen)
		seen = ws_array_grow(&model->servers, &model->server_count, &model->server_cap,
				     sizeof(*model->servers));
	if (seen)
		memcpy(&seen->rec, r, sizeof(seen->rec));
	else
		model->failed = true;
}

/* pmdie (postmaster.c): SIGTERM is a smart, SIGINT a fast shutdown; SIGQUIT is an immediate one,
 * and what else ends a postmaster leaves no time either. */
static void ask_postmaster(struct ws_model *model, const struct ws_rec_signal *r)
{
	unsigned int asked = WS_ASKED_SHUTDOWN;

	if (r->signal != SIGTERM && r->signal != SIGINT)
		asked |= WS_ASKED_IMMEDIATE;
	for (size_t i = 0; i < model->server_count; i++)
		if (model->servers[i].rec.h.pid == r->target_pid)
			model->servers[i].asked |= asked;
}

static void feed_signal(struct ws_model *model, const struct ws_rec *rec)
{
	const struct ws_rec_signal *r = (const struct ws_rec_signal *)rec;
	struct ws_id *id;

	if (rec->size < sizeof(*r))
		return;
	id = ws_idmap_find(&model->by_id, r->target_pid, r->target_start_ns);
	if (!id) {
		ask_postmaster(model, r);
		return;
	}
	if (ws_blocked_is_signal(r->signal))
		ws_blocked_signal(machine_of_id(id), r);
	else
		ws_exit_add_signal(machine_of_id(id), r);
}

static void feed_slot(struct ws_model *model, const struct ws_rec *rec)
{
	struct ws_machine *m, *next;

	if (rec->size < sizeof(struct ws_rec_slot))
		return;
	for (m = TAILQ_FIRST(&model->open); m; m = next) {
		next = TAILQ_NEXT(m, open);
		ws_slot_report(m, (const struct ws_rec_slot *)rec);
	}
}

/*
 * The two clocks of a pair are read one after the other, so that each pair is off by some hundred
 * ns, by another amount each. Taking each as a step would put segments that follow each other on a
 * terminal's wall clock some ns apart: only what is more than noise counts.
 */
#define CLOCK_NOISE_NS 1000000

static bool is_noise(const struct ws_clock_pair *a, const struct ws_rec_clock *b)
{
	int64_t drift = (int64_t)((uint64_t)b->wall_ns - (uint64_t)a->wall_ns -
				  (b->h.time_ns - a->mono_ns));

	return drift > -CLOCK_NOISE_NS && drift < CLOCK_NOISE_NS;
}

static void feed_clock(struct ws_model *model, const struct ws_rec *rec)
{
	const struct ws_rec_clock *r = (const struct ws_rec_clock *)rec;
	size_t at = model->clock_count;

	if (rec->size < sizeof(*r))
		return;
	while (at && model->clocks[at - 1].mono_ns > rec->time_ns)
		at--;
	if (at && is_noise(&model->clocks[at - 1], r))
		return;
	if (!ws_array_grow(&model->clocks, &model->clock_count, &model->clock_cap,
			   sizeof(*model->clocks))) {
		model->failed = true;
		return;
	}
	memmove(&model->clocks[at + 1], &model->clocks[at],
		(model->clock_count - 1 - at) * sizeof(*model->clocks));
	model->clocks[at] = (struct ws_clock_pair){ rec->time_ns, r->wall_ns, r->boot_ns };
}

/* The window is over: what comes behind is nothing that was known there. */
static void pass(struct ws_model *model)
{
	if (model->passed)
		return;
	model->passed = true;
	for (size_t i = 0; i < model->session_count; i++)
		ws_machine_stand(ws_machine_of(model->sessions[i]));
}

int ws_model_feed(struct ws_model *model, const struct ws_rec *rec)
{
	if (rec->time_ns >= model->to_ns)
		pass(model);
	model->inside = rec->time_ns >= model->from_ns && rec->time_ns < model->to_ns;
	if (!model->first_ns)
		model->first_ns = rec->time_ns;
	switch (rec->kind) {
	case WS_KIND_GAP:
		feed_gap(model, rec);
		break;
	case WS_KIND_SERVER:
		feed_server(model, rec);
		break;
	case WS_KIND_CLOCK:
		feed_clock(model, rec);
		break;
	case WS_KIND_NOTE:
		if (rec->size >= sizeof(struct ws_rec_note) + sizeof(WS_REDACTED_NOTE) &&
		    !memcmp(((const struct ws_rec_note *)rec)->text, WS_REDACTED_NOTE,
			    sizeof(WS_REDACTED_NOTE)))
			model->redacted = true;
		break;
	case WS_KIND_SOCKET:
	case WS_KIND_BLOCKED:
	case WS_KIND_PROGRESS:
	case WS_KIND_SAMPLE:
		feed_sampled(model, rec);
		break;
	case WS_KIND_SIGNAL:
		feed_signal(model, rec);
		break;
	case WS_KIND_SLOT:
		feed_slot(model, rec);
		break;
	default:
		if (rec->kind < WS_KIND_SERVER && rec->pid)
			feed_session(model, rec);
	}
	return model->failed ? -1 : 0;
}

int ws_model_finish(struct ws_model *model, uint64_t end_ns)
{
	pass(model);
	model->inside = end_ns >= model->from_ns && end_ns < model->to_ns;
	for (size_t i = 0; i < model->session_count; i++)
		ws_machine_finish(ws_machine_of(model->sessions[i]), end_ns);
	return model->failed ? -1 : 0;
}

struct ws_session *const *ws_model_sessions(const struct ws_model *model, size_t *count)
{
	*count = model->session_count;
	return model->sessions;
}

void ws_model_forget(struct ws_model *model, const struct ws_session *session)
{
	struct ws_machine *m = ws_machine_of(session);
	size_t i = model->session_count;

	/* Those that end are mostly those that began last. */
	while (i && model->sessions[i - 1] != session)
		i--;
	if (!i)
		return;
	memmove(&model->sessions[i - 1], &model->sessions[i],
		(model->session_count - i) * sizeof(struct ws_session *));
	model->session_count--;
	ws_idmap_remove(&model->by_id, &m->id);
	ws_model_close(m);
	free_machine(m);
}

struct ws_server_seen *ws_model_server_seen(struct ws_model *model,
					    const struct ws_session *session)
{
	struct ws_server_seen *parent = NULL, *binary = NULL;

	/* The parent decides: on overlayfs the object of one container may have claimed a session
	 * of another one's server. The same binary at least has the same version. */
	for (size_t i = 0; i < model->server_count; i++) {
		struct ws_server_seen *seen = &model->servers[i];
		bool same = seen->rec.h.server == session->server;

		if (same)
			binary = seen;
		if (seen->rec.h.pid == session->postmaster_pid && (same || !parent))
			parent = seen;
	}
	return parent ? parent : binary;
}

const struct ws_rec_server *ws_model_server(const struct ws_model *model,
					    const struct ws_session *session)
{
	struct ws_server_seen *seen = ws_model_server_seen((struct ws_model *)model, session);

	return seen ? &seen->rec : NULL;
}

int64_t ws_model_wall_ns(const struct ws_model *model, uint64_t mono_ns)
{
	size_t low = 0, high = model->clock_count;

	if (!model->clock_count)
		return 0;
	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (model->clocks[middle].mono_ns <= mono_ns)
			low = middle;
		else
			high = middle;
	}
	return (int64_t)((uint64_t)model->clocks[low].wall_ns + mono_ns -
			 model->clocks[low].mono_ns);
}

const char *ws_session_id_format(uint32_t pid, uint64_t start_ns, char out[WS_SESSION_ID_TEXT])
{
	snprintf(out, WS_SESSION_ID_TEXT, "%" PRIu32 ".%" PRIu64, pid, start_ns / TICK_NS);
	return out;
}

const char *ws_session_id(const struct ws_session *session, char out[WS_SESSION_ID_TEXT])
{
	return ws_session_id_format(session->pid, session->start_ns, out);
}

const char *ws_session_partner(const struct ws_session *session, char out[WS_SESSION_ID_TEXT])
{
	if (!session->partner_pid)
		return NULL;
	return ws_session_id_format(session->partner_pid, session->partner_start_ns, out);
}

bool ws_model_redacted(const struct ws_model *model)
{
	return model->redacted;
}

uint64_t ws_model_lost(const struct ws_model *model)
{
	return model->lost;
}
