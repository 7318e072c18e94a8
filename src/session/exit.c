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
 * A SIGTERM makes a walsender say 57P01, whoever sent it and whyever: pg_terminate_backend, the
 * checkpointer that wants its slot (InvalidatePossiblyObsoleteSlot, slot.c), a shutdown. There the
 * sender decides. Where the signal was not seen (an old recording, a lost record) the rules that
 * name no sender hold.
 */
#include <signal.h>
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
	EOF_CAUSE = 1 << 13, /* the server counts it as ended by the client's EOF */
	CANCELED = 1 << 14,  /* it was told to end before it knew who its client is */
	MUTED = 1 << 15,     /* the server does not report COMMERRORs */
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
	UNPROVEN = 1 << 25, /* it asked its client who he is, and got no answer */
	IN_COMMAND = 1 << 30,
	START_LOST = 1U << 31, /* records of its start are missing: it may have been READY */
	IN_SQL = 1 << 26,      /* it runs SQL, which may signal its own process */
	ASKED = 1 << 27,       /* the postmaster was asked to shut down */
	ASKED_NOW = 1 << 28,   /* immediately */
	SLOT_LOST = 1 << 29,   /* its slot was invalidated after it had to release it */
	/* who sent the signal that it obeyed, at most one of these */
	BY_POSTMASTER = 1 << 9,
	BY_SLOT = 1 << 10, /* whoever takes its slot away */
	BY_SELF = 1 << 11,
	BY_OTHER = 1 << 12,
};

