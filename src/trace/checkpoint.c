/* SPDX-License-Identifier: BSD-2-Clause */
#include "trace/checkpoint_parts.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "event/schema.h"
#include "session/redact.h"

#define TEXT_KEPT (64 * 1024) /* of a command's text or an error's message */

struct ws_checkpoint *ws_checkpoint_new(void)
{
	struct ws_checkpoint *c = calloc(1, sizeof(*c));

	if (c)
		LIST_INIT(&c->sessions);
	return c;
}

static void free_kept(struct kept *k)
{
	ws_buf_deinit(&k->text.buf);
	ws_buf_deinit(&k->message.buf);
	free(k);
}

void ws_checkpoint_free(struct ws_checkpoint *c)
{
	struct kept *k;

	if (!c)
		return;
	ws_idmap_deinit(&c->by_id, NULL);
	while ((k = LIST_FIRST(&c->sessions))) {
		LIST_REMOVE(k, entry);
		free_kept(k);
	}
	free(c->servers);
	free(c->redacted);
	free(c);
}

static struct kept *kept_of(struct ws_id *id)
{
	return (struct kept *)((char *)id - offsetof(struct kept, id));
}

static struct kept *find(struct ws_checkpoint *c, uint32_t pid, uint64_t start_ns)
{
	struct ws_id *id = ws_idmap_find(&c->by_id, pid, start_ns);

	return id ? kept_of(id) : NULL;
}

static struct kept *find_or_add(struct ws_checkpoint *c, const struct ws_rec *rec)
{
	struct kept *k = find(c, rec->pid, rec->start_ns);

	if (k)
		return k;
	k = calloc(1, sizeof(*k));
	if (!k)
		return NULL;
	k->id.pid = rec->pid;
	k->id.start_ns = rec->start_ns;
	if (ws_idmap_add(&c->by_id, &k->id)) {
		free(k);
		return NULL;
	}
	LIST_INSERT_HEAD(&c->sessions, k, entry);
	c->count++;
	return k;
}

static void forget(struct ws_checkpoint *c, struct kept *k)
{
	ws_idmap_remove(&c->by_id, &k->id);
	LIST_REMOVE(k, entry);
	c->count--;
	free_kept(k);
}

/* What is known of a record: no more than there is, the rest is zero. */
static void take(void *to, size_t size, const struct ws_rec *rec)
{
	memset(to, 0, size);
	memcpy(to, rec, rec->size < size ? rec->size : size);
}
#define TAKE(to, rec) take(to, sizeof(*(to)), rec)

static void clear_text(struct text *text)
{
	ws_buf_clear(&text->buf);
	text->any = text->cut = false;
	text->sum.h.kind = 0;
}

static int add_text(struct text *text, const struct ws_rec_text *r)
{
	size_t room = TEXT_KEPT - text->buf.len, len = r->len;

	if (len > r->h.size - sizeof(*r))
		len = 0;
	text->any = true;
	if (r->offset != text->buf.len || len > room || r->h.flags & WS_TEXT_UNREADABLE ||
	    r->h.flags & WS_TEXT_TRUNCATED)
		text->cut = true;
	if (r->offset != text->buf.len)
		return 0;
	return ws_buf_add(&text->buf, r->data, len < room ? len : room);
}

static void end_command(struct kept *k, enum doing doing)
{
	k->command = k->sql = false;
	k->doing = doing;
	k->last.turn.h.kind = k->last.reply.h.kind = k->last.backup.h.kind = 0;
	clear_text(&k->text);
}

static int on_session(struct kept *k, const struct ws_rec *rec)
{
	end_command(k, rec->flags & WS_SESSION_RUNNING ? DOING_FOUND : DOING_STARTING);
	TAKE(&k->session, rec);
	k->phases = 0;
	k->sent_lsn = k->session.sent_lsn;
	k->walsnd_state = k->session.walsnd_state;
	k->last.error.h.kind = k->last.ending.h.kind = k->last.signal.h.kind = 0;
	return 0;
}

static int on_ready(struct kept *k, const struct ws_rec *rec)
{
	(void)rec;
	end_command(k, DOING_IDLE);
	return 0;
}

static int on_phase(struct kept *k, const struct ws_rec *rec)
{
	if (k->phases < WS_CHECKPOINT_PHASES)
		TAKE(&k->phase[k->phases++], rec);
	if (rec->flags & WS_PHASE_CASCADING)
		k->session.h.flags |= WS_SESSION_CASCADING;
	return 0;
}

static int on_command(struct kept *k, const struct ws_rec *rec)
{
	bool goes_on = rec->flags & WS_COMMAND_RUNNING && k->doing == DOING_FOUND;

	end_command(k, goes_on ? DOING_FOUND : DOING_COMMAND);
	TAKE(&k->begun, rec);
	k->command = true;
	k->last.error.h.kind = 0;
	return 0;
}

