/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The planner: on functions with the server's names in this very program, and on the installed
 * server.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/util.h"
#include "layout/layout.h"
#include "probe/plan.h"

#ifndef __x86_64__
#error "the functions below are x86-64; another architecture needs its own"
#endif

#define SERVER "/usr/lib/postgresql/15/bin/postgres"

#define FUNCTION(name, body)                                                         \
	__asm__(".text\n.type " name ", @function\n" name ":\n.cfi_startproc\n" body \
		"\n.cfi_endproc\n.size " name ", . - " name "\n")

FUNCTION("exec_replication_command", "push %rbp\n pop %rbp\n ret");
FUNCTION("exec_simple_query", "push %rbp\n pop %rbp\n ret");
FUNCTION("PostgresMain", "push %rbp\n call exec_replication_command\n test %al, %al\n jne 1f\n"
			 "call exec_simple_query\n jmp 1f\n1: pop %rbp\n ret");
FUNCTION("WalSndResourceCleanup", "ret");
FUNCTION("SendBaseBackup",
	 "push %rbp\n call WalSndResourceCleanup\n jz 1f\n nop\n1: pop %rbp\n ret");
FUNCTION("WaitEventSetWait", "ret");
FUNCTION("WalSndWait", "push %rbp\n lea -0x30(%rbp), %rdx\n call WaitEventSetWait\n cmp $1, %eax\n"
		       "je 1f\n nop\n1: pop %rbp\n ret");
FUNCTION("XLogSendPhysical", "push %rbp\n pop %rbp\n ret");
/* A linker that folds equal code gives two names one address: as if by that. */
FUNCTION("basebackup_progress_wait_checkpoint", "push %rbp\n pop %rbp\n ret");

struct fixture {
	struct ws_image *image;
	struct ws_symbol_set set;
	struct ws_layout layout;
	struct ws_plan plan;
};

static const char *const present[] = {
	"PostgresMain",	     "exec_replication_command",
	"exec_simple_query", "SendBaseBackup",
	"WalSndWait",	     "basebackup_progress_wait_checkpoint",
	"WaitEventSetWait",  "XLogSendPhysical",
};

static struct ws_symbol *symbol_of(struct fixture *f, const char *name)
{
	for (size_t i = 0; i < f->set.count; i++) {
		if (strcmp(f->set.symbols[i].name, name) == 0)
			return &f->set.symbols[i];
	}
	fail_msg("%s is not a wanted name", name);
	return NULL;
}

/* All wanted names as unknown, but for those this program has. */
static int set_up(void **state)
{
	ws_autoclose int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct fixture *f = calloc(1, sizeof(*f));
	const struct ws_symbol_wanted *wanted = ws_symbol_wanted(&f->set.count);
	struct ws_error err = { 0 };

	*state = f;
	if (ws_image_open(&f->image, fd, "/proc/self/exe", NULL, &err))
		return -1;
	f->set.symbols = calloc(f->set.count, sizeof(*f->set.symbols));
	for (size_t i = 0; i < f->set.count; i++)
		f->set.symbols[i].name = wanted[i].name;
	for (size_t i = 0; i < WS_ARRAY_SIZE(present); i++) {
		struct ws_symbol *symbol = symbol_of(f, present[i]);

		symbol->status = WS_SYMBOL_FOUND;
		symbol->source = WS_SOURCE_SYMTAB;
		symbol->confidence = 0.5;
		symbol->address = ws_image_symbol(f->image, present[i])->address;
	}
	f->layout.off.walsnd_sent = 4711;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	ws_plan_deinit(&f->plan);
	free(f->set.symbols);
	ws_image_free(f->image);
	free(f);
	return 0;
}

static int make(struct fixture *f, int major, int level, struct ws_error *err)
{
	ws_plan_deinit(&f->plan);
	return ws_plan_make(f->image, &f->set, &f->layout, major, level, &f->plan, err);
}

static const struct ws_planned *planned(const struct ws_plan *plan, enum ws_site site)
{
	for (size_t i = 0; i < plan->count; i++) {
		if (plan->sites[i].probe->site == site)
			return &plan->sites[i];
	}
	fail_msg("no row for site %d", site);
	return NULL;
}

