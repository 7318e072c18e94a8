/* SPDX-License-Identifier: BSD-2-Clause */
/* A piece of a flight recorder's directory, frozen while it is recorded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../lib/flight_fixture.h"
#include "trace/freeze.h"

static void a_piece_is_frozen_while_it_is_recorded(void **state)
{
	struct fixture *f = *state;
	struct ws_freeze freeze = { .to_ns = UINT64_MAX };
	size_t i = 0, got = 0, wanted = 0;
	struct ws_reader *reader;
	const struct ws_rec *rec;
	char path[160], command[512];

	open_flight(f, 3 * MIB, 0);
	play_start(f);
	play_turns(f, 100000);
	path_in(f, "piece.wst", path);
	freeze.path = path;
	freeze.from_ns = f->now_ns - 5 * SECOND;
	freeze.to_ns = f->now_ns - 2 * SECOND;
	reader = open_reader(f->dir);
	assert_true(ws_reader_goes_on(reader));
	ws_reader_skip_to(reader, freeze.from_ns);
	assert_int_equal(ws_freeze_run(&freeze, reader, NULL), 0);
	ws_reader_free(reader);
	expect_known(f, path);
	while (i < f->made.count && f->made.rec[i]->time_ns < freeze.from_ns)
		i++;
	for (size_t k = i; k < f->made.count; k++)
		wanted += f->made.rec[k]->time_ns < freeze.to_ns;
	assert_int_equal(freeze.records, wanted);
	reader = open_reader(path);
	while (ws_reader_next(reader, &rec, NULL) > 0) {
		if (!got && (rec->size != f->made.rec[i]->size ||
			     memcmp(rec, f->made.rec[i], rec->size) != 0))
			continue; /* what is known where it begins */
		expect_same(rec, f->made.rec[i + got++]);
	}
	assert_int_equal(got, wanted);
	ws_reader_free(reader);
	/* Nothing else is left, and the directory's other recordings do not count. */
	snprintf(command, sizeof(command), "test $(ls %s | grep -vc ^flight) = 1", f->dir);
	assert_int_equal(system(command), 0);
}

/* Each segment but the first begins long before that, by the wall clock. */
static void a_clock_that_is_set_back_costs_a_piece_nothing(void **state)
{
	struct fixture *f = *state;

	f->info.start_wall_ns = 4000000000000000000;
	a_piece_is_frozen_while_it_is_recorded(state);
}

static void a_piece_does_not_take_the_place_of_a_segment(void **state)
{
	struct fixture *f = *state;
	struct ws_freeze freeze = { .to_ns = UINT64_MAX };
	char path[160], *before, *after;
	uint64_t size, size_after;
	struct ws_reader *reader;
	struct ws_error err;
	struct listing l;

	open_flight(f, 3 * MIB, 0);
	play_start(f);
	play_turns(f, 10);
	list(f, &l);
	path_in(f, l.name[0], path);
	before = file_bytes(path, &size);
	freeze.path = path;
	reader = open_reader(f->dir);
	assert_int_equal(ws_freeze_run(&freeze, reader, &err), -1);
	assert_string_equal(err.where, path);
	assert_non_null(strstr(err.why, "segments"));
	ws_reader_free(reader);
	after = file_bytes(path, &size_after);
	assert_int_equal(size_after, size);
	assert_memory_equal(after, before, size);
	free(before);
	free(after);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FLIGHT(a_piece_is_frozen_while_it_is_recorded),
		FLIGHT(a_clock_that_is_set_back_costs_a_piece_nothing),
		FLIGHT(a_piece_does_not_take_the_place_of_a_segment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
