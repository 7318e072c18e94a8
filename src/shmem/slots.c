/* SPDX-License-Identifier: BSD-2-Clause */
#include "shmem/slots.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/util.h"
#include "target/memory.h"

#define SLOTS_MAX  262143 /* MAX_BACKENDS bounds max_replication_slots (guc.c) */
#define SLOT_MAX   1024	  /* bytes of a ReplicationSlot; 18 has 272 */
#define NAME_BYTES 64	  /* NAMEDATALEN */
#define LOOKS	   8	  /* at a slot that changes */
#define WAITS_MAX  1000	  /* for all slots: a server has few that change at a time */

/* From PostgreSQL's epoch, 2000-01-01, to Unix's, in us. */
#define EPOCH_US 946684800000000LL

static const char what[] = "cannot read the replication slots";

/* A copy of one slot, as it lay in memory. */
struct raw {
	const struct ws_offsets *off;
	uint8_t bytes[SLOT_MAX];
};

static bool get(const struct raw *raw, uint32_t offset, void *out, size_t size)
{
	if (offset == WS_UNKNOWN || offset + size > raw->off->slot_size)
		return false;
	memcpy(out, raw->bytes + offset, size);
	return true;
}

static enum ws_tri get_bool(const struct raw *raw, uint32_t offset)
{
	uint8_t byte;

	if (!get(raw, offset, &byte, 1))
		return WS_NOT_KNOWN;
	/* `synced` is a char and means its truth. */
	return byte ? WS_YES : WS_NO;
}

__attribute__((format(printf, 2, 3))) static bool bad(struct ws_slot *slot, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(slot->problem, sizeof(slot->problem), fmt, ap);
	va_end(ap);
	return false;
}

/* ReplicationSlotValidateName, slot.c: these characters, and at least one. */
static bool is_slot_name(const char *name)
{
	size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");

	return len && !name[len];
}

static bool get_name(const struct raw *raw, uint32_t offset, char name[NAME_BYTES])
{
	return get(raw, offset, name, NAME_BYTES) && memchr(name, '\0', NAME_BYTES);
}

/* Beyond what a cluster can write in its life. */
static bool is_odd_lsn(uint64_t lsn)
{
	return lsn >> 56;
}

static bool parse_lsns(const struct raw *raw, struct ws_slot *slot)
{
	const struct ws_offsets *off = raw->off;

	if (!get(raw, off->slot_restart_lsn, &slot->restart_lsn, 8) ||
	    !get(raw, off->slot_confirmed_flush, &slot->confirmed_flush, 8))
		return bad(slot, "the layout has no restart_lsn or confirmed_flush");
	get(raw, off->slot_invalidated_at, &slot->invalidated_at, 8);
	if (is_odd_lsn(slot->restart_lsn) || is_odd_lsn(slot->confirmed_flush) ||
	    is_odd_lsn(slot->invalidated_at))
		return bad(slot, "its LSNs are none");
	return true;
}

/* enum ReplicationSlotInvalidationCause: 16 and 17 count, from 18 on they are bits. */
static enum ws_slot_invalid cause(uint32_t value, int major)
{
	static const enum ws_slot_invalid counted[] = { WS_SLOT_VALID, WS_SLOT_WAL_REMOVED,
							WS_SLOT_ROWS_REMOVED, WS_SLOT_WAL_LEVEL };

	if (major < 18)
		return value < WS_ARRAY_SIZE(counted) ? counted[value] : WS_SLOT_INVALID_OTHER;
	switch (value) {
	case 0:
		return WS_SLOT_VALID;
	case 1:
		return WS_SLOT_WAL_REMOVED;
	case 2:
		return WS_SLOT_ROWS_REMOVED;
	case 4:
		return WS_SLOT_WAL_LEVEL;
	case 8:
		return WS_SLOT_IDLE_TIMEOUT;
	default:
		return WS_SLOT_INVALID_OTHER;
	}
}

static void parse_rest(const struct raw *raw, int major, struct ws_slot *slot)
{
	const struct ws_offsets *off = raw->off;
	int64_t inactive;
	uint32_t value;

	get(raw, off->slot_xmin, &slot->xmin, 4);
	get(raw, off->slot_catalog_xmin, &slot->catalog_xmin, 4);
	get(raw, off->slot_effective_xmin, &slot->effective_xmin, 4);
	get(raw, off->slot_effective_catalog_xmin, &slot->effective_catalog_xmin, 4);
	slot->two_phase = get_bool(raw, off->slot_two_phase);
	slot->failover = get_bool(raw, off->slot_failover);
	slot->synced = get_bool(raw, off->slot_synced);
	if (get(raw, off->slot_inactive_since, &inactive, 8) && inactive > 0 &&
	    inactive < INT64_MAX / 1000 - EPOCH_US)
		slot->inactive_since_ns = (inactive + EPOCH_US) * 1000;
	if (get(raw, off->slot_invalidated, &value, 4))
		slot->invalid = cause(value, major);
	else if (!slot->restart_lsn && slot->invalidated_at)
		slot->invalid = WS_SLOT_WAL_REMOVED; /* the only cause up to 15 */
}

