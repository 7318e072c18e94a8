/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * text_slots.c: the slots of each server for a person: a line about the server, then a table.
 */
#include <string.h>

#include "export/text.h"

bool ws_slot_retained(const struct ws_slot *slot, const struct ws_wal *wal, uint64_t *bytes)
{
	if (!slot->restart_lsn || !wal->position)
		return false;
	*bytes = wal->position > slot->restart_lsn ? wal->position - slot->restart_lsn : 0;
	return true;
}

const char *ws_holder_kind_name(enum ws_holder_kind kind)
{
	static const char *const names[] = { [WS_HOLDER_WALSENDER] = "walsender",
					     [WS_HOLDER_BACKEND] = "backend",
					     [WS_HOLDER_SLOTSYNC] = "slotsync_worker",
					     [WS_HOLDER_OTHER] = "other" };

	return names[kind];
}

static int put_head(const struct ws_export *ex, const struct ws_slots_report *r, struct ws_buf *buf)
{
	const struct ws_postmaster *p = r->postmaster;
	const struct ws_wal *wal = &r->wal;
	char pid[WS_PID_TEXT], lsn[WS_LSN_TEXT];
	int rc;

	if (p->process.ns_pid && p->process.ns_pid != p->process.pid)
		snprintf(pid, sizeof(pid), "%u (%u)", p->process.pid, p->process.ns_pid);
	else
		snprintf(pid, sizeof(pid), "%u", p->process.pid);
	rc = ws_put_color(buf, &ex->opt.screen, WS_COLOR_BOLD, "server ") ||
	     ws_put_color(buf, &ex->opt.screen, WS_COLOR_BOLD, pid) ||
	     ws_buf_addstr(buf, ", PostgreSQL ") ||
	     ws_put_text(buf, &ex->opt.screen, r->version, strlen(r->version), 0) ||
	     ws_buf_addstr(buf, ", ") ||
	     ws_put_text(buf, &ex->opt.screen, p->datadir, strlen(p->datadir), 0);
	if (rc == 0 && wal->has_recovery)
		rc = ws_buf_addstr(buf, wal->in_recovery ? ", in recovery" : ", primary");
	if (rc == 0 && wal->position)
		rc = ws_buf_addf(buf, ", %s %s", ws_wal_source_name(wal->source),
				 ws_lsn_format(wal->position, lsn));
	if (rc == 0 && wal->has_next_xid)
		rc = ws_buf_addf(buf, ", next xid %u", wal->next_xid);
	return rc || ws_buf_addstr(buf, "\n") ? -1 : 0;
}

static int text_cell(struct ws_table *t, enum ws_color color, const char *text)
{
	return text && text[0] && color == WS_COLOR_NONE
		       ? ws_table_text(t, text, strlen(text))
		       : ws_table_cell(t, color, text ? text : "");
}

static int lsn_cell(struct ws_table *t, uint64_t lsn)
{
	char text[WS_LSN_TEXT];

	return ws_table_cell(t, WS_COLOR_NONE, lsn ? ws_lsn_format(lsn, text) : "");
}

/* "745 (12 back)". */
static int xid_cell(struct ws_table *t, const struct ws_wal *wal, uint32_t xid)
{
	char text[64], count[WS_COUNT_TEXT];
	uint32_t age;

	if (!xid)
		return ws_table_cell(t, WS_COLOR_DIM, "");
	if (ws_wal_age(wal, xid, &age))
		snprintf(text, sizeof(text), "%u (%s back)", xid, ws_count_format(age, count));
	else
		snprintf(text, sizeof(text), "%u", xid);
	return ws_table_cell(t, WS_COLOR_NONE, text);
}

/* "walsender 4711 standby1 192.0.2.1:54321"; a pid nobody has any more stands alone. */
static int holder_cell(struct ws_table *t, const struct ws_slot_row *row)
{
	const struct ws_holder *h = &row->holder;
	char text[512];

	if (!row->slot->active_pid)
		return ws_table_cell(t, WS_COLOR_DIM, "");
	if (h->kind == WS_HOLDER_NONE)
		snprintf(text, sizeof(text), "%d", row->slot->active_pid);
	else if (h->kind == WS_HOLDER_BACKEND)
		snprintf(text, sizeof(text), "backend %u %s", h->pid,
			 h->query[0] ? h->query : h->application);
	else
		snprintf(text, sizeof(text), "%s %u %s%s%s", ws_holder_kind_name(h->kind), h->pid,
			 h->application, h->application[0] && h->client[0] ? " " : "", h->client);
	return ws_table_text(t, text, strlen(text));
}

