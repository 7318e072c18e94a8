/* SPDX-License-Identifier: BSD-2-Clause */
/* One process: its files below the root, and what they say. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "target/internal.h"

#define STAT_MAX     4096 /* one line of some 50 numbers and a name of 15 bytes */
#define CHILDREN_MAX (1024 * 1024)
#define STATUS_MAX \
	(1024 * 1024) /* its line Groups may hold 65,536 numbers, and stands before NSpid */

const char *ws_proc_path(char path[WS_PROC_PATH], uint32_t pid, const char *name)
{
	snprintf(path, WS_PROC_PATH, "%u/%s", pid, name);
	return path;
}

int ws_proc_open_file(int root, const char *path, int flags)
{
	int fd = openat(root, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | flags);
	struct stat st;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		close(fd);
		errno = EINVAL;
		return -1;
	}
	return fd;
}

int ws_proc_read_file(int root, const char *path, int flags, size_t max, struct ws_buf *text)
{
	ws_autoclose int fd = ws_proc_open_file(root, path, flags);
	size_t left = max;

	if (fd < 0)
		return -1;
	while (left) {
		char piece[4096];
		ssize_t n = read(fd, piece, left < sizeof(piece) ? left : sizeof(piece));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (!n)
			break;
		if (ws_buf_add(text, piece, (size_t)n)) {
			errno = ENOMEM;
			return -1;
		}
		left -= (size_t)n;
	}
	return 0;
}

long ws_proc_read_link(int root, const char *path, char *out, size_t size)
{
	ssize_t n = readlinkat(root, path, out, size);

	if (n >= 0 && (size_t)n == size) {
		n = -1;
		errno = ENAMETOOLONG;
	}
	out[n < 0 ? 0 : n] = '\0';
	return n;
}

/*
 * proc_pid_stat(5): "PID (comm) state ppid ... starttime". comm holds anything, also ") R 1": what
 * counts is behind the last parenthesis.
 */
static bool parse_stat(char *text, struct ws_process *process)
{
	char *p = strrchr(text, ')');
	char *word, *rest = NULL;
	int field = 3;

	if (!p)
		return false;
	for (word = strtok_r(p + 1, " \n", &rest); word; word = strtok_r(NULL, " \n", &rest)) {
		char *end = word;

		if (field == 3) {
			if (word[1] != '\0')
				return false;
			process->state = word[0];
		} else if (field == 4) {
			process->parent = (uint32_t)strtoul(word, &end, 10);
		} else if (field == 22) {
			process->start_ticks = strtoull(word, &end, 10);
			return end != word && *end == '\0';
		}
		if ((field == 4) && (end == word || *end != '\0'))
			return false;
		field++;
	}
	return false;
}

/* proc_pid_status(5): "NSpid:\t1234\t7", the outermost namespace first; absent before Linux 4.1. */
static uint32_t parse_ns_pid(const char *text, uint32_t pid)
{
	static const char key[] = "\nNSpid:";
	const char *p = strstr(text, key);
	unsigned long last = pid;

	if (!p)
		return pid;
	p += sizeof(key) - 1;
	while (*p == '\t' || *p == ' ') {
		char *end;
		unsigned long number;

		while (*p == '\t' || *p == ' ')
			p++;
		number = strtoul(p, &end, 10);
		if (end == p || !number || number > INT32_MAX)
			break;
		last = number;
		p = end;
	}
	return (uint32_t)last;
}

uint32_t ws_proc_ns_pid(int root, uint32_t pid)
{
	struct ws_buf text = { 0 };
	char path[WS_PROC_PATH];
	uint32_t ns_pid = 0;

	if (!ws_proc_read_file(root, ws_proc_path(path, pid, "status"), 0, STATUS_MAX, &text) &&
	    text.len)
		ns_pid = parse_ns_pid(text.data, pid);
	ws_buf_deinit(&text);
	return ns_pid;
}

int ws_proc_read_at(int root, uint32_t pid, struct ws_process *process)
{
	struct ws_buf text = { 0 };
	char path[WS_PROC_PATH];
	bool sound;

	*process = (struct ws_process){ .pid = pid };
	if (ws_proc_read_file(root, ws_proc_path(path, pid, "stat"), 0, STAT_MAX, &text)) {
		int errnum = errno;

		ws_buf_deinit(&text);
		errno = errnum == ENOENT ? ESRCH : errnum;
		return -1;
	}
	sound = text.len && parse_stat(text.data, process);
	ws_buf_deinit(&text);
	if (sound)
		process->ns_pid = ws_proc_ns_pid(root, pid);
	if (!sound || !process->ns_pid) {
		errno = ESRCH;
		return -1;
	}
	return 0;
}

