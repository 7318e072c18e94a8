/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * code.h: the instructions of one function, as far as finding sites and recovering names need them.
 * Disassembly is capstone's; this is the project's view of it, the same for both architectures.
 */
#ifndef WS_SYMBOL_CODE_H
#define WS_SYMBOL_CODE_H

#include "symbol/image.h"

enum ws_insn_kind {
	WS_INSN_OTHER = 0,
	WS_INSN_CALL,	       /* direct call: `target` */
	WS_INSN_CALL_INDIRECT, /* `reference` is the memory operand's address if rip-relative */
	WS_INSN_JUMP,	       /* direct: `target` */
	WS_INSN_JUMP_INDIRECT,
	WS_INSN_BRANCH, /* conditional: `target` */
	WS_INSN_RETURN,
	WS_INSN_PUSH,
	WS_INSN_NOP,
	WS_INSN_TRAP, /* ud2, int3, hlt */
};

/* How the kernel runs the instruction under a uprobe. */
enum ws_cost {
	WS_COST_STEPPED = 0, /* single-stepped out of line: tens of times dearer on a guest */
	WS_COST_EMULATED,    /* kernel: arch/x86/kernel/uprobes.c branch_setup_xol_ops,
				push_setup_xol_ops */
	WS_COST_NOP5, /* 5-byte nop: optimised from 6.18 on; not to be used (red-zone defect) */
};

struct ws_insn {
	uint64_t address;
	uint8_t size;
	enum ws_insn_kind kind;
	enum ws_cost cost;
	uint64_t target;    /* of a direct call, jump or branch, else 0 */
	uint64_t reference; /* address a rip-relative (adrp+add/ldr) operand names, else 0 */
	bool reads_reference, writes_reference; /* a memory access, not a lea */
	uint64_t element;    /* aarch64: the operand is at this address plus a register, else 0 */
	bool is_pair;	     /* aarch64: the access is one of two registers, half each */
	uint8_t access_size; /* bytes the memory operand reads or writes, 0 if none (lea, nop) */
	uint32_t regs_read, regs_written; /* bit n: DWARF register number n (0 rax, 1 rdx, 2 rcx, 3
					     rbx, 4 rsi, 5 rdi, 6 rbp, 7 rsp, 8..15 r8..r15) */
	bool base_memory;		  /* has a memory operand base register + displacement */
	int8_t memory_reg;		  /* its base register (DWARF number), -1 if none */
	int64_t displacement;
	int8_t dest_reg;   /* first operand if it is a register, else -1 */
	int64_t immediate; /* last operand if `has_immediate` */
	bool has_immediate;
	bool is_value;	/* `number` is compared, tested, stored or moved */
	bool is_offset; /* it is added to what may be a pointer */
	int64_t number; /* of the source, as far as the instruction tells: cmn w0, #5 compares with
			   -5 */
	bool is_branch_target; /* some direct branch of the same function lands here */
	bool is_switch_target; /* aarch64: so does a jump table, or perhaps one */
};

struct ws_code {
	struct ws_range range;
	struct ws_insn *insns; /* in address order */
	size_t count;
};

/* Decodes one range of an image. Undecodable bytes end the list early: *code is what came before.
 * (Not on aarch64: there an unknown instruction reads and writes all registers.) Fails for what is
 * not in the file, or too large (4 MiB) to be a function. */
int ws_code_decode(const struct ws_image *image, struct ws_range range, struct ws_code *code,
		   struct ws_error *err);
void ws_code_deinit(struct ws_code *code);

/* Index of the instruction at `address`, or -1. */
long ws_code_index(const struct ws_code *code, uint64_t address);
/* Does the instruction never go on to the next one? (A call that does not return is not known as
 * such.) */
bool ws_insn_never_goes_on(const struct ws_insn *insn);
/* "push rbp": as capstone prints it. */
void ws_code_format(const struct ws_image *image, uint64_t address, char *out, size_t size);

/*
 * The cost class of the instruction bytes at hand, from the kernel's own rules (x86-64:
 * arch/x86/kernel/uprobes.c; aarch64: arch/arm64/kernel/probes/decode-insn.c). Pure.
 */
enum ws_cost ws_code_cost(enum ws_arch arch, const uint8_t *bytes, size_t size);
const char *ws_code_cost_name(enum ws_cost cost); /* "emulated", "nop5", "stepped" */

#endif
