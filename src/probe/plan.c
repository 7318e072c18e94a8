/* SPDX-License-Identifier: BSD-2-Clause */
#include "probe/plan.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "layout/layout.h"
#include "probe/site.h"

static const char what[] = "cannot plan the probes";

/* WaitEventSetWait(set, timeout, occurred_events, nevents, wait_event_info), storage/latch.h. */
#define WAIT_EVENT_ARG 3

static const struct {
	const char *name;
	size_t slot;
} variables[] = {
	{ "am_walsender", offsetof(struct ws_variables, am_walsender) },
	{ "am_db_walsender", offsetof(struct ws_variables, am_db_walsender) },
	{ "MyProcPid", offsetof(struct ws_variables, my_proc_pid) },
	{ "MyProcPort", offsetof(struct ws_variables, my_proc_port) },
	{ "MyWalSnd", offsetof(struct ws_variables, my_walsnd) },
	{ "MyReplicationSlot", offsetof(struct ws_variables, my_replication_slot) },
	{ "errordata", offsetof(struct ws_variables, errordata) },
	{ "errordata_stack_depth", offsetof(struct ws_variables, errordata_stack_depth) },
	{ "PqSendPointer", offsetof(struct ws_variables, pq_send_pointer) },
	{ "PqSendStart", offsetof(struct ws_variables, pq_send_start) },
	{ "XLogSendLogical", offsetof(struct ws_variables, xlog_send_logical) },
	{ "am_cascading_walsender", offsetof(struct ws_variables, am_cascading_walsender) },
	{ "pgStatSessionEndCause", offsetof(struct ws_variables, session_end_cause) },
	{ "log_min_messages", offsetof(struct ws_variables, log_min_messages) },
	{ "MyProc", offsetof(struct ws_variables, my_proc) },
	{ "my_wait_event_info", offsetof(struct ws_variables, my_wait_event_info) },
};

/* Names of functions, whose errors the programs tell by them. Of two for a slot the later one
 * counts.
 */
static const struct {
	const char *name;
	size_t slot;
} strings[] = {
	/* postmaster.c, from 17 on backend_startup.c */
	{ "ProcessStartupPacket", offsetof(struct ws_variables, startup_packet_name) },
	/* slot.c: 13 to 15, and from 16 on */
	{ "InvalidatePossiblyObsoleteSlot", offsetof(struct ws_variables, slot_invalidate_name) },
	{ "ReportSlotInvalidation", offsetof(struct ws_variables, slot_invalidate_name) },
};
_Static_assert((WS_ARRAY_SIZE(variables) + 2) * sizeof(__u64) == sizeof(struct ws_variables),
	       "every member of struct ws_variables needs its row");

struct planner {
	const struct ws_image *image;
	const struct ws_symbol_set *symbols;
	int major;
	struct ws_plan *plan;
};

/* Why a function cannot be used: "WalSndWait not found (inlined into WalSndLoop)". */
static void explain_symbol(const struct planner *p, const char *name, char *out, size_t size)
{
	const struct ws_symbol *symbol = ws_symbol_find(p->symbols, name);

	if (!symbol)
		snprintf(out, size, "%s not found (not looked for)", name);
	else if (symbol->status == WS_SYMBOL_INLINED && symbol->into[0])
		snprintf(out, size, "%s not found (inlined into %s)", name, symbol->into[0]);
	else
		snprintf(out, size, "%s not found (%s)", name,
			 ws_symbol_status_name(symbol->status));
}

/* The symbol of the function the site goes into; NULL with the reason if there is none. */
static const struct ws_symbol *find_function(const struct planner *p, struct ws_planned *planned)
{
	const struct ws_probe *probe = planned->probe;
	const char *names[] = { probe->function, probe->stand_in };

	/* Stays as a remark where the stand-in serves. */
	if (!ws_symbol_address(p->symbols, probe->function))
		explain_symbol(p, probe->function, planned->reason, sizeof(planned->reason));
	for (size_t i = 0; i < WS_ARRAY_SIZE(names) && names[i]; i++) {
		const struct ws_symbol *symbol = ws_symbol_find(p->symbols, names[i]);

		if (!symbol || symbol->status != WS_SYMBOL_FOUND)
			continue;
		planned->function = names[i];
		planned->source = symbol->source;
		planned->confidence = symbol->confidence;
		return symbol;
	}
	return NULL;
}