/* Bits of enum ws_elevel. */
#define COMM   (1U << WS_ELEVEL_COMMERROR)
#define MILD   (1U << WS_ELEVEL_ERROR)
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
	/* "SSL error: ..." (be-secure-openssl.c): what came was no record of this connection's, or
	 * its end came without the goodbye of TLS. The read or write that failed is reported behind
	 * it, but the first report is the one that tells why. */
	{ CONNECTION, COMM, "08P01", "be_tls_read", NULL },
	{ CONNECTION, COMM, "08P01", "be_tls_write", NULL },
	{ CONNECTION, COMM, "08P01", NULL, "SSL error" },
	/* "unexpected message type" of a client that is still there (walsender.c) */
	{ FATAL, COMM, "08P01", "ProcessStandbyMessage", NULL },
	{ FATAL, COMM, "08P01", NULL, "invalid message length" }, /* pq_getmessage, pqcomm.c */
	/* "unexpected EOF on client connection with an open transaction" is 08006 (postgres.c), and
	 * an ERROR in the middle of COPY FROM and UPLOAD_MANIFEST. The FATAL that follows says only
	 * that the protocol's synchronization was lost (PostgresMain). */
	{ CLIENT_EOF, COMM, NULL, "SocketBackend", NULL },
	{ CLIENT_EOF, MILD, "08006", "CopyGetData", NULL },
	{ CLIENT_EOF, MILD, "08006", "HandleUploadManifestPacket", NULL },
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
	/* "canceling authentication due to timeout" (ProcessInterrupts), whatever the signal was
	 * for: StatementTimeoutHandler (postinit.c) sends a SIGTERM to itself */
	{ FATAL | CANCELED, DEADLY, "57014", NULL, NULL },
	/* too_many_connections: max_connections, and max_wal_senders */
	{ FATAL | REFUSAL, DEADLY, "53300", NULL, NULL },
	/* authentication (auth.c, InitializeSessionUserId), and starting up or shutting down */
	{ FATAL | REFUSAL, DEADLY, "28", NULL, NULL },
	{ FATAL | REFUSAL, DEADLY, "57P03", NULL, NULL },
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
	/* The postmaster kills (SIGKILL, SIGABRT) who did not obey its SIGQUIT for 5 s */
	{ WS_END_SHUTDOWN, SIGNALED | BY_POSTMASTER | ASKED_NOW, 0, ANY_CODE },
	{ WS_END_CRASH_RESTART, SIGNALED | BY_POSTMASTER, 0, ANY_CODE },
	{ WS_END_KILLED, SIGNALED, 0, ANY_CODE },
	{ WS_END_POSTMASTER_DEATH, POSTMASTER, 0, ANY_CODE },
	{ WS_END_SHUTDOWN, CRASH | ASKED_NOW, 0, ANY_CODE },
	{ WS_END_CRASH_RESTART, CRASH, 0, ANY_CODE },
	/* max_wal_senders is checked behind READY up to 15 (InitWalSenderSlot) */
	{ WS_END_REFUSED, REFUSAL, COMMANDED | RUNNING, ANY_CODE },
	{ WS_END_SHUTDOWN, ADMIN | BY_POSTMASTER, 0, ANY_CODE },
	{ WS_END_SHUTDOWN, CANCELED | BY_POSTMASTER, 0, ANY_CODE },
	{ WS_END_ADMIN_TERMINATED, CANCELED | BY_OTHER, 0, ANY_CODE },
	{ WS_END_SLOT_INVALIDATED, ADMIN | BY_SLOT | SLOT_LOST, 0, ANY_CODE },
	{ WS_END_SLOT_RELEASED, ADMIN | BY_SLOT, 0, ANY_CODE },
	/* At a shutdown a walsender that does not stream sends SIGTERM to itself
	 * (HandleWalSndInitStopping, walsender.c); SQL can do so at any time
	 * (pg_terminate_backend(pg_backend_pid())) */
	{ WS_END_SHUTDOWN, ADMIN | BY_SELF | ASKED, 0, ANY_CODE },
	{ WS_END_SHUTDOWN, ADMIN | BY_SELF, IN_SQL, ANY_CODE },
	{ WS_END_ADMIN_TERMINATED, ADMIN | BY_OTHER, 0, ANY_CODE },
	{ WS_END_SHUTDOWN, ADMIN | STOPPING, 0, ANY_CODE },
	{ WS_END_ADMIN_TERMINATED, ADMIN, 0, ANY_CODE },
	{ WS_END_REFUSED, FATAL, READY | COMMANDED | RUNNING | CONNECTION | START_LOST, ANY_CODE },
	{ WS_END_SLOT_INVALIDATED, CONFLICT | STREAMED | SLOT, 0, ANY_CODE },
	{ WS_END_REPLICATION_TIMEOUT, TIMEOUT, 0, ANY_CODE },
	/* A failed read is reported as such first, and as an EOF by its caller */
	{ WS_END_CONNECTION_LOST, CONNECTION, 0, ANY_CODE },
	{ WS_END_CLIENT_EOF, CLIENT_EOF, 0, ANY_CODE },
	{ WS_END_FATAL, FATAL, 0, ANY_CODE },
	{ WS_END_POSTMASTER_DEATH, DEATH, 0, 1 },
	/* SIGQUIT makes a walsender _exit(2) without a word (WalSndSignals leaves it to
	 * SignalHandlerForCrashExit, 13 to 18), or with a WARNING to its client alone (quickdie,
	 * before). */
	{ WS_END_ADMIN_TERMINATED, BY_SELF, 0, 2 },
	{ WS_END_ADMIN_TERMINATED, BY_OTHER, 0, 2 },
	{ WS_END_SHUTDOWN, ASKED_NOW, 0, 2 },
	{ WS_END_CRASH_RESTART, 0, 0, 2 },
	/* Between commands an end of the connection is nothing the server reports (PostgresMain,
	 * case EOF); behind a gap it may have been a failed read */
	{ WS_END_CLIENT_EOF, EOF_CAUSE, HOLE, 0 },
	/* ... nor before it knows the client (STATUS_EOF, auth.c: psql leaves to ask for the
	 * password) */
	{ WS_END_CLIENT_EOF, UNPROVEN, HOLE, 0 },
	/* WalSndDone, WalSndErrorCleanup: nothing else was to be reported */
	{ WS_END_SHUTDOWN, STOPPING, 0, 0 },
	{ WS_END_UNKNOWN, HOLE, 0, ANY_CODE },
	/* A replication timeout, a lost connection and a goodbye look all the same */
	{ WS_END_UNKNOWN, MUTED | IN_COMMAND, 0, 0 },
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

void ws_exit_add_signal(struct ws_machine *m, const struct ws_rec_signal *r)
{
	struct ws_signal_by *by = r->signal == SIGTERM	 ? &m->term
				  : r->signal == SIGQUIT ? &m->quit
							 : &m->deadly;

	/* The first one of those it handles is the one it obeys. */
	if (m->ended || (by->signal && by != &m->deadly))
		return;
	*by = (struct ws_signal_by){ r->signal, r->sender_pid, r->role, "" };
	memcpy(by->name, r->sender, sizeof(by->name));
	if (r->signal == SIGTERM && r->role == WS_ROLE_CHECKPOINTER)
		m->slot_by = r->sender_pid;
}

