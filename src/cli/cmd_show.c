/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_show.c: the reconstruction of one session. The first pass finds it; the second, with a window
 * if one is wanted, makes its story.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "cli/cli.h"
#include "cli/view.h"

#define AROUND_NS 10000000000ULL /* that --around shows on either side, unless told otherwise */

struct show {
	struct ws_replay source;
	struct ws_export ex;
	struct ws_story story;
	bool has_story;
	const struct ws_session *known; /* the story's, in the model of the second pass */
	size_t looked_at;		/* sessions of that model */
	bool failed;
};

/* Which session? NULL with err filled: none, or which one is not said; *status says. */
static const struct ws_session *choose(struct show *show, enum ws_exit *status,
				       struct ws_error *err)
{
	const struct ws_options *options = show->source.options;
	const struct ws_session *found = NULL;
	char list[160] = "", id[WS_SESSION_ID_TEXT];
	size_t count, matching = 0, len = 0;
	struct ws_session *const *sessions = ws_model_sessions(show->source.model, &count);

	for (size_t i = 0; i < count; i++) {
		if (!ws_replay_wants(&show->source, sessions[i]))
			continue;
		found = sessions[i];
		ws_session_id(found, id);
		if (++matching && len + strlen(id) + 8 < sizeof(list))
			len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s",
						len ? ", " : "", id);
		else if (list[len - 1] != '.')
			len += (size_t)snprintf(list + len, sizeof(list) - len, ", ...");
	}
	if (matching == 1)
		return found;
	*status = matching ? WS_EXIT_USAGE : WS_EXIT_FAILED;
	if (!matching && options->filter.session)
		ws_error_set(err, "cannot show session", show->source.name, "no session %s",
			     options->filter.session);
	else if (!matching)
		ws_error_set(err, "cannot show a session", show->source.name, "there is none%s",
			     count ? " of those asked for" : "");
	else
		ws_error_set(err, "usage", show->source.name, "%zu sessions, say which: %s",
			     matching, list);
	ws_error_fix(err, matching ? "--session ID names one, walscope sessions FILE --json lists "
				     "them"
				   : "walscope sessions FILE --json lists them");
	return NULL;
}

/* The window of --around, if no other is given. The session has to touch it. */
static int set_window(struct show *show, const struct ws_session *session, uint64_t *around_ns,
		      struct ws_error *err)
{
	struct ws_replay *source = &show->source;
	const struct ws_options *options = source->options;
	uint64_t end = session->end_ns ? session->end_ns : source->end_ns;
	char from[WS_TIME_TEXT], to[WS_TIME_TEXT];

	*around_ns = 0;
	if (!options->around.kind)
		return 0;
	*around_ns = ws_replay_time(source, &options->around);
	if (*around_ns < session->begin_ns || *around_ns > end) {
		ws_error_set(err, "cannot show session", source->name,
			     "it did not run at --around %s", options->around.text);
		return ws_error_fix(
			err, "it is known from %s to %s",
			ws_time_format(ws_model_wall_ns(source->model, session->begin_ns), from),
			ws_time_format(ws_model_wall_ns(source->model, end), to));
	}
	if (!options->from.kind)
		source->from_ns = *around_ns > AROUND_NS ? *around_ns - AROUND_NS : 0;
	if (!options->to.kind)
		source->to_ns = *around_ns + AROUND_NS < source->end_ns ? *around_ns + AROUND_NS
									: source->end_ns + 1;
	source->windowed = true;
	source->has_to = true;
	return 0;
}

static void on_command(void *arg, const struct ws_session *session,
		       const struct ws_command *command)
{
	struct show *show = arg;

	if (!show->failed && ws_story_is_of(&show->story, session))
		show->failed = ws_story_command(&show->story, command) != 0;
}

static void on_segment(void *arg, const struct ws_session *session,
		       const struct ws_segment *segment)
{
	struct show *show = arg;

	if (ws_story_is_of(&show->story, session))
		ws_story_segment(&show->story, segment);
}

static int on_record(void *arg, const struct ws_model *model, const struct ws_rec *rec)
{
	struct show *show = arg;
	size_t count;
	struct ws_session *const *sessions = ws_model_sessions(model, &count);

	for (; !show->known && show->looked_at < count; show->looked_at++)
		if (ws_story_is_of(&show->story, sessions[show->looked_at]))
			show->known = sessions[show->looked_at];
	if (!show->failed)
		show->failed = ws_story_record(&show->story, show->known, rec) != 0;
	return show->failed ? -1 : 0;
}

/* The second pass, and what it gives. */
static enum ws_exit tell(struct show *show, struct ws_error *err)
{
	const struct ws_observer observer = { .arg = show,
					      .segment = on_segment,
					      .command = on_command };
	const struct ws_replay_tap tap = { on_record, show };
	struct ws_show told = { .story = &show->story };
	struct ws_model *model;
	enum ws_exit status = WS_EXIT_DONE;

	errno = 0;
	if (ws_replay_run(&show->source, &observer, &tap, &model, err))
		return WS_EXIT_FAILED;
	told.session = show->known;
	if (told.session)
		ws_story_end(&show->story, told.session, show->source.end_ns);
	if (show->failed || !told.session || ws_export_show(&show->ex, &told) ||
	    ws_export_end(&show->ex) || fflush(stdout))
		status = ws_view_output_failed(err);
	ws_export_release(&show->ex);
	ws_model_free(model);
	return status == WS_EXIT_DONE ? ws_replay_verdict(&show->source) : status;
}

enum ws_exit ws_cmd_show(const struct ws_options *options, struct ws_error *err)
{
	struct show show = { 0 };
	struct ws_export_options export_options = { .wall_ns = ws_view_wall };
	enum ws_exit status = WS_EXIT_FAILED;
	const struct ws_session *session;
	uint64_t around_ns;

	if (ws_replay_open_narrow(&show.source, options, false, err))
		goto out;
	session = choose(&show, &status, err);
	if (!session || set_window(&show, session, &around_ns, err))
		goto out;
	ws_story_init(&show.story, session->pid, session->start_ns,
		      show.source.windowed ? show.source.from_ns : 0,
		      show.source.windowed && show.source.has_to ? show.source.to_ns : UINT64_MAX,
		      around_ns);
	show.has_story = true;
	ws_view_screen(options, &export_options);
	export_options.from_ns = show.source.from_ns;
	export_options.to_ns = show.source.to_ns;
	export_options.wall_arg = show.source.model;
	export_options.redacted = ws_model_redacted(show.source.model);
	if (ws_export_begin(&show.ex, ws_view_format(options), WS_VIEW_SHOW, &export_options))
		status = ws_view_output_failed(err);
	else
		status = tell(&show, err);
out:
	if (show.has_story)
		ws_story_deinit(&show.story);
	ws_export_release(&show.ex);
	ws_replay_deinit(&show.source);
	return status;
}
