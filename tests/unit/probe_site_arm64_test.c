/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Site selection in aarch64 code, on functions written for the purpose.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../lib/symbol_fixture.h"
#include "base/util.h"
#include "probe/site.h"

/* `SITE` marks the instruction that must be chosen. */
static const char source[] =
	".macro FUNC name\n"
	"	.p2align 2\n .globl \\name\n .type \\name, %function\n\\name:\n .cfi_startproc\n"
	".endm\n"
	".macro END name\n"
	"	.cfi_endproc\n .size \\name, . - \\name\n"
	".endm\n"
	".macro SITE name\n"
	"	.globl \\name\\()_site\n .type \\name\\()_site, %function\n\\name\\()_site:\n"
	".endm\n"
	".data\n .globl methods, other\n .type methods, %object\n .type other, %object\n"
	".balign 8\nmethods: .quad 0\nother: .quad 0\n"
	/* What the linker's GOT is: slots that the dynamic linker fills. */
	".section .data.rel.ro, \"aw\"\n.balign 8\n"
	"got_methods: .quad methods\ngot_other: .quad other\n"
	".section .rodata\n"
	"table: .byte 0, (case_two - case_one) / 4\n"
	".text\n"
	"FUNC callee\n ret\nEND callee\n"
	"FUNC flag\n ret\nEND flag\n"

	/* through a table */
	"FUNC t_got\n adrp x0, got_methods\n ldr x0, [x0, :lo12:got_methods]\n ldr x0, [x0]\n"
	" ldr x0, [x0, #16]\n blr x0\nSITE t_got\n cbnz w0, 1f\n1: ret\nEND t_got\n"
	"FUNC t_kept\n adrp x20, got_methods\n ldr x20, [x20, :lo12:got_methods]\n1: bl callee\n"
	" ldr x0, [x20]\n ldr x1, [x0, #16]\n blr x1\nSITE t_kept\n cbz w0, 1b\n ret\nEND t_kept\n"
	"FUNC t_direct\n adrp x8, methods\n ldr x8, [x8, :lo12:methods]\n ldr x8, [x8, #16]\n"
	" blr x8\nSITE t_direct\n cbnz w0, 1f\n1: ret\nEND t_direct\n"
	"FUNC t_added\n adrp x8, methods\n add x8, x8, :lo12:methods\n ldr x8, [x8]\n"
	" ldr x8, [x8, #16]\n blr x8\nSITE t_added\n cbnz w0, 1f\n1: ret\nEND t_added\n"
	"FUNC t_slot\n adrp x0, got_methods\n ldr x0, [x0, :lo12:got_methods]\n ldr x0, [x0]\n"
	" ldr x0, [x0, #24]\n blr x0\n cbnz w0, 1f\n1: ret\nEND t_slot\n"
	"FUNC t_other\n adrp x0, got_other\n ldr x0, [x0, :lo12:got_other]\n ldr x0, [x0]\n"
	" ldr x0, [x0, #16]\n blr x0\n cbnz w0, 1f\n1: ret\nEND t_other\n"
	"FUNC t_clobber\n adrp x9, got_methods\n ldr x9, [x9, :lo12:got_methods]\n bl callee\n"
	" ldr x0, [x9]\n ldr x0, [x0, #16]\n blr x0\n cbnz w0, 1f\n1: ret\nEND t_clobber\n"
	/* Two ways to the call, of which the second in the text has the table. */
	"FUNC t_paths\n cbz w0, 1f\n adrp x8, other\n add x8, x8, :lo12:other\n b 2f\n"
	"1: adrp x8, methods\n add x8, x8, :lo12:methods\n2: ldr x8, [x8]\n"
	" ldr x8, [x8, #16]\n blr x8\n cbnz w0, 3f\n3: ret\nEND t_paths\n"
	"FUNC t_agree\n cbz w0, 1f\n adrp x8, methods\n add x8, x8, :lo12:methods\n b 2f\n"
	"1: adrp x8, methods\n add x8, x8, :lo12:methods\n2: ldr x8, [x8]\n"
	" ldr x8, [x8, #16]\n blr x8\nSITE t_agree\n cbnz w0, 3f\n3: ret\nEND t_agree\n"

	/* jump tables: case_two is behind the call, and in front of the first instruction that
	 * the kernel emulates */
	"FUNC s_table\n cmp w0, #1\n b.hi 9f\n adrp x1, table\n add x1, x1, :lo12:table\n"
	" ldrb w1, [x1, w0, uxtw]\n adr x2, case_one\n add x1, x2, w1, sxtb #2\n br x1\n"
	"case_one: bl callee\ncase_two: mov w1, w0\nSITE s_table\n cbz w1, 9f\n9: ret\n"
	"END s_table\n"
	"FUNC s_pads\n br x0\n bti j\n bl callee\n bti j\n cbz w0, 9f\n9: ret\nEND s_pads\n"
	/* The address of the table was kept on the stack: it may lead anywhere. */
	"FUNC s_lost\n ldr x1, [sp, #8]\n ldrb w1, [x1, w0, uxtw]\n adr x2, 1f\n"
	" add x1, x2, w1, sxtb #2\n br x1\n1: bl callee\n cbz w0, 9f\n9: ret\nEND s_lost\n"

	/* behind false: one call for walsenders and for others */
	"FUNC f_shared\n cbz w0, 2f\n bl flag\n tst w0, #0xff\n b.ne 1f\n2: mov x0, x19\n"
	" bl callee\n b 1f\n1: ret\nEND f_shared\n"
	"FUNC f_own\n bl flag\n tbz w0, #0, 2f\n1: ret\n2: mov x0, x19\n bl callee\nSITE f_own\n"
	" b 1b\nEND f_own\n"

	/* where an argument lies */
	"FUNC w_added\n add x2, sp, #0x20\n bl callee\nSITE w_added\n cbz w0, 1f\n1: ret\n"
	"END w_added\n"
	"FUNC w_moved\n mov x2, sp\n bl callee\nSITE w_moved\n cbz w0, 1f\n1: ret\nEND w_moved\n"
	"FUNC w_frame\n add x2, x29, #0x10\n bl callee\nSITE w_frame\n cbz w0, 1f\n1: ret\n"
	"END w_frame\n"
	/* Two ways to the call, one by way of the stack, as in 17's WalSndWait. */
	"FUNC w_ways\n sub sp, sp, #0x40\n add x2, sp, #0x20\n cbz w0, 2f\n"
	"1: bl callee\nSITE w_ways\n cbz w0, 3f\n3: add sp, sp, #0x40\n ret\n"
	"2: str x2, [sp, #8]\n bl flag\n ldr x2, [sp, #8]\n b 1b\nEND w_ways\n"
	"FUNC w_differ\n sub sp, sp, #0x40\n add x2, sp, #0x20\n cbz w0, 2f\n"
	"1: bl callee\nSITE w_differ\n cbz w0, 3f\n3: add sp, sp, #0x40\n ret\n"
	"2: bl flag\n add x2, sp, #0x28\n b 1b\nEND w_differ\n"
	"FUNC w_stored\n sub sp, sp, #0x40\n add x2, sp, #0x20\n cbz w0, 2f\n"
	"1: bl callee\nSITE w_stored\n cbz w0, 3f\n3: add sp, sp, #0x40\n ret\n"
	"2: str x2, [sp, #8]\n bl flag\n stp x0, x1, [sp]\n ldr x2, [sp, #8]\n b 1b\n"
	"END w_stored\n"
	"FUNC w_shifted\n sub sp, sp, #0x40\n add x2, sp, #0x20\n cbz w0, 2f\n"
	"1: bl callee\nSITE w_shifted\n cbz w0, 3f\n3: add sp, sp, #0x40\n ret\n"
	"2: str x2, [sp, #8]\n sub sp, sp, #16\n bl flag\n ldr x2, [sp, #8]\n"
	" add sp, sp, #16\n b 1b\nEND w_shifted\n"
	"FUNC w_loaded\n ldr x2, [sp, #0x20]\n bl callee\nSITE w_loaded\n cbz w0, 1f\n1: ret\n"
	"END w_loaded\n"
	"FUNC w_below\n sub x2, x29, #0x10\n bl callee\nSITE w_below\n cbz w0, 1f\n1: ret\n"
	"END w_below\n"
	"FUNC w_other\n add x2, x19, #0x20\n bl callee\nSITE w_other\n cbz w0, 1f\n1: ret\n"
	"END w_other\n"
	"FUNC w_gone\n add x2, sp, #0x20\n bl callee\n add sp, sp, #16\nSITE w_gone\n"
	" cbz w0, 1f\n1: ret\nEND w_gone\n";

