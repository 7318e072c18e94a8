/* SPDX-License-Identifier: BSD-2-Clause */
#include "event/ring.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

struct ws_ring {
	struct ring_buffer *buffer;
	int epoll_fd;
	uint32_t bytes; /* it can hold */
	ws_ring_fn fn;
	void *arg;
	/* of the call of ws_ring_consume going on */
	int count;
	uint64_t taken; /* bytes */
};

/* Each record has 8 bytes of the ring's own in front, and begins at a multiple of 8 (ringbuf.c). */
static uint64_t bytes_in_ring(size_t size)
{
	return 8 + (((uint64_t)size + 7) & ~7ULL);
}

static int on_sample(void *ctx, void *data, size_t size)
{
	struct ws_ring *ring = ctx;

	if (ring->fn(ring->arg, data, size) < 0)
		return -ECANCELED;
	ring->count++;
	ring->taken += bytes_in_ring(size);
	return ring->taken < ring->bytes ? 0 : -EAGAIN;
}

static int size_of_ring(int map_fd, uint32_t *bytes)
{
	struct bpf_map_info info = { 0 };
	uint32_t len = sizeof(info);

	if (bpf_obj_get_info_by_fd(map_fd, &info, &len))
		return -1;
	*bytes = info.max_entries;
	return 0;
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
	if (r->epoll_fd < 0 || epoll_ctl(r->epoll_fd, EPOLL_CTL_ADD, map_fd, &event) < 0 ||
	    size_of_ring(map_fd, &r->bytes) < 0) {
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
	ring->count = 0;
	ring->taken = 0;
	n = ring_buffer__consume(ring->buffer);
	return n < 0 && n != -EAGAIN ? -1 : ring->count;
}
