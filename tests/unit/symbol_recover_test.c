/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Recovery, held against two truths: the symbol table of a small program before it was stripped,
 * and, for the installed server, which has none, relations that the recovery itself does not look
 * at.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../lib/symbol_fixture.h"
#include "base/util.h"
#include "symbol/code.h"
#include "symbol/resolve.h"

/* A walsender.c in miniature: what the signatures look for, and nothing that works. */
static const char walsender_source[] =
	"#define API __attribute__((noinline, noipa))\n"
	"#define OWN static __attribute__((noinline, noipa))\n"
	"volatile int sink; int am_walsender, wal_sender_timeout, whereToSendOutput;\n"
	"void (*volatile methods[2])(void); void *PqCommMethods = &methods;\n"
	"API int errstart(int level) { return sink; }\n"
	"API void errmsg(const char *text) { sink++; }\n"
	"API void errfinish(const char *file, int line, const char *function) "
	"{ sink += line + *file + *function; }\n"
	"API void ModifyWaitEvent(void) { sink++; }\n"
	"API int WaitEventSetWait(long timeout) { return sink; }\n"
	"API void proc_exit(int code) { for (;;) sink++; }\n"
	"API long GetCurrentTimestamp(void) { return sink; }\n"
	"API void resetStringInfo(void) { sink++; }\n"
	"API void enlargeStringInfo(void) { sink++; }\n"
	"API void ProcessConfigFile(void) { sink++; }\n"
	"API void SyncRepInitConfig(void) { sink++; }\n"
	"API void WalSndSetState(int state) { sink = state; }\n"
	"#define REPORT(name, text) do { if (errstart(1)) { errmsg(text); \\\n"
	"	errfinish(__FILE__, __LINE__, name); } } while (0)\n"
	"OWN void WalSndShutdown(void) { whereToSendOutput = 0; proc_exit(0); }\n"
	"OWN void WalSndWait(long timeout)\n"
	"{\n"
	"#ifdef FOREIGN\n"
	"	REPORT(\"SomebodyElse\", \"x\");\n"
	"#endif\n"
	"	ModifyWaitEvent(); if (WaitEventSetWait(timeout) == 1) proc_exit(1);\n"
	"}\n"
	"OWN void decoy(long timeout)\n"
	"{\n"
	"#ifdef TWINS\n"
	"	ModifyWaitEvent(); if (WaitEventSetWait(timeout + 1) == 1) proc_exit(1);\n"
	"#else\n"
	"	ModifyWaitEvent(); sink = WaitEventSetWait(timeout + 1);\n"
	"#endif\n"
	"}\n"
	"OWN void WalSndKeepalive(int reply)\n"
	"{\n"
	"	REPORT(\"WalSndKeepalive\", \"sending replication keepalive\");\n"
	"	resetStringInfo(); enlargeStringInfo(); sink = GetCurrentTimestamp();\n"
	"	((void (**)(void))PqCommMethods)[1]();\n"
	"}\n"
	"OWN void WalSndKeepaliveIfNecessary(void)\n"
	"{\n"
	"	if (wal_sender_timeout <= 0) return;\n"
	"	WalSndKeepalive(1);\n"
	"	((void (**)(void))PqCommMethods)[0]();\n"
	"	if (sink) WalSndShutdown();\n"
	"}\n"
	"#ifndef SIZE\n"
	"#define SIZE 8192\n"
	"#endif\n"
	"#ifdef NUMBERS\n"
	"static struct { long last, buffer[SIZE][2]; int write, read[3]; long kept[3][2]; } "
	"*lag_tracker;\n"
	"OWN long LagTrackerRead(int head, long lsn, long now)\n"
	"{\n"
	"	long time = 0;\n"
	"	while (lag_tracker->read[head] != lag_tracker->write &&\n"
	"		lag_tracker->buffer[lag_tracker->read[head]][0] <= lsn) {\n"
	"		time = lag_tracker->buffer[lag_tracker->read[head]][1];\n"
	"		lag_tracker->kept[head][0] = "
	"lag_tracker->buffer[lag_tracker->read[head]][0];\n"
	"		lag_tracker->kept[head][1] = time;\n"
	"		lag_tracker->read[head] = (lag_tracker->read[head] + 1) % SIZE;\n"
	"	}\n"
	"	if (lag_tracker->read[head] == lag_tracker->write) lag_tracker->kept[head][1] = "
	"0;\n"
	"	return time > now || !time ? -1 : now - time;\n"
	"}\n"
	"#endif\n"
	"OWN void WalSndLoop(void)\n"
	"{\n"
	"	REPORT(\"WalSndLoop\", \"\\\"%s\\\" has now caught up with upstream server\");\n"
	"	ProcessConfigFile(); SyncRepInitConfig(); WalSndSetState(3);\n"
	"	WalSndWait(1); decoy(2); WalSndKeepaliveIfNecessary(); sink = "
	"GetCurrentTimestamp();\n"
	"	((void (**)(void))PqCommMethods)[1]();\n"
	"#ifdef NUMBERS\n"
	"	lag_tracker = PqCommMethods; sink = LagTrackerRead(sink, sink, sink);\n"
	"#endif\n"
	"}\n"
	"API int exec_replication_command(const char *text)\n"
	"{\n"
	"	REPORT(\"exec_replication_command\", \"x\");\n"
	"	WalSndLoop(); return 1;\n"
	"}\n"
	"int main(void) { return exec_replication_command(\"\"); }\n";

