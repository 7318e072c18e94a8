/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * entry.h: the cheapest correct place for a probe at the entry of any function.
 */
#ifndef WS_PROBE_ENTRY_H
#define WS_PROBE_ENTRY_H

#include "probe/plan.h"

struct ws_entry_site {
	bool found;
	uint64_t address; /* in the file (vaddr) */
	uint64_t offset;  /* in the file, for attaching */
	enum ws_cost cost;
	char instruction[64];
};

/*
 * Correct means: passed once per call, by every call, before anything in the server's memory has
 * changed, with the arguments still in their registers: those that the catalogue captures there,
 * all of them where it does not know the function. `found` is false where there is no such place,
 * or where the function cannot be disassembled to its end.
 */
void ws_entry_site_find(const struct ws_image *image, const char *name, uint64_t address,
			uint64_t size, struct ws_entry_site *site);

#endif
