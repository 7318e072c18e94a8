/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * story.h: what one session did, kept for telling it afterwards. It listens to a model (as its
 * observer and behind it) and keeps what a person asks for after an incident: every command, when
 * it streamed and had caught up, its states in a condensed order, how far its standby was behind at
 * the worst, its last acts, and what is missing.
 *
 * Memory is bound, but for the commands: sequences are condensed to WS_STORY_SPANS, events to the
 * last ones. All times are monotonic ns; 0 is "not known" or "never", unless a field says
 * otherwise. Positions of 0 are not known.
 */
#ifndef WS_SESSION_STORY_H
#define WS_SESSION_STORY_H

#include "session/model.h"

#define WS_STORY_SPANS	 40 /* stretches of the condensed sequence */
#define WS_STORY_FEW	 12 /* so many are told however short they are */
#define WS_STORY_STREAMS 32 /* streams that are kept */
#define WS_STORY_CHANGES 64 /* changes of the walsender's own state that are kept */
#define WS_STORY_GAPS	 32
#define WS_STORY_POINTS	 48 /* of its memory over time */
#define WS_STORY_EVENTS	 48 /* last events; around a moment, on either side of it */

/* A command, as the model told it; its strings are the story's. */
struct ws_story_command {
	struct ws_command command;
	char *strings;
};

/* Neighbouring states of one kind of work, told as one. */
struct ws_story_span {
	enum ws_state state; /* that took most of it */
	enum ws_state work;  /* stands for the states that it is made of */
	uint64_t start_ns, end_ns;
	uint64_t state_ns[WS_STATE_COUNT];
	uint64_t lsn_from, lsn_to;
	uint64_t bytes;
	uint64_t segments; /* stretches of one state that it stands for */
};

/* The session entered the send loop, or was found in it. */
struct ws_story_stream {
	uint64_t time_ns;
	uint64_t lsn; /* where it begins; of one that was found, what had been sent */
	bool logical;
	bool found;
	bool had_caught_up; /* before it was found */
	char slot[WS_NAME_LEN];
	uint64_t caught_up_ns; /* it first had nothing more to send */
};

/* The walsender's own state (pg_stat_replication.state). */
struct ws_story_change {
	uint64_t time_ns, lsn;
	int from, to; /* enum ws_walsnd_state; -1: not known */
};

struct ws_story_gap {
	uint64_t from_ns, to_ns, lost;
	enum ws_gap_cause cause;
};

/* The worst that a standby was behind, and when. */
struct ws_story_peak {
	bool has_bytes, has_ns;
	uint64_t bytes, bytes_at_ns; /* sent and not confirmed */
	uint64_t ns, ns_at_ns;	     /* since the first of them was sent */
};

/* What the session was in the middle of. */
struct ws_story_moment {
	bool set;
	uint64_t time_ns;    /* of the moment asked for */
	uint64_t record_ns;  /* of the last record in front of it */
	enum ws_state state; /* at it */
	uint64_t state_from_ns, state_to_ns;
	uint64_t sent_lsn, write_lsn, flush_lsn, apply_lsn;
	int walsnd_state; /* enum ws_walsnd_state, -1: not known */
};

/* The last of each kind in front of the end, or of the moment. */
struct ws_story_last {
	uint64_t send_ns, send_lsn;
	uint64_t reply_ns, write_lsn, flush_lsn, apply_lsn;
	bool reply_found; /* in memory: it came some time before reply_ns */
	uint64_t ping_ns; /* a keepalive; `ping_wants_reply`: that asked for an answer */
	bool ping_wants_reply;
	uint64_t socket_ns; /* when the socket was looked at */
	uint32_t unsent_bytes, in_flight_bytes, window_bytes, ack_age_us;
	bool has_socket_details;
	uint64_t sample_ns; /* when its process was */
	bool has_pending, has_unix_queued;
	uint32_t pending_bytes, unix_queued_bytes;
	uint64_t target_lsn; /* up to where there was WAL to send */
};

