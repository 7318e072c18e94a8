/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * recover_parts.h: finding functions that have lost their names. For src/symbol/ alone.
 *
 * Three layers: a scan of all code that knows no instruction but call, jump and address operands
 * (recover_scan.c); evidence of single functions by disassembly (recover_evidence.c); and
 * signatures (recover_signature.c) that the evidence is matched against (recover_unit.c,
 * recover_possible.c, recover_likeness.c, recover_match.c, recover_data.c).
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
	uint8_t *seen;	/* parallel to functions */
	uint8_t *quick; /* parallel: what is known of ways through it that call nothing */
};

int ws_scan_init(struct ws_scan *scan, const struct ws_image *image, struct ws_error *err);
void ws_scan_deinit(struct ws_scan *scan);
/* Index of the function range that holds `address`, -1 if none. */
long ws_scan_index(const struct ws_scan *scan, uint64_t address);
/* Part of another function: entered with a frame, or reached by conditional jumps only. */
bool ws_scan_is_fragment(const struct ws_scan *scan, size_t function);

/* Is there a way from the entry to a return on which nothing is called, but functions without
 * exported name that have one themselves? `code` is a whole function range. */
bool ws_scan_is_quick(const struct ws_scan *scan, const struct ws_code *code);

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
	bool is_head;	  /* in front of the first branch */
	bool is_anchor;	  /* aarch64: other addresses are made of it */
	const char *name; /* of the exported variable or function there, or NULL */
	const char *text; /* the string there, or NULL */
};

/* aarch64: an access at an address plus what is in a register, as to a member of an array's
 * element.
 */
struct ws_evidence_element {
	uint64_t address;
	uint8_t size;
	bool writes;
};

/* What an ereport or elog says about where it stands. */
struct ws_evidence_report {
	const char *file; /* base name */
	const char *function;
};

struct ws_evidence {
	struct ws_range range; /* of the entry; cold parts come on top */
	const char *name;      /* if it is exported */
	bool is_quick;	       /* a way through it calls nothing, or functions that have one too */
	struct ws_evidence_call *calls;
	size_t call_count, call_cap;
	struct ws_evidence_reference *references;
	size_t reference_count, reference_cap;
	struct ws_evidence_element *elements;
	size_t element_count, element_cap;
	struct ws_evidence_report *reports;
	size_t report_count, report_cap;
	uint64_t *numbers; /* see ws_number; with repeats */
	size_t number_count, number_cap;
};

/* A number of the code: an offset from a pointer, or one that is compared, tested, stored or handed
 * over (its lower 32 bits). 0: none that tells anything. */
static inline uint64_t ws_number(bool is_offset, int64_t value)
{
	if (is_offset)
		return value > 0 && value <= INT32_MAX ? (uint64_t)value : 0;
	return (uint32_t)value > 1 ? 1ULL << 32 | (uint32_t)value : 0;
}

/* Evidence of the function range `function` and its cold parts. */
int ws_evidence_gather(struct ws_evidence *evidence, const struct ws_scan *scan, size_t function,
		       struct ws_error *err);
void ws_evidence_deinit(struct ws_evidence *evidence);

/* A growing list of indexes. */
struct ws_indexes {
	uint16_t *items;
	size_t count, cap;
};

/*
 * A signature: what one function calls, names and hands over, from object files in which nothing is
 * inlined (signatures.inc, which scripts/signatures makes). Versions: those that the server's major
 * is to be compared with, its own or its neighbours.
 */
struct ws_sig_function {
	const char *name;
	bool is_static;	  /* else exported, and known by its name */
	bool is_own;	  /* of the unit's file, not of a header */
	bool reports;	  /* an ereport or elog in it names it, in all versions */
	bool is_quick;	  /* there is a way through it that calls nothing */
	bool is_taken;	  /* its address is handed over somewhere in the unit */
	bool is_called;	  /* some function of the unit calls it */
	bool is_required; /* all of the versions have it */
	/* What is seen from outside: exported functions and variables, imports, strings. */
	struct ws_sig_feature {
		uint16_t id;	  /* index into the unit's features */
		bool is_required; /* in all versions */
		bool is_head;	  /* what is left of a split function lacks it */
		bool is_callee;	  /* an exported function of the unit: it may be inlined */
	} * features;
	size_t feature_count, feature_cap;
	struct ws_indexes callees, taken, tables; /* of the same unit */
	struct ws_indexes variables;		  /* static ones, in all versions */
	struct ws_indexes head_variables;	  /* and is_head, as above */
	uint64_t *calls; /* bit set: functions that it may call, itself or through these */
	/* More bit sets. What may stand inside it: itself and all that it calls and hands over. */
	uint64_t *closure;
	uint64_t *own;		 /* its features */
	uint64_t *explained;	 /* the features of all these */
	uint64_t *takes;	 /* functions whose addresses these hand over */
	uint64_t *touches;	 /* static variables that these name */
	uint64_t *numbers;	 /* of its own, in all versions */
	uint64_t *inner_numbers; /* of all these, in any */
};

