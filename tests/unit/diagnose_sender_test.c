/* SPDX-License-Identifier: BSD-2-Clause */
/* Rules about the walsender's own work and about backups. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "../lib/diagnosed.h"

#define SESSION WS_SCOPE_SESSION

/* `behind` MB of WAL are not sent in the first second, `more` MB more in each that follows. */
static void play_behind(struct lab *lab, uint64_t behind, int64_t more, struct step step)
{
	struct ws_rec_sample sample = { .valid = WS_SAMPLE_TARGET };

	for (unsigned int i = 0; i < 12; i++) {
		sample.target_lsn = (uint64_t)((int64_t)behind + more * i) * MB;
		step.seconds = 1;
		step.sample = &sample;
		lab_play(lab, &step);
	}
}

static void one_that_comes_nearer_catches_up(void **state)
{
	lab_stream(*state, 0);
	play_behind(*state, 100, -5,
		    (struct step){ .wait = WS_WAIT_WAL, .busy_ms = 900, .bytes = 10 * MB });
	assert_verdict(*state, SESSION, "catching_up");
}

static void one_that_has_caught_up_is_not_behind_any_more(void **state)
{
	static const struct ws_rec_sample at_end = { .valid = WS_SAMPLE_TARGET };

	lab_stream(*state, 0);
	play_behind(*state, 100, -8,
		    (struct step){ .wait = WS_WAIT_WAL, .busy_ms = 900, .bytes = 10 * MB });
	lab_waits(*state, WAL, .seconds = 2, .busy_ms = 100, .bytes = MB, .sample = &at_end);
	assert_verdict(*state, SESSION, "healthy_streaming");
}

/* Much comes at a time, and it takes all of that each time. */
static void one_that_has_it_all_between_bursts_does_not_fall_behind(void **state)
{
	lab_stream(*state, 0);
	for (unsigned int i = 0; i < 12; i++)
		play_behind(*state, 4 * (i % 2) * (i > 5), 0,
			    (struct step){ .wait = WS_WAIT_WAL, .busy_ms = 100, .bytes = MB });
	assert_verdict(*state, SESSION, "healthy_streaming");
}

static void one_that_gets_less_near_falls_behind(void **state)
{
	lab_stream(*state, 0);
	play_behind(*state, 10, 5,
		    (struct step){ .wait = WS_WAIT_WAL, .busy_ms = 900, .bytes = MB });
	assert_verdict(*state, SESSION, "falling_behind");
}

static void decoding_that_does_not_keep_up_is_the_bound(void **state)
{
	lab_stream(*state, WS_STREAM_LOGICAL);
	play_behind(*state, 10, 5,
		    (struct step){ .wait = WS_WAIT_WAL,
				   .flags = WS_TURN_LOGICAL,
				   .busy_ms = 900,
				   .stage = WS_STAGE_DECODE,
				   .bytes = MB });
	assert_verdict(*state, SESSION, "decode_bound");
}

static void an_output_plugin_that_takes_the_time_is_slow(void **state)
{
	lab_stream(*state, WS_STREAM_LOGICAL);
	play_behind(*state, 10, 5,
		    (struct step){ .wait = WS_WAIT_WAL,
				   .flags = WS_TURN_LOGICAL,
				   .busy_ms = 900,
				   .stage = WS_STAGE_PLUGIN,
				   .bytes = MB });
	assert_verdict(*state, SESSION, "output_plugin_slow");
}

static void decoding_much_and_keeping_up_is_healthy(void **state)
{
	lab_stream(*state, WS_STREAM_LOGICAL);
	play_behind(*state, 0, 0,
		    (struct step){ .wait = WS_WAIT_WAL,
				   .flags = WS_TURN_LOGICAL,
				   .busy_ms = 900,
				   .stage = WS_STAGE_DECODE,
				   .bytes = MB });
	assert_verdict(*state, SESSION, "healthy_streaming");
}

static void play_decoding(struct lab *lab, uint64_t spilled, uint64_t txns, uint64_t kept)
{
	struct ws_rec_decoding r = { .valid = WS_DECODING_READ | WS_DECODING_BUFFER |
					      WS_DECODING_STATS };

	lab_stream(lab, WS_STREAM_LOGICAL);
	for (unsigned int i = 0; i < 12; i++) {
		r.read_lsn = lab->sent;
		r.spill_bytes += spilled;
		r.output_xid += txns;
		r.buffer_bytes = kept;
		lab_sampled(lab, &r.h, WS_KIND_DECODING, sizeof(r));
		lab_waits(lab, WAL, .seconds = 1, .flags = WS_TURN_LOGICAL, .busy_ms = 900,
			  .stage = WS_STAGE_DECODE, .bytes = 4 * MB);
	}
}

