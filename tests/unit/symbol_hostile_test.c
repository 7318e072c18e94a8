/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files that lie. Each is opened and, if that works, resolved and read all over: it must end in an
 * error with a reason or in answers that lie inside the file. (Run with SAN=1, a read beyond ends
 * the test.)
 */
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "../lib/symbol_fixture.h"
#include "base/util.h"
#include "symbol/code.h"
#include "symbol/resolve.h"

static const char source[] =
	"volatile int sink; void (*table[4])(void); void *PqCommMethods = table;\n"
	"__attribute__((noinline, noipa)) void errfinish(const char *f, int l, const char *n) { "
	"sink++; }\n"
	"__attribute__((noinline, noipa)) int geterrcode(void) { return sink; }\n"
	"static __attribute__((noinline, noipa)) void WalSndLoop(int n)\n"
	"{ switch (n) { case 1: sink = 3; break; case 2: sink = 9; break; default: sink++; }\n"
	"  errfinish(\"walsender.c\", 1, \"WalSndLoop\"); }\n"
	"int exec_replication_command(const char *c) { WalSndLoop(*c); return 0; }\n"
	"int main(int c, char **v) { return exec_replication_command(v[0]); }\n";

static void read_everything(const struct ws_image *image)
{
	const struct ws_range *functions;
	const struct ws_image_symbol *symbols;
	struct ws_symbol_set set;
	struct ws_error err;
	size_t count, avail;

	functions = ws_image_functions(image, &count);
	for (size_t i = 0; i < count && i < 64; i++) {
		struct ws_code code;

		if (ws_code_decode(image, functions[i], &code, &err) == 0)
			ws_code_deinit(&code);
	}
	symbols = ws_image_symbols(image, &count);
	for (size_t i = 0; i < count; i++) {
		const uint8_t *bytes = ws_image_bytes(image, symbols[i].address, &avail);
		volatile uint8_t last = bytes ? bytes[avail - 1] : 0;

		(void)last;
		ws_image_string(image, symbols[i].address);
		assert_true(strlen(symbols[i].name) > 0);
	}
	if (ws_resolve(image, &(struct ws_resolve_options){ 0 }, &set, &err))
		return;
	for (size_t i = 0; i < set.count; i++) {
		if (set.symbols[i].status == WS_SYMBOL_FOUND)
			assert_true(ws_image_is_mapped(image, set.symbols[i].address));
	}
	ws_symbol_set_deinit(&set);
}

/* Returns whether the file was accepted. */
static bool try_bytes(const uint8_t *bytes, size_t size)
{
	struct ws_error err;
	struct ws_image *image = ws_fixture_open_bytes(bytes, size, &err);

	if (!image) {
		assert_true(err.what[0] && err.why[0] && err.where[0]);
		return false;
	}
	read_everything(image);
	ws_image_free(image);
	return true;
}

struct fixture {
	uint8_t *bytes;
	size_t size;
};

static int setup(void **state)
{
	static struct fixture fixture;
	char path[512];

	ws_fixture_compile("walsender.c", source, "-g -Wl,--build-id", path, sizeof(path));
	fixture.bytes = ws_fixture_read(path, &fixture.size);
	*state = &fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	free(f->bytes);
	ws_fixture_remove();
	return 0;
}

static void the_whole_file_is_accepted(void **state)
{
	const struct fixture *f = *state;

	assert_true(try_bytes(f->bytes, f->size));
}

static void truncated_files_are_survived(void **state)
{
	const struct fixture *f = *state;
	size_t refused = 0;

	for (size_t size = 0; size < f->size; size += 1 + f->size / 400)
		refused += !try_bytes(f->bytes, size);
	assert_true(refused > 100); /* all that miss a part of a segment */
}

static void flip_each(const struct fixture *f, size_t from, size_t to, size_t step)
{
	static const uint8_t masks[] = { 0x01, 0x80, 0xff };

	for (size_t at = from; at < to && at < f->size; at += step) {
		for (size_t m = 0; m < WS_ARRAY_SIZE(masks); m++) {
			f->bytes[at] ^= masks[m];
			try_bytes(f->bytes, f->size);
			f->bytes[at] ^= masks[m];
		}
	}
}

static void flipped_headers_are_survived(void **state)
{
	const struct fixture *f = *state;
	const Elf64_Ehdr *eh = (const Elf64_Ehdr *)f->bytes;
	size_t programs = eh->e_phoff, program_end = programs + eh->e_phnum * sizeof(Elf64_Phdr);
	size_t sections = eh->e_shoff, section_end = sections + eh->e_shnum * sizeof(Elf64_Shdr);

	flip_each(f, 0, sizeof(*eh), 1);
	flip_each(f, programs, program_end, 1);
	flip_each(f, sections, section_end, 3);
}

