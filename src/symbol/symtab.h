/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * symtab.h: the names of one ELF file, out of .dynsym and .symtab, sorted by address and by name.
 * For src/symbol/ alone: an image has one, and so has each of its debug files.
 */
#ifndef WS_SYMBOL_SYMTAB_H
#define WS_SYMBOL_SYMTAB_H

#include <gelf.h>
#include <libelf.h>

#include "symbol/image.h"

struct ws_symtab {
	struct ws_image_symbol *symbols; /* by address */
	size_t count, cap;
	uint32_t *by_name; /* indices into symbols, by name */
};

/* The section of this name that has bytes, with its data, or NULL. */
Elf_Scn *ws_elf_section(Elf *elf, const char *name, GElf_Shdr *header, Elf_Data **data);

/*
 * Adds the functions and variables of a section (".symtab") that lie in a segment of `image`.
 * Returns 1, 0 if the file has no such section, -1 when memory ran out. Names live as long as
 * `elf`.
 */
int ws_symtab_add(struct ws_symtab *table, Elf *elf, const char *section, bool is_dynamic,
		  const struct ws_image *image);
/* When all is added. Returns -1 when memory ran out. */
int ws_symtab_sort(struct ws_symtab *table);
void ws_symtab_deinit(struct ws_symtab *table);

/* The nth in order of names of those that begin with `prefix`, NULL behind the last. */
const struct ws_image_symbol *ws_symtab_from(const struct ws_symtab *table, const char *prefix,
					     size_t nth);
/* The one that starts exactly there (functions first), or NULL. */
const struct ws_image_symbol *ws_symtab_at(const struct ws_symtab *table, uint64_t vaddr);

#endif
