/* SPDX-License-Identifier: BSD-2-Clause */
/* The memory contexts of sessions' processes. */
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "live/looks.h"
#include "live/private.h"
#include "probe/contexts.h"

/* What it does: commands begin and end in between. */
#define DOES (WS_ENTRY_IN_COMMAND | WS_ENTRY_IN_LOOP | WS_ENTRY_IN_BACKUP)

struct ws_memory_told {
	struct ws_rec_memory rec; /* as last told; h.size 0: never */
	uint32_t pid;
	uint64_t start_ns;
	struct ws_looks looks;
	bool seen; /* in the round going on */
};

struct round {
	struct ws_live *live;
	int rc;
};

static struct ws_memory_told *told_of(struct ws_live *live, uint32_t pid, uint64_t start_ns)
{
	struct ws_memory_told *told;

	for (size_t i = 0; i < live->memory_count; i++)
		if (live->memories[i].pid == pid && live->memories[i].start_ns == start_ns)
			return &live->memories[i];
	told = ws_array_grow(&live->memories, &live->memory_count, &live->memory_cap,
			     sizeof(*told));
	if (told)
		*told = (struct ws_memory_told){ .pid = pid, .start_ns = start_ns };
	return told;
}

static bool is_same(const struct ws_rec_memory *last, const struct ws_rec_memory *now)
{
	const size_t values = offsetof(struct ws_rec_memory, total_bytes);

	return last->h.size && last->h.flags == now->h.flags &&
	       !memcmp((const char *)last + values, (const char *)now + values,
		       sizeof(*now) - values);
}

static int look(struct ws_live *live, const struct ws_contexts_place *place,
		const struct ws_entry *entry, const struct ws_look_at *at,
		struct ws_memory_told *told)
{
	struct ws_rec_memory now = { .h = { 0 } };
	bool news = ws_contexts_read(place, &now);

	now.h = (struct ws_rec){ .size = sizeof(now),
				 .kind = WS_KIND_MEMORY,
				 .pid = place->pid,
				 .time_ns = ws_clock_mono_ns(),
				 .start_ns = entry->start_ns,
				 .server = entry->server,
				 .flags = now.h.flags };
	news = news && !is_same(&told->rec, &now);
	ws_look_taken(&told->looks, at, now.h.time_ns, news);
	if (!news)
		return 0;
	told->rec = now;
	return ws_order_feed(live->order, &now, sizeof(now));
}

static void take(void *arg, uint32_t pid, const struct ws_entry *entry)
{
	struct round *round = arg;
	struct ws_live *live = round->live;
	const struct ws_binary *binary = ws_live_binary(live, entry->server);
	const struct ws_rec_sample *sample;
	struct ws_contexts_place place;
	struct ws_memory_told *told;
	struct ws_look_at at;

	if (round->rc || entry->flags & WS_ENTRY_DEAD || !(entry->flags & WS_ENTRY_BASE) ||
	    !binary || !binary->image || !ws_order_knows(live->order, pid, entry->start_ns))
		return;
	told = told_of(live, pid, entry->start_ns);
	if (!told) {
		round->rc = -1;
		return;
	}
	told->seen = true;
	sample = ws_live_sample(live, pid, entry->start_ns);
	at = (struct ws_look_at){ .now_ns = ws_clock_mono_ns(),
				  .sampled = sample != NULL,
				  .run_ns = sample ? sample->run_ns : 0,
				  .private_bytes = sample ? sample->private_bytes : 0,
				  .does = entry->flags & DOES };
	if (!ws_look_is_due(&told->looks, &at))
		return;
	place = (struct ws_contexts_place){
		.pid = pid,
		.base = entry->base,
		.top = ws_image_variable(binary->image, "TopMemoryContext"),
		.work_mem = ws_image_variable(binary->image, "logical_decoding_work_mem"),
		.off = &binary->plan.config.off,
		.no_idents = live->redact != NULL,
	};
	round->rc = look(live, &place, entry, &at, told);
}

static void forget(struct ws_live *live)
{
	for (size_t i = 0; i < live->memory_count;) {
		if (live->memories[i].seen)
			live->memories[i++].seen = false;
		else
			live->memories[i] = live->memories[--live->memory_count];
	}
}

int ws_live_emit_memories(struct ws_live *live)
{
	struct round round = { .live = live };

	ws_tracer_each_entry(live->tracer, take, &round);
	forget(live);
	return round.rc;
}

void ws_live_memories_deinit(struct ws_live *live)
{
	free(live->memories);
}
