/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * image.h: one server binary as a file: its segments, names, function ranges and strings.
 *
 * The file is hostile: every offset and count in it is checked before use; a file that lies gives
 * an error that names file and offset. All addresses are virtual addresses of the file (a PIE's
 * first segment is at 0); add the load base of a process to get an address in that process.
 */
#ifndef WS_SYMBOL_IMAGE_H
#define WS_SYMBOL_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/log.h"

enum ws_arch { WS_ARCH_UNKNOWN = 0, WS_ARCH_X86_64, WS_ARCH_AARCH64 };

#define WS_BUILD_ID_MAX 64 /* bytes */

struct ws_image; /* opaque */

struct ws_range {
	uint64_t start;
	uint64_t end; /* exclusive */
};

/* A name of .dynsym or .symtab. `name` lives as long as the image. */
struct ws_image_symbol {
	const char *name;
	uint64_t address;
	uint64_t size; /* 0 if the file does not say */
	bool is_function;
	bool is_dynamic;  /* from .dynsym, else from .symtab */
	const char *file; /* source file of a local symbol of .symtab ("walsender.c"), else NULL */
};

/*
 * Opens the ELF executable behind `fd` (kept open by the caller, needed only during the call).
 * `path` is for messages. Fails for what is not a 64-bit little-endian ELF executable of a known
 * architecture, or larger than 1 GiB. The image is freed with ws_image_free.
 */
int ws_image_open(struct ws_image **image, int fd, const char *path, const struct ws_log *log,
		  struct ws_error *err);
void ws_image_free(struct ws_image *image);

const char *ws_image_path(const struct ws_image *image);
/* libelf's handle of the file, for who reads debug information with libdw. The image keeps it. The
 * path is no substitute: it may be one of another mount namespace, or lead to another file by now.
 */
struct Elf;
struct Elf *ws_image_elf(const struct ws_image *image);
enum ws_arch ws_image_arch(const struct ws_image *image);
const char *ws_image_arch_name(enum ws_arch arch); /* "x86_64", "aarch64" */
/* Lower-case hex, "" if the file has none. */
const char *ws_image_build_id(const struct ws_image *image);
bool ws_image_is_pie(const struct ws_image *image);
bool ws_image_is_stripped(const struct ws_image *image); /* no .symtab */

/*
 * The server's version from the binary itself, without running it: the text "PostgreSQL 15.20 (...)
 * on ..., compiled by ..." that version() returns is a constant in it (PG_VERSION_STR, since 8.x).
 * version gets "15.20", *major 15 (10 and later). Returns false if this is no PostgreSQL server.
 */
#define WS_VERSION_TEXT 32
bool ws_image_server_version(const struct ws_image *image, char version[WS_VERSION_TEXT],
			     int *major);

/* Through PT_LOAD; false where no file byte backs the address (.bss) or no segment holds it. */
bool ws_image_offset(const struct ws_image *image, uint64_t vaddr, uint64_t *offset);
/* Bytes of the file at `vaddr` and how many follow in its segment; NULL if none. */
const uint8_t *ws_image_bytes(const struct ws_image *image, uint64_t vaddr, size_t *avail);
/* A NUL-terminated string of a read-only or data segment, NULL if there is none. */
const char *ws_image_string(const struct ws_image *image, uint64_t vaddr);
/*
 * Where the constant string `text` lies: whole, from NUL to NUL, in a read-only segment and not in
 * code. This is how a function's name in its `__func__` is found, whose address its errors
 * carry. 0 if it is not there, or more than once.
 */
uint64_t ws_image_find_string(const struct ws_image *image, const char *text);
/* The first address behind all segments. */
uint64_t ws_image_end(const struct ws_image *image);
/* Is this address inside an executable segment / any segment (with .bss)? */
bool ws_image_is_code(const struct ws_image *image, uint64_t vaddr);
bool ws_image_is_mapped(const struct ws_image *image, uint64_t vaddr);
bool ws_image_is_writable(const struct ws_image *image, uint64_t vaddr);

/* The executable sections (.init, .plt, .text, ...), for who scans the code as a whole. */
const struct ws_range *ws_image_code_ranges(const struct ws_image *image, size_t *count);

/* Exact names; NULL if there is none. Undefined symbols are not found. */
const struct ws_image_symbol *ws_image_symbol(const struct ws_image *image, const char *name);
/* Where a variable of this name is, 0 if the file names none. */
uint64_t ws_image_variable(const struct ws_image *image, const char *name);
/* The defined symbol that starts exactly at this address (functions first), or NULL. */
const struct ws_image_symbol *ws_image_symbol_at(const struct ws_image *image, uint64_t vaddr);
/* The nth symbol, in order of names, of those whose name begins with `prefix`; NULL behind the
 * last. Names that several files use for their statics come several times. */
const struct ws_image_symbol *ws_image_symbol_from(const struct ws_image *image, const char *prefix,
						   size_t nth);
/* All of them, sorted by address. */
const struct ws_image_symbol *ws_image_symbols(const struct ws_image *image, size_t *count);

/* Function ranges out of .eh_frame, sorted, not overlapping. A function split into .text and a cold
 * part has two. */
const struct ws_range *ws_image_functions(const struct ws_image *image, size_t *count);
/* Does this range (one of the above) begin inside a stack frame, as only a split-off part does? */
bool ws_image_is_part(const struct ws_image *image, const struct ws_range *function);
const struct ws_range *ws_image_function_at(const struct ws_image *image, uint64_t vaddr);
/* The name of the import a PLT entry (.plt, .plt.sec, .plt.got) jumps to, or NULL. */
const char *ws_image_plt_name(const struct ws_image *image, uint64_t vaddr);
/* The name of the import the dynamic linker stores the address of in the pointer-sized slot at
 * `vaddr` (the GOT, for `call *slot(%rip)` of -fno-plt builds), or NULL. */
const char *ws_image_slot_import(const struct ws_image *image, uint64_t vaddr);
/* The value a RELATIVE or RELR relocation stores in the pointer-sized slot at `vaddr`; in an
 * executable that is no PIE the slot's own bytes. */
bool ws_image_relocated(const struct ws_image *image, uint64_t vaddr, uint64_t *value);

/* Every slot the dynamic linker fills, sorted by address: with an address of the image in `value`,
 * or with that of an import. */
struct ws_image_slot_value {
	uint64_t address;
	uint64_t value;
	const char *import; /* value is 0 then */
};
const struct ws_image_slot_value *ws_image_slot_values(const struct ws_image *image, size_t *count);

#endif
