/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * redact.h: takes what may be secret out of commands and of the errors they end in.
 *
 * In SQL each literal becomes $1, $2, ... as in pg_stat_statements, behind the highest parameter
 * there is; in a replication command a string becomes '***', and positions, numbers and names stay.
 * Comments are left out. What follows a literal, name or comment that does not end goes with it.
 * In a message *** stands for each of the command's literals, strings inside of strings included,
 * that is quoted whole, or is not quoted and has 4 bytes or more, and for the secrets of connection
 * strings. Where not all literals of the command are known the whole message is ***.
 */
#ifndef WS_SESSION_REDACT_H
#define WS_SESSION_REDACT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"

/* The note of a recording whose texts were redacted. */
#define WS_REDACTED_NOTE "redacted: literals and comments were taken out of commands and messages"

/* What was taken out of a command. Zero-initialise. */
struct ws_literals {
	struct ws_buf bytes;
	struct ws_literal *items;
	size_t count, cap;
	bool incomplete; /* there may be others */
	bool sorted;
};

void ws_literals_clear(struct ws_literals *literals);
void ws_literals_deinit(struct ws_literals *literals);

/* Appends the redacted text to `out` and what was taken out to `literals`. `whole`: nothing of the
 * text is missing. These return -1 when memory ran out. */
int ws_redact_command(const char *text, size_t len, bool whole, struct ws_buf *out,
		      struct ws_literals *literals);
int ws_redact_message(const char *text, size_t len, bool whole, struct ws_literals *literals,
		      struct ws_buf *out);

#endif
