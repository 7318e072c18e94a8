/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where in the caller's frame an argument points: what is put into its register on all ways to the
 * call, also by way of a place on the stack where the compiler kept it in between.
 */
#include "probe/site.h"

#include <stdlib.h>
#include <string.h>

#include "probe/abi.h"

/* Instructions of the function: a larger one is none that hands over such an argument. */
#define FUNCTION_MAX 4096

struct tracing {
	const struct ws_body *body;
	const struct ws_abi *abi;
	uint32_t *seen; /* per instruction: registers whose value in front of it has been looked for
			 */
	struct wanted {
		size_t at;
		int reg;
	} * todo;
	size_t count;
	int frame; /* register of the address found, -1: none yet */
	int64_t disp;
	uint32_t changed; /* registers that something on the way back changes */
	bool has_spills;  /* a place on the stack was named on the way */
};

static bool is_call(const struct ws_insn *insn)
{
	return insn->kind == WS_INSN_CALL || insn->kind == WS_INSN_CALL_INDIRECT;
}

static bool is_frame(const struct tracing *t, int reg)
{
	return reg >= 0 && (t->abi->frame >> reg & 1);
}

/* The register that an instruction adds a constant to for an address, which it puts into `dest`;
 * -1. */
static int read_address(const struct ws_body *body, const struct ws_insn *insn, int dest,
			int64_t *disp)
{
	size_t avail;
	const uint8_t *bytes = ws_image_bytes(body->image, insn->address, &avail);
	uint32_t word;

	if (insn->dest_reg != dest)
		return -1;
	/* lea disp(%rbp), %rdx: a memory operand without an access */
	if (ws_image_arch(body->image) == WS_ARCH_X86_64) {
		*disp = insn->displacement;
		return insn->base_memory && !insn->access_size ? insn->memory_reg : -1;
	}
	/* add x2, sp, #disp, which mov x2, sp is too */
	if (!bytes || avail < sizeof(word))
		return -1;
	memcpy(&word, bytes, sizeof(word));
	*disp = word >> 10 & 0xfff;
	return (word & 0xffc00000) == 0x91000000 ? (int)(word >> 5 & 31) : -1;
}

/* The value of a register in front of an instruction is wanted. */
static void want(struct tracing *t, size_t at, int reg)
{
	if (t->seen[at] >> reg & 1)
		return;
	t->seen[at] |= 1U << reg;
	t->todo[t->count++] = (struct wanted){ at, reg };
}

static bool agrees(struct tracing *t, int frame, int64_t disp)
{
	if (t->frame < 0) {
		t->frame = frame;
		t->disp = disp;
	}
	return frame == t->frame && disp == t->disp;
}

/* What is stored where the load takes it from: all stores to that place. */
static bool want_stored(struct tracing *t, const struct ws_insn *load)
{
	const struct ws_code *code = &t->body->code;
	bool any = false;

	if (!is_frame(t, load->memory_reg) || !load->base_memory || load->access_size != 8 ||
	    load->is_pair)
		return false;
	for (size_t i = 0; i < code->count; i++) {
		const struct ws_insn *insn = &code->insns[i];
		uint32_t source = insn->regs_read & ~(1U << load->memory_reg);

		if (!is_frame(t, insn->memory_reg) || !insn->access_size || insn->dest_reg >= 0)
			continue;
		if (insn->base_memory && insn->memory_reg == load->memory_reg &&
		    (insn->displacement + insn->access_size <= load->displacement ||
		     insn->displacement >= load->displacement + load->access_size))
			continue;
		if (insn->memory_reg != load->memory_reg || !insn->base_memory ||
		    insn->displacement != load->displacement || insn->access_size != 8 ||
		    insn->is_pair || !source || (source & (source - 1)))
			return false;
		want(t, i, __builtin_ctz(source));
		t->has_spills = any = true;
	}
	return any;
}

