/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * parts.h: what the files of this folder share; nobody else includes it.
 *
 *   core.c     opens: whose it is, which server, names and layout
 *   facts.c    what memory says of the process
 *   array.c    the walsenders of its server, out of shared memory
 *   records.c  the records of a walsender
 *   places.c   the backtrace, with names
 */
#ifndef WS_CORE_PARTS_H
#define WS_CORE_PARTS_H

#include "core/core.h"
#include "core/dump.h"
#include "core/stop.h"
#include "layout/layout.h"
#include "probe/plan.h"
#include "probe/seed.h"
#include "probe/seed_view.h"
#include "shmem/shmem.h"
#include "shmem/slots.h"
#include "symbol/list.h"

struct ws_core_impl {
	const struct ws_core_options *options;
	struct ws_core_dump dump; /* of a file */
	struct ws_core_stop stop; /* of a running process, if it was stopped */
	bool stopped;
	const struct ws_memory *memory; /* NULL: of the running process */

	struct ws_process about;
	uint64_t base;
	char exe[512];
	int image_fd;
	struct ws_image *image;
	char version[WS_VERSION_TEXT];
	int major;
	struct ws_debug *debug;
	struct ws_symbol_set symbols;
	struct ws_layout layout;
	struct ws_plan plan; /* for its configuration */
	struct ws_shmem_variables variables;
	struct ws_shmem shmem;
	bool has_shmem, has_slots;
	struct ws_slot_list slots;

	struct ws_seed_view view; /* what one look showed */
	bool has_view;
	bool has_decoding;
	uint64_t decoding_lsn, decoding_start_lsn; /* end and start of the record read last */
	bool has_pending;
	uint64_t pending;
	char **texts; /* of the facts */
	size_t text_count, text_cap;
	struct ws_symbol_list names;
};

/* Of the process's memory. */
bool ws_core_read(const struct ws_core_impl *impl, uint64_t address, void *out, size_t size);
/* Where a variable of the server is in its file; 0: not known. */
uint64_t ws_core_address(const struct ws_core_impl *impl, const char *name);
/* A variable of the server by its name; false if it is not known, or not to be read. */
bool ws_core_variable(const struct ws_core_impl *impl, const char *name, void *out, size_t size);

/* All that memory tells; `impl` knows whose it is and of which server. ws_core_forget frees what
 * was told, but not what was known. */
int ws_core_tell(struct ws_core *core, struct ws_error *err);
void ws_core_forget(struct ws_core *core);

/* These return -1 when memory ran out. */
int ws_core_facts(struct ws_core *core);
int ws_core_array(struct ws_core *core);
int ws_core_records(struct ws_core *core);
int ws_core_places(struct ws_core *core, struct ws_error *err);

/* Where the process noted that it began, wall clock ns; 0: not known. */
int64_t ws_core_start_wall(const struct ws_core_impl *impl);
/* Of that the start of a dump's session (core.h); 0 of what is not known. */
uint64_t ws_core_to_tick(int64_t wall_ns);

/* From PostgreSQL's epoch, 2000-01-01, to Unix's, in us. */
#define WS_CORE_EPOCH_US 946684800000000LL

#endif
