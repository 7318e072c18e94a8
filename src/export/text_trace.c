/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * text_trace.c: a line per event, as strace does. A command and an error wait for the text that
 * follows them, so that both are one line. A function per kind; what has none is printed from the
 * schema.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "export/event.h"
#include "export/text.h"

#define TEXT_CELLS 2000 /* of a command or message in a line, unless verbose */

/* A command or error whose text is still to come; one per process. */
struct waiting {
	uint32_t pid;
	uint64_t start_ns;
	struct ws_rec *rec;
};

struct trace_state {
	struct waiting *waiting;
	size_t count, cap;
};

struct line {
	const struct ws_export *ex;
	const struct ws_session *session;
	struct ws_buf buf;
	int rc;
};

__attribute__((format(printf, 2, 3))) static void add(struct line *l, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	l->rc = l->rc || ws_buf_addstr(&l->buf, text) ? -1 : 0;
}

/* Text of the server. */
static void add_text(struct line *l, const char *text, size_t len)
{
	size_t cells = l->ex->opt.screen.verbose ? 0 : TEXT_CELLS;

	l->rc = l->rc || ws_put_text(&l->buf, &l->ex->opt.screen, text, len, cells) ? -1 : 0;
}

static void add_colored(struct line *l, enum ws_color color, const char *text)
{
	l->rc = l->rc || ws_put_color(&l->buf, &l->ex->opt.screen, color, text) ? -1 : 0;
}

static void add_lsn(struct line *l, const char *before, uint64_t lsn)
{
	char text[WS_LSN_TEXT];

	add(l, "%s%s", before, ws_lsn_format(lsn, text));
}

static void add_duration(struct line *l, const char *before, uint64_t ns)
{
	char text[WS_DURATION_TEXT];

	add(l, "%s%s", before, ws_duration_format(ns, text));
}

/* " name=value" for a STRING field that is known and not empty. */
static void add_string(struct line *l, const struct ws_rec *rec, const char *name)
{
	const struct ws_field *field = ws_event_field(ws_kind_info(rec->kind), name);
	const char *text;
	size_t len;

	if (!field || !ws_field_known(field, rec))
		return;
	text = ws_event_text(rec, field, &len);
	if (!len)
		return;
	add(l, " %s=", name);
	add_text(l, text, len);
}

/* The name of an ENUM field's value, or its number. */
static void add_enum(struct line *l, const struct ws_rec *rec, const char *name)
{
	const struct ws_field *field = ws_event_field(ws_kind_info(rec->kind), name);
	uint64_t value;
	const char *text;

	if (!field || !ws_field_known(field, rec)) {
		add(l, "?");
		return;
	}
	value = ws_field_load(field, rec, 0);
	text = ws_event_enum_name(field, value);
	if (text)
		add(l, "%s", text);
	else
		add(l, "%" PRIu64, value);
}

static void print_session(struct line *l, const struct ws_rec *rec)
{
	char client[WS_CLIENT_TEXT];

	if (rec->flags & WS_SESSION_REFUSED)
		add_colored(l, WS_COLOR_RED, "refused");
	else
		add(l, "%s", rec->flags & WS_SESSION_RUNNING ? "already running" : "begins");
	add_string(l, rec, "user");
	add_string(l, rec, "database");
	add_string(l, rec, "application_name");
	if (l->session && ws_session_client(l->session, client)[0]) {
		add(l, " client=");
		add_text(l, client, strlen(client));
	}
	add_string(l, rec, "slot");
	if (rec->flags & WS_SESSION_RUNNING) {
		add(l, " doing=");
		add_enum(l, rec, "found");
	}
}

static void print_ready(struct line *l, const struct ws_rec *rec)
{
	(void)rec;
	add(l, "authenticated");
}

static void print_phase(struct line *l, const struct ws_rec *rec)
{
	add_enum(l, rec, "phase");
	if (rec->flags & WS_PHASE_CASCADING)
		add(l, " cascading");
}

