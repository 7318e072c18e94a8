/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How alike a function of the table and a body are: of what the one does, how much does the other,
 * both ways, in bits of information.
 */
#include "symbol/recover_parts.h"

/* Bits of information of what is no feature. */
#define STRANGER_BITS 3
#define REPORT_BITS   6
#define EDGE_BITS     3
#define VARIABLE_BITS 3

#define NUMBER_SHARE 0.5 /* of a number: optimising changes many */
#define CALLEE_SHARE 0.5 /* of the bits of a feature that should have come with one */

/* Bits that were expected, and of these such that came. */
struct tally {
	double expected, came;
};

static void count(struct tally *tally, double bits, bool came)
{
	tally->expected += bits;
	tally->came += came ? bits : 0;
}

/* Of what the function does itself, how much does the body do? */
static struct tally own_recall(const struct ws_unit *unit, const struct ws_sig_function *function,
			       const struct ws_body *body)
{
	struct tally tally = { 0 };

	for (size_t i = 0; i < function->feature_count; i++) {
		const struct ws_sig_feature *feature = &function->features[i];

		if (feature->is_required && !feature->is_callee && unit->is_available[feature->id])
			count(&tally, unit->sig.weights[feature->id],
			      ws_body_shows(body, feature->id));
	}
	return tally;
}

/* Does it call something without a name that may be this function? */
static bool may_call(const struct ws_unit *unit, size_t f, const struct ws_body *body)
{
	for (size_t i = 0; i < body->callees.count; i++) {
		uint16_t b = body->callees.items[i];
		struct tally tally;

		if (unit->bodies[b].function >= 0 ||
		    !ws_unit_reports_fit(unit, f, &unit->bodies[b]))
			continue;
		tally = own_recall(unit, &unit->sig.functions[f], &unit->bodies[b]);
		if (tally.came >= tally.expected / 2)
			return true;
	}
	return false;
}

/* What the function calls, the body calls, or it stands inside the body. */
static void recall_callee(const struct ws_unit *unit, size_t c, const struct ws_body *body,
			  struct tally *tally)
{
	const struct ws_sig_function *callee = &unit->sig.functions[c];
	long b = unit->by_function[c];
	struct tally inlined;

	if (b >= 0 && ws_indexes_has(&body->callees, (size_t)b)) {
		count(tally, EDGE_BITS, true);
		return;
	}
	if (!callee->is_required || (b < 0 && may_call(unit, c, body)))
		return;
	inlined = own_recall(unit, callee, body);
	tally->expected += inlined.expected * CALLEE_SHARE;
	tally->came += inlined.came * CALLEE_SHARE;
}

static void recall_numbers(const struct ws_unit *unit, const struct ws_sig_function *function,
			   const struct ws_body *body, struct tally *tally)
{
	for (size_t n = 0; n < unit->sig.number_count; n++) {
		if (ws_bit(function->numbers, n))
			count(tally, unit->sig.number_weights[n] * NUMBER_SHARE,
			      ws_bit(body->numbers, n));
	}
}

static void explain_numbers(const struct ws_unit *unit, const struct ws_sig_function *function,
			    const struct ws_body *body, double inlined_share, struct tally *tally)
{
	for (size_t n = 0; n < unit->sig.number_count; n++) {
		double bits = unit->sig.number_weights[n] * NUMBER_SHARE;

		if (!ws_bit(body->numbers, n))
			continue;
		tally->expected += bits;
		if (ws_bit(function->numbers, n))
			tally->came += bits;
		else if (ws_bit(function->inner_numbers, n))
			tally->came += bits * inlined_share;
	}
}

/* Of what the function does, how much does the body do? */
static struct tally recall(const struct ws_unit *unit, const struct ws_sig_function *function,
			   const struct ws_body *body)
{
	const struct ws_sig_unit *sig = &unit->sig;
	struct tally tally = { 0 };

	for (size_t i = 0; i < function->feature_count; i++) {
		const struct ws_sig_feature *feature = &function->features[i];
		bool came = ws_body_shows(body, feature->id);

		/* What only some versions do, what this server lacks altogether, what may stand
		 * here without a call. */
		if (came ||
		    (feature->is_required && !feature->is_callee &&
		     (unit->is_available[feature->id] || sig->features[feature->id][0] == '"')))
			count(&tally, sig->weights[feature->id], came);
	}
	for (size_t i = 0; i < function->variables.count; i++) {
		uint16_t v = function->variables.items[i];

		if (ws_unit_knows(unit, v))
			count(&tally, VARIABLE_BITS, ws_bit(body->variables, v));
	}
	for (size_t i = 0; i < function->callees.count; i++)
		recall_callee(unit, function->callees.items[i], body, &tally);
	if (unit->with_numbers)
		recall_numbers(unit, function, body, &tally);
	return tally;
}

