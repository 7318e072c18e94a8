/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From records to states. One function per kind of record, in a table; each says up to when the
 * time went where, and what the session is doing from then on.
 */
#include "session/machine.h"

#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "event/order.h"
#include "event/schema.h"

static void enter(struct ws_machine *m, enum ws_state state, const struct ws_rec *rec)
{
	ws_timeline_enter(m, state, rec->time_ns);
}

void ws_machine_set_wait(struct ws_machine *m, enum ws_wait wait)
{
	m->wait = wait;
	m->wait_lost = false;
	m->wait_stopping = m->s.walsnd_state == WS_WALSND_STOPPING;
}

/* Nothing of a command goes on. */
static void leave_command(struct ws_machine *m)
{
	ws_metrics_stream_end(m);
	m->in_loop = false;
	ws_machine_set_wait(m, WS_WAIT_NONE);
	m->quiet_ns = 0;
	m->full_since_ns = 0;
	m->backup_phase = 0;
	m->backup.phase = 0;
}

/* What a session that already ran was found doing. */
static void take_found(struct ws_machine *m, const struct ws_rec_session *r)
{
	/* The wait may have gone on for any time. */
	static const struct {
		enum ws_state state;
		enum ws_wait wait;
		bool in_loop;
		enum ws_backup_phase backup_phase;
	} found[] = {
		[WS_FOUND_UNKNOWN] = { .state = WS_STATE_UNKNOWN },
		[WS_FOUND_IDLE] = { .state = WS_STATE_IDLE },
		[WS_FOUND_COMMAND] = { .state = WS_STATE_COMMAND },
		[WS_FOUND_STREAM_WAL] = { .state = WS_STATE_WAIT_WAL,
					  .wait = WS_WAIT_WAL,
					  .in_loop = true },
		[WS_FOUND_STREAM_SOCKET] = { .state = WS_STATE_SEND_BLOCKED,
					     .wait = WS_WAIT_SOCKET,
					     .in_loop = true },
		[WS_FOUND_STREAM_BUSY] = { .state = WS_STATE_SEND, .in_loop = true },
		[WS_FOUND_STREAM_STANDBY] = { .state = WS_STATE_WAIT_STANDBY,
					      .wait = WS_WAIT_STANDBY,
					      .in_loop = true },
		[WS_FOUND_STREAM_RECV] = { .state = WS_STATE_RECV_BLOCKED, .in_loop = true },
		[WS_FOUND_BACKUP_SEND] = { .state = WS_STATE_BACKUP_SEND,
					   .backup_phase = WS_BACKUP_STREAM },
		[WS_FOUND_STARTING] = { .state = WS_STATE_STARTING },
		[WS_FOUND_BACKUP_CHECKPOINT] = { .state = WS_STATE_BACKUP_CHECKPOINT,
						 .backup_phase = WS_BACKUP_CHECKPOINT },
		[WS_FOUND_BACKUP_ARCHIVE] = { .state = WS_STATE_BACKUP_WAIT_ARCHIVE,
					      .backup_phase = WS_BACKUP_WAIT_ARCHIVE },
	};
	struct ws_session *s = &m->s;

	if (r->slot[0])
		memcpy(s->slot, r->slot, sizeof(s->slot));
	if (r->walsnd_state)
		s->walsnd_state = r->walsnd_state - 1;
	s->sent_lsn = r->sent_lsn;
	if (r->found >= WS_ARRAY_SIZE(found))
		return;
	enter(m, found[r->found].state, &r->h);
	ws_machine_set_wait(m, found[r->found].wait);
	m->in_loop = found[r->found].in_loop;
	m->backup_phase = m->backup.phase = found[r->found].backup_phase;
	m->streamed |= m->in_loop;
	m->found_starting = r->found == WS_FOUND_STARTING;
	if (m->in_loop)
		ws_client_listens(m, 0);
}

