/* SPDX-License-Identifier: BSD-2-Clause */
/* The chain and its cache, on small programs whose symbol tables say what a test needs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <xxhash.h>

#include "../lib/symbol_fixture.h"
#include "base/util.h"
#include "symbol/resolve.h"

/* Statics of walsender.c under the names compilers give to whole functions and to pieces of them.
 */
static const char walsender_source[] =
	"#define KEEP __attribute__((noinline, used))\n"
	"static KEEP void a(void) __asm__(\"WalSndLoop.constprop.0\"); static KEEP void a(void) "
	"{}\n"
	"static KEEP void b(void) __asm__(\"XLogSendPhysical.part.0\"); static KEEP void b(void) "
	"{}\n"
	"static KEEP void c(void) __asm__(\"XLogSendLogical.cold\"); static KEEP void c(void) {}\n"
	"static KEEP void d(void) __asm__(\"WalSndKeepalive.isra.0.part.1\"); static KEEP void "
	"d(void) {}\n"
	"static KEEP void e(void) __asm__(\"WalSndDone.isra.0.constprop.1\"); static KEEP void "
	"e(void) {}\n"
	"static KEEP void f(void) __asm__(\"WalSndPrepareWrite.constprop.0\"); static KEEP void "
	"f(void) {}\n"
	"static KEEP void g(void) __asm__(\"WalSndPrepareWrite.constprop.1\"); static KEEP void "
	"g(void) {}\n"
	"static KEEP void WalSndWriteData(void) {}\n"
	"static KEEP void h(void) __asm__(\"WalSndWriteData.part.0\"); static KEEP void h(void) "
	"{}\n"
	"static KEEP void WalSndWaits(void) {}\n"
	"static long sentPtr __attribute__((used)) = 1;\n"
	"static void __attribute__((used)) PqSendStart(void) {}\n"
	"void WalSndErrorCleanup(void) {}\n"
	"char am_walsender = 1;\n"
	"int main(void) { return 0; }\n";

static void resolve(const char *path, const struct ws_resolve_options *options,
		    struct ws_symbol_set *set)
{
	struct ws_image *image = ws_fixture_open(path);
	struct ws_error err;

	assert_int_equal(ws_resolve(image, options, set, &err), 0);
	ws_image_free(image);
}

static uint64_t address_in(const char *path, const char *name)
{
	struct ws_image *image = ws_fixture_open(path);
	const struct ws_image_symbol *symbol = ws_image_symbol(image, name);
	uint64_t address = symbol ? symbol->address : 0;

	ws_image_free(image);
	assert_true(address != 0);
	return address;
}

static void the_wanted_list_is_sorted_and_complete(void **state)
{
	static const char *const some[] = {
		"PostgresMain", "WalSndLoop", "XLogSendPhysical",	 "XLogSendLogical",
		"errordata",	"sentPtr",    "exec_replication_command"
	};
	const struct ws_symbol_wanted *wanted;
	struct ws_symbol_set set;
	char path[512];
	size_t count;

	(void)state;
	wanted = ws_symbol_wanted(&count);
	for (size_t i = 1; i < count; i++)
		assert_true(strcmp(wanted[i - 1].name, wanted[i].name) < 0);
	ws_fixture_compile("empty.c", "int main(void) { return 0; }\n", "", path, sizeof(path));
	resolve(path, &(struct ws_resolve_options){ 0 }, &set);
	for (size_t i = 0; i < WS_ARRAY_SIZE(some); i++) {
		assert_non_null(ws_symbol_find(&set, some[i]));
		assert_int_equal(ws_symbol_find(&set, some[i])->status, WS_SYMBOL_UNKNOWN);
		assert_int_equal(ws_symbol_address(&set, some[i]), 0);
	}
	assert_null(ws_symbol_find(&set, "not_wanted"));
	ws_symbol_set_deinit(&set);
}

static void check_found(const struct ws_symbol_set *set, const char *path, const char *name,
			const char *as, enum ws_symbol_source source)
{
	const struct ws_symbol *symbol = ws_symbol_find(set, name);

	assert_int_equal(symbol->status, WS_SYMBOL_FOUND);
	assert_int_equal(symbol->source, source);
	assert_int_equal(symbol->address, address_in(path, as));
}

