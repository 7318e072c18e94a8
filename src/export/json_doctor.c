/* SPDX-License-Identifier: BSD-2-Clause */
#include "export/json.h"

#include "base/util.h"

static json_t *problems(const struct ws_problem_list *list, int *rc)
{
	json_t *array = json_array();

	for (size_t i = 0; i < list->count; i++) {
		json_t *o = json_object();

		ws_json_put(o, "what", ws_json_str(list->items[i].what), rc);
		ws_json_put(o, "fix", ws_json_str_or_null(list->items[i].fix), rc);
		ws_json_append(array, o, rc);
	}
	return array;
}

static json_t *features(const struct ws_kernel_features *kernel, int *rc)
{
	const struct {
		const char *name;
		bool value;
	} rows[] = {
		{ "bpf", kernel->bpf_allowed },
		{ "ring_buffer", kernel->ring_buffer },
		{ "btf", kernel->btf },
		{ "uprobe_multi", kernel->uprobe_multi },
		{ "uprobe_perf", kernel->uprobe_perf },
		{ "attach_cookie", kernel->attach_cookie },
		{ "process_vm_readv", kernel->process_vm_readv },
		{ "task_iterator", kernel->task_iterator },
	};
	json_t *o = json_object();

	for (size_t i = 0; i < WS_ARRAY_SIZE(rows); i++)
		ws_json_put(o, rows[i].name, ws_json_bool(rows[i].value), rc);
	return o;
}

static json_t *sysctl_value(int value)
{
	return value == WS_SYSCTL_UNKNOWN ? json_null() : json_integer(value);
}

static json_t *privileges(const struct ws_privileges *p, int *rc)
{
	char setcap[WS_PRIVILEGES_FIX], ambient[WS_PRIVILEGES_FIX];
	json_t *o = json_object(), *capabilities = json_array();

	for (int i = 0; i < WS_PRIVILEGE_COUNT; i++) {
		const struct ws_privilege *q = &p->list[i];
		json_t *row = json_object();

		ws_json_put(row, "name", ws_json_str(q->name), rc);
		ws_json_put(row, "have", ws_json_bool(q->have), rc);
		ws_json_put(row, "need", ws_json_bool(q->need), rc);
		ws_json_put(row, "purpose", ws_json_str(q->purpose), rc);
		ws_json_append(capabilities, row, rc);
	}
	ws_privileges_setcap(p, setcap);
	ws_privileges_ambient(p, ambient);
	ws_json_put(o, "root", ws_json_bool(p->root), rc);
	ws_json_put(o, "cap_bpf", ws_json_bool(p->list[WS_PRIVILEGE_BPF].have), rc);
	ws_json_put(o, "cap_perfmon", ws_json_bool(p->list[WS_PRIVILEGE_PERFMON].have), rc);
	ws_json_put(o, "cap_sys_ptrace", ws_json_bool(p->list[WS_PRIVILEGE_SYS_PTRACE].have), rc);
	ws_json_put(o, "perf_event_paranoid", sysctl_value(p->perf_event_paranoid), rc);
	ws_json_put(o, "ptrace_scope", sysctl_value(p->ptrace_scope), rc);
	ws_json_put(o, "capabilities", capabilities, rc);
	ws_json_put(o, "setcap", ws_json_str(setcap), rc);
	ws_json_put(o, "systemd", ws_json_str(ambient), rc);
	return o;
}

static json_t *symbols(const struct ws_symbol_set *set, int *rc)
{
	json_t *all = json_object();

	for (size_t i = 0; i < set->count; i++) {
		const struct ws_symbol *s = &set->symbols[i];
		bool found = s->status == WS_SYMBOL_FOUND;
		json_t *o = json_object(), *into = json_array();

		for (size_t n = 0; n < WS_SYMBOL_INTO_MAX && s->into[n]; n++)
			ws_json_append(into, ws_json_str(s->into[n]), rc);
		ws_json_put(o, "status", ws_json_str(ws_symbol_status_name(s->status)), rc);
		ws_json_put(o, "address", found ? ws_json_hex(s->address) : json_null(), rc);
		ws_json_put(o, "source", ws_json_str_or_null(ws_symbol_source_name(s->source)), rc);
		ws_json_put(o, "confidence",
			    found ? ws_json_real(s->confidence, 1e-3) : json_null(), rc);
		ws_json_put(o, "into", into, rc);
		ws_json_put(all, s->name, o, rc);
	}
	return all;
}

static const char *plan_status_name(enum ws_plan_status status)
{
	static const char *const names[] = {
		[WS_PLAN_PLANTED] = "planted",
		[WS_PLAN_NOT_AT_LEVEL] = "not_at_level",
		[WS_PLAN_NOT_IN_MAJOR] = "not_in_major",
		[WS_PLAN_MISSING] = "missing",
	};

	return (size_t)status < WS_ARRAY_SIZE(names) ? names[status] : NULL;
}

