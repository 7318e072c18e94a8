/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * export.h: results on their way to a person or a program. One file per output format behind one
 * interface: rows go in, lines come out.
 *
 * Rows of one view only go into one exporter. Pointers in rows live during the call, except
 * sessions, which live until ws_export_end.
 */
#ifndef WS_EXPORT_EXPORT_H
#define WS_EXPORT_EXPORT_H

#include "diagnose/diagnose.h"
#include "export/doctor.h"
#include "export/screen.h"
#include "export/show.h"
#include "export/slots.h"
#include "export/symbols.h"
#include "session/model.h"

enum ws_view {
	WS_VIEW_SESSIONS = 0,
	WS_VIEW_HISTORY,
	WS_VIEW_TIMELINE,
	WS_VIEW_HIST,
	WS_VIEW_TRACE,
	WS_VIEW_DOCTOR,
	WS_VIEW_SYMBOLS,
	WS_VIEW_EXPLAIN,
	WS_VIEW_SLOTS,
	WS_VIEW_SHOW,
	WS_VIEW_COUNT,
};

/* What an exporter is told about its surroundings. */
struct ws_export_options {
	FILE *out;
	struct ws_screen screen;
	/* The span that is shown (monotonic): a window, or the whole recording. */
	uint64_t from_ns, to_ns;
	/* Wall clock of a monotonic time, 0 if not known. */
	int64_t (*wall_ns)(const void *arg, uint64_t mono_ns);
	const void *wall_arg;
	bool redacted; /* literals were taken out of the texts */
};

struct ws_export {
	enum ws_view view;
	const struct ws_format *format;
	struct ws_export_options opt;
	void *state; /* the format's own */
};

/*
 * A format. All functions return 0, or -1 when memory ran out or the output cannot be written. Any
 * may be NULL if the format has nothing to say there.
 */
struct ws_format {
	const char *name;
	int (*begin)(struct ws_export *ex);
	int (*session)(struct ws_export *ex, const struct ws_session *session);
	int (*command)(struct ws_export *ex, const struct ws_session *session,
		       const struct ws_command *command);
	int (*segment)(struct ws_export *ex, const struct ws_session *session,
		       const struct ws_segment *segment);
	int (*hist)(struct ws_export *ex, const struct ws_session *session, enum ws_metric metric,
		    const struct ws_hist *hist);
	/* `session` is NULL for records that belong to none. */
	int (*event)(struct ws_export *ex, const struct ws_session *session,
		     const struct ws_rec *rec);
	int (*doctor)(struct ws_export *ex, const struct ws_doctor *doctor);
	int (*symbols)(struct ws_export *ex, const struct ws_symbol_report *report);
	int (*explained)(struct ws_export *ex, const struct ws_explained *explained);
	/* Once per server. */
	int (*slots)(struct ws_export *ex, const struct ws_slots_report *report);
	int (*show)(struct ws_export *ex, const struct ws_show *show);
	/* After the last row. */
	int (*end)(struct ws_export *ex);
	/* Frees the state, also without an end. */
	void (*release)(struct ws_export *ex);
};

extern const struct ws_format ws_format_text;
extern const struct ws_format ws_format_json; /* JSON Lines, the contract of docs/man */

int ws_export_begin(struct ws_export *ex, const struct ws_format *format, enum ws_view view,
		    const struct ws_export_options *options);
/* As the functions of the format. */
int ws_export_session(struct ws_export *ex, const struct ws_session *session);
int ws_export_command(struct ws_export *ex, const struct ws_session *session,
		      const struct ws_command *command);
int ws_export_segment(struct ws_export *ex, const struct ws_session *session,
		      const struct ws_segment *segment);
int ws_export_hist(struct ws_export *ex, const struct ws_session *session, enum ws_metric metric,
		   const struct ws_hist *hist);
int ws_export_event(struct ws_export *ex, const struct ws_session *session,
		    const struct ws_rec *rec);
int ws_export_doctor(struct ws_export *ex, const struct ws_doctor *doctor);
int ws_export_symbols(struct ws_export *ex, const struct ws_symbol_report *report);
int ws_export_explained(struct ws_export *ex, const struct ws_explained *explained);
int ws_export_slots(struct ws_export *ex, const struct ws_slots_report *report);
int ws_export_show(struct ws_export *ex, const struct ws_show *show);
int ws_export_end(struct ws_export *ex);
void ws_export_release(struct ws_export *ex);

/* For the formats. */

/* -1 with errno set if something could not be written, now or before. (fwrite tells of what it put
 * into a buffer, also when there was no room and that could not be written out.) */
int ws_export_write(FILE *out, const void *data, size_t size);
int64_t ws_export_wall(const struct ws_export *ex, uint64_t mono_ns); /* 0: not known */
/* When a session began: its fork, else (if it was not running before) where its states begin; 0:
 * not known. How long it lasted, to the end of the span if it still runs. */
uint64_t ws_session_begin_ns(const struct ws_session *session);
uint64_t ws_session_duration_ns(const struct ws_session *session, uint64_t to_ns);
/* "192.0.2.1:5432", "[2001:db8::1]:5432", "[local]"; "" if not known. */
#define WS_CLIENT_TEXT (WS_HOST_LEN + 16)
const char *ws_client_format(const char *host, uint16_t port, char out[WS_CLIENT_TEXT]);
const char *ws_session_client(const struct ws_session *session, char out[WS_CLIENT_TEXT]);
/* "physical" or "database": what the client asked for. NULL: not known. */
const char *ws_session_replication(const struct ws_session *session);
/* A field that can be unreadable: NULL then. */
const char *ws_session_field(const struct ws_session *session, const char *text, uint32_t valid);
/* How long a command ran, to the end of the span if it still runs; false if that is not known. */
bool ws_command_duration(const struct ws_command *command, uint64_t to_ns, uint64_t *ns);

#endif
