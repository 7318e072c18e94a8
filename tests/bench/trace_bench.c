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
#include "trace/flight.h"
#include "trace/trace.h"

struct scenario {
	const char *name;
	unsigned int sessions;
	double turns_per_s;   /* of each session */
	double reply_share;   /* turns that handle a reply */
	double waiting_share; /* turns that end in a wait */
	double seconds;	      /* of each session's life */
};

static const struct scenario scenarios[] = {
	{ "physical", 1, 8900, 0.10, 0.60, 60 },  { "synchronous", 1, 8900, 0.50, 0.60, 60 },
	{ "no-replies", 1, 8900, 0, 0.60, 60 },	  { "ten-sessions", 10, 8900, 0.10, 0.60, 6 },
	{ "hundred-slow", 100, 20, 0.50, 1, 60 }, { "idle", 1, 1, 0.10, 1, 600 },
};

struct session {
	struct ws_rec_turn turn;
	uint64_t written; /* the standby's positions follow what was sent */
	bool waits;
	uint64_t random;
};

static double uniform(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (double)(*state >> 11) * 0x1p-53;
}

/* Log-normal: most near the median, a long tail. The shape of every duration a machine produces. */
static uint64_t jitter(uint64_t *state, double median, double sigma)
{
	double normal = -6, power;
	int i;

	for (i = 0; i < 12; i++)
		normal += uniform(state);
	power = 1 + sigma * normal / 64; /* to the 64th: near enough to e^x, without libm */
	for (i = 0; i < 6; i++)
		power *= power;
	return (uint64_t)(median * power);
}

static void begin(struct session *session, unsigned int number)
{
	memset(session, 0, sizeof(*session));
	session->random = 42 + number;
	session->turn.h.kind = WS_KIND_TURN;
	session->turn.h.pid = 4000 + number;
	session->turn.h.start_ns = 8123456789ULL + number * 100000000ULL;
	session->turn.h.server = 1;
	session->turn.h.time_ns = 3600000000000ULL + number * 1234567ULL;
	session->turn.lsn_to = 0x5123400000ULL + number * 0x1000;
	session->turn.write_lsn = session->turn.flush_lsn = session->turn.apply_lsn =
		session->turn.lsn_to;
}

static void reply(struct session *session)
{
	struct ws_rec_turn *turn = &session->turn;

	turn->h.flags |= WS_TURN_REPLY;
	turn->h.size = sizeof(*turn);
	turn->apply_lsn = uniform(&session->random) < 0.3 ? turn->apply_lsn : turn->flush_lsn;
	turn->flush_lsn = uniform(&session->random) < 0.5 ? turn->write_lsn : session->written;
	turn->write_lsn = session->written;
	session->written = turn->lsn_from;
	turn->write_lag_us = (int64_t)jitter(&session->random, 120, 0.4);
	turn->flush_lag_us = turn->write_lag_us + (int64_t)jitter(&session->random, 400, 0.4);
	turn->apply_lag_us = turn->flush_lag_us + (int64_t)jitter(&session->random, 40, 0.4);
	turn->reply_time_us = (int64_t)(turn->h.time_ns / 1000) + 848000000000000 -
			      (int64_t)jitter(&session->random, 60, 0.3);
}

static void next_turn(struct session *session, const struct scenario *scenario)
{
	struct ws_rec_turn *turn = &session->turn;
	__u64 *stage = turn->stage_ns;
	bool sent = uniform(&session->random) < 0.8;
	double busy = 8000;
	unsigned int i;

	turn->h.seq++;
	turn->h.flags = session->waits ? WS_TURN_WOKE : 0;
	turn->h.size = WS_TURN_SHORT_SIZE;
	turn->begin_ns = turn->h.time_ns;
	turn->lsn_from = turn->lsn_to;
	memset(stage, 0, sizeof(turn->stage_ns));
	stage[WS_STAGE_WAIT] =
		session->waits
			? jitter(&session->random,
				 (1e9 / scenario->turns_per_s - busy) / scenario->waiting_share,
				 0.5)
			: 0;
	stage[WS_STAGE_REPLY] = jitter(&session->random, 600, 0.3);
	stage[WS_STAGE_SEND] = jitter(&session->random, sent ? 5000 : 900, 0.4);
	stage[WS_STAGE_TAIL] = jitter(&session->random, 400, 0.3);
	for (i = 0; i < WS_STAGE_COUNT; i++)
		turn->h.time_ns += stage[i];
	turn->turns = turn->sends = 1;
	turn->lsn_to += sent ? 8 * (1 + jitter(&session->random, 25, 0.7)) : 0;
	turn->woke = session->waits ? (uniform(&session->random) < 0.9 ? WS_WL_LATCH_SET
								       : WS_WL_SOCKET_READABLE)
				    : 0;
	session->waits = uniform(&session->random) < scenario->waiting_share;
	turn->wait = session->waits ? WS_WAIT_WAL : WS_WAIT_NONE;
	turn->wait_mask = session->waits ? WS_WL_SOCKET_READABLE : 0;
	turn->wait_event = session->waits ? 0x0500000e : 0;
	turn->timeout_ms = session->waits ? 29990 + (int64_t)(uniform(&session->random) * 10) : 0;
	if (uniform(&session->random) < scenario->reply_share)
		reply(session);
}

