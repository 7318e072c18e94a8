/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/examine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "probe/crosscheck.h"
#include "probe/kernel.h"
#include "target/proc.h"

/* Are there servers of this user and none of others', as far as can be seen? */
static bool all_are_own(const struct ws_doctor *d)
{
	size_t processes = 0;

	for (size_t i = 0; i < d->server_count; i++) {
		if (d->servers[i].others)
			return false;
		processes += d->servers[i].process_count;
	}
	return processes > 0;
}

static int examine_privileges(struct ws_doctor *d)
{
	const struct ws_kernel_features *k = &d->kernel;
	char missing[WS_PRIVILEGES_TEXT], fix[WS_PRIVILEGES_FIX];
	struct ws_privileges *p = &d->privileges;
	bool perf;

	ws_privileges_read(true, false, p);
	/* Without privileges the kernel shows neither way. */
	perf = k->bpf_allowed && p->list[WS_PRIVILEGE_PERFMON].have && !k->uprobe_multi;
	ws_privileges_read(!all_are_own(d), perf, p);
	if (!ws_privileges_missing(p, missing)) {
		if (!p->list[WS_PRIVILEGE_SYS_PTRACE].have || k->process_vm_readv)
			return 0;
		return ws_problem_add(&d->problems,
				      "a seccomp profile that allows "
				      "process_vm_readv(): docker run --privileged",
				      "the memory of other processes may not be read");
	}
	ws_privileges_fix(p, fix);
	return ws_problem_add(&d->problems, fix, "%s, and without %s",
			      p->root ? "root" : "not root", missing);
}

/* Names the missing sites that matter. */
static int judge_plan(struct ws_doctor_server *s)
{
	for (size_t i = 0; i < s->plan.count; i++) {
		const struct ws_planned *site = &s->plan.sites[i];

		/* A required one is what ws_plan_make fails with. */
		if (site->status != WS_PLAN_MISSING || site->probe->required ||
		    site->level > s->plan.level)
			continue;
		if (ws_problem_add(&s->problems, "", "%s: probe %s is missing: %s", s->file,
				   site->probe->name, site->reason))
			return -1;
	}
	return 0;
}

/* Symbols, layout and plan. Returns as examine_image. */
static int examine_code(struct ws_doctor_server *s, const struct ws_image *image,
			struct ws_debug *debug, const struct ws_options *options)
{
	const struct ws_resolve_options resolve = { .debug = debug, .log = &options->log };
	struct ws_error err = { 0 };

	if (ws_resolve(image, &resolve, &s->symbols, &err) ||
	    ws_layout_find(image, s->major, debug, &s->layout, &err))
		return ws_problem_add_error(&s->problems, &err, "");
	if (ws_plan_make(image, &s->symbols, &s->layout, s->major, options->level, &s->plan, &err))
		return ws_problem_add_error(&s->problems, &err, "") || judge_plan(s) ? -1 : 0;
	return judge_plan(s) ? -1 : 1;
}

/* Everything that can be said of a server binary without attaching. Returns 1 if it can be traced,
 * 0 if not (problems say why), -1 when memory ran out. */
static int examine_image(struct ws_doctor_server *s, const struct ws_image *image,
			 const struct ws_options *options)
{
	struct ws_debug_options debug_options = { .progress = isatty(STDERR_FILENO),
						  .log = &options->log };
	struct ws_debug *debug;
	char root[64];
	int rc;

	s->arch = ws_image_arch_name(ws_image_arch(image));
	s->stripped = ws_image_is_stripped(image);
	snprintf(s->build_id, sizeof(s->build_id), "%s", ws_image_build_id(image));
	if (!ws_image_server_version(image, s->version, &s->major))
		return ws_problem_add(&s->problems,
				      "name a server binary, as "
				      "--postgres /usr/lib/postgresql/15/bin/postgres",
				      "%s is no PostgreSQL server of version 10 or later", s->file);
	if (s->process_count) {
		snprintf(root, sizeof(root), "/proc/%u/root", s->processes[0].pid);
		debug_options.root = root;
	}
	debug = ws_debug_new(image, &debug_options);
	if (!debug)
		return -1;
	rc = examine_code(s, image, debug, options);
	ws_debug_free(debug);
	return rc;
}

