/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/cli.h"
#include "cli/view.h"

/* A metric without a value is left out: the recording's level may not have it, or nothing happened.
 */
static int finish(struct ws_view_run *run)
{
	for (size_t i = 0; i < run->session_count; i++) {
		const struct ws_session *session = run->sessions[i];

		for (int m = 0; m < WS_METRIC_COUNT; m++)
			if (session->hist[m].count &&
			    ws_export_hist(&run->ex, session, (enum ws_metric)m, &session->hist[m]))
				return -1;
	}
	return 0;
}

enum ws_exit ws_cmd_hist(const struct ws_options *options, struct ws_error *err)
{
	static const struct ws_view_ops ops = { .view = WS_VIEW_HIST,
						.alone = true,
						.finish = finish };

	return ws_view_main(options, &ops, err);
}
