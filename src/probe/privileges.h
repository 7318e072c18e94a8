/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * privileges.h: which capabilities tracing takes, which this process has, and giving up those it
 * no longer needs.
 *
 * What each is for (Linux 5.10 to 6.18): kernel/bpf/syscall.c (CAP_BPF; tracing programs also
 * CAP_PERFMON), kernel/events/core.c perf_uprobe_event_init and kernel/trace/bpf_trace.c
 * (CAP_PERFMON), kernel/ptrace.c __ptrace_may_access (/proc/PID/exe, /proc/PID/cwd, the memory),
 * fs/namei.c generic_permission (a data directory is its owner's alone).
 */
#ifndef WS_PROBE_PRIVILEGES_H
#define WS_PROBE_PRIVILEGES_H

#include <stdbool.h>

#include "base/error.h"
#include "probe/attach.h"

enum ws_privilege_id {
	WS_PRIVILEGE_BPF,
	WS_PRIVILEGE_PERFMON,
	WS_PRIVILEGE_SYS_PTRACE,
	WS_PRIVILEGE_DAC_READ_SEARCH,
	WS_PRIVILEGE_SYS_ADMIN,
	WS_PRIVILEGE_COUNT,
};

struct ws_privilege {
	const char *name; /* "CAP_BPF" */
	const char *purpose;
	bool have; /* effective, or included in one that is */
	bool need;
};

/* The sysctl could not be read: it is not there, or /proc is not. */
#define WS_SYSCTL_UNKNOWN (-100)

struct ws_privileges {
	bool root;		 /* effective uid 0 */
	int perf_event_paranoid; /* WS_SYSCTL_UNKNOWN: not readable */
	int ptrace_scope;	 /* Yama's; WS_SYSCTL_UNKNOWN: there is no Yama */
	char file[160];		 /* of this program, "walscope" if that cannot be told */
	struct ws_privilege list[WS_PRIVILEGE_COUNT];
};

/* `others`: servers of other users are to be traced, too. `perf`: the sites hang on perf events. */
void ws_privileges_read(bool others, bool perf, struct ws_privileges *p);

/* Names of what is needed and missing, as "CAP_BPF and CAP_PERFMON", "" if nothing is. Returns how
 * many these are. */
#define WS_PRIVILEGES_TEXT 128
unsigned int ws_privileges_missing(const struct ws_privileges *p, char text[WS_PRIVILEGES_TEXT]);

/* The commands that give this program all it needs: "setcap cap_bpf,...=ep FILE", and for a unit of
 * systemd "AmbientCapabilities=CAP_BPF ...". */
#define WS_PRIVILEGES_FIX 256
void ws_privileges_setcap(const struct ws_privileges *p, char text[WS_PRIVILEGES_FIX]);
void ws_privileges_ambient(const struct ws_privileges *p, char text[WS_PRIVILEGES_FIX]);
/* Which of them helps here, in one line: root, who lacks one, is in a container. */
void ws_privileges_fix(const struct ws_privileges *p, char text[WS_PRIVILEGES_FIX]);

/* 0, or -1 and a line that names what is needed and missing. */
int ws_privileges_check(const struct ws_privileges *p, struct ws_error *err);

/*
 * Gives up every capability but those that following new servers takes, `follow` false: all but
 * that to read memory of them; those in use, inherited, ambient and in the bounding set, and the
 * way to get any back (no_new_privs). `perf` as above. `works` says whether the maps can still be
 * read: kernels before 5.19 want CAP_BPF for that, too, where bpf() is not everyone's. Returns 0,
 * or -1 when something could not be given up; nothing is broken then.
 */
int ws_privileges_drop(bool follow, bool perf, bool (*works)(const void *arg), const void *arg,
		       struct ws_error *err);

#endif
