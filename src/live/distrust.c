/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Layouts that do not fit: before planting a server is refused by what its memory holds; what the
 * programs report later of a field that cannot be is told once, and unknown from then on.
 */
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "live/private.h"
#include "probe/crosscheck.h"

_Static_assert(WS_CHECK_COUNT <= 32, "a binary has one bit for each");

static struct ws_misfit_server describe(const struct ws_binary *binary)
{
	return (struct ws_misfit_server){
		.file = binary->exe,
		.build_id = ws_image_build_id(binary->image),
		.source = (enum ws_layout_source)binary->layout_source,
		.major = binary->major,
	};
}

bool ws_live_fits(struct ws_live *live, const struct ws_binary *binary,
		  const struct ws_postmaster *postmaster, struct ws_misfit *misfit,
		  struct ws_error *why)
{
	const struct ws_crosscheck c = {
		.proc = &live->proc,
		.postmaster = postmaster,
		.config = &binary->plan.config,
		.slot_ctl = ws_symbol_address(&binary->symbols, "ReplicationSlotCtl"),
		.max_slots = ws_symbol_address(&binary->symbols, "max_replication_slots"),
		.wal_snd_ctl = ws_symbol_address(&binary->symbols, "WalSndCtl"),
		.max_wal_senders = ws_symbol_address(&binary->symbols, "max_wal_senders"),
	};
	const struct ws_misfit_server server = describe(binary);

	if (!ws_crosscheck(&c, misfit))
		return true;
	ws_misfit_error(misfit, &server, "cannot trace", why);
	return false;
}

int ws_live_distrust(struct ws_live *live, struct ws_binary *binary, const struct ws_misfit *misfit)
{
	const struct ws_misfit_server server = describe(binary);
	bool first = !binary->distrusted;
	struct ws_error why;
	char line[1200];

	binary->distrusted |= 1U << misfit->check;
	if (!first)
		return 0;
	ws_misfit_error(misfit, &server, "a field cannot be believed and is unknown from now on",
			&why);
	ws_live_report(live, &why);
	ws_error_format(&why, line, sizeof(line));
	return ws_live_emit_note(live, line);
}

/* A record, and what is to be held against it. */
struct doubt {
	struct ws_live *live;
	struct ws_binary *binary;
	struct ws_rec *rec;
	struct ws_witness witness;
};

/* Fills the value as the record has it; false: the record does not have it. */
typedef bool (*take_fn)(struct doubt *d, struct ws_value *value);
/* Makes it unknown. */
typedef void (*forget_fn)(struct ws_rec *rec);

static bool take_text(struct ws_value *value, const char *text, size_t room)
{
	*value = (struct ws_value){ .text = text, .room = room };
	return true;
}

/* MyProcPid is held against /proc while the process is there. */
static bool take_pid(struct doubt *d, struct ws_value *value)
{
	const struct ws_rec_session *rec = (const struct ws_rec_session *)d->rec;
	struct ws_process process;

	if (!(rec->valid & WS_VALID_NS_PID) ||
	    !ws_proc_read(&d->live->proc, rec->h.pid, &process) ||
	    process.start_ticks != rec->h.start_ns / WS_TICK_NS)
		return false;
	d->witness.pid = process.ns_pid;
	*value = (struct ws_value){ .number = rec->ns_pid };
	return true;
}

static void forget_pid(struct ws_rec *rec)
{
	((struct ws_rec_session *)rec)->valid &= ~(uint32_t)WS_VALID_NS_PID;
}

static bool take_host(struct doubt *d, struct ws_value *value)
{
	const struct ws_rec_session *rec = (const struct ws_rec_session *)d->rec;

	return rec->valid & WS_VALID_HOST && take_text(value, rec->host, sizeof(rec->host));
}

static void forget_host(struct ws_rec *rec)
{
	struct ws_rec_session *session = (struct ws_rec_session *)rec;

	session->valid &= ~(uint32_t)WS_VALID_HOST;
	memset(session->host, 0, sizeof(session->host));
}

