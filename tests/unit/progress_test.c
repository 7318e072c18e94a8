/* SPDX-License-Identifier: BSD-2-Clause */
/* Progress of backups: what the server's parameters say, and what the session makes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "probe/progress.h"
#include "../lib/records.h"
#include "session/model.h"

#define SECOND 1000000000ULL
#define MB     1048576ULL

static void parameters_of_a_backup_are_read(void **state)
{
	const int64_t param[WS_PROGRESS_PARAMS] = { 3, 3000, 1000, 2, 1 };
	struct ws_progress p;

	(void)state;
	assert_true(ws_progress_judge(5, param, &p));
	assert_int_equal(p.phase, WS_PROGRESS_STREAM);
	assert_true(p.has_total);
	assert_int_equal(p.total_bytes, 3000);
	assert_int_equal(p.streamed_bytes, 1000);
	assert_int_equal(p.tablespaces, 2);
	assert_int_equal(p.tablespaces_done, 1);
}

static void without_an_estimate_there_is_no_total(void **state)
{
	const int64_t param[WS_PROGRESS_PARAMS] = { 3, -1, 1000, 2, 1 };
	struct ws_progress p;

	(void)state;
	assert_true(ws_progress_judge(5, param, &p));
	assert_false(p.has_total);
}

static void what_cannot_be_a_backup_is_refused(void **state)
{
	static const int64_t wrong[][WS_PROGRESS_PARAMS] = {
		{ 6, 0, 0, 0, 0 },	   { -1, 0, 0, 0, 0 }, { 3, -2, 0, 0, 0 },
		{ 3, 0, -1, 0, 0 },	   { 3, 0, 0, 1, 2 },  { 3, 0, 0, -1, 0 },
		{ 3, 0, 0, INT64_MAX, 0 }, { 3, 0, 0, 1, -1 },
	};
	const int64_t good[WS_PROGRESS_PARAMS] = { 0 };
	struct ws_progress p;

	(void)state;
	assert_true(ws_progress_judge(5, good, &p));
	assert_false(ws_progress_judge(1, good, &p)); /* VACUUM's */
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		assert_false(ws_progress_judge(5, wrong[i], &p));
}

static void parameters_of_a_copy_are_read(void **state)
{
	const int64_t param[WS_PROGRESS_PARAMS] = { 5000, 0, 70, 0, 1 };
	const int64_t wrong[WS_PROGRESS_PARAMS] = { 5000, 0, -70, 0, 1 };
	struct ws_copy_progress p;

	(void)state;
	assert_true(ws_progress_judge_copy(6, param, &p));
	assert_int_equal(p.bytes, 5000);
	assert_int_equal(p.rows, 70);
	assert_false(ws_progress_judge_copy(5, param, &p)); /* a backup's */
	assert_false(ws_progress_judge_copy(6, wrong, &p));
}

/* -- the session */

struct stage {
	struct ws_model *model;
	struct ws_tape tape;
};

static int feed(void *arg, const struct ws_rec *rec)
{
	return ws_model_feed(((struct stage *)arg)->model, rec);
}

static int setup(void **state)
{
	static struct stage stage;

	stage.model = ws_model_new(&(struct ws_observer){ 0 });
	stage.tape = ws_tape_new((struct ws_sink){ .fn = feed, .arg = &stage }, 4711, SECOND);
	ws_tape_session(&stage.tape, 0);
	ws_tape_ready(&stage.tape);
	*state = &stage;
	return stage.model ? 0 : -1;
}

static int teardown(void **state)
{
	ws_model_free(((struct stage *)*state)->model);
	return 0;
}

static const struct ws_session *only(const struct stage *stage)
{
	size_t count;
	struct ws_session *const *sessions = ws_model_sessions(stage->model, &count);

	assert_int_equal(count, 1);
	return sessions[0];
}

static void step(struct stage *stage, enum ws_backup_phase phase, uint64_t bytes)
{
	stage->tape.now_ns += SECOND;
	ws_tape_backup(&stage->tape, phase, bytes, 0);
}

