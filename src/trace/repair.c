/* SPDX-License-Identifier: BSD-2-Clause */
#include "trace/repair.h"

#include <string.h>
#include <xxhash.h>

#include "trace/format.h"
#include "trace/header.h"

#define HASH_AT	   offsetof(struct ws_disk_file, hash)
#define SIZE_AT	   offsetof(struct ws_disk_file, header_size)
#define HEADER_MAX (8 * 1024) /* the time this takes grows with the square; ours have 5 KiB */

static bool is_size(const struct ws_disk_file *head, size_t size)
{
	return head->header_size >= sizeof(*head) && head->header_size <= WS_DISK_HEADER_MAX &&
	       head->header_size <= size;
}

static bool is_sound(const void *data, size_t size)
{
	struct ws_disk_file head;

	if (size < sizeof(head))
		return false;
	memcpy(&head, data, sizeof(head));
	return memcmp(head.magic, WS_DISK_MAGIC, sizeof(head.magic)) == 0 &&
	       head.format >= WS_TRACE_FORMAT_FIRST && head.format <= WS_TRACE_FORMAT &&
	       is_size(&head, size) && ws_header_hash(data, head.header_size) == head.hash;
}

/* A header, and what is tried in its place. */
struct search {
	char data[HEADER_MAX];
	size_t size; /* of what there is of the file, or of the header */
	uint64_t hash;
	struct ws_header_repair *repair;
};

static bool found(struct search *s, size_t at, uint8_t byte)
{
	*s->repair = (struct ws_header_repair){ .made = true, .byte = byte, .at = (uint32_t)at };
	return true;
}

/* Of a version that is not known, say. */
static bool is_as_written(const struct search *s, const struct ws_disk_file *head)
{
	return is_size(head, s->size) && ws_header_hash(s->data, head->header_size) == head->hash;
}

/* Whatever byte of the hash is wrong, the rest of it is right. */
static bool is_in_hash(struct search *s, const struct ws_disk_file *head)
{
	uint64_t hash, differs;

	if (!is_size(head, s->size))
		return false;
	hash = ws_header_hash(s->data, head->header_size);
	differs = hash ^ head->hash;
	for (size_t i = 0; i < sizeof(hash); i++)
		if (differs && !(differs & ~(0xffULL << 8 * i)))
			return found(s, HASH_AT + i, (uint8_t)(hash >> 8 * i));
	return false;
}

static bool is_in_size(struct search *s)
{
	for (size_t at = SIZE_AT; at < SIZE_AT + sizeof(uint32_t); at++) {
		char was = s->data[at];

		for (int byte = 0; byte < 256; byte++) {
			s->data[at] = (char)byte;
			if (is_sound(s->data, s->size))
				return found(s, at, (uint8_t)byte);
		}
		s->data[at] = was;
	}
	return false;
}

/* With this byte in the place behind those that `before` has taken. */
static bool is_byte(const struct search *s, const XXH64_state_t *before, XXH64_state_t *state,
		    size_t at, uint8_t byte)
{
	XXH64_copyState(state, before);
	XXH64_update(state, &byte, 1);
	XXH64_update(state, s->data + at + 1, s->size - at - 1);
	return XXH64_digest(state) == s->hash;
}

/* Bits that differ from what is there: first one alone, which is how most bytes go wrong. */
static bool is_among(struct search *s, bool one, XXH64_state_t *before, XXH64_state_t *state)
{
	XXH64_reset(before, 0);
	for (size_t at = 0; at < s->size; XXH64_update(before, s->data + at, 1), at++) {
		if (at >= SIZE_AT && at < HASH_AT + sizeof(uint64_t))
			continue;
		for (unsigned int bits = 1; bits < 256; bits++) {
			uint8_t byte = (uint8_t)s->data[at] ^ (uint8_t)bits;

			if (one == !(bits & (bits - 1)) && is_byte(s, before, state, at, byte))
				return found(s, at, byte);
		}
	}
	return false;
}

static bool is_elsewhere(struct search *s, const struct ws_disk_file *head)
{
	XXH64_state_t *before = XXH64_createState(), *state = XXH64_createState();
	bool is = false;

	if (before && state && is_size(head, s->size)) {
		s->size = head->header_size;
		s->hash = head->hash;
		memset(s->data + HASH_AT, 0, sizeof(s->hash));
		is = is_among(s, true, before, state) || is_among(s, false, before, state);
	}
	XXH64_freeState(before);
	XXH64_freeState(state);
	return is;
}

bool ws_header_find_repair(const void *data, size_t size, struct ws_header_repair *repair)
{
	struct search s = { .size = size < HEADER_MAX ? size : HEADER_MAX, .repair = repair };
	struct ws_disk_file head;
	size_t differs = 0;

	*repair = (struct ws_header_repair){ .made = false };
	if (size < sizeof(head))
		return false;
	memcpy(s.data, data, s.size);
	memcpy(&head, data, sizeof(head));
	for (size_t i = 0; i < sizeof(head.magic); i++)
		differs += head.magic[i] != WS_DISK_MAGIC[i];
	if (differs > 1 || is_as_written(&s, &head)) /* it is something else */
		return false;
	return is_in_hash(&s, &head) || is_in_size(&s) || is_elsewhere(&s, &head);
}
