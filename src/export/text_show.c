/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * text_show.c: the reconstruction of a session as a person would tell it: who it was, how it began,
 * what it was told to do and how that went, what it did, and how it ended.
 */
#include "export/text_show.h"

#include <string.h>

#define COMMANDS_FIRST 20 /* that are told of many, unless everything shall be */
#define COMMANDS_LAST  20
#define COMMAND_AT     40 /* column of a command's text */

void ws_page_add(struct ws_page *page, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	page->rc = page->rc || ws_buf_addstr(&page->buf, text) ? -1 : 0;
}

void ws_page_text(struct ws_page *page, const char *text, size_t len)
{
	page->rc =
		page->rc || ws_put_text(&page->buf, &page->ex->opt.screen, text, len, 0) ? -1 : 0;
}

void ws_page_fit(struct ws_page *page, const char *text, size_t len, size_t taken)
{
	const struct ws_screen *screen = &page->ex->opt.screen;
	size_t cells = (size_t)screen->width > taken + 20 ? (size_t)screen->width - taken : 20;

	if (screen->verbose || screen->whole)
		cells = 0;
	page->rc = page->rc || ws_put_text(&page->buf, screen, text, len, cells) ? -1 : 0;
}

void ws_page_color(struct ws_page *page, enum ws_color color, const char *text)
{
	page->rc =
		page->rc || ws_put_color(&page->buf, &page->ex->opt.screen, color, text) ? -1 : 0;
}

void ws_page_title(struct ws_page *page, const char *title)
{
	ws_page_add(page, "\n");
	ws_page_color(page, WS_COLOR_BOLD, title);
	ws_page_add(page, "\n");
}

void ws_page_time(struct ws_page *page, const char *before, uint64_t mono_ns)
{
	char time[WS_TIME_TEXT];

	ws_page_add(page, "%s%s", before, ws_text_time(page->ex, mono_ns, time));
}

void ws_page_lsn(struct ws_page *page, const char *before, uint64_t lsn)
{
	char text[WS_LSN_TEXT];

	ws_page_add(page, "%s%s", before, ws_lsn_format(lsn, text));
}

void ws_page_duration(struct ws_page *page, const char *before, uint64_t ns)
{
	char text[WS_DURATION_TEXT];

	ws_page_add(page, "%s%s", before, ws_duration_format(ns, text));
}

void ws_page_bytes(struct ws_page *page, const char *before, uint64_t bytes)
{
	char text[WS_BYTES_TEXT];

	ws_page_add(page, "%s%s", before, ws_bytes_format(bytes, text));
}

void ws_page_flush(struct ws_page *page)
{
	page->rc = page->rc || ws_text_flush(page->ex, &page->buf) ? -1 : 0;
}

/* -- who */

static void add_named(struct ws_page *page, const char *name, const char *value)
{
	if (!value || !value[0])
		return;
	ws_page_add(page, ", %s ", name);
	ws_page_text(page, value, strlen(value));
}

static void tell_identity(struct ws_page *page)
{
	const struct ws_session *s = page->show->session;
	const char *program = ws_program_name(s->program);
	const char *replication = ws_session_replication(s);
	char id[WS_SESSION_ID_TEXT], other[WS_SESSION_ID_TEXT], evidence[WS_EVIDENCE_TEXT];

	page->rc = page->rc || ws_text_put_session(&page->buf, page->ex, s) ? -1 : 0;
	ws_page_add(page, "\n  session %s", ws_session_id(s, id));
	add_named(page, "user", ws_session_field(s, s->user, WS_VALID_USER));
	add_named(page, "database", ws_session_field(s, s->database_name, WS_VALID_DATABASE));
	if (replication)
		ws_page_add(page, ", %s replication", replication);
	if (s->valid & WS_VALID_TLS)
		ws_page_add(page, ", %s", s->tls ? "TLS" : "no TLS");
	if (s->cascading)
		ws_page_add(page, ", served by a standby");
	ws_page_add(page, "\n");
	if (s->logged)
		ws_page_add(page,
			    "  told by the server's log: what it did between the log's lines is "
			    "not known\n");
	if (program && ws_session_evidence(s, evidence)) {
		ws_page_add(page, "  the client is %s: ", program);
		ws_page_fit(page, evidence, strlen(evidence), strlen(program) + 18);
		ws_page_add(page, "\n");
	}
	if (ws_session_partner(s, other))
		ws_page_add(page, "  belongs together with session %s\n", other);
}

