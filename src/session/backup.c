/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * BASE_BACKUP and UPLOAD_MANIFEST: which phase the time went into, how far it is, how fast, and how
 * long it will take. The programs count what the client was handed; what there is in all, and how
 * many tablespaces, the server says (PROGRESS).
 */
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "session/machine.h"

/* A rate over less is none. */
#define RATE_MIN_NS 100000000ULL
/* So long chunks are gathered before they are told (bpf/on_backup.h, BACKUP_EVERY_NS). */
#define GATHERED_NS 100000000ULL

static bool is_upload(const struct ws_machine *m, const struct ws_rec_backup *r)
{
	return m->backup_phase == WS_BACKUP_UPLOAD || r->phase == WS_BACKUP_UPLOAD;
}

static uint64_t per_second(uint64_t bytes, uint64_t ns)
{
	return ns < RATE_MIN_NS ? 0 : (uint64_t)((unsigned __int128)bytes * 1000000000U / ns);
}

/*
 * Of files. What the client is handed may be less: the server compresses behind its own count
 * (basebackup.c, SendBaseBackup, 15 and later). It comes ten times as often, and goes on counting
 * time where nothing is taken any more.
 */
static uint64_t rate_of(const struct ws_backup_run *b)
{
	uint64_t rate = per_second(b->rated_bytes, b->rated_to_ns - b->rated_from_ns);
	uint64_t streamed = b->last.streamed - b->first.streamed;
	uint64_t counted = b->last.counted - b->first.counted;
	unsigned __int128 files;

	if (b->last.streamed < b->first.streamed || !streamed)
		return rate;
	if (!rate || !counted) /* without chunks (level 1) */
		return per_second(streamed, b->last.time_ns - b->first.time_ns);
	files = (unsigned __int128)rate * streamed / counted;
	return files > UINT64_MAX ? UINT64_MAX : (uint64_t)files;
}

bool ws_session_backup(const struct ws_session *session, struct ws_backup *out)
{
	const struct ws_machine *m = ws_machine_of(session);
	const struct ws_backup_run *b = &m->backup;
	unsigned __int128 left;

	memset(out, 0, sizeof(*out));
	if (!b->seen)
		return false;
	out->phase = b->phase;
	out->streamed_bytes = b->counted;
	out->wal_bytes = b->wal_bytes;
	out->uploaded_bytes = b->uploaded_bytes;
	out->rate = rate_of(b);
	if (b->has_progress) {
		const struct ws_rec_progress *p = &b->progress;

		out->has_progress = true;
		out->tablespaces = p->tablespaces;
		out->tablespaces_done = p->tablespaces_done;
		if (p->streamed_bytes > b->counted || !b->whole)
			out->streamed_bytes = p->streamed_bytes;
		out->has_total = p->valid & WS_PROGRESS_TOTAL;
		out->total_bytes = out->has_total ? p->total_bytes : 0;
	} else if (!b->whole) {
		out->streamed_bytes = 0;
	}
	out->has_streamed = b->has_progress || b->whole;
	if (out->has_total && out->total_bytes < out->streamed_bytes)
		out->total_bytes = out->streamed_bytes;
	if (!out->has_total || !out->rate || b->phase != WS_BACKUP_STREAM)
		return true;
	left = (unsigned __int128)(out->total_bytes - out->streamed_bytes) * 1000000000U /
	       out->rate;
	out->has_left = true;
	out->left_ns = left > UINT64_MAX ? UINT64_MAX : (uint64_t)left;
	return true;
}

