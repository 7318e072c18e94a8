/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whom commits wait for, by synchronous_standby_names (syncrep_gram.y, syncrep_scanner.l): a list
 * of names, or [FIRST | ANY] n (list). The one that is in front of others counts more, but for ANY.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/util.h"
#include "diagnose/evidence.h"

/* A name, a number, or one of "*(),"; false at the end. Too long a name is cut: it is none that
 * anybody has. */
static bool token(const char **at, char out[WS_NAME_LEN], bool *quoted)
{
	size_t n = 0;

	*at += strspn(*at, " \t\n\r\f");
	*quoted = **at == '"';
	if (!**at)
		return false;
	if (!*quoted && strchr("*(),", **at)) {
		out[n++] = *(*at)++;
		out[n] = '\0';
		return true;
	}
	for (*at += *quoted; **at; (*at)++) {
		if (*quoted && **at == '"' && *++*at != '"')
			break;
		if (!*quoted && strchr("*(),\" \t\n\r\f", **at))
			break;
		if (n + 1 < WS_NAME_LEN)
			out[n++] = **at;
	}
	out[n] = '\0';
	return true;
}

/* Up to where the list begins. */
static const char *head(const char *names, struct ws_sync *sync)
{
	char first[WS_NAME_LEN], second[WS_NAME_LEN];
	const char *at = names;
	bool quoted, any, number;

	*sync = (struct ws_sync){ .needed = 1 };
	if (!token(&at, first, &quoted))
		return names;
	any = !quoted && strcasecmp(first, "any") == 0;
	number = !quoted && first[0] >= '0' && first[0] <= '9';
	if (!number && (any || (!quoted && strcasecmp(first, "first") == 0))) {
		if (!token(&at, first, &quoted) || quoted || first[0] < '0' || first[0] > '9')
			return names;
		number = true;
	}
	if (!number || !token(&at, second, &quoted) || quoted || second[0] != '(')
		return names;
	sync->any = any;
	sync->needed = (uint32_t)strtoul(first, NULL, 10);
	return at;
}

void ws_sync_read(const char *names, struct ws_sync *sync)
{
	head(names, sync);
}

/* SyncRepGetStandbyPriority, syncrep.c */
uint32_t ws_sync_place(const char *names, const char *application)
{
	struct ws_sync sync;
	const char *at = head(names, &sync);
	char name[WS_NAME_LEN];
	uint32_t place = 0;
	bool quoted;

	while (token(&at, name, &quoted)) {
		if (!quoted && strchr("(),", name[0]))
			continue;
		place++;
		if (strcasecmp(name, application) == 0 || strcmp(name, "*") == 0)
			return place;
	}
	return 0;
}
