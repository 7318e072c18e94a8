/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/view.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/util.h"

const struct ws_format *ws_view_format(const struct ws_options *options)
{
	return options->json ? &ws_format_json : &ws_format_text;
}

void ws_view_screen(const struct ws_options *options, struct ws_export_options *export_options)
{
	export_options->out = stdout;
	ws_screen_detect(&export_options->screen, stdout);
	export_options->screen.verbose = options->verbose > 0;
}

int64_t ws_view_wall(const void *model, uint64_t mono_ns)
{
	return model ? ws_model_wall_ns(model, mono_ns) : 0;
}

enum ws_exit ws_view_output_failed(struct ws_error *err)
{
	int cause = errno;

	if (ferror(stdout))
		ws_error_errno(err, cause ? cause : EIO, "cannot write", "standard output");
	else
		ws_error_errno(err, ENOMEM, "cannot print", NULL);
	return WS_EXIT_FAILED;
}

static void on_command(void *arg, const struct ws_session *session,
		       const struct ws_command *command)
{
	struct ws_view_run *run = arg;

	if (!run->failed && ws_replay_wants(&run->source, session))
		run->failed = run->ops->command(run, session, command) != 0;
}

static void on_segment(void *arg, const struct ws_session *session,
		       const struct ws_segment *segment)
{
	struct ws_view_run *run = arg;

	if (!run->failed && ws_replay_wants(&run->source, session))
		run->failed = run->ops->segment(run, session, segment) != 0;
}

static void on_session(void *arg, const struct ws_session *session)
{
	struct ws_view_run *run = arg;
	const struct ws_session **slot;

	if (run->failed || !ws_replay_wants(&run->source, session))
		return;
	slot = ws_array_grow(&run->sessions, &run->session_count, &run->session_cap, sizeof(*slot));
	if (slot)
		*slot = session;
	else
		run->failed = true;
}

static int by_start(const void *a, const void *b)
{
	const struct ws_session *x = *(const struct ws_session *const *)a;
	const struct ws_session *y = *(const struct ws_session *const *)b;

	if (x->start_ns != y->start_ns)
		return x->start_ns < y->start_ns ? -1 : 1;
	return x->pid < y->pid ? -1 : x->pid > y->pid;
}

static int on_record(void *arg, const struct ws_model *model, const struct ws_rec *rec)
{
	struct ws_view_run *run = arg;

	if (!run->failed && run->ops->record)
		run->failed = run->ops->record(run, model, rec) != 0;
	return run->failed ? -1 : 0;
}

/* The second pass and what is printed at its end. */
static enum ws_exit show(struct ws_view_run *run, struct ws_error *err)
{
	const struct ws_observer observer = {
		.arg = run,
		.segment = run->ops->segment ? on_segment : NULL,
		.command = run->ops->command ? on_command : NULL,
		.session = on_session,
	};
	const struct ws_replay_tap tap = { run->ops->record ? on_record : NULL, run };
	struct ws_model *model;
	enum ws_exit status = WS_EXIT_DONE;

	errno = 0;
	if (ws_replay_run(&run->source, &observer, &tap, &model, err))
		return WS_EXIT_FAILED;
	if (run->session_count)
		qsort(run->sessions, run->session_count, sizeof(*run->sessions), by_start);
	if (run->failed || (run->ops->finish && run->ops->finish(run)) || ws_export_end(&run->ex))
		status = ws_view_output_failed(err);
	/* Exporters hold sessions of this model. */
	ws_export_release(&run->ex);
	ws_model_free(model);
	return status;
}

enum ws_exit ws_view_main(const struct ws_options *options, const struct ws_view_ops *ops,
			  struct ws_error *err)
{
	struct ws_view_run run = { .ops = ops };
	struct ws_export_options export_options = { 0 };
	enum ws_exit status = WS_EXIT_FAILED;

	if (ops->alone ? ws_replay_open_narrow(&run.source, options, ops->clusters, err)
		       : ws_replay_open(&run.source, options, err))
		goto out;
	ws_view_screen(options, &export_options);
	export_options.from_ns = run.source.from_ns;
	export_options.to_ns = run.source.to_ns;
	export_options.wall_ns = ws_view_wall;
	export_options.wall_arg = run.source.model;
	export_options.redacted = ws_model_redacted(run.source.model);
	if (ws_export_begin(&run.ex, ws_view_format(options), ops->view, &export_options))
		status = ws_view_output_failed(err);
	else
		status = show(&run, err);
	if (status == WS_EXIT_DONE)
		status = fflush(stdout) ? ws_view_output_failed(err)
					: ws_replay_verdict(&run.source);
out:
	if (ops->release)
		ops->release(&run);
	ws_export_release(&run.ex);
	free(run.sessions);
	ws_replay_deinit(&run.source);
	return status;
}
