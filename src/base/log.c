/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

void ws_log(const struct ws_log *log, enum ws_log_level level, const char *fmt, ...)
{
	char raw[1024], line[2048];
	va_list ap;

	if (!log || !log->fn || level > log->level)
		return;
	va_start(ap, fmt);
	vsnprintf(raw, sizeof(raw), fmt, ap);
	va_end(ap);
	ws_text_escape(raw, strlen(raw), line, sizeof(line));
	log->fn(log->arg, level, line);
}

void ws_log_stderr(void *arg, enum ws_log_level level, const char *line)
{
	(void)arg;
	(void)level;
	fprintf(stderr, "walscope: %s\n", line);
}