static void wal_behind_the_files_is_counted_apart(void **state)
{
	struct stage *stage = *state;
	struct ws_backup b;

	ws_tape_command(&stage->tape, "BASE_BACKUP ( LABEL 'x', WAL )");
	step(stage, WS_BACKUP_BEGIN, 0);
	step(stage, WS_BACKUP_STREAM, 0);
	step(stage, WS_BACKUP_STREAM, 10 * MB);
	step(stage, WS_BACKUP_WAIT_ARCHIVE, 2 * MB);
	step(stage, WS_BACKUP_WAL, 0);
	step(stage, WS_BACKUP_WAL, 16 * MB);
	step(stage, WS_BACKUP_MANIFEST, MB);
	assert_true(ws_session_backup(only(stage), &b));
	assert_int_equal(b.wal_bytes, 17 * MB);
	assert_int_equal(b.streamed_bytes, 29 * MB);
	assert_int_equal(b.rate, 6 * MB); /* 12 MB in 2 s: WAL is none of it */
	assert_false(b.has_left);
	assert_int_equal(only(stage)->state_ns[WS_STATE_BACKUP_WAL], 2 * SECOND);
}

/* What the server says of itself, in file bytes. */
static void say_progress(struct stage *stage, uint64_t total, uint64_t streamed)
{
	struct ws_rec_progress r = { .total_bytes = total,
				     .streamed_bytes = streamed,
				     .phase = WS_PROGRESS_STREAM,
				     .valid = WS_PROGRESS_TOTAL };

	r.h = (struct ws_rec){ .size = sizeof(r),
			       .kind = WS_KIND_PROGRESS,
			       .pid = stage->tape.pid,
			       .start_ns = stage->tape.start_ns,
			       .time_ns = stage->tape.now_ns,
			       .server = 1 };
	feed(stage, &r.h);
}

/* Ten bytes of files make one for the client, which gets 1 MB/s. */
static void files_that_the_server_compresses_go_at_the_rate_of_files(void **state)
{
	struct stage *stage = *state;
	struct ws_backup b;

	ws_tape_command(&stage->tape, "BASE_BACKUP ( COMPRESSION 'gzip' )");
	step(stage, WS_BACKUP_BEGIN, 0);
	step(stage, WS_BACKUP_STREAM, 0);
	for (int i = 0; i < 4; i++) {
		step(stage, WS_BACKUP_STREAM, MB);
		say_progress(stage, 100 * MB, (uint64_t)(i + 1) * 10 * MB);
	}
	assert_true(ws_session_backup(only(stage), &b));
	assert_int_equal(b.rate, 10 * MB);
	assert_int_equal(b.streamed_bytes, 40 * MB);
	assert_true(b.has_left);
	assert_int_equal(b.left_ns, 6 * SECOND);
}

static void how_far_a_backup_is_is_as_of_the_end_of_the_window(void **state)
{
	struct stage *stage = *state;
	const struct ws_standing *then;

	ws_tape_command(&stage->tape, "BASE_BACKUP");
	step(stage, WS_BACKUP_BEGIN, 0);
	step(stage, WS_BACKUP_STREAM, 0);
	ws_model_set_window(stage->model, 0, stage->tape.now_ns + 3 * SECOND / 2);
	step(stage, WS_BACKUP_STREAM, 10 * MB);
	say_progress(stage, 60 * MB, 10 * MB);
	step(stage, WS_BACKUP_STREAM, 50 * MB);
	say_progress(stage, 60 * MB, 60 * MB);
	ws_tape_end(&stage->tape, WS_COMMAND_DONE);
	then = &only(stage)->standing;
	assert_true(then->has_backup);
	assert_int_equal(then->backup.streamed_bytes, 10 * MB);
	assert_true(then->backup.has_left);
	assert_int_equal(then->backup.left_ns, 5 * SECOND);
}

/* A record of so many chunks, handed over since the one before, of which the client took the last
 * one in `send_ns`. */
static void chunks(struct stage *stage, uint32_t count, uint64_t bytes, uint64_t send_ns)
{
	struct ws_rec_backup r = {
		.phase = WS_BACKUP_STREAM, .chunks = count, .bytes = bytes, .send_ns = send_ns
	};

	ws_tape_send(&stage->tape, &r.h, WS_KIND_BACKUP, sizeof(r), 0);
}

