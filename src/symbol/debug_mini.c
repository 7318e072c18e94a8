/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MiniDebugInfo (.gnu_debugdata): an ELF file with the names of the functions that .dynsym lacks,
 * compressed with xz. libdw unpacks it, too, but to any size.
 */
#include "symbol/debug_parts.h"

#include <lzma.h>
#include <stdio.h>
#include <stdlib.h>

#include "symbol/image_parts.h"

#define UNPACKED_MAX (64UL * 1024 * 1024) /* names of a server: some 100 kB */
#define MEMORY_MAX   (128UL * 1024 * 1024)

/* Returns the bytes (malloc), or NULL and why. */
static uint8_t *unpack(const uint8_t *in, size_t in_size, size_t *size, const char **why)
{
	lzma_stream stream = LZMA_STREAM_INIT;
	struct ws_buf out = { 0 };
	lzma_ret rc = LZMA_OK;

	*why = "memory exhausted";
	if (lzma_stream_decoder(&stream, MEMORY_MAX, 0) != LZMA_OK)
		return NULL;
	stream.next_in = in;
	stream.avail_in = in_size;
	do {
		/* Twice as much each time, and a byte more than may be. */
		size_t room = out.len + 65536;

		if (room > UNPACKED_MAX + 1 - out.len)
			room = UNPACKED_MAX + 1 - out.len;
		if (!room || ws_buf_reserve(&out, room))
			break;
		stream.next_out = (uint8_t *)out.data + out.len;
		stream.avail_out = room;
		rc = lzma_code(&stream, LZMA_FINISH);
		out.len = (size_t)((char *)stream.next_out - out.data);
	} while (rc == LZMA_OK);
	if (out.len > UNPACKED_MAX)
		*why = "it unpacks to more than 64 MiB";
	else if (rc != LZMA_OK && rc != LZMA_STREAM_END)
		*why = "it is no valid xz";
	lzma_end(&stream);
	if (rc == LZMA_STREAM_END && out.len && out.len <= UNPACKED_MAX) {
		*size = out.len;
		return (uint8_t *)out.data;
	}
	ws_buf_deinit(&out);
	return NULL;
}

bool ws_debug_find_mini(struct ws_debug *debug, struct debug_slot *slot)
{
	const char *why;
	Elf_Data *data;
	GElf_Shdr sh;
	uint8_t *bytes;
	size_t size;

	if (!ws_image_section(debug->image, ".gnu_debugdata", &sh, &data))
		return false;
	snprintf(slot->path, sizeof(slot->path), "%s", debug->image->path);
	bytes = unpack(data->d_buf, data->d_size, &size, &why);
	if (!bytes) {
		ws_debug_note(debug, WS_STEP_MINIDEBUGINFO, slot->path, ".gnu_debugdata: %s", why);
		return false;
	}
	return ws_debug_open_memory(debug, WS_STEP_MINIDEBUGINFO, slot->path, bytes, size,
				    &slot->elf);
}