static void on_session(struct ws_machine *m, const struct ws_rec *rec)
{
	const struct ws_rec_session *r = (const struct ws_rec_session *)rec;
	struct ws_session *s = &m->s;
	bool again = s->packet_ns; /* another run, or segment, finds it: its start was seen */

	s->ns_pid = r->ns_pid;
	s->postmaster_pid = r->postmaster_pid;
	s->valid = r->valid;
	s->port = r->port;
	s->database = rec->flags & WS_SESSION_DATABASE;
	s->has_database = !(rec->flags & WS_SESSION_UNPARSED);
	s->tls = rec->flags & WS_SESSION_TLS;
	m->refused = rec->flags & WS_SESSION_REFUSED;
	s->logged = rec->flags & WS_SESSION_LOGGED;
	memcpy(s->user, r->user, sizeof(s->user));
	memcpy(s->database_name, r->database, sizeof(s->database_name));
	memcpy(s->application, r->application, sizeof(s->application));
	memcpy(s->host, r->host, sizeof(s->host));
	s->fork_ns = again ? s->fork_ns : r->fork_ns;
	s->cascading = rec->flags & WS_SESSION_CASCADING;
	ws_client_judge(m);
	if (!(rec->flags & WS_SESSION_RUNNING)) {
		s->packet_ns = rec->time_ns;
		enter(m, WS_STATE_STARTING, rec);
		return;
	}
	s->was_running |= !again;
	if (rec->time_ns < s->accounted_ns) /* the programs were faster: a snapshot of the past */
		return;
	take_found(m, r);
}

static void on_ready(struct ws_machine *m, const struct ws_rec *rec)
{
	m->s.ready_ns = rec->time_ns;
	enter(m, WS_STATE_IDLE, rec);
}

static void on_phase(struct ws_machine *m, const struct ws_rec *rec)
{
	const struct ws_rec_phase *r = (const struct ws_rec_phase *)rec;

	switch (r->phase) {
	case WS_PHASE_AUTH_BEGIN:
		m->s.auth_begin_ns = rec->time_ns;
		break;
	case WS_PHASE_AUTH_END:
		m->s.auth_end_ns = rec->time_ns;
		if (m->s.logged)
			enter(m, WS_STATE_UNKNOWN, rec);
		break;
	case WS_PHASE_INITIALIZED:
		m->s.initialized_ns = rec->time_ns;
		m->s.cascading = rec->flags & WS_PHASE_CASCADING;
		ws_client_judge(m);
		break;
	}
}

static void on_message(struct ws_machine *m, const struct ws_rec *rec)
{
	ws_command_message(m, (const struct ws_rec_message *)rec);
}

static void on_command(struct ws_machine *m, const struct ws_rec *rec)
{
	bool found = rec->flags & WS_COMMAND_RUNNING;

	ws_command_begin(m, rec);
	if (found && (m->in_loop || m->backup_phase)) {
		m->command.streaming = m->in_loop;
		return;
	}
	leave_command(m);
	enter(m, WS_STATE_COMMAND, rec);
}

static void on_text(struct ws_machine *m, const struct ws_rec *rec)
{
	ws_command_text(m, (const struct ws_rec_text *)rec);
}

static void on_text_sum(struct ws_machine *m, const struct ws_rec *rec)
{
	ws_command_text_sum(m, (const struct ws_rec_text_sum *)rec);
}

static void on_command_end(struct ws_machine *m, const struct ws_rec *rec)
{
	const struct ws_rec_command_end *r = (const struct ws_rec_command_end *)rec;

	leave_command(m);
	if (r->how == WS_COMMAND_IS_SQL) {
		ws_command_is_sql(m);
		enter(m, WS_STATE_SQL, rec);
	} else {
		enter(m, WS_STATE_IDLE, rec);
		ws_command_done(m, rec->time_ns);
	}
}

static void on_error(struct ws_machine *m, const struct ws_rec *rec)
{
	const struct ws_rec_error *r = (const struct ws_rec_error *)rec;

	if (r->elevel == WS_ELEVEL_ERROR) {
		leave_command(m);
		enter(m, WS_STATE_IDLE, rec);
	} else if (r->elevel != WS_ELEVEL_COMMERROR) {
		leave_command(m);
		enter(m, WS_STATE_EXITING, rec);
	}
	ws_command_error(m, r);
}

static void on_state(struct ws_machine *m, const struct ws_rec *rec)
{
	const struct ws_rec_state *r = (const struct ws_rec_state *)rec;
	struct ws_server_seen *server;

	m->s.walsnd_state = r->to;
	if (r->sent_lsn)
		m->s.sent_lsn = r->sent_lsn;
	if (r->to != WS_WALSND_STOPPING)
		return;
	server = ws_model_server_seen(m->model, &m->s);
	if (server)
		server->stopping = true;
}

