/* SPDX-License-Identifier: BSD-2-Clause */
#include "shmem/horizon.h"

#include <stdlib.h>
#include <string.h>

#include "target/memory.h"

#define FIRST_NORMAL_XID 3
#define EXPORTERS_MAX	 256
#define PREPARED_MAX	 262143 /* MAX_BACKENDS bounds max_prepared_transactions (guc.c) */
#define GXACT_MAX	 512	/* bytes of an entry; 10 to 17 have 256 */
#define EPOCH_US	 946684800000000LL
/* slot.c: SLOT_MAGIC, and what stands in front of slotdata in ReplicationSlotOnDisk; 10 to 18. */
#define SLOT_FILE_MAGIC 0x1051CA1
#define SLOT_FILE_DATA	16
/* PGPROC.statusFlags, up to 13 PGXACT.vacuumFlags (proc.h): whose xmin ComputeXidHorizons, up to 13
 * GetOldestXmin, does not look at: a lazy VACUUM's, and that of logical decoding, for which the
 * slot stands. */
#define PROC_IN_VACUUM		 0x02
#define PROC_IN_LOGICAL_DECODING 0x10

/* TransactionIdPrecedes, transam.c. */
static bool is_older(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

static void offer(struct ws_horizon *h, const struct ws_hold *hold)
{
	size_t i;

	if (hold->xid < FIRST_NORMAL_XID)
		return;
	for (i = 0; i < h->count && h->holds[i].kind != hold->kind; i++)
		continue;
	if (i == h->count)
		h->count++;
	else if (hold->xid == h->holds[i].xid ? !h->holds[i].snapshot || hold->snapshot
					      : !is_older(hold->xid, h->holds[i].xid))
		return;
	h->holds[i] = *hold;
}

/* What a process shows of its transaction. */
struct look {
	uint32_t xid, xmin, database;
	int64_t since_ns;
	uint8_t flags;
	bool walsender;
};

static bool read_field(const struct ws_shmem *process, uint64_t variable, uint32_t offset,
		       void *out, size_t size)
{
	uint64_t address = 0;

	return offset != WS_UNKNOWN &&
	       ws_shmem_variable(process, variable, &address, sizeof(address)) && address &&
	       ws_memory_read(process->pid, address + offset, out, size);
}

static int64_t wall(int64_t postgres_us)
{
	return postgres_us > 0 && postgres_us < INT64_MAX / 1000 - EPOCH_US
		       ? (postgres_us + EPOCH_US) * 1000
		       : 0;
}

static bool read_ids(const struct ws_shmem *process, struct look *look)
{
	const struct ws_shmem_variables *var = process->var;
	const struct ws_offsets *off = process->off;

	return (read_field(process, var->my_proc, off->proc_xid, &look->xid, 4) &&
		read_field(process, var->my_proc, off->proc_xmin, &look->xmin, 4) &&
		read_field(process, var->my_proc, off->proc_status_flags, &look->flags, 1)) ||
	       (read_field(process, var->my_xact, off->pgxact_xid, &look->xid, 4) &&
		read_field(process, var->my_xact, off->pgxact_xmin, &look->xmin, 4) &&
		read_field(process, var->my_xact, off->pgxact_vacuum_flags, &look->flags, 1));
}

/* False if the process is not itself yet (see ws_holder_find), has no such thing, or does not
 * count: who cannot be told surely is not named. */
static bool look_at(const struct ws_shmem *process, uint32_t ns_pid, struct look *look)
{
	const struct ws_shmem_variables *var = process->var;
	uint8_t walsender = 0;
	int64_t start = 0;
	int32_t pid = 0;

	*look = (struct look){ 0 };
	if (!ws_shmem_variable(process, var->my_proc_pid, &pid, sizeof(pid)) ||
	    pid != (int32_t)ns_pid || !read_ids(process, look) ||
	    look->flags & (PROC_IN_VACUUM | PROC_IN_LOGICAL_DECODING) ||
	    !ws_shmem_variable(process, var->am_walsender, &walsender, 1) ||
	    !ws_shmem_variable(process, var->my_database_id, &look->database, 4))
		return false;
	look->walsender = walsender == 1;
	if (read_field(process, var->my_status, process->off->backend_xact_start, &start, 8))
		look->since_ns = wall(start);
	return true;
}

static void offer_process(struct ws_horizon *h, const struct ws_process *child,
			  const struct look *look, bool exported)
{
	struct ws_hold hold = { .kind = exported ? WS_HOLDS_EXPORTED : WS_HOLDS_TRANSACTION,
				.xid = look->xid,
				.pid = child->pid,
				.ns_pid = child->ns_pid,
				.since_ns = look->since_ns };

	if (look->xmin >= FIRST_NORMAL_XID &&
	    (look->xid < FIRST_NORMAL_XID || is_older(look->xmin, look->xid))) {
		hold.xid = look->xmin;
		hold.snapshot = true;
	}
	/* One without a database runs no SQL and exports no snapshot. */
	if (look->walsender && !look->database && !look->since_ns) {
		hold.kind = WS_HOLDS_FEEDBACK;
		hold.snapshot = false;
	}
	offer(h, &hold);
}

static void offer_slots(struct ws_horizon *h, const struct ws_slot_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		const struct ws_slot *slot = &list->slots[i];
		struct ws_hold hold = { .kind = WS_HOLDS_SLOT, .slot = slot };

		/* ReplicationSlotsComputeRequiredXmin leaves invalid ones out. */
		if (slot->problem[0] || slot->invalid)
			continue;
		hold.xid = slot->effective_xmin;
		offer(h, &hold);
		hold.kind = WS_HOLDS_SLOT_CATALOG;
		hold.xid = slot->effective_catalog_xmin;
		offer(h, &hold);
	}
}

