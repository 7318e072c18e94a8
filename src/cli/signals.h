/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * signals.h: SIGINT, SIGTERM and SIGHUP end a trace in good order; so does a second one.
 */
#ifndef WS_CLI_SIGNALS_H
#define WS_CLI_SIGNALS_H

#include <signal.h>

/* Catches them (SIGHUP unless it is ignored, as under nohup) and returns the flag they set. */
const volatile sig_atomic_t *ws_signals_catch(void);

#endif
