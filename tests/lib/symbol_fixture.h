/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * symbol_fixture.h: binaries for the tests of src/symbol/: the installed server, and small programs
 * compiled while the test runs.
 */
#ifndef WS_TEST_SYMBOL_FIXTURE_H
#define WS_TEST_SYMBOL_FIXTURE_H

#include <stddef.h>
#include <stdint.h>

#include "symbol/resolve.h"

/* Path of the newest installed PostgreSQL server. The test fails if there is none: scripts/setup
 * installs one. */
const char *ws_fixture_server(void);

/*
 * Compiles `source` under the file name `name` with `flags` ("" for none) and links it into an
 * executable that exports its global functions, as the server does. `out` (of `size` bytes) gets
 * the path inside a temporary folder. The test fails if the compiler does.
 */
void ws_fixture_compile(const char *name, const char *source, const char *flags, char *out,
			size_t size);
/* The same for aarch64, by clang and lld: nothing of it is ever run, so nothing is linked to it. */
void ws_fixture_compile_arm64(const char *name, const char *source, const char *flags, char *out,
			      size_t size);
/* A copy of `path` run through `strip`. */
void ws_fixture_strip(const char *path, char *out, size_t size);
/* Removes the temporary folder and what is in it. */
void ws_fixture_remove(void);
/* The same as a group's teardown. */
int ws_fixture_teardown(void **state);

/* Opens an image; the test fails if that does. */
struct ws_image *ws_fixture_open(const char *path);
/* The same out of bytes in memory; NULL if they are refused. *err says why. */
struct ws_image *ws_fixture_open_bytes(const uint8_t *bytes, size_t size, struct ws_error *err);
/* The whole file, to be freed. */
uint8_t *ws_fixture_read(const char *path, size_t *size);

#endif
