/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is asked of a record before anybody else looks at it. It may come from a torn recording or
 * from a program of another version: nothing in it is believed, and everything is found through the
 * schema.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "event/schema.h"

static uint64_t load_le(const void *at, size_t size)
{
	uint64_t value = 0;

	memcpy(&value, at, size);
	return value;
}

uint64_t ws_field_load(const struct ws_field *field, const struct ws_rec *rec, unsigned int index)
{
	const char *at = (const char *)rec + field->offset + (size_t)index * field->size;
	uint64_t value = load_le(at, field->size <= sizeof(value) ? field->size : 0);

	if (field->type == WS_FIELD_INT && field->size < sizeof(value)) {
		uint64_t sign = 1ULL << (8 * field->size - 1);

		value = (value ^ sign) - sign;
	}
	return value;
}

void ws_field_mark(const struct ws_field *field, struct ws_rec *rec)
{
	char *word = (char *)rec + field->valid_offset;
	uint64_t bits;

	if (!field->valid_mask)
		return;
	bits = load_le(word, field->valid_size) | field->valid_mask;
	memcpy(word, &bits, field->valid_size);
}

bool ws_field_store(const struct ws_field *field, struct ws_rec *rec, unsigned int index,
		    uint64_t value)
{
	char *at = (char *)rec + field->offset + (size_t)index * field->size;
	unsigned int bits = 8U * field->size;

	if (bits < 64 && field->type == WS_FIELD_INT) {
		int64_t limit = 1LL << (bits - 1);

		if ((int64_t)value >= limit || (int64_t)value < -limit)
			return false;
	} else if (bits < 64 && value >> bits) {
		return false;
	}
	memcpy(at, &value, field->size);
	ws_field_mark(field, rec);
	return true;
}

/* Minus one in a field of its size. */
static bool is_minus_one(const struct ws_field *field, uint64_t value)
{
	uint64_t mask = field->size < sizeof(value) ? (1ULL << (8 * field->size)) - 1 : UINT64_MAX;

	return (value & mask) == mask;
}

static bool is_unknown_value(const struct ws_field *field, const struct ws_rec *rec)
{
	switch (field->unknown) {
	case WS_UNKNOWN_ZERO:
		if (field->type == WS_FIELD_STRING)
			return !*((const char *)rec + field->offset);
		return ws_field_load(field, rec, 0) == 0;
	case WS_UNKNOWN_MINUS_ONE:
		return is_minus_one(field, ws_field_load(field, rec, 0));
	default:
		return false;
	}
}

bool ws_field_known(const struct ws_field *field, const struct ws_rec *rec)
{
	if ((size_t)field->offset + (size_t)field->size * field->count > rec->size)
		return false;
	if (field->valid_mask) {
		const char *word = (const char *)rec + field->valid_offset;

		if (!(load_le(word, field->valid_size) & field->valid_mask))
			return false;
	}
	return !is_unknown_value(field, rec);
}

__attribute__((format(printf, 3, 4))) static bool unsound(char *why, size_t size, const char *fmt,
							  ...)
{
	va_list ap;

	if (why && size) {
		va_start(ap, fmt);
		vsnprintf(why, size, fmt, ap);
		va_end(ap);
	}
	return false;
}

static bool size_allowed(const struct ws_kind_info *info, uint16_t size)
{
	if (info->sizes[0])
		return size == info->sizes[0] || (info->sizes[1] && size == info->sizes[1]);
	return size >= info->min_size && size <= info->max_size;
}

