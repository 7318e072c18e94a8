/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command line as people find it: what is refused as usage, --help, --version and man pages.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/sample.h"
#include "base/util.h"
#include "cli/cli.h"

static void test_usage_errors_are_one_line_and_status_2(void **state)
{
	static const struct {
		const char *args[6];
		const char *why;
	} cases[] = {
		{ { NULL }, "no command" },
		{ { "frob" }, "unknown command frob" },
		{ { "session", "x" }, "unknown command session" },
		{ { "--frob" }, "unknown option --frob" },
		{ { "record" }, "-o FILE: missing" },
		{ { "record", "-o" }, "-o" },
		{ { "record", "-o", "x", "y" }, "y: takes no operand" },
		{ { "record", "--json", "-o", "x" }, "--json: unknown option" },
		{ { "record", "-o", "x", "--duration", "0" }, "--duration 0: not a duration" },
		{ { "record", "-o", "x", "--duration", "-1" }, "--duration -1: not a duration" },
		{ { "record", "-o", "x", "--duration=400d" }, "--duration 400d: not a duration" },
		{ { "record", "-o", "x", "--duration=4x" }, "--duration 4x: not a duration" },
		{ { "record", "-o", "x", "--duration" }, "--duration: needs an argument" },
		{ { "record", "-o", "x", "--level=0" }, "--level 0: not a level" },
		{ { "record", "-o", "x", "--level=4" }, "--level 4: not a level" },
		{ { "record", "-o", "x", "--level=2x" }, "--level 2x: not a level" },
		{ { "record", "-o", "x", "--ring=5000" }, "--ring 5000: not a power of two" },
		{ { "record", "-o", "x", "--ring=2k" }, "--ring 2k: not a power of two" },
		{ { "record", "-o", "x", "--ring=2G" }, "--ring 2G: not a power of two" },
		{ { "record", "-o", "x", "--ring=8kB" }, "--ring 8kB: not a power of two" },
		{ { "record", "-o", "x", "--ring=8K" }, "--ring 8K: not a power of two" },
		{ { "record", "-o", "x", "--ring=-4k" }, "--ring -4k: not a power of two" },
		{ { "record", "-o", "x", "--flight=1000k" },
		  "--flight 1000k: not a size of 1M or more" },
		{ { "record", "-o", "x", "--flight=1MB" },
		  "--flight 1MB: not a size of 1M or more" },
		{ { "record", "-o", "x", "--flight=9999999T" },
		  "--flight 9999999T: not a size of 1M or more" },
		{ { "record", "-o", "x", "--flight=1M," },
		  "--flight 1M,: the age is not a duration" },
		{ { "record", "-o", "x", "--flight=1M,1ms" },
		  "--flight 1M,1ms: the age is not a duration" },
		{ { "record", "-o", "x", "--flight=1M", "--flight=2M" },
		  "--flight: given more than once" },
		{ { "freeze", "-o", "x" }, "DIR: missing" },
		{ { "freeze", "a" }, "-o FILE: missing" },
		{ { "freeze", "a", "-o", "x", "--last=0" }, "--last 0: not a duration" },
		{ { "freeze", "a", "-o", "x", "--last=1", "--from=-2" },
		  "--from: not together with --last" },
		{ { "freeze", "a", "-o", "x", "--from=-2", "--last=1" },
		  "--last: not together with --from" },
		{ { "record", "-o", "x", "--pid=0" }, "--pid 0: not a process id" },
		{ { "record", "-o", "x", "--pid=4194305" }, "--pid 4194305: not a process id" },
		{ { "record", "-o", "x", "--pid=99999999999999999999" }, "not a process id" },
		{ { "record", "-o", "x", "--p=1" }, "--p=1: could be more than one option" },
		{ { "record", "-o", "x", "--kind=all" }, "--kind all: not one of" },
		{ { "record", "-o", "x", "--slot=" }, "--slot: empty" },
		{ { "record", "-o", "x", "--postmaster=data" }, "--postmaster data: neither" },
		{ { "record", "-o", "x", "-q", "-v" }, "-q: not together with -v" },
		{ { "sessions" }, "FILE: missing" },
		{ { "history" }, "FILE: missing" },
		{ { "timeline" }, "FILE: missing" },
		{ { "hist" }, "FILE: missing" },
		{ { "sessions", "a", "b" }, "b: more than one FILE" },
		{ { "sessions", "a", "--live" }, "--live: not together with a FILE" },
		{ { "sessions", "a", "--duration=1" }, "--duration: only when tracing" },
		{ { "trace", "a", "--level=1" }, "--level: only when tracing" },
		{ { "trace", "a", "--ring=4k" }, "--ring: only when tracing" },
		{ { "trace", "--from=-1m" }, "only on a recording" },
		{ { "hist", "a", "--from=yesterday" }, "--from yesterday: neither RFC 3339" },
		{ { "hist", "a", "--from=9999-01-01T00:00:00Z" }, "neither RFC 3339" },
		{ { "hist", "a", "--from=2026-02-30T00:00:00Z" }, "neither RFC 3339" },
		{ { "hist", "a", "--from=2026-02-20T24:00:00Z" }, "neither RFC 3339" },
		{ { "hist", "a", "--from=2026-02-20T03:00:00.Z" }, "neither RFC 3339" },
		{ { "hist", "a", "--from=2026-02-20T03:00:00+24:00" }, "neither RFC 3339" },
		{ { "hist", "a", "--from=2026-02-20T03" }, "neither RFC 3339" },
		{ { "hist", "a", "--json=1" }, "--json=1: takes no argument" },
		{ { "hist", "" }, "FILE: empty" },
		{ { "hist", "a", "--session=17" }, "--session 17: not a session's id" },
		{ { "hist", "a", "--session=17." }, "--session 17.: not a session's id" },
		{ { "hist", "a", "--session=17.4x" }, "--session 17.4x: not a session's id" },
		{ { "hist", "a", "--pid=1", "--pid=2" }, "--pid: given more than once" },
		{ { "hist", "a", "--postmaster=1", "--postmaster=/a" },
		  "--postmaster: given more than once" },
		{ { "record", "-o", "x", "-o", "y" }, "-o: given more than once" },
		{ { "show" }, "FILE: missing" },
		{ { "show", "a", "--around=noon" }, "--around noon: neither RFC 3339" },
		{ { "show", "a", "--around=-1m", "--around=-2m" },
		  "--around: given more than once" },
		{ { "sessions", "a", "--around=-1m" }, "--around=-1m: unknown option" },
		{ { "import" }, "-o FILE: missing" },
		{ { "import", "-o", "x" }, "FILE: missing" },
		{ { "import", "a", "", "-o", "x" }, "FILE: empty" },
		{ { "import", "a", "-o", "x", "--format=xml" }, "--format xml: not one of" },
		{ { "import", "a", "-o", "x", "--timezone=No/Where" }, "no zone of that name" },
		{ { "doctor", "x" }, "x: takes no operand" },
		{ { "core" }, "CORE: missing" },
		{ { "core", "a", "--pid=1" }, "--pid: not together with a CORE" },
		{ { "core", "--pid=1", "--postgres=b" }, "--pid: not together with --postgres" },
		{ { "core", "a", "--backtrace" }, "--backtrace: only with --pid" },
		{ { "core", "a", "-o", "b", "--json" }, "--json: not together with -o" },
		{ { "symbols" }, "FILE: missing" },
		{ { "symbols", "a", "b" }, "b: more than one FILE" },
		{ { "symbols", "a", "--skip=dwarf,frob" },
		  "--skip dwarf,frob: not a list of steps" },
		{ { "symbols", "a", "--skip=" }, "--skip : not a list of steps" },
		{ { "symbols", "a", "--elf=" }, "--elf: empty" },
		{ { "symbols", "a", "--elf=x", "--elf=y" }, "--elf: given more than once" },
		{ { "symbols", "a", "--live" }, "--live: unknown option" },
		{ { "doctor", "--duration=1" }, "--duration: only when tracing" },
		{ { "doctor", "--pid=1", "--postgres=x" }, "--pid: not together with --postgres" },
	};

	(void)state;
	for (size_t i = 0; i < WS_ARRAY_SIZE(cases); i++)
		ws_cli_refused((struct ws_cli_run){ 0 }, cases[i].args, 2, cases[i].why);
}

