/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command line as scripts see it: recordings whole and torn, filters, odd outputs, exit
 * statuses and one line on stderr.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <jansson.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../lib/sample.h"
#include "base/util.h"
#include "cli/cli.h"

/* -- recordings that are none, are torn, or have loss */

static void test_what_is_no_recording_is_refused(void **state)
{
	static const char *const verbs[] = { "sessions", "history", "timeline",
					     "hist",	 "explain", "trace" };
	char empty[] = "/tmp/walscope-empty.XXXXXX";
	int fd = mkstemp(empty);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	for (size_t i = 0; i < WS_ARRAY_SIZE(verbs); i++) {
		ws_cli_refused((struct ws_cli_run){ 0 }, ARGS(verbs[i], "/nonexistent/x.wst"), 1,
			       "/nonexistent/x.wst: No such file");
		ws_cli_refused((struct ws_cli_run){ 0 }, ARGS(verbs[i], "/proc"), 1, "/proc: ");
		ws_cli_refused((struct ws_cli_run){ 0 }, ARGS(verbs[i], "/proc/self/status"), 1,
			       "not a walscope recording");
		ws_cli_refused((struct ws_cli_run){ 0 }, ARGS(verbs[i], empty), 1, empty);
	}
	unlink(empty);
}

static unsigned int lines_of(const char *text)
{
	unsigned int lines = 0;

	for (; *text; text++)
		lines += *text == '\n';
	return lines;
}

static void test_a_sound_recording_is_status_0_and_says_nothing(void **state)
{
	struct ws_cli_run run = { 0 };

	ws_cli_run(&run, ARGS("sessions", "--json", *state));
	assert_int_equal(run.status, 0);
	assert_string_equal(run.err, "");
	assert_int_equal(lines_of(run.out), 3);
	ws_cli_run_deinit(&run);
}

static void test_a_torn_recording_shows_the_rest_with_status_3(void **state)
{
	static const char *const verbs[] = { "sessions", "history", "timeline",
					     "hist",	 "explain", "trace" };
	char path[64];
	struct stat st;

	(void)state;
	ws_sample_write(path, 0);
	assert_int_equal(stat(path, &st), 0);
	/* First only its last record is missing, then much. */
	for (off_t cut = 8; cut < st.st_size / 2; cut += st.st_size / 4) {
		assert_int_equal(truncate(path, st.st_size - cut), 0);
		for (size_t i = 0; i < WS_ARRAY_SIZE(verbs); i++) {
			struct ws_cli_run run = { 0 };

			ws_cli_run(&run, ARGS(verbs[i], path));
			assert_int_equal(run.status, 3);
			assert_int_equal(run.err_lines, 1);
			assert_non_null(strstr(run.err, path));
			assert_non_null(strstr(run.out, "4001"));
			ws_cli_run_deinit(&run);
		}
	}
	unlink(path);
}

static void test_a_recording_that_ends_between_blocks_is_torn_too(void **state)
{
	struct ws_cli_run run = { 0 };
	char path[64];

	(void)state;
	ws_sample_write(path, WS_SAMPLE_UNFINISHED);
	ws_cli_run(&run, ARGS("sessions", "--json", path));
	assert_int_equal(run.status, 3);
	assert_int_equal(run.err_lines, 1);
	assert_null(strstr(run.err, "events are missing"));
	assert_int_equal(lines_of(run.out), 3);
	ws_cli_run_deinit(&run);
	unlink(path);
}

static void test_a_damaged_recording_shows_the_rest_with_status_3(void **state)
{
	struct ws_cli_run run = { 0 };
	char path[64], noise[32];
	struct stat st;
	int fd;

	(void)state;
	ws_sample_write(path, 0);
	assert_int_equal(stat(path, &st), 0);
	memset(noise, 0x5a, sizeof(noise));
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, noise, sizeof(noise), st.st_size * 3 / 4), sizeof(noise));
	close(fd);
	ws_cli_run(&run, ARGS("sessions", path));
	assert_int_equal(run.status, 3);
	assert_int_equal(run.err_lines, 1);
	assert_non_null(strstr(run.out, "4001"));
	ws_cli_run_deinit(&run);
	unlink(path);
}

