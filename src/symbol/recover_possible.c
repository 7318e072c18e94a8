/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a body can be at all, by who calls whom, who hands over whom, what ereports say, and what a
 * compiler splits off. No regard to likeness.
 */
#include "symbol/recover_parts.h"

bool ws_body_shows(const struct ws_body *body, size_t feature)
{
	for (size_t i = 0; i < body->feature_count; i++) {
		if (body->features[i] == feature)
			return true;
	}
	return false;
}

bool ws_unit_reports_fit(const struct ws_unit *unit, size_t f, const struct ws_body *body)
{
	const struct ws_sig_function *function = &unit->sig.functions[f];

	if (body->reports_stranger || (function->reports && !ws_indexes_has(&body->reports, f)))
		return false;
	for (size_t i = 0; i < body->reports.count; i++) {
		if (!ws_bit(function->closure, body->reports.items[i]))
			return false;
	}
	return true;
}

/* Every named caller must be able to call it, every named callee must be one it can call. */
static bool edges_fit(const struct ws_unit *unit, size_t f, const struct ws_body *body)
{
	const struct ws_sig_function *functions = unit->sig.functions;

	for (size_t i = 0; i < body->callers.count; i++) {
		long caller = unit->bodies[body->callers.items[i]].function;

		if (caller >= 0 && !ws_bit(functions[caller].calls, f))
			return false;
	}
	for (size_t i = 0; i < body->takers.count; i++) {
		long taker = unit->bodies[body->takers.items[i]].function;

		if (taker >= 0 && !ws_bit(functions[taker].takes, f))
			return false;
	}
	for (size_t i = 0; i < body->callees.count; i++) {
		long callee = unit->bodies[body->callees.items[i]].function;

		if (callee >= 0 && functions[callee].is_static &&
		    !ws_bit(functions[f].closure, (size_t)callee))
			return false;
	}
	for (size_t i = 0; i < body->takes.count; i++) {
		long taken = unit->bodies[body->takes.items[i]].function;

		if (taken >= 0 && functions[taken].is_static &&
		    !ws_bit(functions[f].takes, (size_t)taken))
			return false;
	}
	return true;
}

bool ws_unit_may_be_copy(const struct ws_unit *unit, size_t f, size_t b)
{
	const struct ws_sig_function *function = &unit->sig.functions[f];
	const struct ws_body *body = &unit->bodies[b];

	return !body->evidence.name && !(body->is_taken && !function->is_taken) &&
	       !(body->callers.count && !function->is_called) &&
	       ws_unit_reports_fit(unit, f, body) && edges_fit(unit, f, body);
}

bool ws_unit_may_be_part(const struct ws_unit *unit, size_t f, size_t b)
{
	return unit->sig.functions[f].is_static && ws_unit_may_be_copy(unit, f, b);
}

/* What the function does in front of its first branch, the body must do: gcc takes that away from
 * what it splits off. */
static bool has_head(const struct ws_unit *unit, size_t f, const struct ws_body *body)
{
	const struct ws_sig_function *function = &unit->sig.functions[f];
	size_t unknown = 0;
	bool any = false;

	for (size_t i = 0; i < function->feature_count; i++) {
		if (!function->features[i].is_head)
			continue;
		if (!ws_body_shows(body, function->features[i].id))
			return false;
		any = true;
	}
	for (size_t i = 0; i < function->head_variables.count; i++) {
		uint16_t v = function->head_variables.items[i];

		unknown += !ws_unit_knows(unit, v);
		if (ws_unit_knows(unit, v) && !ws_bit(body->variables, v))
			return false;
	}
	any |= unknown < function->head_variables.count;
	if (!unknown || ws_unit_heads_agree(unit, function, body))
		return true;
	for (size_t i = 0; i < function->head_variables.count; i++) {
		uint16_t v = function->head_variables.items[i];

		if (!ws_unit_knows(unit, v) && !ws_unit_names_variable(unit, body, v, any))
			return false;
	}
	return true;
}

bool ws_unit_may_be(const struct ws_unit *unit, size_t f, size_t b)
{
	const struct ws_body *body = &unit->bodies[b];

	/* The address of a part is never handed over, and clang makes none. */
	if (unit->sig.functions[f].is_quick && !body->is_taken && !unit->is_clang &&
	    (!body->evidence.is_quick || !has_head(unit, f, body)))
		return false;
	return ws_unit_may_be_part(unit, f, b);
}

/* May the body be that of a function which has this one inside? */
bool ws_unit_may_be_around(const struct ws_unit *unit, size_t f, size_t b)
{
	const struct ws_sig_function *functions = unit->sig.functions;

	for (size_t i = 0; i < unit->sig.function_count; i++) {
		if (i != f && ws_bit(functions[i].closure, f) && ws_unit_may_be_copy(unit, i, b))
			return true;
	}
	return false;
}

/* Does it do nothing that tells anything? Then it may be of a header, of which no signature is
 * kept. */
static bool is_trivial(const struct ws_body *body)
{
	return !body->feature_count && !body->callees.count && !body->reports.count &&
	       !body->strangers;
}

/* May a nameless body be one of the functions that stand inside `f`, or that call it? */
static bool may_be_inside(const struct ws_unit *unit, size_t f, size_t b)
{
	for (size_t i = 0; i < unit->sig.function_count; i++) {
		if (i != f && ws_bit(unit->sig.functions[f].closure, i) &&
		    ws_unit_may_be_copy(unit, i, b))
			return true;
	}
	return is_trivial(&unit->bodies[b]);
}

static bool may_be_caller(const struct ws_unit *unit, size_t f, size_t b)
{
	for (size_t i = 0; i < unit->sig.function_count; i++) {
		if (ws_bit(unit->sig.functions[i].calls, f) && ws_unit_may_be_copy(unit, i, b))
			return true;
	}
	return false;
}

/* Does it do what no function of the unit does, and stand elsewhere? */
static bool is_foreign(const struct ws_body *body)
{
	return body->strangers && !body->is_local;
}

/* Is there, for each nameless body that it calls or that calls it, a function which that may be if
 * this is `f`? */
bool ws_unit_neighbours_fit(const struct ws_unit *unit, size_t f, size_t b)
{
	const struct ws_body *body = &unit->bodies[b];

	for (size_t i = 0; i < body->callees.count; i++) {
		uint16_t c = body->callees.items[i];

		if (c != b && unit->bodies[c].function < 0 && !is_foreign(&unit->bodies[c]) &&
		    !may_be_inside(unit, f, c))
			return false;
	}
	for (size_t i = 0; i < body->callers.count; i++) {
		uint16_t c = body->callers.items[i];

		if (c != b && unit->bodies[c].function < 0 && !is_foreign(&unit->bodies[c]) &&
		    !may_be_caller(unit, f, c))
			return false;
	}
	return true;
}