/* Of what the body does, how much would the function do? What it does itself counts more than what
 * others do that may stand inside it. */
static struct tally precision(const struct ws_unit *unit, const struct ws_sig_function *function,
			      const struct ws_body *body, double inlined_share)
{
	struct tally tally = { 0 };

	for (size_t i = 0; i < body->feature_count; i++) {
		double bits = unit->sig.weights[body->features[i]];

		tally.expected += bits;
		if (ws_bit(function->own, body->features[i]))
			tally.came += bits;
		else if (ws_bit(function->explained, body->features[i]))
			tally.came += bits * inlined_share;
	}
	for (size_t v = 0; v < unit->sig.variable_count; v++) {
		if (ws_unit_knows(unit, v) && ws_bit(body->variables, v))
			count(&tally, VARIABLE_BITS, ws_bit(function->touches, v));
	}
	for (size_t i = 0; i < body->callees.count; i++) {
		long callee = unit->bodies[body->callees.items[i]].function;

		if (callee >= 0)
			count(&tally, EDGE_BITS,
			      ws_indexes_has(&function->callees, (size_t)callee));
	}
	count(&tally, STRANGER_BITS * (double)body->strangers, false);
	if (unit->with_numbers)
		explain_numbers(unit, function, body, inlined_share, &tally);
	return tally;
}

/* Who calls it, and to whom it is handed: best by named functions that do just that in the source,
 * else by others that stand inside these. */
static void count_callers(const struct ws_unit *unit, size_t f, size_t b, struct tally *tally)
{
	const struct ws_body *body = &unit->bodies[b];
	size_t indirect = 0;

	for (size_t i = 0; i < body->callers.count; i++) {
		long caller = unit->bodies[body->callers.items[i]].function;

		if (caller < 0 || (size_t)caller == f)
			continue;
		if (ws_indexes_has(&unit->sig.functions[caller].callees, f))
			count(tally, EDGE_BITS, true);
		else
			indirect++;
	}
	if (indirect && ws_unit_may_be_around(unit, f, b))
		count(tally, EDGE_BITS * (double)indirect, false);
	for (size_t i = 0; i < body->takers.count; i++) {
		long taker = unit->bodies[body->takers.items[i]].function;

		if (taker >= 0)
			count(tally, EDGE_BITS, ws_bit(unit->sig.functions[taker].takes, f));
	}
}

struct ws_likeness ws_unit_likeness(const struct ws_unit *unit, size_t f, size_t b,
				    double inlined_share)
{
	const struct ws_sig_function *function = &unit->sig.functions[f];
	const struct ws_body *body = &unit->bodies[b];
	struct tally r = recall(unit, function, body),
		     p = precision(unit, function, body, inlined_share);
	struct ws_likeness like = { 0 };

	if (function->reports) {
		count(&r, REPORT_BITS, true);
		count(&p, REPORT_BITS, true);
	}
	count_callers(unit, f, b, &r);
	like.bits = r.came;
	like.recall = r.expected > 0 ? r.came / r.expected : 1;
	like.precision = p.expected > 0 ? p.came / p.expected : 1;
	if (like.recall + like.precision > 0)
		like.alike = 2 * like.recall * like.precision / (like.recall + like.precision);
	return like;
}

/* How much of the numbers agrees, both ways: 0 to 1. */
double ws_unit_numbers_alike(const struct ws_unit *unit, size_t f, size_t b)
{
	const struct ws_sig_function *function = &unit->sig.functions[f];
	struct tally r = { 0 }, p = { 0 };

	recall_numbers(unit, function, &unit->bodies[b], &r);
	explain_numbers(unit, function, &unit->bodies[b], 1, &p);
	if (r.came <= 0 || p.came <= 0)
		return 0;
	return 2 / (r.expected / r.came + p.expected / p.came);
}
