/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The condensed sequence of states. A send loop changes its state thousands of times a second:
 * neighbours of one kind of work are told as one, and where there are too many kinds in a row the
 * shortest go into what stands beside them. What a span is made of stays known.
 */
#include <string.h>

#include "session/story_parts.h"

/* States that alternate in healthy work. */
static enum ws_state work_of(enum ws_state state)
{
	switch (state) {
	case WS_STATE_READ_WAL:
	case WS_STATE_DECODE:
	case WS_STATE_OUTPUT_PLUGIN:
	case WS_STATE_SEND:
	case WS_STATE_REPLY:
		return WS_STATE_WAIT_WAL;
	case WS_STATE_BACKUP_SEND:
		return WS_STATE_BACKUP_READ;
	case WS_STATE_IDLE:
		return WS_STATE_COMMAND;
	default:
		return state;
	}
}

/* Waiting for a CPU belongs to whatever it does. */
static bool same_work(enum ws_state a, enum ws_state b)
{
	return a == b || a == WS_STATE_OFF_CPU || b == WS_STATE_OFF_CPU;
}

static uint64_t length(const struct ws_story_span *span)
{
	return span->end_ns - span->start_ns;
}

static void name_after_most(struct ws_story_span *span)
{
	for (int i = 0; i < WS_STATE_COUNT; i++)
		if (span->state_ns[i] > span->state_ns[span->state])
			span->state = (enum ws_state)i;
}

/* `next` follows `span`. */
static void join(struct ws_story_span *span, const struct ws_story_span *next)
{
	if (span->work == WS_STATE_OFF_CPU ||
	    (!same_work(span->work, next->work) && length(next) > length(span)))
		span->work = next->work;
	span->end_ns = next->end_ns;
	for (int i = 0; i < WS_STATE_COUNT; i++)
		span->state_ns[i] += next->state_ns[i];
	if (!span->lsn_from)
		span->lsn_from = next->lsn_from;
	if (next->lsn_to)
		span->lsn_to = next->lsn_to;
	span->bytes += next->bytes;
	span->segments += next->segments;
	name_after_most(span);
}

static void remove_span(struct ws_story *story, size_t i)
{
	memmove(&story->spans[i], &story->spans[i + 1],
		(story->span_count - i - 1) * sizeof(story->spans[0]));
	story->span_count--;
}

static size_t shortest(const struct ws_story *story, size_t end)
{
	size_t least = 0;

	for (size_t i = 1; i < end; i++)
		if (length(&story->spans[i]) < length(&story->spans[least]))
			least = i;
	return least;
}

/* This span goes into the shorter of its neighbours. */
static void condense(struct ws_story *story, size_t least)
{
	size_t into;

	if (least == 0)
		into = 0;
	else if (least + 1 >= story->span_count ||
		 length(&story->spans[least - 1]) <= length(&story->spans[least + 1]))
		into = least - 1;
	else
		into = least;
	join(&story->spans[into], &story->spans[into + 1]);
	remove_span(story, into + 1);
	/* Two of one kind may have met. */
	for (size_t i = 0; i + 1 < story->span_count; i++) {
		if (!same_work(story->spans[i].work, story->spans[i + 1].work))
			continue;
		join(&story->spans[i], &story->spans[i + 1]);
		remove_span(story, i + 1);
		i--;
	}
}

void ws_story_segment(struct ws_story *story, const struct ws_segment *segment)
{
	struct ws_story_span *last =
		story->span_count ? &story->spans[story->span_count - 1] : NULL;
	struct ws_story_span next = {
		.state = segment->state,
		.work = work_of(segment->state),
		.start_ns = segment->start_ns,
		.end_ns = segment->end_ns,
		.lsn_from = segment->lsn_from,
		.lsn_to = segment->lsn_to,
		.bytes = segment->bytes,
		.segments = 1,
	};

	ws_story_moment_segment(story, segment);
	if (segment->end_ns <= segment->start_ns || segment->state >= WS_STATE_COUNT)
		return;
	story->segments++;
	next.state_ns[segment->state] = segment->end_ns - segment->start_ns;
	if (last && same_work(last->work, next.work)) {
		join(last, &next);
		return;
	}
	story->spans[story->span_count++] = next;
	/* The last one still grows. */
	if (story->span_count > WS_STORY_SPANS)
		condense(story, shortest(story, story->span_count - 1));
}

void ws_story_tidy_spans(struct ws_story *story)
{
	uint64_t total;
	size_t least;

	while (story->span_count > WS_STORY_FEW) {
		total = story->spans[story->span_count - 1].end_ns - story->spans[0].start_ns;
		least = shortest(story, story->span_count);
		if (length(&story->spans[least]) >= total / 100)
			return;
		condense(story, least);
	}
}
