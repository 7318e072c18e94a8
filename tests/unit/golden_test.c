/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Everything that is printed, against files that a person has read. tests/golden/update writes them
 * anew.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../lib/sample.h"
#include "base/util.h"
#include "export/export.h"

static char *read_file(const char *path)
{
	FILE *file = fopen(path, "r");
	char *text = NULL;
	size_t size = 0;

	if (!file)
		return strdup("");
	if (getdelim(&text, &size, '\0', file) < 0 && text)
		text[0] = '\0';
	fclose(file);
	return text ? text : strdup("");
}

static void check(const char *name, const char *actual)
{
	char path[128];
	char *golden;

	snprintf(path, sizeof(path), "tests/golden/%s", name);
	if (getenv("UPDATE_GOLDEN")) {
		FILE *file = fopen(path, "w");

		assert_non_null(file);
		fputs(actual, file);
		fclose(file);
	}
	golden = read_file(path);
	if (strcmp(golden, actual) != 0) {
		fprintf(stderr, "%s differs; tests/golden/update writes it anew. Now:\n%s", path,
			actual);
		fail();
	}
	free(golden);
}

struct golden {
	const char *name;
	const char *args[8]; /* FILE is put behind them */
	const char *locale;
	int flags, status;
};

static const struct golden goldens[] = {
	{ .name = "sessions.txt", .args = { "sessions" } },
	{ .name = "sessions-verbose.txt", .args = { "sessions", "-v" } },
	{ .name = "sessions.json", .args = { "sessions", "--json" } },
	{ .name = "sessions-running.txt", .args = { "sessions" }, .flags = WS_SAMPLE_RUNNING },
	{ .name = "sessions-running.json",
	  .args = { "sessions", "--json", "--pid", "4001" },
	  .flags = WS_SAMPLE_RUNNING },
	{ .name = "sessions-refused.txt", .args = { "sessions" }, .flags = WS_SAMPLE_REFUSED },
	{ .name = "sessions-refused-verbose.txt",
	  .args = { "sessions", "-v" },
	  .flags = WS_SAMPLE_REFUSED },
	{ .name = "sessions-refused.json",
	  .args = { "sessions", "--json", "--pid", "4005" },
	  .flags = WS_SAMPLE_REFUSED },
	{ .name = "history-refused.txt", .args = { "history" }, .flags = WS_SAMPLE_REFUSED },
	{ .name = "history-refused.json",
	  .args = { "history", "--json", "--pid", "4004" },
	  .flags = WS_SAMPLE_REFUSED },
	{ .name = "trace-refused.txt",
	  .args = { "trace", "--from", "2026-03-01T12:00:06.500Z", "--to",
		    "2026-03-01T12:00:06.700Z" },
	  .flags = WS_SAMPLE_REFUSED },
	{ .name = "history.txt", .args = { "history" } },
	{ .name = "history-verbose.txt", .args = { "history", "-v" } },
	{ .name = "history.json", .args = { "history", "--json" } },
	{ .name = "timeline.txt", .args = { "timeline" } },
	{ .name = "timeline-ascii.txt", .args = { "timeline" }, .locale = "C" },
	{ .name = "timeline-verbose.txt", .args = { "timeline", "-v", "--kind", "backup" } },
	{ .name = "timeline-window.json",
	  .args = { "timeline", "--json", "--from", "2026-03-01T12:00:05Z", "--to",
		    "2026-03-01T12:00:07Z" } },
	{ .name = "timeline-lost.txt",
	  .args = { "timeline", "--kind", "physical" },
	  .flags = WS_SAMPLE_LOSS,
	  .status = 3 },
	{ .name = "hist.txt", .args = { "hist", "--kind", "physical" } },
	{ .name = "hist.json", .args = { "hist", "--json", "--kind", "logical" } },
	{ .name = "explain.txt", .args = { "explain" } },
	{ .name = "explain.json", .args = { "explain", "--json", "--kind", "physical" } },
	{ .name = "show.txt", .args = { "show", "--pid", "4001" } },
	{ .name = "show-lost.txt",
	  .args = { "show", "--pid", "4001" },
	  .flags = WS_SAMPLE_LOSS | WS_SAMPLE_RUNNING,
	  .status = 3 },
	{ .name = "show-logical.txt", .args = { "show", "--pid", "4002" }, .locale = "C" },
	{ .name = "show-backup.txt", .args = { "show", "-v", "--pid", "4003" } },
	{ .name = "show-around.txt",
	  .args = { "show", "--pid", "4001", "--around", "2026-03-01T12:00:04.5Z", "--from",
		    "2026-03-01T12:00:03.5Z" } },
	{ .name = "show.json", .args = { "show", "--json", "--pid", "4002" } },
	{ .name = "show-refused.json",
	  .args = { "show", "--json", "--pid", "4004", "--around", "2026-03-01T12:00:06.53Z" },
	  .flags = WS_SAMPLE_REFUSED },
	{ .name = "show-memory.txt",
	  .args = { "show", "--pid", "4002", "--from", "2026-03-01T12:00:02.5Z" },
	  .flags = WS_SAMPLE_MEMORY },
	{ .name = "show-memory.json",
	  .args = { "show", "--json", "--pid", "4002", "--from", "2026-03-01T12:00:02.5Z" },
	  .flags = WS_SAMPLE_MEMORY },
	{ .name = "trace-memory.txt",
	  .args = { "trace", "-v", "--slot=sub", "--from", "2026-03-01T12:00:02.5Z", "--to",
		    "2026-03-01T12:00:03Z" },
	  .flags = WS_SAMPLE_MEMORY },
	{ .name = "trace.txt", .args = { "trace", "--to", "2026-03-01T12:00:00.140Z" } },
	{ .name = "trace-logical.txt", .args = { "trace", "--slot", "sub" } },
	{ .name = "trace-backup.txt", .args = { "trace", "--kind", "backup" } },
	{ .name = "trace.json", .args = { "trace", "--json", "--slot", "sub" } },
	{ .name = "trace-lost.txt",
	  .args = { "trace", "--from", "2026-03-01T12:00:02.24Z", "--to", "2026-03-01T12:00:02.44Z",
		    "--pid", "4001" },
	  .flags = WS_SAMPLE_LOSS,
	  .status = 3 },
};