/* -- start */

static void tell_start(struct ws_page *page)
{
	const struct ws_session *s = page->show->session;
	uint64_t begin = ws_session_begin_ns(s), ns;

	ws_page_title(page, "Start");
	if (begin)
		ws_page_time(page, "  ", begin);
	else
		ws_page_add(page, "  before it was observed");
	if (s->was_running)
		ws_page_time(page, "; it already ran when it was found, ", s->begin_ns);
	ws_page_add(page, "\n");
	for (int i = 0; i < WS_START_COUNT; i++) {
		if (!ws_session_start_phase(s, (enum ws_start_phase)i, &ns))
			continue;
		ws_page_add(page, "  %-16s ", ws_start_phase_name((enum ws_start_phase)i));
		ws_page_duration(page, "", ns);
		ws_page_add(page, "\n");
	}
}

/* -- commands */

static enum ws_color outcome_color(enum ws_outcome outcome)
{
	return outcome == WS_OUTCOME_OK	       ? WS_COLOR_GREEN
	       : outcome == WS_OUTCOME_RUNNING ? WS_COLOR_CYAN
					       : WS_COLOR_RED;
}

static void tell_report(struct ws_page *page, const char *indent, const struct ws_report *report)
{
	struct ws_buf text = { 0 };

	page->rc = page->rc || ws_text_put_report(&text, report) ? -1 : 0;
	ws_page_add(page, "%s", indent);
	if (text.data)
		ws_page_fit(page, text.data, text.len, strlen(indent));
	ws_page_add(page, "\n");
	ws_buf_deinit(&text);
	if (!report->location)
		return;
	ws_page_add(page, "%sLOCATION:  ", indent);
	ws_page_text(page, report->location, strlen(report->location));
	ws_page_add(page, "\n");
}

static void tell_command(struct ws_page *page, const struct ws_command *c)
{
	const struct ws_report report = { c->elevel,   c->sqlstate,	     c->message,
					  c->location, c->message_truncated, c->message_sum };
	char lasted[WS_DURATION_TEXT], outcome[16];
	struct ws_buf text = { 0 };
	uint64_t ns;

	if (c->start_ns)
		ws_page_time(page, "  ", c->start_ns);
	else
		ws_page_add(page, "  before         ");
	ws_page_add(page, " %3u ", c->seq);
	snprintf(outcome, sizeof(outcome), "%-7s", ws_outcome_name(c->outcome));
	ws_page_color(page, outcome_color(c->outcome), outcome);
	if (c->outside)
		lasted[0] = '\0';
	else if (ws_command_duration(c, page->ex->opt.to_ns, &ns))
		ws_duration_format(ns, lasted);
	else
		snprintf(lasted, sizeof(lasted), "?");
	ws_page_add(page, " %8s  ", lasted);
	page->rc = page->rc || ws_text_put_command(&text, c) ? -1 : 0;
	if (text.data)
		ws_page_fit(page, text.data, text.len, COMMAND_AT);
	ws_page_add(page, "\n");
	ws_buf_deinit(&text);
	if (c->outcome == WS_OUTCOME_ERROR)
		tell_report(page, "      ", &report);
}

static void tell_commands(struct ws_page *page)
{
	const struct ws_story *story = page->show->story;
	size_t left_out = 0;

	if (!story)
		return;
	ws_page_title(page, "Commands");
	if (!story->command_count)
		ws_page_add(page, "  none\n");
	if (!page->ex->opt.screen.verbose &&
	    story->command_count > COMMANDS_FIRST + COMMANDS_LAST + 1)
		left_out = story->command_count - COMMANDS_FIRST - COMMANDS_LAST;
	for (size_t i = 0; i < story->command_count; i++) {
		if (left_out && i == COMMANDS_FIRST) {
			ws_page_add(page, "  ... %zu more (-v shows them)\n", left_out);
			i += left_out;
		}
		tell_command(page, &story->commands[i].command);
	}
}

/* -- end */

