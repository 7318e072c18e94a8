/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * text.c: the text format's table of views, and the two views that are tables.
 */
#include "export/text.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"

#define NOTE_INDENT 15 /* of a line below a row */

const char *ws_text_time(const struct ws_export *ex, uint64_t mono_ns, char out[WS_TIME_TEXT])
{
	int64_t wall = ws_export_wall(ex, mono_ns);

	return wall ? ws_time_format_short(wall, out) : "?";
}

const char *ws_text_pid(const struct ws_session *session, char out[WS_PID_TEXT])
{
	if (session->ns_pid && session->ns_pid != session->pid)
		snprintf(out, WS_PID_TEXT, "%u (%u)", session->pid, session->ns_pid);
	else
		snprintf(out, WS_PID_TEXT, "%u", session->pid);
	return out;
}

int ws_text_put_session(struct ws_buf *buf, const struct ws_export *ex,
			const struct ws_session *session)
{
	const char *kind = ws_session_kind_name(session->kind);
	const struct ws_screen *screen = &ex->opt.screen;
	char pid[WS_PID_TEXT], client[WS_CLIENT_TEXT];
	int rc;

	rc = ws_put_color(buf, screen, WS_COLOR_BOLD, ws_text_pid(session, pid)) ||
	     ws_buf_addf(buf, " %s", kind ? kind : "walsender");
	if (rc == 0 && (session->valid & WS_VALID_APPLICATION) && session->application[0])
		rc = ws_buf_addstr(buf, " ") || ws_put_text(buf, screen, session->application,
							    strlen(session->application), 0);
	if (rc == 0 && ws_session_client(session, client)[0])
		rc = ws_buf_addstr(buf, " from ") ||
		     ws_put_text(buf, screen, client, strlen(client), 0);
	if (rc == 0 && session->slot[0])
		rc = ws_buf_addstr(buf, ", slot ") ||
		     ws_put_text(buf, screen, session->slot, strlen(session->slot), 0);
	return rc ? -1 : 0;
}

int ws_text_flush(const struct ws_export *ex, struct ws_buf *buf)
{
	int rc = buf->len ? ws_export_write(ex->opt.out, buf->data, buf->len) : 0;

	ws_buf_clear(buf);
	return rc;
}

static void release_table(struct ws_export *ex)
{
	ws_table_free(ex->state);
}

static int begin_table(struct ws_export *ex, const struct ws_column *columns, size_t count)
{
	ex->state = ws_table_new(&ex->opt.screen, columns, count);
	return ex->state ? 0 : -1;
}

static int end_table(struct ws_export *ex, const char *nothing)
{
	if (ws_table_rows(ex->state) == 0)
		return fprintf(ex->opt.out, "%s\n", nothing) < 0 ? -1 : 0;
	return ws_table_print(ex->state, ex->opt.out);
}

/* A line below the row. */
static int put_note(struct ws_export *ex, enum ws_color color, const char *text)
{
	const struct ws_screen *screen = &ex->opt.screen;
	size_t room = screen->verbose || screen->whole ? 0 : (size_t)screen->width - NOTE_INDENT;
	struct ws_buf note = { 0 };
	int rc;

	rc = ws_buf_addf(&note, "%*s", NOTE_INDENT, "") ||
	     ws_buf_addstr(&note, ws_color_code(screen, color)) ||
	     ws_put_text(&note, screen, text, strlen(text), room) ||
	     (color != WS_COLOR_NONE &&
	      ws_buf_addstr(&note, ws_color_code(screen, WS_COLOR_NONE))) ||
	     ws_table_note(ex->state, note.data);
	ws_buf_deinit(&note);
	return rc ? -1 : 0;
}

/* Behind a text that was cut: "... (2.00 MB, xxh64 0123456789abcdef)". */
static int add_cut(struct ws_buf *buf, bool cut, const struct ws_text_sum *sum)
{
	char bytes[WS_BYTES_TEXT];

	if (!cut)
		return 0;
	if (!sum->has_bytes)
		return ws_buf_addstr(buf, "...");
	if (ws_buf_addf(buf, "... (%s", ws_bytes_format(sum->bytes, bytes)))
		return -1;
	if (sum->has_hash && ws_buf_addf(buf, ", xxh64 %016llx", (unsigned long long)sum->xxh64))
		return -1;
	return ws_buf_addstr(buf, ")");
}

