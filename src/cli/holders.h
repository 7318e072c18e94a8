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

#endif
