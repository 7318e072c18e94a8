/* SPDX-License-Identifier: BSD-2-Clause */
#include "symbol_fixture.h"

#include <fcntl.h>
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/util.h"

#define PATH_SIZE 512

/* A test program is one process with one temporary folder. */
static char folder[64];

static const char *fixture_folder(void)
{
	if (!folder[0]) {
		snprintf(folder, sizeof(folder), "/tmp/walscope-test-XXXXXX");
		assert_non_null(mkdtemp(folder));
	}
	return folder;
}

static void run(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void run(const char *fmt, ...)
{
	char command[4 * PATH_SIZE];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	if (system(command) != 0)
		fail_msg("this failed: %s", command);
}

/* What `pg_config --bindir` says, if there is a pg_config and a server beside it. */
static bool server_of_pg_config(char *path, size_t size)
{
	FILE *f = popen("pg_config --bindir 2>/dev/null", "r");
	bool found = false;
	char line[PATH_SIZE / 2];

	if (!f)
		return false;
	if (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		snprintf(path, size, "%s/postgres", line);
		found = access(path, R_OK) == 0;
	}
	pclose(f);
	return found;
}

const char *ws_fixture_server(void)
{
	static char path[PATH_SIZE];
	glob_t found = { 0 };
	int best = -1;

	if (path[0])
		return path;
	if (glob("/usr/lib/postgresql/*/bin/postgres", 0, NULL, &found) == 0) {
		for (size_t i = 0; i < found.gl_pathc; i++) {
			int major = atoi(found.gl_pathv[i] + strlen("/usr/lib/postgresql/"));

			if (major <= best || access(found.gl_pathv[i], R_OK))
				continue;
			best = major;
			snprintf(path, sizeof(path), "%s", found.gl_pathv[i]);
		}
	}
	globfree(&found);
	if (!path[0] && !server_of_pg_config(path, sizeof(path)))
		fail_msg("no PostgreSQL server is installed; run scripts/setup");
	return path;
}

/* Runs `compiler`, which is a whole command but for output and input. */
static void compile(const char *compiler, const char *name, const char *source, const char *flags,
		    char *out, size_t size)
{
	ws_autofclose FILE *f = NULL;
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), "%s/%s", fixture_folder(), name);
	snprintf(out, size, "%s.bin", path);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(source, f) >= 0);
	assert_int_equal(fflush(f), 0);
	run("cd '%s' && %s -w -O2 -rdynamic -o '%s' %s '%s'", folder, compiler, out, flags, name);
}

void ws_fixture_compile(const char *name, const char *source, const char *flags, char *out,
			size_t size)
{
	const char *cc = getenv("CC");

	compile(cc && cc[0] ? cc : "cc", name, source, flags, out, size);
}

void ws_fixture_compile_arm64(const char *name, const char *source, const char *flags, char *out,
			      size_t size)
{
	compile("clang --target=aarch64-linux-gnu -fPIE -pie -nostdlib -fuse-ld=lld "
		"-Wl,-e,0 -Wl,-z,undefs",
		name, source, flags, out, size);
}

void ws_fixture_strip(const char *path, char *out, size_t size)
{
	snprintf(out, size, "%s.stripped", path);
	run("strip -o '%s' '%s'", out, path);
}

void ws_fixture_remove(void)
{
	if (folder[0])
		run("rm -rf '%s'", folder);
	folder[0] = '\0';
}

int ws_fixture_teardown(void **state)
{
	(void)state;
	ws_fixture_remove();
	return 0;
}

struct ws_image *ws_fixture_open(const char *path)
{
	ws_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct ws_image *image;
	struct ws_error err = { 0 };

	assert_true(fd >= 0);
	if (ws_image_open(&image, fd, path, NULL, &err))
		fail_msg("%s: %s", path, err.why);
	return image;
}

struct ws_image *ws_fixture_open_bytes(const uint8_t *bytes, size_t size, struct ws_error *err)
{
	ws_autoclose int fd = memfd_create("image", MFD_CLOEXEC);
	struct ws_image *image = NULL;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, size), size);
	*err = (struct ws_error){ 0 };
	return ws_image_open(&image, fd, "bytes", NULL, err) ? NULL : image;
}

uint8_t *ws_fixture_read(const char *path, size_t *size)
{
	ws_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	uint8_t *bytes;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	*size = (size_t)st.st_size;
	bytes = malloc(*size);
	assert_non_null(bytes);
	assert_int_equal(read(fd, bytes, *size), *size);
	return bytes;
}