/* One way back from where the value of `reg` is wanted: over instruction `i`. */
static bool step_back(struct tracing *t, size_t i, int reg)
{
	const struct ws_insn *insn = &t->body->code.insns[i];
	int64_t disp = 0;
	int frame;

	if (is_call(insn) && (t->abi->caller_saved >> reg & 1))
		return false;
	if (!is_call(insn)) /* which leaves the frame as it was */
		t->changed |= insn->regs_written;
	if (!(insn->regs_written >> reg & 1)) {
		want(t, i, reg);
		return true;
	}
	frame = read_address(t->body, insn, reg, &disp);
	if (is_frame(t, frame))
		return agrees(t, frame, disp);
	return insn->dest_reg == reg && want_stored(t, insn);
}

static bool trace_back(struct tracing *t)
{
	const struct ws_code *code = &t->body->code;

	while (t->count) {
		struct wanted next = t->todo[--t->count];
		const struct ws_insn *insn = &code->insns[next.at];

		if (next.at == 0 || t->body->edges[next.at].outside)
			return false;
		if (!ws_insn_never_goes_on(&code->insns[next.at - 1]) &&
		    !step_back(t, next.at - 1, next.reg))
			return false;
		for (size_t i = 0; insn->is_branch_target && i < code->count; i++) {
			bool leads = (code->insns[i].kind == WS_INSN_JUMP ||
				      code->insns[i].kind == WS_INSN_BRANCH) &&
				     code->insns[i].target == insn->address;

			if (leads && !step_back(t, i, next.reg))
				return false;
		}
	}
	return t->frame >= 0;
}

/* Does something between call and site change the register that the address is relative to? */
static bool is_disturbed(const struct ws_body *body, size_t call, size_t site, int reg)
{
	for (size_t i = call + 1; i < site; i++) {
		if (body->code.insns[i].regs_written >> reg & 1)
			return true;
	}
	return false;
}

/* Is the frame what it is from the beginning of the function to each of its ends? Then a place on
 * the stack is one and the same wherever it is named. */
static bool is_frame_stable(const struct tracing *t)
{
	const struct ws_code *code = &t->body->code;
	bool is_prologue = true;

	for (size_t i = 0; i < code->count; i++) {
		const struct ws_insn *insn = &code->insns[i];
		size_t end = i;

		is_prologue &= !is_call(insn) && insn->kind != WS_INSN_BRANCH &&
			       !ws_insn_never_goes_on(insn);
		if (is_prologue || is_call(insn) || !(insn->regs_written & t->abi->frame))
			continue;
		while (end < code->count && !is_call(&code->insns[end]) &&
		       code->insns[end].kind != WS_INSN_BRANCH &&
		       !ws_insn_never_goes_on(&code->insns[end]))
			end++;
		if (end == code->count || is_call(&code->insns[end]) ||
		    code->insns[end].kind == WS_INSN_BRANCH ||
		    (code->insns[end].kind == WS_INSN_JUMP &&
		     ws_code_index(code, code->insns[end].target) >= 0))
			return false;
	}
	return true;
}

bool ws_site_frame_argument(const struct ws_body *body, size_t call_index, size_t index, int arg,
			    int *reg, int32_t *disp)
{
	struct tracing t = { .body = body,
			     .abi = ws_abi_of(ws_image_arch(body->image)),
			     .frame = -1 };
	const size_t count = body->code.count;
	bool found = false;

	if (!t.abi || arg < 1 || (size_t)arg > t.abi->arg_count || count > FUNCTION_MAX)
		return false;
	t.seen = calloc(count, sizeof(*t.seen));
	t.todo = calloc(count * 32, sizeof(*t.todo));
	if (t.seen && t.todo) {
		want(&t, call_index, t.abi->args[arg - 1]);
		found = trace_back(&t) && !(t.changed >> t.frame & 1) &&
			(!t.has_spills || is_frame_stable(&t)) &&
			!is_disturbed(body, call_index, index, t.frame) &&
			t.disp == (int32_t)t.disp;
	}
	free(t.seen);
	free(t.todo);
	if (found) {
		*reg = t.frame;
		*disp = (int32_t)t.disp;
	}
	return found;
}
