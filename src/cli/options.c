/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/options.h"

#include <argp.h>
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "cli/cli.h"
#include "cli/option_values.h"
#include "symbol/debug.h"

#define LEVEL_DEFAULT 2

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
	uint64_t given; /* options with a value: which were */
	bool help;
};

static int usage(const struct parse *p, const char *why, const char *name, const char *value)
{
	return ws_option_refuse(p->err, why, name, value);
}

static bool has_group(const struct ws_verb *verb, const struct group *group)
{
	return !group->bit || (verb->groups & group->bit);
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

static error_t take_operand(struct parse *p, const struct argp_state *state, const char *arg)
{
	struct ws_options *o = p->options;

	if (!arg[0])
		return usage(p, "empty", "FILE", NULL);
	/* Operands come behind all options, one after the other. */
	if (!o->file_count++) {
		o->files = (const char *const *)state->argv + state->next - 1;
		o->file = arg;
	}
	return 0;
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
		if (p->options->file && !(p->verb->groups & WS_GROUP_IMPORT))
			return usage(p, "more than one FILE", arg, NULL);
		return take_operand(p, state, arg);
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
		return arg ? ws_option_take(key, arg, p->options, &p->given, p->err)
			   : ARGP_ERR_UNKNOWN;
	}
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
		ws_option_refuse(err, strerror(rc), verb->name, NULL);
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