/* Of a size: when first seen, most, and last. */
struct ws_story_extent {
	bool known;
	uint64_t first, last;
	uint64_t peak, peak_ns;
};

enum ws_story_size {
	WS_STORY_RSS = 0,
	WS_STORY_PRIVATE,  /* neither a file's nor shared */
	WS_STORY_CONTEXTS, /* all its memory contexts */
	WS_STORY_REORDER,  /* of that what decoding has gathered */
	WS_STORY_SIZES,
};

/* The most of each size from a time on, until the next point. */
struct ws_story_point {
	uint64_t time_ns;
	uint64_t size[WS_STORY_SIZES];
	uint32_t known; /* 1 << enum ws_story_size */
};

/* The memory of its process. */
struct ws_story_memory {
	struct ws_story_extent sizes[WS_STORY_SIZES];
	struct ws_rec_memory peak, last; /* its contexts; h.size 0: not known */
	struct ws_story_point points[WS_STORY_POINTS];
	size_t point_count;
	uint64_t step_ns; /* between points, at least */
	uint32_t seen; /* sizes that were looked at since the last point: 1 << enum ws_story_size */
};

struct ws_story {
	uint32_t pid;	   /* whose: in the initial pid namespace */
	uint64_t start_ns; /* likewise, as in records' heads */
	uint64_t from_ns, to_ns, around_ns;

	struct ws_story_command *commands;
	size_t command_count, command_cap;
	struct ws_story_span spans[WS_STORY_SPANS + 1];
	size_t span_count;
	uint64_t segments;
	struct ws_story_stream streams[WS_STORY_STREAMS];
	size_t stream_count; /* kept, the first ones */
	uint64_t stream_total;
	struct ws_story_change changes[WS_STORY_CHANGES]; /* the first ones */
	size_t change_count;
	uint64_t change_total;
	struct ws_story_peak peaks[WS_LAG_COUNT];
	struct ws_story_gap gaps[WS_STORY_GAPS];
	size_t gap_count;
	uint64_t gap_total;
	struct ws_story_last last;
	struct ws_story_memory memory;
	struct ws_story_moment moment;
	bool still; /* its positions are those of one look at memory: nothing was seen to move */

	/* Records by time; turns, keepalives and waits for a CPU within a second are one. The
	 * story's own. */
	struct ws_rec *events[2 * WS_STORY_EVENTS];
	size_t event_count;
	size_t event_before; /* of which in front of the moment */
	uint64_t event_omitted;
	uint64_t fold_ns;  /* since when alike events may be one, 0: begins anew */
	size_t fold_first; /* the first one of those */
};

/*
 * The story of one session in [from_ns, to_ns). With around_ns, the last events are those on both
 * sides of that moment; 0: those in front of the end.
 */
void ws_story_init(struct ws_story *story, uint32_t pid, uint64_t start_ns, uint64_t from_ns,
		   uint64_t to_ns, uint64_t around_ns);
void ws_story_deinit(struct ws_story *story);
/* Is this the story's session? */
bool ws_story_is_of(const struct ws_story *story, const struct ws_session *session);
/* What a model tells its observer. Return -1 when memory ran out. */
int ws_story_command(struct ws_story *story, const struct ws_command *command);
void ws_story_segment(struct ws_story *story, const struct ws_segment *segment);
/* Each record of the stream, behind the model; `session` is the story's, NULL while it is not
 * known. Returns -1 when memory ran out. */
int ws_story_record(struct ws_story *story, const struct ws_session *session,
		    const struct ws_rec *rec);
/* The stream ended here. Of a session that still runs nothing was confirmed since its last record.
 * Where there are more than a few, spans of less than a hundredth go into their neighbours. */
void ws_story_end(struct ws_story *story, const struct ws_session *session, uint64_t end_ns);

#endif
