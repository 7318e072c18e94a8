/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t ws_text_utf8_len(const char *s, size_t len)
{
	const unsigned char *u = (const unsigned char *)s;
	uint32_t min, code;
	size_t n, i;

	if (!len)
		return 0;
	if (u[0] < 0x80)
		return 1;
	if (u[0] >= 0xc2 && u[0] < 0xe0) {
		n = 2, min = 0x80, code = u[0] & 0x1f;
	} else if (u[0] >= 0xe0 && u[0] < 0xf0) {
		n = 3, min = 0x800, code = u[0] & 0x0f;
	} else if (u[0] >= 0xf0 && u[0] < 0xf5) {
		n = 4, min = 0x10000, code = u[0] & 0x07;
	} else {
		return 0;
	}
	if (n > len)
		return 0;
	for (i = 1; i < n; i++) {
		if ((u[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (u[i] & 0x3f);
	}
	if (code < min || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
		return 0;
	return n;
}

size_t ws_text_utf8_whole(const char *s, size_t len)
{
	static const char rest[] = "\x80\x80\x80";
	char last[8];
	size_t i, n;

	/* A begun character is one that becomes valid when more follows. */
	for (i = 1; i <= 3 && i <= len; i++) {
		unsigned char c = (unsigned char)s[len - i];

		if (c < 0x80)
			break;
		if (c < 0xc0)
			continue;
		memcpy(last, s + len - i, i);
		memcpy(last + i, rest, 3);
		if (i == 1 && (c == 0xe0 || c == 0xf0)) /* the second byte has a bound */
			last[1] = (char)0xa0;
		n = ws_text_utf8_len(last, i + 3);
		return n > i ? len - i : len;
	}
	return len;
}

/* Characters that are valid but change how a terminal shows what follows, or are not seen at all:
 * C1 codes, separators of lines, and those of category Cf without a glyph (bidirectional controls,
 * zero width, tags). */
static const struct {
	uint32_t from, to;
} unsafe[] = {
	{ 0x80, 0x9f },	    { 0xad, 0xad },	  { 0x61c, 0x61c },	{ 0x180e, 0x180e },
	{ 0x200b, 0x200f }, { 0x2028, 0x202e },	  { 0x2060, 0x206f },	{ 0xfeff, 0xfeff },
	{ 0xfff9, 0xfffb }, { 0x1bca0, 0x1bca3 }, { 0x1d173, 0x1d17a }, { 0xe0000, 0xe007f },
};

/* `n` bytes of valid UTF-8. */
static bool is_unsafe_sequence(const unsigned char *u, size_t n)
{
	static const unsigned char first[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
	uint32_t code = u[0] & first[n];
	size_t i;

	for (i = 1; i < n; i++)
		code = code << 6 | (u[i] & 0x3f);
	for (i = 0; i < sizeof(unsafe) / sizeof(unsafe[0]); i++)
		if (code >= unsafe[i].from && code <= unsafe[i].to)
			return true;
	return false;
}

static size_t escape_one(unsigned char c, char *out)
{
	static const char hex[] = "0123456789abcdef";

	out[0] = '\\';
	switch (c) {
	case '\n':
		out[1] = 'n';
		return 2;
	case '\r':
		out[1] = 'r';
		return 2;
	case '\t':
		out[1] = 't';
		return 2;
	case '\\':
		out[1] = '\\';
		return 2;
	default:
		out[1] = 'x';
		out[2] = hex[c >> 4];
		out[3] = hex[c & 15];
		return 4;
	}
}

size_t ws_text_escape(const char *in, size_t len, char *out, size_t size)
{
	size_t i = 0, o = 0;

	if (!size)
		return 0;
	while (i < len) {
		unsigned char c = (unsigned char)in[i];
		size_t n = ws_text_utf8_len(in + i, len - i);
		char piece[4];
		size_t plen;

		if (n == 0 || (n == 1 && (c < 0x20 || c == 0x7f || c == '\\')) ||
		    (n > 1 && is_unsafe_sequence((const unsigned char *)in + i, n))) {
			plen = escape_one(c, piece);
			n = 1;
		} else {
			memcpy(piece, in + i, n);
			plen = n;
		}
		if (o + plen >= size)
			break;
		memcpy(out + o, piece, plen);
		o += plen;
		i += n;
	}
	out[o] = '\0';
	return o;
}

int ws_buf_reserve(struct ws_buf *buf, size_t more)
{
	size_t need = buf->len + more + 1;
	size_t cap = buf->cap ? buf->cap : 64;
	char *data;

	if (need < more || need > SIZE_MAX / 2)
		return -1;
	if (need <= buf->cap)
		return 0;
	while (cap < need)
		cap *= 2;
	data = realloc(buf->data, cap);
	if (!data)
		return -1;
	buf->data = data;
	buf->cap = cap;
	return 0;
}

int ws_buf_add(struct ws_buf *buf, const void *data, size_t len)
{
	if (ws_buf_reserve(buf, len))
		return -1;
	if (len)
		memcpy(buf->data + buf->len, data, len);
	buf->len += len;
	buf->data[buf->len] = '\0';
	return 0;
}

int ws_buf_addstr(struct ws_buf *buf, const char *str)
{
	return ws_buf_add(buf, str, strlen(str));
}

int ws_buf_addf(struct ws_buf *buf, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0 || ws_buf_reserve(buf, (size_t)n))
		return -1;
	va_start(ap, fmt);
	vsnprintf(buf->data + buf->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	buf->len += (size_t)n;
	return 0;
}

void ws_buf_clear(struct ws_buf *buf)
{
	buf->len = 0;
	if (buf->data)
		buf->data[0] = '\0';
}

void ws_buf_deinit(struct ws_buf *buf)
{
	free(buf->data);
	*buf = (struct ws_buf){ 0 };
}