/* "FATAL:  28P01: ..." and "LOCATION:  ..." as psql's VERBOSITY verbose has them. */
int ws_text_put_report(struct ws_buf *buf, const struct ws_report *report)
{
	const char *severity = ws_severity_name(report->elevel);
	const char *sqlstate = report->sqlstate ? report->sqlstate : "";

	/* How a process took its command with it is no report of the server, but no less bad. */
	return ws_buf_addf(buf, "%s:  %s%s%s", severity ? severity : "ERROR", sqlstate,
			   sqlstate[0] ? ": " : "",
			   report->message ? report->message : "(message not readable)") ||
			       add_cut(buf, report->truncated, &report->sum)
		       ? -1
		       : 0;
}

static int error_notes(struct ws_export *ex, const struct ws_report *report)
{
	struct ws_buf text = { 0 };
	int rc;

	rc = ws_text_put_report(&text, report) || put_note(ex, WS_COLOR_RED, text.data);
	ws_buf_clear(&text);
	if (rc == 0 && report->location)
		rc = ws_buf_addf(&text, "LOCATION:  %s", report->location) ||
		     put_note(ex, WS_COLOR_NONE, text.data);
	ws_buf_deinit(&text);
	return rc ? -1 : 0;
}

/* -- sessions */

#define DAY_NS 86400000000000ULL

static int begin_sessions(struct ws_export *ex)
{
	static const struct ws_column columns[] = {
		{ .title = "PID", .right = true },
		{ .title = "KIND" },
		{ .title = "PROGRAM", .optional = true },
		{ .title = "USER", .flexible = true, .optional = true },
		{ .title = "DATABASE", .flexible = true, .optional = true },
		{ .title = "APPLICATION", .flexible = true },
		{ .title = "CLIENT", .flexible = true },
		{ .title = "SLOT", .flexible = true, .optional = true },
		{ .title = "STARTED" },
		{ .title = "LASTED", .right = true },
		{ .title = "COMMANDS", .right = true, .optional = true },
		{ .title = "SENT", .right = true },
		{ .title = "SENDS", .right = true, .optional = true },
		{ .title = "WIRE", .right = true, .optional = true },
		{ .title = "ACKED", .right = true, .optional = true },
		{ .title = "TLS", .optional = true },
		{ .title = "MOSTLY" },
		{ .title = "LOST", .right = true, .optional = true },
		{ .title = "END", .flexible = true },
	};

	return begin_table(ex, columns, WS_ARRAY_SIZE(columns));
}

static int end_sessions(struct ws_export *ex)
{
	return end_table(ex, "no sessions");
}

static int text_cell(struct ws_table *table, const char *text)
{
	return text && text[0] ? ws_table_text(table, text, strlen(text))
			       : ws_table_cell(table, WS_COLOR_DIM, "");
}

/* ", SIGTERM by backend 4711 (postgres)": who sent the signal that ended it. */
static int sender_text(const struct ws_screen *screen, const struct ws_signal_by *by,
		       struct ws_buf *out)
{
	const char *role = ws_signal_role_name(by->role);
	char name[32];
	int rc = 0;

	if (!by->signal)
		return 0;
	if (sigabbrev_np((int)by->signal))
		snprintf(name, sizeof(name), "SIG%s", sigabbrev_np((int)by->signal));
	else
		snprintf(name, sizeof(name), "signal %u", by->signal);
	rc = ws_buf_addf(out, ", %s by %s", name, role ? role : "?");
	if (rc == 0 && by->pid && by->role != WS_ROLE_SELF)
		rc = ws_buf_addf(out, " %u (", by->pid) ||
		     ws_put_text(out, screen, by->name, strlen(by->name), 0) ||
		     ws_buf_addstr(out, ")");
	return rc;
}

