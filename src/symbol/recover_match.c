/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bodies against signatures. What a function can do at all decides whether a body may be it; the
 * score only separates candidates that may, and where two are close there is no answer.
 */
#include "symbol/recover_parts.h"

#include <string.h>

#include "base/util.h"

#define SCORE_MIN      0.6
#define MARGIN_MIN     0.12
#define ELIMINATED_MIN 0.75 /* where nothing else is left */
#define REPORTED_MIN   0.65 /* the same, and it says so itself */
#define HANDED_MIN     0.9  /* the same, where units are mixed, of what known functions hand over */
#define INDIRECT_MIN   0.84 /* where numbers count, and no caller is known to call it */
#define NUMBERED_MIN   0.7  /* numbers taken into account ... */
#define NUMBERED_FEW   0.8  /* ... and where there is little evidence */
#define NUMBERED_BITS  40
#define ALONE_BITS     24   /* of evidence, numbers included: less has to fit what is around */
#define POSSIBLE_MIN   0.35 /* to be left */
#define RECALL_MIN     0.6
#define BITS_MIN       5 /* of evidence: less is chance */
#define BITS_MAX       29
#define BITS_STEP      6

/* Bits of information of what is no feature. */
#define STRANGER_BITS 3
#define REPORT_BITS   6
#define EDGE_BITS     3
#define VARIABLE_BITS 3

#define NUMBER_SHARE  0.5 /* of a number: optimising changes many */
#define CALLEE_SHARE  0.5 /* of the bits of a feature that should have come with one */
#define INLINED_SHARE 0.7 /* of a feature that came with an inlined function */

#define WITNESSES_MIN 2 /* named functions that agree on where a variable is */

static bool shows(const struct ws_body *body, size_t feature)
{
	for (size_t i = 0; i < body->feature_count; i++) {
		if (body->features[i] == feature)
			return true;
	}
	return false;
}

static bool reports_fit(const struct ws_unit *unit, size_t f, const struct ws_body *body)
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

static bool may_be_copy(const struct ws_unit *unit, size_t f, size_t b)
{
	const struct ws_sig_function *function = &unit->sig.functions[f];
	const struct ws_body *body = &unit->bodies[b];

	return !body->evidence.name && !(body->is_taken && !function->is_taken) &&
	       !(body->callers.count && !function->is_called) && reports_fit(unit, f, body) &&
	       edges_fit(unit, f, body);
}

bool ws_unit_may_be_part(const struct ws_unit *unit, size_t f, size_t b)
{
	return unit->sig.functions[f].is_static && may_be_copy(unit, f, b);
}

static bool is_known(const struct ws_unit *unit, size_t variable)
{
	return unit->witnesses[variable] >= WITNESSES_MIN;
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
		if (!shows(body, function->features[i].id))
			return false;
		any = true;
	}
	for (size_t i = 0; i < function->head_variables.count; i++) {
		uint16_t v = function->head_variables.items[i];

		unknown += !is_known(unit, v);
		if (is_known(unit, v) && !ws_bit(body->variables, v))
			return false;
	}
	any |= unknown < function->head_variables.count;
	if (!unknown || ws_unit_heads_agree(unit, function, body))
		return true;
	for (size_t i = 0; i < function->head_variables.count; i++) {
		uint16_t v = function->head_variables.items[i];

		if (!is_known(unit, v) && !ws_unit_names_variable(unit, body, v, any))
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
			count(&tally, unit->sig.weights[feature->id], shows(body, feature->id));
	}
	return tally;
}

