/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls through a table of function pointers that an exported variable points to (PqCommMethods):
 *
 *	mov PqCommMethods(%rip), %rax
 *	call *0x10(%rax)
 *
 * Compilers move the load before a join of several paths, or load the slot into a register first.
 * So which registers hold the table's address, and which the slot's value, is computed for every
 * instruction: what holds on all paths to it.
 */
#include "probe/body.h"

#include <stdlib.h>

/* The set of all registers: no path to the instruction has been seen yet. */
#define NOT_REACHED UINT32_MAX

/* Sets only shrink, so it ends; real functions take less than ten passes. */
#define PASSES_MAX 200

/* Sets of registers, bit n: DWARF register number n. */
struct facts {
	uint32_t table;
	uint32_t slot;
};

struct flow {
	const struct ws_body *body;
	uint64_t variable;
	int64_t slot;
	uint32_t caller_saved;
	struct facts *in; /* one per instruction */
	bool changed;
};

static uint32_t bit(int reg)
{
	return reg >= 0 && reg < 32 ? 1U << reg : 0;
}

/* A pointer-sized load into a register, not an operation that merely has a memory operand. */
static bool is_load(const struct ws_insn *insn)
{
	uint32_t dest = bit(insn->dest_reg);

	return insn->kind == WS_INSN_OTHER && insn->access_size == 8 &&
	       (insn->regs_written & dest) &&
	       (!(insn->regs_read & dest) || insn->memory_reg == insn->dest_reg);
}

static bool is_call(const struct ws_insn *insn)
{
	return insn->kind == WS_INSN_CALL || insn->kind == WS_INSN_CALL_INDIRECT;
}

static bool is_slot_operand(const struct flow *f, const struct ws_insn *insn, uint32_t table)
{
	return insn->base_memory && insn->displacement == f->slot &&
	       (table & bit(insn->memory_reg));
}

static struct facts step(const struct flow *f, const struct ws_insn *insn, struct facts in)
{
	uint32_t written = insn->regs_written | (is_call(insn) ? f->caller_saved : 0);
	struct facts out = { in.table & ~written, in.slot & ~written };

	if (!is_load(insn))
		return out;
	if (insn->reads_reference && insn->reference == f->variable)
		out.table |= bit(insn->dest_reg);
	else if (is_slot_operand(f, insn, in.table))
		out.slot |= bit(insn->dest_reg);
	return out;
}

static void meet(struct flow *f, long at, struct facts facts)
{
	struct facts *in;

	if (at < 0 || at >= (long)f->body->code.count)
		return;
	in = &f->in[at];
	if ((in->table & facts.table) != in->table || (in->slot & facts.slot) != in->slot) {
		in->table &= facts.table;
		in->slot &= facts.slot;
		f->changed = true;
	}
}

static void pass(struct flow *f)
{
	const struct ws_code *code = &f->body->code;

	f->changed = false;
	for (size_t i = 0; i < code->count; i++) {
		const struct ws_insn *insn = &code->insns[i];
		struct facts out = step(f, insn, f->in[i]);

		if (!ws_body_is_end(insn))
			meet(f, (long)i + 1, out);
		if (insn->kind == WS_INSN_JUMP || insn->kind == WS_INSN_BRANCH)
			meet(f, ws_code_index(code, insn->target), out);
	}
}

static bool is_match(const struct flow *f, size_t i)
{
	const struct ws_insn *insn = &f->body->code.insns[i];

	if (insn->kind != WS_INSN_CALL_INDIRECT || f->in[i].table == NOT_REACHED)
		return false;
	if (is_slot_operand(f, insn, f->in[i].table))
		return true;
	return insn->memory_reg < 0 && !insn->reference && (f->in[i].slot & insn->regs_read);
}

bool ws_body_slot_calls(const struct ws_body *body, uint64_t variable, int64_t slot,
			uint32_t caller_saved, bool *matches)
{
	const struct ws_code *code = &body->code;
	struct flow f = { body, variable, slot, caller_saved, NULL, true };

	f.in = malloc(code->count * sizeof(*f.in));
	if (!f.in)
		return false;
	for (size_t i = 0; i < code->count; i++) {
		uint32_t known = i == 0 || body->edges[i].outside ? 0 : NOT_REACHED;

		f.in[i] = (struct facts){ known, known };
	}
	for (int n = 0; f.changed && n < PASSES_MAX; n++)
		pass(&f);
	for (size_t i = 0; i < code->count; i++)
		matches[i] = !f.changed && is_match(&f, i);
	free(f.in);
	return true;
}
