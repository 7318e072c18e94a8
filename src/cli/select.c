/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/select.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/util.h"

struct ws_filter ws_filter_traced(const struct ws_filter *f)
{
	struct ws_filter traced = *f;

	traced.datadir = NULL;
	traced.postgres = NULL;
	return traced;
}

bool ws_filter_any(const struct ws_filter *f)
{
	return f->pid || f->postmaster_pid || f->datadir || f->postgres || f->app || f->slot ||
	       f->kind || f->session;
}

static void hash_text(XXH64_state_t *state, const char *text)
{
	/* With its end, and none is not the empty one. */
	XXH64_update(state, text ? "+" : "-", 1);
	if (text)
		XXH64_update(state, text, strlen(text) + 1);
}

uint32_t ws_filter_hash(const struct ws_filter *f)
{
	const uint32_t numbers[] = { f->pid, f->postmaster_pid, (uint32_t)f->kind };
	XXH64_state_t *state;
	uint32_t hash = 1;

	if (!ws_filter_any(f))
		return 0;
	state = XXH64_createState();
	if (!state)
		return hash; /* out of memory: only that it is restricted is known */
	XXH64_reset(state, 0);
	XXH64_update(state, numbers, sizeof(numbers));
	hash_text(state, f->datadir);
	hash_text(state, f->postgres);
	hash_text(state, f->app);
	hash_text(state, f->slot);
	hash_text(state, f->session);
	hash = (uint32_t)XXH64_digest(state);
	XXH64_freeState(state);
	return hash ? hash : 1;
}

/* Equal as they stand (minus trailing slashes), or once links are followed. */
static bool same_path(const char *given, const char *recorded)
{
	char real[PATH_MAX];
	size_t len = strlen(given);

	while (len > 1 && given[len - 1] == '/')
		len--;
	if (strncmp(given, recorded, len) == 0 && recorded[len] == '\0')
		return true;
	return realpath(given, real) && strcmp(real, recorded) == 0;
}

static bool match_server(const struct ws_filter *f, const struct ws_session *session,
			 const struct ws_rec_server *server)
{
	/* Its first record was lost, and whose it is with that. What is known of it, the loss at
	 * least, is not to be lost as well. */
	if (!(session->valid & WS_VALID_PARENT))
		return true;
	if (f->postmaster_pid && session->postmaster_pid != f->postmaster_pid)
		return false;
	if (!f->datadir && !f->postgres)
		return true;
	if (!server)
		return false;
	if (f->datadir && !same_path(f->datadir, server->datadir))
		return false;
	return !f->postgres || same_path(f->postgres, server->file);
}

bool ws_filter_match(const struct ws_filter *f, const struct ws_session *session,
		     const struct ws_rec_server *server)
{
	char id[WS_SESSION_ID_TEXT];

	if (f->pid && session->pid != f->pid)
		return false;
	if (f->kind && session->kind != f->kind)
		return false;
	if (f->app &&
	    (!(session->valid & WS_VALID_APPLICATION) || strcmp(session->application, f->app) != 0))
		return false;
	if (f->slot && strcmp(session->slot, f->slot) != 0)
		return false;
	if (f->session && strcmp(ws_session_id(session, id), f->session) != 0)
		return false;
	return match_server(f, session, server);
}

static void release_selected(struct ws_id *id)
{
	struct ws_selected *selected = (struct ws_selected *)id;

	ws_buf_deinit(&selected->held);
	free(selected);
}

void ws_selection_deinit(struct ws_selection *selection)
{
	ws_idmap_deinit(&selection->map, release_selected);
	*selection = (struct ws_selection){ 0 };
}

/* Adds the sessions the model has got since; it only ever appends. */
static int update(struct ws_selection *selection, const struct ws_model *model)
{
	size_t count;
	struct ws_session *const *sessions = ws_model_sessions(model, &count);

	for (; selection->known < count; selection->known++) {
		const struct ws_session *session = sessions[selection->known];
		struct ws_selected *selected = calloc(1, sizeof(*selected));

		if (!selected)
			return -1;
		selected->session = session;
		selected->id.pid = session->pid;
		selected->id.start_ns = session->start_ns;
		if (ws_idmap_add(&selection->map, &selected->id)) {
			free(selected);
			return -1;
		}
	}
	return 0;
}

