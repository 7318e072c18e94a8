/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Walks the programs of the send loop through known sequences in a stand-in server (fake_server.h)
 * and looks at every record. Needs root; not part of `make unit`.
 */
#include <signal.h>

#include "base/util.h"
#include "tracer_fixture.h"

static struct fake_walsnd walsnd;
static struct fake_slot slot = { "slot_1" };

static void spend(uint64_t ns)
{
	uint64_t until = ws_clock_mono_ns() + ns;

	while (ws_clock_mono_ns() < until)
		;
}

/* A wait begins; the server says which until the next site. */
static void fake_wait(long mask, long timeout_ms, uint32_t event)
{
	fake_WAIT_START(mask, timeout_ms, event, 0, 0);
	fake.wait_event = event;
}

static void stream_physically(void)
{
	fake.my_walsnd = &walsnd;
	fake.my_replication_slot = &slot;
	walsnd = (struct fake_walsnd){ .state = WS_WALSND_STARTUP, .sent = 0x1000 };
	fake_SESSION_READY(0, 0, 0, 0, 0);
	fake_COMMAND_START((long)"START", 0, 0, 0, 0);
	fake_STATE(WS_WALSND_CATCHUP, 0, 0, 0, 0);
	walsnd.state = WS_WALSND_CATCHUP;
	fake_STATE(WS_WALSND_CATCHUP, 0, 0, 0, 0); /* no change */
	fake_STREAM_START((long)fake_SEND_PHYSICAL, 0, 0, 0, 0);
	/* a turn that sends and does not wait */
	fake_SEND_PHYSICAL(0, 0, 0, 0, 0);
	walsnd.sent = 0x2000;
	fake_FLUSH_END(0, 0, 0, 0, 0);
	/* one that waits for the socket */
	fake_SEND_PHYSICAL(0, 0, 0, 0, 0);
	walsnd.sent = 0x2800;
	fake_FLUSH_END(0, 0, 0, 0, 0);
	fake_wait(WS_WL_SOCKET_READABLE | WS_WL_SOCKET_WRITEABLE, 1234, 0x500000a);
	usleep(20000);
	fake_WAIT_END(1, WS_WL_SOCKET_WRITEABLE, 0, 0, 0);
	/* a reply came in; then caught up */
	spend(1000000);
	walsnd.write = 0x1800;
	walsnd.flush = 0x1400;
	walsnd.apply = 0x1000;
	walsnd.write_lag = 11;
	walsnd.flush_lag = -1;
	walsnd.apply_lag = 33;
	walsnd.reply_time = 777;
	fake_SEND_PHYSICAL(0, 0, 0, 0, 0);
	fake_FLUSH_END(0, 0, 0, 0, 0);
	fake_wait(WS_WL_SOCKET_READABLE, 30000, 0x500000a);
	fake_WAIT_END(0, 0, 0, 0, 0); /* timeout */
	/* the client ends the stream */
	fake_COMMAND_END(1, 0, 0, 0, 0);
}

