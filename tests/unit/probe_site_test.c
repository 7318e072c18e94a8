/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Site selection on functions written for the purpose, which are in this very program: it opens
 * /proc/self/exe as an image.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/util.h"
#include "probe/site.h"

#ifndef __x86_64__
#error "the functions below are x86-64; another architecture needs its own"
#endif

#define FUNCTION(name, body)                                               \
	__asm__(".text\n.globl " name "\n.type " name ", @function\n" name \
		":\n.cfi_startproc\n" body "\n.cfi_endproc\n.size " name ", . - " name "\n")

/* In these functions `S:` marks the instruction that must be chosen, `C:` a call. */
#define S(name) ".globl " name "_site\n.type " name "_site, @function\n" name "_site: "

FUNCTION("callee", "ret");
FUNCTION("send", "ret");
FUNCTION("flag", "ret");

/* What a table of functions is reached through, as PqCommMethods. */
__asm__(".data\n.globl methods\n.type methods, @object\n.balign 8\nmethods: .quad 0\n.globl "
	"number\n.type number, @object\nnumber: .quad "
	"0\n.text\n");

/* entry */
FUNCTION("e_push", S("e_push") "push %rbp\n mov %rsp, %rbp\n pop %rbp\n ret");
FUNCTION("e_endbr", "endbr64\n" S("e_endbr") "push %rbp\n pop %rbp\n ret");
FUNCTION("e_moved", S("e_moved") "mov %rdi, %rbx\n xor %edi, %edi\n push %rbx\n pop %rbx\n ret");
FUNCTION("e_part", S("e_part") "mov $1, %sil\n push %rbx\n pop %rbx\n ret");
FUNCTION("e_not_moved",
	 "mov %rdi, %rax\n xor %esi, %esi\n" S("e_not_moved") "push %rbx\n pop %rbx\n ret");
FUNCTION("e_loop", S("e_loop") "mov %edi, %eax\n1: push %rbx\n pop %rbx\n dec %eax\n jnz 1b\n ret");
FUNCTION("e_start", "1: dec %edi\n jnz 1b\n ret");
FUNCTION("e_store", S("e_store") "movl $1, number(%rip)\n push %rbx\n pop %rbx\n ret");
FUNCTION("e_store_arg", S("e_store_arg") "movl $1, 4(%rdi)\n push %rbx\n pop %rbx\n ret");
FUNCTION("e_load", "mov 4(%rdi), %eax\n" S("e_load") "push %rbx\n pop %rbx\n ret");
FUNCTION("e_frame", "sub $16, %rsp\n mov %rdi, 8(%rsp)\n" S(
			    "e_frame") "push %rbx\n pop %rbx\n add $16, %rsp\n ret");
FUNCTION("e_call", "mov %rdi, %rax\n" S("e_call") "call callee\n ret");
FUNCTION("e_behind", S("e_behind") "call *%rax\n push %rbx\n pop %rbx\n ret");
FUNCTION("e_tail", "mov $1, %esi\n" S("e_tail") "jmp callee");
FUNCTION("e_branch", "test %edi, %edi\n" S("e_branch") "jz 1f\n push %rbx\n pop %rbx\n1: ret");
FUNCTION("e_return", S("e_return") "mov %edi, %eax\n ret\n push %rbx\n pop %rbx\n ret");
FUNCTION("e_cold",
	 S("e_cold") "test %edi, %edi\ne_cold_back: push %rbx\n pop %rbx\n jz e_cold_part\n ret");
FUNCTION("e_cold_part", "nop\n jmp e_cold_back");
/* Its cold part calls it again, as the last thing it does: a call as good as any. */
FUNCTION("e_again", S("e_again") "push %rbx\n pop %rbx\n jz e_again_part\n ret");
FUNCTION("e_again_part", "nop\n jmp e_again");
FUNCTION("e_switch", S("e_switch") "lea e_switch_table(%rip), %rdx\n"
				   "e_switch_case: push %rbx\n pop %rbx\n movslq (%rdx, %rdi, 4), "
				   "%rax\n add %rdx, %rax\n"
				   "notrack jmp *%rax");
