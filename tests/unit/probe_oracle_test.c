/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Site selection on every function of the installed server, against a slow second opinion that
 * shares nothing with it: it reads capstone's text, not the project's view of instructions, knows
 * the branches of the whole program, and has its own list of what the kernel emulates.
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

#include "base/util.h"
#include "probe/site.h"

#define SERVER "/usr/lib/postgresql/15/bin/postgres"

struct insn {
	uint64_t address;
	uint8_t size;
	uint8_t bytes[16];
	char mnemonic[16];
	char operands[64];
};

static struct ws_image *server;
static csh handle;
enum { JUMPED_TO = 1, CALLED = 2 };
static uint8_t *reached; /* one byte per byte of code */
static uint64_t code_start, code_end;

/* Both sides look at functions of at most this many instructions. */
#define INSNS_MAX 20000
static struct insn insns[INSNS_MAX];

static size_t disassemble(struct ws_range range)
{
	size_t left, count = 0;
	const uint8_t *bytes = ws_image_bytes(server, range.start, &left);
	uint64_t address = range.start;
	cs_insn *insn = cs_malloc(handle);

	left = range.end - range.start;
	while (count < INSNS_MAX && cs_disasm_iter(handle, &bytes, &left, &address, insn)) {
		struct insn *out = &insns[count++];

		out->address = insn->address;
		out->size = (uint8_t)insn->size;
		memcpy(out->bytes, insn->bytes, sizeof(out->bytes));
		snprintf(out->mnemonic, sizeof(out->mnemonic), "%.15s", insn->mnemonic);
		snprintf(out->operands, sizeof(out->operands), "%.63s", insn->op_str);
	}
	cs_free(insn, 1);
	return count;
}

static bool is_jump(const struct insn *insn)
{
	return insn->mnemonic[0] == 'j' || strncmp(insn->mnemonic, "loop", 4) == 0 ||
	       strstr(insn->mnemonic, " jmp") != NULL;
}

static bool is_transfer(const struct insn *insn)
{
	return is_jump(insn) || strstr(insn->mnemonic, "call") || strstr(insn->mnemonic, "ret") ||
	       strcmp(insn->mnemonic, "ud2") == 0 || strcmp(insn->mnemonic, "hlt") == 0 ||
	       strcmp(insn->mnemonic, "int3") == 0;
}

/* facts of the kernel: push of a register, call, jmp and jcc to a fixed place, nop; no prefix but
 * REX.B */
static bool is_emulated(const struct insn *insn)
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

static bool is_word_of(const char *word, size_t len, const char *list)
{
	char padded[24];

	if (len + 3 > sizeof(padded))
		return false;
	snprintf(padded, sizeof(padded), " %.*s ", (int)len, word);
	return strstr(list, padded) != NULL;
}

/* Does the instruction change a register, given all its names and the mnemonics that do so
 * silently? */
static bool changes(const struct insn *insn, const char *names, const char *silently)
{
	static const char readers[] =
		" cmp test push bt nop comisd ucomisd comiss ucomiss mul div idiv ";
	const char *op = insn->operands, *comma = strchr(op, ',');
	const char *m =
		strrchr(insn->mnemonic, ' ') ? strrchr(insn->mnemonic, ' ') + 1 : insn->mnemonic;

	/* movsd is also the name of an SSE instruction */
	if ((is_word_of(m, strlen(m), silently) && !strstr(op, "xmm")) ||
	    strncmp(insn->mnemonic, "rep", 3) == 0)
		return true;
	if (strcmp(m, "imul") == 0 && !comma) /* into rdx and rax, as mul */
		return is_word_of("mul", 3, silently);
	if (is_word_of(m, strlen(m), readers))
		return false;
	if (is_word_of(op, comma ? (size_t)(comma - op) : strlen(op), names))
		return true;
	/* xchg, xadd: the second as well */
	return comma && m[0] == 'x' && (m[1] == 'c' || m[1] == 'a') &&
	       is_word_of(comma + 2, strlen(comma + 2), names);
}

static const struct {
	const char *names, *silently;
} arguments[] = {
	{ " rdi edi di dil ", " stosq stosb stosd movsq movsb movsd scasb " },
	{ " rsi esi si sil ", " lodsq lodsb movsq movsb " },
	{ " rdx edx dx dl dh ", " mul div idiv cqo cdq cpuid rdtsc " },
};

static const char result_names[] = " rax eax ax al ah ";
static const char result_silently[] = " mul div idiv cwde cdqe cmpxchg cpuid rdtsc lodsb lodsq ";

static void find_jumps(void)
{
	size_t count;
	const struct ws_range *functions = ws_image_functions(server, &count);

	for (size_t i = 0; i < count; i++) {
		size_t n = disassemble(functions[i]);

		for (size_t j = 0; j < n; j++) {
			uint64_t to = strtoull(insns[j].operands, NULL, 0);

			if (to < code_start || to >= code_end)
				continue;
			if (is_jump(&insns[j]))
				reached[to - code_start] |= JUMPED_TO;
			else if (strcmp(insns[j].mnemonic, "call") == 0)
				reached[to - code_start] |= CALLED;
		}
	}
}

