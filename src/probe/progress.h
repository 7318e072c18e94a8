/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * progress.h: how far a BASE_BACKUP or a COPY is, by the server's own account: what
 * pg_stat_progress_basebackup and pg_stat_progress_copy (14 and later) show, read from the
 * process's entry of PgBackendStatus (utils/backend_status.h, pgstat.h in 13; commands/progress.h;
 * 13 to 18). Needs the right to read the process's memory.
 */
#ifndef WS_PROBE_PROGRESS_H
#define WS_PROBE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "config.h"

struct ws_progress {
	uint32_t phase;		 /* enum ws_progress_phase */
	bool has_total;		 /* no: --no-estimate-size */
	uint64_t total_bytes;	 /* an estimate, which the server raises when it is passed */
	uint64_t streamed_bytes; /* before any compression by the server */
	uint32_t tablespaces;	 /* 0: not known yet */
	uint32_t tablespaces_done;
};

/* The raw parameters, as the server keeps them. False if they cannot be a backup's. */
#define WS_PROGRESS_PARAMS 5
bool ws_progress_judge(uint32_t command, const int64_t param[WS_PROGRESS_PARAMS],
		       struct ws_progress *progress);

/* `my_be_entry`: address of the variable MyBEEntry in the process. False if no backup runs there,
 * or it cannot be read. */
bool ws_progress_read(uint32_t pid, uint64_t my_be_entry, const struct ws_offsets *off,
		      struct ws_progress *progress);

struct ws_copy_progress {
	uint64_t rows, bytes; /* of COPY TO there is no total */
};
bool ws_progress_judge_copy(uint32_t command, const int64_t param[WS_PROGRESS_PARAMS],
			    struct ws_copy_progress *progress);
bool ws_progress_copy(uint32_t pid, uint64_t my_be_entry, const struct ws_offsets *off,
		      struct ws_copy_progress *progress);

#endif
