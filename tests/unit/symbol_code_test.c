/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "symbol/code.h"
#include "../lib/symbol_fixture.h"

struct cost_case {
	const char *text;
	uint8_t bytes[8];
	uint8_t size;
	enum ws_cost cost;
};

static void check_costs(enum ws_arch arch, const struct cost_case *cases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (ws_code_cost(arch, cases[i].bytes, cases[i].size) != cases[i].cost)
			fail_msg("%s is called %s", cases[i].text,
				 ws_code_cost_name(
					 ws_code_cost(arch, cases[i].bytes, cases[i].size)));
	}
}

static void x86_costs_are_the_kernels(void **state)
{
	static const struct cost_case cases[] = {
		{ "push rax", { 0x50 }, 1, WS_COST_EMULATED },
		{ "push rdi", { 0x57 }, 1, WS_COST_EMULATED },
		{ "push r12", { 0x41, 0x54 }, 2, WS_COST_EMULATED },
		{ "push rbx with REX.W", { 0x48, 0x53 }, 2, WS_COST_STEPPED },
		{ "push r12 with REX.RB", { 0x45, 0x54 }, 2, WS_COST_STEPPED },
		{ "push ax", { 0x66, 0x50 }, 2, WS_COST_STEPPED },
		{ "push imm8", { 0x6a, 0x01 }, 2, WS_COST_STEPPED },
		{ "push imm32", { 0x68, 1, 0, 0, 0 }, 5, WS_COST_STEPPED },
		{ "push [rip]", { 0xff, 0x35, 0, 0, 0, 0 }, 6, WS_COST_STEPPED },
		{ "pop rbp", { 0x5d }, 1, WS_COST_STEPPED },
		{ "call rel32", { 0xe8, 0, 0, 0, 0 }, 5, WS_COST_EMULATED },
		{ "call rel16", { 0x66, 0xe8, 0, 0, 0, 0 }, 6, WS_COST_STEPPED },
		{ "bnd call rel32", { 0xf2, 0xe8, 0, 0, 0, 0 }, 6, WS_COST_EMULATED },
		{ "jmp rel32", { 0xe9, 0, 0, 0, 0 }, 5, WS_COST_EMULATED },
		{ "jmp rel8", { 0xeb, 0xfe }, 2, WS_COST_EMULATED },
		{ "jmp rel8 with 66", { 0x66, 0xeb, 0xfe }, 3, WS_COST_STEPPED },
		{ "jo rel8", { 0x70, 0x00 }, 2, WS_COST_EMULATED },
		{ "jg rel8", { 0x7f, 0x00 }, 2, WS_COST_EMULATED },
		{ "jo rel32", { 0x0f, 0x80, 0, 0, 0, 0 }, 6, WS_COST_EMULATED },
		{ "jg rel32", { 0x0f, 0x8f, 0, 0, 0, 0 }, 6, WS_COST_EMULATED },
		{ "jne rel32 with 66", { 0x66, 0x0f, 0x85, 0, 0, 0, 0 }, 7, WS_COST_STEPPED },
		{ "jne with cs hint", { 0x2e, 0x75, 0x00 }, 3, WS_COST_STEPPED },
		{ "sete al", { 0x0f, 0x94, 0xc0 }, 3, WS_COST_STEPPED },
		{ "jrcxz", { 0xe3, 0x00 }, 2, WS_COST_STEPPED },
		{ "loop", { 0xe2, 0x00 }, 2, WS_COST_STEPPED },
		{ "call rax", { 0xff, 0xd0 }, 2, WS_COST_STEPPED },
		{ "jmp rax", { 0xff, 0xe0 }, 2, WS_COST_STEPPED },
		{ "ret", { 0xc3 }, 1, WS_COST_STEPPED },
		{ "nop", { 0x90 }, 1, WS_COST_EMULATED },
		{ "xchg ax, ax", { 0x66, 0x90 }, 2, WS_COST_STEPPED },
		{ "pause", { 0xf3, 0x90 }, 2, WS_COST_STEPPED },
		{ "xchg r8, rax", { 0x49, 0x90 }, 2, WS_COST_STEPPED },
		{ "nop5", { 0x0f, 0x1f, 0x44, 0x00, 0x00 }, 5, WS_COST_NOP5 },
		{ "nop4", { 0x0f, 0x1f, 0x40, 0x00 }, 4, WS_COST_STEPPED },
		{ "nop6", { 0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00 }, 6, WS_COST_STEPPED },
		{ "endbr64", { 0xf3, 0x0f, 0x1e, 0xfa }, 4, WS_COST_STEPPED },
		{ "sub rsp, 8", { 0x48, 0x83, 0xec, 0x08 }, 4, WS_COST_STEPPED },
		{ "mov rbp, rsp", { 0x48, 0x89, 0xe5 }, 3, WS_COST_STEPPED },
		{ "a call that is cut off", { 0xe8, 0, 0 }, 3, WS_COST_STEPPED },
		{ "nothing", { 0 }, 0, WS_COST_STEPPED },
	};

	(void)state;
	check_costs(WS_ARCH_X86_64, cases, WS_ARRAY_SIZE(cases));
}

