/* SPDX-License-Identifier: BSD-2-Clause */
/* What the dynamic linker fills in: relocated slots, and the PLT entries that jump through them. */
#include "symbol/image_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

#ifndef SHT_RELR
#define SHT_RELR 19
#endif

static const char what[] = "cannot read relocations";

static int add_slot(struct ws_image *image, uint64_t address, uint64_t value, const char *import,
		    struct ws_error *err)
{
	struct ws_image_slot_value *slot;

	if (!ws_image_is_mapped(image, address))
		return 0;
	/* Each slot has 8 bytes of its own in the file. More of them come from sections that name
	 * the same relocations over and over, or from bitmaps of RELR that do: some bytes for
	 * gigabytes. */
	if (image->slot_count >= image->file_size / sizeof(uint64_t))
		return ws_error_set(err, what, image->path,
				    "it has more relocations than room for what they relocate");
	slot = ws_array_grow(&image->slots, &image->slot_count, &image->slot_cap, sizeof(*slot));
	if (!slot)
		return ws_error_errno(err, ENOMEM, what, image->path);
	slot->address = address;
	slot->value = value;
	slot->import = import;
	return 0;
}

static bool is_relative(enum ws_arch arch, uint64_t type)
{
	return type == (arch == WS_ARCH_X86_64 ? R_X86_64_RELATIVE : R_AARCH64_RELATIVE);
}

static bool is_symbolic(enum ws_arch arch, uint64_t type)
{
	if (arch == WS_ARCH_X86_64)
		return type == R_X86_64_JUMP_SLOT || type == R_X86_64_GLOB_DAT ||
		       type == R_X86_64_64;
	return type == R_AARCH64_JUMP_SLOT || type == R_AARCH64_GLOB_DAT || type == R_AARCH64_ABS64;
}

static int add_symbolic(struct ws_image *image, const GElf_Rela *rela, Elf_Data *symbols,
			size_t names, struct ws_error *err)
{
	const char *name;
	GElf_Sym sym;

	if (!symbols || GELF_R_SYM(rela->r_info) > INT32_MAX ||
	    !gelf_getsym(symbols, (int)GELF_R_SYM(rela->r_info), &sym))
		return 0;
	if (sym.st_shndx != SHN_UNDEF)
		return add_slot(image, rela->r_offset, sym.st_value + (uint64_t)rela->r_addend,
				NULL, err);
	name = elf_strptr(image->elf, names, sym.st_name);
	return name && name[0] ? add_slot(image, rela->r_offset, 0, name, err) : 0;
}

static int load_rela(struct ws_image *image, Elf_Scn *scn, const GElf_Shdr *sh,
		     struct ws_error *err)
{
	Elf_Data *data = elf_getdata(scn, NULL), *symbols = NULL;
	Elf_Scn *linked = elf_getscn(image->elf, sh->sh_link);
	GElf_Shdr linked_sh = { 0 };

	if (!data || !data->d_buf)
		return 0;
	if (linked && gelf_getshdr(linked, &linked_sh) && linked_sh.sh_type == SHT_DYNSYM)
		symbols = elf_getdata(linked, NULL);
	for (size_t i = 0; i < data->d_size / sizeof(Elf64_Rela); i++) {
		GElf_Rela rela;
		uint64_t type;
		int rc = 0;

		if (!gelf_getrela(data, (int)i, &rela))
			break;
		type = GELF_R_TYPE(rela.r_info);
		if (is_relative(image->arch, type))
			rc = add_slot(image, rela.r_offset, (uint64_t)rela.r_addend, NULL, err);
		else if (is_symbolic(image->arch, type))
			rc = add_symbolic(image, &rela, symbols, linked_sh.sh_link, err);
		if (rc)
			return -1;
	}
	return 0;
}

/* The addend of a RELR slot stands in the slot itself. */
static int add_relr_slot(struct ws_image *image, uint64_t address, struct ws_error *err)
{
	size_t avail;
	const uint8_t *bytes = ws_image_bytes(image, address, &avail);
	uint64_t value;

	if (!bytes || avail < sizeof(value))
		return 0;
	memcpy(&value, bytes, sizeof(value));
	return add_slot(image, address, value, NULL, err);
}

/* ELF's generic ABI, "Relative Relocation Table": an even word is an address, an odd one a bitmap.
 */
static int load_relr(struct ws_image *image, Elf_Scn *scn, struct ws_error *err)
{
	Elf_Data *data = elf_rawdata(scn, NULL);
	uint64_t next = 0;

	if (!data || !data->d_buf)
		return 0;
	for (size_t i = 0; i < data->d_size / sizeof(uint64_t); i++) {
		uint64_t word;

		memcpy(&word, (const char *)data->d_buf + i * sizeof(word), sizeof(word));
		if (!(word & 1)) {
			if (add_relr_slot(image, word, err))
				return -1;
			next = word + 8;
			continue;
		}
		for (unsigned int bit = 1; bit < 64; bit++) {
			if (word >> bit & 1 && add_relr_slot(image, next + (bit - 1) * 8, err))
				return -1;
		}
		next += 63 * 8;
	}
	return 0;
}

