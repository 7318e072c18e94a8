/* SPDX-License-Identifier: BSD-2-Clause */
/* Where each body of a unit stands among the others, and what it shows of the unit's features. */
#include "symbol/recover_parts.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"

/* Exported functions that every function may call, as scripts/signatures has them. */
static const char *const noise[] = {
	"ExceptionalCondition",
	"elog_finish",
	"elog_start",
	"errcode",
	"errcode_for_file_access",
	"errdetail",
	"errdetail_internal",
	"errfinish",
	"errhint",
	"errmsg",
	"errmsg_internal",
	"errstart",
	"errstart_cold",
	"perform_spin_delay",
	"s_lock",
};

static bool is_noise(const char *name)
{
	for (size_t i = 0; i < WS_ARRAY_SIZE(noise); i++) {
		if (strcmp(noise[i], name) == 0)
			return true;
	}
	return false;
}

/* The functions that are told where an ereport stands come with the file's name; see
 * recover_evidence.c. */
static int connect_reports(struct ws_unit *unit, struct ws_body *body)
{
	const struct ws_evidence *evidence = &body->evidence;
	const struct ws_sig_unit *sig = &unit->sig;

	for (size_t i = 0; i < evidence->report_count; i++) {
		const struct ws_evidence_report *report = &evidence->reports[i];
		bool here = !report->file || strcmp(report->file, sig->file) == 0;
		long f = report->function ? ws_sig_function(sig, report->function) : -1;

		/* Inlined functions of headers report under the header's name. */
		if (f >= 0 && !here && sig->functions[f].is_own)
			f = -1;
		if (f >= 0 && !ws_indexes_add(&body->reports, (size_t)f))
			return -1;
		body->reports_stranger |= f < 0 && report->function && report->file && here;
	}
	for (size_t i = 0; i < evidence->reference_count; i++) {
		const char *text = evidence->references[i].text;
		long f = text ? ws_sig_function(sig, text) : -1;

		if (f >= 0 && sig->functions[f].reports &&
		    !ws_indexes_add(&body->reports, (size_t)f))
			return -1;
	}
	return 0;
}

static int add_edge(struct ws_unit *unit, size_t from, uint64_t address, bool is_call)
{
	long to = ws_unit_body(unit, address);
	struct ws_body *a = &unit->bodies[from], *b;

	if (to < 0)
		return 0;
	b = &unit->bodies[to];
	return ws_indexes_add(is_call ? &a->callees : &a->takes, (size_t)to) &&
			       ws_indexes_add(is_call ? &b->callers : &b->takers, from)
		       ? 0
		       : -1;
}

static int connect_edges(struct ws_unit *unit, size_t b)
{
	const struct ws_evidence *evidence = &unit->bodies[b].evidence;

	for (size_t i = 0; i < evidence->call_count; i++) {
		if (evidence->calls[i].target && add_edge(unit, b, evidence->calls[i].target, true))
			return -1;
	}
	for (size_t i = 0; i < evidence->reference_count; i++) {
		const struct ws_evidence_reference *ref = &evidence->references[i];
		uint64_t value;

		if (add_edge(unit, b, ref->address, false))
			return -1;
		for (uint64_t at = 0; ref->reads && at + 8 <= ref->size; at += 8) {
			if (!ws_image_is_code(unit->scan->image, ref->address + at) &&
			    ws_image_relocated(unit->scan->image, ref->address + at, &value) &&
			    add_edge(unit, b, value, false))
				return -1;
		}
	}
	return 0;
}

struct features {
	uint16_t *items; /* room for all of the unit's */
	uint64_t *seen;
	size_t count;
};

static bool add_feature(const struct ws_unit *unit, struct features *found, const char *name)
{
	long id = ws_sig_feature(&unit->sig, name);

	if (id < 0)
		return false;
	if (!ws_bit(found->seen, (size_t)id)) {
		ws_bit_set(found->seen, (size_t)id);
		found->items[found->count++] = (uint16_t)id;
	}
	unit->is_available[id] = true;
	return true;
}

static void collect_features(const struct ws_unit *unit, struct ws_body *body,
			     struct features *found)
{
	const struct ws_evidence *evidence = &body->evidence;

	for (size_t i = 0; i < evidence->call_count; i++) {
		const struct ws_evidence_call *call = &evidence->calls[i];

		/* An import that nobody mentions is the compiler's; an exported function is not. */
		if (call->name && !add_feature(unit, found, call->name) && call->target &&
		    ws_image_symbol(unit->scan->image, call->name) && !is_noise(call->name))
			body->strangers++;
	}
	for (size_t i = 0; i < evidence->reference_count; i++) {
		const struct ws_evidence_reference *ref = &evidence->references[i];
		char text[WS_SIG_STRING];

		if (ref->name)
			add_feature(unit, found, ref->name);
		else if (ref->text)
			add_feature(unit, found, ws_sig_string(ref->text, text));
	}
}