/* -- help and man pages */

struct mention {
	const char *text; /* where every option is to be found */
	const char *verb;
};

static char *read_page(const char *name)
{
	char path[96];
	char *text = NULL;
	size_t size = 0;
	FILE *file;

	snprintf(path, sizeof(path), "docs/man/%s.8", name);
	file = fopen(path, "r");
	if (!file)
		print_error("%s does not exist\n", path);
	assert_non_null(file);
	assert_true(getdelim(&text, &size, '\0', file) > 0);
	fclose(file);
	return text;
}

/* Long options are written --name in help, \-\-name in man pages. */
static void mentioned(void *arg, const char *name, int letter)
{
	const struct mention *m = arg;
	char plain[64], man[64] = "\\-\\-";

	(void)letter;
	snprintf(plain, sizeof(plain), "--%s", name);
	for (const char *c = name; *c; c++)
		snprintf(man + strlen(man), sizeof(man) - strlen(man), *c == '-' ? "\\-" : "%c",
			 *c);
	if (!strstr(m->text, plain) && !strstr(m->text, man)) {
		print_error("%s: nothing about --%s\n", m->verb, name);
		fail();
	}
}

static void test_help_of_each_command_names_its_options(void **state)
{
	size_t count;
	const struct ws_verb *verbs = ws_verbs(&count);

	(void)state;
	assert_true(count >= 7);
	for (size_t i = 0; i < count; i++) {
		struct ws_cli_run run = { 0 };
		struct mention m = { .verb = verbs[i].name };

		ws_cli_run(&run, ARGS(verbs[i].name, "--help"));
		assert_int_equal(run.status, 0);
		assert_string_equal(run.err, "");
		m.text = run.out;
		ws_options_each(&verbs[i], mentioned, &m);
		ws_cli_run_deinit(&run);
	}
}

