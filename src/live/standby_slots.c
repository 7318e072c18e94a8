/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which slot failover slots wait for: synchronized_standby_slots (17 and later) names physical
 * slots, and a failover slot's walsender holds its output back until the standbys of all of them
 * have confirmed it (StandbySlotsHaveCaughtup, slot.c). One is enough to wait for.
 */
#include <ctype.h>
#include <string.h>

#include "base/util.h"
#include "live/private.h"
#include "shmem/slots.h"
#include "target/memory.h"

/* The list is separated by commas; its names are identifiers of slots, perhaps in quotes. */
static const char *next_name(const char *at, char name[WS_NAME_LEN])
{
	size_t len = 0;

	while (*at == ',' || *at == '"' || isspace((unsigned char)*at))
		at++;
	if (!*at)
		return NULL;
	for (; *at && *at != ',' && *at != '"' && !isspace((unsigned char)*at); at++)
		if (len + 1 < WS_NAME_LEN)
			name[len++] = *at;
	memset(name + len, 0, WS_NAME_LEN - len);
	return at;
}

static const struct ws_slot *find(const struct ws_slot_list *slots, const char *name)
{
	for (size_t i = 0; i < slots->count; i++)
		if (!slots->slots[i].problem[0] && !strcmp(slots->slots[i].name, name))
			return &slots->slots[i];
	return NULL;
}

/* One that could not be read may be any. */
static bool are_all_read(const struct ws_slot_list *slots)
{
	for (size_t i = 0; i < slots->count; i++)
		if (slots->slots[i].problem[0])
			return false;
	return true;
}

static enum ws_standby_why judge(const struct ws_slot *slot)
{
	if (!slot)
		return WS_STANDBY_MISSING;
	if (slot->logical)
		return WS_STANDBY_LOGICAL;
	if (slot->invalid != WS_SLOT_VALID)
		return WS_STANDBY_INVALID;
	return slot->active_pid ? WS_STANDBY_BEHIND : WS_STANDBY_INACTIVE;
}

/* What can never be waited for to an end comes first, then the least position. */
static bool is_worse(enum ws_standby_why why, uint64_t lsn, const struct ws_cluster *than)
{
	bool hopeless = why >= WS_STANDBY_MISSING && why <= WS_STANDBY_INVALID;
	bool was =
		than->standby_why >= WS_STANDBY_MISSING && than->standby_why <= WS_STANDBY_INVALID;

	if (hopeless != was)
		return hopeless;
	return !hopeless && lsn < than->standby_lsn;
}

void ws_live_judge_standby_slots(const char *names, const struct ws_slot_list *slots,
				 struct ws_cluster *cluster)
{
	char name[WS_NAME_LEN];

	while ((names = next_name(names, name))) {
		const struct ws_slot *slot = find(slots, name);
		enum ws_standby_why why = judge(slot);
		uint64_t lsn = slot ? slot->restart_lsn : 0;

		if (!slot && !are_all_read(slots))
			continue;
		if ((cluster->valid & WS_CLUSTER_STANDBY_SLOT) && !is_worse(why, lsn, cluster))
			continue;
		cluster->valid |= WS_CLUSTER_STANDBY_SLOT;
		cluster->standby_why = why;
		cluster->standby_lsn = lsn;
		memcpy(cluster->standby_slot, name, sizeof(cluster->standby_slot));
	}
}

void ws_live_look_at_standby_slots(const struct ws_known_postmaster *item,
				   const struct ws_binary *binary, struct ws_cluster *cluster)
{
	const struct ws_image_symbol *variable =
		ws_image_symbol(binary->image, "synchronized_standby_slots");
	char names[1024];
	struct ws_shmem_variables var;
	struct ws_slot_list slots = { 0 };
	struct ws_wal wal = { 0 };
	struct ws_shmem shmem;
	struct ws_error why;
	uint64_t text;

	if (!variable || variable->is_function ||
	    !ws_memory_read(item->pid, item->base + variable->address, &text, sizeof(text)) ||
	    !text || ws_memory_read_string(item->pid, text, names, sizeof(names), NULL) <= 0)
		return;
	ws_shmem_variables_find(binary->image, &var);
	if (ws_shmem_open(&shmem, item->pid, item->base, binary->major, &binary->plan.config.off,
			  &var, &why) ||
	    ws_slots_read(&shmem, &wal, &slots, &why))
		return;
	ws_live_judge_standby_slots(names, &slots, cluster);
	ws_slot_list_deinit(&slots);
}
