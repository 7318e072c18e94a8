/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Static variables of a unit: what all named functions that name one in the source name in the
 * server, and no other does. They tell functions apart, and layouts want some of them.
 */
#include "symbol/recover_parts.h"

#include "base/util.h"

static bool is_static_data(const struct ws_image *image, const struct ws_evidence_reference *ref)
{
	return !ref->name && !ref->text && !ref->is_anchor &&
	       ws_image_is_mapped(image, ref->address) && !ws_image_is_code(image, ref->address);
}

static bool refers(const struct ws_body *body, uint64_t address)
{
	for (size_t i = 0; i < body->evidence.reference_count; i++) {
		if (body->evidence.references[i].address == address)
			return true;
	}
	return false;
}

/* Could this address be the variable? Counts the named functions that say so. */
static size_t count_witnesses(const struct ws_unit *unit, size_t v, uint64_t address)
{
	size_t witnesses = 0;

	for (size_t f = 0; f < unit->sig.function_count; f++) {
		const struct ws_sig_function *function = &unit->sig.functions[f];
		long b = unit->by_function[f];
		bool shown = b >= 0 && refers(&unit->bodies[b], address);

		if (b < 0)
			continue;
		if (ws_indexes_has(&function->variables, v)) {
			if (!shown)
				return 0;
			witnesses++;
		} else if (shown && !ws_bit(function->touches, v)) {
			return 0;
		}
	}
	return witnesses;
}

static bool is_known(const struct ws_unit *unit, uint64_t address)
{
	for (size_t v = 0; v < unit->sig.variable_count; v++) {
		if (unit->addresses[v] == address)
			return true;
	}
	return false;
}

/* The first named function that names the variable in the source, -1 if there is none. */
static long first_witness(const struct ws_unit *unit, size_t v)
{
	for (size_t f = 0; f < unit->sig.function_count; f++) {
		if (unit->by_function[f] >= 0 &&
		    ws_indexes_has(&unit->sig.functions[f].variables, v))
			return unit->by_function[f];
	}
	return -1;
}

/* The only address that it can be, 0 if there are none or several. */
static uint64_t find_variable(const struct ws_unit *unit, size_t v, size_t *witnesses)
{
	long b = first_witness(unit, v);
	uint64_t found = 0;

	*witnesses = 0;
	for (size_t i = 0; b >= 0 && i < unit->bodies[b].evidence.reference_count; i++) {
		const struct ws_evidence_reference *ref = &unit->bodies[b].evidence.references[i];
		size_t count;

		if (ref->address == found || !is_static_data(unit->scan->image, ref) ||
		    is_known(unit, ref->address))
			continue;
		count = count_witnesses(unit, v, ref->address);
		if (!count)
			continue;
		if (found)
			return 0;
		found = ref->address;
		*witnesses = count;
	}
	return found;
}

bool ws_unit_is_sole_variable(const struct ws_unit *unit, size_t variable)
{
	for (size_t v = 0; v < unit->sig.variable_count; v++) {
		if (v != variable && !unit->addresses[v] &&
		    count_witnesses(unit, v, unit->addresses[variable]))
			return false;
	}
	return true;
}

void ws_unit_match_variables(struct ws_unit *unit, const struct ws_log *log)
{
	for (size_t v = 0; v < unit->sig.variable_count; v++) {
		size_t witnesses;
		uint64_t address;

		if (unit->addresses[v])
			continue;
		address = find_variable(unit, v, &witnesses);
		if (!address)
			continue;
		unit->addresses[v] = address;
		unit->witnesses[v] = (uint8_t)witnesses;
		ws_log(log, WS_LOG_DEBUG, "recovery: %s at 0x%llx, named by %zu functions",
		       unit->sig.variables[v], (unsigned long long)address, witnesses);
		for (size_t b = 0; b < unit->count; b++) {
			if (refers(&unit->bodies[b], address))
				ws_bit_set(unit->bodies[b].variables, v);
		}
	}
}

bool ws_unit_names_variable(const struct ws_unit *unit, const struct ws_body *body, size_t variable,
			    bool any_will_do)
{
	long b = first_witness(unit, variable);
	bool named = false;

	for (size_t i = 0; b >= 0 && i < unit->bodies[b].evidence.reference_count; i++) {
		const struct ws_evidence_reference *ref = &unit->bodies[b].evidence.references[i];

		if (!is_static_data(unit->scan->image, ref) || is_known(unit, ref->address) ||
		    !count_witnesses(unit, variable, ref->address))
			continue;
		if (refers(body, ref->address))
			named = true;
		else if (!any_will_do)
			return false;
	}
	return named;
}

/* Do all named functions that name the one name the other? */
static bool may_be_variable(const struct ws_unit *unit, size_t v, uint64_t address)
{
	for (size_t f = 0; f < unit->sig.function_count; f++) {
		const struct ws_sig_function *function = &unit->sig.functions[f];
		long b = unit->by_function[f];

		if (b >= 0 &&
		    (refers(&unit->bodies[b], address) ? !ws_bit(function->touches, v)
						       : ws_indexes_has(&function->variables, v)))
			return false;
	}
	return true;
}

static bool may_be_head(const struct ws_unit *unit, const struct ws_sig_function *function,
			uint64_t address)
{
	for (size_t i = 0; i < function->head_variables.count; i++) {
		uint16_t v = function->head_variables.items[i];

		if (unit->addresses[v] == address || may_be_variable(unit, v, address))
			return true;
	}
	return false;
}

bool ws_unit_heads_agree(const struct ws_unit *unit, const struct ws_sig_function *function,
			 const struct ws_body *body)
{
	const struct ws_evidence *evidence = &body->evidence;
	size_t found = 0;

	for (size_t i = 0; i < evidence->reference_count; i++) {
		const struct ws_evidence_reference *ref = &evidence->references[i];
		bool is_new = true;

		if (!ref->is_head || !is_static_data(unit->scan->image, ref))
			continue;
		for (size_t j = 0; j < i; j++)
			is_new &= evidence->references[j].address != ref->address;
		if (!is_new)
			continue;
		if (!may_be_head(unit, function, ref->address))
			return false;
		found++;
	}
	return found == function->head_variables.count;
}
