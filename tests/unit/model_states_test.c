/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../lib/model_fixture.h"

static void a_session_starts_at_its_fork_and_is_idle_from_ready_on(void **state)
{
	struct fixture *f = *state;

	f->tape.now_ns = BEGIN + 10;
	ws_tape_session(&f->tape, 0);
	f->tape.now_ns = BEGIN + 30;
	ws_tape_ready(&f->tape);
	f->tape.now_ns = BEGIN + 35;
	ws_tape_exit(&f->tape, 0, 0);
	assert_timeline(f, "starting 30, idle 5");
	assert_int_equal(session_of(f)->fork_ns, BEGIN);
	assert_int_equal(session_of(f)->begin_ns, BEGIN);
	assert_int_equal(session_of(f)->ready_ns, BEGIN + 30);
	assert_int_equal(session_of(f)->end_ns, BEGIN + 35);
}

static void a_command_lasts_until_its_end(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	after(f, 5);
	ws_tape_command(&f->tape, "IDENTIFY_SYSTEM");
	after(f, 7);
	ws_tape_end(&f->tape, WS_COMMAND_DONE);
	after(f, 2);
	ws_tape_exit(&f->tape, 0, 0);
	assert_timeline(f, "starting 10, idle 5, command 7, idle 2");
	assert_int_equal(session_of(f)->first_command_ns, BEGIN + 15);
}

static void what_is_no_replication_command_is_sql_until_its_own_end(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	ws_tape_command(&f->tape, "SELECT 1");
	after(f, 1);
	ws_tape_end(&f->tape, WS_COMMAND_IS_SQL);
	after(f, 50);
	ws_tape_end(&f->tape, WS_COMMAND_SQL_DONE);
	after(f, 1);
	ws_tape_exit(&f->tape, 0, 0);
	assert_timeline(f, "starting 10, command 1, sql 50, idle 1");
}

static void an_error_makes_it_idle_again(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	ws_tape_command(&f->tape, "TIMELINE_HISTORY 9");
	after(f, 4);
	ws_tape_error(&f->tape, WS_ELEVEL_ERROR, "58P01", "SendTimeLineHistory", "no such file");
	after(f, 3);
	ws_tape_exit(&f->tape, 0, 0);
	assert_timeline(f, "starting 10, command 4, idle 3");
}

static void a_fatal_makes_it_exiting(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	after(f, 4);
	ws_tape_error(&f->tape, WS_ELEVEL_FATAL, "57P01", "ProcessInterrupts", "terminating");
	after(f, 3);
	ws_tape_exit(&f->tape, 1, 0);
	assert_timeline(f, "starting 10, idle 4, exiting 3");
}

static void a_turn_is_laid_out_in_its_stages(void **state)
{
	struct fixture *f = *state;

	start_streaming(f, 0, 1000);
	ws_tape_turn(&f->tape, &(struct ws_tape_turn){ .stage_ns = { [WS_STAGE_REPLY] = 2,
								     [WS_STAGE_READ] = 3,
								     [WS_STAGE_SEND] = 4,
								     [WS_STAGE_TAIL] = 1,
								     [WS_STAGE_OTHER] = 5 },
						       .lsn_from = 1000,
						       .lsn_to = 1500,
						       .wait = WS_WAIT_WAL });
	assert_int_equal(session_of(f)->state, WS_STATE_WAIT_WAL);
	after(f, 100);
	ws_tape_exit(&f->tape, 0, 0);
	assert_timeline(f, "starting 10, command 1, reply 2, read_wal 3, send 10, wait_wal 100");
	assert_int_equal(f->o->segments[4].s.bytes, 500);
	assert_int_equal(f->o->segments[4].s.lsn_from, 1000);
	assert_int_equal(f->o->segments[4].s.lsn_to, 1500);
	assert_int_equal(session_of(f)->wal_bytes, 500);
	assert_int_equal(session_of(f)->sent_lsn, 1500);
}

