/* SPDX-License-Identifier: BSD-2-Clause */
#include "probe/site.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "probe/abi.h"

/* The search for one row. */
struct search {
	const struct ws_body *body;
	const struct ws_site_query *query;
	const struct ws_abi *abi;
	struct ws_site_choice *choice;
};

__attribute__((format(printf, 2, 3))) static bool refuse(const struct search *s, const char *fmt,
							 ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(s->choice->reason, sizeof(s->choice->reason), fmt, ap);
	va_end(ap);
	return false;
}

static uint32_t wanted_args(const struct search *s)
{
	uint32_t mask = 0;

	for (size_t i = 0; i < s->abi->arg_count; i++) {
		if (s->query->probe->args >> i & 1)
			mask |= 1U << s->abi->args[i];
	}
	return mask;
}

static bool is_call(const struct ws_insn *insn)
{
	return insn->kind == WS_INSN_CALL || insn->kind == WS_INSN_CALL_INDIRECT;
}

static bool ends_block(const struct ws_insn *insn)
{
	return ws_insn_never_goes_on(insn) || is_call(insn) || insn->kind == WS_INSN_BRANCH;
}

/*
 * Behind a store to the server's own memory a site would no longer see what the entry saw
 * (WalSndSetState reads the state and then changes it). What cannot be told from a store is taken
 * for one.
 */
static bool may_store(const struct search *s, const struct ws_insn *insn)
{
	if (!insn->access_size)
		return false;
	if (insn->reference)
		return insn->writes_reference || !insn->reads_reference;
	if (insn->memory_reg >= 0 && (s->abi->frame >> insn->memory_reg & 1))
		return false;
	return insn->dest_reg < 0;
}

static bool is_free(const struct search *s, const struct ws_insn *insn)
{
	return !s->query->is_taken || !s->query->is_taken(s->query->arg, insn->address);
}

static bool choose(const struct search *s, size_t i)
{
	s->choice->index = i;
	s->choice->cost = s->body->code.insns[i].cost;
	return true;
}

/* In the block that begins at `first`, the registers of `written` being changed. */
static bool choose_in_block(const struct search *s, size_t first, uint32_t written)
{
	const struct ws_code *code = &s->body->code;
	const uint32_t wanted = wanted_args(s);

	for (size_t i = first; i < code->count; i++) {
		const struct ws_insn *insn = &code->insns[i];

		if ((i > first && ws_body_is_entered(s->body, i)) || (written & wanted))
			break;
		if (insn->cost == WS_COST_EMULATED && is_free(s, insn))
			return choose(s, i);
		if (ends_block(insn) || may_store(s, insn))
			break;
		written |= insn->regs_written;
	}
	return false;
}

static bool is_test(const struct ws_insn *insn, uint64_t variable)
{
	return insn->reference == variable && insn->reads_reference && !insn->writes_reference;
}

/* Where control comes from that one branch, or from the instruction before, alone. */
static bool is_own_block(const struct search *s, long i, bool behind)
{
	if (i <= 0 || i >= (long)s->body->code.count)
		return false;
	if (behind)
		return !ws_body_is_entered(s->body, (size_t)i);
	return !s->body->edges[i].outside && s->body->edges[i].branches == 1 &&
	       ws_insn_never_goes_on(&s->body->code.insns[i - 1]);
}

/* `if (guard) { ... }` is the whole function: of the two ways on from the test the one that does
 * not return at once. */
