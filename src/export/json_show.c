/* SPDX-License-Identifier: BSD-2-Clause */
/* json_show.c: the reconstruction of one session: the sessions object, and what it did. */
#include "base/util.h"
#include "event/schema.h"
#include "export/event.h"
#include "export/json.h"

static const char *const lag_names[WS_LAG_COUNT] = {
	[WS_LAG_WRITE] = "write",
	[WS_LAG_FLUSH] = "flush",
	[WS_LAG_APPLY] = "apply",
};

/* Durations by state, those that are 0 left out. */
static json_t *states_object(const uint64_t state_ns[WS_STATE_COUNT], int *rc)
{
	json_t *o = json_object();

	for (int i = 0; i < WS_STATE_COUNT; i++)
		if (state_ns[i])
			ws_json_put(o, ws_state_name((enum ws_state)i), ws_json_uint(state_ns[i]),
				    rc);
	return o;
}

/* As the records name it. */
static json_t *walsnd_state(int state)
{
	const struct ws_field *field = ws_event_field(ws_kind_info(WS_KIND_STATE), "to");
	const char *name = state >= 0 && field ? ws_event_enum_name(field, (uint64_t)state) : NULL;

	return ws_json_str(name);
}

static json_t *cause_name(enum ws_gap_cause cause)
{
	const struct ws_field *field = ws_event_field(ws_kind_info(WS_KIND_GAP), "cause");

	return ws_json_str(field ? ws_event_enum_name(field, cause) : NULL);
}

static json_t *commands(const struct ws_export *ex, const struct ws_show *show, int *rc)
{
	const struct ws_story *story = show->story;
	json_t *array = json_array();

	for (size_t i = 0; story && i < story->command_count; i++)
		ws_json_append(array,
			       ws_json_command(ex, show->session, &story->commands[i].command, rc),
			       rc);
	return array;
}

static json_t *sequence(const struct ws_export *ex, const struct ws_story *story, int *rc)
{
	json_t *array = json_array();

	for (size_t i = 0; i < story->span_count; i++) {
		const struct ws_story_span *span = &story->spans[i];
		json_t *o = json_object();

		ws_json_put(o, "state", ws_json_str(ws_state_name(span->state)), rc);
		ws_json_put(o, "start", ws_json_time(ex, span->start_ns), rc);
		ws_json_put(o, "duration_ns", ws_json_uint(span->end_ns - span->start_ns), rc);
		ws_json_put(o, "segments", ws_json_uint(span->segments), rc);
		ws_json_put(o, "states", states_object(span->state_ns, rc), rc);
		ws_json_put(o, "lsn_from", ws_json_lsn(span->lsn_from), rc);
		ws_json_put(o, "lsn_to", ws_json_lsn(span->lsn_to), rc);
		ws_json_put(o, "bytes", ws_json_uint(span->bytes), rc);
		ws_json_append(array, o, rc);
	}
	return array;
}

static json_t *streams(const struct ws_export *ex, const struct ws_story *story, int *rc)
{
	json_t *array = json_array();

	for (size_t i = 0; i < story->stream_count; i++) {
		const struct ws_story_stream *stream = &story->streams[i];
		json_t *o = json_object();

		ws_json_put(o, "start", ws_json_time(ex, stream->time_ns), rc);
		ws_json_put(o, "kind", json_string(stream->logical ? "logical" : "physical"), rc);
		ws_json_put(o, "lsn", ws_json_lsn(stream->lsn), rc);
		ws_json_put(o, "found", json_boolean(stream->found), rc);
		ws_json_put(o, "slot", ws_json_str_or_null(stream->slot), rc);
		ws_json_put(o, "caught_up", ws_json_time(ex, stream->caught_up_ns), rc);
		ws_json_put(o, "catch_up_ns",
			    stream->caught_up_ns
				    ? ws_json_uint(stream->caught_up_ns - stream->time_ns)
				    : json_null(),
			    rc);
		ws_json_append(array, o, rc);
	}
	return array;
}

