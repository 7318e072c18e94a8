/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * diagnosed.h: a diagnosis fed from tapes, and what it says. One walsender on stage second by
 * second: what a step says goes on for each of its seconds. Include it behind cmocka.h.
 */
#ifndef WS_TESTS_DIAGNOSED_H
#define WS_TESTS_DIAGNOSED_H

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "diagnose/diagnose.h"
#include "records.h"

#define SECOND	       1000000000ULL
#define MB	       1048576ULL
#define LSN	       0x10000000ULL
#define POSTMASTER_PID 1000

struct lab {
	struct ws_model *model;
	struct ws_diagnosis *diagnosis;
	struct ws_tape tape;
	uint64_t sent, end_ns;
	uint64_t acked, busy_us;
	const struct ws_session *told[32]; /* sessions that touch the window */
	size_t told_count;
	struct ws_explained rows[16]; /* their session pointers live as long as the model */
	size_t row_count;
};

/* What each second of a step is like. Positions of replies are behind what is sent. */
struct step {
	unsigned int seconds;
	unsigned int ms;      /* so short are these seconds, 0: they are seconds */
	enum ws_wait wait;    /* most of the time goes into it */
	unsigned int busy_ms; /* the rest into this */
	enum ws_stage stage;
	uint16_t flags; /* of turns */
	uint64_t bytes; /* sent in each */
	bool reply;
	uint64_t write, flush, apply;	    /* positions, 0: up to what was sent before */
	bool no_flush, no_apply;	    /* 0/0 */
	const struct ws_rec_socket *socket; /* acked_bytes: in each second */
	const struct ws_rec_sample *sample; /* target_lsn: bytes ahead of what is sent */
	bool ping;
	uint32_t reads;
};

static inline int lab_feed(void *arg, const struct ws_rec *rec)
{
	struct lab *lab = arg;

	if (rec->time_ns > lab->end_ns)
		lab->end_ns = rec->time_ns;
	assert_int_equal(ws_model_feed(lab->model, rec), 0);
	assert_int_equal(ws_diagnosis_feed(lab->diagnosis, lab->model, rec), 0);
	return 0;
}

static inline void lab_command(void *arg, const struct ws_session *session,
			       const struct ws_command *command)
{
	struct lab *lab = arg;

	assert_int_equal(ws_diagnosis_command(lab->diagnosis, session, command), 0);
}

static inline void lab_session(void *arg, const struct ws_session *session)
{
	struct lab *lab = arg;

	assert_true(lab->told_count < sizeof(lab->told) / sizeof(*lab->told));
	lab->told[lab->told_count++] = session;
}

static inline int lab_setup(void **state)
{
	struct lab *lab = calloc(1, sizeof(*lab));
	const struct ws_observer observer = {
		.arg = lab,
		.command = lab_command,
		.session = lab_session,
	};

	if (!lab)
		return -1;
	lab->model = ws_model_new(&observer);
	lab->diagnosis = ws_diagnosis_new(0, UINT64_MAX);
	lab->tape = ws_tape_new((struct ws_sink){ .fn = lab_feed, .arg = lab }, 4711, SECOND);
	lab->sent = LSN;
	*state = lab;
	return lab->model && lab->diagnosis ? 0 : -1;
}

static inline int lab_teardown(void **state)
{
	struct lab *lab = *state;

	ws_diagnosis_free(lab->diagnosis);
	ws_model_free(lab->model);
	free(lab);
	return 0;
}

/* Only what lies in [from_ns, to_ns) is looked at. In front of all records. */
static inline void lab_window(struct lab *lab, uint64_t from_ns, uint64_t to_ns)
{
	ws_model_set_window(lab->model, from_ns, to_ns);
	ws_diagnosis_free(lab->diagnosis);
	lab->diagnosis = ws_diagnosis_new(from_ns, to_ns);
	assert_non_null(lab->diagnosis);
}

#define LAB(name) cmocka_unit_test_setup_teardown(name, lab_setup, lab_teardown)

static inline void lab_stream(struct lab *lab, uint16_t flags)
{
	ws_tape_session(&lab->tape, flags & WS_STREAM_LOGICAL ? WS_SESSION_DATABASE : 0);
	ws_tape_ready(&lab->tape);
	ws_tape_command(&lab->tape, flags & WS_STREAM_LOGICAL
					    ? "START_REPLICATION SLOT \"s\" LOGICAL 0/10000000"
					    : "START_REPLICATION 0/10000000 TIMELINE 1");
	ws_tape_stream(&lab->tape, flags, lab->sent, NULL);
	lab->tape.mark_ns = lab->tape.now_ns;
}