static void a_logical_turn_has_its_bytes_where_it_decodes(void **state)
{
	struct fixture *f = *state;

	start_streaming(f, WS_STREAM_LOGICAL, 1000);
	ws_tape_turn(&f->tape, &(struct ws_tape_turn){ .stage_ns = { [WS_STAGE_DECODE] = 9,
								     [WS_STAGE_PLUGIN] = 4,
								     [WS_STAGE_SEND] = 2 },
						       .flags = WS_TURN_LOGICAL,
						       .lsn_from = 1000,
						       .lsn_to = 1600,
						       .wait = WS_WAIT_STANDBY });
	after(f, 8);
	ws_tape_exit(&f->tape, 0, 0);
	assert_timeline(f, "starting 10, command 1, decode 9, output_plugin 4, send 2, "
			   "wait_standby 8");
	assert_int_equal(f->o->segments[2].s.bytes, 600);
	assert_int_equal(session_of(f)->kind, WS_SESSION_KIND_LOGICAL);
}

/* The wait of a record is what the record before announced. */
static void each_wait_is_what_it_was_announced_as(void **state)
{
	struct fixture *f = *state;
	static const enum ws_wait waits[] = { WS_WAIT_WAL, WS_WAIT_SOCKET, WS_WAIT_STANDBY,
					      WS_WAIT_WAL };

	start_streaming(f, 0, 1000);
	for (size_t i = 0; i < 4; i++)
		ws_tape_turn(&f->tape,
			     &(struct ws_tape_turn){ .stage_ns = { [WS_STAGE_WAIT] = i ? 10 * i : 0,
								   [WS_STAGE_REPLY] = 1 },
						     .wait = waits[i] });
	assert_timeline(f, "starting 10, command 1, reply 1, wait_wal 10, reply 1, "
			   "send_blocked 20, reply 1, wait_standby 30");
	assert_int_equal(session_of(f)->state, WS_STATE_WAIT_WAL);
	assert_int_equal(session_of(f)->state_since_ns, f->tape.now_ns);
}

static void caught_up_and_socket_full_are_told_apart(void **state)
{
	struct fixture *f = *state;

	start_streaming(f, 0, 1000);
	turn(f, 0, WS_WAIT_SOCKET);
	turn(f, 700, WS_WAIT_WAL);
	turn(f, 400, WS_WAIT_NONE);
	assert_int_equal(session_of(f)->state_ns[WS_STATE_SEND_BLOCKED], 700);
	assert_int_equal(session_of(f)->state_ns[WS_STATE_WAIT_WAL], 400);
	assert_int_equal(session_of(f)->state, WS_STATE_SEND);
}

static void the_end_of_a_recording_shows_an_open_wait(void **state)
{
	struct fixture *f = *state;

	start_streaming(f, 0, 1000);
	turn(f, 0, WS_WAIT_SOCKET);
	ws_model_finish(f->o->model, f->tape.now_ns + 5000);
	assert_int_equal(session_of(f)->state_ns[WS_STATE_SEND_BLOCKED], 5000);
	assert_int_equal(session_of(f)->end_ns, 0);
	assert_int_equal(session_of(f)->exit_reason, WS_END_NONE);
	assert_int_equal(f->o->sessions, 1);
}

static void waits_merge_only_with_nothing_between(void **state)
{
	struct fixture *f = *state;

	start_streaming(f, 0, 1000);
	turn(f, 0, WS_WAIT_WAL);
	for (int i = 0; i < 3; i++)
		ws_tape_turn(&f->tape, &(struct ws_tape_turn){ .stage_ns = { [WS_STAGE_WAIT] = 10 },
							       .wait = WS_WAIT_WAL });
	turn(f, 10, WS_WAIT_WAL);
	turn(f, 10, WS_WAIT_WAL);
	after(f, 1);
	ws_tape_exit(&f->tape, 0, 0);
	assert_timeline(f, "starting 10, command 1, reply 1, wait_wal 40, reply 1, wait_wal 10, "
			   "reply 1, wait_wal 1");
}

