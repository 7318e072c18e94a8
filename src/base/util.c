/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/util.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NSEC_PER_SEC 1000000000LL

void ws_cleanup_free(void *pp)
{
	free(*(void **)pp);
}

void ws_cleanup_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

void ws_cleanup_fclose(void *fp)
{
	FILE *f = *(FILE **)fp;

	if (f)
		fclose(f);
}

void *ws_array_grow(void *items, size_t *count, size_t *cap, size_t size)
{
	void **array = items;
	char *element;

	if (*count == *cap) {
		size_t more = *cap ? *cap * 2 : 8;
		void *grown = reallocarray(*array, more, size);

		if (!grown)
			return NULL;
		*array = grown;
		*cap = more;
	}
	element = (char *)*array + *count * size;
	memset(element, 0, size);
	(*count)++;
	return element;
}

bool ws_path_is(const char *path, const struct stat *st)
{
	struct stat other;

	return S_ISREG(st->st_mode) && stat(path, &other) == 0 && other.st_dev == st->st_dev &&
	       other.st_ino == st->st_ino;
}

long ws_read_at(int fd, void *data, size_t size, uint64_t offset)
{
	size_t done = 0;

	while (done < size) {
		ssize_t got = pread(fd, (char *)data + done, size - done, (off_t)(offset + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		if (!got)
			break;
		done += (size_t)got;
	}
	return (long)done;
}

const char *ws_lsn_format(uint64_t lsn, char out[WS_LSN_TEXT])
{
	snprintf(out, WS_LSN_TEXT, "%" PRIX32 "/%" PRIX32, (uint32_t)(lsn >> 32), (uint32_t)lsn);
	return out;
}

bool ws_lsn_parse(const char *text, uint64_t *lsn)
{
	unsigned int hi, lo;
	int end = 0;

	/* sscanf alone would take signs, blanks and 0x. */
	if (text[strspn(text, "0123456789abcdefABCDEF/")] != '\0')
		return false;
	if (sscanf(text, "%8X/%8X%n", &hi, &lo, &end) != 2 || text[end] != '\0')
		return false;
	*lsn = (uint64_t)hi << 32 | lo;
	return true;
}

#define CLOCK_NEAR_NS 20000
#define CLOCK_TRIES   32

static int64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

uint64_t ws_clock_mono_ns(void)
{
	return (uint64_t)clock_ns(CLOCK_MONOTONIC);
}

int64_t ws_clock_wall_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

uint64_t ws_clock_boot_ns(void)
{
	return (uint64_t)clock_ns(CLOCK_BOOTTIME);
}

void ws_clocks_read(struct ws_clocks *clocks)
{
	uint64_t nearest = UINT64_MAX;

	/* Whoever reads one clock after the other may be held up in between. */
	for (int i = 0; i < CLOCK_TRIES && nearest > CLOCK_NEAR_NS; i++) {
		uint64_t begin = ws_clock_mono_ns(), taken;
		struct ws_clocks now = { .wall_ns = ws_clock_wall_ns(),
					 .boot_ns = ws_clock_boot_ns() };

		taken = ws_clock_mono_ns() - begin;
		if (taken >= nearest)
			continue;
		nearest = taken;
		*clocks = now;
		clocks->mono_ns = begin + taken / 2;
	}
}

static void split_time(int64_t wall_ns, time_t *sec, long *nsec)
{
	*sec = (time_t)(wall_ns / NSEC_PER_SEC);
	*nsec = (long)(wall_ns % NSEC_PER_SEC);
	if (*nsec < 0) {
		*nsec += NSEC_PER_SEC;
		(*sec)--;
	}
}

const char *ws_time_format(int64_t wall_ns, char out[WS_TIME_TEXT])
{
	struct tm tm;
	time_t sec;
	long nsec;
	long off;

	split_time(wall_ns, &sec, &nsec);
	localtime_r(&sec, &tm);
	off = tm.tm_gmtoff / 60;
	snprintf(out, WS_TIME_TEXT, "%04u-%02u-%02uT%02u:%02u:%02u.%09ld%c%02ld:%02ld",
		 (unsigned int)(tm.tm_year + 1900) % 10000, (unsigned int)(tm.tm_mon + 1) % 100,
		 (unsigned int)tm.tm_mday % 100, (unsigned int)tm.tm_hour % 100,
		 (unsigned int)tm.tm_min % 100, (unsigned int)tm.tm_sec % 100, nsec,
		 off < 0 ? '-' : '+', labs(off) / 60 % 100, labs(off) % 60);
	return out;
}

const char *ws_time_format_short(int64_t wall_ns, char out[WS_TIME_TEXT])
{
	struct tm tm;
	time_t sec;
	long nsec;

	split_time(wall_ns, &sec, &nsec);
	localtime_r(&sec, &tm);
	snprintf(out, WS_TIME_TEXT, "%02u:%02u:%02u.%06ld", (unsigned int)tm.tm_hour % 100,
		 (unsigned int)tm.tm_min % 100, (unsigned int)tm.tm_sec % 100, nsec / 1000);
	return out;
}

/* Exactly `count` digits. */
static const char *parse_digits(const char *p, int count, int *value)
{
	*value = 0;
	for (; p && count > 0; count--, p++) {
		if (!isdigit((unsigned char)*p))
			return NULL;
		*value = *value * 10 + (*p - '0');
	}
	return p;
}

static const char *parse_after(const char *p, char mark, int count, int *value)
{
	return p && *p == mark ? parse_digits(p + 1, count, value) : NULL;
}

/* A date and a time that there are. */
static bool exists(const struct tm *tm)
{
	struct tm same = *tm;

	if (tm->tm_hour > 23 || tm->tm_min > 59 || tm->tm_sec > 60)
		return false;
	same.tm_hour = same.tm_min = same.tm_sec = 0;
	timegm(&same);
	return same.tm_mon == tm->tm_mon && same.tm_mday == tm->tm_mday;
}

static const char *parse_fraction(const char *p, int64_t *ns)
{
	int64_t scale = NSEC_PER_SEC / 10;

	*ns = 0;
	if (!isdigit((unsigned char)*p))
		return NULL;
	for (; isdigit((unsigned char)*p); p++, scale /= 10)
		*ns += (*p - '0') * scale;
	return p;
}

static const char *parse_seconds(const char *p, struct tm *tm, int64_t *frac)
{
	p = parse_after(p, ':', 2, &tm->tm_sec);
	return p && *p == '.' ? parse_fraction(p + 1, frac) : p;
}

/* What stands behind the time: nothing (local time), Z, or an offset. */
static bool parse_offset(const char *p, struct tm *tm, int64_t *sec)
{
	int hour, min, sign = *p == '-' ? -1 : 1;

	if (*p == '\0') {
		*sec = mktime(tm);
		return true;
	}
	*sec = timegm(tm);
	if (*p == 'Z' || *p == 'z')
		return p[1] == '\0';
	if (*p != '+' && *p != '-')
		return false;
	p = parse_after(parse_digits(p + 1, 2, &hour), ':', 2, &min);
	if (!p || *p || hour > 23 || min > 59)
		return false;
	*sec -= sign * (hour * 60 + min) * 60;
	return true;
}

bool ws_time_parse(const char *text, int64_t *wall_ns)
{
	struct tm tm = { .tm_isdst = -1 };
	int64_t frac = 0, sec;
	const char *p = parse_digits(text, 4, &tm.tm_year);

	p = parse_after(p, '-', 2, &tm.tm_mon);
	p = parse_after(p, '-', 2, &tm.tm_mday);
	if (!p || (*p != 'T' && *p != 't' && *p != ' '))
		return false;
	p = parse_digits(p + 1, 2, &tm.tm_hour);
	p = parse_after(p, ':', 2, &tm.tm_min);
	if (p && *p == ':')
		p = parse_seconds(p, &tm, &frac);
	tm.tm_year -= 1900;
	tm.tm_mon--;
	if (!p || !exists(&tm) || !parse_offset(p, &tm, &sec))
		return false;
	/* ns reach from 1677 to 2262 */
	return !__builtin_mul_overflow(sec, NSEC_PER_SEC, wall_ns) &&
	       !__builtin_add_overflow(*wall_ns, frac, wall_ns);
}

static void format_scaled(char *out, size_t size, double value, const char *unit)
{
	int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;

	snprintf(out, size, "%.*f %s", decimals, value, unit);
}

const char *ws_duration_format(uint64_t ns, char out[WS_DURATION_TEXT])
{
	uint64_t sec = ns / NSEC_PER_SEC;

	if (ns < 1000)
		snprintf(out, WS_DURATION_TEXT, "%u ns", (unsigned int)ns);
	else if (ns < 999500)
		format_scaled(out, WS_DURATION_TEXT, (double)ns / 1e3, "us");
	else if (ns < 999500000)
		format_scaled(out, WS_DURATION_TEXT, (double)ns / 1e6, "ms");
	else if (sec < 100)
		format_scaled(out, WS_DURATION_TEXT, (double)ns / 1e9, "s");
	else if (sec < 3600)
		snprintf(out, WS_DURATION_TEXT, "%um %02us", (unsigned int)(sec / 60),
			 (unsigned int)(sec % 60));
	else
		snprintf(out, WS_DURATION_TEXT, "%" PRIu64 "h %02um", sec / 3600,
			 (unsigned int)(sec % 3600 / 60));
	return out;
}

bool ws_duration_parse(const char *text, uint64_t *ns)
{
	static const struct {
		const char *unit;
		double ns;
	} units[] = { { "", 1e9 },     { "ns", 1 },	{ "us", 1e3 },
		      { "ms", 1e6 },   { "s", 1e9 },	{ "m", 60e9 },
		      { "min", 60e9 }, { "h", 3600e9 }, { "d", 86400e9 } };
	char *end;
	double value;

	if (!isdigit((unsigned char)text[0]) && text[0] != '.')
		return false;
	value = strtod(text, &end);
	if (end == text || !(value >= 0))
		return false;
	for (size_t i = 0; i < WS_ARRAY_SIZE(units); i++) {
		if (strcmp(end, units[i].unit) != 0)
			continue;
		if (value * units[i].ns > 1e18)
			return false;
		*ns = (uint64_t)(value * units[i].ns + 0.5);
		return true;
	}
	return false;
}

const char *ws_bytes_format(uint64_t bytes, char out[WS_BYTES_TEXT])
{
	static const char *const units[] = { "kB", "MB", "GB", "TB", "PB", "EB" };
	double value = (double)bytes;
	size_t i = 0;

	if (bytes < 1024) {
		snprintf(out, WS_BYTES_TEXT, "%u B", (unsigned int)bytes);
		return out;
	}
	for (value /= 1024; value >= 999.5 && i + 1 < WS_ARRAY_SIZE(units); i++)
		value /= 1024;
	format_scaled(out, WS_BYTES_TEXT, value, units[i]);
	return out;
}
