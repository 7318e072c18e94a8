/* SPDX-License-Identifier: BSD-2-Clause */
#include "export/json.h"

static json_t *session_ids(const struct ws_explained *e, int *rc)
{
	json_t *array = json_array();
	char id[WS_SESSION_ID_TEXT];

	for (size_t i = 0; i < e->session_count; i++)
		ws_json_append(array, ws_json_str(ws_session_id(e->sessions[i], id)), rc);
	return array;
}

/* Only states that took time. */
static json_t *states(const struct ws_explained *e, int *rc)
{
	json_t *object = json_object();

	for (int i = 0; i < WS_STATE_COUNT; i++)
		if (e->state_ns[i])
			ws_json_put(object, ws_state_name((enum ws_state)i),
				    ws_json_uint(e->state_ns[i]), rc);
	return object;
}

static json_t *also(const struct ws_explained *e, int *rc)
{
	json_t *array = json_array();

	for (size_t i = 0; i < e->also_count; i++)
		ws_json_append(array, ws_json_str(ws_verdict_name(e->also[i])), rc);
	return array;
}

static json_t *evidence(const struct ws_finding *finding, int *rc)
{
	json_t *array = json_array();

	for (size_t i = 0; i < finding->fact_count; i++) {
		const struct ws_fact *fact = &finding->facts[i];
		json_t *object = json_object();

		ws_json_put(object, "fact", ws_json_str(fact->fact), rc);
		ws_json_put(object, "value",
			    fact->is_text ? ws_json_str(fact->text) : ws_json_uint(fact->value),
			    rc);
		ws_json_put(object, "unit", ws_json_str_or_null(fact->unit), rc);
		ws_json_append(array, object, rc);
	}
	return array;
}

int ws_json_explained(struct ws_export *ex, const struct ws_explained *e)
{
	json_t *o = json_object();
	int rc = 0;

	ws_json_put(o, "scope", ws_json_str(ws_scope_name(e->scope)), &rc);
	ws_json_put_session(o, e->session, &rc);
	ws_json_put(o, "sessions", session_ids(e, &rc), &rc);
	ws_json_put(o, "name", ws_json_str_or_null(e->name), &rc);
	ws_json_put(o, "postmaster_pid", ws_json_uint_or_null(e->postmaster_pid), &rc);
	ws_json_put(o, "from", ws_json_time(ex, e->from_ns), &rc);
	ws_json_put(o, "to", ws_json_time(ex, e->to_ns), &rc);
	ws_json_put(o, "wall_ns", ws_json_uint(e->wall_ns), &rc);
	ws_json_put(o, "accounted_ns", ws_json_uint(e->accounted_ns), &rc);
	ws_json_put(o, "states", states(e, &rc), &rc);
	ws_json_put(o, "verdict", ws_json_str(ws_verdict_name(e->verdict)), &rc);
	ws_json_put(o, "also", also(e, &rc), &rc);
	ws_json_put(o, "confidence", ws_json_real(e->finding.confidence, 0.01), &rc);
	ws_json_put(o, "evidence", evidence(&e->finding, &rc), &rc);
	ws_json_put(o, "text", ws_json_str(e->finding.text), &rc);
	ws_json_put(o, "advice", ws_json_str(e->finding.advice), &rc);
	return ws_json_line(ex, o, rc);
}