static void on_stream(struct ws_machine *m, const struct ws_rec *rec)
{
	const struct ws_rec_stream *r = (const struct ws_rec_stream *)rec;
	struct ws_session *s = &m->s;

	leave_command(m);
	/* Until the first turn: its record says where the time in the loop went. Without turns
	 * (level 1) no more is known than that the command runs. */
	enter(m, WS_STATE_COMMAND, rec);
	m->in_loop = true;
	m->untold = true;
	if ((rec->flags & WS_STREAM_SLOT) && r->slot[0])
		memcpy(m->command.slot, r->slot, sizeof(m->command.slot));
	ws_command_streams(m);
	m->reply_ns = 0;
	m->replied = true;
	ws_lag_begin(m, r->sent_lsn);
	m->streamed = true;
	s->kind =
		rec->flags & WS_STREAM_LOGICAL ? WS_SESSION_KIND_LOGICAL : WS_SESSION_KIND_PHYSICAL;
	if ((rec->flags & WS_STREAM_SLOT) && r->slot[0])
		ws_slot_streams(m);
	if (r->sent_lsn)
		s->sent_lsn = r->sent_lsn;
}

static void on_keepalive(struct ws_machine *m, const struct ws_rec *rec)
{
	const struct ws_rec_keepalive *r = (const struct ws_rec_keepalive *)rec;

	if (r->lsn > m->s.sent_lsn)
		m->s.sent_lsn = r->lsn;
}

static void on_socket(struct ws_machine *m, const struct ws_rec *rec)
{
	const struct ws_rec_socket *r = (const struct ws_rec_socket *)rec;

	ws_wire_sample(m, r->wire_bytes, r->acked_bytes);
}

static void on_sample(struct ws_machine *m, const struct ws_rec *rec)
{
	const struct ws_rec_sample *r = (const struct ws_rec_sample *)rec;
	struct ws_session *s = &m->s;

	if (rec->size < sizeof(*r) || !(r->valid & WS_SAMPLE_PRIVATE) || !m->model->inside)
		return;
	if (!s->has_memory)
		s->memory_first = r->private_bytes;
	s->has_memory = true;
	s->memory_bytes = r->private_bytes;
	if (r->private_bytes > s->memory_peak)
		s->memory_peak = r->private_bytes;
}

static void on_off_cpu(struct ws_machine *m, const struct ws_rec *rec)
{
	const struct ws_rec_off_cpu *r = (const struct ws_rec_off_cpu *)rec;

	for (int i = 0; i < WS_STAGE_COUNT; i++)
		m->off_cpu_ns[i] += r->stage_ns[i];
	m->off_cpu = true;
}

static void on_blocked(struct ws_machine *m, const struct ws_rec *rec)
{
	ws_blocked_feed(m, (const struct ws_rec_blocked *)rec);
}

static void on_turn(struct ws_machine *m, const struct ws_rec *rec)
{
	ws_turn_feed(m, (const struct ws_rec_turn *)rec);
}

static void on_backup(struct ws_machine *m, const struct ws_rec *rec)
{
	ws_backup_feed(m, (const struct ws_rec_backup *)rec);
}

static void on_progress(struct ws_machine *m, const struct ws_rec *rec)
{
	ws_backup_progress(m, (const struct ws_rec_progress *)rec);
}

static void tell_session(struct ws_machine *m)
{
	const struct ws_model *model = m->model;
	const struct ws_session *s = &m->s;

	m->deferred = false;
	ws_model_close(m);
	if (model->observer.session && (!s->end_ns || s->end_ns >= model->from_ns) &&
	    s->begin_ns < model->to_ns)
		model->observer.session(model->observer.arg, s);
}

void ws_machine_settle_slot(struct ws_machine *m)
{
	if (!m->deferred)
		return;
	m->s.exit_reason = ws_exit_explain(m);
	tell_session(m);
}