static void check_physical_turns(int level)
{
	struct fixture *f = setup_at_level(level, WS_ATTACH_AUTO, 0);
	const struct ws_rec_turn *sent, *blocked, *reply, *last;
	const struct ws_rec_stream *stream;
	const struct ws_rec_state *change;

	run(f, stream_physically, true);
	check_numbers(f);
	record(f, 1, WS_KIND_READY);
	change = record(f, 4, WS_KIND_STATE);
	assert_int_equal(change->from, WS_WALSND_STARTUP);
	assert_int_equal(change->to, WS_WALSND_CATCHUP);
	assert_int_equal(change->sent_lsn, 0x1000);
	stream = record(f, 5, WS_KIND_STREAM);
	assert_int_equal(stream->h.flags, WS_STREAM_SLOT);
	assert_string_equal(stream->slot, "slot_1");
	assert_int_equal(stream->sent_lsn, 0x1000);
	sent = turn(f, 6);
	assert_int_equal(sent->begin_ns, stream->h.time_ns);
	assert_int_equal(sent->lsn_from, 0x1000);
	assert_int_equal(sent->lsn_to, 0x2000);
	assert_int_equal(sent->turns, 1);
	assert_int_equal(sent->sends, 1);
	assert_int_equal(sent->wait, WS_WAIT_NONE);
	assert_int_equal(sent->h.flags, 0);
	assert_int_equal(sent->h.size, WS_TURN_SHORT_SIZE);
	blocked = turn(f, 7);
	assert_int_equal(blocked->begin_ns, sent->h.time_ns);
	assert_int_equal(blocked->lsn_from, 0x2000);
	assert_int_equal(blocked->h.flags, WS_TURN_PENDING);
	assert_int_equal(blocked->wait, WS_WAIT_SOCKET);
	assert_int_equal(blocked->wait_mask, 6);
	assert_int_equal(blocked->timeout_ms, 1234);
	assert_int_equal(blocked->wait_event, 0x500000a);
	assert_int_equal(blocked->turns, 1);
	assert_int_equal(blocked->sends, 1);
	reply = turn(f, 8);
	assert_int_equal(reply->begin_ns, blocked->h.time_ns);
	assert_true(reply->stage_ns[WS_STAGE_WAIT] >= 20000000);
	assert_true(reply->stage_ns[WS_STAGE_REPLY] >= 1000000);
	/* below level 3 nothing says what ended a wait */
	assert_int_equal(reply->h.flags, WS_TURN_REPLY | (level == 3 ? WS_TURN_WOKE : 0));
	assert_int_equal(reply->woke, level == 3 ? WS_WL_SOCKET_WRITEABLE : 0);
	assert_int_equal(reply->wait, WS_WAIT_WAL);
	assert_int_equal(reply->write_lsn, 0x1800);
	assert_int_equal(reply->flush_lsn, 0x1400);
	assert_int_equal(reply->apply_lsn, 0x1000);
	assert_int_equal(reply->write_lag_us, 11);
	assert_int_equal(reply->flush_lag_us, -1);
	assert_int_equal(reply->apply_lag_us, 33);
	assert_int_equal(reply->reply_time_us, 777);
	assert_int_equal(reply->h.size, sizeof(*reply));
	last = turn(f, 9);
	assert_int_equal(last->begin_ns, reply->h.time_ns);
	assert_int_equal(last->woke, 0);
	assert_int_equal(last->h.flags, level == 3 ? WS_TURN_WOKE : 0);
	record(f, 10, WS_KIND_COMMAND_END);
	record(f, 11, WS_KIND_EXIT);
	assert_int_equal(f->count, 12);
	teardown(f);
}

static void physical_turns_add_up_and_tell_waits_apart(void **state)
{
	(void)state;
	check_physical_turns(3);
}

static void without_a_site_behind_the_flush_they_do_too(void **state)
{
	(void)state;
	check_physical_turns(2);
}

/* WalSndDone sends what is left behind the flush, in the same turn. */
static void send_twice(void)
{
	fake.my_walsnd = &walsnd;
	walsnd = (struct fake_walsnd){ .sent = 0x1000 };
	fake_COMMAND_START((long)"START", 0, 0, 0, 0);
	fake_STREAM_START((long)fake_SEND_PHYSICAL, 0, 0, 0, 0);
	fake_SEND_PHYSICAL(0, 0, 0, 0, 0);
	walsnd.sent = 0x2000;
	fake_FLUSH_END(0, 0, 0, 0, 0);
	fake_SEND_PHYSICAL(0, 0, 0, 0, 0);
	walsnd.sent = 0x3000;
	fake_wait(WS_WL_SOCKET_READABLE, 30000, 0x500000a);
	_exit(0);
}

