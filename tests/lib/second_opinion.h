/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * second_opinion.h: what an instruction does, out of capstone's text and the instruction's bytes
 * alone. It shares nothing with the project's view of instructions (symbol/code.h), which it is
 * held against.
 */
#ifndef WS_TEST_SECOND_OPINION_H
#define WS_TEST_SECOND_OPINION_H

#include <capstone/capstone.h>
#include <stdbool.h>
#include <stdint.h>

#include "symbol/image.h"

struct op_insn {
	uint64_t address;
	uint8_t size;
	uint8_t bytes[16];
	char mnemonic[16];
	char operands[64];
};

#define OP_ARGUMENTS 3 /* the first argument registers */
#define OP_RESULT    3 /* the result register, beside them */

struct opinion {
	cs_arch arch;
	cs_mode mode;
	/* A jump or branch, of any kind; with a fixed target: `to`, else 0. */
	bool (*is_jump)(const struct op_insn *insn, uint64_t *to);
	bool (*is_call)(const struct op_insn *insn, uint64_t *to);
	/* Control may go on elsewhere. */
	bool (*is_transfer)(const struct op_insn *insn);
	/* By the rules of the kernels that emulate least. */
	bool (*is_emulated)(const struct op_insn *insn);
	/* Does it write argument 0 .. OP_ARGUMENTS - 1, or the result? */
	bool (*changes)(const struct op_insn *insn, int which);
	/* Does it write memory outside the stack frame? */
	bool (*stores)(const struct op_insn *insn);
	bool (*is_landing_pad)(const struct op_insn *insn);
};

const struct opinion *opinion_of(enum ws_arch arch);

#endif
