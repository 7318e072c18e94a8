/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening debug files. Who put them there is not known: each is looked at before it is used. */
#include "symbol/debug_parts.h"

#include <elfutils/libdwelf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <zlib.h>

#include "base/util.h"

/* Debug files of servers have some 10 MB to 100 MB. */
#define FILE_SIZE_MAX (1024L * 1024 * 1024)

#define OPEN_FLAGS (O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)

/* Another root is another's: an absolute link in it means a path of his, and ".." must not lead to
 * ours. */
int ws_debug_open_path(const struct ws_debug *debug, size_t root, const char *path)
{
	struct open_how how = { .flags = OPEN_FLAGS,
				.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };

	if (debug->roots[root] < 0)
		return open(path, OPEN_FLAGS);
	return (int)syscall(SYS_openat2, debug->roots[root], path, &how, sizeof(how));
}

/* A debug file has the image's machine and no surprises. */
static const char *find_fault(const struct ws_debug *debug, Elf *elf)
{
	GElf_Ehdr own, its;

	if (elf_kind(elf) != ELF_K_ELF || !gelf_getehdr(elf, &its))
		return "it is not an ELF file";
	if (!gelf_getehdr(ws_image_elf(debug->image), &own) ||
	    own.e_ident[EI_CLASS] != its.e_ident[EI_CLASS] ||
	    own.e_ident[EI_DATA] != its.e_ident[EI_DATA] || own.e_machine != its.e_machine)
		return "it is for another processor";
	return NULL;
}

static bool check_elf(const struct ws_debug *debug, enum ws_step step, const char *path,
		      struct debug_elf *elf)
{
	const char *fault = elf->elf ? find_fault(debug, elf->elf) : elf_errmsg(-1);

	if (!fault)
		return true;
	ws_debug_note(debug, step, path, "%s", fault);
	ws_debug_close_elf(elf);
	return false;
}

bool ws_debug_open_elf(const struct ws_debug *debug, enum ws_step step, const char *path, int fd,
		       struct debug_elf *elf)
{
	struct stat st;

	*elf = (struct debug_elf){ .fd = fd };
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size > FILE_SIZE_MAX) {
		ws_debug_note(debug, step, path, "%s",
			      !S_ISREG(st.st_mode) ? "it is not a regular file"
						   : "it is larger than 1 GiB");
		ws_debug_close_elf(elf);
		return false;
	}
	/* Read, not mapped: a file that is truncated later would be a SIGBUS. */
	elf->elf = elf_begin(fd, ELF_C_READ, NULL);
	return check_elf(debug, step, path, elf);
}

bool ws_debug_open_memory(const struct ws_debug *debug, enum ws_step step, const char *path,
			  void *bytes, size_t size, struct debug_elf *elf)
{
	*elf = (struct debug_elf){ .fd = -1, .memory = bytes };
	elf->elf = elf_memory(bytes, size);
	return check_elf(debug, step, path, elf);
}

void ws_debug_close_elf(struct debug_elf *elf)
{
	if (!elf->is_borrowed)
		elf_end(elf->elf);
	ws_cleanup_close(&elf->fd);
	free(elf->memory);
	*elf = (struct debug_elf){ .fd = -1 };
}

void ws_debug_read_build_id(Elf *elf, struct build_id *id)
{
	const void *bytes = NULL;
	ssize_t size = dwelf_elf_gnu_build_id(elf, &bytes);

	id->size = 0;
	if (size <= 0 || size > WS_BUILD_ID_MAX)
		return;
	id->size = (size_t)size;
	memcpy(id->bytes, bytes, id->size);
}

bool ws_debug_same_build_id(const struct build_id *a, const struct build_id *b)
{
	return a->size && a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}

bool ws_debug_crc(int fd, uint32_t *crc)
{
	static const size_t block_size = 256 * 1024;
	ws_autofree uint8_t *block = malloc(block_size);
	uint64_t offset = 0;
	long got;

	if (!block)
		return false;
	*crc = (uint32_t)crc32(0, NULL, 0);
	while ((got = ws_read_at(fd, block, block_size, offset)) > 0) {
		*crc = (uint32_t)crc32(*crc, block, (uInt)got);
		offset += (uint64_t)got;
	}
	return got == 0;
}
