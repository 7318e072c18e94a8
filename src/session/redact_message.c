/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages: at each byte, does a literal of the command begin here? The literals are sorted, and
 * few of them are looked at, however many there are and however alike: a client must not be able to
 * keep the collector busy. Where that might miss one, more is taken out than need be.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/util.h"
#include "session/redact.h"
#include "session/redact_parts.h"

#define UNQUOTED_MIN 4	  /* bytes of a literal that is replaced without quotes around it */
#define ALIKE_MIN    64	  /* so much in common with a literal is taken for a part of it */
#define COMPARED_MAX 256  /* bytes */
#define LOOKED_AT    16	  /* literals that begin alike */
#define URI_MAX	     4096 /* bytes in front of a host */
#define QUOTES_MAX   4	  /* closing quotes that are tried for an opening one */

static const char stars[] = "***";

struct message {
	const char *text;
	size_t len;
	bool whole;
	const struct ws_literals *literals;
};

static int compare(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int order = memcmp(a, b, a_len < b_len ? a_len : b_len);

	if (order)
		return order;
	return a_len < b_len ? -1 : a_len > b_len;
}

static int by_bytes(const void *x, const void *y, void *arg)
{
	const struct ws_literal *a = x, *b = y;
	const char *bytes = arg;
	int order = compare(bytes + a->at, a->len, bytes + b->at, b->len);

	return order ? order : (int)a->kind - (int)b->kind;
}

static void sort(struct ws_literals *literals)
{
	if (!literals->sorted && literals->count)
		qsort_r(literals->items, literals->count, sizeof(*literals->items), by_bytes,
			literals->bytes.data);
	literals->sorted = true;
}

static const char *bytes_of(const struct message *m, size_t i)
{
	return m->literals->bytes.data + m->literals->items[i].at;
}

/* How many literals sort before this text, of which `max` bytes are looked at; one that agrees so
 * far counts if `equal`. */
