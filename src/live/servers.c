/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "layout/layout.h"
#include "live/private.h"
#include "probe/privileges.h"

/* How long the sites of a binary stay planted after its last postmaster ended: it may come back. */
#define UNUSED_NS 60000000000ULL
/* When a binary that could not be traced is tried again: after a second, two, four, ... */
#define RETRY_NS	1000000000ULL
#define RETRY_SHIFT_MAX 6

bool ws_live_stopped(const struct ws_live *live)
{
	return *live->options->stop;
}

struct ws_binary *ws_live_binary(struct ws_live *live, uint16_t server)
{
	for (size_t i = 0; i < live->binary_count; i++) {
		if (live->binaries[i]->server == server && server)
			return live->binaries[i];
	}
	return NULL;
}

static bool has_child(const struct ws_postmaster *postmaster, uint32_t pid)
{
	for (size_t i = 0; i < postmaster->child_count; i++) {
		if (postmaster->children[i].pid == pid)
			return true;
	}
	return false;
}

static bool is_wanted(const struct ws_live *live, const struct ws_postmaster *postmaster)
{
	const struct ws_live_options *options = live->options;

	if (options->postmaster_pid && options->postmaster_pid != postmaster->process.pid)
		return false;
	if (options->datadir && !ws_postmaster_has_datadir(postmaster, options->datadir))
		return false;
	if (options->postgres && !ws_postmaster_runs(postmaster, options->postgres))
		return false;
	return !options->pid || has_child(postmaster, options->pid);
}

int ws_live_wants_postmaster(const struct ws_live *live, uint32_t pid)
{
	for (size_t i = 0; i < live->postmaster_count; i++) {
		if (live->postmasters[i].pid == pid)
			return live->postmasters[i].wanted;
	}
	return -1;
}

int ws_live_check_postgres(const struct ws_live_options *options, struct ws_error *err)
{
	const char *path = options->postgres;
	struct ws_image *image = NULL;
	char version[WS_VERSION_TEXT];
	int major, rc, fd;

	if (!path)
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return ws_error_errno(err, errno, "cannot read server binary", path);
	rc = ws_image_open(&image, fd, path, options->log, err);
	if (rc == 0 && !ws_image_server_version(image, version, &major)) {
		ws_error_set(err, "cannot trace", path, "it is not a PostgreSQL server");
		rc = ws_error_fix(err, "name a server's executable, as `readlink /proc/PID/exe` "
				       "of a postmaster prints it");
	}
	ws_image_free(image);
	close(fd);
	return rc;
}

static void binary_free(struct ws_binary *binary)
{
	if (!binary)
		return;
	ws_plan_deinit(&binary->plan);
	ws_symbol_set_deinit(&binary->symbols);
	ws_image_free(binary->image);
	if (binary->exe_fd >= 0)
		close(binary->exe_fd);
	free(binary);
}

void ws_live_report(struct ws_live *live, const struct ws_error *why)
{
	if (live->problem.what[0])
		ws_live_warn(live);
	live->problem = *why;
	if (live->started)
		ws_live_warn(live);
}

void ws_live_warn(struct ws_live *live)
{
	char line[1200];

	if (!live->problem.what[0])
		return;
	ws_error_format(&live->problem, line, sizeof(line));
	ws_log(live->options->log, WS_LOG_WARN, "%s", line);
	live->problem = (struct ws_error){ 0 };
}

static int make_plan(struct ws_live *live, struct ws_binary *binary, struct ws_debug *debug,
		     struct ws_error *err)
{
	const struct ws_live_options *options = live->options;
	struct ws_layout layout;
	char cache[512];
	const struct ws_resolve_options resolve = {
		.debug = debug,
		.cache_dir = options->no_cache ? NULL : ws_cache_folder(cache, sizeof(cache)),
		.log = options->log,
	};

