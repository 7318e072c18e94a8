/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where separate debug files are, as gdb documents it ("Debugging Information in Separate Files"):
 * by build-id below /usr/lib/debug, by the name in .gnu_debuglink beside the file, in .debug/
 * there, and in the same folder below /usr/lib/debug.
 */
#include "symbol/debug_parts.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "symbol/image_parts.h"

static bool put_path(char path[DEBUG_PATH_MAX], int len)
{
	if (len < 0 || len >= DEBUG_PATH_MAX)
		path[0] = '\0';
	return path[0] != '\0';
}

bool ws_debug_build_id_path(const struct ws_debug *debug, const struct build_id *id,
			    char path[DEBUG_PATH_MAX])
{
	char hex[2 * WS_BUILD_ID_MAX + 1] = "";

	if (id->size < 2)
		return false;
	for (size_t i = 1; i < id->size; i++)
		sprintf(hex + 2 * (i - 1), "%02x", id->bytes[i]);
	return put_path(path, snprintf(path, DEBUG_PATH_MAX, "%s/.build-id/%02x/%s.debug",
				       debug->debug_dir, id->bytes[0], hex));
}

/* A NUL-terminated name at the start of a section; *rest gets what follows. NULL if it is none. */
static const char *section_name(Elf *elf, const char *section, const uint8_t **rest,
				size_t *rest_size)
{
	Elf_Data *data;
	GElf_Shdr sh;
	const char *nul;

	if (!ws_elf_section(elf, section, &sh, &data))
		return NULL;
	nul = memchr(data->d_buf, '\0', data->d_size);
	if (!nul || nul == data->d_buf)
		return NULL;
	*rest = (const uint8_t *)nul + 1;
	*rest_size = data->d_size - (size_t)((const char *)*rest - (const char *)data->d_buf);
	return data->d_buf;
}

