/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bodies against signatures. What a function can do at all decides whether a body may be it; the
 * score only separates candidates that may, and where two are close there is no answer.
 */
#include "symbol/recover_parts.h"

#define SCORE_MIN      0.6
#define MARGIN_MIN     0.12
#define ELIMINATED_MIN 0.75 /* where nothing else is left */
#define REPORTED_MIN   0.65 /* the same, and it says so itself */
#define HANDED_MIN     0.9  /* the same, where units are mixed, of what known functions hand over */
#define INDIRECT_MIN   0.84 /* where numbers count, and no caller is known to call it */
#define NUMBERED_MIN   0.7  /* numbers taken into account ... */
#define NUMBERED_FEW   0.8  /* ... and where there is little evidence */
#define NUMBERED_BITS  40
#define NUMBERS_MIN    0.65 /* ... and the numbers alone do not agree that well */
#define ALONE_BITS     24   /* of evidence, numbers included: less has to fit what is around */
#define POSSIBLE_MIN   0.35 /* to be left */
#define RECALL_MIN     0.6
#define BITS_MIN       5 /* of evidence: less is chance */
#define BITS_MAX       29
#define BITS_STEP      6

/* 0: this body is not that function. */
static double score(const struct ws_unit *unit, size_t f, size_t b, double bits_min)
{
	struct ws_likeness like;

	if (!ws_unit_may_be(unit, f, b))
		return 0;
	like = ws_unit_likeness(unit, f, b, WS_INLINED_SHARE);
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
		double share = unit->by_function[i] < 0 ? WS_INLINED_SHARE : 1;

		if (i != f && ws_unit_may_be_copy(unit, i, b) &&
		    ws_unit_likeness(unit, i, b, share).alike > best - MARGIN_MIN)
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
		    ws_unit_likeness(unit, f, i, WS_INLINED_SHARE).alike > best)
			return true;
	}
	return false;
}

/* Is there a function that the body looks more like, but which it cannot be by who calls whom? Then
 * what is known of who calls whom is not to be relied on. */
static bool is_outshone(const struct ws_unit *unit, size_t f, size_t b, double best)
{
	for (size_t i = 0; i < unit->sig.function_count; i++) {
		if (i != f && unit->by_function[i] < 0 &&
		    ws_unit_reports_fit(unit, i, &unit->bodies[b]) &&
		    ws_unit_likeness(unit, i, b, WS_INLINED_SHARE).alike > best)
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
	return !any || !ws_unit_may_be_around(unit, f, b);
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
	bool with_numbers = unit->with_numbers;
	struct ws_likeness like;

	if (is_handed_over(unit, &unit->bodies[b]))
		return true;
	unit->with_numbers = true;
	like = ws_unit_likeness(unit, f, b, 1);
	unit->with_numbers = with_numbers;
	if (like.alike < NUMBERED_MIN || (like.alike < NUMBERED_FEW && like.bits < NUMBERED_BITS &&
					  ws_unit_numbers_alike(unit, f, b) < NUMBERS_MIN))
		return false;
	return like.bits >= ALONE_BITS || ws_unit_neighbours_fit(unit, f, b);
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
		if (!ws_unit_may_be_copy(unit, f, b) ||
		    ws_unit_likeness(unit, f, b, 1).alike < POSSIBLE_MIN)
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
		if (i != b && unit->bodies[i].function < 0 && ws_unit_may_be_copy(unit, f, i) &&
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
		struct ws_likeness like;

		if (f < 0 || unit->by_function[f] >= 0 || !unit->sig.functions[f].is_required ||
		    !ws_unit_may_be(unit, (size_t)f, b) || has_copies(unit, (size_t)f, b))
			continue;
		like = ws_unit_likeness(unit, (size_t)f, b, WS_INLINED_SHARE);
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
