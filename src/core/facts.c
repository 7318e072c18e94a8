/* SPDX-License-Identifier: BSD-2-Clause */
/* What memory says of the process. What cannot be read is left out. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "core/decoding.h"
#include "core/errors.h"
#include "core/parts.h"

#define LAG_MAX_US (10000LL * 365 * 86400 * 1000)
#define TIME_MAX   (INT64_MAX / 1000 - WS_CORE_EPOCH_US)

/* Where a row is to go. A failure (memory) is kept. */
struct adding {
	struct ws_core *core;
	struct ws_core_impl *impl;
	int rc;
};

static void add(struct adding *a, const char *name, const char *label, enum ws_core_type type,
		uint64_t value)
{
	struct ws_core *core = a->core;
	struct ws_core_fact *fact =
		ws_array_grow(&core->facts, &core->fact_count, &core->fact_cap, sizeof(*fact));

	if (fact)
		*fact = (struct ws_core_fact){ name, label, type, NULL, value };
	else
		a->rc = -1;
}

static void add_text(struct adding *a, const char *name, const char *label, const char *text)
{
	struct ws_core_impl *impl = a->impl;
	char **slot;

	if (!text || !text[0])
		return;
	slot = ws_array_grow(&impl->texts, &impl->text_count, &impl->text_cap, sizeof(*slot));
	if (slot)
		*slot = strdup(text);
	if (!slot || !*slot) {
		a->rc = -1;
		return;
	}
	add(a, name, label, WS_CORE_TEXT, 0);
	if (!a->rc)
		a->core->facts[a->core->fact_count - 1].text = *slot;
}

static void add_time(struct adding *a, const char *name, const char *label, int64_t pg_us)
{
	if (pg_us > 0 && pg_us < TIME_MAX)
		add(a, name, label, WS_CORE_TIME, (uint64_t)(pg_us + WS_CORE_EPOCH_US) * 1000);
}

int64_t ws_core_start_wall(const struct ws_core_impl *impl)
{
	int64_t us, seconds;

	if (ws_core_variable(impl, "MyStartTimestamp", &us, sizeof(us)) && us > 0 && us < TIME_MAX)
		return (us + WS_CORE_EPOCH_US) * 1000;
	if (ws_core_variable(impl, "MyStartTime", &seconds, sizeof(seconds)) && seconds > 0 &&
	    seconds < INT64_MAX / 1000000000)
		return seconds * 1000000000;
	return 0;
}

/* -- the process */

static void add_origin(struct adding *a)
{
	const struct ws_core_impl *impl = a->impl;
	const char *name;
	char text[64];

	add_text(a, "process", NULL, ws_core_process_name(a->core->process));
	add_text(a, "title", NULL, impl->dump.title);
	add(a, "at", "as of", WS_CORE_TIME, (uint64_t)a->core->wall_ns);
	if (impl->dump.signal) {
		name = sigabbrev_np((int)impl->dump.signal);
		snprintf(text, sizeof(text), "%s%s", name ? "SIG" : "", name ? name : "unknown");
		add_text(a, "signal", "dumped on", text);
	}
	if (impl->options->file)
		add(a, "shared_memory", "holds shared memory", WS_CORE_BOOL, impl->has_shmem);
	if (impl->stopped)
		add(a, "stopped_ns", "stopped for at most", WS_CORE_NS, impl->stop.stopped_ns);
}

static void add_server(struct adding *a)
{
	const struct ws_core_impl *impl = a->impl;
	char folder[512];
	uint64_t pointer;
	int64_t start = ws_core_start_wall(impl);

	add_text(a, "version", "server", impl->version);
	add_text(a, "file", NULL, impl->exe);
	add_text(a, "build_id", "build-id", ws_image_build_id(impl->image));
	if (ws_core_variable(impl, "DataDir", &pointer, sizeof(pointer)) && pointer &&
	    ws_memory_get_string(impl->memory, impl->about.pid, pointer, folder, sizeof(folder),
				 NULL) > 0)
		add_text(a, "datadir", "data directory", folder);
	if (start)
		add(a, "started", NULL, WS_CORE_TIME, (uint64_t)start);
}

