/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/capture.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "cli/select.h"
#include "cli/signals.h"
#include "event/idmap.h"
#include "event/order.h"

#define PROGRESS_NS 1000000000ULL

struct capture {
	const struct ws_options *options;
	struct ws_capture_to to;
	struct ws_trace_info info;
	bool begun;		  /* tracing has: records are written */
	struct ws_writer *writer; /* of a file */
	struct ws_rec **held;	  /* what came before that */
	size_t held_count, held_cap;
	struct ws_gate *gate;
	struct ws_idmap sessions;
	struct ws_capture_result *result;
	uint64_t missing;    /* by gap records */
	struct ws_error err; /* of writing */
	bool failed;
	bool progress;
	uint64_t begin_ns, progress_ns;
};

/* -- a file or a flight recorder */

static int out_begin(struct capture *c)
{
	if (c->to.flight)
		return ws_flight_begin(c->to.flight, &c->info, &c->err);
	if (ws_writer_new(&c->writer, c->to.path, &c->info, &c->err))
		return -1;
	ws_writer_set_log(c->writer, &c->options->log, c->to.shown);
	return 0;
}

static int out_add(struct capture *c, const struct ws_rec *rec)
{
	return c->to.flight ? ws_flight_add(c->to.flight, rec, &c->err)
			    : ws_writer_add(c->writer, rec, &c->err);
}

static int out_tick(struct capture *c, uint64_t now_ns)
{
	return c->to.flight ? ws_flight_tick(c->to.flight, now_ns, &c->err)
			    : ws_writer_tick(c->writer, now_ns, &c->err);
}

static uint64_t out_bytes(const struct capture *c, size_t *segments)
{
	*segments = 1;
	return c->to.flight ? ws_flight_bytes(c->to.flight, segments) : ws_writer_bytes(c->writer);
}

/* The last block. What could not be written is told in the result. */
static int out_end(struct capture *c)
{
	int rc = c->to.flight ? ws_flight_end(c->to.flight, &c->err)
			      : ws_writer_end(c->writer, &c->err);

	c->result->unwritten =
		c->to.flight ? ws_flight_missing(c->to.flight) : ws_writer_missing(c->writer);
	c->result->bytes = out_bytes(c, &c->result->segments);
	/* After an error only to free it: the first error is the one that counts. A flight recorder
	 * is closed by whoever opened it. */
	if (!c->to.flight && ws_writer_close(c->writer, rc ? NULL : &c->err))
		rc = -1;
	c->writer = NULL;
	return rc;
}

static void release_id(struct ws_id *id)
{
	free(id);
}

static int count_session(struct capture *c, const struct ws_rec *rec)
{
	struct ws_id *id;

	if (rec->kind == WS_KIND_GAP)
		c->missing += ws_gap_missing((const struct ws_rec_gap *)rec);
	if (!rec->pid || !rec->start_ns || rec->kind >= WS_KIND_SERVER)
		return 0;
	c->result->events++;
	id = ws_idmap_find(&c->sessions, rec->pid, rec->start_ns);
	if (id && rec->kind == WS_KIND_EXIT) {
		ws_idmap_remove(&c->sessions, id);
		free(id);
		return 0;
	}
	if (id)
		return 0;
	id = calloc(1, sizeof(*id));
	if (!id)
		return -1;
	id->pid = rec->pid;
	id->start_ns = rec->start_ns;
	if (ws_idmap_add(&c->sessions, id)) {
		free(id);
		return -1;
	}
	c->result->sessions++;
	return 0;
}

static void show_progress(struct capture *c, uint64_t now_ns)
{
	char time[WS_DURATION_TEXT], bytes[WS_BYTES_TEXT];
	size_t segments;

	if (!c->progress || now_ns < c->progress_ns + PROGRESS_NS)
		return;
	c->progress_ns = now_ns;
	fprintf(stderr, "\r\033[K%s: %llu sessions, %llu events, %s",
		ws_duration_format(now_ns - c->begin_ns, time),
		(unsigned long long)c->result->sessions, (unsigned long long)c->result->events,
		ws_bytes_format(out_bytes(c, &segments), bytes));
}

/* What the user knows the file by, instead of the path it was opened through. */
static int writing_failed(struct capture *c)
{
	snprintf(c->err.where, sizeof(c->err.where), "%s", c->to.shown);
	c->failed = true;
	return -1;
}

static int no_memory(struct capture *c)
{
	ws_error_set(&c->err, "cannot record", c->to.shown, "out of memory");
	c->failed = true;
	return -1;
}

