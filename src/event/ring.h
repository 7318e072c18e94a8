/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ring.h: takes records out of the kernel's ring buffer. Needs the descriptor of the map, nothing
 * else.
 */
#ifndef WS_EVENT_RING_H
#define WS_EVENT_RING_H

#include "base/error.h"
#include "wire.h"

struct ws_ring; /* opaque */

/* Called for each record in ring order with bytes valid during the call only. `size` is what the
 * ring holds, at least rec->size if the record is sound: the callee validates. Returns 0, or -1 to
 * stop. */
typedef int (*ws_ring_fn)(void *arg, const void *data, size_t size);

int ws_ring_new(struct ws_ring **ring, int map_fd, ws_ring_fn fn, void *arg, struct ws_error *err);
void ws_ring_free(struct ws_ring *ring);

/* To be put into a poll set beside other descriptors. Programs wake it only above a watermark, so
 * the poller needs a timeout (the latency it wants) and then calls ws_ring_consume whatever poll
 * said. */
int ws_ring_poll_fd(const struct ws_ring *ring);
/* Drains what is there at the call. Returns the number of records, or -1 if the callback stopped
 * it. Of what comes in meanwhile it takes no more than the ring can hold: programs that are faster
 * than the callback do not keep it for ever. */
int ws_ring_consume(struct ws_ring *ring);

#endif
