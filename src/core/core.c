/* SPDX-License-Identifier: BSD-2-Clause */
/* Whose memory it is, of which server, and what is where in it. */
#include "core/core.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "core/parts.h"

static const char what[] = "cannot read core";
static const char what_process[] = "cannot read process";

#define PID_MAX 4194304 /* PID_MAX_LIMIT */

const char *ws_core_process_name(enum ws_core_process process)
{
	static const char *const names[] = {
		[WS_CORE_WALSENDER] = "walsender",
		[WS_CORE_BACKEND] = "backend",
		[WS_CORE_POSTMASTER] = "postmaster",
		[WS_CORE_OTHER] = "background process",
	};

	return process < WS_ARRAY_SIZE(names) ? names[process] : NULL;
}

bool ws_core_read(const struct ws_core_impl *impl, uint64_t address, void *out, size_t size)
{
	return ws_memory_get(impl->memory, impl->about.pid, address, out, size);
}

uint64_t ws_core_address(const struct ws_core_impl *impl, const char *name)
{
	const struct ws_image_symbol *symbol = ws_image_symbol(impl->image, name);

	return symbol ? symbol->address : ws_symbol_address(&impl->symbols, name);
}

bool ws_core_variable(const struct ws_core_impl *impl, const char *name, void *out, size_t size)
{
	uint64_t address = ws_core_address(impl, name);

	return address && ws_core_read(impl, impl->base + address, out, size);
}

/* -- the server's file */

static int open_image(struct ws_core_impl *impl, const char *path, struct ws_error *err)
{
	if (impl->image_fd < 0)
		impl->image_fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (impl->image_fd < 0)
		return ws_error_errno(err, errno, "cannot open server binary", path);
	if (ws_image_open(&impl->image, impl->image_fd, path, impl->options->log, err))
		return -1;
	if (!ws_image_server_version(impl->image, impl->version, &impl->major)) {
		if (impl->options->postgres)
			ws_error_set(err, what, path, "it is no PostgreSQL server");
		else
			ws_error_set(err, what, impl->options->file,
				     "it is of %s, which is no PostgreSQL server", path);
		return -1;
	}
	return 0;
}

static int check_file(const struct ws_core_impl *impl, struct ws_error *err)
{
	const char *of_core = impl->dump.build_id, *of_file = ws_image_build_id(impl->image);

	if (ws_image_arch(impl->image) != impl->dump.arch)
		return ws_error_set(err, what, impl->options->file,
				    "it is of another machine than %s", ws_image_path(impl->image));
	if (of_core[0] && of_file[0] && strcmp(of_core, of_file) != 0) {
		ws_error_set(err, what, impl->options->file,
			     "it is of the server with build-id %s, and %s has %s", of_core,
			     ws_image_path(impl->image), of_file);
		return ws_error_fix(err, "--postgres names the file that had run (it was %s)",
				    impl->exe[0] ? impl->exe : "elsewhere");
	}
	return 0;
}

static void warn_unchecked(const struct ws_core_impl *impl)
{
	if (impl->dump.build_id[0] && ws_image_build_id(impl->image)[0])
		return;
	ws_log(impl->options->log, WS_LOG_WARN,
	       "%s does not hold the server's build-id: whether %s is its file was not checked",
	       impl->options->file, ws_image_path(impl->image));
}

static int open_dump(struct ws_core *core, struct ws_core_impl *impl, struct ws_error *err)
{
	const struct ws_core_options *options = impl->options;
	const char *path = options->postgres;
	struct ws_core_dump *dump = &impl->dump;

	if (ws_core_dump_open(dump, options->file, options->log, err))
		return -1;
	impl->memory = &dump->memory;
	snprintf(impl->exe, sizeof(impl->exe), "%s", dump->exe);
	impl->about = (struct ws_process){
		.pid = dump->pid, .ns_pid = dump->pid, .parent = dump->parent, .state = dump->state
	};
	core->wall_ns = dump->wall_ns;
	core->time_ns = (uint64_t)dump->wall_ns;
	core->torn = dump->torn;
	if (!path && (!impl->exe[0] || access(impl->exe, R_OK))) {
		ws_error_set(err, what, options->file, "the server it ran, %s, is not here",
			     impl->exe[0] ? impl->exe : "which is not named in it");
		return ws_error_fix(err, "--postgres FILE names a copy of it");
	}
	if (open_image(impl, path ? path : impl->exe, err) || check_file(impl, err))
		return -1;
	ws_core_dump_set_image(dump, impl->image);
	if (!dump->has_base)
		return ws_error_set(err, what, options->file,
				    dump->torn ? "it is cut off in front of the program's head"
					       : "where the program was loaded is not in it");
	impl->base = dump->base;
	return 0;
}

