/* SPDX-License-Identifier: BSD-2-Clause */
/* log_entry.c: a row of a csvlog, or an object of a jsonlog, as an entry. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/util.h"
#include "import/log.h"

#define COLUMNS_LEAST 23 /* 10 to 12 */
#define COLUMNS_MOST  40 /* of versions to come */

enum place {
	AT_TIME = 0,
	AT_USER = 1,
	AT_DATABASE = 2,
	AT_PID = 3,
	AT_FROM = 4,
	AT_SESSION = 5,
	AT_LINE = 6,
	AT_SEVERITY = 11,
	AT_SQLSTATE = 12,
	AT_MESSAGE = 13,
	AT_DETAIL = 14,
	AT_QUERY = 19,
	AT_LOCATION = 21,
	AT_APPLICATION = 22,
	AT_BACKEND_TYPE = 23, /* 13 and later */
};

struct ws_log_reader {
	enum ws_import_format format; /* AUTO: each entry's own */
	struct ws_log_story *story;
	struct ws_buf row;
	char zone[32];
};

struct ws_log_reader *ws_log_reader_new(enum ws_import_format format, struct ws_sink sink)
{
	struct ws_log_reader *reader = calloc(1, sizeof(*reader));

	if (!reader)
		return NULL;
	reader->format = format;
	reader->story = ws_log_story_new(sink);
	if (reader->story)
		return reader;
	free(reader);
	return NULL;
}

void ws_log_reader_free(struct ws_log_reader *reader)
{
	if (!reader)
		return;
	ws_log_story_free(reader->story);
	ws_buf_deinit(&reader->row);
	free(reader);
}

bool ws_log_reader_zone(const struct ws_log_reader *reader, char zone[32])
{
	memcpy(zone, reader->zone, sizeof(reader->zone));
	return zone[0] != '\0';
}

static bool take_time(struct ws_log_reader *reader, const char *text, struct ws_log_entry *entry)
{
	const char *zone;

	if (!text || !ws_log_time(text, &entry->wall_ns, &zone))
		return false;
	if (zone && !reader->zone[0])
		snprintf(reader->zone, sizeof(reader->zone), "%s", zone);
	return true;
}

int ws_log_reader_end(struct ws_log_reader *reader)
{
	return ws_log_story_end(reader->story);
}

static bool bad(char why[WS_IMPORT_WHY], const char *text)
{
	snprintf(why, WS_IMPORT_WHY, "%s", text);
	return false;
}

/* "+03", "-0330", "+05:30": minutes east. */
static bool parse_offset(const char *text, int *minutes)
{
	int hours = 0, rest = 0, n = 0;

	if ((text[0] != '+' && text[0] != '-') || !isdigit((unsigned char)text[1]) ||
	    !isdigit((unsigned char)text[2]))
		return false;
	if (sscanf(text + 1, "%2d:%2d%n", &hours, &rest, &n) != 2 &&
	    sscanf(text + 1, "%2d%2d%n", &hours, &rest, &n) != 2) {
		rest = 0;
		n = 2;
	}
	if (text[1 + n] || hours > 15 || rest > 59 || rest < 0)
		return false;
	*minutes = (text[0] == '-' ? -1 : 1) * (hours * 60 + rest);
	return true;
}

/* The zone is a name of the local one: of the two times that an hour may have the one so named. */
static time_t local_time(const struct tm *tm, const char *zone)
{
	time_t found = (time_t)-1;

	for (int dst = 1; dst >= -1; dst--) {
		struct tm copy = *tm;
		time_t at;

		copy.tm_isdst = dst;
		at = mktime(&copy);
		if (at == (time_t)-1)
			continue;
		found = at;
		if (copy.tm_isdst == dst && copy.tm_zone && strcmp(copy.tm_zone, zone) == 0)
			return at;
	}
	return found;
}

