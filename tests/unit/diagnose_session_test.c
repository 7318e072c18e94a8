/* SPDX-License-Identifier: BSD-2-Clause */
/* Each rule about a session: what fits it, and a healthy twin that looks like it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "../lib/diagnosed.h"
#include "diagnose/evidence.h"

#define SESSION WS_SCOPE_SESSION

static const struct ws_rec_sample at_end = { .valid = WS_SAMPLE_TARGET };
/* -- how much data there is */

static void two_seconds_are_too_little(void **state)
{
	lab_stream(*state, 0);
	lab_waits(*state, WAL, .seconds = 2);
	assert_verdict(*state, SESSION, "insufficient_data");
}

static void time_mostly_lost_is_too_little(void **state)
{
	struct lab *lab = *state;
	uint64_t from;

	lab_stream(lab, 0);
	lab_waits(lab, WAL, .seconds = 2);
	from = lab->tape.now_ns;
	lab->tape.now_ns += 8 * SECOND;
	ws_tape_gap(&lab->tape, from, lab->tape.now_ns, 100, WS_GAP_RING_FULL);
	lab->tape.mark_ns = lab->tape.now_ns;
	lab_waits(lab, WAL, .seconds = 1);
	assert_verdict(lab, SESSION, "insufficient_data");
}