static void changes_gathered_without_output_are_a_large_transaction(void **state)
{
	play_decoding(*state, 0, 0, 32 * MB);
	assert_verdict(*state, SESSION, "large_transaction");
}

static void changes_written_to_disk_are_spilling(void **state)
{
	play_decoding(*state, 4 * MB, 1, MB);
	assert_verdict(*state, SESSION, "spilling");
}

static void a_buffer_that_is_sent_transaction_by_transaction_is_healthy(void **state)
{
	play_decoding(*state, 0, 100, 32 * MB);
	assert_verdict(*state, SESSION, "healthy_streaming");
}

static void play_reads(struct lab *lab, uint32_t reads)
{
	lab_stream(lab, 0);
	lab_waits(lab, WAL, .seconds = 10, .busy_ms = 800, .stage = WS_STAGE_READ, .bytes = MB,
		  .reads = reads);
}

static void reads_that_take_long_come_from_disk(void **state)
{
	play_reads(*state, 20);
	assert_verdict(*state, SESSION, "wal_read_slow");
}

/* Below level 3: what a logical walsender reads it reads while it decodes. */
static void decoding_that_waits_for_the_disk_is_told_with_its_share(void **state)
{
	struct ws_rec_sample seen = { .valid = WS_SAMPLE_READ, .task_state = 'D' };
	const struct ws_finding *f;
	struct lab *lab = *state;

	lab_stream(lab, WS_STREAM_LOGICAL);
	for (unsigned int i = 0; i < 10; i++) {
		lab_waits(lab, WAL, .seconds = 1, .flags = WS_TURN_LOGICAL, .busy_ms = 800,
			  .stage = WS_STAGE_DECODE, .bytes = MB);
		seen.read_bytes += MB;
		lab_sampled(lab, &seen.h, WS_KIND_SAMPLE, sizeof(seen));
	}
	assert_verdict(lab, SESSION, "wal_read_slow");
	f = &lab_find(lab, SESSION)->finding;
	assert_string_equal(f->facts[0].fact, "decode");
	assert_int_equal(f->facts[0].value, 80);
}

static void many_quick_reads_are_healthy(void **state)
{
	play_reads(*state, 20000);
	assert_verdict(*state, SESSION, "healthy_streaming");
}

static void a_wait_for_failover_slots_is_named(void **state)
{
	lab_stream(*state, WS_STREAM_LOGICAL);
	lab_waits(*state, STANDBY, .seconds = 10, .flags = WS_TURN_LOGICAL);
	assert_verdict(*state, SESSION, "failover_slot_wait");
}

static void the_slot_that_failover_slots_wait_for_is_named(void **state)
{
	struct lab *lab = *state;
	struct ws_rec_cluster r = { .valid = WS_CLUSTER_STANDBY_SLOT,
				    .standby_why = WS_STANDBY_INACTIVE,
				    .standby_lsn = 0x3000028,
				    .standby_slot = "away\033[1m" };

	lab_stream(lab, WS_STREAM_LOGICAL);
	lab_waits(lab, STANDBY, .seconds = 10, .flags = WS_TURN_LOGICAL);
	r.h = (struct ws_rec){ .size = sizeof(r),
			       .kind = WS_KIND_CLUSTER,
			       .pid = POSTMASTER_PID,
			       .time_ns = lab->tape.now_ns,
			       .server = 1 };
	lab_feed(lab, &r.h);
	assert_verdict(lab, SESSION, "failover_slot_wait");
	assert_non_null(strstr(lab_find(lab, SESSION)->finding.text,
			       "slot away?[1m, which is in synchronized_standby_slots"));
	assert_non_null(strstr(lab_find(lab, SESSION)->finding.text,
			       "no standby streams from it (it has confirmed 0/3000028)"));
}

static void wait_for_standbys(struct lab *lab, unsigned int seconds)
{
	lab_waits(lab, STANDBY, .seconds = seconds, .flags = WS_TURN_LOGICAL);
}

