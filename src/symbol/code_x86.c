/* SPDX-License-Identifier: BSD-2-Clause */
#include "symbol/code_parts.h"

#include "base/util.h"

/* DWARF number of a general register of any width, -1 for all others. */
static int dwarf_register(unsigned int reg)
{
	static const unsigned short names[16][5] = {
		{ X86_REG_RAX, X86_REG_EAX, X86_REG_AX, X86_REG_AL, X86_REG_AH },
		{ X86_REG_RDX, X86_REG_EDX, X86_REG_DX, X86_REG_DL, X86_REG_DH },
		{ X86_REG_RCX, X86_REG_ECX, X86_REG_CX, X86_REG_CL, X86_REG_CH },
		{ X86_REG_RBX, X86_REG_EBX, X86_REG_BX, X86_REG_BL, X86_REG_BH },
		{ X86_REG_RSI, X86_REG_ESI, X86_REG_SI, X86_REG_SIL },
		{ X86_REG_RDI, X86_REG_EDI, X86_REG_DI, X86_REG_DIL },
		{ X86_REG_RBP, X86_REG_EBP, X86_REG_BP, X86_REG_BPL },
		{ X86_REG_RSP, X86_REG_ESP, X86_REG_SP, X86_REG_SPL },
		{ X86_REG_R8, X86_REG_R8D, X86_REG_R8W, X86_REG_R8B },
		{ X86_REG_R9, X86_REG_R9D, X86_REG_R9W, X86_REG_R9B },
		{ X86_REG_R10, X86_REG_R10D, X86_REG_R10W, X86_REG_R10B },
		{ X86_REG_R11, X86_REG_R11D, X86_REG_R11W, X86_REG_R11B },
		{ X86_REG_R12, X86_REG_R12D, X86_REG_R12W, X86_REG_R12B },
		{ X86_REG_R13, X86_REG_R13D, X86_REG_R13W, X86_REG_R13B },
		{ X86_REG_R14, X86_REG_R14D, X86_REG_R14W, X86_REG_R14B },
		{ X86_REG_R15, X86_REG_R15D, X86_REG_R15W, X86_REG_R15B },
	};

	if (reg == X86_REG_INVALID)
		return -1;
	for (int i = 0; i < 16; i++) {
		for (size_t j = 0; j < WS_ARRAY_SIZE(names[i]); j++) {
			if (names[i][j] == reg)
				return i;
		}
	}
	return -1;
}

static uint32_t register_mask(const cs_regs regs, uint8_t count)
{
	uint32_t mask = 0;

	for (uint8_t i = 0; i < count; i++) {
		int reg = dwarf_register(regs[i]);

		if (reg >= 0)
			mask |= 1U << reg;
	}
	return mask;
}

static bool has_group(const cs_insn *insn, uint8_t group)
{
	for (uint8_t i = 0; i < insn->detail->groups_count; i++) {
		if (insn->detail->groups[i] == group)
			return true;
	}
	return false;
}

static enum ws_insn_kind kind_of(const cs_insn *insn)
{
	const cs_x86 *x86 = &insn->detail->x86;
	bool direct = x86->op_count == 1 && x86->operands[0].type == X86_OP_IMM;

	switch (insn->id) {
	case X86_INS_CALL:
		return direct ? WS_INSN_CALL : WS_INSN_CALL_INDIRECT;
	case X86_INS_JMP:
		return direct ? WS_INSN_JUMP : WS_INSN_JUMP_INDIRECT;
	case X86_INS_LOOP:
	case X86_INS_LOOPE:
	case X86_INS_LOOPNE:
		return WS_INSN_BRANCH;
	case X86_INS_PUSH:
		return WS_INSN_PUSH;
	case X86_INS_NOP:
		return WS_INSN_NOP;
	case X86_INS_UD2:
	case X86_INS_INT3:
	case X86_INS_HLT:
		return WS_INSN_TRAP;
	default:
		if (has_group(insn, X86_GRP_RET))
			return WS_INSN_RETURN;
		return has_group(insn, X86_GRP_JUMP) && direct ? WS_INSN_BRANCH : WS_INSN_OTHER;
	}
}

static void fill_memory(const cs_insn *insn, const cs_x86_op *op, struct ws_insn *out)
{
	const x86_op_mem *mem = &op->mem;

	if (mem->base == X86_REG_RIP) {
		out->reference = insn->address + insn->size + (uint64_t)mem->disp;
	} else if (mem->base == X86_REG_INVALID && mem->index == X86_REG_INVALID) {
		/* Thread-local storage is addressed the same way, through fs. */
		if (mem->segment == X86_REG_INVALID)
			out->reference = (uint64_t)mem->disp;
	} else {
		out->memory_reg = (int8_t)dwarf_register(mem->base);
		out->base_memory = out->memory_reg >= 0 && mem->index == X86_REG_INVALID;
		out->displacement = mem->disp;
	}
	if (insn->id == X86_INS_LEA || out->kind == WS_INSN_NOP)
		return;
	if (out->reference) {
		out->reads_reference = op->access & CS_AC_READ;
		out->writes_reference = op->access & CS_AC_WRITE;
	}
	out->access_size = op->size;
}

/* What the number of an instruction is for. */
static void fill_number(const cs_insn *insn, struct ws_insn *out)
{
	out->number = out->immediate;
	switch (insn->id) {
	case X86_INS_CMP:
	case X86_INS_TEST:
	case X86_INS_AND:
	case X86_INS_OR:
	case X86_INS_MOV:
	case X86_INS_MOVABS:
	case X86_INS_PUSH:
		out->is_value = true;
		break;
	case X86_INS_ADD:
		out->is_offset = out->dest_reg >= 0 && insn->detail->x86.operands[0].size == 8;
		break;
	default:
		break;
	}
}

void ws_code_fill_x86(csh handle, const cs_insn *insn, const struct ws_image *image,
		      struct ws_insn *out)
{
	const cs_x86 *x86 = &insn->detail->x86;
	uint8_t read_count = 0, write_count = 0;
	cs_regs read, written;

	out->kind = kind_of(insn);
	if (cs_regs_access(handle, insn, read, &read_count, written, &write_count) == CS_ERR_OK) {
		out->regs_read = register_mask(read, read_count);
		/* capstone 4 takes the accumulator of `test al, imm` (a8, a9) for written. */
		if (insn->id != X86_INS_TEST)
			out->regs_written = register_mask(written, write_count);
	}
	for (uint8_t i = 0; i < x86->op_count; i++) {
		const cs_x86_op *op = &x86->operands[i];

		if (op->type == X86_OP_MEM)
			fill_memory(insn, op, out);
		else if (op->type == X86_OP_REG && i == 0)
			out->dest_reg = (int8_t)dwarf_register(op->reg);
		else if (op->type == X86_OP_IMM) {
			out->has_immediate = true;
			out->immediate = op->imm;
		}
	}
	if (out->has_immediate)
		fill_number(insn, out);
	if (out->kind == WS_INSN_CALL || out->kind == WS_INSN_JUMP || out->kind == WS_INSN_BRANCH)
		out->target = (uint64_t)out->immediate;
	/* Not position-independent: an address is an immediate. */
	if (insn->id == X86_INS_MOV && out->has_immediate && out->dest_reg >= 0 &&
	    !out->reference && !ws_image_is_pie(image) &&
	    ws_image_is_mapped(image, (uint64_t)out->immediate))
		out->reference = (uint64_t)out->immediate;
}
