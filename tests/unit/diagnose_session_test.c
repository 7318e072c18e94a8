/* SPDX-License-Identifier: BSD-2-Clause */
/* Each rule about a session: what fits it, and a healthy twin that looks like it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "../lib/diagnosed.h"

#define SESSION WS_SCOPE_SESSION

static const struct ws_rec_sample at_end = { .valid = WS_SAMPLE_TARGET };
static const struct ws_rec_socket calm = { .acked_bytes = 1000,
					   .window_bytes = 65536,
					   .mss_bytes = 1448 };

/* -- how much data there is */

static void two_seconds_are_too_little(void **state)
{
	lab_stream(*state, 0);
	lab_play(*state, &(struct step){ .seconds = 2, .wait = WS_WAIT_WAL });
	assert_verdict(*state, SESSION, "insufficient_data");
}

static void time_mostly_lost_is_too_little(void **state)
{
	struct lab *lab = *state;
	uint64_t from;

	lab_stream(lab, 0);
	lab_play(lab, &(struct step){ .seconds = 2, .wait = WS_WAIT_WAL });
	from = lab->tape.now_ns;
	lab->tape.now_ns += 8 * SECOND;
	ws_tape_gap(&lab->tape, from, lab->tape.now_ns, 100, WS_GAP_RING_FULL);
	lab->tape.mark_ns = lab->tape.now_ns;
	lab_play(lab, &(struct step){ .seconds = 1, .wait = WS_WAIT_WAL });
	assert_verdict(lab, SESSION, "insufficient_data");
}

static void without_anything_to_send_it_is_idle(void **state)
{
	lab_stream(*state, 0);
	lab_play(*state, &(struct step){ .seconds = 10, .wait = WS_WAIT_WAL, .reply = true });
	assert_verdict(*state, SESSION, "healthy_idle");
}

/* It was found waiting, and nothing has come since that would tell of it: at level 1 nothing ever
 * would. */
static void play_silence(struct lab *lab, uint64_t ahead)
{
	static const char command[] = "START_REPLICATION 0/10000000 TIMELINE 1";
	struct ws_rec_sample sample = { .valid = WS_SAMPLE_TARGET, .target_lsn = LSN + ahead };

	ws_tape_found(&lab->tape, WS_FOUND_STREAM_WAL, LSN);
	ws_tape_command_head(&lab->tape, WS_COMMAND_RUNNING);
	ws_tape_text(&lab->tape, WS_TEXT_COMMAND, 0, command, sizeof(command) - 1, WS_TEXT_LAST);
	lab->tape.now_ns += SECOND;
	lab_sampled(lab, &sample.h, WS_KIND_SAMPLE, sizeof(sample));
	lab->tape.now_ns += 8 * SECOND;
	ws_tape_clock(&lab->tape, 1, 1);
}

static void one_found_at_rest_that_has_all_there_is_is_idle(void **state)
{
	play_silence(*state, 0);
	assert_verdict(*state, SESSION, "healthy_idle");
}

static void one_found_at_rest_that_has_not_all_is_not_guessed_at(void **state)
{
	play_silence(*state, MB);
	assert_verdict(*state, SESSION, "insufficient_data");
}

static void one_that_keeps_up_streams(void **state)
{
	lab_stream(*state, 0);
	lab_play(*state, &(struct step){ .seconds = 10,
					 .wait = WS_WAIT_WAL,
					 .busy_ms = 200,
					 .bytes = MB,
					 .reply = true,
					 .socket = &calm,
					 .sample = &at_end });
	assert_verdict(*state, SESSION, "healthy_streaming");
}

static void states_add_up_to_what_is_accounted_for(void **state)
{
	struct lab *lab = *state;
	const struct ws_explained *row;
	uint64_t sum = 0;

	lab_stream(lab, 0);
	lab_play(lab,
		 &(struct step){ .seconds = 10, .wait = WS_WAIT_WAL, .busy_ms = 200, .bytes = MB });
	lab_judge(lab);
	row = lab_find(lab, SESSION);
	for (int i = 0; i < WS_STATE_COUNT; i++)
		sum += row->state_ns[i];
	assert_int_equal(sum, row->accounted_ns);
	assert_int_equal(row->wall_ns, row->accounted_ns);
}

/* The end of a time line: the client asks for the next one. */
static void a_change_of_the_time_line_in_midstream_is_said(void **state)
{
	struct lab *lab = *state;

	lab_stream(lab, 0);
	lab_play(lab, &(struct step){ .seconds = 5, .wait = WS_WAIT_WAL, .reply = true });
	ws_tape_end(&lab->tape, WS_COMMAND_DONE);
	ws_tape_command(&lab->tape, "START_REPLICATION 0/10A00000 TIMELINE 3");
	ws_tape_stream(&lab->tape, 0, lab->sent, NULL);
	lab->tape.mark_ns = lab->tape.now_ns;
	lab_play(lab, &(struct step){ .seconds = 5, .wait = WS_WAIT_WAL, .reply = true });
	assert_verdict(lab, SESSION, "healthy_idle");
	assert_non_null(strstr(lab_find(lab, SESSION)->finding.text,
			       " In mid-stream, 5.00 s ago, it went over from time line 1 to time "
			       "line 3 at 0/10A00000."));
}

