/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>
#include <string.h>

#include "trace/columns.h"
#include "trace/numbers.h"

struct class
{
	const struct ws_columns_kind *columns; /* NULL: verbatim */
	uint16_t kind;
	uint32_t first_run, runs;
	size_t first_record, records;
};

struct ws_decoder {
	const struct ws_columns *columns;
	struct class class[WS_DISK_KINDS_MAX];
	uint32_t classes, runs;
	/* For `cap` records, of which each may be a run: */
	size_t cap;
	uint32_t *run_count;
	uint32_t *run_next; /* where the run's next record stands in the list */
	uint32_t *list;	    /* records by class, then by run */
	uint16_t *size;	    /* of each in the list */
	uint32_t *at, *prev;
	uint64_t *value;
	uint64_t *order; /* run of each record */
};

struct ws_decoder *ws_decoder_new(const struct ws_columns *columns)
{
	struct ws_decoder *decoder = calloc(1, sizeof(*decoder));

	if (decoder)
		decoder->columns = columns;
	return decoder;
}

static void release(struct ws_decoder *decoder)
{
	free(decoder->run_count);
	free(decoder->run_next);
	free(decoder->list);
	free(decoder->size);
	free(decoder->at);
	free(decoder->prev);
	free(decoder->value);
	free(decoder->order);
	decoder->cap = 0;
}

void ws_decoder_free(struct ws_decoder *decoder)
{
	if (decoder)
		release(decoder);
	free(decoder);
}

static int make_room(struct ws_decoder *decoder, size_t count)
{
	if (count <= decoder->cap)
		return 0;
	release(decoder);
	decoder->run_count = calloc(count, sizeof(*decoder->run_count));
	decoder->run_next = calloc(count, sizeof(*decoder->run_next));
	decoder->list = calloc(count, sizeof(*decoder->list));
	decoder->size = calloc(count, sizeof(*decoder->size));
	decoder->at = calloc(count, sizeof(*decoder->at));
	decoder->prev = calloc(count, sizeof(*decoder->prev));
	decoder->value = calloc(count, sizeof(*decoder->value));
	decoder->order = calloc(count, sizeof(*decoder->order));
	if (!decoder->run_count || !decoder->run_next || !decoder->list || !decoder->size ||
	    !decoder->at || !decoder->prev || !decoder->value || !decoder->order)
		return -1;
	decoder->cap = count;
	return 0;
}

static int get_classes(struct ws_decoder *decoder, struct ws_cursor *in, size_t count)
{
	const struct ws_disk_content *found = ws_cursor_bytes(in, sizeof(*found));
	struct ws_disk_content head;
	uint32_t run = 0, i;

	if (!found)
		return -1;
	memcpy(&head, found, sizeof(head));
	if (head.classes > WS_DISK_KINDS_MAX || head.runs > count)
		return -1;
	decoder->classes = head.classes;
	decoder->runs = head.runs;
	for (i = 0; i < head.classes; i++) {
		struct class *class = &decoder->class[i];
		const void *bytes = ws_cursor_bytes(in, sizeof(struct ws_disk_class));
		struct ws_disk_class disk;

		if (!bytes)
			return -1;
		memcpy(&disk, bytes, sizeof(disk));
		memset(class, 0, sizeof(*class));
		class->kind = disk.kind;
		class->first_run = run;
		class->runs = disk.runs;
		if (disk.runs > head.runs - run)
			return -1;
		run += disk.runs;
		if (disk.verbatim)
			continue;
		if (disk.kind >= WS_KIND_MAX || !decoder->columns->index[disk.kind])
			return -1;
		class->columns = &decoder->columns->kind[decoder->columns->index[disk.kind] - 1];
	}
	return run == head.runs ? 0 : -1;
}

static int get_runs(struct ws_decoder *decoder, struct ws_cursor *in, size_t count)
{
	size_t record = 0;
	uint32_t i, run;

	if (ws_numbers_get(in, decoder->value, decoder->runs))
		return -1;
	for (i = 0; i < decoder->classes; i++) {
		struct class *class = &decoder->class[i];

		class->first_record = record;
		for (run = class->first_run; run < class->first_run + class->runs; run++) {
			if (decoder->value[run] > count - record)
				return -1;
			decoder->run_count[run] = (uint32_t)decoder->value[run];
			decoder->run_next[run] = (uint32_t)record;
			record += decoder->run_count[run];
		}
		class->records = record - class->first_record;
	}
	return record == count ? 0 : -1;
}