static json_t *changes(const struct ws_export *ex, const struct ws_story *story, int *rc)
{
	json_t *array = json_array();

	for (size_t i = 0; i < story->change_count; i++) {
		const struct ws_story_change *change = &story->changes[i];
		json_t *o = json_object();

		ws_json_put(o, "time", ws_json_time(ex, change->time_ns), rc);
		ws_json_put(o, "from", walsnd_state(change->from), rc);
		ws_json_put(o, "to", walsnd_state(change->to), rc);
		ws_json_put(o, "lsn", ws_json_lsn(change->lsn), rc);
		ws_json_append(array, o, rc);
	}
	return array;
}

static json_t *peaks(const struct ws_export *ex, const struct ws_story *story, int *rc)
{
	json_t *all = json_object();

	for (int i = 0; i < WS_LAG_COUNT; i++) {
		const struct ws_story_peak *peak = &story->peaks[i];
		json_t *o = json_object();

		ws_json_put(o, "bytes", peak->has_bytes ? ws_json_uint(peak->bytes) : json_null(),
			    rc);
		ws_json_put(o, "bytes_at",
			    ws_json_time(ex, peak->has_bytes ? peak->bytes_at_ns : 0), rc);
		ws_json_put(o, "lag_ns", peak->has_ns ? ws_json_uint(peak->ns) : json_null(), rc);
		ws_json_put(o, "lag_at", ws_json_time(ex, peak->has_ns ? peak->ns_at_ns : 0), rc);
		ws_json_put(all, lag_names[i], o, rc);
	}
	return all;
}

static void put_positions(json_t *o, uint64_t write, uint64_t flush, uint64_t apply, int *rc)
{
	ws_json_put(o, "write_lsn", ws_json_lsn(write), rc);
	ws_json_put(o, "flush_lsn", ws_json_lsn(flush), rc);
	ws_json_put(o, "apply_lsn", ws_json_lsn(apply), rc);
}

static json_t *uint_if(bool known, uint64_t value)
{
	return known ? ws_json_uint(value) : json_null();
}

static json_t *last_socket(const struct ws_export *ex, const struct ws_story_last *last, int *rc)
{
	bool more = last->has_socket_details;
	json_t *o;

	if (!last->socket_ns)
		return json_null();
	o = json_object();
	ws_json_put(o, "time", ws_json_time(ex, last->socket_ns), rc);
	ws_json_put(o, "unsent_bytes", ws_json_uint(last->unsent_bytes), rc);
	ws_json_put(o, "in_flight_bytes", uint_if(more, last->in_flight_bytes), rc);
	ws_json_put(o, "window_bytes", uint_if(more, last->window_bytes), rc);
	ws_json_put(o, "ack_age_us", uint_if(more, last->ack_age_us), rc);
	return o;
}

static json_t *last_sample(const struct ws_export *ex, const struct ws_story_last *last, int *rc)
{
	json_t *o;

	if (!last->sample_ns)
		return json_null();
	o = json_object();
	ws_json_put(o, "time", ws_json_time(ex, last->sample_ns), rc);
	ws_json_put(o, "pending_bytes", uint_if(last->has_pending, last->pending_bytes), rc);
	ws_json_put(o, "unix_queued_bytes", uint_if(last->has_unix_queued, last->unix_queued_bytes),
		    rc);
	ws_json_put(o, "target_lsn", ws_json_lsn(last->target_lsn), rc);
	return o;
}

