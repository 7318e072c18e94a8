/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of signatures, as the matching wants it: one unit, seen from one major. */
#include "symbol/recover_parts.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

#define TOKEN_MAX    128
#define STRING_CHARS 24 /* as scripts/signatures has it */
#define SLOTS_MAX    1024

enum raw_kind { RAW_UNIT, RAW_FUNCTION, RAW_TABLE };

/* A row of signatures.inc. The masks say which versions; bit n is element n of `versions`. */
struct raw {
	enum raw_kind kind;
	const char *name;
	uint8_t mask;	   /* have it */
	uint8_t is_static; /* do not export it */
	uint8_t is_own, reports, is_quick;
	/*
	 * Separated by blanks, each with a mask behind a slash if not all versions that have the
	 * function have it: name (exported), ^name (the same, in front of the first branch of a
	 * function that has a way on which it calls nothing), "string, =function called and
	 * &function handed over (static ones of the unit), %variable (static) and !variable (as
	 * ^name), .offset from a pointer and #number, ?.offset and ?#number (which optimised code
	 * may show, and need not). In tables: slot:name or slot:%table.
	 */
	const char *tokens;
};

#define VERSIONS(...)
#define UNIT(file) { RAW_UNIT, file, 0, 0, 0, 0, 0, NULL },
#define FUNCTION(name, mask, is_static, own, reports, quick, tokens) \
	{ RAW_FUNCTION, name, mask, is_static, own, reports, quick, tokens },
#define TABLE(name, mask, is_static, tokens) { RAW_TABLE, name, mask, is_static, 0, 0, 0, tokens },
static const struct raw rows[] = {
#include "symbol/signatures.inc"
};
#undef VERSIONS
#undef UNIT
#undef FUNCTION
#undef TABLE

#define VERSIONS(...) static const int versions[] = { __VA_ARGS__ };
#define UNIT(file)
#define FUNCTION(name, mask, is_static, own, reports, quick, tokens)
#define TABLE(name, mask, is_static, tokens)
#include "symbol/signatures.inc"

/* A token in parts. */
struct token {
	char kind; /* 0 for an exported name */
	bool is_head;
	bool is_optional; /* a number that need not be there */
	char name[TOKEN_MAX];
	uint8_t mask;
};

static bool next_token(const char **at, uint8_t all, struct token *token)
{
	size_t len, name;
	const char *slash;

	*at += strspn(*at, " ");
	token->is_optional = **at == '?';
	*at += token->is_optional;
	len = strcspn(*at, " ");
	if (len == 0 || len >= TOKEN_MAX)
		return false;
	slash = memchr(*at, '/', len);
	name = slash ? (size_t)(slash - *at) : len;
	token->mask = slash ? (uint8_t)strtoul(slash + 1, NULL, 10) : all;
	token->kind = strchr("\"=&%^!.#", **at) ? **at : '\0';
	token->is_head = **at == '^' || **at == '!';
	/* A string keeps its mark: a feature is told from a name by it. */
	memcpy(token->name, *at + (token->kind && token->kind != '"'), name);
	token->name[name - (token->kind && token->kind != '"')] = '\0';
	if (token->is_head)
		token->kind = token->kind == '!' ? '%' : '\0';
	*at += len;
	return true;
}

/* The versions to compare a major with: its own, or those around it. */
static uint8_t versions_of(int major)
{
	uint8_t below = 0, above = 0;

	for (size_t i = 0; i < WS_ARRAY_SIZE(versions); i++) {
		uint8_t bit = (uint8_t)(1 << i);

		if (versions[i] == major)
			return bit;
		if (versions[i] < major)
			below = bit;
		else if (!above)
			above = bit;
	}
	return major ? below | above : (uint8_t)((1 << WS_ARRAY_SIZE(versions)) - 1);
}

/* The majors that have what has this mask. Of majors that no version stands for, the benefit of the
 * doubt: what may merely not have been found must not be called absent. */