static void expect_missing(struct fixture *f, enum ws_site site, const char *reason)
{
	const struct ws_planned *p = planned(&f->plan, site);

	assert_int_equal(p->status, WS_PLAN_MISSING);
	assert_int_equal(p->address, 0);
	assert_int_equal(f->plan.config.site_addr[site], 0);
	if (strcmp(p->reason, reason) != 0)
		fail_msg("%s: \"%s\", not \"%s\"", p->probe->name, p->reason, reason);
}

static bool is_in(const struct ws_probe *row, int major)
{
	return major >= row->first_major && (!row->last_major || major <= row->last_major);
}

static bool decodes(enum ws_site site)
{
	return (site >= WS_SITE_SLOT_CONTEXT && site <= WS_SITE_TXN_START) ||
	       (site >= WS_SITE_STREAM_STATS && site <= WS_SITE_TXN_ABORT) ||
	       site == WS_SITE_TXN_REPLAY;
}

static void the_catalogue_has_one_row_for_every_site_and_major(void **state)
{
	uint8_t known[WS_SITE_COUNT] = { 0 };
	size_t count, sites = 0;
	const struct ws_probe *rows = ws_catalogue(&count);

	(void)state;
	for (int major = 10; major <= 18; major++) {
		uint8_t seen[WS_SITE_COUNT] = { 0 };

		for (size_t i = 0; i < count; i++) {
			assert_in_range(rows[i].site, 1, WS_SITE_COUNT - 1);
			if (is_in(&rows[i], major))
				assert_int_equal(seen[rows[i].site]++, 0);
		}
	}
	for (size_t i = 0; i < count; i++) {
		sites += !known[rows[i].site]++;
		assert_string_equal(ws_site_name(rows[i].site), rows[i].name);
		assert_in_range(rows[i].level, 1, 3);
		assert_int_equal(rows[i].callee == NULL, rows[i].kind == WS_SITE_ENTRY);
		assert_int_equal(rows[i].condition != NULL, rows[i].pick == WS_PICK_BEHIND_FALSE);
		assert_non_null(rows[i].captures);
		/* The two exceptions of the design, the two ends of the authentication, and what is
		 * behind InitWalSender: what every backend passes, all but one once in its life;
		 * and logical decoding, which SQL functions do as well. */
		if (!rows[i].walsender_only)
			assert_true(rows[i].site == WS_SITE_SESSION_START ||
				    rows[i].site == WS_SITE_FATAL ||
				    rows[i].site == WS_SITE_AUTH_BEGIN ||
				    rows[i].site == WS_SITE_AUTH_END ||
				    rows[i].site == WS_SITE_INITIALIZED || decodes(rows[i].site));
	}
	assert_int_equal(sites, WS_SITE_COUNT - 1);
	assert_null(ws_site_name(WS_SITE_COUNT));
}

/* What the planner asks for by name must be looked for, or be exported by a server that has it. */
static void the_catalogue_names_only_what_can_be_found(void **state)
{
	struct fixture *f = *state;
	size_t count;
	const struct ws_probe *rows = ws_catalogue(&count);

	for (size_t i = 0; i < count; i++) {
		const char *callee = rows[i].callee;

		assert_non_null(ws_symbol_find(&f->set, rows[i].function));
		if (rows[i].stand_in)
			assert_non_null(ws_symbol_find(&f->set, rows[i].stand_in));
		if (callee && is_in(&rows[i], 15) && !strchr(callee, '+') &&
		    !ws_symbol_find(&f->set, callee))
			assert_non_null(ws_image_symbol(f->image, callee));
	}
}

static void a_planted_site_has_address_offset_and_instruction(void **state)
{
	struct fixture *f = *state;
	struct ws_error err = { 0 };
	const struct ws_planned *p;
	uint64_t offset;

	assert_int_equal(make(f, 15, 2, &err), 0);
	p = planned(&f->plan, WS_SITE_SESSION_START);
	assert_int_equal(p->status, WS_PLAN_PLANTED);
	assert_int_equal(p->address, symbol_of(f, "PostgresMain")->address);
	assert_true(ws_image_offset(f->image, p->address, &offset));
	assert_int_equal(p->offset, offset);
	assert_int_equal(p->cost, WS_COST_EMULATED);
	assert_int_equal(p->source, WS_SOURCE_SYMTAB);
	assert_string_equal(p->instruction, "push rbp");
	assert_string_equal(p->reason, "");
	assert_int_equal(f->plan.config.site_addr[WS_SITE_SESSION_START], p->address);
}

