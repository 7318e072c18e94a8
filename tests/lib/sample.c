/* SPDX-License-Identifier: BSD-2-Clause */
#include "sample.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "cli/cli.h"
#include "records.h"
#include "trace/trace.h"

#define MS 1000000ULL

struct sorted {
	struct ws_rec **items;
	size_t count, cap;
};

static int keep(void *arg, const struct ws_rec *rec)
{
	struct sorted *s = arg;
	struct ws_rec **slot = ws_array_grow(&s->items, &s->count, &s->cap, sizeof(*slot));
	size_t at;

	*slot = malloc(rec->size);
	memcpy(*slot, rec, rec->size);
	for (at = s->count - 1; at > 0 && s->items[at - 1]->time_ns > rec->time_ns; at--) {
		struct ws_rec *other = s->items[at - 1];

		s->items[at - 1] = s->items[at];
		s->items[at] = other;
	}
	return 0;
}

static void at(struct ws_tape *tape, uint64_t ms)
{
	tape->now_ns = WS_SAMPLE_MONO_NS + ms * MS;
}

static void named(struct ws_tape *tape, uint16_t flags, const char *app, const char *host,
		  const char *database)
{
	struct ws_rec_session rec = {
		.fork_ns = tape->start_ns,
		.ns_pid = tape->pid - 4000,
		.postmaster_pid = 1000,
		.valid = WS_VALID_USER | WS_VALID_APPLICATION | WS_VALID_HOST | WS_VALID_PORT |
			 WS_VALID_NS_PID | WS_VALID_PARENT | WS_VALID_TLS,
		.port = 54321,
	};

	if (database[0])
		rec.valid |= WS_VALID_DATABASE;
	if (flags & WS_SESSION_UNPARSED)
		rec.valid &= ~(uint32_t)WS_VALID_APPLICATION;
	snprintf(rec.user, sizeof(rec.user), "repl");
	snprintf(rec.database, sizeof(rec.database), "%s", database);
	snprintf(rec.application, sizeof(rec.application), "%s", app);
	snprintf(rec.host, sizeof(rec.host), "%s", host);
	tape->mark_ns = tape->now_ns;
	ws_tape_send(tape, &rec.h, WS_KIND_SESSION, sizeof(rec), flags);
}

static void turn(struct ws_tape *tape, uint64_t lsn, uint64_t bytes, uint64_t waited_ms,
		 uint64_t send_us, enum ws_wait wait)
{
	struct ws_tape_turn t = { .lsn_from = lsn, .lsn_to = lsn + bytes, .wait = wait };

	t.stage_ns[WS_STAGE_WAIT] = waited_ms * MS;
	t.stage_ns[WS_STAGE_SEND] = send_us * 1000;
	t.stage_ns[WS_STAGE_TAIL] = 1500;
	ws_tape_turn(tape, &t);
}

static void physical(struct ws_sink sink, int flags)
{
	bool running = flags & WS_SAMPLE_RUNNING;
	struct ws_tape t = ws_tape_new(sink, 4001,
				       running ? WS_SAMPLE_MONO_NS - 600000 * MS
					       : WS_SAMPLE_MONO_NS + 100 * MS);
	uint64_t lsn = 0x3000060;

	at(&t, 102);
	named(&t, running ? WS_SESSION_RUNNING : 0, "standby1", "192.0.2.7", "");
	ws_tape_socket(&t, running ? 70000 : 0, running ? 70000 : 0);
	at(&t, 108);
	if (!running)
		ws_tape_ready(&t);
	at(&t, 109);
	ws_tape_command(&t, "IDENTIFY_SYSTEM");
	at(&t, 110);
	ws_tape_end(&t, WS_COMMAND_DONE);
	at(&t, 120);
	ws_tape_command(&t, "START_REPLICATION SLOT \"s1\" 0/3000000 TIMELINE 1");
	at(&t, 121);
	ws_tape_stream(&t, WS_STREAM_SLOT, lsn, "s1");
	ws_tape_state(&t, WS_WALSND_STARTUP, WS_WALSND_CATCHUP);
	t.mark_ns = t.now_ns;
	for (int i = 0; i < 20; i++, lsn += 131072)
		turn(&t, lsn, 131072, 0, 400, WS_WAIT_NONE);
	ws_tape_state(&t, WS_WALSND_CATCHUP, WS_WALSND_STREAMING);
	for (int i = 0; i < 50; i++, lsn += 8192) {
		if (i == 30 && flags & WS_SAMPLE_LOSS) {
			ws_tape_lose(&t, 7);
			ws_tape_gap(&t, t.now_ns - 20 * MS, t.now_ns, 7, WS_GAP_RING_FULL);
		}
		turn(&t, lsn, 8192, i ? 60 + (uint64_t)i : 0, 40 + (uint64_t)i % 7,
		     i == 49 ? WS_WAIT_SOCKET : WS_WAIT_WAL);
	}
	turn(&t, lsn, 1048576, 1000, 900, WS_WAIT_WAL);
	ws_tape_keepalive(&t, lsn + 1048576);
	ws_tape_socket(&t, 4100000, 4000000);
}

