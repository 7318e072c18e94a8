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

static bool decode_fde(const Dwarf_FDE *fde, uint8_t encoding, const uint8_t *section,
		       uint64_t section_vaddr, struct ws_range *range)
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
	range->start = start;
	range->end = start + length;
	return length != 0 && range->end > start && !(encoding & DW_EH_PE_indirect);
}

static int compare_ranges(const void *pa, const void *pb)
{
	const struct ws_range *a = pa, *b = pb;

	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	return a->end < b->end ? -1 : a->end > b->end;
}

static void sort_ranges(struct ws_image *image)
{
	size_t kept = 0;

	if (!image->function_count)
		return;
	qsort(image->functions, image->function_count, sizeof(image->functions[0]), compare_ranges);
	for (size_t i = 0; i < image->function_count; i++) {
		if (kept && image->functions[i].start < image->functions[kept - 1].end)
			continue;
		image->functions[kept++] = image->functions[i];
	}
	image->function_count = kept;
}

static int add_function(struct ws_image *image, struct ws_range range, struct ws_error *err)
{
	struct ws_range *function;
	long plt;

	if (!ws_image_is_code(image, range.start) || !ws_image_is_code(image, range.end - 1))
		return 0;
	/* .plt has an FDE as well. */
	plt = image->plt_count ? ws_image_search(&image->plt->address, image->plt_count,
						 sizeof(image->plt[0]), range.end - 1)
			       : -1;
	if (plt >= 0 && image->plt[plt].address >= range.start)
		return 0;
	function = ws_array_grow(&image->functions, &image->function_count, &image->function_cap,
				 sizeof(*function));
	if (!function)
		return ws_error_errno(err, ENOMEM, what, image->path);
	*function = range;
	return 0;
}

int ws_image_load_functions(struct ws_image *image, struct ws_error *err)
{
	Dwarf_Off at = 0, next, cie_at = (Dwarf_Off)-1;
	bool cie_known = false;
	uint8_t encoding = 0;
	Dwarf_CFI_Entry entry;
	Elf_Data *data;
	GElf_Ehdr eh;
	GElf_Shdr sh;
	int rc;

	if (!ws_image_section(image, ".eh_frame", &sh, &data) || !gelf_getehdr(image->elf, &eh))
		return 0;
	for (; (rc = dwarf_next_cfi(eh.e_ident, data, true, at, &next, &entry)) == 0; at = next) {
		struct ws_range range;

		if (dwarf_cfi_cie_p(&entry))
			continue;
		if (entry.fde.CIE_pointer != cie_at) {
			Dwarf_CFI_Entry cie;
			Dwarf_Off ignored;

			cie_at = entry.fde.CIE_pointer;
			cie_known = dwarf_next_cfi(eh.e_ident, data, true, cie_at, &ignored,
						   &cie) == 0 &&
				    dwarf_cfi_cie_p(&cie) && fde_encoding(&cie.cie, &encoding);
		}
		if (!cie_known ||
		    !decode_fde(&entry.fde, encoding, data->d_buf, sh.sh_addr, &range))
			continue;
		if (add_function(image, range, err))
			return -1;
		if (next <= at)
			break;
	}
	if (rc < 0)
		return ws_error_set(err, what, image->path,
				    "entry at offset 0x%llx of the section: %s",
				    (unsigned long long)at, dwarf_errmsg(-1));
	sort_ranges(image);
	return 0;
}
