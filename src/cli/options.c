/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/options.h"

#include <argp.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "cli/cli.h"
#include "symbol/debug.h"
#include "trace/flight.h"

#define PID_MAX	      4194304 /* PID_MAX_LIMIT, linux/threads.h */
#define DURATION_MAX  (365ULL * 86400 * 1000000000)
#define LEVEL_DEFAULT 2
#define RING_MIN      4096ULL
#define RING_MAX      (1ULL << 30)
#define SIZE_LIMIT    (1ULL << 60)
#define AGE_MAX	      (10 * DURATION_MAX)

enum {
	KEY_PID = 0x100,
	KEY_POSTMASTER,
	KEY_POSTGRES,
	KEY_APP,
	KEY_SLOT,
	KEY_KIND,
	KEY_SESSION,
	KEY_FROM,
	KEY_TO,
	KEY_AROUND,
	KEY_FORMAT,
	KEY_TIMEZONE,
	KEY_LIVE,
	KEY_DURATION,
	KEY_LEVEL,
	KEY_RING,
	KEY_ATTACH,
	KEY_JSON,
	KEY_REDACT,
	KEY_ELF,
	KEY_NO_DEBUG_INFO,
	KEY_SKIP,
	KEY_ALL,
	KEY_FLIGHT,
	KEY_LAST,
	KEY_BACKTRACE,
};

#define OPTION(long_name, its_key, its_arg, its_doc)                              \
	{                                                                         \
		.name = long_name, .key = its_key, .arg = its_arg, .doc = its_doc \
	}