/* `fd` is closed here. */
static int examine_file(struct ws_doctor_server *s, int fd, const struct ws_options *options)
{
	struct ws_error err = { 0 };
	struct ws_image *image;
	int rc;

	rc = ws_image_open(&image, fd, s->file, &options->log, &err);
	close(fd);
	if (rc)
		return ws_problem_add_error(&s->problems, &err,
					    "name a server binary, as "
					    "--postgres /usr/lib/postgresql/15/bin/postgres");
	rc = examine_image(s, image, options);
	ws_image_free(image);
	return rc;
}

static struct ws_doctor_server *new_server(struct ws_doctor *d, const char *file)
{
	struct ws_doctor_server *s =
		ws_array_grow(&d->servers, &d->server_count, &d->server_cap, sizeof(*s));

	if (s)
		snprintf(s->file, sizeof(s->file), "%s", file);
	return s;
}

static int examine_named(struct ws_doctor *d, const struct ws_options *options)
{
	const char *file = options->filter.postgres;
	struct ws_doctor_server *s = new_server(d, file);
	struct ws_error err;
	int fd, cause;

	if (!s)
		return -1;
	/* O_NONBLOCK: a FIFO is refused, not waited for. */
	fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	cause = errno;
	if (fd < 0) {
		ws_error_errno(&err, cause, "cannot open server binary", file);
		return ws_problem_add_error(&s->problems, &err,
					    cause == EACCES ? "sudo walscope doctor" : "");
	}
	return examine_file(s, fd, options);
}

static int add_process(struct ws_doctor_server *s, const struct ws_postmaster *postmaster)
{
	struct ws_doctor_process *p =
		ws_array_grow(&s->processes, &s->process_count, &s->process_cap, sizeof(*p));

	if (!p)
		return -1;
	s->others |= postmaster->uid != geteuid();
	p->pid = postmaster->process.pid;
	p->ns_pid = postmaster->process.ns_pid;
	snprintf(p->datadir, sizeof(p->datadir), "%s", postmaster->datadir);
	return 0;
}

static bool owns(const struct ws_postmaster *postmaster, uint32_t pid)
{
	if (postmaster->process.pid == pid)
		return true;
	for (size_t i = 0; i < postmaster->child_count; i++)
		if (postmaster->children[i].pid == pid)
			return true;
	return false;
}

/* Does the layout fit the memory of this server? Returns as examine_image. */
static int cross_check(struct ws_doctor_server *s, const struct ws_proc *proc,
		       const struct ws_postmaster *postmaster)
{
	const struct ws_crosscheck c = {
		.proc = proc,
		.postmaster = postmaster,
		.config = &s->plan.config,
		.slot_ctl = ws_symbol_address(&s->symbols, "ReplicationSlotCtl"),
		.max_slots = ws_symbol_address(&s->symbols, "max_replication_slots"),
		.wal_snd_ctl = ws_symbol_address(&s->symbols, "WalSndCtl"),
		.max_wal_senders = ws_symbol_address(&s->symbols, "max_wal_senders"),
	};
	const struct ws_misfit_server server = {
		.file = s->file,
		.build_id = s->build_id,
		.source = s->layout.source,
		.major = s->major,
	};
	struct ws_misfit misfit;
	struct ws_error err;

	if (!ws_crosscheck(&c, &misfit))
		return 1;
	ws_misfit_error(&misfit, &server, "cannot trace", &err);
	return ws_problem_add_error(&s->problems, &err, "");
}

/* Clusters of one binary are examined once, by whichever of its hard links they run it. The path
 * does not tell binaries apart: that of a container is its own. Where overlayfs shows one file as
 * two, it is examined twice. */
