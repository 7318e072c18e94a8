/* SPDX-License-Identifier: BSD-2-Clause */
/* What is read of a walsender that already runs, and what is not believed. */
#include "../lib/walsender_play.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/util.h"

static void a_streaming_walsender_is_read_whole(void **state)
{
	struct play *play = *state;
	const struct ws_rec_session *rec = &play->seed.session;
	const struct ws_entry *entry = &play->seed.entry;
	uint64_t tick = 1000000000ULL / (uint64_t)sysconf(_SC_CLK_TCK), now;

	play_found(play, WS_FOUND_STREAM_WAL);
	now = ws_clock_mono_ns();
	assert_int_equal(rec->h.size, sizeof(*rec));
	assert_int_equal(rec->h.kind, WS_KIND_SESSION);
	assert_int_equal(rec->h.pid, play->pid);
	assert_int_equal(rec->h.seq, 0);
	assert_int_equal(rec->h.server, 3);
	assert_int_equal(rec->h.flags, WS_SESSION_RUNNING);
	assert_int_equal(rec->h.start_ns, play->process.start_ticks * tick);
	assert_true(rec->h.time_ns <= now && now - rec->h.time_ns < 10000000000ULL);
	assert_true(rec->fork_ns <= rec->h.time_ns &&
		    rec->h.time_ns - rec->fork_ns < 60000000000ULL);
	assert_int_equal(rec->ns_pid, play->process.ns_pid);
	assert_int_equal(rec->postmaster_pid, getpid());
	assert_int_equal(play->seed.entry.postmaster_pid, getpid());
	assert_int_equal(rec->valid, WS_VALID_USER | WS_VALID_DATABASE | WS_VALID_APPLICATION |
					     WS_VALID_HOST | WS_VALID_PORT | WS_VALID_NS_PID |
					     WS_VALID_PARENT | WS_VALID_TLS);
	assert_int_equal(rec->walsnd_state, WS_WALSND_STREAMING + 1);
	assert_int_equal(rec->port, 54321);
	assert_int_equal(rec->sent_lsn, 0x300014a8);
	assert_string_equal(rec->user, "repl");
	assert_string_equal(rec->database, "");
	assert_string_equal(rec->application, "standby1");
	assert_string_equal(rec->host, "192.0.2.7");
	assert_string_equal(rec->slot, "standby_1");
	assert_true(play->seed.has_command);
	assert_string_equal(play->seed.command.data, play->server.query);
	assert_false(play->seed.command_truncated);

	assert_int_equal(entry->start_ns, rec->h.start_ns);
	assert_int_equal(entry->server, 3);
	assert_int_equal(entry->flags,
			 WS_ENTRY_BASE | WS_ENTRY_IN_LOOP | WS_ENTRY_IN_COMMAND | WS_ENTRY_TURNS);
	assert_int_equal(entry->stage, WS_STAGE_WAIT);
	assert_int_equal(entry->after_wait, WS_STAGE_REPLY);
	assert_int_equal(entry->nap, WS_NAP_ASLEEP);
	assert_int_equal(entry->wait_event, play->server.wait);
	assert_int_equal(entry->wait_info, play_address(&play->server.wait));
	assert_int_equal(entry->seq, 3);
	assert_int_equal(entry->sock, 9);
	assert_int_equal(entry->walsnd, play_address(&play->server.walsnd));
	assert_int_equal(entry->mark_ns, rec->h.time_ns);
	assert_int_equal(entry->write_lsn, 0x30001400);
	assert_int_equal(entry->flush_lsn, 0x30001300);
	assert_int_equal(entry->apply_lsn, 0x30001200);
	assert_int_equal(entry->reply_time_us, 778899);
	assert_int_equal(entry->turn.begin_ns, rec->h.time_ns);
	assert_int_equal(entry->turn.lsn_from, 0x300014a8);
	assert_int_equal(entry->turn.lsn_to, 0x300014a8);
	assert_int_equal(entry->turn.wait, WS_WAIT_NONE);
	assert_int_equal(entry->turn.h.flags, WS_TURN_ATTACHED);
	assert_int_equal(entry->lost, 0);
	assert_int_equal(entry->unreadable, 0);
}