/* Names that a person knows without the contract. */
int ws_text_put_exit(struct ws_buf *out, const struct ws_screen *screen, const struct ws_session *s,
		     bool sender)
{
	const char *reason = ws_exit_reason_name(s->exit_reason);
	int rc;

	if (!s->end_ns)
		return ws_buf_addstr(out, "running");
	rc = ws_buf_addstr(out, reason ? reason : "unknown");
	if (rc == 0 && s->exit_signal > 0)
		rc = ws_buf_addf(out, " (signal %d)", s->exit_signal);
	else if (rc == 0 && s->exit_code > 0)
		rc = ws_buf_addf(out, " (code %d)", s->exit_code);
	if (rc == 0 && sender)
		rc = sender_text(screen, &s->signal_by, out);
	return rc;
}

static enum ws_color end_color(const struct ws_session *s)
{
	switch (s->exit_reason) {
	case WS_END_NONE:
	case WS_END_CLIENT_TERMINATED:
		return WS_COLOR_NONE;
	case WS_END_SHUTDOWN:
	case WS_END_CLIENT_EOF:
	case WS_END_ADMIN_TERMINATED:
	case WS_END_SLOT_RELEASED:
		return WS_COLOR_YELLOW;
	default:
		return WS_COLOR_RED;
	}
}

/* The state it spent most time in: "wait_wal 93%". */
static enum ws_color mostly(const struct ws_session *s, char *out, size_t size)
{
	enum ws_state most = WS_STATE_UNKNOWN;
	uint64_t total = 0;

	for (int i = 0; i < WS_STATE_COUNT; i++) {
		total += s->state_ns[i];
		if (s->state_ns[i] > s->state_ns[most])
			most = (enum ws_state)i;
	}
	out[0] = '\0';
	if (!total)
		return WS_COLOR_NONE;
	snprintf(out, size, "%s %.0f%%", ws_state_name(most),
		 100.0 * (double)s->state_ns[most] / (double)total);
	return ws_state_color(most);
}

/* "02:06:18": the order of the rows and the pids tell sessions apart. With all digits on request;
 * one from another day with its date. A session that ran before it was observed gets a mark. */
static const char *start_text(const struct ws_export *ex, const struct ws_session *s,
			      char out[WS_TIME_TEXT])
{
	uint64_t begin = ws_session_begin_ns(s);
	size_t len;

	if (!begin)
		return "before*";
	if (ws_text_time(ex, begin, out) != out)
		return "?";
	if (s->begin_ns > begin && s->begin_ns - begin >= DAY_NS) {
		ws_time_format(ws_export_wall(ex, begin), out);
		out[10] = ' ';
		out[16] = '\0'; /* "2026-11-19 02:06" */
	} else if (!ex->opt.screen.verbose) {
		out[strlen("02:06:18")] = '\0';
	}
	len = strlen(out);
	if (s->was_running && len + 1 < WS_TIME_TEXT)
		memcpy(out + len, "*", 2);
	return out;
}

/* What was sent, counted in other ways. */
static int wire_cells(struct ws_table *t, const struct ws_session *s, bool verbose)
{
	char count[WS_COUNT_TEXT], wire[WS_BYTES_TEXT], acked[WS_BYTES_TEXT];
	bool wired = verbose && s->has_wire_bytes;
	const char *tls = s->tls ? "yes" : "no";

	ws_bytes_format(s->wire_bytes, wire);
	ws_bytes_format(s->acked_bytes, acked);
	return ws_table_cell(t, WS_COLOR_NONE,
			     verbose && s->has_sends ? ws_count_format(s->sends, count) : "") ||
	       ws_table_cell(t, WS_COLOR_NONE, wired ? wire : "") ||
	       ws_table_cell(t, WS_COLOR_NONE, wired ? acked : "") ||
	       ws_table_cell(t, WS_COLOR_NONE, verbose && (s->valid & WS_VALID_TLS) ? tls : "");
}

/* "start: startup_packet 1.2 ms, ...": what was seen of it. */
static int start_note(struct ws_export *ex, const struct ws_session *s)
{
	char took[WS_DURATION_TEXT];
	struct ws_buf text = { 0 };
	int rc = 0, seen = 0;
	uint64_t ns;

	for (int i = 0; i < WS_START_COUNT && rc == 0; i++) {
		if (!ws_session_start_phase(s, (enum ws_start_phase)i, &ns))
			continue;
		rc = ws_buf_addf(&text, "%s%s %s", seen++ ? ", " : "start: ",
				 ws_start_phase_name((enum ws_start_phase)i),
				 ws_duration_format(ns, took));
	}
	if (rc == 0 && seen)
		rc = put_note(ex, WS_COLOR_NONE, text.data);
	ws_buf_deinit(&text);
	return rc;
}

