/* SPDX-License-Identifier: BSD-2-Clause */
/* What servers say of themselves, read once a second. */
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "live/private.h"

/* So long the place of a server's shared memory is taken for granted. */
#define SHMEM_NS 10000000000ULL

static uint64_t exported(const struct ws_known_postmaster *item, const struct ws_binary *binary,
			 const char *name)
{
	uint64_t address = ws_image_variable(binary->image, name);

	return address ? item->base + address : 0;
}

static int emit(struct ws_live *live, const struct ws_known_postmaster *item)
{
	const struct ws_cluster *cluster = &item->cluster;
	struct ws_rec_cluster rec = {
		.h = {
			.size = sizeof(rec),
			.kind = WS_KIND_CLUSTER,
			.pid = item->pid,
			.time_ns = ws_clock_mono_ns(),
			.server = item->server,
			.flags = (uint16_t)cluster->flags,
		},
		.flush_lsn = cluster->flush_lsn,
		.db_state = cluster->db_state,
		.sync_waiters = cluster->sync_waiters,
		.sync_apply = cluster->sync_apply,
		.sync_write = cluster->sync_write,
		.sync_walsenders = cluster->sync_walsenders,
		.valid = cluster->valid,
		.walreceiver = cluster->walreceiver,
		.standby_lsn = cluster->standby_lsn,
		.standby_why = cluster->standby_why,
	};

	memcpy(rec.sync_names, cluster->sync_names, sizeof(rec.sync_names));
	memcpy(rec.standby_slot, cluster->standby_slot, sizeof(rec.standby_slot));
	return ws_order_feed(live->order, &rec, sizeof(rec));
}

/* Looked for anew only when the one that was there is gone. */
static enum ws_walreceiver look_at_walreceiver(const struct ws_live *live,
					       struct ws_known_postmaster *item)
{
	struct ws_process process;
	int found = 1;

	if (!item->walreceiver.pid || !ws_proc_read(&live->proc, item->walreceiver.pid, &process) ||
	    process.start_ticks != item->walreceiver.start_ticks || process.state == 'Z')
		found = ws_proc_walreceiver(&live->proc, item->pid, &process);
	item->walreceiver = found > 0 ? process : (struct ws_process){ 0 };
	if (found < 0)
		return WS_WALRECEIVER_UNKNOWN;
	if (!found)
		return WS_WALRECEIVER_NONE;
	return process.state == 'T' || process.state == 't' ? WS_WALRECEIVER_STOPPED
							    : WS_WALRECEIVER_RUNS;
}

/* After a crash a server may have its shared memory elsewhere. */
static void open_shmem(struct ws_known_postmaster *item, const struct ws_binary *binary)
{
	item->wal_places = (struct ws_wal_places){ 0 };
	item->shmem_opened_ns = ws_clock_mono_ns();
	ws_shmem_variables_find(binary->image, &item->shmem_variables);
	if (ws_shmem_open(&item->shmem, item->pid, item->base, binary->major,
			  &binary->plan.config.off, &item->shmem_variables, NULL))
		return;
	ws_wal_find(&item->shmem, &item->wal_places);
}

const struct ws_shmem *ws_live_shmem(struct ws_known_postmaster *item,
				     const struct ws_binary *binary)
{
	/* The postmaster's place in memory may have changed: where its list grew, say. */
	if (ws_clock_mono_ns() - item->shmem_opened_ns >= SHMEM_NS || !item->shmem_opened_ns ||
	    item->shmem.var != &item->shmem_variables)
		open_shmem(item, binary);
	return item->wal_places.ctl ? &item->shmem : NULL;
}

void ws_live_wal_ends(struct ws_known_postmaster *item, const struct ws_binary *binary,
		      struct ws_wal_ends *ends)
{
	const struct ws_shmem *shmem = ws_live_shmem(item, binary);

	*ends = (struct ws_wal_ends){ 0 };
	if (shmem)
		ws_wal_ends(shmem, &item->wal_places, ends);
}

static void read_flushed(struct ws_known_postmaster *item, const struct ws_binary *binary,
			 struct ws_cluster *now)
{
	struct ws_wal_ends ends;

	ws_live_wal_ends(item, binary, &ends);
	now->flush_lsn = ends.flushed ? ends.flushed : ends.received;
	if (now->flush_lsn)
		now->valid |= WS_CLUSTER_FLUSH;
	if (ends.received)
		now->valid |= WS_CLUSTER_RECEIVED;
}

struct ws_known_postmaster *ws_live_announced(struct ws_live *live, uint32_t pid)
{
	for (size_t i = 0; i < live->postmaster_count; i++)
		if (live->postmasters[i].pid == pid && live->postmasters[i].announced)
			return &live->postmasters[i];
	return NULL;
}

void ws_live_hold_clusters(struct ws_live *live)
{
	for (size_t i = 0; i < live->postmaster_count; i++) {
		struct ws_known_postmaster *item = &live->postmasters[i];

		if (item->announced && item->control_fd < 0)
			item->control_fd = ws_cluster_open(live->proc.root, item->pid);
		if (item->announced && item->pid_file_fd < 0)
			item->pid_file_fd = ws_cluster_open_pid_file(live->proc.root, item->pid);
	}
}

void ws_live_release_cluster(struct ws_known_postmaster *item)
{
	if (item->control_fd >= 0)
		close(item->control_fd);
	if (item->pid_file_fd >= 0)
		close(item->pid_file_fd);
	item->control_fd = -1;
	item->pid_file_fd = -1;
}

static bool is_gone(const struct ws_live *live, const struct ws_known_postmaster *item)
{
	struct ws_process process;

	return !ws_proc_read(&live->proc, item->pid, &process) ||
	       process.start_ticks != item->start_ticks || process.state == 'Z';
}

/* All of it is unknown from now on. */
int ws_live_end_cluster(struct ws_live *live, struct ws_known_postmaster *item)
{
	if (!item->cluster_told)
		return 0;
	item->cluster = (struct ws_cluster){ 0 };
	item->cluster_told = false;
	return emit(live, item);
}

static int tell(struct ws_live *live, struct ws_known_postmaster *item)
{
	const struct ws_binary *binary = ws_live_binary(live, item->server);
	struct ws_cluster_place place;
	struct ws_cluster now;

	if (!binary || !binary->image)
		return 0;
	if (is_gone(live, item)) {
		ws_live_release_cluster(item);
		return ws_live_end_cluster(live, item);
	}
	place = (struct ws_cluster_place){
		.pid = item->pid,
		.proc_root = live->proc.root,
		.control_fd = item->control_fd,
		.pid_file_fd = item->pid_file_fd,
		.wal_snd_ctl = exported(item, binary, "WalSndCtl"),
		.max_wal_senders = exported(item, binary, "max_wal_senders"),
		.sync_names = exported(item, binary, "SyncRepStandbyNames"),
		.off = &binary->plan.config.off,
	};
	ws_cluster_read(&place, &now);
	read_flushed(item, binary, &now);
	if (now.db_state == WS_DB_IN_ARCHIVE_RECOVERY)
		now.walreceiver = look_at_walreceiver(live, item);
	ws_live_look_at_standby_slots(item, binary, &now);
	if (!now.valid || (item->cluster_told && !memcmp(&now, &item->cluster, sizeof(now))))
		return 0;
	item->cluster = now;
	item->cluster_told = true;
	return emit(live, item);
}

int ws_live_emit_clusters(struct ws_live *live)
{
	for (size_t i = 0; i < live->postmaster_count; i++) {
		if (live->postmasters[i].announced && tell(live, &live->postmasters[i]))
			return -1;
	}
	return 0;
}