/*
 * Since when a slot has its xid nothing in memory tells. But its file has it, too, in a copy of the
 * slot's `data` behind four numbers (slot.c, ReplicationSlotOnDisk): so it had it when that was
 * written. And one that nobody holds changes no more, if it is not synchronized.
 */
static int64_t slot_since(const struct ws_shmem *shmem, const struct ws_proc *proc,
			  uint32_t postmaster, const struct ws_hold *hold)
{
	const struct ws_offsets *off = shmem->off;
	const struct ws_slot *slot = hold->slot;
	uint32_t field = hold->kind == WS_HOLDS_SLOT ? off->slot_xmin : off->slot_catalog_xmin;
	int64_t since = slot->synced == WS_YES ? 0 : slot->inactive_since_ns, written;
	uint32_t magic = 0, xid = 0;
	uint8_t head[512];
	size_t len, at;

	if (field == WS_UNKNOWN || off->slot_name == WS_UNKNOWN || field < off->slot_name)
		return since;
	at = SLOT_FILE_DATA + field - off->slot_name;
	len = ws_proc_slot_file(proc, postmaster, slot->name, head, sizeof(head), &written);
	if (len < at + sizeof(xid))
		return since;
	memcpy(&magic, head, sizeof(magic));
	memcpy(&xid, head + at, sizeof(xid));
	if (magic == SLOT_FILE_MAGIC && xid == hold->xid && (!since || written < since))
		since = written;
	return since;
}

/* TwoPhaseShmemSize, twophase.c: pointers to entries, and the entries behind them. */
static bool find_prepared(const struct ws_shmem *shmem, uint64_t *table, int32_t *count)
{
	const struct ws_offsets *off = shmem->off;
	uint64_t size, wanted;
	int32_t max;

	if (off->gxact_size == WS_UNKNOWN || off->gxact_size > GXACT_MAX ||
	    off->gxact_xid == WS_UNKNOWN || off->gxact_valid == WS_UNKNOWN ||
	    off->gxact_gid == WS_UNKNOWN || off->gxact_prepared_at == WS_UNKNOWN ||
	    off->twophase_first == WS_UNKNOWN || off->twophase_count == WS_UNKNOWN ||
	    !ws_shmem_find(shmem, "Prepared Transaction Table", table, &size) ||
	    !ws_shmem_variable(shmem, shmem->var->max_prepared, &max, sizeof(max)) || max <= 0 ||
	    max > PREPARED_MAX)
		return false;
	/* The server's own account of the size tells whether the layout is right. */
	wanted = off->twophase_first + (uint64_t)max * (8 + (uint64_t)off->gxact_size);
	return wanted == size && off->twophase_count <= off->twophase_first &&
	       ws_shmem_read(shmem, *table + off->twophase_count, count, sizeof(*count)) &&
	       *count >= 0 && *count <= max;
}

/* Offsets may be those of a file that is none of PostgreSQL's. */
static bool fits(uint32_t offset, size_t bytes, uint32_t size)
{
	return offset + (uint64_t)bytes <= size;
}

