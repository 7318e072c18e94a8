/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * plan FILE [LEVEL] [NAME=ADDRESS...]: prints the plan for a server binary without attaching
 * anything. NAME=ADDRESS says where a function or variable is that the file does not name, for
 * checks by hand.
 * "-" in place of a level: 3, without debug information.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "layout/layout.h"
#include "probe/plan.h"

static int fail(const struct ws_error *err)
{
	char line[1024];

	ws_error_format(err, line, sizeof(line));
	fprintf(stderr, "plan: %s\n", line);
	return 1;
}

static void set_by_hand(struct ws_symbol_set *set, const char *assignment)
{
	size_t len = strcspn(assignment, "=");

	for (size_t i = 0; i < set->count; i++) {
		struct ws_symbol *symbol = &set->symbols[i];

		if (strlen(symbol->name) != len || memcmp(symbol->name, assignment, len) != 0)
			continue;
		symbol->status = WS_SYMBOL_FOUND;
		symbol->address = strtoull(assignment + len + 1, NULL, 16);
		return;
	}
	fprintf(stderr, "plan: no such name: %s\n", assignment);
}

static void print_plan(const struct ws_plan *plan)
{
	static const char *const status[] = { "", "planted", "not-at-level", "not-in-major",
					      "MISSING" };

	for (size_t i = 0; i < plan->count; i++) {
		const struct ws_planned *s = &plan->sites[i];

		printf("%-20s %-42s %-10s %-12s", s->probe->name,
		       s->function ? s->function : s->probe->function,
		       ws_site_kind_name(s->probe->kind), status[s->status]);
		if (s->address)
			printf(" 0x%-8lx %-8s %-16s %-9s %.2f", s->address,
			       ws_code_cost_name(s->cost), s->instruction,
			       ws_symbol_source_name(s->source), s->confidence);
		printf("%s%s\n", s->reason[0] ? " " : "", s->reason);
	}
	printf("%zu planted; WaitEvent at register %d %+d\n", plan->planted,
	       plan->config.wait_event_reg, plan->config.wait_event_disp);
}

static int make_plan(const struct ws_image *image, int argc, char **argv)
{
	bool no_debug_info = argc > 2 && strcmp(argv[2], "-") == 0;
	struct ws_debug *debug = ws_debug_new(
		image,
		&(struct ws_debug_options){ .skip = no_debug_info ? WS_STEPS_DEBUG_INFO : 0 });
	const struct ws_resolve_options options = { .debug = debug };
	int level = argc > 2 && !no_debug_info ? atoi(argv[2]) : 3;
	char version[WS_VERSION_TEXT] = "";
	struct ws_symbol_set symbols = { 0 };
	struct ws_layout layout;
	struct ws_plan plan = { 0 };
	struct ws_error err = { 0 };
	int major = 0, rc = 0;

	ws_image_server_version(image, version, &major);
	if (!debug || ws_layout_find(image, major, debug, &layout, &err) ||
	    ws_resolve(image, &options, &symbols, &err))
		return fail(&err);
	for (int i = 3; i < argc; i++)
		set_by_hand(&symbols, argv[i]);
	if (ws_plan_make(image, &symbols, &layout, major, level, &plan, &err))
		rc = fail(&err);
	printf("PostgreSQL %s, layout from %s\n", version, ws_layout_source_name(layout.source));
	print_plan(&plan);
	ws_plan_deinit(&plan);
	ws_symbol_set_deinit(&symbols);
	ws_debug_free(debug);
	return rc;
}

int main(int argc, char **argv)
{
	struct ws_image *image = NULL;
	struct ws_error err = { 0 };
	ws_autoclose int fd = argc > 1 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;
	int rc;

	if (argc < 2 || fd < 0) {
		fprintf(stderr, "usage: plan FILE [LEVEL] [NAME=ADDRESS...]\n");
		return 2;
	}
	if (ws_image_open(&image, fd, argv[1], NULL, &err))
		return fail(&err);
	rc = make_plan(image, argc, argv);
	ws_image_free(image);
	return rc;
}
