/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Evidence against signatures. What must be there decides; the score only separates candidates that
 * pass, and where two are close there is no answer.
 */
#include "symbol/recover_parts.h"

#include <string.h>

#include "base/util.h"

#define SCORE_MIN    0.5
#define MARGIN_MIN   0.12
#define ROUNDS_MAX   16
#define NAME_MAX_LEN 80
#define DEPTH_MAX    4 /* of functions inlined into functions that are inlined */

/* Callees that every function may have and that tell none from another. */
static const char noise[] = "errstart errstart_cold errfinish errmsg errmsg_internal errdetail "
			    "errdetail_internal errhint errcode "
			    "errcode_for_file_access elog_start elog_finish s_lock "
			    "__stack_chk_fail ExceptionalCondition "
			    "perform_spin_delay";

bool ws_evidence_reports(const struct ws_evidence *body, const char *file, const char *function)
{
	for (size_t i = 0; i < body->report_count; i++) {
		const struct ws_evidence_report *report = &body->reports[i];

		if (report->function && strcmp(report->function, function) == 0 &&
		    (!report->file || strcmp(report->file, file) == 0))
			return true;
	}
	for (size_t i = 0; i < body->reference_count; i++) {
		const char *identifier = body->references[i].identifier;

		if (identifier && strcmp(identifier, function) == 0)
			return true;
	}
	return false;
}

static const char *call_name(const struct ws_unit *unit, const struct ws_evidence_call *call)
{
	long i;

	if (call->name)
		return call->name;
	i = ws_unit_body(unit, call->target);
	return i >= 0 ? unit->names[i] : NULL;
}

bool ws_unit_uses(const struct ws_unit *unit, const struct ws_scan *scan,
		  const struct ws_evidence *body, const char *name)
{
	const struct ws_image_symbol *symbol;

	for (size_t i = 0; i < body->call_count; i++) {
		const char *callee = call_name(unit, &body->calls[i]);

		if (callee && strcmp(callee, name) == 0)
			return true;
	}
	symbol = ws_image_symbol(scan->image, name);
	if (!symbol || !symbol->is_dynamic)
		return false;
	for (size_t i = 0; i < body->reference_count; i++) {
		if (body->references[i].address == symbol->address)
			return true;
	}
	return false;
}

bool ws_unit_uses_all(const struct ws_unit *unit, const struct ws_scan *scan,
		      const struct ws_evidence *body, const char *names)
{
	char name[NAME_MAX_LEN];

	while (ws_names_next(&names, name, sizeof(name))) {
		if (!ws_unit_uses(unit, scan, body, name))
			return false;
	}
	return true;
}

static const struct ws_signature *find_signature(const char *file, const char *name)
{
	size_t count;
	const struct ws_signature *signatures = ws_signatures(&count);

	for (size_t i = 0; i < count; i++) {
		if (strcmp(signatures[i].name, name) == 0 && strcmp(signatures[i].file, file) == 0)
			return &signatures[i];
	}
	return NULL;
}

/* May `name` stand inside a function of this signature? */
static bool may_inline(const struct ws_signature *sig, const char *name, int depth)
{
	const char *names = sig->inlines;
	char inlined[NAME_MAX_LEN];

	while (ws_names_next(&names, inlined, sizeof(inlined))) {
		const struct ws_signature *inner = find_signature(sig->file, inlined);

		if (strcmp(inlined, name) == 0 ||
		    (inner && depth < DEPTH_MAX && may_inline(inner, name, depth + 1)))
			return true;
	}
	return false;
}

/* Is a call of `callee` what this function, or one that stands inside it, does? */
static bool explains(const struct ws_signature *sig, const char *callee, int depth)
{
	const char *names = sig->inlines;
	char inlined[NAME_MAX_LEN];

	if (ws_names_has(sig->must, callee) || ws_names_has(sig->calls, callee) ||
	    ws_names_has(sig->may, callee) || ws_names_has(names, callee))
		return true;
	while (ws_names_next(&names, inlined, sizeof(inlined))) {
		const struct ws_signature *inner = find_signature(sig->file, inlined);

		if (inner && depth < DEPTH_MAX && explains(inner, callee, depth + 1))
			return true;
	}
	return false;
}

/* The name that its own reports carry. */
static const char *report_name(const struct ws_signature *sig)
{
	return sig->part_of ? sig->part_of : sig->name;
}

/* May an ereport of `name` stand in this function: its own, or that of one it calls or swallows? */
static bool may_report(const struct ws_signature *sig, const char *name)
{
	return strcmp(name, report_name(sig)) == 0 || may_inline(sig, name, 0) ||
	       explains(sig, name, 0);
}

/* No ereport of another function of the unit, unless that one may be inlined here. */
static bool reports_fit(const struct ws_signature *sig, const struct ws_evidence *body)
{
	for (size_t i = 0; i < body->report_count; i++) {
		const struct ws_evidence_report *report = &body->reports[i];

		if (report->function && (!report->file || strcmp(report->file, sig->file) == 0) &&
		    !may_report(sig, report->function))
			return false;
	}
	for (size_t i = 0; i < body->reference_count; i++) {
		const char *name = body->references[i].identifier;
		const struct ws_signature *other = name ? find_signature(sig->file, name) : NULL;

		if (other && other->reports && !may_report(sig, name))
			return false;
	}
	return !sig->reports || ws_evidence_reports(body, sig->file, report_name(sig));
}

/* The only pointer to a static function that calls of `callee` inside the unit get as this
 * argument. */
