/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/cli.h"
#include "cli/view.h"

static int finish(struct ws_view_run *run)
{
	for (size_t i = 0; i < run->session_count; i++)
		if (ws_export_session(&run->ex, run->sessions[i]))
			return -1;
	return 0;
}

enum ws_exit ws_cmd_sessions(const struct ws_options *options, struct ws_error *err)
{
	static const struct ws_view_ops ops = { .view = WS_VIEW_SESSIONS,
						.alone = true,
						.finish = finish };

	return ws_view_main(options, &ops, err);
}
