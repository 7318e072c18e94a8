/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log_story.c: what the entries of a server's log say of its walsenders. Sessions are told apart by
 * session_id; the record of one is made when it is known to be a walsender and who it is, with the
 * time of its first entry.
 *
 * Messages are those of PostgreSQL 10 to 18 in English: BackendInitialize and PerformAuthentication
 * (postmaster.c, postinit.c), exec_replication_command (walsender.c), CreateDecodingContext
 * (logical.c), log_disconnections (postgres.c).
 */
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "import/log_parts.h"

#define PENDING_MAX 4096 /* backends that may still turn out to be walsenders */

static int by_id(const void *a, const void *b)
{
	return strcmp(((const struct ws_logged *)a)->id, ((const struct ws_logged *)b)->id);
}

struct ws_log_story *ws_log_story_new(struct ws_sink sink)
{
	struct ws_log_story *story = calloc(1, sizeof(*story));

	if (story)
		story->out.sink = sink;
	return story;
}

void ws_logged_free(void *logged)
{
	free(((struct ws_logged *)logged)->command);
	free(logged);
}

void ws_log_story_free(struct ws_log_story *story)
{
	if (!story)
		return;
	tdestroy(story->sessions, ws_logged_free);
	free(story);
}

/* -- sessions */

static void leave_pending(struct ws_log_story *story, struct ws_logged *l)
{
	if (l->told)
		return;
	*(l->older ? &l->older->newer : &story->oldest) = l->newer;
	*(l->newer ? &l->newer->older : &story->newest) = l->older;
	story->pending--;
}

static void forget(struct ws_log_story *story, struct ws_logged *l)
{
	leave_pending(story, l);
	tdelete(l, &story->sessions, by_id);
	ws_logged_free(l);
}

/* "5f3a1b2c.1a2b": when the process began, in seconds, and its pid, both hexadecimal. */
static bool parse_id(const char *id, uint64_t *start_ns)
{
	char *end;
	unsigned long long seconds = strtoull(id, &end, 16);

	if (end == id || *end != '.' || !seconds || seconds > INT64_MAX / 1000000000ULL)
		return false;
	*start_ns = seconds * 1000000000ULL;
	return true;
}

static struct ws_logged *add(struct ws_log_story *story, const struct ws_log_entry *e)
{
	struct ws_logged *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	snprintf(l->id, sizeof(l->id), "%s", e->session_id);
	l->pid = e->pid;
	l->first_ns = (uint64_t)e->wall_ns;
	if (!parse_id(l->id, &l->start_ns))
		l->start_ns = l->first_ns;
	l->from_start = e->line_number && strcmp(e->line_number, "1") == 0;
	l->postmaster_pid = story->postmaster_pid;
	if (!tsearch(l, &story->sessions, by_id)) {
		free(l);
		return NULL;
	}
	l->older = story->newest;
	*(story->newest ? &story->newest->newer : &story->oldest) = l;
	story->newest = l;
	if (++story->pending > PENDING_MAX)
		forget(story, story->oldest);
	return l;
}

static struct ws_logged *find(struct ws_log_story *story, const char *id)
{
	struct ws_logged key, **found;

	snprintf(key.id, sizeof(key.id), "%s", id);
	found = tfind(&key, &story->sessions, by_id);
	return found ? *found : NULL;
}

/* Who it is, as far as this entry says. */
static void learn(struct ws_logged *l, const struct ws_log_entry *e)
{
	char *end;
	unsigned long port;

	l->last_ns = (uint64_t)e->wall_ns;
	if (e->user) {
		l->has_user = true;
		snprintf(l->user, sizeof(l->user), "%s", e->user);
		snprintf(l->database, sizeof(l->database), "%s", e->database ? e->database : "");
	}
	if (e->application) {
		l->has_application = true;
		snprintf(l->application, sizeof(l->application), "%s", e->application);
	}
	if (!e->host)
		return;
	l->has_host = true;
	snprintf(l->host, sizeof(l->host), "%s", e->host);
	l->has_port = e->host[0] == '[';
	if (!e->port)
		return;
	port = strtoul(e->port, &end, 10);
	if (*end || port > UINT16_MAX)
		return;
	l->port = (uint16_t)port;
	l->has_port = true;
}

/* -- what is told */

static int tell_session(struct ws_log_story *story, struct ws_logged *l)
{
	int rc;

	if (l->told)
		return 0;
	leave_pending(story, l);
	l->told = true;
	rc = ws_log_out_session(&story->out, l);
	if (rc == 0 && l->authorized_ns)
		rc = ws_log_out_authenticated(&story->out, l, l->authorized_ns);
	return rc;
}

/* The command that ran has ended in good order, by now. */
static int end_command(struct ws_log_story *story, struct ws_logged *l, uint64_t ns)
{
	if (!l->command)
		return 0;
	free(l->command);
	l->command = NULL;
	return ws_log_out_done(&story->out, l, ns);
}

