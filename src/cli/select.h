/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * select.h: which sessions of a model the user asked for.
 */
#ifndef WS_CLI_SELECT_H
#define WS_CLI_SELECT_H

#include "base/text.h"
#include "cli/options.h"
#include "event/idmap.h"
#include "event/order.h"

/* Does a session match, by what is known of it now? More may become known later (kind, slot). */
bool ws_filter_match(const struct ws_filter *filter, const struct ws_session *session,
		     const struct ws_rec_server *server);
/* What is left of the filter while tracing, where --postmaster=DATADIR and --postgres have chosen
 * among the servers themselves: their paths may be of another mount namespace. */
struct ws_filter ws_filter_traced(const struct ws_filter *filter);
/* Does the filter restrict sessions at all? */
bool ws_filter_any(const struct ws_filter *filter);
/* Equal filters have equal hashes; 0: it does not restrict them. */
uint32_t ws_filter_hash(const struct ws_filter *filter);

/* A session of the model and what is decided about it. */
struct ws_selected {
	struct ws_id id;
	const struct ws_session *session;
	bool match;
	struct ws_buf held; /* records of a session that may still turn out to match (ws_gate) */
	uint64_t dropped, dropped_from_ns; /* older ones there was no room for */
};

/* Finds sessions of a model by identity. Zero-initialise. */
struct ws_selection {
	struct ws_idmap map;
	size_t known; /* of the model's sessions */
};
void ws_selection_deinit(struct ws_selection *selection);
/* NULL if the model has no such session (or memory ran out: errno is ENOMEM). */
struct ws_selected *ws_selection_find(struct ws_selection *selection, const struct ws_model *model,
				      uint32_t pid, uint64_t start_ns);
/* Decides for all sessions of a model that is complete. Returns -1 when memory ran out. */
int ws_selection_decide(struct ws_selection *selection, const struct ws_model *model,
			const struct ws_filter *filter);

/*
 * Lets through the records of sessions that match, in a live stream. A session's kind and slot are
 * known only after its first commands: its records are held until then, at most WS_GATE_HELD bytes
 * of them, after which the oldest are dropped; if it matches in the end, a gap stands in their
 * place. Records that belong to no session always pass; a STOP counts what did not pass by kind.
 */
#define WS_GATE_HELD (256 * 1024)
struct ws_gate; /* opaque */

/* `sink` gets what passes. Without any restriction, and if no model is wanted, none is kept. */
struct ws_gate *ws_gate_new(const struct ws_filter *filter, bool want_model, struct ws_sink sink);
void ws_gate_free(struct ws_gate *gate);
/* Returns what the sink returned, or -1 when memory ran out. */
int ws_gate_feed(struct ws_gate *gate, const struct ws_rec *rec);
const struct ws_model *ws_gate_model(const struct ws_gate *gate); /* NULL if none is kept */
/* The session of a record, NULL if there is none. */
const struct ws_session *ws_gate_session(struct ws_gate *gate, const struct ws_rec *rec);

#endif
