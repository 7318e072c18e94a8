/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A server binary that lies: image, names, function ranges, debug information, recovery, layout,
 * code and plan, as `walscope doctor --postgres FILE` goes through them. Whatever the file says,
 * there is an error with a reason, or there are answers that lie inside the file.
 */
#include "fuzz.h"

#include <elf.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "layout/layout.h"
#include "probe/plan.h"
#include "symbol/code.h"
#include "symbol/debug.h"
#include "symbol/list.h"
#include "symbol/resolve.h"

#define MUST(condition)                                                                 \
	do {                                                                            \
		if (!(condition)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			abort();                                                        \
		}                                                                       \
	} while (0)

static void must_say_why(const struct ws_error *err)
{
	MUST(err->what[0] && err->why[0] && err->where[0]);
	MUST(!strchr(err->what, '\n') && !strchr(err->why, '\n'));
}

static void read_functions(const struct ws_image *image)
{
	const struct ws_range *functions;
	size_t count;

	functions = ws_image_functions(image, &count);
	for (size_t i = 0; i < count; i++) {
		struct ws_error err = { 0 };
		struct ws_code code;
		char text[64];

		MUST(functions[i].start < functions[i].end);
		MUST(!i || functions[i - 1].end <= functions[i].start);
		MUST(ws_image_function_at(image, functions[i].start) == &functions[i]);
		ws_image_is_part(image, &functions[i]);
		if (i >= 64)
			continue;
		ws_code_format(image, functions[i].start, text, sizeof(text));
		if (ws_code_decode(image, functions[i], &code, &err))
			must_say_why(&err);
		else
			ws_code_deinit(&code);
	}
}

static void read_names(const struct ws_image *image)
{
	const struct ws_image_slot_value *slots;
	const struct ws_image_symbol *symbols;
	size_t count, avail;
	uint64_t value;

	symbols = ws_image_symbols(image, &count);
	for (size_t i = 0; i < count; i++) {
		const uint8_t *bytes = ws_image_bytes(image, symbols[i].address, &avail);

		MUST(symbols[i].name[0]);
		MUST(!bytes || avail);
		if (bytes)
			*(volatile const uint8_t *)&bytes[avail - 1];
		ws_image_string(image, symbols[i].address);
		ws_image_plt_name(image, symbols[i].address);
		ws_image_relocated(image, symbols[i].address, &value);
		MUST(ws_image_symbol_at(image, symbols[i].address));
		MUST(ws_image_symbol(image, symbols[i].name));
	}
	slots = ws_image_slot_values(image, &count);
	for (size_t i = 0; i < count; i++)
		MUST(!slots[i].import || strlen(slots[i].import) < SIZE_MAX);
	ws_image_find_string(image, "WalSndLoop");
}

static void plan(const struct ws_image *image, const struct ws_symbol_set *symbols, int major,
		 struct ws_debug *debug)
{
	struct ws_error err = { 0 };
	struct ws_layout layout;
	struct ws_plan planned;

	if (ws_layout_find(image, major, debug, &layout, &err)) {
		must_say_why(&err);
		return;
	}
	if (ws_plan_make(image, symbols, &layout, major, 3, &planned, &err))
		must_say_why(&err);
	for (size_t i = 0; i < planned.count; i++) {
		uint64_t offset;

		if (planned.sites[i].status != WS_PLAN_PLANTED)
			continue;
		MUST(ws_image_is_code(image, planned.sites[i].address));
		MUST(ws_image_offset(image, planned.sites[i].address, &offset));
		MUST(offset == planned.sites[i].offset);
	}
	ws_plan_deinit(&planned);
}

static void list(const struct ws_image *image, struct ws_debug *debug,
		 const struct ws_symbol_set *set)
{
	struct ws_symbol_list names = { 0 };
	struct ws_error err = { 0 };

	if (ws_symbol_list_make(image, debug, set, true, &names, &err))
		must_say_why(&err);
	for (size_t i = 0; i < names.count; i++)
		MUST(names.symbols[i].name[0]);
	ws_symbol_list_deinit(&names);
}

/* `debug` NULL: without debug information. */
static void resolve(const struct ws_image *image, struct ws_debug *debug)
{
	const struct ws_resolve_options options = { .no_debug_info = !debug, .debug = debug };
	char version[WS_VERSION_TEXT];
	struct ws_error err = { 0 };
	struct ws_symbol_set set;
	int major = 15;

	if (ws_resolve(image, &options, &set, &err)) {
		must_say_why(&err);
		return;
	}
	for (size_t i = 0; i < set.count; i++) {
		if (set.symbols[i].status == WS_SYMBOL_FOUND)
			MUST(ws_image_is_mapped(image, set.symbols[i].address));
	}
	ws_image_server_version(image, version, &major);
	plan(image, &set, major, debug);
	if (debug)
		list(image, debug, &set);
	ws_symbol_set_deinit(&set);
}