static void majors_of(uint8_t mask, struct ws_symbol_wanted *wanted)
{
	size_t first = 0, last = WS_ARRAY_SIZE(versions) - 1;

	while (!(mask >> first & 1))
		first++;
	while (!(mask >> last & 1))
		last--;
	wanted->first_major = first ? versions[first - 1] + 1 : 10;
	wanted->last_major = last + 1 < WS_ARRAY_SIZE(versions) ? versions[last + 1] - 1 : 0;
}

bool ws_sig_next(size_t *at, struct ws_symbol_wanted *wanted, bool *is_static)
{
	while (*at < WS_ARRAY_SIZE(rows)) {
		const struct raw *row = &rows[(*at)++];

		if (row->kind == RAW_UNIT)
			wanted->file = row->name;
		if (row->kind != RAW_FUNCTION || !row->is_own)
			continue;
		wanted->name = row->name;
		*is_static = row->is_static & row->is_own;
		majors_of(row->mask, wanted);
		return true;
	}
	return false;
}

const char *ws_sig_string(const char *text, char out[WS_SIG_STRING])
{
	size_t n = 0;

	out[n++] = '"';
	for (; *text && n <= STRING_CHARS; text++)
		out[n++] = isalnum((unsigned char)*text) ? *text : '_';
	out[n] = '\0';
	return out;
}

static const struct raw *find_unit(size_t unit)
{
	for (size_t i = 0; i < WS_ARRAY_SIZE(rows); i++) {
		if (rows[i].kind == RAW_UNIT && unit-- == 0)
			return &rows[i];
	}
	return NULL;
}

size_t ws_sig_unit_count(void)
{
	size_t count = 0;

	for (size_t i = 0; i < WS_ARRAY_SIZE(rows); i++)
		count += rows[i].kind == RAW_UNIT;
	return count;
}

const char *ws_sig_unit_file(size_t unit)
{
	return find_unit(unit)->name;
}

bool ws_indexes_has(const struct ws_indexes *list, size_t value)
{
	for (size_t i = 0; i < list->count; i++) {
		if (list->items[i] == value)
			return true;
	}
	return false;
}