static void flipped_sections_are_survived(void **state)
{
	static const uint32_t types[] = { SHT_DYNSYM, SHT_SYMTAB, SHT_RELA, SHT_NOTE };
	const struct fixture *f = *state;
	const Elf64_Ehdr *eh = (const Elf64_Ehdr *)f->bytes;
	const Elf64_Shdr *sh = (const Elf64_Shdr *)(f->bytes + eh->e_shoff);
	const char *names = (const char *)f->bytes + sh[eh->e_shstrndx].sh_offset;
	size_t flipped = 0;

	for (size_t s = 0; s < eh->e_shnum; s++) {
		const char *name = names + sh[s].sh_name;
		bool wanted = !strcmp(name, ".eh_frame") || !strncmp(name, ".debug_", 7) ||
			      !strcmp(name, ".dynstr") || !strcmp(name, ".plt");

		for (size_t t = 0; t < WS_ARRAY_SIZE(types); t++)
			wanted |= sh[s].sh_type == types[t];
		if (!wanted)
			continue;
		flip_each(f, sh[s].sh_offset, sh[s].sh_offset + sh[s].sh_size,
			  1 + sh[s].sh_size / 60);
		flipped++;
	}
	assert_true(flipped > 5);
}

/* The header's counts at their largest: nothing may be allocated or walked for what is not there.
 */
static void huge_counts_are_survived(void **state)
{
	const struct fixture *f = *state;
	Elf64_Ehdr *eh = (Elf64_Ehdr *)f->bytes, saved = *eh;

	eh->e_phnum = 0xfffe;
	try_bytes(f->bytes, f->size);
	*eh = saved;
	eh->e_shnum = 0xfeff;
	try_bytes(f->bytes, f->size);
	*eh = saved;
	eh->e_phoff = UINT64_MAX - 8;
	assert_false(try_bytes(f->bytes, f->size));
	*eh = saved;
	eh->e_shoff = UINT64_MAX - 8;
	try_bytes(f->bytes, f->size);
	*eh = saved;
}

/* Two words of RELR stand for 64 slots: a file of them would need two hundred times its size. */
static void relocations_without_room_are_refused(void **state)
{
	static const uint64_t words[] = { 0, UINT64_MAX }; /* an address, and 63 slots behind it */
	const struct fixture *f = *state;
	size_t size = f->size + 8192;
	ws_autofree uint8_t *bytes = malloc(size);
	Elf64_Shdr *sh;
	struct ws_error err;

	assert_non_null(bytes);
	memcpy(bytes, f->bytes, f->size);
	for (size_t at = f->size; at < size; at += sizeof(words))
		memcpy(bytes + at, words, sizeof(words));
	sh = (Elf64_Shdr *)(bytes + ((Elf64_Ehdr *)bytes)->e_shoff) + 1;
	sh->sh_type = 19; /* SHT_RELR */
	sh->sh_flags = SHF_ALLOC;
	sh->sh_offset = f->size;
	sh->sh_size = size - f->size;
	assert_null(ws_fixture_open_bytes(bytes, size, &err));
	assert_non_null(strstr(err.why, "more relocations than room"));
}

static void relocation_sections_larger_than_the_file_are_refused(void **state)
{
	const struct fixture *f = *state;
	ws_autofree uint8_t *bytes = malloc(f->size);
	Elf64_Ehdr *eh = (Elf64_Ehdr *)bytes;
	Elf64_Shdr *sh;
	struct ws_error err;

	assert_non_null(bytes);
	memcpy(bytes, f->bytes, f->size);
	sh = (Elf64_Shdr *)(bytes + eh->e_shoff);
	for (size_t s = 1; s < 3; s++) {
		sh[s].sh_type = SHT_RELA;
		sh[s].sh_flags = SHF_ALLOC;
		sh[s].sh_offset = 0;
		sh[s].sh_size = f->size / 2 + 1;
	}
	assert_null(ws_fixture_open_bytes(bytes, f->size, &err));
	assert_non_null(strstr(err.why, "larger than the file"));
}

static void a_file_of_terabytes_is_refused(void **state)
{
	const struct fixture *f = *state;
	ws_autoclose int fd = memfd_create("sparse", MFD_CLOEXEC);
	struct ws_image *image;
	struct ws_error err;

	assert_int_equal(write(fd, f->bytes, f->size), f->size);
	assert_int_equal(ftruncate(fd, 1L << 42), 0);
	assert_int_equal(ws_image_open(&image, fd, "sparse", NULL, &err), -1);
	assert_non_null(strstr(err.why, "too large for a server"));
}

/* Section headers are not needed to run a program; without them nothing is found, and that is all.
 */