	if (ws_resolve(binary->image, &resolve, &binary->symbols, err) ||
	    ws_layout_find(binary->image, binary->major, debug, &layout, err))
		return -1;
	binary->layout_source = (int)layout.source;
	return ws_plan_make(binary->image, &binary->symbols, &layout, binary->major, options->level,
			    &binary->plan, err);
}

/* From the executable to a plan. */
static int prepare(struct ws_live *live, struct ws_binary *binary,
		   const struct ws_postmaster *postmaster, struct ws_error *err)
{
	const struct ws_live_options *options = live->options;
	char root[576];
	const struct ws_debug_options debug_options = {
		.skip = options->no_debug_info ? WS_STEPS_DEBUG_INFO : 0,
		.root = root,
		.progress = isatty(STDERR_FILENO),
		.stop = options->stop,
		.log = options->log,
	};
	struct ws_debug *debug;
	int rc;

	if (ws_image_open(&binary->image, binary->exe_fd, binary->exe, options->log, err))
		return -1;
	if (!ws_image_server_version(binary->image, binary->version, &binary->major))
		return ws_error_set(err, "cannot trace", binary->exe,
				    "it holds no PostgreSQL version string");
	snprintf(root, sizeof(root), "%s/%u/root", live->proc.root, postmaster->process.pid);
	debug = ws_debug_new(binary->image, &debug_options);
	if (!debug)
		return ws_error_errno(err, ENOMEM, "cannot trace", binary->exe);
	rc = make_plan(live, binary, debug, err);
	ws_debug_free(debug);
	return rc;
}

static struct ws_binary *find_binary(struct ws_live *live, const struct ws_postmaster *postmaster)
{
	for (size_t i = 0; i < live->binary_count; i++) {
		struct ws_binary *binary = live->binaries[i];

		if (binary->dev == postmaster->dev && binary->ino == postmaster->ino)
			return binary;
	}
	return NULL;
}

/* Says once what keeps a binary from being traced, and when to try again. `what` tells causes apart
 * whose words differ from one look to the next. */
static void postpone_for(struct ws_live *live, struct ws_binary *binary, const struct ws_error *why,
			 const char *what)
{
	unsigned int shift =
		binary->failures < RETRY_SHIFT_MAX ? binary->failures : RETRY_SHIFT_MAX;

	binary->server = 0;
	binary->failures++;
	binary->retry_ns = ws_clock_mono_ns() + (RETRY_NS << shift);
	if (strcmp(binary->reported, what) != 0)
		ws_live_report(live, why);
	snprintf(binary->reported, sizeof(binary->reported), "%s", what);
}

static void postpone(struct ws_live *live, struct ws_binary *binary, const struct ws_error *why)
{
	postpone_for(live, binary, why, why->why);
}

/* What a failed attempt has found out is not relied on in the next. */
static void forget_findings(struct ws_binary *binary)
{
	ws_plan_deinit(&binary->plan);
	ws_symbol_set_deinit(&binary->symbols);
	ws_image_free(binary->image);
	binary->image = NULL;
}

/* Returns 0 also if it has to be tried again: its number is 0 then. -1: *gone, the postmaster ended
 * since it was listed. Nothing is wrong then, least of all with its binary, which the next one may
 * run. */
static int load_binary(struct ws_live *live, struct ws_binary *binary,
		       const struct ws_postmaster *postmaster, bool *gone)
{
	struct ws_misfit misfit;
	struct ws_error why;

	if (binary->exe_fd < 0)
		binary->exe_fd = ws_proc_open_exe(&live->proc, postmaster->process.pid, &why);
	*gone = binary->exe_fd < 0 && (why.errnum == ENOENT || why.errnum == ESRCH);
	if (*gone)
		return -1;
	if (binary->exe_fd < 0 || prepare(live, binary, postmaster, &why)) {
		postpone(live, binary, &why);
		forget_findings(binary);
		return 0;
	}
	if (!ws_live_fits(live, binary, postmaster, &misfit, &why)) {
		postpone_for(live, binary, &why, ws_check_field(misfit.check));
		forget_findings(binary);
		return 0;
	}
	/* Loading takes longest. */
	if (!ws_live_stopped(live) && ws_tracer_add_server(live->tracer, &binary->plan,
							   binary->exe_fd, &binary->server, &why)) {
		postpone(live, binary, &why);
		forget_findings(binary);
	}
	return 0;
}

