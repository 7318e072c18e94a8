/* SPDX-License-Identifier: BSD-2-Clause */
/* The flight recorder's directory: bounded, whole, and one recording again. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "../lib/flight_fixture.h"

static void rotation_neither_loses_nor_doubles_a_record(void **state)
{
	struct fixture *f = *state;
	struct ws_reader *reader;
	const struct ws_rec *rec;
	struct listing l;
	size_t i = 0;

	open_flight(f, 3 * MIB, 0);
	play_start(f);
	play_turns(f, 200000);
	play_stop(f);
	close_flight(f);
	list(f, &l);
	assert_true(l.count >= 3);
	reader = open_reader(f->dir);
	while (ws_reader_next(reader, &rec, NULL) > 0) {
		assert_true(i < f->made.count);
		expect_same(rec, f->made.rec[i++]);
	}
	assert_int_equal(i, f->made.count);
	expect_whole(reader);
	ws_reader_rewind(reader);
	assert_int_equal(ws_reader_next(reader, &rec, NULL), 1);
	expect_same(rec, f->made.rec[0]);
	ws_reader_free(reader);
}

static void the_bound_holds_and_what_is_left_is_known_and_whole(void **state)
{
	struct fixture *f = *state;
	struct ws_reader *reader;
	const struct ws_rec *rec;
	size_t i, records = 0, turns = 0;
	struct listing l;
	char path[160];

	open_flight(f, MIB, 0);
	play_start(f);
	for (int k = 0; k < 60; k++) {
		play_turns(f, 5000);
		list(f, &l);
		assert_true(l.bytes <= MIB);
	}
	play_stop(f);
	close_flight(f);
	list(f, &l);
	assert_true(l.bytes <= MIB && l.bytes > MIB / 2);
	assert_string_not_equal(l.name[0], "flight-0000000001.wst");
	for (i = 0; i < l.count; i++) {
		path_in(f, l.name[i], path);
		expect_known(f, path);
	}
	expect_known(f, f->dir);
	/* Behind what is repeated: the last records, each once. */
	reader = open_reader(f->dir);
	for (i = 0; ws_reader_next(reader, &rec, NULL) > 0; records++)
		i = rec->kind == WS_KIND_TURN && !turns++ ? records : i;
	assert_true(i < 40);
	ws_reader_rewind(reader);
	records -= i + 1; /* those behind the turn that tells positions */
	for (i++; i > 0; i--)
		assert_int_equal(ws_reader_next(reader, &rec, NULL), 1);
	while (ws_reader_next(reader, &rec, NULL) > 0 && rec->kind != WS_KIND_TURN)
		records--;
	for (i = f->made.count - records; i < f->made.count; i++) {
		expect_same(rec, f->made.rec[i]);
		assert_int_equal(ws_reader_next(reader, &rec, NULL), i + 1 < f->made.count);
	}
	ws_reader_free(reader);
}

/* Records of a directory without one of its segments, and what the gap says of it. */
static void a_missing_segment_is_a_gap_of_as_many_records(void **state)
{
	struct fixture *f = *state;
	const struct ws_rec *rec;
	struct ws_reader *reader;
	uint64_t lost = 0;
	struct listing l;
	char path[160];
	size_t i = 0;

	open_flight(f, 3 * MIB, 0);
	play_start(f);
	play_turns(f, 200000);
	play_stop(f);
	close_flight(f);
	list(f, &l);
	path_in(f, l.name[1], path);
	assert_int_equal(unlink(path), 0);
	reader = open_reader(f->dir);
	while (ws_reader_next(reader, &rec, NULL) > 0 && rec->kind != WS_KIND_GAP)
		expect_same(rec, f->made.rec[i++]);
	assert_int_equal(rec->kind, WS_KIND_GAP);
	lost = ((const struct ws_rec_gap *)rec)->lost;
	assert_true(lost > 1000);
	assert_int_equal(((const struct ws_rec_gap *)rec)->cause, WS_GAP_TORN);
	/* Behind what the next segment repeats come all the others. */
	i += lost;
	do {
		if (rec->size == f->made.rec[i]->size &&
		    memcmp(rec, f->made.rec[i], rec->size) == 0)
			i++;
		else
			assert_true(i < f->made.count - 1000);
	} while (ws_reader_next(reader, &rec, NULL) > 0);
	assert_int_equal(i, f->made.count);
	assert_true(ws_reader_torn(reader, path, sizeof(path)));
	snprintf(path + 100, 60, "%llu records are missing", (unsigned long long)lost);
	assert_non_null(strstr(path, path + 100));
	ws_reader_free(reader);
}

