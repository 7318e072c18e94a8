/* SPDX-License-Identifier: BSD-2-Clause */
#include "second_opinion.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

static bool is_word_of(const char *word, size_t len, const char *list)
{
	char padded[24];

	if (len + 3 > sizeof(padded))
		return false;
	snprintf(padded, sizeof(padded), " %.*s ", (int)len, word);
	return strstr(list, padded) != NULL;
}

static bool is_any_of(const struct op_insn *insn, const char *list)
{
	return is_word_of(insn->mnemonic, strlen(insn->mnemonic), list);
}

/* x86-64 */

static bool x86_is_jump(const struct op_insn *insn, uint64_t *to)
{
	*to = strtoull(insn->operands, NULL, 0);
	return insn->mnemonic[0] == 'j' || strncmp(insn->mnemonic, "loop", 4) == 0 ||
	       strstr(insn->mnemonic, " jmp") != NULL;
}

static bool x86_is_call(const struct op_insn *insn, uint64_t *to)
{
	*to = strtoull(insn->operands, NULL, 0);
	return insn->bytes[0] == 0xe8 && insn->size == 5;
}

static bool x86_is_transfer(const struct op_insn *insn)
{
	uint64_t to;

	return x86_is_jump(insn, &to) || strstr(insn->mnemonic, "call") ||
	       strstr(insn->mnemonic, "ret") || is_any_of(insn, " ud2 hlt int3 ");
}

/* push of a register, call, jmp and jcc to a fixed place, nop; no prefix but REX.B */
static bool x86_is_emulated(const struct op_insn *insn)
{
	const uint8_t *b = insn->bytes;

	if (insn->size == 1)
		return (b[0] & 0xf8) == 0x50 || b[0] == 0x90;
	if (insn->size == 2)
		return (b[0] == 0x41 && (b[1] & 0xf8) == 0x50) || (b[0] & 0xf0) == 0x70 ||
		       b[0] == 0xeb;
	if (insn->size == 5)
		return b[0] == 0xe8 || b[0] == 0xe9;
	return insn->size == 6 && b[0] == 0x0f && (b[1] & 0xf0) == 0x80;
}

static const char x86_readers[] =
	" cmp test push bt nop comisd ucomisd comiss ucomiss mul div idiv ";

/* All names of a register, and the mnemonics that change it silently. */
static bool x86_changes(const struct op_insn *insn, int which)
{
	static const struct {
		const char *names, *silently;
	} registers[] = {
		{ " rdi edi di dil ", " stosq stosb stosd movsq movsb movsd scasb " },
		{ " rsi esi si sil ", " lodsq lodsb movsq movsb " },
		{ " rdx edx dx dl dh ", " mul div idiv cqo cdq cpuid rdtsc " },
		{ " rax eax ax al ah ",
		  " mul div idiv cwde cdqe cmpxchg cpuid rdtsc lodsb lodsq " },
	};
	const char *names = registers[which].names, *silently = registers[which].silently;
	const char *op = insn->operands, *comma = strchr(op, ',');
	const char *m =
		strrchr(insn->mnemonic, ' ') ? strrchr(insn->mnemonic, ' ') + 1 : insn->mnemonic;

	/* movsd is also the name of an SSE instruction */
	if (is_word_of(m, strlen(m), silently) && !strstr(op, "xmm"))
		return true;
	if (strncmp(insn->mnemonic, "rep", 3) ==
	    0) /* moves rdi, or rsi and rdi, and counts in rcx */
		return which < 2;
	if (strcmp(m, "imul") == 0 && !comma) /* into rdx and rax, as mul */
		return is_word_of("mul", 3, silently);
	if (is_word_of(m, strlen(m), x86_readers))
		return false;
	if (is_word_of(op, comma ? (size_t)(comma - op) : strlen(op), names))
		return true;
	/* xchg, xadd: the second as well */
	return comma && m[0] == 'x' && (m[1] == 'c' || m[1] == 'a') &&
	       is_word_of(comma + 2, strlen(comma + 2), names);
}

static bool x86_stores(const struct op_insn *insn)
{
	const char *op = insn->operands, *open = strchr(op, '['), *comma = strchr(op, ',');

	if (strncmp(insn->mnemonic, "rep", 3) == 0 ||
	    is_any_of(insn, " stosq stosb stosd movsq movsb "))
		return true;
	if (!open || (comma && comma < open && !is_any_of(insn, " xchg xadd ")))
		return false;
	if (is_any_of(insn, x86_readers) || insn->mnemonic[0] == 'f' ||
	    strncmp(insn->mnemonic, "prefetch", 8) == 0)
		return false;
	return !strstr(open, "rsp") && !strstr(open, "rbp");
}

static bool x86_is_landing_pad(const struct op_insn *insn)
{
	return strcmp(insn->mnemonic, "endbr64") == 0;
}

/* aarch64 */

static bool arm_is_jump(const struct op_insn *insn, uint64_t *to)
{
	const char *target = strrchr(insn->operands, '#');

	*to = target ? strtoull(target + 1, NULL, 0) : 0;
	return strncmp(insn->mnemonic, "b.", 2) == 0 || is_any_of(insn, " b br cbz cbnz tbz tbnz ");
}

