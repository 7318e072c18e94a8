/* SPDX-License-Identifier: BSD-2-Clause */
#include "shmem/shmem.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "target/memory.h"
#include "target/proc.h"

#define SHMEM_MAGIC  679834894 /* PGShmemMagic, pg_shmem.h */
#define INDEX_KEY    48	       /* SHMEM_INDEX_KEYSIZE, shmem.h */
#define ELEMENT_HEAD 16	       /* MAXALIGN(sizeof(HASHELEMENT)): link, hash value */
#define SEGMENTS_MAX 256       /* of the hash table; a server has one */
#define BUCKETS_MAX  4096      /* in a segment; a server has 256 */
#define ENTRIES_MAX  65536     /* structures; a loop in torn memory ends there */

static const char what[] = "cannot read the server's shared memory";

static const struct {
	size_t slot;
	const char *name, *former;
} variables[] = {
#define VARIABLE(member, ...)                                            \
	{                                                                \
		offsetof(struct ws_shmem_variables, member), __VA_ARGS__ \
	}
	VARIABLE(slot_ctl, "ReplicationSlotCtl", NULL),
	VARIABLE(max_slots, "max_replication_slots", NULL),
	VARIABLE(next_xid, "TransamVariables", "ShmemVariableCache"),
	VARIABLE(wal_segment_size, "wal_segment_size", NULL),
	VARIABLE(max_wal_size, "max_wal_size_mb", NULL),
	VARIABLE(max_slot_wal_keep_size, "max_slot_wal_keep_size_mb", NULL),
	VARIABLE(wal_keep_size, "wal_keep_size_mb", NULL),
	VARIABLE(max_prepared, "max_prepared_xacts", NULL),
	VARIABLE(my_proc, "MyProc", NULL),
	VARIABLE(my_xact, "MyPgXact", NULL),
	VARIABLE(my_status, "MyBEEntry", NULL),
	VARIABLE(my_proc_pid, "MyProcPid", NULL),
	VARIABLE(my_proc_port, "MyProcPort", NULL),
	VARIABLE(my_database_id, "MyDatabaseId", NULL),
	VARIABLE(am_walsender, "am_walsender", NULL),
	VARIABLE(query, "debug_query_string", NULL),
#undef VARIABLE
};

void ws_shmem_variables_find(const struct ws_image *image, struct ws_shmem_variables *var)
{
	for (size_t i = 0; i < WS_ARRAY_SIZE(variables); i++) {
		uint64_t address = ws_image_variable(image, variables[i].name);

		if (!address && variables[i].former)
			address = ws_image_variable(image, variables[i].former);
		memcpy((char *)var + variables[i].slot, &address, sizeof(address));
	}
}

bool ws_shmem_read(const struct ws_shmem *shmem, uint64_t address, void *out, size_t size)
{
	return ws_memory_get(shmem->memory, shmem->pid, address, out, size);
}

bool ws_shmem_variable(const struct ws_shmem *shmem, uint64_t variable, void *out, size_t size)
{
	if (!variable) {
		errno = ENOENT;
		return false;
	}
	return ws_shmem_read(shmem, shmem->base + variable, out, size);
}

void ws_shmem_port_text(const struct ws_shmem *process, uint32_t field, char *out, size_t size)
{
	uint64_t port = 0, text = 0;

	out[0] = '\0';
	if (field == WS_UNKNOWN ||
	    !ws_shmem_variable(process, process->var->my_proc_port, &port, sizeof(port)) || !port ||
	    !ws_shmem_read(process, port + field, &text, sizeof(text)) || !text ||
	    ws_memory_read_string(process->pid, text, out, size, NULL) < 0)
		out[0] = '\0';
}

bool ws_shmem_holds(const struct ws_shmem *shmem, uint64_t address, uint64_t size)
{
	if (!shmem->size)
		return true;
	return address >= shmem->start && size <= shmem->size &&
	       address - shmem->start <= shmem->size - size;
}

int ws_shmem_failed(const struct ws_shmem *shmem, const char *name, struct ws_error *err)
{
	int errnum = errno;
	char where[32];

	snprintf(where, sizeof(where), "pid %u", shmem->pid);
	ws_error_set(err, what, where, "%s: %s", name,
		     errnum == ENOENT ? "the server's file has no such name" : strerror(errnum));
	if (err)
		err->errnum = errnum;
	if (errnum == EPERM || errnum == EACCES)
		ws_error_fix(err, "run as root, or with CAP_SYS_PTRACE");
	return -1;
}

/* A number of a structure of the server; `offset` may be one the layout does not know. */
static bool read_at(const struct ws_shmem *shmem, uint64_t address, uint32_t offset, void *out,
		    size_t size)
{
	if (offset == WS_UNKNOWN) {
		errno = ENOENT;
		return false;
	}
	return ws_shmem_holds(shmem, address + offset, size) &&
	       ws_shmem_read(shmem, address + offset, out, size);
}