static void a_piece_is_never_the_function(void **state)
{
	static const char *const unknown[] = { "XLogSendPhysical", "XLogSendLogical",
					       "WalSndKeepalive",  "WalSndPrepareWrite",
					       "WalSndWait",	   "PqSendStart" };
	struct ws_symbol_set set;
	char path[512];

	(void)state;
	ws_fixture_compile("walsender.c", walsender_source, "", path, sizeof(path));
	resolve(path, &(struct ws_resolve_options){ .no_recovery = true }, &set);
	check_found(&set, path, "WalSndLoop", "WalSndLoop.constprop.0", WS_SOURCE_SYMTAB);
	check_found(&set, path, "WalSndDone", "WalSndDone.isra.0.constprop.1", WS_SOURCE_SYMTAB);
	check_found(&set, path, "WalSndWriteData", "WalSndWriteData", WS_SOURCE_SYMTAB);
	check_found(&set, path, "sentPtr", "sentPtr", WS_SOURCE_SYMTAB);
	check_found(&set, path, "WalSndErrorCleanup", "WalSndErrorCleanup", WS_SOURCE_DYNSYM);
	check_found(&set, path, "am_walsender", "am_walsender", WS_SOURCE_DYNSYM);
	for (size_t i = 0; i < WS_ARRAY_SIZE(unknown); i++) {
		if (ws_symbol_find(&set, unknown[i])->status != WS_SYMBOL_UNKNOWN)
			fail_msg("%s is called known", unknown[i]);
	}
	ws_symbol_set_deinit(&set);
}

/* A static of the same name in another file is not the one that is wanted. */
static void the_file_of_a_static_decides(void **state)
{
	struct ws_symbol_set set;
	char path[512];

	(void)state;
	ws_fixture_compile("other.c", walsender_source, "", path, sizeof(path));
	resolve(path, &(struct ws_resolve_options){ .no_recovery = true }, &set);
	assert_int_equal(ws_symbol_find(&set, "WalSndWriteData")->status, WS_SYMBOL_UNKNOWN);
	assert_int_equal(ws_symbol_find(&set, "sentPtr")->status, WS_SYMBOL_UNKNOWN);
	check_found(&set, path, "WalSndErrorCleanup", "WalSndErrorCleanup", WS_SOURCE_DYNSYM);
	ws_symbol_set_deinit(&set);
}

static void no_debug_info_leaves_dynsym_alone(void **state)
{
	struct ws_symbol_set set;
	char path[512];

	(void)state;
	ws_fixture_compile("walsender.c", walsender_source, "-g", path, sizeof(path));
	resolve(path, &(struct ws_resolve_options){ .no_debug_info = true }, &set);
	for (size_t i = 0; i < set.count; i++) {
		if (set.symbols[i].status == WS_SYMBOL_FOUND)
			assert_int_equal(set.symbols[i].source, WS_SOURCE_DYNSYM);
	}
	assert_int_equal(ws_symbol_find(&set, "WalSndWriteData")->status, WS_SYMBOL_UNKNOWN);
	check_found(&set, path, "WalSndErrorCleanup", "WalSndErrorCleanup", WS_SOURCE_DYNSYM);
	ws_symbol_set_deinit(&set);
}

static void dwarf_says_what_was_inlined_where(void **state)
{
	static const char source[] =
		"volatile int sink;\n"
		"static inline __attribute__((always_inline)) void WalSndDone(void) { sink++; }\n"
		"static inline __attribute__((always_inline)) void WalSndCheckTimeOut(void)\n"
		"{ sink--; }\n"
		"__attribute__((noinline)) void WalSndLoop(void)\n"
		"{ sink = 1; WalSndDone(); WalSndCheckTimeOut(); }\n"
		"__attribute__((noinline)) void other_host(void) { WalSndCheckTimeOut(); }\n"
		"int main(void) { WalSndLoop(); other_host(); return 0; }\n";
	const struct ws_symbol *symbol;
	struct ws_symbol_set set;
	char path[512];

	(void)state;
	ws_fixture_compile("walsender.c", source, "-g", path, sizeof(path));
	resolve(path, &(struct ws_resolve_options){ .no_recovery = true }, &set);
	symbol = ws_symbol_find(&set, "WalSndDone");
	assert_int_equal(symbol->status, WS_SYMBOL_INLINED);
	assert_int_equal(symbol->source, WS_SOURCE_DWARF);
	assert_string_equal(symbol->into[0], "WalSndLoop");
	assert_null(symbol->into[1]);
	symbol = ws_symbol_find(&set, "WalSndCheckTimeOut");
	assert_int_equal(symbol->status, WS_SYMBOL_INLINED);
	assert_non_null(symbol->into[1]);
	ws_symbol_set_deinit(&set);
}