bool ws_log_time(const char *text, int64_t *wall_ns, const char **zone)
{
	struct tm tm = { 0 };
	const char *at = strptime(text, "%Y-%m-%d %H:%M:%S", &tm);
	long ms = 0, scale = 100;
	int minutes = 0;
	time_t seconds;

	*zone = NULL;
	if (!at || tm.tm_year < 70 || tm.tm_year > 300)
		return false;
	if (*at == '.')
		for (at++; isdigit((unsigned char)*at); at++, scale /= 10)
			ms += (*at - '0') * scale;
	if (*at != ' ' || strlen(++at) < 1 || strlen(at) > 31)
		return false;
	if (strcmp(at, "UTC") == 0 || strcmp(at, "GMT") == 0) {
		seconds = timegm(&tm);
	} else if (parse_offset(at, &minutes)) {
		seconds = timegm(&tm) - minutes * 60L;
	} else if (isalpha((unsigned char)*at)) {
		*zone = at;
		seconds = local_time(&tm, at);
	} else {
		return false;
	}
	if (seconds < 0)
		return false;
	*wall_ns = (int64_t)seconds * 1000000000 + ms * 1000000;
	return true;
}

static const char *or_null(const char *text)
{
	return text && text[0] ? text : NULL;
}

static bool parse_pid(const char *text, uint32_t *pid)
{
	char *end;
	unsigned long value;

	if (!text || !isdigit((unsigned char)text[0]))
		return false;
	value = strtoul(text, &end, 10);
	if (*end || !value || value > INT32_MAX)
		return false;
	*pid = (uint32_t)value;
	return true;
}

/* "192.0.2.1:5432" (the port behind the last colon), "[local]". */
static void split_from(char *from, struct ws_log_entry *entry)
{
	char *colon = strrchr(from, ':');

	entry->host = or_null(from);
	entry->port = NULL;
	if (!colon || from[0] == '[')
		return;
	*colon = '\0';
	entry->port = or_null(colon + 1);
}

/* "function, file:line", or without the function. */
static void split_location(char *text, struct ws_log_entry *entry)
{
	char *comma = strstr(text, ", "), *colon = strrchr(text, ':');

	if (!colon || !isdigit((unsigned char)colon[1]))
		return;
	*colon = '\0';
	entry->location_line = (uint32_t)strtoul(colon + 1, NULL, 10);
	entry->location_file = or_null(comma ? comma + 2 : text);
	if (!comma)
		return;
	*comma = '\0';
	entry->location_function = or_null(text);
}

static bool take_row(struct ws_log_reader *reader, char **column, size_t count,
		     struct ws_log_entry *entry, char why[WS_IMPORT_WHY])
{
	if (count < COLUMNS_LEAST) {
		snprintf(why, WS_IMPORT_WHY, "%zu columns, where a csvlog has at least %d", count,
			 COLUMNS_LEAST);
		return false;
	}
	if (!take_time(reader, column[AT_TIME], entry))
		return bad(why, "column 1: no time of a log");
	if (!parse_pid(column[AT_PID], &entry->pid))
		return bad(why, "column 4: no process id");
	entry->user = or_null(column[AT_USER]);
	entry->database = or_null(column[AT_DATABASE]);
	split_from(column[AT_FROM], entry);
	entry->session_id = or_null(column[AT_SESSION]);
	entry->line_number = or_null(column[AT_LINE]);
	entry->severity = or_null(column[AT_SEVERITY]);
	entry->sqlstate = or_null(column[AT_SQLSTATE]);
	entry->message = or_null(column[AT_MESSAGE]);
	entry->detail = or_null(column[AT_DETAIL]);
	entry->query = or_null(column[AT_QUERY]);
	split_location(column[AT_LOCATION], entry);
	entry->application = or_null(column[AT_APPLICATION]);
	entry->backend_type = count > AT_BACKEND_TYPE ? or_null(column[AT_BACKEND_TYPE]) : NULL;
	return true;
}

static bool take_csv(struct ws_log_reader *reader, const char *text, size_t len,
		     struct ws_log_entry *entry, char why[WS_IMPORT_WHY])
{
	char *columns[COLUMNS_MOST];
	size_t count;

