/* SPDX-License-Identifier: BSD-2-Clause */
/* All thresholds of all rules, with their unit and where each comes from. */
#include "base/util.h"
#include "diagnose/evidence.h"

static const struct ws_limit_info limits[WS_LIMIT_COUNT] = {
	[WS_LIMIT_OBSERVED] = { "observed", "s", "less says nothing", 3 },
	[WS_LIMIT_LOST] = { "lost", "share", "of the time, beyond which nothing is said", 0.5 },
	[WS_LIMIT_DOMINANT] = { "dominant", "share", "of the time, for a state to be a cause",
				0.5 },
	[WS_LIMIT_LASTING] = { "lasting", "s", "a state that goes on so long is one too", 5 },
	[WS_LIMIT_STOPPED] = { "stopped", "share", "of the time in state T", 0.2 },
	[WS_LIMIT_SHUTDOWN] = { "shutdown", "s", "a shutdown takes so long by itself", 2 },
	[WS_LIMIT_TIMEOUTS] = { "timeouts", "sessions", "ended by wal_sender_timeout", 2 },
	[WS_LIMIT_RECONNECTS] = { "reconnects", "sessions", "short ones", 3 },
	[WS_LIMIT_SHORT_SESSION] = { "short_session", "s", "a session this long did work", 60 },
	[WS_LIMIT_SYNC] = { "sync", "s", "a standby that reconnects is away as long", 3 },
	[WS_LIMIT_BACKOFF] = { "backoff", "doublings",
			       "of the retransmit timer; routers answering take it back", 2 },
	[WS_LIMIT_RTOS] = { "rtos", "RTO", "without any packet of the peer", 3 },
	[WS_LIMIT_SILENT_INTERVALS] = { "silent_intervals", "intervals", "without a reply", 3 },
	[WS_LIMIT_SILENT_PING] = { "silent_ping", "s", "since a reply was asked for", 5 },
	[WS_LIMIT_FROZEN] = { "frozen", "s", "without a byte acknowledged or taken", 3 },
	[WS_LIMIT_RWND] = { "rwnd", "share", "of busy time limited by the receiver's window", 0.5 },
	[WS_LIMIT_RWND_NETWORK] = { "rwnd_network", "share",
				    "as before, up to which the network is to blame", 0.2 },
	[WS_LIMIT_SNDBUF] = { "sndbuf", "share", "of busy time limited by the own send buffer",
			      0.5 },
	/* bbr's window is twice what is on its way, and a full queue of the host's own device holds
	 * half of cubic's back. */
	[WS_LIMIT_CWND] = { "cwnd", "share", "of the congestion window in flight", 0.4 },
	[WS_LIMIT_RTT] = { "rtt", "times", "the least round-trip time: queues are full, for sure",
			   4 },
	[WS_LIMIT_RETRANS] = { "retrans", "share", "of the bytes sent", 0.01 },
	[WS_LIMIT_RETRANS_MANY] = { "retrans_many", "share",
				    "of the bytes sent: most positions wait for one", 0.2 },
	[WS_LIMIT_FLUSH_LAG] = { "flush_lag", "s", "a disk flushes faster than that", 0.1 },
	/* Apply workers commit asynchronously by default (CREATE SUBSCRIPTION). */
	[WS_LIMIT_ASYNC_LAG] = { "async_lag", "s", "thrice the default of wal_writer_delay", 0.6 },
	[WS_LIMIT_WRITE_LAG] = { "write_lag", "s", "of what has arrived: a client at work reads it",
				 1 },
	/* Half of it under load: what comes while a sync goes on is written when it is over, and
	 * then waits for the next one. The rest is for what else takes its time. */
	[WS_LIMIT_FLUSH_SHARE] = { "flush_share", "share", "of flush lag behind the write", 0.4 },
	[WS_LIMIT_APPLY_FROZEN] = { "apply_frozen", "s", "while flush advances", 5 },
	/* XLR_MAX_BLOCK_ID (xlogrecord.h); more goes into one only of a logical message. */
	[WS_LIMIT_RECORD] = { "record", "bytes", "of one WAL record: 33 full page images", 270336 },
	/* LOG_SNAPSHOT_INTERVAL_MS, and BgWriterDelay * HIBERNATE_FACTOR (bgwriter.c). */
	[WS_LIMIT_SNAPSHOT] = { "snapshot", "s",
				"the background writer logs running transactions each 15 s, and "
				"sleeps up to 10 s",
				25 },
	[WS_LIMIT_APPLY_LAG] = { "apply_lag", "s", "less is replay at work", 1 },
	[WS_LIMIT_APPLY_SPREAD] = { "apply_spread", "share",
				    "of the lag, within which it is constant", 0.2 },
	[WS_LIMIT_STATUS_INTERVAL] = { "status_interval", "s",
				       "wal_receiver_status_interval's default", 10 },
	[WS_LIMIT_UNCONFIRMED] = { "unconfirmed", "s", "clients confirm up to 10 s late", 30 },
	[WS_LIMIT_REPLIES] = { "replies", "replies", "to speak of a course", 3 },
	[WS_LIMIT_BACKLOG] = { "backlog", "bytes", "less is in flight on any busy server",
			       1048576 },
	[WS_LIMIT_SLOT_WAIT] = { "slot_wait", "s", "a snapshot is built faster than that", 3 },
	[WS_LIMIT_UPSTREAM] = { "upstream", "s", "without WAL and without a walreceiver at work",
				3 },
	[WS_LIMIT_RUN_DELAY] = { "run_delay", "share", "of the time runnable, not running", 0.2 },
	[WS_LIMIT_QUOTA_DELAY] = { "quota_delay", "share",
				   "the same, of one whose control group is out of its quota",
				   0.01 },
	[WS_LIMIT_READ] = { "read", "share", "of the time spent reading WAL", 0.3 },
	[WS_LIMIT_READ_TIME] = { "read_time", "s", "a read out of the page cache is faster",
				 0.001 },
	[WS_LIMIT_ON_DISK] = { "on_disk", "share", "of samples in state D", 0.2 },
	[WS_LIMIT_TXN_BYTES] = { "txn_bytes", "bytes",
				 "of one transaction, in memory and on disk, or of WAL", 16777216 },
	[WS_LIMIT_TXN_TIME] = { "txn_time", "s", "gathering without any output, or handing one out",
				5 },
	[WS_LIMIT_SPILL_TIME] = { "spill_time", "share",
				  "of the time, writing changes to disk and reading them back; "
				  "decoding, where that is not known",
				  0.2 },
	[WS_LIMIT_SPILL_BYTES] = { "spill_bytes", "share", "of the WAL decoded", 0.1 },
	[WS_LIMIT_SPILL_PIECE] = { "spill_piece", "bytes",
				   "a spill frees more: an eighth of the least "
				   "logical_decoding_work_mem",
				   8192 },
	[WS_LIMIT_SPILL_PIECES] = { "spill_pieces", "pieces",
				    "of which each takes a look at as many transactions as fit: "
				    "fewer take no time",
				    100 },
	[WS_LIMIT_MEMORY] = { "memory", "bytes", "of growth; caches take less", 33554432 },
	[WS_LIMIT_COPY] = { "copy", "bytes/s", "of a backup, beyond which a client is not slow",
			    268435456 },
	[WS_LIMIT_UNPUBLISHED] = { "unpublished", "share",
				   "of the WAL decoded that is handed out, or gathered for that, "
				   "below which it is read for nothing",
				   0.01 },
	[WS_LIMIT_KEPT] = { "kept", "bytes", "of WAL kept for an open transaction: a segment",
			    16777216 },
	[WS_LIMIT_OVERRUN] = { "overrun", "times",
			       "logical_decoding_work_mem, that the buffer of changes takes", 2 },
	[WS_LIMIT_IDLE] = { "idle", "share", "of the time spent on WAL, below which it idles",
			    0.01 },
};

const struct ws_limit_info *ws_limit_info(enum ws_limit limit)
{
	return &limits[limit];
}

double ws_limit(enum ws_limit limit)
{
	return limits[limit].value;
}

uint64_t ws_limit_ns(enum ws_limit limit)
{
	return (uint64_t)(limits[limit].value * 1e9);
}
