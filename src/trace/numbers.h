/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * numbers.h: arrays of numbers as bytes, and the order in which records of a class are coded.
 *
 * Numbers are stored as planes: the lowest bytes of all of them, then the second bytes, as many
 * planes as the largest number needs. Noise is then not mixed with what hardly changes, and both
 * sides are loops without a branch. Where many are zero, a bit each says which, and only the others
 * have planes: else each plane would tell it again.
 */
#ifndef WS_TRACE_NUMBERS_H
#define WS_TRACE_NUMBERS_H

#include "trace/columns.h"
#include "trace/predict.h"

/* First byte of an array of numbers: the number of planes that follow, or that all are this one. */
#define WS_NUMBERS_SAME	  9
#define WS_NUMBERS_SPARSE 10 /* a bit for each, then the array of those that are not zero */

/* value[] is used up. */
int ws_numbers_put(struct ws_buf *out, struct ws_cuts *cuts, uint64_t *value, size_t count);

/* What is left to be decoded. */
struct ws_cursor {
	const uint8_t *at, *end;
};

int ws_numbers_get(struct ws_cursor *in, uint64_t *value, size_t count);
/* Takes the array if all its numbers are zero; else nothing happens. */
bool ws_numbers_get_zeros(struct ws_cursor *in, size_t count);
int ws_numbers_skip(struct ws_cursor *in, size_t count);
/* The next `size` bytes, or NULL. */
const void *ws_cursor_bytes(struct ws_cursor *in, size_t size);

/*
 * The records of a class in the order of coding: first the first one of each run, told from the
 * first of the run before, then the others, told from the one before in their run. Only records of
 * at least `min_size` bytes take part. `list` holds the class's records run by run; at[] and prev[]
 * have room for all of them.
 */
void ws_pairs_build(struct ws_pairs *pairs, size_t *anchors, const char *area, const uint32_t *list,
		    const uint32_t *run_count, size_t runs, uint16_t min_size, uint32_t *at,
		    uint32_t *prev);

#endif