static void its_connection_is_read(void **state)
{
	struct play *play = *state;

	play->server.port.ssl_in_use = 1;
	play_found(play, WS_FOUND_STREAM_WAL);
	assert_int_equal(play->seed.session.h.flags, WS_SESSION_RUNNING | WS_SESSION_TLS);
	assert_true(play->seed.session.valid & WS_VALID_TLS);
	/* No bool; and PGINVALID_SOCKET (port.h), which it is while the process ends */
	play->server.port.ssl_in_use = 77;
	play->server.port.sock = -1;
	play_found(play, WS_FOUND_STREAM_WAL);
	assert_int_equal(play->seed.session.h.flags, WS_SESSION_RUNNING);
	assert_false(play->seed.session.valid & WS_VALID_TLS);
	assert_int_equal(play->seed.entry.sock, -1);
	assert_int_equal(play->seed.entry.unreadable, 1);
	/* Where the fields are not known */
	play->server.port.sock = 9;
	play->config.off.port_sock = play->config.off.port_tls = WS_UNKNOWN;
	play_found(play, WS_FOUND_STREAM_WAL);
	assert_false(play->seed.session.valid & WS_VALID_TLS);
	assert_int_equal(play->seed.entry.sock, -1);
	assert_int_equal(play->seed.entry.unreadable, 0);
}

static void what_it_waits_for_is_told_by_meaning(void **state)
{
	struct play *play = *state;
	struct server *server = &play->server;

	server->send_pointer = 4000;
	play_found(play, WS_FOUND_STREAM_SOCKET);
	assert_int_equal(play->seed.entry.stage, WS_STAGE_WAIT);
	server->wait = 0;
	play_found(play, WS_FOUND_STREAM_BUSY);
	assert_int_equal(play->seed.entry.stage, WS_STAGE_SEND);
	server->wait = WAIT_IO;
	play_found(play, WS_FOUND_STREAM_BUSY);
	server->wait = WAIT_READ;
	play_found(play, WS_FOUND_STREAM_RECV);
	assert_int_equal(play->seed.entry.stage, WS_STAGE_REPLY);
	server->send_pointer = server->send_start;
	server->wait = WAIT_WRITE;
	play_found(play, WS_FOUND_STREAM_SOCKET);
	server->wait = WAIT_CLIENT;
	play_found(play, WS_FOUND_STREAM_WAL);
	play->config.off.wait_event_standby = WAIT_STANDBY;
	server->wait = WAIT_STANDBY;
	play_found(play, WS_FOUND_STREAM_STANDBY);
	/* without the addresses nobody knows which of the two it is */
	play->config.var.pq_send_start = 0;
	server->wait = WAIT_MAIN;
	play_found(play, WS_FOUND_COMMAND);
	assert_true(play->seed.entry.flags & WS_ENTRY_IN_LOOP);
}

static void without_wait_event_info_the_scheduler_tells(void **state)
{
	struct play *play = *state;

	play->wait = 0;
	play_found(play, WS_FOUND_STREAM_WAL);
	play->server.send_pointer = 4000;
	play_found(play, WS_FOUND_STREAM_SOCKET);
	play->busy = true;
	play_found(play, WS_FOUND_STREAM_BUSY);
}

static void up_to_13_the_process_tells_what_it_waits_for(void **state)
{
	struct play *play = *state;
	struct server *server = &play->server;

	play->wait = 0;
	play->config.var.my_proc = play_address(&server->my_proc);
	play->config.off.proc_wait_event = offsetof(struct proc, wait);
	server->proc.wait = WAIT_READ;
	play_found(play, WS_FOUND_STREAM_RECV);
	server->proc.wait = WAIT_IO;
	play_found(play, WS_FOUND_STREAM_BUSY);
	server->proc.wait = WAIT_MAIN;
	play_found(play, WS_FOUND_STREAM_WAL);
	/* one that has none yet sleeps all the same */
	server->my_proc = NULL;
	server->proc.wait = WAIT_READ;
	play_found(play, WS_FOUND_STREAM_WAL);
}