__asm__(".section .rodata\n.balign 4\ne_switch_table: .long e_switch_case - e_switch_table\n "
	".text\n");
FUNCTION("e_nop5", ".byte 0x0f, 0x1f, 0x44, 0, 0\n ret");
FUNCTION("e_bad", "mov %edi, %eax\n .byte 0x06\n ret"); /* no instruction in 64-bit mode */
FUNCTION("e_inside", "push %rbx\n pop %rbx\n jz e_inside + 3\n mov $1, %eax\n ret");

/* guarded: `number` is the guard */
FUNCTION("g_skip", "cmpb $0, number(%rip)\n je 1f\n" S(
			   "g_skip") "push %rbp\n mov $1, %edi\n call callee\n1: ret");
FUNCTION("g_far", "endbr64\n cmpb $0, number(%rip)\n jne 1f\n ret\n1: " S(
			  "g_far") "push %rbp\n mov $1, %edi\n call callee\n ud2");
FUNCTION("g_other", "cmpb $0, methods(%rip)\n je 1f\n push %rbp\n call callee\n1: ret");
FUNCTION("g_both", "cmpb $0, number(%rip)\n je 1f\n push %rbp\n call callee\n1: call send\n ret");
FUNCTION("g_gone",
	 "cmpb $0, number(%rip)\n je 1f\n mov $1, %edi\n push %rbp\n call callee\n1: ret");
FUNCTION("g_joined", "cmpb $0, number(%rip)\n je 1f\n2: push %rbp\n call callee\n jmp 2b\n1: ret");

/* after a call */
FUNCTION("a_copy", "call callee\n push %rbx\n call callee\n" S(
			   "a_copy") "push %rbx\n pop %rbx\n pop %rbx\n ret");
FUNCTION("a_three", "call callee\n push %rbx\n call callee\n call callee\n pop %rbx\n ret");
FUNCTION("a_test",
	 "call callee\n test %al, %al\n" S("a_test") "jz 1f\n push %rbx\n pop %rbx\n1: ret");
FUNCTION("a_gone", "call callee\n mov $1, %eax\n" S("a_gone") "jz 1f\n nop\n1: ret");
FUNCTION("a_part", "call callee\n mov $1, %ah\n" S("a_part") "jz 1f\n nop\n1: ret");
FUNCTION("a_join", "test %edi, %edi\n jz 1f\n call callee\n1: mov %eax, %edx\n" S(
			   "a_join") "push %rbx\n pop %rbx\n ret");
FUNCTION("a_target", "test %edi, %edi\n jz 1f\n call callee\n1: push %rbx\n pop %rbx\n ret");
FUNCTION("a_return", "push %rbx\n call callee\n pop %rbx\n ret\n jmp callee");
FUNCTION("a_two", "call callee\n push %rbx\n call callee\n pop %rbx\n ret");
FUNCTION("a_tail", "push %rbx\n pop %rbx\n jmp callee");
FUNCTION("a_next", "call callee\n mov %eax, %edi\n" S("a_next") "call send\n ret");
FUNCTION("a_import",
	 "push %rbx\n call getppid@PLT\n" S("a_import") "push %rbx\n pop %rbx\n pop %rbx\n ret");

/* behind false */
FUNCTION("f_jne", "call flag\n test %al, %al\n jne 1f\n mov %rbx, %rdi\n call callee\n" S(
			  "f_jne") "jmp 1f\n call callee\n1: ret");
FUNCTION("f_je", "call flag\n test %al, %al\n je 2f\n jmp 1f\n call callee\n1: ret\n"
		 "2: mov %rbx, %rdi\n call callee\n" S("f_je") "jmp 1b");
/* The compiler shares one call with the ordinary backends' path. */
FUNCTION("f_shared", "test %edi, %edi\n je 2f\n call flag\n test %al, %al\n jne 1f\n"
		     "2: mov %rbx, %rdi\n call callee\n jmp 1f\n1: ret");
