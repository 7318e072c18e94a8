/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/replay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "cli/capture.h"

/* A file without a name: it goes away with the process, however that ends. */
static int temporary(struct ws_error *err)
{
	const char *dir = getenv("TMPDIR");
	char path[4096];
	int fd;

	if (!dir || !dir[0])
		dir = "/tmp";
	fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
		/* A file system without O_TMPFILE. */
		snprintf(path, sizeof(path), "%s/walscope.XXXXXX", dir);
		fd = mkostemp(path, O_CLOEXEC);
		if (fd >= 0)
			remove(path);
	}
	if (fd < 0) {
		ws_error_errno(err, errno, "cannot create a temporary recording", dir);
		ws_error_fix(err, "set TMPDIR to a directory that can be written");
	}
	return fd;
}

static int record_live(struct ws_replay *s, struct ws_error *err)
{
	struct ws_capture_result result;
	struct ws_capture_to to = { .path = s->path, .shown = "temporary recording" };

	s->fd = temporary(err);
	if (s->fd < 0)
		return -1;
	snprintf(s->path, sizeof(s->path), "/proc/self/fd/%d", s->fd);
	s->name = "live";
	return ws_capture_run(s->options, &to, false, &result, err);
}

struct scan {
	struct ws_replay *source;
	uint64_t first_ns, last_ns;
};

static int scan_record(void *arg, const struct ws_rec *rec)
{
	struct scan *scan = arg;

	/* When a command began that is only repeated is not what the recording is about. */
	if (rec->kind == WS_KIND_COMMAND && rec->flags & WS_COMMAND_STARTED)
		return ws_model_feed(scan->source->model, rec);
	if (!scan->first_ns || rec->time_ns < scan->first_ns)
		scan->first_ns = rec->time_ns;
	if (rec->time_ns > scan->last_ns)
		scan->last_ns = rec->time_ns;
	return ws_model_feed(scan->source->model, rec);
}

static int no_memory(const struct ws_replay *s, struct ws_error *err)
{
	return ws_error_set(err, "cannot read recording", s->name, "out of memory");
}

static int read_all(const struct ws_replay *s, int (*fn)(void *arg, const struct ws_rec *rec),
		    void *arg, struct ws_error *err)
{
	const struct ws_rec *rec;
	int rc;

	ws_reader_rewind(s->reader);
	while ((rc = ws_reader_next(s->reader, &rec, err)) > 0) {
		rc = fn(arg, rec);
		if (rc)
			break;
	}
	return rc;
}

int ws_replay_each(const struct ws_replay *s, int (*fn)(void *arg, const struct ws_rec *rec),
		   void *arg, struct ws_error *err)
{
	return read_all(s, fn, arg, err);
}

static int scan(struct ws_replay *s, struct ws_error *err)
{
	const struct ws_observer nobody = { 0 };
	struct scan state = { .source = s };

	ws_model_free(s->model);
	s->model = ws_model_new(&nobody);
	if (!s->model)
		return no_memory(s, err);
	if (read_all(s, scan_record, &state, err))
		return err->what[0] ? -1 : no_memory(s, err);
	s->torn = ws_reader_torn(s->reader, s->torn_why, sizeof(s->torn_why));
	s->begin_ns = state.first_ns;
	s->end_ns = state.last_ns;
	if (s->want.narrow) /* of what was passed over, blocks say when it was */
		ws_reader_span(s->reader, &s->begin_ns, &s->end_ns);
	if (ws_model_finish(s->model, s->end_ns))
		return no_memory(s, err);
	s->lost = ws_model_lost(s->model);
	return 0;
}

/* The monotonic time of a wall-clock time, by the recording's clock pairs: wall clocks rise with
 * it, but for steps, which a search tolerates. */
