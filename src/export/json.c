/* SPDX-License-Identifier: BSD-2-Clause */
#include "export/json.h"

#include <stdio.h>
#include <string.h>

#include "base/util.h"

void ws_json_put(json_t *object, const char *key, json_t *value, int *rc)
{
	if (json_object_set_new(object, key, value))
		*rc = -1;
}

void ws_json_append(json_t *array, json_t *value, int *rc)
{
	if (json_array_append_new(array, value))
		*rc = -1;
}

json_t *ws_json_text(const char *text, size_t len)
{
	static const char replacement[] = "\xef\xbf\xbd";
	struct ws_buf buf = { 0 };
	json_t *value = NULL;
	size_t i = 0, n;
	int rc = 0;

	if (!text)
		return json_null();
	for (i = 0; i < len && ws_text_utf8_len(text + i, len - i); i += n)
		n = ws_text_utf8_len(text + i, len - i);
	if (i == len)
		return json_stringn(text, len);
	for (i = 0; i < len && rc == 0; i += n ? n : 1) {
		n = ws_text_utf8_len(text + i, len - i);
		rc = n ? ws_buf_add(&buf, text + i, n) : ws_buf_addstr(&buf, replacement);
	}
	if (rc == 0)
		value = json_stringn(buf.data, buf.len);
	ws_buf_deinit(&buf);
	return value;
}

json_t *ws_json_str(const char *text)
{
	return ws_json_text(text, text ? strlen(text) : 0);
}

json_t *ws_json_str_or_null(const char *text)
{
	return ws_json_str(text && text[0] ? text : NULL);
}

json_t *ws_json_uint(uint64_t value)
{
	return value <= INT64_MAX ? json_integer((json_int_t)value) : json_null();
}

json_t *ws_json_uint_or_null(uint64_t value)
{
	return value ? ws_json_uint(value) : json_null();
}

json_t *ws_json_bool(bool value)
{
	return json_boolean(value);
}

json_t *ws_json_lsn(uint64_t lsn)
{
	char text[WS_LSN_TEXT];

	return lsn ? json_string(ws_lsn_format(lsn, text)) : json_null();
}

json_t *ws_json_hex(uint64_t value)
{
	return json_sprintf("0x%llx", (unsigned long long)value);
}

json_t *ws_json_real(double value, double step)
{
	double steps = value / step + 0.5; /* not negative */

	/* A double of 2^63 steps has no fractions left; a recording may say so. */
	return json_real(steps < 0x1p63 ? (double)(uint64_t)steps * step : value);
}

json_t *ws_json_time(const struct ws_export *ex, uint64_t mono_ns)
{
	int64_t wall = ws_export_wall(ex, mono_ns);
	char text[WS_TIME_TEXT];

	return wall ? json_string(ws_time_format(wall, text)) : json_null();
}

void ws_json_put_session(json_t *object, const struct ws_session *session, int *rc)
{
	char id[WS_SESSION_ID_TEXT];

	ws_json_put(object, "session",
		    session ? json_string(ws_session_id(session, id)) : json_null(), rc);
	ws_json_put(object, "pid", session ? ws_json_uint(session->pid) : json_null(), rc);
	ws_json_put(object, "ns_pid", session ? ws_json_uint_or_null(session->ns_pid) : json_null(),
		    rc);
}

/* DEL is ASCII, and the only control character that need not be escaped in JSON. */
static int put_escaped(const char *text, size_t len, void *out)
{
	while (len) {
		const char *del = memchr(text, 0x7f, len);
		size_t n = del ? (size_t)(del - text) : len;

		if (ws_export_write(out, text, n) || (del && fputs("\\u007F", out) == EOF))
			return -1;
		n += del ? 1 : 0;
		text += n;
		len -= n;
	}
	return 0;
}

int ws_json_line(const struct ws_export *ex, json_t *object, int rc)
{
	/* ASCII, because these lines are looked at on terminals too: no C1 codes, no bidi controls.
	 */
	const size_t flags = JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(15);

	if (rc == 0)
		rc = json_dump_callback(object, put_escaped, ex->opt.out, flags);
	if (rc == 0 && ws_export_write(ex->opt.out, "\n", 1))
		rc = -1;
	json_decref(object);
	return rc ? -1 : 0;
}

static void put_report(json_t *object, const struct ws_report *report, int *rc)
{
	ws_json_put(object, "severity",
		    ws_json_str(report ? ws_severity_name(report->elevel) : NULL), rc);
	ws_json_put(object, "sqlstate", ws_json_str(report ? report->sqlstate : NULL), rc);
	ws_json_put(object, "message", ws_json_str(report ? report->message : NULL), rc);
	ws_json_put(object, "location", ws_json_str(report ? report->location : NULL), rc);
}

