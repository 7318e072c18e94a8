/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>
#include <strings.h>

#include <xxhash.h>

#include "diagnose/evidence.h"
#include "session/sql.h"

static bool is_word(const struct ws_sql_token *token, const char *word)
{
	return token->type == WS_SQL_NAME && token->len == strlen(word) &&
	       strncasecmp(token->text, word, token->len) == 0;
}

static int add_name(struct ws_buf *names, const char *name, size_t len)
{
	return ws_buf_add(names, name, len) || ws_buf_add(names, "", 1) ? -1 : 0;
}

/* "one","two", as libpqwalreceiver.c writes them. */
static int add_identifiers(struct ws_buf *names, const char *text, size_t len)
{
	bool quoted = false;

	for (size_t i = 0; i < len; i++) {
		if (text[i] == '"' && quoted && i + 1 < len && text[i + 1] == '"') {
			i++;
		} else if (text[i] == '"') {
			quoted = !quoted;
			if (!quoted && ws_buf_add(names, "", 1))
				return -1;
			continue;
		}
		if (quoted && ws_buf_add(names, &text[i], 1))
			return -1;
	}
	return 0;
}

enum where { ELSEWHERE, BEHIND_OPTION, BEHIND_COLUMN, IN_LIST };

static int add_token(struct ws_buf *names, const struct ws_sql_token *token,
		     const struct ws_buf *value, enum where *where)
{
	int rc = 0;

	if (is_word(token, "publication_names"))
		*where = BEHIND_OPTION;
	else if (is_word(token, "pubname"))
		*where = BEHIND_COLUMN;
	else if (token->type == WS_SQL_NAME)
		*where = *where == BEHIND_COLUMN && is_word(token, "in") ? IN_LIST : ELSEWHERE;
	else if (*where == IN_LIST && memchr(token->text, ')', token->len) &&
		 token->type == WS_SQL_OTHER)
		*where = ELSEWHERE;
	else if (token->type == WS_SQL_STRING && *where == BEHIND_OPTION) {
		rc = add_identifiers(names, value->data, value->len);
		*where = ELSEWHERE;
	} else if (token->type == WS_SQL_STRING && *where == IN_LIST) {
		rc = add_name(names, value->data, value->len);
	}
	return rc;
}

uint64_t ws_publications_named(const char *text, size_t len)
{
	struct ws_sql sql = { .at = text, .end = text + len };
	struct ws_buf names = { 0 };
	enum where where = ELSEWHERE;
	struct ws_sql_token token;
	uint64_t hash = 0;

	if (!memmem(text, len, "pubname", 7) && !memmem(text, len, "publication_names", 17))
		return 0;
	/* Where memory runs out nothing is known. */
	while (ws_sql_next(&sql, &token) > 0)
		if (token.open || add_token(&names, &token, &sql.value, &where)) {
			ws_buf_clear(&names);
			break;
		}
	if (names.len)
		hash = XXH3_64bits(names.data, names.len);
	ws_buf_deinit(&sql.value);
	ws_buf_deinit(&names);
	return hash;
}
