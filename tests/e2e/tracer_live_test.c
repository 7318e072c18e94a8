/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Walks the programs through known sequences in a stand-in server (fake_server.h) and looks at
 * every record. Needs root; not part of `make unit`.
 */
#include <signal.h>
#include <sys/prctl.h>

#include "base/util.h"
#include "tracer_fixture.h"

static struct fake_walsnd walsnd;

static uint64_t start_ticks(pid_t pid)
{
	unsigned long long ticks = 0;
	char path[64];
	FILE *stat;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	stat = fopen(path, "r");
	assert_non_null(stat);
	assert_int_equal(
		fscanf(stat,
		       "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d "
		       "%*d %*d %*d %*d %*d %llu",
		       &ticks),
		1);
	fclose(stat);
	return ticks;
}

static void exit_with_3(void)
{
	_exit(3);
}

static void session_says_who_it_is(enum ws_attach_method method)
{
	struct fixture *f = setup(method, 0);
	uint64_t before = ws_clock_mono_ns();
	pid_t pid = run(f, exit_with_3, true);
	const struct ws_rec_session *s = record(f, 0, WS_KIND_SESSION);
	const struct ws_rec_exit *e = record(f, 1, WS_KIND_EXIT);
	struct ws_entry entry;

	assert_int_equal(s->h.pid, pid);
	assert_int_equal(s->h.server, f->server);
	assert_int_equal(s->ns_pid, pid);
	assert_int_equal(s->postmaster_pid, getpid());
	assert_int_equal(s->base, fake_base());
	assert_int_equal(s->h.flags, WS_SESSION_DATABASE | WS_SESSION_TLS);
	assert_int_equal(s->valid, 0xff);
	assert_string_equal(s->user, "repl");
	assert_string_equal(s->database, "sales");
	assert_string_equal(s->application, "standby_1");
	assert_string_equal(s->host, "192.0.2.7");
	assert_int_equal(s->port, 54321);
	assert_true(before < s->fork_ns && s->fork_ns < s->h.time_ns);
	assert_int_equal(e->code, 3);
	assert_int_equal(e->signal, 0);
	assert_int_equal(f->count, 2);
	assert_true(ws_tracer_entry(f->tracer, pid, &entry));
	assert_true(entry.flags & WS_ENTRY_DEAD);
	ws_tracer_forget_session(f->tracer, pid, s->h.start_ns + 1);
	assert_true(ws_tracer_entry(f->tracer, pid, &entry));
	ws_tracer_forget_session(f->tracer, pid, s->h.start_ns);
	assert_false(ws_tracer_entry(f->tracer, pid, &entry));
	assert_true(ws_tracer_site_hit(f->tracer, f->server, WS_SITE_SESSION_START));
	assert_false(ws_tracer_site_hit(f->tracer, f->server, WS_SITE_ERROR));
	teardown(f);
}

static void uprobe_multi_session_says_who_it_is(void **state)
{
	struct ws_kernel_features features;

	(void)state;
	ws_kernel_probe(&features);
	if (!features.uprobe_multi) /* before 6.6 */
		skip();
	session_says_who_it_is(WS_ATTACH_UPROBE_MULTI);
}

static void perf_session_says_who_it_is(void **state)
{
	(void)state;
	session_says_who_it_is(WS_ATTACH_PERF);
}

static void report_ticks(void)
{
	uint64_t ticks = start_ticks(getpid());

	/* as an LSN, for want of another way out */
	walsnd.sent = ticks;
	fake.my_walsnd = &walsnd;
	fake_KEEPALIVE(0x100, 0, 0, 0, 0);
	raise(SIGKILL);
}

static void start_is_field_22_and_a_signal_is_told_from_a_code(void **state)
{
	struct fixture *f = setup(WS_ATTACH_AUTO, 0);
	const struct ws_rec_keepalive *k;
	const struct ws_rec_signal *s;
	const struct ws_rec_exit *e;

	(void)state;
	run(f, report_ticks, true);
	k = record(f, 1, WS_KIND_KEEPALIVE);
	s = record(f, 2, WS_KIND_SIGNAL);
	e = record(f, 3, WS_KIND_EXIT);
	assert_int_equal(k->h.start_ns / (1000000000 / sysconf(_SC_CLK_TCK)), k->lsn);
	assert_int_equal(k->request_reply, 0); /* a bool is one byte of the register */
	assert_int_equal(e->code, 0);
	assert_int_equal(e->signal, SIGKILL);
	assert_int_equal(s->signal, SIGKILL);
	assert_int_equal(s->target_pid, e->h.pid);
	assert_int_equal(s->target_start_ns, e->h.start_ns);
	assert_int_equal(s->sender_pid, e->h.pid);
	assert_int_equal(s->role, WS_ROLE_SELF);
	teardown(f);
}

