/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * memory.h: reads a server process's memory with process_vm_readv, or what is left of it in a core
 * dump. Never writes, never stops it.
 */
#ifndef WS_TARGET_MEMORY_H
#define WS_TARGET_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* All or nothing; false with errno set. */
bool ws_memory_read(uint32_t pid, uint64_t address, void *out, size_t size);

/*
 * A NUL-terminated text of at most size - 1 bytes, always terminated; reads page by page, so that a
 * text at the end of a mapping is read. Returns its length, or -1 with errno set; *truncated (may
 * be NULL) says whether it went on.
 */
long ws_memory_read_string(uint32_t pid, uint64_t address, char *out, size_t size, bool *truncated);

/*
 * Memory that is no running process's: a core dump, or a copy. Whoever has one puts this first into
 * a structure of his own.
 */
struct ws_memory {
	/* All or nothing; false with errno set (EFAULT: there is no such memory). */
	bool (*read)(const struct ws_memory *memory, uint64_t address, void *out, size_t size);
	/* What the address is mapped by; false: by nothing. */
	bool (*mapping)(const struct ws_memory *memory, uint64_t address, uint64_t *start,
			uint64_t *end);
};

/* As those above, out of `memory`; NULL: of the running process `pid`. */
bool ws_memory_get(const struct ws_memory *memory, uint32_t pid, uint64_t address, void *out,
		   size_t size);
long ws_memory_get_string(const struct ws_memory *memory, uint32_t pid, uint64_t address, char *out,
			  size_t size, bool *truncated);

struct ws_piece {
	uint64_t address;
	void *out;
	size_t size;
};
/* Many at once, of a running process as close to one moment as can be: all or nothing. */
bool ws_memory_get_many(const struct ws_memory *memory, uint32_t pid, const struct ws_piece *pieces,
			size_t count);

#endif
