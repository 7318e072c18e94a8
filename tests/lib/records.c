/* SPDX-License-Identifier: BSD-2-Clause */
#include "records.h"

#include <stdlib.h>
#include <string.h>

/* Of the values made here; what the walsenders of the tests are called. */
#define POSTMASTER 1000

struct ws_tape ws_tape_new(struct ws_sink sink, uint32_t pid, uint64_t now_ns)
{
	return (struct ws_tape){
		.sink = sink, .pid = pid, .start_ns = now_ns, .server = 1, .now_ns = now_ns
	};
}

static int send_head(struct ws_tape *tape, struct ws_rec *rec, uint16_t kind, size_t size,
		     uint16_t flags)
{
	rec->size = (uint16_t)size;
	rec->kind = kind;
	rec->flags = flags;
	rec->pid = tape->pid;
	rec->start_ns = tape->start_ns;
	rec->time_ns = tape->now_ns;
	rec->server = tape->server;
	return tape->sink.fn(tape->sink.arg, rec);
}

int ws_tape_send(struct ws_tape *tape, struct ws_rec *rec, uint16_t kind, size_t size,
		 uint16_t flags)
{
	rec->seq = tape->seq++;
	return send_head(tape, rec, kind, size, flags);
}

void ws_tape_lose(struct ws_tape *tape, uint32_t n)
{
	tape->seq += n;
}

static void name_session(struct ws_tape *tape, struct ws_rec_session *rec)
{
	rec->ns_pid = tape->pid;
	rec->postmaster_pid = POSTMASTER;
	rec->valid = WS_VALID_USER | WS_VALID_APPLICATION | WS_VALID_HOST | WS_VALID_PORT |
		     WS_VALID_NS_PID | WS_VALID_PARENT;
	rec->port = 54321;
	strcpy(rec->user, "replicator");
	strcpy(rec->application, "standby1");
	strcpy(rec->host, "192.0.2.7");
}

int ws_tape_session(struct ws_tape *tape, uint16_t flags)
{
	struct ws_rec_session rec = { .fork_ns = tape->start_ns };

	name_session(tape, &rec);
	if (flags & WS_SESSION_DATABASE) {
		rec.valid |= WS_VALID_DATABASE;
		strcpy(rec.database, "postgres");
	}
	tape->mark_ns = tape->now_ns;
	return ws_tape_send(tape, &rec.h, WS_KIND_SESSION, sizeof(rec), flags);
}

int ws_tape_found(struct ws_tape *tape, enum ws_found found, uint64_t sent_lsn)
{
	struct ws_rec_session rec = {
		.fork_ns = tape->start_ns,
		.found = (uint8_t)found,
		.sent_lsn = sent_lsn,
	};

	name_session(tape, &rec);
	tape->mark_ns = tape->now_ns;
	return ws_tape_send(tape, &rec.h, WS_KIND_SESSION, sizeof(rec), WS_SESSION_RUNNING);
}

int ws_tape_ready(struct ws_tape *tape)
{
	struct ws_rec_ready rec = { 0 };

	return ws_tape_send(tape, &rec.h, WS_KIND_READY, sizeof(rec), 0);
}

int ws_tape_command_head(struct ws_tape *tape, uint16_t flags)
{
	struct ws_rec_command rec = { 0 };

	return ws_tape_send(tape, &rec.h, WS_KIND_COMMAND, sizeof(rec), flags);
}

int ws_tape_text(struct ws_tape *tape, enum ws_text_of of, uint32_t offset, const void *data,
		 size_t len, uint16_t flags)
{
	size_t size = sizeof(struct ws_rec_text) + len;
	struct ws_rec_text *rec = calloc(1, size);
	int rc;

	if (!rec)
		return -1;
	rec->of = of;
	rec->offset = offset;
	rec->len = (uint32_t)len;
	if (len)
		memcpy(rec->data, data, len);
	rc = ws_tape_send(tape, &rec->h, WS_KIND_TEXT, size, flags);
	free(rec);
	return rc;
}

static int send_text(struct ws_tape *tape, enum ws_text_of of, const char *text)
{
	size_t len = strlen(text), offset = 0;
	int rc;

	do {
		size_t max = offset ? WS_TEXT_CHUNK : WS_TEXT_CHUNK_SMALL;
		size_t n = len - offset < max ? len - offset : max;

		rc = ws_tape_text(tape, of, (uint32_t)offset, text + offset, n,
				  offset + n == len ? WS_TEXT_LAST : 0);
		offset += n;
	} while (!rc && offset < len);
	return rc;
}

