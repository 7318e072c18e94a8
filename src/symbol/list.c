/* SPDX-License-Identifier: BSD-2-Clause */
#include "symbol/list.h"

#include <dwarf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "symbol/dwarf_name.h"
#include "symbol/image_parts.h"

static int add(struct ws_symbol_list *list, const struct ws_symbol *symbol)
{
	struct ws_symbol *slot =
		ws_array_grow(&list->symbols, &list->count, &list->cap, sizeof(*slot));

	if (!slot)
		return -1;
	*slot = *symbol;
	return 0;
}

/* Of those in .dynsym, and with a source also those that are not. */
static int add_names(struct ws_symbol_list *list, const struct ws_symtab *names,
		     enum ws_symbol_source source)
{
	for (size_t i = 0; i < names->count; i++) {
		const struct ws_image_symbol *name = &names->symbols[i];
		const struct ws_symbol symbol = {
			.name = name->name,
			.status = WS_SYMBOL_FOUND,
			.source = name->is_dynamic ? WS_SOURCE_DYNSYM : source,
			.is_variable = !name->is_function,
			.address = name->address,
			.size = name->size,
			.confidence = 1,
		};

		if (symbol.source != WS_SOURCE_NONE && add(list, &symbol))
			return -1;
	}
	return 0;
}

/* A function with a body, or a variable with an address. False if the entry is neither. */
static bool read_entry(Dwarf_Die *die, struct ws_symbol *symbol)
{
	Dwarf_Addr base, start, end;
	Dwarf_Attribute attr;
	Dwarf_Op *ops;
	size_t count;

	switch (dwarf_tag(die)) {
	case DW_TAG_subprogram:
		if (dwarf_ranges(die, 0, &base, &start, &end) <= 0 || start >= end)
			return false;
		symbol->address = start;
		symbol->size = end - start;
		return true;
	case DW_TAG_variable:
		if (!dwarf_attr_integrate(die, DW_AT_location, &attr) ||
		    dwarf_getlocation(&attr, &ops, &count) || count != 1 ||
		    ops[0].atom != DW_OP_addr)
			return false;
		symbol->address = ops[0].number;
		symbol->is_variable = true;
		return true;
	default:
		return false;
	}
}

static bool is_plausible(const struct ws_image *image, const struct ws_symbol *symbol)
{
	return symbol->is_variable ? ws_image_is_mapped(image, symbol->address) &&
					     !ws_image_is_code(image, symbol->address)
				   : ws_image_is_code(image, symbol->address);
}

/* What stands at the top level of the units. */
static int add_dwarf(struct ws_symbol_list *list, const struct ws_image *image, Dwarf *dwarf,
		     enum ws_symbol_source source)
{
	struct ws_dwarf_names names;
	Dwarf_Die unit, die;
	Dwarf_CU *cu = NULL;

	ws_dwarf_names_init(&names, dwarf);
	while (dwarf_get_units(dwarf, cu, &cu, NULL, NULL, &unit, NULL) == 0) {
		Dwarf_Off last = dwarf_dieoffset(&unit);

		if (dwarf_child(&unit, &die))
			continue;
		do {
			struct ws_symbol symbol = { .status = WS_SYMBOL_FOUND,
						    .source = source,
						    .confidence = 1 };

			/* A sibling that lies before is a loop. */
			if (dwarf_dieoffset(&die) <= last)
				break;
			last = dwarf_dieoffset(&die);
			if (!read_entry(&die, &symbol) || !is_plausible(image, &symbol))
				continue;
			symbol.name = ws_dwarf_name(&names, &die);
			if (symbol.name && symbol.name[0] && add(list, &symbol))
				return -1;
		} while (dwarf_siblingof(&die, &die) == 0);
	}
	return 0;
}

static enum ws_symbol_source source_of(enum ws_step step)
{
	switch (step) {
	case WS_STEP_DWARF:
		return WS_SOURCE_DWARF;
	case WS_STEP_MINIDEBUGINFO:
		return WS_SOURCE_MINIDEBUGINFO;
	case WS_STEP_DEBUGINFOD:
		return WS_SOURCE_DEBUGINFOD;
	default:
		return WS_SOURCE_DEBUGLINK;
	}
}

