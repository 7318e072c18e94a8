/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../lib/symbol_fixture.h"
#include "base/util.h"
#include "symbol/image.h"

/* First line of what a command prints. */
static void first_line(char *line, size_t size, const char *command)
{
	FILE *f = popen(command, "r");

	assert_non_null(f);
	assert_non_null(fgets(line, (int)size, f));
	line[strcspn(line, "\n")] = '\0';
	pclose(f);
}

static void a_server_says_its_version_and_build_id(void **state)
{
	const char *server = ws_fixture_server();
	struct ws_image *image = ws_fixture_open(server);
	char version[WS_VERSION_TEXT], line[256], expected[256], command[1024];
	int major = 0;

	(void)state;
	assert_true(ws_image_server_version(image, version, &major));
	snprintf(command, sizeof(command), "%s --version", server);
	first_line(line, sizeof(line), command);
	snprintf(expected, sizeof(expected), "postgres (PostgreSQL) %s", version);
	assert_memory_equal(line, expected, strlen(expected));
	assert_int_equal(major, atoi(version));

	snprintf(command, sizeof(command), "readelf -n %s | sed -n 's/.*Build ID: //p'", server);
	first_line(line, sizeof(line), command);
	assert_string_equal(ws_image_build_id(image), line);
	assert_true(ws_image_is_pie(image));
	assert_true(ws_image_is_stripped(image));
	ws_image_free(image);
}

static void another_program_is_no_server(void **state)
{
	struct ws_image *image = ws_fixture_open("/proc/self/exe");
	char version[WS_VERSION_TEXT];
	int major;

	(void)state;
	assert_false(ws_image_server_version(image, version, &major));
	assert_false(ws_image_is_stripped(image));
	ws_image_free(image);
}

/* .dynsym states the size of each function, .eh_frame its range: two sources for one thing. */
static void frame_ranges_agree_with_symbol_sizes(void **state)
{
	struct ws_image *image = ws_fixture_open(ws_fixture_server());
	const struct ws_image_symbol *symbols;
	size_t count, functions = 0;

	(void)state;
	symbols = ws_image_symbols(image, &count);
	for (size_t i = 0; i < count; i++) {
		const struct ws_range *range;

		if (!symbols[i].is_function || !symbols[i].size)
			continue;
		functions++;
		range = ws_image_function_at(image, symbols[i].address + symbols[i].size - 1);
		assert_non_null(range);
		assert_int_equal(range->start, symbols[i].address);
		assert_int_equal(range->end, symbols[i].address + symbols[i].size);
		assert_false(ws_image_is_part(image, range));
		assert_true(ws_image_is_code(image, range->start));
	}
	assert_true(functions > 5000);
	ws_image_free(image);
}

static void function_ranges_are_sorted_and_apart(void **state)
{
	struct ws_image *image = ws_fixture_open(ws_fixture_server());
	const struct ws_range *ranges;
	size_t count;

	(void)state;
	ranges = ws_image_functions(image, &count);
	assert_true(count > 10000);
	for (size_t i = 0; i < count; i++) {
		assert_true(ranges[i].start < ranges[i].end);
		assert_true(i == 0 || ranges[i - 1].end <= ranges[i].start);
	}
	assert_null(ws_image_function_at(image, 0));
	assert_null(ws_image_function_at(image, ranges[count - 1].end));
	ws_image_free(image);
}

