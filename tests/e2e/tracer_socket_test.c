/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the programs read of sockets: those of stand-in servers, whose bytes this program counts
 * itself. Needs root; not part of `make unit`.
 */
#include <arpa/inet.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/util.h"
#include "target/proc.h"
#include "tracer_fixture.h"

#define SENT 12345

/* Both ends of a connection over loopback: [0] is the server's. */
static void connect_tcp(int family, int ends[2])
{
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} address = { .any.sa_family = (sa_family_t)family };
	socklen_t size = family == AF_INET ? sizeof(address.in) : sizeof(address.in6);
	int listener = socket(family, SOCK_STREAM, 0);

	if (family == AF_INET)
		address.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		address.in6.sin6_addr = in6addr_loopback;
	assert_int_equal(bind(listener, &address.any, size), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, &address.any, &size), 0);
	ends[1] = socket(family, SOCK_STREAM, 0);
	assert_int_equal(connect(ends[1], &address.any, size), 0);
	ends[0] = accept(listener, NULL, NULL);
	assert_true(ends[0] >= 0);
	close(listener);
}

/* The process that ends, and nobody else, has the descriptor: at its end it still is open. */
static void send_and_exit(void)
{
	static char bytes[SENT];

	if (write(port_sock, bytes, sizeof(bytes)) != SENT)
		_exit(1);
	_exit(0);
}

static void only_exit(void)
{
	_exit(0);
}

static void receive(int fd, size_t count)
{
	char bytes[4096];

	while (count) {
		ssize_t got = read(fd, bytes, count < sizeof(bytes) ? count : sizeof(bytes));

		assert_true(got > 0);
		count -= (size_t)got;
	}
}

static void the_end_has_the_bytes_of_tcp(void **state)
{
	static const int families[] = { AF_INET, AF_INET6 };
	struct fixture *f = setup(WS_ATTACH_AUTO, 0);

	(void)state;
	for (size_t i = 0; i < WS_ARRAY_SIZE(families); i++) {
		const struct ws_rec_exit *e;
		int ends[2];

		connect_tcp(families[i], ends);
		port_sock = ends[0];
		run(f, send_and_exit, true);
		receive(ends[1], SENT);
		e = record(f, 2 * i + 1, WS_KIND_EXIT);
		assert_int_equal(e->code, 0);
		assert_int_equal(e->h.size, sizeof(*e));
		assert_int_equal(e->h.flags, WS_EXIT_SOCKET);
		assert_int_equal(e->wire_bytes, SENT);
		assert_true(e->acked_bytes <= SENT);
		close(ends[0]);
		close(ends[1]);
	}
	port_sock = -1;
	teardown(f);
}

static void what_is_no_tcp_socket_has_none(void **state)
{
	struct fixture *f = setup(WS_ATTACH_AUTO, 0);
	int pair[2], none[8];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	none[0] = -1;
	none[1] = pair[0];
	none[2] = socket(AF_INET, SOCK_DGRAM, 0);
	none[3] = open("/proc/self/exe", O_RDONLY);
	none[4] = open("/dev/null", O_RDONLY);
	none[5] = f->exe;
	none[6] = 1000;	   /* nothing has it */
	none[7] = 1 << 30; /* far behind the table */
	for (size_t i = 0; i < WS_ARRAY_SIZE(none); i++) {
		const struct ws_rec_exit *e;

		port_sock = none[i];
		run(f, only_exit, true);
		e = record(f, 2 * i + 1, WS_KIND_EXIT);
		assert_int_equal(e->h.size, WS_EXIT_SHORT_SIZE);
		assert_int_equal(e->h.flags, 0);
	}
	port_sock = -1;
	for (size_t i = 1; i < 5; i++)
		close(none[i]);
	close(pair[1]);
	teardown(f);
}

struct sampled {
	struct ws_rec_socket rec;
	struct ws_rec_sample sample;
	uint64_t sent_lsn;
	uint32_t postmaster_pid;
	unsigned int count;
};

