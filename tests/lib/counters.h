/* SPDX-License-Identifier: BSD-2-Clause */
/* counters.h: what the programs counted, over all kinds. */
#ifndef WS_TESTS_COUNTERS_H
#define WS_TESTS_COUNTERS_H

#include <stdint.h>

#include "config.h"

/* `first` is WS_COUNTER_MADE_KIND or WS_COUNTER_LOST_KIND. */
static inline uint64_t counters_sum(const uint64_t counters[WS_COUNTER_COUNT],
				    enum ws_counter first)
{
	uint64_t sum = 0;

	for (int kind = 0; kind < WS_KIND_SERVER; kind++)
		sum += counters[first + kind];
	return sum;
}

#endif