FUNCTION("f_falls",
	 "test %edi, %edi\n je 1f\n call flag\n test %al, %al\n jne 1f\n call callee\n1: ret");
FUNCTION("f_other",
	 "call flag\n test %al, %al\n jne 1f\n call send\n call callee\n jmp 1f\n1: ret");

/* through a table */
FUNCTION("t_plain", "mov methods(%rip), %rax\n call *0x10(%rax)\n test %eax, %eax\n" S(
			    "t_plain") "jne 1f\n nop\n1: ret");
FUNCTION("t_slot", "mov methods(%rip), %rax\n mov 0x10(%rax), %rdx\n call *%rdx\n" S(
			   "t_slot") "push %rbx\n pop %rbx\n ret");
FUNCTION("t_both",
	 "test %edi, %edi\n mov methods(%rip), %rax\n je 1f\n call callee\n"
	 "mov methods(%rip), %rax\n1: call *0x10(%rax)\n" S("t_both") "push %rbx\n pop %rbx\n ret");
FUNCTION("t_one", "test %edi, %edi\n mov methods(%rip), %rax\n je 1f\n mov number(%rip), %rax\n"
		  "1: call *0x10(%rax)\n push %rbx\n pop %rbx\n ret");
FUNCTION("t_clobber",
	 "mov methods(%rip), %rax\n call callee\n call *0x10(%rax)\n push %rbx\n pop %rbx\n ret");
FUNCTION("t_kept", "mov methods(%rip), %r12\n call callee\n call *0x10(%r12)\n" S(
			   "t_kept") "push %rbx\n pop %rbx\n ret");
FUNCTION("t_other_slot", "mov methods(%rip), %rax\n call *0x18(%rax)\n push %rbx\n pop %rbx\n ret");
FUNCTION("t_other_table", "mov number(%rip), %rax\n call *0x10(%rax)\n push %rbx\n pop %rbx\n ret");
FUNCTION("t_added", "mov number(%rip), %rax\n add methods(%rip), %rax\n call *0x10(%rax)\n"
		    "push %rbx\n pop %rbx\n ret");
FUNCTION("t_unreached", "ret\n call *0x10(%rax)\n push %rbx\n pop %rbx\n ret");
FUNCTION("t_behind", "mov methods(%rip), %rax\n call *0x10(%rax)\n push %rbx\n call *%rbx\n"
		     "mov methods(%rip), %rax\n call *0x10(%rax)\n test %eax, %eax\n" S(
			     "t_behind") "jne 1f\n nop\n1: pop %rbx\n ret");
FUNCTION("t_direct",
	 "call send\n mov methods(%rip), %rax\n call *0x10(%rax)\n push %rbx\n pop %rbx\n ret");

/* where an argument lies */
FUNCTION("w_plain", "lea -0x30(%rbp), %rdx\n mov %rbx, %rsi\n call callee\n cmp $1, %eax\n" S(
			    "w_plain") "je 1f\n nop\n1: ret");
FUNCTION("w_stack", "lea 0x18(%rsp), %rdx\n call callee\n" S("w_stack") "je 1f\n nop\n1: ret");
FUNCTION("w_pushed",
	 "lea 0x18(%rsp), %rdx\n push $1\n call callee\n" S("w_pushed") "je 1f\n nop\n1: ret");
FUNCTION("w_moved",
	 "lea 0x18(%rsp), %rdx\n call callee\n add $8, %rsp\n" S("w_moved") "je 1f\n nop\n1: ret");
FUNCTION("w_joined", "lea -8(%rbp), %rdx\n1: call callee\n" S("w_joined") "je 1b\n ret");
FUNCTION("w_loaded", "mov -8(%rbp), %rdx\n call callee\n" S("w_loaded") "je 1f\n nop\n1: ret");
FUNCTION("w_global", "lea number(%rip), %rdx\n call callee\n" S("w_global") "je 1f\n nop\n1: ret");
FUNCTION("w_far",
	 "lea -8(%rbp), %rdx\n call send\n call callee\n" S("w_far") "je 1f\n nop\n1: ret");