static void sends_with_contiguous_positions_merge(void **state)
{
	struct fixture *f = *state;

	start_streaming(f, 0, 1000);
	for (uint64_t i = 0; i < 5; i++)
		ws_tape_turn(&f->tape, &(struct ws_tape_turn){ .stage_ns = { [WS_STAGE_SEND] = 10 },
							       .lsn_from = 1000 + 100 * i,
							       .lsn_to = 1100 + 100 * i });
	/* Not contiguous: a segment of its own. */
	ws_tape_turn(&f->tape, &(struct ws_tape_turn){ .stage_ns = { [WS_STAGE_SEND] = 10 },
						       .lsn_from = 9000,
						       .lsn_to = 9001 });
	ws_tape_exit(&f->tape, 0, 0);
	assert_timeline(f, "starting 10, command 1, send 50, send 10");
	assert_int_equal(f->o->segments[2].s.bytes, 500);
	assert_int_equal(f->o->segments[2].s.lsn_from, 1000);
	assert_int_equal(f->o->segments[2].s.lsn_to, 1500);
	assert_int_equal(f->o->segments[3].s.bytes, 1);
}

static void a_walsender_that_spins_waits_for_copydone(void **state)
{
	struct fixture *f = *state;
	const struct ws_tape_turn spin = { .stage_ns = { [WS_STAGE_REPLY] = 4 * MS,
							 [WS_STAGE_SEND] = 5 * MS,
							 [WS_STAGE_TAIL] = 2 * MS },
					   .lsn_from = 1000,
					   .lsn_to = 1000,
					   .turns = 900,
					   .sends = 900 };

	start_streaming(f, 0, 1000);
	ws_tape_turn(&f->tape, &spin);
	ws_tape_turn(&f->tape, &spin);
	assert_int_equal(session_of(f)->state, WS_STATE_WAIT_COPYDONE);
	assert_int_equal(session_of(f)->state_ns[WS_STATE_WAIT_COPYDONE], 22 * MS);
	/* It answered: the loop is left. */
	ws_tape_end(&f->tape, WS_COMMAND_DONE);
	assert_int_equal(session_of(f)->state, WS_STATE_IDLE);
}

static void turns_that_move_wait_or_block_are_no_spinning(void **state)
{
	struct fixture *f = *state;
	struct ws_tape_turn t = { .stage_ns = { [WS_STAGE_SEND] = 11 * MS },
				  .lsn_from = 1000,
				  .lsn_to = 1001,
				  .turns = 5,
				  .sends = 5 };

	start_streaming(f, 0, 1000);
	ws_tape_turn(&f->tape, &t);
	t.lsn_from = t.lsn_to;
	t.wait = WS_WAIT_WAL;
	ws_tape_turn(&f->tape, &t);
	t.wait = WS_WAIT_NONE;
	t.flags = WS_TURN_PENDING;
	ws_tape_turn(&f->tape, &t);
	t.flags = WS_TURN_LOGICAL;
	ws_tape_turn(&f->tape, &t);
	t.flags = 0;
	t.stage_ns[WS_STAGE_SEND] = MS;
	ws_tape_turn(&f->tape, &t);
	assert_int_equal(session_of(f)->state_ns[WS_STATE_WAIT_COPYDONE], 0);
	assert_int_equal(session_of(f)->state_ns[WS_STATE_SEND], 45 * MS);
}