static bool is_taken(const void *arg, uint64_t address)
{
	const struct ws_plan *plan = arg;

	for (size_t i = 0; i < plan->count; i++) {
		const struct ws_planned *other = &plan->sites[i];

		if (other->address == address &&
		    (other->status == WS_PLAN_PLANTED || other->status == WS_PLAN_NOT_AT_LEVEL))
			return true;
	}
	return false;
}

/* "PqCommMethods+0x10": the variable and the slot of the table it points to. */
static bool parse_slot(const char *callee, char *variable, size_t size, int64_t *slot)
{
	const char *plus = strchr(callee, '+');
	char *rest;

	if (!plus || (size_t)(plus - callee) >= size)
		return false;
	memcpy(variable, callee, (size_t)(plus - callee));
	variable[plus - callee] = '\0';
	*slot = strtoll(plus + 1, &rest, 16);
	return *rest == '\0' && rest != plus + 1;
}

/* False with the reason if the callee is not known. */
static bool find_callee(const struct planner *p, struct ws_planned *planned,
			struct ws_site_query *query)
{
	const struct ws_probe *probe = planned->probe;
	const struct ws_symbol *symbol;
	char variable[64];

	if (!probe->callee)
		return true;
	if (parse_slot(probe->callee, variable, sizeof(variable), &query->slot)) {
		query->table = ws_symbol_address(p->symbols, variable);
		if (!query->table)
			explain_symbol(p, variable, planned->reason, sizeof(planned->reason));
		return query->table != 0;
	}
	if (probe->condition) {
		query->condition = ws_symbol_address(p->symbols, probe->condition);
		if (!query->condition) {
			explain_symbol(p, probe->condition, planned->reason,
				       sizeof(planned->reason));
			return false;
		}
	}
	symbol = ws_symbol_find(p->symbols, probe->callee);
	if (!symbol) {
		/* Not looked for: the server exports it, or it is an import. */
		const struct ws_image_symbol *exported = ws_image_symbol(p->image, probe->callee);

		query->callee = exported && exported->is_function ? exported->address : 0;
		return true;
	}
	query->callee = ws_symbol_address(p->symbols, probe->callee);
	if (!query->callee && probe->pick == WS_PICK_BEHIND_FALSE)
		return true; /* the code around it tells, in most builds */
	if (!query->callee)
		explain_symbol(p, probe->callee, planned->reason, sizeof(planned->reason));
	return query->callee != 0;
}

/* False with the reason if what a stand-in tests is not known. */
static bool find_guard(const struct planner *p, struct ws_planned *planned,
		       struct ws_site_query *query)
{
	const struct ws_probe *probe = planned->probe;

	if (!probe->guard || planned->function != probe->stand_in)
		return true;
	query->guard = ws_symbol_address(p->symbols, probe->guard);
	if (!query->guard)
		explain_symbol(p, probe->guard, planned->reason, sizeof(planned->reason));
	return query->guard != 0;
}

/* Two rows for the entry of one and the same code (folded by the linker) could not be told apart.
 */
static bool is_folded(const struct planner *p, struct ws_planned *planned, uint64_t function)
{
	for (const struct ws_planned *other = p->plan->sites; other < planned; other++) {
		if (other->probe->kind != WS_SITE_ENTRY || !other->function ||
		    planned->probe->kind != WS_SITE_ENTRY ||
		    ws_symbol_address(p->symbols, other->function) != function)
			continue;
		snprintf(planned->reason, sizeof(planned->reason), "%s and %s are the same code",
			 planned->function, other->function);
		return true;
	}
	return false;
}