static void a_client_that_starts_again_on_its_time_line_changes_none(void **state)
{
	struct lab *lab = *state;

	lab_stream(lab, 0);
	lab_play(lab, &(struct step){ .seconds = 5, .wait = WS_WAIT_WAL, .reply = true });
	ws_tape_end(&lab->tape, WS_COMMAND_DONE);
	ws_tape_command(&lab->tape, "START_REPLICATION 0/10A00000 TIMELINE 1");
	ws_tape_stream(&lab->tape, 0, lab->sent, NULL);
	lab->tape.mark_ns = lab->tape.now_ns;
	lab_play(lab, &(struct step){ .seconds = 5, .wait = WS_WAIT_WAL, .reply = true });
	assert_verdict(lab, SESSION, "healthy_idle");
	assert_null(strstr(lab_find(lab, SESSION)->finding.text, "time line"));
}

/* -- the process */

static void a_stopped_process_is_stopped_whatever_its_socket_says(void **state)
{
	static const struct ws_rec_sample stopped = { .task_state = 'T' };

	lab_stream(*state, 0);
	lab_play(*state,
		 &(struct step){ .seconds = 10, .wait = WS_WAIT_SOCKET, .sample = &stopped });
	assert_verdict(*state, SESSION, "sender_stopped");
}

static void one_that_waits_for_cpu_is_starved(void **state)
{
	struct lab *lab = *state;
	struct ws_rec_sample sample = { .valid = WS_SAMPLE_DELAY };

	lab_stream(lab, 0);
	for (unsigned int i = 0; i < 10; i++) {
		sample.run_delay_ns += SECOND * 4 / 10;
		lab_play(lab, &(struct step){ .seconds = 1,
					      .wait = WS_WAIT_WAL,
					      .busy_ms = 500,
					      .bytes = MB,
					      .sample = &sample });
	}
	assert_verdict(lab, SESSION, "cpu_starved");
}

static void the_control_group_that_limits_is_named(void **state)
{
	struct lab *lab = *state;
	struct ws_rec_sample sample = { .valid = WS_SAMPLE_THROTTLED };
	struct ws_rec_cgroup group = { .quota_us = 15000,
				       .period_us = 100000,
				       .path = "/pods/pg\n1" };

	lab_stream(lab, 0);
	lab_sampled(lab, &group.h, WS_KIND_CGROUP, sizeof(group));
	for (unsigned int i = 0; i < 10; i++) {
		sample.throttled_ns += SECOND * 6 / 10;
		lab_play(lab, &(struct step){ .seconds = 1,
					      .wait = WS_WAIT_WAL,
					      .busy_ms = 500,
					      .bytes = MB,
					      .sample = &sample });
	}
	assert_verdict(lab, SESSION, "cpu_starved");
	assert_non_null(strstr(lab_find(lab, SESSION)->finding.text,
			       "control group /pods/pg?1 may use 15 % of one CPU"));
}

static void a_quota_that_is_not_used_up_starves_nobody(void **state)
{
	struct lab *lab = *state;
	struct ws_rec_sample sample = { .valid = WS_SAMPLE_THROTTLED | WS_SAMPLE_DELAY };
	struct ws_rec_cgroup group = { .quota_us = 15000, .period_us = 100000, .path = "/pods" };

	lab_stream(lab, 0);
	lab_sampled(lab, &group.h, WS_KIND_CGROUP, sizeof(group));
	for (unsigned int i = 0; i < 10; i++) {
		sample.throttled_ns += SECOND / 20;
		sample.run_delay_ns += SECOND / 20;
		lab_play(lab, &(struct step){ .seconds = 1,
					      .wait = WS_WAIT_WAL,
					      .busy_ms = 500,
					      .bytes = MB,
					      .sample = &sample });
	}
	assert_verdict(lab, SESSION, "healthy_streaming");
}

/* Others of its group use up what there is; it is woken now and then. */
static void play_crowded(struct lab *lab, uint64_t delay_ns)
{
	struct ws_rec_sample sample = { .valid = WS_SAMPLE_THROTTLED | WS_SAMPLE_DELAY };
	struct ws_rec_cgroup group = { .quota_us = 20000, .period_us = 100000, .path = "/pods" };

	lab_stream(lab, 0);
	lab_sampled(lab, &group.h, WS_KIND_CGROUP, sizeof(group));
	for (unsigned int i = 0; i < 10; i++) {
		sample.throttled_ns += SECOND * 7 / 10;
		sample.run_delay_ns += delay_ns;
		lab_play(lab,
			 &(struct step){ .seconds = 1, .wait = WS_WAIT_WAL, .sample = &sample });
	}
}

static void one_at_rest_is_not_starved_by_its_group(void **state)
{
	play_crowded(*state, 10000);
	assert_verdict(*state, SESSION, "healthy_idle");
}

static void one_with_little_to_do_that_waits_for_its_group_is_starved(void **state)
{
	play_crowded(*state, SECOND / 8);
	assert_verdict(*state, SESSION, "cpu_starved");
}

static void without_counters_of_the_scheduler_nothing_starves(void **state)
{
	struct lab *lab = *state;
	struct ws_rec_sample sample = { 0 };

	lab_stream(lab, 0);
	for (unsigned int i = 0; i < 10; i++) {
		sample.run_delay_ns += SECOND * 4 / 10;
		lab_play(lab, &(struct step){ .seconds = 1,
					      .wait = WS_WAIT_WAL,
					      .busy_ms = 500,
					      .bytes = MB,
					      .sample = &sample });
	}
	assert_verdict(lab, SESSION, "healthy_streaming");
}

static const struct ws_fact *memory_of(struct lab *lab)
{
	const struct ws_explained *row = lab_find(lab, SESSION);

	for (size_t i = 0; i < row->finding.fact_count; i++)
		if (!strcmp(row->finding.facts[i].fact, "memory"))
			return &row->finding.facts[i];
	return NULL;
}

