/* SPDX-License-Identifier: BSD-2-Clause */
/* walscope slots: each server's shared memory is read once, and what is not in it, from its
 * processes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "cli/cli.h"
#include "cli/holders.h"
#include "cli/view.h"
#include "layout/layout.h"
#include "probe/decoding.h"
#include "probe/privileges.h"
#include "session/redact.h"

static const char what[] = "cannot list replication slots";

/* A server binary, examined once for all servers that run it. */
struct binary {
	dev_t dev;
	ino_t ino;
	struct ws_layout layout;
	struct ws_shmem_variables var;
	struct ws_decoding_binary decoding;
	char version[WS_VERSION_TEXT];
	int major;
};

struct run {
	const struct ws_options *options;
	struct ws_proc proc;
	struct ws_export ex;
	struct binary *binaries;
	size_t binary_count, binary_cap;
	size_t servers, read; /* that match; that could be read */
};

static int examine(struct run *run, const struct ws_postmaster *postmaster, struct ws_image *image,
		   struct binary *binary, struct ws_error *err)
{
	char root[64];
	const struct ws_debug_options debug_options = {
		.skip = WS_STEP_BIT(WS_STEP_DEBUGINFOD), /* not worth a download */
		.root = root,
		.log = &run->options->log,
	};
	const struct ws_image_symbol *symbol;
	struct ws_debug *debug;
	int rc;

	if (!ws_image_server_version(image, binary->version, &binary->major))
		return ws_error_set(err, what, postmaster->exe,
				    "it holds no PostgreSQL version string");
	snprintf(root, sizeof(root), "%s/%u/root", run->proc.root, postmaster->process.pid);
	debug = ws_debug_new(image, &debug_options);
	if (!debug)
		return ws_error_errno(err, ENOMEM, what, postmaster->exe);
	rc = ws_layout_find(image, binary->major, debug, &binary->layout, err);
	ws_debug_free(debug);
	ws_shmem_variables_find(image, &binary->var);
	symbol = ws_image_symbol(image, "MyReplicationSlot");
	if (symbol && !symbol->is_function)
		binary->decoding.my_replication_slot = symbol->address;
	ws_decoding_range(image, &binary->decoding.data_start, &binary->decoding.data_end);
	return rc;
}

static int open_binary(struct run *run, const struct ws_postmaster *postmaster,
		       struct binary *binary, struct ws_error *err)
{
	struct ws_image *image;
	int fd, rc;

	fd = ws_proc_open_exe(&run->proc, postmaster->process.pid, err);
	if (fd < 0)
		return -1;
	rc = ws_image_open(&image, fd, postmaster->exe, &run->options->log, err);
	close(fd);
	if (rc)
		return -1;
	rc = examine(run, postmaster, image, binary, err);
	ws_image_free(image);
	return rc;
}

static const struct binary *find_binary(struct run *run, const struct ws_postmaster *postmaster,
					struct ws_error *err)
{
	struct binary found = { .dev = postmaster->dev, .ino = postmaster->ino }, *binary;

	for (size_t i = 0; i < run->binary_count; i++) {
		binary = &run->binaries[i];
		if (binary->ino && binary->dev == found.dev && binary->ino == found.ino)
			return binary;
	}
	if (open_binary(run, postmaster, &found, err))
		return NULL;
	binary = ws_array_grow(&run->binaries, &run->binary_count, &run->binary_cap,
			       sizeof(*binary));
	if (!binary) {
		ws_error_errno(err, ENOMEM, what, postmaster->exe);
		return NULL;
	}
	*binary = found;
	return binary;
}

static bool is_wanted(const struct ws_filter *filter, const struct ws_postmaster *postmaster)
{
	return (!filter->postmaster_pid || filter->postmaster_pid == postmaster->process.pid) &&
	       (!filter->datadir || ws_postmaster_has_datadir(postmaster, filter->datadir)) &&
	       (!filter->postgres || ws_postmaster_runs(postmaster, filter->postgres));
}

/* A statement is all that may hold literals; it may have been cut. */
static int redact(struct ws_holder *h)
{
	struct ws_literals literals = { 0 };
	struct ws_buf text = { 0 };
	size_t len = strlen(h->query);
	int rc = ws_redact_command(h->query, len, len < sizeof(h->query) - 1, &text, &literals);

	if (rc == 0)
		snprintf(h->query, sizeof(h->query), "%.*s", (int)text.len,
			 text.data ? text.data : "");
	ws_literals_deinit(&literals);
	ws_buf_deinit(&text);
	return rc;
}

