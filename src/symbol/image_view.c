/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading from an open image: plain lookups, nothing here can fail other than by finding nothing.
 */
#include "symbol/image_parts.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"

const char *ws_image_path(const struct ws_image *image)
{
	return image->path;
}

Elf *ws_image_elf(const struct ws_image *image)
{
	return image->elf;
}

enum ws_arch ws_image_arch(const struct ws_image *image)
{
	return image->arch;
}

const char *ws_image_arch_name(enum ws_arch arch)
{
	switch (arch) {
	case WS_ARCH_X86_64:
		return "x86_64";
	case WS_ARCH_AARCH64:
		return "aarch64";
	default:
		return "unknown";
	}
}

const char *ws_image_build_id(const struct ws_image *image)
{
	return image->build_id;
}

bool ws_image_is_pie(const struct ws_image *image)
{
	return image->is_pie;
}

bool ws_image_is_stripped(const struct ws_image *image)
{
	return image->is_stripped;
}

/* PG_VERSION_STR of pg_config.h: "PostgreSQL 15.20 (Debian ...) on x86_64-..., compiled by gcc
 * ...". */
static bool parse_version(const char *text, size_t len, char version[WS_VERSION_TEXT], int *major)
{
	size_t end = strcspn(text, " ,");
	char *rest;
	long n;

	if (end == 0 || end >= WS_VERSION_TEXT || text[0] < '1' || text[0] > '9')
		return false;
	if (!memmem(text, len, " on ", 4) || !memmem(text, len, ", compiled by ", 14))
		return false;
	n = strtol(text, &rest, 10);
	if (n > 99 || rest == text)
		return false;
	memcpy(version, text, end);
	version[end] = '\0';
	*major = (int)n;
	return true;
}

bool ws_image_server_version(const struct ws_image *image, char version[WS_VERSION_TEXT],
			     int *major)
{
	static const char mark[] = "PostgreSQL ";
	const size_t mark_len = sizeof(mark) - 1;

	for (size_t i = 0; i < image->segment_count; i++) {
		const struct image_segment *seg = &image->segments[i];
		const uint8_t *p = seg->bytes, *end = seg->bytes + seg->file_size;

		while ((p = memmem(p, (size_t)(end - p), mark, mark_len)) != NULL) {
			const uint8_t *nul;

			p += mark_len;
			nul = memchr(p, '\0', (size_t)(end - p));
			if (!nul)
				break;
			if (parse_version((const char *)p, (size_t)(nul - p), version, major))
				return true;
		}
	}
	return false;
}

static const struct image_segment *segment_at(const struct ws_image *image, uint64_t vaddr)
{
	for (size_t i = 0; i < image->segment_count; i++) {
		const struct image_segment *seg = &image->segments[i];

		if (vaddr >= seg->vaddr && vaddr - seg->vaddr < seg->memory_size)
			return seg;
	}
	return NULL;
}

bool ws_image_offset(const struct ws_image *image, uint64_t vaddr, uint64_t *offset)
{
	const struct image_segment *seg = segment_at(image, vaddr);

	if (!seg || vaddr - seg->vaddr >= seg->file_size)
		return false;
	*offset = seg->offset + (vaddr - seg->vaddr);
	return true;
}

const uint8_t *ws_image_bytes(const struct ws_image *image, uint64_t vaddr, size_t *avail)
{
	const struct image_segment *seg = segment_at(image, vaddr);

	if (!seg || vaddr - seg->vaddr >= seg->file_size)
		return NULL;
	*avail = seg->file_size - (vaddr - seg->vaddr);
	return seg->bytes + (vaddr - seg->vaddr);
}

const char *ws_image_string(const struct ws_image *image, uint64_t vaddr)
{
	size_t avail;
	const uint8_t *bytes = ws_image_bytes(image, vaddr, &avail);

	return bytes && memchr(bytes, '\0', avail) ? (const char *)bytes : NULL;
}

/* Linkers before binutils 2.31 put constants into the executable segment, so ask for code itself.
 */
uint64_t ws_image_find_string(const struct ws_image *image, const char *text)
{
	size_t size = strlen(text) + 1;
	uint64_t found = 0;

	for (size_t i = 0; i < image->segment_count; i++) {
		const struct image_segment *seg = &image->segments[i];
		const uint8_t *p = seg->bytes, *end = seg->bytes + seg->file_size;

		if (seg->is_writable)
			continue;
		for (; (p = memmem(p, (size_t)(end - p), text, size)) != NULL; p++) {
			uint64_t vaddr = seg->vaddr + (uint64_t)(p - seg->bytes);

			if ((p > seg->bytes && p[-1] != '\0') || ws_image_is_code(image, vaddr))
				continue;
			if (found)
				return 0;
			found = vaddr;
		}
	}
	return found;
}