static void send_standby_slot(struct lab *lab, const char *slot, enum ws_standby_why why)
{
	struct ws_rec_cluster r = { .valid = WS_CLUSTER_STANDBY_SLOT,
				    .standby_why = why,
				    .standby_lsn = 0x3000028 };

	snprintf(r.standby_slot, sizeof(r.standby_slot), "%s", slot);
	feed_cluster(lab, &r);
}

/* By then the server says of another slot that it is the furthest behind. */
static void a_failover_slot_says_what_it_waited_for_then(void **state)
{
	struct lab *lab = *state;
	const struct ws_finding *f;

	lab_stream(lab, WS_STREAM_LOGICAL);
	wait_for_standbys(lab, 9);
	lab->tape.now_ns += SECOND / 2;
	send_standby_slot(lab, "away", WS_STANDBY_INACTIVE);
	wait_for_standbys(lab, 1);
	lab_waits(lab, WAL, .seconds = 7, .flags = WS_TURN_LOGICAL);
	send_standby_slot(lab, "sound", WS_STANDBY_BEHIND);
	assert_verdict(lab, SESSION, "failover_slot_wait");
	assert_said_of(lab, SESSION,
		       "until slot away, which is in synchronized_standby_slots, had confirmed it: "
		       "no standby streamed from it (it had confirmed 0/3000028). That is over for "
		       "6.00 s.");
	f = &lab_find(lab, SESSION)->finding;
	assert_string_equal(f->advice, "That wait is over. See what the standby did then.");
}

static void a_failover_slot_that_waits_for_a_slot_that_is_missing_says_what_to_do(void **state)
{
	struct lab *lab = *state;

	lab_stream(lab, WS_STREAM_LOGICAL);
	wait_for_standbys(lab, 10);
	send_standby_slot(lab, "gone", WS_STANDBY_MISSING);
	assert_verdict(lab, SESSION, "failover_slot_wait");
	assert_said_of(lab, SESSION, "confirms it: there is no such slot");
	assert_non_null(strstr(lab_find(lab, SESSION)->finding.advice,
			       "pg_create_physical_replication_slot"));
}

/* Another walsender, which streams from the slot that is waited for. */
static void stream_standby(struct lab *lab, const struct step *step)
{
	struct ws_tape first = lab->tape;

	lab->tape = ws_tape_new(first.sink, 4712, SECOND);
	ws_tape_session(&lab->tape, 0);
	ws_tape_ready(&lab->tape);
	ws_tape_command(&lab->tape, "START_REPLICATION SLOT \"behind\" 0/10000000 TIMELINE 1");
	ws_tape_stream(&lab->tape, 0, lab->sent, "behind");
	lab->tape.mark_ns = lab->tape.now_ns;
	lab_play(lab, step);
	lab->tape = first;
}

static void a_failover_slot_says_what_is_wrong_with_the_standby_that_it_waits_for(void **state)
{
	static const struct ws_rec_socket taken = { .window_bytes = 65536, .mss_bytes = 1448 };
	struct lab *lab = *state;

	lab_stream(lab, WS_STREAM_LOGICAL);
	stream_standby(
		lab, &(struct step){
			     .seconds = 12, .wait = WS_WAIT_WAL, .ping = true, .socket = &taken });
	wait_for_standbys(lab, 10);
	send_standby_slot(lab, "behind", WS_STANDBY_BEHIND);
	assert_verdict(lab, SESSION, "failover_slot_wait");
	assert_said_of(lab, SESSION,
		       "Walsender 4712 (standby1) streams from it, and what is wrong with that is "
		       "receiver_silent.");
}

static void a_failover_slot_says_how_late_the_standby_confirms_that_it_waits_for(void **state)
{
	struct lab *lab = *state;

	lab_stream(lab, WS_STREAM_LOGICAL);
	stream_standby(
		lab,
		&(struct step){ .seconds = 12, .wait = WS_WAIT_WAL, .bytes = 1000, .reply = true });
	wait_for_standbys(lab, 10);
	send_standby_slot(lab, "behind", WS_STANDBY_BEHIND);
	assert_verdict(lab, SESSION, "failover_slot_wait");
	assert_said_of(lab, SESSION,
		       "Walsender 4712 (standby1) streams from it, and confirms WAL 1.0");
}

/* As above, of which each flush takes long. */
static void a_failover_slot_that_a_slow_disk_holds_up_says_where_to_look(void **state)
{
	struct lab *lab = *state;

	a_failover_slot_says_how_late_the_standby_confirms_that_it_waits_for(state);
	assert_non_null(strstr(lab_find(lab, SESSION)->finding.advice, "latency of fsync"));
}