static void play_memory(struct lab *lab, uint64_t first, uint64_t last)
{
	struct ws_rec_sample sample = { .valid = WS_SAMPLE_PRIVATE };

	lab_stream(lab, 0);
	for (unsigned int i = 0; i < 10; i++) {
		sample.private_bytes = first + (last - first) * i / 9;
		lab_play(lab,
			 &(struct step){ .seconds = 1, .wait = WS_WAIT_WAL, .sample = &sample });
	}
	assert_verdict(lab, SESSION, "healthy_idle");
}

static void memory_that_grows_is_evidence_whatever_the_verdict(void **state)
{
	play_memory(*state, 10 * MB, 200 * MB);
	assert_non_null(memory_of(*state));
	assert_int_equal(memory_of(*state)->value, 200 * MB);
}

static void memory_that_stays_is_none(void **state)
{
	play_memory(*state, 200 * MB, 210 * MB);
	assert_null(memory_of(*state));
}

/* -- the connection */

static struct ws_rec_socket dead(void)
{
	return (struct ws_rec_socket){ .timer = WS_TCP_TIMER_RETRANSMIT,
				       .backoff = 4,
				       .retransmits = 4,
				       .in_flight_bytes = 5000,
				       .rto_us = 16 * 200000,
				       .ack_age_us = 6000000,
				       .window_bytes = 65536,
				       .mss_bytes = 1448 };
}

static void unanswered_retransmissions_are_a_dead_connection(void **state)
{
	const struct ws_rec_socket socket = dead();

	lab_stream(*state, 0);
	lab_play(*state,
		 &(struct step){ .seconds = 10, .wait = WS_WAIT_SOCKET, .socket = &socket });
	assert_verdict(*state, SESSION, "connection_dead");
}

static void probes_of_a_closed_window_are_no_dead_connection(void **state)
{
	struct ws_rec_socket socket = dead();

	socket.timer = WS_TCP_TIMER_PERSIST;
	socket.window_bytes = 0;
	lab_stream(*state, 0);
	lab_play(*state,
		 &(struct step){ .seconds = 10, .wait = WS_WAIT_SOCKET, .socket = &socket });
	assert_verdict(*state, SESSION, "receiver_not_reading");
}

static void one_that_is_asked_and_does_not_reply_is_silent(void **state)
{
	lab_stream(*state, 0);
	lab_play(*state,
		 &(struct step){
			 .seconds = 5, .wait = WS_WAIT_WAL, .reply = true, .socket = &calm });
	lab_play(
		*state,
		&(struct step){ .seconds = 8, .wait = WS_WAIT_WAL, .ping = true, .socket = &calm });
	assert_verdict(*state, SESSION, "receiver_silent");
}

static void one_that_a_short_timeout_ended_was_silent(void **state)
{
	struct lab *lab = *state;

	lab_stream(lab, 0);
	lab_play(lab, &(struct step){
			      .seconds = 3, .wait = WS_WAIT_WAL, .reply = true, .socket = &calm });
	lab_play(lab, &(struct step){
			      .seconds = 2, .wait = WS_WAIT_WAL, .ping = true, .socket = &calm });
	ws_tape_error(&lab->tape, WS_ELEVEL_COMMERROR, "XX000", "WalSndCheckTimeOut",
		      "terminating walsender process due to replication timeout");
	ws_tape_exit(&lab->tape, 0, 0);
	assert_verdict(lab, SESSION, "receiver_silent");
}

static void one_that_reports_rarely_and_is_not_asked_is_not_silent(void **state)
{
	lab_stream(*state, 0);
	lab_play(*state,
		 &(struct step){
			 .seconds = 2, .wait = WS_WAIT_WAL, .reply = true, .socket = &calm });
	lab_play(*state, &(struct step){ .seconds = 60, .wait = WS_WAIT_WAL, .socket = &calm });
	assert_verdict(*state, SESSION, "healthy_idle");
}

static void without_a_word_of_the_socket_nobody_is_silent(void **state)
{
	lab_stream(*state, 0);
	lab_play(*state, &(struct step){ .seconds = 5, .wait = WS_WAIT_WAL, .reply = true });
	lab_play(*state, &(struct step){ .seconds = 8, .wait = WS_WAIT_WAL, .ping = true });
	assert_verdict(*state, SESSION, "healthy_idle");
}

static void time_out(struct lab *lab)
{
	ws_tape_error(&lab->tape, WS_ELEVEL_COMMERROR, "XX000", "WalSndCheckTimeOut",
		      "terminating walsender process due to replication timeout");
	ws_tape_exit(&lab->tape, 0, 0);
}

static void one_that_was_full_until_the_timeout_was_not_read(void **state)
{
	static const struct ws_rec_socket shut = { .timer = WS_TCP_TIMER_PERSIST,
						   .mss_bytes = 1448,
						   .unsent_bytes = 100000 };
	struct lab *lab = *state;

	lab_stream(lab, 0);
	lab_play(lab, &(struct step){ .seconds = 60,
				      .wait = WS_WAIT_WAL,
				      .busy_ms = 100,
				      .bytes = MB,
				      .reply = true,
				      .socket = &calm });
	lab_play(lab, &(struct step){ .seconds = 6, .wait = WS_WAIT_SOCKET, .socket = &shut });
	time_out(lab);
	assert_verdict(lab, SESSION, "receiver_not_reading");
	assert_non_null(strstr(lab_find(lab, SESSION)->finding.text, "has ended the session"));
}

