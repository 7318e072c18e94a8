/* SPDX-License-Identifier: BSD-2-Clause */
/* The records of a walsender: those of one that already ran when walscope came. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "core/parts.h"
#include "event/schema.h"
#include "probe/contexts.h"

#define TICK_NS WS_TICK_NS
/* Signals that make a dump, and are no debugger's: it did not live on. */
#define FATAL_SIGNALS \
	(1ULL << 3 | 1ULL << 4 | 1ULL << 6 | 1ULL << 7 | 1ULL << 8 | 1ULL << 11 | 1ULL << 31)

static int add(void *arg, const struct ws_rec *rec)
{
	struct ws_core *core = arg;
	struct ws_rec **slot;

	if (!ws_rec_valid(rec, rec->size, NULL, 0)) {
		core->torn = true; /* of a memory that was written over */
		return 0;
	}
	slot = ws_array_grow(&core->records, &core->record_count, &core->record_cap, sizeof(*slot));
	if (!slot)
		return -1;
	*slot = malloc(rec->size);
	if (!*slot)
		return -1;
	memcpy(*slot, rec, rec->size);
	return 0;
}

static struct ws_rec head(const struct ws_core *core, enum ws_kind kind, size_t size)
{
	return (struct ws_rec){ .size = (uint16_t)size,
				.kind = (uint16_t)kind,
				.time_ns = core->time_ns };
}

static struct ws_rec session_head(const struct ws_core *core, const struct ws_seed *seed,
				  enum ws_kind kind, size_t size)
{
	struct ws_rec rec = head(core, kind, size);

	rec.pid = seed->session.h.pid;
	rec.start_ns = seed->session.h.start_ns;
	rec.server = seed->session.h.server;
	rec.time_ns = seed->session.h.time_ns;
	return rec;
}

static int add_clock(struct ws_core *core)
{
	struct ws_rec_clock rec = { .h = head(core, WS_KIND_CLOCK, sizeof(rec)) };

	rec.wall_ns = core->wall_ns;
	rec.boot_ns = core->time_ns;
	return add(core, &rec.h);
}

/* Keeps the end of a path: that is where paths differ. */
static void copy_tail(char *out, size_t size, const char *path)
{
	size_t len = strlen(path);

	memcpy(out, len < size ? path : path + len - size + 1, len < size ? len + 1 : size);
}

static void copy_name(char *out, size_t size, const char *name)
{
	size_t len = strlen(name);

	if (len >= size)
		len = ws_text_utf8_whole(name, size - 1);
	memcpy(out, name, len);
	out[len] = '\0';
}

static int add_server(struct ws_core *core, const struct ws_core_impl *impl)
{
	struct ws_rec_server rec = { .h = head(core, WS_KIND_SERVER, sizeof(rec)) };

	rec.h.pid = core->postmaster_pid;
	rec.h.server = impl->plan.config.server;
	rec.major = (uint32_t)impl->major;
	rec.layout = (uint32_t)impl->layout.source;
	snprintf(rec.version, sizeof(rec.version), "%s", impl->version);
	snprintf(rec.build_id, sizeof(rec.build_id), "%s", ws_image_build_id(impl->image));
	copy_tail(rec.file, sizeof(rec.file), impl->exe);
	for (size_t i = 0; i < core->fact_count; i++)
		if (strcmp(core->facts[i].name, "datadir") == 0)
			copy_tail(rec.datadir, sizeof(rec.datadir), core->facts[i].text);
	return add(core, &rec.h);
}