static const char *const fixture_names[] = { "WalSndLoop", "WalSndShutdown", "WalSndWait",
					     "WalSndKeepalive", "WalSndKeepaliveIfNecessary" };

/* Resolves the stripped copy; `truth` gets the addresses the symbol table had. */
static void recover_fixture(const char *flags, struct ws_symbol_set *set,
			    uint64_t truth[WS_ARRAY_SIZE(fixture_names)])
{
	char path[512], stripped[520];
	struct ws_image *image;
	struct ws_error err;

	ws_fixture_compile("walsender.c", walsender_source, flags, path, sizeof(path));
	ws_fixture_strip(path, stripped, sizeof(stripped));
	image = ws_fixture_open(path);
	for (size_t i = 0; i < WS_ARRAY_SIZE(fixture_names); i++) {
		const struct ws_image_symbol *symbol = ws_image_symbol(image, fixture_names[i]);

		assert_non_null(symbol);
		assert_false(symbol->is_dynamic);
		truth[i] = symbol->address;
	}
	ws_image_free(image);
	image = ws_fixture_open(stripped);
	assert_true(ws_image_is_stripped(image));
	assert_int_equal(ws_resolve(image, &(struct ws_resolve_options){ 0 }, set, &err), 0);
	ws_image_free(image);
}

static void recovered_addresses_are_those_of_the_symbol_table(void **state)
{
	static const char *const flags[] = { "",
					     "-O1",
					     "-fno-pie -no-pie",
					     "-fcf-protection=full",
					     "-fno-plt",
					     "-ffunction-sections" };

	(void)state;
	for (size_t f = 0; f < WS_ARRAY_SIZE(flags); f++) {
		uint64_t truth[WS_ARRAY_SIZE(fixture_names)];
		struct ws_symbol_set set;

		recover_fixture(flags[f], &set, truth);
		for (size_t i = 0; i < WS_ARRAY_SIZE(fixture_names); i++) {
			const struct ws_symbol *symbol = ws_symbol_find(&set, fixture_names[i]);

			if (symbol->status != WS_SYMBOL_FOUND || symbol->address != truth[i])
				fail_msg("%s with \"%s\": %s at 0x%lx, not 0x%lx", symbol->name,
					 flags[f], ws_symbol_status_name(symbol->status),
					 symbol->address, truth[i]);
			assert_int_equal(symbol->source, WS_SOURCE_RECOVERED);
			assert_true(symbol->confidence >= 0.5 && symbol->confidence <= 1);
		}
		ws_symbol_set_deinit(&set);
	}
}

static void two_claimants_leave_a_name_unknown(void **state)
{
	uint64_t truth[WS_ARRAY_SIZE(fixture_names)];
	struct ws_symbol_set set;

	(void)state;
	recover_fixture("-DTWINS", &set, truth);
	assert_int_equal(ws_symbol_find(&set, "WalSndWait")->status, WS_SYMBOL_UNKNOWN);
	assert_int_equal(ws_symbol_find(&set, "WalSndKeepalive")->status, WS_SYMBOL_FOUND);
	ws_symbol_set_deinit(&set);
}

/* LagTrackerRead calls nothing and names nothing that is exported. Of other numbers it is another.
 */