static void print_message(struct line *l, const struct ws_rec *rec)
{
	const struct ws_rec_message *r = (const void *)rec;
	const char *name = r->type <= UINT8_MAX ? ws_message_type_name((uint8_t)r->type) : NULL;

	if (name)
		add(l, "%s", name);
	else
		add(l, "type %u", r->type);
}

static void print_command(struct line *l, const struct ws_rec *rec)
{
	if (rec->flags & WS_COMMAND_RUNNING)
		add(l, "(already running) ");
}

static void print_command_end(struct line *l, const struct ws_rec *rec)
{
	const struct ws_rec_command_end *r = (const void *)rec;

	switch (r->how) {
	case WS_COMMAND_DONE:
		add_colored(l, WS_COLOR_GREEN, "done");
		break;
	case WS_COMMAND_IS_SQL:
		add(l, "is plain SQL");
		break;
	case WS_COMMAND_SQL_DONE:
		add_colored(l, WS_COLOR_GREEN, "SQL done");
		break;
	default:
		add(l, "how=%u", r->how);
	}
}

static void print_error(struct line *l, const struct ws_rec *rec)
{
	static const char *const levels[] = { NULL, "COMMERROR", "ERROR", "FATAL", "PANIC" };
	const struct ws_rec_error *r = (const void *)rec;
	const struct ws_kind_info *info = ws_kind_info(rec->kind);
	const struct ws_field *function = ws_event_field(info, "function");
	const struct ws_field *file = ws_event_field(info, "file");
	char sqlstate[6] = "?????";
	bool named = r->elevel < WS_ARRAY_SIZE(levels) && levels[r->elevel];

	if (r->valid & WS_VALID_SQLSTATE)
		ws_event_sqlstate(r->sqlstate, sqlstate);
	add_colored(l, WS_COLOR_RED, named ? levels[r->elevel] : "?");
	add(l, " ");
	add_text(l, sqlstate, strlen(sqlstate));
	if (!ws_field_known(function, rec) || !ws_field_known(file, rec))
		return;
	add(l, " in ");
	add_text(l, r->function, strnlen(r->function, sizeof(r->function)));
	add(l, ", ");
	add_text(l, r->file, strnlen(r->file, sizeof(r->file)));
	if (r->valid & WS_VALID_LINE)
		add(l, ":%u", r->line);
}

static void print_text(struct line *l, const struct ws_rec *rec)
{
	const struct ws_rec_text *r = (const void *)rec;
	const struct ws_field *field = ws_event_field(ws_kind_info(rec->kind), "text");
	size_t len;
	const char *text = ws_event_text(rec, field, &len);

	if (r->offset)
		add(l, "(from byte %u on) ", r->offset);
	add_text(l, text, len);
	if (rec->flags & WS_TEXT_UNREADABLE)
		add(l, " (not readable)");
	else if (rec->flags & WS_TEXT_TRUNCATED || !(rec->flags & WS_TEXT_LAST))
		add(l, " ...");
}

static void print_text_sum(struct line *l, const struct ws_rec *rec)
{
	const struct ws_rec_text_sum *r = (const void *)rec;
	char bytes[WS_BYTES_TEXT];

	add(l, "the %s has %s", r->of == WS_TEXT_MESSAGE ? "message" : "command",
	    ws_bytes_format(r->len, bytes));
	if (rec->flags & WS_TEXT_SUM_HASH)
		add(l, ", xxh64 %016llx", (unsigned long long)r->hash);
}

static void print_state(struct line *l, const struct ws_rec *rec)
{
	const struct ws_rec_state *r = (const void *)rec;

	add_enum(l, rec, "from");
	add(l, " -> ");
	add_enum(l, rec, "to");
	if (r->sent_lsn)
		add_lsn(l, " at ", r->sent_lsn);
}