/* The last of each kind; null where there was none. */
static json_t *last_acts(const struct ws_export *ex, const struct ws_story_last *last, int *rc)
{
	json_t *all = json_object(), *o = NULL;

	if (last->send_ns) {
		o = json_object();
		ws_json_put(o, "time", ws_json_time(ex, last->send_ns), rc);
		ws_json_put(o, "lsn", ws_json_lsn(last->send_lsn), rc);
	}
	ws_json_put(all, "send", o ? o : json_null(), rc);
	o = NULL;
	if (last->reply_ns) {
		o = json_object();
		ws_json_put(o, "time", ws_json_time(ex, last->reply_found ? 0 : last->reply_ns),
			    rc);
		put_positions(o, last->write_lsn, last->flush_lsn, last->apply_lsn, rc);
	}
	ws_json_put(all, "reply", o ? o : json_null(), rc);
	o = NULL;
	if (last->ping_ns) {
		o = json_object();
		ws_json_put(o, "time", ws_json_time(ex, last->ping_ns), rc);
		ws_json_put(o, "request_reply", ws_json_bool(last->ping_wants_reply), rc);
	}
	ws_json_put(all, "keepalive", o ? o : json_null(), rc);
	ws_json_put(all, "socket", last_socket(ex, last, rc), rc);
	ws_json_put(all, "sample", last_sample(ex, last, rc), rc);
	return all;
}

static json_t *events(const struct ws_export *ex, const struct ws_show *show, int *rc)
{
	const struct ws_story *story = show->story;
	json_t *array = json_array();

	for (size_t i = 0; story && i < story->event_count; i++) {
		const struct ws_rec *rec = story->events[i];
		/* A signal belongs to no sequence. */
		const struct ws_session *session = rec->pid ? show->session : NULL;

		if (ws_kind_info(rec->kind))
			ws_json_append(array, ws_json_record(ex, session, rec, rc), rc);
	}
	return array;
}

static json_t *gaps(const struct ws_export *ex, const struct ws_story *story, int *rc)
{
	json_t *array = json_array();

	for (size_t i = 0; i < story->gap_count; i++) {
		const struct ws_story_gap *gap = &story->gaps[i];
		json_t *o = json_object();

		ws_json_put(o, "from", ws_json_time(ex, gap->from_ns), rc);
		ws_json_put(o, "to", ws_json_time(ex, gap->to_ns), rc);
		ws_json_put(o, "lost", ws_json_uint_or_null(gap->lost), rc);
		ws_json_put(o, "cause", cause_name(gap->cause), rc);
		ws_json_append(array, o, rc);
	}
	return array;
}

static json_t *moment(const struct ws_export *ex, const struct ws_show *show, int *rc)
{
	const struct ws_story *story = show->story;
	const struct ws_story_moment *m = &story->moment;
	bool stated = m->state_to_ns > m->state_from_ns;
	json_t *o, *running;

	if (!story->around_ns)
		return json_null();
	o = json_object();
	running = json_array();
	ws_json_put(o, "time", ws_json_time(ex, m->time_ns), rc);
	ws_json_put(o, "state", ws_json_str(stated ? ws_state_name(m->state) : NULL), rc);
	ws_json_put(o, "state_since", ws_json_time(ex, stated ? m->state_from_ns : 0), rc);
	ws_json_put(o, "state_until", ws_json_time(ex, stated ? m->state_to_ns : 0), rc);
	ws_json_put(o, "walsender_state", walsnd_state(m->walsnd_state), rc);
	ws_json_put(o, "sent_lsn", ws_json_lsn(m->sent_lsn), rc);
	put_positions(o, m->write_lsn, m->flush_lsn, m->apply_lsn, rc);
	for (size_t i = 0; i < story->command_count; i++)
		if (ws_show_command_runs(&story->commands[i].command, m->time_ns))
			ws_json_append(running, ws_json_uint(story->commands[i].command.seq), rc);
	ws_json_put(o, "commands", running, rc);
	return o;
}

