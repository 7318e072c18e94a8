/* SPDX-License-Identifier: BSD-2-Clause */
/* What a process waits for, and who holds the lock. */
#include "../lib/walsender_play.h"

#include <string.h>

#include "probe/wait.h"

/* As lock.h and proc.h have them. */
struct links {
	void *prev, *next;
};
struct lock {
	uint32_t field1, field2, field3;
	uint16_t field4;
	uint8_t type, method;
	uint32_t grant_mask, wait_mask;
	struct links proclocks;
};
struct pgproc {
	int32_t pid;
	struct lock *wait_lock;
	void *wait_proclock;
	int32_t mode;
};
struct proclock {
	struct lock *lock;
	struct pgproc *proc, *leader;
	uint32_t hold_mask, release_mask;
	struct links link;
};

static struct pgproc own = { .pid = 10 }, other = { .pid = 4711 }, *my_proc = &own;
static struct lock lock = { .field1 = 800, .type = 5, .method = 1 };
static struct proclock waits = { .lock = &lock, .proc = &own };
static struct proclock holds = { .lock = &lock, .proc = &other };

static void place_of(struct play *play, struct ws_wait_place *place)
{
	struct ws_offsets off = play->config.off;

	off.pgproc_pid = offsetof(struct pgproc, pid);
	off.pgproc_wait_lock = offsetof(struct pgproc, wait_lock);
	off.lock_transaction = 5;
	off.wait_event_sync_rep = 0x0800002f;
	off.wait_event_summary = 0x08000037;
	ws_wait_place_init(place, (uint32_t)play->pid, 0, &off, play->wait, play_address(&my_proc));
}

static void lay_out_lock(uint32_t held, int32_t mode)
{
	own.wait_lock = &lock;
	own.mode = mode;
	holds.hold_mask = held;
	lock.proclocks = (struct links){ &holds.link, &waits.link };
	waits.link = (struct links){ &lock.proclocks, &holds.link };
	holds.link = (struct links){ &waits.link, &lock.proclocks };
}

static uint32_t holder(struct play *play, struct ws_wait_lock *found)
{
	struct ws_wait_place place;

	play_end(play);
	play_begin(play);
	place_of(play, &place);
	ws_wait_lock_read(&place, found);
	return ws_wait_lock_holder(&place, found);
}

static void the_wait_is_read_and_judged(void **state)
{
	static const struct {
		uint32_t wait;
		bool streams;
		enum ws_blocked_on on;
	} cases[] = {
		{ 0, true, WS_BLOCKED_NOTHING },
		{ WAIT_MAIN, true, WS_BLOCKED_NOTHING },
		{ WAIT_CLIENT, true, WS_BLOCKED_NOTHING },
		{ WAIT_READ, false, WS_BLOCKED_NOTHING },
		{ WAIT_READ, true, WS_BLOCKED_CLIENT_READ },
		{ WAIT_WRITE, false, WS_BLOCKED_CLIENT_WRITE },
		{ 0x03000000, false, WS_BLOCKED_LOCK },
		{ 0x03000005, true, WS_BLOCKED_LOCK },
		{ 0x09000000, false, WS_BLOCKED_THROTTLE },
		{ 0x09000001, false, WS_BLOCKED_NOTHING },
		{ 0x0800002f, false, WS_BLOCKED_SYNC_REP },
		{ 0x0800002e, false, WS_BLOCKED_NOTHING },
		{ 0x08000037, false, WS_BLOCKED_SUMMARY },
	};
	struct play *play = *state;
	struct ws_wait_place place;
	uint32_t wait;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		play->server.wait = cases[i].wait;
		play_end(play);
		play_begin(play);
		place_of(play, &place);
		/* The second time it is known where it is. */
		for (int look = 0; look < 2; look++) {
			assert_true(ws_wait_read(&place, &wait));
			assert_int_equal(wait, cases[i].wait);
		}
		assert_int_equal(ws_wait_judge(&place, wait, cases[i].streams), cases[i].on);
	}
}

static void a_process_that_is_gone_or_an_address_that_is_none_fails(void **state)
{
	struct play *play = *state;
	struct ws_wait_place place;
	uint32_t wait;

	play_begin(play);
	place_of(play, &place);
	assert_true(ws_wait_read(&place, &wait));
	place.variable = 8;
	assert_false(ws_wait_read(&place, &wait));
	place.variable = 0;
	assert_false(ws_wait_read(&place, &wait));
	place_of(play, &place);
	assert_true(ws_wait_read(&place, &wait));
	play_end(play);
	assert_false(ws_wait_read(&place, &wait));
	assert_int_equal(wait, 0);
}

static void a_transaction_is_named_with_its_holder(void **state)
{
	struct ws_wait_lock found;

	lay_out_lock(1 << 7, 5);
	assert_int_equal(holder(*state, &found), 4711);
	assert_int_equal(found.xid, 800);
}

static void a_holder_whose_mode_does_not_conflict_is_none(void **state)
{
	struct ws_wait_lock found;

	lay_out_lock(1 << 1, 1); /* two readers */
	assert_int_equal(holder(*state, &found), 0);
	lay_out_lock(1 << 8, 1);
	assert_int_equal(holder(*state, &found), 4711);
	lay_out_lock(1 << 8, 77); /* no mode */
	assert_int_equal(holder(*state, &found), 0);
}

static void a_list_that_leads_nowhere_ends_the_search(void **state)
{
	struct ws_wait_lock found;

	lay_out_lock(1 << 8, 1);
	waits.link.next = (void *)8;
	assert_int_equal(holder(*state, &found), 0);
	waits.link.next = &waits.link; /* a ring without its head */
	assert_int_equal(holder(*state, &found), 0);
	waits.link.next = NULL;
	assert_int_equal(holder(*state, &found), 0);
}

static void without_a_lock_there_is_none(void **state)
{
	struct ws_wait_lock found;

	lay_out_lock(1 << 8, 1);
	own.wait_lock = NULL;
	assert_int_equal(holder(*state, &found), 0);
	assert_int_equal(found.address, 0);
	own.wait_lock = (struct lock *)8;
	assert_int_equal(holder(*state, &found), 0);
	assert_int_equal(found.xid, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_wait_is_read_and_judged, play_setup,
						play_teardown),
		cmocka_unit_test_setup_teardown(
			a_process_that_is_gone_or_an_address_that_is_none_fails, play_setup,
			play_teardown),
		cmocka_unit_test_setup_teardown(a_transaction_is_named_with_its_holder, play_setup,
						play_teardown),
		cmocka_unit_test_setup_teardown(a_holder_whose_mode_does_not_conflict_is_none,
						play_setup, play_teardown),
		cmocka_unit_test_setup_teardown(a_list_that_leads_nowhere_ends_the_search,
						play_setup, play_teardown),
		cmocka_unit_test_setup_teardown(without_a_lock_there_is_none, play_setup,
						play_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