static void one_that_was_full_and_read_on_before_the_timeout_is_not_blamed(void **state)
{
	static const struct ws_rec_socket shut = { .timer = WS_TCP_TIMER_PERSIST,
						   .mss_bytes = 1448,
						   .unsent_bytes = 100000 };
	struct lab *lab = *state;

	lab_stream(lab, 0);
	lab_play(lab, &(struct step){ .seconds = 6, .wait = WS_WAIT_SOCKET, .socket = &shut });
	lab_play(lab, &(struct step){ .seconds = 60,
				      .wait = WS_WAIT_WAL,
				      .busy_ms = 100,
				      .bytes = MB,
				      .reply = true,
				      .socket = &calm });
	time_out(lab);
	assert_verdict(lab, SESSION, "healthy_streaming");
}

static void a_dead_connection_stays_one_when_the_timeout_has_ended_it(void **state)
{
	const struct ws_rec_socket socket = dead();

	lab_stream(*state, 0);
	lab_play(*state,
		 &(struct step){ .seconds = 10, .wait = WS_WAIT_SOCKET, .socket = &socket });
	time_out(*state);
	assert_verdict(*state, SESSION, "connection_dead");
}

static void one_that_was_stopped_for_a_moment_is_healthy(void **state)
{
	static const struct ws_rec_sample running = { .task_state = 'S' };
	struct lab *lab = *state;

	lab_stream(lab, 0);
	lab_play(lab, &(struct step){ .seconds = 5, .wait = WS_WAIT_WAL, .sample = &running });
	ws_tape_blocked(&lab->tape, WS_BLOCKED_STOPPED, 0);
	lab->tape.now_ns += SECOND / 2;
	lab->tape.mark_ns = lab->tape.now_ns;
	ws_tape_blocked(&lab->tape, WS_BLOCKED_NOTHING, 0);
	lab_play(lab, &(struct step){ .seconds = 5, .wait = WS_WAIT_WAL, .sample = &running });
	assert_verdict(lab, SESSION, "healthy_idle");
}

/* -- the client */

static void a_message_that_comes_whole_in_time_is_no_stall(void **state)
{
	struct lab *lab = *state;

	lab_stream(lab, 0);
	lab_play(lab, &(struct step){ .seconds = 5, .wait = WS_WAIT_WAL });
	ws_tape_blocked(&lab->tape, WS_BLOCKED_CLIENT_READ, 0);
	lab_play(lab, &(struct step){ .seconds = 10, .wait = WS_WAIT_WAL, .reply = true });
	assert_verdict(lab, SESSION, "healthy_idle");
}

static void a_moment_of_spinning_is_no_wait_for_copydone(void **state)
{
	struct lab *lab = *state;

	lab_stream(lab, 0);
	for (unsigned int i = 0; i < 10; i++)
		ws_tape_turn(&lab->tape,
			     &(struct ws_tape_turn){ .stage_ns = { [WS_STAGE_SEND] = SECOND / 50 },
						     .turns = 1000,
						     .sends = 1000,
						     .lsn_from = LSN,
						     .lsn_to = LSN,
						     .wait = WS_WAIT_NONE });
	lab_play(lab, &(struct step){ .seconds = 60, .wait = WS_WAIT_WAL, .reply = true });
	assert_verdict(lab, SESSION, "healthy_idle");
}

static void a_unix_socket_that_is_read_is_healthy(void **state)
{
	static const struct ws_rec_sample some = { .valid = WS_SAMPLE_UNIX,
						   .unix_queued_bytes = 20000,
						   .unix_sndbuf_bytes = 212992 };

	lab_stream(*state, 0);
	lab_play(*state, &(struct step){ .seconds = 10,
					 .wait = WS_WAIT_WAL,
					 .busy_ms = 300,
					 .bytes = MB,
					 .reply = true,
					 .sample = &some });
	assert_verdict(*state, SESSION, "healthy_streaming");
}

static void half_a_message_is_a_stall(void **state)
{
	struct lab *lab = *state;

	lab_stream(lab, 0);
	lab_play(lab, &(struct step){ .seconds = 2, .wait = WS_WAIT_WAL });
	ws_tape_blocked(&lab->tape, WS_BLOCKED_CLIENT_READ, 0);
	lab->tape.now_ns += 10 * SECOND;
	ws_tape_clock(&lab->tape, 1, 1);
	assert_verdict(lab, SESSION, "client_protocol_stall");
}

static void one_that_spins_waits_for_copydone(void **state)
{
	struct lab *lab = *state;

	lab_stream(lab, 0);
	for (unsigned int i = 0; i < 500; i++)
		ws_tape_turn(&lab->tape,
			     &(struct ws_tape_turn){ .stage_ns = { [WS_STAGE_SEND] = SECOND / 50 },
						     .turns = 1000,
						     .sends = 1000,
						     .lsn_from = LSN,
						     .lsn_to = LSN,
						     .wait = WS_WAIT_NONE });
	assert_verdict(lab, SESSION, "waits_for_copydone");
}

static void a_unix_socket_that_stays_full_is_not_read(void **state)
{
	static const struct ws_rec_sample full = { .valid = WS_SAMPLE_UNIX,
						   .unix_queued_bytes = 200000,
						   .unix_sndbuf_bytes = 212992 };
	struct lab *lab = *state;

	lab_stream(lab, 0);
	lab_play(lab, &(struct step){ .seconds = 1, .wait = WS_WAIT_SOCKET, .sample = &full });
	lab->tape.now_ns += 10 * SECOND;
	lab_outside(lab, &(struct step){ .sample = &full });
	assert_verdict(lab, SESSION, "receiver_not_reading");
}

