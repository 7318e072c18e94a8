/* SPDX-License-Identifier: BSD-2-Clause */
/* The names of an image: .dynsym and .symtab, sorted by address and by name. */
#include "symbol/image_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

static const char what[] = "cannot read symbols";

static bool is_wanted(const struct ws_image *image, const GElf_Sym *sym)
{
	switch (GELF_ST_TYPE(sym->st_info)) {
	case STT_FUNC:
	case STT_OBJECT:
		/* Not STT_GNU_IFUNC: its address is the resolver's. Not STT_TLS: it is no address.
		 */
		return sym->st_shndx != SHN_UNDEF && ws_image_is_mapped(image, sym->st_value);
	default:
		return false;
	}
}

static int load_table(struct ws_image *image, const char *section, bool is_dynamic,
		      struct ws_error *err)
{
	const char *file = NULL;
	Elf_Data *data;
	GElf_Shdr sh;
	size_t count;

	if (!ws_image_section(image, section, &sh, &data))
		return 0;
	if (!is_dynamic)
		image->is_stripped = false;
	count = data->d_size / sizeof(Elf64_Sym);
	for (size_t i = 0; i < count; i++) {
		struct ws_image_symbol *symbol;
		const char *name;
		GElf_Sym sym;

		if (!gelf_getsym(data, (int)i, &sym))
			break;
		/* libelf checks that the name ends inside the string table. */
		name = elf_strptr(image->elf, sh.sh_link, sym.st_name);
		if (!name || !name[0])
			continue;
		if (GELF_ST_TYPE(sym.st_info) == STT_FILE) {
			file = name;
			continue;
		}
		if (!is_wanted(image, &sym))
			continue;
		symbol = ws_array_grow(&image->symbols, &image->symbol_count, &image->symbol_cap,
				       sizeof(*symbol));
		if (!symbol || image->symbol_count > UINT32_MAX)
			return ws_error_errno(err, ENOMEM, what, image->path);
		symbol->name = name;
		symbol->address = sym.st_value;
		symbol->size = sym.st_value + sym.st_size < sym.st_value ? 0 : sym.st_size;
		symbol->is_function = GELF_ST_TYPE(sym.st_info) == STT_FUNC;
		symbol->is_dynamic = is_dynamic;
		symbol->file = GELF_ST_BIND(sym.st_info) == STB_LOCAL ? file : NULL;
	}
	return 0;
}

static int compare_address(const void *pa, const void *pb)
{
	const struct ws_image_symbol *a = pa, *b = pb;

	if (a->address != b->address)
		return a->address < b->address ? -1 : 1;
	if (a->is_function != b->is_function)
		return a->is_function ? -1 : 1;
	if (a->is_dynamic != b->is_dynamic)
		return a->is_dynamic ? -1 : 1;
	return strcmp(a->name, b->name);
}

static int compare_name(const void *pa, const void *pb, void *arg)
{
	const struct ws_image_symbol *symbols = arg;
	const struct ws_image_symbol *a = &symbols[*(const uint32_t *)pa];
	const struct ws_image_symbol *b = &symbols[*(const uint32_t *)pb];
	int diff = strcmp(a->name, b->name);

	if (diff)
		return diff;
	if (a->is_dynamic != b->is_dynamic)
		return a->is_dynamic ? -1 : 1;
	return a->address < b->address ? -1 : a->address > b->address;
}

int ws_image_load_symbols(struct ws_image *image, struct ws_error *err)
{
	image->is_stripped = true;
	if (load_table(image, ".dynsym", true, err) || load_table(image, ".symtab", false, err))
		return -1;
	if (!image->symbol_count)
		return 0;
	qsort(image->symbols, image->symbol_count, sizeof(image->symbols[0]), compare_address);
	image->by_name = calloc(image->symbol_count, sizeof(image->by_name[0]));
	if (!image->by_name)
		return ws_error_errno(err, ENOMEM, what, image->path);
	for (size_t i = 0; i < image->symbol_count; i++)
		image->by_name[i] = (uint32_t)i;
	qsort_r(image->by_name, image->symbol_count, sizeof(image->by_name[0]), compare_name,
		image->symbols);
	return 0;
}
