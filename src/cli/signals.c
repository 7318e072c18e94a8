/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/signals.h"

#include <stddef.h>

static volatile sig_atomic_t stop;

static void on_signal(int sig)
{
	(void)sig;
	stop = 1;
}

const volatile sig_atomic_t *ws_signals_catch(void)
{
	/* No SA_RESTART: a wait for events ends at once. The handler stays, so that a second signal
	 * does not cut the recording that the first one is about to close. */
	struct sigaction action = { .sa_handler = on_signal }, old;

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	if (sigaction(SIGHUP, NULL, &old) == 0 && old.sa_handler != SIG_IGN)
		sigaction(SIGHUP, &action, NULL);
	return &stop;
}