static void a_function_that_names_nothing_is_known_by_its_numbers(void **state)
{
	static const char *const flags[] = { "-DNUMBERS", "-DNUMBERS -DSIZE=1024" };

	(void)state;
	for (size_t f = 0; f < WS_ARRAY_SIZE(flags); f++) {
		struct ws_resolve_options all = { .all = true };
		char path[512], stripped[520];
		const struct ws_symbol *symbol;
		struct ws_symbol_set set;
		struct ws_image *image;
		struct ws_error err;
		uint64_t truth;

		ws_fixture_compile("walsender.c", walsender_source, flags[f], path, sizeof(path));
		ws_fixture_strip(path, stripped, sizeof(stripped));
		image = ws_fixture_open(path);
		truth = ws_image_symbol(image, "LagTrackerRead")->address;
		ws_image_free(image);
		image = ws_fixture_open(stripped);
		assert_int_equal(ws_resolve(image, &all, &set, &err), 0);
		symbol = ws_symbol_find(&set, "LagTrackerRead");
		assert_int_equal(symbol->status, f ? WS_SYMBOL_UNKNOWN : WS_SYMBOL_FOUND);
		assert_int_equal(symbol->address, f ? 0 : truth);
		ws_symbol_set_deinit(&set);
		ws_image_free(image);
	}
}

static void a_body_that_names_another_function_is_rejected(void **state)
{
	uint64_t truth[WS_ARRAY_SIZE(fixture_names)];
	struct ws_symbol_set set;

	(void)state;
	recover_fixture("-DFOREIGN", &set, truth);
	assert_int_equal(ws_symbol_find(&set, "WalSndWait")->status, WS_SYMBOL_UNKNOWN);
	assert_int_equal(ws_symbol_find(&set, "WalSndKeepalive")->status, WS_SYMBOL_FOUND);
	ws_symbol_set_deinit(&set);
}

/* A postgres.c in miniature: the test of am_walsender in the caller, where gcc puts it when it
 * splits the function, or in the function. */
static const char postgres_source[] =
	"#define API __attribute__((noinline, noipa))\n"
	"volatile int sink; char am_walsender;\n"
	"API int errstart(int level) { return sink; }\n"
	"API void errmsg(const char *text) { sink++; }\n"
	"API void errfinish(const char *file, int line, const char *function) "
	"{ sink += line + *file + *function; }\n"
	"static __attribute__((noinline, noipa)) void\n"
	"#ifdef WHOLE\n"
	"forbidden_in_wal_sender(char type) { if (!am_walsender) return;\n"
	"#else\n"
	"part(char type) __asm__(\"forbidden_in_wal_sender.part.0\");\n"
	"static void part(char type) {\n"
	"#endif\n"
	"	if (errstart(type)) { if (type == 'F')\n"
	"		errmsg(\"fastpath function calls not supported in a replication "
	"connection\");\n"
	"	else errmsg(\"extended query protocol not supported in a replication "
	"connection\");\n"
	"		errfinish(__FILE__, __LINE__, \"forbidden_in_wal_sender\"); } }\n"
	"API int PostgresMain(int type)\n"
	"{\n"
	"#ifdef WHOLE\n"
	"	forbidden_in_wal_sender(type);\n"
	"#else\n"
	"	if (am_walsender) part(type);\n"
	"#endif\n"
	"	return sink;\n"
	"}\n"
	"int main(void) { return PostgresMain(1); }\n";