/* Level 1 has no turns: nothing says how much was sent. */
static void without_turns_no_bytes_are_claimed(void **state)
{
	struct fixture *f = *state;

	start_streaming(f, 0, 1000);
	assert_false(session_of(f)->has_wal_bytes);
	after(f, 50);
	ws_tape_state(&f->tape, WS_WALSND_CATCHUP, WS_WALSND_STREAMING);
	ws_tape_exit(&f->tape, 0, 0);
	assert_false(session_of(f)->has_wal_bytes);
	assert_timeline(f, "starting 10, command 51");
	assert_true(f->o->segments[1].s.bytes_unknown);
	assert_false(f->o->segments[0].s.bytes_unknown);
}

static void turns_outside_the_loop_belong_to_the_command(void **state)
{
	struct fixture *f = *state;
	struct ws_rec_turn rec = { .turns = 1, .wait = WS_WAIT_WAL };

	/* CREATE_REPLICATION_SLOT ... LOGICAL decodes, and waits for WAL, without WalSndLoop. */
	start_idle(f);
	ws_tape_command(&f->tape, "CREATE_REPLICATION_SLOT s LOGICAL pgoutput");
	rec.begin_ns = f->tape.now_ns;
	rec.stage_ns[WS_STAGE_OTHER] = 20;
	after(f, 20);
	ws_tape_send(&f->tape, &rec.h, WS_KIND_TURN, WS_TURN_SHORT_SIZE, 0);
	rec = (struct ws_rec_turn){ .begin_ns = f->tape.now_ns, .turns = 1 };
	rec.stage_ns[WS_STAGE_WAIT] = 30;
	rec.stage_ns[WS_STAGE_OTHER] = 5;
	after(f, 35);
	ws_tape_send(&f->tape, &rec.h, WS_KIND_TURN, WS_TURN_SHORT_SIZE, 0);
	ws_tape_end(&f->tape, WS_COMMAND_DONE);
	after(f, 1);
	ws_tape_exit(&f->tape, 0, 0);
	assert_timeline(f, "starting 10, command 20, wait_wal 30, command 5, idle 1");
	assert_false(session_of(f)->has_wal_bytes);
	assert_int_equal(session_of(f)->kind, WS_SESSION_KIND_LOGICAL);
}

static void caught_up_while_stopping_is_stopping(void **state)
{
	struct fixture *f = *state;

	start_streaming(f, 0, 1000);
	ws_tape_state(&f->tape, WS_WALSND_STREAMING, WS_WALSND_STOPPING);
	turn(f, 0, WS_WAIT_WAL);
	turn(f, 20, WS_WAIT_SOCKET);
	turn(f, 30, WS_WAIT_WAL);
	assert_int_equal(session_of(f)->walsnd_state, WS_WALSND_STOPPING);
	assert_int_equal(session_of(f)->state_ns[WS_STATE_STOPPING], 20);
	assert_int_equal(session_of(f)->state_ns[WS_STATE_SEND_BLOCKED], 30);
	assert_int_equal(session_of(f)->hist[WS_METRIC_WAIT_WAL_NS].count, 0);
}

/* It ends the wait, sets the state, and only then comes the record that says how long the wait was.
 */
static void the_wait_that_stopping_ends_was_for_wal(void **state)
{
	struct fixture *f = *state;

	start_streaming(f, 0, 1000);
	turn(f, 0, WS_WAIT_WAL);
	after(f, 500);
	ws_tape_state(&f->tape, WS_WALSND_STREAMING, WS_WALSND_STOPPING);
	f->tape.now_ns -= 500;
	turn(f, 500, WS_WAIT_WAL);
	after(f, 20);
	ws_tape_exit(&f->tape, 0, 0);
	assert_timeline(f, "starting 10, command 1, reply 1, wait_wal 500, reply 1, stopping 20");
	assert_int_equal(session_of(f)->hist[WS_METRIC_WAIT_WAL_NS].count, 1);
}

