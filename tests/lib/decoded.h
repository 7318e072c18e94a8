/* SPDX-License-Identifier: BSD-2-Clause */
/* decoded.h: what a diagnosis is told of logical decoding. Include it behind cmocka.h. */
#ifndef WS_TESTS_DECODED_H
#define WS_TESTS_DECODED_H

#include "diagnosed.h"

#define ALL_VALID                                                                       \
	(WS_DECODING_READ | WS_DECODING_SLOT | WS_DECODING_BUFFER | WS_DECODING_STATS | \
	 WS_DECODING_TIMES | WS_DECODING_TXNS)

static inline void tell_flushed(struct lab *lab, uint64_t lsn)
{
	struct ws_rec_sample r = { .valid = WS_SAMPLE_TARGET,
				   .target_lsn = lsn,
				   .task_state = 'S' };

	lab_sampled(lab, &r.h, WS_KIND_SAMPLE, sizeof(r));
}

static inline void assert_said(struct lab *lab, const char *part)
{
	const struct ws_explained *row = lab_find(lab, WS_SCOPE_SESSION);

	assert_non_null(row);
	if (!strstr(row->finding.text, part))
		fail_msg("\"%s\" does not say \"%s\"", row->finding.text, part);
}

/* A second of decoding, and what is told of it. */
static inline void second(struct lab *lab, struct ws_rec_decoding *r)
{
	lab_play(lab, &(struct step){ .seconds = 1,
				      .wait = WS_WAIT_WAL,
				      .flags = WS_TURN_LOGICAL,
				      .busy_ms = 900,
				      .stage = WS_STAGE_DECODE,
				      .bytes = 4 * MB });
	lab_sampled(lab, &r->h, WS_KIND_DECODING, sizeof(*r));
}

#endif
