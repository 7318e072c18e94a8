/* SPDX-License-Identifier: BSD-2-Clause */
/* What the kernel and the files of a server say, independent of what its memory holds. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/util.h"
#include "target/internal.h"

static int open_root(const struct ws_proc *proc)
{
	return open(proc->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

bool ws_proc_base(const struct ws_proc *proc, uint32_t pid, uint64_t *base)
{
	ws_autoclose int root = open_root(proc);
	struct ws_exe exe = { .dev = 0 };
	char path[WS_PROC_PATH];
	struct stat st;

	if (root < 0 ||
	    ws_proc_read_link(root, ws_proc_path(path, pid, "exe"), exe.link, sizeof(exe.link)) < 0)
		return false;
	if (!fstatat(root, path, &st, 0)) {
		exe.dev = st.st_dev;
		exe.ino = st.st_ino;
	}
	return ws_proc_load_base(root, pid, &exe, base) == 0;
}

int ws_proc_is_socket(const struct ws_proc *proc, uint32_t pid, int descriptor)
{
	ws_autoclose int root = open_root(proc);
	char path[WS_PROC_PATH], name[24];
	struct stat st;

	snprintf(name, sizeof(name), "fd/%d", descriptor);
	if (root < 0)
		return -1;
	if (fstatat(root, ws_proc_path(path, pid, name), &st, 0) == 0)
		return S_ISSOCK(st.st_mode);
	if (errno != ENOENT || fstatat(root, ws_proc_path(path, pid, "fd/."), &st, 0))
		return -1;
	return 0;
}

/* Administrators put pg_wal elsewhere with a link, and an absolute one means the server's root. */
static int open_wal_folder(int root, uint32_t postmaster)
{
	const struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
				      .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	char path[WS_PROC_PATH], target[4096];
	int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
	int fd = openat(root, ws_proc_path(path, postmaster, "cwd/pg_wal"), flags | O_NOFOLLOW);
	int own;

	/* With O_DIRECTORY, ENOTDIR is a link, too. */
	if (fd >= 0 || (errno != ELOOP && errno != ENOTDIR))
		return fd;
	if (ws_proc_read_link(root, path, target, sizeof(target)) < 0 || target[0] != '/')
		return -1;
	own = openat(root, ws_proc_path(path, postmaster, "root"),
		     O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (own < 0)
		return -1;
	fd = (int)syscall(SYS_openat2, own, target, &how, sizeof(how));
	close(own);
	return fd;
}

/* Of a segment's name: TTTTTTTTLLLLLLLLSSSSSSSS (xlog_internal.h, XLogFileName). */
static bool parse_segment(const char *name, uint64_t *log, uint64_t *segment)
{
	char part[9] = "";

	if (strlen(name) != 24 || strspn(name, "0123456789ABCDEF") != 24)
		return false;
	memcpy(part, name + 8, 8);
	*log = strtoull(part, NULL, 16);
	memcpy(part, name + 16, 8);
	*segment = strtoull(part, NULL, 16);
	return true;
}

uint64_t ws_proc_wal_end(const struct ws_proc *proc, uint32_t postmaster)
{
	ws_autoclose int root = open_root(proc);
	uint64_t end = 0, log, segment;
	struct dirent *entry;
	struct stat st;
	DIR *folder;
	int fd = root < 0 ? -1 : open_wal_folder(root, postmaster);

	folder = fd < 0 ? NULL : fdopendir(fd);
	if (!folder) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	while ((entry = readdir(folder))) {
		uint64_t behind;

		if (!parse_segment(entry->d_name, &log, &segment) ||
		    fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) || st.st_size <= 0)
			continue;
		/* They have one size, a power of 2 from 1 MiB to 1 GiB. */
		behind = (log << 32) + (segment + 1) * (uint64_t)st.st_size;
		if (behind > end)
			end = behind;
	}
	closedir(folder);
	return end;
}
