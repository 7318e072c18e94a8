/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "base/util.h"
#include "probe/privileges.h"

#define ON_RECORDINGS                                                                           \
	(WS_GROUP_FILE | WS_GROUP_FILTER | WS_GROUP_REPLAY | WS_GROUP_LIVE | WS_GROUP_TRACING | \
	 WS_GROUP_JSON | WS_GROUP_REDACT)

static const struct ws_verb verbs[] = {
	{ "doctor", NULL, "can it trace here, what is missing, the exact fix, the plan",
	  "Says whether walscope can trace the PostgreSQL servers of this host, which functions it "
	  "found how, and which probes it would plant. Exit status 0 only if tracing would work.",
	  WS_GROUP_SERVER | WS_GROUP_LIVE | WS_GROUP_TRACING | WS_GROUP_JSON, ws_cmd_doctor },
	{ "symbols", "FILE",
	  "where the functions of a server binary are, and a symbol file of them",
	  "Finds the addresses of the server's functions and variables: in its symbol tables, its "
	  "debug "
	  "information, separate debug files, and in its code, where all names were stripped.",
	  WS_GROUP_BINARY | WS_GROUP_JSON, ws_cmd_symbols },
	{ "slots", NULL, "all replication slots of this host's servers, read without SQL",
	  "Prints the replication slots of the servers of this host, also those that nobody holds, "
	  "out of their shared memory: no SQL, no probe.",
	  WS_GROUP_SLOTS | WS_GROUP_REDACT | WS_GROUP_JSON, ws_cmd_slots },
	{ "trace", "[FILE]", "events, a line each: live, or of a recording",
	  "Prints each event as it happens, or those of a recording.",
	  ON_RECORDINGS | WS_GROUP_DEFAULT_LIVE, ws_cmd_trace },
	{ "record", NULL, "write a recording of all walsenders",
	  "Records until the duration is over, or SIGINT or SIGTERM. An existing FILE is replaced. "
	  "With --flight FILE is a directory, of which the oldest part goes when there is too "
	  "much.",
	  WS_GROUP_OUTPUT | WS_GROUP_FLIGHT | WS_GROUP_FILTER | WS_GROUP_TRACING | WS_GROUP_REDACT,
	  ws_cmd_record },
	{ "import", "FILE...", "a recording of events as JSON lines, or of a server's log",
	  "Makes a recording of what walscope trace --json or the gdb backend wrote, or of a "
	  "csvlog or "
	  "jsonlog with log_replication_commands on. An existing recording is replaced.",
	  WS_GROUP_OUTPUT | WS_GROUP_IMPORT, ws_cmd_import },
	{ "freeze", "DIR", "take a piece out of a flight recorder, also while it runs",
	  "Writes what happened in a span of time into a recording of its own.",
	  WS_GROUP_OUTPUT | WS_GROUP_PIECE, ws_cmd_freeze },
	{ "sessions", "FILE", "the walsenders: who, what for, how long, how it ended",
	  "Prints a line per walsender session, by start.", ON_RECORDINGS, ws_cmd_sessions },
	{ "history", "FILE", "the commands, with duration, outcome and error",
	  "Prints a line per replication or SQL command, by start.", ON_RECORDINGS,
	  ws_cmd_history },
	{ "timeline", "FILE", "what each walsender did when",
	  "Prints a strip of states per session, and each state's share.", ON_RECORDINGS,
	  ws_cmd_timeline },
	{ "hist", "FILE", "latency histograms: sends, waits, lags",
	  "Prints the histograms of each session.", ON_RECORDINGS, ws_cmd_hist },
	{ "explain", "FILE", "why: where the time went, what holds each walsender up, what to do",
	  "Prints for each session, for sessions that belong together and for each server where "
	  "the "
	  "time went, a verdict, its evidence, and what to do.",
	  ON_RECORDINGS, ws_cmd_explain },
	{ "show", "FILE", "one session from its start to its end, as a person would tell it",
	  "Prints the reconstruction of one session: who it was, its start, its commands, what it "
	  "did, how far its standby was behind, its last acts and its end.",
	  ON_RECORDINGS | WS_GROUP_MOMENT, ws_cmd_show },
	{ "core", "CORE", "what a core dump, or a running process, tells of a walsender",
	  "Prints who a PostgreSQL process was and what it did, out of a core dump or its memory: "
	  "a walsender's command, positions, slot and output buffer, its server's walsenders, the "
	  "backtrace. -o writes a walsender as a recording.",
	  WS_GROUP_CORE | WS_GROUP_JSON, ws_cmd_core },
};

