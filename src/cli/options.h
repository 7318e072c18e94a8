/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * options.h: options of all commands, parsed by glibc's argp out of groups that a command chooses
 * from.
 */
#ifndef WS_CLI_OPTIONS_H
#define WS_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "base/log.h"
#include "import/import.h"
#include "probe/attach.h"
#include "session/model.h"

enum ws_option_group {
	WS_GROUP_FILTER = 1 << 0,  /* which servers and sessions */
	WS_GROUP_REPLAY = 1 << 1,  /* --session, --from, --to */
	WS_GROUP_SERVER = 1 << 2,  /* --pid and --postgres of doctor */
	WS_GROUP_LIVE = 1 << 3,	   /* --live */
	WS_GROUP_TRACING = 1 << 4, /* --duration, --level, --ring, --attach */
	WS_GROUP_JSON = 1 << 5,
	WS_GROUP_OUTPUT = 1 << 6,	/* -o */
	WS_GROUP_FILE = 1 << 7,		/* a recording as operand, or --live */
	WS_GROUP_DEFAULT_LIVE = 1 << 8, /* without a FILE it is live */
	WS_GROUP_REDACT = 1 << 9,	/* --redact */
	WS_GROUP_SLOTS = 1 << 11,	/* which servers and slots */
	WS_GROUP_BINARY = 1 << 10,	/* a server binary as operand, and what of it */
	WS_GROUP_MOMENT = 1 << 12,	/* --around */
	WS_GROUP_IMPORT = 1 << 13, /* a file of events or a log as operand, and how to read it */
	WS_GROUP_FLIGHT = 1 << 14, /* --flight */
	WS_GROUP_PIECE = 1 << 15,  /* a directory as operand, and which time of it */
	WS_GROUP_CORE = 1 << 16,   /* a core dump as operand, or --pid; what of it */
};

/* A moment of a recording. */
struct ws_when {
	enum { WS_WHEN_NONE = 0, WS_WHEN_WALL, WS_WHEN_BEFORE_END } kind;
	int64_t wall_ns;	/* of WALL */
	uint64_t before_end_ns; /* of BEFORE_END */
	const char *text;
};

/* Which sessions; what is 0 or NULL does not restrict. */
struct ws_filter {
	uint32_t pid;
	uint32_t postmaster_pid;
	const char *datadir;
	const char *postgres;
	const char *app;
	const char *slot;
	enum ws_session_kind kind;
	const char *session; /* "PID.STARTTICKS" */
};

struct ws_options {
	const char *file;	  /* operand */
	const char *const *files; /* of an import: all operands, `file` is the first */
	size_t file_count;
	const char *output;
	struct ws_filter filter;
	struct ws_when from, to, around;
	uint64_t flight_bytes;	/* 0: no flight recorder */
	uint64_t flight_age_ns; /* 0: any */
	bool live;
	uint64_t duration_ns; /* 0: until interrupted */
	int level;	      /* 1 to 3; 2 unless told */
	bool level_given;
	size_t ring_bytes; /* 0: the default */
	enum ws_attach_method attach;
	bool redact;
	const char *elf;   /* symbol file to write */
	unsigned int skip; /* WS_STEP_BIT of the steps not to take */
	bool all;
	enum ws_import_format format; /* of what is imported */
	const char *timezone;
	bool backtrace; /* of a running process */
	bool json;
	int verbose; /* number of -v */
	bool quiet;
	struct ws_log log;
};

struct ws_verb;

/*
 * Returns 0, 1 if --help was asked for, -1 (err says why, one line naming option and value) for
 * anything the documentation does not allow. argv[0] is the command's name. Strings live as long as
 * argv.
 */
int ws_options_parse(const struct ws_verb *verb, int argc, char **argv, struct ws_options *options,
		     struct ws_error *err);
/* Writes the help of a command. */
void ws_options_help(const struct ws_verb *verb, FILE *out);
/* Calls fn for each option of a command ("duration", and 0 or its letter). */
void ws_options_each(const struct ws_verb *verb,
		     void (*fn)(void *arg, const char *name, int letter), void *arg);

#endif