static void refused(struct ws_sink sink)
{
	struct ws_tape t = ws_tape_new(sink, 4004, WS_SAMPLE_MONO_NS + 6500 * MS);

	at(&t, 6501);
	named(&t, 0, "driver", "192.0.2.9", "");
	at(&t, 6502);
	ws_tape_phase(&t, WS_PHASE_AUTH_BEGIN, 0);
	at(&t, 6512);
	ws_tape_phase(&t, WS_PHASE_AUTH_END, 0);
	at(&t, 6515);
	ws_tape_ready(&t);
	at(&t, 6516);
	ws_tape_phase(&t, WS_PHASE_INITIALIZED, WS_PHASE_CASCADING);
	at(&t, 6520);
	ws_tape_command(&t, "SHOW wal_level");
	at(&t, 6521);
	ws_tape_end(&t, WS_COMMAND_DONE);
	at(&t, 6530);
	ws_tape_message(&t, 'P');
	ws_tape_error(&t, WS_ELEVEL_ERROR, "08P01", "forbidden_in_wal_sender",
		      "extended query protocol not supported in a replication connection");
	at(&t, 6539);
	ws_tape_signal(&t, 0, SIGTERM, WS_ROLE_BACKEND, 4100);
	at(&t, 6540);
	ws_tape_error(&t, WS_ELEVEL_FATAL, "57P01", "ProcessInterrupts",
		      "terminating connection due to administrator command");
	at(&t, 6541);
	ws_tape_exit(&t, 1, 0);

	t = ws_tape_new(sink, 4005, WS_SAMPLE_MONO_NS + 6600 * MS);
	at(&t, 6602);
	named(&t, WS_SESSION_REFUSED | WS_SESSION_UNPARSED, "", "192.0.2.9", "");
	ws_tape_error(&t, WS_ELEVEL_FATAL, "22023", "ProcessStartupPacket",
		      "invalid value for parameter \"replication\": \"2\"");
	at(&t, 6603);
	ws_tape_exit(&t, 1, 0);
}

/* As it is looked at from outside: of no number of its sequence. */
static void sampled(struct ws_tape *t, uint64_t ms, struct ws_rec *rec, enum ws_kind kind,
		    size_t size)
{
	uint64_t now_ns = t->now_ns;
	uint32_t seq = t->seq;

	at(t, ms);
	ws_tape_send(t, rec, (uint16_t)kind, size, 0);
	t->seq = seq;
	t->now_ns = now_ns;
}

static void memory(struct ws_tape *t, uint64_t ms, uint64_t gathered)
{
	struct ws_rec_sample sample = { .rss_bytes = 20971520 + gathered,
					.private_bytes = 6291456 + gathered,
					.task_state = 'S',
					.valid = WS_SAMPLE_RSS | WS_SAMPLE_PRIVATE };
	struct ws_rec_memory r = {
		.total_bytes = 2097152 + gathered,
		.reorder_bytes = 8192 + gathered,
		.cache_bytes = 1048576,
		.work_mem_bytes = 67108864,
		.contexts = 142,
		.valid =
			WS_MEMORY_BYTES | WS_MEMORY_REORDER | WS_MEMORY_WORK_MEM | WS_MEMORY_IDENTS,
		.own = { gathered, 524288, 204800, 8192 },
		.whole = { gathered, 1048576, 204800, 8192 + gathered },
		.counts = { 1, 1, 97, 1 },
		.names = { "Tuples", "CacheMemoryContext", "index info", "ReorderBuffer" },
		.parents = { "ReorderBuffer", "TopMemoryContext", "CacheMemoryContext",
			     "Logical decoding context" },
		.idents = { "", "", "pg_index\033_idx", "" },
	};

	sampled(t, ms, &sample.h, WS_KIND_SAMPLE, sizeof(sample));
	sampled(t, ms + 1, &r.h, WS_KIND_MEMORY, sizeof(r));
}

