/* SPDX-License-Identifier: BSD-2-Clause */
/* Whom commits wait for, that ask for synchronous replication. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "../lib/diagnosed.h"
#include "base/util.h"

#define SESSION WS_SCOPE_SESSION
#define CLUSTER WS_SCOPE_CLUSTER

/* Three commits wait for those of `names` that are connected. */
static void send_waiting(struct lab *lab, const char *names, uint32_t walsenders, uint32_t apply)
{
	struct ws_rec_cluster r = { .sync_waiters = 3,
				    .sync_apply = apply,
				    .sync_walsenders = walsenders,
				    .db_state = WS_DB_IN_PRODUCTION,
				    .valid = SYNC_VALID };

	strcpy(r.sync_names, names);
	feed_cluster(lab, &r);
}

static void commits_that_nobody_can_confirm_miss_their_standby(void **state)
{
	struct lab *lab = *state;

	lab_stream(lab, 0);
	send_cluster(lab, 3, 0, WS_DB_IN_PRODUCTION);
	lab_waits(lab, WAL, .seconds = 10);
	assert_verdict(lab, CLUSTER, "sync_standby_missing");
	assert_string_equal(lab_find(lab, CLUSTER)->finding.facts[3].text, "nobody");
}

static void commits_that_wait_for_a_connected_standby_miss_none(void **state)
{
	struct lab *lab = *state;

	lab_stream(lab, 0);
	send_cluster(lab, 3, 1, WS_DB_IN_PRODUCTION);
	lab_waits(lab, WAL, .seconds = 10);
	assert_verdict(lab, CLUSTER, "none");
}

static void fewer_connected_than_a_quorum_needs_is_one_missing(void **state)
{
	struct lab *lab = *state;

	lab_stream(lab, 0);
	send_waiting(lab, "ANY 2 (standby1, standby2)", 1, 0);
	lab_waits(lab, WAL, .seconds = 10, .reply = true);
	assert_verdict(lab, CLUSTER, "sync_standby_missing");
	assert_said_of(lab, CLUSTER, "1 of the 2 that have to confirm");
}

static void one_that_matches_and_never_flushes_is_as_good_as_missing(void **state)
{
	struct lab *lab = *state;

	lab_stream(lab, 0);
	send_waiting(lab, "\"standby1\"", 1, 0);
	lab_waits(lab, WAL, .seconds = 10, .reply = true, .no_flush = true, .no_apply = true);
	assert_verdict(lab, CLUSTER, "sync_standby_missing");
	assert_said_of(lab, CLUSTER, "Walsender 4711 (standby1) matches and confirms no flush");
}

static const struct ws_rec_socket taken = { .window_bytes = 65536, .mss_bytes = 1448 };

static void fall_silent(struct lab *lab)
{
	lab_stream(lab, 0);
	lab_waits(lab, WAL, .seconds = 5, .reply = true, .socket = &taken);
	lab_waits(lab, WAL, .seconds = 8, .ping = true, .socket = &taken);
}

static void commits_that_wait_for_a_silent_standby_say_for_whom_and_why(void **state)
{
	struct lab *lab = *state;

	send_waiting(lab, "FIRST 1 (other, Standby1)", 1, 0);
	fall_silent(lab);
	assert_verdict(lab, CLUSTER, "receiver_silent");
	assert_said_of(lab, CLUSTER,
		       "commits have waited, 3 now, for synchronous standby standby1 "
		       "(walsender 4711). The client has not replied");
}

/* Nobody pings it: for a wal_sender_timeout of an hour that takes half of one. */
static void one_that_was_sent_the_commits_and_does_not_reply_keeps_them_waiting(void **state)
{
	struct lab *lab = *state;

	send_waiting(lab, "standby1", 1, 0);
	lab_stream(lab, 0);
	lab_waits(lab, WAL, .seconds = 5, .reply = true);
	lab_waits(lab, WAL, .seconds = 1, .bytes = 1000);
	lab_waits(lab, WAL, .seconds = 8);
	assert_verdict(lab, SESSION, "healthy_idle");
	assert_said_of(lab, SESSION, "for this one to confirm them");
	assert_verdict(lab, CLUSTER, "receiver_silent");
	assert_said_of(lab, CLUSTER,
		       "It was sent WAL up to 0/100003E8, has flushed it up to 0/10000000, and has "
		       "not replied for");
}

static void one_that_replies_and_does_not_flush_keeps_commits_waiting(void **state)
{
	struct lab *lab = *state;

	send_waiting(lab, "standby1", 1, 0);
	lab_stream(lab, 0);
	lab_waits(lab, WAL, .seconds = 1, .bytes = 1000);
	lab_waits(lab, WAL, .seconds = 9, .reply = true, .flush = LSN);
	assert_verdict(lab, CLUSTER, "consumer_not_confirming");
}

