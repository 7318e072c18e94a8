/* SPDX-License-Identifier: BSD-2-Clause */
/* What the programs and their loader share: sessions, postmasters, samples, counters. */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "probe/tracer.h"

bool ws_tracer_works(const struct ws_tracer *t)
{
	uint32_t pid = 0;

	/* No session has this pid: that there is none is the answer. */
	return bpf_map_delete_elem(bpf_map__fd(t->host->maps.sessions), &pid) == 0 ||
	       errno == ENOENT;
}

int ws_tracer_ring_fd(const struct ws_tracer *t)
{
	return bpf_map__fd(t->host->maps.rb);
}

int ws_tracer_seed(struct ws_tracer *t, uint32_t pid, const struct ws_entry *entry,
		   struct ws_error *err)
{
	struct ws_entry e = *entry;
	char where[32];

	/* What the programs add up from here on begins now, unless the caller knows better. */
	if (e.flags & WS_ENTRY_IN_COMMAND && !e.mark_ns)
		e.mark_ns = ws_clock_mono_ns();
	if (e.mark_ns && !e.turn.begin_ns) {
		e.turn.begin_ns = e.mark_ns;
		e.turn.h.flags |= WS_TURN_ATTACHED;
	}
	t->watched->may_be[pid % WS_WATCHED_PIDS] = 1;
	if (bpf_map_update_elem(bpf_map__fd(t->host->maps.sessions), &pid, &e, BPF_NOEXIST) == 0)
		return 1;
	if (errno == EEXIST)
		return 0;
	snprintf(where, sizeof(where), "pid %u", pid);
	if (errno == E2BIG)
		return ws_error_set(err, "cannot follow the walsender", where,
				    "%d sessions are being followed already", WS_SESSIONS_MAX);
	return ws_error_errno(err, errno, "cannot follow the walsender", where);
}

bool ws_tracer_entry(const struct ws_tracer *t, uint32_t pid, struct ws_entry *entry)
{
	return bpf_map_lookup_elem(bpf_map__fd(t->host->maps.sessions), &pid, entry) == 0;
}

void ws_tracer_forget_session(struct ws_tracer *t, uint32_t pid, uint64_t start_ns)
{
	struct ws_entry entry;

	if (ws_tracer_entry(t, pid, &entry) && entry.start_ns == start_ns)
		bpf_map_delete_elem(bpf_map__fd(t->host->maps.sessions), &pid);
}

void ws_tracer_each_entry(const struct ws_tracer *t,
			  void (*fn)(void *arg, uint32_t pid, const struct ws_entry *entry),
			  void *arg)
{
	int fd = bpf_map__fd(t->host->maps.sessions);
	uint32_t *pids = calloc(WS_SESSIONS_MAX, sizeof(*pids)), *at = NULL;
	struct ws_entry entry;
	size_t n = 0, i;

	/* Keys first: deleting the key one stands on sends the iteration back to its start. */
	while (pids && n < WS_SESSIONS_MAX && bpf_map_get_next_key(fd, at, &pids[n]) == 0)
		at = &pids[n++];
	for (i = 0; i < n; i++)
		if (bpf_map_lookup_elem(fd, &pids[i], &entry) == 0)
			fn(arg, pids[i], &entry);
	free(pids);
}

int ws_tracer_each_sample(const struct ws_tracer *t,
			  void (*fn)(void *arg, const struct ws_taken *taken), void *arg)
{
	struct ws_taken rows[32];
	ws_autoclose int fd = -1;
	uint32_t pid;
	ssize_t got;
	size_t have = 0;

	if (!t->sample)
		return 0;
	/* The iterator goes through all threads of the host: not for nothing. */
	if (bpf_map_get_next_key(bpf_map__fd(t->host->maps.sessions), NULL, &pid))
		return 0;
	fd = bpf_iter_create(bpf_link__fd(t->sample->links.each_task));
	if (fd < 0)
		return -errno;
	/* A read may end within a row. */
	while ((got = read(fd, (char *)rows + have, sizeof(rows) - have)) > 0) {
		size_t rest, i;

		have += (size_t)got;
		rest = have % sizeof(rows[0]);
		for (i = 0; i < have / sizeof(rows[0]); i++)
			fn(arg, &rows[i]);
		memmove(rows, (char *)rows + have - rest, rest);
		have = rest;
	}
	return got < 0 ? -errno : 0;
}

void ws_tracer_add_postmaster(struct ws_tracer *t, uint32_t pid, uint64_t start_ns)
{
	if (bpf_map_update_elem(bpf_map__fd(t->host->maps.postmasters), &pid, &start_ns, BPF_ANY))
		ws_log(t->log, WS_LOG_INFO, "cannot follow signals to postmaster %u: %s", pid,
		       strerror(errno));
}

void ws_tracer_remove_postmaster(struct ws_tracer *t, uint32_t pid, uint64_t start_ns)
{
	int fd = bpf_map__fd(t->host->maps.postmasters);
	uint64_t start;

	if (bpf_map_lookup_elem(fd, &pid, &start) == 0 && start == start_ns)
		bpf_map_delete_elem(fd, &pid);
}

void ws_tracer_counters(const struct ws_tracer *t, uint64_t counters[WS_COUNTER_COUNT])
{
	int cpus = libbpf_num_possible_cpus(), cpu, i;
	ws_autofree uint64_t *values = NULL;
	uint32_t zero = 0;

	memset(counters, 0, WS_COUNTER_COUNT * sizeof(*counters));
	if (cpus <= 0)
		return;
	values = calloc(cpus, WS_COUNTER_COUNT * sizeof(*values));
	if (!values || bpf_map_lookup_elem(bpf_map__fd(t->host->maps.counters), &zero, values) < 0)
		return;
	for (cpu = 0; cpu < cpus; cpu++)
		for (i = 0; i < WS_COUNTER_COUNT; i++)
			counters[i] += values[cpu * WS_COUNTER_COUNT + i];
}
