/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "base/util.h"
#include "cli/capture.h"
#include "cli/cli.h"
#include "cli/view.h"
#include "event/order.h"

/* -- of a recording */

struct file_trace {
	struct ws_replay source;
	struct ws_export ex;
};

/* A signal to a session that is not wanted: its record is no session's own. */
static bool is_of_another(struct file_trace *r, const struct ws_rec *rec)
{
	const struct ws_rec_signal *signal = (const void *)rec;
	const struct ws_selected *target;

	if (rec->kind != WS_KIND_SIGNAL || rec->size < sizeof(*signal))
		return false;
	target = ws_selection_find(&r->source.selection, r->source.model, signal->target_pid,
				   signal->target_start_ns);
	return target && !target->match;
}

static int replay_event(void *arg, const struct ws_rec *rec)
{
	struct file_trace *r = arg;
	const struct ws_selected *selected = NULL;

	if (r->source.windowed && rec->time_ns < r->source.from_ns)
		return 0;
	if (r->source.options->to.kind && rec->time_ns >= r->source.to_ns)
		return 0;
	if (is_of_another(r, rec))
		return 0;
	if (rec->pid && rec->start_ns) {
		selected = ws_selection_find(&r->source.selection, r->source.model, rec->pid,
					     rec->start_ns);
		if (!selected || !selected->match)
			return 0;
	}
	return ws_export_event(&r->ex, selected ? selected->session : NULL, rec) ? 1 : 0;
}

static enum ws_exit trace_file(const struct ws_options *options, struct ws_error *err)
{
	struct file_trace r = { 0 };
	struct ws_export_options export_options = { .wall_ns = ws_view_wall };
	enum ws_exit status = WS_EXIT_FAILED;
	int rc;

	if (ws_replay_open_narrow(&r.source, options, true, err))
		goto out;
	ws_view_screen(options, &export_options);
	export_options.from_ns = r.source.from_ns;
	export_options.to_ns = r.source.to_ns;
	export_options.wall_arg = r.source.model;
	errno = 0;
	rc = ws_export_begin(&r.ex, ws_view_format(options), WS_VIEW_TRACE, &export_options) ? 1
											     : 0;
	if (rc == 0)
		rc = ws_replay_each(&r.source, replay_event, &r, err);
	if (rc == 0)
		rc = ws_export_end(&r.ex) ? 1 : 0;
	if (rc == 0 && fflush(stdout))
		rc = 1;
	if (rc > 0)
		ws_view_output_failed(err);
	if (rc == 0)
		status = ws_replay_verdict(&r.source);
out:
	ws_export_release(&r.ex);
	ws_replay_deinit(&r.source);
	return status;
}

/* -- live */

struct live {
	struct ws_gate *gate;
	struct ws_export ex;
	uint64_t missing; /* by gap records */
	bool failed;
	int cause; /* errno */
};

static int live_event(void *arg, const struct ws_rec *rec)
{
	struct live *l = arg;

	errno = 0;
	if (ws_export_event(&l->ex, ws_gate_session(l->gate, rec), rec) == 0 && !ferror(stdout))
		return 0;
	l->cause = errno;
	l->failed = true;
	return -1;
}

/* A closed pipe shows only when something is written, which may not be for long. */
static bool reader_left(void)
{
	struct pollfd out = { .fd = STDOUT_FILENO };

	return poll(&out, 1, 0) > 0 && out.revents & POLLERR;
}

static int live_feed(void *arg, const struct ws_rec *rec)
{
	const struct ws_rec_gap *gap = (const void *)rec;
	struct live *l = arg;

	if (rec->kind == WS_KIND_GAP)
		l->missing += ws_gap_missing(gap);
	if (rec->kind == WS_KIND_CLOCK && reader_left())
		l->cause = EPIPE;
	else if (ws_gate_feed(l->gate, rec) == 0)
		return 0;
	l->failed = true;
	return -1;
}

static int64_t live_wall(const void *arg, uint64_t mono_ns)
{
	const struct live *l = arg;

	return ws_view_wall(ws_gate_model(l->gate), mono_ns);
}

static enum ws_exit run_live(const struct ws_options *options, struct live *l, struct ws_error *err)
{
	struct ws_sink sink = { .fn = live_feed, .arg = l };
	struct ws_live_options live_options;
	struct ws_live_result result = { 0 };
	int rc;

	ws_capture_options(options, &live_options);
	rc = ws_live_run(&live_options, sink, &result, err);
	if (l->failed && l->cause == EPIPE) {
		ws_error_errno(err, EPIPE, "cannot write", "standard output");
		return WS_EXIT_FAILED;
	}
	errno = l->cause;
	if (l->failed || (rc == 0 && ws_export_end(&l->ex)))
		return ws_view_output_failed(err);
	if (rc)
		return WS_EXIT_FAILED;
	/* The kernel's count and that of the holes found in what arrived are of the same events. */
	if (l->missing > result.lost)
		result.lost = l->missing;
	if (!result.lost && !result.untracked)
		return WS_EXIT_DONE;
	ws_log(&options->log, WS_LOG_WARN, "%llu events are missing, %llu sessions not traced",
	       (unsigned long long)result.lost, (unsigned long long)result.untracked);
	return WS_EXIT_LOSS;
}

static enum ws_exit trace_live(const struct ws_options *options, struct ws_error *err)
{
	struct live l = { 0 };
	struct ws_sink sink = { .fn = live_event, .arg = &l };
	struct ws_export_options export_options = { .wall_ns = live_wall, .wall_arg = &l };
	const struct ws_filter traced = ws_filter_traced(&options->filter);
	enum ws_exit status;

	/* Whoever reads along wants each line when it is there. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	ws_view_screen(options, &export_options);
	l.gate = ws_gate_new(&traced, true, sink);
	if (!l.gate ||
	    ws_export_begin(&l.ex, ws_view_format(options), WS_VIEW_TRACE, &export_options))
		status = ws_view_output_failed(err);
	else
		status = run_live(options, &l, err);
	ws_export_release(&l.ex);
	ws_gate_free(l.gate);
	return status;
}

enum ws_exit ws_cmd_trace(const struct ws_options *options, struct ws_error *err)
{
	return options->file ? trace_file(options, err) : trace_live(options, err);
}
