/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * writer.h: what a flight recorder takes of a writer beside trace.h: to go on in another file. For
 * src/trace/ alone.
 */
#ifndef WS_TRACE_WRITER_H
#define WS_TRACE_WRITER_H

#include "trace/trace.h"

/* Asked before `bytes` are written: 0, or an errno of ws_out_is_full() if they are not to be. */
struct ws_room {
	int (*fn)(void *arg, uint64_t bytes);
	void *arg;
};
void ws_writer_set_room(struct ws_writer *writer, struct ws_room room);
/* How old a block may get that has nothing of a session; others are closed after a second. */
void ws_writer_set_idle(struct ws_writer *writer, uint64_t idle_ns);

/* Closes the block that is being filled, if there is anything in it. */
int ws_writer_flush(struct ws_writer *writer, struct ws_error *err);
/* Is anything in it? */
bool ws_writer_is_filling(const struct ws_writer *writer);
/*
 * What is added from now on repeats what is known already (true), or is new again (false). If there
 * is no room for the former it is not missed: then ws_writer_repeats returns 1, else 0, or -1.
 */
int ws_writer_repeats(struct ws_writer *writer, bool repeats, struct ws_error *err);
/*
 * Closes the block as the last one of this file, and goes on in a new one, at `path`. What there
 * was no room for so far will be told there. Returns 0; 1 if there is no room for a new file: it
 * goes on in this one; -1. Fills info->records_before.
 */
int ws_writer_switch(struct ws_writer *writer, const char *path, struct ws_trace_info *info,
		     struct ws_error *err);
/* It ends where it was to end, though not with a WS_KIND_STOP: the last block says so. */
void ws_writer_set_whole(struct ws_writer *writer);
/* Its file has another name now. */
int ws_writer_renamed(struct ws_writer *writer, const char *path, struct ws_error *err);
/* What was written is on the disk. */
int ws_writer_sync(struct ws_writer *writer, struct ws_error *err);

#endif