/* "12 MB of 60 MB, tablespace 1 of 2, 4 MB/s, 12 s left" */
static const char *describe(struct ws_machine *m)
{
	char done[WS_BYTES_TEXT], total[WS_BYTES_TEXT], rate[WS_BYTES_TEXT], left[WS_DURATION_TEXT];
	struct ws_backup_run *b = &m->backup;
	struct ws_buf line = { 0 };
	struct ws_backup now;
	char *text;
	int rc;

	if (!ws_timeline_wanted(m) || !ws_session_backup(&m->s, &now) || !now.has_streamed)
		return NULL;
	rc = ws_buf_addf(&line, "%s", ws_bytes_format(now.streamed_bytes, done));
	if (now.has_total)
		rc |= ws_buf_addf(&line, " of %s", ws_bytes_format(now.total_bytes, total));
	if (now.tablespaces && now.tablespaces_done < now.tablespaces)
		rc |= ws_buf_addf(&line, ", tablespace %u of %u", now.tablespaces_done + 1,
				  now.tablespaces);
	if (now.rate)
		rc |= ws_buf_addf(&line, ", %s/s", ws_bytes_format(now.rate, rate));
	if (now.has_left)
		rc |= ws_buf_addf(&line, ", %s left", ws_duration_format(now.left_ns, left));
	text = b->detail[b->detail_turn++ % WS_ARRAY_SIZE(b->detail)];
	snprintf(text, sizeof(b->detail[0]), "%s", rc == 0 && line.data ? line.data : "");
	ws_buf_deinit(&line);
	return text;
}

/* Another backup begins, or the first one is seen at all. */
static void begin(struct ws_machine *m, const struct ws_rec_backup *r)
{
	struct ws_backup_run *b = &m->backup;
	uint64_t uploaded = b->uploaded_bytes;

	if (b->seen && r->phase != WS_BACKUP_BEGIN)
		return;
	memset(b, 0, sizeof(*b));
	b->seen = true;
	b->told_ns = m->s.begin_ns;
	b->whole = r->phase == WS_BACKUP_BEGIN || r->phase == WS_BACKUP_UPLOAD;
	b->uploaded_bytes = uploaded;
}

/*
 * Of what a record tells, as much as the client had been handed at a time. A record comes with the
 * first chunk that is over so long behind the record before: if it comes much later, its last chunk
 * took the time, and the others were handed over before that.
 */
static uint64_t bytes_before(const struct ws_machine *m, const struct ws_rec_backup *r,
			     uint64_t time_ns)
{
	uint64_t from = m->backup.told_ns, to = r->h.time_ns, until, rest;

	/* Of a recording that was cut: the chunk began before what is known. */
	if (r->send_ns < to && to - r->send_ns < from)
		from = to - r->send_ns;
	if (time_ns > to)
		return r->bytes;
	if (time_ns <= from)
		return 0;
	rest = r->bytes - (r->chunks ? r->bytes / r->chunks : 0);
	until = to - from < GATHERED_NS ? to : from + GATHERED_NS;
	if (time_ns >= until)
		return rest;
	return (uint64_t)((unsigned __int128)rest * (time_ns - from) / (until - from));
}

static uint64_t bytes_in_window(const struct ws_machine *m, const struct ws_rec_backup *r)
{
	const struct ws_model *model = m->model;
	uint64_t from = model->from_ns > m->s.begin_ns ? model->from_ns : m->s.begin_ns;

	return from < model->to_ns ? bytes_before(m, r, model->to_ns) - bytes_before(m, r, from)
				   : 0;
}

static void count(struct ws_machine *m, const struct ws_rec_backup *r, uint64_t inside)
{
	struct ws_backup_run *b = &m->backup;
	bool streams = m->backup_phase == WS_BACKUP_STREAM;

	if (is_upload(m, r)) {
		b->uploaded_bytes += r->bytes;
		return;
	}
	b->counted += r->bytes;
	if (m->backup_phase == WS_BACKUP_WAL)
		b->wal_bytes += r->bytes;
	if (!b->rated_from_ns && (streams || r->phase == WS_BACKUP_STREAM)) {
		b->rated_from_ns = b->rated_to_ns = r->h.time_ns;
	} else if (streams) {
		b->rated_bytes += r->bytes;
		b->rated_to_ns = r->h.time_ns;
	}
	m->s.backup_bytes += inside;
}

