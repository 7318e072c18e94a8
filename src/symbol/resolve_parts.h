/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * resolve_parts.h: the chain of finders and what they share. For src/symbol/ alone.
 */
#ifndef WS_SYMBOL_RESOLVE_PARTS_H
#define WS_SYMBOL_RESOLVE_PARTS_H

#include <libelf.h>

#include "symbol/resolve.h"

struct resolver {
	const struct ws_image *image;
	const struct ws_resolve_options *options;
	const struct ws_symbol_wanted *wanted; /* parallel to set->symbols */
	struct ws_symbol_set *set;
	int major; /* 0 if the file is no PostgreSQL server */
	/* A finder saw more than one candidate: later, weaker finders must not choose one. */
	bool *ambiguous;
};

/*
 * A step of the chain. It fills the entries of r->set that are still unknown, through
 * ws_resolver_claim; finding nothing is no error. Only exhausted memory is.
 */
struct ws_finder {
	const char *name;
	bool is_debug_info; /* switched off by no_debug_info */
	bool is_recovery;   /* switched off by no_recovery */
	int (*find)(struct resolver *r, struct ws_error *err);
};

int ws_find_dynsym(struct resolver *r, struct ws_error *err);
int ws_find_symtab(struct resolver *r, struct ws_error *err);
int ws_find_dwarf(struct resolver *r, struct ws_error *err);
int ws_find_recovered(struct resolver *r, struct ws_error *err);

/*
 * Enters an address. Refused (and noted in the log) if it is not in code (functions) or not mapped
 * (variables): whoever claims it read a file that lies. Returns whether it was taken.
 */
bool ws_resolver_claim(struct resolver *r, size_t i, enum ws_symbol_source source, uint64_t address,
		       uint64_t size, double confidence);
/* More than one place claims the name: it stays unknown. */
void ws_resolver_refuse(struct resolver *r, size_t i, const char *why);
/* The name's code stands (also) inside the function `into`. Returns -1 when memory ran out. */
int ws_resolver_inlined(struct resolver *r, size_t i, enum ws_symbol_source source,
			const char *into);
/* Index of a wanted name, or -1. */
long ws_resolver_index(const struct resolver *r, const char *name);
/* Should a finder look for this name? */
bool ws_resolver_is_open(const struct resolver *r, size_t i);

/*
 * The cache. Reading fills the set and returns true; false means there is no usable answer, the set
 * is untouched. Writing is best effort: a note in the log if it fails.
 */
bool ws_cache_read(struct resolver *r);
void ws_cache_write(const struct resolver *r);

#endif
