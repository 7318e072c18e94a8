/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How many turn records a second of CPU time the model takes, into sessions and histograms, and how
 * many of them the order in front of it passes. Streams of records as a busy physical walsender
 * makes them, of one session and of many that alternate.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/util.h"
#include "event/order.h"
#include "session/model.h"

enum { RECORDS = 4000000, ROUND = 1024 };

struct source {
	struct ws_rec_turn turn;
	uint64_t random;
};

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545F4914F6CDD1DULL;
}

static void make_session(struct source *s, uint32_t pid, struct ws_rec_session *rec)
{
	*s = (struct source){ .random = pid };
	s->turn.h.pid = pid;
	s->turn.h.start_ns = 1000000000;
	s->turn.h.time_ns = 2000000000;
	s->turn.h.kind = WS_KIND_TURN;
	s->turn.h.size = WS_TURN_SHORT_SIZE;
	s->turn.lsn_to = 0x1000000;
	*rec = (struct ws_rec_session){ .fork_ns = 1000000000 };
	rec->h = s->turn.h;
	rec->h.kind = WS_KIND_SESSION;
	rec->h.size = sizeof(*rec);
}

/* Waits for WAL, sends; every tenth turn brings a reply, every fiftieth finds the socket full. */
static void next_turn(struct source *s, uint64_t n)
{
	struct ws_rec_turn *t = &s->turn;
	uint64_t r = next_random(&s->random);
	bool reply = n % 10 == 0;

	t->h.seq++;
	t->h.flags = WS_TURN_WOKE | (reply ? WS_TURN_REPLY : 0);
	t->h.size = reply ? sizeof(*t) : WS_TURN_SHORT_SIZE;
	t->begin_ns = t->h.time_ns;
	t->stage_ns[WS_STAGE_WAIT] = 10000 + (r & 0xFFFFF);
	t->stage_ns[WS_STAGE_REPLY] = 500 + (r >> 20 & 0xFF);
	t->stage_ns[WS_STAGE_SEND] = 2000 + (r >> 28 & 0xFFF);
	t->stage_ns[WS_STAGE_TAIL] = 300;
	for (int i = 0; i < WS_STAGE_COUNT; i++)
		t->h.time_ns += t->stage_ns[i];
	t->lsn_from = t->lsn_to;
	t->lsn_to += 100 + (r >> 40 & 0xFFF);
	t->turns = 1;
	t->sends = 1;
	t->woke = WS_WL_LATCH_SET;
	t->wait = n % 50 ? WS_WAIT_WAL : WS_WAIT_SOCKET;
	t->write_lsn = t->lsn_from;
	t->flush_lsn = t->lsn_from;
	t->apply_lsn = t->lsn_from;
	t->write_lag_us = (__s64)(r & 0xFFF);
	t->flush_lag_us = (__s64)(r & 0x1FFF);
	t->apply_lag_us = (__s64)(r & 0x3FFF);
}

static int into_model(void *arg, const struct ws_rec *rec)
{
	return ws_model_feed(arg, rec);
}

/* Of this process: what others take of the machine does not count. */
static uint64_t cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Time in the function under test alone: records are made in rounds between the clock readings. */
static uint64_t run(uint32_t sessions, struct ws_model *model, struct ws_order *order)
{
	struct source *sources = calloc(sessions, sizeof(*sources));
	struct ws_rec_turn *round = calloc(ROUND, sizeof(*round));
	uint64_t spent = 0;

	if (!sources || !round)
		abort();
	for (uint32_t i = 0; i < sessions; i++) {
		struct ws_rec_session rec;

		make_session(&sources[i], 1000 + i * 7, &rec);
		if (order)
			ws_order_feed(order, &rec, sizeof(rec));
		else
			ws_model_feed(model, &rec.h);
	}
	for (uint64_t n = 0; n < RECORDS; n += ROUND) {
		uint64_t start;

		for (uint64_t i = 0; i < ROUND; i++) {
			struct source *s = &sources[(n + i) % sessions];

			next_turn(s, (n + i) / sessions);
			round[i] = s->turn;
		}
		start = cpu_ns();
		for (uint64_t i = 0; i < ROUND; i++) {
			if (order)
				ws_order_feed(order, &round[i], round[i].h.size);
			else
				ws_model_feed(model, &round[i].h);
		}
		spent += cpu_ns() - start;
	}
	free(round);
	free(sources);
	return spent;
}

static void bench(const char *name, uint32_t sessions, bool ordered)
{
	struct ws_model *model = ws_model_new(NULL);
	struct ws_order *order = NULL;
	uint64_t spent;

	if (!model)
		abort();
	if (ordered) {
		order = ws_order_new((struct ws_sink){ into_model, model });
		if (!order)
			abort();
	}
	spent = run(sessions, model, order);
	printf("%-16s %4" PRIu32 " sessions: %6.2f million records/s, %5.1f ns each\n", name,
	       sessions, RECORDS * 1e3 / (double)spent, (double)spent / RECORDS);
	ws_order_free(order);
	ws_model_free(model);
}

int main(void)
{
	static const uint32_t sessions[] = { 1, 8, 64, 500 };

	for (size_t i = 0; i < WS_ARRAY_SIZE(sessions); i++)
		bench("model", sessions[i], false);
	for (size_t i = 0; i < WS_ARRAY_SIZE(sessions); i++)
		bench("order and model", sessions[i], true);
	return 0;
}
