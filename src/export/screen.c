/* SPDX-License-Identifier: BSD-2-Clause */
#include "export/screen.h"

#include <langinfo.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include "base/util.h"

#define WIDTH_MIN 60 /* narrower screens wrap: nothing is readable below that */
#define WIDTH_MAX 1000

static int clamp_width(long width)
{
	return (int)(width < WIDTH_MIN ? WIDTH_MIN : width > WIDTH_MAX ? WIDTH_MAX : width);
}

void ws_screen_detect(struct ws_screen *screen, FILE *out)
{
	const char *columns = getenv("COLUMNS");
	const char *no_color = getenv("NO_COLOR");
	const char *term = getenv("TERM");
	bool terminal = isatty(fileno(out));
	struct winsize size = { 0 };

	screen->width = WS_SCREEN_WIDTH;
	if (terminal && ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		screen->width = clamp_width(size.ws_col);
	else if (columns && atol(columns) > 0)
		screen->width = clamp_width(atol(columns));
	screen->color = terminal && !(no_color && no_color[0]) && term && strcmp(term, "dumb") != 0;
	screen->utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
	screen->verbose = false;
	screen->whole = !terminal && !(columns && atol(columns) > 0);
}

const char *ws_color_code(const struct ws_screen *screen, enum ws_color color)
{
	static const char *const codes[WS_COLOR_COUNT] = {
		[WS_COLOR_NONE] = "\033[0m",   [WS_COLOR_DIM] = "\033[2m",
		[WS_COLOR_BOLD] = "\033[1m",   [WS_COLOR_RED] = "\033[31m",
		[WS_COLOR_GREEN] = "\033[32m", [WS_COLOR_YELLOW] = "\033[33m",
		[WS_COLOR_BLUE] = "\033[34m",  [WS_COLOR_MAGENTA] = "\033[35m",
		[WS_COLOR_CYAN] = "\033[36m",
	};

	return screen->color ? codes[color] : "";
}

/* Code point of the valid sequence of n bytes at s. */
static wchar_t code_point(const char *s, size_t n)
{
	static const unsigned char first[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
	uint32_t code = (unsigned char)s[0] & first[n];

	for (size_t i = 1; i < n; i++)
		code = code << 6 | ((unsigned char)s[i] & 0x3f);
	return (wchar_t)code;
}

/* Length in bytes of the character at s, its columns in *cells. wcwidth knows nothing beyond ASCII
 * in some locales: such a character counts as one column. */
static size_t next_char(const char *s, size_t len, size_t *cells)
{
	size_t n = ws_text_utf8_len(s, len);
	int width;

	*cells = 1;
	if (n <= 1)
		return 1;
	width = wcwidth(code_point(s, n));
	if (width >= 0)
		*cells = (size_t)width;
	return n;
}

size_t ws_screen_cells(const char *text)
{
	size_t len = strlen(text), total = 0, cells;

	for (size_t i = 0; i < len; total += cells)
		i += next_char(text + i, len - i, &cells);
	return total;
}

int ws_put_cut(struct ws_buf *buf, const struct ws_screen *screen, const char *text, size_t cells)
{
	const char *mark = screen->utf8 ? "…" : "~";
	size_t len = strlen(text), used = 0, i = 0, n, w;

	if (!cells || ws_screen_cells(text) <= cells)
		return ws_buf_addstr(buf, text);
	while (i < len) {
		n = next_char(text + i, len - i, &w);
		if (used + w > cells - 1)
			break;
		used += w;
		i += n;
	}
	return ws_buf_add(buf, text, i) || ws_buf_addstr(buf, mark) ? -1 : 0;
}

/* A screen without UTF-8 would read the bytes of a sequence one by one, as C1 codes among others.
 */
static int put_ascii(struct ws_buf *buf, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c < 0x80 ? ws_buf_add(buf, text, 1) : ws_buf_addf(buf, "\\x%02x", c))
			return -1;
	}
	return 0;
}

int ws_put_text(struct ws_buf *buf, const struct ws_screen *screen, const char *text, size_t len,
		size_t cells)
{
	size_t size = len * 4 + 1;
	ws_autofree char *escaped = malloc(size);
	struct ws_buf ascii = { 0 };
	int rc;

	if (!escaped)
		return -1;
	ws_text_escape(text, len, escaped, size);
	if (screen->utf8)
		return ws_put_cut(buf, screen, escaped, cells);
	rc = put_ascii(&ascii, escaped);
	if (rc == 0 && ascii.len)
		rc = ws_put_cut(buf, screen, ascii.data, cells);
	ws_buf_deinit(&ascii);
	return rc;
}

int ws_put_color(struct ws_buf *buf, const struct ws_screen *screen, enum ws_color color,
		 const char *text)
{
	if (color == WS_COLOR_NONE || !screen->color)
		return ws_buf_addstr(buf, text);
	return ws_buf_addf(buf, "%s%s%s", ws_color_code(screen, color), text,
			   ws_color_code(screen, WS_COLOR_NONE));
}

int ws_put_repeat(struct ws_buf *buf, const char *text, size_t times)
{
	while (times-- > 0)
		if (ws_buf_addstr(buf, text))
			return -1;
	return 0;
}

