/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * trace_bench: bytes per turn and speed of writing and replaying recordings of synthetic turns.
 *
 * One line per scenario, fields separated by blanks, for scripts; lines with # are for people. The
 * turns follow what was measured of a physical walsender under pgbench: 8,900 turns a second,
 * stages of 250 ns to 8 us with the jitter of scheduling, LSN steps of a few WAL records in
 * multiples of 8, replies in part of the turns. Synthetic noise does not compress; neither does
 * that of a real clock.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "session/model.h"
#include "trace/trace.h"
#include "turns.h"

static const struct scenario scenarios[] = {
	{ "physical", 1, 8900, 0.10, 0.60, 60 },      { "synchronous", 1, 8900, 0.50, 0.60, 60 },
	{ "no-replies", 1, 8900, 0, 0.60, 60 },	      { "ten-sessions", 10, 8900, 0.10, 0.60, 6 },
	{ "hundred-slow", 100, 20, 0.50, 1, 60 },     { "idle", 1, 1, 0.10, 1, 600 },
	{ "five-hundred", 500, 100, 0.10, 0.60, 40 },
};

static int fail(const struct ws_error *err)
{
	char line[1200];

	ws_error_format(err, line, sizeof(line));
	fprintf(stderr, "trace_bench: %s\n", line);
	return -1;
}

/* Writes the scenario; returns how long the writer itself took. */
static int write_turns(const struct scenario *scenario, const char *path, uint64_t *turns,
		       uint64_t *header, uint64_t *ns)
{
	struct ws_trace_info info = { .level = 2, .ticks_per_s = 100, .version = "bench" };
	struct ws_error err;
	struct ws_writer *writer;
	uint64_t end = 3600000000000ULL + (uint64_t)(scenario->seconds * 1e9), t;
	struct session *sessions = calloc(scenario->sessions, sizeof(*sessions));
	unsigned int i;

	if (ws_writer_new(&writer, path, &info, &err))
		return fail(&err);
	*header = ws_writer_bytes(writer);
	for (i = 0; i < scenario->sessions; i++)
		begin(&sessions[i], i);
	for (*turns = 0, *ns = 0;; (*turns)++) {
		struct session *session = earliest(sessions, scenario->sessions);

		if (session->turn.h.time_ns > end)
			break;
		next_turn(session, scenario);
		t = ws_clock_mono_ns();
		if (ws_writer_add(writer, &session->turn.h, &err))
			return fail(&err);
		*ns += ws_clock_mono_ns() - t;
	}
	free(sessions);
	t = ws_clock_mono_ns();
	if (ws_writer_close(writer, &err))
		return fail(&err);
	*ns += ws_clock_mono_ns() - t;
	return 0;
}

/* Replays the recording until a second has gone by; the best of the passes counts. */
static int replay(const char *path, uint64_t turns, double *per_s)
{
	uint64_t begun = ws_clock_mono_ns(), sum = 0;
	struct ws_error err;
	int rc;

	*per_s = 0;
	do {
		uint64_t t = ws_clock_mono_ns(), count = 0, took;
		struct ws_reader *reader;
		const struct ws_rec *rec;

		if (ws_reader_open(&reader, path, &err))
			return fail(&err);
		while ((rc = ws_reader_next(reader, &rec, &err)) == 1) {
			count++;
			sum += rec->time_ns;
		}
		ws_reader_free(reader);
		if (rc)
			return fail(&err);
		took = ws_clock_mono_ns() - t;
		if (count != turns) {
			fprintf(stderr, "trace_bench: %" PRIu64 " of %" PRIu64 " turns came back\n",
				count, turns);
			return -1;
		}
		if ((double)count * 1e9 / (double)took > *per_s)
			*per_s = (double)count * 1e9 / (double)took;
	} while (ws_clock_mono_ns() - begun < 1000000000);
	return sum ? 0 : -1;
}

static uint64_t cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Into sessions and their histograms, by CPU time; the best of five passes. */
static int replay_model(const char *path, double *per_s)
{
	struct ws_error err;

	*per_s = 0;
	for (int pass = 0; pass < 5; pass++) {
		uint64_t t = cpu_ns(), count = 0;
		struct ws_model *model = ws_model_new(NULL);
		struct ws_reader *reader;
		const struct ws_rec *rec;
		int rc;

		if (ws_reader_open(&reader, path, &err))
			return fail(&err);
		while ((rc = ws_reader_next(reader, &rec, &err)) == 1 && !ws_model_feed(model, rec))
			count++;
		ws_reader_free(reader);
		if (rc)
			return fail(&err);
		t = cpu_ns() - t;
		ws_model_free(model);
		if ((double)count * 1e9 / (double)t > *per_s)
			*per_s = (double)count * 1e9 / (double)t;
	}
	return 0;
}

static int run(const struct scenario *scenario, const char *path)
{
	uint64_t turns, header, write_ns;
	double per_s, model_per_s;
	struct stat st;

	if (write_turns(scenario, path, &turns, &header, &write_ns) || stat(path, &st) < 0 ||
	    replay(path, turns, &per_s) || replay_model(path, &model_per_s))
		return -1;
	printf("%-14s %10" PRIu64 " %14.2f %17.0f %20.2f %19.2f\n", scenario->name, turns,
	       (double)((uint64_t)st.st_size - header) / (double)turns,
	       (double)write_ns / (double)turns, per_s / 1e6, model_per_s / 1e6);
	return 0;
}

/* Without an argument all; else one scenario. */
int main(int argc, char **argv)
{
	char path[64] = "/tmp/trace-bench.XXXXXX";
	int fd = mkstemp(path), rc = 0;
	size_t i;

	if (fd < 0) {
		fprintf(stderr, "trace_bench: cannot create %s: %s\n", path, strerror(errno));
		return 1;
	}
	close(fd);
	printf("# scenario       turns bytes_per_turn write_ns_per_turn replay_Mevents_per_s "
	       "model_Mevents_per_s\n");
	for (i = 0; i < WS_ARRAY_SIZE(scenarios) && !rc; i++) {
		if (argc > 1 && strcmp(argv[1], scenarios[i].name))
			continue;
		rc = run(&scenarios[i], path);
	}
	unlink(path);
	return rc ? 1 : 0;
}