static struct ws_image *image;

static int open_self(void **state)
{
	ws_autoclose int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct ws_error err = { 0 };

	(void)state;
	if (ws_image_open(&image, fd, "/proc/self/exe", NULL, &err)) {
		print_error("%s: %s\n", err.what, err.why);
		return -1;
	}
	return 0;
}

static int close_self(void **state)
{
	(void)state;
	ws_image_free(image);
	return 0;
}

static uint64_t address_of(const char *name)
{
	const struct ws_image_symbol *symbol = ws_image_symbol(image, name);

	if (!symbol)
		fail_msg("no %s in this program", name);
	return symbol->address;
}

static uint64_t site_of(const char *name)
{
	char text[64];

	snprintf(text, sizeof(text), "%s_site", name);
	return address_of(text);
}

/* Searches `name` for what `query` asks; returns the address, 0 with the reason in *choice. */
static uint64_t search(const char *name, const struct ws_site_query *query,
		       struct ws_site_choice *choice)
{
	struct ws_error err = { 0 };
	struct ws_body body;
	uint64_t address = 0;

	if (ws_body_load(image, address_of(name), 0, &body, &err))
		fail_msg("%s: %s", name, err.why);
	if (ws_site_find(&body, query, choice))
		address = body.code.insns[choice->index].address;
	ws_body_deinit(&body);
	return address;
}

static void expect_entry(const char *name, uint32_t args, enum ws_cost cost)
{
	const struct ws_probe probe = { .function = name, .kind = WS_SITE_ENTRY, .args = args };
	const struct ws_site_query query = { .probe = &probe };
	struct ws_site_choice choice;

	assert_int_equal(search(name, &query, &choice), site_of(name));
	assert_int_equal(choice.cost, cost);
	assert_int_equal(choice.reason[0] == '\0', cost == WS_COST_EMULATED);
}

static void expect_no_entry(const char *name, const char *reason)
{
	const struct ws_probe probe = { .function = name, .kind = WS_SITE_ENTRY };
	const struct ws_site_query query = { .probe = &probe };
	struct ws_site_choice choice;

	assert_int_equal(search(name, &query, &choice), 0);
	assert_non_null(strstr(choice.reason, reason));
}

static void the_first_emulated_instruction_of_the_entry_block_is_taken(void **state)
{
	(void)state;
	expect_entry("e_push", 7, WS_COST_EMULATED);
	expect_entry("e_endbr", 7, WS_COST_EMULATED);
	expect_entry("e_not_moved", 1, WS_COST_EMULATED);
	expect_entry("e_call", 1, WS_COST_EMULATED);
	expect_entry("e_tail", 1, WS_COST_EMULATED);
	expect_entry("e_branch", 1, WS_COST_EMULATED);
	expect_entry("e_frame", 1, WS_COST_EMULATED);
	expect_entry("e_load", 1, WS_COST_EMULATED);
	expect_entry("e_again", 1, WS_COST_EMULATED);
}

static void an_argument_that_is_overwritten_ends_the_entry_block(void **state)
{
	(void)state;
	expect_entry("e_moved", 1, WS_COST_STEPPED);
	expect_entry("e_part", 2, WS_COST_STEPPED);
}

static void nothing_behind_a_call_a_return_or_a_store_is_an_entry(void **state)
{
	(void)state;
	expect_entry("e_behind", 0, WS_COST_STEPPED);
	expect_entry("e_return", 0, WS_COST_STEPPED);
	expect_entry("e_store", 0, WS_COST_STEPPED);
	expect_entry("e_store_arg", 0, WS_COST_STEPPED);
}

static void what_a_branch_leads_to_is_no_entry(void **state)
{
	(void)state;
	expect_entry("e_loop", 0, WS_COST_STEPPED);
	expect_entry("e_cold", 0, WS_COST_STEPPED);
	expect_entry("e_switch", 0, WS_COST_STEPPED);
	expect_no_entry("e_start", "branches back");
}

static void a_five_byte_nop_is_refused(void **state)
{
	(void)state;
	expect_no_entry("e_nop5", "nop");
}