struct ws_selected *ws_selection_find(struct ws_selection *selection, const struct ws_model *model,
				      uint32_t pid, uint64_t start_ns)
{
	struct ws_id *id = ws_idmap_find(&selection->map, pid, start_ns);

	errno = 0;
	if (!id) {
		if (update(selection, model)) {
			errno = ENOMEM;
			return NULL;
		}
		id = ws_idmap_find(&selection->map, pid, start_ns);
	}
	return (struct ws_selected *)id;
}

int ws_selection_decide(struct ws_selection *selection, const struct ws_model *model,
			const struct ws_filter *filter)
{
	size_t count;
	struct ws_session *const *sessions = ws_model_sessions(model, &count);

	if (update(selection, model))
		return -1;
	for (size_t i = 0; i < count; i++) {
		struct ws_selected *selected = ws_selection_find(selection, model, sessions[i]->pid,
								 sessions[i]->start_ns);

		if (selected)
			selected->match = ws_filter_match(filter, sessions[i],
							  ws_model_server(model, sessions[i]));
	}
	return 0;
}

struct ws_gate {
	struct ws_filter filter;
	bool restricts;
	struct ws_sink sink;
	struct ws_model *model;
	struct ws_selection selection;
	uint64_t filtered_of[WS_STOP_KINDS]; /* dropped for good; what is held is not among them */
};

struct ws_gate *ws_gate_new(const struct ws_filter *filter, bool want_model, struct ws_sink sink)
{
	const struct ws_observer nobody = { 0 };
	struct ws_gate *gate = calloc(1, sizeof(*gate));

	if (!gate)
		return NULL;
	gate->filter = *filter;
	gate->restricts = ws_filter_any(filter);
	gate->sink = sink;
	if (want_model || gate->restricts) {
		gate->model = ws_model_new(&nobody);
		if (!gate->model) {
			free(gate);
			return NULL;
		}
	}
	return gate;
}

void ws_gate_free(struct ws_gate *gate)
{
	if (!gate)
		return;
	ws_selection_deinit(&gate->selection);
	ws_model_free(gate->model);
	free(gate);
}

const struct ws_model *ws_gate_model(const struct ws_gate *gate)
{
	return gate->model;
}

const struct ws_session *ws_gate_session(struct ws_gate *gate, const struct ws_rec *rec)
{
	struct ws_selected *selected = NULL;

	if (gate->model && rec->pid && rec->start_ns)
		selected =
			ws_selection_find(&gate->selection, gate->model, rec->pid, rec->start_ns);
	return selected ? selected->session : NULL;
}

static size_t padded_size(const struct ws_rec *rec)
{
	return (rec->size + 7u) & ~(size_t)7;
}

static void count_filtered(uint64_t of[WS_STOP_KINDS], const struct ws_rec *rec)
{
	if (rec->kind < WS_STOP_KINDS)
		of[rec->kind]++;
}

/* Numbers of the session's sequence that a record stands for. */
static uint64_t numbers_of(const struct ws_rec *rec)
{
	if (rec->kind == WS_KIND_GAP)
		return ((const struct ws_rec_gap *)rec)->lost;
	return rec->kind < WS_KIND_SERVER;
}

/* Drops what is held of a session in front of `upto`. */
static void drop_held(struct ws_gate *gate, struct ws_selected *selected, size_t upto)
{
	struct ws_buf *held = &selected->held;

	if (!upto) /* there may be no buffer */
		return;
	for (size_t at = 0; at < upto;) {
		const struct ws_rec *rec = (const void *)(held->data + at);

		count_filtered(gate->filtered_of, rec);
		if (!selected->dropped)
			selected->dropped_from_ns = rec->time_ns;
		selected->dropped += numbers_of(rec);
		at += padded_size(rec);
	}
	if (upto) {
		memmove(held->data, held->data + upto, held->len - upto);
		held->len -= upto;
	}
}

/* Keeps a record, aligned as records must be. */
static int hold(struct ws_gate *gate, struct ws_selected *selected, const struct ws_rec *rec)
{
	static const char zeros[8];
	size_t padded = padded_size(rec), drop = 0;
	struct ws_buf *held = &selected->held;

	/* Half of it at once: moving the rest is paid for by many records. */
	if (held->len + padded > WS_GATE_HELD)
		while (held->len - drop > WS_GATE_HELD / 2)
			drop += padded_size((const void *)(held->data + drop));
	if (drop)
		drop_held(gate, selected, drop);
	return ws_buf_add(held, rec, rec->size) || ws_buf_add(held, zeros, padded - rec->size) ? -1
											       : 0;
}

