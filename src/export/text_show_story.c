/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "event/schema.h"
#include "export/event.h"
#include "export/text_show.h"

#define SPAN_PARTS 3 /* states that are named of one stretch */

static const char *walsnd_state(int state)
{
	const struct ws_field *field = ws_event_field(ws_kind_info(WS_KIND_STATE), "to");
	const char *name = state >= 0 && field ? ws_event_enum_name(field, (uint64_t)state) : NULL;

	return name ? name : "?";
}

/* -- a moment */

static void positions(struct ws_page *page, uint64_t write, uint64_t flush, uint64_t apply)
{
	const struct {
		const char *name;
		uint64_t lsn;
	} all[] = { { "write ", write }, { ", flush ", flush }, { ", apply ", apply } };

	for (size_t i = 0; i < WS_ARRAY_SIZE(all); i++)
		if (all[i].lsn)
			ws_page_lsn(page, all[i].name, all[i].lsn);
		else
			ws_page_add(page, "%s?", all[i].name);
}

void ws_page_around(struct ws_page *page)
{
	const struct ws_story *story = page->show->story;
	const struct ws_story_moment *m = story ? &story->moment : NULL;

	if (!story || !story->around_ns)
		return;
	ws_page_add(page, "\n");
	ws_page_color(page, WS_COLOR_BOLD, "At ");
	ws_page_time(page, "", m->time_ns);
	ws_page_add(page, "\n");
	if (m->state_to_ns > m->state_from_ns) {
		ws_page_add(page, "  state %s", ws_state_name(m->state));
		ws_page_time(page, " from ", m->state_from_ns);
		ws_page_duration(page, " on, for ", m->state_to_ns - m->state_from_ns);
		ws_page_add(page, "\n");
	}
	if (m->set && m->sent_lsn) {
		ws_page_add(page, "  pg_stat_replication: %s", walsnd_state(m->walsnd_state));
		ws_page_lsn(page, ", sent ", m->sent_lsn);
		ws_page_add(page, "; standby: ");
		positions(page, m->write_lsn, m->flush_lsn, m->apply_lsn);
		ws_page_add(page, "\n");
	}
	for (size_t i = 0; i < story->command_count; i++) {
		const struct ws_command *c = &story->commands[i].command;

		if (!ws_show_command_runs(c, m->time_ns))
			continue;
		ws_page_add(page, "  in command %u", c->seq);
		if (c->kind) {
			ws_page_add(page, ", ");
			ws_page_text(page, c->kind, strlen(c->kind));
		}
		ws_page_add(page, "\n");
	}
}

/* -- streaming */

static void tell_stream(struct ws_page *page, const struct ws_story_stream *stream)
{
	ws_page_time(page, "  ", stream->time_ns);
	ws_page_add(page, " %s%s", stream->found ? "found streaming, " : "",
		    stream->logical ? "logical" : "physical");
	ws_page_lsn(page, stream->found ? " at " : " from ", stream->lsn);
	if (stream->slot[0]) {
		ws_page_add(page, ", slot ");
		ws_page_text(page, stream->slot, strnlen(stream->slot, sizeof(stream->slot)));
	}
	if (stream->caught_up_ns)
		ws_page_duration(page, ", caught up after ",
				 stream->caught_up_ns - stream->time_ns);
	else if (stream->had_caught_up)
		ws_page_add(page, ", had caught up");
	else
		ws_page_add(page, ", not seen to catch up");
	ws_page_add(page, "\n");
}

static void tell_change(struct ws_page *page, const struct ws_story_change *change)
{
	ws_page_time(page, "  ", change->time_ns);
	ws_page_add(page, " %s -> %s", walsnd_state(change->from), walsnd_state(change->to));
	if (change->lsn)
		ws_page_lsn(page, " at ", change->lsn);
	ws_page_add(page, "\n");
}

void ws_page_streams(struct ws_page *page)
{
	const struct ws_story *story = page->show->story;
	size_t stream = 0, change = 0;

	if (!story || (!story->stream_count && !story->change_count))
		return;
	ws_page_title(page, "Streaming");
	/* By time. */
	while (stream < story->stream_count || change < story->change_count)
		if (change == story->change_count ||
		    (stream < story->stream_count &&
		     story->streams[stream].time_ns < story->changes[change].time_ns))
			tell_stream(page, &story->streams[stream++]);
		else
			tell_change(page, &story->changes[change++]);
	if (story->stream_total > story->stream_count)
		ws_page_add(page, "  ... and %llu streams more\n",
			    (unsigned long long)(story->stream_total - story->stream_count));
	if (story->change_total > story->change_count)
		ws_page_add(page, "  ... and %llu changes more\n",
			    (unsigned long long)(story->change_total - story->change_count));
}

