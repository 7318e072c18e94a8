/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * resolve.h: addresses of PostgreSQL's functions and variables in one server binary.
 *
 * An ordered chain of finders is asked; the first that knows a name decides. A wrong address is far
 * worse than none: where two places claim one name, there is none (status unknown).
 */
#ifndef WS_SYMBOL_RESOLVE_H
#define WS_SYMBOL_RESOLVE_H

#include "symbol/debug.h"
#include "symbol/image.h"

enum ws_symbol_status {
	WS_SYMBOL_UNKNOWN = 0, /* not found, or more than one claim */
	WS_SYMBOL_FOUND,
	WS_SYMBOL_INLINED, /* no body of its own: `into` says where */
	WS_SYMBOL_ABSENT,  /* this major has no such function */
};

enum ws_symbol_source {
	WS_SOURCE_NONE = 0,
	WS_SOURCE_SYMTAB,
	WS_SOURCE_DYNSYM,
	WS_SOURCE_DWARF,     /* in the file itself */
	WS_SOURCE_DEBUGLINK, /* a separate file on this host, found by build-id or .gnu_debuglink */
	WS_SOURCE_MINIDEBUGINFO, /* .gnu_debugdata */
	WS_SOURCE_DEBUGINFOD,	 /* a separate file that a server had */
	WS_SOURCE_RECOVERED,
};

#define WS_SYMBOL_INTO_MAX 4

struct ws_symbol {
	const char *name; /* lives as long as the set */
	enum ws_symbol_status status;
	enum ws_symbol_source source;
	bool is_variable;
	uint64_t address;  /* vaddr in the file; 0 unless found */
	uint64_t size;	   /* of the body or variable, 0 if unknown */
	double confidence; /* 0..1; 1 for names the file itself gives */
	/* The functions it is inlined into. Also for a name that was found: its body does not see
	 * the calls that were inlined. */
	const char *into[WS_SYMBOL_INTO_MAX];
};

/* What a step of the chain did. */
enum ws_step_outcome {
	WS_STEP_NOT_NEEDED = 0, /* those before it found all there is for it to find */
	WS_STEP_OFF,		/* switched off */
	WS_STEP_NOTHING, /* the file has no such thing, or it was refused (the log says why) */
	WS_STEP_DONE,
};
struct ws_step_report {
	enum ws_step_outcome outcome;
	size_t found; /* names */
	uint64_t took_ns;
	const char *file; /* the separate debug file; owned by the set, NULL if there is none */
};

/* What was found in one binary. */
struct ws_symbol_set {
	struct ws_symbol *symbols; /* sorted by name */
	size_t count;
	uint64_t resolve_ns; /* how long it took */
	bool from_cache;     /* then no step was taken */
	struct ws_step_report steps[WS_STEP_COUNT];
	/* Names in `into` that are not on the wanted list; owned by the set. */
	char **strings;
	size_t string_count, string_cap;
};

struct ws_resolve_options {
	bool no_debug_info; /* .dynsym and recovery alone, as on a stripped production server */
	bool no_recovery;
	unsigned int skip; /* WS_STEP_BIT of other steps that are switched off */
	/* The image's debug information, which others may read, too; what it skips, is skipped.
	 * NULL: opened as by default, for the time of the call. */
	struct ws_debug *debug;
	/* Not only the wanted names, but every static function of the replication's source files.
	 */
	bool all;
	/* Folder of cached answers, one file per build-id, NULL for none. A cache that is torn, of
	 * another version of this program or for another option set is ignored and replaced. */
	const char *cache_dir;
	const struct ws_log *log;
};

/*
 * Resolves every name of the wanted list (ws_symbol_wanted below). Not finding a name is no error;
 * only an unreadable file or exhausted memory is. Free the set with ws_symbol_set_deinit.
 */
int ws_resolve(const struct ws_image *image, const struct ws_resolve_options *options,
	       struct ws_symbol_set *set, struct ws_error *err);
void ws_symbol_set_deinit(struct ws_symbol_set *set);

/* Where this user's cached answers are kept by default; NULL if there is no such place. */
const char *ws_cache_folder(char *path, size_t size);

/* The entry of a wanted name (also if unknown), NULL if the name is not on the list. */
const struct ws_symbol *ws_symbol_find(const struct ws_symbol_set *set, const char *name);
/* Its address if it was found, else 0. */
uint64_t ws_symbol_address(const struct ws_symbol_set *set, const char *name);

/* The names the project wants: functions and variables of the server, a table in wanted.c. */
struct ws_symbol_wanted {
	const char *name;
	bool is_variable;
	int first_major, last_major; /* majors that have it; last_major 0: still there in 18 */
	const char *file; /* base name of the source file that defines it ("walsender.c") */
};
const struct ws_symbol_wanted *ws_symbol_wanted(size_t *count);
/* These and every static function that recovery knows, sorted by name; the caller frees the array.
 * Where several files have a function of one name, the wanted one or none is listed. NULL: memory
 * ran out. */
struct ws_symbol_wanted *ws_symbol_wanted_all(size_t *count);

const char *ws_symbol_status_name(enum ws_symbol_status status); /* "found", ... */
const char *ws_symbol_source_name(enum ws_symbol_source source); /* "dynsym", ... , "" for none */

#endif
