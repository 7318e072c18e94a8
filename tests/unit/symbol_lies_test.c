/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lies that are told on purpose, one by one, where flipping bytes (symbol_hostile_test) does not
 * come: sections at impossible places, counts without end, an .eh_frame and debug information that
 * lead back to themselves. Each file is opened and resolved within a time limit; it is refused with
 * a reason, or what is found lies in it.
 */
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../lib/symbol_fixture.h"
#include "base/util.h"
#include "symbol/resolve.h"

#define LIMIT_S 20 /* a walk without end takes longer, also under ASan */

static const char source[] =
	"volatile int sink; int am_walsender;\n"
	"static __attribute__((noinline, noipa)) void WalSndLoop(int n) { sink += n; }\n"
	"static inline __attribute__((always_inline)) void WalSndDone(void) { sink++; }\n"
	"int exec_replication_command(const char *c) { WalSndLoop(*c); WalSndDone(); return sink; "
	"}\n"
	"int main(int c, char **v) { return exec_replication_command(v[0]); }\n";

struct fixture {
	uint8_t *bytes; /* of the file */
	size_t size;
	uint8_t *copy; /* of which a test makes a lie */
};

static int setup(void **state)
{
	static struct fixture fixture;
	char path[512];

	ws_fixture_compile("walsender.c", source, "-g -Wl,--build-id", path, sizeof(path));
	fixture.bytes = ws_fixture_read(path, &fixture.size);
	fixture.copy = malloc(fixture.size);
	*state = &fixture;
	return fixture.copy ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	free(f->bytes);
	free(f->copy);
	ws_fixture_remove();
	return 0;
}

static Elf64_Shdr *sections(struct fixture *f)
{
	return (Elf64_Shdr *)(f->copy + ((Elf64_Ehdr *)f->copy)->e_shoff);
}

/* The section of the copy, which is made anew. */
static Elf64_Shdr *section(struct fixture *f, const char *name)
{
	const Elf64_Ehdr *eh = (const Elf64_Ehdr *)f->copy;
	Elf64_Shdr *sh;

	memcpy(f->copy, f->bytes, f->size);
	sh = sections(f);
	for (size_t s = 0; s < eh->e_shnum; s++) {
		if (strcmp((char *)f->copy + sh[eh->e_shstrndx].sh_offset + sh[s].sh_name, name) ==
		    0)
			return &sh[s];
	}
	fail_msg("the fixture has no %s", name);
	return NULL;
}

static void check_symbols(const struct ws_image *image)
{
	struct ws_symbol_set set;
	struct ws_error err;

	if (ws_resolve(image, &(struct ws_resolve_options){ 0 }, &set, &err)) {
		assert_true(err.what[0] && err.why[0]);
		return;
	}
	for (size_t i = 0; i < set.count; i++) {
		if (set.symbols[i].status == WS_SYMBOL_FOUND)
			assert_true(ws_image_is_mapped(image, set.symbols[i].address));
	}
	ws_symbol_set_deinit(&set);
}

/* Functions found, -1 if the file was refused. */
static long try(const struct fixture *f)
{
	struct ws_error err;
	struct ws_image *image;
	const struct ws_range *functions;
	size_t count;

	alarm(LIMIT_S);
	image = ws_fixture_open_bytes(f->copy, f->size, &err);
	if (!image) {
		alarm(0);
		assert_true(err.what[0] && err.why[0] && err.where[0]);
		assert_null(strchr(err.why, '\n'));
		return -1;
	}
	functions = ws_image_functions(image, &count);
	for (size_t i = 0; i < count; i++) {
		assert_true(functions[i].start < functions[i].end);
		assert_true(ws_image_is_code(image, functions[i].start));
		assert_true(ws_image_is_code(image, functions[i].end - 1));
	}
	check_symbols(image);
	alarm(0);
	ws_image_free(image);
	return (long)count;
}