static void a_second_recorder_is_refused_by_its_pid(void **state)
{
	struct fixture *f = *state;
	struct ws_flight_options options = { .dir = f->dir, .size = MIB };
	struct ws_flight *second;
	struct ws_error err;
	char pid[32];

	open_flight(f, MIB, 0);
	snprintf(pid, sizeof(pid), "process %d,", (int)getpid());
	assert_int_equal(ws_flight_new(&second, &options, &err), -1);
	assert_null(second);
	assert_non_null(strstr(err.why, pid));
	close_flight(f);
	assert_int_equal(ws_flight_new(&second, &options, &err), 0);
	ws_flight_close(second, NULL);
}

static void what_is_older_than_the_age_goes(void **state)
{
	struct fixture *f = *state;
	struct timespec old[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };
	struct listing l;
	char path[160];

	open_flight(f, 3 * MIB, 0);
	play_start(f);
	play_turns(f, 150000);
	play_stop(f);
	close_flight(f);
	list(f, &l);
	assert_true(l.count > 1);
	path_in(f, l.name[0], path);
	assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
	open_flight(f, 3 * MIB, 3600 * SECOND);
	assert_int_equal(access(path, F_OK), -1);
	path_in(f, l.name[1], path);
	assert_int_equal(access(path, F_OK), 0);
	/* And a segment ends after an eighth of it, however small it is. */
	play_start(f);
	rest(f, 451 * SECOND);
	play_turns(f, 3);
	play_stop(f);
	close_flight(f);
	path_in(f, l.name[1], path);
	snprintf(path + strlen(path) - 14, 15, "%010zu.wst", l.count + 2);
	assert_int_equal(access(path, F_OK), 0);
}

static void what_this_run_wrote_ages_whatever_the_wall_clock_says(void **state)
{
	struct fixture *f = *state;
	struct listing l;

	open_flight(f, 3 * MIB, 80 * SECOND);
	play_start(f);
	for (int i = 0; i < 20; i++) {
		play_turns(f, 3);
		rest(f, 11 * SECOND); /* a segment each */
	}
	play_stop(f);
	close_flight(f);
	list(f, &l);
	assert_in_range(l.count, 7, 10);
}

static void limit_room(uint64_t bytes)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes ? bytes : limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void a_full_disk_is_told_once_and_counted(void **state)
{
	struct fixture *f = *state;
	uint64_t lost = 0, count = 0;
	struct ws_reader *reader;
	const struct ws_rec *rec;
	size_t before;

	open_flight(f, 3 * MIB, 0);
	play_start(f);
	play_turns(f, 10000);
	before = f->made.count;
	limit_room(4096); /* not even a header */
	play_turns(f, 300000);
	assert_int_equal(f->said.count, 1);
	assert_non_null(strstr(f->said.line[0], "recording paused"));
	limit_room(0);
	play_turns(f, 50000);
	assert_int_equal(f->said.count, 2);
	assert_non_null(strstr(f->said.line[1], "recording resumed"));
	play_stop(f);
	close_flight(f);
	reader = open_reader(f->dir);
	while (ws_reader_next(reader, &rec, NULL) > 0) {
		if (rec->kind == WS_KIND_GAP) {
			assert_int_equal(((const struct ws_rec_gap *)rec)->cause, WS_GAP_UNWRITTEN);
			lost += ((const struct ws_rec_gap *)rec)->lost;
		} else {
			count++;
		}
	}
	assert_true(lost > 200000);
	assert_int_equal(count + lost, f->made.count);
	assert_true(count > before);
	expect_whole(reader);
	ws_reader_free(reader);
}

