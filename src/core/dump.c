/* SPDX-License-Identifier: BSD-2-Clause */
/* The segments of a core dump, and reading through them. */
#include "core/dump.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/util.h"
#include "core/unpack.h"

#define SEGMENTS_MAX 1000000 /* vm.max_map_count is 65530 unless raised */
#define NOTES_MAX    (64ULL << 20)
#define PHDRS_MAX    256 /* of the executable */
#define NOTE_MAX     4096
#define PAGE	     4096 /* the smallest there is */

static const char what[] = "cannot read core";

static int bad(const struct ws_core_dump *dump, struct ws_error *err, const char *why)
{
	return ws_error_set(err, what, dump->path, "%s", why);
}

/* -- memory */

static const struct ws_core_segment *find_segment(const struct ws_core_dump *dump, uint64_t address)
{
	size_t low = 0, high = dump->segment_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct ws_core_segment *segment = &dump->segments[middle];

		if (address < segment->start)
			high = middle;
		else if (address >= segment->end)
			low = middle + 1;
		else
			return segment;
	}
	return NULL;
}

/* A page that the process could not write is as it is in the file. */
static bool read_image(const struct ws_core_dump *dump, uint64_t address, void *out, size_t size)
{
	const uint8_t *bytes;
	size_t avail;

	if (!dump->image || address < dump->base ||
	    ws_image_is_writable(dump->image, address - dump->base))
		return false;
	bytes = ws_image_bytes(dump->image, address - dump->base, &avail);
	if (!bytes || avail < size)
		return false;
	memcpy(out, bytes, size);
	return true;
}

static bool read_dump(const struct ws_memory *memory, uint64_t address, void *out, size_t size)
{
	const struct ws_core_dump *dump = (const struct ws_core_dump *)memory;
	char *to = out;

	while (size) {
		const struct ws_core_segment *segment = find_segment(dump, address);
		uint64_t at = segment ? address - segment->start : 0, piece = size;

		if (!segment || at >= segment->dumped) {
			if (read_image(dump, address, to, size))
				return true;
			errno = EFAULT;
			return false;
		}
		if (piece > segment->dumped - at)
			piece = segment->dumped - at;
		if (ws_read_at(dump->fd, to, piece, segment->offset + at) != (long)piece) {
			errno = EFAULT;
			return false;
		}
		to += piece;
		size -= piece;
		if (address + piece < address && size) {
			errno = EFAULT;
			return false;
		}
		address += piece;
	}
	return true;
}

/* Neighbours in one piece: a mapping may have been dumped as several segments. */
static bool mapping_dump(const struct ws_memory *memory, uint64_t address, uint64_t *start,
			 uint64_t *end)
{
	const struct ws_core_dump *dump = (const struct ws_core_dump *)memory;
	const struct ws_core_segment *segment = find_segment(dump, address);

	if (!segment)
		return false;
	*start = segment->start;
	*end = segment->end;
	return true;
}

/* The file says for which address its program headers are meant. */
static void find_base(struct ws_core_dump *dump, const struct ws_image *image)
{
	Elf *elf = ws_image_elf(image);
	size_t count;

	if (elf_getphdrnum(elf, &count))
		return;
	for (size_t i = 0; i < count; i++) {
		GElf_Phdr phdr;

		if (!gelf_getphdr(elf, (int)i, &phdr) || phdr.p_type != PT_PHDR)
			continue;
		dump->base = dump->phdrs - phdr.p_vaddr;
		dump->has_base = !(dump->base % PAGE);
		return;
	}
}

void ws_core_dump_set_image(struct ws_core_dump *dump, const struct ws_image *image)
{
	dump->image = image;
	if (image && !dump->has_base)
		find_base(dump, image);
}

/* -- segments */

