/* SPDX-License-Identifier: BSD-2-Clause */
/* Which records of a live stream pass a filter, when kinds and slots become known only later. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "../lib/records.h"
#include "../lib/sample.h"
#include "base/util.h"
#include "cli/select.h"

struct seen {
	unsigned int by_pid[3];	 /* 4001, 4002, 4003 */
	unsigned int sockets[3]; /* of which the collector made */
	unsigned int others;
	uint32_t next_seq[3]; /* records of a session pass in order and whole */
	bool hole;
	uint64_t gap_lost; /* by gap records */
	uint64_t by_kind[WS_STOP_KINDS];
	struct ws_rec_stop stop;
	unsigned int stop_after; /* fail then; 0: never */
	unsigned int calls;
};

static int see(void *arg, const struct ws_rec *rec)
{
	struct seen *seen = arg;

	if (seen->stop_after && ++seen->calls > seen->stop_after)
		return -1;
	if (rec->kind < WS_STOP_KINDS)
		seen->by_kind[rec->kind]++;
	if (rec->kind == WS_KIND_STOP && rec->size == sizeof(seen->stop))
		memcpy(&seen->stop, rec, sizeof(seen->stop));
	if (rec->kind == WS_KIND_GAP) {
		const struct ws_rec_gap *gap = (const void *)rec;

		seen->gap_lost += gap->lost;
		if (rec->pid >= 4001 && rec->pid <= 4003) {
			seen->hole |= rec->seq != seen->next_seq[rec->pid - 4001];
			seen->next_seq[rec->pid - 4001] += (uint32_t)gap->lost;
			seen->by_pid[rec->pid - 4001]++;
		}
		return 0;
	}
	if (rec->pid < 4001 || rec->pid > 4003) {
		seen->others++;
		return 0;
	}
	seen->by_pid[rec->pid - 4001]++;
	if (rec->kind == WS_KIND_SOCKET) { /* has no number */
		seen->sockets[rec->pid - 4001]++;
		return 0;
	}
	seen->hole |= rec->seq != seen->next_seq[rec->pid - 4001]++;
	return 0;
}

static int feed(void *arg, const struct ws_rec *rec)
{
	return ws_gate_feed(arg, rec);
}

static struct seen run(struct ws_filter filter)
{
	struct seen seen = { 0 };
	struct ws_gate *gate =
		ws_gate_new(&filter, false, (struct ws_sink){ .fn = see, .arg = &seen });

	assert_non_null(gate);
	assert_int_equal(ws_sample_send((struct ws_sink){ .fn = feed, .arg = gate }, 0), 0);
	ws_gate_free(gate);
	assert_int_equal(seen.others, 3); /* clock, server, stop: always */
	return seen;
}

static void test_without_a_filter_everything_passes(void **state)
{
	struct seen seen = run((struct ws_filter){ 0 });

	(void)state;
	assert_int_equal(seen.by_pid[0], 84);
	assert_int_equal(seen.sockets[0], 2);
	assert_int_equal(seen.by_pid[1], 25);
	assert_int_equal(seen.by_pid[2], 23);
	assert_false(seen.hole);
}

static void test_a_slot_known_late_lets_the_earlier_records_pass_too(void **state)
{
	struct seen seen = run((struct ws_filter){ .slot = "sub" });

	(void)state;
	assert_int_equal(seen.by_pid[0], 0);
	assert_int_equal(seen.by_pid[1], 25);
	assert_int_equal(seen.by_pid[2], 0);
	assert_false(seen.hole);
}

static void test_a_session_that_matched_once_stays(void **state)
{
	/* 4002 is of kind sql until it streams. */
	struct seen seen = run((struct ws_filter){ .kind = WS_SESSION_KIND_SQL });

	(void)state;
	assert_int_equal(seen.by_pid[1], 25);
	assert_int_equal(seen.by_pid[0] + seen.by_pid[2], 0);
	assert_false(seen.hole);
}

static void test_an_application_is_known_at_once(void **state)
{
	struct seen seen = run((struct ws_filter){ .app = "standby1" });

	(void)state;
	assert_int_equal(seen.by_pid[0], 84);
	assert_int_equal(seen.sockets[0], 2);
	assert_int_equal(seen.by_pid[1] + seen.by_pid[2], 0);
}

