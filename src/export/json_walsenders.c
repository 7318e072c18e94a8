/* SPDX-License-Identifier: BSD-2-Clause */
/* The walsenders in a server's shared memory, with the fields of `ps`. */
#include "base/util.h"
#include "export/json.h"

static json_t *one(const struct ws_show *show, const struct ws_show_walsender *w, int *rc)
{
	/* Not in shared memory. */
	static const char *const unknown[] = { "command_ns", "wait_event", "sync_state" };
	char start[WS_TIME_TEXT], session[WS_SESSION_ID_TEXT], client[WS_CLIENT_TEXT];
	json_t *o = json_object();

	ws_json_put(o, "session",
		    ws_json_str(w->pid ? ws_session_id_format(w->pid, w->start_ns, session) : NULL),
		    rc);
	ws_json_put(o, "pid", ws_json_uint_or_null(w->pid), rc);

	for (size_t i = 0; i < WS_ARRAY_SIZE(unknown); i++)
		ws_json_put(o, unknown[i], json_null(), rc);
	ws_json_put(o, "ns_pid", ws_json_uint(w->ns_pid), rc);
	ws_json_put(o, "postmaster_pid", ws_json_uint_or_null(show->session->postmaster_pid), rc);
	ws_json_put(o, "datadir", ws_json_str(show->datadir), rc);
	ws_json_put(o, "version", ws_json_str(show->version), rc);
	ws_json_put(o, "kind", ws_json_str(w->kind), rc);
	ws_json_put(o, "state", ws_json_str(w->state), rc);
	ws_json_put(o, "user", ws_json_str(w->user), rc);
	ws_json_put(o, "database", ws_json_str(w->database), rc);
	ws_json_put(o, "application_name", ws_json_str(w->application), rc);
	ws_json_put(o, "client",
		    ws_json_str(w->host ? ws_client_format(w->host, w->port, client) : NULL), rc);
	ws_json_put(o, "user_oid", w->has_oids ? ws_json_uint(w->user_oid) : json_null(), rc);
	ws_json_put(o, "database_oid",
		    w->has_oids ? ws_json_uint_or_null(w->database_oid) : json_null(), rc);
	ws_json_put(o, "slot", ws_json_str(w->slot), rc);
	ws_json_put(o, "command", ws_json_str(w->command), rc);
	ws_json_put(o, "sent_lsn", ws_json_lsn(w->sent_lsn), rc);
	ws_json_put(o, "write_lsn", ws_json_lsn(w->write_lsn), rc);
	ws_json_put(o, "flush_lsn", ws_json_lsn(w->flush_lsn), rc);
	ws_json_put(o, "apply_lsn", ws_json_lsn(w->apply_lsn), rc);
	ws_json_put(o, "sync_priority",
		    w->sync_priority < 0 ? json_null() : ws_json_uint((uint64_t)w->sync_priority),
		    rc);
	ws_json_put(o, "start",
		    w->start_wall_ns ? ws_json_str(ws_time_format(w->start_wall_ns, start))
				     : json_null(),
		    rc);
	return o;
}

json_t *ws_json_walsenders(const struct ws_show *show, int *rc)
{
	json_t *array;

	if (!show->has_walsenders)
		return json_null();
	array = json_array();
	for (size_t i = 0; i < show->walsender_count; i++)
		ws_json_append(array, one(show, &show->walsenders[i], rc), rc);
	return array;
}
