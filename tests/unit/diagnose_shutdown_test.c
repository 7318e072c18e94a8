/* SPDX-License-Identifier: BSD-2-Clause */
/* Whom a shutdown of the server waits for. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include "../lib/diagnosed.h"

#define SESSION WS_SCOPE_SESSION
#define CLUSTER WS_SCOPE_CLUSTER

static void begin_shutdown(struct lab *lab, uint32_t db_state)
{
	shut_down_streaming(lab, db_state);
	ws_tape_state(&lab->tape, WS_WALSND_STREAMING, WS_WALSND_STOPPING);
}

static void a_shutdown_waits_behind_its_checkpoint(void **state)
{
	struct lab *lab = *state;

	begin_shutdown(lab, WS_DB_SHUTDOWNED);
	lab_waits(lab, WAL, .seconds = 10);
	assert_verdict(lab, CLUSTER, "shutdown_waits_for_standby");
	assert_said_of(lab, CLUSTER,
		       "after the shutdown checkpoint, for walsender 4711 (standby1)");
}

/* Another walsender holds the shutdown up in front of its checkpoint. */
static void one_that_has_stopped_waits_for_the_shutdown_to_go_on(void **state)
{
	struct lab *lab = *state;

	begin_shutdown(lab, WS_DB_IN_PRODUCTION);
	lab_waits(lab, WAL, .seconds = 30);
	assert_verdict(lab, SESSION, "healthy_idle");
	assert_said_of(lab, SESSION, "It was told to stop, and has: it waits for the server's");
}

static void one_that_is_stopping_waits_for_its_client_to_confirm(void **state)
{
	struct lab *lab = *state;

	begin_shutdown(lab, WS_DB_SHUTDOWNED);
	lab_waits(lab, WAL, .seconds = 30);
	assert_verdict(lab, SESSION, "insufficient_data");
	assert_said_of(lab, SESSION, "waits for its client to confirm all that it was sent");
}

static void a_shutdown_waits_for_all_there_is_not_only_for_what_is_sent(void **state)
{
	static const struct ws_rec_sample ahead = { .valid = WS_SAMPLE_TARGET,
						    .target_lsn = 16 * MB };
	struct lab *lab = *state;

	begin_shutdown(lab, WS_DB_SHUTDOWNED);
	lab_waits(lab, SOCKET, .seconds = 10, .sample = &ahead);
	assert_verdict(lab, CLUSTER, "shutdown_waits_for_standby");
	assert_said_of(lab, CLUSTER,
		       "it has sent up to 0/10500000, 16.0 MB short of the end at 0/11500000, and "
		       "the client has confirmed 0/10400000.");
}

static void ask_to_shut_down(struct lab *lab, int signal)
{
	ws_tape_server(&lab->tape, POSTMASTER_PID, "15.18");
	lab_stream(lab, 0);
	lab_waits(lab, WAL, .seconds = 5, .bytes = MB, .reply = true);
	send_cluster(lab, 0, 0, WS_DB_IN_PRODUCTION);
	ws_tape_signal(&lab->tape, POSTMASTER_PID, (uint32_t)signal, WS_ROLE_OTHER, 5);
}

/* With its socket full it does not hear that it is to stop. */
static void a_shutdown_waits_in_front_of_its_checkpoint(void **state)
{
	struct lab *lab = *state;

	ask_to_shut_down(lab, SIGINT);
	lab_waits(lab, SOCKET, .seconds = 10);
	assert_verdict(lab, CLUSTER, "shutdown_waits_for_standby");
	assert_said_of(lab, CLUSTER, "before the shutdown checkpoint, for walsender 4711");
}

/* Its client is not to blame. */
static void a_shutdown_that_waits_for_a_failover_slot_waits_for_a_standby_of_that(void **state)
{
	struct ws_rec_cluster r = { .valid = WS_CLUSTER_STATE | WS_CLUSTER_STANDBY_SLOT,
				    .db_state = WS_DB_IN_PRODUCTION,
				    .standby_lsn = LSN,
				    .standby_slot = "held" };
	struct lab *lab = *state;

	ws_tape_server(&lab->tape, POSTMASTER_PID, "17.2");
	lab_stream(lab, WS_STREAM_LOGICAL);
	lab_waits(lab, STANDBY, .seconds = 5, .flags = WS_TURN_LOGICAL, .reply = true);
	feed_cluster(lab, &r);
	ws_tape_signal(&lab->tape, POSTMASTER_PID, SIGINT, WS_ROLE_OTHER, 5);
	lab_waits(lab, STANDBY, .seconds = 10, .flags = WS_TURN_LOGICAL);
	assert_verdict(lab, CLUSTER, "shutdown_waits_for_standby");
	assert_said_of(lab, CLUSTER,
		       "It waits itself until slot held, which is in synchronized_standby_slots, "
		       "confirms.");
	assert_non_null(strstr(lab_find(lab, CLUSTER)->finding.advice, "Let that standby confirm"));
}