static void a_logical_walsender_waits_inside_the_decoding(void **state)
{
	struct play *play = *state;
	struct server *server = &play->server;

	server->am_db_walsender = 1;
	server->port.database = "shop";
	server->slot.database = 5;
	server->wait = WAIT_CLIENT;
	server->query = " \n START_REPLICATION\tSLOT standby_1 LOGICAL 0/0 (proto_version '3')";
	play_found(play, WS_FOUND_STREAM_WAL);
	assert_true(play->seed.session.h.flags & WS_SESSION_DATABASE);
	assert_string_equal(play->seed.session.database, "shop");
	assert_true(play->seed.entry.flags & WS_ENTRY_LOGICAL);
	assert_int_equal(play->seed.entry.resume, WS_STAGE_DECODE);
	assert_int_equal(play->seed.entry.after_wait, WS_STAGE_DECODE);
	assert_int_equal(play->seed.entry.turn.h.flags, WS_TURN_ATTACHED | WS_TURN_LOGICAL);
	/* at level 3 the wait is inside the reading */
	play->config.site_addr[WS_SITE_DECODE_START] = 1;
	play_found(play, WS_FOUND_STREAM_WAL);
	assert_int_equal(play->seed.entry.resume, WS_STAGE_READ);
	/* where the end of handling replies is known, they come first */
	play->config.site_addr[WS_SITE_REPLIES_END] = 1;
	play_found(play, WS_FOUND_STREAM_WAL);
	assert_int_equal(play->seed.entry.after_wait, WS_STAGE_REPLY);
	/* in WalSndLoop itself */
	server->wait = WAIT_MAIN;
	play_found(play, WS_FOUND_STREAM_WAL);
	/* a server that does not tell its command: the slot says */
	server->query = NULL;
	play_found(play, WS_FOUND_STREAM_WAL);
	assert_true(play->seed.entry.flags & WS_ENTRY_LOGICAL);
	server->slot.database = 0;
	play_found(play, WS_FOUND_STREAM_WAL);
	assert_false(play->seed.entry.flags & WS_ENTRY_LOGICAL);
}

static void a_walsender_of_a_standby_says_so(void **state)
{
	struct play *play = *state;

	play_found(play, WS_FOUND_STREAM_WAL);
	assert_false(play->seed.session.h.flags & WS_SESSION_CASCADING);
	play->server.am_cascading_walsender = 1;
	play_found(play, WS_FOUND_STREAM_WAL);
	assert_true(play->seed.session.h.flags & WS_SESSION_CASCADING);
	/* no truth value, or not known where it is: nothing is claimed */
	play->server.am_cascading_walsender = 2;
	play_found(play, WS_FOUND_STREAM_WAL);
	assert_false(play->seed.session.h.flags & WS_SESSION_CASCADING);
	play->server.am_cascading_walsender = 1;
	play->config.var.am_cascading_walsender = 0;
	play_found(play, WS_FOUND_STREAM_WAL);
	assert_false(play->seed.session.h.flags & WS_SESSION_CASCADING);
}

static void a_slot_named_logical_makes_no_logical_stream(void **state)
{
	struct play *play = *state;

	play->server.query = "START_REPLICATION SLOT \"a LOGICAL\" PHYSICAL 0/3000000";
	play_found(play, WS_FOUND_STREAM_WAL);
	assert_false(play->seed.entry.flags & WS_ENTRY_LOGICAL);
	play->server.query = "START_REPLICATION LOGICAL";
	play_found(play, WS_FOUND_STREAM_WAL);
	assert_false(play->seed.entry.flags & WS_ENTRY_LOGICAL);
	play->server.query = "START_REPLICATION SLOT \"unended";
	play_found(play, WS_FOUND_STREAM_WAL);
	assert_false(play->seed.entry.flags & WS_ENTRY_LOGICAL);
}