/* The session is over. What is left of it is its summary. */
static void end_session(struct ws_machine *m, uint64_t end_ns)
{
	const struct ws_signal_by *by;
	struct ws_session *s = &m->s;

	leave_command(m);
	ws_timeline_enter(m, s->state, end_ns);
	ws_timeline_flush(m);
	if (end_ns < s->accounted_ns) /* of an unsound recording: the sum holds all the same */
		end_ns = s->accounted_ns;
	s->end_ns = end_ns;
	s->exit_reason = ws_exit_explain(m);
	by = ws_exit_signal(m);
	if (by)
		s->signal_by = *by;
	ws_command_exit(m, end_ns);
	m->ended = true;
	/* The server says only afterwards whether the slot is lost. */
	m->deferred = s->exit_reason == WS_END_SLOT_RELEASED;
	if (!m->deferred)
		tell_session(m);
	ws_command_release(m);
	ws_lag_deinit(m);
}

static void on_ending(struct ws_machine *m, const struct ws_rec *rec)
{
	ws_exit_ending(m, (const struct ws_rec_ending *)rec);
}

static void on_exit_record(struct ws_machine *m, const struct ws_rec *rec)
{
	const struct ws_rec_exit *r = (const struct ws_rec_exit *)rec;

	m->s.exit_code = r->signal ? -1 : (int)r->code;
	m->s.exit_signal = (int)r->signal;
	/* That proc_exit ran is the last that a session says. */
	if ((rec->flags & WS_EXIT_UNWATCHED) && m->ending_code < 0)
		m->hole = true;
	if ((rec->flags & WS_EXIT_SOCKET) && rec->size >= sizeof(*r))
		ws_wire_end(m, r->wire_bytes, r->acked_bytes);
	end_session(m, rec->time_ns);
}

void ws_machine_gap(struct ws_machine *m, const struct ws_rec_gap *gap)
{
	uint64_t from = gap->from_ns > m->s.begin_ns ? gap->from_ns : m->s.begin_ns;
	char *text;

	if (!m->model->passed)
		ws_machine_stand(m);
	ws_metrics_stream_end(m);
	ws_client_gap(m);
	/* What was waited for before says nothing of the wait behind. */
	m->wait = WS_WAIT_NONE;
	m->wait_lost = true;
	m->quiet_ns = 0;
	m->full_since_ns = 0;
	m->reply_ns = 0;
	ws_lag_begin(m, 0);
	ws_timeline_take_off_cpu(m);
	m->backup_phase = 0;
	m->hole = true;
	m->start_lost |= !m->s.first_command_ns;
	ws_command_gap(m, from);
	ws_timeline_enter(m, WS_STATE_LOST, from);
	if (!ws_timeline_wanted(m) || !gap->lost)
		return;
	text = m->detail[m->detail_turn++ % WS_ARRAY_SIZE(m->detail)];
	snprintf(text, sizeof(m->detail[0]), "%llu records missing", gap->lost);
	m->state_detail = text;
}

static void on_gap(struct ws_machine *m, const struct ws_rec *rec)
{
	const struct ws_rec_gap *gap = (const struct ws_rec_gap *)rec;
	const struct ws_model *model = m->model;
	bool hole = m->hole;

	if (gap->from_ns < model->to_ns && gap->to_ns >= model->from_ns)
		m->s.lost += ws_gap_missing(gap);
	ws_machine_gap(m, gap);
	if (gap->cause != WS_GAP_EXIT_MISSED && gap->cause != WS_GAP_UNRECORDED)
		return;
	/* Nothing but the exit is missing, and that proc_exit ran is known. */
	if (!gap->lost && m->ending_code >= 0)
		m->hole = hole;
	ws_command_settle(m);
	end_session(m, gap->to_ns);
}

typedef void (*handler)(struct ws_machine *m, const struct ws_rec *rec);

static const handler handlers[WS_KIND_MAX] = {
	[WS_KIND_SESSION] = on_session,	    [WS_KIND_READY] = on_ready,
	[WS_KIND_COMMAND] = on_command,	    [WS_KIND_TEXT] = on_text,
	[WS_KIND_TEXT_SUM] = on_text_sum,   [WS_KIND_COMMAND_END] = on_command_end,
	[WS_KIND_ERROR] = on_error,	    [WS_KIND_STATE] = on_state,
	[WS_KIND_STREAM] = on_stream,	    [WS_KIND_TURN] = on_turn,
	[WS_KIND_KEEPALIVE] = on_keepalive, [WS_KIND_BACKUP] = on_backup,
	[WS_KIND_OFF_CPU] = on_off_cpu,	    [WS_KIND_ENDING] = on_ending,
	[WS_KIND_EXIT] = on_exit_record,    [WS_KIND_PHASE] = on_phase,
	[WS_KIND_MESSAGE] = on_message,	    [WS_KIND_GAP] = on_gap,
	[WS_KIND_SOCKET] = on_socket,	    [WS_KIND_PROGRESS] = on_progress,
	[WS_KIND_SAMPLE] = on_sample,	    [WS_KIND_BLOCKED] = on_blocked,
};

