/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * DWARF, of the file itself or of a debug file: statics with an address, and what was inlined
 * where. Only the units of the wanted names' source files are walked; the others cost no more than
 * their header.
 */
#include "symbol/resolve_parts.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "symbol/dwarf_name.h"
#include "symbol/image_parts.h"

#define DEPTH_MAX 64 /* of nested scopes; a file that nests deeper is not from a compiler */

/* What was seen of one wanted name. */
struct sighting {
	uint64_t address;
	uint64_t size;
	bool is_several; /* bodies or variables at different addresses */
	bool is_inlined;
};

struct dwarf_walk {
	struct resolver *r;
	const struct ws_debug_file *debug;
	enum ws_symbol_source source;
	struct ws_dwarf_names names;
	struct sighting *sightings; /* parallel to the wanted names */
	const char *file;	    /* of the unit being walked */
	Dwarf_Off last;		    /* entry looked at last */
	int depth;
	bool out_of_memory;
};

static bool is_wanted_file(const struct resolver *r, const char *file)
{
	for (size_t i = 0; i < r->set->count; i++) {
		if (r->wanted[i].file && strcmp(r->wanted[i].file, file) == 0)
			return true;
	}
	return strcmp(file, "<artificial>") == 0; /* all of an LTO partition */
}

/* Index of the wanted name this entry stands for, -1 if for none. */
static long wanted_of(const struct dwarf_walk *walk, Dwarf_Die *die, bool is_variable)
{
	const char *name = ws_dwarf_name(&walk->names, die);
	long i = name ? ws_resolver_index(walk->r, name) : -1;
	const char *file = i >= 0 ? walk->r->wanted[i].file : NULL;

	if (i < 0 || walk->r->wanted[i].is_variable != is_variable)
		return -1;
	if (file && walk->file[0] != '<' && strcmp(file, walk->file) != 0)
		return -1;
	return i;
}

static void saw_address(struct sighting *seen, uint64_t address, uint64_t size)
{
	seen->is_several |= seen->address && seen->address != address;
	seen->address = address;
	seen->size = size;
}

/* A body that the symbol table calls a piece (.part, .cold) or by another name is not the function.
 */
static bool is_contradicted(const struct dwarf_walk *walk, const char *name, uint64_t address)
{
	const struct ws_symtab *names = walk->debug->names;
	const struct ws_image_symbol *symbol = names ? ws_symtab_at(names, address) : NULL;
	size_t len = strlen(name);

	if (!symbol)
		symbol = ws_image_symbol_at(walk->r->image, address);
	return symbol && (strncmp(symbol->name, name, len) != 0 ||
			  (symbol->name[len] != '\0' && symbol->name[len] != '.') ||
			  strstr(symbol->name, ".part") || strstr(symbol->name, ".cold"));
}

static void see_function(struct dwarf_walk *walk, Dwarf_Die *die, long i)
{
	Dwarf_Addr base, start, end;

	/* The first range is the one that is entered; a second is its cold part. */
	if (dwarf_ranges(die, 0, &base, &start, &end) <= 0 || start >= end)
		return;
	if (!is_contradicted(walk, walk->r->wanted[i].name, start))
		saw_address(&walk->sightings[i], start, end - start);
}

static void see_variable(struct dwarf_walk *walk, Dwarf_Die *die)
{
	long i = wanted_of(walk, die, true);
	Dwarf_Attribute attr;
	Dwarf_Word size;
	Dwarf_Die type;
	Dwarf_Op *ops;
	size_t count;

	if (i < 0 || !dwarf_attr_integrate(die, DW_AT_location, &attr) ||
	    dwarf_getlocation(&attr, &ops, &count) || count != 1 || ops[0].atom != DW_OP_addr)
		return;
	if (!dwarf_attr_integrate(die, DW_AT_type, &attr) || !dwarf_formref_die(&attr, &type) ||
	    dwarf_aggregate_size(&type, &size))
		size = 0;
	saw_address(&walk->sightings[i], ops[0].number, size);
}

static void walk_children(struct dwarf_walk *walk, Dwarf_Die *parent, const char *function);

