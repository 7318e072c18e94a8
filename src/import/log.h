/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log.h: what a server's log says of its walsenders, as records.
 *
 * A csvlog or jsonlog with log_replication_commands on names each replication command; with
 * log_connections and log_disconnections it also tells when sessions begin and end. A session made
 * of it is marked (WS_SESSION_LOGGED): what it did between its lines is not known, nor when a
 * command that went well ended.
 *
 * Columns: csvlog has 23 up to 12, 24 (backend_type) in 13, 26 (leader_pid, query_id) from 14 on
 * (write_csvlog, csvlog.c, before elog.c); jsonlog (write_jsonlog, jsonlog.c) is there from 15 on.
 */
#ifndef WS_IMPORT_LOG_H
#define WS_IMPORT_LOG_H

#include "import/import.h"
#include "import/parts.h"

/* An entry, whichever format it came in. Strings are NULL if they are empty or missing. */
struct ws_log_entry {
	int64_t wall_ns;
	const char *user, *database, *host, *port, *session_id, *line_number, *severity, *sqlstate;
	const char *message, *detail, *location_function, *location_file, *application;
	const char *backend_type, *query;
	uint32_t location_line; /* 0: not known */
	uint32_t pid;
};

struct ws_log_reader; /* opaque */
/* NULL: out of memory. */
struct ws_log_reader *ws_log_reader_new(enum ws_import_format format, struct ws_sink sink);
void ws_log_reader_free(struct ws_log_reader *reader);
/* The name of a zone that was taken for the local one; false if there was none. */
bool ws_log_reader_zone(const struct ws_log_reader *reader, char zone[32]);
/* A row of CSV, or an object. Returns 1 if it was taken, 0 if it is bad (why says), -1 when memory
 * ran out or the sink failed. */
int ws_log_entry_take(struct ws_log_reader *reader, const char *text, size_t len,
		      char why[WS_IMPORT_WHY]);
/* No entry follows: ends the recording. */
int ws_log_reader_end(struct ws_log_reader *reader);

/* A row taken apart in place: `text` (NUL-terminated at len) is overwritten. Returns the number of
 * columns, at most `max`; 0 with why. */
size_t ws_csv_split(char *text, size_t len, char **columns, size_t max, char why[WS_IMPORT_WHY]);
/* "2026-11-21 02:06:18.123 UTC". A zone that is neither UTC, GMT nor an offset is taken for a name
 * of the local one (TZ). */
bool ws_log_time(const char *text, int64_t *wall_ns, const char **zone); /* NULL: none was */

/* What entries say of walsenders. */
struct ws_log_story; /* opaque */
struct ws_log_story *ws_log_story_new(struct ws_sink sink);
void ws_log_story_free(struct ws_log_story *story);
int ws_log_story_entry(struct ws_log_story *story, const struct ws_log_entry *entry);
/* An entry that is none: whose it was is not known. */
int ws_log_story_bad(struct ws_log_story *story);
int ws_log_story_end(struct ws_log_story *story);

#endif
