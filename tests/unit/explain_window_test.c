/* SPDX-License-Identifier: BSD-2-Clause */
/* Which part of a recording explain judges: all of it, its last minutes, --from and --to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../lib/records.h"
#include "../lib/sample.h"
#include "trace/trace.h"

#define SECOND 1000000000ULL
#define MB     1048576ULL
#define BEGIN  (100 * SECOND)
#define WALL   1772366400000000000LL /* 2026-03-01T12:00:00Z */

struct play {
	struct ws_writer *writer;
	struct ws_tape tape;
	uint64_t sent, acked, busy_us, rwnd_us;
	char path[64];
};

static int put(void *arg, const struct ws_rec *rec)
{
	struct ws_error err;

	return ws_writer_add(((struct play *)arg)->writer, rec, &err);
}

static void open_play(struct play *p)
{
	const struct ws_trace_info info = { .level = 2,
					    .ticks_per_s = 100,
					    .start_mono_ns = BEGIN,
					    .start_wall_ns = WALL,
					    .version = "test",
					    .boot_id = "00000000-0000-0000-0000-000000000000",
					    .host = "test" };
	struct ws_error err;
	int fd;

	memset(p, 0, sizeof(*p));
	strcpy(p->path, "/tmp/walscope-window.XXXXXX");
	fd = mkstemp(p->path);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(ws_writer_new(&p->writer, p->path, &info, &err), 0);
	p->tape = ws_tape_new((struct ws_sink){ .fn = put, .arg = p }, 4711, BEGIN);
	p->sent = 16 * MB;
	ws_tape_clock(&p->tape, WALL, BEGIN);
	ws_tape_session(&p->tape, 0);
	ws_tape_ready(&p->tape);
	ws_tape_command(&p->tape, "START_REPLICATION 0/1000000 TIMELINE 1");
	ws_tape_stream(&p->tape, 0, p->sent, NULL);
	p->tape.mark_ns = p->tape.now_ns;
}

static void close_play(struct play *p)
{
	struct ws_rec_stop stop = { .produced = p->tape.seq };
	struct ws_error err;

	ws_tape_clock(&p->tape, WALL + (int64_t)(p->tape.now_ns - BEGIN), p->tape.now_ns);
	stop.h = (struct ws_rec){ .size = sizeof(stop),
				  .kind = WS_KIND_STOP,
				  .time_ns = p->tape.now_ns };
	assert_int_equal(put(p, &stop.h), 0);
	assert_int_equal(ws_writer_close(p->writer, &err), 0);
}

/* So many seconds with 1 MB each. `slow`: the client's window is what limits. */
static void play(struct play *p, unsigned int seconds, bool slow)
{
	for (unsigned int i = 0; i < seconds; i++) {
		uint64_t busy = 100 * 1000000ULL;
		struct ws_tape_turn turn = {
			.stage_ns = { [WS_STAGE_WAIT] = SECOND - busy, [WS_STAGE_SEND] = busy },
			.wait = slow ? WS_WAIT_SOCKET : WS_WAIT_WAL,
			.lsn_from = p->sent,
			.lsn_to = p->sent + MB,
		};
		struct ws_rec_socket socket = { .mss_bytes = 1448, .window_bytes = 65536 };

		p->sent += MB;
		ws_tape_turn(&p->tape, &turn);
		p->acked += MB;
		p->busy_us += slow ? 1000000 : 500000;
		p->rwnd_us += slow ? 950000 : 0;
		socket.acked_bytes = socket.wire_bytes = socket.sent_bytes = p->acked;
		socket.busy_us = p->busy_us;
		socket.rwnd_limited_us = p->rwnd_us;
		socket.timer = slow ? WS_TCP_TIMER_PERSIST : WS_TCP_TIMER_NONE;
		socket.h = (struct ws_rec){ .size = sizeof(socket),
					    .kind = WS_KIND_SOCKET,
					    .pid = p->tape.pid,
					    .start_ns = p->tape.start_ns,
					    .time_ns = p->tape.now_ns,
					    .server = 1 };
		assert_int_equal(put(p, &socket.h), 0);
		if (i % 60 == 0)
			ws_tape_clock(&p->tape, WALL + (int64_t)(p->tape.now_ns - BEGIN),
				      p->tape.now_ns);
	}
}

static char *explained(const struct play *p, const char *option, const char *more)
{
	const char *const args[] = { "explain", p->path, "--json", option, more, NULL };
	struct ws_cli_run run = { 0 };
	char *out;

	ws_cli_run(&run, args);
	assert_int_equal(run.status, 0);
	out = strdup(run.out);
	assert_non_null(out);
	ws_cli_run_deinit(&run);
	return out;
}

static void assert_explained(const struct play *p, const char *option, const char *more,
			     const char *verdict)
{
	char *out = explained(p, option, more), wanted[64];

	snprintf(wanted, sizeof(wanted), "\"verdict\":\"%s\"", verdict);
	if (!strstr(out, wanted))
		print_error("%s", out);
	assert_non_null(strstr(out, wanted));
	free(out);
}

static void a_problem_of_the_last_two_minutes_of_an_hour_is_the_verdict(void **state)
{
	struct play p;
	char *out;

	(void)state;
	open_play(&p);
	play(&p, 3480, false);
	play(&p, 120, true);
	close_play(&p);
	assert_explained(&p, NULL, NULL, "receiver_slow");
	out = explained(&p, NULL, NULL);
	assert_non_null(strstr(out, "the whole time looked at is healthy_streaming"));
	assert_non_null(strstr(out, "\"wall_ns\":120000000000"));
	free(out);
	unlink(p.path);
}

static void one_that_is_over_is_not(void **state)
{
	struct play p;

	(void)state;
	open_play(&p);
	play(&p, 120, true);
	play(&p, 3480, false);
	close_play(&p);
	assert_explained(&p, NULL, NULL, "healthy_streaming");
	assert_explained(&p, "--to=2026-03-01T12:01:50Z", NULL, "receiver_slow");
	unlink(p.path);
}

static void from_and_to_cut_out_what_is_judged(void **state)
{
	struct play p;

	(void)state;
	open_play(&p);
	play(&p, 600, false);
	play(&p, 300, true);
	play(&p, 600, false);
	close_play(&p);
	assert_explained(&p, "--from=2026-03-01T12:10:10Z", "--to=2026-03-01T12:14:50Z",
			 "receiver_slow");
	assert_explained(&p, "--from=-5m", NULL, "healthy_streaming");
	assert_explained(&p, "--to=2026-03-01T12:09:50Z", NULL, "healthy_streaming");
	/* Asked for, the window is judged as a whole. */
	assert_explained(&p, "--from=2026-03-01T12:00:00Z", "--to=2026-03-01T12:12:00Z",
			 "healthy_streaming");
	unlink(p.path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_problem_of_the_last_two_minutes_of_an_hour_is_the_verdict),
		cmocka_unit_test(one_that_is_over_is_not),
		cmocka_unit_test(from_and_to_cut_out_what_is_judged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