/* -- states */

/* "wait_wal 80%, send 15%". */
static void add_parts(struct ws_page *page, const struct ws_story_span *span)
{
	uint64_t left[WS_STATE_COUNT], total = span->end_ns - span->start_ns;
	enum ws_state most;

	memcpy(left, span->state_ns, sizeof(left));
	for (int part = 0; part < SPAN_PARTS && total; part++) {
		most = WS_STATE_UNKNOWN;
		for (int i = 0; i < WS_STATE_COUNT; i++)
			if (left[i] > left[most])
				most = (enum ws_state)i;
		/* Below half a percent it says nothing. */
		if (!left[most] || (part && left[most] < total / 200))
			return;
		ws_page_add(page, "%s", part ? ", " : "");
		ws_page_color(page, ws_state_color(most), ws_state_name(most));
		if (left[most] != total)
			ws_page_add(page, " %.0f%%", 100.0 * (double)left[most] / (double)total);
		left[most] = 0;
	}
}

void ws_page_states(struct ws_page *page)
{
	const struct ws_session *s = page->show->session;
	const struct ws_story *story = page->show->story;
	char lasted[WS_DURATION_TEXT];
	uint64_t total = 0;

	for (int i = 0; i < WS_STATE_COUNT; i++)
		total += s->state_ns[i];
	if (!total && s->was_running) {
		ws_page_title(page, "Where its time went");
		ws_page_add(page,
			    "  not known: it was looked at once, at one moment of its life\n");
	}
	if (!total)
		return;
	ws_page_title(page, "Where its time went");
	page->rc = page->rc || ws_text_put_states(&page->buf, &page->ex->opt.screen, s->state_ns)
			   ? -1
			   : 0;
	if (!story || !story->span_count)
		return;
	ws_page_title(page, "In order");
	for (size_t i = 0; i < story->span_count; i++) {
		const struct ws_story_span *span = &story->spans[i];

		ws_page_time(page, "  ", span->start_ns);
		ws_page_add(page, " %8s  ",
			    ws_duration_format(span->end_ns - span->start_ns, lasted));
		add_parts(page, span);
		if (span->bytes)
			ws_page_bytes(page, "; ", span->bytes);
		if (span->lsn_to && span->bytes)
			ws_page_lsn(page, " up to ", span->lsn_to);
		ws_page_add(page, "\n");
	}
}

/* -- how far behind */

void ws_page_peaks(struct ws_page *page)
{
	static const char *const names[WS_LAG_COUNT] = {
		[WS_LAG_WRITE] = "write",
		[WS_LAG_FLUSH] = "flush",
		[WS_LAG_APPLY] = "apply",
	};
	const struct ws_story *story = page->show->story;
	bool any = false;

	for (int i = 0; story && i < WS_LAG_COUNT; i++) {
		const struct ws_story_peak *peak = &story->peaks[i];

		if (!peak->has_bytes && !peak->has_ns)
			continue;
		if (!any)
			ws_page_title(page, "Furthest behind");
		any = true;
		ws_page_add(page, "  %s  ", names[i]);
		if (peak->has_bytes) {
			ws_page_bytes(page, "", peak->bytes);
			ws_page_time(page, " at ", peak->bytes_at_ns);
		}
		if (peak->has_ns) {
			ws_page_duration(page, peak->has_bytes ? "; " : "", peak->ns);
			ws_page_time(page, " at ", peak->ns_at_ns);
		}
		ws_page_add(page, "\n");
	}
}

/* -- the last acts */

/* " (1.2 s before)". */
static void add_before(struct ws_page *page, uint64_t then_ns, uint64_t end_ns)
{
	if (end_ns < then_ns)
		return;
	ws_page_duration(page, " (", end_ns - then_ns);
	ws_page_add(page, " before)");
}

static void last_line(struct ws_page *page, const char *what, uint64_t then_ns, uint64_t end_ns)
{
	ws_page_add(page, "  %-10s ", what);
	ws_page_time(page, "", then_ns);
	add_before(page, then_ns, end_ns);
}

