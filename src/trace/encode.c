/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>
#include <string.h>

#include "trace/columns.h"
#include "trace/numbers.h"

/* What one session has of one kind in the block. */
struct run {
	uint64_t start_ns;
	uint32_t pid;
	uint32_t class;
	uint32_t count;
	uint32_t place; /* among the runs, ordered by class */
	uint32_t next;	/* where its next record goes in the list */
};

struct class
{
	const struct ws_columns_kind *columns; /* NULL: verbatim */
	uint16_t kind;
	uint32_t runs, first_run;
	uint32_t records, first_record;
};

struct ws_encoder {
	const struct ws_columns *columns;
	struct class class[WS_DISK_KINDS_MAX];
	uint32_t classes, runs;
	/* For `cap` records: */
	size_t cap;
	struct run *run;     /* in the order in which they appear */
	uint32_t *run_of;    /* of each record */
	uint32_t *hash;	     /* run + 1; twice `cap` places, a power of two */
	uint32_t *list;	     /* records by class, then by run */
	uint32_t *run_count; /* by place */
	uint32_t *at, *prev;
	uint64_t *value;
};

struct ws_encoder *ws_encoder_new(const struct ws_columns *columns)
{
	struct ws_encoder *encoder = calloc(1, sizeof(*encoder));

	if (encoder)
		encoder->columns = columns;
	return encoder;
}

static void release(struct ws_encoder *encoder)
{
	free(encoder->run);
	free(encoder->run_of);
	free(encoder->hash);
	free(encoder->list);
	free(encoder->run_count);
	free(encoder->at);
	free(encoder->prev);
	free(encoder->value);
	encoder->cap = 0;
}

void ws_encoder_free(struct ws_encoder *encoder)
{
	if (encoder)
		release(encoder);
	free(encoder);
}

static int make_room(struct ws_encoder *encoder, size_t count)
{
	size_t cap = 1024;

	if (count <= encoder->cap)
		return 0;
	while (cap < count)
		cap *= 2;
	release(encoder);
	encoder->run = calloc(cap, sizeof(*encoder->run));
	encoder->run_of = calloc(cap, sizeof(*encoder->run_of));
	encoder->hash = calloc(2 * cap, sizeof(*encoder->hash));
	encoder->list = calloc(cap, sizeof(*encoder->list));
	encoder->run_count = calloc(cap, sizeof(*encoder->run_count));
	encoder->at = calloc(cap, sizeof(*encoder->at));
	encoder->prev = calloc(cap, sizeof(*encoder->prev));
	encoder->value = calloc(cap, sizeof(*encoder->value));
	if (!encoder->run || !encoder->run_of || !encoder->hash || !encoder->list ||
	    !encoder->run_count || !encoder->at || !encoder->prev || !encoder->value)
		return -1;
	encoder->cap = cap;
	return 0;
}

/* A kind's records that its columns do not fit make a class of their own. */
static uint32_t class_of(struct ws_encoder *encoder, const struct ws_rec *rec)
{
	const struct ws_columns_kind *columns =
		ws_columns_find(encoder->columns, rec->kind, rec->size);
	uint32_t i;

	for (i = 0; i < encoder->classes; i++) {
		if (encoder->class[i].kind == rec->kind && encoder->class[i].columns == columns)
			return i;
	}
	if (i == WS_DISK_KINDS_MAX)
		return i;
	memset(&encoder->class[i], 0, sizeof(encoder->class[i]));
	encoder->class[i].kind = rec->kind;
	encoder->class[i].columns = columns;
	encoder->classes++;
	return i;
}

static uint32_t run_of(struct ws_encoder *encoder, const struct ws_rec *rec, uint32_t class)
{
	uint64_t mix = (rec->start_ns ^ (uint64_t)rec->pid << 32 ^ class) * 0x9e3779b97f4a7c15ULL;
	size_t mask = 2 * encoder->cap - 1, place = (size_t)(mix >> 32) & mask;
	struct run *run;

	for (; encoder->hash[place]; place = (place + 1) & mask) {
		run = &encoder->run[encoder->hash[place] - 1];
		if (run->class == class && run->pid == rec->pid && run->start_ns == rec->start_ns)
			return encoder->hash[place] - 1;
	}
	encoder->hash[place] = ++encoder->runs;
	encoder->class[class].runs++;
	run = &encoder->run[encoder->runs - 1];
	*run = (struct run){ .start_ns = rec->start_ns, .pid = rec->pid, .class = class };
	return encoder->runs - 1;
}

