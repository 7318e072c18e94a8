/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/util.h"
#include "cli/cli.h"
#include "cli/view.h"
#include "export/symbols.h"

/* What is known of one file. */
struct run {
	const struct ws_options *options;
	struct ws_image *image;
	struct ws_debug *debug;
	struct ws_symbol_set set;
	struct ws_symbol_list list;
	struct ws_symbol_row *rows;
	struct ws_symbol_report report;
	char version[WS_VERSION_TEXT];
};

static int open_image(struct run *run, struct ws_error *err)
{
	const char *file = run->options->file;
	/* O_NONBLOCK: a FIFO is refused, not waited for. */
	ws_autoclose int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return ws_error_errno(err, errno, "cannot open server binary", file);
	if (ws_image_open(&run->image, fd, file, &run->options->log, err))
		return -1;
	if (ws_image_server_version(run->image, run->version, &run->report.major))
		return 0;
	ws_error_set(err, "no symbols to look for", file,
		     "it is no PostgreSQL server of version 10 or later");
	return ws_error_fix(err, "name a server binary, as /usr/lib/postgresql/15/bin/postgres");
}

static int resolve(struct run *run, struct ws_error *err)
{
	const struct ws_options *options = run->options;
	const struct ws_debug_options debug_options = {
		.skip = options->skip,
		.progress = !options->quiet && isatty(STDERR_FILENO),
		.log = &options->log,
	};
	struct ws_resolve_options resolve_options = { .log = &options->log };
	/* A symbol file has all names, and for those of a debug file it has to be read. */
	bool everything = options->all || options->elf;
	char cache[512];

	run->debug = ws_debug_new(run->image, &debug_options);
	if (!run->debug)
		return ws_error_errno(err, ENOMEM, "cannot resolve symbols", options->file);
	resolve_options.debug = run->debug;
	resolve_options.all = everything;
	/* Who asks for the steps wants to see them taken. */
	if (!everything && !options->verbose)
		resolve_options.cache_dir = ws_cache_folder(cache, sizeof(cache));
	if (ws_resolve(run->image, &resolve_options, &run->set, err))
		return -1;
	return ws_symbol_list_make(run->image, run->debug, &run->set, everything, &run->list, err);
}

/* The names the project wants, or all. */
static bool is_shown(const struct run *run, const struct ws_symbol *symbol)
{
	const struct ws_symbol *wanted;

	if (run->options->all)
		return true;
	wanted = ws_symbol_find(&run->set, symbol->name);
	return wanted && wanted->address == symbol->address;
}

static int make_rows(struct run *run, struct ws_error *err)
{
	run->rows = calloc(run->list.count + 1, sizeof(*run->rows));
	if (!run->rows)
		return ws_error_errno(err, ENOMEM, "cannot list symbols", run->options->file);
	for (size_t i = 0; i < run->list.count; i++) {
		const struct ws_symbol *symbol = &run->list.symbols[i];
		struct ws_symbol_row *row = &run->rows[run->report.count];

		if (!is_shown(run, symbol))
			continue;
		run->report.count++;
		row->symbol = symbol;
		if (symbol->status != WS_SYMBOL_FOUND)
			continue;
		row->has_offset = ws_image_offset(run->image, symbol->address, &row->offset);
		if (!symbol->is_variable)
			ws_entry_site_find(run->image, symbol->name, symbol->address, symbol->size,
					   &row->site);
	}
	return 0;
}

static enum ws_exit print(struct run *run, struct ws_error *err)
{
	struct ws_export_options export_options = { 0 };
	enum ws_exit status = WS_EXIT_DONE;
	struct ws_export ex = { 0 };

	run->report.file = run->options->file;
	run->report.build_id = ws_image_build_id(run->image);
	run->report.arch = ws_image_arch_name(ws_image_arch(run->image));
	run->report.version = run->version;
	run->report.stripped = ws_image_is_stripped(run->image);
	run->report.set = &run->set;
	run->report.rows = run->rows;
	ws_view_screen(run->options, &export_options);
	errno = 0;
	if (ws_export_begin(&ex, ws_view_format(run->options), WS_VIEW_SYMBOLS, &export_options) ||
	    ws_export_symbols(&ex, &run->report) || ws_export_end(&ex) || fflush(stdout))
		status = ws_view_output_failed(err);
	ws_export_release(&ex);
	return status;
}

/* A major without a layout has symbols all the same. */
static int write_elf(struct run *run, struct ws_error *err)
{
	struct ws_layout layout;
	struct ws_error none = { 0 };
	bool known = ws_layout_find(run->image, run->report.major, run->debug, &layout, &none) == 0;

	return ws_symbol_file_write(run->options->elf, run->image, run->list.symbols,
				    run->list.count, known ? &layout : NULL, err);
}

enum ws_exit ws_cmd_symbols(const struct ws_options *options, struct ws_error *err)
{
	struct run run = { .options = options };
	enum ws_exit status = WS_EXIT_FAILED;

	if (open_image(&run, err) == 0 && resolve(&run, err) == 0 && make_rows(&run, err) == 0 &&
	    (!options->elf || write_elf(&run, err) == 0))
		status = print(&run, err);
	free(run.rows);
	ws_symbol_list_deinit(&run.list);
	ws_symbol_set_deinit(&run.set);
	ws_debug_free(run.debug);
	ws_image_free(run.image);
	return status;
}
