/* SPDX-License-Identifier: BSD-2-Clause */
/* The mappings of a process. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/util.h"
#include "target/proc.h"

bool ws_proc_mapping_at(const struct ws_proc *proc, uint32_t pid, uint64_t address, uint64_t *start,
			uint64_t *end)
{
	ws_autofclose FILE *maps = NULL;
	ws_autofree char *line = NULL;
	size_t size = 0;
	char path[600];

	snprintf(path, sizeof(path), "%s/%u/maps", proc->root, pid);
	maps = fopen(path, "re");
	while (maps && getline(&line, &size, maps) > 0) {
		if (sscanf(line, "%" SCNx64 "-%" SCNx64, start, end) == 2 && address >= *start &&
		    address < *end)
			return true;
	}
	return false;
}
