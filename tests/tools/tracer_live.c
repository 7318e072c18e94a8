/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Traces one running server with nothing but the programs, the attacher and the ring: a tool to
 * look at raw records, and to check them (numbers without holes, stages that add up). Needs root.
 *
 *   tracer_live [-l LEVEL] [-d SECONDS] [-m multi|perf] [-r RING_BYTES] [-s PID:BASE] [-v]
 * POSTMASTER_PID
 *
 * The plan is written down by hand, for Debian's 15.18 on amd64 (build-id 44..., see
 * tests/tools/plan_1518.h), so that the tool does not depend on how plans are made.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "event/ring.h"
#include "probe/attach.h"
#include "../lib/counters.h"
#include "plan_1518.h"

struct seen {
	uint32_t pid;
	uint32_t next_seq;
	uint64_t last_turn_ns; /* where the next turn has to begin, 0: anywhere */
	uint64_t first_ns, turn_ns;
	uint64_t stage_ns[WS_STAGE_COUNT];
	uint64_t turns, sends, reads, messages, bytes;
	uint64_t waits[4];
};

struct check {
	bool verbose;
	struct seen *seen;
	size_t count, cap;
	uint64_t records, holes, bad_sums, bad_begins, kinds[WS_KIND_MAX];
};

static volatile sig_atomic_t stopped;

static void on_signal(int sig)
{
	(void)sig;
	stopped = 1;
}

static struct seen *seen_of(struct check *c, uint32_t pid)
{
	struct seen *s;
	size_t i;

	for (i = 0; i < c->count; i++)
		if (c->seen[i].pid == pid)
			return &c->seen[i];
	s = ws_array_grow(&c->seen, &c->count, &c->cap, sizeof(*s));
	if (!s)
		abort();
	s->pid = pid;
	return s;
}

static void print_turn(const struct ws_rec_turn *t)
{
	int i;

	printf("turn flags %#x %" PRIu64 " us, lsn %" PRIx64 "..%" PRIx64
	       ", turns %u sends %u reads %u messages %u (%" PRIu64
	       " bytes) woke %#x, wait %u mask %#x event %#x timeout %" PRId64 ", stages",
	       t->h.flags, (uint64_t)(t->h.time_ns - t->begin_ns) / 1000, (uint64_t)t->lsn_from,
	       (uint64_t)t->lsn_to, t->turns, t->sends, t->reads, t->messages,
	       (uint64_t)t->message_bytes, t->woke, t->wait, t->wait_mask, t->wait_event,
	       (int64_t)t->timeout_ms);
	for (i = 0; i < WS_STAGE_COUNT; i++)
		printf(" %" PRIu64, (uint64_t)t->stage_ns[i] / 1000);
	if (t->h.flags & WS_TURN_REPLY)
		printf(", reply %" PRIx64 " %" PRIx64 " %" PRIx64 " lag %" PRId64 " %" PRId64
		       " %" PRId64,
		       (uint64_t)t->write_lsn, (uint64_t)t->flush_lsn, (uint64_t)t->apply_lsn,
		       (int64_t)t->write_lag_us, (int64_t)t->flush_lag_us,
		       (int64_t)t->apply_lag_us);
	printf("\n");
}

static void print_record(const struct ws_rec *h)
{
	const void *r = h;

	printf("%" PRIu64 ".%06" PRIu64 " %u #%u ", (uint64_t)h->time_ns / 1000000000,
	       (uint64_t)h->time_ns / 1000 % 1000000, h->pid, h->seq);
	switch (h->kind) {
	case WS_KIND_SESSION: {
		const struct ws_rec_session *s = r;

		printf("session base %#" PRIx64
		       " ns_pid %u parent %u valid %#x flags %#x user=%s db=%s "
		       "app=%s host=%s:%u fork %" PRIu64 " us ago\n",
		       (uint64_t)s->base, s->ns_pid, s->postmaster_pid, s->valid, h->flags, s->user,
		       s->database, s->application, s->host, s->port,
		       (uint64_t)(h->time_ns - s->fork_ns) / 1000);
		break;
	}
	case WS_KIND_TEXT: {
		const struct ws_rec_text *t = r;

		printf("text of %u at %u, %u bytes, flags %#x: %.*s\n", t->of, t->offset, t->len,
		       h->flags, t->len > 100 ? 100 : (int)t->len, t->data);
		break;
	}
	case WS_KIND_COMMAND_END:
		printf("command_end how %u\n", ((const struct ws_rec_command_end *)r)->how);
		break;
	case WS_KIND_ERROR: {
		const struct ws_rec_error *e = r;

		printf("error elevel %u sqlstate %#x line %u valid %#x file %#" PRIx64
		       " function %#" PRIx64 "\n",
		       e->elevel, e->sqlstate, e->line, e->valid, (uint64_t)e->file_addr,
		       (uint64_t)e->function_addr);
		break;
	}
	case WS_KIND_STATE: {
		const struct ws_rec_state *s = r;

		printf("state %u -> %u sent %" PRIx64 "\n", s->from, s->to, (uint64_t)s->sent_lsn);
		break;
	}
	case WS_KIND_STREAM:
		printf("stream flags %#x sent %" PRIx64 " slot %s\n", h->flags,
		       (uint64_t)((const struct ws_rec_stream *)r)->sent_lsn,
		       ((const struct ws_rec_stream *)r)->slot);
		break;
	case WS_KIND_TURN:
		print_turn(r);
		break;
	case WS_KIND_KEEPALIVE:
		printf("keepalive lsn %" PRIx64 " request %u\n",
		       (uint64_t)((const struct ws_rec_keepalive *)r)->lsn,
		       ((const struct ws_rec_keepalive *)r)->request_reply);
		break;
	case WS_KIND_BACKUP: {
		const struct ws_rec_backup *b = r;

		printf("backup phase %u chunks %u bytes %" PRIu64 " send %" PRIu64 " us\n",
		       b->phase, b->chunks, (uint64_t)b->bytes, (uint64_t)b->send_ns / 1000);
		break;
	}
	case WS_KIND_EXIT: {
		const struct ws_rec_exit *e = r;

		printf("exit code %u signal %u lost %u unreadable %u\n", e->code, e->signal,
		       e->lost, e->unreadable);
		break;
	}
	default:
		printf("kind %u\n", h->kind);
	}
}