static void walk_die(struct dwarf_walk *walk, Dwarf_Die *die, const char *function)
{
	Dwarf_Addr base, start, end;
	long i;

	switch (dwarf_tag(die)) {
	case DW_TAG_variable:
		see_variable(walk, die);
		return;
	case DW_TAG_subprogram:
		/* Abstract instances and declarations have no code; what is inlined there is
		 * inlined nowhere yet. */
		if (dwarf_ranges(die, 0, &base, &start, &end) <= 0)
			return;
		i = wanted_of(walk, die, false);
		if (i >= 0)
			see_function(walk, die, i);
		function = ws_dwarf_name(&walk->names, die);
		break;
	case DW_TAG_inlined_subroutine:
		i = wanted_of(walk, die, false);
		/* A function split and joined again is inlined into itself. */
		if (i >= 0 && function && strcmp(function, walk->r->wanted[i].name) != 0) {
			walk->sightings[i].is_inlined = true;
			if (ws_resolver_inlined(walk->r, (size_t)i, walk->source, function))
				walk->out_of_memory = true;
		}
		break;
	case DW_TAG_lexical_block:
		break;
	default:
		return;
	}
	walk_children(walk, die, function);
}

static void walk_children(struct dwarf_walk *walk, Dwarf_Die *parent, const char *function)
{
	Dwarf_Die child;

	if (walk->depth >= DEPTH_MAX || dwarf_child(parent, &child))
		return;
	walk->depth++;
	do {
		/* Entries stand in the order of the walk. A DW_AT_sibling that leads to one's own
		 * children would have them walked twice, and theirs four times. */
		if (dwarf_dieoffset(&child) <= walk->last)
			break;
		walk->last = dwarf_dieoffset(&child);
		walk_die(walk, &child, function);
	} while (dwarf_siblingof(&child, &child) == 0);
	walk->depth--;
}

static void walk_units(struct dwarf_walk *walk, Dwarf *dwarf)
{
	Dwarf_CU *cu = NULL;
	Dwarf_Die die;

	while (dwarf_get_units(dwarf, cu, &cu, NULL, NULL, &die, NULL) == 0) {
		const char *name = dwarf_tag(&die) == DW_TAG_compile_unit
					   ? ws_dwarf_name(&walk->names, &die)
					   : NULL;

		if (!name)
			continue;
		walk->file = basename(name);
		walk->last = dwarf_dieoffset(&die);
		if (!is_wanted_file(walk->r, walk->file))
			continue;
		walk->r->has_dwarf = true;
		walk_children(walk, &die, NULL);
	}
}

static void take_sightings(struct dwarf_walk *walk)
{
	struct resolver *r = walk->r;
	bool has_symtab = r->has_names;

	for (size_t i = 0; i < r->set->count; i++) {
		const struct sighting *seen = &walk->sightings[i];
		enum ws_symbol_status status = r->set->symbols[i].status;

		if (status == WS_SYMBOL_FOUND || !seen->address || r->ambiguous[i])
			continue;
		/* A .part.N body looks like a whole one in DWARF; only a symbol tells them apart,
		 * and only a function that was also inlined can have been split that way. */
		if (seen->is_inlined && !has_symtab)
			continue;
		if (seen->is_several)
			ws_resolver_refuse(r, i, "DWARF has several bodies of this name");
		else
			ws_resolver_claim(r, i, walk->source, seen->address, seen->size, 1);
	}
}

int ws_find_dwarf(struct resolver *r, const struct ws_debug_file *file,
		  enum ws_symbol_source source, struct ws_error *err)
{
	struct dwarf_walk walk = { .r = r, .debug = file, .source = source };
	ws_autofree struct sighting *sightings = NULL;

	if (!file->dwarf)
		return 0;
	walk.sightings = sightings = calloc(r->set->count, sizeof(*sightings));
	if (sightings) {
		ws_dwarf_names_init(&walk.names, file->dwarf);
		walk_units(&walk, file->dwarf);
		take_sightings(&walk);
	}
	if (!sightings || walk.out_of_memory)
		return ws_error_errno(err, ENOMEM, "cannot read DWARF", file->path);
	return 0;
}
