/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A server that is started anew has another postmaster, and is the same to its clients: one follows
 * another where it has the same data directory, and was seen first when the other was not seen any
 * more, nor a session of it. Servers of one path in several containers are there at a time.
 */
#include <string.h>

#include "diagnose/evidence.h"

static struct ws_server_track *server_of(const struct ws_diagnosis *d, const struct ws_session *s)
{
	for (size_t i = 0; s->postmaster_pid && i < d->server_count; i++)
		if (d->servers[i].pid == s->postmaster_pid)
			return &d->servers[i];
	return NULL;
}

/* Since when neither a server nor a session of it is there any more. */
static void note_ends(struct ws_diagnosis *d, const struct ws_session *const *sessions,
		      size_t count)
{
	for (size_t i = 0; i < d->server_count; i++)
		d->servers[i].over_ns = d->servers[i].read_ns;
	for (size_t i = 0; i < count; i++) {
		uint64_t end = sessions[i]->end_ns ? sessions[i]->end_ns : UINT64_MAX;
		struct ws_server_track *server = server_of(d, sessions[i]);

		if (server && end > server->over_ns)
			server->over_ns = end;
	}
}

void ws_lines_draw(struct ws_diagnosis *d, const struct ws_session *const *sessions, size_t count)
{
	note_ends(d, sessions, count);
	/* They are in the order in which they were seen first. */
	for (size_t i = 0; i < d->server_count; i++) {
		struct ws_server_track *server = &d->servers[i], *before;

		server->line = server->pid;
		for (size_t j = i; j-- && server->datadir[0];) {
			before = &d->servers[j];
			if (before->first_ns >= server->first_ns ||
			    before->over_ns > server->first_ns ||
			    strcmp(before->datadir, server->datadir) != 0)
				continue;
			server->line = before->line;
			break;
		}
	}
}

uint32_t ws_line_of(const struct ws_diagnosis *d, const struct ws_session *s)
{
	const struct ws_server_track *server = server_of(d, s);

	return server ? server->line : s->postmaster_pid;
}
