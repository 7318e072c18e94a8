/* SPDX-License-Identifier: BSD-2-Clause */
/* Verdicts on logical decoding: what is made of the records of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "../lib/decoded.h"

#define SESSION	     WS_SCOPE_SESSION
#define SUBSCRIPTION WS_SCOPE_SUBSCRIPTION
/* Transaction 700 of another process is open since the stream began. */
static void hold_back(struct lab *lab, struct ws_rec_holder *holder)
{
	struct ws_rec_decoding r = {
		.valid = ALL_VALID, .oldest_xid = 700, .restart_lsn = LSN, .open_txns = 1
	};

	lab_stream(lab, WS_STREAM_LOGICAL);
	holder->since_ns = lab->tape.now_ns;
	lab_sampled(lab, &holder->h, WS_KIND_HOLDER, sizeof(*holder));
	for (unsigned int i = 0; i < 10; i++) {
		lab_waits(lab, WAL, .seconds = 1, .flags = WS_TURN_LOGICAL, .bytes = 4 * MB);
		r.read_lsn = lab->sent;
		tell_flushed(lab, lab->sent);
		lab_sampled(lab, &r.h, WS_KIND_DECODING, sizeof(r));
	}
}

static void who_keeps_a_slot_from_letting_wal_go_is_said(void **state)
{
	struct ws_rec_holder holder = { .xid = 700,
					.what = WS_HELD_PROCESS,
					.first_lsn = LSN + 2 * MB,
					.holder_pid = 4711,
					.user = "report",
					.application = "nightly\n" };

	hold_back(*state, &holder);
	assert_verdict(*state, SESSION, "healthy_idle");
	assert_said(*state, "Its slot keeps 38.0 MB of WAL for transaction 700 of process 4711 "
			    "(report, nightly?), which is open for 10.0 s.");
}

static void a_prepared_transaction_that_keeps_wal_is_said(void **state)
{
	struct ws_rec_holder holder = {
		.xid = 700, .what = WS_HELD_PREPARED, .first_lsn = LSN, .gid = "forgotten"
	};

	hold_back(*state, &holder);
	assert_verdict(*state, SESSION, "healthy_idle");
	assert_said(*state, "40.0 MB of WAL for transaction 700, prepared as forgotten, which");
}

static void a_session_that_ends_behind_the_window_has_not_ended(void **state)
{
	struct ws_rec_holder holder = {
		.xid = 700, .what = WS_HELD_PREPARED, .first_lsn = LSN, .gid = "forgotten"
	};
	struct lab *lab = *state;

	lab_window(lab, 0, 11 * SECOND);
	hold_back(lab, &holder);
	ws_tape_exit(&lab->tape, 0, 0);
	assert_verdict(lab, SESSION, "healthy_idle");
	assert_said(lab, "prepared as forgotten");
}

static void a_transaction_that_keeps_little_is_not_worth_a_word(void **state)
{
	struct ws_rec_holder holder = {
		.xid = 700, .what = WS_HELD_PROCESS, .first_lsn = LSN + 30 * MB, .holder_pid = 4711
	};

	hold_back(*state, &holder);
	assert_verdict(*state, SESSION, "healthy_idle");
	assert_null(strstr(lab_find(*state, SESSION)->finding.text, "4711"));
}

static void health_says_what_held_it_up_for_a_while(void **state)
{
	struct step step = { .seconds = 4,
			     .wait = WS_WAIT_WAL,
			     .busy_ms = 700,
			     .stage = WS_STAGE_DECODE,
			     .flags = WS_TURN_LOGICAL,
			     .bytes = MB };
	struct lab *lab = *state;

	lab_stream(lab, WS_STREAM_LOGICAL);
	lab_play(lab, &step);
	ws_tape_blocked(&lab->tape, WS_BLOCKED_LOCK, 0);
	lab->tape.now_ns += 3 * SECOND;
	ws_tape_blocked(&lab->tape, WS_BLOCKED_NOTHING, 0);
	lab->tape.now_ns -= 3 * SECOND;
	ws_tape_turn(&lab->tape,
		     &(struct ws_tape_turn){ .flags = WS_TURN_LOGICAL,
					     .lsn_from = lab->sent,
					     .lsn_to = lab->sent,
					     .stage_ns = { [WS_STAGE_DECODE] = 3 * SECOND } });
	lab_play(lab, &step);
	assert_verdict(lab, SESSION, "healthy_streaming");
	assert_said(lab, "It waited for a lock for 27 % of the time.");
}

