/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/util.h"
#include "export/json.h"

static json_t *tri(enum ws_tri value)
{
	return value == WS_NOT_KNOWN ? json_null() : ws_json_bool(value == WS_YES);
}

static json_t *age(const struct ws_wal *wal, uint32_t xid)
{
	uint32_t value;

	return ws_wal_age(wal, xid, &value) ? ws_json_uint(value) : json_null();
}

static json_t *wall(int64_t ns)
{
	char text[WS_TIME_TEXT];

	return ns ? ws_json_str(ws_time_format(ns, text)) : json_null();
}

static json_t *holder(const struct ws_holder *h, int *rc)
{
	json_t *o;

	if (h->kind == WS_HOLDER_NONE)
		return json_null();
	o = json_object();
	ws_json_put(o, "kind", ws_json_str(ws_holder_kind_name(h->kind)), rc);
	ws_json_put(o, "user", ws_json_str_or_null(h->user), rc);
	ws_json_put(o, "database", ws_json_str_or_null(h->database), rc);
	ws_json_put(o, "application_name", ws_json_str_or_null(h->application), rc);
	ws_json_put(o, "client", ws_json_str_or_null(h->client), rc);
	ws_json_put(o, "title", ws_json_str_or_null(h->title), rc);
	ws_json_put(o, "query", ws_json_str_or_null(h->query), rc);
	return o;
}

/* Whose transaction keeps restart_lsn where it is. */
static json_t *oldest(const struct ws_slot_row *row, int *rc)
{
	const struct ws_hold *hold = &row->oldest;
	json_t *o;

	if (hold->kind == WS_HOLDS_NOTHING)
		return json_null();
	o = json_object();
	ws_json_put(o, "kind", ws_json_str(ws_holds_name(hold->kind)), rc);
	ws_json_put(o, "xid", ws_json_uint(hold->xid), rc);
	ws_json_put(o, "first_lsn", ws_json_lsn(row->oldest_lsn), rc);
	ws_json_put(o, "pid", ws_json_uint_or_null(hold->pid), rc);
	ws_json_put(o, "ns_pid", ws_json_uint_or_null(hold->ns_pid), rc);
	ws_json_put(o, "user", ws_json_str_or_null(row->oldest_user), rc);
	ws_json_put(o, "application_name", ws_json_str_or_null(row->oldest_application), rc);
	ws_json_put(o, "gid", ws_json_str_or_null(hold->gid), rc);
	ws_json_put(o, "since", wall(hold->since_ns), rc);
	return o;
}

static void put_server(json_t *o, const struct ws_slots_report *r, int *rc)
{
	ws_json_put(o, "server", ws_json_str_or_null(r->postmaster->datadir), rc);
	ws_json_put(o, "version", ws_json_str(r->version), rc);
	ws_json_put(o, "postmaster_pid", ws_json_uint(r->postmaster->process.pid), rc);
}

/* Where the server stands: what the slots' figures are counted from. */
static void put_position(json_t *o, const struct ws_slots_report *r, int *rc)
{
	const struct ws_wal *wal = &r->wal;

	ws_json_put(o, "position", ws_json_lsn(wal->position), rc);
	ws_json_put(o, "position_kind", ws_json_str(ws_wal_source_name(wal->source)), rc);
}

static void put_state(json_t *o, const struct ws_slots_report *r, const struct ws_slot_row *row,
		      int *rc)
{
	const struct ws_slot *s = row->slot;
	uint64_t bytes;

	ws_json_put(o, "restart_lsn", ws_json_lsn(s->restart_lsn), rc);
	ws_json_put(o, "confirmed_flush", ws_json_lsn(s->confirmed_flush), rc);
	ws_json_put(o, "retained_bytes",
		    ws_slot_retained(s, &r->wal, &bytes) ? ws_json_uint(bytes) : json_null(), rc);
	put_position(o, r, rc);
	ws_json_put(o, "xmin", ws_json_uint_or_null(s->xmin), rc);
	ws_json_put(o, "xmin_age", age(&r->wal, s->xmin), rc);
	ws_json_put(o, "catalog_xmin", ws_json_uint_or_null(s->catalog_xmin), rc);
	ws_json_put(o, "catalog_xmin_age", age(&r->wal, s->catalog_xmin), rc);
	ws_json_put(o, "wal_status", ws_json_str(ws_slot_wal_name(s->wal)), rc);
	ws_json_put(o, "invalidation", ws_json_str(ws_slot_invalid_name(s->invalid)), rc);
	ws_json_put(o, "invalidated_at", ws_json_lsn(s->invalidated_at), rc);
	ws_json_put(o, "two_phase", tri(s->two_phase), rc);
	ws_json_put(o, "failover", tri(s->failover), rc);
	ws_json_put(o, "synced", tri(s->synced), rc);
	ws_json_put(o, "inactive_since", wall(s->inactive_since_ns), rc);
	ws_json_put(o, "restart_held_by", oldest(row, rc), rc);
}