static void test_what_is_held_is_bounded(void **state)
{
	struct ws_filter filter = { .slot = "late" };
	struct seen seen = { 0 };
	struct ws_gate *gate =
		ws_gate_new(&filter, false, (struct ws_sink){ .fn = see, .arg = &seen });
	struct ws_tape tape =
		ws_tape_new((struct ws_sink){ .fn = feed, .arg = gate }, 4001, 1000000000);
	const unsigned int commands = 20000;

	(void)state;
	assert_non_null(gate);
	ws_tape_session(&tape, 0);
	for (unsigned int i = 0; i < commands; i++) {
		ws_tape_command(&tape, "IDENTIFY_SYSTEM");
		ws_tape_end(&tape, WS_COMMAND_DONE);
	}
	assert_int_equal(seen.by_pid[0], 0);
	ws_tape_command(&tape, "START_REPLICATION SLOT late 0/0");
	ws_tape_stream(&tape, WS_STREAM_SLOT, 0x1000000, "late");
	assert_true(seen.by_pid[0] > 1000);
	assert_true((size_t)seen.by_pid[0] * sizeof(struct ws_rec) < WS_GATE_HELD + 4096);
	/* The newest are kept, and what follows passes at once. */
	assert_true(seen.next_seq[0] > 0);
	seen.by_pid[0] = 0;
	ws_tape_keepalive(&tape, 0x1000000);
	assert_int_equal(seen.by_pid[0], 1);
	ws_gate_free(gate);
}

static int send_stop(struct ws_gate *gate, const uint64_t made_of[WS_STOP_KINDS])
{
	struct ws_rec_stop stop = { .h = { .size = sizeof(stop), .kind = WS_KIND_STOP } };

	memcpy(stop.made_of, made_of, sizeof(stop.made_of));
	return ws_gate_feed(gate, &stop.h);
}

/* Counts what goes into a gate. */
struct counting {
	struct ws_gate *gate;
	uint64_t made_of[WS_STOP_KINDS];
};

static int feed_counting(void *arg, const struct ws_rec *rec)
{
	struct counting *c = arg;

	if (rec->kind < WS_STOP_KINDS)
		c->made_of[rec->kind]++;
	return ws_gate_feed(c->gate, rec);
}

