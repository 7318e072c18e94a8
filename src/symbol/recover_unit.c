/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The functions of one source file, in a binary that does not say which these are: all that name
 * the file in an ereport, and the static functions they call or hand over, and so on. That needs no
 * particular order of functions, so LTO and reordering do not matter.
 */
#include "symbol/recover_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "symbol/image_parts.h"

#define FILE_STRINGS_MAX 16

/*
 * Functions of a unit. The largest of PostgreSQL's have some hundreds. Only the names of exported
 * functions keep units apart: in a server without them one unit reaches thousands, which are no
 * unit and take long to compare.
 */
#define UNIT_MAX 1000

struct loading {
	struct ws_unit *unit;
	const struct ws_scan *scan;
	uint8_t *is_queued; /* parallel to the scan's functions */
	size_t *queue;
	size_t queue_count;
};

bool ws_names_next(const char **at, char *name, size_t size)
{
	size_t len;

	if (!*at)
		return false;
	*at += strspn(*at, " ");
	len = strcspn(*at, " ");
	if (len == 0 || len >= size)
		return false;
	memcpy(name, *at, len);
	name[len] = '\0';
	*at += len;
	return true;
}

bool ws_names_has(const char *names, const char *name)
{
	char one[80];

	while (ws_names_next(&names, one, sizeof(one))) {
		if (strcmp(one, name) == 0)
			return true;
	}
	return false;
}

/* Addresses at which a path that ends in `file` begins, and of its last component. */
static size_t find_file_strings(const struct ws_image *image, const char *file,
				uint64_t found[FILE_STRINGS_MAX])
{
	size_t len = strlen(file), count = 0;

	for (size_t i = 0; i < image->segment_count; i++) {
		const struct image_segment *seg = &image->segments[i];
		const uint8_t *p = seg->bytes, *end = seg->bytes + seg->file_size;

		while ((p = memmem(p, (size_t)(end - p), file, len + 1)) != NULL) {
			const uint8_t *start = p;

			while (start > seg->bytes && start[-1] >= ' ' && start[-1] < 0x7f)
				start--;
			if ((start == p || p[-1] == '/') && count + 2 <= FILE_STRINGS_MAX) {
				found[count++] = seg->vaddr + (uint64_t)(start - seg->bytes);
				if (start != p)
					found[count++] = seg->vaddr + (uint64_t)(p - seg->bytes);
			}
			p += len;
		}
	}
	return count;
}

static void enqueue(struct loading *l, size_t function)
{
	if (l->is_queued[function] || ws_scan_is_fragment(l->scan, function))
		return;
	l->is_queued[function] = 1;
	l->queue[l->queue_count++] = function;
}

static void enqueue_reference(void *arg, size_t function)
{
	struct loading *l = arg;
	const struct ws_scan *scan = l->scan;

	if (!ws_scan_is_fragment(scan, function))
		enqueue(l, function);
	else
		l->is_queued[function] = 2; /* its owner is looked for below */
}

/* A cold part may hold the only reference: whoever names its start jumps there and owns it. */
static int enqueue_owners(struct loading *l, struct ws_error *err)
{
	const struct ws_scan *scan = l->scan;
	uint64_t *starts = calloc(scan->count, sizeof(*starts));
	size_t count = 0;

	if (!starts)
		return ws_error_errno(err, ENOMEM, "cannot recover names",
				      ws_image_path(scan->image));
	for (size_t f = 0; f < scan->count; f++) {
		if (l->is_queued[f] == 2)
			starts[count++] = scan->functions[f].start;
	}
	for (size_t f = 0; f < scan->count; f++) {
		if (l->is_queued[f] == 2)
			l->is_queued[f] = 1;
	}
	ws_scan_references(scan, starts, count, enqueue_reference, l);
	free(starts);
	return 0;
}

static int compare_u64(const void *pa, const void *pb)
{
	uint64_t a = *(const uint64_t *)pa, b = *(const uint64_t *)pb;

	return a < b ? -1 : a > b;
}

