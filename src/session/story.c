/* SPDX-License-Identifier: BSD-2-Clause */
#include "session/story.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "event/schema.h"
#include "session/story_parts.h"

void ws_story_init(struct ws_story *story, uint32_t pid, uint64_t start_ns, uint64_t from_ns,
		   uint64_t to_ns, uint64_t around_ns)
{
	*story = (struct ws_story){
		.pid = pid,
		.start_ns = start_ns,
		.from_ns = from_ns,
		.to_ns = to_ns,
		.around_ns = around_ns,
		.moment = { .time_ns = around_ns, .walsnd_state = -1 },
	};
}

void ws_story_deinit(struct ws_story *story)
{
	for (size_t i = 0; i < story->command_count; i++)
		free(story->commands[i].strings);
	free(story->commands);
	for (size_t i = 0; i < story->event_count; i++)
		free(story->events[i]);
	*story = (struct ws_story){ 0 };
}

bool ws_story_is_of(const struct ws_story *story, const struct ws_session *session)
{
	return session->pid == story->pid && session->start_ns == story->start_ns;
}

/* Moves a text into the buffer that `at` walks through. */
static const char *keep_text(const char *text, size_t len, char **at)
{
	char *copy = *at;

	if (!text)
		return NULL;
	memcpy(copy, text, len);
	copy[len] = '\0';
	*at += len + 1;
	return copy;
}

int ws_story_command(struct ws_story *story, const struct ws_command *c)
{
	size_t text = c->text ? c->text_len : 0;
	size_t kind = c->kind ? strlen(c->kind) : 0;
	size_t message = c->message ? strlen(c->message) : 0;
	size_t location = c->location ? strlen(c->location) : 0;
	struct ws_story_command *kept = ws_array_grow(&story->commands, &story->command_count,
						      &story->command_cap, sizeof(*kept));
	char *at;

	if (!kept)
		return -1;
	kept->strings = at = malloc(text + kind + message + location + 4);
	if (!at) {
		story->command_count--;
		return -1;
	}
	kept->command = *c;
	kept->command.text = keep_text(c->text, text, &at);
	kept->command.kind = keep_text(c->kind, kind, &at);
	kept->command.message = keep_text(c->message, message, &at);
	kept->command.location = keep_text(c->location, location, &at);
	return 0;
}

void ws_story_moment_segment(struct ws_story *story, const struct ws_segment *segment)
{
	struct ws_story_moment *moment = &story->moment;

	if (!story->around_ns || story->around_ns < segment->start_ns ||
	    story->around_ns >= segment->end_ns)
		return;
	moment->state = segment->state;
	moment->state_from_ns = segment->start_ns;
	moment->state_to_ns = segment->end_ns;
}

/* -- streams */

static struct ws_story_stream *add_stream(struct ws_story *story)
{
	story->stream_total++;
	return story->stream_count == WS_STORY_STREAMS ? NULL
						       : &story->streams[story->stream_count++];
}

static void on_stream(struct ws_story *story, const struct ws_rec *rec)
{
	const struct ws_rec_stream *r = (const void *)rec;
	struct ws_story_stream *stream = add_stream(story);

	if (!stream)
		return;
	*stream = (struct ws_story_stream){
		.time_ns = rec->time_ns,
		.lsn = r->sent_lsn,
		.logical = rec->flags & WS_STREAM_LOGICAL,
	};
	if (rec->flags & WS_STREAM_SLOT)
		memcpy(stream->slot, r->slot, sizeof(stream->slot));
}

/* One that streamed when it was found; where it began to nothing says. */
static void on_session(struct ws_story *story, const struct ws_rec *rec)
{
	const struct ws_rec_session *r = (const void *)rec;
	struct ws_story_stream *stream;

	if (!(rec->flags & WS_SESSION_RUNNING) || r->found < WS_FOUND_STREAM_WAL ||
	    r->found > WS_FOUND_STREAM_RECV)
		return;
	stream = add_stream(story);
	if (!stream)
		return;
	*stream = (struct ws_story_stream){
		.time_ns = rec->time_ns,
		.lsn = r->sent_lsn,
		.found = true,
		.had_caught_up = r->walsnd_state == WS_WALSND_STREAMING + 1,
	};
	memcpy(stream->slot, r->slot, sizeof(stream->slot));
}

static struct ws_story_stream *current_stream(struct ws_story *story)
{
	return story->stream_count && story->stream_total == story->stream_count
		       ? &story->streams[story->stream_count - 1]
		       : NULL;
}

