/* SPDX-License-Identifier: BSD-2-Clause */
/* log_records.c: the records of a session that a log tells of. The log's wall-clock times stand for
 * the host's clock. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "import/log_parts.h"

static int put(struct ws_log_out *out, struct ws_rec *rec, uint16_t kind, size_t size, uint64_t ns)
{
	rec->size = (__u16)size;
	rec->kind = kind;
	rec->time_ns = ns;
	out->records++;
	return out->sink.fn(out->sink.arg, rec);
}

/* A record of the session's own. */
static int put_own(struct ws_log_out *out, struct ws_logged *logged, struct ws_rec *rec,
		   uint16_t kind, size_t size, uint64_t ns)
{
	rec->pid = logged->pid;
	rec->start_ns = logged->start_ns;
	if (kind < WS_KIND_SERVER)
		rec->seq = logged->seq++;
	return put(out, rec, kind, size, ns);
}

int ws_log_out_clock(struct ws_log_out *out, uint64_t ns)
{
	struct ws_rec_clock r = { .wall_ns = (int64_t)ns };

	return put(out, &r.h, WS_KIND_CLOCK, sizeof(r), ns);
}

int ws_log_out_server(struct ws_log_out *out, uint64_t ns, uint32_t pid, const char *version)
{
	struct ws_rec_server r = { .h = { .pid = pid, .server = 1 } };
	size_t len = strspn(version, "0123456789.");

	r.major = (__u32)strtoul(version, NULL, 10);
	snprintf(r.version, sizeof(r.version), "%.*s", (int)(len < 20 ? len : 20), version);
	return put(out, &r.h, WS_KIND_SERVER, sizeof(r), ns);
}

int ws_log_out_session(struct ws_log_out *out, struct ws_logged *l)
{
	struct ws_rec_session r = {
		.ns_pid = l->pid,
		.postmaster_pid = l->postmaster_pid,
		.port = l->port,
		.valid = WS_VALID_NS_PID,
	};

	r.h.server = l->postmaster_pid ? 1 : 0;
	r.h.flags = WS_SESSION_LOGGED;
	r.h.flags |= l->from_start ? 0 : WS_SESSION_RUNNING;
	r.h.flags |= l->database[0] ? WS_SESSION_DATABASE : 0;
	/* Nobody says who it is before its start-up packet is read: nor whether it names one. */
	r.h.flags |= !l->has_user ? WS_SESSION_UNPARSED : 0;
	r.h.flags |= l->has_tls && l->tls ? WS_SESSION_TLS : 0;
	r.valid |= l->postmaster_pid ? WS_VALID_PARENT : 0;
	r.valid |= l->has_user ? WS_VALID_USER | WS_VALID_DATABASE : 0;
	r.valid |= l->has_application ? WS_VALID_APPLICATION : 0;
	r.valid |= l->has_host ? WS_VALID_HOST : 0;
	r.valid |= l->has_port ? WS_VALID_PORT : 0;
	r.valid |= l->has_tls ? WS_VALID_TLS : 0;
	memcpy(r.user, l->user, sizeof(r.user));
	memcpy(r.database, l->database, sizeof(r.database));
	memcpy(r.application, l->application, sizeof(r.application));
	memcpy(r.host, l->host, sizeof(r.host));
	return put_own(out, l, &r.h, WS_KIND_SESSION, sizeof(r), l->first_ns);
}

int ws_log_out_plain(struct ws_log_out *out, struct ws_logged *logged, uint16_t kind, uint64_t ns,
		     uint16_t flags)
{
	struct ws_rec r = { .flags = flags };

	return put_own(out, logged, &r, kind, sizeof(r), ns);
}

int ws_log_out_authenticated(struct ws_log_out *out, struct ws_logged *logged, uint64_t ns)
{
	struct ws_rec_phase r = { .phase = WS_PHASE_AUTH_END };

	return put_own(out, logged, &r.h, WS_KIND_PHASE, sizeof(r), ns);
}

int ws_log_out_done(struct ws_log_out *out, struct ws_logged *logged, uint64_t ns)
{
	struct ws_rec_command_end r = { .how = WS_COMMAND_DONE };

	return put_own(out, logged, &r.h, WS_KIND_COMMAND_END, sizeof(r), ns);
}

static int put_sum(struct ws_log_out *out, struct ws_logged *logged, enum ws_text_of of,
		   uint64_t ns, size_t len)
{
	struct ws_rec_text_sum r = { .of = of, .len = len };

	return put_own(out, logged, &r.h, WS_KIND_TEXT_SUM, WS_TEXT_SUM_SIZE, ns);
}