/* A table of pointers: to functions, or to other tables. */
struct ws_sig_table {
	const char *name;
	bool is_static;
	struct ws_sig_slot {
		uint16_t slot;
		int16_t function, table; /* of the same unit, -1 */
		char *name;		 /* of another unit, else NULL */
	} * slots;
	size_t slot_count, slot_cap;
	uint64_t address; /* in the server, 0: not known (yet) */
};

struct ws_sig_unit {
	const char *file; /* base name */
	struct ws_sig_function *functions;
	size_t function_count, function_cap;
	struct ws_sig_table *tables;
	size_t table_count, table_cap;
	char **features; /* sorted; strings begin with '"' */
	double *weights; /* bits of information; parallel */
	uint16_t *uses;	 /* how many functions have it; parallel */
	size_t feature_count, feature_cap;
	char **variables; /* static ones; sorted */
	size_t variable_count, variable_cap;
	uint64_t *numbers; /* sorted; see ws_number */
	double *number_weights;
	size_t number_count, number_cap;
	size_t function_words, feature_words, variable_words, number_words; /* of a bit set */
};

size_t ws_sig_unit_count(void);
const char *ws_sig_unit_file(size_t unit);
/* What functions of unit number `unit` do in servers of this major (0: any). */
int ws_sig_unit_load(struct ws_sig_unit *sig, size_t unit, int major);
void ws_sig_unit_deinit(struct ws_sig_unit *sig);
long ws_sig_function(const struct ws_sig_unit *sig, const char *name); /* or -1 */
long ws_sig_feature(const struct ws_sig_unit *sig, const char *name);  /* or -1 */
long ws_sig_variable(const struct ws_sig_unit *sig, const char *name); /* or -1 */
long ws_sig_number(const struct ws_sig_unit *sig, uint64_t number);    /* or -1 */

/* For who loads a unit: sorts its numbers, drops repeats; weighs them. */
void ws_sig_numbers_sort(struct ws_sig_unit *sig);
int ws_sig_numbers_weigh(struct ws_sig_unit *sig);
/* Adds to what numbers functions explain what optimising makes of these. */
int ws_sig_numbers_derive(struct ws_sig_unit *sig);
/* Bits of information in what one function of `share` has. */
double ws_sig_bits(double share);

/* Walks the functions that the units' files define, in their order: *at begins at 0, *wanted is
 * kept between calls. False behind the last. */
bool ws_sig_next(size_t *at, struct ws_symbol_wanted *wanted, bool *is_static);

/* A string as signatures have it: its beginning, with nothing but plain characters. */
#define WS_SIG_STRING 32
const char *ws_sig_string(const char *text, char out[WS_SIG_STRING]);

static inline bool ws_bit(const uint64_t *set, size_t i)
{
	return set[i / 64] >> i % 64 & 1;
}

static inline void ws_bit_set(uint64_t *set, size_t i)
{
	set[i / 64] |= 1ULL << i % 64;
}

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

/* An array, of whose elements some functions read members. */
struct ws_array_rule {
	const char *name;
	struct {
		const char *function;
		uint8_t offset, size; /* of the member; 0: end of the list */
	} reads[WS_USES_MAX];
};

const struct ws_array_rule *ws_array_rules(size_t *count);

/* One function of the server, and its place among the others of its unit. */
struct ws_body {
	struct ws_evidence evidence;
	long function;	    /* index into the signatures: by its exported name, or recovered; -1 */
	double score;	    /* of a recovered one */
	uint16_t *features; /* of the unit's, no repeats */
	size_t feature_count;
	size_t strangers; /* exported functions it calls that no function of the unit calls */
	struct ws_indexes callees, callers, takes, takers; /* bodies */
	struct ws_indexes reports;			   /* functions its ereports name */
	bool reports_stranger; /* an ereport of the unit's file names none of its functions */
	bool is_taken;	       /* its address is seen outside calls */
	bool is_local;	       /* it lies among the unit's exported functions */
	uint64_t *variables;   /* bit set: it names these, of those whose place is known */
	uint64_t *numbers;     /* bit set: of the unit's */
};

