/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "trace/checkpoint_parts.h"

#define TEXT_LEAST 1024

struct telling {
	uint64_t now_ns;
	size_t text_max;
	int (*fn)(void *arg, const struct ws_rec *rec);
	void *arg;
};

/* As of now. `rec` is the caller's copy. */
static int tell(const struct telling *t, struct ws_rec *rec)
{
	rec->time_ns = t->now_ns;
	return t->fn(t->arg, rec);
}

/* A record that goes on to be so; nothing if there is none. */
static int tell_last(const struct telling *t, const struct ws_rec *rec)
{
	union {
		struct ws_rec h;
		char room[sizeof(struct ws_rec_memory)];
	} again;

	_Static_assert(sizeof(struct ws_rec_memory) > sizeof(struct ws_rec_server), "room");
	_Static_assert(sizeof(struct ws_rec_memory) > sizeof(struct ws_rec_cluster), "room");
	_Static_assert(sizeof(struct ws_rec_memory) > sizeof(struct ws_rec_error), "room");
	if (!rec->kind || rec->size > sizeof(again))
		return 0;
	memcpy(&again, rec, rec->size);
	return tell(t, &again.h);
}

static int tell_text(const struct telling *t, const struct text *text, struct ws_rec head,
		     enum ws_text_of of)
{
	union {
		struct ws_rec_text text;
		char room[sizeof(struct ws_rec_text) + WS_TEXT_CHUNK];
	} rec;
	size_t total = text->buf.len < t->text_max ? text->buf.len : t->text_max, at = 0;
	bool cut = text->cut || total < text->buf.len;
	int rc;

	if (!text->any)
		return 0;
	head.size = WS_TEXT_SUM_SIZE;
	if (text->sum.h.kind) {
		struct ws_rec_text_sum sum = text->sum;

		sum.h = head;
		sum.h.kind = WS_KIND_TEXT_SUM;
		sum.h.flags = text->sum.h.flags;
		rc = tell(t, &sum.h);
		if (rc)
			return rc;
	}
	do {
		size_t len = total - at < WS_TEXT_CHUNK ? total - at : WS_TEXT_CHUNK;

		memset(&rec.text, 0, sizeof(rec.text));
		rec.text.h = head;
		rec.text.h.kind = WS_KIND_TEXT;
		rec.text.h.size = (uint16_t)(sizeof(rec.text) + len);
		rec.text.h.flags = at + len < total ? 0 : WS_TEXT_LAST;
		if (cut && at + len == total)
			rec.text.h.flags |= total ? WS_TEXT_TRUNCATED : WS_TEXT_UNREADABLE;
		rec.text.of = of;
		rec.text.offset = (uint32_t)at;
		rec.text.len = (uint32_t)len;
		if (len)
			memcpy(rec.text.data, text->buf.data + at, len);
		rc = tell(t, &rec.text.h);
		at += len;
	} while (!rc && at < total);
	return rc;
}

static enum ws_found found(const struct kept *k)
{
	switch (k->doing) {
	case DOING_FOUND:
		return k->session.found;
	case DOING_IDLE:
		return WS_FOUND_IDLE;
	case DOING_COMMAND:
	case DOING_BACKUP: /* its phase follows */
		return WS_FOUND_COMMAND;
	case DOING_STREAM:
		if (!k->last.turn.h.kind)
			return WS_FOUND_STREAM_BUSY;
		return k->last.turn.wait == WS_WAIT_WAL	      ? WS_FOUND_STREAM_WAL
		       : k->last.turn.wait == WS_WAIT_SOCKET  ? WS_FOUND_STREAM_SOCKET
		       : k->last.turn.wait == WS_WAIT_STANDBY ? WS_FOUND_STREAM_STANDBY
							      : WS_FOUND_STREAM_BUSY;
	default:
		return WS_FOUND_UNKNOWN;
	}
}

/* It has not yet got as far as to take commands: its start is told as it was. */
static int tell_start(const struct telling *t, const struct kept *k)
{
	int rc = t->fn(t->arg, &k->session.h);

	for (unsigned int i = 0; i < k->phases && !rc; i++)
		rc = t->fn(t->arg, &k->phase[i].h);
	return rc;
}

static int tell_identity(const struct telling *t, const struct kept *k)
{
	struct ws_rec_session session = k->session;

	session.h.flags |= WS_SESSION_RUNNING;
	session.h.seq = k->seq;
	session.found = (uint8_t)found(k);
	session.walsnd_state = k->walsnd_state;
	session.sent_lsn = k->sent_lsn;
	return tell(t, &session.h);
}

static struct ws_rec head_of(const struct kept *k, uint16_t kind, size_t size)
{
	return (struct ws_rec){
		.size = (uint16_t)size,
		.kind = kind,
		.pid = k->id.pid,
		.start_ns = k->id.start_ns,
		.seq = k->seq,
		.server = k->session.h.server,
	};
}

