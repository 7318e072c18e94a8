/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * text_doctor.c: what doctor found, for a person: first whether tracing works, last what to do.
 */
#include <string.h>

#include "base/util.h"
#include "export/text.h"

struct page {
	const struct ws_export *ex;
	struct ws_buf buf;
	int rc;
};

__attribute__((format(printf, 2, 3))) static void add(struct page *p, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	p->rc = p->rc || ws_buf_addstr(&p->buf, text) ? -1 : 0;
}

static void add_text(struct page *p, const char *text)
{
	p->rc = p->rc || ws_put_text(&p->buf, &p->ex->opt.screen, text, strlen(text), 0) ? -1 : 0;
}

static void add_colored(struct page *p, enum ws_color color, const char *text)
{
	p->rc = p->rc || ws_put_color(&p->buf, &p->ex->opt.screen, color, text) ? -1 : 0;
}

static void add_yes_no(struct page *p, const char *name, bool good, bool needed)
{
	add(p, "  %-19s ", name);
	if (good)
		add_colored(p, WS_COLOR_GREEN, "yes");
	else
		add_colored(p, needed ? WS_COLOR_RED : WS_COLOR_YELLOW, "no");
	add(p, "%s", good || needed ? "" : " (not needed)");
}

static void add_check(struct page *p, const char *name, bool good, bool needed)
{
	add_yes_no(p, name, good, needed);
	add(p, "\n");
}

static void print_kernel(struct page *p, const struct ws_doctor *d)
{
	const struct ws_kernel_features *k = &d->kernel;
	bool planted = k->uprobe_multi || k->uprobe_perf;

	add_colored(p, WS_COLOR_BOLD, "kernel");
	add(p, " ");
	add_text(p, k->release[0] ? k->release : "?");
	add(p, "\n");
	add_check(p, "bpf()", k->bpf_allowed, true);
	add_check(p, "ring buffer", k->ring_buffer, true);
	add_check(p, "BTF", k->btf, true);
	add_check(p, "uprobe_multi", k->uprobe_multi, !planted);
	add_check(p, "perf uprobes", k->uprobe_perf, !planted);
	add_check(p, "attach cookies", k->attach_cookie, false);
	add_check(p, "process_vm_readv", k->process_vm_readv, true);
	add_check(p, "task iterator", k->task_iterator, false);
}

static void print_privileges(struct page *p, const struct ws_doctor *d)
{
	const struct ws_privileges *q = &d->privileges;
	char fix[WS_PRIVILEGES_FIX], missing[WS_PRIVILEGES_TEXT];
	bool explain;

	add_colored(p, WS_COLOR_BOLD, "privileges");
	add(p, "%s\n", q->root ? " root" : "");
	explain = p->ex->opt.screen.verbose || ws_privileges_missing(q, missing);
	for (int i = 0; i < WS_PRIVILEGE_COUNT; i++) {
		/* It includes others, and is needed nearly nowhere. */
		if (i == WS_PRIVILEGE_SYS_ADMIN && !q->list[i].need)
			continue;
		add_yes_no(p, q->list[i].name, q->list[i].have, q->list[i].need);
		add(p, "%s%s\n", explain ? "  " : "", explain ? q->list[i].purpose : "");
	}
	if (!explain)
		return;
	ws_privileges_setcap(q, fix);
	add(p, "  without root: ");
	add_text(p, fix);
	ws_privileges_ambient(q, fix);
	add(p, "\n  in a unit:    ");
	add_text(p, fix);
	add(p, "\n");
}