static void a_part_is_told_from_the_function_it_was_split_off(void **state)
{
	static const char name[] = "forbidden_in_wal_sender",
			  part[] = "forbidden_in_wal_sender.part";
	const struct {
		const char *flags, *symbol, *is, *is_not;
	} cases[] = {
		{ "-O2", "forbidden_in_wal_sender.part.0", part, name },
		{ "-O2 -DWHOLE", "forbidden_in_wal_sender", name, part },
		{ "-O0 -DWHOLE", "forbidden_in_wal_sender", name, part },
	};

	(void)state;
	for (size_t i = 0; i < WS_ARRAY_SIZE(cases); i++) {
		char path[512], stripped[520];
		struct ws_image *image;
		struct ws_symbol_set set;
		struct ws_error err;
		uint64_t truth;

		ws_fixture_compile("postgres.c", postgres_source, cases[i].flags, path,
				   sizeof(path));
		ws_fixture_strip(path, stripped, sizeof(stripped));
		image = ws_fixture_open(path);
		truth = ws_image_symbol(image, cases[i].symbol)->address;
		assert_int_equal(ws_resolve(image, &(struct ws_resolve_options){ 0 }, &set, &err),
				 0);
		assert_int_equal(ws_symbol_address(&set, cases[i].is), truth);
		assert_int_equal(ws_symbol_find(&set, cases[i].is)->source, WS_SOURCE_SYMTAB);
		assert_int_equal(ws_symbol_address(&set, cases[i].is_not), 0);
		ws_symbol_set_deinit(&set);
		ws_image_free(image);

		image = ws_fixture_open(stripped);
		assert_int_equal(ws_resolve(image, &(struct ws_resolve_options){ 0 }, &set, &err),
				 0);
		assert_int_equal(ws_symbol_address(&set, cases[i].is), truth);
		assert_int_equal(ws_symbol_find(&set, cases[i].is)->source, WS_SOURCE_RECOVERED);
		assert_int_equal(ws_symbol_address(&set, cases[i].is_not), 0);
		ws_symbol_set_deinit(&set);
		ws_image_free(image);
	}
}

/* A pqcomm.c in miniature; the comparison comes in every order and width. */
static void the_order_of_the_send_pointers_is_read_from_the_comparison(void **state)
{
	static const char source[] =
		"static WIDTH PqSendPointer, PqSendStart;\n"
		"static void reset(void) { PqSendPointer = PqSendStart = 0; }\n"
		"static int flush(void) { return ++PqSendStart; }\n"
		"static int flush_if_writable(void) { return --PqSendStart; }\n"
		"static _Bool is_send_pending(void) { return COMPARE; }\n"
		"static int putmessage(void) { return ++PqSendPointer; }\n"
		"static void putmessage_noblock(void) { PqSendPointer += 7; }\n"
		"static void *const methods[] = { reset, flush, flush_if_writable, "
		"is_send_pending,\n"
		"	putmessage, putmessage_noblock };\n"
		"void *const *PqCommMethods = methods;\n"
		"int main(void) { return 0; }\n";
	static const char *const flags[] = {
		"-DWIDTH=int '-DCOMPARE=PqSendStart<PqSendPointer'",
		"-DWIDTH=int '-DCOMPARE=PqSendPointer>PqSendStart'",
		"-DWIDTH=size_t '-DCOMPARE=PqSendStart<PqSendPointer' -include stddef.h",
		"-DWIDTH=size_t '-DCOMPARE=PqSendPointer>PqSendStart' -include stddef.h",
	};
	static const char *const names[] = { "PqSendPointer", "PqSendStart" };

	(void)state;
	for (size_t f = 0; f < WS_ARRAY_SIZE(flags); f++) {
		char path[512], stripped[520];
		struct ws_image *image, *bare;
		struct ws_symbol_set set;
		struct ws_error err;

		ws_fixture_compile("pqcomm.c", source, flags[f], path, sizeof(path));
		ws_fixture_strip(path, stripped, sizeof(stripped));
		image = ws_fixture_open(path);
		bare = ws_fixture_open(stripped);
		assert_int_equal(ws_resolve(bare, &(struct ws_resolve_options){ 0 }, &set, &err),
				 0);
		for (size_t i = 0; i < WS_ARRAY_SIZE(names); i++)
			assert_int_equal(ws_symbol_address(&set, names[i]),
					 ws_image_symbol(image, names[i])->address);
		assert_int_equal(ws_symbol_address(&set, "socket_is_send_pending"),
				 ws_image_symbol(image, "is_send_pending")->address);
		ws_symbol_set_deinit(&set);
		ws_image_free(bare);
		ws_image_free(image);
	}
}

