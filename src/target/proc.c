/* SPDX-License-Identifier: BSD-2-Clause */
/* The servers of a host: one pass over all processes, and a second look at those that may belong.
 */
#include "target/proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "target/internal.h"

#define DELETED	    " (deleted)"
#define INO_UNKNOWN 1 /* fs/proc/base.c proc_fill_cache(): there was no memory for the inode */
#define KTHREAD	    0x00200000 /* PF_KTHREAD of include/linux/sched.h, in field 9 of /proc/PID/stat */

/* A user process seen in the pass, remembered until the servers are known. */
struct candidate {
	uint32_t pid;
	uint64_t ino;
	uint64_t exe; /* hash of its executable's path */
};

/* A process that was a server's child when the servers were looked for before. */
struct former {
	const struct ws_process *child;
	const struct ws_process *server;
};

struct scan {
	int root;
	struct candidate *candidates;
	size_t candidate_count, candidate_cap;
	const struct ws_server_list *before; /* NULL: the first time */
	struct former *formers;
	size_t former_count, former_cap;
	struct ws_postmaster *servers;
	size_t server_count, server_cap;
	uint64_t *server_exes; /* hashes, one per server */
	size_t exe_count, exe_cap;
	unsigned int denied;
};

static bool is_denied(int errnum)
{
	return errnum == EACCES || errnum == EPERM;
}

/* A directory's name as a pid, 0 if it is none. */
static uint32_t parse_pid(const char *name)
{
	unsigned long pid;
	char *end;

	if (name[0] < '1' || name[0] > '9')
		return 0;
	errno = 0;
	pid = strtoul(name, &end, 10);
	return *end || errno || pid > INT32_MAX ? 0 : (uint32_t)pid;
}

/* Length of the executable's path without the mark the kernel appends to an unlinked one. */
static size_t exe_path_len(const char *link, bool *deleted)
{
	size_t len = strlen(link), mark = strlen(DELETED);

	*deleted = len > mark && strcmp(link + len - mark, DELETED) == 0;
	return *deleted ? len - mark : len;
}

/* FNV-1a of the path without the mark: an upgrade may unlink the file between a server and its
 * child. */
static uint64_t hash_exe(const char *link)
{
	uint64_t hash = 0xcbf29ce484222325ULL;
	bool deleted;
	size_t len = exe_path_len(link, &deleted);

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (unsigned char)link[i]) * 0x100000001b3ULL;
	return hash;
}

/* Cuts at a whole character. */
static void copy_path(char *out, size_t size, const char *path, size_t len)
{
	if (len >= size) {
		len = size - 1;
		while (len && ((unsigned char)path[len] & 0xc0) == 0x80)
			len--;
	}
	memcpy(out, path, len);
	out[len] = '\0';
}

/* Without privileges even a kernel thread's missing executable is denied; its flags are readable.
 */