/* One source file's functions, named and nameless. */
struct ws_unit {
	const struct ws_scan *scan;
	struct ws_sig_unit sig;
	struct ws_body *bodies;
	size_t count, cap;
	uint16_t *by_scan;  /* number + 1 of the body of each of the scan's functions */
	long *by_function;  /* body of each of the signatures' functions, -1 */
	bool is_clang;	    /* it was compiled by clang, which does not split functions */
	bool with_numbers;  /* numbers of the code count as evidence, too */
	bool *is_available; /* parallel to the features: this server has it at all */
	/* Parallel to the variables: where they are, 0 if that is not known, and how many named
	 * functions agree on it. */
	uint64_t *addresses;
	uint8_t *witnesses;
};

/* Loads what can be reached from the exported functions and tables of the unit. */
int ws_unit_load(struct ws_unit *unit, const struct ws_scan *scan, size_t number, int major,
		 bool is_clang, struct ws_error *err);
void ws_unit_deinit(struct ws_unit *unit);
/* Where each body stands among the others; once, when all are loaded. */
int ws_unit_connect(struct ws_unit *unit);
/* Names what can be named, in rounds, since names found in one are evidence in the next. */
void ws_unit_match(struct ws_unit *unit, const struct ws_log *log);
/* Tables whose place follows from named functions, and the functions in their slots. */
void ws_unit_match_tables(struct ws_unit *unit, const struct ws_log *log);
/* Static variables whose place follows from the named functions that name them. */
void ws_unit_match_variables(struct ws_unit *unit, const struct ws_log *log);
/* Can the place of this variable be that of no other whose place is not known? */
bool ws_unit_is_sole_variable(const struct ws_unit *unit, size_t variable);
/* Does the body name a variable whose place is not known: all places where it may be, or any? */
bool ws_unit_names_variable(const struct ws_unit *unit, const struct ws_body *body, size_t variable,
			    bool any_will_do);
/* Is what the body reads of static variables in front of its first branch as much as the function
 * does there, and may it be the same? */
bool ws_unit_heads_agree(const struct ws_unit *unit, const struct ws_sig_function *function,
			 const struct ws_body *body);
/* May this body be that function? No regard to likeness. */
bool ws_unit_may_be(const struct ws_unit *unit, size_t function, size_t body);
/* As the above, but for a body that lacks the way on which nothing is called: a part of it. */
bool ws_unit_may_be_part(const struct ws_unit *unit, size_t function, size_t body);
/* May it be that, or a copy or a part of it? Of exported functions, too. */
bool ws_unit_may_be_copy(const struct ws_unit *unit, size_t function, size_t body);
/* Do its ereports name nothing but the function, or what may stand inside that? */
bool ws_unit_reports_fit(const struct ws_unit *unit, size_t function, const struct ws_body *body);
/* May the body be that of a function which has this one inside? */
bool ws_unit_may_be_around(const struct ws_unit *unit, size_t function, size_t body);
/* Is there, for each nameless body that it calls or that calls it, a function which that may be if
 * this is `function`? */
bool ws_unit_neighbours_fit(const struct ws_unit *unit, size_t function, size_t body);
bool ws_body_shows(const struct ws_body *body, size_t feature);

#define WS_WITNESSES_MIN 2 /* named functions that agree on where a variable is */

static inline bool ws_unit_knows(const struct ws_unit *unit, size_t variable)
{
	return unit->witnesses[variable] >= WS_WITNESSES_MIN;
}

#define WS_INLINED_SHARE 0.7 /* of a feature that came with an inlined function */

struct ws_likeness {
	double alike;  /* 0 to 1: between the two below */
	double recall; /* of what the function does, the body does; bits: that much came */
	double precision;
	double bits;
};

/* inlined_share: as above, or 1 where what may stand inside is no evidence against it. */
struct ws_likeness ws_unit_likeness(const struct ws_unit *unit, size_t function, size_t body,
				    double inlined_share);
/* The numbers alone, whatever may stand inside: 0 to 1. */
double ws_unit_numbers_alike(const struct ws_unit *unit, size_t function, size_t body);

/* The body at an address, or -1. */
long ws_unit_body(const struct ws_unit *unit, uint64_t address);
void ws_unit_name(struct ws_unit *unit, size_t body, size_t function, double score);

bool ws_indexes_add(struct ws_indexes *list, size_t value); /* no repeats; false: no memory */
bool ws_indexes_has(const struct ws_indexes *list, size_t value);

int ws_recover_send_pointers(struct resolver *r, const struct ws_scan *scan, struct ws_error *err);
int ws_recover_variables(struct resolver *r, const struct ws_scan *scan, struct ws_error *err);

#endif
