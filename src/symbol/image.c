/* SPDX-License-Identifier: BSD-2-Clause */
#include "symbol/image_parts.h"

#include <elfutils/libdwelf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"

static const char what[] = "cannot read server binary";

/* Bytes of a file. Servers have some 10 MB, with debug information some 100; a sparse file of
 * terabytes costs whoever makes it nothing, and whoever reads it all memory. */
#define FILE_SIZE_MAX (1024 * 1024 * 1024)

/* Copies the segment: a mapping would turn a file that is truncated later into a SIGBUS. */
static int load_segment(struct ws_image *image, const GElf_Phdr *ph, uint64_t *total,
			struct ws_error *err)
{
	struct image_segment *seg;
	char where[96];
	long got;

	snprintf(where, sizeof(where), "segment at offset 0x%llx",
		 (unsigned long long)ph->p_offset);
	if (ph->p_offset > image->file_size || ph->p_filesz > image->file_size - ph->p_offset)
		return ws_error_set(err, what, image->path,
				    "%s ends behind the end of the file: truncated", where);
	if (ph->p_filesz > ph->p_memsz || ph->p_vaddr + ph->p_memsz < ph->p_vaddr)
		return ws_error_set(err, what, image->path, "%s has an impossible size", where);
	/* Segments share a page at most; many large overlapping ones are an attempt to exhaust
	 * memory. */
	*total += ph->p_filesz;
	if (*total > 2 * image->file_size)
		return ws_error_set(err, what, image->path, "%s overlaps others", where);

	seg = ws_array_grow(&image->segments, &image->segment_count, &image->segment_cap,
			    sizeof(*seg));
	if (!seg)
		return ws_error_errno(err, ENOMEM, what, image->path);
	seg->vaddr = ph->p_vaddr;
	seg->memory_size = ph->p_memsz;
	seg->offset = ph->p_offset;
	seg->file_size = ph->p_filesz;
	seg->is_exec = ph->p_flags & PF_X;
	seg->is_writable = ph->p_flags & PF_W;
	seg->bytes = malloc(ph->p_filesz + 1);
	if (!seg->bytes)
		return ws_error_errno(err, ENOMEM, what, image->path);
	got = ws_read_at(image->fd, seg->bytes, ph->p_filesz, ph->p_offset);
	if (got < 0)
		return ws_error_errno(err, errno, what, image->path);
	if ((uint64_t)got < ph->p_filesz)
		return ws_error_set(err, what, image->path, "%s is cut short: truncated", where);
	return 0;
}

static int load_segments(struct ws_image *image, struct ws_error *err)
{
	uint64_t total = 0;
	size_t count;

	if (elf_getphdrnum(image->elf, &count))
		return ws_error_set(err, what, image->path, "program headers: %s", elf_errmsg(-1));
	for (size_t i = 0; i < count; i++) {
		GElf_Phdr ph;

		if (!gelf_getphdr(image->elf, (int)i, &ph))
			return ws_error_set(err, what, image->path, "program header %zu: %s", i,
					    elf_errmsg(-1));
		if (ph.p_type == PT_LOAD && load_segment(image, &ph, &total, err))
			return -1;
	}
	if (!image->segment_count)
		return ws_error_set(err, what, image->path, "it has no loadable segment");
	return 0;
}

static int check_header(struct ws_image *image, struct ws_error *err)
{
	GElf_Ehdr eh;

	if (elf_kind(image->elf) != ELF_K_ELF || !gelf_getehdr(image->elf, &eh))
		return ws_error_set(err, what, image->path, "it is not an ELF file");
	if (eh.e_ident[EI_CLASS] != ELFCLASS64 || eh.e_ident[EI_DATA] != ELFDATA2LSB)
		return ws_error_set(err, what, image->path,
				    "it is not a 64-bit little-endian ELF file");
	if (eh.e_type != ET_EXEC && eh.e_type != ET_DYN)
		return ws_error_set(err, what, image->path, "it is not an executable (ELF type %u)",
				    eh.e_type);
	image->is_pie = eh.e_type == ET_DYN;
	if (eh.e_machine == EM_X86_64)
		image->arch = WS_ARCH_X86_64;
	else if (eh.e_machine == EM_AARCH64)
		image->arch = WS_ARCH_AARCH64;
	else
		return ws_error_set(err, what, image->path, "unknown processor (ELF machine %u)",
				    eh.e_machine);
	return 0;
}