static void print_stream(struct line *l, const struct ws_rec *rec)
{
	const struct ws_rec_stream *r = (const void *)rec;

	add(l, "%s", rec->flags & WS_STREAM_LOGICAL ? "logical" : "physical");
	add_lsn(l, " from ", r->sent_lsn);
	add_string(l, rec, "slot");
}

static void print_reply(struct line *l, const struct ws_rec_turn *r)
{
	const struct {
		const char *name;
		int64_t us;
	} lags[] = { { " write lag ", r->write_lag_us },
		     { " flush lag ", r->flush_lag_us },
		     { " apply lag ", r->apply_lag_us } };

	add_lsn(l, ", reply: write ", r->write_lsn);
	add_lsn(l, " flush ", r->flush_lsn);
	add_lsn(l, " apply ", r->apply_lsn);
	for (size_t i = 0; i < WS_ARRAY_SIZE(lags); i++)
		if (lags[i].us >= 0)
			add_duration(l, lags[i].name, (uint64_t)lags[i].us * 1000);
}

static void print_turn(struct line *l, const struct ws_rec *rec)
{
	static const char *const stages[WS_STAGE_COUNT] = {
		[WS_STAGE_OTHER] = "other",   [WS_STAGE_WAIT] = "waited",
		[WS_STAGE_REPLY] = "reply",   [WS_STAGE_SEND] = "send",
		[WS_STAGE_READ] = "read",     [WS_STAGE_DECODE] = "decode",
		[WS_STAGE_PLUGIN] = "plugin", [WS_STAGE_TAIL] = "tail",
	};
	static const struct {
		const char *text;
		enum ws_color color;
	} waits[] = {
		[WS_WAIT_NONE] = { NULL, WS_COLOR_NONE },
		[WS_WAIT_WAL] = { "waits for WAL", WS_COLOR_DIM },
		[WS_WAIT_SOCKET] = { "waits for the socket", WS_COLOR_RED },
		[WS_WAIT_STANDBY] = { "waits for standbys", WS_COLOR_YELLOW },
	};
	const struct ws_rec_turn *r = (const void *)rec;
	char bytes[WS_BYTES_TEXT];
	bool first = true;

	add_lsn(l, "", r->lsn_to);
	if (r->lsn_to > r->lsn_from && r->lsn_from)
		add(l, " +%s", ws_bytes_format(r->lsn_to - r->lsn_from, bytes));
	if (r->turns > 1)
		add(l, " in %u turns", r->turns);
	for (int i = 0; i < WS_STAGE_COUNT; i++) {
		if (!r->stage_ns[i])
			continue;
		add(l, "%s%s", first ? "  " : ", ", stages[i]);
		add_duration(l, " ", r->stage_ns[i]);
		first = false;
	}
	if (r->messages)
		add(l, ", %u messages of %s", r->messages,
		    ws_bytes_format(r->message_bytes, bytes));
	if (rec->flags & WS_TURN_REPLY && rec->size >= sizeof(*r))
		print_reply(l, r);
	if (r->wait < WS_ARRAY_SIZE(waits) && waits[r->wait].text) {
		add(l, "; ");
		add_colored(l, waits[r->wait].color, waits[r->wait].text);
	}
}

static void print_keepalive(struct line *l, const struct ws_rec *rec)
{
	const struct ws_rec_keepalive *r = (const void *)rec;

	add_lsn(l, "", r->lsn);
	if (r->request_reply)
		add(l, ", reply requested");
}

static void print_backup(struct line *l, const struct ws_rec *rec)
{
	const struct ws_rec_backup *r = (const void *)rec;
	char bytes[WS_BYTES_TEXT], count[WS_COUNT_TEXT];

	add_enum(l, rec, "phase");
	if (!r->chunks && !r->bytes)
		return;
	add(l, " +%s", ws_bytes_format(r->bytes, bytes));
	if (r->chunks)
		add(l, " in %s chunks", ws_count_format(r->chunks, count));
	add_duration(l, ", sending ", r->send_ns);
}

