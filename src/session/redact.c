/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Commands: token by token. What is put down for the messages is each literal as the server takes
 * it and as it was written, its words, of which errors quote one of a connection string alone, the
 * parts of a format, and the strings in it.
 */
#include "session/redact.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/util.h"
#include "session/machine.h"
#include "session/redact_parts.h"
#include "session/sql.h"

/* Longer strings are no connection strings. */
#define CONNINFO_MAX 4096
#define NESTED_MAX   4 /* strings in strings */

void ws_literals_clear(struct ws_literals *literals)
{
	struct ws_buf bytes = literals->bytes;
	struct ws_literal *items = literals->items;
	size_t cap = literals->cap;

	/* What a usual command needs is kept. */
	if (bytes.cap > 4096 || cap > 256) {
		ws_literals_deinit(literals);
		return;
	}
	ws_buf_clear(&bytes);
	*literals = (struct ws_literals){ .bytes = bytes, .items = items, .cap = cap };
}

void ws_literals_deinit(struct ws_literals *literals)
{
	ws_buf_deinit(&literals->bytes);
	free(literals->items);
	*literals = (struct ws_literals){ 0 };
}

static int put_down(struct ws_literals *literals, enum ws_literal_kind kind, const char *text,
		    size_t len)
{
	size_t at = literals->bytes.len;
	struct ws_literal *item;

	if (!len)
		return 0;
	if (ws_buf_add(&literals->bytes, text, len))
		return -1;
	item = ws_array_grow(&literals->items, &literals->count, &literals->cap, sizeof(*item));
	if (!item)
		return -1;
	*item = (struct ws_literal){ .at = at, .len = len, .kind = kind };
	return 0;
}

/* "host=a password='b c'", "postgresql://u:p@h/d": a, b and so on. */
static int put_down_words(struct ws_literals *literals, const char *text, size_t len)
{
	static const char separators[] = " \t\n\r=:;,'\"(){}[]/@&?\\";
	size_t word = 0;

	if (len > CONNINFO_MAX)
		return 0;
	for (size_t i = 0; i <= len; i++) {
		if (i < len && !memchr(separators, text[i], sizeof(separators) - 1))
			continue;
		if (i - word < len && put_down(literals, WS_LITERAL_WORD, text + word, i - word))
			return -1;
		word = i + 1;
	}
	return 0;
}

/* What stands between the % of RAISE's formats. */
static int put_down_format(struct ws_literals *literals, const char *text, size_t len)
{
	size_t part = 0;

	if (len > CONNINFO_MAX)
		return 0;
	for (size_t i = 0; i <= len; i++) {
		if (i < len && text[i] != '%')
			continue;
		if (i - part < len && put_down(literals, WS_LITERAL_TEXT, text + part, i - part))
			return -1;
		part = i + 1;
	}
	return 0;
}

static int put_down_token(struct ws_literals *literals, const struct ws_sql *sql,
			  const struct ws_sql_token *token, int depth);

/* A string may be code with strings in it: the body of a function, what EXECUTE is given. */
static int put_down_nested(struct ws_literals *literals, const struct ws_buf *value, int depth)
{
	struct ws_sql sql = { .at = value->data, .end = value->data + value->len };
	struct ws_sql_token token;
	int rc = 1;

	if (depth == NESTED_MAX ||
	    (!memchr(value->data, '\'', value->len) && !memchr(value->data, '$', value->len)))
		return 0;
	while (rc > 0 && (rc = ws_sql_next(&sql, &token)) > 0)
		if (token.type == WS_SQL_STRING && put_down_token(literals, &sql, &token, depth))
			rc = -1;
	ws_buf_deinit(&sql.value);
	return rc;
}

static int put_down_token(struct ws_literals *literals, const struct ws_sql *sql,
			  const struct ws_sql_token *token, int depth)
{
	const struct ws_buf *value = &sql->value;

	if (token->type == WS_SQL_NUMBER)
		return put_down(literals, WS_LITERAL_NUMBER, token->text, token->len);
	if (!value->len)
		return 0;
	if (put_down(literals, WS_LITERAL_TEXT, value->data, value->len) ||
	    put_down_words(literals, value->data, value->len) ||
	    put_down_format(literals, value->data, value->len) ||
	    put_down_nested(literals, value, depth + 1))
		return -1;
	/* With escapes in it the server quotes it as it was written in some errors. */
	if (memmem(token->text, token->len, value->data, value->len))
		return 0;
	return put_down(literals, WS_LITERAL_TEXT, token->text, token->len);
}

/* The highest $n of the text. */
static int highest_param(const char *text, size_t len, unsigned long *highest)
{
	struct ws_sql sql = { .at = text, .end = text + len };
	struct ws_sql_token token;
	int rc;

	*highest = 0;
	while ((rc = ws_sql_next(&sql, &token)) > 0) {
		unsigned long n = 0;

		if (token.type != WS_SQL_PARAM)
			continue;
		for (size_t i = 1; i < token.len && n < 100000; i++)
			n = n * 10 + (unsigned long)(token.text[i] - '0');
		if (n < 100000 && n > *highest)
			*highest = n;
	}
	ws_buf_deinit(&sql.value);
	return rc;
}

/* What stands for a token. */
static int replace(const struct ws_sql_token *token, bool replication, unsigned long *param,
		   struct ws_buf *out)
{
	if (token->type == WS_SQL_COMMENT)
		return ws_buf_addstr(out, token->text[0] == '/' ? " " : "");
	if (token->type == WS_SQL_NAME) /* one that does not end */
		return ws_buf_addstr(out, "***");
	return replication ? ws_buf_addstr(out, "'***'") : ws_buf_addf(out, "$%lu", ++*param);
}

static bool is_word(const struct ws_sql_token *token, const char *word)
{
	return token->type == WS_SQL_NAME && token->len == strlen(word) &&
	       !strncasecmp(token->text, word, token->len);
}

static bool is_kept(const struct ws_sql_token *token, bool replication)
{
	switch (token->type) {
	case WS_SQL_NUMBER:
		return replication && !token->open;
	case WS_SQL_STRING:
	case WS_SQL_COMMENT:
		return false;
	default:
		return !token->open;
	}
}

int ws_redact_command(const char *text, size_t len, bool whole, struct ws_buf *out,
		      struct ws_literals *literals)
{
	struct ws_sql sql = { .at = text, .end = text + len };
	struct ws_sql_token token;
	struct ws_parsed parsed;
	unsigned long param = 0;
	int rc = 1;

	ws_parse_command(text, len, &parsed);
	if (!parsed.replication && highest_param(text, len, &param))
		return -1;
	literals->sorted = false;
	if (!whole)
		literals->incomplete = true;
	while (rc > 0 && (rc = ws_sql_next(&sql, &token)) > 0) {
		/* What an escape character of its own makes of a string is not worked out. */
		if (token.open || is_word(&token, "uescape"))
			literals->incomplete = true;
		if (is_kept(&token, parsed.replication))
			rc = ws_buf_add(out, token.text, token.len) ? -1 : 1;
		else if (replace(&token, parsed.replication, &param, out) ||
			 (token.type != WS_SQL_COMMENT && token.type != WS_SQL_NAME &&
			  put_down_token(literals, &sql, &token, 0)))
			rc = -1;
	}
	ws_buf_deinit(&sql.value);
	return rc;
}
