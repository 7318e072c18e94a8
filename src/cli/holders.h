/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * holders.h: who the process is that holds a slot, read from its title and memory.
 */
#ifndef WS_CLI_HOLDERS_H
#define WS_CLI_HOLDERS_H

#include "export/slots.h"

/* Fills the row's holder and the name of the slot's database, as far as they are known. */
void ws_holder_find(const struct ws_shmem *shmem, const struct ws_proc *proc,
		    const struct ws_postmaster *postmaster, struct ws_slot_row *row);

/* Of a server binary, to find what a walsender decodes: addresses in the file. */
struct ws_decoding_binary {
	uint64_t my_replication_slot;  /* 0: not known */
	uint64_t data_start, data_end; /* its writable part */
};
/* Behind it, of a logical slot that a walsender streams from: whose transaction the oldest one is
 * that it holds, which the slot's restart_lsn does not pass. */
void ws_holder_find_oldest(const struct ws_shmem *shmem, const struct ws_postmaster *postmaster,
			   const struct ws_decoding_binary *binary, struct ws_slot_row *row);

#endif