static void a_walsender_between_commands_is_idle(void **state)
{
	struct play *play = *state;
	struct server *server = &play->server;

	server->query = NULL;
	server->my_slot = NULL;
	server->walsnd.state = WS_WALSND_STARTUP;
	server->walsnd.sent = 0;
	server->wait = WAIT_READ;
	play_found(play, WS_FOUND_IDLE);
	assert_false(play->seed.has_command);
	assert_int_equal(play->seed.entry.flags, WS_ENTRY_BASE);
	assert_int_equal(play->seed.entry.stage, WS_STAGE_OTHER);
	assert_int_equal(play->seed.entry.mark_ns, 0);
	assert_int_equal(play->seed.entry.seq, 1);
	assert_string_equal(play->seed.session.slot, "");
	/* shutting down, still between commands */
	server->walsnd.state = WS_WALSND_STOPPING;
	play_found(play, WS_FOUND_IDLE);
	/* no command to be seen, but not reading from the client either */
	server->wait = 0;
	play_found(play, WS_FOUND_COMMAND);
	assert_false(play->seed.has_command);
	/* up to 13 */
	play->wait = 0;
	play_found(play, WS_FOUND_IDLE);
}

static void other_commands_are_not_taken_for_a_stream(void **state)
{
	struct play *play = *state;
	struct server *server = &play->server;

	server->walsnd.state = WS_WALSND_STARTUP;
	play_found(play, WS_FOUND_COMMAND); /* START_REPLICATION in front of its loop */
	assert_int_equal(play->seed.entry.flags, WS_ENTRY_BASE | WS_ENTRY_IN_COMMAND);
	assert_int_equal(play->seed.entry.stage, WS_STAGE_OTHER);
	server->query = "CREATE_REPLICATION_SLOT s LOGICAL pgoutput";
	play_found(play, WS_FOUND_COMMAND);
	assert_int_equal(play->seed.entry.flags, WS_ENTRY_BASE | WS_ENTRY_IN_COMMAND);
	server->query = "COPY t FROM STDIN";
	server->wait = WAIT_READ;
	play_found(play, WS_FOUND_COMMAND);
	assert_int_equal(play->seed.entry.flags,
			 WS_ENTRY_BASE | WS_ENTRY_IN_COMMAND | WS_ENTRY_NO_WAITS);
	server->query = "BASE_BACKUP ( LABEL 'x' )";
	server->walsnd.state = WS_WALSND_BACKUP;
	server->wait = WAIT_IO;
	play_found(play, WS_FOUND_COMMAND);
	assert_int_equal(play->seed.entry.flags, WS_ENTRY_BASE | WS_ENTRY_IN_COMMAND |
							 WS_ENTRY_IN_BACKUP | WS_ENTRY_NO_WAITS);
	assert_int_equal(play->seed.entry.backup.phase, 0);
	server->wait = WAIT_WRITE; /* the client takes nothing */
	play_found(play, WS_FOUND_BACKUP_SEND);
	assert_int_equal(play->seed.entry.backup.phase, WS_BACKUP_STREAM);
	assert_int_equal(play->seed.entry.backup_mark_ns, play->seed.session.h.time_ns);
	server->wait = 0;
	server->query = "SELECT 'START_REPLICATION'";
	server->walsnd.state = WS_WALSND_STOPPING;
	play_found(play, WS_FOUND_COMMAND);
	/* stopping inside the loop */
	server->query = "start_replication 0/3000000";
	server->wait = WAIT_MAIN;
	play_found(play, WS_FOUND_STREAM_WAL);
	server->query = NULL;
	play_found(play, WS_FOUND_STREAM_WAL);
}

static void a_base_backup_that_waits_for_its_checkpoint_is_told(void **state)
{
	static const uint32_t checkpoints[] = { 0x08000009, 0x0800000A };
	struct play *play = *state;
	struct server *server = &play->server;

	server->query = "BASE_BACKUP ( LABEL 'x' )";
	server->walsnd.state = WS_WALSND_BACKUP;
	for (size_t i = 0; i < sizeof(checkpoints) / sizeof(checkpoints[0]); i++) {
		server->wait = checkpoints[i];
		play_found(play, WS_FOUND_BACKUP_CHECKPOINT);
		assert_int_equal(play->seed.entry.backup.phase, WS_BACKUP_CHECKPOINT);
	}
	/* the same wait outside of a backup */
	server->wait = checkpoints[0];
	server->query = "CHECKPOINT";
	server->walsnd.state = WS_WALSND_STARTUP;
	play_found(play, WS_FOUND_COMMAND);
}

