/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * debuginfod: servers that hand out debug files by build-id. The library is loaded when it is first
 * wanted, so that walscope runs without it (and without curl and all that curl needs). The
 * prototypes are those of <elfutils/debuginfod.h> (elfutils 0.178 and later), which need not be
 * installed to build.
 */
#include "symbol/debug_parts.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"

#define PROGRESS_NS 200000000ULL /* between two lines of progress on a terminal */

typedef int progress_fn(void *client, long a, long b);

#define LIBRARY "libdebuginfod.so.1"

struct library {
	void *handle; /* kept: what it is made of (curl, TLS) does not like to be unloaded */
	void *(*begin)(void);
	void (*end)(void *client);
	int (*find_debuginfo)(void *client, const unsigned char *id, int id_size, char **path);
	void (*set_progressfn)(void *client, progress_fn *fn);
	void (*set_user_data)(void *client, void *data);
};

struct download {
	const struct ws_debug *debug;
	uint64_t deadline_ns, drawn_ns;
	bool drawn, late, stopped;
};

bool ws_debug_fetch_wanted(const struct ws_debug *debug)
{
	const char *urls = getenv("DEBUGINFOD_URLS");

	if (urls && urls[strspn(urls, " \t")])
		return true;
	ws_log(debug->options.log, WS_LOG_INFO,
	       "debuginfod: DEBUGINFOD_URLS is not set: not asked");
	return false;
}

static bool load(struct library *lib, const char **why)
{
	const struct {
		const char *name;
		void **fn;
	} functions[] = {
		{ "debuginfod_begin", (void **)&lib->begin },
		{ "debuginfod_end", (void **)&lib->end },
		{ "debuginfod_find_debuginfo", (void **)&lib->find_debuginfo },
		{ "debuginfod_set_progressfn", (void **)&lib->set_progressfn },
		{ "debuginfod_set_user_data", (void **)&lib->set_user_data },
	};

	*lib = (struct library){ .handle = dlopen(LIBRARY, RTLD_LAZY | RTLD_LOCAL) };
	*why = "libdebuginfod is not installed";
	if (!lib->handle)
		return false;
	*why = "libdebuginfod is too old";
	for (size_t i = 0; i < WS_ARRAY_SIZE(functions); i++) {
		*functions[i].fn = dlsym(lib->handle, functions[i].name);
		if (!*functions[i].fn)
			return false;
	}
	return true;
}

static void draw(struct download *d, long done, long all)
{
	uint64_t now = ws_clock_mono_ns();
	char got[WS_BYTES_TEXT], total[WS_BYTES_TEXT];

	if (!d->debug->options.progress || now - d->drawn_ns < PROGRESS_NS)
		return;
	d->drawn_ns = now;
	d->drawn = true;
	/* The two are bytes once the total is known, else attempts. */
	if (all > 0 && done >= 0)
		fprintf(stderr, "\rdebuginfod: %s of %s \x1b[K",
			ws_bytes_format((uint64_t)done, got),
			ws_bytes_format((uint64_t)all, total));
	else
		fprintf(stderr, "\rdebuginfod: asking ... \x1b[K");
	fflush(stderr);
}

/* The library gives its callback nothing but the client. */
static struct download *download_of(void *client)
{
	void *(*get)(void *client) = NULL;
	void *handle = dlopen(LIBRARY, RTLD_LAZY | RTLD_LOCAL | RTLD_NOLOAD);

	if (handle) {
		*(void **)&get = dlsym(handle, "debuginfod_get_user_data");
		dlclose(handle);
	}
	return get ? get(client) : NULL;
}

/* Called about once a second, and whenever something arrives. Not 0 ends the download. */
static int on_progress(void *client, long done, long all)
{
	struct download *d = download_of(client);

	if (!d)
		return 0;
	d->late = ws_clock_mono_ns() > d->deadline_ns;
	d->stopped = d->debug->options.stop && *d->debug->options.stop;
	draw(d, done, all);
	return d->late || d->stopped;
}

static int download(const struct library *lib, struct download *d, const struct build_id *id,
		    char path[DEBUG_PATH_MAX])
{
	void *client = lib->begin();
	char *file = NULL;
	int fd;

	if (!client)
		return -ENOMEM;
	lib->set_user_data(client, d);
	lib->set_progressfn(client, on_progress);
	fd = lib->find_debuginfo(client, id->bytes, (int)id->size, &file);
	lib->end(client);
	if (d->drawn)
		fprintf(stderr, "\r\x1b[K");
	snprintf(path, DEBUG_PATH_MAX, "%s", file ? file : "from debuginfod");
	free(file);
	return fd;
}

int ws_debug_fetch(const struct ws_debug *debug, const struct build_id *id,
		   char path[DEBUG_PATH_MAX])
{
	uint64_t limit = debug->options.debuginfod_limit_ns ? debug->options.debuginfod_limit_ns
							    : WS_DEBUGINFOD_LIMIT_NS;
	struct download d = { .debug = debug, .deadline_ns = ws_clock_mono_ns() + limit };
	char took[WS_DURATION_TEXT];
	struct library lib;
	const char *why;
	int fd;

	if (!load(&lib, &why)) {
		ws_debug_note(debug, WS_STEP_DEBUGINFOD, "", "%s", why);
		return -1;
	}
	fd = download(&lib, &d, id, path);
	if (fd >= 0)
		return fd;
	if (d.late)
		ws_debug_note(debug, WS_STEP_DEBUGINFOD, "", "no answer within %s",
			      ws_duration_format(limit, took));
	else
		ws_debug_note(debug, WS_STEP_DEBUGINFOD, "", "%s",
			      d.stopped ? "interrupted" : strerror(-fd));
	return -1;
}
