/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "export/text_show.h"

#define NAME_WIDTH 50 /* columns of a context's name; what is longer moves what is behind it */

static void tell_size(struct ws_page *page, const char *name, const struct ws_story_extent *size)
{
	if (!size->known)
		return;
	ws_page_add(page, "  %-9s ", name);
	ws_page_bytes(page, "", size->first);
	ws_page_bytes(page, " at first, ", size->peak);
	ws_page_time(page, " at most (", size->peak_ns);
	ws_page_bytes(page, "), ", size->last);
	ws_page_add(page, " at last\n");
}

static void tell_name(struct ws_page *page, const struct ws_rec_memory *r, size_t i)
{
	size_t from = page->buf.len, width;

	ws_page_add(page, "    ");
	ws_page_text(page, r->names[i], strlen(r->names[i]));
	if (r->counts[i] > 1)
		ws_page_add(page, " (%u)", r->counts[i]);
	if (r->parents[i][0]) {
		ws_page_add(page, " in ");
		ws_page_text(page, r->parents[i], strlen(r->parents[i]));
	}
	width = page->buf.len - from;
	if (r->valid & WS_MEMORY_BYTES) {
		ws_page_add(page, "%*s", width < NAME_WIDTH ? (int)(NAME_WIDTH - width) : 1, "");
		ws_page_bytes(page, " ", r->own[i]);
	}
	if (r->idents[i][0]) {
		ws_page_add(page, r->counts[i] > 1 ? ", the largest " : " ");
		ws_page_text(page, r->idents[i], strlen(r->idents[i]));
	}
	ws_page_add(page, "\n");
}

static void tell_contexts(struct ws_page *page, const char *when, const struct ws_rec_memory *r)
{
	ws_page_add(page, "  %s", when);
	ws_page_time(page, ", ", r->h.time_ns);
	ws_page_add(page, ": %u contexts", r->contexts);
	if (r->h.flags & WS_MEMORY_CUT)
		ws_page_add(page, " and more that were not looked at");
	if (r->valid & WS_MEMORY_BYTES) {
		ws_page_bytes(page, ", ", r->total_bytes);
		ws_page_bytes(page, "; caches ", r->cache_bytes);
	}
	if (r->valid & WS_MEMORY_REORDER) {
		ws_page_bytes(page, ", changes gathered ", r->reorder_bytes);
		if (r->valid & WS_MEMORY_WORK_MEM)
			ws_page_bytes(page, " (logical_decoding_work_mem ", r->work_mem_bytes);
		ws_page_add(page, r->valid & WS_MEMORY_WORK_MEM ? ")" : "");
	}
	ws_page_add(page, "\n");
	for (size_t i = 0; i < WS_CONTEXTS && r->names[i][0]; i++)
		tell_name(page, r, i);
}

void ws_page_memory_over_time(struct ws_page *page)
{
	const struct ws_story_memory *memory = &page->show->story->memory;

	tell_size(page, "resident", &memory->sizes[WS_STORY_RSS]);
	tell_size(page, "its own", &memory->sizes[WS_STORY_PRIVATE]);
	if (!memory->last.h.size)
		return;
	if (memory->peak.h.time_ns != memory->last.h.time_ns)
		tell_contexts(page, "at most", &memory->peak);
	tell_contexts(page, "at last", &memory->last);
}
