/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tracer_fixture.h: a tracer on the stand-in server (fake_server.h), and the records it made.
 */
#ifndef WS_TESTS_TRACER_FIXTURE_H
#define WS_TESTS_TRACER_FIXTURE_H

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../tools/fake_server.h"
#include "event/ring.h"
#include "probe/attach.h"

#define RECORDS_MAX 4096

struct fixture {
	struct ws_tracer *tracer;
	struct ws_ring *ring;
	uint16_t server;
	int exe;
	char *records[RECORDS_MAX];
	size_t count;
};

static int keep(void *arg, const void *data, size_t size)
{
	struct fixture *f = arg;

	assert_true(f->count < RECORDS_MAX);
	f->records[f->count] = malloc(size);
	memcpy(f->records[f->count++], data, size);
	return 0;
}

static struct fixture *setup_plan(const struct ws_plan *plan, enum ws_attach_method method,
				  size_t ring_bytes)
{
	/* No records of waiting for a CPU, which would come in between. */
	struct ws_tracer_options options = { .level = 2,
					     .method = method,
					     .ring_bytes = ring_bytes };
	struct fixture *f = calloc(1, sizeof(*f));
	struct ws_error err = { 0 };
	char line[1024];

	f->exe = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (ws_tracer_new(&f->tracer, &options, &err) < 0 ||
	    ws_tracer_add_server(f->tracer, plan, f->exe, &f->server, &err) < 0 ||
	    ws_ring_new(&f->ring, ws_tracer_ring_fd(f->tracer), keep, f, &err) < 0 ||
	    ws_tracer_attach_server(f->tracer, f->server, &err) < 0) {
		ws_error_format(&err, line, sizeof(line));
		fail_msg("%s", line);
	}
	return f;
}

static struct fixture *setup_at_level(int level, enum ws_attach_method method, size_t ring_bytes)
{
	struct ws_plan plan;

	fake_plan(&plan, level);
	return setup_plan(&plan, method, ring_bytes);
}

static inline struct fixture *setup(enum ws_attach_method method, size_t ring_bytes)
{
	return setup_at_level(3, method, ring_bytes);
}

static void teardown(struct fixture *f)
{
	size_t i;

	ws_ring_free(f->ring);
	ws_tracer_free(f->tracer);
	close(f->exe);
	for (i = 0; i < f->count; i++)
		free(f->records[i]);
	free(f);
}

static int port_sock = -1; /* of the server processes to come */

/* In memory of its own: constants of the file that the process has not touched cannot be read by
 * the programs, and a server's Port is on its heap. */
static struct fake_port *make_port(void)
{
	struct fake_port *port = malloc(sizeof(*port));

	port->host = strdup("192.0.2.7");
	port->port = strdup("54321");
	port->database = strdup("sales");
	port->user = strdup("repl");
	port->application = strdup("standby_1");
	port->sock = port_sock;
	port->ssl_in_use = true;
	return port;
}

/* Turns are folded for no longer than this (FOLD_NS in bpf/on_loop.h). */
#define FOLD_NS 10000000ULL

/* Was a turn so long, waiting aside, that it did not wait for its end? No test means it to be: the
 * host has held the process up. */
static inline bool was_held_up(const struct fixture *f, size_t from)
{
	for (size_t i = from; i < f->count; i++) {
		const struct ws_rec_turn *t = (const void *)f->records[i];

		if (t->h.kind == WS_KIND_TURN &&
		    t->h.time_ns - t->begin_ns - t->stage_ns[WS_STAGE_WAIT] > FOLD_NS)
			return true;
	}
	return false;
}

/* Runs `body` as a server process: a walsender that has just entered PostgresMain. Meanwhile
 * `beside` may do something to it. */
static inline pid_t run_once(void (*body)(void), void (*beside)(pid_t pid))
{
	pid_t pid = fork();

	if (pid == 0) {
		fake.am_walsender = true;
		fake.am_db_walsender = true;
		fake.my_proc_pid = getpid();
		fake.my_proc_port = make_port();
		fake_SESSION_START(0, 0, 0, 0, 0);
		body();
		_exit(0);
	}
	if (beside)
		beside(pid);
	waitpid(pid, NULL, 0);
	return pid;
}

/* The same, and takes its records; those of one that was held up do not count. */
static inline pid_t run(struct fixture *f, void (*body)(void), bool consume)
{
	size_t from = f->count;

	for (int i = 0; i < 100; i++) {
		pid_t pid = run_once(body, NULL);

		if (!consume)
			return pid;
		ws_ring_consume(f->ring);
		if (!was_held_up(f, from))
			return pid;
		while (f->count > from)
			free(f->records[--f->count]);
	}
	fail_msg("held up each time");
	return -1;
}

static inline const void *record(const struct fixture *f, size_t i, uint16_t kind)
{
	const struct ws_rec *h;

	assert_true(i < f->count);
	h = (const void *)f->records[i];
	assert_int_equal(h->kind, kind);
	return h;
}

/* Numbers without a hole, from 0. */
static inline void check_numbers(const struct fixture *f)
{
	size_t i;

	for (i = 0; i < f->count; i++)
		assert_int_equal(((const struct ws_rec *)f->records[i])->seq, i);
}

static inline const struct ws_rec_turn *turn(const struct fixture *f, size_t i)
{
	const struct ws_rec_turn *t = record(f, i, WS_KIND_TURN);
	uint64_t sum = 0;
	int s;

	for (s = 0; s < WS_STAGE_COUNT; s++)
		sum += t->stage_ns[s];
	assert_int_equal(sum, t->h.time_ns - t->begin_ns);
	return t;
}

/* Reads the chunks of one text from record i on; returns the index behind it. What was measured of
 * a text that goes on comes in front of the last of them. */
static inline size_t read_text(const struct fixture *f, size_t i, size_t *len, uint16_t *flags)
{
	const struct ws_rec_text_sum *sum = NULL;
	const struct ws_rec_text *t;
	size_t at;

	*len = 0;
	do {
		if (i < f->count &&
		    ((const struct ws_rec *)f->records[i])->kind == WS_KIND_TEXT_SUM)
			sum = record(f, i++, WS_KIND_TEXT_SUM);
		t = record(f, i++, WS_KIND_TEXT);
		assert_true(!sum || t->h.flags & WS_TEXT_LAST);
		assert_int_equal(t->offset, *len);
		assert_int_equal(t->h.size, sizeof(*t) + t->len);
		for (at = 0; at < t->len; at++)
			assert_int_equal(t->data[at], 'x');
		*len += t->len;
	} while (!(t->h.flags & WS_TEXT_LAST));
	*flags = t->h.flags;
	return i;
}

#endif
