/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * checkpoint.h: what has to be known at a moment in the middle of a stream of records, so that what
 * comes behind it can be read alone: the servers, and of each session that runs its identity, its
 * current command, what it is doing, and its positions.
 *
 * It is told in records like those of a walsender that is found running when tracing begins
 * (probe/seed.h): a session record with WS_SESSION_RUNNING, a command with WS_COMMAND_RUNNING, and
 * WS_COMMAND_STARTED if its start was seen, which is the record's time then. All other times are
 * that of the moment. Memory is bound by the sessions that run, and their commands' texts.
 */
#ifndef WS_TRACE_CHECKPOINT_H
#define WS_TRACE_CHECKPOINT_H

#include <stddef.h>
#include <stdint.h>

#include "wire.h"

struct ws_checkpoint; /* opaque */

struct ws_checkpoint *ws_checkpoint_new(void); /* NULL: out of memory */
void ws_checkpoint_free(struct ws_checkpoint *checkpoint);
/* -1: out of memory. */
int ws_checkpoint_feed(struct ws_checkpoint *checkpoint, const struct ws_rec *rec);
/*
 * Tells it, as of now_ns, which is not before what was fed. Texts of commands are cut so that all
 * together have about text_bytes, but none at less than 1 KiB. Returns 0, or what `fn` returned.
 */
int ws_checkpoint_tell(const struct ws_checkpoint *checkpoint, uint64_t now_ns, size_t text_bytes,
		       int (*fn)(void *arg, const struct ws_rec *rec), void *arg);

#endif
