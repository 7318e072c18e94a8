/* SPDX-License-Identifier: BSD-2-Clause */
/* json_show_memory.c: what the process of a session had of memory, over time and by contexts. */
#include "base/util.h"
#include "export/json.h"

static const char *const size_names[WS_STORY_SIZES] = {
	[WS_STORY_RSS] = "rss_bytes",
	[WS_STORY_PRIVATE] = "private_bytes",
	[WS_STORY_CONTEXTS] = "context_bytes",
	[WS_STORY_REORDER] = "reorder_bytes",
};

static json_t *extent(const struct ws_export *ex, const struct ws_story_extent *e, int *rc)
{
	json_t *o;

	if (!e->known)
		return json_null();
	o = json_object();
	ws_json_put(o, "first", ws_json_uint(e->first), rc);
	ws_json_put(o, "peak", ws_json_uint(e->peak), rc);
	ws_json_put(o, "peak_at", ws_json_time(ex, e->peak_ns), rc);
	ws_json_put(o, "last", ws_json_uint(e->last), rc);
	return o;
}

static json_t *over_time(const struct ws_export *ex, const struct ws_story_memory *memory, int *rc)
{
	json_t *array = json_array();

	for (size_t i = 0; i < memory->point_count; i++) {
		const struct ws_story_point *point = &memory->points[i];
		json_t *o = json_object();

		ws_json_put(o, "time", ws_json_time(ex, point->time_ns), rc);
		for (int j = 0; j < WS_STORY_SIZES; j++)
			ws_json_put(o, size_names[j],
				    point->known & 1U << j ? ws_json_uint(point->size[j])
							   : json_null(),
				    rc);
		ws_json_append(array, o, rc);
	}
	return array;
}

static json_t *uint_if(const struct ws_rec_memory *r, uint32_t bit, uint64_t value)
{
	return r->valid & bit ? ws_json_uint(value) : json_null();
}

static json_t *largest(const struct ws_rec_memory *r, int *rc)
{
	json_t *array = json_array();

	for (size_t i = 0; i < WS_CONTEXTS && r->names[i][0]; i++) {
		json_t *o = json_object();

		ws_json_put(o, "name", ws_json_str(r->names[i]), rc);
		ws_json_put(o, "in", ws_json_str_or_null(r->parents[i]), rc);
		ws_json_put(o, "ident", ws_json_str_or_null(r->idents[i]), rc);
		ws_json_put(o, "count", ws_json_uint(r->counts[i]), rc);
		ws_json_put(o, "bytes", uint_if(r, WS_MEMORY_BYTES, r->own[i]), rc);
		ws_json_put(o, "whole_bytes", uint_if(r, WS_MEMORY_BYTES, r->whole[i]), rc);
		ws_json_append(array, o, rc);
	}
	return array;
}

static json_t *contexts(const struct ws_export *ex, const struct ws_rec_memory *r, int *rc)
{
	json_t *o;

	if (!r->h.size)
		return json_null();
	o = json_object();
	ws_json_put(o, "time", ws_json_time(ex, r->h.time_ns), rc);
	ws_json_put(o, "contexts", ws_json_uint(r->contexts), rc);
	ws_json_put(o, "cut", ws_json_bool(r->h.flags & WS_MEMORY_CUT), rc);
	ws_json_put(o, "total_bytes", uint_if(r, WS_MEMORY_BYTES, r->total_bytes), rc);
	ws_json_put(o, "reorder_bytes", uint_if(r, WS_MEMORY_REORDER, r->reorder_bytes), rc);
	ws_json_put(o, "work_mem_bytes", uint_if(r, WS_MEMORY_WORK_MEM, r->work_mem_bytes), rc);
	ws_json_put(o, "cache_bytes", uint_if(r, WS_MEMORY_BYTES, r->cache_bytes), rc);
	ws_json_put(o, "largest", largest(r, rc), rc);
	return o;
}

void ws_json_put_memory(json_t *o, const struct ws_export *ex, const struct ws_story *story,
			int *rc)
{
	const struct ws_story_memory *memory = &story->memory;
	json_t *both;

	ws_json_put(o, "rss_bytes", extent(ex, &memory->sizes[WS_STORY_RSS], rc), rc);
	ws_json_put(o, "private_bytes", extent(ex, &memory->sizes[WS_STORY_PRIVATE], rc), rc);
	ws_json_put(o, "over_time", over_time(ex, memory, rc), rc);
	if (!memory->last.h.size) {
		ws_json_put(o, "contexts", json_null(), rc);
		return;
	}
	both = json_object();
	ws_json_put(both, "peak", contexts(ex, &memory->peak, rc), rc);
	ws_json_put(both, "last", contexts(ex, &memory->last, rc), rc);
	ws_json_put(o, "contexts", both, rc);
}
