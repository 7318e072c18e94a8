/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * internal.h: what the files of target/ share. Paths are relative to a descriptor of the root
 * ("/proc").
 */
#ifndef WS_TARGET_INTERNAL_H
#define WS_TARGET_INTERNAL_H

#include "base/text.h"
#include "target/proc.h"

/* "PID/name" */
#define WS_PROC_PATH 64
const char *ws_proc_path(char path[WS_PROC_PATH], uint32_t pid, const char *name);

/*
 * Opens a regular file without being held up by what else may stand there (FIFO, terminal). `flags`
 * may add O_NOFOLLOW: for a name that somebody else chose, because opening some devices is an act
 * already. Returns a descriptor, or -1 with errno set.
 */
int ws_proc_open_file(int root, const char *path, int flags);

/* Appends a file, at most `max` bytes of it. Returns 0, or -1 with errno set. */
int ws_proc_read_file(int root, const char *path, int flags, size_t max, struct ws_buf *text);

/*
 * Target of a link into out[size], always terminated. Returns its length, or -1 with errno set (one
 * that does not fit: ENAMETOOLONG).
 */
long ws_proc_read_link(int root, const char *path, char *out, size_t size);

/* As ws_proc_read, with an open root. Returns 0, or -1 with errno set (ESRCH: it is gone). */
int ws_proc_read_at(int root, uint32_t pid, struct ws_process *process);

/* The innermost pid (last number of NSpid, or pid itself without such a line). 0: it is gone. */
uint32_t ws_proc_ns_pid(int root, uint32_t pid);

/* What identifies an executable while it runs. */
struct ws_exe {
	char link[4096]; /* target of /proc/PID/exe as the kernel prints it, " (deleted)" included
			  */
	dev_t dev;	 /* 0 if the file cannot be reached */
	ino_t ino;
};

/*
 * Finds how far the executable's addresses are moved in the process: its file's first mapping minus
 * the mapping's offset, minus what the file's own first segment asks for (0 in a PIE). Returns 0
 * and fills *base, 1 if no mapping belongs to the file, -1 with errno set.
 */
int ws_proc_load_base(int root, uint32_t pid, const struct ws_exe *exe, uint64_t *base);

#endif