static struct session *earliest(struct session *sessions, unsigned int count)
{
	struct session *found = sessions;
	unsigned int i;

	for (i = 1; i < count; i++) {
		if (sessions[i].turn.h.time_ns < found->turn.h.time_ns)
			found = &sessions[i];
	}
	return found;
}

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

/* -- a question about one session of a large flight recording */

#define QUESTION_MB 1024
#define QUESTION_S  1.0

static const struct scenario crowd = { "question", 10, 8900, 0.10, 0.60, 1e9 };

static int add_short_session(struct ws_flight *flight, uint64_t now_ns, struct ws_error *err)
{
	struct ws_rec_session session = {
		.h = { .size = sizeof(session),
		       .kind = WS_KIND_SESSION,
		       .pid = 77,
		       .start_ns = 770000000,
		       .time_ns = now_ns },
		.fork_ns = now_ns,
	};
	struct ws_rec_exit end = { .h = session.h };

	end.h.size = sizeof(end);
	end.h.kind = WS_KIND_EXIT;
	end.h.seq = 1;
	end.h.time_ns += 1000000;
	return ws_flight_add(flight, &session.h, err) || ws_flight_add(flight, &end.h, err) ? -1
											    : 0;
}

/* Turns of ten sessions until the directory has so many bytes, a clock each second, and one short
 * session in the middle. */
static int write_flight(const char *dir, uint64_t bytes, uint64_t *turns, struct ws_error *err)
{
	struct ws_trace_info info = { .level = 2, .ticks_per_s = 100, .version = "bench" };
	const struct ws_flight_options options = { .dir = dir, .size = 2 * bytes };
	struct session sessions[10];
	struct ws_flight *flight;
	uint64_t second = 0;
	size_t segments;
	bool asked = false;

	if (ws_flight_new(&flight, &options, err) || ws_flight_begin(flight, &info, err))
		return -1;
	for (unsigned int i = 0; i < crowd.sessions; i++)
		begin(&sessions[i], i);
	for (*turns = 0;; ++*turns) {
		struct session *session = earliest(sessions, crowd.sessions);
		uint64_t now = session->turn.h.time_ns;

		if (now / 1000000000 != second) {
			struct ws_rec_clock clock = {
				.h = { .size = sizeof(clock),
				       .kind = WS_KIND_CLOCK,
				       .time_ns = now },
				.wall_ns = 1795000000000000000 + (int64_t)now,
			};
			uint64_t have = ws_flight_bytes(flight, &segments);

			second = now / 1000000000;
			if (ws_flight_add(flight, &clock.h, err))
				return -1;
			if (have >= bytes)
				break;
			if (!asked && have >= bytes / 2 && add_short_session(flight, now, err))
				return -1;
			asked |= have >= bytes / 2;
		}
		next_turn(session, &crowd);
		if (ws_flight_add(flight, &session->turn.h, err))
			return -1;
	}
	return ws_flight_close(flight, err);
}

/* As a user asks it: by the program, of files that are in the page cache; in two ways. */
static int ask(const char *dir, double *seconds)
{
	const char *build = getenv("BUILD");
	char command[512];
	uint64_t begun = ws_clock_mono_ns();
	int rc;

	snprintf(command, sizeof(command),
		 "%s/walscope show %s --session 77.77 --json 2>/dev/null | grep -q 77.77 && "
		 "test $(%s/walscope sessions %s --session 77.77 --json 2>/dev/null | wc -l) = 1",
		 build ? build : "build", dir, build ? build : "build", dir);
	rc = system(command);
	*seconds = (double)(ws_clock_mono_ns() - begun) / 2e9; /* it was asked twice */
	if (rc)
		fprintf(stderr, "trace_bench: the session was not found\n");
	return rc ? -1 : 0;
}

static int question(uint64_t megabytes)
{
	char dir[64] = "/tmp/trace-bench-flight.XXXXXX", command[128];
	uint64_t turns = 0, begun = ws_clock_mono_ns();
	double seconds = 0, wrote;
	struct ws_error err;
	int rc;

	if (!mkdtemp(dir))
		return -1;
	rc = write_flight(dir, megabytes << 20, &turns, &err) ? fail(&err) : 0;
	wrote = (double)(ws_clock_mono_ns() - begun) / 1e9;
	if (!rc)
		rc = ask(dir, &seconds);
	if (!rc)
		printf("question about one session of %" PRIu64 " MB (%" PRIu64
		       " turns, written in %.0f s): %.3f s   goal %.0f s: %s\n",
		       megabytes, turns, wrote, seconds, QUESTION_S,
		       seconds <= QUESTION_S ? "met" : "MISSED");
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command) || rc ? -1 : 0;
}

/* Without an argument all; else one scenario, or "question" and perhaps its megabytes. */
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
	if (!rc && (argc < 2 || !strcmp(argv[1], crowd.name)))
		rc = question(argc > 2 ? strtoull(argv[2], NULL, 10) : QUESTION_MB);
	return rc ? 1 : 0;
}