static void each_of_two_sends_in_a_turn_has_its_record(void **state)
{
	(void)state;
	for (int level = 2; level <= 3; level++) {
		struct fixture *f = setup_at_level(level, WS_ATTACH_AUTO, 0);

		run(f, send_twice, true);
		check_numbers(f);
		assert_int_equal(turn(f, 4)->lsn_from, 0x1000);
		assert_int_equal(turn(f, 4)->lsn_to, 0x2000);
		assert_int_equal(turn(f, 4)->sends, 1);
		assert_int_equal(turn(f, 5)->lsn_from, 0x2000);
		assert_int_equal(turn(f, 5)->lsn_to, 0x3000);
		assert_int_equal(turn(f, 5)->sends, 1);
		teardown(f);
	}
}

/* Turns that do not wait: of two replies one comes in front of what is sent, one behind it. */
static void reply_around_a_send(void)
{
	fake.my_walsnd = &walsnd;
	walsnd = (struct fake_walsnd){ .sent = 0x2000 };
	fake_COMMAND_START((long)"START", 0, 0, 0, 0);
	fake_STREAM_START((long)fake_SEND_PHYSICAL, 0, 0, 0, 0);
	walsnd.flush = 0x1000;
	walsnd.reply_time = 1;
	fake_SEND_PHYSICAL(0, 0, 0, 0, 0);
	walsnd.sent = 0x3000;
	walsnd.flush = 0x3000;
	walsnd.reply_time = 2;
	fake_wait(WS_WL_SOCKET_READABLE, 30000, 0x500000a);
	_exit(0);
}

static void a_reply_behind_a_send_is_not_of_its_record(void **state)
{
	for (int level = 2; level <= 3; level++) {
		struct fixture *f = setup_at_level(level, WS_ATTACH_AUTO, 0);
		const struct ws_rec_turn *t;

		(void)state;
		run(f, reply_around_a_send, true);
		check_numbers(f);
		t = turn(f, 4);
		assert_int_equal(t->flush_lsn, 0x1000);
		assert_int_equal(t->lsn_to, 0x3000);
		assert_int_equal(t->turns, 1);
		assert_int_equal(t->wait, WS_WAIT_NONE);
		t = turn(f, 5);
		assert_int_equal(t->flush_lsn, 0x3000);
		assert_int_equal(t->lsn_from, 0x3000);
		assert_int_equal(t->turns, 1);
		assert_int_equal(t->wait, WS_WAIT_WAL);
		teardown(f);
	}
}

/* Waits that end at once, that something interrupts, and that end in a wait for something else. */
static void wait_in_three_ways(void)
{
	fake.my_walsnd = &walsnd;
	walsnd = (struct fake_walsnd){ .sent = 0x1000 };
	fake_COMMAND_START((long)"START", 0, 0, 0, 0);
	fake_STREAM_START((long)fake_SEND_PHYSICAL, 0, 0, 0, 0);
	fake_wait(WS_WL_SOCKET_READABLE, 30000, 0x500000a);
	fake.wait_event = 0;
	spend(300000);
	usleep(300);
	fake_wait(WS_WL_SOCKET_READABLE, 30000, 0x500000a);
	usleep(10000);
	spend(100000);
	usleep(10000);
	spend(500000);
	fake_wait(WS_WL_SOCKET_READABLE, 30000, 0x500000a);
	usleep(10000);
	fake.wait_event = 0x3000000;
	usleep(500);
	usleep(500);
	fake_SEND_PHYSICAL(0, 0, 0, 0, 0);
	usleep(1000);
	walsnd.sent = 0x2000;
	_exit(0);
}

static void a_wait_lasts_while_it_sleeps(void **state)
{
	struct fixture *f = setup_at_level(2, WS_ATTACH_AUTO, 0);
	const struct ws_rec_turn *t;

	(void)state;
	run(f, wait_in_three_ways, true);
	check_numbers(f);
	t = turn(f, 5);
	assert_int_equal(t->stage_ns[WS_STAGE_WAIT], 0);
	assert_true(t->stage_ns[WS_STAGE_REPLY] >= 600000);
	t = turn(f, 6);
	assert_true(t->stage_ns[WS_STAGE_WAIT] >= 20000000);
	assert_true(t->stage_ns[WS_STAGE_REPLY] >= 500000);
	t = turn(f, 7);
	assert_in_range(t->stage_ns[WS_STAGE_WAIT], 10000000, t->h.time_ns - t->begin_ns - 2000000);
	assert_true(t->stage_ns[WS_STAGE_REPLY] >= 1000000);
	assert_true(t->stage_ns[WS_STAGE_SEND] >= 1000000);
	teardown(f);
}