static struct ws_binary *new_binary(struct ws_live *live, const struct ws_postmaster *postmaster,
				    bool *gone, struct ws_error *err)
{
	struct ws_binary *binary = calloc(1, sizeof(*binary));
	struct ws_binary **slot;

	*gone = false;
	if (!binary) {
		ws_error_errno(err, ENOMEM, "cannot trace", postmaster->exe);
		return NULL;
	}
	binary->dev = postmaster->dev;
	binary->ino = postmaster->ino;
	binary->exe_fd = -1;
	snprintf(binary->exe, sizeof(binary->exe), "%s", postmaster->exe);
	if (load_binary(live, binary, postmaster, gone)) {
		binary_free(binary);
		return NULL;
	}
	slot = ws_array_grow(&live->binaries, &live->binary_count, &live->binary_cap,
			     sizeof(*slot));
	if (!slot) {
		binary_free(binary);
		ws_error_errno(err, ENOMEM, "cannot trace", postmaster->exe);
		return NULL;
	}
	*slot = binary;
	return binary;
}

static struct ws_known_postmaster *known(struct ws_live *live,
					 const struct ws_postmaster *postmaster)
{
	for (size_t i = 0; i < live->postmaster_count; i++) {
		struct ws_known_postmaster *item = &live->postmasters[i];

		if (item->pid == postmaster->process.pid &&
		    item->start_ticks == postmaster->process.start_ticks)
			return item;
	}
	return NULL;
}

static int plant(struct ws_live *live, struct ws_binary *binary)
{
	struct ws_error why;

	if (ws_tracer_attach_server(live->tracer, binary->server, &why) == 0) {
		if (binary->failures)
			ws_log(live->options->log, WS_LOG_NOTE, "%s is traced now", binary->exe);
		binary->failures = 0;
		return 0;
	}
	ws_tracer_remove_server(live->tracer, binary->server);
	postpone(live, binary, &why);
	forget_findings(binary);
	return -1;
}

/*
 * Seeds the walsenders that a postmaster already has before planting, so that no hit finds them
 * unknown, but tells of them and of the server behind it: of what could not be planted nothing is
 * known, and the next attempt looks anew. Returns 1 if the server is followed now, else 0, or -1.
 */
static int follow(struct ws_live *live, const struct ws_postmaster *postmaster,
		  struct ws_binary *binary, bool is_new)
{
	struct ws_live_seeds seeds = { 0 };
	int rc = ws_live_seed_children(live, postmaster, binary, &seeds);
	bool planted = rc == 0 && (!is_new || plant(live, binary) == 0);

	if (!planted)
		ws_live_forget_seeds(live, &seeds);
	else if (ws_live_emit_server(live, postmaster, binary) ||
		 ws_live_tell_seeds(live, &seeds) || ws_live_emit_samples(live, true))
		rc = -1;
	ws_live_seeds_deinit(&seeds);
	return rc ? -1 : planted;
}

/* A wanted postmaster not followed yet: loads and plants the sites of its binary if they are not,
 * too, and takes over the walsenders it already has. */
static int announce(struct ws_live *live, const struct ws_postmaster *postmaster, bool *planted,
		    struct ws_error *err)
{
	struct ws_binary *binary = find_binary(live, postmaster);
	struct ws_known_postmaster *item;
	bool is_new = !binary || !binary->server, gone = false;
	struct ws_misfit misfit;
	struct ws_error why;
	int rc;

