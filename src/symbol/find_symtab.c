/* SPDX-License-Identifier: BSD-2-Clause */
/* The names that the file itself gives, or a debug file of it. */
#include "symbol/resolve_parts.h"

#include <ctype.h>
#include <string.h>

/*
 * What a compiler appends to the name of a local function:
 *   .constprop.N .isra.N      a copy specialised to its callers: the whole function
 *   .lto_priv.N .llvm.N       renamed because it crosses a unit: the whole function
 *   .localalias               a second name for callers in its unit: the whole function
 *   .part.N .cold .cold.N     a piece of it; the rest is elsewhere
 * Several may follow each other; one piece among them makes it a piece.
 */
static bool is_whole_function_suffix(const char *suffix)
{
	static const char *const whole[] = { "constprop", "isra", "lto_priv", "llvm",
					     "localalias" };

	while (*suffix == '.') {
		size_t len = strcspn(++suffix, ".");
		bool known = isdigit((unsigned char)suffix[0]);

		for (size_t i = 0; !known && i < sizeof(whole) / sizeof(whole[0]); i++)
			known = strlen(whole[i]) == len && strncmp(suffix, whole[i], len) == 0;
		if (!known)
			return false;
		suffix += len;
	}
	return *suffix == '\0';
}

static bool is_of_file(const struct ws_image_symbol *symbol, const struct ws_symbol_wanted *wanted)
{
	const char *base;
	size_t len;

	/* A global carries no file; LTO names objects of its own ("<artificial>", "x.ltrans0.o").
	 */
	if (!symbol->file || !wanted->file)
		return true;
	base = basename(symbol->file);
	len = strlen(base);
	return len < 2 || strcmp(base + len - 2, ".c") != 0 || strcmp(base, wanted->file) == 0;
}

static bool is_candidate(const struct resolver *r, size_t i, const struct ws_image_symbol *symbol)
{
	return symbol->is_function != r->wanted[i].is_variable && is_of_file(symbol, &r->wanted[i]);
}

/* A search in one table. */
struct search {
	struct resolver *r;
	const struct ws_symtab *names;
	bool dynamic;
	enum ws_symbol_source source;
};

/* The only whole clone of a name that has no symbol of its own; *several is set if there are more.
 */
static const struct ws_image_symbol *only_clone(const struct search *s, size_t i, bool *several)
{
	const char *name = s->r->wanted[i].name;
	const struct ws_image_symbol *found = NULL, *symbol;
	size_t len = strlen(name);

	*several = false;
	for (size_t n = 0; (symbol = ws_symtab_from(s->names, name, n)) != NULL; n++) {
		if (symbol->name[len] != '.' || !is_candidate(s->r, i, symbol) ||
		    !is_whole_function_suffix(symbol->name + len))
			continue;
		*several |= found && found->address != symbol->address;
		found = symbol;
	}
	return found;
}

static const struct ws_image_symbol *only_exact(const struct search *s, size_t i, bool *several)
{
	const char *name = s->r->wanted[i].name;
	const struct ws_image_symbol *found = NULL, *symbol;

	*several = false;
	for (size_t n = 0; (symbol = ws_symtab_from(s->names, name, n)) != NULL; n++) {
		if (strcmp(symbol->name, name) != 0)
			break;
		if (symbol->is_dynamic != s->dynamic || !is_candidate(s->r, i, symbol))
			continue;
		*several |= found && found->address != symbol->address;
		found = symbol;
	}
	return found;
}

static void find_name(const struct search *s, size_t i)
{
	const struct ws_image_symbol *symbol;
	bool several, several_clones = false;
	double confidence = 1;

	symbol = only_exact(s, i, &several);
	if (!symbol && !s->dynamic) {
		symbol = only_clone(s, i, &several_clones);
		/* Callers that need the unspecialised function may have inlined it. */
		confidence = 0.95;
	}
	if (several || several_clones)
		ws_resolver_refuse(s->r, i,
				   several ? "the symbol table has several of this name"
					   : "it was cloned more than once");
	else if (symbol)
		ws_resolver_claim(s->r, i, s->source, symbol->address, symbol->size, confidence);
}

void ws_find_names(struct resolver *r, const struct ws_symtab *names, bool dynamic,
		   enum ws_symbol_source source)
{
	const struct search s = { .r = r, .names = names, .dynamic = dynamic, .source = source };

	for (size_t i = 0; i < r->set->count; i++) {
		if (ws_resolver_is_open(r, i))
			find_name(&s, i);
	}
}