static void a_function_that_cannot_be_understood_whole_has_no_site(void **state)
{
	struct ws_error err = { 0 };
	struct ws_body body;

	(void)state;
	assert_int_equal(ws_body_load(image, address_of("e_bad"), 0, &body, &err), -1);
	assert_non_null(strstr(err.why, "disassemble"));
	assert_int_equal(ws_body_load(image, address_of("e_inside"), 0, &body, &err), -1);
	assert_non_null(strstr(err.why, "inside an instruction"));
	assert_int_equal(ws_body_load(image, address_of("e_push") + 1, 0, &body, &err), -1);
	assert_int_equal(ws_body_load(image, UINT64_MAX - 1, 16, &body, &err), -1);
}

static bool is_the_push(const void *arg, uint64_t address)
{
	return address == *(const uint64_t *)arg;
}

static void a_taken_instruction_gives_way_to_the_next(void **state)
{
	const struct ws_probe probe = { .function = "e_push", .kind = WS_SITE_ENTRY };
	uint64_t taken = site_of("e_push");
	const struct ws_site_query query = { .probe = &probe,
					     .is_taken = is_the_push,
					     .arg = &taken };
	struct ws_site_choice choice;

	(void)state;
	assert_int_equal(search("e_push", &query, &choice), 0);
	assert_non_null(strstr(choice.reason, "another site"));
}

static uint64_t search_guarded(const char *name, struct ws_site_choice *choice)
{
	const struct ws_probe probe = { .function = "part",
					.stand_in = name,
					.guard = "number",
					.kind = WS_SITE_ENTRY,
					.args = 1 };
	const struct ws_site_query query = { .probe = &probe, .guard = address_of("number") };

	return search(name, &query, choice);
}

static void behind_a_guard_only_those_come_whom_it_lets_in(void **state)
{
	static const struct {
		const char *name, *reason;
	} refused[] = {
		{ "g_other", "does not begin with a test of number" },
		{ "g_both", "behind the test" },
		{ "g_gone", "behind the test" },
		{ "g_joined", "behind the test" },
		{ "e_push", "does not begin with a test of number" },
	};
	struct ws_site_choice choice;

	(void)state;
	assert_int_equal(search_guarded("g_skip", &choice), site_of("g_skip"));
	assert_int_equal(search_guarded("g_far", &choice), site_of("g_far"));
	for (size_t i = 0; i < WS_ARRAY_SIZE(refused); i++) {
		assert_int_equal(search_guarded(refused[i].name, &choice), 0);
		if (!strstr(choice.reason, refused[i].reason))
			fail_msg("%s: %s", refused[i].name, choice.reason);
	}
}

static uint64_t search_after(const char *name, struct ws_probe probe, struct ws_site_choice *choice)
{
	struct ws_site_query query = { .probe = &probe, .slot = 0x10 };

	probe.function = name;
	probe.kind = WS_SITE_AFTER_CALL;
	if (!probe.callee)
		probe.callee = "callee";
	if (strcmp(probe.callee, "methods") == 0)
		query.table = address_of("methods");
	else if (strcmp(probe.callee, "callee") == 0)
		query.callee = address_of("callee");
	if (probe.condition)
		query.condition = address_of(probe.condition);
	return search(name, &query, choice);
}

static void expect_after(const char *name, struct ws_probe probe)
{
	struct ws_site_choice choice;
	uint64_t address = search_after(name, probe, &choice);

	if (!address)
		fail_msg("%s: %s", name, choice.reason);
	assert_int_equal(address, site_of(name));
	assert_int_equal(choice.cost, WS_COST_EMULATED);
}

static void expect_no_after(const char *name, struct ws_probe probe, const char *reason)
{
	struct ws_site_choice choice;

	assert_int_equal(search_after(name, probe, &choice), 0);
	if (!strstr(choice.reason, reason))
		fail_msg("%s: %s", name, choice.reason);
}

static void the_first_emulated_instruction_behind_the_call_is_taken(void **state)
{
	const struct ws_probe result = { .wants_result = true };

	(void)state;
	expect_after("a_test", result);
	expect_after("a_next", result);
}

