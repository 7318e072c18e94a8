/* SPDX-License-Identifier: BSD-2-Clause */
#include "stats/hist.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* 128 buckets per octave; the values below 128 make up the first "octave" and have one each. */
#define SUB_BITS 7
#define SUB	 (1U << SUB_BITS)

static uint32_t index_of(uint64_t value)
{
	uint32_t shift;

	if (value < SUB)
		return (uint32_t)value;
	shift = 63 - (uint32_t)__builtin_clzll(value) - SUB_BITS;
	return SUB * (shift + 1) + ((uint32_t)(value >> shift) & (SUB - 1));
}

static uint64_t lower_bound(uint32_t index)
{
	if (index < SUB)
		return index;
	return (uint64_t)(SUB + index % SUB) << (index / SUB - 1);
}

static uint64_t upper_bound(uint32_t index)
{
	if (index < SUB)
		return index;
	/* Not "the next one's lower bound - 1": the last bucket has no next one in 64 bits. */
	return lower_bound(index) + ((1ULL << (index / SUB - 1)) - 1);
}

/*
 * Makes room for the buckets from `from` to `to`. Grows by whole octaves, so that a histogram is
 * reallocated at most once per octave it spans, however its values arrive.
 */
static int cover(struct ws_hist *hist, uint32_t from, uint32_t to)
{
	uint32_t first = from / SUB * SUB;
	uint32_t end = (to / SUB + 1) * SUB;
	uint64_t *buckets;

	if (hist->allocated) {
		if (hist->first < first)
			first = hist->first;
		if (hist->first + hist->allocated > end)
			end = hist->first + hist->allocated;
		if (end - first == hist->allocated)
			return 0;
	}
	buckets = calloc(end - first, sizeof(*buckets));
	if (!buckets)
		return -1;
	if (hist->allocated)
		memcpy(buckets + (hist->first - first), hist->buckets,
		       hist->allocated * sizeof(*buckets));
	free(hist->buckets);
	hist->buckets = buckets;
	hist->first = first;
	hist->allocated = end - first;
	return 0;
}

int ws_hist_add_n(struct ws_hist *hist, uint64_t value, uint64_t n)
{
	uint32_t index = index_of(value);

	if (!n)
		return 0;
	/* An index below `first` wraps around and is refused as well. */
	if (index - hist->first >= hist->allocated && cover(hist, index, index))
		return -1;
	if (!hist->count || value < hist->min)
		hist->min = value;
	if (value > hist->max)
		hist->max = value;
	hist->buckets[index - hist->first] += n;
	hist->count += n;
	hist->sum += (double)value * (double)n;
	return 0;
}

int ws_hist_add(struct ws_hist *hist, uint64_t value)
{
	return ws_hist_add_n(hist, value, 1);
}

int ws_hist_merge(struct ws_hist *into, const struct ws_hist *from)
{
	if (!from->count)
		return 0;
	if (cover(into, from->first, from->first + from->allocated - 1))
		return -1;
	for (uint32_t i = 0; i < from->allocated; i++)
		into->buckets[from->first - into->first + i] += from->buckets[i];
	if (!into->count || from->min < into->min)
		into->min = from->min;
	if (from->max > into->max)
		into->max = from->max;
	into->count += from->count;
	into->sum += from->sum;
	return 0;
}

void ws_hist_deinit(struct ws_hist *hist)
{
	free(hist->buckets);
	memset(hist, 0, sizeof(*hist));
}

double ws_hist_mean(const struct ws_hist *hist)
{
	return hist->count ? hist->sum / (double)hist->count : 0;
}

static uint64_t clamp(uint64_t value, uint64_t min, uint64_t max)
{
	if (value < min)
		return min;
	return value > max ? max : value;
}

uint64_t ws_hist_quantile(const struct ws_hist *hist, double q)
{
	uint64_t rank, seen = 0;

	if (!hist->count)
		return 0;
	if (!(q > 0))
		return hist->min;
	if (q >= 1)
		return hist->max;
	/* The nearest-rank definition: the smallest value that q of all values do not exceed. */
	rank = (uint64_t)(q * (double)hist->count);
	if ((double)rank < q * (double)hist->count)
		rank++;
	rank = clamp(rank, 1, hist->count);
	for (uint32_t i = 0; i < hist->allocated; i++) {
		seen += hist->buckets[i];
		if (seen >= rank) {
			uint64_t lo = lower_bound(hist->first + i);
			uint64_t hi = upper_bound(hist->first + i);

			return clamp(lo + (hi - lo) / 2, hist->min, hist->max);
		}
	}
	return hist->max;
}

int ws_hist_next(const struct ws_hist *hist, uint32_t *cursor, struct ws_hist_bucket *bucket)
{
	while (*cursor < hist->allocated) {
		uint32_t i = (*cursor)++;

		if (!hist->buckets[i])
			continue;
		bucket->lo = lower_bound(hist->first + i);
		bucket->hi = upper_bound(hist->first + i);
		bucket->count = hist->buckets[i];
		return 1;
	}
	return 0;
}