/* What a session says below its row: why it was refused, or failed; the rest on request. */
static int session_notes(struct ws_export *ex, const struct ws_session *s)
{
	bool verbose = ex->opt.screen.verbose;
	struct ws_report report;

	if (verbose && !s->was_running && start_note(ex, s))
		return -1;
	if (!ws_session_error(s, &report) ||
	    !(verbose || s->exit_reason == WS_END_REFUSED || s->exit_reason == WS_END_FATAL))
		return 0;
	return error_notes(ex, &report);
}

int ws_text_session_row(struct ws_export *ex, const struct ws_session *s)
{
	struct ws_table *t = ex->state;
	const char *kind = ws_session_kind_name(s->kind);
	uint64_t begin = ws_session_begin_ns(s);
	char pid[WS_PID_TEXT], client[WS_CLIENT_TEXT], time[WS_TIME_TEXT], sent[WS_BYTES_TEXT];
	char lasted[WS_DURATION_TEXT], count[WS_COUNT_TEXT];
	char lost[WS_COUNT_TEXT], state[48];
	enum ws_color color = mostly(s, state, sizeof(state));
	bool verbose = ex->opt.screen.verbose;
	struct ws_buf end = { 0 };
	int rc;

	ws_bytes_format(s->wal_bytes + s->backup_bytes, sent);
	ws_session_client(s, client);
	ws_duration_format(ws_session_duration_ns(s, ex->opt.to_ns), lasted);
	rc = ws_text_put_exit(&end, &ex->opt.screen, s, verbose) ||
	     ws_table_cell(t, WS_COLOR_BOLD, ws_text_pid(s, pid)) ||
	     ws_table_cell(t, WS_COLOR_NONE, kind ? kind : "?") ||
	     text_cell(t, verbose ? ws_program_name(s->program) : NULL) ||
	     text_cell(t, !verbose		     ? NULL
			  : s->valid & WS_VALID_USER ? s->user
						     : "?") ||
	     text_cell(t, verbose && (s->valid & WS_VALID_DATABASE) ? s->database_name : NULL) ||
	     text_cell(t, s->valid & WS_VALID_APPLICATION ? s->application : "?") ||
	     text_cell(t, !(s->valid & WS_VALID_HOST) ? "?"
			  : verbose		      ? client
						      : s->host) ||
	     text_cell(t, s->slot) || ws_table_cell(t, WS_COLOR_NONE, start_text(ex, s, time)) ||
	     ws_table_cell(t, WS_COLOR_NONE, begin ? lasted : "?") ||
	     ws_table_cell(t, WS_COLOR_NONE, verbose ? ws_count_format(s->commands, count) : "") ||
	     ws_table_cell(t, WS_COLOR_NONE, s->has_wal_bytes || s->backup_bytes ? sent : "") ||
	     wire_cells(t, s, verbose) || ws_table_cell(t, color, state) ||
	     ws_table_cell(t, WS_COLOR_RED, s->lost ? ws_count_format(s->lost, lost) : "") ||
	     ws_table_cell(t, end_color(s), end.data);
	ws_buf_deinit(&end);
	if (s->was_running)
		ws_table_footer(t,
				"* ran before it was observed: SENT and MOSTLY are from then on");
	return rc || session_notes(ex, s) ? -1 : 0;
}

const struct ws_text_view ws_text_sessions = { begin_sessions, end_sessions, release_table };

/* -- history */

static int begin_history(struct ws_export *ex)
{
	static const struct ws_column columns[] = {
		{ .title = "STARTED" },		 { .title = "PID", .right = true },
		{ .title = "#", .right = true }, { .title = "LASTED", .right = true },
		{ .title = "OUTCOME" },		 { .title = "COMMAND", .flexible = true },
	};

	if (begin_table(ex, columns, WS_ARRAY_SIZE(columns)))
		return -1;
	if (ex->opt.redacted)
		ws_table_footer(ex->state,
				"literals were taken out when this was recorded (--redact)");
	return 0;
}