/* Classes of wait_event_info (wait_event.h; pgstat.h up to 13; the same in 10 to 18). */
static const char *wait_class(uint32_t wait)
{
	static const char *const names[] = {
		[0x01] = "LWLock",    [0x03] = "Lock",
		[0x04] = "BufferPin", [0x05] = "Activity",
		[0x06] = "Client",    [0x07] = "Extension",
		[0x08] = "IPC",	      [0x09] = "Timeout",
		[0x0a] = "IO",	      [0x0b] = "InjectionPoint",
	};

	return wait >> 24 < WS_ARRAY_SIZE(names) ? names[wait >> 24] : NULL;
}

static void add_waits(struct adding *a)
{
	struct ws_core_impl *impl = a->impl;
	const struct ws_seed_view *view = &impl->view;
	const struct ws_variables *var = &impl->plan.config.var;
	uint32_t start, pointer;

	if (view->has_wait) {
		const char *name = wait_class(view->wait);

		add(a, "wait_event_info", "wait event", WS_CORE_ADDRESS, view->wait);
		if (name)
			add_text(a, "wait_event_type", "its type", name);
	}
	/* pqcomm.c, socket_is_send_pending: int up to 15; of size_t the low halves tell. */
	if (var->pq_send_start && var->pq_send_pointer &&
	    ws_core_read(impl, impl->base + var->pq_send_start, &start, sizeof(start)) &&
	    ws_core_read(impl, impl->base + var->pq_send_pointer, &pointer, sizeof(pointer)) &&
	    start <= pointer) {
		impl->has_pending = true;
		impl->pending = pointer - start;
		add(a, "pending_bytes", "output buffer", WS_CORE_BYTES, impl->pending);
	}
}

/* -- MyWalSnd */

/* walsender_private.h; as pg_stat_replication names them. */
static const char *walsnd_state(uint32_t state)
{
	static const char *const names[] = { "startup", "backup", "catchup", "streaming",
					     "stopping" };

	return state < WS_ARRAY_SIZE(names) ? names[state] : NULL;
}

static void add_lag(struct adding *a, const char *name, const char *label, uint32_t offset)
{
	const struct ws_core_impl *impl = a->impl;
	int64_t us;

	if (offset != WS_UNKNOWN &&
	    ws_core_read(impl, impl->view.walsnd.address + offset, &us, sizeof(us)) && us >= 0 &&
	    us < LAG_MAX_US)
		add(a, name, label, WS_CORE_NS, (uint64_t)us * 1000);
}

static void add_walsnd(struct adding *a)
{
	const struct ws_core_impl *impl = a->impl;
	const struct ws_offsets *off = &impl->layout.off;
	const struct ws_seed_walsnd *snd = &impl->view.walsnd;
	const struct {
		const char *name, *label;
		uint64_t value;
	} positions[] = {
		{ "sent_lsn", "sent", snd->sent },
		{ "write_lsn", "written by the standby", snd->write },
		{ "flush_lsn", "flushed by the standby", snd->flush },
		{ "apply_lsn", "applied by the standby", snd->apply },
	};
	int32_t priority;

	if (!snd->address)
		return;
	if (snd->has_state)
		add_text(a, "walsender_state", "state", walsnd_state(snd->state));
	for (size_t i = 0; i < WS_ARRAY_SIZE(positions); i++)
		add(a, positions[i].name, positions[i].label, WS_CORE_LSN, positions[i].value);
	add_lag(a, "write_lag_ns", "write lag", off->walsnd_write_lag);
	add_lag(a, "flush_lag_ns", "flush lag", off->walsnd_flush_lag);
	add_lag(a, "apply_lag_ns", "apply lag", off->walsnd_apply_lag);
	add_time(a, "reply_time", "last reply", (int64_t)snd->reply_time);
	if (off->walsnd_sync_priority != WS_UNKNOWN &&
	    ws_core_read(impl, snd->address + off->walsnd_sync_priority, &priority,
			 sizeof(priority)) &&
	    priority >= 0)
		add(a, "sync_priority", "priority as synchronous standby", WS_CORE_COUNT,
		    (uint64_t)priority);
}

