/* SPDX-License-Identifier: BSD-2-Clause */
/* value.c: one field of a record out of JSON, by the schema alone: the inverse of json_event.c. */
#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "import/parts.h"

#define TICK_NS 10000000ULL /* of STARTTICKS: USER_HZ is 100 */

__attribute__((format(printf, 2, 3))) static bool wrong(char why[WS_IMPORT_WHY], const char *fmt,
							...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, WS_IMPORT_WHY, fmt, ap);
	va_end(ap);
	return false;
}

bool ws_import_session_id(const char *text, uint32_t *pid, uint64_t *ticks)
{
	unsigned long long value;
	char *end;

	if (!isdigit((unsigned char)text[0]) || strlen(text) > 31)
		return false;
	value = strtoull(text, &end, 10);
	if (*end != '.' || !isdigit((unsigned char)end[1]) || !value || value > UINT32_MAX)
		return false;
	*pid = (uint32_t)value;
	value = strtoull(end + 1, &end, 10);
	if (*end || value > UINT64_MAX / TICK_NS)
		return false;
	*ticks = value;
	return true;
}

static bool find_name(const struct ws_field *field, const char *name, uint64_t *value)
{
	for (unsigned int i = 0; i < field->name_count; i++) {
		if (!field->names[i] || strcmp(field->names[i], name) != 0)
			continue;
		*value = i;
		return true;
	}
	return false;
}

/* A name, or a number that had none. */
static bool named_value(const struct ws_field *field, const json_t *value, uint64_t *number,
			char why[WS_IMPORT_WHY])
{
	if (json_is_integer(value) && json_integer_value(value) >= 0) {
		*number = (uint64_t)json_integer_value(value);
		return true;
	}
	if (!json_is_string(value))
		return wrong(why, "%s: not a name", field->name);
	if (!find_name(field, json_string_value(value), number))
		return wrong(why, "%s: unknown name \"%.40s\"", field->name,
			     json_string_value(value));
	return true;
}

static bool flags_value(const struct ws_field *field, const json_t *value, uint64_t *number,
			char why[WS_IMPORT_WHY])
{
	uint64_t bit;

	*number = 0;
	if (!json_is_array(value))
		return wrong(why, "%s: not an array of names", field->name);
	for (size_t i = 0; i < json_array_size(value); i++) {
		if (!named_value(field, json_array_get(value, i), &bit, why))
			return false;
		if (bit >= 8U * field->size)
			return wrong(why, "%s: no such flag", field->name);
		*number |= 1ULL << bit;
	}
	return true;
}

static bool sqlstate_value(const char *text, uint64_t *number)
{
	*number = 0;
	if (strlen(text) != 5)
		return false;
	for (int i = 0; i < 5; i++) {
		unsigned int c = (unsigned char)text[i];

		if (c < '0' || c > '0' + 63U)
			return false;
		*number |= (uint64_t)(c - '0') << (6 * i);
	}
	return true;
}

static bool hex_value(const char *text, uint64_t *number)
{
	char *end;

	if (!isxdigit((unsigned char)text[0]) || strlen(text) > 16)
		return false;
	*number = strtoull(text, &end, 16);
	return *end == '\0';
}

static bool string_value(const struct ws_field *field, const json_t *value,
			 const struct ws_import_mono *time, uint64_t *number,
			 char why[WS_IMPORT_WHY])
{
	const char *text = json_string_value(value);
	int64_t wall;

	if (!text)
		return wrong(why, "%s: not a string", field->name);
	switch (field->type) {
	case WS_FIELD_LSN:
		if (!ws_lsn_parse(text, number))
			return wrong(why, "%s: \"%.40s\" is no LSN", field->name, text);
		return true;
	case WS_FIELD_TIME:
		if (!ws_time_parse(text, &wall))
			return wrong(why, "%s: \"%.40s\" is no time", field->name, text);
		*number = ws_import_mono_of(time, wall);
		return true;
	case WS_FIELD_SQLSTATE:
		if (!sqlstate_value(text, number))
			return wrong(why, "%s: \"%.40s\" is no SQLSTATE", field->name, text);
		return true;
	default:
		if (!hex_value(text, number))
			return wrong(why, "%s: \"%.40s\" is not hexadecimal", field->name, text);
		return true;
	}
}

static bool one_value(const struct ws_field *field, const json_t *value,
		      const struct ws_import_mono *time, uint64_t *number, char why[WS_IMPORT_WHY])
{
	switch (field->type) {
	case WS_FIELD_UINT:
	case WS_FIELD_DURATION:
		if (!json_is_integer(value) || json_integer_value(value) < 0)
			return wrong(why, "%s: not a number from 0 on", field->name);
		*number = (uint64_t)json_integer_value(value);
		return true;
	case WS_FIELD_INT:
		if (!json_is_integer(value))
			return wrong(why, "%s: not a number", field->name);
		*number = (uint64_t)json_integer_value(value);
		return true;
	case WS_FIELD_ENUM:
		return named_value(field, value, number, why);
	case WS_FIELD_FLAGS:
		return flags_value(field, value, number, why);
	default:
		return string_value(field, value, time, number, why);
	}
}

static bool is_array_of(const struct ws_field *field, const json_t *value)
{
	return json_is_array(value) && json_array_size(value) <= field->count;
}

