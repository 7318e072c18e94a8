/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * text.h: text that comes from outside, and a growable buffer to build text and bytes in.
 */
#ifndef WS_BASE_TEXT_H
#define WS_BASE_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Writes `in` so that a terminal can show it: control characters, invalid UTF-8, C1 codes,
 * bidirectional controls and characters without a glyph become \xNN (or \n, \r, \t), a backslash
 * becomes \\. Valid UTF-8 stays. Cuts at a whole character, always terminates. Returns the number
 * of bytes written without the NUL.
 */
size_t ws_text_escape(const char *in, size_t len, char *out, size_t size);

/* Length of the valid UTF-8 sequence at `s`, or 0 if there is none within `len` bytes. */
size_t ws_text_utf8_len(const char *s, size_t len);

/* Length without the beginning of a character that the text was cut in the middle of. */
size_t ws_text_utf8_whole(const char *s, size_t len);

/* A growable buffer. Zero-initialise; `data` is always NUL-terminated at `data[len]` once written
 * to. */
struct ws_buf {
	char *data;
	size_t len;
	size_t cap;
};

/* These return 0, or -1 when memory ran out (the buffer is then unchanged). */
int ws_buf_reserve(struct ws_buf *buf, size_t more);
int ws_buf_add(struct ws_buf *buf, const void *data, size_t len);
int ws_buf_addstr(struct ws_buf *buf, const char *str);
int ws_buf_addf(struct ws_buf *buf, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void ws_buf_clear(struct ws_buf *buf); /* keeps the memory */
void ws_buf_deinit(struct ws_buf *buf);

#endif
