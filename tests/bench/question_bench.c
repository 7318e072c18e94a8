/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * question_bench [MEGABYTES]: how long questions about few sessions of a flight recording of a
 * gigabyte take, as a user asks them: of the program, of files that are in the page cache. The
 * recording has the turns of ten busy sessions, a clock and the cluster's state each second, and in
 * its middle one short session, which is asked for in each way there is.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/util.h"
#include "trace/flight.h"
#include "turns.h"

#define MEGABYTES 1024
#define GOAL_S	  1.0
#define START_NS  3600000000000ULL
#define PHYSICAL  "START_REPLICATION 0/0 TIMELINE 1"
#define LOGICAL	  "START_REPLICATION SLOT \"asked\" LOGICAL 0/0"

static const struct scenario crowd = { "question", 10, 8900, 0.10, 0.60, 1e9 };

struct made {
	struct ws_flight *flight;
	struct session sessions[10];
	uint64_t turns;
	struct ws_error err;
};

static int add(struct made *m, const void *rec)
{
	return ws_flight_add(m->flight, rec, &m->err);
}

static int add_command(struct made *m, const struct ws_rec *of, uint16_t flags, const char *words)
{
	struct ws_rec_command command = { .h = *of };
	union {
		struct ws_rec_text text;
		char bytes[sizeof(struct ws_rec_text) + 64];
	} text = { .text = { .h = *of, .of = WS_TEXT_COMMAND, .len = (uint32_t)strlen(words) } };

	command.h.kind = WS_KIND_COMMAND;
	command.h.size = sizeof(command);
	command.h.flags = flags;
	text.text.h.kind = WS_KIND_TEXT;
	text.text.h.size = (uint16_t)(sizeof(text.text) + text.text.len);
	text.text.h.flags = WS_TEXT_LAST;
	memcpy(text.text.data, words, text.text.len);
	return add(m, &command) || add(m, &text) ? -1 : 0;
}

/* Found streaming when the recording began. */
static int add_found(struct made *m, const struct session *of, unsigned int number)
{
	struct ws_rec_session session = {
		.h = of->turn.h,
		.valid = WS_VALID_APPLICATION | WS_VALID_PARENT,
		.found = WS_FOUND_STREAM_WAL,
		.postmaster_pid = 99,
	};

	session.h.kind = WS_KIND_SESSION;
	session.h.size = sizeof(session);
	session.h.flags = WS_SESSION_RUNNING;
	snprintf(session.application, sizeof(session.application), "standby%u", number);
	snprintf(session.slot, sizeof(session.slot), "slot%u", number);
	return add(m, &session) || add_command(m, &of->turn.h, WS_COMMAND_RUNNING, PHYSICAL) ? -1
											     : 0;
}

/* One that comes, streams from a slot, and goes. */
static int add_asked(struct made *m, uint64_t now_ns)
{
	struct ws_rec h = { .pid = 77, .start_ns = 770000000, .time_ns = now_ns, .server = 1 };
	struct ws_rec_session session = {
		.h = h,
		.fork_ns = now_ns,
		.valid = WS_VALID_APPLICATION | WS_VALID_PARENT,
		.postmaster_pid = 99,
		.application = "asked",
	};
	struct ws_rec_stream stream = { .h = h, .slot = "asked" };
	struct ws_rec_exit end = { .h = h };

	session.h.kind = WS_KIND_SESSION;
	session.h.size = sizeof(session);
	stream.h.kind = WS_KIND_STREAM;
	stream.h.size = sizeof(stream);
	stream.h.flags = WS_STREAM_LOGICAL | WS_STREAM_SLOT;
	stream.h.seq = 3;
	end.h.kind = WS_KIND_EXIT;
	end.h.size = sizeof(end);
	end.h.seq = 4;
	end.h.time_ns += 1000000;
	return add(m, &session) || add_command(m, &h, 0, LOGICAL) || add(m, &stream) || add(m, &end)
		       ? -1
		       : 0;
}

static int add_second(struct made *m, uint64_t now_ns)
{
	struct ws_rec_clock clock = {
		.h = { .size = sizeof(clock), .kind = WS_KIND_CLOCK, .time_ns = now_ns },
		.wall_ns = 1795000000000000000 + (int64_t)now_ns,
	};
	struct ws_rec_cluster cluster = {
		.h = { .size = sizeof(cluster),
		       .kind = WS_KIND_CLUSTER,
		       .time_ns = now_ns,
		       .pid = 99,
		       .server = 1 },
		.flush_lsn = m->sessions[0].turn.lsn_to,
	};

	return add(m, &clock) || add(m, &cluster) ? -1 : 0;
}

