/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loads the programs. What they share with the program is maps.c's, how sites are hung on the
 * kernel plant.c's.
 */
#include "probe/attach.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "probe/kernel.h"
#include "probe/plant.h"
#include "probe/privileges.h"
#include "probe/tracer.h"
#include "skel/server.skel.h"
#include "sites.h"

#define RING_BYTES_DEFAULT (16 << 20)
#define VERIFIER_LOG_BYTES (256 << 10)
#define WS_SERVER_FILES	   40 /* descriptors that one binary takes at most, but for perf events */

/* One loaded binary. A removed one keeps its place, so that numbers stay unique, and its hits. */
struct server {
	struct server_bpf *skel; /* NULL once removed */
	uint32_t number;	 /* from 1 on, in the order of loading */
	struct ws_plant plant;
	bool hit[WS_SITE_COUNT];
};

/* Which program serves a site: the row's names are made by the same lists as the programs. */
struct site_program {
	const char *name;
	enum ws_plant_group group;
};
#define ROW_SESSION(site) [WS_SITE_##site] = { "site_" #site, WS_PLANT_SESSION },
#define ROW_LOOP(site)	  [WS_SITE_##site] = { "site_" #site, WS_PLANT_LOOP },
#define ROW_DETAIL(site)  [WS_SITE_##site] = { "site_" #site, WS_PLANT_DETAIL },
/* clang-format off */
static const struct site_program site_programs[WS_SITE_COUNT] = {
	WS_SITES_SESSION(ROW_SESSION)
	WS_SITES_LOOP(ROW_LOOP)
	WS_SITES_DETAIL(ROW_DETAIL)
};
/* clang-format on */

#define ONE(site) +1
_Static_assert(1 WS_SITES_SESSION(ONE) WS_SITES_LOOP(ONE) WS_SITES_DETAIL(ONE) == WS_SITE_COUNT,
	       "bpf/sites.h lists every site once");

static const char *const group_programs[WS_PLANT_GROUPS] = {
	[WS_PLANT_SESSION] = "group_session",
	[WS_PLANT_LOOP] = "group_loop",
	[WS_PLANT_DETAIL] = "group_detail",
};

/* Cuts the verifier's complaint out of its log: the line before the statistics at its end. */
static const char *verifier_verdict(char *log)
{
	char *end = strstr(log, "\nprocessed "), *line;

	if (end)
		*end = 0;
	end = log + strlen(log);
	while (end > log && end[-1] == '\n')
		*--end = 0;
	line = strrchr(log, '\n');
	return line ? line + 1 : log;
}

/* Does opening what a server takes come to the limit? */
static bool lacks_descriptors(void)
{
	int fds[WS_SERVER_FILES], n = 0;
	bool lacks;

	while (n < WS_SERVER_FILES && (fds[n] = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0)) >= 0)
		n++;
	lacks = n < WS_SERVER_FILES && errno == EMFILE;
	while (n)
		close(fds[--n]);
	return lacks;
}

static int load_error(struct ws_error *err, const char *object, int errnum, char *log)
{
	const char *verdict = verifier_verdict(log);

	/* libbpf loads once more to have the verifier's log, which of a good program is too long:
	 * ENOSPC then stands in front of what was wrong. */
	if (errnum == ENOSPC && lacks_descriptors())
		errnum = EMFILE;

	if (errnum == EPERM || errnum == EACCES) {
		if (!*verdict) {
			ws_error_errno(err, errnum, "cannot load the BPF programs", object);
			return ws_error_fix(err, "run as root, or see walscope doctor");
		}
	}
	if (errnum == EMFILE || errnum == ENFILE) { /* not for the verifier's reasons */
		ws_error_errno(err, errnum, "cannot load the BPF programs", object);
		return ws_error_fix(err, "raise the limit: ulimit -n 4096");
	}
	if (access("/sys/kernel/btf/vmlinux", R_OK) < 0) {
		ws_error_set(err, "cannot load the BPF programs", object,
			     "the kernel has no type information (/sys/kernel/btf/vmlinux)");
		return ws_error_fix(err, "boot a kernel built with CONFIG_DEBUG_INFO_BTF");
	}
	if (*verdict)
		ws_error_set(err, "cannot load the BPF programs", object,
			     "the kernel's verifier says: %s", verdict);
	else
		ws_error_errno(err, errnum, "cannot load the BPF programs", object);
	return ws_error_fix(err, "see walscope doctor, and report this with the kernel's release");
}