/* The same comparison under another condition is some other function: no answer. */
static void another_comparison_is_no_send_pointer(void **state)
{
	static const char source[] = "static int a, b; static void f(void) { a++; b--; }\n"
				     "static _Bool g(void) { return a == b; }\n"
				     "static void *const methods[] = { f, f, f, g, f, f };\n"
				     "void *const *PqCommMethods = methods;\n"
				     "int main(void) { return 0; }\n";
	char path[512], stripped[520];
	struct ws_image *image;
	struct ws_symbol_set set;
	struct ws_error err;

	(void)state;
	ws_fixture_compile("pqcomm.c", source, "", path, sizeof(path));
	ws_fixture_strip(path, stripped, sizeof(stripped));
	image = ws_fixture_open(stripped);
	assert_int_equal(ws_resolve(image, &(struct ws_resolve_options){ 0 }, &set, &err), 0);
	assert_int_equal(ws_symbol_address(&set, "PqSendPointer"), 0);
	assert_int_equal(ws_symbol_address(&set, "PqSendStart"), 0);
	/* Two names for one body: neither. */
	assert_int_equal(ws_symbol_address(&set, "socket_flush"), 0);
	assert_int_equal(ws_symbol_address(&set, "socket_flush_if_writable"), 0);
	ws_symbol_set_deinit(&set);
	ws_image_free(image);
}

/* A pgstat.c of 13 in miniature: from 14 on the variable is exported. Where a second one is used in
 * the same way, neither is it. */
static void the_entry_of_a_backend_is_what_tells_of_its_progress(void **state)
{
	static const char source[] =
		"#define API __attribute__((noinline, noipa))\n"
		"struct entry { int changes, command, target; long param[20]; };\n"
		"static struct entry *MyBEEntry, *other; int CritSectionCount;\n"
		"_Bool pgstat_track_activities; REPORTED\n"
		"#define WRITE(what) do { volatile struct entry *e = MyBEEntry; \\\n"
		"	if (!e || !pgstat_track_activities) return; CritSectionCount++; \\\n"
		"	e->changes++; what; e->changes++; CritSectionCount--; } while (0)\n"
		"API void pgstat_progress_start_command(int command, int target)\n"
		"{ WRITE(e->command = command; e->target = target; reported = 0); }\n"
		"API void pgstat_progress_update_param(int index, long value)\n"
		"{ WRITE(e->param[index] = value; USE); }\n"
		"API void pgstat_progress_end_command(void) { WRITE(e->command = 0; USE); }\n"
		"API void pgstat_bestart(struct entry *e) { MyBEEntry = e; other = e + 1; }\n"
		"int main(void) { return !other; }\n";
	static const struct {
		const char *flags;
		bool found;
	} cases[] = {
		{ "'-DREPORTED=static int reported;' '-DUSE=reported += other->changes'", true },
		{ "'-DREPORTED=static long reported;' '-DUSE=reported = 1'", true },
		{ "'-DREPORTED=' '-Dreported=other->target' -DUSE=reported++", false },
	};

	(void)state;
	for (size_t i = 0; i < WS_ARRAY_SIZE(cases); i++) {
		char path[512], stripped[520];
		struct ws_image *image, *bare;
		struct ws_symbol_set set;
		struct ws_error err;

		ws_fixture_compile("pgstat.c", source, cases[i].flags, path, sizeof(path));
		ws_fixture_strip(path, stripped, sizeof(stripped));
		image = ws_fixture_open(path);
		bare = ws_fixture_open(stripped);
		assert_int_equal(ws_resolve(bare, &(struct ws_resolve_options){ 0 }, &set, &err),
				 0);
		assert_int_equal(ws_symbol_address(&set, "MyBEEntry"),
				 cases[i].found ? ws_image_symbol(image, "MyBEEntry")->address : 0);
		ws_symbol_set_deinit(&set);
		ws_image_free(bare);
		ws_image_free(image);
	}
}

static void recovery_that_is_off_recovers_nothing(void **state)
{
	struct ws_image *image = ws_fixture_open(ws_fixture_server());
	struct ws_symbol_set set;
	struct ws_error err;

	(void)state;
	assert_int_equal(
		ws_resolve(image, &(struct ws_resolve_options){ .no_recovery = true }, &set, &err),
		0);
	for (size_t i = 0; i < set.count; i++)
		assert_int_not_equal(set.symbols[i].source, WS_SOURCE_RECOVERED);
	assert_int_equal(ws_symbol_find(&set, "WalSndLoop")->status, WS_SYMBOL_UNKNOWN);
	ws_symbol_set_deinit(&set);
	ws_image_free(image);
}

/* The installed server, resolved once for all the tests below. */
struct server {
	struct ws_image *image;
	struct ws_symbol_set set;
};

static int server_setup(void **state)
{
	static struct server server;
	struct ws_error err;

	server.image = ws_fixture_open(ws_fixture_server());
	assert_int_equal(ws_resolve(server.image,
				    &(struct ws_resolve_options){ .no_debug_info = true },
				    &server.set, &err),
			 0);
	*state = &server;
	return 0;
}

