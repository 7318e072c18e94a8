/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * attach.h: loads the programs and plants the sites of plans. The only part of probe/ that needs
 * privileges. Nothing stays in the kernel after ws_tracer_free or after the process dies, however.
 *
 *   ws_tracer_new            host.bpf.c: maps, ring buffer, exits
 *   ws_tracer_add_server     server.bpf.c for one binary: load
 *   ws_tracer_seed           session entries of walsenders that already run
 *   ws_tracer_attach_server  plant
 */
#ifndef WS_PROBE_ATTACH_H
#define WS_PROBE_ATTACH_H

#include "base/error.h"
#include "base/log.h"
#include "probe/plan.h"

struct ws_tracer; /* opaque */

/* How sites are hung on the kernel. */
enum ws_attach_method {
	WS_ATTACH_AUTO = 0,
	WS_ATTACH_UPROBE_MULTI = 1, /* 6.6 and later: few links, quick to detach */
	WS_ATTACH_PERF = 2,	    /* a perf event per site: slow to detach */
};

struct ws_tracer_options {
	size_t ring_bytes; /* a power of two, a multiple of the page size; 0: 16 MiB */
	enum ws_attach_method method;
	/* The highest level of its servers. From 2 on walsenders are seen to sleep and wake, which
	 * costs each switch of the host a little, at 3 to wait for a CPU. */
	int level;
	const struct ws_log *log;
};

/* What the kernel offers, found by trying, never read off its release. For doctor. */
struct ws_kernel_features {
	bool bpf_allowed; /* bpf() works for this process */
	bool ring_buffer;
	bool btf; /* /sys/kernel/btf/vmlinux */
	bool uprobe_multi;
	bool uprobe_perf; /* perf events of the uprobe PMU */
	bool attach_cookie;
	bool process_vm_readv;
	bool task_iterator; /* for the counters of sockets while they are in use */
	char release[65];
	char problem[256]; /* the first thing that is missing, "" if nothing */
	char fix[256];
};
void ws_kernel_probe(struct ws_kernel_features *features);

int ws_tracer_new(struct ws_tracer **tracer, const struct ws_tracer_options *options,
		  struct ws_error *err);
/* Detaches everything and frees. */
void ws_tracer_free(struct ws_tracer *tracer);

/*
 * Loads the programs for one server binary, attaches nothing yet. `exe_fd` is an open descriptor of
 * the binary (/proc/PID/exe), kept open by the caller until the server is removed. *server gets its
 * number (1 and up).
 */
int ws_tracer_add_server(struct ws_tracer *tracer, const struct ws_plan *plan, int exe_fd,
			 uint16_t *server, struct ws_error *err);
/* Puts the entry of a walsender that already runs into the session map. To be called before
 * attaching; an entry that is already there (the programs were faster) is left alone. The caller
 * fills start_ns (whole clock ticks), base, server, flags, and in a command the stage and what a
 * turn of that stream is; where the accounting begins is filled in here if it is 0. Returns 1 if it
 * was put in, 0 if there was one, -1 on failure. */
int ws_tracer_seed(struct ws_tracer *tracer, uint32_t pid, const struct ws_entry *entry,
		   struct ws_error *err);
int ws_tracer_attach_server(struct ws_tracer *tracer, uint16_t server, struct ws_error *err);
/* Takes all sites out; maps, counters and what is in the ring stay readable. The ends of processes
 * are seen until ws_tracer_detach_exits: behind that no entry and no counter changes any more. */
void ws_tracer_detach(struct ws_tracer *tracer);
void ws_tracer_detach_exits(struct ws_tracer *tracer);
/* Takes the sites of one server out again (its last postmaster is gone). */
void ws_tracer_remove_server(struct ws_tracer *tracer, uint16_t server);

enum ws_attach_method ws_tracer_method(const struct ws_tracer *tracer);

/* May this process read the maps (still)? */
bool ws_tracer_works(const struct ws_tracer *tracer);

/* For event/ring: the descriptor of the ring-buffer map. */
int ws_tracer_ring_fd(const struct ws_tracer *tracer);

/* A copy of a session's entry; false if there is none. */
bool ws_tracer_entry(const struct ws_tracer *tracer, uint32_t pid, struct ws_entry *entry);
/* Deletes the entry of a session whose exit has been seen, whose process is known to be gone, or
 * that nobody wants. That of another one is left alone: the pid may have been given to a new
 * walsender since. */
void ws_tracer_forget_session(struct ws_tracer *tracer, uint32_t pid, uint64_t start_ns);
/* Calls fn for each entry (pid, entry) of the session map. */
void ws_tracer_each_entry(const struct ws_tracer *tracer,
			  void (*fn)(void *arg, uint32_t pid, const struct ws_entry *entry),
			  void *arg);

/* Takes a sample of all sessions and their sockets, and calls fn for each. Nothing on kernels
 * without the iterator. Returns 0 or -errno. */
int ws_tracer_each_sample(const struct ws_tracer *tracer,
			  void (*fn)(void *arg, const struct ws_taken *taken), void *arg);
/* From now on deadly signals to this postmaster (start in whole clock ticks) are reported, as those
 * to walsenders are; until it is removed. */
void ws_tracer_add_postmaster(struct ws_tracer *tracer, uint32_t pid, uint64_t start_ns);
void ws_tracer_remove_postmaster(struct ws_tracer *tracer, uint32_t pid, uint64_t start_ns);

/* Sums over all CPUs. */
void ws_tracer_counters(const struct ws_tracer *tracer, uint64_t counters[WS_COUNTER_COUNT]);
/* Has this site of this server fired since it was planted? */
bool ws_tracer_site_hit(const struct ws_tracer *tracer, uint16_t server, enum ws_site site);

#endif
