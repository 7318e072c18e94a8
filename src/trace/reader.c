/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "event/schema.h"
#include "trace/runs.h"
#include "trace/segments.h"
#include "trace/source.h"

#define WHAT "cannot read recording"

/* What was wrong in the segments that have been read. */
struct damage {
	uint64_t places;  /* stretches that could not be read ... */
	const char *path; /* ... the first one's file ... */
	uint64_t at;	  /* ... and where it begins */
	uint64_t lost;	  /* records known to be missing */
	bool unknown;	  /* and more of which nobody knows how many */
	uint64_t cut;	  /* runs that do not end with a stop */
};

struct ws_reader {
	struct ws_segments segments;
	size_t begin;	/* the segment to begin with */
	size_t current; /* the next one to be opened */
	bool open;	/* the one before is */
	struct ws_source source;
	struct ws_source_want want;
	struct ws_runs runs;
	struct damage damage;
	uint64_t first_ns, last_ns, decoded, passed;
	uint32_t servers[64]; /* postmasters, for those who want only one process */
	size_t server_count;

	struct ws_checks checks;

	size_t next; /* record of the block */
	bool ended;
	bool stopped;		   /* the last record given out was WS_KIND_STOP */
	uint64_t unsound;	   /* records in sound blocks that are not sound themselves */
	struct ws_rec_gap gap;	   /* the one given out last, if it was ours */
	const struct ws_rec *held; /* to be given out behind the gaps that are queued */
};

static bool has_several_runs(const struct ws_segments *s)
{
	for (size_t i = 1; i < s->count; i++)
		if (!ws_runs_same(&s->items[i - 1].info, &s->items[i].info))
			return true;
	return false;
}

static void begin(struct ws_reader *reader)
{
	reader->runs.several = has_several_runs(&reader->segments);
	reader->runs.first = true;
	ws_checks_init(&reader->checks);
	reader->current = reader->begin;
	reader->first_ns = UINT64_MAX;
}

int ws_reader_open(struct ws_reader **reader_out, const char *path, struct ws_error *err)
{
	struct ws_reader *reader = calloc(1, sizeof(*reader));

	*reader_out = NULL;
	if (!reader)
		return ws_error_errno(err, ENOMEM, WHAT, path);
	if (ws_segments_open(&reader->segments, path, err)) {
		ws_reader_free(reader);
		return -1;
	}
	begin(reader);
	*reader_out = reader;
	return 0;
}

/* Everything but which files there are and what is wanted of them. */
static void reset(struct ws_reader *reader)
{
	if (reader->open)
		ws_source_deinit(&reader->source);
	ws_runs_deinit(&reader->runs);
}

void ws_reader_free(struct ws_reader *reader)
{
	if (!reader)
		return;
	reset(reader);
	ws_segments_deinit(&reader->segments);
	free(reader);
}

void ws_reader_rewind(struct ws_reader *reader)
{
	struct ws_segments segments = reader->segments;
	struct ws_source_want want = reader->want;

	reset(reader);
	*reader = (struct ws_reader){ .segments = segments, .want = want };
	begin(reader);
}

void ws_reader_narrow(struct ws_reader *reader, const struct ws_reader_want *want)
{
	reader->want = ws_source_want(want);
}

const struct ws_trace_info *ws_reader_info(const struct ws_reader *reader)
{
	return &reader->segments.items[0].info;
}

bool ws_reader_goes_on(const struct ws_reader *reader)
{
	return reader->segments.written_to;
}

/* The times of the first segment are as they are; others are moved to follow it. */
int64_t ws_reader_wall_ns(const struct ws_reader *reader, uint64_t mono_ns)
{
	const struct ws_trace_info *info = ws_reader_info(reader);

	return (int64_t)((uint64_t)info->start_wall_ns + (mono_ns - info->start_mono_ns));
}

/* By the clock that nobody sets. Of several boots all is read, as of files that are no segments:
 * their times may overlap. */
