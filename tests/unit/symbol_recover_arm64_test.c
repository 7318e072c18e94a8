/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What recovery makes of aarch64 code: small programs, held against the symbol table they had.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../lib/symbol_fixture.h"
#include "base/util.h"
#include "symbol/resolve.h"

/* An elog.c in miniature: the beginning of struct ErrorData, and who reads it. */
static const char elog_source[] =
	"#define API __attribute__((noinline))\n"
	"struct error { int elevel; _Bool to_server, to_client; char *text; int code, cursor, "
	"internal;\n"
	"	char rest[SIZE]; };\n"
	"static int recursion, before[3]; static struct error errordata[5];\n"
	"static int errordata_stack_depth = -1; static int after[4];\n"
	"#ifdef OTHER\n"
	"static struct error other[5];\n"
	"#else\n"
	"#define other errordata\n"
	"#endif\n"
	"#ifdef BOTH\n"
	"static struct error second[5];\n"
	"#endif\n"
	"volatile int sink; void server(void *), client(void *);\n"
	"void server(void *e) { sink++; } void client(void *e) { sink--; }\n"
	"API void EmitErrorReport(void)\n"
	"{\n"
	"	struct error *e = &other[errordata_stack_depth];\n"
	"	recursion++; if (e->to_server) server(e); if (e->to_client) client(e); "
	"recursion--;\n"
	"#ifdef BOTH\n"
	"	e = &second[errordata_stack_depth]; if (e->to_server) server(e);\n"
	"	if (e->to_client) client(e);\n"
	"#endif\n"
	"}\n"
	"API int geterrcode(void) { return errordata[errordata_stack_depth].code; }\n"
	"API int geterrposition(void) { return errordata[errordata_stack_depth].cursor; }\n"
	"API int internalerrposition(int at)\n"
	"{ errordata[errordata_stack_depth].internal = at; return before[sink] + after[sink]; }\n"
	"API void errfinish(const char *file, int line, const char *func)\n"
	"{\n"
	"	struct error *e = &errordata[errordata_stack_depth]; int level = e->elevel;\n"
	"	recursion++; e->text = (char *)file; e->code = line; EmitErrorReport();\n"
	"#ifdef BOTH\n"
	"	level += second[errordata_stack_depth].elevel;\n"
	"#endif\n"
	"	before[sink] = after[sink] = level; errordata_stack_depth--; recursion--;\n"
	"}\n"
	"API int errstart(int level)\n"
	"{\n"
	"	struct error *e = &errordata[++errordata_stack_depth]; e->elevel = level;\n"
	"	e = &other[level]; e->to_server = level > 2; e->to_client = level > 3;\n"
	"#ifdef BOTH\n"
	"	e = &second[level]; *e = errordata[errordata_stack_depth];\n"
	"#endif\n"
	"	return level;\n"
	"}\n";

/* Resolves the stripped program; *truth: where errordata was. */
static void recover_elog(const char *flags, struct ws_symbol_set *set, uint64_t *truth)
{
	char path[512], stripping[256];
	struct ws_image *image;
	struct ws_error err;

	ws_fixture_compile_arm64("elog.c", elog_source, flags, path, sizeof(path));
	image = ws_fixture_open(path);
	assert_non_null(ws_image_symbol(image, "errordata"));
	*truth = ws_image_symbol(image, "errordata")->address;
	ws_image_free(image);
	snprintf(stripping, sizeof(stripping), "%s -Wl,-s", flags);
	ws_fixture_compile_arm64("elog.c", elog_source, stripping, path, sizeof(path));
	image = ws_fixture_open(path);
	assert_true(ws_image_is_stripped(image));
	assert_int_equal(ws_resolve(image, &(struct ws_resolve_options){ 0 }, set, &err), 0);
	ws_image_free(image);
}

static void errordata_is_found_by_what_is_read_of_its_elements(void **state)
{
	/* Sizes of an element that are reached by shifts, by additions and by a multiplication. */
	static const char *const flags[] = { "-DSIZE=24", "-O3 -DSIZE=24", "-DSIZE=152",
					     "-O1 -DSIZE=160" };

	(void)state;
	for (size_t i = 0; i < WS_ARRAY_SIZE(flags); i++) {
		const struct ws_symbol *symbol;
		struct ws_symbol_set set;
		uint64_t truth;

		recover_elog(flags[i], &set, &truth);
		symbol = ws_symbol_find(&set, "errordata");
		if (symbol->status != WS_SYMBOL_FOUND || symbol->address != truth)
			fail_msg("with %s: %s at 0x%lx, not 0x%lx", flags[i],
				 ws_symbol_status_name(symbol->status), symbol->address, truth);
		assert_int_equal(symbol->source, WS_SOURCE_RECOVERED);
		ws_symbol_set_deinit(&set);
	}
}

static void expect_none(const char *flags)
{
	struct ws_symbol_set set;
	uint64_t truth;

	recover_elog(flags, &set, &truth);
	assert_int_equal(ws_symbol_find(&set, "errordata")->status, WS_SYMBOL_UNKNOWN);
	ws_symbol_set_deinit(&set);
}

static void an_array_that_only_one_of_them_reads_is_not_errordata(void **state)
{
	(void)state;
	expect_none("-DSIZE=24 -DOTHER");
}

static void two_arrays_that_all_of_them_read_leave_errordata_unknown(void **state)
{
	(void)state;
	expect_none("-DSIZE=24 -DBOTH");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(errordata_is_found_by_what_is_read_of_its_elements),
		cmocka_unit_test(an_array_that_only_one_of_them_reads_is_not_errordata),
		cmocka_unit_test(two_arrays_that_all_of_them_read_leave_errordata_unknown),
	};

	return cmocka_run_group_tests_name("symbol/recover, aarch64", tests, NULL,
					   ws_fixture_teardown);
}