static void the_configuration_holds_layout_variables_and_the_wait_event(void **state)
{
	struct fixture *f = *state;
	struct ws_error err = { 0 };

	symbol_of(f, "MyWalSnd")->status = WS_SYMBOL_FOUND;
	symbol_of(f, "MyWalSnd")->address = 0x1234;
	assert_int_equal(make(f, 15, 3, &err), 0);
	assert_int_equal(f->plan.config.level, 3);
	assert_int_equal(f->plan.config.off.walsnd_sent, 4711);
	assert_int_equal(f->plan.config.var.my_walsnd, 0x1234);
	assert_int_equal(f->plan.config.var.errordata, 0);
	assert_int_equal(f->plan.config.wait_event_reg, 6);
	assert_int_equal(f->plan.config.wait_event_disp, -0x30);
	assert_int_equal(f->plan.config.wait_style, WS_WAIT_STYLE_WALSND);
}

static void a_higher_level_is_found_but_not_planted(void **state)
{
	struct fixture *f = *state;
	struct ws_error err = { 0 };
	const struct ws_planned *p;

	assert_int_equal(make(f, 15, 1, &err), 0);
	p = planned(&f->plan, WS_SITE_WAIT_START);
	assert_int_equal(p->status, WS_PLAN_NOT_AT_LEVEL);
	assert_int_equal(p->address, symbol_of(f, "WalSndWait")->address);
	assert_int_equal(f->plan.config.site_addr[WS_SITE_WAIT_START], 0);
	assert_int_equal(f->plan.config.wait_event_reg, -1);
}

static void find_variable(struct fixture *f, const char *name, uint64_t address)
{
	struct ws_symbol *symbol = symbol_of(f, name);

	symbol->status = WS_SYMBOL_FOUND;
	symbol->address = address;
}

/* Below level 3 the scheduler's program does without a site at the waits, where it can. */
static void waits_have_a_site_below_level_3_only_where_memory_does_not_tell(void **state)
{
	static const char *const variables[] = { "my_wait_event_info", "PqSendPointer",
						 "PqSendStart" };
	struct fixture *f = *state;
	struct ws_error err = { 0 };

	for (size_t known = 0; known <= WS_ARRAY_SIZE(variables); known++) {
		bool tells = known == WS_ARRAY_SIZE(variables);

		for (int level = 1; level <= 3; level++) {
			const struct ws_planned *p;

			assert_int_equal(make(f, 15, level, &err), 0);
			p = planned(&f->plan, WS_SITE_WAIT_START);
			assert_int_equal(p->level, tells ? 3 : 2);
			assert_int_equal(p->status,
					 level < p->level ? WS_PLAN_NOT_AT_LEVEL : WS_PLAN_PLANTED);
			assert_int_equal(f->plan.config.sleep_tells, tells && level == 2);
			ws_plan_deinit(&f->plan);
		}
		if (!tells)
			find_variable(f, variables[known], 0x1000 + known * 8);
	}
}

static void up_to_13_my_proc_leads_to_what_it_waits_for(void **state)
{
	static const enum ws_site sites[] = { WS_SITE_LOOP_WAIT_START, WS_SITE_WRITE_WAIT_START,
					      WS_SITE_WAL_WAIT_START };
	struct fixture *f = *state;
	struct ws_error err = { 0 };

	find_variable(f, "PqSendPointer", 0x1000);
	find_variable(f, "PqSendStart", 0x1008);
	find_variable(f, "MyProc", 0x1010);
	for (int known = 0; known < 2; known++) {
		f->layout.off.proc_wait_event = known ? 676 : WS_UNKNOWN;
		assert_int_equal(make(f, 13, 2, &err), 0);
		assert_int_equal(f->plan.config.sleep_tells, known);
		for (size_t i = 0; i < WS_ARRAY_SIZE(sites); i++)
			assert_int_equal(planned(&f->plan, sites[i])->level, known ? 3 : 2);
		if (!known)
			ws_plan_deinit(&f->plan);
	}
}