/* Each second so much time goes into the files of spilled changes, and so many bytes. */
static void spill(struct lab *lab, uint64_t write_ms, uint64_t read_ms, uint64_t bytes,
		  uint32_t valid)
{
	struct ws_rec_decoding r = { .valid = valid };

	lab_stream(lab, WS_STREAM_LOGICAL);
	for (unsigned int i = 0; i < 10; i++) {
		r.read_lsn = lab->sent;
		r.spill_ns += write_ms * 1000000;
		r.restore_ns += read_ms * 1000000;
		r.spill_bytes += bytes;
		r.spill_txns++;
		r.output_xid++;
		second(lab, &r);
	}
}

/* What it waits for the disk for is not WAL. */
static void spilled_changes_that_come_back_from_a_slow_disk_are_spilling(void **state)
{
	struct ws_rec_sample seen = { .valid = WS_SAMPLE_READ, .task_state = 'D' };
	struct ws_rec_decoding r = { .valid = ALL_VALID };
	struct lab *lab = *state;

	lab_stream(lab, WS_STREAM_LOGICAL);
	for (unsigned int i = 0; i < 10; i++) {
		r.read_lsn = lab->sent;
		r.restore_ns += 600000000;
		r.spill_bytes += 4 * MB;
		r.output_xid++;
		second(lab, &r);
		seen.read_bytes += 4 * MB;
		lab_sampled(lab, &seen.h, WS_KIND_SAMPLE, sizeof(seen));
	}
	assert_verdict(lab, SESSION, "spilling");
	assert_int_equal(lab_find(lab, SESSION)->also_count, 0);
}

static void a_fifth_of_the_time_spent_on_files_is_spilling(void **state)
{
	spill(*state, 150, 100, 4 * MB, ALL_VALID);
	assert_verdict(*state, SESSION, "spilling");
	assert_said(*state, "25 % of the time");
	assert_said(*state, "1.50 s writing, 1.00 s reading back");
}

static void much_that_is_spilled_in_little_time_is_not(void **state)
{
	spill(*state, 50, 50, 40 * MB, ALL_VALID);
	assert_verdict(*state, SESSION, "healthy_streaming");
}

/* Each second so many bytes are written in so many pieces, and all is taken up by decoding. */
static void spill_pieces(struct lab *lab, uint64_t bytes, uint64_t pieces)
{
	struct ws_rec_decoding r = { .valid = ALL_VALID,
				     .txn_xid = 700,
				     .txn_subtxns = 20000,
				     .txn_first_lsn = LSN,
				     .open_txns = 1 };
	struct ws_rec_sample seen = { .valid = WS_SAMPLE_TARGET };

	lab_stream(lab, WS_STREAM_LOGICAL);
	for (unsigned int i = 0; i < 10; i++) {
		seen.target_lsn = (i + 1) * 8 * MB;
		lab_waits(lab, WAL, .seconds = 1, .flags = WS_TURN_LOGICAL, .busy_ms = 950,
			  .stage = WS_STAGE_DECODE, .bytes = 100000, .sample = &seen);
		r.read_lsn = lab->sent;
		r.spill_ns += 50000000;
		r.spill_bytes += bytes;
		r.spill_count += pieces;
		lab_sampled(lab, &r.h, WS_KIND_DECODING, sizeof(r));
	}
}

static void changes_that_are_spilled_one_by_one_are_spilling(void **state)
{
	spill_pieces(*state, 300000, 900);
	assert_verdict(*state, SESSION, "spilling");
	assert_said(*state, "(20000 subtransactions of transaction 700)");
}

static void changes_that_are_spilled_in_large_pieces_are_not(void **state)
{
	spill_pieces(*state, 900000, 1);
	assert_verdict(*state, SESSION, "decode_bound");
}

/* Some small ones that did not fit: choosing these takes no time. */
static void a_few_small_pieces_are_not_what_takes_the_time(void **state)
{
	spill_pieces(*state, 5000, 1);
	assert_verdict(*state, SESSION, "decode_bound");
}

