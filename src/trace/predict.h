/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * predict.h: what both sides of the coding have in common, so that they cannot differ: the value
 * that is expected of a column, and the signed difference to it. Everything is inlined with
 * constant `predict` and `width`: these are the innermost loops of writing and replaying.
 */
#ifndef WS_TRACE_PREDICT_H
#define WS_TRACE_PREDICT_H

#include <string.h>

#include "trace/columns.h"

#define ws_always_inline inline __attribute__((always_inline))

/* Records of one class whose column is coded: places in the area, of each and of the one before it.
 */
struct ws_pairs {
	const uint32_t *at;
	const uint32_t *prev;
	size_t count;
};

static ws_always_inline uint64_t ws_load(const char *at, const unsigned int width)
{
	uint64_t value = 0;

	memcpy(&value, at, width);
	return value;
}

static ws_always_inline void ws_store(char *at, uint64_t value, const unsigned int width)
{
	memcpy(at, &value, width);
}

static ws_always_inline uint64_t ws_load_time(const char *rec)
{
	return ws_load(rec + offsetof(struct ws_rec, time_ns), 8);
}

static ws_always_inline uint64_t ws_predicted(const char *rec, const char *prev,
					      const struct ws_columns_kind *kind,
					      const struct ws_disk_column *column,
					      const unsigned int predict, const unsigned int width)
{
	uint64_t value;
	unsigned int i;

	switch (predict) {
	case WS_PREDICT_PREV:
		return ws_load(prev + column->offset, width);
	case WS_PREDICT_PREV_FIELD:
		return ws_load(prev + column->arg, width);
	case WS_PREDICT_FIELD:
		return ws_load(rec + column->arg, width);
	case WS_PREDICT_SUM:
		value = ws_load(prev + column->offset, width);
		for (i = 0; i < kind->parts; i++)
			value += ws_load(rec + kind->part[i], 8);
		return value;
	case WS_PREDICT_CLOCK_US:
		value = ws_load_time(rec) - ws_load_time(prev);
		return ws_load(prev + column->offset, width) + (uint64_t)((int64_t)value / 1000);
	default:
		return 0;
	}
}

static ws_always_inline bool ws_predict_is_signed(const unsigned int predict)
{
	return predict != WS_PREDICT_NONE && predict != WS_PREDICT_PART;
}

static inline bool ws_predict_from_others(unsigned int predict)
{
	return predict != WS_PREDICT_NONE && predict != WS_PREDICT_PART &&
	       predict != WS_PREDICT_SIGNED;
}

/* Differences wrap at the column's width and then are small numbers whether up or down. */
static ws_always_inline uint64_t ws_zigzag(uint64_t difference, const unsigned int width)
{
	const unsigned int unused = 64 - 8 * width;
	int64_t value = (int64_t)(difference << unused) >> unused;

	return (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
}

static ws_always_inline uint64_t ws_unzigzag(uint64_t value)
{
	return value >> 1 ^ -(value & 1);
}

/* Calls `fn(args..., predict, width)` with both as constants. */
#define WS_PREDICT_CASE(fn, p, w, ...)              \
	case WS_PREDICT_##p:                        \
		fn(__VA_ARGS__, WS_PREDICT_##p, w); \
		break;
#define WS_PREDICT_WIDTH(fn, p, w, ...)                         \
	switch (p) {                                            \
		WS_PREDICT_CASE(fn, NONE, w, __VA_ARGS__)       \
		WS_PREDICT_CASE(fn, SIGNED, w, __VA_ARGS__)     \
		WS_PREDICT_CASE(fn, PREV, w, __VA_ARGS__)       \
		WS_PREDICT_CASE(fn, PREV_FIELD, w, __VA_ARGS__) \
		WS_PREDICT_CASE(fn, FIELD, w, __VA_ARGS__)      \
		WS_PREDICT_CASE(fn, PART, w, __VA_ARGS__)       \
		WS_PREDICT_CASE(fn, SUM, w, __VA_ARGS__)        \
		WS_PREDICT_CASE(fn, CLOCK_US, w, __VA_ARGS__)   \
	default:                                                \
		break;                                          \
	}
#define WS_PREDICT_DISPATCH(fn, p, w, ...)              \
	switch (w) {                                    \
	case 1:                                         \
		WS_PREDICT_WIDTH(fn, p, 1, __VA_ARGS__) \
		break;                                  \
	case 2:                                         \
		WS_PREDICT_WIDTH(fn, p, 2, __VA_ARGS__) \
		break;                                  \
	case 4:                                         \
		WS_PREDICT_WIDTH(fn, p, 4, __VA_ARGS__) \
		break;                                  \
	default:                                        \
		WS_PREDICT_WIDTH(fn, p, 8, __VA_ARGS__) \
		break;                                  \
	}

#endif
