/* SPDX-License-Identifier: BSD-2-Clause */
#include "symbol/code_parts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

static const char what[] = "cannot disassemble";

/* Bytes of one function. Each may become an instruction, for which memory is needed a hundredfold;
 * the largest function of a server, a generated parser, has some 100 KiB. */
#define FUNCTION_MAX (4 * 1024 * 1024)

static bool open_disassembler(enum ws_arch arch, csh *handle)
{
	switch (arch) {
	case WS_ARCH_X86_64:
		return cs_open(CS_ARCH_X86, CS_MODE_64, handle) == CS_ERR_OK;
	case WS_ARCH_AARCH64:
		return cs_open(CS_ARCH_ARM64, CS_MODE_LITTLE_ENDIAN, handle) == CS_ERR_OK;
	default:
		return false;
	}
}

static void mark_branch_targets(struct ws_code *code)
{
	for (size_t i = 0; i < code->count; i++) {
		const struct ws_insn *insn = &code->insns[i];
		long at;

		if (insn->kind != WS_INSN_JUMP && insn->kind != WS_INSN_BRANCH)
			continue;
		at = ws_code_index(code, insn->target);
		if (at >= 0)
			code->insns[at].is_branch_target = true;
	}
}

/* One instruction, or what stands where none is known: on aarch64 all have four bytes, so that what
 * follows is found all the same. False at the end. */
static bool next_insn(csh handle, enum ws_arch arch, const uint8_t **bytes, size_t *size,
		      uint64_t *address, cs_insn *insn)
{
	if (cs_disasm_iter(handle, bytes, size, address, insn))
		return true;
	if (arch != WS_ARCH_AARCH64 || *size < 4)
		return false;
	insn->id = 0;
	insn->address = *address;
	insn->size = 4;
	memcpy(insn->bytes, *bytes, 4);
	*bytes += 4;
	*size -= 4;
	*address += 4;
	return true;
}

static int decode(csh handle, cs_insn *insn, const struct ws_image *image, const uint8_t *bytes,
		  size_t size, struct ws_code *code)
{
	enum ws_arch arch = ws_image_arch(image);
	uint64_t address = code->range.start;
	ws_autofree struct ws_arm64_op *ops = NULL;
	size_t cap = 0;

	if (arch == WS_ARCH_AARCH64) {
		ops = calloc(size / 4 + 1, sizeof(*ops));
		if (!ops)
			return -1;
	}

	while (next_insn(handle, arch, &bytes, &size, &address, insn)) {
		struct ws_insn *out =
			ws_array_grow(&code->insns, &code->count, &cap, sizeof(*code->insns));

		if (!out)
			return -1;
		out->address = insn->address;
		out->size = (uint8_t)insn->size;
		out->cost = ws_code_cost(arch, insn->bytes, insn->size);
		out->memory_reg = out->dest_reg = -1;
		if (!insn->id)
			out->regs_read = out->regs_written = ~0U;
		else if (arch == WS_ARCH_X86_64)
			ws_code_fill_x86(handle, insn, image, out);
		else
			ws_code_fill_arm64(handle, insn, &ops[code->count - 1], out);
		if (ops && insn->id == ARM64_INS_MOVK)
			ws_code_join_arm64(insn, code);
	}
	mark_branch_targets(code);
	return ops ? ws_code_follow_arm64(image, code, ops) : 0;
}

int ws_code_decode(const struct ws_image *image, struct ws_range range, struct ws_code *code,
		   struct ws_error *err)
{
	size_t size;
	const uint8_t *bytes = ws_image_bytes(image, range.start, &size);
	cs_insn *insn;
	char why[64];
	csh handle;
	int rc;

	*code = (struct ws_code){ .range = range };
	snprintf(why, sizeof(why), "0x%llx to 0x%llx", (unsigned long long)range.start,
		 (unsigned long long)range.end);
	if (!bytes || range.end <= range.start || range.end - range.start > size)
		return ws_error_set(err, what, ws_image_path(image), "%s is not in the file", why);
	if (range.end - range.start > FUNCTION_MAX)
		return ws_error_set(err, what, ws_image_path(image),
				    "%s is too large for a function", why);
	if (!open_disassembler(ws_image_arch(image), &handle))
		return ws_error_set(err, what, ws_image_path(image), "capstone cannot do %s",
				    ws_image_arch_name(ws_image_arch(image)));
	cs_option(handle, CS_OPT_DETAIL, CS_OPT_ON);
	insn = cs_malloc(handle);
	rc = insn ? decode(handle, insn, image, bytes, range.end - range.start, code) : -1;
	if (insn)
		cs_free(insn, 1);
	cs_close(&handle);
	if (rc) {
		ws_code_deinit(code);
		return ws_error_errno(err, ENOMEM, what, ws_image_path(image));
	}
	return 0;
}

void ws_code_deinit(struct ws_code *code)
{
	free(code->insns);
	code->insns = NULL;
	code->count = 0;
}

long ws_code_index(const struct ws_code *code, uint64_t address)
{
	size_t low = 0, high = code->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (code->insns[mid].address == address)
			return (long)mid;
		if (code->insns[mid].address < address)
			low = mid + 1;
		else
			high = mid;
	}
	return -1;
}

bool ws_insn_never_goes_on(const struct ws_insn *insn)
{
	switch (insn->kind) {
	case WS_INSN_JUMP:
	case WS_INSN_JUMP_INDIRECT:
	case WS_INSN_RETURN:
	case WS_INSN_TRAP:
		return true;
	default:
		return false;
	}
}

void ws_code_format(const struct ws_image *image, uint64_t address, char *out, size_t size)
{
	size_t avail;
	const uint8_t *bytes = ws_image_bytes(image, address, &avail);
	cs_insn *insn;
	csh handle;

	snprintf(out, size, "?");
	if (!bytes || !open_disassembler(ws_image_arch(image), &handle))
		return;
	if (avail > 16) /* no instruction is longer */
		avail = 16;
	if (cs_disasm(handle, bytes, avail, address, 1, &insn) == 1) {
		snprintf(out, size, "%s%s%s", insn->mnemonic, insn->op_str[0] ? " " : "",
			 insn->op_str);
		cs_free(insn, 1);
	}
	cs_close(&handle);
}
