/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Records that a server's other processes make: signals to walsenders and postmasters, and reports
 * that a slot is taken away. They are in no session's sequence, so that nothing but the counters
 * tells of lost ones.
 */
#include "base/util.h"
#include "live/private.h"

static bool is_ignored_target(const struct ws_live *live, const struct ws_rec_signal *signal)
{
	const struct ws_rec target = {
		.pid = signal->target_pid,
		.start_ns = signal->target_start_ns,
	};

	return ws_live_is_ignored(live, &target);
}

/* Is this one of a server that the filters want, or may it be one? */
static bool is_of_wanted_server(const struct ws_live *live, uint32_t pid)
{
	struct ws_process process;
	int wanted = ws_live_wants_postmaster(live, pid);

	if (wanted >= 0)
		return wanted;
	return !ws_proc_read(&live->proc, pid, &process) ||
	       ws_live_wants_postmaster(live, process.parent) != 0;
}

bool ws_live_wants_alone(const struct ws_live *live, const struct ws_rec *rec)
{
	const struct ws_rec_signal *signal = (const struct ws_rec_signal *)rec;
	const struct ws_rec_slot *slot = (const struct ws_rec_slot *)rec;

	if (rec->kind == WS_KIND_SLOT && rec->size >= sizeof(*slot))
		return is_of_wanted_server(live, slot->by_pid);
	if (rec->kind != WS_KIND_SIGNAL || rec->size < sizeof(*signal))
		return true;
	if (live->options->pid && signal->target_pid != live->options->pid &&
	    ws_live_wants_postmaster(live, signal->target_pid) < 0)
		return false;
	return !is_ignored_target(live, signal) && is_of_wanted_server(live, signal->target_pid);
}

void ws_live_complete_signal(const struct ws_live *live, struct ws_rec_signal *signal)
{
	char title[256];

	if (signal->role == WS_ROLE_BACKEND &&
	    ws_proc_title(&live->proc, signal->sender_pid, title, sizeof(title)) &&
	    ws_title_takes_slots(title))
		signal->role = WS_ROLE_CHECKPOINTER;
}

int ws_live_report_lost_alone(struct ws_live *live, const uint64_t *counters, uint64_t since_ns)
{
	uint64_t lost = counters[WS_COUNTER_LOST_KIND + WS_KIND_SIGNAL] +
			counters[WS_COUNTER_LOST_KIND + WS_KIND_SLOT];
	uint64_t more = lost - live->lost_alone;

	if (!more)
		return 0;
	live->lost_alone = lost;
	return ws_live_emit_gap(live, WS_GAP_RING_FULL, since_ns, more);
}
