/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cli.h: the command line. One file per command, a table of commands, common options.
 */
#ifndef WS_CLI_CLI_H
#define WS_CLI_CLI_H

#include "base/error.h"
#include "cli/options.h"

/*
 * A command. `run` returns its exit status; if it fails, it fills err, which is printed once, as
 * one line. An error whose errnum is EPIPE is not printed: the reader of the output has gone away.
 */
struct ws_verb {
	const char *name;
	const char *operands; /* "[FILE]", NULL for none */
	const char *summary;  /* a line of `walscope --help` */
	const char *help;     /* of `walscope COMMAND --help`, behind the options */
	unsigned int groups;  /* enum ws_option_group */
	enum ws_exit (*run)(const struct ws_options *options, struct ws_error *err);
};
const struct ws_verb *ws_verbs(size_t *count);

/* Parses, dispatches, reports; returns the exit status of the program. */
int ws_cli_main(int argc, char **argv);

/* The commands. */
enum ws_exit ws_cmd_doctor(const struct ws_options *options, struct ws_error *err);
enum ws_exit ws_cmd_symbols(const struct ws_options *options, struct ws_error *err);
enum ws_exit ws_cmd_slots(const struct ws_options *options, struct ws_error *err);
enum ws_exit ws_cmd_record(const struct ws_options *options, struct ws_error *err);
enum ws_exit ws_cmd_freeze(const struct ws_options *options, struct ws_error *err);
enum ws_exit ws_cmd_trace(const struct ws_options *options, struct ws_error *err);
enum ws_exit ws_cmd_sessions(const struct ws_options *options, struct ws_error *err);
enum ws_exit ws_cmd_history(const struct ws_options *options, struct ws_error *err);
enum ws_exit ws_cmd_timeline(const struct ws_options *options, struct ws_error *err);
enum ws_exit ws_cmd_hist(const struct ws_options *options, struct ws_error *err);
enum ws_exit ws_cmd_explain(const struct ws_options *options, struct ws_error *err);
enum ws_exit ws_cmd_import(const struct ws_options *options, struct ws_error *err);
enum ws_exit ws_cmd_show(const struct ws_options *options, struct ws_error *err);
enum ws_exit ws_cmd_core(const struct ws_options *options, struct ws_error *err);

#endif
