/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * repair.h: a header with one wrong byte. Without a header not a block of its file can be read; its
 * hash says which byte it is, and what it was: of all bytes that could stand there one alone has
 * that hash. For src/trace/ alone.
 */
#ifndef WS_TRACE_REPAIR_H
#define WS_TRACE_REPAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ws_header_repair {
	bool made;
	uint8_t byte; /* that was written there */
	uint32_t at;
};

/*
 * Finds the one byte with which the header is sound that the file's first `size` bytes begin with.
 * Takes half a second at the most, where there is none.
 */
bool ws_header_find_repair(const void *data, size_t size, struct ws_header_repair *repair);

#endif