static void aarch64_costs_are_the_kernels(void **state)
{
	static const struct cost_case cases[] = {
		{ "bl", { 0x01, 0x00, 0x00, 0x94 }, 4, WS_COST_EMULATED },
		{ "b", { 0x01, 0x00, 0x00, 0x14 }, 4, WS_COST_EMULATED },
		{ "b.eq", { 0x40, 0x00, 0x00, 0x54 }, 4, WS_COST_EMULATED },
		{ "cbz x0", { 0x40, 0x00, 0x00, 0xb4 }, 4, WS_COST_EMULATED },
		{ "cbnz w0", { 0x40, 0x00, 0x00, 0x35 }, 4, WS_COST_EMULATED },
		{ "tbz", { 0x40, 0x00, 0x00, 0x36 }, 4, WS_COST_EMULATED },
		{ "tbnz", { 0x40, 0x00, 0x00, 0x37 }, 4, WS_COST_EMULATED },
		{ "adrp x0", { 0x00, 0x00, 0x00, 0x90 }, 4, WS_COST_EMULATED },
		{ "adr x0", { 0x00, 0x00, 0x00, 0x10 }, 4, WS_COST_EMULATED },
		{ "br x16", { 0x00, 0x02, 0x1f, 0xd6 }, 4, WS_COST_EMULATED },
		{ "blr x1", { 0x20, 0x00, 0x3f, 0xd6 }, 4, WS_COST_EMULATED },
		{ "ret", { 0xc0, 0x03, 0x5f, 0xd6 }, 4, WS_COST_EMULATED },
		{ "paciasp", { 0x3f, 0x23, 0x03, 0xd5 }, 4, WS_COST_STEPPED },
		{ "bti c", { 0x5f, 0x24, 0x03, 0xd5 }, 4, WS_COST_STEPPED },
		{ "nop", { 0x1f, 0x20, 0x03, 0xd5 }, 4, WS_COST_STEPPED },
		{ "stp x29, x30", { 0xfd, 0x7b, 0xbf, 0xa9 }, 4, WS_COST_STEPPED },
		{ "ldr literal", { 0x40, 0x00, 0x00, 0x58 }, 4, WS_COST_STEPPED },
		{ "cut off", { 0x01, 0x00, 0x00 }, 3, WS_COST_STEPPED },
	};

	(void)state;
	check_costs(WS_ARCH_AARCH64, cases, WS_ARRAY_SIZE(cases));
}

/* One instruction of each kind the project looks at, with known operands. */
static const char listing[] =
	"extern int counter; int counter; const char text[] = \"text\";\n"
	"void callee(void) {}\n"
	"__asm__(\".globl listing\\n.type listing,@function\\nlisting:\\n.cfi_startproc\\n\"\n"
	"\" endbr64\\n push %r12\\n lea text(%rip), %rsi\\n mov counter(%rip), %eax\\n\"\n"
	"\" mov %eax, counter(%rip)\\n incl counter(%rip)\\n mov $7, %edi\\n call callee\\n\"\n"
	"\" mov 16(%rbx), %rdx\\n test %eax, %eax\\n jne 1f\\n jmp *%rax\\n1: nop\\n call "
	"*%rax\\n\"\n"
	"\" ret\\n ud2\\n.cfi_endproc\\n.size listing,.-listing\\n\");\n"
	"int main(void) { return 0; }\n";

