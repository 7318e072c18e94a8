/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tracer.h: what is loaded. For src/probe/ alone.
 */
#ifndef WS_PROBE_TRACER_H
#define WS_PROBE_TRACER_H

#include <bpf/libbpf.h>

#include "probe/attach.h"
#include "skel/host.skel.h"
#include "skel/sample.skel.h"

struct server; /* attach.c */

struct ws_tracer {
	struct host_bpf *host;
	struct sample_bpf *sample;  /* NULL if the kernel has no iterator over tasks */
	struct ws_watched *watched; /* mapped; NULL before the host object is loaded */
	enum ws_attach_method method;
	const struct ws_log *log;
	struct server **servers; /* number n at index n - 1 */
	size_t count;
	size_t cap;
};

#endif