/* How many were found how, and with -v each by name. */
static void print_symbols(struct page *p, const struct ws_doctor_server *s)
{
	add(p, "  symbols   ");
	p->rc = p->rc || ws_text_put_symbol_counts(&p->buf, &s->symbols) ? -1 : 0;
	add(p, "\n");
	for (size_t i = 0; i < s->symbols.count && p->ex->opt.screen.verbose; i++) {
		const struct ws_symbol *symbol = &s->symbols.symbols[i];

		add(p, "            %-32s %-8s", symbol->name,
		    ws_symbol_status_name(symbol->status));
		if (symbol->status == WS_SYMBOL_FOUND)
			add(p, " 0x%-8llx %s %.2f", (unsigned long long)symbol->address,
			    ws_symbol_source_name(symbol->source), symbol->confidence);
		for (size_t n = 0; n < WS_SYMBOL_INTO_MAX && symbol->into[n]; n++)
			add(p, "%s%s", n ? ", " : " into ", symbol->into[n]);
		add(p, "\n");
	}
}

/* Sites that are not planted are named below the table, all of one kind in a line. */
static int plan_row(struct ws_table *t, const struct ws_planned *site)
{
	const char *function = site->function ? site->function : site->probe->function;
	bool planted = site->status == WS_PLAN_PLANTED;
	bool cheap = site->cost == WS_COST_EMULATED;
	const char *instruction = planted ? site->instruction : site->reason;
	char address[24] = "-";

	if (planted)
		snprintf(address, sizeof(address), "0x%llx", (unsigned long long)site->offset);
	return ws_table_cell(t, WS_COLOR_NONE, " ") ||
	       ws_table_cell(t, WS_COLOR_BOLD, site->probe->name) ||
	       ws_table_cell(t, WS_COLOR_NONE, ws_site_kind_name(site->probe->kind)) ||
	       ws_table_text(t, function, strlen(function)) ||
	       ws_table_cell(t, WS_COLOR_DIM,
			     planted ? ws_symbol_source_name(site->source) : "-") ||
	       ws_table_cell(t, WS_COLOR_NONE, address) ||
	       ws_table_cell(t,
			     !planted ? WS_COLOR_RED
			     : cheap  ? WS_COLOR_GREEN
				      : WS_COLOR_YELLOW,
			     planted ? ws_code_cost_name(site->cost) : "missing") ||
	       ws_table_text(t, instruction, strlen(instruction));
}

static void print_others(struct page *p, const struct ws_plan *plan, enum ws_plan_status status,
			 const char *title)
{
	bool any = false;

	for (size_t i = 0; i < plan->count; i++) {
		if (plan->sites[i].status != status)
			continue;
		add(p, "%s%s", any ? " " : title, plan->sites[i].probe->name);
		any = true;
	}
	if (any)
		add(p, "\n");
}

static void print_plan(struct page *p, const struct ws_doctor_server *s)
{
	static const struct ws_column columns[] = {
		{ .title = "" },       { .title = "PROBE" },
		{ .title = "KIND" },   { .title = "FUNCTION", .flexible = true },
		{ .title = "SOURCE" }, { .title = "OFFSET", .right = true },
		{ .title = "COST" },   { .title = "INSTRUCTION", .flexible = true },
	};
	struct ws_table *t;
	size_t stepped = 0;

	if (!s->plan.count)
		return;
	for (size_t i = 0; i < s->plan.count; i++)
		if (s->plan.sites[i].status == WS_PLAN_PLANTED &&
		    s->plan.sites[i].cost != WS_COST_EMULATED)
			stepped++;
	add(p, "  plan      %zu of %zu sites at level %d, %zu of them dear (single-stepped)\n",
	    s->plan.planted, s->plan.count, s->plan.level, stepped);
	t = ws_table_new(&p->ex->opt.screen, columns, WS_ARRAY_SIZE(columns));
	if (!t) {
		p->rc = -1;
		return;
	}
	for (size_t i = 0; i < s->plan.count && p->rc == 0; i++) {
		enum ws_plan_status status = s->plan.sites[i].status;

		if (status == WS_PLAN_PLANTED || status == WS_PLAN_MISSING)
			p->rc = plan_row(t, &s->plan.sites[i]) ? -1 : 0;
	}
	if (p->rc == 0)
		p->rc = ws_text_flush(p->ex, &p->buf) || ws_table_print(t, p->ex->opt.out) ? -1 : 0;
	ws_table_free(t);
	print_others(p, &s->plan, WS_PLAN_NOT_AT_LEVEL, "    not at this level: ");
	print_others(p, &s->plan, WS_PLAN_NOT_IN_MAJOR, "    not in this version: ");
}

