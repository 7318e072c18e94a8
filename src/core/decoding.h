/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * decoding.h: where logical decoding is. walsender.c keeps its LogicalDecodingContext in a static
 * variable, whose name a stripped server has lost: it is the only one of its variables that points
 * to something with the walsender's slot and a reader that points back to it (logical.h).
 */
#ifndef WS_CORE_DECODING_H
#define WS_CORE_DECODING_H

#include "core/parts.h"

/* Fills decoding_lsn and has_decoding; `slot` is MyReplicationSlot. */
void ws_core_decoding_find(struct ws_core_impl *impl, uint64_t slot);

#endif
