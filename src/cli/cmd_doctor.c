/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "cli/capture.h"
#include "cli/cli.h"
#include "cli/examine.h"
#include "cli/view.h"
#include "export/event.h"

#define LIVE_NS 2000000000ULL

/* What the collector notes at the end of a trace: probes that never fired, servers it could not
 * use. */
static int keep_note(void *arg, const struct ws_rec *rec)
{
	struct ws_doctor_live *live = arg;
	const char *text;
	char **note;
	size_t len;

	if (rec->kind != WS_KIND_NOTE)
		return 0;
	text = ws_event_text(rec, ws_event_field(ws_kind_info(rec->kind), "text"), &len);
	note = ws_array_grow(&live->notes, &live->note_count, &live->note_cap, sizeof(*note));
	if (!note)
		return -1;
	*note = strndup(text, len);
	return *note ? 0 : -1;
}

static int trace_a_moment(const struct ws_options *options, struct ws_doctor *d)
{
	struct ws_sink sink = { .fn = keep_note, .arg = &d->live };
	struct ws_live_options live_options;
	struct ws_live_result result = { 0 };
	struct ws_error err = { 0 };

	d->live_asked = true;
	ws_capture_options(options, &live_options);
	if (!live_options.duration_ns)
		live_options.duration_ns = LIVE_NS;
	/* With a file only its own servers; a problem found there is no reason not to try. */
	if (ws_live_run(&live_options, sink, &result, &err)) {
		d->ok = false;
		return ws_problem_add_error(&d->problems, &err, "");
	}
	d->live.ran = true;
	d->live.seconds_ns = live_options.duration_ns;
	d->live.servers = result.servers;
	d->live.attach_ns = result.attach_ns;
	d->live.detach_ns = result.detach_ns;
	d->live.produced = result.produced;
	d->live.lost = result.lost;
	return 0;
}

static enum ws_exit print(const struct ws_options *options, const struct ws_doctor *d,
			  struct ws_error *err)
{
	struct ws_export_options export_options = { 0 };
	enum ws_exit status = d->ok ? WS_EXIT_DONE : WS_EXIT_FAILED;
	struct ws_export ex = { 0 };

	ws_view_screen(options, &export_options);
	errno = 0;
	if (ws_export_begin(&ex, ws_view_format(options), WS_VIEW_DOCTOR, &export_options) ||
	    ws_export_doctor(&ex, d) || ws_export_end(&ex) || fflush(stdout))
		status = ws_view_output_failed(err);
	ws_export_release(&ex);
	return status;
}

enum ws_exit ws_cmd_doctor(const struct ws_options *options, struct ws_error *err)
{
	enum ws_exit status = WS_EXIT_FAILED;
	struct ws_doctor doctor;

	if (ws_examine(options, &doctor) || (options->live && trace_a_moment(options, &doctor)))
		ws_error_set(err, "cannot examine this host", NULL, "out of memory");
	else
		status = print(options, &doctor, err);
	ws_doctor_deinit(&doctor);
	return status;
}
