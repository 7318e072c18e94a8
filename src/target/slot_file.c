/* SPDX-License-Identifier: BSD-2-Clause */
/* What a server keeps of a replication slot on disk (slot.c, SaveSlotToPath). */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "target/proc.h"

size_t ws_proc_slot_file(const struct ws_proc *proc, uint32_t postmaster, const char *name,
			 void *head, size_t size, int64_t *written_ns)
{
	ws_autoclose int fd = -1;
	char path[320];
	struct stat st;
	ssize_t n;

	/* A postmaster's working directory is its data directory. */
	snprintf(path, sizeof(path), "%s/%u/cwd/pg_replslot/%s/state", proc->root, postmaster,
		 name);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode))
		return 0;
	n = read(fd, head, size);
	*written_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
	return n > 0 ? (size_t)n : 0;
}
