/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * checkpoint_parts.h: what checkpoint.c keeps and checkpoint_tell.c tells.
 */
#ifndef WS_TRACE_CHECKPOINT_PARTS_H
#define WS_TRACE_CHECKPOINT_PARTS_H

#include <stdbool.h>
#include <sys/queue.h>

#include "base/text.h"
#include "event/idmap.h"
#include "trace/checkpoint.h"

#define WS_CHECKPOINT_PHASES 4

/* A text that arrives in pieces. */
struct text {
	struct ws_buf buf;
	bool any, cut;
	struct ws_rec_text_sum sum; /* h.kind 0: none came */
};

/* What goes on. */
enum doing {
	DOING_UNKNOWN = 0, /* its first record is missing, or a gap lies behind */
	DOING_STARTING,
	DOING_FOUND, /* as it was found when tracing began */
	DOING_IDLE,
	DOING_COMMAND,
	DOING_STREAM,
	DOING_BACKUP,
	DOING_ENDING, /* a FATAL was reported */
};

/* The last one of each kind that says what is so until the next one; h.kind 0: there was none. */
struct lasts {
	struct ws_rec_socket socket;
	struct ws_rec_sample sample;
	struct ws_rec_blocked blocked;
	struct ws_rec_decoding decoding;
	struct ws_rec_memory memory;
	struct ws_rec_backup backup;
	struct ws_rec_turn turn, reply;
	struct ws_rec_error error; /* a FATAL or COMMERROR */
	struct ws_rec_ending ending;
	struct ws_rec_signal signal; /* that may end it */
};

struct kept {
	struct ws_id id;
	LIST_ENTRY(kept) entry;
	struct ws_rec_session session; /* h.kind 0: it is missing */
	struct ws_rec_phase phase[WS_CHECKPOINT_PHASES];
	unsigned int phases;
	enum doing doing;
	uint32_t seq; /* of its last record */
	uint64_t sent_lsn;
	uint8_t walsnd_state;	     /* plus one */
	bool command;		     /* one runs ... */
	bool sql;		     /* ... as SQL ... */
	struct ws_rec_command begun; /* ... since this */
	struct text text, message;
	struct lasts last;
};

struct server {
	struct ws_rec_server rec;
	struct ws_rec_cluster cluster;
};

struct ws_checkpoint {
	struct ws_idmap by_id;
	LIST_HEAD(kept_list, kept) sessions;
	size_t count;
	struct server *servers;
	size_t server_count, server_cap;
	struct ws_rec_clock clock;
	struct ws_rec_note *redacted; /* the note that says so */
	bool failed;
};

#endif
