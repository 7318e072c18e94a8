/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "export/screen.h"

#define SEPARATOR    2 /* blanks between columns, 1 where room is short */
#define FLEXIBLE_MIN 8 /* a flexible column gives way down to this */

struct cell {
	char *text;
	enum ws_color color;
};

struct row {
	struct cell *cells;
	char **notes;
	size_t note_count, note_cap;
};

struct ws_table {
	struct ws_screen screen;
	const struct ws_column *columns;
	size_t column_count;
	struct row *rows;
	size_t count, cap;
	size_t filled; /* cells of the last row */
	const char *footer;
};

struct ws_table *ws_table_new(const struct ws_screen *screen, const struct ws_column *columns,
			      size_t count)
{
	struct ws_table *table = calloc(1, sizeof(*table));

	if (!table)
		return NULL;
	table->screen = *screen;
	table->columns = columns;
	table->column_count = count;
	table->filled = count;
	return table;
}

void ws_table_free(struct ws_table *table)
{
	if (!table)
		return;
	for (size_t i = 0; i < table->count; i++) {
		struct row *row = &table->rows[i];

		for (size_t c = 0; row->cells && c < table->column_count; c++)
			free(row->cells[c].text);
		for (size_t n = 0; n < row->note_count; n++)
			free(row->notes[n]);
		free(row->cells);
		free(row->notes);
	}
	free(table->rows);
	free(table);
}

int ws_table_cell(struct ws_table *table, enum ws_color color, const char *text)
{
	struct row *row;
	struct cell *cell;

	if (table->filled == table->column_count) {
		row = ws_array_grow(&table->rows, &table->count, &table->cap, sizeof(*row));
		if (!row)
			return -1;
		row->cells = calloc(table->column_count, sizeof(*row->cells));
		if (!row->cells)
			return -1;
		table->filled = 0;
	}
	row = &table->rows[table->count - 1];
	cell = &row->cells[table->filled++];
	cell->color = color;
	cell->text = strdup(text);
	return cell->text ? 0 : -1;
}

int ws_table_text(struct ws_table *table, const char *text, size_t len)
{
	struct ws_buf buf = { 0 };
	int rc = ws_put_text(&buf, &table->screen, text, len, 0);

	if (rc == 0)
		rc = ws_table_cell(table, WS_COLOR_NONE, buf.data ? buf.data : "");
	ws_buf_deinit(&buf);
	return rc;
}

int ws_table_note(struct ws_table *table, const char *text)
{
	struct row *row;
	char **note;

	if (!table->count)
		return 0;
	row = &table->rows[table->count - 1];
	note = ws_array_grow(&row->notes, &row->note_count, &row->note_cap, sizeof(*note));
	if (!note)
		return -1;
	*note = strdup(text);
	return *note ? 0 : -1;
}

size_t ws_table_rows(const struct ws_table *table)
{
	return table->count;
}

static const char *cell_text(const struct ws_table *table, size_t row, size_t column)
{
	const char *text = table->rows[row].cells ? table->rows[row].cells[column].text : NULL;

	return text ? text : "";
}

/* Width of each column; 0 for one that is left out. Returns the separator to use. */
static size_t measure(const struct ws_table *table, size_t *widths)
{
	size_t total = 0, shown = 0, separator = SEPARATOR;

	for (size_t c = 0; c < table->column_count; c++) {
		size_t widest = 0;

		for (size_t r = 0; r < table->count; r++) {
			size_t cells = ws_screen_cells(cell_text(table, r, c));

			widest = cells > widest ? cells : widest;
		}
		if (widest == 0 && table->columns[c].optional) {
			widths[c] = 0;
			continue;
		}
		widths[c] = strlen(table->columns[c].title);
		widths[c] = widest > widths[c] ? widest : widths[c];
		total += widths[c];
		shown++;
	}
	if (table->screen.verbose || table->screen.whole || !shown)
		return separator;
	if (total + (shown - 1) * SEPARATOR > (size_t)table->screen.width)
		separator = 1;
	total += (shown - 1) * separator;
	while (total > (size_t)table->screen.width) {
		size_t widest = table->column_count;

		for (size_t c = 0; c < table->column_count; c++)
			if (table->columns[c].flexible && widths[c] > FLEXIBLE_MIN &&
			    (widest == table->column_count || widths[c] > widths[widest]))
				widest = c;
		if (widest == table->column_count)
			break;
		widths[widest]--;
		total--;
	}
	return separator;
}

/* One cell, cut or filled up to its width; the last one is not filled up. */
static int put_cell(struct ws_buf *line, const struct ws_table *table, const char *text,
		    enum ws_color color, size_t column, size_t width, bool last)
{
	struct ws_buf cut = { 0 };
	size_t cells = ws_screen_cells(text);
	bool right = table->columns[column].right;
	int rc = 0;

	if (cells > width) {
		rc = ws_put_cut(&cut, &table->screen, text, width);
		text = cut.data ? cut.data : "";
		cells = ws_screen_cells(text);
	}
	if (rc == 0 && right && cells < width)
		rc = ws_put_repeat(line, " ", width - cells);
	if (rc == 0)
		rc = ws_put_color(line, &table->screen, color, text);
	if (rc == 0 && !right && !last && cells < width)
		rc = ws_put_repeat(line, " ", width - cells);
	ws_buf_deinit(&cut);
	return rc ? -1 : 0;
}

/* `row` is an index, or -1 for the titles. */
static int print_line(const struct ws_table *table, const size_t *widths, size_t separator,
		      long row, FILE *out)
{
	struct ws_buf line = { 0 };
	size_t last = 0;
	bool first = true;
	int rc = 0;

	for (size_t c = 0; c < table->column_count; c++)
		if (widths[c])
			last = c;
	for (size_t c = 0; c < table->column_count && rc == 0; c++) {
		const char *text =
			row < 0 ? table->columns[c].title : cell_text(table, (size_t)row, c);
		enum ws_color color = row < 0 ? WS_COLOR_BOLD : table->rows[row].cells[c].color;

		if (!widths[c])
			continue;
		if (!first)
			rc = ws_put_repeat(&line, " ", separator);
		first = false;
		if (rc == 0)
			rc = put_cell(&line, table, text, color, c, widths[c], c == last);
	}
	while (!table->screen.color && line.len && line.data[line.len - 1] == ' ')
		line.data[--line.len] = '\0';
	if (rc == 0 && fprintf(out, "%s\n", line.data ? line.data : "") < 0)
		rc = -1;
	ws_buf_deinit(&line);
	return rc;
}

void ws_table_footer(struct ws_table *table, const char *text)
{
	table->footer = text;
}

int ws_table_print(const struct ws_table *table, FILE *out)
{
	ws_autofree size_t *widths = calloc(table->column_count, sizeof(*widths));
	size_t separator;

	if (!widths)
		return -1;
	separator = measure(table, widths);
	if (print_line(table, widths, separator, -1, out))
		return -1;
	for (size_t r = 0; r < table->count; r++) {
		if (print_line(table, widths, separator, (long)r, out))
			return -1;
		for (size_t n = 0; n < table->rows[r].note_count; n++)
			if (fprintf(out, "%s\n", table->rows[r].notes[n]) < 0)
				return -1;
	}
	return table->footer && fprintf(out, "%s\n", table->footer) < 0 ? -1 : 0;
}
