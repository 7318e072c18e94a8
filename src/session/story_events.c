/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The last events. Turns of the send loop come by the thousand: those that follow each other within
 * a second are kept as one, as the programs in the kernel do with quiet ones.
 */
#include <stdlib.h>
#include <string.h>

#include "session/story_parts.h"

#define FOLD_NS 1000000000ULL

/* Takes `rec` into the turn that is kept last; false if it cannot be. */
static bool fold_turn(struct ws_rec *kept, const struct ws_rec *rec)
{
	struct ws_rec_turn *into = (void *)kept;
	const struct ws_rec_turn *turn = (const void *)rec;

	if (kept->kind != WS_KIND_TURN || rec->kind != WS_KIND_TURN ||
	    rec->size < WS_TURN_SHORT_SIZE || rec->time_ns < into->begin_ns ||
	    rec->time_ns - into->begin_ns > FOLD_NS || into->turns > UINT32_MAX - turn->turns)
		return false;
	into->h.time_ns = rec->time_ns;
	into->h.flags |= rec->flags & (WS_TURN_LOGICAL | WS_TURN_REPLY);
	into->h.flags &= ~(WS_TURN_PENDING | WS_TURN_WOKE);
	into->h.flags |= rec->flags & (WS_TURN_PENDING | WS_TURN_WOKE);
	if (turn->lsn_to)
		into->lsn_to = turn->lsn_to;
	for (int i = 0; i < WS_STAGE_COUNT; i++)
		into->stage_ns[i] += turn->stage_ns[i];
	into->turns += turn->turns;
	into->sends += turn->sends;
	into->reads += turn->reads;
	into->messages += turn->messages;
	into->message_bytes += turn->message_bytes;
	into->woke = turn->woke;
	into->wait = turn->wait;
	into->wait_mask = turn->wait_mask;
	into->wait_event = turn->wait_event;
	into->timeout_ms = turn->timeout_ms;
	if ((rec->flags & WS_TURN_REPLY) && rec->size >= sizeof(*turn))
		memcpy(&into->write_lsn, &turn->write_lsn, sizeof(*turn) - WS_TURN_SHORT_SIZE);
	return true;
}

/* Turns get the room of the longest, for a reply that is folded in later. */
static struct ws_rec *copy(const struct ws_rec *rec)
{
	size_t size = rec->size;
	struct ws_rec *kept;

	if (rec->kind == WS_KIND_TURN && size < sizeof(struct ws_rec_turn))
		size = sizeof(struct ws_rec_turn);
	kept = calloc(1, size);
	if (!kept)
		return NULL;
	memcpy(kept, rec, rec->size);
	if (rec->kind == WS_KIND_TURN)
		kept->size = (__u16)size;
	return kept;
}

static void drop_first(struct ws_story *story)
{
	free(story->events[0]);
	memmove(&story->events[0], &story->events[1],
		(story->event_count - 1) * sizeof(story->events[0]));
	story->event_count--;
	story->event_omitted++;
}

int ws_story_keep(struct ws_story *story, const struct ws_rec *rec)
{
	bool before = !story->around_ns || rec->time_ns <= story->around_ns;
	size_t first = before ? 0 : story->event_before;
	size_t kept = story->event_count - first;
	struct ws_rec *mine;

	/* What comes late, of a time in front of what was kept behind the moment, is left out. */
	if (before && story->event_count > story->event_before)
		return 0;
	if (kept && fold_turn(story->events[story->event_count - 1], rec))
		return 0;
	if (!before && kept >= WS_STORY_EVENTS) {
		story->event_omitted++;
		return 0;
	}
	mine = copy(rec);
	if (!mine)
		return -1;
	if (before && kept >= WS_STORY_EVENTS)
		drop_first(story);
	story->events[story->event_count++] = mine;
	if (before)
		story->event_before = story->event_count;
	return 0;
}
