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
	const char *path, *shown;
	struct ws_trace_info info;
	struct ws_writer *writer; /* NULL until tracing has begun */
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

	if (!c->progress || now_ns < c->progress_ns + PROGRESS_NS)
		return;
	c->progress_ns = now_ns;
	fprintf(stderr, "\r\033[K%s: %llu sessions, %llu events, %s",
		ws_duration_format(now_ns - c->begin_ns, time),
		(unsigned long long)c->result->sessions, (unsigned long long)c->result->events,
		ws_bytes_format(ws_writer_bytes(c->writer), bytes));
}

/* What the user knows the file by, instead of the path it was opened through. */
static int writing_failed(struct capture *c)
{
	snprintf(c->err.where, sizeof(c->err.where), "%s", c->shown);
	c->failed = true;
	return -1;
}

static int no_memory(struct capture *c)
{
	ws_error_set(&c->err, "cannot record", c->shown, "out of memory");
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

	if (!c->writer)
		return hold(c, rec);
	if (count_session(c, rec))
		return no_memory(c);
	if (ws_writer_add(c->writer, rec, &c->err) ||
	    ws_writer_tick(c->writer, ws_clock_mono_ns(), &c->err))
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

	if (ws_writer_new(&c->writer, c->path, &c->info, &c->err))
		return writing_failed(c);
	ws_writer_set_log(c->writer, &c->options->log, c->shown);
	for (size_t i = 0; rc == 0 && i < c->held_count; i++)
		rc = keep(c, c->held[i]);
	free_held(c);
	return rc;
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

static int run(struct capture *c, struct ws_error *err)
{
	struct ws_sink sink = { .fn = feed, .arg = c };
	struct ws_live_result live = { 0 };
	struct ws_live_options options;
	int rc;

	ws_capture_options(c->options, &options);
	options.started = started;
	if (ws_live_info(options.level, &c->info, err))
		return -1;
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

int ws_capture_run(const struct ws_options *options, const char *path, const char *shown,
		   bool filtered, struct ws_capture_result *result, struct ws_error *err)
{
	const struct ws_filter everything = { 0 }, traced = ws_filter_traced(&options->filter);
	struct capture c = { .options = options, .path = path, .shown = shown, .result = result };
	struct ws_sink sink = { .fn = keep, .arg = &c };
	int rc;

	*result = (struct ws_capture_result){ 0 };
	c.progress = !options->quiet && isatty(STDERR_FILENO);
	c.gate = ws_gate_new(filtered ? &traced : &everything, false, sink);
	if (!c.gate)
		return ws_error_set(err, "cannot record", shown, "out of memory");
	rc = run(&c, err);
	if (c.writer) {
		int closed = ws_writer_end(c.writer, &c.err);

		result->unwritten = ws_writer_missing(c.writer);
		result->bytes = ws_writer_bytes(c.writer);
		/* After an error only to free it: the first error is the one that counts. */
		if (ws_writer_close(c.writer, closed ? NULL : &c.err) || closed) {
			writing_failed(&c);
			if (rc == 0)
				*err = c.err;
			rc = -1;
		}
	}
	free_held(&c);
	ws_gate_free(c.gate);
	ws_idmap_deinit(&c.sessions, release_id);
	return rc;
}
