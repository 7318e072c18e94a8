/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * recording.h: recordings in a directory of the test's own, and what was put into them.
 */
#ifndef TESTS_RECORDING_H
#define TESTS_RECORDING_H

#include "trace/trace.h"
#include "random_rec.h"

/* Records in the order in which they were added, each at an address that suits it. */
struct rec_list {
	struct ws_rec **rec;
	size_t count, cap;
};

void rec_list_add(struct rec_list *list, const struct ws_rec *rec);
void rec_list_deinit(struct rec_list *list);

struct recording {
	char dir[64];
	char path[96];
	struct rec_list written;
	size_t block_end[64];  /* records up to the end of each block */
	uint64_t block_at[65]; /* where each begins in the file; the last is the file's size */
	size_t blocks;
	char *bytes; /* the file */
	size_t size;
};

/*
 * Writes `blocks` blocks of `each` random records, and a last block with a WS_KIND_STOP alone
 * (counted in recording->blocks). Fails the test if that does not work.
 */
void recording_make(struct recording *recording, uint64_t seed, size_t blocks, size_t each);
/* Writes other bytes in its place. */
void recording_put(const struct recording *recording, const void *bytes, size_t size);
void recording_deinit(struct recording *recording);

char *file_bytes(const char *path, size_t *size);
extern const struct ws_trace_info recording_info;

#endif