static int server_teardown(void **state)
{
	struct server *server = *state;

	ws_symbol_set_deinit(&server->set);
	ws_image_free(server->image);
	return 0;
}

static void decode_function(const struct server *s, const char *name, struct ws_code *code)
{
	uint64_t address = ws_symbol_address(&s->set, name);
	const struct ws_range *range;
	struct ws_error err;

	if (!address)
		fail_msg("%s was not found", name);
	range = ws_image_function_at(s->image, address);
	assert_non_null(range);
	assert_int_equal(range->start, address);
	assert_int_equal(ws_code_decode(s->image, *range, code, &err), 0);
	assert_int_equal(code->insns[code->count - 1].address + code->insns[code->count - 1].size,
			 range->end);
}

enum relation { CALLS, NAMES_CODE, READS, WRITES, HAS_NUMBER };

static bool holds(const struct ws_insn *insn, enum relation relation, uint64_t value)
{
	switch (relation) {
	case CALLS:
		return (insn->kind == WS_INSN_CALL || insn->kind == WS_INSN_JUMP) &&
		       insn->target == value;
	case NAMES_CODE:
		return insn->reference == value && !insn->reads_reference;
	case READS:
		return insn->reference == value && insn->reads_reference;
	case WRITES: /* two neighbours may be written at once */
		return insn->writes_reference && insn->reference <= value &&
		       value < insn->reference + insn->access_size;
	default:
		return insn->has_immediate && (uint64_t)insn->immediate == value;
	}
}

static bool relates(const struct server *s, const char *name, enum relation relation,
		    uint64_t value)
{
	struct ws_code code;
	bool found = false;

	assert_true(value != 0);
	decode_function(s, name, &code);
	for (size_t i = 0; i < code.count && !found; i++)
		found = holds(&code.insns[i], relation, value);
	ws_code_deinit(&code);
	return found;
}

static void expect_relation(const struct server *s, const char *name, enum relation relation,
			    const char *other)
{
	if (!relates(s, name, relation, ws_symbol_address(&s->set, other)))
		fail_msg("%s should have to do with %s", name, other);
}

static void the_wanted_functions_of_the_installed_server_are_found(void **state)
{
	static const char *const names[] = {
		"WalSndLoop",
		"XLogSendPhysical",
		"XLogSendLogical",
		"ProcessRepliesIfAny",
		"WalSndKeepalive",
		"WalSndKeepaliveIfNecessary",
		"WalSndPrepareWrite",
		"WalSndWriteData",
		"WalSndUpdateProgress",
		"ProcessPendingWrites",
		"logical_read_xlog_page",
		"SendTimeLineHistory",
		"perform_base_backup",
		"exec_simple_query",
		"socket_is_send_pending",
		"errordata",
		"errordata_stack_depth",
		"PqSendPointer",
		"PqSendStart",
		"sentPtr",
		"WalSndCaughtUp",
	};
	const struct server *s = *state;

	for (size_t i = 0; i < WS_ARRAY_SIZE(names); i++) {
		const struct ws_symbol *symbol = ws_symbol_find(&s->set, names[i]);

		if (symbol->status != WS_SYMBOL_FOUND)
			fail_msg("%s is %s", names[i], ws_symbol_status_name(symbol->status));
		assert_int_equal(symbol->source, WS_SOURCE_RECOVERED);
	}
}

/* exec_replication_command, which swallows StartReplication and StartLogicalReplication, hands the
 * two send functions to WalSndLoop; recovery does not look at what WalSndLoop is given. */
static void the_send_functions_are_handed_to_the_send_loop(void **state)
{
	const struct server *s = *state;
	uint64_t loop = ws_symbol_address(&s->set, "WalSndLoop");
	uint64_t physical = ws_symbol_address(&s->set, "XLogSendPhysical");
	uint64_t logical = ws_symbol_address(&s->set, "XLogSendLogical");
	int physical_calls = 0, logical_calls = 0, calls = 0;
	uint64_t first_argument = 0;
	struct ws_code code;

	decode_function(s, "exec_replication_command", &code);
	for (size_t i = 0; i < code.count; i++) {
		const struct ws_insn *insn = &code.insns[i];

		if (insn->dest_reg == 5) /* rdi */
			first_argument = insn->reference;
		if (insn->kind != WS_INSN_CALL || insn->target != loop)
			continue;
		calls++;
		physical_calls += first_argument == physical;
		logical_calls += first_argument == logical;
	}
	ws_code_deinit(&code);
	assert_int_equal(calls, 2);
	assert_int_equal(physical_calls, 1);
	assert_int_equal(logical_calls, 1);
	/* `send_data != XLogSendLogical` decides whether the loop itself sleeps. */
	assert_true(relates(s, "WalSndLoop", NAMES_CODE, logical));
	assert_false(relates(s, "WalSndLoop", NAMES_CODE, physical));
}