/* WAL goes on being written, and wakes it ten times a second: it finds no room each time. */
static void a_unix_socket_that_stays_full_while_wal_comes_is_not_read(void **state)
{
	static const struct ws_rec_sample full = { .valid = WS_SAMPLE_UNIX,
						   .unix_queued_bytes = 239000,
						   .unix_sndbuf_bytes = 212992 };
	struct lab *lab = *state;

	lab_stream(lab, 0);
	lab_play(lab,
		 &(struct step){ .seconds = 20, .wait = WS_WAIT_WAL, .bytes = MB, .reply = true });
	for (unsigned int i = 0; i < 70; i++) {
		struct ws_tape_turn woken = {
			.stage_ns = { [WS_STAGE_WAIT] = SECOND / 10 - 20000,
				      [WS_STAGE_SEND] = 20000 },
			.wait = WS_WAIT_SOCKET,
			.flags = WS_TURN_PENDING,
			.lsn_from = lab->sent,
			.lsn_to = lab->sent,
		};

		ws_tape_turn(&lab->tape, &woken);
		if (i == 5)
			lab_outside(lab, &(struct step){ .sample = &full });
	}
	assert_verdict(lab, SESSION, "receiver_not_reading");
}

static void a_window_that_limits_is_a_slow_receiver(void **state)
{
	static const struct ws_rec_socket socket = { .acked_bytes = MB,
						     .rwnd_limited_us = 90,
						     .timer = WS_TCP_TIMER_PERSIST,
						     .mss_bytes = 1448 };

	lab_stream(*state, 0);
	lab_play(*state, &(struct step){ .seconds = 10,
					 .wait = WS_WAIT_SOCKET,
					 .busy_ms = 100,
					 .bytes = MB,
					 .socket = &socket });
	assert_verdict(*state, SESSION, "receiver_slow");
}

static void full_queues_under_way_are_a_slow_network(void **state)
{
	static const struct ws_rec_socket socket = { .acked_bytes = MB,
						     .rwnd_limited_us = 5,
						     .window_bytes = 1000000,
						     .mss_bytes = 1448,
						     .unsent_bytes = 800000,
						     .cwnd = 20,
						     .in_flight_packets = 10,
						     .in_flight_bytes = 14480,
						     .srtt_us = 80000,
						     .min_rtt_us = 1000 };

	lab_stream(*state, 0);
	lab_play(*state, &(struct step){ .seconds = 10,
					 .wait = WS_WAIT_SOCKET,
					 .busy_ms = 100,
					 .bytes = MB,
					 .socket = &socket });
	assert_verdict(*state, SESSION, "network_slow");
}

/* It stopped for some seconds, and the last look at its socket was in these. */
static void one_that_has_just_read_on_is_slow(void **state)
{
	static const struct ws_rec_socket reads = { .acked_bytes = MB,
						    .rwnd_limited_us = 95,
						    .mss_bytes = 1448,
						    .timer = WS_TCP_TIMER_PERSIST };
	static const struct ws_rec_socket shut = { .rwnd_limited_us = 95,
						   .mss_bytes = 1448,
						   .timer = WS_TCP_TIMER_PERSIST,
						   .unsent_bytes = 100000 };
	struct lab *lab = *state;

	lab_stream(lab, 0);
	lab_play(lab,
		 &(struct step){
			 .seconds = 5, .wait = WS_WAIT_SOCKET, .bytes = MB, .socket = &reads });
	lab_play(lab, &(struct step){ .seconds = 5, .wait = WS_WAIT_SOCKET, .socket = &shut });
	lab_play(lab, &(struct step){ .seconds = 1, .wait = WS_WAIT_WAL, .bytes = MB });
	assert_verdict(lab, SESSION, "receiver_slow");
}

static void play_far(struct lab *lab, const struct ws_rec_socket *socket)
{
	lab_stream(lab, 0);
	lab_play(lab, &(struct step){ .seconds = 10,
				      .wait = WS_WAIT_SOCKET,
				      .busy_ms = 100,
				      .bytes = MB,
				      .socket = socket });
}

/* 8 Mbit/s, 20 ms away, with queues too short to be seen in the round trip. */
static void a_link_that_is_full_is_a_slow_network_without_queues(void **state)
{
	static const struct ws_rec_socket socket = { .acked_bytes = MB,
						     .window_bytes = 450000,
						     .mss_bytes = 1448,
						     .unsent_bytes = 600000,
						     .cwnd = 68,
						     .in_flight_packets = 35,
						     .in_flight_bytes = 50680,
						     .srtt_us = 44800,
						     .min_rtt_us = 40200 };

	play_far(*state, &socket);
	assert_verdict(*state, SESSION, "network_slow");
}

/* 20 kB on a way of 100 ms: the congestion control (bbr) has slowed down to it. */
static void a_window_too_small_for_the_way_is_a_slow_receiver(void **state)
{
	static const struct ws_rec_socket socket = { .acked_bytes = 195000,
						     .rwnd_limited_us = 43,
						     .window_bytes = 20480,
						     .mss_bytes = 1448,
						     .unsent_bytes = 540000,
						     .cwnd = 42,
						     .in_flight_packets = 14,
						     .in_flight_bytes = 20272,
						     .srtt_us = 100300,
						     .min_rtt_us = 100100 };

	play_far(*state, &socket);
	assert_verdict(*state, SESSION, "receiver_slow");
	assert_non_null(strstr(lab_find(*state, SESSION)->finding.text,
			       "what its window of 20.0 kB lets pass"));
}

