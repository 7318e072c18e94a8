/* SPDX-License-Identifier: BSD-2-Clause */
#include "live/redact.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "event/idmap.h"
#include "session/redact.h"

/* A record that is held; its text is in `text`. */
union held {
	struct ws_rec h;
	struct ws_rec_text text;
	struct ws_rec_text_sum sum;
};

struct session {
	struct ws_id id;
	struct ws_literals literals; /* of the command it is in, or was in last */
	union held *held;
	size_t held_count, held_cap;
	struct ws_buf text, redacted;
	__u32 of;      /* what is held is a piece of */
	bool expected; /* a text, and nothing of it has come yet */
};

struct ws_redact {
	struct ws_sink next;
	struct ws_idmap sessions;
};

struct ws_redact *ws_redact_new(struct ws_sink next)
{
	struct ws_redact *redact = calloc(1, sizeof(*redact));

	if (redact)
		redact->next = next;
	return redact;
}

static void release(struct ws_id *id)
{
	struct session *s = (struct session *)id;

	ws_literals_deinit(&s->literals);
	ws_buf_deinit(&s->text);
	ws_buf_deinit(&s->redacted);
	free(s->held);
	free(s);
}

void ws_redact_free(struct ws_redact *redact)
{
	if (!redact)
		return;
	ws_idmap_deinit(&redact->sessions, release);
	free(redact);
}

static int hand_on(struct ws_redact *redact, const struct ws_rec *rec)
{
	return redact->next.fn(redact->next.arg, rec);
}

/* The session a record is of, NULL when memory ran out. One that is seen first in the middle of
 * things may be in a command that nobody knows. */
static struct session *session_of(struct ws_redact *redact, const struct ws_rec *rec)
{
	struct ws_id *id = ws_idmap_find(&redact->sessions, rec->pid, rec->start_ns);
	struct session *s;

	if (id)
		return (struct session *)id;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->id.pid = rec->pid;
	s->id.start_ns = rec->start_ns;
	s->literals.incomplete = rec->kind != WS_KIND_SESSION;
	if (ws_idmap_add(&redact->sessions, &s->id)) {
		free(s);
		return NULL;
	}
	return s;
}

/* Hands on one piece with what there is room for in it; returns how much that was, or -1. */
static long send_piece(struct ws_redact *redact, const struct session *s,
		       const struct ws_rec_text *head, size_t at, bool last)
{
	union {
		struct ws_rec_text text;
		char room[sizeof(struct ws_rec_text) + WS_TEXT_CHUNK];
	} rec;
	size_t end = s->redacted.len < WS_TEXT_MAX ? s->redacted.len : WS_TEXT_MAX;
	size_t len = end - at < WS_TEXT_CHUNK ? end - at : WS_TEXT_CHUNK;

	rec.text = *head;
	rec.text.h.size = (__u16)(sizeof(rec.text) + len);
	rec.text.offset = (__u32)at;
	rec.text.len = (__u32)len;
	if (len)
		memcpy(rec.text.data, s->redacted.data + at, len);
	if (last && at + len < s->redacted.len)
		rec.text.h.flags |= WS_TEXT_TRUNCATED;
	return hand_on(redact, &rec.text.h) ? -1 : (long)len;
}

static int send_held(struct ws_redact *redact, struct session *s)
{
	size_t last = s->held_count, at = 0;

	while (last && s->held[last - 1].h.kind != WS_KIND_TEXT)
		last--;
	for (size_t i = 0; i < s->held_count; i++) {
		long len = 0;

		if (s->held[i].h.kind == WS_KIND_TEXT)
			len = send_piece(redact, s, &s->held[i].text, at, i + 1 == last);
		else if (hand_on(redact, &s->held[i].h))
			len = -1;
		if (len < 0)
			return -1;
		at += (size_t)len;
	}
	return 0;
}

/* No more comes of the text that is held. `whole`: nothing of it is missing. */
static int settle(struct ws_redact *redact, struct session *s, bool whole)
{
	int rc = 0;

	if (!s->held_count)
		return 0;
	ws_buf_clear(&s->redacted);
	if (s->of == WS_TEXT_COMMAND) {
		ws_literals_clear(&s->literals);
		rc = ws_redact_command(s->text.data, s->text.len, whole, &s->redacted,
				       &s->literals);
	} else
		rc = ws_redact_message(s->text.data, s->text.len, whole, &s->literals,
				       &s->redacted);
	if (rc == 0)
		rc = send_held(redact, s);
	s->held_count = 0;
	ws_buf_clear(&s->text);
	if (s->text.cap > WS_TEXT_CHUNK) {
		ws_buf_deinit(&s->text);
		ws_buf_deinit(&s->redacted);
	}
	return rc;
}