int ws_tape_command(struct ws_tape *tape, const char *text)
{
	int rc = ws_tape_command_head(tape, 0);

	return rc ? rc : send_text(tape, WS_TEXT_COMMAND, text);
}

int ws_tape_end(struct ws_tape *tape, enum ws_command_how how)
{
	struct ws_rec_command_end rec = { .how = how };

	return ws_tape_send(tape, &rec.h, WS_KIND_COMMAND_END, sizeof(rec), 0);
}

uint32_t ws_tape_sqlstate(const char *text)
{
	uint32_t packed = 0;

	for (int i = 4; i >= 0; i--)
		packed = packed << 6 | (((uint32_t)text[i] - '0') & 0x3F);
	return packed;
}

int ws_tape_error(struct ws_tape *tape, enum ws_elevel elevel, const char *sqlstate,
		  const char *function, const char *message)
{
	struct ws_rec_error rec = {
		.elevel = elevel,
		.line = 42,
		.valid = WS_VALID_FILE | WS_VALID_LINE,
	};
	int rc;

	strcpy(rec.file, "src.c");
	if (function) {
		strncpy(rec.function, function, sizeof(rec.function) - 1);
		rec.valid |= WS_VALID_FUNCTION;
	}
	if (sqlstate) {
		rec.sqlstate = ws_tape_sqlstate(sqlstate);
		rec.valid |= WS_VALID_SQLSTATE;
	}
	rc = ws_tape_send(tape, &rec.h, WS_KIND_ERROR, sizeof(rec), 0);
	if (!rc && message)
		rc = send_text(tape, WS_TEXT_MESSAGE, message);
	return rc;
}

int ws_tape_state(struct ws_tape *tape, enum ws_walsnd_state from, enum ws_walsnd_state to)
{
	struct ws_rec_state rec = { .from = from, .to = to };

	return ws_tape_send(tape, &rec.h, WS_KIND_STATE, sizeof(rec), 0);
}

int ws_tape_phase(struct ws_tape *tape, enum ws_phase phase, uint16_t flags)
{
	struct ws_rec_phase rec = { .phase = phase };

	return ws_tape_send(tape, &rec.h, WS_KIND_PHASE, sizeof(rec), flags);
}

int ws_tape_message(struct ws_tape *tape, char type)
{
	struct ws_rec_message rec = { .type = (uint8_t)type };

	return ws_tape_send(tape, &rec.h, WS_KIND_MESSAGE, sizeof(rec), 0);
}

int ws_tape_stream(struct ws_tape *tape, uint16_t flags, uint64_t lsn, const char *slot)
{
	struct ws_rec_stream rec = { .sent_lsn = lsn };

	if (slot) {
		strncpy(rec.slot, slot, sizeof(rec.slot) - 1);
		flags |= WS_STREAM_SLOT;
	}
	tape->mark_ns = tape->now_ns;
	return ws_tape_send(tape, &rec.h, WS_KIND_STREAM, sizeof(rec), flags);
}

int ws_tape_turn(struct ws_tape *tape, const struct ws_tape_turn *turn)
{
	struct ws_rec_turn rec = {
		.begin_ns = tape->mark_ns,
		.lsn_from = turn->lsn_from,
		.lsn_to = turn->lsn_to,
		.turns = turn->turns ? turn->turns : 1,
		.sends = turn->sends ? turn->sends : 1,
		.reads = turn->reads,
		.messages = turn->messages,
		.woke = turn->woke,
		.wait = turn->wait,
		.write_lsn = turn->write_lsn,
		.flush_lsn = turn->flush_lsn,
		.apply_lsn = turn->apply_lsn,
		.write_lag_us = turn->write_lag_us,
		.flush_lag_us = turn->flush_lag_us,
		.apply_lag_us = turn->apply_lag_us,
	};
	bool reply = turn->flags & WS_TURN_REPLY;

	tape->now_ns = tape->mark_ns;
	for (int i = 0; i < WS_STAGE_COUNT; i++) {
		rec.stage_ns[i] = turn->stage_ns[i];
		tape->now_ns += turn->stage_ns[i];
	}
	tape->mark_ns = tape->now_ns;
	return ws_tape_send(tape, &rec.h, WS_KIND_TURN, reply ? sizeof(rec) : WS_TURN_SHORT_SIZE,
			    turn->flags);
}

int ws_tape_off_cpu(struct ws_tape *tape, enum ws_stage stage, uint64_t ns)
{
	struct ws_rec_off_cpu rec = { 0 };

	rec.stage_ns[stage] = ns;
	return ws_tape_send(tape, &rec.h, WS_KIND_OFF_CPU, sizeof(rec), 0);
}

