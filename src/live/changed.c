/* SPDX-License-Identifier: BSD-2-Clause */
#include "live/changed.h"

#include <stddef.h>
#include <string.h>

bool ws_socket_changed(const struct ws_rec_socket *last, const struct ws_rec_socket *now)
{
	struct ws_rec_socket a = *last, b = *now;

	if ((now->in_flight_bytes || now->unsent_bytes) &&
	    now->h.time_ns - last->h.time_ns >= WS_SILENCE_NS)
		return true;
	a.h = b.h = (struct ws_rec){ 0 };
	a.srtt_us = b.srtt_us = 0;
	a.rto_us = b.rto_us = 0;
	a.ack_age_us = b.ack_age_us = 0;
	return memcmp(&a, &b, sizeof(a)) != 0;
}

bool ws_sample_changed(const struct ws_rec_sample *last, const struct ws_rec_sample *now)
{
	const size_t values = offsetof(struct ws_rec_sample, run_ns);

	return memcmp((const char *)last + values, (const char *)now + values,
		      sizeof(*now) - values) != 0;
}