/* Servers count it from 14 on. */
static void where_no_bytes_are_known_none_are_told(void **state)
{
	struct lab *lab = *state;
	const struct ws_finding *f;

	spill(lab, 150, 100, 0, ALL_VALID & ~WS_DECODING_STATS);
	assert_verdict(lab, SESSION, "spilling");
	assert_said(lab, "logical_decoding_work_mem, and 25 % of the time");
	f = &lab_find(lab, SESSION)->finding;
	for (size_t i = 0; i < f->fact_count; i++)
		assert_null(strstr(f->facts[i].fact, "spilled"));
}

static void where_no_time_is_known_the_bytes_count(void **state)
{
	spill(*state, 0, 0, 4 * MB, ALL_VALID & ~WS_DECODING_TIMES);
	assert_verdict(*state, SESSION, "spilling");
}

static void what_a_server_has_flushed_is_what_a_logical_session_is_behind(void **state)
{
	struct lab *lab = *state;
	/* As the session saw it when it looked last. */
	struct ws_rec_sample seen = { .valid = WS_SAMPLE_TARGET };

	lab_stream(lab, WS_STREAM_LOGICAL);
	for (unsigned int i = 0; i < 10; i++) {
		lab_waits(lab, WAL, .seconds = 1, .flags = WS_TURN_LOGICAL, .busy_ms = 900,
			  .stage = WS_STAGE_DECODE, .bytes = MB, .sample = &seen);
		tell_flushed(lab, lab->sent + (i + 1) * 8 * MB);
	}
	assert_verdict(lab, SESSION, "decode_bound");
}

static void make_slot(struct lab *lab, enum ws_snapshot snapshot)
{
	struct ws_rec_decoding r = { .valid = WS_DECODING_READ, .snapshot = snapshot };

	ws_tape_session(&lab->tape, WS_SESSION_DATABASE);
	ws_tape_ready(&lab->tape);
	ws_tape_command(&lab->tape, "CREATE_REPLICATION_SLOT \"s\" LOGICAL \"pgoutput\"");
	lab_sampled(lab, &r.h, WS_KIND_DECODING, sizeof(r));
	lab->tape.now_ns += 10 * SECOND;
	ws_tape_clock(&lab->tape, 1, 1);
	assert_verdict(lab, SESSION, "slot_waits_for_transaction");
}

static void a_slot_that_waits_for_a_record_of_running_transactions_says_so(void **state)
{
	make_slot(*state, WS_SNAPSHOT_START);
	assert_said(*state, "WAL record of the transactions that run");
}

static void a_slot_that_waits_for_transactions_says_so(void **state)
{
	make_slot(*state, WS_SNAPSHOT_BUILDING);
	assert_said(*state, "transactions that ran before it to end");
}

/* As SQL. */
static void call_function(struct lab *lab, const char *sql, uint32_t xid)
{
	struct ws_rec_blocked blocked = { .on = WS_BLOCKED_LOCK, .xid = xid, .holder_pid = 4712 };

	ws_tape_session(&lab->tape, WS_SESSION_DATABASE);
	ws_tape_ready(&lab->tape);
	ws_tape_command(&lab->tape, sql);
	ws_tape_end(&lab->tape, WS_COMMAND_IS_SQL);
	lab_sampled(lab, &blocked.h, WS_KIND_BLOCKED, sizeof(blocked));
	lab->tape.now_ns += 10 * SECOND;
	ws_tape_clock(&lab->tape, 1, 1);
}

static void a_slot_made_by_a_function_waits_as_any(void **state)
{
	call_function(*state, "SELECT PG_create_logical_replication_slot('s', 'test_decoding')",
		      700);
	assert_verdict(*state, SESSION, "slot_waits_for_transaction");
	assert_said(*state, "pg_create_logical_replication_slot() has taken 10.0 s: it waits for "
			    "transaction 700 of process 4712 to end.");
}

/* It waits for the lock of a table. */
static void a_function_that_waits_for_no_transaction_is_not_said_to(void **state)
{
	call_function(*state,
		      "SELECT pg_create_logical_replication_slot('s', 'test_decoding') FROM t", 0);
	assert_verdict(*state, SESSION, "insufficient_data");
}

