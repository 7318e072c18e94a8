/* SPDX-License-Identifier: BSD-2-Clause */
#include "symbol/resolve_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

/* In the order in which they are asked. Separate debug files come between DWARF and recovery. */
static const struct ws_finder finders[] = {
	{ "dynsym", false, false, ws_find_dynsym },
	{ "symtab", true, false, ws_find_symtab },
	{ "dwarf", true, false, ws_find_dwarf },
	{ "recovery", false, true, ws_find_recovered },
};

bool ws_resolver_is_open(const struct resolver *r, size_t i)
{
	return r->set->symbols[i].status == WS_SYMBOL_UNKNOWN && !r->ambiguous[i];
}

bool ws_resolver_claim(struct resolver *r, size_t i, enum ws_symbol_source source, uint64_t address,
		       uint64_t size, double confidence)
{
	struct ws_symbol *symbol = &r->set->symbols[i];
	bool valid = symbol->is_variable ? ws_image_is_mapped(r->image, address) &&
						   !ws_image_is_code(r->image, address)
					 : ws_image_is_code(r->image, address);

	if (!address || !valid) {
		ws_log(r->options->log, WS_LOG_INFO, "%s: %s says 0x%llx, which is no %s: ignored",
		       symbol->name, ws_symbol_source_name(source), (unsigned long long)address,
		       symbol->is_variable ? "data" : "code");
		return false;
	}
	symbol->status = WS_SYMBOL_FOUND;
	symbol->source = source;
	symbol->address = address;
	symbol->size = size;
	symbol->confidence = confidence;
	return true;
}

void ws_resolver_refuse(struct resolver *r, size_t i, const char *why)
{
	ws_log(r->options->log, WS_LOG_INFO, "%s: %s: stays unknown", r->set->symbols[i].name, why);
	r->ambiguous[i] = true;
}

long ws_resolver_index(const struct resolver *r, const char *name)
{
	const struct ws_symbol *symbol = ws_symbol_find(r->set, name);

	return symbol ? symbol - r->set->symbols : -1;
}

/* The wanted list's own copy of the name, else one that the set owns. */
static const char *keep_name(struct resolver *r, const char *name)
{
	long i = ws_resolver_index(r, name);
	char **string;

	if (i >= 0)
		return r->wanted[i].name;
	string = ws_array_grow(&r->set->strings, &r->set->string_count, &r->set->string_cap,
			       sizeof(*string));
	if (!string)
		return NULL;
	return *string = strdup(name);
}

int ws_resolver_inlined(struct resolver *r, size_t i, enum ws_symbol_source source,
			const char *into)
{
	struct ws_symbol *symbol = &r->set->symbols[i];
	size_t n;

	if (symbol->status == WS_SYMBOL_UNKNOWN) {
		symbol->status = WS_SYMBOL_INLINED;
		symbol->source = source;
		symbol->confidence = 1;
	}
	for (n = 0; n < WS_SYMBOL_INTO_MAX && symbol->into[n]; n++) {
		if (strcmp(symbol->into[n], into) == 0)
			return 0;
	}
	if (n == WS_SYMBOL_INTO_MAX)
		return 0;
	symbol->into[n] = keep_name(r, into);
	return symbol->into[n] ? 0 : -1;
}

static void mark_absent(struct resolver *r)
{
	for (size_t i = 0; r->major && i < r->set->count; i++) {
		const struct ws_symbol_wanted *w = &r->wanted[i];

		if (r->major < w->first_major || (w->last_major && r->major > w->last_major))
			r->set->symbols[i].status = WS_SYMBOL_ABSENT;
	}
}

/* Two names for one body: the weaker claims fall, all of them. */
static void drop_shared_addresses(struct resolver *r)
{
	struct ws_symbol *symbols = r->set->symbols;

	for (size_t i = 0; i < r->set->count; i++) {
		bool shared = false;

		if (symbols[i].status != WS_SYMBOL_FOUND ||
		    symbols[i].source != WS_SOURCE_RECOVERED)
			continue;
		for (size_t j = 0; j < r->set->count; j++)
			shared |= j != i && symbols[j].status == WS_SYMBOL_FOUND &&
				  symbols[j].address == symbols[i].address;
		if (shared)
			ws_resolver_refuse(r, i, "another name was recovered at the same address");
	}
	for (size_t i = 0; i < r->set->count; i++) {
		if (r->ambiguous[i] && symbols[i].source == WS_SOURCE_RECOVERED)
			symbols[i] = (struct ws_symbol){ .name = symbols[i].name,
							 .is_variable = symbols[i].is_variable };
	}
}