static void play_commits(struct lab *lab, unsigned int count, unsigned int ms,
			 const struct ws_rec_socket *socket)
{
	send_waiting(lab, "standby1", 1, 0);
	lab_stream(lab, 0);
	lab_waits(lab, WAL, .seconds = count, .ms = ms, .busy_ms = 1, .bytes = 1000, .reply = true,
		  .no_apply = true, .socket = socket);
}

/* Under load some commit always waits. */
static void commits_that_are_confirmed_one_after_the_other_are_kept_by_nobody(void **state)
{
	play_commits(*state, 200, 50, NULL);
	assert_verdict(*state, CLUSTER, "none");
}

/* pg_receivewal says that it has written something when that is flushed, too. */
static void commits_that_a_client_confirms_late_wait_for_it(void **state)
{
	struct ws_rec_socket near = taken;

	near.srtt_us = 1000;
	play_commits(*state, 40, 300, &near);
	assert_verdict(*state, SESSION, "healthy_idle");
	assert_verdict(*state, CLUSTER, "standby_flush_slow");
	assert_said_of(*state, CLUSTER,
		       "(walsender 4711), which confirms one after the other. It "
		       "confirms WAL 30");
}

static void commits_that_wait_for_a_short_delay_of_replay_are_told(void **state)
{
	struct lab *lab = *state;

	send_waiting(lab, "standby1", 1, 3);
	lab_stream(lab, 0);
	for (uint64_t i = 0; i < 200; i++)
		lab_waits(lab, WAL, .seconds = 1, .ms = 50, .bytes = 1000, .reply = true,
			  .apply = lab->sent - (i < 10 ? i : 10) * 1000);
	assert_verdict(lab, SESSION, "healthy_idle");
	assert_verdict(lab, CLUSTER, "standby_apply_slow");
	assert_said_of(lab, CLUSTER, "its replay is slow, or delayed on purpose");
}

static void commits_on_a_long_way_are_not_confirmed_late(void **state)
{
	struct ws_rec_socket far = taken;

	far.srtt_us = 250000;
	far.min_rtt_us = 240000;
	play_commits(*state, 40, 300, &far);
	assert_verdict(*state, CLUSTER, "none");
}

/* The same way, which takes a part of that when nothing queues on it. */
static void commits_on_a_way_that_is_full_wait_for_it(void **state)
{
	struct ws_rec_socket full = taken;

	full.srtt_us = 250000;
	full.min_rtt_us = 300;
	play_commits(*state, 40, 300, &full);
	assert_verdict(*state, CLUSTER, "network_slow");
	assert_said_of(*state, CLUSTER, "it is the way that is slow");
}

/* Some of each 100 kB are lost, and sent again after 200 ms. */
static void play_lossy_commits(struct lab *lab, unsigned int ms, uint32_t lost)
{
	struct ws_rec_socket lossy = taken;

	lossy.acked_bytes = 100000;
	lossy.srtt_us = 300;
	lossy.min_rtt_us = 250;
	lossy.rto_us = 200000;
	send_waiting(lab, "standby1", 1, 0);
	lab_stream(lab, 0);
	for (unsigned int i = 0; i < 40; i++) {
		lossy.retrans_bytes += lost;
		lab_waits(lab, WAL, .seconds = 1, .ms = ms, .busy_ms = 1, .bytes = 1000,
			  .reply = true, .no_apply = true, .socket = &lossy);
	}
}

static void
commits_on_a_way_that_loses_wait_for_it_where_it_takes_so_long_to_send_again(void **state)
{
	play_lossy_commits(*state, 300, 30000);
	assert_verdict(*state, CLUSTER, "network_slow");
	assert_said_of(*state, CLUSTER, "30.0 % of what was sent was repeated");
}

static void commits_that_take_longer_than_a_lossy_way_do_wait_for_the_disk(void **state)
{
	play_lossy_commits(*state, 500, 1200);
	assert_verdict(*state, CLUSTER, "standby_flush_slow");
}

static void a_loss_now_and_then_does_not_hold_up_every_commit(void **state)
{
	play_lossy_commits(*state, 300, 1200);
	assert_verdict(*state, CLUSTER, "standby_flush_slow");
}

static void commits_that_a_slow_disk_confirms_one_after_the_other_are_no_single_one(void **state)
{
	struct lab *lab = *state;

	send_waiting(lab, "standby1", 1, 0);
	lab_stream(lab, 0);
	for (unsigned int i = 0; i < 20; i++)
		lab_waits(lab, WAL, .seconds = 1, .busy_ms = 10, .bytes = 1000000, .reply = true,
			  .flush = lab->sent - (i ? 1000000 : 0), .no_apply = true);
	assert_verdict(lab, CLUSTER, "standby_flush_slow");
	assert_said_of(lab, CLUSTER,
		       "some commit has always waited, 3 now, for synchronous standby standby1 "
		       "(walsender 4711), which confirms one after the other. The client");
}

