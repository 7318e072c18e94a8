/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * out.h: the file of a recording that is being written: whole pieces or nothing. For src/trace/
 * alone.
 */
#ifndef WS_TRACE_OUT_H
#define WS_TRACE_OUT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"

#define WS_OUT_CREATE "cannot create recording"
#define WS_OUT_WRITE  "cannot write recording"

struct ws_out {
	int fd;		  /* -1: closed */
	bool truncatable; /* a regular file */
	bool linked;	  /* which had a name */
	char *path;
	uint64_t bytes; /* of whole pieces in the file, header included */
	bool failed;
	struct ws_error error; /* then: what every call says */
};

/* Opens the file, creates it with mode 0600 if it is not there, and locks it. What is in it stays
 * until ws_out_begin. To be deinitialised also if this fails. */
int ws_out_open(struct ws_out *out, const char *path, struct ws_error *err);
/* Puts the header in place of all that was in the file. */
int ws_out_begin(struct ws_out *out, const struct ws_buf *header, struct ws_error *err);
/* All or nothing: a recording ends with a whole block also when the disk is full. Returns -1 with
 * *errnum if nothing was written; if what was written cannot be taken back, the file has failed. */
int ws_out_write(struct ws_out *out, const struct ws_buf *bytes, int *errnum);
/* Writing into a file that somebody removed or cut would look like recording: then it fails. */
int ws_out_check(struct ws_out *out, struct ws_error *err);
/* What is in the file is on the disk. */
int ws_out_sync(struct ws_out *out, struct ws_error *err);
/* What close() says counts too: on a network file system it is where a full disk shows. */
int ws_out_close(struct ws_out *out, struct ws_error *err);
void ws_out_deinit(struct ws_out *out);

/* It has failed, for this reason; returns -1. `err` may be NULL. */
int ws_out_fail(struct ws_out *out, int errnum, const char *what, struct ws_error *err);
/* Says once more why it has failed; returns -1. */
int ws_out_refuse(const struct ws_out *out, struct ws_error *err);
/* No room: somebody may make some again. */
bool ws_out_is_full(int errnum);

#endif