/* The number that is CheckpointDone in 13 is BackupWaitWalArchive in 15. */
static void
a_base_backup_that_waits_for_the_archive_is_told_by_the_number_of_its_major(void **state)
{
	struct play *play = *state;
	struct server *server = &play->server;

	server->query = "BASE_BACKUP ( LABEL 'x' )";
	server->walsnd.state = WS_WALSND_BACKUP;
	server->wait = 0x08000004;
	play_found(play, WS_FOUND_BACKUP_ARCHIVE);
	assert_int_equal(play->seed.entry.backup.phase, WS_BACKUP_WAIT_ARCHIVE);
	server->walsnd.state = WS_WALSND_STARTUP;
	play_found(play, WS_FOUND_COMMAND);
	server->walsnd.state = WS_WALSND_BACKUP;
	play->config.off.wait_event_archive = 0x08000000;
	play->config.off.wait_event_checkpoint_done = 0x08000004;
	play_found(play, WS_FOUND_BACKUP_CHECKPOINT);
	/* up to 12 there is no such event */
	play->config.off.wait_event_checkpoint_done = WS_UNKNOWN;
	play_found(play, WS_FOUND_COMMAND);
	assert_int_equal(play->seed.entry.backup.phase, 0);
}

static void before_initwalsender_it_starts_if_it_waits_for_its_client(void **state)
{
	struct play *play = *state;

	play->server.my_walsnd = NULL;
	play->server.my_slot = NULL;
	play->server.query = NULL;
	play->server.wait = WAIT_READ;
	play_found(play, WS_FOUND_STARTING);
	assert_int_equal(play->seed.session.walsnd_state, 0);
	assert_int_equal(play->seed.session.sent_lsn, 0);
	assert_string_equal(play->seed.session.user, "repl");
	/* in WalSndKill already, for all that memory says */
	play->server.wait = 0;
	play_found(play, WS_FOUND_UNKNOWN);
}

static void another_backend_is_no_walsender(void **state)
{
	struct play *play = *state;

	play->server.am_walsender = 0;
	assert_int_equal(play_perform(play), 0);
}

/* It did not run yet. */
static void a_child_that_still_has_its_parents_pid_is_no_walsender(void **state)
{
	struct play *play = *state;

	play->server.my_proc_pid = getpid();
	assert_int_equal(play_perform(play), 0);
	/* That of any other process is no excuse. */
	play->server.my_proc_pid = getppid();
	play_refused(play, "MyProcPid");
}

static void a_process_that_is_gone_or_another_is_no_walsender(void **state)
{
	struct play *play = *state;

	play_begin(play);
	play->process.start_ticks--; /* its pid was used again */
	assert_int_equal(play_look(play), 0);
	play->process.start_ticks++;
	assert_int_equal(play_look(play), 1);
	ws_seed_deinit(&play->seed);
	kill(play->pid, SIGKILL);
	assert_int_equal(waitid(P_PID, (id_t)play->pid, &(siginfo_t){ 0 }, WEXITED | WNOWAIT), 0);
	assert_int_equal(play_look(play), 0); /* a zombie */
	play_end(play);
	assert_int_equal(play_look(play), 0);
}

static void a_layout_that_does_not_fit_is_refused_by_name(void **state)
{
	struct play *play = *state;
	struct server *server = &play->server, good = *server;

	server->my_proc_pid = 4711;
	play_refused(play, "MyProcPid is 4711");
	*server = good;
	server->am_walsender = 0x40;
	play_refused(play, "am_walsender is 64");
	*server = good;
	server->am_db_walsender = 2;
	play_refused(play, "am_db_walsender is 2");
	*server = good;
	server->walsnd.pid = 4712;
	play_refused(play, "MyWalSnd->pid is 4712");
	*server = good;
	server->walsnd.state = 5;
	play_refused(play, "MyWalSnd->state is 5");
	*server = good;
	server->walsnd.sent = 3;
	play_refused(play, "MyWalSnd->sentPtr");
	*server = good;
	server->walsnd.sent = 1ULL << 60;
	play_refused(play, "MyWalSnd->sentPtr");
	*server = good;
	strcpy(server->slot.name, "Not A Slot");
	play_refused(play, "MyReplicationSlot->data.name");
	*server = good;
	memset(server->slot.name, 'x', sizeof(server->slot.name));
	play_refused(play, "MyReplicationSlot->data.name");
	*server = good;
	server->slot.name[0] = '\0';
	play_refused(play, "MyReplicationSlot->data.name");
	*server = good;
	server->port.host = "\x01\x02";
	play_refused(play, "MyProcPort->remote_host");
	*server = good;
	assert_int_equal(play_perform(play), 1);
}

