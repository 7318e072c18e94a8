/* SPDX-License-Identifier: BSD-2-Clause */
#include "live/live.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/util.h"
#include "live/private.h"
#include "live/redact.h"
#include "probe/kernel.h"
#include "probe/privileges.h"
#include "session/redact.h"

/* Programs wake the collector only above a watermark: this is the latency of what is below it. */
#define POLL_MS 50
#define SCAN_NS 1000000000ULL
/* A clock record a second also lets the recording close its blocks in time when nothing happens. */
#define CLOCK_NS 1000000000ULL

int ws_live_info(int level, struct ws_trace_info *info, struct ws_error *err)
{
	struct ws_proc proc = { .root = "/proc" };
	char boot_id[WS_BOOT_ID_TEXT];
	struct ws_clocks now;
	struct utsname uts;

	*info = (struct ws_trace_info){ 0 };
	if (ws_proc_boot_id(&proc, boot_id, err))
		return -1;
	if (uname(&uts))
		return ws_error_errno(err, errno, "cannot read the host's name", NULL);
	info->format = WS_TRACE_FORMAT;
	info->level = (uint32_t)level;
	info->ticks_per_s = (uint32_t)sysconf(_SC_CLK_TCK);
	ws_clocks_read(&now);
	info->start_mono_ns = now.mono_ns;
	info->start_wall_ns = now.wall_ns;
	snprintf(info->version, sizeof(info->version), "%s", WS_VERSION);
	snprintf(info->boot_id, sizeof(info->boot_id), "%s", boot_id);
	snprintf(info->host, sizeof(info->host), "%.63s", uts.nodename);
	return 0;
}

/* One entry of the session map that has to be looked at. */
struct stale {
	uint32_t pid;
	struct ws_entry entry;
};

struct stale_list {
	struct ws_live *live;
	struct stale *items;
	size_t count, cap;
};

/* No such process, or another one by now. One that cannot be looked at is not known to be gone. */
static bool is_gone(const struct ws_live *live, uint32_t pid, uint64_t start_ns)
{
	uint64_t ticks_ns = 1000000000ULL / (uint64_t)sysconf(_SC_CLK_TCK);
	struct ws_process process;

	if (ws_proc_read(&live->proc, pid, &process))
		return process.start_ticks != start_ns / ticks_ns;
	return kill((pid_t)pid, 0) && errno == ESRCH;
}

/*
 * Collects entries whose process ended: marked dead by the programs, or gone from /proc without
 * that mark (the exit program did not run, as when it was attached too late).
 */
static void collect_stale(void *arg, uint32_t pid, const struct ws_entry *entry)
{
	struct stale_list *list = arg;
	struct stale *item;

	if (!(entry->flags & WS_ENTRY_DEAD) && !is_gone(list->live, pid, entry->start_ns))
		return;
	item = ws_array_grow(&list->items, &list->count, &list->cap, sizeof(*item));
	if (!item)
		return;
	item->pid = pid;
	item->entry = *entry;
}

/*
 * Reconciles the session map with /proc. An entry that was stale before the ring was drained and
 * still is there afterwards has lost its exit record: the session's end is announced as a gap.
 */
static int reconcile(struct ws_live *live)
{
	struct stale_list list = { .live = live };
	int rc = 0;

	ws_tracer_each_entry(live->tracer, collect_stale, &list);
	if (list.count && ws_ring_consume(live->ring) < 0)
		rc = -1;
	for (size_t i = 0; rc == 0 && i < list.count; i++) {
		const struct stale *stale = &list.items[i];
		struct ws_entry now;

		if (!ws_tracer_entry(live->tracer, stale->pid, &now) ||
		    now.start_ns != stale->entry.start_ns)
			continue;
		if (!ws_live_is_strange(live, stale->pid, &now))
			rc = ws_order_session_gone(live->order, stale->pid, now.start_ns, now.seq,
						   ws_clock_mono_ns());
		ws_tracer_forget_session(live->tracer, stale->pid, now.start_ns);
	}
	free(list.items);
	return rc;
}

/* What no session's sequence tells of. */
static int report_untold(struct ws_live *live, uint64_t since_ns)
{
	uint64_t counters[WS_COUNTER_COUNT];
	uint64_t more;

	ws_tracer_counters(live->tracer, counters);
	if (ws_live_report_lost_alone(live, counters, since_ns))
		return -1;
	more = counters[WS_COUNTER_UNTRACKED] - live->untracked;
	if (!more)
		return 0;
	live->untracked += more;
	return ws_live_emit_gap(live, WS_GAP_SESSIONS_FULL, since_ns, more);
}

