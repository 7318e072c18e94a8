/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_core.c: what a core dump, or a running process, tells: printed as `show` prints a session, or
 * written as a recording.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/util.h"
#include "cli/cli.h"
#include "cli/view.h"
#include "core/core.h"
#include "live/live.h"
#include "symbol/resolve.h"
#include "trace/trace.h"

struct run {
	const struct ws_options *options;
	struct ws_core *core;
	struct ws_export ex;
	struct ws_model *model;
	struct ws_story story;
	bool has_story;
	struct ws_show_fact *facts;
	struct ws_show_frame *frames;
	struct ws_show_walsender *walsenders;
	bool failed;
};

static const enum ws_show_type types[] = {
	[WS_CORE_UNKNOWN] = WS_SHOW_UNKNOWN, [WS_CORE_TEXT] = WS_SHOW_TEXT,
	[WS_CORE_COUNT] = WS_SHOW_COUNT,     [WS_CORE_BYTES] = WS_SHOW_BYTES,
	[WS_CORE_NS] = WS_SHOW_NS,	     [WS_CORE_LSN] = WS_SHOW_LSN,
	[WS_CORE_TIME] = WS_SHOW_TIME,	     [WS_CORE_BOOL] = WS_SHOW_BOOL,
	[WS_CORE_ADDRESS] = WS_SHOW_ADDRESS,
};

/* -- what memory says, for the printers */

static const char *or_null(const char *text)
{
	return text[0] ? text : NULL;
}

static struct ws_show_walsender show_walsender(const struct ws_core_walsender *w)
{
	/* pg_stat_replication.state */
	static const char *const states[] = { "startup", "backup", "catchup", "streaming",
					      "stopping" };
	bool backup = w->state == WS_WALSND_BACKUP;

	return (struct ws_show_walsender){
		.pid = w->pid,
		.start_ns = w->start_ns,
		.ns_pid = w->ns_pid,
		.kind = backup	      ? "backup"
			: w->logical  ? "logical"
			: w->physical ? "physical"
				      : NULL,
		.state = states[w->state],
		.application = or_null(w->application),
		.slot = or_null(w->slot),
		.command = or_null(w->command),
		.sent_lsn = w->sent_lsn,
		.write_lsn = w->write_lsn,
		.flush_lsn = w->flush_lsn,
		.apply_lsn = w->apply_lsn,
		.sync_priority = w->sync_priority,
		.start_wall_ns = w->start_wall_ns,
		.host = or_null(w->host),
		.port = w->port,
		.has_oids = w->has_oids,
		.user_oid = w->user_oid,
		.database_oid = w->database_oid,
		.user = or_null(w->user),
		.database = or_null(w->database),
	};
}

static int fill(struct run *run, struct ws_show *show)
{
	const struct ws_core *core = run->core;

	run->facts = calloc(core->fact_count + 1, sizeof(*run->facts));
	run->frames = calloc(core->place_count + 1, sizeof(*run->frames));
	run->walsenders = calloc(core->walsender_count + 1, sizeof(*run->walsenders));
	if (!run->facts || !run->frames || !run->walsenders)
		return -1;
	for (size_t i = 0; i < core->fact_count; i++) {
		const struct ws_core_fact *fact = &core->facts[i];

		run->facts[i] = (struct ws_show_fact){ fact->name, fact->label, types[fact->type],
						       fact->text, fact->value };
		if (strcmp(fact->name, "version") == 0)
			show->version = fact->text;
		else if (strcmp(fact->name, "datadir") == 0)
			show->datadir = fact->text;
	}
	for (size_t i = 0; i < core->place_count; i++) {
		const struct ws_core_place *place = &core->places[i];

		run->frames[i] =
			(struct ws_show_frame){ place->address, place->function, place->offset,
						place->module, place->source };
	}
	for (size_t i = 0; i < core->walsender_count; i++)
		run->walsenders[i] = show_walsender(&core->walsenders[i]);
	show->has_memory = true;
	show->memory = run->facts;
	show->memory_count = core->fact_count;
	show->has_backtrace = core->has_backtrace;
	show->frames = run->frames;
	show->frame_count = core->place_count;
	show->has_walsenders = core->has_walsenders;
	show->walsenders = run->walsenders;
	show->walsender_count = core->walsender_count;
	return 0;
}

/* -- the records' way through the model */

static void on_command(void *arg, const struct ws_session *session,
		       const struct ws_command *command)
{
	struct run *run = arg;

	if (!run->failed && run->has_story && ws_story_is_of(&run->story, session))
		run->failed = ws_story_command(&run->story, command) != 0;
}

static void on_segment(void *arg, const struct ws_session *session,
		       const struct ws_segment *segment)
{
	struct run *run = arg;

	if (run->has_story && ws_story_is_of(&run->story, session))
		ws_story_segment(&run->story, segment);
}

static const struct ws_session *only_session(const struct run *run)
{
	size_t count;
	struct ws_session *const *sessions = ws_model_sessions(run->model, &count);

	return count ? sessions[0] : NULL;
}

