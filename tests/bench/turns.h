/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * turns.h: synthetic turns of send loops for the programs of this folder. They follow what was
 * measured of a physical walsender under pgbench: 8,900 turns a second, stages of 250 ns to 8 us
 * with the jitter of scheduling, LSN steps of a few WAL records in multiples of 8, replies in part
 * of the turns. Synthetic noise does not compress; neither does that of a real clock.
 */
#ifndef WS_BENCH_TURNS_H
#define WS_BENCH_TURNS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "wire.h"

struct scenario {
	const char *name;
	unsigned int sessions;
	double turns_per_s;   /* of each session */
	double reply_share;   /* turns that handle a reply */
	double waiting_share; /* turns that end in a wait */
	double seconds;	      /* of each session's life */
};

struct session {
	struct ws_rec_turn turn;
	uint64_t written; /* the standby's positions follow what was sent */
	bool waits;
	uint64_t random;
};

static double uniform(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (double)(*state >> 11) * 0x1p-53;
}

/* Log-normal: most near the median, a long tail. The shape of every duration a machine produces. */
static uint64_t jitter(uint64_t *state, double median, double sigma)
{
	double normal = -6, power;
	int i;

	for (i = 0; i < 12; i++)
		normal += uniform(state);
	power = 1 + sigma * normal / 64; /* to the 64th: near enough to e^x, without libm */
	for (i = 0; i < 6; i++)
		power *= power;
	return (uint64_t)(median * power);
}

static inline void begin(struct session *session, unsigned int number)
{
	memset(session, 0, sizeof(*session));
	session->random = 42 + number;
	session->turn.h.kind = WS_KIND_TURN;
	session->turn.h.pid = 4000 + number;
	session->turn.h.start_ns = 8123456789ULL + number * 100000000ULL;
	session->turn.h.server = 1;
	session->turn.h.time_ns = 3600000000000ULL + number * 1234567ULL;
	session->turn.lsn_to = 0x5123400000ULL + number * 0x1000;
	session->turn.write_lsn = session->turn.flush_lsn = session->turn.apply_lsn =
		session->turn.lsn_to;
}

static void reply(struct session *session)
{
	struct ws_rec_turn *turn = &session->turn;

	turn->h.flags |= WS_TURN_REPLY;
	turn->h.size = sizeof(*turn);
	turn->apply_lsn = uniform(&session->random) < 0.3 ? turn->apply_lsn : turn->flush_lsn;
	turn->flush_lsn = uniform(&session->random) < 0.5 ? turn->write_lsn : session->written;
	turn->write_lsn = session->written;
	session->written = turn->lsn_from;
	turn->write_lag_us = (int64_t)jitter(&session->random, 120, 0.4);
	turn->flush_lag_us = turn->write_lag_us + (int64_t)jitter(&session->random, 400, 0.4);
	turn->apply_lag_us = turn->flush_lag_us + (int64_t)jitter(&session->random, 40, 0.4);
	turn->reply_time_us = (int64_t)(turn->h.time_ns / 1000) + 848000000000000 -
			      (int64_t)jitter(&session->random, 60, 0.3);
}

static inline void next_turn(struct session *session, const struct scenario *scenario)
{
	struct ws_rec_turn *turn = &session->turn;
	__u64 *stage = turn->stage_ns;
	bool sent = uniform(&session->random) < 0.8;
	double busy = 8000;
	unsigned int i;

	turn->h.seq++;
	turn->h.flags = session->waits ? WS_TURN_WOKE : 0;
	turn->h.size = WS_TURN_SHORT_SIZE;
	turn->begin_ns = turn->h.time_ns;
	turn->lsn_from = turn->lsn_to;
	memset(stage, 0, sizeof(turn->stage_ns));
	stage[WS_STAGE_WAIT] =
		session->waits
			? jitter(&session->random,
				 (1e9 / scenario->turns_per_s - busy) / scenario->waiting_share,
				 0.5)
			: 0;
	stage[WS_STAGE_REPLY] = jitter(&session->random, 600, 0.3);
	stage[WS_STAGE_SEND] = jitter(&session->random, sent ? 5000 : 900, 0.4);
	stage[WS_STAGE_TAIL] = jitter(&session->random, 400, 0.3);
	for (i = 0; i < WS_STAGE_COUNT; i++)
		turn->h.time_ns += stage[i];
	turn->turns = turn->sends = 1;
	turn->lsn_to += sent ? 8 * (1 + jitter(&session->random, 25, 0.7)) : 0;
	turn->woke = session->waits ? (uniform(&session->random) < 0.9 ? WS_WL_LATCH_SET
								       : WS_WL_SOCKET_READABLE)
				    : 0;
	session->waits = uniform(&session->random) < scenario->waiting_share;
	turn->wait = session->waits ? WS_WAIT_WAL : WS_WAIT_NONE;
	turn->wait_mask = session->waits ? WS_WL_SOCKET_READABLE : 0;
	turn->wait_event = session->waits ? 0x0500000e : 0;
	turn->timeout_ms = session->waits ? 29990 + (int64_t)(uniform(&session->random) * 10) : 0;
	if (uniform(&session->random) < scenario->reply_share)
		reply(session);
}

static inline struct session *earliest(struct session *sessions, unsigned int count)
{
	struct session *found = sessions;
	unsigned int i;

	for (i = 1; i < count; i++) {
		if (sessions[i].turn.h.time_ns < found->turn.h.time_ns)
			found = &sessions[i];
	}
	return found;
}

#endif
