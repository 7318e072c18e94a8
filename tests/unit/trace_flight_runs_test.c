/* SPDX-License-Identifier: BSD-2-Clause */
/* Several runs in one directory of the flight recorder: what a later one makes of those before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "../lib/flight_fixture.h"

/* What is there when the recorder is killed: blocks up to the last one, and no stop. */
static void kill_recorder(struct fixture *f, size_t turns)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		open_flight(f, 3 * MIB, 0);
		play_start(f);
		play_turns(f, turns);
		ws_flight_tick(f->flight, f->now_ns + 20 * SECOND, NULL);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void a_new_run_goes_on_in_the_directory(void **state)
{
	struct fixture *f = *state;
	uint64_t from = 0, to = 0, ends = 0, records, first_end;
	const struct ws_session *session;
	struct ws_reader *reader;
	const struct ws_rec *rec;
	struct ws_command command;
	struct ws_model *model;
	struct ws_tape later;
	char why[256];

	kill_recorder(f, 20000);
	reader = open_reader(f->dir);
	model = model_of(reader, &records);
	ws_reader_span(reader, &from, &first_end);
	assert_true(ws_reader_torn(reader, why, sizeof(why)));
	ws_model_free(model);
	ws_reader_free(reader);
	/* 4001 runs on and is found, 4002 is gone. */
	f->now_ns = 1100 * SECOND;
	f->info.start_mono_ns = f->now_ns;
	f->info.start_wall_ns += 100 * (int64_t)SECOND;
	open_flight(f, 3 * MIB, 0);
	later = ws_tape_new((struct ws_sink){ .fn = add, .arg = f }, 4001, f->now_ns);
	later.start_ns = 1000 * SECOND;
	ws_tape_server(&later, 99, "15.18");
	ws_tape_found(&later, WS_FOUND_STREAM_WAL, 0x7000000);
	ws_tape_command_head(&later, WS_COMMAND_RUNNING);
	ws_tape_text(&later, WS_TEXT_COMMAND, 0, COMMAND, strlen(COMMAND), WS_TEXT_LAST);
	later.now_ns += 3 * SECOND;
	f->now_ns = later.now_ns;
	play_clock(f, f->now_ns);
	play_stop(f);
	close_flight(f);
	reader = open_reader(f->dir);
	while (ws_reader_next(reader, &rec, NULL) > 0) {
		const struct ws_rec_gap *gap = (const void *)rec;

		if (rec->kind != WS_KIND_GAP)
			continue;
		assert_int_equal(gap->cause, WS_GAP_UNRECORDED);
		if (rec->pid) {
			assert_int_equal(rec->pid, 4002);
			ends++;
		} else {
			from = gap->from_ns;
			to = gap->to_ns;
		}
	}
	assert_int_equal(ends, 1);
	assert_int_equal(from, first_end);
	assert_int_equal(to, 1100 * SECOND);
	assert_true(ws_reader_torn(reader, why, sizeof(why)));
	assert_non_null(strstr(why, "1 runs of it were cut off"));
	ws_reader_rewind(reader);
	model = model_of(reader, &records);
	session = session_of(model, 4001);
	assert_non_null(session);
	assert_int_equal(session->end_ns, 0);
	assert_int_equal(session->sent_lsn, 0x7000000);
	/* Its start was seen. */
	assert_false(session->was_running);
	assert_int_equal(session->packet_ns, 1000 * SECOND);
	assert_int_equal(session->commands, 1);
	assert_true(ws_session_command(session, &command));
	assert_int_equal(command.seq, 1);
	assert_int_equal(command.start_ns, 1000 * SECOND);
	assert_true(session->state_ns[WS_STATE_LOST] >= to - from);
	session = session_of(model, 4002);
	assert_int_equal(session->end_ns, to);
	assert_int_equal(ws_model_lost(model), 0);
	ws_model_free(model);
	ws_reader_free(reader);
}

