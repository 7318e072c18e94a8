/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kernel.h: thin wrappers around what the kernel offers for planting probes; private to probe/.
 */
#ifndef WS_PROBE_KERNEL_H
#define WS_PROBE_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* BPF_TRACE_UPROBE_MULTI and its part of union bpf_attr: Linux 6.6 (89ae89f53d20), newer than the
 * headers and the libbpf of Debian 12. */
#define WS_BPF_TRACE_UPROBE_MULTI 48

/* Plants `count` sites of a file with one link. Returns its descriptor, or -errno. */
int ws_kernel_link_uprobes(int prog_fd, const char *path, const uint64_t *offsets,
			   const uint64_t *cookies, uint32_t count);

/* Does uprobe_multi work for this process? Tried without planting anything. */
bool ws_kernel_has_uprobe_multi(void);

/* May this process have perf events of uprobes? Returns 0, or the errno that says why not. */
int ws_kernel_try_uprobe_perf(void);

/*
 * Does walscope run in a pid namespace of its own, as in a container? The programs tell processes
 * by the numbers of the host, and what is found in /proc has other ones there: sessions could not
 * be told by both. Servers may be in any namespace.
 */
bool ws_kernel_has_other_pids(void);
#define WS_KERNEL_PIDS_WHY                                                                    \
	"walscope is in a pid namespace of its own, where processes have other numbers than " \
	"the kernel's programs see"
#define WS_KERNEL_PIDS_FIX                                                                \
	"run it on the host, servers in containers are found from there; or: docker run " \
	"--pid=host"

#endif
