/* SPDX-License-Identifier: BSD-2-Clause */
#include "trace/numbers.h"

#include <string.h>

#include "base/util.h"

/* Shorter planes are not worth a Huffman table of their own. */
#define CUT_MIN 512

static int cut_at(struct ws_cuts *cuts, size_t at)
{
	size_t *slot;

	if (!cuts || (cuts->count && cuts->at[cuts->count - 1] == at))
		return 0;
	slot = ws_array_grow(&cuts->at, &cuts->count, &cuts->cap, sizeof(*slot));
	if (!slot)
		return -1;
	*slot = at;
	return 0;
}

static int put_same(struct ws_buf *out, uint64_t value)
{
	char bytes[1 + sizeof(value)] = { WS_NUMBERS_SAME };

	if (!value)
		return ws_buf_add(out, "", 1);
	memcpy(bytes + 1, &value, sizeof(value));
	return ws_buf_add(out, bytes, sizeof(bytes));
}

/* As many as the numbers that are in `any` together need. */
static unsigned int planes_of(uint64_t any)
{
	return any ? (64 - (unsigned int)__builtin_clzll(any) + 7) / 8 : 0;
}

static int put_planes(struct ws_buf *out, struct ws_cuts *cuts, const uint64_t *value, size_t count)
{
	uint64_t any = 0, differs = 0;
	unsigned int planes, plane;
	size_t i;

	for (i = 0; i < count; i++) {
		any |= value[i];
		differs |= value[i] ^ value[0];
	}
	planes = planes_of(any);
	if (!any || (!differs && planes * count > sizeof(*value)))
		return put_same(out, value[0]);
	if (ws_buf_add(out, &(char){ (char)planes }, 1) || ws_buf_reserve(out, planes * count))
		return -1;
	for (plane = 0; plane < planes; plane++) {
		uint8_t *to = (uint8_t *)out->data + out->len;

		if (count >= CUT_MIN && cut_at(cuts, out->len))
			return -1;
		for (i = 0; i < count; i++)
			to[i] = (uint8_t)(value[i] >> (8 * plane));
		out->len += count;
	}
	out->data[out->len] = '\0';
	return count >= CUT_MIN ? cut_at(cuts, out->len) : 0;
}

/* A bit for each number, and those that are not zero moved to the front. */
static int put_bits(struct ws_buf *out, struct ws_cuts *cuts, uint64_t *value, size_t count)
{
	size_t size = (count + 7) / 8, kept = 0, i;
	uint8_t *bits;

	if (ws_buf_add(out, &(char){ WS_NUMBERS_SPARSE }, 1) || ws_buf_reserve(out, size) ||
	    (count >= CUT_MIN && cut_at(cuts, out->len)))
		return -1;
	bits = (uint8_t *)out->data + out->len;
	memset(bits, 0, size + 1);
	for (i = 0; i < count; i++) {
		if (!value[i])
			continue;
		bits[i / 8] |= (uint8_t)(1 << i % 8);
		value[kept++] = value[i];
	}
	out->len += size;
	return count >= CUT_MIN ? cut_at(cuts, out->len) : 0;
}

int ws_numbers_put(struct ws_buf *out, struct ws_cuts *cuts, uint64_t *value, size_t count)
{
	size_t others = 0, i;
	uint64_t any = 0;

	if (!count)
		return 0;
	for (i = 0; i < count; i++) {
		others += value[i] != 0;
		any |= value[i];
	}
	/* Do the bits cost less than the zeros? Few others are as well told by matches. */
	if ((count - others) * planes_of(any) <= count / 8 + 2 || others * 64 < count)
		return put_planes(out, cuts, value, count);
	return put_bits(out, cuts, value, count) || put_planes(out, cuts, value, others) ? -1 : 0;
}

const void *ws_cursor_bytes(struct ws_cursor *in, size_t size)
{
	const void *bytes = in->at;

	if (size > (size_t)(in->end - in->at))
		return NULL;
	in->at += size;
	return bytes;
}

/* The compiler turns these into vector instructions; restrict tells it that it may. */
static void first_plane(uint64_t *restrict value, const uint8_t *restrict from, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		value[i] = from[i];
}

static void two_planes(uint64_t *restrict value, const uint8_t *restrict from, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		value[i] = from[i] | (uint64_t)from[count + i] << 8;
}

static void next_plane(uint64_t *restrict value, const uint8_t *restrict from, size_t count,
		       unsigned int shift)
{
	size_t i;

	for (i = 0; i < count; i++)
		value[i] |= (uint64_t)from[i] << shift;
}

