/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * slots.h: what `walscope slots` found out about one server, as data.
 */
#ifndef WS_EXPORT_SLOTS_H
#define WS_EXPORT_SLOTS_H

#include "shmem/horizon.h"
#include "target/proc.h"

enum ws_holder_kind {
	WS_HOLDER_NONE = 0, /* nobody, or a process that is gone by now */
	WS_HOLDER_WALSENDER,
	WS_HOLDER_BACKEND, /* in a function of SQL */
	WS_HOLDER_SLOTSYNC,
	WS_HOLDER_OTHER,
};

/* The process that holds a slot. Texts are the server's; "" where not known. */
struct ws_holder {
	enum ws_holder_kind kind;
	uint32_t pid, ns_pid;
	char user[64], database[64], application[64];
	char client[96]; /* "192.0.2.1:5432", "[2001:db8::1]:5432", "[local]" */
	char title[256];
	char query[256]; /* of what it is doing now, cut */
};

struct ws_slot_row {
	const struct ws_slot *slot;
	struct ws_holder holder;
	char database[64]; /* name of the slot's; "" if no process tells it */
	/* Of a logical slot that a walsender streams from: the transaction, of a process or
	 * prepared, whose first record restart_lsn does not pass. Kind NOTHING: not known, or none.
	 */
	struct ws_hold oldest;
	uint64_t oldest_lsn;
	char oldest_user[64], oldest_application[64];
};

struct ws_slots_report {
	const struct ws_postmaster *postmaster;
	const char *version; /* "15.18" */
	struct ws_wal wal;
	struct ws_horizon horizon;
	int32_t max_slots;
	const struct ws_slot_row *rows;
	size_t count;
};

/* Bytes of WAL from restart_lsn to the server's position; false if either is not known. A slot that
 * is ahead of it (during recovery) retains none. */
bool ws_slot_retained(const struct ws_slot *slot, const struct ws_wal *wal, uint64_t *bytes);
const char *ws_holder_kind_name(enum ws_holder_kind kind); /* NULL for none */

#endif