/* Who ended a session is worth knowing, but nothing else hangs on it. */
static void attach_signals(struct ws_tracer *t)
{
	struct bpf_link *link = bpf_program__attach(t->host->progs.on_signal);

	t->host->links.on_signal = link;
	if (!link)
		ws_log(t->log, WS_LOG_WARN,
		       "cannot attach to signals (raw tracepoint signal_generate): %s; who ended a "
		       "session is not told",
		       strerror(errno));
}

static int load_host(struct ws_tracer *t, size_t ring_bytes, int level, struct ws_error *err)
{
	ws_autofree char *log = calloc(1, VERIFIER_LOG_BYTES);
	LIBBPF_OPTS(bpf_object_open_opts, opts, .kernel_log_buf = log,
		    .kernel_log_size = VERIFIER_LOG_BYTES);
	void *watched;
	int ret;

	if (!log)
		return ws_error_errno(err, ENOMEM, "cannot load the BPF programs", "host");
	t->host = host_bpf__open_opts(&opts);
	if (!t->host)
		return ws_error_errno(err, errno, "cannot open the BPF programs", "host");
	ret = bpf_map__set_max_entries(t->host->maps.rb, ring_bytes);
	if (ret < 0)
		return ws_error_errno(err, -ret, "cannot size the ring buffer", NULL);
	t->host->rodata->ring_watermark = ring_bytes / 4;
	t->host->rodata->tells_off_cpu = level >= 3;
	bpf_program__set_autoattach(t->host->progs.on_signal, false);
	bpf_program__set_autoload(t->host->progs.on_switch, level >= 2);
	bpf_program__set_autoload(t->host->progs.on_wakeup, level >= 3);
	ret = host_bpf__load(t->host);
	if (ret < 0)
		return load_error(err, "host", -ret, log);
	watched = mmap(NULL, sizeof(*t->watched), PROT_READ | PROT_WRITE, MAP_SHARED,
		       bpf_map__fd(t->host->maps.watched), 0);
	if (watched == MAP_FAILED)
		return ws_error_errno(err, errno, "cannot map the pids of sessions", NULL);
	t->watched = watched;
	ret = host_bpf__attach(t->host);
	if (ret < 0)
		return ws_error_errno(err, -ret, "cannot attach to the scheduler",
				      "raw tracepoints sched_process_exit, sched_switch and "
				      "sched_wakeup");
	attach_signals(t);
	return 0;
}

/* The host object's maps are everybody's (bpf/maps.h). */
static int share_maps(const struct ws_tracer *t, struct bpf_object *object)
{
	static const char *const names[] = { "rb", "sessions", "scratch", "counters", "watched" };
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < WS_ARRAY_SIZE(names); i++) {
		struct bpf_map *ours = bpf_object__find_map_by_name(object, names[i]);
		struct bpf_map *host = bpf_object__find_map_by_name(t->host->obj, names[i]);

		ret = ours && host ? bpf_map__reuse_fd(ours, bpf_map__fd(host)) : -ENOENT;
	}
	return ret;
}