static struct ws_image *image;

static int open_sites(void **state)
{
	char path[512];

	(void)state;
	ws_fixture_compile_arm64("sites.s", source, "", path, sizeof(path));
	image = ws_fixture_open(path);
	return 0;
}

static int close_sites(void **state)
{
	ws_image_free(image);
	return ws_fixture_teardown(state);
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

static uint64_t search(const char *name, struct ws_probe probe, struct ws_site_choice *choice)
{
	struct ws_site_query query = { .probe = &probe, .slot = 0x10 };
	struct ws_error err = { 0 };
	struct ws_body body;
	uint64_t address = 0;

	probe.function = name;
	probe.kind = WS_SITE_AFTER_CALL;
	if (strcmp(probe.callee, "methods") == 0)
		query.table = address_of("methods");
	else
		query.callee = address_of(probe.callee);
	if (probe.condition)
		query.condition = address_of(probe.condition);
	if (ws_body_load(image, address_of(name), 0, &body, &err))
		fail_msg("%s: %s", name, err.why);
	if (ws_site_find(&body, &query, choice))
		address = body.code.insns[choice->index].address;
	ws_body_deinit(&body);
	return address;
}

static void expect(const char *name, struct ws_probe probe)
{
	struct ws_site_choice choice;
	uint64_t address = search(name, probe, &choice);

	if (!address)
		fail_msg("%s: %s", name, choice.reason);
	if (address != site_of(name))
		fail_msg("%s: site at 0x%lx, not 0x%lx", name, address, site_of(name));
	assert_int_equal(choice.cost, WS_COST_EMULATED);
}

static void expect_none(const char *name, struct ws_probe probe, const char *reason)
{
	struct ws_site_choice choice;

	if (search(name, probe, &choice))
		fail_msg("%s has a site", name);
	if (!strstr(choice.reason, reason))
		fail_msg("%s: %s", name, choice.reason);
}

static void a_table_is_reached_through_the_got_or_without(void **state)
{
	const struct ws_probe probe = { .callee = "methods", .wants_result = true };

	(void)state;
	expect("t_got", probe);
	expect("t_kept", probe);
	expect("t_direct", probe);
	expect("t_added", probe);
}

static void another_slot_or_table_is_not_the_wanted_one(void **state)
{
	const struct ws_probe probe = { .callee = "methods" };

	(void)state;
	expect_none("t_slot", probe, "no call of methods");
	expect_none("t_other", probe, "no call of methods");
	expect_none("t_clobber", probe, "no call of methods");
}

static void an_address_holds_where_all_paths_agree(void **state)
{
	const struct ws_probe probe = { .callee = "methods" };

	(void)state;
	expect("t_agree", probe);
	expect_none("t_paths", probe, "no call of methods");
}

static void what_a_jump_table_leads_to_is_a_join(void **state)
{
	const struct ws_probe probe = { .callee = "callee" };
	const struct ws_probe joining = { .callee = "callee", .may_join = true };

	(void)state;
	expect_none("s_table", probe, "other paths join");
	expect("s_table", joining);
	expect_none("s_pads", probe, "other paths join");
	expect_none("s_lost", probe, "other paths join");
}

static void a_call_that_others_share_is_no_place_for_the_end_of_sql(void **state)
{
	const struct ws_probe probe = { .callee = "callee",
					.pick = WS_PICK_BEHIND_FALSE,
					.condition = "flag" };

	(void)state;
	expect("f_own", probe);
	expect_none("f_shared", probe, "backends that are no walsenders");
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

static void an_object_in_the_frame_is_found_by_the_add_that_makes_its_address(void **state)
{
	(void)state;
	expect_frame("w_added", true, 31, 0x20);
	expect_frame("w_moved", true, 31, 0);
	expect_frame("w_frame", true, 29, 0x10);
	expect_frame("w_ways", true, 31, 0x20);
	expect_frame("w_differ", false, 0, 0);
	expect_frame("w_stored", false, 0, 0);
	expect_frame("w_shifted", false, 0, 0);
	expect_frame("w_loaded", false, 0, 0);
	expect_frame("w_below", false, 0, 0);
	expect_frame("w_other", false, 0, 0);
	expect_frame("w_gone", false, 0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_table_is_reached_through_the_got_or_without),
		cmocka_unit_test(another_slot_or_table_is_not_the_wanted_one),
		cmocka_unit_test(an_address_holds_where_all_paths_agree),
		cmocka_unit_test(what_a_jump_table_leads_to_is_a_join),
		cmocka_unit_test(a_call_that_others_share_is_no_place_for_the_end_of_sql),
		cmocka_unit_test(an_object_in_the_frame_is_found_by_the_add_that_makes_its_address),
	};

	return cmocka_run_group_tests_name("probe/site, aarch64", tests, open_sites, close_sites);
}
