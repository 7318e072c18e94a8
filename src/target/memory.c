/* SPDX-License-Identifier: BSD-2-Clause */
#include "target/memory.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

/* No page is smaller, and larger ones are multiples of it: a piece within it cannot straddle pages.
 */
#define PAGE_MIN 4096
#define BATCH	 256 /* pieces of one call; the kernel takes 1024 */

bool ws_memory_read(uint32_t pid, uint64_t address, void *out, size_t size)
{
	struct iovec local = { .iov_base = out, .iov_len = size };
	struct iovec remote = { .iov_base = (void *)(uintptr_t)address, .iov_len = size };
	ssize_t n;

	if (!size)
		return true;
	n = process_vm_readv((pid_t)pid, &local, 1, &remote, 1, 0);
	if (n < 0)
		return false;
	if ((size_t)n != size) {
		/* The kernel reports a part as success: the rest is not mapped. */
		errno = EFAULT;
		return false;
	}
	return true;
}

bool ws_memory_get(const struct ws_memory *memory, uint32_t pid, uint64_t address, void *out,
		   size_t size)
{
	if (!memory)
		return ws_memory_read(pid, address, out, size);
	return !size || memory->read(memory, address, out, size);
}

long ws_memory_read_string(uint32_t pid, uint64_t address, char *out, size_t size, bool *truncated)
{
	return ws_memory_get_string(NULL, pid, address, out, size, truncated);
}

long ws_memory_get_string(const struct ws_memory *memory, uint32_t pid, uint64_t address, char *out,
			  size_t size, bool *truncated)
{
	size_t done = 0;

	if (truncated)
		*truncated = false;
	if (!size) {
		errno = EINVAL;
		return -1;
	}
	while (done < size) {
		size_t piece = PAGE_MIN - (size_t)(address % PAGE_MIN);
		const char *end;

		if (piece > size - done)
			piece = size - done;
		if (!ws_memory_get(memory, pid, address, out + done, piece)) {
			out[done] = '\0';
			return -1;
		}
		end = memchr(out + done, '\0', piece);
		if (end)
			return end - out;
		done += piece;
		address += piece;
		if (!address) { /* beyond the last page of the address space */
			out[done - 1] = '\0';
			errno = EFAULT;
			return -1;
		}
	}
	/* `size` bytes and no NUL among them: the text is longer than size - 1. */
	out[size - 1] = '\0';
	if (truncated)
		*truncated = true;
	return (long)size - 1;
}

/* Up to BATCH of them. */
static bool read_batch(uint32_t pid, const struct ws_piece *pieces, size_t count)
{
	struct iovec local[BATCH], remote[BATCH];
	size_t total = 0;
	ssize_t n;

	for (size_t i = 0; i < count; i++) {
		local[i] = (struct iovec){ pieces[i].out, pieces[i].size };
		remote[i] = (struct iovec){ (void *)(uintptr_t)pieces[i].address, pieces[i].size };
		total += pieces[i].size;
	}
	n = process_vm_readv((pid_t)pid, local, count, remote, count, 0);
	if (n >= 0 && (size_t)n != total)
		errno = EFAULT;
	return n >= 0 && (size_t)n == total;
}

bool ws_memory_get_many(const struct ws_memory *memory, uint32_t pid, const struct ws_piece *pieces,
			size_t count)
{
	for (size_t i = 0; memory && i < count; i++)
		if (!ws_memory_get(memory, pid, pieces[i].address, pieces[i].out, pieces[i].size))
			return false;
	for (size_t i = 0; !memory && i < count; i += BATCH)
		if (!read_batch(pid, pieces + i, count - i < BATCH ? count - i : BATCH))
			return false;
	return true;
}
