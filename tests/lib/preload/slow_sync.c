/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Preloaded into a server under test: once the file named by SLOW_SYNC_FILE is there, each fsync()
 * and fdatasync() of a file of WAL takes as many milliseconds longer as that file says. Other
 * files, and other servers, are as fast as they were. It asks the C library for nothing new:
 * servers of older suites load it with theirs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long delay_ms(void)
{
	const char *path = getenv("SLOW_SYNC_FILE");
	FILE *file = path ? fopen(path, "re") : NULL;
	long ms = 0;

	if (!file)
		return 0;
	if (fscanf(file, "%ld", &ms) != 1)
		ms = 0;
	fclose(file);
	return ms;
}

static void be_slow(int fd)
{
	char link[64], path[4096];
	struct timespec left;
	ssize_t length;
	long ms;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, path, sizeof(path) - 1);
	if (length < 0)
		return;
	path[length] = '\0';
	if (!strstr(path, "/pg_wal/"))
		return;
	ms = delay_ms();
	left.tv_sec = ms / 1000;
	left.tv_nsec = ms % 1000 * 1000000;
	while (nanosleep(&left, &left))
		;
}

int fsync(int fd)
{
	be_slow(fd);
	return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
	be_slow(fd);
	return (int)syscall(SYS_fdatasync, fd);
}