int ws_log_out_text(struct ws_log_out *out, struct ws_logged *logged, enum ws_text_of of,
		    uint64_t ns, const char *text)
{
	union {
		struct ws_rec_text r;
		char room[sizeof(struct ws_rec_text) + WS_TEXT_CHUNK];
	} piece;
	size_t whole = strlen(text), len = whole < WS_TEXT_MAX ? whole : WS_TEXT_MAX, at = 0, n;
	bool last;
	int rc;

	do {
		n = len - at < WS_TEXT_CHUNK ? len - at : WS_TEXT_CHUNK;
		last = at + n == len;
		if (last && whole > len && (rc = put_sum(out, logged, of, ns, whole)) != 0)
			return rc;
		memset(&piece.r, 0, sizeof(piece.r));
		piece.r.of = of;
		piece.r.offset = (__u32)at;
		piece.r.len = (__u32)n;
		if (last)
			piece.r.h.flags =
				whole > len ? WS_TEXT_LAST | WS_TEXT_TRUNCATED : WS_TEXT_LAST;
		memcpy(piece.r.data, text + at, n);
		rc = put_own(out, logged, &piece.r.h, WS_KIND_TEXT, sizeof(piece.r) + n, ns);
		at += n;
	} while (rc == 0 && !last);
	return rc;
}

/* PostgreSQL's MAKE_SQLSTATE (elog.h). False if it is none. */
static bool pack_sqlstate(const char *text, __u32 *packed)
{
	*packed = 0;
	if (!text || strlen(text) != 5)
		return false;
	for (int i = 0; i < 5; i++) {
		if (!isalnum((unsigned char)text[i]))
			return false;
		*packed |= (__u32)((unsigned char)text[i] - '0') << (6 * i);
	}
	return true;
}

static void copy(char *to, size_t size, const char *from)
{
	snprintf(to, size, "%.*s", (int)(size - 1), from);
}

int ws_log_out_error(struct ws_log_out *out, struct ws_logged *logged, enum ws_elevel elevel,
		     uint64_t ns, const struct ws_log_entry *entry)
{
	struct ws_rec_error r = { .elevel = elevel };
	int rc;

	if (pack_sqlstate(entry->sqlstate, &r.sqlstate))
		r.valid |= WS_VALID_SQLSTATE;
	if (entry->location_function) {
		r.valid |= WS_VALID_FUNCTION;
		copy(r.function, sizeof(r.function), entry->location_function);
	}
	if (entry->location_file) {
		r.valid |= WS_VALID_FILE;
		copy(r.file, sizeof(r.file), entry->location_file);
	}
	if (entry->location_line) {
		r.valid |= WS_VALID_LINE;
		r.line = entry->location_line;
	}
	rc = put_own(out, logged, &r.h, WS_KIND_ERROR, sizeof(r), ns);
	return rc ? rc
		  : ws_log_out_text(out, logged, WS_TEXT_MESSAGE, ns,
				    entry->message ? entry->message : "");
}

int ws_log_out_stream(struct ws_log_out *out, struct ws_logged *logged, uint64_t ns, uint64_t lsn,
		      const char *slot, size_t slot_len)
{
	struct ws_rec_stream r = { .h = { .flags = WS_STREAM_LOGICAL }, .sent_lsn = lsn };

	if (slot_len && slot_len < sizeof(r.slot)) {
		memcpy(r.slot, slot, slot_len);
		r.h.flags |= WS_STREAM_SLOT;
	}
	return put_own(out, logged, &r.h, WS_KIND_STREAM, sizeof(r), ns);
}

int ws_log_out_exit(struct ws_log_out *out, struct ws_logged *logged, uint64_t ns, uint32_t code,
		    uint32_t signal)
{
	struct ws_rec_exit r = { .code = code, .signal = signal };

	return put_own(out, logged, &r.h, WS_KIND_EXIT, WS_EXIT_SHORT_SIZE, ns);
}

int ws_log_out_missed(struct ws_log_out *out, struct ws_logged *logged, uint64_t ns)
{
	struct ws_rec_gap r = {
		.h = { .seq = logged->seq },
		.from_ns = logged->last_ns < ns ? logged->last_ns : ns,
		.to_ns = ns,
		.cause = WS_GAP_EXIT_MISSED,
	};

	return put_own(out, logged, &r.h, WS_KIND_GAP, sizeof(r), ns);
}

int ws_log_out_bad(struct ws_log_out *out, uint64_t ns)
{
	struct ws_rec_gap r = { .from_ns = ns, .to_ns = ns, .lost = 1, .cause = WS_GAP_INVALID };

	return put(out, &r.h, WS_KIND_GAP, sizeof(r), ns);
}

int ws_log_out_signal(struct ws_log_out *out, uint64_t ns, uint32_t target, uint32_t signal)
{
	struct ws_rec_signal r = { .signal = signal, .target_pid = target };

	return put(out, &r.h, WS_KIND_SIGNAL, sizeof(r), ns);
}

int ws_log_out_note(struct ws_log_out *out, uint64_t ns, const char *text)
{
	union {
		struct ws_rec_note r;
		char room[sizeof(struct ws_rec_note) + 1024];
	} note = { 0 };
	size_t len = strlen(text);

	len = len < 1023 ? len : 1023;
	memcpy(note.r.text, text, len);
	return put(out, &note.r.h, WS_KIND_NOTE, sizeof(note.r) + len + 1, ns);
}

int ws_log_out_stop(struct ws_log_out *out, uint64_t ns)
{
	struct ws_rec_stop r = { .produced = out->records };

	return put(out, &r.h, WS_KIND_STOP, WS_STOP_SHORT_SIZE, ns);
}