static void what_was_held_back_for_standbys_for_a_while_is_told_of_an_idle_one(void **state)
{
	lab_stream(*state, WS_STREAM_LOGICAL);
	wait_for_standbys(*state, 4);
	lab_waits(*state, WAL, .seconds = 10, .flags = WS_TURN_LOGICAL, .reply = true);
	assert_verdict(*state, SESSION, "healthy_idle");
	assert_said_of(*state, SESSION,
		       "What there is to send takes little of its time. It held its output back "
		       "for synchronized_standby_slots for 29 % of the time.");
}

static void failover_slots_that_wait_for_a_moment_are_healthy(void **state)
{
	lab_stream(*state, WS_STREAM_LOGICAL);
	lab_waits(*state, STANDBY, .seconds = 2, .flags = WS_TURN_LOGICAL);
	lab_waits(*state, WAL, .seconds = 10, .flags = WS_TURN_LOGICAL, .reply = true);
	assert_verdict(*state, SESSION, "healthy_idle");
}

static void a_slot_that_is_made_at_once_is_healthy(void **state)
{
	struct lab *lab = *state;

	ws_tape_session(&lab->tape, WS_SESSION_DATABASE);
	ws_tape_ready(&lab->tape);
	ws_tape_command(&lab->tape, "CREATE_REPLICATION_SLOT \"s\" LOGICAL pgoutput");
	lab->tape.now_ns += SECOND;
	ws_tape_end(&lab->tape, WS_COMMAND_DONE);
	lab->tape.now_ns += 10 * SECOND;
	ws_tape_clock(&lab->tape, 1, 1);
	assert_verdict(lab, SESSION, "healthy_idle");
}

static void a_small_copy_of_a_table_is_healthy(void **state)
{
	struct lab *lab = *state;

	ws_tape_session(&lab->tape, WS_SESSION_DATABASE);
	ws_tape_ready(&lab->tape);
	ws_tape_command(&lab->tape, "COPY t TO STDOUT");
	ws_tape_end(&lab->tape, WS_COMMAND_IS_SQL);
	lab->tape.now_ns += SECOND;
	ws_tape_end(&lab->tape, WS_COMMAND_SQL_DONE);
	lab->tape.now_ns += 20 * SECOND;
	ws_tape_clock(&lab->tape, 1, 1);
	assert_verdict(lab, SESSION, "healthy_idle");
}

static void a_slot_that_waits_names_the_transaction(void **state)
{
	struct lab *lab = *state;
	struct ws_rec_blocked r = { .on = WS_BLOCKED_LOCK, .xid = 742, .holder_pid = 99 };

	ws_tape_session(&lab->tape, WS_SESSION_DATABASE);
	ws_tape_ready(&lab->tape);
	ws_tape_command(&lab->tape, "CREATE_REPLICATION_SLOT \"s\" LOGICAL \"pgoutput\"");
	lab_sampled(lab, &r.h, WS_KIND_BLOCKED, sizeof(r));
	lab->tape.now_ns += 10 * SECOND;
	ws_tape_clock(&lab->tape, 1, 1);
	assert_verdict(lab, SESSION, "slot_waits_for_transaction");
	assert_non_null(strstr(lab_find(lab, SESSION)->finding.text, "742"));
	assert_non_null(strstr(lab_find(lab, SESSION)->finding.text, "99"));
}

static void tell_walreceiver(struct lab *lab, enum ws_walreceiver walreceiver)
{
	struct ws_rec_cluster r = {
		.h = { .pid = POSTMASTER_PID, .time_ns = lab->tape.now_ns, .server = 1 },
		.db_state = WS_DB_IN_ARCHIVE_RECOVERY,
		.valid = WS_CLUSTER_STATE,
		.walreceiver = walreceiver,
	};

	r.h.kind = WS_KIND_CLUSTER;
	r.h.size = sizeof(r);
	lab_feed(lab, &r.h);
}

static void stream_cascaded(struct lab *lab)
{
	ws_tape_session(&lab->tape, 0);
	ws_tape_ready(&lab->tape);
	ws_tape_phase(&lab->tape, WS_PHASE_INITIALIZED, WS_PHASE_CASCADING);
	ws_tape_command(&lab->tape, "START_REPLICATION 0/10000000 TIMELINE 1");
	ws_tape_stream(&lab->tape, 0, lab->sent, NULL);
	lab->tape.mark_ns = lab->tape.now_ns;
	lab_waits(lab, WAL, .seconds = 10, .busy_ms = 100, .bytes = MB);
}