static void logical(struct ws_sink sink, int flags)
{
	struct ws_tape t = ws_tape_new(sink, 4002, WS_SAMPLE_MONO_NS + 1000 * MS);
	uint64_t lsn = 0x3100000;

	at(&t, 1001);
	named(&t, WS_SESSION_DATABASE | WS_SESSION_TLS, "subscriber", "2001:db8::1", "shop");
	at(&t, 1004);
	ws_tape_ready(&t);
	at(&t, 1005);
	ws_tape_command(&t, "SELECT 1");
	ws_tape_end(&t, WS_COMMAND_IS_SQL);
	at(&t, 1006);
	ws_tape_end(&t, WS_COMMAND_SQL_DONE);
	at(&t, 1010);
	ws_tape_command(&t, "START_REPLICATION SLOT nosuch LOGICAL 0/0");
	at(&t, 1011);
	ws_tape_error(&t, WS_ELEVEL_ERROR, "42704", "ReplicationSlotAcquire",
		      "replication slot \"nosuch\" does not exist");
	at(&t, 1020);
	ws_tape_command(&t, "START_REPLICATION SLOT \"sub\" LOGICAL 0/3100000");
	at(&t, 1021);
	ws_tape_stream(&t, WS_STREAM_SLOT | WS_STREAM_LOGICAL, lsn, "sub");
	t.mark_ns = t.now_ns;
	for (int i = 0; i < 10; i++, lsn += 4096) {
		struct ws_tape_turn turn = { .lsn_from = lsn,
					     .lsn_to = lsn + 4096,
					     .wait = WS_WAIT_WAL,
					     .flags = WS_TURN_LOGICAL };

		turn.stage_ns[WS_STAGE_WAIT] = i ? 290 * MS : 0;
		turn.stage_ns[WS_STAGE_DECODE] = 8 * MS;
		turn.stage_ns[WS_STAGE_SEND] = 200000;
		if (i == 5) {
			turn.flags |= WS_TURN_REPLY;
			turn.write_lsn = turn.flush_lsn = lsn;
			turn.apply_lsn = lsn - 4096;
			turn.write_lag_us = turn.flush_lag_us = 250;
			turn.apply_lag_us = -1;
		}
		ws_tape_turn(&t, &turn);
	}
	if (flags & WS_SAMPLE_MEMORY) {
		memory(&t, 1900, 1048576);
		memory(&t, 2900, 50331648);
		memory(&t, 3900, 8388608);
	}
	at(&t, 5000);
	ws_tape_end(&t, WS_COMMAND_DONE);
	at(&t, 5001);
	ws_tape_exit_socket(&t, 48123, 48123);
}

static void backup(struct ws_sink sink)
{
	struct ws_tape t = ws_tape_new(sink, 4003, WS_SAMPLE_MONO_NS + 6000 * MS);

	at(&t, 6001);
	named(&t, 0, "evil\033]0;title\007\xff", "[local]", "");
	at(&t, 6003);
	ws_tape_ready(&t);
	at(&t, 6004);
	ws_tape_command(&t, "BASE_BACKUP ( LABEL 'a\033[2Jb\n\xc3\x28',  PROGRESS)");
	ws_tape_backup(&t, WS_BACKUP_BEGIN, 0, 0);
	at(&t, 6005);
	ws_tape_backup(&t, WS_BACKUP_CHECKPOINT, 0, 0);
	at(&t, 6500);
	ws_tape_backup(&t, WS_BACKUP_STREAM, 0, 0);
	for (uint64_t ms = 6600; ms <= 8000; ms += 100) {
		at(&t, ms);
		ws_tape_backup(&t, WS_BACKUP_STREAM, 2097152, 70 * MS);
	}
	at(&t, 8050);
	ws_tape_exit(&t, 0, 9);
}

