/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dwarf_name.h: names in debug information. libdw checks where a name begins, not that it ends
 * inside its section.
 */
#ifndef WS_SYMBOL_DWARF_NAME_H
#define WS_SYMBOL_DWARF_NAME_H

#include <elfutils/libdw.h>

/* The sections names may stand in: of the file itself and of the one dwz moved names into. */
#define WS_DWARF_NAME_SECTIONS 8

struct ws_dwarf_names {
	struct {
		const char *start, *end;
	} section[WS_DWARF_NAME_SECTIONS];
	size_t count;
};

/* Lives no longer than `dwarf`. */
void ws_dwarf_names_init(struct ws_dwarf_names *names, Dwarf *dwarf);
/* The entry's name, also from the entry it stands for; NULL if it has none, or none that ends. */
const char *ws_dwarf_name(const struct ws_dwarf_names *names, Dwarf_Die *die);

#endif
