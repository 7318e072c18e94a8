/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * text_timeline.c: per session a strip of time buckets and a table of the states' shares. Memory is
 * bound by sessions and the screen's width, not by segments. With `verbose` each segment is a line
 * too.
 */
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "export/text.h"

/* Growth of memory that is worth showing, in bytes. */
#define MEMORY_GROWN 33554432
#define LABEL	     9 /* "  state  " */

struct bucket {
	uint64_t state_ns[WS_STATE_COUNT];
	double bytes;
};

struct strip {
	const struct ws_session *session;
	uint64_t state_ns[WS_STATE_COUNT];
	uint64_t bytes;
	struct bucket *buckets;
};

struct timeline {
	struct strip *strips;
	size_t count, cap;
	size_t last; /* the strip used last */
	size_t width;
};

static int begin(struct ws_export *ex)
{
	struct timeline *t = calloc(1, sizeof(*t));

	if (!t)
		return -1;
	t->width = (size_t)ex->opt.screen.width - LABEL;
	ex->state = t;
	return 0;
}

static void release(struct ws_export *ex)
{
	struct timeline *t = ex->state;

	for (size_t i = 0; t && i < t->count; i++)
		free(t->strips[i].buckets);
	if (t)
		free(t->strips);
	free(t);
}

static struct strip *find_strip(struct timeline *t, const struct ws_session *session)
{
	struct strip *strip;

	if (t->last < t->count && t->strips[t->last].session == session)
		return &t->strips[t->last];
	for (size_t i = 0; i < t->count; i++) {
		if (t->strips[i].session == session) {
			t->last = i;
			return &t->strips[i];
		}
	}
	strip = ws_array_grow(&t->strips, &t->count, &t->cap, sizeof(*strip));
	if (!strip)
		return NULL;
	strip->session = session;
	strip->buckets = calloc(t->width, sizeof(*strip->buckets));
	t->last = t->count - 1;
	return strip->buckets ? strip : NULL;
}

/* When bucket i begins; i may be `width`. */
static uint64_t bucket_start(const struct ws_export *ex, const struct timeline *t, size_t i)
{
	uint64_t span = ex->opt.to_ns - ex->opt.from_ns;

	return ex->opt.from_ns + (uint64_t)((unsigned __int128)span * i / t->width);
}

static int print_segment(struct ws_export *ex, const struct ws_session *session,
			 const struct ws_segment *s)
{
	char pid[WS_PID_TEXT], time[WS_TIME_TEXT], lasted[WS_DURATION_TEXT];
	char to[WS_LSN_TEXT], bytes[WS_BYTES_TEXT];
	struct ws_buf line = { 0 };
	int rc;

	rc = ws_buf_addf(&line, "%s %8s  ", ws_text_time(ex, s->start_ns, time),
			 ws_text_pid(session, pid)) ||
	     ws_buf_addf(&line, "%9s  %s%-19s%s",
			 ws_duration_format(s->end_ns - s->start_ns, lasted),
			 ws_color_code(&ex->opt.screen, ws_state_color(s->state)),
			 ws_state_name(s->state), ws_color_code(&ex->opt.screen, WS_COLOR_NONE));
	if (rc == 0 && s->lsn_to)
		rc = ws_buf_addf(&line, " %s", ws_lsn_format(s->lsn_to, to));
	if (rc == 0 && s->bytes)
		rc = ws_buf_addf(&line, " +%s", ws_bytes_format(s->bytes, bytes));
	if (rc == 0 && s->detail)
		rc = ws_buf_addstr(&line, "  ") ||
		     ws_put_text(&line, &ex->opt.screen, s->detail, strlen(s->detail), 0);
	while (line.len && line.data[line.len - 1] == ' ')
		line.data[--line.len] = '\0';
	rc = rc || ws_buf_addstr(&line, "\n") || ws_text_flush(ex, &line);
	ws_buf_deinit(&line);
	return rc ? -1 : 0;
}

