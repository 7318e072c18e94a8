/* SPDX-License-Identifier: BSD-2-Clause */
#include "session/machine.h"

/* Where wait_start and wait_end are planted (level 3, and servers whose memory does not say enough)
 * they stand for sched_switch. */
static const struct ws_metric_info table[WS_METRIC_COUNT] = {
	[WS_METRIC_SEND_NS] = { "send_ns", "ns", 2, "send_physical", "sched_switch",
				"one XLogSendPhysical that moved the position, with its flush" },
	[WS_METRIC_WAIT_WAL_NS] = { "wait_wal_ns", "ns", 2, "sched_switch", "sched_switch",
				    "one wait for new WAL, caught up" },
	[WS_METRIC_SEND_BLOCKED_NS] = { "send_blocked_ns", "ns", 2, "sched_switch", "sched_switch",
					"one wait for the socket to take more" },
	[WS_METRIC_READ_WAL_NS] = { "read_wal_ns", "ns", 3, "read_start", "read_end",
				    "one WALRead, averaged over those of a turn" },
	[WS_METRIC_REPLY_INTERVAL_NS] = { "reply_interval_ns", "ns", 2, "sched_switch",
					  "sched_switch",
					  "from one status reply of the standby to the next" },
	[WS_METRIC_WRITE_LAG_NS] = { "write_lag_ns", "ns", 2, "send_physical", "sched_switch",
				     "from sending a position to the standby's word that it is "
				     "written; per position that advanced" },
	[WS_METRIC_FLUSH_LAG_NS] = { "flush_lag_ns", "ns", 2, "send_physical", "sched_switch",
				     "the same until it is flushed" },
	[WS_METRIC_APPLY_LAG_NS] = { "apply_lag_ns", "ns", 2, "send_physical", "sched_switch",
				     "the same until it is applied" },
	[WS_METRIC_SEND_BYTES] = { "send_bytes", "bytes", 2, "send_physical", "sched_switch",
				   "WAL bytes of one XLogSendPhysical that moved the position" },
	[WS_METRIC_COMMAND_NS] = { "command_ns", "ns", 1, "command_start", "command_end",
				   "one command whose start and end were seen" },
	[WS_METRIC_DECODE_NS] = { "decode_ns", "ns", 2, "send_logical", "send_logical",
				  "decoding in one XLogSendLogical, averaged over those of a "
				  "record; from level 3 on without the output plugin, below it "
				  "of the WAL of one page" },
	[WS_METRIC_OUTPUT_PLUGIN_NS] = { "output_plugin_ns", "ns", 3, "message_prepare",
					 "message_write",
					 "formatting one logical message, averaged over those of a "
					 "record" },
	[WS_METRIC_WAKEUP_TO_SEND_NS] = { "wakeup_to_send_ns", "ns", 2, "sched_switch",
					  "sched_switch",
					  "from the end of a wait for WAL to the end of the flush "
					  "behind it" },
};

const struct ws_metric_info *ws_metric_info(enum ws_metric metric)
{
	return (unsigned int)metric < WS_METRIC_COUNT ? &table[metric] : NULL;
}

static void add_n(struct ws_machine *m, enum ws_metric metric, uint64_t value, uint64_t n)
{
	if (m->model->inside && ws_hist_add_n(&m->s.hist[metric], value, n))
		m->model->failed = true;
}

static void add(struct ws_machine *m, enum ws_metric metric, uint64_t value)
{
	add_n(m, metric, value, 1);
}

static void add_wait(struct ws_machine *m, const struct ws_rec_turn *rec)
{
	uint64_t ns = rec->stage_ns[WS_STAGE_WAIT];

	/* It began before walscope did: how long it was is not known. */
	if (m->wait_lost || rec->h.flags & WS_TURN_ATTACHED)
		return;
	if (m->wait == WS_WAIT_WAL && !m->wait_stopping)
		add(m, WS_METRIC_WAIT_WAL_NS, ns);
	else if (m->wait == WS_WAIT_SOCKET)
		add(m, WS_METRIC_SEND_BLOCKED_NS, ns);
}

static void add_send(struct ws_machine *m, const struct ws_rec_turn *rec)
{
	const __u64 *ns = rec->stage_ns;
	bool logical = rec->h.flags & WS_TURN_LOGICAL;
	uint64_t wakeup;

	if (!logical) {
		add(m, WS_METRIC_SEND_NS, ns[WS_STAGE_SEND] + ns[WS_STAGE_READ]);
		add(m, WS_METRIC_SEND_BYTES, rec->lsn_to - rec->lsn_from);
	}
	/* Of several turns in one record the end of the first is not known. */
	if (m->wait != WS_WAIT_WAL || m->wait_lost || rec->turns > 1)
		return;
	wakeup = ns[WS_STAGE_OTHER] + ns[WS_STAGE_REPLY] + ns[WS_STAGE_READ] + ns[WS_STAGE_DECODE] +
		 ns[WS_STAGE_PLUGIN] + ns[WS_STAGE_SEND];
	add(m, WS_METRIC_WAKEUP_TO_SEND_NS, wakeup);
}

void ws_metrics_stream_end(struct ws_machine *m)
{
	struct ws_decoding *d = &m->decoding;

	if (d->calls)
		add_n(m, WS_METRIC_DECODE_NS, d->ns / d->calls, d->calls);
	*d = (struct ws_decoding){ 0 };
}

static void add_decode(struct ws_machine *m, const struct ws_rec_turn *rec)
{
	const __u64 *ns = rec->stage_ns;

	if (rec->messages && ns[WS_STAGE_PLUGIN])
		add_n(m, WS_METRIC_OUTPUT_PLUGIN_NS, ns[WS_STAGE_PLUGIN] / rec->messages,
		      rec->messages);
	if (rec->sends) {
		ws_metrics_stream_end(m);
		m->decoding.calls = rec->sends;
	}
	m->decoding.ns += ns[WS_STAGE_DECODE];
}

static void add_reply(struct ws_machine *m, const struct ws_rec_turn *rec)
{
	if (m->reply_ns && rec->h.time_ns > m->reply_ns)
		add(m, WS_METRIC_REPLY_INTERVAL_NS, rec->h.time_ns - m->reply_ns);
	m->reply_ns = rec->h.time_ns;
}

/* Before the machine takes the turn in: m->wait is still what the record before announced. */
void ws_metrics_turn(struct ws_machine *m, const struct ws_rec_turn *rec, bool reply)
{
	if (m->wait != WS_WAIT_NONE)
		add_wait(m, rec);
	if (rec->lsn_from && rec->lsn_to > rec->lsn_from)
		add_send(m, rec);
	if (rec->reads)
		add_n(m, WS_METRIC_READ_WAL_NS, rec->stage_ns[WS_STAGE_READ] / rec->reads,
		      rec->reads);
	if (rec->h.flags & WS_TURN_LOGICAL)
		add_decode(m, rec);
	if (reply)
		add_reply(m, rec);
}

void ws_metrics_lag(struct ws_machine *m, enum ws_metric metric, uint64_t ns)
{
	add(m, metric, ns);
}

void ws_metrics_command(struct ws_machine *m, uint64_t duration_ns)
{
	add(m, WS_METRIC_COMMAND_NS, duration_ns);
}
