/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * plan.h: which sites to plant in one server binary. Pure: attaches nothing, needs no privilege.
 *
 *   catalogue (what the project would like) + symbols + code -> plan (exact addresses, cost,
 * reasons)
 */
#ifndef WS_PROBE_PLAN_H
#define WS_PROBE_PLAN_H

#include "config.h"
#include "symbol/code.h"
#include "symbol/resolve.h"

enum ws_site_kind {
	WS_SITE_ENTRY = 1, /* in the entry block of `function`, the wanted registers still live */
	WS_SITE_CALL = 2,  /* at the call of `callee` inside `function` */
	WS_SITE_AFTER_CALL = 3, /* first emulated instruction behind that call, nothing branches
				   between; the result register is still live */
};

/* Which call it is where a function calls the callee more than once. */
enum ws_call_pick {
	WS_PICK_ONLY = 0,	/* there must be exactly one */
	WS_PICK_BEHIND_POINTER, /* the one straight behind a call through a function pointer of the
				   caller's own (send_data), not through a table */
	WS_PICK_FIRST,		/* the first by address: the compiler may have made copies of it */
	WS_PICK_COPY,		/* the second of two; no site is needed where there is but one */
	WS_PICK_NTH,		/* the `nth` by address; no site is needed where there are fewer */
	WS_PICK_BEHIND_FALSE,	/* the first call in the block that is entered only when `condition`
				   returned false */
};

/* One row of the catalogue. A site may have several, for different majors. */
struct ws_probe {
	enum ws_site site;
	const char *name;     /* "command_end": as doctor prints it */
	const char *function; /* where it is planted */
	const char
		*stand_in; /* planted there if `function` was inlined or not found; may be NULL */
	/* At the entry of a stand-in that every backend calls: a variable it begins with a test of,
	 * and returns at once where that says so. The site is in the other way on. */
	const char *guard;
	enum ws_site_kind kind;
	/* Of WS_SITE_CALL and WS_SITE_AFTER_CALL: a function's name, or "PqCommMethods+0x10" for a
	 * call through a slot of an exported table of function pointers. */
	const char *callee;
	enum ws_call_pick pick;
	unsigned int nth; /* of WS_PICK_NTH, from 1 on */
	bool or_entry;	  /* the function's entry will do where there is no such call (inlined) */
	const char *condition; /* of WS_PICK_BEHIND_FALSE: a function of the same caller */
	/* After a call: the site may be where a path around the call joins, as the programs tell
	 * the two by the session's stage. */
	bool may_join;
	const char *captures; /* for people: "cmd_string (arg 1)" */
	uint32_t args;	   /* argument registers that must be live: bit 0 is the first argument */
	bool wants_result; /* after a call: the result register must be live */
	int level;	   /* planted from this level on, */
	bool sleep_tells;  /* or from 3 on, where on_sleep (bpf/on_loop.h) tells the same below */
	/* The site that many more turns pass, and that this one is planted in place of below level
	 * 3: of the two one is planted, the other one if this one has no place. */
	enum ws_site coarse_of;
	int first_major, last_major; /* 0: no limit */
	bool required;		     /* without it, tracing does not work at all */
	bool walsender_only; /* else the programs filter; only the two exceptions of the design */
};
const struct ws_probe *ws_catalogue(size_t *count);
const char *ws_site_name(enum ws_site site);	       /* "command_end", NULL if there is none */
const char *ws_site_kind_name(enum ws_site_kind kind); /* "entry", "call", "after_call" */

enum ws_plan_status {
	WS_PLAN_PLANTED = 1,
	WS_PLAN_NOT_AT_LEVEL, /* found, but the level asked for is lower, or a finer one is planted
				 at it: not in the config */
	WS_PLAN_NOT_IN_MAJOR, /* or in this build of it there is no copy */
	WS_PLAN_MISSING,      /* `reason` says why */
};

struct ws_planned {
	const struct ws_probe *probe;
	enum ws_plan_status status;
	int level;	  /* planted from this level on */
	uint64_t address; /* in the file (vaddr) */
	uint64_t offset;  /* in the file, for attaching */
	enum ws_cost cost;
	enum ws_symbol_source source; /* of the function it is planted in */
	double confidence;
	const char *function; /* it is planted in: probe->function or probe->stand_in */
	char instruction[64];
	char reason[160]; /* of a missing site; of a planted one: what is not as good as it could be
			   */
};

struct ws_plan {
	struct ws_planned *sites; /* one per site, in the order of the catalogue */
	size_t count;
	size_t planted;
	int level;
	/* For the programs; `server` is left 0 for the attacher. */
	struct ws_server_config config;
};

struct ws_layout;

/*
 * Plans for a level (1 to 3). Fails only if a required site is missing (err names it and why) or
 * memory ran out; the plan is filled even then, for doctor to print. No two sites share an address.
 * Free with ws_plan_deinit.
 */
int ws_plan_make(const struct ws_image *image, const struct ws_symbol_set *symbols,
		 const struct ws_layout *layout, int major, int level, struct ws_plan *plan,
		 struct ws_error *err);
void ws_plan_deinit(struct ws_plan *plan);

#endif