/* Protocol bytes: https://www.postgresql.org/docs/15/protocol-replication.html */
static void the_messages_begin_with_their_protocol_byte(void **state)
{
	const struct server *s = *state;

	assert_true(relates(s, "WalSndKeepalive", HAS_NUMBER, 'k'));
	assert_true(relates(s, "WalSndPrepareWrite", HAS_NUMBER, 'w'));
	assert_true(relates(s, "XLogSendPhysical", HAS_NUMBER, 'w'));
	assert_true(relates(s, "ProcessRepliesIfAny", HAS_NUMBER, 'r'));
	assert_true(relates(s, "ProcessRepliesIfAny", HAS_NUMBER, 'h'));
	assert_false(relates(s, "WalSndPrepareWrite", HAS_NUMBER, 'k'));
	assert_false(relates(s, "WalSndKeepalive", HAS_NUMBER, 'w'));
}

/* All its callers hand it a constant (`mov $imm32, %edi; call rel32`), each type once: they are
 * behind the test, for otherwise the byte of the message would be at hand in a register alone. */
static void the_refusing_part_is_called_with_each_type_of_message(void **state)
{
	const struct server *s = *state;
	uint64_t part = ws_symbol_address(&s->set, "forbidden_in_wal_sender.part");
	size_t ranges, avail;
	const struct ws_range *code = ws_image_code_ranges(s->image, &ranges);
	char types[16] = "";

	assert_true(part != 0);
	assert_false(relates(s, "forbidden_in_wal_sender.part", READS,
			     ws_image_symbol(s->image, "am_walsender")->address));
	for (size_t r = 0; r < ranges; r++) {
		const uint8_t *bytes = ws_image_bytes(s->image, code[r].start, &avail);

		for (uint64_t i = 5; i + 5 <= code[r].end - code[r].start; i++) {
			int32_t distance;

			memcpy(&distance, bytes + i + 1, sizeof(distance));
			if (bytes[i] != 0xe8 ||
			    code[r].start + i + 5 + (uint64_t)(int64_t)distance != part)
				continue;
			assert_int_equal(bytes[i - 5], 0xbf);
			assert_true(strlen(types) < sizeof(types) - 1);
			types[strlen(types)] = (char)bytes[i - 4];
		}
	}
	assert_int_equal(strlen(types), 6);
	assert_int_equal(strspn("PBEDCF", types), 6);
}

static void callers_and_callees_are_the_sources(void **state)
{
	const struct server *s = *state;

	expect_relation(s, "PostgresMain", CALLS, "exec_replication_command");
	expect_relation(s, "PostgresMain", CALLS, "exec_simple_query");
	expect_relation(s, "SendBaseBackup", CALLS, "perform_base_backup");
	expect_relation(s, "exec_replication_command", CALLS, "SendTimeLineHistory");
	expect_relation(s, "exec_replication_command", NAMES_CODE, "WalSndWriteData");
	expect_relation(s, "WalSndLoop", CALLS, "WalSndKeepaliveIfNecessary");
	expect_relation(s, "WalSndWriteData", CALLS, "ProcessPendingWrites");
	expect_relation(s, "WalSndUpdateProgress", CALLS, "ProcessPendingWrites");
	expect_relation(s, "XLogSendPhysical", CALLS, "WALRead");
}

static void variables_are_used_where_the_sources_use_them(void **state)
{
	const struct server *s = *state;

	/* Neither function takes part in finding these. */
	expect_relation(s, "exec_replication_command", WRITES, "sentPtr");
	expect_relation(s, "logical_read_xlog_page", READS, "sentPtr");
	expect_relation(s, "logical_read_xlog_page", WRITES, "WalSndCaughtUp");
	expect_relation(s, "errstart", NAMES_CODE, "errordata");
	expect_relation(s, "errstart", WRITES, "errordata_stack_depth");
	expect_relation(s, "errfinish", READS, "errordata_stack_depth");
}

