/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Walks a stand-in server (fake_server.h) through waits that no site tells of, as at level 2: when
 * it goes to sleep its memory says in which. Needs root; not part of `make unit`.
 */
#include <signal.h>

#include "base/util.h"
#include "tracer_fixture.h"

#define MAIN	      0x500000a /* a class of its own */
#define CLIENT_READ   0x6000000
#define LIBPQ_RECEIVE 0x6000003
#define WAIT_FOR_WAL  0x6000006
#define WRITE_DATA    0x6000007
#define CONFIRMATION  0x6000099 /* fake_offsets */
#define LOCK	      0x3000000

static struct fake_walsnd walsnd;
static struct fake_slot slot = { "slot_1" };

static void spend(uint64_t ns)
{
	uint64_t until = ws_clock_mono_ns() + ns;

	while (ws_clock_mono_ns() < until)
		;
}

static void sleep_in(uint32_t event, useconds_t us)
{
	fake.wait_event = event;
	usleep(us);
	fake.wait_event = 0;
}

/* What goes out lies between the two, as in pqcomm.c. */
static void set_pending(uint64_t start, uint64_t pointer)
{
	fake.pq_send_start = start;
	fake.pq_send_pointer = pointer;
}

static void begin(fake_function send)
{
	fake.my_walsnd = &walsnd;
	fake.my_replication_slot = &slot;
	walsnd = (struct fake_walsnd){ .sent = 0x1000 };
	sleep_in(MAIN, 1000); /* no command yet */
	fake_COMMAND_START((long)"START", 0, 0, 0, 0);
	fake_STREAM_START((long)send, 0, 0, 0, 0);
}

static struct fixture *set_up(void)
{
	struct ws_plan plan;

	fake_plan_asleep(&plan);
	return setup_plan(&plan, WS_ATTACH_AUTO, 0);
}

static void stream_physically(void)
{
	begin(fake_SEND_PHYSICAL);
	/* the socket takes a part */
	fake_SEND_PHYSICAL(0, 0, 0, 0, 0);
	walsnd.sent = 0x2000;
	set_pending(4, 10);
	sleep_in(MAIN, 10000);
	/* all goes out, and a reply comes in */
	spend(1000000);
	set_pending(0, 0);
	walsnd.flush = 0x1800;
	walsnd.reply_time = 777;
	sleep_in(MAIN, 5000);
	/* a wait that it does not sleep in, then a send that waits for a lock, and for the client
	 */
	fake.wait_event = MAIN;
	fake_SEND_PHYSICAL(0, 0, 0, 0, 0);
	walsnd.sent = 0x3000;
	sleep_in(LOCK, 2000);
	sleep_in(CLIENT_READ, 2000);
	fake_COMMAND_END(1, 0, 0, 0, 0);
	sleep_in(MAIN, 1000); /* none any more */
	/* CREATE SUBSCRIPTION waits as a client of another server */
	fake_COMMAND_START((long)"CREATE SUBSCRIPTION", 0, 0, 0, 0);
	fake_COMMAND_END(0, 0, 0, 0, 0);
	sleep_in(LIBPQ_RECEIVE, 1000);
	fake_SQL_END(0, 0, 0, 0, 0);
}