static void test_a_recording_with_loss_says_so_with_status_3(void **state)
{
	static const char *const verbs[] = { "sessions", "history", "timeline",
					     "hist",	 "explain", "trace" };
	char path[64];

	(void)state;
	ws_sample_write(path, WS_SAMPLE_LOSS);
	for (size_t i = 0; i < WS_ARRAY_SIZE(verbs); i++) {
		struct ws_cli_run run = { 0 };

		ws_cli_run(&run, ARGS(verbs[i], path));
		assert_int_equal(run.status, 3);
		assert_int_equal(run.err_lines, 1);
		assert_non_null(strstr(run.err, "7 events are missing"));
		assert_true(lines_of(run.out) > 3);
		ws_cli_run_deinit(&run);
	}
	unlink(path);
}

/* -- filters */

static void test_filters_choose_sessions(void **state)
{
	static const struct {
		const char *option;
		unsigned int rows;
		const char *has; /* in each row */
	} cases[] = {
		{ "--kind=physical", 1, "\"pid\":4001," },
		{ "--kind=logical", 1, "\"pid\":4002," },
		{ "--kind=backup", 1, "\"pid\":4003," },
		{ "--kind=sql", 0, "" },
		{ "--pid=4002", 1, "\"pid\":4002," },
		{ "--pid=2", 0, "" },
		{ "--app=standby1", 1, "\"pid\":4001," },
		{ "--app=standby", 0, "" },
		{ "--slot=sub", 1, "\"pid\":4002," },
		{ "--slot=nosuch", 0, "" },
		{ "--session=4003.100600", 1, "\"pid\":4003," },
		{ "--session=4003.100601", 0, "" },
		{ "--postmaster=1000", 3, "" },
		{ "--postmaster=1001", 0, "" },
		{ "--postgres=/usr/lib/postgresql/15/bin/postgres", 3, "" },
		{ "--postgres=/usr/bin/postgres", 0, "" },
		{ "--from=-3s", 2, "" }, /* 4001 and 4003 */
		{ "--to=2026-03-01T12:00:00.9Z", 1, "\"pid\":4001," },
		{ "--from=2026-03-01T12:00:09+00:00", 1, "\"pid\":4001," },
	};

	for (size_t i = 0; i < WS_ARRAY_SIZE(cases); i++) {
		struct ws_cli_run run = { 0 };

		ws_cli_run(&run, ARGS("sessions", "--json", cases[i].option, *state));
		if (lines_of(run.out) != cases[i].rows || run.status)
			print_error("%s: %s%s", cases[i].option, run.out, run.err);
		assert_int_equal(run.status, 0);
		assert_int_equal(lines_of(run.out), cases[i].rows);
		assert_true(!cases[i].rows || strstr(run.out, cases[i].has));
		ws_cli_run_deinit(&run);
	}
	ws_cli_refused((struct ws_cli_run){ 0 },
		       ARGS("sessions", "--from=2026-03-02T00:00:00Z", *state), 1,
		       "no time between");
}

/* Of a line of JSON. */
static bool is_of(json_t *line, json_t *sessions)
{
	const char *session = json_string_value(json_object_get(line, "session"));

	return session && json_object_get(sessions, session);
}

/* The lines that are of these sessions; of none (groups and clusters) are none. */
static json_t *json_lines(const char *text, json_t *sessions)
{
	json_t *found = json_array(), *line;
	size_t len;

	for (; *text; text += len + 1) {
		len = strcspn(text, "\n");
		line = json_loadb(text, len, 0, NULL);
		assert_non_null(line);
		if (!sessions || is_of(line, sessions))
			json_array_append(found, line);
		json_decref(line);
	}
	return found;
}

static json_t *names_of(json_t *lines)
{
	json_t *names = json_object(), *line;
	size_t i;

	json_array_foreach(lines, i, line) json_object_set_new(
		names, json_string_value(json_object_get(line, "session")), json_true());
	return names;
}