/* The field lies within the record. Consumers index tables by ENUM values and print strings. */
static bool field_valid(const struct ws_field *field, const struct ws_rec *rec, char *why,
			size_t why_size)
{
	const char *at = (const char *)rec + field->offset;
	size_t rest = rec->size - field->offset;
	uint64_t value;

	switch (field->type) {
	case WS_FIELD_STRING:
		for (unsigned int i = 0; i < field->count; i++)
			if (!memchr(at + (size_t)i * field->size, 0, field->size))
				return unsound(why, why_size, "%s does not terminate", field->name);
		return true;
	case WS_FIELD_TEXT:
		if (!field->len_offset) {
			if (!memchr(at, 0, rest))
				return unsound(why, why_size, "%s does not terminate", field->name);
			return true;
		}
		value = load_le((const char *)rec + field->len_offset, 4);
		if (value > rest)
			return unsound(why, why_size, "%s has %llu bytes where %zu are left",
				       field->name, (unsigned long long)value, rest);
		return true;
	case WS_FIELD_ENUM:
		value = ws_field_load(field, rec, 0);
		if (value < field->name_count && field->names[value])
			return true;
		if (value == 0 && field->unknown == WS_UNKNOWN_ZERO)
			return true;
		if (field->unknown == WS_UNKNOWN_MINUS_ONE && is_minus_one(field, value))
			return true;
		return unsound(why, why_size, "%s cannot be %llu", field->name,
			       (unsigned long long)value);
	default:
		return true;
	}
}

/* Most are numbers, of which each may be: not worth a look at each record. */
static bool is_checked(const struct ws_field *field)
{
	return field->type == WS_FIELD_ENUM || field->type == WS_FIELD_STRING ||
	       field->type == WS_FIELD_TEXT;
}

static bool is_there(const struct ws_field *field, const struct ws_rec *rec)
{
	/* Else it is of the longer size of this kind. */
	return (size_t)field->offset + (size_t)field->size * field->count <= rec->size;
}

static bool fields_valid(const struct ws_kind_info *info, const struct ws_rec *rec, char *why,
			 size_t why_size)
{
	size_t i;

	for (i = 0; i < info->field_count; i++) {
		const struct ws_field *field = &info->fields[i];

		if (is_checked(field) && is_there(field, rec) &&
		    !field_valid(field, rec, why, why_size))
			return false;
	}
	return true;
}

void ws_checks_init(struct ws_checks *checks)
{
	memset(checks, 0, sizeof(*checks));
	for (uint16_t kind = 0; kind < WS_KIND_MAX; kind++) {
		const struct ws_kind_info *info = ws_kind_info(kind);

		checks->kind[kind].info = info;
		for (size_t i = 0; info && i < info->field_count; i++)
			if (is_checked(&info->fields[i]) &&
			    checks->kind[kind].count < WS_CHECKS_MAX)
				checks->kind[kind].field[checks->kind[kind].count++] =
					&info->fields[i];
	}
}

bool ws_rec_valid(const void *data, size_t size, char *why, size_t why_size)
{
	const struct ws_rec *rec = data;
	const struct ws_kind_info *info;

	if (size < sizeof(*rec))
		return unsound(why, why_size, "%zu bytes are no record", size);
	if (rec->size < sizeof(*rec) || rec->size > WS_REC_SIZE_MAX)
		return unsound(why, why_size, "no record has %u bytes", rec->size);
	if (rec->size > size)
		return unsound(why, why_size, "%u bytes announced, %zu there", rec->size, size);
	if (!rec->kind)
		return unsound(why, why_size, "no kind");
	info = ws_kind_info(rec->kind);
	if (!info)
		return true;
	if (!size_allowed(info, rec->size))
		return unsound(why, why_size, "no %s has %u bytes", info->name, rec->size);
	if (!fields_valid(info, rec, why, why_size))
		return false;
	if (why && why_size)
		*why = '\0';
	return true;
}

bool ws_checks_pass(const struct ws_checks *checks, const void *data, size_t size)
{
	const struct ws_rec *rec = data;
	const struct ws_kind_info *info;

	if (size < sizeof(*rec) || rec->kind >= WS_KIND_MAX || !checks->kind[rec->kind].info ||
	    checks->kind[rec->kind].count == WS_CHECKS_MAX)
		return ws_rec_valid(data, size, NULL, 0);
	info = checks->kind[rec->kind].info;
	/* No kind allows less than a head, or more than WS_REC_SIZE_MAX. */
	if (rec->size > size || !size_allowed(info, rec->size))
		return false;
	for (unsigned int i = 0; i < checks->kind[rec->kind].count; i++) {
		const struct ws_field *field = checks->kind[rec->kind].field[i];

		if (is_there(field, rec) && !field_valid(field, rec, NULL, 0))
			return false;
	}
	return true;
}