static int compare_slots(const void *pa, const void *pb)
{
	const struct ws_image_slot_value *a = pa, *b = pb;

	return a->address < b->address ? -1 : a->address > b->address;
}

int ws_image_load_slots(struct ws_image *image, struct ws_error *err)
{
	Elf_Scn *scn = NULL;
	uint64_t total = 0;

	while ((scn = elf_nextscn(image->elf, scn)) != NULL) {
		GElf_Shdr sh;

		if (!gelf_getshdr(scn, &sh) || !(sh.sh_flags & SHF_ALLOC) ||
		    (sh.sh_type != SHT_RELA && sh.sh_type != SHT_RELR))
			continue;
		/* libelf keeps a copy of each. */
		if (sh.sh_size > image->file_size - total)
			return ws_error_set(err, what, image->path,
					    "its relocation sections are larger than the file");
		total += sh.sh_size;
		if (sh.sh_type == SHT_RELA && load_rela(image, scn, &sh, err))
			return -1;
		if (sh.sh_type == SHT_RELR && load_relr(image, scn, err))
			return -1;
	}
	if (image->slot_count)
		qsort(image->slots, image->slot_count, sizeof(image->slots[0]), compare_slots);
	return 0;
}

/* [endbr64] [bnd] jmp *slot(%rip). Returns the slot, 0 if the entry looks otherwise. */
static uint64_t plt_slot_x86(const uint8_t *code, size_t size, uint64_t address)
{
	static const uint8_t endbr64[] = { 0xf3, 0x0f, 0x1e, 0xfa };
	size_t at = 0;
	int32_t disp;

	if (size >= 4 && memcmp(code, endbr64, 4) == 0)
		at += 4;
	if (at < size && code[at] == 0xf2)
		at++;
	if (size < at + 6 || code[at] != 0xff || code[at + 1] != 0x25)
		return 0;
	memcpy(&disp, code + at + 2, sizeof(disp));
	return address + at + 6 + (uint64_t)(int64_t)disp;
}

/* [bti c] adrp x16, page; ldr x17, [x16, #offset]; add; br x17. */
static uint64_t plt_slot_arm(const uint8_t *code, size_t size, uint64_t address)
{
	uint32_t word[3];
	uint64_t page;
	size_t at;

	if (size < sizeof(word))
		return 0;
	memcpy(word, code, sizeof(word));
	at = word[0] == 0xd503245f; /* bti c */
	if ((word[at] & 0x9f00001f) != 0x90000010 || (word[at + 1] & 0xffc003ff) != 0xf9400211)
		return 0;
	page = (uint64_t)(word[at] >> 5 & 0x7ffff) << 2 | (word[at] >> 29 & 3);
	page = (uint64_t)((int64_t)(page << 43) >> 31);
	return ((address + at * 4) & ~0xfffULL) + page + (word[at + 1] >> 10 & 0xfff) * 8;
}

static int load_plt_section(struct ws_image *image, const GElf_Shdr *sh, struct ws_error *err)
{
	/* sh_entsize says 16 for .plt.got too in places; entries are found by their shape. */
	const uint64_t step = image->arch == WS_ARCH_X86_64 ? 8 : 4;
	size_t avail;
	const uint8_t *bytes = ws_image_bytes(image, sh->sh_addr, &avail);
	uint64_t size = sh->sh_size, last_slot = 0;

	if (!bytes)
		return 0;
	if (size > avail)
		size = avail;
	for (uint64_t at = 0; at + step <= size; at += step) {
		struct image_plt_entry *entry;
		const char *name;
		uint64_t slot;

		if (image->arch == WS_ARCH_X86_64)
			slot = plt_slot_x86(bytes + at, size - at, sh->sh_addr + at);
		else
			slot = plt_slot_arm(bytes + at, size - at, sh->sh_addr + at);
		name = slot ? ws_image_slot_import(image, slot) : NULL;
		/* Behind a bti the rest of the entry looks like one as well. */
		if (!name || slot == last_slot)
			continue;
		last_slot = slot;
		entry = ws_array_grow(&image->plt, &image->plt_count, &image->plt_cap,
				      sizeof(*entry));
		if (!entry)
			return ws_error_errno(err, ENOMEM, what, image->path);
		entry->address = sh->sh_addr + at;
		entry->name = name;
	}
	return 0;
}

static int compare_plt(const void *pa, const void *pb)
{
	const struct image_plt_entry *a = pa, *b = pb;

	return a->address < b->address ? -1 : a->address > b->address;
}

int ws_image_load_plt(struct ws_image *image, struct ws_error *err)
{
	static const char *const sections[] = { ".plt", ".plt.sec", ".plt.got" };

	for (size_t i = 0; i < WS_ARRAY_SIZE(sections); i++) {
		Elf_Data *data;
		GElf_Shdr sh;

		if (!ws_image_section(image, sections[i], &sh, &data))
			continue;
		if (load_plt_section(image, &sh, err))
			return -1;
	}
	if (image->plt_count)
		qsort(image->plt, image->plt_count, sizeof(image->plt[0]), compare_plt);
	return 0;
}