/* Only these sessions are read: that must not show. */
static void test_what_a_filter_leaves_is_as_without_it(void **state)
{
	static const char *const filters[] = {
		"--app=standby1",  "--app=nobody",   "--slot=sub",
		"--kind=physical", "--kind=logical", "--kind=backup",
		"--kind=sql",	   "--pid=4001",     "--session=4003.100600",
	};
	static const char *const commands[] = { "sessions", "history", "timeline",
						"hist",	    "trace",   "explain" };
	static const int flags[] = { 0, WS_SAMPLE_LOSS, WS_SAMPLE_RUNNING | WS_SAMPLE_REFUSED };
	size_t matches = 0;

	(void)state;
	for (size_t i = 0; i < WS_ARRAY_SIZE(flags) * WS_ARRAY_SIZE(filters); i++) {
		const char *filter = filters[i % WS_ARRAY_SIZE(filters)];
		struct ws_cli_run chosen = { 0 };
		json_t *lines, *names;
		char path[64];

		ws_sample_write(path, flags[i / WS_ARRAY_SIZE(filters)]);
		ws_cli_run(&chosen, ARGS("sessions", "--json", filter, path));
		lines = json_lines(chosen.out, NULL);
		names = names_of(lines);
		matches += json_array_size(lines);
		for (size_t c = 0; c < WS_ARRAY_SIZE(commands); c++) {
			struct ws_cli_run all = { 0 }, some = { 0 };
			json_t *wanted, *got;

			ws_cli_run(&all, ARGS(commands[c], "--json", path));
			ws_cli_run(&some, ARGS(commands[c], "--json", filter, path));
			wanted = json_lines(all.out, names);
			got = json_lines(some.out, names);
			if (!json_equal(wanted, got))
				fail_msg("%s %s: %s instead of %s", commands[c], filter, some.out,
					 all.out);
			json_decref(wanted);
			json_decref(got);
			ws_cli_run_deinit(&all);
			ws_cli_run_deinit(&some);
		}
		json_decref(lines);
		json_decref(names);
		ws_cli_run_deinit(&chosen);
		unlink(path);
	}
	assert_true(matches > WS_ARRAY_SIZE(filters));
}

static void test_show_says_which_sessions_there_are(void **state)
{
	ws_cli_refused((struct ws_cli_run){ 0 }, ARGS("show", *state), 2,
		       "4001.100010, 4002.100100, 4003.100600");
	ws_cli_refused((struct ws_cli_run){ 0 }, ARGS("show", "--session=4001.1", *state), 1,
		       "no session 4001.1; walscope sessions FILE --json lists them");
	ws_cli_refused((struct ws_cli_run){ 0 }, ARGS("show", "--app=nosuch", *state), 1,
		       "there is none");
	ws_cli_refused((struct ws_cli_run){ 0 },
		       ARGS("show", "--pid=4003", "--around=2026-03-01T12:00:01Z", *state), 1,
		       "it did not run at --around");
}

static void test_an_import_of_its_own_output_is_refused(void **state)
{
	ws_cli_refused((struct ws_cli_run){ 0 }, ARGS("import", *state, "-o", *state), 1,
		       "it is the recording to write");
	ws_cli_refused((struct ws_cli_run){ 0 }, ARGS("import", "/dev/null", *state, "-o", *state),
		       1, "it is the recording to write");
	ws_cli_refused((struct ws_cli_run){ 0 },
		       ARGS("import", "/dev/null", "/nosuch", "-o", *state), 1,
		       "cannot read: /nosuch");
	ws_cli_refused((struct ws_cli_run){ 0 }, ARGS("import", "/nosuch", "-o", *state), 1,
		       "cannot read");
}

static void test_a_signal_is_traced_with_the_session_it_was_sent_to(void **state)
{
	char path[64];

	(void)state;
	ws_sample_write(path, WS_SAMPLE_REFUSED);
	for (int wanted = 4004; wanted <= 4005; wanted++) {
		struct ws_cli_run run = { 0 };

		ws_cli_run(&run, ARGS("trace", wanted == 4004 ? "--pid=4004" : "--pid=4005", path));
		assert_int_equal(run.status, 0);
		assert_int_equal(strstr(run.out, "SIGTERM to 4004") != NULL, wanted == 4004);
		ws_cli_run_deinit(&run);
	}
	unlink(path);
}

static void test_filters_must_all_hold(void **state)
{
	struct ws_cli_run run = { 0 };

	ws_cli_run(&run, ARGS("history", "--kind=logical", "--pid=4001", *state));
	assert_int_equal(run.status, 0);
	assert_string_equal(run.out, "no commands\n");
	ws_cli_run_deinit(&run);
}

/* -- JSON */

