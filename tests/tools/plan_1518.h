/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A plan written by hand: Debian's postgresql-15 15.18-0+deb12u1, amd64. Addresses are file offsets
 * in .text there. From the disassembly and the sources; for tests of the programs alone.
 */
#ifndef WS_TESTS_PLAN_1518_H
#define WS_TESTS_PLAN_1518_H

#include <string.h>

#include "probe/plan.h"

struct site_1518 {
	enum ws_site site;
	uint64_t address;
	int level;
};

static const struct site_1518 sites_1518[] = {
	{ WS_SITE_SESSION_START, 0x4729c0, 1 },
	{ WS_SITE_SESSION_READY, 0x4288b0, 1 },
	{ WS_SITE_COMMAND_START, 0x429a60, 1 },
	{ WS_SITE_COMMAND_END, 0x4731cd, 1 },
	{ WS_SITE_SQL_END, 0x4731db, 1 },
	{ WS_SITE_ERROR, 0x4290f0, 1 },
	{ WS_SITE_FATAL, 0x5a4b30, 1 },
	{ WS_SITE_STATE, 0x429090, 1 },
	{ WS_SITE_STREAM_START, 0x429720, 1 },
	{ WS_SITE_KEEPALIVE, 0x4273b0, 2 },
	{ WS_SITE_SEND_PHYSICAL, 0x429258, 2 },
	{ WS_SITE_SEND_LOGICAL, 0x426e00, 2 },
	{ WS_SITE_FLUSH_END, 0x4297dc, 3 },
	{ WS_SITE_WAIT_START, 0x427250, 2 },
	{ WS_SITE_WAIT_END, 0x4272a0, 3 },
	{ WS_SITE_REPLIES_END, 0x42871b, 2 },
	{ WS_SITE_READ_START, 0x4293bf, 3 },
	{ WS_SITE_READ_END, 0x4293c6, 3 },
	{ WS_SITE_DECODE_START, 0x426e4e, 3 },
	{ WS_SITE_DECODE_END, 0x426e73, 3 },
	{ WS_SITE_MESSAGE_PREPARE, 0x4272e0, 3 },
	{ WS_SITE_MESSAGE_WRITE, 0x428430, 3 },
	{ WS_SITE_MESSAGE_FLUSHED, 0x4284d0, 3 },
	{ WS_SITE_BACKUP_BEGIN, 0x1ff4e0, 1 },
	{ WS_SITE_BACKUP_CHECKPOINT, 0x1ff58f, 1 },
	{ WS_SITE_BACKUP_ESTIMATE, 0x20007f, 1 },
	{ WS_SITE_BACKUP_CHUNK, 0x200cb0, 2 },
	{ WS_SITE_BACKUP_CHUNK_END, 0x200cff, 2 },
	{ WS_SITE_BACKUP_WAIT_ARCHIVE, 0x1ff83f, 1 },
	{ WS_SITE_BACKUP_WAL, 0x1ff8af, 1 },
	{ WS_SITE_BACKUP_DONE, 0x1fffd2, 1 },
};
#define SITES_1518 (sizeof(sites_1518) / sizeof(sites_1518[0]))

static const struct ws_offsets offsets_1518 = {
	.walsnd_state = 4,
	.walsnd_sent = 8,
	.walsnd_write = 24,
	.walsnd_flush = 32,
	.walsnd_apply = 40,
	.walsnd_write_lag = 48,
	.walsnd_flush_lag = 56,
	.walsnd_apply_lag = 64,
	.walsnd_reply_time = 88,
	.port_sock = 0,
	.port_tls = 424,
	.port_remote_host = 288,
	.port_remote_port = 312,
	.port_database = 328,
	.port_user = 336,
	.port_application = 360,
	.error_size = 0xb8,
	.error_elevel = 0,
	.error_filename = 8,
	.error_lineno = 16,
	.error_funcname = 24,
	.error_sqlerrcode = 48,
	.error_message = 56,
	.slot_name = 24,
	.logical_out = 0x100,
	.stringinfo_len = 8,
	.wait_event_events = 4,
	.elevel_commerror = 16,
	.elevel_error = 21,
	.elevel_fatal = 22,
	.elevel_panic = 23,
	.wait_event_standby = WS_UNKNOWN,
};

static const struct ws_variables variables_1518 = {
	.am_walsender = 0x88a71a,
	.am_db_walsender = 0x88a718,
	.my_proc_pid = 0x8928d0,
	.my_proc_port = 0x8928b8,
	.my_walsnd = 0x88a720,
	.my_replication_slot = 0x88a590,
	.errordata = 0x891340,
	.errordata_stack_depth = 0x875f48,
	.pq_send_pointer = 0x889444,
	.pq_send_start = 0x889440,
	.xlog_send_logical = 0x426e00,
};

/* Nothing to free: the plan lives in static storage of its caller. */
static inline void plan_1518(struct ws_plan *plan, int level)
{
	static struct ws_probe probes[SITES_1518];
	static struct ws_planned planned[SITES_1518];
	size_t i;

	memset(plan, 0, sizeof(*plan));
	for (i = 0; i < SITES_1518; i++) {
		probes[i].site = sites_1518[i].site;
		planned[i] = (struct ws_planned){
			.probe = &probes[i],
			.status = level >= sites_1518[i].level ? WS_PLAN_PLANTED
							       : WS_PLAN_NOT_AT_LEVEL,
			.address = sites_1518[i].address,
			.offset = sites_1518[i].address,
		};
		plan->planted += level >= sites_1518[i].level;
	}
	plan->sites = planned;
	plan->count = SITES_1518;
	plan->level = level;
	plan->config.level = level;
	plan->config.off = offsets_1518;
	plan->config.var = variables_1518;
	plan->config.wait_event_reg =
		6; /* lea -0x30(%rbp),%rdx before the call of WaitEventSetWait */
	plan->config.wait_event_disp = -0x30;
}

#endif
