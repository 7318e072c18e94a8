/* SPDX-License-Identifier: BSD-2-Clause */
/* The symbol file that `walscope symbols --elf` writes, read again as what it stands for. */
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../lib/symbol_fixture.h"
#include "base/util.h"
#include "export/symbols.h"

static const char source[] =
	"volatile int sink;\n"
	"static int sentPtr __attribute__((used)) = 1;\n"
	"__thread int local = 3;\n"
	"static __attribute__((noinline, noipa)) void WalSndLoop(void) { sink = 1; }\n"
	"void WalSndErrorCleanup(void) { sink = local; }\n"
	"int main(void) { WalSndLoop(); return 0; }\n";

static char full[512], bare[512], out[600];

static int setup(void **state)
{
	(void)state;
	ws_fixture_compile("walsender.c", source, "-Wl,--build-id", full, sizeof(full));
	ws_fixture_strip(full, bare, sizeof(bare));
	snprintf(out, sizeof(out), "%s.sym", full);
	return 0;
}

/* Writes what is known of an image; returns what writing did. */
static int write_with(const struct ws_image *image, const char *path,
		      const struct ws_layout *layout, struct ws_error *err)
{
	struct ws_debug *debug = ws_debug_new(image, &(struct ws_debug_options){ 0 });
	const struct ws_resolve_options options = { .debug = debug };
	struct ws_symbol_list list;
	struct ws_symbol_set set;
	int rc;

	assert_non_null(debug);
	assert_int_equal(ws_resolve(image, &options, &set, err), 0);
	assert_int_equal(ws_symbol_list_make(image, debug, &set, true, &list, err), 0);
	rc = ws_symbol_file_write(path, image, list.symbols, list.count, layout, err);
	ws_symbol_list_deinit(&list);
	ws_symbol_set_deinit(&set);
	ws_debug_free(debug);
	return rc;
}

static int write_file(const struct ws_image *image, const char *path, struct ws_error *err)
{
	return write_with(image, path, NULL, err);
}

static void write_full(void)
{
	struct ws_image *image = ws_fixture_open(full);
	struct ws_error err;

	assert_int_equal(write_file(image, out, &err), 0);
	ws_image_free(image);
}

/* Whoever has the stripped file and finds this one by its build-id gets the names back. */
static void it_is_a_debug_file_of_the_stripped_server(void **state)
{
	char folder[700], command[4096];
	struct ws_debug_options options = { .debug_dir = folder };
	struct ws_resolve_options resolve = { .no_recovery = true };
	struct ws_image *image = ws_fixture_open(bare), *named = ws_fixture_open(full);
	const char *id = ws_image_build_id(image);
	struct ws_symbol_set set;
	struct ws_error err;

	(void)state;
	write_full();
	snprintf(folder, sizeof(folder), "%s.debug", full);
	snprintf(command, sizeof(command),
		 "mkdir -p '%s/.build-id/%.2s' && cp '%s' '%s/.build-id/%.2s/%s.debug'", folder, id,
		 out, folder, id, id + 2);
	assert_int_equal(system(command), 0);
	resolve.debug = ws_debug_new(image, &options);
	assert_int_equal(ws_resolve(image, &resolve, &set, &err), 0);
	assert_int_equal(ws_symbol_find(&set, "WalSndLoop")->source, WS_SOURCE_DEBUGLINK);
	assert_int_equal(ws_symbol_address(&set, "WalSndLoop"),
			 ws_image_symbol(named, "WalSndLoop")->address);
	assert_int_equal(ws_symbol_address(&set, "sentPtr"),
			 ws_image_symbol(named, "sentPtr")->address);
	ws_symbol_set_deinit(&set);
	ws_debug_free(resolve.debug);
	ws_image_free(image);
	ws_image_free(named);
}

/* nm and gdb take a symbol for code or data by the section it is in. */
static void binutils_see_functions_as_code_and_variables_as_data(void **state)
{
	char command[4096];

	(void)state;
	write_full();
	snprintf(command, sizeof(command),
		 "nm '%s' | grep -q ' t WalSndLoop$' && nm '%s' | grep -q ' [bd] sentPtr$' && "
		 "nm '%s' | grep -q ' T WalSndErrorCleanup$' && nm '%s' | grep -q ' T main$'",
		 out, out, out, out);
	assert_int_equal(system(command), 0);
}

