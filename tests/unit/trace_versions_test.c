/* SPDX-License-Identifier: BSD-2-Clause */
/* Recordings that an older walscope has made stay readable: one of each version of the format is
 * kept in tests/fixtures, of the small recording that tests/lib/sample.h describes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "../lib/recording.h"
#include "../lib/sample.h"
#include "trace/flight.h"

static const struct {
	const char *path;
	int flags; /* of the sample */
	uint32_t format;
} fixtures[] = {
	/* Of before blocks had an index. */
	{ "tests/fixtures/recording-v1.wst", WS_SAMPLE_LOSS | WS_SAMPLE_REFUSED, 1 },
	/* A flight recorder's directory. */
	{ "tests/fixtures/flight-v1", WS_SAMPLE_LOSS | WS_SAMPLE_REFUSED, 1 },
	/* With arrays of numbers of which many are zero. */
	{ "tests/fixtures/recording-v2.wst", WS_SAMPLE_LOSS | WS_SAMPLE_REFUSED, 2 },
	{ "tests/fixtures/flight-v2", WS_SAMPLE_LOSS | WS_SAMPLE_REFUSED, 2 },
};

static int keep(void *arg, const struct ws_rec *rec)
{
	rec_list_add(arg, rec);
	return 0;
}

static int record(void *arg, const struct ws_rec *rec)
{
	return ws_flight_add(arg, rec, NULL);
}

/* How the directory was made, and that of another version is: with a segment each three seconds. */
static void make_directory(const char *dir)
{
	const struct ws_flight_options options = { .dir = dir,
						   .size = WS_FLIGHT_SIZE_MIN,
						   .age_ns = 24000000000 };
	struct ws_trace_info info = { .level = 2,
				      .ticks_per_s = 100,
				      .start_mono_ns = WS_SAMPLE_MONO_NS,
				      .start_wall_ns = WS_SAMPLE_WALL_NS,
				      .version = "test",
				      .boot_id = "00000000-0000-0000-0000-000000000000",
				      .host = "test" };
	struct ws_flight *flight;

	assert_int_equal(ws_flight_new(&flight, &options, NULL), 0);
	assert_int_equal(ws_flight_begin(flight, &info, NULL), 0);
	assert_int_equal(ws_sample_send((struct ws_sink){ .fn = record, .arg = flight },
					WS_SAMPLE_LOSS | WS_SAMPLE_REFUSED),
			 0);
	assert_int_equal(ws_flight_close(flight, NULL), 0);
}

static void each_version_comes_back_record_by_record(void **state)
{
	(void)state;
	if (getenv("WALSCOPE_MAKE_FIXTURE"))
		make_directory(getenv("WALSCOPE_MAKE_FIXTURE"));
	for (size_t i = 0; i < sizeof(fixtures) / sizeof(fixtures[0]); i++) {
		struct rec_list made = { 0 };
		struct ws_reader *reader;
		const struct ws_rec *rec;
		size_t at = 0;

		ws_sample_send((struct ws_sink){ .fn = keep, .arg = &made }, fixtures[i].flags);
		assert_int_equal(ws_reader_open(&reader, fixtures[i].path, NULL), 0);
		assert_int_equal(ws_reader_info(reader)->format, fixtures[i].format);
		assert_int_equal(ws_reader_info(reader)->start_wall_ns, WS_SAMPLE_WALL_NS);
		assert_string_equal(ws_reader_info(reader)->host, "test");
		while (ws_reader_next(reader, &rec, NULL) > 0) {
			assert_true(at < made.count);
			assert_int_equal(rec->size, made.rec[at]->size);
			assert_memory_equal(rec, made.rec[at], rec->size);
			at++;
		}
		assert_int_equal(at, made.count);
		assert_false(ws_reader_torn(reader, NULL, 0));
		ws_reader_free(reader);
		rec_list_deinit(&made);
	}
}

/* Nothing says whose records a block has: all are read, and those of others left out. */
static void one_session_of_an_older_recording_is_read(void **state)
{
	const uint32_t pid = 4002;
	struct ws_reader *reader;
	const struct ws_rec *rec;
	size_t count = 0;

	(void)state;
	assert_int_equal(ws_reader_open(&reader, fixtures[0].path, NULL), 0);
	ws_reader_narrow(reader,
			 &(struct ws_reader_want){ .narrow = true, .pids = &pid, .pid_count = 1 });
	while (ws_reader_next(reader, &rec, NULL) > 0) {
		assert_true(!rec->start_ns || rec->pid == 4002 || rec->kind == WS_KIND_GAP);
		count += rec->pid == 4002;
	}
	assert_true(count > 10);
	ws_reader_free(reader);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_version_comes_back_record_by_record),
		cmocka_unit_test(one_session_of_an_older_recording_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
