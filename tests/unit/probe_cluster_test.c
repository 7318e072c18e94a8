/* SPDX-License-Identifier: BSD-2-Clause */
/* What a data directory's files say of its server. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "probe/cluster.h"

#define PID	     4711
#define LINES_BEFORE "4711\n/data\n1700000000\n5432\n/run\nlocalhost\n  123456   7\n"

static char root[] = "/tmp/walscope-cluster-XXXXXX";
static char file[128];

static int make_proc(void **state)
{
	char path[96];

	(void)state;
	if (!mkdtemp(root))
		return -1;
	snprintf(path, sizeof(path), "%s/%u", root, PID);
	if (mkdir(path, 0700))
		return -1;
	snprintf(path, sizeof(path), "%s/%u/cwd", root, PID);
	snprintf(file, sizeof(file), "%s/postmaster.pid", path);
	return mkdir(path, 0700);
}

static int remove_proc(void **state)
{
	char path[96];

	(void)state;
	unlink(file);
	snprintf(path, sizeof(path), "%s/%u/cwd", root, PID);
	rmdir(path);
	snprintf(path, sizeof(path), "%s/%u", root, PID);
	rmdir(path);
	return rmdir(root);
}

static void write_pid_file(const char *text)
{
	FILE *f = fopen(file, "w");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static uint32_t flags_read(int pid_file_fd)
{
	const struct ws_cluster_place place = {
		.pid = PID, .proc_root = root, .control_fd = -1, .pid_file_fd = pid_file_fd
	};
	struct ws_cluster cluster;

	ws_cluster_read(&place, &cluster);
	return cluster.flags;
}

static void one_that_is_ready_is_not_stopping(void **state)
{
	(void)state;
	write_pid_file(LINES_BEFORE "ready   \n");
	assert_int_equal(flags_read(-1), 0);
}

static void one_that_was_asked_to_shut_down_is_stopping(void **state)
{
	int fd;

	(void)state;
	write_pid_file(LINES_BEFORE "ready   \n");
	fd = ws_cluster_open_pid_file(root, PID);
	assert_true(fd >= 0);
	write_pid_file(LINES_BEFORE "stopping\n");
	assert_int_equal(flags_read(-1), WS_CLUSTER_STOPPING);
	assert_int_equal(flags_read(fd), WS_CLUSTER_STOPPING);
	close(fd);
}

static void a_file_that_is_cut_short_or_away_says_nothing(void **state)
{
	(void)state;
	write_pid_file("4711\nstopping\n");
	assert_int_equal(flags_read(-1), 0);
	write_pid_file("");
	assert_int_equal(flags_read(-1), 0);
	unlink(file);
	assert_int_equal(flags_read(-1), 0);
}

/* WalSndCtl with more slots than are read at once, of which every tenth counts: others are not in
 * use, or of no synchronous standby. Its queues are empty. */
#define SLOTS 500
static struct {
	uint64_t queues[6];
	struct {
		int32_t pid;
		char rest[64];
		int32_t priority;
		char more[32];
	} slots[SLOTS];
} ctl;

static uint32_t sync_walsenders(uint32_t size, bool *known)
{
	static uint64_t control;
	static int32_t max = SLOTS;
	const struct ws_offsets off = {
		.walsndctl_walsnds = offsetof(__typeof__(ctl), slots),
		.walsnd_size = size,
		.walsnd_sync_priority = offsetof(__typeof__(ctl.slots[0]), priority),
	};
	const struct ws_cluster_place place = {
		.pid = (uint32_t)getpid(),
		.proc_root = root,
		.control_fd = -1,
		.pid_file_fd = -1,
		.wal_snd_ctl = (uintptr_t)&control,
		.max_wal_senders = (uintptr_t)&max,
		.off = &off,
	};
	struct ws_cluster cluster;

	control = (uintptr_t)&ctl;
	ws_cluster_read(&place, &cluster);
	*known = cluster.valid & WS_CLUSTER_SYNC;
	return cluster.sync_walsenders;
}

static void synchronous_walsenders_are_counted_in_all_slots(void **state)
{
	bool known;

	(void)state;
	for (int i = 0; i < SLOTS; i++) {
		ctl.slots[i].pid = i % 10 ? 0 : 1000 + i;
		ctl.slots[i].priority = i % 10 == 1 || i % 10 == 0;
	}
	ctl.slots[20].priority = 0;
	assert_int_equal(sync_walsenders(sizeof(ctl.slots[0]), &known), SLOTS / 10 - 1);
	assert_true(known);
}

static void slots_that_do_not_hold_what_is_looked_for_are_not_counted(void **state)
{
	static const uint32_t sizes[] = { 0, 8, 68, 1U << 20, WS_UNKNOWN };
	bool known;

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_int_equal(sync_walsenders(sizes[i], &known), 0);
		assert_false(known);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_that_is_ready_is_not_stopping),
		cmocka_unit_test(one_that_was_asked_to_shut_down_is_stopping),
		cmocka_unit_test(a_file_that_is_cut_short_or_away_says_nothing),
		cmocka_unit_test(synchronous_walsenders_are_counted_in_all_slots),
		cmocka_unit_test(slots_that_do_not_hold_what_is_looked_for_are_not_counted),
	};

	return cmocka_run_group_tests(tests, make_proc, remove_proc);
}