static bool array_value(const struct ws_field *field, const json_t *value, struct ws_rec *rec,
			char why[WS_IMPORT_WHY])
{
	uint64_t number;

	if (field->names ? !json_is_object(value) : !is_array_of(field, value))
		return wrong(why, "%s: not %s", field->name,
			     field->names ? "an object" : "an array of as many");
	for (unsigned int i = 0; i < field->count && (!field->names || i < field->name_count);
	     i++) {
		const json_t *item = !field->names     ? json_array_get(value, i)
				     : field->names[i] ? json_object_get(value, field->names[i])
						       : NULL;

		if (!item || json_is_null(item))
			continue;
		if (!one_value(field, item, NULL, &number, why))
			return false;
		if (!ws_field_store(field, rec, i, number))
			return wrong(why, "%s: too large", field->name);
	}
	return true;
}

static bool put_text(const struct ws_field *field, unsigned int index, const char *text, size_t len,
		     struct ws_rec *rec, char why[WS_IMPORT_WHY])
{
	bool counted = field->type == WS_FIELD_TEXT && field->len_offset;
	size_t room = field->type == WS_FIELD_STRING ? field->size - 1U
		      : counted			     ? WS_TEXT_CHUNK
						     : WS_REC_SIZE_MAX - field->offset - 1U;
	uint32_t said = (uint32_t)len, had;

	if (len > room)
		return wrong(why, "%s: %zu bytes, where %zu have room", field->name, len, room);
	if (!counted && memchr(text, 0, len))
		return wrong(why, "%s: holds a NUL", field->name);
	memcpy((char *)rec + field->offset + (size_t)index * field->size, text, len);
	ws_field_mark(field, rec);
	if (field->type == WS_FIELD_STRING)
		return true;
	rec->size = (__u16)(field->offset + len + (counted ? 0 : 1));
	if (!counted)
		return true;
	memcpy(&had, (char *)rec + field->len_offset, sizeof(had));
	if (had && had != said)
		return wrong(why, "%s: %u bytes, where %u are announced", field->name, said, had);
	memcpy((char *)rec + field->len_offset, &said, sizeof(said));
	return true;
}

static int nibble(char c)
{
	return isdigit((unsigned char)c)    ? c - '0'
	       : isxdigit((unsigned char)c) ? tolower((unsigned char)c) - 'a' + 10
					    : -1;
}

static bool take_hex(const json_t *value, struct ws_buf *bytes, char why[WS_IMPORT_WHY])
{
	const char *text = json_string_value(value);
	size_t len = text ? json_string_length(value) : 0;

	ws_buf_clear(bytes);
	if (!text || len % 2)
		return wrong(why, "not pairs of hexadecimal digits");
	for (size_t i = 0; i < len; i += 2) {
		int high = nibble(text[i]), low = nibble(text[i + 1]);
		char byte;

		if (high < 0 || low < 0)
			return wrong(why, "not pairs of hexadecimal digits");
		byte = (char)(high << 4 | low);
		if (ws_buf_add(bytes, &byte, 1))
			return wrong(why, "out of memory");
	}
	return true;
}

/* An array of STRINGs; `bytes`: of what JSON has no way to say (event.c). */
static bool texts_value(const struct ws_field *field, const json_t *value, struct ws_buf *bytes,
			struct ws_rec *rec, char why[WS_IMPORT_WHY])
{
	if (!is_array_of(field, value))
		return wrong(why, "%s: not an array of as many", field->name);
	for (unsigned int i = 0; i < json_array_size(value); i++) {
		const json_t *item = json_array_get(value, i);
		const char *text = json_string_value(item);
		size_t len = text ? json_string_length(item) : 0;

		if (!text)
			return wrong(why, "%s: not strings", field->name);
		if (bytes && !take_hex(item, bytes, why))
			return false;
		if (bytes) {
			text = bytes->data ? bytes->data : "";
			len = bytes->len;
		}
		if (!put_text(field, i, text, len, rec, why))
			return false;
	}
	return true;
}

bool ws_import_bytes(const struct ws_field *field, const json_t *value, struct ws_buf *bytes,
		     struct ws_rec *rec, char why[WS_IMPORT_WHY])
{
	if (field->count > 1)
		return texts_value(field, value, bytes, rec, why);
	return take_hex(value, bytes, why) &&
	       put_text(field, 0, bytes->data ? bytes->data : "", bytes->len, rec, why);
}

bool ws_import_value(const struct ws_field *field, const json_t *value,
		     const struct ws_import_mono *time, struct ws_rec *rec, char why[WS_IMPORT_WHY])
{
	uint64_t number;

	if (field->type == WS_FIELD_STRING && field->count > 1)
		return texts_value(field, value, NULL, rec, why);
	if (field->type == WS_FIELD_STRING || field->type == WS_FIELD_TEXT) {
		if (!json_is_string(value))
			return wrong(why, "%s: not a string", field->name);
		return put_text(field, 0, json_string_value(value), json_string_length(value), rec,
				why);
	}
	if (field->count > 1)
		return array_value(field, value, rec, why);
	if (!one_value(field, value, time, &number, why))
		return false;
	/* Flags of a record are set besides those that its fields have set. */
	if (field->type == WS_FIELD_FLAGS)
		number |= ws_field_load(field, rec, 0);
	if (!ws_field_store(field, rec, 0, number))
		return wrong(why, "%s: too large", field->name);
	return true;
}
