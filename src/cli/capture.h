/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * capture.h: from the servers of this host into a recording. `record` and the --live of the
 * commands that read recordings.
 */
#ifndef WS_CLI_CAPTURE_H
#define WS_CLI_CAPTURE_H

#include "cli/options.h"
#include "live/live.h"

struct ws_capture_result {
	uint64_t sessions, events, bytes;
	uint64_t lost, untracked;
	uint64_t lost_of[WS_STOP_KINDS]; /* by kind */
	uint64_t unwritten;		 /* records that the disk had no room for */
	uint64_t seconds_ns;
	unsigned int servers;
};

/* The options of a live run that the command line gives. */
void ws_capture_options(const struct ws_options *options, struct ws_live_options *live);

/*
 * Records into `path` until the duration is over or a signal comes. The file is created (and an
 * older one truncated) only when tracing has begun. `shown` is what messages call it. `filtered`:
 * only sessions that match.
 */
int ws_capture_run(const struct ws_options *options, const char *path, const char *shown,
		   bool filtered, struct ws_capture_result *result, struct ws_error *err);

#endif
