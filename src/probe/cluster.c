/* SPDX-License-Identifier: BSD-2-Clause */
#include "probe/cluster.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "target/memory.h"

/* syncrep.h: SYNC_REP_WAIT_WRITE, _FLUSH, _APPLY. A queue of each stands first in WalSndCtlData (10
 * to 18): the head of a ring of PGPROC.syncRepLinks, a pair of pointers each. */
enum {
	QUEUE_WRITE = 0,
	QUEUE_APPLY = 2,
	QUEUES,
};

#define WAITERS_MAX 4096
/* How often a queue is looked at that changes under our eyes. */
#define LOOKS 3

/* pidfile.h, 10 to 18: LOCK_FILE_LINE_PM_STATUS, and PM_STATUS_STOPPING, which a postmaster writes
 * there once it is asked to shut down (pmdie of postmaster.c). */
#define STATUS_LINE 8
#define STOPPING    "stopping"

/* More than max_wal_senders can be (MAX_BACKENDS) is none. */
#define WALSENDERS_MAX 0x3ffff

struct links {
	uint64_t prev, next;
};

/* pg_control.h, 10 to 18: system_identifier, pg_control_version, catalog_version_no, state. */
struct control {
	uint64_t system_identifier;
	uint32_t version, catalog, state;
};
#define CONTROL_VERSION_MIN 1002
#define CONTROL_VERSION_MAX 1899

int ws_cluster_open(const char *proc_root, uint32_t pid)
{
	char path[320];

	/* A postmaster's working directory is its data directory. */
	snprintf(path, sizeof(path), "%s/%u/cwd/global/pg_control", proc_root, pid);
	return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
}

int ws_cluster_open_pid_file(const char *proc_root, uint32_t pid)
{
	char path[320];

	snprintf(path, sizeof(path), "%s/%u/cwd/postmaster.pid", proc_root, pid);
	return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
}

static void read_status(const struct ws_cluster_place *place, struct ws_cluster *cluster)
{
	bool held = place->pid_file_fd >= 0;
	char text[4096];
	const char *line = text;
	ssize_t n;
	int fd;

	fd = held ? place->pid_file_fd : ws_cluster_open_pid_file(place->proc_root, place->pid);
	if (fd < 0)
		return;
	n = pread(fd, text, sizeof(text) - 1, 0);
	if (!held)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	for (int i = 1; line && i < STATUS_LINE; i++) {
		line = strchr(line, '\n');
		line += line != NULL;
	}
	if (line && strncmp(line, STOPPING, strlen(STOPPING)) == 0)
		cluster->flags |= WS_CLUSTER_STOPPING;
}

static void read_state(const struct ws_cluster_place *place, struct ws_cluster *cluster)
{
	bool held = place->control_fd >= 0;
	struct control control;
	ssize_t n;
	int fd;

	fd = held ? place->control_fd : ws_cluster_open(place->proc_root, place->pid);
	if (fd < 0)
		return;
	n = pread(fd, &control, sizeof(control), 0);
	if (!held)
		close(fd);
	if (n != (ssize_t)sizeof(control) || control.version < CONTROL_VERSION_MIN ||
	    control.version > CONTROL_VERSION_MAX || control.state >= WS_DB_IN_PRODUCTION)
		return;
	cluster->db_state = control.state + 1;
	cluster->valid |= WS_CLUSTER_STATE;
}

/* -1: it changes faster than it is read, or is none. */
static int count_queue(const struct ws_cluster_place *place, uint64_t head)
{
	struct links links;
	int count = 0;

	if (!ws_memory_read(place->pid, head, &links, sizeof(links)))
		return -1;
	/* Up to 15 one that nobody was in yet points to itself, later it may hold nothing. */
	while (links.next && links.next != head) {
		if (++count > WAITERS_MAX ||
		    !ws_memory_read(place->pid, links.next, &links, sizeof(links)) || !links.next)
			return -1;
	}
	return count;
}

static bool count_waiters(const struct ws_cluster_place *place, uint64_t control,
			  struct ws_cluster *cluster)
{
	uint32_t waiters[QUEUES];

	cluster->sync_waiters = 0;
	for (int q = 0; q < QUEUES; q++) {
		int found = -1;

		for (int i = 0; i < LOOKS && found < 0; i++)
			found = count_queue(place, control + (uint64_t)q * sizeof(struct links));
		if (found < 0)
			return false;
		waiters[q] = (uint32_t)found;
		cluster->sync_waiters += waiters[q];
	}
	cluster->sync_write = waiters[QUEUE_WRITE];
	cluster->sync_apply = waiters[QUEUE_APPLY];
	return true;
}

/* Of a walsender's slot in shared memory: is it in use, by one that counts? */
static bool is_synchronous(const char *slot, const struct ws_offsets *off)
{
	int32_t pid, priority;

	/* pid is the first member of struct WalSnd. */
	memcpy(&pid, slot, sizeof(pid));
	memcpy(&priority, slot + off->walsnd_sync_priority, sizeof(priority));
	return pid > 0 && priority > 0;
}

static bool count_walsenders(const struct ws_cluster_place *place, uint64_t control,
			     uint32_t *count)
{
	const struct ws_offsets *off = place->off;
	uint64_t at = control + off->walsndctl_walsnds;
	size_t size = off->walsnd_size, n;
	char slots[8192]; /* as many as fit are read at once */
	int32_t max;

	*count = 0;
	if (off->walsndctl_walsnds == WS_UNKNOWN || off->walsnd_size == WS_UNKNOWN ||
	    off->walsnd_sync_priority == WS_UNKNOWN || size > sizeof(slots) ||
	    off->walsnd_sync_priority + sizeof(int32_t) > size || !place->max_wal_senders ||
	    !ws_memory_read(place->pid, place->max_wal_senders, &max, sizeof(max)) || max < 0 ||
	    max > WALSENDERS_MAX)
		return false;
	for (size_t left = (size_t)max; left; left -= n, at += n * size) {
		n = left < sizeof(slots) / size ? left : sizeof(slots) / size;
		if (!ws_memory_read(place->pid, at, slots, n * size))
			return false;
		for (size_t i = 0; i < n; i++)
			*count += is_synchronous(slots + i * size, off);
	}
	return true;
}

static void read_names(const struct ws_cluster_place *place, struct ws_cluster *cluster)
{
	uint64_t text;

	if (!place->sync_names ||
	    !ws_memory_read(place->pid, place->sync_names, &text, sizeof(text)) || !text)
		return;
	if (ws_memory_read_string(place->pid, text, cluster->sync_names,
				  sizeof(cluster->sync_names), NULL) >= 0)
		cluster->valid |= WS_CLUSTER_NAMES;
	else
		cluster->sync_names[0] = '\0';
}

void ws_cluster_read(const struct ws_cluster_place *place, struct ws_cluster *cluster)
{
	uint64_t control;

	/* Compared as bytes. */
	memset(cluster, 0, sizeof(*cluster));
	read_state(place, cluster);
	read_status(place, cluster);
	read_names(place, cluster);
	if (!place->wal_snd_ctl ||
	    !ws_memory_read(place->pid, place->wal_snd_ctl, &control, sizeof(control)) || !control)
		return;
	if (count_waiters(place, control, cluster) &&
	    count_walsenders(place, control, &cluster->sync_walsenders))
		cluster->valid |= WS_CLUSTER_SYNC | WS_CLUSTER_SYNC_APPLY | WS_CLUSTER_SYNC_WRITE;
	else
		cluster->sync_waiters = cluster->sync_write = cluster->sync_apply =
			cluster->sync_walsenders = 0;
}