static void test_golden(void **state)
{
	const struct golden *g = *state;
	struct ws_cli_run run = { .locale = g->locale };
	const char *args[10] = { 0 };
	char path[64];
	size_t n = 0;

	ws_sample_write(path, g->flags);
	for (; g->args[n]; n++)
		args[n] = g->args[n];
	args[n] = path;
	ws_cli_run(&run, args);
	unlink(path);
	if (run.status != g->status)
		fprintf(stderr, "%s: %s", g->name, run.err);
	assert_int_equal(run.status, g->status);
	check(g->name, run.out);
	ws_cli_run_deinit(&run);
}

/* -- doctor, which has no recording */

static const struct ws_probe probes[] = {
	{ .name = "session_start", .function = "PostgresMain", .kind = WS_SITE_ENTRY, .level = 1 },
	{ .name = "command_end",
	  .function = "PostgresMain",
	  .kind = WS_SITE_AFTER_CALL,
	  .level = 1 },
	{ .name = "keepalive", .function = "WalSndKeepalive", .kind = WS_SITE_ENTRY, .level = 2 },
	{ .name = "read_start", .function = "XLogSendPhysical", .kind = WS_SITE_CALL, .level = 3 },
};
static struct ws_planned sites[] = {
	{ .probe = &probes[0],
	  .level = 1,
	  .status = WS_PLAN_PLANTED,
	  .offset = 0x4729c0,
	  .cost = WS_COST_EMULATED,
	  .source = WS_SOURCE_DYNSYM,
	  .function = "PostgresMain",
	  .instruction = "push rbp" },
	{ .probe = &probes[1],
	  .level = 1,
	  .status = WS_PLAN_PLANTED,
	  .offset = 0x4731cd,
	  .cost = WS_COST_STEPPED,
	  .source = WS_SOURCE_DYNSYM,
	  .function = "PostgresMain",
	  .instruction = "mov rax, rbx" },
	{ .probe = &probes[2],
	  .level = 2,
	  .status = WS_PLAN_MISSING,
	  .reason = "WalSndKeepalive is unknown" },
	{ .probe = &probes[3], .level = 3, .status = WS_PLAN_NOT_AT_LEVEL },
};
static struct ws_symbol symbols[] = {
	{ .name = "PostgresMain",
	  .status = WS_SYMBOL_FOUND,
	  .source = WS_SOURCE_DYNSYM,
	  .address = 0x4729c0,
	  .confidence = 1 },
	{ .name = "StartReplication",
	  .status = WS_SYMBOL_INLINED,
	  .into = { "exec_replication_command" } },
	{ .name = "WalSndKeepalive", .status = WS_SYMBOL_UNKNOWN },
	{ .name = "WalSndLoop",
	  .status = WS_SYMBOL_FOUND,
	  .source = WS_SOURCE_RECOVERED,
	  .address = 0x429720,
	  .confidence = 0.87 },
};

