/* SPDX-License-Identifier: BSD-2-Clause */
#include "import/import.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "import/lines.h"
#include "import/log.h"
#include "import/parts.h"

#define GIVE_UP_AFTER 1000 /* bad lines, if none was good */

const char *ws_import_format_name(enum ws_import_format format)
{
	static const char *const names[WS_IMPORT_FORMAT_COUNT] = {
		[WS_IMPORT_AUTO] = "auto",
		[WS_IMPORT_EVENTS] = "events",
		[WS_IMPORT_CSVLOG] = "csvlog",
		[WS_IMPORT_JSONLOG] = "jsonlog",
	};

	return (unsigned int)format < WS_IMPORT_FORMAT_COUNT ? names[format] : NULL;
}

/* One import. */
struct run {
	const struct ws_import_options *options;
	struct ws_import_result *result;
	const char *name; /* of the input that is read */
	struct ws_lines *lines;
	struct ws_events *events;
	struct ws_log_reader *log;
	/* What is bad in front of the first line that is understood, one string after the other. If
	 * there is none, the failure says all. */
	struct ws_buf held;
};

static void complain(struct run *run, const char *why)
{
	char text[2 * WS_IMPORT_WHY], line[4 * WS_IMPORT_WHY];

	ws_text_escape(why, strlen(why), text, sizeof(text));
	snprintf(line, sizeof(line), "%s:%llu: %s", run->name,
		 (unsigned long long)ws_lines_first(run->lines), text);
	/* Without memory for it, it is said at once. */
	if (run->result->lines || ws_buf_add(&run->held, line, strlen(line) + 1))
		ws_log(run->options->log, WS_LOG_WARN, "%s", line);
}

static void say_held(struct run *run)
{
	for (size_t at = 0; at < run->held.len; at += strlen(run->held.data + at) + 1)
		ws_log(run->options->log, WS_LOG_WARN, "%s", run->held.data + at);
	ws_buf_clear(&run->held);
}

/* An object of ours says which event it is, one of a log how severe; a row begins with a date.
 * AUTO: the line, which may be torn, does not tell. */
static enum ws_import_format format_of(const char *line, size_t len)
{
	while (len && (*line == ' ' || *line == '\t')) {
		line++;
		len--;
	}
	if (len && isdigit((unsigned char)*line))
		return WS_IMPORT_CSVLOG;
	if (!len || *line != '{')
		return WS_IMPORT_AUTO;
	if (memmem(line, len, "\"error_severity\"", strlen("\"error_severity\"")))
		return WS_IMPORT_JSONLOG;
	return memmem(line, len, "\"event\"", strlen("\"event\"")) ? WS_IMPORT_EVENTS
								   : WS_IMPORT_AUTO;
}

static bool is_blank(const char *line, size_t len)
{
	while (len && strchr(" \t\r\n", line[len - 1]))
		len--;
	return len == 0;
}

/* Returns 1 if it was taken, 0 if it is bad, -1 if no more can be. */
static int take(struct run *run, const char *line, size_t len)
{
	char why[WS_IMPORT_WHY] = "";
	int rc = 0;

	if (!run->events && !run->log)
		snprintf(why, sizeof(why), "neither an event nor an entry of a log");
	else if (run->events)
		rc = ws_events_line(run->events, line, len, why);
	else
		rc = ws_log_entry_take(run->log, line, len, why);
	if (rc == 0)
		complain(run, why);
	return rc;
}

static int begin(struct run *run, struct ws_sink sink, const char *line, size_t len)
{
	struct ws_import_result *result = run->result;

	result->format = run->options->format;
	if (!result->format)
		result->format = format_of(line, len);
	if (!result->format)
		return 0;
	if (result->format == WS_IMPORT_EVENTS) {
		run->events = ws_events_new(sink);
		return run->events ? 0 : -1;
	}
	/* A server may have changed its log_destination in between. */
	run->log = ws_log_reader_new(run->options->format, sink);
	return run->log ? 0 : -1;
}

static int end(struct run *run)
{
	if (run->events) {
		run->result->stopped = ws_events_stopped(run->events);
		return ws_events_end(run->events);
	}
	run->result->stopped = true;
	run->result->zone_taken = run->log && ws_log_reader_zone(run->log, run->result->zone);
	return run->log ? ws_log_reader_end(run->log) : 0;
}

struct counted {
	struct ws_sink sink;
	uint64_t *records;
};

static int count(void *arg, const struct ws_rec *rec)
{
	struct counted *counted = arg;

	++*counted->records;
	return counted->sink.fn(counted->sink.arg, rec);
}

/* Is there nothing in it that is understood? */
static bool hopeless(const struct ws_import_result *result)
{
	return !result->lines && result->bad >= GIVE_UP_AFTER;
}

static int read_input(struct run *run, struct ws_sink sink, struct ws_error *err)
{
	struct ws_import_result *result = run->result;
	const char *line;
	size_t len;
	int rc = 0;

	while (!hopeless(result) && (rc = ws_lines_next(run->lines, &line, &len)) > 0) {
		if (rc == 2) {
			result->bad++;
			complain(run, "the line is too long");
			continue;
		}
		if (is_blank(line, len))
			continue;
		if (!run->events && !run->log && begin(run, sink, line, len))
			return ws_error_errno(err, ENOMEM, "cannot import", run->name);
		rc = take(run, line, len);
		if (rc < 0)
			return -1;
		*(rc ? &result->lines : &result->bad) += 1;
		if (rc)
			say_held(run);
		if (!rc)
			ws_lines_give_up(run->lines);
	}
	return rc < 0 ? ws_error_errno(err, errno, "cannot read", run->name) : 0;
}

static int read_all(struct run *run, const struct ws_import_inputs *inputs, struct ws_sink sink,
		    struct ws_error *err)
{
	struct ws_import_result *result = run->result;
	int rc = 0;

	for (size_t i = 0; i < inputs->count && rc == 0 && !hopeless(result); i++) {
		run->name = inputs->list[i].name;
		run->lines = ws_lines_new(inputs->list[i].in);
		if (!run->lines)
			return ws_error_errno(err, ENOMEM, "cannot import", run->name);
		rc = read_input(run, sink, err);
		ws_lines_free(run->lines);
	}
	if (rc || end(run))
		return -1;
	if (result->lines)
		return 0;
	ws_error_set(err, "cannot import", run->name, "%s",
		     result->bad ? "nothing in it is understood" : "it is empty");
	return ws_error_fix(err, "it takes what walscope trace --json writes, a csvlog or a "
				 "jsonlog");
}

int ws_import_run(const struct ws_import_inputs *inputs, const struct ws_import_options *options,
		  struct ws_sink sink, struct ws_import_result *result, struct ws_error *err)
{
	struct counted counted = { sink, &result->records };
	struct run run = { .options = options, .result = result };
	int rc;

	*result = (struct ws_import_result){ 0 };
	*err = (struct ws_error){ 0 };
	rc = read_all(&run, inputs, (struct ws_sink){ count, &counted }, err);
	ws_events_free(run.events);
	ws_log_reader_free(run.log);
	ws_buf_deinit(&run.held);
	return rc;
}
