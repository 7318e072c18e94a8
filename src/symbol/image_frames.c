/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Function ranges from .eh_frame. It survives strip, because unwinding needs it at run time. libdw
 * walks the entries; the pointers inside them are decoded here, it leaves them encoded.
 */
#include "symbol/image_parts.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

static const char what[] = "cannot read .eh_frame";

struct frame {
	struct ws_range range;
	bool is_part;
};

struct frames {
	struct frame *items;
	size_t count, cap;
};

/* The 'R' of a CIE's augmentation: how its FDEs encode addresses. False if it cannot be known. */
static bool fde_encoding(const Dwarf_CIE *cie, uint8_t *encoding)
{
	const char *aug = cie->augmentation;
	const uint8_t *data = cie->augmentation_data;
	size_t left = cie->augmentation_data ? cie->augmentation_data_size : 0;

	*encoding = DW_EH_PE_absptr;
	if (*aug != 'z')
		return *aug == '\0';
	for (aug++; *aug; aug++) {
		size_t size = 0;

		switch (*aug) {
		case 'R':
			if (!left)
				return false;
			*encoding = *data;
			return true;
		case 'L':
			size = 1;
			break;
		case 'P': /* a personality before 'R' does not occur in C, and its size varies */
			return false;
		case 'S':
		case 'B':
			break;
		default:
			return false;
		}
		if (size > left)
			return false;
		data += size;
		left -= size;
	}
	return true;
}

/* One encoded value of `format` (low four bits), without its base. */
static bool read_value(uint8_t format, const uint8_t **at, const uint8_t *end, uint64_t *value)
{
	size_t left = (size_t)(end - *at);
	uint32_t u4;
	int32_t s4;

	switch (format & 0x0f) {
	case DW_EH_PE_absptr:
	case DW_EH_PE_udata8:
	case DW_EH_PE_sdata8:
		if (left < 8)
			return false;
		memcpy(value, *at, 8);
		*at += 8;
		return true;
	case DW_EH_PE_udata4:
		if (left < 4)
			return false;
		memcpy(&u4, *at, 4);
		*value = u4;
		*at += 4;
		return true;
	case DW_EH_PE_sdata4:
		if (left < 4)
			return false;
		memcpy(&s4, *at, 4);
		*value = (uint64_t)(int64_t)s4;
		*at += 4;
		return true;
	default:
		return false;
	}
}

static bool skip_uleb(const uint8_t **at, const uint8_t *end, uint64_t *value)
{
	unsigned int shift = 0;

	*value = 0;
	while (*at < end && shift < 63) {
		uint8_t byte = *(*at)++;

		*value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return true;
		shift += 7;
	}
	return false;
}

/*
 * A function is entered with nothing but the return address on the stack, which is what the CIE
 * says. An FDE that says otherwise before its first instruction describes a part that is jumped
 * into.
 */
static bool begins_in_frame(const uint8_t *at, const uint8_t *end, bool has_augmentation)
{
	uint64_t size;

	if (has_augmentation) {
		if (!skip_uleb(&at, end, &size) || size > (uint64_t)(end - at))
			return false;
		at += size;
	}
	if (at == end)
		return false;
	switch (*at) {
	case DW_CFA_def_cfa:
	case DW_CFA_def_cfa_register:
	case DW_CFA_def_cfa_offset:
	case DW_CFA_def_cfa_expression:
	case DW_CFA_remember_state:
		return true;
	default:
		return (*at & 0xc0) == DW_CFA_offset;
	}
}

static bool decode_fde(const Dwarf_FDE *fde, uint8_t encoding, bool has_augmentation,
		       const uint8_t *section, uint64_t section_vaddr, struct frame *frame)
{
	const uint8_t *at = fde->start;
	uint64_t pc = section_vaddr + (uint64_t)(at - section), start, length;

	if (!read_value(encoding, &at, fde->end, &start) ||
	    !read_value(encoding & 0x07, &at, fde->end, &length))
		return false;
	switch (encoding & 0x70) {
	case DW_EH_PE_absptr:
		break;
	case DW_EH_PE_pcrel:
		start += pc;
		break;
	default:
		return false;
	}
	frame->range.start = start;
	frame->range.end = start + length;
	frame->is_part = begins_in_frame(at, fde->end, has_augmentation);
	return length != 0 && frame->range.end > start && !(encoding & DW_EH_PE_indirect);
}

