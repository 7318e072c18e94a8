/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dwarf.h: the fields' offsets out of debug information. For src/layout/ and its tests.
 */
#ifndef WS_LAYOUT_DWARF_H
#define WS_LAYOUT_DWARF_H

#include <elfutils/libdw.h>

#include "layout/layout.h"

/*
 * Fills the slots whose type is described and leaves the others alone. What walsender.c was
 * compiled with decides; a type that only other units describe counts if they agree. A type that is
 * described but lacks the member makes the slot WS_UNKNOWN. Returns how many slots got a value.
 */
size_t ws_layout_read_dwarf(Dwarf *dwarf, struct ws_offsets *off);

#endif
