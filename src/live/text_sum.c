/* SPDX-License-Identifier: BSD-2-Clause */
#include "live/text_sum.h"

#include <string.h>

#include "xxh64.h"

static uint64_t load_le(const uint8_t *at, unsigned int size)
{
	uint64_t value = 0;

	while (size--)
		value = value << 8 | at[size];
	return value;
}

static uint64_t mix_tail(uint64_t hash, const uint8_t *at, uint64_t left)
{
	for (; left >= 8; at += 8, left -= 8) {
		hash ^= ws_xxh64_round(0, load_le(at, 8));
		hash = ws_xxh64_rotl(hash, 27) * WS_XXH64_P1 + WS_XXH64_P4;
	}
	if (left >= 4) {
		hash ^= load_le(at, 4) * WS_XXH64_P1;
		hash = ws_xxh64_rotl(hash, 23) * WS_XXH64_P2 + WS_XXH64_P3;
		at += 4;
		left -= 4;
	}
	for (; left; at++, left--)
		hash = ws_xxh64_rotl(hash ^ *at * WS_XXH64_P5, 11) * WS_XXH64_P1;
	return hash;
}

uint64_t ws_xxh64_end(const __u64 lanes[4], uint64_t len, const uint8_t *tail)
{
	uint64_t hash = ws_xxh64_rotl(lanes[0], 1) + ws_xxh64_rotl(lanes[1], 7) +
			ws_xxh64_rotl(lanes[2], 12) + ws_xxh64_rotl(lanes[3], 18);

	for (int i = 0; i < 4; i++)
		hash = (hash ^ ws_xxh64_round(0, lanes[i])) * WS_XXH64_P1 + WS_XXH64_P4;
	hash = mix_tail(hash + len, tail, len % WS_XXH64_STRIPE);
	hash = (hash ^ hash >> 33) * WS_XXH64_P2;
	hash = (hash ^ hash >> 29) * WS_XXH64_P3;
	return hash ^ hash >> 32;
}

struct ws_rec_text_sum ws_text_sum_end(const struct ws_rec_text_sum *wire)
{
	struct ws_rec_text_sum rec = { 0 };

	memcpy(&rec, wire, WS_TEXT_SUM_SIZE);
	rec.h.size = WS_TEXT_SUM_SIZE;
	if (rec.h.flags & WS_TEXT_SUM_HASH)
		rec.hash = ws_xxh64_end(wire->lanes, wire->len, wire->tail);
	return rec;
}