/* A lock's wait, and whose the transaction is. */
static void await_transaction(struct lab *lab, const struct ws_rec_holder *holder)
{
	struct ws_rec_blocked blocked = { .on = WS_BLOCKED_LOCK,
					  .xid = 700,
					  .holder_pid = holder->holder_pid };
	struct ws_rec_holder awaited = *holder;

	ws_tape_session(&lab->tape, WS_SESSION_DATABASE);
	ws_tape_ready(&lab->tape);
	ws_tape_command(&lab->tape, "CREATE_REPLICATION_SLOT \"s\" LOGICAL \"pgoutput\"");
	lab_sampled(lab, &blocked.h, WS_KIND_BLOCKED, sizeof(blocked));
	awaited.xid = 700;
	awaited.why = WS_HELD_AWAITED;
	lab_sampled(lab, &awaited.h, WS_KIND_HOLDER, sizeof(awaited));
	lab->tape.now_ns += 10 * SECOND;
	ws_tape_clock(&lab->tape, 1, 1);
	assert_verdict(lab, SESSION, "slot_waits_for_transaction");
}

static void a_prepared_transaction_that_a_slot_waits_for_is_named(void **state)
{
	const struct ws_rec_holder holder = { .what = WS_HELD_PREPARED, .gid = "forgotten" };

	await_transaction(*state, &holder);
	assert_said(*state, "it waits for transaction 700, prepared as forgotten, to end.");
}

static void who_runs_a_transaction_that_a_slot_waits_for_is_said(void **state)
{
	const struct ws_rec_holder holder = {
		.what = WS_HELD_PROCESS, .holder_pid = 4712, .user = "alice", .application = "psql"
	};

	await_transaction(*state, &holder);
	assert_said(*state, "it waits for transaction 700 of process 4712 (alice, psql) to end.");
}

/* It waited for ten seconds, which are over for so long. */
static void made_before(struct lab *lab, unsigned int seconds)
{
	struct ws_rec_blocked blocked = { .on = WS_BLOCKED_LOCK, .xid = 700, .holder_pid = 4712 };

	ws_tape_session(&lab->tape, WS_SESSION_DATABASE);
	ws_tape_ready(&lab->tape);
	ws_tape_command(&lab->tape, "CREATE_REPLICATION_SLOT \"s\" LOGICAL \"pgoutput\"");
	lab_sampled(lab, &blocked.h, WS_KIND_BLOCKED, sizeof(blocked));
	lab->tape.now_ns += 10 * SECOND;
	ws_tape_end(&lab->tape, WS_COMMAND_DONE);
	ws_tape_command(&lab->tape, "COPY public.t TO STDOUT");
	ws_tape_end(&lab->tape, WS_COMMAND_IS_SQL);
	ws_tape_end(&lab->tape, WS_COMMAND_SQL_DONE);
	lab->tape.now_ns += seconds * SECOND;
	ws_tape_clock(&lab->tape, 1, 1);
}

static void a_slot_that_waited_for_most_of_the_time_is_told_when_that_is_over(void **state)
{
	made_before(*state, 2);
	assert_verdict(*state, SESSION, "slot_waits_for_transaction");
	assert_said(*state, "CREATE_REPLICATION_SLOT took 10.0 s: it waited for transaction 700 of "
			    "process 4712 to end.");
}

static void the_wait_of_a_slot_is_no_part_of_the_copy_behind_it(void **state)
{
	made_before(*state, 2);
	assert_verdict(*state, SESSION, "slot_waits_for_transaction");
	assert_false(lab_also(*state, "table_copy"));
}

static void a_copy_behind_a_slot_that_waited_is_as_long_as_it_runs_itself(void **state)
{
	struct lab *lab = *state;

	made_before(lab, 0);
	ws_tape_command(&lab->tape, "COPY public.t TO STDOUT");
	ws_tape_end(&lab->tape, WS_COMMAND_IS_SQL);
	lab->tape.now_ns += 60 * SECOND;
	ws_tape_clock(&lab->tape, 1, 1);
	assert_verdict(lab, SESSION, "table_copy");
	assert_said(lab, "for 60.0 s of the time looked at");
	assert_null(strstr(lab_find(lab, SESSION)->finding.text, " for a lock"));
}

static void wait_for_xid(struct lab *lab, uint32_t xid, uint32_t pid, unsigned int seconds)
{
	struct ws_rec_blocked blocked = {
		.on = WS_BLOCKED_LOCK, .xid = xid, .holder_pid = pid, .since_ns = lab->tape.now_ns
	};

	lab_sampled(lab, &blocked.h, WS_KIND_BLOCKED, sizeof(blocked));
	lab->tape.now_ns += seconds * SECOND;
}