static void sections_at_impossible_places_are_survived(void **state)
{
	static const uint64_t lies[] = { 1, 0x1000, INT64_MAX, UINT64_MAX - 0xfff, UINT64_MAX };
	struct fixture *f = *state;
	const size_t count = ((Elf64_Ehdr *)f->bytes)->e_shnum;

	for (size_t s = 1; s < count; s++) {
		for (size_t l = 0; l < WS_ARRAY_SIZE(lies); l++) {
			memcpy(f->copy, f->bytes, f->size);
			sections(f)[s].sh_offset = lies[l];
			try(f);
			memcpy(f->copy, f->bytes, f->size);
			sections(f)[s].sh_addr = lies[l];
			try(f);
		}
	}
}

static void counts_without_end_are_survived(void **state)
{
	static const uint64_t lies[] = { 0, 1, 3, UINT32_MAX, INT64_MAX, UINT64_MAX };
	struct fixture *f = *state;
	const size_t count = ((Elf64_Ehdr *)f->bytes)->e_shnum;

	for (size_t s = 1; s < count; s++) {
		for (size_t l = 0; l < WS_ARRAY_SIZE(lies); l++) {
			memcpy(f->copy, f->bytes, f->size);
			sections(f)[s].sh_size = lies[l];
			try(f);
			memcpy(f->copy, f->bytes, f->size);
			sections(f)[s].sh_entsize = lies[l];
			try(f);
			memcpy(f->copy, f->bytes, f->size);
			sections(f)[s].sh_link = (uint32_t)lies[l];
			try(f);
		}
	}
}

/* The section's content begins with these words, and goes on as it was. */
static long try_frames(struct fixture *f, const uint32_t *words, size_t count)
{
	Elf64_Shdr *sh = section(f, ".eh_frame");

	assert_true(sh->sh_size >= count * sizeof(*words));
	memcpy(f->copy + sh->sh_offset, words, count * sizeof(*words));
	return try(f);
}

static void frames_longer_than_their_section_are_refused(void **state)
{
	static const uint32_t lengths[] = { 0x7fffffff, 0xfffffff0, 0x100000 };
	struct fixture *f = *state;

	for (size_t i = 0; i < WS_ARRAY_SIZE(lengths); i++)
		assert_int_equal(try_frames(f, (uint32_t[]){ lengths[i], 0 }, 2), -1);
	/* 64-bit lengths: as long as there is, and as long as can be */
	assert_int_equal(try_frames(f, (uint32_t[]){ 0xffffffff, 0xffffffff, 0xffffffff }, 3), -1);
	assert_int_equal(try_frames(f, (uint32_t[]){ 0xffffffff, 0xfffffff0, 0x7fffffff }, 3), -1);
}

static void frames_that_end_at_once_name_no_function(void **state)
{
	assert_int_equal(try_frames(*state, (uint32_t[]){ 0, 0 }, 2), 0);
}

/* An FDE tells by a distance where its CIE is: itself, in front of the section, behind it. */
static void frames_whose_common_part_is_themselves_or_outside_are_survived(void **state)
{
	static const uint32_t distances[] = { 4, 8, 0x1000, 0x7fffffff, 0xfffffff0, 0xffffffff };
	struct fixture *f = *state;

	for (size_t i = 0; i < WS_ARRAY_SIZE(distances); i++)
		try_frames(f, (uint32_t[]){ 0x14, distances[i], 0, 0, 0, 0 }, 6);
}

/* Each byte of the first CIE (its version, augmentation and encodings) is every byte. */
static void a_common_part_of_any_content_is_survived(void **state)
{
	struct fixture *f = *state;

	for (size_t at = 8; at < 24; at++) {
		for (unsigned int value = 0; value < 256; value += 3) {
			Elf64_Shdr *sh = section(f, ".eh_frame");

			f->copy[sh->sh_offset + at] = (uint8_t)value;
			try(f);
		}
	}
}

/* Ranges of all sizes at all places, in the first FDE: behind 24 bytes of CIE length, pointer,
 * begin, length. */
