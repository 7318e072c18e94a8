/* SPDX-License-Identifier: BSD-2-Clause */
#include "shmem/wal.h"

#include <string.h>

#include "target/memory.h"

#define FIRST_NORMAL_XID 3 /* transam.h */
#define SEGMENT_MIN	 (1 << 20)
#define SEGMENT_MAX	 (1 << 30)
#define LSN_MAX		 (1ULL << 56) /* beyond what a cluster can write in its life */
#define RECOVERY_DONE	 2	      /* RECOVERY_STATE_DONE, xlog.h, 13 and later */

/* A number of XLogCtl. */
static bool read_ctl(const struct ws_shmem *shmem, uint64_t ctl, uint32_t offset, void *out,
		     size_t size)
{
	return offset != WS_UNKNOWN && ws_shmem_holds(shmem, ctl + offset, size) &&
	       ws_shmem_read(shmem, ctl + offset, out, size);
}

static void read_recovery(const struct ws_shmem *shmem, uint64_t ctl, struct ws_wal *wal)
{
	const struct ws_offsets *off = shmem->off;
	uint32_t state;
	uint8_t flag;

	if (read_ctl(shmem, ctl, off->xlog_in_recovery, &flag, 1) && flag <= 1) {
		wal->has_recovery = true;
		wal->in_recovery = flag;
	} else if (read_ctl(shmem, ctl, off->xlog_recovery_state, &state, 4) &&
		   state <= RECOVERY_DONE) {
		wal->has_recovery = true;
		wal->in_recovery = state != RECOVERY_DONE;
	}
}

static void read_xlog(const struct ws_shmem *shmem, struct ws_wal *wal)
{
	const struct ws_offsets *off = shmem->off;
	uint64_t ctl, size;

	if (!ws_shmem_find(shmem, "XLOG Ctl", &ctl, &size))
		return;
	read_recovery(shmem, ctl, wal);
	wal->has_ctl = (read_ctl(shmem, ctl, off->xlog_write_atomic, &wal->written, 8) ||
			read_ctl(shmem, ctl, off->xlog_write_result, &wal->written, 8)) &&
		       read_ctl(shmem, ctl, off->xlog_slot_min_lsn, &wal->slot_min_lsn, 8) &&
		       read_ctl(shmem, ctl, off->xlog_last_removed, &wal->last_removed_segment, 8);
	if (wal->has_ctl && wal->has_recovery && !wal->in_recovery && wal->written) {
		wal->source = WS_WAL_WRITTEN;
		wal->position = wal->written;
	}
}

static uint64_t place_of(const struct ws_shmem *shmem, const char *name)
{
	uint64_t address, size;

	return ws_shmem_find(shmem, name, &address, &size) ? address : 0;
}

void ws_wal_find(const struct ws_shmem *shmem, struct ws_wal_places *places)
{
	bool apart = shmem->off->recovery_replayed != WS_UNKNOWN;

	places->ctl = place_of(shmem, "XLOG Ctl");
	places->recovery = apart ? place_of(shmem, "XLOG Recovery Ctl") : places->ctl;
	places->receiver = place_of(shmem, "Wal Receiver Ctl");
}

/* A position in such a structure, at one or another offset; 0 if there is none. */
static uint64_t read_end(const struct ws_shmem *shmem, uint64_t ctl, uint32_t offset,
			 uint32_t otherwise)
{
	uint64_t lsn;

	if (offset == WS_UNKNOWN)
		offset = otherwise;
	return ctl && read_ctl(shmem, ctl, offset, &lsn, sizeof(lsn)) && lsn < LSN_MAX ? lsn : 0;
}

/* The end of the last record replayed (GetXLogReplayRecPtr): up to 14 in XLogCtl, then in a
 * structure of its own. */
static uint64_t read_replayed(const struct ws_shmem *shmem, uint64_t ctl)
{
	return read_end(shmem, ctl, shmem->off->recovery_replayed, shmem->off->xlog_replayed);
}

