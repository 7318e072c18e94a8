/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Site selection on every function of a program, against a slow second opinion that shares nothing
 * with it: it reads capstone's text (tests/lib/second_opinion.h), knows the branches of the whole
 * program, and has its own list of what the kernel emulates.
 *
 * The programs are the installed server and a part of walscope itself compiled for aarch64; with
 * arguments, the files named: `probe_oracle_test FILE...` (tests/matrix, or a server of any other
 * build).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <capstone/capstone.h>
#include <cmocka.h>

#include "../lib/second_opinion.h"
#include "../lib/symbol_fixture.h"
#include "base/util.h"
#include "probe/site.h"

static struct ws_image *server;
static const struct opinion *opinion;
static csh handle;
enum { JUMPED_TO = 1, CALLED = 2 };
static uint8_t *reached; /* one byte per byte of code */
static uint64_t code_start, code_end;

/* Both sides look at functions of at most this many instructions. */
#define INSNS_MAX 20000
static struct op_insn insns[INSNS_MAX];

static size_t disassemble(struct ws_range range)
{
	size_t left, count = 0;
	const uint8_t *bytes = ws_image_bytes(server, range.start, &left);
	uint64_t address = range.start;
	cs_insn *insn = cs_malloc(handle);

	left = range.end - range.start;
	while (count < INSNS_MAX && cs_disasm_iter(handle, &bytes, &left, &address, insn)) {
		struct op_insn *out = &insns[count++];

		out->address = insn->address;
		out->size = (uint8_t)insn->size;
		memcpy(out->bytes, insn->bytes, sizeof(out->bytes));
		snprintf(out->mnemonic, sizeof(out->mnemonic), "%.15s", insn->mnemonic);
		snprintf(out->operands, sizeof(out->operands), "%.63s", insn->op_str);
	}
	cs_free(insn, 1);
	return count;
}

static bool is_jumped_to(uint64_t address)
{
	return address < code_start || address >= code_end ||
	       reached[address - code_start] & JUMPED_TO;
}

/* The cold part of a function has a range of its own, but is entered by jumps into its middle: no
 * place anybody asks a site of. */
static bool is_function(uint64_t address)
{
	return reached[address - code_start] & CALLED || ws_image_symbol_at(server, address);
}

static void find_jumps(void)
{
	size_t count;
	const struct ws_range *functions = ws_image_functions(server, &count);

	for (size_t i = 0; i < count; i++) {
		size_t n = disassemble(functions[i]);

		for (size_t j = 0; j < n; j++) {
			uint64_t to;

			if (opinion->is_jump(&insns[j], &to) && to >= code_start && to < code_end)
				reached[to - code_start] |= JUMPED_TO;
			if (opinion->is_call(&insns[j], &to) && to >= code_start && to < code_end)
				reached[to - code_start] |= CALLED;
		}
	}
}

/* A program of the other architecture: no function of it is ever run, so nothing has to be there to
 * link. */
static void compile_arm64(char *path, size_t size)
{
	static const char command[] = "clang --target=aarch64-linux-gnu -w -O2 -fPIC -shared "
				      "-nostdlib -fuse-ld=lld -D_GNU_SOURCE "
				      "-isystem /usr/aarch64-linux-gnu/include -Isrc -Ibpf "
				      "-o %s src/session/*.c src/export/*.c "
				      "src/event/schema.c src/stats/*.c src/base/*.c";
	char line[1024];

	snprintf(path, size, "/tmp/walscope-oracle-%d.so", (int)getpid());
	snprintf(line, sizeof(line), command, path);
	if (system(line) != 0)
		fail_msg("this failed: %s", line);
}

static int open_program(const char *path)
{
	ws_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct ws_error err = { 0 };
	size_t count;
	const struct ws_range *functions;

	if (fd < 0 || ws_image_open(&server, fd, path, NULL, &err)) {
		print_error("%s: %s\n", path, fd < 0 ? "cannot be opened" : err.why);
		return -1;
	}
	opinion = opinion_of(ws_image_arch(server));
	if (cs_open(opinion->arch, opinion->mode, &handle) != CS_ERR_OK)
		return -1;
	functions = ws_image_functions(server, &count);
	code_start = functions[0].start;
	code_end = functions[count - 1].end;
	reached = calloc(1, code_end - code_start);
	if (!reached)
		return -1;
	find_jumps();
	return 0;
}

static int open_installed(void **state)
{
	(void)state;
	return open_program(ws_fixture_server());
}