/* The signal that ended the session, and who sent it. */
static json_t *signal_by(const struct ws_signal_by *by, int *rc)
{
	json_t *object;

	if (!by->signal)
		return json_null();
	object = json_object();
	ws_json_put(object, "signal", ws_json_uint(by->signal), rc);
	ws_json_put(object, "pid", ws_json_uint_or_null(by->pid), rc);
	ws_json_put(object, "role", ws_json_str(ws_signal_role_name(by->role)), rc);
	ws_json_put(object, "name", ws_json_str_or_null(by->name), rc);
	return object;
}

static json_t *exit_object(const struct ws_session *session, int *rc)
{
	json_t *object = json_object();
	struct ws_report report;
	bool ended = session->end_ns != 0;
	bool code = ended && session->exit_code >= 0 && session->exit_signal <= 0;

	ws_json_put(object, "reason",
		    ws_json_str(ended ? ws_exit_reason_name(session->exit_reason) : NULL), rc);
	ws_json_put(object, "code", code ? json_integer(session->exit_code) : json_null(), rc);
	ws_json_put(object, "signal",
		    ended && session->exit_signal >= 0 ? json_integer(session->exit_signal)
						       : json_null(),
		    rc);
	put_report(object, ws_session_error(session, &report) ? &report : NULL, rc);
	ws_json_put(object, "signal_by", signal_by(&session->signal_by, rc), rc);
	return object;
}

/* Null as a whole where the start was not seen at all. */
static json_t *start_phases(const struct ws_session *session, int *rc)
{
	json_t *object;
	char key[64];
	uint64_t ns;

	if (session->was_running)
		return json_null();
	object = json_object();
	for (int i = 0; i < WS_START_COUNT; i++) {
		bool known = ws_session_start_phase(session, (enum ws_start_phase)i, &ns);

		snprintf(key, sizeof(key), "%s_ns", ws_start_phase_name((enum ws_start_phase)i));
		ws_json_put(object, key, known ? ws_json_uint(ns) : json_null(), rc);
	}
	return object;
}

static void put_identity(json_t *o, const struct ws_session *s, int *rc)
{
	char client[WS_CLIENT_TEXT], evidence[WS_EVIDENCE_TEXT], partner[WS_SESSION_ID_TEXT];

	ws_json_put(o, "kind", ws_json_str(ws_session_kind_name(s->kind)), rc);
	ws_json_put(o, "replication", ws_json_str(ws_session_replication(s)), rc);
	ws_json_put(o, "user", ws_json_str(ws_session_field(s, s->user, WS_VALID_USER)), rc);
	/* A physical walsender is connected to no database, whatever its start-up packet said. */
	ws_json_put(o, "database",
		    ws_json_str_or_null(ws_session_field(s, s->database_name, WS_VALID_DATABASE)),
		    rc);
	ws_json_put(o, "application_name",
		    ws_json_str(ws_session_field(s, s->application, WS_VALID_APPLICATION)), rc);
	ws_json_put(o, "client", ws_json_str_or_null(ws_session_client(s, client)), rc);
	ws_json_put(o, "slot", ws_json_str_or_null(s->slot), rc);
	ws_json_put(o, "program", ws_json_str(ws_program_name(s->program)), rc);
	ws_json_put(o, "program_evidence", ws_json_str(ws_session_evidence(s, evidence)), rc);
	ws_json_put(o, "partner", ws_json_str(ws_session_partner(s, partner)), rc);
}

/* Null for a session that took no backup. */
static json_t *backup_object(const struct ws_session *s, int *rc)
{
	struct ws_backup b;
	json_t *o;

	if (!ws_session_backup(s, &b))
		return json_null();
	o = json_object();
	ws_json_put(o, "streamed_bytes",
		    b.has_streamed ? ws_json_uint(b.streamed_bytes) : json_null(), rc);
	ws_json_put(o, "total_bytes", b.has_total ? ws_json_uint(b.total_bytes) : json_null(), rc);
	ws_json_put(o, "tablespaces", ws_json_uint_or_null(b.tablespaces), rc);
	ws_json_put(o, "tablespaces_streamed",
		    b.tablespaces ? ws_json_uint(b.tablespaces_done) : json_null(), rc);
	ws_json_put(o, "bytes_per_second", ws_json_uint_or_null(b.rate), rc);
	ws_json_put(o, "left_ns", b.has_left ? ws_json_uint(b.left_ns) : json_null(), rc);
	ws_json_put(o, "wal_bytes", ws_json_uint(b.wal_bytes), rc);
	ws_json_put(o, "manifest_uploaded_bytes", ws_json_uint(b.uploaded_bytes), rc);
	return o;
}