static void load_build_id(struct ws_image *image)
{
	const void *id = NULL;
	ssize_t size = dwelf_elf_gnu_build_id(image->elf, &id);

	if (size <= 0 || size > WS_BUILD_ID_MAX)
		return;
	for (ssize_t i = 0; i < size; i++)
		sprintf(image->build_id + i * 2, "%02x", ((const uint8_t *)id)[i]);
}

/* Linkers before binutils 2.31 put .rodata into the executable segment: ask the sections. */
static int load_code_ranges(struct ws_image *image, struct ws_error *err)
{
	Elf_Scn *scn = NULL;

	while ((scn = elf_nextscn(image->elf, scn)) != NULL) {
		struct ws_range *range;
		GElf_Shdr sh;

		if (!gelf_getshdr(scn, &sh) || !(sh.sh_flags & SHF_EXECINSTR) ||
		    sh.sh_addr + sh.sh_size < sh.sh_addr)
			continue;
		range = ws_array_grow(&image->code, &image->code_count, &image->code_cap,
				      sizeof(*range));
		if (!range)
			return ws_error_errno(err, ENOMEM, what, image->path);
		range->start = sh.sh_addr;
		range->end = sh.sh_addr + sh.sh_size;
	}
	return 0;
}

static int load_names(struct ws_image *image, struct ws_error *err)
{
	int dynamic = ws_symtab_add(&image->names, image->elf, ".dynsym", true, image);
	int full = ws_symtab_add(&image->names, image->elf, ".symtab", false, image);

	if (dynamic < 0 || full < 0 || ws_symtab_sort(&image->names))
		return ws_error_errno(err, ENOMEM, what, image->path);
	image->is_stripped = full == 0;
	return 0;
}

static int load(struct ws_image *image, int fd, const char *path, struct ws_error *err)
{
	struct stat st;

	image->path = strdup(path);
	if (!image->path)
		return ws_error_errno(err, ENOMEM, what, path);
	image->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (image->fd < 0 || fstat(image->fd, &st))
		return ws_error_errno(err, errno, what, path);
	if (!S_ISREG(st.st_mode))
		return ws_error_set(err, what, path, "it is not a regular file");
	if (st.st_size > FILE_SIZE_MAX)
		return ws_error_set(err, what, path,
				    "it is larger than 1 GiB, too large for a server");
	image->file_size = (uint64_t)st.st_size;
	if (elf_version(EV_CURRENT) == EV_NONE)
		return ws_error_set(err, what, path, "libelf: %s", elf_errmsg(-1));
	image->elf = elf_begin(image->fd, ELF_C_READ, NULL);
	if (!image->elf)
		return ws_error_set(err, what, path, "%s", elf_errmsg(-1));
	if (check_header(image, err) || load_segments(image, err) || load_code_ranges(image, err))
		return -1;
	load_build_id(image);
	if (load_names(image, err) || ws_image_load_slots(image, err) ||
	    ws_image_load_plt(image, err) || ws_image_load_functions(image, err))
		return -1;
	return 0;
}

int ws_image_open(struct ws_image **imagep, int fd, const char *path, const struct ws_log *log,
		  struct ws_error *err)
{
	struct ws_image *image = calloc(1, sizeof(*image));

	*imagep = NULL;
	if (!image)
		return ws_error_errno(err, ENOMEM, what, path);
	image->fd = -1;
	if (load(image, fd, path, err)) {
		ws_image_free(image);
		return -1;
	}
	ws_log(log, WS_LOG_DEBUG,
	       "%s: %s, build id %s, %zu names, %zu function ranges, %zu PLT entries, %zu slots",
	       path, ws_image_arch_name(image->arch), image->build_id[0] ? image->build_id : "none",
	       image->names.count, image->function_count, image->plt_count, image->slot_count);
	*imagep = image;
	return 0;
}

void ws_image_free(struct ws_image *image)
{
	if (!image)
		return;
	for (size_t i = 0; i < image->segment_count; i++)
		free(image->segments[i].bytes);
	free(image->segments);
	free(image->code);
	ws_symtab_deinit(&image->names);
	free(image->functions);
	free(image->parts);
	free(image->plt);
	free(image->slots);
	elf_end(image->elf);
	ws_cleanup_close(&image->fd);
	free(image->path);
	free(image);
}

Elf_Scn *ws_image_section(const struct ws_image *image, const char *name, GElf_Shdr *header,
			  Elf_Data **data)
{
	return ws_elf_section(image->elf, name, header, data);
}

long ws_image_search(const void *start, size_t count, size_t size, uint64_t address)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		uint64_t at = *(const uint64_t *)((const char *)start + mid * size);

		if (at <= address)
			low = mid + 1;
		else
			high = mid;
	}
	return (long)low - 1;
}