static void what_a_major_lacks_is_absent(void **state)
{
	static const char source[] = "const char version[] = \"PostgreSQL 13.4 (x) on "
				     "x86_64-pc-linux-gnu, compiled by cc, "
				     "64-bit\";\nint main(void) { return version[0]; }\n";
	struct ws_symbol_set set;
	char path[512];

	(void)state;
	ws_fixture_compile("version.c", source, "", path, sizeof(path));
	resolve(path, &(struct ws_resolve_options){ 0 }, &set);
	assert_int_equal(ws_symbol_find(&set, "WalSndWait")->status, WS_SYMBOL_ABSENT);	 /* 14 */
	assert_int_equal(ws_symbol_find(&set, "elog_finish")->status, WS_SYMBOL_ABSENT); /* to 12 */
	assert_int_equal(ws_symbol_find(&set, "WALRead")->status, WS_SYMBOL_UNKNOWN);	 /* 13 */
	ws_symbol_set_deinit(&set);
}

/* One program, one cache folder, one file in it. */
struct cached {
	char path[512];
	char folder[520];
	char file[1100];
	struct ws_resolve_options options;
};

static void cached_init(struct cached *c)
{
	struct ws_image *image;
	struct ws_symbol_set set;
	char command[600];

	ws_fixture_compile("walsender.c", walsender_source, "-Wl,--build-id", c->path,
			   sizeof(c->path));
	snprintf(c->folder, sizeof(c->folder), "%s.cache", c->path);
	snprintf(command, sizeof(command), "rm -rf '%s'", c->folder);
	assert_int_equal(system(command), 0);
	c->options = (struct ws_resolve_options){ .cache_dir = c->folder };
	image = ws_fixture_open(c->path);
	snprintf(c->file, sizeof(c->file), "%s/%s.sym", c->folder, ws_image_build_id(image));
	ws_image_free(image);
	resolve(c->path, &c->options, &set);
	assert_false(set.from_cache);
	ws_symbol_set_deinit(&set);
}

/* Resolves again; the answer must be the true one, from the cache or not. */
static void expect_cache(const struct cached *c, bool used)
{
	struct ws_symbol_set set;

	resolve(c->path, &c->options, &set);
	assert_int_equal(set.from_cache, used);
	check_found(&set, c->path, "WalSndWriteData", "WalSndWriteData", WS_SOURCE_SYMTAB);
	assert_int_equal(ws_symbol_find(&set, "XLogSendPhysical")->status, WS_SYMBOL_UNKNOWN);
	ws_symbol_set_deinit(&set);
}

static void overwrite(const char *path, const uint8_t *bytes, size_t size)
{
	ws_autofclose FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, size, f), size);
}

