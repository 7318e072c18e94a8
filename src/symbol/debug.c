/* SPDX-License-Identifier: BSD-2-Clause */
#include "symbol/debug_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/util.h"
#include "symbol/image_parts.h"

static const char *const step_names[] = {
	[WS_STEP_DYNSYM] = "dynsym",
	[WS_STEP_SYMTAB] = "symtab",
	[WS_STEP_DWARF] = "dwarf",
	[WS_STEP_BUILD_ID] = "build-id",
	[WS_STEP_DEBUGLINK] = "debuglink",
	[WS_STEP_ALTLINK] = "altlink",
	[WS_STEP_MINIDEBUGINFO] = "minidebuginfo",
	[WS_STEP_DEBUGINFOD] = "debuginfod",
	[WS_STEP_RECOVERY] = "recovery",
};

const char *ws_step_name(enum ws_step step)
{
	return (size_t)step < WS_ARRAY_SIZE(step_names) ? step_names[step] : "";
}

bool ws_step_parse(const char *name, size_t len, enum ws_step *step)
{
	for (size_t i = 0; i < WS_ARRAY_SIZE(step_names); i++) {
		if (strlen(step_names[i]) != len || memcmp(step_names[i], name, len) != 0)
			continue;
		*step = (enum ws_step)i;
		return true;
	}
	return false;
}

void ws_debug_note(const struct ws_debug *debug, enum ws_step step, const char *path,
		   const char *fmt, ...)
{
	char why[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	ws_log(debug->options.log, WS_LOG_INFO, "%s: %s%s%s: not used", ws_step_name(step), path,
	       path[0] ? ": " : "", why);
}

/* The root of the server's process, unless it is ours. Its owner may hide it: then ours must do. */
static void open_root(struct ws_debug *debug, const char *root)
{
	struct stat own, its;
	int fd;

	debug->roots[debug->root_count++] = -1;
	if (!root)
		return;
	fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &its)) {
		ws_log(debug->options.log, WS_LOG_INFO,
		       "%s: %s: debug files are looked for elsewhere", root, strerror(errno));
	} else if (stat("/", &own) || own.st_dev != its.st_dev || own.st_ino != its.st_ino) {
		debug->roots[debug->root_count++] = fd;
		return;
	}
	ws_cleanup_close(&fd);
}

struct ws_debug *ws_debug_new(const struct ws_image *image, const struct ws_debug_options *options)
{
	struct ws_debug *debug = calloc(1, sizeof(*debug));

	if (!debug)
		return NULL;
	debug->image = image;
	debug->options = *options;
	debug->options.root = NULL;
	debug->options.debug_dir = NULL;
	debug->debug_dir = strdup(options->debug_dir ? options->debug_dir : "/usr/lib/debug");
	if (!debug->debug_dir) {
		free(debug);
		return NULL;
	}
	ws_debug_read_build_id(image->elf, &debug->build_id);
	open_root(debug, options->root);
	for (size_t i = 0; i < WS_STEP_COUNT; i++)
		debug->slots[i].elf.fd = debug->slots[i].alt.fd = -1;
	return debug;
}

static void slot_release(struct debug_slot *slot)
{
	dwarf_end(slot->file.dwarf);
	dwarf_end(slot->alt_dwarf);
	ws_symtab_deinit(&slot->names);
	ws_debug_close_elf(&slot->alt);
	ws_debug_close_elf(&slot->elf);
}

void ws_debug_free(struct ws_debug *debug)
{
	if (!debug)
		return;
	for (size_t i = 0; i < WS_STEP_COUNT; i++)
		slot_release(&debug->slots[i]);
	for (size_t i = 0; i < debug->root_count; i++)
		ws_cleanup_close(&debug->roots[i]);
	free(debug->debug_dir);
	free(debug);
}

bool ws_debug_skips(const struct ws_debug *debug, enum ws_step step)
{
	return debug->options.skip & WS_STEP_BIT(step);
}

static bool find_own(struct ws_debug *debug, struct debug_slot *slot)
{
	slot->elf.elf = debug->image->elf;
	slot->elf.is_borrowed = true;
	snprintf(slot->path, sizeof(slot->path), "%s", debug->image->path);
	return true;
}

static bool find_fetched(struct ws_debug *debug, struct debug_slot *slot)
{
	struct build_id id;
	int fd;

	if (!ws_debug_fetch_wanted(debug))
		return false;
	if (!debug->build_id.size) {
		ws_debug_note(debug, WS_STEP_DEBUGINFOD, debug->image->path, "it has no build-id");
		return false;
	}
	fd = ws_debug_fetch(debug, &debug->build_id, slot->path);
	if (fd < 0 || !ws_debug_open_elf(debug, WS_STEP_DEBUGINFOD, slot->path, fd, &slot->elf))
		return false;
	ws_debug_read_build_id(slot->elf.elf, &id);
	if (ws_debug_same_build_id(&id, &debug->build_id))
		return true;
	ws_debug_note(debug, WS_STEP_DEBUGINFOD, slot->path, "its build-id is another");
	return false;
}