/* A file that is there already may hold an earlier recording: it stays until this one is sure. */
static int hold(struct capture *c, const struct ws_rec *rec)
{
	struct ws_rec **slot = ws_array_grow(&c->held, &c->held_count, &c->held_cap, sizeof(*slot));

	if (slot)
		*slot = malloc(rec->size);
	if (!slot || !*slot)
		return no_memory(c);
	memcpy(*slot, rec, rec->size);
	return 0;
}

static void free_held(struct capture *c)
{
	for (size_t i = 0; i < c->held_count; i++)
		free(c->held[i]);
	free(c->held);
	c->held = NULL;
	c->held_count = c->held_cap = 0;
}

static int keep(void *arg, const struct ws_rec *rec)
{
	struct capture *c = arg;

	if (!c->begun)
		return hold(c, rec);
	if (count_session(c, rec))
		return no_memory(c);
	if (out_add(c, rec))
		return writing_failed(c);
	show_progress(c, rec->time_ns);
	return 0;
}

static int feed(void *arg, const struct ws_rec *rec)
{
	struct capture *c = arg;
	int rc = ws_gate_feed(c->gate, rec);

	if (rc && !c->failed)
		no_memory(c);
	return rc;
}

static int started(void *arg)
{
	struct capture *c = arg;
	int rc = 0;

	if (out_begin(c))
		return writing_failed(c);
	c->begun = true;
	for (size_t i = 0; rc == 0 && i < c->held_count; i++)
		rc = keep(c, c->held[i]);
	free_held(c);
	return rc;
}

/* Once for all that the ring had: to read the clock for each record takes a good part of the time
 * that recording it does. */
static int drained(void *arg, uint64_t now_ns)
{
	struct capture *c = arg;

	return out_tick(c, now_ns) ? writing_failed(c) : 0;
}

void ws_capture_options(const struct ws_options *options, struct ws_live_options *live)
{
	*live = (struct ws_live_options){
		.level = options->level,
		.ring_bytes = options->ring_bytes,
		.method = options->attach,
		.duration_ns = options->duration_ns,
		.postmaster_pid = options->filter.postmaster_pid,
		.datadir = options->filter.datadir,
		.postgres = options->filter.postgres,
		.pid = options->filter.pid,
		.redact = options->redact,
		.log = &options->log,
	};
	live->stop = ws_signals_catch();
}

static int run(struct capture *c, const struct ws_filter *filter, struct ws_error *err)
{
	struct ws_sink sink = { .fn = feed, .arg = c };
	struct ws_live_result live = { 0 };
	struct ws_live_options options;
	int rc;

	ws_capture_options(c->options, &options);
	options.started = started;
	options.drained = drained;
	if (ws_live_info(options.level, &c->info, err))
		return -1;
	c->info.filter = ws_filter_hash(filter);
	c->begin_ns = c->progress_ns = ws_clock_mono_ns();
	if (c->progress && !options.duration_ns)
		ws_log(&c->options->log, WS_LOG_NOTE, "tracing until Ctrl-C");
	rc = ws_live_run(&options, sink, &live, err);
	if (c->progress)
		fputs("\r\033[K", stderr);
	if (c->failed) {
		*err = c->err;
		rc = -1;
	}
	/* The kernel's count and that of the holes found in what arrived are of the same events. */
	c->result->lost = c->missing > live.lost ? c->missing : live.lost;
	memcpy(c->result->lost_of, live.lost_of, sizeof(c->result->lost_of));
	c->result->untracked = live.untracked;
	c->result->servers = live.servers;
	c->result->seconds_ns = ws_clock_mono_ns() - c->begin_ns;
	return rc;
}

int ws_capture_run(const struct ws_options *options, const struct ws_capture_to *to, bool filtered,
		   struct ws_capture_result *result, struct ws_error *err)
{
	const struct ws_filter everything = { 0 }, traced = ws_filter_traced(&options->filter);
	const struct ws_filter *filter = filtered ? &traced : &everything;
	struct capture c = { .options = options, .to = *to, .result = result };
	struct ws_sink sink = { .fn = keep, .arg = &c };
	int rc;

	*result = (struct ws_capture_result){ 0 };
	c.progress = !options->quiet && isatty(STDERR_FILENO);
	c.gate = ws_gate_new(filter, false, sink);
	if (!c.gate)
		return ws_error_set(err, "cannot record", to->shown, "out of memory");
	rc = run(&c, filtered ? &options->filter : &everything, err);
	if (c.begun && out_end(&c)) {
		writing_failed(&c);
		if (rc == 0)
			*err = c.err;
		rc = -1;
	}
	free_held(&c);
	ws_gate_free(c.gate);
	ws_idmap_deinit(&c.sessions, release_id);
	return rc;
}
