/* SPDX-License-Identifier: BSD-2-Clause */
/* Which values read through a layout no healthy server has: the rules one by one, and on a process.
 */
#include "../lib/walsender_play.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "probe/crosscheck.h"

static bool number(enum ws_check check, uint64_t value, struct ws_witness witness)
{
	return ws_plausible(check, &(struct ws_value){ .number = value }, &witness);
}

static bool text(enum ws_check check, const char *value, struct ws_witness witness)
{
	const struct ws_value v = {
		.number = 0x1000,
		.text = value,
		.room = value ? strlen(value) + 1 : 0,
	};

	return ws_plausible(check, &v, &witness);
}

#define NOBODY ((struct ws_witness){ 0 })

static void a_pid_is_the_processs_own(void **state)
{
	(void)state;
	assert_true(number(WS_CHECK_PID, 77, (struct ws_witness){ .pid = 77 }));
	assert_false(number(WS_CHECK_PID, 78, (struct ws_witness){ .pid = 77 }));
	assert_false(number(WS_CHECK_WALSND_PID, 0, (struct ws_witness){ .pid = 77 }));
	assert_true(number(WS_CHECK_WALSND_PID, 78, NOBODY)); /* whose it is is not known */
}

static void a_bool_is_0_or_1(void **state)
{
	static const enum ws_check bools[] = { WS_CHECK_WALSENDER, WS_CHECK_DB_WALSENDER,
					       WS_CHECK_TLS };

	(void)state;
	for (size_t i = 0; i < WS_ARRAY_SIZE(bools); i++) {
		assert_true(number(bools[i], 0, NOBODY));
		assert_true(number(bools[i], 1, NOBODY));
		assert_false(number(bools[i], 2, NOBODY));
	}
}

static void a_state_is_one_of_five(void **state)
{
	(void)state;
	for (uint64_t value = 0; value <= 4; value++)
		assert_true(number(WS_CHECK_WALSND_STATE, value, NOBODY));
	assert_false(number(WS_CHECK_WALSND_STATE, 5, NOBODY));
	assert_false(number(WS_CHECK_WALSND_STATE, UINT32_MAX, NOBODY));
}

static void a_position_is_in_the_wal_there_is(void **state)
{
	const struct ws_witness small = { .walsender = true, .wal_end = 0x5000000 };
	const struct ws_witness logical = { .walsender = true,
					    .database = true,
					    .wal_end = 0x5000000 };

	(void)state;
	assert_true(number(WS_CHECK_WALSND_SENT, 0, small)); /* nothing sent */
	assert_false(number(WS_CHECK_WALSND_SENT, 4711, small));
	assert_true(number(WS_CHECK_WALSND_SENT, 0x5000000, small));
	/* What a standby received, and threw away when its primary was another. */
	assert_true(number(WS_CHECK_WALSND_SENT, 0x5000000 + WS_LSN_ORDINARY, small));
	assert_false(number(WS_CHECK_WALSND_SENT, 0x5000001 + WS_LSN_ORDINARY, small));
	/* An address, a time in microseconds since 2000, a number below 0 */
	assert_false(number(WS_CHECK_WALSND_SENT, 0x7f12345678a0, small));
	assert_false(number(WS_CHECK_WALSND_SENT, 849600000000000, small));
	assert_false(number(WS_CHECK_WALSND_SENT, UINT64_MAX, small));
	/* Where it is not known how far the WAL goes, or the client may have said so */
	assert_true(number(WS_CHECK_WALSND_SENT, 0x7f12345678a0, NOBODY));
	assert_true(number(WS_CHECK_WALSND_SENT, 0x7f12345678a0, logical));
	assert_true(number(WS_CHECK_WALSND_SENT, UINT64_MAX, logical));
	assert_true(number(WS_CHECK_WALSND_SENT, 1, logical));
	/* A server that has written 200 TB of WAL */
	assert_true(number(WS_CHECK_WALSND_SENT, 200ULL << 40,
			   (struct ws_witness){ .wal_end = (200ULL << 40) + 5 }));
}

