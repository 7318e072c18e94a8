/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * looks.h: when is it worth to look at a process's memory again? Pure.
 *
 * At most once a second, and only if it has run since the last look: nobody else changes it. While
 * looks find nothing new they become rarer, down to one in eight seconds; as soon as its own memory
 * grows or shrinks, or a command begins or ends, one is due. And however long looks take, they get
 * a hundredth of the time.
 */
#ifndef WS_LIVE_LOOKS_H
#define WS_LIVE_LOOKS_H

#include <stdbool.h>
#include <stdint.h>

#define WS_LOOKS_OFTEN_NS  900000000ULL /* it is asked once a second, about */
#define WS_LOOKS_SELDOM_NS 8000000000ULL
#define WS_LOOKS_SHARE	   100

/* What is known of a process from outside. */
struct ws_look_at {
	uint64_t now_ns;
	bool sampled;		/* the next two are known */
	uint64_t run_ns;	/* on a CPU, all in all */
	uint64_t private_bytes; /* memory of its own */
	uint32_t does;		/* differs when a command has begun or ended */
};

/* The looks at one process; zero-initialise. */
struct ws_looks {
	struct ws_look_at last; /* now_ns 0: there was none */
	uint64_t took_ns;
	uint64_t wait_ns; /* until the next, unless something moves */
};

bool ws_look_is_due(const struct ws_looks *looks, const struct ws_look_at *at);
/* One was taken at `at`, and was over at end_ns. `news`: something had changed. */
void ws_look_taken(struct ws_looks *looks, const struct ws_look_at *at, uint64_t end_ns, bool news);

#endif
