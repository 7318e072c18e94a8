/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/util.h"
#include "export/json.h"

static json_t *site(const struct ws_entry_site *site, int *rc)
{
	json_t *o;

	if (!site->found)
		return json_null();
	o = json_object();
	ws_json_put(o, "offset", ws_json_hex(site->offset), rc);
	ws_json_put(o, "cost", ws_json_str(ws_code_cost_name(site->cost)), rc);
	ws_json_put(o, "instruction", ws_json_str(site->instruction), rc);
	return o;
}

static json_t *symbol(const struct ws_symbol_row *row, int *rc)
{
	const struct ws_symbol *s = row->symbol;
	bool found = s->status == WS_SYMBOL_FOUND;
	json_t *o = json_object(), *into = json_array();

	for (size_t n = 0; n < WS_SYMBOL_INTO_MAX && s->into[n]; n++)
		ws_json_append(into, ws_json_str(s->into[n]), rc);
	ws_json_put(o, "name", ws_json_str(s->name), rc);
	ws_json_put(o, "status", ws_json_str(ws_symbol_status_name(s->status)), rc);
	ws_json_put(o, "address", found ? ws_json_hex(s->address) : json_null(), rc);
	ws_json_put(o, "offset", row->has_offset ? ws_json_hex(row->offset) : json_null(), rc);
	ws_json_put(o, "source", ws_json_str_or_null(ws_symbol_source_name(s->source)), rc);
	ws_json_put(o, "confidence", found ? ws_json_real(s->confidence, 1e-3) : json_null(), rc);
	ws_json_put(o, "into", into, rc);
	ws_json_put(o, "site", site(&row->site, rc), rc);
	ws_json_put(o, "kind", ws_json_str(s->is_variable ? "variable" : "function"), rc);
	ws_json_put(o, "size", found ? ws_json_uint_or_null(s->size) : json_null(), rc);
	return o;
}

static json_t *steps(const struct ws_symbol_set *set, int *rc)
{
	static const char *const outcomes[] = {
		[WS_STEP_NOT_NEEDED] = "not_needed",
		[WS_STEP_OFF] = "off",
		[WS_STEP_NOTHING] = "nothing",
		[WS_STEP_DONE] = "done",
	};
	json_t *array = json_array();

	for (int i = 0; i < WS_STEP_COUNT && !set->from_cache; i++) {
		const struct ws_step_report *report = &set->steps[i];
		json_t *o;

		if (i == WS_STEP_ALTLINK)
			continue;
		o = json_object();
		ws_json_put(o, "step", ws_json_str(ws_step_name((enum ws_step)i)), rc);
		ws_json_put(o, "outcome", ws_json_str(outcomes[report->outcome]), rc);
		ws_json_put(o, "found", ws_json_uint(report->found), rc);
		ws_json_put(o, "took_ns", ws_json_uint(report->took_ns), rc);
		ws_json_put(o, "file", ws_json_str(report->file), rc);
		ws_json_append(array, o, rc);
	}
	return array;
}

int ws_json_symbols(struct ws_export *ex, const struct ws_symbol_report *report)
{
	json_t *o = json_object(), *symbols = json_array();
	int rc = 0;

	for (size_t i = 0; i < report->count; i++)
		ws_json_append(symbols, symbol(&report->rows[i], &rc), &rc);
	ws_json_put(o, "file", ws_json_str(report->file), &rc);
	ws_json_put(o, "build_id", ws_json_str_or_null(report->build_id), &rc);
	ws_json_put(o, "arch", ws_json_str(report->arch), &rc);
	ws_json_put(o, "version", ws_json_str(report->version), &rc);
	ws_json_put(o, "major", json_integer(report->major), &rc);
	ws_json_put(o, "stripped", ws_json_bool(report->stripped), &rc);
	ws_json_put(o, "resolve_ms", ws_json_real((double)report->set->resolve_ns / 1e6, 1e-3),
		    &rc);
	ws_json_put(o, "cached", ws_json_bool(report->set->from_cache), &rc);
	ws_json_put(o, "steps", steps(report->set, &rc), &rc);
	ws_json_put(o, "symbols", symbols, &rc);
	return ws_json_line(ex, o, rc);
}