static int find_runs(struct ws_encoder *encoder, const char *area, const uint32_t *offset,
		     size_t count)
{
	size_t i;

	encoder->classes = 0;
	encoder->runs = 0;
	memset(encoder->hash, 0, 2 * encoder->cap * sizeof(*encoder->hash));
	for (i = 0; i < count; i++) {
		const struct ws_rec *rec = (const void *)(area + offset[i]);
		uint32_t class = class_of(encoder, rec);

		if (class == WS_DISK_KINDS_MAX)
			return -1;
		encoder->run_of[i] = run_of(encoder, rec, class);
		encoder->run[encoder->run_of[i]].count++;
		encoder->class[class].records++;
	}
	return 0;
}

/* Puts the runs in order of their classes and the records in order of their runs. */
static void sort_records(struct ws_encoder *encoder, const uint32_t *offset, size_t count)
{
	uint32_t run = 0, record = 0, i;
	size_t at;

	for (i = 0; i < encoder->classes; i++) {
		encoder->class[i].first_run = run;
		encoder->class[i].first_record = record;
		run += encoder->class[i].runs;
		record += encoder->class[i].records;
		encoder->class[i].runs = 0;
	}
	for (i = 0; i < encoder->runs; i++) {
		struct class *class = &encoder->class[encoder->run[i].class];

		encoder->run[i].place = class->first_run + class->runs++;
		encoder->run_count[encoder->run[i].place] = encoder->run[i].count;
	}
	/* `at` is free yet: run by place, to lay them out in that order. */
	for (i = 0; i < encoder->runs; i++)
		encoder->at[encoder->run[i].place] = i;
	for (record = 0, i = 0; i < encoder->runs; i++) {
		encoder->run[encoder->at[i]].next = record;
		record += encoder->run_count[i];
	}
	for (at = 0; at < count; at++)
		encoder->list[encoder->run[encoder->run_of[at]].next++] = offset[at];
}

static int put_layout(struct ws_encoder *encoder, size_t count, struct ws_buf *out,
		      struct ws_cuts *cuts)
{
	struct ws_disk_content head = { .classes = encoder->classes, .runs = encoder->runs };
	size_t i;

	if (ws_buf_add(out, &head, sizeof(head)))
		return -1;
	for (i = 0; i < encoder->classes; i++) {
		struct ws_disk_class class = { .kind = encoder->class[i].kind,
					       .verbatim = !encoder->class[i].columns,
					       .runs = encoder->class[i].runs };

		if (ws_buf_add(out, &class, sizeof(class)))
			return -1;
	}
	for (i = 0; i < encoder->runs; i++)
		encoder->value[i] = encoder->run_count[i];
	if (ws_numbers_put(out, cuts, encoder->value, encoder->runs))
		return -1;
	for (i = 0; i < count; i++)
		encoder->value[i] = encoder->run[encoder->run_of[i]].place;
	return ws_numbers_put(out, cuts, encoder->value, count);
}

static int put_sizes(struct ws_encoder *encoder, const struct class *class, const char *area,
		     struct ws_buf *out, struct ws_cuts *cuts)
{
	const struct ws_columns_kind *columns = class->columns;
	const uint32_t *list = encoder->list + class->first_record;
	uint16_t size, base = columns ? columns->disk.short_size : 0;
	size_t i;

	if (columns && !columns->disk.long_size && !(columns->disk.flags & WS_DISK_KIND_TAIL))
		return 0;
	for (i = 0; i < class->records; i++) {
		size = ((const struct ws_rec *)(area + list[i]))->size;
		/* Of two sizes, which one; else how many bytes behind those that have columns. */
		encoder->value[i] = columns && columns->disk.long_size ? size != base : size - base;
	}
	return ws_numbers_put(out, cuts, encoder->value, class->records);
}