static bool arm_is_call(const struct op_insn *insn, uint64_t *to)
{
	*to = insn->operands[0] == '#' ? strtoull(insn->operands + 1, NULL, 0) : 0;
	return strcmp(insn->mnemonic, "bl") == 0;
}

static bool arm_is_transfer(const struct op_insn *insn)
{
	uint64_t to;

	return arm_is_jump(insn, &to) || is_any_of(insn, " bl blr ret eret brk hlt svc udf ");
}

/* b, bl, b.cond, cbz, tbz, adr, adrp, br, blr, ret; no literal load, no nop, no hint. */
static bool arm_is_emulated(const struct op_insn *insn)
{
	return strncmp(insn->mnemonic, "b.", 2) == 0 ||
	       is_any_of(insn, " b bl br blr ret cbz cbnz tbz tbnz adr adrp ");
}

/* The nth operand, NULL if there are fewer. */
static const char *nth_operand(const struct op_insn *insn, int n, size_t *len)
{
	const char *op = insn->operands;

	for (; n; n--) {
		op = strchr(op, ',');
		if (!op)
			return NULL;
		op += 2;
	}
	*len = strcspn(op, ",");
	return op;
}

static bool arm_names(const struct op_insn *insn, int n, int reg)
{
	char names[16];
	size_t len;
	const char *op = nth_operand(insn, n, &len);

	snprintf(names, sizeof(names), " x%d w%d ", reg, reg);
	return op && is_word_of(op, len, names);
}

/* "[x0], #16" and "[x0, #16]!" move x0. */
static bool arm_writes_back(const struct op_insn *insn, int reg)
{
	const char *open = strchr(insn->operands, '['), *close = strchr(insn->operands, ']');
	char base[8];
	int len = snprintf(base, sizeof(base), "[x%d", reg);

	return open && close && (close[1] == '!' || close[1] == ',') &&
	       strncmp(open, base, (size_t)len) == 0 && strchr(",]", open[len]);
}

static bool arm_is_exclusive_store(const struct op_insn *insn)
{
	return strncmp(insn->mnemonic, "stxr", 4) == 0 || strncmp(insn->mnemonic, "stlxr", 5) == 0;
}

static bool arm_changes(const struct op_insn *insn, int which)
{
	static const int registers[] = { 0, 1, 2, 0 };
	static const char second[] = " ldadd ldadda ldaddl ldaddal ldclr ldclra ldclrl ldclral "
				     "ldset ldseta ldsetl ldsetal swp swpa swpl swpal ";
	const int reg = registers[which];

	if (arm_writes_back(insn, reg))
		return true;
	if (is_any_of(insn, " cmp cmn tst ccmp ccmn fcmp fcmpe nop prfm prfum dmb dsb isb ") ||
	    arm_is_transfer(insn))
		return false;
	if (strncmp(insn->mnemonic, "st", 2) == 0 && !arm_is_exclusive_store(insn))
		return false;
	if (strncmp(insn->mnemonic, "ldp", 3) == 0 || strncmp(insn->mnemonic, "ldxp", 4) == 0)
		return arm_names(insn, 0, reg) || arm_names(insn, 1, reg);
	if (is_any_of(insn, second))
		return arm_names(insn, 1, reg);
	return arm_names(insn, 0, reg);
}

static bool arm_stores(const struct op_insn *insn)
{
	const char *open = strchr(insn->operands, '[');

	if (!open || (strncmp(insn->mnemonic, "st", 2) != 0 && strncmp(insn->mnemonic, "swp", 3) &&
		      strncmp(insn->mnemonic, "cas", 3) && strncmp(insn->mnemonic, "ldadd", 5) &&
		      strncmp(insn->mnemonic, "ldclr", 5) && strncmp(insn->mnemonic, "ldset", 5)))
		return false;
	return strncmp(open, "[sp", 3) != 0 && strncmp(open, "[x29", 4) != 0;
}

static bool arm_is_landing_pad(const struct op_insn *insn)
{
	return is_any_of(insn, " bti paciasp hint ");
}

const struct opinion *opinion_of(enum ws_arch arch)
{
	static const struct opinion x86 = {
		.arch = CS_ARCH_X86,
		.mode = CS_MODE_64,
		.is_jump = x86_is_jump,
		.is_call = x86_is_call,
		.is_transfer = x86_is_transfer,
		.is_emulated = x86_is_emulated,
		.changes = x86_changes,
		.stores = x86_stores,
		.is_landing_pad = x86_is_landing_pad,
	};
	static const struct opinion arm = {
		.arch = CS_ARCH_ARM64,
		.mode = CS_MODE_LITTLE_ENDIAN,
		.is_jump = arm_is_jump,
		.is_call = arm_is_call,
		.is_transfer = arm_is_transfer,
		.is_emulated = arm_is_emulated,
		.changes = arm_changes,
		.stores = arm_stores,
		.is_landing_pad = arm_is_landing_pad,
	};

	return arch == WS_ARCH_AARCH64 ? &arm : &x86;
}