int ws_tape_keepalive(struct ws_tape *tape, uint64_t lsn)
{
	struct ws_rec_keepalive rec = { .lsn = lsn };

	return ws_tape_send(tape, &rec.h, WS_KIND_KEEPALIVE, sizeof(rec), 0);
}

int ws_tape_backup(struct ws_tape *tape, enum ws_backup_phase phase, uint64_t bytes,
		   uint64_t send_ns)
{
	struct ws_rec_backup rec = { .phase = phase, .bytes = bytes, .send_ns = send_ns };

	return ws_tape_send(tape, &rec.h, WS_KIND_BACKUP, sizeof(rec), 0);
}

int ws_tape_exit(struct ws_tape *tape, uint32_t code, uint32_t signal)
{
	struct ws_rec_exit rec = { .code = code, .signal = signal };

	return ws_tape_send(tape, &rec.h, WS_KIND_EXIT, sizeof(rec), 0);
}

int ws_tape_exit_socket(struct ws_tape *tape, uint64_t wire, uint64_t acked)
{
	struct ws_rec_exit rec = { .wire_bytes = wire, .acked_bytes = acked };

	return ws_tape_send(tape, &rec.h, WS_KIND_EXIT, sizeof(rec), WS_EXIT_SOCKET);
}

int ws_tape_socket(struct ws_tape *tape, uint64_t wire, uint64_t acked)
{
	struct ws_rec_socket rec = {
		.wire_bytes = wire,
		.acked_bytes = acked,
		.sent_bytes = acked,
		.unsent_bytes = (uint32_t)(wire - acked),
		.srtt_us = 120,
		.tcp_state = 1,
	};

	return send_head(tape, &rec.h, WS_KIND_SOCKET, sizeof(rec), 0);
}

int ws_tape_blocked(struct ws_tape *tape, enum ws_blocked_on on, uint64_t since_ns)
{
	struct ws_rec_blocked rec = { .on = on, .since_ns = since_ns };

	return send_head(tape, &rec.h, WS_KIND_BLOCKED, sizeof(rec), 0);
}

int ws_tape_gap(struct ws_tape *tape, uint64_t from_ns, uint64_t to_ns, uint64_t lost,
		enum ws_gap_cause cause)
{
	struct ws_rec_gap rec = {
		.from_ns = from_ns, .to_ns = to_ns, .lost = lost, .cause = cause
	};

	rec.h.seq = tape->seq;
	return send_head(tape, &rec.h, WS_KIND_GAP, sizeof(rec), 0);
}

/* Belongs to no session. */
static int send_alone(struct ws_tape *tape, struct ws_rec *rec, uint16_t kind, size_t size,
		      uint32_t pid)
{
	struct ws_tape alone = *tape;

	alone.pid = pid;
	alone.start_ns = 0;
	return send_head(&alone, rec, kind, size, 0);
}

int ws_tape_ending(struct ws_tape *tape, uint32_t code, uint32_t cause)
{
	struct ws_rec_ending rec = { .code = code, .cause = cause };

	return ws_tape_send(tape, &rec.h, WS_KIND_ENDING, sizeof(rec), 0);
}

int ws_tape_signal(struct ws_tape *tape, uint32_t target, uint32_t signal, enum ws_signal_role role,
		   uint32_t sender)
{
	struct ws_rec_signal rec = {
		.signal = signal,
		.target_pid = target ? target : tape->pid,
		.target_start_ns = tape->start_ns,
		.sender_pid = sender,
		.role = role,
		.sender = "sender",
	};

	return send_alone(tape, &rec.h, WS_KIND_SIGNAL, sizeof(rec), 0);
}

int ws_tape_slot(struct ws_tape *tape, uint32_t by_pid, const char *message)
{
	struct ws_rec_slot rec = { .by_pid = by_pid };

	strncpy(rec.message, message, sizeof(rec.message) - 1);
	return send_alone(tape, &rec.h, WS_KIND_SLOT, sizeof(rec), 0);
}

int ws_tape_clock(struct ws_tape *tape, int64_t wall_ns, uint64_t boot_ns)
{
	struct ws_rec_clock rec = { .wall_ns = wall_ns, .boot_ns = boot_ns };

	return send_alone(tape, &rec.h, WS_KIND_CLOCK, sizeof(rec), 0);
}

int ws_tape_server(struct ws_tape *tape, uint32_t postmaster_pid, const char *version)
{
	struct ws_rec_server rec = { .major = 15 };

	strncpy(rec.version, version, sizeof(rec.version) - 1);
	strcpy(rec.file, "/usr/lib/postgresql/15/bin/postgres");
	return send_alone(tape, &rec.h, WS_KIND_SERVER, sizeof(rec), postmaster_pid);
}
