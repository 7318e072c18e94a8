/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Why a session ended. The exit status alone says little: a replication timeout and an unexpected
 * EOF are a COMMERROR followed by proc_exit(0) (walsender.c), just as a client's Terminate message
 * is proc_exit(0) without one. So errors are taken for clues (table 1), and the clues, what the
 * session had come to, and the status decide together (table 2, the first row that fits).
 *
 * Messages may be translated (lc_messages), function names and SQLSTATEs are not: where there is a
 * choice the rows go by those, and have the English message as well for servers whose binary could
 * not be read.
 *
 * Two reasons have no rule, because nothing the programs see tells them: slot_released, and the
 * slot_invalidated of a checkpoint. Both are SIGTERM to the walsender, which then says 57P01 as for
 * pg_terminate_backend (InvalidatePossiblyObsoleteSlot, slot.c).
 */
#include <string.h>

#include "base/util.h"
#include "session/machine.h"

enum fact {
	/* clues */
	FATAL = 1 << 0,
	TIMEOUT = 1 << 1,
	CONNECTION = 1 << 2,
	CLIENT_EOF = 1 << 3,
	POSTMASTER = 1 << 4,
	ADMIN = 1 << 5,
	CRASH = 1 << 6,
	REFUSAL = 1 << 7,
	CONFLICT = 1 << 8,
	/* what the session had come to */
	RUNNING = 1 << 16,   /* already ran when walscope attached: its start was not seen */
	READY = 1 << 17,     /* it was authenticated */
	COMMANDED = 1 << 18, /* it got a command */
	STREAMED = 1 << 19,
	SLOT = 1 << 20,
	STOPPING = 1 << 21, /* it, or another walsender of the server, was told to stop */
	HOLE = 1 << 22,	    /* records are missing right before the end */
	DEATH = 1 << 23,    /* its last wait ended with WL_POSTMASTER_DEATH */
	SIGNALED = 1 << 24,
};

/* Bits of enum ws_elevel. */
#define COMM   (1U << WS_ELEVEL_COMMERROR)
#define DEADLY (1U << WS_ELEVEL_FATAL | 1U << WS_ELEVEL_PANIC)

/* An error is a clue if all that a row names fits; the first row that fits decides. */
struct clue {
	uint32_t facts;
	uint32_t elevels;
	const char *sqlstate; /* its beginning */
	const char *function;
	const char *message; /* its beginning */
};

static const struct clue clues[] = {
	/* WalSndCheckTimeOut, which is usually inlined, but __func__ is its own */
	{ TIMEOUT, COMM, NULL, "WalSndCheckTimeOut", NULL },
	{ TIMEOUT, COMM, NULL, NULL, "terminating walsender process due to replication timeout" },
	/* pqcomm.c; the last one may be 08006 or an internal error, as errno says */
	{ CONNECTION, COMM, NULL, "internal_flush", NULL },
	{ CONNECTION, COMM, NULL, "internal_flush_buffer", NULL },
	{ CONNECTION, COMM, NULL, "pq_recvbuf", NULL },
	{ CONNECTION, COMM, NULL, "pq_getbyte_if_available", NULL },
	{ CONNECTION, COMM, NULL, NULL, "could not send data to client" },
	{ CONNECTION, COMM, NULL, NULL, "could not receive data from client" },
	/* "unexpected EOF on client connection with an open transaction" is 08006 (postgres.c) */
	{ CLIENT_EOF, COMM, NULL, "SocketBackend", NULL },
	{ CLIENT_EOF, COMM, NULL, NULL, "unexpected EOF" },
	{ CLIENT_EOF, COMM, "08P01", NULL, NULL },
	{ CONNECTION, COMM, "08", NULL, NULL },
	/* "connection to client lost" (ProcessInterrupts, postgres.c) */
	{ FATAL | CONNECTION, DEADLY, "08006", NULL, NULL },
	/* "terminating connection due to unexpected postmaster exit" (be-secure.c), also 57P01 */
	{ FATAL | POSTMASTER, DEADLY, "57P01", "secure_read", NULL },
	{ FATAL | POSTMASTER, DEADLY, "57P01", "secure_write", NULL },
	{ FATAL | POSTMASTER, DEADLY, "57P01", NULL,
	  "terminating connection due to unexpected postmaster exit" },
	{ FATAL | ADMIN, DEADLY, "57P01", NULL, NULL },
	{ FATAL | CRASH, DEADLY, "57P02", NULL, NULL },
	/* too_many_connections: max_connections, and max_wal_senders */
	{ FATAL | REFUSAL, DEADLY, "53300", NULL, NULL },
	/* "terminating connection due to conflict with recovery" (ProcessInterrupts); a logical
	 * walsender on a standby meets it when its slot is invalidated (16 and later) */
	{ FATAL | CONFLICT, DEADLY, "40001", NULL, NULL },
	{ FATAL, DEADLY, NULL, NULL, NULL },
};

