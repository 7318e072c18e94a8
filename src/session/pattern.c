/* SPDX-License-Identifier: BSD-2-Clause */
#include <ctype.h>
#include <string.h>

#include "session/machine.h"

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

struct input {
	const char *at, *end;
	uint32_t pid; /* %p; 0: not known, any will do */
};

static bool take_number(struct input *in, uint64_t *value)
{
	const char *begin = in->at;

	*value = 0;
	while (in->at < in->end && is_digit(*in->at) && in->at - begin < 20)
		*value = *value * 10 + (uint64_t)(*in->at++ - '0');
	return in->at > begin;
}

static bool take_char(struct input *in, char c)
{
	if (in->at == in->end || *in->at != c)
		return false;
	in->at++;
	return true;
}

static size_t hex_digits(struct input *in)
{
	const char *begin = in->at;

	while (in->at < in->end && (is_digit(*in->at) || (*in->at >= 'A' && *in->at <= 'F')))
		in->at++;
	return (size_t)(in->at - begin);
}

/* %X/%X (LSN_FORMAT_ARGS); from 19 on the lower half has leading zeros. */
static bool take_lsn(struct input *in)
{
	const char *begin = in->at;
	size_t high = hex_digits(in), low;

	if (!high || high > 8 || (high > 1 && *begin == '0') || !take_char(in, '/'))
		return false;
	low = hex_digits(in);
	return low && low <= 8;
}

static bool is_name(char c)
{
	return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

static bool take_quoted(struct input *in)
{
	const char *begin = in->at;

	while (in->at < in->end && *in->at != '"')
		in->at++;
	return in->at > begin && in->at - begin < WS_NAME_LEN;
}

/* As quote_identifier (ruleutils.c) writes it. */
static bool take_name(struct input *in)
{
	const char *begin = in->at;

	if (take_char(in, '"'))
		return take_quoted(in) && take_char(in, '"');
	while (in->at < in->end && is_name(*in->at))
		in->at++;
	return in->at > begin;
}

/* ReplicationSlotNameForTablesync (tablesync.c): pg_%u_sync_%u_%llu from 14 on, SLOT_%u_sync_%u in
 * 13. Takes the whole word. */
static bool take_sync_name(struct input *in)
{
	static const char middle[] = "_sync_";
	const char *begin = in->at, *found = NULL, *digits;
	struct input rest;
	uint64_t number;

	while (in->at < in->end && is_name(*in->at)) {
		if ((size_t)(in->end - in->at) > strlen(middle) &&
		    !strncmp(in->at, middle, strlen(middle)))
			found = in->at;
		in->at++;
	}
	if (!found)
		return false;
	for (digits = found; digits > begin && is_digit(digits[-1]);)
		digits--;
	if (digits == found || digits == begin || digits[-1] != '_')
		return false;
	rest = (struct input){ .at = found + strlen(middle), .end = in->at };
	if (!take_number(&rest, &number))
		return false;
	return rest.at == rest.end ||
	       (take_char(&rest, '_') && take_number(&rest, &number) && rest.at == rest.end);
}

static bool take(struct input *in, char what)
{
	uint64_t number;

	switch (what) {
	case 'd':
		return take_number(in, &number);
	case 'p':
		return take_number(in, &number) && (!in->pid || number == in->pid);
	case 'l':
		return take_lsn(in);
	case 'q':
		return take_quoted(in);
	case 'n':
		return take_name(in);
	default:
		return take_sync_name(in);
	}
}

bool ws_pattern_matches(const char *pattern, const char *text, size_t len, uint32_t pid)
{
	struct input in = { .at = text, .end = text + len, .pid = pid };

	for (; *pattern; pattern++) {
		if (*pattern == '*')
			return true;
		if (*pattern == '%') {
			if (!take(&in, *++pattern))
				return false;
		} else if (!take_char(&in, *pattern)) {
			return false;
		}
	}
	return in.at == in.end;
}
