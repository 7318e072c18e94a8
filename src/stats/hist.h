/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hist.h: log-linear histograms of unsigned 64-bit values (ns or bytes). A value's bucket is exact
 * up to 127 and at most 1/128 wide relative to its lower bound beyond (relative error under 0.8 %);
 * any two histograms can be merged. Memory grows only with the range of values seen.
 */
#ifndef WS_STATS_HIST_H
#define WS_STATS_HIST_H

#include <stddef.h>
#include <stdint.h>

struct ws_hist {
	uint64_t count;
	uint64_t min, max; /* exact; 0 if empty */
	double sum;
	void *buckets; /* `allocated` of them from index `first` on ... */
	uint32_t first, allocated;
	uint32_t width; /* ... of so many bytes each: 2, as long as none counts more, 4 or 8 */
};

/* Zero-initialise. Returns -1 when memory ran out (the value is then not counted). */
int ws_hist_add(struct ws_hist *hist, uint64_t value);
/* The same value `n` times (an average over n events of which only the sum is known). */
int ws_hist_add_n(struct ws_hist *hist, uint64_t value, uint64_t n);
int ws_hist_merge(struct ws_hist *into, const struct ws_hist *from);
void ws_hist_deinit(struct ws_hist *hist);

double ws_hist_mean(const struct ws_hist *hist);
/* The value at quantile q (0..1), the middle of its bucket, within [min, max]; q 0 is min, q 1 is
 * max; 0 if empty. */
uint64_t ws_hist_quantile(const struct ws_hist *hist, double q);

struct ws_hist_bucket {
	uint64_t lo, hi; /* values v with lo <= v <= hi */
	uint64_t count;
};
/* Non-empty buckets in ascending order: start with *cursor 0; 0 when there are no more. */
int ws_hist_next(const struct ws_hist *hist, uint32_t *cursor, struct ws_hist_bucket *bucket);

#endif
