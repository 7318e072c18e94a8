/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ring buffer between the programs and the collector, on a stand-in server (fake_server.h):
 * what finds no room is counted, what crosses the watermark wakes. Needs root; not part of
 * `make unit`.
 */
#include <poll.h>

#include "../lib/counters.h"
#include "tracer_fixture.h"

static void send_1000_keepalives(void)
{
	int i;

	for (i = 0; i < 1000; i++)
		fake_KEEPALIVE(1, 0, 0, 0, 0);
}

/* A page holds few of a thousand records: those that found no room took numbers, and are counted.
 */
static void loss_is_counted_and_located(void **state)
{
	struct fixture *f = setup(WS_ATTACH_AUTO, getpagesize());
	uint64_t counters[WS_COUNTER_COUNT];
	struct ws_entry entry;
	pid_t pid;

	(void)state;
	pid = run(f, send_1000_keepalives, true);
	check_numbers(f); /* nothing was consumed meanwhile: the first ones are there */
	assert_true(f->count > 10 && f->count < 1000);
	ws_tracer_counters(f->tracer, counters);
	assert_int_equal(counters_sum(counters, WS_COUNTER_MADE_KIND), 1002);
	assert_int_equal(counters_sum(counters, WS_COUNTER_LOST_KIND), 1002 - f->count);
	assert_int_equal(counters[WS_COUNTER_LOST_KIND + WS_KIND_KEEPALIVE], 1001 - f->count);
	assert_int_equal(counters[WS_COUNTER_LOST_KIND + WS_KIND_EXIT], 1);
	assert_true(ws_tracer_entry(f->tracer, pid, &entry));
	assert_int_equal(entry.seq, 1002);
	assert_int_equal(entry.lost, 1002 - f->count);
	assert_true(entry.flags & WS_ENTRY_DEAD);
	teardown(f);
}

static void do_nothing(void)
{
}

/* The kernel calls a ring readable whenever something is in it; here only a wake-up counts. */
static void polling_wakes_at_the_watermark_only(void **state)
{
	struct fixture *f = setup(WS_ATTACH_AUTO, 1 << 20);
	struct pollfd p = { .fd = ws_ring_poll_fd(f->ring), .events = POLLIN };
	int i;

	(void)state;
	ws_ring_consume(f->ring);
	run(f, send_1000_keepalives, false); /* 48 + 8 bytes each */
	assert_int_equal(poll(&p, 1, 0), 0);
	for (i = 0; i < 5; i++)
		run(f, send_1000_keepalives, false);
	assert_int_equal(poll(&p, 1, 10000), 1);
	ws_ring_free(f->ring); /* so many records are not kept */
	f->ring = NULL;
	teardown(f);
}

/* 8 bytes of the ring's own are in front of each record. */
#define IN_RING(bytes) ((bytes) + 8)

/* Stops 4000 bytes short of the watermark of a 1 MiB ring; the text's second chunk goes beyond. */
static void step_over_the_watermark(void)
{
	const size_t before = IN_RING(sizeof(struct ws_rec_session)) +
			      IN_RING(sizeof(struct ws_rec_command)) +
			      IN_RING(sizeof(struct ws_rec_text) + WS_TEXT_CHUNK_SMALL);
	size_t room = (1 << 20) / 4 - 4000 - before;
	static char text[10000];

	for (; room > 0; room -= room < 56 ? room : 56)
		fake_KEEPALIVE(1, 0, 0, 0, 0);
	memset(text, 'x', sizeof(text) - 1);
	fake_COMMAND_START((long)text, 0, 0, 0, 0);
}

static void a_record_larger_than_the_band_wakes(void **state)
{
	struct fixture *f = setup(WS_ATTACH_AUTO, 1 << 20);
	struct pollfd p = { .fd = ws_ring_poll_fd(f->ring), .events = POLLIN };

	(void)state;
	ws_ring_consume(f->ring);
	run(f, step_over_the_watermark, false);
	assert_int_equal(poll(&p, 1, 10000), 1);
	ws_ring_free(f->ring); /* so many records are not kept */
	f->ring = NULL;
	teardown(f);
}

/* A callback as slow as can be: each record it takes brings the next one. */
struct breeder {
	struct fixture *f;
	size_t taken;
};

static int breed(void *arg, const void *data, size_t size)
{
	struct breeder *b = arg;

	(void)data;
	(void)size;
	if (++b->taken > 100000)
		return -1;
	run(b->f, do_nothing, false);
	return 0;
}

static void consuming_ends_though_records_keep_coming(void **state)
{
	struct fixture *f = setup(WS_ATTACH_AUTO, getpagesize());
	struct breeder breeder = { .f = f };
	struct ws_ring *ring;
	struct ws_error err;
	int n;

	(void)state;
	assert_int_equal(ws_ring_new(&ring, ws_tracer_ring_fd(f->tracer), breed, &breeder, &err),
			 0);
	run(f, do_nothing, false);
	n = ws_ring_consume(ring);
	assert_int_equal(n, breeder.taken);
	assert_true(n > 2 && n < 100); /* a page of them */
	ws_ring_free(ring);
	teardown(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(loss_is_counted_and_located),
		cmocka_unit_test(polling_wakes_at_the_watermark_only),
		cmocka_unit_test(a_record_larger_than_the_band_wakes),
		cmocka_unit_test(consuming_ends_though_records_keep_coming),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
