/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * elf_symbols.c: names as an ELF file of the kind that `objcopy --only-keep-debug` makes: the
 * headers of the sections that are loaded, without their bytes (SHT_NOBITS, so that a symbol's
 * section tells code from data and debuggers can move it with the program), notes with theirs (the
 * build-id says which file it belongs to), .symtab, and what is known of the server's structures as
 * lines of text, in a section of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "base/util.h"
#include "export/symbols.h"

static const char what[] = "cannot write symbol file";

struct section {
	GElf_Shdr header;
	size_t index; /* in the new file */
};

struct writer {
	const struct ws_image *image;
	Elf *in, *out;
	struct section *sections; /* those that are loaded, in the order of the new file */
	size_t count, cap;
	struct ws_buf section_names, strings, layout;
	Elf64_Sym *symbols;
	size_t symbol_count;
	uint64_t end; /* of what has its place in the new file */
};

static uint64_t align(uint64_t offset, uint64_t to)
{
	return (offset + to - 1) & ~(to - 1);
}

static int add_name(struct ws_buf *names, const char *name, uint32_t *offset)
{
	if (names->len + strlen(name) >= UINT32_MAX)
		return -1;
	*offset = (uint32_t)names->len;
	return ws_buf_add(names, name, strlen(name) + 1);
}

/* A section of the new file with these bytes (NULL: without), placed behind what is there. */
static Elf_Scn *add_section(struct writer *w, const char *name, GElf_Shdr *header, void *bytes,
			    Elf_Type type)
{
	Elf_Scn *scn = elf_newscn(w->out);
	Elf_Data *data;

	if (!scn || add_name(&w->section_names, name, &header->sh_name))
		return NULL;
	if (bytes) {
		data = elf_newdata(scn);
		if (!data)
			return NULL;
		w->end = align(w->end, 8);
		header->sh_offset = w->end;
		w->end += header->sh_size;
		data->d_buf = bytes;
		data->d_size = header->sh_size;
		data->d_type = type;
		data->d_align = 1;
		data->d_version = EV_CURRENT;
	}
	return gelf_update_shdr(scn, header) ? scn : NULL;
}

static int keep_section(struct writer *w, const char *name, GElf_Shdr *header, void *bytes)
{
	struct section *section;
	Elf_Scn *scn;

	/* What the loaded sections say of each other has no meaning without their bytes. */
	header->sh_link = 0;
	header->sh_info = 0;
	header->sh_flags &= SHF_ALLOC | SHF_EXECINSTR | SHF_WRITE | SHF_TLS;
	if (!header->sh_addralign || (header->sh_addralign & (header->sh_addralign - 1)))
		header->sh_addralign = 1;
	if (!bytes)
		header->sh_type = SHT_NOBITS;
	scn = add_section(w, name, header, bytes, ELF_T_BYTE);
	section = scn ? ws_array_grow(&w->sections, &w->count, &w->cap, sizeof(*section)) : NULL;
	if (!section)
		return -1;
	section->header = *header;
	section->index = elf_ndxscn(scn);
	return 0;
}

static int keep_sections(struct writer *w)
{
	Elf_Scn *scn = NULL;
	size_t names;

	if (elf_getshdrstrndx(w->in, &names))
		return 0;
	while ((scn = elf_nextscn(w->in, scn)) != NULL) {
		Elf_Data *data = NULL;
		const char *name;
		GElf_Shdr header;

		if (!gelf_getshdr(scn, &header) || !(header.sh_flags & SHF_ALLOC))
			continue;
		name = elf_strptr(w->in, names, header.sh_name);
		if (header.sh_type == SHT_NOTE)
			data = elf_rawdata(scn, NULL);
		if (data && (!data->d_buf || data->d_size != header.sh_size))
			data = NULL;
		if (keep_section(w, name ? name : "", &header, data ? data->d_buf : NULL))
			return -1;
	}
	return 0;
}

/* A file without section headers has segments all the same. */
static int make_sections(struct writer *w)
{
	size_t count;

	if (w->count || elf_getphdrnum(w->in, &count))
		return 0;
	for (size_t i = 0; i < count; i++) {
		GElf_Shdr header = { .sh_type = SHT_NOBITS, .sh_flags = SHF_ALLOC };
		GElf_Phdr ph;

		if (!gelf_getphdr(w->in, (int)i, &ph) || ph.p_type != PT_LOAD)
			continue;
		header.sh_addr = ph.p_vaddr;
		header.sh_offset = ph.p_offset;
		header.sh_size = ph.p_memsz;
		header.sh_flags |= ph.p_flags & PF_X ? SHF_EXECINSTR : 0;
		header.sh_flags |= ph.p_flags & PF_W ? SHF_WRITE : 0;
		if (keep_section(w, ph.p_flags & PF_X ? ".text" : ".data", &header, NULL))
			return -1;
	}
	return 0;
}

