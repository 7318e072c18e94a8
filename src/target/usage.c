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

bool ws_usage_rss(const struct ws_proc *proc, uint32_t pid, uint64_t *bytes)
{
	char path[PATH_MAX], text[128];
	uint64_t pages;

	snprintf(path, sizeof(path), "%s/%u/statm", proc->root, pid);
	if (!read_text(path, text, sizeof(text)) || sscanf(text, "%*u %" SCNu64, &pages) != 1)
		return false;
	*bytes = pages * (uint64_t)sysconf(_SC_PAGESIZE);
	return true;
}

/* The line of the one hierarchy of v2, "0::/path". A path that begins with "/.." lies outside of
 * what this process's namespace shows. */
static bool group_of(const struct ws_proc *proc, uint32_t pid, char group[PATH_MAX])
{
	char path[PATH_MAX], text[2 * PATH_MAX], *line, *end;

	snprintf(path, sizeof(path), "%s/%u/cgroup", proc->root, pid);
	if (!read_text(path, text, sizeof(text)))
		return false;
	for (line = text; line; line = end ? end + 1 : NULL) {
		end = strchr(line, '\n');
		if (strncmp(line, "0::/", 4) || !end)
			continue;
		*end = '\0';
		if (strstr(line, "/../") || strlen(line + 3) >= PATH_MAX)
			return false;
		strcpy(group, line + 3);
		return true;
	}
	return false;
}

static bool has_quota(const char *root, const char *group)
{
	char path[2 * PATH_MAX], text[64];

	snprintf(path, sizeof(path), "%s%s/cpu.max", root, group);
	return read_text(path, text, sizeof(text)) && text[0] >= '0' && text[0] <= '9';
}

static bool throttled_of(const char *root, const char *group, uint64_t *ns)
{
	static const char key[] = "throttled_usec ";
	char path[2 * PATH_MAX], text[1024], *at;
	uint64_t us;

	snprintf(path, sizeof(path), "%s%s/cpu.stat", root, group);
	if (!read_text(path, text, sizeof(text)))
		return false;
	at = strstr(text, key);
	if (!at || sscanf(at + strlen(key), "%" SCNu64, &us) != 1)
		return false;
	*ns = us * 1000;
	return true;
}

/* The group and all that it is in; the root has no quota. */
static void read_groups(struct ws_cgroups *groups)
{
	char group[PATH_MAX], *slash;
	uint64_t ns;

	strcpy(group, groups->path);
	groups->read = true;
	groups->has_quota = false;
	groups->throttled_ns = 0;
	while ((slash = strrchr(group, '/')) && slash[1]) {
		if (has_quota(groups->root, group) && throttled_of(groups->root, group, &ns)) {
			groups->has_quota = true;
			if (ns > groups->throttled_ns)
				groups->throttled_ns = ns;
		}
		*slash = '\0';
		if (slash == group)
			break;
	}
}

bool ws_usage_throttled(const struct ws_proc *proc, struct ws_cgroups *groups, uint32_t pid,
			uint64_t *ns)
{
	char group[PATH_MAX];

	if (!group_of(proc, pid, group))
		return false;
	if (!groups->read || strcmp(group, groups->path)) {
		strcpy(groups->path, group);
		read_groups(groups);
	}
	*ns = groups->throttled_ns;
	return groups->has_quota;
}
