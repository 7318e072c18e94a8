/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * seed.h: what a walsender that ran before walscope is, read from its memory: the records and the
 * map entry the programs would have made, had they been there from the start.
 */
#ifndef WS_PROBE_SEED_H
#define WS_PROBE_SEED_H

#include "base/text.h"
#include "config.h"
#include "target/memory.h"
#include "target/proc.h"

/*
 * The session is (pid, start_ns) as everywhere. Its start_ns is field 22 of /proc/PID/stat in ns, a
 * multiple of a clock tick: finer is not to be had from outside. That is consistent, because the
 * programs take a record's start_ns from the session's entry, and never from the task once there is
 * an entry.
 */
struct ws_seed {
	struct ws_entry
		entry; /* for ws_tracer_seed; entry.seq is the number after the records below */
	struct ws_rec_session session; /* WS_SESSION_RUNNING; its `found` announces the wait that
					  the first turn's record spends */
	bool has_command;	       /* it is in a command for certain */
	struct ws_buf command; /* current command's text; empty if the server does not tell it */
	bool command_truncated;
	/* Of a truncated one; not known if the server was done with it meanwhile. */
	bool has_command_sum;
	uint64_t command_bytes, command_xxh64;
};

/*
 * Reads a server process. Returns 1 and fills *seed (release with ws_seed_deinit) if it is a
 * walsender, 0 if it is another kind of process or is gone, -1 if its memory cannot be read (err
 * says why). Values are cross-checked: a MyProcPid that is not the process's own refuses the layout
 * (-1), as do other values that no walsender has; err names the value. `process` must come from the
 * real /proc. The addresses are those of the file; 0 for one that is not known (MyProcPid and
 * am_walsender are needed).
 *
 * A process that becomes a walsender after this look and before the sites are planted is seen by
 * neither: look again at the walsenders' processes after attaching.
 */
int ws_seed_read(const struct ws_process *process, uint64_t base,
		 const struct ws_server_config *config, uint64_t debug_query_string,
		 uint64_t my_wait_event_info, struct ws_seed *seed, struct ws_error *err);
/*
 * The same of memory that stands still: a core dump, or a copy. `process` says what is known of it
 * (ns_pid as its own MyProcPid has it; start_ticks are not looked at); the times are those to put
 * into the records. Does not look at the host.
 */
struct ws_seed_still {
	const struct ws_memory *memory;
	bool sleeping;	   /* as far as that is known */
	uint64_t time_ns;  /* of the records */
	uint64_t start_ns; /* the session's */
	uint64_t fork_ns;  /* 0: not known */
};
int ws_seed_read_still(const struct ws_process *process, uint64_t base,
		       const struct ws_server_config *config, uint64_t debug_query_string,
		       uint64_t my_wait_event_info, const struct ws_seed_still *still,
		       struct ws_seed *seed, struct ws_error *err);
void ws_seed_deinit(struct ws_seed *seed);

/*
 * Makes the records to be put into the stream before any of the session's records from the
 * programs, in order: WS_KIND_SESSION, and if there is a command WS_KIND_COMMAND and its
 * WS_KIND_TEXT pieces, in front of the last of which stands the WS_KIND_TEXT_SUM of a truncated
 * one. `fn` returns 0, or -1 to stop, which is then returned.
 */
int ws_seed_records(const struct ws_seed *seed, int (*fn)(void *arg, const struct ws_rec *rec),
		    void *arg);

#endif