static void records_within_a_turn_take_nothing_from_it(void **state)
{
	struct fixture *f = *state;

	start_streaming(f, 0, 1000);
	turn(f, 0, WS_WAIT_WAL);
	after(f, 60);
	ws_tape_keepalive(&f->tape, 1200);
	ws_tape_state(&f->tape, WS_WALSND_CATCHUP, WS_WALSND_STREAMING);
	turn(f, 55, WS_WAIT_WAL);
	assert_timeline(f, "starting 10, command 1, reply 1, wait_wal 55");
	assert_int_equal(session_of(f)->state_ns[WS_STATE_REPLY], 2);
	assert_int_equal(session_of(f)->sent_lsn, 1200);
}

static void a_backup_goes_through_its_phases(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	ws_tape_command(&f->tape, "BASE_BACKUP ( LABEL 'x' )");
	after(f, 1);
	ws_tape_backup(&f->tape, WS_BACKUP_BEGIN, 0, 0);
	after(f, 2);
	ws_tape_backup(&f->tape, WS_BACKUP_CHECKPOINT, 0, 0);
	after(f, 20);
	ws_tape_backup(&f->tape, WS_BACKUP_ESTIMATE, 0, 0);
	after(f, 3);
	ws_tape_backup(&f->tape, WS_BACKUP_STREAM, 0, 0);
	after(f, 100);
	ws_tape_backup(&f->tape, WS_BACKUP_STREAM, 5000, 30);
	after(f, 50);
	ws_tape_backup(&f->tape, WS_BACKUP_WAIT_ARCHIVE, 300, 50);
	after(f, 6);
	ws_tape_backup(&f->tape, WS_BACKUP_WAL, 0, 0);
	after(f, 7);
	ws_tape_backup(&f->tape, WS_BACKUP_DONE, 40, 1);
	after(f, 8);
	ws_tape_end(&f->tape, WS_COMMAND_DONE);
	ws_tape_exit(&f->tape, 0, 0);
	assert_timeline(f, "starting 10, command 1, backup_checkpoint 22, backup_estimate 3, "
			   "backup_read 70, backup_send 80, backup_wait_archive 6, backup_wal 7, "
			   "command 8");
	assert_int_equal(session_of(f)->backup_bytes, 5340);
	assert_int_equal(session_of(f)->kind, WS_SESSION_KIND_BACKUP);
	assert_int_equal(f->o->segments[5].s.bytes, 5300);
}

static void a_session_found_running_starts_in_the_state_it_was_found_in(void **state)
{
	static const struct {
		enum ws_found found;
		enum ws_state state;
	} cases[] = {
		{ WS_FOUND_UNKNOWN, WS_STATE_UNKNOWN },
		{ WS_FOUND_IDLE, WS_STATE_IDLE },
		{ WS_FOUND_COMMAND, WS_STATE_COMMAND },
		{ WS_FOUND_STREAM_WAL, WS_STATE_WAIT_WAL },
		{ WS_FOUND_STREAM_SOCKET, WS_STATE_SEND_BLOCKED },
		{ WS_FOUND_STREAM_BUSY, WS_STATE_SEND },
		{ WS_FOUND_STREAM_STANDBY, WS_STATE_WAIT_STANDBY },
		{ WS_FOUND_STREAM_RECV, WS_STATE_RECV_BLOCKED },
		{ WS_FOUND_BACKUP_SEND, WS_STATE_BACKUP_SEND },
		{ WS_FOUND_BACKUP_CHECKPOINT, WS_STATE_BACKUP_CHECKPOINT },
		{ WS_FOUND_BACKUP_ARCHIVE, WS_STATE_BACKUP_WAIT_ARCHIVE },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ws_tape tape = ws_tape_new(f->tape.sink, (uint32_t)(5000 + i), BEGIN);
		const struct ws_session *s;

		tape.now_ns = BEGIN + 1000000;
		ws_tape_found(&tape, cases[i].found, 77);
		tape.now_ns += 25;
		ws_tape_exit(&tape, 0, 0);
		s = ws_observed_session(f->o, tape.pid);
		assert_int_equal(s->state_ns[cases[i].state], 25);
		assert_int_equal(ws_observed_sum(s), 25);
		assert_true(s->was_running);
		assert_int_equal(s->begin_ns, BEGIN + 1000000);
		assert_int_equal(s->fork_ns, BEGIN);
	}
}