static void a_shutdown_whose_checkpoint_takes_long_waits_for_no_walsender(void **state)
{
	struct lab *lab = *state;

	begin_shutdown(lab, WS_DB_SHUTDOWNING);
	lab_waits(lab, WAL, .seconds = 10, .reply = true);
	assert_verdict(lab, CLUSTER, "none");
}

static void a_smart_shutdown_that_other_clients_hold_up_waits_for_no_walsender(void **state)
{
	struct lab *lab = *state;

	ask_to_shut_down(lab, SIGTERM);
	lab_waits(lab, WAL, .seconds = 10, .reply = true);
	assert_verdict(lab, CLUSTER, "none");
}

static void of_a_smart_shutdown_nobody_knows_whether_a_full_socket_is_all_it_waits_for(void **state)
{
	struct lab *lab = *state;

	ask_to_shut_down(lab, SIGTERM);
	lab_waits(lab, SOCKET, .seconds = 10);
	assert_verdict(lab, CLUSTER, "shutdown_waits_for_standby");
	assert_said_of(lab, CLUSTER, "other clients, if there are any, are waited for first");
	assert_true(lab_find(lab, CLUSTER)->finding.confidence <= 0.5);
}

/* Attached when it was under way: its postmaster.pid says so. */
static void a_shutdown_that_was_asked_for_before_it_is_watched_is_told(void **state)
{
	struct lab *lab = *state;
	struct ws_rec_cluster r = { .h = { .flags = WS_CLUSTER_STOPPING },
				    .db_state = WS_DB_IN_PRODUCTION,
				    .valid = SYNC_VALID };

	ws_tape_server(&lab->tape, POSTMASTER_PID, "15.18");
	lab_stream(lab, 0);
	feed_cluster(lab, &r);
	lab_waits(lab, SOCKET, .seconds = 10);
	assert_verdict(lab, CLUSTER, "shutdown_waits_for_standby");
	assert_said_of(lab, CLUSTER,
		       "It was asked for before it was watched: if it is a smart one");
}

static void of_a_client_that_never_flushes_what_it_wrote_is_what_it_confirmed(void **state)
{
	struct lab *lab = *state;

	ws_tape_server(&lab->tape, POSTMASTER_PID, "15.18");
	lab_stream(lab, 0);
	lab_waits(lab, WAL, .seconds = 5, .reply = true, .no_flush = true, .no_apply = true);
	ws_tape_signal(&lab->tape, POSTMASTER_PID, SIGINT, WS_ROLE_OTHER, 5);
	send_cluster(lab, 0, 0, WS_DB_SHUTDOWNED);
	ws_tape_state(&lab->tape, WS_WALSND_STREAMING, WS_WALSND_STOPPING);
	lab_waits(lab, WAL, .seconds = 10, .bytes = MB);
	assert_verdict(lab, CLUSTER, "shutdown_waits_for_standby");
	assert_said_of(lab, CLUSTER, "the client has confirmed 0/10000000.");
}

static void a_shutdown_that_ends_behind_the_window_waits_in_it(void **state)
{
	struct lab *lab = *state;

	lab_window(lab, 0, 14 * SECOND);
	begin_shutdown(lab, WS_DB_SHUTDOWNED);
	lab_waits(lab, WAL, .seconds = 10);
	lab_waits(lab, WAL, .seconds = 1, .reply = true);
	ws_tape_exit(&lab->tape, 0, 0);
	assert_verdict(lab, CLUSTER, "shutdown_waits_for_standby");
}

static void a_shutdown_behind_the_window_has_not_begun(void **state)
{
	struct lab *lab = *state;

	lab_window(lab, 0, 6 * SECOND);
	begin_shutdown(lab, WS_DB_SHUTDOWNED);
	lab_waits(lab, WAL, .seconds = 10);
	assert_verdict(lab, CLUSTER, "none");
}

/* A logical walsender that turns and does not wait, with so much still to be decoded. */
static void play_turning(struct lab *lab, uint64_t not_sent)
{
	const struct ws_rec_sample seen = { .valid = WS_SAMPLE_TARGET, .target_lsn = not_sent };

	ws_tape_server(&lab->tape, POSTMASTER_PID, "15.18");
	lab_stream(lab, WS_STREAM_LOGICAL);
	lab_waits(lab, WAL, .seconds = 5, .flags = WS_TURN_LOGICAL, .bytes = MB, .reply = true,
		  .sample = &seen);
	ws_tape_signal(&lab->tape, POSTMASTER_PID, SIGTERM, WS_ROLE_OTHER, 5);
	lab_play(lab, &(struct step){ .seconds = 1, .flags = WS_TURN_LOGICAL, .sample = &seen });
	lab->tape.now_ns += 4 * SECOND; /* in which no turn ends */
	ws_tape_clock(&lab->tape, 1, 1);
}

static void one_that_turns_without_rest_holds_up_a_shutdown(void **state)
{
	play_turning(*state, 0);
	assert_verdict(*state, CLUSTER, "shutdown_waits_for_standby");
	assert_verdict(*state, WS_SCOPE_SESSION, "healthy_streaming");
	assert_non_null(strstr(lab_find(*state, WS_SCOPE_SESSION)->finding.text,
			       "was told to stop, as at a shutdown"));
}

