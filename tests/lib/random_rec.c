/* SPDX-License-Identifier: BSD-2-Clause */
#include "random_rec.h"

#include <string.h>

#include "base/util.h"
#include "event/schema.h"

uint64_t random_next(struct random_recs *random)
{
	uint64_t z = random->state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

static void fill(struct random_recs *random, char *to, size_t size)
{
	size_t i;

	for (i = 0; i < size; i++)
		to[i] = (char)random_next(random);
}

static uint16_t size_of(struct random_recs *random, const struct ws_kind_info *info)
{
	uint64_t pick = random_next(random);
	unsigned int range;

	if (!info)
		return (uint16_t)(sizeof(struct ws_rec) + pick % 300);
	if (info->sizes[0])
		return info->sizes[info->sizes[1] ? pick % 2 : 0];
	/* Mostly small, as texts are: the tests read what they wrote thousands of times. */
	if (pick % 64 == 0)
		return pick & 64 ? info->max_size : info->min_size;
	range = info->max_size - info->min_size;
	return (uint16_t)(info->min_size + (pick >> 8) % ((range < 600 ? range : 600) + 1));
}

/* Makes sound what random bytes are not. */
static void amend(struct random_recs *random, const struct ws_field *field, union random_rec *rec)
{
	char *at = rec->bytes + field->offset;
	uint32_t value;

	if ((size_t)field->offset + (size_t)field->size * field->count > rec->h.size)
		return;
	switch (field->type) {
	case WS_FIELD_STRING:
		for (unsigned int i = 0; i < field->count; i++)
			at[i * field->size + random_next(random) % field->size] = '\0';
		break;
	case WS_FIELD_TEXT:
		value = rec->h.size - field->offset;
		if (!field->len_offset) {
			at[value - 1] = '\0';
			break;
		}
		value -= (uint32_t)(random_next(random) % 8 == 0 ? value / 2 : 0);
		memcpy(rec->bytes + field->len_offset, &value, sizeof(value));
		break;
	case WS_FIELD_ENUM:
		do {
			value = (uint32_t)(random_next(random) % field->name_count);
		} while (!field->names[value]);
		memcpy(at, &value, field->size);
		break;
	default:
		/* Half of the numbers small, as they are in life. */
		if (random_next(random) % 2)
			memset(at + 1, 0, (size_t)field->size * field->count - 1);
		break;
	}
}

void random_rec_of(struct random_recs *random, union random_rec *rec, uint16_t kind)
{
	const struct ws_kind_info *info = ws_kind_info(kind);
	uint64_t session = random_next(random) % WS_ARRAY_SIZE(random->seq);
	uint16_t size = size_of(random, info);
	size_t i;

	fill(random, rec->bytes, size);
	random->time_ns += random_next(random) % 2000000;
	rec->h.size = size;
	rec->h.kind = kind;
	rec->h.pid = (uint32_t)(1000 + session / 2); /* a pid comes again with another start */
	rec->h.start_ns = 77000000000ULL * (session + 1);
	rec->h.time_ns = random->time_ns;
	rec->h.seq = random->seq[session]++;
	rec->h.server = (uint16_t)(session % 3);
	for (i = 0; info && i < info->field_count; i++)
		amend(random, &info->fields[i], rec);
}

void random_rec(struct random_recs *random, union random_rec *rec)
{
	const struct ws_kind_info *kinds;
	uint16_t kind;
	size_t count;

	kinds = ws_kinds(&count);
	if (random_next(random) % 16) {
		random_rec_of(random, rec, kinds[random_next(random) % count].kind);
		return;
	}
	do {
		/* A few unknown numbers that come again, below and beyond WS_KIND_MAX. */
		kind = (uint16_t)(20 + 37 * (random_next(random) % 6));
	} while (ws_kind_info(kind));
	random_rec_of(random, rec, kind);
}
