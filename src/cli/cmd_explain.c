/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>

#include "cli/cli.h"
#include "cli/view.h"
#include "diagnose/diagnose.h"

static struct ws_diagnosis *diagnosis_of(struct ws_view_run *run)
{
	const struct ws_replay *source = &run->source;
	bool open = !source->windowed || !source->options->to.kind;

	if (!run->state)
		run->state = ws_diagnosis_new(source->windowed ? source->from_ns : 0,
					      open ? UINT64_MAX : source->to_ns);
	return run->state;
}

static int record(struct ws_view_run *run, const struct ws_model *model, const struct ws_rec *rec)
{
	struct ws_diagnosis *diagnosis = diagnosis_of(run);

	return diagnosis ? ws_diagnosis_feed(diagnosis, model, rec) : -1;
}

static int command(struct ws_view_run *run, const struct ws_session *session,
		   const struct ws_command *c)
{
	struct ws_diagnosis *diagnosis = diagnosis_of(run);

	return diagnosis ? ws_diagnosis_command(diagnosis, session, c) : -1;
}

static int row(void *arg, const struct ws_explained *explained)
{
	struct ws_view_run *run = arg;

	return ws_export_explained(&run->ex, explained);
}

static int finish(struct ws_view_run *run)
{
	struct ws_diagnosis *diagnosis = diagnosis_of(run);
	const struct ws_options *options = run->source.options;

	return diagnosis ? ws_diagnosis_explain(diagnosis, run->sessions, run->session_count,
						!ws_filter_any(&options->filter), row, run)
			 : -1;
}

static void release(struct ws_view_run *run)
{
	ws_diagnosis_free(run->state);
	run->state = NULL;
}

enum ws_exit ws_cmd_explain(const struct ws_options *options, struct ws_error *err)
{
	static const struct ws_view_ops ops = {
		.view = WS_VIEW_EXPLAIN,
		.record = record,
		.command = command,
		.finish = finish,
		.release = release,
	};

	return ws_view_main(options, &ops, err);
}