static void fill_doctor(struct ws_doctor *d, struct ws_doctor_server *s,
			struct ws_doctor_process *p, char **note)
{
	*note = (char *)"sites of /usr/bin/postgres that never fired: keepalive\033[2J";
	*p = (struct ws_doctor_process){ .pid = 1234, .ns_pid = 7, .datadir = "/data\033[1m" };
	*s = (struct ws_doctor_server){
		.file = "/usr/lib/postgresql/15/bin/postgres",
		.version = "15.18",
		.major = 15,
		.build_id = "44c007cfee140e4c25e8a434008096828e70a92c",
		.arch = "x86_64",
		.stripped = true,
		.symbols = { .symbols = symbols, .count = 4, .resolve_ns = 67500000 },
		.layout = { .major = 15, .source = WS_LAYOUT_TABLE },
		.plan = { .sites = sites, .count = 4, .planted = 2, .level = 2 },
		.processes = p,
		.process_count = 1,
	};
	*d = (struct ws_doctor){
		.ok = false,
		.kernel = { .bpf_allowed = true,
			    .ring_buffer = true,
			    .btf = true,
			    .uprobe_perf = true,
			    .attach_cookie = true,
			    .process_vm_readv = true,
			    .task_iterator = true,
			    .release = "6.1.0-test" },
		.privileges = { .perf_event_paranoid = 3,
				.ptrace_scope = WS_SYSCTL_UNKNOWN,
				.file = "/usr/sbin/walscope",
				.list = { { "CAP_BPF", "to load the programs", true, true },
					  { "CAP_PERFMON", "to plant probes", true, true },
					  { "CAP_SYS_PTRACE", "to find servers", false, true },
					  { "CAP_DAC_READ_SEARCH", "to read files", false, false },
					  { "CAP_SYS_ADMIN", "for perf events", false, false } } },
		.servers = s,
		.server_count = 1,
		.live_asked = true,
		.live = { .ran = true,
			  .seconds_ns = 2000000000,
			  .servers = 1,
			  .attach_ns = 81000000,
			  .detach_ns = 12000000,
			  .produced = 12345,
			  .notes = note,
			  .note_count = 1 },
	};
	ws_problem_add(&d->problems, "sudo walscope doctor",
		       "not root, and without CAP_SYS_PTRACE");
	ws_problem_add(&s->problems, "", "probe keepalive is missing");
}

static void print_doctor(const struct ws_format *format, bool verbose, bool color, const char *name)
{
	struct ws_export_options options = {
		.screen = { .width = 100, .utf8 = true, .verbose = verbose, .color = color }
	};
	struct ws_doctor_process process;
	struct ws_doctor_server server;
	struct ws_doctor doctor;
	struct ws_export ex;
	char *text = NULL, *note;
	size_t size;

	fill_doctor(&doctor, &server, &process, &note);
	options.out = open_memstream(&text, &size);
	assert_int_equal(ws_export_begin(&ex, format, WS_VIEW_DOCTOR, &options), 0);
	assert_int_equal(ws_export_doctor(&ex, &doctor), 0);
	assert_int_equal(ws_export_end(&ex), 0);
	ws_export_release(&ex);
	fclose(options.out);
	check(name, text);
	free(text);
	free(doctor.problems.items);
	free(server.problems.items);
}

static void test_doctor_text(void **state)
{
	(void)state;
	print_doctor(&ws_format_text, false, false, "doctor.txt");
	print_doctor(&ws_format_text, true, false, "doctor-verbose.txt");
}

static void test_doctor_json(void **state)
{
	(void)state;
	print_doctor(&ws_format_json, false, false, "doctor.json");
}

static void test_doctor_colors_end_where_they_begin(void **state)
{
	(void)state;
	print_doctor(&ws_format_text, false, true, "doctor-color.txt");
}

/* -- symbols, which has none either */

