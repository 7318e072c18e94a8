/* SPDX-License-Identifier: BSD-2-Clause */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/util.h"
#include "diagnose/diagnose.h"
#include "export/export.h"
#include "session/model.h"

#define FORMATS 2

struct fuzz_show {
	struct ws_model *model;
	struct ws_diagnosis *diagnosis;
	struct ws_export ex[FORMATS][WS_VIEW_DOCTOR];
	struct ws_export explain[FORMATS], told[FORMATS];
	struct ws_story story; /* of the first session there is */
	const struct ws_session *first;
	FILE *out;
	uint64_t last_ns;
};

static void on_segment(void *arg, const struct ws_session *session,
		       const struct ws_segment *segment)
{
	struct fuzz_show *show = arg;

	if (session == show->first)
		ws_story_segment(&show->story, segment);
	for (size_t f = 0; f < FORMATS; f++)
		ws_export_segment(&show->ex[f][WS_VIEW_TIMELINE], session, segment);
}

static void on_command(void *arg, const struct ws_session *session,
		       const struct ws_command *command)
{
	struct fuzz_show *show = arg;

	if (session == show->first && ws_story_command(&show->story, command))
		abort();
	for (size_t f = 0; f < FORMATS; f++)
		ws_export_command(&show->ex[f][WS_VIEW_HISTORY], session, command);
	if (ws_diagnosis_command(show->diagnosis, session, command))
		abort();
}

static int on_row(void *arg, const struct ws_explained *explained)
{
	struct fuzz_show *show = arg;

	for (size_t f = 0; f < FORMATS; f++)
		ws_export_explained(&show->explain[f], explained);
	return 0;
}

static void print_session(struct fuzz_show *show, const struct ws_session *session)
{
	for (size_t f = 0; f < FORMATS; f++) {
		ws_export_session(&show->ex[f][WS_VIEW_SESSIONS], session);
		for (int m = 0; m < WS_METRIC_COUNT; m++) {
			if (session->hist[m].count)
				ws_export_hist(&show->ex[f][WS_VIEW_HIST], session,
					       (enum ws_metric)m, &session->hist[m]);
		}
	}
}

static void explain(struct fuzz_show *show, struct ws_session *const *sessions, size_t count)
{
	const struct ws_session **copy = calloc(count + 1, sizeof(*copy));

	if (!copy)
		abort();
	for (size_t i = 0; i < count; i++)
		copy[i] = sessions[i];
	ws_diagnosis_explain(show->diagnosis, copy, count, true, on_row, show);
	free(copy);
	for (size_t f = 0; f < FORMATS; f++) {
		ws_export_end(&show->explain[f]);
		ws_export_release(&show->explain[f]);
	}
}

static int64_t wall(const void *arg, uint64_t mono_ns)
{
	return ws_model_wall_ns(((const struct fuzz_show *)arg)->model, mono_ns);
}

struct fuzz_show *fuzz_show_new(void)
{
	struct fuzz_show *show = calloc(1, sizeof(*show));
	const struct ws_observer observer = { .arg = show,
					      .segment = on_segment,
					      .command = on_command };

	if (!show)
		abort();
	show->model = ws_model_new(&observer);
	show->out = fopen("/dev/null", "we");
	show->diagnosis = ws_diagnosis_new(0, UINT64_MAX);
	if (!show->model || !show->out || !show->diagnosis)
		abort();
	for (size_t f = 0; f < FORMATS; f++) {
		const struct ws_export_options plain = { .out = show->out,
							 .screen = { .width = 80, .utf8 = true },
							 .wall_ns = wall,
							 .wall_arg = show };

		if (ws_export_begin(&show->explain[f], f ? &ws_format_json : &ws_format_text,
				    WS_VIEW_EXPLAIN, &plain) ||
		    ws_export_begin(&show->told[f], f ? &ws_format_json : &ws_format_text,
				    WS_VIEW_SHOW, &plain))
			abort();
		for (int view = 0; view < WS_VIEW_DOCTOR; view++) {
			const struct ws_export_options options = {
				.out = show->out,
				.screen = { .width = 80, .utf8 = true, .verbose = view & 1 },
				.to_ns = UINT64_MAX,
				.wall_ns = wall,
				.wall_arg = show,
			};

			if (ws_export_begin(&show->ex[f][view],
					    f ? &ws_format_json : &ws_format_text,
					    (enum ws_view)view, &options))
				abort();
		}
	}
	return show;
}

static void tell_first(struct fuzz_show *show)
{
	struct ws_show told = { .session = show->first, .story = &show->story };

	if (show->first)
		ws_story_end(&show->story, show->first, show->last_ns);
	for (size_t f = 0; f < FORMATS; f++) {
		if (show->first)
			ws_export_show(&show->told[f], &told);
		ws_export_end(&show->told[f]);
		ws_export_release(&show->told[f]);
	}
	if (show->first)
		ws_story_deinit(&show->story);
}

static void listen(struct fuzz_show *show, const struct ws_rec *rec)
{
	struct ws_session *const *sessions;
	size_t count;

	sessions = ws_model_sessions(show->model, &count);
	if (!show->first && count) {
		show->first = sessions[0];
		/* Every other one around the moment at which it was seen. */
		ws_story_init(&show->story, show->first->pid, show->first->start_ns, 0, UINT64_MAX,
			      rec->seq & 1 ? rec->time_ns : 0);
	}
	if (show->first && ws_story_record(&show->story, show->first, rec))
		abort();
}

int fuzz_show_feed(struct fuzz_show *show, const struct ws_rec *rec)
{
	if (rec->time_ns > show->last_ns)
		show->last_ns = rec->time_ns;
	for (size_t f = 0; f < FORMATS; f++)
		ws_export_event(&show->ex[f][WS_VIEW_TRACE], NULL, rec);
	if (ws_model_feed(show->model, rec))
		return -1;
	listen(show, rec);
	return ws_diagnosis_feed(show->diagnosis, show->model, rec);
}

void fuzz_show_end(struct fuzz_show *show)
{
	struct ws_session *const *sessions;
	size_t count;

	ws_model_finish(show->model, show->last_ns);
	sessions = ws_model_sessions(show->model, &count);
	for (size_t i = 0; i < count; i++)
		print_session(show, sessions[i]);
	explain(show, sessions, count);
	tell_first(show);
	for (size_t f = 0; f < FORMATS; f++) {
		for (int view = 0; view < WS_VIEW_DOCTOR; view++) {
			ws_export_end(&show->ex[f][view]);
			ws_export_release(&show->ex[f][view]);
		}
	}
	ws_diagnosis_free(show->diagnosis);
	ws_model_free(show->model);
	fclose(show->out);
	free(show);
}