/* Neither window is full: data is still on its way from the send queue. */
static void a_window_with_room_is_no_slow_receiver(void **state)
{
	static const struct ws_rec_socket socket = { .acked_bytes = MB,
						     .rwnd_limited_us = 30,
						     .window_bytes = 900000,
						     .mss_bytes = 1448,
						     .unsent_bytes = 540000,
						     .cwnd = 400,
						     .in_flight_packets = 14,
						     .in_flight_bytes = 20272,
						     .srtt_us = 300,
						     .min_rtt_us = 200 };

	play_far(*state, &socket);
	assert_verdict(*state, SESSION, "insufficient_data");
}

/* 64 kB on a way of 60 ms: 1 MB/s, whatever the client and the network would take. */
static void a_send_buffer_that_limits_is_a_slow_network_and_named(void **state)
{
	static const struct ws_rec_socket socket = { .acked_bytes = MB,
						     .rwnd_limited_us = 2,
						     .sndbuf_limited_us = 90,
						     .window_bytes = 1000000,
						     .mss_bytes = 1448,
						     .cwnd = 400,
						     .in_flight_packets = 40,
						     .in_flight_bytes = 57920,
						     .sndbuf_bytes = 65536,
						     .srtt_us = 60000,
						     .min_rtt_us = 59000 };

	play_far(*state, &socket);
	assert_verdict(*state, SESSION, "network_slow");
	assert_non_null(strstr(lab_find(*state, SESSION)->finding.text, "send buffer"));
}

static void a_full_socket_that_nothing_explains_is_not_guessed_at(void **state)
{
	lab_stream(*state, 0);
	lab_play(*state,
		 &(struct step){
			 .seconds = 10, .wait = WS_WAIT_SOCKET, .busy_ms = 100, .bytes = MB });
	assert_verdict(*state, SESSION, "insufficient_data");
}

/* A backup that hands over what it reads for `send_ms` of each second, and cannot for `blocked_ms`.
 */
static void play_backup(struct lab *lab, uint64_t send_ms, uint64_t blocked_ms)
{
	ws_tape_session(&lab->tape, 0);
	ws_tape_ready(&lab->tape);
	ws_tape_command(&lab->tape, "BASE_BACKUP");
	ws_tape_backup(&lab->tape, WS_BACKUP_BEGIN, 0, 0);
	ws_tape_backup(&lab->tape, WS_BACKUP_STREAM, 0, 0);
	for (unsigned int i = 0; i < 8; i++) {
		if (blocked_ms)
			ws_tape_blocked(&lab->tape, WS_BLOCKED_CLIENT_WRITE, 0);
		lab->tape.now_ns += blocked_ms * 1000000;
		if (blocked_ms)
			ws_tape_blocked(&lab->tape, WS_BLOCKED_NOTHING, 0);
		lab->tape.now_ns += SECOND - blocked_ms * 1000000;
		ws_tape_backup(&lab->tape, WS_BACKUP_STREAM, 400 * MB, send_ms * 1000000);
	}
}

static void a_backup_that_copies_as_fast_as_it_can_has_no_slow_client(void **state)
{
	play_backup(*state, 700, 0);
	assert_verdict(*state, SESSION, "healthy_streaming");
}

static void a_backup_whose_client_takes_nothing_has_a_slow_one(void **state)
{
	play_backup(*state, 100, 800);
	assert_verdict(*state, SESSION, "backup_client_slow");
}

/* Found waiting, `ahead` bytes behind what there is to send, and not heard of any more. */
static void find_waiting(struct lab *lab, uint64_t ahead)
{
	static const char text[] = "START_REPLICATION 0/10000000 TIMELINE 1";
	struct ws_rec_sample sample = at_end;

	sample.target_lsn = ahead;
	ws_tape_found(&lab->tape, WS_FOUND_STREAM_WAL, lab->sent);
	ws_tape_command_head(&lab->tape, WS_COMMAND_RUNNING);
	ws_tape_text(&lab->tape, WS_TEXT_COMMAND, 0, text, sizeof(text) - 1, WS_TEXT_LAST);
	for (unsigned int i = 0; i < 10; i++) {
		lab->tape.now_ns += SECOND;
		lab_outside(lab, &(struct step){ .sample = &sample });
	}
}

static void one_that_was_found_waiting_and_has_nothing_to_send_idles(void **state)
{
	find_waiting(*state, 0);
	assert_verdict(*state, SESSION, "healthy_idle");
}

static void one_that_has_sent_all_that_the_server_has_flushed_idles(void **state)
{
	struct ws_rec_cluster cluster = { .flush_lsn = LSN,
					  .db_state = WS_DB_IN_PRODUCTION,
					  .valid = WS_CLUSTER_FLUSH | WS_CLUSTER_STATE };
	struct lab *lab = *state;

	ws_tape_server(&lab->tape, POSTMASTER_PID, "15.18");
	ws_tape_found(&lab->tape, WS_FOUND_STREAM_WAL, LSN);
	ws_tape_command_head(&lab->tape, WS_COMMAND_RUNNING);
	ws_tape_text(&lab->tape, WS_TEXT_COMMAND, 0, "START_REPLICATION 0/1", 21, WS_TEXT_LAST);
	cluster.h = (struct ws_rec){ .size = sizeof(cluster),
				     .kind = WS_KIND_CLUSTER,
				     .pid = POSTMASTER_PID,
				     .time_ns = lab->tape.now_ns,
				     .server = 1 };
	lab_feed(lab, &cluster.h);
	lab->tape.now_ns += 10 * SECOND;
	ws_tape_clock(&lab->tape, 1, 1);
	assert_verdict(lab, SESSION, "healthy_idle");
}

