/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * json_event.c: any record as a JSON object, driven by the schema alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "export/event.h"
#include "export/json.h"

/* A number that has no name stays a number. */
static json_t *enum_value(const struct ws_field *field, uint64_t value)
{
	const char *name = ws_event_enum_name(field, value);

	return name ? json_string(name) : ws_json_uint(value);
}

/* Names of the bits that are set; a bit without a name as its number. */
static json_t *flags_value(const struct ws_field *field, uint64_t value)
{
	json_t *array = json_array();
	int rc = 0;

	for (unsigned int bit = 0; bit < 64 && value >> bit; bit++) {
		if (!(value >> bit & 1))
			continue;
		if (bit < field->name_count && field->names && field->names[bit])
			ws_json_append(array, json_string(field->names[bit]), &rc);
		else
			ws_json_append(array, json_integer(bit), &rc);
	}
	if (rc == 0)
		return array;
	json_decref(array);
	return NULL;
}

static json_t *one_value(const struct ws_export *ex, const struct ws_rec *rec,
			 const struct ws_field *field, size_t index)
{
	uint64_t value;
	const char *text;
	char sqlstate[6];
	size_t len;

	switch (field->type) {
	case WS_FIELD_INT:
		return json_integer((json_int_t)ws_field_load(field, rec, index));
	case WS_FIELD_STRING:
	case WS_FIELD_TEXT:
		text = ws_event_text_at(rec, field, index, &len);
		return ws_json_text(text, len);
	default:
		break;
	}
	value = ws_field_load(field, rec, index);
	switch (field->type) {
	case WS_FIELD_LSN:
		return ws_json_lsn(value);
	case WS_FIELD_TIME:
		return ws_json_time(ex, value);
	case WS_FIELD_ENUM:
		return enum_value(field, value);
	case WS_FIELD_FLAGS:
		return flags_value(field, value);
	case WS_FIELD_HEX:
		return json_sprintf("%016llx", (unsigned long long)value);
	case WS_FIELD_SQLSTATE:
		return json_string(ws_event_sqlstate((uint32_t)value, sqlstate));
	default:
		return ws_json_uint(value);
	}
}

static json_t *hex_of(const char *text, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	char *hex = malloc(2 * len + 1);
	json_t *value;

	if (!hex)
		return NULL;
	for (size_t i = 0; i < len; i++) {
		hex[2 * i] = digits[(unsigned char)text[i] >> 4];
		hex[2 * i + 1] = digits[(unsigned char)text[i] & 15];
	}
	value = json_stringn(hex, 2 * len);
	free(hex);
	return value;
}

static bool is_utf8(const char *text, size_t len)
{
	size_t i, n;

	for (i = 0; i < len && (n = ws_text_utf8_len(text + i, len - i)) > 0; i += n)
		;
	return i == len;
}

/* What JSON has no way to say, the pieces of a character and bytes of other encodings: "NAME_hex",
 * beside the text with marks in their place; of an array all of it, if any. */
static void put_bytes(json_t *o, const struct ws_rec *rec, const struct ws_field *field, int *rc)
{
	char key[64];
	size_t len;
	const char *text;
	bool needed = false;
	json_t *array;

	if ((field->type != WS_FIELD_STRING && field->type != WS_FIELD_TEXT) ||
	    !ws_field_known(field, rec))
		return;
	for (size_t i = 0; i < field->count && !needed; i++) {
		text = ws_event_text_at(rec, field, i, &len);
		needed = !is_utf8(text, len);
	}
	if (!needed)
		return;
	snprintf(key, sizeof(key), "%s_hex", field->name);
	if (field->count == 1) {
		text = ws_event_text(rec, field, &len);
		ws_json_put(o, key, hex_of(text, len), rc);
		return;
	}
	array = json_array();
	for (size_t i = 0; i < field->count; i++) {
		text = ws_event_text_at(rec, field, i, &len);
		ws_json_append(array, hex_of(text, len), rc);
	}
	ws_json_put(o, key, array, rc);
}