static void print_exit(struct line *l, const struct ws_rec *rec)
{
	const struct ws_rec_exit *r = (const void *)rec;
	char text[48];

	if (r->signal)
		snprintf(text, sizeof(text), "killed by signal %u", r->signal);
	else
		snprintf(text, sizeof(text), "code %u", r->code);
	add_colored(l, r->signal || r->code ? WS_COLOR_RED : WS_COLOR_NONE, text);
	if (r->lost)
		add(l, ", %u records lost", r->lost);
	if (r->unreadable)
		add(l, ", %u fields not readable", r->unreadable);
}

static void print_signal(struct line *l, const struct ws_rec *rec)
{
	const struct ws_rec_signal *r = (const void *)rec;
	const char *name = sigabbrev_np((int)r->signal);

	if (name)
		add(l, "SIG%s", name);
	else
		add(l, "signal %u", r->signal);
	add(l, " to %u by ", r->target_pid);
	add_enum(l, rec, "role");
	if (r->sender_pid)
		add(l, " %u", r->sender_pid);
	add_string(l, rec, "sender");
}

static void print_slot(struct line *l, const struct ws_rec *rec)
{
	const struct ws_rec_slot *r = (const void *)rec;

	add(l, "process %u says: ", r->by_pid);
	add_text(l, r->message, strlen(r->message));
}

static void print_ending(struct line *l, const struct ws_rec *rec)
{
	const struct ws_rec_ending *r = (const void *)rec;

	add(l, "proc_exit(%u)", r->code);
	if (r->cause) {
		add(l, ", cause ");
		add_enum(l, rec, "cause");
	}
	if (rec->flags & WS_ENDING_MUTED)
		add(l, ", log_min_messages hides more");
}

static void print_gap(struct line *l, const struct ws_rec *rec)
{
	const struct ws_rec_gap *r = (const void *)rec;
	char count[WS_COUNT_TEXT];

	if (r->lost)
		add(l, "%s events missing", ws_count_format(r->lost, count));
	else
		add(l, "events missing, not known how many");
	if (r->from_ns && r->to_ns > r->from_ns)
		add_duration(l, " within ", r->to_ns - r->from_ns);
	add(l, " (");
	add_enum(l, rec, "cause");
	add(l, ")");
}

static void print_stop(struct line *l, const struct ws_rec *rec)
{
	const struct ws_rec_stop *r = (const void *)rec;
	char produced[WS_COUNT_TEXT], lost[WS_COUNT_TEXT];

	add(l, "%s events made, %s lost", ws_count_format(r->produced, produced),
	    ws_count_format(r->lost, lost));
}

static void print_server(struct line *l, const struct ws_rec *rec)
{
	add(l, "postmaster %u", rec->pid);
	add_string(l, rec, "version");
	add_string(l, rec, "file");
	add_string(l, rec, "datadir");
}

static void print_socket(struct line *l, const struct ws_rec *rec)
{
	const struct ws_rec_socket *r = (const void *)rec;
	char wire[WS_BYTES_TEXT], acked[WS_BYTES_TEXT], unsent[WS_BYTES_TEXT], more[WS_BYTES_TEXT];

	ws_bytes_format(r->wire_bytes, wire);
	ws_bytes_format(r->acked_bytes, acked);
	ws_bytes_format(r->unsent_bytes, unsent);
	add(l, "wire %s acked %s", wire, acked);
	if (r->unsent_bytes)
		add(l, " unsent %s", unsent);
	if (r->retrans_bytes) {
		ws_bytes_format(r->retrans_bytes, more);
		add(l, " retransmitted %s", more);
	}
	add_duration(l, " round trip ", (uint64_t)r->srtt_us * 1000);
}

static void print_off_cpu(struct line *l, const struct ws_rec *rec)
{
	const struct ws_rec_off_cpu *r = (const void *)rec;
	uint64_t sum = 0;

	for (int i = 0; i < WS_STAGE_COUNT; i++)
		sum += r->stage_ns[i];
	add_duration(l, "waited for a CPU ", sum);
}

