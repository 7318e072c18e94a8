/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * replay.h: what the commands that read recordings read: a FILE, or what --live has just recorded.
 *
 * A first pass builds all sessions, so that their kinds and slots are known; passes after it print.
 */
#ifndef WS_CLI_REPLAY_H
#define WS_CLI_REPLAY_H

#include "cli/select.h"
#include "trace/trace.h"

struct ws_replay {
	const struct ws_options *options;
	const char *name;	  /* what messages call it */
	char path[64];		  /* of the temporary recording of --live */
	int fd;			  /* keeps it, -1: none */
	struct ws_reader *reader; /* what it has now is what all passes see */

	struct ws_model *model;	       /* of the first pass, finished */
	struct ws_selection selection; /* decided */
	uint64_t begin_ns, end_ns;     /* first and last time in the recording */
	uint64_t from_ns, to_ns;       /* what is looked at */
	bool windowed;		       /* --from or --to */
	bool has_to;		       /* to_ns is a limit, not just the end */
	struct ws_reader_want want;    /* what is read of it */
	uint32_t *pids;		       /* of the sessions that are, if not all are */
	uint64_t lost;		       /* events known to be missing */
	bool torn;
	char torn_why[256];
};

/* Records first if the options say --live. Release with ws_replay_deinit, also after a failure. */
int ws_replay_open(struct ws_replay *source, const struct ws_options *options,
		   struct ws_error *err);
/* The same for who looks at the sessions that are asked for alone: of others only what says which
 * those are is read, and what tells why they ended. `clusters`: what is of whole servers, too. */
int ws_replay_open_narrow(struct ws_replay *source, const struct ws_options *options, bool clusters,
			  struct ws_error *err);
/* And for who wants to know only from when to when it is: the window. */
int ws_replay_open_times(struct ws_replay *source, const struct ws_options *options,
			 struct ws_error *err);
void ws_replay_deinit(struct ws_replay *source);

/* The moment an option names, as a monotonic time. */
uint64_t ws_replay_time(const struct ws_replay *source, const struct ws_when *when);

/* Calls fn for each record of the recording, in its order; stops when it returns not 0, and returns
 * that (err is fn's business then), or -1 with err filled. */
int ws_replay_each(const struct ws_replay *source, int (*fn)(void *arg, const struct ws_rec *rec),
		   void *arg, struct ws_error *err);

/* Told each record of a pass, behind the model; returns -1 when memory ran out. */
struct ws_replay_tap {
	int (*fn)(void *arg, const struct ws_model *model, const struct ws_rec *rec);
	void *arg;
};

/*
 * A second pass with an observer, which is told what lies in the window, and a tap (its fn may be
 * NULL); the model that it leaves is the caller's to free.
 */
int ws_replay_run(const struct ws_replay *source, const struct ws_observer *observer,
		  const struct ws_replay_tap *tap, struct ws_model **model, struct ws_error *err);

/* Does the user want to see this session? It may be of any pass. */
bool ws_replay_wants(struct ws_replay *source, const struct ws_session *session);

/* Notes on stderr what is missing in the recording; the exit status that follows from it. */
enum ws_exit ws_replay_verdict(const struct ws_replay *source);

#endif