static bool (*const find[WS_STEP_COUNT])(struct ws_debug *, struct debug_slot *) = {
	[WS_STEP_DWARF] = find_own,
	[WS_STEP_BUILD_ID] = ws_debug_find_build_id,
	[WS_STEP_DEBUGLINK] = ws_debug_find_link,
	[WS_STEP_MINIDEBUGINFO] = ws_debug_find_mini,
	[WS_STEP_DEBUGINFOD] = find_fetched,
};

/* Without what dwz moved elsewhere most names lead nowhere, and those that do not may be of half a
 * type. */
static void open_dwarf(struct ws_debug *debug, struct debug_slot *slot)
{
	Elf_Data *data;
	GElf_Shdr sh;

	if (slot->file.step == WS_STEP_MINIDEBUGINFO)
		return;
	slot->file.dwarf = dwarf_begin_elf(slot->elf.elf, DWARF_C_READ, NULL);
	if (!slot->file.dwarf && ws_elf_section(slot->elf.elf, ".debug_info", &sh, &data))
		ws_debug_note(debug, slot->file.step, slot->path, "its DWARF cannot be read (%s)",
			      dwarf_errmsg(-1));
	if (!slot->file.dwarf || ws_debug_find_alt(debug, slot))
		return;
	dwarf_end(slot->file.dwarf);
	slot->file.dwarf = NULL;
}

static void open_slot(struct ws_debug *debug, enum ws_step step, struct debug_slot *slot)
{
	slot->tried = true;
	slot->file.step = step;
	slot->file.path = slot->path;
	if (!find[step] || ws_debug_skips(debug, step) || !find[step](debug, slot)) {
		ws_debug_close_elf(&slot->elf);
		return;
	}
	slot->found = true;
	if (!slot->elf.is_borrowed &&
	    ws_symtab_add(&slot->names, slot->elf.elf, ".symtab", false, debug->image) > 0 &&
	    ws_symtab_sort(&slot->names) == 0)
		slot->file.names = &slot->names;
	open_dwarf(debug, slot);
	if (!slot->file.names && !slot->file.dwarf && !slot->elf.is_borrowed)
		ws_debug_note(debug, step, slot->path, "it has neither names nor DWARF");
}

const struct ws_debug_file *ws_debug_file(struct ws_debug *debug, enum ws_step step)
{
	struct debug_slot *slot = &debug->slots[step];

	if (!slot->tried)
		open_slot(debug, step, slot);
	return slot->found ? &slot->file : NULL;
}

const struct ws_debug_file *ws_debug_next_dwarf(struct ws_debug *debug,
						const struct ws_debug_file *after)
{
	for (int step = after ? (int)after->step + 1 : 0; step < WS_STEP_COUNT; step++) {
		const struct ws_debug_file *file = ws_debug_file(debug, (enum ws_step)step);

		if (file && file->dwarf)
			return file;
	}
	return NULL;
}

static void hash_path(const struct ws_debug *debug, const char *path, uint64_t *hash)
{
	for (size_t root = 0; root < debug->root_count; root++) {
		ws_autoclose int fd = ws_debug_open_path(debug, root, path);
		struct stat st;

		if (fd < 0 || fstat(fd, &st))
			continue;
		*hash = XXH64(path, strlen(path), *hash);
		*hash = XXH64(&st.st_dev, sizeof(st.st_dev), *hash);
		*hash = XXH64(&st.st_ino, sizeof(st.st_ino), *hash);
		*hash = XXH64(&st.st_size, sizeof(st.st_size), *hash);
		*hash = XXH64(&st.st_mtim, sizeof(st.st_mtim), *hash);
	}
}

uint64_t ws_debug_fingerprint(struct ws_debug *debug)
{
	uint64_t hash = XXH64(&debug->options.skip, sizeof(debug->options.skip), 0);
	const char *urls = getenv("DEBUGINFOD_URLS");
	char path[DEBUG_PATH_MAX];
	const char *link;
	uint32_t crc;

	if (!ws_debug_skips(debug, WS_STEP_BUILD_ID) &&
	    ws_debug_build_id_path(debug, &debug->build_id, path))
		hash_path(debug, path, &hash);
	link = ws_debug_skips(debug, WS_STEP_DEBUGLINK) ? NULL : ws_debug_link(debug, &crc);
	for (size_t i = 0; link && ws_debug_link_path(debug, link, i, path); i++)
		hash_path(debug, path, &hash);
	if (urls && !ws_debug_skips(debug, WS_STEP_DEBUGINFOD))
		hash = XXH64(urls, strlen(urls), hash);
	return hash;
}
