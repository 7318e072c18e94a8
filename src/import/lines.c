/* SPDX-License-Identifier: BSD-2-Clause */
#include "import/lines.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

#define READ_SIZE (64U << 10)

struct ws_lines {
	FILE *in;
	struct ws_buf buf;
	size_t at; /* where the next line begins */
	bool ended;
	uint64_t first, next; /* line numbers */
	size_t first_end;     /* of the row that was given: behind its first end of line, 0: none */
};

struct ws_lines *ws_lines_new(FILE *in)
{
	struct ws_lines *lines = calloc(1, sizeof(*lines));

	if (lines) {
		lines->in = in;
		lines->next = 1;
	}
	return lines;
}

void ws_lines_free(struct ws_lines *lines)
{
	if (!lines)
		return;
	ws_buf_deinit(&lines->buf);
	free(lines);
}

uint64_t ws_lines_first(const struct ws_lines *lines)
{
	return lines->first;
}

/* Reads more; returns 1, 0 at the end, -1 with errno set. */
static int fill(struct ws_lines *l)
{
	size_t n;

	if (l->ended)
		return 0;
	if (l->at && l->at >= l->buf.len / 2) {
		memmove(l->buf.data, l->buf.data + l->at, l->buf.len - l->at);
		l->buf.len -= l->at;
		l->at = 0;
	}
	if (ws_buf_reserve(&l->buf, READ_SIZE + 1)) {
		errno = ENOMEM;
		return -1;
	}
	errno = 0;
	n = fread(l->buf.data + l->buf.len, 1, READ_SIZE, l->in);
	l->buf.len += n;
	l->buf.data[l->buf.len] = '\0';
	if (n)
		return 1;
	if (ferror(l->in)) {
		errno = errno ? errno : EIO;
		return -1;
	}
	l->ended = true;
	return 0;
}

/* How far a line has been looked at. */
struct scan {
	size_t len;	  /* from its start */
	size_t first_len; /* of its first physical line, 0: not at its end yet */
	bool has_first;
	bool csv, open; /* a row; a quote is */
	uint64_t ends;	/* ends of lines in it */
};

/* Looks at what is there; true at the end of the line. */
static bool scan_on(const struct ws_lines *l, struct scan *s)
{
	const char *text = l->buf.data + l->at;
	size_t have = l->buf.len - l->at;

	for (; s->len < have && s->len <= WS_LINE_MAX; s->len++) {
		char c = text[s->len];

		if (c == '"' && s->csv)
			s->open = !s->open;
		if (c != '\n')
			continue;
		if (!s->has_first)
			s->first_len = s->len;
		s->has_first = true;
		if (!s->open)
			return true;
		s->ends++;
	}
	return false;
}

static int give(struct ws_lines *l, const char **line, size_t len, uint64_t ends, size_t behind,
		size_t *out)
{
	*line = l->buf.data + l->at;
	*out = len;
	if (len && (*line)[len - 1] == '\r')
		--*out;
	l->first = l->next;
	l->next += ends;
	l->at += behind;
	return 1;
}

void ws_lines_give_up(struct ws_lines *l)
{
	if (!l->first_end)
		return;
	l->at = l->first_end;
	l->next = l->first + 1;
	l->first_end = 0;
}

/* Passes over the rest of a line that is too long. */
static int skip(struct ws_lines *l)
{
	int rc = 1;

	l->first = l->next++;
	for (;;) {
		const char *text = l->buf.data + l->at;
		const char *end = memchr(text, '\n', l->buf.len - l->at);

		if (end) {
			l->at += (size_t)(end - text) + 1;
			return 2;
		}
		l->at = l->buf.len;
		rc = fill(l);
		if (rc <= 0)
			return rc ? rc : 2;
	}
}

static bool is_object(const struct ws_lines *l)
{
	size_t at = l->at + strspn(l->buf.data + l->at, " \t");

	return at < l->buf.len && l->buf.data[at] == '{';
}

int ws_lines_next(struct ws_lines *l, const char **line, size_t *len)
{
	struct scan s = { 0 };
	int rc;

	l->first_end = 0;
	if (l->at == l->buf.len) {
		rc = fill(l);
		if (rc <= 0)
			return rc;
	}
	s.csv = !is_object(l);
	while (!scan_on(l, &s)) {
		if (s.len > WS_LINE_MAX && !s.has_first)
			return skip(l);
		rc = s.len > WS_LINE_MAX ? 0 : fill(l);
		if (rc < 0)
			return -1;
		if (rc)
			continue;
		/* Its quote is not closed. */
		if (s.has_first)
			return give(l, line, s.first_len, 1, s.first_len + 1, len);
		return give(l, line, s.len, 1, s.len, len);
	}
	if (s.ends)
		l->first_end = l->at + s.first_len + 1;
	return give(l, line, s.len, s.ends + 1, s.len + 1, len);
}