static void a_slots_name_is_what_the_server_accepts(void **state)
{
	char full[WS_NAME_LEN];

	(void)state;
	memset(full, 'x', sizeof(full));
	assert_true(text(WS_CHECK_SLOT, "a_0", NOBODY));
	assert_false(text(WS_CHECK_SLOT, "", NOBODY));
	assert_true(text(WS_CHECK_FIRST_SLOT, "", NOBODY)); /* never used */
	assert_true(text(WS_CHECK_FIRST_SLOT, "a_0", NOBODY));
	assert_false(text(WS_CHECK_FIRST_SLOT, "A", NOBODY));
	assert_false(text(WS_CHECK_SLOT, "a-0", NOBODY));
	assert_false(ws_plausible(
		WS_CHECK_SLOT, &(struct ws_value){ .text = full, .room = sizeof(full) }, &NOBODY));
	full[WS_NAME_LEN - 1] = '\0';
	assert_true(ws_plausible(
		WS_CHECK_SLOT, &(struct ws_value){ .text = full, .room = sizeof(full) }, &NOBODY));
}

static void a_text_ends_and_its_address_is_in_the_process(void **state)
{
	static const enum ws_check texts[] = { WS_CHECK_HOST, WS_CHECK_PORT, WS_CHECK_USER,
					       WS_CHECK_DATABASE, WS_CHECK_APPLICATION };

	(void)state;
	for (size_t i = 0; i < WS_ARRAY_SIZE(texts); i++) {
		assert_true(text(texts[i], "1", NOBODY));
		assert_true(text(texts[i], "", NOBODY));
		assert_true(number(texts[i], 0, NOBODY)); /* a null pointer */
		assert_false(ws_plausible(
			texts[i], &(struct ws_value){ .number = 16, .wild = true }, &NOBODY));
		assert_false(ws_plausible(texts[i], &(struct ws_value){ .text = "1234", .room = 4 },
					  &NOBODY));
	}
}

static void what_a_client_chooses_proves_nothing(void **state)
{
	const struct ws_witness parsed = { .walsender = true, .database = true, .parsed = true };

	(void)state;
	assert_true(text(WS_CHECK_USER, "\x01\x02\xff", parsed));
	assert_true(text(WS_CHECK_DATABASE, "\x01\x02\xff", parsed));
	assert_true(text(WS_CHECK_APPLICATION, "\x01\x02\xff", parsed));
	assert_true(text(WS_CHECK_PORT, "/tmp/\x01", parsed)); /* of a Unix socket */
}

static void a_clients_address_is_what_the_server_makes(void **state)
{
	const struct ws_witness inet = { .inet = true };

	(void)state;
	assert_true(text(WS_CHECK_HOST, "fe80::1%eth0", NOBODY));
	assert_true(text(WS_CHECK_HOST, "[local]", NOBODY));
	assert_false(text(WS_CHECK_HOST, "\x01", NOBODY));
	assert_true(text(WS_CHECK_PORT, "65535", inet));
	assert_true(text(WS_CHECK_PORT, "", inet));
	assert_false(text(WS_CHECK_PORT, "repl", inet));
	assert_false(text(WS_CHECK_PORT, "123456", inet));
}

static void a_walsender_has_a_user_and_a_physical_one_no_database(void **state)
{
	struct ws_witness witness = { .walsender = true, .parsed = true };

	(void)state;
	assert_false(text(WS_CHECK_USER, "", witness));
	assert_false(number(WS_CHECK_USER, 0, witness));
	assert_true(text(WS_CHECK_DATABASE, "", witness));
	assert_true(number(WS_CHECK_DATABASE, 0, witness));
	assert_false(text(WS_CHECK_DATABASE, "shop", witness));
	witness.database = true;
	assert_true(text(WS_CHECK_DATABASE, "shop", witness));
	witness = (struct ws_witness){ .walsender = true }; /* still being parsed */
	assert_true(text(WS_CHECK_USER, "", witness));
	assert_true(text(WS_CHECK_DATABASE, "shop", witness));
}

static void a_descriptor_is_a_sockets_or_minus_one(void **state)
{
	(void)state;
	assert_true(number(WS_CHECK_SOCK, 9, NOBODY));
	assert_false(number(WS_CHECK_SOCK, 9, (struct ws_witness){ .no_socket = true }));
	assert_true(number(WS_CHECK_SOCK, UINT32_MAX, NOBODY));
	assert_false(number(WS_CHECK_SOCK, 0xfffffffe, NOBODY));
}

static uint64_t sqlstate(const char *code)
{
	uint64_t packed = 0;

	for (int i = 0; i < 5; i++)
		packed |= (uint64_t)((code[i] - '0') & 0x3f) << (6 * i);
	return packed;
}

