/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unwind.h: the backtrace of a thread, out of memory that stands still, by .eh_frame (libdwfl).
 */
#ifndef WS_CORE_UNWIND_H
#define WS_CORE_UNWIND_H

#include "core/dump.h"

#define WS_CORE_FRAMES 128

struct ws_core_frame {
	uint64_t pc;	 /* in the process */
	bool activation; /* pc is the next instruction; else it is behind a call */
	bool in_image;	 /* in the server's own code */
	/* Of another file, by its own symbol table. */
	char function[128]; /* "" if not known */
	uint64_t offset;
	char module[64]; /* base name of the file, "" if in none that is known */
};

struct ws_core_unwind {
	const struct ws_memory *memory;
	uint32_t pid;
	const struct ws_core_regs *regs;
	const struct ws_core_file *files; /* what is mapped where */
	size_t file_count;
	const char *root; /* in front of the files' paths; "" */
	const char *exe;  /* the executable's path among them */
	/* The server: its file, and where it is loaded. */
	const struct ws_image *image;
	int image_fd; /* kept open by the caller */
	uint64_t base;
	const struct ws_log *log;
};

/*
 * Fills frames[WS_CORE_FRAMES], the innermost first; returns how many. Files of the process that
 * are not here, or are others by their build-id, are passed over: the unwinding then goes on at
 * the first address on the stack that follows a call in the server's code.
 */
size_t ws_core_unwind(const struct ws_core_unwind *in, struct ws_core_frame *frames);

#endif