static int show(struct run *run, const struct binary *binary, const struct ws_shmem *shmem,
		const struct ws_slot_list *list, struct ws_slots_report *report,
		struct ws_error *err)
{
	const char *wanted = run->options->filter.slot;
	struct ws_slot_row *rows = calloc(list->count + 1, sizeof(*rows));
	int rc = 0;

	if (!rows)
		return ws_error_errno(err, ENOMEM, what, NULL);
	for (size_t i = 0; i < list->count && rc == 0; i++) {
		if (wanted && strcmp(list->slots[i].name, wanted) != 0)
			continue;
		rows[report->count].slot = &list->slots[i];
		ws_holder_find(shmem, &run->proc, report->postmaster, &rows[report->count]);
		ws_holder_find_oldest(shmem, report->postmaster, &binary->decoding,
				      &rows[report->count]);
		if (run->options->redact)
			rc = redact(&rows[report->count].holder);
		report->count++;
	}
	if (rc) {
		free(rows);
		return ws_error_errno(err, ENOMEM, what, NULL);
	}
	report->rows = rows;
	errno = 0;
	rc = ws_export_slots(&run->ex, report);
	if (rc)
		ws_view_output_failed(err);
	free(rows);
	return rc;
}

/* Returns 1 if it was shown, 0 if it cannot be read (err says why), -1 if nothing more can be
 * shown. */
static int one_server(struct run *run, const struct ws_postmaster *postmaster, struct ws_error *err)
{
	const struct binary *binary = find_binary(run, postmaster, err);
	struct ws_slots_report report = { .postmaster = postmaster };
	struct ws_slot_list list = { 0 };
	struct ws_shmem shmem;
	int rc;

	if (!binary || ws_shmem_open(&shmem, postmaster->process.pid, postmaster->base,
				     binary->major, &binary->layout.off, &binary->var, err))
		return 0;
	ws_wal_read(&shmem, &report.wal);
	if (ws_slots_read(&shmem, &report.wal, &list, err))
		return 0;
	ws_horizon_read(&shmem, &run->proc, postmaster, &list, &report.horizon);
	report.version = binary->version;
	report.max_slots = list.max;
	rc = show(run, binary, &shmem, &list, &report, err);
	ws_slot_list_deinit(&list);
	return rc ? -1 : 1;
}

static int fail_none(const struct run *run, unsigned int denied, struct ws_error *err)
{
	const struct ws_filter *filter = &run->options->filter;

	if (denied) {
		ws_error_set(err, what, NULL, "%u process%s may not be examined", denied,
			     denied == 1 ? "" : "es");
		return ws_error_fix(err, "run as root, or with CAP_SYS_PTRACE");
	}
	return ws_error_set(err, what, NULL,
			    filter->postmaster_pid || filter->datadir || filter->postgres
				    ? "no such PostgreSQL server is running"
				    : "no PostgreSQL server is running");
}

/* A server that cannot be read is told of, and the others are shown. */
static int all_servers(struct run *run, struct ws_error *err)
{
	struct ws_server_list list = { 0 };
	struct ws_error why = { 0 };
	unsigned int denied = 0;
	char line[1200];
	int rc = 0;

	if (ws_proc_servers(&run->proc, &list, &denied, err))
		return -1;
	for (size_t i = 0; i < list.count && rc >= 0; i++) {
		if (!is_wanted(&run->options->filter, &list.servers[i]))
			continue;
		if (why.what[0]) {
			ws_error_format(&why, line, sizeof(line));
			ws_log(&run->options->log, WS_LOG_WARN, "%s", line);
			why = (struct ws_error){ 0 };
		}
		run->servers++;
		rc = one_server(run, &list.servers[i], &why);
		run->read += rc > 0;
	}
	ws_server_list_deinit(&list);
	if (why.what[0])
		*err = why;
	if (!run->servers)
		return fail_none(run, denied, err);
	return rc < 0 || run->read < run->servers ? -1 : 0;
}

enum ws_exit ws_cmd_slots(const struct ws_options *options, struct ws_error *err)
{
	struct run run = { .options = options, .proc = { .root = "/proc" } };
	struct ws_export_options export_options = { 0 };
	enum ws_exit status = WS_EXIT_FAILED;

	ws_view_screen(options, &export_options);
	if (ws_export_begin(&run.ex, ws_view_format(options), WS_VIEW_SLOTS, &export_options))
		status = ws_view_output_failed(err);
	else if (all_servers(&run, err) == 0)
		status = ws_export_end(&run.ex) || fflush(stdout) ? ws_view_output_failed(err)
								  : WS_EXIT_DONE;
	ws_export_release(&run.ex);
	free(run.binaries);
	return status;
}
