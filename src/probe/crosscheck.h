/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * crosscheck.h: does a layout fit a server that runs? Reads what its processes hold through it, and
 * asks plausible.h of each value. Nothing that is not there to be read speaks against a layout.
 */
#ifndef WS_PROBE_CROSSCHECK_H
#define WS_PROBE_CROSSCHECK_H

#include "config.h"
#include "layout/layout.h"
#include "probe/plausible.h"
#include "target/proc.h"

/* A server as it was found, and what is to be held against it. */
struct ws_crosscheck {
	const struct ws_proc *proc;
	const struct ws_postmaster *postmaster;
	const struct ws_server_config *config;
	/* Addresses in the file, 0: not known. */
	uint64_t slot_ctl;	  /* ReplicationSlotCtl */
	uint64_t max_slots;	  /* max_replication_slots */
	uint64_t wal_snd_ctl;	  /* WalSndCtl */
	uint64_t max_wal_senders; /* max_wal_senders */
};

/* A value that no healthy server has. */
struct ws_misfit {
	enum ws_check check;
	uint32_t pid;		  /* in whose memory */
	uint64_t address;	  /* where it was read, 0: not known */
	char text[WS_CHECK_TEXT]; /* "MyProcPort->user_name is ..., not ..." */
};

/*
 * Looks at the postmaster, at its children (at most 200 of them), and at the arrays of walsenders
 * and of replication slots.
 * What does not fit is read again for a quarter of a second, and only counts if it never did while
 * the process went on. Returns true and fills *misfit if the layout or the addresses are of another
 * server.
 */
bool ws_crosscheck(const struct ws_crosscheck *c, struct ws_misfit *misfit);

/* What the build is, for whoever is told. */
struct ws_misfit_server {
	const char *file, *build_id;
	enum ws_layout_source source;
	int major;
};
/* "cannot trace: FILE (pid N at ADDRESS): FIELD is VALUE, not WANTED: ...; what to do" */
void ws_misfit_error(const struct ws_misfit *misfit, const struct ws_misfit_server *server,
		     const char *what, struct ws_error *err);

#endif