static void a_result_that_is_overwritten_is_no_result(void **state)
{
	const struct ws_probe result = { .wants_result = true }, none = { 0 };

	(void)state;
	expect_no_after("a_gone", result, "result is gone");
	expect_no_after("a_part", result, "result is gone");
	expect_after("a_gone", none);
	expect_after("a_part", none);
}

static void a_place_other_paths_reach_is_only_taken_if_the_row_allows_it(void **state)
{
	const struct ws_probe strict = { 0 }, joining = { .may_join = true };

	(void)state;
	expect_no_after("a_join", strict, "other paths join");
	expect_no_after("a_target", strict, "other paths join");
	expect_after("a_join", joining);
}

static void without_an_emulated_instruction_there_is_no_site_behind_a_call(void **state)
{
	const struct ws_probe none = { 0 };

	(void)state;
	expect_no_after("a_return", none, "no instruction behind the call");
}

static void calls_that_cannot_be_told_apart_are_refused(void **state)
{
	const struct ws_probe none = { 0 };

	(void)state;
	expect_no_after("a_two", none, "2 calls");
	expect_no_after("a_tail", none, "no call of callee");
}

static void the_second_of_two_copies_is_taken_if_there_are_two(void **state)
{
	const struct ws_probe copy = { .pick = WS_PICK_COPY };
	struct ws_site_choice choice;

	(void)state;
	expect_after("a_copy", copy);
	expect_no_after("a_three", copy, "3 calls");
	assert_int_equal(search_after("a_test", copy, &choice), 0);
	assert_true(choice.no_copy);
}

static void of_several_calls_the_one_of_that_number_is_taken(void **state)
{
	const struct ws_probe second = { .pick = WS_PICK_NTH, .nth = 2 };
	const struct ws_probe third = { .pick = WS_PICK_NTH, .nth = 3 };
	struct ws_site_choice choice;

	(void)state;
	expect_after("a_copy", second);
	/* Where there are fewer no site is needed; where there is none something is wrong. */
	assert_int_equal(search_after("a_copy", third, &choice), 0);
	assert_true(choice.no_copy);
	assert_int_equal(search_after("a_tail", third, &choice), 0);
	assert_false(choice.no_copy);
}

static void an_imported_function_is_known_by_its_name(void **state)
{
	const struct ws_probe import = { .callee = "getppid" }, other = { .callee = "getpid" };

	(void)state;
	expect_after("a_import", import);
	expect_no_after("a_import", other, "no call of getpid");
}

static void the_call_behind_a_false_result_is_told_from_others(void **state)
{
	const struct ws_probe probe = { .pick = WS_PICK_BEHIND_FALSE, .condition = "flag" };

	(void)state;
	expect_after("f_jne", probe);
	expect_after("f_je", probe);
	expect_no_after("f_shared", probe, "backends that are no walsenders");
	expect_no_after("f_falls", probe, "other paths join");
	expect_no_after("f_other", probe, "no block of its own");
	expect_no_after("a_test", probe, "no branch on the result");
}

static void what_is_called_behind_a_false_result_need_not_be_known(void **state)
{
	const struct ws_probe probe = { .callee = "unknown",
					.pick = WS_PICK_BEHIND_FALSE,
					.condition = "flag" };

	(void)state;
	expect_after("f_jne", probe);
	expect_after("f_je", probe);
	expect_no_after("f_shared", probe, "no block of its own");
	expect_no_after("f_other", probe, "no block of its own");
}

static void a_call_through_a_table_is_followed_over_all_paths(void **state)
{
	const struct ws_probe probe = { .callee = "methods" };

	(void)state;
	expect_after("t_plain", probe);
	expect_after("t_slot", probe);
	expect_after("t_both", probe);
	expect_after("t_kept", probe);
	expect_no_after("t_one", probe, "no call of methods");
	expect_no_after("t_clobber", probe, "no call of methods");
	expect_no_after("t_other_slot", probe, "no call of methods");
	expect_no_after("t_other_table", probe, "no call of methods");
	expect_no_after("t_added", probe, "no call of methods");
	expect_no_after("t_unreached", probe, "no call of methods");
}

