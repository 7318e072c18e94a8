/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * debug.h: all the debug information of one image, in the file and in separate debug files.
 *
 * Files are looked for when they are first asked for, opened once, and kept. Each belongs to a step
 * of the resolver's chain. A separate file is used only if it belongs to the image beyond doubt: by
 * its build-id, or where there is none by the CRC in .gnu_debuglink. What is refused, truncated or
 * corrupt costs a line at WS_LOG_INFO, and the next step is tried: never an error.
 */
#ifndef WS_SYMBOL_DEBUG_H
#define WS_SYMBOL_DEBUG_H

#include <elfutils/libdw.h>

#include "symbol/image.h"

/* The chain, in the order in which it is asked. */
enum ws_step {
	WS_STEP_DYNSYM = 0,
	WS_STEP_SYMTAB,
	WS_STEP_DWARF,	       /* in the file itself */
	WS_STEP_BUILD_ID,      /* /usr/lib/debug/.build-id/xx/yyyy.debug */
	WS_STEP_DEBUGLINK,     /* the file that .gnu_debuglink names */
	WS_STEP_ALTLINK,       /* the file that dwz moved to what several share: part of opening the
				  others */
	WS_STEP_MINIDEBUGINFO, /* .gnu_debugdata: names, compressed inside the file */
	WS_STEP_DEBUGINFOD,    /* servers, if DEBUGINFOD_URLS is set */
	WS_STEP_RECOVERY,
	WS_STEP_COUNT,
};

const char *ws_step_name(enum ws_step step); /* "build-id" */
bool ws_step_parse(const char *name, size_t len, enum ws_step *step);

#define WS_STEP_BIT(step) (1U << (step))
/* All that --no-debug-info switches off. */
#define WS_STEPS_DEBUG_INFO                                                  \
	(WS_STEP_BIT(WS_STEP_SYMTAB) | WS_STEP_BIT(WS_STEP_DWARF) |          \
	 WS_STEP_BIT(WS_STEP_BUILD_ID) | WS_STEP_BIT(WS_STEP_DEBUGLINK) |    \
	 WS_STEP_BIT(WS_STEP_ALTLINK) | WS_STEP_BIT(WS_STEP_MINIDEBUGINFO) | \
	 WS_STEP_BIT(WS_STEP_DEBUGINFOD))

struct ws_debug_options {
	unsigned int skip; /* WS_STEP_BIT of the steps that are switched off */
	/* The root of the process that runs the image ("/proc/PID/root"), NULL if it is ours. Debug
	 * files are looked for there, too. */
	const char *root;
	const char *debug_dir; /* NULL: /usr/lib/debug */
	/* How long servers of debug information may take, all in all. 0: WS_DEBUGINFOD_LIMIT_NS. */
	uint64_t debuginfod_limit_ns;
	bool progress;		  /* draw the download's on stderr */
	const volatile int *stop; /* ends a download when it is set; may be NULL */
	const struct ws_log *log;
};
#define WS_DEBUGINFOD_LIMIT_NS 60000000000ULL

struct ws_debug; /* opaque */

/* One file. Belongs to the handle. */
struct ws_symtab;
struct ws_debug_file {
	enum ws_step step;
	const char *path; /* for messages */
	const struct ws_symtab
		*names; /* of its .symtab, NULL if it has none, or is the image's own */
	Dwarf *dwarf;	/* NULL if it has none */
};

/* The image outlives the handle; strings of the options are copied, the log is not. Returns NULL
 * when memory ran out. */
struct ws_debug *ws_debug_new(const struct ws_image *image, const struct ws_debug_options *options);
void ws_debug_free(struct ws_debug *debug);

bool ws_debug_skips(const struct ws_debug *debug, enum ws_step step);

/* The file of a step (DWARF, BUILD_ID, DEBUGLINK, MINIDEBUGINFO, DEBUGINFOD); NULL if there is
 * none. */
const struct ws_debug_file *ws_debug_file(struct ws_debug *debug, enum ws_step step);

/*
 * The next file with DWARF behind `after` (NULL: the first) in the chain's order. Whoever wants
 * types reads the first, and goes on only if they are not in it: the last are on the network.
 */
const struct ws_debug_file *ws_debug_next_dwarf(struct ws_debug *debug,
						const struct ws_debug_file *after);

/* Changes when a separate debug file comes, goes or is replaced, or other servers are asked. Opens
 * none of them. */
uint64_t ws_debug_fingerprint(struct ws_debug *debug);

#endif
