/* SPDX-License-Identifier: BSD-2-Clause */
/* event.c: a line of trace --json as the record it was made of. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "import/parts.h"

struct ws_events {
	struct ws_sink sink;
	struct ws_sequence *sequence;
	struct ws_import_mono mono;
	struct ws_buf bytes;
	bool clocked; /* a clock record was there */
	bool stopped;
	uint64_t first_mono_ns; /* of the first line that says when it was */
	int64_t first_wall_ns;
	union {
		struct ws_rec rec;
		char room[WS_REC_SIZE_MAX + 64];
	};
};

struct ws_events *ws_events_new(struct ws_sink sink)
{
	struct ws_events *events = calloc(1, sizeof(*events));

	if (!events)
		return NULL;
	events->sink = sink;
	events->sequence = ws_sequence_new(sink);
	if (events->sequence)
		return events;
	free(events);
	return NULL;
}

void ws_events_free(struct ws_events *events)
{
	if (!events)
		return;
	ws_sequence_free(events->sequence);
	ws_buf_deinit(&events->bytes);
	free(events);
}

bool ws_events_stopped(const struct ws_events *events)
{
	return events->stopped;
}

static bool bad(char why[WS_IMPORT_WHY], const char *text)
{
	snprintf(why, WS_IMPORT_WHY, "%s", text);
	return false;
}

static const json_t *value_of(const json_t *line, const char *key)
{
	const json_t *value = json_object_get(line, key);

	return json_is_null(value) ? NULL : value;
}

/* When it was: by the host's clock if the line says so, else by what is known of that. */
static bool take_time(struct ws_events *e, const json_t *line, char why[WS_IMPORT_WHY])
{
	const json_t *mono = value_of(line, "mono_ns"), *time = value_of(line, "time");
	int64_t wall = 0;

	if (time &&
	    (!json_is_string(time) || !ws_time_parse(json_string_value(time), &wall) || wall <= 0))
		return bad(why, "time: not RFC 3339");
	if (mono && (!json_is_integer(mono) || json_integer_value(mono) <= 0))
		return bad(why, "mono_ns: not a number above 0");
	if (!mono && !time)
		return bad(why, "time: missing");
	if (mono)
		e->rec.time_ns = (uint64_t)json_integer_value(mono);
	else
		e->rec.time_ns = ws_import_mono_of(&e->mono, wall);
	if (!e->rec.time_ns)
		return bad(why, "time: before the host's clock began");
	if (!time)
		return true;
	ws_import_mono_learn(&e->mono, e->rec.time_ns, wall);
	if (!e->first_wall_ns) {
		e->first_mono_ns = e->rec.time_ns;
		e->first_wall_ns = wall;
	}
	return true;
}

/* Whose it is. `own` gets the exact start of its process, if the line has it. */
static bool take_session(struct ws_events *e, const json_t *line, char why[WS_IMPORT_WHY])
{
	const json_t *session = value_of(line, "session"), *pid = value_of(line, "pid");
	const json_t *start = value_of(line, "start_ns");
	uint64_t ticks, start_ns = 0;

	if (!session) {
		if (pid && (!json_is_integer(pid) || json_integer_value(pid) < 0 ||
			    json_integer_value(pid) > UINT32_MAX))
			return bad(why, "pid: not a process id");
		e->rec.pid = pid ? (uint32_t)json_integer_value(pid) : 0;
		return true;
	}
	if (!json_is_string(session) ||
	    !ws_import_session_id(json_string_value(session), &e->rec.pid, &ticks))
		return bad(why, "session: not PID.STARTTICKS");
	if (start && json_is_integer(start) && json_integer_value(start) > 0)
		start_ns = (uint64_t)json_integer_value(start);
	e->rec.start_ns = ws_sequence_start(e->sequence, e->rec.pid, ticks, start_ns);
	return e->rec.start_ns || bad(why, "out of memory");
}