static void enqueue_static(struct loading *l, uint64_t address)
{
	const struct ws_image_symbol *symbol = ws_image_symbol_at(l->scan->image, address);
	long i;

	if (symbol && symbol->is_dynamic)
		return;
	i = ws_scan_index(l->scan, address);
	if (i >= 0 && l->scan->functions[i].start == address)
		enqueue(l, (size_t)i);
}

/* Several pointers for one structure may be loaded at once, out of a constant. */
static void enqueue_pointers(struct loading *l, const struct ws_evidence_reference *ref)
{
	for (uint64_t at = 0; ref->reads && at + 8 <= ref->size; at += 8) {
		uint64_t value;

		if (!ws_image_is_code(l->scan->image, ref->address + at) &&
		    ws_image_relocated(l->scan->image, ref->address + at, &value))
			enqueue_static(l, value);
	}
}

static int add_body(struct ws_unit *unit, const struct ws_evidence *body)
{
	if (unit->count == unit->cap) {
		size_t cap = unit->cap ? unit->cap * 2 : 64;
		struct ws_evidence *bodies = reallocarray(unit->bodies, cap, sizeof(*bodies));
		const char **names;
		double *scores;

		if (bodies)
			unit->bodies = bodies;
		names = reallocarray(unit->names, cap, sizeof(*names));
		if (names)
			unit->names = names;
		scores = reallocarray(unit->scores, cap, sizeof(*scores));
		if (scores)
			unit->scores = scores;
		if (!bodies || !names || !scores)
			return -1;
		unit->cap = cap;
	}
	unit->bodies[unit->count] = *body;
	unit->names[unit->count] = body->name;
	unit->scores[unit->count] = body->name ? 1 : 0;
	unit->count++;
	return 0;
}

static int load_bodies(struct loading *l, struct ws_error *err)
{
	for (size_t q = 0; q < l->queue_count; q++) {
		struct ws_evidence body;

		if (l->queue_count > UNIT_MAX) {
			const char *file = l->unit->file;

			ws_unit_deinit(l->unit);
			l->unit->file = file;
			return 0;
		}
		if (ws_evidence_gather(&body, l->scan, l->queue[q], err))
			return -1;
		if (add_body(l->unit, &body)) {
			ws_evidence_deinit(&body);
			return ws_error_errno(err, ENOMEM, "cannot recover names",
					      ws_image_path(l->scan->image));
		}
		for (size_t i = 0; i < body.call_count; i++) {
			if (!body.calls[i].name)
				enqueue_static(l, body.calls[i].target);
		}
		for (size_t i = 0; i < body.reference_count; i++) {
			enqueue_static(l, body.references[i].address);
			enqueue_pointers(l, &body.references[i]);
		}
	}
	return 0;
}

int ws_unit_load(struct ws_unit *unit, const struct ws_scan *scan, const char *file,
		 struct ws_error *err)
{
	struct loading l = { .unit = unit, .scan = scan };
	uint64_t strings[FILE_STRINGS_MAX];
	size_t count = find_file_strings(scan->image, file, strings);
	int rc = -1;

	*unit = (struct ws_unit){ .file = file };
	qsort(strings, count, sizeof(strings[0]), compare_u64);
	l.is_queued = calloc(scan->count + 1, 1);
	l.queue = calloc(scan->count + 1, sizeof(l.queue[0]));
	if (!l.is_queued || !l.queue) {
		ws_error_errno(err, ENOMEM, "cannot recover names", ws_image_path(scan->image));
	} else {
		ws_scan_references(scan, strings, count, enqueue_reference, &l);
		rc = enqueue_owners(&l, err);
		if (rc == 0)
			rc = load_bodies(&l, err);
	}
	free(l.is_queued);
	free(l.queue);
	if (rc)
		ws_unit_deinit(unit);
	return rc;
}

void ws_unit_deinit(struct ws_unit *unit)
{
	for (size_t i = 0; i < unit->count; i++)
		ws_evidence_deinit(&unit->bodies[i]);
	free(unit->bodies);
	free(unit->names);
	free(unit->scores);
	*unit = (struct ws_unit){ 0 };
}

long ws_unit_body(const struct ws_unit *unit, uint64_t address)
{
	for (size_t i = 0; i < unit->count; i++) {
		if (unit->bodies[i].range.start == address)
			return (long)i;
	}
	return -1;
}