static bool take_user(struct doubt *d, struct ws_value *value)
{
	const struct ws_rec_session *rec = (const struct ws_rec_session *)d->rec;

	return rec->valid & WS_VALID_USER && take_text(value, rec->user, sizeof(rec->user));
}

static void forget_user(struct ws_rec *rec)
{
	struct ws_rec_session *session = (struct ws_rec_session *)rec;

	session->valid &= ~(uint32_t)WS_VALID_USER;
	memset(session->user, 0, sizeof(session->user));
}

static bool take_database(struct doubt *d, struct ws_value *value)
{
	const struct ws_rec_session *rec = (const struct ws_rec_session *)d->rec;

	return rec->valid & WS_VALID_DATABASE &&
	       take_text(value, rec->database, sizeof(rec->database));
}

static void forget_database(struct ws_rec *rec)
{
	struct ws_rec_session *session = (struct ws_rec_session *)rec;

	session->valid &= ~(uint32_t)WS_VALID_DATABASE;
	memset(session->database, 0, sizeof(session->database));
}

static bool take_from(struct doubt *d, struct ws_value *value)
{
	*value = (struct ws_value){ .number = ((const struct ws_rec_state *)d->rec)->from };
	return true;
}

static void forget_from(struct ws_rec *rec)
{
	((struct ws_rec_state *)rec)->from = WS_UNKNOWN;
}

/* At the loop's begin the position of a physical walsender is where it starts to send. */
static bool take_sent(struct doubt *d, struct ws_value *value)
{
	const struct ws_rec_stream *rec = (const struct ws_rec_stream *)d->rec;
	struct ws_entry entry;

	d->witness.database =
		rec->h.flags & WS_STREAM_LOGICAL || !d->binary->plan.config.var.xlog_send_logical;
	if (!d->witness.database && rec->sent_lsn >= WS_LSN_ORDINARY &&
	    ws_tracer_entry(d->live->tracer, rec->h.pid, &entry) &&
	    entry.start_ns == rec->h.start_ns)
		d->witness.wal_end = ws_proc_wal_end(&d->live->proc, entry.postmaster_pid);
	*value = (struct ws_value){ .number = rec->sent_lsn };
	return true;
}

static void forget_stream_lsn(struct ws_rec *rec)
{
	((struct ws_rec_stream *)rec)->sent_lsn = 0;
}

static void forget_state_lsn(struct ws_rec *rec)
{
	((struct ws_rec_state *)rec)->sent_lsn = 0;
}

static void forget_keepalive_lsn(struct ws_rec *rec)
{
	((struct ws_rec_keepalive *)rec)->lsn = 0;
}

static void forget_turn_lsns(struct ws_rec *rec)
{
	((struct ws_rec_turn *)rec)->lsn_from = 0;
	((struct ws_rec_turn *)rec)->lsn_to = 0;
}

static void forget_found_lsn(struct ws_rec *rec)
{
	((struct ws_rec_session *)rec)->sent_lsn = 0;
}

static bool take_slot(struct doubt *d, struct ws_value *value)
{
	const struct ws_rec_stream *rec = (const struct ws_rec_stream *)d->rec;

	return rec->h.flags & WS_STREAM_SLOT && take_text(value, rec->slot, sizeof(rec->slot));
}

static void forget_slot(struct ws_rec *rec)
{
	struct ws_rec_stream *stream = (struct ws_rec_stream *)rec;

	stream->h.flags &= (__u16)~WS_STREAM_SLOT;
	memset(stream->slot, 0, sizeof(stream->slot));
}

static bool take_sqlstate(struct doubt *d, struct ws_value *value)
{
	const struct ws_rec_error *rec = (const struct ws_rec_error *)d->rec;

	*value = (struct ws_value){ .number = rec->sqlstate };
	return rec->valid & WS_VALID_SQLSTATE;
}

static void forget_sqlstate(struct ws_rec *rec)
{
	((struct ws_rec_error *)rec)->valid &= ~(uint32_t)WS_VALID_SQLSTATE;
}