static json_t *plan(const struct ws_plan *p, int *rc)
{
	json_t *array = json_array();

	for (size_t i = 0; i < p->count; i++) {
		const struct ws_planned *site = &p->sites[i];
		bool has_site = site->status == WS_PLAN_PLANTED;
		json_t *o = json_object();

		ws_json_put(o, "probe", ws_json_str(site->probe->name), rc);
		ws_json_put(o, "function",
			    ws_json_str(site->function ? site->function : site->probe->function),
			    rc);
		ws_json_put(o, "kind", ws_json_str(ws_site_kind_name(site->probe->kind)), rc);
		ws_json_put(o, "offset", has_site ? ws_json_hex(site->offset) : json_null(), rc);
		ws_json_put(o, "instruction",
			    ws_json_str_or_null(has_site ? site->instruction : NULL), rc);
		ws_json_put(o, "cost", ws_json_str(has_site ? ws_code_cost_name(site->cost) : NULL),
			    rc);
		ws_json_put(o, "level", json_integer(site->level), rc);
		ws_json_put(
			o, "source",
			ws_json_str_or_null(has_site ? ws_symbol_source_name(site->source) : NULL),
			rc);
		ws_json_put(o, "status", ws_json_str(plan_status_name(site->status)), rc);
		ws_json_put(o, "reason", ws_json_str_or_null(site->reason), rc);
		ws_json_append(array, o, rc);
	}
	return array;
}

static json_t *processes(const struct ws_doctor_server *server, int *rc)
{
	json_t *array = json_array();

	for (size_t i = 0; i < server->process_count; i++) {
		const struct ws_doctor_process *p = &server->processes[i];
		json_t *o = json_object();

		ws_json_put(o, "pid", ws_json_uint(p->pid), rc);
		ws_json_put(o, "ns_pid", ws_json_uint_or_null(p->ns_pid), rc);
		ws_json_put(o, "datadir", ws_json_str_or_null(p->datadir), rc);
		ws_json_append(array, o, rc);
	}
	return array;
}

static json_t *server_object(const struct ws_doctor_server *s, int *rc)
{
	bool opened = s->arch != NULL;
	json_t *o = json_object();

	ws_json_put(o, "file", ws_json_str(s->file), rc);
	ws_json_put(o, "version", ws_json_str_or_null(s->version), rc);
	ws_json_put(o, "build_id", ws_json_str_or_null(s->build_id), rc);
	ws_json_put(o, "symbols", symbols(&s->symbols, rc), rc);
	ws_json_put(o, "plan", plan(&s->plan, rc), rc);
	ws_json_put(o, "problems", problems(&s->problems, rc), rc);
	ws_json_put(o, "arch", ws_json_str(s->arch), rc);
	ws_json_put(o, "stripped", opened ? ws_json_bool(s->stripped) : json_null(), rc);
	ws_json_put(o, "deleted", ws_json_bool(s->deleted), rc);
	ws_json_put(o, "layout",
		    ws_json_str(s->layout.source ? ws_layout_source_name(s->layout.source) : NULL),
		    rc);
	ws_json_put(o, "resolve_ns", ws_json_uint_or_null(s->symbols.resolve_ns), rc);
	ws_json_put(o, "processes", processes(s, rc), rc);
	return o;
}

static json_t *live_object(const struct ws_doctor_live *live, int *rc)
{
	json_t *o = json_object(), *notes = json_array();

	for (size_t i = 0; i < live->note_count; i++)
		ws_json_append(notes, ws_json_str(live->notes[i]), rc);
	ws_json_put(o, "ok", ws_json_bool(live->ran), rc);
	ws_json_put(o, "servers", live->ran ? json_integer(live->servers) : json_null(), rc);
	ws_json_put(o, "attach_ns", ws_json_uint_or_null(live->attach_ns), rc);
	ws_json_put(o, "detach_ns", ws_json_uint_or_null(live->detach_ns), rc);
	ws_json_put(o, "events", live->ran ? ws_json_uint(live->produced) : json_null(), rc);
	ws_json_put(o, "lost", live->ran ? ws_json_uint(live->lost) : json_null(), rc);
	ws_json_put(o, "notes", notes, rc);
	return o;
}

int ws_json_doctor(struct ws_export *ex, const struct ws_doctor *doctor)
{
	json_t *o = json_object(), *servers = json_array();
	int rc = 0;

	for (size_t i = 0; i < doctor->server_count; i++)
		ws_json_append(servers, server_object(&doctor->servers[i], &rc), &rc);
	ws_json_put(o, "ok", ws_json_bool(doctor->ok), &rc);
	ws_json_put(o, "kernel", ws_json_str_or_null(doctor->kernel.release), &rc);
	ws_json_put(o, "features", features(&doctor->kernel, &rc), &rc);
	ws_json_put(o, "privileges", privileges(&doctor->privileges, &rc), &rc);
	ws_json_put(o, "servers", servers, &rc);
	ws_json_put(o, "problems", problems(&doctor->problems, &rc), &rc);
	if (doctor->live_asked)
		ws_json_put(o, "live", live_object(&doctor->live, &rc), &rc);
	return ws_json_line(ex, o, rc);
}
