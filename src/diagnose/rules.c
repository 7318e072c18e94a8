/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of rules. Its order is that of precedence: the first row that fits is the verdict, the
 * others are told beside it. `unexplained` is the second row of insufficient_data: something holds
 * the session up, and nothing that is known says what. So is `given_up` of receiver_silent. A row
 * may name those before it that it is no cause beside (ROW_WITH).
 */
#include "base/util.h"
#include "diagnose/evidence.h"

#define S WS_SCOPE_SESSION
#define G WS_SCOPE_GROUP
#define C WS_SCOPE_CLUSTER

#define ROW(id, verdict, scopes, rank, advice) ROW_WITH(id, verdict, scopes, rank, 0, advice)
#define ROW_WITH(id, verdict, scopes, rank, follows, advice)                                     \
	{                                                                                        \
		WS_VERDICT_##verdict, #id, scopes, WS_RANK_##rank, ws_rule_##id, advice, follows \
	}
#define V(verdict) WS_VERDICT_BIT(WS_VERDICT_##verdict)

static const struct ws_rule rules[] = {
	ROW(insufficient_data, INSUFFICIENT_DATA, S, DATA,
	    "Look for longer, or record with a larger --ring if events were lost."),
	ROW(sender_stopped, SENDER_STOPPED, S, STOPPED,
	    "Find who stopped the process (a debugger, kill -STOP); kill -CONT lets it go on."),
	ROW(shutdown_waits_for_standby, SHUTDOWN_WAITS_FOR_STANDBY, C, SHUTDOWN,
	    "Let the client read and confirm, or end it. A server that shuts down takes no "
	    "connection to call pg_terminate_backend in: kill PID on its host ends the "
	    "walsender. An immediate shutdown would skip the wait, and need recovery."),
	ROW(timeout_loop, TIMEOUT_LOOP, G, ENDS,
	    "The client is silent for longer than wal_sender_timeout again and again from the "
	    "same position: see what it does with what comes behind it; a longer timeout is a "
	    "way around, not a cure."),
	ROW(wal_removed, WAL_REMOVED, G, ENDS,
	    "Restore the segment into the client's restore_command archive, or rebuild the "
	    "standby; a slot or a larger wal_keep_size keeps WAL in future."),
	ROW(slot_invalidated, SLOT_INVALIDATED, S | G, ENDS,
	    "The slot is lost: rebuild what used it. max_slot_wal_keep_size, or a standby's "
	    "conflicts with a logical slot, say how this comes."),
	ROW(reconnect_loop, RECONNECT_LOOP, G, ENDS,
	    "The error the sessions end with is the cause. Where it is the client that leaves, or "
	    "is gone, see its own log."),
	ROW(sync_standby_missing, SYNC_STANDBY_MISSING, C, ENDS,
	    "Bring a standby back whose application_name matches, or change "
	    "synchronous_standby_names and reload; waiting commits then go on."),
	ROW(connection_dead, CONNECTION_DEAD, S, DEAD,
	    "The peer's host or the way to it is gone. wal_sender_timeout or tcp_user_timeout "
	    "ends such a session; pg_terminate_backend does so now."),
	ROW(receiver_silent, RECEIVER_SILENT, S, SILENT,
	    "The client's host takes data, the client says nothing: see whether its process is "
	    "stopped or stuck (a proxy between answers for it, too)."),
	ROW(client_protocol_stall, CLIENT_PROTOCOL_STALL, S, RECEIVER,
	    "The client sent half a message. wal_sender_timeout does not end this: end the "
	    "client, or the session with pg_terminate_backend."),
	ROW(waits_for_copydone, WAITS_FOR_COPYDONE, S, RECEIVER,
	    "The end of the timeline is sent and the client does not answer CopyDone; the "
	    "walsender spins at full CPU. Restart the client."),
	ROW(receiver_not_reading, RECEIVER_NOT_READING, S, RECEIVER,
	    "Look at the client (or a proxy between): it is stopped, stuck, or its disk is full."),
	ROW(backup_client_slow, BACKUP_CLIENT_SLOW, S, RECEIVER,
	    "The backup goes as fast as its client takes it: look at the disk it writes to, its "
	    "compression, and the network between."),
	ROW(standby_flush_slow, STANDBY_FLUSH_SLOW, S, RECEIVER,
	    "Look at the disk of the standby's pg_wal (latency of fsync)."),
	ROW_WITH(receiver_slow, RECEIVER_SLOW, S, RECEIVER,
		 V(RECEIVER_NOT_READING) | V(STANDBY_FLUSH_SLOW),
		 "Look at the client's CPU and disk, or at a proxy between that throttles."),
	ROW_WITH(network_slow, NETWORK_SLOW, S, NETWORK, V(CONNECTION_DEAD),
		 "Look at the way between: bandwidth, loss, and what else uses it. wal_compression "
		 "makes less to send."),
	ROW(standby_apply_paused, STANDBY_APPLY_PAUSED, S, STANDBY,
	    "On the standby: pg_get_wal_replay_pause_state(), pg_stat_activity of the startup "
	    "process, and long queries (max_standby_streaming_delay)."),
	ROW_WITH(standby_apply_delayed, STANDBY_APPLY_DELAYED, S, STANDBY, V(STANDBY_APPLY_PAUSED),
		 "Looks like recovery_min_apply_delay of the standby; nothing to do if it is "
		 "meant."),
	ROW_WITH(standby_apply_slow, STANDBY_APPLY_SLOW, S, STANDBY,
		 V(STANDBY_APPLY_PAUSED) | V(STANDBY_APPLY_DELAYED),
		 "Replay is one process: look at its CPU, at reads of data pages, and at conflicts "
		 "with queries on the standby."),
	ROW(consumer_not_confirming, CONSUMER_NOT_CONFIRMING, S, STANDBY,
	    "The client receives and does not confirm: the slot keeps WAL for it. See whether "
	    "what it writes to is stuck."),
	ROW(slot_waits_for_transaction, SLOT_WAITS_FOR_TRANSACTION, S, SENDER,
	    "Building the snapshot waits for transactions that ran before: end the oldest "
	    "(pg_stat_activity, pg_prepared_xacts)."),
	ROW(failover_slot_wait, FAILOVER_SLOT_WAIT, S, SENDER,
	    "See synchronized_standby_slots: a standby of that list is away or behind, and "
	    "failover slots do not go ahead of it. Which one, walscope slots shows."),
	ROW(upstream_stalled, UPSTREAM_STALLED, S, SENDER,
	    "See on this standby whether its walreceiver runs (pg_stat_wal_receiver), and "
	    "whether replay goes on."),
	ROW(cpu_starved, CPU_STARVED, S, SENDER,
	    "Give it CPU: the quota of its control group, or what else runs on this host."),
	ROW(wal_read_slow, WAL_READ_SLOW, S, SENDER,
	    "The WAL wanted is not in memory any more: look at the disk of pg_wal; a client "
	    "that is nearer reads from the page cache."),
	ROW(large_transaction, LARGE_TRANSACTION, S, SENDER,
	    "Its output comes at its commit. Subscriptions with streaming = on get it before "
	    "(14 and later); smaller transactions help."),
	ROW_WITH(spilling, SPILLING, S, SENDER, V(LARGE_TRANSACTION),
		 "Raise logical_decoding_work_mem, or let the client take changes of running "
		 "transactions (streaming)."),
	ROW(output_plugin_slow, OUTPUT_PLUGIN_SLOW, S, SENDER,
	    "The output plugin takes the time: row filters, column lists, large values."),
	ROW_WITH(decode_bound, DECODE_BOUND, S, SENDER, V(LARGE_TRANSACTION) | V(SPILLING),
		 "Decoding runs on one CPU and reads all WAL, also of other databases: fewer slots "
		 "decoding the same, less WAL (full-page writes, bulk changes of unpublished "
		 "tables)."),
	ROW(backup_waits_for_summary, BACKUP_WAITS_FOR_SUMMARY, S, SENDER,
	    "See whether the WAL summarizer runs and gets on: pg_get_wal_summarizer_state(), its "
	    "messages in the server's log, the disk of pg_wal/summaries. A full backup needs "
	    "none."),
	ROW(backup_waits_for_checkpoint, BACKUP_WAITS_FOR_CHECKPOINT, S, SENDER,
	    "pg_basebackup --checkpoint=fast starts at once, at the price of I/O."),
	ROW(backup_throttled, BACKUP_THROTTLED, S, SENDER,
	    "It was asked to: pg_basebackup --max-rate."),
	ROW(backup_waits_for_archive, BACKUP_WAITS_FOR_ARCHIVE, S, SENDER,
	    "See pg_stat_archiver: archive_command fails or is slow."),
	ROW(table_copy, TABLE_COPY, S, SENDER,
	    "The initial copy of a table: nothing to do, unless it takes too long."),
	ROW(table_copies, TABLE_COPY, WS_SCOPE_SUBSCRIPTION, SENDER,
	    "The subscription's initial copies: max_sync_workers_per_subscription says how many "
	    "run at a time. Changes of a table are applied once its copy is over."),
	{ WS_VERDICT_RECEIVER_SILENT, "given_up", S, WS_RANK_SENDER, ws_rule_given_up,
	  "See what the client did then: its own log, its disk, whether its process was stopped.",
	  0 },
	ROW(falling_behind, FALLING_BEHIND, S, SENDER,
	    "More WAL is written than this session takes: see the bottleneck named."),
	ROW(catching_up, CATCHING_UP, S, SENDER, "Nothing to do but to wait."),
	{ WS_VERDICT_INSUFFICIENT_DATA, "unexplained", S, WS_RANK_SENDER, ws_rule_unexplained,
	  "Record with a newer walscope at level 2 or higher, or for longer.", 0 },
	ROW(healthy_idle, HEALTHY_IDLE, S, HEALTHY, "Nothing to do."),
	ROW(healthy_streaming, HEALTHY_STREAMING, S, HEALTHY, "Nothing to do."),
};

