/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * model_fixture.h: what each test of the model starts from: one walsender, PID 4711, forked at
 * BEGIN. Include it behind cmocka.h.
 */
#ifndef WS_TESTS_MODEL_FIXTURE_H
#define WS_TESTS_MODEL_FIXTURE_H

#include <stdlib.h>

#include "observed.h"

#define BEGIN 1000000000ULL
#define PID   4711
#define MS    1000000ULL

struct fixture {
	struct ws_observed *o;
	struct ws_tape tape;
};

static inline int fixture_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	f->o = ws_observed_new();
	f->tape = ws_tape_new(ws_observed_sink(f->o), PID, BEGIN);
	*state = f;
	return 0;
}

static inline int fixture_teardown(void **state)
{
	struct fixture *f = *state;

	ws_observed_free(f->o);
	free(f);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

static inline const struct ws_session *session_of(const struct fixture *f)
{
	return ws_observed_session(f->o, PID);
}

static inline void after(struct fixture *f, uint64_t ns)
{
	f->tape.now_ns += ns;
}

/* Authenticated 10 ns after the fork. */
static inline void start_idle(struct fixture *f)
{
	ws_tape_session(&f->tape, 0);
	after(f, 10);
	ws_tape_ready(&f->tape);
}

/* In the send loop 11 ns after the fork. */
static inline void start_streaming(struct fixture *f, uint16_t flags, uint64_t lsn)
{
	start_idle(f);
	ws_tape_command(&f->tape, flags & WS_STREAM_LOGICAL
					  ? "START_REPLICATION SLOT \"s\" LOGICAL 0/0"
					  : "START_REPLICATION 0/0 TIMELINE 1");
	after(f, 1);
	ws_tape_stream(&f->tape, flags, lsn, NULL);
}

/* A turn that waited, took 1 ns to find no reply, sent nothing, and now waits again. */
static inline void turn(struct fixture *f, uint64_t waited_ns, enum ws_wait wait)
{
	ws_tape_turn(&f->tape,
		     &(struct ws_tape_turn){
			     .stage_ns = { [WS_STAGE_WAIT] = waited_ns, [WS_STAGE_REPLY] = 1 },
			     .wait = wait });
}

/* The segments told so far. */
#define assert_timeline(f, expected) \
	assert_string_equal(ws_observed_timeline((f)->o, PID), expected)

#endif
