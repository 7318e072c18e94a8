/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sample.h: one small recording for the tests of printers and commands, always the same.
 *
 *   4001 physical, standby1, slot s1: catches up, streams, is blocked for a second, still runs
 *   4002 logical, on a database: SQL, an error, then streams; ends because the client goes away
 *   4003 backup, killed by signal 9; its application_name and a command try to spoil the terminal
 *   4004 and 4005, on request: refused messages, then ended by the administrator; refused itself
 */
#ifndef WS_TESTS_SAMPLE_H
#define WS_TESTS_SAMPLE_H

#include "event/order.h"
#include "session/model.h"

#define WS_SAMPLE_WALL_NS 1772366400000000000LL /* 2026-03-01T12:00:00Z */
#define WS_SAMPLE_MONO_NS 1000000000000ULL
#define WS_SAMPLE_NS	  10000000000ULL /* it lasts so long */

enum ws_sample_flags {
	WS_SAMPLE_LOSS = 1,	  /* with 7 events of session 4001 missing */
	WS_SAMPLE_UNFINISHED = 2, /* without the stop record, as after a kill between two blocks */
	WS_SAMPLE_RUNNING = 4,	  /* session 4001 is ten minutes old when it is first seen */
	WS_SAMPLE_REFUSED = 8,	  /* with sessions 4004 and 4005 */
	WS_SAMPLE_MEMORY = 16,	  /* with what session 4002 has of memory */
};

/* The records, by time. */
int ws_sample_send(struct ws_sink sink, int flags);
/* Writes them into a recording; its path goes to `path` (at least 64 bytes). */
void ws_sample_write(char *path, int flags);

/* A run of the command line in a process of its own. */
struct ws_cli_run {
	const char *locale;  /* NULL: C.UTF-8 */
	const char *columns; /* NULL: 100 */
	const char *dir;     /* chdir there first; NULL: stay */
	unsigned int uid;    /* 0: as the test */
	int stdout_fd;	     /* -1: no stdout at all; 0: catch it */
	int status;	     /* exit status, or 128 + signal */
	char *out, *err;     /* what was written, NUL-terminated */
	unsigned int err_lines;
};
/* `args` is a NULL-terminated list behind the program's name. Release with ws_cli_run_deinit. */
void ws_cli_run(struct ws_cli_run *run, const char *const *args);
void ws_cli_run_deinit(struct ws_cli_run *run);
#define ARGS(...) ((const char *const[]){ __VA_ARGS__, NULL })
/* Fails the test unless the run ends with `status`, exactly one line on stderr that holds `why`,
 * and nothing on stdout. Releases it. */
void ws_cli_refused(struct ws_cli_run run, const char *const *args, int status, const char *why);

#endif