void ws_exit_ending(struct ws_machine *m, const struct ws_rec_ending *rec)
{
	m->ending_code = (int)rec->code;
	if (rec->h.flags & WS_ENDING_MUTED)
		m->clues |= MUTED;
	if (rec->cause == WS_END_CAUSE_CLIENT_EOF)
		m->clues |= EOF_CAUSE;
	/* die() of postgres.c ran: the FATAL that followed is missing. */
	if (rec->cause == WS_END_CAUSE_KILLED && rec->code == 1 && m->hole && !(m->clues & FATAL))
		m->clues |= FATAL | ADMIN;
}

/* A client that is gone takes no more: that a message cannot be sent to it then is no news. */
uint32_t ws_exit_add_clues(uint32_t facts, uint32_t more)
{
	return facts | (facts & CLIENT_EOF ? more & ~(uint32_t)CONNECTION : more);
}

bool ws_exit_follows(uint32_t facts)
{
	return (facts & (FATAL | TIMEOUT)) != 0;
}

const struct ws_signal_by *ws_exit_signal(const struct ws_machine *m)
{
	const struct ws_signal_by *all[] = { &m->term, &m->quit, &m->deadly };
	int signal = m->s.exit_signal;

	if (signal <= 0)
		signal = (m->clues & (ADMIN | CANCELED))	     ? SIGTERM
			 : (m->clues & CRASH) || m->s.exit_code == 2 ? SIGQUIT
								     : 0;
	for (size_t i = 0; i < WS_ARRAY_SIZE(all); i++)
		if (signal && all[i]->signal == (uint32_t)signal)
			return all[i];
	return NULL;
}

static uint32_t sender_of(const struct ws_machine *m)
{
	const struct ws_signal_by *by = ws_exit_signal(m);

	/* The report that it takes the slot says who sends the SIGTERM that follows. */
	if (m->slot_by && (!by || (by == &m->term && by->pid == m->slot_by)))
		return BY_SLOT;
	if (!by)
		return 0;
	switch (by->role) {
	case WS_ROLE_POSTMASTER:
		return BY_POSTMASTER;
	case WS_ROLE_SELF:
		return BY_SELF;
	default:
		return BY_OTHER;
	}
}

static bool is_unproven(const struct ws_machine *m)
{
	const struct ws_session *s = &m->s;

	return (s->auth_begin_ns || m->found_starting) && !s->auth_end_ns && !s->ready_ns &&
	       !m->start_lost;
}

static uint32_t facts_of(const struct ws_machine *m)
{
	const struct ws_session *s = &m->s;
	const struct ws_server_seen *server = ws_model_server_seen(m->model, s);
	bool stopping = s->walsnd_state == WS_WALSND_STOPPING || (server && server->stopping);
	unsigned int asked = server ? server->asked : 0;

	return m->clues | sender_of(m) | (m->refused && !(m->clues & FATAL) ? REFUSAL : 0) |
	       (m->start_lost ? START_LOST : 0) |
	       (s->was_running && !m->found_starting ? RUNNING : 0) | (s->ready_ns ? READY : 0) |
	       (s->first_command_ns || m->commanded ? COMMANDED : 0) |
	       (m->streamed ? STREAMED : 0) | (s->slot[0] ? SLOT : 0) | (stopping ? STOPPING : 0) |
	       (m->hole ? HOLE : 0) | (m->woke_by_death ? DEATH : 0) |
	       (s->exit_signal > 0 ? SIGNALED : 0) | (is_unproven(m) ? UNPROVEN : 0) |
	       (m->command.open ? IN_COMMAND : 0) |
	       (m->command.open && m->command.sql ? IN_SQL : 0) |
	       (asked & WS_ASKED_SHUTDOWN ? ASKED : 0) |
	       (asked & WS_ASKED_IMMEDIATE ? ASKED_NOW : 0) | (m->slot_lost ? SLOT_LOST : 0);
}

enum ws_exit_reason ws_exit_explain(const struct ws_machine *m)
{
	/* Of a process whose exit was missed proc_exit's code may have been seen. */
	int code = m->s.exit_code < 0 && m->s.exit_signal <= 0 ? m->ending_code : m->s.exit_code;
	uint32_t facts = facts_of(m);

	for (size_t i = 0; i < WS_ARRAY_SIZE(rules); i++) {
		const struct rule *r = &rules[i];

		if ((facts & r->all) == r->all && !(facts & r->none) &&
		    (r->code == ANY_CODE || r->code == code))
			return r->reason;
	}
	return WS_END_UNKNOWN;
}
