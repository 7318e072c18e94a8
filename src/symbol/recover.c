/* SPDX-License-Identifier: BSD-2-Clause */
#include "symbol/resolve_parts.h"

int ws_find_recovered(struct resolver *r, struct ws_error *err)
{
	(void)r;
	(void)err;
	return 0;
}