static void the_cache_is_private_and_used(void **state)
{
	struct cached c;
	struct stat st;

	(void)state;
	cached_init(&c);
	assert_int_equal(stat(c.folder, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(stat(c.file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	expect_cache(&c, true);
}

static void a_torn_cache_is_ignored_and_replaced(void **state)
{
	ws_autofree uint8_t *bytes = NULL;
	struct cached c;
	size_t size;

	(void)state;
	cached_init(&c);
	bytes = ws_fixture_read(c.file, &size);
	for (size_t cut = 0; cut < size; cut += 1 + size / 40) {
		overwrite(c.file, bytes, cut);
		expect_cache(&c, false);
		expect_cache(&c, true);
	}
	for (size_t at = 0; at < size; at += 1 + size / 60) {
		bytes[at] ^= 1;
		overwrite(c.file, bytes, size);
		bytes[at] ^= 1;
		expect_cache(&c, false);
	}
}

static void a_cache_of_other_options_is_ignored(void **state)
{
	struct cached c;
	struct ws_symbol_set set;

	(void)state;
	cached_init(&c);
	c.options.no_debug_info = true;
	resolve(c.path, &c.options, &set);
	assert_false(set.from_cache);
	assert_int_equal(ws_symbol_find(&set, "WalSndWriteData")->status, WS_SYMBOL_UNKNOWN);
	ws_symbol_set_deinit(&set);
	c.options.no_debug_info = false;
	expect_cache(&c, false);
}

static void a_cache_others_may_write_to_is_ignored(void **state)
{
	struct cached c;

	(void)state;
	cached_init(&c);
	assert_int_equal(chmod(c.file, 0666), 0);
	expect_cache(&c, false);
	assert_int_equal(chmod(c.folder, 0777), 0);
	expect_cache(&c, false);
	assert_int_equal(chmod(c.folder, 0700), 0);
	expect_cache(&c, true);
}

/* A build id does not tell programs apart: somebody who moves code around may have kept it. */
static void a_cache_of_another_program_with_the_same_build_id_is_ignored(void **state)
{
	static const char id[] = "-Wl,--build-id=0x00112233445566778899aabbccddeeff00112233";
	static const char moved[] = "__asm__(\".text\\n .skip 0x100\\n\");\n";
	char first[512], second[512], folder[600];
	struct ws_resolve_options options = { .cache_dir = folder };
	ws_autofree char *source = NULL;
	struct ws_symbol_set set;

	(void)state;
	assert_true(asprintf(&source, "%s%s", moved, walsender_source) > 0);
	ws_fixture_compile("walsender.c", walsender_source, id, first, sizeof(first));
	snprintf(folder, sizeof(folder), "%s.cache", first);
	resolve(first, &options, &set);
	ws_symbol_set_deinit(&set);
	ws_fixture_compile("moved.c", source, id, second, sizeof(second));
	resolve(second, &options, &set);
	assert_false(set.from_cache);
	check_found(&set, second, "WalSndErrorCleanup", "WalSndErrorCleanup", WS_SOURCE_DYNSYM);
	ws_symbol_set_deinit(&set);
}

#define SEAL_LEN (sizeof("end 0123456789abcdef\n") - 1)

/* Writes the closing line of a cache anew. */
static void seal(char *bytes, size_t size)
{
	char line[SEAL_LEN + 1];

	snprintf(line, sizeof(line), "end %016llx\n",
		 (unsigned long long)XXH64(bytes, size - SEAL_LEN, 0));
	memcpy(bytes + size - SEAL_LEN, line, SEAL_LEN);
}

/* Somebody changed an address in a cache and made its checksum right: it is not code, so it is not
 * believed. */
static void addresses_in_a_cache_are_checked(void **state)
{
	static const char key[] = "\nWalSndErrorCleanup 1 2 "; /* found, by dynsym, at ... */
	ws_autofree char *bytes = NULL;
	struct cached c;
	char *line;
	size_t size;

	(void)state;
	cached_init(&c);
	bytes = (char *)ws_fixture_read(c.file, &size);
	memset(bytes + size - SEAL_LEN, 'x', SEAL_LEN);
	seal(bytes, size);
	overwrite(c.file, (uint8_t *)bytes, size);
	expect_cache(&c, true); /* so the seal is right */
	line = memmem(bytes, size, key, strlen(key));
	assert_non_null(line);
	line[strlen(key)] = 'f'; /* the first digit */
	seal(bytes, size);
	overwrite(c.file, (uint8_t *)bytes, size);
	expect_cache(&c, false);
	expect_cache(&c, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_wanted_list_is_sorted_and_complete),
		cmocka_unit_test(a_piece_is_never_the_function),
		cmocka_unit_test(the_file_of_a_static_decides),
		cmocka_unit_test(no_debug_info_leaves_dynsym_alone),
		cmocka_unit_test(dwarf_says_what_was_inlined_where),
		cmocka_unit_test(what_a_major_lacks_is_absent),
		cmocka_unit_test(the_cache_is_private_and_used),
		cmocka_unit_test(a_torn_cache_is_ignored_and_replaced),
		cmocka_unit_test(a_cache_of_other_options_is_ignored),
		cmocka_unit_test(a_cache_others_may_write_to_is_ignored),
		cmocka_unit_test(a_cache_of_another_program_with_the_same_build_id_is_ignored),
		cmocka_unit_test(addresses_in_a_cache_are_checked),
	};

	return cmocka_run_group_tests_name("symbol/resolve", tests, NULL, ws_fixture_teardown);
}