static void a_major_without_the_function_is_no_fault(void **state)
{
	struct fixture *f = *state;
	struct ws_error err = { 0 };

	assert_int_equal(make(f, 13, 3, &err), 0);
	assert_int_equal(planned(&f->plan, WS_SITE_WAIT_START)->status, WS_PLAN_NOT_IN_MAJOR);
	assert_int_equal(planned(&f->plan, WS_SITE_BACKUP_CHUNK)->status, WS_PLAN_NOT_IN_MAJOR);
	assert_int_equal(f->plan.config.wait_style, WS_WAIT_STYLE_LATCH);
}

/* Up to 13 each wait is a call of its own, up to 14 perform_base_backup tells its phases itself. */
static void a_major_has_the_places_that_are_its_own(void **state)
{
	static const struct {
		int major;
		enum ws_plan_status waits; /* anything but this */
		const char *checkpoint, *done;
	} expected[] = {
		{ 13, WS_PLAN_NOT_IN_MAJOR, "perform_base_backup", "WalSndResourceCleanup" },
		{ 15, WS_PLAN_MISSING, "basebackup_progress_wait_checkpoint",
		  "WalSndResourceCleanup" },
		{ 18, WS_PLAN_MISSING, "basebackup_progress_wait_checkpoint",
		  "ReleaseAuxProcessResources" },
	};
	struct fixture *f = *state;
	struct ws_error err = { 0 };

	for (size_t i = 0; i < WS_ARRAY_SIZE(expected); i++) {
		if (i)
			ws_plan_deinit(&f->plan);
		assert_int_equal(make(f, expected[i].major, 3, &err), 0);
		assert_int_not_equal(planned(&f->plan, WS_SITE_LOOP_WAIT_START)->status,
				     expected[i].waits);
		assert_string_equal(planned(&f->plan, WS_SITE_BACKUP_CHECKPOINT)->probe->function,
				    expected[i].checkpoint);
		assert_string_equal(planned(&f->plan, WS_SITE_BACKUP_DONE)->probe->callee,
				    expected[i].done);
	}
}

static void a_missing_site_says_why(void **state)
{
	struct fixture *f = *state;
	struct ws_error err = { 0 };

	symbol_of(f, "WalSndLoop")->status = WS_SYMBOL_INLINED;
	symbol_of(f, "WalSndLoop")->into[0] = "exec_replication_command";
	symbol_of(f, "WaitEventSetWait")->status = WS_SYMBOL_UNKNOWN;
	symbol_of(f, "WaitEventSetWait")->address = 0;
	assert_int_equal(make(f, 15, 3, &err), 0);
	expect_missing(f, WS_SITE_KEEPALIVE, "WalSndKeepalive not found (unknown)");
	expect_missing(f, WS_SITE_STREAM_START,
		       "WalSndLoop not found (inlined into exec_replication_command)");
	expect_missing(f, WS_SITE_WAIT_END, "WaitEventSetWait not found (unknown)");
}

static void a_stand_in_serves_and_says_so(void **state)
{
	struct fixture *f = *state;
	struct ws_error err = { 0 };
	const struct ws_planned *p;

	assert_int_equal(make(f, 15, 1, &err), 0);
	p = planned(&f->plan, WS_SITE_BACKUP_BEGIN);
	assert_int_equal(p->status, WS_PLAN_PLANTED);
	assert_int_equal(p->address, symbol_of(f, "SendBaseBackup")->address);
	assert_string_equal(p->function, "SendBaseBackup");
	assert_string_equal(p->reason, "perform_base_backup not found (unknown)");
}

static void an_exported_callee_need_not_be_looked_for(void **state)
{
	struct fixture *f = *state;
	struct ws_error err = { 0 };
	const struct ws_planned *p;

	assert_null(ws_symbol_find(&f->set, "WalSndResourceCleanup"));
	assert_int_equal(make(f, 15, 1, &err), 0);
	p = planned(&f->plan, WS_SITE_BACKUP_DONE);
	assert_int_equal(p->status, WS_PLAN_PLANTED);
	assert_memory_equal(p->instruction, "je ", 3);
}

static void where_the_call_is_inlined_the_entry_serves_and_says_so(void **state)
{
	struct fixture *f = *state;
	struct ws_error err = { 0 };
	const struct ws_planned *p;

	assert_int_equal(make(f, 15, 2, &err), 0);
	p = planned(&f->plan, WS_SITE_SEND_PHYSICAL);
	assert_int_equal(p->status, WS_PLAN_PLANTED);
	assert_int_equal(p->address, symbol_of(f, "XLogSendPhysical")->address);
	assert_string_equal(p->reason, "no call of resetStringInfo in it");
}

