/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * changed.h: is a sample worth a record? Pure.
 */
#ifndef WS_LIVE_CHANGED_H
#define WS_LIVE_CHANGED_H

#include <stdbool.h>

#include "wire.h"

/* As long as something is on its way, how long the peer has been silent is told so often. */
#define WS_SILENCE_NS 5000000000ULL

/* Differs `now` from `last`, which was told of, in more than ages and smoothed times? Both are of
 * the same session, and in full. */
bool ws_socket_changed(const struct ws_rec_socket *last, const struct ws_rec_socket *now);
bool ws_sample_changed(const struct ws_rec_sample *last, const struct ws_rec_sample *now);

#endif
