/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>
#include <string.h>

#include "export/text_show.h"

static void add_value(struct ws_page *page, const struct ws_show_fact *fact)
{
	char text[WS_TIME_TEXT], count[WS_COUNT_TEXT];

	switch (fact->type) {
	case WS_SHOW_TEXT:
		if (fact->text)
			ws_page_text(page, fact->text, strlen(fact->text));
		else
			ws_page_add(page, "?");
		break;
	case WS_SHOW_COUNT:
		ws_page_add(page, "%s", ws_count_format(fact->value, count));
		break;
	case WS_SHOW_BYTES:
		ws_page_bytes(page, "", fact->value);
		break;
	case WS_SHOW_NS:
		ws_page_duration(page, "", fact->value);
		break;
	case WS_SHOW_LSN:
		ws_page_lsn(page, "", fact->value);
		break;
	case WS_SHOW_TIME:
		ws_page_add(page, "%s", ws_time_format((int64_t)fact->value, text));
		break;
	case WS_SHOW_BOOL:
		ws_page_add(page, "%s", fact->value ? "yes" : "no");
		break;
	case WS_SHOW_ADDRESS:
		ws_page_add(page, "0x%" PRIx64, fact->value);
		break;
	default:
		ws_page_add(page, "?");
	}
}

void ws_page_memory(struct ws_page *page)
{
	const struct ws_show *show = page->show;
	size_t width = 0;

	if (!show->has_memory && !ws_show_has_memory_over_time(show))
		return;
	for (size_t i = 0; i < show->memory_count; i++) {
		const struct ws_show_fact *fact = &show->memory[i];
		size_t len = strlen(fact->label ? fact->label : fact->name);

		width = len > width ? len : width;
	}
	ws_page_title(page, "Memory");
	for (size_t i = 0; i < show->memory_count; i++) {
		const struct ws_show_fact *fact = &show->memory[i];

		ws_page_add(page, "  %-*s  ", (int)width, fact->label ? fact->label : fact->name);
		add_value(page, fact);
		ws_page_add(page, "\n");
	}
	if (ws_show_has_memory_over_time(show))
		ws_page_memory_over_time(page);
}

void ws_page_backtrace(struct ws_page *page)
{
	const struct ws_show *show = page->show;

	if (!show->has_backtrace)
		return;
	ws_page_title(page, "Backtrace");
	if (!show->frame_count)
		ws_page_add(page, "  none could be told\n");
	for (size_t i = 0; i < show->frame_count; i++) {
		const struct ws_show_frame *frame = &show->frames[i];

		ws_page_add(page, "  #%-2zu 0x%016" PRIx64 " ", i, frame->address);
		if (frame->function) {
			ws_page_text(page, frame->function, strlen(frame->function));
			ws_page_add(page, "+0x%" PRIx64, frame->offset);
		} else {
			ws_page_add(page, "?");
		}
		if (frame->module) {
			ws_page_add(page, " in ");
			ws_page_text(page, frame->module, strlen(frame->module));
		}
		if (frame->source) {
			ws_page_add(page, " (");
			ws_page_text(page, frame->source, strlen(frame->source));
			ws_page_add(page, ")");
		}
		ws_page_add(page, "\n");
	}
}

static void tell_name(struct ws_page *page, const char *label, const char *name)
{
	if (!name)
		return;
	ws_page_add(page, ", %s", label);
	ws_page_text(page, name, strlen(name));
}

static void tell_walsender(struct ws_page *page, const struct ws_show_walsender *w)
{
	const struct {
		const char *name;
		uint64_t lsn;
	} positions[] = { { "  sent ", w->sent_lsn },
			  { "  write ", w->write_lsn },
			  { "  flush ", w->flush_lsn },
			  { "  apply ", w->apply_lsn } };

	char client[WS_CLIENT_TEXT], session[WS_SESSION_ID_TEXT];

	ws_page_add(page, "  %u %s, %s", w->ns_pid, w->kind ? w->kind : "walsender",
		    w->state ? w->state : "?");
	tell_name(page, "", w->application);
	if (w->host) {
		ws_page_add(page, " from ");
		ws_client_format(w->host, w->port, client);
		ws_page_text(page, client, strlen(client));
	}
	tell_name(page, "user ", w->user);
	tell_name(page, "database ", w->database);
	tell_name(page, "slot ", w->slot);
	if (w->pid)
		ws_page_add(page, ", session %s",
			    ws_session_id_format(w->pid, w->start_ns, session));
	ws_page_add(page, "\n    ");
	for (size_t i = 0; i < sizeof(positions) / sizeof(positions[0]); i++)
		ws_page_lsn(page, positions[i].name, positions[i].lsn);
	ws_page_add(page, "\n");
	if (!w->command)
		return;
	ws_page_add(page, "      ");
	ws_page_text(page, w->command, strlen(w->command));
	ws_page_add(page, "\n");
}

void ws_page_walsenders(struct ws_page *page)
{
	const struct ws_show *show = page->show;

	ws_page_title(page, "Walsenders");
	if (!show->has_walsenders)
		ws_page_add(page, "  the shared memory that lists them is not there to be read\n");
	else if (!show->walsender_count)
		ws_page_add(page, "  none\n");
	for (size_t i = 0; i < show->walsender_count; i++)
		tell_walsender(page, &show->walsenders[i]);
}