static int compare_frames(const void *pa, const void *pb)
{
	const struct ws_range *a = &((const struct frame *)pa)->range;
	const struct ws_range *b = &((const struct frame *)pb)->range;

	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	return a->end < b->end ? -1 : a->end > b->end;
}

static int keep_functions(struct ws_image *image, struct frames *frames, struct ws_error *err)
{
	size_t kept = 0;

	if (!frames->count)
		return 0;
	image->functions = calloc(frames->count, sizeof(image->functions[0]));
	image->parts = calloc(frames->count, sizeof(image->parts[0]));
	if (!image->functions || !image->parts)
		return ws_error_errno(err, ENOMEM, what, image->path);
	qsort(frames->items, frames->count, sizeof(frames->items[0]), compare_frames);
	for (size_t i = 0; i < frames->count; i++) {
		const struct frame *frame = &frames->items[i];

		if (kept && frame->range.start < image->functions[kept - 1].end)
			continue;
		image->parts[kept] = frame->is_part;
		image->functions[kept++] = frame->range;
	}
	image->function_count = kept;
	return 0;
}

static int add_frame(const struct ws_image *image, struct frames *frames, const struct frame *frame)
{
	struct frame *added;
	long plt;

	if (!ws_image_is_code(image, frame->range.start) ||
	    !ws_image_is_code(image, frame->range.end - 1))
		return 0;
	/* .plt has an FDE as well. */
	plt = image->plt_count ? ws_image_search(&image->plt->address, image->plt_count,
						 sizeof(image->plt[0]), frame->range.end - 1)
			       : -1;
	if (plt >= 0 && image->plt[plt].address >= frame->range.start)
		return 0;
	added = ws_array_grow(&frames->items, &frames->count, &frames->cap, sizeof(*added));
	if (!added)
		return -1;
	*added = *frame;
	return 0;
}

/* What the FDEs of one CIE have in common. */
struct cie {
	Dwarf_Off at;
	bool is_known;
	bool has_augmentation;
	uint8_t encoding;
};

static void read_cie(const unsigned char *ident, Elf_Data *data, Dwarf_Off at, struct cie *cie)
{
	Dwarf_CFI_Entry entry;
	Dwarf_Off ignored;

	cie->at = at;
	cie->is_known = dwarf_next_cfi(ident, data, true, at, &ignored, &entry) == 0 &&
			dwarf_cfi_cie_p(&entry) && fde_encoding(&entry.cie, &cie->encoding);
	cie->has_augmentation = cie->is_known && entry.cie.augmentation[0] == 'z';
}

static int read_frames(const struct ws_image *image, struct frames *frames, struct ws_error *err)
{
	struct cie cie = { .at = (Dwarf_Off)-1 };
	Dwarf_Off at = 0, next;
	Dwarf_CFI_Entry entry;
	Elf_Data *data;
	GElf_Ehdr eh;
	GElf_Shdr sh;
	int rc;

	if (!ws_image_section(image, ".eh_frame", &sh, &data) || !gelf_getehdr(image->elf, &eh))
		return 0;
	for (; (rc = dwarf_next_cfi(eh.e_ident, data, true, at, &next, &entry)) == 0; at = next) {
		struct frame frame;

		if (next <= at)
			break;
		if (dwarf_cfi_cie_p(&entry))
			continue;
		if (entry.fde.CIE_pointer != cie.at)
			read_cie(eh.e_ident, data, entry.fde.CIE_pointer, &cie);
		if (!cie.is_known || !decode_fde(&entry.fde, cie.encoding, cie.has_augmentation,
						 data->d_buf, sh.sh_addr, &frame))
			continue;
		if (add_frame(image, frames, &frame))
			return ws_error_errno(err, ENOMEM, what, image->path);
	}
	if (rc < 0)
		return ws_error_set(err, what, image->path,
				    "entry at offset 0x%llx of the section: %s",
				    (unsigned long long)at, dwarf_errmsg(-1));
	return 0;
}

int ws_image_load_functions(struct ws_image *image, struct ws_error *err)
{
	struct frames frames = { 0 };
	int rc = read_frames(image, &frames, err);

	if (rc == 0)
		rc = keep_functions(image, &frames, err);
	free(frames.items);
	return rc;
}
