/* SPDX-License-Identifier: BSD-2-Clause */
/* A recording whose disk is full for a while, or for good. A limit on file sizes stops a write in
 * its middle, as a disk that fills up does. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "../lib/recording.h"
#include "base/log.h"

#define SECOND 1000000000ULL

struct said {
	char line[4][200];
	size_t count;
};

static void say(void *arg, enum ws_log_level level, const char *line)
{
	struct said *said = arg;

	assert_int_equal(level, WS_LOG_WARN);
	assert_true(said->count < 4);
	snprintf(said->line[said->count++], sizeof(said->line[0]), "%s", line);
}

struct fixture {
	struct recording recording;
	struct ws_writer *writer;
	struct said said;
	struct ws_log log;
};

/* Bytes the file may grow to, 0: any. */
static void limit_room(uint64_t bytes)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes ? bytes : limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	signal(SIGXFSZ, SIG_IGN);
	recording_make(&f->recording, 2, 0, 0);
	f->log = (struct ws_log){ .level = WS_LOG_NOTE, .fn = say, .arg = &f->said };
	assert_int_equal(ws_writer_new(&f->writer, f->recording.path, &recording_info, NULL), 0);
	ws_writer_set_log(f->writer, &f->log, "a.wst");
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	limit_room(0);
	ws_writer_close(f->writer, NULL);
	recording_deinit(&f->recording);
	free(f);
	return 0;
}

/* A keepalive of session 77 each 10 ns, numbered. */
static void add(struct fixture *f, uint64_t from_ns, uint32_t from_seq, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		struct ws_rec_keepalive rec = { .h = { .size = sizeof(rec),
						       .kind = WS_KIND_KEEPALIVE,
						       .pid = 77,
						       .start_ns = 5,
						       .time_ns = from_ns + 10 * i,
						       .seq = from_seq + i } };

		assert_int_equal(ws_writer_add(f->writer, &rec.h, NULL), 0);
	}
}

static void add_stop(struct fixture *f, uint64_t now_ns)
{
	struct ws_rec_stop stop = {
		.h = { .size = sizeof(stop), .kind = WS_KIND_STOP, .time_ns = now_ns },
		.produced = 4711,
	};

	assert_int_equal(ws_writer_add(f->writer, &stop.h, NULL), 0);
}

static void tick(struct fixture *f, uint64_t now_ns)
{
	assert_int_equal(ws_writer_tick(f->writer, now_ns, NULL), 0);
}

static const struct ws_rec *next(struct ws_reader *reader, uint16_t kind)
{
	const struct ws_rec *rec;

	assert_int_equal(ws_reader_next(reader, &rec, NULL), 1);
	assert_int_equal(rec->kind, kind);
	return rec;
}

static void expect_run(struct ws_reader *reader, uint32_t from_seq, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(next(reader, WS_KIND_KEEPALIVE)->seq, from_seq + i);
}

static void expect_gap(struct ws_reader *reader, uint64_t lost, uint64_t from_ns, uint64_t to_ns)
{
	const struct ws_rec_gap *gap = (const void *)next(reader, WS_KIND_GAP);

	assert_int_equal(gap->cause, WS_GAP_UNWRITTEN);
	assert_int_equal(gap->h.pid, 0);
	assert_int_equal(gap->lost, lost);
	assert_int_equal(gap->from_ns, from_ns);
	assert_int_equal(gap->to_ns, to_ns);
}

static struct ws_reader *end_and_read(struct fixture *f)
{
	struct ws_reader *reader;

	assert_int_equal(ws_writer_close(f->writer, NULL), 0);
	f->writer = NULL;
	assert_int_equal(ws_reader_open(&reader, f->recording.path, NULL), 0);
	return reader;
}

static void expect_end(struct ws_reader *reader, bool torn)
{
	const struct ws_rec *rec;
	char why[200];

	assert_int_equal(ws_reader_next(reader, &rec, NULL), 0);
	assert_int_equal(ws_reader_torn(reader, why, sizeof(why)), torn);
	ws_reader_free(reader);
}

static void a_recording_goes_on_when_there_is_room_again(void **state)
{
	struct fixture *f = *state;
	struct ws_reader *reader;
	uint64_t whole;
	struct stat st;

	add(f, SECOND, 0, 100);
	tick(f, 3 * SECOND);
	whole = ws_writer_bytes(f->writer);
	limit_room(whole + 20);
	add(f, 4 * SECOND, 100, 30);
	tick(f, 6 * SECOND);
	add(f, 7 * SECOND, 130, 3);
	tick(f, 9 * SECOND);
	assert_int_equal(stat(f->recording.path, &st), 0);
	assert_int_equal(st.st_size, whole);
	assert_int_equal(ws_writer_missing(f->writer), 33);
	limit_room(0);
	add(f, 10 * SECOND, 133, 50);
	tick(f, 12 * SECOND);
	assert_int_equal(ws_writer_missing(f->writer), 33);
	add(f, 13 * SECOND, 183, 7);
	add_stop(f, 14 * SECOND);
	reader = end_and_read(f);
	expect_run(reader, 0, 100);
	expect_gap(reader, 33, 4 * SECOND, 7 * SECOND + 20);
	expect_run(reader, 133, 57);
	next(reader, WS_KIND_STOP);
	expect_end(reader, false);
	assert_int_equal(f->said.count, 2);
	assert_string_equal(f->said.line[0], "recording paused: a.wst: File too large");
	assert_string_equal(f->said.line[1], "recording resumed: a.wst: 33 records are missing");
}

