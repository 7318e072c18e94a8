/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * util.h: scope guards, growing arrays, clocks, LSNs.
 */
#ifndef WS_BASE_UTIL_H
#define WS_BASE_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WS_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Scope guards: `ws_autofree char *p = ...;`, `ws_autoclose int fd = -1;` */
void ws_cleanup_free(void *pp);
void ws_cleanup_close(int *fd);
void ws_cleanup_fclose(void *fp);
#define ws_autofree   __attribute__((cleanup(ws_cleanup_free)))
#define ws_autoclose  __attribute__((cleanup(ws_cleanup_close)))
#define ws_autofclose __attribute__((cleanup(ws_cleanup_fclose)))

/*
 * Makes room for one more element in the array *items of *count elements of `size` bytes (capacity
 * in *cap). Returns the new, zeroed element and counts it, or NULL when memory ran out.
 */
void *ws_array_grow(void *items, size_t *count, size_t *cap, size_t size);

/* Reads at `offset` until `size` bytes are there or the file ends. Returns how many, or -1 with
 * errno set. */
long ws_read_at(int fd, void *data, size_t size, uint64_t offset);
struct stat;
/* Is the regular file that `st` is of at this path, too? */
bool ws_path_is(const char *path, const struct stat *st);

/* An LSN as PostgreSQL prints it: "%X/%X". `out` needs WS_LSN_TEXT bytes. */
#define WS_LSN_TEXT 20
const char *ws_lsn_format(uint64_t lsn, char out[WS_LSN_TEXT]);
bool ws_lsn_parse(const char *text, uint64_t *lsn);

/* CLOCK_MONOTONIC, CLOCK_REALTIME and CLOCK_BOOTTIME in ns. */
uint64_t ws_clock_mono_ns(void);
int64_t ws_clock_wall_ns(void);
uint64_t ws_clock_boot_ns(void);

/* The three at one moment: to within what is taken for nothing (20 us) if this process gets as much
 * time without a break within some tries, else as near as it came. */
struct ws_clocks {
	uint64_t mono_ns;
	int64_t wall_ns;
	uint64_t boot_ns;
};
void ws_clocks_read(struct ws_clocks *clocks);

/* RFC 3339 with nanoseconds and the local offset ("2026-11-21T02:06:18.000000001+00:00").
 * `out` needs WS_TIME_TEXT bytes. */
#define WS_TIME_TEXT 40
const char *ws_time_format(int64_t wall_ns, char out[WS_TIME_TEXT]);
/* Local time of day for a terminal: "02:06:18.123456". */
const char *ws_time_format_short(int64_t wall_ns, char out[WS_TIME_TEXT]);
/* RFC 3339 (seconds, fraction and offset optional; without offset: local time). */
bool ws_time_parse(const char *text, int64_t *wall_ns);

/* A duration for people, three significant digits: "812 ns", "4.21 us", "1.03 s", "2h 03m". */
#define WS_DURATION_TEXT 24
const char *ws_duration_format(uint64_t ns, char out[WS_DURATION_TEXT]);
/* "10", "10s", "500ms", "1.5m", "2h": to ns. A bare number is seconds. */
bool ws_duration_parse(const char *text, uint64_t *ns);
/* Bytes for people: "812 B", "4.21 kB", "1.03 MB" (powers of 1024, as PostgreSQL's pg_size_pretty).
 */
#define WS_BYTES_TEXT 24
const char *ws_bytes_format(uint64_t bytes, char out[WS_BYTES_TEXT]);

#endif
