/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Notes of a core dump. Their layouts: struct elf_prstatus and elf_prpsinfo of linux/elfcore.h
 * (64-bit), NT_FILE: fs/binfmt_elf.c, fill_files_note. gdb's gcore writes the same.
 */
#include <elf.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "core/dump.h"

#define PRSTATUS_CURSIG 12
#define PRSTATUS_PID	32
#define PRSTATUS_PPID	36
#define PRSTATUS_REGS	112

#define PSINFO_STATE	 1
#define PSINFO_PID	 24
#define PSINFO_PPID	 28
#define PSINFO_FNAME	 40
#define PSINFO_ARGS	 56
#define PSINFO_FNAME_LEN 16
#define PSINFO_ARGS_LEN	 80
#define PSINFO_SIZE	 (PSINFO_ARGS + PSINFO_ARGS_LEN)

#define FILES_MAX 1000000

/* Of struct user_regs_struct (sys/user.h) by DWARF number: rax, rdx, rcx, rbx, rsi, rdi, rbp, rsp,
 * r8 to r15, rip. */
static const uint8_t x86_64_slots[] = { 10, 12, 11, 5, 13, 14, 4, 19, 9, 8, 7, 6, 3, 2, 1, 0, 16 };
#define X86_64_RIP   16
#define X86_64_RSP   7
#define X86_64_SLOTS 27
/* struct user_pt_regs: x0 to x30, sp, pc, pstate. */
#define AARCH64_SP    31
#define AARCH64_SLOTS 34

bool ws_core_regs_read(enum ws_arch arch, const void *data, size_t size, struct ws_core_regs *regs)
{
	uint64_t raw[AARCH64_SLOTS];
	size_t slots = arch == WS_ARCH_X86_64 ? X86_64_SLOTS : AARCH64_SLOTS;

	if (size < slots * sizeof(raw[0]))
		return false;
	memcpy(raw, data, slots * sizeof(raw[0]));
	*regs = (struct ws_core_regs){ 0 };
	if (arch == WS_ARCH_X86_64) {
		regs->count = WS_ARRAY_SIZE(x86_64_slots);
		for (size_t i = 0; i < regs->count; i++)
			regs->dwarf[i] = raw[x86_64_slots[i]];
		regs->pc = regs->dwarf[X86_64_RIP];
		regs->sp = regs->dwarf[X86_64_RSP];
	} else {
		regs->count = AARCH64_SP + 1;
		memcpy(regs->dwarf, raw, regs->count * sizeof(raw[0]));
		regs->sp = raw[AARCH64_SP];
		regs->pc = raw[AARCH64_SP + 1];
	}
	return true;
}

static uint32_t get32(const uint8_t *data, size_t at)
{
	uint32_t value;

	memcpy(&value, data + at, sizeof(value));
	return value;
}

static uint64_t get64(const uint8_t *data, size_t at)
{
	uint64_t value;

	memcpy(&value, data + at, sizeof(value));
	return value;
}

/* One per thread. The first is of the one that it was dumped for; the main thread is the one whose
 * number is the process's. */
static void read_status(struct ws_core_dump *dump, const uint8_t *data, size_t size, bool *first)
{
	uint32_t tid;

	if (size < PRSTATUS_REGS)
		return;
	tid = get32(data, PRSTATUS_PID);
	if (*first) {
		uint16_t signal;

		memcpy(&signal, data + PRSTATUS_CURSIG, sizeof(signal));
		dump->signal = signal <= 64 ? signal : 0;
		if (!dump->pid)
			dump->pid = tid;
		/* gcore leaves it 0. */
		if (!dump->parent)
			dump->parent = get32(data, PRSTATUS_PPID);
	}
	if (*first || (tid == dump->pid && tid))
		dump->has_regs = ws_core_regs_read(dump->arch, data + PRSTATUS_REGS,
						   size - PRSTATUS_REGS, &dump->regs);
	*first = false;
}

static void read_psinfo(struct ws_core_dump *dump, const uint8_t *data, size_t size)
{
	if (size < PSINFO_SIZE)
		return;
	dump->pid = get32(data, PSINFO_PID);
	dump->parent = get32(data, PSINFO_PPID);
	dump->state = (char)data[PSINFO_STATE];
	memcpy(dump->program, data + PSINFO_FNAME, PSINFO_FNAME_LEN);
	memcpy(dump->title, data + PSINFO_ARGS, PSINFO_ARGS_LEN);
	for (size_t len = strlen(dump->title); len && dump->title[len - 1] == ' '; len--)
		dump->title[len - 1] = '\0';
}

static int read_files(struct ws_core_dump *dump, const uint8_t *data, size_t size)
{
	uint64_t count, page;
	const char *path;
	size_t left;

	if (size < 16 || dump->files)
		return 0;
	count = get64(data, 0);
	page = get64(data, 8);
	if (count > FILES_MAX || count > (size - 16) / 24 || !page || page > (1 << 30))
		return 0;
	left = size - 16 - count * 24;
	dump->strings = malloc(left + 1);
	dump->files = calloc(count + 1, sizeof(*dump->files));
	if (!dump->strings || !dump->files)
		return -1;
	memcpy(dump->strings, data + 16 + count * 24, left);
	dump->strings[left] = '\0';
	path = dump->strings;
	for (uint64_t i = 0; i < count && path < dump->strings + left; i++) {
		struct ws_core_file *file = &dump->files[dump->file_count];
		uint64_t offset = get64(data, 16 + i * 24 + 16);

		file->start = get64(data, 16 + i * 24);
		file->end = get64(data, 16 + i * 24 + 8);
		file->path = path;
		path += strlen(path) + 1;
		if (offset > UINT64_MAX / page || file->start >= file->end)
			continue;
		file->offset = offset * page;
		dump->file_count++;
	}
	return 0;
}

static void read_auxv(const uint8_t *data, size_t size, uint64_t *phdrs, uint64_t *phdr_count)
{
	for (size_t at = 0; at + 16 <= size; at += 16) {
		if (get64(data, at) == AT_PHDR)
			*phdrs = get64(data, at + 8);
		else if (get64(data, at) == AT_PHNUM)
			*phdr_count = get64(data, at + 8);
	}
}

int ws_core_notes_read(struct ws_core_dump *dump, const uint8_t *data, size_t size, size_t align,
		       uint64_t *phdrs, uint64_t *phdr_count)
{
	bool first = true;
	size_t at = 0;

	while (size - at >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr head;
		size_t desc;

		memcpy(&head, data + at, sizeof(head));
		at += sizeof(head);
		if (head.n_namesz > size - at)
			break;
		desc = at + ((head.n_namesz + align - 1) & ~(align - 1));
		if (desc > size || head.n_descsz > size - desc)
			break;
		if (head.n_namesz == 5 && memcmp(data + at, "CORE", 5) == 0) {
			if (head.n_type == NT_PRSTATUS)
				read_status(dump, data + desc, head.n_descsz, &first);
			else if (head.n_type == NT_PRPSINFO)
				read_psinfo(dump, data + desc, head.n_descsz);
			else if (head.n_type == NT_AUXV)
				read_auxv(data + desc, head.n_descsz, phdrs, phdr_count);
			else if (head.n_type == NT_FILE &&
				 read_files(dump, data + desc, head.n_descsz))
				return -1;
		}
		at = desc + ((head.n_descsz + align - 1) & ~(align - 1));
		if (at > size)
			break;
	}
	return 0;
}