/* Another run, so many seconds after the start, which sees one session go on; 0: none. */
static void run_again(struct fixture *f, uint64_t seconds, uint32_t filter, uint32_t pid)
{
	struct ws_tape tape;

	f->info.filter = filter;
	f->info.start_wall_ns += (int64_t)(seconds * SECOND - f->info.start_mono_ns);
	f->info.start_mono_ns = f->now_ns = seconds * SECOND;
	open_flight(f, 3 * MIB, 0);
	tape = ws_tape_new((struct ws_sink){ .fn = add, .arg = f }, pid, f->now_ns);
	tape.start_ns = 1000 * SECOND;
	ws_tape_server(&tape, 99, "15.18");
	if (pid)
		ws_tape_found(&tape, WS_FOUND_STREAM_WAL, 0x7000000);
	f->now_ns += 3 * SECOND;
	play_clock(f, f->now_ns);
	play_stop(f);
	close_flight(f);
}

static uint64_t end_of(const struct fixture *f, uint32_t pid)
{
	struct ws_reader *reader = open_reader(f->dir);
	uint64_t records, end;
	struct ws_model *model = model_of(reader, &records);

	assert_non_null(session_of(model, pid));
	end = session_of(model, pid)->end_ns;
	ws_model_free(model);
	ws_reader_free(reader);
	return end;
}

static void a_run_with_another_filter_ends_no_session_that_it_does_not_see(void **state)
{
	struct fixture *f = *state;

	kill_recorder(f, 1000);
	run_again(f, 1100, 7, 4001);
	assert_int_equal(end_of(f, 4001), 0);
	assert_int_equal(end_of(f, 4002), 0);
	run_again(f, 1200, 8, 0);
	assert_int_equal(end_of(f, 4001), 0);
	/* The same one again would have told it. */
	run_again(f, 1300, 7, 0);
	assert_int_equal(end_of(f, 4001), 1300 * SECOND);
	assert_int_equal(end_of(f, 4002), 0);
	run_again(f, 1400, 0, 0);
	assert_int_equal(end_of(f, 4001), 1300 * SECOND);
	assert_int_equal(end_of(f, 4002), 1400 * SECOND);
}

static void a_later_boot_follows_in_time_and_shares_no_session(void **state)
{
	struct fixture *f = *state;
	uint64_t last = 0, between = 0;
	struct ws_reader *reader;
	const struct ws_rec *rec;
	struct ws_model *model;
	size_t count, stops = 0;

	open_flight(f, 3 * MIB, 0);
	play_start(f);
	play_turns(f, 5000);
	play_stop(f);
	close_flight(f);
	/* Ten minutes later, with a clock that starts anew. */
	f->info.start_wall_ns += 600 * (int64_t)SECOND;
	f->info.start_mono_ns = f->now_ns = 5 * SECOND;
	strcpy(f->info.boot_id, "99999999-2222-3333-4444-555555555555");
	open_flight(f, 3 * MIB, 0);
	play_start(f);
	play_turns(f, 100);
	play_stop(f);
	close_flight(f);
	reader = open_reader(f->dir);
	model = ws_model_new(NULL);
	while (ws_reader_next(reader, &rec, NULL) > 0) {
		ws_model_feed(model, rec);
		if (rec->kind == WS_KIND_STOP) {
			if (!stops++)
				between = rec->time_ns;
			last = rec->time_ns;
		}
		if (stops)
			assert_true(rec->time_ns >= between);
	}
	assert_int_equal(stops, 2);
	assert_true(last > between);
	assert_true(last >= 1600 * SECOND && last < 1601 * SECOND);
	ws_model_finish(model, last);
	ws_model_sessions(model, &count);
	assert_int_equal(count, 2 + 2 + 1); /* two of each boot, and a short one */
	expect_whole(reader);
	ws_model_free(model);
	ws_reader_free(reader);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FLIGHT(a_new_run_goes_on_in_the_directory),
		FLIGHT(a_run_with_another_filter_ends_no_session_that_it_does_not_see),
		FLIGHT(a_later_boot_follows_in_time_and_shares_no_session),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
