/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What PostgreSQL's sources (10 to 18) say about the wanted static functions and variables. Facts,
 * not measurements: nothing here was taken from one binary's layout.
 */
#include "symbol/recover_parts.h"

#include "base/util.h"

static const struct ws_variable_rule variable_rules[] = {
	/* Every errXXX() accessor of elog.c begins with &errordata[errordata_stack_depth]; they use
	 * different fields, so that an address with a field's offset folded in is not common to
	 * them. */
	{ "errordata",
	  0,
	  { { WS_USE_ADDRESS, "geterrcode" },
	    { WS_USE_ADDRESS, "geterrposition" },
	    { WS_USE_ADDRESS, "internalerrposition" },
	    { WS_USE_ADDRESS, "EmitErrorReport" } } },
	{ "errordata_stack_depth",
	  4,
	  { { WS_USE_READ, "geterrcode" },
	    { WS_USE_READ, "geterrposition" },
	    { WS_USE_READ, "internalerrposition" },
	    { WS_USE_READ, "EmitErrorReport" } } },
	/* Exported from 14 on. */
	{ "MyBEEntry",
	  8,
	  { { WS_USE_READ, "pgstat_progress_start_command" },
	    { WS_USE_READ, "pgstat_progress_update_param" },
	    { WS_USE_READ, "pgstat_progress_end_command" } } },
	{ "sentPtr",
	  8,
	  { { WS_USE_WRITE, "XLogSendPhysical" },
	    { WS_USE_WRITE, "XLogSendLogical" },
	    { WS_USE_READ, "WalSndKeepalive" } } },
	{ "WalSndCaughtUp",
	  1,
	  { { WS_USE_WRITE, "XLogSendPhysical" },
	    { WS_USE_WRITE, "XLogSendLogical" },
	    { WS_USE_READ, "WalSndLoop" } } },
};

const struct ws_variable_rule *ws_variable_rules(size_t *count)
{
	*count = WS_ARRAY_SIZE(variable_rules);
	return variable_rules;
}

static const struct ws_array_rule array_rules[] = {
	/* struct ErrorData begins with elevel, output_to_server and output_to_client (10 to 18). */
	{ "errordata",
	  { { "errfinish", 0, 4 }, { "EmitErrorReport", 4, 1 }, { "EmitErrorReport", 5, 1 } } },
};

const struct ws_array_rule *ws_array_rules(size_t *count)
{
	*count = WS_ARRAY_SIZE(array_rules);
	return array_rules;
}
