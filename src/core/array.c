/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The walsenders of a server, out of what any of its processes shares: WalSndCtl, the replication
 * slots, and the arrays of backend statuses. Of the latter the index of shared memory says where
 * they are and how large, so that an entry's size needs no layout (backend_status.c,
 * BackendStatusShmemInit; up to 13 pgstat.c): all of them have as many entries.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/util.h"
#include "core/parts.h"
#include "shmem/names.h"
#include "target/proc.h"

#define WALSENDERS_MAX 0x3ffff /* MAX_BACKENDS */
#define STATUS_MAX     4096    /* bytes of an entry; 18 has some 450 */
#define ENTRIES_MAX    0x80000
#define LAG_UNKNOWN    (-1)

struct statuses {
	uint64_t entries, names, activities;
	uint64_t count, entry_size, activity_size;
};

static bool find_statuses(const struct ws_core_impl *impl, struct statuses *s)
{
	const struct ws_shmem *shmem = &impl->shmem;
	uint64_t entries_size, names_size, activities_size = 0;

	*s = (struct statuses){ 0 };
	if (!impl->has_shmem ||
	    !ws_shmem_find(shmem, "Backend Status Array", &s->entries, &entries_size) ||
	    !ws_shmem_find(shmem, "Backend Application Name Buffer", &s->names, &names_size))
		return false;
	s->count = names_size / WS_NAME_LEN;
	if (!s->count || s->count > ENTRIES_MAX)
		return false;
	s->entry_size = entries_size / s->count;
	if (ws_shmem_find(shmem, "Backend Activity Buffer", &s->activities, &activities_size))
		s->activity_size = activities_size / s->count;
	return s->entry_size >= 64 && s->entry_size <= STATUS_MAX;
}

/* st_clientaddr: what accept(2) said of the peer. Of a Unix socket nothing but its family. */
static void read_client(const struct ws_shmem *shmem, uint64_t address,
			struct ws_core_walsender *row)
{
	struct sockaddr_storage addr;
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&addr;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&addr;

	if (!ws_shmem_read(shmem, address, &addr, sizeof(addr)))
		return;
	switch (addr.ss_family) {
	case AF_UNIX:
		snprintf(row->host, sizeof(row->host), "[local]");
		break;
	case AF_INET:
		inet_ntop(AF_INET, &v4->sin_addr, row->host, sizeof(row->host));
		row->port = ntohs(v4->sin_port);
		break;
	case AF_INET6:
		inet_ntop(AF_INET6, &v6->sin6_addr, row->host, sizeof(row->host));
		row->port = ntohs(v6->sin6_port);
		break;
	}
}

static bool read_entry(const struct ws_core_impl *impl, const struct statuses *s, uint64_t i,
		       uint32_t offset, void *out, size_t size)
{
	return offset != WS_UNKNOWN && offset + size <= s->entry_size &&
	       ws_shmem_read(&impl->shmem, s->entries + i * s->entry_size + offset, out, size);
}

static void read_text(const struct ws_shmem *shmem, uint64_t address, char *out, size_t size)
{
	out[0] = '\0';
	if (size && ws_shmem_read(shmem, address, out, size))
		out[size - 1] = '\0';
}

static void read_status(const struct ws_core_impl *impl, const struct statuses *s, uint64_t i,
			struct ws_core_walsender *row)
{
	const struct ws_shmem *shmem = &impl->shmem;
	const struct ws_offsets *off = &impl->layout.off;
	size_t len =
		s->activity_size < sizeof(row->command) ? s->activity_size : sizeof(row->command);
	int64_t us;

	read_text(shmem, s->names + i * WS_NAME_LEN, row->application, WS_NAME_LEN);
	read_text(shmem, s->activities + i * s->activity_size, row->command, len);
	if (read_entry(impl, s, i, off->backend_start, &us, sizeof(us)) && us > 0 &&
	    us < INT64_MAX / 1000 - WS_CORE_EPOCH_US)
		row->start_wall_ns = (us + WS_CORE_EPOCH_US) * 1000;
	row->has_oids = read_entry(impl, s, i, off->backend_database, &row->database_oid, 4) &&
			read_entry(impl, s, i, off->backend_user, &row->user_oid, 4);
	if (off->backend_client != WS_UNKNOWN &&
	    off->backend_client + sizeof(struct sockaddr_storage) <= s->entry_size)
		read_client(shmem, s->entries + i * s->entry_size + off->backend_client, row);
}

static void add_statuses(struct ws_core *core, const struct ws_core_impl *impl)
{
	struct statuses s;
	int32_t pid;

	if (!find_statuses(impl, &s))
		return;
	for (uint64_t i = 0; i < s.count; i++) {
		if (!read_entry(impl, &s, i, impl->layout.off.backend_pid, &pid, sizeof(pid)) ||
		    pid <= 0)
			continue;
		for (size_t k = 0; k < core->walsender_count; k++)
			if (core->walsenders[k].ns_pid == (uint32_t)pid)
				read_status(impl, &s, i, &core->walsenders[k]);
	}
}

static int add_names(struct ws_core *core, const struct ws_core_impl *impl)
{
	size_t count = core->walsender_count;
	ws_autofree struct ws_catalog_name *names = calloc(2 * count + 1, sizeof(*names));

	if (!names)
		return -1;
	for (size_t k = 0; k < count; k++) {
		names[2 * k].oid = core->walsenders[k].user_oid;
		names[2 * k + 1].oid = core->walsenders[k].database_oid;
		names[2 * k + 1].database = true;
	}
	if (impl->has_shmem)
		ws_catalog_names_read(&impl->shmem, names, 2 * count);
	for (size_t k = 0; k < count; k++) {
		memcpy(core->walsenders[k].user, names[2 * k].name, WS_NAME_LEN);
		memcpy(core->walsenders[k].database, names[2 * k + 1].name, WS_NAME_LEN);
	}
	return 0;
}

