/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * errors.h: the errors that the process was in the middle of reporting (elog.c, errordata).
 */
#ifndef WS_CORE_ERRORS_H
#define WS_CORE_ERRORS_H

#include "core/parts.h"

#define WS_CORE_ERRORS	   5 /* ERRORDATA_STACK_SIZE */
#define WS_CORE_ERROR_TEXT 1536

/*
 * Texts as psql's verbose mode prints them ("ERROR:  42601: message, LOCATION: function,
 * file:line"), the innermost first. Returns how many errors there are, 0 for none, -1 if that is
 * not known; texts that cannot be read are "".
 */
int ws_core_errors_read(const struct ws_core_impl *impl,
			char texts[WS_CORE_ERRORS][WS_CORE_ERROR_TEXT]);

#endif