static void print_symbols(const struct ws_format *format, bool color, const char *name)
{
	static const struct ws_symbol extra[] = {
		{ .name = "WalSndWait", .status = WS_SYMBOL_ABSENT },
		{ .name = "sentPtr",
		  .status = WS_SYMBOL_FOUND,
		  .source = WS_SOURCE_DEBUGLINK,
		  .is_variable = true,
		  .address = 0x88a7e8,
		  .size = 8,
		  .confidence = 1 },
	};
	const struct ws_symbol_row rows[] = {
		{ .symbol = &symbols[0],
		  .has_offset = true,
		  .offset = 0x4729c0,
		  .site = { .found = true,
			    .offset = 0x4729c4,
			    .cost = WS_COST_STEPPED,
			    .instruction = "mov rax, rbx" } },
		{ .symbol = &symbols[1] },
		{ .symbol = &symbols[2] },
		{ .symbol = &symbols[3],
		  .has_offset = true,
		  .offset = 0x429720,
		  .site = { .found = true,
			    .offset = 0x429720,
			    .cost = WS_COST_EMULATED,
			    .instruction = "push rbp" } },
		{ .symbol = &extra[0] },
		{ .symbol = &extra[1] },
	};
	const struct ws_symbol_set set = {
		.symbols = symbols,
		.count = 4,
		.resolve_ns = 67500000,
		.steps = { [WS_STEP_DYNSYM] = { WS_STEP_DONE, 1, 1000, NULL },
			   [WS_STEP_DWARF] = { WS_STEP_OFF, 0, 0, NULL },
			   [WS_STEP_DEBUGLINK] = { WS_STEP_DONE, 1, 2000000,
						   "/usr/lib/debug/postgres\033.debug" } },
	};
	const struct ws_symbol_report report = {
		.file = "/opt/pg\033[1m/postgres",
		.build_id = "44c007cfee140e4c25e8a434008096828e70a92c",
		.arch = "x86_64",
		.version = "15.18",
		.major = 15,
		.stripped = true,
		.set = &set,
		.rows = rows,
		.count = WS_ARRAY_SIZE(rows),
	};
	struct ws_export_options options = { .screen = {
						     .width = 100, .utf8 = true, .color = color } };
	struct ws_export ex;
	char *text = NULL;
	size_t size;

	options.out = open_memstream(&text, &size);
	assert_int_equal(ws_export_begin(&ex, format, WS_VIEW_SYMBOLS, &options), 0);
	assert_int_equal(ws_export_symbols(&ex, &report), 0);
	assert_int_equal(ws_export_end(&ex), 0);
	ws_export_release(&ex);
	fclose(options.out);
	check(name, text);
	free(text);
}

static void test_symbols_text(void **state)
{
	(void)state;
	print_symbols(&ws_format_text, false, "symbols.txt");
	print_symbols(&ws_format_text, true, "symbols-color.txt");
}

static void test_symbols_json(void **state)
{
	(void)state;
	print_symbols(&ws_format_json, false, "symbols.json");
}

/* -- slots, which are read off a running server */

static const struct ws_slot slots[] = {
	{ .name = "standby_1",
	  .active_pid = 12,
	  .restart_lsn = 0x3000060,
	  .xmin = 745,
	  .effective_xmin = 745,
	  .wal = WS_SLOT_RESERVED },
	{ .name = "sub",
	  .plugin = "pgoutput",
	  .logical = true,
	  .database = 5,
	  .persistency = WS_SLOT_TEMPORARY,
	  .active_pid = 13,
	  .restart_lsn = 0x2000028,
	  .confirmed_flush = 0x2000060,
	  .catalog_xmin = 740,
	  .effective_catalog_xmin = 740,
	  .two_phase = WS_YES,
	  .failover = WS_NO,
	  .synced = WS_YES,
	  .wal = WS_SLOT_EXTENDED },
	{ .name = "left",
	  .plugin = "test_decoding",
	  .logical = true,
	  .database = 16384,
	  .invalid = WS_SLOT_WAL_REMOVED,
	  .inactive_since_ns = 1772366400000000000,
	  .wal = WS_SLOT_LOST },
	{ .number = 3, .problem = "its name is none" },
};