/* What makes the record whole for whoever makes one of it again. */
static void put_rest(json_t *o, const struct ws_rec *rec, const struct ws_kind_info *info, int *rc)
{
	const struct ws_rec_signal *signal = (const void *)rec;
	struct ws_session target = { 0 };
	char id[WS_SESSION_ID_TEXT];

	for (int i = 0; i < WS_HEAD_COUNT; i++) {
		const struct ws_field *field = ws_head_field(rec->kind, (enum ws_head_field)i);

		if (field)
			ws_json_put(o, field->name,
				    ws_field_known(field, rec)
					    ? ws_json_uint(ws_field_load(field, rec, 0))
					    : json_null(),
				    rc);
	}
	for (size_t i = 0; i < info->field_count; i++)
		if (!info->fields[i].hidden)
			put_bytes(o, rec, &info->fields[i], rc);
	if (rec->kind != WS_KIND_SIGNAL)
		return;
	target.pid = signal->target_pid;
	target.start_ns = signal->target_start_ns;
	ws_json_put(o, "target_session",
		    target.start_ns ? json_string(ws_session_id(&target, id)) : json_null(), rc);
}

/* An array of named elements is an object. */
static json_t *field_value(const struct ws_export *ex, const struct ws_rec *rec,
			   const struct ws_field *field)
{
	json_t *object;
	int rc = 0;

	if (!ws_field_known(field, rec))
		return json_null();
	if (field->count <= 1)
		return one_value(ex, rec, field, 0);
	object = field->names ? json_object() : json_array();
	for (size_t i = 0; i < field->count; i++) {
		json_t *value = one_value(ex, rec, field, i);

		if (!field->names)
			ws_json_append(object, value, &rc);
		else if (i < field->name_count && field->names[i])
			ws_json_put(object, field->names[i], value, &rc);
		else
			json_decref(value);
	}
	if (rc == 0)
		return object;
	json_decref(object);
	return NULL;
}

json_t *ws_json_record(const struct ws_export *ex, const struct ws_session *session,
		       const struct ws_rec *rec, int *rc)
{
	const struct ws_kind_info *info = ws_kind_info(rec->kind);
	/* The collector's records are in no sequence; a gap tells where in it records are missing.
	 */
	bool numbered = session && (rec->kind < WS_KIND_SERVER || rec->kind == WS_KIND_GAP);
	json_t *o;
	uint64_t duration;

	if (!info)
		return NULL;
	o = json_object();
	ws_json_put(o, "time", ws_json_time(ex, rec->time_ns), rc);
	ws_json_put_session(o, session, rc);
	if (!session && rec->pid)
		ws_json_put(o, "pid", ws_json_uint(rec->pid), rc);
	ws_json_put(o, "seq", numbered ? ws_json_uint(rec->seq) : json_null(), rc);
	ws_json_put(o, "event", json_string(info->name), rc);
	ws_json_put(o, "lsn", ws_json_lsn(ws_event_lsn(rec)), rc);
	ws_json_put(o, "duration_ns",
		    ws_event_duration(rec, &duration) ? ws_json_uint(duration) : json_null(), rc);
	for (size_t i = 0; i < info->field_count; i++) {
		const struct ws_field *field = &info->fields[i];

		/* The contract's own keys stand; ns_pid is already among them. */
		if (field->hidden || json_object_get(o, field->name))
			continue;
		ws_json_put(o, field->name, field_value(ex, rec, field), rc);
	}
	put_rest(o, rec, info, rc);
	return o;
}

int ws_json_event(struct ws_export *ex, const struct ws_session *session, const struct ws_rec *rec)
{
	int rc = 0;
	json_t *o;

	if (!ws_kind_info(rec->kind))
		return 0;
	o = ws_json_record(ex, session, rec, &rc);
	return ws_json_line(ex, o, rc);
}
