/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log_parts.h: what log_story.c, log_server.c and log_records.c share; nobody else includes it.
 */
#ifndef WS_IMPORT_LOG_PARTS_H
#define WS_IMPORT_LOG_PARTS_H

#include "import/log.h"

#define WS_LOG_ID_LEN 40 /* of a session_id, "5f3a1b2c.1a2b" */

/* A session of the log; of a backend that is no walsender only while that is not known. */
struct ws_logged {
	char id[WS_LOG_ID_LEN];
	uint32_t pid, postmaster_pid;
	uint64_t start_ns;	    /* of the process, to a second */
	uint64_t first_ns, last_ns; /* of its entries */
	uint32_t seq;
	bool from_start; /* its first entry is there */
	bool told;	 /* its record was made */
	bool has_tls, tls;
	uint64_t authorized_ns; /* 0: not seen */
	char user[WS_NAME_LEN], database[WS_NAME_LEN], application[WS_NAME_LEN];
	char host[WS_HOST_LEN];
	uint16_t port;
	bool has_user, has_application, has_host, has_port;
	char *command; /* that runs, NULL for none */
	bool failed; /* it reported what ends it, and ended at that time if nothing else is said */
	uint32_t exit_code;
	struct ws_logged *older, *newer; /* of those of which little is known */
};

/* Makes records of one session. Each returns what the sink returned. */
struct ws_log_out {
	struct ws_sink sink;
	uint64_t records;
};
int ws_log_out_clock(struct ws_log_out *out, uint64_t ns);
int ws_log_out_server(struct ws_log_out *out, uint64_t ns, uint32_t pid, const char *version);
int ws_log_out_session(struct ws_log_out *out, struct ws_logged *logged);
int ws_log_out_plain(struct ws_log_out *out, struct ws_logged *logged, uint16_t kind, uint64_t ns,
		     uint16_t flags);
int ws_log_out_authenticated(struct ws_log_out *out, struct ws_logged *logged, uint64_t ns);
int ws_log_out_text(struct ws_log_out *out, struct ws_logged *logged, enum ws_text_of of,
		    uint64_t ns, const char *text);
int ws_log_out_done(struct ws_log_out *out, struct ws_logged *logged, uint64_t ns);
int ws_log_out_error(struct ws_log_out *out, struct ws_logged *logged, enum ws_elevel elevel,
		     uint64_t ns, const struct ws_log_entry *entry);
int ws_log_out_stream(struct ws_log_out *out, struct ws_logged *logged, uint64_t ns, uint64_t lsn,
		      const char *slot, size_t slot_len);
int ws_log_out_exit(struct ws_log_out *out, struct ws_logged *logged, uint64_t ns, uint32_t code,
		    uint32_t signal);
int ws_log_out_missed(struct ws_log_out *out, struct ws_logged *logged, uint64_t ns);
int ws_log_out_bad(struct ws_log_out *out, uint64_t ns);
int ws_log_out_signal(struct ws_log_out *out, uint64_t ns, uint32_t target, uint32_t signal);
int ws_log_out_note(struct ws_log_out *out, uint64_t ns, const char *text);
int ws_log_out_stop(struct ws_log_out *out, uint64_t ns);

/* Why what is open ends, when it does. */
enum ws_log_closing {
	WS_LOG_CLOSED_SERVER = 0, /* the server is gone */
	WS_LOG_CLOSED_CRASH,	  /* all were told to end at once, because one had crashed */
	WS_LOG_CLOSED_IMMEDIATE,  /* likewise, at an immediate shutdown */
	WS_LOG_CLOSED_LOG,	  /* the log ends */
};

struct ws_log_story {
	struct ws_log_out out;
	void *sessions;			   /* of tsearch(3), by id */
	struct ws_logged *oldest, *newest; /* of those that are not told */
	size_t pending;
	uint32_t postmaster_pid;
	bool began;
	enum ws_log_closing closing;
	uint64_t last_ns;
};

void ws_logged_free(void *logged);
/* Tells its end, and forgets it. */
int ws_log_end_session(struct ws_log_story *story, struct ws_logged *l, uint64_t ns,
		       uint32_t signal);
/* Tells the end of all that are open, as far as anything says that they ended. */
int ws_log_close_all(struct ws_log_story *story, enum ws_log_closing why);
/* An entry of the server's, or of one of its other processes. */
int ws_log_server_entry(struct ws_log_story *story, const struct ws_log_entry *e);

#endif
