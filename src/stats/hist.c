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

static uint64_t count_at(const struct ws_hist *hist, uint32_t place)
{
	switch (hist->width) {
	case 2:
		return ((const uint16_t *)hist->buckets)[place];
	case 4:
		return ((const uint32_t *)hist->buckets)[place];
	default:
		return ((const uint64_t *)hist->buckets)[place];
	}
}

/* False: it is too much for buckets of this width. */
static inline bool count_up(struct ws_hist *hist, uint32_t place, uint64_t n)
{
	switch (hist->width) {
	case 2:
		if (n > (uint64_t)UINT16_MAX - ((uint16_t *)hist->buckets)[place])
			return false;
		((uint16_t *)hist->buckets)[place] += (uint16_t)n;
		return true;
	case 4:
		if (n > (uint64_t)UINT32_MAX - ((uint32_t *)hist->buckets)[place])
			return false;
		((uint32_t *)hist->buckets)[place] += (uint32_t)n;
		return true;
	default:
		((uint64_t *)hist->buckets)[place] += n;
		return true;
	}
}

/* To buckets of twice the width. -1: out of memory, nothing has changed. */
static int widen(struct ws_hist *hist)
{
	struct ws_hist wide = *hist;

	wide.width *= 2;
	wide.buckets = calloc(hist->allocated, wide.width);
	if (!wide.buckets)
		return -1;
	for (uint32_t i = 0; i < hist->allocated; i++)
		count_up(&wide, i, count_at(hist, i));
	free(hist->buckets);
	*hist = wide;
	return 0;
}

static int count(struct ws_hist *hist, uint32_t place, uint64_t n)
{
	while (!count_up(hist, place, n))
		if (widen(hist))
			return -1;
	return 0;
}

/*
 * Makes room for the buckets from `from` to `to`. Grows by whole octaves, so that a histogram is
 * reallocated at most once per octave it spans, however its values arrive.
 */
static int cover(struct ws_hist *hist, uint32_t from, uint32_t to)
{
	uint32_t first = from / SUB * SUB;
	uint32_t end = (to / SUB + 1) * SUB;
	uint32_t width = hist->width ? hist->width : sizeof(uint16_t);
	char *buckets;

	if (hist->allocated) {
		if (hist->first < first)
			first = hist->first;
		if (hist->first + hist->allocated > end)
			end = hist->first + hist->allocated;
		if (end - first == hist->allocated)
			return 0;
	}
	buckets = calloc(end - first, width);
	if (!buckets)
		return -1;
	if (hist->allocated)
		memcpy(buckets + (size_t)(hist->first - first) * width, hist->buckets,
		       (size_t)hist->allocated * width);
	free(hist->buckets);
	hist->buckets = buckets;
	hist->first = first;
	hist->allocated = end - first;
	hist->width = width;
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
	if (count(hist, index - hist->first, n))
		return -1;
	if (!hist->count || value < hist->min)
		hist->min = value;
	if (value > hist->max)
		hist->max = value;
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
		if (count(into, from->first - into->first + i, count_at(from, i)))
			return -1;
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
		seen += count_at(hist, i);
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

		if (!count_at(hist, i))
			continue;
		bucket->lo = lower_bound(hist->first + i);
		bucket->hi = upper_bound(hist->first + i);
		bucket->count = count_at(hist, i);
		return 1;
	}
	return 0;
}
