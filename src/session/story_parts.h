/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * story_parts.h: what the files of the story share; nobody else includes it.
 *
 *   story.c         commands, streams, peaks, last acts
 *   story_spans.c   the condensed sequence of states
 *   story_events.c  the last events, or those around a moment
 *   story_memory.c  the memory of its process over time
 */
#ifndef WS_SESSION_STORY_PARTS_H
#define WS_SESSION_STORY_PARTS_H

#include "session/story.h"

/* The last segment was told. */
void ws_story_tidy_spans(struct ws_story *story);
/* Is the moment in this stretch? */
void ws_story_moment_segment(struct ws_story *story, const struct ws_segment *segment);
/* A record of kind sample or memory, whole as far as its kind is. */
void ws_story_memory(struct ws_story *story, const struct ws_rec *rec);
/* Keeps a record among the last events. Returns -1 when memory ran out. */
int ws_story_keep(struct ws_story *story, const struct ws_rec *rec);

#endif
