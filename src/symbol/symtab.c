/* SPDX-License-Identifier: BSD-2-Clause */
#include "symbol/symtab.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "symbol/image_parts.h"

Elf_Scn *ws_elf_section(Elf *elf, const char *name, GElf_Shdr *header, Elf_Data **data)
{
	Elf_Scn *scn = NULL;
	size_t names;

	if (elf_getshdrstrndx(elf, &names))
		return NULL;
	while ((scn = elf_nextscn(elf, scn)) != NULL) {
		const char *this;

		if (!gelf_getshdr(scn, header))
			continue;
		this = elf_strptr(elf, names, header->sh_name);
		if (!this || strcmp(this, name) != 0 || header->sh_type == SHT_NOBITS)
			continue;
		*data = elf_getdata(scn, NULL);
		return *data && (*data)->d_buf ? scn : NULL;
	}
	return NULL;
}

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

int ws_symtab_add(struct ws_symtab *table, Elf *elf, const char *section, bool is_dynamic,
		  const struct ws_image *image)
{
	const char *file = NULL;
	Elf_Data *data;
	GElf_Shdr sh;
	size_t count;

	if (!ws_elf_section(elf, section, &sh, &data))
		return 0;
	count = data->d_size / sizeof(Elf64_Sym);
	for (size_t i = 0; i < count; i++) {
		struct ws_image_symbol *symbol;
		const char *name;
		GElf_Sym sym;

		if (!gelf_getsym(data, (int)i, &sym))
			break;
		/* libelf checks that the name ends inside the string table. */
		name = elf_strptr(elf, sh.sh_link, sym.st_name);
		if (!name || !name[0])
			continue;
		if (GELF_ST_TYPE(sym.st_info) == STT_FILE) {
			file = name;
			continue;
		}
		if (!is_wanted(image, &sym))
			continue;
		symbol =
			ws_array_grow(&table->symbols, &table->count, &table->cap, sizeof(*symbol));
		if (!symbol || table->count > UINT32_MAX)
			return -1;
		symbol->name = name;
		symbol->address = sym.st_value;
		symbol->size = sym.st_value + sym.st_size < sym.st_value ? 0 : sym.st_size;
		symbol->is_function = GELF_ST_TYPE(sym.st_info) == STT_FUNC;
		symbol->is_dynamic = is_dynamic;
		symbol->file = GELF_ST_BIND(sym.st_info) == STB_LOCAL ? file : NULL;
	}
	return 1;
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

int ws_symtab_sort(struct ws_symtab *table)
{
	if (!table->count)
		return 0;
	qsort(table->symbols, table->count, sizeof(table->symbols[0]), compare_address);
	table->by_name = calloc(table->count, sizeof(table->by_name[0]));
	if (!table->by_name)
		return -1;
	for (size_t i = 0; i < table->count; i++)
		table->by_name[i] = (uint32_t)i;
	qsort_r(table->by_name, table->count, sizeof(table->by_name[0]), compare_name,
		table->symbols);
	return 0;
}

void ws_symtab_deinit(struct ws_symtab *table)
{
	free(table->symbols);
	free(table->by_name);
	*table = (struct ws_symtab){ 0 };
}

/* Position in by_name of the first symbol whose name is not less than `name`. */
static size_t first_by_name(const struct ws_symtab *table, const char *name)
{
	size_t low = 0, high = table->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (strcmp(table->symbols[table->by_name[mid]].name, name) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

const struct ws_image_symbol *ws_symtab_from(const struct ws_symtab *table, const char *prefix,
					     size_t nth)
{
	size_t pos = first_by_name(table, prefix);
	const struct ws_image_symbol *symbol;

	if (nth >= table->count - pos)
		return NULL;
	symbol = &table->symbols[table->by_name[pos + nth]];
	return strncmp(symbol->name, prefix, strlen(prefix)) == 0 ? symbol : NULL;
}

const struct ws_image_symbol *ws_symtab_at(const struct ws_symtab *table, uint64_t vaddr)
{
	long i;

	if (!table->count)
		return NULL;
	i = ws_image_search(&table->symbols->address, table->count, sizeof(table->symbols[0]),
			    vaddr);
	if (i < 0 || table->symbols[i].address != vaddr)
		return NULL;
	while (i > 0 && table->symbols[i - 1].address == vaddr)
		i--;
	return &table->symbols[i];
}
