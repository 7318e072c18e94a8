/* SPDX-License-Identifier: BSD-2-Clause */
#include "shmem/names.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"

#define BUFFERS_MAX (1 << 24) /* 128 GB; more take too long to look through */
#define PAGES_MAX   4096      /* of the two catalogs; a page has some 50 rows */
#define BLOCK_MIN   1024      /* BLCKSZ, configure --with-blocksize */
#define BLOCK_MAX   32768
#define IO_ALIGN    4096 /* PG_IO_ALIGN_SIZE: the blocks begin at a multiple of it from 16 on */

/* File numbers of catalogs that were never rewritten: the catalogs' own (relmapper.c). */
#define GLOBAL_TABLESPACE 1664
#define PG_AUTHID	  1260
#define PG_DATABASE	  1262

/* BufferDesc, padded to a cache line (BufferDescPadded). */
#define DESCRIPTOR 64
#define AT_ONCE	   256
struct descriptor {
	uint32_t tablespace, database, relation;
	int32_t fork;
	uint32_t block;
	int32_t buf_id;
	uint32_t state;
	uint8_t rest[DESCRIPTOR - 28];
};
_Static_assert(sizeof(struct descriptor) == DESCRIPTOR, "struct BufferDesc");
#define BM_VALID (1U << 24)

/* PageHeaderData and ItemIdData (bufpage.h, itemid.h). */
#define PAGE_LOWER  12
#define PAGE_ITEMS  24
#define ITEM_NORMAL 1

/* HeapTupleHeaderData (htup_details.h). */
#define TUPLE_XMAX	  4
#define TUPLE_INFOMASK	  20
#define TUPLE_HOFF	  22
#define TUPLE_HEAD	  23
#define HEAP_HASOID	  0x0008 /* up to 11: the number stands in the header's last 4 bytes */
#define HEAP_LOCK_ONLY	  0x0080
#define HEAP_XMIN_MASK	  0x0300
#define HEAP_XMIN_INVALID 0x0200
#define HEAP_XMAX_INVALID 0x0800
#define FIRST_WITHOUT_OID 12

struct buffers {
	uint64_t descriptors, count;
	uint64_t blocks;
	size_t block_size;
};

static bool find_buffers(const struct ws_shmem *shmem, struct buffers *b)
{
	uint64_t descriptors_size, blocks_size;

	if (!ws_shmem_find(shmem, "Buffer Descriptors", &b->descriptors, &descriptors_size) ||
	    !ws_shmem_find(shmem, "Buffer Blocks", &b->blocks, &blocks_size))
		return false;
	b->count = descriptors_size / DESCRIPTOR;
	if (!b->count || b->count > BUFFERS_MAX)
		return false;
	for (b->block_size = BLOCK_MAX;
	     b->block_size >= BLOCK_MIN && b->block_size > blocks_size / b->count;)
		b->block_size /= 2;
	if (blocks_size != b->count * b->block_size) /* there is room to align them */
		b->blocks = (b->blocks + IO_ALIGN - 1) & ~(uint64_t)(IO_ALIGN - 1);
	return b->block_size >= BLOCK_MIN;
}

static void take_name(struct ws_catalog_name *names, size_t count, bool database, uint32_t oid,
		      const char name[WS_NAME_LEN])
{
	for (size_t i = 0; i < count; i++) {
		struct ws_catalog_name *n = &names[i];

		if (n->database != database || n->oid != oid)
			continue;
		if (n->name[0] && strcmp(n->name, name) != 0)
			n->doubtful = true;
		memcpy(n->name, name, WS_NAME_LEN);
	}
}

/* Neither undone nor, as far as it says itself, removed. */
static bool is_live(const uint8_t *tuple, uint16_t infomask)
{
	uint32_t xmax;

	memcpy(&xmax, tuple + TUPLE_XMAX, sizeof(xmax));
	return (infomask & HEAP_XMIN_MASK) != HEAP_XMIN_INVALID &&
	       (!xmax || infomask & (HEAP_XMAX_INVALID | HEAP_LOCK_ONLY));
}

