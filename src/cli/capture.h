/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * capture.h: from the servers of this host into a recording. `record` and the --live of the
 * commands that read recordings.
 */
#ifndef WS_CLI_CAPTURE_H
#define WS_CLI_CAPTURE_H

#include "cli/options.h"
#include "live/live.h"
#include "trace/flight.h"

struct ws_capture_result {
	uint64_t sessions, events, bytes;
	uint64_t lost, untracked;
	uint64_t lost_of[WS_STOP_KINDS]; /* by kind */
	uint64_t unwritten;		 /* records that the disk had no room for */
	uint64_t seconds_ns;
	unsigned int servers;
	size_t segments; /* of a flight recorder's directory, with those of earlier runs */
};

/* Where the records go. */
struct ws_capture_to {
	const char *path;	  /* a file, or ... */
	struct ws_flight *flight; /* ... this, which is not begun yet and stays the caller's */
	const char *shown;	  /* what messages call it */
};

/* The options of a live run that the command line gives. */
void ws_capture_options(const struct ws_options *options, struct ws_live_options *live);

/*
 * Records until the duration is over or a signal comes. The file is created (and an older one
 * truncated) only when tracing has begun. `filtered`: only sessions that match.
 */
int ws_capture_run(const struct ws_options *options, const struct ws_capture_to *to, bool filtered,
		   struct ws_capture_result *result, struct ws_error *err);

#endif