static int tell_command(const struct telling *t, const struct kept *k)
{
	struct ws_rec_command_end end = { .h = head_of(k, WS_KIND_COMMAND_END, sizeof(end)),
					  .how = WS_COMMAND_IS_SQL };
	struct ws_rec_command begun = k->begun;
	bool started = !(begun.h.flags & WS_COMMAND_RUNNING) || begun.h.flags & WS_COMMAND_STARTED;
	int rc;

	if (!k->command || k->doing == DOING_UNKNOWN)
		return 0;
	begun.h.seq = k->seq;
	begun.h.flags = WS_COMMAND_RUNNING;
	if (started) {
		begun.h.flags |= WS_COMMAND_STARTED;
		rc = t->fn(t->arg, &begun.h);
	} else {
		rc = tell(t, &begun.h);
	}
	if (!rc)
		rc = tell_text(t, &k->text, head_of(k, 0, 0), WS_TEXT_COMMAND);
	return !rc && k->sql ? tell(t, &end.h) : rc;
}

/* A turn of no time that moved nothing: what the standby has confirmed, and what is waited for. */
static int tell_positions(const struct telling *t, const struct kept *k)
{
	struct ws_rec_turn turn = k->last.reply;

	if (!turn.h.kind || k->doing != DOING_STREAM)
		return 0;
	turn.h.flags = (k->last.turn.h.flags & WS_TURN_LOGICAL) | WS_TURN_REPLY;
	turn.h.size = sizeof(turn);
	turn.h.seq = k->seq;
	turn.begin_ns = t->now_ns;
	turn.lsn_from = turn.lsn_to = k->sent_lsn;
	memset(turn.stage_ns, 0, sizeof(turn.stage_ns));
	turn.turns = turn.sends = turn.reads = turn.messages = 0;
	turn.message_bytes = 0;
	turn.woke = 0;
	turn.wait = k->last.turn.wait;
	turn.wait_mask = k->last.turn.wait_mask;
	turn.wait_event = k->last.turn.wait_event;
	turn.timeout_ms = k->last.turn.timeout_ms;
	return tell(t, &turn.h);
}

static int tell_backup(const struct telling *t, const struct kept *k)
{
	struct ws_rec_backup backup = k->last.backup;

	if (!backup.h.kind)
		return 0;
	backup.chunks = 0;
	backup.bytes = backup.send_ns = 0;
	return tell(t, &backup.h);
}

static int tell_end(const struct telling *t, const struct kept *k)
{
	int rc = tell_last(t, &k->last.signal.h);

	if (!rc && k->last.error.h.kind) {
		rc = tell_last(t, &k->last.error.h);
		if (!rc)
			rc = tell_text(t, &k->message, head_of(k, 0, 0), WS_TEXT_MESSAGE);
	}
	return rc ? rc : tell_last(t, &k->last.ending.h);
}

static int tell_session(const struct telling *t, const struct kept *k)
{
	int rc;

	if (!k->session.h.kind)
		return 0;
	if (k->doing == DOING_STARTING) {
		rc = tell_start(t, k);
		return rc ? rc : tell_end(t, k);
	}
	rc = tell_identity(t, k);
	if (!rc)
		rc = tell_command(t, k);
	if (!rc)
		rc = tell_positions(t, k);
	if (!rc)
		rc = tell_backup(t, k);
	if (!rc)
		rc = tell_last(t, &k->last.socket.h);
	if (!rc)
		rc = tell_last(t, &k->last.sample.h);
	if (!rc)
		rc = tell_last(t, &k->last.decoding.h);
	if (!rc)
		rc = tell_last(t, &k->last.memory.h);
	if (!rc)
		rc = tell_last(t, &k->last.blocked.h);
	return rc ? rc : tell_end(t, k);
}

static int tell_servers(const struct telling *t, const struct ws_checkpoint *c)
{
	int rc = 0;

	for (size_t i = 0; i < c->server_count && !rc; i++) {
		rc = tell_last(t, &c->servers[i].rec.h);
		if (!rc)
			rc = tell_last(t, &c->servers[i].cluster.h);
	}
	return rc;
}

static int tell_common(const struct telling *t, const struct ws_checkpoint *c)
{
	struct ws_rec_clock clock = c->clock;
	uint64_t since = t->now_ns - clock.h.time_ns;
	int rc = 0;

	if (clock.h.kind) {
		clock.wall_ns = (__s64)((__u64)clock.wall_ns + since);
		clock.boot_ns += since;
		rc = tell(t, &clock.h);
	}
	if (!rc && c->redacted) {
		c->redacted->h.time_ns = t->now_ns;
		rc = t->fn(t->arg, &c->redacted->h);
	}
	return rc ? rc : tell_servers(t, c);
}

int ws_checkpoint_tell(const struct ws_checkpoint *c, uint64_t now_ns, size_t text_bytes,
		       int (*fn)(void *arg, const struct ws_rec *rec), void *arg)
{
	size_t each = c->count ? text_bytes / c->count : text_bytes;
	struct telling t = { .now_ns = now_ns,
			     .text_max = each < TEXT_LEAST ? TEXT_LEAST : each,
			     .fn = fn,
			     .arg = arg };
	const struct kept *k;
	int rc = tell_common(&t, c);

	if (rc)
		return rc;
	LIST_FOREACH(k, &c->sessions, entry)
	{
		rc = tell_session(&t, k);
		if (rc)
			return rc;
	}
	return 0;
}
