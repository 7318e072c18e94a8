/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * examine.h: finds out what doctor prints. Attaches nothing.
 */
#ifndef WS_CLI_EXAMINE_H
#define WS_CLI_EXAMINE_H

#include "cli/options.h"
#include "export/doctor.h"

/* Fills the report; returns -1 only when memory ran out. What is wrong is in the report. Release it
 * with ws_doctor_deinit, also after a failure. */
int ws_examine(const struct ws_options *options, struct ws_doctor *doctor);

#endif