static void print_sample(struct line *l, const struct ws_rec *rec)
{
	const struct ws_rec_sample *r = (const void *)rec;

	if (r->task_state >= 'A' && r->task_state <= 'z')
		add(l, "%c", r->task_state);
	add_duration(l, " ran ", r->run_ns);
	if (r->valid & WS_SAMPLE_DELAY)
		add_duration(l, " waited for a CPU ", r->run_delay_ns);
	if (r->valid & WS_SAMPLE_TARGET)
		add_lsn(l, " to send up to ", r->target_lsn);
}

static void print_blocked(struct line *l, const struct ws_rec *rec)
{
	const struct ws_rec_blocked *r = (const void *)rec;

	add_enum(l, rec, "on");
	if (r->xid)
		add(l, " transaction %u", r->xid);
	if (r->holder_pid)
		add(l, " of process %u", r->holder_pid);
}

static void print_decoding(struct line *l, const struct ws_rec *rec)
{
	struct ws_rec_decoding told = { 0 };
	const struct ws_rec_decoding *r = &told;
	char held[WS_BYTES_TEXT], spilled[WS_BYTES_TEXT];

	memcpy(&told, rec, rec->size < sizeof(told) ? rec->size : sizeof(told));
	if (r->valid & WS_DECODING_READ)
		add_lsn(l, "at ", r->read_lsn);
	if (r->valid & WS_DECODING_SLOT) {
		add_lsn(l, " confirmed ", r->confirmed_lsn);
		add_lsn(l, " restart ", r->restart_lsn);
	}
	if (r->valid & WS_DECODING_BUFFER)
		add(l, " holds %s", ws_bytes_format(r->buffer_bytes, held));
	if (r->spill_bytes)
		add(l, " spilled %s", ws_bytes_format(r->spill_bytes, spilled));
	if (r->spill_ns + r->restore_ns)
		add_duration(l, " in ", r->spill_ns + r->restore_ns);
	if (r->snapshot) {
		add(l, " snapshot ");
		add_enum(l, rec, "snapshot");
	}
	if (!r->txn_xid)
		return;
	add(l, " transaction %u of %llu changes", r->txn_xid, r->txn_changes);
	if (r->txn_subtxns)
		add(l, " with %u subtransactions", r->txn_subtxns);
	if (r->txn_flags & WS_TXN_PREPARED)
		add(l, " prepared");
	add_lsn(l, " output at ", r->txn_at_lsn);
}

static const char *txn_end(uint32_t end)
{
	static const char *const ends[] = {
		[WS_TXN_END_UNKNOWN] = "committed",
		[WS_TXN_COMMIT] = "committed",
		[WS_TXN_PREPARE] = "prepared",
		[WS_TXN_COMMIT_PREPARED] = "committed, prepared before,",
		[WS_TXN_ROLLBACK_PREPARED] = "rolled back, prepared before,",
		[WS_TXN_ABORT] = "aborted",
		[WS_TXN_PIECE] = "in progress: a piece of it",
	};

	return end < WS_ARRAY_SIZE(ends) ? ends[end] : "ended";
}

static void print_txn(struct line *l, const struct ws_rec *rec)
{
	struct ws_rec_txn r = { 0 };
	char bytes[WS_BYTES_TEXT];

	memcpy(&r, rec, rec->size < sizeof(r) ? rec->size : sizeof(r));
	add(l, "transaction %u %s", r.xid, txn_end(r.end));
	add_lsn(l, " at ", r.commit_lsn);
	if (rec->flags & WS_TXN_KNOWN)
		add(l, " %llu changes", r.changes);
	if (r.subtxns)
		add(l, " and those of %u subtransactions,", r.subtxns);
	add(l, " %u messages of %s", r.messages, ws_bytes_format(r.message_bytes, bytes));
	add_duration(l, " in ", rec->time_ns - r.begin_ns);
	if (rec->flags & WS_TXN_SPILL_TOLD) {
		add(l, " spilled %s", ws_bytes_format(r.spill_bytes, bytes));
		add_duration(l, " in ", r.spill_ns);
	} else if (rec->flags & WS_TXN_SPILLED) {
		add(l, " spilled");
	}
	if (r.restore_ns)
		add_duration(l, " read back in ", r.restore_ns);
	if (rec->flags & WS_TXN_STREAMED && r.end != WS_TXN_PIECE)
		add(l, " streamed in progress");
}

