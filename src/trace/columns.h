/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * columns.h: the records of one block to columns and back.
 *
 * How a kind is cut into columns is data (struct ws_columns): the writer derives it from the schema
 * and writes it into the file's header, the reader takes it from there. Both sides work on an area
 * of memory in which records lie one behind the other from WS_AREA_START on, each at a multiple
 * of 8. The area in front of them is zero: it is the "previous record" of a record that has none.
 */
#ifndef WS_TRACE_COLUMNS_H
#define WS_TRACE_COLUMNS_H

#include <stdbool.h>

#include "base/text.h"
#include "trace/format.h"
#include "trace/trace.h"

#define WS_AREA_START	 WS_REC_SIZE_MAX
#define WS_AREA_ALIGN(n) (((n) + 7) & ~(size_t)7)

/* Columns are in the order in which they are coded: first those of the short size. */
struct ws_columns_kind {
	struct ws_disk_kind disk;
	struct ws_disk_column *column;
	unsigned int short_columns; /* the first so many lie within short_size */
	uint16_t part[16];	    /* offsets of the columns SUM adds up */
	unsigned int parts;
};

struct ws_columns {
	struct ws_columns_kind *kind;
	size_t count;
	uint8_t index[WS_KIND_MAX]; /* by number: place in kind[] + 1, 0 if it is not described */
};

/* From the schema. -1: out of memory. */
int ws_columns_from_schema(struct ws_columns *columns);
/* The header's bytes behind struct ws_disk_file. */
int ws_columns_write(const struct ws_columns *columns, struct ws_buf *out);
/* Believes nothing: -1 and a reason (constant text) if the description is not sound. */
int ws_columns_parse(struct ws_columns *columns, const void *data, size_t size, uint32_t kinds,
		     const char **why);
void ws_columns_deinit(struct ws_columns *columns);
/* How a record of this kind and size is cut; NULL: not at all, it is carried as bytes. */
const struct ws_columns_kind *ws_columns_find(const struct ws_columns *columns, uint16_t kind,
					      uint16_t size);

/* Where the content should be cut for the compressor: in front of and behind long stretches of one
 * sort. */
struct ws_cuts {
	size_t *at;
	size_t count, cap;
};

struct ws_encoder; /* opaque: memory that is used again from block to block */

struct ws_encoder *ws_encoder_new(const struct ws_columns *columns); /* NULL: out of memory */
void ws_encoder_free(struct ws_encoder *encoder);
/*
 * Writes the content of a block: `count` records at `offset[]` of `area`, of at most
 * WS_DISK_KINDS_MAX kinds, of which a kind with odd sizes counts twice. -1: out of memory.
 */
int ws_encoder_run(struct ws_encoder *encoder, const char *area, const uint32_t *offset,
		   size_t count, struct ws_buf *content, struct ws_cuts *cuts);

struct ws_decoder; /* opaque */

struct ws_decoder *ws_decoder_new(const struct ws_columns *columns); /* NULL: out of memory */
void ws_decoder_free(struct ws_decoder *decoder);
/*
 * The way back: fills area with `count` records of `record_bytes` bytes, and offset[] with their
 * places. The area has room for WS_AREA_START + record_bytes + 8 * count bytes, of which the part
 * in front of WS_AREA_START is zero. Returns 1, 0 if the content is not sound, -1 if memory ran
 * out. The records' heads have the right size and kind; whether the records are sound is not known.
 * With `only`, of records of other kinds nothing but size and kind is there.
 */
int ws_decoder_run(struct ws_decoder *decoder, const void *content, size_t size, size_t count,
		   size_t record_bytes, const struct ws_kinds *only, char *area, uint32_t *offset);

#endif