static int begin_command(struct ws_log_story *story, struct ws_logged *l, uint64_t ns,
			 const char *text, uint16_t flags)
{
	int rc = end_command(story, l, ns);

	if (rc)
		return rc;
	l->command = strdup(text);
	if (!l->command)
		return -1;
	l->failed = false;
	rc = ws_log_out_plain(&story->out, l, WS_KIND_COMMAND, ns, flags);
	return rc ? rc : ws_log_out_text(&story->out, l, WS_TEXT_COMMAND, ns, text);
}

int ws_log_end_session(struct ws_log_story *story, struct ws_logged *l, uint64_t ns,
		       uint32_t signal)
{
	int rc = 0;

	if (l->told)
		rc = ws_log_out_exit(&story->out, l, ns, signal ? 0 : l->exit_code, signal);
	forget(story, l);
	return rc;
}

/* -- kinds of entries */

/* What stands behind `key` up to `stop`, in a message of "key=value" pairs. */
static size_t value_of(const char *message, const char *key, const char *stop, const char **value)
{
	const char *at = strstr(message, key), *end;

	if (!at)
		return 0;
	*value = at + strlen(key);
	end = stop ? strstr(*value, stop) : NULL;
	return end ? (size_t)(end - *value) : strlen(*value);
}

/* "replication connection authorized: user=u application_name=a SSL enabled (...)" */
static int on_authorized(struct ws_log_story *story, struct ws_logged *l,
			 const struct ws_log_entry *e)
{
	const char *application;
	size_t len;

	(void)story;
	l->authorized_ns = (uint64_t)e->wall_ns;
	l->has_tls = true;
	l->tls = strstr(e->message, " SSL enabled (") != NULL;
	len = value_of(e->message, " application_name=", l->tls ? " SSL enabled (" : NULL,
		       &application);
	if (len && !l->has_application) {
		l->has_application = true;
		snprintf(l->application, sizeof(l->application), "%.*s",
			 (int)(len < WS_NAME_LEN ? len : WS_NAME_LEN - 1), application);
	}
	return 0;
}

static int on_command(struct ws_log_story *story, struct ws_logged *l, const struct ws_log_entry *e)
{
	const char *text = strstr(e->message, ": ");

	/* Plain SQL may be announced twice: as a command, and by log_statement. */
	if (l->command && text && e->message[0] == 's' && strcmp(l->command, text + 2) == 0)
		return 0;
	return tell_session(story, l) || begin_command(story, l, (uint64_t)e->wall_ns,
						       text ? text + 2 : "", 0)
		       ? -1
		       : 0;
}

/* "starting logical decoding for slot "s"", with "Streaming transactions committing after X/X,
 * reading WAL from X/X." */
static int on_decoding(struct ws_log_story *story, struct ws_logged *l,
		       const struct ws_log_entry *e)
{
	const char *slot = strchr(e->message, '"'), *end = strrchr(e->message, '"'), *after;
	char text[WS_LSN_TEXT] = "";
	uint64_t lsn = 0;
	size_t len;

	if (!l->told || !slot || end <= slot)
		return 0;
	if (e->detail) {
		len = value_of(e->detail, " committing after ", ",", &after);
		if (len && len < sizeof(text))
			snprintf(text, sizeof(text), "%.*s", (int)len, after);
		if (!ws_lsn_parse(text, &lsn))
			lsn = 0;
	}
	return ws_log_out_stream(&story->out, l, (uint64_t)e->wall_ns, lsn, slot + 1,
				 (size_t)(end - slot) - 1);
}

static int on_disconnection(struct ws_log_story *story, struct ws_logged *l,
			    const struct ws_log_entry *e)
{
	return tell_session(story, l) || ws_log_end_session(story, l, (uint64_t)e->wall_ns, 0) ? -1
											       : 0;
}

static int on_sync(struct ws_log_story *story, struct ws_logged *l, const struct ws_log_entry *e)
{
	char text[1024];

	snprintf(text, sizeof(text), "%u: %s", l->pid, e->message);
	return ws_log_out_note(&story->out, (uint64_t)e->wall_ns, text);
}

static const struct rule {
	const char *begins, *holds; /* the message */
	int (*fn)(struct ws_log_story *story, struct ws_logged *l, const struct ws_log_entry *e);
} rules[] = {
	{ "replication connection authorized: ", "", on_authorized },
	{ "received replication command: ", "", on_command },
	{ "statement: ", "", on_command },
	{ "starting logical decoding for slot ", "", on_decoding },
	{ "disconnection: session time: ", "", on_disconnection },
	{ "standby \"", "\" is now a ", on_sync },
};

/* A COMMERROR is written as LOG. What else is has no SQLSTATE; of COMMERRORs only the replication
 * timeout has none (WalSndCheckTimeOut, walsender.c). */
