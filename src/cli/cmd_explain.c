/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Judges the whole of the recording, or what --from and --to cut out of it. Who asks why a session
 * lags now means now: of a long recording the last minutes are judged on their own as well, and
 * count where they say more.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "cli/cli.h"
#include "cli/view.h"
#include "diagnose/diagnose.h"

/* So much is recent; of what is not twice as long it would say nothing of its own. */
#define RECENT_NS 120000000000ULL

/* The last minutes, in a pass of their own. */
struct recent {
	bool there;
	struct ws_replay source; /* a view of the run's: nothing of its own */
	struct ws_model *model;
	struct ws_diagnosis *diagnosis;
	bool failed;
};

struct explain {
	struct ws_diagnosis *diagnosis;
	struct recent recent;
};

static struct explain *explain_of(struct ws_view_run *run)
{
	const struct ws_replay *source = &run->source;
	bool open = !source->windowed || !source->options->to.kind;
	struct explain *explain = run->state;

	if (explain)
		return explain;
	explain = calloc(1, sizeof(*explain));
	if (!explain)
		return NULL;
	explain->diagnosis = ws_diagnosis_new(source->windowed ? source->from_ns : 0,
					      open ? UINT64_MAX : source->to_ns);
	if (!explain->diagnosis) {
		free(explain);
		return NULL;
	}
	run->state = explain;
	return explain;
}

static int record(struct ws_view_run *run, const struct ws_model *model, const struct ws_rec *rec)
{
	struct explain *explain = explain_of(run);

	return explain ? ws_diagnosis_feed(explain->diagnosis, model, rec) : -1;
}

static int command(struct ws_view_run *run, const struct ws_session *session,
		   const struct ws_command *c)
{
	struct explain *explain = explain_of(run);

	return explain ? ws_diagnosis_command(explain->diagnosis, session, c) : -1;
}

/* -- the last minutes */

static int recent_record(void *arg, const struct ws_model *model, const struct ws_rec *rec)
{
	struct recent *recent = arg;

	return ws_diagnosis_feed(recent->diagnosis, model, rec);
}

static void recent_command(void *arg, const struct ws_session *session, const struct ws_command *c)
{
	struct recent *recent = arg;

	if (ws_diagnosis_command(recent->diagnosis, session, c))
		recent->failed = true;
}

/* -1: memory ran out, or the recording cannot be read a third time. */
static int look_at_recent(struct ws_view_run *run, struct recent *recent)
{
	const struct ws_replay *source = &run->source;
	const struct ws_observer observer = { .arg = recent, .command = recent_command };
	const struct ws_replay_tap tap = { .fn = recent_record, .arg = recent };
	struct ws_error err = { 0 };

	if (source->windowed || source->end_ns - source->begin_ns < 2 * RECENT_NS)
		return 0;
	recent->source = *source;
	recent->source.windowed = true;
	recent->source.from_ns = source->end_ns - RECENT_NS;
	recent->diagnosis = ws_diagnosis_new(recent->source.from_ns, UINT64_MAX);
	if (!recent->diagnosis ||
	    ws_replay_run(&recent->source, &observer, &tap, &recent->model, &err) || recent->failed)
		return -1;
	recent->there = true;
	return 0;
}

static const struct ws_session *recent_session(const struct recent *recent,
					       const struct ws_session *session)
{
	size_t count;
	struct ws_session *const *sessions = ws_model_sessions(recent->model, &count);

	for (size_t i = 0; i < count; i++)
		if (sessions[i]->pid == session->pid && sessions[i]->start_ns == session->start_ns)
			return sessions[i];
	return NULL;
}

struct kept {
	struct ws_explained explained;
	bool there;
};

static int keep(void *arg, const struct ws_explained *explained)
{
	struct kept *kept = arg;

	if (explained->scope != WS_SCOPE_SESSION)
		return 0;
	kept->explained = *explained;
	kept->there = true;
	return 1;
}

/* What the last minutes say of this session, if that counts for more than the whole does. */
static bool recent_says_more(struct recent *recent, const struct ws_explained *whole,
			     struct kept *kept)
{
	const struct ws_session *session = recent_session(recent, whole->session);
	struct ws_finding *finding = &kept->explained.finding;
	char text[WS_DURATION_TEXT];
	size_t len;

	if (!session || (session->end_ns && session->end_ns < recent->source.from_ns) ||
	    whole->wall_ns < 2 * RECENT_NS)
		return false;
	ws_diagnosis_explain(recent->diagnosis, &session, 1, false, keep, kept);
	if (!kept->there || !ws_verdict_outranks(kept->explained.verdict, whole->verdict))
		return false;
	kept->explained.session = whole->session;
	kept->explained.sessions = whole->sessions;
	len = strlen(finding->text);
	snprintf(finding->text + len, sizeof(finding->text) - len,
		 " This is of the last %s; the whole time looked at is %s.",
		 ws_duration_format(RECENT_NS, text), ws_verdict_name(whole->verdict));
	return true;
}

/* -- rows */

static int row(void *arg, const struct ws_explained *explained)
{
	struct ws_view_run *run = arg;
	struct recent *recent = &explain_of(run)->recent;
	struct kept kept = { 0 };

	if (recent->there && explained->scope == WS_SCOPE_SESSION &&
	    recent_says_more(recent, explained, &kept))
		return ws_export_explained(&run->ex, &kept.explained);
	return ws_export_explained(&run->ex, explained);
}

static int finish(struct ws_view_run *run)
{
	struct explain *explain = explain_of(run);
	const struct ws_options *options = run->source.options;

	if (!explain || look_at_recent(run, &explain->recent))
		return -1;
	return ws_diagnosis_explain(explain->diagnosis, run->sessions, run->session_count,
				    !ws_filter_any(&options->filter), row, run);
}

static void release(struct ws_view_run *run)
{
	struct explain *explain = run->state;

	if (!explain)
		return;
	ws_diagnosis_free(explain->diagnosis);
	ws_diagnosis_free(explain->recent.diagnosis);
	ws_model_free(explain->recent.model);
	free(explain);
	run->state = NULL;
}

enum ws_exit ws_cmd_explain(const struct ws_options *options, struct ws_error *err)
{
	static const struct ws_view_ops ops = {
		.view = WS_VIEW_EXPLAIN,
		.alone = true,
		.clusters = true,
		.record = record,
		.command = command,
		.finish = finish,
		.release = release,
	};

	return ws_view_main(options, &ops, err);
}
