/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * live.h: from the servers of this host to a stream of records: finds them, resolves, plans,
 * attaches, seeds walsenders that already run, drains the ring buffer, follows servers that come
 * and go.
 */
#ifndef WS_LIVE_LIVE_H
#define WS_LIVE_LIVE_H

#include <signal.h>

#include "base/log.h"
#include "event/order.h"
#include "probe/attach.h"
#include "trace/trace.h"

struct ws_live_options {
	int level;	      /* 1 to 3 */
	uint64_t duration_ns; /* 0: until *stop */
	size_t ring_bytes;    /* 0: the default */
	enum ws_attach_method method;
	bool no_debug_info;
	bool no_cache;		 /* do not use the cache of resolved symbols */
	uint32_t postmaster_pid; /* 0: all */
	const char *datadir;	 /* NULL: all */
	const char *postgres;	 /* a server binary; NULL: all */
	bool redact;		 /* no literals, see live/redact.h */
	uint32_t pid;		 /* only this walsender's server is attached, 0: all */
	const volatile sig_atomic_t *stop;
	const struct ws_log *log;
	/* Called once, with the sink's arg, when it is sure that tracing can start: from then on no
	 * failure but the sink's own is to be expected. Not 0 ends the run as the sink's -1 does.
	 * NULL: nobody wants to know. Records may arrive in the sink before. */
	int (*started)(void *arg);
	/* Called with the sink's arg and the monotonic time, each time that what is there was
	 * drained, from then on and some times a second until nothing new is waited for. Not 0 ends
	 * the run, too. NULL: as above. */
	int (*drained)(void *arg, uint64_t now_ns);
};

struct ws_live_result {
	uint64_t produced, lost; /* records made in the kernel, and those that did not arrive */
	uint64_t lost_of[WS_STOP_KINDS]; /* by kind */
	uint64_t untracked;		 /* sessions that found the session map full */
	uint64_t attach_ns; /* from start to the last server found at start being attached */
	uint64_t detach_ns;
	unsigned int servers;
};

/* Facts for the head of a recording made now. */
int ws_live_info(int level, struct ws_trace_info *info, struct ws_error *err);

/*
 * Runs until the duration is over, *stop is set or the sink returns -1. Records arrive in the sink
 * with server, clock, gap and note records among them, and a WS_KIND_STOP as the last one. Fails
 * when tracing cannot start at all (no privilege, no usable kernel) or memory ran out; no server
 * running is not a failure: it waits. A sink that stops it knows why itself: that is no failure.
 */
int ws_live_run(const struct ws_live_options *options, struct ws_sink sink,
		struct ws_live_result *result, struct ws_error *err);

#endif
