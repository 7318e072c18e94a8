/* SPDX-License-Identifier: BSD-2-Clause */
#include "layout/layout.h"

#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "layout/dwarf.h"

struct row {
	int major;
	enum ws_arch arch;
	struct ws_offsets off;
};

/* One row per major and architecture, made by scripts/layout-table. */
static const struct row rows[] = {
#include "layout/tables.inc"
};

static const struct row *find_row(int major, enum ws_arch arch)
{
	for (size_t i = 0; i < WS_ARRAY_SIZE(rows); i++) {
		if (rows[i].major == major && rows[i].arch == arch)
			return &rows[i];
	}
	return NULL;
}

/* Every slot is a __u32 (fields.c asserts it). */
static void set_unknown(struct ws_offsets *off)
{
	memset(off, 0xff, sizeof(*off));
}

/* Of the file, or of the first debug file that describes any of the types. */
static size_t read_dwarf(struct ws_debug *debug, struct ws_offsets *off)
{
	const struct ws_debug_file *file = NULL;
	size_t found = 0;

	while (!found && (file = ws_debug_next_dwarf(debug, file)) != NULL)
		found = ws_layout_read_dwarf(file->dwarf, off);
	return found;
}

static int fail_unsupported(const struct ws_image *image, int major, struct ws_error *err)
{
	enum ws_arch arch = ws_image_arch(image);
	int first = 0, last = 0;

	for (size_t i = 0; i < WS_ARRAY_SIZE(rows); i++) {
		if (rows[i].arch != arch)
			continue;
		if (!first || rows[i].major < first)
			first = rows[i].major;
		if (rows[i].major > last)
			last = rows[i].major;
	}
	ws_error_set(
		err, "no layout of the server's structures", ws_image_path(image),
		"it has no debug information, and PostgreSQL %d on %s is not among the built-in "
		"ones (%d to %d)",
		major, ws_image_arch_name(arch), first, last);
	return ws_error_fix(err, "use a server with debug information, or add its row with "
				 "scripts/layout-table");
}

int ws_layout_find(const struct ws_image *image, int major, struct ws_debug *debug,
		   struct ws_layout *layout, struct ws_error *err)
{
	const struct row *row = find_row(major, ws_image_arch(image));

	layout->major = major;
	layout->source = row ? WS_LAYOUT_TABLE : WS_LAYOUT_NONE;
	set_unknown(&layout->off);
	if (row)
		layout->off = row->off;
	if (debug && read_dwarf(debug, &layout->off) > 0)
		layout->source = WS_LAYOUT_DWARF;
	if (layout->source == WS_LAYOUT_NONE)
		return fail_unsupported(image, major, err);
	return 0;
}