int ws_sample_send(struct ws_sink sink, int flags)
{
	struct sorted sorted = { 0 };
	struct ws_sink in = { .fn = keep, .arg = &sorted };
	struct ws_tape clock = ws_tape_new(in, 0, WS_SAMPLE_MONO_NS);
	struct ws_rec_stop stop = { 0 };
	int rc = 0;

	clock.start_ns = 0;
	ws_tape_clock(&clock, WS_SAMPLE_WALL_NS, WS_SAMPLE_MONO_NS);
	ws_tape_server(&clock, 1000, "15.18");
	physical(in, flags);
	logical(in, flags);
	backup(in);
	if (flags & WS_SAMPLE_REFUSED)
		refused(in);
	at(&clock, WS_SAMPLE_NS / MS);
	clock.server = 0;
	if (!(flags & WS_SAMPLE_UNFINISHED))
		ws_tape_send(&clock, &stop.h, WS_KIND_STOP, sizeof(stop), 0);
	for (size_t i = 0; i < sorted.count; i++) {
		if (rc == 0)
			rc = sink.fn(sink.arg, sorted.items[i]);
		free(sorted.items[i]);
	}
	free(sorted.items);
	return rc;
}

static void die(const char *what)
{
	perror(what);
	abort();
}

static int write_rec(void *arg, const struct ws_rec *rec)
{
	struct ws_error err;

	/* Several blocks, as a recording of ten seconds has. */
	if (ws_writer_add(arg, rec, &err))
		return -1;
	return ws_writer_tick(arg, rec->time_ns, &err);
}

void ws_sample_write(char *path, int flags)
{
	struct ws_trace_info info = { .level = 2,
				      .ticks_per_s = 100,
				      .start_mono_ns = WS_SAMPLE_MONO_NS,
				      .start_wall_ns = WS_SAMPLE_WALL_NS,
				      .version = "test",
				      .boot_id = "00000000-0000-0000-0000-000000000000",
				      .host = "test" };
	struct ws_writer *writer;
	struct ws_error err;
	int fd;

	strcpy(path, "/tmp/walscope-sample.XXXXXX");
	fd = mkstemp(path);
	if (fd < 0)
		die(path);
	close(fd);
	if (ws_writer_new(&writer, path, &info, &err) ||
	    ws_sample_send((struct ws_sink){ .fn = write_rec, .arg = writer }, flags) ||
	    ws_writer_close(writer, &err))
		die("sample recording");
}

static void child(const struct ws_cli_run *run, const char *const *args, int out, int err)
{
	char *argv[32] = { (char *)"walscope" };
	int argc = 1;

	for (; args[argc - 1]; argc++)
		argv[argc] = (char *)args[argc - 1];
	setenv("TZ", "UTC", 1);
	setenv("LC_ALL", run->locale ? run->locale : "C.UTF-8", 1);
	setenv("COLUMNS", run->columns ? run->columns : "100", 1);
	if (run->dir && chdir(run->dir))
		die(run->dir);
	if (run->uid && (setgroups(0, NULL) || setgid(run->uid) || setuid(run->uid)))
		die("setuid");
	dup2(err, STDERR_FILENO);
	if (run->stdout_fd < 0)
		close(STDOUT_FILENO);
	else
		dup2(run->stdout_fd ? run->stdout_fd : out, STDOUT_FILENO);
	exit(ws_cli_main(argc, argv));
}

static char *contents(int fd)
{
	struct stat st;
	char *text;

	if (fstat(fd, &st))
		die("fstat");
	text = calloc(1, (size_t)st.st_size + 1);
	if (!text || pread(fd, text, (size_t)st.st_size, 0) != st.st_size)
		die("output");
	return text;
}

void ws_cli_run(struct ws_cli_run *run, const char *const *args)
{
	int out = memfd_create("out", 0), err = memfd_create("err", 0), status;
	pid_t pid;

	if (out < 0 || err < 0)
		die("memfd_create");
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0)
		child(run, args, out, err);
	if (waitpid(pid, &status, 0) != pid)
		die("waitpid");
	run->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	run->out = contents(out);
	run->err = contents(err);
	run->err_lines = 0;
	for (const char *c = run->err; *c; c++)
		run->err_lines += *c == '\n';
	close(out);
	close(err);
}

void ws_cli_run_deinit(struct ws_cli_run *run)
{
	free(run->out);
	free(run->err);
	run->out = run->err = NULL;
}

void ws_cli_refused(struct ws_cli_run run, const char *const *args, int status, const char *why)
{
	ws_cli_run(&run, args);
	if (run.status != status || run.err_lines != 1 || run.out[0] || !strstr(run.err, why)) {
		print_error("walscope");
		for (size_t i = 0; args[i]; i++)
			print_error(" %s", args[i]);
		print_error(": status %d, wanted %d with '%s'; stderr: %s", run.status, status, why,
			    run.err);
		fail();
	}
	assert_memory_equal(run.err, "walscope: ", 10);
	ws_cli_run_deinit(&run);
}
