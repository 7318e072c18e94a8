/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * text_symbols.c: the symbols of a server, for a person: what has an address in a table, and the
 * others by name below it.
 */
#include <string.h>

#include "base/util.h"
#include "export/text.h"

/* "24 found (20 dynsym, 4 recovered), 5 inlined, 1 unknown; in 123 ms". */
int ws_text_put_symbol_counts(struct ws_buf *buf, const struct ws_symbol_set *set)
{
	unsigned int by_status[WS_SYMBOL_ABSENT + 1] = { 0 };
	unsigned int by_source[WS_SOURCE_RECOVERED + 1] = { 0 };
	char took[WS_DURATION_TEXT];
	const char *separator = "";
	int rc;

	for (size_t i = 0; i < set->count; i++) {
		by_status[set->symbols[i].status]++;
		if (set->symbols[i].status == WS_SYMBOL_FOUND)
			by_source[set->symbols[i].source]++;
	}
	rc = ws_buf_addf(buf, "%u found", by_status[WS_SYMBOL_FOUND]);
	for (int i = WS_SOURCE_SYMTAB; i <= WS_SOURCE_RECOVERED && rc == 0; i++) {
		if (!by_source[i])
			continue;
		rc = ws_buf_addf(buf, "%s%u %s", separator[0] ? separator : " (", by_source[i],
				 ws_symbol_source_name((enum ws_symbol_source)i));
		separator = ", ";
	}
	return rc || ws_buf_addf(buf, "%s, %u inlined, %u absent, %u unknown; in %s%s",
				 separator[0] ? ")" : "", by_status[WS_SYMBOL_INLINED],
				 by_status[WS_SYMBOL_ABSENT], by_status[WS_SYMBOL_UNKNOWN],
				 ws_duration_format(set->resolve_ns, took),
				 set->from_cache ? ", from the cache" : "")
		       ? -1
		       : 0;
}

static int put_head(const struct ws_export *ex, const struct ws_symbol_report *r,
		    struct ws_buf *buf)
{
	const struct ws_screen *screen = &ex->opt.screen;

	if (ws_put_color(buf, screen, WS_COLOR_BOLD, "server ") ||
	    ws_put_text(buf, screen, r->file, strlen(r->file), 0) ||
	    ws_buf_addstr(buf, "\n  version   PostgreSQL ") ||
	    ws_put_text(buf, screen, r->version, strlen(r->version), 0) ||
	    ws_buf_addf(buf, "\n  machine   %s%s\n", r->arch, r->stripped ? ", stripped" : ""))
		return -1;
	if (r->build_id[0] && ws_buf_addf(buf, "  build id  %s\n", r->build_id))
		return -1;
	for (int i = 0; i < WS_STEP_COUNT; i++) {
		const char *file = r->set->steps[i].file;

		if (file && (ws_buf_addstr(buf, "  debug     ") ||
			     ws_put_text(buf, screen, file, strlen(file), 0) ||
			     ws_buf_addf(buf, " (%s)\n", ws_step_name((enum ws_step)i))))
			return -1;
	}
	return ws_buf_addstr(buf, "  symbols   ") || ws_text_put_symbol_counts(buf, r->set) ||
			       ws_buf_addstr(buf, "\n\n")
		       ? -1
		       : 0;
}

static enum ws_color cost_color(const struct ws_entry_site *site)
{
	if (!site->found)
		return WS_COLOR_NONE;
	return site->cost == WS_COST_EMULATED ? WS_COLOR_GREEN : WS_COLOR_YELLOW;
}

