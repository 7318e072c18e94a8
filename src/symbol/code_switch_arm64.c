/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Jump tables of aarch64 code. A table has distances from a label, in instructions:
 *
 *	cmp w0, #0x49			the last entry
 *	b.hi default
 *	adrp x1, ...			the table, among the constants
 *	add x1, x1, ...
 *	ldrh w0, [x1, w0, uxtw #1]
 *	adr x1, label
 *	add x0, x1, w0, sxth #2		clang: add x0, x1, x0, lsl #2
 *	br x0
 *
 * or, where the distances are long, bytes from the table itself (ldrsw, add without shift).
 */
#include "symbol/code_parts.h"

#include <string.h>

#define TABLE_MAX  4096 /* entries, where no comparison tells */
#define TABLES_MAX 1024 /* of one function; a server's have some tens */
#define WALK_MAX   64	/* instructions from a jump back to what prepares it */
#define SCANS_MAX  1024 /* times that a whole function is searched for a branch */

/* One function. */
struct search {
	const struct ws_image *image;
	const struct ws_code *code;
	const struct ws_arm64_op *ops;
	size_t scans;
};

struct table {
	uint64_t address, label;
	uint8_t size; /* bytes of an entry */
	bool is_signed;
	int shift;
	size_t count;
};

static uint32_t word_at(const struct ws_image *image, uint64_t address)
{
	size_t avail;
	const uint8_t *bytes = ws_image_bytes(image, address, &avail);
	uint32_t word = 0;

	if (bytes && avail >= sizeof(word))
		memcpy(&word, bytes, sizeof(word));
	return word;
}

static bool writes(const struct ws_insn *insn, int reg)
{
	return reg >= 0 && insn->regs_written >> reg & 1;
}

/* How the add of label and distance takes the distance: Arm's Architecture Reference Manual, ADD
 * (extended register), ADD (shifted register). */
static bool read_add(uint32_t word, struct table *table)
{
	int option = word >> 13 & 7;

	if ((word & 0xffe00000) == 0x8b200000) { /* sxtb, sxth, sxtw, or the same without sign */
		table->is_signed = option & 4;
		table->shift = word >> 10 & 7;
		return table->shift <= 4;
	}
	if ((word & 0xffe00000) == 0x8b000000) { /* lsl */
		table->shift = word >> 10 & 63;
		table->is_signed = table->size == 4; /* ldrsw */
		return table->shift <= 4;
	}
	return false;
}

/* The instruction before on the way here: the one in front of it, or a branch that leads here if
 * that one does not go on; -1. */
static long predecessor(struct search *s, size_t i)
{
	const struct ws_code *code = s->code;

	if (i > 0 && !ws_insn_never_goes_on(&code->insns[i - 1]))
		return (long)i - 1;
	if (!code->insns[i].is_branch_target || s->scans++ >= SCANS_MAX)
		return -1;
	for (size_t j = 0; j < code->count; j++) {
		const struct ws_insn *insn = &code->insns[j];

		if ((insn->kind == WS_INSN_BRANCH || insn->kind == WS_INSN_JUMP) &&
		    insn->target == code->insns[i].address)
			return (long)j;
	}
	return -1;
}

/* The number of entries, out of the comparison of the index with the last one; 0: not found. */
static size_t count_entries(struct search *s, size_t load, int index)
{
	const struct ws_code *code = s->code;
	long i = (long)load;

	for (int n = 0;
	     i >= 0 && n < WALK_MAX && (i == (long)load || !writes(&code->insns[i], index)); n++) {
		uint32_t word = word_at(s->image, code->insns[i].address);

		/* cmp w, #imm or cmp x, #imm */
		if ((word & 0x7fc0001f) == 0x7100001f && (int)(word >> 5 & 31) == index)
			return (word >> 10 & 0xfff) + 1;
		i = predecessor(s, (size_t)i);
	}
	return 0;
}

/* The load of the distance, if it comes out of a table; -1. */
static long find_load(const struct ws_code *code, const struct ws_arm64_op *ops, size_t add)
{
	for (size_t i = add; i-- > 0 && add - i <= WALK_MAX;) {
		const struct ws_insn *insn = &code->insns[i];

		if (!writes(insn, ops[add].a) && !writes(insn, ops[add].b))
			continue;
		if (insn->access_size && insn->element && insn->access_size <= 4)
			return (long)i;
		if (!insn->reference && ops[i].kind != WS_ARM64_SET)
			return -1;
	}
	return -1;
}

/* The add of label and distance in front of a jump, if it is one by a table; -1. */
static long find_add(const struct ws_code *code, const struct ws_arm64_op *ops, size_t jump)
{
	uint32_t read = code->insns[jump].regs_read;
	int reg = read ? __builtin_ctz(read) : -1;
	size_t add = jump;

	while (add-- > 0 && jump - add <= WALK_MAX && !writes(&code->insns[add], reg))
		continue;
	if (add >= jump || ops[add].kind != WS_ARM64_ADD_REG || !code->insns[add].element)
		return -1;
	return (long)add;
}

static bool find_table(struct search *s, size_t add, struct table *table)
{
	const struct ws_code *code = s->code;
	long load = find_load(code, s->ops, add);

	if (load < 0)
		return false;
	*table = (struct table){ .address = code->insns[load].element,
				 .label = code->insns[add].element,
				 .size = code->insns[load].access_size };
	table->count = count_entries(s, (size_t)load, s->ops[load].b);
	return read_add(word_at(s->image, code->insns[add].address), table);
}

static int64_t read_entry(const uint8_t *bytes, const struct table *table)
{
	uint32_t raw = 0;
	int unused = 64 - 8 * table->size;

	memcpy(&raw, bytes, table->size); /* little-endian, as the image is */
	if (!table->is_signed)
		return raw;
	return (int64_t)((uint64_t)raw << unused) >> unused;
}

static bool mark_table(const struct ws_image *image, struct ws_code *code,
		       const struct table *table)
{
	size_t max = table->count ? table->count : TABLE_MAX, avail;
	const uint8_t *bytes = ws_image_bytes(image, table->address, &avail);
	bool marked = false;

	for (size_t i = 0; bytes && i < max && avail / table->size > i; i++) {
		int64_t distance = read_entry(bytes + i * table->size, table);
		long at = ws_code_index(code, table->label + ((uint64_t)distance << table->shift));

		if (at < 0 && !table->count)
			break;
		if (at < 0 || code->insns[at].is_switch_target)
			continue;
		code->insns[at].is_switch_target = marked = true;
	}
	return marked;
}

/* Does the function say itself where indirect jumps lead (bti j, bti jc)? */
static bool has_pads(const struct ws_image *image, const struct ws_code *code)
{
	for (size_t i = 0; i < code->count; i++) {
		if ((word_at(image, code->insns[i].address) | 0x40) == 0xd50324df)
			return true;
	}
	return false;
}

bool ws_code_mark_switches_arm64(const struct ws_image *image, struct ws_code *code,
				 const struct ws_arm64_op *ops)
{
	struct search s = { image, code, ops, 0 };
	bool marked = false, has_lost = false;
	size_t tables = 0;

	if (has_pads(image, code))
		return false; /* they are marked */
	for (size_t i = 0; i < code->count && !has_lost; i++) {
		struct table table;
		long add =
			code->insns[i].kind == WS_INSN_JUMP_INDIRECT ? find_add(code, ops, i) : -1;

		if (add < 0)
			continue;
		if (tables++ < TABLES_MAX && find_table(&s, (size_t)add, &table))
			marked |= mark_table(image, code, &table);
		else
			has_lost = true;
	}
	/* What is not found, since its address was kept on the stack, may lead anywhere. */
	for (size_t i = 1; has_lost && i < code->count; i++)
		code->insns[i].is_switch_target = true;
	return marked || has_lost;
}
