/* SPDX-License-Identifier: BSD-2-Clause */
/* Which samples are told of, and what is read of processes and control groups. */
#include "../lib/proc_fixture.h"

#include <stdio.h>
#include <unistd.h>

#include "live/changed.h"
#include "live/looks.h"
#include "target/usage.h"

static struct ws_rec_socket at_rest(void)
{
	return (struct ws_rec_socket){ .h.time_ns = 1000000000, .wire_bytes = 5000, .srtt_us = 30 };
}

static void ages_and_smoothed_times_alone_are_no_change(void **state)
{
	const struct ws_rec_socket last = at_rest();
	struct ws_rec_socket now = last;

	(void)state;
	now.h.time_ns += 3600000000000;
	now.srtt_us = 31;
	now.rto_us = 200000;
	now.ack_age_us = 3600000000;
	assert_false(ws_socket_changed(&last, &now));
	now.window_bytes = 1;
	assert_true(ws_socket_changed(&last, &now));
}

static void silence_is_told_every_five_seconds_while_data_is_on_its_way(void **state)
{
	struct ws_rec_socket last = at_rest(), now;

	(void)state;
	last.in_flight_bytes = 1;
	now = last;
	now.h.time_ns += WS_SILENCE_NS - 1;
	assert_false(ws_socket_changed(&last, &now));
	now.h.time_ns++;
	assert_true(ws_socket_changed(&last, &now));
	last.in_flight_bytes = now.in_flight_bytes = 0;
	last.unsent_bytes = now.unsent_bytes = 1;
	assert_true(ws_socket_changed(&last, &now));
}

static void a_sample_changes_with_any_value(void **state)
{
	const struct ws_rec_sample last = { .h.time_ns = 1, .run_ns = 2 };
	struct ws_rec_sample now = last;

	(void)state;
	now.h.time_ns = 99;
	assert_false(ws_sample_changed(&last, &now));
	now.task_state = 'T';
	assert_true(ws_sample_changed(&last, &now));
}

static void put_process(const struct fixture *fx, const char *statm, const char *cgroup)
{
	fixture_put_dir(fx, "proc/7");
	fixture_put_text(fx, "proc/7/statm", statm);
	fixture_put_text(fx, "proc/7/cgroup", cgroup);
}

static void resident_memory_is_in_pages(void **state)
{
	struct fixture *fx = *state;
	uint64_t bytes, own;

	put_process(fx, "100 25 3 1 0 9 0\n", "");
	assert_true(ws_usage_rss(&fx->proc, 7, &bytes, &own));
	assert_int_equal(bytes, 25 * sysconf(_SC_PAGESIZE));
	assert_int_equal(own, 22 * sysconf(_SC_PAGESIZE));
	assert_false(ws_usage_rss(&fx->proc, 8, &bytes, &own));
}

static void only_a_group_with_a_quota_throttles(void **state)
{
	struct fixture *fx = *state;
	struct ws_cgroups groups;
	char root[256];
	uint64_t ns;

	put_process(fx, "", "1:cpu:/other\n0::/a/b\n");
	fixture_put_dir(fx, "cg");
	fixture_put_dir(fx, "cg/a");
	fixture_put_dir(fx, "cg/a/b");
	fixture_put_text(fx, "cg/a/b/cpu.max", "max 100000\n");
	fixture_put_text(fx, "cg/a/b/cpu.stat", "usage_usec 1\nthrottled_usec 9000\n");
	fixture_put_text(fx, "cg/a/cpu.max", "max 100000\n");
	fixture_put_text(fx, "cg/a/cpu.stat", "usage_usec 1\nthrottled_usec 5\n");
	snprintf(root, sizeof(root), "%s", fixture_path(fx, "cg"));
	groups = (struct ws_cgroups){ .root = root };
	assert_false(ws_usage_throttled(&fx->proc, &groups, 7, &ns));
	fixture_put_text(fx, "cg/a/cpu.max", "50000 100000\n");
	groups = (struct ws_cgroups){ .root = root };
	assert_true(ws_usage_throttled(&fx->proc, &groups, 7, &ns));
	assert_int_equal(ns, 5000);
	assert_string_equal(groups.limiting, "/a");
	assert_int_equal(groups.quota_us, 50000);
	assert_int_equal(groups.period_us, 100000);
	/* Outside of what our namespace shows. */
	put_process(fx, "", "0::/../a\n");
	assert_false(ws_usage_throttled(&fx->proc, &groups, 7, &ns));
}