/* What is done once a second beside draining the ring. */
static int once_a_second(struct ws_live *live, uint64_t since_ns)
{
	if (ws_live_rescan(live))
		return -1;
	if (reconcile(live) || report_untold(live, since_ns))
		return -1;
	if (ws_live_emit_clusters(live) || ws_live_emit_backups(live) ||
	    ws_live_emit_copies(live) || ws_live_emit_samples(live, false) ||
	    ws_live_emit_decoding(live))
		return -1;
	return ws_live_emit_memories(live);
}

static int say_drained(struct ws_live *live, uint64_t now_ns)
{
	if (!live->sink_result && live->options->drained)
		live->sink_result = live->options->drained(live->sink.arg, now_ns);
	return live->sink_result;
}

static int drain_until_stopped(struct ws_live *live, uint64_t start_ns, struct ws_error *err)
{
	const struct ws_live_options *options = live->options;
	struct pollfd pfd = { .fd = ws_ring_poll_fd(live->ring), .events = POLLIN };
	uint64_t last_scan = start_ns, last_clock = start_ns;

	while (!*options->stop) {
		uint64_t now = ws_clock_mono_ns();

		if (options->duration_ns && now - start_ns >= options->duration_ns)
			break;
		if (poll(&pfd, 1, POLL_MS) < 0 && errno != EINTR)
			return ws_error_errno(err, errno, "cannot wait for records", NULL);
		if (ws_ring_consume(live->ring) < 0 || ws_live_emit_waits(live))
			return -1;
		now = ws_clock_mono_ns();
		if (say_drained(live, now))
			return -1;
		if (now - last_clock >= CLOCK_NS) {
			if (ws_live_emit_clock(live))
				return -1;
			last_clock = now;
		}
		if (now - last_scan >= SCAN_NS) {
			if (once_a_second(live, last_scan))
				return -1;
			last_scan = ws_clock_mono_ns();
		}
	}
	return 0;
}

struct tail_context {
	struct ws_live *live;
	uint64_t now_ns;
	int rc;
};

/* A client of BASE_BACKUP may take nothing for hours, and only the end of a chunk makes a record:
 * the one that would have come (bpf/emit.h backup_finish). */
static int close_backup(struct tail_context *tail, uint32_t pid, const struct ws_entry *entry)
{
	struct ws_rec_backup rec = entry->backup;

	if (!(entry->flags & WS_ENTRY_IN_BACKUP) || entry->flags & WS_ENTRY_DEAD ||
	    !entry->backup_mark_ns || entry->backup_mark_ns > tail->now_ns)
		return 0;
	rec.send_ns += tail->now_ns - entry->backup_mark_ns;
	rec.h = (struct ws_rec){
		.size = sizeof(rec),
		.kind = WS_KIND_BACKUP,
		.pid = pid,
		.time_ns = tail->now_ns,
		.start_ns = entry->start_ns,
		.seq = entry->seq,
		.server = entry->server,
	};
	ws_live_count_made(tail->live, &rec.h);
	return ws_order_feed(tail->live->order, &rec, sizeof(rec));
}

static void close_tail(void *arg, uint32_t pid, const struct ws_entry *entry)
{
	struct tail_context *tail = arg;

	if (ws_live_is_strange(tail->live, pid, entry))
		return;
	if (tail->rc == 0)
		tail->rc = ws_order_session_tail(tail->live->order, pid, entry->start_ns,
						 entry->seq, tail->now_ns);
	if (tail->rc == 0)
		tail->rc = close_backup(tail, pid, entry);
}

/* A probe that was planted but never fired is kept as a note: inlined code, a wrong address, or
 * simply nothing of the kind happened. */
static int note_silent_sites(struct ws_live *live)
{
	for (size_t b = 0; b < live->binary_count; b++) {
		const struct ws_binary *binary = live->binaries[b];
		char text[2048];
		size_t len;
		bool any = false;

		if (!binary->server)
			continue;
		len = (size_t)snprintf(text, sizeof(text),
				       "sites of %s that never fired:", binary->exe);
		for (size_t i = 0; i < binary->plan.count; i++) {
			const struct ws_planned *site = &binary->plan.sites[i];

			if (site->status != WS_PLAN_PLANTED ||
			    ws_tracer_site_hit(live->tracer, binary->server, site->probe->site))
				continue;
			any = true;
			if (len < sizeof(text))
				len += (size_t)snprintf(text + len, sizeof(text) - len, " %s",
							site->probe->name);
		}
		if (any && ws_live_emit_note(live, text))
			return -1;
	}
	return 0;
}

/* All that can still arrive, and what by now is lost. */
static int drain_for_good(struct ws_live *live)
{
	struct tail_context tail = { .live = live };

	if (ws_ring_consume(live->ring) < 0 || reconcile(live) || ws_live_emit_samples(live, true))
		return -1;
	ws_tracer_detach_exits(live->tracer);
	if (ws_ring_consume(live->ring) < 0 || ws_live_settle(live))
		return -1;
	tail.now_ns = ws_clock_mono_ns();
	ws_tracer_each_entry(live->tracer, close_tail, &tail);
	return tail.rc;
}