static void stream_logically(void)
{
	struct fake_stringinfo out = { .len = 500 }, *ctx = &out;

	fake.my_walsnd = &walsnd;
	walsnd = (struct fake_walsnd){ .state = WS_WALSND_STREAMING, .sent = 0x1000 };
	fake_COMMAND_START((long)"START", 0, 0, 0, 0);
	fake_STREAM_START((long)fake_SEND_LOGICAL, 0, 0, 0, 0);
	fake_SEND_LOGICAL(0, 0, 0, 0, 0);
	/* the wait for WAL inside */
	fake_wait(WS_WL_SOCKET_READABLE, 100, 0x6000006);
	usleep(15000);
	fake_WAIT_END(1, WS_WL_LATCH_SET, 0, 0, 0);
	walsnd.reply_time = 5;
	usleep(2000); /* counts as handling replies */
	fake_REPLIES_END(0, 0, 0, 0, 0);
	fake_DECODE_START(0, 0, 0, 0, 0);
	fake_MESSAGE_PREPARE(0, 0, 0, 0, 0);
	usleep(2000);
	fake_MESSAGE_WRITE((long)&ctx, 0, 0, 0, 0);
	fake_MESSAGE_FLUSHED(0, 0, 0, 0, 0);
	/* ProcessPendingWrites */
	fake_wait(6, 100, 0x6000007);
	fake_WAIT_END(1, WS_WL_SOCKET_WRITEABLE, 0, 0, 0);
	usleep(3000); /* decoding goes on */
	fake_DECODE_END(0, 0, 0, 0, 0);
	walsnd.sent = 0x3000;
	fake_FLUSH_END(0, 0, 0, 0, 0);
	fake_SEND_LOGICAL(0, 0, 0, 0, 0);
	fake_wait(WS_WL_SOCKET_READABLE, 100, 0x6000099);
	_exit(1);
}

static void logical_waits_nest_in_the_send(void **state)
{
	struct fixture *f = setup(WS_ATTACH_AUTO, 0);
	const struct ws_rec_turn *t;

	(void)state;
	run(f, stream_logically, true);
	check_numbers(f);
	assert_int_equal(((const struct ws_rec *)record(f, 3, WS_KIND_STREAM))->flags,
			 WS_STREAM_LOGICAL);
	t = turn(f, 4);
	assert_int_equal(t->h.flags, WS_TURN_LOGICAL);
	assert_int_equal(t->wait, WS_WAIT_WAL);
	assert_int_equal(t->turns, 1);
	t = turn(f, 5);
	assert_int_equal(t->h.flags,
			 WS_TURN_LOGICAL | WS_TURN_WOKE | WS_TURN_REPLY | WS_TURN_PENDING);
	assert_int_equal(t->wait, WS_WAIT_SOCKET);
	assert_int_equal(t->messages, 1);
	assert_int_equal(t->message_bytes, 500);
	assert_true(t->stage_ns[WS_STAGE_WAIT] >= 15000000);
	assert_true(t->stage_ns[WS_STAGE_REPLY] >= 2000000);
	assert_true(t->stage_ns[WS_STAGE_PLUGIN] >= 2000000);
	t = turn(f, 6);
	assert_true(t->stage_ns[WS_STAGE_DECODE] >= 3000000);
	assert_int_equal(t->wait, WS_WAIT_STANDBY);
	assert_int_equal(t->lsn_to, 0x3000);
	t = turn(f, 7); /* the exit sends what was accumulated */
	assert_int_equal(t->wait, WS_WAIT_NONE);
	assert_int_equal(((const struct ws_rec_exit *)record(f, 8, WS_KIND_EXIT))->code, 1);
	teardown(f);
}

