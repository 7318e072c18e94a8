/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What it takes to end a walsender. Where one that streams hears of SIGTERM (pg_terminate_backend)
 * it says so to its client first, and for that waits until there is room in the socket: it has
 * taken the signal by then (ProcessInterrupts, postgres.c), and of a full socket none comes. A
 * second one finds it waiting in the midst of a write, where nothing more is said
 * (ProcessClientWriteInterrupt, postgres.c); so does the first one where results of SQL, or a
 * backup, fill the socket. Tried with 15 and 17.
 */
#include "diagnose/evidence.h"

/* Of its socket, when that was looked at last. A writer is woken when a third is free again
 * (sk_stream_is_writeable, include/net/sock.h). */
static bool has_no_room(const struct ws_track *t)
{
	const struct ws_rec_socket *tcp = &t->socket;

	if (t->has_sample && (t->sample.valid & WS_SAMPLE_UNIX))
		return t->sample.unix_sndbuf_bytes && ws_sample_unix_full(&t->sample);
	if (t->has_tcp && tcp->sndbuf_bytes)
		return 3 * (uint64_t)tcp->queued_bytes >= 2 * (uint64_t)tcp->sndbuf_bytes;
	return t->has_socket && tcp->unsent_bytes;
}

bool ws_case_cannot_leave(const struct ws_case *c)
{
	return ws_track_ending(c->t) == WS_ENDING_AGAIN &&
	       ws_case_since(c) >= ws_limit_ns(WS_LIMIT_SHUTDOWN);
}

enum ws_ending ws_track_ending(const struct ws_track *t)
{
	bool streams =
		t->s->kind == WS_SESSION_KIND_PHYSICAL || t->s->kind == WS_SESSION_KIND_LOGICAL;

	switch (t->standing->state) {
	case WS_STATE_EXITING:
		return has_no_room(t) ? WS_ENDING_AGAIN : WS_ENDING_LEAVES;
	case WS_STATE_STOPPED:
		return WS_ENDING_NEVER;
	case WS_STATE_SEND_BLOCKED:
		return streams ? WS_ENDING_TWICE : WS_ENDING_ONCE;
	default:
		return WS_ENDING_ONCE;
	}
}
