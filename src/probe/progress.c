/* SPDX-License-Identifier: BSD-2-Clause */
#include "probe/progress.h"

#include <string.h>

#include "target/memory.h"

/* PROGRESS_COMMAND_* (backend_progress.h): the same in 13 to 18, COPY from 14 on. */
#define COMMAND_BASEBACKUP 5
#define COMMAND_COPY	   6

/* PROGRESS_BASEBACKUP_*: places in st_progress_param. */
enum { PHASE = 0, TOTAL = 1, STREAMED = 2, TABLESPACES = 3, TABLESPACES_DONE = 4 };

/* PROGRESS_COPY_*: the same from 14 on. */
enum { COPY_BYTES = 0, COPY_ROWS = 2 };

#define TABLESPACES_MAX (1 << 24)
#define TRIES		3

bool ws_progress_judge(uint32_t command, const int64_t param[WS_PROGRESS_PARAMS],
		       struct ws_progress *progress)
{
	if (command != COMMAND_BASEBACKUP || param[PHASE] < 0 ||
	    param[PHASE] >= WS_PROGRESS_PHASES || param[STREAMED] < 0 || param[TOTAL] < -1 ||
	    param[TABLESPACES] < 0 || param[TABLESPACES] > TABLESPACES_MAX ||
	    param[TABLESPACES_DONE] < 0 || param[TABLESPACES_DONE] > param[TABLESPACES])
		return false;
	*progress = (struct ws_progress){
		.phase = (uint32_t)param[PHASE],
		.streamed_bytes = (uint64_t)param[STREAMED],
		.tablespaces = (uint32_t)param[TABLESPACES],
		.tablespaces_done = (uint32_t)param[TABLESPACES_DONE],
	};
	/* Until the estimate is made all is 0; without one it is -1 from 13 on. */
	progress->has_total = param[TOTAL] > 0;
	progress->total_bytes = progress->has_total ? (uint64_t)param[TOTAL] : 0;
	return true;
}

bool ws_progress_judge_copy(uint32_t command, const int64_t param[WS_PROGRESS_PARAMS],
			    struct ws_copy_progress *progress)
{
	if (command != COMMAND_COPY || param[COPY_BYTES] < 0 || param[COPY_ROWS] < 0)
		return false;
	*progress = (struct ws_copy_progress){ .rows = (uint64_t)param[COPY_ROWS],
					       .bytes = (uint64_t)param[COPY_BYTES] };
	return true;
}

/* st_changecount, the entry's first member, is odd while the entry is written, and moves with it.
 */
static bool read_entry(uint32_t pid, uint64_t my_be_entry, const struct ws_offsets *off,
		       uint32_t *command, int64_t param[WS_PROGRESS_PARAMS])
{
	const size_t size = WS_PROGRESS_PARAMS * sizeof(*param);
	uint32_t before, behind;
	uint64_t entry;

	if (!my_be_entry || off->backend_progress_command == WS_UNKNOWN ||
	    off->backend_progress_param == WS_UNKNOWN ||
	    !ws_memory_read(pid, my_be_entry, &entry, sizeof(entry)) || !entry)
		return false;
	for (int i = 0; i < TRIES; i++) {
		if (!ws_memory_read(pid, entry, &before, sizeof(before)) ||
		    !ws_memory_read(pid, entry + off->backend_progress_command, command,
				    sizeof(*command)) ||
		    !ws_memory_read(pid, entry + off->backend_progress_param, param, size) ||
		    !ws_memory_read(pid, entry, &behind, sizeof(behind)))
			return false;
		if (before == behind && !(before & 1))
			return true;
	}
	return false;
}

bool ws_progress_read(uint32_t pid, uint64_t my_be_entry, const struct ws_offsets *off,
		      struct ws_progress *progress)
{
	int64_t param[WS_PROGRESS_PARAMS];
	uint32_t command;

	return read_entry(pid, my_be_entry, off, &command, param) &&
	       ws_progress_judge(command, param, progress);
}

bool ws_progress_copy(uint32_t pid, uint64_t my_be_entry, const struct ws_offsets *off,
		      struct ws_copy_progress *progress)
{
	int64_t param[WS_PROGRESS_PARAMS];
	uint32_t command;

	return read_entry(pid, my_be_entry, off, &command, param) &&
	       ws_progress_judge_copy(command, param, progress);
}
