/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/decoding.h"

#include <stdlib.h>

#include "base/util.h"

#define AROUND (64 * 1024) /* of WalSndCtl: the variables of a unit are neighbours */
#define PAGE   4096
#define LOWEST 0x10000 /* no pointer is below */

static bool read_member(const struct ws_core_impl *impl, uint64_t address, uint32_t offset,
			uint64_t *value)
{
	return offset != WS_UNKNOWN && ws_core_read(impl, address + offset, value, sizeof(*value));
}

/* Is it the context of this slot? Its reader's private_data is the context again (logical.c,
 * StartupDecodingContext). lsn: ReadRecPtr and, behind it, EndRecPtr (xlogreader.h, 10 to 18). */
static bool read_position(const struct ws_core_impl *impl, uint64_t pointer, uint64_t slot,
			  uint64_t lsn[2])
{
	const struct ws_offsets *off = &impl->layout.off;
	uint64_t its_slot, reader, back;

	return pointer >= LOWEST && !(pointer & 7) &&
	       read_member(impl, pointer, off->logical_slot, &its_slot) && its_slot == slot &&
	       read_member(impl, pointer, off->logical_reader, &reader) && reader >= LOWEST &&
	       read_member(impl, reader, off->reader_private, &back) && back == pointer &&
	       read_member(impl, reader, off->reader_end, &lsn[1]) &&
	       read_member(impl, reader, off->reader_end - 8, &lsn[0]);
}

void ws_core_decoding_find(struct ws_core_impl *impl, uint64_t slot)
{
	const struct ws_image_symbol *symbol = ws_image_symbol(impl->image, "WalSndCtl");
	uint64_t words[PAGE / 8], lsn[2], found = 0;

	if (!symbol || !slot)
		return;
	for (uint64_t at = (symbol->address & ~(uint64_t)(PAGE - 1)) - AROUND;
	     at < symbol->address + AROUND; at += PAGE) {
		if (!ws_image_is_writable(impl->image, at) ||
		    !ws_core_read(impl, impl->base + at, words, sizeof(words)))
			continue;
		for (size_t i = 0; i < WS_ARRAY_SIZE(words); i++) {
			if (words[i] == found || !read_position(impl, words[i], slot, lsn))
				continue;
			if (found) { /* two: neither */
				impl->has_decoding = false;
				return;
			}
			found = words[i];
			impl->decoding_start_lsn = lsn[0];
			impl->decoding_lsn = lsn[1];
			impl->has_decoding = true;
		}
	}
}
