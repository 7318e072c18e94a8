/* SPDX-License-Identifier: BSD-2-Clause */
#include "shmem/horizon.h"

#include <stdlib.h>

#include "base/util.h"
#include "target/memory.h"

#define FIRST_NORMAL_XID 3
#define PROCS_MAX	 262143 /* MAX_BACKENDS */
#define EPOCH_US	 946684800000000LL

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
	else if (!is_older(hold->xid, h->holds[i].xid))
		return;
	h->holds[i] = *hold;
}

/* What a process shows of its transaction. */
struct look {
	uint32_t xid, xmin;
	int64_t since_ns;
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

/* False if the process is not itself yet (see ws_holder_find), or has no such thing. */
static bool look_at(const struct ws_shmem *process, uint32_t ns_pid, struct look *look)
{
	const struct ws_shmem_variables *var = process->var;
	const struct ws_offsets *off = process->off;
	uint8_t walsender = 0;
	int64_t start = 0;
	int32_t pid = 0;

	*look = (struct look){ 0 };
	if (!ws_shmem_variable(process, var->my_proc_pid, &pid, sizeof(pid)) ||
	    pid != (int32_t)ns_pid)
		return false;
	if (!(read_field(process, var->my_proc, off->proc_xid, &look->xid, 4) &&
	      read_field(process, var->my_proc, off->proc_xmin, &look->xmin, 4)) &&
	    !(read_field(process, var->my_xact, off->pgxact_xid, &look->xid, 4) &&
	      read_field(process, var->my_xact, off->pgxact_xmin, &look->xmin, 4)))
		return false;
	if (read_field(process, var->my_status, off->backend_xact_start, &start, 8) && start > 0 &&
	    start < INT64_MAX / 1000 - EPOCH_US)
		look->since_ns = (start + EPOCH_US) * 1000;
	look->walsender =
		ws_shmem_variable(process, var->am_walsender, &walsender, 1) && walsender == 1;
	return true;
}

static void offer_process(struct ws_horizon *h, const struct ws_process *child,
			  const struct look *look)
{
	struct ws_hold hold = { .kind = WS_HOLDS_TRANSACTION,
				.xid = look->xid,
				.pid = child->pid,
				.ns_pid = child->ns_pid,
				.since_ns = look->since_ns };

	/* Its own xid is never older than what its snapshot sees, but it may have no snapshot. */
	if (look->xmin >= FIRST_NORMAL_XID)
		hold.xid = look->xmin;
	if (look->walsender)
		hold.kind = WS_HOLDS_FEEDBACK;
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

static bool is_among(const struct look *looks, size_t count, uint32_t xid)
{
	for (size_t i = 0; i < count; i++)
		if (looks[i].xid == xid)
			return true;
	return false;
}

/* Running xids that no process owns. Read before and after the processes, so that one that began or
 * ended meanwhile is not taken for one. */
static uint32_t *running(const struct ws_shmem *shmem, size_t *count)
{
	const struct ws_offsets *off = shmem->off;
	uint64_t array, size, xids;
	uint32_t *list;
	int32_t n;

	*count = 0;
	if (!ws_shmem_find(shmem, "Proc Array", &array, &size) ||
	    off->proc_array_count == WS_UNKNOWN ||
	    !ws_memory_read(shmem->pid, array + off->proc_array_count, &n, sizeof(n)) || n <= 0 ||
	    n > PROCS_MAX ||
	    !read_field(shmem, shmem->var->proc_global, off->proc_global_xids, &xids, 8))
		return NULL;
	list = calloc((size_t)n, sizeof(*list));
	if (!list || !ws_memory_read(shmem->pid, xids, list, (size_t)n * sizeof(*list))) {
		free(list);
		return NULL;
	}
	*count = (size_t)n;
	return list;
}

static void offer_prepared(const struct ws_shmem *shmem, struct ws_horizon *h,
			   const uint32_t *before, size_t before_count, const struct look *looks,
			   size_t count)
{
	size_t after_count;
	uint32_t *after = running(shmem, &after_count);

	for (size_t i = 0; i < before_count; i++) {
		struct ws_hold hold = { .kind = WS_HOLDS_PREPARED, .xid = before[i] };
		bool still = false;

		for (size_t k = 0; k < after_count && !still; k++)
			still = after[k] == before[i];
		if (still && !is_among(looks, count, before[i]))
			offer(h, &hold);
	}
	free(after);
}

static int by_age(const void *a, const void *b)
{
	const struct ws_hold *x = a, *y = b;

	return x->xid == y->xid ? (int)x->kind - (int)y->kind : is_older(x->xid, y->xid) ? -1 : 1;
}

void ws_horizon_read(const struct ws_shmem *shmem, const struct ws_postmaster *postmaster,
		     const struct ws_slot_list *list, struct ws_horizon *horizon)
{
	ws_autofree struct look *looks = calloc(postmaster->child_count + 1, sizeof(*looks));
	size_t before_count, count = 0;
	ws_autofree uint32_t *before = running(shmem, &before_count);

	*horizon = (struct ws_horizon){ 0 };
	for (size_t i = 0; i < postmaster->child_count && looks; i++) {
		struct ws_shmem process = *shmem;

		process.pid = postmaster->children[i].pid;
		if (look_at(&process, postmaster->children[i].ns_pid, &looks[count]))
			offer_process(horizon, &postmaster->children[i], &looks[count++]);
	}
	if (looks)
		offer_prepared(shmem, horizon, before, before_count, looks, count);
	offer_slots(horizon, list);
	qsort(horizon->holds, horizon->count, sizeof(horizon->holds[0]), by_age);
}

const char *ws_holds_name(enum ws_holds kind)
{
	static const char *const names[] = { [WS_HOLDS_SLOT] = "slot",
					     [WS_HOLDS_SLOT_CATALOG] = "slot_catalog",
					     [WS_HOLDS_FEEDBACK] = "hot_standby_feedback",
					     [WS_HOLDS_TRANSACTION] = "transaction",
					     [WS_HOLDS_PREPARED] = "prepared_transaction" };

	return names[kind];
}