static size_t count_found(const struct ws_symbol_set *set)
{
	size_t found = 0;

	for (size_t i = 0; i < set->count; i++)
		found += set->symbols[i].status == WS_SYMBOL_FOUND;
	return found;
}

static int run_finders(struct resolver *r, struct ws_error *err)
{
	for (size_t i = 0; i < WS_ARRAY_SIZE(finders); i++) {
		const struct ws_finder *finder = &finders[i];
		size_t before = count_found(r->set);
		uint64_t start = ws_clock_mono_ns();
		char took[WS_DURATION_TEXT];

		if ((finder->is_debug_info && r->options->no_debug_info) ||
		    (finder->is_recovery && r->options->no_recovery)) {
			ws_log(r->options->log, WS_LOG_INFO, "%s: switched off", finder->name);
			continue;
		}
		if (finder->find(r, err))
			return -1;
		ws_log(r->options->log, WS_LOG_INFO, "%s: %zu names found in %s", finder->name,
		       count_found(r->set) - before,
		       ws_duration_format(ws_clock_mono_ns() - start, took));
	}
	drop_shared_addresses(r);
	return 0;
}

static int set_init(struct ws_symbol_set *set, const struct ws_symbol_wanted *wanted, size_t count)
{
	*set = (struct ws_symbol_set){ .symbols = calloc(count, sizeof(set->symbols[0])) };
	if (!set->symbols)
		return -1;
	set->count = count;
	for (size_t i = 0; i < count; i++) {
		set->symbols[i].name = wanted[i].name;
		set->symbols[i].is_variable = wanted[i].is_variable;
	}
	return 0;
}

int ws_resolve(const struct ws_image *image, const struct ws_resolve_options *options,
	       struct ws_symbol_set *set, struct ws_error *err)
{
	struct resolver r = { .image = image, .options = options, .set = set };
	uint64_t start = ws_clock_mono_ns();
	char version[WS_VERSION_TEXT];
	ws_autofree bool *ambiguous = NULL;
	size_t count;
	int rc = 0;

	r.wanted = ws_symbol_wanted(&count);
	r.ambiguous = ambiguous = calloc(count, sizeof(bool));
	if (!ambiguous || set_init(set, r.wanted, count))
		return ws_error_errno(err, ENOMEM, "cannot resolve symbols", ws_image_path(image));
	if (!ws_image_server_version(image, version, &r.major))
		r.major = 0;
	mark_absent(&r);
	set->from_cache = ws_cache_read(&r);
	if (!set->from_cache) {
		rc = run_finders(&r, err);
		if (rc == 0)
			ws_cache_write(&r);
	}
	set->resolve_ns = ws_clock_mono_ns() - start;
	if (rc)
		ws_symbol_set_deinit(set);
	return rc;
}

void ws_symbol_set_deinit(struct ws_symbol_set *set)
{
	for (size_t i = 0; i < set->string_count; i++)
		free(set->strings[i]);
	free(set->strings);
	free(set->symbols);
	*set = (struct ws_symbol_set){ 0 };
}

static int compare_name(const void *key, const void *element)
{
	return strcmp(key, ((const struct ws_symbol *)element)->name);
}

const struct ws_symbol *ws_symbol_find(const struct ws_symbol_set *set, const char *name)
{
	if (!set->count)
		return NULL;
	return bsearch(name, set->symbols, set->count, sizeof(set->symbols[0]), compare_name);
}

uint64_t ws_symbol_address(const struct ws_symbol_set *set, const char *name)
{
	const struct ws_symbol *symbol = ws_symbol_find(set, name);

	return symbol && symbol->status == WS_SYMBOL_FOUND ? symbol->address : 0;
}

const char *ws_symbol_status_name(enum ws_symbol_status status)
{
	static const char *const names[] = { "unknown", "found", "inlined", "absent" };

	return status < WS_ARRAY_SIZE(names) ? names[status] : "unknown";
}

const char *ws_symbol_source_name(enum ws_symbol_source source)
{
	static const char *const names[] = {
		"",	     "symtab",	      "dynsym",	    "dwarf",
		"debuglink", "minidebuginfo", "debuginfod", "recovered"
	};

	return source < WS_ARRAY_SIZE(names) ? names[source] : "";
}