static const char *const contract[][32] = {
	{ "sessions",	 "session", "pid",	 "ns_pid",
	  "kind",	 "user",    "database",	 "application_name",
	  "client",	 "slot",    "start",	 "end",
	  "duration_ns", "exit",    "tls",	 "commands",
	  "events",	 "lost",    "wal_bytes", "wire_bytes",
	  "acked_bytes" },
	{ "history", "session", "pid", "ns_pid", "seq", "command", "kind", "start", "duration_ns",
	  "outcome", "sqlstate", "message", "location", "truncated", "text_bytes", "text_xxh64" },
	{ "timeline", "session", "pid", "ns_pid", "state", "start", "duration_ns", "lsn_from",
	  "lsn_to", "bytes", "detail" },
	{ "hist", "session", "pid", "ns_pid", "metric", "unit", "count", "min", "max", "mean",
	  "p50", "p90", "p99", "p999", "buckets" },
	{ "explain", "scope", "session", "pid", "ns_pid", "sessions", "from", "to", "wall_ns",
	  "accounted_ns", "states", "verdict", "also", "confidence", "evidence", "text", "advice" },
	{ "trace", "time", "session", "pid", "ns_pid", "seq", "event", "lsn", "duration_ns" },
};

static void test_each_line_of_json_has_the_fields_of_the_contract(void **state)
{
	for (size_t i = 0; i < WS_ARRAY_SIZE(contract); i++) {
		struct ws_cli_run run = { 0 };
		unsigned int lines = 0;
		char *rest, *line;

		ws_cli_run(&run, ARGS(contract[i][0], "--json", *state));
		for (line = strtok_r(run.out, "\n", &rest); line;
		     line = strtok_r(NULL, "\n", &rest)) {
			json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, NULL);

			assert_non_null(object);
			for (size_t f = 1; contract[i][f]; f++) {
				if (!json_object_get(object, contract[i][f]))
					print_error("%s: no %s\n", contract[i][0], contract[i][f]);
				assert_non_null(json_object_get(object, contract[i][f]));
			}
			for (const char *c = line; *c; c++)
				assert_in_range((unsigned char)*c, 0x20, 0x7e);
			json_decref(object);
			lines++;
		}
		assert_true(lines >= 3);
		ws_cli_run_deinit(&run);
	}
}

static void test_what_is_not_measured_is_null_not_0(void **state)
{
	struct ws_cli_run run = { 0 };

	ws_cli_run(&run, ARGS("sessions", "--json", *state));
	assert_null(strstr(run.out, "\"wire_bytes\":0"));
	assert_non_null(strstr(run.out, "\"wire_bytes\":null,\"acked_bytes\":null,\"sends\":null"));
	ws_cli_run_deinit(&run);
}

static void test_nothing_a_server_says_reaches_the_terminal_raw(void **state)
{
	static const char *const verbs[] = { "sessions", "history", "timeline",
					     "hist",	 "explain", "trace" };
	static const char *const locales[] = { "C", "C.UTF-8" };

	for (size_t i = 0; i < WS_ARRAY_SIZE(verbs) * 2; i++) {
		struct ws_cli_run run = { .locale = locales[i % 2] };

		ws_cli_run(&run, ARGS(verbs[i / 2], "-v", *state));
		assert_int_equal(run.status, 0);
		for (const char *c = run.out; *c; c++) {
			assert_true(*c == '\n' || (unsigned char)*c >= 0x20);
			assert_int_not_equal(*c, 0x7f);
			assert_true(i % 2 || (unsigned char)*c < 0x80);
		}
		ws_cli_run_deinit(&run);
	}
}

/* No line of text is wider than the screen, except lists that must not be cut. */
static void test_tables_keep_to_the_width(void **state)
{
	static const char *const verbs[] = { "sessions", "history", "timeline", "hist" };
	static const char *const widths[] = { "100", "120", "200" };

	for (size_t i = 0; i < WS_ARRAY_SIZE(verbs); i++) {
		for (size_t w = 0; w < WS_ARRAY_SIZE(widths); w++) {
			/* In ASCII a byte is a column. */
			struct ws_cli_run run = { .locale = "C", .columns = widths[w] };
			char *rest, *line;

			ws_cli_run(&run, ARGS(verbs[i], *state));
			assert_int_equal(run.status, 0);
			for (line = strtok_r(run.out, "\n", &rest); line;
			     line = strtok_r(NULL, "\n", &rest)) {
				if (strlen(line) > strtoul(widths[w], NULL, 10))
					print_error("%s at %s: %s\n", verbs[i], widths[w], line);
				assert_true(strlen(line) <= strtoul(widths[w], NULL, 10));
			}
			ws_cli_run_deinit(&run);
		}
	}
}

static void test_what_reads_a_pipe_gets_names_whole(void **state)
{
	struct ws_cli_run piped = { .columns = "" }, narrow = { .columns = "100" };

	ws_cli_run(&narrow, ARGS("sessions", *state));
	assert_non_null(strstr(narrow.out, "…"));
	ws_cli_run(&piped, ARGS("sessions", *state));
	assert_null(strstr(piped.out, "…"));
	ws_cli_run_deinit(&narrow);
	ws_cli_run_deinit(&piped);
}