/* False if it holds what no slot has. */
static bool parse(const struct raw *raw, int major, struct ws_slot *slot)
{
	const struct ws_offsets *off = raw->off;
	uint32_t persistency = 0;

	if (!get_name(raw, off->slot_name, slot->name) || !is_slot_name(slot->name)) {
		slot->name[0] = '\0';
		return bad(slot, "its name is none");
	}
	if (!get(raw, off->slot_data_database, &slot->database, 4) ||
	    !get(raw, off->slot_persistency, &persistency, 4) ||
	    !get(raw, off->slot_active_pid, &slot->active_pid, 4))
		return bad(slot, "the layout has no database, persistency or active_pid");
	slot->logical = slot->database != 0; /* SlotIsLogical, slot.h */
	if (persistency > WS_SLOT_TEMPORARY)
		return bad(slot, "its persistency is %u", persistency);
	slot->persistency = (enum ws_slot_persistency)persistency;
	if (slot->active_pid < 0)
		return bad(slot, "its active_pid is %d", slot->active_pid);
	if (slot->logical && !get_name(raw, off->slot_plugin, slot->plugin)) {
		slot->plugin[0] = '\0';
		return bad(slot, "its plugin is no text");
	}
	if (!parse_lsns(raw, slot))
		return false;
	parse_rest(raw, major, slot);
	return true;
}

/*
 * A slot changes under its spinlock, which is not ours to take: what is the same twice, with the
 * lock free both times, was not in the middle of a change. 1: it is in use, 0: it is free.
 */
static int read_whole(const struct ws_shmem *shmem, uint64_t address, struct raw *raw,
		      struct ws_slot *slot, unsigned int *waits)
{
	static const struct timespec pause = { .tv_nsec = 200000 };
	struct raw before = { .off = shmem->off };
	size_t size = shmem->off->slot_size;
	uint8_t in_use = 0;

	for (int look = 0; look < LOOKS; look++) {
		if (look && (*waits)++ < WAITS_MAX)
			nanosleep(&pause, NULL);
		if (!ws_shmem_read(shmem, address, before.bytes, size) ||
		    !ws_shmem_read(shmem, address, raw->bytes, size)) {
			bad(slot, "%s", strerror(errno));
			return 1;
		}
		get(raw, shmem->off->slot_in_use, &in_use, 1);
		if (!in_use)
			return 0;
		if (!raw->bytes[0] && memcmp(before.bytes, raw->bytes, size) == 0)
			break;
		if (look == LOOKS - 1)
			bad(slot, "it changes faster than it is read");
	}
	if (in_use > 1)
		bad(slot, "its in_use is %u", in_use);
	return 1;
}

static int read_slot(const struct ws_shmem *shmem, const struct ws_wal *wal, uint64_t address,
		     unsigned int number, struct ws_slot_list *list)
{
	struct raw raw = { .off = shmem->off };
	struct ws_slot found = { .number = number }, *slot;

	if (!read_whole(shmem, address, &raw, &found, &list->waits))
		return 0;
	if (!found.problem[0] && parse(&raw, shmem->major, &found))
		found.wal = ws_slot_wal_status(&found, wal);
	slot = ws_array_grow(&list->slots, &list->count, &list->cap, sizeof(*slot));
	if (!slot)
		return -1;
	*slot = found;
	return 0;
}

static int refuse(const struct ws_shmem *shmem, struct ws_error *err, const char *name,
		  int64_t value, const char *wanted)
{
	char where[32];

	snprintf(where, sizeof(where), "pid %u", shmem->pid);
	ws_error_set(err, what, where, "%s is %" PRId64 ", not %s: the layout is of another server",
		     name, value, wanted);
	return -1;
}

/* Where the array is; *max 0: the server has none. The server's own account of its size tells
 * whether the layout is right. */
static int find_array(const struct ws_shmem *shmem, uint64_t *array, int32_t *max,
		      struct ws_error *err)
{
	const struct ws_offsets *off = shmem->off;
	uint64_t control, known, size, wanted;

	if (off->slot_size == WS_UNKNOWN || off->slots_first == WS_UNKNOWN ||
	    off->slot_in_use == WS_UNKNOWN || off->slot_size > SLOT_MAX)
		return ws_error_set(err, what, NULL, "the layout of a slot is not known");
	if (!ws_shmem_variable(shmem, shmem->var->max_slots, max, sizeof(*max)))
		return ws_shmem_failed(shmem, "max_replication_slots", err);
	if (*max < 0 || *max > SLOTS_MAX)
		return refuse(shmem, err, "max_replication_slots", *max, "a number of slots");
	if (!*max)
		return 0;
	if (!ws_shmem_variable(shmem, shmem->var->slot_ctl, &control, sizeof(control)))
		return ws_shmem_failed(shmem, "ReplicationSlotCtl", err);
	wanted = off->slots_first + (uint64_t)*max * off->slot_size;
	if (!control || !ws_shmem_holds(shmem, control, wanted))
		return refuse(shmem, err, "ReplicationSlotCtl", (int64_t)control,
			      "in shared memory");
	if (ws_shmem_find(shmem, "ReplicationSlot Ctl", &known, &size) &&
	    (known != control || size != wanted))
		return refuse(shmem, err, "the slots' size", (int64_t)size,
			      "what the layout makes of max_replication_slots");
	*array = control + off->slots_first;
	return 0;
}