static void commits_do_not_wait_for_a_silent_one_that_is_not_synchronous(void **state)
{
	struct lab *lab = *state;

	send_waiting(lab, "other", 1, 0);
	fall_silent(lab);
	assert_verdict(lab, CLUSTER, "none");
}

/* Two of one name: any one of them is enough. */
static void a_quorum_that_others_make_does_not_wait_for_a_silent_one(void **state)
{
	struct lab *lab = *state;

	send_waiting(lab, "ANY 1 (standby1)", 2, 0);
	fall_silent(lab);
	lab->tape = ws_tape_new(lab->tape.sink, 4712, 8 * SECOND);
	lab_stream(lab, 0);
	lab_waits(lab, WAL, .seconds = 5, .reply = true);
	assert_verdict(lab, CLUSTER, "none");
}

static void pause_replay(struct lab *lab)
{
	lab_stream(lab, 0);
	lab_waits(lab, WAL, .seconds = 300, .ms = 50, .busy_ms = 5, .bytes = MB / 10, .reply = true,
		  .apply = LSN);
}

static void commits_that_wait_for_replay_wait_for_paused_replay(void **state)
{
	struct lab *lab = *state;

	send_waiting(lab, "*", 1, 3);
	pause_replay(lab);
	assert_verdict(lab, CLUSTER, "standby_apply_paused");
}

/* A second one of the same name, which flushes each of its pieces a second late. */
static void flush_late(struct lab *lab)
{
	uint64_t sent;

	lab->tape = ws_tape_new(lab->tape.sink, 4712, 2 * SECOND);
	lab->sent = LSN;
	lab_stream(lab, 0);
	for (unsigned int i = 0; i < 10; i++) {
		sent = lab->sent;
		lab_waits(lab, WAL, .seconds = 1, .busy_ms = 10, .bytes = i < 9 ? MB : 0,
			  .reply = true, .flush = sent - (i && i < 9 ? MB : 0),
			  .apply = sent - (i && i < 9 ? MB : 0));
	}
}

/* The one that flushes late has all by now. */
static void commits_wait_for_one_that_stands_still_and_not_for_one_that_is_slow(void **state)
{
	struct lab *lab = *state;

	send_waiting(lab, "FIRST 2 (standby1)", 2, 3);
	pause_replay(lab);
	flush_late(lab);
	assert_verdict(lab, CLUSTER, "standby_apply_paused");
	assert_said_of(lab, CLUSTER, "(walsender 4711). The standby");
	assert_said_of(lab, CLUSTER,
		       "Synchronous standby standby1 (walsender 4712) is not well either: "
		       "standby_flush_slow.");
}

/* Of a quorum one is enough, and that one is slow. */
static void commits_of_a_quorum_wait_for_the_slow_one_where_another_stands_still(void **state)
{
	struct lab *lab = *state;

	send_waiting(lab, "ANY 1 (standby1)", 2, 3);
	pause_replay(lab);
	flush_late(lab);
	assert_verdict(lab, CLUSTER, "standby_flush_slow");
	assert_said_of(lab, CLUSTER, "(walsender 4712)");
}

static void commits_that_wait_for_flush_do_not_wait_for_paused_replay(void **state)
{
	struct lab *lab = *state;

	send_waiting(lab, "*", 1, 0);
	pause_replay(lab);
	assert_verdict(lab, CLUSTER, "none");
}

/* It writes, and flushes nothing. */
static void write_only(struct lab *lab, uint32_t for_write)
{
	struct ws_rec_cluster r = { .sync_waiters = 3,
				    .sync_write = for_write,
				    .sync_walsenders = 1,
				    .db_state = WS_DB_IN_PRODUCTION,
				    .valid = SYNC_VALID | WS_CLUSTER_SYNC_WRITE,
				    .sync_names = "*" };

	feed_cluster(lab, &r);
	lab_stream(lab, 0);
	lab_waits(lab, WAL, .seconds = 15, .busy_ms = 100, .bytes = MB, .reply = true,
		  .write = LSN + 100 * MB, .flush = LSN, .apply = LSN);
}

static void commits_that_wait_for_a_write_do_not_wait_for_a_flush(void **state)
{
	write_only(*state, 3);
	assert_verdict(*state, CLUSTER, "none");
}

