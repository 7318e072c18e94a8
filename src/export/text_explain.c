/* SPDX-License-Identifier: BSD-2-Clause */
/* text_explain.c: a block per verdict: who, where the time went, what holds it up, what to do. */
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "export/text.h"

#define NAME_CELLS 20

struct explain_state {
	bool any;
};

static int begin(struct ws_export *ex)
{
	ex->state = calloc(1, sizeof(struct explain_state));
	return ex->state ? 0 : -1;
}

static int end(struct ws_export *ex)
{
	const struct explain_state *state = ex->state;

	return state->any || fprintf(ex->opt.out, "no sessions\n") >= 0 ? 0 : -1;
}

static void release(struct ws_export *ex)
{
	free(ex->state);
}

static int put_head(struct ws_buf *line, struct ws_export *ex, const struct ws_explained *e)
{
	if (e->session)
		return ws_text_put_session(line, ex, e->session);
	if (e->scope == WS_SCOPE_CLUSTER)
		return ws_buf_addf(line, "server of postmaster %u, %zu walsenders",
				   e->postmaster_pid, e->session_count);
	if (ws_buf_addf(line, "group of %zu session%s of ", e->session_count,
			e->session_count == 1 ? "" : "s"))
		return -1;
	return e->name && e->name[0]
		       ? ws_put_text(line, &ex->opt.screen, e->name, strlen(e->name), 0)
		       : ws_buf_addstr(line, "one client");
}

int ws_text_put_states(struct ws_buf *line, const struct ws_screen *screen,
		       const uint64_t state_ns[WS_STATE_COUNT])
{
	size_t bar = screen->width > 60 ? (size_t)screen->width - 60 : 10;
	uint64_t left[WS_STATE_COUNT], total = 0;
	char lasted[WS_DURATION_TEXT];

	memcpy(left, state_ns, sizeof(left));
	for (int i = 0; i < WS_STATE_COUNT; i++)
		total += left[i];
	bar = bar > 40 ? 40 : bar;
	for (;;) {
		enum ws_state most = WS_STATE_UNKNOWN;

		for (int i = 0; i < WS_STATE_COUNT; i++)
			if (left[i] > left[most])
				most = (enum ws_state)i;
		if (!left[most])
			return 0;
		if (ws_buf_addf(line, "  %-*s", NAME_CELLS, ws_state_name(most)) ||
		    ws_buf_addstr(line, ws_color_code(screen, ws_state_color(most))) ||
		    ws_put_bar(line, screen, (double)left[most] / (double)total, bar) ||
		    ws_buf_addf(line, "%s %5.1f%%  %s\n", ws_color_code(screen, WS_COLOR_NONE),
				100.0 * (double)left[most] / (double)total,
				ws_duration_format(left[most], lasted)))
			return -1;
		left[most] = 0;
	}
}

static int put_fact(struct ws_buf *line, const struct ws_export *ex, const struct ws_fact *fact)
{
	char text[64];

	if (ws_buf_addf(line, "    %-24s ", fact->fact))
		return -1;
	if (fact->is_text)
		return ws_put_text(line, &ex->opt.screen, fact->text, strlen(fact->text), 0) ||
		       ws_buf_addstr(line, "\n");
	if (strcmp(fact->unit, "ns") == 0)
		return ws_buf_addf(line, "%s\n", ws_duration_format(fact->value, text));
	if (strcmp(fact->unit, "us") == 0 && fact->value < UINT64_MAX / 1000)
		return ws_buf_addf(line, "%s\n", ws_duration_format(fact->value * 1000, text));
	if (strcmp(fact->unit, "bytes/s") == 0)
		return ws_buf_addf(line, "%s/s\n", ws_bytes_format(fact->value, text));
	if (strcmp(fact->unit, "bytes") == 0)
		return ws_buf_addf(line, "%s\n", ws_bytes_format(fact->value, text));
	return ws_buf_addf(line, "%s%s%s\n", ws_count_format(fact->value, text),
			   fact->unit[0] ? " " : "", fact->unit);
}

static int put_verdict(struct ws_buf *line, const struct ws_export *ex,
		       const struct ws_explained *e)
{
	bool healthy =
		e->verdict == WS_VERDICT_HEALTHY_IDLE || e->verdict == WS_VERDICT_HEALTHY_STREAMING;
	enum ws_color color = healthy					   ? WS_COLOR_GREEN
			      : e->verdict == WS_VERDICT_INSUFFICIENT_DATA ? WS_COLOR_YELLOW
									   : WS_COLOR_RED;

	if (ws_buf_addstr(line, "  ") ||
	    ws_put_color(line, &ex->opt.screen, color, ws_verdict_name(e->verdict)) ||
	    ws_buf_addf(line, " (confidence %.0f%%", 100 * e->finding.confidence))
		return -1;
	for (size_t i = 0; i < e->also_count; i++)
		if (ws_buf_addf(line, "%s%s", i ? ", " : "; also: ", ws_verdict_name(e->also[i])))
			return -1;
	return ws_buf_addstr(line, ")\n  ") ||
			       ws_put_text(line, &ex->opt.screen, e->finding.text,
					   strlen(e->finding.text), 0) ||
			       ws_buf_addstr(line, "\n")
		       ? -1
		       : 0;
}

int ws_text_explained(struct ws_export *ex, const struct ws_explained *e)
{
	struct explain_state *state = ex->state;
	struct ws_buf line = { 0 };
	char wall[WS_DURATION_TEXT];
	int rc;

	rc = (state->any && ws_buf_addstr(&line, "\n")) || put_head(&line, ex, e) ||
	     ws_buf_addf(&line, ", %s looked at\n", ws_duration_format(e->wall_ns, wall)) ||
	     ws_text_put_states(&line, &ex->opt.screen, e->state_ns) || put_verdict(&line, ex, e);
	state->any = true;
	for (size_t i = 0; i < e->finding.fact_count && rc == 0; i++)
		rc = put_fact(&line, ex, &e->finding.facts[i]);
	if (rc == 0 && e->finding.advice)
		rc = ws_buf_addf(&line, "  What to do: %s\n", e->finding.advice);
	rc = rc || ws_text_flush(ex, &line);
	ws_buf_deinit(&line);
	return rc ? -1 : 0;
}

const struct ws_text_view ws_text_explain = { begin, end, release };
