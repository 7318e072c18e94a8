/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * idmap.h: finds what belongs to a session by its identity (pid, start_ns). A pid alone is used
 * again. Intrusive: struct ws_id is a member of what is kept, which the caller allocates and frees.
 */
#ifndef WS_EVENT_IDMAP_H
#define WS_EVENT_IDMAP_H

#include <stddef.h>
#include <stdint.h>

struct ws_id {
	uint64_t start_ns;
	uint32_t pid;
};

/* Zero-initialise. `recent` spares the tree for all but the first of a session's records, also when
 * the records of many sessions alternate. */
#define WS_IDMAP_RECENT 1024
struct ws_idmap {
	void *root; /* of tsearch(3) */
	struct ws_id *recent[WS_IDMAP_RECENT];
};

struct ws_id *ws_idmap_find_slow(struct ws_idmap *map, uint32_t pid, uint64_t start_ns);

/* NULL if there is none. */
static inline struct ws_id *ws_idmap_find(struct ws_idmap *map, uint32_t pid, uint64_t start_ns)
{
	struct ws_id *id = map->recent[pid % WS_IDMAP_RECENT];

	if (id && id->pid == pid && id->start_ns == start_ns)
		return id;
	return ws_idmap_find_slow(map, pid, start_ns);
}

/* Any one of this pid, NULL if there is none. */
struct ws_id *ws_idmap_find_pid(const struct ws_idmap *map, uint32_t pid);

/* That which began in the same clock tick: whoever finds a process running knows no more of its
 * start. NULL if there is none. */
struct ws_id *ws_idmap_find_tick(const struct ws_idmap *map, uint32_t pid, uint64_t start_ns);

/* One that is not yet in. Returns -1 when memory ran out. */
int ws_idmap_add(struct ws_idmap *map, struct ws_id *id);
void ws_idmap_remove(struct ws_idmap *map, struct ws_id *id);
/* Forgets all; `release` (may be NULL) is called for each. */
void ws_idmap_deinit(struct ws_idmap *map, void (*release)(struct ws_id *id));

#endif