/* config.h: the WaitEvent WalSndWait hands to WaitEventSetWait lies in its frame. */
static void note_wait_event(const struct planner *p, const struct ws_body *body,
			    const struct ws_site_choice *choice)
{
	int reg;
	int32_t disp;

	if (!ws_site_frame_argument(body, choice->call_index, choice->index, WAIT_EVENT_ARG, &reg,
				    &disp))
		return;
	p->plan->config.wait_event_reg = (__s16)reg;
	p->plan->config.wait_event_disp = disp;
}

static void plan_in_body(const struct planner *p, struct ws_planned *planned,
			 const struct ws_site_query *query, const struct ws_body *body)
{
	struct ws_site_choice choice;
	bool found = ws_site_find(body, query, &choice);
	uint64_t address;

	if (choice.no_copy)
		planned->status = WS_PLAN_NOT_IN_MAJOR;
	if (!found || choice.reason[0])
		snprintf(planned->reason, sizeof(planned->reason), "%s", choice.reason);
	if (!found)
		return;
	address = body->code.insns[choice.index].address;
	if (!ws_image_offset(p->image, address, &planned->offset)) {
		snprintf(planned->reason, sizeof(planned->reason),
			 "0x%" PRIx64 " is not in a loadable segment of the file", address);
		return;
	}
	planned->address = address;
	planned->cost = choice.cost;
	ws_code_format(p->image, address, planned->instruction, sizeof(planned->instruction));
	planned->status = planned->level <= p->plan->level ? WS_PLAN_PLANTED : WS_PLAN_NOT_AT_LEVEL;
	if (planned->probe->site == WS_SITE_WAIT_END && planned->status == WS_PLAN_PLANTED)
		note_wait_event(p, body, &choice);
}

static bool is_in_major(const struct ws_probe *probe, int major)
{
	return major >= probe->first_major && (!probe->last_major || major <= probe->last_major);
}

/* One entry per site: of its rows the one for this major, the first one if there is none. */
static void list_sites(struct planner *p, const struct ws_probe *probes, size_t count)
{
	struct ws_plan *plan = p->plan;

	for (size_t i = 0; i < count; i++) {
		size_t at = 0;

		while (at < plan->count && plan->sites[at].probe->site != probes[i].site)
			at++;
		if (at == plan->count)
			plan->sites[plan->count++].probe = &probes[i];
		else if (is_in_major(&probes[i], p->major))
			plan->sites[at].probe = &probes[i];
	}
}

static void plan_site(const struct planner *p, struct ws_planned *planned)
{
	const struct ws_probe *probe = planned->probe;
	struct ws_site_query query = { .probe = probe, .is_taken = is_taken, .arg = p->plan };
	const struct ws_symbol *function;
	struct ws_error err = { 0 };
	struct ws_body body;

	if (!is_in_major(probe, p->major)) {
		planned->status = WS_PLAN_NOT_IN_MAJOR;
		return;
	}
	planned->status = WS_PLAN_MISSING;
	function = find_function(p, planned);
	if (function && !find_guard(p, planned, &query))
		return;
	if (!function || is_folded(p, planned, function->address) ||
	    !find_callee(p, planned, &query))
		return;
	if (ws_body_load(p->image, function->address, function->size, &body, &err)) {
		snprintf(planned->reason, sizeof(planned->reason), "%s: %.120s", planned->function,
			 err.why);
		return;
	}
	plan_in_body(p, planned, &query, &body);
	ws_body_deinit(&body);
}

/* What on_sleep reads: what the process waits for, and whether output is pending. */
static bool can_sleep_tell(const struct ws_server_config *config)
{
	const struct ws_variables *var = &config->var;

	if (!var->pq_send_pointer || !var->pq_send_start)
		return false;
	return var->my_wait_event_info ||
	       (var->my_proc && config->off.proc_wait_event != WS_UNKNOWN);
}

