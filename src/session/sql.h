/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sql.h: the tokens of a statement as PostgreSQL's scan.l (10 to 18) sees them, as far as it takes
 * to tell literals from the rest. Replication commands (repl_scanner.l) are a subset.
 */
#ifndef WS_SESSION_SQL_H
#define WS_SESSION_SQL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"

enum ws_sql_type {
	WS_SQL_OTHER = 0, /* white space, operators, punctuation */
	WS_SQL_NAME,	  /* keywords, identifiers, "quoted" ones */
	WS_SQL_PARAM,	  /* $1 */
	WS_SQL_NUMBER,
	WS_SQL_STRING, /* '', E'', B'', X'', N'', U&'', $$$$; continued ones are one */
	WS_SQL_COMMENT,
};

struct ws_sql_token {
	enum ws_sql_type type;
	const char *text; /* in the statement, prefix and quotes included */
	size_t len;
	/* The statement ends inside it, or so it is taken: where a plain string has \' in it, what
	 * that means depends on standard_conforming_strings, and so does all behind it. */
	bool open;
};

struct ws_sql {
	const char *at, *end;
	struct ws_buf value; /* of the last string token: what the server takes it for */
};

/* Returns 1, 0 at the end, -1 when memory ran out. The value is the caller's to release. */
int ws_sql_next(struct ws_sql *sql, struct ws_sql_token *token);

#endif
