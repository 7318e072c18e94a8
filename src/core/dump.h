/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dump.h: a core dump as a file: its memory, and what the kernel (or gdb) wrote down of the
 * process.
 *
 * The file is hostile: every offset, size and count in it is checked before use. What a truncated
 * one no longer has cannot be read, and the rest can.
 */
#ifndef WS_CORE_DUMP_H
#define WS_CORE_DUMP_H

#include "base/log.h"
#include "symbol/image.h"
#include "target/memory.h"

/* Registers of a thread, as DWARF numbers them; for unwinding. */
#define WS_CORE_REGS 33
struct ws_core_regs {
	uint64_t dwarf[WS_CORE_REGS];
	unsigned int count; /* x86-64: 17 (the last is rip), aarch64: 32 (the last is sp) */
	uint64_t pc, sp;
};

/* A stretch of a file that the process had mapped (NT_FILE). `path` lives as long as the dump. */
struct ws_core_file {
	uint64_t start, end;
	uint64_t offset; /* in the file, bytes */
	const char *path;
};

struct ws_core_dump {
	struct ws_memory memory; /* first: what it is read through */
	const char *path;
	enum ws_arch arch;
	bool torn; /* the file ends in front of what it should have, or is damaged */

	/* Notes. */
	uint32_t pid, parent; /* 0: not known */
	uint32_t signal;      /* it was dumped on, 0: none */
	char state;	      /* 'R', 'S', ...; 0: not known */
	char program[17];     /* its name for the kernel */
	char title[81];	      /* its arguments, which PostgreSQL overwrites */
	bool has_regs;
	struct ws_core_regs regs; /* of its main thread */
	struct ws_core_file *files;
	size_t file_count;
	int64_t wall_ns; /* when it was dumped: as systemd-coredump noted, else the file's time */

	/* The executable, as memory shows it. */
	uint64_t phdrs; /* its program headers in the process (AT_PHDR) */
	bool has_base;	/* the dump alone tells; ws_core_dump_set_image may, too */
	uint64_t base;	/* address in the process minus address in the file */
	char exe[512];	/* its path, "" if not known */
	char build_id[2 * WS_BUILD_ID_MAX + 1]; /* "" if not in the dump */

	/* Its own. */
	int fd;
	uint64_t file_size;
	struct ws_core_segment *segments; /* by address */
	size_t segment_count;
	char *strings;
	const struct ws_image *image; /* for what the kernel did not dump */
};

/* A part of the address space. Of its pages those in front of `dumped` are in the file. */
struct ws_core_segment {
	uint64_t start, end;
	uint64_t dumped; /* bytes */
	uint64_t offset; /* in the file */
};

/* Opens (and unpacks) it. `path` is kept. Fails if it is no core dump of a 64-bit process, or too
 * little of it is there to tell whose. */
int ws_core_dump_open(struct ws_core_dump *dump, const char *path, const struct ws_log *log,
		      struct ws_error *err);
void ws_core_dump_close(struct ws_core_dump *dump);

/* Pages of the executable that nobody could have changed are read from its file from now on, where
 * the dump does not have them, and where it is loaded is told with its help, if the dump has no
 * word of that (qemu's user mode writes neither NT_FILE nor what is code). NULL: no more. */
void ws_core_dump_set_image(struct ws_core_dump *dump, const struct ws_image *image);

/*
 * The build-id of the ELF file that is mapped with its head at `address`, read through `memory`,
 * hex; "" if it has none, or it is not there to be read.
 */
void ws_core_build_id(const struct ws_memory *memory, uint32_t pid, uint64_t address,
		      char build_id[2 * WS_BUILD_ID_MAX + 1]);

/* Registers out of what the kernel writes (struct elf_prstatus's pr_reg, PTRACE_GETREGSET). False:
 * too short, or an unknown machine. */
bool ws_core_regs_read(enum ws_arch arch, const void *data, size_t size, struct ws_core_regs *regs);

/* Notes of the dump (notes.c): fills what they say. `size` bytes at `data`. */
int ws_core_notes_read(struct ws_core_dump *dump, const uint8_t *data, size_t size, size_t align,
		       uint64_t *phdrs, uint64_t *phdr_count);

#endif