static void print_cluster(struct line *l, const struct ws_rec *rec)
{
	const struct ws_rec_cluster *r = (const void *)rec;

	add_enum(l, rec, "db_state");
	if (r->valid & WS_CLUSTER_FLUSH)
		add_lsn(l, " at ", r->flush_lsn);
	if (rec->flags & WS_CLUSTER_STOPPING)
		add(l, " told to shut down");
	if (r->valid & WS_CLUSTER_SYNC && r->sync_waiters)
		add(l, " %u wait for a synchronous standby", r->sync_waiters);
}

static void print_holder(struct line *l, const struct ws_rec *rec)
{
	const struct ws_rec_holder *r = (const void *)rec;

	if (r->what == WS_HELD_NOBODY) {
		add(l, "no open transaction any more");
		return;
	}
	add(l, "%s transaction %u", r->why == WS_HELD_AWAITED ? "waits for" : "slot held back by",
	    r->xid);
	if (r->what == WS_HELD_PROCESS) {
		add(l, " of process %u", r->holder_pid);
	} else {
		add(l, " prepared");
		add_string(l, rec, "gid");
	}
	if (r->first_lsn)
		add_lsn(l, " from ", r->first_lsn);
}

static void print_cgroup(struct line *l, const struct ws_rec *rec)
{
	const struct ws_rec_cgroup *r = (const void *)rec;

	add_text(l, r->path, strnlen(r->path, sizeof(r->path)));
	if (r->period_us)
		add(l, " gets %.0f%% of a CPU", 100.0 * (double)r->quota_us / (double)r->period_us);
}

static void print_copy(struct line *l, const struct ws_rec *rec)
{
	const struct ws_rec_copy *r = (const void *)rec;
	char rows[WS_COUNT_TEXT], bytes[WS_BYTES_TEXT];

	add(l, "%s rows, %s", ws_count_format(r->rows, rows), ws_bytes_format(r->bytes, bytes));
}

static void print_memory(struct line *l, const struct ws_rec *rec)
{
	const struct ws_rec_memory *r = (const void *)rec;
	char bytes[WS_BYTES_TEXT];

	add(l, "%u contexts", r->contexts);
	if (rec->flags & WS_MEMORY_CUT)
		add(l, " and more");
	if (r->valid & WS_MEMORY_BYTES)
		add(l, ", %s", ws_bytes_format(r->total_bytes, bytes));
	if (r->valid & WS_MEMORY_REORDER)
		add(l, ", of which reorder buffer %s", ws_bytes_format(r->reorder_bytes, bytes));
	for (size_t i = 0; i < WS_CONTEXTS && r->names[i][0]; i++) {
		add(l, i ? ", " : ": ");
		add_text(l, r->names[i], strlen(r->names[i]));
		if (r->valid & WS_MEMORY_BYTES)
			add(l, " %s", ws_bytes_format(r->own[i], bytes));
		else
			add(l, " (%u)", r->counts[i]);
	}
}

static void print_progress(struct line *l, const struct ws_rec *rec)
{
	const struct ws_rec_progress *r = (const void *)rec;
	char done[WS_BYTES_TEXT], total[WS_BYTES_TEXT];

	add_enum(l, rec, "phase");
	add(l, " %s", ws_bytes_format(r->streamed_bytes, done));
	if (r->valid & WS_PROGRESS_TOTAL)
		add(l, " of %s", ws_bytes_format(r->total_bytes, total));
	if (r->tablespaces)
		add(l, ", %u of %u tablespaces", r->tablespaces_done, r->tablespaces);
}