/* -- a running process */

static int open_process(struct ws_core *core, struct ws_core_impl *impl, struct ws_error *err)
{
	static const struct ws_proc proc = { .root = "/proc" };
	const struct ws_core_options *options = impl->options;
	struct ws_clocks now;
	char where[32], path[64];
	ssize_t len;

	snprintf(where, sizeof(where), "pid %u", options->pid);
	if (!ws_proc_read(&proc, options->pid, &impl->about))
		return ws_error_set(err, what_process, where, "there is no such process");
	impl->image_fd = ws_proc_open_exe(&proc, options->pid, err);
	if (impl->image_fd < 0)
		return -1;
	snprintf(path, sizeof(path), "/proc/%u/exe", options->pid);
	len = readlink(path, impl->exe, sizeof(impl->exe) - 1);
	impl->exe[len > 0 ? len : 0] = '\0';
	if (ws_image_open(&impl->image, impl->image_fd, impl->exe, options->log, err))
		return -1;
	if (!ws_image_server_version(impl->image, impl->version, &impl->major)) {
		ws_error_set(err, what_process, where, "it runs %s, which is no PostgreSQL server",
			     impl->exe);
		return ws_error_fix(err, "walscope slots and sessions --live name walsenders");
	}
	if (!ws_proc_base(&proc, options->pid, &impl->base)) {
		ws_error_set(err, what_process, where,
			     "where its program is loaded cannot be read");
		return ws_error_fix(err, "run as root, or with CAP_SYS_PTRACE");
	}
	ws_clocks_read(&now);
	core->wall_ns = now.wall_ns;
	core->time_ns = now.mono_ns;
	if (options->backtrace &&
	    ws_core_stop_take(&impl->stop, options->pid, ws_image_arch(impl->image), err))
		return -1;
	impl->stopped = options->backtrace;
	return 0;
}

/* -- what is where */

static int resolve(struct ws_core_impl *impl, struct ws_error *err)
{
	const struct ws_debug_options debug_options = { .skip = impl->options->skip,
							.log = impl->options->log };
	struct ws_resolve_options options = { .all = true,
					      .cache_dir = impl->options->cache_dir,
					      .skip = impl->options->skip,
					      .log = impl->options->log };
	struct ws_error ignored;

	impl->debug = ws_debug_new(impl->image, &debug_options);
	if (!impl->debug)
		return ws_error_errno(err, ENOMEM, what, NULL);
	options.debug = impl->debug;
	if (ws_resolve(impl->image, &options, &impl->symbols, err) ||
	    ws_layout_find(impl->image, impl->major, impl->debug, &impl->layout, err))
		return -1;
	/* No probe is planted: what a plan cannot find is no matter here. */
	ws_plan_make(impl->image, &impl->symbols, &impl->layout, impl->major, 2, &impl->plan,
		     &ignored);
	impl->plan.config.server = 1;
	return 0;
}