static void check_turn(struct check *c, struct seen *s, const struct ws_rec_turn *t)
{
	uint64_t sum = 0;
	int i;

	for (i = 0; i < WS_STAGE_COUNT; i++) {
		sum += t->stage_ns[i];
		s->stage_ns[i] += t->stage_ns[i];
	}
	c->bad_sums += sum != t->h.time_ns - t->begin_ns;
	c->bad_begins += s->last_turn_ns && t->begin_ns != s->last_turn_ns;
	if (!s->first_ns)
		s->first_ns = t->begin_ns;
	s->last_turn_ns = t->h.time_ns;
	s->turn_ns += sum;
	s->turns += t->turns;
	s->sends += t->sends;
	s->reads += t->reads;
	s->messages += t->messages;
	s->bytes += t->lsn_to - t->lsn_from;
	s->waits[t->wait & 3]++;
}

static int on_record(void *arg, const void *data, size_t size)
{
	struct check *c = arg;
	const struct ws_rec *h = data;
	struct seen *s = seen_of(c, h->pid);

	if (h->size > size)
		abort();
	c->records++;
	c->kinds[h->kind < WS_KIND_MAX ? h->kind : 0]++;
	if (h->seq != s->next_seq) {
		c->holes += h->seq - s->next_seq;
		s->last_turn_ns = 0;
	}
	s->next_seq = h->seq + 1;
	if (h->kind == WS_KIND_TURN)
		check_turn(c, s, data);
	else if (h->kind == WS_KIND_STREAM || h->kind == WS_KIND_COMMAND)
		s->last_turn_ns = 0;
	if (c->verbose)
		print_record(h);
	return 0;
}

static void print_summary(const struct check *c, const struct ws_tracer *tracer, uint16_t server)
{
	static const char *const stages[] = { "other", "wait",	 "reply",  "send",
					      "read",  "decode", "plugin", "tail" };
	uint64_t counters[WS_COUNTER_COUNT];
	size_t i, j;

	ws_tracer_counters(tracer, counters);
	printf("records %" PRIu64 " produced %" PRIu64 " lost %" PRIu64 " untracked %" PRIu64
	       " holes %" PRIu64 " bad_sums %" PRIu64 " bad_begins %" PRIu64 "\n",
	       c->records, counters_sum(counters, WS_COUNTER_MADE_KIND),
	       counters_sum(counters, WS_COUNTER_LOST_KIND), counters[WS_COUNTER_UNTRACKED],
	       c->holes, c->bad_sums, c->bad_begins);
	for (i = 0; i < WS_KIND_MAX; i++)
		if (c->kinds[i])
			printf("  kind %zu: %" PRIu64 "\n", i, c->kinds[i]);
	for (i = 0; i < c->count; i++) {
		const struct seen *s = &c->seen[i];

		if (!s->first_ns)
			continue;
		printf("pid %u: turns %" PRIu64 " sends %" PRIu64 " reads %" PRIu64
		       " messages %" PRIu64 " bytes %" PRIu64 " waits none %" PRIu64 " wal %" PRIu64
		       " socket %" PRIu64 ", accounted %.6f of %.6f s:",
		       s->pid, s->turns, s->sends, s->reads, s->messages, s->bytes, s->waits[0],
		       s->waits[1], s->waits[2], s->turn_ns / 1e9,
		       (s->last_turn_ns ? s->last_turn_ns - s->first_ns : 0) / 1e9);
		for (j = 0; j < WS_STAGE_COUNT; j++)
			printf(" %s %.3f", stages[j], s->stage_ns[j] / 1e9);
		printf("\n");
	}
	printf("sites hit:");
	for (i = 0; i < WS_SITE_COUNT; i++)
		if (ws_tracer_site_hit(tracer, server, i))
			printf(" %zu", i);
	printf("\n");
}

