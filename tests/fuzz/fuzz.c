/* SPDX-License-Identifier: BSD-2-Clause */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/util.h"

int fuzz_file(const uint8_t *data, size_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	return fd;
}

size_t fuzz_below(unsigned int *random, size_t below)
{
	return (size_t)rand_r(random) % below;
}

void fuzz_hostile_number(uint8_t *data, size_t size, unsigned int *random)
{
	static const uint64_t limits[] = { 0,	      1,	  0x7f,	     0xff,
					   0x7fff,    0xffff,	  INT32_MAX, UINT32_MAX,
					   INT64_MAX, UINT64_MAX, 1ULL << 40 };
	size_t width = (size_t)1 << fuzz_below(random, 4);
	uint64_t value = 0;
	size_t at;

	if (!size)
		return;
	if (width > size)
		width = size;
	at = fuzz_below(random, size - width + 1);
	memcpy(&value, data + at, width);
	switch (fuzz_below(random, 3)) {
	case 0:
		value = limits[fuzz_below(random, WS_ARRAY_SIZE(limits))] - fuzz_below(random, 9);
		break;
	case 1:
		value += fuzz_below(random, 65) - 32;
		break;
	default:
		value ^= 1ULL << fuzz_below(random, 8 * width);
		break;
	}
	memcpy(data + at, &value, width);
}