/* A signal's target is a session, which its own record does not belong to. */
static bool take_target(struct ws_events *e, const json_t *line, char why[WS_IMPORT_WHY])
{
	struct ws_rec_signal *signal = (void *)&e->rec;
	const json_t *target = value_of(line, "target_session");
	uint64_t ticks;
	uint32_t pid;

	if (e->rec.kind != WS_KIND_SIGNAL || !target)
		return true;
	if (!json_is_string(target) ||
	    !ws_import_session_id(json_string_value(target), &pid, &ticks))
		return bad(why, "target_session: not PID.STARTTICKS");
	signal->target_start_ns = ws_sequence_start(e->sequence, pid, ticks, 0);
	return signal->target_start_ns || bad(why, "out of memory");
}

static bool take_field(struct ws_events *e, const struct ws_field *field, const json_t *line,
		       bool *beyond, char why[WS_IMPORT_WHY])
{
	const struct ws_kind_info *info = ws_kind_info(e->rec.kind);
	const json_t *value = value_of(line, field->name), *hex = NULL;
	char key[64];

	if (field->unknown == WS_UNKNOWN_MINUS_ONE)
		memset((char *)&e->rec + field->offset, 0xff, field->size);
	if (field->type == WS_FIELD_STRING || field->type == WS_FIELD_TEXT) {
		snprintf(key, sizeof(key), "%s_hex", field->name);
		hex = value_of(line, key);
	}
	if (!value && !hex)
		return true;
	if (info->sizes[1] && field->offset >= info->sizes[0])
		*beyond = true;
	if (!hex)
		return ws_import_value(field, value, &e->mono, &e->rec, why);
	return ws_import_bytes(field, hex, &e->bytes, &e->rec, why);
}

static bool take_fields(struct ws_events *e, const json_t *line, char why[WS_IMPORT_WHY])
{
	const struct ws_kind_info *info = ws_kind_info(e->rec.kind);
	bool beyond = false;

	e->rec.size = (__u16)(info->sizes[0] ? info->sizes[0] : info->min_size);
	for (size_t i = 0; i < info->field_count; i++)
		if (!info->fields[i].hidden && !take_field(e, &info->fields[i], line, &beyond, why))
			return false;
	if (e->rec.kind == WS_KIND_TURN && (e->rec.flags & WS_TURN_REPLY))
		beyond = true;
	if (info->sizes[1] && beyond)
		e->rec.size = info->sizes[1];
	return true;
}

/* The time a turn began by how long it took: exact, whatever the wall clock did. */
static void take_begin(struct ws_events *e, const json_t *line)
{
	struct ws_rec_turn *turn = (void *)&e->rec;
	const json_t *duration = value_of(line, "duration_ns");

	if (e->rec.kind == WS_KIND_TURN && json_is_integer(duration) &&
	    json_integer_value(duration) >= 0 &&
	    (uint64_t)json_integer_value(duration) <= e->rec.time_ns)
		turn->begin_ns = e->rec.time_ns - (uint64_t)json_integer_value(duration);
}

/* Where a session's line says which of its fields could be read, that holds: its ns_pid is one of
 * the contract's own keys. */
static bool take_valid(struct ws_events *e, const json_t *line, char why[WS_IMPORT_WHY])
{
	struct ws_rec_session *session = (void *)&e->rec;
	const struct ws_kind_info *info = ws_kind_info(e->rec.kind);
	const json_t *valid = value_of(line, "valid");

	if (e->rec.kind != WS_KIND_SESSION || !valid)
		return true;
	session->valid = 0;
	for (size_t i = 0; i < info->field_count; i++)
		if (info->fields[i].offset == offsetof(struct ws_rec_session, valid))
			return ws_import_value(&info->fields[i], valid, &e->mono, &e->rec, why);
	return true;
}

