/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * view.h: what sessions, history, timeline and hist have in common: two passes over a recording,
 * and an exporter in the middle.
 */
#ifndef WS_CLI_VIEW_H
#define WS_CLI_VIEW_H

#include "cli/replay.h"
#include "export/export.h"

struct ws_view_run {
	struct ws_replay source;
	struct ws_export ex;
	/* Sessions that are wanted and touch the window, by start; there when `finish` is called.
	 */
	const struct ws_session **sessions;
	size_t session_count, session_cap;
	bool failed; /* a callback of the observer could not go on */
	const struct ws_view_ops *ops;
	void *state; /* the command's own */
};

/* A command. Functions return 0, or -1 when memory ran out or the output cannot be written; each
 * may be NULL. Only wanted sessions are told. */
struct ws_view_ops {
	enum ws_view view;
	bool alone;    /* what it says of a session it takes from that session's records ... */
	bool clusters; /* ... and those of its server */
	/* Each record, behind the model. */
	int (*record)(struct ws_view_run *run, const struct ws_model *model,
		      const struct ws_rec *rec);
	int (*command)(struct ws_view_run *run, const struct ws_session *session,
		       const struct ws_command *command);
	int (*segment)(struct ws_view_run *run, const struct ws_session *session,
		       const struct ws_segment *segment);
	int (*finish)(struct ws_view_run *run);
	void (*release)(struct ws_view_run *run);
};

enum ws_exit ws_view_main(const struct ws_options *options, const struct ws_view_ops *ops,
			  struct ws_error *err);

/* The exporter for these options, on stdout. */
void ws_view_screen(const struct ws_options *options, struct ws_export_options *export_options);
const struct ws_format *ws_view_format(const struct ws_options *options);
/* Wall clock of a model, for struct ws_export_options. */
int64_t ws_view_wall(const void *model, uint64_t mono_ns);
/* Fills err with why output failed just now (errno): a closed pipe, a full disk, or memory. */
enum ws_exit ws_view_output_failed(struct ws_error *err);

#endif
