/* SPDX-License-Identifier: BSD-2-Clause */
/* The backtrace, with names: those of the server's functions are the resolver's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "core/parts.h"
#include "core/unwind.h"

/* The function that begins there; one the file names, before one that was found otherwise. */
static const struct ws_symbol *symbol_at(const struct ws_core_impl *impl, uint64_t address)
{
	const struct ws_symbol *best = NULL;

	for (size_t i = 0; i < impl->names.count; i++) {
		const struct ws_symbol *symbol = &impl->names.symbols[i];

		if (symbol->status == WS_SYMBOL_FOUND && !symbol->is_variable &&
		    symbol->address == address && (!best || symbol->confidence > best->confidence))
			best = symbol;
	}
	return best;
}

static void name_place(const struct ws_core_impl *impl, const struct ws_core_frame *frame,
		       struct ws_core_place *place)
{
	uint64_t pc = frame->pc - impl->base - (frame->activation ? 0 : 1);
	const struct ws_range *range = ws_image_function_at(impl->image, pc);
	const struct ws_symbol *symbol = range ? symbol_at(impl, range->start) : NULL;

	place->module = "postgres";
	if (!symbol)
		return;
	place->function = symbol->name;
	place->offset = frame->pc - impl->base - range->start;
	place->source = ws_symbol_source_name(symbol->source);
}

static const char *keep(struct ws_core_impl *impl, const char *text)
{
	char **slot;

	if (!text[0])
		return NULL;
	slot = ws_array_grow(&impl->texts, &impl->text_count, &impl->text_cap, sizeof(*slot));
	if (!slot)
		return NULL;
	*slot = strdup(text);
	return *slot;
}

static int name_all(struct ws_core *core, struct ws_core_impl *impl,
		    const struct ws_core_frame *frames, size_t count, struct ws_error *err)
{
	if (!impl->names.count &&
	    ws_symbol_list_make(impl->image, impl->debug, &impl->symbols, true, &impl->names, err))
		return -1;
	core->places = calloc(count + 1, sizeof(*core->places));
	if (!core->places)
		return ws_error_set(err, "cannot read core", NULL, "out of memory");
	for (size_t i = 0; i < count; i++) {
		struct ws_core_place *place = &core->places[i];

		place->address = frames[i].pc;
		if (frames[i].in_image) {
			name_place(impl, &frames[i], place);
			continue;
		}
		place->function = keep(impl, frames[i].function);
		place->offset = frames[i].offset;
		place->module = keep(impl, frames[i].module);
		place->source = place->function ? "symtab" : NULL;
	}
	core->place_count = count;
	core->has_backtrace = true;
	return 0;
}

/* The mappings of a running process, as a dump would list them. */
struct maps {
	struct ws_core_file *files;
	size_t count, cap;
};

static void free_maps(struct maps *maps)
{
	for (size_t i = 0; i < maps->count; i++)
		free((char *)maps->files[i].path);
	free(maps->files);
}

static void read_maps(uint32_t pid, struct maps *maps)
{
	ws_autofclose FILE *file = NULL;
	ws_autofree char *line = NULL;
	size_t size = 0;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%u/maps", pid);
	file = fopen(path, "re");
	while (file && getline(&line, &size, file) > 0) {
		unsigned long start, end, offset;
		struct ws_core_file *slot;
		int at = 0;

		if (sscanf(line, "%lx-%lx %*4s %lx %*x:%*x %*u %n", &start, &end, &offset, &at) <
			    3 ||
		    !at || line[at] != '/')
			continue;
		line[strcspn(line, "\n")] = '\0';
		slot = ws_array_grow(&maps->files, &maps->count, &maps->cap, sizeof(*slot));
		if (!slot)
			return;
		*slot = (struct ws_core_file){ start, end, offset, strdup(line + at) };
		if (!slot->path)
			maps->count--;
	}
}

int ws_core_places(struct ws_core *core, struct ws_error *err)
{
	struct ws_core_impl *impl = core->impl;
	struct ws_core_frame frames[WS_CORE_FRAMES];
	struct ws_core_unwind in = {
		.memory = impl->memory,
		.pid = impl->about.pid,
		.regs = &impl->dump.regs,
		.files = impl->dump.files,
		.file_count = impl->dump.file_count,
		.root = "",
		.exe = impl->exe,
		.image = impl->image,
		.image_fd = impl->image_fd,
		.base = impl->base,
		.log = impl->options->log,
	};
	struct maps maps = { 0 };
	char root[64];
	int rc;

	if (impl->memory ? !impl->dump.has_regs : !impl->stopped)
		return 0;
	if (impl->stopped) {
		read_maps(impl->about.pid, &maps);
		snprintf(root, sizeof(root), "/proc/%u/root", impl->about.pid);
		in.memory = &impl->stop.memory;
		in.regs = &impl->stop.regs;
		in.files = maps.files;
		in.file_count = maps.count;
		in.root = root;
	}
	rc = name_all(core, impl, frames, ws_core_unwind(&in, frames), err);
	free_maps(&maps);
	return rc;
}