static void decode_fills_what_the_header_promises(void **state)
{
	const struct ws_image_symbol *symbol;
	struct ws_image *image;
	struct ws_code code;
	struct ws_error err;
	uint64_t text, counter;
	char path[512], line[64];
	const struct ws_insn *insn;

	(void)state;
	ws_fixture_compile("listing.c", listing, "", path, sizeof(path));
	image = ws_fixture_open(path);
	symbol = ws_image_symbol(image, "listing");
	assert_non_null(symbol);
	assert_int_equal(
		ws_code_decode(image, *ws_image_function_at(image, symbol->address), &code, &err),
		0);
	assert_int_equal(code.count, 16);
	insn = code.insns;
	text = ws_image_symbol(image, "text")->address;
	counter = ws_image_symbol(image, "counter")->address;

	assert_int_equal(insn[0].size, 4); /* endbr64 */
	assert_int_equal(insn[0].cost, WS_COST_STEPPED);
	assert_int_equal(insn[1].kind, WS_INSN_PUSH);
	assert_int_equal(insn[1].cost, WS_COST_EMULATED);
	assert_true(insn[1].regs_read & 1 << 12);
	assert_int_equal(insn[2].reference, text);
	assert_false(insn[2].reads_reference || insn[2].writes_reference);
	assert_int_equal(insn[2].dest_reg, 4);
	assert_int_equal(insn[3].reference, counter);
	assert_true(insn[3].reads_reference && !insn[3].writes_reference);
	assert_int_equal(insn[3].access_size, 4);
	assert_true(!insn[4].reads_reference && insn[4].writes_reference);
	assert_true(insn[5].reads_reference && insn[5].writes_reference);
	assert_true(insn[6].has_immediate);
	assert_int_equal(insn[6].immediate, 7);
	assert_true(insn[6].is_value && !insn[6].is_offset);
	assert_int_equal(insn[6].dest_reg, 5);
	assert_int_equal(insn[7].kind, WS_INSN_CALL);
	assert_int_equal(insn[7].target, ws_image_symbol(image, "callee")->address);
	assert_true(insn[8].base_memory);
	assert_int_equal(insn[8].memory_reg, 3);
	assert_int_equal(insn[8].displacement, 16);
	assert_false(insn[8].is_value || insn[8].is_offset);
	assert_int_equal(insn[10].kind, WS_INSN_BRANCH);
	assert_int_equal(insn[10].target, insn[12].address);
	assert_int_equal(insn[11].kind, WS_INSN_JUMP_INDIRECT);
	assert_int_equal(insn[12].kind, WS_INSN_NOP);
	assert_true(insn[12].is_branch_target);
	assert_false(insn[13].is_branch_target);
	assert_int_equal(insn[13].kind, WS_INSN_CALL_INDIRECT);
	assert_int_equal(insn[14].kind, WS_INSN_RETURN);
	assert_int_equal(insn[15].kind, WS_INSN_TRAP);
	assert_int_equal(ws_code_index(&code, insn[5].address), 5);
	assert_int_equal(ws_code_index(&code, insn[5].address + 1), -1);
	ws_code_format(image, insn[1].address, line, sizeof(line));
	assert_string_equal(line, "push r12");
	ws_code_deinit(&code);
	ws_image_free(image);
}