static void keep_sample(void *arg, const struct ws_taken *taken)
{
	struct sampled *sampled = arg;

	sampled->rec = taken->socket;
	sampled->sample = taken->sample;
	sampled->sent_lsn = taken->sent_lsn;
	sampled->postmaster_pid = taken->postmaster_pid;
	sampled->count++;
}

static struct sampled sample(const struct fixture *f)
{
	struct sampled sampled = { .count = 0 };

	assert_int_equal(ws_tracer_each_sample(f->tracer, keep_sample, &sampled), 0);
	return sampled;
}

/* What the kernel itself says of the socket, which is at rest. */
static void expect_as_tcp_info(int fd, const struct ws_rec_socket *rec)
{
	struct tcp_info info;
	socklen_t size = sizeof(info);
	int sndbuf;

	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size), 0);
	assert_int_equal(rec->tcp_state, info.tcpi_state);
	assert_int_equal(rec->ca_state, info.tcpi_ca_state);
	assert_int_equal(rec->mss_bytes, info.tcpi_snd_mss);
	assert_int_equal(rec->cwnd, info.tcpi_snd_cwnd);
	assert_int_equal(rec->in_flight_packets, info.tcpi_unacked);
	assert_int_equal(rec->total_retrans, info.tcpi_total_retrans);
	assert_int_equal(rec->srtt_us, info.tcpi_rtt);
	/* Its clocks have gone on since. */
	assert_true(info.tcpi_busy_time - rec->busy_us < 10000000);
	assert_true(info.tcpi_rwnd_limited - rec->rwnd_limited_us < 10000000);
	assert_true(info.tcpi_last_ack_recv - rec->ack_age_us / 1000 + 10 < 10000);
	size = sizeof(sndbuf);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &sndbuf, &size), 0);
	assert_int_equal(rec->sndbuf_bytes, sndbuf);
}

static void seed_self(const struct fixture *f, struct ws_entry *entry)
{
	static const struct ws_proc proc = { .root = "/proc" };
	struct ws_process self;
	struct ws_error err;

	assert_true(ws_proc_read(&proc, (uint32_t)getpid(), &self));
	entry->start_ns = self.start_ticks * (1000000000 / (uint64_t)sysconf(_SC_CLK_TCK));
	assert_int_equal(ws_tracer_seed(f->tracer, self.pid, entry, &err), 1);
}

static void a_unix_socket_that_nobody_reads_fills(void **state)
{
	static char bytes[SENT];
	struct fixture *f = setup(WS_ATTACH_AUTO, 0);
	struct ws_entry entry = {
		.server = 1, .sock = -1, .postmaster_pid = 4711, .turn.lsn_to = 0x16b3748
	};
	unsigned int pieces = 0;
	int ends[2], queued, sndbuf;
	socklen_t size = sizeof(sndbuf);
	struct sampled seen;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	entry.sock = ends[0];
	seed_self(f, &entry);
	seen = sample(f);
	assert_int_equal(seen.count, 1);
	assert_int_equal(seen.rec.h.size, 0); /* it is no TCP socket */
	assert_true(seen.sample.valid & WS_SAMPLE_UNIX);
	assert_int_equal(seen.sent_lsn, 0x16b3748);
	assert_int_equal(seen.postmaster_pid, 4711);
	assert_int_equal(seen.sample.unix_queued_bytes, 0);
	assert_int_equal(seen.sample.unix_packets, 0);
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	while (write(ends[0], bytes, sizeof(bytes)) > 0)
		pieces++;
	assert_true(pieces > 1);
	seen = sample(f);
	assert_int_equal(ioctl(ends[0], SIOCOUTQ, &queued), 0);
	assert_int_equal(seen.sample.unix_queued_bytes, queued);
	assert_int_equal(getsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &sndbuf, &size), 0);
	assert_int_equal(seen.sample.unix_sndbuf_bytes, sndbuf);
	assert_true(seen.sample.unix_packets >= pieces);
	ws_tracer_forget_session(f->tracer, (uint32_t)getpid(), entry.start_ns);
	close(ends[0]);
	close(ends[1]);
	teardown(f);
}