static void print_note(struct line *l, const struct ws_rec *rec)
{
	size_t len;
	const char *text =
		ws_event_text(rec, ws_event_field(ws_kind_info(rec->kind), "text"), &len);

	add_text(l, text, len);
}

static const struct printer {
	uint16_t kind;
	enum ws_color color; /* of the event's name */
	bool verbose;	     /* only then shown */
	void (*fn)(struct line *l, const struct ws_rec *rec);
} printers[] = {
	{ WS_KIND_SESSION, WS_COLOR_CYAN, false, print_session },
	{ WS_KIND_READY, WS_COLOR_CYAN, false, print_ready },
	{ WS_KIND_COMMAND, WS_COLOR_BOLD, false, print_command },
	{ WS_KIND_TEXT, WS_COLOR_DIM, true, print_text },
	{ WS_KIND_TEXT_SUM, WS_COLOR_DIM, false, print_text_sum },
	{ WS_KIND_COMMAND_END, WS_COLOR_BOLD, false, print_command_end },
	{ WS_KIND_ERROR, WS_COLOR_RED, false, print_error },
	{ WS_KIND_STATE, WS_COLOR_YELLOW, false, print_state },
	{ WS_KIND_STREAM, WS_COLOR_YELLOW, false, print_stream },
	{ WS_KIND_TURN, WS_COLOR_NONE, false, print_turn },
	{ WS_KIND_KEEPALIVE, WS_COLOR_NONE, false, print_keepalive },
	{ WS_KIND_BACKUP, WS_COLOR_BLUE, false, print_backup },
	{ WS_KIND_EXIT, WS_COLOR_CYAN, false, print_exit },
	{ WS_KIND_PHASE, WS_COLOR_CYAN, false, print_phase },
	{ WS_KIND_MESSAGE, WS_COLOR_BOLD, false, print_message },
	{ WS_KIND_SIGNAL, WS_COLOR_RED, false, print_signal },
	{ WS_KIND_SLOT, WS_COLOR_RED, false, print_slot },
	{ WS_KIND_ENDING, WS_COLOR_CYAN, false, print_ending },
	{ WS_KIND_OFF_CPU, WS_COLOR_YELLOW, false, print_off_cpu },
	{ WS_KIND_TXN, WS_COLOR_BLUE, false, print_txn },
	{ WS_KIND_SERVER, WS_COLOR_DIM, false, print_server },
	{ WS_KIND_GAP, WS_COLOR_RED, false, print_gap },
	{ WS_KIND_CLOCK, WS_COLOR_DIM, true, NULL },
	{ WS_KIND_STOP, WS_COLOR_DIM, false, print_stop },
	{ WS_KIND_NOTE, WS_COLOR_DIM, false, print_note },
	{ WS_KIND_SOCKET, WS_COLOR_DIM, true, print_socket },
	{ WS_KIND_SAMPLE, WS_COLOR_DIM, true, print_sample },
	{ WS_KIND_BLOCKED, WS_COLOR_YELLOW, false, print_blocked },
	{ WS_KIND_DECODING, WS_COLOR_DIM, true, print_decoding },
	{ WS_KIND_CLUSTER, WS_COLOR_DIM, true, print_cluster },
	{ WS_KIND_PROGRESS, WS_COLOR_DIM, true, print_progress },
	{ WS_KIND_CGROUP, WS_COLOR_DIM, true, print_cgroup },
	{ WS_KIND_HOLDER, WS_COLOR_DIM, true, print_holder },
	{ WS_KIND_COPY, WS_COLOR_DIM, true, print_copy },
	{ WS_KIND_MEMORY, WS_COLOR_DIM, true, print_memory },
};

static const struct printer *find_printer(uint16_t kind)
{
	for (size_t i = 0; i < WS_ARRAY_SIZE(printers); i++)
		if (printers[i].kind == kind)
			return &printers[i];
	return NULL;
}

