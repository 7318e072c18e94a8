/* SPDX-License-Identifier: BSD-2-Clause */
#include "export/event.h"

#include <string.h>

const struct ws_field *ws_event_field(const struct ws_kind_info *info, const char *name)
{
	for (size_t i = 0; info && i < info->field_count; i++)
		if (strcmp(info->fields[i].name, name) == 0)
			return &info->fields[i];
	return NULL;
}

uint64_t ws_event_lsn(const struct ws_rec *rec)
{
	const struct ws_field *field = ws_event_field(ws_kind_info(rec->kind), "lsn");

	return field && ws_field_known(field, rec) ? ws_field_load(field, rec, 0) : 0;
}

bool ws_event_duration(const struct ws_rec *rec, uint64_t *ns)
{
	const struct ws_rec_turn *turn = (const void *)rec;

	if (rec->kind != WS_KIND_TURN || turn->begin_ns > rec->time_ns)
		return false;
	*ns = rec->time_ns - turn->begin_ns;
	return true;
}

const char *ws_event_enum_name(const struct ws_field *field, uint64_t value)
{
	return field->names && value < field->name_count ? field->names[value] : NULL;
}

const char *ws_event_text(const struct ws_rec *rec, const struct ws_field *field, size_t *len)
{
	return ws_event_text_at(rec, field, 0, len);
}

const char *ws_event_text_at(const struct ws_rec *rec, const struct ws_field *field, size_t index,
			     size_t *len)
{
	const char *at = (const char *)rec + field->offset + index * field->size;
	size_t room = field->size ? field->size : rec->size - field->offset;
	uint32_t said;

	if (field->len_offset) {
		memcpy(&said, (const char *)rec + field->len_offset, sizeof(said));
		*len = said < room ? said : room;
	} else {
		*len = strnlen(at, room);
	}
	return at;
}

const char *ws_event_sqlstate(uint32_t packed, char out[6])
{
	for (int i = 0; i < 5; i++)
		out[i] = (char)(((packed >> (6 * i)) & 0x3f) + '0');
	out[5] = '\0';
	return out;
}
