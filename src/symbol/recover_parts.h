/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * recover_parts.h: finding functions that have lost their names. For src/symbol/ alone.
 *
 * Three layers: a scan of all code that knows no instruction but call, jump and address operands
 * (recover_scan.c); evidence of single functions by disassembly (recover_evidence.c); and tables of
 * signatures that the evidence is matched against (recover_table.c, recover_match.c,
 * recover_data.c).
 */
#ifndef WS_SYMBOL_RECOVER_PARTS_H
#define WS_SYMBOL_RECOVER_PARTS_H

#include "symbol/code.h"
#include "symbol/resolve_parts.h"

/* How the rest of the program knows a function range; bits. */
enum {
	WS_SEEN_CALLED = 1,   /* target of a direct call */
	WS_SEEN_JUMPED = 2,   /* target of an unconditional jump: perhaps a tail call */
	WS_SEEN_BRANCHED = 4, /* target of a conditional jump: a cold part */
	WS_SEEN_TAKEN = 8,    /* exported, or its address is loaded or stored in a relocated slot */
};

struct ws_scan {
	const struct ws_image *image;
	const struct ws_range *functions;
	size_t count;
	uint8_t *seen; /* parallel to functions */
};

int ws_scan_init(struct ws_scan *scan, const struct ws_image *image, struct ws_error *err);
void ws_scan_deinit(struct ws_scan *scan);
/* Index of the function range that holds `address`, -1 if none. */
long ws_scan_index(const struct ws_scan *scan, uint64_t address);
/* Part of another function: entered with a frame, or reached by conditional jumps only. */
bool ws_scan_is_fragment(const struct ws_scan *scan, size_t function);

/* Calls fn for each function range with an operand that names one of `addresses` (sorted). A range
 * may come several times. */
void ws_scan_references(const struct ws_scan *scan, const uint64_t *addresses, size_t count,
			void (*fn)(void *arg, size_t function), void *arg);

enum ws_value_kind { WS_VALUE_UNKNOWN = 0, WS_VALUE_NUMBER, WS_VALUE_ADDRESS };

struct ws_value {
	enum ws_value_kind kind;
	uint64_t value;
};

#define WS_CALL_ARGS 7 /* six in registers and the one pushed last */

struct ws_evidence_call {
	uint64_t at;
	uint64_t target;  /* 0 for a call through a slot */
	const char *name; /* exported function or import, NULL for a static one */
	struct ws_value args[WS_CALL_ARGS];
};

/* A direct operand: data, string or function pointer. */
struct ws_evidence_reference {
	uint64_t address;
	uint8_t size; /* of the access, 0 if only the address is taken */
	bool reads, writes;
	const char *identifier; /* the string there, if it could be the name of a function */
};

/* What an ereport or elog says about where it stands. */
struct ws_evidence_report {
	const char *file; /* base name */
	const char *function;
};

struct ws_evidence {
	struct ws_range range; /* of the entry; cold parts come on top */
	const char *name;      /* if it is exported */
	struct ws_evidence_call *calls;
	size_t call_count, call_cap;
	struct ws_evidence_reference *references;
	size_t reference_count, reference_cap;
	struct ws_evidence_report *reports;
	size_t report_count, report_cap;
};

/* Evidence of the function range `function` and its cold parts. */
int ws_evidence_gather(struct ws_evidence *evidence, const struct ws_scan *scan, size_t function,
		       struct ws_error *err);
void ws_evidence_deinit(struct ws_evidence *evidence);

/*
 * A signature: what is known of one function from PostgreSQL's sources. Lists are names separated
 * by blanks: exported functions, imports, exported variables, and names recovered in an earlier
 * round.
 */
struct ws_signature {
	const char *name;
	const char *file;    /* base name of the unit */
	const char *part_of; /* the compiler has split it off this function, whose name its reports
			      * carry; NULL: a function of its own */
	bool reports;	     /* it has an ereport or elog, which names it: no such text, no match */
	const char *must;    /* called or referenced by every build of every major */
	const char *must_not; /* the mark of a caller that has swallowed this function */
	const char *calls;    /* what else it calls: raises the score */
	const char *may;      /* neither raises nor lowers it */
	const char *inlines;  /* functions of the unit that may stand inside it */
	/* Its address is this argument of this call, made inside the unit: the only one so handed
	 * over. */
	struct {
		const char *callee;
		int argument;
	} handed[2];
	/* Inlined if all of `keys` are found inside one of `hosts`. Functions with an ereport need
	 * no keys: their name inside another function says it. */
	const char *keys, *hosts;
};

const struct ws_signature *ws_signatures(size_t *count);

/* A function out of a table of function pointers. */
struct ws_slot_rule {
	const char *name;
	const char
		*holder; /* exported variable that points to the table, or function that names it */
	int index, length; /* position, and number of pointers the table has at least */
	const char *must;  /* as in a signature */
};

const struct ws_slot_rule *ws_slot_rules(size_t *count);

/* A variable that every one of some functions uses in one way. */
enum ws_use { WS_USE_NONE = 0, WS_USE_READ, WS_USE_WRITE, WS_USE_ADDRESS };

#define WS_USES_MAX 4

struct ws_variable_rule {
	const char *name;
	uint8_t size; /* of the access, 0 for WS_USE_ADDRESS */
	struct {
		enum ws_use use;
		const char *function;
	} uses[WS_USES_MAX];
};

const struct ws_variable_rule *ws_variable_rules(size_t *count);

/* One source file's functions, named and nameless. */
struct ws_unit {
	const char *file;
	struct ws_evidence *bodies; /* parallel: */
	const char **names;	    /* exported or recovered, NULL if unknown */
	double *scores;		    /* of the recovered ones */
	size_t count, cap;
};

/* A unit that cannot be told from the rest of the program is left empty. */
int ws_unit_load(struct ws_unit *unit, const struct ws_scan *scan, const char *file,
		 struct ws_error *err);
void ws_unit_deinit(struct ws_unit *unit);
/* Names what can be named, in rounds, since names found in one are evidence in the next. */
void ws_unit_match(struct ws_unit *unit, const struct ws_scan *scan, const struct ws_log *log);
/* The body at an address, or -1. */
long ws_unit_body(const struct ws_unit *unit, uint64_t address);
/* Does the body call or reference something of this name? */
bool ws_unit_uses(const struct ws_unit *unit, const struct ws_scan *scan,
		  const struct ws_evidence *body, const char *name);
bool ws_unit_uses_all(const struct ws_unit *unit, const struct ws_scan *scan,
		      const struct ws_evidence *body, const char *names);
/* Does an ereport in the body, or a string it names, say that it stands in this function? */
bool ws_evidence_reports(const struct ws_evidence *body, const char *file, const char *function);

/* Walks a list of names: `*at` starts as the list (may be NULL); false at its end. */
bool ws_names_next(const char **at, char *name, size_t size);
bool ws_names_has(const char *names, const char *name);

int ws_recover_slots(struct resolver *r, const struct ws_scan *scan, struct ws_error *err);
int ws_recover_variables(struct resolver *r, const struct ws_scan *scan, struct ws_error *err);

#endif