static void a_backup_found_handing_bytes_to_its_client_goes_on_with_that(void **state)
{
	struct fixture *f = *state;

	ws_tape_found(&f->tape, WS_FOUND_BACKUP_SEND, 0);
	ws_tape_command_head(&f->tape, WS_COMMAND_RUNNING);
	ws_tape_text(&f->tape, WS_TEXT_COMMAND, 0, "BASE_BACKUP", 11, WS_TEXT_LAST);
	after(f, 50);
	ws_tape_backup(&f->tape, WS_BACKUP_STREAM, 700, 50);
	after(f, 9);
	ws_tape_backup(&f->tape, WS_BACKUP_DONE, 0, 0);
	ws_tape_end(&f->tape, WS_COMMAND_DONE);
	ws_tape_exit(&f->tape, 0, 0);
	assert_timeline(f, "backup_send 50, backup_read 9");
}

static void the_first_turn_of_a_session_found_running_goes_on_from_there(void **state)
{
	struct fixture *f = *state;

	ws_tape_found(&f->tape, WS_FOUND_STREAM_SOCKET, 1000);
	ws_tape_command_head(&f->tape, WS_COMMAND_RUNNING);
	ws_tape_text(&f->tape, WS_TEXT_COMMAND, 0, "START_REPLICATION SLOT \"a\" 0/0", 30,
		     WS_TEXT_LAST);
	assert_int_equal(session_of(f)->state, WS_STATE_SEND_BLOCKED);
	f->tape.mark_ns += 5; /* the attach */
	ws_tape_turn(&f->tape, &(struct ws_tape_turn){
				       .stage_ns = { [WS_STAGE_WAIT] = 40, [WS_STAGE_SEND] = 2 },
				       .flags = WS_TURN_ATTACHED,
				       .lsn_from = 1000,
				       .lsn_to = 1100,
				       .wait = WS_WAIT_WAL });
	ws_tape_exit(&f->tape, 0, 0);
	assert_timeline(f, "send_blocked 45, send 2");
	/* How long that wait was, nobody knows. */
	assert_int_equal(session_of(f)->hist[WS_METRIC_SEND_BLOCKED_NS].count, 0);
	assert_int_equal(session_of(f)->kind, WS_SESSION_KIND_PHYSICAL);
	assert_string_equal(session_of(f)->slot, "a");
}

static void streaming_without_turns_is_the_command(void **state)
{
	struct fixture *f = *state;

	/* Level 1 records no turns. */
	start_streaming(f, 0, 1000);
	ws_tape_state(&f->tape, WS_WALSND_STARTUP, WS_WALSND_CATCHUP);
	after(f, 100);
	ws_tape_exit(&f->tape, 0, 0);
	assert_timeline(f, "starting 10, command 101");
}

static void stages_that_do_not_add_up_leave_unknown_time(void **state)
{
	struct fixture *f = *state;
	struct ws_rec_turn rec = { .turns = 1, .sends = 1 };

	start_streaming(f, 0, 1000);
	rec.begin_ns = f->tape.now_ns;
	rec.stage_ns[WS_STAGE_SEND] = 10;
	after(f, 25);
	ws_tape_send(&f->tape, &rec.h, WS_KIND_TURN, WS_TURN_SHORT_SIZE, 0);
	assert_int_equal(session_of(f)->state_ns[WS_STATE_SEND], 10);
	assert_int_equal(session_of(f)->state_ns[WS_STATE_UNKNOWN], 15);
	/* And too much is cut. */
	rec.begin_ns = f->tape.now_ns;
	rec.stage_ns[WS_STAGE_SEND] = UINT64_MAX;
	rec.stage_ns[WS_STAGE_REPLY] = 3;
	after(f, 25);
	ws_tape_send(&f->tape, &rec.h, WS_KIND_TURN, WS_TURN_SHORT_SIZE, 0);
	assert_int_equal(session_of(f)->state_ns[WS_STATE_SEND], 32);
	assert_int_equal(session_of(f)->state_ns[WS_STATE_REPLY], 3);
}

