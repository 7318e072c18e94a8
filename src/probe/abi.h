/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * abi.h: calling conventions, by DWARF register numbers. For src/probe/ alone.
 */
#ifndef WS_PROBE_ABI_H
#define WS_PROBE_ABI_H

#include "symbol/image.h"

struct ws_abi {
	enum ws_arch arch;
	int8_t args[8];
	size_t arg_count;
	int8_t result;
	uint32_t caller_saved;
	uint32_t frame; /* stack and frame pointer: stores through them change nothing of the
			   server's */
};

/* NULL for an architecture that is not known. */
const struct ws_abi *ws_abi_of(enum ws_arch arch);

#endif