/* Numbers of instructions are those of the test below. */
static const char arm64_listing[] =
	".data\n.globl array\n.type array, %object\n.balign 16\narray: .zero 64\n"
	".text\n.globl callee\n.type callee, %function\ncallee: ret\n"
	".globl listing\n.type listing, %function\nlisting:\n.cfi_startproc\n"
	" adrp x19, array\n"		 /* 0 */
	" add x1, x19, :lo12:array\n"	 /* 1 */
	" ldr w2, [x1, #4]\n"		 /* 2 */
	" str w2, [x1, #8]\n"		 /* 3 */
	" ldp x3, x4, [x1, #16]\n"	 /* 4 */
	" ldr w5, [x1, w2, uxtw #2]\n"	 /* 5 */
	" add x6, x1, x2, lsl #4\n"	 /* 6 */
	" ldrb w7, [x6, #5]\n"		 /* 7 */
	" madd x8, x2, x3, x1\n"	 /* 8 */
	" str w2, [x8, #12]\n"		 /* 9 */
	" mov x10, x1\n"		 /* 10 */
	" ldr x11, [x10, #24]\n"	 /* 11 */
	" bl callee\n"			 /* 12 */
	" ldr x12, [x10]\n"		 /* 13: a call does not keep x10 */
	" ldr w12, [x19, :lo12:array]\n" /* 14: but x19 */
	" ldr w13, [x12, x2]\n"		 /* 15 */
	" ret\n.cfi_endproc\n.size listing, . - listing\n";

/* Each with the number of the source that it stands for; capstone shows several as encoded. */
static const struct {
	const char *insn;
	int64_t number;
	bool is_value, is_offset;
} arm64_numbers[] = {
	{ "cmp w0, #5", 5, true, false },
	{ "cmn w0, #5", -5, true, false },
	{ "tst w0, #6", 6, true, false },
	{ "and w0, w1, #6", 6, true, false },
	{ "ccmp w0, #7, #4, eq", 7, true, false },
	{ "ccmn w0, #7, #4, eq", -7, true, false },
	{ "tbnz w0, #3, end", 8, true, false },
	{ "mov w1, #-3", -3, true, false },
	{ "movz w2, #0x5678", 0x5678, false, false }, /* half of the next but one */
	{ "add x3, x4, #104", 104, false, true },
	{ "movk w2, #0x1234, lsl #16", 0x12345678, true, false },
	{ "movk w9, #1", 1, false, false }, /* what it is half of is not known */
	{ "add w3, w4, #104", 104, false, false },
	{ "ldr x5, [x6, #16]", 0, false, false },
	{ "cmp w0, w1", 0, false, false },
};

static void aarch64_numbers_are_those_of_the_source(void **state)
{
	char source[1024] =
		".text\n.globl numbers\n.type numbers, %function\nnumbers:\n.cfi_startproc\n";
	const struct ws_image_symbol *symbol;
	struct ws_image *image;
	struct ws_code code;
	struct ws_error err;
	char path[512];

	(void)state;
	for (size_t i = 0; i < WS_ARRAY_SIZE(arm64_numbers); i++) {
		strcat(source, arm64_numbers[i].insn);
		strcat(source, "\n");
	}
	strcat(source, "end: ret\n.cfi_endproc\n.size numbers, . - numbers\n");
	ws_fixture_compile_arm64("numbers.s", source, "", path, sizeof(path));
	image = ws_fixture_open(path);
	symbol = ws_image_symbol(image, "numbers");
	assert_int_equal(
		ws_code_decode(image, *ws_image_function_at(image, symbol->address), &code, &err),
		0);
	assert_int_equal(code.count, WS_ARRAY_SIZE(arm64_numbers) + 1);
	for (size_t i = 0; i < WS_ARRAY_SIZE(arm64_numbers); i++) {
		const struct ws_insn *insn = &code.insns[i];

		if (insn->is_value != arm64_numbers[i].is_value ||
		    insn->is_offset != arm64_numbers[i].is_offset ||
		    ((insn->is_value || insn->is_offset) &&
		     (int32_t)insn->number != arm64_numbers[i].number))
			fail_msg("%s: %s%snumber %lld", arm64_numbers[i].insn,
				 insn->is_value ? "value, " : "", insn->is_offset ? "offset, " : "",
				 (long long)insn->number);
	}
	ws_code_deinit(&code);
	ws_image_free(image);
}

