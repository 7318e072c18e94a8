/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log.h: notes for the user, on stderr. Data never goes through here.
 */
#ifndef WS_BASE_LOG_H
#define WS_BASE_LOG_H

enum ws_log_level {
	WS_LOG_WARN = 0,  /* always shown */
	WS_LOG_NOTE = 1,  /* shown unless -q */
	WS_LOG_INFO = 2,  /* -v: what was tried, and with what result */
	WS_LOG_DEBUG = 3, /* -vv */
};

/*
 * A log is handed down to whoever has something to say; NULL is a valid, silent log.
 * `fn` gets one finished line without newline.
 */
struct ws_log {
	enum ws_log_level level; /* the most detailed level that is shown */
	void (*fn)(void *arg, enum ws_log_level level, const char *line);
	void *arg;
};

/* Escapes control characters in the result: arguments may come from the server. */
void ws_log(const struct ws_log *log, enum ws_log_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Writes lines to stderr, prefixed with "walscope: ". */
void ws_log_stderr(void *arg, enum ws_log_level level, const char *line);

#endif
