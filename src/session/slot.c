/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the server reports when it takes a slot away (InvalidatePossiblyObsoleteSlot of slot.c, 13
 * to 15; ReportSlotInvalidation from 16 on). There are two reports, both by the checkpointer or the
 * startup process: that it ends a process, which the message names by its pid, to release the slot,
 * and, once that has gone, that the slot is invalid. In between the process may have confirmed
 * enough for the slot to be left as it is, or another one may have taken it. The messages may be
 * translated: names and numbers in them are not.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "session/machine.h"

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

/* A character that quotes, in whatever language: of ASCII, or the byte of a longer one. */
static bool is_quote(char c)
{
	return c == '"' || c == '\'' || c == '`' || (unsigned char)c >= 0x80;
}

/* The slot's name in the message in quotes, NULL if it is not there. French puts blanks between. */
static const char *quoted(const char *message, const char *slot)
{
	size_t len = strlen(slot);

	for (const char *p = message; len && (p = strstr(p, slot)); p++) {
		const char *before = p, *behind = p + len;

		if (before > message && before[-1] == ' ')
			before--;
		if (*behind == ' ')
			behind++;
		if (before > message && is_quote(before[-1]) && is_quote(*behind))
			return p;
	}
	return NULL;
}

/* The number that stands alone in the message, which a position (0/3000000) and a name do not; 0 if
 * there is none. */
static unsigned long lone_number(const char *message, const char *name, size_t name_len)
{
	for (const char *p = message; *p; p++) {
		const char *end = p;

		if (p == name) {
			p += name_len - 1;
			continue;
		}
		while (isdigit((unsigned char)*end))
			end++;
		if (end == p)
			continue;
		if ((p == message || (!is_word(p[-1]) && p[-1] != '/')) && !is_word(*end) &&
		    *end != '/')
			return strtoul(p, NULL, 10);
		p = end - 1;
	}
	return 0;
}

void ws_slot_report(struct ws_machine *m, const struct ws_rec_slot *rec)
{
	const struct ws_session *s = &m->s;
	const char *name = quoted(rec->message, s->slot);
	unsigned long number;

	if (!name)
		return;
	number = lone_number(rec->message, name, strlen(s->slot));
	if (number) {
		if (!m->ended && number == (s->ns_pid ? s->ns_pid : s->pid) &&
		    rec->h.server == s->server)
			m->slot_by = rec->by_pid;
		return;
	}
	if (m->slot_by != rec->by_pid)
		return;
	m->slot_lost = true;
	ws_machine_settle_slot(m);
}

void ws_slot_streams(struct ws_machine *m)
{
	struct ws_machine *other, *next;

	for (other = TAILQ_FIRST(&m->model->open); other; other = next) {
		next = TAILQ_NEXT(other, open);
		if (other->s.postmaster_pid == m->s.postmaster_pid &&
		    !strcmp(other->s.slot, m->s.slot))
			ws_machine_settle_slot(other);
	}
}
