/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stretches in which a session was blocked on what no probe shows, sampled from outside. A record
 * of the session itself tells afterwards what the time around such a stretch went into: the
 * stretch is then cut out of it.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/util.h"
#include "session/machine.h"

#define OPEN UINT64_MAX

/* Stretches that wait for the record around them. Where one makes none for long, and so many come
 * that they find no room, the time stays with the state around. */
#define STRETCHES_MAX 4096

/* Within this time of the signal a process that runs has stopped. */
#define STOP_WITHIN_NS 10000000ULL

#define BIT(state) (1U << WS_STATE_##state)
#define BACKUP                                                                                 \
	(BIT(BACKUP_CHECKPOINT) | BIT(BACKUP_ESTIMATE) | BIT(BACKUP_READ) | BIT(BACKUP_SEND) | \
	 BIT(BACKUP_WAIT_ARCHIVE) | BIT(BACKUP_WAL) | BIT(BACKUP_MANIFEST))
#define STREAM (BIT(WAIT_WAL) | BIT(READ_WAL) | BIT(DECODE) | BIT(OUTPUT_PLUGIN) | BIT(SEND))

_Static_assert(WS_STATE_COUNT <= 32, "states are bits");

/* What it is then, and out of which states the stretch can be. */
static const struct {
	enum ws_state state;
	uint32_t cuts;
} rules[] = {
	[WS_BLOCKED_LOCK] = { WS_STATE_WAIT_LOCK, BIT(STARTING) | BIT(COMMAND) | BIT(SQL) |
							  BIT(DECODE) | BIT(OUTPUT_PLUGIN) |
							  BIT(REPLY) | BIT(EXITING) | BACKUP },
	/* One that ends and cannot tell its client is exiting all the same. */
	[WS_BLOCKED_CLIENT_WRITE] = { WS_STATE_SEND_BLOCKED,
				      BIT(STARTING) | BIT(COMMAND) | BIT(SQL) | BIT(REPLY) |
					      BIT(STOPPING) | STREAM | BACKUP },
	/* Until the message is whole no record says that the wait for WAL or socket is over. */
	[WS_BLOCKED_CLIENT_READ] = { WS_STATE_RECV_BLOCKED,
				     BIT(REPLY) | BIT(SEND_BLOCKED) | BIT(STOPPING) | STREAM },
	[WS_BLOCKED_THROTTLE] = { WS_STATE_BACKUP_THROTTLED, BACKUP },
	/* It looks for replies meanwhile; the last record may have announced a wait. */
	[WS_BLOCKED_COPYDONE] = { WS_STATE_WAIT_COPYDONE, BIT(REPLY) | BIT(SEND_BLOCKED) |
								  BIT(STOPPING) | BIT(WAIT_WAL) |
								  BIT(READ_WAL) | BIT(SEND) },
	/* Behind the checkpoint, and nothing says that this is over (PrepareForIncrementalBackup).
	 */
	[WS_BLOCKED_SUMMARY] = { WS_STATE_BACKUP_MANIFEST, BACKUP },
	[WS_BLOCKED_STOPPED] = { WS_STATE_STOPPED, ~(BIT(LOST) | BIT(STOPPED)) },
};

static struct ws_stretch *last_stretch(struct ws_machine *m)
{
	return m->stretch_count ? &m->stretches[m->stretch_count - 1] : NULL;
}

static void end_stretch(struct ws_machine *m, uint64_t time_ns)
{
	struct ws_stretch *last = last_stretch(m);

	if (!last || last->to_ns != OPEN)
		return;
	last->to_ns = time_ns;
	if (last->to_ns <= last->from_ns)
		m->stretch_count--;
}

static void begin_stretch(struct ws_machine *m, enum ws_blocked_on on, uint64_t from_ns,
			  const struct ws_rec_blocked *r)
{
	const struct ws_stretch *last = last_stretch(m);
	struct ws_stretch *stretch;

	if (last && from_ns < last->to_ns && last->to_ns != OPEN)
		from_ns = last->to_ns;
	if (m->stretch_count >= STRETCHES_MAX)
		return;
	stretch =
		ws_array_grow(&m->stretches, &m->stretch_count, &m->stretch_cap, sizeof(*stretch));
	if (!stretch) {
		m->model->failed = true;
		return;
	}
	*stretch =
		(struct ws_stretch){ .on = on, .from_ns = from_ns, .to_ns = OPEN, .signalled = !r };
	if (on == WS_BLOCKED_SUMMARY)
		snprintf(stretch->detail, sizeof(stretch->detail), "waits for the WAL summarizer");
	if (on != WS_BLOCKED_LOCK || !r)
		return;
	if (!r->xid && r->holder_pid)
		snprintf(stretch->detail, sizeof(stretch->detail), "waits for a lock of process %u",
			 r->holder_pid);
	else if (r->xid && r->holder_pid)
		snprintf(stretch->detail, sizeof(stretch->detail),
			 "waits for transaction %u of process %u", r->xid, r->holder_pid);
	else if (r->xid)
		snprintf(stretch->detail, sizeof(stretch->detail), "waits for transaction %u",
			 r->xid);
}

