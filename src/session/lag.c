/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How far a standby is behind in time: each position sent is remembered with the time of its
 * sending, and a reply that confirms it says how long that took. The server's own estimate
 * (LagTrackerRead, walsender.c) is cleared once a standby idles, and keeps its last value while one
 * is stuck; this one follows each byte.
 */
#include <stdlib.h>
#include <string.h>

#include "session/machine.h"

/* Positions kept; beyond that every second one goes, and of the new ones likewise, so that memory
 * is bound and what is left still spans all that is not confirmed. */
#define MARKS_MAX 1024

static const struct {
	enum ws_metric metric;
	size_t lsn; /* of the session */
} positions[WS_LAG_COUNT] = {
	[WS_LAG_WRITE] = { WS_METRIC_WRITE_LAG_NS, offsetof(struct ws_session, write_lsn) },
	[WS_LAG_FLUSH] = { WS_METRIC_FLUSH_LAG_NS, offsetof(struct ws_session, flush_lsn) },
	[WS_LAG_APPLY] = { WS_METRIC_APPLY_LAG_NS, offsetof(struct ws_session, apply_lsn) },
};

static uint64_t *position(struct ws_session *s, enum ws_lag lag)
{
	return (uint64_t *)((char *)s + positions[lag].lsn);
}

static struct ws_mark *mark_at(struct ws_lags *lags, size_t i)
{
	return &lags->marks[(lags->first + i) % MARKS_MAX];
}

static void thin_out(struct ws_lags *lags)
{
	size_t kept = 0;

	/* Of two neighbours the later: what lies before it was sent by then. */
	for (size_t i = 1; i < lags->count; i += 2)
		*mark_at(lags, kept++) = *mark_at(lags, i);
	lags->count = kept;
	lags->stride *= 2;
}

static void remember(struct ws_machine *m, uint64_t lsn, uint64_t time_ns)
{
	struct ws_lags *lags = &m->lags;

	if (!lags->marks) {
		lags->marks = calloc(MARKS_MAX, sizeof(*lags->marks));
		if (!lags->marks) {
			m->model->failed = true;
			return;
		}
	}
	if (!lags->count)
		lags->stride = 1;
	if (lags->count == MARKS_MAX)
		thin_out(lags);
	if (!lags->count || ++lags->in_last >= lags->stride) {
		lags->in_last = 0;
		lags->count++;
	}
	*mark_at(lags, lags->count - 1) = (struct ws_mark){ lsn, time_ns };
}

/* When the byte in front of `lsn` was sent; 0 if that is not known. */
static uint64_t sent_at(struct ws_lags *lags, uint64_t lsn)
{
	size_t low = 0, high = lags->count;

	if (lsn <= lags->known_from)
		return 0;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (mark_at(lags, middle)->lsn < lsn)
			low = middle + 1;
		else
			high = middle;
	}
	return low < lags->count ? mark_at(lags, low)->time_ns : 0;
}

/* Nobody will ask for what all have confirmed. A client may never confirm one of the positions. */
static void drop_confirmed(struct ws_machine *m)
{
	struct ws_lags *lags = &m->lags;
	uint64_t least = UINT64_MAX;

	for (int i = 0; i < WS_LAG_COUNT; i++) {
		uint64_t lsn = *position(&m->s, i);

		if (lsn && lsn < least)
			least = lsn;
	}
	/* Replies that say nothing but what they always said. */
	if (least == UINT64_MAX)
		return;
	while (lags->count && mark_at(lags, 0)->lsn <= least) {
		lags->known_from = mark_at(lags, 0)->lsn;
		lags->first = (lags->first + 1) % MARKS_MAX;
		lags->count--;
	}
}

void ws_lag_begin(struct ws_machine *m, uint64_t lsn)
{
	struct ws_lags *lags = &m->lags;

	lags->first = lags->count = 0;
	lags->known_from = lsn;
	lags->known = lsn != 0;
	memset(m->s.lag_ns, 0, sizeof(m->s.lag_ns));
	m->s.has_lag = 0;
}

/* When in a turn replies had been read, and sending began. */
static uint64_t turning_point(const struct ws_rec_turn *r)
{
	const __u64 *ns = r->stage_ns;
	uint64_t behind = ns[WS_STAGE_READ] + ns[WS_STAGE_DECODE] + ns[WS_STAGE_PLUGIN] +
			  ns[WS_STAGE_SEND] + ns[WS_STAGE_TAIL];

	return behind < r->h.time_ns - r->begin_ns ? r->h.time_ns - behind : r->begin_ns;
}

void ws_lag_sent(struct ws_machine *m, const struct ws_rec_turn *r)
{
	if (!r->lsn_from || r->lsn_to <= r->lsn_from)
		return;
	if (!m->lags.known || r->lsn_from < m->lags.known_from)
		ws_lag_begin(m, r->lsn_from);
	remember(m, r->lsn_to, turning_point(r));
}

static void confirm(struct ws_machine *m, enum ws_lag lag, uint64_t lsn, int64_t server_us,
		    uint64_t time_ns)
{
	uint64_t *known = position(&m->s, lag), sent;
	/* Of a session found running the first reply may repeat one. */
	bool moved = lsn > *known && m->replied;

	*known = lsn;
	if (!moved)
		return;
	sent = sent_at(&m->lags, lsn);
	if (sent && sent <= time_ns)
		m->s.lag_ns[lag] = time_ns - sent;
	else if (!sent && server_us >= 0)
		m->s.lag_ns[lag] = (uint64_t)server_us * 1000; /* sent before walscope looked */
	else
		return;
	m->s.has_lag |= 1U << lag;
	ws_metrics_lag(m, positions[lag].metric, m->s.lag_ns[lag]);
}

void ws_lag_reply(struct ws_machine *m, const struct ws_rec_turn *r)
{
	uint64_t time_ns = turning_point(r);

	confirm(m, WS_LAG_WRITE, r->write_lsn, r->write_lag_us, time_ns);
	confirm(m, WS_LAG_FLUSH, r->flush_lsn, r->flush_lag_us, time_ns);
	confirm(m, WS_LAG_APPLY, r->apply_lsn, r->apply_lag_us, time_ns);
	m->replied = true;
	drop_confirmed(m);
}

bool ws_session_lag(const struct ws_session *session, enum ws_lag lag, uint64_t now_ns,
		    uint64_t *ns)
{
	struct ws_machine *m = ws_machine_of(session);
	uint64_t confirmed = *position(&m->s, lag), sent;

	if (!confirmed)
		return false;
	if (session->sent_lsn && confirmed >= session->sent_lsn) {
		*ns = 0;
		return true;
	}
	sent = sent_at(&m->lags, confirmed + 1);
	if (!sent || sent > now_ns)
		return false;
	*ns = now_ns - sent;
	return true;
}

void ws_lag_deinit(struct ws_machine *m)
{
	free(m->lags.marks);
	m->lags = (struct ws_lags){ 0 };
}