static void details_say_what_ended_a_wait_and_what_a_reply_said(void **state)
{
	struct fixture *f = *state;

	start_streaming(f, 0, 1000);
	turn(f, 0, WS_WAIT_WAL);
	ws_tape_turn(&f->tape, &(struct ws_tape_turn){
				       .stage_ns = { [WS_STAGE_WAIT] = 9, [WS_STAGE_REPLY] = 2 },
				       .flags = WS_TURN_WOKE | WS_TURN_REPLY,
				       .woke = WS_WL_SOCKET_READABLE,
				       .write_lsn = 0x100000010,
				       .flush_lsn = 0x20,
				       .wait = WS_WAIT_WAL });
	ws_tape_exit(&f->tape, 0, 0);
	assert_string_equal(f->o->segments[3].s.detail, "ended by a message of the client");
	assert_string_equal(f->o->segments[4].s.detail, "reply: write=1/10 flush=0/20 apply=0/0");
}

/* A walsender at rest makes no record for as long as its timeout allows. */
static void a_wait_that_goes_on_is_where_it_was_sent_to(void **state)
{
	struct fixture *f = *state;

	ws_tape_found(&f->tape, WS_FOUND_STREAM_WAL, 0x3000);
	ws_model_finish(f->o->model, f->tape.now_ns + 5000);
	assert_timeline(f, "wait_wal 5000");
	assert_int_equal(f->o->segments[0].s.lsn_from, 0x3000);
	assert_int_equal(f->o->segments[0].s.lsn_to, 0x3000);
	assert_int_equal(f->o->segments[0].s.bytes, 0);
}

static void waiting_for_a_cpu_is_no_wait_for_wal(void **state)
{
	struct fixture *f = *state;

	start_streaming(f, 0, 1000);
	turn(f, 0, WS_WAIT_WAL);
	ws_tape_off_cpu(&f->tape, WS_STAGE_WAIT, 30);
	turn(f, 100, WS_WAIT_NONE);
	ws_tape_exit(&f->tape, 0, 0);
	assert_non_null(
		strstr(ws_observed_timeline(f->o, PID), "wait_wal 70, off_cpu 30, reply 1"));
}

/* Little of it is told with a later turn, which may be shorter: 130 ns in all, of which 50 at most
 * in the turn that they come with. */
static void waiting_for_a_cpu_that_a_short_turn_has_no_room_for_is_not_forgotten(void **state)
{
	struct fixture *f = *state;

	start_streaming(f, 0, 1000);
	turn(f, 0, WS_WAIT_WAL);
	turn(f, 100, WS_WAIT_WAL);
	ws_tape_off_cpu(&f->tape, WS_STAGE_WAIT, 130);
	turn(f, 50, WS_WAIT_WAL);
	turn(f, 200, WS_WAIT_NONE);
	ws_tape_exit(&f->tape, 0, 0);
	assert_int_equal(session_of(f)->state_ns[WS_STATE_OFF_CPU], 130);
}