static void a_sqlstate_is_five_digits_or_capital_letters(void **state)
{
	(void)state;
	assert_true(number(WS_CHECK_SQLSTATE, sqlstate("00000"), NOBODY));
	assert_true(number(WS_CHECK_SQLSTATE, sqlstate("57P01"), NOBODY));
	assert_true(number(WS_CHECK_SQLSTATE, sqlstate("XXZ9A"), NOBODY));
	assert_false(number(WS_CHECK_SQLSTATE, sqlstate("57;01"), NOBODY));
	assert_false(number(WS_CHECK_SQLSTATE, sqlstate("57P01") | 1U << 30, NOBODY));
}

/* -- on a process: this program is the postmaster, its child the walsender */

struct scene {
	struct play *play;
	struct ws_proc proc;
	struct ws_postmaster postmaster;
	struct ws_crosscheck c;
	struct ws_misfit misfit;
	struct slot *first_slot;
};

/* Children are forked from here: the parent's variables are those of a postmaster. */
static bool refused(struct scene *s)
{
	struct play *play = s->play;
	int own = play->server.my_proc_pid, sock = play->server.port.sock, pair[2] = { -1, -1 };
	bool is_refused;

	/* A socket that the child has, too. */
	if (sock == 9) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
		play->server.port.sock = pair[0];
	}
	play_end(play);
	play_begin(play);
	play->server.port.sock = sock;
	play->server.my_proc_pid = getpid();
	s->proc.root = "/proc";
	assert_true(ws_proc_read(&s->proc, (uint32_t)getpid(), &s->postmaster.process));
	assert_true(ws_proc_base(&s->proc, (uint32_t)getpid(), &s->postmaster.base));
	s->postmaster.children = &play->process;
	s->postmaster.child_count = 1;
	s->c = (struct ws_crosscheck){
		.proc = &s->proc,
		.postmaster = &s->postmaster,
		.config = &play->config,
		.slot_ctl = play_address(&s->first_slot) - s->postmaster.base,
		.max_slots = play_address(&play->server.max_slots) - s->postmaster.base,
		.wal_snd_ctl = play_address(&play->server.wal_snd_ctl) - s->postmaster.base,
		.max_wal_senders = play_address(&play->server.max_wal_senders) - s->postmaster.base,
	};
	is_refused = ws_crosscheck(&s->c, &s->misfit);
	play->server.my_proc_pid = own;
	close(pair[0]);
	close(pair[1]);
	return is_refused;
}

static void expect_refused(struct scene *s, enum ws_check check, const char *value)
{
	assert_true(refused(s));
	assert_string_equal(ws_check_field(s->misfit.check), ws_check_field(check));
	assert_int_equal(s->misfit.pid, s->play->pid);
	if (!strstr(s->misfit.text, value))
		fail_msg("\"%s\" does not name %s", s->misfit.text, value);
}

static int scene_setup(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));
	struct ws_variables *var;
	uint64_t base;

	play_setup((void **)&s->play);
	s->proc.root = "/proc";
	assert_true(ws_proc_base(&s->proc, (uint32_t)getpid(), &base));
	/* The play has base 0; a server's is that of its image. */
	var = &s->play->config.var;
	var->am_walsender -= base;
	var->am_db_walsender -= base;
	var->my_proc_pid -= base;
	var->my_proc_port -= base;
	var->my_walsnd -= base;
	var->my_replication_slot -= base;
	*state = s;
	return 0;
}

static int scene_teardown(void **state)
{
	struct scene *s = *state;
	void *play = s->play;

	play_teardown(&play);
	free(s);
	return 0;
}

static void a_layout_that_fits_is_accepted(void **state)
{
	struct scene *s = *state;
	struct slot never_used = { 0 };

	assert_false(refused(s));
	s->first_slot = &never_used;
	assert_false(refused(s));
	/* A backend, in front of its start-up packet; and what is no backend at all */
	s->play->server.am_walsender = 0;
	s->play->server.port = (struct port){ .host = "", .port = "", .sock = -1 };
	assert_false(refused(s));
	s->play->server.my_proc_port = NULL;
	s->play->server.my_walsnd = NULL;
	s->play->server.my_slot = NULL;
	assert_false(refused(s));
}

