/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * list.h: every name that is known in a binary, not only the wanted ones.
 */
#ifndef WS_SYMBOL_LIST_H
#define WS_SYMBOL_LIST_H

#include "symbol/resolve.h"

struct ws_symbol_list {
	struct ws_symbol *symbols; /* by name, then by address; several statics may share a name */
	size_t count, cap;
};

/*
 * All that the set says, and what the image's symbol tables and the debug files that were opened
 * for the set, or for one out of the cache would be, name beyond that. With `everything` false the
 * set alone. Names live as long as the image, the debug handle and the set. Returns -1 when memory
 * ran out; free with ws_symbol_list_deinit.
 */
int ws_symbol_list_make(const struct ws_image *image, struct ws_debug *debug,
			const struct ws_symbol_set *set, bool everything,
			struct ws_symbol_list *list, struct ws_error *err);
void ws_symbol_list_deinit(struct ws_symbol_list *list);

#endif
