/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "cli/capture.h"
#include "cli/cli.h"
#include "event/schema.h"
#include "trace/trace.h"

static const char what[] = "cannot write recording";

/*
 * Can the recording be written, and is it nothing that must not be overwritten? An older recording
 * is replaced, but not before tracing has begun. *is_new: there is no such file, and until then
 * there is none: nothing is left behind whatever ends us.
 */
static int check_output(const char *path, bool *is_new, struct ws_error *err)
{
	ws_autoclose int fd = -1;
	struct stat st;

	*is_new = false;
	fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	if (fd < 0 && errno == ENOENT) {
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		*is_new = fd >= 0;
		if (*is_new)
			unlink(path);
	}
	if (fd < 0 && errno == EEXIST) /* by now, or a link to nothing, which is not followed */
		return ws_error_set(err, what, path,
				    "it is a link to a file that is not there; name that file");
	if (fd < 0 && errno == ENXIO) /* a FIFO that nobody reads, a socket */
		return ws_error_set(err, what, path, "not a regular file");
	if (fd < 0)
		return ws_error_errno(err, errno, what, path);
	if (fstat(fd, &st))
		return ws_error_errno(err, errno, what, path);
	if (!S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode))
		return ws_error_set(err, what, path, "not a regular file");
	return S_ISREG(st.st_mode) ? ws_writer_lock(fd, path, err) : 0;
}

/* Which kinds: a lost turn is a moment, a lost command is a command. */
static void warn_lost(const struct ws_options *options, const struct ws_capture_result *r)
{
	char kinds[512] = "";
	size_t len = 0;

	for (uint16_t kind = 0; kind < WS_STOP_KINDS; kind++) {
		const struct ws_kind_info *info = ws_kind_info(kind);

		if (r->lost_of[kind] && len < sizeof(kinds))
			len += (size_t)snprintf(kinds + len, sizeof(kinds) - len, "%s %llu %s",
						len ? "," : ":",
						(unsigned long long)r->lost_of[kind],
						info ? info->name : "unknown");
	}
	ws_log(&options->log, WS_LOG_WARN,
	       "%llu events are missing%s; a larger --ring or a lower --level may help",
	       (unsigned long long)r->lost, kinds);
}

static void summarize(const struct ws_options *options, const struct ws_capture_result *r)
{
	char bytes[WS_BYTES_TEXT], time[WS_DURATION_TEXT];

	ws_log(&options->log, WS_LOG_NOTE, "%llu session%s, %llu events, %llu lost, %s in %s: %s",
	       (unsigned long long)r->sessions, r->sessions == 1 ? "" : "s",
	       (unsigned long long)r->events, (unsigned long long)r->lost,
	       ws_bytes_format(r->bytes, bytes), ws_duration_format(r->seconds_ns, time),
	       options->output);
	if (r->untracked)
		ws_log(&options->log, WS_LOG_WARN, "%llu sessions not traced: too many at once",
		       (unsigned long long)r->untracked);
	if (r->unwritten)
		ws_log(&options->log, WS_LOG_WARN, "%llu records were not written: no room",
		       (unsigned long long)r->unwritten);
	if (r->lost)
		warn_lost(options, r);
	if (!r->servers)
		ws_log(&options->log, WS_LOG_WARN,
		       "no PostgreSQL server was seen; walscope doctor says what it looks for");
}

static enum ws_exit verdict(const struct ws_options *options, const struct ws_capture_result *r)
{
	summarize(options, r);
	return r->lost || r->untracked || r->unwritten ? WS_EXIT_LOSS : WS_EXIT_DONE;
}

/* Into a directory, of which the oldest part goes. */
static enum ws_exit record_flight(const struct ws_options *options, struct ws_error *err)
{
	const struct ws_flight_options flight = {
		.dir = options->output,
		.size = options->flight_bytes,
		.age_ns = options->flight_age_ns,
		.log = &options->log,
	};
	struct ws_capture_to to = { .shown = options->output };
	struct ws_capture_result result;
	int rc;

	if (ws_flight_new(&to.flight, &flight, err))
		return WS_EXIT_FAILED;
	rc = ws_capture_run(options, &to, true, &result, err);
	if (ws_flight_close(to.flight, rc ? NULL : err))
		rc = -1;
	return rc ? WS_EXIT_FAILED : verdict(options, &result);
}

enum ws_exit ws_cmd_record(const struct ws_options *options, struct ws_error *err)
{
	const struct ws_capture_to to = { .path = options->output, .shown = options->output };
	struct ws_capture_result result;
	struct stat st;
	bool is_new;

	if (options->flight_bytes)
		return record_flight(options, err);
	if (check_output(options->output, &is_new, err))
		return WS_EXIT_FAILED;
	if (ws_capture_run(options, &to, true, &result, err)) {
		/* Nothing was recorded: leave nothing behind. */
		if (is_new && stat(options->output, &st) == 0 && st.st_size == 0)
			unlink(options->output);
		return WS_EXIT_FAILED;
	}
	return verdict(options, &result);
}