static void functions_folded_into_one_get_one_site(void **state)
{
	struct fixture *f = *state;
	struct ws_error err = { 0 };
	struct ws_symbol *estimate = symbol_of(f, "basebackup_progress_estimate_backup_size");

	estimate->status = WS_SYMBOL_FOUND;
	estimate->address = symbol_of(f, "basebackup_progress_wait_checkpoint")->address;
	assert_int_equal(make(f, 15, 1, &err), 0);
	assert_int_equal(planned(&f->plan, WS_SITE_BACKUP_CHECKPOINT)->status, WS_PLAN_PLANTED);
	expect_missing(f, WS_SITE_BACKUP_ESTIMATE,
		       "basebackup_progress_estimate_backup_size and "
		       "basebackup_progress_wait_checkpoint are the same code");
}

static void an_address_without_a_function_has_no_site(void **state)
{
	struct fixture *f = *state;
	struct ws_error err = { 0 };

	symbol_of(f, "WalSndWait")->address += 1;
	assert_int_equal(make(f, 15, 2, &err), 0);
	assert_int_equal(planned(&f->plan, WS_SITE_WAIT_START)->status, WS_PLAN_MISSING);
	assert_non_null(strstr(planned(&f->plan, WS_SITE_WAIT_START)->reason, "no function"));
}

static void a_missing_required_site_fails_with_a_plan_to_print(void **state)
{
	struct fixture *f = *state;
	struct ws_error err = { 0 };

	symbol_of(f, "exec_replication_command")->status = WS_SYMBOL_UNKNOWN;
	symbol_of(f, "exec_replication_command")->address = 0;
	assert_int_equal(make(f, 15, 2, &err), -1);
	assert_non_null(strstr(err.why, "command_start"));
	assert_non_null(strstr(err.why, "exec_replication_command not found (unknown)"));
	assert_true(err.fix[0] != '\0');
	assert_int_equal(f->plan.count, WS_SITE_COUNT - 1);
	assert_int_equal(planned(&f->plan, WS_SITE_SESSION_START)->status, WS_PLAN_PLANTED);
}

static void a_level_that_does_not_exist_fails(void **state)
{
	struct ws_error err = { 0 };

	assert_int_equal(make(*state, 15, 0, &err), -1);
	assert_int_equal(make(*state, 15, 4, &err), -1);
}

static int plan_server(void **state)
{
	ws_autoclose int fd = open(SERVER, O_RDONLY | O_CLOEXEC);
	const struct ws_resolve_options options = { .no_debug_info = true };
	struct fixture *f = calloc(1, sizeof(*f));
	struct ws_error err = { 0 };

	*state = f;
	if (fd < 0) {
		print_error("%s is not installed\n", SERVER);
		return -1;
	}
	if (ws_image_open(&f->image, fd, SERVER, NULL, &err) ||
	    ws_resolve(f->image, &options, &f->set, &err) ||
	    ws_layout_find(f->image, 15, NULL, &f->layout, &err) || make(f, 15, 3, &err)) {
		print_error("%s: %s\n", err.what, err.why);
		return -1;
	}
	return 0;
}

static int free_server(void **state)
{
	struct fixture *f = *state;

	ws_plan_deinit(&f->plan);
	ws_symbol_set_deinit(&f->set);
	ws_image_free(f->image);
	free(f);
	return 0;
}

static void the_stripped_server_has_every_site_and_all_are_cheap(void **state)
{
	struct fixture *f = *state;
	size_t planted = 0;

	for (size_t i = 0; i < f->plan.count; i++) {
		const struct ws_planned *p = &f->plan.sites[i];

		/* nor has its compiler made copies */
		if ((p->probe->last_major && p->probe->last_major < 15) ||
		    p->probe->first_major > 15 || p->probe->pick == WS_PICK_COPY) {
			assert_int_equal(p->status, WS_PLAN_NOT_IN_MAJOR);
			continue;
		}
		if (p->probe->coarse_of) {
			assert_int_equal(p->status, WS_PLAN_NOT_AT_LEVEL);
			continue;
		}
		planted++;
		if (p->status != WS_PLAN_PLANTED || p->cost != WS_COST_EMULATED)
			fail_msg("%s: status %d, cost %d %s", p->probe->name, p->status, p->cost,
				 p->reason);
		assert_true(p->confidence > 0.5);
	}
	assert_int_equal(f->plan.planted, planted);
	assert_int_not_equal(f->plan.config.wait_event_reg, -1);
}

