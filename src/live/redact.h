/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * redact.h: takes literals out of the texts of a stream of records, in front of whoever keeps or
 * prints them. What is taken out, session/redact.h says.
 *
 * The pieces of a text are held until it is whole. Then as many are handed on, with the numbers
 * they had: the last ones empty where the text has become shorter. A text that outgrows its pieces
 * is cut. Behind a lost piece nothing is known of what stands in a text: such pieces are handed on
 * empty. A hash is taken out, since it would tell a text that was guessed.
 */
#ifndef WS_LIVE_REDACT_H
#define WS_LIVE_REDACT_H

#include "event/order.h"

struct ws_redact; /* opaque */

struct ws_redact *ws_redact_new(struct ws_sink next); /* NULL: out of memory */
void ws_redact_free(struct ws_redact *redact);
/* A sink; its arg is a struct ws_redact. Records as the order module hands them on. */
int ws_redact_feed(void *arg, const struct ws_rec *rec);

#endif
