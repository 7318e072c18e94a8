/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * server.bpf.c: the probes of one server binary. Loaded once per binary, with that binary's
 * addresses and offsets in `cfg`; its maps are the host object's.
 *
 * Two variants, of which the loader takes one: a program per group of sites that tells them apart
 * by the attach cookie (uprobe_multi), and a program per site (perf events, which have no cookies
 * on 5.10). on_sleep is called by the host object's program, in place of a site at each wait.
 */
#include "sites.h"
#include "on_session.h"
#include "on_error.h"
#include "on_backup.h"
#include "on_loop.h"
#include "on_decoding.h"
#include "on_detail.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define HANDLE(name)                                  \
	{                                             \
		if (!site_hit[WS_SITE_##name])        \
			site_hit[WS_SITE_##name] = 1; \
		on_##name(ctx);                       \
	}

#define CASE(name)           \
	case WS_SITE_##name: \
		HANDLE(name) \
		break;

SEC("uprobe")
int group_session(struct pt_regs *ctx)
{
	switch (bpf_get_attach_cookie(ctx)) {
		WS_SITES_SESSION(CASE)
	}
	return 0;
}

SEC("uprobe")
int group_loop(struct pt_regs *ctx)
{
	switch (bpf_get_attach_cookie(ctx)) {
		WS_SITES_LOOP(CASE)
	}
	return 0;
}

SEC("uprobe")
int group_detail(struct pt_regs *ctx)
{
	switch (bpf_get_attach_cookie(ctx)) {
		WS_SITES_DETAIL(CASE)
	}
	return 0;
}

#define SITE_PROGRAM(name)                   \
	SEC("uprobe")                        \
	int site_##name(struct pt_regs *ctx) \
	{                                    \
		HANDLE(name)                 \
		return 0;                    \
	}
WS_SITES_SESSION(SITE_PROGRAM)
WS_SITES_LOOP(SITE_PROGRAM)
WS_SITES_DETAIL(SITE_PROGRAM)

SEC("tp_btf/sched_switch")
int on_sleep(__u64 *ctx)
{
	const struct task_struct *prev = (const struct task_struct *)ctx[1];
	__u32 pid = prev->pid;
	struct ws_entry *e = session_of(pid);

	/* Its memory may be gone, and says what it did when it was killed. */
	if (e && !(prev->flags & PF_EXITING))
		sleep(e, pid, task_state(prev) & TASK_STOPPED_OR_TRACED, bpf_ktime_get_ns());
	return 0;
}