/* One line; `text` is the piece that belongs to the record, or NULL. */
static int print_event(struct ws_export *ex, const struct ws_session *session,
		       const struct ws_rec *rec, const struct ws_rec *text)
{
	const struct printer *printer = find_printer(rec->kind);
	struct line l = { .ex = ex, .session = session };
	char time[WS_TIME_TEXT], pid[WS_PID_TEXT] = "-", name[16];

	if (!printer || (printer->verbose && !ex->opt.screen.verbose))
		return 0;
	if (session)
		ws_text_pid(session, pid);
	else if (rec->pid)
		snprintf(pid, sizeof(pid), "%u", rec->pid);
	snprintf(name, sizeof(name), "%-11s", ws_kind_info(rec->kind)->name);
	add(&l, "%s %8s  ", ws_text_time(ex, rec->time_ns, time), pid);
	add_colored(&l, printer->color, name);
	add(&l, " ");
	if (printer->fn)
		printer->fn(&l, rec);
	if (text) {
		add(&l, "%s", rec->kind == WS_KIND_ERROR ? ": " : "");
		print_text(&l, text);
	}
	while (l.buf.len && l.buf.data[l.buf.len - 1] == ' ')
		l.buf.data[--l.buf.len] = '\0';
	add(&l, "\n");
	if (l.rc == 0)
		l.rc = ws_text_flush(ex, &l.buf);
	ws_buf_deinit(&l.buf);
	return l.rc;
}

static struct waiting *find_waiting(struct trace_state *state, const struct ws_rec *rec)
{
	for (size_t i = 0; i < state->count; i++)
		if (state->waiting[i].pid == rec->pid &&
		    state->waiting[i].start_ns == rec->start_ns)
			return &state->waiting[i];
	return NULL;
}

static int print_waiting(struct ws_export *ex, const struct ws_session *session, struct waiting *w,
			 const struct ws_rec *text)
{
	struct trace_state *state = ex->state;
	int rc = print_event(ex, session, w->rec, text);

	free(w->rec);
	*w = state->waiting[--state->count];
	return rc;
}

int ws_text_event(struct ws_export *ex, const struct ws_session *session, const struct ws_rec *rec)
{
	struct trace_state *state = ex->state;
	/* The collector takes samples at any time, also between a command and its text. */
	bool aside = ws_kind_is_sampled(rec->kind), is_text = rec->kind == WS_KIND_TEXT;
	struct waiting *w = rec->start_ns && !aside ? find_waiting(state, rec) : NULL;

	if (w) {
		const struct ws_rec_text *text = (const void *)rec;
		bool belongs = is_text && text->offset == 0;

		if (print_waiting(ex, session, w, belongs ? rec : NULL))
			return -1;
		if (belongs)
			return 0;
	}
	if (rec->kind != WS_KIND_COMMAND && rec->kind != WS_KIND_ERROR)
		return print_event(ex, session, rec, NULL);
	w = ws_array_grow(&state->waiting, &state->count, &state->cap, sizeof(*w));
	if (!w)
		return -1;
	w->pid = rec->pid;
	w->start_ns = rec->start_ns;
	w->rec = malloc(rec->size);
	if (!w->rec) {
		state->count--;
		return -1;
	}
	memcpy(w->rec, rec, rec->size);
	return 0;
}

static int begin(struct ws_export *ex)
{
	ex->state = calloc(1, sizeof(struct trace_state));
	return ex->state ? 0 : -1;
}

static int end(struct ws_export *ex)
{
	struct trace_state *state = ex->state;

	while (state->count)
		if (print_waiting(ex, NULL, &state->waiting[0], NULL))
			return -1;
	return 0;
}

static void release(struct ws_export *ex)
{
	struct trace_state *state = ex->state;

	for (size_t i = 0; state && i < state->count; i++)
		free(state->waiting[i].rec);
	if (state)
		free(state->waiting);
	free(state);
}

const struct ws_text_view ws_text_trace = { begin, end, release };