/* `take` is NULL where the value is not judged, but of a field that may be known not to fit. */
static const struct {
	enum ws_kind kind;
	enum ws_check check;
	take_fn take;
	forget_fn forget;
} rows[] = {
	{ WS_KIND_SESSION, WS_CHECK_PID, take_pid, forget_pid },
	{ WS_KIND_SESSION, WS_CHECK_HOST, take_host, forget_host },
	{ WS_KIND_SESSION, WS_CHECK_USER, take_user, forget_user },
	{ WS_KIND_SESSION, WS_CHECK_DATABASE, take_database, forget_database },
	{ WS_KIND_SESSION, WS_CHECK_WALSND_SENT, NULL, forget_found_lsn },
	{ WS_KIND_STATE, WS_CHECK_WALSND_STATE, take_from, forget_from },
	{ WS_KIND_STATE, WS_CHECK_WALSND_SENT, NULL, forget_state_lsn },
	{ WS_KIND_STREAM, WS_CHECK_WALSND_SENT, take_sent, forget_stream_lsn },
	{ WS_KIND_STREAM, WS_CHECK_SLOT, take_slot, forget_slot },
	{ WS_KIND_TURN, WS_CHECK_WALSND_SENT, NULL, forget_turn_lsns },
	{ WS_KIND_KEEPALIVE, WS_CHECK_WALSND_SENT, NULL, forget_keepalive_lsn },
	{ WS_KIND_ERROR, WS_CHECK_SQLSTATE, take_sqlstate, forget_sqlstate },
};

static struct ws_witness know(const struct ws_binary *binary, const struct ws_rec *rec)
{
	struct ws_witness witness = { .walsender = true };

	if (rec->kind != WS_KIND_SESSION)
		return witness;
	witness.database =
		rec->flags & WS_SESSION_DATABASE || !binary->plan.config.var.am_db_walsender;
	/* Of one that was refused it is not known how far it came, and one found running may not
	 * have come so far; that was looked at, and no more is known of it now. */
	witness.parsed =
		!(rec->flags & (WS_SESSION_REFUSED | WS_SESSION_UNPARSED | WS_SESSION_RUNNING));
	return witness;
}

/* Is it as long as its kind is? What is not the order module refuses. */
static bool is_whole(const struct ws_rec *rec)
{
	static const size_t sizes[] = {
		[WS_KIND_SESSION] = sizeof(struct ws_rec_session),
		[WS_KIND_STATE] = sizeof(struct ws_rec_state),
		[WS_KIND_STREAM] = sizeof(struct ws_rec_stream),
		[WS_KIND_TURN] = sizeof(struct ws_rec_turn),
		[WS_KIND_KEEPALIVE] = sizeof(struct ws_rec_keepalive),
		[WS_KIND_ERROR] = WS_ERROR_WIRE_SIZE,
	};

	return rec->kind < WS_ARRAY_SIZE(sizes) && sizes[rec->kind] &&
	       rec->size >= sizes[rec->kind];
}

/* Holds one field of a record against its rule, unless it is not believed any more. */
static int judge(struct doubt *d, size_t row)
{
	struct ws_misfit misfit = { .check = rows[row].check, .pid = d->rec->pid };
	struct ws_value value;

	if (!rows[row].take || !rows[row].take(d, &value) ||
	    ws_plausible(rows[row].check, &value, &d->witness))
		return 0;
	ws_check_explain(rows[row].check, &value, &d->witness, misfit.text);
	return ws_live_distrust(d->live, d->binary, &misfit);
}

const struct ws_rec *ws_live_doubt(struct ws_live *live, const struct ws_rec *rec,
				   union ws_live_room *room)
{
	struct ws_binary *binary = ws_live_binary(live, rec->server);
	struct doubt d = { .live = live, .rec = &room->rec, .binary = binary };

	if (!binary || !is_whole(rec) || rec->size > sizeof(*room))
		return rec;
	d.witness = know(binary, rec);
	memcpy(room, rec, rec->size);
	for (size_t i = 0; i < WS_ARRAY_SIZE(rows); i++) {
		const uint32_t bit = 1U << rows[i].check;

		if (rows[i].kind != rec->kind)
			continue;
		if (!(binary->distrusted & bit) && judge(&d, i))
			return NULL;
		if (binary->distrusted & bit)
			rows[i].forget(d.rec);
	}
	return d.rec;
}
