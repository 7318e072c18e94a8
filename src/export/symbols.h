/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * symbols.h: what `walscope symbols` found out, as data, and the symbol file it writes.
 */
#ifndef WS_EXPORT_SYMBOLS_H
#define WS_EXPORT_SYMBOLS_H

#include "layout/layout.h"
#include "probe/entry.h"
#include "symbol/list.h"

struct ws_symbol_row {
	const struct ws_symbol *symbol;
	bool has_offset; /* a byte of the file backs the address */
	uint64_t offset;
	struct ws_entry_site site; /* of a function */
};

struct ws_symbol_report {
	const char *file;
	const char *build_id; /* "" if there is none */
	const char *arch;
	const char *version; /* "15.18" */
	int major;
	bool stripped;
	const struct ws_symbol_set *set; /* the steps, and how long they took */
	const struct ws_symbol_row *rows;
	size_t count;
};

/*
 * Writes an ELF file with the image's build-id and section layout and the symbols that have an
 * address, for gdb, perf and bpftrace: it stands for the image's own .symtab, or for its separate
 * debug file. With a layout (NULL: none) it has a section .walscope.layout for scripts/gdb, lines
 * of text: "major 15", then for each field that is known its name and number, "WalSnd.state 4",
 * "sizeof(WalSnd) 96". The file appears under its name when it is whole. Replaces a regular file,
 * other than the image's own, and nothing else.
 */
int ws_symbol_file_write(const char *path, const struct ws_image *image,
			 const struct ws_symbol *symbols, size_t count,
			 const struct ws_layout *layout, struct ws_error *err);

#endif