/* A record of the collector's about the session: no number of its sequence. */
static inline void lab_sampled(struct lab *lab, struct ws_rec *rec, uint16_t kind, size_t size)
{
	rec->kind = kind;
	rec->size = (uint16_t)size;
	rec->pid = lab->tape.pid;
	rec->start_ns = lab->tape.start_ns;
	rec->time_ns = lab->tape.now_ns;
	rec->server = 1;
	lab_feed(lab, rec);
}

static inline void lab_outside(struct lab *lab, const struct step *step)
{
	struct ws_rec_socket socket;
	struct ws_rec_sample sample;

	if (step->socket) {
		socket = *step->socket;
		socket.acked_bytes = lab->acked += step->socket->acked_bytes;
		socket.wire_bytes =
			socket.acked_bytes + socket.in_flight_bytes + socket.unsent_bytes;
		socket.sent_bytes = socket.acked_bytes + socket.in_flight_bytes;
		lab->busy_us += 1000000;
		socket.busy_us = lab->busy_us;
		/* given as shares, in percent */
		socket.rwnd_limited_us = lab->busy_us / 100 * step->socket->rwnd_limited_us;
		socket.sndbuf_limited_us = lab->busy_us / 100 * step->socket->sndbuf_limited_us;
		lab_sampled(lab, &socket.h, WS_KIND_SOCKET, sizeof(socket));
	}
	if (step->sample) {
		sample = *step->sample;
		sample.target_lsn = lab->sent + step->sample->target_lsn;
		lab_sampled(lab, &sample.h, WS_KIND_SAMPLE, sizeof(sample));
	}
}

static inline void lab_play(struct lab *lab, const struct step *step)
{
	for (unsigned int i = 0; i < step->seconds; i++) {
		uint64_t busy = step->busy_ms * 1000000ULL, before = lab->sent;
		uint64_t all = step->ms ? step->ms * 1000000ULL : SECOND;
		struct ws_tape_turn turn = {
			.stage_ns = { [WS_STAGE_WAIT] = all - busy - 1000,
				      [WS_STAGE_REPLY] = 1000 },
			.wait = step->wait,
			.flags = (uint16_t)(step->flags | (step->reply ? WS_TURN_REPLY : 0)),
			.reads = step->reads,
			.lsn_from = before,
			.lsn_to = before + step->bytes,
			.write_lsn = step->write ? step->write : before,
			.flush_lsn = step->no_flush ? 0
				     : step->flush  ? step->flush
						    : before,
			.apply_lsn = step->no_apply ? 0
				     : step->apply  ? step->apply
						    : before,
			.write_lag_us = -1,
			.flush_lag_us = -1,
			.apply_lag_us = -1,
		};

		turn.stage_ns[step->stage == WS_STAGE_OTHER ? WS_STAGE_SEND : step->stage] += busy;
		lab->sent += step->bytes;
		ws_tape_turn(&lab->tape, &turn);
		if (step->ping) {
			struct ws_rec_keepalive ping = { .lsn = lab->sent, .request_reply = 1 };

			ws_tape_send(&lab->tape, &ping.h, WS_KIND_KEEPALIVE, sizeof(ping), 0);
		}
		lab_outside(lab, step);
	}
}

/* Seconds in which it waits for WAL, SOCKET or STANDBY, and how they are else, by field of the
 * step: lab_waits(lab, WAL, .seconds = 5, .reply = true). */