static int connect_features(struct ws_unit *unit)
{
	struct features found = { 0 };
	int rc = 0;

	found.items = calloc(unit->sig.feature_count + 1, sizeof(found.items[0]));
	found.seen = calloc(unit->sig.feature_words, sizeof(found.seen[0]));
	for (size_t b = 0; b < unit->count && found.items && found.seen && rc == 0; b++) {
		struct ws_body *body = &unit->bodies[b];

		memset(found.seen, 0, unit->sig.feature_words * sizeof(found.seen[0]));
		found.count = 0;
		collect_features(unit, body, &found);
		body->features = malloc((found.count + 1) * sizeof(found.items[0]));
		if (!body->features)
			rc = -1;
		else
			memcpy(body->features, found.items, found.count * sizeof(found.items[0]));
		body->feature_count = found.count;
	}
	if (!found.items || !found.seen)
		rc = -1;
	free(found.items);
	free(found.seen);
	return rc;
}

/* What an exported name says about itself. */
static void connect_names(struct ws_unit *unit)
{
	for (size_t f = 0; f < unit->sig.function_count; f++)
		unit->by_function[f] = -1;
	for (size_t b = 0; b < unit->count; b++) {
		struct ws_body *body = &unit->bodies[b];
		long f =
			body->evidence.name ? ws_sig_function(&unit->sig, body->evidence.name) : -1;

		if (f >= 0)
			ws_unit_name(unit, b, (size_t)f, 1);
	}
	for (size_t i = 0; i < unit->sig.feature_count; i++) {
		const struct ws_image_symbol *symbol =
			ws_image_symbol(unit->scan->image, unit->sig.features[i]);

		unit->is_available[i] |= symbol && symbol->is_dynamic;
	}
}

void ws_unit_name(struct ws_unit *unit, size_t body, size_t function, double score)
{
	unit->bodies[body].function = (long)function;
	unit->bodies[body].score = score;
	unit->by_function[function] = (long)body;
}

/* The exported function next to a function of the scan, in one direction (-1 or 1). */
static const char *neighbour(const struct ws_scan *scan, long i, long step)
{
	for (i += step; i >= 0 && (size_t)i < scan->count; i += step) {
		const struct ws_image_symbol *symbol =
			ws_image_symbol_at(scan->image, scan->functions[i].start);

		if (symbol && symbol->is_dynamic && symbol->is_function)
			return symbol->name;
	}
	return NULL;
}

/* Compilers keep the functions of a file together, unless they optimise several files at once. The
 * first and the last may be static. */
static bool is_local(const struct ws_unit *unit, long i)
{
	for (long step = -1; step <= 1; step += 2) {
		const char *name = neighbour(unit->scan, i, step);
		long f = name ? ws_sig_function(&unit->sig, name) : -1;

		if (f >= 0 && unit->sig.functions[f].is_own)
			return true;
	}
	return false;
}

static int connect_numbers(const struct ws_unit *unit, struct ws_body *body)
{
	body->numbers = calloc(unit->sig.number_words, sizeof(uint64_t));
	if (!body->numbers)
		return -1;
	for (size_t i = 0; i < body->evidence.number_count; i++) {
		long n = ws_sig_number(&unit->sig, body->evidence.numbers[i]);

		if (n >= 0)
			ws_bit_set(body->numbers, (size_t)n);
	}
	return 0;
}

int ws_unit_connect(struct ws_unit *unit)
{
	unit->by_function = calloc(unit->sig.function_count + 1, sizeof(unit->by_function[0]));
	unit->is_available = calloc(unit->sig.feature_count + 1, sizeof(unit->is_available[0]));
	unit->addresses = calloc(unit->sig.variable_count + 1, sizeof(unit->addresses[0]));
	unit->witnesses = calloc(unit->sig.variable_count + 1, sizeof(unit->witnesses[0]));
	if (!unit->by_function || !unit->is_available || !unit->addresses || !unit->witnesses ||
	    connect_features(unit))
		return -1;
	connect_names(unit);
	for (size_t b = 0; b < unit->count; b++) {
		long i = ws_scan_index(unit->scan, unit->bodies[b].evidence.range.start);

		if (connect_reports(unit, &unit->bodies[b]) || connect_edges(unit, b))
			return -1;
		unit->bodies[b].is_taken = i >= 0 && unit->scan->seen[i] & WS_SEEN_TAKEN;
		unit->bodies[b].is_local = i >= 0 && is_local(unit, i);
		unit->bodies[b].variables = calloc(unit->sig.variable_words, sizeof(uint64_t));
		if (!unit->bodies[b].variables || connect_numbers(unit, &unit->bodies[b]))
			return -1;
	}
	return 0;
}
