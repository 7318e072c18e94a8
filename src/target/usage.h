/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * usage.h: what a process takes of the host, and what its control group lets it have.
 */
#ifndef WS_TARGET_USAGE_H
#define WS_TARGET_USAGE_H

#include <limits.h>

#include "target/proc.h"

/* Resident memory in bytes, what it shares with others included, and without files and shared
 * memory
 * (/proc/PID/statm). False if it cannot be read. */
bool ws_usage_rss(const struct ws_proc *proc, uint32_t pid, uint64_t *bytes, uint64_t *own);

/* Longer paths of groups are cut at the front. */
#define WS_CGROUP_PATH 128

/* Where control groups are mounted, and what was read last: processes of one server are of one
 * group as a rule. To be begun anew ({ .root = ... }) when newer values are wanted. */
struct ws_cgroups {
	const char *root; /* "/sys/fs/cgroup" */
	char path[PATH_MAX];
	bool v1; /* `path` is of the hierarchy of v1 that has the controller cpu */
	bool read;
	bool has_quota;
	uint64_t throttled_ns;
	/* The group whose quota that is, as in /proc/PID/cgroup; it gets quota_us of each
	 * period_us. */
	char limiting[WS_CGROUP_PATH];
	uint64_t quota_us, period_us;
};

/*
 * How long (cpu.stat, summed over CPUs) the process's group, or one that this is in, kept its
 * processes from running because they had used up their quota (cpu.max; in v1 cpu.cfs_quota_us); of
 * several groups with one the longest. False if none has a quota, or that cannot be read.
 */
bool ws_usage_throttled(const struct ws_proc *proc, struct ws_cgroups *groups, uint32_t pid,
			uint64_t *ns);

#endif
