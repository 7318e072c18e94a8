/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * text_hist.c: a histogram as horizontal bars. Groups of buckets are octaves, or halves or quarters
 * of them where the values lie close together; a bucket never lies across the edge of a group,
 * because both divide octaves evenly.
 */
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "export/text.h"

#define ROWS_WANTED 16 /* finer groups as long as there are no more rows than that */
#define EMPTY_MAX   2  /* a longer run of empty groups is one line */
#define GROUPS_MAX  (64 * 4 + 4)

struct hist_state {
	const struct ws_session *session; /* of the block before */
	bool any;
};

static int begin(struct ws_export *ex)
{
	ex->state = calloc(1, sizeof(struct hist_state));
	return ex->state ? 0 : -1;
}

static int end(struct ws_export *ex)
{
	const struct hist_state *state = ex->state;

	return state->any || fprintf(ex->opt.out, "no values\n") >= 0 ? 0 : -1;
}

static void release(struct ws_export *ex)
{
	free(ex->state);
}

/* The group a value falls into when octaves are cut into `parts` (1, 2, 4). 0 is the value 0. */
static size_t group_of(uint64_t value, unsigned int parts)
{
	unsigned int octave, shift = (unsigned int)__builtin_ctz(parts);
	uint64_t within;

	if (value == 0)
		return 0;
	octave = 63 - (unsigned int)__builtin_clzll(value);
	within = value - (1ULL << octave);
	within = octave >= shift ? within >> (octave - shift) : within << (shift - octave);
	return 1 + (size_t)octave * parts + (size_t)within;
}

/* The smallest value of a group. */
static uint64_t group_start(size_t group, unsigned int parts)
{
	unsigned int octave;
	uint64_t base;

	if (group == 0)
		return 0;
	octave = (unsigned int)((group - 1) / parts);
	if (octave > 63)
		return UINT64_MAX;
	base = 1ULL << octave;
	return base + base / parts * ((group - 1) % parts);
}

static unsigned int choose_parts(const struct ws_hist *hist)
{
	/* Below 16 the quarters of an octave are not whole numbers. */
	for (unsigned int parts = 4; parts > 1 && hist->min >= 16; parts /= 2)
		if (group_of(hist->max, parts) - group_of(hist->min, parts) < ROWS_WANTED)
			return parts;
	return 1;
}

static const char *value_text(const struct ws_metric_info *info, uint64_t value, char out[32])
{
	if (strcmp(info->unit, "bytes") == 0)
		return ws_bytes_format(value, out);
	if (strcmp(info->unit, "ns") == 0)
		return ws_duration_format(value, out);
	return ws_count_format(value, out);
}

static int put_summary(struct ws_buf *line, const struct ws_metric_info *info,
		       const struct ws_hist *hist)
{
	/* A double this large has no fractions, and one of 2^64 is no integer any more. */
	const double mean = ws_hist_mean(hist);
	const struct {
		const char *name;
		uint64_t value;
	} items[] = {
		{ "min", hist->min },
		{ "p50", ws_hist_quantile(hist, 0.5) },
		{ "p90", ws_hist_quantile(hist, 0.9) },
		{ "p99", ws_hist_quantile(hist, 0.99) },
		{ "p99.9", ws_hist_quantile(hist, 0.999) },
		{ "max", hist->max },
		{ "mean", mean < 0x1p63 ? (uint64_t)(mean + 0.5) : hist->max },
	};
	char text[32];

	for (size_t i = 0; i < WS_ARRAY_SIZE(items); i++)
		if (ws_buf_addf(line, "  %s %s", items[i].name,
				value_text(info, items[i].value, text)))
			return -1;
	return ws_buf_addstr(line, "\n");
}

static int put_groups(struct ws_export *ex, struct ws_buf *line, const struct ws_metric_info *info,
		      const struct ws_hist *hist)
{
	const struct ws_screen *screen = &ex->opt.screen;
	unsigned int parts = choose_parts(hist);
	size_t first = group_of(hist->min, parts), last = group_of(hist->max, parts);
	size_t bar = (size_t)screen->width - 48;
	uint64_t counts[GROUPS_MAX] = { 0 }, most = 0;
	struct ws_hist_bucket bucket;
	uint32_t cursor = 0;

	while (ws_hist_next(hist, &cursor, &bucket)) {
		uint64_t *count = &counts[group_of(bucket.lo, parts)];

		*count += bucket.count;
		most = *count > most ? *count : most;
	}
	for (size_t g = first; g <= last; g++) {
		size_t empty = 0;
		char lo[32], hi[32], count[WS_COUNT_TEXT];

		while (!counts[g + empty])
			empty++;
		if (empty > EMPTY_MAX) {
			g += empty - 1;
			if (ws_buf_addstr(line, "            ..\n"))
				return -1;
			continue;
		}
		if (ws_buf_addf(line, "  %9s .. %-9s ", value_text(info, group_start(g, parts), lo),
				value_text(info, group_start(g + 1, parts), hi)) ||
		    ws_buf_addstr(line, ws_color_code(screen, WS_COLOR_GREEN)) ||
		    ws_put_bar(line, screen, (double)counts[g] / (double)most, bar) ||
		    ws_buf_addf(line, "%s %11s %6.1f%%\n", ws_color_code(screen, WS_COLOR_NONE),
				ws_count_format(counts[g], count),
				100.0 * (double)counts[g] / (double)hist->count) ||
		    ws_text_flush(ex, line))
			return -1;
	}
	return 0;
}

/* "send_ns, 71 values: what is measured". */
static int put_title(struct ws_buf *line, const struct ws_export *ex,
		     const struct ws_metric_info *info, const struct ws_hist *hist)
{
	const struct ws_screen *screen = &ex->opt.screen;
	size_t room = screen->verbose || screen->whole ? 0 : (size_t)screen->width;
	struct ws_buf rest = { 0 };
	char count[WS_COUNT_TEXT];
	int rc;

	rc = ws_buf_addf(&rest, ", %s value%s%s%s", ws_count_format(hist->count, count),
			 hist->count == 1 ? "" : "s", info->help ? ": " : "",
			 info->help ? info->help : "") ||
	     ws_put_color(line, screen, WS_COLOR_BOLD, info->name) ||
	     ws_put_cut(line, screen, rest.data, room ? room - strlen(info->name) : 0) ||
	     ws_buf_addstr(line, "\n");
	ws_buf_deinit(&rest);
	return rc ? -1 : 0;
}

int ws_text_hist_block(struct ws_export *ex, const struct ws_session *session,
		       enum ws_metric metric, const struct ws_hist *hist)
{
	const struct ws_metric_info *info = ws_metric_info(metric);
	struct hist_state *state = ex->state;
	struct ws_buf line = { 0 };
	int rc = 0;

	if (state->any)
		rc = ws_buf_addstr(&line, "\n");
	if (rc == 0 && (!state->any || state->session != session))
		rc = ws_text_put_session(&line, ex, session) || ws_buf_addstr(&line, "\n");
	state->any = true;
	state->session = session;
	rc = rc || put_title(&line, ex, info, hist);
	if (rc == 0 && hist->count)
		rc = put_summary(&line, info, hist) || ws_text_flush(ex, &line) ||
		     put_groups(ex, &line, info, hist);
	rc = rc || ws_text_flush(ex, &line);
	ws_buf_deinit(&line);
	return rc ? -1 : 0;
}

const struct ws_text_view ws_text_hist = { begin, end, release };