	if (memchr(text, 0, len))
		return bad(why, "holds a NUL");
	ws_buf_clear(&reader->row);
	if (ws_buf_add(&reader->row, text, len))
		return bad(why, "out of memory");
	count = ws_csv_split(reader->row.data, reader->row.len, columns, COLUMNS_MOST, why);
	return count && take_row(reader, columns, count, entry, why);
}

static const char *text_of(const json_t *object, const char *key)
{
	return or_null(json_string_value(json_object_get(object, key)));
}

static bool take_object(struct ws_log_reader *reader, const json_t *object,
			struct ws_log_entry *entry, char numbers[2][24], char why[WS_IMPORT_WHY])
{
	const char *time = text_of(object, "timestamp");
	const json_t *pid = json_object_get(object, "pid");
	const json_t *port = json_object_get(object, "remote_port");
	const json_t *line = json_object_get(object, "line_num");
	const json_t *at = json_object_get(object, "file_line_num");

	if (!take_time(reader, time, entry))
		return bad(why, "timestamp: no time of a log");
	if (!json_is_integer(pid) || json_integer_value(pid) <= 0 ||
	    json_integer_value(pid) > INT32_MAX)
		return bad(why, "pid: no process id");
	entry->pid = (uint32_t)json_integer_value(pid);
	entry->user = text_of(object, "user");
	entry->database = text_of(object, "dbname");
	entry->host = text_of(object, "remote_host");
	entry->port = text_of(object, "remote_port");
	snprintf(numbers[0], sizeof(numbers[0]), "%lld", (long long)json_integer_value(port));
	if (json_is_integer(port))
		entry->port = numbers[0];
	snprintf(numbers[1], sizeof(numbers[1]), "%lld", (long long)json_integer_value(line));
	if (json_is_integer(line))
		entry->line_number = numbers[1];
	entry->session_id = text_of(object, "session_id");
	entry->severity = text_of(object, "error_severity");
	/* Left out where it says that all went well (write_jsonlog). */
	entry->sqlstate = text_of(object, "state_code");
	if (!entry->sqlstate)
		entry->sqlstate = "00000";
	entry->message = text_of(object, "message");
	entry->detail = text_of(object, "detail");
	entry->query = text_of(object, "statement");
	entry->location_function = text_of(object, "func_name");
	entry->location_file = text_of(object, "file_name");
	if (json_is_integer(at) && json_integer_value(at) > 0 &&
	    json_integer_value(at) <= INT32_MAX)
		entry->location_line = (uint32_t)json_integer_value(at);
	entry->application = text_of(object, "application_name");
	entry->backend_type = text_of(object, "backend_type");
	return true;
}

/* An object begins with a brace; so does no row (lines.h). */
static bool is_row(const struct ws_log_reader *reader, const char *text, size_t len)
{
	if (reader->format)
		return reader->format == WS_IMPORT_CSVLOG;
	return !len || *text != '{';
}

static int take(struct ws_log_reader *reader, const char *text, size_t len, char why[WS_IMPORT_WHY])
{
	struct ws_log_entry entry = { 0 };
	char numbers[2][24];
	json_error_t error;
	json_t *object = NULL;
	int rc = 0;

	if (is_row(reader, text, len)) {
		if (take_csv(reader, text, len, &entry, why))
			rc = ws_log_story_entry(reader->story, &entry) ? -1 : 1;
		return rc;
	}
	object = json_loadb(text, len, 0, &error);
	if (!json_is_object(object))
		bad(why, object ? "no JSON object" : error.text);
	else if (take_object(reader, object, &entry, numbers, why))
		rc = ws_log_story_entry(reader->story, &entry) ? -1 : 1;
	json_decref(object);
	return rc;
}

int ws_log_entry_take(struct ws_log_reader *reader, const char *text, size_t len,
		      char why[WS_IMPORT_WHY])
{
	int rc = take(reader, text, len, why);

	return rc == 0 && ws_log_story_bad(reader->story) ? -1 : rc;
}