static int put_slot(struct ws_export *ex, const struct ws_slots_report *r,
		    const struct ws_slot_row *row)
{
	const struct ws_slot *s = row->slot;
	bool known = !s->problem[0];
	json_t *o = json_object();
	int rc = 0;

	put_server(o, r, &rc);
	ws_json_put(o, "slot", ws_json_str_or_null(s->name), &rc);
	ws_json_put(o, "problem", ws_json_str_or_null(s->problem), &rc);
	ws_json_put(o, "type",
		    known ? ws_json_str(s->logical ? "logical" : "physical") : json_null(), &rc);
	ws_json_put(o, "plugin", ws_json_str_or_null(s->plugin), &rc);
	ws_json_put(o, "database", ws_json_str_or_null(row->database), &rc);
	ws_json_put(o, "database_oid", ws_json_uint_or_null(s->database), &rc);
	ws_json_put(o, "persistency",
		    known ? ws_json_str(ws_slot_persistency_name(s->persistency)) : json_null(),
		    &rc);
	ws_json_put(o, "temporary",
		    known ? ws_json_bool(s->persistency == WS_SLOT_TEMPORARY) : json_null(), &rc);
	ws_json_put(o, "active_pid", ws_json_uint_or_null((uint64_t)(uint32_t)s->active_pid), &rc);
	ws_json_put(o, "pid", ws_json_uint_or_null(row->holder.pid), &rc);
	ws_json_put(o, "ns_pid", ws_json_uint_or_null(row->holder.ns_pid), &rc);
	ws_json_put(o, "holder", holder(&row->holder, &rc), &rc);
	put_state(o, r, row, &rc);
	return ws_json_line(ex, o, rc);
}

/* Who holds back the removal of old rows, oldest first: an object of its own, `slot` is no key of
 * it. */
static int put_horizon(struct ws_export *ex, const struct ws_slots_report *r)
{
	json_t *o = json_object(), *holds = json_array();
	int rc = 0;

	for (size_t i = 0; i < r->horizon.count; i++) {
		const struct ws_hold *hold = &r->horizon.holds[i];
		json_t *item = json_object();

		ws_json_put(item, "kind", ws_json_str(ws_holds_name(hold->kind)), &rc);
		ws_json_put(item, "xid", ws_json_uint(hold->xid), &rc);
		ws_json_put(item, "age", age(&r->wal, hold->xid), &rc);
		ws_json_put(item, "pid", ws_json_uint_or_null(hold->pid), &rc);
		ws_json_put(item, "ns_pid", ws_json_uint_or_null(hold->ns_pid), &rc);
		ws_json_put(item, "slot", ws_json_str(hold->slot ? hold->slot->name : NULL), &rc);
		ws_json_put(item, "gid", ws_json_str_or_null(hold->gid), &rc);
		ws_json_put(item, "snapshot", ws_json_bool(hold->snapshot), &rc);
		ws_json_put(item, "since", wall(hold->since_ns), &rc);
		ws_json_append(holds, item, &rc);
	}
	put_server(o, r, &rc);
	put_position(o, r, &rc);
	ws_json_put(o, "in_recovery",
		    r->wal.has_recovery ? ws_json_bool(r->wal.in_recovery) : json_null(), &rc);
	ws_json_put(o, "next_xid",
		    r->wal.has_next_xid ? ws_json_uint(r->wal.next_xid) : json_null(), &rc);
	ws_json_put(o, "xmin_holders", holds, &rc);
	return ws_json_line(ex, o, rc);
}

int ws_json_slots(struct ws_export *ex, const struct ws_slots_report *report)
{
	for (size_t i = 0; i < report->count; i++)
		if (put_slot(ex, report, &report->rows[i]))
			return -1;
	return put_horizon(ex, report);
}
