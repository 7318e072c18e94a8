/* SPDX-License-Identifier: BSD-2-Clause */
#include "observed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "event/schema.h"

static const char *copy(const char *text)
{
	return text ? strdup(text) : NULL;
}

static void on_segment(void *arg, const struct ws_session *session,
		       const struct ws_segment *segment)
{
	struct ws_observed *o = arg;
	struct ws_observed_segment *kept = ws_array_grow(&o->segments, &o->segment_count,
							 &o->segment_cap, sizeof(*o->segments));

	assert_non_null(kept);
	kept->s = *segment;
	kept->s.detail = copy(segment->detail);
	kept->pid = session->pid;
}

static void on_command(void *arg, const struct ws_session *session,
		       const struct ws_command *command)
{
	struct ws_observed *o = arg;
	struct ws_observed_command *kept = ws_array_grow(&o->commands, &o->command_count,
							 &o->command_cap, sizeof(*o->commands));

	assert_non_null(kept);
	if (command->text)
		assert_int_equal(command->text[command->text_len], '\0');
	kept->c = *command;
	kept->c.text = copy(command->text);
	kept->c.kind = copy(command->kind);
	kept->c.message = copy(command->message);
	kept->c.location = copy(command->location);
	kept->pid = session->pid;
}

static void on_session(void *arg, const struct ws_session *session)
{
	struct ws_observed *o = arg;

	(void)session;
	o->sessions++;
}

struct ws_observed *ws_observed_new(void)
{
	struct ws_observed *o = calloc(1, sizeof(*o));
	struct ws_observer observer = {
		.arg = o,
		.segment = on_segment,
		.command = on_command,
		.session = on_session,
	};

	assert_non_null(o);
	o->model = ws_model_new(&observer);
	assert_non_null(o->model);
	return o;
}

void ws_observed_free(struct ws_observed *o)
{
	ws_model_free(o->model);
	for (size_t i = 0; i < o->segment_count; i++)
		free((void *)o->segments[i].s.detail);
	for (size_t i = 0; i < o->command_count; i++) {
		free((void *)o->commands[i].c.text);
		free((void *)o->commands[i].c.kind);
		free((void *)o->commands[i].c.message);
		free((void *)o->commands[i].c.location);
	}
	free(o->segments);
	free(o->commands);
	free(o);
}

static int feed(void *arg, const struct ws_rec *rec)
{
	struct ws_observed *o = arg;
	char why[128] = "";

	if (!ws_rec_valid(rec, rec->size, why, sizeof(why)))
		fail_msg("the test made an unsound record of kind %u: %s", rec->kind, why);
	assert_int_equal(ws_model_feed(o->model, rec), 0);
	return 0;
}

struct ws_sink ws_observed_sink(struct ws_observed *o)
{
	return (struct ws_sink){ feed, o };
}

const struct ws_session *ws_observed_session(const struct ws_observed *o, uint32_t pid)
{
	size_t count;
	struct ws_session *const *sessions = ws_model_sessions(o->model, &count);

	while (count--)
		if (sessions[count]->pid == pid)
			return sessions[count];
	fail_msg("no session with pid %u", pid);
	return NULL;
}

uint64_t ws_observed_sum(const struct ws_session *session)
{
	uint64_t sum = 0;

	for (int i = 0; i < WS_STATE_COUNT; i++)
		sum += session->state_ns[i];
	return sum;
}

const char *ws_observed_timeline(const struct ws_observed *o, uint32_t pid)
{
	static char text[4096];
	size_t len = 0;

	text[0] = '\0';
	for (size_t i = 0; i < o->segment_count; i++) {
		const struct ws_segment *s = &o->segments[i].s;

		if (o->segments[i].pid != pid)
			continue;
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s %llu",
					len ? ", " : "", ws_state_name(s->state),
					(unsigned long long)(s->end_ns - s->start_ns));
		assert_true(len < sizeof(text));
	}
	return text;
}
