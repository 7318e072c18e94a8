/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A recording that lies, with hashes that are right: whoever made it up can make them as well.
 * Whatever the reader gives out is sound, and goes through the session model and every printer.
 */
#include "fuzz.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>

#include "base/util.h"
#include "event/schema.h"
#include "trace/format.h"
#include "trace/header.h"
#include "trace/trace.h"

/* Where the parts of a recording are, as far as it is to be believed. */
struct walk {
	uint8_t *data;
	size_t size;
	size_t at; /* the block's header */
	uint64_t file_id;
	struct ws_disk_block block;
};

static bool next_block(struct walk *w)
{
	if (w->at > w->size || w->size - w->at < sizeof(w->block))
		return false;
	memcpy(&w->block, w->data + w->at, sizeof(w->block));
	return w->block.magic == WS_DISK_BLOCK_MAGIC && w->block.header_size >= sizeof(w->block) &&
	       w->block.header_size <= w->size - w->at &&
	       w->block.stored_bytes <= w->size - w->at - w->block.header_size;
}

static bool begin(struct walk *w, uint8_t *data, size_t size)
{
	struct ws_disk_file head;

	*w = (struct walk){ .data = data, .size = size };
	if (size < sizeof(head))
		return false;
	memcpy(&head, data, sizeof(head));
	w->file_id = head.file_id;
	w->at = head.header_size;
	return head.header_size >= sizeof(head) && head.header_size <= size;
}

static void advance(struct walk *w)
{
	w->at += w->block.header_size + w->block.stored_bytes;
}

/* Puts the right hash in front of each part that can be told. */
static void seal(uint8_t *data, size_t size)
{
	struct ws_disk_file head;
	struct walk w;

	if (!begin(&w, data, size))
		return;
	memcpy(&head, data, sizeof(head));
	head.hash = 0;
	memcpy(data, &head, sizeof(head));
	head.hash = XXH64(data, head.header_size, 0);
	memcpy(data, &head, sizeof(head));
	for (; next_block(&w); advance(&w)) {
		w.block.content_hash =
			XXH64(data + w.at + w.block.header_size, w.block.stored_bytes, w.file_id);
		memcpy(data + w.at, &w.block, sizeof(w.block));
		ws_block_seal(data + w.at, w.file_id);
	}
}

static void read_all(const char *path)
{
	static const uint32_t pid = 4001;
	struct ws_reader_want want = { .narrow = true, .pids = &pid, .pid_count = 1 };
	struct fuzz_show *show;
	struct ws_reader *reader;
	const struct ws_rec *rec;
	struct ws_error err = { 0 };
	char why[256];

	if (ws_reader_open(&reader, path, &err)) {
		if (!err.what[0] || !err.why[0])
			abort();
		return;
	}
	show = fuzz_show_new();
	while (ws_reader_next(reader, &rec, &err) > 0) {
		if (!ws_rec_valid(rec, rec->size, why, sizeof(why)))
			abort();
		fuzz_show_feed(show, rec);
	}
	ws_reader_torn(reader, why, sizeof(why));
	fuzz_show_end(show);
	/* By what headers say of the blocks alone, and of others no more than who they are. */
	ws_kinds_add(&want.kinds, WS_KIND_SESSION);
	ws_reader_rewind(reader);
	ws_reader_narrow(reader, &want);
	while (ws_reader_next(reader, &rec, &err) > 0)
		if (!ws_rec_valid(rec, rec->size, why, sizeof(why)))
			abort();
	ws_reader_torn(reader, why, sizeof(why));
	ws_reader_free(reader);
}

static void remove_directory(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf /tmp/walscope-fuzz.%d", (int)getpid());
	if (system(command))
		perror("walscope-fuzz");
}

static void put_segment(const char *dir, int number, const uint8_t *data, size_t size)
{
	char path[128];
	FILE *out;

	snprintf(path, sizeof(path), "%s/flight-%010d.wst", dir, number);
	out = fopen(path, "w");
	if (!out || fwrite(data, 1, size, out) != size || fclose(out))
		abort();
}

/* The same as two segments of a directory: of one run or two, whatever it says. */
static void read_directory(uint8_t *data, size_t size)
{
	static char dir[64];
	struct ws_disk_file head;

	if (size < sizeof(head))
		return;
	if (!dir[0]) {
		snprintf(dir, sizeof(dir), "/tmp/walscope-fuzz.%d", (int)getpid());
		if (mkdir(dir, 0700))
			abort();
		atexit(remove_directory);
	}
	put_segment(dir, 1, data, size);
	memcpy(&head, data, sizeof(head));
	head.file_id++;
	memcpy(data, &head, sizeof(head));
	seal(data, size);
	put_segment(dir, 2, data, size);
	read_all(dir);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	ws_autofree uint8_t *copy = malloc(size + 1);
	ws_autoclose int fd = -1;
	char path[64];

	if (!copy)
		abort();
	memcpy(copy, data, size);
	seal(copy, size);
	fd = fuzz_file(copy, size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	read_all(path);
	read_directory(copy, size);
	return 0;
}

/* Changes the content of the block at hand: what follows moves. Returns the new size. */
static size_t change_content(struct walk *w, size_t max_size, unsigned int *random)
{
	static uint8_t plain[256 * 1024], packed[512 * 1024];
	uint8_t *stored = w->data + w->at + w->block.header_size;
	size_t rest = w->size - (size_t)(stored - w->data) - w->block.stored_bytes;
	size_t size = ZSTD_decompress(plain, sizeof(plain), stored, w->block.stored_bytes),
	       packed_size;

	if (ZSTD_isError(size) || !size)
		return w->size;
	if (fuzz_below(random, 2))
		fuzz_hostile_number(plain, size < 256 ? size : 256, random);
	else if (fuzz_below(random, 2))
		fuzz_hostile_number(plain, size, random);
	else
		size = LLVMFuzzerMutate(plain, size, sizeof(plain));
	packed_size = ZSTD_compress(packed, sizeof(packed), plain, size, 1);
	if (ZSTD_isError(packed_size) || (size_t)(stored - w->data) + packed_size + rest > max_size)
		return w->size;
	memmove(stored + packed_size, stored + w->block.stored_bytes, rest);
	memcpy(stored, packed, packed_size);
	w->block.stored_bytes = (uint32_t)packed_size;
	if (fuzz_below(random, 8))
		w->block.plain_bytes = (uint32_t)size;
	memcpy(w->data + w->at, &w->block, sizeof(w->block));
	return (size_t)(stored - w->data) + packed_size + rest;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
	unsigned int random = seed;
	size_t choice = fuzz_below(&random, 8);
	struct walk w;

	if (!choice || !begin(&w, data, size))
		return LLVMFuzzerMutate(data, size, max_size);
	if (choice == 1) {
		fuzz_hostile_number(data, w.at, &random);
		return size;
	}
	for (size_t skip = fuzz_below(&random, 4); skip && next_block(&w); skip--)
		advance(&w);
	if (!next_block(&w))
		return LLVMFuzzerMutate(data, size, max_size);
	if (choice < 4) {
		fuzz_hostile_number(data + w.at, w.block.header_size, &random);
		return size;
	}
	return change_content(&w, max_size, &random);
}
