/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * text_show.h: what the files of the telling share; nobody else includes it.
 *
 *   text_show.c        who it was, its start, its commands, its end
 *   text_show_story.c  what it did in between, its last acts, what is missing
 *   text_show_core.c   memory, backtrace, and the walsenders in shared memory
 *   text_show_memory.c the process's memory over time, and its contexts
 */
#ifndef WS_EXPORT_TEXT_SHOW_H
#define WS_EXPORT_TEXT_SHOW_H

#include "export/text.h"

/* A page that grows. A failure (memory) is kept, and what follows does nothing. */
struct ws_page {
	struct ws_export *ex;
	const struct ws_show *show;
	struct ws_buf buf;
	int rc;
};

__attribute__((format(printf, 2, 3))) void ws_page_add(struct ws_page *page, const char *fmt, ...);
/* Text of the server. */
void ws_page_text(struct ws_page *page, const char *text, size_t len);
/* The same in what is left of a line of which so many columns are taken, unless nothing is to be
 * shortened. */
void ws_page_fit(struct ws_page *page, const char *text, size_t len, size_t taken);
void ws_page_color(struct ws_page *page, enum ws_color color, const char *text);
void ws_page_title(struct ws_page *page, const char *title);
/* Time of day. */
void ws_page_time(struct ws_page *page, const char *before, uint64_t mono_ns);
void ws_page_lsn(struct ws_page *page, const char *before, uint64_t lsn);
void ws_page_duration(struct ws_page *page, const char *before, uint64_t ns);
void ws_page_bytes(struct ws_page *page, const char *before, uint64_t bytes);
/* Hands on what there is. */
void ws_page_flush(struct ws_page *page);

void ws_page_around(struct ws_page *page);
void ws_page_streams(struct ws_page *page);
void ws_page_states(struct ws_page *page);
void ws_page_peaks(struct ws_page *page);
void ws_page_last(struct ws_page *page);
void ws_page_gaps(struct ws_page *page);
void ws_page_memory(struct ws_page *page);
void ws_page_memory_over_time(struct ws_page *page);
void ws_page_backtrace(struct ws_page *page);
void ws_page_walsenders(struct ws_page *page);

#endif
