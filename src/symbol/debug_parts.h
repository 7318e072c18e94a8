/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * debug_parts.h: how separate debug files are found, verified and opened. For src/symbol/ alone.
 */
#ifndef WS_SYMBOL_DEBUG_PARTS_H
#define WS_SYMBOL_DEBUG_PARTS_H

#include "base/text.h"
#include "symbol/debug.h"
#include "symbol/symtab.h"

#define DEBUG_PATH_MAX 1024

struct build_id {
	uint8_t bytes[WS_BUILD_ID_MAX];
	size_t size; /* 0: none */
};

/* An ELF file that was opened. */
struct debug_elf {
	int fd; /* -1: in memory, or not ours */
	void *memory;
	Elf *elf;
	bool is_borrowed; /* the image's own */
};

struct debug_slot {
	bool tried;
	bool found;
	struct ws_debug_file file;
	char path[DEBUG_PATH_MAX];
	struct debug_elf elf, alt;
	Dwarf *alt_dwarf;
	struct ws_symtab names;
};

#define DEBUG_ROOTS_MAX 2

struct ws_debug {
	const struct ws_image *image;
	struct ws_debug_options options;
	char *debug_dir;
	struct build_id build_id;
	/* Where debug files are looked for: our own root (-1), and that of the server's process. */
	int roots[DEBUG_ROOTS_MAX];
	size_t root_count;
	struct debug_slot slots[WS_STEP_COUNT];
};

/* A note that a file is not used, and why. */
void ws_debug_note(const struct ws_debug *debug, enum ws_step step, const char *path,
		   const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* -- debug_file.c */

/* Opens a path below one of the roots (an index). Links lead nowhere out of it. -1 with errno. */
int ws_debug_open_path(const struct ws_debug *debug, size_t root, const char *path);
/*
 * Takes over `fd` and makes an ELF handle of it, if it is of a kind with the image. Returns false
 * after a note if it is not; `fd` is closed then.
 */
bool ws_debug_open_elf(const struct ws_debug *debug, enum ws_step step, const char *path, int fd,
		       struct debug_elf *elf);
/* The same out of memory, which it takes over (malloc). */
bool ws_debug_open_memory(const struct ws_debug *debug, enum ws_step step, const char *path,
			  void *bytes, size_t size, struct debug_elf *elf);
void ws_debug_close_elf(struct debug_elf *elf);
void ws_debug_read_build_id(Elf *elf, struct build_id *id);
bool ws_debug_same_build_id(const struct build_id *a, const struct build_id *b);
/* CRC-32 of a whole file as .gnu_debuglink has it. False if it cannot be read. */
bool ws_debug_crc(int fd, uint32_t *crc);

/* -- debug_find.c: paths */

/* "/usr/lib/debug/.build-id/xx/yyyy.debug"; false if the build-id is too short or the path too
 * long. */
bool ws_debug_build_id_path(const struct ws_debug *debug, const struct build_id *id,
			    char path[DEBUG_PATH_MAX]);
/* The name and CRC in .gnu_debuglink of the image; NULL if it has none that is valid. */
const char *ws_debug_link(const struct ws_debug *debug, uint32_t *crc);
/* The nth place where that name may be; false behind the last. */
bool ws_debug_link_path(const struct ws_debug *debug, const char *name, size_t nth,
			char path[DEBUG_PATH_MAX]);
/* Finds, verifies and opens; false if there is none. `slot->elf` and `slot->path` are filled. */
bool ws_debug_find_build_id(struct ws_debug *debug, struct debug_slot *slot);
bool ws_debug_find_link(struct ws_debug *debug, struct debug_slot *slot);
/* The file that dwz made for the one in `slot`, if it needs one. False: it does, and there is none.
 */
bool ws_debug_find_alt(struct ws_debug *debug, struct debug_slot *slot);

/* -- debug_mini.c: .gnu_debugdata */
bool ws_debug_find_mini(struct ws_debug *debug, struct debug_slot *slot);

/* -- debug_fetch.c: debuginfod */
bool ws_debug_fetch_wanted(const struct ws_debug *debug);
/* A descriptor of the debug file with this build-id, -1 after a note. */
int ws_debug_fetch(const struct ws_debug *debug, const struct build_id *id,
		   char path[DEBUG_PATH_MAX]);

#endif