/* Its own pid, as it knows it: in a container that is not the one the host's tools dumped. */
static int identify(struct ws_core *core, struct ws_core_impl *impl, struct ws_error *err)
{
	const char *where = impl->options->file ? impl->options->file : impl->exe;
	int32_t pid = 0, postmaster = 0;
	uint8_t walsender = 0;
	uint64_t port = 0;

	if (!ws_core_variable(impl, "MyProcPid", &pid, sizeof(pid)) || pid <= 0 || pid > PID_MAX) {
		ws_error_set(err, what, where, "%s",
			     pid ? "its MyProcPid is no process id: it is of another server's file"
				 : "the server's variables are not in it");
		return ws_error_fix(err, "%s",
				    impl->options->file ? "a dump needs private memory: bit 0 of "
							  "/proc/PID/coredump_filter"
							: "walscope doctor says more");
	}
	impl->about.ns_pid = (uint32_t)pid;
	core->pid = impl->about.pid;
	core->ns_pid = (uint32_t)pid;
	core->postmaster_pid = impl->about.parent;
	ws_core_variable(impl, "PostmasterPid", &postmaster, sizeof(postmaster));
	ws_core_variable(impl, "am_walsender", &walsender, sizeof(walsender));
	ws_core_variable(impl, "MyProcPort", &port, sizeof(port));
	if (postmaster > 0 && postmaster == pid)
		core->postmaster_pid = core->pid;
	if (walsender > 1)
		core->torn = true;
	core->process = walsender == 1			      ? WS_CORE_WALSENDER
			: postmaster > 0 && postmaster == pid ? WS_CORE_POSTMASTER
			: port				      ? WS_CORE_BACKEND
							      : WS_CORE_OTHER;
	return 0;
}

static void open_shmem(struct ws_core_impl *impl)
{
	const struct ws_wal none = { .major = impl->major };
	struct ws_error why;
	char line[1024];

	ws_shmem_variables_find(impl->image, &impl->variables);
	if (ws_shmem_open_memory(&impl->shmem, impl->memory, impl->about.pid, impl->base,
				 impl->major, &impl->layout.off, &impl->variables, &why) == 0) {
		/* Else the mapping is known, but the dump has nothing of it. */
		impl->has_shmem = impl->shmem.size != 0;
		impl->has_slots = impl->has_shmem &&
				  ws_slots_read(&impl->shmem, &none, &impl->slots, &why) == 0;
		if (!impl->has_shmem || impl->has_slots)
			return;
	}
	ws_error_format(&why, line, sizeof(line));
	ws_log(impl->options->log, WS_LOG_INFO, "%s", line);
}

int ws_core_tell(struct ws_core *core, struct ws_error *err)
{
	struct ws_core_impl *impl = core->impl;

	if (identify(core, impl, err))
		return -1;
	open_shmem(impl);
	if (ws_core_facts(core) || (core->process != WS_CORE_WALSENDER && ws_core_array(core)) ||
	    ws_core_records(core))
		return ws_error_errno(err, ENOMEM, what, impl->options->file);
	return ws_core_places(core, err);
}

int ws_core_open(struct ws_core **out, const struct ws_core_options *options, struct ws_error *err)
{
	struct ws_core *core = calloc(1, sizeof(*core));
	struct ws_core_impl *impl = calloc(1, sizeof(*impl));

	*out = core;
	if (!core || !impl) {
		free(core);
		free(impl);
		*out = NULL;
		return ws_error_errno(err, ENOMEM, what, options->file);
	}
	core->impl = impl;
	impl->options = options;
	impl->image_fd = -1;
	impl->dump.fd = -1;
	if ((options->file ? open_dump(core, impl, err) : open_process(core, impl, err)) ||
	    resolve(impl, err) || ws_core_tell(core, err)) {
		ws_core_free(core);
		*out = NULL;
		return -1;
	}
	if (options->file)
		warn_unchecked(impl);
	return 0;
}

void ws_core_forget(struct ws_core *core)
{
	struct ws_core_impl *impl = core->impl;

	if (impl->has_view)
		ws_seed_view_deinit(&impl->view);
	for (size_t i = 0; i < core->record_count; i++)
		free(core->records[i]);
	for (size_t i = 0; i < impl->text_count; i++)
		free(impl->texts[i]);
	free(impl->texts);
	free(core->records);
	free(core->facts);
	free(core->places);
	free(core->walsenders);
	ws_slot_list_deinit(&impl->slots);
}

void ws_core_free(struct ws_core *core)
{
	struct ws_core_impl *impl = core ? core->impl : NULL;

	if (!core)
		return;
	ws_core_forget(core);
	ws_symbol_list_deinit(&impl->names);
	ws_plan_deinit(&impl->plan);
	ws_symbol_set_deinit(&impl->symbols);
	ws_debug_free(impl->debug);
	ws_image_free(impl->image);
	if (impl->image_fd >= 0)
		close(impl->image_fd);
	ws_core_stop_deinit(&impl->stop);
	ws_core_dump_close(&impl->dump);
	free(impl);
	free(core);
}