static int on_text(struct kept *k, const struct ws_rec *rec)
{
	const struct ws_rec_text *r = (const void *)rec;

	if (r->of == WS_TEXT_MESSAGE)
		return k->last.error.h.kind ? add_text(&k->message, r) : 0;
	return k->command ? add_text(&k->text, r) : 0;
}

static int on_text_sum(struct kept *k, const struct ws_rec *rec)
{
	const struct ws_rec_text_sum *r = (const void *)rec;

	take(r->of == WS_TEXT_MESSAGE ? &k->message.sum : &k->text.sum, WS_TEXT_SUM_SIZE, rec);
	return 0;
}

static int on_command_end(struct kept *k, const struct ws_rec *rec)
{
	const struct ws_rec_command_end *r = (const void *)rec;

	if (r->how == WS_COMMAND_IS_SQL)
		k->sql = true;
	else
		end_command(k, DOING_IDLE);
	return 0;
}

static int on_error(struct kept *k, const struct ws_rec *rec)
{
	const struct ws_rec_error *r = (const void *)rec;

	if (r->elevel == WS_ELEVEL_ERROR) {
		end_command(k, DOING_IDLE);
		return 0;
	}
	if (r->elevel != WS_ELEVEL_COMMERROR)
		end_command(k, DOING_ENDING);
	TAKE(&k->last.error, rec);
	clear_text(&k->message);
	return 0;
}

static int on_state(struct kept *k, const struct ws_rec *rec)
{
	const struct ws_rec_state *r = (const void *)rec;

	k->walsnd_state = (uint8_t)(r->to + 1);
	if (r->sent_lsn)
		k->sent_lsn = r->sent_lsn;
	return 0;
}

static int on_stream(struct kept *k, const struct ws_rec *rec)
{
	const struct ws_rec_stream *r = (const void *)rec;

	k->doing = DOING_STREAM;
	k->last.turn.h.kind = k->last.reply.h.kind = 0;
	if (r->sent_lsn)
		k->sent_lsn = r->sent_lsn;
	if (rec->flags & WS_STREAM_SLOT && r->slot[0])
		memcpy(k->session.slot, r->slot, sizeof(k->session.slot));
	return 0;
}

static int on_turn(struct kept *k, const struct ws_rec *rec)
{
	const struct ws_rec_turn *r = (const void *)rec;

	TAKE(&k->last.turn, rec);
	if (rec->flags & WS_TURN_REPLY && rec->size >= sizeof(*r))
		TAKE(&k->last.reply, rec);
	if (r->lsn_to)
		k->sent_lsn = r->lsn_to;
	if (r->sends || k->doing == DOING_FOUND)
		k->doing = DOING_STREAM;
	return 0;
}

static int on_keepalive(struct kept *k, const struct ws_rec *rec)
{
	const struct ws_rec_keepalive *r = (const void *)rec;

	if (r->lsn > k->sent_lsn)
		k->sent_lsn = r->lsn;
	return 0;
}

static int on_backup(struct kept *k, const struct ws_rec *rec)
{
	TAKE(&k->last.backup, rec);
	k->doing = DOING_BACKUP;
	return 0;
}

static int on_ending(struct kept *k, const struct ws_rec *rec)
{
	TAKE(&k->last.ending, rec);
	return 0;
}

static int on_socket(struct kept *k, const struct ws_rec *rec)
{
	TAKE(&k->last.socket, rec);
	return 0;
}

static int on_sample(struct kept *k, const struct ws_rec *rec)
{
	TAKE(&k->last.sample, rec);
	return 0;
}

static int on_blocked(struct kept *k, const struct ws_rec *rec)
{
	TAKE(&k->last.blocked, rec);
	return 0;
}

static int on_decoding(struct kept *k, const struct ws_rec *rec)
{
	TAKE(&k->last.decoding, rec);
	return 0;
}

static int on_memory(struct kept *k, const struct ws_rec *rec)
{
	TAKE(&k->last.memory, rec);
	return 0;
}

static int (*const handlers[WS_KIND_MAX])(struct kept *k, const struct ws_rec *rec) = {
	[WS_KIND_SESSION] = on_session,
	[WS_KIND_READY] = on_ready,
	[WS_KIND_PHASE] = on_phase,
	[WS_KIND_COMMAND] = on_command,
	[WS_KIND_TEXT] = on_text,
	[WS_KIND_TEXT_SUM] = on_text_sum,
	[WS_KIND_COMMAND_END] = on_command_end,
	[WS_KIND_ERROR] = on_error,
	[WS_KIND_STATE] = on_state,
	[WS_KIND_STREAM] = on_stream,
	[WS_KIND_TURN] = on_turn,
	[WS_KIND_KEEPALIVE] = on_keepalive,
	[WS_KIND_BACKUP] = on_backup,
	[WS_KIND_ENDING] = on_ending,
	[WS_KIND_SOCKET] = on_socket,
	[WS_KIND_SAMPLE] = on_sample,
	[WS_KIND_BLOCKED] = on_blocked,
	[WS_KIND_DECODING] = on_decoding,
	[WS_KIND_MEMORY] = on_memory,
};