/* Of level 1: what it sends is not told. */
static void one_that_was_found_waiting_and_has_something_to_send_is_not_guessed_at(void **state)
{
	find_waiting(*state, MB);
	assert_verdict(*state, SESSION, "insufficient_data");
}

/* -- the standby */

static void slow_flushes_are_told_from_slow_writes(void **state)
{
	struct lab *lab = *state;

	lab_stream(lab, 0);
	for (unsigned int i = 0; i < 20; i++)
		lab_play(lab, &(struct step){ .seconds = 1,
					      .wait = WS_WAIT_WAL,
					      .busy_ms = 10,
					      .bytes = MB,
					      .reply = true,
					      .flush = lab->sent - (i ? MB : 0),
					      .no_apply = true });
	assert_verdict(lab, SESSION, "standby_flush_slow");
}

/* Ten changes a second, each flushed so many tenths of a second after it was sent. */
static void play_changes(struct lab *lab, uint16_t stream, uint16_t turn, uint64_t lag)
{
	const uint64_t each = 1000;

	lab_stream(lab, stream);
	for (uint64_t i = 0; i < 100; i++) {
		struct ws_tape_turn t = {
			.stage_ns = { [WS_STAGE_WAIT] = SECOND / 10 },
			.wait = WS_WAIT_WAL,
			.flags = turn | WS_TURN_REPLY,
			.lsn_from = lab->sent,
			.lsn_to = lab->sent + each,
			.write_lsn = lab->sent,
			.flush_lsn = lab->sent - (i < lag ? i : lag - 1) * each,
			.write_lag_us = -1,
			.flush_lag_us = -1,
			.apply_lag_us = -1,
		};

		lab->sent += each;
		ws_tape_turn(&lab->tape, &t);
	}
}

static void a_standby_that_flushes_after_300_ms_is_slow(void **state)
{
	play_changes(*state, 0, 0, 3);
	assert_verdict(*state, SESSION, "standby_flush_slow");
}

/* Its commits are asynchronous: the WAL writer flushes them. */
static void an_apply_worker_that_flushes_after_300_ms_is_healthy(void **state)
{
	play_changes(*state, WS_STREAM_LOGICAL, WS_TURN_LOGICAL, 3);
	assert_verdict(*state, SESSION, "healthy_idle");
}

static void an_apply_worker_that_flushes_after_a_second_is_slow(void **state)
{
	play_changes(*state, WS_STREAM_LOGICAL, WS_TURN_LOGICAL, 10);
	assert_verdict(*state, SESSION, "standby_flush_slow");
}

static void a_client_that_never_flushes_is_not_slow(void **state)
{
	lab_stream(*state, 0);
	lab_play(*state, &(struct step){ .seconds = 60,
					 .wait = WS_WAIT_WAL,
					 .busy_ms = 100,
					 .bytes = MB,
					 .reply = true,
					 .no_flush = true,
					 .no_apply = true });
	assert_verdict(*state, SESSION, "healthy_streaming");
}

static void replay_that_stands_while_flush_goes_on_is_paused(void **state)
{
	lab_stream(*state, 0);
	lab_play(*state, &(struct step){ .seconds = 15,
					 .wait = WS_WAIT_WAL,
					 .busy_ms = 100,
					 .bytes = MB,
					 .reply = true,
					 .apply = LSN });
	assert_verdict(*state, SESSION, "standby_apply_paused");
}

static void a_burst_and_silence_with_an_old_apply_position_is_no_pause(void **state)
{
	struct lab *lab = *state;

	lab_stream(lab, 0);
	lab_play(lab, &(struct step){ .seconds = 2,
				      .wait = WS_WAIT_WAL,
				      .busy_ms = 100,
				      .bytes = MB,
				      .reply = true,
				      .apply = LSN });
	lab_play(lab, &(struct step){ .seconds = 9, .wait = WS_WAIT_WAL });
	assert_verdict(lab, SESSION, "healthy_streaming");
}

/* `n` seconds behind in apply. */
static void play_lagging(struct lab *lab, unsigned int seconds,
			 unsigned int (*behind)(unsigned int))
{
	lab_stream(lab, 0);
	for (unsigned int i = 0; i < seconds; i++) {
		uint64_t n = behind(i) < i ? behind(i) : i;

		lab_play(lab, &(struct step){ .seconds = 1,
					      .wait = WS_WAIT_WAL,
					      .busy_ms = 10,
					      .bytes = MB,
					      .reply = true,
					      .apply = lab->sent - n * MB });
	}
}

static unsigned int always_three(unsigned int i)
{
	(void)i;
	return 3;
}

static unsigned int half(unsigned int i)
{
	return i / 2;
}

static void a_constant_apply_lag_is_a_delay(void **state)
{
	play_lagging(*state, 40, always_three);
	assert_verdict(*state, SESSION, "standby_apply_delayed");
}

static void a_growing_backlog_is_slow_replay(void **state)
{
	play_lagging(*state, 40, half);
	assert_verdict(*state, SESSION, "standby_apply_slow");
}