void ws_reader_skip_to(struct ws_reader *reader, uint64_t mono_ns)
{
	const struct ws_segments *segments = &reader->segments;
	const char *boot_id = ws_reader_info(reader)->boot_id;

	for (size_t i = 0; i < segments->count; i++)
		if (!segments->items[i].info.run ||
		    strcmp(segments->items[i].info.boot_id, boot_id) != 0)
			return;
	for (size_t i = 1; i < segments->count; i++)
		if (segments->items[i].info.start_mono_ns < mono_ns)
			reader->begin = i;
	reader->current = reader->begin;
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

static void note_server(struct ws_reader *reader, uint32_t pid)
{
	for (size_t i = 0; i < reader->server_count; i++)
		if (reader->servers[i] == pid)
			return;
	if (reader->server_count < WS_ARRAY_SIZE(reader->servers))
		reader->servers[reader->server_count++] = pid;
}

/* A signal belongs to the process that it was sent to, or to a whole server. */
static bool is_wanted_signal(const struct ws_reader *reader, const struct ws_rec *rec)
{
	const struct ws_rec_signal *signal = (const void *)rec;

	if (ws_source_wants_pid(&reader->want, signal->target_pid))
		return true;
	for (size_t i = 0; i < reader->server_count; i++)
		if (reader->servers[i] == signal->target_pid)
			return true;
	return false;
}

static bool is_wanted(struct ws_reader *reader, const struct ws_rec *rec)
{
	if (!reader->want.of.narrow || rec->kind == WS_KIND_GAP)
		return true;
	if (rec->kind == WS_KIND_SERVER)
		note_server(reader, rec->pid);
	if (rec->kind == WS_KIND_SIGNAL)
		return is_wanted_signal(reader, rec);
	return !rec->pid || !rec->start_ns || ws_kinds_have(&reader->want.of.kinds, rec->kind) ||
	       ws_source_wants_pid(&reader->want, rec->pid);
}

/* The next record of the block. One that is not sound is a gap: nobody else has to be prepared for
 * it. NULL: it is not wanted. */
static const struct ws_rec *take_record(struct ws_reader *reader)
{
	const struct ws_source *source = &reader->source;
	struct ws_rec *rec = (void *)(source->area + source->offset[reader->next++]);

	trim_record(rec);
	reader->stopped = rec->kind == WS_KIND_STOP;
	if (ws_checks_pass(&reader->checks, rec, rec->size))
		return is_wanted(reader, rec) ? rec : NULL;
	reader->stopped = false;
	reader->unsound++;
	return make_gap(reader, WS_GAP_INVALID, rec->time_ns, rec->time_ns, 1);
}

static int open_segment(struct ws_reader *reader, struct ws_error *err)
{
	const struct ws_segment_file *file = &reader->segments.items[reader->current++];
	uint64_t lost;
	bool failed;

	reader->want.checkpoints = !ws_runs_begin(&reader->runs, &file->info, &lost, &failed);
	reader->damage.lost += lost;
	if (failed)
		return ws_error_errno(err, ENOMEM, WHAT, file->path);
	reader->open = true;
	reader->stopped = false;
	return ws_source_open(&reader->source, file, &reader->want, err);
}

/* The same run goes on in the next segment, which then says what is missing. */
static bool goes_on(const struct ws_reader *reader)
{
	const struct ws_segments *s = &reader->segments;

	return reader->current < s->count &&
	       ws_runs_same(&s->items[reader->current - 1].info, &s->items[reader->current].info);
}

static void add_damage(struct ws_reader *reader)
{
	const struct ws_source *source = &reader->source;
	struct damage *d = &reader->damage;

	if (source->damaged && !d->places) {
		d->path = source->path;
		d->at = source->damaged_at;
	}
	d->places += source->damaged;
	d->lost += source->lost;
	d->unknown |= source->loss_unknown;
}

static void close_segment(struct ws_reader *reader)
{
	const struct ws_source *source = &reader->source;
	bool last = reader->current == reader->segments.count;

	add_damage(reader);
	/* One segment alone need not end with the run; a directory should. */
	if (!goes_on(reader) && !reader->stopped &&
	    !(source->last && !reader->segments.directory) &&
	    !(last && reader->segments.written_to))
		reader->damage.cut++;
	reader->decoded += source->decoded;
	reader->passed += source->passed;
	if (source->next_sequence && source->first_ns != UINT64_MAX) {
		if (source->first_ns + reader->runs.shift < reader->first_ns)
			reader->first_ns = source->first_ns + reader->runs.shift;
		if (source->last_ns + reader->runs.shift > reader->last_ns)
			reader->last_ns = source->last_ns + reader->runs.shift;
	}
	ws_runs_end(&reader->runs, source);
	ws_source_deinit(&reader->source);
	reader->open = false;
}

/* The next block, or the end. Returns 1 with a gap in *rec, 0 if there is none to be told, -1. */
static int advance(struct ws_reader *reader, const struct ws_rec **rec, struct ws_error *err)
{
	uint64_t shift = reader->runs.shift;
	struct ws_source_gap gap;
	int rc;

	if (!reader->open) {
		reader->ended = reader->current == reader->segments.count;
		return reader->ended ? 0 : open_segment(reader, err);
	}
	rc = ws_source_next(&reader->source, &gap, err);
	if (rc < 0)
		return -1;
	reader->next = 0;
	if (gap.damaged && rc == 0 && goes_on(reader)) {
		reader->source.lost -= gap.lost;
		reader->source.loss_unknown = gap.damaged = false;
	}
	if (rc == 0) {
		close_segment(reader);
		reader->source.count = 0;
	}
	if (!gap.damaged)
		return 0;
	*rec = make_gap(reader, WS_GAP_TORN, gap.from_ns + shift, gap.to_ns + shift, gap.lost);
	return 1;
}

int ws_reader_next(struct ws_reader *reader, const struct ws_rec **rec, struct ws_error *err)
{
	int rc;

	for (;;) {
		*rec = ws_runs_gap(&reader->runs);
		if (*rec)
			return 1;
		if (reader->held) {
			*rec = reader->held;
			reader->held = NULL;
			return 1;
		}
		if (!reader->open || reader->next == reader->source.count) {
			if (reader->ended)
				return 0;
			rc = advance(reader, rec, err);
			if (rc)
				return rc;
			continue;
		}
		*rec = take_record(reader);
		if (!*rec)
			continue;
		if (ws_runs_record(&reader->runs, (struct ws_rec *)*rec))
			return ws_error_errno(err, ENOMEM, WHAT, reader->source.path);
		if (!reader->runs.gap_count)
			return 1;
		reader->held = *rec;
	}
}

void ws_reader_span(const struct ws_reader *reader, uint64_t *first_ns, uint64_t *last_ns)
{
	*first_ns = reader->first_ns == UINT64_MAX ? 0 : reader->first_ns;
	*last_ns = reader->last_ns;
}

void ws_reader_blocks(const struct ws_reader *reader, uint64_t *decoded, uint64_t *passed)
{
	*decoded = reader->decoded + (reader->open ? reader->source.decoded : 0);
	*passed = reader->passed + (reader->open ? reader->source.passed : 0);
}

static void add(struct ws_buf *text, const char *part)
{
	ws_buf_addf(text, "%s%s", text->len ? "; " : "", part);
}

static void describe_damage(const struct ws_reader *reader, struct ws_buf *text)
{
	const struct damage *d = &reader->damage;
	const char *name = d->path ? strrchr(d->path, '/') : NULL;

	if (d->places && reader->segments.directory)
		ws_buf_addf(text, "%s: ", name ? name + 1 : d->path);
	if (d->places)
		ws_buf_addf(text, "damaged from byte %" PRIu64 " on", d->at);
	if (d->places > 1)
		ws_buf_addf(text, " and in %" PRIu64 " more places", d->places - 1);
	if (d->lost || (d->places && !d->unknown))
		ws_buf_addf(text, "%s%" PRIu64 " records are missing", text->len ? ", " : "",
			    d->lost);
	if (d->unknown)
		ws_buf_addf(text, ", an unknown number of%s records is missing",
			    d->lost ? " further" : "");
}

bool ws_reader_torn(const struct ws_reader *reader, char *why, size_t size)
{
	const struct ws_segments *s = &reader->segments;
	const struct damage *d = &reader->damage;
	struct ws_buf text = { 0 };
	char part[160];

	describe_damage(reader, &text);
	if (s->unreadable) {
		snprintf(part, sizeof(part), "%" PRIu64 " files cannot be read", s->unreadable);
		add(&text, part);
	}
	if (reader->unsound) {
		snprintf(part, sizeof(part), "%" PRIu64 " records are not sound", reader->unsound);
		add(&text, part);
	}
	if (d->cut && s->directory && reader->runs.several) {
		snprintf(part, sizeof(part),
			 "%" PRIu64 " runs of it were cut off: no stop ends them", d->cut);
		add(&text, part);
	} else if (d->cut) {
		add(&text, "the recording was cut off: it does not end with a stop");
	}
	if (size)
		snprintf(why, size, "%s", text.data ? text.data : "");
	ws_buf_deinit(&text);
	return d->places || d->lost || s->unreadable || reader->unsound || d->cut;
}
