/* SPDX-License-Identifier: BSD-2-Clause */
#include "trace/index.h"

#include <string.h>

#include "event/schema.h"

bool ws_index_is_session_kind(uint16_t kind)
{
	if (kind == WS_KIND_SIGNAL || kind == WS_KIND_SLOT)
		return false;
	return (kind && kind <= WS_KIND_KERNEL_LAST) || ws_kind_is_sampled(kind);
}

void ws_index_clear(struct ws_index *index)
{
	memset(index->place, 0, sizeof(index->place));
	index->last = 0;
	index->pids = index->clocks = 0;
	index->incomplete = false;
}

static void add_pid(struct ws_index *index, uint32_t pid)
{
	size_t place = (pid * 0x9e3779b1u) >> 21;

	_Static_assert(WS_INDEX_PLACES == 1 << (32 - 21), "the hash fits");
	while (index->place[place]) {
		if (index->pid[index->place[place] - 1] == pid)
			return;
		place = (place + 1) % WS_INDEX_PLACES;
	}
	if (index->pids == WS_DISK_PIDS_MAX) {
		index->incomplete = true;
		return;
	}
	index->pid[index->pids++] = pid;
	index->place[place] = index->pids;
}

static void add_clock(struct ws_index *index, const struct ws_rec *rec)
{
	const struct ws_rec_clock *r = (const struct ws_rec_clock *)rec;

	if (rec->size < sizeof(*r) || index->clocks == WS_DISK_CLOCKS_MAX) {
		index->incomplete = true;
		return;
	}
	index->clock[index->clocks++] = (struct ws_disk_clock){
		.mono_ns = rec->time_ns,
		.wall_ns = r->wall_ns,
		.boot_ns = r->boot_ns,
	};
}

void ws_index_add(struct ws_index *index, const struct ws_rec *rec)
{
	if (rec->pid && rec->start_ns) {
		if (rec->pid != index->last)
			add_pid(index, rec->pid);
		index->last = rec->pid;
	} else if (rec->kind == WS_KIND_CLOCK) {
		add_clock(index, rec);
	} else if (ws_index_is_session_kind(rec->kind)) {
		index->incomplete = true; /* of which? */
	}
}

size_t ws_index_size(const struct ws_index *index)
{
	return sizeof(struct ws_disk_index) + index->clocks * sizeof(*index->clock) +
	       index->pids * sizeof(*index->pid);
}

int ws_index_write(const struct ws_index *index, uint16_t flags, struct ws_buf *out)
{
	struct ws_disk_index disk = {
		.size = (uint16_t)ws_index_size(index),
		.flags = flags,
		.clocks = index->clocks,
		.pids = index->pids,
	};

	if (!index->incomplete)
		disk.flags |= WS_DISK_INDEX_COMPLETE;
	return ws_buf_add(out, &disk, sizeof(disk)) ||
			       ws_buf_add(out, index->clock,
					  index->clocks * sizeof(*index->clock)) ||
			       ws_buf_add(out, index->pid, index->pids * sizeof(*index->pid))
		       ? -1
		       : 0;
}