static void no_two_sites_of_the_server_share_an_address(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < f->plan.count; i++) {
		for (size_t j = 0; j < i && f->plan.sites[i].address; j++)
			assert_int_not_equal(f->plan.sites[i].address, f->plan.sites[j].address);
	}
}

/* The bytes in the file at the offset are the instruction the plan speaks of. */
static void the_offsets_lead_to_the_instructions_in_the_file(void **state)
{
	struct fixture *f = *state;
	ws_autoclose int fd = open(SERVER, O_RDONLY | O_CLOEXEC);

	for (size_t i = 0; i < f->plan.count; i++) {
		const struct ws_planned *p = &f->plan.sites[i];
		uint8_t bytes[16];

		if (p->status == WS_PLAN_NOT_IN_MAJOR)
			continue;
		assert_int_equal(pread(fd, bytes, sizeof(bytes), (off_t)p->offset), sizeof(bytes));
		assert_int_equal(ws_code_cost(WS_ARCH_X86_64, bytes, sizeof(bytes)), p->cost);
		if (strcmp(p->instruction, "push rbp") == 0)
			assert_int_equal(bytes[0], 0x55);
	}
}

/*
 * By postgres.c: the end of a command is a branch, and the end of its SQL lies between that branch
 * and the call of the ordinary backends, straight behind a call of exec_simple_query.
 */
static void the_end_of_sql_is_the_walsenders_own(void **state)
{
	struct fixture *f = *state;
	uint64_t end = planned(&f->plan, WS_SITE_COMMAND_END)->address;
	uint64_t sql = planned(&f->plan, WS_SITE_SQL_END)->address;
	size_t size;
	const uint8_t *bytes = ws_image_bytes(f->image, sql - 5, &size);
	int32_t distance;

	assert_true(sql > end && sql - end < 32);
	assert_non_null(bytes);
	assert_int_equal(bytes[0], 0xe8);
	memcpy(&distance, bytes + 1, sizeof(distance));
	assert_int_equal(sql + (uint64_t)(int64_t)distance,
			 ws_symbol_address(&f->set, "exec_simple_query"));
}

/* Many more turns pass the fine one. */
static void of_a_coarse_site_and_its_fine_one_the_level_chooses(void **state)
{
	struct fixture *f = *state;
	struct ws_error err = { 0 };

	for (int level = 1; level <= 3; level++) {
		const struct ws_planned *fine, *coarse;

		assert_int_equal(make(f, 15, level, &err), 0);
		fine = planned(&f->plan, WS_SITE_SEND_LOGICAL);
		coarse = planned(&f->plan, WS_SITE_READ_PAGE);
		assert_int_equal(coarse->probe->coarse_of, fine->probe->site);
		assert_int_equal(coarse->status,
				 level == 2 ? WS_PLAN_PLANTED : WS_PLAN_NOT_AT_LEVEL);
		assert_int_equal(fine->status, level == 3 ? WS_PLAN_PLANTED : WS_PLAN_NOT_AT_LEVEL);
		assert_int_equal(fine->level, 3);
		assert_int_equal(f->plan.config.site_addr[WS_SITE_SEND_LOGICAL] != 0, level == 3);
		assert_int_equal(f->plan.config.site_addr[WS_SITE_READ_PAGE] != 0, level == 2);
	}
}

/* One of the two is not to be found; the level at which it would be planted. */
static void plan_without(struct fixture *f, const char *function, int level)
{
	struct ws_symbol *symbol = symbol_of(f, function), before = *symbol;
	struct ws_error err = { 0 };

	symbol->status = WS_SYMBOL_UNKNOWN;
	symbol->address = 0;
	assert_int_equal(make(f, 15, level, &err), 0);
	*symbol = before;
}