static int open_arm64(void **state)
{
	char path[64];
	int rc;

	(void)state;
	compile_arm64(path, sizeof(path));
	rc = open_program(path);
	unlink(path);
	return rc;
}

static char **named; /* files of the command line */

static int open_named(void **state)
{
	(void)state;
	return open_program(*named);
}

static int close_server(void **state)
{
	(void)state;
	free(reached);
	cs_close(&handle);
	ws_image_free(server);
	return 0;
}

static long index_of(size_t count, uint64_t address)
{
	for (size_t i = 0; i < count; i++) {
		if (insns[i].address == address)
			return (long)i;
	}
	return -1;
}

/* An entry site must see the arguments, on the way every call takes and no other. */
static void check_entry(size_t count, uint64_t site, enum ws_cost cost, uint32_t args)
{
	long at = index_of(count, site);
	size_t first = opinion->is_landing_pad(&insns[0]);

	assert_true(at >= 0);
	for (long i = 0; i < at; i++) {
		if (opinion->is_transfer(&insns[i]))
			fail_msg("0x%lx: control may leave before the site", site);
		if (is_jumped_to(insns[i + 1].address))
			fail_msg("0x%lx: reached by a jump", site);
		if (opinion->stores(&insns[i]))
			fail_msg("0x%lx: memory is changed before the site (%s %s)", site,
				 insns[i].mnemonic, insns[i].operands);
		for (int a = 0; a < OP_ARGUMENTS; a++) {
			if (args >> a & 1 && opinion->changes(&insns[i], a))
				fail_msg("0x%lx: argument %d is gone (%s %s)", site, a + 1,
					 insns[i].mnemonic, insns[i].operands);
		}
	}
	if ((cost == WS_COST_EMULATED) != opinion->is_emulated(&insns[at]))
		fail_msg("0x%lx: cost %d", site, cost);
	if (opinion->is_emulated(&insns[first]) && !is_jumped_to(insns[first].address))
		assert_int_equal(at, first);
}

static void every_entry_site_sees_its_arguments_and_memory_as_it_was(void **state)
{
	static const uint32_t masks[] = { 0, 1, 3, 7 };
	size_t count, functions_seen = 0, found = 0, emulated = 0;
	const struct ws_range *functions = ws_image_functions(server, &count);

	(void)state;
	for (size_t i = 0; i < count; i++) {
		size_t n = disassemble(functions[i]);
		struct ws_body body;

		if (!is_function(functions[i].start) ||
		    ws_body_load(server, functions[i].start, 0, &body, NULL))
			continue;
		functions_seen++;
		for (size_t m = 0; m < WS_ARRAY_SIZE(masks); m++) {
			const struct ws_probe probe = { .function = "f",
							.kind = WS_SITE_ENTRY,
							.args = masks[m] };
			const struct ws_site_query query = { .probe = &probe };
			struct ws_site_choice choice;

			if (!ws_site_find(&body, &query, &choice))
				continue;
			check_entry(n, body.code.insns[choice.index].address, choice.cost,
				    masks[m]);
			found++;
			emulated += choice.cost == WS_COST_EMULATED;
		}
		ws_body_deinit(&body);
	}
	print_message("%zu of %zu entry sites are emulated, %zu functions\n", emulated, found,
		      functions_seen);
	assert_true(functions_seen > 100 && found > 3 * functions_seen);
	/* gcc -fno-omit-frame-pointer: nearly every function of the server begins with a push */
	if (opinion->arch == CS_ARCH_X86)
		assert_true(emulated > found * 8 / 10);
}

/* The site behind the call at index `call`, by trying; 0 if there is none. */
static uint64_t expected_after(size_t count, size_t call, bool wants_result)
{
	for (size_t i = call + 1; i < count; i++) {
		if (is_jumped_to(insns[i].address))
			return 0;
		if (opinion->is_emulated(&insns[i]))
			return insns[i].address;
		if (opinion->is_transfer(&insns[i]))
			return 0;
		if (wants_result && opinion->changes(&insns[i], OP_RESULT))
			return 0;
	}
	return 0;
}

static size_t calls_of(size_t count, uint64_t callee)
{
	size_t calls = 0;

	for (size_t i = 0; i < count; i++) {
		uint64_t target;

		calls += opinion->is_call(&insns[i], &target) && target == callee;
	}
	return calls;
}