/* Without it there are no samples, and the counters of sockets at the end of sessions only. */
static void load_sample(struct ws_tracer *t)
{
	struct timespec jiffy;
	const char *step = "open";
	int ret;

	t->sample = sample_bpf__open();
	ret = t->sample ? share_maps(t, t->sample->obj) : -errno;
	/* The coarse clocks advance once a jiffy (kernel/time/posix-timers.c posix_get_coarse_res).
	 */
	if (ret == 0 && clock_getres(CLOCK_MONOTONIC_COARSE, &jiffy) == 0 && jiffy.tv_nsec > 0)
		t->sample->rodata->jiffy_ns = (uint32_t)jiffy.tv_nsec;
	if (ret == 0) {
		step = "load";
		ret = sample_bpf__load(t->sample);
	}
	if (ret == 0) {
		step = "attach";
		ret = sample_bpf__attach(t->sample);
	}
	if (ret == 0)
		return;
	sample_bpf__destroy(t->sample);
	t->sample = NULL;
	ws_log(t->log, WS_LOG_INFO,
	       "cannot %s the iterator over sockets (%s): nothing is sampled, and wire_bytes and "
	       "acked_bytes are known of sessions that were seen from start to end only",
	       step, strerror(-ret));
}

/* A server takes some 30 descriptors, with perf events one per site and one per program: as many as
 * we may have. So few that not even one server can be traced are refused here, in plain words,
 * instead of by whatever would fail first. */