/* It has nothing more to send: says so itself, or waits for WAL. */
static void caught_up(struct ws_story *story, uint64_t time_ns)
{
	struct ws_story_stream *stream = current_stream(story);

	if (stream && !stream->had_caught_up && !stream->caught_up_ns && time_ns >= stream->time_ns)
		stream->caught_up_ns = time_ns;
}

static void on_state(struct ws_story *story, const struct ws_rec *rec)
{
	const struct ws_rec_state *r = (const void *)rec;

	story->change_total++;
	if (story->change_count < WS_STORY_CHANGES)
		story->changes[story->change_count++] = (struct ws_story_change){
			.time_ns = rec->time_ns,
			.lsn = r->sent_lsn,
			.from = r->from <= WS_WALSND_STOPPING ? (int)r->from : -1,
			.to = r->to <= WS_WALSND_STOPPING ? (int)r->to : -1,
		};
	if (r->to == WS_WALSND_STREAMING)
		caught_up(story, rec->time_ns);
}

/* -- how far behind */

static void measure(struct ws_story *story, const struct ws_session *session, uint64_t now_ns)
{
	const uint64_t confirmed[WS_LAG_COUNT] = {
		[WS_LAG_WRITE] = session->write_lsn,
		[WS_LAG_FLUSH] = session->flush_lsn,
		[WS_LAG_APPLY] = session->apply_lsn,
	};

	for (int i = 0; i < WS_LAG_COUNT; i++) {
		struct ws_story_peak *peak = &story->peaks[i];
		uint64_t ns, bytes;

		if (confirmed[i] && session->sent_lsn >= confirmed[i]) {
			bytes = session->sent_lsn - confirmed[i];
			if (!peak->has_bytes || bytes > peak->bytes) {
				peak->bytes = bytes;
				peak->bytes_at_ns = now_ns;
			}
			peak->has_bytes = true;
		}
		if (!ws_session_lag(session, (enum ws_lag)i, now_ns, &ns))
			continue;
		/* What a reply has just confirmed was behind until it came. */
		if ((session->has_lag & 1U << i) && session->lag_ns[i] > ns)
			ns = session->lag_ns[i];
		if (!peak->has_ns || ns > peak->ns) {
			peak->ns = ns;
			peak->ns_at_ns = now_ns;
		}
		peak->has_ns = true;
	}
}

static void on_turn(struct ws_story *story, const struct ws_session *session,
		    const struct ws_rec *rec)
{
	const struct ws_rec_turn *r = (const void *)rec;
	struct ws_story_last *last = &story->last;
	/* One that took no time is no turn: walscope core makes it of MyWalSnd. */
	bool still = (rec->flags & WS_TURN_ATTACHED) && r->begin_ns == rec->time_ns;
	struct ws_story_stream *stream = current_stream(story);

	story->still = still;
	if (stream && stream->found)
		stream->logical = rec->flags & WS_TURN_LOGICAL;
	if (r->wait == WS_WAIT_WAL)
		caught_up(story, rec->time_ns);
	if (session && !still)
		measure(story, session, rec->time_ns);
	if (story->around_ns && rec->time_ns > story->around_ns)
		return;
	if (r->lsn_to > r->lsn_from) {
		last->send_ns = rec->time_ns;
		last->send_lsn = r->lsn_to;
	}
	if ((rec->flags & WS_TURN_REPLY) && rec->size >= sizeof(*r)) {
		last->reply_ns = rec->time_ns;
		last->reply_found = still;
		last->write_lsn = r->write_lsn;
		last->flush_lsn = r->flush_lsn;
		last->apply_lsn = r->apply_lsn;
	}
}

/* -- the last of each kind */

static void on_keepalive(struct ws_story *story, const struct ws_rec *rec)
{
	story->last.ping_ns = rec->time_ns;
	story->last.ping_wants_reply = ((const struct ws_rec_keepalive *)rec)->request_reply;
}

static void on_socket(struct ws_story *story, const struct ws_rec *rec)
{
	const struct ws_rec_socket *r = (const void *)rec;
	struct ws_story_last *last = &story->last;

	last->socket_ns = rec->time_ns;
	last->unsent_bytes = r->unsent_bytes;
	last->has_socket_details = rec->size >= sizeof(*r);
	if (!last->has_socket_details)
		return;
	last->in_flight_bytes = r->in_flight_bytes;
	last->window_bytes = r->window_bytes;
	last->ack_age_us = r->ack_age_us <= UINT32_MAX ? (uint32_t)r->ack_age_us : UINT32_MAX;
}