static int examine_running(struct ws_doctor *d, const struct ws_proc *proc,
			   const struct ws_postmaster *postmaster, const struct ws_options *options)
{
	struct ws_doctor_server *s;
	struct ws_error err;
	int fd, rc;

	for (size_t i = 0; i < d->server_count; i++) {
		s = &d->servers[i];
		if (s->dev == postmaster->dev && s->ino == postmaster->ino &&
		    s->deleted == postmaster->exe_deleted &&
		    (s->ino || strcmp(s->file, postmaster->exe) == 0))
			return add_process(s, postmaster) ? -1
			       : s->plan.count		  ? cross_check(s, proc, postmaster)
							  : 1;
	}
	s = new_server(d, postmaster->exe);
	if (!s || add_process(s, postmaster))
		return -1;
	s->dev = postmaster->dev;
	s->ino = postmaster->ino;
	s->deleted = postmaster->exe_deleted;
	fd = ws_proc_open_exe(proc, postmaster->process.pid, &err);
	if (fd < 0)
		return ws_problem_add_error(&s->problems, &err, "sudo walscope doctor");
	rc = examine_file(s, fd, options);
	return rc > 0 ? cross_check(s, proc, postmaster) : rc;
}

static int explain_none(struct ws_doctor *d, const struct ws_options *options, unsigned int denied)
{
	struct ws_privileges p;

	/* Which these are, the kernel does not say. The capabilities that would show them are named
	 * by examine_privileges, for root of a container, too. */
	ws_privileges_read(true, false, &p);
	if (denied && !p.list[WS_PRIVILEGE_SYS_PTRACE].have)
		return ws_problem_add(&d->problems, p.root ? "" : "sudo walscope doctor",
				      "no PostgreSQL server%s is seen, and %u process%s may not be "
				      "examined",
				      options->filter.pid ? " with this process" : "", denied,
				      denied == 1 ? "" : "es");
	if (options->filter.pid)
		return ws_problem_add(&d->problems, "walscope doctor shows all servers",
				      "process %u belongs to no PostgreSQL server that can be seen",
				      options->filter.pid);
	return ws_problem_add(&d->problems,
			      "start one, or check a binary with "
			      "walscope doctor --postgres FILE",
			      "no PostgreSQL server is running");
}

static int examine_all(struct ws_doctor *d, const struct ws_options *options)
{
	const struct ws_proc proc = { .root = "/proc" };
	struct ws_server_list list = { 0 };
	struct ws_error err = { 0 };
	unsigned int denied = 0, seen = 0;
	bool all = true;

	if (ws_proc_servers(&proc, &list, &denied, &err))
		return ws_problem_add_error(&d->problems, &err, "mount -t proc proc /proc");
	for (size_t i = 0; i < list.count; i++) {
		int rc;

		if (options->filter.pid && !owns(&list.servers[i], options->filter.pid))
			continue;
		seen++;
		rc = examine_running(d, &proc, &list.servers[i], options);
		if (rc < 0) {
			ws_server_list_deinit(&list);
			return -1;
		}
		all = all && rc > 0;
	}
	ws_server_list_deinit(&list);
	if (!seen)
		return explain_none(d, options, denied);
	return all ? 1 : 0;
}

int ws_examine(const struct ws_options *options, struct ws_doctor *d)
{
	int usable;

	*d = (struct ws_doctor){ 0 };
	ws_kernel_probe(&d->kernel);
	d->privileges.root = geteuid() == 0;
	usable = options->filter.postgres ? examine_named(d, options) : examine_all(d, options);
	if (usable < 0 || examine_privileges(d))
		return -1;
	/* Where "no server is running" may mean that those of the host are not seen. */
	if (ws_kernel_has_other_pids() &&
	    ws_problem_add(&d->problems, WS_KERNEL_PIDS_FIX, "%s", WS_KERNEL_PIDS_WHY))
		return -1;
	/* A kernel that refuses for lack of privileges is one problem, not two. */
	if (d->kernel.problem[0] && !d->problems.count &&
	    ws_problem_add(&d->problems, d->kernel.fix, "%s", d->kernel.problem))
		return -1;
	d->ok = usable > 0 && d->problems.count == 0;
	return 0;
}