static void the_flush_behind_send_data_is_told_from_others(void **state)
{
	const struct ws_probe probe = { .callee = "methods", .pick = WS_PICK_BEHIND_POINTER };
	const struct ws_probe only = { .callee = "methods" };

	(void)state;
	expect_after("t_behind", probe);
	expect_no_after("t_behind", only, "2 calls");
	expect_no_after("t_direct", probe, "no call of methods");
}

static void expect_frame(const char *name, bool known, int reg, int32_t disp)
{
	const struct ws_probe probe = { .kind = WS_SITE_AFTER_CALL, .callee = "callee" };
	const struct ws_site_query query = { .probe = &probe, .callee = address_of("callee") };
	struct ws_site_choice choice;
	struct ws_body body;
	int got_reg = -1;
	int32_t got_disp = 0;

	assert_int_equal(ws_body_load(image, address_of(name), 0, &body, NULL), 0);
	assert_true(ws_site_find(&body, &query, &choice));
	assert_int_equal(body.code.insns[choice.index].address, site_of(name));
	if (known !=
	    ws_site_frame_argument(&body, choice.call_index, choice.index, 3, &got_reg, &got_disp))
		fail_msg("%s: argument in the frame is %s", name, known ? "not found" : "found");
	if (known) {
		assert_int_equal(got_reg, reg);
		assert_int_equal(got_disp, disp);
	}
	ws_body_deinit(&body);
}

static void an_object_in_the_frame_is_found_by_the_lea_of_its_address(void **state)
{
	(void)state;
	expect_frame("w_plain", true, 6, -0x30);
	expect_frame("w_stack", true, 7, 0x18);
	expect_frame("w_pushed", false, 0, 0);
	expect_frame("w_moved", false, 0, 0);
	expect_frame("w_joined", false, 0, 0);
	expect_frame("w_loaded", false, 0, 0);
	expect_frame("w_global", false, 0, 0);
	expect_frame("w_far", false, 0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_emulated_instruction_of_the_entry_block_is_taken),
		cmocka_unit_test(an_argument_that_is_overwritten_ends_the_entry_block),
		cmocka_unit_test(nothing_behind_a_call_a_return_or_a_store_is_an_entry),
		cmocka_unit_test(what_a_branch_leads_to_is_no_entry),
		cmocka_unit_test(a_five_byte_nop_is_refused),
		cmocka_unit_test(a_function_that_cannot_be_understood_whole_has_no_site),
		cmocka_unit_test(a_taken_instruction_gives_way_to_the_next),
		cmocka_unit_test(behind_a_guard_only_those_come_whom_it_lets_in),
		cmocka_unit_test(the_first_emulated_instruction_behind_the_call_is_taken),
		cmocka_unit_test(a_result_that_is_overwritten_is_no_result),
		cmocka_unit_test(a_place_other_paths_reach_is_only_taken_if_the_row_allows_it),
		cmocka_unit_test(without_an_emulated_instruction_there_is_no_site_behind_a_call),
		cmocka_unit_test(calls_that_cannot_be_told_apart_are_refused),
		cmocka_unit_test(the_second_of_two_copies_is_taken_if_there_are_two),
		cmocka_unit_test(of_several_calls_the_one_of_that_number_is_taken),
		cmocka_unit_test(an_imported_function_is_known_by_its_name),
		cmocka_unit_test(the_call_behind_a_false_result_is_told_from_others),
		cmocka_unit_test(what_is_called_behind_a_false_result_need_not_be_known),
		cmocka_unit_test(a_call_through_a_table_is_followed_over_all_paths),
		cmocka_unit_test(the_flush_behind_send_data_is_told_from_others),
		cmocka_unit_test(an_object_in_the_frame_is_found_by_the_lea_of_its_address),
	};

	return cmocka_run_group_tests_name("probe/site", tests, open_self, close_self);
}