static int get_class_sizes(struct ws_decoder *decoder, const struct class *class,
			   struct ws_cursor *in)
{
	const struct ws_disk_kind *disk = class->columns ? &class->columns->disk : NULL;
	uint16_t *size = decoder->size + class->first_record;
	uint64_t *value = decoder->value;
	size_t i, base = disk ? disk->short_size : 0;

	if (disk && !disk->long_size && !(disk->flags & WS_DISK_KIND_TAIL)) {
		for (i = 0; i < class->records; i++)
			size[i] = disk->short_size;
		return 0;
	}
	if (ws_numbers_get(in, value, class->records))
		return -1;
	for (i = 0; i < class->records; i++) {
		if (disk && disk->long_size) {
			if (value[i] > 1)
				return -1;
			size[i] = value[i] ? disk->long_size : disk->short_size;
			continue;
		}
		if (value[i] > WS_REC_SIZE_MAX - base || value[i] + base < sizeof(struct ws_rec))
			return -1;
		size[i] = (uint16_t)(value[i] + base);
	}
	return 0;
}

/* Places the records in their order. */
static int place_records(struct ws_decoder *decoder, size_t count, size_t record_bytes,
			 uint32_t *offset)
{
	size_t at = WS_AREA_START, bytes = 0, i;

	for (i = 0; i < count; i++) {
		uint32_t run, place;

		if (decoder->order[i] >= decoder->runs)
			return -1;
		run = (uint32_t)decoder->order[i];
		if (!decoder->run_count[run])
			return -1; /* more of a run than it has */
		decoder->run_count[run]--;
		place = decoder->run_next[run]++;
		bytes += decoder->size[place];
		if (bytes > record_bytes)
			return -1;
		decoder->list[place] = offset[i] = (uint32_t)at;
		at += WS_AREA_ALIGN((size_t)decoder->size[place]);
	}
	return bytes == record_bytes ? 0 : -1;
}

/* Where each record goes, and its head's size and kind. */
static int get_layout(struct ws_decoder *decoder, struct ws_cursor *in, size_t count,
		      size_t record_bytes, char *area, uint32_t *offset)
{
	size_t i, k;

	if (ws_numbers_get(in, decoder->order, count))
		return -1;
	for (i = 0; i < decoder->classes; i++) {
		if (get_class_sizes(decoder, &decoder->class[i], in))
			return -1;
	}
	if (place_records(decoder, count, record_bytes, offset))
		return -1;
	memset(area + WS_AREA_START, 0, record_bytes + 8 * count);
	for (i = 0; i < decoder->classes; i++) {
		const struct class *class = &decoder->class[i];

		for (k = class->first_record; k < class->first_record + class->records; k++) {
			struct ws_rec *rec = (void *)(area + decoder->list[k]);

			rec->size = decoder->size[k];
			rec->kind = class->kind;
		}
	}
	/* place_records() counted them down. */
	for (i = 0; i < decoder->runs; i++)
		decoder->run_count[i] = decoder->run_next[i];
	for (i = decoder->runs; i-- > 1;)
		decoder->run_count[i] -= decoder->run_count[i - 1];
	return 0;
}

static ws_always_inline void restore(const struct ws_pairs *pairs, char *area,
				     const struct ws_columns_kind *kind,
				     const struct ws_disk_column *column, const uint64_t *value,
				     const unsigned int predict, const unsigned int width)
{
	size_t i;

	for (i = 0; i < pairs->count; i++) {
		char *rec = area + pairs->at[i];
		const char *prev = area + pairs->prev[i];
		uint64_t actual = value[i];

		if (ws_predict_is_signed(predict))
			actual = ws_unzigzag(actual) +
				 ws_predicted(rec, prev, kind, column, predict, width);
		ws_store(rec + column->offset, actual, width);
	}
}

static int get_column(struct ws_decoder *decoder, const struct ws_pairs *pairs, size_t anchors,
		      char *area, const struct ws_columns_kind *kind,
		      const struct ws_disk_column *column, struct ws_cursor *in)
{
	uint64_t *value = decoder->value;
	const char *bytes;
	size_t i;

	if (column->predict == WS_PREDICT_BYTES) {
		bytes = ws_cursor_bytes(in, pairs->count * column->arg);
		if (!bytes)
			return -1;
		for (i = 0; i < pairs->count; i++)
			memcpy(area + pairs->at[i] + column->offset, bytes + i * column->arg,
			       column->arg);
		return 0;
	}
	/* The area is zero: of many columns nothing else is ever told. */
	if (!ws_predict_from_others(column->predict) && ws_numbers_get_zeros(in, anchors)) {
		if (ws_numbers_get_zeros(in, pairs->count - anchors))
			return 0;
		memset(value, 0, anchors * sizeof(*value));
	} else if (ws_numbers_get(in, value, anchors)) {
		return -1;
	}
	if (ws_numbers_get(in, value + anchors, pairs->count - anchors))
		return -1;
	WS_PREDICT_DISPATCH(restore, column->predict, column->width, pairs, area, kind, column,
			    value)
	return 0;
}

