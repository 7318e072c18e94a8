/* SPDX-License-Identifier: BSD-2-Clause */
/* The last step of the chain: names for functions whose names were stripped. */
#include <string.h>

#include "base/util.h"
#include "symbol/recover_parts.h"

/* Does the file itself call this address something else? */
static bool is_contradicted(const struct resolver *r, uint64_t address, const char *name)
{
	const struct ws_image_symbol *symbol = ws_image_symbol_at(r->image, address);

	if (!symbol || (r->options->no_debug_info && !symbol->is_dynamic))
		return false;
	return strcmp(symbol->name, name) != 0;
}

static void claim_bodies(struct resolver *r, const struct ws_unit *unit)
{
	for (size_t b = 0; b < unit->count; b++) {
		const struct ws_evidence *body = &unit->bodies[b];
		long i = unit->names[b] && !body->name ? ws_resolver_index(r, unit->names[b]) : -1;

		if (i < 0 || !ws_resolver_is_open(r, (size_t)i))
			continue;
		if (is_contradicted(r, body->range.start, unit->names[b]))
			ws_resolver_refuse(r, (size_t)i,
					   "the symbol table names its body otherwise");
		else
			ws_resolver_claim(r, (size_t)i, WS_SOURCE_RECOVERED, body->range.start,
					  body->range.end - body->range.start, unit->scores[b]);
	}
}

/* Does this body hold the code of the signature's function? */
static bool is_host(const struct ws_signature *sig, const struct ws_unit *unit,
		    const struct ws_scan *scan, size_t b)
{
	const struct ws_evidence *body = &unit->bodies[b];

	if (unit->names[b] && strcmp(unit->names[b], sig->name) == 0)
		return false;
	if (sig->reports)
		return ws_evidence_reports(body, sig->file, sig->name);
	return sig->keys && unit->names[b] && ws_names_has(sig->hosts, unit->names[b]) &&
	       ws_unit_uses_all(unit, scan, body, sig->keys);
}

/* A name without a body is inlined where its marks are, if all of these places are known by name.
 */
static int claim_inlined(struct resolver *r, const struct ws_signature *sig,
			 const struct ws_unit *unit, const struct ws_scan *scan)
{
	long i = ws_resolver_index(r, sig->name);

	if (i < 0 || r->ambiguous[i] || r->set->symbols[i].status == WS_SYMBOL_ABSENT ||
	    r->set->symbols[i].source == WS_SOURCE_DWARF)
		return 0;
	for (size_t b = 0; b < unit->count; b++) {
		if (is_host(sig, unit, scan, b) && !unit->names[b])
			return 0;
	}
	for (size_t b = 0; b < unit->count; b++) {
		if (is_host(sig, unit, scan, b) &&
		    ws_resolver_inlined(r, (size_t)i, WS_SOURCE_RECOVERED, unit->names[b]))
			return -1;
	}
	return 0;
}

static int recover_unit(struct resolver *r, const struct ws_scan *scan, const char *file,
			struct ws_error *err)
{
	size_t count;
	const struct ws_signature *signatures = ws_signatures(&count);
	struct ws_unit unit;
	int rc = 0;

	if (ws_unit_load(&unit, scan, file, err))
		return -1;
	ws_log(r->options->log, WS_LOG_DEBUG, "recovery: %s: %zu functions", file, unit.count);
	ws_unit_match(&unit, scan, r->options->log);
	claim_bodies(r, &unit);
	for (size_t i = 0; i < count && rc == 0; i++) {
		if (strcmp(signatures[i].file, file) == 0)
			rc = claim_inlined(r, &signatures[i], &unit, scan);
	}
	ws_unit_deinit(&unit);
	return rc ? ws_error_set(err, "cannot recover names", ws_image_path(r->image),
				 "memory exhausted")
		  : 0;
}

/* Each file of the table once; its signatures stand together. */
static int recover_units(struct resolver *r, const struct ws_scan *scan, struct ws_error *err)
{
	size_t count;
	const struct ws_signature *signatures = ws_signatures(&count);

	for (size_t i = 0; i < count; i++) {
		if (i && strcmp(signatures[i].file, signatures[i - 1].file) == 0)
			continue;
		if (recover_unit(r, scan, signatures[i].file, err))
			return -1;
	}
	return 0;
}

int ws_find_recovered(struct resolver *r, struct ws_error *err)
{
	struct ws_scan scan;
	int rc;

	if (ws_image_arch(r->image) != WS_ARCH_X86_64) {
		ws_log(r->options->log, WS_LOG_INFO, "recovery: not for %s",
		       ws_image_arch_name(ws_image_arch(r->image)));
		return 0;
	}
	if (ws_scan_init(&scan, r->image, err))
		return -1;
	rc = recover_units(r, &scan, err);
	if (rc == 0)
		rc = ws_recover_slots(r, &scan, err);
	if (rc == 0)
		rc = ws_recover_variables(r, &scan, err);
	ws_scan_deinit(&scan);
	return rc;
}
