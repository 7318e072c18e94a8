/* SPDX-License-Identifier: BSD-2-Clause */
#include "probe/body.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

static const char what[] = "cannot find sites";

/* A walsender function has fewer cold parts and tail calls; more is a file made to exhaust us. */
#define FUNCTION_BYTES (1024 * 1024)
#define FRAGMENTS_MAX  64
#define FRAGMENT_BYTES (256 * 1024)
#define JUMP_TABLE_MAX 4096

bool ws_body_is_entered(const struct ws_body *body, size_t i)
{
	return body->edges[i].branches || body->edges[i].outside;
}

static bool is_branch(const struct ws_insn *insn)
{
	return insn->kind == WS_INSN_JUMP || insn->kind == WS_INSN_BRANCH;
}

static bool is_inside(const struct ws_code *code, uint64_t address)
{
	return address >= code->range.start && address < code->range.end;
}

/* A jump from elsewhere to the start is a tail call: as good as a call. */
static void mark_outside(struct ws_body *body, uint64_t target)
{
	long at = ws_code_index(&body->code, target);

	if (at > 0)
		body->edges[at].outside = true;
}

/* Of what this function jumps to outside itself, the part that jumps back belongs to it. */
static int mark_fragment(struct ws_body *body, struct ws_range range, struct ws_error *err)
{
	struct ws_code code;

	if (range.end - range.start > FRAGMENT_BYTES)
		return 0;
	if (ws_code_decode(body->image, range, &code, err))
		return -1;
	for (size_t i = 0; i < code.count; i++) {
		if (is_branch(&code.insns[i]))
			mark_outside(body, code.insns[i].target);
	}
	ws_code_deinit(&code);
	return 0;
}

static int mark_fragments(struct ws_body *body, struct ws_error *err)
{
	uint64_t seen[FRAGMENTS_MAX];
	size_t count = 0;

	for (size_t i = 0; i < body->code.count; i++) {
		const struct ws_insn *insn = &body->code.insns[i];
		const struct ws_range *range;
		size_t j = 0;

		if (!is_branch(insn) || is_inside(&body->code, insn->target))
			continue;
		range = ws_image_function_at(body->image, insn->target);
		if (!range)
			continue;
		while (j < count && seen[j] != range->start)
			j++;
		if (j < count)
			continue;
		if (count == FRAGMENTS_MAX)
			return ws_error_set(err, what, ws_image_path(body->image),
					    "0x%" PRIx64 " jumps into too many other functions",
					    body->code.range.start);
		seen[count++] = range->start;
		if (mark_fragment(body, *range, err))
			return -1;
	}
	return 0;
}

/*
 * x86-64 compilers make a switch a table of 32-bit distances from the table itself, whose address a
 * lea gives. What is no table ends at its first entry, as a rule; taking too much for a table only
 * makes the planner more careful.
 */
static void mark_jump_table(struct ws_body *body, uint64_t table)
{
	size_t avail;
	const uint8_t *bytes = ws_image_bytes(body->image, table, &avail);

	if (!bytes || ws_image_is_code(body->image, table))
		return;
	for (size_t i = 0; i < JUMP_TABLE_MAX && avail >= sizeof(int32_t); i++) {
		int32_t distance;

		memcpy(&distance, bytes, sizeof(distance));
		if (!is_inside(&body->code, table + (uint64_t)(int64_t)distance))
			return;
		mark_outside(body, table + (uint64_t)(int64_t)distance);
		bytes += sizeof(distance);
		avail -= sizeof(distance);
	}
}

static void mark_jump_tables(struct ws_body *body)
{
	const struct ws_code *code = &body->code;
	bool has_switch = false;

	for (size_t i = 0; i < code->count; i++)
		has_switch |= code->insns[i].kind == WS_INSN_JUMP_INDIRECT;
	for (size_t i = 0; has_switch && i < code->count; i++) {
		const struct ws_insn *insn = &code->insns[i];

		if (insn->reference && !insn->access_size && insn->kind == WS_INSN_OTHER)
			mark_jump_table(body, insn->reference);
	}
}

static void mark_own_branches(struct ws_body *body)
{
	for (size_t i = 0; i < body->code.count; i++) {
		const struct ws_insn *insn = &body->code.insns[i];
		long at = is_branch(insn) ? ws_code_index(&body->code, insn->target) : -1;

		if (at >= 0 && body->edges[at].branches < UINT16_MAX)
			body->edges[at].branches++;
		body->edges[i].outside |= insn->is_switch_target;
	}
}

static int check_complete(const struct ws_body *body, struct ws_error *err)
{
	const struct ws_code *code = &body->code;
	uint64_t end = code->range.start;

	if (code->count)
		end = code->insns[code->count - 1].address + code->insns[code->count - 1].size;
	if (end != code->range.end)
		return ws_error_set(err, what, ws_image_path(body->image),
				    "cannot disassemble it beyond 0x%" PRIx64, end);
	for (size_t i = 0; i < code->count; i++) {
		const struct ws_insn *insn = &code->insns[i];

		if (is_branch(insn) && is_inside(code, insn->target) &&
		    ws_code_index(code, insn->target) < 0)
			return ws_error_set(err, what, ws_image_path(body->image),
					    "the branch at 0x%" PRIx64
					    " lands inside an instruction",
					    insn->address);
	}
	return 0;
}

int ws_body_load(const struct ws_image *image, uint64_t address, uint64_t size,
		 struct ws_body *body, struct ws_error *err)
{
	const struct ws_range *found = ws_image_function_at(image, address);
	struct ws_range range = { address, address + size };

	*body = (struct ws_body){ .image = image };
	if (found && found->start == address)
		range = *found;
	else if (!size || range.end < range.start)
		return ws_error_set(err, what, ws_image_path(image),
				    "no function is known to start at 0x%" PRIx64, address);
	if (range.end - range.start > FUNCTION_BYTES)
		return ws_error_set(err, what, ws_image_path(image),
				    "the function at 0x%" PRIx64 " is too large to be one",
				    address);
	if (ws_code_decode(image, range, &body->code, err))
		return -1;
	if (check_complete(body, err))
		goto fail;
	body->edges = calloc(body->code.count, sizeof(*body->edges));
	if (!body->edges) {
		ws_error_errno(err, ENOMEM, what, ws_image_path(image));
		goto fail;
	}
	mark_own_branches(body);
	mark_jump_tables(body);
	if (mark_fragments(body, err))
		goto fail;
	return 0;
fail:
	ws_body_deinit(body);
	return -1;
}

void ws_body_deinit(struct ws_body *body)
{
	ws_code_deinit(&body->code);
	free(body->edges);
	body->edges = NULL;
}
