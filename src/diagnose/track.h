/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * track.h: how tracks (evidence.h) are filled. For the files track*.c alone.
 */
#ifndef WS_DIAGNOSE_TRACK_H
#define WS_DIAGNOSE_TRACK_H

#include "diagnose/evidence.h"

/* Follows a value; true if it changed. */
bool ws_track_watch(const struct ws_diagnosis *d, struct ws_watch *w, uint64_t value,
		    uint64_t time_ns);
/* The value's last, 0 if it is not known. */
uint64_t ws_track_last(const struct ws_track *t, enum ws_watched which);

/* track_reply.c: of a turn that has a reply. */
void ws_feed_reply(struct ws_diagnosis *d, struct ws_track *t, const struct ws_rec_turn *r);
/* track_socket.c */
void ws_feed_socket(struct ws_diagnosis *d, struct ws_track *t, const struct ws_rec *rec);
void ws_feed_sample(struct ws_diagnosis *d, struct ws_track *t, const struct ws_rec *rec);
/* track_command.c: `ended`: it ended in the window. */
void ws_take_command(struct ws_track *t, const struct ws_command *c, bool ended);
void ws_take_error(struct ws_track *t, const struct ws_command *c);

#endif