/* Where `grep -abo` finds it in the server, which has its constants at their offset. */
static void a_constant_string_is_found_where_it_stands_alone(void **state)
{
	static const char source[] =
		"#include <stdio.h>\n"
		"char writable[] = \"walscope_writable\";\n"
		"const char once[] __attribute__((aligned(16))) = \"walscope_once\";\n"
		"const char behind[] __attribute__((aligned(16))) = \"not_walscope_behind\";\n"
		"const char one[] __attribute__((aligned(16))) = \"walscope_twice\";\n"
		"const char two[] __attribute__((aligned(16))) = \"walscope_twice\";\n"
		"int main(void) { return printf(\"%s\", writable); }\n";
	struct ws_image *image = ws_fixture_open(ws_fixture_server());
	const char *name = "ProcessStartupPacket";
	char path[256], line[64], command[512];
	uint64_t address, offset;

	(void)state;
	address = ws_image_find_string(image, name);
	assert_string_equal(ws_image_string(image, address), name);
	assert_true(ws_image_offset(image, address, &offset));
	snprintf(command, sizeof(command), "grep -abo '%s' %s | cut -d: -f1", name,
		 ws_fixture_server());
	first_line(line, sizeof(line), command);
	assert_int_equal(offset, strtoull(line, NULL, 10));
	assert_int_equal(ws_image_find_string(image, "ProcessStartupPacke"), 0);
	assert_int_equal(ws_image_find_string(image, "rocessStartupPacket"), 0);
	ws_image_free(image);

	ws_fixture_compile("strings.c", source, "-O2", path, sizeof(path));
	image = ws_fixture_open(path);
	assert_int_equal(ws_image_find_string(image, "walscope_once"),
			 ws_image_symbol(image, "once")->address);
	assert_int_equal(ws_image_find_string(image, "walscope_behind"), 0);
	assert_int_equal(ws_image_find_string(image, "walscope_twice"), 0);
	assert_int_equal(ws_image_find_string(image, "walscope_writable"), 0);
	ws_image_free(image);
}

static void names_are_found_exactly(void **state)
{
	struct ws_image *image = ws_fixture_open(ws_fixture_server());
	const struct ws_image_symbol *symbol = ws_image_symbol(image, "WalSndErrorCleanup");

	(void)state;
	assert_non_null(symbol);
	assert_true(symbol->is_function && symbol->is_dynamic);
	assert_ptr_equal(ws_image_symbol_at(image, symbol->address)->name, symbol->name);
	assert_null(ws_image_symbol_at(image, symbol->address + 1));
	assert_null(ws_image_symbol(image, "WalSndErrorCleanu"));
	assert_null(ws_image_symbol(image, "malloc")); /* undefined here */
	symbol = ws_image_symbol(image, "MyWalSnd");
	assert_non_null(symbol);
	assert_false(symbol->is_function);
	assert_false(ws_image_is_code(image, symbol->address));
	assert_true(ws_image_is_writable(image, symbol->address));
	ws_image_free(image);
}

/* objdump prints "00000000000cd030 <getenv@plt>:"; the same must come out here. */
static void plt_entries_have_the_names_objdump_gives(void **state)
{
	const char *server = ws_fixture_server();
	struct ws_image *image = ws_fixture_open(server);
	char command[1024], line[512];
	size_t checked = 0;
	FILE *f;

	(void)state;
	snprintf(command, sizeof(command),
		 "objdump -d -j .plt -j .plt.sec -j .plt.got %s 2>/dev/null | grep '@plt>:'",
		 server);
	f = popen(command, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		char *name = strchr(line, '<'), *end = strstr(line, "@plt>");
		const char *found;

		assert_true(name && end);
		*end = '\0';
		found = ws_image_plt_name(image, strtoull(line, NULL, 16));
		if (!found || strcmp(found, name + 1) != 0)
			fail_msg("%s is called %s", name + 1, found ? found : "nothing");
		checked++;
	}
	pclose(f);
	assert_true(checked > 100);
	ws_image_free(image);
}

static void slots_hold_what_the_linker_stores(void **state)
{
	struct ws_image *image = ws_fixture_open(ws_fixture_server());
	const struct ws_image_symbol *methods = ws_image_symbol(image, "PqCommMethods");
	uint64_t table, function;

	(void)state;
	assert_non_null(methods);
	assert_true(ws_image_relocated(image, methods->address, &table));
	for (uint64_t i = 0; i < 6; i++) {
		assert_true(ws_image_relocated(image, table + i * 8, &function));
		assert_true(ws_image_is_code(image, function));
		assert_int_equal(ws_image_function_at(image, function)->start, function);
	}
	assert_false(ws_image_relocated(image, methods->address + 1, &table));
	ws_image_free(image);
}