static void each_field_of_a_running_walsender_is_held_against_its_rule(void **state)
{
	struct scene *s = *state;
	struct server *server = &s->play->server, good = *server;
	struct slot slot = { .name = "Odd Name" };

	server->my_proc_pid = 4711;
	expect_refused(s, WS_CHECK_PID, "MyProcPid is 4711, not ");
	*server = good;
	server->am_walsender = 3;
	expect_refused(s, WS_CHECK_WALSENDER, "am_walsender is 3, not 0 or 1");
	*server = good;
	server->am_db_walsender = 7;
	expect_refused(s, WS_CHECK_DB_WALSENDER, "am_db_walsender is 7");
	*server = good;
	server->walsnd.pid = 4712;
	expect_refused(s, WS_CHECK_WALSND_PID, "MyWalSnd->pid is 4712");
	*server = good;
	server->walsnd.state = 0x30001400;
	expect_refused(s, WS_CHECK_WALSND_STATE, "MyWalSnd->state is 805311488, not 0 to 4");
	*server = good;
	server->walsnd.sent = 1ULL << 60;
	expect_refused(s, WS_CHECK_WALSND_SENT, "10000000/0");
	*server = good;
	server->port.host = (const char *)16;
	expect_refused(s, WS_CHECK_HOST, "an address in no mapping, 0x10");
	*server = good;
	server->port.port = "repl";
	expect_refused(s, WS_CHECK_PORT, "\"repl\", not a client's port");
	*server = good;
	server->port.user = (const char *)8;
	expect_refused(s, WS_CHECK_USER, "user_name");
	*server = good;
	server->port.user = NULL;
	expect_refused(s, WS_CHECK_USER, "user_name is null");
	*server = good;
	server->port.database = "shop";
	expect_refused(s, WS_CHECK_DATABASE, "database_name is \"shop\"");
	*server = good;
	server->port.application = (const char *)8;
	expect_refused(s, WS_CHECK_APPLICATION, "application_name");
	*server = good;
	server->port.ssl_in_use = 0x70;
	expect_refused(s, WS_CHECK_TLS, "ssl_in_use is 112");
	*server = good;
	server->port.sock = 999; /* nothing is open there */
	expect_refused(s, WS_CHECK_SOCK, "sock is 999");
	*server = good;
	strcpy(server->slot.name, "Odd Name");
	expect_refused(s, WS_CHECK_SLOT, "\"Odd Name\", not a slot's name");
	*server = good;
	s->first_slot = &slot;
	expect_refused(s, WS_CHECK_FIRST_SLOT, "replication_slots[0].data.name is \"Odd Name\"");
}

/* As in a server: what is in the arrays, and what the layout says of them. */
static void lay_out_arrays(struct scene *s)
{
	struct server *server = &s->play->server;
	struct ws_offsets *off = &s->play->config.off;

	server->wal_snd_ctl = &server->walsnd_before;
	server->walsnd_before =
		(struct walsnd){ 4711, WS_WALSND_STREAMING, 0x300014a8, 0, 0, 0, 0 };
	s->first_slot = &server->slot_before;
	strcpy(server->slot_before.name, "a_slot_that_was_dropped");
	server->slot_before.database = 0x4000;
	off->walsndctl_walsnds = off->slots_first = 0;
	off->walsnd_size = sizeof(struct walsnd);
	off->slot_size = sizeof(struct slot);
}

static void the_arrays_of_walsenders_and_slots_are_held_against_their_stride(void **state)
{
	struct scene *s = *state;
	struct server *server = &s->play->server;
	struct ws_offsets *off = &s->play->config.off, good;

	lay_out_arrays(s);
	good = *off;
	assert_false(refused(s));
	off->walsnd_size += 8;
	expect_refused(s, WS_CHECK_WALSND_PLACE,
		       "MyWalSnd - WalSndCtl->walsnds is 48, not the place of an element");
	*off = good;
	off->walsndctl_walsnds = 8;
	expect_refused(s, WS_CHECK_WALSND_PLACE, "is 40, not the place");
	*off = good;
	off->slot_size -= 8;
	expect_refused(s, WS_CHECK_SLOT_PLACE,
		       "MyReplicationSlot - ReplicationSlotCtl->replication_slots is 80, not");
	*off = good;
	server->max_wal_senders =
		1; /* so is the one variable, if its address is of another build */
	expect_refused(s, WS_CHECK_WALSND_PLACE, "is 48, not the place");
	server->max_wal_senders = 4;
	/* The first walsender and the first slot are multiples of anything: what is behind tells.
	 */
	server->my_walsnd = NULL;
	server->my_slot = NULL;
	off->walsnd_size = 8;
	expect_refused(s, WS_CHECK_WALSND_OTHER,
		       "walsnds[].pid is 805311656, not 0 or a process's");
	*off = good;
	off->slot_size = 65;
	expect_refused(s, WS_CHECK_SLOT_OTHER, "data.name is \"@\", not a slot's name");
}