static int feed_session(struct ws_checkpoint *c, const struct ws_rec *rec)
{
	struct kept *k = ws_kind_is_sampled(rec->kind) ? find(c, rec->pid, rec->start_ns)
						       : find_or_add(c, rec);

	if (!k)
		return ws_kind_is_sampled(rec->kind) ? 0 : -1;
	if (!ws_kind_is_sampled(rec->kind)) {
		k->seq = rec->seq;
		k->last.blocked.h.kind = 0; /* it goes on */
	}
	if (rec->kind == WS_KIND_EXIT) {
		forget(c, k);
		return 0;
	}
	if (!handlers[rec->kind] || !ws_rec_complete(rec))
		return 0;
	return handlers[rec->kind](k, rec);
}

/* What a session does behind it is not known until it says so. */
static void doubt(struct kept *k)
{
	k->doing = DOING_UNKNOWN;
	k->last.turn.h.kind = k->last.reply.h.kind = k->last.backup.h.kind = 0;
	k->last.blocked.h.kind = 0;
}

static int feed_gap(struct ws_checkpoint *c, const struct ws_rec *rec)
{
	const struct ws_rec_gap *gap = (const void *)rec;
	struct kept *k;

	if (rec->size < sizeof(*gap))
		return 0;
	if (rec->pid && rec->start_ns) {
		k = find(c, rec->pid, rec->start_ns);
		if (!k)
			return 0;
		if (gap->cause == WS_GAP_EXIT_MISSED || gap->cause == WS_GAP_UNRECORDED)
			forget(c, k);
		else
			doubt(k);
		return 0;
	}
	if (gap->cause == WS_GAP_TORN || gap->cause == WS_GAP_UNWRITTEN ||
	    gap->cause == WS_GAP_UNRECORDED)
		LIST_FOREACH(k, &c->sessions, entry)
	doubt(k);
	return 0;
}

static struct server *find_server(struct ws_checkpoint *c, const struct ws_rec *rec)
{
	for (size_t i = 0; i < c->server_count; i++)
		if (c->servers[i].rec.h.server == rec->server &&
		    c->servers[i].rec.h.pid == rec->pid)
			return &c->servers[i];
	return NULL;
}

static int feed_server(struct ws_checkpoint *c, const struct ws_rec *rec)
{
	struct server *server = find_server(c, rec);

	if (rec->size < sizeof(server->rec))
		return 0;
	if (!server)
		server = ws_array_grow(&c->servers, &c->server_count, &c->server_cap,
				       sizeof(*server));
	if (!server)
		return -1;
	TAKE(&server->rec, rec);
	return 0;
}

static int feed_note(struct ws_checkpoint *c, const struct ws_rec *rec)
{
	const struct ws_rec_note *note = (const void *)rec;

	if (c->redacted || rec->size < sizeof(*note) + sizeof(WS_REDACTED_NOTE) ||
	    memcmp(note->text, WS_REDACTED_NOTE, sizeof(WS_REDACTED_NOTE)) != 0)
		return 0;
	c->redacted = malloc(rec->size);
	if (!c->redacted)
		return -1;
	memcpy(c->redacted, rec, rec->size);
	return 0;
}

int ws_checkpoint_feed(struct ws_checkpoint *c, const struct ws_rec *rec)
{
	const struct ws_rec_signal *signal = (const void *)rec;
	struct server *server;
	struct kept *k;

	switch (rec->kind) {
	case WS_KIND_SERVER:
		return feed_server(c, rec);
	case WS_KIND_GAP:
		return feed_gap(c, rec);
	case WS_KIND_NOTE:
		return feed_note(c, rec);
	case WS_KIND_CLOCK:
		TAKE(&c->clock, rec);
		return 0;
	case WS_KIND_CLUSTER:
		server = find_server(c, rec);
		if (server)
			TAKE(&server->cluster, rec);
		return 0;
	case WS_KIND_SIGNAL:
		k = rec->size < sizeof(*signal)
			    ? NULL
			    : find(c, signal->target_pid, signal->target_start_ns);
		if (k)
			TAKE(&k->last.signal, rec);
		return 0;
	default:
		return rec->pid && rec->start_ns && rec->kind < WS_KIND_MAX ? feed_session(c, rec)
									    : 0;
	}
}