void ws_wal_ends(const struct ws_shmem *shmem, const struct ws_wal_places *places,
		 struct ws_wal_ends *ends)
{
	const struct ws_offsets *off = shmem->off;
	uint32_t written = off->xlog_write_atomic != WS_UNKNOWN ? off->xlog_write_atomic
								: off->xlog_write_result;
	struct ws_wal wal = { 0 };

	*ends = (struct ws_wal_ends){ 0 };
	if (places->ctl)
		read_recovery(shmem, places->ctl, &wal);
	if (!wal.has_recovery)
		return;
	if (wal.in_recovery) {
		ends->replayed = read_replayed(shmem, places->recovery);
		ends->received = read_end(shmem, places->receiver, off->walrcv_flushed,
					  off->walrcv_received);
	} else if (written != WS_UNKNOWN) {
		/* Flush follows write in XLogwrtResult (10 to 16), logFlushResult logWriteResult
		 * (17 and later). */
		ends->flushed = read_end(shmem, places->ctl, written + 8, WS_UNKNOWN);
	}
}

uint64_t ws_wal_target(const struct ws_wal_ends *ends, bool logical)
{
	if (ends->flushed || logical)
		return ends->flushed ? ends->flushed : ends->replayed;
	return ends->received > ends->replayed ? ends->received : ends->replayed;
}

static void read_limits(const struct ws_shmem *shmem, struct ws_wal *wal)
{
	const struct ws_shmem_variables *var = shmem->var;

	wal->has_limits = ws_shmem_variable(shmem, var->wal_segment_size, &wal->segment_size, 4) &&
			  ws_shmem_variable(shmem, var->max_wal_size, &wal->max_wal_size, 4) &&
			  ws_shmem_variable(shmem, var->max_slot_wal_keep_size,
					    &wal->max_slot_wal_keep_size, 4) &&
			  ws_shmem_variable(shmem, var->wal_keep_size, &wal->wal_keep_size, 4) &&
			  wal->segment_size >= SEGMENT_MIN && wal->segment_size <= SEGMENT_MAX &&
			  (wal->segment_size & (wal->segment_size - 1)) == 0 &&
			  wal->max_wal_size > 0 && wal->max_slot_wal_keep_size >= -1 &&
			  wal->wal_keep_size >= 0;
}

static void read_next_xid(const struct ws_shmem *shmem, struct ws_wal *wal)
{
	const struct ws_offsets *off = shmem->off;
	uint32_t offsets[] = { off->transam_next_xid, off->varcache_next_xid,
			       off->varcache_next_full_xid };
	uint64_t address;

	if (!ws_shmem_variable(shmem, shmem->var->next_xid, &address, sizeof(address)))
		return;
	/* Of a full one the low half: both processors are little-endian. */
	for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]) && !wal->has_next_xid; i++)
		wal->has_next_xid = read_ctl(shmem, address, offsets[i], &wal->next_xid, 4) &&
				    wal->next_xid >= FIRST_NORMAL_XID;
}

void ws_wal_read(const struct ws_shmem *shmem, struct ws_wal *wal)
{
	struct ws_wal_places places;

	*wal = (struct ws_wal){ .major = shmem->major };
	read_xlog(shmem, wal);
	if (wal->has_recovery && wal->in_recovery) {
		ws_wal_find(shmem, &places);
		wal->position = read_replayed(shmem, places.recovery);
		wal->source = wal->position ? WS_WAL_REPLAYED : WS_WAL_NONE;
	}
	read_limits(shmem, wal);
	read_next_xid(shmem, wal);
}

const char *ws_wal_source_name(enum ws_wal_source source)
{
	switch (source) {
	case WS_WAL_WRITTEN:
		return "written";
	case WS_WAL_REPLAYED:
		return "replayed";
	default:
		return NULL;
	}
}

bool ws_wal_age(const struct ws_wal *wal, uint32_t xid, uint32_t *age)
{
	if (!wal->has_next_xid || xid < FIRST_NORMAL_XID)
		return false;
	/* Numbers go round: what lies ahead (a torn look) has no age. */
	if ((int32_t)(wal->next_xid - xid) < 0)
		return false;
	*age = wal->next_xid - xid;
	return true;
}
