/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Clocks that are read at one moment, however often this process is held up in between: time is
 * what this program says, and goes on as each test has it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "base/util.h"

#define NS_PER_S   1000000000LL
#define WALL_AHEAD (1700000000 * NS_PER_S)
#define BOOT_AHEAD (5 * NS_PER_S)
#define HELD_UP_NS 30000000

static struct {
	int64_t now; /* CLOCK_MONOTONIC */
	unsigned int calls;
	unsigned int held_up_every; /* calls; 0: never */
	int64_t longest;
} fake;

/* In the place of the C library's. */
int clock_gettime(clockid_t id, struct timespec *ts)
{
	int64_t ahead = id == CLOCK_REALTIME ? WALL_AHEAD : id == CLOCK_BOOTTIME ? BOOT_AHEAD : 0;

	fake.now += 100;
	if (fake.held_up_every && ++fake.calls % fake.held_up_every == 0)
		fake.now += fake.longest;
	ts->tv_sec = (fake.now + ahead) / NS_PER_S;
	ts->tv_nsec = (fake.now + ahead) % NS_PER_S;
	return 0;
}

/* How far the three are from having been read at one moment. */
static int64_t read_apart(void)
{
	struct ws_clocks clocks;
	int64_t wall, boot;

	ws_clocks_read(&clocks);
	wall = clocks.wall_ns - WALL_AHEAD - (int64_t)clocks.mono_ns;
	boot = (int64_t)clocks.boot_ns - BOOT_AHEAD - (int64_t)clocks.mono_ns;
	wall = wall < 0 ? -wall : wall;
	boot = boot < 0 ? -boot : boot;
	return wall > boot ? wall : boot;
}

static void a_process_that_is_not_held_up_reads_them_at_once(void **state)
{
	(void)state;
	fake.held_up_every = 0;
	assert_true(read_apart() < 1000);
}

/* At any of the reads, and the next times not. */
static void who_is_held_up_between_them_reads_again(void **state)
{
	(void)state;
	fake.longest = HELD_UP_NS;
	for (fake.held_up_every = 5; fake.held_up_every < 12; fake.held_up_every++) {
		for (int i = 0; i < 20; i++)
			assert_true(read_apart() < 1000);
	}
}

static void who_is_held_up_all_the_time_takes_the_nearest(void **state)
{
	(void)state;
	fake.held_up_every = 1;
	fake.longest = HELD_UP_NS;
	assert_true(read_apart() < 4 * HELD_UP_NS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_process_that_is_not_held_up_reads_them_at_once),
		cmocka_unit_test(who_is_held_up_between_them_reads_again),
		cmocka_unit_test(who_is_held_up_all_the_time_takes_the_nearest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
