/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a hit of each program costs, beside an empty program at the same site in the same run; how
 * long planting and taking off last. Needs root. Ratios hold between machines, nanoseconds do not.
 *
 *   cost [-n HITS] [-m multi|perf]
 */
#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../lib/counters.h"
#include "../tools/fake_server.h"
#include "base/util.h"
#include "event/ring.h"
#include "probe/attach.h"
#include "probe/kernel.h"

struct order {
	uint32_t site; /* WS_SITE_COUNT: a whole turn of a physical walsender */
	uint32_t hits;
};

static struct fake_walsnd walsnd = { .state = 3, .sent = 0x1000 };
static struct fake_stringinfo message = { .len = 128 };
static struct fake_stringinfo *decoding = &message;

/* Arguments that lead a program down its usual path. */
static void hit(uint32_t site)
{
	static const char command[] = "START_REPLICATION SLOT \"s\" 0/4000000 TIMELINE 1";

	switch (site) {
	case WS_SITE_COMMAND_START:
		fake_COMMAND_START((long)command, 0, 0, 0, 0);
		break;
	case WS_SITE_WAIT_START:
		fake_WAIT_START(WS_WL_SOCKET_READABLE, 30000, 0x500000a, 0, 0);
		break;
	case WS_SITE_WAIT_END:
		fake_WAIT_END(1, WS_WL_LATCH_SET, 0, 0, 0);
		break;
	case WS_SITE_STATE:
		fake_STATE(walsnd.state, 0, 0, 0, 0);
		break;
	case WS_SITE_MESSAGE_WRITE:
		fake_MESSAGE_WRITE((long)&decoding, 0, 0, 0, 0);
		break;
	case WS_SITE_COUNT:
		fake_SEND_PHYSICAL(0, 0, 0, 0, 0);
		walsnd.sent += 128;
		fake_WAIT_START(WS_WL_SOCKET_READABLE, 30000, 0x500000a, 0, 0);
		fake_WAIT_END(1, WS_WL_LATCH_SET, 0, 0, 0);
		break;
	default:
		fake_functions[site](1, 0, 0, 0, 0);
	}
}

static void target(int in, int out)
{
	struct order o;
	uint64_t from;
	uint32_t i;

	fake.my_walsnd = &walsnd;
	while (read(in, &o, sizeof(o)) == sizeof(o)) {
		from = ws_clock_mono_ns();
		for (i = 0; i < o.hits; i++)
			hit(o.site);
		from = ws_clock_mono_ns() - from;
		if (write(out, &from, sizeof(from)) != sizeof(from))
			break;
	}
	_exit(0);
}

static int drop(void *arg, const void *data, size_t size)
{
	(void)arg;
	(void)data;
	(void)size;
	return 0;
}

/* ns per hit, the ring drained meanwhile as a collector would. */
static double measure(const int fds[2], struct ws_ring *ring, uint32_t site, uint32_t hits)
{
	struct order o = { site, hits };
	struct pollfd p = { .fd = fds[0], .events = POLLIN };
	uint64_t ns;

	if (write(fds[1], &o, sizeof(o)) != sizeof(o))
		return -1;
	while (poll(&p, 1, 5) == 0)
		if (ring)
			ws_ring_consume(ring);
	if (read(fds[0], &ns, sizeof(ns)) != sizeof(ns))
		return -1;
	if (ring)
		ws_ring_consume(ring);
	return (double)ns / hits;
}

static int empty_program(void)
{
	const struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = WS_BPF_TRACE_UPROBE_MULTI);

	return bpf_prog_load(BPF_PROG_TYPE_KPROBE, "empty", "GPL", insns, 2, &opts);
}

static int fail(const struct ws_error *err)
{
	char line[1024];

	ws_error_format(err, line, sizeof(line));
	fprintf(stderr, "%s\n", line);
	return 1;
}

/* The empty program at every site of the plan, in one link. */
static int attach_empty(const struct ws_plan *plan)
{
	uint64_t offsets[WS_SITE_COUNT], cookies[WS_SITE_COUNT];
	int prog = empty_program();
	size_t i;

	for (i = 0; i < plan->count; i++) {
		offsets[i] = plan->sites[i].offset;
		cookies[i] = i;
	}
	return prog < 0 ? -1
			: ws_kernel_link_uprobes(prog, "/proc/self/exe", offsets, cookies,
						 plan->count);
}

static const struct {
	uint32_t site;
	const char *name;
} rows[] = {
	{ WS_SITE_FATAL, "fatal, no session" }, /* EmitErrorReport in an ordinary backend */
	{ WS_SITE_STATE, "state, no change" },
	{ WS_SITE_COMMAND_START, "command_start" },
	{ WS_SITE_KEEPALIVE, "keepalive" },
	{ WS_SITE_SEND_PHYSICAL, "send_physical" },
	{ WS_SITE_FLUSH_END, "flush_end" },
	{ WS_SITE_WAIT_START, "wait_start" },
	{ WS_SITE_WAIT_END, "wait_end" },
	{ WS_SITE_READ_START, "read_start" },
	{ WS_SITE_MESSAGE_WRITE, "message_write" },
	{ WS_SITE_BACKUP_CHUNK, "backup_chunk" },
	{ WS_SITE_COUNT, "a turn with a wait (level 3)" },
};