static void healthy_arrays_are_accepted_whatever_is_in_them(void **state)
{
	struct scene *s = *state;
	struct server *server = &s->play->server;

	lay_out_arrays(s);
	server->walsnd_before.pid = 0;	       /* ended */
	server->walsnd_after[1].pid = 4194304; /* the highest there is */
	assert_false(refused(s));
	server->max_wal_senders = server->max_slots = 0; /* not read in time */
	assert_false(refused(s));
	s->play->config.off.walsnd_size = s->play->config.off.slot_size = WS_UNKNOWN;
	assert_false(refused(s));
	s->play->config.off.walsnd_size = s->play->config.off.slot_size = 0;
	assert_false(refused(s));
	server->wal_snd_ctl = (struct walsnd *)16;
	assert_false(refused(s));
	/* Up to 64 elements are looked at: what lies behind the array is not. */
	server->wal_snd_ctl = NULL;
	assert_false(refused(s));
}

static void what_is_not_known_or_not_there_proves_nothing(void **state)
{
	struct scene *s = *state;
	struct server *server = &s->play->server;
	struct ws_server_config good = s->play->config;

	server->walsnd.state = 77;
	s->play->config.off.walsnd_state = WS_UNKNOWN;
	assert_false(refused(s));
	server->walsnd.state = 0;
	s->play->config = good;
	server->my_proc_port = (struct port *)16;
	server->my_slot = (struct slot *)16;
	s->first_slot = (struct slot *)16;
	assert_false(refused(s));
	memset(&s->play->config.var, 0, sizeof(s->play->config.var));
	s->first_slot = NULL;
	assert_false(refused(s));
}

/* fork_process.c: until it ran it has its parent's. */
static void a_child_with_its_parents_pid_proves_nothing_however_old(void **state)
{
	struct scene *s = *state;

	s->play->server.my_proc_pid = getpid();
	s->play->server.am_walsender = 77;
	assert_false(refused(s));
}

static void a_process_with_another_image_proves_nothing(void **state)
{
	struct scene *s = *state;

	s->play->server.walsnd.state = 77;
	assert_true(refused(s));
	/* The look goes where the variables are, but the process says that its image is elsewhere.
	 */
	s->postmaster.base -= 4096;
	s->play->config.var.my_proc_pid += 4096;
	s->play->config.var.am_walsender += 4096;
	s->play->config.var.my_walsnd += 4096;
	s->play->config.var.am_db_walsender += 4096;
	s->play->server.my_proc_pid = getpid();
	assert_false(ws_crosscheck(&s->c, &s->misfit));
}

/* A value that is wrong only while it changes. */
static void a_value_that_is_plausible_a_moment_later_is(void **state)
{
	struct scene *s = *state;
	struct walsnd *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t mender;

	assert_true(shared != MAP_FAILED);
	*shared = s->play->server.walsnd;
	shared->state = 77;
	s->play->server.my_walsnd = shared;
	/* Who the walsender is, is known once it runs: it writes that itself. */
	mender = fork();
	if (!mender) {
		while (!*(volatile int32_t *)&shared->pid)
			usleep(1000);
		usleep(20000);
		shared->state = WS_WALSND_STREAMING;
		_exit(0);
	}
	play_begin(s->play);
	shared->pid = s->play->pid;
	s->play->server.my_proc_pid = getpid();
	assert_true(ws_proc_read(&s->proc, (uint32_t)getpid(), &s->postmaster.process));
	assert_true(ws_proc_base(&s->proc, (uint32_t)getpid(), &s->postmaster.base));
	s->postmaster.children = &s->play->process;
	s->postmaster.child_count = 1;
	s->c = (struct ws_crosscheck){ .proc = &s->proc,
				       .postmaster = &s->postmaster,
				       .config = &s->play->config };
	s->play->config.off.port_sock = WS_UNKNOWN;
	kill(mender, SIGSTOP);
	assert_true(ws_crosscheck(&s->c, &s->misfit));
	assert_int_equal(s->misfit.check, WS_CHECK_WALSND_STATE);
	kill(mender, SIGCONT);
	waitpid(mender, NULL, 0);
	assert_false(ws_crosscheck(&s->c, &s->misfit));
	munmap(shared, sizeof(*shared));
}

