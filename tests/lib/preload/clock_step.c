/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Preloaded into a program under test: once the file named by CLOCK_STEP_FILE is there,
 * CLOCK_REALTIME is what it says plus the number of seconds in that file. Nothing else changes, and
 * no clock of the machine does.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int clock_gettime(clockid_t clock, struct timespec *now)
{
	static int (*real)(clockid_t, struct timespec *);
	const char *path = getenv("CLOCK_STEP_FILE");
	long seconds = 0;
	FILE *file;
	int rc;

	if (!real)
		real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	rc = real(clock, now);
	if (rc || clock != CLOCK_REALTIME || !path)
		return rc;
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (fscanf(file, "%ld", &seconds) == 1)
		now->tv_sec += seconds;
	fclose(file);
	return 0;
}