static const char *why_it_ended(const struct ws_session *s)
{
	static const char *const why[] = {
		[WS_END_CLIENT_TERMINATED] = "The client said goodbye.",
		[WS_END_CLIENT_EOF] = "The client's end of the connection closed without a "
				      "goodbye.",
		[WS_END_CONNECTION_LOST] = "The connection broke: reading from or writing to the "
					   "client failed.",
		[WS_END_REPLICATION_TIMEOUT] = "The client was not heard of for "
					       "wal_sender_timeout.",
		[WS_END_ADMIN_TERMINATED] = "It was told to end (pg_terminate_backend, or a signal "
					    "from outside).",
		[WS_END_SLOT_RELEASED] = "The server ended it to take its replication slot away.",
		[WS_END_SLOT_INVALIDATED] = "The server invalidated its replication slot.",
		[WS_END_SHUTDOWN] = "The server shut down.",
		[WS_END_CRASH_RESTART] = "Another process of the server crashed, and all were "
					 "ended.",
		[WS_END_POSTMASTER_DEATH] = "The postmaster was gone.",
		[WS_END_FATAL] = "A FATAL error ended it.",
		[WS_END_REFUSED] = "The server refused the connection.",
		[WS_END_KILLED] = "The process was killed by a signal.",
		[WS_END_UNKNOWN] = "Why is not known.",
	};

	return s->exit_reason < WS_ARRAY_SIZE(why) ? why[s->exit_reason] : NULL;
}

static void tell_end(struct ws_page *page)
{
	const struct ws_session *s = page->show->session;
	const char *why = why_it_ended(s);
	struct ws_report report;

	ws_page_title(page, "End");
	if (!s->end_ns) {
		ws_page_add(page, "  still running, in state %s", ws_state_name(s->state));
		if (s->state_since_ns)
			ws_page_time(page, " since ", s->state_since_ns);
		ws_page_add(page, "\n");
		return;
	}
	ws_page_time(page, "  ", s->end_ns);
	ws_page_add(page, "  ");
	page->rc =
		page->rc || ws_text_put_exit(&page->buf, &page->ex->opt.screen, s, true) ? -1 : 0;
	if (ws_session_begin_ns(s))
		ws_page_duration(page, ", after ", ws_session_duration_ns(s, s->end_ns));
	ws_page_add(page, "\n");
	if (why)
		ws_page_add(page, "  %s\n", why);
	if (ws_session_error(s, &report))
		tell_report(page, "  ", &report);
}

/* A process that is no walsender: who it is, and what its server's walsenders do. */
static int tell_other(struct ws_page *page)
{
	const struct ws_session *s = page->show->session;
	char pid[WS_PID_TEXT], client[WS_CLIENT_TEXT];

	ws_page_color(page, WS_COLOR_BOLD, ws_text_pid(s, pid));
	ws_page_add(page, " %s", page->show->process);
	add_named(page, "application", ws_session_field(s, s->application, WS_VALID_APPLICATION));
	add_named(page, "client", ws_session_client(s, client));
	add_named(page, "user", ws_session_field(s, s->user, WS_VALID_USER));
	add_named(page, "database", ws_session_field(s, s->database_name, WS_VALID_DATABASE));
	ws_page_add(page, "\n");
	ws_page_walsenders(page);
	ws_page_memory(page);
	ws_page_backtrace(page);
	ws_page_flush(page);
	return page->rc;
}

int ws_text_show(struct ws_export *ex, const struct ws_show *show)
{
	struct ws_page page = { .ex = ex, .show = show };

	if (show->process) {
		int rc = tell_other(&page);

		ws_buf_deinit(&page.buf);
		return rc;
	}
	tell_identity(&page);
	ws_page_around(&page);
	tell_start(&page);
	tell_commands(&page);
	ws_page_streams(&page);
	ws_page_states(&page);
	ws_page_peaks(&page);
	ws_page_last(&page);
	tell_end(&page);
	ws_page_gaps(&page);
	ws_page_memory(&page);
	ws_page_backtrace(&page);
	ws_page_flush(&page);
	ws_buf_deinit(&page.buf);
	return page.rc;
}

static int begin(struct ws_export *ex)
{
	return ws_text_trace.begin(ex);
}

static void release(struct ws_export *ex)
{
	ws_text_trace.release(ex);
}

/* The last events are told as `trace` does, with its state. */
const struct ws_text_view ws_text_show_view = { begin, NULL, release };
