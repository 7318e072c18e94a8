/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log_server.c: what the entries of a server's own processes say of it, and of its walsenders with
 * that: who was killed, and when all of them are gone.
 *
 * Messages are those of PostgreSQL 10 to 18 in English: LogChildExit, HandleChildCrash,
 * PostmasterStateMachine and pmdie (postmaster.c), UnlinkLockFiles (miscinit.c).
 */
#include <search.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "import/log_parts.h"

/* Told to end at once (SIGQUIT) a process ends with it, without a word (quickdie, postgres.c). */
#define QUIT_CODE 2

/* A process ended: "server process (PID 1) was terminated by signal 9: Killed". */
struct ended {
	struct ws_log_story *story;
	uint32_t pid;
	struct ws_logged *found;
};

static void look_for_pid(const void *node, VISIT visit, void *arg)
{
	struct ws_logged *l = *(struct ws_logged *const *)node;
	struct ended *ended = arg;

	if ((visit == postorder || visit == leaf) && l->told && l->pid == ended->pid)
		ended->found = l;
}

static int on_child(struct ws_log_story *story, const struct ws_log_entry *e)
{
	struct ended ended = { .story = story };
	unsigned int signal = 0, code = 0;
	const char *pid = strstr(e->message, "(PID ");

	if (!pid || sscanf(pid, "(PID %u)", &ended.pid) != 1)
		return 0;
	pid = strchr(pid, ')');
	if (!pid || (sscanf(pid, ") was terminated by signal %u", &signal) != 1 &&
		     sscanf(pid, ") exited with exit code %u", &code) != 1))
		return 0;
	twalk_r(story->sessions, look_for_pid, &ended);
	if (!ended.found)
		return 0;
	ended.found->exit_code = code;
	return ws_log_end_session(story, ended.found, (uint64_t)e->wall_ns, signal);
}

struct close {
	struct ws_log_story *story;
	enum ws_log_closing why;
	int rc;
};

/* Without the server's start nothing tells whose shutdown it is. */
static bool has_quit(const struct ws_logged *l, enum ws_log_closing why)
{
	return why == WS_LOG_CLOSED_CRASH || (why == WS_LOG_CLOSED_IMMEDIATE && l->postmaster_pid);
}

static void close_one(const void *node, VISIT visit, void *arg)
{
	struct ws_logged *l = *(struct ws_logged *const *)node;
	struct close *c = arg;
	struct ws_log_story *story = c->story;

	if ((visit != postorder && visit != leaf) || c->rc || !l->told)
		return;
	if (l->failed)
		c->rc = ws_log_out_exit(&story->out, l, l->last_ns, l->exit_code, 0);
	else if (has_quit(l, c->why))
		c->rc = ws_log_out_exit(&story->out, l, story->last_ns, QUIT_CODE, 0);
	else if (c->why != WS_LOG_CLOSED_LOG)
		c->rc = ws_log_out_missed(&story->out, l, story->last_ns);
}

int ws_log_close_all(struct ws_log_story *story, enum ws_log_closing why)
{
	struct close c = { .story = story, .why = why };

	twalk_r(story->sessions, close_one, &c);
	return c.rc;
}

/* No process of before is there any more. */
static int forget_all(struct ws_log_story *story)
{
	int rc = ws_log_close_all(story, story->closing);

	tdestroy(story->sessions, ws_logged_free);
	story->sessions = NULL;
	story->oldest = story->newest = NULL;
	story->pending = 0;
	story->closing = WS_LOG_CLOSED_SERVER;
	return rc;
}

/* "starting PostgreSQL 15.18 ...": another server process, which knows none of the sessions. */
static int on_starting(struct ws_log_story *story, const struct ws_log_entry *e)
{
	const char *version = e->message + strlen("starting PostgreSQL ");

	story->postmaster_pid = e->pid;
	return forget_all(story)
		       ? -1
		       : ws_log_out_server(&story->out, (uint64_t)e->wall_ns, e->pid, version);
}

static int on_crash(struct ws_log_story *story, const struct ws_log_entry *e)
{
	(void)e;
	story->closing = WS_LOG_CLOSED_CRASH;
	return 0;
}

static int on_reinitializing(struct ws_log_story *story, const struct ws_log_entry *e)
{
	(void)e;
	story->closing =
		WS_LOG_CLOSED_CRASH; /* also where the log begins behind the line that says so */
	return forget_all(story);
}

/* The postmaster's last word (UnlinkLockFiles, miscinit.c). */
static int on_shut_down(struct ws_log_story *story, const struct ws_log_entry *e)
{
	(void)e;
	return forget_all(story);
}

/* What the postmaster got (pmdie). */
static int on_request(struct ws_log_story *story, const struct ws_log_entry *e)
{
	uint32_t signal = strstr(e->message, "smart")  ? SIGTERM
			  : strstr(e->message, "fast") ? SIGINT
						       : SIGQUIT;

	if (signal == SIGQUIT)
		story->closing = WS_LOG_CLOSED_IMMEDIATE;
	return ws_log_out_signal(&story->out, (uint64_t)e->wall_ns, e->pid, signal);
}

static const struct {
	const char *begins;
	int (*fn)(struct ws_log_story *story, const struct ws_log_entry *e);
} server_rules[] = {
	{ "starting PostgreSQL ", on_starting },
	{ "received smart shutdown request", on_request },
	{ "received fast shutdown request", on_request },
	{ "received immediate shutdown request", on_request },
	{ "terminating any other active server processes", on_crash },
	{ "all server processes terminated; reinitializing", on_reinitializing },
	{ "database system is shut down", on_shut_down },
};

int ws_log_server_entry(struct ws_log_story *story, const struct ws_log_entry *e)
{
	if (!e->message)
		return 0;
	for (size_t i = 0; i < WS_ARRAY_SIZE(server_rules); i++)
		if (strncmp(e->message, server_rules[i].begins, strlen(server_rules[i].begins)) ==
		    0)
			return server_rules[i].fn(story, e);
	return strstr(e->message, "process (PID ") ? on_child(story, e) : 0;
}