/* The schema knows these two by not being empty; the record has bits besides. */
static void mark_place(struct ws_rec *rec)
{
	struct ws_rec_error *error = (void *)rec;

	if (rec->kind != WS_KIND_ERROR || rec->size < sizeof(*error))
		return;
	error->valid |= error->file[0] ? WS_VALID_FILE : 0;
	error->valid |= error->function[0] ? WS_VALID_FUNCTION : 0;
}

static bool take_head(struct ws_events *e, const json_t *line, bool *numbered,
		      char why[WS_IMPORT_WHY])
{
	const json_t *seq = value_of(line, "seq"), *server = value_of(line, "server");
	const struct ws_field *number = ws_head_field(e->rec.kind, WS_HEAD_SERVER);

	*numbered = seq != NULL;
	if (seq && (!json_is_integer(seq) || json_integer_value(seq) < 0 ||
		    json_integer_value(seq) > UINT32_MAX))
		return bad(why, "seq: not a number of a record");
	e->rec.seq = seq ? (uint32_t)json_integer_value(seq) : 0;
	if (number && server && !ws_import_value(number, server, NULL, &e->rec, why))
		return false;
	return true;
}

static bool make_record(struct ws_events *e, const json_t *line, bool *numbered,
			char why[WS_IMPORT_WHY])
{
	const json_t *event = value_of(line, "event");
	const struct ws_kind_info *info =
		json_is_string(event) ? ws_kind_by_name(json_string_value(event)) : NULL;

	memset(e->room, 0, sizeof(e->room));
	if (!take_session(e, line, why))
		return false;
	if (!event || !json_is_string(event))
		return bad(why, "event: missing");
	if (!info) {
		snprintf(why, WS_IMPORT_WHY, "event: unknown kind \"%.40s\"",
			 json_string_value(event));
		return false;
	}
	e->rec.kind = info->kind;
	if (!take_time(e, line, why) || !take_head(e, line, numbered, why) ||
	    !take_fields(e, line, why) || !take_valid(e, line, why) || !take_target(e, line, why))
		return false;
	take_begin(e, line);
	mark_place(&e->rec);
	return ws_rec_valid(&e->rec, e->rec.size, why, WS_IMPORT_WHY);
}

/* Where no line said how the clocks stood, the first time does. */
static int add_clock(struct ws_events *e)
{
	struct ws_rec_clock clock = {
		.h = { .size = sizeof(clock), .kind = WS_KIND_CLOCK, .time_ns = e->first_mono_ns },
		.wall_ns = e->first_wall_ns,
	};

	if (e->clocked || !e->first_wall_ns)
		return 0;
	e->clocked = true;
	return e->sink.fn(e->sink.arg, &clock.h);
}

int ws_events_end(struct ws_events *e)
{
	return add_clock(e);
}

int ws_events_line(struct ws_events *e, const char *text, size_t len, char why[WS_IMPORT_WHY])
{
	json_error_t error;
	json_t *line = json_loadb(text, len, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &error);
	bool numbered = false, good;
	int rc = 0;

	if (!json_is_object(line)) {
		snprintf(why, WS_IMPORT_WHY, "%s", line ? "no JSON object" : error.text);
		json_decref(line);
		memset(&e->rec, 0, sizeof(e->rec));
		return ws_sequence_bad(e->sequence, 0, 0) ? -1 : 0;
	}
	good = make_record(e, line, &numbered, why);
	json_decref(line);
	if (!good)
		return ws_sequence_bad(e->sequence, e->rec.start_ns ? e->rec.pid : 0,
				       e->rec.start_ns)
			       ? -1
			       : 0;
	if (e->rec.kind == WS_KIND_STOP)
		rc = add_clock(e);
	e->clocked |= e->rec.kind == WS_KIND_CLOCK;
	e->stopped = e->rec.kind == WS_KIND_STOP;
	rc = rc || ws_sequence_feed(e->sequence, &e->rec, numbered) ? -1 : 0;
	return rc ? -1 : 1;
}