static void the_error_names_what_to_do(void **state)
{
	struct ws_misfit misfit = { .check = WS_CHECK_TLS,
				    .pid = 33,
				    .text = "MyProcPort->ssl_in_use is 112, not 0 or 1" };
	struct ws_misfit_server server = { "/bin/postgres", "abcd", WS_LAYOUT_TABLE, 15 };
	struct ws_error err;

	(void)state;
	ws_misfit_error(&misfit, &server, "cannot trace", &err);
	assert_string_equal(err.where, "/bin/postgres (pid 33)");
	assert_non_null(strstr(err.why, misfit.text));
	assert_non_null(strstr(err.fix, "debug symbols"));
	assert_non_null(strstr(err.fix, "abcd"));
	server.source = WS_LAYOUT_DWARF;
	misfit.address = 0x7ffd10;
	ws_misfit_error(&misfit, &server, "cannot trace", &err);
	assert_string_equal(err.where, "/bin/postgres (pid 33 at 0x7ffd10)");
	assert_non_null(strstr(err.fix, "remove the debug file"));
}

/* -- the files */

static void put_segment(const char *folder, const char *name, off_t size)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	close(fd);
}

static void the_wal_ends_behind_its_highest_segment(void **state)
{
	char root[] = "/tmp/walscope-wal-XXXXXX", path[128], command[160];
	const struct ws_proc proc = { .root = root };

	(void)state;
	assert_non_null(mkdtemp(root));
	snprintf(path, sizeof(path), "%s/7/cwd/pg_wal", root);
	snprintf(command, sizeof(command), "mkdir -p %s", path);
	assert_int_equal(system(command), 0);
	assert_true(ws_proc_wal_end(&proc, 7) == 0);
	put_segment(path, "000000010000000000000003", 16 << 20);
	assert_true(ws_proc_wal_end(&proc, 7) == 0x4000000);
	put_segment(path, "000000020000000100000002", 16 << 20);
	put_segment(path, "00000003.history", 100);
	put_segment(path, "000000020000000900000002.partial", 16 << 20);
	put_segment(path, "xlogtemp.99", 16 << 20);
	assert_true(ws_proc_wal_end(&proc, 7) == 0x103000000);
	assert_true(ws_proc_wal_end(&proc, 8) == 0);
	snprintf(command, sizeof(command), "rm -r %s", root);
	assert_int_equal(system(command), 0);
}

static void a_descriptor_of_a_process_is_told_from_none(void **state)
{
	static const struct ws_proc proc = { .root = "/proc" };
	uint32_t own = (uint32_t)getpid();
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(ws_proc_is_socket(&proc, own, pair[0]), 1);
	close(pair[0]);
	assert_int_equal(ws_proc_is_socket(&proc, own, pair[0]), 0);
	close(pair[1]);
	pair[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(ws_proc_is_socket(&proc, own, pair[0]), 0);
	close(pair[0]);
	assert_int_equal(ws_proc_is_socket(&proc, 0x7ffffff0, 0), -1); /* no such process */
}

int main(void)
{
#define TEST(fn)   cmocka_unit_test(fn)
#define PLAYED(fn) cmocka_unit_test_setup_teardown(fn, scene_setup, scene_teardown)
	static const struct CMUnitTest tests[] = {
		TEST(a_pid_is_the_processs_own),
		TEST(a_bool_is_0_or_1),
		TEST(a_state_is_one_of_five),
		TEST(a_position_is_in_the_wal_there_is),
		TEST(a_slots_name_is_what_the_server_accepts),
		TEST(a_text_ends_and_its_address_is_in_the_process),
		TEST(what_a_client_chooses_proves_nothing),
		TEST(a_clients_address_is_what_the_server_makes),
		TEST(a_walsender_has_a_user_and_a_physical_one_no_database),
		TEST(a_descriptor_is_a_sockets_or_minus_one),
		TEST(a_sqlstate_is_five_digits_or_capital_letters),
		PLAYED(a_layout_that_fits_is_accepted),
		PLAYED(each_field_of_a_running_walsender_is_held_against_its_rule),
		PLAYED(the_arrays_of_walsenders_and_slots_are_held_against_their_stride),
		PLAYED(healthy_arrays_are_accepted_whatever_is_in_them),
		PLAYED(what_is_not_known_or_not_there_proves_nothing),
		PLAYED(a_child_with_its_parents_pid_proves_nothing_however_old),
		PLAYED(a_process_with_another_image_proves_nothing),
		PLAYED(a_value_that_is_plausible_a_moment_later_is),
		TEST(the_error_names_what_to_do),
		TEST(the_wal_ends_behind_its_highest_segment),
		TEST(a_descriptor_of_a_process_is_told_from_none),
	};

	return cmocka_run_group_tests_name("probe/crosscheck", tests, NULL, NULL);
}