/* At last it is looked at when the lock that it waited for has just gone. */
static void a_slot_that_waited_for_several_names_the_longest_when_that_is_over(void **state)
{
	struct lab *lab = *state;

	ws_tape_session(&lab->tape, WS_SESSION_DATABASE);
	ws_tape_ready(&lab->tape);
	ws_tape_command(&lab->tape, "CREATE_REPLICATION_SLOT \"s\" LOGICAL \"pgoutput\"");
	wait_for_xid(lab, 700, 4712, 2);
	wait_for_xid(lab, 701, 4713, 5);
	wait_for_xid(lab, 702, 4714, 1);
	wait_for_xid(lab, 0, 0, 1);
	ws_tape_end(&lab->tape, WS_COMMAND_DONE);
	ws_tape_clock(&lab->tape, 1, 1);
	assert_verdict(lab, SESSION, "slot_waits_for_transaction");
	assert_said(lab, "CREATE_REPLICATION_SLOT took 9.00 s: it waited for transaction 701 of "
			 "process 4713 to end, for 5.00 s.");
	assert_non_null(strstr(lab_find(lab, SESSION)->finding.advice, "is over"));
}

static void a_query_that_waits_for_a_transaction_names_it(void **state)
{
	struct lab *lab = *state;

	ws_tape_session(&lab->tape, WS_SESSION_DATABASE);
	ws_tape_ready(&lab->tape);
	ws_tape_command(&lab->tape, "update public.t set a = 1");
	ws_tape_end(&lab->tape, WS_COMMAND_IS_SQL);
	wait_for_xid(lab, 700, 0, 10);
	ws_tape_clock(&lab->tape, 1, 1);
	assert_verdict(lab, SESSION, "insufficient_data");
	assert_said(lab, "It waits for transaction 700 to end.");
}

static void a_slot_that_was_made_long_ago_waits_for_nothing(void **state)
{
	made_before(*state, 60);
	assert_verdict(*state, SESSION, "healthy_idle");
	assert_said(*state, "waits for its client's next command");
}

static void begin_copy(struct lab *lab, uint32_t pid)
{
	lab->tape = ws_tape_new(lab->tape.sink, pid, lab->tape.now_ns + SECOND);
	ws_tape_session(&lab->tape, WS_SESSION_DATABASE);
	ws_tape_ready(&lab->tape);
	ws_tape_command(&lab->tape, "CREATE_REPLICATION_SLOT \"pg_16389_sync_16384_7\" LOGICAL "
				    "pgoutput (SNAPSHOT 'use')");
	ws_tape_end(&lab->tape, WS_COMMAND_DONE);
}

static void go_on_copying(struct lab *lab, const char *text)
{
	ws_tape_command(&lab->tape, text);
	ws_tape_end(&lab->tape, WS_COMMAND_IS_SQL);
	lab->tape.now_ns += 10 * SECOND;
	ws_tape_clock(&lab->tape, 1, 1);
}

static void copy(struct lab *lab, uint32_t pid, const char *text)
{
	begin_copy(lab, pid);
	go_on_copying(lab, text);
}

static void the_table_of_a_copy_is_named(void **state)
{
	copy(*state, 1, "COPY public.\"odd (name\" (a, b) TO STDOUT");
	assert_verdict(*state, SESSION, "table_copy");
	assert_said(*state, "copies table public.\"odd (name\" (COPY)");
}

/* Something that is run for a client waits for a table that another session has locked. */
static void wait_for_table(struct lab *lab, const char *text)
{
	struct ws_rec_blocked blocked = { .on = WS_BLOCKED_LOCK, .holder_pid = 4712 };

	begin_copy(lab, 1);
	ws_tape_command(&lab->tape, text);
	ws_tape_end(&lab->tape, WS_COMMAND_IS_SQL);
	lab_sampled(lab, &blocked.h, WS_KIND_BLOCKED, sizeof(blocked));
	lab->tape.now_ns += 10 * SECOND;
	ws_tape_clock(&lab->tape, 1, 1);
}

static void a_copy_that_waits_for_a_lock_names_its_holder(void **state)
{
	wait_for_table(*state, "COPY public.t TO STDOUT");
	assert_verdict(*state, SESSION, "table_copy");
	assert_said(*state, "It waits for a lock of process 4712.");
	assert_non_null(strstr(lab_find(*state, SESSION)->finding.advice, "pg_blocking_pids"));
}

