/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * freeze.h: a piece of a recording as a recording of its own.
 */
#ifndef WS_TRACE_FREEZE_H
#define WS_TRACE_FREEZE_H

#include "trace/trace.h"

struct ws_freeze {
	const char
		*path; /* of the new recording: there when it is whole, in place of an older one */
	uint64_t from_ns, to_ns; /* records of this time: UINT64_MAX is the end */
	int64_t from_wall_ns;	 /* CLOCK_REALTIME at from_ns */
	/* What came of it: records without what it repeats at its start, of which gaps say that
	 * `lost` are missing; `cut`: the last run was cut off, and it with that. */
	uint64_t records, bytes, lost;
	bool cut;
};

/* Reads the rest of `reader`, which was opened or rewound. What is known at from_ns comes first
 * (checkpoint.h). Nothing is left behind if it fails. */
int ws_freeze_run(struct ws_freeze *freeze, struct ws_reader *reader, struct ws_error *err);

#endif