static int end_history(struct ws_export *ex)
{
	return end_table(ex, "no commands");
}

int ws_text_put_command(struct ws_buf *out, const struct ws_command *c)
{
	const char *type = ws_message_type_name(c->message_type);

	if (c->text)
		return ws_buf_add(out, c->text, c->text_len) || add_cut(out, c->truncated, &c->sum);
	if (type)
		return ws_buf_addf(out, "(%s message)", type);
	return ws_buf_addstr(out, c->outside ? "(no command)" : "(not readable)");
}

int ws_text_command_row(struct ws_export *ex, const struct ws_session *session,
			const struct ws_command *c)
{
	static const enum ws_color colors[] = {
		[WS_OUTCOME_RUNNING] = WS_COLOR_CYAN,
		[WS_OUTCOME_OK] = WS_COLOR_GREEN,
		[WS_OUTCOME_ERROR] = WS_COLOR_RED,
		[WS_OUTCOME_LOST] = WS_COLOR_RED,
	};
	struct ws_table *t = ex->state;
	char pid[WS_PID_TEXT], time[WS_TIME_TEXT], count[WS_COUNT_TEXT], lasted[WS_DURATION_TEXT];
	struct ws_report report = { c->elevel,	 c->sqlstate,	       c->message,
				    c->location, c->message_truncated, c->message_sum };
	struct ws_buf command = { 0 };
	uint64_t ns = 0;
	bool known = ws_command_duration(c, ex->opt.to_ns, &ns);
	int rc;

	rc = ws_text_put_command(&command, c);
	rc = rc ||
	     ws_table_cell(t, WS_COLOR_NONE,
			   c->start_ns ? ws_text_time(ex, c->start_ns, time) : "before") ||
	     ws_table_cell(t, WS_COLOR_BOLD, ws_text_pid(session, pid)) ||
	     ws_table_cell(t, WS_COLOR_DIM, ws_count_format(c->seq, count)) ||
	     ws_table_cell(t, WS_COLOR_NONE,
			   c->outside ? ""
			   : known    ? ws_duration_format(ns, lasted)
				      : "?") ||
	     ws_table_cell(t, colors[c->outcome], ws_outcome_name(c->outcome)) ||
	     ws_table_text(t, command.data ? command.data : "", command.len);
	ws_buf_deinit(&command);
	if (rc == 0 && c->outcome == WS_OUTCOME_ERROR)
		rc = error_notes(ex, &report);
	return rc ? -1 : 0;
}

const struct ws_text_view ws_text_history = { begin_history, end_history, release_table };

/* -- the format */

static const struct ws_text_view *const views[WS_VIEW_COUNT] = {
	[WS_VIEW_SESSIONS] = &ws_text_sessions, [WS_VIEW_HISTORY] = &ws_text_history,
	[WS_VIEW_TIMELINE] = &ws_text_timeline, [WS_VIEW_HIST] = &ws_text_hist,
	[WS_VIEW_TRACE] = &ws_text_trace,	[WS_VIEW_EXPLAIN] = &ws_text_explain,
	[WS_VIEW_SHOW] = &ws_text_show_view,
};

static int text_begin(struct ws_export *ex)
{
	const struct ws_text_view *view = views[ex->view];

	return view && view->begin ? view->begin(ex) : 0;
}

static int text_end(struct ws_export *ex)
{
	const struct ws_text_view *view = views[ex->view];

	return view && view->end ? view->end(ex) : 0;
}

static void text_release(struct ws_export *ex)
{
	const struct ws_text_view *view = views[ex->view];

	if (view && view->release)
		view->release(ex);
}

const struct ws_format ws_format_text = {
	.name = "text",
	.begin = text_begin,
	.session = ws_text_session_row,
	.command = ws_text_command_row,
	.segment = ws_text_segment,
	.hist = ws_text_hist_block,
	.event = ws_text_event,
	.doctor = ws_text_doctor,
	.symbols = ws_text_symbols,
	.explained = ws_text_explained,
	.slots = ws_text_slots,
	.show = ws_text_show,
	.end = text_end,
	.release = text_release,
};
