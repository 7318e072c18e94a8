/* SPDX-License-Identifier: BSD-2-Clause */
#include "walsender_play.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

uint64_t play_address(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

static void lay_out(struct play *play)
{
	struct server *server = &play->server;
	struct ws_server_config *config = &play->config;

	memset(&config->off, 0xff, sizeof(config->off)); /* WS_UNKNOWN */
	config->server = 3;
	config->level = 2;
	config->off.walsnd_state = offsetof(struct walsnd, state);
	config->off.walsnd_sent = offsetof(struct walsnd, sent);
	config->off.walsnd_write = offsetof(struct walsnd, write);
	config->off.walsnd_flush = offsetof(struct walsnd, flush);
	config->off.walsnd_apply = offsetof(struct walsnd, apply);
	config->off.walsnd_reply_time = offsetof(struct walsnd, reply_time);
	config->off.port_sock = offsetof(struct port, sock);
	config->off.port_tls = offsetof(struct port, ssl_in_use);
	config->off.port_remote_host = offsetof(struct port, host);
	config->off.port_remote_port = offsetof(struct port, port);
	config->off.port_user = offsetof(struct port, user);
	config->off.port_database = offsetof(struct port, database);
	config->off.port_application = offsetof(struct port, application);
	config->off.slot_name = offsetof(struct slot, name);
	/* those of 15 */
	config->off.wait_event_archive = 0x08000004;
	config->off.wait_event_checkpoint_done = 0x08000009;
	config->off.wait_event_checkpoint_start = 0x0800000a;
	config->var.am_walsender = play_address(&server->am_walsender);
	config->var.am_db_walsender = play_address(&server->am_db_walsender);
	config->var.am_cascading_walsender = play_address(&server->am_cascading_walsender);
	config->var.my_proc_pid = play_address(&server->my_proc_pid);
	config->var.my_proc_port = play_address(&server->my_proc_port);
	config->var.my_walsnd = play_address(&server->my_walsnd);
	config->var.my_replication_slot = play_address(&server->my_slot);
	config->var.pq_send_pointer = play_address(&server->send_pointer);
	config->var.pq_send_start = play_address(&server->send_start);
	play->query = play_address(&server->query);
	play->wait = play_address(&server->wait_info);
}

/* A physical walsender that has caught up. */
int play_setup(void **state)
{
	struct play *play = calloc(1, sizeof(*play));
	struct server *server = &play->server;

	lay_out(play);
	server->am_walsender = 1;
	server->my_proc_port = &server->port;
	server->my_walsnd = &server->walsnd;
	server->my_slot = &server->slot;
	server->wait_info = &server->wait;
	server->my_proc = &server->proc;
	server->query = "START_REPLICATION SLOT \"standby_1\" 0/3000000 TIMELINE 1";
	server->wait = WAIT_MAIN;
	server->send_pointer = server->send_start = 120;
	server->port = (struct port){ "192.0.2.7", "54321", "repl", "", "standby1", 9, 0 };
	server->walsnd = (struct walsnd){ 0,	      WS_WALSND_STREAMING, 0x300014a8, 0x30001400,
					  0x30001300, 0x30001200,	   778899 };
	strcpy(server->slot.name, "standby_1");
	server->max_wal_senders = server->max_slots = 4;
	*state = play;
	return 0;
}

void play_end(struct play *play)
{
	if (!play->pid)
		return;
	kill(play->pid, SIGKILL);
	waitpid(play->pid, NULL, 0);
	play->pid = 0;
}

int play_teardown(void **state)
{
	struct play *play = *state;

	play_end(play);
	ws_seed_deinit(&play->seed);
	free(play);
	return 0;
}

/* Forks the walsender; a pid of 0 in its variables becomes its own. */
void play_begin(struct play *play)
{
	static const struct ws_proc proc = { .root = "/proc" };
	static const struct timespec moment = { .tv_nsec = 1000000 };
	int ready[2];
	char byte;

	assert_int_equal(pipe(ready), 0);
	play->pid = fork();
	assert_true(play->pid >= 0);
	if (!play->pid) {
		struct server *server = &play->server;

		if (!server->my_proc_pid)
			server->my_proc_pid = getpid();
		if (!server->walsnd.pid)
			server->walsnd.pid = getpid();
		if (write(ready[1], "x", 1) != 1)
			_exit(1);
		for (volatile bool busy = play->busy; busy;)
			continue;
		for (;;)
			pause();
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(ready[1]);
	do {
		nanosleep(&moment, NULL);
		assert_true(ws_proc_read(&proc, (uint32_t)play->pid, &play->process));
	} while (!play->busy && play->process.state != 'S');
}

int play_look(struct play *play)
{
	return ws_seed_read(&play->process, 0, &play->config, play->query, play->wait, &play->seed,
			    &play->err);
}

/* Plays it and looks. */
int play_perform(struct play *play)
{
	play_end(play);
	ws_seed_deinit(&play->seed);
	play_begin(play);
	return play_look(play);
}

void play_refused(struct play *play, const char *value)
{
	assert_int_equal(play_perform(play), -1);
	if (!strstr(play->err.why, value))
		fail_msg("\"%s\" does not name %s", play->err.why, value);
}

void play_found(struct play *play, enum ws_found what)
{
	assert_int_equal(play_perform(play), 1);
	assert_int_equal(play->seed.session.found, what);
}