/* This process in the place of a walsender. */
static void a_sample_has_the_bytes_while_they_are_on_their_way(void **state)
{
	static const struct ws_proc proc = { .root = "/proc" };
	static char bytes[SENT];
	struct fixture *f = setup(WS_ATTACH_AUTO, 0);
	struct ws_entry entry = { .server = 1, .sock = -1 };
	int ends[2], queued, room = 4096;
	struct ws_process self;
	struct sampled before, seen;
	struct ws_error err;
	ssize_t got;
	size_t total = 0;

	(void)state;
	connect_tcp(AF_INET, ends);
	assert_int_equal(sample(f).count, 0);
	assert_true(ws_proc_read(&proc, (uint32_t)getpid(), &self));
	entry.start_ns = self.start_ticks * (1000000000 / (uint64_t)sysconf(_SC_CLK_TCK));
	entry.sock = ends[0];
	assert_int_equal(ws_tracer_seed(f->tracer, self.pid, &entry, &err), 1);
	seen = sample(f);
	assert_int_equal(seen.count, 1);
	assert_int_equal(seen.rec.h.size, sizeof(seen.rec));
	assert_int_equal(seen.rec.h.kind, WS_KIND_SOCKET);
	assert_int_equal(seen.rec.h.pid, self.pid);
	assert_int_equal(seen.rec.h.start_ns, entry.start_ns);
	assert_int_equal(seen.rec.h.server, 1);
	assert_int_equal(seen.rec.wire_bytes, 0);
	assert_int_equal(seen.rec.tcp_state, 1); /* TCP_ESTABLISHED */
	assert_int_equal(seen.rec.timer, WS_TCP_TIMER_NONE);
	assert_int_equal(seen.rec.in_flight_bytes, 0);
	assert_int_equal(seen.rec.busy_us, 0);
	assert_int_equal(seen.sample.h.kind, WS_KIND_SAMPLE);
	assert_int_equal(seen.sample.h.size, sizeof(seen.sample));
	assert_int_equal(seen.sample.task_state, 'R'); /* it is this process that asks */
	/* A receiver with no room: most stays here. */
	setsockopt(ends[1], SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	while ((got = write(ends[0], bytes, sizeof(bytes))) > 0)
		total += (size_t)got;
	do { /* nothing is confirmed any more */
		before = sample(f);
		usleep(50000);
		assert_int_equal(ioctl(ends[0], TIOCOUTQ, &queued), 0);
		seen = sample(f);
	} while (seen.rec.acked_bytes != before.rec.acked_bytes);
	assert_int_equal(seen.rec.wire_bytes, total);
	assert_int_equal(seen.rec.acked_bytes, total - (size_t)queued);
	assert_true(seen.rec.unsent_bytes > 0 && seen.rec.unsent_bytes <= (uint32_t)queued);
	assert_int_equal(seen.rec.in_flight_bytes + seen.rec.unsent_bytes, queued);
	expect_as_tcp_info(ends[0], &seen.rec);
	assert_true(seen.rec.busy_us >= before.rec.busy_us + 40000);
	/* The pid of a process that was there before */
	ws_tracer_forget_session(f->tracer, self.pid, entry.start_ns);
	entry.start_ns -= 1000000000;
	assert_int_equal(ws_tracer_seed(f->tracer, self.pid, &entry, &err), 1);
	assert_int_equal(sample(f).count, 0);
	close(ends[0]);
	close(ends[1]);
	teardown(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_end_has_the_bytes_of_tcp),
		cmocka_unit_test(what_is_no_tcp_socket_has_none),
		cmocka_unit_test(a_unix_socket_that_nobody_reads_fills),
		cmocka_unit_test(a_sample_has_the_bytes_while_they_are_on_their_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