/*
 * Detaches first, so that what is drained afterwards is all there is. Ends are seen for longer: a
 * process that is gone without one would count as a loss, and so would an end that comes in after
 * the last drain.
 */
static int finish(struct ws_live *live, struct ws_live_result *result)
{
	uint64_t before = ws_clock_mono_ns();
	struct ws_rec_stop stop = { 0 };

	if (note_silent_sites(live))
		return -1;
	/* Detaching can take seconds, in which positions stand still: so do the sockets' counters,
	 * but for sessions that begin in between. */
	if (ws_ring_consume(live->ring) < 0 || ws_live_emit_samples(live, false) ||
	    ws_live_emit_decoding(live))
		return -1;
	live->detach_ns = ws_clock_mono_ns();
	ws_tracer_detach(live->tracer);
	result->detach_ns = ws_clock_mono_ns() - before;
	if (drain_for_good(live) || report_untold(live, before))
		return -1;
	ws_live_account(live, &stop);
	result->produced = stop.produced;
	result->lost = stop.lost;
	memcpy(result->lost_of, stop.lost_of, sizeof(result->lost_of));
	result->untracked = live->untracked + live->unseeded;
	if (ws_live_emit_rest(live, &stop, live->start_ns) || ws_live_emit_clock(live))
		return -1;
	return ws_live_emit_stop(live, &stop);
}

static int set_up(struct ws_live *live, struct ws_error *err)
{
	struct ws_tracer_options tracer_options = {
		.level = live->options->level,
		.ring_bytes = live->options->ring_bytes,
		.method = live->options->method,
		.log = live->options->log,
	};
	struct ws_sink ordered = { .fn = ws_live_emit, .arg = live };

	if (ws_live_check_postgres(live->options, err))
		return -1;
	if (ws_kernel_has_other_pids()) {
		ws_error_set(err, "cannot trace", NULL, "%s", WS_KERNEL_PIDS_WHY);
		return ws_error_fix(err, "%s", WS_KERNEL_PIDS_FIX);
	}
	if (live->options->redact) {
		live->redact = ws_redact_new(ordered);
		if (!live->redact)
			return ws_error_errno(err, ENOMEM, "cannot start tracing", NULL);
		ordered = (struct ws_sink){ .fn = ws_redact_feed, .arg = live->redact };
	}
	live->order = ws_order_new(ordered);
	if (!live->order)
		return ws_error_errno(err, ENOMEM, "cannot start tracing", NULL);
	if (ws_tracer_new(&live->tracer, &tracer_options, err))
		return -1;
	return ws_ring_new(&live->ring, ws_tracer_ring_fd(live->tracer), ws_live_from_ring, live,
			   err);
}

bool ws_live_is_narrowed(const struct ws_live_options *options)
{
	return options->pid || options->postmaster_pid || options->datadir || options->postgres;
}

/* No server is seen, and for lack of privileges it is not known that there is none. */
static bool none_may_be_seen(const struct ws_live *live, struct ws_error *err)
{
	char missing[WS_PRIVILEGES_TEXT], fix[WS_PRIVILEGES_FIX];
	struct ws_privileges privileges;
	unsigned int count;

	ws_privileges_read(true, false, &privileges);
	count = ws_privileges_missing(&privileges, missing);
	if (!count)
		return false;
	ws_error_set(err, "cannot trace", NULL,
		     "no PostgreSQL server%s is seen, and %u process%s may not be examined: %s %s "
		     "missing",
		     ws_live_is_narrowed(live->options) ? " that matches" : "", live->denied,
		     live->denied == 1 ? "" : "es", missing, count > 1 ? "are" : "is");
	ws_privileges_fix(&privileges, fix);
	ws_error_fix(err, "run as root or as the server's user, or: %.200s", fix);
	return true;
}

/* Servers are traced, but there may be more that are not. */
static void note_unseen(const struct ws_live *live)
{
	char missing[WS_PRIVILEGES_TEXT];
	struct ws_privileges privileges;
	unsigned int count;

	if (!live->denied || ws_live_is_narrowed(live->options))
		return;
	ws_privileges_read(true, false, &privileges);
	count = ws_privileges_missing(&privileges, missing);
	if (count)
		ws_log(live->options->log, WS_LOG_NOTE,
		       "%u process%s of other users may not be examined, servers among them are "
		       "not traced: %s %s missing",
		       live->denied, live->denied == 1 ? "" : "es", missing,
		       count > 1 ? "are" : "is");
}

