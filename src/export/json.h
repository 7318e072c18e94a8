/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * json.h: what the files of the JSON format share. Each value function returns a new reference, or
 * NULL when memory ran out; ws_json_put takes it over and keeps the first failure in *rc.
 */
#ifndef WS_EXPORT_JSON_H
#define WS_EXPORT_JSON_H

#include <jansson.h>

#include "export/export.h"

void ws_json_put(json_t *object, const char *key, json_t *value, int *rc);
void ws_json_append(json_t *array, json_t *value, int *rc);

/* Text of a server, NULL: null. Each byte that is not part of valid UTF-8 becomes U+FFFD. */
json_t *ws_json_text(const char *text, size_t len);
json_t *ws_json_str(const char *text);	       /* the same, NUL-terminated */
json_t *ws_json_str_or_null(const char *text); /* "" too is null */
json_t *ws_json_uint(uint64_t value);	       /* beyond 2^63-1, which no field reaches: null */
json_t *ws_json_uint_or_null(uint64_t value);  /* 0 is null */
json_t *ws_json_bool(bool value);
json_t *ws_json_lsn(uint64_t lsn);		 /* 0 is null */
json_t *ws_json_hex(uint64_t value);		 /* "0x1f" */
json_t *ws_json_real(double value, double step); /* rounded to a multiple of step */
/* RFC 3339; a time that is 0 or that no clock pair places is null. */
json_t *ws_json_time(const struct ws_export *ex, uint64_t mono_ns);
/* session, pid and ns_pid; `session` NULL: all null. */
void ws_json_put_session(json_t *object, const struct ws_session *session, int *rc);

/* Writes the object as one line of ASCII and releases it. rc is what building it gave. */
int ws_json_line(const struct ws_export *ex, json_t *object, int rc);

/* The objects of the views `sessions`, `history` and `trace`; trace's is NULL for an unknown kind.
 */
json_t *ws_json_session(const struct ws_export *ex, const struct ws_session *session, int *rc);
json_t *ws_json_command(const struct ws_export *ex, const struct ws_session *session,
			const struct ws_command *command, int *rc);
json_t *ws_json_record(const struct ws_export *ex, const struct ws_session *session,
		       const struct ws_rec *rec, int *rc);

int ws_json_event(struct ws_export *ex, const struct ws_session *session, const struct ws_rec *rec);
int ws_json_doctor(struct ws_export *ex, const struct ws_doctor *doctor);
int ws_json_slots(struct ws_export *ex, const struct ws_slots_report *report);
int ws_json_symbols(struct ws_export *ex, const struct ws_symbol_report *report);
/* The shared array; null if it was not looked at. */
json_t *ws_json_walsenders(const struct ws_show *show, int *rc);
/* What is known of a process's memory over time, and of its contexts, into an object. */
void ws_json_put_memory(json_t *o, const struct ws_export *ex, const struct ws_story *story,
			int *rc);
int ws_json_show(struct ws_export *ex, const struct ws_show *show);
int ws_json_explained(struct ws_export *ex, const struct ws_explained *explained);

#endif
