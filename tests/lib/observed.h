/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * observed.h: a model fed from tapes, and all it told its observer, kept for comparison.
 */
#ifndef WS_TESTS_OBSERVED_H
#define WS_TESTS_OBSERVED_H

#include "records.h"
#include "session/model.h"

struct ws_observed_command {
	struct ws_command c; /* its strings are copies */
	uint32_t pid;
};

struct ws_observed_segment {
	struct ws_segment s; /* detail is a copy */
	uint32_t pid;
};

struct ws_observed {
	struct ws_model *model;
	struct ws_observed_segment *segments;
	size_t segment_count, segment_cap;
	struct ws_observed_command *commands;
	size_t command_count, command_cap;
	size_t sessions; /* how many were told as ended, or as running at the finish */
};

struct ws_observed *ws_observed_new(void);
void ws_observed_free(struct ws_observed *o);
/* Feeds the model; a record that is not sound fails the test. */
struct ws_sink ws_observed_sink(struct ws_observed *o);
/* The session of a pid, the last one if there were several. Fails the test if there is none. */
const struct ws_session *ws_observed_session(const struct ws_observed *o, uint32_t pid);
/* Sum of a session's states. */
uint64_t ws_observed_sum(const struct ws_session *session);
/* "starting 10, idle 5, ...": the segments of a pid with their durations in ns; valid until the
 * next call. */
const char *ws_observed_timeline(const struct ws_observed *o, uint32_t pid);

#endif
