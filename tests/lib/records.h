/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * records.h: makes the records the programs would make, for tests of what reads them.
 *
 * A ws_tape is one session's source: it knows the time and the next sequence number. Each function
 * makes one record at `now_ns` and hands it to the sink, whose answer is returned; tests move
 * `now_ns` themselves. Only ws_tape_turn moves it: a turn lasts as long as its stages.
 */
#ifndef WS_TESTS_RECORDS_H
#define WS_TESTS_RECORDS_H

#include <stdint.h>

#include "event/order.h"
#include "wire.h"

struct ws_tape {
	struct ws_sink sink;
	uint32_t pid;
	uint64_t start_ns;
	uint16_t server;
	uint64_t now_ns;
	uint32_t seq;
	uint64_t mark_ns; /* where the next turn begins */
};

/* A session (pid) that starts at now_ns; its start_ns is now_ns too. */
struct ws_tape ws_tape_new(struct ws_sink sink, uint32_t pid, uint64_t now_ns);
/* Fills the head of a record of `size` bytes and sends it. */
int ws_tape_send(struct ws_tape *tape, struct ws_rec *rec, uint16_t kind, size_t size,
		 uint16_t flags);
/* The next `n` records are made and lost. */
void ws_tape_lose(struct ws_tape *tape, uint32_t n);

int ws_tape_session(struct ws_tape *tape, uint16_t flags);
/* A walsender found running. */
int ws_tape_found(struct ws_tape *tape, enum ws_found found, uint64_t sent_lsn);
int ws_tape_ready(struct ws_tape *tape);
/* The record of a command alone, and with its text in chunks as the programs make them. */
int ws_tape_command_head(struct ws_tape *tape, uint16_t flags);
int ws_tape_command(struct ws_tape *tape, const char *text);
int ws_tape_text(struct ws_tape *tape, enum ws_text_of of, uint32_t offset, const void *data,
		 size_t len, uint16_t flags);
int ws_tape_end(struct ws_tape *tape, enum ws_command_how how);
/* With file "src.c", line 42. `sqlstate` NULL: not known; `message` NULL: no text follows. */
int ws_tape_error(struct ws_tape *tape, enum ws_elevel elevel, const char *sqlstate,
		  const char *function, const char *message);
int ws_tape_state(struct ws_tape *tape, enum ws_walsnd_state from, enum ws_walsnd_state to);
/* `flags`: enum ws_phase_flags. */
int ws_tape_phase(struct ws_tape *tape, enum ws_phase phase, uint16_t flags);
/* A message that is refused: 'P', ... */
int ws_tape_message(struct ws_tape *tape, char type);
int ws_tape_stream(struct ws_tape *tape, uint16_t flags, uint64_t lsn, const char *slot);

struct ws_tape_turn {
	uint64_t stage_ns[WS_STAGE_COUNT];
	uint64_t lsn_from, lsn_to;
	enum ws_wait wait; /* that begins when the turn ends */
	uint16_t flags;
	uint32_t turns, sends, reads, messages; /* turns and sends: 0 is taken for 1 */
	uint32_t woke;
	uint64_t write_lsn, flush_lsn, apply_lsn; /* with WS_TURN_REPLY */
	int64_t write_lag_us, flush_lag_us, apply_lag_us;
};
int ws_tape_turn(struct ws_tape *tape, const struct ws_tape_turn *turn);

/* In front of the record that tells of that time. */
int ws_tape_off_cpu(struct ws_tape *tape, enum ws_stage stage, uint64_t ns);
int ws_tape_keepalive(struct ws_tape *tape, uint64_t lsn);
int ws_tape_backup(struct ws_tape *tape, enum ws_backup_phase phase, uint64_t bytes,
		   uint64_t send_ns);
int ws_tape_exit(struct ws_tape *tape, uint32_t code, uint32_t signal);
/* With the counters of the socket. */
int ws_tape_exit_socket(struct ws_tape *tape, uint64_t wire, uint64_t acked);
int ws_tape_ending(struct ws_tape *tape, uint32_t code, uint32_t cause);

/* In no session's sequence: a signal to the tape's session (`target` 0) or to another process, and
 * a report of the checkpointer. */
int ws_tape_signal(struct ws_tape *tape, uint32_t target, uint32_t signal, enum ws_signal_role role,
		   uint32_t sender);
int ws_tape_slot(struct ws_tape *tape, uint32_t by_pid, const char *message);

/* Made by the collector: no sequence number. */
int ws_tape_gap(struct ws_tape *tape, uint64_t from_ns, uint64_t to_ns, uint64_t lost,
		enum ws_gap_cause cause);
int ws_tape_socket(struct ws_tape *tape, uint64_t wire, uint64_t acked);
int ws_tape_blocked(struct ws_tape *tape, enum ws_blocked_on on, uint64_t since_ns);
int ws_tape_clock(struct ws_tape *tape, int64_t wall_ns, uint64_t boot_ns);
int ws_tape_server(struct ws_tape *tape, uint32_t postmaster_pid, const char *version);

/* PostgreSQL's MAKE_SQLSTATE (utils/elog.h). */
uint32_t ws_tape_sqlstate(const char *text);

#endif
