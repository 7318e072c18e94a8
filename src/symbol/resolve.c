/* SPDX-License-Identifier: BSD-2-Clause */
#include "symbol/resolve_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "symbol/image_parts.h"

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

const char *ws_resolver_keep(struct resolver *r, const char *text)
{
	char **string = ws_array_grow(&r->set->strings, &r->set->string_count, &r->set->string_cap,
				      sizeof(*string));

	return string ? *string = strdup(text) : NULL;
}

/* The wanted list's own copy of the name, else one that the set owns. */
static const char *keep_name(struct resolver *r, const char *name)
{
	long i = ws_resolver_index(r, name);

	return i >= 0 ? r->wanted[i].name : ws_resolver_keep(r, name);
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

static bool is_separate(enum ws_step step)
{
	return step == WS_STEP_BUILD_ID || step == WS_STEP_DEBUGLINK ||
	       step == WS_STEP_MINIDEBUGINFO || step == WS_STEP_DEBUGINFOD;
}

/* Debug files that come after one with everything have nothing to add, and cost time. */
static bool is_needed(const struct resolver *r, enum ws_step step)
{
	bool is_open = false;

	for (size_t i = 0; i < r->set->count && !is_open; i++)
		is_open = ws_resolver_is_open(r, i);
	if (step == WS_STEP_DWARF) /* tells also what else is inlined where */
		return true;
	if (is_separate(step) && r->has_dwarf)
		return false;
	return is_open && (step != WS_STEP_MINIDEBUGINFO || !r->has_names);
}

static int read_debug_file(struct resolver *r, enum ws_step step, enum ws_symbol_source source,
			   struct ws_step_report *report, struct ws_error *err)
{
	const struct ws_debug_file *file = ws_debug_file(r->debug, step);

	report->outcome = file ? WS_STEP_DONE : WS_STEP_NOTHING;
	if (!file)
		return 0;
	if (is_separate(step) && step != WS_STEP_MINIDEBUGINFO) {
		report->file = ws_resolver_keep(r, file->path);
		if (!report->file)
			return ws_error_errno(err, ENOMEM, "cannot resolve symbols", file->path);
	}
	if (step == WS_STEP_DWARF && !file->dwarf)
		report->outcome = WS_STEP_NOTHING;
	if (file->names) {
		ws_find_names(r, file->names, false, source);
		r->has_names = true;
	}
	return ws_find_dwarf(r, file, source, err);
}

static int take_step(struct resolver *r, enum ws_step step, struct ws_step_report *report,
		     struct ws_error *err)
{
	report->outcome = WS_STEP_DONE;
	switch (step) {
	case WS_STEP_DYNSYM:
		ws_find_names(r, ws_image_names(r->image), true, WS_SOURCE_DYNSYM);
		return 0;
	case WS_STEP_SYMTAB:
		r->has_names = !ws_image_is_stripped(r->image);
		if (r->has_names)
			ws_find_names(r, ws_image_names(r->image), false, WS_SOURCE_SYMTAB);
		else
			report->outcome = WS_STEP_NOTHING;
		return 0;
	case WS_STEP_DWARF:
		return read_debug_file(r, step, WS_SOURCE_DWARF, report, err);
	case WS_STEP_BUILD_ID:
	case WS_STEP_DEBUGLINK:
		return read_debug_file(r, step, WS_SOURCE_DEBUGLINK, report, err);
	case WS_STEP_MINIDEBUGINFO:
		return read_debug_file(r, step, WS_SOURCE_MINIDEBUGINFO, report, err);
	case WS_STEP_DEBUGINFOD:
		return read_debug_file(r, step, WS_SOURCE_DEBUGINFOD, report, err);
	case WS_STEP_RECOVERY:
		return ws_find_recovered(r, err);
	default: /* dwz's file is opened with the one that needs it */
		return 0;
	}
}

static void log_step(const struct resolver *r, enum ws_step step)
{
	const struct ws_step_report *report = &r->set->steps[step];
	char took[WS_DURATION_TEXT];

	switch (report->outcome) {
	case WS_STEP_NOT_NEEDED:
		ws_log(r->options->log, WS_LOG_INFO, "%s: not needed", ws_step_name(step));
		break;
	case WS_STEP_OFF:
		ws_log(r->options->log, WS_LOG_INFO, "%s: switched off", ws_step_name(step));
		break;
	case WS_STEP_NOTHING:
		ws_log(r->options->log, WS_LOG_INFO, "%s: there is none", ws_step_name(step));
		break;
	case WS_STEP_DONE:
		ws_log(r->options->log, WS_LOG_INFO, "%s%s%s: %zu names found in %s",
		       ws_step_name(step), report->file ? ": " : "",
		       report->file ? report->file : "", report->found,
		       ws_duration_format(report->took_ns, took));
		break;
	}
}

static int run_steps(struct resolver *r, struct ws_error *err)
{
	for (int i = 0; i < WS_STEP_COUNT; i++) {
		enum ws_step step = (enum ws_step)i;
		struct ws_step_report *report = &r->set->steps[i];
		size_t before = count_found(r->set);
		uint64_t start = ws_clock_mono_ns();

		if (step == WS_STEP_ALTLINK)
			continue;
		if (r->skip & WS_STEP_BIT(step))
			report->outcome = WS_STEP_OFF;
		else if (is_needed(r, step) && take_step(r, step, report, err))
			return -1;
		report->found = count_found(r->set) - before;
		report->took_ns = ws_clock_mono_ns() - start;
		log_step(r, step);
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

/* A server of debug information that does not answer today may do so tomorrow. */
static bool is_lasting(const struct resolver *r)
{
	return r->set->steps[WS_STEP_DEBUGINFOD].outcome != WS_STEP_NOTHING ||
	       !getenv("DEBUGINFOD_URLS");
}

static int resolve(struct resolver *r, struct ws_error *err)
{
	char version[WS_VERSION_TEXT];
	int rc = 0;

	if (!ws_image_server_version(r->image, version, &r->major))
		r->major = 0;
	mark_absent(r);
	r->set->from_cache = ws_cache_read(r);
	if (r->set->from_cache)
		ws_log(r->options->log, WS_LOG_INFO, "symbol cache: all names are from there");
	if (!r->set->from_cache) {
		rc = run_steps(r, err);
		if (rc == 0 && is_lasting(r))
			ws_cache_write(r);
	}
	return rc;
}

static void set_skip(struct resolver *r)
{
	r->skip = r->options->skip;
	if (r->options->no_debug_info)
		r->skip |= WS_STEPS_DEBUG_INFO;
	if (r->options->no_recovery)
		r->skip |= WS_STEP_BIT(WS_STEP_RECOVERY);
	for (int i = 0; r->debug && i < WS_STEP_COUNT; i++) {
		if (ws_debug_skips(r->debug, (enum ws_step)i))
			r->skip |= WS_STEP_BIT(i);
	}
}

int ws_resolve(const struct ws_image *image, const struct ws_resolve_options *options,
	       struct ws_symbol_set *set, struct ws_error *err)
{
	struct resolver r = {
		.image = image, .options = options, .set = set, .debug = options->debug
	};
	struct ws_debug *own = NULL;
	uint64_t start = ws_clock_mono_ns();
	ws_autofree struct ws_symbol_wanted *all = NULL;
	ws_autofree bool *ambiguous = NULL;
	size_t count;
	int rc = -1;

	set_skip(&r);
	if (!r.debug)
		own = r.debug = ws_debug_new(
			image, &(struct ws_debug_options){ .skip = r.skip, .log = options->log });
	r.wanted = options->all ? all = ws_symbol_wanted_all(&count) : ws_symbol_wanted(&count);
	r.ambiguous = ambiguous = calloc(count, sizeof(bool));
	*set = (struct ws_symbol_set){ 0 };
	if (!r.debug || !r.wanted || !ambiguous || set_init(set, r.wanted, count))
		ws_error_errno(err, ENOMEM, "cannot resolve symbols", ws_image_path(image));
	else
		rc = resolve(&r, err);
	set->resolve_ns = ws_clock_mono_ns() - start;
	if (rc)
		ws_symbol_set_deinit(set);
	ws_debug_free(own);
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