static void commits_of_which_one_waits_for_a_flush_wait_for_it(void **state)
{
	write_only(*state, 2);
	assert_verdict(*state, CLUSTER, "consumer_not_confirming");
}

/* What is written late, by a client whose flush stands still, is no slow replay. */
static void commits_that_wait_for_a_late_write_do_not_wait_for_replay(void **state)
{
	struct ws_rec_cluster r = { .sync_waiters = 3,
				    .sync_write = 3,
				    .sync_walsenders = 1,
				    .db_state = WS_DB_IN_PRODUCTION,
				    .valid = SYNC_VALID | WS_CLUSTER_SYNC_WRITE,
				    .sync_names = "*" };
	struct lab *lab = *state;

	feed_cluster(lab, &r);
	lab_stream(lab, 0);
	lab_waits(lab, WAL, .seconds = 40, .ms = 300, .busy_ms = 1, .bytes = 1000, .reply = true,
		  .flush = LSN, .no_apply = true);
	assert_verdict(lab, CLUSTER, "standby_flush_slow");
	assert_said_of(lab, CLUSTER, "it is slow to write, or to reply");
}

static void when_the_server_is_gone_nobody_waits(void **state)
{
	struct lab *lab = *state;

	lab_stream(lab, 0);
	send_cluster(lab, 3, 0, WS_DB_IN_PRODUCTION);
	lab_waits(lab, WAL, .seconds = 10, .reply = true);
	ws_tape_exit(&lab->tape, 2, 0);
	feed_cluster(lab, &(struct ws_rec_cluster){ 0 });
	lab->tape.now_ns += 10 * SECOND;
	ws_tape_clock(&lab->tape, 1, 1);
	assert_verdict(lab, CLUSTER, "none");
}

/* It is as silent, and none of the synchronous ones. */
static void commits_are_not_said_to_wait_for_one_that_need_not_confirm(void **state)
{
	struct lab *lab = *state;

	send_waiting(lab, "other", 1, 0);
	lab_stream(lab, 0);
	lab_play(lab, &(struct step){ .seconds = 5, .wait = WS_WAIT_WAL, .reply = true });
	lab_play(lab, &(struct step){ .seconds = 1, .wait = WS_WAIT_WAL, .bytes = 1000 });
	lab_play(lab, &(struct step){ .seconds = 8, .wait = WS_WAIT_WAL });
	assert_verdict(lab, SESSION, "healthy_idle");
	assert_null(strstr(lab_find(lab, SESSION)->finding.text, "to confirm them"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB(commits_that_nobody_can_confirm_miss_their_standby),
		LAB(commits_are_not_said_to_wait_for_one_that_need_not_confirm),
		LAB(commits_that_wait_for_a_connected_standby_miss_none),
		LAB(fewer_connected_than_a_quorum_needs_is_one_missing),
		LAB(one_that_matches_and_never_flushes_is_as_good_as_missing),
		LAB(commits_that_wait_for_a_silent_standby_say_for_whom_and_why),
		LAB(one_that_was_sent_the_commits_and_does_not_reply_keeps_them_waiting),
		LAB(one_that_replies_and_does_not_flush_keeps_commits_waiting),
		LAB(commits_that_are_confirmed_one_after_the_other_are_kept_by_nobody),
		LAB(commits_that_a_client_confirms_late_wait_for_it),
		LAB(commits_that_wait_for_a_short_delay_of_replay_are_told),
		LAB(commits_on_a_long_way_are_not_confirmed_late),
		LAB(commits_on_a_way_that_is_full_wait_for_it),
		LAB(commits_on_a_way_that_loses_wait_for_it_where_it_takes_so_long_to_send_again),
		LAB(commits_that_take_longer_than_a_lossy_way_do_wait_for_the_disk),
		LAB(a_loss_now_and_then_does_not_hold_up_every_commit),
		LAB(commits_that_a_slow_disk_confirms_one_after_the_other_are_no_single_one),
		LAB(commits_do_not_wait_for_a_silent_one_that_is_not_synchronous),
		LAB(a_quorum_that_others_make_does_not_wait_for_a_silent_one),
		LAB(commits_that_wait_for_replay_wait_for_paused_replay),
		LAB(commits_wait_for_one_that_stands_still_and_not_for_one_that_is_slow),
		LAB(commits_of_a_quorum_wait_for_the_slow_one_where_another_stands_still),
		LAB(commits_that_wait_for_flush_do_not_wait_for_paused_replay),
		LAB(commits_that_wait_for_a_write_do_not_wait_for_a_flush),
		LAB(commits_of_which_one_waits_for_a_flush_wait_for_it),
		LAB(commits_that_wait_for_a_late_write_do_not_wait_for_replay),
		LAB(when_the_server_is_gone_nobody_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
