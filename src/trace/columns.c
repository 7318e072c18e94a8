/* SPDX-License-Identifier: BSD-2-Clause */
#include "trace/columns.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "event/schema.h"

/* What the type of a field does not tell: relations between fields that hold in most records. */
static const struct {
	uint16_t kind;
	uint16_t offset;
	uint8_t predict;
	uint16_t arg;
} relations[] = {
#define AT(type, member) offsetof(struct type, member)
	{ WS_KIND_STATE, AT(ws_rec_state, from), WS_PREDICT_PREV_FIELD, AT(ws_rec_state, to) },
	/* A turn begins where the one before ended, in time and in WAL, and lasts as its stages do.
	 */
	{ WS_KIND_TURN, AT(ws_rec, time_ns), WS_PREDICT_SUM, 0 },
	{ WS_KIND_TURN, AT(ws_rec_turn, begin_ns), WS_PREDICT_PREV_FIELD, AT(ws_rec, time_ns) },
	{ WS_KIND_TURN, AT(ws_rec_turn, lsn_from), WS_PREDICT_PREV_FIELD, AT(ws_rec_turn, lsn_to) },
	{ WS_KIND_TURN, AT(ws_rec_turn, stage_ns[WS_STAGE_OTHER]), WS_PREDICT_PART, 0 },
	{ WS_KIND_TURN, AT(ws_rec_turn, stage_ns[WS_STAGE_WAIT]), WS_PREDICT_PART, 0 },
	{ WS_KIND_TURN, AT(ws_rec_turn, stage_ns[WS_STAGE_REPLY]), WS_PREDICT_PART, 0 },
	{ WS_KIND_TURN, AT(ws_rec_turn, stage_ns[WS_STAGE_SEND]), WS_PREDICT_PART, 0 },
	{ WS_KIND_TURN, AT(ws_rec_turn, stage_ns[WS_STAGE_READ]), WS_PREDICT_PART, 0 },
	{ WS_KIND_TURN, AT(ws_rec_turn, stage_ns[WS_STAGE_DECODE]), WS_PREDICT_PART, 0 },
	{ WS_KIND_TURN, AT(ws_rec_turn, stage_ns[WS_STAGE_PLUGIN]), WS_PREDICT_PART, 0 },
	{ WS_KIND_TURN, AT(ws_rec_turn, stage_ns[WS_STAGE_TAIL]), WS_PREDICT_PART, 0 },
	/* Each turn that moves WAL is one send; so are most of those that do not. */
	{ WS_KIND_TURN, AT(ws_rec_turn, sends), WS_PREDICT_FIELD, AT(ws_rec_turn, turns) },
	/* A standby that keeps up has written nearly what was sent, flushed what it wrote, and
	 * applied what it had flushed at the reply before. */
	{ WS_KIND_TURN, AT(ws_rec_turn, write_lsn), WS_PREDICT_FIELD, AT(ws_rec_turn, lsn_from) },
	{ WS_KIND_TURN, AT(ws_rec_turn, flush_lsn), WS_PREDICT_FIELD, AT(ws_rec_turn, write_lsn) },
	{ WS_KIND_TURN, AT(ws_rec_turn, apply_lsn), WS_PREDICT_PREV_FIELD,
	  AT(ws_rec_turn, flush_lsn) },
	{ WS_KIND_TURN, AT(ws_rec_turn, flush_lag_us), WS_PREDICT_FIELD,
	  AT(ws_rec_turn, write_lag_us) },
	{ WS_KIND_TURN, AT(ws_rec_turn, apply_lag_us), WS_PREDICT_FIELD,
	  AT(ws_rec_turn, flush_lag_us) },
	{ WS_KIND_TURN, AT(ws_rec_turn, reply_time_us), WS_PREDICT_CLOCK_US, 0 },
#undef AT
};

static const struct ws_disk_column head_columns[] = {
#define HEAD(member, how)                                                                  \
	{                                                                                  \
		.offset = offsetof(struct ws_rec, member),                                 \
		.width = sizeof(((struct ws_rec *)0)->member), .predict = WS_PREDICT_##how \
	}
	/* size and kind are told by the class */
	HEAD(time_ns, PREV), HEAD(pid, PREV),	 HEAD(start_ns, PREV),
	HEAD(seq, PREV),     HEAD(server, PREV), HEAD(flags, NONE),
#undef HEAD
};

static uint8_t predict_by_type(uint8_t type)
{
	switch (type) {
	case WS_FIELD_TIME:
	case WS_FIELD_LSN:
		return WS_PREDICT_PREV;
	case WS_FIELD_INT:
		return WS_PREDICT_SIGNED;
	case WS_FIELD_STRING:
		return WS_PREDICT_BYTES;
	default:
		return WS_PREDICT_NONE;
	}
}

static struct ws_disk_column column_of_field(const struct ws_field *field, unsigned int element)
{
	struct ws_disk_column column = {
		.offset = (uint16_t)(field->offset + element * field->size),
		.width = (uint8_t)field->size,
		.predict = predict_by_type(field->type),
	};