static void physical_waits_are_told_when_it_goes_to_sleep(void **state)
{
	struct fixture *f = set_up();
	const struct ws_rec_turn *t;

	(void)state;
	run(f, stream_physically, true);
	check_numbers(f);
	t = turn(f, 4);
	assert_int_equal(t->h.flags, WS_TURN_PENDING);
	assert_int_equal(t->wait, WS_WAIT_SOCKET);
	assert_int_equal(t->wait_event, MAIN);
	assert_int_equal(t->wait_mask, WS_WL_SOCKET_READABLE | WS_WL_SOCKET_WRITEABLE);
	assert_int_equal(t->timeout_ms, -1);
	assert_int_equal(t->turns, 1);
	assert_int_equal(t->sends, 1);
	assert_int_equal(t->lsn_to, 0x2000);
	assert_int_equal(t->stage_ns[WS_STAGE_WAIT], 0);
	t = turn(f, 5);
	assert_int_equal(t->h.flags, WS_TURN_REPLY);
	assert_int_equal(t->wait, WS_WAIT_WAL);
	assert_int_equal(t->wait_mask, WS_WL_SOCKET_READABLE);
	assert_int_equal(t->turns, 1);
	assert_int_equal(t->sends, 0);
	assert_int_equal(t->flush_lsn, 0x1800);
	assert_true(t->stage_ns[WS_STAGE_WAIT] >= 10000000);
	assert_true(t->stage_ns[WS_STAGE_REPLY] >= 1000000);
	t = turn(f, 6);
	assert_int_equal(t->wait, WS_WAIT_NONE);
	assert_int_equal(t->turns, 1);
	assert_int_equal(t->lsn_to, 0x3000);
	assert_true(t->stage_ns[WS_STAGE_WAIT] >= 5000000);
	assert_true(t->stage_ns[WS_STAGE_SEND] >= 4000000);
	record(f, 7, WS_KIND_COMMAND_END);
	record(f, 8, WS_KIND_COMMAND);
	record(f, 9, WS_KIND_TEXT);
	record(f, 10, WS_KIND_COMMAND_END);
	record(f, 11, WS_KIND_COMMAND_END);
	record(f, 12, WS_KIND_EXIT);
	assert_int_equal(f->count, 13);
	teardown(f);
}

static void stop_in_the_midst(void)
{
	begin(fake_SEND_PHYSICAL);
	fake.wait_event = MAIN;
	usleep(200000); /* in which the parent stops it, and lets it go on */
	fake.wait_event = 0;
	spend(1000000);
	sleep_in(MAIN, 1000);
	_exit(0);
}

static void stop(pid_t pid)
{
	usleep(100000);
	kill(pid, SIGSTOP);
	usleep(20000);
	kill(pid, SIGCONT);
}

static void one_that_is_stopped_in_a_wait_goes_on_with_it(void **state)
{
	struct fixture *f = set_up();
	const struct ws_rec_turn *t;
	size_t at[8], n = 0;

	(void)state;
	run_once(stop_in_the_midst, stop);
	ws_ring_consume(f->ring);
	for (size_t i = 0; i < f->count && n < WS_ARRAY_SIZE(at); i++) /* between them, signals */
		if (((const struct ws_rec *)f->records[i])->kind == WS_KIND_TURN)
			at[n++] = i;
	assert_int_equal(n, 3);
	assert_int_equal(turn(f, at[0])->wait, WS_WAIT_WAL);
	t = turn(f, at[1]);
	assert_true(t->stage_ns[WS_STAGE_WAIT] >= 190000000);
	assert_true(t->stage_ns[WS_STAGE_REPLY] >= 1000000);
	assert_int_equal(t->wait, WS_WAIT_WAL);
	teardown(f);
}

static void end_in_the_midst(void)
{
	begin(fake_SEND_PHYSICAL);
	sleep_in(MAIN, 1000);
	fake_ENDING(0, 0, 0, 0, 0);
	sleep_in(MAIN, 1000); /* what it read there is another process's by now */
	_exit(0);
}

static void at_its_end_it_waits_no_more(void **state)
{
	struct fixture *f = set_up();

	(void)state;
	run(f, end_in_the_midst, true);
	check_numbers(f);
	assert_int_equal(turn(f, 4)->wait, WS_WAIT_WAL);
	record(f, 5, WS_KIND_ENDING);
	assert_int_equal(turn(f, 6)->wait, WS_WAIT_NONE);
	record(f, 7, WS_KIND_EXIT);
	teardown(f);
}

static void stream_logically(void)
{
	begin(fake_SEND_LOGICAL);
	fake_SEND_LOGICAL(0, 0, 0, 0, 0);
	sleep_in(WAIT_FOR_WAL, 10000);
	spend(1000000); /* looks for replies */
	sleep_in(CLIENT_READ, 2000);
	sleep_in(WAIT_FOR_WAL, 3000);
	fake_REPLIES_END(0, 0, 0, 0, 0);
	spend(2000000);
	set_pending(4, 10);
	sleep_in(WRITE_DATA, 4000);
	spend(2000000); /* goes on with decoding */
	sleep_in(WAIT_FOR_WAL, 1000);
	set_pending(0, 0);
	walsnd.sent = 0x2000;
	sleep_in(CONFIRMATION, 1000);
	_exit(0);
}