static bool is_kernel_thread(int root, uint32_t pid)
{
	struct ws_buf text = { 0 };
	char path[WS_PROC_PATH];
	unsigned long flags = 0;
	const char *p = NULL;

	if (!ws_proc_read_file(root, ws_proc_path(path, pid, "stat"), 0, 4096, &text) && text.len)
		p = strrchr(text.data, ')');
	/* fields 3 to 9: state ppid pgrp session tty tpgid flags */
	if (p && sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %lu", &flags) != 1)
		flags = 0;
	ws_buf_deinit(&text);
	return flags & KTHREAD;
}

/*
 * Reads the pid and the data directory that the working directory's postmaster.pid names. The first
 * line holds the postmaster's pid, or minus the pid of a standalone backend; the second the data
 * directory (PostgreSQL 10 to 18: utils/pidfile.h, miscinit.c CreateLockFile). Returns the pid, 0
 * if there is none.
 */
static uint32_t read_pid_file(struct scan *scan, uint32_t pid, char datadir[512])
{
	struct ws_buf text = { 0 };
	char path[WS_PROC_PATH];
	char *line, *rest = NULL;
	uint32_t named = 0;

	datadir[0] = '\0';
	if (ws_proc_read_file(scan->root, ws_proc_path(path, pid, "cwd/postmaster.pid"), O_NOFOLLOW,
			      8192, &text)) {
		if (is_denied(errno))
			scan->denied++;
	} else if (text.len && (line = strtok_r(text.data, "\n", &rest))) {
		named = parse_pid(line);
		line = named ? strtok_r(NULL, "\n", &rest) : NULL;
		if (line && line[0] == '/')
			copy_path(datadir, 512, line, strlen(line));
	}
	ws_buf_deinit(&text);
	return named;
}

/* Namespaces are compared by what the links say: "mnt:[4026531841]". */
static bool has_own_mounts(int root, uint32_t pid)
{
	char path[WS_PROC_PATH], own[64], other[64];

	return ws_proc_read_link(root, "self/ns/mnt", own, sizeof(own)) > 0 &&
	       ws_proc_read_link(root, ws_proc_path(path, pid, "ns/mnt"), other, sizeof(other)) >
		       0 &&
	       strcmp(own, other) != 0;
}

/* The file a link of /proc leads to, whatever its path says: also a deleted one, or another
 * namespace's. */
static void stat_exe(int root, uint32_t pid, struct ws_exe *exe)
{
	char path[WS_PROC_PATH];
	struct stat st;

	exe->dev = 0;
	exe->ino = 0;
	if (!fstatat(root, ws_proc_path(path, pid, "exe"), &st, 0)) {
		exe->dev = st.st_dev;
		exe->ino = st.st_ino;
	}
}

/* Is it one, and can it be read whole? Returns -1 only when memory ran out. */
static int add_if_postmaster(struct scan *scan, uint32_t pid, struct ws_exe *exe)
{
	struct ws_postmaster server = { 0 };
	struct ws_postmaster *slot;
	uint32_t named = read_pid_file(scan, pid, server.datadir);
	char path[WS_PROC_PATH];
	struct stat st;
	uint64_t *hash;

	if (!named || named != ws_proc_ns_pid(scan->root, pid) ||
	    ws_proc_read_at(scan->root, pid, &server.process))
		return 0;
	if (!server.datadir[0] && ws_proc_read_link(scan->root, ws_proc_path(path, pid, "cwd"),
						    server.datadir, sizeof(server.datadir)) < 0)
		return 0;
	if (fstatat(scan->root, ws_proc_path(path, pid, ""), &st, 0))
		return 0;
	server.uid = st.st_uid;
	if (!fstatat(scan->root, ws_proc_path(path, pid, "cwd"), &st, 0)) {
		server.data_dev = st.st_dev;
		server.data_ino = st.st_ino;
	}
	server.own_mounts = has_own_mounts(scan->root, pid);
	stat_exe(scan->root, pid, exe);
	server.dev = exe->dev;
	server.ino = exe->ino;
	copy_path(server.exe, sizeof(server.exe), exe->link,
		  exe_path_len(exe->link, &server.exe_deleted));
	if (ws_proc_load_base(scan->root, pid, exe, &server.base) < 0) {
		if (is_denied(errno))
			scan->denied++;
		return 0;
	}
	hash = ws_array_grow(&scan->server_exes, &scan->exe_count, &scan->exe_cap, sizeof(*hash));
	slot = ws_array_grow(&scan->servers, &scan->server_count, &scan->server_cap, sizeof(*slot));
	if (!hash || !slot)
		return -1;
	*hash = hash_exe(exe->link);
	*slot = server;
	return 0;
}

/* Returns -1 only when memory ran out. */
static int look_at(struct scan *scan, uint32_t pid, uint64_t ino)
{
	struct candidate *candidate;
	char path[WS_PROC_PATH];
	struct ws_exe exe;

	/* Kernel threads and zombies have no executable. */
	if (ws_proc_read_link(scan->root, ws_proc_path(path, pid, "exe"), exe.link,
			      sizeof(exe.link)) < 0) {
		if (is_denied(errno) && !is_kernel_thread(scan->root, pid))
			scan->denied++;
		return 0;
	}
	candidate = ws_array_grow(&scan->candidates, &scan->candidate_count, &scan->candidate_cap,
				  sizeof(*candidate));
	if (!candidate)
		return -1;
	candidate->pid = pid;
	candidate->ino = ino;
	candidate->exe = hash_exe(exe.link);
	return add_if_postmaster(scan, pid, &exe);
}

static bool has_same_exe(struct scan *scan, const struct ws_postmaster *server, uint32_t pid)
{
	struct ws_exe exe;

	stat_exe(scan->root, pid, &exe);
	/* A file that cannot be reached is told by its path alone, which the caller has compared.
	 */
	if (!exe.ino || !server->ino)
		return true;
	return exe.ino == server->ino && exe.dev == server->dev;
}

/* Returns -1 only when memory ran out. */
static int add_child(struct ws_postmaster *server, const struct ws_process *process)
{
	struct ws_process *children =
		reallocarray(server->children, server->child_count + 1, sizeof(*children));

	if (!children)
		return -1;
	server->children = children;
	children[server->child_count++] = *process;
	return 0;
}

/* Puts a process below the server it is a child of. Returns -1 only when memory ran out. */
static int adopt(struct scan *scan, const struct candidate *candidate)
{
	struct ws_process process = { 0 };

	for (size_t i = 0; i < scan->server_count; i++) {
		if (scan->servers[i].process.pid == candidate->pid)
			return 0; /* a server started by another one is not its backend */
	}
	for (size_t i = 0; i < scan->server_count; i++) {
		struct ws_postmaster *server = &scan->servers[i];

		if (scan->server_exes[i] != candidate->exe)
			continue;
		if (!process.pid && ws_proc_read_at(scan->root, candidate->pid, &process))
			return 0;
		if (process.parent != server->process.pid ||
		    !has_same_exe(scan, server, candidate->pid))
			continue;
		process.ino = candidate->ino;
		return add_child(server, &process);
	}
	return 0;
}

static int compare_pids(const void *a, const void *b)
{
	uint32_t left = ((const struct ws_process *)a)->pid;
	uint32_t right = ((const struct ws_process *)b)->pid;

	return left < right ? -1 : left > right;
}

/* Was it a server's child before? Returns 1 if it is remembered as that, -1 only when memory ran
 * out. */
static int recall(struct scan *scan, uint32_t pid, uint64_t ino)
{
	const struct ws_process key = { .pid = pid };

	for (size_t i = 0; scan->before && i < scan->before->count; i++) {
		const struct ws_postmaster *server = &scan->before->servers[i];
		const struct ws_process *child =
			server->child_count ? bsearch(&key, server->children, server->child_count,
						      sizeof(key), compare_pids)
					    : NULL;
		struct former *former;

		if (!child || ino <= INO_UNKNOWN || child->ino != ino)
			continue;
		former = ws_array_grow(&scan->formers, &scan->former_count, &scan->former_cap,
				       sizeof(*former));
		if (!former)
			return -1;
		*former = (struct former){ child, &server->process };
		return 1;
	}
	return 0;
}

/* It is what it was, unless its server is not. Returns -1 only when memory ran out. */
static int keep(struct scan *scan, const struct former *former)
{
	for (size_t i = 0; i < scan->server_count; i++) {
		if (scan->servers[i].process.pid == former->server->pid &&
		    scan->servers[i].process.start_ticks == former->server->start_ticks)
			return add_child(&scan->servers[i], former->child);
	}
	return look_at(scan, former->child->pid, former->child->ino);
}

static int compare_servers(const void *a, const void *b)
{
	return compare_pids(&((const struct ws_postmaster *)a)->process,
			    &((const struct ws_postmaster *)b)->process);
}

/* Returns 0, or -1 with errno set. */
static int scan_root(struct scan *scan, const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	int errnum = 0;

	if (!dir)
		return -1;
	scan->root = dirfd(dir);
	for (errno = 0; (entry = readdir(dir)); errno = 0) {
		uint32_t pid = parse_pid(entry->d_name);
		int rc = pid ? recall(scan, pid, entry->d_ino) : 1;

		if (rc == 0)
			rc = look_at(scan, pid, entry->d_ino);
		if (rc < 0) {
			errno = ENOMEM;
			break;
		}
	}
	errnum = errno;
	for (size_t i = 0; !errnum && i < scan->former_count; i++) {
		if (keep(scan, &scan->formers[i]))
			errnum = ENOMEM;
	}
	for (size_t i = 0; !errnum && i < scan->candidate_count; i++) {
		if (adopt(scan, &scan->candidates[i]))
			errnum = ENOMEM;
	}
	closedir(dir);
	errno = errnum;
	return errnum ? -1 : 0;
}

int ws_proc_servers(const struct ws_proc *proc, struct ws_server_list *list, unsigned int *denied,
		    struct ws_error *err)
{
	return ws_proc_servers_again(proc, NULL, list, denied, err);
}

int ws_proc_servers_again(const struct ws_proc *proc, const struct ws_server_list *before,
			  struct ws_server_list *list, unsigned int *denied, struct ws_error *err)
{
	struct scan scan = { .before = before };
	int rc = scan_root(&scan, proc->root);
	int errnum = errno;

	free(scan.candidates);
	free(scan.formers);
	free(scan.server_exes);
	*list = (struct ws_server_list){ scan.servers, scan.server_count };
	if (denied)
		*denied = scan.denied;
	if (rc) {
		ws_server_list_deinit(list);
		return ws_error_errno(err, errnum, "cannot list the processes", proc->root);
	}
	for (size_t i = 0; i < list->count; i++) {
		if (list->servers[i].child_count)
			qsort(list->servers[i].children, list->servers[i].child_count,
			      sizeof(struct ws_process), compare_pids);
	}
	if (list->count)
		qsort(list->servers, list->count, sizeof(*list->servers), compare_servers);
	return 0;
}

void ws_server_list_deinit(struct ws_server_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->servers[i].children);
	free(list->servers);
	*list = (struct ws_server_list){ 0 };
}
