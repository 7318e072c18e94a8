/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/decoding.h"

#include <stdlib.h>

#include "base/util.h"

#define AROUND (64 * 1024) /* of WalSndCtl: the variables of a unit are neighbours */
#define PAGE   4096
#define LOWEST 0x10000 /* no pointer is below */

/* logical.h */
struct context {
	uint64_t memory, slot, reader;
};

/* XLogReaderState.ReadRecPtr (xlogreader.h): EndRecPtr follows it, and in front of it stands
 * private_data, which is the context again (logical.c, StartupDecodingContext). */
static uint32_t read_rec_ptr(int major)
{
	return major >= 13 ? 40 : major >= 11 ? 32 : 24;
}

static bool read_position(const struct ws_core_impl *impl, uint64_t pointer, uint64_t slot,
			  uint64_t lsn[2])
{
	uint32_t offset = read_rec_ptr(impl->major);
	struct context context;
	uint64_t back;

	return pointer >= LOWEST && !(pointer & 7) &&
	       ws_core_read(impl, pointer, &context, sizeof(context)) && context.slot == slot &&
	       context.reader >= LOWEST &&
	       ws_core_read(impl, context.reader + offset - 8, &back, sizeof(back)) &&
	       back == pointer &&
	       ws_core_read(impl, context.reader + offset, lsn, 2 * sizeof(lsn[0]));
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