static int by_start(const void *a, const void *b)
{
	const struct ws_core_segment *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

static void add_segment(struct ws_core_dump *dump, const Elf64_Phdr *phdr)
{
	struct ws_core_segment *segment = &dump->segments[dump->segment_count];
	uint64_t dumped = phdr->p_filesz;

	if (!phdr->p_memsz || phdr->p_vaddr + phdr->p_memsz < phdr->p_vaddr)
		return;
	if (dumped > phdr->p_memsz)
		dumped = phdr->p_memsz;
	if (dumped &&
	    (phdr->p_offset > dump->file_size || dumped > dump->file_size - phdr->p_offset)) {
		dump->torn = true;
		dumped = phdr->p_offset < dump->file_size ? dump->file_size - phdr->p_offset : 0;
	}
	*segment = (struct ws_core_segment){ phdr->p_vaddr, phdr->p_vaddr + phdr->p_memsz, dumped,
					     phdr->p_offset };
	dump->segment_count++;
}

/* Of two that overlap, which no process has, the first one counts. */
static void sort_segments(struct ws_core_dump *dump)
{
	size_t kept = 0;

	if (!dump->segment_count)
		return;
	qsort(dump->segments, dump->segment_count, sizeof(*dump->segments), by_start);
	for (size_t i = 1; i < dump->segment_count; i++) {
		if (dump->segments[i].start >= dump->segments[kept].end)
			dump->segments[++kept] = dump->segments[i];
		else
			dump->torn = true;
	}
	dump->segment_count = kept + 1;
}

struct notes {
	uint64_t phdrs, phdr_count; /* of the executable, by the auxiliary vector */
};

static int read_notes(struct ws_core_dump *dump, const Elf64_Phdr *phdr, struct notes *notes,
		      struct ws_error *err)
{
	ws_autofree uint8_t *data = NULL;
	uint64_t size = phdr->p_filesz;

	if (phdr->p_offset > dump->file_size || size > dump->file_size - phdr->p_offset) {
		dump->torn = true;
		size = phdr->p_offset < dump->file_size ? dump->file_size - phdr->p_offset : 0;
	}
	if (size > NOTES_MAX)
		return bad(dump, err, "its notes are larger than any");
	data = malloc(size + 1);
	if (!data)
		return ws_error_errno(err, ENOMEM, what, dump->path);
	if (ws_read_at(dump->fd, data, size, phdr->p_offset) != (long)size)
		return bad(dump, err, "its notes cannot be read");
	if (ws_core_notes_read(dump, data, size, phdr->p_align == 8 ? 8 : 4, &notes->phdrs,
			       &notes->phdr_count))
		return ws_error_errno(err, ENOMEM, what, dump->path);
	return 0;
}

static int read_phdrs(struct ws_core_dump *dump, const Elf64_Ehdr *ehdr, uint64_t count,
		      struct notes *notes, struct ws_error *err)
{
	dump->segments = calloc(count + 1, sizeof(*dump->segments));
	if (!dump->segments)
		return ws_error_errno(err, ENOMEM, what, dump->path);
	for (uint64_t i = 0; i < count; i++) {
		Elf64_Phdr phdr;

		if (ws_read_at(dump->fd, &phdr, sizeof(phdr), ehdr->e_phoff + i * sizeof(phdr)) !=
		    (long)sizeof(phdr)) {
			dump->torn = true;
			break;
		}
		if (phdr.p_type == PT_LOAD)
			add_segment(dump, &phdr);
		else if (phdr.p_type == PT_NOTE && read_notes(dump, &phdr, notes, err))
			return -1;
	}
	sort_segments(dump);
	return 0;
}

/* elf(5): of more than 65534 segments the first section header says how many. */
static uint64_t phdr_count(const struct ws_core_dump *dump, const Elf64_Ehdr *ehdr)
{
	Elf64_Shdr shdr;

	if (ehdr->e_phnum != PN_XNUM)
		return ehdr->e_phnum;
	if (!ehdr->e_shoff || ehdr->e_shoff > dump->file_size ||
	    ws_read_at(dump->fd, &shdr, sizeof(shdr), ehdr->e_shoff) != (long)sizeof(shdr))
		return 0;
	return shdr.sh_info;
}

static int read_head(struct ws_core_dump *dump, struct notes *notes, struct ws_error *err)
{
	Elf64_Ehdr ehdr;
	uint64_t count;

	if (ws_read_at(dump->fd, &ehdr, sizeof(ehdr), 0) != (long)sizeof(ehdr) ||
	    memcmp(ehdr.e_ident, ELFMAG, SELFMAG) != 0)
		return bad(dump, err, "it is no core dump");
	if (ehdr.e_ident[EI_CLASS] != ELFCLASS64 || ehdr.e_ident[EI_DATA] != ELFDATA2LSB ||
	    (ehdr.e_machine != EM_X86_64 && ehdr.e_machine != EM_AARCH64))
		return bad(dump, err, "it is of another machine than x86-64 or aarch64");
	if (ehdr.e_type != ET_CORE)
		return bad(dump, err, "it is an ELF file, but no core dump");
	dump->arch = ehdr.e_machine == EM_X86_64 ? WS_ARCH_X86_64 : WS_ARCH_AARCH64;
	count = phdr_count(dump, &ehdr);
	if (ehdr.e_phentsize != sizeof(Elf64_Phdr) || !count || count > SEGMENTS_MAX ||
	    ehdr.e_phoff > dump->file_size)
		return bad(dump, err, "its head is damaged");
	return read_phdrs(dump, &ehdr, count, notes, err);
}

/* -- the executable */

static bool read_note(const struct ws_memory *memory, uint32_t pid, uint64_t address, uint64_t size,
		      char build_id[2 * WS_BUILD_ID_MAX + 1])
{
	uint8_t data[NOTE_MAX];
	size_t at = 0;

	if (size > sizeof(data))
		size = sizeof(data);
	if (!ws_memory_get(memory, pid, address, data, size))
		return false;
	while (at + sizeof(Elf64_Nhdr) <= size) {
		Elf64_Nhdr head;
		size_t name, desc;

		memcpy(&head, data + at, sizeof(head));
		name = at + sizeof(head);
		if (head.n_namesz > size - name)
			return false;
		desc = name + ((head.n_namesz + 3UL) & ~3UL);
		if (desc > size || head.n_descsz > size - desc)
			return false;
		if (head.n_type == NT_GNU_BUILD_ID && head.n_namesz == 4 &&
		    memcmp(data + name, "GNU", 4) == 0 && head.n_descsz &&
		    head.n_descsz <= WS_BUILD_ID_MAX) {
			for (size_t i = 0; i < head.n_descsz; i++)
				snprintf(build_id + 2 * i, 3, "%02x", data[desc + i]);
			return true;
		}
		at = desc + ((head.n_descsz + 3UL) & ~3UL);
	}
	return false;
}

void ws_core_build_id(const struct ws_memory *memory, uint32_t pid, uint64_t address,
		      char build_id[2 * WS_BUILD_ID_MAX + 1])
{
	uint64_t first = UINT64_MAX;
	Elf64_Ehdr ehdr;
	Elf64_Phdr phdr;

	build_id[0] = '\0';
	if (!ws_memory_get(memory, pid, address, &ehdr, sizeof(ehdr)) ||
	    memcmp(ehdr.e_ident, ELFMAG, SELFMAG) != 0 || ehdr.e_phentsize != sizeof(phdr) ||
	    ehdr.e_phnum > PHDRS_MAX)
		return;
	for (unsigned int i = 0; i < ehdr.e_phnum; i++) {
		if (!ws_memory_get(memory, pid, address + ehdr.e_phoff + i * sizeof(phdr), &phdr,
				   sizeof(phdr)))
			return;
		/* The head is mapped with the first segment. */
		if (phdr.p_type == PT_LOAD && first == UINT64_MAX)
			first = phdr.p_vaddr - phdr.p_offset;
	}
	for (unsigned int i = 0; i < ehdr.e_phnum && first != UINT64_MAX; i++) {
		if (!ws_memory_get(memory, pid, address + ehdr.e_phoff + i * sizeof(phdr), &phdr,
				   sizeof(phdr)))
			return;
		if (phdr.p_type == PT_NOTE &&
		    read_note(memory, pid, address + phdr.p_vaddr - first, phdr.p_memsz, build_id))
			return;
	}
}

static const struct ws_core_file *file_at(const struct ws_core_dump *dump, uint64_t address)
{
	for (size_t i = 0; i < dump->file_count; i++)
		if (address >= dump->files[i].start && address < dump->files[i].end)
			return &dump->files[i];
	return NULL;
}

/* AT_PHDR lies in the first mapping of the executable, which begins with its head. */
static void find_exe(struct ws_core_dump *dump, const struct notes *notes)
{
	const struct ws_core_file *file = file_at(dump, notes->phdrs);
	Elf64_Phdr phdr;

	if (file)
		snprintf(dump->exe, sizeof(dump->exe), "%s", file->path);
	for (uint64_t i = 0; i < notes->phdr_count && i < PHDRS_MAX && notes->phdrs; i++) {
		if (!read_dump(&dump->memory, notes->phdrs + i * sizeof(phdr), &phdr, sizeof(phdr)))
			break;
		if (phdr.p_type != PT_PHDR)
			continue;
		dump->has_base = true;
		dump->base = notes->phdrs - phdr.p_vaddr;
		break;
	}
	if (file && !dump->has_base && file->offset == 0) {
		/* Its first page was not dumped. A PIE begins at 0 in all that linkers make. */
		dump->has_base = true;
		dump->base = file->start;
	}
	if (file && file->offset == 0)
		ws_core_build_id(&dump->memory, 0, file->start, dump->build_id);
	else if (dump->has_base && notes->phdrs)
		ws_core_build_id(&dump->memory, 0, notes->phdrs & ~(uint64_t)0xfff, dump->build_id);
}

/* systemd-coredump(8) keeps the moment, in us, beside the file. */
static int64_t find_time(int fd, const struct stat *st)
{
	char text[32];
	ssize_t n = fgetxattr(fd, "user.coredump.timestamp", text, sizeof(text) - 1);

	if (n > 0) {
		char *end;
		unsigned long long us;

		text[n] = '\0';
		us = strtoull(text, &end, 10);
		if (!*end && us && us < INT64_MAX / 1000)
			return (int64_t)us * 1000;
	}
	return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

static int open_file(struct ws_core_dump *dump, const struct ws_log *log, struct ws_error *err)
{
	struct stat st;

	dump->fd = open(dump->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (dump->fd < 0 || fstat(dump->fd, &st))
		return ws_error_errno(err, errno, what, dump->path);
	if (!S_ISREG(st.st_mode))
		return bad(dump, err, "it is not a regular file");
	dump->wall_ns = find_time(dump->fd, &st);
	if (ws_core_unpack(&dump->fd, dump->path, &dump->torn, log, err))
		return -1;
	if (fstat(dump->fd, &st))
		return ws_error_errno(err, errno, what, dump->path);
	dump->file_size = (uint64_t)st.st_size;
	return 0;
}

int ws_core_dump_open(struct ws_core_dump *dump, const char *path, const struct ws_log *log,
		      struct ws_error *err)
{
	struct notes notes = { 0 };

	*dump = (struct ws_core_dump){ .memory = { read_dump, mapping_dump },
				       .path = path,
				       .fd = -1 };
	if (open_file(dump, log, err) || read_head(dump, &notes, err))
		return -1;
	if (!dump->pid && dump->torn)
		return bad(dump, err, "it is cut off in front of what says which process it is of");
	if (!dump->pid || !notes.phdrs)
		return bad(dump, err, "it does not say which process it is of, or of what program");
	dump->phdrs = notes.phdrs;
	find_exe(dump, &notes);
	return 0;
}

void ws_core_dump_close(struct ws_core_dump *dump)
{
	if (dump->fd >= 0)
		close(dump->fd);
	free(dump->segments);
	free(dump->files);
	free(dump->strings);
	*dump = (struct ws_core_dump){ .fd = -1 };
}