/* The latch is set already: the wait is none, and what follows it is the same. */
static void wait_and_not_sleep(void)
{
	fake.my_walsnd = &walsnd;
	walsnd = (struct fake_walsnd){ .state = WS_WALSND_STREAMING, .sent = 0x1000 };
	fake_COMMAND_START((long)"START", 0, 0, 0, 0);
	fake_STREAM_START((long)fake_SEND_LOGICAL, 0, 0, 0, 0);
	fake_SEND_LOGICAL(0, 0, 0, 0, 0);
	fake_wait(WS_WL_SOCKET_READABLE, 100, 0x6000006);
	fake.wait_event = 0;
	spend(1000000);
	fake_REPLIES_END(0, 0, 0, 0, 0);
	spend(3000000);
	fake_SEND_LOGICAL(0, 0, 0, 0, 0);
	_exit(0);
}

static void replies_end_behind_a_wait_that_did_not_sleep(void **state)
{
	struct fixture *f = setup_at_level(2, WS_ATTACH_AUTO, 0);
	const struct ws_rec_turn *t;

	(void)state;
	run(f, wait_and_not_sleep, true);
	check_numbers(f);
	assert_int_equal(turn(f, 4)->wait, WS_WAIT_WAL);
	t = turn(f, 5);
	assert_int_equal(t->stage_ns[WS_STAGE_WAIT], 0);
	assert_true(t->stage_ns[WS_STAGE_REPLY] >= 1000000);
	assert_true(t->stage_ns[WS_STAGE_DECODE] >= 3000000);
	teardown(f);
}

/* Turns that do not wait, of which each takes in a reply. */
static void stream_logically_with_replies(void)
{
	fake.my_walsnd = &walsnd;
	walsnd = (struct fake_walsnd){ .sent = 0x1000 };
	fake.am_walsender = true;
	fake_SESSION_START(0, 0, 0, 0, 0);
	fake_COMMAND_START((long)"START_REPLICATION SLOT s LOGICAL 0/0", 0, 0, 0, 0);
	fake_STREAM_START((long)fake_SEND_LOGICAL, 0, 0, 0, 0);
	for (int i = 0; i < 3; i++) {
		if (i < 2) {
			walsnd.write = 0x100 * (i + 1);
			walsnd.write_lag = 10 * (i + 1);
			walsnd.reply_time = i + 1;
		}
		fake_SEND_LOGICAL(0, 0, 0, 0, 0);
		fake_FLUSH_END(0, 0, 0, 0, 0);
	}
	fake_SEND_LOGICAL(0, 0, 0, 0, 0);
	fake_wait(WS_WL_SOCKET_READABLE, 100, 0x6000007);
	_exit(0);
}

static void each_reply_while_decoding_has_its_record(void **state)
{
	struct fixture *f = setup(WS_ATTACH_AUTO, 0);
	const struct ws_rec_turn *t;

	(void)state;
	run(f, stream_logically_with_replies, true);
	check_numbers(f);
	for (unsigned int i = 0; i < 2; i++) {
		t = turn(f, 4 + i);
		assert_int_equal(t->h.flags, WS_TURN_LOGICAL | WS_TURN_REPLY);
		assert_int_equal(t->turns, 1);
		assert_int_equal(t->write_lsn, 0x100 * (i + 1));
		assert_int_equal(t->write_lag_us, 10 * (i + 1));
	}
	t = turn(f, 6);
	assert_int_equal(t->h.flags, WS_TURN_LOGICAL);
	assert_int_equal(t->wait, WS_WAIT_WAL);
	assert_int_equal(t->turns, 2);
	teardown(f);
}

/* Level 2 has a site where it reads a page, none in what is done with it, and none behind the
 * flush. */