/* It waits for so long, and turns without rest from then on. */
static void play_spinning(struct lab *lab, uint32_t pid, unsigned int waits)
{
	static const struct ws_rec_sample seen = { .valid = WS_SAMPLE_TARGET };

	lab->tape = ws_tape_new(lab->tape.sink, pid, pid * SECOND);
	lab->sent = LSN;
	lab_stream(lab, WS_STREAM_LOGICAL);
	lab_waits(lab, WAL, .seconds = waits, .flags = WS_TURN_LOGICAL, .bytes = 1000,
		  .reply = true, .sample = &seen);
	lab_play(lab, &(struct step){ .seconds = 1, .flags = WS_TURN_LOGICAL, .sample = &seen });
}

static void a_shutdown_lasts_as_long_as_the_one_that_turns_longest(void **state)
{
	struct lab *lab = *state;
	uint64_t since = 0;

	ws_tape_server(&lab->tape, POSTMASTER_PID, "15.18");
	play_spinning(lab, 1, 10);
	play_spinning(lab, 2, 4);
	lab->tape.now_ns = 20 * SECOND;
	ws_tape_clock(&lab->tape, 1, 1);
	assert_verdict(lab, CLUSTER, "shutdown_waits_for_standby");
	for (size_t i = 0; i < lab_find(lab, CLUSTER)->finding.fact_count; i++)
		if (!strcmp(lab_find(lab, CLUSTER)->finding.facts[i].fact, "since"))
			since = lab_find(lab, CLUSTER)->finding.facts[i].value;
	assert_in_range(since, 13 * SECOND, 15 * SECOND);
}

static void one_that_has_much_to_decode_is_not_blamed_for_a_shutdown(void **state)
{
	play_turning(*state, 8 * MB);
	assert_verdict(*state, CLUSTER, "none");
}

/* At level 1 no turn is told: whether it waits is not known. */
static void one_of_which_no_turn_is_told_was_not_told_to_stop(void **state)
{
	struct ws_rec_sample seen = { .valid = WS_SAMPLE_TARGET, .target_lsn = LSN };
	struct lab *lab = *state;

	ws_tape_server(&lab->tape, POSTMASTER_PID, "15.18");
	lab_stream(lab, WS_STREAM_LOGICAL);
	lab_sampled(lab, &seen.h, WS_KIND_SAMPLE, sizeof(seen));
	lab->tape.now_ns += 10 * SECOND;
	ws_tape_clock(&lab->tape, 1, 1);
	assert_verdict(lab, CLUSTER, "none");
}

/* Something stops it, and nobody the server. */
static void one_that_is_stopped_was_not_told_to_stop(void **state)
{
	const struct ws_rec_sample seen = { .valid = WS_SAMPLE_TARGET };
	struct lab *lab = *state;

	ws_tape_server(&lab->tape, POSTMASTER_PID, "15.18");
	lab_stream(lab, WS_STREAM_LOGICAL);
	lab_waits(lab, WAL, .seconds = 5, .flags = WS_TURN_LOGICAL, .bytes = MB, .reply = true,
		  .sample = &seen);
	ws_tape_signal(&lab->tape, 0, SIGSTOP, WS_ROLE_OTHER, 5);
	lab->tape.now_ns += 5 * SECOND;
	ws_tape_clock(&lab->tape, 1, 1);
	assert_verdict(lab, WS_SCOPE_SESSION, "sender_stopped");
	assert_verdict(lab, CLUSTER, "none");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB(a_shutdown_waits_behind_its_checkpoint),
		LAB(one_that_has_stopped_waits_for_the_shutdown_to_go_on),
		LAB(one_that_is_stopping_waits_for_its_client_to_confirm),
		LAB(a_shutdown_waits_for_all_there_is_not_only_for_what_is_sent),
		LAB(a_shutdown_waits_in_front_of_its_checkpoint),
		LAB(a_shutdown_that_waits_for_a_failover_slot_waits_for_a_standby_of_that),
		LAB(a_shutdown_whose_checkpoint_takes_long_waits_for_no_walsender),
		LAB(a_smart_shutdown_that_other_clients_hold_up_waits_for_no_walsender),
		LAB(of_a_smart_shutdown_nobody_knows_whether_a_full_socket_is_all_it_waits_for),
		LAB(a_shutdown_that_was_asked_for_before_it_is_watched_is_told),
		LAB(of_a_client_that_never_flushes_what_it_wrote_is_what_it_confirmed),
		LAB(a_shutdown_that_ends_behind_the_window_waits_in_it),
		LAB(a_shutdown_behind_the_window_has_not_begun),
		LAB(one_that_turns_without_rest_holds_up_a_shutdown),
		LAB(a_shutdown_lasts_as_long_as_the_one_that_turns_longest),
		LAB(one_that_has_much_to_decode_is_not_blamed_for_a_shutdown),
		LAB(one_of_which_no_turn_is_told_was_not_told_to_stop),
		LAB(one_that_is_stopped_was_not_told_to_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
