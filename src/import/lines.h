/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lines.h: lines of a stream, whose lengths nobody has bounded. A line that does not begin with a
 * brace is a row of CSV, which goes on while a quote is open.
 */
#ifndef WS_IMPORT_LINES_H
#define WS_IMPORT_LINES_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define WS_LINE_MAX (16U << 20)

struct ws_lines;			 /* opaque */
struct ws_lines *ws_lines_new(FILE *in); /* NULL: out of memory */
void ws_lines_free(struct ws_lines *lines);
/*
 * The next line without its end, valid until the next call. Returns 1; 2 for one longer than
 * WS_LINE_MAX, which is passed over; 0 at the end; -1 with errno set. A row whose quote is not
 * closed within that length, or at all, is given up to its first end of line, and reading goes on
 * behind that.
 */
int ws_lines_next(struct ws_lines *lines, const char **line, size_t *len);
/* The row that was given is none: gives it up to its first end of line, and reads on behind that.
 */
void ws_lines_give_up(struct ws_lines *lines);
/* The number of its first line in the input. */
uint64_t ws_lines_first(const struct ws_lines *lines);

#endif
