/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * names.h: what roles and databases are called, whose numbers are all that other structures have.
 *
 * The names are in the catalogs pg_authid and pg_database, of which each connection reads its own
 * rows: their pages are in the server's buffers (bufmgr.c, buf_internals.h; 10 to 18), unless the
 * catalog was rewritten (VACUUM FULL), which gives it another file number, or they were not needed
 * for long.
 */
#ifndef WS_SHMEM_NAMES_H
#define WS_SHMEM_NAMES_H

#include "shmem/shmem.h"

struct ws_catalog_name {
	bool database; /* else a role */
	bool doubtful; /* it has two names: one of them is not committed */
	uint32_t oid;
	char name[WS_NAME_LEN]; /* "": not found */
};

/* Fills the names. The server goes on meanwhile: of a page that changes a name may be missed. */
void ws_catalog_names_read(const struct ws_shmem *shmem, struct ws_catalog_name *names,
			   size_t count);

#endif
