/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc.h: PostgreSQL servers of this host as /proc shows them. No SQL, no server code.
 *
 * Everything goes through a `struct ws_proc`, whose root may be a recorded fixture.
 */
#ifndef WS_TARGET_PROC_H
#define WS_TARGET_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/log.h"

struct ws_proc {
	const char *root; /* "/proc", or a folder that looks like one */
};

/* A process that belongs to a PostgreSQL server. */
struct ws_process {
	uint32_t pid;
	uint32_t ns_pid; /* in the innermost pid namespace (NSpid of /proc/PID/status) */
	uint32_t parent;
	uint64_t start_ticks; /* field 22 of /proc/PID/stat */
	uint64_t ino; /* of /proc/PID, which no later process of this pid has; 0: not known */
	char state;   /* 'R', 'S', 'T', 'Z', ... */
};

/* A running server: its postmaster. */
struct ws_postmaster {
	struct ws_process process;
	uid_t uid; /* who runs it: owner of /proc/PID */
	dev_t dev; /* of the executable, for telling binaries apart (not sufficient on overlayfs) */
	ino_t ino;
	char exe[512]; /* target of /proc/PID/exe, without " (deleted)" */
	bool exe_deleted;
	char datadir[512]; /* in the server's own mount namespace, as postmaster.pid says */
	dev_t data_dev;	   /* of the data directory itself (/proc/PID/cwd) ... */
	ino_t data_ino;	   /* ... 0 if it cannot be reached */
	bool own_mounts;   /* it has another mount namespace than walscope: what its paths say
			      is not what they say here */
	uint64_t base;	   /* address in the process minus address in the file: first mapping of its
			      file minus the mapping's file offset, minus the address the file itself
			      asks for (0 in a PIE; one linked to fixed addresses has base 0). 0 also if
			      no mapping is its file's. Children inherit it (fork, no exec) */
	struct ws_process *children;
	size_t child_count;
};

struct ws_server_list {
	struct ws_postmaster *servers;
	size_t count;
};

/*
 * All servers with their children, sorted by pid. A postmaster is recognised by its working
 * directory: it is the data directory and holds a postmaster.pid that names the process's own
 * (innermost) pid (PostgreSQL: miscinit.c, CreateLockFile; postmaster.c changes to the data
 * directory). Processes that vanish while being read are left out. Fails only if the root cannot be
 * read at all or memory ran out. A process that cannot be examined for lack of privileges is
 * counted in *denied (may be NULL). A child is a direct child with the same executable. Texts come
 * from others: escape them before printing.
 */
int ws_proc_servers(const struct ws_proc *proc, struct ws_server_list *list, unsigned int *denied,
		    struct ws_error *err);
/* The same for who asks again and again, with what was found before: a server's child that is still
 * there is taken from it as it was then, `state` too, and not read again. They are most processes
 * of a busy server, and do not change what they are. */
int ws_proc_servers_again(const struct ws_proc *proc, const struct ws_server_list *before,
			  struct ws_server_list *list, unsigned int *denied, struct ws_error *err);
void ws_server_list_deinit(struct ws_server_list *list);

/*
 * Is it the server of this data directory? The directory itself tells, not its name: two containers
 * may call theirs the same, and neither be what is here under that name. Only where nothing is
 * here, the name is taken as the servers have it.
 */
bool ws_postmaster_has_datadir(const struct ws_postmaster *postmaster, const char *path);
/* The same for the file; one that an upgrade has replaced since is known by its former name. */
bool ws_postmaster_runs(const struct ws_postmaster *postmaster, const char *path);

/* Reads one process; false if it is gone. */
bool ws_proc_read(const struct ws_proc *proc, uint32_t pid, struct ws_process *process);

/* What ps shows of a process: its first argument, which PostgreSQL overwrites ("postgres:
 * checkpointer"). False if it is gone or has none. */
bool ws_proc_title(const struct ws_proc *proc, uint32_t pid, char *title, size_t size);
/* Is it the title of a process that may take replication slots away from others: the checkpointer,
 * or the startup process? With or without a cluster_name, of 10 to 18. */
bool ws_title_takes_slots(const char *title);
/* Is it a walreceiver's? */
bool ws_title_is_walreceiver(const char *title);
/* Calls for each child of a process, until true is returned: 1 it was, 0 never, -1 that cannot be
 * told (/proc/PID/task/PID/children needs CONFIG_PROC_CHILDREN). */
typedef bool (*ws_child_fn)(void *arg, const struct ws_process *child);
int ws_proc_each_child(const struct ws_proc *proc, uint32_t parent, ws_child_fn fn, void *arg);
/* The walreceiver among the children of a postmaster: 1 it is in *process, 0 there is none, -1 that
 * cannot be told. */
int ws_proc_walreceiver(const struct ws_proc *proc, uint32_t postmaster,
			struct ws_process *process);

/* Which processes of a server, by the server's own pids, have exported a snapshot: at most `max`,
 * as often as they have. Returns how many. */
size_t ws_proc_exporters(const struct ws_proc *proc, uint32_t postmaster, uint32_t *ns_pids,
			 size_t max);

/* The first `size` bytes of the file in which a server keeps the slot of that name, and when it was
 * written, ns since 1970. Returns how many there are, 0 if it cannot be read. */
size_t ws_proc_slot_file(const struct ws_proc *proc, uint32_t postmaster, const char *name,
			 void *head, size_t size, int64_t *written_ns);

/* The mapping that holds an address; false if there is none, or the process may not be examined. */
bool ws_proc_mapping_at(const struct ws_proc *proc, uint32_t pid, uint64_t address, uint64_t *start,
			uint64_t *end);

/* Opens /proc/PID/exe for reading: works for deleted binaries and other mount namespaces. */
int ws_proc_open_exe(const struct ws_proc *proc, uint32_t pid, struct ws_error *err);

/*
 * What the kernel and the files say, to hold the contents of a server's memory against.
 */
/* The `base` of a process, as of a postmaster. False if it is gone or cannot be looked at. */
bool ws_proc_base(const struct ws_proc *proc, uint32_t pid, uint64_t *base);
/* Is this descriptor of the process a socket? 1 yes, 0 no, -1 it cannot be told. */
int ws_proc_is_socket(const struct ws_proc *proc, uint32_t pid, int descriptor);
/*
 * An LSN that no WAL of a postmaster's server is beyond: the end of the highest segment in pg_wal,
 * which the server makes before it writes to it (xlog.c, XLogFileInit). Asked for behind a position
 * was read, it bounds that. 0 if it cannot be told.
 */
uint64_t ws_proc_wal_end(const struct ws_proc *proc, uint32_t postmaster);

/* Boot id (36 characters and NUL). */
#define WS_BOOT_ID_TEXT 37
int ws_proc_boot_id(const struct ws_proc *proc, char boot_id[WS_BOOT_ID_TEXT],
		    struct ws_error *err);

#endif