static void aarch64_addresses_are_followed_through_registers(void **state)
{
	const struct ws_image_symbol *symbol;
	struct ws_image *image;
	struct ws_code code;
	struct ws_error err;
	const struct ws_insn *insn;
	uint64_t array;
	char path[512];

	(void)state;
	ws_fixture_compile_arm64("listing.s", arm64_listing, "", path, sizeof(path));
	image = ws_fixture_open(path);
	symbol = ws_image_symbol(image, "listing");
	assert_int_equal(
		ws_code_decode(image, *ws_image_function_at(image, symbol->address), &code, &err),
		0);
	assert_int_equal(code.count, 17);
	insn = code.insns;
	array = ws_image_symbol(image, "array")->address;

	assert_int_equal(insn[0].reference, 0); /* a page is no address yet */
	assert_int_equal(insn[1].reference, array);
	assert_false(insn[1].reads_reference || insn[1].writes_reference);
	assert_int_equal(insn[2].reference, array + 4);
	assert_true(insn[2].reads_reference && !insn[2].writes_reference);
	assert_int_equal(insn[3].reference, array + 8);
	assert_true(!insn[3].reads_reference && insn[3].writes_reference);
	assert_int_equal(insn[4].reference, array + 16);
	assert_true(insn[4].is_pair && !insn[3].is_pair);
	assert_int_equal(insn[4].access_size, 16);
	assert_int_equal(insn[5].element, array);
	assert_int_equal(insn[5].reference, 0);
	assert_int_equal(insn[6].element, array);
	assert_int_equal(insn[7].element, array + 5);
	assert_int_equal(insn[7].access_size, 1);
	assert_int_equal(insn[8].element, array);
	assert_int_equal(insn[9].element, array + 12);
	assert_int_equal(insn[9].dest_reg, -1);
	assert_int_equal(insn[10].reference, 0);
	assert_int_equal(insn[11].reference, array + 24);
	assert_int_equal(insn[13].reference, 0);
	assert_int_equal(insn[14].reference, array);
	assert_true(insn[15].reference == 0 && insn[15].element == 0);
	ws_code_deinit(&code);
	ws_image_free(image);
}

static void decoding_outside_the_file_is_an_error(void **state)
{
	struct ws_image *image = ws_fixture_open(ws_fixture_server());
	const struct ws_range outside[] = {
		{ 0, 0 }, { 0x10, 0x8 }, { UINT64_MAX - 8, UINT64_MAX }, { 0x1000, UINT64_MAX }
	};

	(void)state;
	for (size_t i = 0; i < WS_ARRAY_SIZE(outside); i++) {
		struct ws_error err = { 0 };
		struct ws_code code;

		assert_int_equal(ws_code_decode(image, outside[i], &code, &err), -1);
		assert_true(err.why[0] != '\0');
		assert_null(code.insns);
	}
	ws_image_free(image);
}

/* An unwind table can claim that the whole code is one function. */
static void what_is_too_large_for_a_function_is_not_decoded(void **state)
{
	struct ws_image *image = ws_fixture_open(ws_fixture_server());
	struct ws_range largest = { 0 };
	struct ws_error err = { 0 };
	const struct ws_range *ranges;
	struct ws_code code;
	size_t count;

	(void)state;
	ranges = ws_image_code_ranges(image, &count);
	for (size_t i = 0; i < count; i++) {
		if (ranges[i].end - ranges[i].start > largest.end - largest.start)
			largest = ranges[i];
	}
	assert_int_equal(ws_code_decode(image, largest, &code, &err), -1);
	assert_non_null(strstr(err.why, "too large"));
	assert_null(code.insns);
	ws_image_free(image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(x86_costs_are_the_kernels),
		cmocka_unit_test(aarch64_costs_are_the_kernels),
		cmocka_unit_test(decode_fills_what_the_header_promises),
		cmocka_unit_test(aarch64_addresses_are_followed_through_registers),
		cmocka_unit_test(aarch64_numbers_are_those_of_the_source),
		cmocka_unit_test(decoding_outside_the_file_is_an_error),
		cmocka_unit_test(what_is_too_large_for_a_function_is_not_decoded),
	};

	return cmocka_run_group_tests_name("symbol/code", tests, NULL, ws_fixture_teardown);
}