const char *ws_debug_link(const struct ws_debug *debug, uint32_t *crc)
{
	const uint8_t *rest;
	size_t size, padding;
	const char *name = section_name(debug->image->elf, ".gnu_debuglink", &rest, &size);

	/* It is a name: a path in it would lead out of the folders it is looked for in. */
	if (!name || strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return NULL;
	padding = -(strlen(name) + 1) & 3;
	if (size < padding + sizeof(*crc))
		return NULL;
	memcpy(crc, rest + padding, sizeof(*crc));
	return name;
}

/* The folder a file is in, absolute. In another root the path is one of that root already. */
static bool folder_of(const struct ws_debug *debug, const char *file, char folder[PATH_MAX])
{
	char real[PATH_MAX];
	const char *path = debug->root_count == 1 && realpath(file, real) ? real : file;
	const char *slash = strrchr(path, '/');

	if (!slash || path[0] != '/' || slash - path >= PATH_MAX)
		return false;
	snprintf(folder, PATH_MAX, "%.*s", (int)(slash - path), path);
	return true;
}

bool ws_debug_link_path(const struct ws_debug *debug, const char *name, size_t nth,
			char path[DEBUG_PATH_MAX])
{
	char folder[PATH_MAX];
	int len;

	if (nth > 2 || !folder_of(debug, debug->image->path, folder))
		return false;
	if (nth == 0)
		len = snprintf(path, DEBUG_PATH_MAX, "%s/%s", folder, name);
	else if (nth == 1)
		len = snprintf(path, DEBUG_PATH_MAX, "%s/.debug/%s", folder, name);
	else
		len = snprintf(path, DEBUG_PATH_MAX, "%s%s/%s", debug->debug_dir, folder, name);
	return put_path(path, len);
}

static bool is_image_itself(const struct ws_debug *debug, int fd)
{
	struct stat own, its;

	return fstat(debug->image->fd, &own) == 0 && fstat(fd, &its) == 0 &&
	       own.st_dev == its.st_dev && own.st_ino == its.st_ino;
}

/* Opens `path` below each root in turn until one has the file with build-id `id`. */
static bool find_by_id(const struct ws_debug *debug, enum ws_step step, const char *path,
		       const struct build_id *id, struct debug_elf *elf)
{
	for (size_t root = 0; root < debug->root_count; root++) {
		struct build_id its;
		int fd = ws_debug_open_path(debug, root, path);

		if (fd < 0 && errno != ENOENT && errno != ENOTDIR)
			ws_debug_note(debug, step, path, "%s", strerror(errno));
		if (fd < 0 || !ws_debug_open_elf(debug, step, path, fd, elf))
			continue;
		ws_debug_read_build_id(elf->elf, &its);
		if (ws_debug_same_build_id(&its, id))
			return true;
		ws_debug_note(debug, step, path,
			      its.size ? "its build-id is another" : "it has no build-id");
		ws_debug_close_elf(elf);
	}
	return false;
}

bool ws_debug_find_build_id(struct ws_debug *debug, struct debug_slot *slot)
{
	return ws_debug_build_id_path(debug, &debug->build_id, slot->path) &&
	       find_by_id(debug, WS_STEP_BUILD_ID, slot->path, &debug->build_id, &slot->elf);
}

/* Does the file behind `fd` have the image's CRC, and no other build-id? */
static bool check_link(const struct ws_debug *debug, const char *path, uint32_t crc,
		       const struct debug_elf *elf)
{
	struct build_id its;
	uint32_t actual;

	ws_debug_read_build_id(elf->elf, &its);
	if (its.size && debug->build_id.size && !ws_debug_same_build_id(&its, &debug->build_id)) {
		ws_debug_note(debug, WS_STEP_DEBUGLINK, path, "its build-id is another");
		return false;
	}
	if (!ws_debug_crc(elf->fd, &actual) || actual != crc) {
		ws_debug_note(debug, WS_STEP_DEBUGLINK, path, "its CRC is another");
		return false;
	}
	return true;
}

static bool find_linked(const struct ws_debug *debug, size_t root, struct debug_slot *slot,
			uint32_t crc)
{
	int fd = ws_debug_open_path(debug, root, slot->path);

	if (fd < 0)
		return false;
	if (is_image_itself(debug, fd)) {
		close(fd);
		return false;
	}
	if (!ws_debug_open_elf(debug, WS_STEP_DEBUGLINK, slot->path, fd, &slot->elf))
		return false;
	if (check_link(debug, slot->path, crc, &slot->elf))
		return true;
	ws_debug_close_elf(&slot->elf);
	return false;
}

bool ws_debug_find_link(struct ws_debug *debug, struct debug_slot *slot)
{
	uint32_t crc;
	const char *name = ws_debug_link(debug, &crc);

	for (size_t root = 0; name && root < debug->root_count; root++) {
		for (size_t i = 0; ws_debug_link_path(debug, name, i, slot->path); i++) {
			if (find_linked(debug, root, slot, crc))
				return true;
		}
	}
	return false;
}

/* The name in .gnu_debugaltlink is absolute, or relative to the file that has it. */
static bool alt_path(const struct ws_debug *debug, const struct debug_slot *slot, const char *name,
		     char path[DEBUG_PATH_MAX])
{
	char folder[PATH_MAX];

	if (name[0] == '/')
		return put_path(path, snprintf(path, DEBUG_PATH_MAX, "%s", name));
	return folder_of(debug, slot->path, folder) &&
	       put_path(path, snprintf(path, DEBUG_PATH_MAX, "%s/%s", folder, name));
}

static bool find_alt(struct ws_debug *debug, struct debug_slot *slot, const char *name,
		     const struct build_id *id)
{
	char path[DEBUG_PATH_MAX];
	struct build_id its;
	int fd;

	if ((ws_debug_build_id_path(debug, id, path) &&
	     find_by_id(debug, WS_STEP_ALTLINK, path, id, &slot->alt)) ||
	    (alt_path(debug, slot, name, path) &&
	     find_by_id(debug, WS_STEP_ALTLINK, path, id, &slot->alt)))
		return true;
	if (ws_debug_skips(debug, WS_STEP_DEBUGINFOD) || !ws_debug_fetch_wanted(debug))
		return false;
	fd = ws_debug_fetch(debug, id, path);
	if (fd < 0 || !ws_debug_open_elf(debug, WS_STEP_ALTLINK, path, fd, &slot->alt))
		return false;
	ws_debug_read_build_id(slot->alt.elf, &its);
	return ws_debug_same_build_id(&its, id);
}

bool ws_debug_find_alt(struct ws_debug *debug, struct debug_slot *slot)
{
	struct build_id id;
	const uint8_t *rest;
	size_t size;
	const char *name = section_name(slot->elf.elf, ".gnu_debugaltlink", &rest, &size);

	if (!name)
		return true;
	if (ws_debug_skips(debug, WS_STEP_ALTLINK)) {
		ws_debug_note(debug, WS_STEP_ALTLINK, slot->path,
			      "switched off, and its DWARF needs %s", name);
		return false;
	}
	id.size = size < sizeof(id.bytes) ? size : sizeof(id.bytes);
	memcpy(id.bytes, rest, id.size);
	if (find_alt(debug, slot, name, &id))
		slot->alt_dwarf = dwarf_begin_elf(slot->alt.elf, DWARF_C_READ, NULL);
	if (!slot->alt_dwarf) {
		ws_debug_note(debug, WS_STEP_ALTLINK, slot->path,
			      "its DWARF needs %s, which is not to be had", name);
		return false;
	}
	dwarf_setalt(slot->file.dwarf, slot->alt_dwarf);
	return true;
}