static void add_slot(struct adding *a)
{
	struct ws_core_impl *impl = a->impl;
	const struct ws_seed_view *view = &impl->view;
	uint64_t pointer = 0;

	if (!view->has_slot)
		return;
	add_text(a, "slot", NULL, view->slot);
	for (size_t i = 0; i < impl->slots.count; i++) {
		const struct ws_slot *slot = &impl->slots.slots[i];

		if (slot->problem[0] || strcmp(slot->name, view->slot) != 0)
			continue;
		add_text(a, "slot_plugin", "its output plugin", slot->plugin);
		add(a, "slot_restart_lsn", "its restart_lsn", WS_CORE_LSN, slot->restart_lsn);
		if (slot->logical)
			add(a, "slot_confirmed_flush_lsn", "its confirmed_flush_lsn", WS_CORE_LSN,
			    slot->confirmed_flush);
	}
	if (!view->slot_logical ||
	    !ws_core_variable(impl, "MyReplicationSlot", &pointer, sizeof(pointer)))
		return;
	ws_core_decoding_find(impl, pointer);
	if (!impl->has_decoding)
		return;
	add(a, "decoding_lsn", "decoded up to", WS_CORE_LSN, impl->decoding_lsn);
	add(a, "decoding_record_lsn", "last record at", WS_CORE_LSN, impl->decoding_start_lsn);
}

/* -- errors */

static void add_errors(struct adding *a)
{
	static const char *const names[WS_CORE_ERRORS] = { "error", "error_2", "error_3", "error_4",
							   "error_5" };
	char texts[WS_CORE_ERRORS][WS_CORE_ERROR_TEXT];
	int count = ws_core_errors_read(a->impl, texts);

	if (count < 0)
		return;
	add(a, "error_depth", "errors being reported", WS_CORE_COUNT, (uint64_t)count);
	for (int i = 0; i < count; i++)
		add_text(a, names[i], NULL, texts[i]);
}

/* One look; what is implausible is told by who makes records of it. */
static void look(struct ws_core *core, struct ws_core_impl *impl)
{
	struct ws_seed_view *view = &impl->view;

	ws_seed_view_init(view, &impl->about, impl->base, &impl->plan.config,
			  ws_symbol_address(&impl->symbols, "debug_query_string"),
			  ws_symbol_address(&impl->symbols, "my_wait_event_info"));
	view->memory = impl->memory;
	impl->has_view = true;
	if (core->process == WS_CORE_WALSENDER && ws_seed_view_anchor(view, &view->anchor) &&
	    !ws_seed_view_walsnd(view))
		view->walsnd.address = 0;
	ws_seed_view_wait(view);
	if (core->process == WS_CORE_WALSENDER)
		ws_seed_view_slot(view);
	/* It need not end in memory that was written over. */
	if (view->has_slot && !memchr(view->slot, '\0', sizeof(view->slot)))
		view->has_slot = false;
	ws_seed_view_port(view);
	if (!memchr(view->host, '\0', sizeof(view->host)))
		view->host[0] = '\0';
}

int ws_core_facts(struct ws_core *core)
{
	struct adding a = { core, core->impl, 0 };

	look(core, a.impl);
	add_origin(&a);
	add_server(&a);
	add_walsnd(&a);
	add_slot(&a);
	add_waits(&a);
	add_errors(&a);
	return a.rc;
}
