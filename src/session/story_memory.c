/* SPDX-License-Identifier: BSD-2-Clause */
#include "session/story_parts.h"

#include <string.h>

/* Samples are a second apart, the record of contexts comes right behind one. */
#define STEP_NS 900000000ULL

static void measure(struct ws_story_extent *extent, uint64_t bytes, uint64_t time_ns)
{
	if (!extent->known)
		extent->first = bytes;
	if (!extent->known || bytes > extent->peak) {
		extent->peak = bytes;
		extent->peak_ns = time_ns;
	}
	extent->known = true;
	extent->last = bytes;
}

static void take_larger(struct ws_story_point *point, const struct ws_story_point *by)
{
	for (int i = 0; i < WS_STORY_SIZES; i++)
		if (by->known & 1U << i &&
		    (!(point->known & 1U << i) || by->size[i] > point->size[i]))
			point->size[i] = by->size[i];
	point->known |= by->known;
}

/* Of two points one. */
static void thin_out(struct ws_story_memory *memory)
{
	size_t kept = 0;

	for (size_t i = 0; i < memory->point_count; i++) {
		if (i % 2)
			take_larger(&memory->points[kept - 1], &memory->points[i]);
		else
			memory->points[kept++] = memory->points[i];
	}
	memory->point_count = kept;
	memory->step_ns *= 2;
}

/* Sizes as they are now, of which those in `seen` were looked at: what a point took over from the
 * one before does not count once there is a look. */
static void add_point(struct ws_story_memory *memory, uint64_t time_ns, uint32_t seen)
{
	struct ws_story_point now = { .time_ns = time_ns };
	struct ws_story_point *last =
		memory->point_count ? &memory->points[memory->point_count - 1] : NULL;

	for (int i = 0; i < WS_STORY_SIZES; i++) {
		now.size[i] = memory->sizes[i].last;
		now.known |= memory->sizes[i].known ? 1U << i : 0;
	}
	if (!now.known && !memory->last.h.size)
		return;
	if (!memory->step_ns)
		memory->step_ns = STEP_NS;
	if (last && time_ns < last->time_ns + memory->step_ns) {
		last->known &= ~(seen & ~memory->seen);
		memory->seen |= seen;
		now.known &= seen;
		take_larger(last, &now);
		return;
	}
	if (memory->point_count == WS_STORY_POINTS)
		thin_out(memory);
	memory->points[memory->point_count++] = now;
	memory->seen = seen;
}

/* Both return which sizes they say. */
static uint32_t on_sample(struct ws_story_memory *memory, const struct ws_rec *rec)
{
	struct ws_rec_sample r = { 0 };
	uint32_t seen = 0;

	memcpy(&r, rec, rec->size < sizeof(r) ? rec->size : sizeof(r));
	if (r.valid & WS_SAMPLE_RSS) {
		measure(&memory->sizes[WS_STORY_RSS], r.rss_bytes, rec->time_ns);
		seen |= 1U << WS_STORY_RSS;
	}
	if (r.valid & WS_SAMPLE_PRIVATE) {
		measure(&memory->sizes[WS_STORY_PRIVATE], r.private_bytes, rec->time_ns);
		seen |= 1U << WS_STORY_PRIVATE;
	}
	return seen;
}

/* Where sizes are not known, most is how many there are. */
static bool is_peak(const struct ws_rec_memory *peak, const struct ws_rec_memory *now)
{
	if (!peak->h.size)
		return true;
	return now->valid & WS_MEMORY_BYTES ? now->total_bytes > peak->total_bytes
					    : now->contexts > peak->contexts;
}

static uint32_t on_memory(struct ws_story_memory *memory, const struct ws_rec *rec)
{
	memcpy(&memory->last, rec, sizeof(memory->last));
	if (is_peak(&memory->peak, &memory->last))
		memory->peak = memory->last;
	if (!(memory->last.valid & WS_MEMORY_BYTES))
		return 0;
	measure(&memory->sizes[WS_STORY_CONTEXTS], memory->last.total_bytes, rec->time_ns);
	/* Without a reorder buffer there is nothing in it. */
	measure(&memory->sizes[WS_STORY_REORDER], memory->last.reorder_bytes, rec->time_ns);
	return 1U << WS_STORY_CONTEXTS | 1U << WS_STORY_REORDER;
}

void ws_story_memory(struct ws_story *story, const struct ws_rec *rec)
{
	struct ws_story_memory *memory = &story->memory;
	uint32_t seen =
		rec->kind == WS_KIND_SAMPLE ? on_sample(memory, rec) : on_memory(memory, rec);

	add_point(memory, rec->time_ns, seen);
}
