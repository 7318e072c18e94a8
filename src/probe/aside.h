/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * aside.h: calls a function where SIGKILL to this process does not interrupt it.
 *
 * The kernel takes uprobes off in the context of whoever lets go of them, and writing to a page of
 * the server's code fails there while a SIGKILL is pending (faultin_page, mm/gup.c): "failed to
 * unregister, leaking uprobe" (kernel/events/uprobes.c), and breakpoints stay in the server for
 * nobody until it is probed again. A process that was killed lets go without harm once it exits,
 * but not in the middle of planting or of closing a link.
 */
#ifndef WS_PROBE_ASIDE_H
#define WS_PROBE_ASIDE_H

/*
 * Returns what fn does. It runs in a process of its own, which shares memory and descriptors and
 * goes on to the end of fn if this one is killed; this one waits for it. Signals that can be
 * blocked are until then. Where no process can be had, fn runs in this one.
 */
int ws_aside(int (*fn)(void *arg), void *arg);

#endif
