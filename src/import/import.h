/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * import.h: what was told elsewhere, as records: the JSON lines of `walscope trace --json` (and of
 * whoever writes the same, as the gdb backend), and the logs of a server (csvlog, jsonlog).
 *
 * The input is hostile: what cannot be understood is named by its line and counted, and what comes
 * behind it is taken all the same. What the input does not say is not made up: fields stay unknown.
 */
#ifndef WS_IMPORT_IMPORT_H
#define WS_IMPORT_IMPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "base/log.h"
#include "event/order.h"
#include "import/inputs.h"

enum ws_import_format {
	WS_IMPORT_AUTO = 0, /* by the content */
	WS_IMPORT_EVENTS,   /* trace --json */
	WS_IMPORT_CSVLOG,
	WS_IMPORT_JSONLOG,
	WS_IMPORT_FORMAT_COUNT,
};
const char *ws_import_format_name(enum ws_import_format format); /* "csvlog" */

struct ws_import_options {
	enum ws_import_format format;
	const struct ws_log *log;
};

struct ws_import_result {
	enum ws_import_format format; /* that it was, of its first line */
	uint64_t lines;		      /* lines, or entries of a log, that were taken */
	uint64_t bad;		      /* that could not be understood */
	uint64_t records;	      /* made of them */
	bool stopped;		      /* the input says that it ended in good order */
	bool zone_taken;	      /* times of a log were taken for those of the local zone */
	char zone[32];		      /* as the log names it */
};

/*
 * Reads all of the inputs, at least one, as if they were one, and hands records to the sink.
 * Returns 0, or -1 with err filled: one cannot be read, memory ran out, nothing of them is
 * understood, or the sink failed (err is the sink's business then, and may be empty).
 */
int ws_import_run(const struct ws_import_inputs *inputs, const struct ws_import_options *options,
		  struct ws_sink sink, struct ws_import_result *result, struct ws_error *err);

#endif