/* pq_init() sets both to 0. Which is which, the test on pqcomm.c in miniature says. */
static void the_send_pointers_are_those_of_the_socket(void **state)
{
	const struct server *s = *state;
	const struct ws_image_symbol *init = ws_image_symbol(s->image, "pq_init");
	uint64_t pointer = ws_symbol_address(&s->set, "PqSendPointer");
	uint64_t start = ws_symbol_address(&s->set, "PqSendStart");
	bool writes_pointer = false, writes_start = false;
	struct ws_error err;
	struct ws_code code;

	assert_non_null(init);
	assert_int_equal(ws_code_decode(s->image, *ws_image_function_at(s->image, init->address),
					&code, &err),
			 0);
	for (size_t i = 0; i < code.count; i++) {
		writes_pointer |= holds(&code.insns[i], WRITES, pointer);
		writes_start |= holds(&code.insns[i], WRITES, start);
	}
	ws_code_deinit(&code);
	assert_true(writes_pointer && writes_start);
}

static void nothing_recovered_shares_an_address_or_a_name(void **state)
{
	const struct server *s = *state;

	for (size_t i = 0; i < s->set.count; i++) {
		const struct ws_symbol *a = &s->set.symbols[i];

		if (a->source != WS_SOURCE_RECOVERED || a->status != WS_SYMBOL_FOUND)
			continue;
		assert_null(ws_image_symbol_at(s->image, a->address));
		for (size_t j = 0; j < i; j++)
			assert_true(s->set.symbols[j].address != a->address);
	}
}

static void inlined_functions_say_where(void **state)
{
	const struct server *s = *state;
	const struct ws_symbol *start = ws_symbol_find(&s->set, "StartReplication");

	assert_int_equal(start->status, WS_SYMBOL_INLINED);
	assert_string_equal(start->into[0], "exec_replication_command");
	assert_null(start->into[1]);
	assert_int_equal(start->address, 0);
}

/* Aim: 0.3 s of CPU. The bound leaves room for sanitizers and busy machines. */
static void resolving_takes_less_than_five_seconds(void **state)
{
	const struct server *s = *state;

	assert_true(s->set.resolve_ns < 5 * 1000000000ULL);
}

int main(void)
{
	const struct CMUnitTest fixture_tests[] = {
		cmocka_unit_test(recovered_addresses_are_those_of_the_symbol_table),
		cmocka_unit_test(two_claimants_leave_a_name_unknown),
		cmocka_unit_test(a_function_that_names_nothing_is_known_by_its_numbers),
		cmocka_unit_test(a_body_that_names_another_function_is_rejected),
		cmocka_unit_test(a_part_is_told_from_the_function_it_was_split_off),
		cmocka_unit_test(the_order_of_the_send_pointers_is_read_from_the_comparison),
		cmocka_unit_test(another_comparison_is_no_send_pointer),
		cmocka_unit_test(the_entry_of_a_backend_is_what_tells_of_its_progress),
		cmocka_unit_test(recovery_that_is_off_recovers_nothing),
	};
	const struct CMUnitTest server_tests[] = {
		cmocka_unit_test(the_wanted_functions_of_the_installed_server_are_found),
		cmocka_unit_test(the_send_functions_are_handed_to_the_send_loop),
		cmocka_unit_test(the_messages_begin_with_their_protocol_byte),
		cmocka_unit_test(the_refusing_part_is_called_with_each_type_of_message),
		cmocka_unit_test(callers_and_callees_are_the_sources),
		cmocka_unit_test(variables_are_used_where_the_sources_use_them),
		cmocka_unit_test(the_send_pointers_are_those_of_the_socket),
		cmocka_unit_test(nothing_recovered_shares_an_address_or_a_name),
		cmocka_unit_test(inlined_functions_say_where),
		cmocka_unit_test(resolving_takes_less_than_five_seconds),
	};
	int failed = cmocka_run_group_tests_name("symbol/recover", fixture_tests, NULL,
						 ws_fixture_teardown);

	return failed + cmocka_run_group_tests_name("symbol/recover on the installed server",
						    server_tests, server_setup, server_teardown);
}