/* The section that holds an address, SHN_ABS if there is none: a thread-local one has none. */
static uint16_t section_at(const struct writer *w, uint64_t address)
{
	for (size_t i = 0; i < w->count; i++) {
		const GElf_Shdr *header = &w->sections[i].header;

		if (!(header->sh_flags & SHF_TLS) && address >= header->sh_addr &&
		    address - header->sh_addr < header->sh_size &&
		    w->sections[i].index < SHN_LORESERVE)
			return (uint16_t)w->sections[i].index;
	}
	return SHN_ABS;
}

static int add_symbols(struct writer *w, const struct ws_symbol *symbols, size_t count,
		       unsigned char binding)
{
	for (size_t i = 0; i < count; i++) {
		const struct ws_symbol *symbol = &symbols[i];
		unsigned char its = symbol->source == WS_SOURCE_DYNSYM ? STB_GLOBAL : STB_LOCAL;
		Elf64_Sym *sym;

		if (symbol->status != WS_SYMBOL_FOUND || its != binding)
			continue;
		sym = &w->symbols[w->symbol_count++];
		if (add_name(&w->strings, symbol->name, &sym->st_name))
			return -1;
		sym->st_info = ELF64_ST_INFO(binding, symbol->is_variable ? STT_OBJECT : STT_FUNC);
		sym->st_shndx = section_at(w, symbol->address);
		sym->st_value = symbol->address;
		sym->st_size = symbol->size;
	}
	return 0;
}

/* .symtab (locals first, as the format wants it), .strtab and .shstrtab. */
static int add_tables(struct writer *w, const struct ws_symbol *symbols, size_t count)
{
	GElf_Shdr symtab = { .sh_type = SHT_SYMTAB,
			     .sh_addralign = 8,
			     .sh_entsize = sizeof(Elf64_Sym) };
	GElf_Shdr strtab = { .sh_type = SHT_STRTAB, .sh_addralign = 1 };
	GElf_Shdr names = { .sh_type = SHT_STRTAB, .sh_addralign = 1 };
	Elf_Scn *table, *scn;
	GElf_Ehdr eh;

	w->symbols = calloc(count + 1, sizeof(*w->symbols));
	w->symbol_count = 1;
	if (!w->symbols || ws_buf_add(&w->strings, "", 1) ||
	    add_symbols(w, symbols, count, STB_LOCAL))
		return -1;
	symtab.sh_info = (GElf_Word)w->symbol_count;
	if (add_symbols(w, symbols, count, STB_GLOBAL))
		return -1;
	symtab.sh_size = w->symbol_count * sizeof(*w->symbols);
	table = add_section(w, ".symtab", &symtab, w->symbols, ELF_T_SYM);
	strtab.sh_size = w->strings.len;
	scn = table ? add_section(w, ".strtab", &strtab, w->strings.data, ELF_T_BYTE) : NULL;
	if (!scn)
		return -1;
	symtab.sh_link = (GElf_Word)elf_ndxscn(scn);
	/* Its own name is in it. */
	names.sh_size = w->section_names.len + sizeof(".shstrtab");
	if (ws_buf_reserve(&w->section_names, sizeof(".shstrtab")))
		return -1;
	scn = add_section(w, ".shstrtab", &names, w->section_names.data, ELF_T_BYTE);
	if (!scn || !gelf_update_shdr(table, &symtab) || !gelf_getehdr(w->out, &eh))
		return -1;
	eh.e_shstrndx = (GElf_Half)elf_ndxscn(scn);
	eh.e_shoff = align(w->end, 8);
	return gelf_update_ehdr(w->out, &eh) ? 0 : -1;
}

static int add_headers(struct writer *w)
{
	size_t count = 0;
	GElf_Ehdr in, out;

	if (!gelf_getehdr(w->in, &in) || elf_getphdrnum(w->in, &count) ||
	    !gelf_newehdr(w->out, ELFCLASS64) || (count && !gelf_newphdr(w->out, count)) ||
	    !gelf_getehdr(w->out, &out))
		return -1;
	out.e_ident[EI_DATA] = ELFDATA2LSB;
	out.e_ident[EI_OSABI] = in.e_ident[EI_OSABI];
	out.e_type = in.e_type;
	out.e_machine = in.e_machine;
	out.e_version = EV_CURRENT;
	out.e_entry = in.e_entry;
	out.e_flags = in.e_flags;
	out.e_phoff = count ? sizeof(Elf64_Ehdr) : 0;
	w->end = sizeof(Elf64_Ehdr) + count * sizeof(Elf64_Phdr);
	elf_flagelf(w->out, ELF_C_SET, ELF_F_LAYOUT);
	return gelf_update_ehdr(w->out, &out) ? 0 : -1;
}