static void logical_waits_are_told_and_what_was_done_goes_on(void **state)
{
	struct fixture *f = set_up();
	const struct ws_rec_turn *t;

	(void)state;
	run(f, stream_logically, true);
	check_numbers(f);
	t = turn(f, 4);
	assert_int_equal(t->h.flags, WS_TURN_LOGICAL);
	assert_int_equal(t->wait, WS_WAIT_WAL);
	assert_int_equal(t->turns, 1);
	t = turn(f, 5);
	assert_int_equal(t->wait, WS_WAIT_WAL);
	assert_int_equal(t->turns, 0);
	assert_true(t->stage_ns[WS_STAGE_WAIT] >= 10000000);
	assert_true(t->stage_ns[WS_STAGE_REPLY] >= 3000000);
	t = turn(f, 6);
	assert_int_equal(t->h.flags, WS_TURN_LOGICAL | WS_TURN_PENDING);
	assert_int_equal(t->wait, WS_WAIT_SOCKET);
	assert_int_equal(t->wait_event, WRITE_DATA);
	assert_true(t->stage_ns[WS_STAGE_WAIT] >= 3000000);
	assert_true(t->stage_ns[WS_STAGE_DECODE] >= 2000000);
	t = turn(f, 7); /* output is pending, whatever else it waits for */
	assert_int_equal(t->wait, WS_WAIT_SOCKET);
	assert_int_equal(t->wait_event, WAIT_FOR_WAL);
	assert_true(t->stage_ns[WS_STAGE_WAIT] >= 4000000);
	assert_true(t->stage_ns[WS_STAGE_DECODE] >= 2000000);
	t = turn(f, 8);
	assert_int_equal(t->wait, WS_WAIT_STANDBY);
	assert_int_equal(t->lsn_to, 0x2000);
	record(f, 9, WS_KIND_TURN);
	record(f, 10, WS_KIND_EXIT);
	teardown(f);
}

static void sleep_once(void)
{
	begin(fake_SEND_PHYSICAL);
	sleep_in(MAIN, 1000);
	_exit(0);
}

static unsigned int waits_of(const struct fixture *f)
{
	unsigned int waits = 0;

	for (size_t i = 0; i < f->count; i++) {
		const struct ws_rec_turn *t = (const void *)f->records[i];

		waits += t->h.kind == WS_KIND_TURN && t->wait == WS_WAIT_WAL;
	}
	return waits;
}

/* Of two servers each has a program of its own, and a removed one's is called no more. */
static void each_server_tells_of_its_own_waits(void **state)
{
	struct fixture *f = set_up();
	struct ws_error err = { 0 };
	struct ws_plan plan;
	uint16_t second;

	(void)state;
	fake_plan_asleep(&plan);
	assert_int_equal(ws_tracer_add_server(f->tracer, &plan, f->exe, &second, &err), 0);
	assert_int_equal(ws_tracer_attach_server(f->tracer, second, &err), 0);
	run(f, sleep_once, true);
	assert_int_equal(waits_of(f), 1);
	ws_tracer_remove_server(f->tracer, f->server);
	run(f, sleep_once, true);
	assert_int_equal(waits_of(f), 2);
	ws_tracer_remove_server(f->tracer, second);
	run(f, sleep_once, true);
	assert_int_equal(waits_of(f), 2);
	teardown(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(physical_waits_are_told_when_it_goes_to_sleep),
		cmocka_unit_test(logical_waits_are_told_and_what_was_done_goes_on),
		cmocka_unit_test(one_that_is_stopped_in_a_wait_goes_on_with_it),
		cmocka_unit_test(at_its_end_it_waits_no_more),
		cmocka_unit_test(each_server_tells_of_its_own_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