static void addresses_that_lead_nowhere_are_refused_by_name(void **state)
{
	struct play *play = *state;
	struct ws_server_config good = play->config;

	play->config.var.my_proc_pid = 8;
	play_refused(play, "MyProcPid");
	assert_int_equal(play->err.errnum, EFAULT);
	play->config = good;
	play->config.var.my_proc_pid = 0;
	play_refused(play, "MyProcPid");
	play->config = good;
	play->config.var.am_walsender = 0;
	play_refused(play, "am_walsender");
	play->config = good;
	play->server.my_walsnd = (struct walsnd *)16;
	play_refused(play, "debug_query_string"); /* the state is read together with it */
}

static void fields_that_cannot_be_read_are_not_valid(void **state)
{
	struct play *play = *state;
	struct server *server = &play->server, good = *server;
	const struct ws_rec_session *rec = &play->seed.session;

	server->port.user = (const char *)16;
	server->port.application = NULL;     /* absent: empty */
	server->port.database = "a\x01\x02"; /* no text */
	play_found(play, WS_FOUND_STREAM_WAL);
	assert_false(rec->valid & WS_VALID_USER);
	assert_true(rec->valid & WS_VALID_APPLICATION);
	assert_false(rec->valid & WS_VALID_DATABASE);
	assert_true(rec->valid & WS_VALID_HOST);
	assert_string_equal(rec->user, "");
	assert_string_equal(rec->application, "");
	assert_string_equal(rec->database, "");
	assert_int_equal(play->seed.entry.unreadable, 2);
	*server = good;
	server->my_proc_port = (struct port *)16;
	play_found(play, WS_FOUND_STREAM_WAL);
	assert_int_equal(rec->valid, WS_VALID_NS_PID | WS_VALID_PARENT);
	*server = good;
	server->my_slot = (struct slot *)16;
	play_found(play, WS_FOUND_STREAM_WAL);
	assert_string_equal(rec->slot, "");
	assert_int_equal(play->seed.entry.unreadable, 1);
	*server = good;
	server->port.port = "70000";
	play_found(play, WS_FOUND_STREAM_WAL);
	assert_false(rec->valid & WS_VALID_PORT);
	assert_int_equal(rec->port, 0);
	server->port.host = "[local]";
	server->port.port = "/tmp/client.sock";
	play_found(play, WS_FOUND_STREAM_WAL);
	assert_true(rec->valid & WS_VALID_PORT);
	assert_int_equal(rec->port, 0);
}

static void a_long_name_is_cut_at_a_character(void **state)
{
	struct play *play = *state;
	char name[90];

	memset(name, 'n', sizeof(name));
	memcpy(name + 62, "\xe2\x82\xac", 3);
	name[sizeof(name) - 1] = '\0';
	play->server.port.application = name;
	play_found(play, WS_FOUND_STREAM_WAL);
	assert_int_equal(strlen(play->seed.session.application), 62);
}

static void a_command_and_names_may_hold_control_characters(void **state)
{
	struct play *play = *state;
	struct server *server = &play->server;

	server->query = "select '\x1b[31m'";
	server->port.user = "us\x1b[1mer";
	server->port.database = "a\nb";
	server->walsnd.state = WS_WALSND_STARTUP;
	play_found(play, WS_FOUND_COMMAND);
	assert_string_equal(play->seed.command.data, server->query);
	assert_string_equal(play->seed.session.user, server->port.user);
	assert_string_equal(play->seed.session.database, server->port.database);
}

