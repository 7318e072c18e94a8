/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event/schema.h"
#include "trace/source.h"

struct ws_reader {
	struct ws_source source;
	size_t next; /* record of the block */
	bool ended;
	bool stopped;	       /* the last record given out was WS_KIND_STOP */
	uint64_t unsound;      /* records in sound blocks that are not sound themselves */
	struct ws_rec_gap gap; /* the one given out last, if it was ours */
};

int ws_reader_open(struct ws_reader **reader_out, const char *path, struct ws_error *err)
{
	struct ws_reader *reader = calloc(1, sizeof(*reader));

	*reader_out = NULL;
	if (!reader)
		return ws_error_errno(err, ENOMEM, "cannot read recording", path);
	if (ws_source_open(&reader->source, path, err)) {
		ws_reader_free(reader);
		return -1;
	}
	*reader_out = reader;
	return 0;
}

void ws_reader_free(struct ws_reader *reader)
{
	if (!reader)
		return;
	ws_source_deinit(&reader->source);
	free(reader);
}

const struct ws_trace_info *ws_reader_info(const struct ws_reader *reader)
{
	return &reader->source.info;
}

static const struct ws_rec *make_gap(struct ws_reader *reader, uint32_t cause, uint64_t from_ns,
				     uint64_t to_ns, uint64_t lost)
{
	reader->gap = (struct ws_rec_gap){
		.h = { .size = sizeof(reader->gap), .kind = WS_KIND_GAP, .time_ns = to_ns },
		.from_ns = from_ns,
		.to_ns = to_ns,
		.lost = lost,
		.cause = cause,
	};
	return &reader->gap.h;
}

/* A later version appends fields to a kind: what is known of it stays, the rest goes. */
static void trim_record(struct ws_rec *rec)
{
	const struct ws_kind_info *info = ws_kind_info(rec->kind);

	if (info && info->sizes[0] && rec->size > info->max_size)
		rec->size = info->max_size;
}

/* The next record of the block. One that is not sound is a gap: nobody else has to be prepared for
 * it. */
static const struct ws_rec *take_record(struct ws_reader *reader)
{
	const struct ws_source *source = &reader->source;
	struct ws_rec *rec = (void *)(source->area + source->offset[reader->next++]);

	trim_record(rec);
	reader->stopped = rec->kind == WS_KIND_STOP;
	if (ws_rec_valid(rec, rec->size, NULL, 0))
		return rec;
	reader->stopped = false;
	reader->unsound++;
	return make_gap(reader, WS_GAP_INVALID, rec->time_ns, rec->time_ns, 1);
}

int ws_reader_next(struct ws_reader *reader, const struct ws_rec **rec, struct ws_error *err)
{
	struct ws_source_gap gap;
	int rc;

	while (reader->next == reader->source.count) {
		if (reader->ended)
			return 0;
		rc = ws_source_next(&reader->source, &gap, err);
		if (rc < 0)
			return -1;
		reader->ended = rc == 0;
		reader->next = 0;
		if (gap.damaged) {
			*rec = make_gap(reader, WS_GAP_TORN, gap.from_ns, gap.to_ns, gap.lost);
			return 1;
		}
	}
	*rec = take_record(reader);
	return 1;
}

bool ws_reader_torn(const struct ws_reader *reader, char *why, size_t size)
{
	const struct ws_source *source = &reader->source;
	struct ws_buf text = { 0 };

	if (source->damaged) {
		ws_buf_addf(&text, "damaged from byte %" PRIu64 " on", source->damaged_at);
		if (source->damaged > 1)
			ws_buf_addf(&text, " and in %" PRIu64 " more places", source->damaged - 1);
		if (source->lost || !source->loss_unknown)
			ws_buf_addf(&text, ", %" PRIu64 " records are missing", source->lost);
		if (source->loss_unknown)
			ws_buf_addf(&text, ", an unknown number of%s records is missing",
				    source->lost ? " further" : "");
	}
	if (reader->unsound)
		ws_buf_addf(&text, "%s%" PRIu64 " records are not sound", text.len ? "; " : "",
			    reader->unsound);
	if (reader->ended && !reader->stopped)
		ws_buf_addf(&text, "%sthe recording was cut off: it does not end with a stop",
			    text.len ? "; " : "");
	if (size)
		snprintf(why, size, "%s", text.data ? text.data : "");
	ws_buf_deinit(&text);
	return source->damaged || reader->unsound || (reader->ended && !reader->stopped);
}