/* Does it call something without a name that may be this function? */
static bool may_call(const struct ws_unit *unit, size_t f, const struct ws_body *body)
{
	for (size_t i = 0; i < body->callees.count; i++) {
		uint16_t b = body->callees.items[i];
		struct tally tally;

		if (unit->bodies[b].function >= 0 || !reports_fit(unit, f, &unit->bodies[b]))
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
		bool came = shows(body, feature->id);

		/* What only some versions do, what this server lacks altogether, what may stand
		 * here without a call. */
		if (came ||
		    (feature->is_required && !feature->is_callee &&
		     (unit->is_available[feature->id] || sig->features[feature->id][0] == '"')))
			count(&tally, sig->weights[feature->id], came);
	}
	for (size_t i = 0; i < function->variables.count; i++) {
		uint16_t v = function->variables.items[i];

		if (is_known(unit, v))
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
		if (is_known(unit, v) && ws_bit(body->variables, v))
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

/* May the body be that of a function which has this one inside? */
static bool may_be_around(const struct ws_unit *unit, size_t f, size_t b)
{
	const struct ws_sig_function *functions = unit->sig.functions;

	for (size_t i = 0; i < unit->sig.function_count; i++) {
		if (i != f && ws_bit(functions[i].closure, f) && may_be_copy(unit, i, b))
			return true;
	}
	return false;
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
	if (indirect && may_be_around(unit, f, b))
		count(tally, EDGE_BITS * (double)indirect, false);
	for (size_t i = 0; i < body->takers.count; i++) {
		long taker = unit->bodies[body->takers.items[i]].function;

		if (taker >= 0)
			count(tally, EDGE_BITS, ws_bit(unit->sig.functions[taker].takes, f));
	}
}

struct likeness {
	double alike;  /* 0 to 1: between the two below */
	double recall; /* of what the function does, the body does; bits: that much came */
	double precision;
	double bits;
};

static struct likeness likeness(const struct ws_unit *unit, size_t f, size_t b,
				double inlined_share)
{
	const struct ws_sig_function *function = &unit->sig.functions[f];
	const struct ws_body *body = &unit->bodies[b];
	struct tally r = recall(unit, function, body),
		     p = precision(unit, function, body, inlined_share);
	struct likeness like = { 0 };

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

/* 0: this body is not that function. */
static double score(const struct ws_unit *unit, size_t f, size_t b, double bits_min)
{
	struct likeness like;

	if (!ws_unit_may_be(unit, f, b))
		return 0;
	like = likeness(unit, f, b, INLINED_SHARE);
	return like.bits >= bits_min && like.recall >= RECALL_MIN ? like.alike : 0;
}

/* The body that fits best, unless another fits nearly as well. */
static long best_body(const struct ws_unit *unit, size_t f, double bits_min, double *best)
{
	double second = 0;
	long found = -1;

	*best = 0;
	for (size_t b = 0; b < unit->count; b++) {
		double s = unit->bodies[b].function >= 0 ? 0 : score(unit, f, b, bits_min);

		if (s > *best) {
			second = *best;
			*best = s;
			found = (long)b;
		} else if (s > second) {
			second = s;
		}
	}
	return *best >= SCORE_MIN && *best - second >= MARGIN_MIN ? found : -1;
}

/* Would another name fit this body nearly as well? The benefit of the doubt: as a part of it, or as
 * a copy of a function that has its body elsewhere, and even of an exported one. */
static long find_rival(const struct ws_unit *unit, size_t f, size_t b, double best)
{
	for (size_t i = 0; i < unit->sig.function_count; i++) {
		double share = unit->by_function[i] < 0 ? INLINED_SHARE : 1;

		if (i != f && may_be_copy(unit, i, b) &&
		    likeness(unit, i, b, share).alike > best - MARGIN_MIN)
			return (long)i;
	}
	return -1;
}

/* Is there a nameless body that looks more like it, but cannot be it? Then what is known of the
 * function, or of that body, is not to be relied on. */
static bool is_outdone(const struct ws_unit *unit, size_t f, size_t b, double best)
{
	for (size_t i = 0; i < unit->count; i++) {
		const struct ws_body *body = &unit->bodies[i];

		if (i != b && body->function < 0 && !body->evidence.name &&
		    likeness(unit, f, i, INLINED_SHARE).alike > best)
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
		if (i != f && ws_bit(unit->sig.functions[f].closure, i) && may_be_copy(unit, i, b))
			return true;
	}
	return is_trivial(&unit->bodies[b]);
}

static bool may_be_caller(const struct ws_unit *unit, size_t f, size_t b)
{
	for (size_t i = 0; i < unit->sig.function_count; i++) {
		if (ws_bit(unit->sig.functions[i].calls, f) && may_be_copy(unit, i, b))
			return true;
	}
	return false;
}

/* Is there, for each nameless body that it calls or that calls it, a function which that may be if
 * this is `f`? */
static bool neighbours_fit(const struct ws_unit *unit, size_t f, size_t b)
{
	const struct ws_body *body = &unit->bodies[b];

	for (size_t i = 0; i < body->callees.count; i++) {
		uint16_t c = body->callees.items[i];

		if (c != b && unit->bodies[c].function < 0 && !may_be_inside(unit, f, c))
			return false;
	}
	for (size_t i = 0; i < body->callers.count; i++) {
		uint16_t c = body->callers.items[i];

		if (c != b && unit->bodies[c].function < 0 && !may_be_caller(unit, f, c))
			return false;
	}
	return true;
}

/* Is there a function that the body looks more like, but which it cannot be by who calls whom? Then
 * what is known of who calls whom is not to be relied on. */
static bool is_outshone(const struct ws_unit *unit, size_t f, size_t b, double best)
{
	for (size_t i = 0; i < unit->sig.function_count; i++) {
		if (i != f && unit->by_function[i] < 0 && reports_fit(unit, i, &unit->bodies[b]) &&
		    likeness(unit, i, b, INLINED_SHARE).alike > best)
			return true;
	}
	return false;
}

/* Does one of the named functions that call it do so in the source? Where none does, the body may
 * be that of a function between, which has this one inside. */
static bool is_called_directly(const struct ws_unit *unit, size_t f, size_t b)
{
	const struct ws_sig_function *functions = unit->sig.functions;
	const struct ws_body *body = &unit->bodies[b];
	bool any = false;

	for (size_t i = 0; i < body->callers.count; i++) {
		long caller = unit->bodies[body->callers.items[i]].function;

		if (caller >= 0 && ws_indexes_has(&functions[caller].callees, f))
			return true;
		any |= caller >= 0;
	}
	return !any || !may_be_around(unit, f, b);
}

/* Nothing calls it, and all that hand it over are known by name. */
static bool is_handed_over(const struct ws_unit *unit, const struct ws_body *body)
{
	if (!body->takers.count || body->callers.count)
		return false;
	for (size_t i = 0; i < body->takers.count; i++) {
		if (unit->bodies[body->takers.items[i]].function < 0)
			return false;
	}
	return true;
}

/* What names and calls say, the numbers must not contradict. Where there is little of both, they
 * must agree, and what is around must fit. */
static bool is_confirmed(struct ws_unit *unit, size_t f, size_t b)
{
	const struct ws_body *body = &unit->bodies[b];
	bool with_numbers = unit->with_numbers;
	struct likeness like;

	if (is_handed_over(unit, body))
		return true;
	unit->with_numbers = true;
	like = likeness(unit, f, b, 1);
	unit->with_numbers = with_numbers;
	if (like.alike < (like.bits < NUMBERED_BITS ? NUMBERED_FEW : NUMBERED_MIN))
		return false;
	return like.bits >= ALONE_BITS || neighbours_fit(unit, f, b);
}

static bool match_round(struct ws_unit *unit, double bits_min, const struct ws_log *log)
{
	bool progress = false;

	for (size_t f = 0; f < unit->sig.function_count; f++) {
		double best;
		long b;

		if (unit->by_function[f] >= 0 || !unit->sig.functions[f].is_static)
			continue;
		b = best_body(unit, f, bits_min, &best);
		if (b < 0 || find_rival(unit, f, (size_t)b, best) >= 0 ||
		    is_outdone(unit, f, (size_t)b, best) || is_outshone(unit, f, (size_t)b, best) ||
		    !is_confirmed(unit, f, (size_t)b) ||
		    (unit->with_numbers && best < INDIRECT_MIN &&
		     !is_called_directly(unit, f, (size_t)b)))
			continue;
		ws_unit_name(unit, (size_t)b, f, best);
		progress = true;
		ws_log(log, WS_LOG_DEBUG, "recovery: %s at 0x%llx, score %.2f%s",
		       unit->sig.functions[f].name,
		       (unsigned long long)unit->bodies[b].evidence.range.start, best,
		       unit->with_numbers ? " with numbers" : "");
	}
	return progress;
}

/* The only function that a body can be, of all that it can be with some likeness; -1 if there are
 * several, or none. */
static long only_function(const struct ws_unit *unit, size_t b)
{
	long found = -1;

	for (size_t f = 0; f < unit->sig.function_count; f++) {
		/* What is handed over is no copy. */
		if (unit->bodies[b].is_taken && unit->by_function[f] >= 0)
			continue;
		if (!may_be_copy(unit, f, b) || likeness(unit, f, b, 1).alike < POSSIBLE_MIN)
			continue;
		if (found >= 0)
			return -1;
		found = (long)f;
	}
	return found;
}

/* Are there two bodies that can be nothing but this function? Then it has copies. */
static bool has_copies(const struct ws_unit *unit, size_t f, size_t b)
{
	for (size_t i = 0; i < unit->count; i++) {
		if (i != b && unit->bodies[i].function < 0 && may_be_copy(unit, f, i) &&
		    only_function(unit, i) == (long)f)
			return true;
	}
	return false;
}

/* How like a function a body must be that can be no other; more than 1: however like. */
static double eliminated_min(const struct ws_unit *unit, size_t f, const struct ws_body *body)
{
	if (body->is_local)
		return unit->sig.functions[f].reports ? REPORTED_MIN : ELIMINATED_MIN;
	return unit->with_numbers && is_handed_over(unit, body) ? HANDED_MIN : 2;
}

/* A body of the unit can be one function only: then little evidence will do. */
static bool eliminate(struct ws_unit *unit, const struct ws_log *log)
{
	for (size_t b = 0; b < unit->count; b++) {
		const struct ws_body *body = &unit->bodies[b];
		bool open = body->function < 0 && (body->is_local || unit->with_numbers);
		long f = open ? only_function(unit, b) : -1;
		struct likeness like;

		if (f < 0 || unit->by_function[f] >= 0 || !unit->sig.functions[f].is_required ||
		    !ws_unit_may_be(unit, (size_t)f, b) || has_copies(unit, (size_t)f, b))
			continue;
		like = likeness(unit, (size_t)f, b, INLINED_SHARE);
		if (like.alike < eliminated_min(unit, (size_t)f, body) || like.bits <= 0 ||
		    !is_confirmed(unit, (size_t)f, b))
			continue;
		ws_unit_name(unit, b, (size_t)f, like.alike);
		ws_log(log, WS_LOG_DEBUG,
		       "recovery: %s at 0x%llx, it can be no other, score %.2f%s",
		       unit->sig.functions[f].name, (unsigned long long)body->evidence.range.start,
		       like.alike, unit->with_numbers ? " with numbers" : "");
		return true;
	}
	return false;
}

/* For who wonders why a name was not found. */
static void log_best(const struct ws_unit *unit, size_t f, const struct ws_log *log)
{
	double best = 0, second = 0;
	size_t found = 0;
	long rival;

	for (size_t b = 0; b < unit->count; b++) {
		double s = unit->bodies[b].function >= 0 ? 0 : score(unit, f, b, BITS_MIN);

		if (s > best) {
			second = best;
			best = s;
			found = b;
		} else if (s > second) {
			second = s;
		}
	}
	rival = best > 0 ? find_rival(unit, f, found, best) : -1;
	if (best > 0)
		ws_log(log, WS_LOG_DEBUG,
		       "recovery: %s is not taken: best 0x%llx, score %.2f, next %.2f, rival %s",
		       unit->sig.functions[f].name,
		       (unsigned long long)unit->bodies[found].evidence.range.start, best, second,
		       rival >= 0 ? unit->sig.functions[rival].name : "none");
	else
		ws_log(log, WS_LOG_DEBUG, "recovery: %s: no candidate",
		       unit->sig.functions[f].name);
}

void ws_unit_match(struct ws_unit *unit, const struct ws_log *log)
{
	/* What is surest comes first: it is evidence for what follows. */
	for (double bits = BITS_MAX; bits >= BITS_MIN;) {
		ws_unit_match_tables(unit, log);
		ws_unit_match_variables(unit, log);
		if (match_round(unit, bits, log) || (bits <= BITS_MIN && eliminate(unit, log))) {
			bits = BITS_MAX;
			unit->with_numbers = false;
		} else if (!unit->with_numbers && bits - BITS_STEP < BITS_MIN) {
			bits = BITS_MAX;
			unit->with_numbers = true;
		} else {
			bits -= BITS_STEP;
		}
	}
	for (size_t f = 0; f < unit->sig.function_count && log && log->level >= WS_LOG_DEBUG; f++) {
		if (unit->by_function[f] < 0 && unit->sig.functions[f].is_own)
			log_best(unit, f, log);
	}
}
