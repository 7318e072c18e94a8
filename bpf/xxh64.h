/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * xxh64.h: the half of XXH64 (seed 0) that goes over whole stripes of 32 bytes, for the programs;
 * live/text_sum.c ends what it began. Constants and steps are those of the algorithm's
 * specification (doc/xxhash_spec.md of xxHash).
 */
#ifndef WS_XXH64_H
#define WS_XXH64_H

#include <linux/types.h>

#define WS_XXH64_P1 11400714785074694791ULL
#define WS_XXH64_P2 14029467366897019727ULL
#define WS_XXH64_P3 1609587929392839161ULL
#define WS_XXH64_P4 9650029242287828579ULL
#define WS_XXH64_P5 2870177450012600261ULL

#define WS_XXH64_STRIPE 32

static inline __attribute__((always_inline)) __u64 ws_xxh64_rotl(__u64 value, int bits)
{
	return value << bits | value >> (64 - bits);
}

static inline __attribute__((always_inline)) __u64 ws_xxh64_round(__u64 lane, __u64 input)
{
	return ws_xxh64_rotl(lane + input * WS_XXH64_P2, 31) * WS_XXH64_P1;
}

/* The lanes before the first stripe. */
static inline __attribute__((always_inline)) void ws_xxh64_begin(__u64 lanes[4])
{
	lanes[0] = WS_XXH64_P1 + WS_XXH64_P2;
	lanes[1] = WS_XXH64_P2;
	lanes[2] = 0;
	lanes[3] = -WS_XXH64_P1;
}

#endif