/* The directory's last segment is these bytes now: so many records are whole. */
static void expect_records(struct fixture *f, const char *path, const void *bytes, size_t size,
			   size_t whole)
{
	FILE *out = fopen(path, "w");
	struct ws_reader *reader;
	const struct ws_rec *rec;
	size_t i = 0;

	assert_int_equal(fwrite(bytes, 1, size, out), size);
	fclose(out);
	reader = open_reader(f->dir);
	while (ws_reader_next(reader, &rec, NULL) > 0)
		if (rec->kind != WS_KIND_GAP)
			expect_same(rec, f->made.rec[i++]);
	assert_int_equal(i, whole);
	assert_true(ws_reader_torn(reader, NULL, 0));
	ws_reader_free(reader);
}

/* Cuts the last segment at every byte of its last two blocks; flips every byte of the last one. */
static void whatever_is_whole_is_read(void **state)
{
	struct fixture *f = *state;
	uint64_t end[3] = { 0 }, size;
	size_t upto[3] = { 0 }, segments;
	struct listing l;
	char path[160], *bytes;

	open_flight(f, 3 * MIB, 80 * SECOND);
	play_start(f);
	play_turns(f, 10);
	rest(f, 11 * SECOND); /* the next segment */
	for (int i = 0; i < 3; i++) {
		play_turns(f, 4);
		rest(f, 2 * SECOND);
		ws_flight_tick(f->flight, f->streaming.now_ns, NULL);
		upto[i] = f->made.count;
		end[i] = ws_flight_bytes(f->flight, &segments);
	}
	assert_int_equal(segments, 2);
	close_flight(f);
	list(f, &l);
	path_in(f, l.name[1], path);
	bytes = file_bytes(path, &size);
	for (uint64_t cut = end[2] - end[0]; cut > 0; cut--)
		expect_records(f, path, bytes, size - cut,
			       cut > end[2] - end[1] ? upto[0] : upto[1]);
	for (uint64_t flip = size - (end[2] - end[1]); flip < size; flip++) {
		bytes[flip] ^= 0x55;
		expect_records(f, path, bytes, size, upto[1]);
		bytes[flip] ^= 0x55;
	}
	free(bytes);
}

static void one_session_is_read_without_the_others(void **state)
{
	struct fixture *f = *state;
	uint64_t decoded, passed, first, last, all_first, all_last;
	struct rec_list wanted = { 0 };
	const uint32_t pid = 5007;
	struct ws_reader *reader;
	const struct ws_rec *rec;
	size_t i = 0;

	open_flight(f, 3 * MIB, 0);
	play_start(f);
	play_turns(f, 200000);
	play_stop(f);
	close_flight(f);
	for (i = 0; i < f->made.count; i++)
		if (!f->made.rec[i]->start_ns || f->made.rec[i]->pid == 5007)
			rec_list_add(&wanted, f->made.rec[i]);
	reader = open_reader(f->dir);
	while (ws_reader_next(reader, &rec, NULL) > 0)
		;
	ws_reader_span(reader, &all_first, &all_last);
	ws_reader_rewind(reader);
	ws_reader_narrow(reader,
			 &(struct ws_reader_want){ .narrow = true, .pids = &pid, .pid_count = 1 });
	for (i = 0; ws_reader_next(reader, &rec, NULL) > 0;) {
		assert_true(i < wanted.count);
		expect_same(rec, wanted.rec[i++]);
	}
	assert_int_equal(i, wanted.count);
	ws_reader_blocks(reader, &decoded, &passed);
	assert_true(passed > 10 * decoded);
	ws_reader_span(reader, &first, &last);
	assert_int_equal(first, all_first);
	assert_int_equal(last, all_last);
	ws_reader_free(reader);
	rec_list_deinit(&wanted);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FLIGHT(rotation_neither_loses_nor_doubles_a_record),
		FLIGHT(the_bound_holds_and_what_is_left_is_known_and_whole),
		FLIGHT(a_missing_segment_is_a_gap_of_as_many_records),
		FLIGHT(a_second_recorder_is_refused_by_its_pid),
		FLIGHT(what_is_older_than_the_age_goes),
		FLIGHT(what_this_run_wrote_ages_whatever_the_wall_clock_says),
		FLIGHT(a_full_disk_is_told_once_and_counted),
		FLIGHT(whatever_is_whole_is_read),
		FLIGHT(one_session_is_read_without_the_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
