/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * image_parts.h: what an image is made of. For src/symbol/ alone; everybody else uses image.h.
 */
#ifndef WS_SYMBOL_IMAGE_PARTS_H
#define WS_SYMBOL_IMAGE_PARTS_H

#include <gelf.h>
#include <libelf.h>

#include "symbol/image.h"
#include "symbol/symtab.h"

/* A PT_LOAD segment with its file bytes. The rest up to `memory_size` is zero (.bss). */
struct image_segment {
	uint64_t vaddr;
	uint64_t memory_size;
	uint64_t offset;
	uint64_t file_size;
	uint8_t *bytes;
	bool is_exec, is_writable;
};

struct image_plt_entry {
	uint64_t address;
	const char *name;
};

struct ws_image {
	char *path;
	int fd;
	Elf *elf;
	uint64_t file_size;
	enum ws_arch arch;
	bool is_pie;
	bool is_stripped;
	char build_id[WS_BUILD_ID_MAX * 2 + 1];

	struct image_segment *segments;
	size_t segment_count, segment_cap;
	struct ws_range *code; /* executable sections; none if the file has no section headers */
	size_t code_count, code_cap;

	struct ws_symtab names; /* of .dynsym and .symtab */

	struct ws_range *functions;
	bool *parts; /* parallel to functions */
	size_t function_count;
	struct image_plt_entry *plt;
	size_t plt_count, plt_cap;
	struct ws_image_slot_value *slots;
	size_t slot_count, slot_cap;
};

/*
 * The loaders fill one part each. A part that is not in the file stays empty; only a part that lies
 * about itself, or exhausted memory, is an error.
 */
int ws_image_load_slots(struct ws_image *image, struct ws_error *err);
int ws_image_load_plt(struct ws_image *image, struct ws_error *err);
int ws_image_load_functions(struct ws_image *image, struct ws_error *err);

/* Its names, for who searches debug files in the same way. */
const struct ws_symtab *ws_image_names(const struct ws_image *image);
/* The section of this name with its data (d_size 0 for SHT_NOBITS), or NULL. */
Elf_Scn *ws_image_section(const struct ws_image *image, const char *name, GElf_Shdr *header,
			  Elf_Data **data);
/* Index of the last element that starts at or below `address`, or -1. `start` is the start address
 * inside the first element, `size` the size of an element, the array sorted by start address. */
long ws_image_search(const void *start, size_t count, size_t size, uint64_t address);

#endif