/* What the standby confirmed, as its last reply left it in MyWalSnd; a turn that took no time. */
static int add_positions(struct ws_core *core, const struct ws_core_impl *impl,
			 const struct ws_seed *seed, uint32_t *seq)
{
	const struct ws_seed_walsnd *snd = &impl->view.walsnd;
	struct ws_rec_turn rec = { .h = session_head(core, seed, WS_KIND_TURN, sizeof(rec)) };

	if (!(seed->entry.flags & WS_ENTRY_IN_LOOP) || !snd->address)
		return 0;
	rec.h.seq = (*seq)++;
	rec.h.flags = WS_TURN_ATTACHED | WS_TURN_REPLY;
	if (seed->entry.flags & WS_ENTRY_LOGICAL)
		rec.h.flags |= WS_TURN_LOGICAL;
	rec.begin_ns = rec.h.time_ns;
	rec.lsn_from = rec.lsn_to = snd->sent;
	rec.turns = 1;
	rec.wait = seed->session.found == WS_FOUND_STREAM_WAL	    ? WS_WAIT_WAL
		   : seed->session.found == WS_FOUND_STREAM_SOCKET  ? WS_WAIT_SOCKET
		   : seed->session.found == WS_FOUND_STREAM_STANDBY ? WS_WAIT_STANDBY
								    : WS_WAIT_NONE;
	rec.wait_mask = rec.wait == WS_WAIT_SOCKET ? WS_WL_SOCKET_READABLE | WS_WL_SOCKET_WRITEABLE
						   : WS_WL_SOCKET_READABLE;
	rec.wait_event = impl->view.has_wait ? impl->view.wait : 0;
	rec.timeout_ms = -1;
	rec.write_lsn = snd->write;
	rec.flush_lsn = snd->flush;
	rec.apply_lsn = snd->apply;
	/* Told when the reply came, and not to be counted again. */
	rec.write_lag_us = rec.flush_lag_us = rec.apply_lag_us = -1;
	rec.reply_time_us = (int64_t)snd->reply_time;
	return add(core, &rec.h);
}

static int add_sample(struct ws_core *core, const struct ws_core_impl *impl,
		      const struct ws_seed *seed)
{
	struct ws_rec_sample rec = { .h = session_head(core, seed, WS_KIND_SAMPLE, sizeof(rec)) };

	if (!impl->has_pending)
		return 0;
	rec.pending_bytes = impl->pending > UINT32_MAX ? UINT32_MAX : (uint32_t)impl->pending;
	rec.valid = WS_SAMPLE_PENDING;
	rec.task_state = (uint8_t)(impl->about.state ? impl->about.state : 'S');
	return add(core, &rec.h);
}

/* Of a session with this head. */
static int add_memory(struct ws_core *core, const struct ws_core_impl *impl,
		      const struct ws_rec *session)
{
	const struct ws_contexts_place place = {
		.memory = impl->memory,
		.pid = impl->about.pid,
		.base = impl->base,
		.top = ws_core_address(impl, "TopMemoryContext"),
		.work_mem = ws_core_address(impl, "logical_decoding_work_mem"),
		.off = &impl->layout.off,
	};
	struct ws_rec_memory rec = { .h = { 0 } };
	uint16_t flags;

	if (!ws_contexts_read(&place, &rec))
		return 0;
	flags = rec.h.flags;
	rec.h = *session;
	rec.h.kind = WS_KIND_MEMORY;
	rec.h.size = sizeof(rec);
	rec.h.flags = flags;
	rec.h.seq = 0;
	return add(core, &rec.h);
}

static int add_exit(struct ws_core *core, const struct ws_core_impl *impl,
		    const struct ws_seed *seed, uint32_t *seq)
{
	struct ws_rec_exit rec = { .h = session_head(core, seed, WS_KIND_EXIT, sizeof(rec)) };
	uint32_t signal = impl->dump.signal;

	if (!impl->options->file || signal > 63 || !(FATAL_SIGNALS >> signal & 1))
		return 0;
	rec.h.seq = (*seq)++;
	rec.signal = signal;
	return add(core, &rec.h);
}

static int add_walsender(struct ws_core *core, struct ws_core_impl *impl,
			 const struct ws_seed *seed)
{
	uint32_t seq = seed->entry.seq;

	return ws_seed_records(seed, add, core) || add_positions(core, impl, seed, &seq) ||
	       add_sample(core, impl, seed) || add_memory(core, impl, &seed->session.h) ||
	       add_exit(core, impl, seed, &seq);
}