json_t *ws_json_session(const struct ws_export *ex, const struct ws_session *s, int *rc)
{
	json_t *o = json_object();
	uint64_t begin = ws_session_begin_ns(s);

	ws_json_put_session(o, s, rc);
	put_identity(o, s, rc);
	ws_json_put(o, "start", ws_json_time(ex, begin), rc);
	ws_json_put(o, "end", ws_json_time(ex, s->end_ns), rc);
	ws_json_put(o, "duration_ns",
		    begin ? ws_json_uint(ws_session_duration_ns(s, ex->opt.to_ns)) : json_null(),
		    rc);
	ws_json_put(o, "was_running", ws_json_bool(s->was_running), rc);
	ws_json_put(o, "logged", ws_json_bool(s->logged), rc);
	ws_json_put(o, "observed_from", ws_json_time(ex, s->begin_ns), rc);
	ws_json_put(o, "start_phases", start_phases(s, rc), rc);
	ws_json_put(o, "exit", exit_object(s, rc), rc);
	ws_json_put(o, "tls", s->valid & WS_VALID_TLS ? ws_json_bool(s->tls) : json_null(), rc);
	ws_json_put(o, "commands", ws_json_uint(s->commands), rc);
	ws_json_put(o, "events", ws_json_uint(s->events), rc);
	ws_json_put(o, "lost", ws_json_uint(s->lost), rc);
	ws_json_put(o, "wal_bytes", s->has_wal_bytes ? ws_json_uint(s->wal_bytes) : json_null(),
		    rc);
	ws_json_put(o, "wire_bytes", s->has_wire_bytes ? ws_json_uint(s->wire_bytes) : json_null(),
		    rc);
	ws_json_put(o, "acked_bytes",
		    s->has_wire_bytes ? ws_json_uint(s->acked_bytes) : json_null(), rc);
	ws_json_put(o, "sends", s->has_sends ? ws_json_uint(s->sends) : json_null(), rc);
	ws_json_put(o, "backup_bytes", ws_json_uint_or_null(s->backup_bytes), rc);
	ws_json_put(o, "backup", backup_object(s, rc), rc);
	ws_json_put(o, "memory_bytes", s->has_memory ? ws_json_uint(s->memory_bytes) : json_null(),
		    rc);
	ws_json_put(o, "memory_first_bytes",
		    s->has_memory ? ws_json_uint(s->memory_first) : json_null(), rc);
	ws_json_put(o, "memory_peak_bytes",
		    s->has_memory ? ws_json_uint(s->memory_peak) : json_null(), rc);
	ws_json_put(o, "postmaster_pid",
		    s->valid & WS_VALID_PARENT ? ws_json_uint_or_null(s->postmaster_pid)
					       : json_null(),
		    rc);
	return o;
}

static int json_session(struct ws_export *ex, const struct ws_session *s)
{
	int rc = 0;
	json_t *o = ws_json_session(ex, s, &rc);

	return ws_json_line(ex, o, rc);
}

/* How long the whole text is, and the hash that tells two apart of which the beginning is kept. */
static void put_sum(json_t *o, const char *bytes, const char *hash, bool there, bool cut,
		    const struct ws_text_sum *sum, int *rc)
{
	bool hashed = there && cut && sum->has_hash;

	ws_json_put(o, bytes, there && sum->has_bytes ? ws_json_uint(sum->bytes) : json_null(), rc);
	ws_json_put(o, hash,
		    hashed ? json_sprintf("%016llx", (unsigned long long)sum->xxh64) : json_null(),
		    rc);
}

