/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

int ws_error_set(struct ws_error *err, const char *what, const char *where, const char *why, ...)
{
	va_list ap;

	if (!err)
		return -1;
	err->errnum = 0;
	err->fix[0] = '\0';
	snprintf(err->what, sizeof(err->what), "%s", what);
	snprintf(err->where, sizeof(err->where), "%s", where ? where : "");
	va_start(ap, why);
	vsnprintf(err->why, sizeof(err->why), why, ap);
	va_end(ap);
	return -1;
}

int ws_error_errno(struct ws_error *err, int errnum, const char *what, const char *where)
{
	ws_error_set(err, what, where, "%s", strerror(errnum));
	if (err)
		err->errnum = errnum;
	return -1;
}

int ws_error_fix(struct ws_error *err, const char *fix, ...)
{
	va_list ap;

	if (!err)
		return -1;
	va_start(ap, fix);
	vsnprintf(err->fix, sizeof(err->fix), fix, ap);
	va_end(ap);
	return -1;
}

void ws_error_format(const struct ws_error *err, char *line, unsigned long size)
{
	char raw[sizeof(*err) + 16];

	snprintf(raw, sizeof(raw), "%s%s%s%s%s%s%s", err->what, err->where[0] ? ": " : "",
		 err->where, err->why[0] ? ": " : "", err->why, err->fix[0] ? "; " : "", err->fix);
	ws_text_escape(raw, strlen(raw), line, size);
}