bool ws_indexes_add(struct ws_indexes *list, size_t value)
{
	uint16_t *item;

	if (ws_indexes_has(list, value))
		return true;
	if (value > UINT16_MAX)
		return false;
	item = ws_array_grow(&list->items, &list->count, &list->cap, sizeof(*item));
	if (!item)
		return false;
	*item = (uint16_t)value;
	return true;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static long find_name(char **names, size_t count, const char *name)
{
	char **found = count ? bsearch(&name, names, count, sizeof(char *), compare_names) : NULL;

	return found ? found - names : -1;
}

long ws_sig_feature(const struct ws_sig_unit *sig, const char *name)
{
	return find_name(sig->features, sig->feature_count, name);
}

long ws_sig_variable(const struct ws_sig_unit *sig, const char *name)
{
	return find_name(sig->variables, sig->variable_count, name);
}

/* Functions come sorted by name. */
long ws_sig_function(const struct ws_sig_unit *sig, const char *name)
{
	size_t low = 0, high = sig->function_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int order = strcmp(name, sig->functions[mid].name);

		if (order == 0)
			return (long)mid;
		if (order < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return -1;
}

static long find_table(const struct ws_sig_unit *sig, const char *name)
{
	for (size_t i = 0; i < sig->table_count; i++) {
		if (strcmp(sig->tables[i].name, name) == 0)
			return (long)i;
	}
	return -1;
}

/* Walks the rows of a unit that some of the versions have. */
static const struct raw *next_row(const struct raw *row, enum raw_kind kind, uint8_t ref)
{
	for (row++; row < rows + WS_ARRAY_SIZE(rows) && row->kind != RAW_UNIT; row++) {
		if (row->kind == kind && row->mask & ref)
			return row;
	}
	return NULL;
}

/* Sorts and drops repeats. */
static void sort_names(char **names, size_t *count)
{
	size_t kept = 0;

	if (*count)
		qsort(names, *count, sizeof(char *), compare_names);
	for (size_t i = 0; i < *count; i++) {
		if (kept && strcmp(names[i], names[kept - 1]) == 0)
			free(names[i]);
		else
			names[kept++] = names[i];
	}
	*count = kept;
}

static bool is_number(const struct token *token)
{
	return token->kind == '.' || token->kind == '#';
}

static uint64_t number_of(const struct token *token)
{
	return ws_number(token->kind == '.', strtoll(token->name, NULL, 10));
}

static int collect_name(struct ws_sig_unit *sig, const struct token *token)
{
	char **name;

	if (token->kind == '=' || token->kind == '&')
		return 0;
	if (is_number(token)) {
		uint64_t *number = ws_array_grow(&sig->numbers, &sig->number_count,
						 &sig->number_cap, sizeof(*number));

		if (number)
			*number = number_of(token);
		return number ? 0 : -1;
	}
	if (token->kind == '%')
		name = ws_array_grow(&sig->variables, &sig->variable_count, &sig->variable_cap,
				     sizeof(*name));
	else
		name = ws_array_grow(&sig->features, &sig->feature_count, &sig->feature_cap,
				     sizeof(*name));
	return name && (*name = strdup(token->name)) ? 0 : -1;
}

static int collect_names(struct ws_sig_unit *sig, const struct raw *unit, uint8_t ref)
{
	for (const struct raw *row = unit; (row = next_row(row, RAW_FUNCTION, ref));) {
		const char *at = row->tokens;
		struct ws_sig_function *function =
			ws_array_grow(&sig->functions, &sig->function_count, &sig->function_cap,
				      sizeof(*function));
		struct token token;

		if (!function)
			return -1;
		function->name = row->name;
		while (next_token(&at, row->mask, &token)) {
			if (token.mask & ref && collect_name(sig, &token))
				return -1;
		}
	}
	sort_names(sig->features, &sig->feature_count);
	sort_names(sig->variables, &sig->variable_count);
	ws_sig_numbers_sort(sig);
	return 0;
}

static int add_feature(struct ws_sig_unit *sig, struct ws_sig_function *function,
		       const struct token *token, bool is_required)
{
	struct ws_sig_feature *feature =
		ws_array_grow(&function->features, &function->feature_count, &function->feature_cap,
			      sizeof(*feature));
	long own;

	if (!feature)
		return -1;
	feature->id = (uint16_t)ws_sig_feature(sig, token->name);
	feature->is_required = is_required;
	feature->is_head = is_required && token->is_head;
	own = token->kind ? -1 : ws_sig_function(sig, token->name);
	feature->is_callee = own >= 0;
	if (own >= 0)
		sig->functions[own].is_called = true;
	return own < 0 || ws_indexes_add(&function->callees, (size_t)own) ? 0 : -1;
}

static int add_variable(struct ws_sig_unit *sig, struct ws_sig_function *function,
			const struct token *token, bool is_required)
{
	long table = find_table(sig, token->name);
	size_t i = (size_t)ws_sig_variable(sig, token->name);

	if (table >= 0 && !ws_indexes_add(&function->tables, (size_t)table))
		return -1;
	if (!is_required)
		return 0;
	return ws_indexes_add(&function->variables, i) &&
			       (!token->is_head || ws_indexes_add(&function->head_variables, i))
		       ? 0
		       : -1;
}

static int add_token(struct ws_sig_unit *sig, struct ws_sig_function *function,
		     const struct token *token, bool is_required)
{
	long i;

	if (is_number(token)) {
		size_t n = (size_t)ws_sig_number(sig, number_of(token));

		if (is_required && !token->is_optional)
			ws_bit_set(function->numbers, n);
		ws_bit_set(function->inner_numbers, n);
		return 0;
	}
	if (!token->kind || token->kind == '"')
		return add_feature(sig, function, token, is_required);
	if (token->kind == '%')
		return add_variable(sig, function, token, is_required);
	i = ws_sig_function(sig, token->name);
	if (i < 0)
		return 0;
	if (token->kind == '&')
		sig->functions[i].is_taken = true;
	else
		sig->functions[i].is_called = true;
	return ws_indexes_add(token->kind == '=' ? &function->callees : &function->taken, (size_t)i)
		       ? 0
		       : -1;
}

static int load_functions(struct ws_sig_unit *sig, const struct raw *unit, uint8_t ref)
{
	const struct raw *row = unit;

	sig->number_words = sig->number_count / 64 + 1;
	for (size_t i = 0; (row = next_row(row, RAW_FUNCTION, ref)); i++) {
		struct ws_sig_function *function = &sig->functions[i];
		uint8_t mask = row->mask & ref;
		const char *at = row->tokens;
		struct token token;

		function->numbers = calloc(sig->number_words, sizeof(uint64_t));
		function->inner_numbers = calloc(sig->number_words, sizeof(uint64_t));
		if (!function->numbers || !function->inner_numbers)
			return -1;
		function->is_static = row->is_static & ref;
		function->is_own = row->is_own & ref;
		function->reports = (row->reports & ref) == mask;
		function->is_quick = row->is_quick & ref;
		function->is_required = mask == ref;
		while (next_token(&at, row->mask, &token)) {
			if (token.mask & ref &&
			    add_token(sig, function, &token, (token.mask & ref) == mask))
				return -1;
		}
	}
	return 0;
}

static int load_table_names(struct ws_sig_unit *sig, const struct raw *unit, uint8_t ref)
{
	for (const struct raw *row = unit; (row = next_row(row, RAW_TABLE, ref));) {
		struct ws_sig_table *table = ws_array_grow(&sig->tables, &sig->table_count,
							   &sig->table_cap, sizeof(*table));

		if (!table)
			return -1;
		table->name = row->name;
		table->is_static = row->is_static & ref;
	}
	return 0;
}

/* Only slots that all versions agree on. */
static int load_slots(struct ws_sig_unit *sig, struct ws_sig_table *table, const struct raw *row,
		      uint8_t ref)
{
	const char *at = row->tokens;
	struct token token;

	while (next_token(&at, row->mask, &token)) {
		struct ws_sig_slot *slot;
		char *end;
		unsigned long n = strtoul(token.name, &end, 10);

		if ((token.mask & ref) != ref || *end != ':' || n >= SLOTS_MAX)
			continue;
		slot = ws_array_grow(&table->slots, &table->slot_count, &table->slot_cap,
				     sizeof(*slot));
		if (!slot)
			return -1;
		slot->slot = (uint16_t)n;
		slot->function = (int16_t)ws_sig_function(sig, end + 1);
		slot->table = end[1] == '%' ? (int16_t)find_table(sig, end + 2) : -1;
		if (slot->function >= 0) {
			sig->functions[slot->function].is_taken = true;
		} else if (end[1] != '%') {
			slot->name = strdup(end + 1);
			if (!slot->name)
				return -1;
		}
	}
	return 0;
}

static int load_tables(struct ws_sig_unit *sig, const struct raw *unit, uint8_t ref)
{
	const struct raw *row = unit;

	for (size_t i = 0; (row = next_row(row, RAW_TABLE, ref)); i++) {
		if (load_slots(sig, &sig->tables[i], row, ref))
			return -1;
	}
	return 0;
}

static void close_over(struct ws_sig_unit *sig, struct ws_sig_function *into, size_t function)
{
	const struct ws_sig_function *inner = &sig->functions[function];
	const struct ws_indexes *lists[] = { &inner->callees, &inner->taken };

	if (ws_bit(into->closure, function))
		return;
	ws_bit_set(into->closure, function);
	for (size_t i = 0; i < sig->number_words; i++)
		into->inner_numbers[i] |= inner->inner_numbers[i];
	for (size_t i = 0; i < inner->feature_count; i++)
		ws_bit_set(into->explained, inner->features[i].id);
	for (size_t i = 0; i < inner->taken.count; i++)
		ws_bit_set(into->takes, inner->taken.items[i]);
	for (size_t i = 0; i < inner->variables.count; i++)
		ws_bit_set(into->touches, inner->variables.items[i]);
	for (size_t t = 0; t < inner->tables.count; t++) {
		const struct ws_sig_table *table = &sig->tables[inner->tables.items[t]];

		for (size_t i = 0; i < table->slot_count; i++) {
			if (table->slots[i].function >= 0)
				ws_bit_set(into->takes, (size_t)table->slots[i].function);
		}
	}
	for (size_t l = 0; l < WS_ARRAY_SIZE(lists); l++) {
		for (size_t i = 0; i < lists[l]->count; i++)
			ws_bit_set(into->calls, lists[l]->items[i]);
		for (size_t i = 0; i < lists[l]->count; i++)
			close_over(sig, into, lists[l]->items[i]);
	}
}

static int load_closures(struct ws_sig_unit *sig)
{
	sig->function_words = sig->function_count / 64 + 1;
	sig->feature_words = sig->feature_count / 64 + 1;
	sig->variable_words = sig->variable_count / 64 + 1;
	for (size_t f = 0; f < sig->function_count; f++) {
		struct ws_sig_function *function = &sig->functions[f];

		function->closure = calloc(sig->function_words, sizeof(uint64_t));
		function->calls = calloc(sig->function_words, sizeof(uint64_t));
		function->takes = calloc(sig->function_words, sizeof(uint64_t));
		function->own = calloc(sig->feature_words, sizeof(uint64_t));
		function->explained = calloc(sig->feature_words, sizeof(uint64_t));
		function->touches = calloc(sig->variable_words, sizeof(uint64_t));
		if (!function->closure || !function->takes || !function->explained ||
		    !function->touches || !function->own || !function->calls)
			return -1;
		for (size_t i = 0; i < function->feature_count; i++)
			ws_bit_set(function->own, function->features[i].id);
		close_over(sig, function, f);
	}
	return ws_sig_numbers_derive(sig);
}

/* What few functions have tells more. */
static int load_weights(struct ws_sig_unit *sig)
{
	sig->weights = calloc(sig->feature_count + 1, sizeof(sig->weights[0]));
	sig->uses = calloc(sig->feature_count + 1, sizeof(sig->uses[0]));
	if (!sig->weights || !sig->uses)
		return -1;
	for (size_t f = 0; f < sig->function_count; f++) {
		for (size_t i = 0; i < sig->functions[f].feature_count; i++)
			sig->uses[sig->functions[f].features[i].id]++;
	}
	for (size_t i = 0; i < sig->feature_count; i++) {
		sig->weights[i] = ws_sig_bits((double)sig->function_count / (sig->uses[i] + 1));
	}
	return ws_sig_numbers_weigh(sig);
}

int ws_sig_unit_load(struct ws_sig_unit *sig, size_t unit, int major)
{
	const struct raw *row = find_unit(unit);
	uint8_t ref = versions_of(major);

	*sig = (struct ws_sig_unit){ .file = row->name };
	if (collect_names(sig, row, ref) || load_table_names(sig, row, ref) ||
	    load_functions(sig, row, ref) || load_tables(sig, row, ref) || load_closures(sig) ||
	    load_weights(sig)) {
		ws_sig_unit_deinit(sig);
		return -1;
	}
	return 0;
}

void ws_sig_unit_deinit(struct ws_sig_unit *sig)
{
	for (size_t i = 0; i < sig->function_count; i++) {
		struct ws_sig_function *function = &sig->functions[i];

		free(function->features);
		free(function->callees.items);
		free(function->taken.items);
		free(function->tables.items);
		free(function->closure);
		free(function->calls);
		free(function->takes);
		free(function->own);
		free(function->explained);
		free(function->touches);
		free(function->numbers);
		free(function->inner_numbers);
		free(function->variables.items);
		free(function->head_variables.items);
	}
	for (size_t i = 0; i < sig->table_count; i++) {
		for (size_t j = 0; j < sig->tables[i].slot_count; j++)
			free(sig->tables[i].slots[j].name);
		free(sig->tables[i].slots);
	}
	for (size_t i = 0; i < sig->feature_count; i++)
		free(sig->features[i]);
	free(sig->functions);
	free(sig->tables);
	free(sig->features);
	for (size_t i = 0; i < sig->variable_count; i++)
		free(sig->variables[i]);
	free(sig->variables);
	free(sig->numbers);
	free(sig->number_weights);
	free(sig->weights);
	free(sig->uses);
	*sig = (struct ws_sig_unit){ 0 };
}
