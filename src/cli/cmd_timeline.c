/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/cli.h"
#include "cli/view.h"

static int segment(struct ws_view_run *run, const struct ws_session *session,
		   const struct ws_segment *s)
{
	return ws_export_segment(&run->ex, session, s);
}

enum ws_exit ws_cmd_timeline(const struct ws_options *options, struct ws_error *err)
{
	static const struct ws_view_ops ops = { .view = WS_VIEW_TIMELINE,
						.alone = true,
						.segment = segment };

	return ws_view_main(options, &ops, err);
}
