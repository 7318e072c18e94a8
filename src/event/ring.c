/* SPDX-License-Identifier: BSD-2-Clause */
#include "event/ring.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

struct ws_ring {
	struct ring_buffer *buffer;
	int epoll_fd;
	ws_ring_fn fn;
	void *arg;
};

static int on_sample(void *ctx, void *data, size_t size)
{
	const struct ws_ring *ring = ctx;

	return ring->fn(ring->arg, data, size) < 0 ? -ECANCELED : 0;
}

/*
 * The descriptor to poll is an edge-triggered epoll set of our own. The kernel calls a ring buffer
 * readable whenever anything is in it, so a plain poll would return at once under load, and the
 * programs' sparing wake-ups would be for nothing; in an edge-triggered set only a wake-up counts.
 */
int ws_ring_new(struct ws_ring **ring, int map_fd, ws_ring_fn fn, void *arg, struct ws_error *err)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	struct ws_ring *r = calloc(1, sizeof(*r));
	int errnum;

	if (!r)
		return ws_error_errno(err, ENOMEM, "cannot open the ring buffer", NULL);
	r->fn = fn;
	r->arg = arg;
	r->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (r->epoll_fd < 0 || epoll_ctl(r->epoll_fd, EPOLL_CTL_ADD, map_fd, &event) < 0) {
		errnum = errno;
		goto fail;
	}
	r->buffer = ring_buffer__new(map_fd, on_sample, r, NULL);
	if (!r->buffer) {
		errnum = errno;
		goto fail;
	}
	*ring = r;
	return 0;
fail:
	ws_ring_free(r);
	return ws_error_errno(err, errnum, "cannot open the ring buffer", NULL);
}

void ws_ring_free(struct ws_ring *ring)
{
	if (!ring)
		return;
	ring_buffer__free(ring->buffer);
	if (ring->epoll_fd >= 0)
		close(ring->epoll_fd);
	free(ring);
}

int ws_ring_poll_fd(const struct ws_ring *ring)
{
	return ring->epoll_fd;
}

int ws_ring_consume(struct ws_ring *ring)
{
	struct epoll_event event;
	int n;

	/* takes the wake-up that led here, so that only the next one is reported */
	epoll_wait(ring->epoll_fd, &event, 1, 0);
	n = ring_buffer__consume(ring->buffer);
	return n < 0 ? -1 : n;
}