static void a_lost_gap_counts_what_it_stood_for(void **state)
{
	struct fixture *f = *state;
	struct ws_rec_gap gap = { .h = { .size = sizeof(gap),
					 .kind = WS_KIND_GAP,
					 .pid = 77,
					 .start_ns = 5,
					 .time_ns = 4 * SECOND },
				  .lost = 12,
				  .cause = WS_GAP_RING_FULL };

	limit_room(ws_writer_bytes(f->writer));
	assert_int_equal(ws_writer_add(f->writer, &gap.h, NULL), 0);
	tick(f, 6 * SECOND);
	assert_int_equal(ws_writer_missing(f->writer), 13);
}

static void a_server_that_was_not_written_is_written_later(void **state)
{
	struct fixture *f = *state;
	struct ws_rec_server server = { .h = { .size = sizeof(server),
					       .kind = WS_KIND_SERVER,
					       .pid = 70,
					       .server = 1,
					       .time_ns = 4 * SECOND },
					.major = 15,
					.layout = 1 };
	struct ws_reader *reader;

	limit_room(ws_writer_bytes(f->writer));
	assert_int_equal(ws_writer_add(f->writer, &server.h, NULL), 0);
	tick(f, 6 * SECOND);
	add(f, 7 * SECOND, 0, 2);
	tick(f, 9 * SECOND);
	limit_room(0);
	add(f, 10 * SECOND, 2, 1);
	add_stop(f, 11 * SECOND);
	reader = end_and_read(f);
	expect_gap(reader, 3, 4 * SECOND, 7 * SECOND + 10);
	assert_int_equal(next(reader, WS_KIND_SERVER)->pid, 70);
	expect_run(reader, 2, 1);
	next(reader, WS_KIND_STOP);
	expect_end(reader, false);
}

static void where_the_last_block_finds_no_room_its_end_may(void **state)
{
	struct fixture *f = *state;
	struct random_recs random = { .state = 5, .time_ns = 5 * SECOND };
	struct ws_reader *reader;
	union random_rec rec;

	add(f, SECOND, 0, 10);
	tick(f, 3 * SECOND);
	limit_room(ws_writer_bytes(f->writer) + 1000);
	for (int i = 0; i < 200; i++) {
		random_rec_of(&random, &rec, 1234);
		rec.h.time_ns = 5 * SECOND + (uint64_t)i;
		assert_int_equal(ws_writer_add(f->writer, &rec.h, NULL), 0);
	}
	add_stop(f, 5 * SECOND + 200);
	assert_int_equal(ws_writer_end(f->writer, NULL), 0);
	assert_int_equal(ws_writer_missing(f->writer), 200);
	limit_room(0);
	reader = end_and_read(f);
	expect_run(reader, 0, 10);
	expect_gap(reader, 200, 5 * SECOND, 5 * SECOND + 200);
	assert_int_equal(((const struct ws_rec_stop *)next(reader, WS_KIND_STOP))->produced, 4711);
	expect_end(reader, false);
}

static void a_disk_that_stays_full_leaves_what_was_written(void **state)
{
	struct fixture *f = *state;
	struct ws_reader *reader;

	add(f, SECOND, 0, 10);
	tick(f, 3 * SECOND);
	limit_room(ws_writer_bytes(f->writer));
	add(f, 4 * SECOND, 10, 5);
	add_stop(f, 5 * SECOND);
	assert_int_equal(ws_writer_end(f->writer, NULL), 0);
	assert_int_equal(ws_writer_missing(f->writer), 6);
	reader = end_and_read(f);
	expect_run(reader, 0, 10);
	expect_end(reader, true);
	assert_int_equal(f->said.count, 1);
}

static void without_room_for_a_header_an_older_recording_stays(void **state)
{
	struct fixture *f = *state;
	struct ws_writer *other = (void *)1;
	struct ws_error err;
	char *before, *after;
	size_t size, now;

	add(f, SECOND, 0, 500);
	assert_int_equal(ws_writer_close(f->writer, NULL), 0);
	f->writer = NULL;
	before = file_bytes(f->recording.path, &size);
	limit_room(100);
	assert_int_equal(ws_writer_new(&other, f->recording.path, &recording_info, &err), -1);
	limit_room(0);
	assert_null(other);
	assert_int_equal(err.errnum, EFBIG);
	after = file_bytes(f->recording.path, &now);
	assert_int_equal(now, size);
	assert_memory_equal(after, before, size);
	free(before);
	free(after);
}

static void an_older_and_longer_recording_is_replaced_whole(void **state)
{
	struct fixture *f = *state;
	struct ws_reader *reader;

	add(f, SECOND, 0, 5000);
	assert_int_equal(ws_writer_close(f->writer, NULL), 0);
	assert_int_equal(ws_writer_new(&f->writer, f->recording.path, &recording_info, NULL), 0);
	add(f, SECOND, 9, 3);
	add_stop(f, 2 * SECOND);
	reader = end_and_read(f);
	expect_run(reader, 9, 3);
	next(reader, WS_KIND_STOP);
	expect_end(reader, false);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(a_recording_goes_on_when_there_is_room_again),
		TEST(a_lost_gap_counts_what_it_stood_for),
		TEST(a_server_that_was_not_written_is_written_later),
		TEST(where_the_last_block_finds_no_room_its_end_may),
		TEST(a_disk_that_stays_full_leaves_what_was_written),
		TEST(without_room_for_a_header_an_older_recording_stays),
		TEST(an_older_and_longer_recording_is_replaced_whole),
	};

	return cmocka_run_group_tests_name("room", tests, NULL, NULL);
}