static void test_man_page_of_each_command_names_its_options(void **state)
{
	size_t count;
	const struct ws_verb *verbs = ws_verbs(&count);
	char *main_page = read_page("walscope");

	(void)state;
	for (size_t i = 0; i < count; i++) {
		char name[64], reference[80];
		struct mention m = { .verb = verbs[i].name };
		char *page;

		snprintf(name, sizeof(name), "walscope-%s", verbs[i].name);
		snprintf(reference, sizeof(reference), ".BR walscope\\-%s (8)", verbs[i].name);
		if (!strstr(main_page, reference))
			print_error("walscope.8 does not say '%s'\n", reference);
		assert_non_null(strstr(main_page, reference));
		page = read_page(name);
		m.text = page;
		ws_options_each(&verbs[i], mentioned, &m);
		assert_non_null(strstr(page, ".SH EXIT STATUS"));
		assert_non_null(strstr(page, ".SH EXAMPLES"));
		free(page);
	}
	free(main_page);
}

static void test_help_and_version(void **state)
{
	struct ws_cli_run run = { 0 };
	size_t count;
	const struct ws_verb *verbs = ws_verbs(&count);

	(void)state;
	ws_cli_run(&run, ARGS("--help"));
	assert_int_equal(run.status, 0);
	for (size_t i = 0; i < count; i++)
		assert_non_null(strstr(run.out, verbs[i].name));
	ws_cli_run_deinit(&run);
	ws_cli_run(&run, ARGS("--version"));
	assert_int_equal(run.status, 0);
	assert_string_equal(run.out, "walscope " WS_VERSION "\n");
	ws_cli_run_deinit(&run);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_usage_errors_are_one_line_and_status_2),
		cmocka_unit_test(test_help_of_each_command_names_its_options),
		cmocka_unit_test(test_man_page_of_each_command_names_its_options),
		cmocka_unit_test(test_help_and_version),
	};

	return cmocka_run_group_tests_name("cli usage", tests, NULL, NULL);
}
