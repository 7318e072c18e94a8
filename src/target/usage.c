/* SPDX-License-Identifier: BSD-2-Clause */
#include "target/usage.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"

/* The beginning of a small file as text; false if it cannot be read. */
static bool read_text(const char *path, char *text, size_t size)
{
	ws_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	long n = fd < 0 ? -1 : ws_read_at(fd, text, size - 1, 0);

	if (n < 0)
		return false;
	text[n] = '\0';
	return true;
}

bool ws_usage_rss(const struct ws_proc *proc, uint32_t pid, uint64_t *bytes, uint64_t *own)
{
	char path[PATH_MAX], text[128];
	uint64_t pages, shared, size = (uint64_t)sysconf(_SC_PAGESIZE);

	snprintf(path, sizeof(path), "%s/%u/statm", proc->root, pid);
	if (!read_text(path, text, sizeof(text)) ||
	    sscanf(text, "%*u %" SCNu64 " %" SCNu64, &pages, &shared) != 2)
		return false;
	*bytes = pages * size;
	*own = pages > shared ? (pages - shared) * size : 0;
	return true;
}

/* Is "cpu" among the controllers of a line "N:cpu,cpuacct:/path" of v1? */
static bool has_cpu(const char *line, const char *end)
{
	const char *at = strchr(line, ':'), *stop;

	for (at = at ? at + 1 : end; at < end && *at != ':'; at = *stop == ',' ? stop + 1 : stop) {
		stop = at + strcspn(at, ",:\n");
		if (stop - at == 3 && !strncmp(at, "cpu", 3))
			return true;
	}
	return false;
}

/* The path of its line of v2, "0::/path", or of v1 with the controller cpu. A path that begins with
 * "/.." lies outside of what this process's namespace shows. */
static bool group_of(const struct ws_proc *proc, uint32_t pid, bool v1, char group[PATH_MAX])
{
	char path[PATH_MAX], text[2 * PATH_MAX], *line, *end, *at;

	snprintf(path, sizeof(path), "%s/%u/cgroup", proc->root, pid);
	if (!read_text(path, text, sizeof(text)))
		return false;
	for (line = text; line; line = end ? end + 1 : NULL) {
		end = strchr(line, '\n');
		if (!end || (v1 ? !has_cpu(line, end) : strncmp(line, "0::/", 4) != 0))
			continue;
		*end = '\0';
		at = strstr(line, ":/");
		if (!at || strstr(at, "/../") || strlen(at + 1) >= PATH_MAX)
			return false;
		strcpy(group, at + 1);
		return true;
	}
	return false;
}

/* Number behind the key in a file of a group; `key` "" for the first. */
static bool number_of(const char *root, const char *group, const char *file, const char *key,
		      uint64_t *value)
{
	char path[2 * PATH_MAX + 64], text[1024], *at;

	snprintf(path, sizeof(path), "%s%s/%s", root, group, file);
	if (!read_text(path, text, sizeof(text)))
		return false;
	at = strstr(text, key);
	return at && at[strlen(key)] >= '0' && at[strlen(key)] <= '9' &&
	       sscanf(at + strlen(key), "%" SCNu64, value) == 1;
}

/* No quota is "max" in v2 and -1 in v1. */
static bool quota_of(const char *root, const char *group, bool v1, uint64_t *quota,
		     uint64_t *period)
{
	char path[2 * PATH_MAX + 64], text[64];

	if (v1)
		return number_of(root, group, "cpu.cfs_quota_us", "", quota) && *quota &&
		       number_of(root, group, "cpu.cfs_period_us", "", period) && *period;
	snprintf(path, sizeof(path), "%s%s/cpu.max", root, group);
	return read_text(path, text, sizeof(text)) &&
	       sscanf(text, "%" SCNu64 " %" SCNu64, quota, period) == 2 && *period;
}

static bool throttled_of(const char *root, const char *group, bool v1, uint64_t *ns)
{
	uint64_t us;

	if (v1)
		return number_of(root, group, "cpu.stat", "throttled_time ", ns);
	if (!number_of(root, group, "cpu.stat", "throttled_usec ", &us) || us > UINT64_MAX / 1000)
		return false;
	*ns = us * 1000;
	return true;
}

static void take(struct ws_cgroups *groups, const char *group, uint64_t ns, uint64_t quota,
		 uint64_t period)
{
	size_t len = strlen(group), cut = len < WS_CGROUP_PATH ? 0 : len - WS_CGROUP_PATH + 1;

	if (groups->has_quota && ns <= groups->throttled_ns)
		return;
	groups->has_quota = true;
	groups->throttled_ns = ns;
	groups->quota_us = quota;
	groups->period_us = period;
	memset(groups->limiting, 0, sizeof(groups->limiting)); /* it is compared */
	memcpy(groups->limiting, group + cut, len - cut);
}

/* The group and all that it is in; the root has no quota. */
static void read_groups(struct ws_cgroups *groups, const char *mount)
{
	char group[PATH_MAX], root[PATH_MAX], *slash;
	uint64_t ns, quota, period;

	if (snprintf(root, sizeof(root), "%s%s", groups->root, mount) >= (int)sizeof(root))
		return;
	strcpy(group, groups->path);
	while ((slash = strrchr(group, '/')) && slash[1]) {
		if (quota_of(root, group, groups->v1, &quota, &period) &&
		    throttled_of(root, group, groups->v1, &ns))
			take(groups, group, ns, quota, period);
		*slash = '\0';
		if (slash == group)
			break;
	}
}

/* A host has the controller cpu in one of the two; in v1 it may have others beside it. */
static bool throttled_in(const struct ws_proc *proc, struct ws_cgroups *groups, uint32_t pid,
			 bool v1)
{
	char group[PATH_MAX];

	if (!group_of(proc, pid, v1, group))
		return false;
	if (!groups->read || groups->v1 != v1 || strcmp(group, groups->path)) {
		strcpy(groups->path, group);
		groups->v1 = v1;
		groups->read = true;
		groups->has_quota = false;
		read_groups(groups, v1 ? "/cpu" : "");
		if (!groups->has_quota)
			read_groups(groups, v1 ? "/cpu,cpuacct" : "/unified");
	}
	return groups->has_quota;
}

bool ws_usage_throttled(const struct ws_proc *proc, struct ws_cgroups *groups, uint32_t pid,
			uint64_t *ns)
{
	if (!throttled_in(proc, groups, pid, true) && !throttled_in(proc, groups, pid, false))
		return false;
	*ns = groups->throttled_ns;
	return true;
}