/* -- outputs that fail */

static void test_a_full_disk_is_an_error(void **state)
{
	static const char *const verbs[] = { "sessions", "history", "timeline",
					     "hist",	 "explain", "trace" };
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

	assert_true(full >= 0);
	for (size_t i = 0; i < WS_ARRAY_SIZE(verbs); i++)
		ws_cli_refused((struct ws_cli_run){ .stdout_fd = full }, ARGS(verbs[i], *state), 1,
			       "standard output: No space left on device");
	ws_cli_refused((struct ws_cli_run){ .stdout_fd = full }, ARGS("--help"), 1,
		       "standard output: No space left on device");
	close(full);
}

static void test_a_file_size_limit_is_an_error(void **state)
{
	struct rlimit old, small;
	int file = memfd_create("limited", MFD_CLOEXEC);

	assert_true(file >= 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = 300; /* more than the line on stderr, less than the output */
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	ws_cli_refused((struct ws_cli_run){ .stdout_fd = file }, ARGS("sessions", "--json", *state),
		       1, "standard output: File too large");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	close(file);
}

static void test_a_closed_pipe_ends_it_silently(void **state)
{
	static const char *const verbs[] = { "sessions", "history", "timeline",
					     "hist",	 "explain", "trace" };

	for (size_t i = 0; i < WS_ARRAY_SIZE(verbs); i++) {
		struct ws_cli_run run = { 0 };
		int ends[2];

		assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
		close(ends[0]);
		run.stdout_fd = ends[1];
		ws_cli_run(&run, ARGS(verbs[i], "--json", *state));
		close(ends[1]);
		assert_int_equal(run.status, 0);
		assert_string_equal(run.err, "");
		ws_cli_run_deinit(&run);
	}
}

static void test_no_stdout_at_all_is_an_error(void **state)
{
	ws_cli_refused((struct ws_cli_run){ .stdout_fd = -1 }, ARGS("sessions", *state), 1,
		       "standard output: Bad file descriptor");
}

static void test_record_refuses_what_is_no_file(void **state)
{
	char dir[] = "/tmp/walscope-out.XXXXXX";
	char fifo[64];
	int reader;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(fifo, sizeof(fifo), "%s/fifo", dir);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	ws_cli_refused((struct ws_cli_run){ 0 }, ARGS("record", "-o", dir), 1, dir);
	ws_cli_refused((struct ws_cli_run){ 0 }, ARGS("record", "-o", fifo), 1,
		       "fifo: not a regular file");
	reader = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	assert_true(reader >= 0);
	ws_cli_refused((struct ws_cli_run){ 0 }, ARGS("record", "-o", fifo, "--duration=10ms"), 1,
		       "not a regular file");
	close(reader);
	ws_cli_refused((struct ws_cli_run){ 0 }, ARGS("record", "-o", "/nonexistent/x"), 1,
		       "/nonexistent/x: No such file");
	unlink(fifo);
	rmdir(dir);
}

/* -- without privileges */

static struct passwd *nobody(void)
{
	if (geteuid() != 0)
		skip();
	return getpwnam("nobody");
}

static void test_without_root_nothing_is_traced_and_nothing_overwritten(void **state)
{
	struct passwd *user = nobody();
	struct ws_cli_run run = { .uid = user->pw_uid };
	char dir[] = "/tmp/walscope-nobody.XXXXXX";
	char path[64], text[8] = "";
	struct stat st;
	FILE *file;

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chown(dir, user->pw_uid, (gid_t)-1), 0);
	snprintf(path, sizeof(path), "%s/x.wst", dir);
	ws_cli_refused(run, ARGS("record", "-o", path, "--duration=1"), 1, "walscope: ");
	assert_int_not_equal(stat(path, &st), 0);

	file = fopen(path, "w");
	assert_non_null(file);
	fputs("old", file);
	fclose(file);
	assert_int_equal(chown(path, user->pw_uid, (gid_t)-1), 0);
	ws_cli_refused(run, ARGS("record", "-o", path, "--duration=1"), 1, "walscope: ");
	file = fopen(path, "r");
	assert_non_null(fgets(text, sizeof(text), file));
	fclose(file);
	assert_string_equal(text, "old");
	unlink(path);
	rmdir(dir);

	ws_cli_refused(run, ARGS("sessions", "--live", "--duration=1"), 1, "walscope: ");
	ws_cli_refused(run, ARGS("trace", "--duration=1"), 1, "walscope: ");
}

