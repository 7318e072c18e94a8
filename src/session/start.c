/* SPDX-License-Identifier: BSD-2-Clause */
/* What the start of a session consists of. */
#include "base/util.h"
#include "session/machine.h"

const char *ws_start_phase_name(enum ws_start_phase phase)
{
	static const char *const names[WS_START_COUNT] = {
		[WS_START_PACKET] = "startup_packet",
		[WS_START_AUTH] = "authentication",
		[WS_START_POSTGRES] = "init_postgres",
		[WS_START_WALSENDER] = "init_wal_sender",
		[WS_START_FIRST_COMMAND] = "first_command",
	};

	return phase < WS_START_COUNT ? names[phase] : NULL;
}

/* Adds the time between two moments; false if one was not seen. */
static bool add(uint64_t *ns, uint64_t from_ns, uint64_t to_ns)
{
	if (!from_ns || to_ns < from_ns)
		return false;
	*ns += to_ns - from_ns;
	return true;
}

bool ws_session_start_phase(const struct ws_session *s, enum ws_start_phase phase, uint64_t *ns)
{
	*ns = 0;
	switch (phase) {
	case WS_START_PACKET:
		return add(ns, s->fork_ns, s->packet_ns);
	case WS_START_AUTH:
		return add(ns, s->auth_begin_ns, s->auth_end_ns);
	case WS_START_POSTGRES:
		/* ClientAuthentication is called by it, and little is between the start-up packet
		 * and its own beginning. */
		return add(ns, s->packet_ns, s->auth_begin_ns) &&
		       add(ns, s->auth_end_ns, s->ready_ns);
	case WS_START_WALSENDER:
		return add(ns, s->ready_ns, s->initialized_ns);
	case WS_START_FIRST_COMMAND:
		return !ws_machine_of(s)->start_lost &&
		       add(ns, s->initialized_ns, s->first_command_ns);
	default:
		return false;
	}
}