/* Separate files are looked for in a folder where the image is its own debug file, by its build-id:
 * the path through which files that somebody else made come in. */
static struct ws_debug *open_debug(const struct ws_image *image, int fd, const char *dir)
{
	const struct ws_debug_options options = { .debug_dir = dir,
						  .skip = WS_STEP_BIT(WS_STEP_DEBUGINFOD) };
	const char *id = ws_image_build_id(image);
	char folder[128], path[512], self[64];
	struct ws_debug *debug;

	snprintf(folder, sizeof(folder), "%s/.build-id/%.2s", dir, id);
	snprintf(path, sizeof(path), "%s/%s.debug", folder, id + 2);
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	if (strlen(id) > 2) {
		mkdir(folder, 0700);
		MUST(symlink(self, path) == 0);
	}
	debug = ws_debug_new(image, &options);
	MUST(debug);
	ws_debug_next_dwarf(debug, ws_debug_next_dwarf(debug, NULL));
	if (strlen(id) > 2) {
		unlink(path);
		rmdir(folder);
	}
	return debug;
}

static char debug_dir[] = "/tmp/walscope-fuzz-XXXXXX";

static void remove_debug_dir(void)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/.build-id", debug_dir);
	rmdir(path);
	rmdir(debug_dir);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	char path[64];

	(void)argc, (void)argv;
	MUST(mkdtemp(debug_dir));
	snprintf(path, sizeof(path), "%s/.build-id", debug_dir);
	MUST(mkdir(path, 0700) == 0);
	atexit(remove_debug_dir);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	ws_autoclose int fd = fuzz_file(data, size);
	struct ws_error err = { 0 };
	struct ws_debug *debug;
	struct ws_image *image;

	if (ws_image_open(&image, fd, "fuzz", NULL, &err)) {
		must_say_why(&err);
		return 0;
	}
	read_functions(image);
	read_names(image);
	debug = open_debug(image, fd, debug_dir);
	resolve(image, debug);
	ws_debug_free(debug);
	resolve(image, NULL);
	ws_image_free(image);
	return 0;
}

/* Is the part of the file that this section claims there? */
static bool is_inside(const Elf64_Shdr *sh, size_t size)
{
	return sh->sh_type != SHT_NOBITS && sh->sh_size && sh->sh_offset < size &&
	       sh->sh_size <= size - sh->sh_offset;
}

/*
 * Most of a file is code and padding. So each change picks a part of it first: the header, the
 * table of segments, that of sections, or any section, however small; and never moves what stands
 * behind it.
 */
static bool pick_part(uint8_t *data, size_t size, unsigned int *random, size_t *at, size_t *len)
{
	Elf64_Ehdr eh;
	Elf64_Shdr sh;
	size_t choice;

	if (size < sizeof(eh))
		return false;
	memcpy(&eh, data, sizeof(eh));
	if (eh.e_shoff > size || eh.e_shnum * sizeof(sh) > size - eh.e_shoff || eh.e_phoff > size ||
	    eh.e_phnum * sizeof(Elf64_Phdr) > size - eh.e_phoff)
		return false;
	choice = fuzz_below(random, 4 + 2 * (size_t)eh.e_shnum);
	*at = 0;
	*len = sizeof(eh);
	if (choice == 1) {
		*at = eh.e_phoff;
		*len = eh.e_phnum * sizeof(Elf64_Phdr);
	} else if (choice == 2 || choice == 3) {
		*at = eh.e_shoff;
		*len = eh.e_shnum * sizeof(sh);
	} else if (choice > 3) {
		memcpy(&sh, data + eh.e_shoff + (choice - 4) / 2 * sizeof(sh), sizeof(sh));
		if (!is_inside(&sh, size))
			return false;
		*at = sh.sh_offset;
		*len = sh.sh_size;
	}
	return *len > 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
	unsigned int random = seed;
	size_t at, len, changed;

	for (size_t n = 1 + fuzz_below(&random, 3); n; n--) {
		if (!pick_part(data, size, &random, &at, &len))
			return LLVMFuzzerMutate(data, size, max_size);
		if (fuzz_below(&random, 2)) {
			fuzz_hostile_number(data + at, len, &random);
			continue;
		}
		/* A window of it, so that one change stays one. */
		if (len > 64) {
			at += fuzz_below(&random, len - 63);
			len = 64;
		}
		changed = LLVMFuzzerMutate(data + at, len, len);
		if (changed < len)
			memset(data + at + changed, 0, len - changed);
	}
	return size;
}
