/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * text_sum.h: ends the hash of a long text that the programs began (bpf/text_sum.h).
 */
#ifndef WS_LIVE_TEXT_SUM_H
#define WS_LIVE_TEXT_SUM_H

#include <stdint.h>

#include "wire.h"

/*
 * XXH64, seed 0, of `len` bytes (at least one stripe of 32): from the four lanes behind the last
 * whole stripe and the len % 32 bytes that follow it. libxxhash has no way to take the lanes over:
 * the members of its state have other names in each release.
 */
uint64_t ws_xxh64_end(const __u64 lanes[4], uint64_t len, const uint8_t *tail);

/* From the record as the kernel makes it to the short form that is kept. */
struct ws_rec_text_sum ws_text_sum_end(const struct ws_rec_text_sum *wire);

#endif
