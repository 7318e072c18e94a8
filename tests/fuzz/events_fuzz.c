/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What comes out of the ring buffer: records one behind the other, each a multiple of 8 bytes long,
 * through validation, sequence numbers, the session model and every printer.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "event/order.h"
#include "event/schema.h"

/* What the order passes on, gaps of its own included, is sound. */
static int receive(void *arg, const struct ws_rec *rec)
{
	char why[128];

	if (!ws_rec_valid(rec, rec->size, why, sizeof(why)))
		abort();
	return fuzz_show_feed(arg, rec);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_show *show = fuzz_show_new();
	struct ws_order *order = ws_order_new((struct ws_sink){ .fn = receive, .arg = show });
	size_t at = 0;

	while (order && at + sizeof(struct ws_rec) <= size) {
		struct ws_rec head;
		size_t len, step;
		void *copy;

		memcpy(&head, data + at, sizeof(head));
		step = (head.size + 7UL) & ~7UL;
		if (step < sizeof(head))
			step = sizeof(head);
		len = step < size - at ? step : size - at;
		/* A copy of its own, so that a read beyond its end is seen. */
		copy = malloc(len);
		if (!copy)
			abort();
		memcpy(copy, data + at, len);
		ws_order_feed(order, copy, len);
		free(copy);
		at += step;
	}
	ws_order_free(order);
	fuzz_show_end(show);
	return 0;
}
