/* SPDX-License-Identifier: BSD-2-Clause */
/* Exported snapshots: a file of each is in the data directory (ExportSnapshot, snapmgr.c). */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "target/proc.h"

/* "vxid:4/21\npid:4711\n...": who exported it. 0: it does not say so. */
static uint32_t read_exporter(int folder, const char *name)
{
	static const char word[] = "\npid:";
	char text[128], *at = NULL;
	struct stat st;
	ssize_t n = 0;
	int fd;

	fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return 0;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n > 0) {
		text[n] = '\0';
		at = strstr(text, word);
	}
	return at ? (uint32_t)strtoul(at + sizeof(word) - 1, NULL, 10) : 0;
}

size_t ws_proc_exporters(const struct ws_proc *proc, uint32_t postmaster, uint32_t *ns_pids,
			 size_t max)
{
	struct dirent *entry;
	size_t count = 0;
	char path[320];
	uint32_t pid;
	DIR *folder;

	/* A postmaster's working directory is its data directory. */
	snprintf(path, sizeof(path), "%s/%u/cwd/pg_snapshots", proc->root, postmaster);
	folder = opendir(path);
	if (!folder)
		return 0;
	while (count < max && (entry = readdir(folder))) {
		/* Written as NAME.tmp first. */
		if (!isxdigit((unsigned char)entry->d_name[0]) || strchr(entry->d_name, '.'))
			continue;
		pid = read_exporter(dirfd(folder), entry->d_name);
		if (pid)
			ns_pids[count++] = pid;
	}
	closedir(folder);
	return count;
}