static void a_standby_that_gets_nothing_any_more_says_so(void **state)
{
	struct lab *lab = *state;

	stream_cascaded(lab);
	tell_walreceiver(lab, WS_WALRECEIVER_STOPPED);
	lab_waits(lab, WAL, .seconds = 30);
	assert_verdict(lab, SESSION, "upstream_stalled");
}

static void a_standby_whose_upstream_idles_is_healthy(void **state)
{
	struct lab *lab = *state;

	stream_cascaded(lab);
	tell_walreceiver(lab, WS_WALRECEIVER_RUNS);
	lab_waits(lab, WAL, .seconds = 30);
	assert_verdict(lab, SESSION, "healthy_streaming");
}

static void a_primary_that_gets_nothing_to_send_is_not_stalled(void **state)
{
	lab_stream(*state, 0);
	lab_waits(*state, WAL, .seconds = 10, .busy_ms = 100, .bytes = MB);
	lab_waits(*state, WAL, .seconds = 30);
	assert_verdict(*state, SESSION, "healthy_streaming");
}

static void a_copy_of_a_table_is_told(void **state)
{
	struct lab *lab = *state;

	ws_tape_session(&lab->tape, WS_SESSION_DATABASE);
	ws_tape_ready(&lab->tape);
	ws_tape_command(&lab->tape, "COPY public.t (a, b) TO STDOUT");
	ws_tape_end(&lab->tape, WS_COMMAND_IS_SQL);
	lab->tape.now_ns += 10 * SECOND;
	ws_tape_clock(&lab->tape, 1, 1);
	assert_verdict(lab, SESSION, "table_copy");
}

/* -- backups */

static void play_backup(struct lab *lab, enum ws_backup_phase phase, uint64_t send_ns)
{
	ws_tape_session(&lab->tape, 0);
	ws_tape_ready(&lab->tape);
	ws_tape_command(&lab->tape, "BASE_BACKUP ( LABEL 'x' )");
	ws_tape_backup(&lab->tape, WS_BACKUP_BEGIN, 0, 0);
	ws_tape_backup(&lab->tape, phase, 0, 0);
	for (unsigned int i = 0; i < 10; i++) {
		lab->tape.now_ns += SECOND;
		ws_tape_backup(&lab->tape, phase, phase == WS_BACKUP_STREAM ? MB : 0, send_ns);
	}
}

static void a_backup_that_waits_for_its_checkpoint_says_so(void **state)
{
	play_backup(*state, WS_BACKUP_CHECKPOINT, 0);
	assert_verdict(*state, SESSION, "backup_waits_for_checkpoint");
}

/* The server itself still calls that the checkpoint. */
static void an_incremental_backup_that_waits_for_the_wal_summarizer_says_so(void **state)
{
	struct lab *lab = *state;

	ws_tape_session(&lab->tape, 0);
	ws_tape_ready(&lab->tape);
	ws_tape_command(&lab->tape, "BASE_BACKUP ( INCREMENTAL, LABEL 'x' )");
	ws_tape_backup(&lab->tape, WS_BACKUP_BEGIN, 0, 0);
	ws_tape_backup(&lab->tape, WS_BACKUP_CHECKPOINT, 0, 0);
	lab->tape.now_ns += SECOND;
	ws_tape_blocked(&lab->tape, WS_BLOCKED_SUMMARY, 0);
	lab->tape.now_ns += 9 * SECOND;
	ws_tape_clock(&lab->tape, 1, 1);
	assert_verdict(lab, SESSION, "backup_waits_for_summary");
	assert_int_equal(lab_find(lab, SESSION)->state_ns[WS_STATE_BACKUP_MANIFEST], 9 * SECOND);
	assert_said_of(lab, SESSION,
		       "is incremental and waited for WAL to be summarized for 9.00 s");
}

static void a_backup_that_waits_for_the_archive_says_so(void **state)
{
	play_backup(*state, WS_BACKUP_WAIT_ARCHIVE, 0);
	assert_verdict(*state, SESSION, "backup_waits_for_archive");
}

