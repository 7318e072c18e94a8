/* SPDX-License-Identifier: BSD-2-Clause */
#include "probe/entry.h"

#include <string.h>

#include "probe/site.h"

#define ALL_ARGS 0xff

static uint32_t captured_args(const char *name)
{
	const struct ws_probe *catalogue;
	bool known = false;
	uint32_t args = 0;
	size_t count;

	catalogue = ws_catalogue(&count);
	for (size_t i = 0; i < count; i++) {
		if (catalogue[i].kind != WS_SITE_ENTRY || strcmp(catalogue[i].function, name) != 0)
			continue;
		known = true;
		args |= catalogue[i].args;
	}
	return known ? args : ALL_ARGS;
}

void ws_entry_site_find(const struct ws_image *image, const char *name, uint64_t address,
			uint64_t size, struct ws_entry_site *site)
{
	const struct ws_probe probe = { .function = name,
					.kind = WS_SITE_ENTRY,
					.args = captured_args(name) };
	const struct ws_site_query query = { .probe = &probe };
	struct ws_site_choice choice = { 0 };
	const struct ws_insn *insn;
	struct ws_error err;
	struct ws_body body;

	*site = (struct ws_entry_site){ 0 };
	if (ws_body_load(image, address, size, &body, &err))
		return;
	if (ws_site_find(&body, &query, &choice)) {
		insn = &body.code.insns[choice.index];
		site->address = insn->address;
		site->cost = choice.cost;
		ws_code_format(image, insn->address, site->instruction, sizeof(site->instruction));
		site->found = ws_image_offset(image, insn->address, &site->offset);
	}
	ws_body_deinit(&body);
}