static void without_anything_to_send_it_is_idle(void **state)
{
	lab_stream(*state, 0);
	lab_waits(*state, WAL, .seconds = 10, .reply = true);
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

static void one_that_keeps_up_streams(void **state)
{
	lab_stream(*state, 0);
	lab_waits(*state, WAL, .seconds = 10, .busy_ms = 200, .bytes = MB, .reply = true,
		  .socket = &calm, .sample = &at_end);
	assert_verdict(*state, SESSION, "healthy_streaming");
}

static void states_add_up_to_what_is_accounted_for(void **state)
{
	struct lab *lab = *state;
	const struct ws_explained *row;
	uint64_t sum = 0;

	lab_stream(lab, 0);
	lab_waits(lab, WAL, .seconds = 10, .busy_ms = 200, .bytes = MB);
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
	lab_waits(lab, WAL, .seconds = 5, .reply = true);
	ws_tape_end(&lab->tape, WS_COMMAND_DONE);
	ws_tape_command(&lab->tape, "START_REPLICATION 0/10A00000 TIMELINE 3");
	ws_tape_stream(&lab->tape, 0, lab->sent, NULL);
	lab->tape.mark_ns = lab->tape.now_ns;
	lab_waits(lab, WAL, .seconds = 5, .reply = true);
	assert_verdict(lab, SESSION, "healthy_idle");
	assert_non_null(strstr(lab_find(lab, SESSION)->finding.text,
			       " In mid-stream, 5.00 s ago, it went over from time line 1 to time "
			       "line 3 at 0/10A00000."));
}

static void a_client_that_starts_again_on_its_time_line_changes_none(void **state)
{
	struct lab *lab = *state;

	lab_stream(lab, 0);
	lab_waits(lab, WAL, .seconds = 5, .reply = true);
	ws_tape_end(&lab->tape, WS_COMMAND_DONE);
	ws_tape_command(&lab->tape, "START_REPLICATION 0/10A00000 TIMELINE 1");
	ws_tape_stream(&lab->tape, 0, lab->sent, NULL);
	lab->tape.mark_ns = lab->tape.now_ns;
	lab_waits(lab, WAL, .seconds = 5, .reply = true);
	assert_verdict(lab, SESSION, "healthy_idle");
	assert_null(strstr(lab_find(lab, SESSION)->finding.text, "time line"));
}

/* -- the process */

static void a_stopped_process_is_stopped_whatever_its_socket_says(void **state)
{
	static const struct ws_rec_sample stopped = { .task_state = 'T' };

	lab_stream(*state, 0);
	lab_waits(*state, SOCKET, .seconds = 10, .sample = &stopped);
	assert_verdict(*state, SESSION, "sender_stopped");
}

static void one_that_waits_for_cpu_is_starved(void **state)
{
	struct lab *lab = *state;
	struct ws_rec_sample sample = { .valid = WS_SAMPLE_DELAY };

	lab_stream(lab, 0);
	for (unsigned int i = 0; i < 10; i++) {
		sample.run_delay_ns += SECOND * 4 / 10;
		lab_waits(lab, WAL, .seconds = 1, .busy_ms = 500, .bytes = MB, .sample = &sample);
	}
	assert_verdict(lab, SESSION, "cpu_starved");
}

static void throttle(struct lab *lab, struct ws_rec_cgroup *group)
{
	struct ws_rec_sample sample = { .valid = WS_SAMPLE_THROTTLED };

	lab_stream(lab, 0);
	lab_sampled(lab, &group->h, WS_KIND_CGROUP, sizeof(*group));
	for (unsigned int i = 0; i < 10; i++) {
		sample.throttled_ns += SECOND * 6 / 10;
		lab_waits(lab, WAL, .seconds = 1, .busy_ms = 500, .bytes = MB, .sample = &sample);
	}
	assert_verdict(lab, SESSION, "cpu_starved");
}

static void the_control_group_that_limits_is_named(void **state)
{
	struct lab *lab = *state;
	struct ws_rec_cgroup group = { .quota_us = 15000,
				       .period_us = 100000,
				       .path = "/pods/pg\n1" };

	throttle(lab, &group);
	assert_non_null(strstr(lab_find(lab, SESSION)->finding.text,
			       "control group /pods/pg?1 may use 15 % of one CPU"));
}

/* A recording may say what it likes: there is no whole number for this one. */
static void a_quota_beyond_all_numbers_is_the_largest_one(void **state)
{
	struct lab *lab = *state;
	struct ws_rec_cgroup group = { .quota_us = UINT64_MAX, .period_us = 1, .path = "/pods" };
	const struct ws_finding *f;
	size_t i = 0;

	throttle(lab, &group);
	f = &lab_find(lab, SESSION)->finding;
	while (i < f->fact_count && strcmp(f->facts[i].fact, "cpu_quota") != 0)
		i++;
	assert_true(i < f->fact_count);
	assert_true(f->facts[i].value == UINT64_MAX);
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
		lab_waits(lab, WAL, .seconds = 1, .busy_ms = 500, .bytes = MB, .sample = &sample);
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
		lab_waits(lab, WAL, .seconds = 1, .sample = &sample);
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
		lab_waits(lab, WAL, .seconds = 1, .busy_ms = 500, .bytes = MB, .sample = &sample);
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
		lab_waits(lab, WAL, .seconds = 1, .sample = &sample);
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

/* What is confirmed stays behind, and the replies stay away. */
static void play_unconfirmed(struct lab *lab, unsigned int seconds)
{
	lab_stream(lab, WS_STREAM_LOGICAL);
	lab_waits(lab, WAL, .seconds = 2, .flags = WS_TURN_LOGICAL, .bytes = 1000, .reply = true);
	lab_waits(lab, WAL, .seconds = seconds, .flags = WS_TURN_LOGICAL, .bytes = 1000);
	assert_verdict(lab, SESSION, "healthy_idle");
}

static void a_client_that_owes_a_confirmation_for_long_is_told(void **state)
{
	play_unconfirmed(*state, 20);
	assert_non_null(strstr(lab_find(*state, SESSION)->finding.text,
			       "has not confirmed 20.5 kB, and it has not replied for 20.0 s"));
}

static void one_that_owes_it_for_a_moment_is_not(void **state)
{
	play_unconfirmed(*state, 8);
	assert_null(strstr(lab_find(*state, SESSION)->finding.text, "confirmed"));
}

/* -- two causes */

/* Each piece is flushed a second late, and nothing of it is replayed. */
static void play_slow_and_paused(struct lab *lab, const struct ws_rec_socket *socket, bool no_apply)
{
	lab_stream(lab, 0);
	for (unsigned int i = 0; i < 20; i++)
		lab_play(lab, &(struct step){ .seconds = 1,
					      .wait = socket ? WS_WAIT_SOCKET : WS_WAIT_WAL,
					      .busy_ms = 10,
					      .bytes = 1000000,
					      .reply = true,
					      .flush = lab->sent - (i ? 1000000 : 0),
					      .apply = LSN,
					      .no_apply = no_apply,
					      .socket = socket });
}

static void a_second_cause_is_said_and_what_to_do_about_it(void **state)
{
	play_slow_and_paused(*state, NULL, false);
	assert_verdict(*state, SESSION, "standby_flush_slow");
	assert_said_of(*state, SESSION, " Beside this, standby_apply_paused: ");
	assert_said_of(*state, SESSION, ". On the standby: pg_get_wal_replay_pause_state()");
}

static size_t facts_named(struct lab *lab, const char *name)
{
	const struct ws_finding *f = &lab_find(lab, SESSION)->finding;
	size_t count = 0;

	for (size_t i = 0; i < f->fact_count; i++)
		count += strcmp(f->facts[i].fact, name) == 0;
	return count;
}

static void the_figures_of_a_second_cause_are_among_the_facts(void **state)
{
	play_slow_and_paused(*state, NULL, false);
	assert_verdict(*state, SESSION, "standby_flush_slow");
	assert_int_equal(facts_named(*state, "flush"), 1);
	assert_int_equal(facts_named(*state, "not_applied"), 1);
}

static void what_follows_from_the_verdict_is_no_second_cause(void **state)
{
	static const struct ws_rec_socket slow = { .acked_bytes = MB,
						   .rwnd_limited_us = 95,
						   .mss_bytes = 1448,
						   .unsent_bytes = 100000,
						   .timer = WS_TCP_TIMER_PERSIST };

	play_slow_and_paused(*state, &slow, true);
	assert_verdict(*state, SESSION, "standby_flush_slow");
	assert_true(lab_also(*state, "receiver_slow"));
	assert_null(strstr(lab_find(*state, SESSION)->finding.text, "Beside this"));
}

static void how_it_ended_is_said_of_the_verdict_and_not_of_the_second_cause(void **state)
{
	static const struct ws_rec_socket shut = { .mss_bytes = 1448,
						   .unsent_bytes = 4 * MB,
						   .rwnd_limited_us = 100,
						   .timer = WS_TCP_TIMER_PERSIST };
	struct lab *lab = *state;
	const struct ws_explained *row;
	const char *end, *beside;

	play_slow_and_paused(lab, NULL, false);
	lab_waits(lab, SOCKET, .seconds = 10, .socket = &shut);
	ws_tape_error(&lab->tape, WS_ELEVEL_FATAL, "57P01", "ProcessInterrupts",
		      "terminating connection due to administrator command");
	ws_tape_exit(&lab->tape, 1, 0);
	assert_verdict(lab, SESSION, "receiver_not_reading");
	assert_said_of(lab, SESSION, "Then ");
	assert_said_of(lab, SESSION, "Beside this, ");
	row = lab_find(lab, SESSION);
	assert_non_null(row);
	end = strstr(row->finding.text, "Then ");
	beside = strstr(row->finding.text, "Beside this, ");
	assert_true(end < beside);
}

/* -- texts */

static void a_text_that_is_too_long_ends_with_a_sentence(void **state)
{
	struct ws_finding f = { 0 };
	size_t len;

	(void)state;
	for (int i = 0; i < 100; i++)
		ws_say(&f, "%sIt took %d.50 s, and that is over.", i ? " " : "", i);
	len = strlen(f.text);
	assert_true(len > sizeof(f.text) - 40);
	assert_string_equal(f.text + len - strlen(" is over."), " is over.");
	ws_say(&f, " No.");
	assert_int_equal(strlen(f.text), len);
}

static void a_sentence_that_is_too_long_says_that_it_goes_on(void **state)
{
	struct ws_finding f = { 0 };
	size_t len;

	(void)state;
	for (int i = 0; i < 1000; i++)
		ws_say(&f, "\303\244");
	len = strlen(f.text);
	assert_true(len > sizeof(f.text) - 10);
	assert_string_equal(f.text + len - 6, "\303\244 ...");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB(a_client_that_owes_a_confirmation_for_long_is_told),
		LAB(one_that_owes_it_for_a_moment_is_not),
		LAB(two_seconds_are_too_little),
		LAB(time_mostly_lost_is_too_little),
		LAB(without_anything_to_send_it_is_idle),
		LAB(one_found_at_rest_that_has_all_there_is_is_idle),
		LAB(one_found_at_rest_that_has_not_all_is_not_guessed_at),
		LAB(one_that_has_sent_all_that_the_server_has_flushed_idles),
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
		LAB(a_quota_beyond_all_numbers_is_the_largest_one),
		LAB(a_quota_that_is_not_used_up_starves_nobody),
		LAB(a_second_cause_is_said_and_what_to_do_about_it),
		LAB(the_figures_of_a_second_cause_are_among_the_facts),
		LAB(what_follows_from_the_verdict_is_no_second_cause),
		LAB(how_it_ended_is_said_of_the_verdict_and_not_of_the_second_cause),
		cmocka_unit_test(a_text_that_is_too_long_ends_with_a_sentence),
		cmocka_unit_test(a_sentence_that_is_too_long_says_that_it_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
