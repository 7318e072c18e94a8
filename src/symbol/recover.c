/* SPDX-License-Identifier: BSD-2-Clause */
/* The last step of the chain: names for functions whose names were stripped. */
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "symbol/image_parts.h"
#include "symbol/recover_parts.h"

#define NAME_MAX_LEN	    96
#define PART_CONFIDENCE	    0.9
#define VARIABLE_CONFIDENCE 0.95

/* Does the file itself call this address something else? */
static bool is_contradicted(const struct resolver *r, uint64_t address, const char *name)
{
	const struct ws_image_symbol *symbol = ws_image_symbol_at(r->image, address);

	if (!symbol || (r->options->no_debug_info && !symbol->is_dynamic))
		return false;
	return strcmp(symbol->name, name) != 0;
}

static bool claim(struct resolver *r, const char *name, const struct ws_body *body, double score)
{
	const struct ws_range *range = &body->evidence.range;
	long i = ws_resolver_index(r, name);

	if (i < 0 || !ws_resolver_is_open(r, (size_t)i))
		return false;
	if (!is_contradicted(r, range->start, name))
		return ws_resolver_claim(r, (size_t)i, WS_SOURCE_RECOVERED, range->start,
					 range->end - range->start, score);
	ws_resolver_refuse(r, (size_t)i, "the symbol table names its body otherwise");
	return false;
}

/* Wanted names carry the unit they are of: another may have a static function of the same name. */
static bool is_of_unit(const struct resolver *r, const struct ws_unit *unit, size_t f)
{
	const struct ws_sig_function *function = &unit->sig.functions[f];
	long i = ws_resolver_index(r, function->name);

	return i >= 0 && function->is_static && function->is_own &&
	       (!r->wanted[i].file || strcmp(r->wanted[i].file, unit->sig.file) == 0);
}

static void claim_bodies(struct resolver *r, const struct ws_unit *unit)
{
	for (size_t b = 0; b < unit->count; b++) {
		const struct ws_body *body = &unit->bodies[b];

		if (body->function >= 0 && !body->evidence.name &&
		    is_of_unit(r, unit, (size_t)body->function))
			claim(r, unit->sig.functions[body->function].name, body, body->score);
	}
}

/* Bytes that the named functions read or write of a variable; 0 if they do neither, or differ. */
static uint8_t variable_size(const struct ws_unit *unit, uint64_t address)
{
	uint8_t size = 0;

	for (size_t b = 0; b < unit->count; b++) {
		const struct ws_evidence *evidence = &unit->bodies[b].evidence;

		for (size_t i = 0; i < evidence->reference_count; i++) {
			const struct ws_evidence_reference *ref = &evidence->references[i];

			if (ref->address != address || !ref->size)
				continue;
			if (size && size != ref->size)
				return 0;
			size = ref->size;
		}
	}
	return size;
}

/* Static variables that are wanted. */
static void claim_variables(struct resolver *r, const struct ws_unit *unit)
{
	for (size_t i = 0; i < r->set->count; i++) {
		const struct ws_symbol_wanted *wanted = &r->wanted[i];
		long v = wanted->is_variable && wanted->file &&
					 strcmp(wanted->file, unit->sig.file) == 0
				 ? ws_sig_variable(&unit->sig, wanted->name)
				 : -1;

		if (v >= 0 && ws_unit_knows(unit, (size_t)v) &&
		    ws_unit_is_sole_variable(unit, (size_t)v) && ws_resolver_is_open(r, i))
			ws_resolver_claim(r, i, WS_SOURCE_RECOVERED, unit->addresses[v],
					  variable_size(unit, unit->addresses[v]),
					  VARIABLE_CONFIDENCE);
	}
}

/* NAME.part: the only body that reports as NAME and lacks nothing of it but the way past it. */
static int claim_parts(struct resolver *r, const struct ws_unit *unit)
{
	for (size_t f = 0; f < unit->sig.function_count; f++) {
		const struct ws_sig_function *function = &unit->sig.functions[f];
		char name[NAME_MAX_LEN];
		long found = -1;

		snprintf(name, sizeof(name), "%s.part", function->name);
		if (!function->reports || ws_resolver_index(r, name) < 0)
			continue;
		for (size_t b = 0; b < unit->count; b++) {
			if (unit->bodies[b].function >= 0 || unit->bodies[b].evidence.is_quick ||
			    !ws_unit_may_be_part(unit, f, b))
				continue;
			if (found >= 0) {
				found = -1;
				break;
			}
			found = (long)b;
		}
		/* What the part was split off stands in its callers. */
		if (found >= 0 && claim(r, name, &unit->bodies[found], PART_CONFIDENCE) &&
		    is_of_unit(r, unit, f) &&
		    ws_resolver_inlined(r, (size_t)ws_resolver_index(r, function->name),
					WS_SOURCE_RECOVERED, name))
			return -1;
	}
	return 0;
}

