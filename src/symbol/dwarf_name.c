/* SPDX-License-Identifier: BSD-2-Clause */
#include "symbol/dwarf_name.h"

#include <dwarf.h>
#include <gelf.h>
#include <string.h>

#include "base/util.h"

static bool holds_names(const char *section)
{
	static const char *const sections[] = { ".debug_info", ".debug_types", ".debug_str",
						".debug_line_str" };

	for (size_t i = 0; section && i < WS_ARRAY_SIZE(sections); i++) {
		if (strcmp(section, sections[i]) == 0)
			return true;
	}
	return false;
}

static void add_sections(struct ws_dwarf_names *names, Elf *elf)
{
	Elf_Scn *scn = NULL;
	size_t strings;

	if (!elf || elf_getshdrstrndx(elf, &strings))
		return;
	while ((scn = elf_nextscn(elf, scn)) != NULL && names->count < WS_DWARF_NAME_SECTIONS) {
		Elf_Data *data;
		GElf_Shdr sh;

		if (!gelf_getshdr(scn, &sh) || !holds_names(elf_strptr(elf, strings, sh.sh_name)))
			continue;
		/* libdw reads compressed sections in their plain form, and so does this by now. */
		data = elf_rawdata(scn, NULL);
		if (!data || !data->d_buf)
			continue;
		names->section[names->count].start = data->d_buf;
		names->section[names->count++].end = (const char *)data->d_buf + data->d_size;
	}
}

void ws_dwarf_names_init(struct ws_dwarf_names *names, Dwarf *dwarf)
{
	Dwarf *alt = dwarf_getalt(dwarf);

	*names = (struct ws_dwarf_names){ 0 };
	add_sections(names, dwarf_getelf(dwarf));
	if (alt)
		add_sections(names, dwarf_getelf(alt));
}

const char *ws_dwarf_name(const struct ws_dwarf_names *names, Dwarf_Die *die)
{
	Dwarf_Attribute attr;
	const char *name = dwarf_formstring(dwarf_attr_integrate(die, DW_AT_name, &attr));

	for (size_t i = 0; name && i < names->count; i++) {
		const char *end = names->section[i].end;

		if (name >= names->section[i].start && name < end)
			return memchr(name, '\0', (size_t)(end - name)) ? name : NULL;
	}
	return NULL;
}
