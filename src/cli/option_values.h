/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * option_values.h: what the options' arguments may be.
 */
#ifndef WS_CLI_OPTION_VALUES_H
#define WS_CLI_OPTION_VALUES_H

#include <stdint.h>

#include "base/error.h"
#include "cli/options.h"

/* Options by argp's key; those with a letter have that for a key. */
enum {
	KEY_PID = 0x100,
	KEY_POSTMASTER,
	KEY_POSTGRES,
	KEY_APP,
	KEY_SLOT,
	KEY_KIND,
	KEY_SESSION,
	KEY_FROM,
	KEY_TO,
	KEY_AROUND,
	KEY_FORMAT,
	KEY_TIMEZONE,
	KEY_LIVE,
	KEY_DURATION,
	KEY_LEVEL,
	KEY_RING,
	KEY_ATTACH,
	KEY_JSON,
	KEY_REDACT,
	KEY_ELF,
	KEY_NO_DEBUG_INFO,
	KEY_SKIP,
	KEY_ALL,
	KEY_FLIGHT,
	KEY_LAST,
	KEY_BACKTRACE,
};

/* Says "NAME VALUE: WHY" (VALUE may be NULL) and returns EINVAL. */
int ws_option_refuse(struct ws_error *err, const char *why, const char *name, const char *value);
/*
 * Takes the argument of an option. `given`: bits, 0 at first, of the options that were there
 * before. Returns 0, EINVAL (err says why), ARGP_ERR_UNKNOWN if this option has no argument. The
 * argument has to live as long as the options.
 */
int ws_option_take(int key, const char *arg, struct ws_options *options, uint64_t *given,
		   struct ws_error *err);

#endif
