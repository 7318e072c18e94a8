/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The whole code at a glance, without disassembling it. On x86-64 every position is tried as the
 * 32-bit displacement of a call, jump or address operand. A position that is none of these hits the
 * start of one of some 17,000 functions with a chance of 4e-6; the flags tolerate that, and whoever
 * needs more disassembles the function in question.
 */
#include "symbol/recover_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "symbol/image_parts.h"

struct starts {
	uint64_t low, high; /* of all function starts */
	uint8_t *bits;	    /* one per address */
};

long ws_scan_index(const struct ws_scan *scan, uint64_t address)
{
	const struct ws_range *range = ws_image_function_at(scan->image, address);

	return range ? range - scan->functions : -1;
}

bool ws_scan_is_fragment(const struct ws_scan *scan, size_t function)
{
	uint8_t seen = scan->seen[function];

	if (seen & (WS_SEEN_CALLED | WS_SEEN_TAKEN))
		return false;
	return (seen & WS_SEEN_BRANCHED) ||
	       ws_image_is_part(scan->image, &scan->functions[function]);
}

static void mark(struct ws_scan *scan, const struct starts *starts, uint64_t target, uint8_t how)
{
	uint64_t bit = target - starts->low;
	long i;

	if (target < starts->low || target > starts->high ||
	    !(starts->bits[bit / 8] >> bit % 8 & 1))
		return;
	i = ws_scan_index(scan, target);
	if (i >= 0)
		scan->seen[i] |= how;
}

/* What the bytes before a displacement make of it. 0: none of what is looked for. */
static uint8_t operand_kind(const uint8_t *code, size_t at)
{
	uint8_t last = code[at - 1];

	if (last == 0xe8)
		return WS_SEEN_CALLED;
	if (last == 0xe9)
		return WS_SEEN_JUMPED;
	if (at >= 2 && code[at - 2] == 0x0f && last >= 0x80 && last <= 0x8f)
		return WS_SEEN_BRANCHED;
	/* REX.W lea reg, [rip + displacement] */
	if (at >= 3 && code[at - 2] == 0x8d && (last & 0xc7) == 0x05 &&
	    (code[at - 3] & 0xf8) == 0x48)
		return WS_SEEN_TAKEN;
	return 0;
}

/* mov reg, imm32 or push imm32: in an executable that is no PIE an address may stand there. */
static bool is_immediate(const uint8_t *code, size_t at)
{
	uint8_t last = code[at - 1];

	if ((last & 0xf8) == 0xb8 || last == 0x68)
		return true;
	return at >= 2 && code[at - 2] == 0xc7 && (last & 0xf8) == 0xc0;
}

static void scan_range_x86(struct ws_scan *scan, const struct starts *starts,
			   const struct ws_range *range)
{
	size_t size;
	const uint8_t *code = ws_image_bytes(scan->image, range->start, &size);

	if (!code)
		return;
	if (size > range->end - range->start)
		size = range->end - range->start;
	for (size_t at = 1; at + 4 <= size; at++) {
		uint8_t how = operand_kind(code, at);
		int32_t disp;

		if (!how && !ws_image_is_pie(scan->image) && is_immediate(code, at)) {
			uint32_t address;

			memcpy(&address, code + at, sizeof(address));
			mark(scan, starts, address, WS_SEEN_TAKEN);
		}
		if (!how)
			continue;
		memcpy(&disp, code + at, sizeof(disp));
		mark(scan, starts, range->start + at + 4 + (uint64_t)(int64_t)disp, how);
	}
}

/* The displacement in `bits` bits at `shift` of an instruction word, in units of four bytes. */
static uint64_t branch_target(uint64_t at, uint32_t word, int shift, int bits)
{
	int64_t disp = (int64_t)((uint64_t)word << (64 - shift - bits)) >> (64 - bits);

	return at + (uint64_t)(disp * 4);
}

/* ADRP: the page of an address. ADR: the address. */
static uint64_t adr_target(uint64_t at, uint32_t word)
{
	uint64_t raw = (word >> 3 & 0x1ffffc) | (word >> 29 & 3);
	int64_t disp = (int64_t)(raw << 43) >> 43;

	return word >> 31 ? (at & ~0xfffULL) + ((uint64_t)disp << 12) : at + (uint64_t)disp;
}

/* What an adrp left in a register is added to soon, or not at all. */
#define ADRP_DISTANCE 16 /* instructions */

struct adrp {
	uint64_t at, page;
};