static int hold(struct session *s, const struct ws_rec *rec)
{
	union held *held = ws_array_grow(&s->held, &s->held_count, &s->held_cap, sizeof(*held));
	size_t size = rec->kind == WS_KIND_TEXT ? sizeof(held->text) : WS_TEXT_SUM_SIZE;

	if (!held)
		return -1;
	memcpy(held, rec, size);
	if (rec->kind == WS_KIND_TEXT_SUM) {
		held->h.size = WS_TEXT_SUM_SIZE;
		held->h.flags &= (__u16)~WS_TEXT_SUM_HASH;
		held->sum.hash = 0;
	}
	return 0;
}

/* A piece whose place in the text is not known to follow what is held. */
static int blank(struct ws_redact *redact, struct session *s, const struct ws_rec_text *text)
{
	struct ws_rec_text rec = *text;

	if (settle(redact, s, false))
		return -1;
	if (text->of == WS_TEXT_COMMAND)
		s->literals.incomplete = true;
	rec.h.size = sizeof(rec);
	rec.len = 0;
	if (rec.h.flags & WS_TEXT_LAST)
		rec.h.flags |= WS_TEXT_TRUNCATED;
	return hand_on(redact, &rec.h);
}

static int take_text(struct ws_redact *redact, struct session *s, const struct ws_rec_text *text)
{
	const __u16 torn = WS_TEXT_TRUNCATED | WS_TEXT_UNREADABLE;

	if (s->expected && !text->offset) {
		s->of = text->of;
		s->expected = false;
	} else if (!s->held_count || s->of != text->of || text->offset != s->text.len) {
		s->expected = false;
		return blank(redact, s, text);
	}
	if (hold(s, &text->h) || ws_buf_add(&s->text, text->data, text->len))
		return -1;
	return text->h.flags & WS_TEXT_LAST ? settle(redact, s, !(text->h.flags & torn)) : 0;
}

/* Without its text. */
static int take_sum(struct ws_redact *redact, struct session *s, const struct ws_rec_text_sum *sum)
{
	struct ws_rec_text_sum rec = { 0 };

	if (s->held_count)
		return hold(s, &sum->h);
	memcpy(&rec, sum, WS_TEXT_SUM_SIZE);
	rec.h.size = WS_TEXT_SUM_SIZE;
	rec.h.flags &= (__u16)~WS_TEXT_SUM_HASH;
	rec.hash = 0;
	return hand_on(redact, &rec.h);
}

/* What a record says about the texts that follow it. */
static void note(struct session *s, const struct ws_rec *rec)
{
	const struct ws_rec_command_end *end = (const struct ws_rec_command_end *)rec;

	s->expected = rec->kind == WS_KIND_COMMAND || rec->kind == WS_KIND_ERROR;
	switch (rec->kind) {
	case WS_KIND_COMMAND:
		ws_literals_clear(&s->literals);
		/* Until its text is there. */
		s->literals.incomplete = true;
		break;
	case WS_KIND_COMMAND_END:
		if (end->how != WS_COMMAND_IS_SQL)
			ws_literals_clear(&s->literals);
		break;
	case WS_KIND_GAP:
		/* A command may have begun. */
		s->literals.incomplete = true;
		break;
	default:
		break;
	}
}

int ws_redact_feed(void *arg, const struct ws_rec *rec)
{
	struct ws_redact *redact = arg;
	const struct ws_rec_gap *gap = (const struct ws_rec_gap *)rec;
	struct session *s;
	bool ends;

	/* What belongs to no session's sequence, but for gaps in it, says nothing about texts. */
	if (!rec->pid || (rec->kind >= WS_KIND_SERVER && rec->kind != WS_KIND_GAP))
		return hand_on(redact, rec);
	s = session_of(redact, rec);
	if (!s)
		return -1;
	if (rec->kind == WS_KIND_TEXT)
		return take_text(redact, s, (const struct ws_rec_text *)rec);
	if (rec->kind == WS_KIND_TEXT_SUM)
		return take_sum(redact, s, (const struct ws_rec_text_sum *)rec);
	if (settle(redact, s, false))
		return -1;
	note(s, rec);
	ends = rec->kind == WS_KIND_EXIT ||
	       (rec->kind == WS_KIND_GAP && gap->cause == WS_GAP_EXIT_MISSED);
	if (ends) {
		ws_idmap_remove(&redact->sessions, &s->id);
		release(&s->id);
	}
	return hand_on(redact, rec);
}