/* What was dropped of a session that is wanted after all is missing. */
static int release_gap(struct ws_gate *gate, struct ws_selected *selected,
		       const struct ws_rec *next)
{
	struct ws_rec_gap gap = { .h = *next,
				  .from_ns = selected->dropped_from_ns,
				  .to_ns = next->time_ns,
				  .lost = selected->dropped,
				  .cause = WS_GAP_UNWRITTEN };

	gap.h.kind = WS_KIND_GAP;
	gap.h.size = sizeof(gap);
	gap.h.flags = 0;
	gap.h.seq = next->seq - (uint32_t)selected->dropped;
	selected->dropped = 0;
	return gate->sink.fn(gate->sink.arg, &gap.h);
}

static int release_held(struct ws_gate *gate, struct ws_selected *selected)
{
	struct ws_buf held = selected->held;
	int rc = 0;

	selected->held = (struct ws_buf){ 0 };
	if (selected->dropped && held.len)
		rc = release_gap(gate, selected, (const void *)held.data);
	for (size_t at = 0; at < held.len && rc == 0;) {
		const struct ws_rec *rec = (const void *)(held.data + at);

		at += padded_size(rec);
		rc = gate->sink.fn(gate->sink.arg, rec);
	}
	ws_buf_deinit(&held);
	return rc;
}

static int feed_matching(struct ws_gate *gate, struct ws_selected *selected,
			 const struct ws_rec *rec)
{
	if (selected->held.len && release_held(gate, selected))
		return -1;
	return gate->sink.fn(gate->sink.arg, rec);
}

/* The books of the whole run are in its last record: what was dropped here belongs there, too. */
static int feed_stop(struct ws_gate *gate, const struct ws_rec *rec)
{
	struct ws_session *const *sessions;
	struct ws_rec_stop stop;
	size_t count;

	if (rec->size < sizeof(stop))
		return gate->sink.fn(gate->sink.arg, rec);
	memcpy(&stop, rec, sizeof(stop));
	stop.h.size = sizeof(stop);
	sessions = ws_model_sessions(gate->model, &count);
	for (size_t i = 0; i < count; i++) {
		struct ws_selected *selected = ws_selection_find(
			&gate->selection, gate->model, sessions[i]->pid, sessions[i]->start_ns);

		if (selected)
			drop_held(gate, selected, selected->held.len);
	}
	for (int kind = 0; kind < WS_STOP_KINDS; kind++)
		stop.filtered_of[kind] += gate->filtered_of[kind];
	return gate->sink.fn(gate->sink.arg, &stop.h);
}

static int pass(struct ws_gate *gate, const struct ws_rec *rec)
{
	struct ws_selected *selected;

	if (gate->restricts && rec->kind == WS_KIND_STOP)
		return feed_stop(gate, rec);
	if (!gate->restricts || !rec->pid || !rec->start_ns)
		return gate->sink.fn(gate->sink.arg, rec);
	selected = ws_selection_find(&gate->selection, gate->model, rec->pid, rec->start_ns);
	if (!selected) {
		count_filtered(gate->filtered_of, rec);
		return errno == ENOMEM ? -1 : 0;
	}
	/* A session that matched once stays: its kind may change with its commands. */
	if (!selected->match)
		selected->match = ws_filter_match(&gate->filter, selected->session,
						  ws_model_server(gate->model, selected->session));
	if (selected->match)
		return feed_matching(gate, selected, rec);
	return hold(gate, selected, rec);
}

/* A session that has ended is not asked for again: what runs for days keeps only those that run. */
static void forget_ended(struct ws_gate *gate, const struct ws_rec *rec)
{
	struct ws_selected *selected =
		(struct ws_selected *)ws_idmap_find(&gate->selection.map, rec->pid, rec->start_ns);

	if (!selected || !selected->session->end_ns)
		return;
	drop_held(gate, selected, selected->held.len);
	ws_model_forget(gate->model, selected->session);
	gate->selection.known--;
	ws_idmap_remove(&gate->selection.map, &selected->id);
	release_selected(&selected->id);
}

int ws_gate_feed(struct ws_gate *gate, const struct ws_rec *rec)
{
	int rc;

	if (gate->model && ws_model_feed(gate->model, rec))
		return -1;
	rc = pass(gate, rec);
	if (gate->model && (rec->kind == WS_KIND_EXIT || rec->kind == WS_KIND_GAP))
		forget_ended(gate, rec);
	return rc;
}
