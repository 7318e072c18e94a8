/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "base/util.h"
#include "import/parts.h"

void ws_import_mono_learn(struct ws_import_mono *mono, uint64_t mono_ns, int64_t wall_ns)
{
	int64_t offset = (int64_t)((uint64_t)wall_ns - mono_ns);
	size_t n = mono->count;

	if (n && mono->steps[n - 1].offset == offset) {
		/* Records of two sessions may come in another order than that of time. */
		if (mono_ns < mono->steps[n - 1].from_ns)
			mono->steps[n - 1].from_ns = mono_ns;
		return;
	}
	/* Clocks are not set that often: the oldest are forgotten. */
	if (n == WS_ARRAY_SIZE(mono->steps)) {
		memmove(&mono->steps[0], &mono->steps[1], (n - 1) * sizeof(mono->steps[0]));
		n--;
	}
	mono->steps[n].from_ns = mono_ns;
	mono->steps[n].offset = offset;
	mono->count = n + 1;
}

uint64_t ws_import_mono_of(const struct ws_import_mono *mono, int64_t wall_ns)
{
	int64_t at = 0;

	if (!mono->count)
		return wall_ns > 0 ? (uint64_t)wall_ns : 0;
	/* What is in front of the first step was told by its offset, too. */
	for (size_t i = mono->count; i-- > 0;) {
		if (__builtin_sub_overflow(wall_ns, mono->steps[i].offset, &at) || at <= 0)
			continue;
		if ((uint64_t)at >= mono->steps[i].from_ns)
			return (uint64_t)at;
	}
	if (__builtin_sub_overflow(wall_ns, mono->steps[0].offset, &at))
		return 0;
	return at > 0 ? (uint64_t)at : 0;
}