const struct ws_rule *ws_rules(size_t *count)
{
	*count = WS_ARRAY_SIZE(rules);
	return rules;
}

const char *ws_verdict_name(enum ws_verdict verdict)
{
	for (size_t i = 0; i < WS_ARRAY_SIZE(rules); i++)
		if (rules[i].verdict == verdict)
			return rules[i].name;
	return NULL;
}

const char *ws_verdict_advice(enum ws_verdict verdict)
{
	for (size_t i = 0; i < WS_ARRAY_SIZE(rules); i++)
		if (rules[i].verdict == verdict)
			return rules[i].advice;
	return NULL;
}

/* Place in the table; behind all of them for what says nothing is wrong. */
static size_t place_of(enum ws_verdict verdict)
{
	size_t i = 0;

	if (verdict == WS_VERDICT_INSUFFICIENT_DATA)
		return WS_ARRAY_SIZE(rules);
	while (i < WS_ARRAY_SIZE(rules) && rules[i].verdict != verdict)
		i++;
	return i < WS_ARRAY_SIZE(rules) && rules[i].rank == WS_RANK_HEALTHY ? WS_ARRAY_SIZE(rules)
									    : i;
}

bool ws_verdict_outranks(enum ws_verdict verdict, enum ws_verdict than)
{
	return place_of(verdict) < place_of(than);
}

const char *ws_scope_name(enum ws_scope scope)
{
	return scope == WS_SCOPE_SESSION   ? "session"
	       : scope == WS_SCOPE_CLUSTER ? "cluster"
					   : "group";
}
