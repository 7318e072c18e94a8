/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * walsender_play.h: A child process plays the walsender: it lays out the variables and structures
 * of a server in its memory, where this program, forked from the same image, knows their addresses
 * (base 0).
 */
#ifndef WS_TESTS_WALSENDER_PLAY_H
#define WS_TESTS_WALSENDER_PLAY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "probe/seed.h"

struct walsnd {
	int32_t pid;
	uint32_t state;
	uint64_t sent, write, flush, apply, reply_time;
};

struct port {
	const char *host, *port, *user, *database, *application;
	int32_t sock;
	uint8_t ssl_in_use;
};

struct slot {
	uint64_t before;
	char name[WS_NAME_LEN];
	uint32_t database;
};

struct proc {
	uint64_t before;
	uint32_t wait;
};

/* The variables of a server. */
struct server {
	uint8_t am_walsender, am_db_walsender, am_cascading_walsender;
	int32_t my_proc_pid;
	struct port *my_proc_port;
	struct walsnd *my_walsnd;
	struct slot *my_slot;
	const char *query;
	uint32_t *wait_info;
	struct proc *my_proc;
	uint32_t send_pointer, send_start;

	struct port port;
	/* The server's arrays: the process's own element is the second. */
	struct walsnd walsnd_before, walsnd, walsnd_after[2];
	struct slot slot_before, slot, slot_after[2];
	struct walsnd *wal_snd_ctl;
	struct slot *slot_ctl;
	int32_t max_wal_senders, max_slots;
	struct proc proc;
	uint32_t wait;
};

#define WAIT_MAIN    0x0500000dU /* an Activity */
#define WAIT_CLIENT  0x06000007U /* a Client that is neither ClientRead nor ClientWrite */
#define WAIT_STANDBY 0x06000005U
#define WAIT_READ    0x06000000U
#define WAIT_WRITE   0x06000001U
#define WAIT_IO	     0x0a000001U

struct play {
	struct server server; /* as it stands at the fork */
	struct ws_server_config config;
	uint64_t query, wait; /* addresses of debug_query_string and my_wait_event_info */
	struct ws_process process;
	pid_t pid;
	bool busy; /* the child spins instead of sleeping */
	struct ws_seed seed;
	struct ws_error err;
};

uint64_t play_address(const void *p);
/* For cmocka: *state is a struct play of a physical walsender that has caught up. */
int play_setup(void **state);
void play_end(struct play *play);
int play_teardown(void **state);
/* Forks the walsender; a pid of 0 in its variables becomes its own. */
void play_begin(struct play *play);
int play_look(struct play *play);
/* Plays it as it now is laid out, and looks. */
int play_perform(struct play *play);
/* Plays it; the look must fail with an error that contains `value`. */
void play_refused(struct play *play, const char *value);
/* Plays it; the look must find it doing this. */
void play_found(struct play *play, enum ws_found what);

#endif
