/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/unwind.h"

#include <elfutils/libdwelf.h>
#include <elfutils/libdwfl.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"

#define FILES_MAX  1024		/* that a server has loaded */
#define SCAN_BYTES (256 * 1024) /* of the stack */
#define X86_64_RBP 6

struct unwinding {
	const struct ws_core_unwind *in;
	struct ws_core_regs regs; /* to begin with */
	bool behind_call;	  /* the first pc is a return address */
	Dwfl *dwfl;
	struct ws_core_frame *frames;
	size_t count;
	bool image_reported;
};

/* -- what libdwfl asks for */

static int no_file(Dwfl_Module *module, void **userdata, const char *name, Dwarf_Addr base,
		   char **file_name, Elf **elf)
{
	(void)module, (void)userdata, (void)name, (void)base, (void)file_name, (void)elf;
	return -1;
}

/* Debug files are the resolver's business, and none is fetched from a network here. */
static int no_debuginfo(Dwfl_Module *module, void **userdata, const char *name, Dwarf_Addr base,
			const char *file_name, const char *link, GElf_Word crc, char **debug_name)
{
	(void)module, (void)userdata, (void)name, (void)base, (void)file_name, (void)link;
	(void)crc, (void)debug_name;
	return -1;
}

static const Dwfl_Callbacks callbacks = { .find_elf = no_file, .find_debuginfo = no_debuginfo };

static pid_t next_thread(Dwfl *dwfl, void *arg, void **thread_arg)
{
	struct unwinding *u = arg;

	(void)dwfl;
	if (*thread_arg)
		return 0;
	*thread_arg = u;
	return (pid_t)(u->in->pid ? u->in->pid : 1);
}

static bool read_word(Dwfl *dwfl, Dwarf_Addr address, Dwarf_Word *result, void *arg)
{
	struct unwinding *u = arg;

	(void)dwfl;
	return ws_memory_get(u->in->memory, u->in->pid, address, result, sizeof(*result));
}

static bool set_registers(Dwfl_Thread *thread, void *arg)
{
	struct unwinding *u = arg;
	Dwarf_Word words[WS_CORE_REGS];

	for (unsigned int i = 0; i < u->regs.count; i++)
		words[i] = u->regs.dwarf[i];
	if (!dwfl_thread_state_registers(thread, 0, u->regs.count, words))
		return false;
	dwfl_thread_state_register_pc(thread, u->regs.pc);
	return true;
}

static const Dwfl_Thread_Callbacks thread_callbacks = {
	.next_thread = next_thread,
	.memory_read = read_word,
	.set_initial_registers = set_registers,
};

/* -- files */

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool same_build_id(Elf *elf, const char *expected)
{
	char hex[2 * WS_BUILD_ID_MAX + 1] = "";
	const void *bits;
	ssize_t len = dwelf_elf_gnu_build_id(elf, &bits);

	for (ssize_t i = 0; i < len && i < WS_BUILD_ID_MAX; i++)
		snprintf(hex + 2 * i, 3, "%02x", ((const uint8_t *)bits)[i]);
	return hex[0] && strcmp(hex, expected) == 0;
}

/* Address minus offset of the first segment. */
static bool first_segment(Elf *elf, uint64_t *first)
{
	size_t count;
	GElf_Phdr phdr;

	if (elf_getphdrnum(elf, &count))
		return false;
	for (size_t i = 0; i < count && i <= INT_MAX; i++) {
		if (gelf_getphdr(elf, (int)i, &phdr) && phdr.p_type == PT_LOAD) {
			*first = phdr.p_vaddr - phdr.p_offset;
			return true;
		}
	}
	return false;
}

static int open_elf(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd >= 0 && (fstat(fd, &st) || !S_ISREG(st.st_mode))) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static void report_library(struct unwinding *u, const struct ws_core_file *file)
{
	char path[PATH_MAX], build_id[2 * WS_BUILD_ID_MAX + 1];
	uint64_t first = 0;
	bool fits = false;
	Elf *elf;
	int fd;

	ws_core_build_id(u->in->memory, u->in->pid, file->start, build_id);
	if (!build_id[0] || file->path[0] != '/' ||
	    (size_t)snprintf(path, sizeof(path), "%s%s", u->in->root, file->path) >= sizeof(path))
		return;
	fd = open_elf(path);
	elf = fd >= 0 ? elf_begin(fd, ELF_C_READ, NULL) : NULL;
	if (elf && elf_kind(elf) == ELF_K_ELF)
		fits = same_build_id(elf, build_id) && first_segment(elf, &first);
	elf_end(elf);
	if (fits &&
	    dwfl_report_elf(u->dwfl, base_name(file->path), path, fd, file->start - first, true))
		return; /* fd is libdwfl's now */
	if (fd >= 0)
		close(fd);
	ws_log(u->in->log, WS_LOG_INFO, "%s is not the one the process had, or not here: %s",
	       file->path, "not unwound by");
}