uint64_t ws_image_end(const struct ws_image *image)
{
	uint64_t end = 0;

	for (size_t i = 0; i < image->segment_count; i++) {
		const struct image_segment *seg = &image->segments[i];

		if (seg->vaddr + seg->memory_size > end)
			end = seg->vaddr + seg->memory_size;
	}
	return end;
}

bool ws_image_is_mapped(const struct ws_image *image, uint64_t vaddr)
{
	return segment_at(image, vaddr) != NULL;
}

bool ws_image_is_writable(const struct ws_image *image, uint64_t vaddr)
{
	const struct image_segment *seg = segment_at(image, vaddr);

	return seg && seg->is_writable;
}

bool ws_image_is_code(const struct ws_image *image, uint64_t vaddr)
{
	const struct image_segment *seg = segment_at(image, vaddr);

	if (!seg || !seg->is_exec || vaddr - seg->vaddr >= seg->file_size)
		return false;
	for (size_t i = 0; i < image->code_count; i++) {
		if (vaddr >= image->code[i].start && vaddr < image->code[i].end)
			return true;
	}
	return image->code_count == 0;
}

const struct ws_range *ws_image_code_ranges(const struct ws_image *image, size_t *count)
{
	*count = image->code_count;
	return image->code;
}

const struct ws_symtab *ws_image_names(const struct ws_image *image)
{
	return &image->names;
}

const struct ws_image_symbol *ws_image_symbols(const struct ws_image *image, size_t *count)
{
	*count = image->names.count;
	return image->names.symbols;
}

const struct ws_image_symbol *ws_image_symbol_from(const struct ws_image *image, const char *prefix,
						   size_t nth)
{
	return ws_symtab_from(&image->names, prefix, nth);
}

const struct ws_image_symbol *ws_image_symbol(const struct ws_image *image, const char *name)
{
	const struct ws_image_symbol *symbol = ws_image_symbol_from(image, name, 0);

	return symbol && strcmp(symbol->name, name) == 0 ? symbol : NULL;
}

uint64_t ws_image_variable(const struct ws_image *image, const char *name)
{
	const struct ws_image_symbol *symbol = ws_image_symbol(image, name);

	return symbol && !symbol->is_function ? symbol->address : 0;
}

const struct ws_image_symbol *ws_image_symbol_at(const struct ws_image *image, uint64_t vaddr)
{
	return ws_symtab_at(&image->names, vaddr);
}

const struct ws_range *ws_image_functions(const struct ws_image *image, size_t *count)
{
	*count = image->function_count;
	return image->functions;
}

const struct ws_range *ws_image_function_at(const struct ws_image *image, uint64_t vaddr)
{
	long i = ws_image_search(image->functions, image->function_count,
				 sizeof(image->functions[0]), vaddr);

	return i >= 0 && vaddr < image->functions[i].end ? &image->functions[i] : NULL;
}

bool ws_image_is_part(const struct ws_image *image, const struct ws_range *function)
{
	return image->parts[function - image->functions];
}

const char *ws_image_plt_name(const struct ws_image *image, uint64_t vaddr)
{
	long i = ws_image_search(image->plt, image->plt_count, sizeof(image->plt[0]), vaddr);

	/* Only the start counts: with CET a call goes to .plt.sec, the .plt entry is for the
	 * linker. */
	return i >= 0 && image->plt[i].address == vaddr ? image->plt[i].name : NULL;
}

static const struct ws_image_slot_value *slot_at(const struct ws_image *image, uint64_t vaddr)
{
	long i = ws_image_search(image->slots, image->slot_count, sizeof(image->slots[0]), vaddr);

	return i >= 0 && image->slots[i].address == vaddr ? &image->slots[i] : NULL;
}

const char *ws_image_slot_import(const struct ws_image *image, uint64_t vaddr)
{
	const struct ws_image_slot_value *slot = slot_at(image, vaddr);

	return slot ? slot->import : NULL;
}

bool ws_image_relocated(const struct ws_image *image, uint64_t vaddr, uint64_t *value)
{
	const struct ws_image_slot_value *slot = slot_at(image, vaddr);
	const uint8_t *bytes;
	size_t avail;

	if (slot && !slot->import) {
		*value = slot->value;
		return true;
	}
	if (slot || image->is_pie)
		return false;
	/* Linked at a fixed address: the slot's own bytes are the pointer. */
	bytes = ws_image_bytes(image, vaddr, &avail);
	if (!bytes || avail < sizeof(*value))
		return false;
	memcpy(value, bytes, sizeof(*value));
	return true;
}

const struct ws_image_slot_value *ws_image_slot_values(const struct ws_image *image, size_t *count)
{
	*count = image->slot_count;
	return image->slots;
}