static uint64_t mono_of(const struct ws_replay *s, int64_t wall_ns)
{
	uint64_t lo = s->begin_ns, hi = s->end_ns;

	while (lo < hi) {
		uint64_t mid = lo + (hi - lo) / 2;

		if (ws_model_wall_ns(s->model, mid) < wall_ns)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static uint64_t resolve(const struct ws_replay *s, const struct ws_when *when, uint64_t otherwise)
{
	switch (when->kind) {
	case WS_WHEN_WALL:
		return mono_of(s, when->wall_ns);
	case WS_WHEN_BEFORE_END:
		return when->before_end_ns < s->end_ns - s->begin_ns
			       ? s->end_ns - when->before_end_ns
			       : s->begin_ns;
	default:
		return otherwise;
	}
}

uint64_t ws_replay_time(const struct ws_replay *source, const struct ws_when *when)
{
	return resolve(source, when, source->end_ns);
}

static int set_window(struct ws_replay *s, struct ws_error *err)
{
	const struct ws_options *o = s->options;
	char begin[WS_TIME_TEXT], end[WS_TIME_TEXT];

	s->windowed = o->from.kind || o->to.kind;
	s->has_to = o->to.kind != WS_WHEN_NONE;
	s->from_ns = resolve(s, &o->from, s->begin_ns);
	s->to_ns = resolve(s, &o->to, s->end_ns);
	if (!s->windowed || s->from_ns < s->to_ns)
		return 0;
	ws_error_set(err, "nothing to show", s->name, "no time between --from %s and --to %s",
		     o->from.kind ? o->from.text : "its start",
		     o->to.kind ? o->to.text : "its end");
	return ws_error_fix(err, "it goes from %s to %s",
			    ws_time_format(ws_model_wall_ns(s->model, s->begin_ns), begin),
			    ws_time_format(ws_model_wall_ns(s->model, s->end_ns), end));
}

/*
 * Where other sessions count: two of pg_basebackup belong together, and each says so; and that a
 * server stops, which makes another end of one, may be known from others.
 */
static bool needs_others(const struct ws_session *session)
{
	switch (session->exit_reason) {
	case WS_END_ADMIN_TERMINATED:
	case WS_END_SLOT_RELEASED:
	case WS_END_CRASH_RESTART:
	case WS_END_FATAL:
	case WS_END_KILLED:
	case WS_END_UNKNOWN:
		return true;
	default:
		return session->program == WS_PROGRAM_PG_BASEBACKUP;
	}
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static bool any_needs_others(struct ws_replay *s)
{
	size_t count;
	struct ws_session *const *sessions = ws_model_sessions(s->model, &count);

	for (size_t i = 0; i < count; i++)
		if (needs_others(sessions[i]) &&
		    bsearch(&sessions[i]->pid, s->pids, s->want.pid_count, sizeof(*s->pids),
			    by_number))
			return true;
	return false;
}

/* Kinds of which there are few: what a session is, what it was told to do, and how it ended. */
static struct ws_kinds story_kinds(void)
{
	struct ws_kinds kinds = { 0 };

	for (uint16_t kind = 1; kind <= WS_KIND_KERNEL_LAST; kind++)
		if (kind != WS_KIND_TURN && kind != WS_KIND_KEEPALIVE && kind != WS_KIND_OFF_CPU &&
		    kind != WS_KIND_TXN)
			ws_kinds_add(&kinds, kind);
	return kinds;
}

static int open_reader(struct ws_replay *s, const struct ws_options *options, struct ws_error *err)
{
	*s = (struct ws_replay){ .options = options, .name = options->file, .fd = -1 };
	if (options->live && record_live(s, err))
		return -1;
	return ws_reader_open(&s->reader, s->path[0] ? s->path : s->name, err);
}

static int read_wanted(struct ws_replay *s, struct ws_error *err)
{
	ws_reader_narrow(s->reader, &s->want);
	return scan(s, err);
}

static int decide(struct ws_replay *s, struct ws_error *err)
{
	const struct ws_filter traced = ws_filter_traced(&s->options->filter);

	if (ws_selection_decide(&s->selection, s->model,
				s->options->live ? &traced : &s->options->filter))
		return no_memory(s, err);
	return set_window(s, err);
}

int ws_replay_open(struct ws_replay *s, const struct ws_options *options, struct ws_error *err)
{
	return open_reader(s, options, err) || read_wanted(s, err) || decide(s, err) ? -1 : 0;
}

int ws_replay_open_times(struct ws_replay *s, const struct ws_options *options,
			 struct ws_error *err)
{
	if (open_reader(s, options, err))
		return -1;
	s->want.narrow = true;
	return read_wanted(s, err) || decide(s, err) ? -1 : 0;
}

/* The processes of the sessions that match, or may once more is read of them. */
static int collect_pids(struct ws_replay *s, struct ws_filter filter)
{
	size_t count;
	struct ws_session *const *sessions = ws_model_sessions(s->model, &count);
	const enum ws_session_kind kind = filter.kind;

	s->pids = calloc(count + 1, sizeof(*s->pids));
	if (!s->pids)
		return -1;
	filter.kind = WS_SESSION_KIND_UNKNOWN; /* any */
	for (size_t i = 0; i < count; i++)
		if ((!kind || !sessions[i]->kind || sessions[i]->kind == kind) &&
		    ws_filter_match(&filter, sessions[i], ws_model_server(s->model, sessions[i])))
			s->pids[s->want.pid_count++] = sessions[i]->pid;
	qsort(s->pids, s->want.pid_count, sizeof(*s->pids), by_number);
	return 0;
}

/* Whom the filter means, by reading what says so of all. */
static int find_pids(struct ws_replay *s, const struct ws_filter *filter, struct ws_error *err)
{
	if (filter->slot || filter->kind)
		s->want.kinds = story_kinds();
	else
		ws_kinds_add(&s->want.kinds, WS_KIND_SESSION);
	if (read_wanted(s, err))
		return -1;
	if (collect_pids(s, s->options->live ? ws_filter_traced(filter) : *filter))
		return no_memory(s, err);
	/* Of a session whose first records are missing, what it does later may tell its kind. */
	if (filter->kind && s->lost)
		s->want.narrow = false;
	s->want.kinds = (struct ws_kinds){ 0 };
	return 0;
}

static int narrow(struct ws_replay *s, struct ws_error *err)
{
	const struct ws_filter *filter = &s->options->filter;
	uint32_t pid = filter->session ? (uint32_t)strtoul(filter->session, NULL, 10) : filter->pid;

	if (!pid && !filter->app && !filter->slot && !filter->kind)
		return 0;
	s->want.narrow = true;
	if (!pid && find_pids(s, filter, err))
		return -1;
	if (pid) {
		s->pids = malloc(sizeof(*s->pids));
		if (!s->pids)
			return no_memory(s, err);
		s->pids[s->want.pid_count++] = pid;
	}
	s->want.pids = s->pids;
	return 0;
}

int ws_replay_open_narrow(struct ws_replay *s, const struct ws_options *options, bool clusters,
			  struct ws_error *err)
{
	if (open_reader(s, options, err) || narrow(s, err))
		return -1;
	if (read_wanted(s, err))
		return -1;
	if (s->want.narrow && any_needs_others(s)) {
		s->want.kinds = story_kinds();
		if (read_wanted(s, err))
			return -1;
	}
	/* For the passes to come: the model knows nothing of them. */
	s->want.clusters = clusters;
	ws_reader_narrow(s->reader, &s->want);
	return decide(s, err);
}

void ws_replay_deinit(struct ws_replay *s)
{
	ws_selection_deinit(&s->selection);
	ws_model_free(s->model);
	ws_reader_free(s->reader);
	free(s->pids);
	ws_cleanup_close(&s->fd);
	*s = (struct ws_replay){ .fd = -1 };
}

struct pass {
	struct ws_model *model;
	const struct ws_replay_tap *tap;
};

static int feed(void *arg, const struct ws_rec *rec)
{
	struct pass *pass = arg;

	if (ws_model_feed(pass->model, rec))
		return -1;
	return pass->tap->fn ? pass->tap->fn(pass->tap->arg, pass->model, rec) : 0;
}

int ws_replay_run(const struct ws_replay *s, const struct ws_observer *observer,
		  const struct ws_replay_tap *tap, struct ws_model **model, struct ws_error *err)
{
	struct pass pass = { .tap = tap };
	int rc;

	*model = ws_model_new(observer);
	if (!*model)
		return no_memory(s, err);
	if (s->windowed)
		ws_model_set_window(*model, s->from_ns, s->has_to ? s->to_ns : UINT64_MAX);
	pass.model = *model;
	rc = read_all(s, feed, &pass, err);
	if (rc == 0 && ws_model_finish(*model, s->end_ns) == 0)
		return 0;
	if (!err->what[0])
		no_memory(s, err);
	ws_model_free(*model);
	*model = NULL;
	return -1;
}

bool ws_replay_wants(struct ws_replay *s, const struct ws_session *session)
{
	const struct ws_selected *selected =
		ws_selection_find(&s->selection, s->model, session->pid, session->start_ns);

	return selected && selected->match;
}

enum ws_exit ws_replay_verdict(const struct ws_replay *s)
{
	char lost[64] = "";

	if (s->lost)
		snprintf(lost, sizeof(lost), "%llu events are missing",
			 (unsigned long long)s->lost);
	if (!s->torn && !s->lost)
		return WS_EXIT_DONE;
	ws_log(&s->options->log, WS_LOG_WARN, "%s: %s%s%s", s->name, lost,
	       s->torn && s->lost ? "; " : "", s->torn ? s->torn_why : "");
	return WS_EXIT_LOSS;
}