/* Arm's Architecture Reference Manual, C4.1 (A64 instruction set encoding). */
static void scan_word_arm64(struct ws_scan *scan, const struct starts *starts, uint64_t at,
			    uint32_t word, struct adrp registers[32])
{
	const struct adrp *base = &registers[word >> 5 & 31];

	if ((word & 0xfc000000) == 0x94000000) /* bl */
		mark(scan, starts, branch_target(at, word, 0, 26), WS_SEEN_CALLED);
	else if ((word & 0xfc000000) == 0x14000000) /* b */
		mark(scan, starts, branch_target(at, word, 0, 26), WS_SEEN_JUMPED);
	else if ((word & 0xff000010) == 0x54000000 || (word & 0x7e000000) == 0x34000000)
		/* b.cond, cbz, cbnz */
		mark(scan, starts, branch_target(at, word, 5, 19), WS_SEEN_BRANCHED);
	else if ((word & 0x7e000000) == 0x36000000) /* tbz, tbnz */
		mark(scan, starts, branch_target(at, word, 5, 14), WS_SEEN_BRANCHED);
	else if ((word & 0x9f000000) == 0x10000000) /* adr */
		mark(scan, starts, adr_target(at, word), WS_SEEN_TAKEN);
	else if ((word & 0x9f000000) == 0x90000000) /* adrp */
		registers[word & 31] = (struct adrp){ at, adr_target(at, word) };
	else if ((word & 0xffc00000) == 0x91000000 && base->at &&
		 at - base->at <= ADRP_DISTANCE * 4) /* add, 64 bits, immediate */
		mark(scan, starts, base->page + (word >> 10 & 0xfff), WS_SEEN_TAKEN);
}

static void scan_range_arm64(struct ws_scan *scan, const struct starts *starts,
			     const struct ws_range *range)
{
	struct adrp registers[32] = { 0 };
	size_t size;
	const uint8_t *code = ws_image_bytes(scan->image, range->start, &size);

	if (!code)
		return;
	if (size > range->end - range->start)
		size = range->end - range->start;
	for (size_t at = 0; at + 4 <= size; at += 4) {
		uint32_t word;

		memcpy(&word, code + at, sizeof(word));
		scan_word_arm64(scan, starts, range->start + at, word, registers);
	}
}

/* Tables of functions. */
static void scan_slots(struct ws_scan *scan, const struct starts *starts)
{
	size_t count;
	const struct ws_image_slot_value *slots = ws_image_slot_values(scan->image, &count);

	for (size_t i = 0; i < count; i++)
		mark(scan, starts, slots[i].value, WS_SEEN_TAKEN);
}

/* The same in an executable that is no PIE: nothing tells a pointer from a number but its value. */
static void scan_words(struct ws_scan *scan, const struct starts *starts)
{
	for (size_t i = 0; i < scan->image->segment_count; i++) {
		const struct image_segment *seg = &scan->image->segments[i];

		if (seg->is_exec)
			continue;
		for (uint64_t at = -seg->vaddr & 7; at + 8 <= seg->file_size; at += 8) {
			uint64_t word;

			memcpy(&word, seg->bytes + at, sizeof(word));
			mark(scan, starts, word, WS_SEEN_TAKEN);
		}
	}
}

static void scan_symbols(struct ws_scan *scan, const struct starts *starts)
{
	size_t count;
	const struct ws_image_symbol *symbols = ws_image_symbols(scan->image, &count);

	for (size_t i = 0; i < count; i++) {
		if (symbols[i].is_function && symbols[i].is_dynamic)
			mark(scan, starts, symbols[i].address, WS_SEEN_TAKEN);
	}
}

static bool starts_init(struct starts *starts, const struct ws_range *functions, size_t count)
{
	starts->low = functions[0].start;
	starts->high = functions[count - 1].start;
	starts->bits = calloc(1, (starts->high - starts->low) / 8 + 1);
	if (!starts->bits)
		return false;
	for (size_t i = 0; i < count; i++) {
		uint64_t bit = functions[i].start - starts->low;

		starts->bits[bit / 8] |= (uint8_t)(1 << bit % 8);
	}
	return true;
}

int ws_scan_init(struct ws_scan *scan, const struct ws_image *image, struct ws_error *err)
{
	const struct ws_range *code;
	struct starts starts;
	size_t code_count;

	*scan = (struct ws_scan){ .image = image };
	scan->functions = ws_image_functions(image, &scan->count);
	scan->seen = calloc(scan->count + 1, 1);
	scan->quick = calloc(scan->count + 1, 1);
	if (!scan->seen || !scan->quick ||
	    (scan->count && !starts_init(&starts, scan->functions, scan->count))) {
		ws_scan_deinit(scan);
		return ws_error_errno(err, ENOMEM, "cannot scan the code", ws_image_path(image));
	}
	if (!scan->count)
		return 0;
	code = ws_image_code_ranges(image, &code_count);
	for (size_t i = 0; i < code_count; i++) {
		if (ws_image_arch(image) == WS_ARCH_AARCH64)
			scan_range_arm64(scan, &starts, &code[i]);
		else
			scan_range_x86(scan, &starts, &code[i]);
	}
	scan_slots(scan, &starts);
	if (!ws_image_is_pie(image))
		scan_words(scan, &starts);
	scan_symbols(scan, &starts);
	free(starts.bits);
	return 0;
}

void ws_scan_deinit(struct ws_scan *scan)
{
	free(scan->seen);
	free(scan->quick);
	scan->seen = scan->quick = NULL;
}