static size_t bound(const struct message *m, const char *text, size_t len, size_t max, bool equal)
{
	size_t lo = 0, hi = m->literals->count;

	len = len < max ? len : max;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2, its = m->literals->items[mid].len;
		int order = compare(bytes_of(m, mid), its < max ? its : max, text, len);

		if (order < 0 || (equal && order == 0))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool is_quote(const struct message *m, size_t at)
{
	unsigned char c;

	if (at >= m->len)
		return at == m->len && !m->whole;
	c = (unsigned char)m->text[at];
	return c == '"' || c == '\'' || c == '`' || c >= 0x80; /* quotes of other languages, too */
}

static bool is_word(const struct message *m, size_t at)
{
	return at < m->len && (isalnum((unsigned char)m->text[at]) || m->text[at] == '_');
}

/* A literal of any kind and length between quotes. */
static size_t match_quoted(const struct message *m, size_t at)
{
	unsigned int tried = 0;
	size_t longest = 0;

	if (!at || !is_quote(m, at - 1))
		return 0;
	for (size_t end = at + 1; end <= m->len && tried < QUOTES_MAX; end++) {
		size_t found, len = end - at;

		if (!is_quote(m, end))
			continue;
		tried++;
		found = bound(m, m->text + at, len, SIZE_MAX, false);
		if (found < m->literals->count && m->literals->items[found].len == len &&
		    memcmp(bytes_of(m, found), m->text + at, len) == 0)
			longest = len;
	}
	return longest;
}

static size_t in_common(const struct message *m, size_t at, size_t i)
{
	size_t len = m->len - at, n = 0;

	if (i >= m->literals->count)
		return 0;
	if (m->literals->items[i].len < len)
		len = m->literals->items[i].len;
	while (n < len && bytes_of(m, i)[n] == m->text[at + n])
		n++;
	return n;
}

/* Does this literal stand here, without quotes? */
static bool stands_here(const struct message *m, size_t at, size_t i)
{
	const struct ws_literal *item = &m->literals->items[i];

	if (item->kind == WS_LITERAL_WORD || item->len < UNQUOTED_MIN ||
	    in_common(m, at, i) < item->len)
		return false;
	if (item->kind == WS_LITERAL_NUMBER)
		return !(at && is_word(m, at - 1)) && !is_word(m, at + item->len);
	return true;
}

/* A part that is long enough, or that the message's end has cut off. */
static size_t match_part(const struct message *m, size_t at, size_t i)
{
	size_t n = in_common(m, at, i);

	if (n >= ALIKE_MIN)
		return n;
	return !m->whole && n >= UNQUOTED_MIN && at + n == m->len ? n : 0;
}

static size_t match_unquoted(const struct message *m, size_t at)
{
	const char *text = m->text + at;
	size_t len = m->len - at, i, seen = 0, n, part;

	if (len < UNQUOTED_MIN)
		return 0;
	i = bound(m, text, len, COMPARED_MAX, true);
	part = match_part(m, at, i);
	if (i && (n = match_part(m, at, i - 1)) > part)
		part = n;
	/* Literals that begin what stands here sort in front of it, the longest last. */
	for (; i && seen < LOOKED_AT; i--, seen++) {
		if (in_common(m, at, i - 1) < UNQUOTED_MIN)
			return part;
		if (stands_here(m, at, i - 1))
			return m->literals->items[i - 1].len > part ? m->literals->items[i - 1].len
								    : part;
	}
	if (!i)
		return part;
	/* Too many begin alike: the word. */
	for (n = UNQUOTED_MIN; is_word(m, at + n);)
		n++;
	return n > part ? n : part;
}

/* -- connection strings */

/* Options whose values are secret, or say where a secret is (libpq's conninfo_options, 10 to 18).
 */
static const char *const secret_options[] = {
	"password",	    "sslpassword",	   "passfile", "sslkey",     "scram_client_key",
	"scram_server_key", "oauth_client_secret", "passwd",   "pgpassword",
};

static size_t blanks(const struct message *m, size_t at)
{
	size_t n = 0;

	while (at + n < m->len && (m->text[at + n] == ' ' || m->text[at + n] == '\t'))
		n++;
	return n;
}

/* Where the value of a conninfo's option ends. */
static size_t value_end(const struct message *m, size_t at)
{
	char quote = at < m->len && m->text[at] == '\'' ? '\'' : '\0';

	if (quote)
		at++;
	while (at < m->len && (quote ? m->text[at] != quote : !isspace((unsigned char)m->text[at])))
		at += m->text[at] == '\\' && at + 1 < m->len ? 2 : 1;
	if (at > m->len)
		at = m->len;
	if (quote)
		return at < m->len ? at + 1 : at;
	return at && m->text[at - 1] == '"' ? at - 1 : at; /* the string's own end */
}

/* "password=secret": *keep is what stays of it in front. Returns its length, 0 if it is none. */
static size_t match_option(const struct message *m, size_t at, size_t *keep)
{
	if (is_word(m, at) && !(at && is_word(m, at - 1))) {
		for (size_t i = 0; i < WS_ARRAY_SIZE(secret_options); i++) {
			size_t len = strlen(secret_options[i]), value;

			if (m->len - at <= len || strncasecmp(m->text + at, secret_options[i], len))
				continue;
			value = at + len + blanks(m, at + len);
			if (value >= m->len || m->text[value] != '=')
				continue;
			value++;
			value += blanks(m, value);
			*keep = value - at;
			return value_end(m, value) - at;
		}
	}
	return 0;
}

/* "://user:secret@host" */
static size_t match_uri(const struct message *m, size_t at, size_t *keep)
{
	size_t end, colon = 0, last = 0;

	if (m->len - at < 3 || memcmp(m->text + at, "://", 3) != 0)
		return 0;
	for (end = at + 3; end < m->len && end - at < URI_MAX; end++) {
		if (isspace((unsigned char)m->text[end]))
			break;
		if (m->text[end] == ':' && !colon)
			colon = end;
		if (m->text[end] == '@')
			last = end;
	}
	/* A password may have any of the characters that end the host. */
	if (!colon || (last && last < colon) || (!last && (m->whole || end < m->len)))
		return 0;
	*keep = colon + 1 - at;
	return (last ? last : m->len) - at;
}

/* -- all of it */

static size_t match(const struct message *m, size_t at, size_t *keep)
{
	size_t n = match_option(m, at, keep), quoted;

	if (!n)
		n = match_uri(m, at, keep);
	if (n)
		return n;
	*keep = 0;
	if (!m->literals->count)
		return 0;
	quoted = match_quoted(m, at);
	n = match_unquoted(m, at);
	return quoted > n ? quoted : n;
}

int ws_redact_message(const char *text, size_t len, bool whole, struct ws_literals *literals,
		      struct ws_buf *out)
{
	const struct message m = { .text = text, .len = len, .whole = whole, .literals = literals };
	size_t at = 0, kept = 0;

	if (literals->incomplete)
		return len ? ws_buf_addstr(out, stars) : 0;
	sort(literals);
	while (at < len) {
		size_t keep, n = match(&m, at, &keep);

		if (!n) {
			at++;
			continue;
		}
		if (ws_buf_add(out, text + kept, at + keep - kept) || ws_buf_addstr(out, stars))
			return -1;
		at += n;
		kept = at;
	}
	return ws_buf_add(out, text + kept, len - kept);
}
