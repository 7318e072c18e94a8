/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "layout/layout.h"

#include "base/util.h"

#define SLOT(s)	       offsetof(struct ws_offsets, s)
#define FIELD(s, t, m) { WS_LAYOUT_OFFSET, t "." m, t, m, SLOT(s) },
#define SIZE(s, t)     { WS_LAYOUT_SIZE, "sizeof(" t ")", t, NULL, SLOT(s) },
#define ENUM(s, t, e)  { WS_LAYOUT_ENUM, e, t, e, SLOT(s) },
#define NUMBER(s, m)   { WS_LAYOUT_MACRO, m, NULL, m, SLOT(s) },

static const struct ws_layout_field fields[] = {
#include "layout/fields.inc"
};

/* A slot without a row would silently read as offset 0. */
_Static_assert(WS_ARRAY_SIZE(fields) * sizeof(__u32) == sizeof(struct ws_offsets),
	       "every member of struct ws_offsets needs its row in fields.inc");

const struct ws_layout_field *ws_layout_fields(size_t *count)
{
	*count = WS_ARRAY_SIZE(fields);
	return fields;
}

uint32_t ws_layout_value(const struct ws_layout *layout, const struct ws_layout_field *field)
{
	uint32_t value;

	memcpy(&value, (const char *)&layout->off + field->slot, sizeof(value));
	return value;
}

const char *ws_layout_source_name(enum ws_layout_source source)
{
	switch (source) {
	case WS_LAYOUT_DWARF:
		return "dwarf";
	case WS_LAYOUT_TABLE:
		return "table";
	default:
		return "";
	}
}
