/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "base/util.h"
#include "cli/cli.h"
#include "cli/replay.h"
#include "trace/freeze.h"

/* A record is a second old at most when it is written, or two where nothing else happens. */
#define CATCH_UP_MS 2100

/* Everything up to now is to be in it. */
static void wait_for_recorder(const struct ws_options *options)
{
	const struct timespec pause = { .tv_sec = CATCH_UP_MS / 1000,
					.tv_nsec = CATCH_UP_MS % 1000 * 1000000L };
	struct ws_reader *reader;
	struct ws_error err;
	bool goes_on;

	if (options->to.kind || ws_reader_open(&reader, options->file, &err))
		return;
	goes_on = ws_reader_goes_on(reader);
	ws_reader_free(reader);
	if (goes_on)
		nanosleep(&pause, NULL);
}

static int check_output(const struct ws_options *options, struct ws_error *err)
{
	struct stat st;

	if (stat(options->output, &st) == 0 && !S_ISREG(st.st_mode))
		return ws_error_set(err, "cannot write recording", options->output,
				    "not a regular file");
	return 0;
}

static int freeze(struct ws_replay *source, struct ws_freeze *f, struct ws_error *err)
{
	const struct ws_options *options = source->options;

	f->path = options->output;
	f->from_ns = source->from_ns;
	f->to_ns = options->to.kind ? source->to_ns : UINT64_MAX;
	f->from_wall_ns = ws_model_wall_ns(source->model, f->from_ns);
	ws_reader_rewind(source->reader);
	ws_reader_narrow(source->reader, &(struct ws_reader_want){ .narrow = false });
	ws_reader_skip_to(source->reader, f->from_ns);
	return ws_freeze_run(f, source->reader, err);
}

enum ws_exit ws_cmd_freeze(const struct ws_options *options, struct ws_error *err)
{
	struct ws_replay source = { .fd = -1 };
	struct ws_freeze f = { 0 };
	enum ws_exit status = WS_EXIT_FAILED;
	char bytes[WS_BYTES_TEXT], time[WS_DURATION_TEXT];
	uint64_t to;

	if (check_output(options, err))
		return WS_EXIT_FAILED;
	wait_for_recorder(options);
	if (ws_replay_open_times(&source, options, err) || freeze(&source, &f, err))
		goto out;
	to = f.to_ns == UINT64_MAX ? source.end_ns : f.to_ns;
	ws_log(&options->log, WS_LOG_NOTE, "%llu records, %s of %s: %s",
	       (unsigned long long)f.records, ws_bytes_format(f.bytes, bytes),
	       ws_duration_format(to > f.from_ns ? to - f.from_ns : 0, time), options->output);
	if (f.lost || f.cut)
		ws_log(&options->log, WS_LOG_WARN, "%s: %llu events are missing%s", options->output,
		       (unsigned long long)f.lost,
		       f.cut ? "; the recording was cut off: it does not end with a stop" : "");
	status = f.lost || f.cut ? WS_EXIT_LOSS : WS_EXIT_DONE;
out:
	ws_replay_deinit(&source);
	return status;
}
