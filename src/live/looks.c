/* SPDX-License-Identifier: BSD-2-Clause */
#include "live/looks.h"

bool ws_look_is_due(const struct ws_looks *looks, const struct ws_look_at *at)
{
	const struct ws_look_at *last = &looks->last;
	uint64_t since = at->now_ns - last->now_ns;
	bool known = at->sampled && last->sampled;

	if (!last->now_ns)
		return true;
	if (since < WS_LOOKS_OFTEN_NS || since / WS_LOOKS_SHARE < looks->took_ns ||
	    (known && at->run_ns == last->run_ns))
		return false;
	return since >= looks->wait_ns || at->does != last->does ||
	       (known && at->private_bytes != last->private_bytes);
}

void ws_look_taken(struct ws_looks *looks, const struct ws_look_at *at, uint64_t end_ns, bool news)
{
	looks->last = *at;
	looks->took_ns = end_ns > at->now_ns ? end_ns - at->now_ns : 0;
	if (news || !looks->wait_ns)
		looks->wait_ns = WS_LOOKS_OFTEN_NS;
	else if (looks->wait_ns < WS_LOOKS_SELDOM_NS)
		looks->wait_ns *= 2;
	if (looks->wait_ns > WS_LOOKS_SELDOM_NS)
		looks->wait_ns = WS_LOOKS_SELDOM_NS;
}
