/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * redact_parts.h: what redact.c and redact_message.c share; nobody else includes it.
 */
#ifndef WS_SESSION_REDACT_PARTS_H
#define WS_SESSION_REDACT_PARTS_H

#include <stddef.h>

enum ws_literal_kind {
	WS_LITERAL_TEXT,
	WS_LITERAL_NUMBER, /* a match inside a word is none */
	WS_LITERAL_WORD,   /* of a string: only where it is quoted */
};

struct ws_literal {
	size_t at, len; /* in ws_literals.bytes */
	enum ws_literal_kind kind;
};

#endif
