/* SPDX-License-Identifier: BSD-2-Clause */
#include "session/sql.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

enum style { STYLE_PLAIN, STYLE_ESCAPES, STYLE_UNICODE, STYLE_BITS };

static bool starts_name(char c)
{
	unsigned char u = (unsigned char)c;

	return isalpha(u) || c == '_' || u >= 0x80;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool continues_name(char c)
{
	return starts_name(c) || is_digit(c) || c == '$';
}

static size_t left(const struct ws_sql *s)
{
	return (size_t)(s->end - s->at);
}

static bool follows(const struct ws_sql *s, const char *what)
{
	size_t len = strlen(what);

	return left(s) >= len && memcmp(s->at, what, len) == 0;
}

static int add(struct ws_sql *s, char c)
{
	return ws_buf_add(&s->value, &c, 1);
}

static int add_code(struct ws_sql *s, uint32_t code)
{
	char u[4];
	size_t n = 0;

	if (code < 0x80) {
		u[n++] = (char)code;
	} else if (code < 0x800) {
		u[n++] = (char)(0xc0 | code >> 6);
	} else if (code < 0x10000) {
		u[n++] = (char)(0xe0 | code >> 12);
		u[n++] = (char)(0x80 | (code >> 6 & 0x3f));
	} else {
		u[n++] = (char)(0xf0 | (code >> 18 & 0x07));
		u[n++] = (char)(0x80 | (code >> 12 & 0x3f));
		u[n++] = (char)(0x80 | (code >> 6 & 0x3f));
	}
	if (code >= 0x80)
		u[n++] = (char)(0x80 | (code & 0x3f));
	return ws_buf_add(&s->value, u, n);
}

/* At most `max` digits of this base; returns how many there were. */
static size_t take_digits(struct ws_sql *s, unsigned int base, size_t max, uint32_t *value)
{
	static const char digits[] = "0123456789abcdef";
	size_t n = 0;

	*value = 0;
	while (n < max && s->at < s->end) {
		const char *digit = memchr(digits, tolower((unsigned char)*s->at), base);

		if (!digit)
			break;
		*value = *value * base + (uint32_t)(digit - digits);
		s->at++;
		n++;
	}
	return n;
}

/* Behind the backslash of an E'' string. */
static int take_escape(struct ws_sql *s)
{
	static const char from[] = "bfnrtv", to[] = "\b\f\n\r\t\v";
	const char *known;
	uint32_t code;
	char c;

	if (s->at == s->end)
		return 0;
	c = *s->at;
	if (c >= '0' && c <= '7') {
		take_digits(s, 8, 3, &code);
		return add(s, (char)code);
	}
	s->at++;
	if (c == 'x')
		return take_digits(s, 16, 2, &code) ? add(s, (char)code) : add(s, c);
	if (c == 'u' || c == 'U')
		return take_digits(s, 16, c == 'u' ? 4 : 8, &code) ? add_code(s, code) : add(s, c);
	known = strchr(from, c);
	return add(s, c && known ? to[known - from] : c);
}

/* Behind the backslash of a U&'' string (its usual escape character). */
static int take_unicode(struct ws_sql *s)
{
	uint32_t code;

	if (follows(s, "+")) {
		s->at++;
		return take_digits(s, 16, 6, &code) ? add_code(s, code) : add(s, '+');
	}
	if (take_digits(s, 16, 4, &code))
		return add_code(s, code);
	return follows(s, "\\") ? add(s, *s->at++) : add(s, '\\');
}

/* White space with a newline in it, in which comments may stand, between two pieces of one string
 * (quotecontinue in scan.l). */
static bool continues_string(struct ws_sql *s)
{
	const char *p = s->at;
	bool newline = false;

	for (; p < s->end; p++) {
		if (s->end - p >= 2 && p[0] == '-' && p[1] == '-') {
			while (p < s->end && *p != '\n' && *p != '\r')
				p++;
			if (p == s->end)
				return false;
		}
		if (*p == '\n' || *p == '\r')
			newline = true;
		else if (!memchr(" \t\f\v", *p, 4))
			break;
	}
	if (!newline || p == s->end || *p != '\'')
		return false;
	s->at = p + 1;
	return true;
}

/* A run of backslashes in a plain string. True if it may hide the quote behind it. */
static bool hides_quote(const struct ws_sql *s)
{
	const char *p = s->at;

	while (p < s->end && *p == '\\')
		p++;
	return p < s->end && *p == '\'' && (p - s->at) % 2;
}

/* Behind an opening quote. */
static int take_string(struct ws_sql *s, enum style style, bool *open)
{
	int rc = 0;

	while (rc == 0 && s->at < s->end) {
		char c = *s->at;

		if (c == '\'' && !follows(s, "''")) {
			s->at++;
			if (!continues_string(s))
				return 0;
			continue;
		}
		if (c == '\\' && style == STYLE_PLAIN && (s->at[-1] != '\\') && hides_quote(s)) {
			rc = ws_buf_add(&s->value, s->at, left(s));
			s->at = s->end;
			break;
		}
		s->at += c == '\'' ? 2 : 1;
		if (c == '\\' && style == STYLE_ESCAPES)
			rc = take_escape(s);
		else if (c == '\\' && style == STYLE_UNICODE)
			rc = take_unicode(s);
		else
			rc = add(s, c);
	}
	*open = true;
	return rc;
}

/* $$...$$ or $tag$...$tag$; anything else that begins with $ is left alone. */
static int take_dollar(struct ws_sql *s, struct ws_sql_token *t)
{
	const char *begin = s->at, *tag_end = begin + 1, *close;
	size_t tag;

	if (tag_end < s->end && is_digit(*tag_end)) {
		t->type = WS_SQL_PARAM;
		for (s->at++; s->at < s->end && is_digit(*s->at);)
			s->at++;
		return 0;
	}
	if (tag_end < s->end && starts_name(*tag_end))
		while (tag_end < s->end && *tag_end != '$' && continues_name(*tag_end))
			tag_end++;
	s->at++;
	if (tag_end == s->end || *tag_end != '$')
		return 0;
	t->type = WS_SQL_STRING;
	tag = (size_t)(tag_end + 1 - begin);
	s->at = begin + tag;
	close = memmem(s->at, left(s), begin, tag);
	t->open = !close;
	if (!close)
		close = s->end;
	if (ws_buf_add(&s->value, s->at, (size_t)(close - s->at)))
		return -1;
	s->at = t->open ? s->end : close + tag;
	return 0;
}

static int take_name(struct ws_sql *s, struct ws_sql_token *t)
{
	static const struct {
		const char *prefix;
		enum style style;
	} prefixes[] = { { "e'", STYLE_ESCAPES },  { "b'", STYLE_BITS },  { "x'", STYLE_BITS },
			 { "u&'", STYLE_UNICODE }, { "n'", STYLE_PLAIN }, { NULL, STYLE_PLAIN } };

	for (size_t i = 0; prefixes[i].prefix; i++) {
		size_t len = strlen(prefixes[i].prefix);

		if (left(s) < len || tolower((unsigned char)*s->at) != prefixes[i].prefix[0] ||
		    memcmp(s->at + 1, prefixes[i].prefix + 1, len - 1) != 0)
			continue;
		t->type = WS_SQL_STRING;
		s->at += len;
		return take_string(s, prefixes[i].style, &t->open);
	}
	t->type = WS_SQL_NAME;
	while (s->at < s->end && continues_name(*s->at))
		s->at++;
	return 0;
}

static void take_quoted_name(struct ws_sql *s, struct ws_sql_token *t)
{
	t->type = WS_SQL_NAME;
	for (s->at++; s->at < s->end; s->at++) {
		if (*s->at != '"')
			continue;
		if (!follows(s, "\"\"")) {
			s->at++;
			return;
		}
		s->at++;
	}
	t->open = true;
}

/* Also what may only look like a number: junk behind it, underscores, other bases. Behind junk a $
 * is part of a name or begins a string, which differs by major. */
static void take_number(struct ws_sql *s, struct ws_sql_token *t)
{
	const char *begin = s->at;
	bool decimal = true;

	t->type = WS_SQL_NUMBER;
	for (; s->at < s->end; s->at++) {
		char c = *s->at, last = s->at > begin ? s->at[-1] : '0';

		if ((c == '+' || c == '-') && decimal && (last == 'e' || last == 'E')) {
			decimal = false;
			continue;
		}
		if (c == '$' && !(decimal && (is_digit(last) || last == '.'))) {
			t->open = true;
			s->at = s->end;
			return;
		}
		if (c == '$' || (c == '.' ? last == '.' || follows(s, "..") : !continues_name(c)))
			break;
		if (!is_digit(c) && c != '.' && c != 'e' && c != 'E')
			decimal = false;
	}
}

static void take_comment(struct ws_sql *s, struct ws_sql_token *t)
{
	size_t depth = 0;

	t->type = WS_SQL_COMMENT;
	if (*s->at == '-') {
		while (s->at < s->end && *s->at != '\n' && *s->at != '\r')
			s->at++;
		return;
	}
	while (s->at < s->end) {
		if (follows(s, "/*"))
			depth++;
		else if (follows(s, "*/"))
			depth--;
		else {
			s->at++;
			continue;
		}
		s->at += 2;
		if (!depth)
			return;
	}
	t->open = true;
}

int ws_sql_next(struct ws_sql *s, struct ws_sql_token *t)
{
	int rc = 0;
	char c;

	*t = (struct ws_sql_token){ .type = WS_SQL_OTHER, .text = s->at };
	ws_buf_clear(&s->value);
	if (s->at == s->end)
		return 0;
	c = *s->at;
	if (c == '\'') {
		t->type = WS_SQL_STRING;
		s->at++;
		rc = take_string(s, STYLE_PLAIN, &t->open);
	} else if (c == '$') {
		rc = take_dollar(s, t);
	} else if (c == '"') {
		take_quoted_name(s, t);
	} else if (starts_name(c)) {
		rc = take_name(s, t);
	} else if (is_digit(c) || (c == '.' && left(s) > 1 && is_digit(s->at[1]))) {
		take_number(s, t);
	} else if (follows(s, "--") || follows(s, "/*")) {
		take_comment(s, t);
	} else {
		s->at += follows(s, "..") ? 2 : 1;
	}
	t->len = (size_t)(s->at - t->text);
	return rc ? -1 : 1;
}
