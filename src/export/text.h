/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * text.h: what the files of the text format share.
 */
#ifndef WS_EXPORT_TEXT_H
#define WS_EXPORT_TEXT_H

#include "base/util.h"
#include "export/export.h"

/* One view of the text format. `end` prints what was collected; `release` frees the state. */
struct ws_text_view {
	int (*begin)(struct ws_export *ex);
	int (*end)(struct ws_export *ex);
	void (*release)(struct ws_export *ex);
};
extern const struct ws_text_view ws_text_sessions;
extern const struct ws_text_view ws_text_history;
extern const struct ws_text_view ws_text_timeline;
extern const struct ws_text_view ws_text_hist;
extern const struct ws_text_view ws_text_trace;
extern const struct ws_text_view ws_text_explain;
extern const struct ws_text_view ws_text_show_view;

int ws_text_session_row(struct ws_export *ex, const struct ws_session *session);
int ws_text_command_row(struct ws_export *ex, const struct ws_session *session,
			const struct ws_command *command);
int ws_text_segment(struct ws_export *ex, const struct ws_session *session,
		    const struct ws_segment *segment);
int ws_text_hist_block(struct ws_export *ex, const struct ws_session *session,
		       enum ws_metric metric, const struct ws_hist *hist);
int ws_text_event(struct ws_export *ex, const struct ws_session *session, const struct ws_rec *rec);
int ws_text_doctor(struct ws_export *ex, const struct ws_doctor *doctor);
int ws_text_explained(struct ws_export *ex, const struct ws_explained *explained);
int ws_text_slots(struct ws_export *ex, const struct ws_slots_report *report);
int ws_text_show(struct ws_export *ex, const struct ws_show *show);
int ws_text_symbols(struct ws_export *ex, const struct ws_symbol_report *report);

/* "24 found (20 dynsym, 4 recovered), 5 inlined, 1 unknown; in 123 ms". */
int ws_text_put_symbol_counts(struct ws_buf *buf, const struct ws_symbol_set *set);
/* Local time of day, "?" if not known; for people. */
const char *ws_text_time(const struct ws_export *ex, uint64_t mono_ns, char out[WS_TIME_TEXT]);
/* "1234", or "1234 (56)" where the pid in the server's own namespace is another. */
#define WS_PID_TEXT 28
const char *ws_text_pid(const struct ws_session *session, char out[WS_PID_TEXT]);
/* "1234 physical standby1 from 192.0.2.1:5432, slot s1": the head of a block about one session. */
int ws_text_put_session(struct ws_buf *buf, const struct ws_export *ex,
			const struct ws_session *session);
/* "FATAL:  28P01: ..." as psql's VERBOSITY verbose has it, not escaped. */
int ws_text_put_report(struct ws_buf *buf, const struct ws_report *report);
/* The command, or in parentheses why there is none; not escaped. */
int ws_text_put_command(struct ws_buf *buf, const struct ws_command *command);
/* "replication_timeout (signal 9)"; with `sender` also who sent it; "running". */
int ws_text_put_exit(struct ws_buf *buf, const struct ws_screen *screen,
		     const struct ws_session *session, bool sender);
/* The states by share, largest first, a bar each. */
int ws_text_put_states(struct ws_buf *buf, const struct ws_screen *screen,
		       const uint64_t state_ns[WS_STATE_COUNT]);
/* Writes the buffer and empties it. */
int ws_text_flush(const struct ws_export *ex, struct ws_buf *buf);

#endif