static const size_t text_sizes[] = { 0,
				     1,
				     446,
				     447,
				     448,
				     449,
				     447 + 4095,
				     447 + 4096,
				     100000,
				     WS_TEXT_MAX - 1,
				     WS_TEXT_MAX,
				     WS_TEXT_MAX + 1,
				     WS_TEXT_MAX + 10000 };

static void send_texts(void)
{
	size_t i, size = 2 * WS_TEXT_MAX;
	char *text = malloc(size);

	memset(text, 'x', size);
	for (i = 0; i < WS_ARRAY_SIZE(text_sizes); i++) {
		text[text_sizes[i]] = 0;
		fake_COMMAND_START((long)text, 0, 0, 0, 0);
		fake_COMMAND_END(i % 2, 0, 0, 0, 0);
		text[text_sizes[i]] = 'x';
	}
	fake_COMMAND_START(1, 0, 0, 0, 0); /* not to be read */
	fake_SQL_END(0, 0, 0, 0, 0);
}

static void texts_of_any_length_come_whole_or_say_so(void **state)
{
	struct fixture *f = setup(WS_ATTACH_AUTO, 0);
	const struct ws_rec_command_end *end;
	size_t i, at = 1, len;
	uint16_t flags;

	(void)state;
	run(f, send_texts, true);
	check_numbers(f);
	for (i = 0; i < WS_ARRAY_SIZE(text_sizes); i++) {
		record(f, at++, WS_KIND_COMMAND);
		at = read_text(f, at, &len, &flags);
		if (text_sizes[i] <= WS_TEXT_MAX) {
			assert_int_equal(len, text_sizes[i]);
			assert_int_equal(flags, WS_TEXT_LAST);
		} else {
			assert_int_equal(len, WS_TEXT_MAX);
			assert_int_equal(flags, WS_TEXT_LAST | WS_TEXT_TRUNCATED);
		}
		end = record(f, at++, WS_KIND_COMMAND_END);
		assert_int_equal(end->how, i % 2 ? WS_COMMAND_DONE : WS_COMMAND_IS_SQL);
	}
	record(f, at++, WS_KIND_COMMAND);
	at = read_text(f, at, &len, &flags);
	assert_int_equal(len, 0);
	assert_int_equal(flags, WS_TEXT_LAST | WS_TEXT_UNREADABLE);
	end = record(f, at++, WS_KIND_COMMAND_END);
	assert_int_equal(end->how, WS_COMMAND_SQL_DONE);
	assert_int_equal(((const struct ws_rec_exit *)record(f, at, WS_KIND_EXIT))->unreadable, 1);
	teardown(f);
}

static void back_up(void)
{
	int i;

	fake_COMMAND_START((long)"", 0, 0, 0, 0);
	fake_BACKUP_BEGIN(0, 0, 0, 0, 0);
	fake_BACKUP_CHECKPOINT(0, 0, 0, 0, 0);
	for (i = 0; i < 30; i++) {
		fake_BACKUP_CHUNK(0, 1000, 0, 0, 0);
		usleep(5000);
		fake_BACKUP_CHUNK_END(0, 0, 0, 0, 0);
	}
	fake_ERROR(0, 0, 0, 0, 0);
}

static void backup_loses_no_chunk(void **state)
{
	struct fixture *f = setup(WS_ATTACH_AUTO, 0);
	const struct ws_rec_backup *b;
	uint64_t bytes = 0, send_ns = 0, chunks = 0;
	size_t i;

	(void)state;
	fake.errordata_stack_depth = -1;
	run(f, back_up, true);
	check_numbers(f);
	assert_int_equal(((const struct ws_rec_backup *)record(f, 3, WS_KIND_BACKUP))->phase,
			 WS_BACKUP_BEGIN);
	assert_int_equal(((const struct ws_rec_backup *)record(f, 4, WS_KIND_BACKUP))->phase,
			 WS_BACKUP_CHECKPOINT);
	assert_true(f->count >= 8);
	for (i = 5; i + 2 < f->count; i++) {
		b = record(f, i, WS_KIND_BACKUP);
		assert_int_equal(b->phase, WS_BACKUP_STREAM);
		bytes += b->bytes;
		send_ns += b->send_ns;
		chunks += b->chunks;
	}
	assert_int_equal(bytes, 30000);
	assert_int_equal(chunks, 30);
	assert_true(send_ns >= 30 * 5000000ULL);
	record(f, i, WS_KIND_ERROR);
	teardown(f);
}