static void stream_logically_at_level_2(void)
{
	fake.my_walsnd = &walsnd;
	walsnd = (struct fake_walsnd){ .sent = 0x1000 };
	fake_COMMAND_START((long)"START", 0, 0, 0, 0);
	fake_READ_PAGE(0, 0, 0, 0, 0); /* as where a slot is made: no turn */
	fake_STREAM_START((long)fake_SEND_LOGICAL, 0, 0, 0, 0);
	for (int i = 0; i < 3; i++) {
		fake_READ_PAGE(0, 0, 0, 0, 0);
		usleep(1000); /* reads, and decodes */
		walsnd.sent += 0x100;
		fake_FLUSH_END(0, 0, 0, 0, 0);
	}
	fake_READ_PAGE(0, 0, 0, 0, 0);
	/* the wait for WAL inside */
	fake_wait(WS_WL_SOCKET_READABLE, 100, 0x6000006);
	usleep(2000);
	spend(1000000);
	fake_REPLIES_END(0, 0, 0, 0, 0);
	usleep(1000);
	fake_FLUSH_END(0, 0, 0, 0, 0);
	_exit(0);
}

static void at_level_2_a_logical_turn_decodes_all_along(void **state)
{
	struct fixture *f = setup_at_level(2, WS_ATTACH_AUTO, 0);
	uint64_t turns = 0, sends = 0, decode_ns = 0;
	const struct ws_rec_turn *t;
	unsigned int at = 4;

	(void)state;
	run(f, stream_logically_at_level_2, true);
	check_numbers(f);
	/* On a busy host the turns may be folded into more than one record. */
	do {
		t = turn(f, at++);
		assert_true(t->h.flags & WS_TURN_LOGICAL);
		turns += t->turns;
		sends += t->sends;
		decode_ns += t->stage_ns[WS_STAGE_DECODE];
	} while (t->wait == WS_WAIT_NONE);
	assert_int_equal(turns, 4);
	assert_int_equal(sends, 4);
	assert_int_equal(t->lsn_to, 0x1300);
	assert_int_equal(t->wait, WS_WAIT_WAL);
	assert_true(decode_ns >= 3000000);
	t = turn(f, at);
	assert_true(t->stage_ns[WS_STAGE_WAIT] >= 2000000);
	assert_true(t->stage_ns[WS_STAGE_REPLY] >= 1000000);
	assert_true(t->stage_ns[WS_STAGE_DECODE] >= 1000000);
	teardown(f);
}

static void fail_in_the_loop(void)
{
	fake.my_walsnd = &walsnd;
	walsnd = (struct fake_walsnd){ .sent = 0x1000 };
	fake.errordata[0] = (struct fake_error){ .elevel = 21,
						 .lineno = 42,
						 .filename = "walsender.c",
						 .funcname = "XLogSendPhysical",
						 .message = "xxxxx",
						 .sqlerrcode = 0x1020200 };
	fake.errordata[1] = fake.errordata[0];
	fake.errordata[1].elevel = 16;
	fake.errordata_stack_depth = 0;
	fake_COMMAND_START((long)"", 0, 0, 0, 0);
	fake_STREAM_START((long)fake_SEND_PHYSICAL, 0, 0, 0, 0);
	fake_FATAL(0, 0, 0, 0, 0); /* EmitErrorReport of an ERROR: left to the next */
	fake_ERROR(0, 0, 0, 0, 0);
	fake.errordata_stack_depth = 1;
	fake_FATAL(0, 0, 0, 0, 0);
	fake.errordata[1].elevel = 15; /* LOG */
	fake_FATAL(0, 0, 0, 0, 0);
	fake.errordata_stack_depth = 7; /* nonsense */
	fake.errordata[1].elevel = 22;
	fake_FATAL(0, 0, 0, 0, 0);
}