static int put_row(struct ws_table *t, const struct ws_symbol_row *row)
{
	const struct ws_symbol *s = row->symbol;
	const struct ws_entry_site *site = &row->site;
	char address[24], size[24] = "", sure[16], offset[24] = "";

	snprintf(address, sizeof(address), "0x%llx", (unsigned long long)s->address);
	if (s->size)
		snprintf(size, sizeof(size), "%llu", (unsigned long long)s->size);
	snprintf(sure, sizeof(sure), "%.2f", s->confidence);
	if (site->found)
		snprintf(offset, sizeof(offset), "0x%llx", (unsigned long long)site->offset);
	return ws_table_text(t, s->name, strlen(s->name)) ||
			       ws_table_cell(t, WS_COLOR_DIM, s->is_variable ? "data" : "code") ||
			       ws_table_cell(t, WS_COLOR_BOLD, address) ||
			       ws_table_cell(t, WS_COLOR_NONE, size) ||
			       ws_table_cell(t, WS_COLOR_DIM, ws_symbol_source_name(s->source)) ||
			       ws_table_cell(t, WS_COLOR_NONE, sure) ||
			       ws_table_cell(t, WS_COLOR_NONE, offset) ||
			       ws_table_cell(t, cost_color(site),
					     site->found ? ws_code_cost_name(site->cost) : "") ||
			       ws_table_text(t, site->instruction, strlen(site->instruction))
		       ? -1
		       : 0;
}

static int print_found(const struct ws_export *ex, const struct ws_symbol_report *r)
{
	static const struct ws_column columns[] = {
		{ .title = "NAME", .flexible = true },
		{ .title = "IS" },
		{ .title = "ADDRESS", .right = true },
		{ .title = "SIZE", .right = true },
		{ .title = "SOURCE" },
		{ .title = "SURE" },
		{ .title = "SITE", .right = true },
		{ .title = "COST" },
		{ .title = "INSTRUCTION", .flexible = true },
	};
	struct ws_table *t = ws_table_new(&ex->opt.screen, columns, WS_ARRAY_SIZE(columns));
	int rc = t ? 0 : -1;

	for (size_t i = 0; i < r->count && rc == 0; i++) {
		if (r->rows[i].symbol->status == WS_SYMBOL_FOUND)
			rc = put_row(t, &r->rows[i]);
	}
	if (rc == 0 && ws_table_rows(t))
		rc = ws_table_print(t, ex->opt.out);
	ws_table_free(t);
	return rc;
}

/* Names of one status, with where they went; nothing if there are none. */
static int put_others(const struct ws_export *ex, const struct ws_symbol_report *r,
		      enum ws_symbol_status status, const char *title, struct ws_buf *buf)
{
	bool any = false;

	for (size_t i = 0; i < r->count; i++) {
		const struct ws_symbol *s = r->rows[i].symbol;

		if (s->status != status)
			continue;
		if (!any && (ws_buf_addstr(buf, "\n") ||
			     ws_put_color(buf, &ex->opt.screen, WS_COLOR_BOLD, title) ||
			     ws_buf_addstr(buf, "\n")))
			return -1;
		any = true;
		if (ws_buf_addf(buf, "  %s", s->name))
			return -1;
		for (size_t n = 0; n < WS_SYMBOL_INTO_MAX && s->into[n]; n++) {
			if (ws_buf_addstr(buf, n ? ", " : " into ") ||
			    ws_put_text(buf, &ex->opt.screen, s->into[n], strlen(s->into[n]), 0))
				return -1;
		}
		if (ws_buf_addstr(buf, "\n"))
			return -1;
	}
	return 0;
}

int ws_text_symbols(struct ws_export *ex, const struct ws_symbol_report *r)
{
	struct ws_buf buf = { 0 };
	int rc;

	rc = put_head(ex, r, &buf) || ws_text_flush(ex, &buf) || print_found(ex, r) ||
	     put_others(ex, r, WS_SYMBOL_INLINED, "inlined, without a body of their own", &buf) ||
	     put_others(ex, r, WS_SYMBOL_ABSENT, "not in this version", &buf) ||
	     put_others(ex, r, WS_SYMBOL_UNKNOWN, "not found", &buf) || ws_text_flush(ex, &buf);
	ws_buf_deinit(&buf);
	return rc ? -1 : 0;
}