/* False if what lies there is no prepared transaction, or changes. */
static bool read_prepared(const struct ws_shmem *shmem, uint64_t address, struct ws_hold *hold)
{
	const struct ws_offsets *off = shmem->off;
	uint8_t bytes[GXACT_MAX], again[GXACT_MAX];
	uint32_t size = off->gxact_size;
	int64_t at;

	if (!ws_shmem_holds(shmem, address, size) || !fits(off->gxact_xid, 4, size) ||
	    !fits(off->gxact_prepared_at, 8, size) || !fits(off->gxact_valid, 1, size) ||
	    !fits(off->gxact_gid, sizeof(hold->gid), size) ||
	    !ws_shmem_read(shmem, address, bytes, size) ||
	    !ws_shmem_read(shmem, address, again, size) || memcmp(bytes, again, size) != 0 ||
	    bytes[off->gxact_valid] != 1)
		return false;
	*hold = (struct ws_hold){ .kind = WS_HOLDS_PREPARED };
	memcpy(&hold->xid, bytes + off->gxact_xid, 4);
	memcpy(&at, bytes + off->gxact_prepared_at, 8);
	memcpy(hold->gid, bytes + off->gxact_gid, sizeof(hold->gid));
	hold->since_ns = wall(at);
	return hold->gid[0] && memchr(hold->gid, '\0', sizeof(hold->gid)) && hold->since_ns;
}

static void offer_prepared(const struct ws_shmem *shmem, struct ws_horizon *h)
{
	uint64_t table, entry;
	int32_t count;

	if (!find_prepared(shmem, &table, &count))
		return;
	for (int32_t i = 0; i < count; i++) {
		struct ws_hold hold;

		if (ws_shmem_read(shmem, table + shmem->off->twophase_first + 8 * (uint64_t)i,
				  &entry, 8) &&
		    read_prepared(shmem, entry, &hold))
			offer(h, &hold);
	}
}

static int by_age(const void *a, const void *b)
{
	const struct ws_hold *x = a, *y = b;

	if (x->xid != y->xid)
		return is_older(x->xid, y->xid) ? -1 : 1;
	/* Who is it stands before who only sees it. */
	return x->snapshot != y->snapshot ? (int)x->snapshot - (int)y->snapshot
					  : (int)x->kind - (int)y->kind;
}

static bool is_among(const uint32_t *pids, size_t count, uint32_t pid)
{
	for (size_t i = 0; i < count; i++)
		if (pids[i] == pid)
			return true;
	return false;
}

void ws_horizon_read(const struct ws_shmem *shmem, const struct ws_proc *proc,
		     const struct ws_postmaster *postmaster, const struct ws_slot_list *list,
		     struct ws_horizon *horizon)
{
	uint32_t exporters[EXPORTERS_MAX];
	size_t count = ws_proc_exporters(proc, postmaster->process.pid, exporters, EXPORTERS_MAX);

	*horizon = (struct ws_horizon){ 0 };
	for (size_t i = 0; i < postmaster->child_count; i++) {
		struct ws_shmem process = *shmem;
		struct look look;

		process.pid = postmaster->children[i].pid;
		if (look_at(&process, postmaster->children[i].ns_pid, &look))
			offer_process(horizon, &postmaster->children[i], &look,
				      is_among(exporters, count, postmaster->children[i].ns_pid));
	}
	offer_prepared(shmem, horizon);
	offer_slots(horizon, list);
	for (size_t i = 0; i < horizon->count; i++)
		if (horizon->holds[i].slot)
			horizon->holds[i].since_ns = slot_since(
				shmem, proc, postmaster->process.pid, &horizon->holds[i]);
	qsort(horizon->holds, horizon->count, sizeof(horizon->holds[0]), by_age);
}

bool ws_horizon_process(const struct ws_shmem *shmem, const struct ws_process *child, uint32_t xid,
			struct ws_hold *hold)
{
	struct ws_shmem process = *shmem;
	struct look look;

	process.pid = child->pid;
	if (!look_at(&process, child->ns_pid, &look) || look.xid != xid)
		return false;
	*hold = (struct ws_hold){ .kind = WS_HOLDS_TRANSACTION,
				  .xid = xid,
				  .pid = child->pid,
				  .ns_pid = child->ns_pid,
				  .since_ns = look.since_ns };
	return true;
}

bool ws_horizon_prepared(const struct ws_shmem *shmem, uint32_t xid, struct ws_hold *hold)
{
	uint64_t table, entry;
	int32_t count;

	if (!find_prepared(shmem, &table, &count))
		return false;
	for (int32_t i = 0; i < count; i++)
		if (ws_shmem_read(shmem, table + shmem->off->twophase_first + 8 * (uint64_t)i,
				  &entry, 8) &&
		    read_prepared(shmem, entry, hold) && hold->xid == xid)
			return true;
	return false;
}

const char *ws_holds_name(enum ws_holds kind)
{
	static const char *const names[] = { [WS_HOLDS_SLOT] = "slot",
					     [WS_HOLDS_SLOT_CATALOG] = "slot_catalog",
					     [WS_HOLDS_FEEDBACK] = "hot_standby_feedback",
					     [WS_HOLDS_TRANSACTION] = "transaction",
					     [WS_HOLDS_PREPARED] = "prepared_transaction",
					     [WS_HOLDS_EXPORTED] = "exported_snapshot" };

	return names[kind];
}
