/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_import.c: what was told elsewhere becomes a recording. The recording is begun with the first
 * record: a file of which nothing is understood replaces none.
 */
#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "cli/cli.h"
#include "trace/trace.h"

struct import {
	const struct ws_options *options;
	struct ws_import_inputs inputs;
	char name[512]; /* of all of them, in messages */
	struct ws_writer *writer;
	struct ws_error err; /* of the writer */
	bool failed;
};

static int begin(struct import *import, const struct ws_rec *rec)
{
	struct ws_trace_info info = {
		.ticks_per_s = 100,
		.start_mono_ns = rec->time_ns,
		.version = WS_VERSION,
	};
	const struct ws_rec_clock *clock = (const void *)rec;

	if (rec->kind == WS_KIND_CLOCK && rec->size >= sizeof(*clock))
		info.start_wall_ns = clock->wall_ns;
	if (ws_writer_new(&import->writer, import->options->output, &info, &import->err))
		return -1;
	ws_writer_set_log(import->writer, &import->options->log, import->options->output);
	return 0;
}

static int write_record(void *arg, const struct ws_rec *rec)
{
	struct import *import = arg;

	if (import->writer || begin(import, rec) == 0)
		if (ws_writer_add(import->writer, rec, &import->err) == 0)
			return 0;
	import->failed = true;
	return -1;
}

/* An offset has its own spelling in TZ, and there the sign says how far west. */
static bool set_timezone(const char *zone)
{
	char text[64], file[256];
	int hours, minutes;

	if ((zone[0] == '+' || zone[0] == '-') && strlen(zone) == 6 &&
	    isdigit((unsigned char)zone[1]) && sscanf(zone + 1, "%2d:%2d", &hours, &minutes) == 2 &&
	    hours < 16 && minutes < 60)
		snprintf(text, sizeof(text), "<%.3s%s>%c%02d:%02d", zone, zone + 4,
			 zone[0] == '+' ? '-' : '+', hours, minutes);
	else
		snprintf(text, sizeof(text), "%s", zone);
	snprintf(file, sizeof(file), "/usr/share/zoneinfo/%s", zone);
	if (text[0] != '<' &&
	    (strlen(zone) >= sizeof(text) || strstr(zone, "..") || access(file, R_OK) != 0))
		return false;
	if (setenv("TZ", text, 1))
		return false;
	tzset();
	return true;
}

/* What became of it: a note, and the exit status. */
static enum ws_exit verdict(const struct import *import, const struct ws_import_result *r)
{
	const struct ws_options *options = import->options;
	bool logged = r->format != WS_IMPORT_EVENTS;

	ws_log(&options->log, WS_LOG_NOTE, "%s: %llu %s of %s, %llu records", options->output,
	       (unsigned long long)r->lines, logged ? "entries" : "lines",
	       ws_import_format_name(r->format), (unsigned long long)r->records);
	if (r->zone_taken)
		ws_log(&options->log, WS_LOG_NOTE,
		       "%s: its times are of the zone %s, taken for that of %s (--timezone)",
		       import->name, r->zone,
		       options->timezone ? options->timezone : "this system");
	if (r->bad)
		ws_log(&options->log, WS_LOG_WARN, "%s: %llu %s could not be understood",
		       import->name, (unsigned long long)r->bad, logged ? "entries" : "lines");
	if (!r->stopped)
		ws_log(&options->log, WS_LOG_WARN,
		       "%s: it does not end with a stop event: it was cut off", import->name);
	return r->bad || !r->stopped ? WS_EXIT_LOSS : WS_EXIT_DONE;
}

/* Ctrl-C is told to all of a pipeline: whoever writes into the pipe ends it in good order, and its
 * end is ours. */
static void leave_the_end_to_the_writer(FILE *in)
{
	struct stat st;

	if (fstat(fileno(in), &st) == 0 && S_ISFIFO(st.st_mode))
		signal(SIGINT, SIG_IGN);
}

/* Replacing what is read would end it. */
static bool is_output(const struct ws_options *options, FILE *in)
{
	struct stat input;

	return fstat(fileno(in), &input) == 0 && ws_path_is(options->output, &input);
}

static int check_inputs(const struct import *import, struct ws_error *err)
{
	for (size_t i = 0; i < import->inputs.count; i++) {
		const struct ws_import_input *input = &import->inputs.list[i];

		if (is_output(import->options, input->in)) {
			ws_error_set(err, "cannot import", input->name,
				     "it is the recording to write");
			return ws_error_fix(err, "-o names another file");
		}
		leave_the_end_to_the_writer(input->in);
	}
	return 0;
}

static enum ws_exit run(struct import *import, struct ws_error *err)
{
	const struct ws_options *options = import->options;
	const struct ws_import_options import_options = {
		.format = options->format,
		.log = &options->log,
	};
	struct ws_sink sink = { .fn = write_record, .arg = import };
	struct ws_import_result result;
	int rc;

	rc = ws_import_run(&import->inputs, &import_options, sink, &result, err);
	if (import->writer) {
		int ended = ws_writer_end(import->writer, &import->err);
		bool missing = ws_writer_missing(import->writer) != 0;

		if (ws_writer_close(import->writer, ended ? NULL : &import->err) || ended)
			import->failed = true;
		else if (missing && !import->failed)
			import->failed = ws_error_set(&import->err, "cannot write recording",
						      options->output, "no room for all of it");
	}
	if (import->failed)
		*err = import->err;
	else if (rc && !err->what[0])
		ws_error_errno(err, ENOMEM, "cannot import", import->name);
	return rc || import->failed ? WS_EXIT_FAILED : verdict(import, &result);
}

enum ws_exit ws_cmd_import(const struct ws_options *options, struct ws_error *err)
{
	struct import import = { .options = options };
	enum ws_exit status = WS_EXIT_FAILED;

	if (options->timezone && !set_timezone(options->timezone)) {
		ws_error_set(err, "usage", NULL, "--timezone %s: no zone of that name",
			     options->timezone);
		ws_error_fix(err, "as Europe/Vienna or +02:00");
		return WS_EXIT_USAGE;
	}
	if (options->file_count > 1)
		snprintf(import.name, sizeof(import.name), "%s and %zu more", options->file,
			 options->file_count - 1);
	else
		snprintf(import.name, sizeof(import.name), "%s", options->file);
	if (ws_import_inputs_open(&import.inputs, options->files, options->file_count, err) == 0 &&
	    check_inputs(&import, err) == 0)
		status = run(&import, err);
	ws_import_inputs_close(&import.inputs);
	return status;
}