/* The first two columns: the number (up to 11 none of them), the name. */
static void take_tuple(const struct ws_shmem *shmem, const uint8_t *tuple, size_t size,
		       bool database, struct ws_catalog_name *names, size_t count)
{
	bool in_head = shmem->major < FIRST_WITHOUT_OID;
	char name[WS_NAME_LEN];
	uint16_t infomask;
	uint32_t oid;
	size_t at;

	if (size <= TUPLE_HEAD)
		return;
	memcpy(&infomask, tuple + TUPLE_INFOMASK, sizeof(infomask));
	at = tuple[TUPLE_HOFF];
	if (in_head)
		at -= at < sizeof(oid) ? at : sizeof(oid);
	if (at < TUPLE_HEAD - sizeof(oid) || at + sizeof(oid) + sizeof(name) > size ||
	    (in_head && !(infomask & HEAP_HASOID)) || !is_live(tuple, infomask))
		return;
	memcpy(&oid, tuple + at, sizeof(oid));
	memcpy(name, tuple + at + sizeof(oid), sizeof(name));
	if (name[0] && memchr(name, '\0', sizeof(name)))
		take_name(names, count, database, oid, name);
}

static void take_page(const struct ws_shmem *shmem, const uint8_t *page, size_t page_size,
		      bool database, struct ws_catalog_name *names, size_t count)
{
	uint16_t lower;

	memcpy(&lower, page + PAGE_LOWER, sizeof(lower));
	for (size_t at = PAGE_ITEMS; at + 4 <= lower && at + 4 <= page_size; at += 4) {
		uint32_t item, offset, length;

		memcpy(&item, page + at, sizeof(item));
		offset = item & 0x7fff;
		length = item >> 17;
		if ((item >> 15 & 3) == ITEM_NORMAL && offset + length <= page_size)
			take_tuple(shmem, page + offset, length, database, names, count);
	}
}

static bool is_wanted(const struct descriptor *d)
{
	return d->tablespace == GLOBAL_TABLESPACE && !d->database && !d->fork &&
	       (d->relation == PG_AUTHID || d->relation == PG_DATABASE) && d->state & BM_VALID;
}

static void read_buffers(const struct ws_shmem *shmem, const struct buffers *b, uint8_t *page,
			 struct ws_catalog_name *names, size_t count)
{
	struct descriptor some[AT_ONCE];
	unsigned int pages = 0;

	for (uint64_t first = 0; first < b->count; first += AT_ONCE) {
		uint64_t n = b->count - first < AT_ONCE ? b->count - first : AT_ONCE;

		if (!ws_shmem_read(shmem, b->descriptors + first * DESCRIPTOR, some,
				   n * DESCRIPTOR))
			return;
		for (uint64_t i = 0; i < n; i++) {
			/* A descriptor has its own number, if it is one. */
			if (some[i].buf_id != (int32_t)(first + i))
				return;
			if (!is_wanted(&some[i]))
				continue;
			if (pages++ == PAGES_MAX)
				return;
			if (ws_shmem_read(shmem, b->blocks + (first + i) * b->block_size, page,
					  b->block_size))
				take_page(shmem, page, b->block_size,
					  some[i].relation == PG_DATABASE, names, count);
		}
	}
}

void ws_catalog_names_read(const struct ws_shmem *shmem, struct ws_catalog_name *names,
			   size_t count)
{
	uint8_t *page = malloc(BLOCK_MAX);
	struct buffers b;

	if (page && count && find_buffers(shmem, &b))
		read_buffers(shmem, &b, page, names, count);
	free(page);
	for (size_t i = 0; i < count; i++)
		if (names[i].doubtful)
			names[i].name[0] = '\0';
}