static void fill_slots(struct ws_slots_report *r, struct ws_postmaster *p, struct ws_slot_row *rows)
{
	for (size_t i = 0; i < WS_ARRAY_SIZE(slots); i++)
		rows[i] = (struct ws_slot_row){ .slot = &slots[i] };
	rows[0].holder = (struct ws_holder){ .kind = WS_HOLDER_WALSENDER,
					     .pid = 4712,
					     .ns_pid = 12,
					     .user = "repl",
					     .application = "standby\0331",
					     .client = "192.0.2.7:54321" };
	rows[1].holder =
		(struct ws_holder){ .kind = WS_HOLDER_BACKEND,
				    .pid = 4713,
				    .ns_pid = 13,
				    .user = "app",
				    .database = "shop",
				    .query = "select pg_logical_slot_peek_changes('sub')" };
	strcpy(rows[1].database, "shop");
	rows[1].oldest = (struct ws_hold){ .kind = WS_HOLDS_TRANSACTION,
					   .xid = 744,
					   .pid = 4715,
					   .ns_pid = 15,
					   .since_ns = 1772366400000000000 };
	rows[1].oldest_lsn = 0x2000028;
	strcpy(rows[1].oldest_user, "app");
	strcpy(rows[1].oldest_application, "nightly\033");
	rows[2].oldest =
		(struct ws_hold){ .kind = WS_HOLDS_PREPARED, .xid = 745, .gid = "for\033gotten" };
	*p = (struct ws_postmaster){ .process = { .pid = 4711, .ns_pid = 1 },
				     .datadir = "/data\033[1m" };
	*r = (struct ws_slots_report){
		.postmaster = p,
		.version = "18.1",
		.wal = { .major = 18,
			 .has_recovery = true,
			 .source = WS_WAL_WRITTEN,
			 .position = 0x3000100,
			 .has_next_xid = true,
			 .next_xid = 760 },
		.horizon = { .holds = { { .kind = WS_HOLDS_SLOT_CATALOG,
					  .xid = 740,
					  .slot = &slots[1] },
					{ .kind = WS_HOLDS_PREPARED,
					  .xid = 743,
					  .since_ns = 1772366400000000000,
					  .gid = "node\033 2" },
					{ .kind = WS_HOLDS_TRANSACTION,
					  .xid = 743,
					  .snapshot = true,
					  .pid = 4720,
					  .ns_pid = 20 },
					{ .kind = WS_HOLDS_SLOT, .xid = 745, .slot = &slots[0] } },
			     .count = 4 },
		.max_slots = 10,
		.rows = rows,
		.count = WS_ARRAY_SIZE(slots),
	};
}

static void print_slots(const struct ws_format *format, bool color, const char *name)
{
	struct ws_export_options options = { .screen = {
						     .width = 160, .utf8 = true, .color = color } };
	struct ws_slot_row rows[WS_ARRAY_SIZE(slots)];
	struct ws_postmaster postmaster;
	struct ws_slots_report report;
	struct ws_export ex;
	char *text = NULL;
	size_t size;

	setenv("TZ", "UTC", 1);
	tzset();
	fill_slots(&report, &postmaster, rows);
	options.out = open_memstream(&text, &size);
	assert_int_equal(ws_export_begin(&ex, format, WS_VIEW_SLOTS, &options), 0);
	assert_int_equal(ws_export_slots(&ex, &report), 0);
	report.count = report.horizon.count = 0; /* and another server, without any */
	report.wal = (struct ws_wal){ .has_recovery = true,
				      .in_recovery = true,
				      .source = WS_WAL_REPLAYED,
				      .position = 0x3000060 };
	assert_int_equal(ws_export_slots(&ex, &report), 0);
	assert_int_equal(ws_export_end(&ex), 0);
	ws_export_release(&ex);
	fclose(options.out);
	check(name, text);
	free(text);
}

static void test_slots_text(void **state)
{
	(void)state;
	print_slots(&ws_format_text, false, "slots.txt");
	print_slots(&ws_format_text, true, "slots-color.txt");
}

static void test_slots_json(void **state)
{
	(void)state;
	print_slots(&ws_format_json, false, "slots.json");
}

int main(void)
{
	static const struct CMUnitTest doctor[] = {
		cmocka_unit_test(test_doctor_text),
		cmocka_unit_test(test_doctor_json),
		cmocka_unit_test(test_doctor_colors_end_where_they_begin),
		cmocka_unit_test(test_symbols_text),
		cmocka_unit_test(test_symbols_json),
		cmocka_unit_test(test_slots_text),
		cmocka_unit_test(test_slots_json),
	};
	struct CMUnitTest tests[WS_ARRAY_SIZE(goldens)];
	int failed;

	setlocale(LC_CTYPE, "C.UTF-8");
	for (size_t i = 0; i < WS_ARRAY_SIZE(goldens); i++)
		tests[i] = (struct CMUnitTest){ .name = goldens[i].name,
						.test_func = test_golden,
						.initial_state = (void *)&goldens[i] };
	failed = cmocka_run_group_tests_name("golden", tests, NULL, NULL);
	return failed + cmocka_run_group_tests_name("golden doctor", doctor, NULL, NULL) ? 1 : 0;
}