static bool find_guarded(const struct search *s)
{
	const struct ws_code *code = &s->body->code;
	uint32_t written = 0;
	bool tested = false;
	size_t i;
	long ways[2];

	for (i = 0; i < code->count && code->insns[i].kind != WS_INSN_BRANCH; i++) {
		const struct ws_insn *insn = &code->insns[i];

		if (ws_body_is_entered(s->body, i) || ends_block(insn) || may_store(s, insn))
			break;
		tested = tested || is_test(insn, s->query->guard);
		written |= insn->regs_written;
	}
	if (i == code->count || code->insns[i].kind != WS_INSN_BRANCH || !tested)
		return refuse(s, "%s does not begin with a test of %s", s->query->probe->stand_in,
			      s->query->probe->guard);
	ways[0] = (long)i + 1;
	ways[1] = ws_code_index(code, code->insns[i].target);
	for (int way = 0; way < 2; way++) {
		long other = ways[!way];

		if (other < 0 || other >= (long)code->count ||
		    code->insns[other].kind != WS_INSN_RETURN ||
		    !is_own_block(s, ways[way], way == 0))
			continue;
		if (choose_in_block(s, (size_t)ways[way], written))
			return true;
	}
	return refuse(s, "no instruction that the kernel emulates behind the test of %s in %s",
		      s->query->probe->guard, s->query->probe->stand_in);
}

static bool find_entry(const struct search *s)
{
	const struct ws_code *code = &s->body->code;

	if (s->query->guard)
		return find_guarded(s);
	if (ws_body_is_entered(s->body, 0))
		return refuse(s, "%s branches back to its first instruction",
			      s->query->probe->function);
	if (choose_in_block(s, 0, 0))
		return true;
	if (!is_free(s, &code->insns[0]))
		return refuse(s, "another site has the only instruction there is for it");
	if (code->insns[0].cost == WS_COST_NOP5)
		return refuse(
			s, "only a 5-byte nop to plant at, which kernels from 6.18 on get wrong");
	refuse(s, "single-stepped: the kernel emulates no instruction of the entry block");
	return choose(s, 0);
}

/* What a function does last may be a jump to the callee, with its arguments as for a call. Nothing
 * is behind it. */
static bool is_tail_call(const struct search *s, const struct ws_insn *insn)
{
	return insn->kind == WS_INSN_JUMP && s->query->probe->kind == WS_SITE_CALL;
}

/* Is this a call of the row's callee? `slots` marks the calls through the table, if it is one of
 * those. */
static bool is_wanted_call(const struct search *s, size_t i, const bool *slots)
{
	const struct ws_insn *insn = &s->body->code.insns[i];
	const struct ws_image *image = s->body->image;
	const char *import = NULL;

	if (s->query->table)
		return slots[i];
	if (s->query->callee && insn->target == s->query->callee &&
	    (insn->kind == WS_INSN_CALL || is_tail_call(s, insn)))
		return true;
	if (insn->kind == WS_INSN_CALL)
		import = ws_image_plt_name(image, insn->target);
	else if (insn->kind == WS_INSN_CALL_INDIRECT && insn->reference)
		import = ws_image_slot_import(image, insn->reference);
	return import && strcmp(import, s->query->probe->callee) == 0;
}

/* Straight behind a call through a register or a local variable: `send_data()`. */
static bool is_behind_pointer(const struct search *s, size_t i, const bool *slots)
{
	const struct ws_insn *insns = s->body->code.insns;

	while (i-- > 0) {
		const struct ws_insn *insn = &insns[i];

		if (insn->kind == WS_INSN_CALL_INDIRECT)
			return !slots[i] &&
			       (insn->memory_reg < 0 || (s->abi->frame >> insn->memory_reg & 1));
		if (ends_block(insn))
			return false;
	}
	return false;
}

/*
 * The first call from instruction `i` on, if nothing but `edges` branches leads to `i` and nothing
 * at all to what follows.
 */
static long first_call(const struct search *s, long i, unsigned int edges)
{
	const struct ws_code *code = &s->body->code;

	if (i < 0 || i >= (long)code->count || s->body->edges[i].outside ||
	    s->body->edges[i].branches != edges)
		return -1;
	for (; i < (long)code->count; i++) {
		const struct ws_insn *insn = &code->insns[i];

		if (is_call(insn))
			return i;
		if (ends_block(insn) ||
		    (i + 1 < (long)code->count && ws_body_is_entered(s->body, (size_t)i + 1)))
			return -1;
	}
	return -1;
}

