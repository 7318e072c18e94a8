/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * random_rec.h: sound records with random content, the same for the same seed.
 */
#ifndef TESTS_RANDOM_REC_H
#define TESTS_RANDOM_REC_H

#include <stddef.h>
#include <stdint.h>

#include "wire.h"

struct random_recs {
	uint64_t state;	  /* the seed */
	uint64_t time_ns; /* grows */
	uint32_t seq[8];  /* of each of eight sessions */
};

union random_rec {
	struct ws_rec h;
	char bytes[WS_REC_SIZE_MAX];
};

uint64_t random_next(struct random_recs *random);
/* A record of this kind (known or not), of any size the kind allows. */
void random_rec_of(struct random_recs *random, union random_rec *rec, uint16_t kind);
/* Any known kind, one time in 16 an unknown one. */
void random_rec(struct random_recs *random, union random_rec *rec);

#endif