static void test_an_unreadable_recording_is_refused(void **state)
{
	struct ws_cli_run run = { .uid = nobody()->pw_uid };

	ws_cli_refused(run, ARGS("sessions", *state), 1, "Permission denied");
}

static void test_an_unwritable_output_is_refused(void **state)
{
	struct ws_cli_run run = { .uid = nobody()->pw_uid };

	(void)state;
	ws_cli_refused(run, ARGS("record", "-o", "/root/x.wst"), 1,
		       "/root/x.wst: Permission denied");
}

static void test_doctor_without_root_says_what_to_do(void **state)
{
	struct ws_cli_run run = { .uid = nobody()->pw_uid };
	json_t *object;

	(void)state;
	ws_cli_run(&run, ARGS("doctor", "--json"));
	assert_int_equal(run.status, 1);
	object = json_loads(run.out, 0, NULL);
	assert_non_null(object);
	assert_true(json_is_false(json_object_get(object, "ok")));
	assert_non_null(strstr(run.out, "\"fix\":\"sudo walscope doctor\""));
	json_decref(object);
	ws_cli_run_deinit(&run);
}

static void test_doctor_refuses_what_is_no_server(void **state)
{
	char dir[] = "/tmp/walscope-cli-XXXXXX", fifo[64];
	const char *const files[] = { "/bin/sh", "/etc/passwd", "/nonexistent", "/tmp", fifo };

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(fifo, sizeof(fifo), "%s/fifo", dir);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	for (size_t i = 0; i < WS_ARRAY_SIZE(files); i++) {
		struct ws_cli_run run = { 0 };

		ws_cli_run(&run, ARGS("doctor", "--postgres", files[i]));
		assert_int_equal(run.status, 1);
		assert_non_null(strstr(run.out, "tracing will not work here"));
		assert_non_null(strstr(run.out, files[i]));
		ws_cli_run_deinit(&run);
	}
	unlink(fifo);
	rmdir(dir);
}

static int make_sample(void **state)
{
	*state = malloc(64);
	ws_sample_write(*state, 0);
	return 0;
}

static int remove_sample(void **state)
{
	unlink(*state);
	free(*state);
	return 0;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_no_recording_is_refused),
		cmocka_unit_test(test_a_sound_recording_is_status_0_and_says_nothing),
		cmocka_unit_test(test_a_torn_recording_shows_the_rest_with_status_3),
		cmocka_unit_test(test_a_recording_that_ends_between_blocks_is_torn_too),
		cmocka_unit_test(test_a_damaged_recording_shows_the_rest_with_status_3),
		cmocka_unit_test(test_a_recording_with_loss_says_so_with_status_3),
		cmocka_unit_test(test_filters_choose_sessions),
		cmocka_unit_test(test_a_signal_is_traced_with_the_session_it_was_sent_to),
		cmocka_unit_test(test_what_a_filter_leaves_is_as_without_it),
		cmocka_unit_test(test_show_says_which_sessions_there_are),
		cmocka_unit_test(test_an_import_of_its_own_output_is_refused),
		cmocka_unit_test(test_filters_must_all_hold),
		cmocka_unit_test(test_each_line_of_json_has_the_fields_of_the_contract),
		cmocka_unit_test(test_what_is_not_measured_is_null_not_0),
		cmocka_unit_test(test_nothing_a_server_says_reaches_the_terminal_raw),
		cmocka_unit_test(test_tables_keep_to_the_width),
		cmocka_unit_test(test_what_reads_a_pipe_gets_names_whole),
		cmocka_unit_test(test_a_full_disk_is_an_error),
		cmocka_unit_test(test_a_file_size_limit_is_an_error),
		cmocka_unit_test(test_a_closed_pipe_ends_it_silently),
		cmocka_unit_test(test_no_stdout_at_all_is_an_error),
		cmocka_unit_test(test_record_refuses_what_is_no_file),
		cmocka_unit_test(test_without_root_nothing_is_traced_and_nothing_overwritten),
		cmocka_unit_test(test_an_unreadable_recording_is_refused),
		cmocka_unit_test(test_an_unwritable_output_is_refused),
		cmocka_unit_test(test_doctor_without_root_says_what_to_do),
		cmocka_unit_test(test_doctor_refuses_what_is_no_server),
	};

	return cmocka_run_group_tests_name("cli", tests, make_sample, remove_sample);
}