int ws_text_segment(struct ws_export *ex, const struct ws_session *session,
		    const struct ws_segment *s)
{
	struct timeline *t = ex->state;
	struct strip *strip = find_strip(t, session);
	uint64_t span = ex->opt.to_ns - ex->opt.from_ns;
	uint64_t from = s->start_ns < ex->opt.from_ns ? ex->opt.from_ns : s->start_ns;
	uint64_t to = s->end_ns > ex->opt.to_ns ? ex->opt.to_ns : s->end_ns;
	size_t i;

	if (!strip)
		return -1;
	strip->bytes += s->bytes;
	if (to > from) {
		strip->state_ns[s->state] += to - from;
		i = (size_t)((unsigned __int128)(from - ex->opt.from_ns) * t->width / span);
		for (i = i ? i - 1 : 0; i < t->width && bucket_start(ex, t, i) < to; i++) {
			uint64_t lo = bucket_start(ex, t, i), hi = bucket_start(ex, t, i + 1);

			lo = from > lo ? from : lo;
			hi = to < hi ? to : hi;
			if (hi <= lo)
				continue;
			strip->buckets[i].state_ns[s->state] += hi - lo;
			strip->buckets[i].bytes +=
				(double)s->bytes * (double)(hi - lo) / (double)(to - from);
		}
	}
	return ex->opt.screen.verbose ? print_segment(ex, session, s) : 0;
}

/* The state with most time in the bucket; false if nothing is known about it. */
static bool dominant(const struct bucket *b, enum ws_state *state, uint64_t *total, uint64_t *rest)
{
	*state = WS_STATE_UNKNOWN;
	*total = *rest = 0;
	for (int i = 0; i < WS_STATE_COUNT; i++) {
		*total += b->state_ns[i];
		if (ws_state_is_rest((enum ws_state)i))
			*rest += b->state_ns[i];
		if (b->state_ns[i] > b->state_ns[*state])
			*state = (enum ws_state)i;
	}
	return *total > 0;
}

static int put_states(struct ws_buf *line, const struct ws_export *ex, const struct strip *strip,
		      size_t width)
{
	const struct ws_screen *screen = &ex->opt.screen;
	enum ws_color color = WS_COLOR_NONE;
	int rc = ws_buf_addstr(line, "  state  ");

	for (size_t i = 0; i < width && rc == 0; i++) {
		enum ws_state state;
		uint64_t total, rest;
		bool known = dominant(&strip->buckets[i], &state, &total, &rest);
		enum ws_color next = known ? ws_state_color(state) : WS_COLOR_NONE;
		char letter = known ? ws_state_letter(state) : ' ';

		if (next != color)
			rc = ws_buf_addstr(line, ws_color_code(screen, WS_COLOR_NONE)) ||
			     (next && ws_buf_addstr(line, ws_color_code(screen, next)));
		color = next;
		rc = rc || ws_buf_add(line, &letter, 1);
	}
	if (rc == 0 && color != WS_COLOR_NONE)
		rc = ws_buf_addstr(line, ws_color_code(screen, WS_COLOR_NONE));
	return rc ? -1 : 0;
}

static int put_busy(struct ws_buf *line, const struct ws_export *ex, const struct strip *strip,
		    size_t width)
{
	int rc = ws_buf_addstr(line, "  busy   ");

	for (size_t i = 0; i < width && rc == 0; i++) {
		enum ws_state state;
		uint64_t total, rest;
		bool known = dominant(&strip->buckets[i], &state, &total, &rest);

		rc = ws_put_height(line, &ex->opt.screen,
				   known ? (double)(total - rest) / (double)total : 0);
	}
	return rc;
}

static int put_sent(struct ws_buf *line, const struct ws_export *ex, const struct strip *strip,
		    size_t width)
{
	double most = 0;
	int rc = ws_buf_addstr(line, "  bytes  ");

	for (size_t i = 0; i < width; i++)
		most = strip->buckets[i].bytes > most ? strip->buckets[i].bytes : most;
	for (size_t i = 0; i < width && rc == 0; i++)
		rc = ws_put_height(line, &ex->opt.screen, strip->buckets[i].bytes / most);
	return rc;
}

static void trim(struct ws_buf *line)
{
	while (line->len && line->data[line->len - 1] == ' ')
		line->data[--line->len] = '\0';
}

/* A share that is not nothing is not shown as nothing. */
static void format_share(double share, char out[16])
{
	if (share > 0 && share < 0.0005)
		snprintf(out, 16, "<0.1%%");
	else
		snprintf(out, 16, "%.1f%%", 100 * share);
}

