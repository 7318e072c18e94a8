/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ways through a function on which nothing is called. A compiler that splits a function (gcc's
 * -fpartial-inlining) takes such a way out of it, into the callers: what is left, NAME.part.N,
 * looks like NAME but for that.
 */
#include "symbol/recover_parts.h"

#include <stdlib.h>

#define DEPTH_MAX 4

enum { QUICK_UNKNOWN = 0, QUICK_YES, QUICK_NO };

static bool is_quick(const struct ws_scan *scan, const struct ws_code *code, int depth);

static bool callee_is_quick(const struct ws_scan *scan, uint64_t target, int depth)
{
	const struct ws_image_symbol *symbol = ws_image_symbol_at(scan->image, target);
	long f = ws_scan_index(scan, target);
	struct ws_error ignored;
	struct ws_code code;

	if (f < 0 || scan->functions[f].start != target || (symbol && symbol->is_dynamic) ||
	    depth >= DEPTH_MAX)
		return false;
	if (scan->quick[f] != QUICK_UNKNOWN)
		return scan->quick[f] == QUICK_YES;
	scan->quick[f] = QUICK_NO; /* while it is being looked at */
	if (ws_code_decode(scan->image, scan->functions[f], &code, &ignored))
		return false;
	scan->quick[f] = is_quick(scan, &code, depth + 1) ? QUICK_YES : QUICK_NO;
	ws_code_deinit(&code);
	return scan->quick[f] == QUICK_YES;
}

/* Pushes the instruction at an address of the function itself. */
static void go(const struct ws_code *code, uint64_t address, size_t *todo, size_t *count,
	       uint8_t *seen)
{
	long i = ws_code_index(code, address);

	if (i >= 0 && !seen[i]) {
		seen[i] = 1;
		todo[(*count)++] = (size_t)i;
	}
}

static bool walk(const struct ws_scan *scan, const struct ws_code *code, size_t *todo,
		 uint8_t *seen, int depth)
{
	size_t count = 0;

	go(code, code->range.start, todo, &count, seen);
	while (count) {
		const struct ws_insn *insn = &code->insns[todo[--count]];

		switch (insn->kind) {
		case WS_INSN_RETURN:
			return true;
		case WS_INSN_CALL:
			if (!callee_is_quick(scan, insn->target, depth))
				continue;
			break;
		case WS_INSN_JUMP:
			/* A tail call returns as its callee does. */
			if ((insn->target < code->range.start || insn->target >= code->range.end) &&
			    callee_is_quick(scan, insn->target, depth))
				return true;
			go(code, insn->target, todo, &count, seen);
			continue;
		case WS_INSN_BRANCH:
			go(code, insn->target, todo, &count, seen);
			break;
		case WS_INSN_CALL_INDIRECT:
		case WS_INSN_JUMP_INDIRECT:
		case WS_INSN_TRAP:
			continue;
		default:
			break;
		}
		go(code, insn->address + insn->size, todo, &count, seen);
	}
	return false;
}

static bool is_quick(const struct ws_scan *scan, const struct ws_code *code, int depth)
{
	size_t *todo = calloc(code->count + 1, sizeof(*todo));
	uint8_t *seen = calloc(code->count + 1, 1);
	bool quick = todo && seen && walk(scan, code, todo, seen, depth);

	free(todo);
	free(seen);
	return quick;
}

bool ws_scan_is_quick(const struct ws_scan *scan, const struct ws_code *code)
{
	return is_quick(scan, code, 0);
}
