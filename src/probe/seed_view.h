/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * seed_view.h: what one look into a server process's memory showed, and what it means. Used by
 * seed.c, which decides whether to believe it, and by core/.
 */
#ifndef WS_PROBE_SEED_VIEW_H
#define WS_PROBE_SEED_VIEW_H

#include "base/text.h"
#include "config.h"
#include "target/memory.h"
#include "target/proc.h"

#define WS_SEED_NAME 256 /* longer names are cut by the records anyway */

/* What must not change while the rest is read. */
struct ws_seed_anchor {
	uint64_t query;	 /* debug_query_string */
	uint64_t walsnd; /* MyWalSnd */
	uint32_t state;	 /* MyWalSnd->state */
};

/* struct WalSnd; zero where not known. */
struct ws_seed_walsnd {
	uint64_t address;
	int32_t pid;
	bool has_state;
	uint32_t state;
	uint64_t sent, write, flush, apply, reply_time;
};

struct ws_seed_view {
	const struct ws_process *process;
	const struct ws_memory *memory; /* NULL: the running process's */
	uint64_t base;
	const struct ws_server_config *config;
	uint64_t query_address, wait_address; /* debug_query_string, my_wait_event_info */

	/* read */
	struct ws_seed_anchor anchor;
	struct ws_seed_walsnd walsnd;
	uint8_t database; /* am_db_walsender */
	bool cascading;	  /* am_cascading_walsender; false also if that is not known */
	bool has_wait;
	uint32_t wait;	    /* wait_event_info ... */
	uint64_t wait_info; /* ... and its address */
	bool has_pending, pending;
	bool has_slot, slot_logical;
	bool sleeping;	/* as the scheduler sees it */
	uint32_t valid; /* enum ws_session_valid */
	uint32_t unreadable;
	uint16_t port;
	int32_t sock; /* -1: not known */
	bool tls;     /* for WS_VALID_TLS */
	char user[WS_SEED_NAME], dbname[WS_SEED_NAME], application[WS_SEED_NAME];
	char host[WS_SEED_NAME], slot[WS_NAME_LEN];
	struct ws_buf command; /* empty: none that can be read */
	bool command_truncated, has_command_sum;
	uint64_t command_bytes, command_xxh64; /* of a truncated one */

	/* judged */
	enum ws_found found;
	bool in_stream, in_backup, logical;
	bool may_wait; /* a sleep may be a wait of the send loop */
};

void ws_seed_view_init(struct ws_seed_view *view, const struct ws_process *process, uint64_t base,
		       const struct ws_server_config *config, uint64_t query_address,
		       uint64_t wait_address);
void ws_seed_view_deinit(struct ws_seed_view *view);

/* These return false with errno set if memory cannot be read. */
bool ws_seed_view_variable(const struct ws_seed_view *view, uint64_t variable, void *out,
			   size_t size);
bool ws_seed_view_anchor(const struct ws_seed_view *view, struct ws_seed_anchor *anchor);
bool ws_seed_view_walsnd(struct ws_seed_view *view);
/* Whether it waits and whether output is pending; what cannot be read is not known. */
void ws_seed_view_wait(struct ws_seed_view *view);
/* Whether the server is a standby; what cannot be read, or is no truth value, is not known. */
void ws_seed_view_cascading(struct ws_seed_view *view);
/* The name of its slot, as it stands in memory, for has_slot: it need not end. */
void ws_seed_view_slot(struct ws_seed_view *view);
/* User, database and so on. What is there, but no text, is left out, but for `host`. */
void ws_seed_view_port(struct ws_seed_view *view);
/* False if memory ran out. Nothing readable, or no text: no command. */
bool ws_seed_view_command(struct ws_seed_view *view);

/* Fills the judged part. */
void ws_seed_view_judge(struct ws_seed_view *view);

#endif