static int database_cell(struct ws_table *t, const struct ws_slot_row *row)
{
	char text[24];

	if (row->database[0] || !row->slot->database)
		return text_cell(t, WS_COLOR_NONE, row->database);
	snprintf(text, sizeof(text), "oid %u", row->slot->database);
	return ws_table_cell(t, WS_COLOR_NONE, text);
}

static int wal_cell(struct ws_table *t, const struct ws_slot *s)
{
	static const enum ws_color colors[] = { [WS_SLOT_RESERVED] = WS_COLOR_GREEN,
						[WS_SLOT_EXTENDED] = WS_COLOR_YELLOW,
						[WS_SLOT_UNRESERVED] = WS_COLOR_RED,
						[WS_SLOT_LOST] = WS_COLOR_RED };
	const char *name = ws_slot_wal_name(s->wal);

	return ws_table_cell(t, colors[s->wal], name ? name : "");
}

/* One that is synchronized from the primary is temporary until that has been done as far as a
 * failover needs (slotsync.c: update_and_persist_local_synced_slot). */
static const char *synced_note(const struct ws_slot *s)
{
	if (s->synced != WS_YES)
		return "";
	return s->persistency == WS_SLOT_TEMPORARY ? "not yet synced, lost at a failover "
						   : "synced ";
}

/* What is special about it, in words. */
static int notes_cell(struct ws_table *t, const struct ws_slot *s)
{
	const char *invalid = ws_slot_invalid_name(s->invalid);
	char text[256], time[WS_TIME_TEXT], since[64] = "";

	if (s->inactive_since_ns)
		snprintf(since, sizeof(since), "inactive since %.19s ",
			 ws_time_format(s->inactive_since_ns, time));
	snprintf(text, sizeof(text), "%s%s%s%s%s%s%s%s%s", s->problem[0] ? "not readable: " : "",
		 s->problem, invalid ? "invalid: " : "", invalid ? invalid : "", invalid ? " " : "",
		 s->two_phase == WS_YES ? "two_phase " : "",
		 s->failover == WS_YES ? "failover " : "", synced_note(s), since);
	if (text[0] && text[strlen(text) - 1] == ' ')
		text[strlen(text) - 1] = '\0';
	return ws_table_text(t, text, strlen(text));
}

static int put_row(struct ws_table *t, const struct ws_slots_report *r,
		   const struct ws_slot_row *row)
{
	const struct ws_slot *s = row->slot;
	bool known = !s->problem[0];
	char bytes[WS_BYTES_TEXT] = "";
	uint64_t retained;

	if (ws_slot_retained(s, &r->wal, &retained))
		ws_bytes_format(retained, bytes);
	return text_cell(t, WS_COLOR_NONE, s->name[0] ? s->name : "?") ||
			       ws_table_cell(t, WS_COLOR_NONE,
					     !known	  ? ""
					     : s->logical ? "logical"
							  : "physical") ||
			       ws_table_cell(t, WS_COLOR_NONE,
					     known && s->persistency
						     ? ws_slot_persistency_name(s->persistency)
						     : "") ||
			       text_cell(t, WS_COLOR_NONE, s->plugin) || database_cell(t, row) ||
			       holder_cell(t, row) || lsn_cell(t, s->restart_lsn) ||
			       lsn_cell(t, s->confirmed_flush) ||
			       ws_table_cell(t, WS_COLOR_NONE, bytes) || wal_cell(t, s) ||
			       xid_cell(t, &r->wal, s->xmin) ||
			       xid_cell(t, &r->wal, s->catalog_xmin) || notes_cell(t, s)
		       ? -1
		       : 0;
}

static int print_table(const struct ws_export *ex, const struct ws_slots_report *r)
{
	static const struct ws_column columns[] = {
		{ .title = "SLOT", .flexible = true },
		{ .title = "TYPE" },
		{ .title = "PERSISTENCY", .optional = true },
		{ .title = "PLUGIN", .flexible = true, .optional = true },
		{ .title = "DATABASE", .flexible = true, .optional = true },
		{ .title = "HELD BY", .flexible = true },
		{ .title = "RESTART", .right = true },
		{ .title = "CONFIRMED", .right = true, .optional = true },
		{ .title = "RETAINED", .right = true },
		{ .title = "WAL", .optional = true },
		{ .title = "XMIN", .right = true, .optional = true },
		{ .title = "CATALOG XMIN", .right = true, .optional = true },
		{ .title = "NOTES", .flexible = true, .optional = true },
	};
	struct ws_table *t = ws_table_new(&ex->opt.screen, columns, WS_ARRAY_SIZE(columns));
	int rc = t ? 0 : -1;

	for (size_t i = 0; i < r->count && rc == 0; i++)
		rc = put_row(t, r, &r->rows[i]);
	if (rc == 0)
		rc = ws_table_print(t, ex->opt.out);
	ws_table_free(t);
	return rc;
}