static void a_backup_whose_client_is_slow_says_so(void **state)
{
	play_backup(*state, WS_BACKUP_STREAM, SECOND * 9 / 10);
	assert_verdict(*state, SESSION, "backup_client_slow");
}

/* Each for a third of its time or less. */
static void a_backup_that_waits_for_a_moment_is_healthy(void **state)
{
	struct lab *lab = *state;

	ws_tape_session(&lab->tape, 0);
	ws_tape_ready(&lab->tape);
	ws_tape_command(&lab->tape, "BASE_BACKUP ( LABEL 'x' )");
	ws_tape_backup(&lab->tape, WS_BACKUP_BEGIN, 0, 0);
	lab->tape.now_ns += 2 * SECOND;
	ws_tape_backup(&lab->tape, WS_BACKUP_STREAM, 0, 0);
	for (unsigned int i = 0; i < 10; i++) {
		lab->tape.now_ns += SECOND;
		ws_tape_backup(&lab->tape, WS_BACKUP_STREAM, MB, SECOND / 10);
	}
	ws_tape_backup(&lab->tape, WS_BACKUP_WAIT_ARCHIVE, 0, 0);
	lab->tape.now_ns += 2 * SECOND;
	ws_tape_backup(&lab->tape, WS_BACKUP_DONE, 0, 0);
	assert_verdict(lab, SESSION, "healthy_streaming");
}

static void a_backup_that_reads_is_healthy(void **state)
{
	play_backup(*state, WS_BACKUP_STREAM, SECOND / 10);
	assert_verdict(*state, SESSION, "healthy_streaming");
}

static void a_backup_that_sleeps_is_throttled(void **state)
{
	struct lab *lab = *state;

	play_backup(lab, WS_BACKUP_STREAM, 0);
	ws_tape_blocked(&lab->tape, WS_BLOCKED_THROTTLE, 0);
	lab->tape.now_ns += 30 * SECOND;
	ws_tape_clock(&lab->tape, 1, 1);
	assert_verdict(lab, SESSION, "backup_throttled");
}

static const struct ws_fact *fact_of(struct lab *lab, const char *name)
{
	const struct ws_explained *row = lab_find(lab, WS_SCOPE_SESSION);

	for (size_t i = 0; row && i < row->finding.fact_count; i++)
		if (!strcmp(row->finding.facts[i].fact, name))
			return &row->finding.facts[i];
	return NULL;
}

static void play_progress(struct lab *lab, uint64_t total, uint32_t done)
{
	struct ws_rec_progress rec = {
		.total_bytes = total,
		.streamed_bytes = 10 * MB,
		.phase = WS_PROGRESS_STREAM,
		.tablespaces = 3,
		.tablespaces_done = done,
		.valid = total ? WS_PROGRESS_TOTAL : 0,
	};

	lab_sampled(lab, &rec.h, WS_KIND_PROGRESS, sizeof(rec));
}

/* 10 MB in 10 s, 20 MB are left: 20 s. */
static void a_backup_says_how_fast_it_is_and_how_long_it_takes(void **state)
{
	struct lab *lab = *state;

	play_backup(lab, WS_BACKUP_STREAM, SECOND * 9 / 10);
	play_progress(lab, 30 * MB, 1);
	assert_verdict(lab, SESSION, "backup_client_slow");
	assert_non_null(fact_of(lab, "rate"));
	assert_int_equal(fact_of(lab, "rate")->value, MB);
	assert_int_equal(fact_of(lab, "backup_total")->value, 30 * MB);
	assert_int_equal(fact_of(lab, "streamed")->value, 10 * MB);
	assert_int_equal(fact_of(lab, "tablespaces")->value, 3);
	assert_int_equal(fact_of(lab, "tablespaces_streamed")->value, 1);
	assert_int_equal(fact_of(lab, "left")->value, 20 * SECOND);
}

/* What is left of it nobody will ever take; and it is worth nothing. */
static void a_backup_that_is_broken_off_says_so_and_claims_no_time(void **state)
{
	struct lab *lab = *state;

	play_backup(lab, WS_BACKUP_STREAM, SECOND * 9 / 10);
	play_progress(lab, 30 * MB, 1);
	ws_tape_error(&lab->tape, WS_ELEVEL_COMMERROR, "08006", "internal_flush",
		      "could not send data to client: Broken pipe");
	ws_tape_exit(&lab->tape, 0, 0);
	assert_verdict(lab, SESSION, "backup_client_slow");
	assert_said_of(lab, SESSION,
		       "Streamed are 10.0 MB of what the server takes for 30.0 MB. Then its "
		       "connection broke off: the client is gone.");
	assert_null(fact_of(lab, "left"));
}

