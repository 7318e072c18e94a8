/* SPDX-License-Identifier: BSD-2-Clause */
#include "symbol/code_parts.h"

#define CALL_CLOBBERED 0x4007ffffU /* x0 to x18 and the link register, AAPCS64 */

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

static bool page_of(const struct ws_code_pages *pages, int reg, uint64_t *page)
{
	if (reg < 0 || !(pages->known >> reg & 1))
		return false;
	*page = pages->page[reg];
	return true;
}

static void set_page(struct ws_code_pages *pages, int reg, uint64_t page)
{
	if (reg < 0)
		return;
	pages->page[reg] = page;
	pages->known |= 1U << reg;
}

static void fill_memory(const cs_insn *insn, const cs_arm64_op *op, struct ws_code_pages *pages,
			struct ws_insn *out)
{
	uint64_t page;

	out->memory_reg = (int8_t)dwarf_register(op->mem.base);
	out->base_memory = out->memory_reg >= 0 && op->mem.index == ARM64_REG_INVALID;
	out->displacement = op->mem.disp;
	if (!out->base_memory || !page_of(pages, out->memory_reg, &page))
		return;
	out->reference = page + (uint64_t)(int64_t)op->mem.disp;
	out->writes_reference = is_store(insn);
	out->reads_reference = !out->writes_reference;
}

void ws_code_fill_arm64(csh handle, const cs_insn *insn, struct ws_code_pages *pages,
			struct ws_insn *out)
{
	const cs_arm64 *arm = &insn->detail->arm64;
	uint8_t read_count = 0, write_count = 0;
	cs_regs read, written;
	uint64_t page;

	out->kind = kind_of(insn);
	if (cs_regs_access(handle, insn, read, &read_count, written, &write_count) == CS_ERR_OK) {
		out->regs_read = register_mask(read, read_count);
		out->regs_written = register_mask(written, write_count);
	}
	for (uint8_t i = 0; i < arm->op_count; i++) {
		const cs_arm64_op *op = &arm->operands[i];

		if (op->type == ARM64_OP_MEM) {
			fill_memory(insn, op, pages, out);
		} else if (op->type == ARM64_OP_REG && i == 0) {
			out->dest_reg = (int8_t)dwarf_register(op->reg);
		} else if (op->type == ARM64_OP_IMM) {
			out->has_immediate = true;
			out->immediate = op->imm;
		}
	}
	if (out->kind == WS_INSN_CALL || out->kind == WS_INSN_JUMP || out->kind == WS_INSN_BRANCH)
		out->target = (uint64_t)out->immediate;
	if (insn->id == ARM64_INS_ADR)
		out->reference = (uint64_t)out->immediate;
	if (insn->id == ARM64_INS_ADD && arm->op_count == 3 && out->has_immediate &&
	    page_of(pages, dwarf_register(arm->operands[1].reg), &page))
		out->reference = page + (uint64_t)out->immediate;

	pages->known &= ~out->regs_written;
	if (out->kind == WS_INSN_CALL || out->kind == WS_INSN_CALL_INDIRECT)
		pages->known &= ~CALL_CLOBBERED;
	if (insn->id == ARM64_INS_ADRP)
		set_page(pages, out->dest_reg, (uint64_t)out->immediate);
	else if (insn->id == ARM64_INS_ADD && out->reference)
		set_page(pages, out->dest_reg, out->reference);
}