static const struct argp_option filter_options[] = {
	{ .doc = "Which sessions (all given must hold; none: all of this host):" },
	OPTION("pid", KEY_PID, "PID", "The walsender with this process id"),
	OPTION("postmaster", KEY_POSTMASTER, "PID|DATADIR", "Walsenders of this server"),
	OPTION("postgres", KEY_POSTGRES, "FILE", "Walsenders that run this server binary"),
	OPTION("app", KEY_APP, "NAME", "Sessions with this application_name"),
	OPTION("slot", KEY_SLOT, "NAME", "Sessions that use this replication slot"),
	OPTION("kind", KEY_KIND, "KIND", "physical, logical, backup or sql"),
	{ 0 },
};
static const struct argp_option replay_options[] = {
	OPTION("session", KEY_SESSION, "ID", "The session with this id, PID.STARTTICKS"),
	OPTION("from", KEY_FROM, "TIME",
	       "What happened from then on: RFC 3339, or -10m: that "
	       "long before the recording's end"),
	OPTION("to", KEY_TO, "TIME", "What happened before"),
	{ 0 },
};
static const struct argp_option moment_options[] = {
	OPTION("around", KEY_AROUND, "TIME",
	       "The neighbourhood of this moment: RFC 3339, or -10m; 10 s on either side, unless "
	       "--from and --to say otherwise"),
	{ 0 },
};
static const struct argp_option import_options[] = {
	OPTION("format", KEY_FORMAT, "FORMAT",
	       "What it is: auto (by its content), events, csvlog or jsonlog"),
	OPTION("timezone", KEY_TIMEZONE, "ZONE",
	       "Of the times in a log that name a zone other than UTC and GMT (Europe/Vienna, "
	       "+02:00); without it the system's"),
	{ 0 },
};
static const struct argp_option slots_options[] = {
	{ .doc = "Which slots (all given must hold; none: all of this host):" },
	OPTION("postmaster", KEY_POSTMASTER, "PID|DATADIR", "Those of this server"),
	OPTION("postgres", KEY_POSTGRES, "FILE", "Those of servers that run this server binary"),
	OPTION("slot", KEY_SLOT, "NAME", "The slot of this name"),
	{ 0 },
};
static const struct argp_option server_options[] = {
	OPTION("pid", KEY_PID, "PID", "Check the server that this process belongs to"),
	OPTION("postgres", KEY_POSTGRES, "FILE", "Check this server binary"),
	{ 0 },
};
static const struct argp_option live_options[] = {
	OPTION("live", KEY_LIVE, NULL, "Trace the servers of this host now"),
	{ 0 },
};
static const struct argp_option tracing_options[] = {
	OPTION("duration", KEY_DURATION, "S", "Trace for so long (10, 500ms, 1.5m, 2h)"),
	OPTION("level", KEY_LEVEL, "N",
	       "1: sessions, commands, states, errors; 2 (default): also stages of the send loop, "
	       "waits, replies; 3: also each message, WAL read and wait for a CPU"),
	OPTION("ring", KEY_RING, "SIZE",
	       "The ring buffer between kernel and walscope: a power of two from 4k to 1G (16M)"),
	OPTION("attach", KEY_ATTACH, "HOW",
	       "How probes hang on the kernel: auto (the best there is), uprobe_multi or perf"),
	{ 0 },
};
static const struct argp_option redact_options[] = {
	OPTION("redact", KEY_REDACT, NULL,
	       "Take literals and comments out of commands and messages before they are recorded "
	       "or printed"),
	{ 0 },
};
static const struct argp_option json_options[] = {
	OPTION("json", KEY_JSON, NULL, "One JSON object per line"),
	{ 0 },
};
static const struct argp_option output_options[] = {
	OPTION("output", 'o', "FILE|DIR", "The recording to write (needed)"),
	{ 0 },
};
static const struct argp_option flight_options[] = {
	OPTION("flight", KEY_FLIGHT, "SIZE[,AGE]",
	       "Keep at most so many bytes (1M at least), and nothing older than AGE (24h), in a "
	       "directory"),
	{ 0 },
};
static const struct argp_option piece_options[] = {
	OPTION("last", KEY_LAST, "T", "What happened in so long a time before the end (10m)"),
	OPTION("from", KEY_FROM, "TIME",
	       "What happened from then on: RFC 3339, or -10m: that long before the end"),
	OPTION("to", KEY_TO, "TIME", "What happened before"),
	{ 0 },
};
static const struct argp_option binary_options[] = {
	OPTION("all", KEY_ALL, NULL,
	       "All that is known in the binary, not only what walscope wants"),
	OPTION("elf", KEY_ELF, "OUT", "Write a symbol file for gdb, perf and bpftrace"),
	OPTION("no-debug-info", KEY_NO_DEBUG_INFO, NULL,
	       "Neither debug information nor .symtab: as on a stripped server"),
	OPTION("skip", KEY_SKIP, "STEP[,STEP]",
	       "Leave out steps: dynsym, symtab, dwarf, build-id, debuglink, altlink, "
	       "minidebuginfo, "
	       "debuginfod, recovery"),
	{ 0 },
};
static const struct argp_option core_options[] = {
	OPTION("postgres", KEY_POSTGRES, "FILE",
	       "The server's executable, as it ran (default: the one the core names, if it is "
	       "here)"),
	OPTION("pid", KEY_PID, "PID", "This running process instead of a core; it is not stopped"),
	OPTION("backtrace", KEY_BACKTRACE, NULL,
	       "With --pid: stop it for a moment, well under a millisecond as a rule, for a "
	       "backtrace"),
	OPTION("output", 'o', "FILE", "Write a recording instead of printing"),
	{ 0 },
};
static const struct argp_option common_options[] = {
	OPTION("verbose", 'v', NULL, "Say more, shorten nothing; twice: say what was tried"),
	OPTION("quiet", 'q', NULL, "Say nothing but warnings and errors"),
	OPTION("help", 'h', NULL, "This help"),
	{ 0 },
};

static const struct group {
	unsigned int bit; /* 0: every command */
	const struct argp_option *options;
} groups[] = {
	{ WS_GROUP_OUTPUT, output_options },   { WS_GROUP_FLIGHT, flight_options },
	{ WS_GROUP_PIECE, piece_options },     { WS_GROUP_SERVER, server_options },
	{ WS_GROUP_SLOTS, slots_options },     { WS_GROUP_FILTER, filter_options },
	{ WS_GROUP_REPLAY, replay_options },   { WS_GROUP_MOMENT, moment_options },
	{ WS_GROUP_IMPORT, import_options },   { WS_GROUP_LIVE, live_options },
	{ WS_GROUP_TRACING, tracing_options }, { WS_GROUP_REDACT, redact_options },
	{ WS_GROUP_BINARY, binary_options },   { WS_GROUP_CORE, core_options },
	{ WS_GROUP_JSON, json_options },       { 0, common_options },
};
#define GROUP_COUNT WS_ARRAY_SIZE(groups)