	if (column.predict == WS_PREDICT_BYTES) {
		column.width = 0;
		column.arg = field->size;
	}
	return column;
}

static void apply_relation(uint16_t kind, struct ws_disk_column *column)
{
	size_t i;

	for (i = 0; i < WS_ARRAY_SIZE(relations); i++) {
		if (relations[i].kind == kind && relations[i].offset == column->offset) {
			column->predict = relations[i].predict;
			column->arg = relations[i].arg;
		}
	}
}

static size_t column_size(const struct ws_disk_column *column)
{
	return column->predict == WS_PREDICT_BYTES ? column->arg : column->width;
}

/* What a column is told from must be there when it is decoded. */
static unsigned int column_rank(const struct ws_columns_kind *kind,
				const struct ws_disk_column *column)
{
	unsigned int rank = column->offset >= kind->disk.short_size ? 3 : 0;

	switch (column->predict) {
	case WS_PREDICT_SUM:
		return rank + 1;
	case WS_PREDICT_PREV_FIELD:
	case WS_PREDICT_FIELD:
	case WS_PREDICT_CLOCK_US:
		return rank + 2;
	default:
		return rank;
	}
}

static void sort_columns(struct ws_columns_kind *kind)
{
	unsigned int i, j;

	/* Insertion: stable, and a kind has some thirty of them. */
	for (i = 1; i < kind->disk.columns; i++) {
		struct ws_disk_column column = kind->column[i];
		unsigned int rank = column_rank(kind, &column);

		for (j = i; j > 0 && column_rank(kind, &kind->column[j - 1]) > rank; j--)
			kind->column[j] = kind->column[j - 1];
		kind->column[j] = column;
	}
}

static int add_column(struct ws_columns_kind *kind, size_t *cap, struct ws_disk_column column)
{
	size_t count = kind->disk.columns;
	struct ws_disk_column *slot = ws_array_grow(&kind->column, &count, cap, sizeof(*slot));

	if (!slot)
		return -1;
	*slot = column;
	apply_relation(kind->disk.kind, slot);
	kind->disk.columns = (uint16_t)count;
	return 0;
}

static int kind_from_schema(struct ws_columns_kind *kind, const struct ws_kind_info *info)
{
	size_t cap = 0, i;
	unsigned int element;

	kind->disk.kind = info->kind;
	kind->disk.short_size = info->sizes[0];
	kind->disk.long_size = info->sizes[1];
	for (i = 0; i < WS_ARRAY_SIZE(head_columns); i++) {
		if (add_column(kind, &cap, head_columns[i]))
			return -1;
	}
	for (i = 0; i < info->field_count; i++) {
		const struct ws_field *field = &info->fields[i];

		if (field->type == WS_FIELD_TEXT) {
			kind->disk.flags |= WS_DISK_KIND_TAIL;
			kind->disk.short_size = field->offset;
			continue;
		}
		if (field->offset < sizeof(struct ws_rec))
			continue; /* the flags, already there */
		for (element = 0; element < field->count; element++) {
			if (add_column(kind, &cap, column_of_field(field, element)))
				return -1;
		}
	}
	sort_columns(kind);
	return 0;
}

/* Checks a description and fills what is derived from it. Returns the reason against it, or NULL.
 */
static const char *kind_check(struct ws_columns_kind *kind)
{
	const struct ws_disk_kind *disk = &kind->disk;
	unsigned int i;

	if (!disk->kind || disk->kind >= WS_KIND_MAX)
		return "it describes a kind with an impossible number";
	if (disk->short_size < sizeof(struct ws_rec) || disk->short_size > WS_REC_SIZE_MAX ||
	    disk->long_size > WS_REC_SIZE_MAX ||
	    (disk->long_size && disk->long_size <= disk->short_size) ||
	    (disk->long_size && disk->flags & WS_DISK_KIND_TAIL))
		return "it describes a kind with impossible sizes";
	for (i = 0; i < disk->columns; i++) {
		const struct ws_disk_column *column = &kind->column[i];
		size_t end = column->offset + column_size(column);
		bool is_short = end <= disk->short_size;
		size_t limit = is_short ? disk->short_size : disk->long_size;
		bool bytes = column->predict == WS_PREDICT_BYTES;

		if (column->predict >= WS_PREDICT_COUNT || column->offset < 2 * sizeof(uint16_t) ||
		    end > limit || (!is_short && column->offset < disk->short_size) ||
		    (is_short && i != kind->short_columns))
			return "it describes a column outside of its record";
		if (bytes ? column->width != 0
			  : column->width != 1 && column->width != 2 && column->width != 4 &&
				    column->width != 8)
			return "it describes a column with an impossible width";
		if ((column->predict == WS_PREDICT_FIELD ||
		     column->predict == WS_PREDICT_PREV_FIELD) &&
		    column->arg + (size_t)column->width > limit)
			return "it describes a column that refers outside of its record";
		if (column->predict == WS_PREDICT_PART) {
			if (column->width != 8 || !is_short ||
			    kind->parts == WS_ARRAY_SIZE(kind->part))
				return "it describes a sum of impossible parts";
			kind->part[kind->parts++] = column->offset;
		}
		if (is_short)
			kind->short_columns++;
	}
	return NULL;
}

