/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A core dump that lies: its segments, its notes, and the server's memory in it. The server is this
 * program, of which the seeds are dumps.
 */
#include "fuzz.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../lib/core_fixture.h"
#include "base/util.h"
#include "core/parts.h"
#include "core/unwind.h"
#include "event/schema.h"

/* What is the same for all dumps: it is looked up once. */
static struct ws_core_impl known;
static const struct ws_core_options options = { .file = "fuzz" };

static void open_self(void)
{
	static const struct ws_debug_options debug = { 0 };
	struct ws_resolve_options resolve = { .no_recovery = true };
	char version[WS_VERSION_TEXT];
	struct ws_error err;

	known.options = &options;
	known.image_fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (ws_image_open(&known.image, known.image_fd, "self", NULL, &err))
		abort();
	resolve.debug = known.debug = ws_debug_new(known.image, &debug);
	if (!known.debug || !ws_image_server_version(known.image, version, &known.major) ||
	    ws_resolve(known.image, &resolve, &known.symbols, &err) ||
	    ws_layout_find(known.image, 15, NULL, &known.layout, &err) ||
	    ws_symbol_list_make(known.image, known.debug, &known.symbols, true, &known.names, &err))
		abort();
	known.major = 15;
	ws_plan_make(known.image, &known.symbols, &known.layout, 15, 2, &known.plan, &err);
	known.plan.config.server = 1;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	open_self();
	return 0;
}

static void show_records(const struct ws_core *core)
{
	struct fuzz_show *show = fuzz_show_new();
	char why[256];

	for (size_t i = 0; i < core->record_count; i++) {
		if (!ws_rec_valid(core->records[i], core->records[i]->size, why, sizeof(why)))
			abort();
		fuzz_show_feed(show, core->records[i]);
	}
	fuzz_show_end(show);
}

/* As ws_core_open, but for what is known. */
static void tell(struct ws_core_impl *impl)
{
	struct ws_core core = { .impl = impl, .wall_ns = impl->dump.wall_ns };
	struct ws_error err = { 0 };

	core.time_ns = (uint64_t)core.wall_ns;
	impl->memory = &impl->dump.memory;
	impl->base = impl->dump.base;
	impl->about = (struct ws_process){ .pid = impl->dump.pid,
					   .parent = impl->dump.parent,
					   .state = impl->dump.state };
	if (ws_core_tell(&core, &err) == 0)
		show_records(&core);
	else if (!err.what[0] || !err.why[0])
		abort();
	ws_core_forget(&core);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ws_core_impl impl = known;
	ws_autoclose int fd = fuzz_file(data, size);
	struct ws_error err = { 0 };
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (ws_core_dump_open(&impl.dump, path, NULL, &err) == 0) {
		ws_core_dump_set_image(&impl.dump, impl.image);
		if (impl.dump.has_base)
			tell(&impl);
	} else if (!err.what[0] || !err.why[0]) {
		abort();
	}
	ws_core_dump_close(&impl.dump);
	return 0;
}

/* The first mutation of an empty corpus is a dump of this very process: addresses in it are right
 * for no other. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
	unsigned int random = seed;
	size_t choice = fuzz_below(&random, 8);

	if (choice < 2) {
		struct fixture fixture = { .off = known.layout.off };

		fixture_play(&fixture);
		if (fuzz_below(&random, 2))
			fixture_add_error(&fixture);
		am_walsender = fuzz_below(&random, 3) != 0;
		if (fuzz_below(&random, 4))
			fuzz_hostile_number(__start_core_fixture,
					    (size_t)(__stop_core_fixture - __start_core_fixture),
					    &random);
		if (fuzz_below(&random, 2))
			fuzz_hostile_number((uint8_t *)&fixture_shared, sizeof(fixture_shared),
					    &random);
		fixture_dump(&fixture);
		if (fixture.core.len <= max_size) {
			size = fixture.core.len;
			memcpy(data, fixture.core.data, size);
		}
		ws_buf_deinit(&fixture.core);
		return size;
	}
	if (choice == 2)
		return LLVMFuzzerMutate(data, size, max_size);
	if (choice < 5)
		fuzz_hostile_number(data, size < 1600 ? size : 1600, &random);
	else
		fuzz_hostile_number(data, size, &random);
	return size;
}