/* Any pointer into the segment. 0: none is set, -1: no access. */
static int read_anchor(const struct ws_shmem *shmem, uint64_t *anchor)
{
	const uint64_t pointers[] = { shmem->var->slot_ctl, shmem->var->next_xid };

	*anchor = 0;
	for (size_t i = 0; i < WS_ARRAY_SIZE(pointers) && !*anchor; i++) {
		if (!ws_shmem_variable(shmem, pointers[i], anchor, sizeof(*anchor)) &&
		    errno != ENOENT)
			return -1;
	}
	return 0;
}

static bool find_mapping(const struct ws_shmem *shmem, uint64_t address, uint64_t *start,
			 uint64_t *end)
{
	static const struct ws_proc proc = { .root = "/proc" };

	if (shmem->memory)
		return shmem->memory->mapping(shmem->memory, address, start, end);
	return ws_proc_mapping_at(&proc, shmem->pid, address, start, end);
}

int ws_shmem_open(struct ws_shmem *shmem, uint32_t pid, uint64_t base, int major,
		  const struct ws_offsets *off, const struct ws_shmem_variables *var,
		  struct ws_error *err)
{
	return ws_shmem_open_memory(shmem, NULL, pid, base, major, off, var, err);
}

int ws_shmem_open_memory(struct ws_shmem *shmem, const struct ws_memory *memory, uint32_t pid,
			 uint64_t base, int major, const struct ws_offsets *off,
			 const struct ws_shmem_variables *var, struct ws_error *err)
{
	uint64_t anchor, start, end, size, index;
	int32_t magic = 0;

	*shmem = (struct ws_shmem){
		.pid = pid, .memory = memory, .base = base, .major = major, .off = off, .var = var
	};
	if (read_anchor(shmem, &anchor))
		return ws_shmem_failed(shmem, "ReplicationSlotCtl", err);
	if (!anchor || !find_mapping(shmem, anchor, &start, &end) ||
	    !ws_shmem_read(shmem, start, &magic, sizeof(magic)) || magic != SHMEM_MAGIC ||
	    !read_at(shmem, start, off->shmem_totalsize, &size, sizeof(size)) ||
	    !read_at(shmem, start, off->shmem_index, &index, sizeof(index)) || size > end - start)
		return 0;
	shmem->start = start;
	shmem->size = size;
	shmem->index = ws_shmem_holds(shmem, index, off->hash_size) ? index : 0;
	return 0;
}

/* The hash table's own description (dynahash.c, struct HASHHDR). */
struct table {
	uint64_t segments, segment_size, key_size, entry_size;
	uint32_t max_bucket;
};

static bool read_table(const struct ws_shmem *shmem, struct table *t)
{
	const struct ws_offsets *off = shmem->off;

	return shmem->index && off->hash_size != WS_UNKNOWN &&
	       read_at(shmem, shmem->index, off->hash_nsegs, &t->segments, 8) &&
	       read_at(shmem, shmem->index, off->hash_ssize, &t->segment_size, 8) &&
	       read_at(shmem, shmem->index, off->hash_keysize, &t->key_size, 8) &&
	       read_at(shmem, shmem->index, off->hash_entrysize, &t->entry_size, 8) &&
	       read_at(shmem, shmem->index, off->hash_max_bucket, &t->max_bucket, 4) &&
	       t->segments && t->segments <= SEGMENTS_MAX && t->segment_size &&
	       t->segment_size <= BUCKETS_MAX && t->key_size == INDEX_KEY &&
	       t->entry_size >= INDEX_KEY + 16;
}

/* ShmemIndexEnt, behind the element's head. */
struct entry {
	uint64_t link;
	uint64_t hash;
	char key[INDEX_KEY];
	uint64_t location, size;
};

static bool search_chain(const struct ws_shmem *shmem, uint64_t element, const char *name,
			 unsigned int *left, struct entry *entry)
{
	for (; element && *left; element = entry->link) {
		(*left)--;
		if (!ws_shmem_holds(shmem, element, sizeof(*entry)) ||
		    !ws_shmem_read(shmem, element, entry, sizeof(*entry)))
			return false;
		if (strncmp(entry->key, name, INDEX_KEY) == 0)
			return true;
	}
	return false;
}

bool ws_shmem_find(const struct ws_shmem *shmem, const char *name, uint64_t *address,
		   uint64_t *size)
{
	uint64_t buckets[BUCKETS_MAX], directory, segment;
	unsigned int left = ENTRIES_MAX;
	struct table t = { 0 };
	struct entry entry;

	if (!read_table(shmem, &t))
		return false;
	/* A shared table's directory follows its head (hash_create, HASH_SHARED_MEM). */
	directory = shmem->index + shmem->off->hash_size;
	for (uint64_t s = 0; s < t.segments; s++) {
		if (!read_at(shmem, directory + 8 * s, 0, &segment, 8) ||
		    !read_at(shmem, segment, 0, buckets, 8 * t.segment_size))
			return false;
		for (uint64_t b = 0; b < t.segment_size; b++) {
			if (s * t.segment_size + b > t.max_bucket)
				return false;
			if (!search_chain(shmem, buckets[b], name, &left, &entry))
				continue;
			*address = entry.location;
			*size = entry.size;
			return ws_shmem_holds(shmem, entry.location, entry.size);
		}
	}
	return false;
}