static json_t *fact_value(const struct ws_show_fact *fact)
{
	char lsn[WS_LSN_TEXT], time[WS_TIME_TEXT];

	switch (fact->type) {
	case WS_SHOW_TEXT:
		return ws_json_str(fact->text);
	case WS_SHOW_COUNT:
	case WS_SHOW_BYTES:
	case WS_SHOW_NS:
		return ws_json_uint(fact->value);
	case WS_SHOW_LSN:
		return json_string(ws_lsn_format(fact->value, lsn));
	case WS_SHOW_TIME:
		return json_string(ws_time_format((int64_t)fact->value, time));
	case WS_SHOW_BOOL:
		return ws_json_bool(fact->value != 0);
	case WS_SHOW_ADDRESS:
		return ws_json_hex(fact->value);
	default:
		return json_null();
	}
}

static json_t *memory(const struct ws_export *ex, const struct ws_show *show, int *rc)
{
	bool over_time = ws_show_has_memory_over_time(show);
	json_t *o;

	if (!show->has_memory && !over_time)
		return json_null();
	o = json_object();
	for (size_t i = 0; i < show->memory_count; i++)
		ws_json_put(o, show->memory[i].name, fact_value(&show->memory[i]), rc);
	if (over_time)
		ws_json_put_memory(o, ex, show->story, rc);
	return o;
}

static json_t *backtrace(const struct ws_show *show, int *rc)
{
	json_t *array;

	if (!show->has_backtrace)
		return json_null();
	array = json_array();
	for (size_t i = 0; i < show->frame_count; i++) {
		const struct ws_show_frame *frame = &show->frames[i];
		json_t *o = json_object();

		ws_json_put(o, "address", ws_json_hex(frame->address), rc);
		ws_json_put(o, "function", ws_json_str(frame->function), rc);
		ws_json_put(o, "offset", frame->function ? ws_json_hex(frame->offset) : json_null(),
			    rc);
		ws_json_put(o, "module", ws_json_str(frame->module), rc);
		ws_json_put(o, "source", ws_json_str(frame->source), rc);
		ws_json_append(array, o, rc);
	}
	return array;
}

static void put_story(json_t *o, const struct ws_export *ex, const struct ws_show *show, int *rc)
{
	const struct ws_story *story = show->story;
	static const char *const keys[] = { "sequence",	 "streams", "walsender_states",
					    "lag_peaks", "last",    "gaps",
					    "around" };

	if (!story) {
		for (size_t i = 0; i < WS_ARRAY_SIZE(keys); i++)
			ws_json_put(o, keys[i], json_null(), rc);
		return;
	}
	ws_json_put(o, "sequence", sequence(ex, story, rc), rc);
	ws_json_put(o, "streams", streams(ex, story, rc), rc);
	ws_json_put(o, "walsender_states", changes(ex, story, rc), rc);
	ws_json_put(o, "lag_peaks", peaks(ex, story, rc), rc);
	ws_json_put(o, "last", last_acts(ex, &story->last, rc), rc);
	ws_json_put(o, "gaps", gaps(ex, story, rc), rc);
	ws_json_put(o, "around", moment(ex, show, rc), rc);
}

int ws_json_show(struct ws_export *ex, const struct ws_show *show)
{
	const struct ws_session *s = show->session;
	int rc = 0;
	json_t *o = ws_json_session(ex, s, &rc);

	/* Of `sessions` this is their number. */
	ws_json_put(o, "command_count", ws_json_uint(s->commands), &rc);
	ws_json_put(o, "commands", commands(ex, show, &rc), &rc);
	ws_json_put(o, "state", s->end_ns ? json_null() : ws_json_str(ws_state_name(s->state)),
		    &rc);
	ws_json_put(o, "states", states_object(s->state_ns, &rc), &rc);
	put_story(o, ex, show, &rc);
	ws_json_put(o, "last_events", events(ex, show, &rc), &rc);
	ws_json_put(o, "memory", memory(ex, show, &rc), &rc);
	ws_json_put(o, "backtrace", backtrace(show, &rc), &rc);
	if (show->process)
		ws_json_put(o, "walsenders", ws_json_walsenders(show, &rc), &rc);
	return ws_json_line(ex, o, rc);
}
