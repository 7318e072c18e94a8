/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whatever is imported: what comes out of it are sound records, which go through the session model
 * and every printer.
 */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>

#include "event/schema.h"
#include "import/import.h"

static int take(void *arg, const struct ws_rec *rec)
{
	char why[256];

	if (!ws_rec_valid(rec, rec->size, why, sizeof(why)))
		abort();
	fuzz_show_feed(arg, rec);
	return 0;
}

static void silent(void *arg, enum ws_log_level level, const char *line)
{
	(void)arg;
	(void)level;
	(void)line;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct ws_log log = { .fn = silent, .level = WS_LOG_NOTE };
	const struct ws_import_options options = { .log = &log };
	struct fuzz_show *show;
	struct ws_import_result result;
	struct ws_error err;
	struct ws_import_input in = { .name = "in" };
	const struct ws_import_inputs inputs = { &in, 1 };

	if (!size)
		return 0;
	in.in = fmemopen((void *)(uintptr_t)data, size, "r");
	if (!in.in)
		abort();
	show = fuzz_show_new();
	if (ws_import_run(&inputs, &options, (struct ws_sink){ take, show }, &result, &err) &&
	    (!err.what[0] || !err.why[0]))
		abort();
	fclose(in.in);
	fuzz_show_end(show);
	return 0;
}