static int replay(struct run *run)
{
	const struct ws_observer observer = { .arg = run,
					      .segment = on_segment,
					      .command = on_command };
	const struct ws_core *core = run->core;

	run->model = ws_model_new(&observer);
	if (!run->model)
		return -1;
	for (size_t i = 0; i < core->record_count && !run->failed; i++) {
		const struct ws_rec *rec = core->records[i];

		if (rec->kind == WS_KIND_SESSION && !run->has_story) {
			ws_story_init(&run->story, rec->pid, rec->start_ns, 0, UINT64_MAX, 0);
			run->has_story = true;
		}
		if (ws_model_feed(run->model, rec) ||
		    (run->has_story && ws_story_record(&run->story, only_session(run), rec)))
			return -1;
	}
	return run->failed || ws_model_finish(run->model, core->time_ns) || run->failed ? -1 : 0;
}

static enum ws_exit print(struct run *run, struct ws_error *err)
{
	struct ws_export_options export_options = { .wall_ns = ws_view_wall };
	const struct ws_core *core = run->core;
	enum ws_exit status = WS_EXIT_DONE;
	struct ws_show show = { 0 };

	errno = 0;
	if (replay(run) || fill(run, &show))
		return ws_view_output_failed(err);
	show.session = only_session(run);
	show.story = &run->story;
	if (core->process != WS_CORE_WALSENDER)
		show.process = ws_core_process_name(core->process);
	ws_view_screen(run->options, &export_options);
	export_options.from_ns = 0;
	export_options.to_ns = core->time_ns;
	export_options.wall_arg = run->model;
	if (!show.session)
		return ws_error_set(err, "cannot read core", run->options->file,
				    "it tells nothing of its process"),
		       WS_EXIT_FAILED;
	if (ws_export_begin(&run->ex, ws_view_format(run->options), WS_VIEW_SHOW,
			    &export_options) ||
	    ws_export_show(&run->ex, &show) || ws_export_end(&run->ex) || fflush(stdout))
		status = ws_view_output_failed(err);
	ws_export_release(&run->ex);
	return status;
}

/* -- a recording */

static int recording_info(const struct run *run, struct ws_trace_info *info, struct ws_error *err)
{
	if (!run->options->file)
		return ws_live_info(1, info, err);
	/* Of which boot and host a dump is, it does not say. */
	*info = (struct ws_trace_info){ .level = 1,
					.ticks_per_s = (uint32_t)(1000000000 / WS_TICK_NS),
					.start_mono_ns = run->core->time_ns,
					.start_wall_ns = run->core->wall_ns };
	snprintf(info->version, sizeof(info->version), "%s", WS_VERSION);
	return 0;
}

/* What is looked at is not to be lost for it. */
static int check_output(const struct ws_options *options, struct ws_error *err)
{
	const char *const inputs[] = { options->file, options->filter.postgres };
	struct stat input;

	for (size_t i = 0; i < WS_ARRAY_SIZE(inputs); i++) {
		if (!inputs[i] || stat(inputs[i], &input) || !ws_path_is(options->output, &input))
			continue;
		ws_error_set(err, "cannot write recording", options->output,
			     "it is what the recording is to be made of");
		return ws_error_fix(err, "-o names another file");
	}
	return 0;
}

static enum ws_exit write_recording(struct run *run, struct ws_error *err)
{
	const struct ws_core *core = run->core;
	const char *path = run->options->output;
	struct ws_writer *writer = NULL;
	struct ws_trace_info info;
	int rc = 0;

	if (core->process != WS_CORE_WALSENDER) {
		ws_error_set(err, "cannot write recording", path,
			     "the process is no walsender but a %s: there is no session to record",
			     ws_core_process_name(core->process));
		ws_error_fix(err, "without -o it is printed, with its server's walsenders");
		return WS_EXIT_FAILED;
	}
	if (check_output(run->options, err) || recording_info(run, &info, err) ||
	    ws_writer_new(&writer, path, &info, err))
		return WS_EXIT_FAILED;
	for (size_t i = 0; i < core->record_count && rc == 0; i++)
		rc = ws_writer_add(writer, core->records[i], err);
	if (ws_writer_close(writer, rc ? NULL : err) || rc)
		return WS_EXIT_FAILED;
	return WS_EXIT_DONE;
}

enum ws_exit ws_cmd_core(const struct ws_options *options, struct ws_error *err)
{
	struct run run = { .options = options };
	char cache[512];
	const struct ws_core_options core_options = {
		.file = options->file,
		.pid = options->filter.pid,
		.postgres = options->filter.postgres,
		.backtrace = options->backtrace,
		.cache_dir = ws_cache_folder(cache, sizeof(cache)),
		.log = &options->log,
	};
	enum ws_exit status;

	if (ws_core_open(&run.core, &core_options, err))
		return WS_EXIT_FAILED;
	status = options->output ? write_recording(&run, err) : print(&run, err);
	if (status == WS_EXIT_DONE && run.core->torn) {
		ws_log(&options->log, WS_LOG_WARN,
		       "%s is cut off or damaged: what is missing in it is not known",
		       options->file ? options->file : "the process's memory");
		status = WS_EXIT_LOSS;
	}
	if (run.has_story)
		ws_story_deinit(&run.story);
	ws_model_free(run.model);
	free(run.facts);
	free(run.frames);
	free(run.walsenders);
	ws_core_free(run.core);
	return status;
}