/* What scripts/gdb reads, as a tool that is not walscope's takes it out. */
static void a_layout_is_lines_in_a_section_and_leaves_out_what_is_unknown(void **state)
{
	struct ws_image *image = ws_fixture_open(full);
	struct ws_layout layout = { .major = 15 };
	char command[2048];
	struct ws_error err;

	(void)state;
	memset(&layout.off, 0xff, sizeof(layout.off));
	layout.off.walsnd_state = 4;
	layout.off.walsnd_size = 96;
	layout.off.slot_name = 24;
	assert_int_equal(write_with(image, out, &layout, &err), 0);
	snprintf(
		command, sizeof(command),
		"objcopy --dump-section .walscope.layout='%s.text' '%s' /dev/null && printf 'major "
		"15\nWalSnd.state 4\nReplicationSlot.data.name 24\nsizeof(WalSnd) 96\n' | "
		"cmp - '%s.text'",
		out, out, out);
	assert_int_equal(system(command), 0);
	assert_int_equal(write_file(image, out, &err), 0);
	snprintf(command, sizeof(command), "objdump -h '%s' | grep -q 'walscope[.]layout'", out);
	assert_int_not_equal(system(command), 0);
	ws_image_free(image);
}

static void it_is_readable_by_all_and_alone(void **state)
{
	char command[1200];
	struct stat st;

	(void)state;
	write_full();
	assert_int_equal(stat(out, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	snprintf(command, sizeof(command), "ls '%s'.?????? >/dev/null 2>&1", out);
	assert_int_not_equal(system(command), 0); /* nothing temporary is left */
}

static void what_is_no_regular_file_is_not_replaced(void **state)
{
	struct ws_image *image = ws_fixture_open(full);
	char link[700];
	struct ws_error err;
	struct stat st;

	(void)state;
	snprintf(link, sizeof(link), "%s.link", full);
	unlink(link);
	assert_int_equal(symlink(full, link), 0);
	assert_int_equal(write_file(image, link, &err), -1);
	assert_non_null(strstr(err.why, "not a regular file"));
	assert_int_equal(lstat(link, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(write_file(image, "/dev/null", &err), -1);
	assert_int_equal(write_file(image, "/tmp", &err), -1);
	assert_int_equal(write_file(image, full, &err), -1);
	assert_non_null(strstr(err.why, "the server itself"));
	assert_int_equal(write_file(image, "/nonexistent/x", &err), -1);
	assert_true(err.why[0] != '\0');
	ws_image_free(image);
}

static void a_server_without_section_headers_gets_sections_from_its_segments(void **state)
{
	ws_autofree uint8_t *bytes = NULL;
	struct ws_image *image;
	char command[1200];
	struct ws_error err;
	Elf64_Ehdr *eh;
	size_t size;

	(void)state;
	bytes = ws_fixture_read(full, &size);
	eh = (Elf64_Ehdr *)bytes;
	eh->e_shoff = 0;
	eh->e_shnum = eh->e_shstrndx = 0;
	image = ws_fixture_open_bytes(bytes, size, &err);
	assert_non_null(image);
	assert_int_equal(write_file(image, out, &err), 0);
	ws_image_free(image);
	snprintf(command, sizeof(command), "objdump -h '%s' | grep -A1 ' .text ' | grep -q CODE",
		 out);
	assert_int_equal(system(command), 0);
}

static void a_hostile_server_is_written_or_refused(void **state)
{
	ws_autofree uint8_t *bytes = NULL;
	const Elf64_Ehdr *eh;
	size_t size;

	(void)state;
	bytes = ws_fixture_read(full, &size);
	eh = (const Elf64_Ehdr *)bytes;
	for (size_t at = eh->e_shoff; at < size; at += 3) {
		struct ws_image *image;
		struct ws_error err;

		bytes[at] ^= at % 2 ? 0xff : 0x01;
		image = ws_fixture_open_bytes(bytes, size, &err);
		if (image && write_file(image, out, &err))
			assert_true(err.what[0] && err.why[0]);
		ws_image_free(image);
		bytes[at] ^= at % 2 ? 0xff : 0x01;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_a_debug_file_of_the_stripped_server),
		cmocka_unit_test(binutils_see_functions_as_code_and_variables_as_data),
		cmocka_unit_test(a_layout_is_lines_in_a_section_and_leaves_out_what_is_unknown),
		cmocka_unit_test(it_is_readable_by_all_and_alone),
		cmocka_unit_test(what_is_no_regular_file_is_not_replaced),
		cmocka_unit_test(a_server_without_section_headers_gets_sections_from_its_segments),
		cmocka_unit_test(a_hostile_server_is_written_or_refused),
	};

	return cmocka_run_group_tests_name("symbol/file", tests, setup, ws_fixture_teardown);
}