struct parse {
	const struct ws_verb *verb;
	struct ws_options *options;
	struct ws_error *err;
	unsigned int once; /* of the options that may be given once, which were */
	bool help;
};

static const char usage_what[] = "usage";

static int usage(const struct parse *p, const char *why, const char *name, const char *value)
{
	if (value)
		ws_error_set(p->err, usage_what, NULL, "%s %s: %s", name, value, why);
	else
		ws_error_set(p->err, usage_what, NULL, "%s: %s", name, why);
	return EINVAL;
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

static error_t parse_pid(const struct parse *p, const char *name, const char *arg, uint32_t *pid)
{
	unsigned long value;

	if (!parse_number(arg, 1, PID_MAX, &value))
		return usage(p, "not a process id (1 to 4194304)", name, arg);
	*pid = (uint32_t)value;
	return 0;
}

static error_t parse_postmaster(const struct parse *p, const char *arg)
{
	if (isdigit((unsigned char)arg[0]))
		return parse_pid(p, "--postmaster", arg, &p->options->filter.postmaster_pid);
	if (arg[0] != '/')
		return usage(p, "neither a process id nor an absolute data directory",
			     "--postmaster", arg);
	p->options->filter.datadir = arg;
	return 0;
}

static error_t parse_kind(const struct parse *p, const char *arg)
{
	for (int kind = WS_SESSION_KIND_PHYSICAL; kind <= WS_SESSION_KIND_SQL; kind++) {
		if (strcmp(arg, ws_session_kind_name((enum ws_session_kind)kind)) == 0) {
			p->options->filter.kind = (enum ws_session_kind)kind;
			return 0;
		}
	}
	return usage(p, "not one of physical, logical, backup, sql", "--kind", arg);
}

static error_t parse_duration(const struct parse *p, const char *arg)
{
	uint64_t ns;

	if (!ws_duration_parse(arg, &ns) || ns == 0 || ns > DURATION_MAX)
		return usage(p, "not a duration between 1 ns and 365 d (10, 500ms, 1.5m, 2h)",
			     "--duration", arg);
	p->options->duration_ns = ns;
	return 0;
}

static error_t parse_level(const struct parse *p, const char *arg)
{
	unsigned long value;

	if (!parse_number(arg, 1, 3, &value))
		return usage(p, "not a level from 1 to 3", "--level", arg);
	p->options->level = (int)value;
	p->options->level_given = true;
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

/* SIZE[,AGE] */
static error_t parse_flight(const struct parse *p, const char *arg)
{
	size_t len = strcspn(arg, ",");
	uint64_t age = 0;

	p->options->flight_bytes = parse_size(arg, len);
	if (p->options->flight_bytes < WS_FLIGHT_SIZE_MIN)
		return usage(p, "not a size of 1M or more (64M, 2G)", "--flight", arg);
	if (arg[len] &&
	    (!ws_duration_parse(arg + len + 1, &age) || age < WS_FLIGHT_AGE_MIN || age > AGE_MAX))
		return usage(p, "the age is not a duration from 1s to 10 years (30m, 24h)",
			     "--flight", arg);
	p->options->flight_age_ns = age;
	return 0;
}

static error_t parse_last(const struct parse *p, const char *arg)
{
	struct ws_when *from = &p->options->from;

	if (from->kind)
		return usage(p, "not together with --from", "--last", NULL);
	if (!ws_duration_parse(arg, &from->before_end_ns) || !from->before_end_ns)
		return usage(p, "not a duration (10, 500ms, 1.5m, 2h)", "--last", arg);
	from->kind = WS_WHEN_BEFORE_END;
	from->text = arg;
	return 0;
}

/* The kernel wants a power of two; more than 1 GiB it does not give. */
static error_t parse_ring(const struct parse *p, const char *arg)
{
	uint64_t size = parse_size(arg, strlen(arg));

	if (size < RING_MIN || size > RING_MAX || size & (size - 1))
		return usage(p, "not a power of two from 4k to 1G (64k, 16M)", "--ring", arg);
	p->options->ring_bytes = size;
	return 0;
}

static error_t parse_format(const struct parse *p, const char *arg)
{
	for (int format = WS_IMPORT_AUTO; format < WS_IMPORT_FORMAT_COUNT; format++) {
		if (strcmp(arg, ws_import_format_name((enum ws_import_format)format)) == 0) {
			p->options->format = (enum ws_import_format)format;
			return 0;
		}
	}
	return usage(p, "not one of auto, events, csvlog, jsonlog", "--format", arg);
}

static error_t parse_attach(const struct parse *p, const char *arg)
{
	static const char *const names[] = {
		[WS_ATTACH_AUTO] = "auto",
		[WS_ATTACH_UPROBE_MULTI] = "uprobe_multi",
		[WS_ATTACH_PERF] = "perf",
	};

	for (size_t i = 0; i < WS_ARRAY_SIZE(names); i++) {
		if (strcmp(arg, names[i]) == 0) {
			p->options->attach = (enum ws_attach_method)i;
			return 0;
		}
	}
	return usage(p, "not one of auto, uprobe_multi, perf", "--attach", arg);
}

static error_t parse_when(const struct parse *p, const char *name, const char *arg,
			  struct ws_when *when)
{
	when->text = arg;
	if (arg[0] == '-' && ws_duration_parse(arg + 1, &when->before_end_ns)) {
		when->kind = WS_WHEN_BEFORE_END;
		return 0;
	}
	if (!ws_time_parse(arg, &when->wall_ns))
		return usage(p, "neither RFC 3339 (2026-11-21T02:06:18+00:00) nor relative (-10m)",
			     name, arg);
	when->kind = WS_WHEN_WALL;
	return 0;
}

static error_t parse_text(const struct parse *p, const char *name, const char *arg,
			  const char **text)
{
	if (!arg[0])
		return usage(p, "empty", name, NULL);
	*text = arg;
	return 0;
}

static const struct argp_option *find_option(const struct ws_verb *verb, const char *word,
					     size_t len, bool exact, int *found);

/* Why argp could not make sense of a word; argp itself would print two lines and not say which. */
static error_t explain(const struct parse *p, const struct argp_state *state)
{
	const char *word = state->next > 0 ? state->argv[state->next - 1] : "";
	const struct argp_option *option;
	size_t len;
	int found = 0;

	if (word[0] != '-' && state->next < state->argc)
		word = state->argv[state->next];
	if (strncmp(word, "--", 2) != 0)
		return usage(p, "unknown option, or its argument is missing", word, NULL);
	len = strcspn(word + 2, "=");
	option = find_option(p->verb, word + 2, len, true, &found);
	if (!option)
		option = find_option(p->verb, word + 2, len, false, &found);
	if (found == 0)
		return usage(p, "unknown option", word, NULL);
	if (found > 1)
		return usage(p, "could be more than one option", word, NULL);
	return usage(p, option->arg ? "needs an argument" : "takes no argument", word, NULL);
}

static error_t parse_skip(const struct parse *p, const char *arg)
{
	const char *name = arg;
	enum ws_step step;

	do {
		size_t len = strcspn(name, ",");

		if (!ws_step_parse(name, len, &step))
			return usage(
				p,
				"not a list of steps (dynsym, symtab, dwarf, build-id, debuglink, "
				"altlink, minidebuginfo, debuginfod, recovery)",
				"--skip", arg);
		p->options->skip |= WS_STEP_BIT(step);
		name += len;
	} while (*name++ == ',');
	return 0;
}

/* PID.STARTTICKS, as views print it: a pid alone would match nothing, in silence. */
static error_t parse_session(const struct parse *p, const char *arg)
{
	size_t pid = strspn(arg, "0123456789");
	size_t ticks = arg[pid] == '.' ? strspn(arg + pid + 1, "0123456789") : 0;

	if (!pid || !ticks || arg[pid + 1 + ticks])
		return usage(p, "not a session's id (PID.STARTTICKS, as --json prints it)",
			     "--session", arg);
	p->options->filter.session = arg;
	return 0;
}

/* Filters must all hold: of two values the last one alone would be as wrong as the first. */
static error_t check_once(struct parse *p, int key)
{
	static const struct {
		int key;
		const char *name;
	} once[] = {
		{ KEY_PID, "--pid" },
		{ KEY_POSTMASTER, "--postmaster" },
		{ KEY_APP, "--app" },
		{ KEY_POSTGRES, "--postgres" },
		{ KEY_SLOT, "--slot" },
		{ KEY_KIND, "--kind" },
		{ KEY_FROM, "--from" },
		{ KEY_TO, "--to" },
		{ 'o', "-o" },
		{ KEY_SESSION, "--session" },
		{ KEY_ELF, "--elf" },
		{ KEY_AROUND, "--around" },
		{ KEY_FORMAT, "--format" },
		{ KEY_TIMEZONE, "--timezone" },
		{ KEY_FLIGHT, "--flight" },
		{ KEY_LAST, "--last" },
	};

	for (size_t i = 0; i < WS_ARRAY_SIZE(once); i++) {
		if (once[i].key != key)
			continue;
		if (p->once & 1u << i)
			return usage(p, "given more than once", once[i].name, NULL);
		p->once |= 1u << i;
	}
	return 0;
}

static error_t parse_value(struct parse *p, int key, const char *arg)
{
	struct ws_options *o = p->options;
	error_t rc = check_once(p, key);

	if (rc)
		return rc;
	switch (key) {
	case KEY_PID:
		return parse_pid(p, "--pid", arg, &o->filter.pid);
	case KEY_POSTMASTER:
		return parse_postmaster(p, arg);
	case KEY_POSTGRES:
		return parse_text(p, "--postgres", arg, &o->filter.postgres);
	case KEY_APP:
		o->filter.app = arg; /* may be empty */
		return 0;
	case KEY_SLOT:
		return parse_text(p, "--slot", arg, &o->filter.slot);
	case KEY_KIND:
		return parse_kind(p, arg);
	case KEY_SESSION:
		return parse_session(p, arg);
	case KEY_FROM:
		if (o->from.kind)
			return usage(p, "not together with --last", "--from", NULL);
		return parse_when(p, "--from", arg, &o->from);
	case KEY_TO:
		return parse_when(p, "--to", arg, &o->to);
	case KEY_FORMAT:
		return parse_format(p, arg);
	case KEY_TIMEZONE:
		return parse_text(p, "--timezone", arg, &o->timezone);
	case KEY_AROUND:
		return parse_when(p, "--around", arg, &o->around);
	case KEY_DURATION:
		return parse_duration(p, arg);
	case KEY_LEVEL:
		return parse_level(p, arg);
	case KEY_RING:
		return parse_ring(p, arg);
	case KEY_ATTACH:
		return parse_attach(p, arg);
	case KEY_FLIGHT:
		return parse_flight(p, arg);
	case KEY_LAST:
		return parse_last(p, arg);
	case 'o':
		return parse_text(p, "-o", arg, &o->output);
	case KEY_ELF:
		return parse_text(p, "--elf", arg, &o->elf);
	case KEY_SKIP:
		return parse_skip(p, arg);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* Only the root parser is asked about operands and errors, so that they are seen once. */
static error_t parse_root(int key, char *arg, struct argp_state *state)
{
	struct parse *p = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		for (size_t i = 0; i < GROUP_COUNT; i++)
			if (state->root_argp->children[i].argp)
				state->child_inputs[i] = p;
		return 0;
	case ARGP_KEY_ARG:
		if (!(p->verb->groups & (WS_GROUP_FILE | WS_GROUP_BINARY | WS_GROUP_IMPORT |
					 WS_GROUP_PIECE | WS_GROUP_CORE)))
			return usage(p, "takes no operand", arg, NULL);
		if (p->options->file)
			return usage(p, "more than one FILE", arg, NULL);
		return parse_text(p, "FILE", arg, &p->options->file);
	case ARGP_KEY_ERROR:
		if (!p->err->what[0] && !p->help)
			explain(p, state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static error_t parse_group(int key, char *arg, struct argp_state *state)
{
	struct parse *p = state->input;

	switch (key) {
	case KEY_LIVE:
		p->options->live = true;
		return 0;
	case KEY_JSON:
		p->options->json = true;
		return 0;
	case KEY_REDACT:
		p->options->redact = true;
		return 0;
	case KEY_NO_DEBUG_INFO:
		p->options->skip |= WS_STEPS_DEBUG_INFO;
		return 0;
	case KEY_ALL:
		p->options->all = true;
		return 0;
	case KEY_BACKTRACE:
		p->options->backtrace = true;
		return 0;
	case 'v':
		p->options->verbose++;
		return 0;
	case 'q':
		p->options->quiet = true;
		return 0;
	case 'h':
		p->help = true;
		return ECANCELED;
	default:
		return arg ? parse_value(p, key, arg) : ARGP_ERR_UNKNOWN;
	}
}

static bool has_group(const struct ws_verb *verb, const struct group *group)
{
	return !group->bit || (verb->groups & group->bit);
}

/* The argp of a command, in storage of the caller. */
struct built {
	struct argp parts[GROUP_COUNT];
	struct argp_child children[GROUP_COUNT + 1];
	struct argp root;
};

static void build(const struct ws_verb *verb, struct built *b)
{
	size_t n = 0;

	*b = (struct built){ 0 };
	for (size_t i = 0; i < GROUP_COUNT; i++) {
		if (!has_group(verb, &groups[i]))
			continue;
		b->parts[n] = (struct argp){ .options = groups[i].options, .parser = parse_group };
		b->children[n].argp = &b->parts[n];
		n++;
	}
	b->root = (struct argp){ .parser = parse_root,
				 .args_doc = verb->operands,
				 .doc = verb->help,
				 .children = b->children };
}

void ws_options_each(const struct ws_verb *verb,
		     void (*fn)(void *arg, const char *name, int letter), void *arg)
{
	for (size_t i = 0; i < GROUP_COUNT; i++) {
		if (!has_group(verb, &groups[i]))
			continue;
		for (const struct argp_option *o = groups[i].options; o->name || o->doc; o++)
			if (o->name)
				fn(arg, o->name, o->key < 0x80 ? o->key : 0);
	}
}

/* The option of that name (or that begins so); *found counts how many there are. */
static const struct argp_option *find_option(const struct ws_verb *verb, const char *word,
					     size_t len, bool exact, int *found)
{
	const struct argp_option *option = NULL;

	*found = 0;
	for (size_t i = 0; i < GROUP_COUNT; i++) {
		if (!has_group(verb, &groups[i]))
			continue;
		for (const struct argp_option *o = groups[i].options; o->name || o->doc; o++) {
			if (!o->name || strncmp(o->name, word, len) != 0 || (exact && o->name[len]))
				continue;
			option = o;
			(*found)++;
		}
	}
	return option;
}

static int check_core(const struct parse *p)
{
	const struct ws_options *o = p->options;

	if (!o->file && !o->filter.pid)
		return usage(p, "missing: a core dump (or --pid PID)", "CORE", NULL);
	if (o->file && o->filter.pid)
		return usage(p, "not together with a CORE", "--pid", NULL);
	if (o->filter.pid && o->filter.postgres)
		return usage(p, "not together with --postgres", "--pid", NULL);
	if (o->file && o->backtrace)
		return usage(p, "only with --pid: of a core it is always told", "--backtrace",
			     NULL);
	if (o->output && o->json)
		return usage(p, "not together with -o", "--json", NULL);
	return 0;
}

/* What must not stand together, or needs another option. */
static int check(const struct parse *p)
{
	const struct ws_options *o = p->options;
	unsigned int g = p->verb->groups;
	bool optional_live = g & (WS_GROUP_FILE | WS_GROUP_SERVER);
	bool replayed = o->filter.session || o->from.kind || o->to.kind;

	if (o->quiet && o->verbose)
		return usage(p, "not together with -v", "-q", NULL);
	if (o->file && o->live)
		return usage(p, "not together with a FILE", "--live", NULL);
	if ((g & WS_GROUP_OUTPUT) && !o->output)
		return usage(p, "missing: where shall the recording go?", "-o FILE", NULL);
	if ((g & WS_GROUP_PIECE) && !o->file)
		return usage(p, "missing: the directory of a flight recorder", "DIR", NULL);
	if ((g & WS_GROUP_BINARY) && !o->file)
		return usage(p, "missing: a server binary, as /usr/lib/postgresql/15/bin/postgres",
			     "FILE", NULL);
	if ((g & WS_GROUP_IMPORT) && !o->file)
		return usage(p,
			     "missing: what walscope trace --json wrote, a csvlog or a jsonlog (-: "
			     "standard input)",
			     "FILE", NULL);
	if (g & WS_GROUP_CORE)
		return check_core(p);
	if ((g & WS_GROUP_FILE) && !o->file && !o->live && !(g & WS_GROUP_DEFAULT_LIVE))
		return usage(p, "missing (or --live)", "FILE", NULL);
	if (optional_live && !o->live && (o->file || !(g & WS_GROUP_DEFAULT_LIVE))) {
		if (o->duration_ns)
			return usage(p, "only when tracing (--live)", "--duration", NULL);
		if (o->level_given && !(g & WS_GROUP_SERVER))
			return usage(p, "only when tracing (--live)", "--level", NULL);
		if (o->ring_bytes)
			return usage(p, "only when tracing (--live)", "--ring", NULL);
		if (o->attach)
			return usage(p, "only when tracing (--live)", "--attach", NULL);
		if (o->redact)
			return usage(p, "only when tracing (--live)", "--redact", NULL);
	}
	if (replayed && !o->file && (g & WS_GROUP_DEFAULT_LIVE))
		return usage(p, "only on a recording (FILE)", "--session, --from and --to", NULL);
	if ((g & WS_GROUP_SERVER) && o->filter.pid && o->filter.postgres)
		return usage(p, "not together with --postgres", "--pid", NULL);
	return 0;
}

static void set_log(struct ws_options *o)
{
	o->log.fn = ws_log_stderr;
	o->log.level = o->quiet		? WS_LOG_WARN
		       : o->verbose > 1 ? WS_LOG_DEBUG
		       : o->verbose	? WS_LOG_INFO
					: WS_LOG_NOTE;
}

int ws_options_parse(const struct ws_verb *verb, int argc, char **argv, struct ws_options *options,
		     struct ws_error *err)
{
	struct parse p = { .verb = verb, .options = options, .err = err };
	struct built built;
	error_t rc;

	*options = (struct ws_options){ .level = LEVEL_DEFAULT };
	*err = (struct ws_error){ 0 };
	build(verb, &built);
	rc = argp_parse(&built.root, argc, argv, ARGP_NO_ERRS | ARGP_NO_HELP | ARGP_NO_EXIT, NULL,
			&p);
	if (p.help)
		return 1;
	if (rc == 0)
		rc = check(&p);
	if (rc == 0) {
		if ((verb->groups & WS_GROUP_DEFAULT_LIVE) && !options->file)
			options->live = true;
		set_log(options);
		return 0;
	}
	if (!err->what[0])
		ws_error_set(err, usage_what, NULL, "%s", strerror(rc));
	ws_error_fix(err, "see walscope %s --help", verb->name);
	return -1;
}

void ws_options_help(const struct ws_verb *verb, FILE *out)
{
	char name[64];
	struct built built;

	snprintf(name, sizeof(name), "walscope %s", verb->name);
	build(verb, &built);
	argp_help(&built.root, out, ARGP_HELP_USAGE | ARGP_HELP_DOC | ARGP_HELP_LONG, name);
}
