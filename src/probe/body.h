/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * body.h: one function's instructions and how control comes to each of them. For src/probe/ and its
 * tests.
 */
#ifndef WS_PROBE_BODY_H
#define WS_PROBE_BODY_H

#include "symbol/code.h"

/* How control comes to an instruction other than from the one before it. */
struct ws_edges {
	uint16_t branches; /* direct jumps and branches of the function's own, at most UINT16_MAX */
	bool outside; /* a jump table, or a fragment of the function (its cold part) leads here */
};

struct ws_body {
	const struct ws_image *image;
	struct ws_code code;
	struct ws_edges *edges; /* one per instruction */
};

/*
 * Decodes the function that starts at `address`. Fails if it has no range of its own, or cannot be
 * decoded to its end: then no claim about its branches would hold. Free with ws_body_deinit.
 */
int ws_body_load(const struct ws_image *image, uint64_t address, uint64_t size,
		 struct ws_body *body, struct ws_error *err);
void ws_body_deinit(struct ws_body *body);

/* Can control come here other than from the instruction before? */
bool ws_body_is_entered(const struct ws_body *body, size_t i);

/*
 * Marks the calls through a table of function pointers: matches[i] is set where instruction i is an
 * indirect call of `*(*(void ***)variable + slot / 8)` on every path that leads to it.
 * `caller_saved` are the registers a call may change. Returns false when memory ran out.
 */
bool ws_body_slot_calls(const struct ws_body *body, uint64_t variable, int64_t slot,
			uint32_t caller_saved, bool *matches);

#endif
