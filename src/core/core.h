/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * core.h: what a core dump, or a running process, tells of a PostgreSQL process: who it was, what
 * it did, and where in the code it was.
 *
 * Of a walsender it makes the records that the programs and the collector would have made of one
 * that ran before walscope, so that all behind `event` takes the same way. Nothing of PostgreSQL
 * is needed but the server's file; a dump takes no privilege. What is not in the dump is not known.
 *
 * Times of a dump: it has none of CLOCK_MONOTONIC, so its records' clock is the wall clock (ns
 * since 1970), and a session's start is that which the server noted (MyStartTimestamp), to 10 ms:
 * its id is not that of a recorder's.
 */
#ifndef WS_CORE_CORE_H
#define WS_CORE_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/log.h"
#include "wire.h"

struct ws_core_options {
	const char *file; /* a core dump; NULL: the running process `pid` */
	uint32_t pid;
	const char *postgres;  /* the server's file; NULL: that which the process ran */
	bool backtrace;	       /* of a running process: stop it for a moment (core/stop.h) */
	unsigned int skip;     /* WS_STEP_BIT of the resolver's steps that are not taken */
	const char *cache_dir; /* of resolved names, NULL for none */
	const struct ws_log *log;
};

enum ws_core_type {
	WS_CORE_UNKNOWN = 0,
	WS_CORE_TEXT, /* `text` */
	WS_CORE_COUNT,
	WS_CORE_BYTES,
	WS_CORE_NS,
	WS_CORE_LSN,
	WS_CORE_TIME, /* wall clock, ns */
	WS_CORE_BOOL,
	WS_CORE_ADDRESS,
};

/* Something read from memory; strings are the core's or constants. */
struct ws_core_fact {
	const char *name, *label;
	enum ws_core_type type;
	const char *text;
	uint64_t value;
};

struct ws_core_place {
	uint64_t address;     /* in the process */
	const char *function; /* NULL: not known */
	uint64_t offset;
	const char *module;
	const char *source; /* of the name, NULL: no name */
};

/* A walsender in the shared array of its server, and what shared memory says of its process. */
struct ws_core_walsender {
	uint32_t pid;	   /* 0: not known, and so is the session */
	uint64_t start_ns; /* of its session, see above */
	uint32_t ns_pid;   /* in the server's namespace */
	uint32_t state;	   /* enum ws_walsnd_state */
	uint64_t sent_lsn, write_lsn, flush_lsn, apply_lsn;
	int64_t write_lag_us, flush_lag_us, apply_lag_us; /* -1: not known */
	int32_t sync_priority;				  /* -1: not known */
	char slot[WS_NAME_LEN];				  /* "": none */
	bool logical;					  /* by its slot, which it has to have */
	bool physical;		       /* it streams or has a slot, and is not logical */
	char application[WS_NAME_LEN]; /* "": not known */
	char command[1024];    /* what it ran last, as pg_stat_activity has it; "": not known */
	int64_t start_wall_ns; /* 0: not known */
	bool has_oids;
	uint32_t user_oid, database_oid;	       /* no database: 0 */
	char user[WS_NAME_LEN], database[WS_NAME_LEN]; /* "": not known, or none */
	char host[WS_HOST_LEN]; /* "": not known; "[local]" for a Unix socket */
	uint16_t port;		/* 0: none */
};

enum ws_core_process {
	WS_CORE_PROCESS_UNKNOWN = 0, /* what it was cannot be told */
	WS_CORE_WALSENDER,
	WS_CORE_BACKEND, /* has a client, and is no walsender */
	WS_CORE_POSTMASTER,
	WS_CORE_OTHER, /* a background process */
};
const char *ws_core_process_name(enum ws_core_process process); /* "walsender" */

struct ws_core {
	enum ws_core_process process;
	uint32_t pid, ns_pid, postmaster_pid;
	int64_t wall_ns;  /* the moment it was in this state */
	uint64_t time_ns; /* the same in the records' clock */
	bool torn;	  /* the dump is cut off or damaged, or its memory contradicts itself */

	struct ws_core_fact *facts;
	size_t fact_count, fact_cap;
	bool has_backtrace;
	struct ws_core_place *places;
	size_t place_count;
	bool has_walsenders;
	struct ws_core_walsender *walsenders;
	size_t walsender_count, walsender_cap;

	/* Of a walsender: clock, server, session, command, positions, sample. Of another process
	 * a session record, for who it was, which is not to be recorded. Ends with a stop. */
	struct ws_rec **records;
	size_t record_count, record_cap;

	void *impl;
};

/* Fails with one line if it is no core of a PostgreSQL server, or not of this file. Free with
 * ws_core_free. */
int ws_core_open(struct ws_core **core, const struct ws_core_options *options,
		 struct ws_error *err);
void ws_core_free(struct ws_core *core);

#endif
