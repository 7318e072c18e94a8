/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which addresses an aarch64 function's registers hold: what is the same on all paths to an
 * instruction. What jump tables lead to is not known at first: every indirect jump may lead to
 * every place that nothing else leads to.
 */
#include "symbol/code_parts.h"

#include <stdlib.h>
#include <string.h>

#define CALL_CLOBBERED 0x4007ffffU /* x0 to x18 and the link register, AAPCS64 */

/* States are large: a function with more branch targets than any of a server has gets none. */
#define HEADS_MAX 32768

/* Sets only shrink, so it ends; real functions take less than ten passes. */
#define PASSES_MAX 30

struct state {
	uint64_t address[32];
	uint32_t known;	  /* bit n: register n holds address[n] ... */
	uint32_t element; /* ... plus something that is not known */
	bool is_reached;
};

struct flow {
	struct ws_code *code;
	const struct ws_arm64_op *ops;
	uint32_t *heads;      /* per instruction: number + 1 of the state in `in`, 0: none */
	struct state *in;     /* where paths meet */
	struct state at_jump; /* what holds at all indirect jumps */
	size_t head_count;
	bool has_jumps, has_changed;
};

static bool is_known(const struct state *state, int reg)
{
	return reg >= 0 && state->known >> reg & 1;
}

static bool is_element(const struct state *state, int reg)
{
	return state->element >> reg & 1;
}

/* Of two registers that are added, the one that holds an address while the other does not; -1. */
static int base_of(const struct state *state, const struct ws_arm64_op *op)
{
	if (is_known(state, op->a) == is_known(state, op->b))
		return -1;
	return is_known(state, op->a) ? op->a : op->b;
}

/* What the instruction's result is, from the state before it. False: nothing known. */
static bool result_of(const struct state *state, const struct ws_arm64_op *op, uint64_t *address,
		      bool *element)
{
	int base = op->kind == WS_ARM64_ADD_REG ? base_of(state, op) : op->a;

	*element = false;
	switch (op->kind) {
	case WS_ARM64_SET:
		*address = (uint64_t)op->value;
		return true;
	case WS_ARM64_ADD:
	case WS_ARM64_MOVE:
	case WS_ARM64_ADD_REG:
		if (!is_known(state, base))
			return false;
		*address = state->address[base] + (uint64_t)op->value;
		*element = op->kind == WS_ARM64_ADD_REG || is_element(state, base);
		return true;
	default:
		return false;
	}
}

static void step(struct state *state, const struct ws_insn *insn, const struct ws_arm64_op *op)
{
	uint64_t address = 0;
	bool element, known = op->dest >= 0 && result_of(state, op, &address, &element);

	state->known &= ~insn->regs_written;
	if (insn->kind == WS_INSN_CALL || insn->kind == WS_INSN_CALL_INDIRECT)
		state->known &= ~CALL_CLOBBERED;
	if (known) {
		state->address[op->dest] = address;
		state->known |= 1U << op->dest;
		state->element &= ~(1U << op->dest);
		state->element |= (uint32_t)element << op->dest;
	}
	state->element &= state->known;
}

static bool meet(struct state *into, const struct state *from)
{
	uint32_t kept = into->known & from->known & ~(into->element ^ from->element);

	if (!into->is_reached) {
		*into = *from;
		return true;
	}
	for (int i = 0; i < 32; i++) {
		if (kept >> i & 1 && into->address[i] != from->address[i])
			kept &= ~(1U << i);
	}
	if (kept == into->known)
		return false;
	into->known = kept;
	into->element &= kept;
	return true;
}

static void meet_at(struct flow *f, long i, const struct state *state)
{
	if (i >= 0 && f->heads[i])
		f->has_changed |= meet(&f->in[f->heads[i] - 1], state);
}

/* Does nothing that is known lead here? */
static bool is_orphan(const struct ws_code *code, size_t i)
{
	return i > 0 && !code->insns[i].is_branch_target &&
	       ws_insn_never_goes_on(&code->insns[i - 1]);
}

static bool is_head(const struct ws_code *code, size_t i)
{
	return i == 0 || code->insns[i].is_branch_target || code->insns[i].is_switch_target ||
	       is_orphan(code, i);
}

/* The state in front of an instruction: that of the paths that meet there, else of the one before
 * it. */