/* "rows are kept for: slot s1 (xid 745, 12 back), transaction of 4711 (xid 750, 7 back, since
 * ...)". */
static int put_horizon(const struct ws_export *ex, const struct ws_slots_report *r,
		       struct ws_buf *buf)
{
	char time[WS_TIME_TEXT], count[WS_COUNT_TEXT];
	uint32_t age;
	int rc = 0;

	for (size_t i = 0; i < r->horizon.count && rc == 0; i++) {
		const struct ws_hold *hold = &r->horizon.holds[i];

		rc = ws_buf_addf(buf, "%s%s", i ? ", " : "old rows are kept by ",
				 ws_holds_name(hold->kind));
		if (rc == 0 && hold->slot)
			rc = ws_buf_addstr(buf, " ") ||
			     ws_put_text(buf, &ex->opt.screen, hold->slot->name,
					 strlen(hold->slot->name), 0);
		if (rc == 0 && hold->pid)
			rc = ws_buf_addf(buf, " of %u", hold->pid);
		if (rc == 0 && hold->gid[0])
			rc = ws_buf_addstr(buf, " ") ||
			     ws_put_text(buf, &ex->opt.screen, hold->gid, strlen(hold->gid), 0);
		rc = rc || ws_buf_addf(buf, " (%sxid %u",
				       hold->snapshot ? "its snapshot sees " : "", hold->xid);
		if (rc == 0 && ws_wal_age(&r->wal, hold->xid, &age))
			rc = ws_buf_addf(buf, ", %s back", ws_count_format(age, count));
		if (rc == 0 && hold->since_ns)
			rc = ws_buf_addf(buf, ", since %.19s%s",
					 ws_time_format(hold->since_ns, time),
					 hold->slot ? " at the latest" : "");
		rc = rc || ws_buf_addstr(buf, ")");
	}
	return rc || (r->horizon.count && ws_buf_addstr(buf, "\n")) ? -1 : 0;
}

static int put_word(const struct ws_export *ex, struct ws_buf *buf, const char *before,
		    const char *word)
{
	return word[0] && (ws_buf_addstr(buf, before) ||
			   ws_put_text(buf, &ex->opt.screen, word, strlen(word), 0));
}

/* "restart_lsn of sub is held by transaction of 4715 (xid 744, from 0/2000028, since ..., app,
 * nightly)". */
static int put_oldest(const struct ws_export *ex, const struct ws_slot_row *row, struct ws_buf *buf)
{
	const struct ws_hold *hold = &row->oldest;
	char time[WS_TIME_TEXT], lsn[WS_LSN_TEXT];
	int rc;

	if (hold->kind == WS_HOLDS_NOTHING)
		return 0;
	rc = put_word(ex, buf, "restart_lsn of ", row->slot->name) ||
	     ws_buf_addf(buf, " is held by %s", ws_holds_name(hold->kind)) ||
	     (hold->pid && ws_buf_addf(buf, " of %u", hold->pid)) ||
	     put_word(ex, buf, " ", hold->gid) ||
	     ws_buf_addf(buf, " (xid %u, from %s", hold->xid, ws_lsn_format(row->oldest_lsn, lsn));
	if (rc == 0 && hold->since_ns)
		rc = ws_buf_addf(buf, ", since %.19s", ws_time_format(hold->since_ns, time));
	return rc || put_word(ex, buf, ", ", row->oldest_user) ||
			       put_word(ex, buf, ", ", row->oldest_application) ||
			       ws_buf_addstr(buf, ")\n")
		       ? -1
		       : 0;
}

int ws_text_slots(struct ws_export *ex, const struct ws_slots_report *r)
{
	struct ws_buf buf = { 0 };
	int rc;

	rc = (ex->state && ws_buf_addstr(&buf, "\n")) || put_head(ex, r, &buf) ||
	     (!r->count &&
	      ws_buf_addf(&buf, "no slots (max_replication_slots is %d)\n", r->max_slots)) ||
	     ws_text_flush(ex, &buf) || (r->count && print_table(ex, r));
	for (size_t i = 0; i < r->count && !rc; i++)
		rc = put_oldest(ex, &r->rows[i], &buf);
	rc = rc || put_horizon(ex, r, &buf) || ws_text_flush(ex, &buf);
	ex->state = ex; /* the next server stands apart */
	ws_buf_deinit(&buf);
	return rc ? -1 : 0;
}