static void print(const char *name, double none, double empty, double ours)
{
	printf("%-30s %9.0f %9.0f %9.0f %7.2f\n", name, none, empty, ours,
	       (ours - none) / (empty - none));
}

/* Starts the target; fds: what it answers, what it is told. */
static pid_t start_target(int fds[2])
{
	int to[2], from[2];
	pid_t pid;

	if (pipe(to) < 0 || pipe(from) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		close(to[1]);
		target(to[0], from[1]);
	}
	fds[0] = from[0];
	fds[1] = to[1];
	return pid;
}

static int start_tracer(const struct ws_tracer_options *options, const struct ws_plan *plan,
			struct ws_tracer **tracer, struct ws_ring **ring, uint16_t *server,
			struct ws_error *err)
{
	int exe = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	uint64_t t0 = ws_clock_mono_ns(), t1;

	if (ws_tracer_new(tracer, options, err) < 0 ||
	    ws_tracer_add_server(*tracer, plan, exe, server, err) < 0 ||
	    ws_ring_new(ring, ws_tracer_ring_fd(*tracer), drop, NULL, err) < 0)
		return -1;
	t1 = ws_clock_mono_ns();
	if (ws_tracer_attach_server(*tracer, *server, err) < 0)
		return -1;
	printf("load                           %9.1f ms\n", (t1 - t0) / 1e6);
	printf("attach %2zu sites                %9.1f ms\n", plan->planted,
	       (ws_clock_mono_ns() - t1) / 1e6);
	return 0;
}

/* The sites without probes, then with the empty program. */
static void measure_others(const int fds[2], const struct ws_plan *plan, uint32_t hits,
			   double none[], double empty[])
{
	size_t i;
	int link;

	for (i = 0; i < WS_ARRAY_SIZE(rows); i++)
		none[i] = measure(fds, NULL, rows[i].site, hits * 10);
	link = attach_empty(plan);
	if (link < 0)
		fprintf(stderr, "no uprobe_multi: no empty program to compare with\n");
	for (i = 0; i < WS_ARRAY_SIZE(rows); i++)
		empty[i] = link < 0 ? 0 : measure(fds, NULL, rows[i].site, hits);
	if (link >= 0)
		close(link);
}

int main(int argc, char **argv)
{
	struct ws_tracer_options options = { .level = 3 };
	double none[WS_ARRAY_SIZE(rows)], empty[WS_ARRAY_SIZE(rows)];
	uint64_t t0, counters[WS_COUNTER_COUNT];
	struct ws_entry entry = { .start_ns = 1 };
	struct ws_error err = { 0 };
	struct ws_tracer *tracer;
	struct ws_ring *ring;
	struct ws_plan plan;
	uint32_t hits = 100000;
	int fds[2], opt;
	size_t i;
	pid_t pid;

	while ((opt = getopt(argc, argv, "n:m:")) != -1) {
		if (opt == 'n')
			hits = atoi(optarg);
		else if (opt == 'm')
			options.method = *optarg == 'p' ? WS_ATTACH_PERF : WS_ATTACH_UPROBE_MULTI;
		else
			return 2;
	}
	pid = start_target(fds);
	fake_plan(&plan, 3);
	measure_others(fds, &plan, hits, none, empty);
	if (start_tracer(&options, &plan, &tracer, &ring, &entry.server, &err) < 0)
		return fail(&err);
	printf("\n%-30s %9s %9s %9s %7s\n", "ns per hit", "bare", "empty", "program", "ratio");
	/* the first row is an ordinary backend's: the entry comes after it */
	print(rows[0].name, none[0], empty[0], measure(fds, ring, rows[0].site, hits));
	entry.base = fake_base();
	entry.flags = WS_ENTRY_BASE | WS_ENTRY_IN_COMMAND | WS_ENTRY_IN_LOOP | WS_ENTRY_TURNS;
	if (ws_tracer_seed(tracer, pid, &entry, &err) < 0)
		return fail(&err);
	for (i = 1; i < WS_ARRAY_SIZE(rows); i++) {
		if (rows[i].site == WS_SITE_SEND_PHYSICAL) /* the commands have ended the stream */
			measure(fds, ring, WS_SITE_STREAM_START, 1);
		print(rows[i].name, none[i], empty[i], measure(fds, ring, rows[i].site, hits));
	}
	ws_tracer_counters(tracer, counters);
	printf("\nrecords %llu, lost %llu\n",
	       (unsigned long long)counters_sum(counters, WS_COUNTER_MADE_KIND),
	       (unsigned long long)counters_sum(counters, WS_COUNTER_LOST_KIND));
	ws_ring_free(ring);
	t0 = ws_clock_mono_ns();
	ws_tracer_free(tracer);
	printf("detach                         %9.1f ms\n", (ws_clock_mono_ns() - t0) / 1e6);
	close(fds[1]);
	waitpid(pid, NULL, 0);
	return 0;
}
