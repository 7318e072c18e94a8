/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Functions out of tables of pointers (a sink's operations, the methods of a connection). A table
 * is where an exported variable points, or what named functions refer to and what looks like it.
 */
#include "symbol/recover_parts.h"

#include <string.h>

#include "base/util.h"

#define CONFIDENCE 0.98

static const struct ws_image_symbol *exported_function(const struct ws_image *image,
						       const char *name)
{
	const struct ws_image_symbol *symbol = ws_image_symbol(image, name);

	return symbol && symbol->is_dynamic && symbol->is_function ? symbol : NULL;
}

/* Does the slot hold what it should? `bodies` counts the functions without exported name. */
static bool slot_fits(const struct ws_unit *unit, const struct ws_sig_slot *slot, uint64_t value)
{
	const struct ws_image *image = unit->scan->image;
	const char *name =
		slot->function >= 0 ? unit->sig.functions[slot->function].name : slot->name;
	const struct ws_image_symbol *symbol = name ? exported_function(image, name) : NULL;
	long b;

	if (symbol)
		return symbol->address == value;
	if (slot->function < 0)
		return slot->table >= 0 ? ws_image_is_mapped(image, value) : true;
	b = ws_unit_body(unit, value);
	if (b < 0)
		return false;
	if (unit->bodies[b].function >= 0)
		return unit->bodies[b].function == slot->function;
	return ws_unit_may_be(unit, (size_t)slot->function, (size_t)b) &&
	       unit->by_function[slot->function] < 0;
}

static bool table_fits(const struct ws_unit *unit, const struct ws_sig_table *table,
		       uint64_t address)
{
	const struct ws_image *image = unit->scan->image;

	if (!table->slot_count || address % 8 || ws_image_is_code(image, address))
		return false;
	for (size_t i = 0; i < table->slot_count; i++) {
		uint64_t value;

		if (!ws_image_relocated(image, address + table->slots[i].slot * 8U, &value) ||
		    !slot_fits(unit, &table->slots[i], value))
			return false;
	}
	return true;
}

/* The only table that fits among what one named function refers to; 0: none or several. */
static uint64_t find_referenced(const struct ws_unit *unit, const struct ws_sig_table *table,
				const struct ws_evidence *evidence)
{
	uint64_t found = 0;

	for (size_t i = 0; i < evidence->reference_count; i++) {
		uint64_t address = evidence->references[i].address;

		if (address == found || !table_fits(unit, table, address))
			continue;
		if (found)
			return 0;
		found = address;
	}
	return found;
}

/* Does the function, or one that may stand inside it, refer to the table? */
static bool may_refer(const struct ws_unit *unit, size_t f, size_t t)
{
	for (size_t i = 0; i < unit->sig.function_count; i++) {
		if (ws_bit(unit->sig.functions[f].closure, i) &&
		    ws_indexes_has(&unit->sig.functions[i].tables, t))
			return true;
	}
	return false;
}

/* All named functions that refer to it in the source, and show a table that fits, agree. */
static uint64_t find_table(const struct ws_unit *unit, size_t t)
{
	const struct ws_sig_table *table = &unit->sig.tables[t];
	uint64_t found = 0;

	for (size_t f = 0; f < unit->sig.function_count; f++) {
		uint64_t address;

		if (unit->by_function[f] < 0 || !may_refer(unit, f, t))
			continue;
		address =
			find_referenced(unit, table, &unit->bodies[unit->by_function[f]].evidence);
		if (address && found && address != found)
			return 0;
		if (address)
			found = address;
	}
	return found;
}

static uint64_t exported_table(const struct ws_unit *unit, const struct ws_sig_table *table)
{
	const struct ws_image_symbol *symbol = ws_image_symbol(unit->scan->image, table->name);

	if (!symbol || !symbol->is_dynamic || symbol->is_function ||
	    !table_fits(unit, table, symbol->address))
		return 0;
	return symbol->address;
}

static void take_slots(struct ws_unit *unit, const struct ws_sig_table *table,
		       const struct ws_log *log)
{
	for (size_t i = 0; i < table->slot_count; i++) {
		const struct ws_sig_slot *slot = &table->slots[i];
		struct ws_sig_table *inner;
		uint64_t value;
		long b;

		if (!ws_image_relocated(unit->scan->image, table->address + slot->slot * 8U,
					&value))
			continue;
		inner = slot->table >= 0 ? &unit->sig.tables[slot->table] : NULL;
		if (inner && !inner->address && table_fits(unit, inner, value))
			inner->address = value;
		b = slot->function >= 0 ? ws_unit_body(unit, value) : -1;
		if (b < 0 || unit->bodies[b].function >= 0)
			continue;
		ws_unit_name(unit, (size_t)b, (size_t)slot->function, CONFIDENCE);
		ws_log(log, WS_LOG_DEBUG, "recovery: %s at 0x%llx, slot %u of %s",
		       unit->sig.functions[slot->function].name, (unsigned long long)value,
		       slot->slot, table->name);
	}
}

void ws_unit_match_tables(struct ws_unit *unit, const struct ws_log *log)
{
	for (size_t t = 0; t < unit->sig.table_count; t++) {
		struct ws_sig_table *table = &unit->sig.tables[t];

		if (!table->address)
			table->address = table->is_static ? find_table(unit, t)
							  : exported_table(unit, table);
		if (table->address)
			take_slots(unit, table, log);
	}
}
