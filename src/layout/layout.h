/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * layout.h: where the fields are in the structures of one server binary.
 *
 * From DWARF where the file or one of its debug files has any, else from a built-in table for its
 * major and architecture. A field that neither knows is WS_UNKNOWN and is not captured.
 */
#ifndef WS_LAYOUT_LAYOUT_H
#define WS_LAYOUT_LAYOUT_H

#include "config.h"
#include "symbol/debug.h"
#include "symbol/image.h"

enum ws_layout_source { WS_LAYOUT_NONE = 0, WS_LAYOUT_DWARF = 1, WS_LAYOUT_TABLE = 2 };

struct ws_layout {
	int major;
	enum ws_layout_source source;
	struct ws_offsets off;
};

enum ws_layout_kind {
	WS_LAYOUT_OFFSET = 1, /* of a member in its structure */
	WS_LAYOUT_SIZE,	      /* of a structure */
	WS_LAYOUT_ENUM,	      /* value of an enumerator */
	WS_LAYOUT_MACRO,      /* value of a macro: in no debug info, always from the table */
};

/* A row of the table of fields: where it is described in DWARF, where it goes in struct ws_offsets.
 */
struct ws_layout_field {
	enum ws_layout_kind kind;
	const char *name;   /* "WalSnd.sentPtr" */
	const char *type;   /* DWARF structure or enumeration: "WalSnd"; NULL for a macro */
	const char *member; /* "sentPtr", dotted for nested members; NULL for a size */
	size_t slot;	    /* offsetof in struct ws_offsets */
};
const struct ws_layout_field *ws_layout_fields(size_t *count);

/* What a layout has for a row: an offset, a size or a number; WS_UNKNOWN. */
uint32_t ws_layout_value(const struct ws_layout *layout, const struct ws_layout_field *field);

/*
 * The layout for an image. `debug` is its debug information, NULL: the table alone. Fails if the
 * major has neither (the error names the major and what is supported).
 */
int ws_layout_find(const struct ws_image *image, int major, struct ws_debug *debug,
		   struct ws_layout *layout, struct ws_error *err);

const char *ws_layout_source_name(enum ws_layout_source source); /* "dwarf", "table" */

#endif
