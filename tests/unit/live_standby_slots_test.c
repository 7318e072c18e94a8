/* SPDX-License-Identifier: BSD-2-Clause */
/* Of the slots that failover slots wait for, the one furthest behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "live/private.h"
#include "shmem/slots.h"

static struct ws_slot slots[] = {
	{ .name = "near", .active_pid = 7, .restart_lsn = 0x3000 },
	{ .name = "far", .active_pid = 8, .restart_lsn = 0x1000 },
	{ .name = "alone", .restart_lsn = 0x2000 },
	{ .name = "logical", .logical = true, .restart_lsn = 0x100 },
	{ .name = "lost", .invalid = WS_SLOT_WAL_REMOVED },
	{ .name = "torn", .problem = "cannot be read", .active_pid = 9, .restart_lsn = 1 },
};
static const struct ws_slot_list list = { .slots = slots,
					  .count = sizeof(slots) / sizeof(*slots) - 1 };

static void assert_judged(const char *names, const char *slot, enum ws_standby_why why,
			  uint64_t lsn)
{
	struct ws_cluster cluster = { 0 };

	ws_live_judge_standby_slots(names, &list, &cluster);
	assert_true(cluster.valid & WS_CLUSTER_STANDBY_SLOT);
	assert_string_equal(cluster.standby_slot, slot);
	assert_int_equal(cluster.standby_why, why);
	assert_int_equal(cluster.standby_lsn, lsn);
}

static void the_one_with_the_least_position_is_waited_for(void **state)
{
	(void)state;
	assert_judged("near, far", "far", WS_STANDBY_BEHIND, 0x1000);
	assert_judged("near,alone", "alone", WS_STANDBY_INACTIVE, 0x2000);
	assert_judged(" \"near\" ", "near", WS_STANDBY_BEHIND, 0x3000);
}

static void one_that_will_never_confirm_comes_first(void **state)
{
	(void)state;
	assert_judged("far, nobody", "nobody", WS_STANDBY_MISSING, 0);
	assert_judged("logical, far", "logical", WS_STANDBY_LOGICAL, 0x100);
	assert_judged("far, lost", "lost", WS_STANDBY_INVALID, 0);
}

static void a_slot_that_cannot_be_read_may_be_the_one_that_seems_missing(void **state)
{
	const struct ws_slot_list all = { .slots = slots, .count = sizeof(slots) / sizeof(*slots) };
	struct ws_cluster cluster = { 0 };

	(void)state;
	ws_live_judge_standby_slots("torn", &all, &cluster);
	assert_int_equal(cluster.valid, 0);
	ws_live_judge_standby_slots("torn, far", &all, &cluster);
	assert_string_equal(cluster.standby_slot, "far");
}

static void names_of_any_length_are_taken(void **state)
{
	char longest[WS_NAME_LEN], names[200];

	(void)state;
	memset(names, 'n', sizeof(names) - 1);
	names[sizeof(names) - 1] = '\0';
	memset(longest, 'n', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_judged(names, longest, WS_STANDBY_MISSING, 0);
}

static void without_names_there_is_none(void **state)
{
	struct ws_cluster cluster = { 0 };

	(void)state;
	ws_live_judge_standby_slots("", &list, &cluster);
	ws_live_judge_standby_slots(" , ,\"\" ", &list, &cluster);
	assert_int_equal(cluster.valid, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_one_with_the_least_position_is_waited_for),
		cmocka_unit_test(one_that_will_never_confirm_comes_first),
		cmocka_unit_test(a_slot_that_cannot_be_read_may_be_the_one_that_seems_missing),
		cmocka_unit_test(names_of_any_length_are_taken),
		cmocka_unit_test(without_names_there_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