/* "  - wait_wal  ██████  10.2 s  85.0%", the longest first. */
static int put_shares(const struct ws_export *ex, struct ws_buf *line, const struct strip *strip)
{
	const struct ws_screen *screen = &ex->opt.screen;
	size_t bar = (size_t)screen->width - 46;
	bool done[WS_STATE_COUNT] = { false };
	uint64_t total = 0;

	for (int i = 0; i < WS_STATE_COUNT; i++)
		total += strip->state_ns[i];
	for (;;) {
		char time[WS_DURATION_TEXT], percent[16];
		int most = -1;
		double share;

		for (int i = 0; i < WS_STATE_COUNT; i++)
			if (!done[i] && strip->state_ns[i] &&
			    (most < 0 || strip->state_ns[i] > strip->state_ns[most]))
				most = i;
		if (most < 0)
			return 0;
		done[most] = true;
		share = (double)strip->state_ns[most] / (double)total;
		format_share(share, percent);
		if (ws_buf_addf(line, "  %s%c %-19s ",
				ws_color_code(screen, ws_state_color((enum ws_state)most)),
				ws_state_letter((enum ws_state)most),
				ws_state_name((enum ws_state)most)) ||
		    ws_put_bar(line, screen, share, bar) ||
		    ws_buf_addf(line, "%s %9s %7s\n", ws_color_code(screen, WS_COLOR_NONE),
				ws_duration_format(strip->state_ns[most], time), percent) ||
		    ws_text_flush(ex, line))
			return -1;
	}
}

static int by_begin(const void *a, const void *b)
{
	const struct ws_session *x = ((const struct strip *)a)->session;
	const struct ws_session *y = ((const struct strip *)b)->session;

	if (x->start_ns != y->start_ns)
		return x->start_ns < y->start_ns ? -1 : 1;
	return x->pid < y->pid ? -1 : x->pid > y->pid;
}

static int print_strip(const struct ws_export *ex, const struct timeline *t, struct strip *strip,
		       struct ws_buf *line)
{
	const struct ws_session *s = strip->session;
	char bytes[WS_BYTES_TEXT], first[WS_BYTES_TEXT];

	if (ws_buf_addstr(line, "\n") || ws_text_put_session(line, ex, strip->session))
		return -1;
	if (strip->bytes && ws_buf_addf(line, ", %s", ws_bytes_format(strip->bytes, bytes)))
		return -1;
	if (s->has_memory && s->memory_peak >= s->memory_first + MEMORY_GROWN &&
	    ws_buf_addf(line, ", memory %s to %s", ws_bytes_format(s->memory_first, first),
			ws_bytes_format(s->memory_peak, bytes)))
		return -1;
	if (ws_buf_addstr(line, "\n") || ws_text_flush(ex, line))
		return -1;
	if (put_states(line, ex, strip, t->width))
		return -1;
	trim(line);
	if (ws_buf_addstr(line, "\n") || ws_text_flush(ex, line) ||
	    put_busy(line, ex, strip, t->width))
		return -1;
	trim(line);
	if (ws_buf_addstr(line, "\n") || ws_text_flush(ex, line))
		return -1;
	if (strip->bytes) {
		if (put_sent(line, ex, strip, t->width))
			return -1;
		trim(line);
		if (ws_buf_addstr(line, "\n") || ws_text_flush(ex, line))
			return -1;
	}
	return put_shares(ex, line, strip);
}

static int end(struct ws_export *ex)
{
	struct timeline *t = ex->state;
	char from[WS_TIME_TEXT], to[WS_TIME_TEXT], span[WS_DURATION_TEXT], column[WS_DURATION_TEXT];
	uint64_t total = ex->opt.to_ns - ex->opt.from_ns;
	struct ws_buf line = { 0 };
	int rc = 0;

	if (t->count == 0)
		return fprintf(ex->opt.out, "no sessions\n") < 0 ? -1 : 0;
	qsort(t->strips, t->count, sizeof(*t->strips), by_begin);
	if (fprintf(ex->opt.out, "%s%s to %s, %s; a column of a strip is %s\n",
		    ex->opt.screen.verbose ? "\n" : "", ws_text_time(ex, ex->opt.from_ns, from),
		    ws_text_time(ex, ex->opt.to_ns, to), ws_duration_format(total, span),
		    ws_duration_format(total / t->width, column)) < 0)
		return -1;
	for (size_t i = 0; i < t->count && rc == 0; i++)
		rc = print_strip(ex, t, &t->strips[i], &line);
	ws_buf_deinit(&line);
	return rc;
}

const struct ws_text_view ws_text_timeline = { begin, end, release };
