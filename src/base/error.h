/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * error.h: one error object, filled by the function that failed.
 *
 * A function that can fail takes `struct ws_error *err` as its last argument and returns a negative
 * value (or NULL) after filling it. The object owns its text, allocates nothing and needs no
 * release. It is printed once, by cli/, as one line: what, where, why, what to do.
 */
#ifndef WS_BASE_ERROR_H
#define WS_BASE_ERROR_H

#include <stdbool.h>

/* The documented exit statuses of the program; an error maps to one of them. */
enum ws_exit {
	WS_EXIT_DONE = 0,
	WS_EXIT_FAILED = 1,
	WS_EXIT_USAGE = 2,
	WS_EXIT_LOSS = 3, /* done, but with loss or a torn recording */
};

struct ws_error {
	int errnum;	 /* errno of the cause, 0 if there is none */
	char what[128];	 /* what could not be done: "cannot open recording" */
	char where[512]; /* file, offset, pid; may be empty */
	char why[256];	 /* the cause */
	char fix[256];	 /* what the user can do; may be empty */
};

/* Fills err (which may be NULL) and returns -1, so that `return ws_error_set(...)` reads well.
 * `where` may be NULL; `why` is a printf format. Any earlier `fix` is cleared. */
int ws_error_set(struct ws_error *err, const char *what, const char *where, const char *why, ...)
	__attribute__((format(printf, 4, 5)));

/* The same with the text of `errnum` as the cause. */
int ws_error_errno(struct ws_error *err, int errnum, const char *what, const char *where);

/* Adds what to do about it; returns -1. */
int ws_error_fix(struct ws_error *err, const char *fix, ...) __attribute__((format(printf, 2, 3)));

/* Writes "what: where: why; fix" without a newline, control characters escaped. Always terminates.
 */
void ws_error_format(const struct ws_error *err, char *line, unsigned long size);

#endif