static int fail(const struct ws_error *err)
{
	char line[1024];

	ws_error_format(err, line, sizeof(line));
	fprintf(stderr, "%s\n", line);
	return 1;
}

static int seed(struct ws_tracer *tracer, uint16_t server, const char *what, struct ws_error *err)
{
	struct ws_entry entry = { .server = server,
				  .flags = WS_ENTRY_BASE | WS_ENTRY_IN_COMMAND | WS_ENTRY_IN_LOOP |
					   WS_ENTRY_TURNS,
				  .stage = WS_STAGE_WAIT };
	uint32_t pid;

	if (sscanf(what, "%u:%" SCNx64, &pid, (uint64_t *)&entry.base) != 2)
		return ws_error_set(err, "bad seed", what, "PID:BASE wanted");
	entry.start_ns = 1;
	return ws_tracer_seed(tracer, pid, &entry, err) < 0 ? -1 : 0;
}

struct arguments {
	struct ws_tracer_options tracer;
	int level;
	uint64_t end_ns; /* 0: until a signal */
	bool verbose;
	const char *seeds[16];
	int nseeds;
	char exe[64];
};

static bool parse(int argc, char **argv, struct arguments *a)
{
	int opt;

	while ((opt = getopt(argc, argv, "l:d:m:r:s:v")) != -1) {
		if (opt == 'l')
			a->level = atoi(optarg);
		else if (opt == 'd')
			a->end_ns = ws_clock_mono_ns() + (uint64_t)(atof(optarg) * 1e9);
		else if (opt == 'm')
			a->tracer.method = *optarg == 'p' ? WS_ATTACH_PERF : WS_ATTACH_UPROBE_MULTI;
		else if (opt == 'r')
			a->tracer.ring_bytes = atol(optarg);
		else if (opt == 's' && a->nseeds < 16)
			a->seeds[a->nseeds++] = optarg;
		else if (opt == 'v')
			a->verbose = true;
		else
			return false;
	}
	if (optind + 1 != argc)
		return false;
	snprintf(a->exe, sizeof(a->exe), "/proc/%.20s/exe", argv[optind]);
	return true;
}

static int start(const struct arguments *a, int exe, struct check *check, struct ws_tracer **tracer,
		 struct ws_ring **ring, uint16_t *server, struct ws_error *err)
{
	struct ws_tracer_options options = a->tracer;
	uint64_t t0 = ws_clock_mono_ns(), t1, t2;
	struct ws_plan plan;
	int i;

	plan_1518(&plan, a->level);
	options.level = a->level;
	if (ws_tracer_new(tracer, &options, err) < 0 ||
	    ws_tracer_add_server(*tracer, &plan, exe, server, err) < 0 ||
	    ws_ring_new(ring, ws_tracer_ring_fd(*tracer), on_record, check, err) < 0)
		return -1;
	for (i = 0; i < a->nseeds; i++)
		if (seed(*tracer, *server, a->seeds[i], err) < 0)
			return -1;
	t1 = ws_clock_mono_ns();
	if (ws_tracer_attach_server(*tracer, *server, err) < 0)
		return -1;
	t2 = ws_clock_mono_ns();
	fprintf(stderr, "method %d: loaded in %.1f ms, attached %zu sites in %.1f ms\n",
		ws_tracer_method(*tracer), (t1 - t0) / 1e6, plan.planted, (t2 - t1) / 1e6);
	return 0;
}

int main(int argc, char **argv)
{
	struct arguments a = { .level = 2 };
	struct check check = { 0 };
	struct ws_error err = { 0 };
	struct ws_tracer *tracer;
	struct ws_ring *ring;
	uint16_t server;
	uint64_t t0;
	int exe;

	if (!parse(argc, argv, &a))
		return 2;
	check.verbose = a.verbose;
	exe = open(a.exe, O_RDONLY | O_CLOEXEC);
	if (exe < 0) {
		perror(a.exe);
		return 1;
	}
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	if (start(&a, exe, &check, &tracer, &ring, &server, &err) < 0)
		return fail(&err);
	while (!stopped && (!a.end_ns || ws_clock_mono_ns() < a.end_ns)) {
		struct pollfd p = { .fd = ws_ring_poll_fd(ring), .events = POLLIN };

		poll(&p, 1, 50);
		ws_ring_consume(ring);
	}
	ws_ring_consume(ring);
	print_summary(&check, tracer, server);
	ws_ring_free(ring);
	t0 = ws_clock_mono_ns();
	ws_tracer_free(tracer);
	fprintf(stderr, "detached in %.1f ms\n", (ws_clock_mono_ns() - t0) / 1e6);
	return check.holes || check.bad_sums || check.bad_begins;
}