static void functions_of_impossible_size_are_left_out(void **state)
{
	static const uint32_t lies[] = { 0, 1, 0x7fffffff, 0x80000000, 0xffffffff };
	struct fixture *f = *state;
	long whole;

	section(f, ".eh_frame");
	whole = try(f);
	assert_true(whole > 3);
	for (size_t b = 0; b < WS_ARRAY_SIZE(lies); b++) {
		for (size_t l = 0; l < WS_ARRAY_SIZE(lies); l++) {
			uint8_t *frames = f->copy + section(f, ".eh_frame")->sh_offset;
			long seen;

			memcpy(frames + 24 + 8, &lies[b], 4);
			memcpy(frames + 24 + 12, &lies[l], 4);
			seen = try(f);
			assert_true(seen >= whole - 1 && seen <= whole);
		}
	}
}

/* A unit with one function, inlined or defined, whose origin (`form` 0x13: DW_FORM_ref4) is
 * `origin`. */
#define UNIT(tag, attribute, origin)                                                           \
	"__asm__(\".section .debug_abbrev\\n\"\n"                                              \
	"\" .uleb128 1, 0x11\\n .byte 1\\n .uleb128 3, 8, 0, 0\\n\"\n"                         \
	"\" .uleb128 2, " tag "\\n .byte 1\\n .uleb128 " attribute                             \
	", 0x13, 0x11, 1, 0x12, 7, 0, 0, 0\\n\"\n"                                             \
	"\" .section .debug_info\\nstart: .long end - . - 4\\n .value 4\\n .long 0\\n .byte "  \
	"8\\n\"\n"                                                                             \
	"\" .uleb128 1\\n .asciz \\\"walsender.c\\\"\\n\"\n"                                   \
	"\"first: .uleb128 2\\n .long " origin " - start\\n .quad main\\n .quad 8\\n\"\n"      \
	"\"second: .uleb128 2\\n .long first - start\\n .quad main\\n .quad 8\\n .byte 0, 0, " \
	"0\\nend: .text\\n\");\n"                                                              \
	"int main(void) { return 0; }\n"

static void debug_information_that_leads_back_to_itself_ends(void **state)
{
	static const char *const sources[] = {
		UNIT("0x2e", "0x31", "first"),	    /* subprogram, abstract_origin: itself */
		UNIT("0x2e", "0x31", "second"),	    /* each other */
		UNIT("0x2e", "0x47", "second"),	    /* specification */
		UNIT("0x1d", "0x31", "second"),	    /* inlined_subroutine */
		UNIT("0x2e", "0x31", "end"),	    /* behind the unit */
		UNIT("0x3d", "0x18", "start + 11"), /* imported_unit, import: its own unit */
		UNIT("0x13", "0x49", "second"),	    /* structure, type */
	};

	(void)state;
	for (size_t i = 0; i < WS_ARRAY_SIZE(sources); i++) {
		struct ws_resolve_options options = { .no_recovery = true };
		struct ws_symbol_set set;
		struct ws_image *image;
		struct ws_error err;
		char path[512];

		ws_fixture_compile("cycle.c", sources[i], "", path, sizeof(path));
		image = ws_fixture_open(path);
		alarm(LIMIT_S);
		assert_int_equal(ws_resolve(image, &options, &set, &err), 0);
		alarm(0);
		assert_int_not_equal(ws_symbol_find(&set, "WalSndLoop")->status, WS_SYMBOL_FOUND);
		ws_symbol_set_deinit(&set);
		ws_image_free(image);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sections_at_impossible_places_are_survived),
		cmocka_unit_test(counts_without_end_are_survived),
		cmocka_unit_test(frames_longer_than_their_section_are_refused),
		cmocka_unit_test(frames_that_end_at_once_name_no_function),
		cmocka_unit_test(frames_whose_common_part_is_themselves_or_outside_are_survived),
		cmocka_unit_test(a_common_part_of_any_content_is_survived),
		cmocka_unit_test(functions_of_impossible_size_are_left_out),
		cmocka_unit_test(debug_information_that_leads_back_to_itself_ends),
	};

	return cmocka_run_group_tests_name("symbol/lies", tests, setup, teardown);
}