static void seeded(void)
{
	/* The parent has put the entry in before it lets this go on. */
	char byte;

	if (read(STDIN_FILENO, &byte, 1) == 1)
		fake_WAIT_END(1, WS_WL_LATCH_SET, 0, 0, 0);
	fake_SEND_PHYSICAL(0, 0, 0, 0, 0);
	fake_FLUSH_END(0, 0, 0, 0, 0);
	fake_WAIT_START(WS_WL_SOCKET_READABLE, 1, 0, 0, 0);
	_exit(0);
}

/* Forks a walsender that waits until go_on() before its first hit, and puts its entry in; with its
 * own start unless the entry has one. */
static pid_t start_seeded(struct fixture *f, struct ws_entry *entry, void (*body)(void), int *go)
{
	struct ws_error err;
	int fds[2], ready[2];
	pid_t pid;
	char byte;

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(pipe(ready), 0);
	walsnd = (struct fake_walsnd){ .sent = 0x7000 };
	fake.my_walsnd = &walsnd;
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* it must not outlive a test that fails */
		dup2(fds[0], STDIN_FILENO);
		dup2(ready[1], STDOUT_FILENO);
		closefrom(3); /* a link lives as long as any process holds it */
		if (write(STDOUT_FILENO, "x", 1) == 1)
			body();
		_exit(1);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(ready[1]);
	close(fds[0]);
	*go = fds[1];
	entry->server = f->server;
	entry->base = fake_base();
	if (!entry->start_ns)
		entry->start_ns = start_ticks(pid) * WS_TICK_NS;
	assert_int_equal(ws_tracer_seed(f->tracer, pid, entry, &err), 1);
	assert_int_equal(ws_tracer_seed(f->tracer, pid, entry, &err), 0); /* left alone */
	return pid;
}

static void go_on(struct fixture *f, pid_t pid, int go)
{
	assert_int_equal(write(go, "x", 1), 1);
	close(go);
	waitpid(pid, NULL, 0);
	ws_ring_consume(f->ring);
}

static void a_running_walsender_goes_on_from_its_seed(void **state)
{
	struct fixture *f = setup(WS_ATTACH_AUTO, 0);
	struct ws_entry entry = { .flags = WS_ENTRY_BASE | WS_ENTRY_IN_COMMAND | WS_ENTRY_IN_LOOP |
					   WS_ENTRY_TURNS,
				  .stage = WS_STAGE_WAIT,
				  .nap = WS_NAP_ASLEEP,
				  .after_wait = WS_STAGE_REPLY };
	const struct ws_rec_turn *t;
	pid_t pid;
	int go;

	(void)state;
	pid = start_seeded(f, &entry, seeded, &go);
	usleep(5000);
	go_on(f, pid, go);
	t = turn(f, 0);
	assert_int_equal(t->h.flags, WS_TURN_ATTACHED | WS_TURN_WOKE);
	assert_int_equal(t->lsn_from, 0x7000);
	assert_int_equal(t->h.start_ns, entry.start_ns);
	assert_true(t->stage_ns[WS_STAGE_WAIT] >= 5000000);
	teardown(f);
}

/* Where the seed found it, not where most logical walsenders are. */
static void a_seeded_wait_goes_on_with_the_stage_the_seed_names(void **state)
{
	struct fixture *f = setup(WS_ATTACH_AUTO, 0);
	struct ws_entry entry = { .flags = WS_ENTRY_BASE | WS_ENTRY_IN_COMMAND | WS_ENTRY_IN_LOOP |
					   WS_ENTRY_TURNS | WS_ENTRY_LOGICAL,
				  .stage = WS_STAGE_WAIT,
				  .nap = WS_NAP_ASLEEP,
				  .after_wait = WS_STAGE_READ };
	const struct ws_rec_turn *t;
	pid_t pid;
	int go;

	(void)state;
	pid = start_seeded(f, &entry, seeded, &go);
	go_on(f, pid, go);
	t = turn(f, 0);
	assert_true(t->stage_ns[WS_STAGE_READ] > 0);
	assert_int_equal(t->stage_ns[WS_STAGE_DECODE], 0);
	teardown(f);
}

/* A seed is a look at what goes on: the wait it found may be over, or the decoding, at the first
 * hit. */
static void decode_seeded(void (*first)(void))
{
	char byte;

	if (read(STDIN_FILENO, &byte, 1) == 1)
		first();
	for (int i = 0; i < 3; i++) {
		fake_SEND_LOGICAL(0, 0, 0, 0, 0);
		usleep(1000); /* decodes */
	}
	fake_WAIT_START(WS_WL_SOCKET_READABLE, 1, 0, 0, 0);
	_exit(0);
}