/* What leaves the function for the callee at its end. */
static size_t tail_calls_of(size_t count, uint64_t callee)
{
	size_t calls = 0;

	for (size_t i = 0; i < count; i++) {
		const char *word = insns[i].mnemonic;
		uint64_t target;

		calls += opinion->is_jump(&insns[i], &target) && target == callee &&
			 (!strcmp(word, "jmp") || !strcmp(word, "b"));
	}
	return calls;
}

/* A jump table's branches are not known to this opinion. */
static bool has_switch(size_t count)
{
	uint64_t to;

	for (size_t i = 0; i < count; i++) {
		if (opinion->is_jump(&insns[i], &to) && to == 0)
			return true;
	}
	return false;
}

struct tally {
	size_t at_calls, found, refused, several;
};

/* The only call of a callee is the site; of several, none is. */
static void check_at_call(const struct ws_body *body, size_t n, size_t i, uint64_t callee,
			  struct tally *tally)
{
	const struct ws_probe probe = { .function = "f", .kind = WS_SITE_CALL, .callee = "callee" };
	const struct ws_site_query query = { .probe = &probe, .callee = callee };
	struct ws_site_choice choice;
	bool found = ws_site_find(body, &query, &choice);

	if (calls_of(n, callee) + tail_calls_of(n, callee) != 1) {
		if (found)
			fail_msg("one of several calls of 0x%lx was taken", callee);
		tally->several++;
		return;
	}
	if (!found || body->code.insns[choice.index].address != insns[i].address)
		fail_msg("at the call at 0x%lx: %s", insns[i].address,
			 found ? "another place" : choice.reason);
	assert_int_equal(choice.cost, WS_COST_EMULATED);
	tally->at_calls++;
}

/* One-sided where a switch is: the planner may refuse more, never less. */
static void check_behind_call(const struct ws_body *body, size_t n, size_t i, uint64_t callee,
			      bool wants_result, struct tally *tally)
{
	const struct ws_probe probe = { .function = "f",
					.kind = WS_SITE_AFTER_CALL,
					.callee = "callee",
					.wants_result = wants_result };
	const struct ws_site_query query = { .probe = &probe, .callee = callee };
	const uint64_t expected = expected_after(n, i, wants_result);
	struct ws_site_choice choice;
	uint64_t site = 0;

	if (ws_site_find(body, &query, &choice))
		site = body->code.insns[choice.index].address;
	if (site != expected && !(site == 0 && has_switch(n)))
		fail_msg("behind the call at 0x%lx: 0x%lx, not 0x%lx (%s)", insns[i].address, site,
			 expected, choice.reason);
	*(site ? &tally->found : &tally->refused) += 1;
}

static void check_calls(const struct ws_body *body, size_t n, struct tally *tally)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t callee;

		if (!opinion->is_call(&insns[i], &callee) || !callee)
			continue;
		check_at_call(body, n, i, callee, tally);
		if (calls_of(n, callee) == 1)
			check_behind_call(body, n, i, callee, i & 1, tally);
	}
}

static void every_site_at_and_behind_a_call_is_the_one_trying_finds(void **state)
{
	struct tally tally = { 0 };
	size_t count;
	const struct ws_range *functions = ws_image_functions(server, &count);

	(void)state;
	for (size_t i = 0; i < count; i++) {
		size_t n = disassemble(functions[i]);
		struct ws_body body;

		/* calls_of is quadratic */
		if (n > 1500 || !is_function(functions[i].start) ||
		    ws_body_load(server, functions[i].start, 0, &body, NULL))
			continue;
		check_calls(&body, n, &tally);
		ws_body_deinit(&body);
	}
	print_message("%zu sites at calls, %zu behind them, %zu refused, %zu of several\n",
		      tally.at_calls, tally.found, tally.refused, tally.several);
	assert_true(tally.at_calls > 100 && tally.found > 100 && tally.refused > 20 &&
		    tally.several > 100);
}

static int run(const char *name, CMFixtureFunction open)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_entry_site_sees_its_arguments_and_memory_as_it_was),
		cmocka_unit_test(every_site_at_and_behind_a_call_is_the_one_trying_finds),
	};

	return _cmocka_run_group_tests(name, tests, WS_ARRAY_SIZE(tests), open, close_server);
}

int main(int argc, char **argv)
{
	int failed = 0;

	if (argc < 2)
		return run("probe/oracle", open_installed) +
		       run("probe/oracle, aarch64", open_arm64);
	for (named = argv + 1; *named; named++)
		failed += run(*named, open_named);
	return failed;
}