#define lab_waits(lab, what, ...) \
	lab_play(lab, &(struct step){ .wait = WS_WAIT_##what, __VA_ARGS__ })

static inline int lab_row(void *arg, const struct ws_explained *explained)
{
	struct lab *lab = arg;

	if (lab->row_count < sizeof(lab->rows) / sizeof(*lab->rows))
		lab->rows[lab->row_count++] = *explained;
	return 0;
}

static inline int lab_by_start(const void *a, const void *b)
{
	const struct ws_session *x = *(const struct ws_session *const *)a;
	const struct ws_session *y = *(const struct ws_session *const *)b;

	return x->start_ns < y->start_ns ? -1 : x->start_ns > y->start_ns;
}

/* Judges all sessions that touch the window. */
static inline void lab_judge(struct lab *lab)
{
	assert_int_equal(ws_model_finish(lab->model, lab->end_ns), 0);
	qsort(lab->told, lab->told_count, sizeof(*lab->told), lab_by_start);
	assert_int_equal(ws_diagnosis_explain(lab->diagnosis, lab->told, lab->told_count, true,
					      lab_row, lab),
			 0);
	assert_true(lab->row_count);
}

static inline const struct ws_explained *lab_find(const struct lab *lab, enum ws_scope scope)
{
	for (size_t i = 0; i < lab->row_count; i++)
		if (lab->rows[i].scope == scope)
			return &lab->rows[i];
	return NULL;
}

/* The verdict on the (first) session, group or server, by name; "none" where there is none. */
static inline void assert_verdict(struct lab *lab, enum ws_scope scope, const char *verdict)
{
	const struct ws_explained *row;

	if (!lab->row_count)
		lab_judge(lab);
	row = lab_find(lab, scope);
	assert_string_equal(row ? ws_verdict_name(row->verdict) : "none", verdict);
	if (row) {
		assert_true(row->finding.confidence > 0 && row->finding.confidence <= 1);
		assert_true(row->finding.text[0] && row->finding.advice[0]);
	}
}

static inline bool lab_also(const struct lab *lab, const char *verdict)
{
	const struct ws_explained *row = lab_find(lab, WS_SCOPE_SESSION);

	for (size_t i = 0; i < row->also_count; i++)
		if (strcmp(ws_verdict_name(row->also[i]), verdict) == 0)
			return true;
	return false;
}

static inline void assert_said_of(struct lab *lab, enum ws_scope scope, const char *part)
{
	const char *text = lab_find(lab, scope)->finding.text;

	if (!strstr(text, part))
		print_error("%s\n", text);
	assert_non_null(strstr(text, part));
}

static inline void feed_cluster(struct lab *lab, const struct ws_rec_cluster *cluster)
{
	struct ws_rec_cluster r = *cluster;

	r.h = (struct ws_rec){ .size = sizeof(r),
			       .kind = WS_KIND_CLUSTER,
			       .flags = r.h.flags,
			       .pid = POSTMASTER_PID,
			       .time_ns = lab->tape.now_ns,
			       .server = 1 };
	lab_feed(lab, &r.h);
}

#define SYNC_VALID (WS_CLUSTER_SYNC | WS_CLUSTER_NAMES | WS_CLUSTER_STATE | WS_CLUSTER_SYNC_APPLY)

static inline void send_cluster(struct lab *lab, uint32_t waiters, uint32_t walsenders,
				uint32_t state)
{
	feed_cluster(lab, &(struct ws_rec_cluster){ .sync_waiters = waiters,
						    .sync_walsenders = walsenders,
						    .db_state = state,
						    .valid = SYNC_VALID,
						    .sync_names = "nobody" });
}

static const struct ws_rec_socket full_window = { .mss_bytes = 1448,
						  .unsent_bytes = 4 * MB,
						  .rwnd_limited_us = 100,
						  .timer = WS_TCP_TIMER_PERSIST };

static const struct ws_rec_socket flows = { .acked_bytes = MB,
					    .window_bytes = 65536,
					    .mss_bytes = 1448 };

static const struct ws_rec_socket calm = { .acked_bytes = 1000,
					   .window_bytes = 65536,
					   .mss_bytes = 1448 };

/* Its server is told to shut down while it streams. */
static inline void shut_down_streaming(struct lab *lab, uint32_t db_state)
{
	ws_tape_server(&lab->tape, POSTMASTER_PID, "15.18");
	lab_stream(lab, 0);
	lab_waits(lab, WAL, .seconds = 5, .bytes = MB, .reply = true);
	ws_tape_signal(&lab->tape, POSTMASTER_PID, SIGINT, WS_ROLE_OTHER, 5);
	send_cluster(lab, 0, 0, db_state);
}

static inline void time_out(struct lab *lab)
{
	ws_tape_error(&lab->tape, WS_ELEVEL_COMMERROR, "XX000", "WalSndCheckTimeOut",
		      "terminating walsender process due to replication timeout");
	ws_tape_exit(&lab->tape, 0, 0);
}

#endif