/* Index of the branch on the result of the only call of `callee`, -1 if there is no such. */
static long find_condition(const struct search *s, uint64_t callee)
{
	const struct ws_code *code = &s->body->code;
	long call = -1;

	for (size_t i = 0; i < code->count; i++) {
		if (code->insns[i].kind != WS_INSN_CALL || code->insns[i].target != callee)
			continue;
		if (call >= 0)
			return -1;
		call = (long)i;
	}
	for (long i = call + 1; call >= 0 && i < (long)code->count; i++) {
		if (ws_body_is_entered(s->body, (size_t)i))
			return -1;
		if (code->insns[i].kind == WS_INSN_BRANCH)
			return i;
		if (ends_block(&code->insns[i]))
			return -1;
	}
	return -1;
}

/* Is the wanted call at the end of this way all the same, which others take as well? */
static bool is_shared_call(const struct search *s, long i, const bool *wanted)
{
	long call = -1;

	if (i >= 0 && i < (long)s->body->code.count)
		call = first_call(s, i, s->body->edges[i].branches);
	return call >= 0 && wanted[call];
}

/* PostgresMain calls exec_simple_query for walsenders and for all others, and nothing else in just
 * two places of which one is the first call behind that branch (postgres.c, 10 to 18). */
static bool is_called_twice(const struct search *s, long call)
{
	const struct ws_code *code = &s->body->code;
	size_t count = 0;

	if (code->insns[call].kind != WS_INSN_CALL)
		return false;
	for (size_t i = 0; i < code->count; i++)
		count += code->insns[i].kind == WS_INSN_CALL &&
			 code->insns[i].target == code->insns[call].target;
	return count == 2;
}

/*
 * `if (!exec_replication_command(query_string)) exec_simple_query(query_string); else ...`: one of
 * the two ways on from the branch leads to a block of its own whose first call is the wanted one.
 */
static bool pick_behind_false(const struct search *s, bool *wanted)
{
	const struct ws_code *code = &s->body->code;
	long branch = s->query->condition ? find_condition(s, s->query->condition) : -1;
	bool is_shared = false;
	long ways[2], found = -1;

	if (branch < 0)
		return refuse(s, "no branch on the result of %s", s->query->probe->condition);
	ways[0] = branch + 1;
	ways[1] = ws_code_index(code, code->insns[branch].target);
	for (int i = 0; i < 2; i++) {
		long call = first_call(s, ways[i], (unsigned int)i);

		is_shared |= call < 0 && is_shared_call(s, ways[i], wanted);
		if (call < 0 || !(s->query->callee ? wanted[call] : is_called_twice(s, call)))
			continue;
		if (found >= 0)
			return refuse(s, "both ways on from %s call %s", s->query->probe->condition,
				      s->query->probe->callee);
		found = call;
	}
	if (found < 0 && is_shared)
		return refuse(s, "its call of %s serves backends that are no walsenders, too",
			      s->query->probe->callee);
	if (found < 0)
		return refuse(s, "no block of its own calls %s when %s returned false",
			      s->query->probe->callee, s->query->probe->condition);
	s->choice->call_index = (size_t)found;
	return true;
}