static uint64_t handed_pointer(const struct ws_unit *unit, const char *callee, int argument)
{
	uint64_t pointer = 0;

	for (size_t b = 0; b < unit->count; b++) {
		const struct ws_evidence *body = &unit->bodies[b];

		for (size_t i = 0; i < body->call_count; i++) {
			const struct ws_evidence_call *call = &body->calls[i];
			const struct ws_value *value = &call->args[argument];

			if (!call->name || strcmp(call->name, callee) != 0 ||
			    value->kind != WS_VALUE_ADDRESS)
				continue;
			if (pointer && pointer != value->value)
				return 0;
			pointer = value->value;
		}
	}
	return pointer;
}

static bool handed_fits(const struct ws_signature *sig, const struct ws_unit *unit,
			const struct ws_evidence *body)
{
	bool confirmed = false;

	if (!sig->handed[0].callee)
		return true;
	for (size_t i = 0; i < WS_ARRAY_SIZE(sig->handed) && sig->handed[i].callee; i++) {
		uint64_t pointer =
			handed_pointer(unit, sig->handed[i].callee, sig->handed[i].argument);

		if (pointer && pointer != body->range.start)
			return false;
		confirmed |= pointer != 0;
	}
	return confirmed;
}

static bool uses_any(const struct ws_unit *unit, const struct ws_scan *scan,
		     const struct ws_evidence *body, const char *names)
{
	char name[NAME_MAX_LEN];

	while (ws_names_next(&names, name, sizeof(name))) {
		if (ws_unit_uses(unit, scan, body, name))
			return true;
	}
	return false;
}

/* Share of what the function should call that this body calls, of names this server has. */
static double recall(const struct ws_signature *sig, const struct ws_unit *unit,
		     const struct ws_scan *scan, const struct ws_evidence *body)
{
	const char *lists[] = { sig->must, sig->calls };
	size_t expected = 0, present = 0;

	for (size_t l = 0; l < WS_ARRAY_SIZE(lists); l++) {
		const char *names = lists[l];
		char name[NAME_MAX_LEN];

		while (ws_names_next(&names, name, sizeof(name))) {
			bool uses = ws_unit_uses(unit, scan, body, name);

			expected += uses || ws_image_symbol(scan->image, name);
			present += uses;
		}
	}
	return expected ? (double)present / (double)expected : 1;
}

/* Share of the body's named callees that the function explains. */
static double precision(const struct ws_signature *sig, const struct ws_unit *unit,
			const struct ws_evidence *body)
{
	size_t total = 0, explained = 0;

	for (size_t i = 0; i < body->call_count; i++) {
		const char *callee = call_name(unit, &body->calls[i]);

		if (!callee || ws_names_has(noise, callee))
			continue;
		total++;
		explained += explains(sig, callee, 0);
	}
	return total ? (double)explained / (double)total : 1;
}

/* 0: this body is not that function. */
static double score(const struct ws_signature *sig, const struct ws_unit *unit,
		    const struct ws_scan *scan, size_t b)
{
	const struct ws_evidence *body = &unit->bodies[b];
	double p, r;

	if (!reports_fit(sig, body) || !handed_fits(sig, unit, body) ||
	    !ws_unit_uses_all(unit, scan, body, sig->must) ||
	    uses_any(unit, scan, body, sig->must_not))
		return 0;
	p = precision(sig, unit, body);
	r = recall(sig, unit, scan, body);
	return p + r > 0 ? 2 * p * r / (p + r) : 0;
}

static bool is_named(const struct ws_unit *unit, const char *name)
{
	for (size_t b = 0; b < unit->count; b++) {
		if (unit->names[b] && strcmp(unit->names[b], name) == 0)
			return true;
	}
	return false;
}

/* The body that fits best, unless another fits nearly as well. */
static long best_body(const struct ws_signature *sig, const struct ws_unit *unit,
		      const struct ws_scan *scan, double *best)
{
	double second = 0;
	long found = -1;

	*best = 0;
	for (size_t b = 0; b < unit->count; b++) {
		double s = unit->names[b] ? 0 : score(sig, unit, scan, b);

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

/* Would another name fit this body nearly as well? */
static bool has_rival(const struct ws_signature *sig, const struct ws_unit *unit,
		      const struct ws_scan *scan, size_t b, double best)
{
	size_t count;
	const struct ws_signature *signatures = ws_signatures(&count);

	for (size_t i = 0; i < count; i++) {
		if (&signatures[i] == sig || strcmp(signatures[i].file, unit->file) != 0 ||
		    is_named(unit, signatures[i].name))
			continue;
		if (score(&signatures[i], unit, scan, b) > best - MARGIN_MIN)
			return true;
	}
	return false;
}

static bool match_round(struct ws_unit *unit, const struct ws_scan *scan, const struct ws_log *log)
{
	size_t count;
	const struct ws_signature *signatures = ws_signatures(&count);
	bool progress = false;

	for (size_t i = 0; i < count; i++) {
		const struct ws_signature *sig = &signatures[i];
		double best;
		long b;

		if (strcmp(sig->file, unit->file) != 0 || is_named(unit, sig->name))
			continue;
		b = best_body(sig, unit, scan, &best);
		if (b < 0 || has_rival(sig, unit, scan, (size_t)b, best))
			continue;
		unit->names[b] = sig->name;
		unit->scores[b] = best;
		progress = true;
		ws_log(log, WS_LOG_DEBUG, "recovery: %s at 0x%llx, score %.2f", sig->name,
		       (unsigned long long)unit->bodies[b].range.start, best);
	}
	return progress;
}

void ws_unit_match(struct ws_unit *unit, const struct ws_scan *scan, const struct ws_log *log)
{
	for (int round = 0; round < ROUNDS_MAX; round++) {
		if (!match_round(unit, scan, log))
			return;
	}
}