static void a_file_without_sections_has_no_names(void **state)
{
	const struct fixture *f = *state;
	Elf64_Ehdr *eh = (Elf64_Ehdr *)f->bytes, saved = *eh;
	struct ws_image *image;
	struct ws_error err;
	size_t count;

	eh->e_shoff = 0;
	eh->e_shnum = 0;
	eh->e_shstrndx = 0;
	image = ws_fixture_open_bytes(f->bytes, f->size, &err);
	*eh = saved;
	assert_non_null(image);
	read_everything(image);
	ws_image_symbols(image, &count);
	assert_int_equal(count, 0);
	assert_null(ws_image_symbol_at(image, 0x1000));
	assert_null(ws_image_symbol(image, "main"));
	ws_image_free(image);
}

/* Nested blocks whose DW_AT_sibling is their own first child: each would be walked twice as often
 * as the one around it. */
static const char doubling[] =
	"__asm__(\".section .debug_abbrev\\n\"\n"
	"\" .uleb128 1, 0x11\\n .byte 1\\n .uleb128 3, 8, 0, 0\\n\"\n"	     /* unit: name */
	"\" .uleb128 2, 0x0b\\n .byte 1\\n .uleb128 1, 0x13, 0, 0, 0\\n\"\n" /* block: sibling */
	"\" .section .debug_info\\nstart: .long end - . - 4\\n .value 4\\n .long 0\\n .byte "
	"8\\n\"\n"
	"\" .uleb128 1\\n .asciz \\\"walsender.c\\\"\\n\"\n"
	"\" .rept 60\\n .uleb128 2\\n .long . + 4 - start\\n .endr\\n\"\n"
	"\" .rept 61\\n .byte 0\\n .endr\\nend: .text\\n\");\n"
	"int main(void) { return 0; }\n";

static void entries_that_are_their_own_children_are_walked_once(void **state)
{
	struct ws_resolve_options options = { .no_recovery = true };
	struct ws_symbol_set set;
	struct ws_image *image;
	struct ws_error err;
	char path[512];

	(void)state;
	ws_fixture_compile("doubling.c", doubling, "", path, sizeof(path));
	image = ws_fixture_open(path);
	alarm(20); /* 2^60 visits take longer */
	assert_int_equal(ws_resolve(image, &options, &set, &err), 0);
	alarm(0);
	ws_symbol_set_deinit(&set);
	ws_image_free(image);
}

static void a_truncated_server_is_refused(void **state)
{
	ws_autofree uint8_t *bytes = NULL;
	struct ws_image *image;
	struct ws_error err;
	size_t size;

	(void)state;
	bytes = ws_fixture_read(ws_fixture_server(), &size);
	for (size_t part = 0; part < 8; part++) {
		image = ws_fixture_open_bytes(bytes, size / 16 * part + 3, &err);
		assert_null(image);
		assert_true(err.why[0] != '\0');
	}
}

/* Nothing keeps its units apart then: all functions would be compared with all signatures. */
static void a_server_without_exported_names_is_given_up_soon(void **state)
{
	ws_autofree uint8_t *bytes = NULL;
	struct ws_symbol_set set;
	struct ws_image *image;
	struct ws_error err;
	Elf64_Shdr *sh;
	size_t size, count;

	(void)state;
	bytes = ws_fixture_read(ws_fixture_server(), &size);
	sh = (Elf64_Shdr *)(bytes + ((Elf64_Ehdr *)bytes)->e_shoff);
	for (size_t s = 0; s < ((Elf64_Ehdr *)bytes)->e_shnum; s++) {
		if (sh[s].sh_type == SHT_DYNSYM || sh[s].sh_type == SHT_SYMTAB)
			sh[s].sh_type = SHT_NOBITS;
	}
	image = ws_fixture_open_bytes(bytes, size, &err);
	assert_non_null(image);
	ws_image_symbols(image, &count);
	assert_int_equal(count, 0);
	assert_int_equal(ws_resolve(image, &(struct ws_resolve_options){ .no_debug_info = true },
				    &set, &err),
			 0);
	for (size_t i = 0; i < set.count; i++)
		assert_int_not_equal(set.symbols[i].status, WS_SYMBOL_FOUND);
	assert_true(set.resolve_ns < 5000000000ULL);
	ws_symbol_set_deinit(&set);
	ws_image_free(image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_whole_file_is_accepted),
		cmocka_unit_test(truncated_files_are_survived),
		cmocka_unit_test(flipped_headers_are_survived),
		cmocka_unit_test(flipped_sections_are_survived),
		cmocka_unit_test(huge_counts_are_survived),
		cmocka_unit_test(relocations_without_room_are_refused),
		cmocka_unit_test(relocation_sections_larger_than_the_file_are_refused),
		cmocka_unit_test(a_file_of_terabytes_is_refused),
		cmocka_unit_test(a_file_without_sections_has_no_names),
		cmocka_unit_test(entries_that_are_their_own_children_are_walked_once),
		cmocka_unit_test(a_truncated_server_is_refused),
		cmocka_unit_test(a_server_without_exported_names_is_given_up_soon),
	};

	return cmocka_run_group_tests_name("symbol/hostile", tests, setup, teardown);
}