static int write_flight(struct made *m, const char *dir, uint64_t bytes)
{
	struct ws_trace_info info = { .level = 2, .ticks_per_s = 100, .version = "bench" };
	const struct ws_flight_options options = { .dir = dir, .size = 2 * bytes };
	uint64_t second = 0;
	size_t segments;
	bool asked = false;

	info.start_mono_ns = START_NS;
	if (ws_flight_new(&m->flight, &options, &m->err) ||
	    ws_flight_begin(m->flight, &info, &m->err))
		return -1;
	for (unsigned int i = 0; i < crowd.sessions; i++) {
		begin(&m->sessions[i], i);
		if (add_found(m, &m->sessions[i], i))
			return -1;
	}
	for (m->turns = 0;; m->turns++) {
		struct session *session = earliest(m->sessions, crowd.sessions);
		uint64_t now = session->turn.h.time_ns, have;

		if (now / 1000000000 != second) {
			second = now / 1000000000;
			have = ws_flight_bytes(m->flight, &segments);
			if (add_second(m, now))
				return -1;
			if (have >= bytes)
				break;
			if (!asked && have >= bytes / 2 && add_asked(m, now))
				return -1;
			asked |= have >= bytes / 2;
		}
		next_turn(session, &crowd);
		if (add(m, &session->turn))
			return -1;
	}
	return ws_flight_close(m->flight, &m->err);
}

/* Of processes that have ended: what it would take by the clock were the machine idle. */
static double cpu_s(void)
{
	struct rusage used;

	getrusage(RUSAGE_CHILDREN, &used);
	return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
	       (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static int ask(const char *dir, const char *command, const char *filter, double *worst)
{
	const char *build = getenv("BUILD");
	double seconds, cpu = cpu_s();
	char line[512];
	uint64_t begun;

	snprintf(line, sizeof(line),
		 "%s/walscope %s %s %s --json 2>/dev/null | grep -c '\"session\":\"77.77\"' | "
		 "grep -qx 1",
		 build ? build : "build", command, dir, filter);
	begun = ws_clock_mono_ns();
	if (system(line)) {
		fprintf(stderr, "question_bench: %s %s did not find the session alone\n", command,
			filter);
		return -1;
	}
	seconds = (double)(ws_clock_mono_ns() - begun) / 1e9;
	printf("  %-8s %-16s %6.3f s, %6.3f s of CPU time\n", command, filter, seconds,
	       cpu_s() - cpu);
	if (seconds > *worst)
		*worst = seconds;
	return 0;
}

static int ask_all(const char *dir, double *worst)
{
	static const char *const filters[] = { "--session 77.77", "--pid 77", "--app asked",
					       "--slot asked", "--kind logical" };
	static const char *const commands[] = { "sessions", "history", "explain" };

	if (ask(dir, "show", filters[0], worst))
		return -1;
	for (size_t c = 0; c < WS_ARRAY_SIZE(commands); c++)
		for (size_t i = 0; i < WS_ARRAY_SIZE(filters); i++)
			if (ask(dir, commands[c], filters[i], worst))
				return -1;
	return 0;
}

int main(int argc, char **argv)
{
	uint64_t megabytes = argc > 1 ? strtoull(argv[1], NULL, 10) : MEGABYTES;
	char dir[64] = "/tmp/question-bench.XXXXXX", command[128], why[1200];
	uint64_t begun = ws_clock_mono_ns();
	struct made made = { 0 };
	double worst = 0;
	int rc = 1;

	if (!mkdtemp(dir))
		return 1;
	if (write_flight(&made, dir, megabytes << 20)) {
		ws_error_format(&made.err, why, sizeof(why));
		fprintf(stderr, "question_bench: %s\n", why);
	} else {
		printf("questions about one session of %" PRIu64 " MB (%" PRIu64
		       " turns, written in %.0f s):\n",
		       megabytes, made.turns, (double)(ws_clock_mono_ns() - begun) / 1e9);
		rc = ask_all(dir, &worst) != 0;
	}
	if (!rc)
		printf("  the longest: %.3f s   goal %.0f s: %s\n", worst, GOAL_S,
		       worst <= GOAL_S ? "met" : "MISSED");
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command) || rc;
}