/* Did this step say something? Of a set out of the cache that is not known: whatever is there and
 * costs no download is asked. */
static bool was_taken(const struct ws_symbol_set *set, struct ws_debug *debug, enum ws_step step)
{
	if (!set->from_cache)
		return set->steps[step].outcome == WS_STEP_DONE;
	return debug && step != WS_STEP_DEBUGINFOD && !ws_debug_skips(debug, step);
}

/* Names in DWARF are asked only where no symbol table has them: the two have the same, but the
 * table tells a piece of a function from the function. */
static int add_debug_files(struct ws_symbol_list *list, const struct ws_image *image,
			   struct ws_debug *debug, const struct ws_symbol_set *set)
{
	bool has_names = !ws_image_is_stripped(image) && was_taken(set, debug, WS_STEP_SYMTAB);

	for (int i = 0; i < WS_STEP_COUNT; i++) {
		enum ws_step step = (enum ws_step)i;
		const struct ws_debug_file *file;

		if (step == WS_STEP_DYNSYM || step == WS_STEP_SYMTAB || step == WS_STEP_RECOVERY ||
		    !was_taken(set, debug, step))
			continue;
		file = ws_debug_file(debug, step);
		if (!file)
			continue;
		if (file->names) {
			has_names = true;
			if (add_names(list, file->names, source_of(step)))
				return -1;
		}
		if (file->dwarf && !has_names &&
		    add_dwarf(list, image, file->dwarf, source_of(step)))
			return -1;
	}
	return 0;
}

/* .dynsym is asked first. */
static int rank(enum ws_symbol_source source)
{
	return source == WS_SOURCE_DYNSYM ? WS_SOURCE_NONE : (int)source;
}

static int compare(const void *pa, const void *pb)
{
	const struct ws_symbol *a = pa, *b = pb;
	int diff = strcmp(a->name, b->name);

	if (diff)
		return diff;
	if (a->address != b->address)
		return a->address < b->address ? -1 : 1;
	return rank(a->source) - rank(b->source);
}

/* One name at one address is one symbol; whoever is first in the chain has it. */
static void drop_doubles(struct ws_symbol_list *list)
{
	size_t kept = 0;

	for (size_t i = 0; i < list->count; i++) {
		const struct ws_symbol *last = kept ? &list->symbols[kept - 1] : NULL;
		struct ws_symbol this = list->symbols[i];

		if (last && last->address == this.address && strcmp(last->name, this.name) == 0) {
			if (!last->into[0])
				memcpy(list->symbols[kept - 1].into, this.into, sizeof(this.into));
			continue;
		}
		list->symbols[kept++] = this;
	}
	list->count = kept;
}

int ws_symbol_list_make(const struct ws_image *image, struct ws_debug *debug,
			const struct ws_symbol_set *set, bool everything,
			struct ws_symbol_list *list, struct ws_error *err)
{
	int rc = 0;

	*list = (struct ws_symbol_list){ 0 };
	for (size_t i = 0; i < set->count && rc == 0; i++)
		rc = add(list, &set->symbols[i]);
	if (everything && rc == 0)
		rc = add_names(list, ws_image_names(image),
			       was_taken(set, debug, WS_STEP_SYMTAB) ? WS_SOURCE_SYMTAB
								     : WS_SOURCE_NONE);
	if (everything && rc == 0)
		rc = add_debug_files(list, image, debug, set);
	if (rc) {
		ws_symbol_list_deinit(list);
		return ws_error_errno(err, ENOMEM, "cannot list symbols", ws_image_path(image));
	}
	if (list->count)
		qsort(list->symbols, list->count, sizeof(list->symbols[0]), compare);
	drop_doubles(list);
	return 0;
}

void ws_symbol_list_deinit(struct ws_symbol_list *list)
{
	free(list->symbols);
	*list = (struct ws_symbol_list){ 0 };
}