static void errors_close_what_is_open(void **state)
{
	struct fixture *f = setup(WS_ATTACH_AUTO, 0);
	const struct ws_rec_error *e;
	uint16_t flags;
	size_t len;

	(void)state;
	run(f, fail_in_the_loop, true);
	check_numbers(f);
	turn(f, 4);
	e = record(f, 5, WS_KIND_ERROR);
	assert_int_equal(e->h.size, WS_ERROR_WIRE_SIZE);
	assert_int_equal(e->elevel, WS_ELEVEL_ERROR);
	assert_int_equal(e->line, 42);
	assert_int_equal(e->sqlstate, 0x1020200);
	assert_int_equal(e->valid, 0xf);
	assert_string_equal((const char *)(e->file_addr + fake_base()), "walsender.c");
	assert_string_equal((const char *)(e->function_addr + fake_base()), "XLogSendPhysical");
	assert_int_equal(read_text(f, 6, &len, &flags), 7);
	assert_int_equal(len, 5);
	e = record(f, 7, WS_KIND_ERROR);
	assert_int_equal(e->elevel, WS_ELEVEL_COMMERROR);
	record(f, 9, WS_KIND_EXIT);
	assert_int_equal(f->count, 10);
	teardown(f);
}

static void do_nothing(void)
{
}

/* The two objects' probes are on one inode, so each hit fires both. */
static void two_objects_on_one_binary_make_no_duplicates(void **state)
{
	struct fixture *f = setup(WS_ATTACH_AUTO, 0);
	struct ws_error err;
	struct ws_plan plan;
	uint16_t second;

	(void)state;
	fake_plan(&plan, 3);
	assert_int_equal(ws_tracer_add_server(f->tracer, &plan, f->exe, &second, &err), 0);
	assert_int_equal(ws_tracer_attach_server(f->tracer, second, &err), 0);
	assert_int_equal(second, f->server + 1);
	run(f, stream_physically, true);
	check_numbers(f);
	assert_int_equal(f->count, 12);
	ws_tracer_remove_server(f->tracer, f->server);
	ws_tracer_remove_server(f->tracer, second);
	assert_true(ws_tracer_site_hit(f->tracer, second, WS_SITE_SEND_PHYSICAL));
	run(f, do_nothing, true);
	assert_int_equal(f->count, 12);
	teardown(f);
}

static void a_full_session_map_is_counted(void **state)
{
	struct fixture *f = setup(WS_ATTACH_AUTO, 0);
	struct ws_entry entry = { .server = f->server, .start_ns = 1 };
	uint64_t counters[WS_COUNTER_COUNT];
	struct ws_error err;
	uint32_t i;

	(void)state;
	for (i = 0; i < WS_SESSIONS_MAX; i++) /* beyond any pid the kernel gives out */
		assert_int_equal(ws_tracer_seed(f->tracer, 0x10000000 + i, &entry, &err), 1);
	assert_int_equal(ws_tracer_seed(f->tracer, 1, &entry, &err), -1);
	run(f, stream_physically, true);
	assert_int_equal(f->count, 0);
	ws_tracer_counters(f->tracer, counters);
	assert_int_equal(counters[WS_COUNTER_UNTRACKED], 1);
	teardown(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(physical_turns_add_up_and_tell_waits_apart),
		cmocka_unit_test(without_a_site_behind_the_flush_they_do_too),
		cmocka_unit_test(each_of_two_sends_in_a_turn_has_its_record),
		cmocka_unit_test(a_reply_behind_a_send_is_not_of_its_record),
		cmocka_unit_test(a_wait_lasts_while_it_sleeps),
		cmocka_unit_test(logical_waits_nest_in_the_send),
		cmocka_unit_test(replies_end_behind_a_wait_that_did_not_sleep),
		cmocka_unit_test(at_level_2_a_logical_turn_decodes_all_along),
		cmocka_unit_test(each_reply_while_decoding_has_its_record),
		cmocka_unit_test(errors_close_what_is_open),
		cmocka_unit_test(two_objects_on_one_binary_make_no_duplicates),
		cmocka_unit_test(a_full_session_map_is_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
