/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * site.h: picks the instruction for one row of the catalogue. For src/probe/ and its tests.
 */
#ifndef WS_PROBE_SITE_H
#define WS_PROBE_SITE_H

#include "probe/body.h"
#include "probe/plan.h"

/* What a row's names mean in the binary at hand. */
struct ws_site_query {
	const struct ws_probe *probe;
	uint64_t callee; /* the function's address; 0 if it is not known */
	uint64_t table;	 /* the variable that points to a table of functions, for a call through one
			  */
	int64_t slot;	 /* the slot in that table, in bytes */
	uint64_t condition; /* of WS_PICK_BEHIND_FALSE: the function's address; 0 if it is not known
			     */
	uint64_t guard;	    /* the variable's address, if it is the guarded way of a stand-in that
			       counts */
	/* Where a site may not be, because another row has it. */
	bool (*is_taken)(const void *arg, uint64_t address);
	const void *arg;
};

#define WS_SITE_REASON 160

struct ws_site_choice {
	size_t index;	   /* of the instruction in the body */
	size_t call_index; /* of the call, for sites at or behind one */
	enum ws_cost cost;
	bool no_copy; /* of WS_PICK_COPY: there is but one call, or none; of WS_PICK_NTH: fewer */
	char reason[WS_SITE_REASON]; /* why there is none, or what is not as good as it could be */
};

/* False if there is no right instruction: `reason` says why. */
bool ws_site_find(const struct ws_body *body, const struct ws_site_query *query,
		  struct ws_site_choice *choice);

/*
 * Where in the caller's frame the object lies whose address is argument `arg` (1 and up) of the
 * call at `call_index`: *reg + *disp, still true when control comes to `index` behind the call.
 * False if it cannot be told.
 */
bool ws_site_frame_argument(const struct ws_body *body, size_t call_index, size_t index, int arg,
			    int *reg, int32_t *disp);

#endif