static void addresses_map_to_the_bytes_of_the_file(void **state)
{
	const char *server = ws_fixture_server();
	struct ws_image *image = ws_fixture_open(server);
	const struct ws_image_symbol *symbols;
	ws_autofree uint8_t *file = NULL;
	size_t size, count, avail;
	uint64_t offset;

	(void)state;
	file = ws_fixture_read(server, &size);
	symbols = ws_image_symbols(image, &count);
	for (size_t i = 0; i < count; i += 17) {
		const uint8_t *bytes = ws_image_bytes(image, symbols[i].address, &avail);

		if (!ws_image_offset(image, symbols[i].address, &offset)) {
			assert_null(bytes); /* .bss */
			assert_true(ws_image_is_mapped(image, symbols[i].address));
			continue;
		}
		assert_non_null(bytes);
		assert_true(offset < size);
		assert_memory_equal(bytes, file + offset, avail < 16 ? avail : 16);
	}
	assert_false(ws_image_is_mapped(image, UINT64_MAX));
	assert_null(ws_image_string(image, UINT64_MAX));
	ws_image_free(image);
}

/* The same slots must come out of .relr.dyn as out of .rela.dyn. */
static void relr_and_rela_name_the_same_slots(void **state)
{
	static const char source[] =
		"static int a(void) { return 1; }\n"
		"static int b(void) { return 2; }\n"
		"int (*table[70])(void) = { a, b, [9] = a, [66] = b, [69] = a };\n"
		"int main(void) { return table[0](); }\n";
	static const char *const flags[] = { "-fPIE -pie",
					     "-fPIE -pie -Wl,-z,pack-relative-relocs" };
	uint64_t found[2][70] = { 0 };
	char path[512], line[640];

	(void)state;
	for (size_t f = 0; f < 2; f++) {
		struct ws_image *image;
		uint64_t table;

		ws_fixture_compile("relr.c", source, flags[f], path, sizeof(path));
		snprintf(line, sizeof(line), "readelf -SW %s | grep -c relr.dyn", path);
		first_line(line, sizeof(line), line);
		assert_int_equal(atoi(line), f);
		image = ws_fixture_open(path);
		table = ws_image_symbol(image, "table")->address;
		for (uint64_t i = 0; i < 70; i++)
			ws_image_relocated(image, table + i * 8, &found[f][i]);
		ws_image_free(image);
		for (size_t i = 0; i < 70; i++)
			assert_true((found[f][i] != 0) == (i < 2 || i == 9 || i == 66 || i == 69));
	}
}

static void what_is_no_executable_is_refused_with_a_reason(void **state)
{
	static const uint8_t text[] = "#!/bin/sh\nexec postgres\n";
	struct ws_error err;

	(void)state;
	assert_null(ws_fixture_open_bytes(text, sizeof(text), &err));
	assert_non_null(strstr(err.why, "not an ELF file"));
	assert_null(ws_fixture_open_bytes(text, 0, &err));
	assert_true(err.why[0] != '\0');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_server_says_its_version_and_build_id),
		cmocka_unit_test(another_program_is_no_server),
		cmocka_unit_test(frame_ranges_agree_with_symbol_sizes),
		cmocka_unit_test(function_ranges_are_sorted_and_apart),
		cmocka_unit_test(a_constant_string_is_found_where_it_stands_alone),
		cmocka_unit_test(names_are_found_exactly),
		cmocka_unit_test(plt_entries_have_the_names_objdump_gives),
		cmocka_unit_test(slots_hold_what_the_linker_stores),
		cmocka_unit_test(addresses_map_to_the_bytes_of_the_file),
		cmocka_unit_test(relr_and_rela_name_the_same_slots),
		cmocka_unit_test(what_is_no_executable_is_refused_with_a_reason),
	};

	return cmocka_run_group_tests_name("symbol/image", tests, NULL, ws_fixture_teardown);
}