static int get_columns(struct ws_decoder *decoder, const struct class *class, char *area,
		       struct ws_cursor *in)
{
	const struct ws_columns_kind *kind = class->columns;
	struct ws_pairs pairs = { 0 };
	size_t anchors = 0;
	unsigned int i;

	for (i = 0; i < kind->disk.columns; i++) {
		if (i == 0 || i == kind->short_columns)
			ws_pairs_build(&pairs, &anchors, area, decoder->list + class->first_record,
				       decoder->run_count + class->first_run, class->runs,
				       i < kind->short_columns ? 0 : kind->disk.long_size,
				       decoder->at, decoder->prev);
		if (get_column(decoder, &pairs, anchors, area, kind, &kind->column[i], in))
			return -1;
	}
	return 0;
}

static int get_bytes(const struct ws_decoder *decoder, const struct class *class, char *area,
		     struct ws_cursor *in)
{
	const struct ws_columns_kind *kind = class->columns;
	size_t from = kind ? kind->disk.short_size : 0, i;

	if (kind && !(kind->disk.flags & WS_DISK_KIND_TAIL))
		return 0;
	for (i = class->first_record; i < class->first_record + class->records; i++) {
		struct ws_rec *rec = (void *)(area + decoder->list[i]);
		size_t size = decoder->size[i] - from;
		const void *bytes = ws_cursor_bytes(in, size);

		if (!bytes)
			return -1;
		memcpy((char *)rec + from, bytes, size);
		if (rec->size != decoder->size[i] || rec->kind != class->kind)
			return -1;
	}
	return 0;
}

/* How many records take part in the columns of this size, and how many runs begin with one. */
static size_t count_pairs(const struct ws_decoder *decoder, const struct class *class,
			  uint16_t min_size, size_t *anchors)
{
	size_t record = class->first_record, count = 0;

	*anchors = 0;
	for (uint32_t run = class->first_run; run < class->first_run + class->runs; run++) {
		size_t before = count, end = record + decoder->run_count[run];

		for (; record < end; record++)
			count += decoder->size[record] >= min_size;
		*anchors += count > before;
	}
	return count;
}

/* Passes over all that the class has, as get_columns() and get_bytes() do. */
static int skip_class(const struct ws_decoder *decoder, const struct class *class,
		      struct ws_cursor *in)
{
	const struct ws_columns_kind *kind = class->columns;
	size_t from = kind ? kind->disk.short_size : 0, count = 0, anchors = 0, bytes = 0;

	for (unsigned int i = 0; kind && i < kind->disk.columns; i++) {
		const struct ws_disk_column *column = &kind->column[i];

		if (i == 0 || i == kind->short_columns)
			count = count_pairs(decoder, class,
					    i < kind->short_columns ? 0 : kind->disk.long_size,
					    &anchors);
		if (column->predict == WS_PREDICT_BYTES) {
			if (!ws_cursor_bytes(in, count * column->arg))
				return -1;
		} else if (ws_numbers_skip(in, anchors) || ws_numbers_skip(in, count - anchors)) {
			return -1;
		}
	}
	if (kind && !(kind->disk.flags & WS_DISK_KIND_TAIL))
		return 0;
	for (size_t i = class->first_record; i < class->first_record + class->records; i++)
		bytes += decoder->size[i] - from;
	return ws_cursor_bytes(in, bytes) ? 0 : -1;
}

int ws_decoder_run(struct ws_decoder *decoder, const void *content, size_t size, size_t count,
		   size_t record_bytes, const struct ws_kinds *only, char *area, uint32_t *offset)
{
	struct ws_cursor in = { content, (const uint8_t *)content + size };
	size_t i;

	if (make_room(decoder, count))
		return -1;
	if (get_classes(decoder, &in, count) || get_runs(decoder, &in, count) ||
	    get_layout(decoder, &in, count, record_bytes, area, offset))
		return 0;
	for (i = 0; i < decoder->classes; i++) {
		const struct class *class = &decoder->class[i];

		if (only && !ws_kinds_have(only, class->kind)) {
			if (skip_class(decoder, class, &in))
				return 0;
			continue;
		}
		if (class->columns && get_columns(decoder, class, area, &in))
			return 0;
		if (get_bytes(decoder, class, area, &in))
			return 0;
	}
	return in.at == in.end;
}
