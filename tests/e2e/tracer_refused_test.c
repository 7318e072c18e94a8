/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Connections that are refused before PostgresMain, on a stand-in server (fake_server.h): which of
 * the reported errors begin a session, and what is said of it. Needs root; not part of `make unit`.
 */
#include "tracer_fixture.h"

#define FATAL		  22
#define CANNOT_CONNECT	  0x30201c5 /* 57P03 */
#define INVALID_PARAMETER 0x3080082 /* 22023 */

/* Reports an error in a new server process that is no walsender yet. */
struct report {
	bool walsender, in_walsnd;
	int32_t elevel, sqlstate;
	const char *function;
	bool unnamed; /* application_name was not read yet */
};

static void report_in_child(const struct report *r)
{
	struct fake_port *port = make_port();

	if (r->unnamed)
		port->application = NULL;
	fake.am_walsender = r->walsender;
	fake.am_db_walsender = r->walsender;
	fake.my_walsnd = r->in_walsnd ? (void *)port : NULL;
	fake.my_proc_pid = getpid();
	fake.my_proc_port = port;
	fake.errordata[0] = (struct fake_error){ .elevel = r->elevel,
						 .lineno = 42,
						 .filename = "postmaster.c",
						 .funcname = r->function,
						 .message = "xxxxx",
						 .sqlerrcode = r->sqlstate };
	fake.errordata_stack_depth = 0;
	fake_FATAL(0, 0, 0, 0, 0);
	_exit(1);
}

static pid_t report(struct fixture *f, const struct report *r)
{
	pid_t pid = fork();

	if (pid == 0)
		report_in_child(r);
	waitpid(pid, NULL, 0);
	ws_ring_consume(f->ring);
	return pid;
}

static const struct report starting_up = { .walsender = true,
					   .elevel = FATAL,
					   .sqlstate = CANNOT_CONNECT,
					   .function = fake_startup_packet_name };
static const struct report no_boolean = { .elevel = FATAL,
					  .sqlstate = INVALID_PARAMETER,
					  .function = fake_startup_packet_name,
					  .unnamed = true };

static void a_refused_walsender_is_a_session_with_its_error(void **state)
{
	struct fixture *f = setup(WS_ATTACH_AUTO, 0);
	const struct ws_rec_session *s;
	const struct ws_rec_error *e;
	pid_t pid;

	(void)state;
	pid = report(f, &starting_up);
	check_numbers(f);
	assert_int_equal(f->count, 4);
	s = record(f, 0, WS_KIND_SESSION);
	assert_int_equal(s->h.pid, pid);
	assert_int_equal(s->h.flags, WS_SESSION_REFUSED | WS_SESSION_DATABASE | WS_SESSION_TLS);
	assert_int_equal(s->postmaster_pid, getpid());
	assert_int_equal(s->ns_pid, pid);
	assert_string_equal(s->user, "repl");
	assert_string_equal(s->application, "standby_1");
	assert_true(s->valid & WS_VALID_APPLICATION);
	e = record(f, 1, WS_KIND_ERROR);
	assert_int_equal(e->elevel, WS_ELEVEL_FATAL);
	assert_int_equal(e->sqlstate, CANNOT_CONNECT);
	assert_int_equal(e->line, 42);
	record(f, 2, WS_KIND_TEXT);
	assert_int_equal(((const struct ws_rec_exit *)record(f, 3, WS_KIND_EXIT))->code, 1);
	teardown(f);
}

static void an_option_that_is_no_boolean_leaves_names_unknown(void **state)
{
	struct fixture *f = setup(WS_ATTACH_AUTO, 0);
	const struct ws_rec_session *s;

	(void)state;
	report(f, &no_boolean);
	assert_int_equal(f->count, 4);
	s = record(f, 0, WS_KIND_SESSION);
	assert_int_equal(s->h.flags, WS_SESSION_REFUSED | WS_SESSION_UNPARSED | WS_SESSION_TLS);
	assert_true(s->valid & WS_VALID_USER);
	assert_string_equal(s->user, "repl");
	assert_false(s->valid & WS_VALID_APPLICATION);
	teardown(f);
}

static void other_reports_begin_no_session(void **state)
{
	const struct report others[] = {
		/* ordinary backends: a LOG, an ERROR, a FATAL of the start-up packet, another
		 * function's 22023 */
		{ .elevel = 15,
		  .sqlstate = INVALID_PARAMETER,
		  .function = fake_startup_packet_name },
		{ .elevel = 21,
		  .sqlstate = INVALID_PARAMETER,
		  .function = fake_startup_packet_name },
		{ .elevel = FATAL,
		  .sqlstate = CANNOT_CONNECT,
		  .function = fake_startup_packet_name },
		{ .elevel = FATAL, .sqlstate = INVALID_PARAMETER, .function = "set_config_option" },
		/* walsenders: a LOG; one there was no room for when it began */
		{ .walsender = true, .elevel = 15, .sqlstate = CANNOT_CONNECT, .function = "x" },
		{ .walsender = true,
		  .in_walsnd = true,
		  .elevel = FATAL,
		  .sqlstate = CANNOT_CONNECT,
		  .function = "x" },
	};
	struct fixture *f = setup(WS_ATTACH_AUTO, 0);

	(void)state;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		report(f, &others[i]);
	assert_int_equal(f->count, 0);
	teardown(f);
}

/* The two objects' probes are on one inode, so each hit fires both. */
static void two_objects_tell_of_a_refused_session_once(void **state)
{
	struct fixture *f = setup(WS_ATTACH_AUTO, 0);
	struct ws_error err;
	struct ws_plan plan;
	uint16_t second;

	(void)state;
	fake_plan(&plan, 3);
	assert_int_equal(ws_tracer_add_server(f->tracer, &plan, f->exe, &second, &err), 0);
	assert_int_equal(ws_tracer_attach_server(f->tracer, second, &err), 0);
	report(f, &starting_up);
	check_numbers(f);
	assert_int_equal(f->count, 4);
	teardown(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_refused_walsender_is_a_session_with_its_error),
		cmocka_unit_test(an_option_that_is_no_boolean_leaves_names_unknown),
		cmocka_unit_test(other_reports_begin_no_session),
		cmocka_unit_test(two_objects_tell_of_a_refused_session_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
