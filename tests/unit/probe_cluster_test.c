/* SPDX-License-Identifier: BSD-2-Clause */
/* What a data directory's files say of its server. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_that_is_ready_is_not_stopping),
		cmocka_unit_test(one_that_was_asked_to_shut_down_is_stopping),
		cmocka_unit_test(a_file_that_is_cut_short_or_away_says_nothing),
	};

	return cmocka_run_group_tests(tests, make_proc, remove_proc);
}
