/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which instructions the kernel emulates under a uprobe. Where kernels differ, the answer is that
 * of the one which emulates least: a site called emulated here is emulated from 5.10 on.
 */
#include "symbol/code.h"

#include <string.h>

/* Legacy prefixes and REX, in the groups the kernel treats alike. */
static bool is_bad_prefix(uint8_t b)
{
	/* is_prefix_bad(): es, cs, ss, ds and lock: the kernel refuses the probe altogether. */
	return b == 0x26 || b == 0x2e || b == 0x36 || b == 0x3e || b == 0xf0;
}

static bool is_other_prefix(uint8_t b)
{
	return b == 0xf2 || b == 0xf3 || b == 0x64 || b == 0x65 || b == 0x66 || b == 0x67;
}

/* branch_setup_xol_ops() looks at the opcode behind the prefixes. */
static bool is_emulated_branch(const uint8_t *op, size_t left)
{
	switch (op[0]) {
	case 0xe8:
	case 0xe9:
		return left >= 5;
	case 0xeb:
		return left >= 2;
	case 0x0f:
		return left >= 6 && op[1] >= 0x80 && op[1] <= 0x8f;
	default:
		return left >= 2 && op[0] >= 0x70 && op[0] <= 0x7f;
	}
}

static enum ws_cost cost_x86(const uint8_t *bytes, size_t size)
{
	static const uint8_t nop5[] = { 0x0f, 0x1f, 0x44, 0x00, 0x00 };
	size_t at = 0;

	if (size >= sizeof(nop5) && memcmp(bytes, nop5, sizeof(nop5)) == 0)
		return WS_COST_NOP5;
	if (size == 0)
		return WS_COST_STEPPED;
	/* push_setup_xol_ops(): one byte, or REX.B (0x41) before it and nothing else. */
	if (bytes[0] >= 0x50 && bytes[0] <= 0x57)
		return WS_COST_EMULATED;
	if (size >= 2 && bytes[0] == 0x41 && bytes[1] >= 0x50 && bytes[1] <= 0x57)
		return WS_COST_EMULATED;
	/* With a prefix it is pause, xchg %r8 or (refused by older kernels) xchg %ax,%ax. */
	if (bytes[0] == 0x90)
		return WS_COST_EMULATED;
	while (at < size && (is_bad_prefix(bytes[at]) || is_other_prefix(bytes[at]))) {
		/* 0x66: processors disagree on what it does to a branch, the kernel refuses. */
		if (is_bad_prefix(bytes[at]) || bytes[at] == 0x66)
			return WS_COST_STEPPED;
		at++;
	}
	if (at < size && bytes[at] >= 0x40 && bytes[at] <= 0x4f)
		at++;
	if (at < size && is_emulated_branch(bytes + at, size - at))
		return WS_COST_EMULATED;
	return WS_COST_STEPPED;
}

static enum ws_cost cost_arm(const uint8_t *bytes, size_t size)
{
	/* Not ldr literal (rejected by fixed kernels) and not nop (simulated by recent ones only).
	 */
	static const struct {
		uint32_t mask, value;
	} simulated[] = {
		{ 0xfc000000, 0x14000000 }, /* b */
		{ 0xfc000000, 0x94000000 }, /* bl */
		{ 0xff000010, 0x54000000 }, /* b.cond */
		{ 0x7e000000, 0x34000000 }, /* cbz, cbnz */
		{ 0x7e000000, 0x36000000 }, /* tbz, tbnz */
		{ 0x1f000000, 0x10000000 }, /* adr, adrp */
		{ 0xfffffc1f, 0xd61f0000 }, /* br */
		{ 0xfffffc1f, 0xd63f0000 }, /* blr */
		{ 0xfffffc1f, 0xd65f0000 }, /* ret */
	};
	uint32_t word;

	if (size < sizeof(word))
		return WS_COST_STEPPED;
	memcpy(&word, bytes, sizeof(word));
	for (size_t i = 0; i < sizeof(simulated) / sizeof(simulated[0]); i++) {
		if ((word & simulated[i].mask) == simulated[i].value)
			return WS_COST_EMULATED;
	}
	return WS_COST_STEPPED;
}

enum ws_cost ws_code_cost(enum ws_arch arch, const uint8_t *bytes, size_t size)
{
	switch (arch) {
	case WS_ARCH_X86_64:
		return cost_x86(bytes, size);
	case WS_ARCH_AARCH64:
		return cost_arm(bytes, size);
	default:
		return WS_COST_STEPPED;
	}
}

const char *ws_code_cost_name(enum ws_cost cost)
{
	switch (cost) {
	case WS_COST_EMULATED:
		return "emulated";
	case WS_COST_NOP5:
		return "nop5";
	default:
		return "stepped";
	}
}
