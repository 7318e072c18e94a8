/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * code_parts.h: from capstone's view of an instruction to the project's. For src/symbol/ alone.
 */
#ifndef WS_SYMBOL_CODE_PARTS_H
#define WS_SYMBOL_CODE_PARTS_H

#include <capstone/capstone.h>

#include "symbol/code.h"

/* `out` is zeroed but for address, size and cost, and its registers are -1. */
void ws_code_fill_x86(csh handle, const cs_insn *insn, const struct ws_image *image,
		      struct ws_insn *out);

/* aarch64 builds an address in two instructions; this carries what each register holds along: the
 * page of an adrp, or the address that an add made of it. */
struct ws_code_pages {
	uint64_t page[32];
	uint32_t known; /* bit n: page[n] is valid */
};

void ws_code_fill_arm64(csh handle, const cs_insn *insn, struct ws_code_pages *pages,
			struct ws_insn *out);

#endif