#define ANY_CODE (-2)

struct rule {
	enum ws_exit_reason reason;
	uint32_t all, none; /* facts */
	int code;	    /* exit status, ANY_CODE for any and unknown */
};

static const struct rule rules[] = {
	{ WS_END_KILLED, SIGNALED, 0, ANY_CODE },
	{ WS_END_POSTMASTER_DEATH, POSTMASTER, 0, ANY_CODE },
	{ WS_END_CRASH_RESTART, CRASH, 0, ANY_CODE },
	/* max_wal_senders is checked behind READY up to 15 (InitWalSenderSlot) */
	{ WS_END_REFUSED, REFUSAL, COMMANDED | RUNNING, ANY_CODE },
	{ WS_END_SHUTDOWN, ADMIN | STOPPING, 0, ANY_CODE },
	{ WS_END_ADMIN_TERMINATED, ADMIN, 0, ANY_CODE },
	{ WS_END_REFUSED, FATAL, READY | COMMANDED | RUNNING | CONNECTION, ANY_CODE },
	{ WS_END_SLOT_INVALIDATED, CONFLICT | STREAMED | SLOT, 0, ANY_CODE },
	{ WS_END_REPLICATION_TIMEOUT, TIMEOUT, 0, ANY_CODE },
	/* A failed read is reported as such first, and as an EOF by its caller */
	{ WS_END_CONNECTION_LOST, CONNECTION, 0, ANY_CODE },
	{ WS_END_FATAL, FATAL, 0, ANY_CODE },
	{ WS_END_CLIENT_EOF, CLIENT_EOF, 0, ANY_CODE },
	{ WS_END_POSTMASTER_DEATH, DEATH, 0, 1 },
	/* SIGQUIT makes a walsender _exit(2) without a word (WalSndSignals leaves it to
	 * SignalHandlerForCrashExit, 13 to 18), or with a WARNING to its client alone (quickdie,
	 * before). An immediate shutdown and a manual SIGQUIT look the same. */
	{ WS_END_CRASH_RESTART, 0, 0, 2 },
	/* WalSndDone, WalSndErrorCleanup: nothing else was to be reported */
	{ WS_END_SHUTDOWN, STOPPING, 0, 0 },
	{ WS_END_UNKNOWN, HOLE, 0, ANY_CODE },
	/* Without a FATAL only the death of the postmaster makes a backend proc_exit(1) (latch.c,
	 * WalSndWait) */
	{ WS_END_POSTMASTER_DEATH, 0, 0, 1 },
	{ WS_END_CLIENT_TERMINATED, 0, 0, 0 },
};

static bool begins(const char *text, const char *with)
{
	return !with || !strncmp(text, with, strlen(with));
}

uint32_t ws_exit_clues(const struct ws_problem *problem)
{
	const char *message = problem->message.any ? problem->message.buf.data : "";

	for (size_t i = 0; i < WS_ARRAY_SIZE(clues); i++) {
		const struct clue *c = &clues[i];

		if ((c->elevels & 1U << problem->elevel) &&
		    begins(problem->sqlstate, c->sqlstate) &&
		    (!c->function || !strcmp(problem->function, c->function)) &&
		    begins(message, c->message))
			return c->facts;
	}
	return 0;
}

bool ws_exit_follows(uint32_t facts)
{
	return (facts & (FATAL | TIMEOUT)) != 0;
}

static uint32_t facts_of(const struct ws_machine *m)
{
	const struct ws_session *s = &m->s;
	const struct ws_server_seen *server = ws_model_server_seen(m->model, s);
	bool stopping = s->walsnd_state == WS_WALSND_STOPPING || (server && server->stopping);

	return m->clues | (s->was_running ? RUNNING : 0) | (s->ready_ns ? READY : 0) |
	       (s->first_command_ns || m->commanded ? COMMANDED : 0) |
	       (m->streamed ? STREAMED : 0) | (s->slot[0] ? SLOT : 0) | (stopping ? STOPPING : 0) |
	       (m->hole ? HOLE : 0) | (m->woke_by_death ? DEATH : 0) |
	       (s->exit_signal > 0 ? SIGNALED : 0);
}

enum ws_exit_reason ws_exit_explain(const struct ws_machine *m)
{
	uint32_t facts = facts_of(m);

	for (size_t i = 0; i < WS_ARRAY_SIZE(rules); i++) {
		const struct rule *r = &rules[i];

		if ((facts & r->all) == r->all && !(facts & r->none) &&
		    (r->code == ANY_CODE || r->code == m->s.exit_code))
			return r->reason;
	}
	return WS_END_UNKNOWN;
}
