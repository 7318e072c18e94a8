/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * plausible.h: what a value read through a layout can be in a healthy server. One table of rules,
 * for whoever reads a server's memory: what is not in it proves that the addresses or the layout
 * are of another build.
 *
 * A rule refuses only what no healthy server ever holds, whatever it does at that moment; what
 * clients choose (names, positions they report, texts) proves nothing. A value may be torn or about
 * to change: read it again before anything is concluded.
 */
#ifndef WS_PROBE_PLAUSIBLE_H
#define WS_PROBE_PLAUSIBLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum ws_check {
	WS_CHECK_NONE = 0,
	WS_CHECK_PID,	       /* MyProcPid */
	WS_CHECK_WALSENDER,    /* am_walsender */
	WS_CHECK_DB_WALSENDER, /* am_db_walsender */
	WS_CHECK_WALSND_PID,   /* WalSnd: pid, its first member */
	WS_CHECK_WALSND_STATE, /* state */
	WS_CHECK_WALSND_SENT,  /* sentPtr */
	WS_CHECK_WALSND_PLACE, /* how far MyWalSnd is from the first of its array, in bytes */
	WS_CHECK_WALSND_OTHER, /* pid of any element of that array */
	WS_CHECK_SLOT,	       /* ReplicationSlot: data.name of one in use */
	WS_CHECK_FIRST_SLOT,   /* data.name of the server's first slot, in use or not */
	WS_CHECK_SLOT_PLACE,   /* how far MyReplicationSlot is from the first of its array */
	WS_CHECK_SLOT_OTHER,   /* data.name of any element of that array */
	WS_CHECK_SOCK,	       /* Port: sock */
	WS_CHECK_TLS,	       /* ssl_in_use */
	WS_CHECK_HOST,	       /* remote_host */
	WS_CHECK_PORT,	       /* remote_port */
	WS_CHECK_USER,	       /* user_name */
	WS_CHECK_DATABASE,     /* database_name */
	WS_CHECK_APPLICATION,  /* application_name */
	WS_CHECK_SQLSTATE,     /* ErrorData: sqlerrcode */
	WS_CHECK_COUNT,
};

/* A value as it was read: a number, or what a pointer to a text leads to. */
struct ws_value {
	uint64_t number;  /* of a text: its address */
	const char *text; /* NULL: it is a number, or a null pointer */
	size_t room;	  /* bytes at `text`; a NUL must be among them */
	bool wild;	  /* the address is in no mapping of the process */
};

/* What is known of the process from elsewhere; what is not is 0. */
struct ws_witness {
	uint32_t pid;	  /* its own, in its own namespace */
	bool walsender;	  /* am_walsender ... */
	bool database;	  /* ... and am_db_walsender: plausible both */
	bool parsed;	  /* its start-up packet was accepted */
	bool no_socket;	  /* no socket has the descriptor that is being checked */
	bool inet;	  /* the client's address is none of a Unix socket */
	uint64_t stride;  /* of the array: bytes of an element ... */
	uint64_t count;	  /* ... and elements */
	uint64_t wal_end; /* where the WAL there is ends, or ends later (ws_proc_wal_end) */
};

/* Whose positions are beyond this is asked where its WAL ends. Below, no LSN is out of the
 * ordinary.
 */
#define WS_LSN_ORDINARY (1ULL << 40)

bool ws_plausible(enum ws_check check, const struct ws_value *value,
		  const struct ws_witness *witness);

/* "MyWalSnd->state" */
const char *ws_check_field(enum ws_check check);

/* "MyWalSnd->state is 77, not 0 to 4". Returns `text`. */
#define WS_CHECK_TEXT 192
const char *ws_check_explain(enum ws_check check, const struct ws_value *value,
			     const struct ws_witness *witness, char text[WS_CHECK_TEXT]);

#endif