static void the_other_one_is_planted_where_one_of_them_has_no_place(void **state)
{
	struct fixture *f = *state;

	plan_without(f, "logical_read_xlog_page", 2);
	assert_int_equal(planned(&f->plan, WS_SITE_READ_PAGE)->status, WS_PLAN_MISSING);
	assert_int_equal(planned(&f->plan, WS_SITE_SEND_LOGICAL)->status, WS_PLAN_PLANTED);
	plan_without(f, "XLogSendLogical", 3);
	assert_int_equal(planned(&f->plan, WS_SITE_READ_PAGE)->status, WS_PLAN_PLANTED);
	assert_int_equal(planned(&f->plan, WS_SITE_SEND_LOGICAL)->status, WS_PLAN_MISSING);
}

/*
 * A file that lies about its code: whatever comes out, a planted site lies in code and inside the
 * function it was planned in, or the plan says why not.
 */
static void damaged_code_does_no_harm(void **state)
{
	struct fixture *f = *state;
	ws_autoclose int fd = open(SERVER, O_RDONLY | O_CLOEXEC);
	ws_autoclose int copy = memfd_create("damaged", MFD_CLOEXEC);
	uint64_t from = planned(&f->plan, WS_SITE_SEND_LOGICAL)->offset;
	struct ws_error err = { 0 };
	unsigned int seed = 1;
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	for (off_t done = 0; done < st.st_size;) {
		ssize_t n = sendfile(copy, fd, &done, (size_t)(st.st_size - done));

		assert_true(n > 0);
	}
	for (int round = 0; round < 50; round++) {
		struct ws_image *image = NULL;
		struct ws_plan plan = { 0 };

		for (int i = 0; i < 40; i++) { /* walsender.c's code is some 16 KiB */
			uint8_t byte = (uint8_t)rand_r(&seed);

			assert_int_equal(
				pwrite(copy, &byte, 1, (off_t)from + rand_r(&seed) % 16384), 1);
		}
		assert_int_equal(ws_image_open(&image, copy, "damaged", NULL, &err), 0);
		ws_plan_make(image, &f->set, &f->layout, 15, 3, &plan, &err);
		for (size_t i = 0; i < plan.count; i++) {
			const struct ws_planned *p = &plan.sites[i];
			const struct ws_range *range = ws_image_function_at(image, p->address);

			if (p->status == WS_PLAN_NOT_IN_MAJOR)
				continue;
			if (p->status == WS_PLAN_MISSING)
				assert_true(p->reason[0] != '\0');
			else
				assert_int_equal(range->start,
						 ws_symbol_address(&f->set, p->function));
		}
		ws_plan_deinit(&plan);
		ws_image_free(image);
	}
}

#define unit(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		unit(the_catalogue_has_one_row_for_every_site_and_major),
		unit(a_planted_site_has_address_offset_and_instruction),
		unit(the_configuration_holds_layout_variables_and_the_wait_event),
		unit(a_higher_level_is_found_but_not_planted),
		unit(waits_have_a_site_below_level_3_only_where_memory_does_not_tell),
		unit(up_to_13_my_proc_leads_to_what_it_waits_for),
		unit(a_major_without_the_function_is_no_fault),
		unit(a_major_has_the_places_that_are_its_own),
		unit(a_missing_site_says_why),
		unit(a_stand_in_serves_and_says_so),
		unit(an_exported_callee_need_not_be_looked_for),
		unit(where_the_call_is_inlined_the_entry_serves_and_says_so),
		unit(functions_folded_into_one_get_one_site),
		unit(an_address_without_a_function_has_no_site),
		unit(a_missing_required_site_fails_with_a_plan_to_print),
		unit(a_level_that_does_not_exist_fails),
	};
	const struct CMUnitTest server_tests[] = {
		cmocka_unit_test(the_catalogue_names_only_what_can_be_found),
		cmocka_unit_test(the_stripped_server_has_every_site_and_all_are_cheap),
		cmocka_unit_test(no_two_sites_of_the_server_share_an_address),
		cmocka_unit_test(the_offsets_lead_to_the_instructions_in_the_file),
		cmocka_unit_test(the_end_of_sql_is_the_walsenders_own),
		cmocka_unit_test(damaged_code_does_no_harm),
		cmocka_unit_test(of_a_coarse_site_and_its_fine_one_the_level_chooses),
		cmocka_unit_test(the_other_one_is_planted_where_one_of_them_has_no_place),
	};
	int rc = cmocka_run_group_tests_name("probe/plan", tests, NULL, NULL);

	return cmocka_run_group_tests_name("probe/plan on the server", server_tests, plan_server,
					   free_server) ||
	       rc;
}