/* All of the time in which a turn sent went by without a CPU: what it sent is told with that. */
static void what_was_sent_without_a_moment_of_work_to_be_seen_is_told_all_the_same(void **state)
{
	struct fixture *f = *state;

	start_streaming(f, 0, 1000);
	ws_tape_off_cpu(&f->tape, WS_STAGE_SEND, 50);
	ws_tape_turn(&f->tape, &(struct ws_tape_turn){ .stage_ns = { [WS_STAGE_SEND] = 50 },
						       .lsn_from = 0x1000,
						       .lsn_to = 0x1400,
						       .wait = WS_WAIT_WAL });
	ws_tape_exit(&f->tape, 0, 0);
	for (size_t i = 0; i < f->o->segment_count; i++) {
		if (f->o->segments[i].s.state != WS_STATE_OFF_CPU)
			continue;
		assert_int_equal(f->o->segments[i].s.lsn_from, 0x1000);
		assert_int_equal(f->o->segments[i].s.lsn_to, 0x1400);
		assert_int_equal(f->o->segments[i].s.bytes, 0x400);
		return;
	}
	fail();
}

static void waiting_for_a_cpu_is_no_work_on_a_command(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	ws_tape_command(&f->tape, "SHOW x");
	after(f, 50);
	ws_tape_off_cpu(&f->tape, WS_STAGE_OTHER, 20);
	ws_tape_end(&f->tape, WS_COMMAND_DONE);
	after(f, 5);
	ws_tape_exit(&f->tape, 0, 0);
	assert_timeline(f, "starting 10, command 30, off_cpu 20, idle 5");
}

static void more_waiting_than_time_is_all_of_it(void **state)
{
	struct fixture *f = *state;

	start_idle(f);
	ws_tape_command(&f->tape, "SHOW x");
	after(f, 50);
	ws_tape_off_cpu(&f->tape, WS_STAGE_OTHER, UINT64_MAX);
	ws_tape_end(&f->tape, WS_COMMAND_DONE);
	ws_tape_exit(&f->tape, 0, 0);
	assert_timeline(f, "starting 10, off_cpu 50");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_session_starts_at_its_fork_and_is_idle_from_ready_on),
		TEST(a_command_lasts_until_its_end),
		TEST(a_wait_that_goes_on_is_where_it_was_sent_to),
		TEST(what_is_no_replication_command_is_sql_until_its_own_end),
		TEST(an_error_makes_it_idle_again),
		TEST(a_fatal_makes_it_exiting),
		TEST(a_turn_is_laid_out_in_its_stages),
		TEST(a_logical_turn_has_its_bytes_where_it_decodes),
		TEST(each_wait_is_what_it_was_announced_as),
		TEST(caught_up_and_socket_full_are_told_apart),
		TEST(the_end_of_a_recording_shows_an_open_wait),
		TEST(waits_merge_only_with_nothing_between),
		TEST(sends_with_contiguous_positions_merge),
		TEST(a_walsender_that_spins_waits_for_copydone),
		TEST(turns_that_move_wait_or_block_are_no_spinning),
		TEST(without_turns_no_bytes_are_claimed),
		TEST(turns_outside_the_loop_belong_to_the_command),
		TEST(caught_up_while_stopping_is_stopping),
		TEST(the_wait_that_stopping_ends_was_for_wal),
		TEST(records_within_a_turn_take_nothing_from_it),
		TEST(a_backup_goes_through_its_phases),
		TEST(a_session_found_running_starts_in_the_state_it_was_found_in),
		TEST(a_backup_found_handing_bytes_to_its_client_goes_on_with_that),
		TEST(the_first_turn_of_a_session_found_running_goes_on_from_there),
		TEST(streaming_without_turns_is_the_command),
		TEST(stages_that_do_not_add_up_leave_unknown_time),
		TEST(details_say_what_ended_a_wait_and_what_a_reply_said),
		TEST(waiting_for_a_cpu_is_no_wait_for_wal),
		TEST(waiting_for_a_cpu_that_a_short_turn_has_no_room_for_is_not_forgotten),
		TEST(what_was_sent_without_a_moment_of_work_to_be_seen_is_told_all_the_same),
		TEST(waiting_for_a_cpu_is_no_work_on_a_command),
		TEST(more_waiting_than_time_is_all_of_it),
	};

	return cmocka_run_group_tests_name("model_states", tests, NULL, NULL);
}