static ws_always_inline void residuals(const struct ws_pairs *pairs, const char *area,
				       const struct ws_columns_kind *kind,
				       const struct ws_disk_column *column, uint64_t *value,
				       const unsigned int predict, const unsigned int width)
{
	size_t i;

	for (i = 0; i < pairs->count; i++) {
		const char *rec = area + pairs->at[i], *prev = area + pairs->prev[i];
		uint64_t actual = ws_load(rec + column->offset, width);

		if (ws_predict_is_signed(predict))
			actual = ws_zigzag(
				actual - ws_predicted(rec, prev, kind, column, predict, width),
				width);
		value[i] = actual;
	}
}

static int put_column(struct ws_encoder *encoder, const struct ws_pairs *pairs, size_t anchors,
		      const char *area, const struct ws_columns_kind *kind,
		      const struct ws_disk_column *column, struct ws_buf *out, struct ws_cuts *cuts)
{
	uint64_t *value = encoder->value;
	size_t i;

	if (column->predict == WS_PREDICT_BYTES) {
		for (i = 0; i < pairs->count; i++) {
			if (ws_buf_add(out, area + pairs->at[i] + column->offset, column->arg))
				return -1;
		}
		return 0;
	}
	WS_PREDICT_DISPATCH(residuals, column->predict, column->width, pairs, area, kind, column,
			    value)
	return ws_numbers_put(out, cuts, value, anchors) ||
			       ws_numbers_put(out, cuts, value + anchors, pairs->count - anchors)
		       ? -1
		       : 0;
}

static int put_columns(struct ws_encoder *encoder, const struct class *class, const char *area,
		       struct ws_buf *out, struct ws_cuts *cuts)
{
	const struct ws_columns_kind *kind = class->columns;
	struct ws_pairs pairs;
	size_t anchors;
	unsigned int i;

	for (i = 0; i < kind->disk.columns; i++) {
		if (i == 0 || i == kind->short_columns)
			ws_pairs_build(&pairs, &anchors, area, encoder->list + class->first_record,
				       encoder->run_count + class->first_run, class->runs,
				       i < kind->short_columns ? 0 : kind->disk.long_size,
				       encoder->at, encoder->prev);
		if (put_column(encoder, &pairs, anchors, area, kind, &kind->column[i], out, cuts))
			return -1;
	}
	return 0;
}

static int put_bytes(const struct ws_encoder *encoder, const struct class *class, const char *area,
		     struct ws_buf *out)
{
	const struct ws_columns_kind *kind = class->columns;
	size_t from = kind ? kind->disk.short_size : 0, i;

	if (kind && !(kind->disk.flags & WS_DISK_KIND_TAIL))
		return 0;
	for (i = 0; i < class->records; i++) {
		const char *rec = area + encoder->list[class->first_record + i];

		if (ws_buf_add(out, rec + from, ((const struct ws_rec *)rec)->size - from))
			return -1;
	}
	return 0;
}

int ws_encoder_run(struct ws_encoder *encoder, const char *area, const uint32_t *offset,
		   size_t count, struct ws_buf *content, struct ws_cuts *cuts)
{
	size_t i;

	ws_buf_clear(content);
	cuts->count = 0;
	if (make_room(encoder, count) || find_runs(encoder, area, offset, count))
		return -1;
	sort_records(encoder, offset, count);
	if (put_layout(encoder, count, content, cuts))
		return -1;
	for (i = 0; i < encoder->classes; i++) {
		if (put_sizes(encoder, &encoder->class[i], area, content, cuts))
			return -1;
	}
	for (i = 0; i < encoder->classes; i++) {
		const struct class *class = &encoder->class[i];

		if (class->columns && put_columns(encoder, class, area, content, cuts))
			return -1;
		if (put_bytes(encoder, class, area, content))
			return -1;
	}
	return 0;
}