json_t *ws_json_command(const struct ws_export *ex, const struct ws_session *session,
			const struct ws_command *c, int *rc)
{
	json_t *o = json_object();
	uint64_t duration;

	ws_json_put_session(o, session, rc);
	ws_json_put(o, "seq", ws_json_uint(c->seq), rc);
	ws_json_put(o, "command", ws_json_text(c->text, c->text_len), rc);
	ws_json_put(o, "kind", ws_json_str_or_null(c->kind), rc);
	ws_json_put(o, "start", ws_json_time(ex, c->start_ns), rc);
	ws_json_put(o, "duration_ns",
		    ws_command_duration(c, ex->opt.to_ns, &duration) ? ws_json_uint(duration)
								     : json_null(),
		    rc);
	ws_json_put(o, "outcome", ws_json_str(ws_outcome_name(c->outcome)), rc);
	ws_json_put(o, "severity", ws_json_str(ws_severity_name(c->elevel)), rc);
	ws_json_put(o, "sqlstate", ws_json_str_or_null(c->sqlstate), rc);
	ws_json_put(o, "message", ws_json_str(c->message), rc);
	ws_json_put(o, "location", ws_json_str(c->location), rc);
	ws_json_put(o, "message_type", ws_json_str(ws_message_type_name(c->message_type)), rc);
	ws_json_put(o, "truncated", ws_json_bool(c->truncated), rc);
	put_sum(o, "text_bytes", "text_xxh64", c->text != NULL, c->truncated, &c->sum, rc);
	ws_json_put(o, "message_truncated", ws_json_bool(c->message_truncated), rc);
	put_sum(o, "message_bytes", "message_xxh64", c->sqlstate[0] && c->message,
		c->message_truncated, &c->message_sum, rc);
	return o;
}

static int json_command(struct ws_export *ex, const struct ws_session *session,
			const struct ws_command *c)
{
	int rc = 0;
	json_t *o = ws_json_command(ex, session, c, &rc);

	return ws_json_line(ex, o, rc);
}

static int json_segment(struct ws_export *ex, const struct ws_session *session,
			const struct ws_segment *s)
{
	json_t *o = json_object();
	int rc = 0;

	ws_json_put_session(o, session, &rc);
	ws_json_put(o, "state", ws_json_str(ws_state_name(s->state)), &rc);
	ws_json_put(o, "start", ws_json_time(ex, s->start_ns), &rc);
	ws_json_put(o, "duration_ns", ws_json_uint(s->end_ns - s->start_ns), &rc);
	ws_json_put(o, "lsn_from", ws_json_lsn(s->lsn_from), &rc);
	ws_json_put(o, "lsn_to", ws_json_lsn(s->lsn_to), &rc);
	ws_json_put(o, "bytes", s->bytes_unknown ? json_null() : ws_json_uint(s->bytes), &rc);
	ws_json_put(o, "detail", ws_json_str(s->detail), &rc);
	return ws_json_line(ex, o, rc);
}

static json_t *buckets(const struct ws_hist *hist, int *rc)
{
	struct ws_hist_bucket bucket;
	json_t *array = json_array();
	uint32_t cursor = 0;

	while (ws_hist_next(hist, &cursor, &bucket)) {
		json_t *triple = json_array();

		ws_json_append(triple, ws_json_uint(bucket.lo), rc);
		ws_json_append(triple, ws_json_uint(bucket.hi), rc);
		ws_json_append(triple, ws_json_uint(bucket.count), rc);
		ws_json_append(array, triple, rc);
	}
	return array;
}

static int json_hist(struct ws_export *ex, const struct ws_session *session, enum ws_metric metric,
		     const struct ws_hist *hist)
{
	static const struct {
		const char *name;
		double q;
	} quantiles[] = { { "p50", 0.5 }, { "p90", 0.9 }, { "p99", 0.99 }, { "p999", 0.999 } };
	const struct ws_metric_info *info = ws_metric_info(metric);
	json_t *o = json_object();
	int rc = 0;

	ws_json_put_session(o, session, &rc);
	ws_json_put(o, "metric", ws_json_str(info->name), &rc);
	ws_json_put(o, "unit", ws_json_str(info->unit), &rc);
	ws_json_put(o, "count", ws_json_uint(hist->count), &rc);
	ws_json_put(o, "min", hist->count ? ws_json_uint(hist->min) : json_null(), &rc);
	ws_json_put(o, "max", hist->count ? ws_json_uint(hist->max) : json_null(), &rc);
	ws_json_put(o, "mean", hist->count ? ws_json_real(ws_hist_mean(hist), 1e-3) : json_null(),
		    &rc);
	for (size_t i = 0; i < WS_ARRAY_SIZE(quantiles); i++)
		ws_json_put(o, quantiles[i].name,
			    hist->count ? ws_json_uint(ws_hist_quantile(hist, quantiles[i].q))
					: json_null(),
			    &rc);
	ws_json_put(o, "buckets", buckets(hist, &rc), &rc);
	return ws_json_line(ex, o, rc);
}

const struct ws_format ws_format_json = {
	.name = "json",
	.session = json_session,
	.command = json_command,
	.segment = json_segment,
	.hist = json_hist,
	.event = ws_json_event,
	.doctor = ws_json_doctor,
	.symbols = ws_json_symbols,
	.explained = ws_json_explained,
	.slots = ws_json_slots,
	.show = ws_json_show,
};
