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

/*
 * aarch64 builds an address in two instructions or more, and keeps what it has of it through
 * branches and calls. What an instruction does to addresses in registers; one per instruction of
 * the function. An instruction of no kind named here makes what it writes unknown.
 */
struct ws_arm64_op {
	enum {
		WS_ARM64_OTHER = 0,
		WS_ARM64_SET,	  /* dest = value: adr, adrp */
		WS_ARM64_ADD,	  /* dest = a + value */
		WS_ARM64_MOVE,	  /* dest = a */
		WS_ARM64_ADD_REG, /* dest = a + b, which may be shifted or extended */
		WS_ARM64_ACCESS,  /* memory at a + value, or at a + b */
	} kind;
	int8_t dest, a, b; /* -1: none */
	bool is_store;
	/* The address is one by itself: what an add makes, or an adr; not an adrp's page. */
	bool is_whole;
	int64_t value;
};

void ws_code_fill_arm64(csh handle, const cs_insn *insn, struct ws_arm64_op *op,
			struct ws_insn *out);

/* The last instruction, a movk, puts 16 bits into a number that the ones before it began. */
void ws_code_join_arm64(const cs_insn *insn, struct ws_code *code);

/* Follows addresses over all paths of a function whose branch targets are marked, and fills
 * `reference`, `element` and what belongs to them. Marks the targets of jump tables. -1: no memory.
 */
int ws_code_follow_arm64(const struct ws_image *image, struct ws_code *code,
			 const struct ws_arm64_op *ops);

/* Marks what the function's jump tables lead to; its addresses have been followed. False: nothing
 * new. */
bool ws_code_mark_switches_arm64(const struct ws_image *image, struct ws_code *code,
				 const struct ws_arm64_op *ops);

#endif
