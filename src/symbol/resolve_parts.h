/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * resolve_parts.h: the chain of finders and what they share. For src/symbol/ alone.
 */
#ifndef WS_SYMBOL_RESOLVE_PARTS_H
#define WS_SYMBOL_RESOLVE_PARTS_H

#include <libelf.h>

#include "symbol/resolve.h"
#include "symbol/symtab.h"

struct resolver {
	const struct ws_image *image;
	const struct ws_resolve_options *options;
	const struct ws_symbol_wanted *wanted; /* parallel to set->symbols */
	struct ws_symbol_set *set;
	struct ws_debug *debug;
	unsigned int skip; /* WS_STEP_BIT of all that is switched off */
	bool has_names;	   /* a .symtab was read, of the image or of a debug file */
	bool has_dwarf;	   /* units of the server's own sources were */
	int major;	   /* 0 if the file is no PostgreSQL server */
	/* A finder saw more than one candidate: later, weaker finders must not choose one. */
	bool *ambiguous;
};

/*
 * The finders fill the entries of r->set that are still unknown, through ws_resolver_claim; finding
 * nothing is no error. Only exhausted memory is.
 */
/* In a table of names; `dynamic`: among those of .dynsym, else of .symtab. */
void ws_find_names(struct resolver *r, const struct ws_symtab *names, bool dynamic,
		   enum ws_symbol_source source);
int ws_find_dwarf(struct resolver *r, const struct ws_debug_file *file,
		  enum ws_symbol_source source, struct ws_error *err);
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
/* The set's own copy of a text, NULL when memory ran out. */
const char *ws_resolver_keep(struct resolver *r, const char *text);
/* Should a finder look for this name? */
bool ws_resolver_is_open(const struct resolver *r, size_t i);

/*
 * The cache. Reading fills the set and returns true; false means there is no usable answer, the set
 * is untouched. Writing is best effort: a note in the log if it fails.
 */
bool ws_cache_read(struct resolver *r);
void ws_cache_write(const struct resolver *r);

#endif
