/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc_fixture.h: folders that look like /proc, made by the test that reads them.
 */
#ifndef WS_TESTS_PROC_FIXTURE_H
#define WS_TESTS_PROC_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "target/proc.h"

/* A folder with proc/ in it, and whatever else a test needs beside. */
struct fixture {
	char dir[64];
	struct ws_proc proc;
	char root[80];
	struct ws_server_list list;
	unsigned int denied;
	struct ws_error err;
};

/* A process: NULL leaves a file out. */
struct shape {
	unsigned int pid, parent;
	const char *comm;
	const char *ns_pids; /* NULL: a kernel without NSpid */
	const char *exe, *cwd, *maps;
};

/* Mappings of an executable of which nothing but the path is there. */
#define MAPS(path)                                                                       \
	"555500000000-555500001000 r--p 00000000 00:00 0 \n"                             \
	"555555554000-555555600000 r--p 00000000 fe:01 4242                  " path "\n" \
	"555555600000-555555a00000 r-xp 000ac000 fe:01 4242                  " path "\n" \
	"7ffff7dd0000-7ffff7df0000 r--p 00000000 fe:01 99                    /lib/libc.so.6\n"
#define BASE 0x555555554000

/* Absolute path of a name in the fixture; good for the next three calls. */
const char *fixture_path(const struct fixture *fx, const char *name);
void fixture_put(const struct fixture *fx, const char *name, const void *data, size_t len);
void fixture_put_text(const struct fixture *fx, const char *name, const char *text);
void fixture_put_dir(const struct fixture *fx, const char *name);
/* A target without a slash in front lies in the fixture. */
void fixture_put_link(const struct fixture *fx, const char *name, const char *target);
void fixture_put_process(const struct fixture *fx, const struct shape *shape);
/* A directory with a postmaster.pid in it. */
void fixture_put_datadir(const struct fixture *fx, const char *name, const char *pid_file);
/* For cmocka: *state is a struct fixture. */
int fixture_setup(void **state);
int fixture_teardown(void **state);
/* Lists the servers, which must succeed. */
void fixture_scan(struct fixture *fx);

#endif