static int get_planes(struct ws_cursor *in, uint64_t *value, size_t count)
{
	const uint8_t *mode, *bytes;
	uint64_t same = 0;
	unsigned int plane;
	size_t i;

	mode = ws_cursor_bytes(in, 1);
	if (!mode || *mode > WS_NUMBERS_SAME)
		return -1;
	if (*mode == 0 || *mode == WS_NUMBERS_SAME) {
		bytes = ws_cursor_bytes(in, *mode ? sizeof(same) : 0);
		if (!bytes)
			return -1;
		memcpy(&same, bytes, *mode ? sizeof(same) : 0);
		for (i = 0; i < count; i++)
			value[i] = same;
		return 0;
	}
	bytes = ws_cursor_bytes(in, *mode * count);
	if (!bytes)
		return -1;
	if (*mode == 1)
		first_plane(value, bytes, count);
	else
		two_planes(value, bytes, count);
	for (plane = 2; plane < *mode; plane++)
		next_plane(value, bytes + plane * count, count, 8 * plane);
	return 0;
}

/* The bits of an array that has some, else NULL; *others: how many numbers follow as planes. 0, or
 * -1: it is not sound. */
static int get_bits(struct ws_cursor *in, size_t count, const uint8_t **bits, size_t *others)
{
	size_t i;

	*bits = NULL;
	*others = count;
	if (in->at == in->end || *in->at != WS_NUMBERS_SPARSE)
		return 0;
	in->at++;
	*bits = ws_cursor_bytes(in, (count + 7) / 8);
	if (!*bits)
		return -1;
	for (*others = 0, i = 0; i < count / 8; i++)
		*others += (size_t)__builtin_popcount((*bits)[i]);
	if (count % 8)
		*others += (size_t)__builtin_popcount((*bits)[i] & ((1u << count % 8) - 1));
	return *others ? 0 : -1;
}

int ws_numbers_get(struct ws_cursor *in, uint64_t *value, size_t count)
{
	const uint8_t *bits;
	size_t others, i;

	if (!count)
		return 0;
	if (get_bits(in, count, &bits, &others) || get_planes(in, value, others))
		return -1;
	/* From the end, so that none is overwritten before it is moved. */
	for (i = bits ? count : 0; i-- > 0;) {
		uint64_t bit = bits[i / 8] >> i % 8 & 1;

		others -= bit;
		value[i] = value[others] & -bit;
	}
	return 0;
}

bool ws_numbers_get_zeros(struct ws_cursor *in, size_t count)
{
	if (!count)
		return true;
	if (in->at == in->end || *in->at)
		return false;
	in->at++;
	return true;
}

int ws_numbers_skip(struct ws_cursor *in, size_t count)
{
	const uint8_t *bits, *mode;
	size_t others, size;

	if (!count)
		return 0;
	if (get_bits(in, count, &bits, &others))
		return -1;
	mode = ws_cursor_bytes(in, 1);
	if (!mode || *mode > WS_NUMBERS_SAME)
		return -1;
	size = *mode == WS_NUMBERS_SAME ? sizeof(uint64_t) : *mode * others;
	return ws_cursor_bytes(in, size) ? 0 : -1;
}

static bool takes_part(const char *area, uint32_t offset, uint16_t min_size)
{
	return ws_load(area + offset + offsetof(struct ws_rec, size), 2) >= min_size;
}

void ws_pairs_build(struct ws_pairs *pairs, size_t *anchors, const char *area, const uint32_t *list,
		    const uint32_t *run_count, size_t runs, uint16_t min_size, uint32_t *at,
		    uint32_t *prev)
{
	size_t start = 0, count = 0, run, i;
	uint32_t before = 0; /* the zeros in front of the area */

	for (run = 0; run < runs; start += run_count[run++]) {
		for (i = start; i < start + run_count[run]; i++) {
			if (!takes_part(area, list[i], min_size))
				continue;
			at[count] = list[i];
			prev[count++] = before;
			before = list[i];
			break;
		}
	}
	*anchors = count;
	start = 0;
	for (run = 0; run < runs; start += run_count[run++]) {
		before = 0;
		for (i = start; i < start + run_count[run]; i++) {
			if (!takes_part(area, list[i], min_size))
				continue;
			if (before) {
				at[count] = list[i];
				prev[count++] = before;
			}
			before = list[i];
		}
	}
	pairs->at = at;
	pairs->prev = prev;
	pairs->count = count;
}