static void a_query_that_waits_for_a_lock_names_its_holder(void **state)
{
	wait_for_table(*state, "SELECT * FROM public.t");
	assert_verdict(*state, SESSION, "insufficient_data");
	assert_said(*state, "It waits for a lock of process 4712.");
}

static void the_rows_of_a_copy_are_told(void **state)
{
	struct ws_rec_copy r = { .rows = 12345, .bytes = 4 * MB };
	struct lab *lab = *state;

	copy(lab, 1, "COPY public.t TO STDOUT");
	lab_sampled(lab, &r.h, WS_KIND_COPY, sizeof(r));
	assert_verdict(lab, SESSION, "table_copy");
	assert_said(lab, "12345 rows since it began.");
}

static void the_rows_of_an_earlier_copy_are_not(void **state)
{
	struct ws_rec_copy r = { .rows = 12345, .bytes = 4 * MB };
	struct lab *lab = *state;

	begin_copy(lab, 1);
	lab_sampled(lab, &r.h, WS_KIND_COPY, sizeof(r));
	go_on_copying(lab, "COPY public.t TO STDOUT");
	assert_verdict(lab, SESSION, "table_copy");
	assert_null(strstr(lab_find(lab, SESSION)->finding.text, "rows"));
}

static void a_copy_cut_short_names_none(void **state)
{
	copy(*state, 1, "COPY (SELECT");
	assert_verdict(*state, SESSION, "table_copy");
	assert_said(*state, "copies a table (COPY)");
}

/* A session of the same user from the same place, for as long as the lab runs. */
static void stream(struct lab *lab, uint32_t pid, const char *command)
{
	lab->tape = ws_tape_new(lab->tape.sink, pid, lab->tape.now_ns + SECOND);
	ws_tape_session(&lab->tape, WS_SESSION_DATABASE);
	ws_tape_ready(&lab->tape);
	ws_tape_command(&lab->tape, "SELECT pg_catalog.set_config('search_path', '', false);");
	ws_tape_end(&lab->tape, WS_COMMAND_IS_SQL);
	ws_tape_command(&lab->tape, "IDENTIFY_SYSTEM");
	ws_tape_end(&lab->tape, WS_COMMAND_DONE);
	ws_tape_command(&lab->tape, command);
	ws_tape_stream(&lab->tape, WS_STREAM_LOGICAL, lab->sent, NULL);
}

/* What a worker of 15 and later asks before it copies. */
static void ask_for_publications(struct lab *lab, const char *list)
{
	char text[256];

	snprintf(text, sizeof(text),
		 "SELECT DISTINCT x FROM pg_publication p WHERE gpt.relid = 16384 AND p.pubname IN "
		 "( "
		 "%s )",
		 list);
	ws_tape_command(&lab->tape, text);
	ws_tape_end(&lab->tape, WS_COMMAND_IS_SQL);
}

static void copy_asking(struct lab *lab, uint32_t pid, const char *list)
{
	begin_copy(lab, pid);
	ask_for_publications(lab, list);
	go_on_copying(lab, "COPY public.one TO STDOUT");
}

#define APPLY_OF(slot, publications)                                                            \
	"START_REPLICATION SLOT \"" slot "\" LOGICAL 0/10000000 (proto_version '4', streaming " \
	"'on', publication_names '" publications "')"

static void a_consumer_beside_the_copies_is_none_of_the_subscription(void **state)
{
	struct lab *lab = *state;

	stream(lab, 5000,
	       "START_REPLICATION SLOT \"s\" LOGICAL 0/10000000 (\"proto_version\" '1', "
	       "\"publication_names\" 'p')");
	copy(lab, 5001, "COPY public.one TO STDOUT");
	lab_judge(lab);
	assert_int_equal(lab_find(lab, SUBSCRIPTION)->session_count, 1);
}

static void of_two_apply_workers_none_is_taken_unasked(void **state)
{
	struct lab *lab = *state;

	stream(lab, 5000, APPLY_OF("sub", "\"other\""));
	stream(lab, 5001, APPLY_OF("right", "\"one\""));
	copy(lab, 5002, "COPY public.one TO STDOUT");
	lab_judge(lab);
	assert_int_equal(lab_find(lab, SUBSCRIPTION)->session_count, 1);
}

