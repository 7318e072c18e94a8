/* SPDX-License-Identifier: BSD-2-Clause */
#include "export/export.h"

#include <stdio.h>
#include <string.h>

int ws_export_begin(struct ws_export *ex, const struct ws_format *format, enum ws_view view,
		    const struct ws_export_options *options)
{
	*ex = (struct ws_export){ .view = view, .format = format, .opt = *options };
	return format->begin ? format->begin(ex) : 0;
}

int ws_export_session(struct ws_export *ex, const struct ws_session *session)
{
	return ex->format->session ? ex->format->session(ex, session) : 0;
}

int ws_export_command(struct ws_export *ex, const struct ws_session *session,
		      const struct ws_command *command)
{
	return ex->format->command ? ex->format->command(ex, session, command) : 0;
}

int ws_export_segment(struct ws_export *ex, const struct ws_session *session,
		      const struct ws_segment *segment)
{
	return ex->format->segment ? ex->format->segment(ex, session, segment) : 0;
}

int ws_export_hist(struct ws_export *ex, const struct ws_session *session, enum ws_metric metric,
		   const struct ws_hist *hist)
{
	return ex->format->hist ? ex->format->hist(ex, session, metric, hist) : 0;
}

int ws_export_event(struct ws_export *ex, const struct ws_session *session,
		    const struct ws_rec *rec)
{
	return ex->format->event ? ex->format->event(ex, session, rec) : 0;
}

int ws_export_doctor(struct ws_export *ex, const struct ws_doctor *doctor)
{
	return ex->format->doctor ? ex->format->doctor(ex, doctor) : 0;
}

int ws_export_symbols(struct ws_export *ex, const struct ws_symbol_report *report)
{
	return ex->format->symbols ? ex->format->symbols(ex, report) : 0;
}

int ws_export_explained(struct ws_export *ex, const struct ws_explained *explained)
{
	return ex->format->explained ? ex->format->explained(ex, explained) : 0;
}

int ws_export_write(FILE *out, const void *data, size_t size)
{
	return fwrite(data, 1, size, out) != size || ferror(out) ? -1 : 0;
}

int ws_export_slots(struct ws_export *ex, const struct ws_slots_report *report)
{
	return ex->format->slots ? ex->format->slots(ex, report) : 0;
}

int ws_export_show(struct ws_export *ex, const struct ws_show *show)
{
	return ex->format->show ? ex->format->show(ex, show) : 0;
}

int ws_export_end(struct ws_export *ex)
{
	if (ex->format->end && ex->format->end(ex))
		return -1;
	return ferror(ex->opt.out) ? -1 : 0;
}

void ws_export_release(struct ws_export *ex)
{
	if (ex->format && ex->format->release)
		ex->format->release(ex);
	*ex = (struct ws_export){ 0 };
}

int64_t ws_export_wall(const struct ws_export *ex, uint64_t mono_ns)
{
	return mono_ns && ex->opt.wall_ns ? ex->opt.wall_ns(ex->opt.wall_arg, mono_ns) : 0;
}

uint64_t ws_session_begin_ns(const struct ws_session *session)
{
	if (session->fork_ns)
		return session->fork_ns;
	return session->was_running ? 0 : session->begin_ns;
}

uint64_t ws_session_duration_ns(const struct ws_session *session, uint64_t to_ns)
{
	uint64_t begin = ws_session_begin_ns(session);
	uint64_t end = session->end_ns ? session->end_ns : to_ns;

	return begin && end > begin ? end - begin : 0;
}

const char *ws_client_format(const char *host, uint16_t port, char out[WS_CLIENT_TEXT])
{
	if (host[0] == '[' || !port)
		snprintf(out, WS_CLIENT_TEXT, "%s", host);
	else if (strchr(host, ':'))
		snprintf(out, WS_CLIENT_TEXT, "[%s]:%u", host, port);
	else
		snprintf(out, WS_CLIENT_TEXT, "%s:%u", host, port);
	return out;
}

const char *ws_session_client(const struct ws_session *session, char out[WS_CLIENT_TEXT])
{
	out[0] = '\0';
	if (!(session->valid & WS_VALID_HOST))
		return out;
	return ws_client_format(session->host, session->valid & WS_VALID_PORT ? session->port : 0,
				out);
}

const char *ws_session_replication(const struct ws_session *session)
{
	if (!session->has_database)
		return NULL;
	return session->database ? "database" : "physical";
}

const char *ws_session_field(const struct ws_session *session, const char *text, uint32_t valid)
{
	return session->valid & valid ? text : NULL;
}

bool ws_command_duration(const struct ws_command *command, uint64_t to_ns, uint64_t *ns)
{
	uint64_t end = command->end_ns;

	if (!end && command->outcome == WS_OUTCOME_RUNNING)
		end = to_ns;
	if (!command->start_ns || end < command->start_ns)
		return false;
	*ns = end - command->start_ns;
	return true;
}