static void fill_config(const struct planner *p, const struct ws_layout *layout)
{
	struct ws_server_config *config = &p->plan->config;

	config->level = (__u16)p->plan->level;
	config->wait_style = p->major < 14 ? WS_WAIT_STYLE_LATCH : WS_WAIT_STYLE_WALSND;
	config->off = layout->off;
	config->image_end = ws_image_end(p->image);
	for (size_t i = 0; i < WS_ARRAY_SIZE(variables); i++) {
		uint64_t address = ws_symbol_address(p->symbols, variables[i].name);

		memcpy((char *)&config->var + variables[i].slot, &address, sizeof(address));
	}
	for (size_t i = 0; i < WS_ARRAY_SIZE(strings); i++) {
		uint64_t address = ws_image_find_string(p->image, strings[i].name);

		if (address)
			memcpy((char *)&config->var + strings[i].slot, &address, sizeof(address));
	}
	config->sleep_tells = p->plan->level == 2 && can_sleep_tell(config);
}

static void set_level(const struct planner *p, struct ws_planned *planned)
{
	const struct ws_probe *probe = planned->probe;

	planned->level = probe->sleep_tells && can_sleep_tell(&p->plan->config) ? 3 : probe->level;
}

static struct ws_planned *planned_of(const struct planner *p, enum ws_site site)
{
	for (size_t i = 0; i < p->plan->count; i++)
		if (p->plan->sites[i].probe->site == site)
			return &p->plan->sites[i];
	return NULL;
}

/* Of a coarse site and its fine one the level decides, if both have a place. */
static void choose_grain(const struct planner *p)
{
	for (size_t i = 0; i < p->plan->count; i++) {
		struct ws_planned *coarse = &p->plan->sites[i];
		struct ws_planned *fine = planned_of(p, coarse->probe->coarse_of);

		if (!fine || !coarse->address || !fine->address)
			continue;
		fine->level = 3;
		(p->plan->level < 3 ? fine : coarse)->status = WS_PLAN_NOT_AT_LEVEL;
	}
}

static void note_sites(const struct planner *p)
{
	for (size_t i = 0; i < p->plan->count; i++) {
		const struct ws_planned *planned = &p->plan->sites[i];

		if (planned->status != WS_PLAN_PLANTED)
			continue;
		p->plan->config.site_addr[planned->probe->site] = planned->address;
		p->plan->planted++;
	}
}

static int check_required(const struct planner *p, struct ws_error *err)
{
	for (size_t i = 0; i < p->plan->count; i++) {
		const struct ws_planned *planned = &p->plan->sites[i];

		if (!planned->probe->required || planned->status == WS_PLAN_PLANTED)
			continue;
		ws_error_set(err, what, ws_image_path(p->image), "no place for %s in %s: %s",
			     planned->probe->name, planned->probe->function,
			     planned->status == WS_PLAN_NOT_IN_MAJOR ? "the server is too old"
								     : planned->reason);
		return ws_error_fix(err, "install the server's debug symbols, if it is a supported "
					 "PostgreSQL (10 to 18)");
	}
	return 0;
}

int ws_plan_make(const struct ws_image *image, const struct ws_symbol_set *symbols,
		 const struct ws_layout *layout, int major, int level, struct ws_plan *plan,
		 struct ws_error *err)
{
	struct planner p = { image, symbols, major, plan };
	size_t count;
	const struct ws_probe *probes = ws_catalogue(&count);

	*plan = (struct ws_plan){ .level = level };
	plan->config.wait_event_reg = -1;
	if (level < 1 || level > 3)
		return ws_error_set(err, what, ws_image_path(image), "there is no level %d", level);
	plan->sites = calloc(count, sizeof(*plan->sites));
	if (!plan->sites)
		return ws_error_errno(err, ENOMEM, what, ws_image_path(image));
	list_sites(&p, probes, count);
	fill_config(&p, layout);
	for (size_t i = 0; i < plan->count; i++) {
		set_level(&p, &plan->sites[i]);
		plan_site(&p, &plan->sites[i]);
	}
	choose_grain(&p);
	note_sites(&p);
	return check_required(&p, err);
}

void ws_plan_deinit(struct ws_plan *plan)
{
	free(plan->sites);
	plan->sites = NULL;
	plan->count = 0;
}