static bool is_commerror(const struct ws_log_entry *e)
{
	static const char timeout[] = "terminating walsender process due to replication timeout";

	if (!e->severity || strcmp(e->severity, "LOG") != 0)
		return false;
	if (e->sqlstate && strcmp(e->sqlstate, "00000") != 0)
		return true;
	return (e->message && strncmp(e->message, timeout, strlen(timeout)) == 0) ||
	       (e->location_function && strcmp(e->location_function, "WalSndCheckTimeOut") == 0);
}

static enum ws_elevel elevel_of(const struct ws_log_entry *e)
{
	static const struct {
		const char *severity;
		enum ws_elevel elevel;
	} levels[] = {
		{ "ERROR", WS_ELEVEL_ERROR },
		{ "FATAL", WS_ELEVEL_FATAL },
		{ "PANIC", WS_ELEVEL_PANIC },
	};

	for (size_t i = 0; i < WS_ARRAY_SIZE(levels); i++)
		if (e->severity && strcmp(e->severity, levels[i].severity) == 0)
			return levels[i].elevel;
	return is_commerror(e) ? WS_ELEVEL_COMMERROR : 0;
}

/* Of the command that runs, of one that the log did not announce, or of none. */
static int on_error(struct ws_log_story *story, struct ws_logged *l, const struct ws_log_entry *e,
		    enum ws_elevel elevel)
{
	uint64_t ns = (uint64_t)e->wall_ns;
	int rc = tell_session(story, l);

	if (rc == 0 && elevel == WS_ELEVEL_ERROR && e->query &&
	    (!l->command || strcmp(l->command, e->query) != 0))
		rc = begin_command(story, l, ns, e->query, WS_COMMAND_RUNNING);
	if (rc == 0)
		rc = ws_log_out_error(&story->out, l, elevel, ns, e);
	if (elevel == WS_ELEVEL_ERROR) {
		free(l->command);
		l->command = NULL;
		return rc;
	}
	l->failed = true;
	if (elevel != WS_ELEVEL_COMMERROR)
		l->exit_code = 1;
	return rc;
}

/* What backends that are none say; "not initialized" and, up to 12, nothing is both. */
static bool is_other(const struct ws_log_entry *e)
{
	const char *type = e->backend_type;

	if (type && strcmp(type, "walsender") != 0 && strcmp(type, "not initialized") != 0)
		return true;
	return e->message && strncmp(e->message, "connection authorized: ", 23) == 0;
}

static bool is_walsender(const struct ws_log_entry *e)
{
	static const char *const messages[] = {
		"replication connection authorized: ",
		"received replication command: ",
		"no pg_hba.conf entry for replication connection",
		"pg_hba.conf rejects replication connection",
		"number of requested standby connections exceeds ",
	};

	if (e->backend_type && strcmp(e->backend_type, "walsender") == 0)
		return true;
	for (size_t i = 0; e->message && i < WS_ARRAY_SIZE(messages); i++)
		if (strncmp(e->message, messages[i], strlen(messages[i])) == 0)
			return true;
	return false;
}

static int take_walsender(struct ws_log_story *story, struct ws_logged *l,
			  const struct ws_log_entry *e)
{
	enum ws_elevel elevel = elevel_of(e);

	for (size_t i = 0; e->message && i < WS_ARRAY_SIZE(rules); i++) {
		const struct rule *r = &rules[i];

		if (strncmp(e->message, r->begins, strlen(r->begins)) == 0 &&
		    strstr(e->message, r->holds))
			return r->fn(story, l, e);
	}
	return elevel ? on_error(story, l, e, elevel) : 0;
}

int ws_log_story_entry(struct ws_log_story *story, const struct ws_log_entry *e)
{
	struct ws_logged *l;

	if (e->wall_ns <= 0)
		return 0;
	if (!story->began && ws_log_out_clock(&story->out, (uint64_t)e->wall_ns))
		return -1;
	story->began = true;
	if ((uint64_t)e->wall_ns > story->last_ns)
		story->last_ns = (uint64_t)e->wall_ns;
	if (!e->session_id || strlen(e->session_id) >= WS_LOG_ID_LEN)
		return ws_log_server_entry(story, e);
	l = find(story, e->session_id);
	if (is_other(e)) {
		if (l && !l->told)
			forget(story, l);
		return ws_log_server_entry(story, e);
	}
	if (!l)
		l = add(story, e);
	if (!l)
		return -1;
	learn(l, e);
	if (l->told || is_walsender(e))
		return take_walsender(story, l, e);
	/* Up to 12 no entry says what kind of process made it. */
	return e->backend_type ? 0 : ws_log_server_entry(story, e);
}

int ws_log_story_bad(struct ws_log_story *story)
{
	/* In front of the first one that is understood there is nothing to be missing in. */
	return story->began ? ws_log_out_bad(&story->out, story->last_ns) : 0;
}

int ws_log_story_end(struct ws_log_story *story)
{
	if (ws_log_close_all(story, WS_LOG_CLOSED_LOG))
		return -1;
	return story->began ? ws_log_out_stop(&story->out, story->last_ns) : 0;
}
