/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls through a table of function pointers that an exported variable points to (PqCommMethods):
 *
 *	mov PqCommMethods(%rip), %rax		adrp x0, GOT page of PqCommMethods
 *	call *0x10(%rax)			ldr x0, [x0, its slot]
 *						ldr x0, [x0]
 *						ldr x0, [x0, #0x10]
 *						blr x0
 *
 * Compilers move the loads before a join of several paths, and keep the variable's address in a
 * register through a loop. So which registers hold this address, which the table's, and which the
 * slot's value, is computed for every instruction: what holds on all paths to it.
 */
#include "probe/body.h"

#include <stdlib.h>

/* The set of all registers: no path to the instruction has been seen yet. */
#define NOT_REACHED UINT32_MAX

/* Sets only shrink, so it ends; real functions take less than ten passes. */
#define PASSES_MAX 200

/* Sets of registers, bit n: DWARF register number n. */
struct facts {
	uint32_t variable; /* its address */
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

/* Through a slot of the GOT, which the dynamic linker fills. */
static bool loads_address(const struct flow *f, const struct ws_insn *insn)
{
	uint64_t value;

	return insn->reads_reference && ws_image_is_pie(f->body->image) &&
	       ws_image_relocated(f->body->image, insn->reference, &value) && value == f->variable;
}

static bool loads_table(const struct flow *f, const struct ws_insn *insn, uint32_t variable)
{
	if (insn->reads_reference && insn->reference == f->variable)
		return true;
	return insn->base_memory && insn->displacement == 0 && (variable & bit(insn->memory_reg));
}

/* lea, or adrp and add. */
static bool makes_address(const struct flow *f, const struct ws_insn *insn)
{
	return insn->kind == WS_INSN_OTHER && insn->reference == f->variable && !insn->access_size;
}

static struct facts step(const struct flow *f, const struct ws_insn *insn, struct facts in)
{
	uint32_t written = insn->regs_written | (is_call(insn) ? f->caller_saved : 0);
	struct facts out = { in.variable & ~written, in.table & ~written, in.slot & ~written };

	if (makes_address(f, insn))
		out.variable |= bit(insn->dest_reg) & written;
	if (!is_load(insn))
		return out;
	if (loads_table(f, insn, in.variable))
		out.table |= bit(insn->dest_reg);
	else if (loads_address(f, insn))
		out.variable |= bit(insn->dest_reg);
	else if (is_slot_operand(f, insn, in.table))
		out.slot |= bit(insn->dest_reg);
	return out;
}

static void keep(struct flow *f, uint32_t *in, uint32_t facts)
{
	f->changed |= (*in & facts) != *in;
	*in &= facts;
}

static void meet(struct flow *f, long at, struct facts facts)
{
	if (at < 0 || at >= (long)f->body->code.count)
		return;
	keep(f, &f->in[at].variable, facts.variable);
	keep(f, &f->in[at].table, facts.table);
	keep(f, &f->in[at].slot, facts.slot);
}

static void pass(struct flow *f)
{
	const struct ws_code *code = &f->body->code;

	f->changed = false;
	for (size_t i = 0; i < code->count; i++) {
		const struct ws_insn *insn = &code->insns[i];
		struct facts out = step(f, insn, f->in[i]);

		if (!ws_insn_never_goes_on(insn))
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

		f.in[i] = (struct facts){ known, known, known };
	}
	for (int n = 0; f.changed && n < PASSES_MAX; n++)
		pass(&f);
	for (size_t i = 0; i < code->count; i++)
		matches[i] = !f.changed && is_match(&f, i);
	free(f.in);
	return true;
}