/* Could the feature have come into this body with another function than f? */
static bool has_other_source(const struct ws_unit *unit, size_t f, const struct ws_body *body,
			     size_t feature)
{
	const struct ws_sig_function *functions = unit->sig.functions;

	for (size_t i = 0; i < unit->sig.function_count; i++) {
		if (i != f && ws_bit(functions[i].own, feature) &&
		    (body->function < 0 || ws_bit(functions[body->function].closure, i)))
			return true;
	}
	return false;
}

/* Does this body, which is not its own, hold the code of the function? An ereport says so by name;
 * else there must be marks that come with nothing else, and all of them. */
static bool is_host(const struct ws_unit *unit, size_t f, const struct ws_body *body)
{
	const struct ws_sig_function *function = &unit->sig.functions[f];
	bool marked = false;

	if (body->function == (long)f)
		return false;
	if (function->reports)
		return ws_indexes_has(&body->reports, f);
	for (size_t i = 0; i < function->feature_count; i++) {
		const struct ws_sig_feature *feature = &function->features[i];

		if (!feature->is_required || !unit->is_available[feature->id] ||
		    has_other_source(unit, f, body, feature->id))
			continue;
		if (!ws_body_shows(body, feature->id))
			return false;
		marked = true;
	}
	return marked;
}

/* A name without a body is inlined where its marks are, if all of these places are known by name
 * and may have it inside. */
static int claim_inlined(struct resolver *r, const struct ws_unit *unit, size_t f)
{
	const struct ws_sig_unit *sig = &unit->sig;
	long i = ws_resolver_index(r, sig->functions[f].name);

	if (!is_of_unit(r, unit, f) || r->ambiguous[i] ||
	    r->set->symbols[i].status == WS_SYMBOL_ABSENT ||
	    r->set->symbols[i].source == WS_SOURCE_DWARF)
		return 0;
	for (size_t b = 0; b < unit->count; b++) {
		const struct ws_body *body = &unit->bodies[b];

		if (is_host(unit, f, body) &&
		    (body->function < 0 || !ws_bit(sig->functions[body->function].closure, f)))
			return 0;
	}
	for (size_t b = 0; b < unit->count; b++) {
		const struct ws_body *body = &unit->bodies[b];

		if (is_host(unit, f, body) &&
		    ws_resolver_inlined(r, (size_t)i, WS_SOURCE_RECOVERED,
					sig->functions[body->function].name))
			return -1;
	}
	return 0;
}

/* "PostgreSQL 15.18 on x86_64-pc-linux-gnu, compiled by Debian clang version 14.0.6, 64-bit" */
static bool is_clangs(const struct ws_image *image)
{
	static const char mark[] = "PostgreSQL ", compiler[] = ", compiled by ", clang[] = "clang";

	for (size_t i = 0; i < image->segment_count; i++) {
		const struct image_segment *seg = &image->segments[i];
		const uint8_t *p = seg->bytes, *end = seg->bytes + seg->file_size;

		while ((p = memmem(p, (size_t)(end - p), mark, strlen(mark))) != NULL) {
			size_t len = strnlen((const char *)p, (size_t)(end - p));
			const uint8_t *by = memmem(p, len, compiler, strlen(compiler));

			if (by)
				return memmem(by, len - (size_t)(by - p), clang, strlen(clang));
			p += len;
		}
	}
	return false;
}

static int recover_unit(struct resolver *r, const struct ws_scan *scan, size_t number,
			bool is_clang, struct ws_error *err)
{
	struct ws_unit unit;
	int rc = 0;

	if (ws_unit_load(&unit, scan, number, r->major, is_clang, err))
		return -1;
	ws_log(r->options->log, WS_LOG_DEBUG, "recovery: %s: %zu functions", unit.sig.file,
	       unit.count);
	ws_unit_match(&unit, r->options->log);
	claim_bodies(r, &unit);
	claim_variables(r, &unit);
	rc = claim_parts(r, &unit);
	for (size_t f = 0; f < unit.sig.function_count && rc == 0; f++)
		rc = claim_inlined(r, &unit, f);
	ws_unit_deinit(&unit);
	return rc ? ws_error_set(err, "cannot recover names", ws_image_path(r->image),
				 "memory exhausted")
		  : 0;
}

int ws_find_recovered(struct resolver *r, struct ws_error *err)
{
	bool is_clang = is_clangs(r->image);
	struct ws_scan scan;
	int rc;

	if (ws_scan_init(&scan, r->image, err))
		return -1;
	rc = 0;
	for (size_t u = 0; u < ws_sig_unit_count() && rc == 0; u++)
		rc = recover_unit(r, &scan, u, is_clang, err);
	if (rc == 0)
		rc = ws_recover_send_pointers(r, &scan, err);
	if (rc == 0)
		rc = ws_recover_variables(r, &scan, err);
	ws_scan_deinit(&scan);
	return rc;
}
