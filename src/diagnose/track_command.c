/* SPDX-License-Identifier: BSD-2-Clause */
/* What commands and their errors say. */
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "diagnose/track.h"

/* The position that START_REPLICATION asks for: the first word of the form X/X. */
static uint64_t lsn_in(const char *text, size_t len)
{
	char word[WS_LSN_TEXT];
	size_t at = 0, n;
	uint64_t lsn;

	while (at < len) {
		for (n = 0; at + n < len && text[at + n] != ' '; n++)
			;
		if (n && n < sizeof(word)) {
			memcpy(word, text + at, n);
			word[n] = '\0';
			if (ws_lsn_parse(word, &lsn))
				return lsn;
		}
		at += n + 1;
	}
	return 0;
}

/* The number behind the word TIMELINE; 0: there is none. */
static uint32_t timeline_in(const char *text, size_t len)
{
	static const char word[] = " TIMELINE ";
	const char *at = memmem(text, len, word, sizeof(word) - 1);
	uint32_t number = 0;

	if (!at)
		return 0;
	for (at += sizeof(word) - 1; at < text + len && *at >= '0' && *at <= '9'; at++) {
		if (number > UINT32_MAX / 10 - 1)
			return 0;
		number = number * 10 + (uint32_t)(*at - '0');
	}
	return number;
}

/* Where one time line ends the client asks for the next one, in the same session. */
static void take_timeline(struct ws_track *t, const struct ws_command *c)
{
	uint32_t timeline = timeline_in(c->text, c->text_len);

	if (!timeline)
		return;
	if (t->timeline ? timeline > t->timeline : t->starts > 1) {
		t->switched_from = t->timeline;
		t->switched_lsn = t->command.start_lsn;
		t->switched_ns = c->start_ns;
	}
	t->timeline = timeline;
}

/* Up to the end of a name, with its schema: COPY name (columns) ... */
static size_t name_length(const char *text, size_t len)
{
	bool quoted = false;
	size_t n;

	for (n = 0; n < len && (quoted || (text[n] != ' ' && text[n] != '(' && text[n] != ')'));
	     n++)
		quoted ^= text[n] == '"';
	return n;
}

/* The table that a tablesync worker copies: COPY name ..., or COPY (SELECT ... FROM [ONLY] name ...
 * (tablesync.c, copy_table). */
static void copied_table(const char *text, size_t len, char *table, size_t size)
{
	static const char from[] = " FROM ", only[] = "ONLY ";
	size_t at = 4, n;

	while (at < len && text[at] == ' ')
		at++;
	if (at < len && text[at] == '(') {
		const char *found = memmem(text, len, from, sizeof(from) - 1);

		if (!found)
			return;
		at = (size_t)(found - text) + sizeof(from) - 1;
	}
	if (len - at >= sizeof(only) - 1 && strncasecmp(text + at, only, sizeof(only) - 1) == 0)
		at += sizeof(only) - 1;
	n = name_length(text + at, len - at);
	snprintf(table, size, "%.*s", (int)(n < size ? n : size - 1), text + at);
}

/* pg_create_logical_replication_slot, in SQL: it builds a snapshot as CREATE_REPLICATION_SLOT does
 * (create_logical_replication_slot, slotfuncs.c). */
static bool calls_making(const char *text, size_t len)
{
	static const char name[] = "pg_create_logical_replication_slot";

	for (size_t at = 0; at + sizeof(name) - 1 <= len; at++)
		if (strncasecmp(text + at, name, sizeof(name) - 1) == 0)
			return true;
	return false;
}

void ws_take_command(struct ws_track *t, const struct ws_command *c, bool ended)
{
	uint64_t named = c->text && !c->truncated ? ws_publications_named(c->text, c->text_len) : 0;

	if (named)
		t->publications = named;
	t->command = (struct ws_last_command){ .start_ns = c->start_ns,
					       .end_ns = ended ? c->end_ns : 0,
					       .outcome = ended ? c->outcome : WS_OUTCOME_RUNNING };
	snprintf(t->command.kind, sizeof(t->command.kind), "%s", c->kind ? c->kind : "");
	if (strcmp(t->command.kind, "START_REPLICATION") == 0)
		t->starts++;
	if (c->text && strcmp(t->command.kind, "START_REPLICATION") == 0) {
		t->command.start_lsn = lsn_in(c->text, c->text_len);
		take_timeline(t, c);
	}
	if (strcmp(t->command.kind, "CREATE_REPLICATION_SLOT") == 0 ||
	    (strcmp(t->command.kind, "SQL") == 0 && c->text && calls_making(c->text, c->text_len)))
		t->making = t->command;
	if (c->text && c->text_len >= 4 && strcmp(t->command.kind, "SQL") == 0 &&
	    strncasecmp(c->text, "COPY", 4) == 0) {
		snprintf(t->command.kind, sizeof(t->command.kind), "COPY");
		copied_table(c->text, c->text_len, t->command.table, sizeof(t->command.table));
	}
}

/* Is this a name of the message, in the quotation marks of whatever language it is in? French ones
 * have a space between. */
static bool is_quoted(const char *message, const char *at, size_t len)
{
	static const char marks[] = "\"'`";
	const unsigned char *before = (const unsigned char *)at, after = (unsigned char)at[len];

	if (at == message || (after < 0x80 && after != ' ' && !strchr(marks, after)))
		return false;
	before--;
	if (*before == ' ' && (const char *)before > message)
		return before[-1] >= 0x80;
	return *before >= 0x80 || strchr(marks, *before);
}

/* Does the message name the slot behind the word SLOT? */
static bool names_slot(const struct ws_command *c)
{
	static const char word[] = " SLOT ", letters[] = "abcdefghijklmnopqrstuvwxyz0123456789_";
	const char *at = c->text ? memmem(c->text, c->text_len, word, sizeof(word) - 1) : NULL,
		   *end;
	char name[WS_NAME_LEN];
	size_t n = 0;

	if (!at || !c->message)
		return false;
	end = c->text + c->text_len;
	at += sizeof(word) - 1;
	at += at < end && *at == '"';
	while (at < end && *at && strchr(letters, *at) && n < sizeof(name) - 1)
		name[n++] = *at++;
	name[n] = '\0';
	for (at = n ? strstr(c->message, name) : NULL; at; at = strstr(at + 1, name))
		if (is_quoted(c->message, at, n))
			return true;
	return false;
}

void ws_take_error(struct ws_track *t, const struct ws_command *c)
{
	snprintf(t->error.kind, sizeof(t->error.kind), "%s", c->kind ? c->kind : "");
	snprintf(t->error.sqlstate, sizeof(t->error.sqlstate), "%s", c->sqlstate);
	snprintf(t->error.message, sizeof(t->error.message), "%s", c->message ? c->message : "");
	t->error.about_slot = names_slot(c);
}
