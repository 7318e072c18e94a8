/* SPDX-License-Identifier: BSD-2-Clause */
/* How far a COPY is that a walsender runs, for a table's first copy: read off its memory once a
 * second. */
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "live/private.h"
#include "probe/progress.h"

struct rows {
	struct ws_live *live;
	struct ws_rec_copy *items;
	size_t count, cap;
	bool failed;
};

static void take(void *arg, uint32_t pid, const struct ws_entry *entry)
{
	struct rows *rows = arg;
	const struct ws_binary *binary = ws_live_binary(rows->live, entry->server);
	const struct ws_image_symbol *variable;
	struct ws_copy_progress now;
	struct ws_rec_copy *row;

	if (entry->flags & (WS_ENTRY_DEAD | WS_ENTRY_IN_LOOP | WS_ENTRY_IN_BACKUP) ||
	    !(entry->flags & WS_ENTRY_IN_COMMAND) || !(entry->flags & WS_ENTRY_BASE) || !binary ||
	    !binary->image || !ws_order_knows(rows->live->order, pid, entry->start_ns))
		return;
	variable = ws_image_symbol(binary->image, "MyBEEntry");
	if (!variable || variable->is_function ||
	    !ws_progress_copy(pid, entry->base + variable->address, &binary->plan.config.off, &now))
		return;
	row = ws_array_grow(&rows->items, &rows->count, &rows->cap, sizeof(*row));
	if (!row) {
		rows->failed = true;
		return;
	}
	*row = (struct ws_rec_copy){ .h = { .size = sizeof(*row),
					    .kind = WS_KIND_COPY,
					    .pid = pid,
					    .time_ns = ws_clock_mono_ns(),
					    .start_ns = entry->start_ns,
					    .server = entry->server },
				     .rows = now.rows,
				     .bytes = now.bytes };
}

static bool was_told(const struct ws_live *live, const struct ws_rec_copy *now)
{
	for (size_t i = 0; i < live->copy_count; i++) {
		const struct ws_rec_copy *told = &live->copies[i];

		if (told->h.pid == now->h.pid && told->h.start_ns == now->h.start_ns)
			return told->rows == now->rows && told->bytes == now->bytes;
	}
	return false;
}

int ws_live_emit_copies(struct ws_live *live)
{
	struct rows rows = { .live = live };
	int rc;

	ws_tracer_each_entry(live->tracer, take, &rows);
	rc = rows.failed ? -1 : 0;
	for (size_t i = 0; i < rows.count && rc == 0; i++)
		if (!was_told(live, &rows.items[i]))
			rc = ws_order_feed(live->order, &rows.items[i], sizeof(rows.items[i]));
	free(live->copies);
	live->copies = rows.items;
	live->copy_count = rows.count;
	return rc;
}

void ws_live_copies_deinit(struct ws_live *live)
{
	free(live->copies);
}