static void one_that_receives_and_does_not_confirm_is_told(void **state)
{
	lab_stream(*state, WS_STREAM_LOGICAL);
	lab_play(*state, &(struct step){ .seconds = 45,
					 .flags = WS_TURN_LOGICAL,
					 .wait = WS_WAIT_WAL,
					 .busy_ms = 100,
					 .bytes = MB,
					 .reply = true,
					 .flush = LSN,
					 .no_apply = true });
	assert_verdict(*state, SESSION, "consumer_not_confirming");
}

static void confirming_ten_seconds_late_is_healthy(void **state)
{
	struct lab *lab = *state;
	uint64_t confirmed = LSN;

	lab_stream(lab, WS_STREAM_LOGICAL);
	for (unsigned int i = 0; i < 45; i++) {
		if (i % 10 == 0)
			confirmed = lab->sent;
		lab_play(lab, &(struct step){ .seconds = 1,
					      .flags = WS_TURN_LOGICAL,
					      .wait = WS_WAIT_WAL,
					      .busy_ms = 100,
					      .bytes = MB,
					      .reply = true,
					      .flush = confirmed,
					      .no_apply = true });
	}
	assert_false(lab->row_count);
	lab_judge(lab);
	assert_false(lab_also(lab, "consumer_not_confirming"));
	assert_int_not_equal(lab_find(lab, SESSION)->verdict, WS_VERDICT_CONSUMER_NOT_CONFIRMING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB(two_seconds_are_too_little),
		LAB(time_mostly_lost_is_too_little),
		LAB(without_anything_to_send_it_is_idle),
		LAB(one_found_at_rest_that_has_all_there_is_is_idle),
		LAB(one_found_at_rest_that_has_not_all_is_not_guessed_at),
		LAB(one_that_keeps_up_streams),
		LAB(states_add_up_to_what_is_accounted_for),
		LAB(a_change_of_the_time_line_in_midstream_is_said),
		LAB(a_client_that_starts_again_on_its_time_line_changes_none),
		LAB(a_stopped_process_is_stopped_whatever_its_socket_says),
		LAB(one_that_waits_for_cpu_is_starved),
		LAB(one_at_rest_is_not_starved_by_its_group),
		LAB(one_with_little_to_do_that_waits_for_its_group_is_starved),
		LAB(without_counters_of_the_scheduler_nothing_starves),
		LAB(memory_that_grows_is_evidence_whatever_the_verdict),
		LAB(memory_that_stays_is_none),
		LAB(the_control_group_that_limits_is_named),
		LAB(a_quota_that_is_not_used_up_starves_nobody),
		LAB(one_that_was_full_until_the_timeout_was_not_read),
		LAB(one_that_was_full_and_read_on_before_the_timeout_is_not_blamed),
		LAB(a_dead_connection_stays_one_when_the_timeout_has_ended_it),
		LAB(one_that_was_stopped_for_a_moment_is_healthy),
		LAB(a_message_that_comes_whole_in_time_is_no_stall),
		LAB(a_moment_of_spinning_is_no_wait_for_copydone),
		LAB(a_unix_socket_that_is_read_is_healthy),
		LAB(unanswered_retransmissions_are_a_dead_connection),
		LAB(probes_of_a_closed_window_are_no_dead_connection),
		LAB(one_that_is_asked_and_does_not_reply_is_silent),
		LAB(one_that_a_short_timeout_ended_was_silent),
		LAB(one_that_reports_rarely_and_is_not_asked_is_not_silent),
		LAB(without_a_word_of_the_socket_nobody_is_silent),
		LAB(half_a_message_is_a_stall),
		LAB(one_that_spins_waits_for_copydone),
		LAB(a_unix_socket_that_stays_full_is_not_read),
		LAB(a_unix_socket_that_stays_full_while_wal_comes_is_not_read),
		LAB(a_window_that_limits_is_a_slow_receiver),
		LAB(full_queues_under_way_are_a_slow_network),
		LAB(one_that_has_just_read_on_is_slow),
		LAB(a_link_that_is_full_is_a_slow_network_without_queues),
		LAB(a_window_too_small_for_the_way_is_a_slow_receiver),
		LAB(a_window_with_room_is_no_slow_receiver),
		LAB(a_send_buffer_that_limits_is_a_slow_network_and_named),
		LAB(a_full_socket_that_nothing_explains_is_not_guessed_at),
		LAB(a_backup_that_copies_as_fast_as_it_can_has_no_slow_client),
		LAB(a_backup_whose_client_takes_nothing_has_a_slow_one),
		LAB(one_that_was_found_waiting_and_has_nothing_to_send_idles),
		LAB(one_that_has_sent_all_that_the_server_has_flushed_idles),
		LAB(one_that_was_found_waiting_and_has_something_to_send_is_not_guessed_at),
		LAB(slow_flushes_are_told_from_slow_writes),
		LAB(a_standby_that_flushes_after_300_ms_is_slow),
		LAB(an_apply_worker_that_flushes_after_300_ms_is_healthy),
		LAB(an_apply_worker_that_flushes_after_a_second_is_slow),
		LAB(a_client_that_never_flushes_is_not_slow),
		LAB(replay_that_stands_while_flush_goes_on_is_paused),
		LAB(a_burst_and_silence_with_an_old_apply_position_is_no_pause),
		LAB(a_constant_apply_lag_is_a_delay),
		LAB(a_growing_backlog_is_slow_replay),
		LAB(one_that_receives_and_does_not_confirm_is_told),
		LAB(confirming_ten_seconds_late_is_healthy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