static void enter(struct flow *f, size_t i, struct state *state)
{
	if (!f->heads[i]) {
		if (is_head(f->code, i))
			*state = (struct state){ .is_reached = true };
		return;
	}
	if (state->is_reached)
		meet_at(f, (long)i, state);
	if (f->has_jumps && f->at_jump.is_reached &&
	    (f->code->insns[i].is_switch_target || is_orphan(f->code, i)))
		meet_at(f, (long)i, &f->at_jump);
	*state = f->in[f->heads[i] - 1];
}

static void pass(struct flow *f)
{
	struct state state = { .is_reached = true };
	const struct ws_code *code = f->code;

	f->has_changed = false;
	for (size_t i = 0; i < code->count; i++) {
		const struct ws_insn *insn = &code->insns[i];

		enter(f, i, &state);
		if (!state.is_reached)
			continue;
		step(&state, insn, &f->ops[i]);
		if (insn->kind == WS_INSN_JUMP || insn->kind == WS_INSN_BRANCH)
			meet_at(f, ws_code_index(code, insn->target), &state);
		if (insn->kind == WS_INSN_JUMP_INDIRECT)
			f->has_changed |= meet(&f->at_jump, &state);
		if (ws_insn_never_goes_on(insn))
			state.is_reached = false;
	}
}

static void note_access(struct ws_insn *insn, const struct ws_arm64_op *op,
			const struct state *state)
{
	int base = insn->base_memory ? op->a : base_of(state, op);

	if (!is_known(state, base))
		return;
	if (!insn->base_memory || is_element(state, base)) {
		insn->element = state->address[base] + (uint64_t)op->value;
		return;
	}
	insn->reference = state->address[base] + (uint64_t)op->value;
	insn->writes_reference = op->is_store;
	insn->reads_reference = !op->is_store;
}

/* An address, or the beginning of an array in which it lies. */
static void note_result(struct ws_insn *insn, const struct ws_arm64_op *op,
			const struct state *state)
{
	uint64_t address;
	bool element;

	if (!result_of(state, op, &address, &element))
		return;
	if (op->kind == WS_ARM64_ADD_REG)
		insn->element = address;
	else if (op->is_whole && !element)
		insn->reference = address;
}

static void note(struct flow *f)
{
	struct state state = { .is_reached = true };

	for (size_t i = 0; i < f->code->count; i++) {
		struct ws_insn *insn = &f->code->insns[i];

		insn->reference = insn->element = 0;
		insn->reads_reference = insn->writes_reference = false;
		enter(f, i, &state);
		if (!state.is_reached) /* no path leads here that is known */
			state = (struct state){ .is_reached = true };
		if (f->ops[i].kind == WS_ARM64_ACCESS)
			note_access(insn, &f->ops[i], &state);
		else
			note_result(insn, &f->ops[i], &state);
		step(&state, insn, &f->ops[i]);
		if (ws_insn_never_goes_on(insn))
			state.is_reached = false;
	}
}

/* False: no memory. */
static bool find_heads(struct flow *f)
{
	const struct ws_code *code = f->code;

	f->head_count = 0;
	f->has_jumps = false;
	f->at_jump = (struct state){ 0 };
	for (size_t i = 0; i < code->count; i++) {
		f->heads[i] = 0;
		f->has_jumps |= code->insns[i].kind == WS_INSN_JUMP_INDIRECT;
		if (is_head(code, i))
			f->heads[i] = (uint32_t)++f->head_count;
	}
	if (f->head_count > HEADS_MAX) {
		memset(f->heads, 0, code->count * sizeof(*f->heads));
		return true;
	}
	free(f->in);
	f->in = calloc(f->head_count + 1, sizeof(*f->in));
	return f->in;
}

static bool follow(struct flow *f)
{
	if (!find_heads(f))
		return false;
	f->has_changed = true;
	for (int n = 0; f->has_changed && n < PASSES_MAX; n++)
		pass(f);
	if (f->has_changed) /* then nothing holds for sure */
		memset(f->heads, 0, f->code->count * sizeof(*f->heads));
	note(f);
	return true;
}

int ws_code_follow_arm64(const struct ws_image *image, struct ws_code *code,
			 const struct ws_arm64_op *ops)
{
	struct flow f = { .code = code, .ops = ops };
	bool ok;

	if (!code->count)
		return 0;
	f.heads = calloc(code->count, sizeof(*f.heads));
	ok = f.heads && follow(&f);
	if (ok && f.has_jumps && ws_code_mark_switches_arm64(image, code, ops))
		ok = follow(&f);
	free(f.heads);
	free(f.in);
	return ok ? 0 : -1;
}