static int open_root(const struct ws_proc *proc)
{
	return open(proc->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

bool ws_proc_read(const struct ws_proc *proc, uint32_t pid, struct ws_process *process)
{
	ws_autoclose int root = open_root(proc);

	return root >= 0 && !ws_proc_read_at(root, pid, process);
}

bool ws_proc_title(const struct ws_proc *proc, uint32_t pid, char *title, size_t size)
{
	ws_autoclose int root = open_root(proc);
	struct ws_buf text = { 0 };
	char path[WS_PROC_PATH];
	bool any = root >= 0 &&
		   !ws_proc_read_file(root, ws_proc_path(path, pid, "cmdline"), 0, size, &text) &&
		   text.len && text.data[0];

	if (any)
		snprintf(title, size, "%s", text.data);
	ws_buf_deinit(&text);
	return any;
}

/* ps_status.c, init_ps_display: "postgres: [CLUSTER: ]NAME [ACTIVITY]". A backend's name is its
 * user's, its database's and its client's, and only there stands a "[local]" or "host(port)". */
static const char *name_in_title(const char *title)
{
	static const char prefix[] = "postgres: ";
	const char *name, *p;

	if (strncmp(title, prefix, strlen(prefix)) != 0 || strpbrk(title, "(["))
		return NULL;
	name = title + strlen(prefix);
	while ((p = strstr(name, ": ")))
		name = p + 2;
	return name;
}

bool ws_title_takes_slots(const char *title)
{
	static const struct {
		const char *name, *activity; /* beginnings */
	} takers[] = {
		{ "checkpointer", "performing " }, /* xlog.c, update_checkpoint_display */
		{ "checkpointer", "process" },	   /* up to 10 */
		{ "startup", "recovering " },	   { "startup", "waiting for " },
		{ "startup", "process" },
	};
	const char *name = name_in_title(title), *p;

	if (!name)
		return false;
	for (size_t i = 0; i < WS_ARRAY_SIZE(takers); i++) {
		size_t len = strlen(takers[i].name);

		if (strncmp(name, takers[i].name, len) != 0)
			continue;
		p = name + len;
		if (!p[strspn(p, " ")])
			return true;
		if (*p == ' ' && !strncmp(p + 1, takers[i].activity, strlen(takers[i].activity)))
			return true;
	}
	return false;
}

bool ws_title_is_walreceiver(const char *title)
{
	static const char *const names[] = { "walreceiver", "wal receiver process" /* 10 */ };
	const char *name = name_in_title(title);

	for (size_t i = 0; name && i < WS_ARRAY_SIZE(names); i++) {
		size_t len = strlen(names[i]);

		if (!strncmp(name, names[i], len) && (!name[len] || name[len] == ' '))
			return true;
	}
	return false;
}

int ws_proc_each_child(const struct ws_proc *proc, uint32_t parent, ws_child_fn fn, void *arg)
{
	ws_autoclose int root = open_root(proc);
	struct ws_buf text = { 0 };
	char path[WS_PROC_PATH], *at, *end;
	struct ws_process child;
	int found = 0;

	snprintf(path, sizeof(path), "%u/task/%u/children", parent, parent);
	if (root < 0 || ws_proc_read_file(root, path, 0, CHILDREN_MAX, &text)) {
		ws_buf_deinit(&text);
		return -1;
	}
	for (at = text.data; at && *at && !found; at = end) {
		unsigned long pid = strtoul(at, &end, 10);

		if (end == at)
			break;
		found = pid && pid <= UINT32_MAX && ws_proc_read(proc, (uint32_t)pid, &child) &&
			fn(arg, &child);
	}
	ws_buf_deinit(&text);
	return found;
}

struct walreceiver {
	const struct ws_proc *proc;
	struct ws_process *process;
};

static bool is_walreceiver(void *arg, const struct ws_process *child)
{
	struct walreceiver *w = arg;
	char title[256];

	if (!ws_proc_title(w->proc, child->pid, title, sizeof(title)) ||
	    !ws_title_is_walreceiver(title))
		return false;
	*w->process = *child;
	return true;
}

int ws_proc_walreceiver(const struct ws_proc *proc, uint32_t postmaster, struct ws_process *process)
{
	struct walreceiver w = { .proc = proc, .process = process };

	return ws_proc_each_child(proc, postmaster, is_walreceiver, &w);
}

int ws_proc_open_exe(const struct ws_proc *proc, uint32_t pid, struct ws_error *err)
{
	ws_autoclose int root = open_root(proc);
	char path[WS_PROC_PATH], where[512];
	int fd = -1;

	if (root >= 0)
		fd = ws_proc_open_file(root, ws_proc_path(path, pid, "exe"), 0);
	if (fd < 0) {
		int errnum = errno;

		snprintf(where, sizeof(where), "%s/%u/exe", proc->root, pid);
		ws_error_errno(err, errnum, "cannot open the server's executable", where);
		if (errnum == EACCES || errnum == EPERM)
			ws_error_fix(err, "run as root, or with CAP_SYS_PTRACE");
	}
	return fd;
}

static bool is_boot_id(const char *text, size_t len)
{
	if (len + 1 < WS_BOOT_ID_TEXT)
		return false;
	return strspn(text, "0123456789abcdefABCDEF-") == WS_BOOT_ID_TEXT - 1;
}

int ws_proc_boot_id(const struct ws_proc *proc, char boot_id[WS_BOOT_ID_TEXT], struct ws_error *err)
{
	static const char what[] = "cannot read the boot id";
	static const char path[] = "sys/kernel/random/boot_id";
	ws_autoclose int root = open_root(proc);
	struct ws_buf text = { 0 };
	char where[512];
	int rc = 0;

	snprintf(where, sizeof(where), "%s/%s", proc->root, path);
	if (root < 0 || ws_proc_read_file(root, path, 0, 128, &text)) {
		rc = ws_error_errno(err, errno, what, where);
	} else if (!text.len || !is_boot_id(text.data, text.len)) {
		rc = ws_error_set(err, what, where, "it is not 36 hexadecimal digits and dashes");
	} else {
		memcpy(boot_id, text.data, WS_BOOT_ID_TEXT - 1);
		boot_id[WS_BOOT_ID_TEXT - 1] = '\0';
	}
	ws_buf_deinit(&text);
	return rc;
}
