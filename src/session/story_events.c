/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The last events. What a send loop does again and again comes by the thousand: of turns,
 * keepalives and waits for a CPU those within a second are kept as one of each, as the programs in
 * the kernel do with quiet turns. Whatever else happens in between begins anew.
 */
#include <stdlib.h>
#include <string.h>

#include "session/story_parts.h"

#define FOLD_NS 1000000000ULL

/* Takes `rec` into the turn that is kept; false if it cannot be. */
static bool fold_turn(struct ws_rec *kept, const struct ws_rec *rec)
{
	struct ws_rec_turn *into = (void *)kept;
	const struct ws_rec_turn *turn = (const void *)rec;

	if (rec->size < WS_TURN_SHORT_SIZE || into->turns > UINT32_MAX - turn->turns)
		return false;
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

/* One that asks for a reply is not like the others. */
static bool fold_keepalive(struct ws_rec *kept, const struct ws_rec *rec)
{
	struct ws_rec_keepalive *into = (void *)kept;
	const struct ws_rec_keepalive *r = (const void *)rec;

	if (rec->size != kept->size || into->request_reply != r->request_reply)
		return false;
	into->lsn = r->lsn;
	return true;
}

static bool fold_off_cpu(struct ws_rec *kept, const struct ws_rec *rec)
{
	struct ws_rec_off_cpu *into = (void *)kept;
	const struct ws_rec_off_cpu *r = (const void *)rec;

	if (rec->size != kept->size)
		return false;
	for (int i = 0; i < WS_STAGE_COUNT; i++)
		into->stage_ns[i] += r->stage_ns[i];
	return true;
}

static bool (*folder_of(uint16_t kind))(struct ws_rec *kept, const struct ws_rec *rec)
{
	switch (kind) {
	case WS_KIND_TURN:
		return fold_turn;
	case WS_KIND_KEEPALIVE:
		return fold_keepalive;
	case WS_KIND_OFF_CPU:
		return fold_off_cpu;
	default:
		return NULL;
	}
}

/* Takes it into one of its kind that was kept within the second; that one is the last then. */
static bool fold(struct ws_story *story, size_t first, const struct ws_rec *rec)
{
	bool (*folder)(struct ws_rec *, const struct ws_rec *) = folder_of(rec->kind);
	struct ws_rec *kept;

	if (!folder || !story->fold_ns || rec->time_ns < story->fold_ns ||
	    rec->time_ns - story->fold_ns > FOLD_NS)
		return false;
	first = first > story->fold_first ? first : story->fold_first;
	for (size_t i = story->event_count; i-- > first;) {
		kept = story->events[i];
		if (kept->kind != rec->kind || !folder(kept, rec))
			continue;
		kept->time_ns = rec->time_ns;
		memmove(&story->events[i], &story->events[i + 1],
			(story->event_count - i - 1) * sizeof(story->events[0]));
		story->events[story->event_count - 1] = kept;
		return true;
	}
	return false;
}

/* From where on others may be taken into this one, which is kept at the end. */
static void begin_fold(struct ws_story *story, const struct ws_rec *rec)
{
	if (!folder_of(rec->kind)) {
		if (rec->kind < WS_KIND_SERVER)
			story->fold_ns = 0;
	} else if (!story->fold_ns || rec->time_ns < story->fold_ns ||
		   rec->time_ns - story->fold_ns > FOLD_NS) {
		story->fold_ns = rec->time_ns;
		story->fold_first = story->event_count;
	}
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
	story->fold_first -= story->fold_first ? 1 : 0;
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
	if (fold(story, first, rec))
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
	begin_fold(story, rec);
	story->events[story->event_count++] = mine;
	if (before)
		story->event_before = story->event_count;
	return 0;
}