/* Only a description that covers each byte once gives back what was put in. */
static bool kind_covered(const struct ws_columns_kind *kind)
{
	size_t size = kind->disk.long_size ? kind->disk.long_size : kind->disk.short_size;
	uint8_t seen[WS_REC_SIZE_MAX] = { 1, 1, 1, 1 }; /* size and kind */
	unsigned int i;
	size_t at;

	for (i = 0; i < kind->disk.columns; i++) {
		for (at = 0; at < column_size(&kind->column[i]); at++) {
			if (seen[kind->column[i].offset + at]++)
				return false;
		}
	}
	return !memchr(seen, 0, size);
}

static void index_kind(struct ws_columns *columns, size_t i)
{
	columns->index[columns->kind[i].disk.kind] = (uint8_t)(i + 1);
}

int ws_columns_from_schema(struct ws_columns *columns)
{
	const struct ws_kind_info *info;
	size_t count, i;

	memset(columns, 0, sizeof(*columns));
	info = ws_kinds(&count);
	columns->kind = calloc(count, sizeof(*columns->kind));
	if (!columns->kind)
		return -1;
	for (i = 0; i < count; i++) {
		struct ws_columns_kind *kind = &columns->kind[columns->count];

		if (kind_from_schema(kind, &info[i])) {
			columns->count++;
			ws_columns_deinit(columns);
			return -1;
		}
		if (kind_check(kind) || !kind_covered(kind)) {
			/* A fault of the table, which a test looks for: carried as bytes, not lost.
			 */
			free(kind->column);
			memset(kind, 0, sizeof(*kind));
			continue;
		}
		index_kind(columns, columns->count++);
	}
	return 0;
}

int ws_columns_write(const struct ws_columns *columns, struct ws_buf *out)
{
	size_t i;

	for (i = 0; i < columns->count; i++) {
		const struct ws_columns_kind *kind = &columns->kind[i];

		if (ws_buf_add(out, &kind->disk, sizeof(kind->disk)) ||
		    ws_buf_add(out, kind->column, kind->disk.columns * sizeof(*kind->column)))
			return -1;
	}
	return 0;
}

static const char *parse_kind(struct ws_columns *columns, const char **at, const char *end)
{
	struct ws_columns_kind *kind = &columns->kind[columns->count];
	size_t bytes;

	if ((size_t)(end - *at) < sizeof(kind->disk))
		return "its description of the kinds is cut short";
	memcpy(&kind->disk, *at, sizeof(kind->disk));
	*at += sizeof(kind->disk);
	bytes = kind->disk.columns * sizeof(*kind->column);
	if (kind->disk.columns > WS_DISK_COLUMNS_MAX || (size_t)(end - *at) < bytes)
		return "its description of the columns is cut short";
	kind->column = malloc(bytes ? bytes : 1);
	if (!kind->column)
		return "out of memory";
	columns->count++;
	memcpy(kind->column, *at, bytes);
	*at += bytes;
	return kind_check(kind);
}

int ws_columns_parse(struct ws_columns *columns, const void *data, size_t size, uint32_t kinds,
		     const char **why)
{
	const char *at = data, *end = at + size;
	uint32_t i;

	memset(columns, 0, sizeof(*columns));
	*why = "it describes too many kinds";
	if (kinds > WS_DISK_KINDS_MAX)
		return -1;
	*why = "out of memory";
	columns->kind = calloc(kinds ? kinds : 1, sizeof(*columns->kind));
	if (!columns->kind)
		return -1;
	for (i = 0; i < kinds; i++) {
		*why = parse_kind(columns, &at, end);
		if (!*why && columns->index[columns->kind[i].disk.kind])
			*why = "it describes a kind twice";
		if (*why) {
			ws_columns_deinit(columns);
			return -1;
		}
		index_kind(columns, i);
	}
	return 0;
}

void ws_columns_deinit(struct ws_columns *columns)
{
	size_t i;

	for (i = 0; i < columns->count; i++)
		free(columns->kind[i].column);
	free(columns->kind);
	memset(columns, 0, sizeof(*columns));
}

const struct ws_columns_kind *ws_columns_find(const struct ws_columns *columns, uint16_t kind,
					      uint16_t size)
{
	const struct ws_columns_kind *found;

	if (kind >= WS_KIND_MAX || !columns->index[kind])
		return NULL;
	found = &columns->kind[columns->index[kind] - 1];
	if (size == found->disk.short_size)
		return found;
	if (found->disk.flags & WS_DISK_KIND_TAIL)
		return size > found->disk.short_size ? found : NULL;
	return found->disk.long_size && size == found->disk.long_size ? found : NULL;
}
