/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/option_values.h"

#include <argp.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "symbol/debug.h"
#include "trace/flight.h"

#define PID_MAX	     4194304 /* PID_MAX_LIMIT, linux/threads.h */
#define DURATION_MAX (365ULL * 86400 * 1000000000)
#define RING_MIN     4096ULL
#define RING_MAX     (1ULL << 30)
#define SIZE_LIMIT   (1ULL << 60)
#define AGE_MAX	     (10 * DURATION_MAX)

struct given {
	const char *name, *arg;
	struct ws_options *options;
	struct ws_error *err;
};

int ws_option_refuse(struct ws_error *err, const char *why, const char *name, const char *value)
{
	if (value)
		ws_error_set(err, "usage", NULL, "%s %s: %s", name, value, why);
	else
		ws_error_set(err, "usage", NULL, "%s: %s", name, why);
	return EINVAL;
}

static int refuse(const struct given *g, const char *why)
{
	return ws_option_refuse(g->err, why, g->name, g->arg);
}

static int take_text(const struct given *g, const char **text)
{
	if (!g->arg[0])
		return ws_option_refuse(g->err, "empty", g->name, NULL);
	*text = g->arg;
	return 0;
}

static bool parse_number(const char *text, unsigned long min, unsigned long max,
			 unsigned long *value)
{
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return false;
	errno = 0;
	*value = strtoul(text, &end, 10);
	return errno == 0 && *end == '\0' && *value >= min && *value <= max;
}

static int take_process(const struct given *g, uint32_t *pid)
{
	unsigned long value;

	if (!parse_number(g->arg, 1, PID_MAX, &value))
		return refuse(g, "not a process id (1 to 4194304)");
	*pid = (uint32_t)value;
	return 0;
}

static int take_pid(const struct given *g)
{
	return take_process(g, &g->options->filter.pid);
}

static int take_postmaster(const struct given *g)
{
	if (isdigit((unsigned char)g->arg[0]))
		return take_process(g, &g->options->filter.postmaster_pid);
	if (g->arg[0] != '/')
		return refuse(g, "neither a process id nor an absolute data directory");
	g->options->filter.datadir = g->arg;
	return 0;
}

static int take_postgres(const struct given *g)
{
	return take_text(g, &g->options->filter.postgres);
}

static int take_app(const struct given *g)
{
	g->options->filter.app = g->arg; /* may be empty */
	return 0;
}

static int take_slot(const struct given *g)
{
	return take_text(g, &g->options->filter.slot);
}

static int take_kind(const struct given *g)
{
	for (int kind = WS_SESSION_KIND_PHYSICAL; kind <= WS_SESSION_KIND_SQL; kind++) {
		if (strcmp(g->arg, ws_session_kind_name((enum ws_session_kind)kind)) == 0) {
			g->options->filter.kind = (enum ws_session_kind)kind;
			return 0;
		}
	}
	return refuse(g, "not one of physical, logical, backup, sql");
}

/* PID.STARTTICKS, as views print it: a pid alone would match nothing, in silence. */
static int take_session(const struct given *g)
{
	size_t pid = strspn(g->arg, "0123456789");
	size_t ticks = g->arg[pid] == '.' ? strspn(g->arg + pid + 1, "0123456789") : 0;

	if (!pid || !ticks || g->arg[pid + 1 + ticks])
		return refuse(g, "not a session's id (PID.STARTTICKS, as --json prints it)");
	g->options->filter.session = g->arg;
	return 0;
}

static int take_when(const struct given *g, struct ws_when *when)
{
	when->text = g->arg;
	if (g->arg[0] == '-' && ws_duration_parse(g->arg + 1, &when->before_end_ns)) {
		when->kind = WS_WHEN_BEFORE_END;
		return 0;
	}
	if (!ws_time_parse(g->arg, &when->wall_ns))
		return refuse(g,
			      "neither RFC 3339 (2026-11-21T02:06:18+00:00) nor relative (-10m)");
	when->kind = WS_WHEN_WALL;
	return 0;
}

static int take_from(const struct given *g)
{
	if (g->options->from.kind)
		return ws_option_refuse(g->err, "not together with --last", g->name, NULL);
	return take_when(g, &g->options->from);
}

static int take_to(const struct given *g)
{
	return take_when(g, &g->options->to);
}

static int take_around(const struct given *g)
{
	return take_when(g, &g->options->around);
}

static int take_last(const struct given *g)
{
	struct ws_when *from = &g->options->from;

	if (from->kind)
		return ws_option_refuse(g->err, "not together with --from", g->name, NULL);
	if (!ws_duration_parse(g->arg, &from->before_end_ns) || !from->before_end_ns)
		return refuse(g, "not a duration (10, 500ms, 1.5m, 2h)");
	from->kind = WS_WHEN_BEFORE_END;
	from->text = g->arg;
	return 0;
}

static int take_format(const struct given *g)
{
	for (int format = WS_IMPORT_AUTO; format < WS_IMPORT_FORMAT_COUNT; format++) {
		if (strcmp(g->arg, ws_import_format_name((enum ws_import_format)format)) == 0) {
			g->options->format = (enum ws_import_format)format;
			return 0;
		}
	}
	return refuse(g, "not one of auto, events, csvlog, jsonlog");
}

static int take_timezone(const struct given *g)
{
	return take_text(g, &g->options->timezone);
}

static int take_duration(const struct given *g)
{
	uint64_t ns;

	if (!ws_duration_parse(g->arg, &ns) || ns == 0 || ns > DURATION_MAX)
		return refuse(g, "not a duration between 1 ns and 365 d (10, 500ms, 1.5m, 2h)");
	g->options->duration_ns = ns;
	return 0;
}