/* Its window begins so long behind the record in front of the one with these chunks. */
static uint64_t bytes_from(struct stage *stage, uint64_t window_ns, uint64_t takes_ns)
{
	ws_model_set_window(stage->model, stage->tape.now_ns + 3 * SECOND + window_ns, UINT64_MAX);
	ws_tape_command(&stage->tape, "BASE_BACKUP");
	step(stage, WS_BACKUP_BEGIN, 0);
	step(stage, WS_BACKUP_STREAM, 0);
	step(stage, WS_BACKUP_STREAM, 10 * MB);
	stage->tape.now_ns += takes_ns;
	chunks(stage, 64, 64 * MB, takes_ns - SECOND / 50);
	return only(stage)->backup_bytes;
}

/* The client stopped: all but the last chunk was gathered before it did. */
static void what_was_gathered_before_the_window_is_not_sent_in_it(void **state)
{
	assert_int_equal(bytes_from(*state, 10 * SECOND, 20 * SECOND), MB);
}

static void what_is_told_once_is_split_where_the_window_begins(void **state)
{
	assert_int_equal(bytes_from(*state, SECOND / 20, 20 * SECOND), MB + 63 * MB / 2);
}

static void what_is_sent_in_the_window_counts_whole(void **state)
{
	assert_int_equal(bytes_from(*state, 0, 20 * SECOND), 64 * MB);
}

/* As a piece out of a flight recorder begins. */
static void nor_what_was_gathered_before_a_recording_begins(void **state)
{
	struct stage *stage = *state;
	struct ws_tape tape = ws_tape_new(stage->tape.sink, 5000, SECOND);

	ws_model_free(stage->model);
	stage->model = ws_model_new(&(struct ws_observer){ 0 });
	tape.now_ns = 100 * SECOND;
	ws_tape_found(&tape, WS_FOUND_COMMAND, 0);
	ws_tape_command_head(&tape, WS_COMMAND_RUNNING);
	ws_tape_backup(&tape, WS_BACKUP_STREAM, 0, 0);
	tape.now_ns += 5 * SECOND;
	stage->tape = tape;
	chunks(stage, 64, 64 * MB, 10 * SECOND);
	assert_int_equal(only(stage)->backup_bytes, MB);
}

static void an_uploaded_manifest_is_no_part_of_what_is_sent(void **state)
{
	struct stage *stage = *state;
	struct ws_backup b;

	ws_tape_command(&stage->tape, "UPLOAD_MANIFEST");
	step(stage, WS_BACKUP_UPLOAD, 0);
	step(stage, WS_BACKUP_UPLOAD, 3 * MB);
	ws_tape_end(&stage->tape, WS_COMMAND_DONE);
	ws_tape_command(&stage->tape, "BASE_BACKUP ( INCREMENTAL )");
	step(stage, WS_BACKUP_BEGIN, 0);
	step(stage, WS_BACKUP_STREAM, 0);
	step(stage, WS_BACKUP_STREAM, MB);
	assert_true(ws_session_backup(only(stage), &b));
	assert_int_equal(b.uploaded_bytes, 3 * MB);
	assert_int_equal(b.streamed_bytes, MB);
	assert_int_equal(only(stage)->backup_bytes, MB);
	assert_true(only(stage)->state_ns[WS_STATE_BACKUP_MANIFEST] >= SECOND);
}

static void a_session_without_a_backup_has_none(void **state)
{
	struct stage *stage = *state;
	struct ws_backup b;

	ws_tape_command(&stage->tape, "IDENTIFY_SYSTEM");
	assert_false(ws_session_backup(only(stage), &b));
}

#define STAGE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parameters_of_a_backup_are_read),
		cmocka_unit_test(without_an_estimate_there_is_no_total),
		cmocka_unit_test(what_cannot_be_a_backup_is_refused),
		cmocka_unit_test(parameters_of_a_copy_are_read),
		STAGE(wal_behind_the_files_is_counted_apart),
		STAGE(files_that_the_server_compresses_go_at_the_rate_of_files),
		STAGE(how_far_a_backup_is_is_as_of_the_end_of_the_window),
		STAGE(what_was_gathered_before_the_window_is_not_sent_in_it),
		STAGE(what_is_told_once_is_split_where_the_window_begins),
		STAGE(what_is_sent_in_the_window_counts_whole),
		STAGE(nor_what_was_gathered_before_a_recording_begins),
		STAGE(an_uploaded_manifest_is_no_part_of_what_is_sent),
		STAGE(a_session_without_a_backup_has_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