static int raise_descriptors(enum ws_attach_method method, struct ws_error *err)
{
	rlim_t least = 64 + (method == WS_ATTACH_PERF ? 2 * WS_SITE_COUNT : 0);
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return 0;
	if (limit.rlim_max < least) {
		ws_error_set(err, "cannot start the tracer", NULL,
			     "it may open %llu files, and tracing one server takes %llu",
			     (unsigned long long)limit.rlim_max, (unsigned long long)least);
		return ws_error_fix(err, "raise the hard limit: prlimit --nofile=4096 "
					 "walscope ..., LimitNOFILE=4096 in a unit");
	}
	if (limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	return 0;
}

/* What is not to be had whichever servers run here is named before the kernel says EPERM. */
static int choose_method(struct ws_tracer *t, enum ws_attach_method method, struct ws_error *err)
{
	struct ws_privileges privileges;

	ws_privileges_read(false, false, &privileges);
	if (ws_privileges_check(&privileges, err) < 0)
		return -1;
	t->method = method;
	if (method == WS_ATTACH_AUTO)
		t->method = ws_kernel_has_uprobe_multi() ? WS_ATTACH_UPROBE_MULTI : WS_ATTACH_PERF;
	ws_privileges_read(false, t->method == WS_ATTACH_PERF, &privileges);
	return ws_privileges_check(&privileges, err);
}

int ws_tracer_new(struct ws_tracer **tracer, const struct ws_tracer_options *options,
		  struct ws_error *err)
{
	size_t ring_bytes = options->ring_bytes ? options->ring_bytes : RING_BYTES_DEFAULT;
	struct ws_tracer *t;

	if (ring_bytes & (ring_bytes - 1) || ring_bytes % getpagesize() || ring_bytes > 1u << 30)
		return ws_error_set(err, "cannot size the ring buffer", NULL,
				    "%zu bytes are not a power of two of at least one page",
				    ring_bytes);
	t = calloc(1, sizeof(*t));
	if (!t)
		return ws_error_errno(err, ENOMEM, "cannot start the tracer", NULL);
	/* libbpf's printer is one per process; what went wrong is put into the error instead */
	libbpf_set_print(NULL);
	t->log = options->log;
	if (choose_method(t, options->method, err) < 0 || raise_descriptors(t->method, err) < 0 ||
	    load_host(t, ring_bytes, options->level, err) < 0) {
		ws_tracer_free(t);
		return -1;
	}
	load_sample(t);
	ws_log(t->log, WS_LOG_INFO, "ring buffer of %zu bytes, sites hang on %s", ring_bytes,
	       t->method == WS_ATTACH_UPROBE_MULTI ? "uprobe_multi links" : "perf events");
	*tracer = t;
	return 0;
}

static void unload_server(const struct ws_tracer *t, struct server *s)
{
	size_t i;

	ws_plant_remove(&s->plant);
	bpf_map_delete_elem(bpf_map__fd(t->host->maps.sleeps), &s->number);
	for (i = 0; s->skel && i < WS_SITE_COUNT; i++)
		s->hit[i] = s->skel->bss->site_hit[i];
	server_bpf__destroy(s->skel);
	s->skel = NULL;
}

void ws_tracer_free(struct ws_tracer *t)
{
	size_t i;

	if (!t)
		return;
	for (i = 0; i < t->count; i++) {
		unload_server(t, t->servers[i]);
		free(t->servers[i]);
	}
	free(t->servers);
	sample_bpf__destroy(t->sample);
	if (t->watched)
		munmap(t->watched, sizeof(*t->watched));
	host_bpf__destroy(t->host);
	free(t);
}

static bool plan_has(const struct ws_plan *plan, enum ws_plant_group group)
{
	size_t i;

	for (i = 0; i < plan->count; i++)
		if (plan->sites[i].status == WS_PLAN_PLANTED &&
		    site_programs[plan->sites[i].probe->site].group == group)
			return true;
	return false;
}

static struct bpf_program *use_program(struct server_bpf *skel, const char *name, bool multi)
{
	struct bpf_program *prog = bpf_object__find_program_by_name(skel->obj, name);

	if (prog) {
		bpf_program__set_autoload(prog, true);
		if (multi)
			bpf_program__set_expected_attach_type(prog, WS_BPF_TRACE_UPROBE_MULTI);
	}
	return prog;
}

/* Takes over the plan: the programs that are needed, and the sites to plant them at. */
static int take_plan(struct server *s, const struct ws_plan *plan, enum ws_attach_method method,
		     struct ws_error *err)
{
	bool multi = method == WS_ATTACH_UPROBE_MULTI;
	struct bpf_program *prog, *by_group[WS_PLANT_GROUPS] = { NULL };
	const struct ws_planned *p;
	size_t i;

	bpf_object__for_each_program(prog, s->skel->obj) bpf_program__set_autoload(prog, false);
	for (i = 0; multi && i < WS_PLANT_GROUPS; i++)
		if (plan_has(plan, i))
			by_group[i] = use_program(s->skel, group_programs[i], true);
	memset((void *)s->skel->rodata->cfg.site_addr, 0, sizeof(s->skel->rodata->cfg.site_addr));
	for (i = 0; i < plan->count; i++) {
		p = &plan->sites[i];
		if (p->status != WS_PLAN_PLANTED || !site_programs[p->probe->site].name)
			continue;
		prog = multi ? by_group[site_programs[p->probe->site].group]
			     : use_program(s->skel, site_programs[p->probe->site].name, false);
		s->skel->rodata->cfg.site_addr[p->probe->site] = p->address;
		if (ws_plant_add(&s->plant, prog, site_programs[p->probe->site].group,
				 p->probe->site, p->offset) < 0)
			return ws_error_errno(err, ENOMEM, "cannot plan the probes", NULL);
	}
	if (plan->config.sleep_tells)
		bpf_program__set_autoload(s->skel->progs.on_sleep, true);
	return 0;
}

/* From now on host.bpf.c calls it for the sessions of this server. */
static int use_sleep(const struct ws_tracer *t, const struct server *s)
{
	int fd = bpf_program__fd(s->skel->progs.on_sleep);

	return bpf_map_update_elem(bpf_map__fd(t->host->maps.sleeps), &s->number, &fd, BPF_ANY)
		       ? -errno
		       : 0;
}

static int load_server(struct ws_tracer *t, struct server *s, const struct ws_plan *plan,
		       struct ws_error *err)
{
	ws_autofree char *log = calloc(1, VERIFIER_LOG_BYTES);
	LIBBPF_OPTS(bpf_object_open_opts, opts, .kernel_log_buf = log,
		    .kernel_log_size = VERIFIER_LOG_BYTES);
	int ret;

	if (!log)
		return ws_error_errno(err, ENOMEM, "cannot load the BPF programs", "server");
	s->skel = server_bpf__open_opts(&opts);
	if (!s->skel)
		return ws_error_errno(err, errno, "cannot open the BPF programs", "server");
	s->skel->rodata->cfg = plan->config;
	s->skel->rodata->cfg.server = (__u16)s->number;
	s->skel->rodata->ring_watermark = t->host->rodata->ring_watermark;
	if (take_plan(s, plan, t->method, err) < 0)
		return -1;
	ret = share_maps(t, s->skel->obj);
	if (ret < 0)
		return ws_error_errno(err, -ret, "cannot share the BPF maps", "server");
	ret = server_bpf__load(s->skel);
	if (ret < 0)
		return load_error(err, "server", -ret, log);
	ret = plan->config.sleep_tells ? use_sleep(t, s) : 0;
	if (ret < 0)
		return ws_error_errno(err, -ret, "cannot look at waits", "server");
	return 0;
}

int ws_tracer_add_server(struct ws_tracer *t, const struct ws_plan *plan, int exe_fd,
			 uint16_t *server, struct ws_error *err)
{
	struct server **items, *s;

	if (t->count >= WS_SERVERS_MAX)
		return ws_error_set(err, "cannot trace another server binary", NULL,
				    "%zu were traced already", t->count);
	s = calloc(1, sizeof(*s));
	if (!s)
		return ws_error_errno(err, ENOMEM, "cannot load the BPF programs", "server");
	s->number = (uint32_t)t->count + 1;
	ws_plant_init(&s->plant, t->method, exe_fd);
	if (load_server(t, s, plan, err) < 0)
		goto fail;
	items = reallocarray(t->servers, t->count + 1, sizeof(*items));
	if (!items) {
		ws_error_errno(err, ENOMEM, "cannot load the BPF programs", "server");
		goto fail;
	}
	t->servers = items;
	t->servers[t->count++] = s;
	*server = t->count;
	return 0;
fail:
	unload_server(t, s);
	free(s);
	return -1;
}

static struct server *server_of(const struct ws_tracer *t, uint16_t server)
{
	return server > 0 && server <= t->count ? t->servers[server - 1] : NULL;
}

int ws_tracer_attach_server(struct ws_tracer *t, uint16_t server, struct ws_error *err)
{
	struct server *s = server_of(t, server);
	uint64_t before = ws_clock_mono_ns();

	if (!s || !s->skel)
		return ws_error_set(err, "cannot plant the probes", NULL, "no server %u", server);
	if (ws_plant_attach(&s->plant, err) < 0)
		return -1;
	ws_log(t->log, WS_LOG_INFO, "planted %zu sites in %llu us", s->plant.count,
	       (unsigned long long)(ws_clock_mono_ns() - before) / 1000);
	return 0;
}

void ws_tracer_detach(struct ws_tracer *t)
{
	for (size_t i = 0; i < t->count; i++)
		ws_plant_remove(&t->servers[i]->plant);
}

void ws_tracer_detach_exits(struct ws_tracer *t)
{
	host_bpf__detach(t->host);
}

void ws_tracer_remove_server(struct ws_tracer *t, uint16_t server)
{
	struct server *s = server_of(t, server);

	if (s)
		unload_server(t, s);
}

enum ws_attach_method ws_tracer_method(const struct ws_tracer *t)
{
	return t->method;
}

bool ws_tracer_site_hit(const struct ws_tracer *t, uint16_t server, enum ws_site site)
{
	const struct server *s = server_of(t, server);

	if (!s || site >= WS_SITE_COUNT)
		return false;
	return s->skel ? s->skel->bss->site_hit[site] : s->hit[site];
}
