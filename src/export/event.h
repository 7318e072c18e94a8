/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * event.h: values of records as both formats need them.
 */
#ifndef WS_EXPORT_EVENT_H
#define WS_EXPORT_EVENT_H

#include "event/schema.h"

/* The field of that name in a kind; NULL if there is none. */
const struct ws_field *ws_event_field(const struct ws_kind_info *info, const char *name);
/* The position an event is about, 0 if there is none or it is not known. */
uint64_t ws_event_lsn(const struct ws_rec *rec);
/* How long what the event tells took; false for an event of a moment. */
bool ws_event_duration(const struct ws_rec *rec, uint64_t *ns);
/* The name of an ENUM field's value, NULL if it has none. */
const char *ws_event_enum_name(const struct ws_field *field, uint64_t value);
/* A STRING or TEXT field, or element `index` of an array of STRINGs: not NUL-terminated, *len
 * bytes.
 */
const char *ws_event_text_at(const struct ws_rec *rec, const struct ws_field *field, size_t index,
			     size_t *len);
const char *ws_event_text(const struct ws_rec *rec, const struct ws_field *field, size_t *len);
/* PostgreSQL's packed SQLSTATE (MAKE_SQLSTATE, elog.h) as text. */
const char *ws_event_sqlstate(uint32_t packed, char out[6]);

#endif