static void report_image(struct unwinding *u)
{
	int fd = fcntl(u->in->image_fd, F_DUPFD_CLOEXEC, 3);

	if (fd < 0)
		return;
	if (dwfl_report_elf(u->dwfl, "postgres", ws_image_path(u->in->image), fd, u->in->base,
			    true))
		u->image_reported = true;
	else
		close(fd);
}

static void report_files(struct unwinding *u)
{
	const struct ws_core_unwind *in = u->in;
	size_t reported = 0;

	report_image(u);
	for (size_t i = 0; i < in->file_count && reported < FILES_MAX; i++) {
		const struct ws_core_file *file = &in->files[i];
		bool seen = strcmp(file->path, in->exe) == 0;

		for (size_t k = 0; k < i && !seen && i < 4 * FILES_MAX; k++)
			seen = strcmp(in->files[k].path, file->path) == 0;
		if (seen || file->offset)
			continue;
		reported++;
		report_library(u, file);
	}
}

/* -- frames */

static bool in_image(const struct ws_core_unwind *in, uint64_t pc)
{
	return pc >= in->base && ws_image_is_code(in->image, pc - in->base);
}

static void name_frame(struct unwinding *u, struct ws_core_frame *frame)
{
	uint64_t pc = frame->pc - (frame->activation ? 0 : 1);
	Dwfl_Module *module;
	const char *name;
	GElf_Off offset;
	GElf_Sym symbol;

	frame->in_image = in_image(u->in, pc);
	if (frame->in_image)
		return;
	module = dwfl_addrmodule(u->dwfl, pc);
	if (!module)
		return;
	name = dwfl_module_info(module, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
	snprintf(frame->module, sizeof(frame->module), "%s", name ? name : "");
	name = dwfl_module_addrinfo(module, pc, &offset, &symbol, NULL, NULL, NULL);
	/* A name that stands in front of the address and whose size does not reach it is another's.
	 */
	if (!name || !symbol.st_size || offset >= symbol.st_size)
		return;
	snprintf(frame->function, sizeof(frame->function), "%s", name);
	frame->offset = offset + (frame->activation ? 0 : 1);
}

/* What is no address of anything was no return address either. A dump by gcore has no segment of
 * what is only in files. */
static bool is_mapped(const struct ws_core_unwind *in, uint64_t pc)
{
	uint64_t start, end;

	if (in_image(in, pc) || in->memory->mapping(in->memory, pc, &start, &end))
		return true;
	for (size_t i = 0; i < in->file_count; i++)
		if (pc >= in->files[i].start && pc < in->files[i].end)
			return true;
	return false;
}

static int on_frame(Dwfl_Frame *state, void *arg)
{
	struct unwinding *u = arg;
	struct ws_core_frame *frame = &u->frames[u->count];
	Dwarf_Addr pc;
	bool activation;

	if (u->count >= WS_CORE_FRAMES || !dwfl_frame_pc(state, &pc, &activation) ||
	    !is_mapped(u->in, pc))
		return DWARF_CB_ABORT;
	*frame = (struct ws_core_frame){ .pc = pc, .activation = activation };
	if (u->behind_call)
		frame->activation = false;
	u->behind_call = false;
	name_frame(u, frame);
	u->count++;
	return DWARF_CB_OK;
}

static int on_thread(Dwfl_Thread *thread, void *arg)
{
	dwfl_thread_getframes(thread, on_frame, arg);
	return DWARF_CB_ABORT; /* there is one */
}

static void unwind_once(struct unwinding *u)
{
	const struct ws_core_unwind *in = u->in;

	u->dwfl = dwfl_begin(&callbacks);
	if (!u->dwfl)
		return;
	dwfl_report_begin(u->dwfl);
	report_files(u);
	if (dwfl_report_end(u->dwfl, NULL, NULL) == 0 && u->image_reported &&
	    dwfl_attach_state(u->dwfl, NULL, (pid_t)(in->pid ? in->pid : 1), &thread_callbacks, u))
		dwfl_getthreads(u->dwfl, on_thread, u);
	else
		ws_log(in->log, WS_LOG_INFO, "cannot unwind: %s", dwfl_errmsg(-1));
	dwfl_end(u->dwfl);
	u->dwfl = NULL;
}

/* -- where a file is missing */

/* x86-64: e8 rel32, or ff /2 in its lengths; aarch64: bl, blr. */
static bool follows_call(const struct ws_image *image, uint64_t vaddr)
{
	static const uint8_t indirect[] = { 0, 1, 4, 5 }; /* of 7, 6, 3 and 2 bytes */
	const uint8_t *bytes;
	size_t avail;
	uint32_t word;

	if (ws_image_arch(image) == WS_ARCH_AARCH64) {
		bytes = vaddr & 3 || vaddr < 4 ? NULL : ws_image_bytes(image, vaddr - 4, &avail);
		if (!bytes || avail < 4)
			return false;
		memcpy(&word, bytes, 4);
		return word >> 26 == 0x25 || (word & 0xfffffc1f) == 0xd63f0000;
	}
	bytes = vaddr < 7 ? NULL : ws_image_bytes(image, vaddr - 7, &avail);
	if (!bytes || avail < 7)
		return false;
	if (bytes[2] == 0xe8)
		return true;
	for (size_t i = 0; i < WS_ARRAY_SIZE(indirect); i++)
		if (bytes[indirect[i]] == 0xff && (bytes[indirect[i] + 1] & 0x38) == 0x10)
			return true;
	return false;
}

static void add_caller(struct unwinding *u, uint64_t pc)
{
	struct ws_core_frame *frame = &u->frames[u->count];

	if (u->count == WS_CORE_FRAMES || !in_image(u->in, pc) ||
	    !follows_call(u->in->image, pc - u->in->base))
		return;
	*frame = (struct ws_core_frame){ .pc = pc };
	name_frame(u, frame);
	u->count++;
}

static bool read_record(const struct unwinding *u, uint64_t at, uint64_t record[2])
{
	return !(at % 16) && ws_memory_get(u->in->memory, u->in->pid, at, record, 16);
}

/*
 * aarch64: a return address on the stack does not say where its caller's frame lies, but each
 * function that calls others has its frame record, as long as compilers do not leave it out: the
 * caller's record and the return address (AAPCS64, 6.4.6). A function that calls none has it still
 * in x30. All in front of the server's code is passed over.
 */
static void follow_records(struct unwinding *u)
{
	uint64_t at = u->regs.dwarf[29], x30 = u->regs.dwarf[30], record[2];

	if (!read_record(u, at, record))
		return;
	if (x30 != record[1])
		add_caller(u, x30);
	for (;;) {
		uint64_t next = record[0];

		add_caller(u, record[1]);
		/* A stack grows downwards: the caller's is above. */
		if (u->count == WS_CORE_FRAMES || next <= at || !read_record(u, next, record))
			return;
		at = next;
	}
}

/*
 * The frames of a library that is not here cannot be told. The nearest return address into the
 * server above them is where its code goes on; what a library saved of the registers is not known,
 * so that those it has now are taken: system calls' wrappers leave them alone.
 */
static bool skip_to_image(struct unwinding *u)
{
	uint64_t sp = u->regs.sp, word;

	for (uint64_t at = 0; at < SCAN_BYTES; at += sizeof(word)) {
		if (!ws_memory_get(u->in->memory, u->in->pid, sp + at, &word, sizeof(word)))
			return false;
		if (!in_image(u->in, word) || !follows_call(u->in->image, word - u->in->base))
			continue;
		u->regs.pc = u->regs.dwarf[16] = word;
		u->regs.sp = u->regs.dwarf[7] = sp + at + sizeof(word);
		u->behind_call = true;
		return true;
	}
	return false;
}

size_t ws_core_unwind(const struct ws_core_unwind *in, struct ws_core_frame *frames)
{
	struct unwinding u = { .in = in, .regs = *in->regs, .frames = frames };
	bool reached = false;

	unwind_once(&u);
	for (size_t i = 0; i < u.count; i++)
		reached |= frames[i].in_image;
	/* libdwfl takes one step by the frame record where it has no file, and then misses the
	 * stack pointer. */
	if (ws_image_arch(in->image) == WS_ARCH_AARCH64 && u.count && !frames[0].in_image &&
	    !frames[0].module[0])
		reached = false;
	if (reached || u.count == WS_CORE_FRAMES)
		return u.count;
	if (!u.count) {
		frames[0] = (struct ws_core_frame){ .pc = in->regs->pc, .activation = true };
		u.count = 1;
	}
	if (ws_image_arch(in->image) == WS_ARCH_AARCH64) {
		u.count = 1;
		follow_records(&u);
	} else if (skip_to_image(&u)) {
		unwind_once(&u);
	}
	return u.count;
}
