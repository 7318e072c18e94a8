/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What resolution makes of a server binary, for tests: a line for each name with tabs between name,
 * status, source, address and the functions it is inlined into. Without debug information and all
 * names, unless -d is given; -v logs to stderr. The last line says how long it took.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "symbol/resolve.h"

static void print_symbol(const struct ws_symbol *s)
{
	printf("%s\t%s\t%s\t0x%llx\t", s->name, ws_symbol_status_name(s->status),
	       ws_symbol_source_name(s->source), (unsigned long long)s->address);
	for (size_t i = 0; i < WS_SYMBOL_INTO_MAX && s->into[i]; i++)
		printf("%s%s", i ? "," : "", s->into[i]);
	printf("\t%.3f\n", s->confidence);
}

int main(int argc, char **argv)
{
	struct ws_resolve_options options = { .no_debug_info = true, .all = true };
	struct ws_log log = { 0 };
	ws_autoclose int fd = -1;
	struct ws_symbol_set set;
	struct ws_image *image;
	struct ws_error err;
	int opt;

	while ((opt = getopt(argc, argv, "dv")) != -1) {
		if (opt == 'd')
			options.no_debug_info = false;
		else if (opt == 'v')
			log = (struct ws_log){ .level = WS_LOG_DEBUG, .fn = ws_log_stderr };
		else
			return 2;
	}
	if (optind + 1 != argc) {
		fprintf(stderr, "usage: resolve [-d] [-v] FILE\n");
		return 2;
	}
	options.log = &log;
	fd = open(argv[optind], O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		fprintf(stderr, "resolve: %s: %s\n", argv[optind], strerror(errno));
		return 1;
	}
	if (ws_image_open(&image, fd, argv[optind], &log, &err) ||
	    ws_resolve(image, &options, &set, &err)) {
		char line[512];

		ws_error_format(&err, line, sizeof(line));
		fprintf(stderr, "%s\n", line);
		return 1;
	}
	for (size_t i = 0; i < set.count; i++)
		print_symbol(&set.symbols[i]);
	printf("#\t%llu\n", (unsigned long long)set.resolve_ns);
	ws_symbol_set_deinit(&set);
	ws_image_free(image);
	return 0;
}
