/* SPDX-License-Identifier: BSD-2-Clause */
#include "event/idmap.h"

#include <search.h>
#include <string.h>

#include "config.h"

static int compare(const void *a, const void *b)
{
	const struct ws_id *x = a, *y = b;

	if (x->pid != y->pid)
		return x->pid < y->pid ? -1 : 1;
	if (x->start_ns != y->start_ns)
		return x->start_ns < y->start_ns ? -1 : 1;
	return 0;
}

struct ws_id *ws_idmap_find_slow(struct ws_idmap *map, uint32_t pid, uint64_t start_ns)
{
	const struct ws_id key = { .pid = pid, .start_ns = start_ns };
	struct ws_id **found = tfind(&key, &map->root, compare);

	if (!found)
		return NULL;
	map->recent[pid % WS_IDMAP_RECENT] = *found;
	return *found;
}

/* The order of the tree is by pid first. */
static int compare_pids(const void *a, const void *b)
{
	const struct ws_id *x = a, *y = b;

	return x->pid == y->pid ? 0 : x->pid < y->pid ? -1 : 1;
}

struct ws_id *ws_idmap_find_pid(const struct ws_idmap *map, uint32_t pid)
{
	const struct ws_id key = { .pid = pid };
	struct ws_id **found = tfind(&key, &map->root, compare_pids);

	return found ? *found : NULL;
}

static int compare_ticks(const void *a, const void *b)
{
	const struct ws_id *x = a, *y = b;
	uint64_t begin = x->start_ns / WS_TICK_NS, other = y->start_ns / WS_TICK_NS;

	if (x->pid != y->pid)
		return x->pid < y->pid ? -1 : 1;
	return begin == other ? 0 : begin < other ? -1 : 1;
}

struct ws_id *ws_idmap_find_tick(const struct ws_idmap *map, uint32_t pid, uint64_t start_ns)
{
	const struct ws_id key = { .pid = pid, .start_ns = start_ns };
	struct ws_id **found = tfind(&key, &map->root, compare_ticks);

	return found ? *found : NULL;
}

int ws_idmap_add(struct ws_idmap *map, struct ws_id *id)
{
	if (!tsearch(id, &map->root, compare))
		return -1;
	map->recent[id->pid % WS_IDMAP_RECENT] = id;
	return 0;
}

void ws_idmap_remove(struct ws_idmap *map, struct ws_id *id)
{
	tdelete(id, &map->root, compare);
	if (map->recent[id->pid % WS_IDMAP_RECENT] == id)
		map->recent[id->pid % WS_IDMAP_RECENT] = NULL;
}

static void keep(void *id)
{
	(void)id;
}

void ws_idmap_deinit(struct ws_idmap *map, void (*release)(struct ws_id *id))
{
	while (release && map->root) {
		struct ws_id *id = *(struct ws_id **)map->root;

		tdelete(id, &map->root, compare);
		release(id);
	}
	tdestroy(map->root, keep);
	memset(map, 0, sizeof(*map));
}
