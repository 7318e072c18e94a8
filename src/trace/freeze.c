/* SPDX-License-Identifier: BSD-2-Clause */
#include "trace/freeze.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "base/util.h"
#include "event/order.h"
#include "trace/checkpoint.h"
#include "trace/out.h"
#include "trace/segments.h"
#include "trace/writer.h"

/* Records of the collector come in some time behind those of the programs. */
#define LATE_NS	   2000000000ULL
#define TEXT_BYTES (16 * 1024 * 1024)

struct piece {
	struct ws_freeze *freeze;
	struct ws_writer *writer;
	struct ws_checkpoint *checkpoint;
	struct ws_error *err;
	bool begun;
};

static int repeat_record(void *arg, const struct ws_rec *rec)
{
	struct piece *p = arg;

	return ws_writer_add(p->writer, rec, p->err);
}

/* What is known where it begins. Where the disk has no room for that, there is no piece. */
static int begin(struct piece *p)
{
	int rc;

	if (ws_writer_repeats(p->writer, true, p->err) < 0 ||
	    ws_checkpoint_tell(p->checkpoint, p->freeze->from_ns, TEXT_BYTES, repeat_record, p))
		return -1;
	rc = ws_writer_repeats(p->writer, false, p->err);
	p->begun = true;
	return rc > 0 ? ws_error_errno(p->err, ENOSPC, WS_OUT_WRITE, p->freeze->path) : rc;
}

/* 1: nothing of the time that is wanted can follow. */
static int take(struct piece *p, const struct ws_rec *rec)
{
	struct ws_freeze *f = p->freeze;

	if (!p->begun && rec->time_ns < f->from_ns)
		return ws_checkpoint_feed(p->checkpoint, rec)
			       ? ws_error_errno(p->err, ENOMEM, WS_OUT_WRITE, f->path)
			       : 0;
	if (!p->begun && begin(p))
		return -1;
	if (rec->time_ns >= f->to_ns)
		return rec->time_ns - f->to_ns > LATE_NS;
	f->records++;
	if (rec->kind == WS_KIND_GAP)
		f->lost += ws_gap_missing((const struct ws_rec_gap *)rec);
	f->cut = rec->kind != WS_KIND_STOP;
	return ws_writer_add(p->writer, rec, p->err);
}

static int take_all(struct piece *p, struct ws_reader *reader)
{
	const struct ws_rec *rec;
	int rc;

	while ((rc = ws_reader_next(reader, &rec, p->err)) > 0) {
		rc = take(p, rec);
		if (rc)
			break;
	}
	/* It ends where it was to end: not cut off. */
	if (rc > 0 || (rc == 0 && (p->freeze->to_ns != UINT64_MAX || ws_reader_goes_on(reader)))) {
		ws_writer_set_whole(p->writer);
		p->freeze->cut = false;
	}
	if (rc >= 0 && !p->begun)
		rc = begin(p);
	return rc < 0 ? -1 : 0;
}

static int write_piece(struct piece *p, struct ws_reader *reader, const char *path)
{
	struct ws_trace_info info = *ws_reader_info(reader);
	uint64_t missing;
	int rc;

	info.run = info.segment = info.records_before = 0;
	info.start_mono_ns = p->freeze->from_ns;
	info.start_wall_ns = p->freeze->from_wall_ns;
	p->checkpoint = ws_checkpoint_new();
	if (!p->checkpoint)
		return ws_error_errno(p->err, ENOMEM, WS_OUT_CREATE, path);
	if (ws_writer_new(&p->writer, path, &info, p->err))
		return -1;
	rc = take_all(p, reader);
	if (rc == 0)
		rc = ws_writer_end(p->writer, p->err);
	missing = ws_writer_missing(p->writer);
	p->freeze->bytes = ws_writer_bytes(p->writer);
	if (ws_writer_close(p->writer, rc ? NULL : p->err))
		rc = -1;
	if (rc == 0 && missing)
		rc = ws_error_errno(p->err, ENOSPC, WS_OUT_WRITE, p->freeze->path);
	return rc;
}

/* The name is on the disk when the directory is. */
static int sync_directory(const char *path)
{
	const char *slash = strrchr(path, '/');
	ws_autofree char *dir = slash ? strndup(path, (size_t)(slash - path + 1)) : strdup(".");
	ws_autoclose int fd = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	return fd < 0 || (fsync(fd) && errno != EINVAL) ? -1 : 0;
}

/* A recorder may be writing it, or take it for one of its own. */
static bool is_segment(const char *path)
{
	const char *slash = strrchr(path, '/');
	uint64_t number;

	return ws_segment_number(slash ? slash + 1 : path, WS_SEGMENT_SUFFIX, &number);
}

int ws_freeze_run(struct ws_freeze *freeze, struct ws_reader *reader, struct ws_error *err)
{
	struct ws_error why = { 0 };
	struct piece p = { .freeze = freeze, .err = &why };
	struct ws_buf path = { 0 };
	int rc;

	if (is_segment(freeze->path)) {
		ws_error_set(err, WS_OUT_CREATE, freeze->path,
			     "this is what a flight recorder calls its segments");
		return ws_error_fix(err, "name the piece otherwise");
	}
	freeze->records = freeze->bytes = freeze->lost = 0;
	freeze->cut = false;
	if (ws_buf_addf(&path, "%s.%d.tmp", freeze->path, (int)getpid()))
		return ws_error_errno(err, ENOMEM, WS_OUT_CREATE, freeze->path);
	rc = write_piece(&p, reader, path.data);
	if (rc == 0 && (rename(path.data, freeze->path) || sync_directory(freeze->path)))
		rc = ws_error_errno(&why, errno, WS_OUT_CREATE, freeze->path);
	if (rc)
		unlink(path.data);
	if (rc && err)
		*err = why;
	ws_checkpoint_free(p.checkpoint);
	ws_buf_deinit(&path);
	return rc;
}
