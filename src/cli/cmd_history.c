/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_history.c: commands in the order they began. They are told when they end, so they are kept,
 * with their texts, until the recording is read.
 */
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "cli/cli.h"
#include "cli/view.h"

struct kept {
	const struct ws_session *session;
	struct ws_command command;
	uint64_t key; /* its start; of a command whose start is not known, that of the one before */
	char *strings; /* text, kind, message and location of the command */
};

struct history {
	struct kept *items;
	size_t count, cap;
};

/* Moves a text into the buffer that `at` walks through. */
static const char *keep_text(const char *text, size_t len, char **at)
{
	char *copy = *at;

	if (!text)
		return NULL;
	memcpy(copy, text, len);
	copy[len] = '\0';
	*at += len + 1;
	return copy;
}

static int command(struct ws_view_run *run, const struct ws_session *session,
		   const struct ws_command *c)
{
	size_t kind = c->kind ? strlen(c->kind) : 0;
	size_t message = c->message ? strlen(c->message) : 0;
	size_t location = c->location ? strlen(c->location) : 0;
	struct history *history = run->state;
	struct kept *kept;
	char *at;

	if (!history)
		run->state = history = calloc(1, sizeof(*history));
	if (!history)
		return -1;
	kept = ws_array_grow(&history->items, &history->count, &history->cap, sizeof(*kept));
	if (!kept)
		return -1;
	kept->strings = at = malloc((c->text ? c->text_len : 0) + kind + message + location + 4);
	if (!at)
		return -1;
	kept->session = session;
	kept->command = *c;
	kept->key = c->start_ns;
	for (size_t i = history->count - 1; !kept->key && i-- > 0;)
		if (history->items[i].session == session)
			kept->key = history->items[i].key;
	kept->command.text = keep_text(c->text, c->text_len, &at);
	kept->command.kind = keep_text(c->kind, kind, &at);
	kept->command.message = keep_text(c->message, message, &at);
	kept->command.location = keep_text(c->location, location, &at);
	return 0;
}

/* Those that ran before anybody looked come first. */
static int by_start(const void *a, const void *b)
{
	const struct kept *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	if (x->session->start_ns != y->session->start_ns)
		return x->session->start_ns < y->session->start_ns ? -1 : 1;
	if (x->session->pid != y->session->pid)
		return x->session->pid < y->session->pid ? -1 : 1;
	return x->command.seq < y->command.seq ? -1 : x->command.seq > y->command.seq;
}

static int finish(struct ws_view_run *run)
{
	struct history *history = run->state;

	if (!history)
		return 0;
	qsort(history->items, history->count, sizeof(*history->items), by_start);
	for (size_t i = 0; i < history->count; i++)
		if (ws_export_command(&run->ex, history->items[i].session,
				      &history->items[i].command))
			return -1;
	return 0;
}

static void release(struct ws_view_run *run)
{
	struct history *history = run->state;

	for (size_t i = 0; history && i < history->count; i++)
		free(history->items[i].strings);
	if (history)
		free(history->items);
	free(history);
}

enum ws_exit ws_cmd_history(const struct ws_options *options, struct ws_error *err)
{
	static const struct ws_view_ops ops = { .view = WS_VIEW_HISTORY,
						.alone = true,
						.command = command,
						.finish = finish,
						.release = release };

	return ws_view_main(options, &ops, err);
}
