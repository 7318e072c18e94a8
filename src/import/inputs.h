/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inputs.h: the files of one import. A server that rotates its log has several, whose names need
 * not be in the order of time (postgresql-Fri.csv, postgresql-Mon.csv).
 */
#ifndef WS_IMPORT_INPUTS_H
#define WS_IMPORT_INPUTS_H

#include <stddef.h>
#include <stdio.h>

#include "base/error.h"

#define WS_IMPORT_STAMP 24 /* "2026-11-29 13:07:22.924" */

struct ws_import_input {
	const char *name; /* kept; "-" is standard input */
	FILE *in;
	char stamp[WS_IMPORT_STAMP]; /* of the first entry of a log, "" if it is none */
};

struct ws_import_inputs {
	struct ws_import_input *list;
	size_t count;
};

/* Opens all, and puts logs into the order of their first entries; others stay in the order given.
 * Free with ws_import_inputs_close, also after a failure. */
int ws_import_inputs_open(struct ws_import_inputs *inputs, const char *const *names, size_t count,
			  struct ws_error *err);
void ws_import_inputs_close(struct ws_import_inputs *inputs);

#endif
