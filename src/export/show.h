/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * show.h: the reconstruction of one session, as `walscope show` tells it out of a recording and
 * `walscope core` out of memory. The printers (text_show.c, json_show.c) print what is there: a
 * part that is not known is left out of the text and null in JSON.
 */
#ifndef WS_EXPORT_SHOW_H
#define WS_EXPORT_SHOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "session/model.h"
#include "session/story.h"

/* How the value of a fact is written. JSON: a string for TEXT, LSN, TIME and ADDRESS, else a
 * number or a boolean. */
enum ws_show_type {
	WS_SHOW_UNKNOWN = 0, /* not known: null */
	WS_SHOW_TEXT, /* `text`, of the server or walscope's own: escaped where it is printed */
	WS_SHOW_COUNT,
	WS_SHOW_BYTES,
	WS_SHOW_NS,	 /* a duration */
	WS_SHOW_LSN,	 /* 0 is a position, too */
	WS_SHOW_TIME,	 /* wall clock, ns since 1970-01-01 UTC */
	WS_SHOW_BOOL,	 /* 0 or 1 */
	WS_SHOW_ADDRESS, /* hexadecimal */
};

/* Something read from the memory of the process. */
struct ws_show_fact {
	const char *name;  /* as in JSON ("pending_bytes"); unique in its list */
	const char *label; /* for people ("output buffer"); NULL: the name */
	enum ws_show_type type;
	const char *text; /* of TEXT, NUL-terminated; NULL: null */
	uint64_t value;
};

/* A frame of the backtrace, the innermost first. */
struct ws_show_frame {
	uint64_t address;     /* in the process */
	const char *function; /* NULL: not known */
	uint64_t offset;      /* of the address in the function */
	const char *module;   /* file it lies in, NULL: not known */
	const char *source;   /* where the name comes from ("dynsym", "recovered"), NULL: no name */
};

/* A walsender out of the shared array, in the shape of `ps` as far as it is known. */
struct ws_show_walsender {
	uint32_t pid; /* 0: not known, and so is the session */
	uint64_t start_ns;
	uint32_t ns_pid;   /* in the server's namespace */
	const char *kind;  /* "physical", "logical", "backup"; NULL: not known */
	const char *state; /* as pg_stat_replication has it: "streaming" */
	const char *application, *slot, *command;	    /* NULL: not known, or none */
	uint64_t sent_lsn, write_lsn, flush_lsn, apply_lsn; /* 0: none */
	int32_t sync_priority;				    /* -1: not known */
	int64_t start_wall_ns;				    /* 0: not known */
	const char *host;				    /* NULL: not known */
	uint16_t port;					    /* 0: none */
	bool has_oids;
	uint32_t user_oid, database_oid; /* no database: 0 */
	const char *user, *database;	 /* NULL: not known, or none */
};

struct ws_show {
	/* What it is, if it is no walsender ("backend"); then nothing is told of a session's life.
	 */
	const char *process;
	const struct ws_session *session; /* never NULL */
	const struct ws_story *story;	  /* NULL: what it did before is not known */
	bool has_memory;		  /* `memory` was looked at; else it is null */
	const struct ws_show_fact *memory;
	size_t memory_count;
	bool has_backtrace; /* likewise */
	const struct ws_show_frame *frames;
	size_t frame_count;
	bool has_walsenders; /* likewise */
	const struct ws_show_walsender *walsenders;
	size_t walsender_count;
	/* Of the server, for `walsenders`; NULL: not known. */
	const char *version, *datadir;
};

/* Is anything known of the process's memory, sampled or looked at once? */
static inline bool ws_show_has_memory_over_time(const struct ws_show *show)
{
	return show->story && show->story->memory.point_count;
}

/* Did the command run at that moment? One whose end is not known, until the stream's end. */
static inline bool ws_show_command_runs(const struct ws_command *command, uint64_t at_ns)
{
	return !command->outside && command->start_ns <= at_ns &&
	       (command->end_ns ? at_ns < command->end_ns : command->outcome == WS_OUTCOME_RUNNING);
}

#endif
