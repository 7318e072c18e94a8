/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * seed.h: what a walsender that ran before walscope is, read from its memory: the records and the map
 * entry the programs would have made, had they been there from the start.
 */
#ifndef WS_PROBE_SEED_H
#define WS_PROBE_SEED_H

#include "base/text.h"
#include "config.h"
#include "target/proc.h"

struct ws_seed {
	struct ws_entry entry;
	struct ws_rec_session session; /* WS_SESSION_RUNNING */
	bool has_command;
	struct ws_buf command; /* current command's text */
	bool command_truncated;
};

/*
 * Reads a server process. Returns 1 and fills *seed (release with ws_seed_deinit) if it is a walsender,
 * 0 if it is another kind of process or is gone, -1 if its memory cannot be read (err says why).
 * Values are cross-checked: a MyProcPid that is not the process's own refuses the layout (-1).
 */
int ws_seed_read(const struct ws_process *process, uint64_t base,
		 const struct ws_server_config *config, uint64_t debug_query_string,
		 uint64_t my_wait_event_info, struct ws_seed *seed, struct ws_error *err);
void ws_seed_deinit(struct ws_seed *seed);

#endif