static void of_two_apply_workers_the_publications_tell_which(void **state)
{
	struct lab *lab = *state;
	const struct ws_explained *group;

	stream(lab, 5000, APPLY_OF("sub", "\"other\""));
	stream(lab, 5001, APPLY_OF("right", "\"it''s\",\"two\"\"\""));
	copy_asking(lab, 5002, "'it''s', 'two\"'");
	lab_judge(lab);
	group = lab_find(lab, SUBSCRIPTION);
	assert_int_equal(group->session_count, 2);
	assert_string_equal(group->name, "right");
}

static void the_apply_worker_of_other_publications_is_another_subscription_s(void **state)
{
	struct lab *lab = *state;

	stream(lab, 5000, APPLY_OF("sub", "\"other\""));
	copy_asking(lab, 5001, "'one'");
	lab_judge(lab);
	assert_int_equal(lab_find(lab, SUBSCRIPTION)->session_count, 1);
}

static void the_copies_of_a_subscription_are_told_together(void **state)
{
	struct lab *lab = *state;
	const struct ws_explained *group;

	stream(lab, 5000, APPLY_OF("sub", "\"one\""));
	copy(lab, 5001, "COPY public.one TO STDOUT");
	copy(lab, 5002, "COPY (SELECT a FROM ONLY public.two WHERE (a > 1)) TO STDOUT");
	lab_judge(lab);
	group = lab_find(lab, SUBSCRIPTION);
	assert_non_null(group);
	assert_string_equal(ws_verdict_name(group->verdict), "table_copy");
	assert_string_equal(ws_scope_name(group->scope), "group");
	assert_int_equal(group->session_count, 3);
	assert_non_null(strstr(group->finding.text, "copy 2 tables now: public.one for "));
	assert_non_null(strstr(group->finding.text, "public.two for "));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB(health_says_what_held_it_up_for_a_while),
		LAB(spilled_changes_that_come_back_from_a_slow_disk_are_spilling),
		LAB(a_fifth_of_the_time_spent_on_files_is_spilling),
		LAB(much_that_is_spilled_in_little_time_is_not),
		LAB(a_copy_that_waits_for_a_lock_names_its_holder),
		LAB(a_query_that_waits_for_a_lock_names_its_holder),
		LAB(changes_that_are_spilled_one_by_one_are_spilling),
		LAB(changes_that_are_spilled_in_large_pieces_are_not),
		LAB(a_few_small_pieces_are_not_what_takes_the_time),
		LAB(a_slot_that_waited_for_most_of_the_time_is_told_when_that_is_over),
		LAB(the_wait_of_a_slot_is_no_part_of_the_copy_behind_it),
		LAB(a_copy_behind_a_slot_that_waited_is_as_long_as_it_runs_itself),
		LAB(a_slot_that_was_made_long_ago_waits_for_nothing),
		LAB(a_slot_that_waited_for_several_names_the_longest_when_that_is_over),
		LAB(a_query_that_waits_for_a_transaction_names_it),
		LAB(where_no_bytes_are_known_none_are_told),
		LAB(where_no_time_is_known_the_bytes_count),
		LAB(what_a_server_has_flushed_is_what_a_logical_session_is_behind),
		LAB(a_slot_that_waits_for_a_record_of_running_transactions_says_so),
		LAB(a_slot_that_waits_for_transactions_says_so),
		LAB(a_slot_made_by_a_function_waits_as_any),
		LAB(a_function_that_waits_for_no_transaction_is_not_said_to),
		LAB(a_prepared_transaction_that_a_slot_waits_for_is_named),
		LAB(who_runs_a_transaction_that_a_slot_waits_for_is_said),
		LAB(who_keeps_a_slot_from_letting_wal_go_is_said),
		LAB(a_prepared_transaction_that_keeps_wal_is_said),
		LAB(a_session_that_ends_behind_the_window_has_not_ended),
		LAB(a_transaction_that_keeps_little_is_not_worth_a_word),
		LAB(the_table_of_a_copy_is_named),
		LAB(the_rows_of_a_copy_are_told),
		LAB(the_rows_of_an_earlier_copy_are_not),
		LAB(a_copy_cut_short_names_none),
		LAB(the_copies_of_a_subscription_are_told_together),
		LAB(a_consumer_beside_the_copies_is_none_of_the_subscription),
		LAB(of_two_apply_workers_none_is_taken_unasked),
		LAB(of_two_apply_workers_the_publications_tell_which),
		LAB(the_apply_worker_of_other_publications_is_another_subscription_s),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