static void tell_queues(struct ws_page *page, const struct ws_story_last *last, uint64_t end_ns)
{
	if (last->socket_ns) {
		last_line(page, "socket", last->socket_ns, end_ns);
		ws_page_bytes(page, " ", last->unsent_bytes);
		ws_page_add(page, " not sent");
		if (last->has_socket_details) {
			ws_page_bytes(page, ", ", last->in_flight_bytes);
			ws_page_bytes(page, " in flight, window ", last->window_bytes);
			ws_page_duration(page, ", last heard of the peer ",
					 (uint64_t)last->ack_age_us * 1000);
			ws_page_add(page, " ago");
		}
		ws_page_add(page, "\n");
	}
	if (!last->sample_ns || (!last->has_pending && !last->has_unix_queued && !last->target_lsn))
		return;
	last_line(page, "queue", last->sample_ns, end_ns);
	if (last->has_pending)
		ws_page_bytes(page, " output buffer ", last->pending_bytes);
	if (last->has_unix_queued)
		ws_page_bytes(page, last->has_pending ? ", socket " : " socket ",
			      last->unix_queued_bytes);
	if (last->target_lsn)
		ws_page_lsn(page,
			    last->has_pending || last->has_unix_queued ? ", WAL to send up to "
								       : " WAL to send up to ",
			    last->target_lsn);
	ws_page_add(page, "\n");
}

static void tell_events(struct ws_page *page)
{
	const struct ws_story *story = page->show->story;

	if (!story->event_count)
		return;
	ws_page_title(page, story->around_ns ? "Events around it" : "Last events");
	ws_page_flush(page);
	for (size_t i = 0; i < story->event_count && page->rc == 0; i++) {
		const struct ws_rec *rec = story->events[i];

		page->rc = ws_text_event(page->ex, rec->pid ? page->show->session : NULL, rec);
	}
	/* A command whose text is not among them. */
	if (page->rc == 0)
		page->rc = ws_text_trace.end(page->ex);
}

void ws_page_last(struct ws_page *page)
{
	const struct ws_session *s = page->show->session;
	const struct ws_story *story = page->show->story;
	const struct ws_story_last *last = story ? &story->last : NULL;
	uint64_t end =
		s->end_ns && s->end_ns < page->ex->opt.to_ns ? s->end_ns : page->ex->opt.to_ns;

	if (!story)
		return;
	end = story->around_ns ? story->around_ns : end;
	if (last->send_ns || last->reply_ns || last->ping_ns || last->socket_ns || last->sample_ns)
		ws_page_title(page, story->around_ns ? "Before that moment" : "Before the end");
	if (last->send_ns) {
		last_line(page, "last send", last->send_ns, end);
		ws_page_lsn(page, " up to ", last->send_lsn);
		ws_page_add(page, "\n");
	}
	if (last->reply_ns) {
		if (last->reply_found)
			ws_page_add(page, "  %-10s at some time before:", "last reply");
		else
			last_line(page, "last reply", last->reply_ns, end);
		ws_page_add(page, " ");
		positions(page, last->write_lsn, last->flush_lsn, last->apply_lsn);
		ws_page_add(page, "\n");
	}
	if (last->ping_ns) {
		last_line(page, "keepalive", last->ping_ns, end);
		ws_page_add(page, "%s\n", last->ping_wants_reply ? " that asked for a reply" : "");
	}
	tell_queues(page, last, end);
	tell_events(page);
}

/* -- what is missing */

void ws_page_gaps(struct ws_page *page)
{
	const struct ws_field *cause = ws_event_field(ws_kind_info(WS_KIND_GAP), "cause");
	const struct ws_story *story = page->show->story;

	if (!story || !story->gap_total)
		return;
	ws_page_title(page, "Missing");
	for (size_t i = 0; i < story->gap_count; i++) {
		const struct ws_story_gap *gap = &story->gaps[i];
		const char *name = cause ? ws_event_enum_name(cause, gap->cause) : NULL;

		if (gap->lost)
			ws_page_add(page, "  %llu events", (unsigned long long)gap->lost);
		else
			ws_page_add(page, "  events");
		ws_page_time(page, " between ", gap->from_ns);
		ws_page_time(page, " and ", gap->to_ns);
		ws_page_add(page, " (%s)\n", name ? name : "?");
	}
	if (story->gap_total > story->gap_count)
		ws_page_add(page, "  ... and %llu times more\n",
			    (unsigned long long)(story->gap_total - story->gap_count));
}