static bool knows(uint32_t on)
{
	return on < WS_ARRAY_SIZE(rules) && rules[on].cuts;
}

void ws_blocked_feed(struct ws_machine *m, const struct ws_rec_blocked *r)
{
	const struct ws_stretch *last = last_stretch(m);
	uint64_t from_ns = r->since_ns && r->since_ns < r->h.time_ns ? r->since_ns : r->h.time_ns;
	bool stopped = last && last->to_ns == OPEN && last->on == WS_BLOCKED_STOPPED;

	/* It goes on: the signal that began it was seen. */
	if (stopped && r->on == WS_BLOCKED_STOPPED)
		return;
	end_stretch(m, from_ns);
	if (knows(r->on))
		begin_stretch(m, r->on, from_ns, r);
	/* No other record comes while SQL runs: what is known can be told at once. */
	if (m->s.state == WS_STATE_SQL)
		ws_timeline_enter(m, WS_STATE_SQL, r->h.time_ns);
}

bool ws_blocked_is_signal(uint32_t signal)
{
	return signal == SIGSTOP || signal == SIGCONT;
}

void ws_blocked_signal(struct ws_machine *m, const struct ws_rec_signal *r)
{
	end_stretch(m, r->h.time_ns);
	if (r->signal == SIGSTOP)
		begin_stretch(m, WS_BLOCKED_STOPPED, r->h.time_ns, NULL);
}

void ws_blocked_over(struct ws_machine *m, uint64_t time_ns)
{
	struct ws_stretch *last = last_stretch(m);

	/* On its way to a stop: it goes on until it takes the signal. */
	if (last && last->to_ns == OPEN && last->signalled &&
	    time_ns < last->from_ns + STOP_WITHIN_NS)
		last->from_ns = time_ns;
	else
		end_stretch(m, time_ns);
}

static void forget_before(struct ws_machine *m, uint64_t time_ns)
{
	size_t gone = 0;

	while (gone < m->stretch_count && m->stretches[gone].to_ns <= time_ns)
		gone++;
	if (!gone)
		return;
	m->stretch_count -= gone;
	for (size_t i = 0; i < m->stretch_count; i++)
		m->stretches[i] = m->stretches[i + gone];
}

static const char *detail_of(struct ws_machine *m, const struct ws_stretch *stretch)
{
	char *text;

	if (ws_timeline_wanted(m) && m->backup_phase && !stretch->detail[0])
		return m->backup.text;
	if (!ws_timeline_wanted(m) || !stretch->detail[0])
		return NULL;
	text = m->detail[m->detail_turn++ % WS_ARRAY_SIZE(m->detail)];
	snprintf(text, sizeof(m->detail[0]), "%s", stretch->detail);
	return text;
}

bool ws_blocked_cut(struct ws_machine *m, enum ws_state state, uint64_t from_ns,
		    struct ws_slice *slice)
{
	forget_before(m, from_ns);
	for (size_t i = 0; i < m->stretch_count; i++) {
		const struct ws_stretch *stretch = &m->stretches[i];

		if (stretch->from_ns >= slice->until_ns)
			return false;
		if (!(rules[stretch->on].cuts & (1U << state)))
			continue;
		if (stretch->from_ns > from_ns) {
			slice->until_ns = stretch->from_ns; /* what is in front of it */
			return true;
		}
		if (stretch->to_ns < slice->until_ns)
			slice->until_ns = stretch->to_ns;
		slice->state = rules[stretch->on].state;
		slice->detail = detail_of(m, stretch);
		return true;
	}
	return false;
}

enum ws_state ws_session_doing(const struct ws_session *session, uint64_t *since_ns)
{
	struct ws_machine *m = ws_machine_of(session);
	const struct ws_stretch *last = last_stretch(m);

	*since_ns = session->state_since_ns;
	if (!last || last->to_ns != OPEN || !(rules[last->on].cuts & (1U << session->state)))
		return session->state;
	if (last->from_ns > *since_ns)
		*since_ns = last->from_ns;
	return rules[last->on].state;
}

void ws_blocked_deinit(struct ws_machine *m)
{
	free(m->stretches);
}