uint64_t ws_core_to_tick(int64_t wall_ns)
{
	return wall_ns > 0 ? (uint64_t)wall_ns / TICK_NS * TICK_NS : 0;
}

/* 1: it is a walsender, and this is what it did; 0: it is none after all; -1: err says what of it
 * cannot be. */
static int read_seed(struct ws_core *core, struct ws_core_impl *impl, struct ws_seed *seed,
		     struct ws_error *err)
{
	uint64_t query = ws_symbol_address(&impl->symbols, "debug_query_string");
	uint64_t wait = ws_symbol_address(&impl->symbols, "my_wait_event_info");
	int64_t start = ws_core_start_wall(impl);
	const struct ws_seed_still still = {
		.memory = impl->memory,
		.sleeping = impl->about.state == 'S',
		.time_ns = core->time_ns,
		.start_ns = start ? ws_core_to_tick(start) : TICK_NS,
		.fork_ns = start > 0 && start < core->wall_ns ? (uint64_t)start : 0,
	};

	if (!impl->memory)
		return ws_seed_read(&impl->about, impl->base, &impl->plan.config, query, wait, seed,
				    err);
	return ws_seed_read_still(&impl->about, impl->base, &impl->plan.config, query, wait, &still,
				  seed, err);
}

/* Who another process is, for printing. */
static int add_other(struct ws_core *core, const struct ws_core_impl *impl)
{
	const struct ws_seed_view *view = &impl->view;
	struct ws_rec_session rec = { .h = head(core, WS_KIND_SESSION, sizeof(rec)) };
	int64_t start = ws_core_start_wall(impl);

	rec.h.pid = core->pid;
	rec.h.server = impl->plan.config.server;
	/* UNPARSED: that it asked for replication is not known, or not so. */
	rec.h.flags = WS_SESSION_RUNNING | WS_SESSION_UNPARSED;
	rec.h.start_ns = impl->memory ? (start ? ws_core_to_tick(start) : TICK_NS)
				      : impl->about.start_ticks * TICK_NS;
	if (view->tls)
		rec.h.flags |= WS_SESSION_TLS;
	rec.base = impl->base;
	rec.ns_pid = core->ns_pid;
	rec.postmaster_pid = core->postmaster_pid;
	rec.valid = WS_VALID_NS_PID | WS_VALID_PARENT;
	if (core->process == WS_CORE_BACKEND || core->process == WS_CORE_WALSENDER)
		rec.valid |= view->valid;
	rec.port = view->port;
	copy_name(rec.user, sizeof(rec.user), view->user);
	copy_name(rec.database, sizeof(rec.database), view->dbname);
	copy_name(rec.application, sizeof(rec.application), view->application);
	copy_name(rec.host, sizeof(rec.host), view->host);
	return add(core, &rec.h) || add_memory(core, impl, &rec.h) ? -1 : 0;
}

static int add_stop(struct ws_core *core)
{
	struct ws_rec_stop rec = { .h = head(core, WS_KIND_STOP, sizeof(rec)) };

	return add(core, &rec.h);
}

int ws_core_records(struct ws_core *core)
{
	struct ws_core_impl *impl = core->impl;
	struct ws_seed seed = { 0 };
	struct ws_error why;
	char line[1200];
	int found = 0, rc;

	if (core->process == WS_CORE_WALSENDER) {
		found = read_seed(core, impl, &seed, &why);
		if (found < 0) {
			ws_error_format(&why, line, sizeof(line));
			ws_log(impl->options->log, WS_LOG_WARN, "%s", line);
		}
		if (found <= 0)
			core->torn = true;
		else if (!impl->memory)
			core->time_ns = seed.session.h.time_ns;
	}
	rc = add_clock(core) || add_server(core, impl) ||
	     (found > 0 ? add_walsender(core, impl, &seed) : add_other(core, impl)) ||
	     add_stop(core);
	ws_seed_deinit(&seed);
	return rc ? -1 : 0;
}
