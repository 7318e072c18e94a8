/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unpack.h: core dumps as systemd-coredump keeps them: compressed.
 */
#ifndef WS_CORE_UNPACK_H
#define WS_CORE_UNPACK_H

#include "base/error.h"
#include "base/log.h"

/*
 * Is the file behind `fd` compressed (zstd, lz4, xz: told by its first bytes)? Then *fd becomes a
 * file without a name, in $TMPDIR or /var/tmp, with what it holds; stretches of zeros take no room
 * there. *torn: it ends in the middle, or is damaged from somewhere on; what is in front of that is
 * there. Fails if nothing could be unpacked, or there is no room.
 */
int ws_core_unpack(int *fd, const char *path, bool *torn, const struct ws_log *log,
		   struct ws_error *err);

#endif