static int take_level(const struct given *g)
{
	unsigned long value;

	if (!parse_number(g->arg, 1, 3, &value))
		return refuse(g, "not a level from 1 to 3");
	g->options->level = (int)value;
	g->options->level_given = true;
	return 0;
}

/* "64k", "16M", "4G", of `len` bytes; 0 if it is nothing of the kind, or more than 2^60. */
static uint64_t parse_size(const char *arg, size_t len)
{
	static const char units[] = "kMGT";
	const char *unit;
	uint64_t size;
	char *end;

	if (!isdigit((unsigned char)arg[0]) || len > 15)
		return 0;
	size = strtoull(arg, &end, 10);
	if (end == arg + len)
		return size;
	unit = strchr(units, *end);
	if (!unit || end + 1 != arg + len)
		return 0;
	for (ptrdiff_t i = unit - units; i >= 0; i--)
		size = size > SIZE_LIMIT >> 10 ? 0 : size << 10;
	return size;
}

/* The kernel wants a power of two; more than 1 GiB it does not give. */
static int take_ring(const struct given *g)
{
	uint64_t size = parse_size(g->arg, strlen(g->arg));

	if (size < RING_MIN || size > RING_MAX || size & (size - 1))
		return refuse(g, "not a power of two from 4k to 1G (64k, 16M)");
	g->options->ring_bytes = size;
	return 0;
}

/* SIZE[,AGE] */
static int take_flight(const struct given *g)
{
	size_t len = strcspn(g->arg, ",");
	uint64_t age = 0;

	g->options->flight_bytes = parse_size(g->arg, len);
	if (g->options->flight_bytes < WS_FLIGHT_SIZE_MIN)
		return refuse(g, "not a size of 1M or more (64M, 2G)");
	if (g->arg[len] && (!ws_duration_parse(g->arg + len + 1, &age) || age < WS_FLIGHT_AGE_MIN ||
			    age > AGE_MAX))
		return refuse(g, "the age is not a duration from 1s to 10 years (30m, 24h)");
	g->options->flight_age_ns = age;
	return 0;
}

static int take_attach(const struct given *g)
{
	static const char *const names[] = {
		[WS_ATTACH_AUTO] = "auto",
		[WS_ATTACH_UPROBE_MULTI] = "uprobe_multi",
		[WS_ATTACH_PERF] = "perf",
	};

	for (size_t i = 0; i < WS_ARRAY_SIZE(names); i++) {
		if (strcmp(g->arg, names[i]) == 0) {
			g->options->attach = (enum ws_attach_method)i;
			return 0;
		}
	}
	return refuse(g, "not one of auto, uprobe_multi, perf");
}

static int take_output(const struct given *g)
{
	return take_text(g, &g->options->output);
}

static int take_elf(const struct given *g)
{
	return take_text(g, &g->options->elf);
}

static int take_skip(const struct given *g)
{
	const char *name = g->arg;
	enum ws_step step;

	do {
		size_t len = strcspn(name, ",");

		if (!ws_step_parse(name, len, &step))
			return refuse(g, "not a list of steps (dynsym, symtab, dwarf, build-id, "
					 "debuglink, altlink, minidebuginfo, debuginfod, "
					 "recovery)");
		g->options->skip |= WS_STEP_BIT(step);
		name += len;
	} while (*name++ == ',');
	return 0;
}

static const struct {
	int key;
	const char *name;
	int (*take)(const struct given *g);
	/* The last one counts. Not so where all that is given must hold: of two values the last one
	 * alone would be as wrong as the first. */
	bool repeats;
} values[] = {
	{ KEY_PID, "--pid", take_pid, false },
	{ KEY_POSTMASTER, "--postmaster", take_postmaster, false },
	{ KEY_POSTGRES, "--postgres", take_postgres, false },
	{ KEY_APP, "--app", take_app, false },
	{ KEY_SLOT, "--slot", take_slot, false },
	{ KEY_KIND, "--kind", take_kind, false },
	{ KEY_SESSION, "--session", take_session, false },
	{ KEY_FROM, "--from", take_from, false },
	{ KEY_TO, "--to", take_to, false },
	{ KEY_AROUND, "--around", take_around, false },
	{ KEY_LAST, "--last", take_last, false },
	{ KEY_FORMAT, "--format", take_format, false },
	{ KEY_TIMEZONE, "--timezone", take_timezone, false },
	{ KEY_DURATION, "--duration", take_duration, true },
	{ KEY_LEVEL, "--level", take_level, true },
	{ KEY_RING, "--ring", take_ring, true },
	{ KEY_FLIGHT, "--flight", take_flight, false },
	{ KEY_ATTACH, "--attach", take_attach, true },
	{ 'o', "-o", take_output, false },
	{ KEY_ELF, "--elf", take_elf, false },
	{ KEY_SKIP, "--skip", take_skip, true },
};

_Static_assert(WS_ARRAY_SIZE(values) <= 64, "given options are bits");

int ws_option_take(int key, const char *arg, struct ws_options *options, uint64_t *given,
		   struct ws_error *err)
{
	for (size_t i = 0; i < WS_ARRAY_SIZE(values); i++) {
		struct given g = {
			.name = values[i].name, .arg = arg, .options = options, .err = err
		};

		if (values[i].key != key)
			continue;
		if (!values[i].repeats && *given & 1ULL << i)
			return ws_option_refuse(err, "given more than once", g.name, NULL);
		*given |= 1ULL << i;
		return values[i].take(&g);
	}
	return ARGP_ERR_UNKNOWN;
}