/* Where the segments lie in memory; none of their bytes are here, but for the build-id's note. */
static int add_segments(struct writer *w)
{
	size_t count = 0;

	if (elf_getphdrnum(w->in, &count))
		return -1;
	for (size_t i = 0; i < count; i++) {
		GElf_Phdr ph;

		if (!gelf_getphdr(w->in, (int)i, &ph))
			return -1;
		ph.p_filesz = 0;
		/* These speak of bytes that are not here. */
		if (ph.p_type == PT_INTERP || ph.p_type == PT_PHDR)
			ph.p_type = PT_NULL;
		for (size_t s = 0; s < w->count && ph.p_type == PT_NOTE; s++) {
			const GElf_Shdr *header = &w->sections[s].header;

			if (header->sh_type != SHT_NOTE || header->sh_addr != ph.p_vaddr)
				continue;
			ph.p_offset = header->sh_offset;
			ph.p_filesz = header->sh_size < ph.p_memsz ? header->sh_size : ph.p_memsz;
		}
		if (!gelf_update_phdr(w->out, (int)i, &ph))
			return -1;
	}
	return 0;
}

static int add_line(struct ws_buf *lines, const char *name, uint32_t value)
{
	char line[160];
	int len = snprintf(line, sizeof(line), "%s %u\n", name, value);

	return len > 0 && (size_t)len < sizeof(line) ? ws_buf_add(lines, line, (size_t)len) : -1;
}

/* .walscope.layout, for scripts/gdb: no debugger reads it by itself. */
static int add_layout(struct writer *w, const struct ws_layout *layout)
{
	GElf_Shdr header = { .sh_type = SHT_PROGBITS, .sh_addralign = 1 };
	const struct ws_layout_field *fields;
	size_t count;

	if (!layout)
		return 0;
	fields = ws_layout_fields(&count);
	if (add_line(&w->layout, "major", (uint32_t)layout->major))
		return -1;
	for (size_t i = 0; i < count; i++) {
		uint32_t value = ws_layout_value(layout, &fields[i]);

		if (value != WS_UNKNOWN && add_line(&w->layout, fields[i].name, value))
			return -1;
	}
	header.sh_size = w->layout.len;
	return add_section(w, ".walscope.layout", &header, w->layout.data, ELF_T_BYTE) ? 0 : -1;
}

static int write_elf(int fd, const struct ws_image *image, const struct ws_symbol *symbols,
		     size_t count, const struct ws_layout *layout)
{
	struct writer w = { .image = image, .in = ws_image_elf(image) };
	int rc = -1;

	w.out = elf_begin(fd, ELF_C_WRITE, NULL);
	if (w.out && ws_buf_add(&w.section_names, "", 1) == 0 && add_headers(&w) == 0 &&
	    keep_sections(&w) == 0 && make_sections(&w) == 0 && add_segments(&w) == 0 &&
	    add_layout(&w, layout) == 0 && add_tables(&w, symbols, count) == 0)
		rc = elf_update(w.out, ELF_C_WRITE) < 0 ? -1 : 0;
	elf_end(w.out);
	free(w.sections);
	free(w.symbols);
	ws_buf_deinit(&w.section_names);
	ws_buf_deinit(&w.strings);
	ws_buf_deinit(&w.layout);
	return rc;
}

/* What must not be replaced: devices, folders, links, and the server itself. */
static int check_target(const char *path, const struct ws_image *image, struct ws_error *err)
{
	struct stat its, own;

	if (lstat(path, &its))
		return errno == ENOENT ? 0 : ws_error_errno(err, errno, what, path);
	if (!S_ISREG(its.st_mode)) {
		ws_error_set(err, what, path, "it is there, and is not a regular file");
		return ws_error_fix(err, "choose another name");
	}
	if (stat(ws_image_path(image), &own) == 0 && own.st_dev == its.st_dev &&
	    own.st_ino == its.st_ino) {
		ws_error_set(err, what, path, "it is the server itself");
		return ws_error_fix(err, "choose another name");
	}
	return 0;
}

int ws_symbol_file_write(const char *path, const struct ws_image *image,
			 const struct ws_symbol *symbols, size_t count,
			 const struct ws_layout *layout, struct ws_error *err)
{
	ws_autofree char *temporary = NULL;
	ws_autoclose int fd = -1;
	int cause;

	if (check_target(path, image, err))
		return -1;
	if (asprintf(&temporary, "%s.XXXXXX", path) < 0) {
		temporary = NULL;
		return ws_error_errno(err, ENOMEM, what, path);
	}
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return ws_error_errno(err, errno, what, path);
	errno = 0;
	if (write_elf(fd, image, symbols, count, layout)) {
		cause = errno;
		unlink(temporary);
		return cause ? ws_error_errno(err, cause, what, path)
			     : ws_error_set(err, what, path, "%s", elf_errmsg(-1));
	}
	if (fchmod(fd, 0644) || rename(temporary, path)) {
		cause = errno;
		unlink(temporary);
		return ws_error_errno(err, cause, what, path);
	}
	return 0;
}