static void test_what_does_not_pass_is_in_the_books(void **state)
{
	static const struct ws_filter filters[] = {
		{ .slot = "late" },
		{ .slot = "sub" },
		{ .app = "standby1" },
		{ .app = "nobody" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++) {
		struct seen seen = { 0 };
		struct counting c = { 0 };
		struct ws_tape tape = ws_tape_new(
			(struct ws_sink){ .fn = feed_counting, .arg = &c }, 4002, 1000000000);

		c.gate = ws_gate_new(&filters[i], false,
				     (struct ws_sink){ .fn = see, .arg = &seen });
		assert_non_null(c.gate);
		/* Runs until the end and is held; another one ends unwanted. */
		ws_tape_session(&tape, 0);
		ws_tape_command(&tape, "IDENTIFY_SYSTEM");
		tape = ws_tape_new(tape.sink, 4003, 2000000000);
		ws_tape_session(&tape, 0);
		ws_tape_exit(&tape, 0, 0);
		tape = ws_tape_new(tape.sink, 4001, 3000000000);
		ws_tape_session(&tape, 0);
		for (unsigned int k = 0; k < 9000; k++) {
			ws_tape_command(&tape, "IDENTIFY_SYSTEM");
			ws_tape_end(&tape, WS_COMMAND_DONE);
		}
		ws_tape_stream(&tape, WS_STREAM_SLOT, 0x1000000, "late");
		assert_int_equal(send_stop(c.gate, c.made_of), 0);
		for (int kind = 0; kind < WS_STOP_KINDS; kind++)
			assert_int_equal(seen.by_kind[kind],
					 seen.stop.made_of[kind] - seen.stop.filtered_of[kind]);
		assert_false(seen.hole);
		/* Too much came before it was known to be wanted. */
		assert_int_equal(seen.gap_lost != 0, i == 0);
		ws_gate_free(c.gate);
	}
}

static void test_sessions_that_ended_are_forgotten(void **state)
{
	struct ws_filter filter = { .app = "standby1" };
	struct seen seen = { 0 };
	struct ws_gate *gate =
		ws_gate_new(&filter, false, (struct ws_sink){ .fn = see, .arg = &seen });
	struct ws_sink sink = { .fn = feed, .arg = gate };
	struct ws_tape living = ws_tape_new(sink, 4002, 5);
	size_t count;

	(void)state;
	assert_non_null(gate);
	ws_tape_session(&living, 0);
	for (uint32_t i = 0; i < 100; i++) {
		struct ws_tape tape = ws_tape_new(sink, 5000 + i, 1000 + i);

		ws_tape_session(&tape, 0);
		ws_tape_command(&tape, "IDENTIFY_SYSTEM");
		if (i % 2)
			ws_tape_exit(&tape, 0, 0);
		else
			ws_tape_gap(&tape, tape.now_ns, tape.now_ns, 1, WS_GAP_EXIT_MISSED);
	}
	ws_model_sessions(ws_gate_model(gate), &count);
	assert_int_equal(count, 1);
	ws_gate_free(gate);
}

static void test_the_loss_of_a_session_of_an_unknown_server_passes(void **state)
{
	const struct ws_filter filter = { .postmaster_pid = 77, .postgres = "/a/postgres" };
	const struct ws_rec_gap gap = { .h = { .size = sizeof(gap),
					       .kind = WS_KIND_GAP,
					       .pid = 4001,
					       .start_ns = 5,
					       .time_ns = 9 },
					.to_ns = 9,
					.lost = 7,
					.cause = WS_GAP_EXIT_MISSED };
	struct ws_rec_session session = { .h = { .size = sizeof(session),
						 .kind = WS_KIND_SESSION,
						 .pid = 4002,
						 .start_ns = 6,
						 .time_ns = 9 },
					  .postmaster_pid = 78,
					  .valid = WS_VALID_PARENT };
	struct seen seen = { 0 };
	struct ws_gate *gate =
		ws_gate_new(&filter, false, (struct ws_sink){ .fn = see, .arg = &seen });

	(void)state;
	assert_non_null(gate);
	assert_int_equal(ws_gate_feed(gate, &gap.h), 0);
	assert_int_equal(seen.by_pid[0], 1);
	assert_int_equal(ws_gate_feed(gate, &session.h), 0);
	assert_int_equal(seen.by_pid[1], 0);
	ws_gate_free(gate);
}

static void test_a_sink_that_stops_stops_the_gate(void **state)
{
	struct ws_filter filter = { .slot = "sub" };
	struct seen seen = { .stop_after = 10 };
	struct ws_gate *gate =
		ws_gate_new(&filter, false, (struct ws_sink){ .fn = see, .arg = &seen });

	(void)state;
	assert_int_equal(ws_sample_send((struct ws_sink){ .fn = feed, .arg = gate }, 0), -1);
	ws_gate_free(gate);
}

static void equal_filters_have_equal_hashes_and_none_has_none(void **state)
{
	char name[] = "a";
	const struct ws_filter none = { 0 }, filters[] = {
		{ .pid = 1 },	{ .postmaster_pid = 1 }, { .kind = WS_SESSION_KIND_PHYSICAL },
		{ .app = "a" }, { .slot = "a" },	 { .datadir = "a" },
		{ .app = "" },	{ .app = "ab" },	 { .app = "a", .slot = "b" },
	};
	const struct ws_filter same = { .app = name };

	(void)state;
	assert_int_equal(ws_filter_hash(&none), 0);
	assert_int_equal(ws_filter_hash(&same), ws_filter_hash(&filters[3]));
	for (size_t i = 0; i < WS_ARRAY_SIZE(filters); i++) {
		assert_int_not_equal(ws_filter_hash(&filters[i]), 0);
		for (size_t j = 0; j < i; j++)
			assert_int_not_equal(ws_filter_hash(&filters[i]),
					     ws_filter_hash(&filters[j]));
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_filters_have_equal_hashes_and_none_has_none),
		cmocka_unit_test(test_without_a_filter_everything_passes),
		cmocka_unit_test(test_a_slot_known_late_lets_the_earlier_records_pass_too),
		cmocka_unit_test(test_a_session_that_matched_once_stays),
		cmocka_unit_test(test_an_application_is_known_at_once),
		cmocka_unit_test(test_what_is_held_is_bounded),
		cmocka_unit_test(test_what_does_not_pass_is_in_the_books),
		cmocka_unit_test(test_sessions_that_ended_are_forgotten),
		cmocka_unit_test(test_the_loss_of_a_session_of_an_unknown_server_passes),
		cmocka_unit_test(test_a_sink_that_stops_stops_the_gate),
	};

	return cmocka_run_group_tests_name("gate", tests, NULL, NULL);
}