/* Whatever holds it up, as here a debugger. */
static void a_backup_that_is_held_up_says_how_far_it_is(void **state)
{
	struct ws_rec_sample stopped = { .task_state = 'T' };
	struct lab *lab = *state;

	play_backup(lab, WS_BACKUP_STREAM, SECOND * 9 / 10);
	play_progress(lab, 30 * MB, 1);
	lab_sampled(lab, &stopped.h, WS_KIND_SAMPLE, sizeof(stopped));
	assert_verdict(lab, SESSION, "sender_stopped");
	assert_said_of(lab, SESSION, "Streamed are 10.0 MB of what the server takes for 30.0 MB.");
}

static void without_an_estimate_no_time_is_claimed(void **state)
{
	struct lab *lab = *state;

	play_backup(lab, WS_BACKUP_STREAM, SECOND * 9 / 10);
	play_progress(lab, 0, 1);
	assert_verdict(lab, SESSION, "backup_client_slow");
	assert_int_equal(fact_of(lab, "rate")->value, MB);
	assert_null(fact_of(lab, "left"));
	assert_null(fact_of(lab, "backup_total"));
	assert_non_null(
		strstr(lab_find(lab, WS_SCOPE_SESSION)->finding.text, "--no-estimate-size"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB(one_that_comes_nearer_catches_up),
		LAB(one_that_has_caught_up_is_not_behind_any_more),
		LAB(one_that_has_it_all_between_bursts_does_not_fall_behind),
		LAB(one_that_gets_less_near_falls_behind),
		LAB(decoding_that_does_not_keep_up_is_the_bound),
		LAB(an_output_plugin_that_takes_the_time_is_slow),
		LAB(decoding_much_and_keeping_up_is_healthy),
		LAB(changes_gathered_without_output_are_a_large_transaction),
		LAB(changes_written_to_disk_are_spilling),
		LAB(a_buffer_that_is_sent_transaction_by_transaction_is_healthy),
		LAB(reads_that_take_long_come_from_disk),
		LAB(many_quick_reads_are_healthy),
		LAB(decoding_that_waits_for_the_disk_is_told_with_its_share),
		LAB(a_wait_for_failover_slots_is_named),
		LAB(the_slot_that_failover_slots_wait_for_is_named),
		LAB(a_failover_slot_says_what_it_waited_for_then),
		LAB(a_failover_slot_that_waits_for_a_slot_that_is_missing_says_what_to_do),
		LAB(a_failover_slot_says_what_is_wrong_with_the_standby_that_it_waits_for),
		LAB(a_failover_slot_says_how_late_the_standby_confirms_that_it_waits_for),
		LAB(a_failover_slot_that_a_slow_disk_holds_up_says_where_to_look),
		LAB(what_was_held_back_for_standbys_for_a_while_is_told_of_an_idle_one),
		LAB(failover_slots_that_wait_for_a_moment_are_healthy),
		LAB(a_slot_that_is_made_at_once_is_healthy),
		LAB(a_small_copy_of_a_table_is_healthy),
		LAB(a_slot_that_waits_names_the_transaction),
		LAB(a_standby_that_gets_nothing_any_more_says_so),
		LAB(a_standby_whose_upstream_idles_is_healthy),
		LAB(a_primary_that_gets_nothing_to_send_is_not_stalled),
		LAB(a_copy_of_a_table_is_told),
		LAB(a_backup_that_waits_for_its_checkpoint_says_so),
		LAB(an_incremental_backup_that_waits_for_the_wal_summarizer_says_so),
		LAB(a_backup_that_waits_for_the_archive_says_so),
		LAB(a_backup_whose_client_is_slow_says_so),
		LAB(a_backup_that_waits_for_a_moment_is_healthy),
		LAB(a_backup_that_reads_is_healthy),
		LAB(a_backup_that_sleeps_is_throttled),
		LAB(a_backup_says_how_fast_it_is_and_how_long_it_takes),
		LAB(a_backup_that_is_broken_off_says_so_and_claims_no_time),
		LAB(a_backup_that_is_held_up_says_how_far_it_is),
		LAB(without_an_estimate_no_time_is_claimed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