static void name_session(struct ws_core_walsender *row, const struct ws_process *process)
{
	if (row->ns_pid != process->ns_pid)
		return;
	row->pid = process->pid;
	row->start_ns = process->start_ticks * WS_TICK_NS;
}

/*
 * Which sessions they are: of a running server by /proc, of a dump's by their start, as the dump's
 * own is (core.h), unless the dump's pid is of another namespace than the server's.
 */
static void name_sessions(struct ws_core *core, const struct ws_core_impl *impl)
{
	const struct ws_proc proc = { .root = "/proc" };
	struct ws_server_list list = { 0 };
	struct ws_error ignored;

	for (size_t k = 0; impl->memory && core->pid == core->ns_pid && k < core->walsender_count;
	     k++) {
		struct ws_core_walsender *row = &core->walsenders[k];

		if (!row->start_wall_ns)
			continue;
		row->pid = row->ns_pid;
		row->start_ns = ws_core_to_tick(row->start_wall_ns);
	}
	if (impl->memory || ws_proc_servers(&proc, &list, NULL, &ignored))
		return;
	for (size_t i = 0; i < list.count; i++) {
		if (list.servers[i].process.pid != core->postmaster_pid)
			continue;
		for (size_t c = 0; c < list.servers[i].child_count; c++)
			for (size_t k = 0; k < core->walsender_count; k++)
				name_session(&core->walsenders[k], &list.servers[i].children[c]);
	}
	ws_server_list_deinit(&list);
}

static void add_slot(const struct ws_core_impl *impl, struct ws_core_walsender *row)
{
	for (size_t i = 0; i < impl->slots.count; i++) {
		const struct ws_slot *slot = &impl->slots.slots[i];

		if (slot->problem[0] || (uint32_t)slot->active_pid != row->ns_pid)
			continue;
		memcpy(row->slot, slot->name, sizeof(row->slot));
		row->logical = slot->logical;
	}
	row->physical = impl->has_slots && !row->logical &&
			(row->slot[0] || row->state == WS_WALSND_CATCHUP ||
			 row->state == WS_WALSND_STREAMING);
}

static bool read_member(const struct ws_core_impl *impl, uint64_t address, uint32_t offset,
			void *out, size_t size)
{
	return offset != WS_UNKNOWN && ws_core_read(impl, address + offset, out, size);
}

static bool read_walsender(const struct ws_core_impl *impl, uint64_t address,
			   struct ws_core_walsender *row)
{
	const struct ws_offsets *off = &impl->layout.off;
	int64_t *lags[] = { &row->write_lag_us, &row->flush_lag_us, &row->apply_lag_us };
	uint32_t lag_offsets[] = { off->walsnd_write_lag, off->walsnd_flush_lag,
				   off->walsnd_apply_lag };

	if (!read_member(impl, address, off->walsnd_state, &row->state, sizeof(row->state)) ||
	    row->state > WS_WALSND_STOPPING ||
	    !read_member(impl, address, off->walsnd_sent, &row->sent_lsn, 8) ||
	    !read_member(impl, address, off->walsnd_write, &row->write_lsn, 8) ||
	    !read_member(impl, address, off->walsnd_flush, &row->flush_lsn, 8) ||
	    !read_member(impl, address, off->walsnd_apply, &row->apply_lsn, 8))
		return false;
	for (size_t i = 0; i < WS_ARRAY_SIZE(lags); i++)
		if (!read_member(impl, address, lag_offsets[i], lags[i], 8) || *lags[i] < 0)
			*lags[i] = LAG_UNKNOWN;
	if (!read_member(impl, address, off->walsnd_sync_priority, &row->sync_priority, 4))
		row->sync_priority = -1;
	add_slot(impl, row);
	return true;
}

int ws_core_array(struct ws_core *core)
{
	struct ws_core_impl *impl = core->impl;
	const struct ws_offsets *off = &impl->layout.off;
	uint64_t control;
	int32_t max, pid;

	if (off->walsndctl_walsnds == WS_UNKNOWN || off->walsnd_size == WS_UNKNOWN ||
	    !ws_core_variable(impl, "WalSndCtl", &control, sizeof(control)) || !control ||
	    !ws_core_variable(impl, "max_wal_senders", &max, sizeof(max)) || max < 0 ||
	    max > WALSENDERS_MAX)
		return 0;
	for (int32_t i = 0; i < max; i++) {
		uint64_t address =
			control + off->walsndctl_walsnds + (uint64_t)i * off->walsnd_size;
		struct ws_core_walsender *row;

		/* pid is the first member of struct WalSnd. */
		if (!ws_core_read(impl, address, &pid, sizeof(pid)))
			return 0;
		if (pid <= 0)
			continue;
		row = ws_array_grow(&core->walsenders, &core->walsender_count, &core->walsender_cap,
				    sizeof(*row));
		if (!row)
			return -1;
		row->ns_pid = (uint32_t)pid;
		if (!read_walsender(impl, address, row)) {
			core->walsender_count--;
			core->torn = true;
		}
	}
	core->has_walsenders = true;
	add_statuses(core, impl);
	name_sessions(core, impl);
	return add_names(core, impl);
}