	if (!binary)
		binary = new_binary(live, postmaster, &gone, err);
	else if (is_new && ws_clock_mono_ns() >= binary->retry_ns)
		load_binary(live, binary, postmaster, &gone);
	if (!binary)
		return gone ? 0 : -1;
	if (!binary->server || ws_live_stopped(live))
		return 0;
	/* Others are traced by it: this one is, too, but what is wrong is not believed of either.
	 */
	if (!is_new && !ws_live_fits(live, binary, postmaster, &misfit, &why) &&
	    ws_live_distrust(live, binary, &misfit))
		return -1;
	rc = follow(live, postmaster, binary, is_new);
	if (rc <= 0)
		return rc;
	item = known(live, postmaster);
	item->announced = true;
	item->server = binary->server;
	item->base = postmaster->base;
	*planted |= is_new;
	live->attached++;
	return 0;
}

static int look_at(struct ws_live *live, const struct ws_postmaster *postmaster, bool *planted,
		   struct ws_error *err)
{
	struct ws_known_postmaster *item = known(live, postmaster);
	bool wanted;

	if (item) {
		item->seen = true;
		if (!item->wanted || item->announced)
			return 0;
		return announce(live, postmaster, planted, err);
	}
	wanted = is_wanted(live, postmaster);
	item = ws_array_grow(&live->postmasters, &live->postmaster_count, &live->postmaster_cap,
			     sizeof(*item));
	if (!item)
		return ws_error_errno(err, ENOMEM, "cannot trace", postmaster->exe);
	item->pid = postmaster->process.pid;
	item->start_ticks = postmaster->process.start_ticks;
	item->seen = true;
	item->wanted = wanted;
	item->announced = false;
	item->cluster_told = false;
	item->control_fd = -1;
	item->pid_file_fd = -1;
	item->walreceiver.pid = 0;
	if (wanted)
		ws_tracer_add_postmaster(live->tracer, item->pid, item->start_ticks * WS_TICK_NS);
	return wanted ? announce(live, postmaster, planted, err) : 0;
}

static bool in_use(const struct ws_server_list *list, const struct ws_binary *binary)
{
	for (size_t i = 0; i < list->count; i++) {
		if (list->servers[i].dev == binary->dev && list->servers[i].ino == binary->ino)
			return true;
	}
	return false;
}

struct claim {
	uint16_t server;
	bool found;
};

static void look_for_claim(void *arg, uint32_t pid, const struct ws_entry *entry)
{
	struct claim *claim = arg;

	(void)pid;
	claim->found |= entry->server == claim->server && !(entry->flags & WS_ENTRY_DEAD);
}

/* On overlayfs its object may have claimed a walsender of a server that runs the same file by
 * another path: nobody else's programs follow that one. */
static bool has_sessions(const struct ws_live *live, const struct ws_binary *binary)
{
	struct claim claim = { .server = binary->server };

	if (claim.server)
		ws_tracer_each_entry(live->tracer, look_for_claim, &claim);
	return claim.found;
}

/*
 * Takes out the sites of binaries nobody runs any more. A restart of the same binary is followed
 * without this: sites hang on the file, not on the process.
 */
static void retire_binaries(struct ws_live *live, const struct ws_server_list *list)
{
	uint64_t now = ws_clock_mono_ns();

	for (size_t i = 0; i < live->binary_count;) {
		struct ws_binary *binary = live->binaries[i];

		if (in_use(list, binary)) {
			binary->unused_since_ns = 0;
		} else if (!binary->unused_since_ns) {
			binary->unused_since_ns = now;
		} else if (now - binary->unused_since_ns >= UNUSED_NS &&
			   !has_sessions(live, binary)) {
			if (binary->server)
				ws_tracer_remove_server(live->tracer, binary->server);
			binary_free(binary);
			live->binaries[i] = live->binaries[--live->binary_count];
			continue;
		}
		i++;
	}
}