static bool is_postmaster(const struct ws_live *live, uint32_t pid)
{
	for (size_t i = 0; i < live->postmaster_count; i++)
		if (live->postmasters[i].pid == pid)
			return true;
	return false;
}

/* A backend that just starts may become one; any other process will not. */
static void note_no_walsender(const struct ws_live *live)
{
	struct ws_entry entry;
	uint32_t pid = live->options->pid;

	if (pid && !ws_tracer_entry(live->tracer, pid, &entry))
		ws_log(live->options->log, WS_LOG_NOTE,
		       "pid %u is no walsender now: nothing is seen unless it becomes one", pid);
}

/* What was found at the start must make sense of what was asked for. */
static int check_start(const struct ws_live *live, struct ws_error *err)
{
	const struct ws_live_options *options = live->options;
	char pid[32];

	if (live->attached) {
		note_unseen(live);
		note_no_walsender(live);
	}
	if (live->attached || ws_live_stopped(live))
		return 0;
	if (live->problem.what[0]) {
		*err = live->problem;
		return -1;
	}
	/* One that root is denied, by a security module say, need not be a server. */
	if (live->denied && none_may_be_seen(live, err))
		return -1;
	if (options->pid || options->postmaster_pid) {
		snprintf(pid, sizeof(pid), "pid %u",
			 options->pid ? options->pid : options->postmaster_pid);
		if (is_postmaster(live, options->pid)) {
			ws_error_set(err, "cannot trace", pid,
				     "it is a postmaster, not a walsender");
			return ws_error_fix(err, "--postmaster=%u is for all of its walsenders",
					    options->pid);
		}
		ws_error_set(err, "cannot trace", pid, "%s",
			     options->pid ? "it is no process of a PostgreSQL server"
					  : "it is no postmaster");
		return ws_error_fix(err, "see `ps -C postgres -o pid,args`");
	}
	if (live->denied)
		ws_log(options->log, WS_LOG_NOTE,
		       "%u process%s may not be examined; see walscope doctor", live->denied,
		       live->denied == 1 ? "" : "es");
	ws_log(options->log, WS_LOG_NOTE, "no PostgreSQL server %s; waiting for one",
	       ws_live_is_narrowed(options) ? "that matches is running" : "is running");
	return 0;
}

static void tear_down(struct ws_live *live)
{
	ws_ring_free(live->ring);
	ws_tracer_free(live->tracer);
	ws_order_free(live->order);
	ws_redact_free(live->redact);
	ws_live_servers_deinit(live);
	ws_live_samples_deinit(live);
	ws_live_decoding_deinit(live);
	ws_live_backups_deinit(live);
	ws_live_copies_deinit(live);
	ws_live_memories_deinit(live);
	ws_live_waits_deinit(live);
}

int ws_live_run(const struct ws_live_options *options, struct ws_sink sink,
		struct ws_live_result *result, struct ws_error *err)
{
	struct ws_live live = {
		.options = options,
		.proc = { .root = "/proc" },
		.sink = sink,
		.start_ns = ws_clock_mono_ns(),
	};
	struct ws_error why;
	int rc = -1;

	/* What fails below without a word of its own, and not in the sink, ran out of memory. */
	ws_error_errno(&why, ENOMEM, "cannot trace", NULL);
	*result = (struct ws_live_result){ 0 };
	if (set_up(&live, &why) || ws_live_emit_clock(&live))
		goto out;
	if (options->redact && ws_live_emit_note(&live, WS_REDACTED_NOTE))
		goto out;
	if (ws_live_scan(&live, &why))
		goto out;
	result->attach_ns = ws_clock_mono_ns() - live.start_ns;
	result->servers = live.attached;
	if (check_start(&live, &why))
		goto out;
	/* Where there is nothing to keep, what was kept before stays. */
	if (!live.attached && ws_live_stopped(&live) && options->started) {
		ws_error_set(&why, "cannot trace", NULL,
			     "stopped before tracing began: nothing was recorded");
		goto out;
	}
	live.started = true;
	ws_live_warn(&live);
	if (!live.sink_result && options->started)
		live.sink_result = options->started(sink.arg);
	if (live.sink_result)
		goto out;
	ws_live_give_up(&live);
	ws_log(options->log, WS_LOG_INFO, "attached to %u servers in %.1f ms", result->servers,
	       (double)result->attach_ns / 1e6);
	rc = drain_until_stopped(&live, ws_clock_mono_ns(), &why);
	/* Also what was recorded until a failure is worth a proper end. */
	if (live.sink_result == 0 && finish(&live, result))
		rc = -1;
out:
	/* A sink that had enough (a closed pipe, a full disk) knows itself why. */
	if (live.sink_result)
		rc = 0;
	if (rc && err)
		*err = why;
	tear_down(&live);
	return rc;
}
