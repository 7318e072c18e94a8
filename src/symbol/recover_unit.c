/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The functions of one source file, in a binary that does not say which these are: the exported
 * ones, and the static functions they call or hand over, and so on. That needs no particular order
 * of functions, so LTO and reordering do not matter.
 */
#include "symbol/recover_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "symbol/image_parts.h"

/*
 * Functions of a unit. The largest of PostgreSQL's have some hundreds. Only the names of exported
 * functions keep units apart: in a server without them one unit reaches thousands, which are no
 * unit and take long to compare.
 */
#define UNIT_MAX  1000
#define TABLE_MAX 64 /* pointers of a table that are followed */

struct loading {
	struct ws_unit *unit;
	const struct ws_scan *scan;
	uint8_t *is_queued; /* parallel to the scan's functions */
	size_t *queue;
	size_t queue_count;
};

static void enqueue(struct loading *l, size_t function)
{
	if (l->is_queued[function] || ws_scan_is_fragment(l->scan, function))
		return;
	l->is_queued[function] = 1;
	l->queue[l->queue_count++] = function;
}

static bool is_exported(const struct ws_image *image, uint64_t address)
{
	const struct ws_image_symbol *symbol = ws_image_symbol_at(image, address);

	return symbol && symbol->is_dynamic;
}

static void enqueue_static(struct loading *l, uint64_t address)
{
	long i;

	if (is_exported(l->scan->image, address))
		return;
	i = ws_scan_index(l->scan, address);
	if (i >= 0 && l->scan->functions[i].start == address)
		enqueue(l, (size_t)i);
}

/* What a table of pointers holds, as far as it is one. */
static void enqueue_table(struct loading *l, uint64_t table, size_t max)
{
	const struct ws_image *image = l->scan->image;

	for (size_t i = 0; i < max; i++) {
		uint64_t value;

		if (ws_image_is_code(image, table + i * 8) ||
		    !ws_image_relocated(image, table + i * 8, &value))
			return;
		enqueue_static(l, value);
	}
}

/* Several pointers for one structure may be loaded at once, out of a constant. */
static void enqueue_referenced(struct loading *l, const struct ws_evidence_reference *ref)
{
	bool is_pie = ws_image_is_pie(l->scan->image);

	enqueue_static(l, ref->address);
	if (ref->reads)
		enqueue_table(l, ref->address, ref->size / 8);
	else if (!ref->writes && !ref->text && is_pie)
		enqueue_table(l, ref->address, TABLE_MAX);
}

static int add_body(struct ws_unit *unit, const struct ws_evidence *evidence, size_t scan_function)
{
	struct ws_body *body =
		ws_array_grow(&unit->bodies, &unit->count, &unit->cap, sizeof(*body));

	if (!body)
		return -1;
	body->evidence = *evidence;
	body->function = -1;
	unit->by_scan[scan_function] = (uint16_t)unit->count;
	return 0;
}

static int load_bodies(struct loading *l, struct ws_error *err)
{
	for (size_t q = 0; q < l->queue_count && l->queue_count <= UNIT_MAX; q++) {
		struct ws_evidence evidence;

		if (ws_evidence_gather(&evidence, l->scan, l->queue[q], err))
			return -1;
		if (add_body(l->unit, &evidence, l->queue[q])) {
			ws_evidence_deinit(&evidence);
			return ws_error_errno(err, ENOMEM, "cannot recover names",
					      ws_image_path(l->scan->image));
		}
		for (size_t i = 0; i < evidence.call_count; i++) {
			if (!evidence.calls[i].name)
				enqueue_static(l, evidence.calls[i].target);
		}
		for (size_t i = 0; i < evidence.reference_count; i++)
			enqueue_referenced(l, &evidence.references[i]);
	}
	return 0;
}

/* Functions that are exported under a name of the unit, and what exported variables point to. */
static void enqueue_exported(struct loading *l)
{
	const struct ws_sig_unit *sig = &l->unit->sig;
	const struct ws_image *image = l->scan->image;

	for (size_t f = 0; f < sig->function_count; f++) {
		const struct ws_image_symbol *symbol =
			ws_image_symbol(image, sig->functions[f].name);
		long i = symbol && symbol->is_dynamic && symbol->is_function
				 ? ws_scan_index(l->scan, symbol->address)
				 : -1;

		if (i >= 0 && l->scan->functions[i].start == symbol->address &&
		    (sig->functions[f].is_own || !sig->functions[f].is_static))
			enqueue(l, (size_t)i);
	}
	for (size_t t = 0; t < sig->table_count; t++) {
		const struct ws_image_symbol *symbol = ws_image_symbol(image, sig->tables[t].name);
		uint64_t pointer;

		if (!symbol || !symbol->is_dynamic || symbol->is_function)
			continue;
		enqueue_table(l, symbol->address, TABLE_MAX);
		if (ws_image_relocated(image, symbol->address, &pointer))
			enqueue_table(l, pointer, TABLE_MAX);
	}
}

int ws_unit_load(struct ws_unit *unit, const struct ws_scan *scan, size_t number, int major,
		 bool is_clang, struct ws_error *err)
{
	struct loading l = { .unit = unit, .scan = scan };
	int rc = -1;

	*unit = (struct ws_unit){ .scan = scan, .is_clang = is_clang };
	l.is_queued = calloc(scan->count + 1, 1);
	l.queue = calloc(scan->count + 1, sizeof(l.queue[0]));
	unit->by_scan = calloc(scan->count + 1, sizeof(unit->by_scan[0]));
	if (!l.is_queued || !l.queue || !unit->by_scan ||
	    ws_sig_unit_load(&unit->sig, number, major)) {
		ws_error_errno(err, ENOMEM, "cannot recover names", ws_image_path(scan->image));
	} else {
		enqueue_exported(&l);
		rc = load_bodies(&l, err);
		if (rc == 0 && ws_unit_connect(unit))
			rc = ws_error_errno(err, ENOMEM, "cannot recover names",
					    ws_image_path(scan->image));
	}
	free(l.is_queued);
	free(l.queue);
	if (rc)
		ws_unit_deinit(unit);
	return rc;
}

void ws_unit_deinit(struct ws_unit *unit)
{
	for (size_t i = 0; i < unit->count; i++) {
		struct ws_body *body = &unit->bodies[i];

		ws_evidence_deinit(&body->evidence);
		free(body->features);
		free(body->variables);
		free(body->numbers);
		free(body->callees.items);
		free(body->callers.items);
		free(body->takes.items);
		free(body->takers.items);
		free(body->reports.items);
	}
	free(unit->bodies);
	free(unit->by_function);
	free(unit->by_scan);
	free(unit->is_available);
	free(unit->addresses);
	free(unit->witnesses);
	ws_sig_unit_deinit(&unit->sig);
	*unit = (struct ws_unit){ 0 };
}

long ws_unit_body(const struct ws_unit *unit, uint64_t address)
{
	long i = ws_scan_index(unit->scan, address);

	if (i < 0 || unit->scan->functions[i].start != address)
		return -1;
	return (long)unit->by_scan[i] - 1;
}
