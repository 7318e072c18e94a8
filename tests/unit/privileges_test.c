/* SPDX-License-Identifier: BSD-2-Clause */
/* What is said of capabilities, which depends on nothing but what is needed and there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants these before it */
#include <cmocka.h>

#include "probe/privileges.h"

static struct ws_privileges have(unsigned int caps, unsigned int need, bool root)
{
	static const char *const names[WS_PRIVILEGE_COUNT] = {
		"CAP_BPF", "CAP_PERFMON", "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH", "CAP_SYS_ADMIN"
	};
	struct ws_privileges p = { .root = root, .file = "/opt/walscope" };

	for (int i = 0; i < WS_PRIVILEGE_COUNT; i++)
		p.list[i] =
			(struct ws_privilege){ names[i], "to try", caps >> i & 1, need >> i & 1 };
	return p;
}

static void names_of_what_is_missing_read_as_a_list(void **state)
{
	static const struct {
		unsigned int caps, need, count;
		const char *text;
	} cases[] = {
		{ 0xf, 0xf, 0, "" },
		{ 0, 0, 0, "" },
		{ 0xe, 0xf, 1, "CAP_BPF" },
		{ 0xc, 0xf, 2, "CAP_BPF and CAP_PERFMON" },
		{ 0x8, 0xf, 3, "CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE" },
		{ 0, 0x1f, 5,
		  "CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH and CAP_SYS_ADMIN" },
	};
	char text[WS_PRIVILEGES_TEXT];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct ws_privileges p = have(cases[i].caps, cases[i].need, false);

		assert_int_equal(ws_privileges_missing(&p, text), cases[i].count);
		assert_string_equal(text, cases[i].text);
	}
}

static void the_fix_gives_all_that_is_ever_needed(void **state)
{
	struct ws_privileges p = have(0, 0x3, false);
	char text[WS_PRIVILEGES_FIX];

	(void)state;
	ws_privileges_setcap(&p, text);
	assert_string_equal(text, "setcap cap_bpf,cap_perfmon,cap_sys_ptrace,cap_dac_read_search"
				  "=ep /opt/walscope");
	ws_privileges_ambient(&p, text);
	assert_string_equal(text, "AmbientCapabilities=CAP_BPF CAP_PERFMON CAP_SYS_PTRACE "
				  "CAP_DAC_READ_SEARCH");
	p = have(0, 0x1f, false);
	ws_privileges_fix(&p, text);
	assert_string_equal(text, "setcap cap_bpf,cap_perfmon,cap_sys_ptrace,cap_dac_read_search,"
				  "cap_sys_admin=ep /opt/walscope");
}

static void root_is_told_to_ask_his_container(void **state)
{
	struct ws_privileges p = have(0xd, 0xf, true);
	struct ws_error err;
	char text[WS_PRIVILEGES_FIX];

	(void)state;
	ws_privileges_fix(&p, text);
	assert_non_null(strstr(text, "give CAP_PERFMON to the container"));
	assert_int_equal(ws_privileges_check(&p, &err), -1);
	assert_string_equal(err.why, "CAP_PERFMON is missing (to try)");
}

static void what_is_not_needed_is_not_missed(void **state)
{
	struct ws_privileges p = have(0x3, 0x3, false);
	struct ws_error err;

	(void)state;
	assert_int_equal(ws_privileges_check(&p, &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_of_what_is_missing_read_as_a_list),
		cmocka_unit_test(the_fix_gives_all_that_is_ever_needed),
		cmocka_unit_test(root_is_told_to_ask_his_container),
		cmocka_unit_test(what_is_not_needed_is_not_missed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