static void on_sample(struct ws_story *story, const struct ws_rec *rec)
{
	const struct ws_rec_sample *r = (const void *)rec;
	struct ws_story_last *last = &story->last;

	last->sample_ns = rec->time_ns;
	last->has_pending = r->valid & WS_SAMPLE_PENDING;
	last->pending_bytes = r->pending_bytes;
	last->has_unix_queued = r->valid & WS_SAMPLE_UNIX;
	last->unix_queued_bytes = r->unix_queued_bytes;
	last->target_lsn = r->valid & WS_SAMPLE_TARGET ? r->target_lsn : 0;
}

static void on_gap(struct ws_story *story, const struct ws_rec *rec)
{
	const struct ws_rec_gap *r = (const void *)rec;

	if (r->to_ns < story->from_ns || r->from_ns >= story->to_ns)
		return;
	story->gap_total++;
	if (story->gap_count < WS_STORY_GAPS)
		story->gaps[story->gap_count++] = (struct ws_story_gap){
			.from_ns = r->from_ns,
			.to_ns = r->to_ns,
			.lost = r->lost,
			.cause = (enum ws_gap_cause)r->cause,
		};
}

static void tell(struct ws_story *story, const struct ws_session *session, const struct ws_rec *rec)
{
	/* What a session is asked for around a moment is what lay in front of that. */
	bool late = story->around_ns && rec->time_ns > story->around_ns;

	if (!ws_rec_complete(rec))
		return;
	switch (rec->kind) {
	case WS_KIND_SESSION:
		on_session(story, rec);
		break;
	case WS_KIND_STREAM:
		on_stream(story, rec);
		break;
	case WS_KIND_STATE:
		on_state(story, rec);
		break;
	case WS_KIND_TURN:
		on_turn(story, session, rec);
		break;
	case WS_KIND_KEEPALIVE:
		if (!late)
			on_keepalive(story, rec);
		break;
	case WS_KIND_SOCKET:
		if (!late)
			on_socket(story, rec);
		break;
	case WS_KIND_SAMPLE:
		ws_story_memory(story, rec);
		if (!late)
			on_sample(story, rec);
		break;
	case WS_KIND_MEMORY:
		ws_story_memory(story, rec);
		break;
	default:
		break;
	}
}

/* Where the session was when the moment came. */
static void note_moment(struct ws_story *story, const struct ws_session *session,
			const struct ws_rec *rec)
{
	struct ws_story_moment *moment = &story->moment;

	if (!story->around_ns || rec->time_ns > story->around_ns || !session)
		return;
	moment->set = true;
	moment->record_ns = rec->time_ns;
	moment->sent_lsn = session->sent_lsn;
	moment->write_lsn = session->write_lsn;
	moment->flush_lsn = session->flush_lsn;
	moment->apply_lsn = session->apply_lsn;
	moment->walsnd_state = (int)session->walsnd_state;
}

static bool is_of(const struct ws_story *story, const struct ws_rec *rec)
{
	const struct ws_rec_signal *signal = (const void *)rec;

	if (rec->kind == WS_KIND_SIGNAL)
		return rec->size >= sizeof(*signal) && signal->target_pid == story->pid &&
		       signal->target_start_ns == story->start_ns;
	return rec->pid == story->pid && rec->start_ns == story->start_ns;
}

int ws_story_record(struct ws_story *story, const struct ws_session *session,
		    const struct ws_rec *rec)
{
	if (rec->kind == WS_KIND_GAP && rec->size >= sizeof(struct ws_rec_gap)) {
		const struct ws_rec_gap *gap = (const void *)rec;

		/* Part of the recording is missing: whatever any session did in it. */
		if (is_of(story, rec) ||
		    (!rec->pid && session && !session->end_ns &&
		     (gap->cause == WS_GAP_TORN || gap->cause == WS_GAP_UNWRITTEN ||
		      gap->cause == WS_GAP_UNRECORDED)))
			on_gap(story, rec);
	}
	if (!is_of(story, rec))
		return 0;
	note_moment(story, session, rec);
	if (rec->time_ns < story->from_ns || rec->time_ns >= story->to_ns)
		return 0;
	tell(story, session, rec);
	return ws_story_keep(story, rec);
}

void ws_story_end(struct ws_story *story, const struct ws_session *session, uint64_t end_ns)
{
	ws_story_tidy_spans(story);
	/* In front of the window's end it may have gone on. */
	if (!session->end_ns && end_ns < story->to_ns && !story->still)
		measure(story, session, end_ns);
}