static void a_dangling_or_binary_command_is_none(void **state)
{
	struct play *play = *state;
	struct server *server = &play->server;
	const char *bad[] = { (const char *)16, "", "\x01\x7f", "SE\x02\x01T\x03" };

	for (size_t i = 0; i < WS_ARRAY_SIZE(bad); i++) {
		server->query = bad[i];
		server->walsnd.state = WS_WALSND_STREAMING;
		play_found(play, WS_FOUND_STREAM_WAL); /* the state alone is proof enough */
		assert_true(play->seed.has_command);
		assert_int_equal(play->seed.command.len, 0);
		server->walsnd.state = WS_WALSND_STARTUP;
		server->wait = WAIT_READ;
		play_found(play, WS_FOUND_IDLE);
		server->wait = WAIT_MAIN;
	}
}

/* The records as they would go into the stream. */
struct tape {
	uint32_t seq, texts;
	uint16_t kinds[4], last_flags;
	struct ws_buf text;
	int stop_after;
};

static int record(void *arg, const struct ws_rec *rec)
{
	struct tape *tape = arg;

	assert_int_equal(rec->seq, tape->seq);
	assert_int_equal(rec->server, 3);
	assert_true(rec->start_ns && rec->pid && rec->time_ns);
	if (tape->seq < WS_ARRAY_SIZE(tape->kinds))
		tape->kinds[tape->seq] = rec->kind;
	tape->seq++;
	if (rec->kind == WS_KIND_COMMAND)
		assert_int_equal(rec->flags, WS_COMMAND_RUNNING);
	if (rec->kind == WS_KIND_TEXT) {
		const struct ws_rec_text *text = (const struct ws_rec_text *)rec;

		assert_int_equal(rec->size, sizeof(*text) + text->len);
		assert_int_equal(text->of, WS_TEXT_COMMAND);
		assert_int_equal(text->offset, tape->text.len);
		ws_buf_add(&tape->text, text->data, text->len);
		assert_false(tape->last_flags & WS_TEXT_LAST);
		tape->last_flags = rec->flags;
		tape->texts++;
	}
	return tape->stop_after && tape->seq == (uint32_t)tape->stop_after ? -1 : 0;
}

static void check_tape(struct play *play, const char *text, size_t len, uint16_t last_flags)
{
	struct tape tape = { 0 };

	assert_int_equal(ws_seed_records(&play->seed, record, &tape), 0);
	assert_int_equal(tape.seq, play->seed.entry.seq);
	assert_int_equal(tape.kinds[0], WS_KIND_SESSION);
	assert_int_equal(tape.kinds[1], WS_KIND_COMMAND);
	assert_int_equal(tape.kinds[2], WS_KIND_TEXT);
	assert_int_equal(tape.last_flags, last_flags);
	assert_int_equal(tape.text.len, len);
	if (len)
		assert_memory_equal(tape.text.data, text, len);
	ws_buf_deinit(&tape.text);
}

static void records_are_numbered_up_to_the_entry(void **state)
{
	struct play *play = *state;
	struct tape tape = { .stop_after = 2 };
	static char sql[WS_TEXT_MAX + 100];

	memset(sql, 's', sizeof(sql) - 1);
	play_found(play, WS_FOUND_STREAM_WAL);
	check_tape(play, play->server.query, strlen(play->server.query), WS_TEXT_LAST);
	assert_int_equal(ws_seed_records(&play->seed, record, &tape), -1);
	assert_int_equal(tape.seq, 2);
	play->server.query = NULL;
	play_found(play, WS_FOUND_STREAM_WAL);
	check_tape(play, "", 0, WS_TEXT_LAST | WS_TEXT_UNREADABLE);
	play->server.walsnd.state = WS_WALSND_STARTUP;
	for (size_t len = WS_TEXT_CHUNK - 1; len <= WS_TEXT_CHUNK + 1; len++) {
		sql[len] = '\0';
		play->server.query = sql;
		play_found(play, WS_FOUND_COMMAND);
		check_tape(play, sql, len, WS_TEXT_LAST);
		sql[len] = 's';
	}
	play_found(play, WS_FOUND_COMMAND);
	assert_true(play->seed.command_truncated);
	check_tape(play, sql, WS_TEXT_MAX, WS_TEXT_LAST | WS_TEXT_TRUNCATED);
	assert_true(play->seed.has_command_sum);
	assert_int_equal(play->seed.command_bytes, sizeof(sql) - 1);
	assert_int_equal(play->seed.command_xxh64, XXH64(sql, sizeof(sql) - 1, 0));
	sql[WS_TEXT_MAX] = '\0';
	play_found(play, WS_FOUND_COMMAND);
	check_tape(play, sql, WS_TEXT_MAX, WS_TEXT_LAST);
	sql[WS_TEXT_MAX] = 's';
}

