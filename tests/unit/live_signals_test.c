/* SPDX-License-Identifier: BSD-2-Clause */
/* What the collector makes of records that are in no session's sequence. */
#include "../lib/proc_fixture.h"

#include <stdio.h>
#include <string.h>

#include "live/private.h"

static struct ws_rec_gap last;
static unsigned int count;

static int collect(void *arg, const struct ws_rec *rec)
{
	(void)arg;
	assert_int_equal(rec->kind, WS_KIND_GAP);
	memcpy(&last, rec, sizeof(last));
	count++;
	return 0;
}

static void lost_ones_are_a_gap_of_no_session(void **state)
{
	uint64_t counters[WS_COUNTER_COUNT] = { 0 };
	struct ws_live live = { .sink = { .fn = collect } };

	(void)state;
	count = 0;
	counters[WS_COUNTER_LOST_KIND + WS_KIND_TURN] = 7; /* a session's own */
	assert_int_equal(ws_live_report_lost_alone(&live, counters, 5), 0);
	assert_int_equal(count, 0);
	counters[WS_COUNTER_LOST_KIND + WS_KIND_SIGNAL] = 2;
	counters[WS_COUNTER_LOST_KIND + WS_KIND_SLOT] = 1;
	assert_int_equal(ws_live_report_lost_alone(&live, counters, 5), 0);
	assert_int_equal(count, 1);
	assert_int_equal(last.h.pid, 0);
	assert_int_equal(last.cause, WS_GAP_RING_FULL);
	assert_int_equal(last.lost, 3);
	assert_int_equal(last.from_ns, 5);
	assert_int_equal(ws_live_report_lost_alone(&live, counters, 9), 0);
	assert_int_equal(count, 1);
	counters[WS_COUNTER_LOST_KIND + WS_KIND_SLOT] = 2;
	assert_int_equal(ws_live_report_lost_alone(&live, counters, 9), 0);
	assert_int_equal(last.lost, 1);
}

static void put(struct fixture *fx, unsigned int pid, unsigned int parent, const char *title)
{
	char name[64];

	fixture_put_process(fx, &(struct shape){ pid, parent, NULL, NULL, NULL, NULL, NULL });
	snprintf(name, sizeof(name), "proc/%u/cmdline", pid);
	fixture_put(fx, name, title, strlen(title) + 1);
}

static uint32_t role_of(struct fixture *fx, uint32_t sender, uint32_t role)
{
	const struct ws_live live = { .proc = { .root = fx->root } };
	struct ws_rec_signal signal = { .sender_pid = sender, .role = role };

	ws_live_complete_signal(&live, &signal);
	return signal.role;
}

static void a_servers_process_is_told_by_its_title(void **state)
{
	struct fixture *fx = *state;

	put(fx, 10, 1, "postgres: checkpointer ");
	put(fx, 11, 1, "postgres: bob db [local] SELECT");
	assert_int_equal(role_of(fx, 10, WS_ROLE_BACKEND), WS_ROLE_CHECKPOINTER);
	assert_int_equal(role_of(fx, 11, WS_ROLE_BACKEND), WS_ROLE_BACKEND);
	assert_int_equal(role_of(fx, 12, WS_ROLE_BACKEND), WS_ROLE_BACKEND);
	/* no process of this server, whatever it calls itself */
	assert_int_equal(role_of(fx, 10, WS_ROLE_OTHER), WS_ROLE_OTHER);
}

static void those_of_servers_that_filters_exclude_are_dropped(void **state)
{
	struct fixture *fx = *state;
	struct ws_known_postmaster postmasters[] = {
		{ .pid = 100, .wanted = true },
		{ .pid = 200, .wanted = false },
	};
	const struct ws_live_options options = { 0 };
	const struct ws_live live = {
		.options = &options,
		.proc = { .root = fx->root },
		.postmasters = postmasters,
		.postmaster_count = 2,
	};
	struct ws_rec_signal signal = { .h = { .kind = WS_KIND_SIGNAL, .size = sizeof(signal) } };
	struct ws_rec_slot slot = { .h = { .kind = WS_KIND_SLOT, .size = sizeof(slot) } };
	static const struct {
		uint32_t pid;
		bool wanted;
	} cases[] = { { 100, true },  { 101, true }, { 200, false },
		      { 201, false }, { 301, true }, { 999, true } };

	put(fx, 101, 100, "postgres: x");
	put(fx, 201, 200, "postgres: x");
	put(fx, 301, 300, "postgres: x"); /* of a postmaster that was not looked at yet */
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		signal.target_pid = cases[i].pid;
		slot.by_pid = cases[i].pid;
		assert_int_equal(ws_live_wants_alone(&live, &signal.h), cases[i].wanted);
		assert_int_equal(ws_live_wants_alone(&live, &slot.h), cases[i].wanted);
	}
}

static void with_a_pid_only_its_signals_and_its_postmasters_count(void **state)
{
	struct fixture *fx = *state;
	struct ws_known_postmaster postmasters[] = { { .pid = 100, .wanted = true } };
	const struct ws_live_options options = { .pid = 101 };
	const struct ws_live live = {
		.options = &options,
		.proc = { .root = fx->root },
		.postmasters = postmasters,
		.postmaster_count = 1,
	};
	struct ws_rec_signal signal = { .h = { .kind = WS_KIND_SIGNAL, .size = sizeof(signal) } };

	put(fx, 101, 100, "postgres: x");
	put(fx, 102, 100, "postgres: x");
	signal.target_pid = 101;
	assert_true(ws_live_wants_alone(&live, &signal.h));
	signal.target_pid = 100;
	assert_true(ws_live_wants_alone(&live, &signal.h));
	signal.target_pid = 102;
	assert_false(ws_live_wants_alone(&live, &signal.h));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(lost_ones_are_a_gap_of_no_session),
		TEST(a_servers_process_is_told_by_its_title),
		TEST(those_of_servers_that_filters_exclude_are_dropped),
		TEST(with_a_pid_only_its_signals_and_its_postmasters_count),
	};

	return cmocka_run_group_tests_name("live_signals", tests, NULL, NULL);
}