static void print_server(struct page *p, const struct ws_doctor_server *s)
{
	add(p, "\n");
	add_colored(p, WS_COLOR_BOLD, "server ");
	add_text(p, s->file);
	add(p, "%s\n", s->deleted ? " (deleted)" : "");
	if (s->version[0]) {
		add(p, "  version   PostgreSQL ");
		add_text(p, s->version);
		add(p, "\n");
	}
	if (s->arch)
		add(p, "  machine   %s%s\n", s->arch, s->stripped ? ", stripped" : "");
	if (s->build_id[0])
		add(p, "  build id  %s\n", s->build_id);
	for (size_t i = 0; i < s->process_count; i++) {
		const struct ws_doctor_process *q = &s->processes[i];

		add(p, "  runs      postmaster %u", q->pid);
		if (q->ns_pid && q->ns_pid != q->pid)
			add(p, " (%u)", q->ns_pid);
		add(p, " on ");
		add_text(p, q->datadir);
		add(p, "\n");
	}
	if (s->symbols.count)
		print_symbols(p, s);
	if (s->layout.source)
		add(p, "  layout    %s\n", ws_layout_source_name(s->layout.source));
	print_plan(p, s);
}

static void print_live(struct page *p, const struct ws_doctor *d)
{
	const struct ws_doctor_live *l = &d->live;
	char attach[WS_DURATION_TEXT], detach[WS_DURATION_TEXT], time[WS_DURATION_TEXT];
	char produced[WS_COUNT_TEXT], lost[WS_COUNT_TEXT];

	if (!d->live_asked)
		return;
	add(p, "\n");
	add_colored(p, WS_COLOR_BOLD, "live");
	if (!l->ran) {
		add(p, " not traced\n");
		return;
	}
	add(p, " %s, %u server%s; attached in %s, detached in %s; %s events, %s lost\n",
	    ws_duration_format(l->seconds_ns, time), l->servers, l->servers == 1 ? "" : "s",
	    ws_duration_format(l->attach_ns, attach), ws_duration_format(l->detach_ns, detach),
	    ws_count_format(l->produced, produced), ws_count_format(l->lost, lost));
	for (size_t i = 0; i < l->note_count; i++) {
		add(p, "  ");
		add_text(p, l->notes[i]);
		add(p, "\n");
	}
}

static size_t print_problems(struct page *p, const struct ws_problem_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		add(p, "  ");
		add_colored(p, WS_COLOR_RED, p->ex->opt.screen.utf8 ? "✗" : "x");
		add(p, " ");
		add_text(p, list->items[i].what);
		if (list->items[i].fix[0]) {
			add(p, "\n      ");
			add_text(p, list->items[i].fix);
		}
		add(p, "\n");
	}
	return list->count;
}

int ws_text_doctor(struct ws_export *ex, const struct ws_doctor *d)
{
	struct page p = { .ex = ex };
	size_t problems = d->problems.count;

	print_kernel(&p, d);
	print_privileges(&p, d);
	for (size_t i = 0; i < d->server_count; i++) {
		print_server(&p, &d->servers[i]);
		problems += d->servers[i].problems.count;
	}
	print_live(&p, d);
	add(&p, "\n");
	if (problems)
		add_colored(&p, WS_COLOR_BOLD, "problems\n");
	print_problems(&p, &d->problems);
	for (size_t i = 0; i < d->server_count; i++)
		print_problems(&p, &d->servers[i].problems);
	add_colored(&p, d->ok ? WS_COLOR_GREEN : WS_COLOR_RED,
		    d->ok ? "tracing will work here" : "tracing will not work here");
	add(&p, "\n");
	if (p.rc == 0)
		p.rc = ws_text_flush(ex, &p.buf);
	ws_buf_deinit(&p.buf);
	return p.rc;
}
