/* SPDX-License-Identifier: BSD-2-Clause */
/* How far backups are, read off the servers' memory once a second. */
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "live/private.h"
#include "probe/progress.h"

/* A backup, and what was told of it last. */
struct ws_backup_told {
	uint32_t pid;
	uint16_t server;
	bool seen, read; /* in this look */
	uint64_t start_ns, base;
	struct ws_progress now, told;
	bool has_told;
};

static struct ws_backup_told *find(struct ws_live *live, uint32_t pid, uint64_t start_ns)
{
	for (size_t i = 0; i < live->backup_count; i++)
		if (live->backups[i].pid == pid && live->backups[i].start_ns == start_ns)
			return &live->backups[i];
	return NULL;
}

static void look_at(void *arg, uint32_t pid, const struct ws_entry *entry)
{
	struct ws_live *live = arg;
	const struct ws_binary *binary = ws_live_binary(live, entry->server);
	uint64_t variable;
	struct ws_backup_told *b;

	if (entry->flags & WS_ENTRY_DEAD || !(entry->flags & WS_ENTRY_IN_BACKUP) ||
	    !(entry->flags & WS_ENTRY_BASE) || !binary)
		return;
	b = find(live, pid, entry->start_ns);
	if (!b) {
		b = ws_array_grow(&live->backups, &live->backup_count, &live->backup_cap,
				  sizeof(*b));
		if (!b) {
			live->backups_failed = true;
			return;
		}
		b->pid = pid;
		b->start_ns = entry->start_ns;
	}
	b->server = entry->server;
	b->seen = true;
	variable = ws_symbol_address(&binary->symbols, "MyBEEntry");
	b->read = variable &&
		  ws_progress_read(pid, entry->base + variable, &binary->plan.config.off, &b->now);
}

static bool same(const struct ws_progress *a, const struct ws_progress *b)
{
	return a->phase == b->phase && a->has_total == b->has_total &&
	       a->total_bytes == b->total_bytes && a->streamed_bytes == b->streamed_bytes &&
	       a->tablespaces == b->tablespaces && a->tablespaces_done == b->tablespaces_done;
}

static int tell(struct ws_live *live, struct ws_backup_told *b)
{
	struct ws_rec_progress rec = {
		.h = {
			.size = sizeof(rec),
			.kind = WS_KIND_PROGRESS,
			.pid = b->pid,
			.time_ns = ws_clock_mono_ns(),
			.start_ns = b->start_ns,
			.server = b->server,
		},
		.total_bytes = b->now.total_bytes,
		.streamed_bytes = b->now.streamed_bytes,
		.phase = b->now.phase,
		.tablespaces = b->now.tablespaces,
		.tablespaces_done = b->now.tablespaces_done,
		.valid = b->now.has_total ? WS_PROGRESS_TOTAL : 0,
	};

	if (!b->read || (b->has_told && same(&b->now, &b->told)) ||
	    !ws_order_knows(live->order, b->pid, b->start_ns))
		return 0;
	b->told = b->now;
	b->has_told = true;
	return ws_order_feed(live->order, &rec, sizeof(rec));
}

int ws_live_emit_backups(struct ws_live *live)
{
	for (size_t i = 0; i < live->backup_count; i++)
		live->backups[i].seen = live->backups[i].read = false;
	ws_tracer_each_entry(live->tracer, look_at, live);
	if (live->backups_failed)
		return -1;
	for (size_t i = 0; i < live->backup_count;) {
		if (!live->backups[i].seen) {
			live->backups[i] = live->backups[--live->backup_count];
			continue;
		}
		if (tell(live, &live->backups[i++]))
			return -1;
	}
	return 0;
}

void ws_live_backups_deinit(struct ws_live *live)
{
	free(live->backups);
}