/* Of the marked calls, the one the row means. */
static bool pick_call(const struct search *s, bool *wanted)
{
	const struct ws_probe *probe = s->query->probe;
	size_t count = 0;

	if (probe->pick == WS_PICK_BEHIND_FALSE)
		return pick_behind_false(s, wanted);
	for (size_t i = 0; i < s->body->code.count; i++) {
		if (!wanted[i])
			continue;
		if (probe->pick == WS_PICK_BEHIND_POINTER && !is_behind_pointer(s, i, wanted))
			continue;
		s->choice->call_index = i;
		count++;
		if (probe->pick == WS_PICK_FIRST ||
		    (probe->pick == WS_PICK_NTH && count == probe->nth))
			break;
	}
	if (probe->pick == WS_PICK_NTH && count) {
		s->choice->no_copy = count < probe->nth;
		return !s->choice->no_copy ||
		       refuse(s, "there are but %zu calls of %s in it", count, probe->callee);
	}
	if (probe->pick == WS_PICK_COPY && count < 2) {
		s->choice->no_copy = true;
		return refuse(s, "there is no second call of %s in it", probe->callee);
	}
	if (count == 1 || (probe->pick == WS_PICK_COPY && count == 2))
		return true;
	if (count == 0)
		return refuse(s, "no call of %s in it", probe->callee);
	return refuse(s, "%zu calls of %s in it, and no way to tell them apart", count,
		      probe->callee);
}

static bool find_call(const struct search *s)
{
	const struct ws_code *code = &s->body->code;
	const struct ws_site_query *q = s->query;
	bool *wanted = calloc(code->count, sizeof(*wanted));
	bool found = wanted != NULL;

	if (!wanted)
		return refuse(s, "out of memory");
	if (q->table &&
	    !ws_body_slot_calls(s->body, q->table, q->slot, s->abi->caller_saved, wanted))
		found = refuse(s, "out of memory");
	for (size_t i = 0; found && i < code->count; i++)
		wanted[i] = is_wanted_call(s, i, wanted);
	found = found && pick_call(s, wanted);
	free(wanted);
	return found;
}

static bool at_call(const struct search *s)
{
	const struct ws_insn *insn = &s->body->code.insns[s->choice->call_index];

	if (!is_free(s, insn))
		return refuse(s, "another site has the call at 0x%" PRIx64, insn->address);
	if (insn->cost != WS_COST_EMULATED)
		refuse(s, "single-stepped: the kernel does not emulate this kind of call");
	return choose(s, s->choice->call_index);
}

static bool after_call(const struct search *s)
{
	const struct ws_code *code = &s->body->code;
	const uint64_t call = code->insns[s->choice->call_index].address;
	uint32_t wanted = s->query->probe->wants_result ? 1U << s->abi->result : 0;

	for (size_t i = s->choice->call_index + 1; i < code->count; i++) {
		const struct ws_insn *insn = &code->insns[i];

		if (ws_body_is_entered(s->body, i) && !s->query->probe->may_join)
			return refuse(s,
				      "other paths join at 0x%" PRIx64
				      ", before an instruction behind "
				      "the call at 0x%" PRIx64 " that the kernel emulates",
				      insn->address, call);
		if (insn->cost == WS_COST_EMULATED && is_free(s, insn))
			return choose(s, i);
		if (ends_block(insn))
			break;
		if (insn->regs_written & wanted)
			return refuse(s,
				      "the result is gone before an instruction behind the call at "
				      "0x%" PRIx64 " that the kernel emulates",
				      call);
	}
	return refuse(s, "no instruction behind the call at 0x%" PRIx64 " that the kernel emulates",
		      call);
}

bool ws_site_find(const struct ws_body *body, const struct ws_site_query *query,
		  struct ws_site_choice *choice)
{
	struct search s = { body, query, ws_abi_of(ws_image_arch(body->image)), choice };

	*choice = (struct ws_site_choice){ 0 };
	if (!s.abi || !body->code.count)
		return refuse(&s, "unknown processor");
	switch (query->probe->kind) {
	case WS_SITE_ENTRY:
		return find_entry(&s);
	case WS_SITE_CALL:
		return (find_call(&s) && at_call(&s)) || (query->probe->or_entry && find_entry(&s));
	case WS_SITE_AFTER_CALL:
		return find_call(&s) && after_call(&s);
	default:
		return refuse(&s, "unknown kind of site");
	}
}
