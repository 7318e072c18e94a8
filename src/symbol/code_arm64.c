/* SPDX-License-Identifier: BSD-2-Clause */
#include "symbol/code_parts.h"

#include <string.h>

/* DWARF number: x0 to x30 are 0 to 30, sp is 31. */
static int dwarf_register(unsigned int reg)
{
	if (reg >= ARM64_REG_X0 && reg <= ARM64_REG_X28)
		return (int)(reg - ARM64_REG_X0);
	if (reg >= ARM64_REG_W0 && reg <= ARM64_REG_W30)
		return (int)(reg - ARM64_REG_W0);
	switch (reg) {
	case ARM64_REG_X29:
		return 29;
	case ARM64_REG_X30:
		return 30;
	case ARM64_REG_SP:
	case ARM64_REG_WSP:
		return 31;
	default:
		return -1;
	}
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

static enum ws_insn_kind kind_of(const cs_insn *insn)
{
	switch (insn->id) {
	case ARM64_INS_BL:
		return WS_INSN_CALL;
	case ARM64_INS_BLR:
		return WS_INSN_CALL_INDIRECT;
	case ARM64_INS_B:
		return insn->detail->arm64.cc == ARM64_CC_INVALID ||
				       insn->detail->arm64.cc == ARM64_CC_AL
			       ? WS_INSN_JUMP
			       : WS_INSN_BRANCH;
	case ARM64_INS_BR:
		return WS_INSN_JUMP_INDIRECT;
	case ARM64_INS_CBZ:
	case ARM64_INS_CBNZ:
	case ARM64_INS_TBZ:
	case ARM64_INS_TBNZ:
		return WS_INSN_BRANCH;
	case ARM64_INS_RET:
		return WS_INSN_RETURN;
	case ARM64_INS_NOP:
		return WS_INSN_NOP;
	case ARM64_INS_BRK:
	case ARM64_INS_HLT:
		return WS_INSN_TRAP;
	default:
		return WS_INSN_OTHER;
	}
}

static bool is_store(const cs_insn *insn)
{
	return insn->mnemonic[0] == 's' && insn->mnemonic[1] == 't';
}

/* stxr w0, x1, [x2]: the first operand says whether it went well, and is no source. */
static bool is_exclusive(const cs_insn *insn)
{
	return strncmp(insn->mnemonic, "stx", 3) == 0 || strncmp(insn->mnemonic, "stlx", 4) == 0;
}

/* capstone 4 takes the first operand of a comparison for written. */
static bool is_comparison(const cs_insn *insn)
{
	switch (insn->id) {
	case ARM64_INS_CMP:
	case ARM64_INS_CMN:
	case ARM64_INS_TST:
	case ARM64_INS_CCMP:
	case ARM64_INS_CCMN:
		return true;
	default:
		return false;
	}
}

static uint8_t register_bytes(unsigned int reg)
{
	if ((reg >= ARM64_REG_W0 && reg <= ARM64_REG_W30) || reg == ARM64_REG_WZR ||
	    (reg >= ARM64_REG_S0 && reg <= ARM64_REG_S31))
		return 4;
	if (reg >= ARM64_REG_Q0 && reg <= ARM64_REG_Q31)
		return 16;
	if (reg >= ARM64_REG_H0 && reg <= ARM64_REG_H31)
		return 2;
	return reg >= ARM64_REG_B0 && reg <= ARM64_REG_B31 ? 1 : 8;
}

/* Bytes that a load or store moves. capstone does not say: the mnemonic's ending does (ldrb, strh,
 * ldrsw), else the register's width. */
static uint8_t access_size(const cs_insn *insn)
{
	const cs_arm64 *arm = &insn->detail->arm64;
	const char *m = insn->mnemonic;
	size_t len = strlen(m);
	unsigned int data = is_exclusive(insn) ? 1 : 0;
	uint8_t size;

	if (insn->id == ARM64_INS_PRFM || insn->id == ARM64_INS_PRFUM || arm->op_count <= data ||
	    arm->operands[data].type != ARM64_OP_REG)
		return insn->id == ARM64_INS_PRFM || insn->id == ARM64_INS_PRFUM ? 0 : 8;
	if (m[len - 1] == 'b')
		size = 1;
	else if (m[len - 1] == 'h')
		size = 2;
	else if (m[len - 1] == 'w')
		size = 4;
	else
		size = register_bytes(arm->operands[data].reg);
	return strncmp(m, "ldp", 3) == 0 || strncmp(m, "stp", 3) == 0 ? 2 * size : size;
}

static void fill_memory(const cs_insn *insn, const cs_arm64_op *mem, struct ws_arm64_op *op,
			struct ws_insn *out)
{
	out->memory_reg = (int8_t)dwarf_register(mem->mem.base);
	out->base_memory = out->memory_reg >= 0 && mem->mem.index == ARM64_REG_INVALID;
	out->displacement = mem->mem.disp;
	out->access_size = access_size(insn);
	out->is_pair = insn->id == ARM64_INS_LDP || insn->id == ARM64_INS_STP;
	op->kind = WS_ARM64_ACCESS;
	op->a = out->memory_reg;
	if (mem->mem.index != ARM64_REG_INVALID)
		op->b = (int8_t)dwarf_register(mem->mem.index);
	op->value = mem->mem.disp;
	op->is_store = is_store(insn);
}

static int register_operand(const cs_arm64 *arm, uint8_t i)
{
	return i < arm->op_count && arm->operands[i].type == ARM64_OP_REG
		       ? dwarf_register(arm->operands[i].reg)
		       : -1;
}

/* 64-bit arithmetic on what may be addresses. */
static void fill_arithmetic(const cs_insn *insn, struct ws_arm64_op *op, struct ws_insn *out)
{
	const cs_arm64 *arm = &insn->detail->arm64;
	int a = register_operand(arm, 1), b = register_operand(arm, 2);

	if (arm->op_count == 0 || arm->operands[0].type != ARM64_OP_REG ||
	    register_bytes(arm->operands[0].reg) != 8)
		return;
	switch (insn->id) {
	case ARM64_INS_ADR:
	case ARM64_INS_ADRP:
		op->kind = WS_ARM64_SET;
		op->is_whole = insn->id == ARM64_INS_ADR;
		op->value = out->immediate;
		break;
	case ARM64_INS_ADD:
	case ARM64_INS_SUB:
		if (out->has_immediate) {
			op->kind = WS_ARM64_ADD;
			op->is_whole = insn->id == ARM64_INS_ADD;
			op->value = insn->id == ARM64_INS_ADD ? out->immediate : -out->immediate;
		} else if (insn->id == ARM64_INS_ADD) {
			op->kind = WS_ARM64_ADD_REG;
		}
		break;
	case ARM64_INS_MADD:
	case ARM64_INS_SMADDL:
	case ARM64_INS_UMADDL: /* a product plus the last operand */
		op->kind = WS_ARM64_ADD_REG;
		a = register_operand(arm, 3);
		break;
	case ARM64_INS_MOV:
		if (arm->op_count == 2 && a >= 0)
			op->kind = WS_ARM64_MOVE;
		break;
	default:
		break;
	}
	op->dest = out->dest_reg;
	op->a = (int8_t)a;
	op->b = (int8_t)b;
}

static void fill_operands(const cs_insn *insn, struct ws_arm64_op *op, struct ws_insn *out)
{
	const cs_arm64 *arm = &insn->detail->arm64;

	for (uint8_t i = 0; i < arm->op_count; i++) {
		const cs_arm64_op *operand = &arm->operands[i];

		if (operand->type == ARM64_OP_MEM) {
			fill_memory(insn, operand, op, out);
		} else if (operand->type == ARM64_OP_REG && i == 0) {
			out->dest_reg = (int8_t)dwarf_register(operand->reg);
		} else if (operand->type == ARM64_OP_IMM) {
			out->has_immediate = true;
			out->immediate = operand->imm;
			if (operand->shift.type == ARM64_SFT_LSL) /* add x0, x0, #1, lsl #12 */
				out->immediate = (int64_t)((uint64_t)operand->imm
							   << (operand->shift.value & 63));
		}
	}
}

/* What a bitwise instruction takes of a register, or a move makes of nothing. */
static bool is_moved(const cs_insn *insn, const struct ws_insn *out)
{
	switch (insn->id) {
	case ARM64_INS_MOV:
	case ARM64_INS_MOVZ:
	case ARM64_INS_MOVN:
	case ARM64_INS_AND:
	case ARM64_INS_ORR:
		return out->dest_reg >= 0;
	default:
		return false;
	}
}

/* What the number of an instruction is for; capstone shows movn, ccmp and tbz as they are encoded.
 */
static void fill_number(const cs_insn *insn, struct ws_insn *out)
{
	const cs_arm64_op *operands = insn->detail->arm64.operands;

	out->number = out->immediate;
	switch (insn->id) {
	case ARM64_INS_CMN:
		out->number = -out->immediate;
		out->is_value = true;
		break;
	case ARM64_INS_CMP:
	case ARM64_INS_TST:
		out->is_value = true;
		break;
	case ARM64_INS_CCMP:
	case ARM64_INS_CCMN: /* the number is in front of the flags */
		out->is_value = operands[1].type == ARM64_OP_IMM;
		out->number = insn->id == ARM64_INS_CCMP ? operands[1].imm : -operands[1].imm;
		break;
	case ARM64_INS_TBZ:
	case ARM64_INS_TBNZ:
		out->is_value = operands[1].type == ARM64_OP_IMM;
		out->number = (int64_t)(1ULL << (operands[1].imm & 63));
		break;
	case ARM64_INS_ADD:
		out->is_offset = out->dest_reg >= 0 && register_bytes(operands[0].reg) == 8;
		break;
	default:
		out->is_value = is_moved(insn, out);
		break;
	}
}

void ws_code_join_arm64(const cs_insn *insn, struct ws_code *code)
{
	struct ws_insn *last = &code->insns[code->count - 1];
	int shift = insn->detail->arm64.operands[1].shift.value & 48;

	last->is_value = false;
	for (struct ws_insn *before = last; before-- > code->insns;) {
		if (!(before->regs_written >> last->dest_reg & 1))
			continue;
		if (before->dest_reg != last->dest_reg || !before->is_value)
			return;
		last->number = (before->number & ~(int64_t)(0xffffULL << shift)) | last->immediate;
		last->is_value = true;
		before->is_value = false;
		return;
	}
}

/* A landing pad of an indirect jump (bti j, bti jc). */
static bool is_jump_pad(const cs_insn *insn, const struct ws_insn *out)
{
	return insn->id == ARM64_INS_HINT && (out->immediate == 36 || out->immediate == 38);
}

void ws_code_fill_arm64(csh handle, const cs_insn *insn, struct ws_arm64_op *op,
			struct ws_insn *out)
{
	uint8_t read_count = 0, write_count = 0;
	cs_regs read, written;

	out->kind = kind_of(insn);
	if (cs_regs_access(handle, insn, read, &read_count, written, &write_count) == CS_ERR_OK) {
		out->regs_read = register_mask(read, read_count);
		if (!is_comparison(insn))
			out->regs_written = register_mask(written, write_count);
	}
	op->dest = op->a = op->b = -1;
	fill_operands(insn, op, out);
	if (insn->id == ARM64_INS_MOVN)
		out->immediate = ~out->immediate;
	if (op->kind != WS_ARM64_ACCESS)
		fill_arithmetic(insn, op, out);
	if (out->has_immediate && op->kind != WS_ARM64_ACCESS)
		fill_number(insn, out);
	if (out->kind == WS_INSN_CALL || out->kind == WS_INSN_JUMP || out->kind == WS_INSN_BRANCH)
		out->target = (uint64_t)out->immediate;
	if (out->access_size && is_store(insn) && !is_exclusive(insn))
		out->dest_reg = -1; /* it is where the value comes from */
	out->is_switch_target = is_jump_pad(insn, out);
}
