/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shmem.h: the shared memory of a running server, read from outside: no SQL, no probe, no lock.
 *
 * Where a structure lies, the server says itself: ShmemIndex, the hash table in front of the
 * segment, has each of them by name ("XLOG Ctl"), also those whose pointers are static in the
 * program (storage/ipc/shmem.c, ShmemInitStruct; 10 to 18).
 */
#ifndef WS_SHMEM_SHMEM_H
#define WS_SHMEM_SHMEM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "config.h"
#include "symbol/image.h"
#include "target/memory.h"

/* Addresses in the file; 0 for a name the file does not export. */
struct ws_shmem_variables {
	uint64_t slot_ctl, max_slots;
	uint64_t next_xid; /* TransamVariables, up to 16 ShmemVariableCache */
	uint64_t wal_segment_size;
	uint64_t max_wal_size, max_slot_wal_keep_size, wal_keep_size; /* in MB */
	uint64_t max_prepared;
	/* Of any process of the server; my_xact up to 13, my_status from 14 on. */
	uint64_t my_proc, my_xact, my_status;
	uint64_t my_proc_pid, my_proc_port, my_database_id, am_walsender, query;
};
void ws_shmem_variables_find(const struct ws_image *image, struct ws_shmem_variables *var);

struct ws_shmem {
	uint32_t pid;			/* whose memory is read: the postmaster */
	const struct ws_memory *memory; /* instead of a running process's; else NULL */
	uint64_t base;
	int major;
	const struct ws_offsets *off;
	const struct ws_shmem_variables *var;
	uint64_t start, size; /* of the segment in the process; size 0: not known */
	uint64_t index;	      /* ShmemIndex, 0: not known */
};

/*
 * Finds the segment: the mapping that what is known to be in it lies in. (UsedShmemSegAddr is not
 * it: of the mapping that a server shares with its children, the small System V segment is the
 * guard.) `off` and `var` are kept. Fails if the process's memory cannot be read; that the segment
 * has no index is no failure, ws_shmem_find then finds nothing.
 */
int ws_shmem_open(struct ws_shmem *shmem, uint32_t pid, uint64_t base, int major,
		  const struct ws_offsets *off, const struct ws_shmem_variables *var,
		  struct ws_error *err);

/* The same for memory that is no running process's; `pid` is for messages. */
int ws_shmem_open_memory(struct ws_shmem *shmem, const struct ws_memory *memory, uint32_t pid,
			 uint64_t base, int major, const struct ws_offsets *off,
			 const struct ws_shmem_variables *var, struct ws_error *err);

/* Memory of the process; all or nothing, false with errno set. */
bool ws_shmem_read(const struct ws_shmem *shmem, uint64_t address, void *out, size_t size);

/* Where a structure is, by the name the server gave it. False if it has none of that name. */
bool ws_shmem_find(const struct ws_shmem *shmem, const char *name, uint64_t *address,
		   uint64_t *size);

/* A variable of the program (address in the file); false with errno set, ENOENT for address 0. */
bool ws_shmem_variable(const struct ws_shmem *shmem, uint64_t variable, void *out, size_t size);
/* Of a view of a process of the server: a text that a field of its Port points to, "" if there is
 * none. */
void ws_shmem_port_text(const struct ws_shmem *process, uint32_t field, char *out, size_t size);
/* Is that many bytes at `address` inside the segment? Also true if its size is not known. */
bool ws_shmem_holds(const struct ws_shmem *shmem, uint64_t address, uint64_t size);

/* Fills err with why memory could not be read (errno); returns -1. */
int ws_shmem_failed(const struct ws_shmem *shmem, const char *name, struct ws_error *err);

#endif