static void a_quota_of_the_first_version_counts_as_well(void **state)
{
	struct fixture *fx = *state;
	struct ws_cgroups groups;
	char root[256];
	uint64_t ns;

	put_process(fx, "", "9:memory:/m\n3:cpuset:/a\n2:cpuacct,cpu:/a/b\n0::/\n");
	fixture_put_dir(fx, "cg");
	fixture_put_dir(fx, "cg/cpu");
	fixture_put_dir(fx, "cg/cpu/a");
	fixture_put_dir(fx, "cg/cpu/a/b");
	fixture_put_text(fx, "cg/cpu/a/b/cpu.cfs_quota_us", "-1\n");
	fixture_put_text(fx, "cg/cpu/a/cpu.cfs_quota_us", "-1\n");
	snprintf(root, sizeof(root), "%s", fixture_path(fx, "cg"));
	groups = (struct ws_cgroups){ .root = root };
	assert_false(ws_usage_throttled(&fx->proc, &groups, 7, &ns));
	fixture_put_text(fx, "cg/cpu/a/cpu.cfs_quota_us", "15000\n");
	fixture_put_text(fx, "cg/cpu/a/cpu.cfs_period_us", "100000\n");
	fixture_put_text(fx, "cg/cpu/a/cpu.stat",
			 "nr_periods 7\nnr_throttled 6\nthrottled_time 8123456789\n");
	groups = (struct ws_cgroups){ .root = root };
	assert_true(ws_usage_throttled(&fx->proc, &groups, 7, &ns));
	assert_int_equal(ns, 8123456789);
	assert_string_equal(groups.limiting, "/a");
	assert_int_equal(groups.quota_us, 15000);
	assert_int_equal(groups.period_us, 100000);
}

/* -- when to look at its memory */

#define SECOND 1000000000ULL

/* Looks once a second at one that has run since, as long as asked; returns how many looks were due.
 */
static unsigned int look_for(struct ws_looks *looks, struct ws_look_at *at, unsigned int seconds,
			     bool news)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < seconds; i++) {
		at->now_ns += SECOND;
		at->run_ns += 1000;
		if (!ws_look_is_due(looks, at))
			continue;
		ws_look_taken(looks, at, at->now_ns + 100000, news);
		count++;
	}
	return count;
}

static struct ws_look_at first_look(void)
{
	return (struct ws_look_at){ .now_ns = 5 * SECOND, .sampled = true, .private_bytes = 4096 };
}

static void what_changes_is_looked_at_each_second(void **state)
{
	struct ws_look_at at = first_look();
	struct ws_looks looks = { 0 };

	(void)state;
	assert_true(ws_look_is_due(&looks, &at));
	assert_int_equal(look_for(&looks, &at, 20, true), 20);
	at.now_ns += SECOND / 2;
	at.run_ns++;
	assert_false(ws_look_is_due(&looks, &at));
}

static void what_does_not_change_is_looked_at_each_eight_seconds(void **state)
{
	struct ws_look_at at = first_look();
	struct ws_looks looks = { 0 };

	(void)state;
	look_for(&looks, &at, 30, false);
	assert_int_equal(look_for(&looks, &at, 80, false), 10);
	/* And each second again as soon as there is something new. */
	assert_true(look_for(&looks, &at, 8, true) > 0);
	assert_int_equal(look_for(&looks, &at, 5, true), 5);
}

static void what_has_not_run_is_not_looked_at(void **state)
{
	struct ws_look_at at = first_look();
	struct ws_looks looks = { 0 };

	(void)state;
	ws_look_taken(&looks, &at, at.now_ns, true);
	at.now_ns += 3600 * SECOND;
	at.does++;
	assert_false(ws_look_is_due(&looks, &at));
	at.run_ns++;
	assert_true(ws_look_is_due(&looks, &at));
	/* Of which it is not known may have. */
	at.run_ns--;
	at.sampled = false;
	assert_true(ws_look_is_due(&looks, &at));
}

static void what_moves_is_looked_at_before_its_time(void **state)
{
	struct ws_look_at at = first_look(), moved;
	struct ws_looks looks = { 0 };

	(void)state;
	look_for(&looks, &at, 30, false);
	at = looks.last;
	at.now_ns += 2 * SECOND;
	at.run_ns++;
	assert_false(ws_look_is_due(&looks, &at));
	moved = at;
	moved.private_bytes += 4096;
	assert_true(ws_look_is_due(&looks, &moved));
	moved = at;
	moved.does ^= 1;
	assert_true(ws_look_is_due(&looks, &moved));
}

static void looks_take_a_hundredth_of_the_time(void **state)
{
	struct ws_look_at at = first_look();
	struct ws_looks looks = { 0 };

	(void)state;
	ws_look_taken(&looks, &at, at.now_ns + SECOND / 20, true);
	at.run_ns++;
	at.now_ns += 4 * SECOND;
	assert_false(ws_look_is_due(&looks, &at));
	at.now_ns += 2 * SECOND;
	assert_true(ws_look_is_due(&looks, &at));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_changes_is_looked_at_each_second),
		cmocka_unit_test(what_does_not_change_is_looked_at_each_eight_seconds),
		cmocka_unit_test(what_has_not_run_is_not_looked_at),
		cmocka_unit_test(what_moves_is_looked_at_before_its_time),
		cmocka_unit_test(looks_take_a_hundredth_of_the_time),
		TEST(ages_and_smoothed_times_alone_are_no_change),
		TEST(silence_is_told_every_five_seconds_while_data_is_on_its_way),
		TEST(a_sample_changes_with_any_value),
		TEST(resident_memory_is_in_pages),
		TEST(only_a_group_with_a_quota_throttles),
		TEST(a_quota_of_the_first_version_counts_as_well),
	};

	return cmocka_run_group_tests_name("sample", tests, NULL, NULL);
}
