/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * doctor.h: what `walscope doctor` found out, as data. cli/examine.c fills it, the formats print
 * it.
 */
#ifndef WS_EXPORT_DOCTOR_H
#define WS_EXPORT_DOCTOR_H

#include <sys/types.h>

#include "layout/layout.h"
#include "probe/attach.h"
#include "probe/plan.h"
#include "probe/privileges.h"
#include "symbol/resolve.h"

struct ws_problem {
	char what[512];
	char fix[256]; /* a command where there is one; "" if nothing is known to help */
};

struct ws_problem_list {
	struct ws_problem *items;
	size_t count, cap;
};
int ws_problem_add(struct ws_problem_list *list, const char *fix, const char *what, ...)
	__attribute__((format(printf, 3, 4)));
/* The same out of an error; `fix` is for one that has none of its own. */
int ws_problem_add_error(struct ws_problem_list *list, const struct ws_error *err, const char *fix);

/* A postmaster that runs a server binary. */
struct ws_doctor_process {
	uint32_t pid, ns_pid;
	char datadir[512];
};

/* A server binary. What could not be found out is empty, and a problem says why. */
struct ws_doctor_server {
	char file[512];
	dev_t dev; /* of a running one: two containers may each have their own under one path */
	ino_t ino;
	bool others;  /* another user runs one */
	bool deleted; /* the running binary is not in the file system any more */
	char version[WS_VERSION_TEXT];
	int major; /* 0: not known */
	char build_id[2 * WS_BUILD_ID_MAX + 1];
	const char *arch;
	bool stripped;
	struct ws_symbol_set symbols;
	struct ws_layout layout;
	struct ws_plan plan;
	struct ws_doctor_process *processes;
	size_t process_count, process_cap;
	struct ws_problem_list problems;
};

/* doctor --live: what a moment of real tracing showed. */
struct ws_doctor_live {
	bool ran;
	uint64_t seconds_ns;
	unsigned int servers;
	uint64_t attach_ns, detach_ns;
	uint64_t produced, lost;
	char **notes; /* of the collector: probes that never fired */
	size_t note_count, note_cap;
};

struct ws_doctor {
	bool ok; /* tracing would work here */
	struct ws_kernel_features kernel;
	struct ws_privileges privileges;
	struct ws_doctor_server *servers;
	size_t server_count, server_cap;
	struct ws_problem_list problems; /* of the machine, not of one server */
	bool live_asked;
	struct ws_doctor_live live;
};
void ws_doctor_deinit(struct ws_doctor *doctor);

#endif
