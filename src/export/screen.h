/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * screen.h: how text looks: width, colours, bars, columns, and the escaping of what servers say.
 */
#ifndef WS_EXPORT_SCREEN_H
#define WS_EXPORT_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/text.h"
#include "session/model.h"

/* What the output can show. */
struct ws_screen {
	int width;    /* columns */
	bool color;   /* SGR sequences */
	bool utf8;    /* blocks and arrows; else ASCII, and no byte above 0x7e is written */
	bool verbose; /* more is said, nothing is shortened */
	bool whole;   /* nothing is shortened: what reads it is no terminal */
};

#define WS_SCREEN_WIDTH 100 /* where there is no terminal to ask */

/*
 * Looks at the terminal behind `out` (TIOCGWINSZ), COLUMNS, NO_COLOR, TERM and the locale's codeset
 * (the caller has called setlocale). Not a terminal: no colour, and drawings are as wide as COLUMNS
 * or 100 columns; without COLUMNS nothing is shortened, as ps has it.
 */
void ws_screen_detect(struct ws_screen *screen, FILE *out);

enum ws_color {
	WS_COLOR_NONE = 0,
	WS_COLOR_DIM,
	WS_COLOR_BOLD,
	WS_COLOR_RED,
	WS_COLOR_GREEN,
	WS_COLOR_YELLOW,
	WS_COLOR_BLUE,
	WS_COLOR_MAGENTA,
	WS_COLOR_CYAN,
	WS_COLOR_COUNT,
};
/* The sequence that starts a colour (NONE: that ends it); "" without colour. */
const char *ws_color_code(const struct ws_screen *screen, enum ws_color color);

/* Columns that finished text (already escaped) takes. */
size_t ws_screen_cells(const char *text);
/* Text of a server, escaped for this screen, at most `cells` columns wide (0: no limit), with a
 * mark at the end if it was cut. Returns -1 when memory ran out, as all functions below. */
int ws_put_text(struct ws_buf *buf, const struct ws_screen *screen, const char *text, size_t len,
		size_t cells);
/* Finished text, cut to `cells` columns in the same way. */
int ws_put_cut(struct ws_buf *buf, const struct ws_screen *screen, const char *text, size_t cells);
int ws_put_color(struct ws_buf *buf, const struct ws_screen *screen, enum ws_color color,
		 const char *text);
int ws_put_repeat(struct ws_buf *buf, const char *text, size_t times);
/* A bar of `fraction` (0..1) of `cells` columns, filled up with blanks. A fraction above 0 is seen.
 */
int ws_put_bar(struct ws_buf *buf, const struct ws_screen *screen, double fraction, size_t cells);
/* One column whose height shows `fraction`; a blank for 0. */
int ws_put_height(struct ws_buf *buf, const struct ws_screen *screen, double fraction);
/* "12,345". `out` needs WS_COUNT_TEXT bytes. */
#define WS_COUNT_TEXT 28
const char *ws_count_format(uint64_t value, char out[WS_COUNT_TEXT]);

/* How states look: a letter of their own in strips, and a colour. */
char ws_state_letter(enum ws_state state);
enum ws_color ws_state_color(enum ws_state state);
/* Does the walsender have nothing to do of its own in it (wait_wal, idle)? */
bool ws_state_is_rest(enum ws_state state);

/* Columns of text. */
struct ws_column {
	const char *title;
	bool right;    /* numbers */
	bool flexible; /* gives way if the table is too wide, the widest first */
	bool optional; /* left out if all its cells are empty */
};
struct ws_table; /* opaque */

struct ws_table *ws_table_new(const struct ws_screen *screen, const struct ws_column *columns,
			      size_t count);
void ws_table_free(struct ws_table *table);
/* Adds a cell to the row being filled, `text` finished (escaped); a row is complete with its last
 * cell. */
int ws_table_cell(struct ws_table *table, enum ws_color color, const char *text);
/* The same with text of a server. */
int ws_table_text(struct ws_table *table, const char *text, size_t len);
/* A line below the last complete row, not in columns (finished text, may be of any width). */
int ws_table_note(struct ws_table *table, const char *text);
/* A line below the table (finished text, kept by the caller), NULL for none. */
void ws_table_footer(struct ws_table *table, const char *text);
size_t ws_table_rows(const struct ws_table *table);
/* Prints titles, rows and the footer. */
int ws_table_print(const struct ws_table *table, FILE *out);

#endif