int ws_slots_read(const struct ws_shmem *shmem, const struct ws_wal *wal, struct ws_slot_list *list,
		  struct ws_error *err)
{
	uint32_t size = shmem->off->slot_size;
	uint64_t array = 0;

	*list = (struct ws_slot_list){ 0 };
	if (find_array(shmem, &array, &list->max, err))
		return -1;
	for (int32_t i = 0; i < list->max; i++) {
		if (read_slot(shmem, wal, array + (uint64_t)i * size, (unsigned int)i, list)) {
			ws_slot_list_deinit(list);
			return ws_error_errno(err, ENOMEM, what, NULL);
		}
	}
	return 0;
}

void ws_slot_list_deinit(struct ws_slot_list *list)
{
	free(list->slots);
	*list = (struct ws_slot_list){ 0 };
}

/* -- wal_status */

static uint64_t segments(const struct ws_wal *wal, int32_t mb)
{
	return (uint64_t)mb / ((uint64_t)wal->segment_size >> 20);
}

/* The oldest segment that is kept for slots and wal_keep_size: KeepLogSeg. What it keeps for WAL
 * summaries (17, off by default) is not looked at. */
static uint64_t oldest_kept(const struct ws_wal *wal)
{
	uint64_t size = (uint64_t)wal->segment_size, current = wal->written / size,
		 oldest = current;
	uint64_t keep;

	if (wal->slot_min_lsn && wal->slot_min_lsn < wal->written) {
		oldest = wal->slot_min_lsn / size;
		keep = wal->max_slot_wal_keep_size < 0 ? UINT64_MAX
						       : segments(wal, wal->max_slot_wal_keep_size);
		if (current - oldest > keep)
			oldest = current - keep;
	}
	keep = segments(wal, wal->wal_keep_size);
	if (wal->wal_keep_size > 0 && current - oldest < keep)
		oldest = current <= keep ? 1 : current - keep;
	return oldest < current ? oldest : current;
}

/* GetWALAvailability. */
static enum ws_slot_wal availability(const struct ws_wal *wal, uint64_t lsn)
{
	uint64_t size = (uint64_t)wal->segment_size, target = lsn / size;
	uint64_t current = wal->written / size, keep = segments(wal, wal->max_wal_size) + 1;
	uint64_t oldest_by_size = current > keep ? current - keep : 1;

	if (target >= oldest_kept(wal))
		return target >= oldest_by_size ? WS_SLOT_RESERVED : WS_SLOT_EXTENDED;
	return target > wal->last_removed_segment ? WS_SLOT_UNRESERVED : WS_SLOT_LOST;
}

enum ws_slot_wal ws_slot_wal_status(const struct ws_slot *slot, const struct ws_wal *wal)
{
	enum ws_slot_wal status = WS_SLOT_LOST;

	if (wal->major < 13)
		return WS_SLOT_WAL_UNKNOWN; /* no such column */
	if (slot->invalid == WS_SLOT_VALID) {
		if (!slot->restart_lsn || !wal->has_ctl || !wal->has_limits)
			return WS_SLOT_WAL_UNKNOWN;
		status = availability(wal, slot->restart_lsn);
	}
	/* Who holds it may still have the file open. */
	if (status == WS_SLOT_LOST && slot->restart_lsn && slot->active_pid)
		return WS_SLOT_UNRESERVED;
	return status;
}

const char *ws_slot_wal_name(enum ws_slot_wal wal)
{
	static const char *const names[] = { [WS_SLOT_RESERVED] = "reserved",
					     [WS_SLOT_EXTENDED] = "extended",
					     [WS_SLOT_UNRESERVED] = "unreserved",
					     [WS_SLOT_LOST] = "lost" };

	return names[wal];
}

const char *ws_slot_invalid_name(enum ws_slot_invalid invalid)
{
	static const char *const names[] = { [WS_SLOT_WAL_REMOVED] = "wal_removed",
					     [WS_SLOT_ROWS_REMOVED] = "rows_removed",
					     [WS_SLOT_WAL_LEVEL] = "wal_level_insufficient",
					     [WS_SLOT_IDLE_TIMEOUT] = "idle_timeout",
					     [WS_SLOT_INVALID_OTHER] = "unknown" };

	return names[invalid];
}

const char *ws_slot_persistency_name(enum ws_slot_persistency persistency)
{
	static const char *const names[] = { [WS_SLOT_PERSISTENT] = "persistent",
					     [WS_SLOT_EPHEMERAL] = "ephemeral",
					     [WS_SLOT_TEMPORARY] = "temporary" };

	return names[persistency];
}
