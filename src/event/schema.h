/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * schema.h: every record kind of wire.h described once, as data. Validation, the columnar coding of
 * recordings, the JSON lines of `trace` and the check of docs/EVENTS.md are all driven by this
 * table.
 */
#ifndef WS_EVENT_SCHEMA_H
#define WS_EVENT_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "wire.h"

enum ws_field_type {
	WS_FIELD_UINT = 1, /* 1, 2, 4 or 8 bytes */
	WS_FIELD_INT,
	WS_FIELD_LSN,	   /* 8 bytes */
	WS_FIELD_TIME,	   /* 8 bytes, CLOCK_MONOTONIC ns */
	WS_FIELD_DURATION, /* 8 bytes, ns */
	WS_FIELD_ENUM,	   /* 1 to 4 bytes: `names` */
	WS_FIELD_FLAGS,	   /* `names` by bit */
	WS_FIELD_STRING,   /* fixed size, NUL-terminated */
	WS_FIELD_TEXT, /* the rest of the record (its length: `len_offset`, or NUL-terminated) */
	WS_FIELD_SQLSTATE, /* 4 bytes packed */
	WS_FIELD_HEX,	   /* 8 bytes, 16 hexadecimal digits */
};

struct ws_field {
	const char *name; /* as in JSON */
	uint16_t offset;
	uint16_t size;	/* 0 for TEXT */
	uint16_t count; /* elements of an array; 1 otherwise; then `names` are their names */
	uint8_t type;
	bool hidden;		  /* internal: not shown in JSON */
	const char *const *names; /* of ENUM (by value), FLAGS (by bit) and arrays (by index) */
	uint8_t name_count;
	uint8_t unknown;       /* enum ws_unknown: which value says that there is none */
	uint16_t valid_offset; /* the record's word that says whether the field could be read ... */
	uint8_t valid_size;    /* ... its size (2 or 4) ... */
	uint32_t valid_mask;   /* ... and which bit; 0: the field always counts */
	uint16_t len_offset;   /* of TEXT: where its length (4 bytes) stands, 0: NUL-terminated */
};

/* Values that stand for "not known"; such a field is null in JSON. */
enum ws_unknown {
	WS_UNKNOWN_NEVER = 0,
	WS_UNKNOWN_ZERO = 1,
	WS_UNKNOWN_MINUS_ONE = 2,
};

struct ws_kind_info {
	uint16_t kind;
	const char *name; /* "session", "turn", ...: the `event` of trace's JSON */
	const char *help;
	uint16_t min_size, max_size; /* of the record; between them only what `sizes` allows */
	uint16_t sizes[2];	     /* the sizes a fixed-size kind may have, 0 for none */
	const struct ws_field *fields;
	size_t field_count;
};

/* NULL for an unknown kind. */
const struct ws_kind_info *ws_kind_info(uint16_t kind);
/* Is the kind known, and the record as long as its kind was when it was shortest? What a kind got
 * later may be missing: its size tells. */
bool ws_rec_complete(const struct ws_rec *rec);
const struct ws_kind_info *ws_kind_by_name(const char *name);
/* Taken from outside the session, which comes in anywhere, also between pieces of its texts. */
static inline bool ws_kind_is_sampled(uint16_t kind)
{
	return (kind >= WS_KIND_SOCKET && kind <= WS_KIND_DECODING) || kind == WS_KIND_PROGRESS ||
	       kind == WS_KIND_CGROUP || kind == WS_KIND_HOLDER || kind == WS_KIND_COPY ||
	       kind == WS_KIND_MEMORY;
}
/*
 * What JSON says of a record's head besides the contract's own keys, so that the record can be made
 * of it again: the time by the host's own clock, the exact start of a session's process (its id has
 * it in clock ticks), and which server record it refers to.
 */
enum ws_head_field { WS_HEAD_MONO = 0, WS_HEAD_START, WS_HEAD_SERVER, WS_HEAD_COUNT };
/* NULL if this kind does not have it. */
const struct ws_field *ws_head_field(uint16_t kind, enum ws_head_field which);
/* All kinds, by number. */
const struct ws_kind_info *ws_kinds(size_t *count);

/* Element `index` of a field with a number in it (no STRING, no TEXT), INT sign-extended. The field
 * must be within the record: ws_field_known() says. */
uint64_t ws_field_load(const struct ws_field *field, const struct ws_rec *rec, unsigned int index);
/* Is the field within the record (kinds with two sizes), marked as read, and not "unknown"? Else it
 * is null in JSON. */
bool ws_field_known(const struct ws_field *field, const struct ws_rec *rec);

/* The inverse of ws_field_load: false if the value has no room. Marks the field as read. */
bool ws_field_store(const struct ws_field *field, struct ws_rec *rec, unsigned int index,
		    uint64_t value);
/* Marks a field as read, where its record has a bit for that. */
void ws_field_mark(const struct ws_field *field, struct ws_rec *rec);

/*
 * Is this a sound record? Checks size against what is there and what the kind allows, lengths
 * inside, and that strings terminate. An unknown kind with a plausible size is sound (to be
 * skipped).
 */
bool ws_rec_valid(const void *data, size_t size, char *why, size_t why_size);

/* The same for many records: which fields are to be looked at is found once for each kind, in which
 * few are. */
#define WS_CHECKS_MAX 16
struct ws_checks {
	struct {
		const struct ws_kind_info *info; /* NULL: unknown */
		const struct ws_field *field[WS_CHECKS_MAX];
		unsigned int count; /* WS_CHECKS_MAX: perhaps more */
	} kind[WS_KIND_MAX];
};
void ws_checks_init(struct ws_checks *checks);
bool ws_checks_pass(const struct ws_checks *checks, const void *data, size_t size);

#endif
