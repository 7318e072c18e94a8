/* SPDX-License-Identifier: BSD-2-Clause */
/* csv.c: a row as PostgreSQL writes it (appendCSVLiteral): quotes inside a quoted value are
 * doubled, and a value that is not quoted holds none. */
#include <stdio.h>
#include <string.h>

#include "import/log.h"

/* A quoted value, taken out of its quotes in place; NULL if they are not closed. */
static char *unquote(char *at, char *end, char **value)
{
	char *to = at;

	*value = at++;
	for (; at < end; at++) {
		if (*at == '"') {
			if (at + 1 == end || at[1] != '"') {
				*to = '\0';
				return at + 1;
			}
			at++;
		}
		*to++ = *at;
	}
	return NULL;
}

size_t ws_csv_split(char *text, size_t len, char **columns, size_t max, char why[WS_IMPORT_WHY])
{
	char *at = text, *end = text + len, *comma;
	size_t count = 0;

	for (;;) {
		if (count == max) {
			snprintf(why, WS_IMPORT_WHY, "more than %zu columns", max);
			return 0;
		}
		if (at < end && *at == '"') {
			at = unquote(at, end, &columns[count++]);
			if (!at) {
				snprintf(why, WS_IMPORT_WHY, "column %zu: its quote is not closed",
					 count);
				return 0;
			}
		} else {
			columns[count++] = at;
			comma = memchr(at, ',', (size_t)(end - at));
			at = comma ? comma : end;
		}
		if (at == end) {
			*end = '\0';
			return count;
		}
		if (*at != ',') {
			snprintf(why, WS_IMPORT_WHY, "column %zu: goes on behind its quote", count);
			return 0;
		}
		*at++ = '\0';
	}
}