static int forget_postmasters(struct ws_live *live)
{
	int rc = 0;

	for (size_t i = 0; i < live->postmaster_count;) {
		struct ws_known_postmaster *item = &live->postmasters[i];

		if (item->seen) {
			i++;
			continue;
		}
		if (item->wanted)
			ws_tracer_remove_postmaster(live->tracer, item->pid,
						    item->start_ticks * WS_TICK_NS);
		rc |= ws_live_end_cluster(live, item);
		ws_live_release_cluster(item);
		*item = live->postmasters[--live->postmaster_count];
	}
	return rc;
}

/* Walsenders forked between the first look and the planting of the sites, in servers new to us. */
static int seed_late(struct ws_live *live, struct ws_error *err)
{
	struct ws_server_list list = { 0 };
	struct ws_live_seeds seeds = { 0 };
	int rc = 0;

	if (ws_proc_servers(&live->proc, &list, NULL, err))
		return -1;
	for (size_t i = 0; rc == 0 && i < list.count; i++) {
		const struct ws_binary *binary = find_binary(live, &list.servers[i]);
		const struct ws_known_postmaster *item = known(live, &list.servers[i]);

		if (binary && binary->server && item && item->announced)
			rc = ws_live_seed_children(live, &list.servers[i], binary, &seeds);
	}
	if (rc == 0)
		rc = ws_live_tell_seeds(live, &seeds);
	if (rc == 0)
		rc = ws_live_emit_samples(live, true);
	ws_live_seeds_deinit(&seeds);
	ws_server_list_deinit(&list);
	return rc;
}

int ws_live_scan(struct ws_live *live, struct ws_error *err)
{
	struct ws_server_list list = { 0 };
	bool planted = false;
	int rc = 0;

	if (ws_proc_servers_again(&live->proc, &live->servers, &list, &live->denied, err))
		return -1;
	for (size_t i = 0; i < live->postmaster_count; i++)
		live->postmasters[i].seen = false;
	for (size_t i = 0; rc == 0 && i < list.count && !ws_live_stopped(live); i++)
		rc = look_at(live, &list.servers[i], &planted, err);
	if (rc == 0 && !ws_live_stopped(live)) {
		retire_binaries(live, &list);
		rc = forget_postmasters(live);
		if (rc == 0 && planted)
			rc = seed_late(live, err);
	}
	ws_server_list_deinit(&live->servers);
	live->servers = list;
	return rc;
}

int ws_live_rescan(struct ws_live *live)
{
	struct ws_error why;
	bool failed_before = live->scan_failed;

	if (live->complete)
		return 0;
	ws_error_errno(&why, ENOMEM, "cannot look for servers", NULL);
	live->scan_failed = ws_live_scan(live, &why) != 0;
	if (live->sink_result)
		return -1;
	if (live->scan_failed && !failed_before)
		ws_live_report(live, &why);
	return 0;
}

static bool maps_work(const void *tracer)
{
	return ws_tracer_works(tracer);
}

void ws_live_give_up(struct ws_live *live)
{
	const struct ws_live_options *options = live->options;
	struct ws_error why;

	/* A named process stays what it is: another server's cannot be meant. */
	live->complete = live->attached && (options->pid || options->postmaster_pid);
	if (live->complete)
		ws_live_hold_clusters(live);
	if (ws_privileges_drop(!live->complete, ws_tracer_method(live->tracer) == WS_ATTACH_PERF,
			       maps_work, live->tracer, &why))
		ws_live_report(live, &why);
}

void ws_live_servers_deinit(struct ws_live *live)
{
	for (size_t i = 0; i < live->binary_count; i++)
		binary_free(live->binaries[i]);
	free(live->binaries);
	for (size_t i = 0; i < live->postmaster_count; i++)
		ws_live_release_cluster(&live->postmasters[i]);
	free(live->postmasters);
	ws_server_list_deinit(&live->servers);
}