static bool stay_on_cpu(int index)
{
	cpu_set_t allowed, one;

	CPU_ZERO(&one);
	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		return false;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, &allowed) && index-- == 0) {
			CPU_SET(cpu, &one);
			return !sched_setaffinity(0, sizeof(one), &one);
		}
	}
	return false;
}

static void a_command_that_keeps_changing_is_not_believed(void **state)
{
	struct play *play = *state;
	static char text[4096];
	volatile uint64_t *query = mmap(NULL, sizeof(*query), PROT_READ | PROT_WRITE,
					MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t deadline = ws_clock_mono_ns() + 30000000000ULL;
	cpu_set_t before;
	pid_t meddler;
	int rc = 1;

	assert_true(query != MAP_FAILED);
	memset(text, 's', sizeof(text) - 1);
	play->query = play_address((const void *)query);
	*query = play_address(text);
	play_begin(play);
	/* The variable lies in shared memory, and somebody else gives it a new value all the time.
	 */
	meddler = fork();
	if (!meddler) {
		if (!stay_on_cpu(1))
			_exit(0);
		/* If it may, in front of whoever else wants that CPU. */
		sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){ .sched_priority = 1 });
		for (uint64_t i = 0;; i++)
			*query = play_address(text + i % 1000);
	}
	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	assert_true(stay_on_cpu(0));
	/* On a busy machine the meddler may not run during a look, which then is a good one. */
	while (CPU_COUNT(&before) > 1 && rc == 1 && ws_clock_mono_ns() < deadline) {
		ws_seed_deinit(&play->seed);
		rc = play_look(play);
	}
	assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
	kill(meddler, SIGKILL);
	waitpid(meddler, NULL, 0);
	munmap((void *)query, sizeof(*query));
	if (CPU_COUNT(&before) < 2)
		skip();
	assert_int_equal(rc, -1);
	assert_non_null(strstr(play->err.why, "changes"));
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, play_setup, play_teardown)
	static const struct CMUnitTest tests[] = {
		TEST(a_streaming_walsender_is_read_whole),
		TEST(its_connection_is_read),
		TEST(what_it_waits_for_is_told_by_meaning),
		TEST(without_wait_event_info_the_scheduler_tells),
		TEST(up_to_13_the_process_tells_what_it_waits_for),
		TEST(a_logical_walsender_waits_inside_the_decoding),
		TEST(a_walsender_of_a_standby_says_so),
		TEST(a_slot_named_logical_makes_no_logical_stream),
		TEST(a_walsender_between_commands_is_idle),
		TEST(other_commands_are_not_taken_for_a_stream),
		TEST(a_base_backup_that_waits_for_its_checkpoint_is_told),
		TEST(a_base_backup_that_waits_for_the_archive_is_told_by_the_number_of_its_major),
		TEST(before_initwalsender_it_starts_if_it_waits_for_its_client),
		TEST(another_backend_is_no_walsender),
		TEST(a_child_that_still_has_its_parents_pid_is_no_walsender),
		TEST(a_process_that_is_gone_or_another_is_no_walsender),
		TEST(a_layout_that_does_not_fit_is_refused_by_name),
		TEST(addresses_that_lead_nowhere_are_refused_by_name),
		TEST(fields_that_cannot_be_read_are_not_valid),
		TEST(a_long_name_is_cut_at_a_character),
		TEST(a_command_and_names_may_hold_control_characters),
		TEST(a_dangling_or_binary_command_is_none),
		TEST(records_are_numbered_up_to_the_entry),
		TEST(a_command_that_keeps_changing_is_not_believed),
	};

	return cmocka_run_group_tests_name("probe/seed", tests, NULL, NULL);
}
