/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/holders.h"

#include <stdio.h>
#include <string.h>

#include "probe/decoding.h"
#include "target/memory.h"

/* A view of another process of the same server: the same program at the same address. */
static struct ws_shmem of_process(const struct ws_shmem *shmem, uint32_t pid)
{
	struct ws_shmem other = *shmem;

	other.pid = pid;
	return other;
}

static void read_text(const struct ws_shmem *shmem, uint64_t address, char *out, size_t size)
{
	if (!address || ws_memory_read_string(shmem->pid, address, out, size, NULL) < 0)
		out[0] = '\0';
}

/* pg_getnameinfo_all's texts, put together as everywhere. */
static void read_client(const struct ws_shmem *process, char *out, size_t size)
{
	char host[64], port[16];

	ws_shmem_port_text(process, process->off->port_remote_host, host, sizeof(host));
	ws_shmem_port_text(process, process->off->port_remote_port, port, sizeof(port));
	if (host[0] == '[' || !port[0])
		snprintf(out, size, "%s", host);
	else
		snprintf(out, size, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}

/* After the fork a child has its parent's variables: its own pid says that it runs. */
static bool is_itself(const struct ws_shmem *process, uint32_t ns_pid)
{
	int32_t pid = 0;

	return ws_shmem_variable(process, process->var->my_proc_pid, &pid, sizeof(pid)) &&
	       pid == (int32_t)ns_pid;
}

static enum ws_holder_kind kind_of(const struct ws_shmem *process, const struct ws_holder *h)
{
	uint8_t walsender = 0;

	if (ws_shmem_variable(process, process->var->am_walsender, &walsender, 1) && walsender == 1)
		return WS_HOLDER_WALSENDER;
	if (strstr(h->title, "slotsync worker"))
		return WS_HOLDER_SLOTSYNC;
	return h->user[0] ? WS_HOLDER_BACKEND : WS_HOLDER_OTHER;
}

static void fill(const struct ws_shmem *process, const struct ws_proc *proc, struct ws_holder *h)
{
	const struct ws_offsets *off = process->off;
	uint64_t query = 0;

	ws_proc_title(proc, h->pid, h->title, sizeof(h->title));
	ws_shmem_port_text(process, off->port_user, h->user, sizeof(h->user));
	ws_shmem_port_text(process, off->port_database, h->database, sizeof(h->database));
	ws_shmem_port_text(process, off->port_application, h->application, sizeof(h->application));
	read_client(process, h->client, sizeof(h->client));
	if (ws_shmem_variable(process, process->var->query, &query, sizeof(query)))
		read_text(process, query, h->query, sizeof(h->query));
	h->kind = kind_of(process, h);
}

/* The name of a database, from any process that is connected to it. */
static void find_database(const struct ws_shmem *shmem, const struct ws_postmaster *postmaster,
			  uint32_t oid, char *name, size_t size)
{
	for (size_t i = 0; i < postmaster->child_count && !name[0]; i++) {
		struct ws_shmem process = of_process(shmem, postmaster->children[i].pid);
		uint32_t connected = 0;

		if (ws_shmem_variable(&process, shmem->var->my_database_id, &connected, 4) &&
		    connected == oid && is_itself(&process, postmaster->children[i].ns_pid))
			ws_shmem_port_text(&process, shmem->off->port_database, name, size);
	}
}

void ws_holder_find(const struct ws_shmem *shmem, const struct ws_proc *proc,
		    const struct ws_postmaster *postmaster, struct ws_slot_row *row)
{
	const struct ws_slot *slot = row->slot;

	for (size_t i = 0; i < postmaster->child_count && slot->active_pid; i++) {
		const struct ws_process *child = &postmaster->children[i];
		struct ws_shmem process = of_process(shmem, child->pid);

		if (child->ns_pid != (uint32_t)slot->active_pid ||
		    !is_itself(&process, child->ns_pid))
			continue;
		row->holder.pid = child->pid;
		row->holder.ns_pid = child->ns_pid;
		fill(&process, proc, &row->holder);
	}
	if (slot->database)
		find_database(shmem, postmaster, slot->database, row->database,
			      sizeof(row->database));
}

void ws_holder_find_oldest(const struct ws_shmem *shmem, const struct ws_postmaster *postmaster,
			   const struct ws_decoding_binary *binary, struct ws_slot_row *row)
{
	struct ws_decoding_place place = { .pid = row->holder.pid,
					   .base = shmem->base,
					   .off = shmem->off,
					   .my_replication_slot = binary->my_replication_slot };
	struct ws_rec_decoding rec = { 0 };
	struct ws_hold hold = { 0 };
	struct ws_shmem process;
	uint64_t variable, context;
	bool found = false;

	if (!row->slot->logical || row->holder.kind != WS_HOLDER_WALSENDER)
		return;
	variable = ws_decoding_find(&place, binary->data_start, binary->data_end);
	context = variable ? ws_decoding_context(&place, variable) : 0;
	if (!context || !ws_decoding_read(&place, context, false, &rec) || !rec.oldest_xid)
		return;
	for (size_t i = 0; i < postmaster->child_count && !found; i++)
		found = ws_horizon_process(shmem, &postmaster->children[i], rec.oldest_xid, &hold);
	/* One that nobody has any more ended, and its end was not decoded so far. */
	if (!found && !ws_horizon_prepared(shmem, rec.oldest_xid, &hold))
		return;
	row->oldest = hold;
	row->oldest_lsn = rec.oldest_lsn;
	if (!found)
		return;
	process = of_process(shmem, hold.pid);
	ws_shmem_port_text(&process, shmem->off->port_user, row->oldest_user,
			   sizeof(row->oldest_user));
	ws_shmem_port_text(&process, shmem->off->port_application, row->oldest_application,
			   sizeof(row->oldest_application));
}
