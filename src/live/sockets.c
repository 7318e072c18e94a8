/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The counters of the sessions' sockets, taken while they are in use. The exit record has them as
 * of the end.
 */
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "live/private.h"

struct taken {
	struct ws_live *live;
	struct ws_rec_socket *rows;
	size_t count, cap;
	bool failed;
};

static int by_session(const void *a, const void *b)
{
	const struct ws_rec_socket *x = a, *y = b;

	if (x->h.pid != y->h.pid)
		return x->h.pid < y->h.pid ? -1 : 1;
	return x->h.start_ns < y->h.start_ns ? -1 : x->h.start_ns > y->h.start_ns;
}

/* Of a session whose first record still is in the ring nothing can be said yet. */
static void take(void *arg, const struct ws_rec_socket *rec)
{
	struct taken *taken = arg;
	struct ws_rec_socket *row;

	if (!ws_order_knows(taken->live->order, rec->h.pid, rec->h.start_ns))
		return;
	row = ws_array_grow(&taken->rows, &taken->count, &taken->cap, sizeof(*row));
	if (row)
		*row = *rec;
	else
		taken->failed = true;
}

static const struct ws_rec_socket *last_of(const struct ws_live *live,
					   const struct ws_rec_socket *now)
{
	return live->socket_count
		       ? bsearch(now, live->sockets, live->socket_count, sizeof(*now), by_session)
		       : NULL;
}

/* Every row counts as told from here on, or as what was told before. */
static int tell(struct ws_live *live, struct ws_rec_socket *now, bool fresh)
{
	const struct ws_rec_socket *last = last_of(live, now);
	const size_t counters = offsetof(struct ws_rec_socket, wire_bytes);
	const size_t end = offsetof(struct ws_rec_socket, srtt_us);

	if (last && (fresh || memcmp((const char *)now + counters, (const char *)last + counters,
				     end - counters) == 0)) {
		*now = *last;
		return 0;
	}
	return ws_order_feed(live->order, now, now->h.size);
}

int ws_live_emit_sockets(struct ws_live *live, bool fresh)
{
	struct taken taken = { .live = live };
	int rc = ws_tracer_each_socket(live->tracer, take, &taken);

	if (rc < 0) {
		if (!live->sockets_failed)
			ws_log(live->options->log, WS_LOG_WARN,
			       "cannot read the counters of sockets: %s", strerror(-rc));
		live->sockets_failed = true;
		free(taken.rows);
		return 0;
	}
	if (taken.count)
		qsort(taken.rows, taken.count, sizeof(*taken.rows), by_session);
	rc = taken.failed ? -1 : 0;
	for (size_t i = 0; i < taken.count && rc == 0; i++)
		rc = tell(live, &taken.rows[i], fresh);
	free(live->sockets);
	live->sockets = taken.rows;
	live->socket_count = taken.count;
	return rc;
}

void ws_live_sockets_deinit(struct ws_live *live)
{
	free(live->sockets);
}