static int open_server(void **state)
{
	ws_autoclose int fd = open(SERVER, O_RDONLY | O_CLOEXEC);
	struct ws_error err = { 0 };
	size_t count;
	const struct ws_range *functions;

	(void)state;
	if (fd < 0) {
		print_error("%s is not installed\n", SERVER);
		return -1;
	}
	if (ws_image_open(&server, fd, SERVER, NULL, &err) ||
	    cs_open(CS_ARCH_X86, CS_MODE_64, &handle) != CS_ERR_OK)
		return -1;
	functions = ws_image_functions(server, &count);
	if (count < 10000)
		return -1;
	code_start = functions[0].start;
	code_end = functions[count - 1].end;
	reached = calloc(1, code_end - code_start);
	if (!reached)
		return -1;
	find_jumps();
	return 0;
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
	size_t first = strcmp(insns[0].mnemonic, "endbr64") == 0;

	assert_true(at >= 0);
	for (long i = 0; i < at; i++) {
		if (is_transfer(&insns[i]))
			fail_msg("0x%lx: control may leave before the site", site);
		if (is_jumped_to(insns[i + 1].address))
			fail_msg("0x%lx: reached by a jump", site);
		for (size_t a = 0; a < WS_ARRAY_SIZE(arguments); a++) {
			if (args >> a & 1 &&
			    changes(&insns[i], arguments[a].names, arguments[a].silently))
				fail_msg("0x%lx: argument %zu is gone (%s %s)", site, a + 1,
					 insns[i].mnemonic, insns[i].operands);
		}
	}
	if ((cost == WS_COST_EMULATED) != is_emulated(&insns[at]))
		fail_msg("0x%lx: cost %d", site, cost);
	if (is_emulated(&insns[first]) && !is_jumped_to(insns[first].address))
		assert_int_equal(at, first);
}

static void every_entry_site_of_the_server_sees_its_arguments(void **state)
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
	/* gcc -fno-omit-frame-pointer: nearly every function begins with a push */
	assert_true(functions_seen > 8000 && found > 3 * functions_seen);
	assert_true(emulated > found * 8 / 10);
}

/* The site behind the call at index `call`, by trying; 0 if there is none. */
static uint64_t expected_after(size_t count, size_t call, bool wants_result)
{
	for (size_t i = call + 1; i < count; i++) {
		if (is_jumped_to(insns[i].address))
			return 0;
		if (is_emulated(&insns[i]))
			return insns[i].address;
		if (is_transfer(&insns[i]))
			return 0;
		if (wants_result && changes(&insns[i], result_names, result_silently))
			return 0;
	}
	return 0;
}

static bool is_direct_call(const struct insn *insn, uint64_t *target)
{
	if (insn->bytes[0] != 0xe8 || insn->size != 5)
		return false;
	*target = strtoull(insn->operands, NULL, 0);
	return true;
}

static size_t calls_of(size_t count, uint64_t callee)
{
	size_t calls = 0;

	for (size_t i = 0; i < count; i++) {
		uint64_t target;

		calls += is_direct_call(&insns[i], &target) && target == callee;
	}
	return calls;
}

/*
 * One-sided where a switch is: its jump table is not known to this opinion, so the planner may
 * refuse more, never less.
 */
static void check_calls(const struct ws_body *body, size_t n, size_t *found, size_t *refused)
{
	bool has_switch = false;

	for (size_t i = 0; i < n; i++)
		has_switch |= strstr(insns[i].mnemonic, "jmp") && insns[i].operands[0] != '0';
	for (size_t i = 0; i < n; i++) {
		struct ws_probe probe = { .function = "f",
					  .kind = WS_SITE_AFTER_CALL,
					  .callee = "callee",
					  .wants_result = i & 1 };
		struct ws_site_query query = { .probe = &probe };
		struct ws_site_choice choice;
		uint64_t site = 0, expected;

		if (!is_direct_call(&insns[i], &query.callee) || calls_of(n, query.callee) != 1)
			continue;
		if (ws_site_find(body, &query, &choice))
			site = body->code.insns[choice.index].address;
		expected = expected_after(n, i, probe.wants_result);
		if (site != expected && !(site == 0 && has_switch))
			fail_msg("behind the call at 0x%lx: 0x%lx, not 0x%lx (%s)",
				 insns[i].address, site, expected, choice.reason);
		*(site ? found : refused) += 1;
	}
}

static void every_site_behind_a_call_is_the_one_trying_finds(void **state)
{
	size_t count, found = 0, refused = 0;
	const struct ws_range *functions = ws_image_functions(server, &count);

	(void)state;
	for (size_t i = 0; i < count; i++) {
		size_t n = disassemble(functions[i]);
		struct ws_body body;

		/* calls_of is quadratic */
		if (n > 1500 || !is_function(functions[i].start) ||
		    ws_body_load(server, functions[i].start, 0, &body, NULL))
			continue;
		check_calls(&body, n, &found, &refused);
		ws_body_deinit(&body);
	}
	print_message("%zu sites behind calls, %zu refused\n", found, refused);
	assert_true(found > 10000 && refused > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_entry_site_of_the_server_sees_its_arguments),
		cmocka_unit_test(every_site_behind_a_call_is_the_one_trying_finds),
	};

	return cmocka_run_group_tests_name("probe/oracle", tests, open_server, close_server);
}