int ws_put_bar(struct ws_buf *buf, const struct ws_screen *screen, double fraction, size_t cells)
{
	static const char *const part[] = { "", "▏", "▎", "▍", "▌", "▋", "▊", "▉" };
	size_t steps = screen->utf8 ? 8 : 1;
	size_t total = cells * steps, filled, used;

	if (!(fraction > 0))
		return ws_put_repeat(buf, " ", cells);
	filled = fraction >= 1 ? total : (size_t)(fraction * (double)total + 0.5);
	if (filled == 0)
		filled = 1;
	if (ws_put_repeat(buf, screen->utf8 ? "█" : "#", filled / steps))
		return -1;
	used = filled / steps;
	if (filled % steps) {
		if (ws_buf_addstr(buf, part[filled % steps]))
			return -1;
		used++;
	}
	return ws_put_repeat(buf, " ", cells - used);
}

int ws_put_height(struct ws_buf *buf, const struct ws_screen *screen, double fraction)
{
	static const char *const blocks[] = { " ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
	static const char *const ascii[] = { " ", ".", ".", ":", "-", "=", "+", "*", "#" };
	size_t height = 0;

	if (fraction > 0) {
		height = fraction >= 1 ? 8 : (size_t)(fraction * 8 + 0.5);
		if (height == 0)
			height = 1;
	}
	return ws_buf_addstr(buf, screen->utf8 ? blocks[height] : ascii[height]);
}

const char *ws_count_format(uint64_t value, char out[WS_COUNT_TEXT])
{
	char digits[24];
	size_t len = (size_t)snprintf(digits, sizeof(digits), "%llu", (unsigned long long)value);
	size_t o = 0;

	for (size_t i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			out[o++] = ',';
		out[o++] = digits[i];
	}
	out[o] = '\0';
	return out;
}

struct state_look {
	char letter;
	enum ws_color color;
	bool rest;
};

/* Green moves WAL, blue is a backup, yellow waits for somebody else, red needs a look. */
static const struct state_look looks[WS_STATE_COUNT] = {
	[WS_STATE_UNKNOWN] = { '?', WS_COLOR_RED, false },
	[WS_STATE_STARTING] = { '>', WS_COLOR_CYAN, false },
	[WS_STATE_IDLE] = { '.', WS_COLOR_DIM, true },
	[WS_STATE_COMMAND] = { 'c', WS_COLOR_CYAN, false },
	[WS_STATE_SQL] = { 'q', WS_COLOR_CYAN, false },
	[WS_STATE_WAIT_WAL] = { '-', WS_COLOR_DIM, true },
	[WS_STATE_READ_WAL] = { 'r', WS_COLOR_GREEN, false },
	[WS_STATE_DECODE] = { 'd', WS_COLOR_MAGENTA, false },
	[WS_STATE_OUTPUT_PLUGIN] = { 'o', WS_COLOR_MAGENTA, false },
	[WS_STATE_SEND] = { 's', WS_COLOR_GREEN, false },
	[WS_STATE_SEND_BLOCKED] = { 'B', WS_COLOR_RED, false },
	[WS_STATE_RECV_BLOCKED] = { 'R', WS_COLOR_RED, false },
	[WS_STATE_WAIT_STANDBY] = { 'W', WS_COLOR_YELLOW, false },
	[WS_STATE_WAIT_COPYDONE] = { 'C', WS_COLOR_RED, false },
	[WS_STATE_WAIT_LOCK] = { 'L', WS_COLOR_YELLOW, false },
	[WS_STATE_REPLY] = { 'y', WS_COLOR_GREEN, false },
	[WS_STATE_BACKUP_CHECKPOINT] = { 'k', WS_COLOR_YELLOW, false },
	[WS_STATE_BACKUP_ESTIMATE] = { 'e', WS_COLOR_BLUE, false },
	[WS_STATE_BACKUP_READ] = { 'f', WS_COLOR_BLUE, false },
	[WS_STATE_BACKUP_SEND] = { 'b', WS_COLOR_BLUE, false },
	[WS_STATE_BACKUP_THROTTLED] = { 't', WS_COLOR_YELLOW, false },
	[WS_STATE_BACKUP_WAIT_ARCHIVE] = { 'a', WS_COLOR_YELLOW, false },
	[WS_STATE_BACKUP_WAL] = { 'w', WS_COLOR_BLUE, false },
	[WS_STATE_BACKUP_MANIFEST] = { 'm', WS_COLOR_BLUE, false },
	[WS_STATE_STOPPING] = { 'p', WS_COLOR_YELLOW, false },
	[WS_STATE_EXITING] = { 'x', WS_COLOR_CYAN, false },
	[WS_STATE_OFF_CPU] = { 'z', WS_COLOR_YELLOW, false },
	[WS_STATE_STOPPED] = { 'T', WS_COLOR_RED, false },
	[WS_STATE_LOST] = { '!', WS_COLOR_RED, false },
};

char ws_state_letter(enum ws_state state)
{
	return (unsigned int)state < WS_STATE_COUNT ? looks[state].letter : '?';
}

enum ws_color ws_state_color(enum ws_state state)
{
	return (unsigned int)state < WS_STATE_COUNT ? looks[state].color : WS_COLOR_RED;
}

bool ws_state_is_rest(enum ws_state state)
{
	return (unsigned int)state < WS_STATE_COUNT && looks[state].rest;
}