/* What the time since the record before went into. */
static void lay_out(struct ws_machine *m, const struct ws_rec_backup *r, uint64_t bytes)
{
	uint64_t from = m->s.accounted_ns, span;
	struct ws_slice slice = { .state = WS_STATE_BACKUP_READ, .detail = m->backup.text };

	if (r->h.time_ns <= from)
		return;
	if (m->backup_phase == WS_BACKUP_WAL && r->bytes) {
		slice.state = WS_STATE_BACKUP_WAL;
		slice.until_ns = r->h.time_ns;
		slice.bytes = bytes;
		slice.clipped = true;
		ws_timeline_fill_off_cpu(m, &slice, ws_timeline_take_off_cpu(m));
		return;
	}
	if (m->backup_phase != WS_BACKUP_STREAM)
		return;
	span = r->h.time_ns - from;
	slice.until_ns = r->send_ns < span ? r->h.time_ns - r->send_ns : from;
	ws_timeline_fill_off_cpu(m, &slice, ws_timeline_take_off_cpu(m));
	slice.state = WS_STATE_BACKUP_SEND;
	slice.until_ns = r->h.time_ns;
	slice.bytes = bytes;
	slice.clipped = true;
	ws_timeline_fill(m, &slice);
}

static enum ws_state state_of(uint32_t phase)
{
	static const enum ws_state states[] = {
		[0] = WS_STATE_COMMAND,
		[WS_BACKUP_BEGIN] = WS_STATE_BACKUP_CHECKPOINT,
		[WS_BACKUP_CHECKPOINT] = WS_STATE_BACKUP_CHECKPOINT,
		[WS_BACKUP_ESTIMATE] = WS_STATE_BACKUP_ESTIMATE,
		[WS_BACKUP_STREAM] = WS_STATE_BACKUP_READ,
		[WS_BACKUP_WAIT_ARCHIVE] = WS_STATE_BACKUP_WAIT_ARCHIVE,
		[WS_BACKUP_WAL] = WS_STATE_BACKUP_WAL,
		[WS_BACKUP_DONE] = WS_STATE_COMMAND,
		[WS_BACKUP_MANIFEST] = WS_STATE_BACKUP_MANIFEST,
		[WS_BACKUP_UPLOAD] = WS_STATE_BACKUP_MANIFEST,
	};

	return phase < WS_ARRAY_SIZE(states) ? states[phase] : WS_STATE_COUNT;
}

void ws_backup_feed(struct ws_machine *m, const struct ws_rec_backup *r)
{
	enum ws_state state = state_of(r->phase);
	uint64_t inside;

	if (state == WS_STATE_COUNT)
		return;
	ws_command_goes_on(m);
	begin(m, r);
	inside = bytes_in_window(m, r);
	count(m, r, inside);
	m->backup.phase = r->phase;
	m->backup.told_ns = r->h.time_ns;
	lay_out(m, r, inside);
	ws_timeline_enter(m, state, r->h.time_ns);
	m->backup_phase = r->phase;
	m->s.kind = WS_SESSION_KIND_BACKUP;
	if (r->phase == WS_BACKUP_UPLOAD)
		m->state_detail = "upload of the client's manifest";
}

void ws_backup_progress(struct ws_machine *m, const struct ws_rec_progress *r)
{
	struct ws_backup_run *b = &m->backup;

	/* Of the command before, or of one of which nothing was seen. */
	if (!m->backup_phase || m->backup_phase == WS_BACKUP_UPLOAD)
		return;
	b->seen = true;
	if (r->phase == WS_PROGRESS_STREAM) {
		b->last = (struct ws_backup_reading){ r->h.time_ns, r->streamed_bytes, b->counted };
		if (!b->first.time_ns)
			b->first = b->last;
	}
	b->has_progress = true;
	b->progress = *r;
	b->text = describe(m);
}