void ws_machine_feed(struct ws_machine *m, const struct ws_rec *rec)
{
	handler handle = handlers[rec->kind];

	if (m->ended || !handle || !ws_rec_complete(rec))
		return;
	if (ws_kind_is_sampled(rec->kind)) {
		handle(m, rec);
		return;
	}
	if (rec->kind < WS_KIND_SERVER) {
		ws_blocked_over(m, rec->time_ns);
		if (m->model->inside)
			m->s.events++;
	}
	/* Behind a gap the rest of a text may follow. */
	if (rec->kind != WS_KIND_TEXT && rec->kind != WS_KIND_TEXT_SUM &&
	    rec->kind != WS_KIND_GAP && (m->problem.set || m->command.open))
		ws_command_settle(m);
	/* What is missing in front of these may be the error that led to them. */
	if (rec->kind != WS_KIND_EXIT && rec->kind != WS_KIND_ENDING)
		m->hole = false;
	handle(m, rec);
	if (rec->kind != WS_KIND_MESSAGE)
		m->message_type = 0;
}

void ws_machine_init(struct ws_machine *m, const struct ws_rec *first)
{
	const struct ws_rec_session *r = (const struct ws_rec_session *)first;
	struct ws_session *s = &m->s;

	s->pid = first->pid;
	s->start_ns = first->start_ns;
	s->server = first->server;
	s->first_seen_ns = first->time_ns;
	s->exit_code = -1;
	s->exit_signal = -1;
	m->ending_code = -1;
	s->impl = m;
	s->begin_ns = first->time_ns;
	m->replied = first->kind == WS_KIND_SESSION && !(first->flags & WS_SESSION_RUNNING);
	m->wait_lost = first->kind != WS_KIND_SESSION;
	ws_client_init(m, m->replied);
	/* Without its first record the time since it began, or since the recording did, is lost. */
	s->state = WS_STATE_LOST;
	if (first->kind != WS_KIND_SESSION) {
		s->begin_ns = ws_model_begin_ns(m->model, first);
	} else if (!(first->flags & WS_SESSION_RUNNING)) {
		s->state = WS_STATE_STARTING;
		if (first->size >= sizeof(*r) && r->fork_ns && r->fork_ns < first->time_ns)
			s->begin_ns = r->fork_ns;
	}
	s->accounted_ns = s->begin_ns;
	s->state_since_ns = s->begin_ns;
}

void ws_machine_stand(struct ws_machine *m)
{
	struct ws_session *s = &m->s;
	enum ws_state state;
	uint64_t since_ns;

	state = ws_session_doing(s, &since_ns);
	if (state == WS_STATE_SEND_BLOCKED && m->full_since_ns && m->full_since_ns < since_ns)
		since_ns = m->full_since_ns;
	/* What is lost says nothing: it stands as it did before. */
	if (state == WS_STATE_LOST && s->standing.state_since_ns) {
		state = s->standing.state;
		since_ns = s->standing.state_since_ns;
	}
	s->standing = (struct ws_standing){ .state = state,
					    .state_since_ns = since_ns,
					    .walsnd_state = s->walsnd_state,
					    .sent_lsn = s->sent_lsn,
					    .write_lsn = s->write_lsn,
					    .flush_lsn = s->flush_lsn };
	s->standing.has_backup = ws_session_backup(s, &s->standing.backup);
}

void ws_machine_finish(struct ws_machine *m, uint64_t end_ns)
{
	ws_machine_settle_slot(m);
	if (m->ended)
		return;
	ws_command_settle(m);
	ws_metrics_stream_end(m);
	ws_timeline_enter(m, m->s.state, end_ns);
	ws_timeline_flush(m);
	ws_command_finish(m);
	tell_session(m);
}
