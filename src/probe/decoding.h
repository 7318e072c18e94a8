/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * decoding.h: what a logical walsender's memory says of its decoding. Read from outside, as often
 * as one likes; what changes meanwhile is read as it is, within bounds.
 *
 * The context of a stream is in a static variable of walsender.c (logical_decoding_ctx), which no
 * stripped server names. It is found by what it points to: a structure that knows the slot of the
 * process, whose reader and whose reorder buffer know the structure. Nothing else does.
 */
#ifndef WS_PROBE_DECODING_H
#define WS_PROBE_DECODING_H

#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "symbol/image.h"

/* A process, and what is known of its binary. */
struct ws_decoding_place {
	uint32_t pid;
	uint64_t base; /* load base of the server in it */
	const struct ws_offsets *off;
	uint64_t my_replication_slot; /* address in the file, 0: not known */
};

/* The image's writable part, with what lies between two segments of that kind. */
void ws_decoding_range(const struct ws_image *image, uint64_t *start, uint64_t *end);

/*
 * Where in the writable part of the file's image, from `start` to `end`, the pointer to the context
 * of the stream lies that the process runs. Addresses in the file; 0: not found.
 */
uint64_t ws_decoding_find(const struct ws_decoding_place *place, uint64_t start, uint64_t end);

/* The context that the variable at this address in the file points to; 0 if that is none of the
 * slot that the process holds now. */
uint64_t ws_decoding_context(const struct ws_decoding_place *place, uint64_t variable);
/* Is it the context of the slot that the process holds now? */
bool ws_decoding_is_context(const struct ws_decoding_place *place, uint64_t context);

/* Fills all that comes out of memory, and the bits for it in `valid`. `snapshot`: a slot is being
 * made, and how far its snapshot is counts. False if there is no slot. */
bool ws_decoding_read(const struct ws_decoding_place *place, uint64_t context, bool snapshot,
		      struct ws_rec_decoding *rec);
/* Adds what was written to disk of its transaction alone, by what the programs have added up,
 * unless a part of that may have been written before they watched: decoding was at `since_lsn` when
 * they did, at the latest. */
void ws_decoding_spilled(const struct ws_decoding *sums, uint64_t since_lsn,
			 struct ws_rec_decoding *rec);

#endif