const struct ws_verb *ws_verbs(size_t *count)
{
	*count = WS_ARRAY_SIZE(verbs);
	return verbs;
}

static const struct ws_verb *find_verb(const char *name)
{
	for (size_t i = 0; i < WS_ARRAY_SIZE(verbs); i++)
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	return NULL;
}

static void print_error(const struct ws_error *err)
{
	char line[2 * sizeof(*err)];

	ws_error_format(err, line, sizeof(line));
	fprintf(stderr, "walscope: %s\n", line);
}

static void print_help(void)
{
	printf("walscope: what is each walsender of PostgreSQL doing, and why?\n\n"
	       "Usage: walscope COMMAND [OPTIONS]\n\nCommands:\n");
	for (size_t i = 0; i < WS_ARRAY_SIZE(verbs); i++)
		printf("  %-10s %s\n", verbs[i].name, verbs[i].summary);
	printf("\nwalscope COMMAND --help describes a command, as does walscope-COMMAND(8).\n"
	       "Exit status: 0 done, 1 failed, 2 usage, 3 done but with loss or a torn "
	       "recording.\n");
}

/*
 * Everything written must have arrived: a full disk is an error like any other. A reader that went
 * away (head, a pager) had enough: no error. A stdout that was closed from the start matters only
 * to who wrote something.
 */
static int close_stdout(int status)
{
	bool pending = __fpending(stdout) != 0;
	bool failed = ferror(stdout) != 0;
	struct ws_error err;

	errno = 0;
	if (fclose(stdout) == 0 ? !failed : (errno == EBADF && !pending && !failed))
		return status;
	if (errno == EPIPE || status == WS_EXIT_FAILED)
		return status;
	ws_error_errno(&err, errno ? errno : EIO, "cannot write", "standard output");
	print_error(&err);
	return WS_EXIT_FAILED;
}

static bool needs_nothing(const void *arg)
{
	(void)arg;
	return true;
}

static int run_verb(const struct ws_verb *verb, int argc, char **argv)
{
	struct ws_options options;
	struct ws_error err;
	enum ws_exit status;

	switch (ws_options_parse(verb, argc, argv, &options, &err)) {
	case 0:
		break;
	case 1:
		ws_options_help(verb, stdout);
		return WS_EXIT_DONE;
	default:
		print_error(&err);
		return WS_EXIT_USAGE;
	}
	err = (struct ws_error){ 0 };
	/* Looking at a recording takes no privilege: with capabilities of the program's file nobody
	 * shall read what is another's. Root is left what makes him root. */
	if (options.file && geteuid() != 0)
		ws_privileges_drop(false, false, needs_nothing, NULL, NULL);
	status = verb->run(&options, &err);
	if (err.errnum == EPIPE) {
		__fpurge(stdout);
		clearerr(stdout);
		return WS_EXIT_DONE;
	}
	if (err.what[0])
		print_error(&err);
	return (int)status;
}

static int usage_error(const char *why, const char *word)
{
	struct ws_error err;

	ws_error_set(&err, "usage", NULL, "%s%s", why, word);
	ws_error_fix(&err, "walscope --help lists the commands");
	print_error(&err);
	return WS_EXIT_USAGE;
}

/*
 * Whoever closed a standard stream must not have a recording opened in its place, into which
 * messages go. Opened the wrong way round, so that using it fails as before.
 */
static void reserve_streams(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDONLY);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

int ws_cli_main(int argc, char **argv)
{
	const struct ws_verb *verb;

	reserve_streams();

	/* Not LC_NUMERIC: numbers are read and written the same way everywhere. */
	setlocale(LC_CTYPE, "");
	/* A write that fails is an error to report, not an end without a word. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* beyond RLIMIT_FSIZE: write() says EFBIG */
	if (argc < 2)
		return usage_error("no command", "");
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		print_help();
		return close_stdout(WS_EXIT_DONE);
	}
	if (strcmp(argv[1], "--version") == 0) {
		printf("walscope %s\n", WS_VERSION);
		return close_stdout(WS_EXIT_DONE);
	}
	verb = find_verb(argv[1]);
	if (!verb)
		return usage_error(argv[1][0] == '-' ? "unknown option " : "unknown command ",
				   argv[1]);
	return close_stdout(run_verb(verb, argc - 1, argv + 1));
}