static void wakes_up(void)
{
	fake_REPLIES_END(0, 0, 0, 0, 0);
}

static void is_in_the_loop(void)
{
}

static void decode_from_the_wait(void)
{
	decode_seeded(wakes_up);
}

static void decode_from_the_loop(void)
{
	decode_seeded(is_in_the_loop);
}

static void a_decoding_found_in_a_wait_comes_out_of_it(void **state)
{
	void (*const bodies[])(void) = { decode_from_the_wait, decode_from_the_loop };

	(void)state;
	for (size_t i = 0; i < WS_ARRAY_SIZE(bodies); i++) {
		struct fixture *f = setup_at_level(2, WS_ATTACH_AUTO, 0);
		struct ws_entry entry = { .flags = WS_ENTRY_BASE | WS_ENTRY_IN_COMMAND |
						   WS_ENTRY_IN_LOOP | WS_ENTRY_TURNS |
						   WS_ENTRY_LOGICAL,
					  .stage = WS_STAGE_WAIT,
					  .nap = WS_NAP_ASLEEP,
					  .after_wait = WS_STAGE_REPLY,
					  .resume = WS_STAGE_DECODE };
		uint64_t decode_ns = 0, turns = 0;
		unsigned int at = 0;
		const struct ws_rec_turn *t;
		pid_t pid;
		int go;

		pid = start_seeded(f, &entry, bodies[i], &go);
		go_on(f, pid, go);
		do {
			t = turn(f, at++);
			turns += t->turns;
			decode_ns += t->stage_ns[WS_STAGE_DECODE];
		} while (t->wait == WS_WAIT_NONE);
		assert_int_equal(turns, 3);
		assert_true(decode_ns >= 2000000);
		teardown(f);
	}
}

static void no_entry_changes_once_exits_are_detached(void **state)
{
	struct fixture *f = setup(WS_ATTACH_AUTO, 0);
	struct ws_entry entry = { 0 };
	pid_t seen, unseen;
	int go_seen, go_unseen;

	(void)state;
	seen = start_seeded(f, &entry, seeded, &go_seen);
	unseen = start_seeded(f, &entry, seeded, &go_unseen);
	ws_tracer_detach(f->tracer);
	go_on(f, seen, go_seen);
	assert_int_equal(f->count, 1);
	record(f, 0, WS_KIND_EXIT);
	ws_tracer_detach_exits(f->tracer);
	go_on(f, unseen, go_unseen);
	assert_int_equal(f->count, 1);
	assert_true(ws_tracer_entry(f->tracer, unseen, &entry));
	assert_false(entry.flags & WS_ENTRY_DEAD);
	teardown(f);
}

static void an_exit_is_not_that_of_an_older_process_with_the_pid(void **state)
{
	struct fixture *f = setup(WS_ATTACH_AUTO, 0);
	struct ws_entry entry = { .start_ns = 12345 };
	pid_t pid;
	int go;

	(void)state;
	pid = start_seeded(f, &entry, seeded, &go);
	ws_tracer_detach(f->tracer);
	go_on(f, pid, go);
	assert_int_equal(f->count, 0);
	assert_true(ws_tracer_entry(f->tracer, pid, &entry));
	assert_false(entry.flags & WS_ENTRY_DEAD);
	teardown(f);
}

static void the_kernel_is_found_able(void **state)
{
	struct ws_kernel_features features;

	(void)state;
	ws_kernel_probe(&features);
	assert_string_equal(features.problem, "");
	assert_true(features.bpf_allowed && features.ring_buffer && features.btf);
	assert_true(features.uprobe_multi || features.uprobe_perf);
	assert_true(features.task_iterator);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_kernel_is_found_able),
		cmocka_unit_test(uprobe_multi_session_says_who_it_is),
		cmocka_unit_test(perf_session_says_who_it_is),
		cmocka_unit_test(start_is_field_22_and_a_signal_is_told_from_a_code),
		cmocka_unit_test(texts_of_any_length_come_whole_or_say_so),
		cmocka_unit_test(backup_loses_no_chunk),
		cmocka_unit_test(a_running_walsender_goes_on_from_its_seed),
		cmocka_unit_test(a_seeded_wait_goes_on_with_the_stage_the_seed_names),
		cmocka_unit_test(a_decoding_found_in_a_wait_comes_out_of_it),
		cmocka_unit_test(no_entry_changes_once_exits_are_detached),
		cmocka_unit_test(an_exit_is_not_that_of_an_older_process_with_the_pid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
