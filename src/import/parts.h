/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * parts.h: what the files of import/ share; nobody else includes it.
 *
 *   inputs.c     opens files, in the order of time
 *   import.c     tells formats apart, reads lines
 *   event.c      a line of trace --json as a record
 *   sequence.c   numbers of the records of each session: what is missing
 *   value.c      one field
 *   mono.c       the host's clock out of wall-clock times
 *   csv.c        rows of a csvlog
 *   log_*.c      entries of a server's log, and what they say of walsenders
 */
#ifndef WS_IMPORT_PARTS_H
#define WS_IMPORT_PARTS_H

#include <jansson.h>

#include "base/text.h"
#include "event/schema.h"
#include "import/import.h"

#define WS_IMPORT_WHY 256

/* From wall-clock times to the clock that records have. Where the two stood is told by lines that
 * have both; before the first of them wall-clock time itself is taken for that clock. */
#define WS_IMPORT_STEPS 64
struct ws_import_mono {
	struct {
		uint64_t from_ns; /* monotonic: from here on */
		int64_t offset;	  /* wall minus monotonic */
	} steps[WS_IMPORT_STEPS];
	size_t count;
};
/* A line says both. */
void ws_import_mono_learn(struct ws_import_mono *mono, uint64_t mono_ns, int64_t wall_ns);
/* 0: cannot be told. */
uint64_t ws_import_mono_of(const struct ws_import_mono *mono, int64_t wall_ns);

/* Puts the value of a field, which is not null, into the record, which has room for the longest of
 * its kind. False with why. `time` translates times. */
bool ws_import_value(const struct ws_field *field, const json_t *value,
		     const struct ws_import_mono *time, struct ws_rec *rec,
		     char why[WS_IMPORT_WHY]);
/* The same of what JSON has no way to say, whose bytes stand in hexadecimal beside it. */
bool ws_import_bytes(const struct ws_field *field, const json_t *value, struct ws_buf *bytes,
		     struct ws_rec *rec, char why[WS_IMPORT_WHY]);
/* "PID.STARTTICKS" */
bool ws_import_session_id(const char *text, uint32_t *pid, uint64_t *ticks);

/* The numbers of sessions' records. */
struct ws_sequence; /* opaque */
struct ws_sequence *ws_sequence_new(struct ws_sink sink);
void ws_sequence_free(struct ws_sequence *sequence);
/* The start of a session's process: what was told of it first. start_ns 0: only the ticks are
 * known. Returns 0 when memory ran out. */
uint64_t ws_sequence_start(struct ws_sequence *sequence, uint32_t pid, uint64_t ticks,
			   uint64_t start_ns);
/* Hands a record on, behind a gap if numbers in front of it are missing. `numbered`: it has a
 * number; else one of a session's own records gets the next. */
int ws_sequence_feed(struct ws_sequence *sequence, struct ws_rec *rec, bool numbered);
/* A record of this session (pid 0: of an unknown one) was there and cannot be understood. */
int ws_sequence_bad(struct ws_sequence *sequence, uint32_t pid, uint64_t start_ns);

/* A line of trace --json. */
struct ws_events; /* opaque */
struct ws_events *ws_events_new(struct ws_sink sink);
void ws_events_free(struct ws_events *events);
/* Returns 1 if it was taken, 0 if it is bad (why says), -1 when memory ran out or the sink failed.
 */
int ws_events_line(struct ws_events *events, const char *line, size_t len, char why[WS_IMPORT_WHY]);
/* Was the last record a STOP? */
bool ws_events_stopped(const struct ws_events *events);
/* No line follows. */
int ws_events_end(struct ws_events *events);

#endif
